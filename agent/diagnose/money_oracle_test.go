package diagnose_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
)

// moneyCode is one code of the enumeration and what it says of the request's fate, in the words of the rules and not of
// the engine's tables.
type moneyCode struct {
	scheme, code string
	// declined, approved, undecided, open (undecided, unless a dead way shows that nothing left), unsaid, unread
	says string
}

// moneyCodes has at least one code of every class of fate, standards and terminals mixed.
var moneyCodes = []moneyCode{
	{"unionpay", "51", "declined"}, {"unionpay", "55", "declined"}, {"unionpay", "96", "declined"}, {"unionpay", "97", "declined"},
	{"unionpay", "91", "declined"}, {"unionpay", "77", "declined"}, {"iso8583-1987", "05", "declined"}, {"gicc-de", "97", "declined"},
	{"iso8583-1993", "116", "declined"}, {"iso8583-1993", "909", "declined"}, {"channel-cn", "19", "declined"},
	{"unionpay", "00", "approved"}, {"unionpay", "A2", "approved"},
	// A part of the amount, a purchase without its cash back, a card that approved without the host: all are charges.
	{"unionpay", "10", "approved"}, {"iso8583-1993", "002", "approved"}, {"mastercard", "87", "approved"}, {"iso8583-1987", "10", "approved"},
	{"emv-arc", "Y1", "approved"}, {"emv-arc", "Y3", "approved"},
	// In progress, repeated, not found, completed in part, timed out behind the host.
	{"unionpay", "09", "undecided"}, {"unionpay", "32", "undecided"}, {"iso8583-1993", "911", "undecided"}, {"iso8583-1993", "913", "undecided"},
	{"iso8583-1993", "923", "undecided"}, {"channel-cn", "67", "undecided"},
	// The terminal's own words for what comes after sending: no answer in time, an answer that cannot be read, a receipt.
	{"terminal-local", "mpt:0xD4", "undecided"}, {"terminal-local", "newpos:E8", "undecided"}, {"terminal-local", "newpos-prn:0x02", "undecided"},
	{"terminal-local", "zvt:0x6C", "unsaid"}, {"terminal-local", "newpos:battery", "unsaid"}, {"", "TransactionFailed", "unsaid"},
	{"unionpay", "98", "undecided"}, {"unionpay", "68", "undecided"}, {"unionpay", "94", "undecided"}, {"unionpay", "25", "undecided"},
	{"terminal-local", "newpos:E7", "undecided"}, {"terminal-local", "newpos:E9", "undecided"},
	{"", "DuplicateTransactionError", "undecided"},
	// Data were on their way, and the name does not say in which direction; nor is it any maker's own.
	{"", "DataTransferError", "open"},
	{"terminal-local", "newpos:E5", "unsaid"}, {"", "ConnectError", "unsaid"}, {"", "QX7", "unsaid"},
	// One reading among several leaves the result open: result unknown, time-out, given back.
	{"", "9997", "open"}, {"", "9998", "open"}, {"", "9996", "open"},
	// The terminal's own words for what a host answered.
	{"terminal-local", "newpos:unknown", "undecided"}, {"terminal-local", "mpt:0x0A", "undecided"}, {"terminal-local", "mpt:host-62", "undecided"},
	{"terminal-local", "transbank:93", "undecided"}, {"terminal-local", "ecr17:01", "undecided"},
	// No table has these, and their words speak of an answer.
	{"", "ReceiveTimeout", "undecided"}, {"", "接收超时", "undecided"}, {"", "冲正失败", "undecided"}, {"", "NO RESPONSE", "undecided"},
	{"", "HTTP 504", "undecided"}, {"", "APPROVED", "undecided"}, {"", "交易成功", "undecided"}, {"", "OK", "undecided"},
	{"terminal-local", "newpos:E12", "unread"},
}

