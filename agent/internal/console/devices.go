package console

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// marker is before the line that is chosen.
const marker = "> "

// worst first: what is broken is what somebody came for.
var worstFirst = [...]report.Status{report.Bad, report.CannotTell, report.OK, report.NotRun}

func notFitted(e report.Evidence) bool {
	reason, _ := e.Facts.Str("reason")
	return reason == report.ReasonAbsent && (e.Status == report.NotRun || e.Status == report.CannotTell)
}

// fitted are the findings about what this terminal has, the worst first.
func fitted(list []report.Evidence) []report.Evidence {
	list = slices.DeleteFunc(slices.Clone(list), notFitted)
	sort.SliceStable(list, func(i, j int) bool {
		return slices.Index(worstFirst[:], list[i].Status) < slices.Index(worstFirst[:], list[j].Status)
	})
	return list
}

// devices is a line for each thing that was looked at, in words, and one for all that is not fitted.
func devices(list []report.Evidence, k *codes.Knowledge, lang string, cols, at int) (lines []string) {
	for i, e := range fitted(list) {
		lead := strings.Repeat(" ", len(marker))
		if i == at {
			lead = marker
		}
		what := StatusWord(e.Status, lang)
		if reason, ok := e.Facts.Str("reason"); ok {
			what += " (" + word("reason", reason, lang) + ")"
		} else if level, ok := e.Facts.Str("level"); ok && e.Status == report.OK && level == "poor" {
			what += " (" + word("level", level, lang) + ")"
		}
		line := lead + text.Pad(checkTitle(k, e.Check, lang), 36) + " " + text.Pad(text.Clean(e.Subject), 16) + " " + what
		lines = append(lines, text.Cut(line, cols))
	}
	var absent []string
	for _, e := range list {
		if name := checkTitle(k, e.Check, lang); notFitted(e) && !slices.Contains(absent, name) {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		lines = append(lines, text.Cut(wordFitted.In(lang)+strings.Join(absent, codes.Text{ZH: "、", EN: ", "}.In(lang)), cols))
	}
	return lines
}

// device is all that was measured of one thing.
func device(e report.Evidence, k *codes.Knowledge, lang string, cols int) (lines []string) {
	head := checkTitle(k, e.Check, lang) + "  " + text.Clean(e.Subject) + "  " + StatusWord(e.Status, lang)
	lines = append(lines, text.Wrap(head, cols, 2)...)
	if !e.At.IsZero() {
		lines = append(lines, e.At.Local().Format("2006-01-02 15:04:05 MST"))
	}
	lines = append(lines, "", text.Clean(e.Check))
	names := make([]string, 0, len(e.Facts))
	for name := range e.Facts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, text.Wrap("  "+text.Pad(text.Clean(name), 24)+" "+text.Clean(value(e.Facts[name])), cols, 27)...)
	}
	return lines
}

// history is what is kept of the past, newest first, of the code that is searched for.
func (m *model) history() (list []report.Recent) {
	if m.past == nil {
		list = slices.Clone(m.state.Recent)
	}
	for i := range m.past {
		list = append(list, report.InOneLine(&m.past[i]))
	}
	if m.find == "" {
		return list
	}
	want := codes.Normalise(m.find)
	return slices.DeleteFunc(list, func(r report.Recent) bool {
		_, bare, _ := strings.Cut(r.Code, ":")
		return !strings.EqualFold(r.Code, want) && !strings.EqualFold(bare, want)
	})
}

func (m *model) historyLines() []string {
	list := m.history()
	head := fmt.Sprintf(wordHistory.In(m.lang), len(list))
	if m.find != "" {
		head = text.Clean(fmt.Sprintf(wordOnlyCode.In(m.lang), m.find, len(list)))
	}
	lines := []string{text.Cut(head, m.cols)}
	if len(list) == 0 && m.find == "" {
		return text.Wrap(wordNoPast.In(m.lang), m.cols, 0)
	}
	for i, r := range list {
		lead := strings.Repeat(" ", len(marker))
		if i == m.at {
			lead = marker
		}
		cause := title(m.know, r.Cause, r.Cause, m.lang) + " " + percent(r.Probability)
		if r.Abstained {
			cause = word("verdict", "abstained", m.lang)
		}
		code := text.Clean(r.Code)
		if r.Repeats > 0 {
			code += fmt.Sprintf(" x%d", r.Repeats+1)
		}
		lines = append(lines, text.Cut(lead+r.Time.Local().Format("01-02 15:04")+"  "+text.Pad(code, 14)+" "+
			text.Pad(word("retry.short", r.Retry, m.lang), 12)+" "+text.Clean(cause), m.cols))
	}
	return lines
}

// open shows the diagnosis that is chosen in the history.
func (m *model) open() {
	list := m.history()
	want := list[min(m.at, len(list)-1)].ID
	i := slices.IndexFunc(m.past, func(d report.Diagnosis) bool { return d.ID == want })
	if i < 0 {
		m.note = wordNoDetail.In(m.lang)
		return
	}
	at := m.at
	m.chosen = &m.past[i]
	m.show(screenPast)
	m.at = at
}

func (m *model) gotPast(list []report.Diagnosis) {
	m.past = list
	m.at = min(m.at, max(0, len(m.history())-1)) // a person may have typed ahead
}
