// Package localise finds what a rise of failures has in common: the values of one, two or three recorded dimensions
// (acquirer, carrier, model, …) that tell the failing calls from the others. It is pure.
//
// The model. A leaf is one combination of all dimensions, with its calls, its failures and the failures that its past
// foretells. Under the hypothesis "element e" the failures of e's leaves are r times what was foretold, with one r for
// all of them, and every other leaf is as foretold. Counts are negative binomial: leaves of one element never fail at
// quite the same rate, so one large leaf that rose must not outweigh many small ones that rose together. Several
// elements of one incident are values of the same dimensions. What rose evenly everywhere is an incident too, but none
// of the recorded dimensions is its place.
//
// Kinds. Some dimensions belong to a call and not to the leaf that makes it: of each leaf's failures a known share are
// foretold to be of cards of one scheme. An element may be of one kind of calls only. The kinds of a leaf share its
// noise: the rate of the leaf varies as above, and given that rate its kinds are drawn independently (a negative
// multinomial). So what a leaf has more of in all its kinds is no evidence for any one of them.
package localise

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// The few constants of the model. They were chosen on a plateau: halving or doubling any of them changes the figures of
// the published incidents by a few per cent.
const (
	// shape of the negative binomial: leaves of one element differ by about 1/sqrt(shape), a third.
	shape = 10

	// temper divides the evidence before it becomes a probability: leaves share their noise, so they are not as many
	// independent witnesses as they are leaves.
	temper = 4

	// secondShare is the part of the first element's evidence that one more must bring itself.
	secondShare = 0.15

	// An element is named with the first if it is at least namedFrom times as probable; MaxNamed are at most.
	namedFrom = 0.05
	MaxNamed  = 3

	// maxDims are of one element; a person who is told four does not look at them. besideKind are those beside a kind.
	maxDims    = 3
	besideKind = 2

	firsts = 12 // the best elements that are tried as the first of several

	// maxTogether elements of the same dimensions are one hypothesis; with more, the dimension is hardly the place.
	maxTogether = 8

	largest = 1e4 // rise, of all kinds of calls; how little is foretold is not known better

	// MaxColumns bounds the dimensions of one question.
	MaxColumns = 32
)

// A Need is how large a rise must be to be named.
type Need struct {
	// Chance bounds how often chance alone, looking at every element, would bring as much evidence as the best has.
	Chance float64

	// An element with fewer failures above the foretold than Excess, or less than Ratio times the foretold, is everyday
	// drift, however sure it is.
	Excess, Ratio float64

	// Another is what one more element costs, in tempered nats.
	Another float64

	Looked int // elements that the caller looked at and left out, for Chance

	// Brief: where nothing can stand out, Candidates stay empty. A fleet asks thousands of times a day.
	Brief bool

	// Shortest: of elements that are the same calls only the one with fewest dimensions counts. A site has one carrier,
	// and with its name it is the same site: such doubles would take the place of others among those that are named.
	Shortest bool

	Kinds Kinds // of calls; none: every leaf's calls are alike
}

// Kinds are the kinds of calls that an element may be restricted to.
type Kinds struct {
	Dims  []string // of a call; together with the leaves' dimensions 32 at most
	List  []Kind
	Least float64 // failures that an element of a kind must have
	Cost  float64 // of naming one value, in nats: without it the few first reports would always have one in common
}

// A Kind is a sort of call, by one or more values.
type Kind struct {
	Values []string // in the order of Kinds.Dims; empty: any
	Share  float64  // of a leaf's foretold failures, above 0 and below 1
}

// Published is the Need for one minute of a service with thousands of calls.
var Published = Need{Chance: 0.05, Excess: 20, Ratio: 1.8, Another: 10}

// A Leaf is one combination of values with its calls and failures.
type Leaf struct {
	Values   []string // in the order of the dimensions; empty: not known, and then part of no element of that dimension
	Total    float64  // calls
	Failed   float64
	Expected float64 // failures foretold, above 0
	Kinds    []Count // of the failures, those of a kind; a failure may be of several kinds

	// Past is what failed in the times before, where that is known: the same times for every leaf. Of a leaf with few
	// calls Expected leans on what is usual of others; of all leaves of an element its own past speaks, and its noise.
	Past []Time
}

// A Time is what failed at one time, of how many calls.
type Time struct{ Failed, Total float64 }

