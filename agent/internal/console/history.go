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

// historyState is what the history knows.
type historyState struct {
	past       []report.Diagnosis // what is kept, newest first, once it was read
	pastUnread bool               // what is kept could not be read
	find       string             // the code that the history is searched for
	chosen     *report.Diagnosis  // the one that is shown
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
		return !strings.EqualFold(r.Code, want) && !strings.EqualFold(bare, want) && !isDay(m.find, r.Time)
	})
}

// isDay reports whether a time is of the day, or the hour of it, that is written: 11-21, 2026-11-21, 11-21 09.
func isDay(written string, at time.Time) bool {
	at = at.Local()
	return len(written) >= len("01-02") && strings.Contains(written, "-") &&
		(strings.HasPrefix(at.Format("01-02 15:04"), written) || strings.HasPrefix(at.Format("2006-01-02 15:04"), written))
}

func (m *model) historyLines() []string {
	list := m.history()
	head := fmt.Sprintf(wordHistory.In(m.lang), count(len(list), m.lang))
	if m.find != "" {
		head = text.Clean(fmt.Sprintf(wordOnlyCode.In(m.lang), m.find, count(len(list), m.lang)))
	}
	lines := []string{text.Cut(head, m.cols)}
	switch {
	case len(list) == 0 && m.pastUnread:
		return nil // what is kept is not known; the note says why
	case len(list) == 0 && m.find == "":
		return text.Wrap(wordNoPast.In(m.lang), m.cols, 0)
	}
	for i, r := range list {
		lead := strings.Repeat(" ", len(marker))
		if i == m.at {
			lead = marker
		}
		cause, chance := title(m.know, r.Cause, r.Cause, m.lang), " "+text.Percent(r.Probability)
		if r.Abstained {
			cause, chance = word("verdict", "abstained", m.lang), ""
		}
		code := text.Clean(r.Code)
		if r.Repeats > 0 {
			code += fmt.Sprintf(" x%d", r.Repeats+1)
		}
		line := lead + r.Time.Local().Format("01-02 15:04") + "  " + text.Pad(code, 14) + " "
		if m.cols >= cols {
			line += text.Pad(word("retry.short", r.Retry, m.lang), 12) + " "
		}
		room := m.cols - text.Width(line) - len(chance)
		lines = append(lines, line+text.Cut(text.Clean(cause), room)+chance)
	}
	return lines
}

// count is how many diagnoses there are, in words.
func count(n int, lang string) string {
	if n == 1 {
		return wordOneDiagnosis.In(lang)
	}
	return fmt.Sprintf(wordDiagnoses.In(lang), n)
}

// openHistory shows all that is kept, and has it read.
func (m *model) openHistory() action {
	m.find = ""
	return action{kind: actHistory}
}

func (m *model) pressHistory(r rune) (a action, taken bool) {
	n := len(m.history())
	switch {
	case r == '/':
		m.show(screenFind)
	case r == keyEsc && m.find != "":
		m.show(screenHistory)
		m.find = ""
	case n == 0 && m.busy && (r == keyDown || r == 'j'):
		m.at++ // typed ahead of what is still being read
	case n > 0 && r == keyEnter:
		m.open()
	default:
		return action{}, m.move(r, n)
	}
	return action{}, true
}

func (m *model) findEntered(code string) action {
	m.find = strings.TrimSpace(code)
	m.show(screenHistory)
	return action{}
}

// open shows the diagnosis that is chosen in the history.
func (m *model) open() {
	list := m.history()
	want := list[min(m.at, len(list)-1)].ID
	i := slices.IndexFunc(m.past, func(d report.Diagnosis) bool { return d.ID == want })
	if d := m.last(); i < 0 && d != nil && d.ID == want {
		m.chosen = d // kept elsewhere than this console can read, or not at all
		m.showAt(screenPast, m.at)
		return
	}
	if i < 0 {
		m.note = wordNoDetail.In(m.lang)
		return
	}
	m.chosen = &m.past[i]
	m.showAt(screenPast, m.at)
}

// pressPast explains a diagnosis of the past again, with what is known today.
func (m *model) pressPast(r rune) (a action, taken bool) {
	if r != 'a' || m.chosen == nil || len(m.chosen.Causes) == 0 {
		return action{}, false
	}
	then := m.chosen.Causes[0]
	s := diagnose.Explain(m.chosen.Event, m.chosen.Evidence, m.know, options(m.chosen, m.know, m.state.Profile, m.lang))
	s.ID, s.Agent.Knowledge = m.chosen.ID, m.know.Hash
	m.chosen, m.saidFor, m.page = &s, "", 0
	was := title(m.know, then.ID, then.Title, m.lang) + " " + text.Percent(then.Probability)
	if s.Causes[0].ID == then.ID {
		m.note = text.Clean(fmt.Sprintf(wordAgainSame.In(m.lang), was))
	} else {
		m.note = text.Clean(fmt.Sprintf(wordAgainOther.In(m.lang), was))
	}
	return action{}, true
}

func (m *model) gotPast(list []report.Diagnosis) {
	m.past = list
	m.at = min(m.at, max(0, len(m.history())-1)) // a person may have typed ahead
}
