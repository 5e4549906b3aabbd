// Package simulate simulates a fleet from a model: what its terminals sell, what fails and why, which are online, and
// incidents that are known beforehand. It has its own clock, so a day takes as long as looking at it does.
package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// Estate is the simulated fleet's.
const Estate = "sim"

// A Terminal is one simulated terminal.
type Terminal struct {
	Name   string
	Labels map[string]string

	opens, closes int  // minutes of the day
	off           bool // is switched off when its shop closes
	weak          bool // stands where the signal is always weak
	travellers    bool // sells to people from far away, whose cards are of other schemes
}

// closed tells whether it is switched off at a minute of the day since its shop is closed.
func (t *Terminal) closed(minute int) bool { return t.off && (minute < t.opens || minute >= t.closes) }

// A Truth is an incident that the simulation makes, to be compared with what is found.
type Truth struct {
	Name  string            `json:"name"`
	Kind  string            `json:"kind"` // surge slow silence idle
	Code  string            `json:"code,omitempty"`
	Cause string            `json:"cause"`
	Place map[string]string `json:"place"`
	Only  map[string]string `json:"only,omitempty"` // entry and card_scheme of the sales that fail
	From  time.Time         `json:"from"`
	To    time.Time         `json:"to"`

	// Told: its terminals live on without a session, and what they meet waits until they are back. What it is called then
	// is its code, cause and segment.
	Told bool `json:"told_later,omitempty"`

	// Third is when the third terminal reported it, zero if fewer did.
	Third time.Time `json:"third,omitzero"`

	Segment string       `json:"-"`
	Share   float64      `json:"-"` // of the sales that fail
	seen    map[int]bool // terminals that told
	members map[int]bool // terminals of the place
}

// A cause of everyday failures: how many sales in a thousand.
type usual struct {
	code, cause, segment string
	per                  float64
}

var everyday = []usual{
	{"51", "account.funds", "issuer", 12}, {"55", "account.pin", "issuer", 4}, {"05", "issuer.declined", "issuer", 5.2}, {"57", "issuer.declined", "issuer", 0.5}, {"62", "issuer.declined", "issuer", 0.3}, {"61", "account.limit", "issuer", 2},
	{"54", "card.expired", "card", 1}, {"ReadError", "card.damaged", "card", 2},
	{"91", "issuer.unavailable", "issuer", 0.2}, {"96", "host.malfunction", "acquirer", 0.1}, {"ConnectError", "wan.outage", "wan", 0.2}, {"ConnectError", "modem.signal-weak", "modem", 0.1},
	{"E1", "reader.dirty", "reader", 0.1}, {"97", "terminal.config", "terminal", 0.03}, {"ConnectError", "lan.cable", "lan", 0.05}, {"E5", "modem.denied", "modem", 0.03}, {"9997", report.Unexplained, "unknown", 0.05},
}

// busyness of the hours of a day: a quiet morning, lunch, the evening.
var busyness = [24]float64{.02, .01, .01, .01, .01, .05, .2, .5, .8, .9, 1, 1.5, 2.2, 1.8, 1.1, 1, 1.1, 1.5, 2.2, 2,
	1.4, .8, .3, .1}

const salesHour = 5 // of one terminal in a usual hour

// A World is a simulated fleet at a moment.
type World struct {
	Terminals []Terminal
	Truths    []*Truth
	Now       time.Time

	r        *rand.Rand
	cards    *rand.Rand // of its own, so that the rest of a seed's day does not change with it
	day      float64    // today's business
	since    []time.Time
	online   []bool
	returns  []time.Time // when one that lost its session is back
	waiting  [][]Event   // at terminals without a session
	approved []int
	failed   []int
}

