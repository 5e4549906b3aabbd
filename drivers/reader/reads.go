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
	// sameLimit is how long an application's word that it is still the same card is believed.
	sameLimit = 10 * time.Minute
)

// A Head is the part of a reader that reads one kind of card: stripe, chip or contactless. One may wear out while the
// others are well.
type Head byte

// The heads of a reader. HeadUnknown is for reads of which it was not told.
const (
	HeadUnknown Head = iota
	HeadStripe
	HeadChip
	HeadContactless
	headCount
)

func (h Head) String() string {
	return [...]string{"unknown", "stripe", "chip", "contactless"}[min(h, HeadContactless)]
}

// HeadOf is the head of an entry mode as events name them: stripe, chip, contactless.
func HeadOf(entry string) Head {
	for h := HeadStripe; h < headCount; h++ {
		if entry == h.String() {
			return h
		}
	}
	return HeadUnknown
}

// A Step is a phase of the dialogue with a chip, in the order of EMV book 3.
type Step byte

// Steps of a chip's dialogue.
const (
	StepPowerOn    Step = iota // the answer to reset
	StepSelect                 // SELECT
	StepStart                  // GET PROCESSING OPTIONS
	StepRead                   // READ RECORD, GET DATA
	StepVerify                 // VERIFY, INTERNAL and EXTERNAL AUTHENTICATE, GET CHALLENGE
	StepCryptogram             // GENERATE AC
	StepOther                  // anything else
	stepCount
)

func (s Step) String() string {
	return [...]string{"power-on", "select", "start", "read", "verify", "cryptogram", "other"}[min(s, StepOther)]
}

// Steps is a set of steps.
type Steps byte

func (s Steps) with(x Step) Steps { return s | 1<<x }
func (s Steps) has(x Step) bool   { return s&(1<<x) != 0 }

// An Attempt is one try to read a card. What is not known is zero.
type Attempt struct {
	At     time.Time
	Head   Head
	OK     bool
	Same   bool     // the teller knows that it is the card of the attempt before
	Told   bool     // by the payment application; heads that are overheard themselves need no such word
	Tracks [3]Track // of a stripe
	// Reached are the steps that a chip was asked for, Broken those at which it or its contact failed.
	Reached, Broken Steps
}

// Reads counts insertions of cards and how they went. One insertion, however often it is retried inside the reader, is
// one card; so is a card put in again within a minute of failing, because customers do that. It may be used from any
// goroutine. The zero value is ready.
type Reads struct {
	mu     sync.Mutex
	list   []insertion // oldest first
	days   []day       // oldest first
	heard  [headCount]bool
	totals Totals
	noted  uint64
}

// An insertion is one card at one head. Tracks are bits 0 to 2.
type insertion struct {
	start, end          time.Time
	head                Head
	good, failed        int
	trackGood, trackBad byte
	reached, broken     Steps
}

// Totals are the counts of all attempts, not cards, since counting began; they are kept over restarts.
type Totals struct {
	Good, Failed uint64
	NoStart      uint64    // swipes in which data came that no start sentinel introduced
	TrackBad     [3]uint64 // tracks that the reader could not decode, or whose check character was wrong
}

// Statistics are the totals under their UnifiedPOS names (UnifiedPOS 1.16, statistics of the MSR).
func (t Totals) Statistics() map[string]uint64 {
	return map[string]uint64{
		"GoodReadCount": t.Good, "FailedReadCount": t.Failed, "MissingStartSentinelTrack1Count": t.NoStart,
		"ParityLRCErrorTrack1Count": t.TrackBad[0], "ParityLRCErrorTrack2Count": t.TrackBad[1], "ParityLRCErrorTrack3Count": t.TrackBad[2],
	}
}

// Note takes in one attempt. An insertion ends with a good read, or a minute after its last attempt.
func (r *Reads) Note(a Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Head = min(a.Head, HeadContactless)
	if a.Told {
		if r.heard[a.Head] || a.Head == HeadUnknown && r.heard != [headCount]bool{} {
			return
		}
	} else {
		r.heard[a.Head] = true
	}
	r.noted++
	i := r.last(a.Head)
	isNew := i == nil || a.At.Sub(i.end) > sameLimit || a.At.Before(i.start) || !a.Same &&
		(i.good > 0 || a.At.Sub(i.end) > sameCard)
	before := trouble{}
	if isNew {
		if len(r.list) == readsKept {
			r.list = append(r.list[:0], r.list[1:]...)
		}
		r.list = append(r.list, insertion{start: a.At, head: a.Head})
		i = &r.list[len(r.list)-1]
	} else {
		before = i.trouble()
	}
	i.end = a.At
	if a.OK {
		i.good++
		r.totals.Good++
	} else {
		i.failed++
		r.totals.Failed++
	}
	for n, t := range a.Tracks {
		switch t {
		case TrackNone, TrackBlank: // a card that has nothing there says nothing of the head
		case TrackGood:
			i.trackGood |= 1 << n
		default:
			i.trackBad |= 1 << n
			if t == TrackBad || t == TrackLRC {
				r.totals.TrackBad[n]++
			}
		}
	}
	i.reached, i.broken = i.reached|a.Reached|a.Broken, i.broken|a.Broken
	r.today(a.At).put(a.Head, isNew, before, i.trouble())
}

