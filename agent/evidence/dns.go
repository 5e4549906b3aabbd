package evidence

// names reads the resolution of names: the host's own against others.
func (r *Reading) names(n reachability) {
	list := r.All(NetDNS)
	var hostFail, otherFail, hostOK, otherOK *Item
	for i := range list {
		it := &list[i]
		if it.Bearer != "" && r.Other(kindOf(it.Bearer)) {
			continue
		}
		slot := &otherOK
		switch {
		case it.IsHost() && it.Bad():
			slot = &hostFail
		case it.IsHost():
			slot = &hostOK
		case it.Bad():
			slot = &otherFail
		}
		*slot = it
		r.add("dns.slow", it, n.nameSlow(it))
	}
	hostOK, otherOK = hostOK.besides(hostFail), otherOK.besides(otherFail)
	failed := hostFail
	if failed == nil {
		failed = otherFail
	}
	switch {
	case failed == nil:
		if it := hostOK; it != nil {
			r.add("dns.ok", it, 1-n.nameSlow(it))
		} else if otherOK != nil {
			r.add("dns.ok", otherOK, 1-n.nameSlow(otherOK))
		}
	case hostOK != nil: // some other name: the host's own is fine
		r.add("dns.ok", hostOK, 0.7)
	case otherOK != nil:
		r.add("dns.only-host", failed, 1)
	case n.internetOK != nil && (Check(n.internetOK.Check) == NetInternet || otherFail != nil):
		r.add("dns.fail-beyond", failed, 1)
		if hostFail != nil && otherFail != nil {
			r.add("dns.fail-all", failed, 0.5)
		}
	case hostFail != nil && otherFail != nil && n.internetFail == nil:
		r.add("dns.fail-all", failed, Choose(n.hostOK, 0.4, 1))
	default:
		r.add("dns.fail", failed, Choose(n.hostOK || failed.str(Outcome) == "unreachable", 0.3, 1))
	}
}

// nameSlow is how surely the resolver itself was slow: a name takes a round trip, and what the line takes for one is
// not the resolver's.
func (n *reachability) nameSlow(it *Item) float64 {
	took, _ := it.num(MS)
	return it.shows("dns.slow") * max(0, 1-n.farRTT/max(took, 1))
}
