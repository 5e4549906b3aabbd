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
	Before []store.Sighting // within SlowWindow, as it was read last
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
	Only      map[string]string // values of Aspects: only such reports rose, of such sales
	Codes     []string          // the most frequent first
	Entry     string            // how nearly all cards were read, "" if that differs
	Card      string            // scheme of nearly all cards, "" if that differs
	Hours     []int             // of the day (UTC), if nearly all reports came in these on several days
}

// told is one terminal's report of a cause.
type told struct {
	by   int32 // the terminal's number
	code string
	sale
}

// terminals are those that told, each once, ascending.
func terminals(reports []told) []int32 {
	list := make([]int32, len(reports))
	for i, r := range reports {
		list[i] = r.by
	}
	return distinct(list)
}

// question is what is asked of one cause: who reported it in a window, and how often each terminal was expected to.
type question struct {
	l        *Look
	roster   *roster
	mix      mix
	kind     string
	cause    string
	segment  string
	window   time.Duration
	reports  []told
	reported []int32            // terminals, ascending
	each     float64            // times a terminal is expected to report
	closing  map[string]float64 // by site, as far as asked
	only     map[string]string
	parts    int // how many questions of this kind are asked of the cause

	factors [][]float64 // by dimension and value, of the season
	lowest  float64     // of these, 0 if not yet known
}

// Detect finds the causes and places whose reports have risen, the strongest rise first.
func Detect(l Look) []Finding {
	r := rosterOf(l.Places)
	var out []Finding
	ask := func(kind string, window time.Duration, list []store.Sighting) {
		by, segments := map[string][]told{}, map[string]string{}
		for i := range list {
			v := &list[i]
			t, here := r.number[v.At.Terminal]
			if v.At.Estate != l.Estate || !here || !incidental(v, l.Season.Days(l.Estate)) {
				continue
			}
			if by[v.Cause] == nil {
				segments[v.Cause] = v.Segment
			}
			by[v.Cause] = append(by[v.Cause], told{t, v.Code, saleOf(v)})
		}
		mix := mixOf(list, l.Estate)
		for _, cause := range slices.Sorted(maps.Keys(by)) {
			q := question{l: &l, roster: r, mix: mix, kind: kind, cause: cause, segment: segments[cause], window: window,
				reports: by[cause], reported: terminals(by[cause])}
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
			strings.Compare(a.Place.String(), b.Place.String()), strings.Compare(Place(a.Only).String(), Place(b.Only).String()))
	})
	return out
}

