package console

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/text"
	"posdx/agent/report"
)

// theWay is what the checks find where all is well, by cable and by a modem beside it.
func theWay() []report.Evidence {
	return []report.Evidence{
		saw("net.link", "eth0", report.OK, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true, "speed_mbps": 100.0}),
		saw("net.address", "eth0", report.OK, report.Facts{"iface": "eth0", "address": "192.168.1.20", "default_routes": 1.0}),
		saw("net.gateway", "gateway", report.OK, report.Facts{"ip": "192.168.1.1", "neighbour": "reachable", "rtt_ms": 0.84, "loss_pct": 0.0}),
		saw("net.dns", "resolver", report.OK, report.Facts{"outcome": "ok", "ms": 12.0}),
		saw("net.internet", "internet", report.OK, report.Facts{"outcome": "ok", "ms": 33.0}),
		saw("net.tcp", "host-primary", report.OK, report.Facts{"target": "host-primary", "outcome": "ok", "ms": 41.25}),
		saw("net.tcp", "host-backup", report.OK, report.Facts{"target": "host-backup", "outcome": "ok", "ms": 52.0}),
		saw("net.path", "host-primary", report.OK, report.Facts{"target": "host-primary", "loss_pct": 0.0, "rtt_ms": 40.0}),
		saw("net.tls", "host-primary", report.OK, report.Facts{"target": "host-primary", "outcome": "ok", "ms": 88.0, "days_left": 61.0}),
		saw("txn.answer", "txn", report.OK, report.Facts{"host_answer_seen": true, "sent": true, "response_ms": 812.0}),
		saw("modem.port", "modem0", report.OK, report.Facts{"outcome": "ok"}),
	}
}

// but is the way with other findings in the place of some; of a check that is named alone nothing is known.
func but(other ...report.Evidence) (list []report.Evidence) {
	taken := map[string]bool{}
	for _, o := range other {
		taken[o.Check+" "+o.Subject] = true
	}
	for _, e := range theWay() {
		if !taken[e.Check+" "+e.Subject] {
			list = append(list, e)
		}
	}
	for _, o := range other {
		if o.Status != "" {
			list = append(list, o)
		}
	}
	return list
}

// long is what was found five minutes ago.
func long(e report.Evidence) report.Evidence {
	e.AgeMS = 5 * 60 * 1000
	return e
}

func unknownOf(check, subject string) report.Evidence {
	return report.Evidence{Check: check, Subject: subject}
}

