package incident

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

const (
	// Every is the time between two looks.
	Every = 15 * time.Second

	// again is the time after a look that failed, at the start because the broker is not yet connected.
	again = 2 * time.Second

	// repeat is how old a retained advisory may grow while its incident lasts; agents weigh it by its age.
	repeat = 5 * time.Minute

	slowEvery  = 15 * time.Minute
	activeBack = 2 * time.Hour // two tallies

	// SeasonBack is how far the base rate reaches back.
	SeasonBack = 35 * 24 * time.Hour

	maxTold = 100_000 // advisories remembered; more cannot be ours
)

// A source is the part of the store that incidents are found in and kept in.
type source interface {
	Sightings(ctx context.Context, since time.Time) ([]store.Sighting, error)
	Standings(ctx context.Context, since time.Time) ([]store.Standing, error)
	Backlog(ctx context.Context, after int64, since, until time.Time, limit int) ([]store.Sighting, int64, error)
	Births(ctx context.Context, since time.Time, each func(report.Address, time.Time, report.Birth)) error
	Seasons(ctx context.Context, since time.Time, each func(store.SeasonRow)) error
	AddSeason(ctx context.Context, rows []store.SeasonRow) error
	Sales(ctx context.Context, since time.Time) (map[string]map[int64]float64, error)
	Incidents(ctx context.Context, limit int) ([]store.Incident, error)
	SaveIncident(ctx context.Context, i *store.Incident) error
}

// A Watch looks for incidents again and again.
type Watch struct {
	Source    source
	Inventory *InventoryFile // nil: what terminals say of themselves is all
	// asks to read the inventory now; nil: only when it changes
	Reload  <-chan struct{}
	Key     ed25519.PrivateKey                                            // signs advisories; nil: they go unsigned
	Publish func(ctx context.Context, topic string, payload []byte) error // retained
	Changed func()                                                        // an incident began, changed or ended
	Log     *slog.Logger

	// Only Run touches these.
	season  *Season
	began   time.Time // the first look
	births  map[report.Address]report.Birth
	bornAt  time.Time
	known   map[report.Address]placed
	sales   map[string]map[int64]float64
	soldAt  int64 // hour
	slow    []store.Sighting
	slowAt  time.Time
	late    late
	selling map[int64]map[report.Address]bool // by hour, this one and the last: who told of sales
	places  map[string]map[string]Place       // by estate and terminal
	members map[string]map[string]Member

	mu   sync.Mutex
	told map[string]report.Advisory // by topic, what the broker retains; guarded by mu
}

// placed is a place with the code table that it was made for.
type placed struct {
	scheme string
	place  Place
}

// Told records an advisory that the broker retains, so that one which is over can be cleared even if an earlier run of
// the fleet published it. An empty payload means that it was cleared.
func (w *Watch) Told(topic string, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil {
		w.told = map[string]report.Advisory{}
	}
	if len(payload) == 0 {
		delete(w.told, topic)
		return
	}
	var keys []ed25519.PublicKey
	if w.Key != nil {
		keys = append(keys, w.Key.Public().(ed25519.PublicKey))
	}
	a, err := report.ReadAdvisory(topic, payload, keys)
	if err != nil {
		a = report.Advisory{} // not ours: it differs from every advisory, so it is replaced or cleared
	}
	if _, known := w.told[topic]; known || len(w.told) < maxTold {
		w.told[topic] = a
	}
}

// Run looks again and again until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	w.season = nil // another process may have led meanwhile
	for {
		wait := Every
		if err := w.Look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			w.Log.Warn("cannot look for incidents; trying again", "error", err)
			wait = again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.Reload:
			w.loadInventory(true)
		case <-time.After(wait):
		}
	}
}

func (w *Watch) loadInventory(again bool) {
	news, err := w.Inventory.Load(again)
	switch {
	case err != nil:
		w.Log.Error("the inventory cannot be read; what was read before stands", "error", err)
	case news || again && w.Inventory != nil:
		w.known = map[report.Address]placed{}
		w.Log.Info("inventory read", "terminals", len(w.Inventory.inv))
	}
}

