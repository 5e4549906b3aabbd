package pinpad

import (
	"context"
	"fmt"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

const (
	abecsLimit = 2 * time.Second // for the acknowledgement (2.2.2.1); the answers to GIX and GIN follow at once
	abecsTries = 3               // of a command that the pad could not read, and of an answer that we could not
	nak        = 0x15            // said to an answer that was damaged (2.2.2.1)
)

// Status words that say how a pad is, not only how a command went (3.1.1).
const (
	Secure   = "009" // the application holds a secure session
	Unknown  = "010" // the pad does not know the command
	Internal = "040" // internal error of the pad
)

// Ask asks a PIN pad what it is and which of its places hold a key. A pad in a secure session answers with nothing but
// that: this answer stands in Status and is no error. Errors are those of reader.AskCCID.
func Ask(ctx context.Context, link serial.Link) (Report, error) {
	d := abecsDialogue{Visit: frame.Visit{Link: link}}
	defer d.dec.Reset()
	defer d.Forget()
	var p Report
	if err := d.Begin(); err != nil {
		return p, err
	}
	for _, ask := range [][]byte{gix(), []byte("GIN00200")} {
		name, status, blocks, err := d.ask(ctx, ask)
		p.Health = d.Health
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
		if p.Status = status; status == Secure {
			return p, nil
		}
	}
	return p, nil
}

type abecsDialogue struct {
	frame.Visit
	dec frame.ABECSDecoder
}

// ask sends a command until it is answered. After a NAK the command is sent again, after a damaged answer a NAK is,
// three times each. After silence nothing is sent again, because the pad may still be busy with an earlier command.
func (d *abecsDialogue) ask(ctx context.Context, command []byte) (name, status string, blocks [][]byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask PIN pad %s: %w", command[:3], err)
		}
	}()
	d.dec.Reset()
	request := frame.ABECSFrame(nil, command)
	stop, err := d.Say(ctx, abecsLimit, request)
	if err != nil {
		return "", "", nil, err
	}
	defer stop()
	for tries, damaged := 1, 0; err == nil; {
		c, e := d.Next(ctx, d.dec.Pending())
		if e != nil {
			return "", "", nil, e
		}
		token, message, ok := d.dec.Push(c)
		if !ok {
			continue
		}
		switch token {
		case frame.ABECSNoise:
			d.Health.Garbage++
		case frame.ABECSNak:
			d.Health.NAK++
			if tries++; tries > abecsTries {
				return "", "", nil, fmt.Errorf("not understood: %w", serial.ErrGarbled)
			}
			err = d.Add(ctx, request)
		case frame.ABECSDamaged:
			d.Health.CRC++
			if damaged++; damaged == abecsTries {
				return "", "", nil, fmt.Errorf("cannot be understood: %w", serial.ErrGarbled)
			}
			err = d.Add(ctx, []byte{nak})
		case frame.ABECSMessage:
			name, status, blocks := abecsAnswer(message)
			if name == string(command[:3]) || name == "ERR" {
				d.Health.Answers++
				return name, status, blocks, nil
			}
			clear(message) // an answer to another program's command, perhaps with card data
			d.Health.Stray++
		}
	}
	return "", "", nil, err
}
