package ecr

import (
	"bytes"
	"errors"
	"fmt"
)

// StreamCounts tell how well one direction of a connection was read.
type StreamCounts struct {
	Messages int // read whole
	Refused  int // a length header led to something that no dialect can read
	Resyncs  int // times that the beginning of a message had to be looked for
}

// maxStarts bounds how many beginnings of segments are remembered within a message that is not whole yet. A message of
// 1.5 kB takes two or three. If there are more, those in between are not tried as the beginning of a message.
const maxStarts = 16

// A Stream reads the messages that one side of a connection sends. It belongs to one goroutine, holds at most one
// message, and zeroes what it has read.
//
// A payment application writes a message, or its length header and then the message, at once, so each begins where a
// TCP segment begins: that is where reading starts, and starts again after a loss.
type Stream struct {
	Counts StreamCounts
	Tags   *Tags // tells cards apart; may be nil

	given    LengthHeader // 0: find out
	dialects []*Dialect   // none: try all
	length   LengthHeader // in force; 0 while out of step
	held     []byte
	starts   []int // where segments begin in held, ascending, the first of them 0
	skip     bool  // nothing more of this segment can be read
	said     bool  // this search for a beginning is counted
}

// NewStream returns a reader. A length of 0 and no dialects mean that both are found out from the stream.
func NewStream(l LengthHeader, dialects ...*Dialect) *Stream {
	return &Stream{given: l, dialects: dialects, said: true}
}

// DialectsByName returns the dialect of that name; none, which stands for all, for the empty name.
func DialectsByName(name string) ([]*Dialect, error) {
	if name == "" {
		return nil, nil
	}
	for _, d := range dialects {
		if d.Name == name {
			return []*Dialect{d}, nil
		}
	}
	return nil, fmt.Errorf("find dialect: no dialect is called %q", name)
}

// Push takes a segment as it came, returns the messages that end in it, and zeroes it.
func (s *Stream) Push(segment []byte, got func(Message)) {
	s.skip = false
	for rest := segment; len(rest) > 0 && !s.skip; {
		if s.held == nil {
			s.held = make([]byte, 0, ASCII4.Size()+MaxMessage)
		}
		if len(rest) == len(segment) && len(s.starts) < maxStarts {
			s.starts = append(s.starts, len(s.held))
		}
		n := copy(s.held[len(s.held):cap(s.held)], rest)
		s.held, rest = s.held[:len(s.held)+n], rest[n:]
		s.take(got)
	}
	clear(segment)
}

// Lost tells the stream that bytes are missing between the last segment and the next.
func (s *Stream) Lost() {
	s.stray()
	s.drop(len(s.held))
}

// Turn tells the stream that the other side has sent. Between a request and its answer that happens only after a whole
// message. So what is still held as the beginning of a message, without proof that it is one, was none.
func (s *Stream) Turn(got func(Message)) {
	if _, more := headOf(s.held); more {
		s.length = 0
	}
	for s.length == 0 && len(s.held) > 0 {
		s.refuse()
		s.take(got)
	}
}

// Close forgets what is held. A closed stream may be used again.
func (s *Stream) Close() {
	s.drop(len(s.held))
	s.held, s.length = nil, 0
}

// take reads what is held as far as it goes.
func (s *Stream) take(got func(Message)) {
	for len(s.held) > 0 {
		if n, more := headOf(s.held); more {
			return
		} else if n > 0 {
			s.drop(n)
			continue
		}
		l := s.length
		if l == 0 {
			var err error
			if l, err = s.find(); errors.Is(err, ErrMore) {
				return
			} else if err != nil {
				s.Counts.Refused++
				s.stray()
				s.refuse()
				continue
			}
			s.length, s.said = l, false
		}
		message, _, err := l.Split(s.held)
		if errors.Is(err, ErrMore) {
			return
		}
		if err != nil {
			s.stray()
			continue
		}
		n := l.Size() + len(message) + l.tail()
		// A message that cannot be read ends where its header says all the same.
		if m, err := parse(message, s.Tags, s.dialects); err == nil {
			s.Counts.Messages++
			got(m)
		} else {
			s.Counts.Refused++
		}
		s.drop(n)
	}
}

// maxHead bounds the head of an HTTP message.
const maxHead = 1024

// headOf returns the length of the HTTP head that b begins with, 0 for none: UnionPay's access takes each message, with
// its length header, as the body of a POST (x-ISO-TPDU/x-auth). more tells that the head is not whole yet.
func headOf(b []byte) (n int, more bool) {
	begins := false
	for _, word := range []string{"POST /", "HTTP/1."} {
		k := min(len(b), len(word))
		begins = begins || string(b[:k]) == word[:k]
	}
	if !begins {
		return 0, false
	}
	if n = bytes.Index(b[:min(len(b), maxHead)], []byte("\r\n\r\n")); n >= 0 {
		return n + 4, false
	}
	return 0, len(b) < maxHead
}

// find looks for the length header under which a message begins here.
func (s *Stream) find() (LengthHeader, error) {
	if s.given != 0 {
		return detect(s.held, []LengthHeader{s.given}, s.dialects)
	}
	return detect(s.held, lengthHeaders, s.dialects)
}

// stray says that it is not known any more where a message begins.
func (s *Stream) stray() {
	s.length = 0
	if !s.said {
		s.said = true
		s.Counts.Resyncs++
	}
}

// refuse gives up that a message begins here and goes on at the next beginning of a segment.
func (s *Stream) refuse() {
	if len(s.starts) > 1 {
		s.drop(s.starts[1])
		return
	}
	s.skip = true
	s.drop(len(s.held))
}

// drop takes bytes off the front and zeroes them.
func (s *Stream) drop(n int) {
	rest := copy(s.held, s.held[n:])
	clear(s.held[rest:])
	s.held = s.held[:rest]
	kept := s.starts[:0]
	for _, at := range s.starts {
		if at >= n && rest > 0 {
			kept = append(kept, at-n)
		}
	}
	if rest > 0 && (len(kept) == 0 || kept[0] != 0) {
		// Behind a message another may begin, within the same segment.
		kept = append(kept[:min(len(kept), maxStarts-1)], 0)
		copy(kept[1:], kept)
		kept[0] = 0
	}
	s.starts = kept
}
