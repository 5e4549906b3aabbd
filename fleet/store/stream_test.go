package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestStream(t *testing.T) {
	take := func(seqs ...uint64) func(*Stream) {
		return func(s *Stream) {
			for _, q := range seqs {
				s.Take(q, t0)
			}
		}
	}
	for _, c := range []struct {
		name  string
		steps []func(*Stream)
		ack   uint64
		gaps  []Gap
		dups  uint64
	}{
		{"in order", []func(*Stream){take(1, 2, 3)}, 3, nil, 0},
		{"twice", []func(*Stream){take(1, 2, 2, 1)}, 2, nil, 2},
		{"a gap holds the ack", []func(*Stream){take(1, 2, 5)}, 2, []Gap{{First: 3, Last: 4, State: GapOpen}}, 0},
		{"filled from both ends", []func(*Stream){take(1, 6, 2, 5)}, 2, []Gap{{First: 3, Last: 4, State: GapOpen}}, 0},
		{"split", []func(*Stream){take(1, 6, 4)}, 1,
			[]Gap{{First: 2, Last: 3, State: GapOpen}, {First: 5, Last: 5, State: GapOpen}}, 0},
		{"filled whole, any order", []func(*Stream){take(1, 5, 3, 4, 2)}, 5, nil, 0},
		{"first contact in the middle", []func(*Stream){take(100)}, 0, []Gap{{First: 1, Last: 99, State: GapOpen}}, 0},
		{"the terminal holds nothing older", []func(*Stream){take(100), func(s *Stream) { s.Held(100, t0) }}, 100,
			[]Gap{{First: 1, Last: 99, State: GapLost, Reason: "not-held"}}, 0},
		{"birth before the first document", []func(*Stream){func(s *Stream) { s.Held(100, t0) }, take(100, 101)}, 101,
			[]Gap{{First: 1, Last: 99, State: GapBefore, Reason: "not-held"}}, 0},
		{"two births before the first document", []func(*Stream){func(s *Stream) { s.Held(3, t0); s.Held(9, t0) }, take(9)},
			9, []Gap{{First: 1, Last: 2, State: GapBefore, Reason: "not-held"}, {First: 3, Last: 8, State: GapBefore, Reason: "not-held"}}, 0},
		{"birth of an empty outbox", []func(*Stream){take(1, 2, 3), func(s *Stream) { s.Held(4, t0) }}, 3, nil, 0},
		{"an old birth changes nothing", []func(*Stream){take(1, 2, 3, 7), func(s *Stream) { s.Held(2, t0) }}, 3,
			[]Gap{{First: 4, Last: 6, State: GapOpen}}, 0},
		{"lost after all comes", []func(*Stream){take(5), func(s *Stream) { s.Held(5, t0) }, take(3)}, 5,
			[]Gap{{First: 1, Last: 2, State: GapLost, Reason: "not-held"}, {First: 4, Last: 4, State: GapLost, Reason: "not-held"}}, 0},
		{"dropped and said so", []func(*Stream){take(1, 2, 6, 7), func(s *Stream) { s.Dropped(3, 5, 3, "space", t0) }}, 7,
			[]Gap{{First: 3, Last: 5, State: GapDropped, Reason: "space"}}, 0},
		{"a kept one between comes", []func(*Stream){take(1, 4, 7), func(s *Stream) { s.Dropped(2, 6, 4, "age", t0) }}, 7,
			[]Gap{{First: 2, Last: 3, State: GapDropped, Reason: "age"}, {First: 5, Last: 6, State: GapDropped, Reason: "age"}}, 0},
		{"more missing than dropped: a kept one may still come",
			[]func(*Stream){take(1, 7), func(s *Stream) { s.Dropped(2, 6, 4, "age", t0) }}, 1,
			[]Gap{{First: 2, Last: 6, State: GapOpen}}, 0},
		{"dropped in the future is not believed", []func(*Stream){take(1), func(s *Stream) { s.Dropped(2, 1<<60, 1<<61, "space", t0) }}, 1, nil, 0},
		{"dropped backwards", []func(*Stream){take(1, 5), func(s *Stream) { s.Dropped(4, 2, 9, "space", t0) }}, 1,
			[]Gap{{First: 2, Last: 4, State: GapOpen}}, 0},
		{"patience", []func(*Stream){take(1, 4), func(s *Stream) { s.Expire(t0.Add(Patience - 1)) }}, 1,
			[]Gap{{First: 2, Last: 3, State: GapOpen}}, 0},
		{"out of patience", []func(*Stream){take(1, 4), func(s *Stream) { s.Expire(t0.Add(Patience)) }}, 4,
			[]Gap{{First: 2, Last: 3, State: GapLost, Reason: "timeout"}}, 0},
		{"filling renews patience", []func(*Stream){take(1, 9),
			func(s *Stream) { s.Take(2, t0.Add(Patience-1)); s.Expire(t0.Add(Patience)) }}, 2,
			[]Gap{{First: 3, Last: 8, State: GapOpen}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Stream{Epoch: "e"}
			for _, step := range c.steps {
				step(s)
			}
			if got := s.Ack().Seq; got != c.ack {
				t.Errorf("ack %d, want %d", got, c.ack)
			}
			if d := cmp.Diff(c.gaps, s.Gaps, cmpopts.IgnoreFields(Gap{}, "Since"), cmpopts.EquateEmpty()); d != "" {
				t.Error("gaps:", d)
			}
			if s.Duplicates != c.dups {
				t.Errorf("%d duplicates, want %d", s.Duplicates, c.dups)
			}
		})
	}
}

