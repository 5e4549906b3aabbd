package incident

import (
	"context"
	"math"
	"reflect"
	"slices"
	"time"

	"posdx/fleet/store"
)

const (
	// settle is how long what had waited at a terminal lies in the store before it is looked at, so that its last revision
	// and what other workers commit at the same time are there too.
	settle = time.Minute

	// maxBacklog bounds what one look reads of it, and maxLate what is remembered.
	maxBacklog = 5_000
	maxLate    = 200_000
)

// late is what had waited at terminals while they could not speak. It belongs to the time when it happened: a terminal
// that believes its clock says when that was, and what another says cannot be placed.
type late struct {
	place int64            // of the fleet's list, read so far
	list  []store.Sighting // by when it happened, within SlowWindow
	dirty map[string]map[time.Time]bool
}

func newLate() late { return late{place: -1, dirty: map[string]map[time.Time]bool{}} }

// read takes in what has come and notes which quarters of an hour it tells of.
func (b *late) read(ctx context.Context, from source, now time.Time) error {
	news, place, err := from.Backlog(ctx, b.place, now.Add(-activeBack), now.Add(-settle), maxBacklog)
	if err != nil {
		return err
	}
	b.place = place
	for _, v := range news {
		if now.Sub(v.Received) >= SlowWindow {
			continue
		}
		b.list = append(b.list, v)
		if b.dirty[v.At.Estate] == nil {
			b.dirty[v.At.Estate] = map[time.Time]bool{}
		}
		b.dirty[v.At.Estate][v.Received.Truncate(Window).Add(Window)] = true
	}
	if len(news) > 0 {
		slices.SortStableFunc(b.list, func(x, y store.Sighting) int { return x.Received.Compare(y.Received) })
	}
	b.list = slices.Delete(b.list, 0, max(len(b.list)-maxLate, b.from(now.Add(-SlowWindow))))
	return nil
}

// from is where in the list a moment is.
func (b *late) from(when time.Time) int {
	i, _ := slices.BinarySearchFunc(b.list, when, func(v store.Sighting, t time.Time) int { return v.Received.Compare(t) })
	return i
}

// within is what happened from one moment on and before another.
func (b *late) within(from, to time.Time) []store.Sighting {
	i := b.from(from)
	return b.list[i:max(i, b.from(to))]
}

