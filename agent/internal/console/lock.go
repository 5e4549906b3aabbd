package console

import (
	"fmt"
	"strings"
	"time"

	"posdx/agent/internal/sshsig"
	"posdx/agent/internal/text"
)

// lockState is how much is shown before the PIN was given or the challenge signed.
type lockState struct {
	locked    bool   // nothing but the verdict
	hidden    bool   // and that neither, while it is locked
	pin, key  bool   // which of the two open it
	challenge string // to be signed; empty until the screen that shows it was opened
	signature string // as far as it was pasted
}

// lockedKeys are those that do what they always do while the console is locked; any other asks for PIN or signature.
const lockedKeys = "lrnpq"

const (
	maxSignature = 4096 // bytes; one by Ed25519 has some 300
	maxArmour    = 80   // characters of a line of it; ssh-keygen writes 70
	armourDigits = 12   // in a row: one more is a card (ISO/IEC 7812-1), by chance in one signature of 10^8
)

// pressLocked asks for PIN or signature, whose first character this key may be.
func (m *model) pressLocked(r rune) (a action, taken bool) {
	if !m.locked || strings.ContainsRune(lockedKeys, r) || r == keyCancel || r == keyEsc {
		return action{}, false
	}
	m.show(screenPIN)
	if m.pin && r >= '0' && r <= '9' || m.key && r == '-' {
		m.entry = string(r)
	}
	if m.key {
		a.kind = actChallenge
	}
	return a, true
}

func (m *model) pinLines() (lines []string) {
	add := func(s string, indent int) { lines = append(lines, text.Wrap(s, m.cols, indent)...) }
	if m.pin {
		add(wordPIN.In(m.lang), 0)
	}
	if m.key {
		if m.pin {
			add(wordOrSign.In(m.lang), 0)
		} else {
			add(wordSign.In(m.lang), 0)
		}
		lines = append(lines, "")
		add("  echo "+m.challenge+" |", 4)
		add("    ssh-keygen -Y sign -n "+namespace+" -f ~/.ssh/id_ed25519", 4)
	}
	return append(lines, "", "  > "+m.typed())
}

// typed is what is shown of a line that is typed.
func (m *model) typed() string {
	switch {
	case m.screen != screenPIN:
		return m.entry
	case m.signature != "":
		return fmt.Sprintf(wordSigLines.In(m.lang), strings.Count(m.signature, "\n"))
	}
	return strings.Repeat("*", len(m.entry))
}

// pasted takes a key of a signature: the end of its first line, and all that comes after it, however many lines.
func (m *model) pasted(k key) (a action, taken bool) {
	if m.screen != screenPIN || !m.key || m.card {
		return action{}, false
	}
	line := strings.TrimSpace(m.entry)
	switch {
	case m.signature == "":
		if k.r != keyEnter || !strings.HasSuffix(line, sshsig.Begin) { // before it may stand what was typed already
			return action{}, false
		}
		m.signature, m.entry = sshsig.Begin+"\n", ""
	case k.r == keyCancel, k.r == keyEsc, k.r == keyClear:
		m.signature, m.entry = "", ""
	case k.r == keyEnter:
		if len(m.signature) < maxSignature {
			m.signature += line + "\n"
		}
		if m.entry = ""; line == sshsig.End {
			whole := m.signature
			m.show(screenVerdict)
			return action{kind: actVerify, code: whole}, true
		}
	case k.r == keyBackspace:
		m.entry = m.entry[:max(0, len(m.entry)-1)]
	case k.r >= '0' && k.r <= '9' && digitsAtEnd(m.entry) == armourDigits:
		m.signature, m.entry, m.card, m.note = "", "", true, wordNoCard.In(m.lang) // swiped into the paste
	case k.r >= 0x20 && k.r < 0x7f && len(m.entry) < maxArmour:
		m.entry += string(k.r)
	}
	return action{}, true
}

func digitsAtEnd(s string) int { return len(s) - len(strings.TrimRight(s, "0123456789")) }

func (m *model) pinEntered(pin string) action {
	if m.entry = ""; !m.pin {
		m.note = wordKeyOnly.In(m.lang)
		return action{}
	}
	if len(pin) > maxPIN {
		m.note = wordPINWrong.In(m.lang) // what else was pasted here
		return action{}
	}
	m.show(screenVerdict)
	return action{kind: actUnlock, code: pin}
}

// unlocked takes what became of a PIN or a signature.
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
