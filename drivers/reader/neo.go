package reader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

// ID TECH's ViVOtech2 protocol, spoken by the NEO 2 and ViVOpay readers (NEO 2 Interface Developer's Guide 618786).

// NEO commands that are asked or heard here. All are queries; baud, poll mode and boot-loader commands are never sent.
const (
	NEOPing    = 0x18 // sub 01
	NEOVersion = 0x29 // sub 00
	NEOBooted  = 0x14 // sub 01, unasked: the reader has just started
	NEOState   = 0xC7 // sub 3A: what its self-check found; the guide's other C7 commands write and are never sent
)

// Sources of a self-check, each a byte of number, one of length and one of value (the guide, page 121; the first four
// as the maker's own test scripts have them). 0 is well, FE and FF are not checked.
const (
	neoBattery   = 0x10
	neoSwitches  = 0x11 // one bit for each tamper switch
	neoRemoval   = 0x14
	neoSourceEnd = 0x1F // 00 processor, 01 and 02 secure chips, 12 temperature, 13 voltage, 15 and 16 clock
)

// NEO status codes that say something about the reader (the guide's table of status codes).
const (
	NEOOk       = 0x00
	NEOInsecure = 0x12 // secure interface not functional
	NEOTamper   = 0x1D
)

const (
	neoHeader  = "ViVOtech2\x00"
	neoFixed   = len(neoHeader) + 4
	neoDataMax = 1024 // no answer that is asked for is longer; card answers are, and are skipped
	neoLimit   = 600 * time.Millisecond
	// neoStateMax is what a self-check's eleven sources take. Longer answers to C7 are other data.
	neoStateMax = 48
)

// A NEOMessage is one frame. In an answer Status stands where a command has its sub-command. Data is kept for versions
// only: all other answers may hold card data.
type NEOMessage struct {
	Command, Status byte
	Data            []byte
}

// NEOFrame appends a frame as the host sends it, or as the reader does: the two bytes of the check sum change places.
func NEOFrame(dst []byte, m NEOMessage, answer bool) []byte {
	start := len(dst)
	dst = append(dst, neoHeader...)
	dst = append(dst, m.Command, m.Status, byte(len(m.Data)>>8), byte(len(m.Data)))
	dst = append(dst, m.Data...)
	c := ccitt(dst[start:])
	if answer {
		return append(dst, byte(c>>8), byte(c))
	}
	return append(dst, byte(c), byte(c>>8))
}

// ccitt is CRC-CCITT, polynomial 1021, from FFFF, not reflected.
func ccitt(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, c := range b {
		sum = frame.CRC16(sum, c)
	}
	return sum
}

// A NEODecoder cuts a byte stream, in either direction, into frames. It holds at most one and wipes it when it is
// complete.
type NEODecoder struct {
	buf [neoFixed + neoDataMax + 2]byte
	n   int
	// Swapped counts frames whose check sum stood in the other order; the guide prints both for answers.
	Swapped uint64
}

// Pending reports whether a frame has begun and not ended.
func (d *NEODecoder) Pending() bool { return d.n > 0 }

// Reset forgets a frame that has begun.
func (d *NEODecoder) Reset() {
	clear(d.buf[:d.n])
	d.n = 0
}

// Push takes one byte. It returns true with what the byte completed: TokenMessage, TokenCRC or TokenGarbage.
func (d *NEODecoder) Push(c byte) (Token, NEOMessage, bool) {
	d.buf[d.n] = c
	d.n++
	if d.n <= len(neoHeader) {
		if c == neoHeader[d.n-1] {
			return 0, NEOMessage{}, false
		}
		// The header holds its own beginning: what follows ViV may be the rest of another ViVO.
		seen := string(d.buf[:d.n])
		for seen != "" && seen != neoHeader[:len(seen)] {
			seen = seen[1:]
		}
		d.Reset()
		d.n = copy(d.buf[:], seen)
		return TokenGarbage, NEOMessage{}, true
	}
	if d.n < neoFixed {
		return 0, NEOMessage{}, false
	}
	size := int(d.buf[neoFixed-2])<<8 | int(d.buf[neoFixed-1])
	if size > neoDataMax {
		d.Reset()
		return TokenGarbage, NEOMessage{}, true
	}
	if d.n < neoFixed+size+2 {
		return 0, NEOMessage{}, false
	}
	frame := d.buf[:neoFixed+size]
	sum := ccitt(frame)
	high, low := d.buf[d.n-2], d.buf[d.n-1]
	m := NEOMessage{Command: frame[len(neoHeader)], Status: frame[len(neoHeader)+1]}
	if m.Command == NEOVersion || m.Command == NEOState && size <= neoStateMax {
		m.Data = append([]byte(nil), frame[neoFixed:]...)
	}
	d.Reset()
	switch {
	case uint16(high)<<8|uint16(low) == sum:
		return TokenMessage, m, true
	case uint16(low)<<8|uint16(high) == sum:
		d.Swapped++
		return TokenMessage, m, true
	}
	return TokenCRC, NEOMessage{}, true
}