// New makes a fleet of n terminals that begins at a moment.
func New(n int, seed uint64, begin time.Time) *World {
	w := &World{Now: begin, r: rand.New(rand.NewPCG(seed, 1)), cards: rand.New(rand.NewPCG(seed, 2)), day: 1}
	carriers := []string{"中国移动", "中国移动", "中国联通", "中国电信"}
	for site := 0; len(w.Terminals) < n; site++ {
		acquirer, carrier, region := w.r.IntN(5), w.r.IntN(len(carriers)), w.r.IntN(8)
		opens, closes := 60*(8+w.r.IntN(3)), 60*(20+w.r.IntN(3))+w.r.IntN(60)
		off, weak := w.r.IntN(2) == 0, w.r.IntN(50) == 0
		if w.r.IntN(20) == 0 {
			closes, off = 60*(13+w.r.IntN(6))+w.r.IntN(60), true // a canteen, a market: when no other shop closes
		}
		for range 1 + w.r.IntN(7) {
			if len(w.Terminals) == n {
				break
			}
			model := w.r.IntN(4)
			bearer := "4g"
			if w.r.IntN(4) == 0 {
				bearer = "ethernet"
			}
			w.Terminals = append(w.Terminals, Terminal{
				Name: fmt.Sprintf("t%06d", len(w.Terminals)),
				Labels: map[string]string{
					"acquirer": fmt.Sprint("bank-", acquirer), "carrier": carriers[carrier], "bearer": bearer, "site": fmt.Sprintf("site-%05d", site), "region": fmt.Sprint("region-", region),
					"model": fmt.Sprint("M", model), "firmware": fmt.Sprintf("%d.%d", model, w.r.IntN(3)), "application": fmt.Sprint("4.", w.r.IntN(3)),
				},
				opens: opens, closes: closes, off: off, weak: weak, travellers: site%25 == 7,
			})
		}
	}
	w.since, w.online, w.returns = make([]time.Time, n), make([]bool, n), make([]time.Time, n)
	w.approved, w.failed, w.waiting = make([]int, n), make([]int, n), make([][]Event, n)
	for i, t := range w.Terminals {
		w.online[i], w.since[i] = !t.closed(60*begin.Hour()+begin.Minute()), begin.Add(-12*time.Hour)
	}
	return w
}

// Add makes an incident happen.
func (w *World) Add(t Truth) *Truth {
	t.seen, t.members = map[int]bool{}, map[int]bool{}
	for i := range w.Terminals {
		if w.in(i, t.Place) {
			t.members[i] = true
		}
	}
	w.Truths = append(w.Truths, &t)
	return &t
}

func (w *World) in(i int, place map[string]string) bool {
	for d, v := range place {
		if w.Terminals[i].Labels[d] != v {
			return false
		}
	}
	return true
}

// An Event is what a terminal reports.
type Event struct {
	Terminal             int
	At                   time.Time
	Code, Cause, Segment string // a failed sale
	Entry, CardScheme    string
	Late                 bool // that waited at the terminal
	Online, Offline      bool // a session began, or ended unsaid
	Tally                bool // the hour is over: Approved and Failed sales
	Approved, Failed     int
}

// Step simulates one minute and calls each with what was reported in it.
func (w *World) Step(each func(Event)) {
	begin := w.Now
	hour, minute := begin.Hour(), 60*begin.Hour()+begin.Minute()
	if begin.Hour() == 0 && begin.Minute() == 0 {
		w.day = math.Exp(0.15 * w.r.NormFloat64())
		if d := begin.Weekday(); d == time.Saturday || d == time.Sunday {
			w.day *= 1.3
		}
	}
	w.Now = begin.Add(time.Minute)
	moment := func() time.Time { return begin.Add(time.Duration(w.r.Int64N(int64(time.Minute)))) }
	perMinute := salesHour * busyness[hour] * w.day / 60
	for i := range w.Terminals {
		t := &w.Terminals[i]
		away := w.sessions(i, minute, begin, moment, each)
		if minute < t.opens || minute >= t.closes || away != nil && !away.Told || w.r.Float64() >= perMinute ||
			w.idle(i, begin) {
			continue
		}
		at := moment()
		u, failed := usual{}, true
		entry, scheme := w.card(t)
		if away != nil {
			u = usual{away.Code, away.Cause, away.Segment, 0}
		} else if u, failed = w.sale(i, at, entry, scheme); !failed {
			w.approved[i]++
			continue
		}
		w.failed[i]++
		e := Event{Terminal: i, At: at, Code: u.code, Cause: u.cause, Segment: u.segment, Entry: entry, CardScheme: scheme}
		if e.Late = !w.online[i]; e.Late {
			w.waiting[i] = append(w.waiting[i], e)
		} else {
			each(e)
		}
	}
	if w.Now.Minute() == 0 {
		for i := range w.Terminals {
			if w.online[i] && w.approved[i]+w.failed[i] > 0 {
				each(Event{Terminal: i, At: w.Now, Tally: true, Approved: w.approved[i], Failed: w.failed[i]})
				w.approved[i], w.failed[i] = 0, 0
			}
		}
	}
}

