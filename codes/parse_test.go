package codes

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// dataFiles returns the shipped data files in memory, so that a test can spoil them.
func dataFiles(t testing.TB) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	root := os.DirFS("data")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, name)
		m[name] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// spoil replaces a text in one file, which must hold it, and returns the line it stood in.
func spoil(t testing.TB, m fstest.MapFS, file, old, new string) int {
	t.Helper()
	before, _, ok := bytes.Cut(m[file].Data, []byte(old))
	if !ok {
		t.Fatalf("%s does not hold %q", file, old)
	}
	m[file] = &fstest.MapFile{Data: bytes.Replace(m[file].Data, []byte(old), []byte(new), 1)}
	return 1 + bytes.Count(before, []byte("\n"))
}

func TestDataHasNoProblems(t *testing.T) {
	_, problems := Parse(os.DirFS("data"))
	for _, p := range problems {
		t.Errorf("%s:%d: %s", p.File, p.Line, p.What.EN)
	}
}

func TestBuiltinIsTheData(t *testing.T) {
	k, _ := Parse(os.DirFS("data"))
	if d := cmp.Diff(k, Builtin(), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("run go generate ./codes (-data +builtin):\n%.3000s", d)
	}
}

func TestParseSaysWhatIsWrongAndWhere(t *testing.T) {
	tests := []struct {
		name, file, old, new, what string
	}{
		{"missing Chinese", "codes/unionpay.tsv", "\t终端未登记：中心或银行找不到这个终端号\t", "\t-\t", "column zh is empty"},
		{"missing English", "causes.txt", "\n  en The shop's router does not respond", "", "en is empty"},
		{"English where Chinese belongs", "causes.txt", "店内路由器没有响应", "router", `no Chinese in "router"`},
		{"Chinese where English belongs", "causes.txt", "The shop's router does not respond", "The 路由器", "Chinese in"},
		{"Chinese mark in English", "causes.txt", "Nothing to do.", "Nothing to do。", "Chinese in"},
		{"unknown domain", "codes/gicc-de.tsv", "terminal-keys", "terminal-key", `column domain: "terminal-key" is none of`},
		{"unknown retry", "codes/gicc-de.tsv", "after-signin", "after-sign-in", "column retry"},
		{"unknown source", "codes/gicc-de.tsv", "IPAY", "IPAI", `no source in sources.tsv "IPAI"`},
		{"unknown writer", "codes/unionpay.tsv", "acquirer,switch,issuer", "acquirer,swich", `no writer "swich"`},
		{"no source", "codes/emv-arc.tsv", "\tGENERAL\t", "\t-\t", "has no source"},
		{"blank around a word", "codes/unionpay.tsv", "acquirer,switch,issuer", "acquirer, switch", "one comma and no blank"},
		{"twice in a list", "codes/unionpay.tsv", "acquirer,switch,issuer", "acquirer,acquirer", `"acquirer" twice`},
		{"code twice", "codes/gicc-de.tsv", "\n02\t", "\n00\t", `code "00" stands in line 2 already`},
		{"cause twice", "causes.txt", "cause lan.wifi ", "cause lan.cable ", `cause "lan.cable" stands in line`},
		{"profile twice", "profiles.tsv", "\nstarpos\t", "\nbestpay\t", `name "bestpay" stands in line`},
		{"remedy twice", "remedies.tsv", "\nR2\t", "\nR1\t", `id "R1" stands in line 2 already`},
		{"too few cells", "codes/gicc-de.tsv", "\n02\t", "\n", "10 cells, want 11"},
		{"empty cell", "codes/gicc-de.tsv", "\trefer\t", "\t\t", "an empty cell is -"},
		{"control character", "codes/gicc-de.tsv", "refer", "re\x07fer", "control character"},
		{"wrong columns", "codes/gicc-de.tsv", "code\ten", "kode\ten", "columns are"},
		{"code too long", "codes/gicc-de.tsv", "\n02\t", "\n" + strings.Repeat("2", 65) + "\t", "longer than 64"},
		{"undisputed double", "codes/acquirer-4.tsv", "PAYERMAX\tyes", "PAYERMAX\t-", "so it is disputed"},
		{"scheme without a file", "schemes.tsv", "\nvisa\t", "\nvista\t", `the file of scheme "vista" is missing`},
		{"step with no remedy known", "causes.txt", "step S7\n", "step S77\n", `no remedy "S77"`},
		{"step for no advice known", "causes.txt", "when query-first\n", "when query-last\n", `no advice "query-last"`},
		{"unknown actor", "causes.txt", "act carrier", "act courier", `act: "courier" is none of`},
		{"unknown segment", "causes.txt", "segment modem", "segment modern", `segment: "modern" is none of`},
		{"number of another cause", "causes.txt", "card.expired number 2 ", "card.expired number 1 ", `number 1 is that of "card.damaged" already; the next free one is`},
		{"number out of bounds", "causes.txt", "card.expired number 2 ", "card.expired number 256 ", `"256" is no number from 1 to 255`},
		{"word that a cause has not", "causes.txt", "\n  stages card\n", "\n  stage card\n", `"stage": a line of a cause begins with one of stages writers zh en`},
		{"text twice", "causes.txt", "\n  writers terminal\n", "\n  zh 又一个\n  writers terminal\n", "zh stands in line"},
		{"key without a word behind it", "causes.txt", "act carrier visit", "act visit", "nothing stands behind act"},
		{"line before the first cause", "causes.txt", "\n# card\n", "\nstages card\n", `"stages" stands before the first cause`},
		{"check twice", "checks.txt", "check net.tls ", "check net.tcp ", `check "net.tcp" stands in line`},
		{"fact twice", "checks.txt", "fact carrier type", "fact iface type", `fact "iface" stands in line`},
		{"fact of two kinds", "checks.txt", "fact ms type float unit ms", "fact ms type text", "a fact of one name holds one kind of value"},
		{"fact of no type", "checks.txt", "fact carrier type bool", "fact carrier type boolean", `type: "boolean" is none of`},
		{"number without bounds", "checks.txt", " low 0 high 100000", "", "low is empty"},
		{"word without words", "checks.txt", " words ethernet,wifi,cellular,ppp", "", "a word fact needs its words"},
		{"word in no language", "checks.txt", "words ethernet,", "words ethernot,", `words.tsv has no fact "ethernot"`},
		{"display without a reason", "checks.txt", " -- names the router in the text", "", "say why nothing judges ip"},
		{"lost row", "codes/gicc-de.tsv", "\n02\t", "\n#02\t", "codes/gicc-de.tsv has 26"},
		{"number of another scheme", "schemes.tsv", "\nvisa\t11\t", "\nvisa\t12\t", "number 12 is that of"},
		{"unknown check", "coverage.tsv", "net.dns", "net.dms", `no check "net.dms"`},
		{"coverage of no cause", "coverage.tsv", "wan.slow,wan.loss", "wan.slow,wan.lose", `no cause "wan.lose"`},
		{"unmapped row", "coverage.tsv", "\twan.slow,wan.loss\tnet.path\t", "\t-\t-\t", `row "C3" leads to no cause`},
		{"unknown verdict", "claims.tsv", "\tfalse\t", "\tfalsch\t", "column verdict"},
		{"rule of no profile", "rules.tsv", "starpos\t", "moonpos\t", `no profile "moonpos"`},
		{"rule that takes nothing", "rules.tsv", "\t20xx\t", "\t20??\t", "needs one run of x"},
		{"profile of no scheme", "profiles.tsv", "\tvisa\t", "\tvista\t", `no scheme "vista"`},
		{"version", "VERSION", "2026", "2026 ", "is not allowed"},
		{"not UTF-8", "codes/visa.tsv", "Visa", "Vis\xe4", "not UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := dataFiles(t)
			spoil(t, m, tt.file, tt.old, tt.new)
			_, problems := Parse(m)
			for _, p := range problems {
				if strings.Contains(p.What.EN, tt.what) {
					return
				}
			}
			t.Errorf("no problem says %q: %v", tt.what, problems)
		})
	}
}

