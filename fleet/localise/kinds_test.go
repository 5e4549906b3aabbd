package localise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var testKinds = func() Kinds {
	k := Kinds{Dims: []string{"entry", "card"}, Least: 6, Cost: 4}
	entries, cards := map[string]float64{"chip": 0.35, "touch": 0.55, "swipe": 0.1}, map[string]float64{"own": 0.8, "far": 0.2}
	for _, e := range []string{"", "chip", "touch", "swipe"} {
		for _, c := range []string{"", "own", "far"} {
			if share := max(entries[e], float64(b2i(e == ""))) * max(cards[c], float64(b2i(c == ""))); e+c != "" {
				k.List = append(k.List, Kind{Values: []string{e, c}, Share: share})
			}
		}
	}
	return k
}()

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// kindly draws a world whose failures have kinds; times says how many times the foretold each leaf and kind fails.
func kindly(r *rand.Rand, times func(v []string, entry, card string) float64) []Leaf {
	list := world(r, func([]string) float64 { return 0 })
	for i := range list {
		l := &list[i]
		for _, pair := range testKinds.List {
			e, c := pair.Values[0], pair.Values[1]
			if e == "" || c == "" {
				continue
			}
			n := poisson(r, l.Expected*pair.Share*times(l.Values, e, c))
			for k, kind := range testKinds.List {
				if n > 0 && (kind.Values[0] == "" || kind.Values[0] == e) && (kind.Values[1] == "" || kind.Values[1] == c) {
					l.Kinds = append(l.Kinds, Count{k, n})
				}
			}
			l.Failed += n
		}
	}
	return list
}

// What failed is named by place and kind together, as many values of each as the failures have in common.
func TestNamesTheKindThatRose(t *testing.T) {
	for _, c := range []struct {
		want  string
		times func(v []string, entry, card string) float64
	}{
		{"card=far entry=touch version=1.1", func(v []string, e, c string) float64 {
			return 1 + 29*float64(b2i(e == "touch" && c == "far" && v[3] == "1.1"))
		}},
		{"acquirer=bank-1 card=far", func(v []string, _, c string) float64 { return 1 + 14*float64(b2i(c == "far" && v[0] == "bank-1")) }},
		{"entry=swipe", func(_ []string, e, _ string) float64 { return 1 + 14*float64(b2i(e == "swipe")) }},
		{"card=far entry=chip", func(_ []string, e, c string) float64 { return 1 + 14*float64(b2i(e == "chip" && c == "far")) }},
		{"acquirer=bank-2 entry=touch model=model-3", func(v []string, e, _ string) float64 {
			return 1 + 14*float64(b2i(e == "touch" && v[0] == "bank-2" && v[2] == "model-3"))
		}},
		{"acquirer=bank-0", func(v []string, _, _ string) float64 { return 1 + 9*float64(b2i(v[0] == "bank-0")) }},
	} {
		wrong := 0
		for seed := range uint64(10) {
			need := Published
			need.Kinds = testKinds
			r := Localise(testDims, kindly(rand.New(rand.NewPCG(seed, 11)), c.times), need)
			if len(r.Elements) == 0 || r.Elements[0].String() != c.want {
				t.Logf("seed %d: %s: named %s, outside %v", seed, c.want, names(r.Elements), r.Outside)
				wrong++
			}
		}
		if wrong > 1 {
			t.Errorf("%s: wrong in %d of 10", c.want, wrong)
		}
	}
}

// A leaf whose failures rose in all their kinds alike, and noise, are no kind's rise.
func TestTheNoiseOfALeafIsNoKinds(t *testing.T) {
	kinds := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 12))
		leaves := kindly(r, func(v []string, _, _ string) float64 {
			return []float64{1, 1, 1.6, 0.5, 1.3}[(len(v[0])+int(seed)+int(v[2][6]))%5]
		})
		need := Need{Chance: 1e-3, Excess: 2.5, Ratio: 1.2, Another: 3, Kinds: testKinds}
		found := Localise(testDims, leaves, need).Elements
		if slices.ContainsFunc(found, func(e Element) bool { return e.Dims["entry"]+e.Dims["card"] != "" }) {
			kinds++
			t.Logf("seed %d: %s", seed, names(found))
		}
	}
	if kinds > 1 {
		t.Errorf("a kind is named in %d of 60", kinds)
	}
}

