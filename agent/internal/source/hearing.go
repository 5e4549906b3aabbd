package source

import (
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

const (
	// deafAfter is how many things in a row may pass that cannot be read before it is said: the first may have begun
	// before anybody listened, and a message that says nothing of a sale may be of a form of its own.
	deafAfter = 3
	// hearingEvery is how often what is heard is told again while nothing changes.
	hearingEvery = time.Minute
)

// A Hearing is how much of what passes a source it can read. A source that hears and reads nothing looks as healthy as
// one by which nothing passes, if it does not say so. It belongs to one goroutine.
type Hearing struct {
	Channel report.Channel
	Subject string // what is listened to: a target, a log, a link
	After   int    // instead of deafAfter, where that is not enough

	bytes  uint64 // passed since something was read
	read   int
	unread int    // in a row
	odd    int    // pieces of text that are not in the encoding they should be in
	first  string // class of the first byte of the latest that was not read
	size   int    // its length
	deaf   bool
	told   time.Time
}

// Heard takes in what passed: how many things were read of so many bytes, with what they began, and how long the first
// piece was. Nothing of what passed is kept. changed says that the source became able to read, or no more able.
func (h *Hearing) Heard(read, bytes int, first byte, size int) (changed bool) {
	if read > 0 {
		h.read += read
		changed = h.deaf
		h.bytes, h.unread, h.deaf = 0, 0, false
		return changed
	}
	h.bytes += uint64(bytes)
	h.first, h.size = Class(first), size
	h.unread++
	after := h.After
	if after == 0 {
		after = deafAfter
	}
	if h.unread >= after && !h.deaf {
		h.deaf, changed = true, true
	}
	return changed
}

// Odd takes in how many pieces of text so far were not in the encoding they should be in. changed says that these are
// the first.
func (h *Hearing) Odd(n int) (changed bool) {
	changed = h.odd == 0 && n > 0
	h.odd = n
	return changed
}

// Deaf reports whether things pass and none of them can be read.
func (h *Hearing) Deaf() bool { return h.deaf }

// What tells what passes, in members of a log line.
func (h *Hearing) What() []any {
	return []any{"channel", h.Channel, "subject", h.Subject, "unread", h.unread, "bytes", h.bytes, "first", h.first, "size", h.size}
}

// Due returns the evidence of it where it changed, and while nothing can be read now and then: that all is well goes
// without saying.
func (h *Hearing) Due(now time.Time, changed bool) (ev report.Evidence, ok bool) {
	if !changed && (!h.deaf || now.Sub(h.told) < hearingEvery) {
		return ev, false
	}
	h.told = now
	subject := string(h.Channel) + " " + h.Subject
	facts := []evidence.Value{evidence.MessagesRead.Is(float64(h.read))}
	if h.odd > 0 {
		facts = append(facts, evidence.NotInEncoding.Is(float64(h.odd)))
	}
	if h.deaf || h.odd > 0 && h.read == 0 {
		facts = append(facts, evidence.MessagesUnread.Is(float64(h.unread)), evidence.Bytes.Is(float64(h.bytes)),
			evidence.First.Is(h.first), evidence.Size.Is(float64(h.size)))
		ev = evidence.CannotTell(evidence.SourceReadable, subject, report.ReasonUnsupported, facts...)
	} else {
		ev = evidence.New(evidence.SourceReadable, subject, facts...)
	}
	ev.Depth, ev.At = report.Internal, now.UTC().Truncate(time.Millisecond)
	return ev, true
}

// Class names the kind of a byte with which something begins. It is all that may be told of what cannot be read.
func Class(c byte) string {
	switch {
	case c == 0:
		return "zero"
	case c >= 20 && c <= 23:
		return "record" // of TLS or TLCP
	case c == 0x60 || c == 0x61:
		return "tpdu"
	case c == '<' || c == '{' || c == '[':
		return "markup"
	case c >= '0' && c <= '9':
		return "digit"
	case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
		return "letter"
	case c > ' ' && c < 0x7F:
		return "sign"
	case c >= 0xF0 && c <= 0xF9:
		return "ebcdic-digit"
	case c < ' ':
		return "control"
	}
	return "binary"
}
