package main

import (
	"math"
	"strings"

	"posdx/agent/report"
)

// A look is the set of checks made in one world.
type look struct {
	w    *world
	ev   *report.Event
	list []report.Evidence
	keep float64 // share of the checks that were made at all
	only func(check string) bool
}

// add records a check, unless it was not made.
func (l *look) add(check, subject string, bad bool, facts report.Facts) {
	w := l.w
	if l.only != nil && !l.only(check) {
		return
	}
	if !w.chance(l.keep) && !strings.HasPrefix(check, "txn.") {
		return
	}
	e := report.Evidence{Check: check, Subject: subject, Status: report.OK, Facts: facts, AgeMS: 200 + w.Int64N(3000),
		Depth: report.Internal}
	if bad {
		e.Status = report.Bad
	}
	switch {
	case strings.HasPrefix(check, "board.") || strings.HasPrefix(check, "modem.s") || check == "app.version":
		e.AgeMS = 2000 + w.Int64N(280_000)
	case strings.HasPrefix(check, "reader.s") && !bad:
		e.AgeMS = w.Int64N(900_000)
	}
	if w.chance(0.03) { // an old finding that may no longer be true
		e.AgeMS = 3600_000 + w.Int64N(86400_000)
	} else if w.chance(0.03) {
		e.Status, e.Facts = report.CannotTell, report.Facts{"reason": pick(w.Rand, "timeout", "in-use", "permission", "unsupported")}
	}
	l.list = append(l.list, e)
}

// skip records a check that was not made, and why.
func (l *look) skip(check, subject string, status report.Status, reason string) {
	if l.only != nil && !l.only(check) {
		return
	}
	f := report.Facts{}
	if reason != "" {
		f["reason"] = reason
	}
	l.list = append(l.list, report.Evidence{Check: check, Subject: subject, Status: status, Facts: f,
		Depth: report.Internal})
}

func (l *look) run() []report.Evidence {
	l.txn()
	l.history()
	l.network()
	l.devices()
	l.system()
	l.application()
	l.fleet()
	l.w.Shuffle(len(l.list), func(i, j int) { l.list[i], l.list[j] = l.list[j], l.list[i] })
	return l.list
}

func (l *look) txn() {
	w := l.w
	if l.ev.Txn.Sent == nil {
		if w.chance(0.5) {
			l.skip("txn.answer", "txn", report.CannotTell, "unsupported")
		}
		return
	}
	f := report.Facts{"host_answer_seen": w.answered, "sent": w.sent}
	if w.connectMS > 0 {
		f["connect_ms"] = math.Round(w.connectMS)
	}
	if w.responseMS > 0 {
		f["response_ms"] = math.Round(w.responseMS)
	}
	if w.chance(0.5) || w.host == "slow" {
		f["normal_response_ms"] = math.Round(600 + 900*w.Float64())
	}
	l.add("txn.answer", "txn", !w.answered, f)
}

