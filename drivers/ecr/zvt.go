package ecr

import (
	"fmt"

	"posdx/drivers/frame"
)

// zvt is the serial transport of the ZVT protocol (PA00P016, chapter 2): DLE STX, data with every DLE doubled, DLE ETX,
// and a CRC over the data and ETX, low byte first.
type zvt struct {
	answers bool // the terminal's side: only it refuses a command
	tags    *Tags
}

func (zvt) cut(b []byte) (int, []byte, verdict) {
	if b[0] != dle {
		return single(b[0])
	}
	if len(b) < 2 {
		return 0, nil, more
	}
	if b[1] != stx {
		return 1, nil, noise
	}
	var sum uint16
	for i := 2; i < len(b); i++ {
		if b[i] != dle {
			sum = frame.CRC16Reflected(sum, b[i])
			continue
		}
		if i++; i == len(b) {
			break
		}
		switch b[i] {
		case dle:
			sum = frame.CRC16Reflected(sum, dle)
		case etx:
			if len(b) < i+3 {
				return 0, nil, more
			}
			if sum = frame.CRC16Reflected(sum, etx); byte(sum) != b[i+1] || byte(sum>>8) != b[i+2] {
				return 1, nil, damaged
			}
			return i + 3, undouble(b[2 : i-1]), sound
		default:
			return 1, nil, noise
		}
	}
	return 0, nil, more
}

// undouble takes the second of two DLE out, in place.
func undouble(b []byte) []byte {
	n := 0
	for i := 0; i < len(b); i++ {
		b[n] = b[i]
		n++
		if b[i] == dle {
			i++
		}
	}
	return b[:n]
}

// Commands of ZVT (PA00P015 13.07, chapters 2 and 3), class and instruction.
const (
	zvtStatus     = 0x040F
	zvtCompletion = 0x060F
	zvtAbort      = 0x061E
)

// zvtSale tells whether a command of the register is for a card or an amount, so that a customer may stand there.
func zvtSale(command int) bool {
	switch command {
	case 0x0601, // authorisation
		0x0603,                         // account balance
		0x0604, 0x0605, 0x0609, 0x060A, // activate card, procurement, top-up, tax free
		0x060C,                         // book tip
		0x0621,                         // telephonic authorisation
		0x0622, 0x0623, 0x0624, 0x0625, // reservation, its partial reversal, booking and reversal
		0x0630, 0x0631, // reversal, refund
		0x06C0: // read card
		return true
	}
	return false
}

// zvtOther tells whether a command of the register is answered, as a sale is, and is none.
func zvtOther(command int) bool {
	switch command {
	case 0x0501, 0x0600, 0x0602, 0x0610, 0x0612, 0x0618, 0x061A, 0x061B, 0x0620, 0x0650, 0x0651, 0x0670, 0x0679, 0x0691,
		0x0693, 0x0695:
		return true
	}
	return false
}

// Answers that say that a command was not taken (chapter 1.3): the second byte, or the one behind an abort, says why.
const (
	zvtAnswer      = 0x84
	zvtAnswerAbort = 0x1E
)

// zvtHostCodes is the last of the codes that the authorising host gave: 01 to 99 in one byte (chapter 10).
const zvtHostCodes = 0x63

func (p zvt) read(b []byte) (Found, bool) {
	c := cursor{rest: b}
	command, size := c.take(2), c.take(1)
	if c.short {
		return Found{}, true // an answer of two bytes, 80 00
	}
	n := int(size[0])
	if n == 0xFF {
		long := c.take(2)
		if c.short {
			return Found{}, false
		}
		n = int(long[0]) | int(long[1])<<8
	}
	if n != len(c.rest) {
		return Found{}, false
	}
	name := int(command[0])<<8 | int(command[1])
	switch {
	case p.answers && command[0] == zvtAnswer && command[1] != 0:
		code := command[1]
		if code == zvtAnswerAbort && n > 0 {
			code = c.rest[0]
		}
		return Found{Kind: Refusal, Code: zvtCode(code), Scheme: schemeLocal, Origin: FromTerminal}, true // no host was asked
	case zvtSale(name):
		return Found{Kind: Start}, true
	case zvtOther(name):
		return Found{Kind: Other}, true
	}
	switch name {
	case zvtCompletion:
		return Found{Kind: End}, true
	case zvtAbort:
		if n == 0 {
			return Found{}, false
		}
		return zvtResult(Found{}, c.rest[0]), true
	case zvtStatus:
		return p.members(c)
	}
	return Found{}, true
}

func zvtResult(f Found, code byte) Found {
	f.Kind, f.Origin = Result, FromHost
	switch {
	case code == 0:
		f.Approved, f.Origin = true, ""
	case code <= zvtHostCodes:
		f.Code = fmt.Sprintf("%02d", code)
	default:
		f.Code, f.Scheme, f.Origin = zvtCode(code), schemeLocal, FromTerminal
	}
	return f
}

// zvtCode is how the tables write a code of the terminal's own list.
func zvtCode(code byte) string { return fmt.Sprintf("%s:0x%02X", ZVT, code) }

// members reads the bitmaps of a status information. Card number 22 and track 23 give the Card. All others without a
// case here, the other tracks and check number 3A among them, are skipped. A bitmap that is not in the table ends the
// reading; what was read before it counts.
func (p zvt) members(c cursor) (f Found, ok bool) {
	var code byte
	var card []byte
	seen := false
	for len(c.rest) > 0 && !c.short {
		id := c.take(1)[0]
		v, known := zvtMember(&c, id)
		if !known || c.short {
			break
		}
		switch id {
		case 0x27:
			code, seen = v[0], true
		case 0x0B:
			f.STAN = bcd(v, 6)
		case 0x29:
			f.Terminal = bcd(v, 8)
		case 0x22, 0x23:
			if card == nil {
				card = v
			}
		}
	}
	if c.short {
		return Found{}, false
	}
	if !seen {
		return Found{}, true
	}
	f.Card = p.tags.card(card, true)
	return zvtResult(f, code), true
}

// zvtMember takes one member's value. Fixed lengths are those of the protocol's list of bitmaps (chapter 6).
func zvtMember(c *cursor, id byte) (v []byte, known bool) {
	switch id {
	case 0x01, 0x02, 0x03, 0x05, 0x19, 0x27, 0x8A, 0x8C, 0xA0, 0xD0, 0xD2, 0xD3:
		return c.take(1), true
	case 0x0D, 0x0E, 0x17, 0x3A, 0x49, 0x87:
		return c.take(2), true
	case 0x0B, 0x0C, 0x37, 0x3D, 0x88, 0xAA:
		return c.take(3), true
	case 0x29:
		return c.take(4), true
	case 0xBA:
		return c.take(5), true
	case 0x04:
		return c.take(6), true
	case 0x3B:
		return c.take(8), true
	case 0x2A:
		return c.take(15), true
	case 0x06:
		return c.ber(), true
	case 0x22, 0x23, 0x2D, 0x8B, 0xA7, 0xD1:
		return c.counted(2), true
	case 0x24, 0x2E, 0x3C, 0x60, 0x92, 0x9A, 0xAF:
		return c.counted(3), true
	}
	return nil, false
}

// counted takes a length of n digits, each in the low half of a byte whose high half is F, and that many bytes.
func (c *cursor) counted(n int) []byte {
	size := 0
	for _, b := range c.take(n) {
		if b>>4 != 0xF || b&15 > 9 {
			c.short = true
			return nil
		}
		size = size*10 + int(b&15)
	}
	return c.take(size)
}
