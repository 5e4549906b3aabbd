package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// A tally counts trials and what came of them.
type tally struct {
	n, top1, top3 int
	p             float64
}

func (c *tally) share() float64 { return float64(c.top1) / math.Max(1, float64(c.n)) }

// A score is what came out of many trials. Every trial counts.
type score struct {
	all         tally // all but those that nothing can tell
	byKind      [kinds]tally
	byMechanism map[string]*tally
	byWitnesses [4]tally
	pairs       int // trials with two faults that stop sales
	bothNamed   int // both among the first three causes
	bothSaid    int // or one of them found broken besides: the document names both
	good        int // the right cause named, or none where nothing tells

	binN, binRight [10]int
	binP           [10]float64
	sure, sureBad  int // said at 0.95 and above

	abstained, abstainedRight    int // the second: where the oracle abstains too
	mustAbstain, mustAbstainDone int // where the oracle abstains and the first cause is wrong or none is named
	needlessAbstain              int
	untested                     int // abstained, and no test is offered

	named, wrongPerson, needlessVisit, missedVisit, wrongSafe, forbidden int

	misses map[string]int
	lost   map[string]map[string]int // by mechanism: what was named instead, and in what kind of trial
}

// right tells whether a cause is the truth.
func (t *trial) right(id string) bool {
	return id == t.fault.cause || slices.Contains(t.fault.also, id) || t.second != nil && id == t.second.cause
}

func (s *score) add(k *codes.Knowledge, t *trial, d *report.Diagnosis) {
	if s.misses == nil {
		s.misses, s.byMechanism, s.lost = map[string]int{}, map[string]*tally{}, map[string]map[string]int{}
	}
	top := d.Causes[0]
	right := t.right(top.ID)
	three := slices.ContainsFunc(d.Causes[:min(3, len(d.Causes))], func(c report.Cause) bool { return t.right(c.ID) })
	s.money(t, d)
	s.abstain(t, d, right)
	if t.kind == blind {
		s.byKind[blind].note(d.Abstained, d.Abstained, top.Probability)
		return
	}
	s.all.note(right, three, top.Probability)
	s.byKind[t.kind].note(right, three, top.Probability)
	m := s.byMechanism[t.fault.mechanism()]
	if m == nil {
		m = &tally{}
		s.byMechanism[t.fault.mechanism()] = m
	}
	m.note(right, three, top.Probability)
	s.byWitnesses[min(witnesses(&top), len(s.byWitnesses)-1)].note(right, three, top.Probability)
	if t.second != nil {
		s.pairs++
		first, second := named(d, t.fault.cause), named(d, t.second.cause)
		if first && second {
			s.bothNamed++
		}
		if (first || besides(d, t.fault.cause)) && (second || besides(d, t.second.cause)) {
			s.bothSaid++
		}
	}
	if right && !d.Abstained || d.Abstained && !t.told {
		s.good++
	}
	s.calibrate(top, right)
	if !right {
		s.misses[kindNames[t.kind]+"; "+t.fault.name+": "+top.ID]++
		noteLost(s.lost, t, evidence.Choose(d.Abstained, top.ID, "NAMED "+top.ID))
	}
	if answered := t.ev.Txn != nil && t.ev.Txn.HostAnswerSeen != nil && *t.ev.Txn.HostAnswerSeen &&
		t.ev.Origin == report.OriginHost; answered &&
		slices.Contains([]string{"lan", "wan", "modem"}, top.Segment) {
		s.forbidden++ // the network, although the host had answered
	}
	s.decide(k, t, d, right)
}

// noteLost counts what was put first in place of the truth.
func noteLost(lost map[string]map[string]int, t *trial, instead string) {
	name := t.fault.mechanism()
	if lost[name] == nil {
		lost[name] = map[string]int{}
	}
	lost[name][instead+" ("+kindNames[t.kind]+")"]++
}

func (c *tally) note(top1, top3 bool, p float64) {
	c.n++
	c.p += p
	if top1 {
		c.top1++
	}
	if top3 {
		c.top3++
	}
}

func named(d *report.Diagnosis, id string) bool {
	return slices.ContainsFunc(d.Causes[:min(3, len(d.Causes))], func(c report.Cause) bool { return c.ID == id })
}

