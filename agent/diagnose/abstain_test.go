package diagnose

import (
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// TestAbstentionOffersATest: whoever is told that nobody can be named is told what to look at next, or that nothing
// here would change what to do. Over all cases, each whole and with every check but one in three.
func TestAbstentionOffersATest(t *testing.T) {
	k := knowledge(t)
	none := codes.Builtin().Word("next", "none").Sentence().In("en")
	abstained, without := 0, 0
	list := append(allCases(t), readStories(t, "testdata/unseen/open.jsonl")...)
	for _, c := range list {
		for part := range 4 {
			evidence := c.Evidence[:0:0]
			for i, e := range c.Evidence {
				if part == 3 || i%3 != part {
					evidence = append(evidence, e)
				}
			}
			d := Explain(c.Event, evidence, k, Options{Lang: "en"})
			if !d.Abstained {
				continue
			}
			abstained++
			said := strings.Contains(strings.Join(strings.Fields(Render(d, "en", 400)), " "), none)
			if d.NextTest == nil {
				without++
			}
			if said != (d.NextTest == nil) {
				t.Errorf("%s, part %d: next test %v, and %q is said: %v", c.Name, part, d.NextTest, none, said)
			}
			if plan := Plan(c.Event, evidence, k, Options{Lang: "en"}); (len(plan) == 0) != (d.NextTest == nil) {
				t.Errorf("%s, part %d: %d tests in the plan, next test %v", c.Name, part, len(plan), d.NextTest)
			}
		}
	}
	t.Logf("%d of %d abstentions without a test", without, abstained)
	if abstained < 50 || without > abstained/20 {
		t.Errorf("%d of %d abstentions without a test, want at most one in twenty", without, abstained)
	}
}

// TestManySmallOnesAreNamed: want of memory beside a connection that failed hides nothing: what most of the belief is
// spread over is named too, though each of it is far below the first.
func TestManySmallOnesAreNamed(t *testing.T) {
	d := Explain(report.Event{Code: "ConnectError"}, []report.Evidence{{Check: "board.memory", Subject: "system",
		Status: report.Bad, Facts: report.Facts{"available_mb": 5.0, "pressure_avg10": 45.0}}}, knowledge(t), Options{})
	if !d.Abstained || !slices.Contains(d.CannotSeparate, "terminal.overloaded") ||
		!slices.ContainsFunc(d.CannotSeparate, func(id string) bool { return strings.HasPrefix(id, "lan.") }) {
		t.Errorf("abstained %v, remaining %v", d.Abstained, d.CannotSeparate)
	}
}
