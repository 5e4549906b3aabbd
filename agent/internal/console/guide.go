package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// A Guide leads a person to the cause, question by question: after every answer it explains and plans anew, until the
// cause is confirmed or nothing is left to ask. It does no I/O: its user reads the answers and runs the checks. A
// person's answer is evidence of depth interactive; it stays in the guide and is not published.
type Guide struct {
	// Now is the diagnosis with all that was answered so far.
	Now report.Diagnosis
	// Plan is what to ask or check, best first; it is empty when the guide is over. Step is its first, or nil.
	Plan []diagnose.Step
	Step *diagnose.Step
	// Contacts are whom to call at its end.
	Contacts Contacts
	// Became is what became of the diagnosis since; nil as long as nothing is known.
	Became *report.Outcome

	base   report.Diagnosis
	know   *codes.Knowledge
	o      diagnose.Options
	checks []string // that can be run here
	given  []given
	since  []report.Evidence // what changed after the guide's end
	after  [][]chance        // for each answer of Step
}

// given is one answer: a sign a person saw, what a check found, or neither if the step was passed over.
type given struct {
	step string
	sign string
	say  string // the answer as it was offered
	seen bool   // not answered by a person: the terminal noticed it
	list []report.Evidence
}

// chance is how probable a cause would be.
type chance struct {
	cause string
	p     float64
}

// Worthwhile lists the checks that can be run and can find something: a diagnosis does not tell which devices are not
// fitted.
func Worthwhile(s report.State) []string {
	return slices.DeleteFunc(slices.Clone(s.Checks), func(c string) bool {
		absent := false
		for _, e := range s.Evidence {
			if e.Check == c {
				reason, _ := e.Facts.Str("reason")
				if absent = e.Status == report.NotRun && reason == report.ReasonAbsent; !absent {
					return false
				}
			}
		}
		return absent
	})
}

// NewGuide makes a guide that begins with a diagnosis. The profile is the one of State, checks are those of Worthwhile.
func NewGuide(d report.Diagnosis, k *codes.Knowledge, profile, lang string, checks []string) *Guide {
	g := &Guide{base: d, know: k, checks: checks, o: options(&d, k, profile, lang)}
	g.update()
	return g
}

// options are those that a diagnosis was made with, in another language.
func options(d *report.Diagnosis, k *codes.Knowledge, profile, lang string) diagnose.Options {
	o := diagnose.Options{Lang: lang, Version: d.Agent.Version, Revision: d.Revision, Final: d.Final, Repeats: d.Repeats,
		TookMS: d.TookMS}
	if p, ok := k.Profile(profile); ok {
		o.Profile = p
	} else {
		o.Profile.Base = profile // a scheme that has no profile; an empty one is the engine's default
	}
	return o
}

// InLanguage returns a diagnosis with its sentences in a language: it is explained again, which changes nothing else.
// One that was made with other knowledge, or would come out differently, is returned as it is.
func InLanguage(d report.Diagnosis, k *codes.Knowledge, profile, lang string) report.Diagnosis {
	if hasHan(d.Money.Say) == (lang != "en") || d.Agent.Knowledge != k.Hash || k.Hash == "" || len(d.Causes) == 0 {
		return d
	}
	s := diagnose.Explain(d.Event, d.Evidence, k, options(&d, k, profile, lang))
	if s.Causes[0].ID != d.Causes[0].ID || s.Abstained != d.Abstained || s.Money.State != d.Money.State ||
		s.Money.Retry != d.Money.Retry {
		return d
	}
	s.ID, s.Handoff, s.Agent = d.ID, d.Handoff, d.Agent
	return s
}

// Speak changes the language.
func (g *Guide) Speak(lang string) {
	if g.o.Lang != lang {
		g.o.Lang = lang
		g.update()
	}
}

// Rebase has the guide go on from a newer revision of the same diagnosis, with the answers that were given.
func (g *Guide) Rebase(d report.Diagnosis) {
	p := g.o.Profile
	g.base, g.o = d, options(&d, g.know, "", g.o.Lang)
	g.o.Profile = p
	g.update()
}

// Asks reports whether the step is a question to a person; otherwise it is a check to be run.
func (g *Guide) Asks() bool { return g.Step != nil && isQuestion(g.Step.Check) }

func isQuestion(step string) bool { return strings.HasPrefix(step, "ask.") }

// Answer takes the answer with this number, from 1 as shown. It returns false if there is none.
func (g *Guide) Answer(n int, at time.Time) bool {
	return g.Asks() && n >= 1 && n <= len(g.Step.Answers) && g.Say(g.Step.Answers[n-1].Sign, at)
}

