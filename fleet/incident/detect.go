// Package incident finds causes that many terminals report at once, and the silence of many; it finds what these
// terminals have in common, follows the incident until good sales prove that it is over, and tells the terminals of it
// by retained advisories.
package incident

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/localise"
	"posdx/fleet/store"
)

// How terminals come together in an incident. All counts are of distinct terminals, so one alone can make none.
const (
	// Window is how far back a look goes for a surge, SlowWindow for a slow rise.
	Window     = 15 * time.Minute
	SlowWindow = 48 * time.Hour

	// MinTerminals: two that see the same prove little.
	MinTerminals = 3

	// chance bounds how often chance alone would bring as much together in one look at one cause. A fleet that reports 30
	// causes is looked at some 3 000 times a day in windows that do not overlap; counts that vary more than chance alone
	// are in the model.
	chance = 1e-5

	// ratio is how many times the base rate a rise must be to matter.
	ratio = 3

	// lasts is the same for one that goes on.
	lasts = 1.5

	// schooldays are how many days of base rate it takes until causes of a card or a person can open an incident, and a
	// silence of a place that may simply be closed.
	schooldays = 5

	// large is how many terminals of a place must fall silent together to be no shop that closes.
	large = 20

	rounds = 4 // places found for one cause in one look
)

// Kinds of an incident.
const (
	KindSurge   = "surge"   // many at once
	KindSlow    = "slow"    // more than ever, over days
	KindSilence = "silence" // sessions that ended together; KindIdle: see there
)

// SegmentSilence is the segment of a sighting that is a session's end: why it ended is not known.
const SegmentSilence = "silence"

// A Look is everything that is known of one estate at one moment.
type Look struct {
	Now    time.Time
	Estate string
	Places map[string]Place // by terminal: those that could have seen something
	Recent []store.Sighting // within Window, silences among them
	Slow   []store.Sighting // within SlowWindow; nil: not looked at this time
	Season *Season
	Sales  float64 // how busy the estate is, against the same hour of other days; 0: not known
	Rate   float64 // sales of one terminal in the last full hour; 0: not known
}

// A Finding is a cause at a place whose reports have risen.
type Finding struct {
	Kind      string            // KindSurge and the like
	Cause     string            // id; report.Unexplained for a silence
	Segment   string            // of the cause
	Place     Place             // what the terminals have in common; empty where nothing recorded is it
	P         float64           // probability that this is the place, among those that the reports cannot separate
	Reporters map[string]bool   // terminals that report it
	Of        int               // active terminals of the place
	Expected  float64           // how many of them the base rate foretells
	Only      map[string]string // values of Aspects: only such reports rose
	Codes     []string          // the most frequent first
	Entry     string            // how nearly all cards were read, "" if that differs
	Card      string            // scheme of nearly all cards, "" if that differs
	Hours     []int             // of the day (UTC), if nearly all reports came in these on several days
}

// Aspects are what reports, and not terminals, may have in common: the code, how the card was read, and the card's
// scheme, by their names in the documents.
var Aspects = [...]string{"code", "entry", "card_scheme"}

// aspect is a report's value of one of Aspects, empty if it is not known.
func aspect(v *store.Sighting, name string) string {
	switch name {
	case "code":
		return v.Code
	case "entry":
		if v.Entry != "unknown" {
			return v.Entry
		}
	case "card_scheme":
		return v.CardScheme
	}
	return ""
}

// concerns tells whether a report is one of those that are looked at alone; all are if there is no restriction.
func concerns(v *store.Sighting, only map[string]string) bool {
	for name, value := range only {
		if aspect(v, name) != value {
			return false
		}
	}
	return true
}

// question is what is asked of one cause: who reported it in a window, and how often each terminal was expected to.
type question struct {
	l        *Look
	kind     string
	cause    string
	segment  string
	reported map[string]bool
	each     float64 // times a terminal is expected to report
	members  map[string]map[string]int
	total    int
	closing  map[string]float64 // by site, as far as asked
	only     map[string]string
	parts    int // how many questions of this kind are asked of the cause
}

