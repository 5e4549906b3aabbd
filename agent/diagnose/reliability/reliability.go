// Package reliability compares what diagnoses said with what came of them: were those called 90 % probable right nine
// times in ten?
package reliability

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"posdx/agent/report"
)

// edges are the bounds of the bins of stated probability.
var edges = [...]float64{0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0000001}

// A Bin is the diagnoses whose first cause was given about the same probability, and how often it was right.
type Bin struct {
	Low, High    float64 // stated probabilities, from Low to below High
	N, BorneOut  int     // diagnoses, and those that were right
	Stated, True float64 // mean of the stated probabilities, and the share that was right
	Lo, Hi       float64 // Wilson's score interval of that share at 95 %
}

// A Sum is what became of many diagnoses, of one cause or of all.
type Sum struct {
	Cause                               string  // its id, "" for all
	BorneOut, Refuted, Mended, Untested int     // by what their terminal told (report.Outcome)
	FoundSame, FoundOther, FoundNothing int     // by what people found: the cause named, another one, nothing
	Judged                              int     // with a stated probability, known to be right or wrong
	Right                               int     // those of Judged that were right
	Stated, True                        float64 // of Judged, as in Bin
	Gap                                 float64 // calibration error: mean of |Stated-True| over the bins, by their size
}

// Of sums up diagnoses, in bins of stated probability and in all.
func Of(list []report.Became) ([]Bin, Sum) {
	bins := make([]Bin, len(edges)-1)
	for i := range bins {
		bins[i].Low, bins[i].High = edges[i], min(edges[i+1], 1)
	}
	var all Sum
	for i := range list {
		b := &list[i]
		all.count(b)
		right, told := b.Right()
		if !told || b.P <= 0 {
			continue
		}
		all.Judged++
		all.Stated += b.P
		if right {
			all.Right++
		}
		for i := range bins {
			if b.P >= edges[i] && b.P < edges[i+1] {
				bins[i].N++
				bins[i].Stated += b.P
				if right {
					bins[i].BorneOut++
				}
			}
		}
	}
	for i := range bins {
		if b := &bins[i]; b.N > 0 {
			n := float64(b.N)
			b.Stated, b.True = b.Stated/n, float64(b.BorneOut)/n
			b.Lo, b.Hi = wilson(b.BorneOut, b.N)
			all.Gap += n / float64(all.Judged) * math.Abs(b.Stated-b.True)
		}
	}
	if all.Judged > 0 {
		all.Stated, all.True = all.Stated/float64(all.Judged), float64(all.Right)/float64(all.Judged)
	}
	return bins, all
}

// ByCause sums up the diagnoses of each cause. Causes whose diagnoses people found nothing behind come first, then
// those with most diagnoses judged.
func ByCause(list []report.Became) []Sum {
	causes := map[string][]report.Became{}
	for _, b := range list {
		causes[b.Cause] = append(causes[b.Cause], b)
	}
	var sums []Sum
	for id, of := range causes {
		_, one := Of(of)
		one.Cause = id
		sums = append(sums, one)
	}
	slices.SortFunc(sums, func(a, b Sum) int {
		return cmp.Or(cmp.Compare(b.FoundNothing, a.FoundNothing), cmp.Compare(b.Judged, a.Judged),
			strings.Compare(a.Cause, b.Cause))
	})
	return sums
}

func (s *Sum) count(b *report.Became) {
	switch b.Outcome {
	case report.OutcomeBorneOut:
		s.BorneOut++
	case report.OutcomeRefuted:
		s.Refuted++
	case report.OutcomeMended:
		s.Mended++
	case report.OutcomeUntested:
		s.Untested++
	}
	switch {
	case b.Found == report.FoundNothing:
		s.FoundNothing++
	case b.Found == b.Cause && b.Found != "":
		s.FoundSame++
	case b.Found != "":
		s.FoundOther++
	}
}

// wilson is the interval of a share of k in n at 95 % (Wilson 1927).
func wilson(k, n int) (lo, hi float64) {
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, mid-half), min(1, mid+half)
}
