package reader

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"posdx/firmware-build/housetest"
)

var morning = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func TestReads(t *testing.T) {
	at := func(minutes float64) time.Time { return morning.Add(time.Duration(minutes * float64(time.Minute))) }
	var r Reads
	if got := r.Tally(morning); got.Cards.Enough() || got.Cards.Cards != 0 {
		t.Errorf("nothing yet: %+v", got)
	}
	for _, a := range []struct {
		minutes float64
		ok      bool
	}{
		{0, true},
		{1, false}, // one card, tried three times, read at last
		{1.2, false},
		{1.5, true},
		{2, false}, // one card, tried twice and given up
		{2.5, false},
		{5, false}, // another
		{8, true},
		{8.1, true}, // two good reads are two cards
	} {
		r.Note(Attempt{At: at(a.minutes), OK: a.ok})
	}
	got := r.Tally(at(10))
	if want := (Tally{Good: 4, Failed: 5, Cards: Rate{6, 2}, Retried: 1, Window: 10 * time.Minute}); got != want ||
		!got.Cards.Enough() {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := r.Tally(at(0).Add(ReadsWindow + 4*time.Minute)); got.Cards.Cards != 3 {
		t.Errorf("the oldest must have been forgotten: %+v", got)
	}
	for i := range 2 * readsKept {
		r.Note(Attempt{At: at(10 + float64(i)/100), OK: true})
	}
	if got := r.Tally(at(40)); got.Cards.Cards != readsKept {
		t.Errorf("unbounded: %+v", got)
	}
}

// One bad card, put in again and again, is one card: within a minute by itself, later if the application knows it.
func TestOneBadCard(t *testing.T) {
	var r Reads
	now := morning
	for range 10 {
		r.Note(Attempt{At: now})
		now = now.Add(20 * time.Second)
	}
	for range 5 {
		now = now.Add(3 * time.Minute)
		r.Note(Attempt{At: now, Same: true})
	}
	if got := r.Tally(now); got.Cards != (Rate{1, 1}) || got.Cards.Enough() || got.Failed != 15 {
		t.Errorf("%+v", got)
	}
	r.Note(Attempt{At: now.Add(2 * sameLimit), Same: true})
	if got := r.Tally(now.Add(2 * sameLimit)); got.Cards != (Rate{2, 2}) {
		t.Errorf("a word from long ago: %+v", got)
	}
}

// A worn contact does not hide behind the contactless cards of the day, nor behind the retry of the same customer at
// another head.
func TestTheWorstHead(t *testing.T) {
	var r Reads
	now := morning
	for i := range 40 {
		now = now.Add(2 * time.Minute)
		if i%4 == 0 {
			r.Note(Attempt{At: now, Head: HeadChip, OK: i%8 != 0})
		}
		r.Note(Attempt{At: now.Add(10 * time.Second), Head: HeadContactless, OK: true})
	}
	now = now.Add(time.Minute)
	all, worst := r.Tally(now), r.Worst(now)
	if all.Cards != (Rate{50, 5}) || all.Head != HeadUnknown || worst.Head != HeadChip || worst.Cards != (Rate{10, 5}) {
		t.Errorf("all %+v\nworst %+v", all, worst)
	}
	if low, high := worst.Cards.Interval(); math.Abs(low-0.2366) > 5e-4 || math.Abs(high-0.7634) > 5e-4 {
		t.Errorf("%.4f to %.4f", low, high)
	}
}

func TestOneHeadHasItsName(t *testing.T) {
	var r Reads
	r.Note(Attempt{At: morning, Head: HeadStripe, OK: true})
	if got := r.Worst(morning); got.Head != HeadStripe {
		t.Errorf("%+v", got)
	}
}

// Tracks and steps are judged by the cards that came to them.
func TestTracksAndSteps(t *testing.T) {
	var r Reads
	now := morning
	for i := range 12 {
		now = now.Add(2 * time.Minute)
		tracks := [3]Track{TrackGood, TrackGood, TrackNone}
		if i%3 == 0 {
			tracks[1] = TrackBad
		}
		if i == 5 {
			tracks[0] = TrackLRC
		}
		r.Note(Swipe{Tracks: tracks}.Attempt(true).at(now))
		chip := Attempt{At: now, Head: HeadChip, OK: true, Reached: Steps(0).with(StepPowerOn).with(StepSelect)}
		if i >= 10 {
			chip.OK, chip.Broken = false, Steps(0).with(StepSelect)
		}
		r.Note(chip)
	}
	got := r.Tally(now)
	if want := [3]Rate{{12, 1}, {12, 4}, {}}; got.Tracks != want {
		t.Errorf("tracks %v, want %v", got.Tracks, want)
	}
	if got.Steps[StepPowerOn] != (Rate{12, 0}) || got.Steps[StepSelect] != (Rate{12, 2}) ||
		got.Steps[StepRead] != (Rate{}) {
		t.Errorf("steps %v", got.Steps)
	}
	s := r.Totals().Statistics()
	if s["GoodReadCount"] != 22 || s["FailedReadCount"] != 2 || s["ParityLRCErrorTrack1Count"] != 1 || s["ParityLRCErrorTrack2Count"] != 4 {
		t.Errorf("%v", s)
	}
}

func (a Attempt) at(t time.Time) Attempt { a.At = t; return a }

// What is overheard on a head's own line is not counted a second time when the payment application tells it too.
func TestHearsay(t *testing.T) {
	var r Reads
	r.Note(Attempt{At: morning, Head: HeadChip, OK: true, Told: true})
	r.Note(Attempt{At: morning.Add(time.Minute), Head: HeadChip, OK: true}) // the line is heard from here on
	r.Note(Attempt{At: morning.Add(time.Minute), Head: HeadChip, OK: true, Told: true})
	r.Note(Attempt{At: morning.Add(2 * time.Minute), OK: true, Told: true}) // the application does not say which
	r.Note(Attempt{At: morning.Add(3 * time.Minute), Head: HeadContactless, OK: true, Told: true})
	if got := r.Tally(morning.Add(time.Hour)); got.Cards.Cards != 3 {
		t.Errorf("%+v", got)
	}
}

// Thirty quiet days, then every third card needs a second try: the head is worn though all cards are read.
func TestWear(t *testing.T) {
	var r Reads
	now := morning.AddDate(0, 0, -30)
	sell := func(cards, oneIn int) {
		for i := range cards {
			now = now.Add(3 * time.Minute)
			if oneIn > 0 && i%oneIn == 0 {
				r.Note(Attempt{At: now, Head: HeadChip})
				now = now.Add(5 * time.Second)
			}
			r.Note(Attempt{At: now, Head: HeadChip, OK: true})
		}
		now = now.Add(24*time.Hour - time.Duration(cards)*3*time.Minute).Truncate(24 * time.Hour)
	}
	for range 20 {
		sell(40, 20)
		if w := r.Wear(now); w.Shows() {
			t.Fatalf("a sound head shows wear: %+v", w)
		}
	}
	sell(40, 3)
	sell(40, 3)
	w := r.Wear(now.Add(-12 * time.Hour))
	if !w.Shows() || w.Head != HeadChip || w.Recent.Failed < 20 || w.Earlier.Cards < 600 {
		t.Errorf("%+v", w)
	}
	if low := r.Tally(now.Add(-12 * time.Hour)).Cards.Failed; low != 0 {
		t.Errorf("%d cards failed in this test, want none: the point is to see it before", low)
	}
}

func TestMemory(t *testing.T) {
	var r Reads
	now := morning.AddDate(0, 0, -3)
	for i := range 300 {
		now = now.Add(17 * time.Minute)
		r.Note(Attempt{At: now, Head: Head(i % 4), OK: i%5 != 0, Tracks: [3]Track{TrackBad}})
	}
	b, err := json.Marshal(r.Memory())
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 8<<10 {
		t.Errorf("%d bytes to write", len(b))
	}
	var m Memory
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	var again Reads
	again.Restore(m, now)
	if diff := cmp.Diff(r.Memory(), again.Memory()); diff != "" {
		t.Error(diff)
	}
	if a, b := r.Tally(now), again.Tally(now); a.Cards != b.Cards || a.Cards.Cards == 0 {
		t.Errorf("before %+v, after %+v", a, b)
	}
	if again.Noted() != 0 {
		t.Error("what was restored would be written again")
	}
	// A clock that has lost its cell costs none of it.
	var lost Reads
	lost.Restore(m, time.Unix(1000, 0))
	lost.Note(Attempt{At: time.Unix(2000, 0), Head: HeadChip, OK: true})
	if a, b := lost.Memory().Days, r.Memory().Days; len(a) != len(b) ||
		a[len(a)-1].Heads[HeadChip][0] != b[len(b)-1].Heads[HeadChip][0]+1 {
		t.Errorf("after a reset clock: %+v", a)
	}
	// A clock that was years ahead must not leave days behind that nothing ever replaces.
	var early Reads
	early.Restore(m, morning.AddDate(-1, 0, 0))
	if k := early.Memory(); len(k.Days) != 0 || len(k.Recent) != 0 {
		t.Errorf("days to come: %+v", k)
	}
}

// Whatever is noted in whatever order, no count is more than there can be.
func TestReadsStayWithinReason(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Reads
		now := morning
		for range rapid.IntRange(1, 200).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(-100, 4000).Draw(t, "s")) * time.Second)
			r.Note(Attempt{
				At: now, Head: Head(rapid.IntRange(0, 9).Draw(t, "head")), OK: rapid.Bool().Draw(t, "ok"), Same: rapid.Bool().Draw(t, "same"),
				Told: rapid.Bool().Draw(t, "told"), Reached: Steps(rapid.Byte().Draw(t, "reached")), Broken: Steps(rapid.Byte().Draw(t, "broken")),
			})
		}
		for _, got := range []Tally{r.Tally(now), r.Worst(now)} {
			low, high := got.Cards.Interval()
			if got.Cards.Failed > got.Cards.Cards || got.Retried > got.Cards.Cards-got.Cards.Failed || low > high || low < 0 ||
				high > 1 {
				t.Fatalf("%+v", got)
			}
			for _, s := range got.Steps {
				if s.Failed > s.Cards || s.Cards > got.Cards.Cards {
					t.Fatalf("%+v", got)
				}
			}
		}
		var again Reads
		again.Restore(r.Memory(), now.Add(200*time.Hour))
		for _, d := range r.Memory().Days {
			for _, h := range d.Heads {
				if h[0] < 0 || h[1] < 0 || h[2] < 0 {
					t.Fatalf("%+v", d)
				}
			}
		}
	})
}

