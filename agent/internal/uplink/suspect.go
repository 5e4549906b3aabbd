package uplink

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"posdx/agent/report"
)

// A broker, or a device of the carrier, that accepts no packet above some size closes the connection when one comes,
// and gives no reason (MQTT 3.1.1 has none). If the same message was the last one sent each time, that is the one which
// is not accepted.
const (
	hangUpWithin = 10 * time.Second // after it was sent
	packAfter    = 3                // hang-ups at one document; then it is sent packed
	asideAfter   = 5                // then an empty one stands in its place, so that what is behind it goes through
)

// A docKey tells one document from the others: a record by its number, others by their kind.
type docKey struct {
	kind, epoch string
	seq         uint64
}

func keyOf(m message) docKey {
	if m.record == nil {
		return docKey{kind: m.kind}
	}
	return docKey{m.kind, m.record.Epoch, m.record.Seq}
}

// A suspect is the document at which the broker hung up lately. It belongs to the goroutine that runs the sessions.
type suspect struct {
	key    docKey
	size   int // plain
	times  int // in a row
	passed int // the largest that the broker has taken since it started
	aside  int // the size of what was set aside last, until the broker takes as much
}

// warning is what people are told of it.
func (s *suspect) warning() string {
	if s.aside == 0 {
		return ""
	}
	return fmt.Sprintf("the broker does not take documents of %d bytes: raise its size limit", s.aside)
}

func (s *suspect) found() bool { return s.times >= packAfter }

// taken notes that the broker has one.
func (s *suspect) taken(m message) {
	if !m.packed {
		s.passed = max(s.passed, len(m.payload))
		if s.passed >= s.aside {
			s.aside = 0
		}
	}
	if keyOf(m) == s.key {
		s.times = 0
	}
}

// accusable leaves out what opens every session: when another client with our id throws us out, that was sent last too.
func accusable(m message) bool { return m.kind != report.KindStatus && m.kind != report.KindBirth }

// blame finds the document at which the broker closed the connection: the largest of those that were on their way, if
// it is larger than all that the broker has accepted.
func (s *session) blame(now time.Time) {
	u := s.u
	if !s.broke {
		return
	}
	list := make([]message, 0, len(s.flight)+1)
	for _, t := range s.flight {
		if now.Sub(t.at) < hangUpWithin && accusable(t.message) {
			list = append(list, t.message)
		}
	}
	if s.busy && now.Sub(s.nowAt) < hangUpWithin && accusable(*s.now) {
		list = append(list, *s.now)
	}
	if len(list) == 0 {
		return
	}
	largest := slices.MaxFunc(list, func(a, b message) int { return cmp.Compare(len(a.payload), len(b.payload)) })
	key := keyOf(largest)
	switch {
	case key == u.suspect.key:
		u.suspect.times++
	case len(largest.payload) > u.suspect.passed:
		u.suspect = suspect{key: key, size: len(largest.payload), times: 1, passed: u.suspect.passed, aside: u.suspect.aside}
	}
}

// suspected is the form in which a message is sent: plain; packed, if the broker closed the connection at it before;
// or, if that did not help either, an empty one in its place, counted and logged.
func (s *session) suspected(m message) message {
	u := s.u
	if keyOf(m) != u.suspect.key || u.suspect.times < packAfter {
		return m
	}
	if u.suspect.times < asideAfter {
		m.packed = true
		return m
	}
	u.mu.Lock()
	u.count.SetAside++
	u.mu.Unlock()
	u.log.Warn("uplink", "set aside", fmt.Sprintf("the broker does not take a %s document of %d bytes, hung up %d times: its size limit must be raised; what is behind it goes on", m.kind, u.suspect.size, u.suspect.times))
	if u.suspect.aside == 0 {
		u.suspect.aside = u.suspect.size
		u.note(u.suspect.warning())
		u.warn()
	}
	empty := []byte("null")
	at := u.cfg.Address
	var env []byte
	var err error
	if r := m.record; r != nil {
		env, err = report.Wrap(at, r.Kind, r.Epoch, r.Boot, r.Seq, r.Time, s.historical(*r), empty)
	} else if m.answer == nil {
		st := u.box.Stats()
		env, err = report.Wrap(at, m.kind, st.Epoch, st.Boot, 0, time.Now(), false, empty)
	} else {
		env = []byte(`{"id":"` + m.answer.doc.ID + `","result":"failed","why":"the answer is larger than the broker takes"}`)
	}
	if err == nil {
		m.payload = env
	}
	return m
}
