package network

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// States of a neighbour, in the contract's words.
const (
	NeighbourReachable = "reachable"
	NeighbourStale     = "stale"
	NeighbourFailed    = "failed"
)

// A GatewayView is how a router on the same network answers.
type GatewayView struct {
	Neighbour string // reachable stale failed; empty: not known
	MAC       [6]byte
	RTT       time.Duration // 0: not measured
	LossPct   float64
	LossKnown bool
	Alive     bool // it answered something, now
	Bytes     int  // on the site's own network, or on a modem's first hop
}

// Bounds of asking a gateway.
const (
	gatewayEchoes  = 24 // of which all come back once in 5 000 times where 30 % are lost
	gatewayMore    = 16 // where one was lost: of 40 no share of 30 looks like one of 10, but once in 500 times
	paidEchoes     = 12 // where every byte is paid for
	paidMore       = 8
	gatewayGap     = 20 * time.Millisecond
	gatewayWait    = 500 * time.Millisecond
	gatewayConnect = 700 * time.Millisecond
)

// gatewayPorts are asked when echoes are not permitted: whether a router takes or refuses the connection, it lives.
var gatewayPorts = []uint16{53, 80}

// AskGateway finds out whether a router answers: by ARP and echoes if that is permitted, else by a connection attempt,
// which any machine answers, and always by the kernel's table of neighbours. The error is that of ctx.
// Over a link that is paid by the byte fewer echoes are sent.
func AskGateway(ctx context.Context, l Link, ip, own netip.Addr, paid bool) (GatewayView, error) {
	v := GatewayView{}
	echoes, further := gatewayEchoes, gatewayMore
	if paid {
		echoes, further = paidEchoes, paidMore
	}
	arpAsked := false
	if ip.Is4() {
		mac, took, ok, err := AskARP(ctx, l, ip, own)
		if err == nil {
			arpAsked = true
			v.Bytes += 2 * arpSize
			if ok {
				v.Alive, v.MAC, v.RTT = true, mac, took
			}
		}
	}
	if ctx.Err() != nil {
		return v, ctx.Err()
	}
	dst := ip
	if ip.Is6() && ip.IsLinkLocalUnicast() {
		dst = ip.WithZone(l.Name)
	}
	q, err := Echo(ctx, dst, l.Name, echoes, gatewayGap, gatewayWait)
	v.Bytes += q.Bytes
	if ctx.Err() != nil {
		return v, ctx.Err()
	}
	if err == nil && q.Received > 0 {
		if q.Received < q.Sent { // one may be chance
			more, err := Echo(ctx, dst, l.Name, further, gatewayGap, gatewayWait)
			v.Bytes += more.Bytes
			if err != nil {
				return v, err
			}
			q.Sent, q.Received = q.Sent+more.Sent, q.Received+more.Received
		}
		v.Alive, v.RTT, v.LossPct, v.LossKnown = true, q.RTT, q.LossPct(), true
	}
	if !v.Alive && !arpAsked {
		for _, port := range gatewayPorts {
			conn, c := connect(ctx, Way{Addr: netip.AddrPortFrom(dst, port)}, gatewayConnect)
			v.Bytes += c.Bytes
			if conn != nil {
				conn.Close()
			}
			if c.Outcome == OK || c.Outcome == Refused {
				v.Alive, v.RTT = true, c.Took
				break
			}
			if ctx.Err() != nil {
				return v, ctx.Err()
			}
		}
	}
	state, mac, known := neighbourState(l, ip)
	switch {
	case v.Alive:
		v.Neighbour = NeighbourReachable
	case arpAsked, state&(unix.NUD_FAILED|unix.NUD_INCOMPLETE) != 0:
		// Neither ARP nor echoes were answered; what the kernel still believes is up to 45 s old.
		// Incomplete: asked all this time and not answered; the kernel gives up after 3 s, we have waited 1.5.
		v.Neighbour, v.LossPct, v.LossKnown = NeighbourFailed, 100, true
	case state&(unix.NUD_REACHABLE|unix.NUD_PERMANENT) != 0:
		v.Neighbour = NeighbourReachable
	case known:
		v.Neighbour = NeighbourStale
	}
	if known && !arpAsked {
		v.MAC = mac
	}
	return v, nil
}

func neighbourState(l Link, ip netip.Addr) (state uint16, mac [6]byte, known bool) {
	list, err := ReadNeighbours()
	if err != nil {
		return 0, mac, false
	}
	for _, n := range list {
		if n.Index == l.Index && n.IP == ip {
			return n.State, n.MAC, n.State != unix.NUD_NONE
		}
	}
	return 0, mac, false
}

// SecondOwner asks whether another machine on the network uses one of our addresses. The error is ErrNotPermitted
// without CAP_NET_RAW, that of ctx, or that of a link on which nothing can be asked.
func SecondOwner(ctx context.Context, l Link, own netip.Addr) (bool, error) {
	if !own.Is4() {
		return false, errors.ErrUnsupported // IPv6: the kernel's own detection says so in the address's flags
	}
	_, _, ok, err := AskARP(ctx, l, own, netip.Addr{})
	return ok, err
}