// AskNEO asks an ID TECH reader whether it is there and which firmware it runs. Report and errors are those of AskCCID;
// the slot stays unknown, because on some models the question has side effects.
func AskNEO(ctx context.Context, link serial.Link) (r Report, err error) {
	d := neoDialogue{Visit: frame.Visit{Link: link}}
	defer func() {
		d.Forget()
		r.Health = d.Health
		r.Health.Swapped = d.dec.Swapped
	}()
	if err := d.Begin(); err != nil {
		return r, err
	}
	yes := false
	for _, ask := range []NEOMessage{{Command: NEOPing, Status: 0x01}, {Command: NEOVersion},
		{Command: NEOState, Status: 0x3A}} {
		m, err := d.ask(ctx, ask)
		if ask.Command == NEOState && errors.Is(err, serial.ErrIdle) {
			break // older firmware does not know the question
		}
		if err != nil {
			return r, err
		}
		switch m.Status {
		case NEOTamper:
			r.Tamper, r.Fault = true, fmt.Sprintf("%02X", m.Status)
		case NEOInsecure:
			r.Fault = fmt.Sprintf("%02X", m.Status)
		}
		yes = yes || m.Status == NEOOk
		switch {
		case m.Status != NEOOk:
		case m.Command == NEOState:
			r.selfCheck(m.Data)
		case len(m.Data) > 0:
			r.Model, r.Firmware = modelOf(m.Data)
		}
	}
	r.Refused = !yes && r.Fault == "" && r.Note == ""
	return r, nil
}

// selfCheck reads what a reader's self-check found, source by source. What is not of the known form says nothing.
func (r *Report) selfCheck(b []byte) {
	if len(b) == 0 || len(b)%3 != 0 {
		return
	}
	for i := 0; i < len(b); i += 3 {
		if b[i] > neoSourceEnd || b[i+1] != 1 {
			return
		}
	}
	for ; len(b) > 0; b = b[3:] {
		source, value := b[0], b[2]
		if value >= 0xFE {
			continue // not checked
		}
		if r.Tested = true; value == 0 {
			continue
		}
		code := fmt.Sprintf("%02X:%02X", source, value)
		switch source {
		case neoSwitches, neoRemoval:
			r.Tamper, r.Fault = true, code
		case neoBattery:
			r.Note = code
		default:
			if !r.Tamper {
				r.Fault = code
			}
		}
	}
}

type neoDialogue struct {
	frame.Visit
	dec NEODecoder
}

func (d *neoDialogue) ask(ctx context.Context, m NEOMessage) (a NEOMessage, err error) {
	err = d.Twice(ctx, fmt.Sprintf("reader %02X", m.Command), func() (err error) { a, err = d.once(ctx, m); return err })
	return a, err
}

func (d *neoDialogue) once(ctx context.Context, m NEOMessage) (NEOMessage, error) {
	d.dec.Reset()
	stop, err := d.Say(ctx, neoLimit, NEOFrame(nil, m, false))
	if err != nil {
		return NEOMessage{}, err
	}
	defer stop()
	for {
		c, err := d.Next(ctx, d.dec.Pending())
		if err != nil {
			return NEOMessage{}, err
		}
		t, a, ok := d.dec.Push(c)
		switch {
		case !ok:
		case t == TokenCRC:
			d.Health.CRC++
		case t == TokenGarbage:
			d.Health.Garbage++
		case a.Command == m.Command:
			return a, nil
		case a.Command == NEOBooted:
			d.Health.Resets++
		default:
			d.Health.Stray++
		}
	}
}
