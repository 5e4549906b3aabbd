package paylog

import (
	"bytes"
	"regexp"
	"time"
	"unicode/utf8"

	"posdx/agent/internal/charset"
)

// Bounds of what is looked at as one.
const (
	maxLogLine  = 16 << 10 // bytes of a line or record; of a longer one the rest is dropped and counted
	recordLines = 64
	recordWait  = time.Second // without another line, after which a record is taken for whole
)

// held is text that grows to a bound. What it leaves behind in memory is zeros.
type held []byte

// add appends as much of b as there is room for.
func (h *held) add(b []byte, most int) {
	b = b[:min(len(b), most-len(*h))]
	if need := len(*h) + len(b); need > cap(*h) {
		bigger := make([]byte, len(*h), min(max(2*need, 512), most))
		copy(bigger, *h)
		clear(*h)
		*h = bigger
	}
	*h = append(*h, b...)
}

func (h *held) reset() {
	clear(*h)
	*h = (*h)[:0]
}

// A splitter cuts bytes into lines. Of a line that is too long it gives the first maxLogLine bytes, at once. Zero
// bytes, which text never holds, are left by a power cut or by a truncation while a writer writes: the line before them
// is broken and counts as none. But some programs write whole buffers, and each of their lines has some: when many
// have, they stand for blanks.
type splitter struct {
	pos    int64 // of the next byte
	start  int64 // of the line that is not whole yet
	line   held
	wide   width
	drop   bool // throw away up to the next line's start
	cut    int  // lines that were too long
	torn   int
	broken int // of the latest torn line, the bytes before its zeros
	pairs  int // lines that look like text of two bytes a character, which they are not said to be

	habit int // how often lines have zeros: see padded
	run   int // zero bytes in a row so far, taken for padding
	runs  int // such runs in the line
}

// A line with zeros counts as much as tornWeighs whole ones against it. A terminal that is cut off again and again
// writes more than that between two cuts.
const (
	tornWeighs = 32
	paddedFrom = 4 * tornWeighs
	habitMost  = 8 * tornWeighs
	maxPadding = 512 // zero bytes in a row: a hole is longer, a field is not
)

// padded tells whether the log's writer pads its lines.
func (s *splitter) padded() bool { return s.habit >= paddedFrom }

// learn looks at some of the log for its writer's habit, and gives no line.
func (s *splitter) learn(b []byte) {
	other := splitter{wide: s.wide}
	other.add(b, func([]byte) {})
	other.line.reset()
	s.habit = max(s.habit, other.habit)
}

// add takes bytes and gives each line to f; start and pos say where it lies. A torn line is given as nil.
func (s *splitter) add(b []byte, f func(line []byte)) {
	for len(b) > 0 {
		part, end := b, byte(1)
		if i := s.index(part, '\n'); i >= 0 {
			part, end = part[:i], '\n'
		}
		if i := s.index(part, 0); i >= 0 {
			part, end = part[:i], 0
		}
		b = b[len(part):]
		s.pos += int64(len(part))
		if len(part) > 0 {
			s.run = 0
		}
		if !s.drop {
			fits := len(part) <= maxLogLine-len(s.line)
			s.line.add(part, maxLogLine)
			if !fits {
				s.cut++
				s.drop = true
				s.end(f)
			}
		}
		switch end {
		case '\n':
			b = b[s.wide.unit():]
			s.pos += int64(s.wide.unit())
			s.end(f)
			s.drop = false
		case 0:
			n := s.wide.zeros(b)
			b = b[n:]
			s.pos += int64(n)
			if s.pad(n) {
				continue
			}
			if len(s.line) > 0 {
				s.torn++
				s.tear(f)
			}
			s.drop = false
		default:
			if s.drop {
				s.start = s.pos
			}
			continue
		}
		s.start = s.pos
	}
}

