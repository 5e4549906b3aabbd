package ecr

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"posdx/drivers/frame"
)

// Errors of the walker. A message that is refused is refused as a whole: nothing is guessed from half a message.
var (
	ErrNotISO8583   = errors.New("no ISO 8583 message")
	ErrInconsistent = errors.New("inconsistent ISO 8583 message")
)

// errNoType is made once, not at each use: most bytes that are no message fail at the message type, so this error is
// frequent.
var errNoType = fmt.Errorf("read message: %w: no message type", ErrNotISO8583)

// MaxMessage bounds a message without its length header. The largest seen at a POS host, a key or parameter download,
// is below 1.5 kB.
const MaxMessage = 4096

// A Message is what may be known of one ISO 8583 message: the allow-list of its fields. A member is empty if the
// message does not carry it, or if its characters are not those that the field may have.
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
	Card       Card   // which card it is, told by fields 2 and 35; only where cards are counted
}

// Response reports whether the message is an answer.
func (m Message) Response() bool { return len(m.MTI) == 4 && (m.MTI[2]-'0')&1 == 1 }

// Reversal reports whether the message belongs to class 4: in its request field 39 is the terminal's reason.
func (m Message) Reversal() bool { return len(m.MTI) == 4 && m.MTI[1] == '4' }

// Sale reports whether the message is about a card and an amount: class 1, an authorisation (of a pre-authorisation, a
// balance, in some countries every sale), or class 2, a financial one (sale, refund, completion, their cancelling and
// advices of them).
func (m Message) Sale() bool { return len(m.MTI) == 4 && (m.MTI[1] == '1' || m.MTI[1] == '2') }

// Approves reports whether field 39 is the one that all hosts answer with when all went well: 00, 000 (ISO 8583:1993),
// 0000.
func (m Message) Approves() bool { return m.Code != "" && strings.Trim(m.Code, "0") == "" }

// Scheme returns the code table of field 39 where the message itself tells it: of a version of ISO 8583 with action
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

// Sizes of what else may stand before the message type.
const (
	versionHeader = 2  // behind a TPDU, of the software
	base24Header  = 12 // ISO, product, release, status, originator and responder, in characters
	visaHeader    = 22 // its own length in binary, flag and format, …
	textTPDU      = 10 // a TPDU in characters
)

// bodies gives the places at which a message type may stand, the usual ones first.
func bodies(b []byte) (tpdu []byte, list [3][]byte) {
	tpdu, body := splitTPDU(b)
	list[0] = skipHeader(skipLRI(body))
	switch {
	case tpdu != nil && len(body) > versionHeader:
		list[1] = body[versionHeader:]
	case len(b) > base24Header && string(b[:3]) == "ISO" && frame.AllDigits(b[3:base24Header]):
		list[1] = b[base24Header:]
	case len(b) > visaHeader && b[0] == visaHeader && b[1] == 1:
		list[1] = b[visaHeader:]
	case len(b) > textTPDU && string(b[:2]) == "60" && frame.AllDigits(b[:textTPDU]):
		list[1] = b[textTPDU:]
	}
	return tpdu, list
}

// Parse reads one message without its length header, trying each dialect in turn, all of them if none is named. A
// dialect fits only if its walk over every field ends exactly where the message ends. Parse zeroes b.
func Parse(b []byte, dialects ...*Dialect) (Message, error) { return parse(b, nil, dialects) }

func parse(b []byte, tags *Tags, some []*Dialect) (Message, error) {
	defer clear(b)
	deepen()
	if len(b) > MaxMessage {
		return Message{}, fmt.Errorf("read message of %d bytes: %w: at most %d", len(b), ErrNotISO8583, MaxMessage)
	}
	if len(some) == 0 {
		some = dialects
	}
	tpdu, places := bodies(b)
	var first error
	var poor Message // one that fits, but whose text is not in the dialect's characters
	for _, body := range places {
		for _, d := range some {
			if !d.begins(body) {
				continue
			}
			m, clean, err := d.walk(body, tags)
			if err == nil {
				m.Dialect, m.Length = d.Name, len(b)
				if tpdu != nil {
					m.TPDU = bcd(tpdu, 10)
				}
				if clean {
					return m, nil
				}
				if poor.MTI == "" {
					poor = m
				}
				continue
			}
			if first == nil || errors.Is(first, ErrNotISO8583) {
				first = err
			}
		}
	}
	switch {
	case poor.MTI != "":
		return poor, nil
	case first == nil:
		return Message{}, errNoType
	}
	return Message{}, fmt.Errorf("read message of %d bytes: %w", len(b), first)
}

