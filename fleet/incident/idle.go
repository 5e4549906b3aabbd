package incident

import (
	"maps"
	"slices"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

const (
	// KindIdle is an incident of terminals that are online and sell nothing when they always do.
	KindIdle = "idle"

	// SegmentIdle is the segment of a sighting for such a terminal: why it sells nothing is not known.
	SegmentIdle = "idle"

	// idleDays are how many days of sales must be known: a shop that closes on one day of the week has done so twice.
	idleDays = 14

	// idleChance bounds how often chance alone would keep a terminal from selling for so long, and idleExpected is how
	// many of a place are taken to be so at any time.
	idleChance   = 1e-3
	idleExpected = 3 * idleChance

	idleBack = 7 * 24 // hours
	always   = 0.98   // the most that is believed of an hour

	// dimSales is the dimension of the rows that tell in which hours how many terminals of a site told of sales; their
	// hour is the true one, not the day's first.
	dimSales = "site@sales"
)

// sales are terminals of a site that told of some, by the hour of the week. Every terminal may be a site of its own,
// and each look asks of all hours that it has been quiet.
type sales [hoursOfWeek]float32

type estateSite struct{ estate, site string }

// Sells is the share of a site's terminals that report sales in an hour like this one: the smaller of what this hour
// of the week and this hour of all days say.
func (s *Season) Sells(estate, site string, terminals int, hour int64) float64 {
	known, told := s.active[estate], s.sold[estateSite{estate, site}]
	if known == nil || told == nil || terminals == 0 {
		return 0
	}
	sold, days := 0.0, 0
	for slot := int(hour % 24); slot < hoursOfWeek; slot += 24 {
		sold, days = sold+float64(told[slot]), days+known.times[slot]
	}
	weeks := known.times[slotOf(hour)]
	if hour <= s.Last(estate) { // the very hour that is asked of has been learned, and does not excuse itself
		days, weeks = days-1, weeks-1
	}
	if days < idleDays || weeks == 0 {
		return 0
	}
	p := min(float64(told[slotOf(hour)])/float64(weeks), sold/float64(days)) / float64(terminals)
	return min(always, p)
}

// Sold makes the rows of the base rate for the sales that terminals reported in one hour.
func (s *Season) Sold(estate string, hour int64, places map[string]Place,
	told map[report.Address]bool) []store.SeasonRow {
	sites := map[string]float64{}
	for t, p := range places {
		if site := p["site"]; site != "" && told[report.Address{Estate: estate, Terminal: t}] {
			sites[site]++
		}
	}
	var rows []store.SeasonRow
	for _, site := range slices.Sorted(maps.Keys(sites)) {
		rows = append(rows, store.SeasonRow{Estate: estate, Cause: SegmentIdle, Dim: dimSales, Value: site, Hour: hour,
			Terminals: sites[site]})
	}
	return rows
}

// sell notes who told of sales in which hour.
func (w *Watch) sell(standings []store.Standing, now time.Time) {
	this := hourOf(now)
	for h := range w.selling {
		if h < this-1 {
			delete(w.selling, h)
		}
	}
	for _, s := range standings {
		if h := hourOf(s.GoodAt); h >= this-1 && h <= this {
			if w.selling[h] == nil {
				w.selling[h] = map[report.Address]bool{}
			}
			w.selling[h][s.At] = true
		}
	}
}

// idles are the terminals that are online and have told of no sale for longer than chance explains, as sightings of
// this moment. Where half of an estate is so, it is a holiday.
func (w *Watch) idles(standings []store.Standing, now time.Time) []store.Sighting {
	sites := map[string]map[string]int{}
	for estate, places := range w.places {
		if w.season.Days(estate) < idleDays {
			continue
		}
		sites[estate] = map[string]int{}
		for _, p := range places {
			sites[estate][p["site"]]++
		}
	}
	type part struct{ idle, of int }
	parts := map[string]*part{}
	var list []store.Sighting
	for _, s := range standings {
		site := w.places[s.At.Estate][s.At.Terminal]["site"]
		if !s.Online || s.StateAt.IsZero() || s.GoodAt.IsZero() || site == "" || sites[s.At.Estate] == nil {
			continue
		}
		if parts[s.At.Estate] == nil {
			parts[s.At.Estate] = new(part)
		}
		p := parts[s.At.Estate]
		p.of++
		last := s.GoodAt
		for _, t := range []time.Time{s.StateAt, s.FailedAt} { // a sale that failed was one
			if t.After(last) {
				last = t
			}
		}
		chance := 1.0
		for h := max(hourOf(last)+1, hourOf(now)-idleBack); h < hourOf(now) && chance >= idleChance; h++ {
			chance *= 1 - w.season.Sells(s.At.Estate, site, sites[s.At.Estate][site], h)
		}
		if chance < idleChance {
			p.idle++
			list = append(list, store.Sighting{At: s.At, Received: now, Scheme: s.Scheme, Cause: SegmentIdle,
				Segment: SegmentIdle})
		}
	}
	return slices.DeleteFunc(list, func(v store.Sighting) bool { p := parts[v.At.Estate]; return 2*p.idle > p.of })
}

// Mute tells what kind of saying nothing a kind of incident, or a sighting's segment, is; all others are alike.
func Mute(kind string) string {
	switch kind {
	case KindSilence, KindIdle:
		return kind
	}
	return ""
}
