package triage

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/report"
)

// TestFinalRevisionKeepsItsTimeWhateverHangs: drivers that let go of nothing, others that answer late, a flash that
// takes long over each document and more codes meanwhile: each final revision goes out within its five seconds all
// the same.
func TestFinalRevisionKeepsItsTimeWhateverHangs(t *testing.T) {
	for _, takes := range []time.Duration{0, 100 * time.Millisecond, 250 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			over := make(chan struct{})
			deaf := func(check, device string) probe.Probe { // it does not hear that its time is over
				return probe.Probe{Checks: []evidence.Check{evidence.Check(check)}, Subject: "x", Device: device,
					Depth: report.Internal, Timeout: 10 * time.Second, Fresh: time.Minute,
					Run: func(context.Context) []report.Evidence { <-over; return nil }}
			}
			l := start(t, &flash{slow: takes}, deaf("modem.port", "/dev/ttyS1"), deaf("modem.sim", "/dev/ttyS1"), deaf("reader.port", "/dev/ttyS2"),
				deaf("board.storage", ""), deaf("net.dns", ""), slow("net.tcp", report.OK, report.Facts{"outcome": "ok"}, 3900*time.Millisecond, 0),
				slow("net.link", report.OK, report.Facts{"carrier": true}, 300*time.Millisecond, 0), slow("net.path", report.OK, nil, time.Hour, 0))
			all := make(chan string, 3)
			for i, wait := range []time.Duration{0, 100 * time.Millisecond, 1900 * time.Millisecond} {
				time.Sleep(wait)
				began := time.Now()
				k := submit(t, l, Code{Event: report.Event{Code: []string{"ConnectError", "newpos:E5", "newpos:E7"}[i], Scheme: "terminal-local",
					Origin: report.OriginTerminal, Channel: report.ChannelHook, Txn: &report.Txn{STAN: fmt.Sprint(i)}}})
				go func() {
					d, ok := <-k.Final
					said := ""
					if took := time.Since(began); !ok || !d.Final || took > Deadline {
						said = fmt.Sprintf("code %d, flash %v: final %v after %v", i, takes, ok && d.Final, took)
					}
					all <- said
				}()
			}
			for range 3 {
				if said := <-all; said != "" {
					t.Error(said)
				}
			}
			close(over)
		})
	}
}
