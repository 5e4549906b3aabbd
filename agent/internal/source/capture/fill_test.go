package capture

import (
	"encoding/json"
	"testing"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

func TestFill(t *testing.T) {
	s := &fakeSink{}
	k := track(s)
	l := newLine(t, k, 5)
	l.connect(33)
	l.say(true, message(t, "0200", "000001", ""))
	l.wait(70)
	l.say(false, message(t, "0210", "000001", "96"))
	l.wait(3000)
	l.say(true, message(t, "0200", "000002", ""))
	l.wait(30000)
	ask := func(origin report.Origin, x *report.Txn, later time.Duration) string {
		c := source.Seen{Code: "E1", Origin: origin, Channel: report.ChannelLog, Txn: x}
		k.fill(&c, l.at.Add(later))
		if c.Txn == nil {
			return "nothing"
		}
		b, _ := json.Marshal(c.Txn)
		return string(b)
	}
	for _, c := range []struct {
		name   string
		origin report.Origin
		txn    *report.Txn
		later  time.Duration
		want   string
	}{
		{"by trace number", report.OriginHost, &report.Txn{STAN: "1"}, 0, `{"stan":"1","connect_ms":33,"response_ms":70,"sent":true,"host_answer_seen":true}`},
		{"without an answer", report.OriginTerminal, &report.Txn{STAN: "000002"}, 0, `{"stan":"000002","sent":true,"host_answer_seen":false}`},
		{"the last one", report.OriginTerminal, nil, 0, `{"sent":true,"host_answer_seen":false}`},
		{"the host's word counts more", report.OriginHost, nil, 0, `nothing`},
		{"what it says is not changed", report.OriginTerminal, &report.Txn{STAN: "000002", Sent: yes(false), HostAnswerSeen: yes(true)}, 0, `{"stan":"000002","sent":false,"host_answer_seen":true}`},
		{"another terminal", report.OriginHost, &report.Txn{STAN: "000001", TerminalID: "20000000"}, 0, `{"stan":"000001","terminal_id":"20000000"}`},
		{"another number", report.OriginTerminal, &report.Txn{STAN: "000777"}, 0, `{"stan":"000777"}`},
		{"the host's verdict is on the wire itself", report.OriginHost, &report.Txn{STAN: "000002"}, 0, `{"stan":"000002","sent":true}`},
		{"too late", report.OriginTerminal, &report.Txn{STAN: "000002"}, sameTrace, `{"stan":"000002"}`},
	} {
		if got := ask(c.origin, c.txn, c.later); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	l.hangUp()
	if got := ask(report.OriginTerminal, nil, justNow-time.Second); got != `{"sent":true,"host_answer_seen":false}` {
		t.Errorf("just after the end: %s", got)
	}
	if got := ask(report.OriginTerminal, nil, justNow); got != "nothing" {
		t.Errorf("later: %s", got)
	}
	l.at = l.at.Add(time.Second)
	l = &line{tracker: k, t: t, terminal: terminal4, host: host4, at: l.at, up: 1 << 20, down: 1 << 21}
	l.connect(1)
	l.say(true, message(t, "0200", "000003", ""))
	l.say(false, message(t, "0210", "000003", "00"))
	if got := ask(report.OriginTerminal, nil, 0); got != "nothing" {
		t.Errorf("a card reader's error just after an approved sale: %s", got)
	}
	l.say(true, message(t, "0400", "000002", "98"))
	l.say(false, message(t, "0410", "000002", "00"))
	if got := ask(report.OriginUnknown, &report.Txn{STAN: "000002"}, 0); got != `{"stan":"000002","sent":true,"host_answer_seen":false}` {
		t.Errorf("its reversal was answered, the sale was not: %s", got)
	}
}
