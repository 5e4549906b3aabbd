package triage

import (
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
)

const (
	// together is how far apart channels may tell of one sale: a log is read up to ten seconds late, a register link
	// waits for the printer.
	together = 12 * time.Second
	// traceLife is how long a trace number names a sale: past every receive timer, and before the number comes round.
	traceLife = 3 * time.Minute
	// maxSales bounds the sales that more may be told of: five a second for as long as they can be mixed up.
	maxSales = 64
)

// A sighting is what one channel tells of one sale. A sale is told of once, as a rule, by each channel that sees it.
type sighting struct {
	at time.Time // when it came, by the monotonic clock
	// of the contract; with "/end" for the end of a transaction, of which a channel tells beside its code
	channel  string
	code     string // empty where only the end is told
	scheme   string
	stan     string
	approved bool
	late     bool // written while no source ran: no other channel reports it now
}

// A sale is one sale that ended, whoever told of it.
type sale struct {
	first    time.Time // when it was reported first
	code     string
	scheme   string
	stan     string
	approved bool
	late     bool
	told     map[string]time.Time // when each channel reported it first
	run      *run                 // the diagnosis it belongs to; nil where there is none
	seen     *seen                // what history keeps of it; nil where it has forgotten it

	counted report.CodeCount // where the tally has it
	tally   time.Time        // since when that tally runs
}

// sales tells which reports are of one sale. The number of sales is exact where trace numbers tell them apart, and
// where one channel reports all of them. Two sales of which no channel reported both, and of which one has no trace
// number, may be taken for one.
type sales struct{ list []*sale } // oldest first

// of finds the sale of a report, or begins one. The trace numbers decide if both have one; without, it is the oldest
// sale that this channel has not reported yet, since each channel reports sales in the order in which they were made.
func (s *sales) of(g sighting) (one *sale, begun bool) {
	s.list = slices.DeleteFunc(s.list, func(o *sale) bool { return g.at.Sub(o.first) > traceLife })
	one = s.byTrace(g)
	if one == nil {
		one = s.byOrder(g)
	}
	if one == nil {
		if len(s.list) == maxSales {
			s.list = slices.Delete(s.list, 0, 1)
		}
		one, begun = &sale{first: g.at, approved: g.approved, late: g.late, told: map[string]time.Time{}}, true
		s.list = append(s.list, one)
	}
	if one.stan == "" {
		one.stan = g.stan
	}
	if one.code == "" {
		one.code = g.code
	}
	if one.scheme == "" {
		one.scheme = g.scheme
	}
	if _, again := one.told[g.channel]; !again {
		one.told[g.channel] = g.at
	}
	return one, begun
}

// byTrace finds the sale of a trace number. If the same channel reports that number again after a while, the terminal
// has used it for another try.
func (s *sales) byTrace(g sighting) *sale {
	for _, o := range slices.Backward(s.list) {
		if same, known := sameTrace(o.stan, g.stan); known && same && o.may(g) {
			if at, again := o.told[g.channel]; again && g.at.Sub(at) > together {
				return nil
			}
			return o
		}
	}
	return nil
}

func (s *sales) byOrder(g sighting) *sale {
	for _, o := range s.list {
		_, known := sameTrace(o.stan, g.stan)
		_, again := o.told[g.channel]
		if !known && !again && o.may(g) && g.at.Sub(o.first) <= together {
			return o
		}
	}
	return nil
}

// may tells whether a sighting can be of the sale as far as its result says.
func (o *sale) may(g sighting) bool {
	if o.approved != g.approved || o.late != g.late {
		return false
	}
	return o.approved || o.code == g.code && (o.scheme == g.scheme || o.scheme == "" || g.scheme == "")
}

// sameTrace compares two trace numbers; some sources leave out the zeroes at the front. known is false where they
// cannot be compared: one of them is missing, or of another kind.
func sameTrace(a, b string) (same, known bool) {
	if len(a) > len(b) {
		a, b = b, a
	}
	x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if x == "" || y == "" {
		return false, false
	}
	if len(a) <= report.TraceDigits && len(b) > report.TraceDigits && len(y) > report.TraceDigits {
		same = strings.TrimLeft(b[len(b)-report.TraceDigits:], "0") == x
		return same, same
	}
	return x == y, true
}

// OtherTrace reports whether two trace numbers are certainly of two sales.
func OtherTrace(a, b string) bool {
	same, known := sameTrace(a, b)
	return known && !same
}
