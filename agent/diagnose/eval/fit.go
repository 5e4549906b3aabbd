package main

import (
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"posdx/agent/diagnose"
	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// folds is in how many parts the mechanisms are judged: each part by numbers fitted on all the others.
const folds = 6

// foldOf tells in which part a mechanism is judged: whole, with all its codes and wordings.
func foldOf(f *fault) int { return int(hash(f.mechanism())/7) % folds }

// fitted names the settings that are fitted, with the first step of the search and the bounds: what the number can mean
// at all. What made trials cannot teach is not fitted: how seldom a check is itself wrong (strong, decisive), how much
// lies in what nobody thought of (unexplained, spare_*), how much two looks at one phenomenon, or a fault further down,
// explain (family, brought), and how far a code may speak against what it does not name, which ladder says.
//
// A moderate finding weighs at most what leaves the check that decides a say: beyond, a verdict outlives it on moderate
// findings alone (TestDecisiveCheckMatters in agent/diagnose).
var fitted = []struct {
	name            string
	step, low, high float64
}{
	{"hint", 1, 0.5, 13}, {"moderate", 2, 1, 14.5}, {"often", 1.5, -20, 0},
}

// rungs are the settings that ladder sets.
var rungs = []string{"sometimes", "seldom", "rare", "remote"}

// ladder sets what the words of a prior weigh: from often to remote in equal steps, and remote as much as a decisive
// finding, so that one that is the fault itself lifts any cause to the level of the code's own.
func ladder(s *codes.Settings) {
	step := (s.Often + s.Decisive) / 4
	for i, at := range []*float64{&s.Sometimes, &s.Seldom, &s.Rare, &s.Remote} {
		*at = math.Round(1000*(s.Often-float64(i+1)*step)) / 1000
	}
}

// A prepared trial is read and can be weighed again and again.
type prepared struct {
	t      *trial // nil for what became of a diagnosis in the field
	w      *diagnose.Weighing
	right  func(cause string) bool
	not    bool // right tells what it was not
	weight float64
}

func prepare(k *codes.Knowledge, list []trial) []prepared {
	p, _ := k.Profile("unionpay")
	out := make([]prepared, len(list))
	for i := range list {
		t := &list[i]
		out[i] = prepared{t: t, w: diagnose.Read(t.ev, t.evidence, k, p), right: t.right,
			weight: evidence.Choose(t.told, 1, untoldShare)}
	}
	return out
}

// untoldShare is how much a trial counts in fitting that nothing could tell: the evaluation holds more of them than
// life does.
const untoldShare = 0.3

// priorCount is for how many diagnoses of the field all made trials stand together: with as many lessons half of what
// is fitted comes of them.
const priorCount = 500

// A lot is what is fitted on: trials, and what became of diagnoses in the field.
type lot struct{ trials, lessons []prepared }

// surprise is the mean logarithmic loss: a proper score, so that the probabilities are right when it is least. What
// became of diagnoses counts by number against the trials' prior.
func (l *lot) surprise(f *codes.Inference) float64 {
	made := loss(l.trials, f) / float64(len(l.trials))
	if len(l.lessons) == 0 {
		return made
	}
	return (priorCount*made + loss(l.lessons, f)) / (priorCount + float64(len(l.lessons)))
}

// loss is the sum of the logarithmic losses.
func loss(list []prepared, f *codes.Inference) float64 {
	n := runtime.GOMAXPROCS(0)
	sums := make([]float64, n)
	var wg sync.WaitGroup
	for part := range n {
		wg.Go(func() {
			for i := part; i < len(list); i += n {
				x := &list[i]
				p := 0.0
				x.w.Weigh(f, func(cause string, q float64) {
					if x.right(cause) {
						p += q
					}
				})
				if x.not {
					p = 1 - p
				}
				sums[part] -= x.weight * math.Log(math.Max(p, 1e-3))
			}
		})
	}
	wg.Wait()
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return total
}

// fit searches for the settings of the least surprise, one after the other with falling steps.
func fit(on lot, from codes.Inference, rounds int, say func(string, ...any)) codes.Settings {
	f := from
	ladder(&f.Settings)
	best := on.surprise(&f)
	steps := make([]float64, len(fitted))
	for i := range steps {
		steps[i] = fitted[i].step
	}
	for round := range rounds {
		for i, x := range fitted {
			at := f.Settings.Field(x.name)
			was := *at
			moved := false
			for _, way := range []float64{steps[i], -steps[i]} {
				*at = min(max(was+way, x.low), x.high)
				ladder(&f.Settings)
				if !ordered(&f.Settings) {
					continue
				}
				if s := on.surprise(&f); s < best-1e-5 {
					best, moved = s, true
					break
				}
			}
			if !moved {
				*at = was
				ladder(&f.Settings)
				steps[i] /= 2
			}
		}
		say("round %d: %.4f", round+1, best)
	}
	for _, x := range fitted {
		at := f.Settings.Field(x.name)
		*at = math.Round(*at*1000) / 1000
	}
	ladder(&f.Settings)
	f.Settings.SetAbove = setAbove(on.trials, &f)
	return f.Settings
}

// ordered holds what the tables hold: words rise, frequencies fall, more witnesses leave less.
func ordered(s *codes.Settings) bool {
	return s.Hint < s.Moderate && s.Moderate < s.Strong && s.Strong < s.Decisive && s.Often >= s.Sometimes &&
		s.Sometimes >= s.Seldom &&
		s.Seldom >= s.Rare && s.Rare >= s.Remote && s.Spare0 >= s.Spare1 && s.Spare1 >= s.Spare2 && s.Spare2 >= s.Spare3
}

// setAbove is the split-conformal bound: the probability that the true cause had at least in 95 of 100 trials.
func setAbove(list []prepared, f *codes.Inference) float64 {
	var truth []float64
	for i := range list {
		p := 0.0
		list[i].w.Weigh(f, func(cause string, q float64) {
			if list[i].t.right(cause) {
				p = max(p, q)
			}
		})
		truth = append(truth, p)
	}
	slices.Sort(truth)
	return math.Round(1e4*truth[len(truth)/20]) / 1e4
}

// fitAll fits the settings on all mechanisms, and for each part on the others, and writes both.
// What became of diagnoses in the field has its part in the settings, and none in judging the parts.
func fitAll(k *codes.Knowledge, data, out string, field []report.Lesson, n int, seed uint64, rounds int) error {
	list := prepare(k, trials(n, seed+1000)) // not the trials that are judged by
	// Where nothing was looked at there is nothing to learn: the fault is there, and no probability is the true one.
	list = slices.DeleteFunc(list, func(x prepared) bool { return x.t.kind == blind })
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	all := fit(lot{list, lessons(k, field)}, k.Inference, rounds, say)
	if err := writeSettings(data+"/inference/settings.tsv", &all); err != nil {
		return err
	}
	if err := os.WriteFile(fitFile, []byte(fitTable(k, &all, n, rounds, len(field))), 0o644); err != nil {
		return err
	}
	from := k.Inference
	from.Settings = all
	if len(field) > 0 {
		say("the parts are fitted without what became of diagnoses: %s is left as it is", out)
		return nil
	}
	var b strings.Builder
	b.WriteString("# The fitted settings for judging each part of the mechanisms: fitted on all the others. Written by `eval -fit`.\nfold")
	for _, x := range fitted {
		b.WriteString("\t" + x.name)
	}
	b.WriteString("\tset_above\n")
	for part := range folds {
		var others []prepared
		for _, x := range list {
			if foldOf(&x.t.fault) != part {
				others = append(others, x)
			}
		}
		say("part %d, %d trials of the others", part, len(others))
		s := fit(lot{trials: others}, from, max(2, rounds/3), say)
		fmt.Fprintf(&b, "%d", part)
		for _, x := range fitted {
			b.WriteString("\t" + strconv.FormatFloat(*s.Field(x.name), 'g', -1, 64))
		}
		fmt.Fprintf(&b, "\t%g\n", s.SetAbove)
	}
	return os.WriteFile(out, []byte(b.String()), 0o644)
}

// fitFile holds what the last fit came to; the settings must be the same.
const fitFile = "agent/diagnose/eval/fit.tsv"

// fitTable writes what a fit came to, and which numbers ended at a bound of their search: these are set by the bound
// and not by the trials.
func fitTable(k *codes.Knowledge, s *codes.Settings, n, rounds, lessons int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What the last fit came to: %d trials of every fault, %d rounds, %d outcomes of the field, on tables %s. Written by `eval -fit`.\n",
		n, rounds, lessons, tablesHash(k))
	b.WriteString("name\tvalue\tbound\n")
	for _, x := range fitted {
		v, bound := *s.Field(x.name), "-"
		switch v {
		case x.low:
			bound = "low"
		case x.high:
			bound = "high"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\n", x.name, strconv.FormatFloat(v, 'g', -1, 64), bound)
	}
	fmt.Fprintf(&b, "set_above\t%g\t-\n", s.SetAbove)
	return b.String()
}

// fitRows says how far the last fit stands for the tables at hand.
func fitRows(k *codes.Knowledge) string {
	bound, n := 0, 0
	for l := range strings.Lines(lastFit) {
		if cells := strings.Split(strings.TrimSpace(l), "\t"); len(cells) == 3 && cells[0] != "name" {
			n++
			if cells[2] != "-" {
				bound++
			}
		}
	}
	same := "no: findings or priors were edited since"
	if strings.Contains(lastFit, tablesHash(k)) {
		same = "yes"
	}
	return fmt.Sprintf("| numbers fitted / of these at a bound of their search | %d / %d | |\n| fitted on the tables at hand | %s | |\n",
		n, bound, same)
}

// tablesHash tells apart the tables that a fit was made on: what findings say of causes, and what codes mean.
func tablesHash(k *codes.Knowledge) string {
	h := fnv.New64a()
	for i := range k.Inference.Signs {
		s := &k.Inference.Signs[i]
		fmt.Fprintln(h, s.Name, s.Family, s.Tells, s.Weights, s.Brought, s.Surely)
	}
	for _, p := range k.Inference.Priors {
		fmt.Fprintln(h, p.Topic, p.Unexplained, p.Rest, p.Settled, p.Stages, p.Causes)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// writeSettings replaces the fitted values in the table.
func writeSettings(file string, s *codes.Settings) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	lines := strings.Split(string(b), "\n")
	for i, l := range lines {
		cells := strings.Split(l, "\t")
		if len(cells) == 4 && (cells[2] == "yes" || slices.Contains(rungs, cells[0])) {
			cells[1] = strconv.FormatFloat(*s.Field(cells[0]), 'g', -1, 64)
			lines[i] = strings.Join(cells, "\t")
		}
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644)
}

// readFolds returns the settings by which each part of the mechanisms is judged.
func readFolds(table string, base codes.Settings) ([]codes.Settings, error) {
	var list []codes.Settings
	var names []string
	for _, l := range strings.Split(strings.TrimSpace(table), "\n") {
		cells := strings.Split(l, "\t")
		switch {
		case strings.HasPrefix(l, "#"):
		case names == nil:
			names = cells
		case len(cells) != len(names) || cells[0] != strconv.Itoa(len(list)):
			return nil, fmt.Errorf("folds: %q: want part %d and %d cells", l, len(list), len(names))
		default:
			s := base
			for i, name := range names[1:] {
				at := s.Field(name)
				v, err := strconv.ParseFloat(cells[i+1], 64)
				if at == nil || err != nil {
					return nil, fmt.Errorf("folds: %s %q is no fitted setting", name, cells[i+1])
				}
				*at = v
			}
			ladder(&s)
			list = append(list, s)
		}
	}
	if len(list) != folds {
		return nil, fmt.Errorf("folds: %d parts, want %d: make them anew with -fit", len(list), folds)
	}
	return list, nil
}