// Say takes an answer by its name, to whichever question it belongs. It returns false if no question has it.
func (g *Guide) Say(answer string, at time.Time) bool {
	question, say := "", answer
	if sign := g.know.Inference.Sign(answer); sign != nil {
		question = sign.Check
	}
	for _, s := range g.Plan { // some questions are the engine's own
		for _, a := range s.Answers {
			if a.Sign == answer {
				question, say = s.Check, a.Say
			}
		}
	}
	e, ok := diagnose.After(g.know, question, answer)
	if ok {
		e.At = at.UTC().Truncate(time.Millisecond)
		g.give(given{step: question, sign: answer, say: say, list: []report.Evidence{e}})
	}
	return ok
}

// watched are the checks whose findings change before one's eyes: a plug, a lamp, a card in its slot.
var watched = [...]string{"net.link", "reader.usb", "reader.port", "modem.port", "modem.sim", "pinpad.port", "printer.status"}

// live are those of them that open no device: they may be made every few seconds. The others open a port that the
// payment application may want at any moment: they are made less often, and not without end. What the daemon finds
// about those by itself is used when it comes.
var live = [...]string{"net.link", "reader.usb"}

const (
	portsEvery = 5 // looks at what is live: some twenty seconds
	mostPorts  = 15
)

// Watching are the checks to be made while the guide is on the screen, at the look of this number: those that were bad
// or could not tell, and those that answer the question that is asked; at its end also those that were bad and need a
// port.
func (g *Guide) Watching(look int) (names []string) {
	have := g.current()
	for _, check := range watched {
		port := !slices.Contains(live[:], check)
		if port && (g.Step != nil || look%portsEvery != portsEvery-1 || look >= portsEvery*mostPorts) {
			continue
		}
		there, ill := false, false
		for _, e := range have {
			if e.Check == check && !notFitted(e) {
				there, ill = true, ill || e.Status == report.Bad || e.Status != report.OK && !port
			}
		}
		if there && slices.Contains(g.checks, check) && (ill || g.Step != nil && answerOf(g.Step.Check) == check) {
			names = append(names, check)
		}
	}
	return names
}

// Seen takes findings that the terminal made by itself and that differ from those the guide goes by. While a question
// is asked such a finding is an answer to it. At the end of the guide it shows what a person has repaired, and does not
// change what was found to be wrong. It returns these findings.
func (g *Guide) Seen(list []report.Evidence) (seen []report.Evidence) {
	have, asking := g.current(), g.Step != nil
	for _, e := range list {
		if !slices.Contains(watched[:], e.Check) || e.Status != report.OK && e.Status != report.Bad {
			continue
		}
		i := indexOf(have, e)
		if i < 0 || have[i].Status == e.Status || !e.At.After(have[i].At) {
			continue
		}
		if seen = append(seen, e); asking {
			g.give(given{step: e.Check, seen: true, list: []report.Evidence{e}})
		} else {
			if i := indexOf(g.since, e); i >= 0 {
				g.since = slices.Delete(g.since, i, i+1)
			}
			g.since = append(g.since, e)
		}
	}
	return seen
}

// current is the evidence with what was seen after the guide's end.
func (g *Guide) current() []report.Evidence {
	have := g.evidence()
	for _, e := range g.since {
		if i := indexOf(have, e); i >= 0 {
			have[i] = e
		}
	}
	return have
}

// indexOf finds what a list holds about the same thing, -1 if nothing.
func indexOf(list []report.Evidence, e report.Evidence) int {
	return slices.IndexFunc(list, func(o report.Evidence) bool { return o.Check == e.Check && o.Subject == e.Subject })
}

// answeredBy names for a question the check whose good news answers it: a carrier is a cable that is in.
var answeredBy = [...]struct{ question, check string }{
	{"ask.cable", "net.link"}, {"ask.reader-plug", "reader.port"}, {"ask.router-lamp", "net.internet"},
	{"ask.others-online", "net.internet"},
}

// answerOf is the check whose good news answers a question; "" if there is none.
func answerOf(question string) string {
	for _, a := range answeredBy {
		if a.question == question {
			return a.check
		}
	}
	return ""
}

// answered reports whether a check has answered the question already.
func answered(question string, evidence []report.Evidence) bool {
	check := answerOf(question)
	well := false
	for _, e := range evidence {
		if e.Check == check && e.Status != report.OK && e.Status != report.NotRun {
			return false
		}
		well = well || e.Check == check && e.Status == report.OK
	}
	return check != "" && well
}

// Got takes what a check of a step found.
func (g *Guide) Got(step string, list []report.Evidence) {
	list = slices.DeleteFunc(slices.Clone(list), func(e report.Evidence) bool { return e.Check != step })
	g.give(given{step: step, list: list})
}

// Skip leaves the step out: the person does not know the answer.
func (g *Guide) Skip() {
	if g.Step != nil {
		g.give(given{step: g.Step.Check})
	}
}