// Where the way stops is the first bad hop behind the last good one, whatever lies broken before it.
func TestWhereTheWayStops(t *testing.T) {
	dead := func(check, subject, outcome string) report.Evidence {
		return saw(check, subject, report.Bad, report.Facts{"outcome": outcome, "ms": 3000.0})
	}
	unanswered := saw("txn.answer", "txn", report.Bad, report.Facts{"host_answer_seen": false, "sent": false})
	busy := saw("net.tls", "host-primary", report.CannotTell, report.Facts{"reason": "budget"})
	for name, c := range map[string]struct {
		list []report.Evidence
		want string
		row  string // a row that must be there, a pattern
	}{
		"all well":      {theWay(), "all the way", `host \(TCP\) +ok +host-primary  41.25 ms`},
		"nothing known": {nil, "Nothing is known", `interface +not run`},
		"cable out": {but(
			saw("net.link", "eth0", report.Bad, report.Facts{"kind": "ethernet", "carrier": false}),
			unknownOf("net.address", "eth0"),
			dead("net.dns", "resolver", "unreachable"),
			dead("net.gateway", "gateway", "x"),
			dead("net.internet", "internet", "unreachable"),
			dead("net.tcp", "host-primary", "unreachable"),
			dead("net.tcp", "host-backup", "unreachable"),
			unknownOf("net.tls", "host-primary"),
			unknownOf("net.path", "host-primary"),
			unanswered),
			"stops at: interface", `\* interface +bad +eth0  cable, no carrier`},
		"router dead": {but(
			saw("net.gateway", "gateway", report.Bad, report.Facts{"ip": "192.168.1.1", "neighbour": "failed"}),
			dead("net.dns", "resolver", "timeout"),
			dead("net.internet", "internet", "timeout"),
			dead("net.tcp", "host-primary", "timeout"),
			dead("net.tcp", "host-backup", "timeout"),
			unknownOf("net.tls", "host-primary"),
			unknownOf("net.path", "host-primary"),
			unanswered),
			"stops at: shop's router", `\* shop's router +bad +192.168.1.1, no answer`},
		"router is silent, the host answers": {but(
			saw("net.gateway", "gateway", report.Bad, report.Facts{"ip": "192.168.1.1", "neighbour": "stale", "loss_pct": 100.0})),
			"all the way", `this is bad: shop's router`},
		"host refuses": {but(
			dead("net.tcp", "host-primary", "refused"),
			unknownOf("net.tls", "host-primary"),
			unknownOf("net.path", "host-primary"),
			unanswered),
			"stops at: host", `\* host \(TCP\) +bad +host-primary  refused, 3000 ms`},
		"certificate": {but(
			saw("net.tls", "host-primary", report.Bad, report.Facts{"outcome": "expired", "days_left": -3.0}),
			unanswered),
			"stops at: encryption", `\* encryption \(TLS\) +bad +host-primary  expired, 3 days over`},
		"no answer": {but(
			saw("txn.answer", "txn", report.Bad, report.Facts{"host_answer_seen": false, "sent": true})),
			"stops at: the sale's answer", `\* the sale's answer +bad +no answer`},
		"TLS not to tell": {but(
			busy,
			unknownOf("txn.answer", "txn")),
			"as far as: loss on the way", `encryption \(TLS\) +cannot tell +host-primary  beyond the budget`},
		"proxy": {but(
			saw("net.tcp", "host-primary", report.Bad, report.Facts{"target": "host-primary", "outcome": "refused", "proxy_status": 407.0}),
			unknownOf("net.tls", "host-primary"),
			unknownOf("net.path", "host-primary"),
			unanswered),
			"stops at: proxy", `\* proxy +bad +answers 407`},
		"no SIM in a terminal that lives by it": {[]report.Evidence{saw("modem.sim", "modem0", report.Bad, report.Facts{"state": "missing"}),
			saw("net.link", "wwan0", report.Bad, report.Facts{"kind": "cellular", "carrier": false}),
			dead("net.tcp", "host-primary", "unreachable")},
			"stops at: SIM card", `\* SIM card +bad +modem0  missing`},
		"no SIM, the network is heard": {[]report.Evidence{saw("modem.sim", "modem0", report.Bad, report.Facts{"state": "missing"}),
			saw("modem.registration", "modem0", report.Bad, report.Facts{"state": "idle"}), saw("modem.signal", "modem0", report.OK, report.Facts{"rsrp_dbm": -85.0}),
			saw("net.link", "wwan0", report.Bad, report.Facts{"kind": "cellular", "carrier": false}), saw("net.link", "uplink", report.NotRun, report.Facts{"reason": "in-sale"})},
			"stops at: SIM card", `mobile signal +ok +modem0  RSRP -85 dBm`},
		"no SIM, and the router is dead": {but(
			saw("modem.sim", "modem0", report.Bad, report.Facts{"state": "missing"}),
			saw("net.gateway", "gateway", report.Bad, report.Facts{"ip": "192.168.1.1", "neighbour": "failed"}),
			dead("net.dns", "resolver", "timeout"), dead("net.internet", "internet", "timeout"), dead("net.tcp", "host-primary", "timeout"), unknownOf("net.tls", "host-primary"), unknownOf("net.path", "host-primary"), unanswered),
			"stops at: shop's router", `SIM card`},
		"names do not resolve, an address answers": {but(
			dead("net.dns", "host-primary", "refused"), unknownOf("net.dns", "resolver"),
			saw("net.path", "internet", report.OK, report.Facts{"loss_pct": 0.0}),
			unknownOf("net.tcp", "host-primary"), unknownOf("net.tcp", "host-backup"), unknownOf("net.tls", "host-primary"),
			unknownOf("net.path", "host-primary"), unanswered),
			"stops at: names", `\* names \(DNS\) +bad +host-primary  refused`},
		"names do not resolve, nor does an address outside answer": {but(
			dead("net.dns", "resolver", "timeout"), dead("net.internet", "internet", "timeout"),
			unknownOf("net.tcp", "host-primary"), unknownOf("net.tcp", "host-backup"), unknownOf("net.tls", "host-primary"),
			unknownOf("net.path", "host-primary"), unanswered),
			"stops at: the internet", `\* the internet +bad +timeout`},
		"names do not resolve, and the router is silent": {but(
			saw("net.gateway", "gateway", report.Bad, report.Facts{"ip": "192.168.1.1", "loss_pct": 100.0}),
			dead("net.dns", "resolver", "refused"),
			unknownOf("net.tcp", "host-primary"), unknownOf("net.tcp", "host-backup"), unknownOf("net.tls", "host-primary"),
			unknownOf("net.path", "host-primary"), unanswered),
			"stops at: names", `It passes, but this is bad: shop's router\n`},
		"names do not resolve, the host is known by its address": {but(
			dead("net.dns", "resolver", "refused")),
			"all the way", `It passes, but this is bad: names`},
		"the host is gone, elsewhere outside nothing is lost": {but(
			dead("net.tcp", "host-primary", "timeout"),
			saw("net.path", "internet", report.OK, report.Facts{"loss_pct": 0.0}),
			saw("net.path", "host-primary", report.Bad, report.Facts{"loss_pct": 100.0}),
			unknownOf("net.tls", "host-primary"), unanswered),
			"stops at: host", `\* host \(TCP\) +bad`},
		"nothing was sent, for another reason": {but(unanswered), "as far as: encryption", `  the sale's answer +not run +nothing was sent +\d`},
		"put right since the sale": {but(
			long(saw("txn.answer", "txn", report.Bad, report.Facts{"host_answer_seen": false, "sent": false}))),
			"as far as: encryption", `the sale's answer +not run .* 5 min ago`},
		"no SIM, the cable carries": {but(
			saw("modem.sim", "modem0", report.Bad, report.Facts{"state": "missing"}),
			saw("net.link", "wwan0", report.Bad, report.Facts{"kind": "cellular", "carrier": false})),
			"all the way", `this is bad: SIM card`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, lang := range []string{"en", "zh"} {
				m := newModel(lang)
				m.state.Last, m.state.Evidence, m.state.Time = nil, c.list, noon
				m.press(key{r: screenPath})
				for _, l := range m.view() {
					if text.Width(l) > cols || regexp.MustCompile(`[a-z]_[a-z]|%!|=`).MatchString(l) {
						t.Errorf("%q", l)
					}
				}
				page := strings.Join(m.body(), "\n")
				if lang == "en" && (!strings.Contains(page, c.want) || !regexp.MustCompile(c.row).MatchString(page)) {
					t.Errorf("no %q, or no %q in\n%s", c.want, c.row, page)
				}
				if lang == "en" && hasHan(page) || lang == "zh" && strings.Contains(page, " the ") {
					t.Errorf("%s: another language:\n%s", lang, page)
				}
			}
		})
	}
}

