package diagnose

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// A Step is one test that could be made next, and what it can find. A test of depth interactive is a question to the
// person at the terminal.
type Step struct {
	report.NextTest
	Answers []Answer
	saved   float64 // expected saving in seconds, its own cost taken off
}

// An Answer is one thing that a test can find, and what would be believed after it.
type Answer struct {
	Sign        string  // the finding, by its name in the knowledge
	Say         string  // the same as a sentence
	Probability float64 // of this answer, by what is known now
	First       string  // id of the most probable cause after it
	FirstP      float64 // and the probability of that cause
}

const (
	minGainBits = 0.02 // what teaches less is not worth looking at
	minAskBits  = 0.1  // what teaches less is not worth a person's time
	minSavedS   = 5.0  // seconds; what saves less changes nothing that a person does
	maxPlan     = 6
)

// Plan lists the tests worth making next, at most six, in the language of Options. The first one saves the most of the
// expected cost of repair, its own cost taken off (Heckerman, Breese and Rommelse, Decision-theoretic troubleshooting,
// 1995). The list is empty when no result could change what anybody does.
func Plan(ev report.Event, evidence []report.Evidence, k *codes.Knowledge, o Options) []Step {
	return infer(&ev, evidence, k, o.Profile).plan(o.Lang)
}

// After turns a person's answer to a question into evidence, to be added to the rest and explained again. question is
// the name of a test (ask.cable), answer the name of one of its findings. The result is false if the question has no
// such answer.
func After(k *codes.Knowledge, question, answer string) (report.Evidence, bool) {
	s := k.Inference.Sign(answer)
	if (s == nil || s.Check != question || !strings.HasPrefix(question, "ask.")) &&
		!(question == askWriter && isWriter(answer)) {
		return report.Evidence{}, false
	}
	return report.Evidence{Check: question, Subject: "person", Status: report.OK, Depth: report.Interactive,
		Facts: report.Facts{"answer": answer}}, true
}

func (s *state) plan(lang string) []Step {
	var steps []Step
	agenda := s.agenda()
	for i := range s.f.Tests {
		t := &s.f.Tests[i]
		if !s.applies(t) {
			continue
		}
		gain, saved, after := s.gain(t, &agenda)
		if gain < evidence.Choose(t.Depth == string(report.Interactive), minAskBits, minGainBits) || saved < minSavedS {
			continue
		}
		step := Step{saved: saved - t.CostS, NextTest: report.NextTest{Check: t.Name, How: t.Text.In(lang), CostS: t.CostS,
			GainBits: round(gain, 3), Depth: report.Depth(t.Depth)}}
		for j := range after {
			after[j].Say = unfilled(s.f.Sign(after[j].Sign).Text.In(lang))
		}
		step.Answers = after
		steps = append(steps, step)
	}
	steps = s.askForWriter(steps, lang)
	sort.SliceStable(steps, func(i, j int) bool {
		a, b := &steps[i], &steps[j]
		return cmp.Or(cmp.Compare(b.saved, a.saved), cmp.Compare(b.GainBits, a.GainBits),
			strings.Compare(a.Check, b.Check)) < 0
	})
	return steps[:min(len(steps), maxPlan)]
}

// unfilled writes the text of something that a test may find: three dots stand for values that nobody has measured
// yet, and what the text adds in brackets about them is left out.
func unfilled(text string) string {
	return facts.ReplaceAllString(strings.ReplaceAll(bracketed.ReplaceAllString(text, ""), plural, "s"), "…")
}

var (
	facts     = regexp.MustCompile(`\{[^}]*\}`)
	bracketed = regexp.MustCompile(` ?[(（][^()（）]*\{[^}]*\}[^()（）]*[)）]`)
)

