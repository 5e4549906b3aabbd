package console

import (
	"fmt"
	"strings"
	"time"
)

// lockState is how much is shown before the PIN was given.
type lockState struct {
	locked bool // nothing but the verdict
	hidden bool // and that neither, while it is locked
}

// lockedKeys are those that do what they always do while the console is locked; any other asks for the PIN.
const lockedKeys = "lrnpq"

// pressLocked asks for the PIN, whose first digit this key may be.
func (m *model) pressLocked(r rune) (taken bool) {
	if !m.locked || strings.ContainsRune(lockedKeys, r) || r == keyCancel || r == keyEsc {
		return false
	}
	m.show(screenPIN)
	if r >= '0' && r <= '9' {
		m.entry = string(r)
	}
	return true
}

func (m *model) pinLines() []string {
	return []string{wordPIN.In(m.lang), "", "  > " + strings.Repeat("*", len(m.entry))}
}

func (m *model) pinEntered(pin string) action {
	m.show(screenVerdict)
	return action{kind: actUnlock, code: pin}
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
