package console

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"posdx/agent/internal/say"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

const (
	// firstBytes is what the first page may take on the line, the keys and the question for the terminal's kind included:
	// about a second at 9600 baud, 8N1.
	firstBytes = 1000
	// askBytes of these find out what the terminal is.
	askBytes = 40

	labelWidth = 9
	mostProofs = 3
	mostLeft   = 3 // causes that remain when the evidence does not decide
)

// Contacts are the telephone numbers of those who can act, by acquirer, carrier and service; one that is not known is
// empty.
type Contacts struct {
	Acquirer, Carrier, Service string
}

// callAcquirer is the remedy of a step that sends the shop's staff to the acquirer; other steps of theirs end at the
// service provider.
const callAcquirer = "R21"

// of returns whom to call about a cause on which this actor has to act: who it is, as a word of the kind actor, and the
// number. Both are empty for what the customer and his bank settle between them.
func (c Contacts) of(actor string, remedies []string) (who, number string) {
	if actor == "staff" && slices.Contains(remedies, callAcquirer) {
		actor = "acquirer"
	}
	switch actor {
	case "acquirer":
		return actor, c.Acquirer
	case "carrier":
		return actor, c.Carrier
	case "technician", "staff":
		return "technician", c.Service
	}
	return "", ""
}

// verdictLines is the first page with as many proofs as the line has time for.
func (m *model) verdictLines() []string {
	d := m.spoken()
	if d == nil {
		return text.Wrap(wordNone.In(m.lang), m.cols, 0)
	}
	outcome := Outcome(m.state.Outcome, d, m.know, m.lang, m.cols)
	e := extent{}
	if d.Abstained {
		e.guide = m.guideStep()
	}
	for e.proofs = mostProofs; ; e.proofs-- {
		lines := append(slices.Clip(outcome), firstPage(d, m.know, m.contacts, m.lang, m.cols, e)...)
		var fresh screen
		if e.proofs == 1 || len(fresh.paint(m.framed(lines), m.cols)) <= firstBytes-askBytes {
			return lines
		}
	}
}

// An extent is how much is told: at most this many proofs, every step or the first, and what the guide would ask or
// check first; empty where it has nothing.
type extent struct {
	proofs int
	steps  bool
	guide  string
}

// firstPage is the verdict for a person who has five seconds: what happened, the money, the cause with its proofs, one
// thing to do, whom to call, the hand-off code. Everything else stands on the page of details.
func firstPage(d *report.Diagnosis, k *codes.Knowledge, to Contacts, lang string, cols int, e extent) (lines []string) {
	add := func(label codes.Text, what string) {
		if what = text.Clean(what); what != "" {
			lines = append(lines, text.Wrap(text.Pad(label.In(lang), labelWidth)+what, cols, labelWidth)...)
		}
	}
	addLine := func(label codes.Text, what string) {
		if what = text.Clean(what); what != "" {
			lines = append(lines, text.Cut(text.Pad(label.In(lang), labelWidth)+what, cols))
		}
	}
	add2 := func(label codes.Text, what string) {
		from := len(lines)
		if add(label, what); len(lines) > from+2 {
			lines = append(lines[:from+1], text.Cut(lines[from+1]+strings.Repeat(" ", 2)+strings.TrimSpace(lines[from+2]), cols))
		}
	}
	add2(wordCode, headline(d, k, lang))
	if d.Asked {
		add(codes.Text{}, wordAsked.In(lang))
	}
	add(wordMoney, moneyLine(d, k, lang))
	if len(d.Causes) == 0 {
		return lines
	}
	first := d.Causes[0]
	know, _ := k.Cause(first.ID)
	toDo := know.FirstStepFor
	if e.steps {
		toDo = know.StepsFor
	}
	advice := know.AdviceOf(first.Act.Step, d.Money.Retry)
	switch {
	case d.Abstained:
		add(wordCause, wordUndecided.In(lang))
		left := strings.Join(remaining(d, k, lang), wordThenOr.In(lang))
		if e.proofs == mostProofs {
			add(wordLeft, left) // where the line has time for it
		} else {
			add2(wordLeft, left)
		}
		if out := ruledOut(d, k, lang); len(out) > 0 {
			addLine(wordRuledOut, strings.Join(out, wordThenOr.In(lang)))
		} else if well := foundWell(d, k, lang); len(well) > 0 {
			addLine(wordWell, strings.Join(well, wordThenOr.In(lang)))
		}
		switch {
		case e.guide != "":
			add(wordAct, wordGuideTest.In(lang)+e.guide)
		case d.NextTest != nil:
			add(wordAct, nextHow(d, k, lang))
		case know.ID != "":
			add(wordAct, toDo(advice).In(lang))
		}
	case first.ID == "none":
		add(wordCause, title(k, first.ID, first.Title, lang))
	default:
		add(wordCause, title(k, first.ID, first.Title, lang)+"  "+chanceOf(first, lang))
		label := wordFor
		for _, r := range first.For[:min(len(first.For), mostProofs, e.proofs)] {
			add2(label, r.Say)
			label = codes.Text{}
		}
		step := first.Act.Step
		if know.ID != "" {
			step = toDo(advice).In(lang)
		}
		add(wordAct, step)
		add(wordWho, whoActs(first.Act, know.Remedies, to, lang))
	}
	if who, number := to.of(first.Act.By, know.Remedies); who != "" && d.Abstained && d.NextTest == nil {
		add(wordCall, word("actor", who, lang)+numberOr(number, "  ", lang))
	}
	addLine(wordHandoff, d.Handoff)
	if !d.Final {
		add(codes.Text{}, wordPartial.In(lang))
	}
	return lines
}