// applies tells whether a test makes sense here: it was not made already, its device is fitted, and no deeper fault
// stands in its way.
func (s *state) applies(t *codes.Test) bool {
	// Another payment is no test while the first one may stand, nor while trying again is forbidden.
	if (t.Name == "ask.other-card" || t.Name == "ask.sign-in") && !s.mayPay() {
		return false
	}
	if t.Name == "ask.other-card" && s.cardsTried() {
		return false // other cards were tried, and met the same
	}
	if it := s.First(evidence.Check(t.Name)); it != nil && it.Fresh > 0.5 {
		return false // looked at already
	}
	for _, e := range s.Missing {
		if reason, _ := e.Facts.Str("reason"); e.Check == t.Name &&
			(reason == report.ReasonAbsent || reason == report.ReasonUnsupported || reason == report.ReasonPolicy ||
				reason == report.ReasonPermission) {
			return false
		}
	}
	if s.has("answer.seen") && (t.Name == "ask.router-lamp" || t.Name == "ask.cable" || t.Name == "ask.others-online" ||
		strings.HasPrefix(t.Name, "net.") || strings.HasPrefix(t.Name, "modem.")) {
		return false // the path just worked
	}
	switch {
	case strings.HasPrefix(t.Name, "modem."):
		if s.Other("cellular") && s.Other("ppp") {
			return false
		}
	case t.Name == "net.wifi":
		if s.Other("wifi") {
			return false
		}
	case t.Name == "ask.cable":
		if s.Other("ethernet") {
			return false
		}
	}
	// What a deeper fault, near certain, brings about by itself is not worth looking at.
	for _, o := range t.Outcomes {
		for _, id := range s.f.Sign(o.Sign).Brought {
			if s.cause(id).p >= 0.8 {
				return false
			}
		}
	}
	return true
}

// What an act costs, in seconds of whoever does it and of a shop that waits; a wrong one is found out, and then the
// right one is due as well.
const (
	visitS     = 7200.0
	remoteS    = 1200.0
	callS      = 900.0
	staffS     = 180.0
	customerS  = 60.0
	wrongTurnS = 900.0
	hotlineS   = 1800.0 // to find out what nobody thought of
)

func (a act) cost() float64 {
	switch {
	case a.visit:
		return visitS
	case a.by == "technician":
		return remoteS
	case a.by == "staff":
		return staffS
	case a.by == "cardholder":
		return customerS
	case a.by == "none":
		return 0
	}
	return callS
}

// An agenda is the belief in causes, put together by act: by what somebody would be sent to do.
type agenda struct {
	acts      []act
	of        []int // for each cause the index of its act, -1 for unexplained
	undecided bool  // no act is believed enough to send anybody
}

func (s *state) agenda() agenda {
	g := agenda{of: make([]int, len(s.causes)), undecided: s.abstains(s.ranked())}
	for i := range s.causes {
		g.of[i] = -1
		if c := &s.causes[i]; c.ID != report.Unexplained && c.p >= negligible {
			a := actOf(c.Cause)
			if g.of[i] = slices.Index(g.acts, a); g.of[i] < 0 {
				g.of[i] = len(g.acts)
				g.acts = append(g.acts, a)
			}
		}
	}
	return g
}

// repair returns the expected cost in seconds of the best act under a belief; of a belief that sums to less than 1,
// that part of the cost.
func (g *agenda) repair(belief func(cause int) float64) float64 {
	mass := make([]float64, len(g.acts))
	all, wrong := 0.0, 0.0
	for c, a := range g.of {
		p := belief(c)
		all += p
		if a < 0 {
			wrong += p * hotlineS
			continue
		}
		mass[a] += p
		wrong += p * (g.acts[a].cost() + wrongTurnS)
	}
	best := math.Inf(1)
	for a := range g.acts {
		best = min(best, all*g.acts[a].cost()+wrong-mass[a]*(g.acts[a].cost()+wrongTurnS))
	}
	return best
}

// believed returns how much of a belief stands behind the act that has most of it.
func (g *agenda) believed(belief func(cause int) float64) float64 {
	mass := make([]float64, len(g.acts))
	top := 0.0
	for c, a := range g.of {
		if a >= 0 {
			mass[a] += belief(c)
			top = max(top, mass[a])
		}
	}
	return top
}

