package incident

import (
	"maps"
	"math"
	"slices"
	"time"

	"posdx/fleet/store"
)

// The prior of the base rate: until more is known, a cause is taken to be reported in one of two hundred
// terminal-hours.
const (
	priorSeen  = 1
	priorHours = 200

	// priorShare is how many reports' weight the mean of all has against a single value's own share of them.
	priorShare = 5

	// unseen is taken for an hour of the day that was never seen, whatever is known of others: at night nobody sells, and
	// nothing fails.
	unseen = 3. * priorSeen / priorHours

	// A cause that an incident is about adds no more to an hour than grows times what was expected, and a few: an outage
	// is not learned as usual, and what is usual is learned in days though it was taken for an incident at first.
	grows    = 2
	growsFew = 2

	hoursOfWeek = 7 * 24

	maxKinds = 64 // values of an aspect that one hour teaches: a terminal may invent codes

	// A site whose terminals fall silent about this hour on most days, or on most of these days of the week, does so by
	// habit: it closes. So many days, or weeks, must be known.
	habitual   = 0.5
	habitDays  = 3
	habitWeeks = 2

	// dimEnds is the dimension of the rows that tell in which hours the terminals of a site fell silent; their hour is the
	// true one, not the day's first.
	dimEnds = "site@hour"
)

// A Season is the base rate of every cause: in how many terminal-hours it is reported, by the hour of the week, and
// which values of a dimension report it more often than others. The zero value knows nothing.
type Season struct {
	active map[string]*slots // by estate: terminal-hours
	seen   map[estateCause]*slots
	days   map[string]map[int64]bool // by estate, the days that are in it
	shares map[share]float64         // reports by a value of a dimension; without a cause, its terminal-hours
	sums   map[share]float64         // the same of all values
	last   map[string]int64          // by estate, the last hour that is in it
	ends   map[closing]float64       // terminals of a site that fell silent, by the hour of the week
	sold   map[estateSite]*sales     // and that told of sales
}

type closing struct {
	estate, site string
	slot         int
}

type estateCause struct{ estate, cause string }

type share struct{ estate, cause, dim, value string }

type slots struct {
	all   float64
	week  [hoursOfWeek]float64
	times [hoursOfWeek]int // rows
}

func (s *slots) add(slot int, n float64) {
	s.all += n
	s.week[slot] += n
	s.times[slot]++
}

// day sums a slot over the days of the week.
func (s *slots) day(slot int) float64 {
	sum := 0.0
	for h := slot % 24; h < hoursOfWeek; h += 24 {
		sum += s.week[h]
	}
	return sum
}

func slotOf(hour int64) int { return int(hour % hoursOfWeek) }

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// Add enters a row of the base rate. A row without cause and dimension gives the terminal-hours of an estate.
func (s *Season) Add(r store.SeasonRow) {
	if s.active == nil {
		*s = Season{map[string]*slots{}, map[estateCause]*slots{}, map[string]map[int64]bool{}, map[share]float64{},
			map[share]float64{}, map[string]int64{}, map[closing]float64{}, map[estateSite]*sales{}}
	}
	switch {
	case r.Dim == store.DimBeyond:
	case r.Dim == dimEnds:
		s.ends[closing{r.Estate, r.Value, slotOf(r.Hour)}] += r.Terminals
	case r.Dim == dimSales:
		k := estateSite{r.Estate, r.Value}
		if s.sold[k] == nil {
			s.sold[k] = new(sales)
		}
		s.sold[k][slotOf(r.Hour)] += float32(r.Terminals)
	case r.Dim != "":
		s.shares[share{r.Estate, r.Cause, r.Dim, r.Value}] += r.Terminals
		s.sums[share{r.Estate, r.Cause, r.Dim, ""}] += r.Terminals
		if r.Dim == aspectEntry || r.Dim == aspectCard || r.Dim == aspectPair {
			s.shares[share{r.Estate, anyCause, r.Dim, r.Value}] += r.Terminals
			s.sums[share{r.Estate, anyCause, r.Dim, ""}] += r.Terminals
		}
	case r.Cause == "":
		if s.active[r.Estate] == nil {
			s.active[r.Estate], s.days[r.Estate] = new(slots), map[int64]bool{}
		}
		s.active[r.Estate].add(slotOf(r.Hour), r.Active)
		s.days[r.Estate][r.Hour/24] = true
		s.last[r.Estate] = max(s.last[r.Estate], r.Hour)
	default:
		k := estateCause{r.Estate, r.Cause}
		if s.seen[k] == nil {
			s.seen[k] = new(slots)
		}
		s.seen[k].add(slotOf(r.Hour), r.Terminals)
	}
}

// Last is the newest hour of an estate for which there is a base rate, 0 if there is none.
func (s *Season) Last(estate string) int64 { return s.last[estate] }

// Days is how many days of an estate are in the base rate.
func (s *Season) Days(estate string) int { return len(s.days[estate]) }

// Rate is how often one terminal reports a cause in an hour like this one. Where the hour of the week has few
// observations, the same hour of all days is mixed in, and where that has few, all hours.
func (s *Season) Rate(estate, cause string, hour int64) float64 {
	seen, active := s.seen[estateCause{estate, cause}], s.active[estate]
	if seen == nil {
		seen = new(slots)
	}
	if active == nil {
		active = new(slots)
	}
	slot := slotOf(hour)
	if active.day(slot) == 0 {
		return unseen
	}
	rate := (seen.all + priorSeen) / (active.all + priorHours)
	weight := priorHours + active.all/float64(max(1, 24*s.Days(estate))) // an hour of the fleet
	rate = (seen.day(slot) + rate*weight) / (active.day(slot) + weight)
	return (seen.week[slot] + rate*weight) / (active.week[slot] + weight)
}

