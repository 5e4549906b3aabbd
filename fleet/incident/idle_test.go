package incident

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// BenchmarkIdles is one look at a fleet before it opens, when every terminal has been quiet for ten hours, and what the
// sales of its sites by the hour of the week take in memory.
// go test ./fleet/incident -run - -bench Idles -benchtime 5x
func BenchmarkIdles(b *testing.B) {
	const terminals, each = 100_000, 3 // of a site
	now := t0.Truncate(24 * time.Hour).Add(7 * time.Hour)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	season := new(Season)
	for h := hourOf(now) - 28*24; h < hourOf(now); h++ {
		season.Add(store.SeasonRow{Estate: "shop", Hour: h, Active: terminals})
		for site := 0; site < terminals/each && h%24 >= 9 && h%24 < 21; site++ {
			season.Add(store.SeasonRow{Estate: "shop", Cause: SegmentIdle, Dim: dimSales, Value: fmt.Sprint("site-", site), Hour: h,
				Terminals: each})
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	w := &Watch{season: season, places: map[string]map[string]Place{"shop": {}}}
	var standings []store.Standing
	for i := range terminals {
		w.places["shop"][at(i).Terminal] = Place{"site": fmt.Sprint("site-", i/each)}
		standings = append(standings, store.Standing{At: report.Address{Estate: "shop", Terminal: at(i).Terminal}, Online: true,
			StateAt: now.Add(-72 * time.Hour), GoodAt: now.Add(-10 * time.Hour)})
	}
	for b.Loop() {
		if list := w.idles(standings, now); len(list) > 0 {
			b.Fatalf("%d of a fleet that is closed", len(list))
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB")
}
