package sim

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