// A Count is how many failures of a leaf are of a kind.
type Count struct {
	Kind   int // in Kinds.List
	Failed float64
}

// An Element is a set of calls: those whose dimensions have these values.
type Element struct {
	Dims     map[string]string `json:"dims"`
	P        float64           `json:"p"` // probability that it is what failed, or one of several that did
	Failed   float64           `json:"failed"`
	Expected float64           `json:"expected"`
	Total    float64           `json:"total"`
}

// A Result is what was found.
type Result struct {
	// Elements are what is named, most probable first, three at most; empty when nothing stands out. Where the calls
	// cannot separate elements they are named together: their P says how sure each is.
	Elements []Element `json:"elements"`

	// Outside: failures rose, and evenly; what they have in common is not recorded.
	Outside bool `json:"outside"`

	// Candidates are the first elements of the ranking that Elements was cut from, named or not.
	Candidates []Element `json:"candidates"`

	Failed   float64 `json:"failed"` // of all calls
	Expected float64 `json:"expected"`
	Total    float64 `json:"total"`
}

// element is a candidate under work.
type element struct {
	mask   uint32  // its dimensions, those of its kind behind the leaves'
	values []int32 // of those, in their order
	kind   int     // -1 for none
	leaves []int32

	failed, expected, total float64
	gain                    float64 // log likelihood over "all as foretold", at the best rate
	p                       float64
}

// Localise finds the elements that explain the failures of the leaves best.
func Localise(dims []string, leaves []Leaf, need Need) Result {
	w := work{leaves: leaves, need: need}
	r := Result{Elements: []Element{}, Candidates: []Element{}}
	all := make([]int32, 0, len(leaves))
	var whole sums
	for i, l := range leaves {
		r.Total += l.Total
		whole.add(l)
		all = append(all, int32(i))
	}
	r.Failed, r.Expected = whole.failed, whole.expected
	w.number(len(dims))
	w.sort()
	places, kinds := w.look(len(dims))
	// One bar for places, and one for places of a kind, which are more.
	bar := math.Log(float64(places.looked+need.Looked)) - math.Log(need.Chance)
	barOfKind := math.Log(float64(places.looked+need.Looked+kinds.looked)) - math.Log(need.Chance)
	if need.matters(whole.failed, whole.expected) {
		places.most = max(places.most, whole.bound())
	}
	if need.Brief && places.most < bar && kinds.most < barOfKind {
		return r
	}
	w.enumerate(len(dims))
	for i := range w.elements {
		e := &w.elements[i]
		if e.gain = w.gain(e.leaves, e.kind); e.kind >= 0 {
			e.gain -= w.cost(e.kind)
		}
	}
	w.elements = slices.DeleteFunc(w.elements, func(e element) bool { return e.gain <= 0 })
	slices.SortFunc(w.elements, byMerit(func(e element) float64 { return e.gain }))
	if need.Shortest {
		w.elements = slices.CompactFunc(w.elements, element.same)
	}
	rise := w.gain(all, -1)

	best, of := w.weigh()
	// What all but the best hypothesis' elements share is drift; only what is beyond it is their own.
	failed, expected := r.Failed, r.Expected
	for _, e := range of {
		failed, expected = failed-w.elements[e].failed, expected-w.elements[e].expected
	}
	drift := 1.0
	if expected > 0 {
		drift = max(1, failed/expected)
	}
	stands := false
	for _, i := range of {
		e, over := &w.elements[i], bar
		if e.kind >= 0 {
			over = barOfKind
		}
		stands = stands || e.gain >= over && need.matters(e.failed, e.expected*drift) && w.beyond(e, drift)
	}
	slices.SortFunc(w.elements, byMerit(func(e element) float64 { return e.p }))
	evenly := rise > best // no part explains it better than the whole does: a drift that all share, or worse
	r.Outside = evenly && rise >= bar && need.matters(r.Failed, r.Expected)
	for i := range w.elements {
		e := &w.elements[i]
		if i == MaxNamed {
			break
		}
		named := w.describe(dims, e)
		r.Candidates = append(r.Candidates, named)
		if stands && !evenly && (i == 0 || e.p >= namedFrom*w.elements[0].p) {
			r.Elements = append(r.Elements, named)
		}
	}
	return r
}

// own is how often the noise of an element's own past may bring as much as it has now: a series that does so one time
// in five is no news.
const own = 0.2