// Enter looks at the whole way anew, and what is found takes the place of what was known.
func TestThePathIsLookedAtAnew(t *testing.T) {
	m := newModel("en")
	m.state.Last, m.state.Evidence, m.state.Time = nil, theWay(), noon
	m.press(key{r: screenPath})
	if a := m.press(key{r: keyEnter}); a.kind != actCheck || strings.Join(a.names, " ") != "net. modem." {
		t.Fatalf("Enter led to %+v", a)
	}
	m.gotResults([]report.Evidence{saw("net.tcp", "host-primary", report.Bad, report.Facts{"outcome": "timeout"})})
	m.done()
	if n := len(m.state.Evidence); n != len(theWay()) {
		t.Errorf("%d findings, want %d", n, len(theWay()))
	}
	if page := strings.Join(m.body(), "\n"); !strings.Contains(page, "this is bad: host (TCP)") {
		t.Errorf("what was found is not shown:\n%s", page)
	}
}

// What the host answered is an answer, also where the payment application says nothing of the transaction; and what a
// sale left out is not shown beside what was looked at since.
func TestTheWayOfACodeTheHostWrote(t *testing.T) {
	m := newModel("en")
	d := *m.state.Last
	d.Event.Code, d.Event.Origin, d.Event.Time = "97", report.OriginHost, noon
	quiet := saw("txn.answer", "txn", report.CannotTell, report.Facts{"reason": "unsupported"})
	d.Evidence = []report.Evidence{quiet, saw("net.link", "uplink", report.NotRun, report.Facts{"reason": "in-sale"}),
		saw("net.wifi", "uplink", report.NotRun, report.Facts{"reason": "in-sale"})}
	later := saw("net.wifi", "uplink", report.NotRun, report.Facts{"reason": "in-sale"}) // the daemon may know no more
	m.state.Last, m.state.Time = &d, noon
	m.state.Evidence = append(but(unknownOf("txn.answer", "txn")), later)
	m.press(key{r: screenPath})
	page := strings.Join(m.body(), "\n")
	if !strings.Contains(page, "all the way") || !regexp.MustCompile(`the sale's answer +ok +code 97`).MatchString(page) ||
		strings.Contains(page, "a sale is running") {
		t.Error(page)
	}
	d.Asked = true
	if page := strings.Join(m.body(), "\n"); !strings.Contains(page, "as far as: encryption") {
		t.Errorf("a question is no answer:\n%s", page)
	}
}

// The cable is in again: what hung on it was found before that and stops nowhere, but what is bad since does.
func TestTheWayAfterARepair(t *testing.T) {
	const ago = 16_000 // ms
	at := func(age int64, e report.Evidence) report.Evidence {
		e.AgeMS, e.At = age, noon.Add(-time.Duration(age)*time.Millisecond)
		return e
	}
	dns := saw("net.dns", "host-primary", report.Bad, report.Facts{"outcome": "unreachable"})
	d := *newModel("en").state.Last
	d.Evidence = []report.Evidence{at(ago, saw("net.link", "eth0", report.Bad, report.Facts{"kind": "ethernet", "carrier": false})), at(ago, dns)}
	now := []report.Evidence{at(3000, saw("net.link", "eth0", report.OK, report.Facts{"kind": "ethernet", "carrier": true})),
		at(3000, saw("net.address", "eth0", report.OK, report.Facts{"address": "192.168.1.20"}))}
	for _, c := range []struct {
		age  int64
		want string
	}{{ago, "as far as: address and route"}, {1000, "stops at: names"}} {
		m := newModel("en")
		m.state.Last, m.state.Time, m.state.Evidence = &d, noon, append(slices.Clone(now), at(c.age, dns))
		m.press(key{r: screenPath})
		if page := strings.Join(m.body(), "\n"); !strings.Contains(page, c.want) {
			t.Errorf("no %q in\n%s", c.want, page)
		}
	}
}
