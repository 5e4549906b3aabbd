// Package frame holds what dialogues in frames have in common: a command and its answer within a time limit, once more
// where it failed; counts of a line's faults; check sums; and the framing of ABECS, which the driver of PIN pads and
// the decoder of register links share.
package frame

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"posdx/drivers/serial"
)

// BytesMax is how many bytes one command may bring before the device counts as babbling.
const BytesMax = 4096

const (
	asksMax = 2   // a command is said twice before silence is believed
	readMax = 256 // bytes of one read
)

// A Visit is one dialogue with a device, whatever its protocol.
type Visit struct {
	Link   serial.Link
	Health Health
	before Health // when the command was said
	in     [readMax]byte
	rest   []byte // of in, not yet looked at
	heard  int    // bytes since the command
}

// Begin drops what came before the first command: the rest of a frame meant for another program, or a notice that the
// device sent by itself.
func (v *Visit) Begin() error {
	if p, ok := v.Link.(interface{ Discard() error }); ok {
		return p.Discard()
	}
	return nil
}

// Forget wipes what was read.
func (v *Visit) Forget() { clear(v.in[:]) }

// Say sends a command and sets the deadline of its answer. The caller calls stop when it has the answer.
func (v *Visit) Say(ctx context.Context, limit time.Duration, frame []byte) (stop func(), err error) {
	if stop, err = serial.Bind(ctx, v.Link, time.Now().Add(limit)); err != nil {
		return nil, err
	}
	v.before, v.heard, v.rest = v.Health, 0, nil
	if err := v.Add(ctx, frame); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// Add sends more bytes within the limit that Say has set.
func (v *Visit) Add(ctx context.Context, b []byte) error {
	_, err := v.Link.Write(b)
	return serial.Why(ctx, err)
}

// Next reads one byte of the answer. pending says that a frame has begun: if it never ends, the error is that the line
// is garbled (serial.ErrGarbled), not that it is silent (serial.ErrIdle).
func (v *Visit) Next(ctx context.Context, pending bool) (byte, error) {
	for len(v.rest) == 0 {
		n, err := v.Link.Read(v.in[:])
		v.rest = v.in[:n]
		if n == 0 && err != nil {
			v.Health.Silence++
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && (pending || v.spoiled()) {
				return 0, serial.ErrGarbled
			}
			return 0, serial.Why(ctx, err)
		}
	}
	if v.heard++; v.heard > BytesMax {
		return 0, fmt.Errorf("babbles: %w", serial.ErrGarbled)
	}
	c := v.rest[0]
	v.rest = v.rest[1:]
	return c, nil
}

// spoiled reports whether since the command the device has said something that could not be understood.
func (v *Visit) spoiled() bool {
	now, then := v.Health, v.before
	return now.Garbage > then.Garbage || now.CRC > then.CRC || now.Stray > then.Stray || now.NAK > then.NAK
}

// Twice runs a dialogue, and a second time if the first gave no answer. A device that answered something the first
// time and was silent the second counts as garbled, not as silent.
func (v *Visit) Twice(ctx context.Context, what string, once func() error) error {
	var err error
	first := v.Health
	for range asksMax {
		if err = once(); err == nil {
			v.Health.Answers++
			return nil
		}
		if errors.Is(err, serial.ErrGone) || errors.Is(err, os.ErrClosed) || ctx.Err() != nil {
			break
		}
	}
	v.before = first
	if errors.Is(err, serial.ErrIdle) && v.spoiled() {
		err = serial.ErrGarbled
	}
	return fmt.Errorf("ask %s: %w", what, err)
}
