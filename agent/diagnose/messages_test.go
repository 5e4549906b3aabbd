package diagnose

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// What speaks of a payment and whoever makes it, as a stranger reads it.
var (
	speaksOfSale = regexp.MustCompile(`(?i)customer|another card|another way to pay|enter the PIN|the PIN (is|was)|one payment|(this|the|last) payment\b|the sale\b|` +
		`take payments|smaller amount|顾客|换卡|换一张卡|付款方式|试一笔|这笔交易|上一笔|重刷|已批准这笔|收款`)
	nothingToDo = regexp.MustCompile(`(?i)nothing to do|不需要处理|什么都不用做`)
	looksUp     = regexp.MustCompile(`(?i)look up|查询|查清|先查`)
)

// messageTypes are those of ISO 8583 that carry a response code, by what they are about.
var messageTypes = map[string][]string{
	"sale":     {"0100", "0110", "0200", "0210", "0211", "1110", "1210", ""},
	"advice":   {"0120", "0130", "0220", "0230", "1230"},
	"reversal": {"0400", "0410", "0420", "0430", "1430"},
	"settle":   {"0500", "0510", "0520", "0530", "1530"},
	"manage":   {"0302", "0312", "0600", "0610", "0800", "0810", "0820", "1814"},
}

// everyCode calls do for one event of each code of each table, as whoever writes it writes it.
func everyCode(k *codes.Knowledge, mti string, do func(report.Event)) {
	yes, no := true, false
	for i, m := range k.Meanings {
		if m.Pattern || i > 0 && k.Meanings[i-1].Code == m.Code && k.Meanings[i-1].Scheme == m.Scheme {
			continue
		}
		ev := report.Event{Code: m.Code, Scheme: m.Scheme, Origin: report.OriginHost,
			Txn: &report.Txn{MTI: mti, Sent: &yes, HostAnswerSeen: &yes}}
		if m.Scheme != codes.SchemeLocal && m.Scheme != codes.SchemeReversal && m.Scheme != codes.SchemeCard {
			do(ev)
			continue
		}
		ev.Origin = report.OriginTerminal
		for _, sent := range []*bool{&yes, &no, nil} {
			ev.Txn = &report.Txn{MTI: mti, Sent: sent, HostAnswerSeen: &no}
			do(ev)
		}
	}
}

// TestTextsGoWithTheMessage reads money line, reasons and steps of every cause together, for every message type and
// every code of every table, in both languages.
func TestTextsGoWithTheMessage(t *testing.T) {
	k := codes.Builtin()
	said := map[string]bool{}
	read := 0
	for about, types := range messageTypes {
		for turn, mti := range types {
			n := turn
			everyCode(k, mti, func(ev report.Event) {
				// Every code is read with a type of every kind, and every type with its share of the codes.
				if n++; n%len(types) != 0 || testing.Short() && n/len(types)%10 != 0 {
					return
				}
				for _, lang := range []string{"zh", "en"} {
					d := Explain(ev, nil, k, Options{Lang: lang})
					read++
					complain := func(what, text string) {
						if key := what + text; !said[key] {
							said[key] = true
							t.Errorf("%s %s %s, %s/%s, %s: %s: %s", ev.Scheme, ev.Code, mti, d.Money.State, d.Money.Retry, d.Causes[0].ID, what, text)
						}
					}
					all := d.Money.Say
					for _, c := range d.Causes {
						all += "\n" + c.Act.Step
						for _, r := range c.For {
							if c.ID == d.Causes[0].ID && c.Probability > 0.5 {
								all += "\n" + r.Say
							}
						}
					}
					for _, line := range strings.Split(all, "\n") {
						approved := d.Money.State == report.MoneyApproved
						held := d.Money.Retry == report.RetryQueryFirst || approved
						switch {
						case (about == "settle" || about == "manage") && speaksOfSale.MatchString(line):
							complain("speaks of a payment", line)
						case held && (tellsAgain.MatchString(line) || tellsOther.MatchString(line) && !approved):
							complain("asks for another payment", line)
						case d.Money.Retry == report.RetryQueryFirst && nothingToDo.MatchString(line):
							complain("nothing to do, and something to look up", line)
						}
					}
					if d.Money.Retry == report.RetryQueryFirst && !looksUp.MatchString(d.Money.Say) && about != "reversal" {
						complain("says not what to look up", d.Money.Say)
					}
					if first := d.Causes[0]; first.ID == "none" && forbids.MatchString(d.Money.Say) &&
						d.Money.Retry == report.RetryNo {
						complain("forbids what is done", d.Money.Say)
					}
				}
			})
		}
	}
	t.Logf("%d documents read", read)
}

