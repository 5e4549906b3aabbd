package console

import (
	"fmt"
	"posdx/agent/internal/text"
	"strings"
)

// A screen knows what a VT100 shows and sends what differs. At 9600 baud a character costs a millisecond.
type screen struct {
	shown []string // nil: not known
}

// paint returns the bytes that make a terminal show lines. A row that only grew, as an entry does while it is typed, is
// sent from where it differs.
func (s *screen) paint(lines []string) []byte {
	var b strings.Builder
	if s.shown == nil {
		b.WriteString("\x1b[0m\x1b[2J")
		s.shown = make([]string, len(lines))
	}
	for i, line := range lines {
		old := s.shown[i]
		if line == old {
			continue
		}
		same := common(old, line)
		fmt.Fprintf(&b, "\x1b[%d;%dH%s", i+1, same+1, line[same:])
		if text.Width(line) < text.Width(old) {
			b.WriteString("\x1b[K")
		}
	}
	if b.Len() > 0 {
		// The cursor waits where it disturbs nobody.
		fmt.Fprintf(&b, "\x1b[%d;%dH", len(lines), cols+1)
	}
	s.shown = lines
	return []byte(b.String())
}

// common returns how many ASCII characters two lines begin with in common: before them a column is a byte, whatever a
// terminal thinks of wide characters.
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
