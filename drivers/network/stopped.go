package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Where is how far a connection attempt that failed has come.
type Where string

// Places at which a request is stopped.
const (
	StoppedUnknown Where = ""
	StoppedSite    Where = "site"   // at the first router, or before it
	StoppedBeyond  Where = "beyond" // the first router let it pass
)

const (
	siteHops  = 2                      // a packet with this time to live passes one router and expires at the second
	siteWait  = 700 * time.Millisecond // for what the second router says of it
	siteTries = 2
	siteBytes = 56                    // of an ICMP error, at least (RFC 792)
	echoGap   = 30 * time.Millisecond // two at once may be one too many for a router that limits what it says
	nonceSize = 8

	unreachable4, exceeded4 = 3, 11
	unreachable6, exceeded6 = 1, 3
)

// An Ear collects the ICMP errors that routers send about one place, from the moment it is opened: routers limit how
// often they send them.
type Ear struct {
	way   Way
	conn  net.PacketConn
	six   bool
	id    uint16
	ended chan struct{}

	mu      sync.Mutex
	news    chan struct{} // holds a value when an error was received
	by      netip.Addr    // who said that the place is unreachable
	met     bool          // the place itself answered
	echoes  int           // died at the second router
	syns    int
	refused bool // a request that lives for two hops was refused
}

// OpenEar begins to collect. The error is that of opening a raw socket, which needs CAP_NET_RAW.
func OpenEar(w Way) (*Ear, error) {
	e := &Ear{way: w, six: w.Addr.Addr().Is6(), id: uint16(os.Getpid()) ^ w.Addr.Port()}
	e.ended, e.news = make(chan struct{}), make(chan struct{}, 1)
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if e.six {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, fmt.Errorf("listen to ICMP: %w", err)
	}
	f := os.NewFile(uintptr(fd), "icmp")
	defer f.Close() // FilePacketConn works on a copy
	if w.Via != "" {
		err = unix.BindToDevice(fd, w.Via)
	}
	if err = errors.Join(err, live(fd, w.Addr.Addr(), siteHops)); err != nil {
		return nil, fmt.Errorf("listen to ICMP: %w", err)
	}
	if e.conn, err = net.FilePacketConn(f); err != nil {
		return nil, fmt.Errorf("listen to ICMP: %w", err)
	}
	go e.listen()
	return e, nil
}

// Close ends the collecting.
func (e *Ear) Close() {
	e.conn.Close()
	<-e.ended
}

// StoppedAt finds out how far a request to the place gets, after a connection to it ended as Refused, Timeout or
// Unreachable. It sends requests whose time to live ends at the second router, so that they never reach a host that is
// further away: the second router reports them expired, unless the first one refuses or drops them. Echoes that are
// sent along tell a second router that sends no such reports from requests that are dropped. gateway is the first
// router.
func (e *Ear) StoppedAt(ctx context.Context, o Outcome, gateway netip.Addr) (at Where, bytes int) {
	ctx, cancel := context.WithTimeout(ctx, siteWait)
	defer cancel()
	by := func(who netip.Addr) Where {
		if who == gateway || who.IsLinkLocalUnicast() {
			return StoppedSite
		}
		return StoppedBeyond
	}
	if o == Unreachable {
		for !e.said().by.IsValid() {
			select {
			case <-e.news:
			case <-ctx.Done():
				return StoppedUnknown, 0
			}
		}
		return by(e.said().by), siteBytes
	}
	var all sync.WaitGroup
	defer all.Wait()
	for range siteTries {
		all.Go(func() {
			switch tryWithin(ctx, e.way, siteHops) {
			case OK:
				e.note(func(h *Ear) { h.met = true })
			case Refused:
				e.note(func(h *Ear) { h.refused = true })
			}
		})
		bytes += ipHeader + tcpHeader
		if e.echo() == nil {
			bytes += ipHeader + icmpHeader + nonceSize + siteBytes
		}
		if o == Refused {
			break
		}
		sleep(ctx, echoGap)
	}
	for {
		h := e.said()
		switch {
		case h.met: // so near that it is met within the two hops
			return StoppedUnknown, bytes
		case o != Refused && h.by.IsValid(): // it is not silence, then: a router has reported it
			return by(h.by), bytes
		case h.syns > 0:
			return StoppedBeyond, bytes
		case o == Refused && h.refused && h.echoes > 0:
			return StoppedSite, bytes
		}
		select {
		case <-e.news:
		case <-ctx.Done():
			if o == Refused && h.refused || o == Timeout && h.echoes >= siteTries && !h.refused {
				return StoppedSite, bytes
			}
			return StoppedUnknown, bytes
		}
	}
}

