package diagnose

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// A testCase is one moment in the life of a terminal whose true cause is known. Members of expect that are absent are
// not judged.
type testCase struct {
	Name     string            `json:"name"`
	Why      string            `json:"why"`
	Event    report.Event      `json:"event"`
	Evidence []report.Evidence `json:"evidence"`
	Expect   struct {
		Top      []string `json:"top"`
		Top3     []string `json:"top3"`
		NeverTop []string `json:"never_top"`
		RetryIn  []string `json:"retry_in"`
		RetryNot []string `json:"retry_not"`
		ActBy    []string `json:"act_by"`
		Visit    *bool    `json:"visit"`
		Abstain  *bool    `json:"abstain"`
		Confirm  *bool    `json:"confirmed"` // false: the first cause may not be called confirmed
		Also     []string `json:"also"`      // found besides: among the causes or in the document's also
	} `json:"expect"`
}

// knowledge reads the data files, so that an edit is tested before it is compiled in.
func knowledge(t testing.TB) *codes.Knowledge {
	t.Helper()
	k, problems := codes.Parse(os.DirFS("../../codes/data"))
	for _, p := range problems {
		t.Errorf("%s:%d: %s", p.File, p.Line, p.What.EN)
	}
	if len(problems) > 0 {
		t.FailNow()
	}
	return k
}

func readCases(t testing.TB, dir string) []testCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []testCase
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var c testCase
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		c.Name = strings.TrimSuffix(filepath.Base(f), ".json")
		list = append(list, c)
	}
	return list
}

// judge returns what a diagnosis gets wrong.
func (c *testCase) judge(d *report.Diagnosis) (wrong []string) {
	say := func(s string) { wrong = append(wrong, s) }
	var ids []string
	for _, x := range d.Causes {
		ids = append(ids, x.ID)
	}
	top3 := c.Expect.Top3
	if top3 == nil {
		top3 = c.Expect.Top
	}
	in := func(want []string) func(string) bool {
		return func(id string) bool { return slices.Contains(want, id) }
	}
	if c.Expect.Top != nil && !in(c.Expect.Top)(ids[0]) {
		say("first is " + ids[0])
	}
	if top3 != nil && !slices.ContainsFunc(ids[:min(3, len(ids))], in(top3)) {
		say("not among the first three")
	}
	if slices.Contains(c.Expect.NeverTop, ids[0]) {
		say("forbidden first")
	}
	if c.Expect.RetryIn != nil && !slices.Contains(c.Expect.RetryIn, d.Money.Retry) ||
		slices.Contains(c.Expect.RetryNot, d.Money.Retry) {
		say("retry " + d.Money.Retry)
	}
	if c.Expect.ActBy != nil && !slices.Contains(c.Expect.ActBy, d.Causes[0].Act.By) {
		say("act by " + d.Causes[0].Act.By)
	}
	if c.Expect.Visit != nil && *c.Expect.Visit != d.Causes[0].Act.Visit {
		say("visit")
	}
	if c.Expect.Confirm != nil && !*c.Expect.Confirm && d.Causes[0].Verdict == "confirmed" {
		say("confirmed")
	}
	for _, id := range c.Expect.Also {
		if !slices.Contains(ids, id) && !slices.ContainsFunc(d.Also, func(a report.Also) bool { return a.ID == id }) {
			say("says nothing of " + id)
		}
	}
	if c.Expect.Abstain != nil && *c.Expect.Abstain != d.Abstained {
		say("abstain")
	}
	return wrong
}

// TestCases explains every case of testdata, and those of the folder POSDX_CASES names.
func TestCases(t *testing.T) {
	k := knowledge(t)
	list := readCases(t, "testdata/cases")
	if dir := os.Getenv("POSDX_CASES"); dir != "" {
		list = append(list, readCases(t, dir)...)
	}
	right := 0
	for _, c := range list {
		d := Explain(c.Event, c.Evidence, k, Options{Lang: "en"})
		wrong := c.judge(&d)
		if len(wrong) == 0 {
			right++
		} else {
			t.Errorf("%s: %s", c.Name, strings.Join(wrong, ", "))
		}
		var line []string
		for _, x := range d.Causes[:min(4, len(d.Causes))] {
			line = append(line, x.ID+" "+factText(round(100*x.Probability, 1)))
		}
		t.Logf("%-34s %s | %s | next %s", c.Name, strings.Join(line, ", "), d.Money.Retry, nextCheck(&d))
	}
	t.Logf("%d of %d cases right", right, len(list))
}

func nextCheck(d *report.Diagnosis) string {
	if d.NextTest == nil {
		return "-"
	}
	return d.NextTest.Check
}
