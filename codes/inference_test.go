package codes

import (
	"crypto/ed25519"
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
		{"a finding and a cause twice", "inference/weights.tsv", "stand in the table twice", add("tcp.refused\thint\thost.port-closed\t-")},
		{"a strong word without a source", "inference/weights.tsv", "on what it rests", add("changed.ip\tstrong\twan.mtu\tbecause")},
		{"a number instead of a word", "inference/weights.tsv", "is none of hint moderate", add("changed.ip\t+12\twan.mtu\t-")},
		{"a finding that nothing has", "inference/weights.tsv", "no finding", add("net.miracle\thint\twan.mtu\t-")},
		{"a circle of cause and symptom", "inference/order.tsv", "in a circle", add("tcp.timeout\tgateway.dead")},
		{"a cause named under two words", "inference/priors.tsv", "is named before", func(s string) string {
			return strings.Replace(s, "\taccount.funds\t-\t-\taccount.limit\t", "\taccount.funds\t-\t-\taccount.funds\t", 1)
		}},
		{"words that do not rise", "inference/settings.tsv", "must rise", func(s string) string { return strings.Replace(s, "\nhint\t", "\nhint\t59", 1) }},
		{"a stage that no sale has", "causes.tsv", "is none of card pin", func(s string) string { return strings.Replace(s, "connect send wait", "connect send dance", 1) }},
		{"knowledge of the first form", "inference/signs.tsv", "the first form", func(string) string { return "sign\tcheck\n" }},
	} {
		_, problems := Parse(edited(t, c.file, c.change))
		found := ""
		for _, p := range problems {
			found += p.File + ": " + p.What + "\n"
		}
		if !strings.Contains(found, c.says) {
			t.Errorf("%s: want a problem that says %q, got\n%.400s", c.what, c.says, found)
		}
	}
}

// TestPackOfTheFirstFormIsRefused says why, instead of calling it no pack.
func TestPackOfTheFirstFormIsRefused(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Pack(os.DirFS("data"), "9", private)
	if err != nil {
		t.Fatal(err)
	}
	copy(b, packFirst)
	if _, err := LoadPack(b, []ed25519.PublicKey{public}); err == nil || !strings.Contains(err.Error(), "first form") {
		t.Errorf("got %v, want a word about the first form", err)
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
