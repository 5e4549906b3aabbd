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

// A guard watches the packets that come in and tells the first time the connection is over.
type guard struct {
	net.Conn
	lost func(error)

	once sync.Once
	body int  // bytes of the packet still to come
	size int  // length field so far
	pos  uint // bytes of the fixed header seen; 0 before the type byte
}

var errBigPacket = errors.New("the broker sends a packet over the size limit")

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if err == nil {
		err = g.watch(p[:n])
	}
	if err != nil {
		g.over(err)
		return 0, err
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

// watch follows the fixed headers (MQTT 3.1.1 section 2.2) through the stream.
func (g *guard) watch(p []byte) error {
	for len(p) > 0 {
		if g.body > 0 {
			n := min(g.body, len(p))
			g.body -= n
			p = p[n:]
			continue
		}
		b := p[0]
		p = p[1:]
		if g.pos == 0 {
			g.pos, g.size = 1, 0
			continue
		}
		g.size |= int(b&0x7f) << (7 * (g.pos - 1))
		g.pos++
		switch {
		case g.size > maxPacket:
			return fmt.Errorf("%w: %d bytes", errBigPacket, g.size)
		case b&0x80 == 0:
			g.body, g.pos = g.size, 0
		case g.pos > 4:
			return errors.New("the broker does not speak MQTT")
		}
	}
	return nil
}