// sessions ends and begins what a terminal has with the broker. It returns the known incident that keeps it away.
func (w *World) sessions(i, minute int, begin time.Time, moment func() time.Time, each func(Event)) *Truth {
	t := &w.Terminals[i]
	closed := t.closed(minute)
	for _, k := range w.Truths {
		if k.Kind == "silence" && k.members[i] && !begin.Before(k.From) && begin.Before(k.To) {
			if w.online[i] && !closed {
				w.tell(k, i, w.leave(i, moment(), k.To, each))
			}
			return k
		}
	}
	switch {
	case closed && w.online[i]:
		w.leave(i, moment(), begin, each)
	case closed:
	case w.online[i] && w.r.Float64() < 0.01/60:
		w.leave(i, moment(), begin.Add(time.Duration(1+w.r.IntN(20))*time.Minute), each)
	case !w.online[i] && !begin.Before(w.returns[i]):
		at := moment()
		w.online[i], w.since[i] = true, at
		each(Event{Terminal: i, At: at, Online: true})
		for _, e := range w.waiting[i] {
			each(e)
		}
		w.waiting[i] = nil
	}
	return nil
}

func (w *World) leave(i int, at, returns time.Time, each func(Event)) time.Time {
	w.online[i], w.since[i], w.returns[i] = false, at, returns
	each(Event{Terminal: i, At: at, Offline: true})
	return at
}

// sale is what became of one: approved, or failed by a known incident or by the everyday.
func (w *World) sale(i int, at time.Time, entry, scheme string) (usual, bool) {
	for _, k := range w.Truths {
		only := (k.Only["entry"] == "" || k.Only["entry"] == entry) &&
			(k.Only["card_scheme"] == "" || k.Only["card_scheme"] == scheme)
		if only && k.Kind != "silence" && k.members[i] && !at.Before(k.From) && at.Before(k.To) && w.r.Float64() < k.Share {
			w.tell(k, i, at)
			return usual{k.Code, k.Cause, k.Segment, 0}, true
		}
	}
	x := w.r.Float64() * 1000
	for _, u := range everyday {
		if u.cause == "modem.signal-weak" && w.Terminals[i].weak {
			u.per = 30
		}
		if x < u.per {
			return u, true
		}
		x -= u.per
	}
	return usual{}, false
}

// How cards are read, and whose they are, in a hundred: a card from far away is never shown as a code, and swiped more
// often; there are terminals whose customers mostly have such cards.
var (
	cardSchemes      = []share{{"unionpay", 84}, {"visa", 8}, {"mastercard", 6}, {"jcb", 2}}
	schemesTravelled = []share{{"unionpay", 30}, {"visa", 36}, {"mastercard", 26}, {"jcb", 8}}
	entries          = []share{{"contactless", 50}, {"chip", 35}, {"code", 12}, {"stripe", 3}}
	entriesForeign   = []share{{"contactless", 50}, {"chip", 35}, {"stripe", 15}}
)