// besides tells whether a cause stands in the list of what was found broken and did not cause this event.
func besides(d *report.Diagnosis, id string) bool {
	return slices.ContainsFunc(d.Also, func(a report.Also) bool { return a.ID == id })
}

func (s *score) money(t *trial, d *report.Diagnosis) {
	x := t.ev.Txn
	sent := x == nil || x.Sent == nil || *x.Sent
	answered := x != nil && x.HostAnswerSeen != nil && *x.HostAnswerSeen || t.ev.Origin == report.OriginHost
	if sent && !answered && (d.Money.Retry == report.RetrySafe || d.Money.Retry == report.RetryLater) {
		s.wrongSafe++
	}
}

// abstain compares with the oracle. Naming the right cause where the oracle would not have is luck, or a good prior: it
// is neither counted for nor against.
func (s *score) abstain(t *trial, d *report.Diagnosis, right bool) {
	if d.Abstained {
		s.abstained++
		if d.NextTest == nil {
			s.untested++
			s.misses["no test; "+kindNames[t.kind]+"; "+t.fault.name]++
		}
		if !t.told || !right {
			s.abstainedRight++ // it did not know, and said so
		} else {
			s.needlessAbstain++
		}
	}
	if !t.told && (d.Abstained || !right) {
		s.mustAbstain++
		if d.Abstained {
			s.mustAbstainDone++
		}
	}
}

// decide counts what a shop and a fleet pay for.
func (s *score) decide(k *codes.Knowledge, t *trial, d *report.Diagnosis, right bool) {
	if d.Abstained || d.Causes[0].ID == report.Unexplained {
		return
	}
	s.named++
	truth, _ := k.Cause(t.fault.cause)
	act := d.Causes[0].Act
	if right {
		return
	}
	if act.By != truth.Act {
		s.wrongPerson++
	}
	if act.Visit && !truth.Visit {
		s.needlessVisit++
	}
	if !act.Visit && truth.Visit {
		s.missedVisit++
	}
}

// witnesses counts the strong findings for a cause beside the code, from different checks.
func witnesses(c *report.Cause) int {
	seen := map[string]bool{}
	for _, r := range c.For {
		if r.Check != "code" && r.WeightDB >= strongDB {
			seen[r.Check] = true
		}
	}
	return len(seen)
}

// strongDB is what a finding must weigh to count as a witness, in the document's own decibans.
const strongDB = 8

// calibrate notes what was said of a first cause, and whether it was right.
func (s *score) calibrate(top report.Cause, right bool) {
	if top.ID == report.Unexplained {
		return
	}
	b := min(9, int(top.Probability*10))
	s.binN[b]++
	s.binP[b] += top.Probability
	if right {
		s.binRight[b]++
	}
	if top.Probability >= 0.95 {
		s.sure++
		if !right {
			s.sureBad++
		}
	}
}

// ece is the expected calibration error of the first cause.
func (s *score) ece() float64 {
	sum, n := 0.0, 0
	for b := range s.binN {
		sum += math.Abs(s.binP[b] - float64(s.binRight[b]))
		n += s.binN[b]
	}
	return sum / math.Max(1, float64(n))
}

// meanOverMechanisms weighs every mechanism alike, however many codes it shows by.
func (s *score) meanOverMechanisms() float64 {
	sum := 0.0
	for _, m := range s.byMechanism {
		sum += m.share()
	}
	return sum / math.Max(1, float64(len(s.byMechanism)))
}

// loss is the cost of a hundred decisions: 1 for a wrong person or a needless visit, 0.5 for a visit that turns out to
// be needed, 0.3 for an answer that was there and not given, 20 for a charge that may be doubled.
func (s *score) loss() float64 {
	return 100 * (float64(s.wrongPerson+s.needlessVisit) + 0.5*float64(s.missedVisit) + 0.3*float64(s.needlessAbstain) +
		20*float64(s.wrongSafe)) /
		math.Max(1, float64(s.all.n))
}

func pct(a, b int) float64 { return 100 * float64(a) / math.Max(1, float64(b)) }

