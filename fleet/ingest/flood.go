package ingest

import (
	"sync"
	"time"

	"posdx/agent/report"
)

// How much one terminal may send. A terminal reports some twenty diagnoses a day; one that was offline for a month
// sends six hundred at once. What exceeds this is counted and shown, not stored: a terminal with a fault, or the holder
// of a stolen key, must not push the documents of other terminals out of the store.
const (
	floodBurst = 3000 // diagnoses at once
	floodHour  = 500  // and an hour in the long run

	// floodPart is the part of all documents of late from which one terminal crowds out the others. Below it there is
	// room, and nothing is refused.
	floodPart = 0.25
	floodSpan = 4096 // documents; after so many those before count half

	maxFloods = 100_000 // terminals watched at a time; those that were quiet for longest are forgotten
)

// floods keeps a bucket for each terminal. The zero value is ready.
type floods struct {
	mu sync.Mutex
	by map[report.Address]*bucket // guarded by mu

	total float64 // documents of late, older ones by half, and in which span; guarded by mu
	since int
	span  int
}

type bucket struct {
	left float64
	at   time.Time

	recent float64
	span   int
}

// allow takes one diagnosis of a terminal from its bucket, false if there is none left.
func (f *floods) allow(at report.Address, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.by[at]
	if b == nil {
		if f.by == nil {
			f.by = map[report.Address]*bucket{}
		}
		if len(f.by) >= maxFloods {
			for k, old := range f.by {
				if old.fill(now); old.left >= floodBurst {
					delete(f.by, k) // full again: nothing to remember
				}
			}
			if len(f.by) >= maxFloods {
				return true
			}
		}
		b = &bucket{left: floodBurst, at: now, span: f.span}
		f.by[at] = b
	}
	b.fill(now)
	if f.since++; f.since >= floodSpan {
		f.since, f.total = 0, f.total/2
		f.span++
	}
	for ; b.span < f.span && b.recent > 0; b.span++ {
		b.recent /= 2
		if b.recent < 0.5 {
			b.recent = 0
		}
	}
	b.span = f.span
	f.total++
	b.recent++
	if b.left < 1 {
		return b.recent <= floodPart*f.total
	}
	b.left--
	return true
}

func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.left = min(floodBurst, b.left+d.Hours()*floodHour)
	}
	b.at = now
}