// card draws how one is read and whose it is.
func (w *World) card(t *Terminal) (entry, scheme string) {
	if t.travellers {
		scheme = pickOf(w.cards, schemesTravelled)
	} else {
		scheme = pickOf(w.cards, cardSchemes)
	}
	if scheme != "unionpay" {
		return pickOf(w.cards, entriesForeign), scheme
	}
	return pickOf(w.cards, entries), scheme
}

type share struct {
	name string
	of   int
}

func pickOf(r *rand.Rand, list []share) string {
	n := r.IntN(100)
	for _, s := range list {
		if n -= s.of; n < 0 {
			return s.name
		}
	}
	return ""
}

// idle tells whether a terminal is online and sells nothing.
func (w *World) idle(i int, at time.Time) bool {
	for _, k := range w.Truths {
		if k.Kind == "idle" && k.members[i] && !at.Before(k.From) && at.Before(k.To) {
			return true
		}
	}
	return false
}

// tell notes that a terminal told of an incident.
func (w *World) tell(k *Truth, i int, at time.Time) {
	if k.seen[i] = true; len(k.seen) == 3 && k.Third.IsZero() {
		k.Third = at
	}
}

// Standing is how a terminal stands, as the store would say.
func (w *World) Standing(i int) store.Standing {
	return store.Standing{At: report.Address{Estate: Estate, Terminal: w.Terminals[i].Name}, Online: w.online[i],
		Reason: "connection lost", StateAt: w.since[i], Seen: w.Now, Scheme: "unionpay"}
}

// pick draws a place: the values of some dimensions that one terminal has, so that at least so many share them.
func (w *World) pick(least int, dims ...string) map[string]string {
	for {
		l, p := w.Terminals[w.r.IntN(len(w.Terminals))].Labels, map[string]string{}
		for _, d := range dims {
			p[d] = l[d]
		}
		n := 0
		for i := range w.Terminals {
			if w.in(i, p) {
				n++
			}
		}
		if n >= least {
			return p
		}
	}
}

// Combined adds to the day that begins at a moment twelve incidents in which only some cards fail: of a scheme, read in
// one way, with one code, all over or at terminals that share one or two things.
func (w *World) Combined(day time.Time) {
	type only = map[string]string
	for k, c := range []struct {
		name                 string
		code, cause, segment string
		dims                 []string
		only                 only
		share                float64
	}{
		{"contactless cards of one scheme fail on one firmware", "57", "issuer.declined", "issuer", []string{"firmware"}, only{"card_scheme": "visa", "entry": "contactless"}, 0.5},
		{"one scheme's cards fail at an acquirer", "91", "issuer.unavailable", "issuer", []string{"acquirer"}, only{"card_scheme": "mastercard"}, 0.5},
		{"contactless fails with a new application", "ReadError", "card.damaged", "card", []string{"model", "application"}, only{"entry": "contactless"}, 0.1},
		{"chip cards fail at an acquirer", "96", "host.malfunction", "acquirer", []string{"acquirer"}, only{"entry": "chip"}, 0.1},
		{"one scheme's contactless cards fail everywhere", "05", "issuer.declined", "issuer", nil, only{"card_scheme": "mastercard", "entry": "contactless"}, 0.3},
		{"swiped cards fail everywhere", "57", "issuer.declined", "issuer", nil, only{"entry": "stripe"}, 0.3},
		{"codes fail at an acquirer", "91", "issuer.unavailable", "issuer", []string{"acquirer"}, only{"entry": "code"}, 0.3},
		{"one code at an acquirer", "62", "issuer.declined", "issuer", []string{"acquirer"}, only{"code": "62"}, 0.01},
		{"one scheme's chip cards fail on one application", "97", "terminal.config", "terminal", []string{"application"}, only{"card_scheme": "unionpay", "entry": "chip"}, 0.05},
		{"one scheme's cards fail at an acquirer in a region", "05", "issuer.declined", "issuer", []string{"acquirer", "region"}, only{"card_scheme": "visa"}, 0.5},
		{"one scheme's contactless cards fail on one firmware at an acquirer", "57", "issuer.declined", "issuer", []string{"firmware", "acquirer"}, only{"card_scheme": "unionpay", "entry": "contactless"}, 0.2},
		{"one code of one scheme at an acquirer", "62", "issuer.declined", "issuer", []string{"acquirer"}, only{"code": "62", "card_scheme": "visa"}, 0.3},
	} {
		at := day.Add(10*time.Hour + time.Duration(k)*48*time.Minute + time.Duration(w.r.IntN(8))*time.Minute)
		w.Add(Truth{Name: c.name, Kind: "surge", Code: c.code, Cause: c.cause, Segment: c.segment, Place: w.pick(1, c.dims...),
			Only: c.only, Share: c.share, From: at, To: at.Add(35 * time.Minute)})
	}
}

