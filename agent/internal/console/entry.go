package console

import (
	"fmt"
	"strings"

	"posdx/agent/internal/text"
	"posdx/codes"
)

const (
	// maxEntry is how long a typed line may become.
	maxEntry = 64
	// codeDigits is the most digits a code has: an entry never holds as many as tell a card.
	codeDigits = 8
)

// entryState is the line that is typed on a screen that asks for one.
type entryState struct {
	entry string
	card  bool // what is typed is a card: nothing of it is taken until it ends
}

func (m *model) entering() bool { return m.content().entered != nil }

// prompt is the screen of a line that is typed.
func (m *model) prompt(what codes.Text) []string {
	return []string{what.In(m.lang), "", "  > " + m.typed()}
}

// enter takes a key while a line is typed.
func (m *model) enter(k key) action {
	if a, taken := m.pasted(k); taken {
		return a
	}
	if k.r == keyEnter || k.r == keyCancel || k.r == keyClear || k.r == keyEsc {
		ended := m.card
		if m.card = false; ended {
			m.note = wordNoCard.In(m.lang) // whoever typed on to Enter is still told
			return action{}
		}
	}
	switch {
	case m.card:
		m.note = wordNoCard.In(m.lang)
	case k.r == keyEnter && strings.TrimSpace(m.entry) == "", k.r == keyCancel, k.r == keyEsc:
		m.back()
	case k.r == keyEnter:
		return m.content().entered(m, m.entry)
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

func digits(s string) (n int) {
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

// diagnoseEntered has the typed code diagnosed and shows the verdict that is to come.
func (m *model) diagnoseEntered(code string) action {
	a := m.start(action{kind: actDiagnose, code: strings.TrimSpace(code)})
	if a.kind != 0 {
		m.show(screenVerdict)
	}
	return a
}

// lookupState is what the screen that looks a code up knows.
type lookupState struct {
	looked string // the code; empty while it is typed
}

func (m *model) lookupContent() content {
	if m.looked != "" {
		return content{lines: func(m *model) []string { return Meanings(m.know, m.looked, m.lang, m.cols) }}
	}
	return content{
		lines: func(m *model) []string { return m.prompt(wordLook) },
		entered: func(m *model, code string) action {
			m.looked = strings.TrimSpace(code)
			return action{}
		},
	}
}

// Meanings lays out what the tables say about a code.
func Meanings(k *codes.Knowledge, code, lang string, cols int) (lines []string) {
	all := k.All(code)
	if len(all) == 0 {
		return []string{text.Clean(fmt.Sprintf(wordNoneOf.In(lang), code))}
	}
	for _, m := range all {
		meaning := m.Text.In(lang)
		if m.Class != "" {
			meaning += bracketed(word("class", m.Class, lang), lang)
		}
		if m.Disputed {
			meaning += bracketed(word("reading", "disputed", lang), lang)
		}
		head := text.Pad(text.Clean(m.Scheme), 19) + " " + text.Pad(text.Clean(m.Code), 8)
		lines = append(lines, text.Wrap(head+" "+text.Clean(meaning), cols, 29)...)
	}
	return lines
}
