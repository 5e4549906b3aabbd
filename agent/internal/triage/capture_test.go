package triage

import (
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/report"
)

// onTheWire is an answer as a capture sees it: it knows the wire's times and nothing of the card.
func onTheWire(code, stan string) Code {
	c := answeredCode(code, stan)
	c.Event.Channel, c.Event.Scheme = report.ChannelCapture, ""
	connect, response := int64(40), int64(800)
	c.Event.Txn.ConnectMS, c.Event.Txn.ResponseMS, c.Event.Txn.TerminalID = &connect, &response, "10077120"
	return c
}

// elsewhere is the same failed sale as other channels tell of it, a moment later.
func elsewhere(code, stan string) []Code {
	hook, log, ecr := answeredCode(code, stan), answeredCode(code, ""), answeredCode(code, "")
	hook.Event.Txn.Entry = "chip"
	// without its zeroes
	log.Event.Channel, log.Event.Origin, log.Event.Txn = report.ChannelLog, report.OriginUnknown, &report.Txn{STAN: "123"}
	ecr.Event.Channel, ecr.Event.Txn = report.ChannelECR, nil
	return []Code{hook, log, ecr}
}

func TestASaleOnTheWireAndElsewhereIsOneEvent(t *testing.T) {
	for _, wireFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := &flash{}
			l := start(t, f, slow("net.link", report.OK, nil, time.Second, 0))
			list := append([]Code{onTheWire("96", "000123")}, elsewhere("96", "000123")...)
			if !wireFirst {
				list = append(elsewhere("96", "000123"), onTheWire("96", "000123"))
			}
			var all []Ticket
			for _, c := range list {
				all = append(all, submit(t, l, c))
				time.Sleep(300 * time.Millisecond)
			}
			first := <-all[0].Final
			for _, k := range all[1:] {
				if d := <-k.Final; d.ID != first.ID || d.Repeats != 0 {
					t.Errorf("%s %d repeats, want %s and none", d.ID, d.Repeats, first.ID)
				}
			}
			if n := l.TakeTally(time.Now()).Counts; len(n) != 1 || n[0].Count != 1 {
				t.Errorf("tally %+v, want one code once", n)
			}
			time.Sleep(2 * time.Second)
			// The next sale fails the same way: that is a repeat.
			again := submit(t, l, onTheWire("96", "000124"))
			if d := <-again.Final; d.ID != first.ID || d.Repeats != 1 {
				t.Errorf("%s %d repeats, want %s and one", d.ID, d.Repeats, first.ID)
			}
		})
	}
}

// An approval that the hook, the log and the wire tell of is counted once, whichever comes first.
func TestAnApprovalOnTheWireIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{})
		for i, stan := range []string{"000001", "000002", "000003"} {
			wire, log := onTheWire("00", stan), answeredCode("00", stan)
			wire.Event.Scheme, log.Event.Channel = "unionpay", report.ChannelLog
			switch i {
			case 0:
				submit(t, l, wire)
				submit(t, l, log)
				l.Approved(Approval{Channel: report.ChannelHook, Txn: report.Txn{Entry: "chip", STAN: stan}})
			case 1:
				l.Approved(Approval{Channel: report.ChannelHook, Txn: report.Txn{Entry: "chip", STAN: stan}})
				submit(t, l, wire)
				submit(t, l, log)
			case 2:
				submit(t, l, log)
				l.Approved(Approval{Channel: report.ChannelHook, Txn: report.Txn{Entry: "chip", STAN: stan}})
				submit(t, l, wire)
			}
			time.Sleep(time.Minute)
		}
		if n := l.TakeTally(time.Now()).Counts; len(n) != 1 || n[0].Count != 3 {
			t.Errorf("tally %+v, want 00 three times", n)
		}
	})
}
