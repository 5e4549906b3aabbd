package diagnose

import (
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/codes"
)

func bad(check, subject string, f report.Facts) report.Evidence {
	return report.Evidence{Check: check, Subject: subject, Status: report.Bad, Facts: f}
}

func unsent(code string) report.Event {
	no := false
	return report.Event{Code: code, Origin: report.OriginTerminal, Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		Txn: &report.Txn{Sent: &no, HostAnswerSeen: &no}}
}

// TestNextTestGoesWithTheMoney: no payment is asked for as a test while the first may stand or another is forbidden.
func TestNextTestGoesWithTheMoney(t *testing.T) {
	k := codes.Builtin()
	offered := 0
	for _, c := range append(readCases(t, "testdata/cases"), readCases(t, "testdata/independent")...) {
		d := Explain(c.Event, c.Evidence, k, Options{})
		for _, s := range Plan(c.Event, c.Evidence, k, Options{}) {
			pays := s.Check == "ask.other-card" || s.Check == "ask.sign-in"
			if pays && (d.Money.Retry == report.RetryQueryFirst || d.Money.Retry == report.RetryNo) {
				t.Errorf("%s: %s, and %s is asked for", c.Name, d.Money.Retry, s.Check)
			}
			if pays {
				offered++
			}
		}
	}
	if offered == 0 {
		t.Error("no case offers another payment: the test is blind")
	}
}

