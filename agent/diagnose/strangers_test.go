package diagnose

import (
	"slices"
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

// TestSupplyBeforeWhatItTakesDown: brown-outs explain a modem or a reader that is gone, or does not answer.
func TestSupplyBeforeWhatItTakesDown(t *testing.T) {
	for check, code := range map[string]string{"modem.port": "newpos:E5", "reader.port": "newpos:E12"} {
		for _, outcome := range []string{"gone", "silent"} {
			d := Explain(unsent(code), []report.Evidence{
				bad("board.power", "supply", report.Facts{"dips_1h": 12.0}),
				bad("board.reboots", "system", report.Facts{"count_24h": 14.0, "last_reason": "BrownOutReset"}),
				bad(check, "device0", report.Facts{"outcome": outcome}),
			}, codes.Builtin(), Options{})
			if d.Causes[0].ID != "terminal.power" {
				t.Errorf("%s %s: %s %.2f before terminal.power", check, outcome, d.Causes[0].ID, d.Causes[0].Probability)
			}
		}
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
	// Nor where the head is dirty, whether or not it is known that nothing was sent.
	dirty := bad("reader.reads", "reader0", report.Facts{"cards": 9.0, "cards_failed": 8.0, "good": 1.0, "failed": 14.0})
	for _, ev := range []report.Event{unsent("newpos:E12"), {Code: "newpos:E12", Origin: report.OriginTerminal}} {
		d := Explain(ev, []report.Evidence{dirty}, codes.Builtin(), Options{Lang: "en"})
		if d.Causes[0].ID != "reader.dirty" || !strings.Contains(d.Money.Say, "another way to pay") ||
			strings.Contains(d.Money.Say, "use another card") {
			t.Errorf("a dirty head: first %s, %s: %s", d.Causes[0].ID, d.Money.Retry, d.Money.Say)
		}
	}
}

// sayOf explains an event in both languages.
func sayOf(ev report.Event, list []report.Evidence) (d report.Diagnosis, zh, en string) {
	k := codes.Builtin()
	d = Explain(ev, list, k, Options{Lang: "en"})
	return d, Explain(ev, list, k, Options{Lang: "zh"}).Money.Say, d.Money.Say
}

func answeredTxn(mti string) *report.Txn {
	yes := true
	return &report.Txn{MTI: mti, Sent: &yes, HostAnswerSeen: &yes}
}

func cableOut() report.Evidence {
	return bad("net.link", "eth0", report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": false})
}

// TestApprovedIsNeverOpenedAgain: a fault beside an approved sale does not make a second charge right once mended.
func TestApprovedIsNeverOpenedAgain(t *testing.T) {
	faults := []report.Evidence{cableOut(), bad("modem.signal", "modem0", report.Facts{"rsrp_dbm": -128.0, "tech": "4g"}),
		bad("printer.status", "printer0", report.Facts{"paper": "out"})}
	for _, code := range []string{"Y1", "Y3", "00", "10"} {
		for _, e := range faults {
			ev := unsent(code)
			if code == "00" || code == "10" {
				ev.Scheme, ev.Origin, ev.Txn = "unionpay", report.OriginHost, answeredTxn("0210")
			}
			d, zh, en := sayOf(ev, []report.Evidence{e})
			if d.Money.State != report.MoneyApproved || d.Money.Retry != report.RetryNo {
				t.Errorf("%s, %s: %s, %s", code, e.Check, d.Money.State, d.Money.Retry)
			}
			if strings.Contains(en, "before") || strings.Contains(en, "until") || strings.Contains(zh, "之前") ||
				!strings.Contains(en, "Do not charge") || !strings.Contains(zh, "不要再收") {
				t.Errorf("%s, %s: %q %q", code, e.Check, en, zh)
			}
		}
	}
}

// TestNothingSentBesideLaterWords: nobody is sent back to pay where the code, by its own words or one of its readings,
// speaks of an answer; words of before sending are believed.
func TestNothingSentBesideLaterWords(t *testing.T) {
	for code, open := range map[string]bool{
		"newpos:unknown": true, "mpt:0x0A": true, "mpt:host-62": true, "mpt:host-89": true, "rc17:unknown": true, "transbank:01": true,
		"transbank:93": true, "ecr17:01": true, "9996": true, "9997": true, "9998": true, "ReceiveTimeout": true, "接收超时": true,
		"数据接收失败": true, "冲正失败": true, "NO RESPONSE": true, "HTTP 502": true, "HTTP_504": true, "APPROVED": true, "交易成功": true,
		"Success": true, "OK": true, "Timeout": true, "交易超时": true, "java.net.SocketTimeoutException: Read timed out": true,
		"ConnectTimeout": false, "连接超时": false, "UnknownHostException": false, "504": true, "CABLE_UNPLUGGED": false, "TOKEN_EXPIRED": false, "newpos:E5": false,
	} {
		for _, list := range [][]report.Evidence{nil, {cableOut()}} {
			d, _, say := sayOf(unsent(code), list)
			want := open && !(strings.HasPrefix(code, "999") && list != nil) // TestOpenReadingBesideADeadWay
			if got := d.Money.Retry == report.RetryQueryFirst; got != want {
				t.Errorf("%s, %d findings: %s, %s", code, len(list), d.Money.Retry, say)
			}
		}
	}
}

// TestWaitingReversalOpensTheEarlierTry: while a reversal waits, nobody pays again on the ground of what became of
// this try.
func TestWaitingReversalOpensTheEarlierTry(t *testing.T) {
	answered := report.Event{Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn("0210")}
	for _, code := range []string{"newpos:E5", "ConnectError", "newpos:E12", "51", "55", "91", "A0"} {
		ev := unsent(code)
		if len(code) == 2 {
			ev = answered
			ev.Code = code
		}
		for n, open := range map[float64]bool{0: false, 1: true, 3: true} {
			d, _, _ := sayOf(ev, []report.Evidence{cableOut(), bad("app.journal", "payment-app", report.Facts{"pending_reversals": n})})
			if got := d.Money.Retry == report.RetryQueryFirst; got != open {
				t.Errorf("%s, %v reversals wait: %s", code, n, d.Money.Retry)
			}
		}
	}
}

// TestCardNeverReadIsNotCharged: "it is not known whether the customer was charged" never stands beside "use
// another card".
func TestCardNeverReadIsNotCharged(t *testing.T) {
	ev := unsent("newpos:E12")
	ev.Txn = &report.Txn{}
	d, _, en := sayOf(ev, nil)
	if d.Money.State != report.MoneyNotSent || d.Money.Retry != report.RetryOtherMeans || strings.Contains(en, "not known") {
		t.Errorf("%s, %s: %s", d.Money.State, d.Money.Retry, en)
	}
	for _, c := range append(readCases(t, "testdata/cases"), readCases(t, "testdata/independent")...) {
		d := Explain(c.Event, c.Evidence, codes.Builtin(), Options{})
		held := d.Money.Retry == report.RetryQueryFirst || d.Money.Retry == report.RetryNo
		if d.Money.State == report.MoneyUnknown && !held {
			t.Errorf("%s: not known, and %s", c.Name, d.Money.Retry)
		}
	}
}

// TestThirdWrongPINOfACard: most cards lock at three.
func TestThirdWrongPINOfACard(t *testing.T) {
	for n, want := range map[float64]string{
		1: report.RetrySafe, 2: report.RetrySafe, 3: report.RetryOtherMeans, 4: report.RetryOtherMeans,
	} {
		ev := report.Event{Code: "55", Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn("0210")}
		d, _, _ := sayOf(ev, []report.Evidence{bad("txn.history", "txn",
			report.Facts{"same_code_1h": n, "cards_same_code_1h": 1.0, "approvals_1h": 3.0})})
		if d.Money.Retry != want {
			t.Errorf("%v times: %s, want %s", n, d.Money.Retry, want)
		}
	}
}

// TestSettleFirst: where the terminal must settle first, nothing was sent and the steps begin with the settlement.
func TestSettleFirst(t *testing.T) {
	for _, code := range []string{"mpt:0x0E", "mpt:0xE7", "zvt:0xB2", "transbank:13"} {
		d, zh, en := sayOf(unsent(code), []report.Evidence{bad("app.journal", "payment-app", report.Facts{"pending_reversals": 0.0, "unsettled": 500.0})})
		step := d.Causes[0].Act.Step
		if d.Money.State != report.MoneyNotSent || d.Money.Retry != report.RetryLater || !strings.Contains(step, "Settle first") ||
			strings.Contains(en+step, "ook up") || strings.Contains(zh, "查询") {
			t.Errorf("%s: %s, %s: %s %s %s", code, d.Money.State, d.Money.Retry, en, zh, step)
		}
	}
}

// TestReversalAndSettlementWords: a reversal that the host accepted is not a sale to be tried again, and a settlement
// charges nobody.
func TestReversalAndSettlementWords(t *testing.T) {
	for mti, c := range map[string]struct{ code, en, zh string }{
		"0410": {"00", "accepted the reversal", "接受冲正"}, "1430": {"000", "accepted the reversal", "接受冲正"},
		"0510": {"95", "settlement", "结算"}, "0530": {"00", "settlement", "结算"},
	} {
		ev := report.Event{Code: c.code, Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn(mti)}
		if mti[0] == '1' {
			ev.Scheme = "iso8583-1993"
		}
		_, zh, en := sayOf(ev, nil)
		if !strings.Contains(en, c.en) || !strings.Contains(zh, c.zh) || strings.Contains(en, "customer") || strings.Contains(zh, "顾客") ||
			mti[1] == '4' && (strings.Contains(en, "try again") || strings.Contains(zh, "再试")) {
			t.Errorf("%s %s: %q %q", mti, c.code, en, zh)
		}
	}
}

// TestLongCodeIsNotATerminalsOwn: what a longer code ends in is a host's field 39, never the number of a
// terminal's own error.
func TestLongCodeIsNotATerminalsOwn(t *testing.T) {
	for _, code := range []string{"10060", "10024", "10107"} {
		if d, _, _ := sayOf(unsent(code), nil); d.Code.Scheme == codes.SchemeLocal {
			t.Errorf("%s is read as %q", code, d.Code.Meaning)
		}
	}
}

// tells reports whether a diagnosis names a cause, as the event's or as found besides.
func tells(d *report.Diagnosis, id string) bool {
	return slices.ContainsFunc(d.Causes, func(c report.Cause) bool { return c.ID == id && c.Probability > 0.01 }) ||
		slices.ContainsFunc(d.Also, func(a report.Also) bool { return a.ID == id })
}

// TestBackupThatFailsToo: where no way out is left, a modem that stands by with a good SIM has failed the sale as well
// as the cable. One without a SIM was never meant to.
func TestBackupThatFailsToo(t *testing.T) {
	fell := cableOut()
	fell.Facts["flaps_1h"] = 1.0
	denied := bad("modem.registration", "modem0", report.Facts{"state": "denied"})
	for sim, told := range map[string]bool{"ready": true, "missing": false} {
		for active, none := range map[string]bool{"none": true, "ethernet": false} {
			d := Explain(unsent("ConnectError"), []report.Evidence{fell, denied,
				bad("net.bearer", "uplink", report.Facts{"active": active}),
				{Check: "modem.sim", Subject: "modem0", Status: report.OK, Facts: report.Facts{"state": sim}}},
				codes.Builtin(), Options{Lang: "en"})
			if d.Causes[0].ID != "lan.cable" && !(told && none && d.Causes[0].ID == "modem.denied") || !tells(&d, "lan.cable") {
				t.Errorf("SIM %s, active %s: first %s", sim, active, d.Causes[0].ID)
			}
			if got := tells(&d, "modem.denied"); got != (told && none) || tells(&d, "modem.sim") {
				t.Errorf("SIM %s, active %s: the refused SIM told: %v", sim, active, got)
			}
		}
	}
}

// TestMendedSinceSaysNothingOfThen: a sign-in after the event does not refute that one was missing; one before it does.
func TestMendedSinceSaysNothingOfThen(t *testing.T) {
	ev := report.Event{Code: "77", Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn("0210"),
		Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	for age, since := range map[float64]bool{3: true, 600: false} {
		d, _, say := sayOf(ev, []report.Evidence{{Check: "app.session", Subject: "payment-app", Status: report.OK,
			At: ev.Time.Add(5 * time.Second), Facts: report.Facts{"signed_in": true, "signin_age_s": age, "last_signin_result": "00"}}})
		if got := d.Causes[0].ID == "terminal.session" && d.Money.Retry == report.RetrySafe; got != since {
			t.Errorf("signed in %v s ago: first %s, %s: %s", age, d.Causes[0].ID, d.Money.Retry, say)
		}
	}
}

// TestCarriersNetworkDown: a mobile network that is down looks like a weak signal from inside one terminal; that many
// on the carrier see it tells the two apart. A terminal that is registered has a network.
func TestCarriersNetworkDown(t *testing.T) {
	searching := bad("modem.registration", "modem0", report.Facts{"state": "searching"})
	unheard := bad("modem.signal", "modem0", report.Facts{"rssi_dbm": -113.0})
	many := bad("fleet.advisory", "carrier", report.Facts{"scope": "carrier", "code": "ConnectError", "terminals": 240.0,
		"share_pct": 71.0, "age_s": 60.0})
	registered := bad("modem.registration", "modem0", report.Facts{"state": "home"})
	registered.Status = report.OK
	rest := []report.Evidence{
		{Check: "modem.sim", Subject: "modem0", Status: report.OK, Facts: report.Facts{"state": "ready"}},
		bad("modem.bearer", "modem0", report.Facts{"attached": false, "context_active": false}),
		bad("net.link", "wwan0", report.Facts{"iface": "wwan0", "kind": "cellular", "carrier": false}),
	}
	for name, c := range map[string]struct {
		list  []report.Evidence
		first string
	}{
		"alone":                     {[]report.Evidence{searching}, "modem.signal-weak"},
		"alone, nothing heard":      {[]report.Evidence{searching, unheard}, "modem.signal-weak"},
		"many":                      {[]report.Evidence{searching, many}, "wan.mobile-down"},
		"many, nothing heard":       {[]report.Evidence{searching, unheard, many}, "wan.mobile-down"},
		"many, and registered here": {[]report.Evidence{registered, many}, "modem.apn"},
	} {
		d := Explain(unsent("ConnectError"), append(c.list, rest...), codes.Builtin(), Options{})
		if d.Causes[0].ID != c.first {
			t.Errorf("%s: %s %.2f before %s", name, d.Causes[0].ID, d.Causes[0].Probability, c.first)
		}
	}
}

// TestModelNotAcquirer: where nearly all terminals of a model see a failure and few of the acquirer's, it is not the
// acquirer's.
func TestModelNotAcquirer(t *testing.T) {
	advisory := func(scope string, st report.Status, share float64) report.Evidence {
		return report.Evidence{Check: "fleet.advisory", Subject: scope, Status: st, Facts: report.Facts{"scope": scope,
			"code": "ConnectError", "terminals": 2100.0, "share_pct": share, "age_s": 60.0}}
	}
	untrusted := bad("net.tls", "host-primary", report.Facts{"target": "host-primary", "outcome": "unknown-ca"})
	p := func(list ...report.Evidence) float64 {
		d := Explain(unsent("ConnectError"), append(list, untrusted), codes.Builtin(), Options{})
		for _, c := range d.Causes {
			if c.ID == "host.tls" {
				return c.Probability
			}
		}
		return 0
	}
	model := advisory("model", report.Bad, 96)
	if few, most := p(model, advisory("acquirer", report.OK, 4)), p(model, advisory("acquirer", report.Bad, 90)); few > most/2 {
		t.Errorf("host.tls %.2f though 4 %% of the acquirer see it, %.2f where 90 %% do", few, most)
	}
	alone := p(advisory("acquirer", report.OK, 4))
	if few := p(model, advisory("acquirer", report.OK, 4)); few > alone/2 {
		t.Errorf("host.tls %.2f though 96 %% of the model see it, %.2f without that", few, alone)
	}
}

// TestCodeThatSpeaks: an error that no table has and whose own words tell what it is about is read by them, in either
// language, and by no more than a hint: what the checks find counts for more, and the money goes by neither.
func TestCodeThatSpeaks(t *testing.T) {
	for code, first := range map[string]string{
		"PRINTER_COVER_OPEN": "printer.fault", "打印机缺纸": "printer.fault", "ErrNoPaper": "printer.fault", "请先结算": "terminal.journal",
		"BATCH-FULL": "terminal.journal", "无主密钥": "terminal.keys", "NO_DIALTONE": "modem.line", "ALERT_IRRUPTION": "terminal.tamper",
		"SIM卡错误": "modem.sim", "未签到": "terminal.session", "PINPAD_LOST": "pinpad.fault", "BATTERY_LOW": "terminal.power",
	} {
		d, _, _ := sayOf(unsent(code), nil)
		if d.Code.Known || d.Causes[0].ID != first && d.Causes[1].ID != first {
			t.Errorf("%s: known %v, first %s, then %s", code, d.Code.Known, d.Causes[0].ID, d.Causes[1].ID)
		}
		if d.Causes[0].Verdict == "confirmed" || d.Causes[0].Probability > 0.75 {
			t.Errorf("%s: %s %.2f by its words alone", code, d.Causes[0].ID, d.Causes[0].Probability)
		}
		if d, _, _ = sayOf(unsent(code), []report.Evidence{cableOut()}); first != "terminal.tamper" && d.Causes[0].ID != "lan.cable" {
			t.Errorf("%s beside a cable that is out: %s", code, d.Causes[0].ID)
		}
		ev := unsent(code)
		ev.Txn.Sent = nil
		if d, _, _ = sayOf(ev, nil); d.Money.Retry != report.RetryQueryFirst {
			t.Errorf("%s, not known whether it was sent: %s", code, d.Money.Retry)
		}
		ev = report.Event{Code: code, Origin: report.OriginHost, Txn: answeredTxn("0210")}
		if d, _, _ = sayOf(ev, nil); d.Causes[0].ID == first && first != "terminal.keys" {
			t.Errorf("%s of a host that answered: %s", code, first)
		}
	}
}

// TestClaimIsToldAsClaim: what its sender alone calls bad is not worded by facts that belie it.
func TestClaimIsToldAsClaim(t *testing.T) {
	for _, e := range []report.Evidence{
		bad("app.journal", "payment-app", report.Facts{"pending_reversals": 0.0, "stan_reused": false}),
		bad("modem.signal", "modem0", report.Facts{"rsrp_dbm": -80.0, "sinr_db": 18.0}),
		bad("modem.sim", "modem0", report.Facts{"state": "ready"}),
		bad("board.flash", "mmcblk0", report.Facts{"io_errors_24h": 0.0, "life_used_pct": 3.0}),
	} {
		for _, lang := range []string{"zh", "en"} {
			d := Explain(unsent("newpos:E5"), []report.Evidence{e}, codes.Builtin(), Options{Lang: lang})
			told := false
			say := func(r report.Reason) {
				if r.Check != e.Check {
					return
				}
				claim := strings.Contains(r.Say, "called bad by") || strings.Contains(r.Say, "说不正常")
				if told = told || claim; !claim && r.WeightDB > 0 {
					t.Errorf("%s: %s", e.Check, r.Say)
				}
			}
			for _, c := range d.Causes {
				for _, r := range slices.Concat(c.For, c.Against) {
					say(r)
				}
			}
			for _, a := range d.Also {
				say(a.Finding)
			}
			if !told && e.Check == "modem.signal" {
				t.Errorf("%s: not told: the test is blind", e.Check)
			}
		}
	}
}

// TestAlsoTellsEachFaultOnce: beside an answered sale a dead router is told, and not what follows from it; a finding
// that several causes could explain is told once.
func TestAlsoTellsEachFaultOnce(t *testing.T) {
	answered := report.Event{Code: "91", Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn("0210")}
	router := bad("net.gateway", "192.168.1.1", report.Facts{"ip": "192.168.1.1", "neighbour": "failed", "loss_pct": 100.0})
	host := bad("net.tcp", "host-primary", report.Facts{"target": "host-primary", "outcome": "unreachable", "ms": 3000.0})
	pad := bad("pinpad.port", "pinpad0", report.Facts{"outcome": "silent"})
	for name, list := range map[string][]report.Evidence{"router": {router, host}, "host": {host}, "pad": {pad}} {
		d := Explain(answered, list, codes.Builtin(), Options{Lang: "en"})
		if len(d.Also) != 1 || d.Also[0].Finding.Check != list[0].Check {
			t.Errorf("%s: %+v", name, d.Also)
		}
	}
}

// TestStepsFitWhatWasSeen: a chip card that was swiped is put into the slot, a weak Wi-Fi is not a wrong password, and
// nobody is told of other cards that were not tried.
func TestStepsFitWhatWasSeen(t *testing.T) {
	ev := report.Event{Code: "45", Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn("0210")}
	ev.Txn.Entry = "stripe"
	d, _, _ := sayOf(ev, nil)
	if d.Causes[0].ID != "card.wrong-method" || d.Money.Retry != report.RetrySafe || !strings.Contains(d.Causes[0].Act.Step, "insert the chip") {
		t.Errorf("%s, %s: %s", d.Causes[0].ID, d.Money.Retry, d.Causes[0].Act.Step)
	}
	ev.Txn.Entry = "chip"
	if d, _, _ = sayOf(ev, nil); d.Money.Retry == report.RetrySafe {
		t.Errorf("the chip was used, and %s", d.Money.Retry)
	}
	yes, no := true, false
	ev = report.Event{Code: "ReceiveTimeout", Origin: report.OriginTerminal, Txn: &report.Txn{Sent: &yes, HostAnswerSeen: &no}}
	d, _, _ = sayOf(ev, []report.Evidence{bad("net.wifi", "wlan0", report.Facts{"associated": true, "ssid_ok": true, "auth": "ok",
		"rssi_dbm": -86.0})})
	if d.Causes[0].ID != "lan.wifi" || !strings.Contains(d.Causes[0].Act.Step, "closer to the router") {
		t.Errorf("%s: %s", d.Causes[0].ID, d.Causes[0].Act.Step)
	}
	d, _, _ = sayOf(unsent("mpt:0x04"), []report.Evidence{bad("reader.slot", "reader0", report.Facts{"card": "mute"})})
	if step := d.Causes[0].Act.Step; strings.Contains(step, "reads other cards") && !strings.Contains(step, "If this terminal reads") {
		t.Errorf("%s: %s", d.Causes[0].ID, step)
	}
}

// TestTypedByHandIsNoFault: that the card data were typed does not make an unknown error a typing mistake; a code that
// speaks of the number does.
func TestTypedByHandIsNoFault(t *testing.T) {
	yes, no := true, false
	for _, sent := range []*bool{&yes, &no, nil} {
		ev := report.Event{Code: "ZZ9", Origin: report.OriginTerminal, Txn: &report.Txn{Entry: "manual", Sent: sent}}
		if d, _, _ := sayOf(ev, nil); d.Causes[0].ID != report.Unexplained {
			t.Errorf("an unknown error: %s %.2f", d.Causes[0].ID, d.Causes[0].Probability)
		}
	}
	ev := report.Event{Code: "14", Scheme: "unionpay", Origin: report.OriginHost, Txn: answeredTxn("0210")}
	ev.Txn.Entry = "manual"
	if d, _, _ := sayOf(ev, nil); d.Causes[0].ID != "card.data-mistyped" {
		t.Errorf("14, typed: %s %.2f", d.Causes[0].ID, d.Causes[0].Probability)
	}
}
