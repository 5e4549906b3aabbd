package probe

import (
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/drivers/frame"
	"posdx/drivers/pinpad"
	"posdx/drivers/printer"
	"posdx/drivers/reader"
	"posdx/drivers/serial"
)

// No device is called well that did not say so: one that refuses every question, that has no self-test, whose port says
// nothing bad because it never does.
func TestNoHealthWithoutAWordOfIt(t *testing.T) {
	s := &readerState{config: ReaderConfig{Name: "reader0"}}
	for name, c := range map[string]struct {
		r              reader.Report
		port, selftest string
	}{
		"refuses everything": {reader.Report{Refused: true}, "cannot-tell unsupported", "cannot-tell unsupported"},
		"has no self-test":   {reader.Report{Model: "GemTwin"}, "ok -", "cannot-tell unsupported"},
		"passed it":          {reader.Report{Tested: true}, "ok -", "ok -"},
		"did not pass":       {reader.Report{Tested: true, Fault: "13:01"}, "ok -", "bad -"},
		"refuses, and why":   {reader.Report{Fault: "12"}, "ok -", "bad -"},
		"a note and no test": {reader.Report{Note: "B0"}, "ok -", "cannot-tell unsupported"},
	} {
		list := s.told(c.r, nil)
		if port, self := show(list[0], "reason"), show(list[1], "reason"); port != c.port || self != c.selftest {
			t.Errorf("reader %s: %s, %s; want %s, %s", name, port, self, c.port, c.selftest)
		}
	}
	for status, want := range map[string]string{"": "ok ok -", pinpad.Secure: "ok ok -", pinpad.Unknown: "cannot-tell - unsupported", "004": "cannot-tell - unsupported", pinpad.Internal: "bad fault -"} {
		if got := show(pinpadEvidence("pinpad0", pinpad.Report{Status: status}, nil), "outcome", "reason"); got != want {
			t.Errorf("PIN pad %q: %s, want %s", status, got, want)
		}
	}
	paper, _ := printer.PortStatus(0x18)
	for name, c := range map[string]struct {
		p    printer.Report
		want string
	}{
		"well":                        {printer.Report{}, "ok ok - -"},
		"off line, and no word why":   {printer.Report{Offline: true}, "cannot-tell - true unsupported"},
		"off line for want of paper":  {printer.Report{Offline: true, PaperOut: true}, "bad no-paper - -"},
		"its port alone":              {paper, "cannot-tell - - unsupported"},
		"answers of another question": {printer.Report{Disordered: true, Offline: true}, "cannot-tell - - unsupported"},
	} {
		if got := show(printerEvidence("printer0", c.p, nil), "outcome", "offline", "reason"); got != c.want {
			t.Errorf("printer %s: %s, want %s", name, got, c.want)
		}
	}
}

// What a line spoils now is not hidden by what it carried well before.
func TestLineIsJudgedByWhatItDoesNow(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	visit := func(crc uint64) frame.Health { return frame.Health{Answers: 5 - crc, CRC: crc} }
	for name, c := range map[string]struct {
		visits []uint64 // spoiled of five frames each, oldest first, a minute apart
		want   string
	}{
		"always well":              {make([]uint64, 50), "ok good 0"},
		"half wrong now":           {append(make([]uint64, 50), 3, 2, 3), "bad bad 8"},
		"half wrong, just begun":   {append(make([]uint64, 57), 3, 2), "bad bad 5"},
		"one wrong frame":          {append(make([]uint64, 50), 1), "ok poor 1"},
		"two in two visits":        {append(make([]uint64, 50), 1, 1), "ok poor 2"},
		"it was wrong, and is not": {append([]uint64{3, 3, 2}, make([]uint64, 50)...), "ok poor 8"},
		"always half wrong":        {[]uint64{3, 2, 3, 2, 3}, "bad bad 13"},
		"bad at once":              {[]uint64{2}, "bad bad 2"},
	} {
		var l lineHistory
		for i, crc := range c.visits {
			l.frames(now.Add(time.Duration(i)*time.Minute), visit(crc))
		}
		if got := show(l.evidence("reader.line", "reader0"), "level", "crc"); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	// The UART's own counts: fifty minutes of ten thousand characters each without an error, then five of a hundred with
	// twenty.
	var l lineHistory
	var at serial.Counters
	for i := range 55 {
		at.RX += 10_000
		if i >= 50 {
			at.RX -= 9_900
			at.Frame += 20
		}
		l.readings = append(l.readings, lineReading{now.Add(time.Duration(i) * time.Minute), at})
	}
	if got := show(l.evidence("reader.line", "reader0"), "level", "frame"); got != "bad bad 100" {
		t.Errorf("UART: %s", got)
	}
	// A line on which nothing came is not known to be good.
	silent := lineHistory{readings: []lineReading{{at: now}, {at: now.Add(time.Minute)}}}
	if got := show(silent.evidence("reader.line", "reader0"), "level", "reason"); got != "cannot-tell - too-few" {
		t.Errorf("nothing came: %s", got)
	}
	var mute lineHistory
	for i := range 5 {
		mute.frames(now.Add(time.Duration(i)*time.Minute), frame.Health{Silence: 2})
	}
	if got := show(mute.evidence("reader.line", "reader0"), "level", "reason"); got != "cannot-tell - too-few" {
		t.Errorf("a reader that says nothing: %s", got)
	}
}

// A head that fails now is not hidden by the cards that it read before.
func TestHeadIsJudgedByWhatItDoesNow(t *testing.T) {
	for name, c := range map[string]struct {
		before, good, bad int
		want              report.Status
	}{
		"ten of twelve now":   {200, 2, 10, report.Bad},
		"eight of ten now":    {60, 2, 8, report.Bad},
		"one of the last":     {200, 0, 1, report.OK},
		"two of the last ten": {200, 8, 2, report.OK},
		"too few before it":   {3, 0, 8, report.Bad},
	} {
		var reads reader.Reads
		at := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
		note := func(n int, ok bool) {
			for range n {
				at = at.Add(61 * time.Second)
				reads.Note(reader.Attempt{At: at, Head: reader.HeadChip, OK: ok})
			}
		}
		note(c.before, true)
		note(c.bad, false)
		note(c.good, true)
		e := readsEvidence(ReaderConfig{Name: "reader0", Reads: &reads}, at)
		if e.Status != c.want {
			t.Errorf("%s: %s", name, show(e, "level", "cards", "cards_failed", "failed_low_pct"))
		}
	}
}

// A stripe is read if a sale can be made of it: where that takes track 2, track 1 is no card.
func TestStripeWithoutTrack2(t *testing.T) {
	for track1, want := range map[bool]string{true: "ok good 12 0", false: "bad bad 12 12"} {
		var reads reader.Reads
		tap := &ReaderTap{track1: track1, swipe: true, reads: &reads}
		at := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
		var m reader.MSR
		for range 12 {
			at = at.Add(2 * time.Minute)
			for _, b := range []byte("%B0000000000000000^TEST/CARD^3012101?;E?\r") {
				tap.stripe(at, &m, b)
			}
		}
		if got := show(readsEvidence(ReaderConfig{Name: "reader0", Reads: &reads}, at), "level", "cards", "cards_failed"); got != want {
			t.Errorf("track 1 is enough: %v: %s, want %s", track1, got, want)
		}
	}
}