// TestNoOtherCardWhereAllFail: where the cards of several customers met a code, no step of any cause sends for another
// card, however far down the list it stands.
func TestNoOtherCardWhereAllFail(t *testing.T) {
	k := codes.Builtin()
	tried := 0
	for _, table := range []string{"unionpay", "visa", "iso8583-1987"} {
		everyCode(k, "0210", func(ev report.Event) {
			if ev.Scheme != table {
				return
			}
			list := []report.Evidence{found("txn.history", report.OK, report.Facts{"same_code_1h": 8.0, "cards_same_code_1h": 7.0,
				"issuers_same_code_1h": 6.0, "approvals_1h": 0.0, "last_approval_age_s": 7000.0, "first_seen_age_s": 3000.0})}
			for _, lang := range []string{"zh", "en"} {
				d := Explain(ev, list, k, Options{Lang: lang})
				if d.Money.Retry != report.RetryOtherMeans {
					continue
				}
				tried++
				if act := d.Causes[0].Act; !d.Abstained && act.By == "none" {
					t.Errorf("%s %s: %q, and nobody has to act on %s", ev.Scheme, ev.Code, d.Money.Say, d.Causes[0].ID)
				}
				for _, c := range d.Causes {
					if other := regexp.MustCompile(`(?i)another card|card of another|换一张卡|换卡|换其他银行`); other.MatchString(c.Act.Step + d.Money.Say) {
						t.Errorf("%s %s: %s: %s", ev.Scheme, ev.Code, c.ID, c.Act.Step)
					}
				}
			}
		})
	}
	if tried < 20 {
		t.Errorf("only %d documents with that advice: the test is blind", tried)
	}
}

// TestStepsOfCardlessMessages reads the steps of every cause that a settlement or a sign-in can have.
func TestStepsOfCardlessMessages(t *testing.T) {
	k := codes.Builtin()
	for i := range k.Causes {
		c := &k.Causes[i]
		if slices.Contains(cardSegments, c.Segment) {
			continue
		}
		for _, about := range []string{codes.StepsSettlement, codes.StepsSignIn} {
			if text := c.StepsFor(about); speaksOfSale.MatchString(text.EN) || speaksOfSale.MatchString(text.ZH) {
				t.Errorf("%s, %s: %s %s", c.ID, about, text.EN, text.ZH)
			}
		}
	}
}

// TestKeptCardIsNotPutRight: a card that is to be kept is never one that pays once something has been put right.
func TestKeptCardIsNotPutRight(t *testing.T) {
	for _, code := range []string{"04", "34", "41", "43"} {
		d, zh, en := sayOf(sold(code, "unionpay"), nil)
		if d.Causes[0].ID != "risk.fraud" || strings.Contains(en, "put right") || strings.Contains(zh, "处理好") {
			t.Errorf("%s: %s: %s %s", code, d.Causes[0].ID, en, zh)
		}
	}
}

// TestApprovedSaleHasNoCause: what is broken beside an approved sale did not stop it, though no host was asked.
func TestApprovedSaleHasNoCause(t *testing.T) {
	for _, code := range []string{"Y1", "00"} {
		ev := unsent(code)
		ev.Scheme = codes.SchemeCard
		if code == "00" {
			ev = sold(code, "unionpay")
		}
		d, _, _ := sayOf(ev, []report.Evidence{cableOut()})
		if d.Causes[0].ID != "none" || d.Abstained || !slices.ContainsFunc(d.Also, func(a report.Also) bool { return a.ID == "lan.cable" }) {
			t.Errorf("%s: %s %.2f, abstained %v, besides %v", code, d.Causes[0].ID, d.Causes[0].Probability, d.Abstained, d.Also)
		}
	}
}
