package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"posdx/agent/internal/say"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// The size of a screen that does not say how large it is. The last column stays empty: a terminal that wraps there
// would scroll.
const (
	rows  = 24
	cols  = 79
	frame = 4 // rows of every screen: head, empty line, message, keys
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
	screenPath    = '8' // to the host, hop by hop
	screenFind    = '/' // a code in the history
	screenPast    = 'o' // one of the history
	screenDetails = 'd'
	screenFacts   = 'f' // of one device
	screenPIN     = 'u'
	screenTry     = 't' // of the reader, with any card
)

// menu are the keys that lead to a screen from anywhere but a screen that takes the key for itself.
const menu = string(screenVerdict) + string(screenDevices) + string(screenCheck) + string(screenEnter) +
	string(screenLookup) + string(screenHandoff) + string(screenHistory) + string(screenPath) + string(screenHelp) +
	string(screenGuide) + string(screenLedger) + string(screenDetails) + string(screenTry)

// withoutDaemon are the screens that need no daemon: what they show stands in files, or in the program.
const withoutDaemon = string(screenLookup) + string(screenHelp) + string(screenPIN) + string(screenHistory) +
	string(screenFind) + string(screenPast)

// model is what the console shows: values in, lines out. It does no I/O. What one screen alone knows is declared beside
// that screen.
type model struct {
	lang       string
	narrow     bool // the terminal does not count Chinese as it is wide
	know       *codes.Knowledge
	contacts   Contacts // whom to call
	rows, cols int      // of the terminal, as far as they are made use of
	tiny       bool     // it is smaller than anything can be shown in

	state     report.State
	known     bool              // a state has come, or why there is none
	gone      error             // why there is none
	diagnosis *report.Diagnosis // a newer one than the state's
	busy      bool              // what takes time is running
	note      string            // said at the foot until the next key

	screen rune
	page   int // of the screen, where it is longer than the terminal
	at     int // the line chosen on a screen of choices
	looks  int // at what is watched, since the screen was opened
	lockState
	entryState
	lookupState
	checkState
	historyState
	detailState
	guideState
	try exercise
}

// content is what a screen shows, and what it does that no other does.
type content struct {
	lines   func(*model) []string                     // all of it, however long
	opened  func(*model) action                       // when a key of the menu leads here
	press   func(*model, rune) (a action, taken bool) // the keys that it takes for itself
	entered func(m *model, line string) action        // a line is typed here, and this is what becomes of it
	watch   func(look int) []string                   // the checks made again and again while it is looked at
	back    rune                                      // where Esc leads; 0: to the verdict
	keys    codes.Text                                // its last line; empty: that of most screens
	hint    codes.Text                                // said at the foot where nothing else is
}

// content is that of the screen which is shown.
func (m *model) content() content {
	switch m.screen {
	case screenDevices:
		c := content{lines: (*model).deviceLines, opened: refreshed, press: (*model).pressDevices}
		if len(m.state.Evidence) > 0 {
			c.hint = wordMove
		}
		return c
	case screenFacts:
		from := screenDevices
		if m.results != nil {
			from = screenCheck
		}
		return content{lines: (*model).factLines, back: from}
	case screenCheck:
		c := content{lines: (*model).checkLines, press: (*model).pressCheck}
		if m.results != nil {
			c.hint = wordMove
		}
		return c
	case screenOne:
		return content{lines: (*model).oneLines, entered: (*model).checkOne, back: screenCheck}
	case screenEnter:
		return content{lines: func(m *model) []string { return m.prompt(wordEnter) }, entered: (*model).diagnoseEntered}
	case screenLookup:
		return m.lookupContent()
	case screenHandoff:
		return content{lines: func(m *model) []string { return handoff(m.last(), m.lang, m.cols) }, opened: refreshed}
	case screenPath:
		return content{lines: (*model).pathLines, opened: refreshed, press: (*model).pressPath, hint: wordCheckPath}
	case screenHistory:
		c := content{lines: (*model).historyLines, opened: (*model).openHistory, press: (*model).pressHistory}
		if len(m.history()) > 0 {
			c.hint = wordMove
		}
		return c
	case screenFind:
		return content{lines: func(m *model) []string { return m.prompt(wordFind) }, entered: (*model).findEntered,
			back: screenHistory}
	case screenPast:
		return content{lines: (*model).pastLines, press: (*model).pressPast, back: screenHistory, hint: wordAgain}
	case screenDetails:
		return content{lines: (*model).detailLines, opened: refreshed}
	case screenLedger:
		return content{lines: (*model).ledgerLines, opened: (*model).openLedger}
	case screenGuide:
		return m.guideContent()
	case screenTry:
		return m.tryContent()
	case screenHelp:
		return content{lines: (*model).helpLines}
	case screenPIN:
		return content{lines: (*model).pinLines, entered: (*model).pinEntered}
	}
	verdict := content{lines: (*model).verdictLines, opened: refreshed}
	if m.gone == nil {
		verdict.keys = wordFirstKeys
	}
	return verdict
}

