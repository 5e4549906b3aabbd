package evidence

import (
	"math"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// An Item is the evidence of a check that ended in ok or bad, judged.
type Item struct {
	*report.Evidence
	Target string  // what was asked, without the bearer: host-primary
	Bearer string  // the interface that the check used on purpose, "" if it went as the routes say
	Fresh  float64 // share of its weight that it keeps at its age, 0 to 1
	Level  Level   // by its facts or by its sender's word, whichever is worse

	k     *codes.Knowledge
	shown []shown
	trust float64 // share of its strength that good news keeps beside the bad, 0 to 1
}

// shown is a finding that an item shows by itself.
type shown struct {
	*codes.Limit
	strength float64
	badness  float64 // how much it weakens the good news of the same check, 0 to 1
}

// claimed tells whether the sender's word alone shows it.
func (s *shown) claimed() bool { return len(s.When) == 1 && s.When[0].Op == codes.Claimed }

func newItem(e *report.Evidence, k *codes.Knowledge, floor float64) Item {
	it := Item{Evidence: e, Fresh: 1, k: k}
	it.Target = e.Subject
	if t := it.str(Target); t != "" && !strings.Contains(e.Subject, "@") {
		it.Target = t
	}
	it.Target, it.Bearer, _ = strings.Cut(it.Target, "@")
	if limit, age := k.FreshFor(e.Check), float64(e.AgeMS)/1000; limit > 0 && age > limit {
		it.Fresh = max(limit/age, floor)
	}
	it.judge()
	return it
}

// Bad tells whether the check is bad, by its facts or because its sender says so.
func (it *Item) Bad() bool { return it.Level == LevelBad }

// claimedBad tells whether the sender called the check bad. The history of sales is never bad by its sender's word.
func (it *Item) claimedBad() bool {
	if Check(it.Check) == TxnHistory {
		return false
	}
	return it.Status == report.Bad || it.claimedLevel() == LevelBad
}

func (it *Item) claimedLevel() Level {
	s, _ := it.Facts.Str("level")
	return Level(s)
}

// number returns a number that was measured, if it is plausible, or one that derive works out.
func (it *Item) number(name string) (float64, bool) {
	if v, ok := it.Facts.Num(name); ok {
		f := it.k.Fact(it.Check, name)
		return v, f != nil && !math.IsNaN(v) && v >= f.Low && v <= f.High
	}
	return it.derive(name)
}

func (it *Item) num(f Fact[float64]) (float64, bool) { return it.number(string(f)) }

// Str returns a text, "" if it is not known.
func (it *Item) Str(f Fact[string]) string           { return it.str(f) }
func (it *Item) str(f Fact[string]) string           { s, _ := it.Facts.Str(string(f)); return s }
func (it *Item) is(f Fact[bool]) bool                { v, ok := it.Facts.Bool(string(f)); return ok && v }
func (it *Item) isNot(f Fact[bool]) bool             { v, ok := it.Facts.Bool(string(f)); return ok && !v }
func (it *Item) Num(f Fact[float64]) (float64, bool) { return it.num(f) }

// Known returns a yes-or-no fact; ok is false if it is not known.
func (it *Item) Known(f Fact[bool]) (v, ok bool) { return it.Facts.Bool(string(f)) }

// atLeast and atMost compare a number with a limit; both are false where it is not known.
func (it *Item) atLeast(f Fact[float64], limit float64) bool {
	v, ok := it.num(f)
	return ok && v >= limit
}
func (it *Item) atMost(f Fact[float64], limit float64) bool {
	v, ok := it.num(f)
	return ok && v <= limit
}

// shows returns how strongly the item by itself shows a finding, 0 if it does not.
func (it *Item) shows(finding string) float64 {
	best := 0.0
	for _, s := range it.shown {
		if s.Finding == finding {
			best = max(best, s.strength)
		}
	}
	return best
}

// IsHost tells whether the target is the acquirer's host, and not another place such as the broker.
func (it *Item) IsHost() bool {
	return strings.HasPrefix(it.Target, "host") || strings.HasPrefix(it.Target, "acquirer")
}

// derive works out numbers that limits are set on and no check reports, such as errors per hour. Where a check names
// no window its counts are of one hour.
func (it *Item) derive(name string) (float64, bool) {
	get := func(f Fact[float64]) float64 { v, _ := it.num(f); return v }
	perHour := func(n float64) (float64, bool) {
		window, known := it.num(WindowS)
		if !known || window <= 0 {
			window = hour
		}
		return n / window * hour, true
	}
	switch name {
	case "sunset_days":
		// Until when the network serves what the modem can use; after it the number is negative.
		day, known := it.k.SwitchedOff(it.str(Operator), it.str(BestTech))
		return math.Ceil(day.Sub(it.At).Hours() / 24), known && !it.At.IsZero()
	case "offset_abs_s":
		v, ok := it.num(OffsetS)
		return math.Abs(v), ok
	case "load_each":
		load, ok := it.num(Load1)
		n, known := it.num(Processors)
		return load / Choose(known, n, usualProcessors), ok
	case "available_pct":
		free, ok := it.num(AvailableMB)
		total, known := it.num(TotalMB)
		return 100 * free / max(total, 1), ok && known
	case "below_critical":
		c, ok := it.num(Celsius)
		limit, known := it.num(CriticalCelsius)
		return limit - c, ok && known
	case "errors_1h":
		return it.errorsPerHour(perHour)
	case "drops_1h":
		n, ok := it.num(Drops)
		v, _ := perHour(n)
		return v, ok
	case "spoiled":
		return get(Frame) + get(Parity) + get(CRC) + get(Overrun)/2, it.lineKnown()
	case "spoiled_1h":
		v, _ := perHour(get(Frame) + get(Parity) + get(CRC) + get(Overrun)/2)
		return v, it.lineKnown()
	case "chars_spoiled_ppm":
		n, ok := it.num(Chars)
		return 1e6 * (get(Frame) + get(Parity) + get(Overrun)) / max(n, 1), ok
	case "frames_spoiled_pct":
		n, ok := it.num(FramesGood)
		bad := get(CRC)
		if bad < fewFrames { // one is chance
			bad = 0
		}
		return 100 * bad / max(bad+n, 1), ok
	case "failed_low_pct":
		return it.failedLow()
	case "failed_pct":
		cards, ok := it.num(Cards)
		failed, known := it.num(CardsFailed)
		return 100 * failed / max(cards, 1), ok && known && cards > 0
	}
	return 0, false
}

const (
	hour            = 3600.0
	day             = 24 * hour
	usualProcessors = 2 // of a terminal that does not say
	fewFrames       = 2
)

// lineKnown tells whether any counter of a serial line's errors is known.
func (it *Item) lineKnown() bool {
	for _, f := range [...]Fact[float64]{Frame, Parity, CRC, Overrun} {
		if _, ok := it.num(f); ok {
			return true
		}
	}
	return false
}

// Of the frames of an interface, one broken in a thousand is a bad cable or plug; a score of them is no accident.
const (
	fewErrors  = 20
	errorShare = 1e-3
)

func (it *Item) errorsPerHour(perHour func(float64) (float64, bool)) (float64, bool) {
	rx, known := it.num(RXErrors)
	crc, also := it.num(CRCErrors)
	broken := max(rx, crc)
	v, _ := perHour(broken)
	packets, counted := it.num(Packets)
	if broken < fewErrors || counted && broken < errorShare*packets {
		v = min(v, 5+broken*0.7) // an everyday count, however short the window
	}
	return v, known || also
}
