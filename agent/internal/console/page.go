package console

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"posdx/agent/diagnose"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// mostAlso is how many things are named that are broken besides.
const mostAlso = 3

// Outcome is what became of a diagnosis afterwards; nothing as long as that is not known.
func Outcome(o *report.Outcome, d *report.Diagnosis, k *codes.Knowledge, lang string, cols int) []string {
	if o == nil || d == nil || o.Diagnosis != d.ID {
		return nil
	}
	what := k.Word("outcome", o.Outcome).In(lang) + "  " + o.Time.Local().Format("2006-01-02 15:04 MST")
	return text.Wrap(text.Pad(wordSince.In(lang), 9)+text.Clean(what), cols, 9)
}

// Verdict is a diagnosis for a technician: the money, the cause, three proofs, what to do, the next test, the hand-off
// code. The names of causes come from the knowledge, so they follow the language of the screen.
func Verdict(d *report.Diagnosis, k *codes.Knowledge, lang string, cols int) (lines []string) {
	if d == nil {
		return text.Wrap(wordNone.In(lang), cols, 0)
	}
	item := func(label, what string) {
		const indent = 9
		if what = text.Clean(what); what != "" {
			lines = append(lines, text.Wrap(text.Pad(label, indent)+what, cols, indent)...)
		}
	}
	code := d.Event.Code
	if !d.Code.Known {
		code += "  " + wordUnknown.In(lang)
	} else {
		code += "  " + d.Code.Scheme + "  " + inLanguage(d.Code.Meaning, lang, func() string {
			m, _ := k.Lookup(d.Code.Scheme, d.Code.Code)
			return m.Text.In(lang)
		})
		if d.Code.Disputed {
			code += bracketed(whyOpen(d.Code, lang), lang)
		}
	}
	if d.Repeats > 0 {
		code += "  " + fmt.Sprintf(wordRepeats.In(lang), d.Repeats)
	}
	item(wordCode.In(lang), code)
	item("", d.Event.Time.Local().Format("2006-01-02 15:04:05 MST"))
	if !d.Final {
		item("", wordPartial.In(lang))
	}
	item(wordMoney.In(lang), moneyLine(d, k, lang))
	shown := func(i int) bool { return i == 0 || i <= 2 && d.Causes[i].Probability >= 0.05 }
	if d.Abstained {
		item(wordCause.In(lang), wordAbstain.In(lang))
	}
	for i, c := range d.Causes {
		what := fmt.Sprintf("%s  %s  (%s)", title(k, c.ID, c.Title, lang), chanceOf(c, lang), c.ID)
		if i > 0 {
			if shown(i) {
				item(wordElse.In(lang), what)
			}
			continue
		}
		if !d.Abstained {
			item(wordCause.In(lang), what)
		} else {
			item("", what)
		}
		label := wordFor.In(lang)
		for _, r := range c.For[:min(3, len(c.For))] {
			item(label, r.Check+": "+r.Say)
			label = ""
		}
		if len(c.Against) > 0 {
			item(wordAgainst.In(lang), c.Against[0].Check+": "+c.Against[0].Say)
		}
		visit := word("visit", "no", lang)
		if c.Act.Visit {
			visit = word("visit", "yes", lang)
		}
		step := c.Act.Step
		if know, ok := k.Cause(c.ID); ok {
			step = inLanguage(know.StepIn(step, lang), lang,
				func() string { return know.StepsFor(d.Money.Retry).In(lang) })
		}
		item(wordAct.In(lang), step)
		item(wordWho.In(lang), word("actor", c.Act.By, lang)+bracketed(visit, lang))
	}
	for _, id := range d.CannotSeparate {
		if i := slices.IndexFunc(d.Causes, func(c report.Cause) bool { return c.ID == id }); i < 0 || !shown(i) {
			item(wordElse.In(lang), fmt.Sprintf("%s  (%s)", title(k, id, id, lang), id))
		}
	}
	if len(d.Set) > 1 {
		var unnamed []string
		for _, id := range d.Set {
			i := slices.IndexFunc(d.Causes, func(c report.Cause) bool { return c.ID == id })
			if (i < 0 || !shown(i)) && !slices.Contains(d.CannotSeparate, id) {
				unnamed = append(unnamed, title(k, id, id, lang))
			}
		}
		what := fmt.Sprintf(wordSetAbove.In(lang), len(d.Set)-len(unnamed))
		if len(unnamed) > 0 {
			what += wordSetBeside.In(lang) + strings.Join(unnamed, wordThenOr.In(lang))
		}
		item(wordSet.In(lang), what)
	}
	label := wordAlso.In(lang)
	for _, a := range d.Also[:min(len(d.Also), mostAlso)] {
		what := title(k, a.ID, a.ID, lang)
		item(label, what+bracketed(diagnose.AlsoWord(d).In(lang), lang)+wordThenOr.In(lang)+word("actor", a.Act.By, lang))
		label = ""
	}
	if d.NextTest != nil {
		item(wordNext.In(lang), d.NextTest.Check+": "+nextHow(d, k, lang))
	}
	item(wordHandoff.In(lang), d.Handoff)
	return lines
}

