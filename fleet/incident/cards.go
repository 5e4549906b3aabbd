package incident

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"posdx/fleet/store"
)

// Aspects are what reports, and not terminals, may have in common: the code, how the card was read, and the card's
// scheme, by their names in the documents. The latter two are of the sale, as its terminal is; the code is what came
// of it.
var Aspects = [...]string{"code", aspectEntry, aspectCard}

const (
	aspectEntry = "entry"
	aspectCard  = "card_scheme"

	// aspectPair is the name in the base rate of both aspects of the sale at once; see pairOf.
	aspectPair = "entry card_scheme"
)

// aspect is a report's value of one of Aspects, empty if it is not known.
func aspect(v *store.Sighting, name string) string {
	switch name {
	case "code":
		return v.Code
	case aspectEntry:
		if v.Entry != "unknown" {
			return v.Entry
		}
	case aspectCard:
		return v.CardScheme
	case aspectPair:
		return pairOf(aspect(v, aspectEntry), v.CardScheme)
	}
	return ""
}

// pairOf is both aspects of a sale as one value, empty if one of them is not known. Neither has a space in it: both are
// words of closed lists.
func pairOf(entry, card string) string {
	if entry == "" || card == "" {
		return ""
	}
	return entry + " " + card
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

// A sale is what is known of one that failed: how the card was read, and whose it was. As a kind of sales, an empty
// member stands for any.
type sale struct{ entry, card string }

// kinds are those that a sale is of.
func (s sale) kinds() []sale {
	switch {
	case s.entry == "" && s.card == "":
		return nil
	case s.card == "" || s.entry == "":
		return []sale{s}
	}
	return []sale{{s.entry, ""}, {"", s.card}, s}
}

// of tells whether a sale is of a kind.
func (s sale) of(kind sale) bool {
	return (kind.entry == "" || kind.entry == s.entry) && (kind.card == "" || kind.card == s.card)
}

// only is a kind as a restriction of what an incident is about.
func (s sale) only() map[string]string {
	m := map[string]string{}
	if s.entry != "" {
		m[aspectEntry] = s.entry
	}
	if s.card != "" {
		m[aspectCard] = s.card
	}
	return m
}

func saleOf(v *store.Sighting) sale { return sale{aspect(v, aspectEntry), v.CardScheme} }

// A mix is which kinds of sales fail in a window, by cause.
type mix struct {
	kinds map[sale]map[string]float64
	known map[sale]map[string]float64 // of which sales so much is known: {"*", ""}, {"", "*"} and both
}

func mixOf(list []store.Sighting, estate string) mix {
	m := mix{map[sale]map[string]float64{}, map[sale]map[string]float64{}}
	add := func(to map[sale]map[string]float64, k sale, cause string) {
		if to[k] == nil {
			to[k] = map[string]float64{}
		}
		to[k][cause]++
	}
	for i := range list {
		v := &list[i]
		if v.At.Estate != estate || v.Cause == "" || v.Segment == "-" {
			continue
		}
		for _, k := range saleOf(v).kinds() {
			add(m.kinds, k, v.Cause)
			add(m.known, k.any(), v.Cause)
		}
	}
	return m
}

// any is which members of a kind are given.
func (s sale) any() sale {
	if s.entry != "" {
		s.entry = "*"
	}
	if s.card != "" {
		s.card = "*"
	}
	return s
}

const (
	// mixed is how many sales' weight what is usual has against what fails now, or at one place.
	mixed = 30

	// A kind of which the base rate knows fewer reports, of any cause, is new: what is usual of it is not known.
	newKind = 10
)

// share is the part of the other causes' failures of this window that a kind has, given what is usual: when more of all
// that fails is of one kind, more of it is sold. The cause that has most of it besides is left out: what fails has
// sometimes two names.
func (m mix) share(cause string, k sale, usual float64) float64 {
	most := ""
	for c, n := range m.kinds[k] {
		if c != cause && (most == "" || n > m.kinds[k][most] || n == m.kinds[k][most] && c < most) {
			most = c
		}
	}
	of, all := 0.0, 0.0
	for c, n := range m.known[k.any()] {
		if c != cause && c != most {
			of, all = of+m.kinds[k][c], all+n
		}
	}
	return (of + mixed*usual) / (all + mixed)
}

// A kind is one of sales, with what is known of it.
type kind struct {
	sale
	share float64   // of a cause's reports
	who   []int32   // terminals that report it, ascending
	part  []float64 // of each, the part of its reports of the cause: one that reports many has one of most kinds
	least int       // how many must
}

// kinds lists the kinds of sales that enough terminals report to be looked at alone, and that are usual enough to know
// what is usual of them.
func (q *question) kinds(reports []told) []kind {
	if Mute(q.segment) != "" {
		return nil
	}
	by, times := map[sale]map[int32]float64{}, map[int32]float64{}
	for _, r := range reports {
		times[r.by]++
		for _, k := range r.sale.kinds() {
			if by[k] == nil {
				by[k] = map[int32]float64{}
			}
			by[k][r.by]++
		}
	}
	var list []kind
	for k, told := range by {
		if len(told) < apart {
			continue
		}
		share, known := q.share(k)
		if !known || share >= mostly {
			continue
		}
		v := kind{sale: k, share: share, who: slices.Sorted(maps.Keys(told)), least: max(apart, q.least(share))}
		for _, t := range v.who {
			v.part = append(v.part, told[t]/times[t])
		}
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b kind) int {
		return cmp.Or(len(b.who)-len(a.who), cmp.Compare(a.entry, b.entry), cmp.Compare(a.card, b.card))
	})
	return list[:min(len(list), maxKinds)]
}