// Back takes the last answer back. It returns false if there is none.
func (g *Guide) Back() bool {
	if len(g.given) == 0 {
		return false
	}
	g.given = g.given[:len(g.given)-1]
	g.update()
	return true
}

func (g *Guide) give(v given) {
	g.given = append(g.given, v)
	g.update()
}

// evidence is that of the diagnosis and of the answers since. A new finding replaces the old one about the same thing,
// unless it tells less.
func (g *Guide) evidence() []report.Evidence {
	list := slices.Clone(g.base.Evidence)
	for _, v := range g.given {
		for _, e := range v.list {
			old := indexOf(list, e)
			switch {
			case old < 0:
				list = append(list, e)
			case e.Status == report.OK || e.Status == report.Bad:
				list[old] = e
			}
		}
	}
	return list
}

func (g *Guide) update() {
	evidence := g.evidence()
	g.Now = diagnose.Explain(g.base.Event, evidence, g.know, g.o)
	g.Now.NextTest, g.Plan, g.Step, g.after = nil, nil, nil, nil
	if g.settled() {
		return
	}
	if g.Plan = g.plan(evidence, g.here); len(g.Plan) > 0 {
		g.Step = &g.Plan[0]
		g.Now.NextTest = &g.Step.NextTest
		g.lookAhead(evidence)
	}
}

// settled reports whether there is nothing more to find out.
func (g *Guide) settled() bool {
	first := g.Now.Causes[0]
	return first.ID == "none" || first.Verdict == "confirmed"
}

// here reports whether a step can be answered by whom the guide asks or run where it runs.
func (g *Guide) here(step string) bool { return isQuestion(step) || slices.Contains(g.checks, step) }

// Elsewhere is the steps that would help but have to be made elsewhere, the best first.
func (g *Guide) Elsewhere() []diagnose.Step {
	if g.settled() {
		return nil
	}
	return g.plan(g.evidence(), func(step string) bool { return !g.here(step) })
}

// plan plans with the steps that are wanted and were not taken yet: the others get a reason not to be run.
func (g *Guide) plan(evidence []report.Evidence, wanted func(step string) bool) []diagnose.Step {
	known := evidence
	evidence = slices.Clip(evidence)
	for _, t := range g.know.Inference.Tests {
		taken := slices.ContainsFunc(g.given, func(v given) bool { return v.step == t.Name })
		if taken || !wanted(t.Name) || answered(t.Name, known) {
			evidence = append(evidence, report.Evidence{Check: t.Name, Subject: "guide", Status: report.NotRun,
				Facts: report.Facts{"reason": report.ReasonPolicy}})
		}
	}
	// The engine's own questions, which are no test of the tables, are planned whatever the evidence holds.
	return slices.DeleteFunc(diagnose.Plan(g.base.Event, evidence, g.know, g.o), func(s diagnose.Step) bool {
		return !wanted(s.Check) || slices.ContainsFunc(g.given, func(v given) bool { return v.step == s.Check })
	})
}

// lookAhead finds the ranking after each possible answer of a person, by explaining it. For a check that would be an
// estimate only, since what it measures is not known yet, and the person does not choose among its results.
func (g *Guide) lookAhead(evidence []report.Evidence) {
	if !g.Asks() {
		return
	}
	for _, a := range g.Step.Answers {
		e, ok := diagnose.After(g.know, g.Step.Check, a.Sign)
		if !ok {
			g.after = append(g.after, []chance{{a.First, a.FirstP}})
			continue
		}
		var list []chance
		for _, c := range diagnose.Explain(g.base.Event, append(slices.Clip(evidence), e), g.know, g.o).Causes[:2] {
			list = append(list, chance{c.ID, c.Probability})
		}
		g.after = append(g.after, list)
	}
}

// Lines is the page of the guide: what is probable now, the question with its answers and where each leads, what was
// answered.
func (g *Guide) Lines(cols int) (lines []string) {
	lang := g.o.Lang
	item := func(lead, what string) {
		lines = append(lines, text.Wrap(lead+text.Clean(what), cols, text.Width(lead))...)
	}
	label := func(t codes.Text) string { return text.Pad(t.In(lang), 9) }
	if g.Step == nil {
		return g.ending(cols)
	}
	lines = Outcome(g.Became, &g.Now, g.know, lang, cols)
	item(label(wordCode), strings.TrimSpace(g.Now.Event.Code+"  "+g.Now.Code.Scheme)+"  "+g.Now.Event.Time.Local().Format("2006-01-02 15:04"))
	for i, c := range g.Now.Causes[:min(len(g.Now.Causes), 3)] {
		lead := text.Pad("", 9)
		if i == 0 {
			lead = label(wordSoFar)
		}
		item(lead, g.chance(chance{c.ID, c.Probability}))
	}
	lines = append(lines, "")
	if g.Asks() {
		item(label(wordAsk), g.Step.How+fmt.Sprintf(wordCost.In(lang), g.Step.CostS))
	} else {
		cost := wordCheckCost
		if g.Step.Depth == report.External {
			cost = wordTouchCost
		}
		item(label(wordRun), g.Step.How+fmt.Sprintf(cost.In(lang), g.Step.Check, g.Step.CostS))
		item("  1  ", wordRunNow.In(lang))
	}
	for i := range g.after {
		a := g.Step.Answers[i]
		item(fmt.Sprintf("  %d  ", i+1), g.saying(a.Sign, a.Say))
		then := make([]string, len(g.after[i]))
		for j, c := range g.after[i] {
			then[j] = g.chance(c)
		}
		item("       "+wordThen.In(lang), strings.Join(then, wordThenOr.In(lang)))
	}
	item("  0  ", wordSkip.In(lang))
	lines = append(lines, "")
	return append(lines, g.known(cols)...)
}

