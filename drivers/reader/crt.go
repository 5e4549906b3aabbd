package reader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

// Creator's motor readers in kiosks: CRT-310 V3 and CRT-591-M, after the makers' protocol papers. Only status and
// version are ever asked. Reset, initialise, move, shutter and anything that reads a card are not in this package: a
// motor that starts by itself takes a customer's card.

// A CRTKind is a family of motor readers.
type CRTKind byte

// Families of motor readers.
const (
	CRT310 CRTKind = iota
	CRT591
)

const (
	crtMax   = 512                    // of a body: status and version have under 30 bytes
	crtLimit = 600 * time.Millisecond // the acknowledgement comes within 300 ms, the answer at once
	crtETX   = 0x03
	crtACK   = 0x06
	crtNAK   = 0x15
	crtENQ   = 0x05
	crtEOT   = 0x04
)

// CRTFrame appends a body as it goes over the line, either way. The address is the CRT-591's switch, 0 to 15.
func CRTFrame(dst []byte, kind CRTKind, address byte, body []byte) []byte {
	start := len(dst)
	if kind == CRT591 {
		dst = append(dst, 0xF2, address)
	} else {
		dst = append(dst, 0x02)
	}
	dst = append(dst, byte(len(body)>>8), byte(len(body)))
	dst = append(append(dst, body...), crtETX)
	return append(dst, frame.XOR(0, dst[start:]))
}

// CRTToken is what a CRTDecoder found on the line.
type CRTToken byte

// The things on a motor reader's line.
const (
	CRTMessage CRTToken = iota
	CRTAck
	CRTNak
	CRTEnq
	CRTEot
	CRTDamaged
	CRTNoise
)

// A CRTDecoder cuts a byte stream, in either direction, into bodies. It holds at most one.
type CRTDecoder struct {
	Kind CRTKind
	buf  [4 + crtMax + 2]byte
	n    int
}

// Pending reports whether a frame has begun and not ended.
func (d *CRTDecoder) Pending() bool { return d.n > 0 }

// Reset forgets a frame that has begun.
func (d *CRTDecoder) Reset() {
	clear(d.buf[:d.n])
	d.n = 0
}

// Push takes one byte. It returns true with what the byte completed. The body is a copy, and empty if it may hold a
// card's data.
func (d *CRTDecoder) Push(c byte) (CRTToken, []byte, bool) {
	head, first := 3, byte(0x02)
	if d.Kind == CRT591 {
		head, first = 4, 0xF2
	}
	if d.n == 0 && c != first {
		switch c {
		case crtACK:
			return CRTAck, nil, true
		case crtNAK:
			return CRTNak, nil, true
		case crtENQ:
			return CRTEnq, nil, true
		case crtEOT:
			return CRTEot, nil, true
		}
		return CRTNoise, nil, true
	}
	d.buf[d.n] = c
	d.n++
	if d.n < head {
		return 0, nil, false
	}
	size := int(d.buf[head-2])<<8 | int(d.buf[head-1])
	if size > crtMax {
		d.Reset()
		return CRTNoise, nil, true
	}
	if d.n < head+size+2 {
		return 0, nil, false
	}
	good := frame.XOR(0, d.buf[:d.n]) == 0 && d.buf[d.n-2] == crtETX
	var body []byte
	if b := d.buf[head : head+size]; good && crtHarmless(d.Kind, b) {
		body = append(body, b...)
	}
	d.Reset()
	if !good {
		return CRTDamaged, nil, true
	}
	return CRTMessage, body, true
}

// crtHarmless reports whether a body is a question or an answer about the reader. All others may hold a card's data.
func crtHarmless(kind CRTKind, b []byte) bool {
	switch {
	case len(b) < 2:
		return false
	case kind == CRT591:
		return len(b) >= 3 && (b[1] == 0x31 || b[1] == 0xA4)
	case b[0] == 'N':
		return len(b) == 3
	}
	return b[0] == 0x31 && (b[1] == 0x30 || b[1] == 0x2F)
}

