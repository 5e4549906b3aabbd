// Package incident finds the one cause that many terminals report, shows it as one incident, and tells the terminals of
// it by retained advisories.
package incident

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// When many terminals are an incident. All counts are of distinct terminals, so one terminal alone can make none.
const (
	// Window is how far back a look goes, and how long after the last report an incident ends.
	Window = 15 * time.Minute

	// MinTerminals: two that see the same prove little.
	MinTerminals = 3

	// An incident begins when chance alone, at the base rate, would bring so many terminals together less often than
	// openBelow: a fleet with 50 codes is looked at some 5 000 times a day in windows that do not overlap, so that is one
	// false incident in 200 days. It lasts until chance would do so more often than closeAbove.
	openBelow  = 1e-6
	closeAbove = 1e-2

	// A code with no history is taken to be seen in one of two hundred terminal-hours.
	priorSeen  = 1
	priorHours = 200
)

// Scopes of an incident. Advisories go to the first four; an estate's incident is only shown, since nothing says which
// of its terminals share the cause.
const (
	ScopeAcquirer = "acquirer"
	ScopeCarrier  = "carrier"
	ScopeSite     = "site"
	ScopeModel    = "model"
	ScopeEstate   = "estate"
)

// scopes tells which terminals share a fault of a segment. Faults of a card or of a person are shared by none.
var scopes = map[string]string{
	"acquirer": ScopeAcquirer, "switch": ScopeAcquirer, "issuer": ScopeAcquirer, "unknown": ScopeAcquirer,
	"wan": ScopeCarrier, "modem": ScopeCarrier,
	"lan":      ScopeSite,
	"terminal": ScopeModel, "reader": ScopeModel, "pinpad": ScopeModel, "printer": ScopeModel,
}

// A Look is what there is to see at one moment.
type Look struct {
	Now       time.Time
	Sightings []store.Sighting          // within Window
	Active    map[report.Address]string // terminals that could have seen it, with their scheme
	Rates     map[store.RateKey]store.Rate
	Inventory Inventory
	Open      []store.Incident
}

type group struct{ estate, scope, key, cause string }

type tallied struct {
	segment   string
	terminals map[report.Address]bool
	codes     map[store.RateKey]int
}

// Detect returns the incidents that begin (No 0), those that go on, with new numbers, and those that end (Closed set).
func Detect(l Look) []store.Incident {
	groups := map[group]*tallied{}
	for _, s := range l.Sightings {
		scope := scopes[s.Segment]
		if scope == "" || s.Cause == "" {
			continue
		}
		scope, key := l.Inventory.place(s.At, scope, s.Scheme)
		g := group{s.At.Estate, scope, key, s.Cause}
		t := groups[g]
		if t == nil {
			t = &tallied{segment: s.Segment, terminals: map[report.Address]bool{}, codes: map[store.RateKey]int{}}
			groups[g] = t
		}
		t.terminals[s.At] = true
		t.codes[store.RateKey{Estate: s.At.Estate, Scheme: s.Scheme, Code: s.Code}]++
	}
	population := l.population()

	var out []store.Incident
	for _, i := range l.Open {
		g := group{i.Estate, i.Scope, i.Key, i.Cause}
		t := groups[g]
		delete(groups, g)
		if t == nil || len(t.terminals) < MinTerminals || l.chance(t, population[g.where()]) > closeAbove {
			i.Closed = l.Now
			out = append(out, i)
			continue
		}
		out = append(out, l.update(i, g, t, population))
	}
	for _, g := range slices.SortedFunc(maps.Keys(groups), func(a, b group) int {
		return cmp.Or(strings.Compare(a.estate, b.estate), strings.Compare(a.scope, b.scope), strings.Compare(a.key, b.key), strings.Compare(a.cause, b.cause))
	}) {
		t := groups[g]
		if len(t.terminals) >= MinTerminals && l.chance(t, population[g.where()]) < openBelow {
			out = append(out, l.update(store.Incident{Opened: l.Now}, g, t, population))
		}
	}
	return out
}

