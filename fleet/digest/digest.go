// Package digest reads births and health documents as they come and keeps what pages filter by: what each terminal has
// in common with others, what of that has changed, and what of it ends when.
package digest

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/incident"
	"posdx/fleet/store"
)

const (
	every = 15 * time.Second // between two looks
	anew  = time.Hour        // after which everything is read again: an inventory and a code table come later than a birth
)

// A source is the part of the store that is read and written.
type source interface {
	Births(ctx context.Context, since time.Time, each func(report.Address, time.Time, report.Birth)) error
	Standings(ctx context.Context, since time.Time) ([]store.Standing, error)
	Healths(ctx context.Context, since time.Time, each func(at report.Address, when time.Time, body []byte)) error
	SavePlaces(ctx context.Context, list []store.Placed) error
	SaveDues(ctx context.Context, list []store.Dated) error
}

// A Digest runs beside the ingest. Of several processes on one database one runs it.
type Digest struct {
	Source    source
	Inventory *incident.InventoryFile // nil: what terminals say of themselves is all
	Sunsets   []Sunset
	Knowledge *codes.Knowledge
	Changed   func()
	Log       *slog.Logger

	seed    maphash.Seed
	places  map[report.Address]map[string]string
	told    map[report.Address]told // what was saved of each, so that only news is written
	listed  bool                    // the inventory says something else than at the last look that was kept
	born    time.Time
	healthy time.Time
	whole   time.Time
}

// told is what was saved of a terminal, and the birth that it was of.
type told struct {
	sum  uint64
	born time.Time
}

