package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/source/hook"
	"posdx/firmware-build/housetest"
)

// commandVar holds the arguments of a command that this test binary, started again, runs as posdx would.
const commandVar = "POSDX_TEST_COMMAND"

// TestCommandInItsOwnProcess is that process, and nothing otherwise.
func TestCommandInItsOwnProcess(t *testing.T) {
	args := os.Getenv(commandVar)
	if args == "" {
		t.Skip("only in a process of its own")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, speak: "en"}, strings.Split(args, "\n")))
}

// posdx starts a command in its own process.
func posdx(t *testing.T, talk io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestCommandInItsOwnProcess$")
	c.Env = append(os.Environ(), commandVar+"="+strings.Join(args, "\n"))
	c.Stderr = talk
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// relayTalk is what a process says, read while it goes on.
type relayTalk struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *relayTalk) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *relayTalk) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

func (s *relayTalk) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestPaymentsDoNotNoticeThatTheDaemonDies kills the daemon with signal 9 in the middle of what passes, ten times, with
// POSDX_LONG a hundred: not a byte is lost or changed in either direction, and the daemon that lives hears a code.
func TestPaymentsDoNotNoticeThatTheDaemonDies(t *testing.T) {
	deaths := 10
	if os.Getenv("POSDX_LONG") != "" {
		deaths = 100
	}
	dir, err := os.MkdirTemp("", "relay") // socket names are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pty here: %v", err)
	}
	device := os.NewFile(uintptr(fd), "device")
	defer device.Close()
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	config, link := filepath.Join(dir, "posdx.toml"), filepath.Join(dir, "app")
	text := least + "state_dir = \"" + dir + "/state\"\n[hook]\nsocket = \"" + dir + "/s\"\n[[ecr]]\nname = \"ecr0\"\nframing = \"transbank\"\nway = \"relay\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &relayTalk{}
	relayed := posdx(t, said, "relay", "--device", fmt.Sprintf("/dev/pts/%d", n), "--baud", "115200", "--link", link, "--copies", dir+"/ecr0.relay")
	defer func() {
		relayed.Process.Signal(syscall.SIGTERM)
		if err := relayed.Wait(); err != nil {
			t.Errorf("the relay: %v\n%s", err, said)
		}
	}()
	housetest.Until(t, "the line is relayed", func() bool { return said.count("port is relayed") == 1 })
	app, err := os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()

	var stop atomic.Bool
	var both sync.WaitGroup
	var passed [2]int
	for i, way := range [][2]*os.File{{app, device}, {device, app}} {
		both.Go(func() { passed[i] = flow(t, way[0], way[1], byte(i), &stop) })
	}
	var daemonSaid *relayTalk
	var daemon *exec.Cmd
	for i := range deaths + 1 {
		daemonSaid = &relayTalk{}
		before := said.count("what passes is heard")
		daemon = posdx(t, daemonSaid, "run", "--config", config)
		housetest.Until(t, "the daemon hears", func() bool { return said.count("what passes is heard") > before })
		if i == deaths {
			break
		}
		// Sooner or later, so that it dies in every state.
		time.Sleep(time.Duration(i%5) * 3 * time.Millisecond)
		before = said.count("nobody hears")
		daemon.Process.Kill()
		daemon.Wait()
		os.Remove(dir + "/lives.json") // so many crashes in a row would make it start later, and not listen
		housetest.Until(t, "its death is noticed by the copies alone", func() bool { return said.count("nobody hears") > before })
	}
	stop.Store(true)
	both.Wait()
	t.Logf("%d deaths, %d and %d bytes passed", deaths, passed[0], passed[1])

	frame := "0210|02|597029414300|75001088|4761739001010010|\x03"
	sum := byte(0)
	for i := range len(frame) {
		sum ^= frame[i]
	}
	var state string
	if !housetest.Within(housetest.Patience, func() bool {
		fmt.Fprintf(device, "\x02%s%c", frame, sum)
		app.SetReadDeadline(time.Now().Add(time.Second))
		io.ReadFull(app, make([]byte, len(frame)+2))
		if s, err := (hook.Client{Path: dir + "/s"}).State(t.Context()); err == nil {
			state = mustJSON(t, s)
		}
		return strings.Contains(state, "transbank:02")
	}) {
		t.Fatalf("the code does not appear: %s\n%s", state, daemonSaid)
	}
	if strings.Contains(state+said.String()+daemonSaid.String(), "47617390") {
		t.Error("the card number came out")
	}
	daemon.Process.Signal(syscall.SIGTERM)
	if err := daemon.Wait(); err != nil {
		t.Errorf("the daemon: %v\n%s", err, daemonSaid)
	}
}

// flow sends random bytes until it is told to stop, and holds what arrives against them.
func flow(t *testing.T, from, to *os.File, seed byte, stop *atomic.Bool) int {
	var sent atomic.Int64
	sent.Store(-1)
	go func() {
		source, b, n := rand.NewChaCha8([32]byte{seed}), make([]byte, 256), 0
		for !stop.Load() {
			source.Read(b)
			from.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := from.Write(b); err != nil {
				t.Errorf("after %d bytes: %v", n, err)
				break
			}
			n += len(b)
			time.Sleep(time.Millisecond) // the pace of a fast line
		}
		sent.Store(int64(n))
	}()
	check, got, want, n := rand.NewChaCha8([32]byte{seed}), make([]byte, 256), make([]byte, 256), 0
	end := time.Time{}
	for int64(n) != sent.Load() {
		to.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		m, err := io.ReadFull(to, got)
		if m == 0 && os.IsTimeout(err) {
			if end.IsZero() {
				end = time.Now().Add(time.Minute)
			}
			if time.Now().After(end) {
				t.Errorf("%d bytes arrived, %d were sent", n, sent.Load())
				return n
			}
			continue
		}
		end = time.Time{}
		for m > 0 && m < len(got) && err != nil && os.IsTimeout(err) { // the rest of a piece
			var k int
			to.SetReadDeadline(time.Now().Add(time.Minute))
			k, err = io.ReadFull(to, got[m:])
			m += k
		}
		check.Read(want)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("after %d bytes: other bytes than were sent, %v", n, err)
			return n
		}
		n += m
	}
	return n
}

// A relay that crashes is started again; one that was called wrongly is not, so the two may not end alike (Go's panic
// ends with 2).
func TestAWrongRelayEndsOtherwiseThanACrash(t *testing.T) {
	for _, args := range []string{"--nonsense", "word", "--device /dev/null", "--device /dev/null --link x --framing 9X9", "--lang fr"} {
		if code, _, talk := cli(t, append([]string{"relay"}, strings.Fields(args)...)...); code != exitConfig || talk == "" {
			t.Errorf("relay %s: exit %d, %q", args, code, talk)
		}
	}
	if code, _, _ := cli(t, "relay", "--help"); code != exitOK {
		t.Errorf("relay --help: exit %d", code)
	}
}
