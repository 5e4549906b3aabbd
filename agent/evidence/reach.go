package evidence

import "math"

// A reachability is what all network checks together say: which of router, internet and host can be reached.
type reachability struct {
	hostOK, hostFail, backupOK, backupFail bool
	backupFresh                            float64 // of the looks at the backup address
	internetOK, internetFail               *Item
	otherBearerHost, otherBearerAll        *Item   // the same target over another bearer worked
	hostPing                               float64 // how surely the host's address answers pings
	farRTT                                 float64 // of the farthest place measured: the line alone takes so long, or less
	hostRTT, hostFresh                     float64 // of the host's own echoes, 0 if it sends none
	lineLoss                               float64 // in per cent, to the other place that loses least: the line's own
}

// A place some of whose pings come back is reached: loss in per cent from which that is in doubt, and at which it is
// not so.
const pingDoubt, pingNone = 50, 90

func (r *Reading) reach() reachability {
	var n reachability
	var worked, failed *Item // looks at the host
	tcp := r.All(NetTCP)
	for i := range tcp {
		it := &tcp[i]
		switch {
		case !it.IsHost():
			n.internet(it)
		case it.Bearer != "" && r.Other(kindOf(it.Bearer)):
			if !it.Bad() {
				n.otherBearerHost = it
			}
		case it.Target == "host-backup":
			n.backupOK, n.backupFail = n.backupOK || !it.Bad(), n.backupFail || it.Bad()
			n.backupFresh = max(n.backupFresh, it.Fresh)
		case it.Bad():
			n.hostFail, failed = true, it
		default:
			worked = it
		}
	}
	n.hostOK = worked.besides(failed) != nil
	for _, check := range [...]Check{NetInternet, NetTLS} {
		list := r.All(check)
		for i := range list {
			it := &list[i]
			if it.IsHost() && check == NetTLS {
				continue
			}
			if it.Bearer != "" && r.Other(kindOf(it.Bearer)) {
				if !it.Bad() {
					n.otherBearerAll = it
				}
				continue
			}
			if check == NetInternet || !it.Bad() {
				n.internet(it)
			}
		}
	}
	n.internetOK = n.internetOK.besides(n.internetFail)
	paths := r.All(NetPath)
	elsewhere := false
	for i := range paths {
		it := &paths[i]
		loss, known := it.num(LossPct)
		rtt, _ := it.num(RTTMS)
		through := Choose(known, Ramp(loss, pingNone, pingDoubt), 0)
		if it.Target != "gateway" && through > 0 && !(it.Bearer != "" && r.Other(kindOf(it.Bearer))) {
			n.farRTT = max(n.farRTT, rtt)
			if !it.IsHost() {
				n.lineLoss, elsewhere = Choose(elsewhere, min(n.lineLoss, loss), loss), true
			}
		}
		switch {
		case it.Bearer != "" && r.Other(kindOf(it.Bearer)) || through == 0:
		case it.IsHost():
			n.hostPing, n.hostRTT = max(n.hostPing, through*it.Fresh), max(n.hostRTT, rtt)
			n.hostFresh = max(n.hostFresh, it.Fresh)
		case it.Target != "gateway" && through > 0.5:
			n.internet(it)
		}
	}
	return n
}

// besides returns the item, a good one, or nil where a bad one about the same thing contradicts it or is much fresher.
func (it *Item) besides(bad *Item) *Item {
	if it != nil && bad != nil && it.Fresh <= bad.Fresh/2 {
		return nil
	}
	return it
}

// internet notes whether some place other than the host can be reached. A refusal, too, is an answer from afar; what a
// portal answers is not.
func (n *reachability) internet(it *Item) {
	switch {
	case it.is(Portal): // neither: the line works and leads nowhere
	case !it.Bad() || it.str(Outcome) == "refused" || Check(it.Check) == NetPath:
		if n.internetOK == nil || n.internetOK.Fresh < it.Fresh {
			n.internetOK = it
		}
	case n.internetFail == nil || n.internetFail.Fresh < it.Fresh:
		n.internetFail = it
	}
}

