package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	socket = "/run/posdx/hook.sock"
	// rest is how long the daemon is left alone before it is measured, and then watched.
	rest  = 20 * time.Second
	watch = 60 * time.Second
)

// config asks for everything that this machine has: no reader, no modem, one interface that is only a loopback.
const config = `language = "en"
estate = "guest"
terminal = "arm"
state_dir = "/var/posdx"
[hook]
socket = "/run/posdx/hook.sock"
[[reader]]
name = "reader0"
port = "/dev/ttyS7"
[network]
resolvers = ["127.0.0.1"]
[[target]]
name = "host-primary"
host = "127.0.0.1"
port = 5000
tls = true
[storage]
paths = ["/var"]
[app]
process = "init"
`

// inside is the first process of the guest.
func inside() {
	if err := measure(); err != nil {
		say("failed %v", err)
	} else {
		say("done yes")
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // the first process must not end
}

func say(format string, args ...any) { fmt.Printf(mark+format+"\n", args...) }

func measure() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}, {"tmpfs", "/var"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	if err := raise("lo"); err != nil {
		return err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	say("kernel %s %s", unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Machine[:]))
	if err := os.MkdirAll("/var/posdx", 0o700); err != nil {
		return err
	}
	if err := os.WriteFile("/etc/posdx.toml", []byte(config), 0o600); err != nil {
		return err
	}
	begun := time.Now()
	service := exec.Command("/bin/posdx", "run", "--config", "/etc/posdx.toml")
	service.Env = []string{"PATH=/bin"}
	service.Stderr = os.Stdout
	if err := service.Start(); err != nil {
		return err
	}
	dead := make(chan error, 1)
	go func() { dead <- service.Wait() }()
	for ready := false; !ready; {
		select {
		case err := <-dead:
			return fmt.Errorf("posdx ended: %w", err)
		case <-time.After(time.Millisecond):
			_, err := ask(`{"type":"status"}`)
			ready = err == nil
		}
	}
	say("ready_ms %d", time.Since(begun).Milliseconds())
	pid := service.Process.Pid

	time.Sleep(rest)
	if err := memory(pid, "idle"); err != nil {
		return err
	}
	before, err := processor(pid)
	if err != nil {
		return err
	}
	time.Sleep(watch)
	after, err := processor(pid)
	if err != nil {
		return err
	}
	say("idle_cpu_ms_a_minute %.1f", (after-before).Seconds()*1000*60/watch.Seconds())

	asked := time.Now()
	answers, err := ask(`{"type":"code","code":"newpos:E5","scheme":"terminal-local","origin":"terminal","txn":{"sent":false,"entry":"chip"},"wait":"final"}`)
	if err != nil {
		return err
	}
	say("diagnosis_ms %d", time.Since(asked).Milliseconds())
	say("cause %s", answers[len(answers)-1].Verdict.Cause)
	if err := memory(pid, "diagnosing"); err != nil {
		return err
	}
	service.Process.Signal(unix.SIGTERM)
	if err := <-dead; err != nil {
		return fmt.Errorf("posdx, told to stop: %w", err)
	}
	return nil
}

// raise sets an interface up.
func raise(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("raise %s: %w", name, err)
	}
	return nil
}

type answer struct {
	Result  string
	More    bool
	Verdict struct{ Cause string }
}

// ask sends one line to the hook and takes its answers.
func ask(line string) (list []answer, err error) {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return nil, err
	}
	for s := bufio.NewReader(c); ; {
		b, err := s.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		var a answer
		if err := json.Unmarshal(b, &a); err != nil {
			return nil, err
		}
		if list = append(list, a); !a.More {
			if a.Result == "error" || a.Result == "busy" {
				err = errors.New(a.Result)
			}
			return list, err
		}
	}
}

// memory is what a process holds now, and the most that it has held. The sum over its pages is exact where the kernel
// has it; the counter in status is not (proc(5)).
func memory(pid int, when string) error {
	rss, err := field(pid, "smaps_rollup", "Rss:")
	if err != nil {
		if rss, err = field(pid, "status", "VmRSS:"); err != nil {
			return err
		}
	}
	peak, err := field(pid, "status", "VmHWM:")
	if err != nil {
		return err
	}
	anon, err := field(pid, "status", "RssAnon:")
	if err != nil {
		return err
	}
	say("rss_%s_kb %d", when, rss)
	say("own_%s_kb %d", when, anon) // the rest is the program itself, which the kernel may drop and read again
	say("peak_%s_kb %d", when, peak)
	return nil
}

func field(pid int, file, name string) (int, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

// processor is the time a process has used.
func processor(pid int) (time.Duration, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "task")
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, t := range tasks {
		b, err := os.ReadFile(filepath.Join(dir, t.Name(), "schedstat"))
		if err != nil {
			return 0, err
		}
		ns, _, _ := strings.Cut(string(b), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}
