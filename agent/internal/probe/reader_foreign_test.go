package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/drivers/reader"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
)

// tee is a reader whose line is wired to a tap too.
type tee struct {
	sim.Peer
	tap *sim.Wire
}

type teed struct {
	io.ReadWriteCloser
	tap *sim.Wire
}

func (t tee) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return t.Peer.Serve(ctx, teed{rw, t.tap})
}

func (t teed) Write(b []byte) (int, error) {
	if _, err := t.tap.Write(b); err != nil {
		return 0, err
	}
	return t.ReadWriteCloser.Write(b)
}

// pcscd, with libccid in it, is a payment application's stand-in that we did not write: it holds the reader, so that we
// stay away from it, and sells on it, so that the tap counts.
func TestPcscdSellsAndIsHeard(t *testing.T) {
	for _, program := range []string{"pcscd", "scriptor", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s (Debian packages pcscd, pcsc-tools, util-linux)", program)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give pcscd a /run of its own")
	}
	const driver = "/usr/lib/pcsc/drivers/serial/libccidtwin.so"
	if _, err := os.Stat(driver); err != nil {
		t.Skip("no libccidtwin.so (Debian package libccid)")
	}
	s := sim.NewReader(sim.GemPCTwin(), 1)
	s.Insert()
	wire := sim.NewWire()
	ears := plugged(t, wire)
	line := plugged(t, tee{s, wire})
	var reads reader.Reads
	config := ReaderConfig{Name: "reader0", Protocol: "gempc-twin", Dedicated: true, Reads: &reads}
	config.Tap = tapped(t, config, ears)

	dir := t.TempDir()
	conf := fmt.Sprintf("FRIENDLYNAME \"GemPCTwin\"\nDEVICENAME %s:GemPCTwin\nLIBPATH %s\nCHANNELID 1\n", line.Path(), driver)
	if err := os.WriteFile(filepath.Join(dir, "reader.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := strings.Join([]string{
		"reset",
		"00 A4 04 00 0E 31 50 41 59 2E 53 59 53 2E 44 44 46 30 31",
		"80 A8 00 00 02 83 00",
		"00 B2 01 0C 00",
		"80 AE 80 00 01 00",
	}, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "commands"), []byte(commands), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", `
		set -e
		mount -t tmpfs none /run
		mkdir /run/pcscd
		pcscd --foreground --config "$1/reader.conf" >"$1/pcscd.log" 2>&1 & daemon=$!
		for i in $(seq 300); do test -S /run/pcscd/pcscd.comm && break; sleep 0.1; done
		scriptor "$1/commands"
		touch "$1/sold"
		for i in $(seq 600); do test -e "$1/seen" && break; sleep 0.1; done
		kill $daemon; wait $daemon || true`, "sh", dir)
	cmd.WaitDelay = 10 * time.Second
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	log := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, "pcscd.log"))
		return out.String() + "\n" + string(b)
	}
	housetest.Until(t, "the card has been spoken to", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("ended early: %v\n%s", err, log())
		default:
		}
		_, err := os.Stat(filepath.Join(dir, "sold"))
		return err == nil
	})
	held := Reader(ReaderConfig{Name: "reader0", Port: line.Path()})
	if got := show(ran(t, held[:1])["reader.port"], "reason"); got != "cannot-tell in-use" {
		t.Errorf("pcscd holds the reader, and we say %s", got)
	}
	s.Remove()
	if err := os.WriteFile(filepath.Join(dir, "seen"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v\n%s", err, log())
	}
	if n := strings.Count(out.String(), "90 00"); n < 4 {
		t.Fatalf("the card was asked and answered %d times, want 4\n%s", n, log())
	}
	housetest.Until(t, "the card is counted", func() bool { return reads.Tally(time.Now()).Steps[reader.StepCryptogram].Cards > 0 })
	got := ran(t, Reader(config)[:1])
	tally := reads.Tally(time.Now())
	for _, step := range []reader.Step{reader.StepPowerOn, reader.StepSelect, reader.StepStart, reader.StepRead,
		reader.StepCryptogram} {
		if tally.Steps[step].Cards == 0 || tally.Steps[step].Failed != 0 {
			t.Errorf("%v: %+v", step, tally.Steps[step])
		}
	}
	if tally.Cards != (reader.Rate{Cards: 1}) || tally.Head != reader.HeadChip || show(got["reader.port"], "outcome") != "ok ok" || show(got["reader.line"], "crc") != "ok 0" {
		t.Errorf("%+v\n%v", tally, got)
	}
}
