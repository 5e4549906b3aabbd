package store

import (
	"errors"
	"sort"
	"time"

	"posdx/agent/report"
)

// Bounds of one stream. A terminal that breaks them harms only its own stream.
const (
	// maxGaps are kept per stream; a document that would tear one more is refused and comes again later. Workers that
	// share a terminal's documents by turns tear one for each document by which they are ahead, and a terminal may bring 3
	// 000 at once: of two workers one may be wholly ahead.
	maxGaps = 2048

	// Patience is how long an open gap holds the ack back while documents keep coming and none fills it. An uplink repeats
	// what is not acknowledged after one minute and then after two more, so what a terminal still holds comes in time.
	Patience = 5 * time.Minute
)

// States of a gap.
const (
	GapOpen    = "open"    // may still come; the ack waits below it
	GapDropped = "dropped" // the terminal reported that it dropped these
	GapLost    = "lost"    // the terminal no longer holds them, or they did not come in time
	GapBefore  = "before"  // older than the first contact of this fleet with this stream
)

// A Gap is a range of sequence numbers that were never committed. Pages show it.
type Gap struct {
	First  uint64    `json:"first"`
	Last   uint64    `json:"last"`
	State  string    `json:"state"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
}

func (g Gap) size() uint64 { return g.Last - g.First + 1 }

// A Stream is the account of one outbox of one terminal: which of its numbered documents are committed.
type Stream struct {
	No      int64  `json:"no"` // ascending in the order of first contact
	Epoch   string `json:"epoch"`
	Boot    uint64 `json:"boot"` // highest seen
	Highest uint64 `json:"highest"`
	Gaps    []Gap  `json:"gaps"` // ascending; everything up to Highest outside of them is committed

	Received   uint64 `json:"received"`
	Duplicates uint64 `json:"duplicates"`
}

// A Verdict is what a sequence number is to its stream: a repeat, a new one, or one that is refused.
type Verdict int

// Verdicts.
const (
	Duplicate Verdict = iota
	Fresh
	Refused // would tear more gaps than are kept
)

// Take records a sequence number, 1 or more, and returns whether its document is to be stored.
func (s *Stream) Take(seq uint64, now time.Time) Verdict {
	if seq > s.Highest {
		if seq > s.Highest+1 {
			if !s.roomForOne() {
				return Refused
			}
			s.Gaps = append(s.Gaps, Gap{First: s.Highest + 1, Last: seq - 1, State: GapOpen, Since: now})
		}
		s.Highest = seq
		s.Received++
		return Fresh
	}
	i := sort.Search(len(s.Gaps), func(i int) bool { return s.Gaps[i].Last >= seq })
	if i == len(s.Gaps) || s.Gaps[i].First > seq {
		s.Duplicates++
		return Duplicate
	}
	g := &s.Gaps[i]
	switch {
	case g.First == g.Last:
		s.Gaps = append(s.Gaps[:i], s.Gaps[i+1:]...)
	case g.First == seq:
		g.First++
	case g.Last == seq:
		g.Last--
	default:
		if len(s.Gaps) >= maxGaps {
			return Refused
		}
		right := *g
		right.First = seq + 1
		g.Last = seq - 1
		s.Gaps = append(s.Gaps, Gap{})
		copy(s.Gaps[i+2:], s.Gaps[i+1:])
		s.Gaps[i+1] = right
	}
	s.Received++
	s.Renew(now)
	return Fresh
}

// roomForOne makes room for one more gap by forgetting the oldest closed one; what is forgotten counts as committed.
func (s *Stream) roomForOne() bool {
	if len(s.Gaps) < maxGaps {
		return true
	}
	for i, g := range s.Gaps {
		if g.State != GapOpen {
			s.Gaps = append(s.Gaps[:i], s.Gaps[i+1:]...)
			return true
		}
	}
	return false
}

// Renew starts the waiting time of the open gaps anew: the terminal has begun a session, or is sending what is missing.
func (s *Stream) Renew(now time.Time) {
	for i := range s.Gaps {
		if s.Gaps[i].State == GapOpen {
			s.Gaps[i].Since = now
		}
	}
}

// Expire closes the gaps that were not filled in time. It is called only when a document of the stream arrives, since a
// terminal that sends nothing may still hold what is missing.
func (s *Stream) Expire(now time.Time) {
	for i := range s.Gaps {
		if g := &s.Gaps[i]; g.State == GapOpen && now.Sub(g.Since) >= Patience {
			g.State, g.Reason = GapLost, "timeout"
		}
	}
}

// Dropped records a terminal's report that it dropped n documents between first and last. Records between may have been
// kept: if more are missing than were dropped the gaps stay open.
func (s *Stream) Dropped(first, last, n uint64, reason string, now time.Time) {
	if first == 0 || last < first {
		return
	}
	if last > s.Highest {
		// The report itself has a higher number, so this is a report about the future: not to be believed.
		return
	}
	var missing uint64
	for _, g := range s.Gaps {
		if g.State != GapDropped && g.First <= last && g.Last >= first {
			missing += min(g.Last, last) - max(g.First, first) + 1
		}
	}
	if missing <= n {
		s.mark(first, last, GapDropped, reason, now)
	}
}

// Held records that a terminal's outbox holds nothing below oldest.
func (s *Stream) Held(oldest uint64, now time.Time) {
	if oldest <= 1 || oldest > maxSeq {
		return
	}
	state := GapLost
	if s.Received == 0 {
		state = GapBefore
	}
	if oldest > s.Highest+1 {
		if !s.roomForOne() {
			return
		}
		s.Gaps = append(s.Gaps, Gap{First: s.Highest + 1, Last: oldest - 1, State: GapOpen, Since: now})
		s.Highest = oldest - 1
	}
	s.mark(1, oldest-1, state, "not-held", now)
}

// mark gives the missing numbers from first to last a state. Ranges already explained by a dropped report keep that.
func (s *Stream) mark(first, last uint64, state, reason string, now time.Time) {
	out := make([]Gap, 0, len(s.Gaps)+2)
	for _, g := range s.Gaps {
		explained := g.State == GapDropped || (g.State != GapOpen && state != GapDropped)
		if explained || g.Last < first || g.First > last {
			out = append(out, g)
			continue
		}
		if g.First < first {
			left := g
			left.Last = first - 1
			out = append(out, left)
		}
		out = append(out, Gap{First: max(g.First, first), Last: min(g.Last, last), State: state, Since: now, Reason: reason})
		if g.Last > last {
			right := g
			right.First = last + 1
			out = append(out, right)
		}
	}
	for i := 0; len(out) > maxGaps && i < len(out); {
		if out[i].State == GapOpen {
			i++
			continue
		}
		out = append(out[:i], out[i+1:]...)
	}
	s.Gaps = out
}

// Ack is the highest sequence below which everything is committed or will never come.
func (s *Stream) Ack() report.Ack {
	a := report.Ack{Epoch: s.Epoch, Boot: s.Boot, Seq: s.Highest}
	for _, g := range s.Gaps {
		if g.State == GapOpen {
			a.Seq = g.First - 1
			break
		}
	}
	return a
}

// Missing counts the numbers in gaps of a state.
func (s *Stream) Missing(state string) uint64 {
	var n uint64
	for _, g := range s.Gaps {
		if g.State == state {
			n += g.size()
		}
	}
	return n
}

// maxSeq keeps sequence numbers within the signed 64 bits of both databases, with room to add.
const maxSeq = 1 << 62

// CheckSeq tells whether a sequence number can be one.
func CheckSeq(seq uint64) error {
	if seq == 0 || seq > maxSeq {
		return errors.New("sequence out of range")
	}
	return nil
}
