package uplink

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/outbox/crashfs"
	"posdx/agent/report"
)

// A script is a broker and the fleet behind it, on a pipe, doing what the test wants and no more. The zero functions
// behave well.
type script struct {
	t *testing.T

	connack func(n int) byte                                    // by number of the connection, from 1
	publish func(l *link, p *packets.PublishPacket) (do string) // "": take and acknowledge; else see onPublish
	dead    func(n int) bool                                    // does the connection go nowhere after CONNACK?
	noFleet bool                                                // the fleet acknowledges nothing
	refuse  bool                                                // nobody listens

	mu       sync.Mutex
	conns    int
	attempts []time.Time
	live     *link
	open     int // publishes without PUBACK
	most     int
	got      []report.Envelope // counted documents as they came, repeats included
	seen     map[string]map[uint64]int
	historic int
	expl     map[string][]report.Dropped
	control  []control // everything else, in order
	wills    []control
	keeps    uint16      // the keep-alive that the last connection asked for, in seconds
	pings    []time.Time // when they came
}

type control struct {
	topic    string
	payload  string
	retained bool
}

type link struct {
	s     *script
	n     int
	conn  net.Conn
	out   chan packets.ControlPacket
	will  *control
	clean bool        // DISCONNECT came
	hears atomic.Bool // it has subscribed; a broker without a memory of sessions says nothing before
	dead  atomic.Bool

	mu   sync.Mutex
	over bool
}

func newScript(t *testing.T) *script {
	return &script{t: t, seen: map[string]map[uint64]int{}, expl: map[string][]report.Dropped{}}
}

func (s *script) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts = append(s.attempts, time.Now())
	if s.refuse {
		return nil, fmt.Errorf("connection refused")
	}
	s.conns++
	ours, theirs := net.Pipe()
	l := &link{s: s, n: s.conns, conn: ours, out: make(chan packets.ControlPacket, 4096)}
	s.live = l
	s.open = 0
	go l.read()
	go l.write()
	return theirs, nil
}

// send queues a packet; what comes after the end of the connection goes nowhere.
func (l *link) send(p packets.ControlPacket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.out <- p
	}
}

func (l *link) write() {
	for p := range l.out {
		if p.Write(l.conn) != nil {
			for range l.out { // until the reader closes it
			}
			return
		}
	}
}

func (l *link) read() {
	defer func() {
		l.conn.Close()
		l.mu.Lock()
		l.over = true
		close(l.out)
		l.mu.Unlock()
		if l.will != nil && !l.clean {
			l.s.mu.Lock()
			l.s.wills = append(l.s.wills, *l.will)
			l.s.mu.Unlock()
		}
	}()
	for {
		p, err := packets.ReadPacket(l.conn)
		if err != nil {
			return
		}
		if l.dead.Load() {
			continue
		}
		switch p := p.(type) {
		case *packets.ConnectPacket:
			if p.CleanSession || p.ClientIdentifier != at.Terminal || p.ProtocolVersion != 4 {
				l.s.t.Errorf("connects as %q, clean %v, protocol %d", p.ClientIdentifier, p.CleanSession, p.ProtocolVersion)
			}
			l.s.mu.Lock()
			l.s.keeps = p.Keepalive
			l.s.mu.Unlock()
			l.will = &control{p.WillTopic, string(p.WillMessage), p.WillRetain}
			a := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
			if l.s.connack != nil {
				a.ReturnCode = l.s.connack(l.n)
			}
			l.send(a)
			l.dead.Store(l.s.dead != nil && l.s.dead(l.n))
		case *packets.SubscribePacket:
			a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			a.MessageID = p.MessageID
			a.ReturnCodes = make([]byte, len(p.Topics))
			l.hears.Store(true)
			l.send(a)
		case *packets.PublishPacket:
			if p.Qos != 1 {
				l.s.t.Errorf("%s with QoS %d: the library drops what it likes of these", p.TopicName, p.Qos)
			}
			l.s.onPublish(l, p)
		case *packets.PingreqPacket:
			l.s.mu.Lock()
			l.s.pings = append(l.s.pings, time.Now())
			l.s.mu.Unlock()
			l.send(packets.NewControlPacket(packets.Pingresp))
		case *packets.DisconnectPacket:
			l.clean = true
			return
		}
	}
}

func (l *link) puback(id uint16) {
	a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	a.MessageID = id
	l.s.mu.Lock()
	l.s.open--
	l.s.mu.Unlock()
	l.send(a)
}

// say publishes to the terminal.
func (l *link) say(topic string, retained bool, payload []byte) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Retain = topic, payload, retained
	l.send(p)
}