// Look looks once.
func (w *Watch) Look(ctx context.Context, now time.Time) error {
	w.loadInventory(false)
	if w.season == nil {
		season := new(Season)
		if err := w.Source.Seasons(ctx, now.Add(-SeasonBack), season.Add); err != nil {
			return err
		}
		w.season, w.slowAt, w.births, w.bornAt = season, time.Time{}, map[report.Address]report.Birth{}, time.Time{}
		w.began = now
		w.known, w.soldAt, w.late = map[report.Address]placed{}, 0, newLate()
		w.selling = map[int64]map[report.Address]bool{}
	}
	standings, err := w.gather(ctx, now)
	if err != nil {
		return err
	}
	list, err := w.Source.Incidents(ctx, store.MaxRows)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(i store.Incident) bool {
		return !i.Closed.IsZero() &&
			now.Sub(i.Closed) >= SlowWindow
	})
	recent, err := w.Source.Sightings(ctx, now.Add(-Window))
	if err != nil {
		return err
	}
	silences := silences(standings)
	recent = append(recent, since(silences, now.Add(-Window))...)
	recent = append(recent, w.idles(standings, now)...)
	slowNow := now.Sub(w.slowAt) >= slowEvery || now.Before(w.slowAt)
	if slowNow {
		if w.slow, err = w.Source.Sightings(ctx, now.Add(-SlowWindow)); err != nil {
			return err
		}
		w.slowAt = now
	}
	if err := w.late.read(ctx, w.Source, now); err != nil {
		return err
	}
	if err := w.close(ctx, now, silences, list); err != nil {
		return err
	}
	if this := hourOf(now); this != w.soldAt {
		if w.sales, err = w.Source.Sales(ctx, now.Add(-7*24*time.Hour)); err != nil {
			return err
		}
		w.soldAt = this
	}

	estates := map[string]bool{}
	for e := range w.places {
		estates[e] = true
	}
	for _, i := range list {
		estates[i.Estate] = true
	}
	changed := false
	for _, estate := range slices.Sorted(maps.Keys(estates)) {
		var told bool
		if list, told, err = w.past(ctx, now, estate, recent, list); err != nil {
			return err
		}
		changed = changed || told
		l := Look{Now: now, Estate: estate, Places: w.places[estate], Recent: recent, Before: w.slow, Season: w.season,
			Sales: busy(w.sales[estate], hourOf(now))}
		if n := len(l.Places); n > 0 {
			l.Rate = w.sales[estate][hourOf(now)-1] / float64(n)
		}
		if slowNow {
			l.Slow = w.slow
		}
		l = l.After(list)
		for _, i := range Follow(l, Detect(l), list, w.members[estate]) {
			began := i.No == 0
			if err := w.Source.SaveIncident(ctx, &i); err != nil {
				return err
			}
			changed = true
			says := []any{"no", i.No, "kind", i.Kind, "cause", i.Cause, "scope", i.Scope, "key", i.Key, "terminals", i.Terminals, "of", i.Of}
			switch {
			case began:
				w.Log.Warn("incident begins", says...)
			case !i.Closed.IsZero():
				w.Log.Info("incident ends", append(says, "peak", i.Peak, "proof", i.Proof)...)
			}
		}
	}
	if changed {
		w.Changed()
		if list, err = w.Source.Incidents(ctx, store.MaxRows); err != nil {
			return err
		}
	}
	return w.tell(ctx, now, list)
}

// gather reads who is there and what each shares with others.
func (w *Watch) gather(ctx context.Context, now time.Time) ([]store.Standing, error) {
	standings, err := w.Source.Standings(ctx, now.Add(-activeBack))
	if err != nil {
		return nil, err
	}
	err = w.Source.Births(ctx, w.bornAt, func(at report.Address, when time.Time, b report.Birth) {
		w.births[at] = report.Birth{Agent: b.Agent, Labels: b.Labels}
		delete(w.known, at)
		if when.After(w.bornAt) {
			w.bornAt = when
		}
	})
	if err != nil {
		return nil, err
	}
	w.places, w.members = map[string]map[string]Place{}, map[string]map[string]Member{}
	assume(standings)
	w.sell(standings, now)
	for _, s := range standings {
		if w.places[s.At.Estate] == nil {
			w.places[s.At.Estate], w.members[s.At.Estate] = map[string]Place{}, map[string]Member{}
		}
		p, ok := w.known[s.At]
		if !ok || p.scheme != s.Scheme {
			p = placed{s.Scheme, PlaceOf(w.births[s.At], s.Scheme, w.Inventory.Of(s.At))}
			w.known[s.At] = p
		}
		w.places[s.At.Estate][s.At.Terminal] = p.place
		w.members[s.At.Estate][s.At.Terminal] = Member{Online: s.Online, GoodAt: s.GoodAt}
	}
	return standings, nil
}

