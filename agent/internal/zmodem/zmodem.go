// Package zmodem sends one file over a line to whatever receives by ZMODEM there: rz, minicom, SecureCRT, Tera Term.
// Terminals have no sz, and a program that only sends is small.
//
// It is the part of Chuck Forsberg's "The ZMODEM Inter Application File Transfer Protocol" (1988) that every receiver
// takes: 16-bit checks, one file, data streamed and resumed where the receiver asks for it.
package zmodem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"posdx/drivers/frame"
)

// Frame types.
const (
	zRQINIT = 0 // the sender is there
	zRINIT  = 1 // so is the receiver
	zACK    = 3 // of a packet that asked for it
	zFILE   = 4 // a file is offered
	zSKIP   = 5 // the receiver does not want it
	zABORT  = 7
	zFIN    = 8  // the session ends
	zRPOS   = 9  // send from here
	zDATA   = 10 // data from here
	zEOF    = 11 // the file ends here
	zFERR   = 12 // the receiver cannot write
)

// Bytes of the framing, and ends of a packet of data.
const (
	zPAD  = '*'
	zDLE  = 0x18 // also CAN: five of them end everything
	xon   = 0x11
	zCRCE = 'h' // the frame ends, a header follows
	zCRCG = 'i' // more follows at once
	zCRCW = 'k' // the frame ends and an answer is wanted
)

// Flags of ZRINIT, in its last byte.
const escapeControls = 0x40

const (
	packet      = 1024
	answerWait  = 10 * time.Second // for a receiver that writes to a slow disk
	mostErrors  = 12
	cancelAfter = 5 // CANs in a row
)

// Errors of Send besides those of the line.
var (
	ErrNoReceiver = errors.New("nobody receives: start rz, or ZMODEM receive of the terminal program")
	ErrCancelled  = errors.New("the other side cancelled")
	ErrRefused    = errors.New("the other side does not take the file: it has it already, or has no room")
)

// A sender is one transfer.
type sender struct {
	w        io.Writer
	in       <-chan []byte
	held     []byte
	controls bool // the receiver wants control characters escaped
	wait     time.Duration
}

// Send sends a file by this name. What comes from the other side is read from in, and zeroed: a card reader that types
// like a keyboard may have sent it. wait is how long a receiver may take to appear.
func Send(ctx context.Context, w io.Writer, in <-chan []byte, name string, at time.Time, data []byte,
	wait time.Duration) (err error) {
	s := &sender{w: w, in: in, wait: answerWait}
	defer func() {
		clear(s.held)
		if err != nil && !errors.Is(err, ErrRefused) {
			w.Write([]byte(strings.Repeat("\x18", 8) + strings.Repeat("\b", 8)))
		}
	}()
	if err := s.greet(ctx, wait); err != nil {
		return err
	}
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	offer := fmt.Appendf(nil, "%s\x00%d %o 100644 0 1 %d\x00", name, len(data), at.Unix(), len(data))
	pos, err := s.offer(ctx, offer)
	if err != nil {
		return err
	}
	for errs := 0; errs <= mostErrors; errs++ {
		again, err := s.stream(ctx, data, pos)
		if err != nil {
			return err
		}
		if again < 0 {
			return s.end(ctx)
		}
		if again > pos {
			errs = 0 // it goes on
		}
		pos = again
	}
	return errors.New("the line is too bad: too many errors")
}

// greet waits for a receiver. A receiver that starts late asks by itself.
func (s *sender) greet(ctx context.Context, wait time.Duration) error {
	until := time.Now().Add(wait)
	for time.Now().Before(until) {
		// The word starts rz in a shell, and does no harm in a terminal program that waits for the header.
		if _, err := s.w.Write(append([]byte("rz\r"), hexHeader(zRQINIT, 0)...)); err != nil {
			return err
		}
		kind, flags, err := s.header(ctx, min(3*time.Second, time.Until(until)))
		switch {
		case errors.Is(err, errSilent):
			continue
		case err != nil:
			return err
		case kind == zRINIT:
			s.controls = flags>>24&escapeControls != 0
			return nil
		}
	}
	return ErrNoReceiver
}

// offer names the file and returns where the receiver wants it from.
func (s *sender) offer(ctx context.Context, what []byte) (int, error) {
	for range mostErrors {
		frame := s.binaryHeader(zFILE, 0)
		if _, err := s.w.Write(append(frame, s.sub(what, zCRCW)...)); err != nil {
			return 0, err
		}
		for {
			kind, at, err := s.header(ctx, s.wait)
			if errors.Is(err, errSilent) {
				break
			}
			switch {
			case err != nil:
				return 0, err
			case kind == zRPOS:
				return int(at), nil
			case kind == zSKIP || kind == zFERR:
				s.end(ctx)
				return 0, ErrRefused
			case kind == zABORT || kind == zFIN:
				return 0, ErrCancelled
			}
			// One more ZRINIT was on its way: wait for the answer to the offer.
		}
	}
	return 0, ErrNoReceiver
}

