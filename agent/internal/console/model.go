package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// The size of a screen that does not say how large it is. The last column stays empty: a terminal that wraps there
// would scroll.
const (
	rows     = 24
	cols     = 79
	frame    = 4 // rows of every screen: head, empty line, message, keys
	maxEntry = 64
)

// Sizes that are made use of.
const (
	minRows, maxRows = 8, 60
	minCols, maxCols = 39, 100
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
	screenGuide   = 'g'
	screenLedger  = 'e'
	screenOne     = '9' // of the list of checks, from screenCheck
	screenHistory = '7'
	screenFind    = '/' // a code in the history
	screenPast    = 'o' // one of the history
	screenDetails = 'd'
	screenFacts   = 'f' // of one device
	screenPIN     = 'u'
	screenTry     = 't' // of the reader, with any card
)

// model is what the console shows: values in, lines out. It does no I/O.
type model struct {
	lang      string
	narrow    bool // the terminal does not count Chinese as it is wide
	know      *codes.Knowledge
	screen    rune
	page      int
	state     report.State
	diagnosis *report.Diagnosis // a newer one than the state's
	results   []report.Evidence // of the last check
	group     group             // that it was of
	entry     string
	card      bool   // what is typed is a card: nothing of it is taken until it ends
	looked    string // the code last looked up
	busy      bool
	note      string
	guide     *Guide
	checking  string // the step of the guide whose check is running
	ledger    []string
	said      *report.Diagnosis // a diagnosis in a language that its daemon did not say it in
	saidFor   string

	locked     bool               // nothing but the verdict is shown
	hidden     bool               // and that neither, while it is locked
	rows, cols int                // of the terminal
	contacts   Contacts           // whom to call
	known      bool               // a state has come, or why there is none
	gone       error              // why there is none
	at         int                // the line chosen on a screen of choices
	past       []report.Diagnosis // what is kept, newest first, once it was read
	find       string             // the code that the history is searched for
	chosen     *report.Diagnosis  // the one of the history that is shown
	try        exercise
	looks      int // at what is watched, since the screen was opened
}

// emptyModel is a console that knows nothing yet, of the usual size.
func emptyModel(lang string, k *codes.Knowledge, to Contacts) model {
	return model{lang: lang, know: k, screen: screenVerdict, rows: rows, cols: cols, contacts: to}
}

// resize takes the size that a terminal says it has.
func (m *model) resize(r, c int) {
	m.rows, m.cols = min(max(r, minRows), maxRows), min(max(c-1, minCols), maxCols)
}

func (m *model) bodyRows() int { return m.rows - frame }

