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
	for i, l := range leaves {
		r.Failed, r.Expected, r.Total = r.Failed+l.Failed, r.Expected+l.Expected, r.Total+l.Total
		all = append(all, int32(i))
	}
	looked := w.enumerate(len(dims)) + need.Looked
	for i := range w.elements {
		w.elements[i].gain = w.gain(w.elements[i].leaves)
	}
	w.elements = slices.DeleteFunc(w.elements, func(e element) bool { return e.gain <= 0 })
	slices.SortFunc(w.elements, byMerit(func(e element) float64 { return e.gain }))
	whole := w.gain(all)
	bar := math.Log(float64(looked)) - math.Log(need.Chance)

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
	evenly := whole > best // no part explains it better than the whole does: a drift that all share, or worse
	r.Outside = evenly && whole >= bar && need.matters(r.Failed, r.Expected)
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

type work struct {
	leaves   []Leaf
	need     Need
	names    [][]string // by dimension, the values by their number
	elements []element
}

// enumerate makes every element of up to maxDims dimensions that has a call, drops those that did not rise, and returns
// how many there were.
func (w *work) enumerate(dims int) int {
	w.names = make([][]string, dims)
	coded := make([][]int32, len(w.leaves))
	for d := range dims {
		for _, l := range w.leaves {
			if v := l.Values[d]; v != "" {
				w.names[d] = append(w.names[d], v)
			}
		}
		slices.Sort(w.names[d])
		w.names[d] = slices.Compact(w.names[d])
	}
	for i, l := range w.leaves {
		coded[i] = make([]int32, dims)
		for d, v := range l.Values {
			coded[i][d] = -1
			if n, ok := slices.BinarySearch(w.names[d], v); ok {
				coded[i][d] = int32(n)
			}
		}
	}
	looked := 0
	for _, mask := range masks(dims) {
		// One set of dimensions at a time keeps the memory to one of them.
		at := map[[maxDims]int32]int{}
		var group []element
	leaf:
		for i := range w.leaves {
			l := &w.leaves[i]
			if l.Total <= 0 {
				continue
			}
			var key [maxDims]int32
			n := 0
			for m := mask; m != 0; m &= m - 1 {
				v := coded[i][bits.TrailingZeros32(m)]
				if v < 0 {
					continue leaf
				}
				key[n] = v
				n++
			}
			e, ok := at[key]
			if !ok {
				e = len(group)
				at[key] = e
				group = append(group, element{mask: mask, values: slices.Clone(key[:n])})
			}
			g := &group[e]
			g.leaves = append(g.leaves, int32(i))
			g.failed, g.expected, g.total = g.failed+l.Failed, g.expected+l.Expected, g.total+l.Total
		}
		looked += len(group)
		for _, e := range group {
			if e.failed > e.expected {
				w.elements = append(w.elements, e)
			}
		}
	}
	return max(looked, 1)
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