// whoActs says who has to act, and how to reach whom. It stands apart from the steps: they are for who stands before
// the terminal, whoever has to put it right in the end.
func whoActs(act report.Act, remedies []string, to Contacts, lang string) string {
	say := word("actor", act.By, lang)
	if act.Visit {
		say += wordComma.In(lang) + word("visit", "yes", lang)
	}
	who, number := to.of(act.By, remedies)
	if who == "" {
		return say
	}
	if who != act.By {
		say += fmt.Sprintf(wordElseCall.In(lang), word("actor", who, lang))
	}
	return say + numberOr(number, wordCallThem.In(lang), lang)
}

// numberOr is a number after these words, or that there is none.
func numberOr(number, after, lang string) string {
	if number == "" {
		return wordNoNumber.In(lang)
	}
	return after + number
}

// headline is the code with when it came and what it means, in a line.
func headline(d *report.Diagnosis, k *codes.Knowledge, lang string) string {
	parts := []string{d.Event.Code}
	if d.Repeats > 0 {
		parts = append(parts, fmt.Sprintf("x%d", d.Repeats+1))
	}
	parts = append(parts, d.Event.Time.Local().Format("01-02 15:04"))
	if !d.Code.Known {
		return strings.Join(append(parts, wordUnknown.In(lang)), "  ")
	}
	meaning := inLanguage(d.Code.Meaning, lang, func() string {
		m, _ := k.Lookup(d.Code.Scheme, d.Code.Code)
		return m.Text.In(lang)
	})
	// The first clause says what it is; the rest says what to do, which the page says below for this case.
	if i := strings.IndexAny(meaning, "：；:;。"); i > 0 {
		meaning = meaning[:i]
	}
	if d.Code.Disputed {
		meaning += bracketed(whyOpen(d.Code, lang), lang)
	}
	return strings.Join(append(parts, meaning), "  ")
}

// moneyLine is what became of the money and whether to try again: the text of the diagnosis where that is in the
// language of the screen, else the same from the tables.
func moneyLine(d *report.Diagnosis, k *codes.Knowledge, lang string) string {
	return inLanguage(d.Money.Say, lang, func() string {
		return k.Word("money", d.Money.State).Sentence().And(k.Word("retry", d.Money.Retry).Sentence()).In(lang)
	})
}

// chanceOf is how sure a cause is, in words and in figures.
func chanceOf(c report.Cause, lang string) string {
	return word("verdict", c.Verdict, lang) + " " + text.Percent(c.Probability)
}

// remaining are the causes that the evidence cannot tell apart, the most probable first.
func remaining(d *report.Diagnosis, k *codes.Knowledge, lang string) (list []string) {
	for _, id := range d.CannotSeparate[:min(len(d.CannotSeparate), mostLeft)] {
		what := title(k, id, id, lang)
		for _, c := range d.Causes {
			if c.ID == id {
				what += " " + text.Percent(c.Probability)
			}
		}
		list = append(list, what)
	}
	return list
}

// ruledOut are the causes that the evidence excludes.
func ruledOut(d *report.Diagnosis, k *codes.Knowledge, lang string) (list []string) {
	for _, c := range d.Causes {
		if c.Verdict == "rejected" {
			list = append(list, title(k, c.ID, c.Title, lang))
		}
	}
	return list
}

// foundWell are the checks that found nothing wrong, by what they look at.
func foundWell(d *report.Diagnosis, k *codes.Knowledge, lang string) (list []string) {
	bad := map[string]bool{}
	for _, e := range d.Evidence {
		bad[e.Check] = bad[e.Check] || e.Status != report.OK
	}
	said := map[string]bool{}
	for _, e := range d.Evidence {
		if !bad[e.Check] && !said[e.Check] {
			said[e.Check] = true
			list = append(list, checkTitle(k, e.Check, lang))
		}
	}
	return list
}

// nextHow is what the next test asks of a person.
func nextHow(d *report.Diagnosis, k *codes.Knowledge, lang string) string {
	return inLanguage(d.NextTest.How, lang, func() string {
		for i := range k.Inference.Tests {
			if k.Inference.Tests[i].Name == d.NextTest.Check {
				return k.Inference.Tests[i].Text.In(lang)
			}
		}
		return ""
	})
}

// checkTitle is what a check looks at, in words; of one that is not known, its name.
func checkTitle(k *codes.Knowledge, name, lang string) string {
	for _, from := range [...]*codes.Knowledge{k, codes.Builtin()} {
		if c, ok := from.Check(name); ok && c.Title.In(lang) != "" {
			return c.Title.In(lang)
		}
	}
	return text.Clean(name)
}

// gone is the page of a daemon that does not answer: what that means, and what to do about it. Whoever may not ask it
// cannot tell whether it answers, and starting it again would help nobody.
func gone(err error, lang string, cols int) (lines []string) {
	told := wordsGone[:]
	if errors.Is(err, say.New("ask-closed")) {
		told = []codes.Text{wordClosed}
	}
	for i, t := range told {
		lines = append(lines, text.Wrap(t.In(lang), cols, min(i, 1)*3)...)
	}
	return append(append(lines, ""), text.Wrap(text.Clean(say.Error(err, lang)), cols, 0)...)
}
