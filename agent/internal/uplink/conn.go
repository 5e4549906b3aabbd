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
)

// maxPacket bounds what the broker may send in one packet. The client library would set aside up to 256 MB on the word
// of a length field.
const maxPacket = maxKnowledge + 1<<10

// userTimeout is how long the kernel keeps sending what nobody acknowledges before it calls the connection dead; the
// default of 15 minutes would hide a half-open line.
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

// A guard watches the packets that come in and tells the first time the connection is over. A message over the limit is
// passed on without its content, for the library would end the session over it, and the broker send it again at every
// connect for ever.
type guard struct {
	net.Conn
	lost func(error)
	big  func(size int)

	once sync.Once
	out  []byte // ready for the library
	raw  []byte // read, and being looked at

	head []byte // of the packet: type and length, then what is kept of one that is too large
	body int    // bytes of the packet still to come
	drop bool   // they are not passed on
	keep int    // of head, once the length of the topic is known; 0 before
}

var errBigPacket = errors.New("the broker sends a packet over the size limit")

// tooLarge is the content that stands in place of one over the limit. It is no JSON.
const tooLarge = "\x00too large"

const (
	packetPublish = 3
	maxSkipped    = 8 << 20 // more than that nobody sends by mistake, and reading past it costs a metered line too much
	maxTopic      = 1 << 10
)

func (g *guard) Read(p []byte) (int, error) {
	for len(g.out) == 0 {
		if g.raw == nil {
			g.raw = make([]byte, 4<<10)
		}
		n, err := g.Conn.Read(g.raw)
		if n > 0 {
			if bad := g.watch(g.raw[:n]); bad != nil {
				err = bad
			}
		}
		if err != nil {
			g.over(err)
			return 0, err
		}
	}
	n := copy(p, g.out)
	if g.out = g.out[n:]; len(g.out) == 0 {
		g.out = nil
	}
	return n, nil
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

// watch follows the packets (MQTT 3.1.1, 2.2 and 3.3) through the stream.
func (g *guard) watch(p []byte) error {
	for len(p) > 0 {
		switch {
		case g.drop && g.keep >= 0: // topic and packet id of one that is too large
			g.head, p, g.body = append(g.head, p[0]), p[1:], g.body-1
			if err := g.shorten(); err != nil {
				return err
			}
		case g.body > 0:
			n := min(g.body, len(p))
			if !g.drop {
				g.out = append(g.out, p[:n]...)
			}
			g.body -= n
			p = p[n:]
			g.drop = g.drop && g.body > 0
		default:
			g.head, p = append(g.head, p[0]), p[1:]
			if len(g.head) == 1 || g.head[len(g.head)-1]&0x80 != 0 && len(g.head) < 5 {
				continue
			}
			if g.head[len(g.head)-1]&0x80 != 0 {
				return errors.New("the broker does not speak MQTT")
			}
			size := 0
			for i, b := range g.head[1:] {
				size |= int(b&0x7f) << (7 * i)
			}
			g.body = size
			if size <= maxPacket {
				g.out = append(g.out, g.head...)
				g.head = g.head[:0]
				continue
			}
			if g.head[0]>>4 != packetPublish || size > maxSkipped {
				return fmt.Errorf("%w: %d bytes", errBigPacket, size)
			}
			if g.big != nil {
				g.big(size)
			}
			g.drop, g.keep, g.head = true, 0, g.head[:1]
		}
	}
	return nil
}

// shorten passes on the beginning of a message that is too large, once it is whole, with other content.
func (g *guard) shorten() error {
	const at = 1 // the topic's length follows the type byte
	if len(g.head) < at+2 {
		return nil
	}
	topic := int(g.head[at])<<8 | int(g.head[at+1])
	if topic > maxTopic {
		return errors.New("the broker does not speak MQTT")
	}
	g.keep = at + 2 + topic
	if g.head[0]&0x06 != 0 {
		g.keep += 2 // packet id
	}
	if len(g.head) < g.keep {
		return nil
	}
	size := g.keep - at + len(tooLarge)
	g.out = append(g.out, g.head[0])
	for ; size > 0x7f; size >>= 7 {
		g.out = append(g.out, byte(size)|0x80)
	}
	g.out = append(append(append(g.out, byte(size)), g.head[at:]...), tooLarge...)
	g.head, g.keep = g.head[:0], -1
	g.drop = g.body > 0
	if !g.drop {
		g.keep = 0
	}
	return nil
}
