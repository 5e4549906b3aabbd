package diagnose

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// local is a sale that ended in a code of the terminal's own, before anything was sent.
func local(code string) report.Event {
	no := false
	return report.Event{Code: code, Origin: report.OriginTerminal, Txn: &report.Txn{MTI: "0200", Entry: "chip", Sent: &no,
		HostAnswerSeen: &no}}
}

func probability(d *report.Diagnosis, cause string) float64 {
	i := slices.IndexFunc(d.Causes, func(c report.Cause) bool { return c.ID == cause })
	if i < 0 {
		return 0
	}
	return d.Causes[i].Probability
}

// TestCodesAsTheyAreWritten: however a host's code is written, it is the same code.
func TestCodesAsTheyAreWritten(t *testing.T) {
	k := knowledge(t)
	for code, ways := range map[string][]string{
		"96": {"096", " 96", "96 ", "９６", "０９６", "\t96\n"}, "A0": {"a0", "Ａ０", " a0 "}, "51": {"051", "５１"}, "03": {"０３", "003"},
	} {
		want := Explain(sold(code, "unionpay"), nil, k, Options{})
		for _, w := range ways {
			got := Explain(sold(w, "unionpay"), nil, k, Options{})
			if got.Causes[0].ID != want.Causes[0].ID || got.Money != want.Money || !strings.EqualFold(got.Event.Code, code) {
				t.Errorf("%q: %s, %s, %s; %q: %s, %s", w, got.Event.Code, got.Causes[0].ID, got.Money.Retry, code, want.Causes[0].ID, want.Money.Retry)
			}
		}
	}
}

// TestGateKnowsTheWriters: a cause for which nobody writes such a code is no candidate, whatever else speaks for it.
func TestGateKnowsTheWriters(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	for _, c := range []struct {
		ev  report.Event
		out string
	}{
		{sold("96", "unionpay"), "reader.dirty"}, {sold("51", "unionpay"), "terminal.session"}, {local("newpos:E5"), "merchant.not-registered"},
		{local("zvt:0xE2"), "account.pin"},
	} {
		s := infer(&c.ev, nil, k, p)
		if x := s.cause(c.out); !x.out || x.p != 0 {
			t.Errorf("%s can be %s (%.3f), which %v write", c.ev.Code, c.out, x.p, x.Writers)
		}
	}
	// With the writers taken away one of them is a candidate: the stages alone do not tell.
	open := *k
	open.Causes = slices.Clone(k.Causes)
	for i := range open.Causes {
		open.Causes[i].Writers = nil
	}
	if ev := sold("51", "unionpay"); infer(&ev, nil, &open, p).cause("terminal.session").out {
		t.Error("the test is blind: the stages alone rule it out")
	}
}

// TestTwoLooksDisagree: what one look found broken and another, a moment apart, found well comes and goes; it is
// broken.
func TestTwoLooksDisagree(t *testing.T) {
	k := knowledge(t)
	dead := found("net.gateway", report.Bad, report.Facts{"ip": "10.0.0.1", "neighbour": "failed", "loss_pct": 100.0})
	well := found("net.gateway", report.OK, report.Facts{"ip": "10.0.0.1", "neighbour": "reachable", "loss_pct": 0.0})
	rest := []report.Evidence{ // the cable is in: a loose one would explain both looks
		found("net.link", report.OK, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true}),
		found("net.address", report.OK, report.Facts{"iface": "eth0", "address": "10.0.0.7", "gateway_in_subnet": true, "default_routes": 1.0}),
		found("net.internet", report.Bad, report.Facts{"target": "broker", "outcome": "timeout", "ms": 3000.0}),
	}
	both := Explain(local("newpos:E5"), append(slices.Clone(rest), dead, well), k, Options{})
	only := Explain(local("newpos:E5"), append(slices.Clone(rest), well), k, Options{})
	if probability(&both, "lan.gateway") < 0.5 || probability(&only, "lan.gateway") > 0.1 {
		t.Errorf("the router: %.2f when the looks disagree, %.2f when it answers", probability(&both, "lan.gateway"), probability(&only, "lan.gateway"))
	}
}