// assume gives terminals whose code table is not known yet the table of nine in ten of their estate. A terminal reports
// its table with its first code; if the others were left without one, having a table would itself be a mark of the
// terminals that report failures.
func assume(list []store.Standing) {
	count, known := map[string]map[string]int{}, map[string]int{}
	for _, s := range list {
		if s.Scheme != "" {
			if count[s.At.Estate] == nil {
				count[s.At.Estate] = map[string]int{}
			}
			count[s.At.Estate][s.Scheme]++
			known[s.At.Estate]++
		}
	}
	for i := range list {
		s := &list[i]
		for scheme, n := range count[s.At.Estate] {
			if s.Scheme == "" && 10*n >= 9*known[s.At.Estate] {
				s.Scheme = scheme
				break
			}
		}
	}
}

// reasonStopped is what an agent says that was told to stop: its silence is no sign.
const reasonStopped = "stopped"

// silences are the sessions that ended and did not come back, as sightings.
func silences(list []store.Standing) []store.Sighting {
	var out []store.Sighting
	for _, s := range list {
		if !s.Online && !s.StateAt.IsZero() && s.Reason != reasonStopped {
			out = append(out, store.Sighting{At: s.At, Received: s.StateAt, Scheme: s.Scheme, Cause: SegmentSilence,
				Segment: SegmentSilence})
		}
	}
	return out
}

func since(list []store.Sighting, when time.Time) []store.Sighting {
	return slices.DeleteFunc(slices.Clone(list), func(s store.Sighting) bool { return s.Received.Before(when) })
}

// close enters the hours that are over into the base rate.
func (w *Watch) close(ctx context.Context, now time.Time, silences []store.Sighting, incidents []store.Incident) error {
	this := hourOf(now)
	var reports, list []store.Sighting
	for estate, places := range w.places {
		first := w.season.Last(estate) + 1
		if first >= this {
			continue
		}
		if list == nil {
			var err error
			if reports, err = w.Source.Sightings(ctx, now.Add(-SlowWindow)); err != nil {
				return err
			}
			list = slices.Concat(reports, silences)
		}
		fresh := first == 1
		heard := map[int64]bool{}
		for _, s := range reports {
			if s.At.Estate == estate {
				heard[hourOf(s.Received)] = true
			}
		}
		for h := max(first, this-int64(SlowWindow/time.Hour)+1); h < this; h++ {
			if !heard[h] && (fresh || h < hourOf(w.began)) {
				continue // before the estate's first report, or this fleet did not run: an hour that teaches nothing
			}
			fresh = false
			begin, end := time.Unix(h*3600, 0), time.Unix((h+1)*3600, 0)
			rows := w.season.Sold(estate, h, places, w.selling[h])
			rows = append(rows, w.season.Close(estate, h, list, places, func(cause string) bool {
				return slices.ContainsFunc(incidents, func(i store.Incident) bool {
					about := i.Cause == cause || slices.Contains(i.Also, cause) || i.Kind == KindSilence && cause == SegmentSilence
					return i.Estate == estate && about && i.Opened.Before(end) && (i.Closed.IsZero() || i.Closed.After(begin))
				})
			})...)
			if err := w.Source.AddSeason(ctx, rows); err != nil {
				return err
			}
			for _, r := range rows {
				w.season.Add(r)
			}
		}
	}
	return nil
}

// busy is how many sales the last full hour had, divided by those of the same hour on the days before: at least 1,
// since a quiet hour is no reason to expect fewer failures, and at most 3. Without days before it is 0, not known.
func busy(sales map[int64]float64, this int64) float64 {
	last := sales[this-1]
	sum, days := 0.0, 0.0
	for h := this - 25; h > this-7*24; h -= 24 {
		if n := sales[h]; n > 0 {
			sum, days = sum+n, days+1
		}
	}
	if last == 0 || days == 0 {
		return 0
	}
	return min(3, max(1, last*days/sum))
}

// tell makes the advisories that the broker retains agree with the incidents. What cannot be published now is tried at
// the next look.
func (w *Watch) tell(ctx context.Context, now time.Time, list []store.Incident) error {
	want := Advisories(list)
	w.mu.Lock()
	told := maps.Clone(w.told)
	w.mu.Unlock()
	for topic, a := range want {
		old, ok := told[topic]
		fresh := ok && now.Sub(old.Time) < repeat
		a.Since = a.Since.UTC().Truncate(time.Millisecond)
		old.Time = a.Time
		if fresh && reflect.DeepEqual(old, a) {
			continue
		}
		body, err := report.MarshalAdvisory(topic, a, w.Key)
		if err != nil {
			return fmt.Errorf("advise: %w", err)
		}
		if err := w.Publish(ctx, topic, body); err != nil {
			return err
		}
		w.Told(topic, body)
	}
	for topic := range told {
		if _, ok := want[topic]; !ok {
			if err := w.Publish(ctx, topic, nil); err != nil {
				return err
			}
			w.Told(topic, nil)
		}
	}
	return nil
}
