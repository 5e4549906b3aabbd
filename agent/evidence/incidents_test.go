package evidence

import (
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/codes"
)

// strengthsOf judges evidence and returns what shows, by name.
func strengthsOf(sale Sale, list ...report.Evidence) map[string]float64 {
	k := codes.Builtin()
	got := map[string]float64{}
	for i := range list {
		if list[i].At.IsZero() {
			list[i].At = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
		}
	}
	for _, f := range Read(list, k).Findings(sale) {
		got[f.Name] = f.Strength
	}
	return got
}

// TestWhatIncidentsShow holds each finding that published incidents asked for against what must not show it: both sides
// of the line.
func TestWhatIncidentsShow(t *testing.T) {
	connect := Sale{Event: &report.Event{Code: "ConnectError", Origin: report.OriginTerminal}, Topic: "connect"}
	wait := 19000.0
	down := Sale{Event: &report.Event{Code: "91", Origin: report.OriginHost}, Topic: "issuer-down", Answered: true, ResponseMS: &wait}
	cellular := sent(NetBearer, "uplink", report.OK, report.Facts{"active": "cellular"})
	reg := func(state, best, operator string) report.Evidence {
		return sent(ModemRegistration, "modem0", report.OK, report.Facts{"state": state, "best_tech": best, "operator": operator})
	}
	context := func(family string) report.Evidence {
		return sent(ModemBearer, "modem0", report.OK, report.Facts{"attached": true, "context_active": true, "family": family})
	}
	tcp := func(outcome string, ms float64) report.Evidence {
		return sent(NetTCP, "host-primary", report.OK, report.Facts{"target": "host-primary", "outcome": outcome, "ms": ms})
	}
	dns := func(outcome string) report.Evidence {
		return sent(NetDNS, "host-primary", report.OK, report.Facts{"name": "h.example", "outcome": outcome})
	}
	dnsTook := func(ms float64) report.Evidence {
		return sent(NetDNS, "host-primary", report.OK, report.Facts{"name": "h.example", "outcome": "ok", "ms": ms})
	}
	path := func(rtt float64) report.Evidence {
		return sent(NetPath, "host-primary", report.OK, report.Facts{"target": "host-primary", "loss_pct": 0.0, "rtt_ms": rtt, "samples": 20.0})
	}
	lossy := func(loss float64) report.Evidence {
		return sent(NetPath, "host-primary", report.OK, report.Facts{"target": "host-primary", "loss_pct": loss, "rtt_ms": 12.0, "samples": 20.0})
	}
	elsewhere := func(loss float64) report.Evidence {
		return sent(NetPath, "internet", report.OK, report.Facts{"target": "internet", "loss_pct": loss, "rtt_ms": 12.0, "samples": 20.0})
	}
	internet := func(outcome string) report.Evidence {
		return sent(NetInternet, "internet", report.OK, report.Facts{"target": "internet", "outcome": outcome, "ms": 3000.0})
	}
	history := func(f report.Facts) report.Evidence { return sent(TxnHistory, "terminal", report.OK, f) }
	clock := func(turn string, age float64) report.Evidence {
		return sent(BoardClock, "system", report.OK, report.Facts{"trusted": true, "turn": turn, "turn_age_s": age})
	}
	changed := func(list ...string) report.Evidence {
		return sent(AppConfig, "payment-app", report.OK, report.Facts{"changed_since_approval": list})
	}
	advisory := func(scope string, share float64) report.Evidence {
		return sent(FleetAdvisory, scope, report.Bad, report.Facts{"scope": scope, "terminals": 400.0, "share_pct": share, "code": "ConnectError", "age_s": 300.0})
	}
	for _, c := range []struct {
		name, finding string
		low, high     float64 // the strength lies between, both included
		sale          Sale
		list          []report.Evidence
	}{
		{"3G ended and the modem can do no more", "reg.sunset", 0.9, 1, connect, []report.Evidence{cellular, reg("searching", "3g", "310410")}},
		{"it can do more", "reg.sunset", 0, 0, connect, []report.Evidence{cellular, reg("searching", "4g", "310410")}},
		{"its 2G network stays", "reg.sunset", 0, 0, connect, []report.Evidence{cellular, reg("searching", "3g", "26202")}},
		{"it is registered all the same", "reg.sunset", 0, 0, connect, []report.Evidence{cellular, reg("home", "3g", "310410")}},
		{"nobody knows whose network it was", "reg.sunset", 0, 0, connect, []report.Evidence{cellular, reg("searching", "3g", "")}},
		{"within the year", "reg.sunset-soon", 0.5, 1, connect, []report.Evidence{cellular, reg("home", "3g", "22802")}},

		{"no way of IPv4 on an IPv6 context", "tcp.no-family", 1, 1, connect, []report.Evidence{cellular, context("v6"), tcp("unreachable", 0)}},
		{"somebody far away says so", "tcp.no-family", 0, 0, connect, []report.Evidence{cellular, context("v6"), tcp("unreachable", 48)}},
		{"the context has both", "tcp.no-family", 0, 0, connect, []report.Evidence{cellular, context("both"), tcp("unreachable", 0)}},
		{"over the cable", "tcp.no-family", 0, 0, connect, []report.Evidence{sent(NetBearer, "uplink", report.OK, report.Facts{"active": "ethernet"}), context("v6"), tcp("unreachable", 0)}},

		{"nothing passes", "mobile.no-traffic", 1, 1, connect, []report.Evidence{cellular, reg("home", "4g", "46000"), context("v4"), dns("timeout"), tcp("timeout", 3000), internet("timeout")}},
		{"the carrier's own server answers", "mobile.no-traffic", 0, 0, connect, []report.Evidence{cellular, reg("home", "4g", "46000"), context("v4"), dns("ok"), tcp("timeout", 3000), internet("timeout")}},
		{"another place answers", "mobile.no-traffic", 0, 0, connect, []report.Evidence{cellular, reg("home", "4g", "46000"), context("v4"), dns("timeout"), tcp("timeout", 3000), internet("ok")}},
		{"no context", "mobile.no-traffic", 0, 0, connect, []report.Evidence{cellular, reg("home", "4g", "46000"), dns("timeout"), tcp("timeout", 3000), internet("timeout")}},

		{"each time the terminal got through", "tcp.app-alone", 1, 1, connect, []report.Evidence{tcp("ok", 40), history(report.Facts{"same_code_1h": 6.0, "reached_after": 5.0, "first_seen_age_s": 60.0, "last_approval_age_s": 90.0})}},
		{"once: it may have been a hitch", "tcp.app-alone", 0, 0, connect, []report.Evidence{tcp("ok", 40), history(report.Facts{"same_code_1h": 6.0, "reached_after": 1.0, "first_seen_age_s": 60.0, "last_approval_age_s": 90.0})}},
		{"a sale got through since", "tcp.app-alone", 0, 0, connect, []report.Evidence{tcp("ok", 40), history(report.Facts{"same_code_1h": 6.0, "reached_after": 5.0, "first_seen_age_s": 60.0, "last_approval_age_s": 20.0})}},
		{"a host's code", "tcp.app-alone", 0, 0, down, []report.Evidence{tcp("ok", 40), history(report.Facts{"same_code_1h": 6.0, "reached_after": 5.0, "first_seen_age_s": 60.0})}},

		{"it began at midnight", "date.turn", 0.9, 1, connect, []report.Evidence{clock("leap-day", 7200), history(report.Facts{"same_code_1h": 5.0, "first_seen_age_s": 6000.0, "last_approval_age_s": 8000.0})}},
		{"it began the day before", "date.turn", 0, 0, connect, []report.Evidence{clock("leap-day", 7200), history(report.Facts{"same_code_1h": 5.0, "first_seen_age_s": 9000.0, "last_approval_age_s": 9500.0})}},
		{"sales went well after midnight", "date.turn", 0, 0, connect, []report.Evidence{clock("leap-day", 7200), history(report.Facts{"same_code_1h": 5.0, "first_seen_age_s": 600.0, "last_approval_age_s": 900.0})}},
		{"an everyday", "date.turn", 0, 0, connect, []report.Evidence{
			sent(BoardClock, "system", report.OK, report.Facts{"trusted": true}), history(report.Facts{"same_code_1h": 5.0, "first_seen_age_s": 6000.0, "last_approval_age_s": 8000.0})}},

		{"all around is other", "place.moved", 1, 1, connect, []report.Evidence{changed("area", "gateway", "public_address")}},
		{"two are", "place.moved", 0.4, 0.6, connect, []report.Evidence{changed("area", "gateway")}},
		{"the router was changed", "place.moved", 0, 0, connect, []report.Evidence{changed("gateway", "app_version")}},

		{"several banks at once: it waited for them", "answer.slow", 0, 0, down, []report.Evidence{
			sent(TxnAnswer, "txn", report.OK, report.Facts{"host_answer_seen": true, "normal_response_ms": 900.0}), history(report.Facts{"issuers_same_code_1h": 5.0})}},
		{"one bank: the host itself may be slow", "answer.slow", 0.9, 1, down, []report.Evidence{
			sent(TxnAnswer, "txn", report.OK, report.Facts{"host_answer_seen": true, "normal_response_ms": 900.0}), history(report.Facts{"issuers_same_code_1h": 1.0})}},

		{"44 of the carrier", "adv.carrier", 0.9, 1, connect, []report.Evidence{advisory("carrier", 44), advisory("acquirer", 9)}},
		{"are 9 of the acquirer", "adv.acquirer", 0, 0.2, connect, []report.Evidence{advisory("carrier", 44), advisory("acquirer", 9)}},
		{"9 alone", "adv.acquirer", 0.3, 1, connect, []report.Evidence{advisory("acquirer", 9)}},

		{"forty of forty-three fail since the update", "hist.ok-since-update", 0, 0, connect, []report.Evidence{history(report.Facts{"approvals_since_update": 3.0, "same_code_since_update": 40.0, "approvals_1h": 1.0})}},
		{"three of forty-three do", "hist.ok-since-update", 0.9, 1, connect, []report.Evidence{history(report.Facts{"approvals_since_update": 40.0, "same_code_since_update": 3.0, "approvals_1h": 1.0})}},
		{"a name takes as long as the line", "dns.slow", 0, 0.1, connect, []report.Evidence{dnsTook(2004), path(2000)}},
		{"a name takes as long on a quick line", "dns.slow", 0.9, 1, connect, []report.Evidence{dnsTook(2004), path(12)}},
		{"a name takes long, and the line nobody knows", "dns.slow", 0.9, 1, connect, []report.Evidence{dnsTook(2004)}},
		{"a time-out on a clean line", "tcp.host-alone", 0.9, 1, connect, []report.Evidence{tcp("timeout", 3000), internet("ok"), elsewhere(0)}},
		{"a time-out on a line that loses two in five", "tcp.host-alone", 0.1, 0.5, connect, []report.Evidence{tcp("timeout", 3000), internet("ok"), elsewhere(40)}},
		{"no connection, and only the host's own way loses", "tcp.host-alone", 0.9, 1, connect, []report.Evidence{tcp("timeout", 3000), internet("ok"), elsewhere(0), lossy(60)}},
		{"a reset from as far as the host", "tcp.reset-far", 0.9, 1, connect, []report.Evidence{tcp("reset", 31), path(30)}},
		{"a reset from near", "tcp.reset-far", 0, 0, connect, []report.Evidence{tcp("reset", 2), path(30)}},
		{"a reset where the host is near", "tcp.reset-far", 0, 0, connect, []report.Evidence{tcp("reset", 2), path(2)}},
		{"a reset, and the host is silent", "tcp.reset-far", 0, 0, connect, []report.Evidence{tcp("reset", 31)}},
		{"approved a minute ago", "hist.worked-lately", 0.9, 1, connect, []report.Evidence{history(report.Facts{"last_approval_age_s": 60.0})}},
		{"and changed since", "hist.worked-lately", 0, 0, connect, []report.Evidence{history(report.Facts{"last_approval_age_s": 60.0}), changed("host_address")}},
		{"approved yesterday", "hist.worked-lately", 0, 0, connect, []report.Evidence{history(report.Facts{"last_approval_age_s": 90000.0})}},
		{"three restarts", "hist.restart-no-help", 0.9, 1, connect, []report.Evidence{history(report.Facts{"restarts_since_approval": 3.0})}},
		{"the one that switched it on", "hist.restart-no-help", 0, 0, connect, []report.Evidence{history(report.Facts{"restarts_since_approval": 1.0})}},
	} {
		if s := strengthsOf(c.sale, c.list...)[c.finding]; s < c.low || s > c.high {
			t.Errorf("%s: %s %.2f, want %.2f to %.2f", c.name, c.finding, s, c.low, c.high)
		}
	}
}
