package noisyor

import (
	"cmp"
	"math"
	"slices"
)

// The network has up to five faults at once. The product looks at pairs and no further; what follows carries its own
// arithmetic on, so that what is left of a difference from exact inference is the arithmetic's and not the cut's.

// solveLarger is Solve for sets of up to largest causes, at most 64 and independent. Of the sets of each size from two
// on it follows so many, the heaviest.
func solveLarger(p *Problem, largest, width int) Posterior {
	t := weigh(p)
	t.larger(p, largest, width)
	return t.posterior()
}

// A set of causes on the way to larger ones.
type set struct {
	members uint64
	prior   float64   // log odds
	quiet   []float64 // log P(quiet), by finding
	weight  float64   // log of prior times likelihood, relative to none
}

// larger follows the heaviest sets of three causes and more. What three do to a finding follows from what each and
// every two of them do: the logarithms of staying quiet add, as in a noisy-OR, with a correction for every two.
func (t *sum) larger(p *Problem, largest, width int) {
	n, m := len(p.Odds), len(p.Findings)
	one, two := make([][]float64, m), make([][]float64, m)
	level := []set{{quiet: make([]float64, m)}}
	for f := range p.Findings {
		x := &p.Findings[f]
		none := math.Log(1 - bound(x.Leak))
		level[0].quiet[f] = none
		one[f], two[f] = make([]float64, n), make([]float64, n*n)
		for _, e := range x.Effects {
			one[f][e.Cause] = math.Log(1-bound(e.P)) - none
		}
		for _, a := range x.Effects {
			for _, b := range x.Effects {
				if a.Cause != b.Cause {
					two[f][a.Cause*n+b.Cause] = math.Log(1-bound(x.together(a, b))) - none - one[f][a.Cause] - one[f][b.Cause]
				}
			}
		}
	}
	seen := map[uint64]bool{}
	for size := 1; size <= largest; size++ {
		var next []set
		clear(seen)
		for i := range level {
			from := &level[i]
			for c := range n {
				members := from.members | 1<<c
				if members == from.members || seen[members] {
					continue
				}
				seen[members] = true
				s := set{members: members, prior: from.prior + math.Log(p.Odds[c]), quiet: slices.Clone(from.quiet)}
				s.weight = s.prior
				for f := range s.quiet {
					q := s.quiet[f] + one[f][c]
					for b := range n {
						if from.members&(1<<b) != 0 {
							q += two[f][c*n+b]
						}
					}
					s.quiet[f] = q
					s.weight += p.Findings[f].ratio(1 - math.Exp(min(q, 0)))
				}
				next = append(next, s)
			}
		}
		if size > 2 {
			for i := range next {
				t.addSet(&next[i])
			}
		}
		slices.SortFunc(next, func(a, b set) int {
			return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.members, b.members))
		})
		if level = next; size > 1 {
			level = next[:min(len(next), width)]
		}
	}
}

func (t *sum) addSet(s *set) {
	w := math.Exp(s.weight - t.scale)
	t.all += w
	for c := range t.marginal {
		if s.members&(1<<c) != 0 {
			t.marginal[c] += w
		}
	}
}