func TestProblemsNameFileAndLine(t *testing.T) {
	m := dataFiles(t)
	line := spoil(t, m, "causes.txt", "店内路由器没有响应", "router")
	_, problems := Parse(m)
	want := []Problem{{"causes.txt", line, Text{ZH: `zh："router" 里没有中文`, EN: `zh: no Chinese in "router"`}}}
	if d := cmp.Diff(want, problems); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
}

func TestFileThatNothingReadsIsAProblem(t *testing.T) {
	m := dataFiles(t)
	m["notes.txt"] = &fstest.MapFile{Data: []byte("hello")}
	_, problems := Parse(m)
	if want := []Problem{{"notes.txt", 0, Text{ZH: "不认识这个数据文件", EN: "no such data file is known"}}}; cmp.Diff(want, problems) != "" {
		t.Errorf("problems = %v, want %v", problems, want)
	}
}

func TestMissingFileIsAProblem(t *testing.T) {
	for _, name := range []string{"causes.txt", "codes/visa.tsv", "VERSION", "rules.tsv"} {
		m := dataFiles(t)
		delete(m, name)
		if _, problems := Parse(m); len(problems) == 0 {
			t.Errorf("no problem without %s", name)
		}
	}
}

// TestSpreadsheetMarksDoNotMatter: a byte order mark and CRLF give the same knowledge and the same hash.
func TestSpreadsheetMarksDoNotMatter(t *testing.T) {
	m := dataFiles(t)
	for _, name := range []string{"causes.txt", "codes/unionpay.tsv"} {
		crlf := bytes.ReplaceAll(m[name].Data, []byte("\n"), []byte("\r\n"))
		m[name] = &fstest.MapFile{Data: append([]byte("\xef\xbb\xbf"), crlf...)}
	}
	k, problems := Parse(m)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if k.Hash != Builtin().Hash {
		t.Errorf("hash = %s, want %s", k.Hash, Builtin().Hash)
	}
}