// An action is what the console's loop has to do after a key.
type action struct {
	// 0 nothing but paint, 'q' leave, 'r' refresh, 'c' check, 'd' diagnose, 'h' read the history, 'u' unlock, 'p' paint
	// anew, 'w' look at what is watched, 'z' send the bundle
	kind  rune
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

// spoken is the newest diagnosis in the language of the screen.
func (m *model) spoken() *report.Diagnosis {
	d := m.last()
	if m.screen == screenPast {
		d = m.chosen
	}
	if d == nil {
		return nil
	}
	if which := fmt.Sprint(d.ID, " ", d.Revision, " ", m.lang, " ", m.state.Profile); m.saidFor != which {
		s := InLanguage(*d, m.know, m.state.Profile, m.lang)
		m.said, m.saidFor = &s, which
	}
	return m.said
}

func (m *model) entering() bool {
	return m.screen == screenEnter || m.screen == screenFind || m.screen == screenPIN || m.screen == screenOne ||
		m.screen == screenLookup && m.looked == ""
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
	if m.locked && !strings.ContainsRune("lrnpq", r) && r != keyCancel && r != keyEsc {
		m.show(screenPIN)
		if r >= '0' && r <= '9' {
			m.entry = string(r)
		}
		return action{}
	}
	if m.screen == screenGuide && m.guide != nil {
		if a, taken := m.guided(r); taken {
			return a
		}
	}
	if m.choose(k.r) {
		return action{}
	}
	if m.screen == screenCheck && m.results == nil {
		for _, g := range checkGroups {
			if r == rune(g.key) {
				m.group = g
				return m.start(action{kind: 'c', names: g.prefixes})
			}
		}
		if r == screenOne {
			m.show(r)
			return action{}
		}
	}
	switch r {
	case screenVerdict, screenDevices, screenHandoff, screenHelp, screenCheck, screenEnter, screenLookup, screenDetails,
		screenHistory, 'h':
		if r == 'h' {
			r = screenHelp
		}
		m.show(r)
		switch r {
		case screenVerdict, screenDevices, screenHandoff, screenDetails:
			return action{kind: 'r'}
		case screenHistory:
			m.find = ""
			return action{kind: 'h'}
		}
	case 'n', ' ', keyPageDown, keyDown:
		m.page++
	case 'p', '-', keyPageUp, keyUp:
		m.page = max(0, m.page-1)
	case keyHome:
		m.page = 0
	case keyEnd:
		m.page = 1 << 16
	case keyEsc:
		m.back()
	case keyEnter, keyClear, keyBackspace:
	case screenTry:
		m.show(r)
		m.try = begun(m.state.Evidence)
		return action{kind: 'w'}
	case screenGuide:
		m.show(r)
		m.beginGuide()
		return action{kind: 'w'}
	case screenLedger:
		m.show(r)
		if d := m.last(); d != nil {
			m.ledger = strings.Split(diagnose.Ledger(d.Event, d.Evidence, m.know, options(d, m.know, m.state.Profile, m.lang)), "\n")
		}
	case 'l':
		if m.lang == "en" {
			m.lang = "zh"
		} else {
			m.lang = "en"
		}
		if m.narrow && m.lang != "en" {
			m.note = wordNarrow.In(m.lang)
		}
		if m.guide != nil {
			m.guide.Speak(m.lang)
		}
	case 'z':
		return action{kind: 'z'}
	case 'r':
		return action{kind: 'r'}
	case 'q', keyCancel:
		return action{kind: 'q'}
	default:
		name := wordOther.In(m.lang)
		if k.r > ' ' && k.r < 0x7f {
			name = string(k.r)
		}
		m.note = fmt.Sprintf(wordNoKey.In(m.lang), name)
	}
	return action{}
}

// back goes to where the person came from.
func (m *model) back() {
	switch {
	case m.screen == screenFacts:
		at := m.at
		m.show(screenDevices)
		m.at = at
	case m.screen == screenPast:
		at := m.at
		m.show(screenHistory)
		m.at = at
	case m.screen == screenHistory && m.find != "":
		m.show(screenHistory)
		m.find = ""
	case m.screen == screenOne:
		m.show(screenCheck)
	default:
		m.show(screenVerdict)
	}
}

// choose takes a key on a screen of choices: the arrows move, Enter opens.
func (m *model) choose(r rune) (taken bool) {
	n := 0
	switch m.screen {
	case screenDevices:
		n = len(fitted(m.state.Evidence))
	case screenHistory:
		n = len(m.history())
	}
	switch {
	case r == '/' && m.screen == screenHistory:
		m.show(screenFind)
	case n == 0 && m.busy && m.screen == screenHistory && (r == keyDown || r == 'j' || r == 'J'):
		m.at++ // typed ahead of what is still being read
	case n == 0:
		return false
	case r == keyUp || r == 'k' || r == 'K':
		m.at = max(0, m.at-1)
		m.page = m.pageOf()
	case r == keyDown || r == 'j' || r == 'J':
		m.at = min(n-1, m.at+1)
		m.page = m.pageOf()
	case r == keyEnter && m.screen == screenDevices:
		at := m.at
		m.show(screenFacts)
		m.at = at
	case r == keyEnter:
		m.open()
	default:
		return false
	}
	return true
}

// pageOf is the page on which a choice stands.
func (m *model) pageOf() int {
	for i, l := range m.lines() {
		if strings.HasPrefix(l, marker) {
			return i / m.bodyRows()
		}
	}
	return 0
}

func (m *model) show(screen rune) {
	m.at, m.looks = 0, 0
	m.screen, m.page, m.entry, m.looked, m.results, m.ledger = screen, 0, "", "", nil, nil
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
		if a = m.start(action{kind: 'c', names: []string{g.Step.Check}}); a.kind != 0 {
			m.checking = g.Step.Check
		}
		return a, true
	case g.Answer(int(r-'0'), m.state.Time):
		m.page = 0
	}
	return action{}, true
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
	if k.r == keyEnter || k.r == keyCancel || k.r == keyClear || k.r == keyEsc {
		ended := m.card
		if m.card = false; ended {
			return action{}
		}
	}
	switch {
	case m.card:
		m.note = wordNoCard.In(m.lang)
	case k.r == keyEnter && strings.TrimSpace(m.entry) == "", k.r == keyCancel, k.r == keyEsc:
		if m.screen == screenFind {
			m.show(screenHistory)
		} else {
			m.back()
		}
	case k.r == keyEnter && m.screen == screenFind:
		m.find = strings.TrimSpace(m.entry)
		m.show(screenHistory)
	case k.r == keyEnter && m.screen == screenPIN:
		pin := m.entry
		m.show(screenVerdict)
		return action{kind: 'u', code: pin}
	case k.r == keyEnter && m.screen == screenLookup:
		m.looked = strings.TrimSpace(m.entry)
	case k.r == keyEnter && m.screen == screenOne:
		return m.checkOne(strings.TrimSpace(m.entry))
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
		if k.r >= '0' && k.r <= '9' && digits(m.entry) == codeDigits {
			m.entry, m.card, m.note = "", true, wordNoCard.In(m.lang) // a card swiped into the field, or typed
			return action{}
		}
		m.entry += string(k.r)
	}
	return action{}
}

