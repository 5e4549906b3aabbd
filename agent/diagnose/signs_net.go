package diagnose

import (
	"slices"
	"strings"
)

// Limits on a path. Below them is everyday life of a shop's line: one lost ping is nothing.
const (
	lossPct        = 8
	heavyLossPct   = 25
	slowRTTms      = 900
	slowishRTTms   = 400
	slowConnect    = 1500 // ms
	nearRefusalMS  = 2    // no host farther away than the shop's own devices answers this fast
	farRTTms       = 8
	flapsMany      = 5
	flapsSome      = 3
	changesMany    = 5
	changesSome    = 3
	wifiWeakDBm    = -80
	wifiFairDBm    = -74
	errorsPerHour  = 100
	dropsPerHour   = 2000
	slowResolution = 3000 // ms
)

// other tells whether an item speaks of a bearer that the sale does not go over; its faults are not this sale's.
func (r *reader) other(kind string) bool {
	return kind != "" && r.kind != "" && kind != r.kind && !(kind == "ppp" && r.kind == "cellular") && !(kind == "cellular" && r.kind == "ppp")
}

// links reads everything between the terminal and the first router.
func (r *reader) links() {
	list := r.v.all("net.link")
	up, _, _ := r.v.linkStates()
	for i := range list {
		it := &list[i]
		kind, down := linkKind(it), linkDown(it)
		if r.other(kind) || down && slices.Contains(up, kind) {
			continue // not this sale's, or a second socket that nothing is plugged into
		}
		flaps, _ := it.num("flaps_1h")
		switch {
		case kind == "wifi" && down:
			r.add("link.wifi-down", it, 1)
		case (kind == "cellular" || kind == "ppp") && down:
			r.add("link.cellular-down", it, 1)
		case down:
			r.add("link.down", it, 1)
		case kind == "wifi":
			r.add("link.wifi-ok", it, 1)
			r.graded("link.wifi-flaps", "", it, flaps, flapsMany, flapsMany)
		case kind == "cellular" || kind == "ppp":
			r.add("link.cellular-ok", it, choose(flaps >= flapsSome, 0.5, 1))
			r.graded("link.cellular-flaps", "", it, flaps, flapsMany, flapsMany)
		case flaps >= flapsSome:
			r.graded("link.flaps", "link.some-flaps", it, flaps, flapsMany, flapsSome)
		default:
			r.add("link.ok", it, 1)
		}
		if kind == "ethernet" && !down && it.atMost("speed_mbps", 10) {
			r.add("link.slow", it, 1)
		}
	}
	r.addresses()
	errors := r.v.all("net.errors")
	for i := range errors {
		it := &errors[i]
		if r.other(linkKind(it)) {
			continue
		}
		rx, _ := it.num("rx_errors")
		crc, _ := it.num("crc_errors")
		drops, _ := it.num("drops")
		window, known := it.num("window_s")
		if !known || window <= 0 {
			window = 3600
		}
		broken := max(rx, crc)
		switch rate := broken / window * 3600; {
		case broken >= 20 && rate >= errorsPerHour || it.level() == "bad":
			r.add("errors.high", it, max(0.6, ramp(rate, 0, 3*errorsPerHour)))
		case broken >= 20 || drops/window*3600 >= dropsPerHour:
			r.add("errors.drops", it, 1)
		case broken <= 5 && !it.bad():
			r.add("errors.ok", it, 1)
		}
	}
	if it := r.v.first("net.wifi"); it != nil && !r.other("wifi") {
		rssi, known := it.num("rssi_dbm")
		switch {
		case it.isNot("ssid_ok") || it.str("auth") == "failed":
			r.add("wifi.auth", it, 1)
		case it.isNot("associated"):
			r.add("wifi.off", it, 1)
		case known && rssi <= wifiWeakDBm || it.level() == "bad":
			r.add("wifi.weak", it, choose(known, 0.6+0.4*ramp(-rssi, -wifiWeakDBm, -wifiWeakDBm+6), 1))
		case known && rssi <= wifiFairDBm || it.level() == "poor" || it.bad():
			r.add("wifi.fair", it, 1)
		default:
			r.add("wifi.ok", it, choose(r.has("gateway.flaky-wifi"), 0.2, 1)) // a strong signal on a crowded channel loses as well
		}
	}
	if r.kind != "" {
		// Said as a finding of its own, so that it shows among the reasons.
		names := map[string]string{"ethernet": "bearer.ethernet", "wifi": "bearer.wifi", "cellular": "bearer.cellular", "ppp": "bearer.dial"}
		r.put(names[r.kind], r.v.first("net.bearer"), nil, 1)
	}
	if it := r.v.first("net.bearer"); it != nil {
		n, known := it.num("changes_1h")
		switch {
		case n >= changesSome:
			r.graded("bearer.changes", "bearer.some", it, n, changesMany, changesSome)
		case known && n <= 1:
			r.add("bearer.steady", it, 1)
		}
	}
}