func TestHashFollowsEveryByte(t *testing.T) {
	seen := map[string]string{Builtin().Hash: "nothing changed"}
	for _, name := range []string{"sources.tsv", "codes/visa.tsv", "VERSION"} {
		m := dataFiles(t)
		b := bytes.Replace(m[name].Data, []byte("2"), []byte("3"), 1)
		m[name] = &fstest.MapFile{Data: b}
		k, _ := Parse(m)
		if before, ok := seen[k.Hash]; ok {
			t.Errorf("a change in %s gives the same hash as %s", name, before)
		}
		seen[k.Hash] = name
	}
}

func TestParseIsBounded(t *testing.T) {
	many := fstest.MapFS{}
	for i := range maxFiles + 1 {
		many[fmt.Sprintf("f%d", i)] = &fstest.MapFile{}
	}
	large := fstest.MapFS{"VERSION": {Data: make([]byte, maxFileSize+1)}}
	total := fstest.MapFS{}
	for i := range maxTotal/maxFileSize + 1 {
		total[fmt.Sprintf("f%d", i)] = &fstest.MapFile{Data: make([]byte, maxFileSize)}
	}
	rows := dataFiles(t)
	rows["sources.tsv"] = &fstest.MapFile{Data: append([]byte("key\twhat\n"), bytes.Repeat([]byte("A\tB\n"), maxRows+1)...)}
	for what, m := range map[string]fstest.MapFS{"more than 128 files": many, "larger than": large, "bytes in all": total, "more than 20000 rows": rows} {
		_, problems := Parse(m)
		if !strings.Contains(fmt.Sprint(problems), what) {
			t.Errorf("problems = %.300v, want one that says %q", problems, what)
		}
		if len(problems) > maxProblems {
			t.Errorf("%d problems", len(problems))
		}
	}
}

// FuzzTables feeds foreign bytes to every reader of a table, with the rest of the knowledge in place.
func FuzzTables(f *testing.F) {
	for _, name := range []string{"codes/emv-arc.tsv", "overrides/host-mm.tsv", "sources.tsv", "schemes.tsv", "checks.txt", "findings.txt", "causes.txt",
		"remedies.tsv", "coverage.tsv", "claims.tsv", "forbidden.tsv", "profiles.tsv", "rules.tsv", "VERSION"} {
		b, err := os.ReadFile(filepath.Join("data", name))
		if err != nil {
			f.Fatal(err)
		}
		if lines := bytes.SplitAfterN(b, []byte("\n"), 5); len(lines) == 5 {
			b = bytes.Join(lines[:4], nil)
		}
		f.Add(b)
	}
	built := Builtin()
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &parser{k: &Knowledge{Schemes: built.Schemes, Sources: built.Sources, Checks: built.Checks,
			Causes:   slices.Clone(built.Causes),
			Profiles: slices.Clone(built.Profiles)}, files: map[string][]byte{}}
		for _, name := range []string{"causes.txt", "findings.txt", "remedies.tsv", "coverage.tsv", "claims.tsv", "forbidden.tsv", "profiles.tsv", "rules.tsv",
			"codes/visa.tsv", "overrides/host-mm.tsv"} {
			p.files[name] = b
		}
		p.meanings("codes/visa.tsv", "visa", &p.k.Meanings)
		p.causes()
		p.findings()
		p.coverage()
		p.claims()
		p.forbidden()
		p.profiles()
		q := &parser{k: &Knowledge{}, files: map[string][]byte{"sources.tsv": b, "schemes.tsv": b, "checks.txt": b, "VERSION": b}}
		q.sources()
		q.schemes()
		q.checks()
		q.version()
		if len(p.problems) == 0 && len(q.problems) == 0 {
			t.Errorf("%q is every table at once", b)
		}
	})
}
