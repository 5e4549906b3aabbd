package diagnose

import (
	"testing"

	"posdx/agent/report"
)

// silent is a sale that was sent and not answered; the connection took so many milliseconds.
func silent(code string, connectMS int64) report.Event {
	yes, no := true, false
	return report.Event{Code: code, Origin: report.OriginTerminal,
		Txn: &report.Txn{MTI: "0200", Entry: "chip", Sent: &yes, HostAnswerSeen: &no, ConnectMS: &connectMS}}
}

// TestWhatMayBeBroughtAboutIsNotProof: a weak signal makes some lines slow and lossy. Over a mobile network whose
// signal nobody looked at, a slow or lossy line is that line's own at least as much.
func TestWhatMayBeBroughtAboutIsNotProof(t *testing.T) {
	k := knowledge(t)
	path := func(target string, loss, rtt float64) report.Evidence {
		e := found("net.path", report.Bad, report.Facts{"target": target, "loss_pct": loss, "rtt_ms": rtt})
		e.Subject = target
		return e
	}
	mobile := found("net.bearer", report.OK, report.Facts{"active": "cellular", "changes_1h": 0.0})
	for cause, list := range map[string][]report.Evidence{
		"wan.slow": {path("host-primary", 0, 3900), path("broker", 0, 3800), mobile},
		"wan.loss": {path("host-primary", 22, 90), path("broker", 19, 80), mobile},
	} {
		d := Explain(silent("newpos:E7", 900), list, k, Options{})
		if weak := probability(&d, "modem.signal-weak"); weak > 0.6 || weak > 2*probability(&d, cause) {
			t.Errorf("%s: %s %.2f, a weak signal %.2f", cause, d.Causes[0].ID, d.Causes[0].Probability, weak)
		}
		// Looked at and weak, it is the signal.
		d = Explain(silent("newpos:E7", 900), append(list, found("modem.signal", report.Bad, report.Facts{"rsrp_dbm": -121.0})), k, Options{})
		if d.Causes[0].ID != "modem.signal-weak" {
			t.Errorf("%s beside a weak signal: %s %.2f", cause, d.Causes[0].ID, d.Causes[0].Probability)
		}
	}
}

// TestQuickConnectionRefutesASlowLine: a connection takes one round trip, that of the sale as well as that of a check.
func TestQuickConnectionRefutesASlowLine(t *testing.T) {
	k := knowledge(t)
	tcp := func(ms float64) report.Evidence {
		return found("net.tcp", report.OK, report.Facts{"outcome": "ok", "ms": ms, "target": "host-primary"})
	}
	slow := func(ev report.Event, list ...report.Evidence) float64 {
		d := Explain(ev, list, k, Options{})
		return probability(&d, "wan.slow")
	}
	none := silent("newpos:E7", 0)
	none.Txn.ConnectMS = nil
	if open, quick := slow(none), slow(none, tcp(60)); open < 0.05 || quick > open/4 {
		t.Errorf("a slow line %.2f, and %.2f where the host is connected to in 60 ms", open, quick)
	}
	if late, quick := slow(silent("newpos:E7", 4000)), slow(silent("newpos:E7", 60)); quick > late/4 {
		t.Errorf("a slow line %.2f where the sale connected in 4 s, %.2f in 60 ms", late, quick)
	}
}

// TestRefusedIsNotAttached: whom a network has attached it does not refuse.
func TestRefusedIsNotAttached(t *testing.T) {
	k := knowledge(t)
	for attached, want := range map[bool]string{true: "modem.apn", false: "modem.denied"} {
		d := Explain(local("ConnectError"), []report.Evidence{
			found("modem.bearer", report.Bad, report.Facts{"attached": attached, "context_active": false, "apn_ok": true}),
			found("net.internet", report.Bad, report.Facts{"outcome": "timeout", "target": "broker"}),
			found("modem.sim", report.OK, report.Facts{"state": "ready"}),
			found("modem.signal", report.OK, report.Facts{"rsrp_dbm": -85.0})}, k, Options{})
		if d.Causes[0].ID != want {
			t.Errorf("attached %v: %s %.2f, not %s", attached, d.Causes[0].ID, d.Causes[0].Probability, want)
		}
	}
	// A network that refuses says so; a modem that hears it well and goes on searching was asked for nobody.
	d := Explain(local("ConnectError"), []report.Evidence{
		found("modem.registration", report.Bad, report.Facts{"state": "searching", "tech": "4g"}),
		found("modem.signal", report.OK, report.Facts{"rsrp_dbm": -85.0})}, k, Options{})
	if sim, denied := probability(&d, "modem.sim"), probability(&d, "modem.denied"); sim < 2*denied {
		t.Errorf("searching with a good signal: the SIM %.2f, refused %.2f", sim, denied)
	}
}

// TestSilentRouterOrWrongAddress: where nobody looked at the terminal's own address, a router that does not answer is
// no proof against the router.
func TestSilentRouterOrWrongAddress(t *testing.T) {
	k := knowledge(t)
	dead := found("net.gateway", report.Bad, report.Facts{"ip": "192.168.1.1", "neighbour": "failed", "loss_pct": 100.0})
	wired := found("net.link", report.OK, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true, "flaps_1h": 0.0})
	well := found("net.address", report.OK, report.Facts{"iface": "eth0", "default_routes": 1.0, "gateway_in_subnet": true, "duplicate": false})
	blind := Explain(local("ConnectError"), []report.Evidence{dead, wired}, k, Options{})
	seen := Explain(local("ConnectError"), []report.Evidence{dead, wired, well}, k, Options{})
	if p := probability(&blind, "lan.address"); p < 0.15 || blind.Causes[0].Probability > 0.9 {
		t.Errorf("address not looked at: %s %.2f, the address %.2f", blind.Causes[0].ID, blind.Causes[0].Probability, p)
	}
	if seen.Causes[0].ID != "lan.gateway" || seen.Causes[0].Probability < 0.95 {
		t.Errorf("address well: %s %.2f", seen.Causes[0].ID, seen.Causes[0].Probability)
	}
}

