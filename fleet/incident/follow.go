package incident

import (
	"maps"
	"math"
	"slices"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

const (
	// reopens is how long after its end an incident that comes again is the same one.
	reopens = 24 * time.Hour

	// unproven is how long a quiet incident waits for good sales before it ends without.
	unproven = 6 * time.Hour

	// same is the part of a finding's terminals that must be in an incident for both to be one.
	same = 0.6
)

// A Member is how one terminal stands, to prove that an incident is over.
type Member struct {
	Online bool
	GoodAt time.Time // last approved sale
}

// Follow updates the incidents of an estate, the open ones and those that were closed recently, with what a look found.
// It returns those that changed: new ones have No 0.
func Follow(l Look, found []Finding, list []store.Incident, members map[string]Member) []store.Incident {
	f := follower{l: l, members: members}
	for _, i := range list {
		if i.Estate == l.Estate {
			f.list = append(f.list, &following{Incident: i, seen: f.reporters(i)})
		}
	}
	for _, v := range found {
		f.enter(v)
	}
	f.merge()
	var out []store.Incident
	for _, i := range f.list {
		if i.Closed.IsZero() && !i.touched {
			f.quiet(i)
		}
		f.lose(i)
		if i.touched {
			out = append(out, i.Incident)
		}
	}
	return out
}

// After returns the look without reports that closed incidents account for: a report from before an incident was
// closed, of its cause and place, neither opens it again nor makes another. Reports of open incidents stay, and so do
// those of incidents merged into an open one.
func (l Look) After(list []store.Incident) Look {
	var over, open []*store.Incident
	for k := range list {
		switch i := &list[k]; {
		case i.Estate != l.Estate || i.MergedIn != 0:
		case i.Closed.IsZero():
			open = append(open, i)
		default:
			over = append(over, i)
		}
	}
	if len(over) == 0 {
		return l
	}
	told := func(v store.Sighting) bool {
		return v.At.Estate == l.Estate &&
			slices.ContainsFunc(over, func(i *store.Incident) bool { return !v.Received.After(i.Closed) && l.about(i, v) }) &&
			!slices.ContainsFunc(open, func(i *store.Incident) bool { return l.about(i, v) })
	}
	l.Recent = slices.DeleteFunc(slices.Clone(l.Recent), told)
	l.Slow = slices.DeleteFunc(slices.Clone(l.Slow), told) // nil stays nil
	return l
}

// about tells whether a sighting is one of an incident's causes, at its place.
func (l Look) about(i *store.Incident, v store.Sighting) bool {
	said := Mute(v.Segment)
	return v.At.Estate == i.Estate && concerns(&v, i.Only) &&
		(said != "" && said == i.Kind || said == "" && of(i, KindSurge, v.Cause)) &&
		Place(i.Place).Holds(l.Places[v.At.Terminal])
}

type following struct {
	store.Incident
	seen    map[string]bool // terminals that report one of its causes now
	touched bool
}

type follower struct {
	l       Look
	members map[string]Member
	list    []*following
}

// of tells whether an incident is about a cause. That a silence is unexplained is not what an unexplained code is.
func of(i *store.Incident, kind, cause string) bool {
	alike := cause != report.Unexplained || Mute(i.Kind) == Mute(kind)
	return i.Cause == cause && alike || slices.Contains(i.Also, cause)
}

// here tells whether a finding is at an incident's place, and of the same sales: the same place is one incident
// whatever the terminals call it, but that one scheme's cards fail is not what all the others meet. Of the same cause a
// rise of all sales is that of some, seen whole.
func here(i *store.Incident, v Finding) bool {
	whole := len(i.Only) == 0 || len(v.Only) == 0 || alike(i.Only, v.Only)
	return maps.Equal(i.Place, v.Place) && (maps.Equal(i.Only, v.Only) || of(i, v.Kind, v.Cause) && whole)
}

// alike tells whether two restrictions may be of one incident: none, or one of which is a part of the other.
func alike(a, b Place) bool {
	return len(a) == 0 && len(b) == 0 || len(a) > 0 && len(b) > 0 && (a.Holds(b) || b.Holds(a))
}

// reporters are the terminals of an incident's place that report its causes within its window.
func (f *follower) reporters(i store.Incident) map[string]bool {
	list := f.l.Recent
	if i.Kind == KindSlow && f.l.Slow != nil {
		list = f.l.Slow
	}
	seen := map[string]bool{}
	for _, v := range list {
		if f.l.about(&i, v) {
			seen[v.At.Terminal] = true
		}
	}
	return seen
}

// overlap is the part of a's terminals that are in b.
func overlap(a, b map[string]bool) float64 {
	if len(a) == 0 {
		return 0
	}
	n := 0
	for t := range a {
		if b[t] {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

// enter makes a finding part of the incident that it is, or a new one.
func (f *follower) enter(v Finding) {
	var best *following
	for _, i := range f.list {
		// What a surge left behind in the slow window is its own.
		within := Place(i.Place).Holds(v.Place) || v.Place.Holds(i.Place)
		if v.Kind == KindSlow && i.Kind != KindSlow && within && of(&i.Incident, v.Kind, v.Cause) {
			return
		}
	}
	for _, i := range f.list {
		if i.MergedIn != 0 {
			continue
		}
		switch {
		case !i.Closed.IsZero():
			// Over: it comes back only as itself.
			if maps.Equal(i.Place, v.Place) && alike(i.Only, v.Only) && of(&i.Incident, v.Kind, v.Cause) &&
				(i.Kind == KindSlow) == (v.Kind == KindSlow) && f.l.Now.Sub(i.Closed) < reopens && best == nil {
				best = i
			}
		case here(&i.Incident, v), of(&i.Incident, v.Kind, v.Cause) &&
			(overlap(v.Reporters, i.seen) >= same || overlap(i.seen, v.Reporters) >= same):
			// Another place is the same incident if it is the same terminals.
			if best == nil || !best.Closed.IsZero() || len(i.seen) > len(best.seen) {
				best = i
			}
		}
	}
	if best == nil || !best.Closed.IsZero() {
		if into := f.explained(v); into != nil {
			best = into
		}
	}
	if best == nil {
		best = &following{Incident: store.Incident{Estate: f.l.Estate, Opened: f.l.Now, Cause: v.Cause, Segment: v.Segment}}
		best.Kind = v.Kind
		f.list = append(f.list, best)
	}
	if !best.Closed.IsZero() {
		best.Closed, best.Proof = time.Time{}, ""
		best.Reopened++
	}
	first := !best.touched
	best.touched = true
	best.Quiet = time.Time{}
	best.Seen = f.l.Now
	most := len(v.Reporters) >= best.Witnesses
	switch {
	case len(v.Only) == 0 && overlap(v.Reporters, best.seen) < same, !first && !maps.Equal(best.Only, v.Only):
		best.Only = nil // it is more than these reports; of few that are left it cannot be told what they are
	case first && most:
		best.Only = v.Only
	}
	name(&best.Incident, v)
	if first {
		best.seen = map[string]bool{}
		// What it is called is what the look with most witnesses said: as it ends fewer of them tell less.
		if most || maps.Equal(best.Place, v.Place) && maps.Equal(best.Only, v.Only) {
			best.Witnesses = max(best.Witnesses, len(v.Reporters))
			best.Place, best.P, best.Of, best.Expected = v.Place, v.P, v.Of, v.Expected
			best.Scope, best.Key = v.Place.Scope(f.l.Estate)
		}
		best.Codes, best.Entry, best.Card, best.Hours = v.Codes, v.Entry, v.Card, v.Hours
		if len(v.Codes) > 0 {
			best.Code = v.Codes[0]
		}
	}
	maps.Copy(best.seen, v.Reporters)
	best.Terminals = len(best.seen)
	best.Of = max(best.Of, best.Terminals)
	best.Peak = max(best.Peak, best.Terminals)
}

// name enters what a finding calls an incident.
func name(i *store.Incident, v Finding) {
	switch {
	case of(i, v.Kind, v.Cause) || Mute(v.Kind) != "":
	case i.Cause == report.Unexplained && Mute(i.Kind) != "":
		// A silence says least: a cause that a terminal could still name takes its place.
		i.Cause, i.Segment = v.Cause, v.Segment
	default:
		i.Also = append(slices.Clone(i.Also), v.Cause)
		slices.Sort(i.Also)
	}
}

// explained is the open incident that a person, or a look before, said explains such a finding.
func (f *follower) explained(v Finding) *following {
	for _, i := range f.list {
		if i.MergedIn == 0 || !maps.Equal(i.Place, v.Place) || !Place(i.Only).Holds(v.Only) ||
			!of(&i.Incident, v.Kind, v.Cause) {
			continue
		}
		for _, into := range f.list {
			if into.No == i.MergedIn && into.Closed.IsZero() {
				return into
			}
		}
	}
	return nil
}

// steady is how much of the sales lost an hour must change to be told anew.
const steady = 0.1

// lose estimates how many sales fail in an hour: those reported in the window, and, of terminals that fell silent,
// those that they would have made.
func (f *follower) lose(i *following) {
	lost := 0.0
	if i.Closed.IsZero() && Mute(i.Kind) != "" {
		lost = float64(i.Terminals) * f.l.Rate
	} else if i.Closed.IsZero() {
		for _, v := range f.l.Recent {
			if Mute(v.Segment) == "" && f.l.about(&i.Incident, v) {
				lost += float64(max(1, v.Sales)) * float64(time.Hour/Window)
			}
		}
	}
	if math.Abs(lost-i.Lost) > steady*max(lost, i.Lost) {
		i.Lost, i.touched = lost, true
	}
}

// merge closes an open incident whose terminals another, found now, explains: four acquirers are one firmware.
func (f *follower) merge() {
	for _, a := range f.list {
		if !a.touched || !a.Closed.IsZero() {
			continue
		}
		for _, b := range f.list {
			if a == b || !b.Closed.IsZero() || b.No == 0 || b.touched && len(b.seen) >= len(a.seen) {
				continue
			}
			if of(&a.Incident, b.Kind, b.Cause) && overlap(b.seen, a.seen) >= same {
				b.Closed, b.MergedIn, b.touched = f.l.Now, a.No, true
				if b.Opened.Before(a.Opened) {
					a.Opened = b.Opened
				}
			}
		}
	}
}

// quiet updates an open incident that was not found now: it may go on below the level at which one is opened, be quiet,
// or be proved over.
func (f *follower) quiet(i *following) {
	expected := i.Expected
	if i.Kind == KindSilence {
		f.silence(i)
		return
	}
	if len(i.seen) >= 2 && float64(len(i.seen)) > lasts*expected {
		i.Terminals, i.Seen, i.Quiet, i.touched = len(i.seen), f.l.Now, time.Time{}, true
		return
	}
	if i.Quiet.IsZero() {
		i.Quiet, i.Terminals, i.touched = f.l.Now, len(i.seen), true
	}
	good := 0
	for t, p := range f.l.Places {
		if Place(i.Place).Holds(p) && f.members[t].GoodAt.After(i.Seen) {
			good++
		}
	}
	switch {
	case good >= max(1, min(i.Peak/2, 10)):
		i.Closed, i.Proof, i.touched = f.l.Now, "sales", true
	case f.l.Now.Sub(i.Quiet) >= unproven:
		i.Closed, i.Proof, i.touched = f.l.Now, "none", true
	}
}

// silence ends when most of those that fell silent are back.
func (f *follower) silence(i *following) {
	away, all := 0, 0
	for t, p := range f.l.Places {
		if Place(i.Place).Holds(p) {
			all++
			if !f.members[t].Online {
				away++
			}
		}
	}
	if away >= MinTerminals && 2*away >= i.Peak {
		i.Terminals, i.Of, i.Seen, i.touched = away, max(all, i.Of), f.l.Now, true
		i.Peak = max(i.Peak, away)
		return
	}
	i.Closed, i.Proof, i.Terminals, i.touched = f.l.Now, "sessions", away, true
}
