package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"posdx/agent/report"
)

// What can be known at all is estimated by somebody who learns nothing but these trials: a small network
// that knows every mechanism and no payment. It learns from trials whose deciding checks were made, so
// that what is missing does not tell it what is wrong, and never sees what could not be told, was not made, or is old.

// seenIn lists what was seen in a trial, in words: numbers by thirds of an octave.
func seenIn(t *trial) []string {
	x := t.ev.Txn
	list := []string{"code " + t.ev.Scheme + " " + t.ev.Code, "origin " + string(t.ev.Origin), "message " + x.MTI + " " + x.Entry}
	if x.Sent != nil {
		list = append(list, fmt.Sprint("sent ", *x.Sent, *x.HostAnswerSeen))
	}
	size := func(v float64) int {
		if v == 0 {
			return 0
		}
		return int(math.Round(3*math.Log2(math.Abs(v)))) + 1000
	}
	if x.ConnectMS != nil {
		list = append(list, fmt.Sprint("connected in ", size(float64(*x.ConnectMS))))
	}
	if x.ResponseMS != nil {
		list = append(list, fmt.Sprint("answered in ", size(float64(*x.ResponseMS))))
	}
	for _, e := range t.evidence {
		if e.Status != report.OK && e.Status != report.Bad || e.AgeMS > 3600_000 {
			continue
		}
		what := e.Check + " " + e.Subject + " "
		list = append(list, what+string(e.Status))
		for name, v := range e.Facts {
			if n, ok := v.(float64); ok {
				v = size(n)
			}
			list = append(list, fmt.Sprint(what, name, v))
		}
	}
	return list
}

// A learner is a network of one hidden layer: how probable each cause is, by what was seen in words and by some hidden
// values made of them.
type learner struct {
	words  map[string]int
	causes map[string]int
	names  []string
	w, gw  [][]float64 // weight and sum of squared slopes, by word, then hidden value
	v, gv  [][]float64 // by cause, then hidden value
	d, gd  [][]float64 // by word, then cause: what needs no hidden value
}

// How it learns: rate and shrinking of a step, how often it sees every trial, how many hidden values it has, and the
// share of a trial's words that it is not shown, by chance, so that it relies on none of them alone.
const rate, shrink, passes, hidden, unseen = 0.05, 1e-6, 12, 48, 0.1

// known turns words into numbers; one that was met too seldom is not known.
func (l *learner) known(words []string) []int {
	var list []int
	for _, w := range words {
		if i, ok := l.words[w]; ok {
			list = append(list, i)
		}
	}
	return list
}