// Run reads until ctx ends.
func (d *Digest) Run(ctx context.Context) error {
	for {
		if err := d.Look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot keep what pages ask by; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// Look reads once what is new.
func (d *Digest) Look(ctx context.Context, now time.Time) error {
	news, err := d.Inventory.Load(false)
	if err != nil {
		d.Log.Error("the inventory cannot be read; what was read before stands", "error", err)
	}
	d.listed = d.listed || news && d.told != nil
	if d.told == nil || news || now.Sub(d.whole) >= anew {
		if d.told == nil {
			d.seed, d.told = maphash.MakeSeed(), map[report.Address]told{}
		}
		d.places, d.born, d.healthy, d.whole = map[report.Address]map[string]string{}, time.Time{}, time.Time{}, now
	}
	changed, err := d.births(ctx, now)
	if err != nil {
		return err
	}
	more, err := d.healths(ctx)
	if err != nil {
		return err
	}
	if (changed || more) && d.Changed != nil {
		d.Changed()
	}
	return nil
}

func (d *Digest) births(ctx context.Context, now time.Time) (bool, error) {
	schemes := map[report.Address]string{}
	if d.born.IsZero() {
		standings, err := d.Source.Standings(ctx, time.Time{})
		if err != nil {
			return false, err
		}
		for _, s := range standings {
			schemes[s.At] = s.Scheme
		}
	}
	var list []store.Placed
	last := d.born
	err := d.Source.Births(ctx, d.born, func(at report.Address, when time.Time, b report.Birth) {
		last = later(last, when)
		scheme := schemes[at]
		if scheme == "" {
			scheme = d.places[at]["scheme"]
		}
		list = d.place(list, at, when, now, incident.PlaceOf(b, scheme, d.Inventory.Of(at)))
		delete(schemes, at)
	})
	if err != nil {
		return false, err
	}
	for at, scheme := range schemes { // that never said what they are
		list = d.place(list, at, time.Time{}, now, incident.PlaceOf(report.Birth{}, scheme, d.Inventory.Of(at)))
	}
	if err := d.Source.SavePlaces(ctx, list); err != nil {
		return false, err
	}
	d.born, d.listed = last, false
	return len(list) > 0, nil
}

// place stores what a terminal has in common with others, and adds it to the list if that is not what was saved last.
// born is when its birth came, zero if there is none. Where the terminal's birth is an old one, differences count as
// changes of now, since they come from the inventory; only the code table comes from sales.
func (d *Digest) place(list []store.Placed, at report.Address, born, now time.Time, p incident.Place) []store.Placed {
	d.places[at] = p
	var h maphash.Hash
	h.SetSeed(d.seed)
	for _, dim := range slices.Sorted(maps.Keys(p)) {
		h.WriteString(dim + "\x00" + p[dim] + "\x00")
	}
	before, known := d.told[at]
	sum := h.Sum64()
	d.told[at] = told{sum, born}
	if known && before.sum == sum {
		return list
	}
	v := store.Placed{At: at, When: born, Place: p, Listed: map[string]bool{}, ListedAt: now}
	again := known && before.born.Equal(born)
	if again || born.IsZero() {
		v.When = now
	}
	says := d.Inventory.Of(at)
	for dim := range p {
		v.Listed[dim] = says[dim] != "" || again && d.listed && dim != "scheme"
	}
	return append(list, v)
}

func (d *Digest) healths(ctx context.Context) (bool, error) {
	var list []store.Dated
	last := d.healthy
	err := d.Source.Healths(ctx, d.healthy, func(at report.Address, when time.Time, body []byte) {
		last = later(last, when)
		var h report.Health
		if json.Unmarshal(body, &h) == nil {
			list = append(list, store.Dated{At: at, Seen: when, List: Dues(d.Knowledge, h, when, d.places[at], d.Sunsets)})
		}
	})
	if err != nil {
		return false, err
	}
	if err := d.Source.SaveDues(ctx, list); err != nil {
		return false, err
	}
	if last.After(d.healthy) {
		last = last.Add(time.Millisecond) // what came in that very millisecond is read again with the whole
	}
	d.healthy = last
	return len(list) > 0, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Kinds of what ends that are no days left of a check.
const (
	KindFlash   = "board.flash.life_used_pct"
	KindNetwork = "modem.registration.tech"
)

// day is the unit of facts that tell how long something lasts.
const day = 24 * time.Hour

// Dues is what a health document tells of things that end. The days of a certificate are counted from when the fleet
// got the document, not by the terminal's clock; a certificate's state as seen by a terminal with a wrong clock is
// ignored.
func Dues(k *codes.Knowledge, h report.Health, seen time.Time, place map[string]string, sunsets []Sunset) []store.Due {
	var list []store.Due
	for _, e := range h.Evidence {
		told := seen.Add(-time.Duration(min(max(0, e.AgeMS), maxAge.Milliseconds())) * time.Millisecond)
		for name := range e.Facts {
			if name != "days_left" && !strings.HasSuffix(name, "_days_left") || !h.ClockTrusted {
				continue
			}
			days, ok := number(k, e, name)
			if !ok {
				continue
			}
			list = append(list, store.Due{Kind: e.Check + "." + name, Subject: subject(e.Subject),
				At: told.Add(time.Duration(days) * day), Value: days})
		}
		switch e.Check {
		case "board.flash":
			if used, ok := number(k, e, "life_used_pct"); ok {
				list = append(list, store.Due{Kind: KindFlash, Subject: subject(e.Subject), Value: used, Pace: true})
			}
		case "modem.registration":
			tech, _ := e.Facts.Str("tech")
			operator, _ := e.Facts.Str("operator")
			best, _ := e.Facts.Str("best_tech")
			// The operator of the fleet goes before what is publicly known.
			if s, ok := sunset(sunsets, place["carrier"], tech); ok {
				list = append(list, store.Due{Kind: KindNetwork, Subject: tech, At: s.Date})
			} else if off, ok := k.SwitchedOff(operator, best); ok {
				list = append(list, store.Due{Kind: KindNetwork, Subject: best, At: off})
			}
		}
	}
	return list
}

// maxAge bounds how long before its document something was measured.
const maxAge = 366 * day

// maxDays bounds the days of a fact that this knowledge does not have.
const maxDays = 100_000

// number is a number that evidence measured, if it can be one: what a registered fact cannot be is not known.
func number(k *codes.Knowledge, e report.Evidence, name string) (float64, bool) {
	n, ok := e.Facts.Num(name)
	if f := k.Fact(e.Check, name); f != nil {
		return n, ok && evidence.Plausible(f, n)
	}
	return n, ok && n >= -maxDays && n <= maxDays
}

// subject is what was asked, without the bearer that it was asked by.
func subject(s string) string {
	s, _, _ = strings.Cut(s, "@")
	return s
}
