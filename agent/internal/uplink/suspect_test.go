package uplink

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
)

// feed is a connection from which a stream comes in pieces of some size.
type feed struct {
	net.Conn
	r    io.Reader
	most int
}

func (f *feed) Read(p []byte) (int, error) { return f.r.Read(p[:min(len(p), f.most)]) }
func (f *feed) Close() error               { return nil }

func publish(topic string, qos byte, id uint16, payload []byte) []byte {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Payload = topic, qos, id, payload
	var b bytes.Buffer
	_ = p.Write(&b)
	return b.Bytes()
}

// A message over the limit is passed on without its content, however the stream is cut, and what is before and behind it
// is untouched.
func TestMessageOverTheLimitIsSurvived(t *testing.T) {
	small := publish("a/b", 1, 7, []byte("first"))
	after := publish("c", 0, 0, bytes.Repeat([]byte("x"), 300))
	for _, qos := range []byte{0, 1} {
		for _, size := range []int{maxPacket, maxPacket + 1, 2 * maxPacket} {
			stream := append(append(bytes.Clone(small), publish("pos/v1/e/t/cmd/knowledge", qos, 99, bytes.Repeat([]byte{'A'}, size))...), after...)
			for _, most := range []int{1, 7, 1500, 1 << 20} {
				if most == 1 && size > maxPacket+1 {
					continue
				}
				told := 0
				g := &guard{Conn: &feed{r: bytes.NewReader(stream), most: most}, lost: func(error) {}, big: func(n int) { told = n }}
				var got []*packets.PublishPacket
				for {
					p, err := packets.ReadPacket(g)
					if err != nil {
						break
					}
					got = append(got, p.(*packets.PublishPacket))
				}
				if len(got) != 3 || string(got[0].Payload) != "first" || len(got[2].Payload) != 300 {
					t.Fatalf("qos %d, %d bytes in pieces of %d: %d packets", qos, size, most, len(got))
				}
				if m := got[1]; string(m.Payload) != tooLarge || m.TopicName != "pos/v1/e/t/cmd/knowledge" || m.Qos != qos || qos > 0 && m.MessageID != 99 || told < size {
					t.Errorf("qos %d, %d bytes in pieces of %d: got %v, told %d", qos, size, most, m, told)
				}
			}
		}
	}
	if _, why := parseCommand("knowledge", []byte(tooLarge), false); !strings.Contains(why, "over") {
		t.Errorf("refused for %q", why)
	}
}

func FuzzGuard(f *testing.F) {
	f.Add(publish("a", 1, 1, []byte("x")), 3)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'}, 1)
	f.Add([]byte{0x90, 0xff, 0xff, 0xff, 0x7f}, 2)
	f.Fuzz(func(t *testing.T, b []byte, most int) {
		g := &guard{Conn: &feed{r: bytes.NewReader(b), most: max(1, most)}, lost: func(error) {}}
		n, _ := io.Copy(io.Discard, g)
		if n > int64(len(b))+int64(len(tooLarge)*(1+len(b)/maxPacket)) {
			t.Errorf("%d bytes of %d", n, len(b))
		}
	})
}

// swallower is a line before a broker that drops every connection whose first record is longer than limit.
func swallower(t *testing.T, behind string, limit int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				head := make([]byte, 5)
				if _, err := io.ReadFull(c, head); err != nil {
					return
				}
				body := make([]byte, binary.BigEndian.Uint16(head[3:]))
				if _, err := io.ReadFull(c, body); err != nil {
					return
				}
				if len(body) > limit {
					_, _ = io.Copy(io.Discard, c)
					return
				}
				b, err := net.Dial("tcp", behind)
				if err != nil {
					return
				}
				defer b.Close()
				_, _ = b.Write(append(head, body...))
				go func() { _, _ = io.Copy(b, c); b.Close() }()
				_, _ = io.Copy(c, b)
			}()
		}
	}()
	return l.Addr().String()
}

// A line that swallows large hellos is got over with a small one, at once the next time, and it is said.
func TestSmallHelloWhereALargeOneIsSwallowed(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a hello that is never answered")
	}
	p := newPKI(t)
	own := p.config("t")
	server := &tls.Config{}
	cert, key := p.issue("broker", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "broker")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server.Certificates = []tls.Certificate{pair}
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake(); _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	line := swallower(t, l.Addr().String(), 1400)
	u := &Uplink{dial: dialTCP, small: map[string]bool{}, budget: newBudget(0, time.Now()), log: slog.New(slog.DiscardHandler)}
	for i, within := range []time.Duration{time.Minute, helloWait} {
		start := time.Now()
		conn, err := u.dial(t.Context(), "tcp", line)
		if err != nil {
			t.Fatal(err)
		}
		c, err := u.handshake(t.Context(), "ssl://broker:8883", line, conn, &tls.Config{ServerName: "broker", RootCAs: own.RootCAs})
		if err != nil {
			t.Fatalf("try %d: %v", i, err)
		}
		c.Close()
		if !u.keepsSmall("ssl://broker:8883") || i == 1 && time.Since(start) > within {
			t.Errorf("try %d took %v", i, time.Since(start))
		}
	}
}

// The document at which a broker hangs up is found, sent packed, then stood in for; a hang-up at what was taken before,
// or at nothing, accuses nobody.
func TestDocumentTheBrokerRefusesIsFound(t *testing.T) {
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	u := &Uplink{box: box, count: Counters{}, log: slog.New(slog.DiscardHandler), cfg: Config{Address: report.Address{Estate: "e", Terminal: "t"}}}
	big := message{kind: report.KindDiagnosis, payload: make([]byte, 11_900), record: &outbox.Record{Kind: report.KindDiagnosis, Epoch: "x", Seq: 4, Time: time.Now()}}
	little := message{kind: report.KindDiagnosis, payload: make([]byte, 900), record: &outbox.Record{Kind: report.KindDiagnosis, Epoch: "x", Seq: 3, Time: time.Now()}}
	hangUp := func(broke bool, list ...message) {
		s := &session{u: u, broke: broke}
		for _, m := range list {
			s.flight = append(s.flight, sent{message: m, at: time.Now()})
		}
		s.blame(time.Now())
	}
	s := &session{u: u, before: map[string]uint64{}}
	for i := range asideAfter {
		got := s.suspected(big)
		if got.packed != (i >= packAfter) || len(got.payload) != len(big.payload) {
			t.Errorf("after %d hang-ups: packed %v, %d bytes", i, got.packed, len(got.payload))
		}
		hangUp(false, big) // our own end of it
		hangUp(true)
		hangUp(true, little, got)
	}
	got := s.suspected(big)
	if len(got.payload) > 600 || !bytes.Contains(got.payload, []byte(`"data":null`)) || u.count.SetAside != 1 || len(u.notes) != 1 {
		t.Errorf("got %d bytes %s, %d set aside, said %q", len(got.payload), got.payload, u.count.SetAside, u.notes)
	}
	if other := s.suspected(little); other.packed || len(other.payload) != len(little.payload) {
		t.Error("what is behind it is changed")
	}
	u.suspect = suspect{}
	u.suspect.taken(big)
	for range asideAfter + 1 {
		hangUp(true, big)
	}
	if u.suspect.found() {
		t.Error("a size that the broker has taken is not what it does not take")
	}
}