// refreshed asks for the newest state.
func refreshed(*model) action { return action{kind: actRefresh} }

// emptyModel is a console that knows nothing yet, of the usual size.
func emptyModel(lang string, k *codes.Knowledge, to Contacts) model {
	return model{lang: lang, know: k, screen: screenVerdict, rows: rows, cols: cols, contacts: to}
}

// resize takes the size that a terminal says it has.
func (m *model) resize(r, c int) {
	m.rows, m.cols = min(max(r, minRows), maxRows), min(max(c-1, minCols), maxCols)
	m.tiny = r < minRows || c <= minCols
}

func (m *model) bodyRows() int { return m.rows - frame }

// An action is what the console's loop has to do after a key: at least paint.
type action struct {
	kind  actionKind
	names []string // of the checks to be made
	code  string   // to be diagnosed, or the PIN or signature
}

type actionKind byte

const (
	actNothing actionKind = iota // but paint
	actLeave
	actRefresh
	actRepaint // and find out again what the terminal is
	actCheck
	actDiagnose
	actHistory // read what is kept
	actWatch   // look at what is watched
	actUnlock
	actChallenge // show one, unless one is shown
	actVerify    // the signature of it
	actSend      // the bundle
)

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

// press takes a key.
func (m *model) press(k key) action {
	m.note = ""
	if k.r == keyRepaint {
		return action{kind: actRepaint}
	}
	if m.entering() {
		return m.enter(k)
	}
	r := k.r
	if r >= 'A' && r <= 'Z' {
		r += 'a' - 'A'
	}
	if a, taken := m.pressLocked(r); taken {
		return a
	}
	if press := m.content().press; press != nil {
		if a, taken := press(m, r); taken {
			return a
		}
	}
	if r == 'h' {
		r = screenHelp
	}
	switch {
	case strings.ContainsRune(menu, r):
		m.show(r)
		if opened := m.content().opened; opened != nil {
			return opened(m)
		}
		return action{}
	case m.turn(r):
		return action{}
	}
	switch r {
	case keyEsc:
		if m.screen == screenVerdict {
			m.useless("Esc")
			return action{}
		}
		m.back()
	case 'l':
		m.otherLanguage()
	case 'z':
		return action{kind: actSend}
	case 'r':
		return action{kind: actRefresh}
	case 'q', keyCancel:
		return action{kind: actLeave}
	case keyEnter:
		m.useless(wordEnterKey.In(m.lang))
	default:
		name := wordOther.In(m.lang)
		if k.r > ' ' && k.r < 0x7f {
			name = codes.Text{ZH: string(k.r) + " ", EN: string(k.r)}.In(m.lang)
		}
		m.useless(name)
	}
	return action{}
}

// useless says that a key does nothing on this screen, and where those are that do.
func (m *model) useless(name string) { m.note = fmt.Sprintf(wordNoKey.In(m.lang), name) }

// turn turns the pages of a long screen, and says where there is none to turn to.
func (m *model) turn(r rune) (taken bool) {
	last := m.pagesOf(m.lines()) - 1
	was := min(m.page, last)
	switch r {
	case 'n', ' ', keyPageDown, keyDown:
		m.page = min(was+1, last)
	case 'p', '-', keyPageUp, keyUp:
		m.page = max(0, was-1)
	case keyHome:
		m.page = 0
	case keyEnd:
		m.page = last
	default:
		return false
	}
	switch {
	case m.page != was:
	case last == 0:
		m.note = wordOnlyPage.In(m.lang)
	case m.page == 0:
		m.note = wordFirstPage.In(m.lang)
	default:
		m.note = wordLastPage.In(m.lang)
	}
	return true
}

func (m *model) pagesOf(body []string) int { return max(1, (len(body)+m.bodyRows()-1)/m.bodyRows()) }

func (m *model) otherLanguage() {
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
	if m.screen == screenLedger {
		m.openLedger()
	}
}

// back goes to where the person came from, on the line that was chosen there.
func (m *model) back() { m.showAt(cmp.Or(m.content().back, screenVerdict), m.at) }

