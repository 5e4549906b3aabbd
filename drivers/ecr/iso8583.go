package ecr

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Errors of the walker. A message that is refused is refused as a whole: nothing is guessed from half a message.
var (
	ErrNotISO8583   = errors.New("no ISO 8583 message")
	ErrInconsistent = errors.New("inconsistent ISO 8583 message")
)

// MaxMessage bounds a message without its length header. The largest seen at a POS host, a key or parameter download,
// is below 1.5 kB.
const MaxMessage = 4096

// A Message is what may be known of one ISO 8583 message: the allow-list. A member that the message does not carry, or
// whose characters are not those its field may have, is empty.
type Message struct {
	Dialect    string // name of the Dialect it was read with
	TPDU       string // ten digits: 60, destination, source; empty without one
	MTI        string // four digits
	Processing string // field 3
	STAN       string // field 11
	Time       string // field 12, hhmmss at the terminal (a host answers with its own)
	Date       string // field 13, MMDD
	Reference  string // field 37
	Code       string // field 39. In a request 04xx it is the terminal's own reason, no verdict of a host
	Terminal   string // field 41
	Length     int    // bytes without the length header
	Card       Card   // whose it is, of fields 2 and 35, where somebody counts cards
}

// Response says whether the message is an answer.
func (m Message) Response() bool { return len(m.MTI) == 4 && (m.MTI[2]-'0')&1 == 1 }

// Reversal says whether the message belongs to class 4: in its request field 39 is the terminal's reason.
func (m Message) Reversal() bool { return len(m.MTI) == 4 && m.MTI[1] == '4' }

// Sale says whether the message is about a card and an amount: class 1, an authorisation (of a pre-authorisation, a
// balance, in some countries every sale), or class 2, a financial one (sale, refund, completion, their cancelling and
// advices of them).
func (m Message) Sale() bool { return len(m.MTI) == 4 && (m.MTI[1] == '1' || m.MTI[1] == '2') }

// Approves says whether field 39 is the one that all hosts answer with when all went well: 00, 000 (ISO 8583:1993), 0000.
func (m Message) Approves() bool { return m.Code != "" && strings.Trim(m.Code, "0") == "" }

// Scheme returns the code table of field 39 where the message itself says which: a version of ISO 8583 that has action
// codes of three or four digits. It is empty for the codes of two characters, of which every acquirer has its own.
func (m Message) Scheme() string {
	switch {
	case len(m.MTI) == 4 && m.MTI[0] == '1' && len(m.Code) == 3:
		return "iso8583-1993"
	case len(m.MTI) == 4 && m.MTI[0] == '2' && len(m.Code) == 4:
		return "iso8583-2003"
	}
	return ""
}

// splitTPDU takes the five bytes of transport address off a message, if it has them.
func splitTPDU(b []byte) (tpdu, rest []byte) {
	// A message type starts with the version digit, 0 to 2, so 60 can only be a TPDU or the POS header, and that one
	// never comes first.
	if len(b) > 5 && b[0] == 0x60 {
		return b[:5], b[5:]
	}
	return nil, b
}

// lriLength is what a network access controller puts between TPDU and message on a dialled call: LRI, LLI or LUI, a
// binary length of 28, and the caller's number and routing.
const lriLength = 3 + 2 + 28

func skipLRI(b []byte) []byte {
	if len(b) < lriLength || b[3] != 0 || b[4] != 28 {
		return b
	}
	for _, name := range []string{"LRI", "LLI", "LUI"} {
		if bytes.HasPrefix(b, []byte(name)) {
			return b[lriLength:]
		}
	}
	return b
}

// posHeader is the application header of a UnionPay POS message: class, version, state and requirement, software
// version. Class is 60 or 61; no message type starts with a 6.
const posHeader = 6

func skipHeader(b []byte) []byte {
	if len(b) > posHeader && b[0]>>4 == 6 {
		return b[posHeader:]
	}
	return b
}

// Parse reads one message without its length header, trying each dialect in turn, all of them if none is named. A
// dialect fits only if its walk over every field ends exactly where the message ends. Parse zeroes b.
func Parse(b []byte, dialects ...*Dialect) (Message, error) { return parse(b, nil, dialects) }

func parse(b []byte, tags *Tags, dialects []*Dialect) (Message, error) {
	defer clear(b)
	if len(b) > MaxMessage {
		return Message{}, fmt.Errorf("read message of %d bytes: %w: at most %d", len(b), ErrNotISO8583, MaxMessage)
	}
	if len(dialects) == 0 {
		dialects = All()
	}
	tpdu, body := splitTPDU(b)
	body = skipHeader(skipLRI(body))
	var first error
	for _, d := range dialects {
		m, err := d.walk(body, tags)
		if err == nil {
			m.Dialect, m.Length = d.Name, len(b)
			if tpdu != nil {
				m.TPDU = bcd(tpdu, 10)
			}
			return m, nil
		}
		if first == nil || errors.Is(first, ErrNotISO8583) {
			first = err
		}
	}
	return Message{}, fmt.Errorf("read message of %d bytes: %w", len(b), first)
}

