package reader

import (
	"time"
)

// A head that wears out is seen before it fails: more and more cards are read at the second try only. That shows over
// days, so per day and head three numbers are kept for a month.

const (
	daysKept = 32
	// wearRecent is how many days are held against those before them.
	wearRecent = 3
	// wearNeeded is how many cards either side of that comparison takes.
	wearNeeded = 30
	// recentKept is how many insertions outlast a restart.
	recentKept = 100
	// firstDay is in 2024: a clock that says less has lost its cell, and what it says drops nothing.
	firstDay = 19723
)

// trouble is how an insertion went: given up, or read at a second try.
type trouble struct{ failed, retried bool }

func (i *insertion) trouble() trouble {
	return trouble{failed: i.good == 0, retried: i.good > 0 && i.failed > 0}
}

// A day is what one day saw. Index is days since 1970, in UTC.
type day struct {
	Index int64
	Heads [headCount]dayHead
}

type dayHead struct{ Cards, Failed, Retried int }

func dayOf(at time.Time) int64 { return at.Unix() / 86400 }

// today returns the day of a moment. Days that a clock which ran ahead has recorded are dropped. With a clock that was
// reset to the past it is the last day known.
func (r *Reads) today(at time.Time) *day {
	index := dayOf(at)
	if n := len(r.days); n > 0 && index < firstDay {
		return &r.days[n-1]
	}
	for n := len(r.days); n > 0 && r.days[n-1].Index > index; n-- {
		r.days = r.days[:n-1]
	}
	if n := len(r.days); n == 0 || r.days[n-1].Index != index {
		if n == daysKept {
			r.days = append(r.days[:0], r.days[1:]...)
		}
		r.days = append(r.days, day{Index: index})
	}
	return &r.days[len(r.days)-1]
}

// put counts an insertion, or changes how it counts after another attempt.
func (d *day) put(h Head, isNew bool, before, after trouble) {
	c := &d.Heads[h]
	if isNew {
		c.Cards++
	}
	c.Failed = max(0, c.Failed+one(after.failed)-one(before.failed))
	c.Retried = max(0, c.Retried+one(after.retried)-one(before.retried))
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Wear is how many cards gave a head trouble, by not being read or not at the first try, in the last days and in those
// before.
type Wear struct {
	Head            Head
	Recent, Earlier Rate
}

// Shows reports whether the head has become worse, with 95 % confidence on either side.
func (w Wear) Shows() bool {
	if w.Recent.Cards < wearNeeded || w.Earlier.Cards < wearNeeded {
		return false
	}
	low, _ := w.Recent.Interval()
	_, high := w.Earlier.Interval()
	return low > high
}

// Wear returns the head that has become worse most clearly; Shows tells whether one has.
func (r *Reads) Wear(now time.Time) (worst Wear) {
	r.mu.Lock()
	defer r.mu.Unlock()
	today, margin := dayOf(now), -1.0
	for h := range headCount {
		w := Wear{Head: h}
		for _, d := range r.days {
			c, rate := d.Heads[h], &w.Earlier
			switch age := today - d.Index; {
			case age < 0 || age >= daysKept:
				continue
			case age < wearRecent:
				rate = &w.Recent
			}
			rate.Cards += c.Cards
			rate.Failed += min(c.Failed+c.Retried, c.Cards)
		}
		low, _ := w.Recent.Interval()
		if _, high := w.Earlier.Interval(); w.Recent.Cards >= wearNeeded && low-high > margin {
			worst, margin = w, low-high
		}
	}
	return worst
}

// A Memory is what Reads keeps over a restart. It holds counts and moments, nothing of any card.
type Memory struct {
	Days   []MemoryDay  `json:"days"`
	Recent []MemoryCard `json:"recent"`
	Totals Totals       `json:"totals"`
}

// A MemoryDay is three numbers for each head, in the order unknown, stripe, chip, contactless: cards, failed, retried.
type MemoryDay struct {
	Day   int64             `json:"day"`
	Heads [headCount][3]int `json:"heads"`
}

// A MemoryCard is one insertion.
type MemoryCard struct {
	Unix   int64 `json:"at"`
	Head   Head  `json:"head"`
	Good   int   `json:"good"`
	Failed int   `json:"failed"`
}

// Noted is how many attempts were taken since the start: while it stays the same there is nothing new to keep.
func (r *Reads) Noted() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noted
}

// Memory returns what is worth keeping.
func (r *Reads) Memory() Memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := Memory{Totals: r.totals}
	for _, d := range r.days {
		k := MemoryDay{Day: d.Index}
		for h, c := range d.Heads {
			k.Heads[h] = [3]int{c.Cards, c.Failed, c.Retried}
		}
		m.Days = append(m.Days, k)
	}
	for _, i := range r.list[max(0, len(r.list)-recentKept):] {
		m.Recent = append(m.Recent, MemoryCard{i.end.Unix(), i.head, i.good, i.failed})
	}
	return m
}

// Restore takes back what Memory returned before a restart. What cannot be true, such as a day in the future, is left
// out.
func (r *Reads) Restore(m Memory, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals = m.Totals
	last, lost := int64(-1), dayOf(now) < firstDay
	for _, k := range m.Days {
		if k.Day <= last || k.Day > dayOf(now) && !lost || len(r.days) == daysKept {
			continue
		}
		last = k.Day
		d := day{Index: k.Day}
		for h, c := range k.Heads {
			if c[0] >= 0 && c[1] >= 0 && c[2] >= 0 && c[1]+c[2] <= c[0] {
				d.Heads[h] = dayHead{c[0], c[1], c[2]}
			}
		}
		r.days = append(r.days, d)
	}
	for _, c := range m.Recent {
		at := time.Unix(c.Unix, 0)
		if c.Head < headCount && c.Good >= 0 && c.Failed >= 0 && c.Good+c.Failed > 0 && !at.After(now) &&
			len(r.list) < recentKept {
			r.list = append(r.list, insertion{start: at, end: at, head: c.Head, good: c.Good, failed: c.Failed})
		}
	}
}