func (l *look) history() {
	w := l.w
	if w.chance(0.08) {
		return
	}
	f := report.Facts{}
	others := float64(3 + w.IntN(14))
	same := float64(1 + w.IntN(7))
	switch w.failing {
	case "one":
		same = float64(1 + w.IntN(3))
		f["approvals_1h"], f["last_approval_age_s"], f["declines_1h"] = others, float64(60+w.IntN(900)), float64(w.IntN(4))
		f["cards_same_code_1h"] = 1.0
		f["issuers_same_code_1h"] = 1.0
	case "issuer":
		same = float64(1 + w.IntN(4))
		f["approvals_1h"], f["last_approval_age_s"], f["declines_1h"] = others, float64(60+w.IntN(900)), same
		f["cards_same_code_1h"], f["issuers_same_code_1h"] = math.Ceil(same/1.3), 1.0
	case "some":
		f["approvals_1h"], f["last_approval_age_s"], f["declines_1h"] = math.Ceil(others/3), float64(60+w.IntN(2000)), float64(w.IntN(3))
		f["cards_same_code_1h"] = math.Max(1, same-1)
	default:
		same = float64(2 + w.IntN(8))
		first := float64(300 + w.IntN(9000))
		f["approvals_1h"], f["declines_1h"] = 0.0, same
		if first < 3600 {
			f["approvals_1h"] = float64(w.IntN(8))
		}
		f["first_seen_age_s"], f["last_approval_age_s"] = first, first+float64(30+w.IntN(1200))
		f["cards_same_code_1h"] = math.Max(1, same-float64(w.IntN(2)))
		f["issuers_same_code_1h"] = math.Max(1, math.Ceil(same/2))
		if !w.answered {
			f["declines_1h"] = 0.0
			delete(f, "issuers_same_code_1h")
		}
		if w.newTerminal {
			f["approvals_1h"] = 0.0
			delete(f, "last_approval_age_s")
			if w.chance(0.7) { // the agent counts for an hour before it says so
				f["no_approval_s"] = float64(3600 + w.IntN(80000))
			}
			delete(f, "first_seen_age_s")
		}
		if w.badUpdate {
			f["approvals_1h"], f["approvals_since_update"] = 0.0, 0.0
			f["last_approval_age_s"] = 40000 + 20000*w.Float64()
			f["first_seen_age_s"] = 20000 * w.Float64()
		}
	}
	f["same_code_1h"] = same
	cards, unread := others+same, 0.0
	switch {
	case w.card == "damaged":
		unread = 1
		f["entry_failures"] = map[string]any{w.entry: 3.0, "contactless": 0.0}
	case w.reader == "dirty":
		unread = math.Ceil(cards * w.span(0.2, 0.35, 0.75))
		f["entry_failures"] = map[string]any{w.entry: unread + 3, "contactless": 0.0}
	case w.reader == "noise" || w.reader == "fault":
		unread = math.Ceil(cards * w.span(0.2, 0.35, 0.75))
		f["entry_failures"] = map[string]any{"chip": unread, "contactless": math.Ceil(unread / 2), "stripe": 2.0}
	case w.chance(0.15):
		unread = 1
	}
	if w.chance(0.7) {
		f["cards_1h"], f["cards_failed_1h"] = cards, unread
	}
	for _, name := range []string{"cards_same_code_1h", "issuers_same_code_1h", "first_seen_age_s", "entry_failures"} {
		if w.chance(0.45) {
			delete(f, name)
		}
	}
	l.add("txn.history", "terminal", false, f)
}

func (l *look) network() {
	w := l.w
	iface := map[string]string{"ethernet": "eth0", "wifi": "wlan0", "cellular": "wwan0"}[w.kind]
	if w.pstn {
		l.add("modem.line", "modem0", w.dialTone != "ok", report.Facts{"outcome": w.dialTone, "volts": 48.0})
		l.add("modem.port", "modem0", w.modem != "ok", report.Facts{"outcome": w.modem})
		return
	}
	linked := w.carrier
	switch w.kind {
	case "wifi":
		linked = w.wifiJoined && w.wifiAuth
	case "cellular":
		linked = w.links()
	}
	f := report.Facts{"iface": iface, "kind": w.kind, "carrier": linked, "flaps_1h": float64(w.flaps)}
	if w.kind == "ethernet" && linked {
		f["speed_mbps"] = 100.0
	}
	l.add("net.link", iface, !linked || w.flaps > 4, f)
	if w.backup != "" {
		l.add("modem.port", "modem0", false, report.Facts{"outcome": "ok", "model": "EC200S"})
		l.add("modem.sim", "modem0", w.backup == "nosim", report.Facts{"state": map[string]string{"nosim": "missing", "fitted": "ready"}[w.backup]})
		l.add("net.link", "wwan0", true, report.Facts{"iface": "wwan0", "kind": "cellular", "carrier": false})
		l.add("net.bearer", "uplink", false, report.Facts{"active": w.kind, "changes_1h": float64(w.changes)})
	} else if w.changes > 0 || w.chance(0.3) {
		l.add("net.bearer", "uplink", w.changes > 4, report.Facts{"active": pick(w.Rand, w.kind, iface), "changes_1h": float64(w.changes)})
	}
	if w.kind == "wifi" {
		wf := report.Facts{"associated": w.wifiJoined, "ssid_ok": true, "auth": "ok"}
		if !w.wifiAuth {
			wf["auth"], wf["associated"] = "failed", false
		}
		if w.wifiJoined {
			wf["rssi_dbm"] = math.Round(w.rssi)
		}
		l.add("net.wifi", iface, !w.wifiJoined || !w.wifiAuth || w.rssi < -80, wf)
	}
	if w.kind == "cellular" {
		l.mobile()
	} else {
		l.lan(iface, linked)
	}
	l.beyond(linked)
}

