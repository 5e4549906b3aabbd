package probe

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/drivers/reader"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
)

func TestPINPad(t *testing.T) {
	s := sim.NewPINPad(1)
	l := plugged(t, s)
	probes, err := PINPad(PINPadConfig{Port: l.Path(), Dedicated: true, Keys: []string{"dukpt-pin:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		change     func(*sim.PINPadState)
		port, keys string
	}{
		{"healthy", func(*sim.PINPadState) {}, "ok ok SIM 20 8MB POSDX SO:3.45 - -", "ok ok -"},
		{"a key is gone", func(s *sim.PINPadState) { s.Keys[2] = s.Keys[0] }, "ok ok SIM 20 8MB POSDX SO:3.45 - -", "bad missing -"},
		{"old", func(s *sim.PINPadState) { s.Old = true }, "ok ok SIM 20 8MB POSDX SO:3.45 - -", "cannot-tell - unsupported"},
		{"in a secure session", func(s *sim.PINPadState) { s.Secure = true }, "ok ok - - - 009 -", "cannot-tell - unsupported"},
		{"broken", func(s *sim.PINPadState) { s.Broken = true }, "bad fault - - - 040 -", "cannot-tell - unsupported"},
		{"silent", func(s *sim.PINPadState) { s.Silent = true }, "bad silent - - - - -", "cannot-tell - masked"},
		{"dies in every answer", func(s *sim.PINPadState) { s.Cut = true }, "bad fault - - - - -", "cannot-tell - masked"},
		{"cannot read us", func(s *sim.PINPadState) { s.NAK = 1 }, "bad fault - - - - -", "cannot-tell - masked"},
		{"an answer of another's comes first", func(s *sim.PINPadState) { s.Leftover = true }, "ok ok SIM 20 8MB POSDX SO:3.45 - -", "ok ok -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before sim.PINPadState
			s.Change(func(s *sim.PINPadState) { before = *s; c.change(s) })
			defer s.Change(func(s *sim.PINPadState) { *s = before })
			got := ran(t, probes)
			if port := show(got["pinpad.port"], "outcome", "model", "maker", "firmware", "code", "reason"); port != c.port {
				t.Errorf("port: got %s, want %s", port, c.port)
			}
			if keys := show(got["app.keys"], "state", "reason"); keys != c.keys {
				t.Errorf("keys: got %s, want %s", keys, c.keys)
			}
			if text := fmt.Sprint(got); strings.Contains(text, "4111") || strings.Contains(text, "01927612") {
				t.Errorf("more came through than should: %s", text)
			}
		})
	}
	for command, n := range s.Asked() {
		if command != "GIX" && command != "GIN" {
			t.Errorf("command %q was sent %d times", command, n)
		}
	}
	l.Unplug()
	if got := show(ran(t, probes)["pinpad.port"], "outcome"); got != "bad gone" {
		t.Errorf("unplugged: %s", got)
	}
}

func TestPINPadConfig(t *testing.T) {
	for _, c := range []PINPadConfig{{Port: "p", Protocol: "morse"}, {Port: "p", Keys: []string{"pin:1"}},
		{Port: "p", Keys: []string{"mk-pin"}}, {Port: "p", Keys: []string{"mk-pin:100"}}} {
		if _, err := PINPad(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	list, err := PINPad(PINPadConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if got := show(ran(t, list)["pinpad.port"], "reason"); got != "not-run absent" {
		t.Error(got)
	}
}

func TestPrinter(t *testing.T) {
	s := sim.NewPrinter()
	l := plugged(t, s)
	usb := filepath.Join(t.TempDir(), "lp0") // a printer that is no tty, as far as a pty can be one
	tty, err := filepath.EvalSymlinks(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tty, usb); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{l.Path(), usb} {
		probes, err := Printer(PrinterConfig{Port: port, Dedicated: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name  string
			state sim.PrinterState
			want  string
		}{
			{"healthy", sim.PrinterState{}, "ok ok - -"},
			{"paper low", sim.PrinterState{PaperLow: true}, "ok paper-low poor -"},
			{"no paper", sim.PrinterState{PaperOut: true}, "bad no-paper - -"},
			{"cover open", sim.PrinterState{CoverOpen: true, PaperOut: true}, "bad cover-open - -"},
			{"jam", sim.PrinterState{Cutter: true}, "bad jam - -"},
			{"hot", sim.PrinterState{Hot: true}, "bad over-heat - -"},
			{"hot because the cover is open", sim.PrinterState{Hot: true, CoverOpen: true}, "bad cover-open - -"},
			{"broken", sim.PrinterState{Broken: true}, "bad fault - -"},
			{"off", sim.PrinterState{Silent: true}, "bad silent - -"},
			{"rubbish", sim.PrinterState{Rubbish: true}, "bad fault - -"},
			{"other baud rate", sim.PrinterState{Mistuned: true}, "bad fault - -"},
			{"simple", sim.PrinterState{Simple: true}, "ok ok - -"},
			{"simple, and off line", sim.PrinterState{Simple: true, PaperOut: true}, "cannot-tell - - unsupported"},
			{"one answer behind", sim.PrinterState{Behind: 1}, "ok ok - -"},
			{"one behind, without paper", sim.PrinterState{Behind: 1, PaperOut: true}, "bad no-paper - -"},
			{"says its status unasked", sim.PrinterState{Unasked: true, PaperOut: true}, "bad no-paper - -"},
		} {
			if port == usb && (c.state.Silent || c.state.Rubbish || c.state.Mistuned || c.state.Simple) {
				continue // slow, and the same as on a tty
			}
			s.Change(func(s *sim.PrinterState) { *s = c.state })
			if got := show(ran(t, probes)["printer.status"], "outcome", "level", "reason"); got != c.want {
				t.Errorf("%s, %s: got %s, want %s", filepath.Base(port), c.name, got, c.want)
			}
		}
	}
	if n, other := s.Asked(); other != 0 || n == 0 {
		t.Errorf("%d questions, %d bytes that would be printed", n, other)
	}
	l.Unplug()
	if err := os.Remove(usb); err != nil { // the number of its tty may be another's already
		t.Fatal(err)
	}
	for _, port := range []string{l.Path(), usb} {
		probes, _ := Printer(PrinterConfig{Port: port, Dedicated: true})
		if got := show(ran(t, probes)["printer.status"], "outcome"); got != "bad gone" {
			t.Errorf("unplugged %s: %s", port, got)
		}
	}
}

func TestPrinterConfig(t *testing.T) {
	for _, c := range []PrinterConfig{{Port: "/dev/ttyS0", Protocol: "morse"}, {Port: "/dev/ttyS0", Protocol: "port"}} {
		if _, err := Printer(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	// What has no port status says so and is not written to.
	l := plugged(t, sim.NewPrinter())
	usb := filepath.Join(t.TempDir(), "lp0")
	if tty, err := filepath.EvalSymlinks(l.Path()); err != nil || os.Symlink(tty, usb) != nil {
		t.Fatal(err)
	}
	list, err := Printer(PrinterConfig{Port: usb, Dedicated: true, Protocol: "port"})
	if err != nil {
		t.Fatal(err)
	}
	if got := show(ran(t, list)["printer.status"], "reason"); got != "cannot-tell unsupported" {
		t.Error(got)
	}
}

// A device that somebody else holds is not touched, whatever it is.
func TestPeripheralsInUse(t *testing.T) {
	pad, printer := sim.NewPINPad(1), sim.NewPrinter()
	pl, rl := plugged(t, pad), plugged(t, printer)
	usb := filepath.Join(t.TempDir(), "lp0")
	if tty, err := filepath.EvalSymlinks(rl.Path()); err != nil || os.Symlink(tty, usb) != nil {
		t.Fatal(err)
	}
	housetest.Hold(t, pl.Path())
	housetest.Hold(t, rl.Path())
	a, _ := PINPad(PINPadConfig{Port: pl.Path(), Dedicated: true, Keys: []string{"mk-pin:0"}})
	b, _ := Printer(PrinterConfig{Port: rl.Path(), Dedicated: true})
	c, _ := Printer(PrinterConfig{Port: usb, Dedicated: true})
	for _, list := range [][]Probe{a, b, c} {
		for check, e := range ran(t, list) {
			if s := show(e, "reason"); s != "cannot-tell in-use" {
				t.Errorf("%s: %s", check, s)
			}
		}
	}
	if n, other := printer.Asked(); len(pad.Asked()) != 0 || n+other != 0 {
		t.Errorf("the pad was asked %v, the printer %d %d", pad.Asked(), n, other)
	}
}

// A sale that begins ends every question at once, long before its own time is up, and leaves the port free.
func TestSaleEndsEveryQuestion(t *testing.T) {
	ccid, neo, pad, printer := sim.NewReader(sim.GemPCTwin(), 1), sim.NewNEOReader(), sim.NewPINPad(1), sim.NewPrinter()
	ccid.Change(func(s *sim.ReaderState) { s.Silent = true })
	neo.Change(func(s *sim.NEOState) { s.Silent = true })
	pad.Change(func(s *sim.PINPadState) { s.Silent = true })
	printer.Change(func(s *sim.PrinterState) { s.Silent = true })
	var probes []Probe
	probes = append(probes, Reader(ReaderConfig{Name: "r", Port: plugged(t, ccid).Path(), Dedicated: true})[0])
	probes = append(probes, Reader(ReaderConfig{Name: "n", Port: plugged(t, neo).Path(), Dedicated: true, Protocol: "neo"})[0])
	a, _ := PINPad(PINPadConfig{Port: plugged(t, pad).Path(), Dedicated: true})
	b, _ := Printer(PrinterConfig{Port: plugged(t, printer).Path(), Dedicated: true})
	probes = append(append(probes, a...), b...)
	r := NewRunner(probes)
	ended := make(chan []report.Evidence, len(probes))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(t.Context(), probes, func(e []report.Evidence) { ended <- e })
	}()
	housetest.Until(t, "one is being asked", func() bool {
		held := len(ended)
		for _, token := range r.devices {
			held += len(token)
		}
		return held >= len(probes)
	})
	early := len(ended) // on a very slow machine a silent device may have had its time already
	r.SaleBegins(time.Now())
	<-done
	cut := 0
	for range probes {
		for _, e := range <-ended {
			if show(e, "reason") == "not-run in-sale" {
				cut++
			}
		}
	}
	if cut == 0 && early < len(probes) {
		t.Error("no question was cut short")
	}
	housetest.Until(t, "every port is let go", func() bool {
		for _, token := range r.devices {
			if len(token) > 0 {
				return false
			}
		}
		return true
	})
	// Each by itself, with no runner in between.
	for _, p := range probes {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, e := range p.Run(ctx) {
			if e.Status != report.CannotTell {
				t.Errorf("%s of %s with a dead context: %+v", e.Check, e.Subject, e)
			}
		}
	}
}

// Devices that fail in every way leave neither a descriptor nor a goroutine behind; POSDX_LONG does it ten thousand
// times.
func TestPeripheralsLeaveNothingBehind(t *testing.T) {
	cycles := 24
	if os.Getenv("POSDX_LONG") != "" {
		cycles = 10_000
	}
	pad, printer, motor, wire := sim.NewPINPad(1), sim.NewPrinter(), sim.NewCRTReader(reader.CRT591), sim.NewWire()
	pl, rl, ml, wl := plugged(t, pad), plugged(t, printer), plugged(t, motor), plugged(t, wire)
	a, _ := PINPad(PINPadConfig{Port: pl.Path(), Dedicated: true})
	b, _ := Printer(PrinterConfig{Port: rl.Path(), Dedicated: true})
	probes := append(append(a, b...), Reader(ReaderConfig{Port: ml.Path(), Protocol: "crt591", Dedicated: true})[0])
	faults := []func(on bool){
		func(bool) {},
		func(on bool) { pad.Change(func(s *sim.PINPadState) { s.NAK = chance(on) }) },
		func(on bool) { pad.Change(func(s *sim.PINPadState) { s.BadCRC = chance(on) }) },
		func(on bool) { motor.Change(func(s *sim.CRTState) { s.NAK = on }) },
		func(on bool) { printer.Change(func(s *sim.PrinterState) { s.Unasked = on }) },
		func(on bool) {
			for _, l := range []*sim.Line{pl, rl, ml} {
				if on {
					l.Unplug()
				} else if err := l.Plug(); err != nil {
					t.Error(err)
				}
			}
		},
	}
	cycle := func(i int) {
		spoil := faults[i%len(faults)]
		spoil(true)
		ran(t, probes)
		spoil(false)
		tap, err := NewReaderTap(ReaderConfig{Name: "r", Protocol: "msr", Dedicated: true, Reads: &reader.Reads{}},
			[]string{wl.Path()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tap.Run(ctx) }()
		housetest.Until(t, "the tap listens", func() bool { tap.mu.Lock(); defer tap.mu.Unlock(); return tap.deaf[0] == nil })
		cancel()
		<-done
	}
	for i := range len(faults) {
		cycle(i)
	}
	fds, gos := housetest.Descriptors(t), runtime.NumGoroutine()
	for i := range cycles {
		cycle(i)
	}
	housetest.Until(t, "as many descriptors and goroutines as before", func() bool { return housetest.Descriptors(t) <= fds && runtime.NumGoroutine() <= gos+2 })
}

func chance(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
