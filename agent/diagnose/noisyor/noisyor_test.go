package noisyor

import (
	"math"
	"math/rand/v2"
	"testing"
)

// made returns a problem of n causes and m findings.
func made(r *rand.Rand, n, m int) Problem {
	var p Problem
	for range n {
		p.Odds = append(p.Odds, 0.01+r.Float64())
	}
	p.Both = func(a, b int) float64 { return 0.3 * (p.Odds[a] + p.Odds[b]) }
	for range m {
		f := Finding{Seen: r.IntN(2) == 0, Leak: 0.02 + 0.2*r.Float64()}
		for c := range n {
			if r.IntN(2) == 0 {
				f.Effects = append(f.Effects, Effect{Cause: c, P: 0.01 + 0.95*r.Float64(), Stops: r.IntN(3) == 0})
			}
		}
		p.Findings = append(p.Findings, f)
	}
	return p
}

// byHand sums over none, singles and pairs as the definition says, without any sharing.
func byHand(p *Problem) []float64 {
	n := len(p.Odds)
	likelihood := func(members ...int) float64 {
		l := 1.0
		for _, f := range p.Findings {
			produced, less, any := 1.0, f.Leak, false
			stopped := 1.0
			for _, e := range f.Effects {
				for _, c := range members {
					if e.Cause != c {
						continue
					}
					if e.P >= f.Leak || !f.Seen {
						produced *= (1 - e.P) / (1 - f.Leak)
						any = true
					} else {
						less = min(less, e.P)
						if e.Stops {
							stopped *= e.P / f.Leak
						}
					}
				}
			}
			quiet := produced * (1 - f.Leak)
			switch {
			case f.Seen && any:
				l *= (1 - quiet) * stopped
			case f.Seen:
				l *= less
			default:
				l *= quiet
			}
		}
		return l
	}
	all, marginal := likelihood(), make([]float64, n)
	for a := range n {
		w := p.Odds[a] * likelihood(a)
		all, marginal[a] = all+w, marginal[a]+w
		for b := range a {
			w := p.Both(a, b) * likelihood(a, b)
			all, marginal[a], marginal[b] = all+w, marginal[a]+w, marginal[b]+w
		}
	}
	for c := range marginal {
		marginal[c] /= all
	}
	return marginal
}

func TestSolveIsTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		p := made(r, 2+r.IntN(6), r.IntN(6))
		got, want := Solve(&p).Marginal, byHand(&p)
		for c := range want {
			if math.Abs(got[c]-want[c]) > 1e-9 {
				t.Fatalf("cause %d: %v by Solve, %v by hand", c, got[c], want[c])
			}
		}
	}
}

// TestAnotherProducerExplainsAway: what one cause explains speaks no longer for another one.
func TestAnotherProducerExplainsAway(t *testing.T) {
	dark := Finding{Seen: true, Leak: 0.01, Effects: []Effect{{Cause: 0, P: 0.9}, {Cause: 1, P: 0.9}}}
	p := Problem{Odds: []float64{0.05, 0.05}, Findings: []Finding{dark}}
	before := Solve(&p).Marginal[1]
	p.Findings = append(p.Findings, Finding{Seen: true, Leak: 0.001, Effects: []Effect{{Cause: 0, P: 0.9}}})
	if after := Solve(&p).Marginal[1]; before < 0.3 || after > 0.12 {
		t.Errorf("the second cause had %.3f, and has %.3f after the first one was seen", before, after)
	}
}

// TestTwoFaultsTogether: each of two causes explains what the other cannot.
func TestTwoFaultsTogether(t *testing.T) {
	p := Problem{Odds: []float64{0.1, 0.1, 0.1}, Findings: []Finding{
		{Seen: true, Leak: 0.001, Effects: []Effect{{Cause: 0, P: 0.9}}},
		{Seen: true, Leak: 0.001, Effects: []Effect{{Cause: 1, P: 0.9}}}}}
	s := Solve(&p)
	if len(s.Pairs) == 0 || s.Pairs[0].A != 0 || s.Pairs[0].B != 1 || s.Pairs[0].P < 0.8 {
		t.Errorf("pairs %+v", s.Pairs)
	}
	p.Both = func(a, b int) float64 { return 0 }
	if s := Solve(&p); len(s.Pairs) > 0 || s.Marginal[0]+s.Marginal[1] > 1 {
		t.Errorf("kept apart: %+v", s)
	}
}

// TestWhatIsKeptFromHappeningStaysSoInCompany: a second cause that would produce a finding does not lift what the first
// one does not allow.
func TestWhatIsKeptFromHappeningStaysSoInCompany(t *testing.T) {
	heard := Finding{Seen: true, Leak: 0.1, Effects: []Effect{{Cause: 0, P: 0.0001, Stops: true}, {Cause: 1, P: 0.3}}}
	dark := Finding{Seen: true, Leak: 0.001, Effects: []Effect{{Cause: 0, P: 0.9}}}
	p := Problem{Odds: []float64{0.1, 0.1}, Findings: []Finding{heard, dark}}
	stops := Solve(&p).Marginal[0]
	heard.Effects[0].Stops = false
	if other := Solve(&p).Marginal[0]; stops > 0.1 || other < 2*stops {
		t.Errorf("%.3f where the first cause does not allow it, %.3f where the second brings it all the same", stops, other)
	}
}

func BenchmarkSolve(b *testing.B) {
	p := made(rand.New(rand.NewPCG(1, 2)), 65, 40)
	b.ReportAllocs()
	for b.Loop() {
		Solve(&p)
	}
}