// TestWhatIsTriedIsThere: a terminal that tries its telephone line, and knows of no other network, dials over it.
func TestWhatIsTriedIsThere(t *testing.T) {
	k := knowledge(t)
	line := func(reason string) report.Evidence {
		return found("modem.line", report.CannotTell, report.Facts{"reason": reason})
	}
	phone := func(list ...report.Evidence) float64 {
		d := Explain(local("ConnectError"), list, k, Options{})
		return probability(&d, "modem.line") + probability(&d, "modem.dial")
	}
	if p := phone(line(report.ReasonTimeout)); p < 0.5 {
		t.Errorf("a line that was tried: line and dialling %.2f", p)
	}
	if p := phone(line(report.ReasonAbsent)); p > 0.3 {
		t.Errorf("no line is fitted: line and dialling %.2f", p)
	}
}

// TestSettingsNobodyLookedAt: that a sale was approved half an hour ago does not show that the settings are the same.
func TestSettingsNobodyLookedAt(t *testing.T) {
	k := knowledge(t)
	history := found("txn.history", report.OK, report.Facts{"approvals_1h": 1.0, "last_approval_age_s": 1700.0, "same_code_1h": 2.0, "first_seen_age_s": 900.0})
	same := found("app.config", report.OK, report.Facts{"changed_since_approval": []string{}})
	has := func(list ...report.Evidence) float64 {
		ev, p := local("ConnectError"), 0.0
		profile, _ := k.Profile("unionpay")
		for _, g := range infer(&ev, list, k, profile).signs {
			if g.Name == "hist.worked-lately" {
				p = g.strength
			}
		}
		return p
	}
	if blind, seen := has(history), has(history, same); seen < 0.5 || blind > 0.2 {
		t.Errorf("the same settings: %.2f when looked at, %.2f when not", seen, blind)
	}
}

// TestOneIssuerBesideOthers: where several cards of one issuer fail while others are approved at the same host, it is
// their issuer or the way to it: nobody is sent, and the host is not called. One card of it, or cards of several, are
// another matter.
func TestOneIssuerBesideOthers(t *testing.T) {
	k := knowledge(t)
	history := func(cards, issuers, approvals float64) report.Evidence {
		return found("txn.history", report.OK, report.Facts{"same_code_1h": cards + 1, "cards_same_code_1h": cards,
			"issuers_same_code_1h": issuers, "approvals_1h": approvals, "declines_1h": cards + 1,
			"last_approval_age_s": 40.0, "first_seen_age_s": 2400.0})
	}
	for _, code := range [][2]string{{"96", "unionpay"}, {"96", "gicc-de"}, {"E1", "acquirer-ext"}, {"09", "unionpay"}, {"A7", "unionpay"}, {"92", "unionpay"}} {
		ev := sold(code[0], code[1])
		d := Explain(ev, []report.Evidence{history(5, 1, 14)}, k, Options{})
		if s := d.Causes[0].Segment; d.Abstained || s != "issuer" && s != "switch" || d.Causes[0].Act.By != "none" {
			t.Errorf("%s %s: %s %.2f, abstained %v", code[1], code[0], d.Causes[0].ID, d.Causes[0].Probability, d.Abstained)
		}
		for name, e := range map[string]report.Evidence{"none approved": history(5, 1, 0), "four issuers": history(5, 4, 14)} {
			d := Explain(ev, []report.Evidence{e}, k, Options{})
			if d.Causes[0].Segment == "issuer" && !d.Abstained && d.Causes[0].Probability > 0.8 && code[0] != "09" {
				t.Errorf("%s %s, %s: %s %.2f", code[1], code[0], name, d.Causes[0].ID, d.Causes[0].Probability)
			}
		}
	}
	for _, code := range []string{"05", "01", "06"} { // the issuer's word, by many of its cards
		d := Explain(sold(code, "unionpay"), []report.Evidence{history(5, 1, 14)}, k, Options{})
		if d.Abstained || d.Causes[0].Segment != "issuer" {
			t.Errorf("%s: %s %.2f, abstained %v", code, d.Causes[0].ID, d.Causes[0].Probability, d.Abstained)
		}
	}
}

// TestForcedEndIsACrash: a program that the kernel ends for want of memory is counted as one that crashed. Where nobody
// looked at the memory a crash is no proof against the program.
func TestForcedEndIsACrash(t *testing.T) {
	k := knowledge(t)
	crash := found("app.process", report.Bad, report.Facts{"running": true, "crashes_24h": 5.0, "restarts_24h": 5.0})
	well := found("board.memory", report.OK, report.Facts{"available_mb": 200.0, "pressure_avg10": 0.0, "oom_kills_24h": 0.0})
	blind := Explain(local("X-17"), []report.Evidence{crash}, k, Options{})
	seen := Explain(local("X-17"), []report.Evidence{crash, well}, k, Options{})
	if p := probability(&blind, "terminal.overloaded"); p < 0.12 || blind.Causes[0].Probability > 0.9 {
		t.Errorf("memory not looked at: %s %.2f, overloaded %.2f", blind.Causes[0].ID, blind.Causes[0].Probability, p)
	}
	if p := probability(&seen, "terminal.overloaded"); p > 0.1 || seen.Causes[0].ID != "terminal.app-crash" {
		t.Errorf("memory well: %s %.2f, overloaded %.2f", seen.Causes[0].ID, seen.Causes[0].Probability, p)
	}
}