// deepen has the goroutine's stack grow now, if it must: one that grows while a message is read leaves its old place
// behind, with what stood there.
//
//go:noinline
func deepen() byte {
	var room [4096]byte
	return room[len(dialects)]
}

// begins tells whether a message type stands at the beginning of b, in the dialect's way.
func (d *Dialect) begins(b []byte) bool {
	if len(b) < d.numeric(4) {
		return false
	}
	var t [4]byte
	for i := range t {
		switch {
		case !d.ASCII:
			t[i] = b[i/2] >> (4 * (1 - i%2)) & 15
		case d.EBCDIC:
			t[i] = b[i] - 0xF0
		default:
			t[i] = b[i] - '0'
		}
		if t[i] > 9 {
			return false
		}
	}
	return t[0] <= 2 && t[1] >= 1 && t[1] <= 8 && (d.version == 0 || t[0] == d.version-'0')
}

// walk reads message type, bitmaps and fields. clean tells that all text that is taken is in the characters of the
// dialect. No error names a value: it may be card data.
func (d *Dialect) walk(b []byte, tags *Tags) (m Message, clean bool, err error) {
	var card []byte
	var processing, stan, when, date, reference, code, terminal []byte
	c := cursor{rest: b}
	if !d.begins(b) {
		return Message{}, false, fmt.Errorf("%s: %w: no message type", d.Name, ErrNotISO8583)
	}
	m.MTI = d.digits(c.take(d.numeric(4)), 4)
	// Where this is no message in this dialect, what is taken for a bitmap may be a card's.
	var bits [2 * bitmapSize]byte
	defer clear(bits[:])
	bitmap := bits[:bitmapSize]
	c.bitmap(bitmap, d.HexBitmap)
	if c.short {
		return Message{}, false, fmt.Errorf("%s: %w: ends within the bitmap", d.Name, ErrNotISO8583)
	}
	if bitmap[0]&0x80 != 0 {
		bitmap = bits[:]
		c.bitmap(bits[bitmapSize:], d.HexBitmap)
	}
	for n := 2; n <= len(bitmap)*8; n++ {
		if bitmap[(n-1)/8]&(0x80>>((n-1)%8)) == 0 {
			continue
		}
		f := d.fields[n]
		if f.kind == none {
			return Message{}, false, fmt.Errorf("%s: %w: field %d is not in the table", d.Name, ErrInconsistent, n)
		}
		v, ok := d.field(&c, f)
		if !ok {
			return Message{}, false, fmt.Errorf("%s: %w: field %d", d.Name, ErrInconsistent, n)
		}
		switch n {
		case 2:
			card = v
		case 35:
			if card == nil {
				card = v
			}
		case 3:
			processing = v
		case 11:
			stan = v
		case 12:
			when = v
		case 13:
			date = v
		case 37:
			reference = v
		case 39:
			code = v
		case 41:
			terminal = v
		}
	}
	if d.ASCII && len(c.rest) == 1 && c.rest[0] == etx {
		c.rest = nil // BASE24 ends a message so
	}
	if len(c.rest) != 0 || c.short {
		return Message{}, false, fmt.Errorf("%s: %w: %d bytes after the last field", d.Name, ErrInconsistent, len(c.rest))
	}
	// Copies are made only now: where this is no message in this dialect, what is taken for a field may be a card's.
	m.Processing, m.STAN = d.digits(processing, 6), d.digits(stan, 6)
	if d.fields[12].size == 12 { // ISO 8583:1993 has the date in it
		if at := d.digits(when, 12); len(at) == 12 {
			m.Date, m.Time = at[2:6], at[6:]
		}
	} else {
		m.Time, m.Date = d.digits(when, 6), d.digits(date, 4)
	}
	if m.Reference, m.Terminal, m.Code = d.text(reference), d.text(terminal), d.text(code); d.fields[39].kind == digits {
		m.Code = d.digits(code, d.fields[39].size)
	}
	clean = (reference == nil || m.Reference != "") && (code == nil || m.Code != "") && (terminal == nil || m.Terminal != "")
	if d.ASCII && d.EBCDIC {
		for i := range card { // the message is zeroed, so it may be written over
			card[i] &= 0x3F
		}
	}
	m.Card = tags.card(card, !d.ASCII)
	return m, clean, nil
}

