package localise

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// poisson draws a count.
func poisson(r *rand.Rand, mean float64) float64 {
	if mean > 50 {
		return max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	n, p, limit := -1.0, 1.0, math.Exp(-mean)
	for p > limit {
		p *= r.Float64()
		n++
	}
	return n
}

var testDims = []string{"acquirer", "carrier", "model", "version"}

// world draws leaves of 3 acquirers, 4 carriers, 5 models and 3 versions, whose calls fail at the given multiple of
// what is foretold.
func world(r *rand.Rand, times func(v []string) float64) []Leaf {
	var list []Leaf
	for a := range 3 {
		for c := range 4 {
			for m := range 5 {
				for v := range 3 {
					l := Leaf{Values: []string{fmt.Sprint("bank-", a), fmt.Sprint("carrier-", c), fmt.Sprint("model-", m), fmt.Sprint("1.", v)}}
					l.Total = 20 + math.Round(math.Exp(4*r.Float64()+1))
					l.Expected = l.Total * 0.03
					l.Failed = min(l.Total, poisson(r, l.Expected*times(l.Values)))
					list = append(list, l)
				}
			}
		}
	}
	return list
}

func names(list []Element) string {
	var s []string
	for _, e := range list {
		s = append(s, e.String())
	}
	return strings.Join(s, " + ")
}

func TestNamesWhatRose(t *testing.T) {
	has := func(want ...string) func([]string) float64 {
		return func(v []string) float64 {
			for _, w := range want {
				if !slices.Contains(v, w) {
					return 1
				}
			}
			return 10
		}
	}
	for _, c := range []struct {
		want  string
		times func(v []string) float64
	}{
		{"acquirer=bank-1", has("bank-1")},
		{"model=model-2 version=1.1", has("model-2", "1.1")},
		{"acquirer=bank-0 carrier=carrier-3 model=model-4", has("bank-0", "carrier-3", "model-4")},
		{"carrier=carrier-0 + carrier=carrier-2", func(v []string) float64 { return max(has("carrier-0")(v), has("carrier-2")(v)) }},
	} {
		wrong := 0
		for seed := range uint64(10) {
			r := Localise(testDims, world(rand.New(rand.NewPCG(seed, 1)), c.times), Published)
			list := slices.Clone(r.Elements[:min(len(r.Elements), 1+strings.Count(c.want, "+"))]) // a doubtful one may follow
			slices.SortFunc(list, func(a, b Element) int { return strings.Compare(a.String(), b.String()) })
			if names(list) != c.want || r.Outside {
				t.Logf("seed %d: %s: named %s, outside %v", seed, c.want, names(r.Elements), r.Outside)
				wrong++
			}
		}
		if wrong > 1 {
			t.Errorf("%s: wrong in %d of 10", c.want, wrong)
		}
	}
}

// Noise, a drift that all share, and a rise too small to matter name nothing.
func TestNothingIsNamedWithoutARise(t *testing.T) {
	for name, times := range map[string]func([]string) float64{
		"noise":        func([]string) float64 { return 1 },
		"drift up":     func([]string) float64 { return 1.3 },
		"drift down":   func([]string) float64 { return 0.6 },
		"a small rise": func(v []string) float64 { return 1 + 0.3*float64(strings.Count(v[0], "1")) },
		"uneven noise": func(v []string) float64 { return 0.7 + 0.6*float64(len(v[2]+v[3])%2) },
	} {
		named := 0
		for seed := range uint64(40) {
			if r := Localise(testDims, world(rand.New(rand.NewPCG(seed, 2)), times), Published); len(r.Elements) > 0 ||
				r.Outside {
				t.Logf("%s, seed %d: %s, outside %v", name, seed, names(r.Elements), r.Outside)
				named++
			}
		}
		if named > 1 {
			t.Errorf("%s: named something in %d of 40", name, named)
		}
	}
}

// What rose evenly has its place outside of what is recorded.
func TestOutsideIsAnAnswer(t *testing.T) {
	for seed := range uint64(10) {
		r := Localise(testDims, world(rand.New(rand.NewPCG(seed, 3)), func([]string) float64 { return 6 }), Published)
		if !r.Outside || len(r.Elements) > 0 {
			t.Errorf("seed %d: outside %v, named %s", seed, r.Outside, names(r.Elements))
		}
	}
}

// The order of the leaves, and a dimension that says nothing, change no answer.
func TestHarmlessChangesChangeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	leaves := world(r, func(v []string) float64 { return 1 + 9*float64(strings.Count(v[1], "2")) })
	want := names(Localise(testDims, leaves, Published).Elements)
	if want != "carrier=carrier-2" {
		t.Fatal(want)
	}
	mixed := slices.Clone(leaves)
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	if got := names(Localise(testDims, mixed, Published).Elements); got != want {
		t.Errorf("in another order: %s", got)
	}
	for i := range mixed {
		mixed[i].Values = append(slices.Clone(mixed[i].Values), "")
	}
	if got := names(Localise(append(slices.Clone(testDims), "region"), mixed, Published).Elements); got != want {
		t.Errorf("with a dimension that nobody knows: %s", got)
	}
}

// A name may be any text: two carriers whose names share no ASCII letter are two.
func TestNamesAreAnyText(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	leaves := world(r, func(v []string) float64 { return 1 + 9*float64(strings.Count(v[1], "2")) })
	for i := range leaves {
		leaves[i].Values[1] = map[string]string{"carrier-0": "中国移动", "carrier-1": "中国联通", "carrier-2": "中国电信", "carrier-3": "中国广电"}[leaves[i].Values[1]]
	}
	if got := names(Localise(testDims, leaves, Published).Elements); got != "carrier=中国电信" {
		t.Error(got)
	}
}

