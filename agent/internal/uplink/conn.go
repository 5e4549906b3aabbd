package uplink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/report"
)

// maxPacket bounds what the broker may send in one packet. The client library would allocate up to 256 MB because a
// length field demands it.
const maxPacket = report.MaxMessage

// maxSkipped is the largest message that is passed over; beyond it the connection is cut.
const maxSkipped = 16 << 20

// skippedHead is how much of a message that is passed over is looked at: topic and number.
const skippedHead = 512

// userTimeout is how long the kernel resends unacknowledged data before it closes the connection; its default of 15
// minutes would hide a half-open line.
const userTimeout = 30 * time.Second

func dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout, KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			// Not essential: the ping of the MQTT session finds out as well, only later.
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
		})
	}}
	return d.DialContext(ctx, network, address)
}

// A metered connection counts what crosses the wire.
type metered struct {
	net.Conn
	u *Uplink
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.u.in.Add(int64(n))
	m.u.budget.spend(n, time.Now())
	return n, err
}

func (m *metered) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.u.out.Add(int64(n))
	m.u.budget.spend(n, time.Now())
	return n, err
}

// A guard reads the packets that come in, keeps the session alive, and reports once when the connection is over. A
// message that is too large is skipped and acknowledged: a broker that keeps it for us would send it again at every
// connect, for ever.
type guard struct {
	net.Conn
	lost  func(error)
	big   func(topic string, size int) // called for a message that was skipped
	every time.Duration                // of silence, after which a ping is sent; whole seconds

	begun              time.Time
	heard, sent, asked atomic.Int64 // when something last came, went, and was a ping: ns since begun
	timer              atomic.Pointer[time.Timer]

	once   sync.Once
	raw    [2048]byte
	ready  []byte // read and not yet taken
	err    error  // after what is ready
	header []byte // of the packet that begins
	body   int    // bytes of it still to come
	skip   bool   // they are passed over
	head   []byte // of what is passed over
	size   int
}

var errBigPacket = errors.New("the broker sends a packet over the size limit")

func (g *guard) Read(p []byte) (int, error) {
	for len(g.ready) == 0 && g.err == nil {
		n, err := g.Conn.Read(g.raw[:])
		if n > 0 {
			g.heard.Store(int64(time.Since(g.begun)))
			if g.timer.Load() == nil { // the broker is there
				g.timer.Store(time.AfterFunc(g.every, g.beat))
			}
		}
		g.ready = g.ready[:0]
		if e := g.watch(g.raw[:n]); e != nil {
			err = e
		}
		g.err = err
	}
	if n := copy(p, g.ready); n > 0 {
		g.ready = g.ready[n:]
		return n, nil
	}
	g.over(g.err)
	return 0, g.err
}

func (g *guard) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0]>>4 == mqttConnect {
		p = withKeepAlive(p, g.every)
	}
	n, err := g.Conn.Write(p)
	if err != nil {
		g.over(err)
	}
	g.sent.Store(int64(time.Since(g.begun)))
	return n, err
}

func (g *guard) over(err error) {
	g.once.Do(func() {
		if t := g.timer.Load(); t != nil {
			t.Stop()
		}
		g.Conn.Close()
		g.lost(err)
	})
}

// beat sends a ping when for the keep-alive's time nothing came or nothing went (MQTT 3.1.1 section 3.1.2.10), and ends
// a connection on which the last one has no answer. The library's own looks every five seconds whether it is time: that
// was most of what woke an idle terminal.
func (g *guard) beat() {
	timer, now := g.timer.Load(), time.Since(g.begun)
	heard, asked := time.Duration(g.heard.Load()), time.Duration(g.asked.Load())
	if asked > heard {
		if wait := asked + pingTimeout - now; wait > 0 {
			timer.Reset(wait)
			return
		}
		g.over(fmt.Errorf("no answer to a ping within %v", pingTimeout))
		return
	}
	if due := min(heard, time.Duration(g.sent.Load())) + g.every - now; due > 0 {
		timer.Reset(due)
		return
	}
	g.asked.Store(int64(now))
	timer.Reset(min(g.every, pingTimeout)) // first, for the write may hang
	if _, err := g.Write([]byte{mqttPingreq << 4, 0}); err != nil {
		timer.Stop()
	}
}

// withKeepAlive returns a CONNECT packet with a keep-alive in it (MQTT 3.1.1 section 3.1.2): the library, which is told
// of none, wrote nought.
func withKeepAlive(connect []byte, every time.Duration) []byte {
	at := 1
	for at < len(connect) && connect[at]&0x80 != 0 {
		at++
	}
	at++ // behind the remaining length, at the protocol's name
	if len(connect) < at+2 {
		return connect
	}
	at += 2 + int(binary.BigEndian.Uint16(connect[at:])) + 2 // level and flags
	if len(connect) < at+2 {
		return connect
	}
	p := slices.Clone(connect)
	binary.BigEndian.PutUint16(p[at:], uint16(min(every/time.Second, math.MaxUint16)))
	return p
}

// Packet types of MQTT 3.1.1 section 2.2.1.
const (
	mqttConnect = 1
	mqttPublish = 3
	mqttPuback  = 4
	mqttPingreq = 12
)

// watch follows the fixed headers (MQTT 3.1.1 section 2.2) through the stream and makes ready what may go on.
func (g *guard) watch(p []byte) error {
	for len(p) > 0 {
		if g.body > 0 {
			n := min(g.body, len(p))
			if g.skip {
				g.head = append(g.head, p[:min(n, skippedHead-len(g.head))]...)
			} else {
				g.ready = append(g.ready, p[:n]...)
			}
			g.body -= n
			p = p[n:]
			if g.skip && g.body == 0 {
				if err := g.passed(); err != nil {
					return err
				}
			}
			continue
		}
		g.header = append(g.header, p[0])
		p = p[1:]
		n := len(g.header)
		if n == 1 {
			continue
		}
		if g.header[n-1]&0x80 != 0 {
			if n > 4 {
				return errors.New("the broker does not speak MQTT")
			}
			continue
		}
		size := 0
		for i, b := range g.header[1:] {
			size |= int(b&0x7f) << (7 * i)
		}
		switch {
		case size <= maxPacket:
			g.ready = append(g.ready, g.header...)
			g.body, g.header = size, g.header[:0]
		case size > maxSkipped || g.header[0]>>4 != mqttPublish:
			return fmt.Errorf("%w: %d bytes", errBigPacket, size)
		default:
			g.body, g.size, g.skip, g.head = size, size, true, g.head[:0]
		}
	}
	return nil
}

// passed ends a message that was passed over: it is acknowledged, so that it does not come again.
func (g *guard) passed() error {
	qos, head := g.header[0]>>1&3, g.head
	g.skip, g.header = false, g.header[:0]
	if len(head) < 2 {
		return nil
	}
	topic := int(head[0])<<8 | int(head[1])
	if len(head) < 2+topic+2 {
		return fmt.Errorf("%w: %d bytes", errBigPacket, g.size)
	}
	if g.big != nil {
		g.big(string(head[2:2+topic]), g.size)
	}
	if qos != 1 {
		return nil
	}
	_, err := g.Conn.Write([]byte{mqttPuback << 4, 2, head[2+topic], head[3+topic]})
	return err
}
