package codes

import (
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// edited returns the data files with one of them changed.
func edited(t *testing.T, name string, change func(string) string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("data"), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile("data/" + p)
		files[p] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	old := ""
	if f := files[name]; f != nil {
		old = string(f.Data)
	}
	text := change(old)
	if text == old {
		t.Fatalf("%s: the change changes nothing", name)
	}
	files[name] = &fstest.MapFile{Data: []byte(text)}
	return files
}

// TestTablesOfFindingsAreLinted makes each mistake that the tables of the engine must not hold.
func TestTablesOfFindingsAreLinted(t *testing.T) {
	add := func(line string) func(string) string { return func(s string) string { return s + line + "\n" } }
	for _, c := range []struct {
		what, file, says string
		change           func(string) string
	}{
		{"a finding and a cause twice", "findings.txt", `cause "wan.mtu" stands in line`, add("for hint wan.mtu\nfor hint wan.mtu")},
		{"a cause for and against", "findings.txt", `cause "wan.mtu" stands in line`, add("for hint wan.mtu\nagainst hint wan.*")},
		{"a strong word without a source", "findings.txt", "on what it rests", add("for strong wan.mtu -- because")},
		{"a number instead of a word", "findings.txt", `"+12" is none of hint moderate`, add("for +12 wan.mtu")},
		{"a word about no cause", "findings.txt", "for hint: which causes?", add("for hint")},
		{"a cause that there is not", "findings.txt", `no cause "wan.mud"`, add("for hint wan.mud")},
		{"a finding twice", "findings.txt", `finding "tcp.ok" stands in line`, add("finding tcp.ok of net.tcp family net.tcp kind tell")},
		{"a finding that nothing shows", "findings.txt", `nothing says what shows the finding "net.miracle"`,
			add("finding net.miracle of net.tcp family net.tcp kind tell\nzh 奇迹\nen a miracle")},
		{"a finding without a text", "findings.txt", "zh is empty", add("finding net.miracle of net.tcp family net.tcp kind tell\ngood when always\nen a miracle")},
		{"a finding of no check", "findings.txt", `no check "net.luck"`, add("finding net.miracle of net.luck family net.tcp kind tell\ngood when always")},
		{"a line without conditions", "findings.txt", "say when", add("bad of net.tcp")},
		{"a condition on no fact", "findings.txt", "no such yes-or-no fact", add("bad of net.tcp when lucky")},
		{"a limit on no number", "findings.txt", `net.tcp measures no number "outcome"`, add("bad of net.tcp by outcome poor 1 bad 2")},
		{"a limit without a number", "findings.txt", "bad is empty", add("bad of net.tcp by ms poor 1 full 3")},
		{"a limit twice", "findings.txt", "poor stands in the line twice", add("bad of net.tcp by ms poor 1 poor 2 bad 3")},
		{"good and bad news at once", "findings.txt", "is good news in one line and not in another",
			add("finding net.miracle of net.tcp family net.tcp kind tell\ngood when always\nbad when reset")},
		{"a strength beside limits", "findings.txt", "the limits make the strength", add("bad of net.tcp by ms poor 1 bad 2 strength 0.5")},
		{"a word that no line begins with", "findings.txt", `"worse": a line of a finding begins with one of`, add("worse when always")},
		{"a key that no line has", "findings.txt", "begins with of, when or by", add("bad wenn carrier")},
		{"a question mark where nothing is sure", "inference/order.tsv", "needs no mark", add("tcp.reset\ttls.broken?")},
		{"a circle of cause and symptom", "inference/order.tsv", "in a circle", add("tcp.timeout\tgateway.dead")},
		{"a cause named under two words", "inference/priors.tsv", "is named before", func(s string) string {
			return strings.Replace(s, "\taccount.funds\t-\t-\taccount.limit\t", "\taccount.funds\t-\t-\taccount.funds\t", 1)
		}},
		{"words that do not rise", "inference/settings.tsv", "must rise", func(s string) string { return strings.Replace(s, "\nhint\t", "\nhint\t59", 1) }},
		{"a stage that no sale has", "causes.txt", "is none of card pin", func(s string) string {
			return strings.Replace(s, "stages connect send wait", "stages connect send dance", 1)
		}},
		{"knowledge of the first form", "inference/signs.tsv", "the first form", func(string) string { return "sign\tcheck\n" }},
		{"knowledge of the second form", "inference/weights.tsv", "the second form", func(string) string { return "finding\tword\n" }},
	} {
		_, problems := Parse(edited(t, c.file, c.change))
		found := ""
		for _, p := range problems {
			found += p.File + ": " + p.What.EN + "\n"
		}
		if !strings.Contains(found, c.says) {
			t.Errorf("%s: want a problem that says %q, got\n%.400s", c.what, c.says, found)
		}
	}
}

// TestPacksOfOldFormsAreRefused says why, instead of calling them no packs.
func TestPacksOfOldFormsAreRefused(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Pack(os.DirFS("data"), "9", private)
	if err != nil {
		t.Fatal(err)
	}
	for i, form := range []string{"first form", "second form"} {
		copy(b, fmt.Sprintf("posdx knowledge %d\n", i+1))
		if _, err := LoadPack(b, []ed25519.PublicKey{public}); err == nil || !strings.Contains(err.Error(), form) {
			t.Errorf("loaded: got %v, want a word about the %s", err, form)
		}
		if _, err := OpenPack(b); err == nil || !strings.Contains(err.Error(), form) {
			t.Errorf("looked at: got %v, want a word about the %s", err, form)
		}
	}
}

// TestWordsAreFew counts what is set by hand: words, no numbers. The numbers that words weigh are fitted.
func TestWordsAreFew(t *testing.T) {
	k, problems := Parse(os.DirFS("data"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	cells, named := 0, 0
	for i := range k.Inference.Signs {
		cells += len(k.Inference.Signs[i].Weights)
	}
	for i := range k.Inference.Priors {
		named += len(k.Inference.Priors[i].Causes)
	}
	fitted := 0
	b, err := os.ReadFile("data/inference/settings.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(b), "\n") {
		if cells := strings.Split(l, "\t"); len(cells) == 4 && cells[2] == "yes" {
			fitted++
		}
	}
	t.Logf("%d findings, %d words about causes, %d words of priors, %d numbers fitted, %d set", len(k.Inference.Signs), cells, named, fitted, len(k.Inference.Settings.fields())-fitted)
	if fitted > 24 {
		t.Errorf("%d numbers are fitted: more than a handful fit single stories", fitted)
	}
}
