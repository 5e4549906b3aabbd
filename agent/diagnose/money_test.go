package diagnose

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// A cut is one point of a transaction at which the link, the terminal or the host can fail, and what the world then
// knows.
type cut struct {
	name             string
	sent, answer     bool   // the truth: did the request leave, did the host's verdict arrive whole
	mti              string // of the message that carries the code
	couldHaveCharged bool   // the truth that the advice must respect
}

// cuts are all points of a sale and of its reversal.
var cuts = []cut{
	{"before the card was read", false, false, "", false},
	{"before connecting", false, false, "0200", false},
	{"connected, nothing sent", false, false, "0200", false},
	{"request partly sent", true, false, "0200", true},
	{"request sent, link cut", true, false, "0200", true},
	{"answer partly received", true, false, "0200", true},
	{"answer received, its MAC wrong", true, true, "0400", true},
	{"terminal lost power while waiting", true, false, "0400", true},
	{"reversal pending", true, false, "0400", true},
	{"reversal sent, not acknowledged", true, false, "0420", true},
	{"reversal answered: original not found", true, true, "0410", true},
	{"answered by the host", true, true, "0210", false},
}

// known says what a witness tells of a fact: the truth, or nothing. A witness that lies is tested apart.
func known(fact, told bool) *bool {
	if !told {
		return nil
	}
	return &fact
}

// TestMoneyAtEveryCut walks every point at which a sale can be cut, everything that may be known of it, every writer of
// a code and many codes: neither safe nor later is said where the customer may have been charged.
func TestMoneyAtEveryCut(t *testing.T) {
	k := knowledge(t)
	evidence := map[string][]report.Evidence{
		"nothing":  nil,
		"reversal": {{Check: "app.journal", Status: report.Bad, Facts: report.Facts{"pending_reversals": 1.0}}},
		"cable":    {{Check: "net.link", Subject: "eth0", Status: report.Bad, Facts: report.Facts{"kind": "ethernet", "carrier": false}}},
		"healthy":  {{Check: "net.tcp", Subject: "host-primary", Status: report.OK, Facts: report.Facts{"outcome": "ok", "ms": 40.0}}},
	}
	said := map[string]int{}
	profile, _ := k.Profile("unionpay")
	for _, c := range cuts {
		for _, tell := range []struct{ sent, answer, event bool }{{true, true, true}, {true, false, true},
			{false, true, true}, {false, false, true}, {true, true, false}} {
			for _, origin := range []report.Origin{report.OriginHost, report.OriginTerminal, report.OriginCashier,
				report.OriginUnknown, ""} {
				if origin == report.OriginHost && !c.answer {
					continue // a lie, tested apart
				}
				for _, code := range []string{"96", "91", "55", "51", "00", "98", "A0", "06", "68", "94", "newpos:E5", "newpos:E7", "mpt:0x04", "ConnectError", "9997", "0000", "X", "Y1", "Z3", "13"} {
					for _, scheme := range []string{"", "unionpay", "terminal-local", "gicc-de"} {
						for name, list := range evidence {
							ev := report.Event{Code: code, Scheme: scheme, Origin: origin, Txn: &report.Txn{MTI: c.mti}}
							if tell.event {
								ev.Txn.Sent, ev.Txn.HostAnswerSeen = known(c.sent, tell.sent), known(c.answer, tell.answer)
							} else {
								f := report.Facts{}
								if tell.sent {
									f["sent"] = c.sent
								}
								if tell.answer {
									f["host_answer_seen"] = c.answer
								}
								list = append(list[:len(list):len(list)], report.Evidence{Check: "txn.answer", Status: report.Bad, Facts: f})
							}
							inferred := infer(&ev, list, k, profile)
							retry := inferred.money(inferred.ranked()[0].ID, false, "en").Retry
							said[retry]++
							free := retry == report.RetrySafe || retry == report.RetryLater
							if c.couldHaveCharged && free {
								t.Fatalf("%s, sent told %v, answer told %v, by %q, code %s/%s, %s: %s although the customer may have been charged",
									c.name, tell.sent, tell.answer, origin, scheme, code, name, retry)
							}
							// What is not known to be unsent must not be taken for it either.
							if free && ev.Origin != report.OriginHost && !(tell.sent && !c.sent) &&
								(!c.answer || origin == report.OriginCashier) {
								t.Fatalf("%s, by %q, code %s: %s though it is not known that nothing left, or only on a cashier program's word", c.name, origin, code, retry)
							}
						}
					}
				}
			}
		}
	}
	if said[report.RetrySafe] == 0 || said[report.RetryLater] == 0 || said[report.RetryQueryFirst] == 0 {
		t.Fatalf("the test is blind: %v", said)
	}
}

