package diagnose

import (
	"fmt"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// TestALateAnswersCodeOnAHealthyPathAccusesNobody: 98 is a host's word for an issuer that did not answer, and a
// terminal's for a host that did not. With nothing wrong on the way, and no answer seen, it names nobody: least of
// all a host that takes connections as fast as ever. Whether the customer was charged stays open.
func TestALateAnswersCodeOnAHealthyPathAccusesNobody(t *testing.T) {
	no, yes := false, true
	ok := func(check, subject string, f report.Facts) report.Evidence {
		return report.Evidence{Check: check, Subject: subject, Status: report.OK, Facts: f}
	}
	healthy := []report.Evidence{
		ok("net.link", "eth0", report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true, "flaps_1h": 0.0}),
		ok("net.gateway", "gateway", report.Facts{"neighbour": "reachable", "rtt_ms": 0.5, "loss_pct": 0.0}),
		ok("net.dns", "host-primary", report.Facts{"name": "h.example", "outcome": "ok", "ms": 12.0}),
		ok("net.tcp", "host-primary", report.Facts{"target": "host-primary", "outcome": "ok", "ms": 12.0}),
		ok("net.tls", "host-primary", report.Facts{"target": "host-primary", "outcome": "ok", "ms": 30.0, "days_left": 300.0}),
		ok("net.path", "host-primary", report.Facts{"target": "host-primary", "loss_pct": 0.0, "rtt_ms": 12.0, "samples": 20.0}),
		ok("net.internet", "internet", report.Facts{"target": "internet", "outcome": "ok", "ms": 10.0}),
	}
	for _, origin := range []report.Origin{"host", "terminal", "cashier", "unknown"} {
		for _, sent := range []*bool{nil, &no, &yes} {
			txn := &report.Txn{Sent: sent, HostAnswerSeen: &no}
			d := Explain(report.Event{Code: "98", Scheme: "unionpay", Origin: origin, Txn: txn}, healthy, codes.Builtin(),
				Options{Lang: "en", Final: true})
			what := fmt.Sprintf("%s, sent %s", origin, map[*bool]string{nil: "not known", &no: "no", &yes: "yes"}[sent])
			if !d.Abstained || d.Causes[0].ID == "host.overloaded" && d.Causes[0].Probability >= 0.6 { // likely
				t.Errorf("%s: %s %.2f, abstained %v", what, d.Causes[0].ID, d.Causes[0].Probability, d.Abstained)
			}
			if d.Money.Retry != report.RetryQueryFirst {
				t.Errorf("%s: %s", what, d.Money.Retry)
			}
		}
	}
}