// pad takes zero bytes for a blank in the line, if the log's writer pads its lines and they are not too many.
func (s *splitter) pad(n int) bool {
	if !s.padded() || len(s.line) == 0 || s.drop {
		return false
	}
	if s.run == 0 {
		s.runs++
		s.line.add(s.wide.blank(), maxLogLine)
	}
	s.run += n
	return s.run <= maxPadding
}

// tear gives up the line.
func (s *splitter) tear(f func(line []byte)) {
	s.broken = len(s.line)
	s.habit = min(s.habit+tornWeighs, habitMost)
	s.line.reset()
	s.run, s.runs = 0, 0
	f(nil)
}

// index finds a character.
func (s *splitter) index(b []byte, c byte) int {
	if s.wide == oneByte {
		return bytes.IndexByte(b, c)
	}
	return s.wide.index(b, c)
}

// end takes what there is as a line.
func (s *splitter) end(f func(line []byte)) {
	switch text := len(s.line) - s.runs*s.wide.unit(); {
	case len(s.line) == 0:
	case s.wide == oneByte && s.runs*3 >= text && text > 1:
		s.pairs++
		s.tear(f)
	default:
		whole := s.line
		if s.run > 0 {
			whole = whole[:len(whole)-s.wide.unit()]
		}
		if s.runs > 0 {
			s.habit = min(s.habit+tornWeighs, habitMost)
		} else {
			s.habit = max(s.habit-1, 0)
		}
		f(whole)
	}
	s.line.reset()
	s.run, s.runs = 0, 0
	s.start = s.pos
}

// seek goes on elsewhere.
func (s *splitter) seek(pos int64) {
	s.line.reset()
	s.run, s.runs = 0, 0
	s.pos, s.start = pos, pos
}

// A recorder makes records of lines. Without begin each line is one.
type recorder struct {
	begin *regexp.Regexp // matches the first line of a record
	text  held
	lines int
	cut   int // records that were too long
}

// add takes a line and gives the record that ended before it, or with it, to f. opens says that the line is the first
// of a record that is not whole yet.
func (r *recorder) add(line []byte, f func(record []byte)) (opens bool) {
	if r.begin == nil {
		f(line)
		return false
	}
	full := r.lines == recordLines || r.lines > 0 && len(r.text)+1+len(line) > maxLogLine
	if first := r.begin.Match(line); full || first {
		if !first {
			r.cut++
		}
		r.end(f)
	}
	if r.lines > 0 {
		r.text.add([]byte{'\n'}, maxLogLine)
	}
	r.text.add(line, maxLogLine)
	r.lines++
	return r.lines == 1
}

// end takes what there is as a record.
func (r *recorder) end(f func(record []byte)) {
	if r.lines > 0 {
		f(r.text)
	}
	r.reset()
}

func (r *recorder) reset() {
	r.text.reset()
	r.lines = 0
}

// A decoder makes UTF-8 of text, zeroing after itself. The zero value reads UTF-8.
type decoder struct {
	from  *charset.Set
	wide  width
	text  []byte
	wrong int // lines that are no text of their encoding
}

// mark8 is the mark of the byte order, in UTF-8: some programs begin a file with it, some each block that they write.
var mark8 = []byte("\uFEFF")

// utf8 gives the line as UTF-8 to f. A line that is no text of its encoding is counted, and its ASCII part is given all
// the same: a pattern may find a code there.
func (d *decoder) utf8(line []byte, f func([]byte)) {
	if d.wide == oneByte && ascii(line) {
		f(line)
		return
	}
	if d.from == nil {
		if !utf8.Valid(line) {
			d.wrong++
		}
		f(bytes.TrimPrefix(line, mark8))
		return
	}
	if need := 3 * len(line); need > len(d.text) {
		d.text = make([]byte, need)
	}
	text := d.from.Append(d.text[:0], line)
	if bytes.ContainsRune(text, utf8.RuneError) {
		d.wrong++
	}
	f(bytes.TrimPrefix(text, mark8))
	clear(text)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