func title(k *codes.Knowledge, id, written, lang string) string {
	if c, ok := k.Cause(id); ok {
		return c.Title.In(lang)
	}
	return written
}

// whyOpen says why a code's meaning may be another one here.
func whyOpen(c report.CodeInfo, lang string) string {
	if c.Borrowed {
		return word("reading", "borrowed", lang)
	}
	return word("reading", "disputed", lang)
}

// inLanguage returns a text that a document carries, or the same from the knowledge if the document speaks another
// language.
func inLanguage(text, lang string, own func() string) string {
	if text != "" && hasHan(text) == (lang != "en") {
		return text
	}
	if t := own(); t != "" {
		return t
	}
	return text
}

func hasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// Table is a table of evidence: check, subject, status, facts. What is bad comes first; what is not fitted is one line.
func Table(list []report.Evidence, lang string, cols int) (lines []string) {
	order := []report.Status{report.Bad, report.OK, report.CannotTell, report.NotRun}
	list = slices.Clone(list)
	rank := func(i int) int { return slices.Index(order, list[i].Status) }
	sort.SliceStable(list, func(i, j int) bool { return rank(i) < rank(j) })
	absent := func(e report.Evidence) bool { return e.Status == report.NotRun && notFitted(e) }
	var folded []string
	for _, e := range list {
		if name := text.Clean(e.Check); len(list) > 1 && absent(e) {
			if !slices.Contains(folded, name) {
				folded = append(folded, name)
			}
			continue
		}
		line := text.Pad(text.Clean(e.Check), 19) + " " + text.Pad(text.Clean(e.Subject), 13) + " " +
			text.Pad(StatusWord(e.Status, lang), 11) + " " + facts(e.Facts)
		lines = append(lines, text.Wrap(line, cols, 46)...)
	}
	if len(folded) > 0 {
		lines = append(lines, text.Wrap(wordFitted.In(lang)+strings.Join(folded, wordAnd.In(lang)), cols, 4)...)
	}
	return lines
}

// facts writes facts as name=value, the telling ones first.
func facts(f report.Facts) string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	first := []string{"reason", "outcome", "state", "level"}
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j]
		return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) < 0
	})
	for i, name := range names {
		names[i] = name + "=" + value(f[name])
	}
	return text.Clean(strings.Join(names, " "))
}

func value(v any) string {
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, ' ') {
			return strconv.Quote(v)
		}
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case float64:
		return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
	}
	several, ok := strings.CutSuffix(fmt.Sprint(v), "]") // a list, or counts by name
	if ok {
		_, several, _ = strings.Cut(several, "[")
		several = strings.ReplaceAll(several, " ", ",")
	}
	return several
}

// Head is one line: which terminal this is, and whether it is connected to the fleet.
func Head(s report.State, lang string) string {
	parts := []string{"posdx", s.Terminal, s.Time.Local().Format("15:04 MST")}
	if s.InSale {
		parts = append(parts, wordInSale.In(lang))
	}
	if !s.ClockTrusted {
		parts = append(parts, wordNoClock.In(lang))
	}
	if s.Uplink.Connected {
		parts = append(parts, wordOnline.In(lang))
	} else {
		parts = append(parts, wordOffline.In(lang))
	}
	if s.Uplink.Waiting > 0 {
		parts = append(parts, fmt.Sprintf(wordWaiting.In(lang), s.Uplink.Waiting))
	}
	return text.Clean(strings.Join(parts, "  "))
}
