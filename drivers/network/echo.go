package network

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotPermitted is the error of a process that may not send what the check needs (CAP_NET_RAW, or for echoes
// net.ipv4.ping_group_range).
var ErrNotPermitted = errors.New("not permitted")

// An echoer sends ICMP echo requests to one address and takes the replies.
type echoer struct {
	conn  net.PacketConn
	dst   net.Addr
	six   bool
	id    uint16
	nonce [8]byte
	bytes int
}

// ICMP types (RFC 792, RFC 4443).
const (
	echoReply4, echoRequest4 = 0, 8
	echoRequest6, echoReply6 = 128, 129
	icmpHeader               = 8
)

// openEcho prefers the unprivileged ICMP socket (ping_group_range) to the raw one (CAP_NET_RAW). wholePackets forbids
// fragments, so that too large ones are refused or lost, never cut.
func openEcho(dst netip.Addr, via string, wholePackets bool) (*echoer, error) {
	e := &echoer{six: dst.Is6()}
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if e.six {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	raw := false
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		raw = true
		fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("echo %s: %w", dst, ErrNotPermitted)
	}
	if err != nil {
		return nil, fmt.Errorf("echo %s: %w", dst, err)
	}
	f := os.NewFile(uintptr(fd), "icmp")
	defer f.Close() // FilePacketConn works on a copy
	if via != "" {
		if err := unix.BindToDevice(fd, via); err != nil {
			return nil, fmt.Errorf("echo %s by %s: %w", dst, via, err)
		}
	}
	if wholePackets {
		level, opt, val := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO
		if e.six {
			level, opt, val = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO
		}
		if err := unix.SetsockoptInt(fd, level, opt, val); err != nil {
			return nil, fmt.Errorf("echo %s: %w", dst, err)
		}
	}
	if e.conn, err = net.FilePacketConn(f); err != nil {
		return nil, fmt.Errorf("echo %s: %w", dst, err)
	}
	if raw {
		e.dst = &net.IPAddr{IP: dst.AsSlice(), Zone: dst.Zone()}
	} else {
		e.dst = &net.UDPAddr{IP: dst.AsSlice(), Zone: dst.Zone()}
	}
	_, _ = rand.Read(e.nonce[:])
	e.id = binary.BigEndian.Uint16(e.nonce[:])
	return e, nil
}

func (e *echoer) close() { e.conn.Close() }

// overhead is what IP and ICMP add to the data of an echo.
func (e *echoer) overhead() int {
	if e.six {
		return 40 + icmpHeader
	}
	return ipHeader + icmpHeader
}

// send sends one request with n bytes of data, at least as many as the nonce has.
func (e *echoer) send(seq uint16, n int) error {
	b := make([]byte, icmpHeader+max(n, len(e.nonce)))
	b[0] = echoRequest4
	if e.six {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[4:], e.id)
	binary.BigEndian.PutUint16(b[6:], seq)
	copy(b[icmpHeader:], e.nonce[:])
	if !e.six { // the kernel fills in the IPv6 one
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	_, err := e.conn.WriteTo(b, e.dst)
	if err == nil {
		e.bytes += len(b) - icmpHeader + e.overhead()
	}
	return err
}

// receive waits until the moment given for a reply to one of our requests.
func (e *echoer) receive(until time.Time, buf []byte) (seq uint16, ok bool, err error) {
	if err := e.conn.SetReadDeadline(until); err != nil {
		return 0, false, err
	}
	for {
		n, _, err := e.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, false, nil
			}
			return 0, false, err
		}
		if seq, ok := e.parseReply(buf[:n]); ok {
			e.bytes += n - icmpHeader + e.overhead()
			return seq, true, nil
		}
	}
}

// parseReply reads an ICMP message without its IP header; false if it answers none of our requests.
func (e *echoer) parseReply(b []byte) (seq uint16, ok bool) {
	if len(b) < icmpHeader+len(e.nonce) {
		return 0, false
	}
	want := byte(echoReply4)
	if e.six {
		want = echoReply6
	}
	// The nonce tells ours from those of others; the id would not, the kernel changes it on unprivileged sockets.
	if b[0] != want || b[1] != 0 || [8]byte(b[icmpHeader:]) != e.nonce {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[6:]), true
}

