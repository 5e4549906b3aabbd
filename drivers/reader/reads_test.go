package reader

import (
	"math"
	"testing"
	"time"
)

func TestReads(t *testing.T) {
	start := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	at := func(minutes float64) time.Time { return start.Add(time.Duration(minutes * float64(time.Minute))) }
	var r Reads
	if got := r.Tally(start); got.Enough() || got.Cards != 0 || got.High != 1 {
		t.Errorf("nothing yet: %+v", got)
	}
	r.Read(at(0), true)
	r.Read(at(1), false) // one card, tried three times, read at last
	r.Read(at(1.2), false)
	r.Read(at(1.5), true)
	r.Read(at(2), false) // one card, tried twice and given up
	r.Read(at(2.5), false)
	r.Read(at(5), false) // another
	r.Read(at(8), true)
	r.Read(at(8.1), true) // two good reads are two cards
	got := r.Tally(at(10))
	if got.Good != 4 || got.Failed != 5 || got.Cards != 6 || got.CardsFailed != 2 || !got.Enough() || got.Window != 10*time.Minute {
		t.Errorf("%+v", got)
	}
	if got := r.Tally(at(0).Add(ReadsWindow + 4*time.Minute)); got.Cards != 3 {
		t.Errorf("the oldest must have been forgotten: %+v", got)
	}
	for i := range 2 * readsKept {
		r.Read(at(10+float64(i)/100), true)
	}
	if got := r.Tally(at(40)); got.Cards != readsKept {
		t.Errorf("unbounded: %+v", got)
	}
}

// One bad card, put in again and again, is one card.
func TestOneBadCard(t *testing.T) {
	var r Reads
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for range 10 {
		r.Read(now, false)
		now = now.Add(20 * time.Second)
	}
	if got := r.Tally(now); got.Cards != 1 || got.CardsFailed != 1 || got.Enough() {
		t.Errorf("%+v", got)
	}
}

// The values were computed apart, in Python.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{{5, 5, 0.5655, 1}, {0, 5, 0, 0.4345}, {3, 6, 0.1876, 0.8124}, {1, 10, 0.0179, 0.4042}, {0, 0, 0, 1}} {
		if low, high := wilson(c.k, c.n); math.Abs(low-c.low) > 5e-4 || math.Abs(high-c.high) > 5e-4 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}
