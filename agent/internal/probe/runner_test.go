package probe

import (
	"context"
	"posdx/agent/evidence"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/report"
)

func answer(check, subject string, status report.Status, after time.Duration) Probe {
	return Probe{
		Checks: []evidence.Check{evidence.Check(check)}, Subject: subject, Depth: report.Internal, Timeout: time.Second,
		Fresh: time.Minute, Idle: true,
		Run: func(ctx context.Context) []report.Evidence {
			select {
			case <-time.After(after):
				return []report.Evidence{{Check: check, Subject: subject, Status: status}}
			case <-ctx.Done():
				return []report.Evidence{{Check: check, Subject: subject, Status: report.CannotTell, Facts: report.Facts{"reason": "timeout"}}}
			}
		},
	}
}

func hung(check, device string, release chan struct{}) Probe {
	return Probe{Checks: []evidence.Check{evidence.Check(check)}, Subject: "s", Device: device, Timeout: time.Second,
		Fresh: time.Minute,
		Run: func(context.Context) []report.Evidence {
			<-release
			return []report.Evidence{{Check: check, Subject: "s", Status: report.OK}}
		}}
}

func find(t *testing.T, list []report.Evidence, check string) report.Evidence {
	t.Helper()
	for _, e := range list {
		if e.Check == check {
			return e
		}
	}
	t.Fatalf("no %s in %v", check, list)
	return report.Evidence{}
}

func TestHungDeviceDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		quick := answer("net.link", "eth0", report.OK, 10*time.Millisecond)
		r := NewRunner([]Probe{hung("reader.port", "reader0", release), quick})
		start := time.Now()
		var first time.Duration
		r.Run(t.Context(), r.Probes(), func(e []report.Evidence) {
			if e[0].Check == "net.link" {
				first = time.Since(start)
			}
		})
		if first != 10*time.Millisecond {
			t.Errorf("quick probe answered after %v, want 10ms", first)
		}
		if took := time.Since(start); took != time.Second+grace {
			t.Errorf("run took %v, want the hung probe's deadline and the grace", took)
		}
		e := find(t, r.Known(time.Now()), "reader.port")
		if reason, _ := e.Facts.Str("reason"); e.Status != report.CannotTell || reason != report.ReasonTimeout {
			t.Errorf("hung probe: got %s %v, want cannot-tell timeout", e.Status, e.Facts)
		}
		// The device is still held by the hung call: the next question to it must not start a second one.
		r.Run(t.Context(), r.Probes()[:1], nil)
		close(release)
		synctest.Wait()
		r.Run(t.Context(), r.Probes()[:1], nil)
		if e := find(t, r.Known(time.Now()), "reader.port"); e.Status != report.OK {
			t.Errorf("after release: got %s, want ok", e.Status)
		}
	})
}

func TestSaleStopsProbesAndKeepsWhatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner([]Probe{answer("net.tcp", "host-primary", report.OK, 100*time.Millisecond), answer("net.mtu", "host-primary", report.OK, time.Second/2)})
		r.Run(t.Context(), r.Probes()[:1], nil)
		go func() {
			time.Sleep(50 * time.Millisecond)
			r.SaleBegins(time.Now())
		}()
		start := time.Now()
		r.Run(t.Context(), r.Probes(), nil)
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("probes ran on for %v in a sale, want at most 100ms", took)
		}
		known := r.Known(time.Now())
		if e := find(t, known, "net.tcp"); e.Status != report.OK {
			t.Errorf("net.tcp: got %s, want the ok of before", e.Status)
		}
		if e := find(t, known, "net.mtu"); e.Status != report.NotRun {
			t.Errorf("net.mtu: got %s, want not-run", e.Status)
		}
		if stale := r.Stale(start.Add(-time.Hour)); len(stale) != 1 || stale[0].Checks[0] != "net.mtu" {
			t.Errorf("stale: got %v, want the probe that was cut short", stale)
		}
		time.Sleep(saleLimit)
		r.Run(t.Context(), r.Probes(), nil)
		if e := find(t, r.Known(time.Now()), "net.mtu"); e.Status != report.OK {
			t.Errorf("a sale nobody ended still holds the checks after %v: %s", saleLimit, e.Status)
		}
	})
}

func TestBackgroundSleepsBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		p := answer("net.link", "eth0", report.OK, 0)
		inner := p.Run
		p.Run = func(ctx context.Context) []report.Evidence { runs++; return inner(ctx) }
		active := answer("net.path", "host-primary", report.OK, 0)
		active.Idle = false
		seldom, asked := answer("modem.port", "modem0", report.OK, 0), 0
		seldom.Every = 5 * time.Minute
		seldom.Run = func(ctx context.Context) []report.Evidence { asked++; return inner(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Second)
		defer cancel()
		changes, rests := 0, 0
		r := NewRunner([]Probe{p, active, seldom})
		r.Rests = func() { rests++ }
		if err := r.Background(ctx, func() { changes++ }); err != nil {
			t.Fatal(err)
		}
		if asked != 3 {
			t.Errorf("one that is dear ran %d times in ten minutes, want 3", asked)
		}
		if runs != 11 || changes != 1 {
			t.Errorf("got %d runs and %d changes in ten minutes, want 11 and 1", runs, changes)
		}
		// What is told of a change works on when the round is over.
		if rests != 11+changes {
			t.Errorf("%d times it was said that a round is over, want 11 and one more for each change", rests)
		}
	})
}

// TestWhatIsDueSoonGoesWithTheRound: periods that differ by less than the pause between rounds make no rounds of their
// own.
func TestWhatIsDueSoonGoesWithTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := answer("modem.port", "modem0", report.OK, 0)
		late.Every = time.Minute + time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Second)
		defer cancel()
		rounds := 0
		r := NewRunner([]Probe{answer("net.link", "eth0", report.OK, 0), late})
		r.Rests = func() { rounds++ }
		if err := r.Background(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if rounds != 61 {
			t.Errorf("%d rounds in an hour of two checks a minute, want 61", rounds)
		}
	})
}

func TestAgeIsCountedFromTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner([]Probe{answer("net.link", "eth0", report.Bad, 30*time.Millisecond)})
		r.Run(t.Context(), r.Probes(), nil)
		time.Sleep(2 * time.Second)
		e := r.Known(time.Now())[0]
		if e.AgeMS < 2000 || e.AgeMS > 2001 || e.TookMS != 30 {
			t.Errorf("got age %d ms, took %d ms, want 2000 and 30", e.AgeMS, e.TookMS)
		}
	})
}
