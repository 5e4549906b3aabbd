package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"time"

	"posdx/agent/internal/atomicfile"
	"posdx/agent/report"
	"posdx/drivers/reader"
)

const (
	// readsBad is the share of cards that fail at a bad head for certain, readsPoor at one that is wearing: a sound
	// one fails for one card in fifty (no standard says it; ours).
	readsBad  = 0.2
	readsPoor = 0.1

	// keepEvery is how stale the counts on flash may get: one small write an hour, and none while no card is read.
	keepEvery = time.Hour
	// maxReadsFile bounds the file; a full one is under 8 kB.
	maxReadsFile = 32 << 10
)

func readsEvidence(c ReaderConfig, now time.Time) report.Evidence {
	if c.Reads == nil {
		return doubtful("reader.reads", c.Name, report.NotRun, report.ReasonAbsent)
	}
	t, wear := c.Reads.Worst(now), c.Reads.Wear(now)
	low, high := t.Cards.Interval()
	e := report.Evidence{Check: "reader.reads", Subject: c.Name, Status: report.OK, Facts: report.Facts{
		"good": t.Good, "failed": t.Failed, "cards": t.Cards.Cards, "cards_failed": t.Cards.Failed, "window_s": int(t.Window.Seconds()),
	}}
	if t.Head != reader.HeadUnknown {
		e.Facts["head"] = t.Head.String()
	}
	if t.Retried > 0 {
		e.Facts["cards_retried"] = t.Retried
	}
	if by := parts(t); len(by) > 0 {
		e.Facts["failed_low_pct_by"] = by
	}
	if c.Tap != nil {
		named := map[string]float64{}
		for name, n := range c.Reads.Totals().Statistics() {
			if n > 0 {
				named[name] = float64(n)
			}
		}
		if len(named) > 0 {
			e.Facts["statistics"] = named
		}
	}
	if t.Cards.Enough() {
		e.Facts["failed_low_pct"], e.Facts["failed_high_pct"] = percent(low), percent(high)
	}
	switch {
	case t.Cards.Enough() && low > readsBad: // the whole interval is above: no luck of the draw
		e.Status, e.Facts["level"] = report.Bad, "bad"
	case wear.Shows():
		e.Facts["level"], e.Facts["wearing"] = "poor", wear.Head.String()
		e.Facts["trouble_pct"], e.Facts["trouble_before_pct"] = percent(wear.Recent.Share()), percent(wear.Earlier.Share())
	case !t.Cards.Enough():
		e.Status, e.Facts["reason"] = report.CannotTell, report.ReasonTooFew
	case t.Cards.Share() > readsPoor:
		e.Facts["level"] = "poor"
	case t.Cards.Failed > 0:
		e.Facts["level"] = "fair"
	default:
		e.Facts["level"] = "good"
	}
	return e
}

// parts names the tracks and the chip's steps that fail, each with the least share of its cards that does so for certain.
func parts(t reader.Tally) map[string]float64 {
	by := map[string]float64{}
	put := func(name string, r reader.Rate) {
		if low, _ := r.Interval(); r.Enough() && r.Failed > 0 {
			by[name] = percent(low)
		}
	}
	for n, r := range t.Tracks {
		put("track"+strconv.Itoa(n+1), r)
	}
	for s, r := range t.Steps {
		put(reader.Step(s).String(), r)
	}
	return by
}

func percent(share float64) float64 { return math.Round(share * 100) }

// A ReadsKeeper lets the counts of a reader outlast a restart. A file that cannot be read or written costs the memory of
// what was, not the daemon.
type ReadsKeeper struct {
	Path  string
	Reads *reader.Reads

	kept uint64
}

// Load takes back what an earlier life kept. The error says that it is begun anew, and why.
func (k *ReadsKeeper) Load(now time.Time) error {
	info, err := os.Stat(k.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxReadsFile) {
		err = fmt.Errorf("%d bytes, want at most %d", info.Size(), maxReadsFile)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(k.Path)
	}
	var m reader.Memory
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return fmt.Errorf("load counts of cards: %w", err)
	}
	k.Reads.Restore(m, now)
	return nil
}

// Run keeps the counts once an hour, if a card was read in it, and when ctx ends. It returns what keeps it from writing,
// then; until then the counts are in memory, and it tries again.
func (k *ReadsKeeper) Run(ctx context.Context) error {
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return k.Save()
		case <-t.C:
			_ = k.Save() // a full or dead flash has a check of its own
		}
	}
}

// Save writes if there is something new. A power cut leaves the old file or the new one.
func (k *ReadsKeeper) Save() error {
	noted := k.Reads.Noted()
	if noted == k.kept {
		return nil
	}
	b, err := json.Marshal(k.Reads.Memory())
	if err == nil {
		err = atomicfile.Replace(k.Path, b)
	}
	if err != nil {
		return fmt.Errorf("keep counts of cards: %w", err)
	}
	k.kept = noted
	return nil
}
