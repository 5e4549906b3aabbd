package reader

import (
	"math"
	"sync"
	"time"
)

const (
	// readsKept bounds the memory of insertions: a busy till reads some hundred cards in the window.
	readsKept = 512
	// ReadsWindow is how far back insertions count.
	ReadsWindow = 4 * time.Hour
	// ReadsNeeded is how many cards a judgement takes: with fewer, two bad cards in a row look like a bad reader.
	ReadsNeeded = 5
	// sameCard is how soon after a failure the next failure is taken for the same card tried again.
	sameCard = time.Minute
)

// Reads counts insertions of cards and how they went. One insertion, however often it is retried inside the reader, is
// one card; so is a card put in again within a minute of failing, because customers do that. It may be used from any
// goroutine. The zero value is ready.
type Reads struct {
	mu   sync.Mutex
	list []insertion // oldest first
}

type insertion struct {
	start, end   time.Time
	good, failed int
}

// Read notes one attempt to read a card, as the payment application reports it. An insertion ends with
// a good read, or a minute after its last attempt.
func (r *Reads) Read(at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.list) - 1
	if last < 0 || r.list[last].good > 0 || at.Sub(r.list[last].end) > sameCard {
		if len(r.list) == readsKept {
			r.list = append(r.list[:0], r.list[1:]...)
		}
		r.list = append(r.list, insertion{start: at})
		last = len(r.list) - 1
	}
	i := &r.list[last]
	i.end = at
	if ok {
		i.good++
	} else {
		i.failed++
	}
}

// A Tally is what Reads knows of a window.
type Tally struct {
	Good, Failed       int // attempts, the UnifiedPOS GoodReadCount and FailedReadCount
	Cards, CardsFailed int // insertions, and those of them that never gave a good read
	Window             time.Duration
	Low, High          float64 // between which the share of failing cards lies, at 95 %
}

// Enough says that the tally is a sample, not an anecdote.
func (t Tally) Enough() bool { return t.Cards >= ReadsNeeded }

// Tally counts the insertions of the last four hours.
func (r *Reads) Tally(now time.Time) Tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	var t Tally
	for _, i := range r.list {
		age := now.Sub(i.start)
		if age > ReadsWindow || age < 0 {
			continue
		}
		t.Window = max(t.Window, age)
		t.Cards++
		t.Good += i.good
		t.Failed += i.failed
		if i.good == 0 {
			t.CardsFailed++
		}
	}
	t.Low, t.High = wilson(t.CardsFailed, t.Cards)
	return t
}

// wilson is the score interval of a share at 95 % (E. B. Wilson, JASA 22, 1927): unlike the usual one it is right for
// five cards of five.
func wilson(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, (mid-half)/(1+z*z/m)), min(1, (mid+half)/(1+z*z/m))
}
