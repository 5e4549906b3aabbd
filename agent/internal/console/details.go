package console

import (
	"strings"

	"posdx/agent/diagnose"
	"posdx/agent/internal/text"
	"posdx/agent/report"
)

// detailState is what the screens about one diagnosis keep between two paintings.
type detailState struct {
	said    *report.Diagnosis // the diagnosis in the language of the screen
	saidFor string            // which one that is, and in which language
	ledger  []string
}

func (m *model) detailLines() []string {
	return append(Outcome(m.state.Outcome, m.spoken(), m.know, m.lang, m.cols), m.pastLines()...)
}

func (m *model) pastLines() []string { return Verdict(m.spoken(), m.know, m.lang, m.cols) }

// openLedger writes the calculation of the newest diagnosis.
func (m *model) openLedger() action {
	if d := m.last(); d != nil {
		how := options(d, m.know, m.state.Profile, m.lang)
		m.ledger = strings.Split(diagnose.Ledger(d.Event, d.Evidence, m.know, how), "\n")
	}
	return action{}
}

func (m *model) ledgerLines() (lines []string) {
	if m.ledger == nil {
		return text.Wrap(wordNone.In(m.lang), m.cols, 0)
	}
	for _, l := range m.ledger {
		if lines = append(lines, text.Wrap(text.Clean(l), m.cols, 4)...); l == "" {
			lines = append(lines, "")
		}
	}
	return lines
}

// handoff spells the hand-off code of a diagnosis for the phone.
func handoff(d *report.Diagnosis, lang string, cols int) []string {
	if d == nil || d.Handoff == "" {
		return text.Wrap(wordNone.In(lang), cols, 0)
	}
	return []string{wordReadOut.In(lang), "", "    " + strings.Join(strings.Split(text.Clean(d.Handoff), ""), " "), "",
		wordDecode.In(lang)}
}
