package localise

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A truth is one published incident: the minute to explain and what its operators found.
type truth struct {
	File   string              `json:"file"`
	At     int64               `json:"at"`
	Causes []map[string]string `json:"causes"`
}

// A score is how well incidents were localised. An element counts when all its dimensions and values are right and
// nothing else.
type score struct {
	cases, elements  int
	right, wrong     int // of those named
	exact            int // cases: every element named and no other
	ranked           int // elements among the first three candidates, whatever was named
	quiet, quietName int // minutes before the incident, and those in which something was named
}

func (s score) f1() float64 {
	return 2 * float64(s.right) / float64(2*s.right+s.wrong+s.elements-s.right)
}

func read(t testing.TB, file string) *Table {
	t.Helper()
	r, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	table, err := Read(r, Columns{"min", "value", "cnt"})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return table
}

func truths(t testing.TB, dir string) []truth {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []truth
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func judge(t testing.TB, dir string, list []truth) score {
	t.Helper()
	var s score
	for _, c := range list {
		table := read(t, filepath.Join(dir, c.File))
		at := func(minute int64) (Result, bool) {
			leaves, err := table.At(time.Unix(minute, 0))
			return Localise(table.Dims, leaves, Published), err == nil
		}
		r, ok := at(c.At)
		if !ok {
			t.Fatalf("%s: no minute %d", c.File, c.At)
		}
		in := func(list []Element) int {
			n := 0
			for _, e := range list {
				if slices.ContainsFunc(c.Causes, func(m map[string]string) bool { return maps.Equal(m, e.Dims) }) {
					n++
				}
			}
			return n
		}
		right := in(r.Elements)
		s.cases++
		s.elements += len(c.Causes)
		s.right += right
		s.wrong += len(r.Elements) - right
		s.ranked += in(r.Candidates)
		if right == len(c.Causes) && right == len(r.Elements) {
			s.exact++
		} else {
			t.Logf("%s: truth %v, named %v", c.File, c.Causes, r.Elements)
		}
		for back := int64(2); back <= 3; back++ {
			if q, ok := at(c.At - 60*back); ok {
				s.quiet++
				if len(q.Elements) > 0 {
					s.quietName++
					t.Logf("%s, %d minutes before: %v", c.File, back, q.Elements)
				}
			}
		}
	}
	return s
}

func (s score) log(t testing.TB, name string) {
	t.Logf("%s: %d cases; named %d of %d elements, %d wrong, F1 %.3f, exact %d; among the first three candidates %d; named in %d of %d minutes before",
		name, s.cases, s.right, s.elements, s.wrong, s.f1(), s.exact, s.ranked, s.quietName, s.quiet)
}

// TestIncidentsKept holds a floor on a few of the published incidents; see testdata/README.md.
func TestIncidentsKept(t *testing.T) {
	s := judge(t, "testdata", truths(t, "testdata"))
	s.log(t, "testdata")
	if s.right < s.elements-1 || s.f1() < 0.7 || s.exact < s.cases/2 {
		t.Errorf("worse than it was: %+v", s)
	}
}

// TestYardstick prints the figures for a folder of incidents: POSDX_YARDSTICK=DIR go test -run Yardstick -v.
func TestYardstick(t *testing.T) {
	dir := os.Getenv("POSDX_YARDSTICK")
	if dir == "" {
		t.Skip("POSDX_YARDSTICK names no folder")
	}
	list := truths(t, dir)
	var halves [2][]truth
	for i, c := range list {
		halves[i%2] = append(halves[i%2], c)
	}
	judge(t, dir, list).log(t, "all")
	judge(t, dir, halves[0]).log(t, "every other, from the first")
	judge(t, dir, halves[1]).log(t, "every other, from the second")
}

// Ripples are made as the literature makes its synthetic cases (Squeeze's B0, which RiskLoc took over): four
// dimensions, elements of one set of one to three of them, one to three of them a case; every leaf of an element
// changes by the same factor, and the forecast is wrong by a little. 54 cases. What is tuned on these loses on real
// incidents, so both are told side by side: RiskLoc has 0.951 on its 54 and 0.025 on the real ones.
func TestRipples(t *testing.T) {
	dims, sizes := []string{"a", "b", "c", "d"}, []int{10, 12, 10, 8}
	var all score
	for layer := 1; layer <= 3; layer++ {
		for elements := 1; elements <= 3; elements++ {
			var s score
			for seed := range uint64(6) {
				r := rand.New(rand.NewPCG(seed, uint64(10*layer+elements)))
				leaves, causes := ripple(r, dims, sizes, layer, elements)
				found := Localise(dims, leaves, Published)
				s.cases, s.elements = s.cases+1, s.elements+len(causes)
				right := 0
				for _, e := range found.Elements {
					if slices.ContainsFunc(causes, func(m map[string]string) bool { return maps.Equal(m, e.Dims) }) {
						right++
					}
				}
				s.right, s.wrong = s.right+right, s.wrong+len(found.Elements)-right
				if right == len(causes) && len(found.Elements) == right {
					s.exact++
				}
			}
			t.Logf("%d dimensions, %d elements: %d of %d named, %d wrong, F1 %.3f, exact %d of %d", layer, elements, s.right,
				s.elements, s.wrong, s.f1(), s.exact, s.cases)
			all.cases, all.elements, all.right = all.cases+s.cases, all.elements+s.elements, all.right+s.right
			all.wrong, all.exact = all.wrong+s.wrong, all.exact+s.exact
		}
	}
	t.Logf("all: %d of %d named, %d wrong, F1 %.3f, exact %d of %d", all.right, all.elements, all.wrong, all.f1(), all.exact,
		all.cases)
	if all.f1() < 0.8 {
		t.Errorf("worse than it was: %+v", all)
	}
}

// ripple makes a case of elements that share no leaf.
func ripple(r *rand.Rand, dims []string, sizes []int, layer, elements int) ([]Leaf, []map[string]string) {
	of := r.Perm(len(dims))[:layer]
	slices.Sort(of)
	var causes []map[string]string
	var rates []float64
	for len(causes) < elements {
		c := map[string]string{}
		for _, d := range of {
			c[dims[d]] = fmt.Sprint(dims[d], r.IntN(sizes[d]))
		}
		if !slices.ContainsFunc(causes, func(m map[string]string) bool { return maps.Equal(m, c) }) {
			causes, rates = append(causes, c), append(rates, 1.5+4*r.Float64())
		}
	}
	var leaves []Leaf
	at := make([]int, len(dims))
	for {
		if r.Float64() < 0.7 {
			l := Leaf{Values: make([]string, len(dims)), Total: math.Exp(6 + 1.2*r.NormFloat64())}
			for d, v := range at {
				l.Values[d] = fmt.Sprint(dims[d], v)
			}
			mean := 0.03 * l.Total
			for k, c := range causes {
				holds := true
				for _, d := range of {
					holds = holds && c[dims[d]] == l.Values[d]
				}
				if holds {
					mean *= 1 + rates[k]
				}
			}
			l.Failed = min(l.Total, math.Round(mean))
			l.Expected = 0.03 * l.Total * math.Exp(0.02*r.NormFloat64())
			leaves = append(leaves, l)
		}
		d := 0
		for ; d < len(dims); d++ {
			if at[d]++; at[d] < sizes[d] {
				break
			}
			at[d] = 0
		}
		if d == len(dims) {
			return leaves, causes
		}
	}
}
