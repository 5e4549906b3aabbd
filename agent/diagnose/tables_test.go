package diagnose

import (
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/codes"
)

// A network generation that is switched off is heard as a weak signal or none: the signal is not to blame for it.
func TestSwitchedOffNetworkComesBeforeItsSignal(t *testing.T) {
	k := knowledge(t)
	for _, dbm := range []float64{-85, -100, -105, -113} {
		for _, operator := range []string{"310410", "50501"} {
			registration := found("modem.registration", report.Bad, report.Facts{"state": "searching", "best_tech": "3g", "operator": operator})
			registration.At = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
			d := Explain(local("ConnectError"), []report.Evidence{registration,
				found("modem.sim", report.OK, report.Facts{"state": "ready"}),
				found("modem.signal", report.Bad, report.Facts{"rssi_dbm": dbm, "tech": "3g"}),
			}, k, Options{Lang: "en"})
			if d.Causes[0].ID != "modem.sunset" || d.Abstained {
				t.Errorf("%s at %v dBm: %s %.2f", operator, dbm, d.Causes[0].ID, d.Causes[0].Probability)
			}
		}
	}
}

// A code that nobody vouches for is one witness, and an inferred writer none: no cause is confirmed by it alone.
func TestAnInferredWriterConfirmsNothing(t *testing.T) {
	k := knowledge(t)
	for _, code := range []string{"51", "54", "55", "41", "75", "14"} {
		d := Explain(report.Event{Code: code, Origin: report.OriginUnknown}, nil, k, Options{})
		if d.Causes[0].Verdict == "confirmed" {
			t.Errorf("%s, writer unknown: %s is confirmed", code, d.Causes[0].ID)
		}
		if d := Explain(sold(code, ""), nil, k, Options{}); code == "51" && d.Causes[0].Verdict != "confirmed" {
			t.Errorf("%s of the host itself: %s is only %s", code, d.Causes[0].ID, d.Causes[0].Verdict)
		}
	}
}

// What the shop mends itself sends nobody to it, as the first cause and beside another one.
func TestNobodyTravelsForWhatTheShopMends(t *testing.T) {
	k := knowledge(t)
	printer := func(outcome string) report.Evidence {
		return found("printer.status", report.Bad, report.Facts{"outcome": outcome})
	}
	battery := found("board.power", report.Bad, report.Facts{"source": "battery", "battery_pct": 3.0})
	for _, c := range []struct {
		code     string
		evidence []report.Evidence
		cause    string
		visit    bool
	}{
		{"newpos:battery", nil, "terminal.power", false}, {"newpos:battery", []report.Evidence{battery}, "terminal.power", false},
		{"newpos:battery", []report.Evidence{battery, found("board.power", report.Bad, report.Facts{"under_voltage": true})}, "terminal.power", true},
		{"newpos-prn:0x08", []report.Evidence{printer("over-heat")}, "printer.fault", false},
		{"newpos-prn:0x02", []report.Evidence{printer("no-paper")}, "printer.fault", false},
		{"newpos-prn:0x08", []report.Evidence{printer("fault")}, "printer.fault", true},
	} {
		d := Explain(local(c.code), c.evidence, k, Options{})
		if first := d.Causes[0]; first.ID != c.cause || first.Act.Visit != c.visit || (first.Act.By == "staff") == c.visit {
			t.Errorf("%s %v: %s by %s, visit %v", c.code, c.evidence, first.ID, first.Act.By, first.Act.Visit)
		}
	}
	for _, outcome := range []string{"no-paper", "cover-open", "over-heat"} {
		for _, a := range Explain(sold("51", "unionpay"), []report.Evidence{printer(outcome), battery}, k, Options{}).Also {
			if a.Act.Visit {
				t.Errorf("beside a declined sale, printer %s: %s sends %s on a visit", outcome, a.ID, a.Act.By)
			}
		}
	}
}

// A root that ended days ago is why the host's certificate is not trusted any more, be its issuer new or not; one that
// ended long ago lies in every store.
func TestARootThatJustEndedIsNoInterception(t *testing.T) {
	k := knowledge(t)
	for _, issuer := range []string{"", "new"} {
		for _, days := range []float64{-3, -30, -400} {
			facts := report.Facts{"target": "host-primary", "outcome": "unknown-ca"}
			if issuer != "" {
				facts["issuer"] = issuer
			}
			d := Explain(local("ConnectError"), []report.Evidence{found("net.tls", report.Bad, facts),
				found("board.certificates", report.Bad, report.Facts{"name": "ca.pem", "purpose": "trust", "days_left": days})}, k, Options{})
			if got := d.Causes[0].ID; (got == "terminal.trust-store") != (days > -31) {
				t.Errorf("issuer %q, root ended %v days ago: %s %.2f", issuer, -days, got, d.Causes[0].Probability)
			}
		}
	}
}