func TestWilson(t *testing.T) {
	for _, c := range housetest.Wilson {
		if low, high := wilson(c.K, c.N); math.Abs(low-c.Low) > 5e-4 || math.Abs(high-c.High) > 5e-4 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", c.K, c.N, low, high, c.Low, c.High)
		}
	}
	if low, high := wilson(0, 0); low != 0 || high != 1 {
		t.Errorf("of none: %.4f to %.4f", low, high)
	}
}

// A file that somebody else wrote, or half of one, does no harm.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"days":[{"day":20413,"heads":[[4,1,0],[0,0,0],[9,2,3],[0,0,0]]}],"recent":[{"at":1763712000,"head":2,"good":1,"failed":0}],"totals":{"Good":9}}`))
	f.Add([]byte(`{"days":[{"day":-1,"heads":[[-1,9,9]]},{"day":9e18}],"recent":[{"head":200,"good":-4}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Memory
		if json.Unmarshal(b, &m) != nil {
			return
		}
		var r Reads
		r.Restore(m, morning)
		r.Note(Attempt{At: morning, Head: HeadChip, OK: true})
		got, wear := r.Tally(morning), r.Wear(morning)
		if got.Cards.Failed > got.Cards.Cards || got.Cards.Cards < 1 || got.Cards.Cards > recentKept+1 ||
			wear.Recent.Failed > wear.Recent.Cards {
			t.Fatalf("%+v %+v", got, wear)
		}
	})
}