// AskCRT asks a motor reader where a card stands in its path and, as far as it can answer without moving anything, what
// it is. Errors are those of AskCCID.
func AskCRT(ctx context.Context, link serial.Link, kind CRTKind, address byte) (Report, error) {
	d := crtDialogue{Visit: frame.Visit{Link: link}, kind: kind, address: address, dec: CRTDecoder{Kind: kind}}
	defer d.dec.Reset()
	defer d.Forget()
	var r Report
	if err := d.Begin(); err != nil {
		return r, err
	}
	yes := false
	asks := [][]byte{{0x31, 0x30}} // status
	if kind == CRT591 {
		asks = [][]byte{{'C', 0x31, 0x30}, {'C', 0xA4, 0x30}} // and version
	}
	for _, ask := range asks {
		body, err := d.ask(ctx, ask)
		r.Health = d.Health
		if d.alive && errors.Is(err, serial.ErrIdle) { // it takes the question and does not answer it
			break
		}
		if err != nil {
			return r, err
		}
		yes = yes || body[0] != 'N' && body[0] != 'E'
		if kind == CRT591 {
			r.crt591(body)
		} else {
			r.crt310(body)
		}
	}
	r.Refused = !yes && r.Fault == "" && r.Note == ""
	return r, nil
}

// crt310 reads an answer to status: command, parameter and S1 to S3, or N, command and an error.
func (r *Report) crt310(b []byte) {
	if b[0] == 'N' {
		switch b[2] {
		case 0x05, 0x06, 0x07: // supply out of range, abnormal card inside, main supply gone
			r.Fault = fmt.Sprintf("%02X", b[2])
		}
		return
	}
	if len(b) < 3 {
		return
	}
	switch s1 := b[2]; {
	case s1 == 0x4E:
		r.Slot = SlotAbsent
	case s1 >= 0x46 && s1 <= 0x4D:
		r.Slot = SlotPresent
	}
}

// crt591 reads an answer: P, command, parameter, three states and data; or N (the paper prints its code as 45),
// command, parameter and an error of two characters.
func (r *Report) crt591(b []byte) {
	switch {
	case b[0] == 'N' || b[0] == 'E':
		if len(b) < 5 {
			return
		}
		switch code := serial.Label(b[3:5]); code {
		case "05", "10", "12", "41", "43", "51", "60": // contact, jam, sensor, magnet, way to the contacts, motor, short circuit
			r.Fault = code
		case "A1", "B0": // error bin full, not initialised: for people, not broken
			r.Note = code
		}
	case b[0] == 'P' && len(b) >= 6:
		switch b[3] {
		case '0':
			r.Slot = SlotAbsent
		case '1', '2':
			r.Slot = SlotPresent
		}
		if b[1] == 0xA4 {
			r.Model, r.Firmware = nameOf(b[6:])
		}
	}
}

type crtDialogue struct {
	frame.Visit
	kind    CRTKind
	address byte
	alive   bool // it acknowledged a question
	dec     CRTDecoder
}

func (d *crtDialogue) ask(ctx context.Context, command []byte) (a []byte, err error) {
	err = d.Twice(ctx, fmt.Sprintf("reader % X", command), func() (err error) { a, err = d.once(ctx, command); return err })
	return a, err
}

func (d *crtDialogue) once(ctx context.Context, command []byte) ([]byte, error) {
	d.dec.Reset()
	stop, err := d.Say(ctx, crtLimit, CRTFrame(nil, d.kind, d.address, command))
	if err != nil {
		return nil, err
	}
	defer stop()
	for {
		c, err := d.Next(ctx, d.dec.Pending())
		if err != nil {
			return nil, err
		}
		token, body, ok := d.dec.Push(c)
		if !ok {
			continue
		}
		switch token {
		case CRTAck:
			d.alive = true
			if d.kind == CRT310 {
				err = d.Add(ctx, []byte{crtENQ}) // do it
			}
		case CRTNak:
			d.Health.NAK++
			err = fmt.Errorf("not understood: %w", serial.ErrGarbled)
		case CRTDamaged:
			d.Health.CRC++
		case CRTNoise:
			d.Health.Garbage++
		case CRTMessage:
			if d.answers(command, body) {
				return body, d.Add(ctx, []byte{crtACK})
			}
			d.Health.Stray++
		}
		if err != nil {
			return nil, err
		}
	}
}

// answers reports whether a body answers a command.
func (d *crtDialogue) answers(command, b []byte) bool {
	if d.kind == CRT591 {
		return len(b) >= 3 && b[0] != 'C' && b[1] == command[1] && b[2] == command[2]
	}
	return len(b) >= 2 && (b[0] == 'N' && b[1] == command[0] || b[0] == command[0] && b[1] == command[1] && len(b) > 2)
}
