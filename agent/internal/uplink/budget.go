package uplink

import (
	"sync"
	"time"
)

// A budget is the day's bytes of a metered line. It fills evenly over 24 hours of running time and holds one day's
// worth, so no clock on the wall can empty or fill it.
type budget struct {
	mu    sync.Mutex
	day   int64 // 0: without bound
	level float64
	at    time.Time
}

func newBudget(day int64, now time.Time) *budget {
	return &budget{day: day, level: float64(day), at: now}
}

func (b *budget) spend(n int, now time.Time) {
	if b.day <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	b.level -= float64(n)
}

func (b *budget) left(now time.Time) int64 {
	if b.day <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return int64(b.level)
}

func (b *budget) over(now time.Time) bool { return b.day > 0 && b.left(now) <= 0 }

func (b *budget) fill(now time.Time) {
	day := float64(b.day)
	b.level = min(day, b.level+day*now.Sub(b.at).Hours()/24)
	b.at = now
}
