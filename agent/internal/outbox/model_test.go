package outbox_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/outbox/crashfs"
	"posdx/agent/report"
)

// tell counts what the reports name, by kind, and of these what has come after all and under no other number. A report
// whose own number lies in the ranges of another is contained in it: the outbox dropped it too, and tells again what it
// said.
func (f *fleet) tell(kinds map[string]string) (dropped, came map[string]int) {
	dropped, came = map[string]int{}, map[string]int{}
	well := map[string]bool{}
	for epoch, m := range f.got {
		for seq, doc := range m {
			if explained := f.explained(epoch, seq); kinds[doc] != "" {
				well[doc] = well[doc] || !explained
			} else if !explained {
				for k, n := range f.told[epoch][seq].Counts {
					dropped[k] += n
				}
			}
		}
	}
	for doc, ok := range well {
		if !ok {
			came[kinds[doc]]++
		}
	}
	return dropped, came
}

// A world is a box on a disk that fails, a line that loses, and a fleet.
type world struct {
	t        *testing.T
	r        *rand.Rand
	fs       *crashfs.FS
	o        outbox.Options
	box      *outbox.Box
	fleet    *fleet
	at       outbox.Pos
	n        int
	longest  int               // of a document's padding
	produced map[string]int    // by kind
	kinds    map[string]string // of each document
	trace    []string

	restarts restarts
	onFlash  map[string]place // documents whose Append said that flash has them
}

// restarts says how a world ends its runs.
type restarts int

const (
	never   restarts = iota
	orderly          // with a disk that works
	rough            // as things are, or by a power cut: what only memory holds goes with it
)

// A place is where a document was said to be.
type place struct {
	epoch string
	seq   uint64
}

func (w *world) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) open() {
	o := w.o
	o.FS = w.fs
	b, err := outbox.OpenSmall(o, 512)
	if err != nil {
		w.t.Fatal(err)
	}
	w.box, w.at = b, outbox.Pos{}
}

func (w *world) append() {
	w.n++
	kind, critical := "diagnosis", true
	if w.r.IntN(3) == 0 {
		kind, critical = "tally", false
	}
	doc := fmt.Sprintf(`{"n":%d,"pad":%q}`, w.n, strings.Repeat("x", w.r.IntN(w.longest)))
	w.produced[kind]++
	w.kinds[doc] = kind
	seq, err := w.box.Append(kind, critical, time.Now(), []byte(doc))
	s := w.box.Stats()
	if err == nil && s.Degraded == "" {
		w.onFlash[doc] = place{s.Epoch, seq}
	}
	w.say("append %s %d bytes: %d, %v, %s", kind, len(doc), seq, err, s.Degraded)
}

// deliver hands the fleet up to n records, of which some get lost on the way.
func (w *world) deliver(n int, loss float64) {
	for range n {
		r, ok, err := w.box.Next(w.at)
		if err != nil || !ok {
			return
		}
		w.at = w.at.After(r)
		lost := w.r.Float64() < loss
		w.say("deliver %.4s/%d %s, lost %v", r.Epoch, r.Seq, r.Kind, lost)
		if lost {
			continue
		}
		if err := w.fleet.take(r); err != nil {
			w.fail("%v", err)
		}
	}
}

func (w *world) ack() {
	for epoch := range w.fleet.got {
		n := w.fleet.ackable(epoch)
		err := w.box.Ack(epoch, 0, n)
		w.say("ack %.4s/%d: %v", epoch, n, err)
	}
}

func (w *world) step() {
	switch w.r.IntN(20) {
	default:
		w.append()
	case 10, 11, 12:
		w.deliver(1+w.r.IntN(8), 0.3)
	case 13, 14:
		w.ack()
	case 15:
		if w.r.IntN(2) == 0 {
			w.at = outbox.Pos{}
			w.say("new session")
		}
	case 16, 17:
		d := time.Duration(w.r.IntN(200)) * time.Second
		w.say("sleep %v", d)
		time.Sleep(d)
		synctest.Wait()
	case 18:
		switch w.r.IntN(3) {
		case 0:
			left := w.fs.Used() + int64(w.r.IntN(200))
			w.fs.Set(func(f *crashfs.FS) { f.Capacity = left })
			w.say("fault: %d bytes, no more", left)
		case 1:
			w.fs.Set(func(f *crashfs.FS) { f.ReadOnly = true })
			w.say("fault: read-only")
		case 2:
			n := w.r.IntN(4)
			w.say("fault: %d syncs fail", n)
			w.fs.Set(func(f *crashfs.FS) { f.FailSync = func(int) bool { n--; return n >= 0 } })
		}
	case 19:
		w.heal()
		if w.r.IntN(2) == 0 {
			w.restart()
		}
	}
	w.holds()
}

func (w *world) restart() {
	switch {
	case w.restarts == never:
		return
	case w.restarts == rough && w.r.IntN(2) == 0:
		left := w.fs.Used() + int64(w.r.IntN(200))
		w.fs.Set(func(f *crashfs.FS) { f.Capacity = left })
		fallthrough
	case w.restarts == orderly:
		w.say("close: %v", w.box.Close())
	default:
		w.say("power cut")
		after := w.fs.Crash()
		w.box.Close() // into the directory that is no more, so that nothing of it goes on
		w.fs = after
	}
	w.open()
	w.say("open: %+v", w.box.Stats())
}

