package uplink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
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

	// Of the loop alone.
	busy    bool   // the sender has a message
	flight  []sent // without PUBACK, oldest first
	pos     outbox.Pos
	waiting []waiting // for the fleet's ack, oldest first
	before  map[string]uint64
	again   int // records still to be sent again
	againAt outbox.Pos
	next    time.Time // no record of the past before then
	high    map[string]uint64
	drained bool
}

type message struct {
	topic    string
	kind     string
	retained bool
	payload  []byte
	record   *outbox.Record // nil for what is not counted
	answer   *outReply      // nil for what is no reply
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
		before: map[string]uint64{}, high: map[string]uint64{},
	}
	if err := s.connect(conn); err != nil {
		return false, 0, err
	}
	start := time.Now()
	go s.sender()
	defer close(s.send)
	defer s.giveBack()
	st := u.box.Stats()
	s.before[st.Epoch] = st.Next
	if u.silent == 0 {
		u.moved = time.Time{}
	} else {
		s.pos = u.reached // nobody confirms: going through all of it again would only wear out the line
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
	u.log.Info("uplink up", "broker", broker)
	if !abort() {
		return true, time.Since(start), ctx.Err()
	}
	err = s.work(ctx)
	if err == nil {
		s.goodbye()
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

func (s *session) connect(ctx context.Context) error {
	u := s.u
	b, err := parseBroker(s.broker)
	if err != nil {
		return err
	}
	user, password, err := u.credentials()
	if err != nil {
		return err
	}
	var config *tls.Config
	if b.Scheme == "ssl" {
		if config, err = u.tlsConfig(b.Hostname()); err != nil {
			return err
		}
	}
	will, err := json.Marshal(report.Presence{State: "offline", Reason: "connection lost", BootID: u.cfg.BootID})
	if err != nil {
		return err
	}
	o := mqtt.NewClientOptions()
	o.AddBroker("tcp://" + b.Host) // only a name here: open makes the connection
	o.SetClientID(u.cfg.Address.Terminal)
	o.SetUsername(user)
	o.SetPassword(password)
	o.SetProtocolVersion(4)  // or a refusal would be tried again as MQTT 3.1
	o.SetCleanSession(false) // commands sent during a short break still arrive
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetStore(nothing{})
	o.SetKeepAlive(u.cfg.KeepAlive)
	o.SetPingTimeout(pingTimeout)
	o.SetConnectTimeout(connectTimeout)
	o.SetWriteTimeout(writeTimeout)
	o.SetBinaryWill(u.cfg.Address.Topic(report.KindStatus), will, 1, true)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.incoming(m) })
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.lose(err) })
	var opened error // why open failed; read once the connect token is done
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := s.open(ctx, b, config)
		opened = err
		return conn, err
	})
	s.client = mqtt.NewClient(o)
	t := s.client.Connect()
	limit := time.NewTimer(2 * connectTimeout)
	defer limit.Stop()
	select {
	case <-t.Done():
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("connect %s: no end within %v", s.broker, 2*connectTimeout)
	}
	switch err := t.Error(); {
	case err == nil:
		return nil
	case opened != nil:
		return opened
	default:
		return s.refusal(err, t.(*mqtt.ConnectToken).ReturnCode())
	}
}

