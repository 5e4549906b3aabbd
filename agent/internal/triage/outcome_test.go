package triage

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/report"
)

// A socket is a network cable that can be pulled.
type socket struct{ out atomic.Bool }

func (s *socket) probe() probe.Probe {
	return probe.Probe{Checks: []evidence.Check{evidence.NetLink}, Subject: "eth0", Depth: report.Internal,
		Timeout: time.Second, Fresh: time.Minute, Idle: true,
		Run: func(context.Context) []report.Evidence {
			e := report.Evidence{Check: "net.link", Subject: "eth0", Status: report.OK, Facts: report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true, "flaps_1h": 0.0}}
			if s.out.Load() {
				e.Status, e.Facts = report.Bad, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": false, "flaps_1h": 0.0}
			}
			return []report.Evidence{e}
		}}
}

// outcomes collects what became of diagnoses.
type outcomes struct {
	mu   sync.Mutex
	list []report.Outcome
}

func (o *outcomes) take(doc []byte) {
	var one report.Outcome
	if err := json.Unmarshal(doc, &one); err != nil {
		panic(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, one)
}

func (o *outcomes) words() (w string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range o.list {
		w += x.Outcome + " "
	}
	return w
}

func connectError(stan string) Code {
	return Code{Event: report.Event{Code: "ConnectError", Origin: report.OriginTerminal, Channel: report.ChannelHook,
		Txn: &report.Txn{STAN: stan, Sent: no(), HostAnswerSeen: no()}}}
}

// TestOldFindingsDoNotOutliveANewLook: after a fault has ended neither a repeat nor a new code is told of it.
func TestOldFindingsDoNotOutliveANewLook(t *testing.T) {
	for _, code := range []string{"ConnectError", "CommunicationError"} {
		synctest.Test(t, func(t *testing.T) {
			var cable socket
			cable.out.Store(true)
			l := start(t, &flash{}, cable.probe())
			if d := <-submit(t, l, connectError("1")).Final; d.Causes[0].ID != "lan.cable" {
				t.Fatalf("with the cable out: %s", d.Causes[0].ID)
			}
			cable.out.Store(false)
			time.Sleep(12 * time.Second)
			c := connectError("2")
			c.Event.Code = code
			if d := <-submit(t, l, c).Final; d.Causes[0].ID == "lan.cable" {
				t.Errorf("%s, 12 s after the cable was put back: still %s %.2f", code, d.Causes[0].ID, d.Causes[0].Probability)
			}
			if d, _ := l.Last(); d.Causes[0].ID == "lan.cable" {
				t.Error("the newest verdict still names it")
			}
		})
	}
}

// TestWhatBecameOfADiagnosis: a check that turns good and the first good sale are told, and so is what speaks against
// it.
func TestWhatBecameOfADiagnosis(t *testing.T) {
	look := func(l *Loop) {
		l.c.Runner.Run(context.Background(), l.c.Runner.Probes(), nil)
		l.Look()
	}
	sale := func(t *testing.T, l *Loop) { <-submit(t, l, answeredCode("00", "99")).Final }
	for name, c := range map[string]struct {
		story func(t *testing.T, l *Loop, cable *socket)
		want  string
	}{
		"put back, then a sale": {func(t *testing.T, l *Loop, cable *socket) { cable.out.Store(false); look(l); sale(t, l); sale(t, l) }, "mended borne-out "},
		"put back, no sale":     {func(t *testing.T, l *Loop, cable *socket) { cable.out.Store(false); look(l); look(l) }, "mended "},
		"a sale while it is out": {func(t *testing.T, l *Loop, cable *socket) {
			look(l)
			sale(t, l)
			time.Sleep(time.Second)
			look(l)
		}, "refuted "},
		"put back between a look and a sale": {func(t *testing.T, l *Loop, cable *socket) {
			look(l)
			cable.out.Store(false)
			sale(t, l)
			time.Sleep(time.Second)
			look(l)
		}, "borne-out "},
		"put back, the code again": {func(t *testing.T, l *Loop, cable *socket) {
			cable.out.Store(false)
			look(l)
			time.Sleep(time.Minute)
			<-submit(t, l, connectError("7")).Final
		}, "mended refuted "},
		"nothing for a day": {func(t *testing.T, l *Loop, cable *socket) { time.Sleep(25 * time.Hour); look(l) }, "untested "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cable socket
				cable.out.Store(true)
				l := start(t, &flash{}, cable.probe())
				var told outcomes
				l.c.Outcome = told.take
				d := <-submit(t, l, connectError("1")).Final
				time.Sleep(time.Minute)
				c.story(t, l, &cable)
				synctest.Wait()
				if got := told.words(); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if o, ok := l.Outcome(); name != "put back, the code again" && (!ok || o.Diagnosis != d.ID) {
					t.Errorf("the page is not told: %+v, %v", o, ok)
				}
			})
		})
	}
}

// TestThePageCountsWhatCame: how often a code came is on the page at once, and 096 is the 96 that it is in every count.
func TestThePageCountsWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cable socket
		l := start(t, &flash{}, cable.probe())
		codes := []string{"96", "096", " 96", "96"}
		for i, code := range codes {
			<-submit(t, l, answeredCode(code, fmt.Sprint(i+1))).Final
			time.Sleep(400 * time.Millisecond)
		}
		d, _ := l.Last()
		if d.Event.Code != "96" || d.Repeats != len(codes)-1 {
			t.Errorf("code %q, %d repeats of %d sales", d.Event.Code, d.Repeats, len(codes))
		}
		if tally := l.TakeTally(time.Now()); len(tally.Counts) != 1 || tally.Counts[0].Count != len(codes) {
			t.Errorf("tally %+v", tally.Counts)
		}
	})
}
