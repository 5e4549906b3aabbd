package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
)

// A session is one connection with its own client object.
type session struct {
	u      *Uplink
	broker string
	client mqtt.Client
	lost   chan error      // the connection is over
	acks   chan report.Ack // from the fleet, newest; one per epoch is enough, for acks are cumulative
	send   chan message    // to the sender
	sent   chan sent       // back from it

	refused sync.Once // an ack that counts for nothing is said once

	// Of the loop alone.
	busy    bool   // the sender has a message
	flight  []sent // without PUBACK, oldest first
	pos     outbox.Pos
	waiting []waiting         // for the fleet's ack, oldest first
	before  map[string]uint64 // what has a lower number was there before the session
	again   int               // records still to be sent again
	againAt outbox.Pos
	next    time.Time // no record of the past before then
	high    map[string]uint64
	drained bool
	now     *message // with the sender, while busy
	nowAt   time.Time
	broke   bool // the peer ended the connection
}

type message struct {
	topic    string
	kind     string
	retained bool
	payload  []byte
	record   *outbox.Record // nil for what is not counted
	answer   *outReply      // nil for what is no reply
	packed   bool           // whatever the configuration says
}

type sent struct {
	message
	token mqtt.Token
	at    time.Time
}

type waiting struct {
	epoch string
	seq   uint64
	at    time.Time
}

// nothing is the client's store: the queue is the outbox, and a client object lives for one connection only. The
// library's own stores lose, reorder or panic.
type nothing struct{}

func (nothing) Open()                             {}
func (nothing) Put(string, packets.ControlPacket) {}
func (nothing) Get(string) packets.ControlPacket  { return nil }
func (nothing) All() []string                     { return nil }
func (nothing) Del(string)                        {}
func (nothing) Close()                            {}
func (nothing) Reset()                            {}

// session connects and works until the connection or the context ends. up tells whether the broker took it.
func (u *Uplink) session(ctx context.Context, broker string) (up bool, lasted time.Duration, err error) {
	// The connection outlives ctx by a moment, to say goodbye.
	conn, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	abort := context.AfterFunc(ctx, cut)
	defer abort()
	s := &session{
		u: u, broker: broker,
		lost: make(chan error, 1), acks: make(chan report.Ack, maxAcks),
		send: make(chan message), sent: make(chan sent, 1),
		high: map[string]uint64{},
	}
	defer u.warn()
	if err := s.connect(conn); err != nil {
		return false, 0, err
	}
	start := time.Now()
	go s.sender()
	defer close(s.send)
	defer s.giveBack()
	s.before = u.box.Ends()
	if u.silent == 0 {
		u.moved = time.Time{}
	} else {
		s.pos = u.reached // no fleet confirms: sending all of it again would only cost traffic
	}
	defer func() { u.reached = s.pos }()
	if err := s.begin(conn); err != nil {
		return true, time.Since(start), err
	}
	u.mu.Lock()
	u.state.Connected, u.state.Since, u.state.Broker, u.state.LastError = true, time.Now(), broker, ""
	u.count.Sessions++
	u.dirty = u.health != nil // a broker may have forgotten what was retained
	u.mu.Unlock()
	u.warn()
	u.remember()
	u.log.Info("uplink up", "broker", broker)
	if !abort() {
		return true, time.Since(start), ctx.Err()
	}
	err = s.work(ctx)
	switch {
	case err == nil, errors.Is(err, errRenewed):
		s.goodbye()
	default:
		s.blame(time.Now())
	}
	return true, time.Since(start), err
}

// giveBack keeps the replies that this session did not get through; the peer knows them by their ids.
func (s *session) giveBack() {
	u := s.u
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, t := range slices.Backward(s.flight) {
		if t.answer != nil && len(u.replies) < maxReplies {
			u.replies = slices.Insert(u.replies, 0, *t.answer)
		}
	}
}