// moneyTypes are message types of ISO 8583 in the versions of 1987 and 1993: requests, responses, advices, repeats,
// reversals, messages that move no money, and none.
var moneyTypes = strings.Fields("- 0100 0101 0110 0120 0130 0200 0201 0210 0211 0220 0221 0230 0400 0410 0420 0430 0800 0810 " +
	"0302 0312 0500 0510 0530 0600 0610 " +
	"0111 0121 0131 0231 0401 0411 0421 1100 1101 1110 1120 1130 1200 1201 1210 1211 1220 1221 1230 1400 1410 1420 1421 1430 1804 1814")

// A moneyQuestion is one cell of the enumeration.
type moneyQuestion struct {
	origin       report.Origin
	sent, answer int // 0 not known, 1 no, 2 yes
	mti          string
	code         moneyCode
	// of the transaction evidence: none, fresh, older (than the event), undated (older, by its age alone)
	age        string
	entry      string
	responseMS bool   // a response time is told
	beside     string // "", cable (it is out), waits (an earlier reversal)
}

func (q *moneyQuestion) String() string { return fmt.Sprintf("%+v", *q) }

func tell(v int) *bool {
	if v == 0 {
		return nil
	}
	b := v == 2
	return &b
}

var moneyTime = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// document makes the event and the evidence of a question. Where the age says so, the facts come from the check alone.
func (q *moneyQuestion) document() (report.Event, []report.Evidence) {
	ev := report.Event{ID: "00-0000000001", Time: moneyTime, Code: q.code.code, Scheme: q.code.scheme, Origin: q.origin,
		Channel: report.ChannelHook}
	txn := report.Txn{Entry: q.entry}
	if q.mti != "-" {
		txn.MTI = q.mti
	}
	if q.responseMS {
		ms := int64(812)
		txn.ResponseMS = &ms
	}
	ev.Txn = &txn
	var list []report.Evidence
	switch q.beside {
	case "cable":
		list = []report.Evidence{{Check: "net.link", Subject: "eth0", Status: report.Bad, Facts: report.Facts{"iface": "eth0",
			"kind": "ethernet", "carrier": false}}}
	case "waits":
		list = []report.Evidence{{Check: "app.journal", Subject: "payment-app", Status: report.Bad,
			Facts: report.Facts{"pending_reversals": 1.0}}}
	}
	if q.age == "none" {
		txn.Sent, txn.HostAnswerSeen = tell(q.sent), tell(q.answer)
		return ev, list
	}
	e := report.Evidence{Check: "txn.answer", Subject: "txn", Status: report.OK, Facts: report.Facts{},
		At: moneyTime.Add(2 * time.Second), AgeMS: 300, Depth: report.Internal}
	switch q.age {
	case "older":
		e.At, e.AgeMS = moneyTime.Add(-10*time.Minute), 602_000
	case "undated":
		e.At, e.AgeMS = time.Time{}, 7_200_000
	}
	if q.sent != 0 {
		e.Facts["sent"] = q.sent == 2
	}
	if q.answer != 0 {
		e.Facts["host_answer_seen"] = q.answer == 2
	}
	return ev, append(list, e)
}

// management: messages about files (x3xx), totals (x5xx), administration (x6xx) and the network (x8xx) move no money.
func (q *moneyQuestion) management() bool {
	return q.mti[:1] != "-" && strings.Contains("3568", q.mti[1:2])
}

// first: an ordinary request or its response, neither reversal nor advice nor repeat. Of these the earlier or the
// offline sale is what counts, and no witness here knows its fate.
func (q *moneyQuestion) first() bool {
	return q.mti == "-" || q.mti[1] != '4' && (q.mti[2] == '0' || q.mti[2] == '1') && q.mti[3] == '0'
}

func (q *moneyQuestion) response() bool {
	return q.mti != "-" && q.mti[2] == '1' || q.mti != "-" && q.mti[2] == '3'
}

