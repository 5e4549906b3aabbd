package reliability

import (
	"math"
	"testing"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// TestPeopleBeforeTerminals: people's word goes before the terminal's; what nothing tells of, and what said no
// probability, is not judged.
func TestPeopleBeforeTerminals(t *testing.T) {
	list := []report.Became{{Cause: "a", P: 0.97, Outcome: report.OutcomeBorneOut},
		{Cause: "a", P: 0.97, Outcome: report.OutcomeBorneOut, Found: "b"},
		{Cause: "a", P: 0.6, Outcome: report.OutcomeRefuted}, {Cause: "a", P: 1, Found: "a"},
		{Cause: "a", P: 0.97, Outcome: report.OutcomeMended}, {Cause: "a", Outcome: report.OutcomeRefuted},
		{Cause: "c", P: 0.7, Found: report.FoundNothing}}
	bins, all := Of(list)
	last := bins[len(bins)-1]
	if all.Judged != 5 || all.Right != 2 || last.N != 3 || last.BorneOut != 2 || all.FoundNothing != 1 ||
		all.FoundOther != 1 || all.FoundSame != 1 || last.Lo <= 0 || last.Hi >= 1 || bins[2].N != 1 {
		t.Errorf("%+v %+v", bins, all)
	}
	if by := ByCause(list); len(by) != 2 || by[0].Cause != "c" || by[1].Judged != 4 {
		t.Errorf("%+v", by)
	}
}

func TestWilson(t *testing.T) {
	for _, c := range housetest.Wilson {
		if low, high := wilson(c.K, c.N); math.Abs(low-c.Low) > 5e-4 || math.Abs(high-c.High) > 5e-4 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", c.K, c.N, low, high, c.Low, c.High)
		}
	}
}
