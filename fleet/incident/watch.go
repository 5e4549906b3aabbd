package incident

import (
	"context"
	"encoding/json"
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

	ratesEvery = 10 * time.Minute
	ratesBack  = 7 * 24 * time.Hour
	activeBack = 2 * time.Hour // two tallies

	maxTold = 100_000 // advisories remembered; more cannot be ours
)

// A source is the part of the store that incidents are found in and kept in.
type source interface {
	Sightings(ctx context.Context, since time.Time) ([]store.Sighting, error)
	Active(ctx context.Context, since time.Time) (map[report.Address]string, error)
	Rates(ctx context.Context, from, to time.Time) (map[store.RateKey]store.Rate, error)
	Incidents(ctx context.Context, limit int) ([]store.Incident, error)
	SaveIncident(ctx context.Context, i *store.Incident) error
}

// A Watch looks for incidents again and again.
type Watch struct {
	Source    source
	Inventory Inventory
	Publish   func(ctx context.Context, topic string, payload []byte) error // retained
	Changed   func()                                                        // an incident began, changed or ended
	Log       *slog.Logger

	rates   map[store.RateKey]store.Rate // only Run touches these two
	ratesAt time.Time

	mu   sync.Mutex
	told map[string]report.Advisory // by topic, what the broker retains; guarded by mu
}

// Told takes note of an advisory that the broker retains, so that one which is over can be cleared even if an earlier
// run of the fleet published it. An empty payload means that it was cleared.
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
	var a report.Advisory
	if json.Unmarshal(payload, &a) != nil {
		a = report.Advisory{} // not ours: it differs from every advisory, so it is replaced or cleared
	}
	if _, known := w.told[topic]; known || len(w.told) < maxTold {
		w.told[topic] = a
	}
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	for {
		wait := Every
		if err := w.Look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			w.Log.Warn("cannot look for incidents; trying again", "error", err)
			wait = again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// Look looks once.
func (w *Watch) Look(ctx context.Context, now time.Time) error {
	all, err := w.Source.Incidents(ctx, store.MaxRows)
	if err != nil {
		return err
	}
	open := slices.DeleteFunc(all, func(i store.Incident) bool { return !i.Closed.IsZero() })
	l := Look{Now: now, Inventory: w.Inventory, Open: open}
	if l.Sightings, err = w.Source.Sightings(ctx, now.Add(-Window)); err != nil {
		return err
	}
	if len(l.Sightings) == 0 && len(open) == 0 {
		return w.tell(ctx, now, nil)
	}
	if l.Active, err = w.Source.Active(ctx, now.Add(-activeBack)); err != nil {
		return err
	}
	if w.rates == nil || now.Sub(w.ratesAt) >= ratesEvery {
		if w.rates, err = w.Source.Rates(ctx, now.Add(-ratesBack), now.Add(-time.Hour)); err != nil {
			return err
		}
		w.ratesAt = now
	}
	l.Rates = w.rates

	found := Detect(l)
	for i := range found {
		f := &found[i]
		if err := w.Source.SaveIncident(ctx, f); err != nil {
			return err
		}
		switch {
		case f.Opened.Equal(now):
			w.Log.Warn("incident begins", "no", f.No, "cause", f.Cause, "scope", f.Scope, "key", f.Key, "terminals", f.Terminals, "of", f.Of)
		case !f.Closed.IsZero():
			w.Log.Info("incident ends", "no", f.No, "cause", f.Cause, "scope", f.Scope, "key", f.Key, "peak", f.Peak)
		}
	}
	if len(found) > 0 {
		w.Changed()
	}
	return w.tell(ctx, now, found)
}

// tell brings what the broker retains in line with the incidents. What cannot be published now is tried at the next look.
func (w *Watch) tell(ctx context.Context, now time.Time, list []store.Incident) error {
	want := Advisories(list)
	w.mu.Lock()
	told := maps.Clone(w.told)
	w.mu.Unlock()
	for topic, a := range want {
		old, ok := told[topic]
		fresh := ok && now.Sub(old.Time) < repeat
		old.Time = a.Time
		if fresh && reflect.DeepEqual(old, a) {
			continue
		}
		body, err := json.Marshal(a)
		if err != nil {
			return err
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
