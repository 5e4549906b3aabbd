package console

import (
	"fmt"
	"slices"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// The size of the screen. The last column stays empty: a terminal that wraps there would scroll.
const (
	rows     = 24
	cols     = 79
	bodyRows = rows - 4 // head, empty line, message, keys
	maxEntry = 64
)

// Screens, by the key that leads to each.
const (
	screenVerdict = '1'
	screenDevices = '2'
	screenCheck   = '3'
	screenEnter   = '4'
	screenLookup  = '5'
	screenHandoff = '6'
	screenHelp    = '?'
)

// model is what the console shows: values in, lines out. It does no I/O.
type model struct {
	lang      string
	know      *codes.Knowledge
	screen    rune
	page      int
	state     report.State
	diagnosis *report.Diagnosis // a newer one than the state's
	results   []report.Evidence // of the last check
	group     group             // that it was of
	entry     string
	looked    string // the code last looked up
	busy      bool
	note      string
}

// An action is what the console's loop has to do after a key.
type action struct {
	kind  rune // 0 nothing but paint, 'q' leave, 'r' refresh, 'c' check, 'd' diagnose, 'p' paint anew
	names []string
	code  string
}

// last is the newest diagnosis there is.
func (m *model) last() *report.Diagnosis {
	if m.diagnosis != nil && (m.state.Last == nil || m.state.Last.ID <= m.diagnosis.ID) {
		return m.diagnosis
	}
	return m.state.Last
}

func (m *model) entering() bool {
	return m.screen == screenEnter || m.screen == screenLookup && m.looked == ""
}

// press takes a key.
func (m *model) press(k key) action {
	m.note = ""
	if k.r == keyRepaint {
		return action{kind: 'p'}
	}
	if m.entering() {
		return m.enter(k)
	}
	r := k.r
	if r >= 'A' && r <= 'Z' {
		r += 'a' - 'A'
	}
	if m.screen == screenCheck && m.results == nil {
		for _, g := range checkGroups {
			if r == rune(g.key) {
				m.group = g
				return m.start(action{kind: 'c', names: m.names(g)})
			}
		}
	}
	switch r {
	case screenVerdict, screenDevices, screenHandoff, screenHelp, screenCheck, screenEnter, screenLookup, 'h':
		if r == 'h' {
			r = screenHelp
		}
		m.show(r)
		if r == screenVerdict || r == screenDevices || r == screenHandoff {
			return action{kind: 'r'}
		}
	case 'n', ' ':
		m.page++
	case 'p', '-':
		m.page = max(0, m.page-1)
	case 'l':
		if m.lang == "en" {
			m.lang = "zh"
		} else {
			m.lang = "en"
		}
	case 'r':
		return action{kind: 'r'}
	case 'q', keyCancel:
		return action{kind: 'q'}
	}
	return action{}
}

func (m *model) show(screen rune) {
	m.screen, m.page, m.entry, m.looked, m.results = screen, 0, "", "", nil
	if d := m.last(); screen == screenEnter && d != nil {
		m.entry = clean(d.Event.Code)
	}
}

// start begins what takes time, unless something is running.
func (m *model) start(a action) action {
	if m.busy {
		m.note = wordStill.In(m.lang)
		return action{}
	}
	m.busy = true
	return a
}

// enter takes a key while a code is typed.
func (m *model) enter(k key) action {
	switch {
	case k.r == keyEnter && strings.TrimSpace(m.entry) == "", k.r == keyCancel:
		m.show(screenVerdict)
	case k.r == keyEnter && m.screen == screenLookup:
		m.looked = strings.TrimSpace(m.entry)
	case k.r == keyEnter:
		code := strings.TrimSpace(m.entry)
		a := m.start(action{kind: 'd', code: code})
		if a.kind != 0 {
			m.show(screenVerdict)
		}
		return a
	case k.r == keyBackspace:
		m.entry = m.entry[:max(0, len(m.entry)-1)]
	case k.r == keyClear:
		m.entry = ""
	case k.r >= 0x20 && k.r < 0x7f && len(m.entry) < maxEntry:
		m.entry += string(k.r)
	}
	return action{}
}

// names are the checks of a group that this terminal has, as far as is known. None means all.
func (m *model) names(g group) (names []string) {
	for _, e := range m.state.Evidence {
		if g.has(e.Check) && !slices.Contains(names, e.Check) && len(g.prefixes) > 0 {
			names = append(names, e.Check)
		}
	}
	return names
}

func (g group) has(check string) bool {
	return len(g.prefixes) == 0 || slices.ContainsFunc(g.prefixes, func(p string) bool { return strings.HasPrefix(check, p) })
}

// Things that happened outside.

func (m *model) gotState(s report.State) { m.state = s }

func (m *model) gotDiagnosis(d report.Diagnosis) { m.diagnosis = &d }

func (m *model) gotResults(list []report.Evidence) {
	m.busy = false
	if m.screen == screenCheck {
		m.page, m.results = 0, []report.Evidence{}
		for _, e := range list {
			if m.group.has(e.Check) {
				m.results = append(m.results, e)
			}
		}
	}
}

func (m *model) failed(err error) {
	m.busy = false
	m.note = clean(err.Error())
}

func (m *model) done() { m.busy = false }

// body is the whole text of the screen, however long.
func (m *model) body() []string {
	switch m.screen {
	case screenDevices:
		if len(m.state.Evidence) == 0 {
			return wrap(wordNoFacts.In(m.lang), cols, 0)
		}
		return Table(m.state.Evidence, m.lang, cols)
	case screenCheck:
		if m.results != nil {
			return append([]string{wordChecked.In(m.lang)}, Table(m.results, m.lang, cols)...)
		}
		lines := []string{wordChoose.In(m.lang), ""}
		for _, g := range checkGroups {
			lines = append(lines, fmt.Sprintf("  %c  %s", g.key, g.title.In(m.lang)))
		}
		return lines
	case screenEnter:
		return []string{wordEnter.In(m.lang), "", "  > " + m.entry}
	case screenLookup:
		if m.looked == "" {
			return []string{wordLook.In(m.lang), "", "  > " + m.entry}
		}
		return Meanings(m.know, m.looked, m.lang, cols)
	case screenHandoff:
		return handoff(m.last(), m.lang, cols)
	case screenHelp:
		var lines []string
		for _, t := range help {
			lines = append(lines, wrap(t.In(m.lang), cols, 3)...)
		}
		return lines
	}
	return Verdict(m.last(), m.know, m.lang, cols)
}

// view is the screen: at most rows lines of at most cols columns.
func (m *model) view() []string {
	lines := make([]string, rows)
	lines[0] = cut(Head(m.state, m.lang), cols)
	body := m.body()
	pages := max(1, (len(body)+bodyRows-1)/bodyRows)
	m.page = min(m.page, pages-1)
	copy(lines[2:2+bodyRows], body[min(len(body), m.page*bodyRows):])
	var note []string
	if pages > 1 {
		note = append(note, fmt.Sprintf(wordPage.In(m.lang), m.page+1, pages))
	}
	if m.busy {
		note = append(note, wordBusy.In(m.lang))
	}
	if m.note != "" {
		note = append(note, m.note)
	}
	lines[rows-2] = cut(strings.Join(note, "   "), cols)
	lines[rows-1] = cut(wordKeys.In(m.lang), cols)
	return lines
}