// field takes one field.
func (d *Dialect) field(c *cursor, f field) (v []byte, ok bool) {
	n := f.size
	if f.prefix > 0 {
		if n, ok = d.size(c.take(d.prefix(f.prefix))); !ok {
			return nil, false
		}
		if n > f.size {
			return nil, false
		}
	}
	switch f.kind {
	case digits:
		v = c.take(d.numeric(n))
		// Anything but a digit means that the walk is out of step. Tracks have their own kind: there D separates.
		if d.ASCII && !d.allDigits(v) || !d.ASCII && !packed(v, n) {
			return nil, false
		}
	case track:
		v = c.take(d.numeric(n))
	case signed:
		v = c.take(1 + d.numeric(n))
	case chars8:
		v = c.take(n)
	case raw:
		if d.Hex == hexOfSize || d.Hex == hexOfHex && f.prefix == 0 {
			n *= 2
		}
		if v = c.take(n); d.Hex != asBytes && !allHex(v) {
			return nil, false
		}
	}
	return v, !c.short
}

// prefix returns how many bytes a length of n digits takes.
func (d *Dialect) prefix(n int) int {
	if d.Lengths {
		return 1
	}
	return d.numeric(n)
}

// size reads the length before a field.
func (d *Dialect) size(b []byte) (n int, ok bool) {
	if d.Lengths {
		if len(b) != 1 {
			return 0, false
		}
		return int(b[0]), true
	}
	for _, c := range b {
		switch {
		case !d.ASCII:
			if c>>4 > 9 || c&15 > 9 {
				return 0, false
			}
			n = n*100 + int(c>>4)*10 + int(c&15)
			continue
		case d.EBCDIC:
			c -= 0xF0
		default:
			c -= '0'
		}
		if c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, len(b) > 0
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
	switch {
	case !d.ASCII:
		return bcd(b, n)
	case !d.allDigits(b):
		return ""
	case d.EBCDIC:
		return d.text(b)
	}
	return string(b)
}

// allDigits tells whether all characters are digits.
func (d *Dialect) allDigits(b []byte) bool {
	if !d.EBCDIC {
		return frame.AllDigits(b)
	}
	for _, c := range b {
		if c < 0xF0 || c > 0xF9 {
			return false
		}
	}
	return true
}

// text is as the function of that name, of the dialect's characters.
func (d *Dialect) text(b []byte) string {
	if !d.EBCDIC {
		return text(b)
	}
	s := make([]byte, len(b))
	for i, c := range b {
		if s[i] = ebcdic(c); s[i] == 0 {
			return ""
		}
	}
	return string(bytes.TrimSpace(s))
}

// ebcdic returns the letter, the digit or the space that c is in EBCDIC; 0 for anything else. All Latin code pages of
// EBCDIC agree in these.
func ebcdic(c byte) byte {
	n := c & 15
	switch {
	case c == 0x40:
		return ' '
	case n > 9:
		return 0
	case c >= 0xF0:
		return '0' + n
	case n == 0 || (c&0x30 == 0x20 && n == 1) || c < 0x80:
		return 0
	}
	letter := [...]byte{'a', 'j', 's' - 1}
	row := c >> 4 & 3
	if c >= 0xC0 {
		letter = [...]byte{'A', 'J', 'S' - 1}
	}
	if row > 2 {
		return 0
	}
	return letter[row] + n - 1
}

func allHex(b []byte) bool {
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
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

// packed reports whether b holds n packed digits; with an odd n the nibble too many, at either end, may be anything.
func packed(b []byte, n int) bool {
	if n%2 == 0 || len(b) == 0 {
		return allBCD(b)
	}
	last := len(b) - 1
	left := b[0]>>4 <= 9 && (last == 0 || b[0]&15 <= 9 && allBCD(b[1:last]) && b[last]>>4 <= 9)
	right := b[last]&15 <= 9 && (last == 0 || b[last]>>4 <= 9 && allBCD(b[1:last]) && b[0]&15 <= 9)
	return left || right
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

// bitmapSize is the length of a bitmap in bytes.
const bitmapSize = 8

// bitmap takes a bitmap into m: eight bytes, or sixteen hex digits.
func (c *cursor) bitmap(m []byte, hex bool) {
	if !hex {
		copy(m, c.take(bitmapSize))
		return
	}
	clear(m)
	for i, h := range c.take(2 * bitmapSize) {
		switch {
		case h >= '0' && h <= '9':
			h -= '0'
		case h >= 'A' && h <= 'F':
			h -= 'A' - 10
		case h >= 'a' && h <= 'f':
			h -= 'a' - 10
		default:
			c.short = true
			return
		}
		m[i/2] |= h << (4 - i%2*4)
	}
}