// beyond adds the findings about everything behind the first router: internet, names, paths and the host.
func (r *Reading) beyond() {
	n := r.reach()
	if n.internetOK != nil && !r.has("internet.portal") {
		r.add("internet.ok", n.internetOK, 1)
		if n.internetOK.str(Outcome) == "refused" {
			r.add("internet.refused", n.internetOK, 1)
		}
	}
	if n.internetFail != nil && r.noFamily(n.internetFail) {
		n.internetFail = nil // the terminal's own routes again, and no word of what lies beyond
	}
	if r.noTraffic(n) {
		n.internetFail = nil // the same, said of a mobile network
	}
	// A line over which the host answers is no line that is down: an APN for payments leads to the host alone.
	if n.internetFail != nil && n.internetOK == nil && !n.hostOK {
		// The way out is at fault only if what lies before it is known to work.
		before := max(r.strength("apn.ok"), min(r.strength("link.cellular-ok"), r.strength("reg.ok")))
		if !r.has("address.none") && !r.has("address.wrong") { // a router that answers ARP is of no use to a terminal without an address
			before = max(before, r.strength("gateway.ok"))
		}
		r.add("internet.fail-beyond", n.internetFail, before)
		r.add("internet.fail", n.internetFail, 1-before)
		if n.otherBearerAll != nil || n.otherBearerHost != nil {
			r.add("tcp.other-bearer-outage", n.internetFail, 1)
		}
	}
	r.names(n)
	r.paths(n)
	r.connections(n)
	r.certificates()
	r.appAlone(n)
}

// How many connections of the payment application must have failed until a connection of our own to the same host
// proves that the line is well: after aloneTimes it begins to, after aloneSurely it does. After fewer, the line may
// have recovered in between.
const aloneTimes, aloneSurely = 1, 4

// appAlone compares the application, which cannot connect, with the terminal itself, which can: to the same host, now.
func (r *Reading) appAlone(n reachability) {
	s := &r.sale
	h, it := r.First(TxnHistory), r.tcpHost()
	cannot := s.Topic == "connect" || s.Topic == "network" || s.Topic == "refused" || s.Topic == "offline" || s.Topic == "send"
	if h == nil || it == nil || !cannot || s.Answered || s.Event.Origin == "host" || !n.hostOK || n.hostFail ||
		it.Fresh < 1 || r.tlsBad() || it.str(By) == "application" {
		return
	}
	if r.has("cert.own-ended") || r.has("cert.client-expired") || r.has("cert.client-refused") {
		return // that is why: a host takes what the terminal itself sends and refuses the application's certificate
	}
	times, _ := h.num(ReachedAfter)
	since, known := h.num(FirstSeenAgeS)
	if last, ok := h.num(LastApprovalAgeS); !known || ok && last < since {
		return // some sale got through since
	}
	r.put("tcp.app-alone", it, h.Facts, h.Fresh*Ramp(times, aloneTimes, aloneSurely))
}

// tcpHost returns a connection to the host that worked, nil if there is none.
func (r *Reading) tcpHost() *Item {
	list := r.All(NetTCP)
	for i := range list {
		if it := &list[i]; it.IsHost() && !it.Bad() && (it.Bearer == "" || !r.Other(kindOf(it.Bearer))) {
			return it
		}
	}
	return nil
}

func (r *Reading) tlsBad() bool {
	list := r.All(NetTLS)
	for i := range list {
		if list[i].IsHost() && (list[i].Bad() || list[i].str(LargeHello) == "swallowed") {
			return true
		}
	}
	return false
}

// noTraffic tells whether a mobile network serves the modem and carries nothing: it is registered and has a data
// connection, and no place answers. A weak signal would look the same and is excluded.
func (r *Reading) noTraffic(n reachability) bool {
	if n.internetFail == nil || n.internetOK != nil || n.hostOK || n.hostPing > 0 || r.Other("cellular") && r.Other("ppp") {
		return false
	}
	// A carrier whose own name server answers serves the terminal; what lies beyond is another matter.
	names, answered, fresh := r.All(NetDNS), false, 0.0
	for i := range names {
		answered, fresh = answered || !names[i].Bad(), max(fresh, names[i].Fresh)
	}
	if len(names) == 0 || answered || !r.has("apn.ok") || !r.has("reg.ok") || r.has("tcp.no-family") {
		return false
	}
	clear := min(r.strength("apn.ok"), r.strength("reg.ok"), fresh) * (1 - r.strength("signal.bad"))
	r.add("mobile.no-traffic", n.internetFail, clear)
	return clear > 0.5
}

// noFamily tells whether a host cannot be reached because the network gave no address of its family (IPv4 or IPv6).
func (r *Reading) noFamily(it *Item) bool {
	if it.str(Outcome) != "unreachable" || !it.atMost(MS, localMS) || r.Other("cellular") && r.Other("ppp") {
		return false
	}
	b := r.First(ModemBearer)
	return b != nil && b.str(Family) == "v6" && b.is(ContextActive)
}

// A refusal within nearMS, where another place on the internet is at least farMS away, was sent by something near;
// where no distance is known it probably was: few lines of shops reach a host in so short a time.
const nearMS, farMS, nearProbably = 2, 8, 0.6

