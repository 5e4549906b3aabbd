package reader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

// ID TECH's older protocol, of the MiniMag and SecureMag stripe readers: 02, body, 03 and an exclusive-or of all before
// it (SecureMag user manual, page 16). Only the question for the version is ever sent: Q reads a card's data, I resets,
// S sets.

const (
	itpMax   = 256 // of a body: a version has under 60 bytes, a card's data up to some hundred
	itpLimit = time.Second
)

// ITPFrame appends a body as it goes over the line.
func ITPFrame(dst, body []byte) []byte {
	start := len(dst)
	dst = append(append(append(dst, 0x02), body...), 0x03)
	return append(dst, frame.XOR(0, dst[start:]))
}

// An ITPDecoder cuts what a reader sends into versions. Any other frame, a swipe among them, comes out empty.
type ITPDecoder struct {
	buf [itpMax]byte
	n   int
}

// Pending reports whether a frame has begun and not ended.
func (d *ITPDecoder) Pending() bool { return d.n > 0 }

// Reset forgets a frame that has begun.
func (d *ITPDecoder) Reset() {
	clear(d.buf[:d.n])
	d.n = 0
}

// Push takes one byte. It returns true with what the byte completed: TokenMessage with a version or empty, TokenNAK,
// TokenMore for an acknowledgement or a refusal, TokenGarbage.
func (d *ITPDecoder) Push(c byte) (Token, []byte, bool) {
	if d.n == 0 {
		switch c {
		case 0x02:
			d.buf[0], d.n = c, 1
			return 0, nil, false
		case 0x06, 0x16, 0x17: // taken; not known, not now
			return TokenMore, nil, true
		case 0x15: // cannot be read
			return TokenNAK, nil, true
		}
		return TokenGarbage, nil, true
	}
	if d.n == itpMax {
		d.Reset()
		return TokenGarbage, nil, true
	}
	d.buf[d.n] = c
	d.n++
	if d.n < 4 || d.buf[d.n-2] != 0x03 {
		return 0, nil, false
	}
	if frame.XOR(0, d.buf[:d.n]) != 0 { // 03 may stand in the body; the frame goes on
		return 0, nil, false
	}
	var version []byte
	if body := d.buf[1 : d.n-2]; isVersion(body) {
		version = append(version, body...)
	}
	d.Reset()
	return TokenMessage, version, true
}

// isVersion says that a body is a name and not a card's: it has a letter in front and no sign that tracks begin with.
func isVersion(b []byte) bool {
	if b[0] < 'A' || b[0] > 'Z' {
		return false
	}
	for _, c := range b {
		if c < ' ' || c > 'z' || c == '%' || c == ';' || c == '=' || c == '^' {
			return false
		}
	}
	return true
}

// AskITP asks a stripe reader which firmware it runs. Report and errors are as AskCCID's; it has no slot.
func AskITP(ctx context.Context, link serial.Link) (r Report, err error) {
	d := itpDialogue{Visit: frame.Visit{Link: link}}
	defer func() {
		d.dec.Reset()
		d.Forget()
		r.Health = d.Health
	}()
	if err := d.Begin(); err != nil {
		return r, err
	}
	var version []byte
	err = d.Twice(ctx, "reader 52 22", func() (err error) { version, err = d.once(ctx); return err })
	switch {
	case err == nil:
		r.Model, r.Firmware = nameOf(version)
	case d.alive && errors.Is(err, serial.ErrIdle): // it takes the question, or refuses it, and does not tell
		r.Refused = true
		return r, nil
	}
	return r, err
}

type itpDialogue struct {
	frame.Visit
	alive bool // it acknowledged or refused the question
	dec   ITPDecoder
}

func (d *itpDialogue) once(ctx context.Context) ([]byte, error) {
	d.dec.Reset()
	stop, err := d.Say(ctx, itpLimit, ITPFrame(nil, []byte{'R', 0x22}))
	if err != nil {
		return nil, err
	}
	defer stop()
	for {
		c, err := d.Next(ctx, d.dec.Pending())
		if err != nil {
			return nil, err
		}
		switch token, version, ok := d.dec.Push(c); {
		case token == TokenMore:
			d.alive = true
		case !ok:
		case token == TokenNAK:
			d.Health.NAK++
			return nil, fmt.Errorf("not understood: %w", serial.ErrGarbled)
		case token == TokenGarbage:
			d.Health.Garbage++
		case len(version) == 0:
			d.Health.Stray++
		default:
			return version, nil
		}
	}
}