// TestLooksOfOnePlaceDisagree: the same for a cable and for the internet, where one good look used to hide the bad one.
func TestLooksOfOnePlaceDisagree(t *testing.T) {
	k := knowledge(t)
	link := func(status report.Status, carrier bool) report.Evidence {
		return report.Evidence{Check: "net.link", Subject: "eth0", Status: status, Facts: report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": carrier}}
	}
	noAddress := found("net.address", report.Bad, report.Facts{"iface": "eth0", "default_routes": 0.0})
	d := Explain(local("newpos:E5"), []report.Evidence{link(report.Bad, false), link(report.OK, true), noAddress}, k, Options{})
	if d.Causes[0].ID != "lan.cable" {
		t.Errorf("a cable that is out and in again: %s %.2f", d.Causes[0].ID, d.Causes[0].Probability)
	}
	internet := func(status report.Status, outcome string) report.Evidence {
		return found("net.internet", status, report.Facts{"target": "broker", "outcome": outcome, "ms": 40.0})
	}
	router := found("net.gateway", report.OK, report.Facts{"ip": "10.0.0.1", "neighbour": "reachable", "loss_pct": 0.0})
	names := found("net.dns", report.Bad, report.Facts{"name": "pay.example", "outcome": "timeout"})
	d = Explain(local("newpos:E5"), []report.Evidence{internet(report.Bad, "timeout"), internet(report.OK, "ok"), router, names}, k, Options{})
	if d.Causes[0].ID != "wan.outage" {
		t.Errorf("a line that comes and goes: %s %.2f", d.Causes[0].ID, d.Causes[0].Probability)
	}
}

// TestStaleHealthProvesLittle: that the router answered two hours ago does not put an outage behind it now.
func TestStaleHealthProvesLittle(t *testing.T) {
	k := knowledge(t)
	well := found("net.gateway", report.OK, report.Facts{"ip": "10.0.0.1", "neighbour": "reachable", "loss_pct": 0.0})
	fail := found("net.internet", report.Bad, report.Facts{"target": "broker", "outcome": "timeout", "ms": 3000.0})
	at := func(ageMS int64) float64 {
		well.AgeMS = ageMS
		d := Explain(local("newpos:E5"), []report.Evidence{well, fail}, k, Options{})
		return probability(&d, "lan.gateway")
	}
	if fresh, stale := at(500), at(7200_000); fresh > 0.1 || stale < 0.05 {
		t.Errorf("the router is at fault with %.2f when it answers, %.2f when it answered two hours ago", fresh, stale)
	}
}

// TestNothingComesBackIsNoLoss: a host that sends nothing back, while another place answers, is no line that loses
// packets.
func TestNothingComesBackIsNoLoss(t *testing.T) {
	k := knowledge(t)
	d := Explain(local("newpos:E5"), []report.Evidence{
		found("net.path", report.Bad, report.Facts{"target": "host-primary", "loss_pct": 100.0, "rtt_ms": 40.0}),
		found("net.internet", report.OK, report.Facts{"target": "broker", "outcome": "ok", "ms": 40.0}),
	}, k, Options{})
	if probability(&d, "wan.loss") > 0.1 {
		t.Errorf("loss on the line: %.2f, %s first", probability(&d, "wan.loss"), d.Causes[0].ID)
	}
}

// TestAddressTellsTheBearer: with an address and a way out on the cable the sale does not go over a modem that is down.
func TestAddressTellsTheBearer(t *testing.T) {
	k := knowledge(t)
	list := []report.Evidence{
		{Check: "net.link", Subject: "wwan0", Status: report.Bad, Facts: report.Facts{"iface": "wwan0", "kind": "cellular", "carrier": false}},
		{Check: "net.address", Subject: "eth0", Status: report.OK, Facts: report.Facts{"iface": "eth0", "address": "10.0.0.7", "gateway_in_subnet": true, "default_routes": 1.0}},
		found("net.path", report.Bad, report.Facts{"target": "broker", "loss_pct": 30.0, "rtt_ms": 60.0}),
	}
	d := Explain(local("newpos:E7"), list, k, Options{})
	if probability(&d, "modem.signal-weak") > 0.05 {
		t.Errorf("a weak signal: %.2f, though the sale goes over the cable", probability(&d, "modem.signal-weak"))
	}
}

// TestBrokenBesidesIsNamed: what is certainly out of order, and cannot or need not have caused the event, is named
// beside it.
func TestBrokenBesidesIsNamed(t *testing.T) {
	k := knowledge(t)
	paper := found("printer.status", report.Bad, report.Facts{"outcome": "no-paper"})
	cable := report.Evidence{Check: "net.link", Subject: "eth0", Status: report.Bad, Facts: report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": false}}
	for name, x := range map[string]struct {
		ev   report.Event
		list []report.Evidence
	}{"a host's 51": {sold("51", "unionpay"), []report.Evidence{paper}}, "a cable that is out": {local("newpos:E5"), []report.Evidence{cable, paper}}} {
		d := Explain(x.ev, x.list, k, Options{})
		if !slices.ContainsFunc(d.Also, func(a report.Also) bool { return a.ID == "printer.fault" }) || d.Causes[0].ID == "printer.fault" {
			t.Errorf("%s: first %s, besides %v", name, d.Causes[0].ID, d.Also)
		}
	}
	if d := Explain(sold("51", "unionpay"), []report.Evidence{found("printer.status", report.OK, report.Facts{"outcome": "paper-low"})}, k, Options{}); len(d.Also) > 0 {
		t.Errorf("paper that lasts a while yet is named: %v", d.Also)
	}
}

// TestPartIsSaid: a part that was approved is neither the whole sale nor none.
func TestPartIsSaid(t *testing.T) {
	k := knowledge(t)
	for _, c := range [][2]string{{"10", "unionpay"}, {"002", "iso8583-1993"}, {"87", "mastercard"}} {
		d := Explain(sold(c[0], c[1]), nil, k, Options{Lang: "en"})
		if d.Money.State != report.MoneyApproved || d.Money.Retry != report.RetryNo ||
			d.Money.Say == Explain(sold("00", "unionpay"), nil, k, Options{Lang: "en"}).Money.Say {
			t.Errorf("%s %s: %+v", c[1], c[0], d.Money)
		}
	}
}

// shownByOthers are the findings that may appear when a fact of a check that is well is taken away: the facts that are
// still there show them, and the one that is gone had refuted or graded them.
var shownByOthers = map[string]string{
	"app.session.signin_age_s":           "session.in", // signed in, how long ago is not known
	"modem.bearer.context_active":        "internet.fail internet.fail-beyond tcp.unreachable",
	"modem.bearer.family":                "tcp.unreachable",
	"modem.registration.state":           "internet.fail-beyond",
	"modem.signal.rsrp_dbm":              "reg.searching signal.ok", // rssi or sinr are judged instead
	"net.bearer.active":                  "bearer.steady",           // none of the changes is of it
	"net.gateway.loss_pct":               "gateway.ok",              // it answered
	"net.link.flaps_1h":                  "link.wifi-ok",            // it has a carrier now
	"net.tcp.ms":                         "tls.slow",
	"net.wifi.rssi_dbm":                  "wifi.ok",                                           // it is associated
	"txn.answer.normal_response_ms":      "answer.late",                                       // against the usual receive timer instead
	"txn.history.approvals_1h":           "bearer.ethernet hist.many-cards hist.many-issuers", // several met it
	"txn.history.issuers_same_code_1h":   "answer.slow hist.many-cards",                       // it was slow; whose wait it was is open
	"txn.history.cards_same_code_1h":     "hist.one-issuer",                                   // how many cards of it is open
	"txn.history.cards_failed_1h":        "hist.entry-only hist.mode-stripe-chip",
	"txn.history.first_seen_age_s":       "hist.others-ok hist.many-cards hist.one-issuer",                 // whether meanwhile is open
	"txn.history.last_approval_age_s":    "hist.none-lately session.alone hist.many-cards hist.one-issuer", // none within the hour was counted
	"txn.history.same_code_1h":           "hist.many-issuers hist.one-sale",
	"txn.history.same_code_since_update": "hist.ok-since-update",
}

// TestAbsentFactSaysNothing: that a fact is not known is no finding. Each fact of each check that is well is taken
// away; what was not found before is not found then.
func TestAbsentFactSaysNothing(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	list := slices.Concat(readCases(t, "testdata/cases"), readCases(t, "testdata/independent"),
		readStories(t, "testdata/unseen/open.jsonl"))
	tried := 0
	for _, c := range list {
		found := func(list []report.Evidence) map[string]bool {
			names := map[string]bool{}
			for _, g := range infer(&c.Event, list, k, p).signs {
				names[g.Name] = names[g.Name] || g.strength > 0.05
			}
			return names
		}
		base := found(c.Evidence)
		for i, e := range c.Evidence {
			for name := range e.Facts {
				if name == "level" || name == "reason" || e.Status != report.OK {
					continue // a check that is bad says so by its status
				}
				fewer := slices.Clone(c.Evidence)
				fewer[i].Facts = maps.Clone(e.Facts)
				delete(fewer[i].Facts, name)
				tried++
				for sign, is := range found(fewer) {
					fact := e.Check + "." + name
					if is && !base[sign] && !slices.Contains(strings.Fields(shownByOthers[fact]), sign) {
						t.Errorf("%s: without %s there is %s", c.Name, fact, sign)
					}
				}
			}
		}
	}
	t.Logf("%d facts taken away", tried)
}

// TestNeverApprovedIsCounted: that a terminal never had an approval says whoever has counted, not a missing fact.
func TestNeverApprovedIsCounted(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	ev := sold("97", "unionpay")
	facts := report.Facts{"same_code_1h": 3.0, "approvals_1h": 0.0}
	for _, counted := range []float64{0, 60, 7200} {
		if counted > 0 {
			facts["no_approval_s"] = counted
		}
		s := infer(&ev, []report.Evidence{found("txn.history", report.OK, facts)}, k, p)
		if got, want := s.strengthOf("hist.never-approved"), counted/1800; math.Abs(got-min(1, want)) > 0.01 {
			t.Errorf("counted for %v s: %.2f, want %.2f", counted, got, min(1, want))
		}
	}
}

// TestUncountedCardsAreNotWell: a reader of which nobody counted the cards that failed is not found to read well.
func TestUncountedCardsAreNotWell(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	ev := local("newpos:E12")
	for _, facts := range []report.Facts{{"cards": 20.0}, {"cards": 20.0, "cards_failed": 0.0}} {
		s := infer(&ev, []report.Evidence{found("reader.reads", report.OK, facts)}, k, p)
		if _, counted := facts["cards_failed"]; s.has("reads.good") != counted {
			t.Errorf("%v: reads well: %v", facts, s.has("reads.good"))
		}
	}
}

// TestBorrowedReadingIsCalledThat: a meaning that is read by another table, for want of one of whoever wrote the code,
// is not called one on which sources disagree.
func TestBorrowedReadingIsCalledThat(t *testing.T) {
	k := knowledge(t)
	cashier := report.Event{Code: "96", Origin: report.OriginCashier, Channel: report.ChannelECR}
	for _, c := range []struct {
		ev                 report.Event
		disputed, borrowed bool
	}{
		{sold("96", "unionpay"), false, false}, {cashier, true, true}, {sold("12", "cb2a-fr"), true, true},
		{sold("05", "unionpay"), true, false}, {local("9997"), true, false},
	} {
		for _, lang := range []string{"zh", "en"} {
			d := Explain(c.ev, nil, k, Options{Lang: lang})
			head := headline(&d, lang)
			if d.Code.Disputed != c.disputed || d.Code.Borrowed != c.borrowed {
				t.Errorf("%s %s: disputed %v, borrowed %v: %s", d.Code.Scheme, c.ev.Code, d.Code.Disputed, d.Code.Borrowed, head)
			}
			if borrowed := k.Word("reading", "borrowed").In(lang); strings.Contains(head, borrowed) != c.borrowed {
				t.Errorf("%s %s: %s", d.Code.Scheme, c.ev.Code, head)
			}
		}
	}
}

// manyCards is a code that the cards of several issuers met, and no card since was approved.
func manyCards() report.Evidence {
	return found("txn.history", report.OK, report.Facts{"same_code_1h": 9.0, "cards_same_code_1h": 8.0, "issuers_same_code_1h": 4.0,
		"approvals_1h": 0.0, "first_seen_age_s": 3000.0, "last_approval_age_s": 4000.0})
}

// TestWrongDateExplainsCodesOfTheDate: a terminal whose date is wrong sends that date, and whoever compares it with a
// card's, a key's or the day's own answers by a code that names the card, the key or the message. A clock that is an
// hour off is no other day.
func TestWrongDateExplainsCodesOfTheDate(t *testing.T) {
	k := knowledge(t)
	off := func(s float64) report.Evidence {
		return found("board.clock", report.Bad, report.Facts{"offset_s": s, "trusted": false, "source": "rtc"})
	}
	const hour, year = 3600.0, 365 * 86400.0
	one := found("txn.history", report.OK, report.Facts{"same_code_1h": 2.0, "cards_same_code_1h": 1.0,
		"issuers_same_code_1h": 1.0, "approvals_1h": 9.0, "last_approval_age_s": 200.0})
	for _, c := range [][2]string{{"54", "unionpay"}, {"54", "iso8583-1987"}, {"101", "iso8583-1993"}, {"30", "unionpay"}, {"12", "iso8583-1987"}} {
		main := Explain(sold(c[0], c[1]), []report.Evidence{one}, k, Options{}).Causes[0].ID
		d := Explain(sold(c[0], c[1]), []report.Evidence{manyCards(), off(-3 * year)}, k, Options{})
		if d.Causes[0].ID != "terminal.clock" || d.Causes[0].Probability < 0.6 {
			t.Errorf("%s %s of many cards, years off: %s %.2f, the clock %.2f", c[1], c[0], d.Causes[0].ID, d.Causes[0].Probability, probability(&d, "terminal.clock"))
		}
		for _, list := range [][]report.Evidence{{one, off(hour)}, {one}, {off(hour)}} {
			if d := Explain(sold(c[0], c[1]), list, k, Options{}); d.Causes[0].ID == "terminal.clock" || probability(&d, "terminal.clock") > 0.2 {
				t.Errorf("%s %s: %s first (%s before), the clock, an hour off, %.2f", c[1], c[0], d.Causes[0].ID, main, probability(&d, "terminal.clock"))
			}
		}
	}
	// What nobody finds by a date is not the clock's.
	for _, code := range []string{"51", "55", "91", "96"} {
		if d := Explain(sold(code, "unionpay"), []report.Evidence{manyCards(), off(-3 * year)}, k, Options{}); d.Causes[0].ID == "terminal.clock" {
			t.Errorf("%s: the clock %.2f", code, d.Causes[0].Probability)
		}
	}
}

// TestManyCardsAreNoOnesMistake: what the cards of several issuers meet is no mistake at one sale and no fault of one
// card or account: every cause of that kind is spoken against, and the code's own is not named.
func TestManyCardsAreNoOnesMistake(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	ev := sold("13", "unionpay")
	s := infer(&ev, []report.Evidence{manyCards()}, k, p)
	for i := range s.causes {
		c := &s.causes[i]
		single := c.ID == "operator.entry" || slices.Contains(cardSegments, c.Segment) && c.ID != "issuer.unavailable"
		if single && !c.out && c.evidence > -s.f.Settings.Hint {
			t.Errorf("%s: %+.1f dB from many cards of many issuers", c.ID, c.evidence)
		}
	}
	for _, code := range [][2]string{{"13", "unionpay"}, {"A1", "unionpay"}, {"13", "iso8583-1987"}} {
		d := Explain(sold(code[0], code[1]), []report.Evidence{manyCards()}, k, Options{})
		if d.Causes[0].ID == "operator.entry" || probability(&d, "operator.entry") > 0.4 || probability(&d, "terminal.protocol") < probability(&d, "operator.entry") {
			t.Errorf("%s %s: %s %.2f, operator.entry %.2f, terminal.protocol %.2f", code[1], code[0], d.Causes[0].ID, d.Causes[0].Probability,
				probability(&d, "operator.entry"), probability(&d, "terminal.protocol"))
		}
		if d.Money.Retry == report.RetrySafe {
			t.Errorf("%s %s: safe to try again after eight cards", code[1], code[0])
		}
		one := Explain(sold(code[0], code[1]), nil, k, Options{})
		if one.Causes[0].ID != "operator.entry" || one.Money.Retry != report.RetrySafe {
			t.Errorf("%s %s of one sale: %s, %s", code[1], code[0], one.Causes[0].ID, one.Money.Retry)
		}
	}
}

// TestWhatTheCodeSaysIsACandidate: while nobody is named, the cause that the code itself speaks of is among those that
// remain, whoever wrote it and whatever else was told of the sale.
func TestWhatTheCodeSaysIsACandidate(t *testing.T) {
	k := knowledge(t)
	yes, no := true, false
	tried := 0
	for code, cause := range map[string]string{"2097": "terminal.not-registered", "97": "terminal.not-registered", "2003": "merchant.not-registered",
		"20A7": "switch.malfunction", "2091": "issuer.unavailable"} {
		for _, txn := range []*report.Txn{nil, {}, {Sent: &no, HostAnswerSeen: &no}, {Sent: &yes, HostAnswerSeen: &no},
			{MTI: "0210", Sent: &yes, HostAnswerSeen: &yes}, {HostAnswerSeen: &no}} {
			ev := report.Event{Code: code, Origin: report.OriginCashier, Txn: txn}
			d := Explain(ev, nil, k, Options{})
			if !d.Abstained {
				continue
			}
			tried++
			if !slices.Contains(d.CannotSeparate, cause) {
				t.Errorf("%s, %+v: %v", code, txn, d.CannotSeparate)
			}
		}
	}
	if tried < 15 {
		t.Errorf("only %d documents name nobody: the test is blind", tried)
	}
}

// TestUnknownCodeOpensNoGate: that a code is in no table says nothing of a cause that acts before the answer, where an
// answer was seen.
func TestUnknownCodeOpensNoGate(t *testing.T) {
	k := knowledge(t)
	yes, ms := true, int64(400)
	busy := found("board.cpu", report.Bad, report.Facts{"pressure_avg10": 90.0, "load1": 12.0})
	for _, origin := range []report.Origin{report.OriginHost, report.OriginUnknown, report.OriginCashier} {
		for _, code := range []string{"QX7", "ZZ", "7731"} {
			txn := &report.Txn{MTI: "0210", Sent: &yes, HostAnswerSeen: &yes, ResponseMS: &ms}
			ev := report.Event{Code: code, Origin: origin, Txn: txn}
			d := Explain(ev, []report.Evidence{busy}, k, Options{})
			if !d.Abstained || probability(&d, "terminal.overloaded") > 0.1 {
				t.Errorf("%s by %s: %s %.2f, abstained %v", code, origin, d.Causes[0].ID, d.Causes[0].Probability, d.Abstained)
			}
			if !slices.ContainsFunc(d.Also, func(a report.Also) bool { return a.ID == "terminal.overloaded" }) {
				t.Errorf("%s by %s: the processor is not told of besides: %v", code, origin, d.Also)
			}
		}
	}
}

// TestFallenLinkIsNotAnother: a link that the sales went over and that has fallen may be why another way, which is up,
// does not reach the host; a spare one that was down all the time is not.
func TestFallenLinkIsNotAnother(t *testing.T) {
	k := knowledge(t)
	link := func(iface, kind string, f report.Facts) report.Evidence {
		f["iface"], f["kind"] = iface, kind
		status := report.OK
		if f["carrier"] == false {
			status = report.Bad
		}
		return report.Evidence{Check: "net.link", Subject: iface, Status: status, Facts: f}
	}
	cable := link("eth0", "ethernet", report.Facts{"carrier": true})
	refused := func(ms float64) report.Evidence {
		return report.Evidence{Check: "net.tcp", Subject: "host-primary", Status: report.Bad, Facts: report.Facts{"target": "host-primary", "outcome": "refused", "ms": ms}}
	}
	byPPP := found("txn.history", report.OK, report.Facts{"same_code_1h": 3.0, "approvals_1h": 5.0, "last_approval_age_s": 900.0,
		"approvals_by": map[string]any{"ppp": 5.0}})
	ppp := link("ppp0", "ppp", report.Facts{"carrier": false})
	for name, list := range map[string][]report.Evidence{
		"dialled link":              {ppp},
		"approvals by it":           {ppp, byPPP},
		"cellular link that fell":   {link("wwan0", "cellular", report.Facts{"carrier": false, "flaps_1h": 2.0})},
		"far refusal, dialled link": {ppp},
	} {
		for _, ms := range []float64{2, 40} {
			d := Explain(local("ConnectError"), append(slices.Clone(list), cable, refused(ms)), k, Options{})
			modem := 0.0
			for _, c := range d.Causes {
				if c.Segment == "modem" {
					modem += c.Probability
				}
			}
			if !d.Abstained || modem < 0.15 {
				t.Errorf("%s, refused in %v ms: %s %.2f, abstained %v, modem %.2f", name, ms, d.Causes[0].ID, d.Causes[0].Probability, d.Abstained, modem)
			}
		}
	}
	spare := link("wwan0", "cellular", report.Facts{"carrier": false, "flaps_1h": 0.0})
	d := Explain(local("ConnectError"), []report.Evidence{spare, cable, refused(40)}, k, Options{})
	if d.Causes[0].ID != "host.port-closed" || d.Abstained {
		t.Errorf("beside a spare modem: %s %.2f, abstained %v", d.Causes[0].ID, d.Causes[0].Probability, d.Abstained)
	}
}

// notAged are findings that stay while a look they rest on grows old, and why.
var notAged = map[string]string{
	"bearer.dial": "which way a sale goes is told by the latest look there is", "bearer.cellular": "likewise",
	"bearer.wifi": "likewise", "bearer.ethernet": "likewise", "address.two-routes": "likewise",
	"answer.slow": "the usual time of an answer is that of many days", "answer.normal": "likewise",
	"tcp.both-hosts": "either address has failed of late",
}

// TestFindingIsNoFresherThanItsPremises: what a finding rests on is what takes it away when it is missing. Where that
// is a day old, the finding says as little as a look a day old.
func TestFindingIsNoFresherThanItsPremises(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	list := slices.Concat(readCases(t, "testdata/cases"), readCases(t, "testdata/independent"),
		readStories(t, "testdata/unseen/open.jsonl"))
	tried, told := 0, map[string]bool{}
	for _, c := range list {
		shown := func(list []report.Evidence) map[string]float64 {
			m := map[string]float64{}
			for _, g := range infer(&c.Event, list, k, p).signs {
				m[g.Name] = max(m[g.Name], g.strength)
			}
			return m
		}
		base := shown(c.Evidence)
		for i := range c.Evidence {
			without := shown(slices.Delete(slices.Clone(c.Evidence), i, i+1))
			aged := slices.Clone(c.Evidence)
			aged[i].AgeMS += 90 * 86_400_000
			old := shown(aged)
			for name, strength := range base {
				if strength < 0.5 || without[name] >= 0.05 {
					continue
				}
				tried++
				key := name + " on " + c.Evidence[i].Check
				if old[name] > strength/2 && notAged[name] == "" && !told[key] {
					told[key] = true
					t.Errorf("%s: %s is %.2f, and %.2f where %s is months old", c.Name, name, strength, old[name], c.Evidence[i].Check)
				}
			}
		}
	}
	t.Logf("%d premises aged", tried)
}

// TestNeighboursAloneDoNotBlameTheShop: two terminals of a shop that meet the same code do not know whether all others
// meet it too. A host that is down does not become a firewall of the shop by their word.
func TestNeighboursAloneDoNotBlameTheShop(t *testing.T) {
	k := knowledge(t)
	list := []report.Evidence{
		found("net.tcp", report.Bad, report.Facts{"target": "host-primary", "outcome": "timeout", "ms": 3000.0}),
		found("net.internet", report.OK, report.Facts{"target": "broker", "outcome": "ok", "ms": 40.0}),
	}
	word := found("fleet.advisory", report.Bad, report.Facts{"scope": "site", "code": "newpos:E5", "terminals": 3.0, "age_s": 30.0})
	alone := Explain(local("newpos:E5"), list, k, Options{})
	told := Explain(local("newpos:E5"), append(slices.Clone(list), word), k, Options{})
	for _, shared := range []string{"lan.firewall", "lan.gateway", "wan.outage"} {
		if a, b := probability(&alone, shared), probability(&told, shared); b > 1.5*a+0.02 {
			t.Errorf("%s: %.3f alone, %.3f by the neighbours' word", shared, a, b)
		}
	}
	if a, b := probability(&alone, "host.unreachable"), probability(&told, "host.unreachable"); b < a-0.02 {
		t.Errorf("the host: %.3f alone, %.3f by the neighbours' word", a, b)
	}
}

// TestASoleAddressIsSeen: that no other device uses the address and one route leads out is said where just that was
// seen.
func TestASoleAddressIsSeen(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	for _, c := range []struct {
		routes float64
		more   report.Facts
		want   bool
	}{
		{1, report.Facts{"duplicate": false}, true}, {1, nil, false}, {0, report.Facts{"duplicate": false}, false},
		{2, report.Facts{"duplicate": false}, false}, {1, report.Facts{"duplicate": true}, false},
		{1, report.Facts{"duplicate": false, "conflict": true}, false},
	} {
		facts := report.Facts{"iface": "eth0", "address": "10.0.0.7", "gateway_in_subnet": true, "default_routes": c.routes}
		maps.Copy(facts, c.more)
		ev := local("newpos:E5")
		s := infer(&ev, []report.Evidence{found("net.address", report.OK, facts)}, k, p)
		if got := s.strengthOf("address.sole") > 0; got != c.want {
			t.Errorf("%v: said to be sole: %v", facts, got)
		}
	}
}

// TestACodeOfCardsNamesNothingInASettlement: a code whose main meaning is a card's or its issuer's means something else
// where the message holds no card; what else its topic names, such as the keys of a PIN, is not left over by that.
func TestACodeOfCardsNamesNothingInASettlement(t *testing.T) {
	k := knowledge(t)
	yes := true
	for _, mti := range []string{"0510", "0810"} {
		ev := sold("55", "unionpay")
		ev.Txn = &report.Txn{MTI: mti, Sent: &yes, HostAnswerSeen: &yes}
		d := Explain(ev, nil, k, Options{})
		if p := probability(&d, "terminal.keys") + probability(&d, "pinpad.fault"); p > 0.3 {
			t.Errorf("55 in %s: keys or PIN pad with %.2f, %s first", mti, p, d.Causes[0].ID)
		}
		ev.Code = "97" // of the terminal's registration: that stays what it means
		if d := Explain(ev, nil, k, Options{}); !strings.HasPrefix(d.Causes[0].ID, "terminal.") {
			t.Errorf("97 in %s: %s", mti, d.Causes[0].ID)
		}
	}
}

// TestADeeperFindingThatHardlyShowsChangesHardlyAnything: two findings of a family are not two witnesses, and a deeper
// one that brings both about makes them less news by as much as it shows, not by being there.
func TestADeeperFindingThatHardlyShowsChangesHardlyAnything(t *testing.T) {
	k := knowledge(t)
	p, _ := k.Profile("unionpay")
	ev := local("ConnectError")
	base := infer(&ev, nil, k, p)
	heard := func(signs ...sign) []scored {
		s := *base
		s.signs, s.causes = signs, slices.Clone(base.causes)
		for i := range s.causes {
			s.causes[i].evidence, s.causes[i].witnesses = 0, 0
		}
		s.listen()
		return s.causes
	}
	tried, all := 0, k.Inference.Signs
	for d := range all {
		strong := func(w codes.Weight) bool { return !all[d].Tells && w.Word >= codes.Strong }
		brings := func(s *codes.Sign) bool {
			return slices.ContainsFunc(all[d].Weights, func(w codes.Weight) bool {
				return strong(w) && slices.Contains(s.Brought, w.Cause)
			})
		}
		for i := range all {
			for j := range all[:i] {
				a, b := &all[i], &all[j]
				if a.Family != b.Family || i == d || j == d || !brings(a) || !brings(b) {
					continue
				}
				tried++
				without := heard(sign{Sign: a, strength: 1}, sign{Sign: b, strength: 1})
				with := heard(sign{Sign: a, strength: 1}, sign{Sign: b, strength: 1},
					sign{Sign: &all[d], strength: 1e-6})
				for c := range with {
					x, y := without[c], with[c]
					if math.Abs(x.evidence-y.evidence) > 0.01 || math.Abs(x.witnesses-y.witnesses) > 0.01 {
						t.Errorf("%s, %s and a trace of %s: %s has %.1f dB of %.1f witnesses, without the trace %.1f of %.1f",
							a.Name, b.Name, all[d].Name, x.ID, y.evidence, y.witnesses, x.evidence, x.witnesses)
					}
				}
			}
		}
	}
	if tried == 0 {
		t.Error("no two findings of a family are brought about by one: the test is blind")
	}
}

// TestBusyProcessorAloneNamesNobody: ten seconds of a busy processor pass on every terminal. Where nothing is known of
// the sale and the code says nothing it may be what happened and is no reason to send anybody.
func TestBusyProcessorAloneNamesNobody(t *testing.T) {
	k := knowledge(t)
	cool := found("board.thermal", report.OK, report.Facts{"celsius": 45.0, "throttled": false})
	for _, origin := range []report.Origin{report.OriginTerminal, report.OriginCashier, report.OriginUnknown} {
		for _, code := range []string{"QX7", "ERR_221", "TransactionFailed"} {
			for _, pressure := range []float64{60, 75, 95} {
				busy := found("board.cpu", report.Bad, report.Facts{"pressure_avg10": pressure, "load1": 12.0})
				d := Explain(report.Event{Code: code, Origin: origin}, []report.Evidence{busy, cool}, k, Options{})
				said := probability(&d, "terminal.overloaded") > 0.1 ||
					slices.ContainsFunc(d.Also, func(a report.Also) bool { return a.ID == "terminal.overloaded" })
				if !d.Abstained || !said {
					t.Errorf("%s by %s at %.0f %%: abstained %v, the processor is told of %v", code, origin, pressure, d.Abstained, said)
				}
			}
		}
	}
}

// TestCrashesNeedNotBeToldFromWantOfMemory: where programs die and nobody looked at the memory, whoever is sent, and
// what is done first, is right for both.
func TestCrashesNeedNotBeToldFromWantOfMemory(t *testing.T) {
	k := knowledge(t)
	crash, _ := k.Cause("terminal.app-crash")
	starved, _ := k.Cause("terminal.overloaded")
	if actOf(&crash) != actOf(&starved) {
		t.Errorf("%+v, %+v", actOf(&crash), actOf(&starved))
	}
	d := Explain(local("TransactionFailed"), []report.Evidence{found("app.process", report.Bad,
		report.Facts{"running": true, "crashes_24h": 5.0, "restarts_24h": 5.0})}, k, Options{})
	if d.Abstained || d.Causes[0].Act.By != "technician" {
		t.Errorf("abstained %v, %s", d.Abstained, d.Causes[0].Act.By)
	}
}

// TestFlappingCableExplainsNoDeadRouter: a cable that is in at this moment does not make the router silent, however
// often it was out before; flaps and silence are both the router's.
func TestFlappingCableExplainsNoDeadRouter(t *testing.T) {
	k := knowledge(t)
	look := func(carrier bool, neighbour string, loss float64) string {
		router := report.OK
		if neighbour == "failed" {
			router = report.Bad
		}
		d := Explain(local("ConnectError"), []report.Evidence{
			found("net.link", report.Bad, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": carrier, "flaps_1h": 7.0}),
			found("net.address", report.OK, report.Facts{"iface": "eth0", "address": "10.1.1.5", "gateway_in_subnet": true, "default_routes": 1.0}),
			found("net.gateway", router, report.Facts{"ip": "10.1.1.1", "neighbour": neighbour, "loss_pct": loss}),
		}, k, Options{})
		return d.Causes[0].ID
	}
	if got := look(true, "failed", 100); got != "lan.gateway" {
		t.Errorf("in, and the router silent: %s", got)
	}
	if got := look(false, "failed", 100); got != "lan.cable" {
		t.Errorf("out: %s", got)
	}
	if got := look(true, "reachable", 0); got != "lan.cable" {
		t.Errorf("in, and the router answers: %s", got)
	}
}

// TestManyIssuersAccuseNoSwitch: that the cards of all banks met a code clears the banks; it does not tell switch,
// host, merchant and terminal apart, and a code that names the merchant still does.
func TestManyIssuersAccuseNoSwitch(t *testing.T) {
	k := knowledge(t)
	spread := found("txn.history", report.OK, report.Facts{"same_code_1h": 9.0, "cards_same_code_1h": 9.0, "issuers_same_code_1h": 6.0,
		"approvals_1h": 0.0, "last_approval_age_s": 36000.0})
	others := found("fleet.advisory", report.Bad, report.Facts{"scope": "acquirer", "share_pct": 71.0, "terminals": 640.0, "age_s": 240.0})
	for _, code := range []string{"03", "97"} {
		for _, list := range [][]report.Evidence{{spread}, {spread, others}} {
			d := Explain(sold(code, "unionpay"), list, k, Options{})
			if d.Abstained || d.Causes[0].Act.By != "acquirer" {
				t.Errorf("%s, %d pieces: abstained %v, %s by %s", code, len(list), d.Abstained, d.Causes[0].ID, d.Causes[0].Act.By)
			}
		}
	}
}

// TestTimedAnswerOfNothingSent: a host's code whose answer was timed, of a request that is said not to have been sent:
// one of the two is wrong. The code's own cause stays in sight, and nobody is told to pay again.
func TestTimedAnswerOfNothingSent(t *testing.T) {
	k := knowledge(t)
	no, ms := false, int64(1200)
	for code, cause := range map[string]string{"05": "issuer.declined", "51": "account.funds", "97": "terminal.not-registered"} {
		ev := report.Event{Code: code, Scheme: "unionpay", Origin: report.OriginHost,
			Txn: &report.Txn{MTI: "0210", Sent: &no, HostAnswerSeen: &no, ResponseMS: &ms}}
		d := Explain(ev, nil, k, Options{})
		if !slices.ContainsFunc(d.Causes[:min(3, len(d.Causes))], func(c report.Cause) bool { return c.ID == cause }) ||
			d.Money.Retry != report.RetryQueryFirst {
			t.Errorf("%s: %s %.2f, %s; %s %.2f", code, d.Causes[0].ID, d.Causes[0].Probability, d.Money.Retry, cause, probability(&d, cause))
		}
	}
}

// TestAnotherIssuerAtTheHostAlone: the host's certificate was signed by somebody new, other places' are as ever. The
// host changed its authority, or somebody stands between; neither is told from here, so nobody is sent, and a test is
// offered. What other terminals see decides it.
func TestAnotherIssuerAtTheHostAlone(t *testing.T) {
	k := knowledge(t)
	look := []report.Evidence{
		found("net.tls", report.Bad, report.Facts{"target": "host-primary", "outcome": "unknown-ca", "issuer": "new"}),
		found("board.clock", report.OK, report.Facts{"offset_s": 0.1, "trusted": true}),
		{Check: "net.tls", Subject: "fleet-broker", Status: report.OK, Facts: report.Facts{"target": "broker", "outcome": "ok", "ms": 90.0}},
	}
	d := Explain(local("ConnectError"), look, k, Options{})
	if !d.Abstained || d.NextTest == nil || !slices.Contains(d.CannotSeparate, "host.tls") ||
		!slices.Contains(d.CannotSeparate, "wan.tls") {
		t.Errorf("abstained %v, remaining %v, next test %v", d.Abstained, d.CannotSeparate, d.NextTest)
	}
	others := found("fleet.advisory", report.Bad, report.Facts{"scope": "acquirer", "terminals": 80.0, "share_pct": 60.0, "age_s": 60.0})
	if d := Explain(local("ConnectError"), append(look, others), k, Options{}); d.Abstained || d.Causes[0].ID != "host.tls" {
		t.Errorf("others see it: abstained %v, %s", d.Abstained, d.Causes[0].ID)
	}
}

// searching is a terminal on a mobile network that does not admit it, with the signal it measures.
func searching(status report.Status, signal report.Facts) []report.Evidence {
	return []report.Evidence{
		found("modem.port", report.OK, report.Facts{"outcome": "ok"}),
		found("modem.sim", report.OK, report.Facts{"state": "ready"}),
		found("modem.registration", report.Bad, report.Facts{"state": "searching"}),
		found("modem.signal", status, signal),
		found("modem.bearer", report.Bad, report.Facts{"attached": false, "context_active": false}),
		found("net.link", report.Bad, report.Facts{"iface": "wwan0", "kind": "cellular", "carrier": false}),
		found("net.internet", report.Bad, report.Facts{"outcome": "timeout"}),
	}
}

// TestWhatMeasuresASignalIsOn: what one fault rules out no second fault brings back. A radio that is off measures no
// signal and does not search, whatever else is broken beside it.
func TestWhatMeasuresASignalIsOn(t *testing.T) {
	k := knowledge(t)
	heard := searching(report.OK, report.Facts{"rsrp_dbm": -90.0, "rssi_dbm": -75.0, "sinr_db": 12.0})
	for _, more := range [][]report.Evidence{
		nil,
		{found("net.tcp", report.Bad, report.Facts{"target": "host-primary", "outcome": "unreachable"})},
		{found("net.path", report.Bad, report.Facts{"target": "host-primary", "loss_pct": 100.0})},
	} {
		ev := local("CommunicationError")
		connected := int64(4900)
		ev.Txn.ConnectMS = &connected
		d := Explain(ev, append(slices.Clone(heard), more...), k, Options{})
		if p := probability(&d, "modem.radio-off") + probability(&d, "modem.absent"); p > 0.002 {
			t.Errorf("%v: a radio that measures a signal is off or gone with %.4f", more, p)
		}
	}
}

// TestAWholeCarrierIsNoWeakSignalHere: where nothing is heard and most terminals of the carrier see the same, nobody is
// sent to look for a better place.
func TestAWholeCarrierIsNoWeakSignalHere(t *testing.T) {
	k := knowledge(t)
	silent := searching(report.Bad, report.Facts{"rssi_dbm": -113.0})
	if d := Explain(local("CommunicationError"), silent, k, Options{}); d.Causes[0].ID != "modem.signal-weak" {
		t.Errorf("alone: %s", d.Causes[0].ID)
	}
	all := found("fleet.advisory", report.Bad, report.Facts{"scope": "carrier", "share_pct": 80.0, "terminals": 412.0,
		"code": "CommunicationError", "age_s": 95.0})
	all.Subject = "carrier"
	d := Explain(local("CommunicationError"), append(silent, all), k, Options{})
	if d.Causes[0].ID != "wan.mobile-down" || d.Causes[0].Act.By != "carrier" {
		t.Errorf("with the whole carrier: %s, %s acts", d.Causes[0].ID, d.Causes[0].Act.By)
	}
}