// TestWordsGoWithFigures: of two faults that share the figure neither is called confirmed or likely beside a low one.
func TestWordsGoWithFigures(t *testing.T) {
	k := codes.Builtin()
	faults := []report.Evidence{
		bad("net.link", "eth0", report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": false}),
		bad("board.storage", "/data", report.Facts{"path": "/data", "free_pct": 0.0, "inodes_free_pct": 60.0}),
		bad("modem.sim", "modem0", report.Facts{"state": "missing"}),
		bad("reader.port", "reader0", report.Facts{"outcome": "gone"}),
		bad("board.power", "supply", report.Facts{"dips_1h": 12.0}),
	}
	shared := 0
	for i := range faults {
		for j := range i {
			for _, code := range []string{"ConnectError", "9997", "newpos:E5"} {
				d := Explain(unsent(code), []report.Evidence{faults[i], faults[j]}, k, Options{Lang: "en"})
				for _, c := range d.Causes {
					if c.Verdict == "confirmed" && c.Probability < 0.7 || c.Verdict == "likely" && c.Probability < 0.4 {
						t.Errorf("%s and %s, %s: %s %s %.2f", faults[i].Check, faults[j].Check, code, c.ID, c.Verdict, c.Probability)
					}
				}
				if d.Causes[0].Probability < 0.7 && d.Causes[1].Probability > 0.3 {
					shared++
				}
			}
		}
	}
	if shared == 0 {
		t.Error("no two faults share the figure: the test is blind")
	}
}

// TestAlsoIsNotTheFirstCausesProof: what the first cause rests on did cause this event.
func TestAlsoIsNotTheFirstCausesProof(t *testing.T) {
	k := codes.Builtin()
	yes := true
	for _, state := range []string{"mismatch", "missing"} {
		for _, code := range []string{"A0", "99", "30"} {
			ev := report.Event{Code: code, Scheme: "unionpay", Origin: report.OriginHost,
				Txn: &report.Txn{MTI: "0210", Sent: &yes, HostAnswerSeen: &yes}}
			d := Explain(ev, []report.Evidence{bad("app.keys", "payment-app", report.Facts{"state": state})}, k, Options{Lang: "en"})
			for _, a := range d.Also {
				for _, r := range d.Causes[0].For {
					if a.Finding.Say == r.Say {
						t.Errorf("%s, keys %s: %q speaks for %s and is said not to have caused this", code, state, r.Say, d.Causes[0].ID)
					}
				}
			}
		}
	}
}

// TestSupplyBeforeWhatItTakesDown: brown-outs explain a modem that is gone.
func TestSupplyBeforeWhatItTakesDown(t *testing.T) {
	d := Explain(unsent("newpos:E5"), []report.Evidence{
		bad("board.power", "supply", report.Facts{"dips_1h": 12.0}), bad("board.reboots", "system", report.Facts{"count_24h": 14.0, "last_reason": "BrownOutReset"}),
		bad("modem.port", "modem0", report.Facts{"outcome": "gone"}),
	}, codes.Builtin(), Options{})
	if d.Causes[0].ID != "terminal.power" {
		t.Errorf("%s %.2f before terminal.power", d.Causes[0].ID, d.Causes[0].Probability)
	}
}

// TestOpenClockWeakensAnExpiredCertificate: with a clock that was looked at and could not be told the host is not
// confirmed.
func TestOpenClockWeakensAnExpiredCertificate(t *testing.T) {
	k := codes.Builtin()
	expired := bad("net.tls", "host-primary", report.Facts{"target": "host-primary", "outcome": "expired"})
	open := report.Evidence{Check: "board.clock", Subject: "system", Status: report.CannotTell,
		Facts: report.Facts{"reason": report.ReasonUnsupported, "trusted": false}}
	sure := Explain(unsent("newpos:E5"), []report.Evidence{expired}, k, Options{}).Causes[0]
	d := Explain(unsent("newpos:E5"), []report.Evidence{expired, open}, k, Options{}).Causes[0]
	if d.ID != "host.tls" || d.Verdict == "confirmed" || d.Probability >= sure.Probability {
		t.Errorf("%s %s %.2f, without a word of the clock %.2f", d.ID, d.Verdict, d.Probability, sure.Probability)
	}
}

// TestAbstainingPutsNothingRight: where nothing is named, nothing stands below that could be put right.
func TestAbstainingPutsNothingRight(t *testing.T) {
	seen := 0
	for _, c := range readCases(t, "testdata/cases") {
		for _, code := range []string{"9997", "ConnectError", c.Event.Code} {
			c.Event.Code = code
			d := Explain(c.Event, c.Evidence, codes.Builtin(), Options{Lang: "en"})
			if !d.Abstained {
				continue
			}
			seen++
			if strings.Contains(d.Money.Say, "as below") || strings.Contains(d.Money.Say, "has been put right") {
				t.Errorf("%s, %s: %s", c.Name, code, d.Money.Say)
			}
		}
	}
	if seen == 0 {
		t.Error("nothing abstains: the test is blind")
	}
}

// TestFactsInTheReadersLanguage: a word of the registry is not shown in the other language.
func TestFactsInTheReadersLanguage(t *testing.T) {
	for v, want := range map[string]string{"mismatch": "不符", "timeout": "超时"} {
		if got := fill("状态：{state}", report.Facts{"state": v}, "zh"); got != "状态："+want {
			t.Errorf("%s: %q", v, got)
		}
	}
	if got := fill("{list}", report.Facts{"list": []any{"host_address"}}, "zh"); got != "主机地址" {
		t.Errorf("a list: %q", got)
	}
}

// TestNoOtherCardForABrokenReader: another card does not help where the reader or the PIN pad is at fault.
func TestNoOtherCardForABrokenReader(t *testing.T) {
	for cause, e := range map[string]report.Evidence{
		"reader.disconnected": bad("reader.port", "reader0", report.Facts{"outcome": "gone"}),
		"reader.fault":        bad("reader.selftest", "reader0", report.Facts{"outcome": "fault"}),
	} {
		ev := unsent("mpt:drv-icc")
		ev.Txn.Entry = "chip"
		d := Explain(ev, []report.Evidence{e}, codes.Builtin(), Options{Lang: "en"})
		if d.Causes[0].ID != cause || d.Money.Retry == report.RetryOtherMeans {
			t.Errorf("%s: first %s, %s", cause, d.Causes[0].ID, d.Money.Retry)
		}
	}
}
