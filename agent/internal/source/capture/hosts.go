package capture

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"time"
)

// resolve finds the addresses of the targets, and looks names up again from time to time; it calls the function with
// the addresses when they have changed. The addresses of a name are kept while it cannot be looked up.
func (c *Capture) resolve(ctx context.Context, changed func(map[netip.AddrPort]string)) {
	lookup := c.lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	known := map[string][]netip.Addr{}
	var last map[netip.AddrPort]string
	said := false
	for {
		names, failed := false, false
		for _, t := range c.Targets {
			if a, err := netip.ParseAddr(t.Host); err == nil {
				known[t.Host] = []netip.Addr{a.Unmap().WithZone("")}
				continue
			}
			names = true
			short, cancel := context.WithTimeout(ctx, namesWait)
			list, err := lookup(short, t.Host)
			cancel()
			if err != nil || len(list) == 0 {
				if failed = true; !said && ctx.Err() == nil {
					said = true
					c.Log.Warn("a host's name is not found: its connections are watched at the addresses it last had", "host", t.Host, "err", err)
				}
				continue
			}
			known[t.Host] = list
		}
		said = said && failed
		hosts := map[netip.AddrPort]string{}
		for _, t := range c.Targets {
			for _, a := range known[t.Host] {
				e := netip.AddrPortFrom(a.Unmap(), uint16(t.Port))
				if _, taken := hosts[e]; !taken && len(hosts) < maxEndpoints {
					hosts[e] = t.Name
				}
			}
		}
		if last == nil || !maps.Equal(hosts, last) {
			changed(hosts)
			last = hosts
		}
		if !names {
			return
		}
		wait := namesEvery
		if failed {
			wait = namesAgain
		}
		if !c.pause(ctx, wait) {
			return
		}
	}
}

// pause waits until names are looked up again: for a time, or until a code came whose connection was not seen.
func (c *Capture) pause(ctx context.Context, wait time.Duration) bool {
	due, least := time.NewTimer(wait), time.NewTimer(min(wait, c.least))
	defer due.Stop()
	defer least.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-least.C:
	}
	select {
	case <-ctx.Done():
		return false
	case <-due.C:
	case <-c.sooner:
	}
	return true
}
