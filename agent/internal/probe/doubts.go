package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/drivers/network"
)

// silentAfter is when a connection that is still waited for counts as failing: the checks that need only that begin
// then, because the time-out itself takes most of the time that a diagnosis has.
const silentAfter = 1300 * time.Millisecond

// A look tells apart causes that one failed connection does not: how far the request got, whether the name leads to
// another address than before, and whether other resolvers agree.
type look struct {
	how  chan ending
	done chan struct{}

	stopped     network.Where
	elsewhere   bool
	beforeWorks bool
	differ      bool
}

// An ending is how asking the place itself ended.
type ending struct {
	outcome network.Outcome // of the connection
	reached bool
}

// doubts begins to look as soon as the connection is known, or likely, to fail.
func (n *Network) doubts(ctx context.Context, t Target, w network.Way, a found) *look {
	l := &look{how: make(chan ending, 1), done: make(chan struct{})}
	if t.check() != evidence.NetTCP {
		close(l.done)
		return l
	}
	gateway, sited := n.site()
	sited = sited && t.Via == ""
	var ear *network.Ear
	if sited {
		ear, _ = network.OpenEar(w) // without the right to listen it is not known where a request is stopped
	}
	go func() {
		defer close(l.done)
		if ear != nil {
			defer ear.Close()
		}
		var all sync.WaitGroup
		defer all.Wait()
		if l.elsewhere = a.before.IsValid(); l.elsewhere {
			all.Go(func() { l.beforeWorks = n.worksAt(ctx, t, a.before) })
		}
		end, early := ending{outcome: network.Timeout}, false
		wait := time.NewTimer(silentAfter)
		defer wait.Stop()
		select {
		case end = <-l.how:
		case <-wait.C:
			early = true
		case <-ctx.Done():
			return
		}
		if end.reached {
			return
		}
		if a.took > 0 && n.maySpend(reachBytes, 4) {
			all.Go(func() {
				differ, bytes := n.names.disagree(ctx, t.Host, a.addresses)
				l.differ = differ
				n.spend(bytes)
			})
		}
		if o := end.outcome; ear != nil && (o == network.Timeout || o == network.Refused || o == network.Unreachable) {
			var bytes int
			if l.stopped, bytes = ear.StoppedAt(ctx, o, gateway); early && l.stopped == network.StoppedUnknown {
				select {
				case end = <-l.how:
				case <-ctx.Done():
				}
				if end.outcome == network.Unreachable { // it was no silence: a router was slow to say so
					l.stopped, _ = ear.StoppedAt(ctx, end.outcome, gateway)
				}
			}
			n.spend(bytes)
		}
	}()
	return l
}

// note adds what was found to the evidence of the name and of the connection. What was begun and is not needed is left
// to end by itself.
func (l *look) note(end ending, name, connection *report.Evidence) {
	l.how <- end
	if end.reached {
		return
	}
	<-l.done
	if l.elsewhere {
		name.Facts[evidence.Elsewhere.Name()], name.Facts[evidence.BeforeWorks.Name()] = true, l.beforeWorks
	}
	if l.differ {
		name.Facts[evidence.ResolversDiffer.Name()] = true
	}
	if l.stopped != network.StoppedUnknown && connection.Status == report.Bad {
		connection.Facts[evidence.Stopped.Name()] = string(l.stopped)
	}
}

// misled looks at a name that is gone: does the host still answer where it was found?
func (n *Network) misled(ctx context.Context, t Target, a found, name *report.Evidence) {
	if t.check() != evidence.NetTCP || !a.before.IsValid() {
		return
	}
	name.Facts[evidence.Elsewhere.Name()], name.Facts[evidence.BeforeWorks.Name()] = true, n.worksAt(ctx, t, a.before)
}

// worksAt tells whether a target is found at an address.
func (n *Network) worksAt(ctx context.Context, t Target, ip netip.Addr) bool {
	w := network.Way{Addr: netip.AddrPortFrom(ip, uint16(t.Port)), Via: t.Via}
	p := n.place(w.Addr)
	if !usable(ip) || !n.maySpend(tlsBytes, 4) || !p.enter(ctx) {
		return false
	}
	defer p.leave()
	_, end := n.knock(ctx, t, w, p)
	return end.reached
}

// site returns the router of the site, where the way out leads through one; that of a mobile network is the carrier's.
func (n *Network) site() (netip.Addr, bool) {
	tables, err := network.ReadTables()
	if err != nil {
		return netip.Addr{}, false
	}
	l, r, ok := tables.Bearer()
	k := network.KindOf(l, n.c.Sys)
	return r.Gateway, ok && r.Gateway.IsValid() && (k == network.Ethernet || k == network.Wifi)
}