// lose notes the end of the connection; the first reason counts.
func (s *session) lose(err error) {
	select {
	case s.lost <- err:
	default:
	}
}

// incoming takes a message from the broker. It runs on the client's goroutine and must not wait.
func (s *session) incoming(m mqtt.Message) {
	u := s.u
	bad := func() {
		u.mu.Lock()
		u.count.BadMessages++
		u.mu.Unlock()
	}
	own := u.cfg.Address.Topic("")
	estate := report.AdvisoryTopic(u.cfg.Address.Estate, "", "")
	estate = strings.TrimSuffix(estate, "/") // pos/v1/<estate>/advisory/
	switch topic := m.Topic(); {
	case topic == own+"ack":
		var a report.Ack
		if len(m.Payload()) > maxAdvisory || report.Decode(m.Payload(), &a) != nil {
			bad()
			return
		}
		if a.Epoch == "" {
			bad()
			s.refuseAck("an ack without the epoch of the outbox says nothing: numbers begin anew with every outbox")
			return
		}
		for { // the oldest unread one gives way: acks are cumulative
			select {
			case s.acks <- a:
				return
			default:
			}
			select {
			case <-s.acks:
			default:
			}
		}
	case strings.HasPrefix(topic, own+"cmd/"):
		u.command(strings.TrimPrefix(topic, own+"cmd/"), m.Payload(), m.Retained())
	case strings.HasPrefix(topic, estate):
		scope, key, ok := strings.Cut(strings.TrimPrefix(topic, estate), "/")
		var a report.Advisory
		gone := len(m.Payload()) == 0
		if !ok || len(m.Payload()) > maxAdvisory {
			bad()
			return
		}
		if !gone {
			var err error
			if a, err = report.ReadAdvisory(topic, m.Payload(), u.cfg.AdvisoryKeys); err != nil {
				bad()
				return
			}
		}
		if u.h.Advisory != nil {
			u.h.Advisory(scope, key, a, gone)
		}
	case u.cfg.Site != "" && strings.Contains(topic, "/"+report.KindSiteWord+"/"):
		who, kind, err := report.ParseTopic(topic)
		var w report.SiteWord
		if err != nil || m.Retained() || who.Topic(kind) != who.SiteTopic(u.cfg.Site) ||
			len(m.Payload()) > report.MaxSiteWord ||
			report.Decode(m.Payload(), &w) != nil || !w.Check() {
			bad()
			return
		}
		if who != u.cfg.Address && u.h.Site != nil {
			u.h.Site(who.Terminal, w)
		}
	default:
		bad()
	}
}

// sender passes messages to the client in order. Publish may wait for a dead connection, so it is called here and not
// in the loop.
func (s *session) sender() {
	var packer report.Packer
	for m := range s.send {
		if m.packed || s.u.cfg.Compress && m.kind != report.KindStatus && m.kind != report.KindSiteWord {
			m.payload = packer.Pack(m.payload)
		}
		t := s.client.Publish(m.topic, 1, m.retained, m.payload)
		s.sent <- sent{m, t, time.Now()}
	}
}