func TestEmpty(t *testing.T) {
	if r := Localise(testDims, nil, Published); len(r.Elements) != 0 || r.Outside {
		t.Errorf("%+v", r)
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	for file, says := range map[string]string{
		"":                                    "first line",
		"min,value,cnt\n":                     "0 dimensions",
		"min,value,a\n1,2,3\n":                `no column "cnt"`,
		"min,value,cnt,a,a\n":                 "twice",
		"min,value,cnt,a\n1,2,3\n":            "wrong number of fields",
		"min,value,cnt,a\nx,2,3,b\n":          `line 2: column min: "x"`,
		"min,value,cnt,a\n1,-2,3,b\n":         `line 2: column value: "-2"`,
		"min,value,cnt,a\n1,2,NaN,b\n":        `line 2: column cnt: "NaN"`,
		"min,value,cnt,a\n1,2,3,b\n1,2,,c\n":  "line 3: column cnt",
		"min,value,cnt,a\n1,2,3,\"b\nc,d\n\n": "quote",
	} {
		if _, err := Read(strings.NewReader(file), Columns{"min", "value", "cnt"}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", file, err, says)
		}
	}
	table, err := Read(strings.NewReader("\ufeffmin,a,value,cnt\n2026-11-21T12:00:00Z,b,1,10\n"), Columns{"min", "value", "cnt"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.At(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)); err == nil || !strings.Contains(err.Error(), "what is normal") {
		t.Errorf("no past: %v", err)
	}
	if _, err := table.At(time.Unix(1, 0)); err == nil || !strings.Contains(err.Error(), "no row at 1 ") {
		t.Errorf("no such minute: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("min,a,b,value,cnt\n60,x,y,1,10\n120,x,y,9,10\n"))
	f.Add([]byte("min,value,cnt,a\n1,2,3,\"b\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := Read(bytes.NewReader(data), Columns{"min", "value", "cnt"})
		if err != nil || len(table.rows) == 0 {
			return
		}
		leaves, err := table.At(time.Unix(table.rows[len(table.rows)-1].at, 0))
		if err != nil {
			return
		}
		for _, e := range Localise(table.Dims, leaves, Published).Candidates {
			if !(e.P >= 0 && e.P <= 1) || len(e.Dims) == 0 {
				t.Fatalf("%+v", e)
			}
		}
	})
}

// BenchmarkLocalise explains a minute of 180 leaves; a year's largest published incident has 2 100.
func BenchmarkLocalise(b *testing.B) {
	leaves := world(rand.New(rand.NewPCG(6, 6)), func(v []string) float64 { return 1 + 9*float64(strings.Count(v[1], "2")) })
	b.ReportMetric(float64(len(leaves)), "leaves")
	for b.Loop() {
		Localise(testDims, leaves, Published)
	}
}

// A brief answer names what a full one does: a fleet's leaves of one to a few terminals, in which nothing, little or
// much rose.
func TestABriefAnswerNamesTheSame(t *testing.T) {
	named, brief := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 9))
		times := 1 + float64(seed%6)*4
		leaves := world(r, func(v []string) float64 {
			if v[0] == "bank-1" && (seed%2 == 0 || v[2] == "model-2") {
				return times
			}
			return 1
		})
		for i := range leaves { // terminals, of which few report
			l := &leaves[i]
			l.Total = 1 + float64(r.IntN(8))
			rate := l.Expected * 0.002
			l.Failed, l.Expected = min(l.Total, poisson(r, l.Total*rate*times)), l.Total*rate
			if v := l.Values; !(v[0] == "bank-1" && (seed%2 == 0 || v[2] == "model-2")) {
				l.Failed = min(l.Total, poisson(r, l.Expected))
			}
		}
		need := Need{Chance: 1e-5, Excess: 2.5, Ratio: 3, Another: 3}
		full := Localise(testDims, leaves, need)
		need.Brief = true
		short := Localise(testDims, leaves, need)
		if names(full.Elements) != names(short.Elements) || full.Outside != short.Outside ||
			full.Failed != short.Failed || full.Expected != short.Expected || full.Total != short.Total {
			t.Errorf("seed %d: %s, outside %v; in brief %s, outside %v", seed, names(full.Elements), full.Outside,
				names(short.Elements), short.Outside)
		}
		if len(full.Elements) > 0 {
			named++
		}
		if len(full.Candidates) > 0 && len(short.Candidates) == 0 {
			brief++
		}
	}
	if named < 5 || brief < 5 {
		t.Errorf("of 60 something was named in %d, and %d were cut short: the test shows little", named, brief)
	}
	t.Logf("of 60 something was named in %d, and %d were cut short", named, brief)
}

// What is known of the sums bounds the gain of an element that rose.
func TestTheBoundHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 3000 {
		w := work{}
		var s sums
		var of []int32
		rate := math.Exp(6*r.Float64() - 5)
		for i := range 1 + r.IntN(40) {
			l := Leaf{Total: 1, Expected: rate * (0.1 + r.Float64()), Failed: float64(r.IntN(1 + r.IntN(9)))}
			w.leaves, of = append(w.leaves, l), append(of, int32(i))
			s.add(l)
		}
		if gain, bound := w.gain(of, -1), s.bound(); s.failed > s.expected && gain > bound+1e-6 {
			t.Fatalf("%+v: %v is more than %v", w.leaves, gain, bound)
		}
	}
}
