package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posdx/agent/internal/console"
	"posdx/agent/report"
)

const guidedCase = "diagnose/testdata/cases/cannot-tell-bundle.json"

func guide(t *testing.T, in string, args ...string) (code int, out, talk string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), stdio{in: strings.NewReader(in), out: &o, err: &e, speak: "en"}, append([]string{"guide"}, args...))
	return code, o.String(), e.String()
}

// A plan is what --json prints.
type plan struct {
	Plan      []plannedStep
	Diagnosis report.Diagnosis
}

func planOf(t *testing.T, out string) (p plan) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return p
}

// Whoever answers by pipe, by name or beforehand comes to the same diagnosis.
func TestGuideARecordedCase(t *testing.T) {
	code, out, talk := guide(t, "", "--replay", guidedCase, "--lang", "en", "--json")
	first := planOf(t, out)
	if code != exitAbstain || talk != "" || len(first.Plan) < 2 || !first.Plan[0].Here {
		t.Fatalf("exit %d, stderr %q, plan %+v", code, talk, first.Plan)
	}
	for _, p := range first.Plan {
		if p.Here != strings.HasPrefix(p.Check, "ask.") {
			t.Errorf("%s: here is %v, without any device", p.Check, p.Here)
		}
	}
	question, answer := first.Plan[0].Check, first.Plan[0].Answers[1].Name
	code, out, _ = guide(t, "", "--replay", guidedCase, "--lang", "en", "--json", "--answer", answer)
	second := planOf(t, out)
	found := 0
	for _, e := range second.Diagnosis.Evidence {
		if e.Check == question && e.Depth == report.Interactive {
			found++
		}
	}
	if code != exitAbstain || found != 1 || second.Plan[0].Check == question || second.Diagnosis.Handoff == "" {
		t.Fatalf("exit %d, %d answers in the evidence, next %s", code, found, second.Plan[0].Check)
	}
	byNumber, one, asked := guide(t, "\n2\nq\n", "--replay", guidedCase, "--lang", "en")
	byName, two, _ := guide(t, answer+"\n", "--replay", guidedCase, "--lang", "en") // the end of the answers is the end
	if byNumber != exitAbstain || byName != exitAbstain || one != two || !strings.Contains(one, second.Diagnosis.Handoff) {
		t.Errorf("by number:\n%sby name:\n%swant hand-off code %s", one, two, second.Diagnosis.Handoff)
	}
	asked = strings.Join(strings.Fields(asked), " ") // lines are wrapped
	if !strings.Contains(asked, first.Plan[0].How) || !strings.Contains(asked, first.Plan[0].Answers[1].Say) {
		t.Errorf("asked %q", asked)
	}
	_, none, _ := guide(t, "2\nb\nq\n", "--replay", guidedCase, "--lang", "en")
	if _, start, _ := guide(t, "", "--replay", guidedCase, "--lang", "en"); none != start {
		t.Errorf("taken back:\n%swant\n%s", none, start)
	}
	if code, _, _ := guide(t, "0\n0\n0\n0\n0\n0\n0\n0\n0\n", "--replay", guidedCase); code != exitAbstain {
		t.Errorf("nothing known: exit %d", code)
	}
}

func TestGuideUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		exit int
		has  string
	}{
		{"--replay - --lang en", exitUsage, "usage: posdx guide"},
		{"extra", exitUsage, "usage: posdx guide"},
		{"--lang fr", exitUsage, "no language"},
		{"--origin me", exitUsage, "--origin: want one of"},
		{"--replay " + guidedCase + " --answer ask.weather", exitUsage, "ask.weather"},
		{"--replay " + guidedCase + " --answer link.ok", exitUsage, "link.ok"},
		{"--replay " + filepath.Join(t.TempDir(), "none"), exitFailed, "no such file"},
	} {
		if code, out, talk := guide(t, "", strings.Fields(c.args)...); code != c.exit || out != "" ||
			!strings.Contains(talk, c.has) {
			t.Errorf("guide %s: exit %d, stdout %q, stderr %q; want %d and %q", c.args, code, out, talk, c.exit, c.has)
		}
	}
}

// At a terminal the checks of the plan are run by the daemon, whose last diagnosis it begins with.
func TestGuideThroughTheDaemon(t *testing.T) {
	client, _, stop := start(t, "[[target]]\nname = \"host-primary\"\nhost = \"127.0.0.1\"\nport = 9\n")
	defer stop()
	code, out, talk := guide(t, "", "--socket", client.Path, "--code", "ConnectError", "--origin", "terminal", "--lang", "en", "--json")
	made := planOf(t, out)
	if code != exitOK && code != exitAbstain || made.Diagnosis.Event.Code != "ConnectError" {
		t.Fatalf("exit %d, %s%s", code, out, talk)
	}
	_, out, _ = guide(t, "", "--socket", client.Path, "--lang", "en", "--json")
	if again := planOf(t, out); again.Diagnosis.ID == made.Diagnosis.ID {
		t.Errorf("began with %s, which was a question before and is no sale", again.Diagnosis.ID)
	}
	sale := ask(t, client, map[string]any{"type": "code", "code": "96", "origin": "host", "wait": "final"})
	_, out, _ = guide(t, "", "--socket", client.Path, "--lang", "en", "--json")
	if again := planOf(t, out); again.Diagnosis.ID != sale[0].ID {
		t.Errorf("began with %s, want the last sale's, %s", again.Diagnosis.ID, sale[0].ID)
	}
	st, err := client.State(t.Context())
	if err != nil || len(st.Checks) == 0 || st.Profile == "" {
		t.Fatalf("checks %q, profile %q: %v", st.Checks, st.Profile, err)
	}
	for _, p := range made.Plan {
		if p.Here != (strings.HasPrefix(p.Check, "ask.") || slices.Contains(console.Worthwhile(st), p.Check)) {
			t.Errorf("%s: here is %v; the daemon has %q", p.Check, p.Here, st.Checks)
		}
	}
	list, err := client.Check(t.Context(), []string{"net.*"})
	if err != nil || len(list) < 3 {
		t.Fatalf("net.*: %d findings, %v", len(list), err)
	}
	for _, e := range list {
		if !strings.HasPrefix(e.Check, "net.") {
			t.Errorf("net.* ran %s", e.Check)
		}
	}
	if _, err := client.Check(t.Context(), []string{"network"}); err == nil || !strings.Contains(err.Error(), "no check is called") {
		t.Errorf("network: %v", err)
	}
	if code, _, talk := guide(t, "1\n1\n1\n1\n", "--socket", client.Path, "--lang", "en"); code == exitFailed {
		t.Errorf("exit %d: %s", code, talk)
	}
}
