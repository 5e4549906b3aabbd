package sim

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The simulators against hosts that we did not write.

// ccidtwin is libccid's serial driver on a line, spoken to word by word. It ends the test's wait after a while.
type ccidtwin struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan string
	logs  []string
}

// libccid is Debian's; the driver's place differs from architecture to architecture only in the folder above.
const libccid = "/usr/lib/pcsc/drivers/serial/libccidtwin.so"

func drive(t *testing.T, device, name string) *ccidtwin {
	t.Helper()
	if _, err := os.Stat(libccid); err != nil {
		t.Skip("no libccidtwin.so (Debian package libccid)")
	}
	program := filepath.Join(t.TempDir(), "ccidtwin")
	if out, err := exec.Command("gcc", "-rdynamic", "-o", program, "testdata/ccidtwin.c", "-ldl").CombinedOutput(); err != nil {
		t.Skipf("no C compiler (Debian packages gcc, libc6-dev): %v\n%s", err, out)
	}
	cmd := exec.Command(program, libccid, device+":"+name)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &ccidtwin{t: t, in: in, lines: make(chan string, 1000)}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	return c
}

// says waits for the next line that is no log, keeping those.
func (c *ccidtwin) says(want string) {
	c.t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case got, ok := <-c.lines:
			switch {
			case !ok:
				c.t.Fatalf("libccid ended, wanted %q; it logged %q", want, c.logs)
			case strings.HasPrefix(got, "log "):
				c.logs = append(c.logs, got)
				continue
			case got != want:
				c.t.Fatalf("libccid says %q, want %q; it logged %q", got, want, c.logs)
			}
			return
		case <-limit:
			c.t.Fatalf("libccid hangs, wanted %q", want)
		}
	}
}

func (c *ccidtwin) do(command, want string) {
	c.t.Helper()
	io.WriteString(c.in, command+"\n")
	c.says(want)
}

// Answers of ifdhandler.h.
const (
	present  = "presence 615" // IFD_ICC_PRESENT
	absent   = "presence 616" // IFD_ICC_NOT_PRESENT
	powered  = "power 0 3B020001"
	powerErr = "power 608 " // IFD_ERROR_POWER_ACTION
)

func TestLibccidTakesItForAReader(t *testing.T) {
	for _, m := range []ReaderModel{GemPCTwin(), GemCorePOSPro(), GemCoreSIMPro(), GemCoreSIMPro2(), SEC1210()} {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			sim := NewReader(m, 1)
			l := plugged(t, sim)
			c := drive(t, l.Path(), m.Name)
			c.says("create 0")
			gone := absent
			if m == GemCoreSIMPro() { // libccid holds that a SIM never leaves it
				gone = present
			}
			c.do("presence", gone)
			sim.Insert()
			c.do("presence", present)
			c.do("up", powered)
			c.do("presence", present)
			c.do("down", "power 0 ")
			sim.Remove()
			c.do("presence", gone)
			c.in.Close()
			c.says("close 0")
			for _, log := range c.logs {
				if !strings.Contains(log, "RS232 signals") { // a pty has no modem lines
					t.Errorf("libccid complains: %s", log)
				}
			}
		})
	}
}

func TestLibccidSeesTheFaults(t *testing.T) {
	t.Run("mute card", func(t *testing.T) {
		t.Parallel()
		sim := NewReader(GemPCTwin(), 1)
		sim.Change(func(s *ReaderState) { s.Card, s.Mute = true, true })
		c := drive(t, plugged(t, sim).Path(), "GemPCTwin")
		c.says("create 0")
		c.do("up", powerErr)
	})
	t.Run("wrong check sum", func(t *testing.T) {
		t.Parallel()
		sim := NewReader(GemPCTwin(), 1)
		c := drive(t, plugged(t, sim).Path(), "GemPCTwin")
		c.says("create 0")
		sim.Change(func(s *ReaderState) { s.BadCRC = 1 })
		c.do("presence", absent)
		if !strings.Contains(strings.Join(c.logs, "\n"), "LRC") {
			t.Errorf("libccid did not notice: %q", c.logs)
		}
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		sim := NewReader(GemPCTwin(), 1)
		sim.Change(func(s *ReaderState) { s.Silent = true })
		c := drive(t, plugged(t, sim).Path(), "GemPCTwin")
		c.says("create 612") // IFD_COMMUNICATION_ERROR
	})
}