// incidental tells whether a cause can be an incident at all: one of a card or a person only once its season is known.
func incidental(v *store.Sighting, days int) bool {
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

// least is how many terminals must report some share of the cause's reports for a place to be found at all: each brings
// what it was expected to report, and n reports where n times e were expected are worth n (log 1/e - 1 + e) at most, in
// the Poisson's measure, which the detector's own exceeds by little.
func (q *question) least(share float64) int {
	const margin = 0.8
	values := 1
	for d := range q.roster.values {
		values += len(q.roster.values[d])
	}
	if q.lowest == 0 {
		q.lowest = 1
		for d := range q.roster.values {
			for v := range q.roster.values[d] {
				q.lowest = min(q.lowest, q.factor(d, v))
			}
		}
	}
	e := soon(q.each*q.lowest) * share
	each := -math.Log(e) - 1 + e
	bar := math.Log(float64(values)) - math.Log(chance)
	return max(MinTerminals, int(min(margin*bar/each, 1e9)))
}

// answer localises, takes what the first place explains away, and looks at the rest.
func (q *question) answer(list []store.Sighting) []Finding {
	var out []Finding
	reports := slices.Clone(q.reports)
	gone := make([]bool, len(q.roster.names)) // terminals of places found
	for range rounds {
		n := q.ask(reports, gone)
		if !n.rose(q) {
			return out
		}
		f, k, failed, ok := q.one(n, list)
		if !ok {
			return out
		}
		if k == (sale{}) || !q.usualHere(&f, k, failed) {
			out = append(out, f)
		}
		// Of a kind of sales, these are explained; of all, all that its terminals say.
		holds := make([]bool, len(gone))
		for t, name := range q.roster.names {
			holds[t] = f.Place.Holds(q.l.Places[name])
			gone[t] = gone[t] || holds[t] && k == sale{}
		}
		reports = slices.DeleteFunc(reports, func(r told) bool { return holds[r.by] && r.sale.of(k) })
	}
	return out
}

// now is what is left to be explained.
type now struct {
	reports []told
	left    []int32 // terminals that report
	gone    []bool  // terminals that are explained
	total   int     // that are not
	least   int
	count   [][]int32 // of left, by dimension and value
	kinds   []kind
	of      [][][]int32 // the same by kind
}

func (q *question) ask(reports []told, gone []bool) *now {
	n := &now{reports: reports, left: terminals(reports), gone: gone, least: q.least(1)}
	for _, g := range gone {
		if !g {
			n.total++
		}
	}
	n.count = q.roster.count(n.left)
	n.kinds = slices.DeleteFunc(q.kinds(reports), func(k kind) bool { return len(k.who) < k.least })
	for _, k := range n.kinds {
		n.of = append(n.of, q.roster.count(k.who))
	}
	return n
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
// reported, of each value as many as are counted. Of kinds there are more to be looked at.
func (n *now) rose(q *question) bool {
	const enough, ofKind = 4, 7
	r, mean := q.roster, soon(q.each)
	in := func(who int, count [][]int32, share float64, least int, enough float64) bool {
		if who < least {
			return false
		}
		if evidence(float64(who), mean*share*float64(n.total)) > enough {
			return true
		}
		for d := range count {
			for v, k := range count[d] {
				if int(k) >= least &&
					evidence(float64(k), soon(q.each*q.factor(d, v))*share*float64(r.members[d][v])) > enough {
					return true
				}
			}
		}
		return false
	}
	if in(len(n.left), n.count, 1, n.least, enough) {
		return true
	}
	for i, k := range n.kinds {
		if in(len(k.who), n.of[i], k.share, k.least, ofKind) {
			return true
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

// one finds the best place, the kind of sales that failed there if it is one, and how much of it did. Values that fewer
// than least report are no place; left out, the terminals fall into few leaves.
func (q *question) one(n *now, list []store.Sighting) (Finding, sale, float64, bool) {
	r := q.roster
	var dims []string
	var at []int // of dims in the roster
	looked := 0
	told := make([][]bool, len(r.dims)) // values that enough report
	for _, d := range report.Dimensions {
		k := slices.Index(r.dims, d)
		if k < 0 || r.shared(d) != "" {
			continue
		}
		dims, at = append(dims, d), append(at, k)
		looked += len(r.values[k])
		told[k] = make([]bool, len(r.values[k]))
		for v := range told[k] {
			told[k][v] = int(n.count[k][v]) >= n.least
			for i := range n.kinds {
				told[k][v] = told[k][v] || int(n.of[i][k][v]) >= n.kinds[i].least
			}
		}
	}
	failed := make([]bool, len(r.names))
	for _, t := range n.left {
		failed[t] = true
	}
	leaves, leafOf := map[string]int{}, make([]int32, len(r.names))
	var flat []localise.Leaf
	key := make([]byte, 0, 4*len(dims))
	for t := range r.names {
		if n.gone[t] {
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
				if !told[d][v] {
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
		leafOf[t] = int32(k)
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
	need := localise.Need{Chance: chance, Excess: MinTerminals - 0.5, Ratio: ratio, Another: 3,
		Looked: looked * max(1, q.parts), Brief: true, Shortest: true}
	need.Kinds = localise.Kinds{Dims: []string{aspectEntry, aspectCard}, Least: apart - 0.5,
		Cost: math.Log(5 * float64(max(1, len(n.kinds))))}
	for i, k := range n.kinds {
		need.Kinds.List = append(need.Kinds.List, localise.Kind{Values: []string{k.entry, k.card}, Share: k.share})
		for j, t := range k.who {
			if l := &flat[leafOf[t]]; len(l.Kinds) > 0 && l.Kinds[len(l.Kinds)-1].Kind == i {
				l.Kinds[len(l.Kinds)-1].Failed += k.part[j]
			} else {
				l.Kinds = append(l.Kinds, localise.Count{Kind: i, Failed: k.part[j]})
			}
		}
	}
	f := Finding{Kind: q.kind, Cause: q.cause, Segment: q.segment, Reporters: map[string]bool{}}
	k, rose, ok := q.place(&f, localise.Localise(dims, flat, need), slices.Contains(n.gone, true))
	if !ok {
		return f, k, rose, false
	}
	for _, v := range n.reports {
		if name := r.names[v.by]; v.sale.of(k) && f.Place.Holds(q.l.Places[name]) {
			f.Reporters[name] = true
		}
	}
	if f.Kind == KindIdle {
		f.Cause = report.Unexplained
		if 2*len(f.Reporters) < f.Of {
			return f, k, rose, false
		}
	}
	if f.Kind == KindSilence {
		f.Cause = report.Unexplained
		if len(f.Reporters) < large && q.l.Season.Days(q.l.Estate) < schooldays || 2*len(f.Reporters) < f.Of {
			return f, k, rose, false
		}
	}
	if f.Only = k.only(); len(q.only) > 0 {
		maps.Copy(f.Only, q.only)
	}
	f.common(list, q.cause)
	return f, k, rose, true
}

// place enters the best of the places that were found, and returns the kind of sales that failed there, and how much of
// it did; false if there is none.
func (q *question) place(f *Finding, r localise.Result, others bool) (k sale, failed float64, ok bool) {
	failed = r.Failed
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
		f.Place, f.P, f.Of, f.Expected, failed = best.Dims, best.P, int(best.Total), best.Expected, best.Failed
		k = sale{best.Dims[aspectEntry], best.Dims[aspectCard]}
		delete(f.Place, aspectEntry)
		delete(f.Place, aspectCard)
	default:
		return k, failed, false
	}
	return k, failed, true
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