// walk reads message type, bitmaps and fields. No error tells a value: it may be a card's.
func (d *Dialect) walk(b []byte, tags *Tags) (Message, error) {
	var m Message
	var card []byte
	c := cursor{rest: b}
	m.MTI = d.digits(c.take(d.numeric(4)), 4)
	if len(m.MTI) != 4 || m.MTI[0] > '2' || m.MTI[1] == '0' || m.MTI[1] > '8' {
		return Message{}, fmt.Errorf("%s: %w: no message type", d.Name, ErrNotISO8583)
	}
	bitmap := c.bitmap(d.HexBitmap)
	if c.short {
		return Message{}, fmt.Errorf("%s: %w: ends within the bitmap", d.Name, ErrNotISO8583)
	}
	if bitmap[0]&0x80 != 0 {
		bitmap = append(bitmap, c.bitmap(d.HexBitmap)...)
	}
	for n := 2; n <= len(bitmap)*8; n++ {
		if bitmap[(n-1)/8]&(0x80>>((n-1)%8)) == 0 {
			continue
		}
		f := d.fields[n]
		if f.kind == none {
			return Message{}, fmt.Errorf("%s: %w: field %d is not in the table", d.Name, ErrInconsistent, n)
		}
		v, ok := d.field(&c, f)
		if !ok {
			return Message{}, fmt.Errorf("%s: %w: field %d", d.Name, ErrInconsistent, n)
		}
		switch n {
		case 2:
			card = v
		case 35:
			if card == nil {
				card = v
			}
		case 3:
			m.Processing = d.digits(v, 6)
		case 11:
			m.STAN = d.digits(v, 6)
		case 12:
			m.Time = d.digits(v, 6)
		case 13:
			m.Date = d.digits(v, 4)
		case 37:
			m.Reference = text(v)
		case 39:
			m.Code = text(v)
		case 41:
			m.Terminal = text(v)
		}
	}
	if len(c.rest) != 0 || c.short {
		return Message{}, fmt.Errorf("%s: %w: %d bytes after the last field", d.Name, ErrInconsistent, len(c.rest))
	}
	m.Card = tags.card(card, !d.ASCII)
	return m, nil
}

// field takes one field.
func (d *Dialect) field(c *cursor, f field) (v []byte, ok bool) {
	n := f.size
	if f.prefix > 0 {
		l := d.digits(c.take(d.numeric(f.prefix)), f.prefix)
		if len(l) != f.prefix {
			return nil, false
		}
		n = 0
		for _, r := range l {
			n = n*10 + int(r-'0')
		}
		if n > f.size {
			return nil, false
		}
	}
	switch f.kind {
	case digits:
		v = c.take(d.numeric(n))
		// Anything but a digit means that the walk is out of step. Tracks have their own kind: there D separates.
		if d.ASCII && !allDigits(v) || !d.ASCII && !packed(v, n) {
			return nil, false
		}
	case track:
		v = c.take(d.numeric(n))
	case signed:
		v = c.take(1 + d.numeric(n))
	case chars8, raw:
		v = c.take(n)
	}
	return v, !c.short
}

// numeric returns how many bytes n digits take.
func (d *Dialect) numeric(n int) int {
	if d.ASCII {
		return n
	}
	return (n + 1) / 2
}

// digits returns n digits of a numeric field, those on the right where the first nibble is padding; empty if they are
// none.
func (d *Dialect) digits(b []byte, n int) string {
	if d.ASCII {
		if !allDigits(b) {
			return ""
		}
		return string(b)
	}
	return bcd(b, n)
}

func bcd(b []byte, n int) string {
	if !allBCD(b) || len(b)*2 < n {
		return ""
	}
	s := make([]byte, 0, 2*len(b))
	for _, c := range b {
		s = append(s, '0'+c>>4, '0'+c&15)
	}
	return string(s[len(s)-n:])
}

func allBCD(b []byte) bool {
	for _, c := range b {
		if c>>4 > 9 || c&15 > 9 {
			return false
		}
	}
	return true
}

// packed says whether b holds n packed digits; with an odd n the nibble too many, at either end, may be anything.
func packed(b []byte, n int) bool {
	if n%2 == 0 || len(b) == 0 {
		return allBCD(b)
	}
	last := len(b) - 1
	left := b[0]>>4 <= 9 && (last == 0 || b[0]&15 <= 9 && allBCD(b[1:last]) && b[last]>>4 <= 9)
	right := b[last]&15 <= 9 && (last == 0 || b[last]>>4 <= 9 && allBCD(b[1:last]) && b[0]&15 <= 9)
	return left || right
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// text returns a character field of the allow-list without the spaces around it, empty if it holds anything but
// printable ASCII.
func text(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(bytes.TrimSpace(b))
}

// A cursor takes bytes off the front; past the end it takes none and says short.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.rest) {
		c.short, c.rest = true, nil
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

// bitmap takes eight bytes, or sixteen hex digits; it is a copy.
func (c *cursor) bitmap(hex bool) []byte {
	if !hex {
		return append([]byte(nil), c.take(8)...)
	}
	m := make([]byte, 8)
	for i, h := range c.take(16) {
		switch {
		case h >= '0' && h <= '9':
			h -= '0'
		case h >= 'A' && h <= 'F':
			h -= 'A' - 10
		case h >= 'a' && h <= 'f':
			h -= 'a' - 10
		default:
			c.short = true
			return m
		}
		m[i/2] |= h << (4 - i%2*4)
	}
	return m
}
