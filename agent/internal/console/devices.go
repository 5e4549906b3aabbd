package console

import (
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

func (m *model) deviceLines() []string {
	if len(m.state.Evidence) == 0 {
		return text.Wrap(wordNoFacts.In(m.lang), m.cols, 0)
	}
	return devices(m.state.Evidence, m.know, m.lang, m.cols, m.at)
}

// listed are the findings that a line can be chosen of: what was just checked, or all that is known.
func (m *model) listed() []report.Evidence {
	if m.results != nil {
		return m.results
	}
	return m.state.Evidence
}

func (m *model) pressDevices(r rune) (a action, taken bool) {
	n := len(fitted(m.listed()))
	if n > 0 && r == keyEnter {
		m.showAt(screenFacts, m.at)
		return action{}, true
	}
	return action{}, m.move(r, n)
}

// factLines are all that was measured of the device that is chosen.
func (m *model) factLines() []string {
	list := fitted(m.listed())
	if len(list) == 0 {
		return text.Wrap(wordNoFacts.In(m.lang), m.cols, 0)
	}
	return device(list[min(m.at, len(list)-1)], m.know, m.lang, m.cols)
}

// devices is a line for each thing that was looked at, in words, and one for all that is not fitted.
func devices(list []report.Evidence, k *codes.Knowledge, lang string, cols, at int) (lines []string) {
	var table [][3]string
	for _, e := range fitted(list) {
		what := StatusWord(e.Status, lang)
		if reason, ok := e.Facts.Str("reason"); ok {
			what += bracketed(word("reason", reason, lang), lang)
		} else if level, ok := e.Facts.Str("level"); ok && e.Status == report.OK && level == "poor" {
			what += bracketed(word("level", level, lang), lang)
		}
		table = append(table, [3]string{checkTitle(k, e.Check, lang), text.Clean(e.Subject), what})
	}
	room := cols - len(marker)
	width := deviceWidths(table, room-2)
	gap := strings.Repeat(" ", 1+min(2, max(0, room-2-width[0]-width[1]-width[2])/2))
	for i, row := range table {
		lead := strings.Repeat(" ", len(marker))
		if i == at {
			lead = marker
		}
		lines = append(lines, lead+text.Pad(row[0], width[0])+gap+text.Pad(row[1], width[1])+gap+
			text.Cut(row[2], width[2]))
	}
	var absent []string
	for _, e := range list {
		if name := checkTitle(k, e.Check, lang); notFitted(e) && !slices.Contains(absent, name) {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		lines = append(lines, text.Cut(wordFitted.In(lang)+strings.Join(absent, wordAnd.In(lang)), cols))
	}
	return lines
}

// deviceWidths are the widths of a table's columns, name, subject and finding, in so much room. What was found is what
// the line is for; it gives way last.
func deviceWidths(table [][3]string, room int) (width [3]int) {
	for _, row := range table {
		for i, s := range row {
			width[i] = max(width[i], text.Width(s))
		}
	}
	width[0], width[1] = min(width[0], 36), min(width[1], 16)
	for _, least := range [...][3]int{{36, 12, 100}, {30, 12, 100}, {30, 8, 100}, {14, 8, 100}, {14, 8, 11}} {
		for i := range width {
			over := max(0, width[0]+width[1]+width[2]-room)
			width[i] = max(width[i]-over, min(width[i], least[i]))
		}
	}
	return width
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