// NoStart counts a swipe without a start sentinel.
func (r *Reads) NoStart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.NoStart++
	r.noted++
}

func (r *Reads) last(h Head) *insertion {
	for n := len(r.list) - 1; n >= 0; n-- {
		if r.list[n].head == h {
			return &r.list[n]
		}
	}
	return nil
}

// A Rate is how many of a number of cards failed.
type Rate struct{ Cards, Failed int }

// Share is the part of the cards that failed, 0 if there were none.
func (r Rate) Share() float64 { return float64(r.Failed) / float64(max(r.Cards, 1)) }

// Interval is the range in which the true share of failing cards lies with 95 % confidence.
func (r Rate) Interval() (low, high float64) { return wilson(r.Failed, r.Cards) }

// Enough reports whether there were enough cards for the rate to mean something.
func (r Rate) Enough() bool { return r.Cards >= ReadsNeeded }

func (r *Rate) put(failed bool) {
	r.Cards++
	if failed {
		r.Failed++
	}
}

// A Tally is what Reads knows of one head, or of all of them, in the window.
type Tally struct {
	Head         Head // HeadUnknown if it is about several
	Good, Failed int  // attempts, the UnifiedPOS GoodReadCount and FailedReadCount
	Cards        Rate // insertions, and those of them that never gave a good read
	Retried      int  // insertions that gave a good read, but not at once
	Window       time.Duration
	Tracks       [3]Rate         // of insertions that had the track
	Steps        [stepCount]Rate // of insertions that came to the step
}

// Tally counts the insertions of the last four hours, of all heads together.
func (r *Reads) Tally(now time.Time) Tally {
	t := r.tally(now, HeadUnknown)
	for h := HeadStripe; h < headCount; h++ {
		if one := r.tally(now, h); one.Cards.Cards == t.Cards.Cards && t.Cards.Cards > 0 {
			t.Head = h
		}
	}
	return t
}

// Worst is the tally of the head whose failing is most certain, among those with enough cards, so that a worn chip
// contact is not hidden by many contactless cards. It is the tally of all heads together if none of them fails.
func (r *Reads) Worst(now time.Time) Tally {
	worst := r.recent(now, r.Tally(now))
	least := -1.0
	if worst.Cards.Enough() && worst.Cards.Failed > 0 {
		least, _ = worst.Cards.Interval()
	}
	for h := HeadStripe; h < headCount; h++ {
		t := r.recent(now, r.tally(now, h))
		if low, _ := t.Cards.Interval(); t.Cards.Enough() && t.Cards.Failed > 0 && low > least {
			worst, least = t, low
		}
	}
	return worst
}

// recent is the tally of the last cards alone, if it is certain that they fail more often than those before them: many
// good cards must not hide a head that has begun to fail. Else it is the tally of the whole window.
func (r *Reads) recent(now time.Time, whole Tally) Tally {
	worst, least := whole, 0.0
	for _, n := range [...]int{40, 20, 10, ReadsNeeded} {
		t := r.lately(now, whole.Head, n)
		before := Rate{whole.Cards.Cards - t.Cards.Cards, whole.Cards.Failed - t.Cards.Failed}
		if before.Cards < n || t.Cards.Cards < n {
			continue
		}
		low, _ := t.Cards.Interval()
		if _, high := before.Interval(); low > high && low > least {
			worst, least = t, low
		}
	}
	return worst
}

func (r *Reads) tally(now time.Time, h Head) Tally { return r.lately(now, h, readsKept) }

// lately counts the last n insertions of the window.
func (r *Reads) lately(now time.Time, h Head, n int) Tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := Tally{Head: h}
	for k := len(r.list) - 1; k >= 0 && n > 0; k-- {
		i := r.list[k]
		age := now.Sub(i.start)
		if age > ReadsWindow || age < 0 || h != HeadUnknown && i.head != h {
			continue
		}
		n--
		t.Window = max(t.Window, age)
		t.Good += i.good
		t.Failed += i.failed
		t.Cards.put(i.good == 0)
		if i.good > 0 && i.failed > 0 {
			t.Retried++
		}
		for n := range t.Tracks {
			if bit := byte(1 << n); (i.trackGood|i.trackBad)&bit != 0 {
				t.Tracks[n].put(i.trackGood&bit == 0)
			}
		}
		for s := range stepCount {
			if i.reached.has(s) {
				t.Steps[s].put(i.broken.has(s))
			}
		}
	}
	return t
}

// Totals returns the counts since counting began.
func (r *Reads) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totals
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
