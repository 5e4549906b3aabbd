package probe

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"posdx/drivers/network"
)

// names resolves the targets' names, once in each run for all checks. What an earlier run was told is not used again,
// except that its addresses are tried when a name can no longer be resolved.
type names struct {
	c    NetworkConfig
	mu   sync.Mutex
	last map[string]*name
}

type name struct {
	asking chan struct{} // closed when the answer is there; nil: no lookup is running
	begun  time.Time     // when the question went out that found is the answer to
	found  found
	good   []netip.Addr // the last addresses that an answer gave
	goodAt time.Time
	proven netip.Addr // the last address at which the target was really found
}

type found struct {
	outcome         network.Outcome
	at              time.Time // when it was known
	took            time.Duration
	failed, bytes   int
	blocked, noData bool
	fromFile        bool
	addresses       []netip.Addr
	before          netip.Addr    // where the target was really found, if the answer does not name it any more
	age             time.Duration // of addresses, where they are remembered ones
}

func newNames(c NetworkConfig) *names { return &names{c: c, last: map[string]*name{}} }

// find resolves a name, or takes the answer to a question that this run has asked.
func (n *names) find(ctx context.Context, host string) found {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.last[host]
	if e == nil { // one for each configured target: the map is bounded by the configuration
		e = &name{}
		n.last[host] = e
	}
	since := began(ctx)
	for {
		if e.asking == nil && !e.begun.IsZero() && !e.begun.Before(since) {
			f := e.found
			f.bytes = 0 // paid once
			return f
		}
		if e.asking == nil {
			break
		}
		asking := e.asking
		n.mu.Unlock()
		select {
		case <-asking:
			n.mu.Lock()
		case <-ctx.Done():
			n.mu.Lock()
			return found{outcome: network.Stopped, addresses: e.good, age: time.Since(e.goodAt)}
		}
	}
	e.asking, e.begun = make(chan struct{}), time.Now()
	n.mu.Unlock()
	f := n.ask(ctx, host)
	n.mu.Lock()
	close(e.asking)
	e.asking = nil
	f.at = time.Now()
	switch f.outcome {
	case network.OK:
		if e.good, e.goodAt = f.addresses, f.at; !slices.Contains(f.addresses, e.proven) {
			f.before = e.proven
		}
	case network.NXDomain: // a name that is gone has no address any more
		f.before = e.proven
	case network.Stopped: // nothing was learnt: the next check asks anew
		e.begun = time.Time{}
		fallthrough
	default:
		f.addresses, f.age = e.good, f.at.Sub(e.goodAt)
		if e.proven.IsValid() {
			f.addresses = append([]netip.Addr{e.proven}, e.good...)
		}
	}
	e.found = f
	return f
}

// proved takes in that a target was really found at an address.
func (n *names) proved(host string, ip netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.last[host]; e != nil {
		e.proven = ip
	}
}

// known is where a target was found last; nothing if it never was.
func (n *names) known(host string) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.last[host]; e != nil && e.proven.IsValid() {
		return []netip.Addr{e.proven}
	}
	return nil
}

// disagree tells whether another of the resolvers knows a name by other addresses than those that were answered.
func (n *names) disagree(ctx context.Context, host string, answered []netip.Addr) (differs bool, bytes int) {
	list := n.resolvers()
	if len(list) < 2 || len(answered) == 0 {
		return false, 0
	}
	for _, name := range network.SearchNames(n.c.ResolvConf, host) {
		l := network.Resolve(ctx, name, list[1:])
		bytes += l.Bytes
		if l.Outcome == network.OK {
			return !slices.ContainsFunc(l.Addresses, func(ip netip.Addr) bool { return slices.Contains(answered, ip) }), bytes
		}
	}
	return false, bytes
}

// resolvers are those of the configuration, or of the system, that can be asked now.
func (n *names) resolvers() []netip.AddrPort {
	list := n.c.Resolvers
	if len(list) == 0 {
		var err error
		if list, err = network.Resolvers(n.c.ResolvConf); err != nil {
			return nil
		}
	}
	var reachable []netip.AddrPort
	for _, r := range list {
		if usable(r.Addr()) {
			reachable = append(reachable, r)
		}
	}
	return reachable
}

func (n *names) ask(ctx context.Context, host string) found {
	if list := network.HostsFile(n.c.HostsFile, host); len(list) > 0 {
		return found{outcome: network.OK, fromFile: true, addresses: list}
	}
	reachable := n.resolvers()
	if len(reachable) == 0 {
		return found{outcome: network.Unreachable}
	}
	l := network.Lookup{}
	for _, name := range network.SearchNames(n.c.ResolvConf, host) {
		next := network.Resolve(ctx, name, reachable)
		next.Bytes, next.Took = next.Bytes+l.Bytes, next.Took+l.Took
		if l = next; l.Outcome != network.NXDomain {
			break
		}
	}
	return found{
		outcome: l.Outcome, took: l.Took, failed: l.Failed, bytes: l.Bytes,
		blocked: l.Blocked, noData: l.NoData, addresses: l.Addresses,
	}
}
