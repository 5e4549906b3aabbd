package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
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

// A guard reads the packets that come in and reports once when the connection is over. A message that is too large is
// skipped and acknowledged: a broker that keeps it for us would send it again at every connect, for ever.
type guard struct {
	net.Conn
	lost func(error)
	big  func(topic string, size int) // called for a message that was skipped

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
	n, err := g.Conn.Write(p)
	if err != nil {
		g.over(err)
	}
	return n, err
}

func (g *guard) over(err error) {
	g.once.Do(func() {
		g.Conn.Close()
		g.lost(err)
	})
}

// Packet types of MQTT 3.1.1 section 2.2.1.
const (
	mqttPublish = 3
	mqttPuback  = 4
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
