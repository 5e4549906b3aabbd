package console

import (
	"fmt"
	"posdx/agent/internal/text"
	"strings"
)

// anew clears the screen and takes back what a program that ended badly, or noise, has left: the other set of
// characters (SI, ESC ( B), keys of figures that send sequences (DECKPNM), a region that scrolls (DECSTBM), colours
// (SGR).
const anew = "\x0f\x1b(B\x1b>\x1b[r\x1b[0m\x1b[2J"

// A screen knows what a VT100 shows and sends what differs. At 9600 baud a character costs a millisecond.
type screen struct {
	shown []string // nil: not known
}

// paint returns the bytes that make a terminal show lines. A row that only grew, as an entry does while it is typed, is
// sent from where it differs.
func (s *screen) paint(lines []string, cols int) []byte {
	var b strings.Builder
	if s.shown == nil || len(s.shown) != len(lines) {
		b.WriteString(anew)
		s.shown = make([]string, len(lines))
	}
	at := -1 // the row that the cursor is in, if it is known
	for i, line := range lines {
		old := s.shown[i]
		if line == old {
			continue
		}
		same := common(old, line)
		if down := i - at; at >= 0 && same == 0 && down <= 3 {
			b.WriteString("\r" + strings.Repeat("\n", down)) // shorter than its place in figures
		} else {
			fmt.Fprintf(&b, "\x1b[%d;%dH", i+1, same+1)
		}
		b.WriteString(line[same:])
		at = i
		if text.Width(line) < text.Width(old) {
			b.WriteString("\x1b[K")
		}
	}
	if b.Len() > 0 {
		// The cursor is put where it covers nothing.
		fmt.Fprintf(&b, "\x1b[%d;%dH", len(lines), cols+1)
	}
	s.shown = lines
	return []byte(b.String())
}

// common returns how many ASCII characters two lines have in common at their beginning: up to there a column is a byte,
// however wide the terminal shows other characters.
func common(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] && a[n] < 0x80 {
		n++
	}
	return n
}

// plain returns what a terminal without cursor addressing is sent: the lines, without those that are empty.
func plain(lines []string) []byte {
	var b strings.Builder
	for _, line := range lines {
		if line != "" {
			b.WriteString(line)
			b.WriteString("\r\n")
		}
	}
	return []byte(b.String())
}
