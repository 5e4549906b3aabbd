package main

import (
	"os"
	"testing"

	"posdx/codes"
)

// TestReaches holds the goals on the judging half of the faults, which nothing was tuned with. The margins are below what
// was measured, so that a bad edit shows and chance does not.
func TestReaches(t *testing.T) {
	k, problems := codes.Parse(os.DirFS("../../../codes/data"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s := evaluate(k, 18, true, 1000)
	s.print(t.Output(), "judging faults")
	for _, x := range []struct {
		what      string
		got, goal float64
	}{
		{"first right", pct(s.top1, s.n), 90}, {"among three", pct(s.top3, s.n), 98},
		{"not abstained", 100 - pct(s.abstained, s.n), 95}, {"abstained where nothing can tell", pct(s.blindAbstained, s.blind), 80},
		{"calibrated", 1 - s.ece(), 0.945}, {"no forbidden first", -float64(s.forbidden), 0}, {"no wrong safe", -float64(s.wrongSafe), 0},
	} {
		if x.got < x.goal {
			t.Errorf("%s: %.3f, want at least %.3f", x.what, x.got, x.goal)
		}
	}
}

// TestSplit keeps the halves apart and both in use.
func TestSplit(t *testing.T) {
	n := map[bool]int{}
	names := map[string]bool{}
	for _, f := range faults() {
		n[judging(f)]++
		if names[f.name] {
			t.Errorf("fault %q is there twice", f.name)
		}
		names[f.name] = true
	}
	if n[true] < 50 || n[false] < 50 {
		t.Errorf("%d to judge by, %d to tune with", n[true], n[false])
	}
}