// move moves the choice among n lines.
func (m *model) move(r rune, n int) (taken bool) {
	was := m.at
	switch {
	case n == 0:
		return false
	case r == keyUp || r == 'k':
		m.at = max(0, m.at-1)
	case r == keyDown || r == 'j':
		m.at = min(n-1, m.at+1)
	default:
		return false
	}
	if m.page = m.pageOf(); m.at == was {
		m.note = wordFirstLine.In(m.lang)
		if was > 0 {
			m.note = wordLastLine.In(m.lang)
		}
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

func (m *model) show(screen rune) { m.showAt(screen, 0) }

// showAt shows a screen from its first page on, with a line chosen. State that the screen before needed only while it
// was shown is dropped.
func (m *model) showAt(screen rune, at int) {
	if screen != screenFacts && (screen != screenCheck || m.screen != screenFacts) {
		m.results = nil
	}
	m.screen, m.page, m.at, m.looks = screen, 0, at, 0
	m.entry, m.looked, m.signature, m.ledger = "", "", "", nil
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

// Things that happened outside.

func (m *model) gotState(s report.State) {
	m.state, m.known, m.gone = s, true, nil
	m.rebase()
	m.try.see(s.Evidence)
	m.seen(s.Evidence)
}

// watching are the checks to be made again and again while this screen is looked at.
func (m *model) watching() []string {
	if watch := m.content().watch; watch != nil {
		return watch(m.looks)
	}
	return nil
}

// watches reports whether this look or one soon after it has something to look at.
func (m *model) watches() bool {
	watch := m.content().watch
	for i := range portsEvery {
		if watch != nil && len(watch(m.looks+i)) > 0 {
			return true
		}
	}
	return false
}

// gotWatched takes what these checks found.
func (m *model) gotWatched(list []report.Evidence) {
	m.try.looks++
	m.try.see(list)
	m.seen(list)
}

func (m *model) gotDiagnosis(d report.Diagnosis) {
	m.diagnosis = &d
	m.rebase()
}

func (m *model) gotResults(list []report.Evidence) {
	m.busy = false
	switch {
	case m.checking != "":
		m.gotStep(list)
	case m.screen == screenCheck:
		m.gotChecked(list)
	case m.screen == screenPath:
		m.renew(list)
	}
}

func (m *model) failed(err error) {
	m.busy, m.checking = false, ""
	m.note = text.Clean(say.Error(err, m.lang))
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
	if m.gone != nil && !strings.ContainsRune(withoutDaemon, m.screen) {
		return gone(m.gone, m.lang, cols)
	}
	return m.content().lines(m)
}

// view is the screen: as many lines as the terminal has rows, none wider than it. One that is too small for that is
// told so in its first row.
func (m *model) view() []string {
	if m.tiny {
		return []string{wordTiny.In(m.lang)}
	}
	return m.framed(m.lines())
}

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
	pages := m.pagesOf(body)
	m.page = min(m.page, pages-1)
	copy(lines[2:2+m.bodyRows()], body[min(len(body), m.page*m.bodyRows()):])
	var note []string
	if m.note != "" {
		note = append(note, m.note)
	}
	if m.busy {
		note = append(note, wordBusy.In(m.lang))
	}
	switch {
	case pages > 1 && len(note) == 0:
		note = append(note, fmt.Sprintf(wordPage.In(m.lang), m.page+1, pages))
	case pages > 1:
		note = append(note, fmt.Sprintf("%d/%d", m.page+1, pages))
	}
	shown := m.content()
	if hint := shown.hint.In(m.lang); len(note) == 0 && m.gone == nil && hint != "" {
		note = append(note, hint)
	}
	foot := strings.Join(note, "   ")
	for len(note) > 1 && text.Width(foot) > cols { // what a key did comes first
		note = note[:len(note)-1]
		foot = strings.Join(note, "   ")
	}
	// One that is too long for a row takes those above that the page has left empty.
	told := text.Wrap(foot, cols, 0)
	taken := func(line string) bool { return line != "" }
	if n := len(told); n > m.bodyRows() || n > 1 && slices.ContainsFunc(lines[m.rows-1-n:m.rows-2], taken) {
		told = []string{text.Cut(foot, cols)}
	}
	copy(lines[m.rows-1-len(told):], told)
	keys := wordKeys
	switch {
	case m.entering():
		keys = wordEntryKeys
	case m.locked:
		keys = wordLocked
	case shown.keys != codes.Text{}:
		keys = shown.keys
	}
	lines[m.rows-1] = fit(keys.In(m.lang), cols)
	return lines
}

// fit leaves keys out at the end of a line that is too narrow for them, but for the one that leads to all others.
func fit(keys string, cols int) string {
	if text.Width(keys) <= cols {
		return keys
	}
	help, words := "", strings.Fields(keys)
	leadsOn := func(word string) bool { return word[0] == screenHelp }
	if i := slices.IndexFunc(words, leadsOn); i >= 0 {
		help = " " + words[i]
		words = slices.Delete(words, i, i+1)
	}
	line := words[0]
	for _, w := range words[1:] {
		if text.Width(line+" "+w+help) > cols {
			break
		}
		line += " " + w
	}
	return text.Cut(line+help, cols)
}
