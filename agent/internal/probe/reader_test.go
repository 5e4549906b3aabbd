package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/drivers/reader"
	"posdx/drivers/serial"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
)

// tapped makes a tap on lines and lets it listen until the test ends.
func tapped(t *testing.T, c ReaderConfig, lines ...*sim.Line) *ReaderTap {
	t.Helper()
	var rx []string
	for _, l := range lines {
		rx = append(rx, l.Path())
	}
	tap, err := NewReaderTap(c, rx)
	if err != nil {
		t.Fatal(err)
	}
	tap.reopen = time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tap.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	housetest.Until(t, "the tap listens", func() bool { tap.mu.Lock(); defer tap.mu.Unlock(); return errors.Join(tap.deaf...) == nil })
	return tap
}

func TestTappedStripeReader(t *testing.T) {
	var reads reader.Reads
	s := sim.NewStripeReader(1)
	l := plugged(t, s)
	c := ReaderConfig{Name: "reader1", Protocol: "msr", Dedicated: true, Reads: &reads, Track1: true}
	c.Tap = tapped(t, c, l)
	probes := Reader(c)
	got := ran(t, probes)
	for check, want := range map[string]string{
		show(got["reader.port"], "reason"): "cannot-tell too-few", show(got["reader.reads"], "reason"): "cannot-tell too-few",
		show(got["reader.selftest"], "reason"): "not-run absent",
	} {
		if check != want {
			t.Errorf("quiet: got %s, want %s", check, want)
		}
	}
	cards := 0
	swipe := func(n int) {
		for range n {
			if _, err := s.Swipe(); err != nil {
				t.Fatal(err)
			}
			cards++
			housetest.Until(t, "the swipe is heard", func() bool { x := reads.Totals(); return int(x.Good+x.Failed) == cards })
		}
	}
	swipe(30)
	got = ran(t, probes)
	if port, r := show(got["reader.port"], "outcome"), show(got["reader.reads"], "level", "head", "cards", "cards_failed"); port != "ok ok" || r != "ok good stripe 30 0" {
		t.Errorf("clean: %s, %s", port, r)
	}
	s.Dirty = [3]float64{0, 0.5, 0} // track 1 still carries the sale
	swipe(30)
	got = ran(t, probes)
	if r := show(got["reader.reads"], "level", "cards_failed"); r != "ok good 0" {
		t.Errorf("dirty track 2: %s", r)
	}
	by, _ := got["reader.reads"].Facts["failed_low_pct_by"].(map[string]float64)
	if by["track2"] < 10 || by["track1"] != 0 {
		t.Errorf("dirty track 2: by part %v", by)
	}
	if n := got["reader.reads"].Facts["statistics"].(map[string]float64)["ParityLRCErrorTrack2Count"]; n < 8 {
		t.Errorf("statistics: %v", got["reader.reads"].Facts["statistics"])
	}
	if text := fmt.Sprint(got); strings.Contains(text, "4111") {
		t.Errorf("a card came through: %s", text)
	}
}

// A reader that echoes needs one wire, any other two.
func TestTappedChipReader(t *testing.T) {
	for _, c := range []struct {
		model sim.ReaderModel
		wires int
	}{{sim.GemPCTwin(), 1}, {sim.GemCorePOSPro(), 2}} {
		t.Run(c.model.Name, func(t *testing.T) {
			var reads reader.Reads
			s := sim.NewReader(c.model, 1)
			wires := []*sim.Wire{sim.NewWire(), sim.NewWire()}[:c.wires]
			var lines []*sim.Line
			for _, w := range wires {
				lines = append(lines, plugged(t, w))
			}
			config := ReaderConfig{Name: "reader0", Dedicated: true, Reads: &reads}
			config.Tap = tapped(t, config, lines...)
			probes := Reader(config)
			cards := 0
			sell := func(n int) {
				for range n {
					var toReader *sim.Wire
					if c.wires == 2 {
						toReader = wires[1]
					}
					sale(t, s, wires[0], toReader, config.Tap)
					cards++
					housetest.Until(t, "the card is counted", func() bool { x := reads.Totals(); return int(x.Good+x.Failed) == cards })
				}
			}
			sell(10)
			got := ran(t, probes)
			if port, r := show(got["reader.port"], "outcome"), show(got["reader.reads"], "level", "head", "cards", "cards_failed"); port != "ok ok" || r != "ok good chip 10 0" {
				t.Errorf("clean: %s, %s", port, r)
			}
			steps := reads.Tally(time.Now()).Steps
			for _, step := range []reader.Step{reader.StepPowerOn, reader.StepSelect, reader.StepStart, reader.StepRead,
				reader.StepCryptogram} {
				if steps[step].Cards != 10 {
					t.Errorf("%v: %+v", step, steps[step])
				}
			}
			// One bad card, tried by its owner again and again, is one.
			s.Change(func(s *sim.ReaderState) { s.Dirty = 1 })
			sell(6)
			got = ran(t, probes)
			by, _ := got["reader.reads"].Facts["failed_low_pct_by"].(map[string]float64)
			if r := show(got["reader.reads"], "level", "cards", "cards_failed"); r != "ok fair 11 1" || by["power-on"] == 0 || by["select"] != 0 {
				t.Errorf("a bad card: %s, by %v", r, by)
			}
			if crc := show(got["reader.line"], "level", "crc"); crc != "ok good 0" {
				t.Errorf("line: %s", crc)
			}
		})
	}
}

