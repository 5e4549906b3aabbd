package network

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Way is one address of a host, and optionally the interface to use for it.
type Way struct {
	Addr netip.AddrPort
	Via  string // interface name; empty: as the routes say. Needs CAP_NET_RAW before Linux 5.7
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
	Outcome Outcome       // OK Refused Timeout Reset Unreachable Stopped
	Took    time.Duration // until connected or failed
	Retrans int           // SYNs that had to be sent again (TCP_INFO)
	RTT     time.Duration // the kernel's measure; 0: not known
	MSS     int           // largest segment we would send; 0: not known
	Bytes   int
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
				c.MSS = int(info.Snd_mss)
			}
		})
	}
	c.Bytes += c.Retrans * (ipHeader + tcpHeader)
	return tcp, c
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