func (w *world) heal() {
	w.fs.Set(func(f *crashfs.FS) { f.Capacity, f.ReadOnly, f.FailSync = 0, false, nil })
	w.say("heal")
}

// holds checks what must always hold.
func (w *world) holds() {
	kept, last := 0, map[string]uint64{}
	w.box.Scan(func(r outbox.Record) bool {
		kept++
		if r.Kind != report.KindDropped {
			if r.Seq <= last[r.Epoch] {
				w.fail("sequence %d after %d", r.Seq, last[r.Epoch])
			}
			last[r.Epoch] = r.Seq
		}
		return true
	})
	if s := w.box.Stats(); s.Records != kept || s.Oldest > s.Next || s.Acked >= s.Next {
		w.fail("%d can be fetched; %+v", kept, s)
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", strings.Join(w.trace, "\n"), fmt.Sprintf(format, args...))
}

// end heals the disk, waits as long as is promised, and drains.
func (w *world) end() {
	w.heal()
	time.Sleep(outbox.RetryMax + time.Second)
	synctest.Wait()
	if s := w.box.Stats(); s.Degraded != "" {
		w.fail("flash is well for %v: %+v", outbox.RetryMax, s)
	}
	for range 40 {
		w.at = outbox.Pos{}
		w.deliver(1<<20, 0) // also when nothing is kept: it is asking that makes the ring's report of loss
		w.ack()
		if w.box.Stats().Records == 0 {
			break
		}
	}
	if s := w.box.Stats(); s.Records != 0 {
		w.fail("never drained: %+v", s)
	}
	w.holds()
	if err := w.box.Close(); err != nil {
		w.fail("%v", err)
	}
	w.settle()
}

// settle holds what was produced against what the fleet has and what it was told.
func (w *world) settle() {
	stored := map[string]int{}
	again := map[string]bool{}
	for _, m := range w.fleet.got {
		for _, doc := range m {
			if k := w.kinds[doc]; k != "" && !again[doc] {
				again[doc] = w.restarts != never // a restart gives what memory held, sent or not, to flash
				stored[k]++
			}
		}
	}
	dropped, came := w.fleet.tell(w.kinds)
	if d := dropped[report.KindDropped]; d > 0 {
		w.fail("%d reports of loss count as lost", d)
	}
	for kind, n := range w.produced {
		sum, said := stored[kind]+dropped[kind]-came[kind], w.box.Stats().Dropped[kind]
		if w.restarts == never && (n != sum || dropped[kind] != said) || w.restarts == orderly && n > sum {
			w.fail("%s: produced %d, stored %d, reported as dropped %d, %d of them came, counted as dropped %d", kind, n, stored[kind], dropped[kind], came[kind], said)
		}
	}
	for doc, p := range w.onFlash {
		if w.fleet.got[p.epoch][p.seq] != doc && !w.fleet.explained(p.epoch, p.seq) {
			w.fail("%.4s/%d is gone: %s", p.epoch, p.seq, doc)
		}
	}
}

// TestAccount: whatever the disk and the line do, what was produced is what the fleet has and what it was told is lost;
// records are counted that can be fetched; and flash is used again soon after it can be.
func TestAccount(t *testing.T) { account(t, never, 1000) }

// TestAccountOverRestarts: the same, but what was sent and not confirmed may come twice.
func TestAccountOverRestarts(t *testing.T) { account(t, orderly, 500) }

// TestAccountOverCuts: what memory alone holds is lost with the power, nothing else is.
func TestAccountOverCuts(t *testing.T) { account(t, rough, 500) }

func account(t *testing.T, how restarts, trials int) {
	if testing.Short() {
		trials /= 8
	}
	if n, err := strconv.Atoi(os.Getenv("POSDX_TRIALS")); err == nil {
		trials = n
	}
	first := uint64(1)
	if s, err := strconv.ParseUint(os.Getenv("POSDX_SEED"), 10, 64); err == nil {
		first, trials = s, 1
	}
	dropped := 0
	for seed := first; seed < first+uint64(trials) && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(how)))
			w := &world{t: t, r: r, fs: crashfs.New(), fleet: newFleet(), restarts: how,
				produced: map[string]int{}, kinds: map[string]string{}, onFlash: map[string]place{}}
			w.fs.Rand = rand.New(rand.NewPCG(seed, 99)) // of its own: it is asked when the box looks at flash by itself
			w.o, w.longest = outbox.Options{MaxBytes: 4 << 10, RAMBytes: 2 << 10}, 300
			if seed%64 == 0 { // so long that memory packs it, which takes time
				w.o.MaxBytes, w.longest = 40<<10, 3000
			}
			if seed%3 == 0 {
				w.o.MaxBytes = 1 << 20
			}
			w.say("seed %d", seed)
			w.open()
			for range 100 {
				w.step()
			}
			w.end()
			for _, n := range w.box.Stats().Dropped {
				dropped += n
			}
		})
	}
	t.Logf("%d trials, %d records dropped and reported", trials, dropped)
	if dropped == 0 && trials > 10 {
		t.Error("nothing was dropped: the trials prove nothing")
	}
}
