package uplink

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// newClient is a client that is let in by a broker at the other end of a pipe; lost holds why the connection ended.
func newClient(t *testing.T, take func(*packets.PublishPacket)) (c *client, broker net.Conn, lost chan error) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	lost = make(chan error, 8)
	c = &client{
		conn: theirs, keepAlive: time.Minute, take: take, lost: func(err error) { lost <- err },
		pong: make(chan struct{}, 1), ended: make(chan struct{}), pending: map[uint16]*token{},
	}
	go func() {
		packets.ReadPacket(ours)
		packets.NewControlPacket(packets.Connack).Write(ours)
	}()
	if code, err := c.login(packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket), time.Now().Add(time.Second)); code != 0 || err != nil {
		t.Fatalf("login: code %d, %v", code, err)
	}
	return c, ours, lost
}

func next[P packets.ControlPacket](t *testing.T, broker net.Conn) P {
	t.Helper()
	p, err := packets.ReadPacket(broker)
	if err != nil {
		t.Fatal(err)
	}
	want, ok := p.(P)
	if !ok {
		t.Fatalf("got %v", p)
	}
	return want
}

// What the line costs while nothing happens: one ping per keep-alive time, counted from the last packet sent.
func TestClientPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, broker, lost := newClient(t, nil)
		start := time.Now()
		time.Sleep(40 * time.Second)
		go c.publish("a", false, nil)
		next[*packets.PublishPacket](t, broker)
		for _, want := range []time.Duration{100 * time.Second, 160 * time.Second} {
			next[*packets.PingreqPacket](t, broker)
			if got := time.Since(start); got != want {
				t.Errorf("ping after %v, want %v", got, want)
			}
			packets.NewControlPacket(packets.Pingresp).Write(broker)
		}
		next[*packets.PingreqPacket](t, broker)
		time.Sleep(pingTimeout - time.Second)
		synctest.Wait()
		if len(lost) > 0 {
			t.Errorf("given up early: %v", <-lost)
		}
		if err := <-lost; !strings.Contains(err.Error(), "ping") || time.Since(start) != 220*time.Second+pingTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestClientAcknowledges(t *testing.T) {
	var took []string
	_, broker, lost := newClient(t, func(p *packets.PublishPacket) { took = append(took, p.TopicName+" "+string(p.Payload)) })
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.MessageID, p.TopicName, p.Payload = 1, 7, "cmd/ping", []byte("x")
	go p.Write(broker)
	if a := next[*packets.PubackPacket](t, broker); a.MessageID != 7 || len(took) != 1 || took[0] != "cmd/ping x" {
		t.Errorf("acknowledged %d, took %q", a.MessageID, took)
	}
	p.Qos = 2
	go p.Write(broker)
	if err := <-lost; !strings.Contains(err.Error(), "QoS 2") || len(took) != 1 {
		t.Errorf("got %v, took %q", err, took)
	}
}

// An identifier is never 0 and never one that still waits, however long the connection lasts.
func TestClientIdentifiers(t *testing.T) {
	c := &client{pending: map[uint16]*token{}}
	waits, first := c.expect()
	for range 70000 {
		t1, id := c.expect()
		if id == 0 || id == first {
			t.Fatalf("identifier %d is used", id)
		}
		c.settle(id, nil)
		<-t1.done
	}
	select {
	case <-waits.done:
		t.Error("acknowledged by nobody")
	default:
	}
}

// canned is a broker whose answers are fixed.
type canned struct {
	net.Conn
	r io.Reader
}

func (c canned) Read(p []byte) (int, error)     { return c.r.Read(p) }
func (canned) Write(p []byte) (int, error)      { return len(p), nil }
func (canned) SetReadDeadline(time.Time) error  { return nil }
func (canned) SetWriteDeadline(time.Time) error { return nil }
func (canned) Close() error                     { return nil }

// Whatever a broker sends, the client ends with an error and never takes the daemon with it.
func FuzzClient(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := &guard{Conn: canned{r: bytes.NewReader(b)}, lost: func(error) {}}
		ends := 0
		c := &client{
			conn: conn, take: func(*packets.PublishPacket) {}, lost: func(error) { ends++ },
			pong: make(chan struct{}, 1), ended: make(chan struct{}), pending: map[uint16]*token{},
		}
		asked, _ := c.expect()
		c.read()
		if ends != 1 {
			t.Errorf("told %d times that it is over", ends)
		}
		select {
		case <-asked.done:
			if len(b) < 4 {
				t.Error("settled by less than a packet")
			}
		default:
		}
	})
}
