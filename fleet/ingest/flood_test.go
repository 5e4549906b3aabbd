package ingest

import (
	"fmt"
	"testing"
	"time"

	"posdx/agent/report"
)

func TestFloodsAreLimitedAndBacklogsAreNot(t *testing.T) {
	at := func(n int) report.Address { return report.Address{Estate: "shop", Terminal: fmt.Sprint("t", n)} }
	count := func(f *floods, who report.Address, n int, now time.Time) int {
		ok := 0
		for range n {
			if f.allow(who, now) {
				ok++
			}
		}
		return ok
	}
	var one floods
	if n := count(&one, at(1), 2*floodBurst, t0); n != floodBurst {
		t.Errorf("of a flood by one terminal %d were taken, want %d", n, floodBurst)
	}
	if n := count(&one, at(2), 100, t0); n != 100 {
		t.Errorf("beside the flood another terminal got %d of 100 in", n)
	}
	if n := count(&one, at(1), 2*floodHour, t0.Add(time.Hour)); n != floodHour {
		t.Errorf("an hour later %d were taken, want %d", n, floodHour)
	}
	if n := count(&one, at(1), floodBurst, t0.Add(48*time.Hour)); n != floodBurst {
		t.Errorf("two days later %d were taken", n)
	}

	// Many that bring a backlog at once are no flood, however long it is.
	var many floods
	for range 2 * floodBurst {
		for i := range 8 {
			if !many.allow(at(i), t0) {
				t.Fatal("a backlog of many terminals was limited")
			}
		}
	}
}
