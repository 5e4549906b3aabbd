package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posdx/agent/internal/text"
	"posdx/codes"
)

// posdxCode runs the command and returns its exit code and what it wrote.
func posdxCode(args ...string) (code int, out, talk string) {
	var o, e bytes.Buffer
	s := stdio{in: strings.NewReader(""), out: &o, err: &e, speak: "en"}
	code = run(context.Background(), s, append([]string{"code"}, args...))
	return code, o.String(), e.String()
}

func TestCode(t *testing.T) {
	tests := []struct {
		args []string
		exit int
		has  string // all of these lines, in this order, in what is printed
	}{
		{[]string{"97", "--lang", "en"}, 0, "unionpay  97\nsent by: the acquirer, the switch\nnever sent by the issuer\ngicc-de  97\nMAC check\ncb2a-fr  97\n[false] article 000: 97 means an invalid card"},
		{[]string{"97", "--lang", "zh"}, 0, "unionpay  97  银联应答码\n终端未登记\n类别：D 须操作员处理\n谁发出：收单机构、卡组织等转接网络\n来源（13）\n[错] 文章000：97表示卡无效"},
		{[]string{"--scheme", "gicc-de", "97", "--lang=en"}, 0, "gicc-de  97\nMAC check"},
		{[]string{"--lang", "en", "77"}, 0, "unionpay  77\ndisputed: the sources disagree.\nGNETE instead: PIN"},
		{[]string{"--lang", "en", "A097"}, 0, "acquirer-4  A097\nfield 39: 97"},
		{[]string{"--lang", "en", "ConnectError"}, 0, "seed:ConnectError\n[unprovable]"},
		{[]string{"--lang", "en", "T-8C41"}, 1, "Code \"T-8C41\" is in no table. Searched: acquirer-4\nvisa\nAn unknown code means"},
		{[]string{"--scheme", "visa", "--lang", "en", "97"}, 1, "Searched: visa"},
		{[]string{"--coverage", "--lang", "en"}, 0, "C1  Communication\ncause: host.unreachable\nC26  Display fault\nnot observable from inside\nR3  Restart\nadvice: R3\nS9  "},
		{[]string{"--coverage", "--lang", "zh"}, 0, "C1  与银行或平台通讯失败\n终端内无法观察"},
		{[]string{"--lint", "../codes/data", "--lang", "en"}, 0, "no problem: version"},
		{[]string{"--help"}, 0, "posdx code --scheme gicc-de"},
	}
	for _, tt := range tests {
		exit, out, talk := posdxCode(tt.args...)
		if exit != tt.exit {
			t.Errorf("%q: exit %d, want %d: %s", tt.args, exit, tt.exit, talk)
		}
		rest := out
		for _, want := range strings.Split(tt.has, "\n") {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Errorf("%q: no %q (in this place) in\n%s", tt.args, want, out)
				break
			}
			rest = after
		}
	}
}

func TestCodeUsage(t *testing.T) {
	for _, args := range [][]string{nil, {""}, {"96", "97"}, {"--scheme", "nowhere", "97"}, {"--lang", "fr", "97"}, {"--coverage", "97"},
		{"--coverage", "--lint", "x"}, {"--lint", "x", "97"}, {"--wrong"}, {"--coverage", "--scheme", "visa"}} {
		if exit, out, talk := posdxCode(args...); exit != exitUsage || out != "" || talk == "" {
			t.Errorf("%q: exit %d, out %q, talk %q", args, exit, out, talk)
		}
	}
}