// known lists what was answered.
func (g *Guide) known(cols int) (lines []string) {
	lead := text.Pad(wordGiven.In(g.o.Lang), labelWidth)
	for _, s := range g.said() {
		lines = append(lines, text.Wrap(lead+text.Clean(s), cols, labelWidth)...)
		lead = text.Pad("", labelWidth)
	}
	return lines
}

// ending is the last page of the guide: how certain the cause is, what to do with every step, what is being watched,
// what has been noticed since.
func (g *Guide) ending(cols int) (lines []string) {
	lang := g.o.Lang
	item := func(t codes.Text, what string) {
		lines = append(lines, text.Wrap(text.Pad(t.In(lang), labelWidth)+text.Clean(what), cols, labelWidth)...)
	}
	end := wordOver
	first := g.Now.Causes[0]
	switch {
	case first.ID == "none":
		end = wordNoFault
	case first.Verdict == "confirmed":
		end = wordConfirmed
	}
	lines = append(Outcome(g.Became, &g.Now, g.know, lang, cols), text.Wrap(end.In(lang), cols, 0)...)
	label := wordSince
	for _, e := range g.since {
		item(label, checkTitle(g.know, e.Check, lang)+wordColon.In(lang)+StatusWord(e.Status, lang)+wordSeen.In(lang))
		label = codes.Text{}
	}
	switch ill := g.ill(); {
	case first.ID == "none" || g.sold():
	case len(ill) > 0:
		item(wordWatched, strings.Join(ill, wordAnd.In(lang))+wordUntil.In(lang))
		item(codes.Text{}, wordWatch.In(lang))
	case len(g.since) > 0:
		item(codes.Text{}, wordTrySale.In(lang))
	default:
		item(codes.Text{}, wordWatch.In(lang))
	}
	lines = append(lines, firstPage(&g.Now, g.know, g.Contacts, lang, cols, extent{proofs: mostProofs, steps: true})...)
	elsewhere := g.Elsewhere()
	for _, s := range elsewhere[:min(len(elsewhere), 2)] {
		item(wordElsewhere, s.How)
	}
	return append(lines, g.known(cols)...)
}

// sold reports whether what became of it is known from a sale.
func (g *Guide) sold() bool {
	o := g.Became
	return o != nil && o.Diagnosis == g.Now.ID && (o.Outcome != report.OutcomeMended || o.Check == "")
}

// ill are the things that are broken still and will be seen when they are well again, in words.
func (g *Guide) ill() (list []string) {
	for _, e := range g.current() {
		if what := checkTitle(g.know, e.Check, g.o.Lang); e.Status == report.Bad && slices.Contains(watched[:], e.Check) &&
			slices.Contains(g.checks, e.Check) && !slices.Contains(list, what) {
			list = append(list, what)
		}
	}
	return list
}

// said lists what was answered.
func (g *Guide) said() (list []string) {
	for _, v := range g.given {
		if v.sign != "" {
			list = append(list, g.saying(v.sign, v.say))
			continue
		}
		for _, e := range v.list {
			what := checkTitle(g.know, e.Check, g.o.Lang) + " " + e.Subject + wordColon.In(g.o.Lang)
			what += StatusWord(e.Status, g.o.Lang)
			if v.seen {
				what += wordSeen.In(g.o.Lang)
			}
			list = append(list, what)
		}
	}
	return list
}

// saying is the sentence of an answer; one that is the engine's own says it itself.
func (g *Guide) saying(sign, otherwise string) string {
	if s := g.know.Inference.Sign(sign); s != nil {
		return s.Text.In(g.o.Lang)
	}
	return otherwise
}

func (g *Guide) chance(c chance) string {
	return text.Percent(c.p) + " " + title(g.know, c.cause, c.cause, g.o.Lang)
}
