package reader

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

// Echo is whether a reader sends every command back before its answer.
type Echo byte

// EchoUnknown learns from the first answer; the others count what is missing.
const (
	EchoUnknown Echo = iota
	EchoYes          // GemPC Twin
	EchoNo           // GemCore POS Pro, SIM Pro, SEC1210
)

const (
	statusLimit = 600 * time.Millisecond // a slot's status is known, not measured: readers answer within milliseconds
	escapeLimit = 2 * time.Second        // what libccid gives an Escape
	statusAsks  = 3                      // status questions of one visit: a line error must have a chance to show
)

// CCIDConfig is what is known of a reader before it is asked; with the zero value it is found out.
type CCIDConfig struct {
	Echo Echo
}

// AskCCID asks a CCID reader what it is and what its slot holds. It sends GetSlotStatus and the Escape that reads the
// firmware's name, nothing else. With an error the report holds what was learned before it. The error is serial.ErrIdle
// for a reader that answers nothing, serial.ErrGarbled for one whose answers cannot be understood, serial.ErrGone, or
// the context's.
func AskCCID(ctx context.Context, link serial.Link, c CCIDConfig) (Report, error) {
	d := ccidDialogue{Visit: frame.Visit{Link: link}, echo: c.Echo}
	r := Report{}
	defer d.Forget()
	if err := d.Begin(); err != nil {
		return r, err
	}
	var first error
	yes := false
	for range statusAsks {
		m, err := d.ask(ctx, Message{Type: GetSlotStatus}, SlotStatus)
		if err != nil {
			first = err
			break
		}
		r.Slot = slot(m)
		d.note(m)
		yes = yes || m.Param[0]&failed == 0 || contact(m.Param[1]) || m.Param[1] == ErrorSlotBusy
		if m.Param[0]&failed != 0 && m.Param[1] == ErrorHardware {
			r.Fault = fmt.Sprintf("%02X", m.Param[1])
		}
	}
	if first == nil {
		// 02 reads the name in a GemPC and GemCore, 06 in a SEC1210.
		for _, which := range []byte{0x02, 0x06} {
			m, err := d.ask(ctx, Message{Type: Escape, Data: []byte{which}}, EscapeAnswer)
			if err != nil {
				first = err
				break
			}
			if m.Param[0]&failed == 0 && len(m.Data) > 0 {
				r.Model, r.Firmware = modelOf(m.Data)
				yes = true
				break
			}
		}
	}
	r.Health = d.Health
	r.Refused = first == nil && !yes && r.Fault == ""
	return r, first
}

// modelOf splits a name such as "GemTwin-V2.00-GC".
func modelOf(b []byte) (model, firmware string) {
	a, z, ok := bytes.Cut(b, []byte("-"))
	if !ok {
		a, z, _ = bytes.Cut(b, []byte(" "))
	}
	return serial.Label(a), serial.Label(z)
}

// nameOf splits a name whose last word is a version.
func nameOf(b []byte) (model, firmware string) {
	cut := max(bytes.LastIndexByte(b, ' '), 0)
	return serial.Label(b[:cut]), serial.Label(b[cut:])
}

type ccidDialogue struct {
	frame.Visit
	echo Echo
	seq  byte
	dec  Decoder
}

// ask sends a command until it is answered.
func (d *ccidDialogue) ask(ctx context.Context, m Message, want byte) (a Message, err error) {
	err = d.Twice(ctx, fmt.Sprintf("reader %02X", m.Type), func() (err error) {
		m.Seq = d.seq
		d.seq++
		a, err = d.once(ctx, m, want)
		return err
	})
	return a, err
}

func (d *ccidDialogue) once(ctx context.Context, m Message, want byte) (Message, error) {
	limit := statusLimit
	if m.Type == Escape {
		limit = escapeLimit
	}
	d.dec.Reset()
	stop, err := d.Say(ctx, limit, Frame(nil, m))
	if err != nil {
		return Message{}, err
	}
	defer stop()
	echoed := false
	for {
		c, err := d.Next(ctx, d.dec.Pending())
		if err != nil {
			return Message{}, err
		}
		t, a, ok := d.dec.Push(c)
		if !ok {
			continue
		}
		switch t {
		case TokenNAK:
			d.Health.NAK++
			return Message{}, fmt.Errorf("not understood: %w", serial.ErrGarbled)
		case TokenCRC:
			d.Health.CRC++
		case TokenGarbage:
			d.Health.Garbage++
		case TokenIn, TokenOut:
			d.Health.Moves++
		case TokenMessage:
			switch {
			case a.Type == m.Type && a.Seq == m.Seq:
				echoed = true
				d.echo = EchoYes
			case a.Type == want && a.Seq == m.Seq:
				if d.echo == EchoYes && !echoed {
					d.Health.LostEcho++
				}
				if d.echo == EchoUnknown {
					d.echo = EchoNo
				}
				return a, nil
			case a.Type == SlotStatus && a.Seq == m.Seq && a.Param[0]&failed != 0:
				return a, nil // how a reader refuses what it does not know (USB CCID 6.2.6)
			default:
				d.Health.Stray++
			}
		}
	}
}

func (d *ccidDialogue) note(m Message) {
	if m.Param[0]&failed == 0 {
		return
	}
	switch m.Param[1] {
	case ErrorMute:
		if mute(m) {
			d.Health.Mute++
		}
	case ErrorParity:
		d.Health.Parity++
	case ErrorOverrun:
		d.Health.Overrun++
	case ErrorHardware:
		d.Health.Hardware++
	}
}