// Detect finds the causes and places whose reports have risen, the strongest rise first.
func Detect(l Look) []Finding {
	members := map[string]map[string]int{} // by dimension and value, how many terminals
	for _, p := range l.Places {
		for d, v := range p {
			if members[d] == nil {
				members[d] = map[string]int{}
			}
			members[d][v]++
		}
	}
	var out []Finding
	ask := func(kind string, window time.Duration, list []store.Sighting) {
		by, segments := map[string]map[string]bool{}, map[string]string{}
		for _, v := range list {
			if v.At.Estate != l.Estate || l.Places[v.At.Terminal] == nil || !incidental(v, l.Season.Days(l.Estate)) {
				continue
			}
			if by[v.Cause] == nil {
				by[v.Cause], segments[v.Cause] = map[string]bool{}, v.Segment
			}
			by[v.Cause][v.At.Terminal] = true
		}
		for _, cause := range slices.Sorted(maps.Keys(by)) {
			q := question{l: &l, kind: kind, cause: cause, segment: segments[cause], reported: by[cause], members: members,
				total: len(l.Places)}
			q.each = l.Season.Expected(l.Estate, cause, window, l.Now)
			if l.Sales > 0 && kind == KindSurge {
				q.each *= l.Sales
			}
			if kind := mute(q.segment); kind != "" {
				q.kind = kind
			}
			if q.kind == KindIdle {
				q.each = idleExpected
			}
			found := q.answer(list)
			if len(found) == 0 && mute(q.segment) == "" {
				found = q.alone(list)
			}
			out = append(out, found...)
		}
	}
	ask(KindSurge, Window, l.Recent)
	if l.Slow != nil {
		ask(KindSlow, SlowWindow, l.Slow)
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(len(b.Reporters), len(a.Reporters)), strings.Compare(a.Cause, b.Cause),
			strings.Compare(a.Place.String(), b.Place.String()))
	})
	return out
}

// incidental tells whether a cause can be an incident at all: one of a card or a person only once its season is known.
func incidental(v store.Sighting, days int) bool {
	if v.Cause == "" || v.Segment == "-" {
		return false
	}
	personal := v.Segment == "card"
	if c, ok := codes.Builtin().Cause(v.Cause); ok {
		personal = personal || c.Act == "cardholder"
	}
	return !personal || days >= schooldays
}

// closes is the part of a site's terminals that fall silent about this hour on most days.
func (q *question) closes(site string) float64 {
	p, known := q.closing[site]
	if !known {
		p = q.l.Season.Closes(q.l.Estate, site, q.members["site"][site], hourOf(q.l.Now))
		if q.closing == nil {
			q.closing = map[string]float64{}
		}
		q.closing[site] = p
	}
	return p
}

// need is what a finding must be worth.
func (q *question) need(looked int) localise.Need {
	return localise.Need{Chance: chance, Excess: MinTerminals - 0.5, Ratio: ratio, Another: 3,
		Looked: looked * max(1, q.parts)}
}

// answer localises, takes what the first place explains away, and looks at the rest.
func (q *question) answer(list []store.Sighting) []Finding {
	var out []Finding
	left := maps.Clone(q.reported)
	gone := map[string]bool{} // terminals of places found
	for range rounds {
		if len(left) < MinTerminals || !q.rose(left, gone) {
			return out
		}
		f, ok := q.one(left, gone, list)
		if !ok {
			return out
		}
		out = append(out, f)
		for t, p := range q.l.Places {
			if f.Place.Holds(p) {
				delete(left, t)
				gone[t] = true
			}
		}
	}
	return out
}

const (
	mostly = 0.9              // the part of a cause's reports from which on a value stands for them all
	apart  = 2 * MinTerminals // terminals that must report a value: there are many to look at
)