// refusal says what a CONNACK means for the one who set up the terminal (MQTT 3.1.1 section 3.2.2.3).
func (s *session) refusal(err error, code byte) error {
	what := ""
	switch code {
	case packets.ErrRefusedIDRejected:
		what = fmt.Sprintf("the broker does not take the client id %q; register the terminal", s.u.cfg.Address.Terminal)
	case packets.ErrRefusedServerUnavailable:
		what = "the broker is there but not available; it may be starting"
	case packets.ErrRefusedBadUsernameOrPassword:
		what = "user or password is wrong; correct " + orWord(s.u.cfg.UserFile, "the user file (none is configured)")
	case packets.ErrRefusedNotAuthorised:
		what = fmt.Sprintf("the broker does not let %q in; allow the terminal or give it its certificate", s.u.cfg.Address.Terminal)
	default:
		if strings.Contains(err.Error(), "remote error: tls") {
			return fmt.Errorf("connect %s: the broker does not accept our certificate %s: %w", s.broker, orWord(s.u.cfg.CertFile, "(none is configured)"), bare(err))
		}
		return fmt.Errorf("connect %s: no MQTT answer: %w", s.broker, bare(err))
	}
	return fmt.Errorf("connect %s: %s", s.broker, what)
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// open makes the connection under the MQTT session: counted, bounded, closed with the context.
func (s *session) open(ctx context.Context, b *url.URL, config *tls.Config) (net.Conn, error) {
	u := s.u
	within, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := u.dial(within, "tcp", b.Host)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", s.broker, bare(err))
	}
	conn = &metered{conn, u}
	if config != nil {
		c := tls.Client(conn, config)
		if err := c.HandshakeContext(within); err != nil {
			conn.Close()
			return nil, u.explain(s.broker, err)
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		u.mu.Lock()
		if leaf.NotBefore.After(u.state.NotBefore) {
			u.state.NotBefore = leaf.NotBefore
		}
		u.mu.Unlock()
		conn = c
	}
	g := &guard{Conn: conn, lost: s.lose}
	context.AfterFunc(ctx, func() { g.over(ctx.Err()) })
	return g, nil
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
		if len(m.Payload()) > maxAdvisory || json.Unmarshal(m.Payload(), &a) != nil || a.Epoch == "" {
			bad()
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
		if !ok || len(m.Payload()) > maxAdvisory || !gone && json.Unmarshal(m.Payload(), &a) != nil {
			bad()
			return
		}
		if u.h.Advisory != nil {
			u.h.Advisory(scope, key, a, gone)
		}
	default:
		bad()
	}
}

// sender hands messages to the client in order. Publish may wait for a dead connection, so it does so here and not in
// the loop.
func (s *session) sender() {
	for m := range s.send {
		t := s.client.Publish(m.topic, 1, m.retained, m.payload)
		s.sent <- sent{m, t, time.Now()}
	}
}

// begin subscribes and says that the terminal is there.
func (s *session) begin(ctx context.Context) error {
	u := s.u
	at := u.cfg.Address
	filters := map[string]byte{at.Topic("ack"): 1, at.Topic("cmd/+"): 1, at.AdvisoryFilter(): 1}
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
			u.warn(fmt.Sprintf("the broker refuses the subscription to %s: its access rules must allow it", topic))
		}
	}
	online, err := json.Marshal(report.Presence{State: "online", Reason: "connected", BootID: u.cfg.BootID})
	if err != nil {
		return err
	}
	if err := s.publishNow(ctx, message{topic: at.Topic(report.KindStatus), kind: report.KindStatus, retained: true, payload: online}); err != nil {
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
	return s.publishNow(ctx, message{topic: at.Topic(report.KindBirth), kind: report.KindBirth, retained: true, payload: env})
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

// puback takes the oldest message in flight off; its token is done.
func (s *session) puback() error {
	t := s.flight[0]
	s.flight = slices.Delete(s.flight, 0, 1)
	if err := t.token.Error(); err != nil {
		return fmt.Errorf("publish to %s: %w", s.broker, err)
	}
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

// ack takes the fleet's word.
func (s *session) ack(a report.Ack) {
	u := s.u
	if u.cfg.Delivery != DeliveryFleet {
		return
	}
	before := u.box.Stats()
	// An ack counts for what was sent: the number may lie beyond, across a gap that the fleet gave up waiting for.
	if r, ok, err := u.box.Next(s.pos); err == nil && ok && r.Epoch == a.Epoch && a.Seq >= r.Seq && a.Seq < before.Next {
		a.Seq = r.Seq - 1
	}
	s.forget(a.Epoch, a.Boot, a.Seq)
	n := len(s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool { return w.epoch == a.Epoch && w.seq <= a.Seq })
	after := u.box.Stats()
	if len(s.waiting) == n && after.Records == before.Records {
		return
	}
	u.mu.Lock()
	u.count.Confirmed++
	u.mu.Unlock()
	u.moved, u.silent = time.Now(), 0
	// What comes next was sent long ago and is still not there: the broker lost it, and likely more behind it.
	next := outbox.Record{Epoch: after.Epoch, Seq: after.Oldest}
	if s.again == 0 && after.Records > 0 && s.pos.Past(next) &&
		!slices.ContainsFunc(s.waiting, func(w waiting) bool { return w.epoch == next.Epoch && w.seq == next.Seq }) {
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
	s.busy = true
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

// choose picks the next message: replies, then what is sent again, then the outbox in order, then health.
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
	if !u.dirty || u.budget.over(now) {
		return message{}, false, nil
	}
	st := u.box.Stats()
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
	s.send <- message{topic: s.u.cfg.Address.Topic(report.KindStatus), kind: report.KindStatus, retained: true, payload: doc}
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

// bare takes the addresses out of a network error: they change with every attempt and tell nothing.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
