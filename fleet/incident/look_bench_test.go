package incident

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"posdx/fleet/store"
)

// fleetOfSales is a look at lunch: terminals of all dimensions, every tenth of which reports an everyday decline, and
// one incident of one scheme's contactless cards on one firmware, and what has been read of two days.
func fleetOfSales(n, sites int, slow bool) Look {
	r := rand.New(rand.NewPCG(uint64(n), uint64(sites)))
	l := Look{Now: t0, Estate: "shop", Places: map[string]Place{}, Season: new(Season)}
	causes := map[string]float64{"account.funds": 0.06, "issuer.declined": 0.03, "account.pin": 0.02, "card.damaged": 0.01}
	h0 := hourOf(l.Now)
	for i := range n {
		l.Places[at(i).Terminal] = Place{"acquirer": fmt.Sprint("bank-", r.IntN(5)), "carrier": fmt.Sprint("carrier-", r.IntN(3)),
			"bearer": fmt.Sprint("b", r.IntN(2)), "site": fmt.Sprint("site-", i%sites), "region": fmt.Sprint("region-", r.IntN(8)),
			"model": fmt.Sprint("M", r.IntN(4)), "firmware": fmt.Sprint("2.", r.IntN(12)), "application": fmt.Sprint("4.", r.IntN(3)),
			"agent": fmt.Sprint("1.", r.IntN(3)), "scheme": "unionpay"}
	}
	for h := h0 - 14*24; h < h0; h++ {
		l.Season.Add(store.SeasonRow{Estate: "shop", Hour: h, Active: float64(n)})
		for c, p := range causes {
			l.Season.Add(store.SeasonRow{Estate: "shop", Cause: c, Hour: h, Terminals: 3 * p * float64(n)})
		}
	}
	for c := range causes {
		for _, k := range []struct {
			dim, value string
			part       float64
		}{{"entry", "contactless", .5}, {"entry", "chip", .4}, {"entry", "stripe", .1}, {"card_scheme", "unionpay", .8},
			{"card_scheme", "visa", .12}, {"card_scheme", "jcb", .08}} {
			l.Season.Add(store.SeasonRow{Estate: "shop", Cause: c, Dim: k.dim, Value: k.value, Hour: h0 - 24,
				Terminals: k.part * float64(10*n)})
		}
	}
	pick := func(list []string, at []float64) string {
		x := r.Float64()
		for i, p := range at {
			if x -= p; x < 0 {
				return list[i]
			}
		}
		return list[0]
	}
	fill := func(list []store.Sighting, times float64, ago time.Duration) []store.Sighting {
		for i := range n {
			for c, p := range causes {
				if r.Float64() < p*times {
					list = append(list, store.Sighting{At: at(i), Received: l.Now.Add(-time.Duration(r.Int64N(int64(ago)))), Cause: c,
						Segment: "issuer", Code: []string{"05", "51", "55", "57"}[r.IntN(4)], Sales: 1,
						Entry:      pick([]string{"contactless", "chip", "stripe"}, []float64{.5, .4, .1}),
						CardScheme: pick([]string{"unionpay", "visa", "jcb"}, []float64{.8, .12, .08})})
				}
			}
		}
		return list
	}
	l.Recent = fill(nil, 0.75, Window)
	l.Before = fill(nil, 10, SlowWindow)
	if slow {
		l.Slow = l.Before
	}
	for i := range n {
		if t := at(i); l.Places[t.Terminal]["firmware"] == "2.7" && r.IntN(10) == 0 {
			l.Recent = append(l.Recent, store.Sighting{At: t, Received: l.Now, Code: "57", Cause: "issuer.declined",
				Segment: "issuer", Entry: "contactless", CardScheme: "visa", Sales: 1})
		}
	}
	return l
}

// BenchmarkLook is one look, every 15 seconds in a running fleet, a slow one every quarter of an hour.
func BenchmarkLook(b *testing.B) {
	for _, c := range []struct {
		name     string
		n, sites int
		slow     bool
	}{
		{"10000", 10_000, 2500, false}, {"10000-slow", 10_000, 2500, true}, {"100000", 100_000, 25_000, false},
		{"100000-slow", 100_000, 25_000, true},
		{"100000-a-site-each", 100_000, 100_000, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := fleetOfSales(c.n, c.sites, c.slow)
			b.ReportMetric(float64(len(l.Recent)), "reports")
			for b.Loop() {
				Detect(l)
			}
		})
	}
}

// In a look at lunch, full of everyday declines, the one incident is named by firmware, scheme and entry.
func TestALookAtLunch(t *testing.T) {
	found := Detect(fleetOfSales(4000, 1000, false))
	if len(found) != 1 || found[0].Place.String() != "firmware=2.7" ||
		Place(found[0].Only).String() != "card_scheme=visa entry=contactless" {
		t.Errorf("%+v", found)
	}
}