// share is the part of the cause's reports that is expected to be of a kind.
func (q *question) share(k sale) (part float64, known bool) {
	usual, known := q.l.Season.Share(q.l.Estate, q.cause, k)
	return max(usual, q.mix.share(q.cause, k, usual)), known
}

// Share is the part of a cause's reports that is of a kind of sales, leaning on what is usual of all causes while
// little is known of this one, and whether that is known at all.
func (s *Season) Share(estate, cause string, k sale) (part float64, known bool) {
	of := func(cause, name, value string, usual float64) float64 {
		n, all := s.shares[share{estate, cause, name, value}], s.sums[share{estate, cause, name, ""}]
		return (n + mixed*usual) / (all + mixed)
	}
	all, own := [2]float64{1, 1}, [2]float64{1, 1}
	count := math.Inf(1)
	for i, v := range [2][2]string{{aspectEntry, k.entry}, {aspectCard, k.card}} {
		if v[1] == "" {
			continue
		}
		count = min(count, s.shares[share{estate, anyCause, v[0], v[1]}])
		all[i] = of(anyCause, v[0], v[1], 0)
		own[i] = of(cause, v[0], v[1], all[i])
	}
	if count < newKind {
		return 0, false
	}
	pair := pairOf(k.entry, k.card)
	if pair == "" {
		return own[0] * own[1], true
	}
	// How often both come together is known of all causes sooner than of this one.
	together := of(anyCause, aspectPair, pair, all[0]*all[1])
	return of(cause, aspectPair, pair, min(1, own[0]*own[1]*together/(all[0]*all[1]))), true
}

// anyCause stands for all causes in the shares of a Season.
const anyCause = "*"

// usualHere tells whether a rise of one kind of sales is what its place always has: where travellers pay, cards from
// far away fail more often than elsewhere, whatever the cause. It asks what failed there before this window, and of
// other causes.
func (q *question) usualHere(f *Finding, k sale, failed float64) bool {
	usual, _ := q.share(k)
	of, all := 0.0, 0.0
	begin := q.l.Now.Add(-q.window)
	for _, list := range [][]store.Sighting{q.l.Before, q.l.Recent} {
		for i := range list {
			v := &list[i]
			if v.At.Estate != q.l.Estate || v.Segment == "-" || v.Cause == q.cause && !v.Received.Before(begin) ||
				!f.Place.Holds(q.l.Places[v.At.Terminal]) {
				continue
			}
			if s := saleOf(v); s.any().of(k.any()) {
				all++
				if s.of(k) {
					of++
				}
			}
		}
	}
	here := (of + mixed*usual) / (all + mixed)
	if here <= usual {
		return false
	}
	f.Expected *= here / usual
	return failed < ratio*f.Expected || evidence(failed, f.Expected) < -math.Log(chance)
}

// codes lists the codes that enough terminals report to be asked of alone, but for one that stands for nearly all, the
// most frequent first.
func (q *question) codes() []string {
	by := map[string][]int32{}
	for _, r := range q.reports {
		if r.code != "" {
			by[r.code] = append(by[r.code], r.by)
		}
	}
	for code := range by {
		by[code] = distinct(by[code])
	}
	maps.DeleteFunc(by, func(_ string, who []int32) bool {
		return len(who) < apart || float64(len(who)) > mostly*float64(len(q.reported))
	})
	return slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(len(by[b])-len(by[a]), cmp.Compare(a, b))
	})
}

const (
	mostly = 0.9              // the part of a cause's reports from which on a value stands for them all
	apart  = 2 * MinTerminals // terminals that must report a kind of sales, or a code: there are many to look at
)

// alone asks the question of the reports of one code: among all reports of a cause the rise of a few of them may drown.
func (q *question) alone(list []store.Sighting) []Finding {
	codes := q.codes()
	for _, code := range codes {
		p := *q
		p.reports = slices.DeleteFunc(slices.Clone(q.reports), func(r told) bool { return r.code != code })
		p.only, p.parts = map[string]string{"code": code}, len(codes)
		p.each *= q.l.Season.Part(q.l.Estate, q.cause, "code", code)
		found := slices.DeleteFunc(p.answer(list), func(f Finding) bool { return len(f.Reporters) < apart })
		if len(found) > 0 {
			return found
		}
	}
	return nil
}