// beyond tells whether more of an element fails than its own past and its noise bring, as far as that is known. Of
// calls most of which always fail there cannot be many times as many, so the ratio is of the odds.
func (w *work) beyond(e *element, drift float64) bool {
	if len(e.leaves) == 0 || e.kind >= 0 {
		return true
	}
	past := make([]Time, len(w.leaves[e.leaves[0]].Past))
	for _, i := range e.leaves {
		for k, t := range w.leaves[i].Past {
			past[k].Failed, past[k].Total = past[k].Failed+t.Failed, past[k].Total+t.Total
		}
	}
	failed, total := 0.0, 0.0
	var rates []float64
	for _, t := range past {
		if t.Total > 0 {
			failed, total, rates = failed+t.Failed, total+t.Total, append(rates, t.Failed/t.Total)
		}
	}
	if total == 0 {
		return true
	}
	odds := (e.failed + 0.5) / (e.total - e.failed + 0.5)
	return e.failed-e.total*failed/total >= w.need.Excess &&
		odds >= w.need.Ratio*drift*(failed+0.5)/(total-failed+0.5) && chanceOf(e.failed/e.total, rates) < own
}

// chanceOf is the chance that one more draw from where some values came from is at least x, by Student's t; 0 of fewer
// than two values, which show no noise.
func chanceOf(x float64, values []float64) float64 {
	n := float64(len(values))
	if n < 2 {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	if x <= mean {
		return 1
	}
	df := n - 1
	t := (x - mean) / math.Sqrt(squares/df*(1+1/n))
	// The density's integral from 0 to t, in u = atan(t/sqrt(df)), over which it is cos(u)^(df-1).
	const steps = 200
	a, _ := math.Lgamma((df + 1) / 2)
	b, _ := math.Lgamma(df / 2)
	top, sum := math.Atan(t/math.Sqrt(df)), 0.0
	for i := range steps {
		sum += math.Pow(math.Cos((float64(i)+0.5)*top/steps), df-1)
	}
	return max(0, 0.5-math.Exp(a-b)/math.Sqrt(math.Pi)*sum*top/steps)
}

// matters tells a rise from everyday drift.
func (n Need) matters(failed, expected float64) bool {
	return failed-expected >= n.Excess && failed >= n.Ratio*expected
}

// byMerit orders by a figure, then the element with fewer dimensions first, then by its values, so that the result does
// not depend on the order of the leaves.
func byMerit(merit func(element) float64) func(a, b element) int {
	return func(a, b element) int {
		return cmp.Or(
			cmp.Compare(merit(b), merit(a)),
			cmp.Compare(len(a.values), len(b.values)),
			cmp.Compare(a.mask, b.mask),
			slices.Compare(a.values, b.values))
	}
}

// same tells whether two elements are the same calls.
func (e element) same(other element) bool {
	return e.gain == other.gain && e.kind == other.kind && slices.Equal(e.leaves, other.leaves)
}

// sums are what the leaves of an element come to.
type sums struct {
	failed, expected float64
	largest          float64 // what is foretold of one leaf, of all its kinds
	share            float64 // of all calls; 0: all
}

func (s *sums) add(l Leaf) {
	s.failed, s.expected, s.largest = s.failed+l.Failed, s.expected+l.Expected, max(s.largest, l.Expected)
}

// of is the same of one kind of calls, of which so many failed.
func (s *sums) of(failed, share float64) sums {
	return sums{failed, s.expected * share, s.largest, share}
}

// bound is the most that gain can be of leaves with these sums, 0 if these are no rise. With m foretold of the largest
// and k for shape, what a rate of r costs a leaf is (f+k) log(1+x), where x = e(r-1)/(k+e); the logarithm is concave
// and x is at most that of the largest, so that all leaves together cost at least E k/m log(1+m(r-1)/(k+m)). Of a kind
// the same holds with m of all kinds: a leaf costs at least k log(1+x), where x = e(r-1)/(k+its e of all kinds).
func (s *sums) bound() float64 {
	if s.failed <= s.expected {
		return 0
	}
	r := largest
	if s.share > 0 {
		r /= s.share
	}
	if left := s.expected*shape - s.failed*s.largest; left > 0 {
		r = min(r, s.failed*shape/left)
	}
	m := s.largest
	return s.failed*math.Log(r) - s.expected*shape/m*math.Log1p(m*(r-1)/(shape+m))
}

type work struct {
	leaves   []Leaf
	need     Need
	names    [][]string // by dimension, the values by their number; those of kinds behind
	coded    []int32    // of each leaf in turn the numbers of its values, -1 for none
	kinds    []kind
	elements []element

	at    []int32 // by the numbers of its values, the element; of the round that marked it
	mark  []int32
	round int32
	in    []int32 // by leaf, its element of the round, -1 for none
}

// kind is a Kind with what failed of it.
type kind struct {
	mask   uint32
	values []int32
	share  float64
	leaves []int32 // with a failure, ascending
	failed []float64
	all    []float64 // by leaf, nil until asked for
}

// sort brings the failures of each kind together.
func (w *work) sort() {
	dims := len(w.names)
	w.names = append(w.names, make([][]string, len(w.need.Kinds.Dims))...)
	w.kinds = make([]kind, len(w.need.Kinds.List))
	for i, k := range w.need.Kinds.List {
		at := &w.kinds[i]
		at.share = k.Share
		for d, v := range k.Values {
			if v == "" {
				continue
			}
			names := &w.names[dims+d]
			n := slices.Index(*names, v)
			if n < 0 {
				n = len(*names)
				*names = append(*names, v)
			}
			at.mask, at.values = at.mask|1<<(dims+d), append(at.values, int32(n))
		}
	}
	for i := range w.leaves {
		if w.leaves[i].Total <= 0 {
			continue
		}
		for _, c := range w.leaves[i].Kinds {
			at := &w.kinds[c.Kind]
			at.leaves, at.failed = append(at.leaves, int32(i)), append(at.failed, c.Failed)
		}
	}
}

// cost is what it costs to name a kind.
func (w *work) cost(k int) float64 { return w.need.Kinds.Cost * float64(len(w.kinds[k].values)) }

// failedOf is by leaf how many calls of a kind failed.
func (w *work) failedOf(k int) []float64 {
	at := &w.kinds[k]
	if at.all == nil {
		at.all = make([]float64, len(w.leaves))
		for n, i := range at.leaves {
			at.all[i] += at.failed[n]
		}
	}
	return at.all
}

// maxTable bounds the table by which an element is found.
const maxTable = 1 << 22

// number gives every value of a dimension its number.
func (w *work) number(dims int) {
	w.names = make([][]string, dims)
	w.coded = make([]int32, len(w.leaves)*dims)
	for d := range dims {
		for _, l := range w.leaves {
			if v := l.Values[d]; v != "" {
				w.names[d] = append(w.names[d], v)
			}
		}
		slices.Sort(w.names[d])
		w.names[d] = slices.Compact(w.names[d])
		for i, l := range w.leaves {
			n, ok := slices.BinarySearch(w.names[d], l.Values[d])
			if !ok {
				n = -1
			}
			w.coded[i*dims+d] = int32(n)
		}
	}
}

// group calls each with every leaf that is part of an element of some dimensions, and the number of the element; these
// are numbered as they come. It returns how many there are.
func (w *work) group(mask uint32, each func(leaf, element int)) int {
	dims := len(w.names) - len(w.need.Kinds.Dims)
	size := 1
	for m := mask; m != 0 && size <= maxTable; m &= m - 1 {
		size *= max(1, len(w.names[bits.TrailingZeros32(m)]))
	}
	var sparse map[[maxDims]int32]int32
	if size > maxTable {
		sparse = map[[maxDims]int32]int32{}
	} else if size > len(w.at) {
		w.at, w.mark, w.round = make([]int32, size), make([]int32, size), 0
	}
	w.round++
	n := int32(0)
leaf:
	for i := range w.leaves {
		if w.leaves[i].Total <= 0 {
			continue
		}
		var key [maxDims]int32
		k, dense := 0, 0
		for m := mask; m != 0; m &= m - 1 {
			d := bits.TrailingZeros32(m)
			v := w.coded[i*dims+d]
			if v < 0 {
				continue leaf
			}
			key[k], dense = v, dense*len(w.names[d])+int(v)
			k++
		}
		var e int32
		switch ok := false; {
		case sparse != nil:
			if e, ok = sparse[key]; !ok {
				e = n
				sparse[key] = e
			}
		case w.mark[dense] == w.round:
			e = w.at[dense]
		default:
			e = n
			w.at[dense], w.mark[dense] = e, w.round
		}
		n = max(n, e+1)
		each(i, int(e))
	}
	return int(n)
}

// A glance is how many elements have a call, and what none of those that matter can be worth more than.
type glance struct {
	looked int
	most   float64
}

// look counts the elements of all calls, and those of one kind of them.
func (w *work) look(dims int) (places, kinds glance) {
	w.each(dims, func(mask uint32, all []sums, _ func(e int) []int32) {
		if mask != 0 {
			places.looked += len(all)
			for i := range all {
				if w.need.matters(all[i].failed, all[i].expected) {
					places.most = max(places.most, all[i].bound())
				}
			}
		}
		if bits.OnesCount32(mask) <= besideKind {
			kinds.looked += len(all) * len(w.kinds)
			w.ofKinds(all, func(_, kind int, s sums) { kinds.most = max(kinds.most, s.bound()-w.cost(kind)) })
		}
	})
	places.looked = max(places.looked, 1)
	return places, kinds
}

// each calls do with the sums of all elements of some dimensions, in turn of all sets of dimensions, the empty one
// first if there are kinds.
func (w *work) each(dims int, do func(mask uint32, all []sums, leaves func(e int) []int32)) {
	sets := masks(dims)
	if len(w.kinds) > 0 {
		sets = append([]uint32{0}, sets...)
	}
	w.in = make([]int32, len(w.leaves))
	var all []sums
	for _, mask := range sets {
		all = all[:0]
		if len(w.kinds) > 0 {
			for i := range w.in {
				w.in[i] = -1
			}
		}
		w.group(mask, func(leaf, e int) {
			if e == len(all) {
				all = append(all, sums{})
			}
			all[e].add(w.leaves[leaf])
			w.in[leaf] = int32(e)
		})
		// One set of dimensions at a time keeps the memory to one of them.
		var lists [][]int32
		do(mask, all, func(e int) []int32 {
			if lists == nil {
				lists = make([][]int32, len(all))
				w.group(mask, func(leaf, e int) { lists[e] = append(lists[e], int32(leaf)) })
			}
			return lists[e]
		})
	}
}

// ofKinds calls each with every kind of every element of the round of which enough failed to matter.
func (w *work) ofKinds(all []sums, each func(e, kind int, s sums)) {
	failed := make([]float64, len(all))
	var touched []int32
	for k := range w.kinds {
		at := &w.kinds[k]
		for n, leaf := range at.leaves {
			if e := w.in[leaf]; e >= 0 {
				if failed[e] == 0 {
					touched = append(touched, e)
				}
				failed[e] += at.failed[n]
			}
		}
		for _, e := range touched {
			s := all[e].of(failed[e], at.share)
			if s.failed >= w.need.Kinds.Least && w.need.matters(s.failed, s.expected) {
				each(int(e), k, s)
			}
			failed[e] = 0
		}
		touched = touched[:0]
	}
}

// enumerate makes every element that rose; of those of a kind, those that rose enough to matter.
func (w *work) enumerate(dims int) {
	w.each(dims, func(mask uint32, all []sums, leaves func(e int) []int32) {
		enter := func(e, kind int, s sums) {
			list := leaves(e)
			one := element{mask: mask, kind: kind, leaves: list, failed: s.failed, expected: s.expected}
			for m := mask; m != 0; m &= m - 1 {
				one.values = append(one.values, w.coded[int(list[0])*dims+bits.TrailingZeros32(m)])
			}
			for _, i := range list {
				one.total += w.leaves[i].Total
			}
			if kind >= 0 {
				one.mask, one.values = one.mask|w.kinds[kind].mask, append(one.values, w.kinds[kind].values...)
			}
			w.elements = append(w.elements, one)
		}
		for e := range all {
			if mask != 0 && all[e].failed > all[e].expected {
				enter(e, -1, all[e])
			}
		}
		if bits.OnesCount32(mask) <= besideKind {
			w.ofKinds(all, enter)
		}
	})
}

// masks lists the sets of one to maxDims of so many dimensions.
func masks(dims int) []uint32 {
	var list []uint32
	var add func(from int, mask uint32, n int)
	add = func(from int, mask uint32, n int) {
		for d := from; d < dims; d++ {
			m := mask | 1<<d
			list = append(list, m)
			if n+1 < maxDims {
				add(d+1, m, n+1)
			}
		}
	}
	add(0, 0, 0)
	return list
}

// gain is the log likelihood of some leaves at the rate that suits them, or one kind of their calls, best, over that of
// all as foretold; 0 if the best rate is no rise. Of a leaf with F failures where E were foretold, f and e of them of
// the kind, a rate of r is worth f log r - (F+shape) log(1+e(r-1)/(E+shape)).
func (w *work) gain(leaves []int32, kind int) float64 {
	var of []float64
	share := 1.0
	if kind >= 0 {
		of, share = w.failedOf(kind), w.kinds[kind].share
	}
	failed := 0.0
	for _, i := range leaves {
		if of != nil {
			failed += of[i]
		} else {
			failed += w.leaves[i].Failed
		}
	}
	// The likelihood has one maximum in log r, where its slope is 0.
	slope := func(r float64) float64 {
		s := failed
		for _, i := range leaves {
			l := &w.leaves[i]
			e := l.Expected * share
			s -= (l.Failed + shape) * e * r / (shape + l.Expected + e*(r-1))
		}
		return s
	}
	if slope(1) <= 0 {
		return 0
	}
	low, high := 0.0, math.Log(largest/share)
	for range 40 {
		if mid := (low + high) / 2; slope(math.Exp(mid)) > 0 {
			low = mid
		} else {
			high = mid
		}
	}
	sum := failed * low
	for _, i := range leaves {
		l := &w.leaves[i]
		sum -= (l.Failed + shape) * math.Log1p(l.Expected*share*math.Expm1(low)/(shape+l.Expected))
	}
	return sum
}

// weigh gives each element its probability, over the hypotheses that it alone rose or that it and others of the same
// dimensions did, and returns the log likelihood of the best hypothesis and its elements. The elements must stand by
// gain.
func (w *work) weigh() (float64, []int) {
	type hypothesis struct {
		of   []int
		gain float64
	}
	var list []hypothesis
	best, bestOf := 0.0, []int(nil)
	add := func(gain float64, of ...int) {
		list = append(list, hypothesis{of, gain})
		if gain > best {
			best, bestOf = gain, of
		}
	}
	// joins tells whether an element may be one more beside a first. Elements of the same dimensions share no leaf, so
	// their evidence adds up.
	joins := func(first, e *element) bool {
		return e != first && e.mask == first.mask && e.gain >= max(w.need.Another*temper, secondShare*first.gain) &&
			w.need.matters(e.failed, e.expected)
	}
	for a := range w.elements {
		add(w.elements[a].gain, a)
	}
	begun := map[uint32]bool{}
	for a := range min(firsts, len(w.elements)) {
		first := &w.elements[a]
		together, gain := []int{a}, first.gain
		for b := range w.elements {
			if !joins(first, &w.elements[b]) {
				continue
			}
			more := w.elements[b].gain - w.need.Another*temper
			add(first.gain+more, a, b)
			if !begun[first.mask] && len(together) < maxTogether {
				together, gain = append(slices.Clip(together), b), gain+more
				if len(together) > 2 {
					add(gain, together...)
				}
			}
		}
		begun[first.mask] = true
	}
	sum := 0.0
	for _, h := range list {
		p := math.Exp((h.gain - best) / temper)
		sum += p
		for _, e := range h.of {
			w.elements[e].p += p
		}
	}
	for i := range w.elements {
		w.elements[i].p = min(1, w.elements[i].p/sum)
	}
	return best, bestOf
}

func (w *work) describe(dims []string, e *element) Element {
	out := Element{Dims: map[string]string{}, P: math.Round(e.p*1000) / 1000, Failed: e.failed,
		Expected: math.Round(e.expected*10) / 10, Total: e.total}
	n := 0
	for m := e.mask; m != 0; m &= m - 1 {
		d := bits.TrailingZeros32(m)
		name := ""
		if d < len(dims) {
			name = dims[d]
		} else {
			name = w.need.Kinds.Dims[d-len(dims)]
		}
		out.Dims[name] = w.names[d][e.values[n]]
		n++
	}
	return out
}

// String names an element as a person writes it: dimensions in the order of the alphabet.
func (e Element) String() string {
	list := make([]string, 0, len(e.Dims))
	for d, v := range e.Dims {
		list = append(list, d+"="+v)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
