package diagnose

import (
	"strings"
	"testing"

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