// over are the ends of an estate's windows that are over and of which more is known now, the oldest first.
func (b *late) over(estate string, now time.Time) []time.Time {
	var out []time.Time
	for end := range b.dirty[estate] {
		if !end.After(now) {
			out = append(out, end)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// Past updates the incidents of an estate with what a look at a window of the past found: reports that terminals had
// kept while they were offline. A finding that an incident of that time explains gives it its cause and beginning; any
// other becomes an incident that nobody saw at its time, quiet already, which good sales since then prove to be over.
// It returns those that changed; new ones have No 0.
func Past(l Look, found []Finding, list []store.Incident) []store.Incident {
	var out []*store.Incident
	for _, v := range found {
		first, last := l.lasted(v)
		var best *store.Incident
		for k := range list {
			i := &list[k]
			if i.Estate != l.Estate || i.Opened.After(l.Now) || !i.Closed.IsZero() && i.Closed.Before(l.Now.Add(-Window)) ||
				!l.explains(i, v) {
				continue
			}
			for i.MergedIn != 0 {
				into := slices.IndexFunc(list, func(o store.Incident) bool { return o.No == i.MergedIn })
				if into < 0 || list[into].No == i.No {
					break
				}
				i = &list[into]
			}
			if best == nil || i.Peak > best.Peak {
				best = i
			}
		}
		was := store.Incident{}
		if best == nil {
			best = &store.Incident{Estate: l.Estate, Opened: first, Seen: last, Cause: v.Cause, Segment: v.Segment}
			best.Kind, best.Only, best.Quiet = v.Kind, v.Only, last
			best.Place, best.P, best.Of, best.Expected = v.Place, v.P, v.Of, v.Expected
			best.Scope, best.Key = v.Place.Scope(l.Estate)
			best.Witnesses = len(v.Reporters)
		} else {
			was = *best
			if len(v.Only) == 0 {
				best.Only = nil // it was more than these reports
			}
		}
		if first.Before(best.Opened) {
			best.Opened = first
		}
		if last.After(best.Seen) && best.Closed.IsZero() {
			best.Seen = last
			if !best.Quiet.IsZero() {
				best.Quiet = last
			}
		}
		name(best, v)
		if best.Code == "" && len(v.Codes) > 0 {
			best.Code, best.Codes, best.Entry, best.Card = v.Codes[0], v.Codes, v.Entry, v.Card
		}
		best.Peak = max(best.Peak, len(v.Reporters))
		best.Of = max(best.Of, best.Peak)
		if !reflect.DeepEqual(was, *best) && !slices.Contains(out, best) {
			out = append(out, best)
		}
	}
	changed := make([]store.Incident, 0, len(out))
	for _, i := range out {
		changed = append(changed, *i)
	}
	return changed
}

// lasted is when the reports of a finding began to be more than usual, and when the last came: the earliest of them may
// be those that the base rate foretold.
func (l Look) lasted(v Finding) (first, last time.Time) {
	var times []time.Time
	for _, s := range l.Recent {
		if s.Cause == v.Cause && v.Reporters[s.At.Terminal] {
			times = append(times, s.Received)
		}
	}
	if len(times) == 0 {
		return l.Now, time.Time{}
	}
	slices.SortFunc(times, time.Time.Compare)
	usual := min(int(math.Ceil(v.Expected)), len(times)-1)
	return times[usual], times[len(times)-1]
}

// explains tells whether a finding is of an incident of its time: the same place, the same cause at a place within or
// around, or terminals that had fallen silent and tell now why.
func (l Look) explains(i *store.Incident, v Finding) bool {
	if here(i, v) {
		return true
	}
	held := 0
	for t := range v.Reporters {
		if Place(i.Place).Holds(l.Places[t]) {
			held++
		}
	}
	most := float64(held) >= same*float64(len(v.Reporters))
	return of(i, v.Kind, v.Cause) && (most || v.Place.Holds(i.Place)) || i.Kind == KindSilence && most
}

// past looks at the windows of an estate that a backlog told of, and returns the incidents as they are then.
func (w *Watch) past(ctx context.Context, now time.Time, estate string, recent []store.Sighting,
	list []store.Incident) ([]store.Incident, bool, error) {
	changed := false
	for _, end := range w.late.over(estate, now) {
		from := end.Add(-Window)
		news := w.late.within(from, end)
		if !enough(news, estate) {
			delete(w.late.dirty[estate], end)
			continue
		}
		all := slices.Clone(news)
		for _, part := range [][]store.Sighting{w.slow, recent} {
			for _, v := range part {
				if !v.Received.Before(from) && v.Received.Before(end) {
					all = append(all, v)
				}
			}
		}
		l := Look{Now: end, Estate: estate, Places: w.places[estate], Recent: all, Before: w.slow, Season: w.season,
			Sales: busy(w.sales[estate], hourOf(end))}
		// What those who spoke at the time said was judged then.
		found := slices.DeleteFunc(Detect(l), func(f Finding) bool { return tell(news, f) < MinTerminals })
		for _, i := range Past(l, found, list) {
			began := i.No == 0
			if err := w.Source.SaveIncident(ctx, &i); err != nil {
				return list, changed, err
			}
			changed = true
			w.Log.Info("a backlog tells of an incident", "no", i.No, "new", began, "cause", i.Cause, "scope", i.Scope,
				"key", i.Key, "from", i.Opened, "terminals", i.Peak)
			k := slices.IndexFunc(list, func(o store.Incident) bool { return o.No == i.No })
			if k < 0 {
				list = append(list, i)
			} else {
				list[k] = i
			}
		}
		delete(w.late.dirty[estate], end)
	}
	return list, changed, nil
}

// enough tells whether as many terminals of an estate as it takes to find something told late of one cause.
func enough(news []store.Sighting, estate string) bool {
	who := map[string]map[string]bool{}
	for _, v := range news {
		if v.At.Estate != estate {
			continue
		}
		if who[v.Cause] == nil {
			who[v.Cause] = map[string]bool{}
		}
		if who[v.Cause][v.At.Terminal] = true; len(who[v.Cause]) >= MinTerminals {
			return true
		}
	}
	return false
}

// tell is how many of a finding's terminals told of it late.
func tell(news []store.Sighting, f Finding) int {
	who := map[string]bool{}
	for _, v := range news {
		if v.Cause == f.Cause && f.Reporters[v.At.Terminal] {
			who[v.At.Terminal] = true
		}
	}
	return len(who)
}
