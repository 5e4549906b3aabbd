package ecr

import (
	"errors"
	"fmt"
	"io"

	"posdx/drivers/frame"
)

// A LengthHeader is the way in which a stream tells the length of each message.
type LengthHeader byte

// The headers seen at POS hosts. All count the bytes behind them; those called Self count their own bytes, too.
const (
	Binary2     LengthHeader = iota + 1 // two bytes, high one first: most hosts
	BCD2                                // four digits in two bytes
	ASCII4                              // four digits in characters
	Binary2Self                         // American Express, among others
	BCD2Self
	ASCII4Self
	Binary4 // four bytes, high one first
	Binary4Self
	Binary2Pad // two bytes and two of zero: VisaNet
	Hex4       // four hex digits in characters
	Little2    // two bytes, low one first
	Little4    // four bytes, low one first
	STXBCD2    // STX, four digits in two bytes; behind it ETX and the XOR of all but STX: UnionPay over serial lines
)

// lengthHeaders are all of them, in the order in which they are tried, with the names that a configuration gives them.
var lengthHeaders = []LengthHeader{Binary2, BCD2, ASCII4, Binary2Self, BCD2Self, ASCII4Self, Binary4, Binary4Self,
	Binary2Pad, Hex4, Little2, Little4, STXBCD2}

var lengthNames = [...][2]string{
	Binary2: {"binary2", "2 bytes binary"}, BCD2: {"bcd2", "2 bytes BCD"}, ASCII4: {"ascii4", "4 ASCII digits"},
	Binary2Self: {"binary2-self", "2 bytes binary that count themselves"}, BCD2Self: {"bcd2-self", "2 bytes BCD that count themselves"},
	ASCII4Self: {"ascii4-self", "4 ASCII digits that count themselves"}, Binary4: {"binary4", "4 bytes binary"},
	Binary4Self: {"binary4-self", "4 bytes binary that count themselves"}, Binary2Pad: {"binary2-pad", "2 bytes binary and 2 of zero"},
	Hex4: {"hex4", "4 hex digits"}, Little2: {"little2", "2 bytes binary, low one first"},
	Little4: {"little4", "4 bytes binary, low one first"}, STXBCD2: {"stx-bcd2", "STX and 2 bytes BCD, ETX and a check sum behind"},
}

// String returns the name of the header in messages for people.
func (l LengthHeader) String() string {
	if l > 0 && int(l) < len(lengthNames) {
		return lengthNames[l][1]
	}
	return "no length header"
}

// LengthHeaderByName returns the header that a configuration names; 0 for the empty name.
func LengthHeaderByName(name string) (LengthHeader, error) {
	if name == "" {
		return 0, nil
	}
	for l, n := range lengthNames {
		if n[0] == name {
			return LengthHeader(l), nil
		}
	}
	return 0, fmt.Errorf("find length header: no header is called %q", name)
}

// LengthHeaderNames returns the names that a configuration may give.
func LengthHeaderNames() (list []string) {
	for _, l := range lengthHeaders {
		list = append(list, lengthNames[l][0])
	}
	return list
}

// ErrMore is the error of a message that has not come whole yet: with more bytes it may be read.
var ErrMore = errors.New("message not complete")

// Errors of a length header. They are made once: most bytes of a stream that is no such are no length.
var (
	errHeader = fmt.Errorf("read length: %w: not in this form", ErrNotISO8583)
	errLength = fmt.Errorf("read length: %w: want %d to %d bytes", ErrNotISO8583, minMessage, MaxMessage)
)

// minMessage is message type and bitmap in BCD: nothing shorter is a message.
const minMessage = 2 + 8

// Size returns the length of the header.
func (l LengthHeader) Size() int {
	switch l {
	case ASCII4, ASCII4Self, Binary4, Binary4Self, Binary2Pad, Hex4, Little4:
		return 4
	case STXBCD2:
		return 3
	}
	return 2
}

// tail is how many bytes follow a message.
func (l LengthHeader) tail() int {
	if l == STXBCD2 {
		return 2
	}
	return 0
}