// TestMoneyContradiction lets two witnesses, or the event itself, contradict each other about what was sent.
func TestMoneyContradiction(t *testing.T) {
	k := knowledge(t)
	yes, no := true, false
	for name, x := range map[string]struct {
		txn   report.Txn
		facts report.Facts
		by    report.Origin
	}{
		"event says unsent, check says sent":     {report.Txn{Sent: &no}, report.Facts{"sent": true}, report.OriginTerminal},
		"event says sent, check says unsent":     {report.Txn{Sent: &yes}, report.Facts{"sent": false}, report.OriginTerminal},
		"answered but never sent":                {report.Txn{Sent: &no, HostAnswerSeen: &yes}, nil, report.OriginHost},
		"host's code, no answer seen, sent":      {report.Txn{Sent: &yes, HostAnswerSeen: &no}, nil, report.OriginHost},
		"host's code, no answer seen, sent open": {report.Txn{HostAnswerSeen: &no}, nil, report.OriginHost},
		"answer seen by the event alone":         {report.Txn{HostAnswerSeen: &yes}, report.Facts{"host_answer_seen": false}, report.OriginHost},
	} {
		for _, code := range []string{"96", "55", "91", "newpos:E5", "13"} {
			txn := x.txn
			d := Explain(report.Event{Code: code, Scheme: "unionpay", Origin: x.by, Txn: &txn},
				[]report.Evidence{{Check: "txn.answer", Status: report.OK, Facts: x.facts}}, k, Options{})
			if d.Money.Retry == report.RetrySafe || d.Money.Retry == report.RetryLater {
				t.Errorf("%s, code %s: %s", name, code, d.Money.Retry)
			}
		}
	}
}

// TestMoneyDeclined checks the advice for codes that a host answered.
func TestMoneyDeclined(t *testing.T) {
	k := knowledge(t)
	yes := true
	for _, c := range []struct{ scheme, code, state, retry string }{
		{"unionpay", "00", "approved", "no"}, {"unionpay", "10", "approved", "no"}, {"unionpay", "51", "declined", "other-means"},
		{"unionpay", "55", "declined", "safe"}, {"unionpay", "75", "declined", "other-means"}, {"unionpay", "96", "declined", "later"},
		{"unionpay", "91", "declined", "later"}, {"unionpay", "92", "declined", "later"}, {"unionpay", "97", "declined", "no"},
		{"unionpay", "03", "declined", "no"}, {"unionpay", "A0", "declined", "after-signin"}, {"unionpay", "77", "declined", "after-signin"},
		{"unionpay", "99", "declined", "after-signin"}, {"unionpay", "94", "unknown", "query-first"}, {"unionpay", "68", "unknown", "query-first"},
		{"unionpay", "98", "unknown", "query-first"}, {"unionpay", "13", "declined", "safe"}, {"unionpay", "30", "declined", "no"},
		{"gicc-de", "97", "declined", "after-signin"}, {"gicc-de", "98", "declined", "no"}, {"unionpay", "A2", "approved", "query-first"},
		{"unionpay", "ZZ", "unknown", "query-first"}, {"acquirer-4", "9997", "unknown", "query-first"}, {"channel-cn", "73", "declined", "after-signin"},
	} {
		ev := report.Event{Code: c.code, Scheme: c.scheme, Origin: report.OriginHost,
			Txn: &report.Txn{MTI: "0210", Sent: &yes, HostAnswerSeen: &yes}}
		d := Explain(ev, nil, k, Options{})
		if got := fmt.Sprint(d.Money.State, " ", d.Money.Retry); got != c.state+" "+c.retry {
			t.Errorf("%s %s: %s, want %s %s", c.scheme, c.code, got, c.state, c.retry)
		}
	}
}

// TestOpenReadingBesideADeadWay: a code that may mean that the result is unknown makes a lone claim that nothing was
// sent too little; a way that was found to let nothing through is the second witness, one that lets a part through is
// none.
func TestOpenReadingBesideADeadWay(t *testing.T) {
	k, not := knowledge(t), false
	ev := report.Event{Code: "9997", Origin: report.OriginCashier, Txn: &report.Txn{Sent: &not}}
	link := func(carrier bool) report.Evidence {
		return report.Evidence{Check: "net.link", Subject: "eth0", Status: report.OK,
			Facts: report.Facts{"kind": "ethernet", "iface": "eth0", "carrier": carrier}}
	}
	dead, alive := link(false), link(true)
	dead.Status = report.Bad
	lossy := report.Evidence{Check: "net.path", Subject: "host-primary", Status: report.Bad,
		Facts: report.Facts{"target": "host-primary", "loss_pct": 45.0, "rtt_ms": 80.0}}
	for _, c := range []struct {
		name     string
		evidence []report.Evidence
		safe     bool
	}{
		{"nothing was looked at", nil, false},
		{"the link is well", []report.Evidence{alive}, false},
		{"no carrier", []report.Evidence{dead}, true},
		{"a way that loses half", []report.Evidence{alive, lossy}, false},
	} {
		d := Explain(ev, c.evidence, k, Options{})
		if got := d.Money.Retry != report.RetryQueryFirst; got != c.safe {
			t.Errorf("%s: %s first with %.2f, retry %s", c.name, d.Causes[0].ID, d.Causes[0].Probability, d.Money.Retry)
		}
	}
}

