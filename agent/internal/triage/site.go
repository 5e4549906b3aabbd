package triage

import (
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

const (
	// heeded is for how long a neighbour's word counts, by when it was heard: clocks may differ.
	heeded = 15 * time.Minute

	maxHeard     = 64 // words
	maxHeardEach = 8  // of one neighbour, so that none drowns the others
)

// heard is the last word of a neighbour about a code.
type heard struct {
	who, code string
	at        time.Time
}

// Neighbour records that another terminal of this site, who, has met a code.
func (l *Loop) Neighbour(who string, w report.SiteWord, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := 0
	for _, h := range l.heard {
		if h.who == who {
			own++
		}
	}
	keep := l.heard[:0]
	for _, h := range l.heard {
		if mine := h.who == who; now.Sub(h.at) >= heeded || mine && (h.code == w.Code || own >= maxHeardEach) {
			if mine {
				own--
			}
			continue
		}
		keep = append(keep, h)
	}
	l.heard = append(keep, heard{who, w.Code, now})
	if n := len(l.heard) - maxHeard; n > 0 {
		l.heard = append(l.heard[:0], l.heard[n:]...)
	}
}

// neighbours is what those of the site say of an event's code, as evidence like the fleet's; nil if nobody met it. The
// caller holds the lock.
func (l *Loop) neighbours(ev report.Event, now time.Time) []report.Evidence {
	who, newest := map[string]bool{}, time.Time{}
	for _, h := range l.heard {
		if h.code == ev.Code && now.Sub(h.at) < heeded {
			who[h.who] = true
			newest = h.at
		}
	}
	if len(who) == 0 {
		return nil
	}
	return []report.Evidence{at(internal(evidence.Said(evidence.FleetAdvisory, "site", true, evidence.Scope.Is("site"),
		evidence.Terminals.Is(float64(len(who)+1)), evidence.Code.Is(ev.Code),
		evidence.AgeS.Is(float64(max(0, now.Sub(newest))/time.Second)))), now)}
}