// graded records the strong sign from many on and the weak one from some on.
func (r *reader) graded(strong, weak string, it *item, n, many, some float64) {
	switch {
	case n >= many:
		r.add(strong, it, 0.7+0.3*ramp(n, many, 2*many))
	case n >= some && weak != "":
		r.add(weak, it, 1)
	}
}

func (r *reader) addresses() {
	list := r.v.all("net.address")
	for i := range list {
		it := &list[i]
		if r.other(linkKind(it)) {
			continue
		}
		address := it.str("address")
		routes, known := it.num("default_routes")
		switch {
		case it.is("duplicate"):
			r.add("address.duplicate", it, 1)
		case it.isNot("gateway_in_subnet") || strings.HasPrefix(address, "169.254."):
			r.add("address.wrong", it, 1)
		case known && routes == 0 || address == "" && it.bad():
			if linkKind(it) != "cellular" && linkKind(it) != "ppp" {
				linked := r.has("link.ok") || r.has("link.wifi-ok") || r.has("link.down") || r.has("link.wifi-down")
				r.add(pick(linked, "address.none", "address.none-blind"), it, 1)
			}
		case routes >= 2 && it.bad():
			r.add("address.two-routes", it, 1)
		case routes >= 2:
			r.add("address.two-routes-maybe", it, 1)
		case it.bad():
			r.add("address.wrong", it, 0.6)
		default:
			r.add("address.ok", it, 1)
		}
	}
	list = r.v.all("net.gateway")
	for i := range list {
		it := &list[i]
		if r.other(kindOf(it.bearer)) {
			continue
		}
		loss, known := it.num("loss_pct")
		neighbour := it.str("neighbour")
		rtt, _ := it.num("rtt_ms")
		switch {
		case neighbour == "failed" || known && loss >= 95 && neighbour != "reachable":
			r.add(pick(r.has("address.ok") || r.has("address.wrong"), "gateway.dead", "gateway.dead-blind"), it, 1)
		case known && loss >= 95: // it answers ARP and drops pings: many routers do
		case known && loss >= lossPct:
			r.add(pick(r.kind == "wifi", "gateway.flaky-wifi", "gateway.flaky"), it, ramp(loss, 0, heavyLossPct))
			r.add("path.gateway-loss", it, 1)
		default:
			r.add("gateway.ok", it, choose(neighbour == "stale" && !known, 0.5, 1))
			if rtt >= 100 {
				r.add("gateway.slow", it, ramp(rtt, 50, 400))
			}
		}
	}
}

// A reachability is what the network checks say together.
type reachability struct {
	hostOK, hostFail, backupOK, backupFail bool
	internetOK, internetFail               *item
	otherBearerHost, otherBearerAll        *item // the same target over another bearer worked
	hostPing                               bool  // the host's address answers pings
	hostRTT                                float64
}