func (l *look) mobile() {
	w := l.w
	port := report.Facts{"outcome": w.modem}
	l.add("modem.port", "modem0", w.modem != "ok", port)
	if w.modem != "ok" {
		for _, c := range []string{"modem.sim", "modem.registration", "modem.signal"} {
			l.skip(c, "modem0", report.NotRun, "masked")
		}
		return
	}
	l.add("modem.sim", "modem0", w.sim != "ready", report.Facts{"state": w.sim})
	reg := w.reg
	if w.sim != "ready" {
		reg = pick(w.Rand, "idle", "searching")
	}
	l.add("modem.registration", "modem0", reg != "home", report.Facts{"state": reg, "tech": "4g"})
	sf := report.Facts{"rssi_dbm": math.Round(w.rsrp + 24), "rsrp_dbm": math.Round(w.rsrp)}
	if w.chance(0.5) {
		sf["sinr_db"] = math.Round((w.rsrp + 112) / 1.5)
	}
	l.add("modem.signal", "modem0", w.rsrp < -112, sf)
	up := w.apn == "ok" && reg == "home"
	bf := report.Facts{"attached": reg == "home", "context_active": up, "apn_ok": w.apn != "bad"}
	if w.apn == "bad" && w.chance(0.6) {
		bf["cause"] = pick(w.Rand, any(27.0), any(33.0), any("29"))
	}
	l.add("modem.bearer", "modem0", !up, bf)
}

func (l *look) lan(iface string, linked bool) {
	w := l.w
	if !linked {
		l.add("net.address", iface, true, report.Facts{"iface": iface, "default_routes": 0.0})
		l.skip("net.gateway", "192.168.1.1", report.NotRun, "masked")
		return
	}
	f := report.Facts{"iface": iface, "address": "192.168.1.23", "prefix": 24.0, "gateway": "192.168.1.1", "gateway_in_subnet": true, "dhcp": true, "duplicate": false, "default_routes": 1.0}
	switch w.address {
	case "wrong":
		f["gateway_in_subnet"], f["address"] = false, "192.168.0.23"
	case "none":
		f = report.Facts{"iface": iface, "default_routes": 0.0}
	case "duplicate":
		f["duplicate"] = true
	case "routes":
		f["default_routes"] = 2.0
	}
	l.add("net.address", iface, w.address != "ok", f)
	if w.address == "wrong" || w.address == "none" {
		l.add("net.gateway", "192.168.1.1", true, report.Facts{"ip": "192.168.1.1", "neighbour": "failed", "loss_pct": 100.0})
	} else if w.gateway == "dead" {
		l.add("net.gateway", "192.168.1.1", true, report.Facts{"ip": "192.168.1.1", "neighbour": "failed", "loss_pct": 100.0})
	} else {
		loss := w.lanLoss
		if w.kind == "wifi" {
			loss += 30 * logistic((-81-w.rssi)/1.5)
		}
		l.add("net.gateway", "192.168.1.1", loss > 8, report.Facts{"ip": "192.168.1.1", "neighbour": "reachable", "rtt_ms": 1 + w.Float64(), "loss_pct": math.Round(loss)})
	}
	l.add("net.errors", iface, w.crc > 50, report.Facts{"iface": iface, "rx_errors": math.Round(w.crc),
		"crc_errors": math.Round(w.crc * 0.8), "drops": float64(w.IntN(5)), "window_s": 3600.0})
}