// TestOfflineApprovalStands: a card that approved a sale offline has approved it, whatever becomes of the advice that
// reports it: it is not charged again, and the record is still to be sent.
func TestOfflineApprovalStands(t *testing.T) {
	for _, code := range []string{"Y1", "Y3"} {
		for _, mti := range []string{"", "0200", "0100", "0120", "0220", "0221", "1220"} {
			for _, sent := range []*bool{known(false, true), nil} {
				ev := report.Event{Code: code, Scheme: "emv-arc", Origin: report.OriginTerminal,
					Txn: &report.Txn{MTI: mti, Sent: sent, HostAnswerSeen: known(false, true)}}
				d, zh, en := sayOf(ev, nil)
				if d.Money.State != report.MoneyApproved || d.Money.Retry != report.RetryNo {
					t.Errorf("%s %s: %s, %s", code, mti, d.Money.State, d.Money.Retry)
				}
				if !strings.Contains(en, "offline") || !strings.Contains(zh, "脱机") || !strings.Contains(en, "still to be sent") || !strings.Contains(zh, "上送") {
					t.Errorf("%s %s: %q %q", code, mti, en, zh)
				}
			}
		}
		// An advice that left and was not answered reports the same sale.
		ev := report.Event{Code: code, Scheme: "emv-arc", Origin: report.OriginTerminal,
			Txn: &report.Txn{MTI: "0220", Sent: known(true, true), HostAnswerSeen: known(false, true)}}
		if d, _, _ := sayOf(ev, nil); d.Money.State != report.MoneyApproved || d.Money.Retry != report.RetryNo {
			t.Errorf("%s in an advice that was sent: %s, %s", code, d.Money.State, d.Money.Retry)
		}
	}
	// The same letters from a host are another table's, and a request that left may have been answered.
	for _, ev := range []report.Event{sold("Y1", "acquirer-ext"), {Code: "Y1", Scheme: "emv-arc", Origin: report.OriginTerminal,
		Txn: &report.Txn{MTI: "0200", Sent: known(true, true)}}} {
		if d, _, _ := sayOf(ev, nil); d.Money.State == report.MoneyApproved {
			t.Errorf("%s %s by %s: approved", ev.Scheme, ev.Code, ev.Origin)
		}
	}
}

// TestCardlessAdviceAgrees: where no money moves, the line of the money and the steps below it say the same: what can
// be done again is not forbidden, and what nobody answered was not refused.
func TestCardlessAdviceAgrees(t *testing.T) {
	k := codes.Builtin()
	again := regexp.MustCompile(`(?i)do it again|once more|sign in again|再做一次|再结算一次|重新签到`)
	mended := regexp.MustCompile(`before it has been put right|处理好之前`)
	yes, no, told := true, false, map[string]int{}
	n := 0
	for _, mti := range []string{"0500", "0510", "0530", "0800", "0810"} {
		everyCode(k, mti, func(ev report.Event) {
			if n++; n%4 != 0 || testing.Short() && n%40 != 0 {
				return
			}
			for _, lang := range []string{"zh", "en"} {
				d := Explain(ev, nil, k, Options{Lang: lang})
				for _, c := range d.Causes {
					forbidden := forbids.MatchString(d.Money.Say) && !mended.MatchString(d.Money.Say)
					if forbidden && again.MatchString(c.Act.Step) && told[ev.Code] < 2 {
						told[ev.Code]++
						t.Errorf("%s %s %s: %s / %s", ev.Scheme, ev.Code, mti, d.Money.Say, c.Act.Step)
					}
				}
			}
		})
	}
	pending := report.Event{Code: "09", Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn("0510")}
	if d, _, en := sayOf(pending, nil); d.Money.Retry != report.RetryLater || forbids.MatchString(en) {
		t.Errorf("a settlement that is being processed: %s, %s", d.Money.Retry, en)
	}
	for _, sent := range []*bool{&yes, nil} {
		ev := report.Event{Code: "newpos:E7", Scheme: "terminal-local", Origin: report.OriginTerminal,
			Txn: &report.Txn{MTI: "0800", Sent: sent, HostAnswerSeen: &no}}
		_, zh, en := sayOf(ev, nil)
		refused := strings.Contains(en, "then retry") || strings.Contains(zh, "先重新签到")
		if refused || !strings.Contains(en, "No answer came") || !strings.Contains(zh, "没有收到应答") {
			t.Errorf("a sign-in without an answer: %s %s", zh, en)
		}
	}
	// A terminal whose own keys are wrong waits for no answer.
	local := 0
	everyCode(k, "0800", func(ev report.Event) {
		p, _ := k.Profile("unionpay")
		if res := k.Resolve(p, ev.Scheme, ev.Code, string(ev.Origin)); !res.Usable || k.Inference.Topic(res.Meaning) != "keys-local" {
			return
		}
		local++
		if _, zh, en := sayOf(ev, nil); strings.Contains(en, "No answer came") || strings.Contains(zh, "没有收到应答") {
			t.Errorf("%s: %s %s", ev.Code, zh, en)
		}
	})
	if local == 0 {
		t.Error("no code of the terminal's keys was read")
	}
}
