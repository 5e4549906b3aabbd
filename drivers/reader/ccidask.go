package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"posdx/drivers/serial"
)

// Echo says whether a reader sends every command back before its answer.
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
	asksMax     = 2                      // a command is said twice before silence is believed
	tokensMax   = 4096                   // what one command may bring before the reader counts as babbling
	readMax     = 256                    // bytes of one read
)

// CCIDConfig says what is known of a reader beforehand; the zero value finds out.
type CCIDConfig struct {
	Echo Echo
}

// AskCCID asks a CCID reader who it is and what stands in its slot. It sends GetSlotStatus and the Escape that reads
// the firmware's name, nothing else. The report is valid as far as it goes also with an error, which is
// serial.ErrIdle for a reader that says nothing, serial.ErrGarbled for one that says nothing intelligible, serial.ErrGone
// or the context's.
func AskCCID(ctx context.Context, link serial.Link, c CCIDConfig) (Report, error) {
	d := ccidDialogue{link: link, echo: c.Echo}
	r := Report{}
	defer func() { clear(d.in[:]) }()
	if err := d.drain(); err != nil {
		return r, err
	}
	var first error
	for range statusAsks {
		m, err := d.ask(ctx, Message{Type: GetSlotStatus}, SlotStatus)
		if err != nil {
			first = err
			break
		}
		r.Slot = slot(m)
		d.note(m)
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
				break
			}
		}
	}
	r.Health = d.health
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

type ccidDialogue struct {
	link   serial.Link
	echo   Echo
	seq    byte
	dec    Decoder
	health Health
	in     [readMax]byte
	rest   []byte // of in, not yet looked at
}

// drain drops what came before we asked anything: half a frame of somebody else, notices.
func (d *ccidDialogue) drain() error {
	if p, ok := d.link.(interface{ Discard() error }); ok {
		return p.Discard()
	}
	return nil
}

// ask sends a command until it is answered.
func (d *ccidDialogue) ask(ctx context.Context, m Message, want byte) (Message, error) {
	before := d.health
	var err error
	for range asksMax {
		m.Seq = d.seq
		d.seq++
		var a Message
		if a, err = d.once(ctx, m, want); err == nil {
			d.health.Answers++
			return a, nil
		}
		if errors.Is(err, serial.ErrGone) || errors.Is(err, os.ErrClosed) || ctx.Err() != nil {
			break
		}
	}
	if errors.Is(err, serial.ErrIdle) && spoiled(d.health, before) { // silent the second time, but not the first
		err = fmt.Errorf("ask reader %02X: %w", m.Type, serial.ErrGarbled)
	}
	return Message{}, err
}

func (d *ccidDialogue) once(ctx context.Context, m Message, want byte) (Message, error) {
	what := fmt.Sprintf("ask reader %02X", m.Type)
	limit := statusLimit
	if m.Type == Escape {
		limit = escapeLimit
	}
	stop, err := serial.Bind(ctx, d.link, time.Now().Add(limit))
	if err != nil {
		return Message{}, fmt.Errorf("%s: %w", what, err)
	}
	defer stop()
	d.dec.Reset()
	if _, err := d.link.Write(Frame(nil, m)); err != nil {
		return Message{}, fmt.Errorf("%s: %w", what, serial.Why(ctx, err))
	}
	before := d.health
	echoed := false
	for range tokensMax {
		t, a, err := d.token()
		if err != nil {
			d.health.Silence++
			if errors.Is(err, os.ErrDeadlineExceeded) && (d.dec.Pending() || spoiled(d.health, before)) {
				err = serial.ErrGarbled
			}
			return Message{}, fmt.Errorf("%s: %w", what, serial.Why(ctx, err))
		}
		switch t {
		case TokenNAK:
			d.health.NAK++
			return Message{}, fmt.Errorf("%s: not understood: %w", what, serial.ErrGarbled)
		case TokenCRC:
			d.health.CRC++
		case TokenGarbage:
			d.health.Garbage++
		case TokenIn, TokenOut:
			d.health.Moves++
		case TokenMessage:
			switch {
			case a.Type == m.Type && a.Seq == m.Seq:
				echoed = true
				d.echo = EchoYes
			case a.Type == want && a.Seq == m.Seq:
				if d.echo == EchoYes && !echoed {
					d.health.LostEcho++
				}
				if d.echo == EchoUnknown {
					d.echo = EchoNo
				}
				return a, nil
			case a.Type == SlotStatus && a.Seq == m.Seq && a.Param[0]&failed != 0:
				return a, nil // how a reader refuses what it does not know (USB CCID 6.2.6)
			default:
				d.health.Stray++
			}
		}
	}
	return Message{}, fmt.Errorf("%s: babbles: %w", what, serial.ErrGarbled)
}

// spoiled says that since an earlier count the reader has said something that could not be understood.
func spoiled(now, before Health) bool {
	return now.Garbage > before.Garbage || now.CRC > before.CRC || now.Stray > before.Stray || now.NAK > before.NAK
}

func (d *ccidDialogue) token() (Token, Message, error) {
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
			return 0, Message{}, err
		}
	}
}

func (d *ccidDialogue) note(m Message) {
	if m.Param[0]&failed == 0 {
		return
	}
	switch m.Param[1] {
	case ErrorMute:
		d.health.Mute++
	case ErrorParity:
		d.health.Parity++
	case ErrorOverrun:
		d.health.Overrun++
	case ErrorHardware:
		d.health.Hardware++
	}
}
