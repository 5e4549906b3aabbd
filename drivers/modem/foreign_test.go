package modem

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

// iaxmodem is a modem that we did not write: spandsp's AT interpreter behind a pty. It has no SIM and no radio, answers
// OK alone to most of 27.007, echoes, and speaks V.250 as dial-up modems do. No telephone line is needed to ask it.
func iaxmodem(t *testing.T) (tty string) {
	t.Helper()
	if _, err := exec.LookPath("iaxmodem"); err != nil {
		t.Skip("no iaxmodem (Debian package iaxmodem)")
	}
	if os.Getuid() != 0 {
		t.Skip("iaxmodem gives its tty to an owner: needs root")
	}
	dir := t.TempDir()
	tty = filepath.Join(dir, "tty")
	config := filepath.Join(dir, "config")
	text := fmt.Sprintf("device %s\nowner root:root\nmode 660\nport 0\nrefresh 0\nserver 127.0.0.1\ncodec slinear\n", tty)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// It looks for its configuration below /etc/iaxmodem.
	cmd := exec.Command("iaxmodem", "../.."+config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if !housetest.Within(20*time.Second, func() bool { _, err := os.Stat(tty); return err == nil }) {
		t.Skip("iaxmodem made no tty")
	}
	return tty
}

func TestForeignModem(t *testing.T) {
	tty := iaxmodem(t)
	if use, err := serial.Look(tty); err != nil || !use.Held || use.Owner.Command != "iaxmodem" {
		t.Errorf("iaxmodem has its own tty open, so it must be found as the owner: %+v, %v", use, err)
	}
	p, err := serial.Open(serial.Config{Path: tty, Baud: 115200, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := Ask(t.Context(), p, Config{DialUp: true})
	if err != nil || r.Model != "spandsp" || r.Lost != 0 || r.Garbage != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	d := New(p)
	for _, c := range []struct{ command, want string }{{"ATI0", "spandsp"}, {"ATS7?", "060"}} {
		if lines, err := d.Command(t.Context(), c.command, ""); err != nil || len(lines) != 1 || lines[0] != c.want {
			t.Errorf("%s: %q, %v", c.command, lines, err)
		}
	}
	if _, err := d.Command(t.Context(), "AT+CGMI", ""); err == nil {
		t.Error("it has learned AT+CGMI: good, but this test wants an ERROR")
	}
	// A call of somebody else that comes to nothing, in the words of a foreign modem.
	if _, err := p.Write([]byte("ATDT5551234\r")); err != nil {
		t.Fatal(err)
	}
	dial := New(p)
	stop, err := serial.Bind(t.Context(), p, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for result := ""; result == ""; {
		line, err := dial.next()
		if final, ok := dial.final(line); ok {
			if result = LineOutcome(final.Final); result != "no-dialtone" {
				t.Errorf("a call without a line: %s", final.Final)
			}
		}
		if err != nil {
			t.Fatalf("a call without a line: %v", err)
		}
	}
	stop()
	if r, err = Ask(t.Context(), p, Config{DialUp: true}); err != nil || r.Line != (Line{}) {
		// it has no AT#UD and no register 6C
		t.Errorf("%+v, %v", r.Line, err)
	}
	// A cellular visit to it must end, and invent neither SIM nor signal.
	r, err = Ask(t.Context(), p, Config{})
	if err != nil || r.SIM != SIMUnknown || len(r.Signals) != 0 || r.Bearer.Active || r.Bearer.Address.IsValid() {
		t.Errorf("%+v, %v", r, err)
	}
}