// stream sends from a place to the end and returns -1 when the receiver has all, or the place from which it wants it
// again.
func (s *sender) stream(ctx context.Context, data []byte, pos int) (int, error) {
	if pos > len(data) {
		return 0, errors.New("the receiver asks for more than there is")
	}
	if pos < len(data) {
		if _, err := s.w.Write(s.binaryHeader(zDATA, uint32(pos))); err != nil {
			return 0, err
		}
	}
	for at := pos; at < len(data); {
		n := min(packet, len(data)-at)
		end := byte(zCRCG)
		if at+n == len(data) {
			end = zCRCE
		}
		if _, err := s.w.Write(s.sub(data[at:at+n], end)); err != nil {
			return 0, err
		}
		at += n
		kind, from, err := s.header(ctx, 0)
		switch {
		case errors.Is(err, errSilent):
		case err != nil:
			return 0, err
		case kind == zRPOS:
			return int(from), nil
		case kind == zSKIP || kind == zFERR || kind == zABORT:
			return 0, ErrCancelled
		}
	}
	for range mostErrors {
		if _, err := s.w.Write(s.binaryHeader(zEOF, uint32(len(data)))); err != nil {
			return 0, err
		}
		kind, from, err := s.header(ctx, s.wait)
		switch {
		case errors.Is(err, errSilent):
		case err != nil:
			return 0, err
		case kind == zRINIT:
			return -1, nil
		case kind == zRPOS:
			return int(from), nil
		case kind == zSKIP || kind == zFERR || kind == zABORT:
			return 0, ErrCancelled
		}
	}
	return 0, errors.New("the receiver does not say that it has all")
}

// end takes leave. The file is there; a receiver that does not answer any more has it all the same.
func (s *sender) end(ctx context.Context) error {
	for range 3 {
		if _, err := s.w.Write(hexHeader(zFIN, 0)); err != nil {
			return err
		}
		kind, _, err := s.header(ctx, s.wait/3)
		if err != nil && !errors.Is(err, errSilent) {
			return err
		}
		if err == nil && kind == zFIN {
			break
		}
	}
	_, err := s.w.Write([]byte("OO"))
	return err
}

var errSilent = errors.New("silent")

// next is the next byte from the other side.
func (s *sender) next(ctx context.Context, due <-chan time.Time) (byte, error) {
	for len(s.held) == 0 {
		if due == nil {
			select {
			case b, ok := <-s.in:
				if !ok {
					return 0, io.ErrUnexpectedEOF
				}
				s.held = b
			default:
				return 0, errSilent
			}
			continue
		}
		select {
		case b, ok := <-s.in:
			if !ok {
				return 0, io.ErrUnexpectedEOF
			}
			s.held = b
		case <-due:
			return 0, errSilent
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	c := s.held[0]
	s.held[0] = 0
	s.held = s.held[1:]
	return c, nil
}

// header reads the next header that is whole: receivers send them in hexadecimal. It waits for at most so long; with
// 0 for nothing but the rest of one that has begun.
func (s *sender) header(ctx context.Context, wait time.Duration) (kind byte, value uint32, err error) {
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	cans := 0
	state := 0 // of "**\x18B"
	for {
		c, err := s.next(ctx, due)
		if err != nil {
			return 0, 0, err
		}
		if c == zDLE {
			if cans++; cans == cancelAfter {
				return 0, 0, ErrCancelled
			}
		} else {
			cans = 0
		}
		switch {
		case state < 2 && c == zPAD:
			state = 1
		case state == 1 && c == zDLE:
			state = 2
		case state == 2 && c == 'B':
			if due == nil {
				t := time.NewTimer(time.Second)
				defer t.Stop()
				due = t.C
			}
			if kind, value, ok, err := s.hex(ctx, due); err != nil || ok {
				return kind, value, err
			}
			state = 0
		default:
			state = 0
		}
	}
}

// hex reads the digits of a header in hexadecimal.
func (s *sender) hex(ctx context.Context, due <-chan time.Time) (kind byte, value uint32, ok bool, err error) {
	var b [7]byte
	for i := range 2 * len(b) {
		c, err := s.next(ctx, due)
		if err != nil {
			return 0, 0, false, err
		}
		d := strings.IndexByte("0123456789abcdef", c&0x7f|0x20)
		if c&0x7f >= '0' && c&0x7f <= '9' {
			d = int(c&0x7f - '0')
		}
		if d < 0 {
			return 0, 0, false, nil
		}
		b[i/2] = b[i/2]<<4 | byte(d)
	}
	if crc(b[:]) != 0 {
		return 0, 0, false, nil
	}
	return b[0], uint32(b[1]) | uint32(b[2])<<8 | uint32(b[3])<<16 | uint32(b[4])<<24, true, nil
}

// crc is CRC-16/XMODEM; of bytes with their own check behind them it is 0.
func crc(b []byte) (c uint16) {
	for _, x := range b {
		c = frame.CRC16(c, x)
	}
	return c
}

func header(kind byte, value uint32) []byte {
	b := []byte{kind, byte(value), byte(value >> 8), byte(value >> 16), byte(value >> 24)}
	c := crc(b)
	return append(b, byte(c>>8), byte(c))
}

func hexHeader(kind byte, value uint32) []byte {
	b := fmt.Appendf([]byte{zPAD, zPAD, zDLE, 'B'}, "%x\r\x8a", header(kind, value))
	if kind != zFIN {
		b = append(b, xon)
	}
	return b
}

func (s *sender) binaryHeader(kind byte, value uint32) []byte {
	return s.escape([]byte{zPAD, zDLE, 'A'}, header(kind, value))
}

// sub is one packet of data with its end and its check.
func (s *sender) sub(data []byte, end byte) []byte {
	c := crc(append(data[:len(data):len(data)], end))
	b := s.escape(make([]byte, 0, len(data)+len(data)/8+16), data)
	return s.escape(append(b, zDLE, end), []byte{byte(c >> 8), byte(c)})
}

// escape writes what a line, or a program in it, could take for itself as two other characters.
func (s *sender) escape(to, b []byte) []byte {
	for _, c := range b {
		switch low := c & 0x7f; {
		case c == zDLE, low == 0x10, low == xon, low == 0x13, low == '\r', s.controls && low < ' ':
			to = append(to, zDLE, c^0x40)
		default:
			to = append(to, c)
		}
	}
	return to
}