// old: what the check knew is about an earlier transaction.
func (q *moneyQuestion) old() bool { return q.age == "older" || q.age == "undated" }

// provedUnsent: a witness of this transaction says that nothing left, and nothing contradicts it.
func (q *moneyQuestion) provedUnsent() bool {
	// only hosts write these; a program that shows one saw an answer, unless it says that none came
	hosts := q.code.says == "declined"
	contradicted := q.origin == report.OriginHost || q.origin == report.OriginUnknown && hosts && q.answer == 0 ||
		q.response() || q.responseMS || q.answer == 2 || !q.first() || q.old() ||
		q.code.says == "undecided" || q.code.says == "approved" || q.code.says == "open" && q.beside != "cable"
	return q.sent == 1 && !contradicted
}

// provedDeclined: the host itself said no to this very request.
func (q *moneyQuestion) provedDeclined() bool {
	byHost := q.origin == report.OriginHost || q.origin == report.OriginTerminal && q.response() && q.answer == 2
	denied := !q.old() && (q.answer == 1 || q.sent == 1)
	return byHost && !denied && q.first() && q.code.says == "declined"
}

// provedRefused: the host refused this request, whatever became of the one that it speaks of.
func (q *moneyQuestion) provedRefused() bool {
	r := *q
	r.code.says = "declined"
	return r.provedDeclined()
}

// takenBack: the host says that the sale was reversed.
func (q *moneyQuestion) takenBack() bool {
	return q.mti != "-" && q.mti[1] == '4' && q.response() && q.code.code == "00"
}

// provedUnread: the terminal's own code says that the card could not be read, and nothing tells of a message.
func (q *moneyQuestion) provedUnread() bool {
	return q.code.says == "unread" && q.origin == report.OriginTerminal && q.mti == "-" && !q.responseMS && q.sent != 2 &&
		q.answer != 2 && !q.old()
}

// charged tells whether the customer may have been charged by the request that the code speaks of.
func (q *moneyQuestion) charged() bool {
	return !q.management() && !q.provedUnsent() && !q.provedDeclined() && !q.provedUnread()
}

// secondCharge tells whether repeating could charge the customer twice: by this request, or by one that is yet to be
// taken back.
func (q *moneyQuestion) secondCharge() bool {
	return q.charged() || q.beside == "waits" && !q.management()
}

// eachMoneyQuestion walks origin x sent x answer x message type x code, with age, entry and response time in turn so
// that every pair of values meets; shift moves the turns.
func eachMoneyQuestion(shift int, do func(q *moneyQuestion)) {
	ages := []string{"none", "fresh", "older", "fresh", "none", "undated", "none"}
	entries := []string{"", "chip", "stripe", "contactless", "manual"}
	besides := []string{"", "cable", "", "waits"}
	n := shift
	for _, origin := range []report.Origin{report.OriginHost, report.OriginTerminal, report.OriginCashier,
		report.OriginUnknown} {
		for sent := range 3 {
			for answer := range 3 {
				for _, mti := range moneyTypes {
					for _, code := range moneyCodes {
						n++
						do(&moneyQuestion{origin, sent, answer, mti, code, ages[n%len(ages)], entries[n%len(entries)], n%11 == 0,
							besides[n/3%len(besides)]})
					}
				}
			}
		}
	}
}