func (l *look) beyond(linked bool) {
	w := l.w
	out := w.links() && w.wan == "ok" || w.links() && w.address == "duplicate"
	dnsOK := out && w.dns == "ok"
	if !linked && w.chance(0.6) {
		l.skip("net.dns", "host-primary", report.NotRun, "masked")
	} else {
		o := pick(w.Rand, "timeout", "timeout", "servfail")
		if dnsOK {
			o = "ok"
		}
		l.add("net.dns", "host-primary", !dnsOK, report.Facts{"name": "pos.acquirer.example", "outcome": o, "ms": 12.0})
		if w.chance(0.5) {
			l.add("net.dns", "broker", !dnsOK, report.Facts{"name": "broker.example", "outcome": o, "ms": 14.0})
		}
	}
	o := pick(w.Rand, "timeout", "unreachable")
	if out {
		o = "ok"
	}
	l.add("net.internet", "broker", !out, report.Facts{"target": "broker", "outcome": o, "ms": 40.0})
	tcp := w.connectOutcome()
	if w.dns == "out" && w.chance(0.7) {
		l.skip("net.tcp", "host-primary", report.NotRun, "masked")
		tcp = "timeout"
	} else {
		ms := w.roundTrip() * (1 + w.pathLoss()/25)
		if tcp == "timeout" {
			ms = 3000
		}
		if tcp == "refused" && w.firewall == "reject" {
			ms = 1
		}
		l.add("net.tcp", "host-primary", tcp != "ok", report.Facts{"target": "host-primary", "outcome": tcp, "ms": math.Round(ms)})
		if w.chance(0.25) {
			l.add("net.tcp", "host-backup", tcp != "ok", report.Facts{"target": "host-backup", "outcome": tcp, "ms": math.Round(ms)})
		}
		if w.firewall != "" && w.chance(0.5) {
			l.add("net.tcp", "host-primary@wwan0", false, report.Facts{"target": "host-primary", "outcome": "ok", "ms": 160.0})
		}
	}
	if tcp == "ok" {
		t := w.tlsOutcome()
		l.add("net.tls", "host-primary", t != "ok", report.Facts{"target": "host-primary", "outcome": t, "ms": 150.0, "days_left": 90.0})
		if w.chance(0.5) {
			other := "ok"
			switch {
			case w.badClock() || w.intercept || w.oldTrust:
				other = t
			}
			l.add("net.tls", "broker", other != "ok", report.Facts{"target": "broker", "outcome": other, "ms": 120.0})
		}
		if !w.mtu || w.chance(0.15) {
			l.add("net.mtu", "host-primary", !w.mtu, report.Facts{"target": "host-primary", "outcome": map[bool]string{true: "ok", false: "blackhole"}[w.mtu], "largest_ok_bytes": 1280.0})
		}
	} else {
		l.skip("net.tls", "host-primary", report.NotRun, "masked")
	}
	if out && w.chance(0.7) {
		for _, t := range []string{"host-primary", "broker"} {
			loss := math.Max(0, math.Round(w.pathLoss()+4*w.NormFloat64()*math.Min(1, w.pathLoss()/10)))
			if w.chance(0.1) {
				loss += 3 // one lost ping
			}
			if t == "host-primary" && (w.host == "dead" || w.firewall == "drop" && w.chance(0.5)) {
				loss = 100
			}
			l.add("net.path", t, loss >= 8 || w.roundTrip() > 800,
				report.Facts{"target": t, "loss_pct": loss, "rtt_ms": math.Round(w.roundTrip() * (0.9 + 0.2*w.Float64())), "jitter_ms": math.Round(w.roundTrip() / 8)})
			if w.chance(0.3) {
				break
			}
		}
	}
}
