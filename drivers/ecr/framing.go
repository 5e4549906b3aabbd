package ecr

import (
	"errors"
	"fmt"
	"io"
)

// A LengthHeader is how a message says where it ends on a stream. The count never includes the header.
type LengthHeader byte

// The three headers seen at POS hosts.
const (
	Binary2 LengthHeader = iota + 1 // two bytes, high one first: most hosts
	BCD2                            // four digits in two bytes
	ASCII4                          // four digits in characters
)

// String returns the name of the header in messages for people.
func (l LengthHeader) String() string {
	switch l {
	case Binary2:
		return "2 bytes binary"
	case BCD2:
		return "2 bytes BCD"
	case ASCII4:
		return "4 ASCII digits"
	}
	return "no length header"
}

// ErrMore says that the message has not come whole yet.
var ErrMore = errors.New("message not complete")

// minMessage is message type and bitmap in BCD: nothing shorter is a message.
const minMessage = 2 + 8

// Size returns the length of the header.
func (l LengthHeader) Size() int {
	if l == ASCII4 {
		return 4
	}
	return 2
}

// Split takes the first message, without its header, off a stream. ErrMore says that more bytes are needed; any other
// error that this is not such a stream.
func (l LengthHeader) Split(b []byte) (message, rest []byte, err error) {
	if len(b) < l.Size() {
		return nil, b, ErrMore
	}
	n, err := l.length(b[:l.Size()])
	if err != nil {
		return nil, b, err
	}
	if len(b)-l.Size() < n {
		return nil, b, ErrMore
	}
	return b[l.Size() : l.Size()+n], b[l.Size()+n:], nil
}

func (l LengthHeader) length(h []byte) (int, error) {
	n := 0
	switch l {
	case Binary2:
		n = int(h[0])<<8 | int(h[1])
	case BCD2:
		if !allBCD(h) {
			return 0, fmt.Errorf("read length: %w: not %v", ErrNotISO8583, l)
		}
		n = int(h[0]>>4)*1000 + int(h[0]&15)*100 + int(h[1]>>4)*10 + int(h[1]&15)
	case ASCII4:
		if !allDigits(h) {
			return 0, fmt.Errorf("read length: %w: not %v", ErrNotISO8583, l)
		}
		for _, c := range h {
			n = n*10 + int(c-'0')
		}
	default:
		return 0, fmt.Errorf("read length: %v", l)
	}
	if n < minMessage || n > MaxMessage {
		return 0, fmt.Errorf("read length: %w: %d bytes, want %d to %d", ErrNotISO8583, n, minMessage, MaxMessage)
	}
	return n, nil
}

// Append writes the header for a message and the message behind it.
func (l LengthHeader) Append(dst, message []byte) []byte {
	n := len(message)
	switch l {
	case BCD2:
		dst = append(dst, byte(n/1000%10<<4|n/100%10), byte(n/10%10<<4|n%10))
	case ASCII4:
		dst = fmt.Appendf(dst, "%04d", n)
	default:
		dst = append(dst, byte(n>>8), byte(n))
	}
	return append(dst, message...)
}

// Read reads one message, without its header.
func (l LengthHeader) Read(r io.Reader) ([]byte, error) {
	h := make([]byte, l.Size())
	if _, err := io.ReadFull(r, h); err != nil {
		return nil, err
	}
	n, err := l.length(h)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		clear(b)
		return nil, fmt.Errorf("read message of %d bytes: %w", n, err)
	}
	return b, nil
}

// Detect finds the length header of a stream from its beginning: the one under which a whole message follows that a
// dialect can read. ErrMore says that no header is excluded yet and more bytes may tell.
func Detect(b []byte) (LengthHeader, error) {
	return detect(b, []LengthHeader{Binary2, BCD2, ASCII4}, nil)
}

func detect(b []byte, candidates []LengthHeader, dialects []*Dialect) (LengthHeader, error) {
	more := false
	for _, l := range candidates {
		message, _, err := l.Split(b)
		switch {
		case err == nil:
			// Parse zeroes what it reads, and the stream is still wanted.
			if _, err := Parse(append([]byte(nil), message...), dialects...); err == nil {
				return l, nil
			}
		case errors.Is(err, ErrMore):
			more = true
		}
	}
	if more {
		return 0, ErrMore
	}
	return 0, fmt.Errorf("find length header: %w", ErrNotISO8583)
}
