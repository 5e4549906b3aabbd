package uplink

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/report"
)

// Messages above the limit are passed over and acknowledged, those around them come through whole, in whatever pieces
// the stream is read.
func TestTooLargeMessagesArePassedOver(t *testing.T) {
	publish := func(topic string, id uint16, size int) []byte {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Qos, p.MessageID, p.Payload = topic, 1, id, bytes.Repeat([]byte("x"), size)
		var b bytes.Buffer
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	small := publish("a/b", 7, 100)
	for _, piece := range []int{7, 100, 4096, 1 << 20} {
		ours, theirs := net.Pipe()
		stream := bytes.Join([][]byte{small, publish("pos/v1/shop/t1/cmd/knowledge", 0x1234, maxPacket), small, publish("c", 9, 2*maxPacket), small}, nil)
		acks, all := make(chan []byte, 1), make(chan struct{})
		go func() {
			var got []byte
			b := make([]byte, 16)
			for len(got) < 8 {
				n, err := theirs.Read(b)
				if err != nil {
					break
				}
				got = append(got, b[:n]...)
			}
			close(all)
			acks <- got
		}()
		go func() {
			for len(stream) > 0 {
				n := min(piece, len(stream))
				if _, err := theirs.Write(stream[:n]); err != nil {
					return
				}
				stream = stream[n:]
			}
			<-all
			theirs.Close()
		}()
		var big []int
		g := &guard{Conn: ours, every: time.Hour, lost: func(error) {}}
		g.big = func(_ string, size int) { big = append(big, size) }
		through, _ := io.ReadAll(g)
		if want := bytes.Repeat(small, 3); !bytes.Equal(through, want) {
			t.Errorf("pieces of %d: %d bytes came through, want %d", piece, len(through), len(want))
		}
		if len(big) != 2 || big[0] <= maxPacket || big[1] <= 2*maxPacket {
			t.Errorf("pieces of %d: told of %v", piece, big)
		}
		if got := <-acks; !bytes.Equal(got, []byte{0x40, 2, 0x12, 0x34, 0x40, 2, 0, 9}) {
			t.Errorf("pieces of %d: acknowledged % x", piece, got)
		}
	}
	// What claims to be larger than anything, and is no message at all, still ends the connection.
	for _, stream := range [][]byte{{0x30, 0xff, 0xff, 0xff, 0x7f}, {0x20, 0xff, 0xff, 0x7f},
		{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}} {
		g := &guard{lost: func(error) {}}
		if err := g.watch(stream); err == nil {
			t.Errorf("% x goes on", stream)
		}
	}
}

// A command above the limit is refused aloud and the session goes on.
func TestACommandAboveTheLimitIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		r := start(t, s, box, Config{}, Handlers{})
		rest(time.Minute)
		l := s.current()
		l.say(at.Topic("cmd/knowledge"), false, bytes.Repeat([]byte("x"), maxPacket))
		l.say(at.Topic("cmd/ping"), false, []byte(`{"id":"p1"}`))
		rest(time.Minute)
		var refused, done bool
		for _, c := range r.controls("reply/") {
			var rep report.Reply
			if json.Unmarshal([]byte(c.payload), &rep) != nil {
				t.Errorf("reply %s", c.payload)
			}
			refused = refused || rep.Result == "refused" && strings.Contains(rep.Why, "at most 294912")
			done = done || rep.ID == "p1" && rep.Result == "done"
		}
		if !refused || !done || s.conns != 1 {
			t.Errorf("refused %v, the next one done %v, %d connections", refused, done, s.conns)
		}
		r.stop()
	})
}

// An ack that cannot count is refused aloud, once a session, and forgets nothing.
func TestAcksThatCannotCountAreRefusedAloud(t *testing.T) {
	for name, ack := range map[string]string{
		"without an epoch":   `{"boot":1,"seq":5}`,
		"for a future start": `{"epoch":"EPOCH","boot":999,"seq":3}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			box := newBox(t)
			s := newScript(t)
			s.noFleet = true
			r := start(t, s, box, Config{}, Handlers{})
			fill(t, box, 5)
			rest(time.Minute / 2)
			for range 3 {
				s.current().say(at.Topic("ack"), false, []byte(strings.Replace(ack, "EPOCH", box.Epoch(), 1)))
			}
			rest(10 * time.Second)
			if n := box.Stats().Records; n != 5 {
				t.Errorf("%s: %d of 5 records left", name, n)
			}
			said := 0
			for _, c := range r.controls("reply/ack") {
				var rep report.Reply
				if json.Unmarshal([]byte(c.payload), &rep) == nil && rep.Result == "refused" && rep.Why != "" {
					said++
				}
			}
			if said != 1 {
				t.Errorf("%s: said %d times, want once", name, said)
			}
			r.stop()
		})
	}
}

// What was asked goes to a topic of its own, without a number.
func TestAskedDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox(t)
		s := newScript(t)
		r := start(t, s, box, Config{}, Handlers{})
		r.PublishLoose(report.KindAsked, []byte(`{"id":"q","asked":true}`))
		rest(time.Minute)
		c := r.controls("asked")
		if len(c) != 1 {
			t.Fatalf("%d documents, want 1", len(c))
		}
		var e report.Envelope
		if err := json.Unmarshal([]byte(c[0].payload), &e); err != nil || e.Kind() != report.KindAsked || e.Seq != 0 {
			t.Errorf("%s: %v", c[0].payload, err)
		}
		if n := box.Stats().Records; n != 0 {
			t.Errorf("%d records kept", n)
		}
		r.stop()
	})
}
