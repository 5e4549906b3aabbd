package reader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"posdx/drivers/serial"
)

const (
	abecsLimit = 2 * time.Second // for the acknowledgement (2.2.2.1); the answers to GIX and GIN follow at once
	abecsTries = 3               // of a command that the pad could not read, and of an answer that we could not
)

// Status words that say how a pad is, not only how a command went (3.1.1).
const (
	ABECSSecure   = "009" // the application holds a secure session
	ABECSUnknown  = "010"
	ABECSInternal = "040"
)

// AskABECS asks a PIN pad who it is and which of its places hold a key. A pad in a secure session says no more than
// that: its answer stands in Status and is no error. Errors are as AskCCID's.
func AskABECS(ctx context.Context, link serial.Link) (PINPad, error) {
	d := abecsDialogue{link: link}
	defer d.dec.Reset()
	var p PINPad
	defer func() { clear(d.in[:]) }()
	if l, ok := link.(interface{ Discard() error }); ok {
		if err := l.Discard(); err != nil {
			return p, err
		}
	}
	for _, ask := range [][]byte{gix(), []byte("GIN00200")} {
		name, status, blocks, err := d.ask(ctx, ask)
		p.Health = d.health
		if err != nil {
			return p, err
		}
		if status == "000" && name == string(ask[:3]) {
			for _, b := range blocks {
				if name == "GIX" {
					p.extended(b)
				} else {
					p.basic(b)
				}
				clear(b)
			}
			p.Status = ""
			return p, nil
		}
		if p.Status = status; status == ABECSSecure {
			return p, nil
		}
	}
	return p, nil
}

type abecsDialogue struct {
	link   serial.Link
	dec    ABECSDecoder
	health Health
	in     [readMax]byte
	rest   []byte
}

// ask sends a command until it is answered. A NAK is answered with the command again, a damaged answer with a NAK, three
// times each; silence is not asked again, since the pad may be busy with what it was told before.
func (d *abecsDialogue) ask(ctx context.Context, command []byte) (name, status string, blocks [][]byte, err error) {
	what := fmt.Sprintf("ask PIN pad %s", command[:3])
	fail := func(err error) (string, string, [][]byte, error) {
		return "", "", nil, fmt.Errorf("%s: %w", what, err)
	}
	stop, err := serial.Bind(ctx, d.link, time.Now().Add(abecsLimit))
	if err != nil {
		return fail(err)
	}
	defer stop()
	d.dec.Reset()
	frame := ABECSFrame(nil, command)
	if _, err := d.link.Write(frame); err != nil {
		return fail(serial.Why(ctx, err))
	}
	before := d.health
	tries, damaged := 1, 0
	for range tokensMax {
		token, message, err := d.token()
		if err != nil {
			d.health.Silence++
			if errors.Is(err, os.ErrDeadlineExceeded) && (d.dec.Pending() || spoiled(d.health, before)) {
				err = serial.ErrGarbled
			}
			return fail(serial.Why(ctx, err))
		}
		switch token {
		case ABECSAck, ABECSEot:
		case ABECSNoise:
			d.health.Garbage++
		case ABECSNak:
			d.health.NAK++
			if tries++; tries > abecsTries {
				return fail(fmt.Errorf("not understood: %w", serial.ErrGarbled))
			}
			if _, err := d.link.Write(frame); err != nil {
				return fail(serial.Why(ctx, err))
			}
		case ABECSDamaged:
			d.health.CRC++
			if damaged++; damaged == abecsTries {
				return fail(fmt.Errorf("cannot be understood: %w", serial.ErrGarbled))
			}
			if _, err := d.link.Write([]byte{abecsNAK}); err != nil {
				return fail(serial.Why(ctx, err))
			}
		case ABECSMessage:
			name, status, blocks := abecsAnswer(message)
			if name != string(command[:3]) && name != "ERR" {
				clear(message) // an answer to somebody who is gone: a card's, perhaps
				d.health.Stray++
				continue
			}
			d.health.Answers++
			return name, status, blocks, nil
		}
	}
	return fail(fmt.Errorf("babbles: %w", serial.ErrGarbled))
}

func (d *abecsDialogue) token() (ABECSToken, []byte, error) {
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
			return 0, nil, err
		}
	}
}
