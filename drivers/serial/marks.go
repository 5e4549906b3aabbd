package serial

// Marks takes the marks out of bytes that a tty read with PARMRK set (termios(3)): 377 000 and a character is one whose
// parity or stop bit was wrong, 377 000 000 a break or a zero that was damaged, and 377 377 a sound 377. The zero value
// is the beginning of a line.
type Marks struct {
	Damaged uint64 // characters marked as wrong, breaks not among them
	Breaks  uint64

	state byte // how much of a mark the last bytes were
}

// Clean takes the marks out of b, in place, and returns what the line carried: a damaged character as it came, and
// nothing for a break. A mark may be cut anywhere between two calls.
func (m *Marks) Clean(b []byte) []byte {
	out := b[:0]
	for _, c := range b {
		switch {
		case m.state == 0 && c == 0xFF:
			m.state = 1
			continue
		case m.state == 1 && c == 0:
			m.state = 2
			continue
		case m.state == 2 && c == 0:
			m.Breaks++
			m.state = 0
			continue
		case m.state == 2:
			m.Damaged++
		}
		// After 377 only 377 or 000 can follow; whatever else does is passed on, and nothing is lost.
		m.state = 0
		out = append(out, c)
	}
	clear(b[len(out):])
	return out
}
