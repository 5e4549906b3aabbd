package reader

import (
	"encoding/binary"

	"posdx/drivers/frame"
)

// CCID over serial, as GemPC Twin, GemCore POS Pro and SEC1210 speak it: the messages of USB CCID rev 1.1 between
// 03 06 and an exclusive-or of all bytes before it. The frame is that of libccid's ccid_serial.c.

// Message types of USB CCID rev 1.1, table 6.1-1 and 6.2-1, as far as they are asked or answered here.
const (
	PowerOn       = 0x62 // resets the card: never sent
	PowerOff      = 0x63 // never sent
	GetSlotStatus = 0x65
	Escape        = 0x6B
	Transfer      = 0x6F // card data: never sent
	DataBlock     = 0x80 // card data: its bytes are dropped in the decoder
	SlotStatus    = 0x81
	EscapeAnswer  = 0x83
)

// Error codes of a failed command (USB CCID rev 1.1, table 6.2-2).
const (
	ErrorMute     = 0xFE // the card does not answer
	ErrorParity   = 0xFD // parity error between reader and card
	ErrorOverrun  = 0xFC // overrun between reader and card
	ErrorHardware = 0xFB // of the reader
	ErrorSlotBusy = 0xE0 // a command for the slot is running
)

const (
	ccidHeader  = 10
	ccidDataMax = 261 // dwMaxCCIDMessageLength 271 less the header
	failed      = 0x40
	statusMask  = 0x03
)

// A Message is one CCID message. Data is kept for Escape and its answer only: those of all others may hold card data.
type Message struct {
	Type  byte
	Slot  byte
	Seq   byte
	Param [3]byte // in an answer: bStatus, bError and one of the type's own
	Data  []byte
	Step  Step // of a Transfer: what the card is asked for, all that is kept of it
}

// Answer reports whether the message goes from reader to host.
func (m Message) Answer() bool { return m.Type&0x80 != 0 }

// Frame appends a message as it goes over the line.
func Frame(dst []byte, m Message) []byte {
	start := len(dst)
	dst = append(dst, 0x03, 0x06, m.Type)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(m.Data)))
	dst = append(dst, m.Slot, m.Seq, m.Param[0], m.Param[1], m.Param[2])
	dst = append(dst, m.Data...)
	return append(dst, frame.XOR(0, dst[start:]))
}

// Frames that are no messages.
const (
	NAKFrame    = "\x03\x15\x16"
	CardAbsent  = "\x50\x02"
	CardPresent = "\x50\x03"
)

// A Token is what a Decoder found on the line.
type Token byte

// The things on a line.
const (
	TokenMessage Token = iota
	TokenNAK
	TokenIn      // a card was put in
	TokenOut     // a card was taken out
	TokenMore    // a byte of 80 and above: the card needs more time
	TokenCRC     // a frame whose check sum is wrong
	TokenGarbage // a byte that belongs to nothing
)

// A Decoder cuts a byte stream, in either direction, into frames. It holds at most one frame and wipes it when it is
// complete.
type Decoder struct {
	buf [2 + ccidHeader + ccidDataMax + 1]byte
	n   int
}

// Pending reports whether a frame has begun and not ended.
func (d *Decoder) Pending() bool { return d.n > 0 }

// Reset forgets a frame that has begun.
func (d *Decoder) Reset() {
	clear(d.buf[:d.n])
	d.n = 0
}

// Push takes one byte. It returns true with what the byte completed. A message's data is valid until the next Push.
func (d *Decoder) Push(c byte) (Token, Message, bool) {
	d.buf[d.n] = c
	d.n++
	switch lead := d.buf[0]; {
	case d.n == 1:
		switch {
		case c == 0x03 || c == 0x50:
			return 0, Message{}, false
		case c >= 0x80:
			return d.end(TokenMore)
		}
		return d.end(TokenGarbage)
	case lead == 0x50:
		switch c {
		case 0x02:
			return d.end(TokenOut)
		case 0x03:
			return d.end(TokenIn)
		}
		return d.again(c)
	case d.n == 2:
		if c != 0x06 && c != 0x15 {
			return d.again(c)
		}
		return 0, Message{}, false
	case d.buf[1] == 0x15:
		if c != 0x16 {
			return d.again(c)
		}
		return d.end(TokenNAK)
	}
	if d.n < 2+ccidHeader {
		return 0, Message{}, false
	}
	size := binary.LittleEndian.Uint32(d.buf[3:])
	if size > ccidDataMax {
		return d.end(TokenGarbage)
	}
	if d.n < 2+ccidHeader+int(size)+1 {
		return 0, Message{}, false
	}
	return d.message(int(size))
}

func (d *Decoder) end(t Token) (Token, Message, bool) {
	d.Reset()
	return t, Message{}, true
}

// again gives up the frame that had begun and looks at its last byte as the start of another.
func (d *Decoder) again(c byte) (Token, Message, bool) {
	d.Reset()
	if c == 0x03 || c == 0x50 {
		d.buf[0], d.n = c, 1
	}
	return TokenGarbage, Message{}, true
}

func (d *Decoder) message(size int) (Token, Message, bool) {
	whole := d.buf[:d.n]
	good := frame.XOR(0, whole) == 0
	var m Message
	if good {
		m = Message{Type: whole[2], Slot: whole[7], Seq: whole[8], Param: [3]byte(whole[9:12])}
		if m.Type == Escape || m.Type == EscapeAnswer {
			m.Data = append([]byte(nil), whole[12:12+size]...)
		}
		if m.Type == Transfer {
			m.Step = stepOf(whole[12 : 12+size])
		}
	}
	d.Reset()
	if !good {
		return TokenCRC, Message{}, true
	}
	return TokenMessage, m, true
}

// mute tells whether a card is there and does not answer. Some readers call an empty slot mute (USB CCID rev 1.1,
// 6.1.7).
func mute(m Message) bool {
	return m.Param[0]&failed != 0 && m.Param[1] == ErrorMute && m.Param[0]&statusMask != 2
}

// slot reads bStatus and bError.
func slot(m Message) Slot {
	if mute(m) {
		return SlotMute
	}
	if m.Param[0]&failed != 0 && !contact(m.Param[1]) && m.Param[1] != ErrorSlotBusy {
		return SlotUnknown // a refusal says nothing of the slot
	}
	switch m.Param[0] & statusMask {
	case 0:
		return SlotActive
	case 1:
		return SlotPresent
	case 2:
		return SlotAbsent
	}
	return SlotUnknown
}
