package console

// A key is a printable character, one of the control keys below, or a terminal's answer.
type key struct {
	r rune
	// column of the cursor, when r is keyCursor
	column int
}

const (
	keyEnter     rune = '\r'
	keyBackspace rune = 0x7f
	keyClear     rune = 0x15 // Ctrl-U
	keyCancel    rune = 0x03 // Ctrl-C
	keyRepaint   rune = 0x0c // Ctrl-L
	keyCursor    rune = -1   // the terminal says where its cursor is
)

// maxSequence bounds an escape sequence; the longest that a VT100 sends has 8 bytes.
const maxSequence = 16

// A decoder makes keys of bytes. Only ASCII is taken: every key of the console is. Escape sequences of any kind are
// swallowed, but for the cursor's position. The zero value is ready.
//
//	text --ESC--> escape --[ or O--> sequence --final byte, or too long--> text
type decoder struct {
	state  byte // 't' or 0 text, 'e' after ESC, 's' in a sequence
	seq    []byte
	wasCR  bool
	broken int // bytes that made no sense
}

func (d *decoder) push(b byte) (k key, ok bool) {
	wasCR := d.wasCR
	d.wasCR = false
	switch d.state {
	case 'e':
		d.state = 0
		if b == '[' || b == 'O' {
			d.state, d.seq = 's', d.seq[:0]
			return k, false
		}
		if b == 0x1b {
			d.state = 'e'
		}
		return k, false
	case 's':
		if b < 0x20 || b > 0x7e {
			d.state = 0
			d.broken++
			return k, false
		}
		if b >= 0x40 {
			d.state = 0
			if b == 'R' {
				if c, ok := cursorColumn(d.seq); ok {
					return key{keyCursor, c}, true
				}
			}
			return k, false
		}
		if d.seq = append(d.seq, b); len(d.seq) > maxSequence {
			d.state = 0
			d.broken++
		}
		return k, false
	}
	switch {
	case b == 0x1b:
		d.state = 'e'
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

// cursorColumn reads the parameters of a cursor position report: row;column.
func cursorColumn(seq []byte) (column int, ok bool) {
	semicolons := 0
	for _, c := range seq {
		switch {
		case c == ';':
			semicolons++
			column = 0
		case c >= '0' && c <= '9' && column < 1000:
			column = column*10 + int(c-'0')
		default:
			return 0, false
		}
	}
	return column, semicolons == 1
}