// sale lets a reader sell, in the order in which a line carries it: no answer before its command has been heard.
func sale(t *testing.T, s *sim.Reader, from, to *sim.Wire, tap *ReaderTap) {
	t.Helper()
	var err error
	if to == nil {
		_, err = s.Sale(from, nil)
	} else {
		_, err = s.Sale(from, after(func(b []byte) (int, error) {
			housetest.Until(t, "the last answer is heard", func() bool { return tap.commands() == 0 })
			n, err := to.Write(b)
			housetest.Until(t, "the command is heard", func() bool { return tap.commands() == 1 })
			return n, err
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
}

type after func([]byte) (int, error)

func (f after) Write(b []byte) (int, error) { return f(b) }

// commands tells whether another command was heard: every one of a sale is followed by an answer, which sets it back.
func (t *ReaderTap) commands() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked
}

func TestTapHearsTrouble(t *testing.T) {
	var reads reader.Reads
	w := sim.NewWire()
	l := plugged(t, w)
	c := ReaderConfig{Name: "reader0", Dedicated: true, Reads: &reads}
	c.Tap = tapped(t, c, l)
	probes := Reader(c)
	say := func(b []byte, ok func() bool) {
		t.Helper()
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		housetest.Until(t, "it is heard", func() bool { c.Tap.mu.Lock(); defer c.Tap.mu.Unlock(); return ok() })
	}
	say([]byte("????"), func() bool { return c.Tap.health.Garbage >= 4 })
	if got := show(ran(t, probes)["reader.port"], "outcome"); got != "bad garbled" {
		t.Error(got)
	}
	answer := reader.Frame(nil, reader.Message{Type: reader.SlotStatus})
	say(answer, func() bool { return c.Tap.health.Answers == 1 })
	if got := show(ran(t, probes)["reader.port"], "outcome"); got != "ok ok" {
		t.Error(got)
	}
	for i := range silentAsks {
		say(reader.Frame(nil, reader.Message{Type: reader.GetSlotStatus, Seq: byte(i)}),
			func() bool { return c.Tap.asked == i+1 })
	}
	if got := show(ran(t, probes)["reader.port"], "outcome"); got != "bad silent" {
		t.Error(got)
	}
	answer[len(answer)-1] ^= 1
	for i := range 3 {
		say(answer, func() bool { return c.Tap.health.CRC == uint64(i+1) })
	}
	if got := show(ran(t, probes)["reader.line"], "level", "crc"); got != "bad bad 3" {
		t.Error(got)
	}
}

func TestTapConfig(t *testing.T) {
	for _, c := range []struct {
		protocol string
		rx       []string
		ok       bool
	}{
		{"msr", []string{"a"}, true}, {"msr", []string{"a", "b"}, false}, {"ccid", []string{"a", "b"}, true}, {"ccid", nil, false},
		{"ccid", []string{"a", "b", "c"}, false}, {"neo", []string{"a"}, false},
	} {
		if _, err := NewReaderTap(ReaderConfig{Name: "r", Protocol: c.protocol}, c.rx); (err == nil) != c.ok {
			t.Errorf("%s %v: %v", c.protocol, c.rx, err)
		}
	}
}

// A tap on a port that somebody holds waits for it.
func TestTapStaysAway(t *testing.T) {
	w := sim.NewWire()
	l := plugged(t, w)
	housetest.Hold(t, l.Path())
	tap, err := NewReaderTap(ReaderConfig{Name: "r", Protocol: "msr", Reads: &reader.Reads{}}, []string{l.Path()})
	if err != nil {
		t.Fatal(err)
	}
	config := ReaderConfig{Name: "r", Tap: tap}
	if err := tap.listen(t.Context(), tap.ports[0], 0); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	} else {
		tap.hears(0, err)
	}
	if got := show(ran(t, Reader(config))["reader.port"], "reason"); got != "cannot-tell in-use" {
		t.Error(got)
	}
}

// Wear shows in the check before a card fails.
func TestWearingHead(t *testing.T) {
	var reads reader.Reads
	now := time.Now()
	at := now.AddDate(0, 0, -20)
	for at.Before(now.Add(-time.Hour)) {
		recent := at.After(now.AddDate(0, 0, -1))
		if recent && at.Minute()%2 == 0 {
			reads.Note(reader.Attempt{At: at, Head: reader.HeadChip})
		}
		reads.Note(reader.Attempt{At: at.Add(time.Second), Head: reader.HeadChip, OK: true})
		at = at.Add(17 * time.Minute)
	}
	e := readsEvidence(ReaderConfig{Name: "reader0", Reads: &reads}, now)
	if got := show(e, "level", "wearing", "cards_failed"); got != "ok poor chip 0" {
		t.Errorf("%s: %v", got, e.Facts)
	}
}

func TestReadsKeeper(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reads.json")
	var reads reader.Reads
	k := &ReadsKeeper{Path: path, Reads: &reads}
	now := time.Now()
	if err := errors.Join(k.Load(now), k.Save()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written though nothing was read: %v", err)
	}
	for i := range 8 {
		reads.Note(reader.Attempt{At: now.Add(time.Duration(i-10) * 3 * time.Minute), Head: reader.HeadChip})
	}
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !after.ModTime().Equal(time.Unix(1, 0)) {
		t.Errorf("written again though nothing changed: %v, %v", before.ModTime(), after.ModTime())
	}

	var again reader.Reads
	if err := (&ReadsKeeper{Path: path, Reads: &again}).Load(now); err != nil {
		t.Fatal(err)
	}
	if got := show(readsEvidence(ReaderConfig{Name: "reader0", Reads: &again}, now), "head", "cards", "cards_failed"); got != "bad chip 8 8" {
		t.Errorf("after a restart: %s", got)
	}

	for name, b := range map[string]string{"empty": "", "half": `{"days":[{"day"`, "huge": strings.Repeat(" ", maxReadsFile+1), "other": `{"days":[{"day":-3,"heads":[[-1,2,3]]}],"recent":[{"head":99,"good":-1}]}`} {
		if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		var r reader.Reads
		if err := (&ReadsKeeper{Path: path, Reads: &r}).Load(now); (err == nil) != (name == "other") {
			t.Errorf("%s: %v", name, err)
		}
		if got := r.Tally(now); got.Cards.Cards != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	full := &ReadsKeeper{Path: filepath.Join(path, "none", "reads.json"), Reads: &reads}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := full.Run(ctx); err == nil {
		t.Error("what cannot be written was not said")
	}
}

func TestMotorReaders(t *testing.T) {
	for _, c := range []struct {
		protocol string
		kind     reader.CRTKind
		state    sim.CRTState
		want     string // outcome, model, firmware; outcome, code, note; card
	}{
		{"crt310", reader.CRT310, sim.CRTState{}, "ok ok - -; cannot-tell - - -; ok absent"},
		{"crt310", reader.CRT310, sim.CRTState{Card: true}, "ok ok - -; cannot-tell - - -; ok present"},
		{"crt310", reader.CRT310, sim.CRTState{Fault: 5}, "ok ok - -; bad fault 05 -; cannot-tell -"},
		{"crt310", reader.CRT310, sim.CRTState{Fault: 2}, "cannot-tell - - -; cannot-tell - - -; cannot-tell -"},
		{"crt310", reader.CRT310, sim.CRTState{Silent: true}, "bad silent - -; cannot-tell - - -; cannot-tell -"},
		{"crt310", reader.CRT310, sim.CRTState{Damaged: true}, "bad garbled - -; cannot-tell - - -; cannot-tell -"},
		{"crt310", reader.CRT310, sim.CRTState{CardDataFirst: true}, "ok ok - -; cannot-tell - - -; ok absent"},
		{"crt591", reader.CRT591, sim.CRTState{}, "ok ok CRT-591-M001 V1.02; cannot-tell - - -; ok absent"},
		{"crt591:0", reader.CRT591, sim.CRTState{Card: true}, "ok ok CRT-591-M001 V1.02; cannot-tell - - -; ok present"},
		{"crt591", reader.CRT591, sim.CRTState{Code: "10"}, "ok ok - -; bad fault 10 -; cannot-tell -"},
		{"crt591", reader.CRT591, sim.CRTState{Code: "B0"}, "ok ok - -; cannot-tell - - B0; cannot-tell -"},
		{"crt591", reader.CRT591, sim.CRTState{NAK: true}, "bad garbled - -; cannot-tell - - -; cannot-tell -"},
		{"crt591", reader.CRT591, sim.CRTState{Cut: true}, "bad garbled - -; cannot-tell - - -; cannot-tell -"},
		{"crt591", reader.CRT591, sim.CRTState{CardDataFirst: true}, "ok ok CRT-591-M001 V1.02; cannot-tell - - -; ok absent"},
	} {
		s := sim.NewCRTReader(c.kind)
		s.Change(func(s *sim.CRTState) { *s = c.state })
		l := plugged(t, s)
		got := ran(t, Reader(ReaderConfig{Port: l.Path(), Dedicated: true, Protocol: c.protocol})[:1])
		text := show(got["reader.port"], "outcome", "model", "firmware") + "; " + show(got["reader.selftest"], "outcome", "code", "note") + "; " + show(got["reader.slot"], "card")
		if text != c.want {
			t.Errorf("%s %+v:\ngot  %s\nwant %s\n%v", c.protocol, c.state, text, c.want, got)
		}
		for command := range s.Asked() {
			if command != "\x31\x30" && command != "\xA4\x30" {
				t.Errorf("%s: command % X was carried out", c.protocol, command)
			}
		}
		if strings.Contains(fmt.Sprint(got), "4111") {
			t.Errorf("a card came through: %v", got)
		}
	}
	for _, p := range []string{"crt310:1", "crt591:16", "crt591:x", "crt"} {
		if _, _, ok := reader.FindProtocol(p); ok {
			t.Errorf("%q was accepted", p)
		}
	}
}

// A SIM Pro 2 starts at 9600 and is switched to 115200 by whoever uses it. It is found at either, and left as it is.
func TestReaderThatIsSwitchedUp(t *testing.T) {
	s := sim.NewReader(sim.GemCoreSIMPro2(), 1)
	l := plugged(t, s)
	port := func(protocol string) string {
		t.Helper()
		return show(ran(t, Reader(ReaderConfig{Port: l.Path(), Dedicated: true, Protocol: protocol})[:1])["reader.port"], "outcome", "firmware")
	}
	if got := port("gemcore-simpro2"); got != "ok ok R2.00-GS" {
		t.Errorf("fresh: %s", got)
	}
	if got := port("ccid"); got != "bad silent -" {
		t.Errorf("asked at 115200 only: %s: the simulator does not care for the rate", got)
	}
	p, err := serial.Open(serial.Config{Path: l.Path(), Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(reader.Frame(nil,
		reader.Message{Type: reader.Escape, Data: []byte{0x01, 0x10, 0x20}})); err != nil {
		t.Fatal(err)
	}
	p.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := p.Read(make([]byte, 64)); n == 0 {
		t.Fatal(err)
	}
	p.Close()
	for _, protocol := range []string{"gemcore-simpro2", "ccid"} {
		if got := port(protocol); got != "ok ok R2.00-GS" {
			t.Errorf("switched up, %s: %s", protocol, got)
		}
	}
}
