package evidence

import (
	"slices"
	"strings"
)

// links adds the findings about cables and radio links. A link of another kind than the sale's is left out, and so is
// a second socket that nothing is plugged into.
func (r *Reading) links() {
	list := r.All(NetLink)
	for i := range list {
		it := &list[i]
		kind, down := linkKind(it), linkDown(it)
		another := slices.ContainsFunc(list, func(o Item) bool {
			return !linkDown(&o) && linkKind(&o) == kind &&
				o.Subject != it.Subject
		})
		if r.Other(kind) || down && another {
			continue
		}
		flaps, some := it.shows("link.flaps"), it.shows("link.some-flaps")
		switch {
		case kind == "wifi" && down:
			r.add("link.wifi-down", it, 1)
		case (kind == "cellular" || kind == "ppp") && down:
			r.add("link.cellular-down", it, 1)
		case down:
			r.add("link.down", it, 1)
		case kind == "wifi":
			r.add("link.wifi-ok", it, Choose(it.Bad(), 0.0, 1))
			r.add("link.wifi-flaps", it, flaps)
		case kind == "cellular" || kind == "ppp":
			r.add("link.cellular-ok", it, Choose(it.Bad(), 0, 1-some/2))
			r.add("link.cellular-flaps", it, flaps)
		default:
			r.add("link.flaps", it, flaps)
			r.add("link.some-flaps", it, some)
			r.add("link.ok", it, Choose(it.Bad(), 0, 1-some))
		}
	}
	if it := r.First(NetWifi); it != nil && !r.Other("wifi") {
		r.add("wifi.ok", it, it.shows("wifi.ok")*Choose(r.has("gateway.flaky-wifi"), 0.2, 1))
	}
}

// noAddress is an address that a terminal gave itself for want of one (RFC 3927).
const noAddress = "169.254."

// addressLevel grades the addressing of an interface.
func (it *Item) addressLevel() Level {
	routes, known := it.num(DefaultRoutes)
	address, told := it.Facts.Str(string(Address))
	switch {
	case it.is(Duplicate), it.is(Conflict), it.gatewayOutside(), strings.HasPrefix(address, noAddress), known &&
		routes == 0:
		return LevelBad
	case told && address == "":
		return LevelBad
	}
	return LevelGood
}

// gatewayOutside tells whether the gateway cannot be reached: it lies outside the subnet and no route of its own leads
// there.
func (it *Item) gatewayOutside() bool { return it.isNot(GatewayInSubnet) && !it.is(GatewayOnLink) }

func (r *Reading) addresses() {
	list := r.All(NetAddress)
	for i := range list {
		it := &list[i]
		if r.Other(linkKind(it)) {
			continue
		}
		address := it.str(Address)
		routes, known := it.num(DefaultRoutes)
		switch {
		case it.is(Duplicate):
			r.add("address.duplicate", it, 1)
		case it.gatewayOutside() && !strings.HasPrefix(address, noAddress):
			r.add("address.wrong", it, 1)
		case known && routes == 0 || address == "" && it.Bad() || strings.HasPrefix(address, noAddress):
			if k := linkKind(it); k != "cellular" && k != "ppp" {
				linked := r.most("link.ok", "link.wifi-ok", "link.down", "link.wifi-down")
				r.add("address.none", it, linked)
				r.add("address.none-blind", it, 1-linked)
			} else {
				r.add("apn.none", it, 0.3)
			}
		case routes >= 2 && it.Bad(), it.is(Conflict):
			r.add("address.two-routes", it, 1)
		case routes >= 2:
			r.add("address.two-routes-maybe", it, 1)
		case it.Bad():
			r.add("address.wrong", it, 0.6)
		case it.isNot(GatewayInSubnet) && r.noRouter(): // nobody answers at an address that this network would not have
			r.add("address.wrong", it, 1)
		default:
			r.add("address.ok", it, 1)
		}
	}
}

// noRouter tells whether the router was asked and is not there.
func (r *Reading) noRouter() bool {
	list := r.All(NetGateway)
	for i := range list {
		if it := &list[i]; !r.Other(kindOf(it.Bearer)) && it.str(Neighbour) == "failed" {
			return true
		}
	}
	return false
}

// allLost is the loss from which nothing at all came back, in per cent; pingsDropped the one from which a router that
// is reachable by ARP is taken to drop pings, as many do.
const (
	allLost      = 95
	pingsDropped = 80
)

// deadRouter tells whether the router is gone: it answers no ARP, or nothing at all.
func (it *Item) deadRouter() bool {
	loss, known := it.num(LossPct)
	neighbour := it.str(Neighbour)
	return neighbour == "failed" || known && loss >= allLost && neighbour == "" && it.claimedBad()
}

// ofPaths tells how much of the loss to other places happens on the way to the router already, 0 to 1. Both losses are
// counted over some dozens of packets, so half as much again may be as much.
func (r *Reading) ofPaths(near float64) float64 {
	worst := 0.0
	list := r.All(NetPath)
	for i := range list {
		if loss, known := list[i].num(LossPct); known && list[i].Target != "gateway" && loss < allLost {
			worst = max(worst, loss)
		}
	}
	if worst == 0 {
		return 0
	}
	return min(1, near*1.5/worst)
}

func (r *Reading) routers() {
	list := r.All(NetGateway)
	for i := range list {
		it := &list[i]
		if r.Other(kindOf(it.Bearer)) {
			continue
		}
		loss, known := it.num(LossPct)
		neighbour := it.str(Neighbour)
		flaky := it.shows("gateway.flaky")
		switch {
		case neighbour == "failed" || known && loss >= allLost && neighbour != "reachable":
			addressed := r.most("address.ok", "address.wrong")
			r.add("gateway.dead", it, addressed)
			r.add("gateway.dead-blind", it, 1-addressed)
			if link := r.First(NetLink); link != nil && !linkDown(link) {
				r.add("link.holds", link, r.most("link.flaps")) // the cable is in, though it was out at times
			}
			continue
		case neighbour == "reachable":
			flaky *= Ramp(loss, 100, pingsDropped) // it answers ARP and drops pings: many routers do
		}
		r.add(Choose(r.Kind == "wifi", "gateway.flaky-wifi", "gateway.flaky"), it, flaky)
		r.add("path.gateway-loss", it, max(flaky, r.ofPaths(loss)*min(1, 2*flaky)))
		r.add("gateway.slow", it, it.shows("gateway.slow"))
		if (known && loss < allLost || !known) && !r.has("address.none") { // neighbours speak in IPv6 without an address
			r.add("gateway.ok", it, (1-flaky)*Choose(it.Bad(), 0.0, 1)*Choose(neighbour == "stale" && !known, 0.5, 1))
		}
	}
}
