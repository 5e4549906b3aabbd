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
	asksMax  = 2    // a command is said twice before silence is believed
	bytesMax = 4096 // what one command may bring before the device counts as babbling
	readMax  = 256  // bytes of one read
)

// A visit is one dialogue with a device: what all protocols have in common.
type visit struct {
	link   serial.Link
	health Health
	before Health // when the command was said
	in     [readMax]byte
	rest   []byte // of in, not yet looked at
	heard  int    // bytes since the command
}

// begin drops what came before we asked anything: half a frame of somebody else, notices.
func (v *visit) begin() error {
	if p, ok := v.link.(interface{ Discard() error }); ok {
		return p.Discard()
	}
	return nil
}

// forget wipes what was read.
func (v *visit) forget() { clear(v.in[:]) }

// say sends a command whose answer must come within a limit. The caller calls stop when it has it.
func (v *visit) say(ctx context.Context, limit time.Duration, frame []byte) (stop func(), err error) {
	if stop, err = serial.Bind(ctx, v.link, time.Now().Add(limit)); err != nil {
		return nil, err
	}
	v.before, v.heard, v.rest = v.health, 0, nil
	if err := v.add(ctx, frame); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// add sends more within the same limit.
func (v *visit) add(ctx context.Context, b []byte) error {
	_, err := v.link.Write(b)
	return serial.Why(ctx, err)
}

// next reads a byte of the answer. Pending says that a frame has begun: if it never ends, the line is not silent but
// garbled.
func (v *visit) next(ctx context.Context, pending bool) (byte, error) {
	for len(v.rest) == 0 {
		n, err := v.link.Read(v.in[:])
		v.rest = v.in[:n]
		if n == 0 && err != nil {
			v.health.Silence++
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && (pending || v.spoiled()) {
				return 0, serial.ErrGarbled
			}
			return 0, serial.Why(ctx, err)
		}
	}
	if v.heard++; v.heard > bytesMax {
		return 0, fmt.Errorf("babbles: %w", serial.ErrGarbled)
	}
	c := v.rest[0]
	v.rest = v.rest[1:]
	return c, nil
}

// spoiled says that since the command the device has said something that could not be understood.
func (v *visit) spoiled() bool {
	now, then := v.health, v.before
	return now.Garbage > then.Garbage || now.CRC > then.CRC || now.Stray > then.Stray || now.NAK > then.NAK
}

// twice asks until there is an answer. A device that is silent the second time, but was not the first, is garbled.
func (v *visit) twice(ctx context.Context, what string, once func() error) error {
	var err error
	first := v.health
	for range asksMax {
		if err = once(); err == nil {
			v.health.Answers++
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
