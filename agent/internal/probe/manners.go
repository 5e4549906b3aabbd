package probe

import (
	"context"
	"crypto/tls"
	"net/netip"
	"slices"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/drivers/network"
)

// Bounds of how much is asked of one place. Hosts, and the devices before them, count connections by address, and the
// payment application has the same address as posdx: a probe never takes the connection that a sale needs. Connections
// that the application opens count as well.
const (
	mannersWindow = time.Minute
	mannersMost   = 10               // connections in a window, ours and the application's
	mannersExtra  = 4                // of those, such as only make an answer finer
	appProof      = 20 * time.Second // a connection over which something came so lately works
	appIdle       = 3 * time.Minute  // one that is open and was used so lately may be the only one the host takes
	maxPlaces     = 32
	soonAfter     = 2 * time.Minute // the application gets through so soon after us: then it is we who do not
)

// A place is one address and port that is asked.
type place struct {
	turn chan struct{} // held by whoever has a connection to it: one at a time

	mu      sync.Mutex
	opened  []time.Time
	extras  []time.Time
	app     map[uint16]bool // ports of the application's connections that were counted
	failed  time.Time       // our last connection that did not come about
	differs bool            // the application got through where we do not
	host    bool            // of the acquirer
	trusted bool            // its certificate has led to a known root
	issuer  [32]byte        // of the last certificate that did; zero: none has
}

func (n *Network) place(to netip.AddrPort) *place {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.places[to]
	if p == nil {
		if len(n.places) >= maxPlaces { // names that move: begin anew
			clear(n.places)
		}
		p = &place{turn: make(chan struct{}, 1), app: map[uint16]bool{}}
		n.places[to] = p
	}
	return p
}

// of notes whose place it is.
func (p *place) of(t Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host = p.host || t.check() == evidence.NetTCP
}

// enter waits for the turn at a place; false if ctx ended before.
func (p *place) enter(ctx context.Context) bool {
	select {
	case p.turn <- struct{}{}:
		return true
	default:
	}
	select {
	case p.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *place) leave() { <-p.turn }

// may takes one connection out of what is left, if anything is. One that only makes an answer finer is extra.
func (p *place) may(now time.Time, extra bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := func(t time.Time) bool { return now.Sub(t) > mannersWindow }
	p.opened, p.extras = slices.DeleteFunc(p.opened, old), slices.DeleteFunc(p.extras, old)
	if len(p.opened) >= mannersMost || extra && len(p.extras) >= mannersExtra {
		return false
	}
	p.opened = append(p.opened, now)
	if extra {
		p.extras = append(p.extras, now)
	}
	return true
}

func (p *place) extra() bool { return p.may(time.Now(), true) }

// failedSince tells whether a connection of this run has failed: another would say the same.
func (p *place) failedSince(began time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed.After(began)
}

// giveUp leaves after a turn that came to nothing.
func (p *place) giveUp() bool { p.leave(); return false }

// An appView is what the application's own connections to a place show.
type appView struct {
	works bool // something came over one a moment ago
	open  bool // one is open that worked lately
	rtt   time.Duration
	ago   time.Duration
}

// watch looks at the application's connections to a place.
func (p *place) watch(sockets []network.Socket, now time.Time) appView {
	v := appView{ago: appIdle}
	p.mu.Lock()
	defer p.mu.Unlock()
	ports := make(map[uint16]bool, len(sockets))
	for _, s := range sockets {
		ports[s.Local] = true
		if !p.app[s.Local] {
			p.opened = append(p.opened, now)
		}
		switch {
		case !s.Established || s.Received == 0 || s.Repeats > 0: // nothing came back yet, or it hangs
		case s.LastReceive <= v.ago:
			v.ago, v.rtt, v.open = s.LastReceive, s.RTT, true
			v.works = s.LastReceive <= appProof
			p.through(now.Add(-s.LastReceive))
		}
	}
	p.app = ports
	return v
}

// ended notes how our own connection ended, and tells whether one that failed says something about the application's.
func (p *place) ended(o network.Outcome, v appView, now time.Time) (tells bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch o {
	case network.OK:
		p.failed, p.differs = time.Time{}, false
		return true
	case network.Stopped:
		return true
	}
	p.failed = now
	return !v.open && !p.differs
}

// A Form is how the payment application opens its TLS handshakes with a target. The zero value means that it is not
// known.
type Form = network.Form

// Largest hello that fits into one packet of the narrowest usual path, and versions of TLS and TLCP.
const (
	onePacket   = 1280
	versionTLCP = 0x0101
	versionTLS  = 0x0301
)

// FormOf returns the form of a captured hello: its size in bytes, the newest version that it offers, and its server
// name.
func FormOf(size int, version uint16, name string) Form {
	f := Form{Name: name}
	if version >= versionTLS && version < tls.VersionTLS13 {
		f.Max = version
	}
	switch {
	case version == versionTLCP:
		return Form{Hello: network.HelloTLCP}
	case size > onePacket:
		f.Hello = network.HelloLarge
	case name == "":
		f.Hello = network.HelloPlain
	case f.Max != 0:
		f.Hello = network.HelloOld
	default:
		f.Hello = network.HelloSmall
	}
	return f
}

// Opened records that the payment application has a connection from a local port to a host. Such a connection counts
// against the bounds of the place. One that was made after a connection of a probe had failed shows that the probe's
// failure proves nothing about the application's way.
func (n *Network) Opened(host netip.AddrPort, local uint16, now time.Time) {
	p := n.place(host)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.app) > 4*mannersMost {
		clear(p.app)
	}
	if !p.app[local] {
		p.app[local] = true
		p.opened = append(p.opened, now)
	}
	p.through(now)
}

// Opens records how the payment application opens its TLS handshakes with a target.
func (n *Network) Opens(target string, f Form) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forms[target] = f
}

// Answered records that a host has answered the payment application: if connections of a probe failed at that time,
// the application's did not.
func (n *Network) Answered(now time.Time) {
	n.mu.Lock()
	var list []*place
	for _, p := range n.places {
		if p.host {
			list = append(list, p)
		}
	}
	n.mu.Unlock()
	for _, p := range list {
		p.mu.Lock()
		p.through(now)
		p.mu.Unlock()
	}
}

// through notes that the application reached the host at a moment. If a probe's connection failed long before, the
// fault may simply be over by then. The caller holds the lock.
func (p *place) through(at time.Time) {
	p.differs = p.differs || at.After(p.failed) && at.Sub(p.failed) < soonAfter
}
