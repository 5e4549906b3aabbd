package main

import (
	"os"
	"strings"
	"testing"

	"posdx/codes"
)

// TestReaches holds what was reached. The margins are below what was measured, so that a bad edit shows and chance does
// not.
func TestReaches(t *testing.T) {
	k, problems := codes.Parse(os.DirFS("../../../codes/data"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s, err := evaluate(k, trials(len(schedule), 1000))
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + s.table())
	for _, x := range []struct {
		what      string
		got, goal float64
	}{
		{"first right", pct(s.all.top1, s.all.n), 86.5}, {"among three", pct(s.all.top3, s.all.n), 94},
		{"calibrated", 1 - s.ece(), 0.97}, {"both of two faults named", pct(s.bothSaid, s.pairs), 72}, {"no forbidden first", -float64(s.forbidden), 0}, {"no wrong safe", -float64(s.wrongSafe), 0},
	} {
		if x.got < x.goal {
			t.Errorf("%s: %.3f, want at least %.3f", x.what, x.got, x.goal)
		}
	}
}

// TestFaults keeps names apart, mechanisms many, and every kind of trial in use.
func TestFaults(t *testing.T) {
	names, mechanisms := map[string]bool{}, map[string]bool{}
	for _, f := range faults() {
		if names[f.name] {
			t.Errorf("fault %q is there twice", f.name)
		}
		names[f.name], mechanisms[f.mechanism()] = true, true
	}
	if len(mechanisms) < 60 {
		t.Errorf("only %d mechanisms", len(mechanisms))
	}
	seen := map[kind]bool{}
	for _, how := range schedule {
		seen[how] = true
	}
	if len(seen) != int(kinds) {
		t.Errorf("%d of %d kinds of trials are in use", len(seen), kinds)
	}
}

// TestFittedIsTheFit: a number that is called fitted is what the last fit came to, and what a fit writes is called
// fitted.
func TestFittedIsTheFit(t *testing.T) {
	b, err := os.ReadFile("../../../codes/data/inference/settings.tsv")
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]string{}
	for l := range strings.Lines(string(b)) {
		if cells := strings.Split(l, "\t"); len(cells) == 4 && cells[2] == "yes" {
			called[cells[0]] = cells[1]
		}
	}
	for l := range strings.Lines(lastFit) {
		cells := strings.Split(strings.TrimSpace(l), "\t")
		if strings.HasPrefix(l, "#") || cells[0] == "name" {
			continue
		}
		if len(cells) != 3 || called[cells[0]] != cells[1] {
			t.Errorf("%s is %q in settings.tsv, and the fit came to %v: fit anew, or do not call it fitted", cells[0], called[cells[0]], cells[1:])
		}
		delete(called, cells[0])
	}
	for name := range called {
		t.Errorf("%s is called fitted, and no fit came to it", name)
	}
}

// TestLadder: what the words of a prior weigh follows from often and decisive.
func TestLadder(t *testing.T) {
	k, problems := codes.Parse(os.DirFS("../../../codes/data"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s := k.Inference.Settings
	if ladder(&s); s != k.Inference.Settings {
		t.Errorf("settings.tsv has %+v, the ladder makes %+v of it", k.Inference.Settings, s)
	}
	if s.Remote != -s.Decisive {
		t.Errorf("remote %.2f, decisive %.2f: one decisive finding does not lift what no code names", s.Remote, s.Decisive)
	}
}