// table writes the figures in Markdown.
func (s *score) table() string {
	var b strings.Builder
	row := func(what, got, goal string) { fmt.Fprintf(&b, "| %s | %s | %s |\n", what, got, goal) }
	fmt.Fprintf(&b, "| what | measured | goal |\n|---|---|---|\n")
	row(fmt.Sprintf("first cause right, mean over %d mechanisms, every trial counted", len(s.byMechanism)), fmt.Sprintf("%.1f %%", 100*s.meanOverMechanisms()), ">= 94 %")
	row(fmt.Sprintf("first cause right / among three, %d trials", s.all.n), fmt.Sprintf("%.1f / %.1f %%", pct(s.all.top1, s.all.n), pct(s.all.top3, s.all.n)), "")
	for i := range s.byKind {
		if c := &s.byKind[i]; kind(i) == blind {
			row(fmt.Sprintf("- %s: abstained, %d", kindNames[i], c.n), fmt.Sprintf("%.1f %%", pct(c.top1, c.n)), "")
		} else {
			row(fmt.Sprintf("- %s, %d", kindNames[i], c.n), fmt.Sprintf("%.1f / %.1f %%", pct(c.top1, c.n), pct(c.top3, c.n)), "")
		}
	}
	row("right cause named, or none named where the oracle says nothing tells", fmt.Sprintf("%.1f %%", pct(s.good, s.all.n)), "")
	row(fmt.Sprintf("both of two faults named, among the first three or as found broken besides, %d", s.pairs), fmt.Sprintf("%.1f %%", pct(s.bothSaid, s.pairs)), "")
	row("- among the first three alone", fmt.Sprintf("%.1f %%", pct(s.bothNamed, s.pairs)), "")
	row("calibration error of the first cause (ECE)", fmt.Sprintf("%.3f", s.ece()), "<= 0.03")
	row(fmt.Sprintf("wrong among the %d said at 95 %% and above", s.sure), fmt.Sprintf("%d (%.1f %%)", s.sureBad, pct(s.sureBad, s.sure)), "<= 2 %")
	for i := range s.byWitnesses {
		c := &s.byWitnesses[i]
		more := ""
		if i == len(s.byWitnesses)-1 {
			more = " or more"
		}
		row(fmt.Sprintf("- %d%s strong witnesses beside the code, %d", i, more, c.n), fmt.Sprintf("said %.2f, right %.2f", c.p/math.Max(1, float64(c.n)), c.share()), "alike")
	}
	row("abstention: precision / recall against the oracle", fmt.Sprintf("%.2f / %.2f", float64(s.abstainedRight)/math.Max(1, float64(s.abstained)),
		float64(s.mustAbstainDone)/math.Max(1, float64(s.mustAbstain))), ">= 0.85 / 0.90")
	row(fmt.Sprintf("- of %d abstentions without a test that could change what anybody does", s.abstained), fmt.Sprint(s.untested), "")
	row(fmt.Sprintf("of %d named: wrong person / needless visit / visit missed", s.named), fmt.Sprintf("%d / %d / %d", s.wrongPerson, s.needlessVisit, s.missedVisit), "")
	row("`safe` or `later` where a request may stand; network blamed though the host answered", fmt.Sprintf("%d; %d", s.wrongSafe, s.forbidden), "0; 0")
	row("loss of a hundred decisions", fmt.Sprintf("%.1f", s.loss()), "")
	return b.String()
}

// tellLost prints the mechanisms that were found least, and what was named in their place.
func (s *score) tellLost(w io.Writer) {
	names := slices.SortedFunc(maps.Keys(s.byMechanism), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.byMechanism[a].share(), s.byMechanism[b].share()), strings.Compare(a, b))
	})
	for _, name := range names {
		m, lost := s.byMechanism[name], s.lost[name]
		if m.top1 == m.n {
			continue
		}
		fmt.Fprintf(w, "%5.1f %% of %d  %s\n", 100*m.share(), m.n, name)
		for _, what := range slices.SortedFunc(maps.Keys(lost), func(a, b string) int {
			return cmp.Or(cmp.Compare(lost[b], lost[a]), strings.Compare(a, b))
		}) {
			fmt.Fprintf(w, "    %4d  %s\n", lost[what], what)
		}
	}
}
