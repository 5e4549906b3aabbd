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
	// hearingEvery is how often the same evidence is sent again while nothing changes.
	hearingEvery = time.Minute
)

// A Hearing counts how much of what passes a source it can read. Without it a source that receives data and can read
// none of it would look as healthy as one that receives nothing. It belongs to one goroutine.
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

// Heard counts what passed: bytes, with the first of them and the length of the first piece, of which read things
// could be read. No content is kept. changed is true when the source has become able to read, or unable.
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

// Odd takes how many pieces of text so far were not in the configured encoding. changed is true for the first ones.
func (h *Hearing) Odd(n int) (changed bool) {
	changed = h.odd == 0 && n > 0
	h.odd = n
	return changed
}

// Deaf reports whether data pass of which nothing can be read.
func (h *Hearing) Deaf() bool { return h.deaf }

// What describes what passes, as attributes for a log line.
func (h *Hearing) What() []any {
	return []any{"channel", h.Channel, "subject", h.Subject, "unread", h.unread, "bytes", h.bytes, "first", h.first, "size", h.size}
}

// Due returns the evidence source.readable when it is due: after a change, and from time to time while nothing can be
// read. ok is false when it is not.
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

// Class returns the kind of a first byte: all that may be told of data that cannot be read.
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