// localMS is the time below which "unreachable" comes from the terminal's own routes.
const localMS = 0.9

func (r *Reading) connections(n reachability) {
	tcp := r.All(NetTCP)
	refusedElsewhere := 0.0
	for _, check := range [...]Check{NetTCP, NetInternet} {
		list := r.All(check)
		for i := range list {
			if !list[i].IsHost() && list[i].str(Outcome) == "refused" {
				refusedElsewhere = max(refusedElsewhere, list[i].Fresh)
			}
		}
	}
	for i := range tcp {
		it := &tcp[i]
		if !it.IsHost() || it.Bearer != "" && r.Other(kindOf(it.Bearer)) {
			continue
		}
		if !it.Bad() {
			if it.Target != "host-backup" || !n.hostFail {
				r.add("tcp.ok", it, Choose(n.hostFail, 0.5, 1))
				r.add("tcp.slow", it, it.shows("tcp.slow"))
				r.add("tcp.quick", it, it.shows("tcp.quick"))
			}
			continue
		}
		if n.hostOK && it.Target == "host-backup" {
			continue // the one in use is fine
		}
		if r.noFamily(it) {
			r.add("tcp.no-family", it, r.First(ModemBearer).Fresh)
			continue
		}
		r.refused(it, n, refusedElsewhere)
		r.hostAlone(it, n)
	}
}

// refused adds the finding for the way in which a connection failed.
func (r *Reading) refused(it *Item, n reachability, elsewhere float64) {
	clear := Choose(n.hostOK, 0.5, 1)
	switch it.str(Outcome) {
	case "refused":
		if it.atMost(MS, nearMS) && (n.farRTT == 0 || n.farRTT >= farMS) {
			r.add("tcp.refused-near", it, clear*Choose(n.farRTT == 0, nearProbably, 1))
		}
		r.add("tcp.refused-all", it, clear*elsewhere)
		r.add("tcp.refused", it, clear)
	case "reset":
		r.add("tcp.reset", it, clear)
		if took, _ := it.num(MS); n.hostRTT >= farMS {
			r.add("tcp.reset-far", it, clear*n.hostFresh*Ramp(took/n.hostRTT, 0.4, 0.8))
		}
	case "unreachable":
		r.add("tcp.unreachable", it, clear)
	default:
		r.add("tcp.timeout", it, clear)
	}
}

// missed tells how well the line's own loss explains a connection that timed out, 0 to 1. Within the time of the check
// the first packet is sent synTries times; one that gets through and is answered is enough.
func (n *reachability) missed(outcome string) float64 {
	if outcome != "timeout" {
		return 0
	}
	return Ramp(math.Pow(n.lineLoss/100, synTries), missedSeldom, missedOften)
}

// Of connections that time out by loss alone: one in so many is no explanation, and from missedOften on it is one.
const (
	synTries                  = 2 // at once and after a second; RFC 6298
	missedSeldom, missedOften = 0.01, 0.25
)

// hostAlone adds the findings that a host cannot be reached while other places can.
func (r *Reading) hostAlone(it *Item, n reachability) {
	clear, outcome := Choose(n.hostOK, 0.5, 1), it.str(Outcome)
	said := it.str(Stopped) // known: a router on the way reported it, or dropped the request
	switch {
	case said == "site" && (n.internetOK != nil || outcome != "unreachable"):
		// A router that knows no way out says so of every place; one that lets others pass forbids this one.
		r.add("tcp.stopped-site", it, clear)
	case outcome == "refused" || n.internetOK == nil:
	case outcome == "unreachable" && said == "" && it.atMost(MS, localMS):
		// said by the terminal itself: nothing was sent to the host
	case n.backupOK:
		r.add("tcp.host-alone", it, 0.7*clear*n.internetOK.Fresh)
	case outcome == "unreachable" && n.hostPing > 0.5:
		r.add("tcp.rejected", it, clear*n.hostPing) // a host that answers pings is reachable: a device on the way forbids the connection
	default:
		r.add("tcp.host-alone", it, clear*n.internetOK.Fresh*Choose(outcome == "reset", 0.4, 1-n.missed(outcome)))
		if outcome != "unreachable" {
			r.add("tcp.ping-only", it, n.hostPing*n.internetOK.Fresh)
		}
	}
	if n.hostFail && n.backupFail {
		r.add("tcp.both-hosts", it, n.backupFresh)
	}
	if n.hostFail && n.backupOK {
		r.add("tcp.backup-ok", it, n.backupFresh)
	}
	if n.otherBearerHost != nil && n.internetOK != nil {
		r.add("tcp.other-bearer", n.otherBearerHost, it.Fresh*n.internetOK.Fresh)
	}
}
