package incident

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(n int) report.Address { return report.Address{Estate: "shop", Terminal: fmt.Sprint("t", n)} }

// fleetOf is a quiet fleet of n terminals.
func fleetOf(n int) Look {
	l := Look{Now: t0, Active: map[report.Address]string{}, Rates: map[store.RateKey]store.Rate{}}
	for i := range n {
		l.Active[at(i)] = "unionpay"
	}
	return l
}

// sees adds that the first n terminals see a code.
func (l Look) sees(n int, code, cause, segment string) Look {
	for i := range n {
		l.Sightings = append(l.Sightings, store.Sighting{At: at(i), Scheme: "unionpay", Code: code, Cause: cause, Segment: segment})
	}
	return l
}

func (l Look) rate(code string, seen, hours int64) Look {
	l.Rates[store.RateKey{Estate: "shop", Scheme: "unionpay", Code: code}] = store.Rate{Seen: seen, Hours: hours}
	return l
}

func TestDetect(t *testing.T) {
	week := int64(1000 * 24 * 7)
	for _, c := range []struct {
		name string
		look Look
		want []string // scope/key/cause terminals/of
	}{
		{"quiet", fleetOf(1000), nil},
		{"two prove little", fleetOf(2).sees(2, "96", "host.malfunction", "acquirer").rate("96", 1, week), nil},
		{"a rare code on five of a thousand", fleetOf(1000).sees(5, "96", "host.malfunction", "acquirer").rate("96", 10, week), []string{"acquirer/unionpay/host.malfunction 5/1000"}},
		{"the same, were the code common", fleetOf(1000).sees(5, "96", "host.malfunction", "acquirer").rate("96", week/50, week), nil},
		{"51 is daily bread", fleetOf(1000).sees(70, "51", "account.funds", "issuer").rate("51", week/4, week), nil},
		{"51 from everybody is not", fleetOf(1000).sees(600, "51", "account.funds", "issuer").rate("51", week/4, week), []string{"acquirer/unionpay/account.funds 600/1000"}},
		{"no history yet, a few of a small fleet", fleetOf(10).sees(3, "96", "host.malfunction", "acquirer"), []string{"acquirer/unionpay/host.malfunction 3/10"}},
		{"no history yet, a few of a large one", fleetOf(1000).sees(3, "96", "host.malfunction", "acquirer"), nil},
		{"a new code that nobody can explain", fleetOf(50).sees(9, "9997", "unexplained", "unknown"), []string{"acquirer/unionpay/unexplained 9/50"}},
		{"cards are shared by none", fleetOf(50).sees(40, "54", "card.expired", "card"), nil},
		{"success is no incident", fleetOf(50).sees(40, "00", "none", "-"), nil},
		{"no inventory: shown, but for the estate", fleetOf(50).sees(20, "newpos:E5", "modem.denied", "modem"), []string{"estate/shop/modem.denied 20/50"}},
		{"one terminal a thousand times", func() Look {
			l := fleetOf(50)
			for range 1000 {
				l = l.sees(1, "96", "host.malfunction", "acquirer")
			}
			return l
		}(), nil},
		{"two causes at once", fleetOf(100).sees(30, "96", "host.malfunction", "acquirer").sees(20, "91", "issuer.unavailable", "issuer"), []string{"acquirer/unionpay/host.malfunction 30/100", "acquirer/unionpay/issuer.unavailable 20/100"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, i := range Detect(c.look) {
				got = append(got, fmt.Sprintf("%s/%s/%s %d/%d", i.Scope, i.Key, i.Cause, i.Terminals, i.Of))
				if !i.Opened.Equal(t0) || i.Peak != i.Terminals || i.No != 0 {
					t.Errorf("%+v", i)
				}
			}
			if strings.Join(got, "; ") != strings.Join(c.want, "; ") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestInventoryNamesTheScope(t *testing.T) {
	var b strings.Builder
	b.WriteString("estate,terminal,acquirer,carrier,site,note\n")
	for i := range 60 {
		fmt.Fprintf(&b, "shop,t%d,bank-%d,carrier %d,site-%d,x\n", i, i%2, i%3, i/10)
	}
	inv, err := ReadInventory(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	l := fleetOf(60)
	l.Inventory = inv
	for i := range 60 {
		if i%3 == 1 {
			l.Sightings = append(l.Sightings, store.Sighting{At: at(i), Scheme: "unionpay", Code: "newpos:E5", Cause: "modem.denied", Segment: "modem"})
		}
		if i/10 == 2 {
			l.Sightings = append(l.Sightings, store.Sighting{At: at(i), Scheme: "unionpay", Code: "newpos:E5", Cause: "lan.gateway", Segment: "lan"})
		}
	}
	found := Detect(l)
	if len(found) != 2 || found[0].Key != "carrier 1" || found[0].Of != 20 || found[0].Terminals != 20 || found[1].Key != "site-2" || found[1].Of != 10 {
		t.Fatalf("%+v", found)
	}
	a := Advisories(found)
	if got := a["pos/v1/shop/advisory/carrier/carrier-1"]; got.SharePct != 100 || got.Key != "carrier-1" || got.Cause != "modem.denied" {
		t.Errorf("%+v", a)
	}

	for file, says := range map[string]string{
		"":                                       "EOF",
		"terminal\nt1\n":                         "no column estate",
		"estate,terminal\nshop\n":                "wrong number of fields",
		"estate,terminal\nshop,t1\nshop,a b\n":   "line 3",
		"estate,terminal,site\nshop,t1,\"x\ny\n": "quote",
	} {
		if _, err := ReadInventory(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", file, err, says)
		}
	}
}

func TestIncidentsLastAndEnd(t *testing.T) {
	open := Detect(fleetOf(100).sees(30, "96", "host.malfunction", "acquirer"))
	if len(open) != 1 {
		t.Fatal(open)
	}
	open[0].No = 7

	l := fleetOf(100).sees(20, "96", "host.malfunction", "acquirer")
	l.Now, l.Open = t0.Add(time.Minute), open
	open = Detect(l)
	if len(open) != 1 || open[0].No != 7 || open[0].Terminals != 20 || open[0].Peak != 30 || !open[0].Opened.Equal(t0) || !open[0].Closed.IsZero() {
		t.Fatalf("goes on: %+v", open)
	}
	l = fleetOf(100).sees(2, "96", "host.malfunction", "acquirer")
	l.Now, l.Open = t0.Add(time.Hour), open
	open = Detect(l)
	if len(open) != 1 || open[0].No != 7 || !open[0].Closed.Equal(l.Now) {
		t.Fatalf("ends: %+v", open)
	}
	if a := Advisories(open); len(a) != 0 {
		t.Errorf("an ended incident still advises: %v", a)
	}
}

func TestAdvisoryIsTheWorst(t *testing.T) {
	found := Detect(fleetOf(100).sees(30, "96", "host.malfunction", "acquirer").sees(20, "91", "issuer.unavailable", "issuer"))
	a := Advisories(found)
	want := report.Advisory{Scope: "acquirer", Key: "unionpay", Code: "96", Terminals: 30, SharePct: 30, Time: t0, Cause: "host.malfunction"}
	if len(a) != 1 || !reflect.DeepEqual(a["pos/v1/shop/advisory/acquirer/unionpay"], want) {
		t.Errorf("%+v", a)
	}
}

func TestPoissonTail(t *testing.T) {
	// Against sums of the definition.
	for _, c := range []struct {
		n    int
		mean float64
	}{{1, 0.5}, {3, 0.1}, {3, 3}, {10, 4}, {5, 20}, {100, 40}, {40, 100}, {0, 5}} {
		below, p := 0.0, math.Exp(-c.mean)
		for k := range c.n {
			below += p
			p *= c.mean / float64(k+1)
		}
		want := 1 - below
		if got := poissonTail(c.n, c.mean); math.Abs(got-want) > 1e-9 {
			t.Errorf("P(X >= %d), mean %g: %g, want %g", c.n, c.mean, got, want)
		}
	}
	if got := poissonTail(200_000, 1000); got != 0 {
		t.Errorf("far tail %g", got)
	}
	if got := poissonTail(3, 0); got != 0 {
		t.Errorf("mean 0: %g", got)
	}
}
