package outbox_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/outbox/crashfs"
	"posdx/agent/report"
)

// A fleet takes records as the real one does: any order, any number of times, one account per epoch.
type fleet struct {
	got     map[string]map[uint64]string
	dropped map[string][]report.Dropped
	told    map[string]map[uint64]report.Dropped // by the number of the report
	twice   int
}

func newFleet() *fleet {
	return &fleet{got: map[string]map[uint64]string{}, dropped: map[string][]report.Dropped{},
		told: map[string]map[uint64]report.Dropped{}}
}

func (f *fleet) take(r outbox.Record) error {
	m := f.got[r.Epoch]
	if m == nil {
		m = map[uint64]string{}
		f.got[r.Epoch] = m
	}
	if old, ok := m[r.Seq]; ok {
		f.twice++
		if old != string(r.Doc) {
			return fmt.Errorf("sequence %d used twice: %q, then %q", r.Seq, old, r.Doc)
		}
		return nil
	}
	m[r.Seq] = string(r.Doc)
	if r.Kind == report.KindDropped {
		var d report.Dropped
		if err := json.Unmarshal(r.Doc, &d); err != nil {
			return err
		}
		f.dropped[r.Epoch] = append(f.dropped[r.Epoch], d)
		if f.told[r.Epoch] == nil {
			f.told[r.Epoch] = map[uint64]report.Dropped{}
		}
		f.told[r.Epoch][r.Seq] = d
	}
	return nil
}

// ackable is the highest sequence up to which everything came or is explained.
func (f *fleet) ackable(epoch string) uint64 {
	seq := uint64(0)
	for {
		if _, ok := f.got[epoch][seq+1]; ok || f.explained(epoch, seq+1) {
			seq++
			continue
		}
		return seq
	}
}

func (f *fleet) explained(epoch string, seq uint64) bool {
	for _, d := range f.dropped[epoch] {
		for _, r := range d.Ranges {
			if r[0] <= seq && seq <= r[1] {
				return true
			}
		}
	}
	return false
}

// A trial is one life of a box: some starts, each ended by a cut or in order, then a last start in which all is
// drained.
type trial struct {
	r        *rand.Rand
	fs       *crashfs.FS
	box      *outbox.Box
	o        outbox.Options
	segment  int64
	fleet    *fleet
	accepted map[string]uint64 // document: sequence; on flash when Append returned
	epoch    string
	boot     uint64
	docs     int
	spare    bool // no bound is near: nothing may be dropped
}

type outcome struct {
	cuts, accepted, missing, explained int
}

func (t *trial) open() (*outbox.Box, error) {
	o := t.o
	o.FS = t.fs
	b, err := outbox.OpenSmall(o, t.segment)
	if err != nil {
		return nil, err
	}
	t.box = b
	if !t.fs.Cut() && b.Stats().Degraded == "" {
		if b.Boot() <= t.boot {
			return nil, fmt.Errorf("boot %d after %d", b.Boot(), t.boot)
		}
		t.boot = b.Boot()
		if t.epoch != "" && b.Epoch() != t.epoch {
			return nil, fmt.Errorf("epoch changed from %s to %s", t.epoch, b.Epoch())
		}
		t.epoch = b.Epoch()
	}
	return b, nil
}

// deliver hands n records to the fleet; the order must hold.
func (t *trial) deliver(b *outbox.Box, at outbox.Pos, n int) (outbox.Pos, error) {
	last := uint64(0)
	for range n {
		r, ok, err := b.Next(at)
		if err != nil {
			return at, err
		}
		if !ok {
			return at, nil
		}
		if r.Epoch == t.epoch && r.Kind != report.KindDropped {
			if r.Seq <= last {
				return at, fmt.Errorf("sequence %d after %d", r.Seq, last)
			}
			last = r.Seq
		}
		at = at.After(r)
		if err := t.fleet.take(r); err != nil {
			return at, err
		}
	}
	return at, nil
}

func (t *trial) life(ops int) error {
	b, err := t.open()
	if err != nil {
		return err
	}
	var at outbox.Pos
	for range ops {
		if t.fs.Cut() {
			return nil
		}
		switch t.r.IntN(8) {
		case 0, 1, 2, 3:
			t.docs++
			doc := fmt.Sprintf(`{"n":%d,"pad":%q}`, t.docs, strings.Repeat("x", t.r.IntN(100)))
			kind, crit := "tally", false
			if t.r.IntN(2) == 0 {
				kind, crit = "diagnosis", true
			}
			seq, err := b.Append(kind, crit, time.Unix(int64(t.docs), 0), []byte(doc))
			if err == nil && !t.fs.Cut() && b.Stats().Degraded == "" {
				t.accepted[doc] = seq
			}
		case 4, 5:
			if at, err = t.deliver(b, at, 1+t.r.IntN(4)); err != nil {
				return err
			}
		case 6:
			if n := t.fleet.ackable(t.epoch); n > 0 {
				if err := b.Ack(t.epoch, 0, n); err != nil && !t.fs.Cut() {
					return err
				}
			}
		case 7:
			if t.r.IntN(4) > 0 {
				continue
			}
			b.Close()
			if b, err = t.open(); err != nil {
				return err
			}
			at = outbox.Pos{}
		}
	}
	return nil
}

