package main

import (
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

func TestInterlock(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	journal := func(ago time.Duration, f report.Facts) report.Evidence {
		return report.Evidence{Check: "app.journal", Subject: "payment-app", Status: report.OK, Facts: f, At: now.Add(-ago)}
	}
	settled := report.Facts{"unsettled": 0.0, "pending_reversals": 0.0}
	last := func(money string, ago time.Duration) *report.Diagnosis {
		return &report.Diagnosis{Event: report.Event{Code: "98", Time: now.Add(-ago)}, Money: report.Money{State: money}}
	}
	for name, c := range map[string]struct {
		st   report.State
		want string // of the English reason; empty: free
	}{
		"all settled":            {report.State{Evidence: []report.Evidence{journal(time.Minute, settled)}}, ""},
		"in a sale":              {report.State{InSale: true, Evidence: []report.Evidence{journal(time.Minute, settled)}}, "running"},
		"nothing is known":       {report.State{}, "has not told"},
		"an old word":            {report.State{Evidence: []report.Evidence{journal(time.Hour, settled)}}, "ago"},
		"a word from the future": {report.State{Evidence: []report.Evidence{journal(-time.Hour, settled)}}, "ago"},
		"unsettled": {report.State{Evidence: []report.Evidence{journal(time.Minute,
			report.Facts{"unsettled": 3.0, "pending_reversals": 0.0})}}, "3 sales"},
		"a reversal": {report.State{Evidence: []report.Evidence{journal(time.Minute,
			report.Facts{"unsettled": 0.0, "pending_reversals": 1.0})}}, "1 reversals"},
		"half a word": {report.State{Evidence: []report.Evidence{journal(time.Minute, report.Facts{"pending_reversals": 0.0})}}, "not settled"},
		"an unknown sale after it": {report.State{Evidence: []report.Evidence{journal(time.Minute, settled)},
			Last: last(report.MoneyUnknown, time.Second)}, "98"},
		"a silent sale after it": {report.State{Evidence: []report.Evidence{journal(time.Minute, settled)},
			Last: last(report.MoneySentNoAnswer, time.Second)}, "98"},
		"a declined sale after it": {report.State{Evidence: []report.Evidence{journal(time.Minute, settled)},
			Last: last(report.MoneyDeclined, time.Second)}, ""},
		"an unknown sale settled since": {report.State{Evidence: []report.Evidence{journal(time.Minute, settled)},
			Last: last(report.MoneyUnknown, time.Hour)}, ""},
		"the newest word counts": {report.State{Evidence: []report.Evidence{journal(time.Minute,
			report.Facts{"unsettled": 2.0, "pending_reversals": 0.0}), journal(2*time.Minute, settled)}}, "2 sales"},
	} {
		c.st.Time = now
		got := interlock(c.st, "en")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if (interlock(c.st, "zh") == "") != (got == "") {
			t.Errorf("%s: the languages differ", name)
		}
	}
}

// TestReset restarts a modem of a running daemon: never before the payment application has said that all is settled.
func TestReset(t *testing.T) {
	far, path := housetest.TTY(t)
	heard := make(chan string, 16)
	go housetest.Hear(far, func(b []byte) {
		heard <- string(b)
		far.WriteString("\r\nOK\r\n")
	})
	dir := t.TempDir()
	conf := func(more string) string {
		return configured(t, dir, "[[modem]]\nname = \"modem0\"\nport = \""+path+"\"\n"+more)
	}
	file := conf("may_reset = true\n")
	reset := func(want int, why string) {
		t.Helper()
		code, out, talk := cli(t, "reset", "--config", file, "--socket", dir+"/s", "--lang", "en", "modem0")
		if code != want || !strings.Contains(out+talk, why) {
			t.Errorf("exit %d, %s%s; want %d and %q", code, out, talk, want, why)
		}
		if len(heard) > 0 && want != exitOK {
			t.Errorf("the modem heard %q", <-heard)
		}
	}
	reset(exitRefused, "daemon does not answer")
	c, _, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	c.Modem = nil // its checks would speak to the modem too
	client, stop := startIn(t, c)
	defer stop()
	reset(exitRefused, "has not told")
	fact := map[string]any{"type": "fact", "check": "app.journal", "facts": map[string]any{"unsettled": 2, "pending_reversals": 0}}
	ask(t, client, fact)
	reset(exitRefused, "2 sales")
	fact["facts"] = map[string]any{"unsettled": 0, "pending_reversals": 0}
	ask(t, client, fact)
	ask(t, client, map[string]any{"type": "txn", "phase": "start"})
	reset(exitRefused, "a sale is running")
	ask(t, client, map[string]any{"type": "txn", "phase": "end", "result": "approved"})
	t.Run("all is settled", func(t *testing.T) {
		if use, err := serial.Look(path); err == nil && use.Blind {
			reset(exitFailed, "cannot see who holds it")
			t.Skip("needs root, or CAP_SYS_PTRACE: to see that nobody holds the modem")
		}
		reset(exitOK, "restarts")
		select {
		case got := <-heard:
			if got != resetCommand+"\r" {
				t.Errorf("the modem heard %q", got)
			}
		default:
			t.Error("the modem heard nothing")
		}
	})
	file = conf("")
	reset(exitRefused, "may_reset = false")
	if code, _, talk := cli(t, "reset", "--config", file, "modem7"); code != exitUsage || !strings.Contains(talk, "modem7") {
		t.Errorf("no such modem: %d, %s", code, talk)
	}
}