// checksum is the Internet checksum (RFC 1071) of a message whose own field is zero.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// Quality is what a series of small packets shows of a path.
type Quality struct {
	Sent, Received int
	RTT            time.Duration // median of those that came back
	Jitter         time.Duration // mean difference of neighbours (RFC 3550, 6.4.1, unsmoothed)
	Bytes          int
	Unreachable    bool // the machine itself or a router said so
	Head           int  // of the first ones, how many came back without a gap
}

// LossPct is the share that did not come back.
func (q Quality) LossPct() float64 {
	if q.Sent == 0 {
		return 0
	}
	return 100 * float64(q.Sent-q.Received) / float64(q.Sent)
}

// Echo sends count requests of the least size, gap apart, and waits for the last at most wait, or half as long again as
// the slowest reply took. Its error is ErrNotPermitted or that of opening a socket; when ctx ends, what was seen until
// then is returned with ctx's error.
func Echo(ctx context.Context, dst netip.Addr, via string, count int, gap, wait time.Duration) (Quality, error) {
	return echo(ctx, dst, via, count, gap, wait, wait, func() {})
}

// echo is Echo that, when no reply has come after wait, calls silent once and goes on waiting until late.
func echo(ctx context.Context, dst netip.Addr, via string, count int, gap, wait, late time.Duration,
	silent func()) (Quality, error) {
	e, err := openEcho(dst, via, false)
	if err != nil {
		return Quality{}, err
	}
	defer e.close()
	count = min(count, maxEchoes)
	sent := make([]time.Time, 0, count)
	rtts := make([]time.Duration, count)
	q := Quality{}
	buf := make([]byte, 512)
	next := time.Now()
	var end time.Time // of the wait, from the last request on
	var slowest time.Duration
	told := false
	for q.Received < count && ctx.Err() == nil {
		now := time.Now()
		if len(sent) < count && !now.Before(next) {
			if err := e.send(uint16(len(sent)), 0); unreachable(err) {
				q.Unreachable = true
			}
			sent = append(sent, now)
			next, end = now.Add(gap), now.Add(wait)
		}
		if len(sent) == count && !now.Before(end) {
			if q.Received > 0 || told || late <= wait {
				break
			}
			told, end = true, end.Add(late-wait)
			silent()
		}
		until := next
		if len(sent) == count {
			until = end
		}
		if limit := now.Add(cancelCheck); until.After(limit) {
			until = limit
		}
		seq, ok, err := e.receive(until, buf)
		if unreachable(err) {
			q.Unreachable = true
		}
		if ok && int(seq) < len(sent) && rtts[seq] == 0 {
			rtts[seq] = max(time.Since(sent[seq]), 1)
			q.Received++
			if slowest = max(slowest, rtts[seq]); len(sent) == count {
				end = sent[count-1].Add(max(wait, slowest*3/2))
			}
		}
	}
	q.Sent, q.Bytes = len(sent), e.bytes
	q.RTT, q.Jitter = spread(rtts)
	for q.Head < count && rtts[q.Head] > 0 {
		q.Head++
	}
	return q, ctx.Err()
}

// maxEchoes bounds one row of echoes.
const maxEchoes = 50

func unreachable(err error) bool {
	return errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.ENETDOWN)
}

// spread is the median and the jitter of the round trips that are not zero, in their order.
func spread(rtts []time.Duration) (median, jitter time.Duration) {
	var list []time.Duration
	for _, d := range rtts {
		if d > 0 {
			list = append(list, d)
		}
	}
	if len(list) == 0 {
		return 0, 0
	}
	for i := 1; i < len(list); i++ {
		jitter += (list[i] - list[i-1]).Abs()
	}
	if len(list) > 1 {
		jitter /= time.Duration(len(list) - 1)
	}
	// less code than slices.Sort, which is compiled per type
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	return list[len(list)/2], jitter
}
