package diagnose

import "strings"

// modem reads the mobile modem or the telephone line, if the sale goes over it.
func (r *reader) modem() {
	if r.other("cellular") && r.other("ppp") {
		return
	}
	if it := r.v.first("modem.port"); it != nil {
		switch it.str("outcome") {
		case "gone":
			r.add("modem.gone", it, 1)
		case "silent":
			r.add("modem.silent", it, 1)
		case "garbled":
			r.add("modem.garbled", it, 1)
		case "ok":
			r.add("modem.ok", it, 1)
		}
	}
	if it := r.v.first("modem.sim"); it != nil {
		r.add(pick(it.str("state") == "ready", "sim.ok", "sim.bad"), it, choose(it.bad() || it.str("state") == "ready", 1, 0))
	}
	r.signal()
	if it := r.v.first("modem.registration"); it != nil {
		switch it.str("state") {
		case "denied":
			r.add("reg.denied", it, 1)
		case "searching":
			r.add(pick(r.strengthOf("signal.ok") > 0.3, "reg.searching-good", "reg.searching"), it, 1)
		case "idle", "unknown":
			if it.bad() {
				r.add("reg.idle", it, 1)
			}
		case "home", "roaming":
			r.add("reg.ok", it, 1)
		}
	}
	if it := r.v.first("modem.bearer"); it != nil {
		cause := strings.TrimPrefix(strings.TrimPrefix(causeText(it), "#"), "cause ")
		switch {
		case cause == "8" || strings.Contains(strings.ToLower(cause), "barr"):
			r.add("apn.barred", it, 1)
		case it.isNot("apn_ok") || cause == "27" || cause == "29" || cause == "32" || cause == "33" || cause == "30":
			r.add("apn.bad", it, 1)
		case it.isNot("context_active") && !it.isNot("attached"):
			r.add("apn.none", it, 1)
		case it.isNot("attached") && r.strengthOf("reg.ok") > 0:
			r.add("apn.none", it, 0.6)
		case it.is("context_active"):
			r.add("apn.ok", it, 1)
		}
	}
	if it := r.v.first("modem.line"); it != nil {
		switch it.str("outcome") {
		case "no-dialtone":
			r.add("phone.no-tone", it, 1)
		case "busy", "no-carrier", "no-answer":
			r.add("phone.fails", it, 1)
		case "ok":
			r.add("phone.ok", it, 1)
		}
	}
}

// causeText returns the 3GPP cause, which is a number or a text.
func causeText(it *item) string {
	if v, ok := it.num("cause"); ok {
		return factText(v)
	}
	return it.str("cause")
}

// Signal limits: at these a modem of any class loses blocks (3GPP 36.133 reports RSRP down to -140 dBm).
const (
	rsrpBad, rsrpPoor = -118, -112
	rssiBad, rssiPoor = -107, -101
	sinrBad, sinrPoor = -4, -1
)

func (r *reader) signal() {
	it := r.v.first("modem.signal")
	if it == nil {
		return
	}
	switch it.level() {
	case "bad":
		r.add("signal.bad", it, 1)
		return
	case "poor":
		r.add("signal.poor", it, 1)
		return
	case "good", "fair":
		r.add("signal.ok", it, 1)
		return
	}
	_, rsrp := it.num("rsrp_dbm")
	_, rssi := it.num("rssi_dbm")
	switch {
	case it.atMost("rsrp_dbm", rsrpBad) || it.atMost("sinr_db", sinrBad) || !rsrp && it.atMost("rssi_dbm", rssiBad) || it.atLeast("ber_pct", 5):
		r.add("signal.bad", it, 1)
	case it.atMost("rsrp_dbm", rsrpPoor) || it.atMost("sinr_db", sinrPoor) || it.atMost("rssi_dbm", rssiPoor) || it.bad():
		r.add("signal.poor", it, 1)
	case rsrp || rssi:
		r.add("signal.ok", it, 1)
	}
}