// negligible is the probability below which a cause changes no expectation and is left out.
const negligible = 1e-5

// gain returns what a test is worth: the expected information in bits, the expected saving in seconds, and what would
// be believed after each result. How probable a result is under a cause follows from the weight of its finding.
func (s *state) gain(t *codes.Test, g *agenda) (bits, saved float64, answers []Answer) {
	n := len(s.causes)
	joint := s.ends(t)
	total := make([]float64, len(t.Outcomes))
	before := 0.0
	for c := range s.causes {
		p := s.causes[c].p
		if p < negligible {
			continue
		}
		before += entropy(p)
		sum := 0.0
		for o := range t.Outcomes {
			sum += joint[o*n+c]
		}
		for o := range t.Outcomes {
			joint[o*n+c] *= p / sum
			total[o] += joint[o*n+c]
		}
	}
	after, named := 0.0, 0.0
	saved = g.repair(func(c int) float64 { return evidence.Choose(s.causes[c].p < negligible, 0, s.causes[c].p) })
	answers = make([]Answer, len(t.Outcomes))
	for o := range t.Outcomes {
		a := &answers[o]
		a.Sign, a.Probability = t.Outcomes[o].Sign, round(total[o], 3)
		for c := range s.causes {
			if s.causes[c].p < negligible {
				continue
			}
			p := joint[o*n+c] / max(total[o], negligible)
			after += total[o] * entropy(p)
			if p > a.FirstP {
				a.First, a.FirstP = s.causes[c].ID, p
			}
		}
		a.FirstP = round(a.FirstP, 3)
		if g.believed(func(c int) float64 { return joint[o*n+c] }) >= s.f.Settings.AbstainBelow*total[o] {
			named += total[o]
		}
		saved -= g.repair(func(c int) float64 { return evidence.Choose(s.causes[c].p < negligible, 0, joint[o*n+c]) })
	}
	// While nobody can be sent, a test that may name somebody saves the search for whom, as often as it does: it is worth
	// making, after those that save more by themselves.
	if g.undecided && named*wrongTurnS >= minSavedS {
		saved = max(saved, minSavedS)
	}
	return max(0, before-after), max(0, saved), answers
}

// ends returns the likelihood of each result of a test, by outcome and then cause. A fault is found under the causes
// that produce it, and under all others as seldom as the engine takes it to be found by chance; the other results
// share what is left.
func (s *state) ends(t *codes.Test) []float64 {
	n := len(s.causes)
	row := make([]float64, len(t.Outcomes)*n)
	rest := make([]float64, n)
	for c := range rest {
		rest[c] = 1
	}
	shares := 0.0
	for o, out := range t.Outcomes {
		sign := s.f.Sign(out.Sign)
		base := out.Share
		most := 0.0
		for _, w := range sign.Weights {
			most = max(most, s.f.Settings.Weigh(w.Word))
		}
		if !sign.Tells {
			base = 0.9 * ratio(-most)
		} else {
			shares += out.Share
		}
		ends := row[o*n : (o+1)*n]
		for c := range ends {
			ends[c] = base
		}
		for _, w := range sign.Weights {
			ends[s.causeIndex(w.Cause)] *= ratio(s.f.Settings.Weigh(w.Word))
		}
		for _, id := range sign.Brought {
			ends[s.causeIndex(id)] *= ratio(s.brought(sign, id) * most)
		}
		if !sign.Tells {
			for c := range rest {
				rest[c] -= ends[c]
			}
		}
	}
	for o, out := range t.Outcomes {
		if s.f.Sign(out.Sign).Tells {
			for c := range rest {
				row[o*n+c] *= max(rest[c], 0.02) / shares
			}
		}
	}
	return row
}

// mayPay tells whether the advice for the money lets anybody pay again.
func (s *state) mayPay() bool {
	_, retry := s.moneyState(s.ranked()[0].ID)
	return retry != report.RetryQueryFirst && retry != report.RetryNo
}

func entropy(p float64) float64 {
	if p <= 0 {
		return 0
	}
	return -p * math.Log2(p)
}