// Whatever order documents come in and however often, each is stored once, and the ack never passes one that is missing
// unless the terminal said that it never comes.
func TestStreamAgainstSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Stream{Epoch: "e"}
		have, gone := map[uint64]bool{}, map[uint64]bool{}
		var highest uint64
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				oldest := rapid.Uint64Range(0, 45).Draw(t, "oldest")
				s.Held(oldest, t0)
				for q := uint64(1); q < oldest; q++ {
					gone[q] = true
				}
				if oldest > 0 {
					highest = max(highest, oldest-1)
				}
			default:
				q := rapid.Uint64Range(1, 40).Draw(t, "seq")
				if v := s.Take(q, t0); (v == Fresh) != !have[q] {
					t.Fatalf("take %d: %v, but had it: %v", q, v, have[q])
				}
				have[q] = true
				highest = max(highest, q)
			}
			want := uint64(0)
			for want < highest && (have[want+1] || gone[want+1]) {
				want++
			}
			if got := s.Ack().Seq; got != want {
				t.Fatalf("ack %d, want %d; gaps %+v", got, want, s.Gaps)
			}
			for i, g := range s.Gaps {
				if g.First > g.Last || i > 0 && s.Gaps[i-1].Last >= g.First {
					t.Fatalf("gaps out of order: %+v", s.Gaps)
				}
				for q := g.First; q <= g.Last; q++ {
					if have[q] {
						t.Fatalf("%d is stored and in a gap: %+v", q, s.Gaps)
					}
				}
			}
		}
	})
}

func TestStreamIsBounded(t *testing.T) {
	s := &Stream{Epoch: "e"}
	refused := 0
	for q := uint64(2); q < 4*maxGaps; q += 2 {
		if s.Take(q, t0) == Refused {
			refused++
		}
	}
	if len(s.Gaps) > maxGaps || refused == 0 {
		t.Fatalf("%d gaps, %d refused", len(s.Gaps), refused)
	}
	// The refused come again once the older ones are there.
	for q := uint64(1); q < 4*maxGaps; q++ {
		if s.Take(q, t0) == Refused {
			t.Fatalf("refused %d in order", q)
		}
	}
	if len(s.Gaps) != 0 || s.Ack().Seq != 4*maxGaps-1 {
		t.Fatalf("ack %d, gaps %v", s.Ack().Seq, s.Gaps)
	}
	// Closed gaps give way to new ones.
	for q := uint64(4*maxGaps + 1); q < 12*maxGaps; q += 2 {
		s.Expire(t0.Add(Patience))
		if s.Take(q, t0) == Refused {
			t.Fatalf("refused %d though all gaps are closed", q)
		}
	}
	if len(s.Gaps) > maxGaps {
		t.Fatalf("%d gaps", len(s.Gaps))
	}
	for first := uint64(1); first < 2000; first += 3 {
		s.Dropped(first, first, 1, "age", t0)
		if len(s.Gaps) > maxGaps {
			t.Fatalf("%d gaps", len(s.Gaps))
		}
	}
}