// What is known of the sums bounds the gain of a kind.
func TestTheBoundHoldsForKinds(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 6))
	for range 3000 {
		w := work{need: Need{Kinds: Kinds{Dims: []string{"entry"}, List: []Kind{{[]string{"chip"}, 0.05 + 0.9*r.Float64()}}}}}
		var s sums
		var of []int32
		failed, rate := 0.0, math.Exp(6*r.Float64()-5)
		for i := range 1 + r.IntN(40) {
			l := Leaf{Total: 1, Expected: rate * (0.1 + r.Float64()), Failed: float64(r.IntN(1 + r.IntN(9)))}
			if n := float64(r.IntN(1 + int(l.Failed))); n > 0 {
				l.Kinds = []Count{{0, n}}
				failed += n
			}
			w.leaves, of = append(w.leaves, l), append(of, int32(i))
			s.add(l)
		}
		w.number(0)
		w.sort()
		kind := s.of(failed, w.kinds[0].share)
		if gain, bound := w.gain(of, 0), kind.bound(); kind.failed > kind.expected && gain > bound+1e-6 {
			t.Fatalf("%+v: %v is more than %v", w.leaves, gain, bound)
		}
	}
}

// Leaves with few calls lean on the usual rate of others; an element of such leaves that always fails more often than
// others has not risen.
func TestWhatAlwaysFailsMoreOftenHasNotRisen(t *testing.T) {
	var b strings.Builder
	b.WriteString("min,value,cnt,cdn,device\n")
	r := rand.New(rand.NewPCG(3, 3))
	for m := range 4 {
		for leaf := range 60 {
			fmt.Fprintf(&b, "%d,%d,%d,old,d%d\n", 60*m, r.IntN(3)+1, 5, leaf) // 40 in a hundred
			fmt.Fprintf(&b, "%d,%d,%d,new,d%d\n", 60*m, 10+r.IntN(7), 1000, leaf)
		}
	}
	table, err := Read(strings.NewReader(b.String()), Columns{"min", "value", "cnt"})
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := table.At(time.Unix(180, 0))
	if err != nil {
		t.Fatal(err)
	}
	if r := Localise(table.Dims, leaves, Published); len(r.Elements) > 0 {
		t.Errorf("named %s", names(r.Elements))
	}
}

// A series that has often been as high is no news; one that was quiet is.
func TestWhatIsOftenSoHighIsNoNews(t *testing.T) {
	for _, c := range []struct {
		past  []int
		now   int
		named bool
	}{
		{[]int{120, 3600, 90, 110, 3500, 115, 120, 90}, 1800, false},
		{[]int{120, 130, 90, 110, 100, 115, 120, 90}, 1800, true},
		{[]int{600, 1900}, 2400, false},
		{[]int{600, 610}, 2400, true},
		{[]int{600}, 2400, true}, // one minute shows no noise
	} {
		var b strings.Builder
		b.WriteString("min,value,cnt,bitrate\n")
		for m, n := range append(slices.Clone(c.past), c.now) {
			fmt.Fprintf(&b, "%d,%d,10000,2500\n%d,300,30000,500\n", 60*m, n, 60*m)
		}
		table, err := Read(strings.NewReader(b.String()), Columns{"min", "value", "cnt"})
		if err != nil {
			t.Fatal(err)
		}
		leaves, err := table.At(time.Unix(int64(60*len(c.past)), 0))
		if err != nil {
			t.Fatal(err)
		}
		if r := Localise(table.Dims, leaves, Published); (len(r.Elements) > 0) != c.named {
			t.Errorf("%v after %v: named %s, want that it is %v", c.now, c.past, names(r.Elements), c.named)
		}
	}
}

// Student's t, from a table.
func TestChanceOf(t *testing.T) {
	for _, c := range []struct{ df, t, p float64 }{{1, 3.078, 0.1}, {2, 2.920, 0.05}, {4, 0.941, 0.2}, {9, 2.821, 0.01}} {
		values := make([]float64, int(c.df)+1)
		n := float64(len(values))
		for i := range values { // of mean 0 and deviation 1
			values[i] = (float64(i) - (n-1)/2) / math.Sqrt(n*(n+1)/12)
		}
		if p := chanceOf(c.t*math.Sqrt(1+1/n), values); math.Abs(p-c.p) > 0.001 {
			t.Errorf("t %v with %v degrees of freedom: %.4f, want %v", c.t, c.df, p, c.p)
		}
	}
}
