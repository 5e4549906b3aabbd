package noisyor

import (
	"cmp"
	"math"
	"os"
	"testing"
)

// The published network for troubleshooting printers (win95pts of bnlearn's repository, the copy of
// ML-KULeuven/betaproblog, Apache-2.0; see testdata/LICENCE) says how good the mathematics is apart from any knowledge
// of payments.
const (
	barTop1     = 0.01 // from exact
	barECE      = 0.03
	barMarginal = 0.01 // mean absolute difference from exact
)

type printerCase struct {
	Evidence  map[string]string
	Present   []string
	Posterior map[string]float64
}

// TestYardstick gives the core each finding's probability under no fault, every single one and every pair, and holds
// what it makes of the drawn cases against exact inference. POSDX_YARDSTICK names another folder with the two files.
func TestYardstick(t *testing.T) {
	dir := cmp.Or(os.Getenv("POSDX_YARDSTICK"), "testdata")
	n, err := readNetwork(dir)
	if err != nil {
		t.Fatal(err)
	}
	var cases []printerCase
	if err := readJSON(dir, "printer-cases.json", &cases); err != nil {
		t.Fatal(err)
	}
	odds, findings := n.elicit()
	var core, exact figures
	for _, c := range cases {
		p := Problem{Odds: odds}
		for name, state := range c.Evidence {
			f := findings[name]
			f.Seen = n.state(n.index[name], state) == 1
			p.Findings = append(p.Findings, f)
		}
		got := solveLarger(&p, 5, 400).Marginal
		want := make([]float64, len(got))
		truth := make([]bool, len(got))
		for i, f := range n.Faults {
			want[i] = c.Posterior[f]
			for _, x := range c.Present {
				truth[i] = truth[i] || x == f
			}
			core.away += math.Abs(got[i] - want[i])
		}
		core.note(got, truth, want)
		exact.note(want, truth, want)
	}
	away := core.away / float64(len(cases)*len(n.Faults))
	t.Logf("%d cases: top-1 %.3f (exact %.3f), ECE %.3f, mean absolute difference of the marginals %.4f",
		len(cases), core.top1(), exact.top1(), core.ece(), away)
	t.Logf("ECE is what was said of the first fault against its exact probability; against so few drawn outcomes it is %.3f, of exact inference %.3f",
		core.drawn(), exact.drawn())
	if d := math.Abs(core.top1() - exact.top1()); d > barTop1 {
		t.Errorf("top-1 %.3f, exact %.3f: %.3f apart, the bar is %.2f", core.top1(), exact.top1(), d, barTop1)
	}
	if core.ece() > barECE {
		t.Errorf("ECE %.3f, the bar is %.2f", core.ece(), barECE)
	}
	if away > barMarginal {
		t.Errorf("marginals differ by %.4f in the mean, the bar is %.2f", away, barMarginal)
	}
}

// elicit asks the network what the core wants to know: the faults' odds, and each finding's probability of being
// abnormal under no fault, each alone and each pair.
func (n *network) elicit() (odds []float64, findings map[string]Finding) {
	faults := make([]int, len(n.Faults))
	given := map[int]int{}
	for i, f := range n.Faults {
		faults[i] = n.index[f]
		given[faults[i]] = 0
		p := n.tables[faults[i]].p
		odds = append(odds, p[1]/p[0])
	}
	findings = map[string]Finding{}
	for _, name := range n.Findings {
		x := n.index[name]
		abnormal := func(set ...int) float64 {
			for _, i := range set {
				given[faults[i]] = 1
			}
			all := n.probability(given)
			given[x] = 1
			p := n.probability(given) / all
			delete(given, x)
			for _, i := range set {
				given[faults[i]] = 0
			}
			return p
		}
		f := Finding{Leak: abnormal()}
		for i := range faults {
			f.Effects = append(f.Effects, Effect{Cause: i, P: abnormal(i)})
		}
		for i := range faults {
			f.Pair = append(f.Pair, make([]float64, len(faults)))
			for j := range i {
				f.Pair[i][j] = abnormal(i, j)
				f.Pair[j][i] = f.Pair[i][j]
			}
		}
		findings[name] = f
	}
	return odds, findings
}

// figures sum up how the first fault fares.
type figures struct {
	n, right int
	binP     [10]float64 // said
	binRight [10]float64 // drawn
	binExact [10]float64 // by exact inference
	away     float64
}

func (s *figures) note(p []float64, truth []bool, exact []float64) {
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	b := min(9, int(10*p[best]))
	s.n++
	s.binP[b] += p[best]
	s.binExact[b] += exact[best]
	if truth[best] {
		s.right++
		s.binRight[b]++
	}
}

func (s *figures) top1() float64 { return float64(s.right) / float64(s.n) }

// ece is the calibration error against the exact probabilities, drawn the one against what was drawn. A hundred
// outcomes cannot tell a calibration error of three hundredths: exact inference itself is farther off.
func (s *figures) ece() float64   { return s.error(s.binExact) }
func (s *figures) drawn() float64 { return s.error(s.binRight) }

func (s *figures) error(of [10]float64) float64 {
	sum := 0.0
	for b := range s.binP {
		sum += math.Abs(s.binP[b] - of[b])
	}
	return sum / float64(s.n)
}
