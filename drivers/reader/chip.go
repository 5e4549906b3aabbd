package reader

import (
	"posdx/drivers/frame"
)

// stepOf tells what a card is asked for by the instruction byte of its command (EMV book 3, table 9; ISO/IEC 7816-4).
// The command stands alone (T=0) or in a block (T=1, ISO/IEC 7816-3 11.3: NAD PCB LEN, INF, and an exclusive-or of
// all).
func stepOf(b []byte) Step {
	if len(b) >= 4 && int(b[2]) == len(b)-4 && frame.XOR(0, b) == 0 {
		if b[1]&0x80 != 0 || b[2] < 4 { // a block that carries no command, or the rest of one
			return StepOther
		}
		b = b[3:]
	}
	if len(b) < 4 {
		return StepOther
	}
	switch b[1] {
	case 0xA4:
		return StepSelect
	case 0xA8:
		return StepStart
	case 0xB2, 0xCA:
		return StepRead
	case 0x20, 0x82, 0x84, 0x88:
		return StepVerify
	case 0xAE:
		return StepCryptogram
	}
	return StepOther
}

const moreTime = 0x80 // in bStatus: the card needs more time, the answer is still to come

// A ChipWatch finds the insertions of cards in the CCID messages that pass between a payment application and a reader.
// It needs both directions; a reader that echoes sends both by itself. The zero value is ready.
type ChipWatch struct {
	asked   Message
	waiting bool
	open    bool // a card is being spoken to
	reached Steps
	broken  Steps
	same    bool // it is the card of the attempt before
	tells   bool // this line tells when a card leaves
}

// Command takes a message of the host, or its echo.
func (w *ChipWatch) Command(m Message) (a Attempt, ended bool) {
	// Drivers power a card up to see what it is, and down and up again before it is used. Only a card that was asked for
	// something, or did not answer, has been tried.
	tried := w.open && (w.broken != 0 || w.reached != Steps(0).with(StepPowerOn))
	switch {
	case m.Type == PowerOn && tried: // no power-off in between: the card is reset, not changed
		a, ended = w.End()
		w.same = true
	case m.Type == PowerOff && tried:
		a, ended = w.End()
		w.same = w.tells
	}
	w.asked, w.waiting = m, m.Type == PowerOn || m.Type == Transfer
	return a, ended
}

// Answer takes a message of the reader.
func (w *ChipWatch) Answer(m Message) (Attempt, bool) {
	if m.Param[0]&statusMask == 2 {
		w.waiting = false
		return w.Out()
	}
	if !w.waiting || m.Seq != w.asked.Seq || m.Param[0]&0xC0 == moreTime {
		return Attempt{}, false
	}
	w.waiting = false
	step := StepPowerOn
	if w.asked.Type == Transfer {
		step = w.asked.Step
	}
	w.open = true
	w.reached = w.reached.with(step)
	if m.Param[0]&failed != 0 && contact(m.Param[1]) {
		w.broken = w.broken.with(step)
	}
	return Attempt{}, false
}

// contact says that an error is one of the contact or the card, not of the command (USB CCID rev 1.1, table 6.2-2).
func contact(code byte) bool {
	switch code {
	case ErrorMute, ErrorParity, ErrorOverrun, ErrorHardware, 0xF8, 0xF7, 0xF6:
		return true
	}
	return false
}

// Open reports whether a dialogue with a card is going on.
func (w *ChipWatch) Open() bool { return w.open }

// Out takes the notice that the card was removed.
func (w *ChipWatch) Out() (Attempt, bool) {
	a, ended := w.End()
	w.same, w.tells = false, true
	return a, ended
}

// End ends an attempt, if there is one, and tells how it went.
func (w *ChipWatch) End() (Attempt, bool) {
	a := Attempt{Head: HeadChip, OK: w.broken == 0, Same: w.same, Reached: w.reached, Broken: w.broken}
	was := w.open
	w.open, w.waiting, w.reached, w.broken = false, false, 0, 0
	if was {
		w.same = false
	}
	return a, was
}
