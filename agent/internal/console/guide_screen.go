package console

import (
	"fmt"
	"strings"
	"time"

	"posdx/agent/internal/text"
	"posdx/agent/report"
)

// guideState is what the console knows of the guide.
type guideState struct {
	guide    *Guide // nil: there is nothing to be guided through
	ahead    *Guide // what it would be, before a person has asked for it
	aheadFor string // of which diagnosis that is
	checking string // the step of the guide whose check is running
}

func (m *model) guideContent() content {
	c := content{
		lines:  (*model).guideLines,
		opened: func(m *model) action { m.beginGuide(); return action{kind: actWatch} },
	}
	if m.guide == nil {
		return c
	}
	c.press, c.watch = (*model).guided, m.guide.Watching
	if m.guide.Step != nil {
		c.keys = wordGuideKeys
	}
	return c
}

func (m *model) guideLines() []string {
	if m.guide == nil {
		return text.Wrap(wordGuided.In(m.lang), m.cols, 0)
	}
	m.guide.Became = m.state.Outcome
	return m.guide.Lines(m.cols)
}

// guideOld is the age from which a diagnosis may no longer say how things are.
const guideOld = 30 * time.Minute

// beginGuide begins with the newest diagnosis, or goes on where the person left.
func (m *model) beginGuide() {
	d := m.last()
	if d == nil || len(d.Causes) == 0 {
		m.guide = nil
		return
	}
	if m.guide == nil || m.guide.base.ID != d.ID {
		m.guide = NewGuide(*d, m.know, m.state.Profile, m.lang, Worthwhile(m.state))
		m.guide.Contacts = m.contacts
	}
	m.guide.Speak(m.lang)
	if age := m.state.Time.Sub(d.Event.Time); age > guideOld && m.guide.Step != nil {
		m.note = fmt.Sprintf(wordOld.In(m.lang), int(age.Minutes()))
	}
}

// guideStep is what the guide would ask or check first, were it opened now; empty where it has nothing.
func (m *model) guideStep() string {
	d, g := m.last(), m.guide
	if g == nil || g.base.ID != d.ID {
		which := fmt.Sprint(d.ID, " ", d.Revision, " ", m.state.Profile, " ", len(m.state.Checks))
		if m.aheadFor != which {
			m.ahead, m.aheadFor = NewGuide(*d, m.know, m.state.Profile, m.lang, Worthwhile(m.state)), which
		}
		g = m.ahead
		g.Speak(m.lang)
	}
	if g.Step == nil {
		return ""
	}
	return g.Step.How
}

// guided takes a key while a question is on the screen.
func (m *model) guided(r rune) (a action, taken bool) {
	g := m.guide
	switch {
	case r == 'b':
		if m.page = 0; !g.Back() {
			m.note = wordBegin.In(m.lang)
		}
	case r == 'q' || r == keyCancel || r == screenGuide || r == keyEsc:
		m.show(screenVerdict)
	case g.Step == nil || r < '0' || r > '9':
		return action{}, false
	case r == '0':
		m.page = 0
		g.Skip()
	case r == '1' && !g.Asks():
		if a = m.start(action{kind: actCheck, names: []string{g.Step.Check}}); a.kind != 0 {
			m.checking = g.Step.Check
		}
		return a, true
	case g.Answer(int(r-'0'), m.state.Time):
		m.page = 0
	}
	return action{}, true
}

// seen tells the guide what the terminal noticed by itself, and the person that it did.
func (m *model) seen(list []report.Evidence) {
	if m.guide == nil || m.screen != screenGuide || m.checking != "" {
		return
	}
	var seen []string
	for _, e := range m.guide.Seen(list) {
		what := checkTitle(m.know, e.Check, m.lang)
		seen = append(seen, fmt.Sprintf(wordSeenNow.In(m.lang), what, StatusWord(e.Status, m.lang)))
	}
	if len(seen) > 0 {
		m.note = text.Clean(strings.Join(seen, wordThenOr.In(m.lang)))
	}
}

// rebase lets the guide know of a newer revision of what it is about.
func (m *model) rebase() {
	if d := m.last(); m.guide != nil && d != nil && d.ID == m.guide.base.ID && d.Revision > m.guide.base.Revision {
		m.guide.Rebase(*d)
	}
}

// gotStep takes what the check of a step found.
func (m *model) gotStep(list []report.Evidence) {
	if m.guide != nil && m.guide.Step != nil && m.guide.Step.Check == m.checking {
		m.guide.Got(m.checking, list)
		m.page = 0
	}
	m.checking = ""
}