// run plays the trial. Loss of what was accepted is an error unless lossy is set, for controls.
func (t *trial) run(lossy bool) (out outcome, err error) {
	for range 1 + t.r.IntN(4) {
		t.fs.CutAt = 1 + t.r.IntN(120)
		if t.r.IntN(3) == 0 {
			t.fs.CutAt = 1 + t.r.IntN(12) // within creation or recovery
		}
		if err := t.life(60); err != nil {
			return out, err
		}
		if t.fs.Cut() {
			out.cuts++
		}
		after := t.fs.Crash()
		t.box.Close() // into the directory that is no more, so that nothing of it goes on
		t.fs = after
	}
	b, err := t.open()
	if err != nil {
		return out, err
	}
	// In the end the fleet must be able to acknowledge everything: no gap is left unexplained.
	for range 50 {
		if _, err := t.deliver(b, outbox.Pos{}, 1<<20); err != nil {
			return out, err
		}
		s := b.Stats()
		if s.Records == 0 {
			break
		}
		b.Ack(t.epoch, 0, t.fleet.ackable(t.epoch))
	}
	if s := b.Stats(); s.Records != 0 && !lossy {
		return out, fmt.Errorf("%d records stay behind a gap: acknowledged %d of %d", s.Records, t.fleet.ackable(t.epoch), s.Next-1)
	}
	out.accepted = len(t.accepted)
	for doc, seq := range t.accepted {
		switch {
		case t.fleet.got[t.epoch][seq] == doc:
		case t.fleet.explained(t.epoch, seq) && !t.spare:
			out.explained++
		default:
			out.missing++
			if !lossy {
				return out, fmt.Errorf("record %d %s was accepted and is gone", seq, doc)
			}
		}
	}
	return out, nil
}

func newTrial(seed uint64, model crashfs.Model) *trial {
	r := rand.New(rand.NewPCG(seed, uint64(model)))
	fs := crashfs.New()
	fs.Model, fs.Rand = model, rand.New(rand.NewPCG(seed, 99))
	t := &trial{r: r, fs: fs, fleet: newFleet(), accepted: map[string]uint64{}, segment: 512}
	t.o.MaxBytes = 2 << 10
	if seed%2 == 0 {
		t.spare = true
		t.o.MaxBytes = 1 << 20
	}
	return t
}

// TestPowerCuts cuts the power at any point, in creation and in recovery too, and any lawful state may be left.
func TestPowerCuts(t *testing.T) {
	want := 12000
	if testing.Short() {
		want = 2000
	}
	if s := os.Getenv("POSDX_CUTS"); s != "" {
		want, _ = strconv.Atoi(s)
	}
	for _, m := range []struct {
		name  string
		model crashfs.Model
	}{{"journal", crashfs.Journal}, {"strict", crashfs.Strict}} {
		t.Run(m.name, func(t *testing.T) {
			var cuts, accepted, explained, trials atomic.Int64
			var seed atomic.Uint64
			var wg sync.WaitGroup
			for range runtime.GOMAXPROCS(0) {
				wg.Go(func() {
					for !t.Failed() && cuts.Load() < int64(want/2) {
						n := seed.Add(1)
						out, err := newTrial(n, m.model).run(false)
						if err != nil {
							t.Errorf("seed %d: %v", n, err)
							return
						}
						cuts.Add(int64(out.cuts))
						accepted.Add(int64(out.accepted))
						explained.Add(int64(out.explained))
						trials.Add(1)
					}
				})
			}
			wg.Wait()
			t.Logf("%d trials, %d cuts, %d records accepted, %d dropped for space and reported, 0 lost", trials.Load(), cuts.Load(), accepted.Load(), explained.Load())
			if accepted.Load() == 0 || explained.Load() == 0 {
				t.Error("the trials accepted or dropped nothing: they prove nothing")
			}
		})
	}
}

// TestControls takes the syncs out: records must get lost, or the trials above would prove nothing.
func TestControls(t *testing.T) {
	for _, c := range []struct {
		name  string
		model crashfs.Model
		spoil func(*crashfs.FS)
	}{
		{"no file sync", crashfs.Journal, func(f *crashfs.FS) { f.NoSync = true }},
		{"no directory sync", crashfs.Strict, func(f *crashfs.FS) { f.NoDir = true }},
	} {
		missing, broken := 0, 0
		for seed := range uint64(200) {
			tr := newTrial(seed*2, c.model)
			c.spoil(tr.fs)
			out, err := tr.run(true)
			missing += out.missing
			if err != nil {
				broken++
			}
		}
		t.Logf("%s: %d accepted records lost, %d of 200 trials end in confusion", c.name, missing, broken)
		if missing == 0 {
			t.Errorf("%s: nothing was lost; the simulation does not bite", c.name)
		}
	}
}
