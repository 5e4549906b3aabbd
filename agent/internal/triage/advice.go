package triage

import (
	"maps"
	"slices"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

// maxAdvice bounds the advisories kept; a fleet speaks of a handful of incidents at a time.
const maxAdvice = 64

// Advise gives the loop what the fleet sees on other terminals; nil ends an advisory.
func (l *Loop) Advise(scope, key string, a *report.Advisory) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := scope + "/" + key
	if a == nil {
		delete(l.advised, id)
		return
	}
	if _, ok := l.advised[id]; ok || len(l.advised) < maxAdvice {
		l.advised[id] = *a
	}
}

// advice is the fleet.advisory of the contract for an event: only what speaks of its code, or of no code in particular,
// and of such sales.
func (l *Loop) advice(ev report.Event, now time.Time) []report.Evidence {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []report.Evidence
	site := false // the fleet knows more than the neighbours
	for _, id := range slices.Sorted(maps.Keys(l.advised)) {
		a := l.advised[id]
		if !a.Concerns(&ev) {
			continue
		}
		site = site || a.Scope == "site"
		facts := []evidence.Value{evidence.Scope.Is(a.Scope), evidence.Terminals.Is(float64(a.Terminals)),
			evidence.SharePct.Is(a.SharePct),
			evidence.AgeS.Is(float64(max(0, now.Sub(a.Time)) / time.Second))}
		if a.Code != "" {
			facts = append(facts, evidence.Code.Is(a.Code))
		}
		list = append(list, at(internal(evidence.Said(evidence.FleetAdvisory, a.Scope, true, facts...)), now))
	}
	if !site {
		list = append(list, l.neighbours(ev, now)...)
	}
	return list
}

// internal marks evidence for which nothing was touched.
func internal(e report.Evidence) report.Evidence {
	e.Depth = report.Internal
	return e
}