// codeDigits is the most digits a code has: an entry never holds as many as tell a card.
const codeDigits = 8

func digits(s string) (n int) {
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

// checkOne runs the check with this number in the list, or those whose names begin so.
func (m *model) checkOne(entry string) action {
	var names []string
	if n, err := strconv.Atoi(entry); err == nil && n >= 1 && n <= len(m.state.Checks) {
		names = []string{m.state.Checks[n-1]}
	} else {
		begin := strings.TrimSuffix(entry, "*")
		names = slices.DeleteFunc(slices.Clone(m.state.Checks), func(c string) bool { return !strings.HasPrefix(c, begin) })
	}
	if len(names) == 0 {
		m.note, m.entry = text.Clean(fmt.Sprintf(wordNoCheck.In(m.lang), entry)), ""
		return action{}
	}
	m.group = group{prefixes: names}
	m.show(screenCheck)
	return m.start(action{kind: 'c', names: names})
}

func (g group) has(check string) bool {
	begins := func(p string) bool { return strings.HasPrefix(check, p) }
	return len(g.prefixes) == 0 || slices.ContainsFunc(g.prefixes, begins)
}

// unlocked takes what became of a PIN.
func (m *model) unlocked(ok bool, wait time.Duration) {
	switch {
	case ok:
		m.locked = false
	case wait > 0:
		m.note = fmt.Sprintf(wordPINWait.In(m.lang), int(wait.Minutes()+0.99))
	default:
		m.note = wordPINWrong.In(m.lang)
	}
}

// Things that happened outside.

func (m *model) gotState(s report.State) {
	m.state, m.known, m.gone = s, true, nil
	m.rebase()
	m.try.see(s.Evidence)
	m.seen(s.Evidence)
}

// watching are the checks to be made again and again while this screen is looked at.
func (m *model) watching() []string {
	switch {
	case m.screen == screenTry && !m.try.over():
		return []string{slotCheck, readsCheck}
	case m.screen == screenGuide && m.guide != nil:
		return m.guide.Watching(m.looks)
	}
	return nil
}

// watches reports whether this look or one soon after it has something to look at.
func (m *model) watches() bool {
	later := *m
	for range portsEvery {
		if len(later.watching()) > 0 {
			return true
		}
		later.looks++
	}
	return false
}

// gotWatched takes what these checks found.
func (m *model) gotWatched(list []report.Evidence) {
	m.try.looks++
	m.try.see(list)
	m.seen(list)
}

// seen tells the guide what the terminal noticed by itself, and the person that it did.
func (m *model) seen(list []report.Evidence) {
	if m.guide == nil || m.screen != screenGuide || m.checking != "" {
		return
	}
	if e, ok := m.guide.Seen(list); ok {
		what := checkTitle(m.know, e.Check, m.lang)
		m.note = text.Clean(fmt.Sprintf(wordSeenNow.In(m.lang), what, StatusWord(e.Status, m.lang)))
	}
}

func (m *model) gotDiagnosis(d report.Diagnosis) {
	m.diagnosis = &d
	m.rebase()
}

// rebase lets the guide know of a newer revision of what it is about.
func (m *model) rebase() {
	if d := m.last(); m.guide != nil && d != nil && d.ID == m.guide.base.ID && d.Revision > m.guide.base.Revision {
		m.guide.Rebase(*d)
	}
}

func (m *model) gotResults(list []report.Evidence) {
	m.busy = false
	if m.checking != "" {
		if m.guide != nil && m.guide.Step != nil && m.guide.Step.Check == m.checking {
			m.guide.Got(m.checking, list)
			m.page = 0
		}
		m.checking = ""
		return
	}
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
	m.busy, m.checking = false, ""
	m.note = text.Clean(err.Error())
}

func (m *model) done() { m.busy, m.checking = false, "" }

// body is the whole text of the screen, however long.
func (m *model) body() []string {
	cols := m.cols
	if !m.known {
		return []string{wordWaitState.In(m.lang)}
	}
	if m.locked && m.hidden && m.screen != screenPIN {
		return text.Wrap(wordHidden.In(m.lang), cols, 0)
	}
	if m.gone != nil && m.screen != screenLookup && m.screen != screenHelp {
		return gone(m.gone, m.lang, cols)
	}
	switch m.screen {
	case screenDevices:
		if len(m.state.Evidence) == 0 {
			return text.Wrap(wordNoFacts.In(m.lang), cols, 0)
		}
		return devices(m.state.Evidence, m.know, m.lang, cols, m.at)
	case screenFacts:
		list := fitted(m.state.Evidence)
		if len(list) == 0 {
			return text.Wrap(wordNoFacts.In(m.lang), cols, 0)
		}
		return device(list[min(m.at, len(list)-1)], m.know, m.lang, cols)
	case screenHistory:
		return m.historyLines()
	case screenFind:
		return []string{wordFind.In(m.lang), "", "  > " + m.entry}
	case screenPIN:
		return []string{wordPIN.In(m.lang), "", "  > " + strings.Repeat("*", len(m.entry))}
	case screenDetails, screenPast:
		d := m.spoken()
		var lines []string
		if m.screen == screenDetails {
			lines = Outcome(m.state.Outcome, d, m.know, m.lang, cols)
		}
		return append(lines, Verdict(d, m.know, m.lang, cols)...)
	case screenTry:
		return m.try.lines(m.lang, cols)
	case screenCheck:
		if m.results != nil {
			return append([]string{wordChecked.In(m.lang)}, Table(m.results, m.lang, cols)...)
		}
		lines := []string{wordChoose.In(m.lang), ""}
		for _, g := range checkGroups {
			lines = append(lines, fmt.Sprintf("  %c  %s", g.key, g.title.In(m.lang)))
		}
		return append(lines, fmt.Sprintf("  %c  %s", screenOne, wordList.In(m.lang)))
	case screenOne:
		return append(checkList(m.state.Checks, m.bodyRows()), wordOneOf.In(m.lang), "  > "+m.entry)
	case screenGuide:
		if m.guide == nil {
			return text.Wrap(wordGuided.In(m.lang), cols, 0)
		}
		m.guide.Became = m.state.Outcome
		return m.guide.Lines(cols)
	case screenLedger:
		if m.ledger == nil {
			return text.Wrap(wordNone.In(m.lang), cols, 0)
		}
		var lines []string
		for _, l := range m.ledger {
			if lines = append(lines, text.Wrap(text.Clean(l), cols, 4)...); l == "" {
				lines = append(lines, "")
			}
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
			lines = append(lines, text.Wrap(t.In(m.lang), cols, 3)...)
		}
		return lines
	}
	d := m.spoken()
	if d == nil {
		return text.Wrap(wordNone.In(m.lang), cols, 0)
	}
	outcome := Outcome(m.state.Outcome, d, m.know, m.lang, cols)
	for proofs := mostProofs; ; proofs-- {
		lines := append(slices.Clip(outcome), firstPage(d, m.know, m.contacts, m.lang, cols, extent{proofs: proofs})...)
		var fresh screen
		if proofs == 1 || len(fresh.paint(m.framed(lines), cols)) <= firstBytes-askBytes {
			return lines
		}
	}
}

// view is the screen: as many lines as the terminal has rows, none wider than it.
func (m *model) view() []string { return m.framed(m.lines()) }

// lines is the body in lines that fit, also on a narrow terminal.
func (m *model) lines() (lines []string) {
	for _, l := range m.body() {
		if text.Width(l) <= m.cols {
			lines = append(lines, l)
			continue
		}
		lines = append(lines, text.Wrap(l, m.cols, 4)...)
	}
	return lines
}

// framed puts a page of the body between head and keys.
func (m *model) framed(body []string) []string {
	cols := m.cols
	lines := make([]string, m.rows)
	if m.gone != nil || !m.known || m.locked && m.hidden {
		lines[0] = "posdx"
	} else {
		lines[0] = text.Cut(Head(m.state, m.lang), cols)
	}
	pages := max(1, (len(body)+m.bodyRows()-1)/m.bodyRows())
	m.page = min(m.page, pages-1)
	copy(lines[2:2+m.bodyRows()], body[min(len(body), m.page*m.bodyRows()):])
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
	if len(note) == 0 && m.gone == nil && (m.screen == screenDevices || m.screen == screenHistory) {
		note = append(note, wordMove.In(m.lang))
	}
	lines[m.rows-2] = text.Cut(strings.Join(note, "   "), cols)
	keys := wordKeys
	switch {
	case m.screen == screenGuide && m.guide != nil && m.guide.Step != nil:
		keys = wordGuideKeys
	case m.locked:
		keys = wordLocked
	case m.screen == screenVerdict && m.gone == nil:
		keys = wordFirstKeys
	}
	lines[m.rows-1] = text.Cut(keys.In(m.lang), cols)
	return lines
}
