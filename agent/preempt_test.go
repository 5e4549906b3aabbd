package main

import (
	"slices"
	"testing"
)

// TestProgramThatMeetsCardsIsNotPreempted: what is started by hand has the setting of the unit, once, beside its own.
func TestProgramThatMeetsCardsIsNotPreempted(t *testing.T) {
	for _, c := range []struct {
		args, env []string
		want      string // GODEBUG of the second start; empty for none
	}{
		{[]string{"posdx", "run"}, []string{"A=1"}, "GODEBUG=asyncpreemptoff=1"},
		{[]string{"posdx", "relay", "--baud", "9600"}, []string{"GODEBUG=gctrace=1", "A=1"}, "GODEBUG=gctrace=1,asyncpreemptoff=1"},
		{[]string{"posdx", "console"}, []string{"GODEBUG="}, "GODEBUG=asyncpreemptoff=1"},
		{[]string{"posdx", "run"}, []string{"GODEBUG=asyncpreemptoff=0"}, "GODEBUG=asyncpreemptoff=0,asyncpreemptoff=1"}, // the last one counts
		{[]string{"posdx", "run"}, []string{"GODEBUG=madvdontneed=1,asyncpreemptoff=1"}, ""},
		{[]string{"posdx", "code", "96"}, nil, ""}, {[]string{"posdx"}, nil, ""},
	} {
		got := ""
		unpreempted(c.args, c.env, func(_ string, args, env []string) error {
			if !slices.Equal(args, c.args) {
				t.Errorf("%v became %v", c.args, args)
			}
			for _, e := range env {
				if len(e) > 8 && e[:8] == "GODEBUG=" {
					got = e
				}
			}
			again := false
			unpreempted(args, env, func(string, []string, []string) error { again = true; return nil })
			if again {
				t.Errorf("%v starts for ever", c.args)
			}
			return nil
		})
		if got != c.want {
			t.Errorf("%v %v: %q, want %q", c.args, c.env, got, c.want)
		}
	}
}
