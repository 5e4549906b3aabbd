// Package noisyor is the mathematics of a diagnosis: which causes explain what was seen, alone or together. It knows
// nothing of payments.
//
// It is Bayes' rule over sets of causes: none, each alone and every pair. What was seen is independent given the
// causes. How several causes act on one finding is a leaky noisy-OR (Pearl, Probabilistic Reasoning in Intelligent
// Systems, 1988, 4.3.2; Henrion 1989 for the leak): each produces it by itself, and the leak is how probable it is
// without any of them. The result is exact within the sets that are looked at, and the same every time.
package noisyor

import (
	"math"
	"slices"
)

// An Effect is what one cause alone does to one finding: with it, and no other cause, the finding is abnormal with
// probability P.
type Effect struct {
	Cause int     // its index in Problem.Odds
	P     float64 // P(abnormal | only this cause)
	Stops bool    // where it lies below the leak: it keeps other causes from producing the abnormality, too
}

// A Finding is what one look showed: something abnormal, or nothing.
//
// A cause whose P is above the leak produces the abnormality; several do so independently of each other. A cause whose
// P is below the leak makes it less likely, and counts only where no other cause produces it.
type Finding struct {
	Seen    bool        // something abnormal was seen
	Leak    float64     // P(abnormal | none of the causes)
	Effects []Effect    // of the causes that have one, ascending by cause
	Pair    [][]float64 // P(abnormal | these two), by causes; nil where causes act independently
}

// A Problem is what is asked: the causes with their prior odds, and what was found.
type Problem struct {
	Odds     []float64 // prior odds of each cause alone against none
	Findings []Finding
	Both     func(a, b int) float64 // prior odds of these two together against none, 0 for never; nil: the product
	Single   []bool                 // causes that are never paired; nil: any may be
}

// A Company is two causes that are present together, by their index, and the probability of that.
type Company struct {
	A, B int
	P    float64
}

// A Posterior is how probable each set of causes is, given the findings.
type Posterior struct {
	None     float64   // probability that no cause is present
	Alone    []float64 // probability that each cause is present and no other
	Marginal []float64 // probability that each cause is present
	Pairs    []Company // those of 0.01 and more, eight at most, most probable first
}

// least is the smallest probability of anything: what never happens by the figures happens once in a million.
const least = 1e-6

func bound(p float64) float64 { return min(max(p, least), 1-least) }

// Solve weighs every set of causes that the problem allows.
func Solve(p *Problem) Posterior {
	return weigh(p).posterior()
}

// weigh adds up none, every single cause and every pair.
func weigh(p *Problem) *sum {
	single := make([]float64, len(p.Odds)) // log weights, relative to none
	for i, o := range p.Odds {
		single[i] = math.Log(max(o, 1e-300))
	}
	for f := range p.Findings {
		x := &p.Findings[f]
		for _, e := range x.Effects {
			single[e.Cause] += x.ratio(e.P)
		}
	}
	t := newSum(single)
	t.pairs(p, single)
	return t
}

// ratio returns the logarithm of how much likelier the finding is, as it was seen, if it is abnormal with probability
// p than by the leak alone.
func (x *Finding) ratio(p float64) float64 {
	if x.Seen {
		return math.Log(bound(p) / bound(x.Leak))
	}
	return math.Log((1 - bound(p)) / (1 - bound(x.Leak)))
}

// both returns what two causes make of a finding beyond what each makes alone.
func (x *Finding) both(a, b Effect) float64 {
	if x.Pair == nil && !x.Seen {
		return 0 // staying quiet in spite of two causes: the logarithms add
	}
	if x.Pair == nil && (a.Stops && a.P < x.Leak && b.P >= x.Leak || b.Stops && b.P < x.Leak && a.P >= x.Leak) {
		return 0
	}
	return x.ratio(x.together(a, b)) - x.ratio(a.P) - x.ratio(b.P)
}

func (x *Finding) together(a, b Effect) float64 {
	switch {
	case x.Pair != nil:
		return x.Pair[a.Cause][b.Cause]
	case a.P >= x.Leak && b.P >= x.Leak:
		return 1 - (1-bound(a.P))*(1-bound(b.P))/(1-bound(x.Leak))
	case a.P < x.Leak && b.P < x.Leak:
		return min(a.P, b.P)
	}
	return max(a.P, b.P)
}

// A sum adds up the weights of sets, by their members. Weights are relative to the heaviest single cause or none, so
// that nothing overflows.
type sum struct {
	scale, all, none float64
	alone, marginal  []float64
	company          []Company
}

func newSum(single []float64) *sum {
	t := &sum{alone: make([]float64, len(single)), marginal: make([]float64, len(single))}
	for _, w := range single {
		t.scale = max(t.scale, w)
	}
	t.none = math.Exp(-t.scale)
	t.all = t.none
	for i, w := range single {
		t.alone[i] = math.Exp(w - t.scale)
		t.marginal[i] = t.alone[i]
		t.all += t.alone[i]
	}
	return t
}

// pairs adds every pair of causes. Its logarithm is the sum of the two single ones, but for findings on which both
// act: only those are gone through.
func (t *sum) pairs(p *Problem, single []float64) {
	n := len(single)
	var able []int // causes that may be in company; at is where each stands among them
	at := make([]int, n)
	for c := range single {
		if at[c] = -1; p.Single == nil || !p.Single[c] {
			at[c] = len(able)
			able = append(able, c)
		}
	}
	m := len(able)
	joint := make([]float64, m*m)
	var list []Effect
	for f := range p.Findings {
		x := &p.Findings[f]
		if x.Pair == nil && !x.Seen {
			continue
		}
		list = list[:0]
		for _, e := range x.Effects {
			if at[e.Cause] >= 0 {
				list = append(list, e)
			}
		}
		for i, a := range list {
			for _, b := range list[:i] {
				joint[at[a.Cause]*m+at[b.Cause]] += x.both(a, b)
			}
		}
	}
	for i, a := range able {
		for j, b := range able[:i] {
			lift := 0.0
			if p.Both != nil {
				odds := p.Both(a, b)
				if !(odds > 0) {
					continue
				}
				lift = math.Log(odds / (p.Odds[a] * p.Odds[b]))
			}
			w := math.Exp(single[a] + single[b] + joint[i*m+j] + lift - t.scale)
			t.all += w
			t.marginal[a] += w
			t.marginal[b] += w
			if w > 0 {
				t.company = keep(t.company, Company{b, a, w})
			}
		}
	}
}

const kept = 8 // pairs that are named at most

// keep inserts a pair into a list of the heaviest.
func keep(list []Company, c Company) []Company {
	i := len(list)
	for i > 0 && list[i-1].P < c.P {
		i--
	}
	if i >= kept {
		return list
	}
	list = slices.Insert(list, i, c)
	return list[:min(len(list), kept)]
}

func (t *sum) posterior() Posterior {
	p := Posterior{None: t.none / t.all, Alone: t.alone, Marginal: t.marginal}
	for i := range p.Marginal {
		p.Alone[i] /= t.all
		p.Marginal[i] /= t.all
	}
	for _, c := range t.company {
		if c.P /= t.all; c.P >= 0.01 {
			p.Pairs = append(p.Pairs, c)
		}
	}
	return p
}