func (r *reader) reach() reachability {
	var n reachability
	tcp := r.v.all("net.tcp")
	for i := range tcp {
		it := &tcp[i]
		switch {
		case !it.isHost():
			n.internet(it)
		case it.bearer != "" && r.other(kindOf(it.bearer)):
			if !it.bad() {
				n.otherBearerHost = it
			}
		case it.target == "host-backup":
			n.backupOK, n.backupFail = n.backupOK || !it.bad(), n.backupFail || it.bad()
		default:
			n.hostOK, n.hostFail = n.hostOK || !it.bad(), n.hostFail || it.bad()
		}
	}
	for _, check := range [...]string{"net.internet", "net.tls"} {
		list := r.v.all(check)
		for i := range list {
			it := &list[i]
			if it.isHost() && check == "net.tls" {
				continue
			}
			if it.bearer != "" && r.other(kindOf(it.bearer)) {
				if !it.bad() {
					n.otherBearerAll = it
				}
				continue
			}
			if check == "net.internet" || !it.bad() {
				n.internet(it)
			}
		}
	}
	paths := r.v.all("net.path")
	for i := range paths {
		it := &paths[i]
		loss, known := it.num("loss_pct")
		rtt, _ := it.num("rtt_ms")
		switch {
		case it.bearer != "" && r.other(kindOf(it.bearer)):
		case it.isHost() && known && loss < 60:
			n.hostPing = true
			n.hostRTT = max(n.hostRTT, rtt)
		case !it.isHost() && it.target != "gateway" && known && loss < 60:
			n.internet(it)
		}
	}
	return n
}

// internet notes whether some place other than the host can be reached. A refusal, too, is an answer from afar.
func (n *reachability) internet(it *item) {
	switch {
	case !it.bad() || it.str("outcome") == "refused" || it.Check == "net.path":
		if n.internetOK == nil || n.internetOK.fresh < it.fresh {
			n.internetOK = it
		}
	case n.internetFail == nil || n.internetFail.fresh < it.fresh:
		n.internetFail = it
	}
}

// beyond reads everything behind the first router.
func (r *reader) beyond() {
	n := r.reach()
	if n.internetOK != nil {
		r.add("internet.ok", n.internetOK, 1)
	}
	if n.internetFail != nil && n.internetOK == nil {
		// The way out is at fault only if what lies before it is known to work.
		if r.has("gateway.ok") || r.has("apn.ok") || r.has("link.cellular-ok") && r.has("reg.ok") {
			r.add("internet.fail-beyond", n.internetFail, 1)
		} else {
			r.add("internet.fail", n.internetFail, 1)
		}
		if n.otherBearerAll != nil || n.otherBearerHost != nil {
			r.add("tcp.other-bearer-outage", n.internetFail, 1)
		}
	}
	r.names(n)
	r.paths()
	r.connections(n)
	r.certificates()
	if list := r.v.all("net.mtu"); len(list) > 0 {
		it := &list[0]
		r.add(pick(it.str("outcome") == "blackhole" || it.bad(), "mtu.blackhole", "mtu.ok"), it, 1)
	}
}

func pick(b bool, x, y string) string {
	if b {
		return x
	}
	return y
}