type heardNow struct {
	by           netip.Addr
	met, refused bool
	echoes, syns int
}

func (e *Ear) said() heardNow {
	e.mu.Lock()
	defer e.mu.Unlock()
	return heardNow{e.by, e.met, e.refused, e.echoes, e.syns}
}

func (e *Ear) note(f func(*Ear)) {
	e.mu.Lock()
	f(e)
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// tryWithin connects with packets that live for a number of hops; 0: as usual.
func tryWithin(ctx context.Context, w Way, hops int) Outcome {
	d := w.dialer()
	bind := d.Control
	d.Control = func(network, address string, c syscall.RawConn) error {
		if bind != nil {
			if err := bind(network, address, c); err != nil {
				return err
			}
		}
		var err error
		if cerr := c.Control(func(fd uintptr) { err = live(int(fd), w.Addr.Addr(), hops) }); cerr != nil {
			return cerr
		}
		return err
	}
	conn, err := d.DialContext(ctx, "tcp", w.Addr.String())
	if err == nil {
		conn.Close()
	}
	return outcomeOf(ctx, err)
}

// live sets how many hops a socket's packets live.
func live(fd int, to netip.Addr, hops int) error {
	if hops == 0 {
		return nil
	}
	if to.Is6() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, hops)
}

// echo sends one echo request that dies at the second router.
func (e *Ear) echo() error {
	b := make([]byte, icmpHeader+nonceSize)
	b[0] = echoRequest4
	if e.six {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[4:], e.id)
	if !e.six {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	ip := e.way.Addr.Addr()
	_, err := e.conn.WriteTo(b, &net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()})
	return err
}

// listen takes in what is said about the place, until the socket is closed.
func (e *Ear) listen() {
	defer close(e.ended)
	b := make([]byte, 1500)
	for {
		n, from, err := e.conn.ReadFrom(b)
		if err != nil {
			return
		}
		a, ok := from.(*net.IPAddr)
		if !ok {
			continue
		}
		by, _ := netip.AddrFromSlice(a.IP)
		by = by.Unmap()
		switch parseICMP(b[:n], e.six, e.way.Addr, e.id) {
		case echoAnswered:
			if by == e.way.Addr.Addr().WithZone("") {
				e.note(func(h *Ear) { h.met = true })
			}
		case echoDied:
			e.note(func(h *Ear) { h.echoes++ })
		case requestDied:
			e.note(func(h *Ear) { h.syns++ })
		case placeUnreachable:
			e.note(func(h *Ear) { h.by = by })
		}
	}
}

// What a message says of a place.
const (
	nothing = iota
	echoAnswered
	echoDied
	requestDied
	placeUnreachable
)

// parseICMP reads a message as the net package hands it out of a raw socket: without the header of its own packet.
func parseICMP(b []byte, six bool, to netip.AddrPort, id uint16) int {
	reply, unreachable, exceeded, request := byte(echoReply4), byte(unreachable4), byte(exceeded4), byte(echoRequest4)
	if six {
		reply, unreachable, exceeded, request = echoReply6, unreachable6, exceeded6, echoRequest6
	}
	if len(b) < icmpHeader {
		return nothing
	}
	kind := b[0]
	switch {
	case kind == reply && binary.BigEndian.Uint16(b[4:]) == id:
		return echoAnswered
	case kind != unreachable && kind != exceeded:
		return nothing
	}
	var dst netip.Addr
	var proto byte
	switch b = b[icmpHeader:]; { // the beginning of the packet that it is about
	case six && len(b) >= 40+8:
		dst, proto, b = netip.AddrFrom16([16]byte(b[24:40])), b[6], b[40:]
	case !six && len(b) >= ipHeader && b[0]&15 >= 5 && len(b) >= int(b[0]&15)*4+8:
		dst, proto, b = netip.AddrFrom4([4]byte(b[16:20])), b[9], b[int(b[0]&15)*4:]
	default:
		return nothing
	}
	switch tcp := proto == unix.IPPROTO_TCP; {
	case dst != to.Addr().WithZone(""), tcp && binary.BigEndian.Uint16(b[2:]) != to.Port():
		return nothing
	case kind == unreachable:
		return placeUnreachable
	case tcp:
		return requestDied
	case (proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6) && b[0] == request &&
		binary.BigEndian.Uint16(b[4:]) == id:
		return echoDied
	}
	return nothing
}