// alone asks the question of the reports of one code, one way of reading the card and one card scheme, the most
// frequent first: among all reports of a cause the rise of a few of them may drown.
func (q *question) alone(list []store.Sighting) []Finding {
	parts := map[[2]string]map[string]bool{}
	for i := range list {
		v := &list[i]
		if v.At.Estate != q.l.Estate || v.Cause != q.cause || !q.reported[v.At.Terminal] {
			continue
		}
		for _, name := range Aspects {
			if value := aspect(v, name); value != "" {
				k := [2]string{name, value}
				if parts[k] == nil {
					parts[k] = map[string]bool{}
				}
				parts[k][v.At.Terminal] = true
			}
		}
	}
	maps.DeleteFunc(parts, func(_ [2]string, who map[string]bool) bool {
		return len(who) < apart || float64(len(who)) > mostly*float64(len(q.reported))
	})
	keys := slices.SortedFunc(maps.Keys(parts), func(a, b [2]string) int {
		return cmp.Or(len(parts[b])-len(parts[a]), strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	for _, k := range keys {
		p := *q
		p.reported, p.only, p.parts = parts[k], map[string]string{k[0]: k[1]}, len(keys)
		p.each *= q.l.Season.Part(q.l.Estate, q.cause, k[0], k[1])
		found := slices.DeleteFunc(p.answer(list), func(f Finding) bool { return len(f.Reporters) < apart })
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// shared is the value of a dimension that all terminals have in common, empty if they have none.
func (q *question) shared(dim string) string {
	for v, n := range q.members[dim] {
		if n == q.total {
			return v
		}
	}
	return ""
}

// rose is the cheap look at the whole and at each single value, before any combination.
func (q *question) rose(left, gone map[string]bool) bool {
	total := q.total - len(gone)
	mean := soon(q.each)
	if evidence(float64(len(left)), mean*float64(total)) > 4 {
		return true
	}
	count := map[[2]string]int{}
	for t := range left {
		for d, v := range q.l.Places[t] {
			count[[2]string{d, v}]++
		}
	}
	for k, n := range count {
		if n >= MinTerminals {
			of := q.members[k[0]][k[1]]
			f := q.l.Season.Factor(q.l.Estate, q.cause, k[0], k[1])
			if evidence(float64(n), soon(q.each*f)*float64(of)) > 4 {
				return true
			}
		}
	}
	return false
}

// evidence is what n where some were expected weighs, in nats.
func evidence(n, expected float64) float64 {
	if n <= expected {
		return 0
	}
	return n*math.Log(n/expected) - (n - expected)
}

// one finds the best place.
func (q *question) one(left, gone map[string]bool, list []store.Sighting) (Finding, bool) {
	// Values that fewer than MinTerminals report are no place; left out, the terminals fall into few leaves.
	count := map[[2]string]int{}
	for t := range left {
		for d, v := range q.l.Places[t] {
			count[[2]string{d, v}]++
		}
	}
	dims := slices.DeleteFunc(slices.Clone(report.Dimensions), func(d string) bool {
		return len(q.members[d]) == 0 ||
			q.shared(d) != ""
	})
	factors := map[[2]string]float64{}
	leaves := map[string]*localise.Leaf{}
	values := make([]string, len(dims))
	looked := 0
	for _, d := range dims {
		looked += len(q.members[d])
	}
	var b strings.Builder
	for _, t := range slices.Sorted(maps.Keys(q.l.Places)) {
		p := q.l.Places[t]
		if gone[t] {
			continue
		}
		b.Reset()
		factor := 1.0
		for i, d := range dims {
			values[i] = ""
			v := p[d]
			k := [2]string{d, v}
			if v != "" {
				f, ok := factors[k]
				if !ok {
					f = q.l.Season.Factor(q.l.Estate, q.cause, d, v)
					factors[k] = f
				}
				// The most telling of a terminal's values stands for it.
				if math.Abs(math.Log(f)) > math.Abs(math.Log(factor)) {
					factor = f
				}
				if count[k] >= MinTerminals {
					values[i] = v
				}
			}
			b.WriteString(values[i])
			b.WriteByte(0)
		}
		l := leaves[b.String()]
		if l == nil {
			l = &localise.Leaf{Values: slices.Clone(values)}
			leaves[b.String()] = l
		}
		l.Total++
		expected := soon(q.each * factor)
		if q.segment == SegmentSilence {
			expected = max(expected, q.closes(p["site"]))
		}
		l.Expected += expected
		if left[t] {
			l.Failed++
		}
	}
	flat := make([]localise.Leaf, 0, len(leaves))
	for _, k := range slices.Sorted(maps.Keys(leaves)) {
		flat = append(flat, *leaves[k])
	}
	r := localise.Localise(dims, flat, q.need(looked))
	f := Finding{Kind: q.kind, Cause: q.cause, Segment: q.segment, Reporters: map[string]bool{}}
	switch {
	case r.Outside:
		f.Place, f.P, f.Of, f.Expected = Place{}, 1, int(r.Total), r.Expected
		// What all have in common says nothing by itself, but if the fault is of a kind that is shared so, it is the place.
		for _, d := range whose[q.segment] {
			if v := q.shared(d); v != "" && len(gone) == 0 {
				f.Place = Place{d: v}
				break
			}
		}
	case len(r.Elements) > 0:
		best := slices.MaxFunc(r.Elements, func(a, b localise.Element) int {
			return cmp.Compare(a.P*natural(q.segment, a.Dims), b.P*natural(q.segment, b.Dims))
		})
		f.Place, f.P, f.Of, f.Expected = best.Dims, best.P, int(best.Total), best.Expected
	default:
		return f, false
	}
	for t := range left {
		if f.Place.Holds(q.l.Places[t]) {
			f.Reporters[t] = true
		}
	}
	if f.Kind == KindIdle {
		f.Cause = report.Unexplained
		if 2*len(f.Reporters) < f.Of {
			return f, false
		}
	}
	if f.Kind == KindSilence {
		f.Cause = report.Unexplained
		if len(f.Reporters) < large && q.l.Season.Days(q.l.Estate) < schooldays || 2*len(f.Reporters) < f.Of {
			return f, false
		}
	}
	f.Only = q.only
	f.common(list, q.cause)
	return f, true
}

// common notes what the reports of an incident have in common beyond their terminals: the codes, the most frequent
// first, the way in which the card was read and the card scheme if these were the same in nearly all, and the hours of
// the day, two at most, if nearly all came in these on several days: what runs every night then is worth a look.
func (f *Finding) common(list []store.Sighting, cause string) {
	const most = 5
	n := 0
	count, entries, cards, when := map[string]int{}, map[string]int{}, map[string]int{}, map[int]int{}
	var first, last time.Time
	for i := range list {
		v := &list[i]
		if v.Cause != cause || !f.Reporters[v.At.Terminal] || !concerns(v, f.Only) {
			continue
		}
		n++
		entries[v.Entry]++
		cards[v.CardScheme]++
		when[int(hourOf(v.Received)%24)]++
		if n == 1 || v.Received.Before(first) {
			first = v.Received
		}
		if v.Received.After(last) {
			last = v.Received
		}
		if v.Code != "" {
			count[v.Code]++
		}
	}
	f.Codes = slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b))
	})
	f.Codes = f.Codes[:min(len(f.Codes), most)]
	nearly := func(k int) bool { return float64(k) >= mostly*float64(n) && n >= 2*MinTerminals }
	one := func(of map[string]int) string {
		for value, k := range of {
			if nearly(k) {
				return value
			}
		}
		return ""
	}
	f.Entry, f.Card = one(entries), one(cards)
	hours := slices.SortedFunc(maps.Keys(when), func(a, b int) int { return cmp.Or(cmp.Compare(when[b], when[a]), a-b) })
	hours = hours[:min(len(hours), 2)]
	in := 0
	for _, h := range hours {
		in += when[h]
	}
	if last.Sub(first) < 12*time.Hour || !nearly(in) {
		hours = nil
	}
	slices.Sort(hours)
	f.Hours = hours
}
