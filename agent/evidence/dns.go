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
	default:
		// What sets a failure apart from others is as good as the look that shows it.
		apart, all := 0.0, 0.0
		if hostFail != nil && otherFail != nil {
			all = freshest(otherFail)
		}
		switch {
		case otherOK != nil:
			apart = otherOK.Fresh
			r.add("dns.only-host", failed, apart)
		case n.internetOK != nil && (Check(n.internetOK.Check) == NetInternet || otherFail != nil):
			apart = n.internetOK.Fresh
			r.add("dns.fail-beyond", failed, apart)
			r.add("dns.fail-all", failed, 0.5*apart*all)
		}
		if n.internetFail != nil {
			all *= 1 - n.internetFail.Fresh
		}
		r.add("dns.fail-all", failed, (1-apart)*all*Choose(n.hostOK, 0.4, 1))
		r.add("dns.fail", failed, (1-apart)*(1-all)*Choose(n.hostOK || failed.str(Outcome) == "unreachable", 0.3, 1))
	}
}

// freshest returns how fresh the freshest of some looks is, 0 without one.
func freshest(looks ...*Item) float64 {
	top := 0.0
	for _, it := range looks {
		if it != nil {
			top = max(top, it.Fresh)
		}
	}
	return top
}

// nameSlow is how surely the resolver itself was slow: a name takes a round trip, and what the line takes for one is
// not the resolver's.
func (n *reachability) nameSlow(it *Item) float64 {
	took, _ := it.num(MS)
	return it.shows("dns.slow") * max(0, 1-n.farRTT/max(took, 1))
}