// Expected is how many reports of a cause one terminal makes within a window that ends now.
func (s *Season) Expected(estate, cause string, window time.Duration, now time.Time) float64 {
	sum := 0.0
	for at := now.Add(-window); at.Before(now); {
		next := min(now.Unix(), (hourOf(at)+1)*3600)
		sum += s.Rate(estate, cause, hourOf(at)) * float64(next-at.Unix()) / 3600
		if next <= at.Unix() {
			break
		}
		at = time.Unix(next, 0)
	}
	return sum
}

// Factor is how many times as often as the mean a value of a dimension reports a cause; 1 for a new value.
func (s *Season) Factor(estate, cause, dim, value string) float64 {
	all := s.sums[share{estate, "", dim, ""}]
	if all == 0 {
		return 1
	}
	expected := s.sums[share{estate, cause, dim, ""}] * s.shares[share{estate, "", dim, value}] / all
	return (s.shares[share{estate, cause, dim, value}] + priorShare) / (expected + priorShare)
}

// Part is the share of a cause's reports that has a value of one of Aspects; 1 where little is known of the cause.
func (s *Season) Part(estate, cause, name, value string) float64 {
	return (s.shares[share{estate, cause, name, value}] + priorShare) / (s.sums[share{estate, cause, name, ""}] + priorShare)
}

// Closes is the share of a site's terminals that fall silent by habit about this hour; 0 if no habit is known.
func (s *Season) Closes(estate, site string, terminals int, hour int64) float64 {
	days := s.Days(estate)
	if site == "" || terminals == 0 || days < habitDays {
		return 0
	}
	everyDay, thisDay := 0.0, 0.0
	for h := hour - 1; h <= hour+1; h++ {
		for d := range 7 {
			n := s.ends[closing{estate, site, (slotOf(h) + 24*d) % hoursOfWeek}]
			everyDay += n
			if d == 0 {
				thisDay += n
			}
		}
	}
	p := everyDay / float64(terminals*days)
	if weeks := days / 7; weeks >= habitWeeks {
		p = max(p, thisDay/float64(terminals*weeks))
	}
	if p <= habitual {
		return 0
	}
	return min(1, p)
}

// Close makes the rows of the base rate for one hour: the reports of each cause, but for those of an incident, and the
// terminals that were online. A site that closes as it does every day is none of its silences.
func (s *Season) Close(estate string, hour int64, list []store.Sighting, places map[string]Place,
	incident func(cause string) bool) []store.SeasonRow {
	active := len(places)
	rows := []store.SeasonRow{{Estate: estate, Hour: hour, Active: float64(active)}}
	type one struct{ terminal, cause string }
	done := map[one]bool{}
	causes, shares, ends := map[string]float64{}, map[share]float64{}, map[string]float64{}
	sites := map[string]int{}
	kinds := map[one]int{} // values of an aspect of a cause
	for _, p := range places {
		sites[p["site"]]++
	}
	for _, v := range list {
		k := one{v.At.Terminal, v.Cause}
		if v.At.Estate != estate || hourOf(v.Received) != hour || v.Cause == "" || done[k] {
			continue
		}
		done[k] = true
		if site := places[v.At.Terminal]["site"]; v.Cause == SegmentSilence && site != "" {
			ends[site]++
			if s.Closes(estate, site, sites[site], hour) > 0 {
				continue
			}
		}
		causes[v.Cause]++
		for _, name := range [...]string{"code", aspectEntry, aspectCard, aspectPair} {
			k := share{estate, v.Cause, name, aspect(&v, name)}
			if k.value != "" && (shares[k] > 0 || kinds[one{name, v.Cause}] < maxKinds) {
				if shares[k] == 0 {
					kinds[one{name, v.Cause}]++
				}
				shares[k]++
			}
		}
		for dim, value := range places[v.At.Terminal] {
			shares[share{estate, v.Cause, dim, value}]++
		}
	}
	part := map[string]float64{}
	for c, n := range causes {
		part[c] = 1
		if most := grows*s.Rate(estate, c, hour)*float64(active) + growsFew; incident(c) && n > most {
			part[c] = most / n
		}
	}
	for _, p := range places {
		for dim, value := range p {
			shares[share{estate, "", dim, value}]++
		}
	}
	for _, c := range slices.Sorted(maps.Keys(causes)) {
		rows = append(rows, store.SeasonRow{Estate: estate, Cause: c, Hour: hour, Terminals: causes[c] * part[c]})
		if part[c] < 1 {
			rows = append(rows, store.SeasonRow{Estate: estate, Cause: c, Dim: store.DimBeyond, Hour: hour,
				Terminals: causes[c] * (1 - part[c])})
		}
	}
	for _, site := range slices.Sorted(maps.Keys(ends)) {
		rows = append(rows, store.SeasonRow{Estate: estate, Cause: SegmentSilence, Dim: dimEnds, Value: site, Hour: hour,
			Terminals: ends[site]})
	}
	part[""] = 1
	for k, n := range shares {
		rows = append(rows, store.SeasonRow{Estate: estate, Cause: k.cause, Dim: k.dim, Value: k.value, Hour: hour - hour%24,
			Terminals: n * part[k.cause]})
	}
	return rows
}

// soon is the chance to report at least once, given how often is expected.
func soon(expected float64) float64 { return -math.Expm1(-expected) }
