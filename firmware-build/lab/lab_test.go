package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/firmware-build/lab/world"
)

func TestScenariosAreWhole(t *testing.T) {
	known := map[string]bool{}
	for _, c := range codes.Builtin().Causes {
		known[c.ID] = true
	}
	words := []string{report.RetrySafe, report.RetryLater, report.RetryQueryFirst, report.RetryAfterSignin,
		report.RetryOtherMeans, report.RetryNo}
	seen := map[string]bool{}
	for _, s := range scenarios() {
		if seen[s.name] {
			t.Errorf("%s: twice", s.name)
		}
		seen[s.name] = true
		if s.does == "" || s.zh == "" || s.why == "" || len(s.retry) == 0 || s.sale != "sell" && s.sale != "scan" {
			t.Errorf("%s: something is missing", s.name)
		}
		for _, id := range s.want {
			if !known[id] {
				t.Errorf("%s: no cause %q", s.name, id)
			}
		}
		for _, w := range s.retry {
			if !slices.Contains(words, w) {
				t.Errorf("%s: no advice %q", s.name, w)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	d := func(cause, retry string, abstained bool) report.Diagnosis {
		return report.Diagnosis{Causes: []report.Cause{{ID: cause}}, Money: report.Money{Retry: retry}, Abstained: abstained}
	}
	for _, c := range []struct {
		name string
		s    scenario
		d    report.Diagnosis
		want string
	}{
		{"right", scenario{want: []string{"a", "b"}, retry: []string{"later"}}, d("b", "later", false), ""},
		{"wrong cause", scenario{want: []string{"a", "b"}, retry: []string{"later"}}, d("c", "later", false), "expected a or b, got c"},
		{"wrong advice", scenario{want: []string{"a"}, retry: []string{"query-first"}}, d("a", "safe", false), "expected the advice query-first, got safe"},
		{"abstained wrongly", scenario{want: []string{"a"}, retry: []string{"later"}}, d("a", "later", true), "expected a, got an abstention"},
		{"did not abstain", scenario{retry: []string{"query-first"}}, d("a", "query-first", false), "expected to abstain, got a"},
		{"abstained rightly", scenario{retry: []string{"query-first"}}, d("a", "query-first", true), ""},
		{"no causes", scenario{want: []string{"a"}, retry: []string{"later"}}, report.Diagnosis{}, "expected a, got unexplained"},
	} {
		got := ""
		if err := (&lab{s: c.s}).judge(c.d); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestVerdictTakesTheFinalOne(t *testing.T) {
	lines := func(list ...string) (o world.Outcome) {
		for _, l := range list {
			o.Told = append(o.Told, json.RawMessage(l))
		}
		return o
	}
	d, err := verdict(lines(`{"result":"first","more":true,"diagnosis":{"id":"1","revision":1}}`, `{"result":"final","diagnosis":{"id":"1","revision":2,"final":true}}`))
	if err != nil || d.Revision != 2 {
		t.Errorf("revision %d, %v", d.Revision, err)
	}
	for _, o := range []world.Outcome{lines(), lines(`{"result":"busy","why":"full"}`), lines(`{"result":"first","diagnosis":{"id":"1"}}`)} {
		if d, err := verdict(o); err == nil {
			t.Errorf("%v: got revision %d", o.Told, d.Revision)
		}
	}
}

func TestCommandSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"fly", 2, `no command "fly"`},
		{"run --scenario none", 2, `no scenario "none"`},
		{"run --bin " + t.TempDir(), 1, "run make build first"},
		{"scenarios", 0, "modem-no-sim"},
		{"help", 0, "usage"},
	} {
		var out, talk bytes.Buffer
		if code := command(t.Context(), strings.Fields(c.args), &out, &talk); code != c.code ||
			!strings.Contains(out.String()+talk.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.says, &out, &talk)
		}
	}
}

func TestRelayPassesBothWaysAndTheEnd(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() { // answers once the other side has said all
		c, err := far.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		c.Write(bytes.ToUpper(b))
	}()
	near, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	go relay(near, func() (net.Conn, error) { return net.Dial("tcp", far.Addr().String()) })
	c, err := net.Dial("unix", near.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "over and out")
	c.(*net.UnixConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "OVER AND OUT" {
		t.Errorf("%q, %v", b, err)
	}
}