// Where many cards met the code, another card is neither asked for nor advised.
func TestManyCardsAskForNoOther(t *testing.T) {
	k := knowledge(t)
	for _, code := range []string{"05", "14", "41", "51", "54", "55", "57", "61", "62", "75"} {
		for _, n := range []float64{5, 9, 20} {
			history := found("txn.history", report.Bad, report.Facts{"same_code_1h": n, "cards_same_code_1h": n, "issuers_same_code_1h": 5.0,
				"approvals_1h": 0.0})
			d := Explain(sold(code, ""), []report.Evidence{history}, k, Options{Lang: "en"})
			says := d.Money.Say + d.Causes[0].Act.Step
			if d.NextTest != nil {
				says += d.NextTest.How
			}
			if strings.Contains(strings.ToLower(says), "another card") {
				t.Errorf("%s on %v of %v cards: %s", code, n, n, says)
			}
		}
	}
}

// The rule of one place a terminal is a candidate where the surroundings have changed and every card is refused.
func TestMovedTerminalIsACandidate(t *testing.T) {
	k := knowledge(t)
	d := Explain(sold("58", ""), []report.Evidence{
		found("app.config", report.Bad, report.Facts{"changed_since_approval": []string{"public_address", "area"}}),
		found("txn.history", report.Bad, report.Facts{"same_code_1h": 5.0, "cards_same_code_1h": 5.0, "approvals_1h": 0.0}),
	}, k, Options{})
	if p := probability(&d, "terminal.moved"); p < 0.15 {
		t.Errorf("terminal.moved %.2f", p)
	}
}

