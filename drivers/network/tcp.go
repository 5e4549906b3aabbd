package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Way is one address of a host, and optionally the interface to use for it.
type Way struct {
	Addr netip.AddrPort
	Via  string // interface name; empty: as the routes say. Needs CAP_NET_RAW before Linux 5.7
	// Through makes Addr a proxy that is asked for a tunnel to this host and port (RFC 9110, 9.3.6); empty: there is none.
	Through string
}

func (w Way) dialer() *net.Dialer {
	d := &net.Dialer{KeepAlive: -1}
	if w.Via != "" {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), w.Via) }); cerr != nil {
				return cerr
			}
			return err
		}
	}
	return d
}

// A Connect is how opening one TCP connection ended.
type Connect struct {
	Outcome Outcome       // OK Refused Timeout Reset Unreachable Stopped; Unsupported where a proxy wants a password
	Took    time.Duration // until connected or failed
	Retrans int           // SYNs that had to be sent again (TCP_INFO)
	RTT     time.Duration // the kernel's measure; 0: not known
	Bytes   int
	Proxy   int // status with which a proxy answered (RFC 9110, 15); 0: it did not, or there is none
}

// TryConnect opens a connection and closes it; nothing is sent. A peer or a device in between that accepts and hangs
// up at once shows as Reset.
func TryConnect(ctx context.Context, w Way) Connect {
	conn, c := connect(ctx, w, connectWait)
	if conn == nil {
		return c
	}
	defer conn.Close()
	if hungUp(ctx, conn, c.Took) {
		c.Outcome = Reset
	}
	if ctx.Err() != nil {
		c.Outcome = Stopped
	}
	return c
}

// connect is the first half of TryConnect and TryTLS. conn is nil unless the outcome is OK.
func connect(ctx context.Context, w Way, wait time.Duration) (*net.TCPConn, Connect) {
	try, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	start := time.Now()
	conn, err := w.dialer().DialContext(try, "tcp", w.Addr.String())
	c := Connect{Took: time.Since(start), Bytes: connectBytes}
	if err != nil {
		c.Outcome = outcomeOf(ctx, err)
		return nil, c
	}
	c.Outcome = OK
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		conn.Close()
		c.Outcome = Unreachable
		return nil, c
	}
	if local, ok := tcp.LocalAddr().(*net.TCPAddr); ok {
		noteOurs(uint16(local.Port), w.Addr)
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				c.Retrans = int(info.Total_retrans)
				c.RTT = time.Duration(info.Rtt) * time.Microsecond
			}
		})
	}
	c.Bytes += c.Retrans * (ipHeader + tcpHeader)
	if w.Through == "" {
		return tcp, c
	}
	o, status, bytes := tunnel(try, tcp, w.Through)
	c.Outcome, c.Proxy, c.Took, c.Bytes = o, status, time.Since(start), c.Bytes+bytes
	if o == Timeout && cutShort(ctx) {
		c.Outcome = Stopped
	}
	if o != OK {
		tcp.Close()
		return nil, c
	}
	return tcp, c
}

// maxAnswer bounds what a proxy may say before its tunnel begins.
const maxAnswer = 4 << 10

// tunnel asks a proxy for a tunnel. Nothing is read beyond the end of its answer: what follows is the host's.
func tunnel(ctx context.Context, conn *net.TCPConn, to string) (o Outcome, status, bytes int) {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	n, err := conn.Write([]byte("CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n\r\n"))
	bytes = n
	answer := make([]byte, 0, 256)
	for err == nil && !strings.HasSuffix(string(answer), "\r\n\r\n") {
		var b [1]byte
		if n, err = conn.Read(b[:]); n == 1 {
			answer = append(answer, b[0])
		}
		if len(answer) == maxAnswer {
			return Protocol, 0, bytes + len(answer)
		}
	}
	bytes += len(answer)
	if err != nil {
		o = outcomeOf(context.Background(), err)
		if errors.Is(err, io.EOF) {
			o = Reset
		}
		return o, 0, bytes
	}
	defer func() { _ = conn.SetDeadline(time.Time{}) }()
	if f := strings.Fields(string(answer)); len(f) > 1 && strings.HasPrefix(f[0], "HTTP/1.") {
		status, _ = strconv.Atoi(f[1])
	}
	switch {
	case status >= 200 && status < 300:
		return OK, status, bytes
	case status == 407:
		return Unsupported, status, bytes // only the application has the password
	case status == 504:
		return Timeout, status, bytes
	case status >= 500:
		return Unreachable, status, bytes
	case status >= 400:
		return Refused, status, bytes
	}
	return Protocol, status, bytes
}

// Bounds of the wait for a peer that hangs up: twice what connecting took, so that a reset sent on accept has arrived.
const (
	minHangUp = 20 * time.Millisecond
	maxHangUp = 200 * time.Millisecond
)

// hungUp waits a moment for the end of the connection. What the host may send is left unread in the kernel.
func hungUp(ctx context.Context, conn *net.TCPConn, took time.Duration) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(min(max(2*took, minHangUp), maxHangUp)))
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	ended := false
	_ = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		b[0] = 0
		if err == unix.EAGAIN {
			return false
		}
		ended = err != nil || n == 0
		return true
	})
	return ended
}