// TestMoneyNeverChargesTwice holds every answer against the rules: where a second charge is possible, no advice lets
// the customer pay again, with this card or another.
func TestMoneyNeverChargesTwice(t *testing.T) {
	k := codes.Builtin()
	said := map[string]int{}
	number, questions, wrong, unsent, needless := 0, 0, 0, 0, 0
	shifts := 1
	for shift := range shifts {
		eachMoneyQuestion(shift*3, func(q *moneyQuestion) {
			if number++; testing.Short() && number%5 != 0 {
				return
			}
			ev, evidence := q.document()
			d := diagnose.Explain(ev, evidence, k, diagnose.Options{Lang: "en"})
			retry := d.Money.Retry
			questions++
			said[retry]++
			if again := retry != report.RetryQueryFirst && retry != report.RetryNo; again && q.secondCharge() {
				if wrong++; wrong <= 12 {
					t.Errorf("%v: %s, %s", q, d.Money.State, retry)
				}
			}
			if (d.Money.State == report.MoneyNotSent || d.Money.State == report.MoneyDeclined) && q.charged() &&
				!(q.code.code == "25" && q.provedRefused()) && !q.takenBack() {
				if wrong++; wrong <= 12 {
					t.Errorf("%v: said to be %s", q, d.Money.State)
				}
			}
			if q.provedUnsent() && !q.secondCharge() && !q.management() {
				unsent++
				if retry == report.RetryQueryFirst {
					needless++
					if testing.Verbose() {
						t.Logf("needless: %v", q)
					}
				}
			}
		})
	}
	t.Logf("%d questions: %d wrong; nothing can have been sent in %d, of these needless query-first %d (%.1f %%); said %v",
		questions, wrong, unsent, needless, 100*float64(needless)/float64(unsent), said)
	if needless*20 >= unsent {
		t.Errorf("query-first in %d of %d cases where nothing can have been sent: want less than one in twenty", needless, unsent)
	}
	for _, r := range []string{report.RetrySafe, report.RetryLater, report.RetryQueryFirst, report.RetryAfterSignin,
		report.RetryOtherMeans, report.RetryNo} {
		if said[r] == 0 {
			t.Errorf("the enumeration never met %q: it is blind", r)
		}
	}
}

// TestWrongPINsOfSeveralCards: when the PINs of several cards are wrong it is not the customers who mistype, and
// another try with the right PIN brings a card nearer to being locked.
func TestWrongPINsOfSeveralCards(t *testing.T) {
	k := codes.Builtin()
	yes := true
	for name, c := range map[string]struct {
		facts report.Facts
		safe  bool
	}{
		"one card":                          {report.Facts{"same_code_1h": 1.0, "cards_same_code_1h": 1.0, "approvals_1h": 9.0}, true},
		"one card twice":                    {report.Facts{"same_code_1h": 2.0, "cards_same_code_1h": 1.0, "approvals_1h": 9.0}, true},
		"three cards":                       {report.Facts{"same_code_1h": 4.0, "cards_same_code_1h": 3.0}, false},
		"two cards":                         {report.Facts{"same_code_1h": 2.0, "cards_same_code_1h": 2.0, "approvals_1h": 30.0}, false},
		"thirty times, cards not counted":   {report.Facts{"same_code_1h": 30.0}, false},
		"two issuers, cards not counted":    {report.Facts{"same_code_1h": 2.0, "issuers_same_code_1h": 2.0}, false},
		"one card, counted among approvals": {report.Facts{"cards_same_code_1h": 1.0, "approvals_1h": 40.0}, true},
	} {
		for _, code := range []moneyCode{{"unionpay", "55", ""}, {"iso8583-1987", "55", ""}} {
			ev := report.Event{Time: moneyTime, Code: code.code, Scheme: code.scheme, Origin: report.OriginHost,
				Txn: &report.Txn{MTI: "0210", Sent: &yes, HostAnswerSeen: &yes}}
			d := diagnose.Explain(ev, []report.Evidence{{Check: "txn.history", Subject: "terminal", Status: report.OK,
				Facts: c.facts}}, k, diagnose.Options{})
			if got := d.Money.Retry == report.RetrySafe; got != c.safe {
				t.Errorf("%s, %s: %s", name, code.scheme, d.Money.Retry)
			}
			if !c.safe && d.Money.Retry == report.RetryOtherMeans {
				t.Errorf("%s, %s: another card is asked for, and loses a try", name, code.scheme)
			}
		}
	}
}
