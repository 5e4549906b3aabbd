package uplink

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
)

// puback takes the oldest message in flight off; its token is done.
func (s *session) puback() error {
	t := s.flight[0]
	s.flight = slices.Delete(s.flight, 0, 1)
	if err := t.token.Error(); err != nil {
		return fmt.Errorf("publish to %s: %w", s.broker, err)
	}
	s.u.suspect.taken(t.message)
	if r := t.record; r != nil && s.u.cfg.Delivery == DeliveryBroker {
		s.high[r.Epoch] = max(s.high[r.Epoch], r.Seq)
		if r.Kind != report.KindDropped { // those go ahead of their turn and confirm nothing below
			s.forget(r.Epoch, r.Boot, r.Seq)
		}
		s.allThere()
	}
	return nil
}

// allThere forgets everything once the broker has all of it.
func (s *session) allThere() {
	if s.drained && !s.busy && len(s.flight) == 0 {
		for epoch, seq := range s.high {
			s.forget(epoch, 0, seq)
		}
		clear(s.high)
	}
}

// forget tells the outbox what has arrived.
func (s *session) forget(epoch string, boot, seq uint64) {
	if err := s.u.box.Ack(epoch, boot, seq); err != nil {
		s.u.log.Warn("outbox", "error", err)
	}
}

// refuseAck says in the log and on the reply topic why an ack counts for nothing, once a session.
func (s *session) refuseAck(why string) {
	s.refused.Do(func() {
		s.u.log.Warn("ack refused", "why", why)
		s.u.reply(ackName, report.Reply{ID: ackName, Result: "refused", Why: why})
	})
}

// tooLarge says that a message was passed over: in the log, and to whoever sent it, if it was a command.
func (s *session) tooLarge(topic string, size int) {
	u := s.u
	u.mu.Lock()
	u.count.BadMessages++
	u.mu.Unlock()
	why := fmt.Sprintf("the message has %d bytes, at most %d are taken", size, maxPacket)
	u.log.Warn("message passed over", "bytes", size, "limit", maxPacket)
	if name, ok := strings.CutPrefix(topic, u.cfg.Address.Topic("cmd/")); ok {
		u.reply(name, report.Reply{ID: "too-large", Result: "refused", Why: why})
	}
}

// ack takes the fleet's word.
func (s *session) ack(a report.Ack) {
	u := s.u
	if u.cfg.Delivery != DeliveryFleet {
		return
	}
	before := u.box.Stats().Records
	if err := u.box.AckSent(s.pos, a.Epoch, a.Boot, a.Seq); errors.Is(err, outbox.ErrFuture) {
		s.refuseAck(err.Error())
		return
	} else if err != nil {
		u.log.Warn("outbox", "error", err)
	}
	n := len(s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool { return w.epoch == a.Epoch && w.seq <= a.Seq })
	if len(s.waiting) == n && u.box.Stats().Records == before {
		return
	}
	u.moved, u.silent = time.Now(), 0
	// What comes next was sent long ago and is still not there: the broker lost it, and likely more behind it.
	if r, ok := u.box.First(); ok && s.again == 0 && s.pos.Past(r) &&
		!slices.ContainsFunc(s.waiting, func(w waiting) bool { return w.epoch == r.Epoch && w.seq == r.Seq }) {
		s.again, s.againAt = u.cfg.Window, outbox.Pos{}
	}
}

// fill gives the sender its next message, if there is one and it may go now. It returns how long to wait otherwise.
func (s *session) fill(now time.Time) (time.Duration, error) {
	u := s.u
	wait := time.Hour
	until := func(t time.Time) { wait = min(wait, max(t.Sub(now), 0)) }
	if len(s.flight) > 0 {
		stalled := s.flight[0].at.Add(stallTimeout)
		if !now.Before(stalled) {
			return 0, fmt.Errorf("session with %s: no acknowledgement for %v", s.broker, stallTimeout)
		}
		until(stalled)
	}
	if err := s.timeouts(now, until); err != nil {
		return 0, err
	}
	if s.busy || len(s.flight) >= u.cfg.Window {
		return wait, nil
	}
	m, ok, err := s.choose(now, until)
	if err != nil {
		u.log.Warn("outbox", "error", err)
		until(now.Add(retryRead))
		return wait, nil
	}
	if !ok {
		return wait, nil
	}
	m = s.suspected(m)
	s.busy, s.now, s.nowAt = true, &m, now
	s.send <- m // the sender is idle: it takes it at once
	return wait, nil
}

// retryRead is the pause after the outbox could not be read.
const retryRead = 10 * time.Second