// ends tells whether b, header, message and tail, ends as it should.
func (l LengthHeader) ends(b []byte) bool {
	if l != STXBCD2 {
		return true
	}
	return b[len(b)-2] == etx && b[len(b)-1] == frame.XOR(0, b[1:len(b)-1])
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
	all := l.Size() + n + l.tail()
	if len(b) < all {
		return nil, b, ErrMore
	}
	if !l.ends(b[:all]) {
		return nil, b, errHeader
	}
	return b[l.Size() : l.Size()+n], b[all:], nil
}

func (l LengthHeader) length(h []byte) (int, error) {
	n := 0
	bad := false
	switch l {
	case Binary2, Binary2Self:
		n = int(h[0])<<8 | int(h[1])
	case Little2:
		n = int(h[1])<<8 | int(h[0])
	case Little4:
		if n = int(h[1])<<8 | int(h[0]); h[2]|h[3] != 0 {
			bad = true
		}
	case STXBCD2:
		bad = h[0] != stx || !allBCD(h[1:])
		n = int(h[1]>>4)*1000 + int(h[1]&15)*100 + int(h[2]>>4)*10 + int(h[2]&15)
	case Binary2Pad:
		if n = int(h[0])<<8 | int(h[1]); h[2]|h[3] != 0 {
			bad = true
		}
	case Binary4, Binary4Self:
		if n = int(h[2])<<8 | int(h[3]); h[0]|h[1] != 0 {
			bad = true
		}
	case BCD2, BCD2Self:
		bad = !allBCD(h)
		n = int(h[0]>>4)*1000 + int(h[0]&15)*100 + int(h[1]>>4)*10 + int(h[1]&15)
	case ASCII4, ASCII4Self:
		bad = !frame.AllDigits(h)
		for _, c := range h {
			n = n*10 + int(c-'0')
		}
	case Hex4:
		bad = !allHex(h)
		for _, c := range h {
			if c > '9' {
				c += 9 // A and a end in 1
			}
			n = n<<4 | int(c&15)
		}
	default:
		return 0, fmt.Errorf("read length: %v", l)
	}
	if bad {
		return 0, errHeader
	}
	switch l {
	case Binary2Self, BCD2Self, ASCII4Self, Binary4Self:
		n -= l.Size()
	}
	if n < minMessage || n > MaxMessage {
		return 0, errLength
	}
	return n, nil
}

// Append writes the header for a message and the message behind it.
func (l LengthHeader) Append(dst, message []byte) []byte {
	n := len(message)
	switch l {
	case Binary2Self, BCD2Self, ASCII4Self, Binary4Self:
		n += l.Size()
	}
	switch l {
	case BCD2, BCD2Self:
		dst = append(dst, byte(n/1000%10<<4|n/100%10), byte(n/10%10<<4|n%10))
	case ASCII4, ASCII4Self:
		dst = fmt.Appendf(dst, "%04d", n)
	case Hex4:
		dst = fmt.Appendf(dst, "%04X", n)
	case Binary4, Binary4Self:
		dst = append(dst, 0, 0, byte(n>>8), byte(n))
	case Binary2Pad:
		dst = append(dst, byte(n>>8), byte(n), 0, 0)
	case Little2:
		dst = append(dst, byte(n), byte(n>>8))
	case Little4:
		dst = append(dst, byte(n), byte(n>>8), 0, 0)
	case STXBCD2:
		from := len(dst)
		dst = append(dst, stx, byte(n/1000%10<<4|n/100%10), byte(n/10%10<<4|n%10))
		dst = append(append(dst, message...), etx)
		return append(dst, frame.XOR(0, dst[from+1:]))
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
	b := make([]byte, n+l.tail())
	if _, err := io.ReadFull(r, b); err != nil {
		clear(b)
		return nil, fmt.Errorf("read message of %d bytes: %w", n, err)
	}
	return b[:n], nil
}

// detect finds which of some length headers a stream has, from its first bytes: the one behind which stands a whole
// message that a dialect can read. With ErrMore more bytes may still decide it.
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
