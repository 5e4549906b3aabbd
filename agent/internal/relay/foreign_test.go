package relay

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posdx/drivers/sim"
)

// TestLibccidThroughTheRelay has a program that we did not write use the relay: libccid's serial driver, with a
// simulated reader as the device. It sets the line by itself, checks every sum, and gives up after a second.
func TestLibccidThroughTheRelay(t *testing.T) {
	const libccid = "/usr/lib/pcsc/drivers/serial/libccidtwin.so"
	if _, err := os.Stat(libccid); err != nil {
		t.Skip("no libccidtwin.so (Debian package libccid)")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "ccidtwin")
	if out, err := exec.Command("gcc", "-rdynamic", "-o", program, "../../../drivers/sim/testdata/ccidtwin.c", "-ldl").CombinedOutput(); err != nil {
		t.Skipf("no C compiler (Debian packages gcc, libc6-dev): %v\n%s", err, out)
	}
	reader := sim.NewReader(sim.GemPCTwin(), 1)
	reader.Insert()
	line := sim.NewLine(filepath.Join(dir, "ttyReader"), reader, 1)
	if err := line.Plug(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { line.Close() })
	log := &notebook{}
	r := &rig{t: t, log: log, c: Config{Device: line.Path(), Link: filepath.Join(dir, "app"), Group: -1,
		Line: Line{Baud: 9600}, Log: slog.New(slog.NewTextHandler(log, nil))}}
	r.run()
	for range 2 { // it closes its port and comes again
		driver := exec.CommandContext(t.Context(), program, libccid, r.c.Link+":GemPCTwin")
		in, err := driver.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := driver.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := driver.Start(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(in, "presence\nup\ndown\n")
		in.Close()
		var said []string
		for s := bufio.NewScanner(out); s.Scan(); {
			if !strings.Contains(s.Text(), "RS232 signals") { // a pty has no modem lines
				said = append(said, s.Text())
			}
		}
		driver.Wait()
		if want := []string{"create 0", "presence 615", "power 0 3B020001", "power 0 ", "close 0"}; !slices.Equal(said, want) {
			t.Errorf("libccid says %q, want %q", said, want)
		}
	}
	if !strings.Contains(log.b.String(), "9600 8N1") {
		t.Errorf("log: %s", log.b.String())
	}
}