// guess returns how probable each cause is, and the hidden values.
func (l *learner) guess(seen []int) (p, h []float64) {
	p, h = make([]float64, len(l.names)), make([]float64, hidden)
	for _, i := range seen {
		for j, w := range l.w[i] {
			h[j] += w
		}
		for c, w := range l.d[i] {
			p[c] += w
		}
	}
	for j := range h {
		h[j] = math.Tanh(h[j])
	}
	top, sum := math.Inf(-1), 0.0
	for c := range p {
		for j, v := range l.v[c] {
			p[c] += v * h[j]
		}
		top = max(top, p[c])
	}
	for c := range p {
		p[c] = math.Exp(p[c] - top)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
	return p, h
}

// step moves a weight against its slope, the less the more it was moved already (AdaGrad).
func step(w, g *float64, slope float64) {
	slope += shrink * *w
	*g += slope * slope
	*w -= rate * slope / (1e-6 + math.Sqrt(*g))
}

func learn(list []trial, seed uint64) *learner {
	l := &learner{words: map[string]int{}, causes: map[string]int{}}
	met := map[string]int{}
	words := make([][]string, len(list))
	for i := range list {
		words[i] = seenIn(&list[i])
		for _, w := range words[i] {
			if met[w]++; met[w] == 4 {
				l.words[w] = len(l.words)
			}
		}
		if c := list[i].fault.cause; l.names == nil || !contains(l.causes, c) {
			l.causes[c] = len(l.names)
			l.names = append(l.names, c)
		}
	}
	r := rand.New(rand.NewPCG(1, seed))
	table := func(rows, columns int, size float64) (w, g [][]float64) {
		w, g = make([][]float64, rows), make([][]float64, rows)
		for i := range w {
			w[i], g[i] = make([]float64, columns), make([]float64, columns)
			for j := range w[i] {
				w[i][j], g[i][j] = size*r.NormFloat64(), 0.01
			}
		}
		return w, g
	}
	l.w, l.gw = table(len(l.words), hidden, 0.1)
	l.v, l.gv = table(len(l.names), hidden, 0.1)
	l.d, l.gd = table(len(l.words), len(l.names), 0)
	for range passes {
		for _, i := range r.Perm(len(list)) {
			seen := slices.DeleteFunc(l.known(words[i]), func(int) bool { return r.Float64() < unseen })
			l.teach(seen, l.causes[list[i].fault.cause])
		}
	}
	return l
}

// teach shows the learner one trial and its cause.
func (l *learner) teach(seen []int, cause int) {
	p, h := l.guess(seen)
	p[cause]--
	slopes := make([]float64, hidden)
	for c, slope := range p {
		for j := range h {
			slopes[j] += slope * l.v[c][j]
			step(&l.v[c][j], &l.gv[c][j], slope*h[j])
		}
	}
	for _, f := range seen {
		for j := range h {
			step(&l.w[f][j], &l.gw[f][j], slopes[j]*(1-h[j]*h[j]))
		}
		for c, slope := range p {
			step(&l.d[f][c], &l.gd[f][c], slope)
		}
	}
}

func contains(m map[string]int, s string) bool { _, ok := m[s]; return ok }

// dressed makes trials of the faults that the terminal itself meets and that are judged by its own codes alone, as a
// cashier program and a code in no table show them. Without them the learner would know that no such code comes of a
// reader: a habit of the trials, which says nothing of readers.
func dressed(n int, seed uint64) []trial {
	all := faults()
	both := map[string]bool{}
	for _, f := range all {
		both[f.mechanism()] = both[f.mechanism()] || f.name != f.mechanism()
	}
	var list []trial
	for _, f := range all {
		if w := probeWorld(f); both[f.mechanism()] || w.code != "" {
			continue
		}
		for _, dress := range []func(w *world){cashier, strange} {
			g := f
			g.set = func(w *world) { f.set(w); dress(w) }
			for i := range n {
				list = append(list, makeTrial(g, seed+uint64(i), schedule[i%len(schedule)]))
			}
		}
	}
	return list
}

// probeWorld is a world with a fault.
func probeWorld(f fault) *world {
	w := newWorld(rand.New(rand.NewPCG(1, 1)))
	f.set(w)
	return w
}

// ceiling prints how often the learner is right, over the trials that the engine is judged by.
func ceiling(n int, seed uint64, lost bool) {
	var teach []trial
	for _, t := range append(trials(2*n, seed+5000), dressed(2*n, seed+5000)...) {
		if t.kind != starved && t.kind != outdated && t.kind != blind {
			teach = append(teach, t)
		}
	}
	l := learn(teach, seed)
	byMechanism := map[string]*tally{}
	instead := map[string]map[string]int{}
	var byKind [kinds]tally
	for _, t := range trials(n, seed) {
		if t.kind == blind {
			continue
		}
		p, _ := l.guess(l.known(seenIn(&t)))
		best := 0
		for c := range p {
			if p[c] > p[best] {
				best = c
			}
		}
		m := byMechanism[t.fault.mechanism()]
		if m == nil {
			m = &tally{}
			byMechanism[t.fault.mechanism()] = m
		}
		right := t.right(l.names[best])
		m.note(right, right, p[best])
		if !right {
			noteLost(instead, &t, l.names[best])
		}
		byKind[t.kind].note(right, right, p[best])
	}
	s := score{byMechanism: byMechanism, lost: instead}
	fmt.Printf("a learner of %d other trials: first cause right %.1f %%, mean over %d mechanisms\n", len(teach), 100*s.meanOverMechanisms(), len(byMechanism))
	for i := range byKind {
		if c := &byKind[i]; c.n > 0 {
			fmt.Printf("- %s, %d: %.1f %%\n", kindNames[i], c.n, pct(c.top1, c.n))
		}
	}
	if lost {
		s.tellLost(os.Stdout)
	}
}