// A text says nothing of a fact that nobody measured.
func TestTextsLeaveOutWhatIsNotKnown(t *testing.T) {
	for text, want := range map[string]string{
		"weak: RSRP {a}, RSSI {b}, SINR {c}": "weak: RSSI -113", "弱：RSRP {a}，RSSI {b}，SINR {c}": "弱：RSSI -113",
		"weak: RSRP {a}, SINR {c}": "weak", "ends (in {a} days)": "ends", "ends (in {b} days)": "ends (in -113 days)", "{b} of {a}": "-113 of -",
	} {
		if got := fill(text, report.Facts{"b": -113.0}, "en"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Keys that are lost because the backup cell is empty are lost again where nobody replaces it; an entry that came too
// late is not about the amount; no record of an approval is not "never".
func TestStepsNameWhatIsToBeDone(t *testing.T) {
	k := knowledge(t)
	keys := found("app.keys", report.Bad, report.Facts{"state": "missing", "backup_cell_ok": false})
	history := found("txn.history", report.Bad, report.Facts{"same_code_1h": 6.0, "cards_same_code_1h": 6.0, "approvals_1h": 0.0})
	for _, c := range []struct {
		d    report.Diagnosis
		want string
	}{
		{Explain(sold("A0", ""), []report.Evidence{keys}, k, Options{Lang: "en"}), "backup cell"},
		{Explain(sold("A0", ""), []report.Evidence{keys}, k, Options{Lang: "zh"}), "备份电池"},
		{Explain(local("newpos-ped:0x0F"), nil, k, Options{Lang: "en"}), "PIN"},
		{Explain(local("newpos-ped:0x0F"), nil, k, Options{Lang: "zh"}), "密码"},
	} {
		if !strings.Contains(c.d.Causes[0].Act.Step, c.want) {
			t.Errorf("%s: %s", c.d.Event.Code, c.d.Causes[0].Act.Step)
		}
	}
	for _, c := range Explain(sold("97", ""), []report.Evidence{history}, k, Options{Lang: "en"}).Causes {
		for _, r := range append(c.For, c.Against...) {
			if strings.Contains(r.Say, "never") {
				t.Errorf("%s: %s", c.ID, r.Say)
			}
		}
	}
}

// deaf are causes that a check finds by something its good news does not look at, and what.
var deaf = map[string]string{
	"net.address lan.cable":         "an address stays when a cable is pulled",
	"net.tcp terminal.app-network":  "that the terminal itself connects is what shows it",
	"net.tls host.overloaded":       "a quick handshake is of the front end; what is behind it may be busy",
	"board.clock terminal.date-bug": "the clock is right on the day that software stumbles over",
	"app.config modem.dial":         "of the number that is dialled the other settings say nothing",
	"app.config terminal.moved":     "settings move with the terminal",
}

// What a check finds broken it can find well, and then that speaks against whoever it had spoken for: a cause is not
// left because nothing was made of the look that cleared it.
func TestGoodNewsIsHeard(t *testing.T) {
	k := knowledge(t)
	cleared, good := map[string]bool{}, map[string]bool{}
	for i := range k.Inference.Signs {
		s := &k.Inference.Signs[i]
		if k.NewsOf(s.Name) != codes.GoodNews {
			continue
		}
		good[s.Check] = true
		for _, w := range s.Weights {
			cleared[s.Check+" "+w.Cause] = cleared[s.Check+" "+w.Cause] || w.Word < 0
		}
	}
	heard := 0
	for i := range k.Inference.Signs {
		s := &k.Inference.Signs[i]
		for _, w := range s.Weights {
			cell := s.Check + " " + w.Cause
			switch {
			case s.Tells || w.Word < codes.Strong || !good[s.Check]:
			case cleared[cell] == (deaf[cell] != ""):
				t.Errorf("%s: %s speaks for %s, good news against it: %v", s.Check, s.Name, w.Cause, cleared[cell])
			default:
				heard++
			}
		}
	}
	if heard < 40 {
		t.Errorf("only %d cells are read: the test is blind", heard)
	}
}

// What only a host can find is ruled out where nothing was sent, and hard to believe where nothing came back.
func TestUnsentWasNotAnswered(t *testing.T) {
	k := knowledge(t)
	for i := range k.Causes {
		c := &k.Causes[i]
		if len(c.Stages) != 1 || c.Stages[0] != "answer" || slices.Contains(c.Writers, "terminal") {
			continue
		}
		for _, name := range []string{"not.sent", "sent.silent"} {
			against := func(w codes.Weight) bool { return w.Cause == c.ID && w.Word <= -codes.Strong }
			if !slices.ContainsFunc(k.Inference.Sign(name).Weights, against) {
				t.Errorf("%s does not rule out %s", name, c.ID)
			}
		}
	}
}

// What is seen where nothing gets past a break is explained in full by whatever broke the way, and counts alike for all
// of it: without a look at the router the line behind it is not to blame before it, nor named.
func TestWhatWasNotLookedAtStaysAlive(t *testing.T) {
	k := knowledge(t)
	beyond := []report.Evidence{
		found("net.link", report.OK, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true}),
		found("net.address", report.OK, report.Facts{"iface": "eth0", "address": "10.0.0.7", "gateway_in_subnet": true, "default_routes": 1.0}),
		found("net.internet", report.Bad, report.Facts{"target": "broker", "outcome": "timeout", "ms": 3000.0}),
		found("net.dns", report.Bad, report.Facts{"name": "pay.example", "outcome": "timeout"}),
	}
	d := Explain(local("newpos:E5"), beyond, k, Options{})
	router, line := probability(&d, "lan.gateway"), probability(&d, "wan.outage")
	if !d.Abstained || router < line/3 {
		t.Errorf("router %.2f, line %.2f, abstained %v", router, line, d.Abstained)
	}
	dead := found("net.gateway", report.Bad, report.Facts{"ip": "10.0.0.1", "neighbour": "failed", "loss_pct": 100.0})
	well := found("net.gateway", report.OK, report.Facts{"ip": "10.0.0.1", "neighbour": "reachable", "loss_pct": 0.0})
	for cause, look := range map[string]report.Evidence{"lan.gateway": dead, "wan.outage": well} {
		if d := Explain(local("newpos:E5"), append(slices.Clone(beyond), look), k, Options{}); d.Causes[0].ID != cause || d.Abstained {
			t.Errorf("with a look at the router: %s %.2f, want %s", d.Causes[0].ID, d.Causes[0].Probability, cause)
		}
	}
}

// Where one of two things that run short was looked at, the other one is not well because of it.
func TestHalfALookIsNoClearance(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	memory := found("board.memory", report.OK, report.Facts{"available_mb": 200.0, "oom_kills_24h": 0.0, "pressure_avg10": 0.0})
	cpu := found("board.cpu", report.OK, report.Facts{"pressure_avg10": 2.0, "load1": 0.2})
	against := func(list ...report.Evidence) float64 {
		ev := local("TransactionFailed")
		return -infer(&ev, list, k, p).cause("terminal.overloaded").evidence
	}
	both := against(memory, cpu)
	for name, one := range map[string]float64{"memory": against(memory), "processor": against(cpu)} {
		if one > both/2 || one <= 0 {
			t.Errorf("%s alone weighs %.1f dB, both %.1f", name, one, both)
		}
	}
}

// What another place takes does not clear the way to the host.
func TestOtherPlacesHelloIsNotTheHosts(t *testing.T) {
	k := knowledge(t)
	hello := func(target, large string) report.Evidence {
		return report.Evidence{Check: "net.tls", Subject: target, Status: report.OK,
			Facts: report.Facts{"target": target, "outcome": "ok", "large_hello": large}}
	}
	for _, list := range [][]report.Evidence{
		{hello("host-primary", "swallowed"), hello("internet", "ok")}, {hello("internet", "ok"), hello("host-primary", "swallowed")},
	} {
		if d := Explain(local("ConnectError"), list, k, Options{}); d.Causes[0].ID != "wan.tls-large-hello" {
			t.Errorf("swallowed on the way to the host: %s %.2f", d.Causes[0].ID, d.Causes[0].Probability)
		}
	}
	d := Explain(local("ConnectError"), []report.Evidence{hello("host-primary", "ok")}, k, Options{})
	if p := probability(&d, "wan.tls-large-hello"); p > 0.02 {
		t.Errorf("taken by the host: %.2f", p)
	}
}