func (r *reader) names(n reachability) {
	list := r.v.all("net.dns")
	var hostFail, otherFail, hostOK, otherOK *item
	for i := range list {
		it := &list[i]
		if it.bearer != "" && r.other(kindOf(it.bearer)) {
			continue
		}
		slot := &otherOK
		switch {
		case it.isHost() && it.bad():
			slot = &hostFail
		case it.isHost():
			slot = &hostOK
		case it.bad():
			slot = &otherFail
		}
		*slot = it
		if !it.bad() && it.atLeast("ms", slowResolution) {
			r.add("dns.slow", it, 1)
		}
	}
	any := hostFail
	if any == nil {
		any = otherFail
	}
	switch {
	case any == nil:
		if hostOK != nil || otherOK != nil {
			it := hostOK
			if it == nil {
				it = otherOK
			}
			r.add("dns.ok", it, 1)
		}
	case hostOK != nil: // some other name: the host's own is fine
		r.add("dns.ok", hostOK, 0.7)
	case otherOK != nil:
		r.add("dns.only-host", any, 1)
	case n.internetOK != nil && (n.internetOK.Check == "net.internet" || otherFail != nil):
		r.add("dns.fail-beyond", any, 1)
		if hostFail != nil && otherFail != nil {
			r.add("dns.fail-all", any, 0.5)
		}
	case hostFail != nil && otherFail != nil && n.internetFail == nil:
		r.add("dns.fail-all", any, choose(n.hostOK, 0.4, 1))
	default:
		r.add("dns.fail", any, choose(n.hostOK || any.str("outcome") == "unreachable", 0.3, 1))
	}
}

// paths looks at loss and delay. Loss to two unrelated places is the line; loss to one alone is that place.
func (r *reader) paths() {
	list := r.v.all("net.path")
	var lossy, slow, clean []*item
	var fast *item
	for i := range list {
		it := &list[i]
		if it.bearer != "" && r.other(kindOf(it.bearer)) {
			continue
		}
		loss, lossKnown := it.num("loss_pct")
		rtt, rttKnown := it.num("rtt_ms")
		jitter, _ := it.num("jitter_ms")
		if it.target == "gateway" {
			if loss >= lossPct {
				r.add("path.gateway-loss", it, 1)
			}
			continue
		}
		switch {
		case lossKnown && loss >= 99 && r.hostAlive(it): // pings are dropped, connections work
			continue
		case lossKnown && loss >= lossPct:
			lossy = append(lossy, it)
		case rttKnown && rtt >= slowishRTTms || jitter >= slowRTTms:
		case lossKnown && loss < 5 || !it.bad():
			clean = append(clean, it)
		}
		if rttKnown && rtt >= slowishRTTms || jitter >= slowRTTms {
			slow = append(slow, it)
		} else if rttKnown {
			fast = it
		}
	}
	for _, it := range lossy {
		loss, _ := it.num("loss_pct")
		clear := 0.4 + 0.6*ramp(loss, lossPct, heavyLossPct)
		switch {
		case len(lossy) >= 2:
			r.add("path.loss-all", it, clear)
		case len(clean) > 0 && it.isHost():
			r.add("path.loss-host", it, clear)
		default:
			r.add("path.loss", it, clear)
		}
	}
	for _, it := range slow {
		rtt, _ := it.num("rtt_ms")
		r.add(pick(rtt >= slowRTTms, "path.slow", "path.slow-some"), it, choose(len(clean) > 0, 0.5, 1))
	}
	switch {
	case len(lossy)+len(slow) == 0 && len(clean) > 0:
		r.add("path.ok", clean[0], 1)
	case len(slow) == 0 && fast != nil:
		r.add("path.fast", fast, 1)
	}
}

// hostAlive tells whether a connection to the pinged place works although its pings are lost.
func (r *reader) hostAlive(path *item) bool {
	for _, check := range [...]string{"net.tcp", "net.internet", "net.tls"} {
		list := r.v.all(check)
		for i := range list {
			if !list[i].bad() && list[i].isHost() == path.isHost() {
				return true
			}
		}
	}
	return false
}