// begin subscribes and says that the terminal is there.
func (s *session) begin(ctx context.Context) error {
	u := s.u
	at := u.cfg.Address
	filters := map[string]byte{at.Topic("ack"): 1, at.Topic("cmd/+"): 1, at.AdvisoryFilter(): 1}
	if u.cfg.Site != "" {
		filters[at.SiteFilter(u.cfg.Site)] = 1
	}
	asked := make(chan mqtt.Token, 1)
	go func() {
		t := s.client.SubscribeMultiple(filters, nil) // may wait for a dead connection
		<-t.Done()
		asked <- t
	}()
	limit := time.NewTimer(stallTimeout)
	defer limit.Stop()
	var t mqtt.Token
	select {
	case t = <-asked:
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.lost:
		return s.dropped(err)
	case <-limit.C:
		return fmt.Errorf("subscribe at %s: no answer within %v", s.broker, stallTimeout)
	}
	if err := t.Error(); err != nil {
		return fmt.Errorf("subscribe at %s: %w", s.broker, err)
	}
	for topic, code := range t.(*mqtt.SubscribeToken).Result() {
		if code == 0x80 {
			u.note(fmt.Sprintf("the broker refuses the subscription to %s: its access rules must allow it", topic))
		}
	}
	online, err := json.Marshal(report.Presence{State: "online", Reason: "connected", BootID: u.cfg.BootID})
	if err != nil {
		return err
	}
	if err := s.publishNow(ctx, message{topic: at.Topic(report.KindStatus), kind: report.KindStatus, retained: true,
		payload: online}); err != nil {
		return err
	}
	if u.h.Birth == nil {
		return nil
	}
	st := u.box.Stats()
	birth := u.h.Birth()
	birth.Epoch, birth.Boot, birth.Oldest = st.Epoch, st.Boot, st.Oldest
	doc, err := json.Marshal(birth)
	if err != nil {
		return fmt.Errorf("birth: %w", err)
	}
	env, err := report.Wrap(at, report.KindBirth, st.Epoch, st.Boot, 0, birth.Time, false, doc)
	if err != nil {
		return fmt.Errorf("birth: %w", err)
	}
	return s.publishNow(ctx, message{topic: at.Topic(report.KindBirth), kind: report.KindBirth, retained: true,
		payload: env})
}

// publishNow hands one message to the sender and waits until the client has taken it.
func (s *session) publishNow(ctx context.Context, m message) error {
	select {
	case s.send <- m:
	case err := <-s.lost:
		return s.dropped(err)
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case t := <-s.sent:
		s.took(t)
		return nil
	case err := <-s.lost:
		return s.dropped(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) dropped(err error) error {
	return fmt.Errorf("session with %s: connection lost: %w", s.broker, bare(err))
}

// work is the session's loop.
func (s *session) work(ctx context.Context) error {
	u := s.u
	for {
		wait, err := s.fill(time.Now())
		if err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		var head <-chan struct{}
		if len(s.flight) > 0 {
			head = s.flight[0].token.Done()
		}
		var changed <-chan struct{}
		if s.drained {
			changed = u.box.Changed()
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case err := <-s.lost:
			timer.Stop()
			s.broke = true
			return s.dropped(err)
		case t := <-s.sent:
			s.busy = false
			s.took(t)
		case <-head:
			if err := s.puback(); err != nil {
				timer.Stop()
				return err
			}
		case a := <-s.acks:
			s.ack(a)
		case <-changed:
			s.drained = false
		case <-u.wake:
		case <-u.renewed:
			timer.Stop()
			return errRenewed
		case answer := <-u.pings:
			answer()
		case <-timer.C:
		}
		timer.Stop()
	}
}

// took notes that the client has a message.
func (s *session) took(t sent) {
	s.flight = append(s.flight, t)
	u := s.u
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count.Sent[t.kind]++
	u.count.Bytes[t.kind] += int64(len(t.payload) + len(t.topic))
}

// goodbye says in order that the terminal goes; the broker then drops the last will. It takes seconds at most.
func (s *session) goodbye() {
	doc, err := json.Marshal(report.Presence{State: "offline", Reason: "stopped", BootID: s.u.cfg.BootID})
	if err != nil {
		return
	}
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	if s.busy {
		select {
		case t := <-s.sent:
			s.took(t)
		case <-s.lost:
			return
		case <-limit.C:
			return
		}
	}
	s.send <- message{topic: s.u.cfg.Address.Topic(report.KindStatus), kind: report.KindStatus, retained: true,
		payload: doc}
	var done <-chan struct{}
	for {
		select {
		case t := <-s.sent:
			s.took(t)
			done = t.token.Done()
			continue
		case <-done:
		case <-s.lost:
		case <-limit.C:
		}
		break
	}
	s.client.Disconnect(uint(farewell / time.Millisecond / 4))
}
