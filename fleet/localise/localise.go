// Package localise finds what a rise of failures has in common: the values of one, two or three recorded dimensions
// (acquirer, carrier, model, …) that tell the failing calls from the others. It is pure.
//
// The model. A leaf is one combination of all dimensions, with its calls, its failures and the failures that its past
// foretells. Under the hypothesis "element e" the failures of e's leaves are r times what was foretold, with one r for
// all of them, and every other leaf is as foretold. Counts are negative binomial: leaves of one element never fail at
// quite the same rate, so one large leaf that rose must not outweigh many small ones that rose together. Several
// elements of one incident are values of the same dimensions. What rose evenly everywhere is an incident too, but none
// of the recorded dimensions is its place.
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

	maxDims = 3  // of one element; a person who is told four does not look at them
	firsts  = 12 // the best elements that are tried as the first of several

	// maxTogether elements of the same dimensions are one hypothesis; with more, the dimension is hardly the place.
	maxTogether = 8

	largest = 1e4 // rise

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
}

// Published is the Need for one minute of a service with thousands of calls.
var Published = Need{Chance: 0.05, Excess: 20, Ratio: 1.8, Another: 10}

// A Leaf is one combination of values with its calls and failures.
type Leaf struct {
	Values   []string // in the order of the dimensions; empty: not known, and then part of no element of that dimension
	Total    float64  // calls
	Failed   float64
	Expected float64 // failures foretold, above 0
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
	mask   uint32  // its dimensions
	values []int32 // of those, in their order
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
	looked, most := w.look(len(dims))
	looked += need.Looked
	bar := math.Log(float64(looked)) - math.Log(need.Chance)
	if need.matters(whole.failed, whole.expected) {
		most = max(most, whole.bound())
	}
	if need.Brief && most < bar {
		return r
	}
	w.enumerate(len(dims))
	for i := range w.elements {
		w.elements[i].gain = w.gain(w.elements[i].leaves)
	}
	w.elements = slices.DeleteFunc(w.elements, func(e element) bool { return e.gain <= 0 })
	slices.SortFunc(w.elements, byMerit(func(e element) float64 { return e.gain }))
	rise := w.gain(all)

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
		e := &w.elements[i]
		stands = stands || e.gain >= bar && need.matters(e.failed, e.expected*drift)
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

// sums are what the leaves of an element come to.
type sums struct {
	failed, expected float64
	largest          float64 // what is foretold of one leaf
}

func (s *sums) add(l Leaf) {
	s.failed, s.expected, s.largest = s.failed+l.Failed, s.expected+l.Expected, max(s.largest, l.Expected)
}

// bound is the most that gain can be of leaves with these sums, 0 if these are no rise. With m foretold of the largest
// and k for shape, what a rate of r costs a leaf is (f+k) log(1+x), where x = e(r-1)/(k+e); the logarithm is concave
// and x is at most that of the largest, so that all leaves together cost at least E k/m log(1+m(r-1)/(k+m)).
func (s *sums) bound() float64 {
	if s.failed <= s.expected {
		return 0
	}
	r := largest
	if left := s.expected*shape - s.failed*s.largest; left > 0 {
		r = min(largest, s.failed*shape/left)
	}
	m := s.largest
	return s.failed*math.Log(r) - s.expected*shape/m*math.Log1p(m*(r-1)/(shape+m))
}

type work struct {
	leaves   []Leaf
	need     Need
	names    [][]string // by dimension, the values by their number
	coded    []int32    // of each leaf in turn the numbers of its values, -1 for none
	elements []element

	at    []int32 // by the numbers of its values, the element; of the round that marked it
	mark  []int32
	round int32
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
	dims := len(w.names)
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

// look counts the elements of up to maxDims dimensions that have a call. most is what none of those that matter can be
// worth more than.
func (w *work) look(dims int) (looked int, most float64) {
	var all []sums
	for _, mask := range masks(dims) {
		all = all[:0]
		looked += w.group(mask, func(leaf, e int) {
			if e == len(all) {
				all = append(all, sums{})
			}
			all[e].add(w.leaves[leaf])
		})
		for i := range all {
			if w.need.matters(all[i].failed, all[i].expected) {
				most = max(most, all[i].bound())
			}
		}
	}
	return max(looked, 1), most
}

// enumerate makes every element that rose.
func (w *work) enumerate(dims int) {
	for _, mask := range masks(dims) {
		// One set of dimensions at a time keeps the memory to one of them.
		var group []element
		w.group(mask, func(leaf, e int) {
			if e == len(group) {
				values := make([]int32, 0, maxDims)
				for m := mask; m != 0; m &= m - 1 {
					values = append(values, w.coded[leaf*dims+bits.TrailingZeros32(m)])
				}
				group = append(group, element{mask: mask, values: values})
			}
			g, l := &group[e], &w.leaves[leaf]
			g.leaves = append(g.leaves, int32(leaf))
			g.failed, g.expected, g.total = g.failed+l.Failed, g.expected+l.Expected, g.total+l.Total
		})
		for _, e := range group {
			if e.failed > e.expected {
				w.elements = append(w.elements, e)
			}
		}
	}
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

// gain is the log likelihood of some leaves at the rate that suits them best, over that of all as foretold; 0 if the
// best rate is no rise.
func (w *work) gain(leaves []int32) float64 {
	// The likelihood has one maximum in log r, where its slope is 0.
	slope := func(r float64) float64 {
		s := 0.0
		for _, i := range leaves {
			mu := w.leaves[i].Expected * r
			s += (w.leaves[i].Failed - mu) / (shape + mu)
		}
		return s
	}
	if slope(1) <= 0 {
		return 0
	}
	low, high := 0.0, math.Log(largest)
	for range 40 {
		if mid := (low + high) / 2; slope(math.Exp(mid)) > 0 {
			low = mid
		} else {
			high = mid
		}
	}
	r, sum := math.Exp(low), 0.0
	for _, i := range leaves {
		f, e := w.leaves[i].Failed, w.leaves[i].Expected
		sum += f*low - (f+shape)*math.Log((shape+e*r)/(shape+e))
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
		out.Dims[dims[d]] = w.names[d][e.values[n]]
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
