package codes

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestSwitchedOff: a modem is deaf where all that it can use has ended, and only there.
func TestSwitchedOff(t *testing.T) {
	k := Builtin()
	for _, c := range []struct{ operator, best, day string }{
		{"310410", "3g", "2022-02-22"}, // AT&T: 2G went first
		{"310410", "2g", "2017-01-01"},
		{"310410", "4g", ""},
		{"310260", "3g", ""}, // T-Mobile US: some 2G is left
		{"311480", "3g", "2022-12-31"},
		{"50501", "3g", "2024-10-28"},
		{"26202", "3g", ""}, // Germany: the 2G networks stay
		{"23420", "3g", "2024-12-31"},
		{"44010", "3g", "2026-03-31"},
		{"46000", "2g", ""}, // not in the table
		{"", "3g", ""}, {"310410", "", ""},
	} {
		day, ok := k.SwitchedOff(c.operator, c.best)
		if got := day.Format("2006-01-02"); ok != (c.day != "") || ok && got != c.day {
			t.Errorf("%s %s: %s %v, want %q", c.operator, c.best, got, ok, c.day)
		}
	}
}

// TestSunsetRows: a wrong row is named with its line, and a pack without the table is whole.
func TestSunsetRows(t *testing.T) {
	read := func(text string) (*parser, []Problem) {
		p := &parser{k: &Knowledge{}}
		p.read(fstest.MapFS{"sunsets.tsv": {Data: []byte("country\toperator\tnetworks\ttech\toff\tsource\n" + text)}})
		p.sunsets()
		return p, p.problems
	}
	for row, want := range map[string]string{
		"US\tA\t310410\t3g\t2022-02-30\tx":                                             "no day",
		"US\tA\t31041x\t3g\t2022-02-22\tx":                                             "no MCC and MNC",
		"US\tA\t310410\t6g\t2022-02-22\tx":                                             "no technology",
		"US\tA\t310410\t3g\t2022-02-22\t-":                                             "source is empty",
		"US\tA\t310410\t-\t2022-02-22\tx":                                              "needs a network",
		"US\tA\t1\t3g\tnever\tx\nUS\tA\t310410\t3g\tnever\tx":                          "no MCC",
		"US\tA\t310410\t3g\t2022-02-22\tx\nUS\tB\t310410,310411\t2g,3g\t2022-02-22\tx": "stands in line 2 already",
	} {
		if _, problems := read(row); !slices.ContainsFunc(problems,
			func(p Problem) bool { return strings.Contains(p.What.EN, want) && p.Line > 1 }) {
			t.Errorf("%q: %v, want %q", row, problems, want)
		}
	}
	p := &parser{k: &Knowledge{}}
	p.read(fstest.MapFS{})
	if p.sunsets(); len(p.problems) > 0 {
		t.Error(p.problems)
	}
}