func TestCodeJSON(t *testing.T) {
	exit, out, _ := posdxCode("--json", "--lang", "en", "97")
	var d codeJSON
	if err := json.Unmarshal([]byte(out), &d); err != nil || exit != exitOK || !d.Known || len(d.Meanings) != 5 ||
		len(d.Claims) != 12 {
		t.Errorf("exit %d, %v, known %v, %d meanings, %d claims", exit, err, d.Known, len(d.Meanings), len(d.Claims))
	}
	if d.Meanings[0].Scheme != "unionpay" || !slices.Equal(d.Meanings[0].SentBy, []string{"acquirer", "switch"}) {
		t.Errorf("first is %+v", d.Meanings[0])
	}
	exit, out, _ = posdxCode("--json", "T-8C41")
	if err := json.Unmarshal([]byte(out), &d); err != nil || exit != exitUnknownCode || d.Known ||
		len(d.Searched) != len(codes.Builtin().Schemes) {
		t.Errorf("unknown: exit %d, %v, %+v", exit, err, d)
	}
	exit, out, _ = posdxCode("--json", "--coverage")
	var rows []coverageJSON
	if err := json.Unmarshal([]byte(out), &rows); err != nil || exit != exitOK || len(rows) != 62+43+9 {
		t.Errorf("coverage: exit %d, %v, %d rows", exit, err, len(rows))
	}
	for _, out := range []string{out} {
		if strings.Contains(out, "null") {
			t.Error("JSON holds null where a list belongs")
		}
	}
}

func TestCodeLint(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../codes/data")); err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	pack, err := codes.Pack(os.DirFS(dir), "1", key)
	if err != nil {
		t.Fatal(err)
	}
	good, damaged := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "damaged")
	os.WriteFile(good, pack, 0o600)
	os.WriteFile(damaged, pack[:len(pack)-1], 0o600)

	file := filepath.Join(dir, "causes.txt")
	b, _ := os.ReadFile(file)
	os.WriteFile(file, bytes.Replace(b, []byte("act cardholder"), []byte("act cardholders"), 1), 0o600)
	line := 1 + bytes.Count(b[:bytes.Index(b, []byte("act cardholder"))], []byte("\n"))
	tests := []struct {
		path      string
		exit      int
		out, talk string
	}{
		{good, 0, "no problem: version 1", ""},
		{damaged, 1, "", "the file is damaged"},
		{dir, 1, fmt.Sprintf("causes.txt:%d: act: \"cardholders\" is none of staff technician", line), ""},
		{file, 1, "", "neither a folder nor a knowledge pack"},
		{filepath.Join(dir, "missing"), 1, "", "no such file"},
	}
	for _, tt := range tests {
		exit, out, talk := posdxCode("--lint", tt.path, "--lang", "en")
		if exit != tt.exit || !strings.Contains(out, tt.out) || !strings.Contains(talk, tt.talk) || out == "" && talk == "" {
			t.Errorf("%s: exit %d, out %q, talk %q", tt.path, exit, out, talk)
		}
	}
	exit, out, _ := posdxCode("--lint", dir, "--json")
	var problems []problemJSON
	if err := json.Unmarshal([]byte(out), &problems); err != nil || exit != exitFailed || len(problems) == 0 ||
		problems[0].Line != line {
		t.Errorf("JSON: exit %d, %v, %v", exit, err, problems)
	}
}

// TestCodeFitsTheConsole: no line is wider than the technician's screen, in either language.
func TestCodeFitsTheConsole(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		for _, args := range [][]string{{"97"}, {"9997"}, {"77"}, {"30"}, {"--coverage"}} {
			_, out, _ := posdxCode(append(args, "--lang", lang)...)
			for line := range strings.Lines(out) {
				if n := text.Width(strings.TrimSuffix(line, "\n")); n > codeWidth {
					t.Errorf("%q: %d columns: %s", args, n, line)
				}
			}
		}
	}
}

// TestClassesHaveWords: no class of a table is shown in the other language.
func TestClassesHaveWords(t *testing.T) {
	for _, m := range codes.Builtin().Meanings {
		if w := codes.Builtin().Word("class", m.Class); m.Class != "" && w.ZH == m.Class {
			t.Errorf("%s %s: class %q has no words", m.Scheme, m.Code, m.Class)
		}
	}
}
