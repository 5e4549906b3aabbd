package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
)

// lined gives a simulated device a tty.
func lined(t *testing.T, peer sim.Peer) string {
	t.Helper()
	l := sim.NewLine(filepath.Join(t.TempDir(), "tty"), peer, 1)
	if err := l.Plug(); err != nil {
		t.Skipf("no pty here: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Path()
}

// asked runs a check through the hook and returns what it found.
func asked(t *testing.T, c hook.Client, check string) report.Evidence {
	t.Helper()
	for _, a := range ask(t, c, map[string]any{"type": "check", "names": []string{check}}) {
		for _, e := range a.Evidence {
			if e.Check == check {
				return e
			}
		}
	}
	t.Fatalf("no evidence of %s", check)
	return report.Evidence{}
}

// What is overheard on a reader's line is counted beside what the payment application tells, and outlasts a restart.
func TestCardsAreCountedOverARestart(t *testing.T) {
	s := sim.NewStripeReader(1)
	dir := t.TempDir()
	c := mustParse(t, least+fmt.Sprintf("state_dir = %q\n[hook]\nsocket = %q\n[[reader]]\nname = \"reader0\"\nprotocol = \"msr\"\nrx = [%q]\ndedicated = true\n", dir, dir+"/s", lined(t, s)))
	client, stop := startIn(t, c)
	// The tap may not have opened its port yet: what is swiped before is nobody's.
	cards := func() float64 { n, _ := asked(t, client, "reader.reads").Facts.Num("cards"); return n }
	for limit := time.Now().Add(60 * time.Second); cards() < 8 && time.Now().Before(limit); {
		before := cards()
		if _, err := s.Swipe(); err != nil {
			t.Fatal(err)
		}
		housetest.Within(time.Second, func() bool { return cards() != before })
	}
	swiped := cards()
	for range 5 { // overheard already
		ask(t, client, map[string]any{"type": "txn", "phase": "read", "entry": "stripe", "ok": true})
	}
	ask(t, client, map[string]any{"type": "txn", "phase": "read", "entry": "contactless", "ok": true})
	if n := cards() - swiped; n < 1 || n >= 5 { // one, and a swipe that was heard late
		t.Errorf("%v more cards, want the contactless one", n)
	}
	e := asked(t, client, "reader.reads")
	if level, _ := e.Facts.Str("level"); e.Status != report.OK || level != "good" {
		t.Errorf("%+v", e)
	}
	before := cards()
	stop()
	file := filepath.Join(dir, "reads0.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 8<<10 {
		t.Errorf("%d bytes", len(b))
	}

	client, stop = startIn(t, c)
	if after := cards(); after < before { // the last swipe may have been heard after it was asked
		t.Errorf("%v cards before the restart, %v after", before, after)
	}
	written, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if again, err := os.Stat(file); err != nil || !again.ModTime().Equal(written.ModTime()) {
		t.Errorf("written though no card was read: %v, %v", again, err)
	}
}

// A PIN pad and a printer that fail on their own ports are found, with nobody telling.
func TestPINPadAndPrinterAreFound(t *testing.T) {
	pad, printer := sim.NewPINPad(1), sim.NewPrinter()
	client, _, stop := start(t, fmt.Sprintf("[[pinpad]]\nname = \"pinpad0\"\nport = %q\ndedicated = true\nkeys = [\"dukpt-pin:1\"]\n[[printer]]\nname = \"printer0\"\nport = %q\ndedicated = true\n", lined(t, pad), lined(t, printer)))
	defer stop()
	for _, c := range []struct {
		name, code, check, outcome, cause string
		breaks                            func()
	}{
		{"no paper", "newpos-prn:0x02", "printer.status", "no-paper", "printer.fault", func() { printer.Change(func(s *sim.PrinterState) { s.PaperOut = true }) }},
		{"head too hot", "newpos-prn:0x03", "printer.status", "over-heat", "printer.fault", func() { printer.Change(func(s *sim.PrinterState) { *s = sim.PrinterState{Hot: true} }) }},
		{"pad silent", "newpos-ped:0x03", "pinpad.port", "silent", "pinpad.fault", func() { pad.Change(func(s *sim.PINPadState) { s.Silent = true }) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.breaks()
			var d *report.Diagnosis
			for _, a := range ask(t, client, map[string]any{"type": "code", "code": c.code, "origin": "terminal", "scheme": "terminal-local", "wait": "final", "full": true}) {
				if a.Diagnosis != nil {
					d = a.Diagnosis
				}
			}
			if d == nil || !d.Final || len(d.Causes) == 0 {
				t.Fatalf("%+v", d)
			}
			found := ""
			for _, e := range d.Evidence {
				if e.Check == c.check {
					found, _ = e.Facts.Str("outcome")
				}
			}
			if found != c.outcome || d.Causes[0].ID != c.cause {
				t.Errorf("found %q and %s first, want %q and %s", found, d.Causes[0].ID, c.outcome, c.cause)
			}
		})
	}
	// A key that is gone is a finding of its own.
	pad.Change(func(s *sim.PINPadState) { s.Silent, s.Keys[2] = false, s.Keys[0] })
	if e := asked(t, client, "app.keys"); e.Status != report.Bad || e.Subject != "pinpad0" {
		t.Errorf("%+v", e)
	}
	if _, other := printer.Asked(); other != 0 {
		t.Errorf("%d bytes would have been printed", other)
	}
}

// A port that cannot be overheard is a mistake of the configuration, told before anything starts.
func TestUnknownDevicesAreToldAtTheStart(t *testing.T) {
	for _, text := range []string{
		"[[reader]]\nname = \"r\"\nprotocol = \"neo\"\nrx = [\"a\"]\n",
		"[[pinpad]]\nname = \"p\"\nport = \"a\"\nprotocol = \"morse\"\n",
		"[[pinpad]]\nname = \"p\"\nport = \"a\"\nkeys = [\"pin\"]\n",
		"[[printer]]\nname = \"q\"\nport = \"a\"\nprotocol = \"morse\"\n",
	} {
		c, err := parseConfig([]byte(least + fmt.Sprintf("state_dir = %q\n", t.TempDir()) + strings.ReplaceAll(text, `"a"`, `"/dev/ttyNONE"`)))
		if err == nil {
			t.Errorf("accepted:\n%s", text)
		}
		// Whoever comes past the check of the configuration is stopped by the assembly.
		if _, _, _, err := assemble(c, slog.New(slog.DiscardHandler), &report.Gate{}); err == nil {
			t.Errorf("assembled:\n%s", text)
		}
	}
}