func (s *script) onPublish(l *link, p *packets.PublishPacket) {
	s.mu.Lock()
	s.open++
	s.most = max(s.most, s.open)
	s.mu.Unlock()
	do := ""
	if s.publish != nil {
		do = s.publish(l, p)
	}
	switch do {
	case "swallow": // neither taken nor acknowledged
		return
	case "cut": // taken, and the connection ends before the PUBACK
		s.take(l, p)
		l.conn.Close()
		return
	case "refuse": // not taken, and the connection ends
		l.conn.Close()
		return
	case "lose": // acknowledged and lost, as brokers do whose queue is full
		l.puback(p.MessageID)
		return
	}
	s.take(l, p)
	l.puback(p.MessageID)
	if do == "twice" {
		s.take(l, p)
	}
}

func (s *script) take(l *link, p *packets.PublishPacket) {
	_, kind, err := report.ParseTopic(p.TopicName)
	if err != nil {
		s.t.Errorf("topic: %v", err)
	}
	var e report.Envelope
	s.mu.Lock()
	if json.Unmarshal(p.Payload, &e) != nil || e.Seq == 0 {
		s.control = append(s.control, control{kind, string(p.Payload), p.Retain})
		s.mu.Unlock()
		return
	}
	if e.Kind() != kind || p.Retain || p.Qos != 1 {
		s.t.Errorf("%s: envelope says %q, retain %v, qos %d", kind, e.Kind(), p.Retain, p.Qos)
	}
	s.got = append(s.got, e)
	if s.seen[e.Epoch] == nil {
		s.seen[e.Epoch] = map[uint64]int{}
	}
	s.seen[e.Epoch][e.Seq]++
	if e.Historical {
		s.historic++
	}
	if kind == report.KindDropped {
		var d report.Dropped
		json.Unmarshal(e.Data, &d)
		s.expl[e.Epoch] = append(s.expl[e.Epoch], d)
	}
	s.mu.Unlock()
	if !s.noFleet {
		s.confirm(l, e.Epoch)
	}
}

func (s *script) explained(epoch string, seq uint64) bool {
	for _, d := range s.expl[epoch] {
		for _, r := range d.Ranges {
			if r[0] <= seq && seq <= r[1] {
				return true
			}
		}
	}
	return false
}

// confirm sends the fleet's ack for an epoch.
func (s *script) confirm(l *link, epoch string) {
	s.mu.Lock()
	seq := uint64(0)
	for s.seen[epoch][seq+1] > 0 || s.explained(epoch, seq+1) {
		seq++
	}
	s.mu.Unlock()
	if !l.hears.Load() {
		return
	}
	b, _ := json.Marshal(report.Ack{Epoch: epoch, Boot: 1, Seq: seq})
	l.say(at.Topic("ack"), false, b)
}

func (s *script) stored(epoch string) (n, repeats int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.seen[epoch] {
		n++
		repeats += k - 1
	}
	return n, repeats
}

// controls returns what came on the topics that are not counted.
func (s *script) controls(kind string) (list []control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.control {
		if strings.HasPrefix(c.topic, kind) {
			list = append(list, c)
		}
	}
	return list
}

func (s *script) dials() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.attempts)
}

func (s *script) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *script) current() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

var at = report.Address{Estate: "shop", Terminal: "t1"}

// rig is an uplink on a script, running.
type rig struct {
	*Uplink
	*script
	box  *outbox.Box
	stop func()
}

func newBox(t *testing.T) *outbox.Box {
	b, err := outbox.Open("", outbox.Options{FS: crashfs.New()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func start(t *testing.T, s *script, box *outbox.Box, cfg Config, h Handlers) rig {
	t.Helper()
	cfg.Brokers, cfg.Address, cfg.BootID = []string{"tcp://broker"}, at, "boot-1"
	if h.Birth == nil {
		h.Birth = func() report.Birth { return report.Birth{Time: time.Now(), Counted: []string{"diagnosis"}} }
	}
	u, err := New(cfg, box, h)
	if err != nil {
		t.Fatal(err)
	}
	u.dial = s.dial
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	return rig{u, s, box, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		rest(5 * time.Minute) // fake: whatever still runs after this is a leak, and the bubble says so
	}}
}

// rest lets time pass and everyone come to rest.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func fill(t *testing.T, b *outbox.Box, n int) {
	t.Helper()
	for i := range n {
		if _, err := b.Append(report.KindDiagnosis, true, time.Now(), fmt.Appendf(nil, `{"id":"d%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
}
