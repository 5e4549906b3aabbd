package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"posdx/firmware-build/lab/world"
)

// What the simulated terminal is called.
const (
	estate     = "lab"
	terminal   = "sim-0001"
	terminalID = "10077120"
	merchantID = "898330154110012"
	tpdu       = "6000030000"
	appVersion = "5.3.0"
	appProcess = "payapp"
	readerBaud = 115200
)

// paths are the places of the simulated terminal, all below the lab's folder.
type paths struct{ dir string }

func (p paths) in(name string) string   { return filepath.Join(p.dir, "terminal", name) }
func (p paths) data() string            { return p.in("data") } // a small file system of its own
func (p paths) state() string           { return filepath.Join(p.data(), "posdx") }
func (p paths) paylog() string          { return filepath.Join(p.data(), "pos.log") }
func (p paths) hook() string            { return p.in("hook.sock") }
func (p paths) config() string          { return p.in("posdx.toml") }
func (p paths) resolv() string          { return p.in("resolv.conf") }
func (p paths) reader() string          { return p.in("ttyReader0") }
func (p paths) modem() string           { return p.in("ttyModem0") }
func (p paths) app() string             { return p.in(appProcess) }
func (p paths) log(name string) string  { return filepath.Join(p.dir, name+".log") }
func (p paths) sock(name string) string { return filepath.Join(p.dir, "sock", name) }

// config is the daemon's configuration of the simulated terminal.
func (l *lab) config() string {
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	w("language = %q", l.o.lang)
	w("estate = %q", estate)
	w("terminal = %q", terminal)
	w("state_dir = %q", l.p.state())
	w("\n[hook]\nsocket = %q", l.p.hook())
	if l.s.wire {
		w("\n[capture]\non = true")
	} else {
		w("\n[[log]]\npath = %q\nencoding = \"gb18030\"\norigin = \"host\"", l.p.paylog())
		w("patterns = ['流水号=(?P<stan>\\d{6}) 终端号=(?P<tid>\\d{8}) 应答码=(?P<code>[0-9A-Z]{2})']")
	}
	w("\n[[reader]]\nname = \"reader0\"\nport = %q\nbaud = %d\nprotocol = \"ccid\"", l.p.reader(), readerBaud)
	if l.s.cellular {
		w("\n[[modem]]\nname = \"modem0\"\nport = %q\nbaud = %d\napn = %q\ndedicated = true", l.p.modem(), readerBaud, apn)
	}
	w("\n[network]\ninterfaces = [%q]\nresolvers = [%q]", l.s.iface(), world.ResolverIP)
	w("\n[[target]]\nname = \"host-primary\"\nhost = %q\nport = %d", hostName, hostPort)
	if !l.s.wire {
		w("tls = true\nserver_name = %q\nca = %q", hostName, l.out.caFile())
	}
	w("\n[[target]]\nname = \"internet\"\nhost = %q\nport = %d", world.BrokerIP, brokerPort) // by address: it must not need the resolver
	w("\n[storage]\npaths = [%q]", l.p.data())
	w("\n[app]\nprocess = %q\nexpected_version = %q", appProcess, appVersion)
	w("\n[broker]\nurl = [\"tcp://%s:%d\"]\nkeepalive = \"30s\"", brokerName, brokerPort)
	w("\n[profile]\nscheme = \"unionpay\"")
	return b.String()
}

// writeConfig writes what the terminal finds on its flash.
func (l *lab) writeConfig() error {
	if err := os.WriteFile(l.p.resolv(), []byte("nameserver "+world.ResolverIP+"\noptions timeout:2 attempts:1\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile(l.p.config(), []byte(l.config()), 0o644)
}

// still are files of the kernel with the content that an idle terminal has. They are mounted over those of this
// machine, whose load tells nothing about the simulated terminal. So is the kernel's log.
var still = map[string]string{
	"/proc/loadavg":         "0.08 0.03 0.01 1/84 1021\n",
	"/proc/meminfo":         "MemTotal:         246532 kB\nMemFree:           60364 kB\nMemAvailable:     150364 kB\n",
	"/proc/vmstat":          "oom_kill 0\n",
	"/proc/pressure/cpu":    pressure,
	"/proc/pressure/memory": pressure,
	"/proc/pressure/io":     pressure,
}

const kmsg = "/dev/kmsg"

const pressure = "some avg10=0.12 avg60=0.08 avg300=0.05 total=1203311\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=210044\n"

// sensors are the folders of sysfs of supplies and thermometers, and what a calm terminal has there.
var sensors = map[string]map[string]string{
	"/sys/class/hwmon":        nil,
	"/sys/class/power_supply": {"dc/type": "Mains\n", "dc/online": "1\n", "dc/voltage_now": "5030000\n"},
	"/sys/class/thermal":      {"thermal_zone0/type": "cpu-thermal\n", "thermal_zone0/temp": "47210\n"},
}

// coverSensors hides those of this machine below /sys, where the kernel has such folders.
func coverSensors() error {
	for dir, files := range sensors {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=64k,mode=755")
		if err != nil {
			return fmt.Errorf("cover %s: %w", dir, err)
		}
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(text), 0o444); err != nil {
				return err
			}
		}
	}
	return nil
}

// calm covers the files of still and the kernel's log, where the kernel has them.
func (l *lab) calm() error {
	if _, err := os.Stat(kmsg); err == nil {
		cover := l.p.in("kmsg")
		if l.kernelLog, err = world.OpenKernelLog(cover); err != nil {
			return err
		}
		if err := unix.Mount(cover, kmsg, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover %s: %w", kmsg, err)
		}
	}
	for path, text := range still {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cover := l.p.in(strings.ReplaceAll(strings.Trim(path, "/"), "/", "-"))
		if err := os.WriteFile(cover, []byte(text), 0o444); err != nil {
			return err
		}
		if err := unix.Mount(cover, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover %s: %w", path, err)
		}
	}
	return nil
}
