package reader

import (
	"context"
	"fmt"
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
	d := abecsDialogue{visit: visit{link: link}}
	defer d.dec.Reset()
	defer d.forget()
	var p PINPad
	if err := d.begin(); err != nil {
		return p, err
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
	visit
	dec ABECSDecoder
}

// ask sends a command until it is answered. A NAK is answered with the command again, a damaged answer with a NAK, three
// times each; silence is not asked again, since the pad may be busy with what it was told before.
func (d *abecsDialogue) ask(ctx context.Context, command []byte) (name, status string, blocks [][]byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask PIN pad %s: %w", command[:3], err)
		}
	}()
	d.dec.Reset()
	frame := ABECSFrame(nil, command)
	stop, err := d.say(ctx, abecsLimit, frame)
	if err != nil {
		return "", "", nil, err
	}
	defer stop()
	for tries, damaged := 1, 0; err == nil; {
		c, e := d.next(ctx, d.dec.Pending())
		if e != nil {
			return "", "", nil, e
		}
		token, message, ok := d.dec.Push(c)
		if !ok {
			continue
		}
		switch token {
		case ABECSNoise:
			d.health.Garbage++
		case ABECSNak:
			d.health.NAK++
			if tries++; tries > abecsTries {
				return "", "", nil, fmt.Errorf("not understood: %w", serial.ErrGarbled)
			}
			err = d.add(ctx, frame)
		case ABECSDamaged:
			d.health.CRC++
			if damaged++; damaged == abecsTries {
				return "", "", nil, fmt.Errorf("cannot be understood: %w", serial.ErrGarbled)
			}
			err = d.add(ctx, []byte{abecsNAK})
		case ABECSMessage:
			name, status, blocks := abecsAnswer(message)
			if name == string(command[:3]) || name == "ERR" {
				d.health.Answers++
				return name, status, blocks, nil
			}
			clear(message) // an answer to somebody who is gone: a card's, perhaps
			d.health.Stray++
		}
	}
	return "", "", nil, err
}