// gammu is a client of AT modems.
func gammu(t *testing.T, l *Line, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gammu"); err != nil {
		t.Skip("no gammu (Debian package gammu)")
	}
	config := filepath.Join(t.TempDir(), "rc")
	if err := os.WriteFile(config, []byte("[gammu]\ndevice = "+l.Path()+"\nconnection = at115200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("timeout", append([]string{"100", "gammu", "-c", config}, command...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gammu %v: %v\n%s", command, err, out)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

func TestGammuTakesItForAModem(t *testing.T) {
	for _, c := range []struct {
		name    string
		state   func(*ModemState)
		command string
		want    []string
	}{
		{"identity", func(*ModemState) {}, "identify", []string{"Manufacturer : Quectel", "Firmware : EC25EFAR06A06M4G", "IMEI : " + testIMEI, "SIM IMSI : " + testIMSI}},
		{"network", func(*ModemState) {}, "networkinfo", []string{"Network state : home network", "001 01", "GPRS : attached"}},
		{"denied", func(s *ModemState) { s.Stat, s.Attached = 3, false }, "networkinfo", []string{"Network state : registration to network denied", "GPRS : detached"}},
		{"pin", func(s *ModemState) { s.SIM = "SIM PIN" }, "getsecuritystatus", []string{"Waiting for PIN."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := NewModem(Quectel(), GoodModem(), 1)
			m.Change(c.state)
			out := gammu(t, plugged(t, m), c.command)
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("gammu %s: no %q in %s", c.command, want, out)
				}
			}
		})
	}
}

// modemManager lets ModemManager manage a modem over an abstract socket, on a bus of its own, and returns what mmcli tells
// of it once it is enabled.
func modemManager(t *testing.T, m *Modem) string {
	t.Helper()
	for _, program := range []string{"ModemManager", "mmcli", "gdbus", "dbus-run-session"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s (Debian packages modemmanager, libglib2.0-bin, dbus)", program)
		}
	}
	plugin, err := filepath.Glob("/usr/lib/*/ModemManager/libmm-plugin-generic.so")
	if err != nil || len(plugin) == 0 {
		t.Skip("no generic plug-in of ModemManager")
	}
	port := fmt.Sprintf("abstract:posdx%d", os.Getpid())
	listener, err := net.Listen("unix", "@"+port)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { m.Serve(ctx, c) })
		}
	})
	defer serving.Wait()
	defer cancel()
	defer listener.Close()
	script := fmt.Sprintf(`
		ModemManager --test-session --test-enable --no-auto-scan --log-level=ERR --test-plugin-dir=%s 2>/dev/null & manager=$!
		bus="--session -d org.freedesktop.ModemManager1 -o /org/freedesktop/ModemManager1"
		try() { for i in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; echo "never: $*"; kill $manager; exit 1; }
		try gdbus introspect $bus
		gdbus call $bus -m org.freedesktop.ModemManager1.Test.SetProfile lab generic "['%s']"
		try mmcli --test-session -m any
		mmcli --test-session -m any -e
		mmcli --test-session -m any --signal-setup=1
		try sh -c "mmcli --test-session -m any --signal-get | grep -q dB"
		mmcli --test-session -m any
		mmcli --test-session -m any --signal-get
		kill $manager; wait`, filepath.Dir(plugin[0]), port)
	out, err := exec.Command("timeout", "150", "dbus-run-session", "--", "sh", "-c", script).CombinedOutput()
	t.Logf("ended with %v", err)
	return strings.Join(strings.Fields(string(out)), " ")
}

func TestModemManagerTakesItForAModem(t *testing.T) {
	out := modemManager(t, NewModem(Plain(), GoodModem(), 1))
	for _, want := range []string{"manufacturer: posdx", "model: simulated 27.007 modem", "state: registered", "access tech: lte", "registration: home",
		"packet service state: attached", "rsrp: -85.00 dBm", "rsrq: -8.00 dB"} {
		if !strings.Contains(out, want) {
			t.Errorf("ModemManager: no %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