// timeouts lets go of the window what was not confirmed in time and decides what is sent again.
func (s *session) timeouts(now time.Time, until func(time.Time)) error {
	u := s.u
	if u.cfg.Delivery != DeliveryFleet {
		return nil
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool { return now.Sub(w.at) >= ackTimeout })
	if len(s.waiting) > 0 {
		until(s.waiting[0].at.Add(ackTimeout))
	}
	if u.moved.IsZero() || s.again > 0 || u.box.Stats().Records == 0 {
		return nil
	}
	due := u.moved.Add(min(ackTimeout<<min(u.silent, 8), ackTimeoutMax))
	if now.Before(due) {
		until(due)
		return nil
	}
	u.silent++
	u.moved = now
	if u.silent%rebuildEvery == 0 {
		return fmt.Errorf("session with %s: the fleet has confirmed nothing %d times over", s.broker, u.silent)
	}
	s.again, s.againAt = u.cfg.Window, outbox.Pos{}
	return nil
}

// choose picks the next message: replies, then what is sent again, then the outbox in order, then answers to
// questions, then health.
func (s *session) choose(now time.Time, until func(time.Time)) (message, bool, error) {
	u := s.u
	at := u.cfg.Address
	u.mu.Lock()
	if len(u.replies) > 0 {
		r := u.replies[0]
		u.replies = slices.Delete(u.replies, 0, 1)
		u.mu.Unlock()
		doc, err := json.Marshal(r.doc)
		if err != nil {
			doc = []byte(`{"id":"` + r.doc.ID + `","result":"failed","why":"the answer cannot be written as JSON"}`)
		}
		return message{topic: at.Topic("reply/" + r.name), kind: "reply", payload: doc, answer: &r}, true, nil
	}
	u.mu.Unlock()
	if m, ok, err := s.repeat(now); ok || err != nil {
		return m, ok, err
	}
	if m, ok, err := s.fresh(now, until); ok || err != nil {
		return m, ok, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.budget.over(now) {
		return message{}, false, nil
	}
	st := u.box.Stats()
	if len(u.loose) > 0 {
		a := u.loose[0]
		u.loose = slices.Delete(u.loose, 0, 1)
		if a.topic != "" {
			return message{topic: a.topic, kind: a.kind, payload: a.doc}, true, nil
		}
		env, err := report.Wrap(at, a.kind, st.Epoch, st.Boot, 0, a.at, false, a.doc)
		if err != nil {
			u.log.Warn("publish", "kind", a.kind, "error", err)
			return message{}, false, nil
		}
		return message{topic: at.Topic(a.kind), kind: a.kind, payload: env}, true, nil
	}
	if !u.dirty {
		return message{}, false, nil
	}
	env, err := report.Wrap(at, report.KindHealth, st.Epoch, st.Boot, 0, u.healthAt, false, u.health)
	u.dirty = false
	if err != nil {
		u.log.Warn("health", "error", err)
		return message{}, false, nil
	}
	return message{topic: at.Topic(report.KindHealth), kind: report.KindHealth, retained: true, payload: env}, true, nil
}

// repeat sends a record again that the fleet has not confirmed.
func (s *session) repeat(now time.Time) (message, bool, error) {
	if s.again == 0 {
		return message{}, false, nil
	}
	r, ok, err := s.u.box.Next(s.againAt)
	if err != nil || !ok || !s.pos.Past(r) {
		s.again = 0
		return message{}, false, err
	}
	s.again--
	s.againAt = s.againAt.After(r)
	s.u.mu.Lock()
	s.u.count.Resent++
	s.u.mu.Unlock()
	return s.record(r, now)
}

// fresh takes the next record of the outbox that this session has not sent.
func (s *session) fresh(now time.Time, until func(time.Time)) (message, bool, error) {
	u := s.u
	if s.drained || len(s.waiting) >= fleetWindow {
		return message{}, false, nil
	}
	r, ok, err := u.box.Next(s.pos)
	if err != nil {
		return message{}, false, err
	}
	if !ok {
		s.drained = true
		s.allThere()
		return message{}, false, nil
	}
	if s.historical(r) {
		if now.Before(s.next) {
			until(s.next)
			return message{}, false, nil
		}
		s.next = now.Add(time.Second / drainPerSecond)
		if u.budget.over(now) {
			s.next = now.Add(overBudgetWait)
		}
	}
	s.pos = s.pos.After(r)
	return s.record(r, now)
}

func (s *session) historical(r outbox.Record) bool {
	next, ok := s.before[r.Epoch]
	return !ok && r.Boot < s.u.box.Boot() || r.Seq < next
}

func (s *session) record(r outbox.Record, now time.Time) (message, bool, error) {
	u := s.u
	env, err := report.Wrap(u.cfg.Address, r.Kind, r.Epoch, r.Boot, r.Seq, r.Time, s.historical(r), r.Doc)
	if err != nil {
		// A document that is no JSON cannot travel and must not block those behind it.
		env, err = report.Wrap(u.cfg.Address, r.Kind, r.Epoch, r.Boot, r.Seq, r.Time, s.historical(r), []byte("null"))
		if err != nil {
			return message{}, false, err
		}
	}
	if u.cfg.Delivery == DeliveryFleet {
		if len(s.waiting) == 0 && u.silent == 0 {
			u.moved = now
		}
		s.waiting = append(s.waiting, waiting{r.Epoch, r.Seq, now})
	}
	return message{topic: u.cfg.Address.Topic(r.Kind), kind: r.Kind, payload: env, record: &r}, true, nil
}