func (r *reader) connections(n reachability) {
	tcp := r.v.all("net.tcp")
	refusedElsewhere := false
	for _, check := range [...]string{"net.tcp", "net.internet"} {
		list := r.v.all(check)
		for i := range list {
			refusedElsewhere = refusedElsewhere || !list[i].isHost() && list[i].str("outcome") == "refused"
		}
	}
	for i := range tcp {
		it := &tcp[i]
		if !it.isHost() || it.bearer != "" && r.other(kindOf(it.bearer)) {
			continue
		}
		ms, timed := it.num("ms")
		if !it.bad() {
			if it.target != "host-backup" || !n.hostFail {
				r.add("tcp.ok", it, choose(n.hostFail, 0.5, 1))
				if timed && ms >= slowConnect {
					r.add("tcp.slow", it, ramp(ms, slowConnect/2, 2*slowConnect))
				}
			}
			continue
		}
		if n.hostOK && it.target == "host-backup" {
			continue // the one in use is fine
		}
		outcome := it.str("outcome")
		clear := choose(n.hostOK, 0.5, 1)
		switch outcome {
		case "refused":
			if timed && ms <= nearRefusalMS && n.hostRTT >= farRTTms {
				r.add("tcp.refused-near", it, clear)
			}
			if refusedElsewhere {
				r.add("tcp.refused-all", it, clear)
			}
			r.add("tcp.refused", it, clear)
		case "reset":
			r.add("tcp.reset", it, clear)
		case "unreachable":
			r.add("tcp.unreachable", it, clear)
		default:
			r.add("tcp.timeout", it, clear)
		}
		if outcome != "refused" && n.internetOK != nil && !n.backupOK {
			r.add("tcp.host-alone", it, clear*n.internetOK.fresh*choose(outcome == "reset", 0.4, 1))
			if n.hostPing && outcome != "unreachable" {
				r.add("tcp.ping-only", it, 1)
			}
		} else if outcome != "refused" && n.internetOK != nil {
			r.add("tcp.host-alone", it, 0.7*clear*n.internetOK.fresh)
		}
		if n.hostFail && n.backupFail {
			r.add("tcp.both-hosts", it, 1)
		}
		if n.hostFail && n.backupOK {
			r.add("tcp.backup-ok", it, 1)
		}
		if n.otherBearerHost != nil && n.internetOK != nil {
			r.add("tcp.other-bearer", n.otherBearerHost, 1)
		}
	}
}

func (r *reader) certificates() {
	list := r.v.all("net.tls")
	var hostBad, otherBad, otherOK *item
	for i := range list {
		it := &list[i]
		if it.bearer != "" && r.other(kindOf(it.bearer)) {
			continue
		}
		switch {
		case it.isHost() && it.bad() && (hostBad == nil || it.target == "host-primary"):
			hostBad = it
		case it.isHost() && !it.bad():
			r.add("tls.ok", it, 1)
		case !it.isHost() && it.bad():
			otherBad = it
		case !it.isHost():
			otherOK = it
		}
	}
	if hostBad == nil {
		if otherBad != nil && !r.has("tls.ok") {
			switch otherBad.str("outcome") {
			case "expired", "not-yet-valid":
				r.add("tls.elsewhere-dates", otherBad, 1)
			case "name-mismatch", "unknown-ca":
				r.add("tls.elsewhere-bad", otherBad, 1)
			}
		}
		return
	}
	outcome := hostBad.str("outcome")
	dates := outcome == "expired" || outcome == "not-yet-valid"
	names := map[string]string{"expired": "tls.expired", "not-yet-valid": "tls.not-yet-valid", "name-mismatch": "tls.name",
		"unknown-ca": "tls.unknown-ca", "timeout": "tls.timeout", "protocol": "tls.broken"}
	name := names[outcome]
	if name == "" {
		name = "tls.broken"
	}
	if dates && otherBad != nil && otherBad.str("outcome") == outcome {
		r.add("tls.both-dates", hostBad, 1)
		return
	}
	if (outcome == "name-mismatch" || outcome == "unknown-ca") && otherBad != nil {
		if o := otherBad.str("outcome"); o == "name-mismatch" || o == "unknown-ca" {
			r.add("tls.both-bad", hostBad, 1)
			return
		}
	}
	r.add(name, hostBad, 1)
	if otherOK != nil {
		r.add("tls.others-ok", otherOK, 1)
	}
}
