// Package incident finds causes that many terminals report at once, and the silence of many; it finds what these
// terminals have in common, follows the incident until good sales prove that it is over, and tells the terminals of it
// by retained advisories.
package incident

import (
	"cmp"
	"encoding/binary"
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
	roster   *roster
	kind     string
	cause    string
	segment  string
	reported []int32            // terminals, ascending
	each     float64            // times a terminal is expected to report
	closing  map[string]float64 // by site, as far as asked
	only     map[string]string
	parts    int // how many questions of this kind are asked of the cause

	factors [][]float64 // by dimension and value, of the season
}

// Detect finds the causes and places whose reports have risen, the strongest rise first.
func Detect(l Look) []Finding {
	r := rosterOf(l.Places)
	var out []Finding
	ask := func(kind string, window time.Duration, list []store.Sighting) {
		by, segments := map[string][]int32{}, map[string]string{}
		for _, v := range list {
			t, here := r.number[v.At.Terminal]
			if v.At.Estate != l.Estate || !here || !incidental(v, l.Season.Days(l.Estate)) {
				continue
			}
			if by[v.Cause] == nil {
				segments[v.Cause] = v.Segment
			}
			by[v.Cause] = append(by[v.Cause], t)
		}
		for _, cause := range slices.Sorted(maps.Keys(by)) {
			q := question{l: &l, roster: r, kind: kind, cause: cause, segment: segments[cause], reported: distinct(by[cause])}
			q.each = l.Season.Expected(l.Estate, cause, window, l.Now)
			if l.Sales > 0 && kind == KindSurge {
				q.each *= l.Sales
			}
			if kind := Mute(q.segment); kind != "" {
				q.kind = kind
			}
			if q.kind == KindIdle {
				q.each = idleExpected
			}
			found := q.answer(list)
			if len(found) == 0 && Mute(q.segment) == "" {
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
		p = q.l.Season.Closes(q.l.Estate, site, q.roster.of("site", site), hourOf(q.l.Now))
		if q.closing == nil {
			q.closing = map[string]float64{}
		}
		q.closing[site] = p
	}
	return p
}

// least is how many terminals must report for a place to be found at all: each brings what it was expected to report,
// and n reports where n times e were expected are worth n (log 1/e - 1 + e) at most, in the Poisson's measure, which
// the detector's own exceeds by little.
func (q *question) least() int {
	const margin = 0.8
	values := 1
	f := 1.0
	for d := range q.roster.values {
		values += len(q.roster.values[d])
		for v := range q.roster.values[d] {
			f = min(f, q.factor(d, v))
		}
	}
	e := soon(q.each * f)
	each := -math.Log(e) - 1 + e
	bar := math.Log(float64(values)) - math.Log(chance)
	return max(MinTerminals, int(min(margin*bar/each, 1e9)))
}

// need is what a finding must be worth.
func (q *question) need(looked int) localise.Need {
	return localise.Need{Chance: chance, Excess: MinTerminals - 0.5, Ratio: ratio, Another: 3,
		Looked: looked * max(1, q.parts), Brief: true}
}

// answer localises, takes what the first place explains away, and looks at the rest.
func (q *question) answer(list []store.Sighting) []Finding {
	var out []Finding
	left := slices.Clone(q.reported)
	gone := make([]bool, len(q.roster.names)) // terminals of places found
	total := len(gone)
	least := q.least()
	for range rounds {
		if len(left) < least {
			return out
		}
		count := q.roster.count(left)
		if !q.rose(len(left), total, count, least) {
			return out
		}
		f, ok := q.one(left, gone, count, least, list)
		if !ok {
			return out
		}
		out = append(out, f)
		for t, name := range q.roster.names {
			if !gone[t] && f.Place.Holds(q.l.Places[name]) {
				gone[t] = true
				total--
			}
		}
		left = slices.DeleteFunc(left, func(t int32) bool { return gone[t] })
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
	parts := map[[2]string][]int32{}
	for i := range list {
		v := &list[i]
		if v.At.Estate != q.l.Estate || v.Cause != q.cause {
			continue
		}
		t, here := q.roster.number[v.At.Terminal]
		if !here {
			continue
		}
		for _, name := range Aspects {
			if value := aspect(v, name); value != "" {
				k := [2]string{name, value}
				parts[k] = append(parts[k], t)
			}
		}
	}
	for k := range parts {
		parts[k] = distinct(parts[k])
	}
	maps.DeleteFunc(parts, func(_ [2]string, who []int32) bool {
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

// factor is how many times the mean of all a value reports the cause.
func (q *question) factor(d, v int) float64 {
	r := q.roster
	if q.factors == nil {
		q.factors = make([][]float64, len(r.dims))
	}
	if q.factors[d] == nil {
		q.factors[d] = make([]float64, len(r.values[d]))
	}
	f := q.factors[d][v]
	if f == 0 {
		f = q.l.Season.Factor(q.l.Estate, q.cause, r.dims[d], r.values[d][v])
		q.factors[d][v] = f
	}
	return f
}

// rose is the cheap look at the whole and at each single value, before any combination: of so many terminals so many
// reported, of each value as many as are counted.
func (q *question) rose(left, total int, count [][]int32, least int) bool {
	mean := soon(q.each)
	if evidence(float64(left), mean*float64(total)) > 4 {
		return true
	}
	for d := range count {
		for v, n := range count[d] {
			if int(n) >= least &&
				evidence(float64(n), soon(q.each*q.factor(d, v))*float64(q.roster.members[d][v])) > 4 {
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

// one finds the best place. Values that fewer than least report are no place; left out, the terminals fall into few
// leaves.
func (q *question) one(left []int32, gone []bool, count [][]int32, least int, list []store.Sighting) (Finding, bool) {
	r := q.roster
	var dims []string
	var at []int // of dims in the roster
	looked := 0
	for _, d := range report.Dimensions {
		if k := slices.Index(r.dims, d); k >= 0 && r.shared(d) == "" {
			dims, at = append(dims, d), append(at, k)
			looked += len(r.values[k])
		}
	}
	failed := make([]bool, len(r.names))
	for _, t := range left {
		failed[t] = true
	}
	leaves := map[string]int{}
	var flat []localise.Leaf
	key := make([]byte, 0, 4*len(dims))
	for t := range r.names {
		if gone[t] {
			continue
		}
		key = key[:0]
		factor := 1.0
		for _, d := range at {
			v := r.value(t, d)
			if v >= 0 {
				// The most telling of a terminal's values stands for it.
				if f := q.factor(d, v); math.Abs(math.Log(f)) > math.Abs(math.Log(factor)) {
					factor = f
				}
				if int(count[d][v]) < least {
					v = -1
				}
			}
			key = binary.LittleEndian.AppendUint32(key, uint32(v))
		}
		k, ok := leaves[string(key)]
		if !ok {
			k = len(flat)
			leaves[string(key)] = k
			l := localise.Leaf{Values: make([]string, len(dims))}
			for i, d := range at {
				if v := int32(binary.LittleEndian.Uint32(key[4*i:])); v >= 0 {
					l.Values[i] = r.values[d][v]
				}
			}
			flat = append(flat, l)
		}
		l := &flat[k]
		l.Total++
		expected := soon(q.each * factor)
		if q.segment == SegmentSilence {
			expected = max(expected, q.closes(q.l.Places[r.names[t]]["site"]))
		}
		l.Expected += expected
		if failed[t] {
			l.Failed++
		}
	}
	f := Finding{Kind: q.kind, Cause: q.cause, Segment: q.segment, Reporters: map[string]bool{}}
	if !q.place(&f, localise.Localise(dims, flat, q.need(looked)), slices.Contains(gone, true)) {
		return f, false
	}
	for _, t := range left {
		if name := r.names[t]; f.Place.Holds(q.l.Places[name]) {
			f.Reporters[name] = true
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

// place enters the best of the places that were found, false if there is none.
func (q *question) place(f *Finding, r localise.Result, others bool) bool {
	switch {
	case r.Outside:
		f.Place, f.P, f.Of, f.Expected = Place{}, 1, int(r.Total), r.Expected
		// What all have in common says nothing by itself, but if the fault is of a kind that is shared so, it is the place.
		for _, d := range whose[q.segment] {
			if v := q.roster.shared(d); v != "" && !others {
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
		return false
	}
	return true
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
