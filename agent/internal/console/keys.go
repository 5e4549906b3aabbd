package console

// A key is a printable character, one of the control keys below, or a terminal's answer.
type key struct {
	r rune
	// where the cursor is, from 1, when r is keyCursor
	row, column int
}

const (
	keyEnter     rune = '\r'
	keyBackspace rune = 0x7f
	keyClear     rune = 0x15 // Ctrl-U
	keyCancel    rune = 0x03 // Ctrl-C
	keyRepaint   rune = 0x0c // Ctrl-L
	keyEsc       rune = 0x1b
	keyCursor    rune = -1 // the terminal says where its cursor is
	keyUp        rune = -2
	keyDown      rune = -3
	keyPageUp    rune = -4
	keyPageDown  rune = -5
	keyHome      rune = -6
	keyEnd       rune = -7
	keyOther     rune = -8 // one that is sent as a sequence which means nothing here: F1, Insert
)

// maxSequence bounds an escape sequence; the longest that a VT100 sends has 8 bytes.
const maxSequence = 16

// A decoder makes keys of bytes. Only ASCII is taken: every key of the console is. Escape sequences are swallowed,
// but for the cursor's position, the arrows and the keys that turn pages. Esc alone is a key once nothing has
// followed it for a moment: flush says so. A key that follows it at once counts for itself. The zero value is ready.
//
//	text --ESC--> escape --[ or O--> sequence --final byte, or too long--> text
type decoder struct {
	state  decoderState
	seq    [maxSequence]byte // a sequence so far; zero outside of one: a card swiped there would stay
	n      int               // bytes of it
	wasCR  bool
	broken int // bytes that made no sense
}

type decoderState byte

const (
	inText decoderState = iota
	afterEsc
	inSequence
)

func (d *decoder) push(b byte) (k key, ok bool) {
	wasCR := d.wasCR
	d.wasCR = false
	switch d.state {
	case afterEsc:
		d.state = inText
		if b == '[' || b == 'O' {
			d.state = inSequence
			return k, false
		}
		if b == 0x1b {
			d.state = afterEsc
			return key{r: keyEsc}, true
		}
	case inSequence:
		switch {
		case b == 0x1b:
			d.leave()
			d.state = afterEsc // the sequence before it was cut off
			return k, false
		case b < 0x20 || b > 0x7e:
			d.leave()
			d.broken++
			return k, false
		case b >= 0x40 && (b != '[' || d.n > 0): // the Linux console's F1 is ESC [ [ A
			k, ok = sequence(d.seq[:d.n], b)
			d.leave()
			return k, ok
		case d.n == maxSequence:
			d.leave()
			d.broken++
			return k, false
		}
		d.seq[d.n] = b
		d.n++
		return k, false
	}
	switch {
	case b == 0x1b:
		d.state = afterEsc
	case b == '\n' && wasCR:
	case b == '\r', b == '\n':
		d.wasCR = b == '\r'
		return key{r: keyEnter}, true
	case b == 0x08, b == 0x7f:
		return key{r: keyBackspace}, true
	case b == byte(keyClear), b == byte(keyCancel), b == byte(keyRepaint), b >= 0x20 && b < 0x7f:
		return key{r: rune(b)}, true
	default:
		d.broken++ // a break is a zero byte, a wrong speed makes bytes above 0x7f
	}
	return k, false
}

// leave goes back to text, whatever the sequence was.
func (d *decoder) leave() { d.state, d.n, d.seq = inText, 0, [maxSequence]byte{} }

// pending reports whether Esc came and nothing yet after it, or a sequence that has no end yet.
func (d *decoder) pending() bool { return d.state != inText }

// flush takes an Esc after which nothing came for a key of its own, and forgets a sequence that was cut off.
func (d *decoder) flush() (k key, ok bool) {
	ok = d.state == afterEsc
	d.leave()
	return key{r: keyEsc}, ok
}

// sequence is the key that sent an escape sequence, or the terminal's answer (ECMA-48, and VT220 for the keys that turn
// pages).
func sequence(params []byte, final byte) (k key, ok bool) {
	if len(params) > 0 && params[0] == '[' {
		return key{r: keyOther}, true
	}
	switch final {
	case 'A':
		return key{r: keyUp}, true
	case 'B':
		return key{r: keyDown}, true
	case 'H':
		return key{r: keyHome}, true
	case 'F':
		return key{r: keyEnd}, true
	case '~':
		switch string(params) {
		case "1", "7":
			return key{r: keyHome}, true
		case "4", "8":
			return key{r: keyEnd}, true
		case "5":
			return key{r: keyPageUp}, true
		case "6":
			return key{r: keyPageDown}, true
		}
	case 'R':
		row, column, ok := cursorAt(params)
		if ok {
			return key{keyCursor, row, column}, true
		}
	}
	return key{r: keyOther}, true
}

// cursorAt reads the parameters of a cursor position report: row;column.
func cursorAt(seq []byte) (row, column int, ok bool) {
	semicolons := 0
	for _, c := range seq {
		switch {
		case c == ';':
			semicolons++
			row, column = column, 0
		case c >= '0' && c <= '9' && column < 1000:
			column = column*10 + int(c-'0')
		default:
			return 0, 0, false
		}
	}
	return row, column, semicolons == 1
}
