package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/agent/translate"
	"posdx/codes"
	"posdx/firmware-build/housetest"
	"posdx/firmware-build/lab/world"
	"posdx/fleet/simulate"
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
		{"wrong cause", scenario{want: []string{"a", "b"}, retry: []string{"later"}}, d("c", "later", false), "expected a/b, got c"},
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

// TestCommandsInBothLanguages walks the commands, their help and what is wrong with how they are called.
func TestCommandsInBothLanguages(t *testing.T) {
	for _, c := range []struct {
		args   string
		code   int
		zh, en string
	}{
		{"fly", 2, `没有命令 "fly"`, `no command "fly"`},
		{"run --scenario none", 2, `没有场景 "none"`, `no scenario "none"`},
		{"run --bin " + t.TempDir(), 1, "请先运行 make build", "run make build first"},
		{"run --help", 0, "弄坏什么", "what to break"},
		{"run --once=perhaps", 2, "不合适", "invalid boolean value"},
		{"run --colour", 2, "没有选项 -colour", "not defined"},
		{"scenarios", 0, "modem-no-sim", "modem-no-sim"},
		{"help", 0, "用法", "usage"},
		{"fleet --help", 0, "终端数", "how many terminals"},
		{"fleet --nonsense", 2, "没有选项", "not defined"},
		{"fleet --terminals 3 --day quiet", 2, "--terminals 为 10 到", "--terminals 10 to 100000"},
		{"fleet --terminals 449", 2, "至少 450", "at least 450"},
		{"fleet --day doomsday", 2, `没有 "doomsday"`, `no day "doomsday"`},
		{"fleet --bin nowhere --once --listen 127.0.0.1:0", 1, "启动 posdx-fleet", "start posdx-fleet"},
		{"enter", 1, "resolv.conf", "resolv.conf"},
		{"app", 1, "实验室的目录", "the lab's folder"},
	} {
		for _, lang := range []string{"zh", "en"} {
			var out, talk bytes.Buffer
			args := append(strings.Fields(c.args), "--lang", lang)
			if c.args == "app" || c.args == "enter" {
				t.Setenv("LC_ALL", lang)
				args = args[:1]
			}
			code := command(t.Context(), args, &out, &talk)
			said := out.String() + talk.String()
			want := map[string]string{"zh": c.zh, "en": c.en}[lang]
			if code != c.code || !strings.Contains(said, want) {
				t.Errorf("%v: exit code %d, want %d with %q:\n%s", args, code, c.code, want, said)
			}
			if housetest.HasHan(said) != (lang == "zh") {
				t.Errorf("%v: %s", args, said)
			}
			if e := housetest.English(said); lang == "zh" && e != "" {
				t.Errorf("%v: %q in %s", args, e, said)
			}
			for l := range strings.Lines(said) {
				if len(diagnose.Wrap(strings.TrimRight(l, "\n"), 160)) > 1 {
					t.Errorf("%v is too wide: %s", args, l)
				}
			}
		}
	}
	w := simulate.New(450, 1, time.Now())
	w.Incidents(7, w.Now)
	truths := morningTruths(w)
	for _, k := range w.Truths {
		truths = append(truths, *k)
	}
	for _, k := range truths {
		if n := simulate.NameOf(k.Name); !housetest.HasHan(n.ZH) {
			t.Errorf("%s has no Chinese name", k.Name)
		}
	}
}

// TestErrorsOfTheLabHaveChinese walks the places where they are made.
func TestErrorsOfTheLabHaveChinese(t *testing.T) {
	made := housetest.TextsMade(t, housetest.ErrorMakers, ".", "world")
	if len(made) < 40 {
		t.Fatalf("the walk finds %d errors only", len(made))
	}
	for what, path := range made {
		if !housetest.HasWords(what) {
			continue
		}
		what = strings.Replace(strings.Replace(what, "%v%s", "%v\n%s", 1), "%w%s", "%w\n%s", 1) // the tail of a log is on a line of its own
		said := translate.Error(housetest.SampleOf(what, errors.New("host hangs up")), errorTexts)
		if !housetest.HasHan(said) || strings.Contains(said, "系统报告") || housetest.English(said) != "" ||
			strings.Contains(what, "%w") && !strings.Contains(said, "主机挂断") {
			t.Errorf("%s: %q is said as %q: it needs a row in errorTexts", path, what, said)
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
