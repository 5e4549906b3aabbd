package reader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

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

// Sources of a self-check, each a byte of number, one of length and one of value (the guide, page 121; the first four as the
// maker's own test scripts have them). 0 is well, FE and FF are not checked.
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
// only: all other answers may carry a card's.
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
	c := uint16(0xFFFF)
	for _, x := range b {
		c ^= uint16(x) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
	}
	return c
}

// A NEODecoder cuts a byte stream, in either direction, into frames. It holds at most one and forgets it at once.
type NEODecoder struct {
	buf [neoFixed + neoDataMax + 2]byte
	n   int
	// Swapped counts frames whose check sum stood in the other order; the guide prints both for answers.
	Swapped uint64
}

// Pending says that a frame has begun and not ended.
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

// AskNEO asks an ID TECH reader whether it is there and which firmware it runs. Report and errors are as AskCCID's; the slot
// stays unknown, because asking for it is not free of effect on every model.
func AskNEO(ctx context.Context, link serial.Link) (r Report, err error) {
	d := neoDialogue{link: link}
	defer func() {
		clear(d.in[:])
		r.Health = d.health
		r.Health.Swapped = d.dec.Swapped
	}()
	if p, ok := link.(interface{ Discard() error }); ok {
		if err := p.Discard(); err != nil {
			return r, err
		}
	}
	for _, ask := range []NEOMessage{{Command: NEOPing, Status: 0x01}, {Command: NEOVersion}, {Command: NEOState, Status: 0x3A}} {
		m, err := d.ask(ctx, ask)
		if ask.Command == NEOState && errors.Is(err, serial.ErrIdle) {
			return r, nil // older firmware does not know the question
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
		switch {
		case m.Status != NEOOk:
		case m.Command == NEOState:
			r.selfCheck(m.Data)
		case len(m.Data) > 0:
			r.Model, r.Firmware = modelOf(m.Data)
		}
	}
	return r, nil
}

// selfCheck reads what a reader's self-check found, source by source. What is not of the known form says nothing.
func (r *Report) selfCheck(b []byte) {
	if len(b)%3 != 0 {
		return
	}
	for i := 0; i < len(b); i += 3 {
		if b[i] > neoSourceEnd || b[i+1] != 1 {
			return
		}
	}
	for ; len(b) > 0; b = b[3:] {
		source, value := b[0], b[2]
		if value == 0 || value >= 0xFE {
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
	link   serial.Link
	dec    NEODecoder
	health Health
	in     [readMax]byte
	rest   []byte
}

func (d *neoDialogue) ask(ctx context.Context, m NEOMessage) (NEOMessage, error) {
	before := d.health
	var err error
	for range asksMax {
		var a NEOMessage
		if a, err = d.once(ctx, m); err == nil {
			d.health.Answers++
			return a, nil
		}
		if errors.Is(err, serial.ErrGone) || errors.Is(err, os.ErrClosed) || ctx.Err() != nil {
			break
		}
	}
	if errors.Is(err, serial.ErrIdle) && spoiled(d.health, before) {
		err = fmt.Errorf("ask reader %02X: %w", m.Command, serial.ErrGarbled)
	}
	return NEOMessage{}, err
}

func (d *neoDialogue) once(ctx context.Context, m NEOMessage) (NEOMessage, error) {
	what := fmt.Sprintf("ask reader %02X", m.Command)
	stop, err := serial.Bind(ctx, d.link, time.Now().Add(neoLimit))
	if err != nil {
		return NEOMessage{}, fmt.Errorf("%s: %w", what, err)
	}
	defer stop()
	d.dec.Reset()
	if _, err := d.link.Write(NEOFrame(nil, m, false)); err != nil {
		return NEOMessage{}, fmt.Errorf("%s: %w", what, serial.Why(ctx, err))
	}
	before := d.health
	for range tokensMax {
		t, a, err := d.token()
		if err != nil {
			d.health.Silence++
			if errors.Is(err, os.ErrDeadlineExceeded) && (d.dec.Pending() || spoiled(d.health, before)) {
				err = serial.ErrGarbled
			}
			return NEOMessage{}, fmt.Errorf("%s: %w", what, serial.Why(ctx, err))
		}
		switch {
		case t == TokenCRC:
			d.health.CRC++
		case t == TokenGarbage:
			d.health.Garbage++
		case a.Command == m.Command:
			return a, nil
		case a.Command == NEOBooted:
			d.health.Resets++
		default:
			d.health.Stray++
		}
	}
	return NEOMessage{}, fmt.Errorf("%s: babbles: %w", what, serial.ErrGarbled)
}

func (d *neoDialogue) token() (Token, NEOMessage, error) {
	for {
		for len(d.rest) > 0 {
			c := d.rest[0]
			d.rest = d.rest[1:]
			if t, m, ok := d.dec.Push(c); ok {
				return t, m, nil
			}
		}
		n, err := d.link.Read(d.in[:])
		d.rest = d.in[:n]
		if n == 0 && err != nil {
			return 0, NEOMessage{}, err
		}
	}
}