// Incidents adds n incidents of different kinds to the day that begins at a moment, well apart, each at a place drawn
// at random.
func (w *World) Incidents(n int, day time.Time) {
	pick := func(dims ...string) map[string]string { return w.pick(1, dims...) }
	site := func(least int) map[string]string { return w.pick(least, "site") }
	kinds := []func(at time.Time) Truth{
		func(at time.Time) Truth {
			return Truth{Name: "storm at an acquirer", Kind: "surge", Code: "96", Cause: "host.malfunction", Segment: "acquirer",
				Place: pick("acquirer"), Share: 0.3, From: at, To: at.Add(40 * time.Minute)}
		},
		func(at time.Time) Truth {
			return Truth{Name: "a carrier's partial outage in a region", Kind: "surge", Code: "ConnectError",
				Cause: "wan.outage", Segment: "wan", Place: pick("carrier", "region"), Share: 0.3, From: at, To: at.Add(40 * time.Minute)}
		},
		func(at time.Time) Truth {
			return Truth{Name: "a bad application on one model", Kind: "surge", Code: "97", Cause: "terminal.config",
				Segment: "terminal", Place: pick("model", "application"), Share: 0.25, From: at, To: at.Add(40 * time.Minute)}
		},
		func(at time.Time) Truth {
			return Truth{Name: "a carrier's total outage in a region", Kind: "silence", Code: "ConnectError", Cause: "wan.outage", Segment: "wan", Told: true,
				Place: pick("carrier", "region"), From: at, To: at.Add(30 * time.Minute)}
		},
		func(at time.Time) Truth {
			return Truth{Name: "a site goes dark", Kind: "silence", Cause: report.Unexplained, Place: site(5), From: at, To: at.Add(30 * time.Minute)}
		},
		func(at time.Time) Truth {
			p := pick("firmware")
			p["bearer"] = "4g"
			return Truth{Name: "a firmware loses its bearer", Kind: "surge", Code: "E5", Cause: "modem.denied", Segment: "modem",
				Place: p, Share: 0.3, From: at, To: at.Add(40 * time.Minute)}
		},
		func(at time.Time) Truth {
			return Truth{Name: "readers at a site grow dirty", Kind: "slow", Code: "E1", Cause: "reader.dirty",
				Segment: "reader", Place: site(5), Share: 0.1, From: at, To: day.Add(23 * time.Hour)}
		},
		func(at time.Time) Truth {
			return Truth{Name: "one scheme's cards fail at an acquirer", Kind: "surge", Code: "91",
				Cause: "issuer.declined", Segment: "issuer", Place: pick("acquirer"), Only: map[string]string{"card_scheme": "visa"},
				Share: 0.5, From: at, To: at.Add(40 * time.Minute)}
		},
	}
	for k := range n {
		at := day.Add(11*time.Hour + time.Duration(k)*50*time.Minute + time.Duration(w.r.IntN(8))*time.Minute)
		w.Add(kinds[k%len(kinds)](at))
	}
}