// where leaves out the cause.
func (g group) where() group { g.cause = ""; return g }

// population counts the active terminals of every scope.
func (l Look) population() map[group]int {
	n := map[group]int{}
	for at, scheme := range l.Active {
		for _, scope := range []string{ScopeAcquirer, ScopeCarrier, ScopeSite, ScopeModel} {
			if s, key := l.Inventory.place(at, scope, scheme); s == scope {
				n[group{at.Estate, scope, key, ""}]++
			}
		}
		n[group{at.Estate, ScopeEstate, at.Estate, ""}]++
	}
	return n
}

func (l Look) update(i store.Incident, g group, t *tallied, population map[group]int) store.Incident {
	i.Estate, i.Scope, i.Key, i.Cause, i.Segment = g.estate, g.scope, g.key, g.cause, t.segment
	i.Seen, i.Terminals, i.Of = l.Now, len(t.terminals), max(population[g.where()], len(t.terminals))
	i.Peak = max(i.Peak, i.Terminals)
	most := -1
	for k, n := range t.codes {
		if n > most || n == most && k.Code < i.Code {
			i.Code, most = k.Code, n
		}
	}
	return i
}

// chance is the probability that, at the base rate of the codes in a group, as many terminals as are in it would have
// seen one of them within the window: the upper tail of a Poisson distribution.
func (l Look) chance(t *tallied, active int) float64 {
	var perHour float64
	for k := range t.codes {
		r := l.Rates[k]
		perHour += float64(r.Seen+priorSeen) / float64(r.Hours+priorHours)
	}
	expected := perHour * Window.Hours() * float64(max(active, len(t.terminals)))
	return poissonTail(len(t.terminals), expected)
}

// poissonTail is P(X >= n) for a Poisson distribution with this mean.
func poissonTail(n int, mean float64) float64 {
	if n <= 0 || mean <= 0 {
		return map[bool]float64{true: 1, false: 0}[n <= 0]
	}
	lg, _ := math.Lgamma(float64(n) + 1)
	term := math.Exp(float64(n)*math.Log(mean) - mean - lg) // P(X = n)
	if float64(n) <= mean {
		// Near or above the middle: the sum from below is the short one, and no incident is decided here.
		below, p := 0.0, term
		for k := n; k > 0 && p > 0; k-- {
			p *= float64(k) / mean
			below += p
		}
		return max(0, 1-below)
	}
	sum := 0.0
	for k := n; term > sum*1e-12; k++ {
		sum += term
		term *= mean / float64(k+1)
	}
	return sum
}

// Advisories returns what the open incidents tell the terminals, by topic: for each scope and key the one that most
// terminals see.
func Advisories(list []store.Incident) map[string]report.Advisory {
	out := map[string]report.Advisory{}
	for _, i := range list {
		if !i.Closed.IsZero() || i.Scope == ScopeEstate {
			continue
		}
		key := topicWord(i.Key)
		topic := report.AdvisoryTopic(i.Estate, i.Scope, key)
		if old, ok := out[topic]; ok && old.Terminals >= i.Terminals {
			continue
		}
		share := math.Round(1000*float64(i.Terminals)/float64(max(i.Of, 1))) / 10
		out[topic] = report.Advisory{Scope: i.Scope, Key: key, Code: i.Code, Terminals: i.Terminals, SharePct: share, Time: i.Seen, Cause: i.Cause}
	}
	return out
}

// topicWord makes a name safe as one level of a topic.
func topicWord(s string) string {
	w := []rune(s)
	for i, r := range w {
		if (report.Address{Estate: string(r), Terminal: "-"}).Check() != nil {
			w[i] = '-'
		}
	}
	if len(w) == 0 {
		return "-"
	}
	return string(w[:min(len(w), 64)])
}
