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

	"posdx/agent/evidence"
	"posdx/agent/internal/atomicfile"
	"posdx/agent/report"
	"posdx/drivers/reader"
)

const (
	// keepEvery is how stale the counts on flash may get: one small write an hour, and none while no card is read.
	keepEvery = time.Hour
	// maxReadsFile bounds the file; a full one is under 8 kB.
	maxReadsFile = 32 << 10
)

func readsEvidence(c ReaderConfig, now time.Time) report.Evidence {
	if c.Reads == nil {
		return doubtful(evidence.ReaderReads, c.Name, report.NotRun, report.ReasonAbsent)
	}
	t, wear := c.Reads.Worst(now), c.Reads.Wear(now)
	facts := []evidence.Value{evidence.Good.Is(float64(t.Good)), evidence.Failed.Is(float64(t.Failed)),
		evidence.Cards.Is(float64(t.Cards.Cards)),
		evidence.CardsFailed.Is(float64(t.Cards.Failed)), evidence.WindowS.Is(math.Floor(t.Window.Seconds()))}
	if t.Head != reader.HeadUnknown {
		facts = append(facts, evidence.Head.Is(t.Head.String()))
	}
	if t.Retried > 0 {
		facts = append(facts, evidence.CardsRetried.Is(float64(t.Retried)))
	}
	if by := parts(t); len(by) > 0 {
		facts = append(facts, evidence.FailedLowPctBy.Is(by))
	}
	if c.Tap != nil {
		named := map[string]float64{}
		for name, n := range c.Reads.Totals().Statistics() {
			if n > 0 {
				named[name] = float64(n)
			}
		}
		if len(named) > 0 {
			facts = append(facts, evidence.Statistics.Is(named))
		}
	}
	if t.Cards.Enough() {
		low, high := t.Cards.Interval()
		facts = append(facts, evidence.FailedLowPct.Is(percent(low)), evidence.FailedHighPct.Is(percent(high)))
	}
	if wear.Shows() {
		facts = append(facts, evidence.Wearing.Is(wear.Head.String()), evidence.TroublePct.Is(percent(wear.Recent.Share())),
			evidence.TroubleBeforePct.Is(percent(wear.Earlier.Share())))
	}
	return evidence.New(evidence.ReaderReads, c.Name, facts...)
}

// parts names the tracks and the steps of the chip that fail, each with the least share of its cards that fails with
// certainty.
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

// A ReadsKeeper keeps the counts of a reader over a restart. If the file cannot be read or written only the earlier
// counts are lost; the daemon goes on.
type ReadsKeeper struct {
	Path  string
	Reads *reader.Reads

	kept uint64
}

// Load takes back what was kept before a restart. With an error the counts begin anew; the error is why.
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

// Run writes the counts once an hour, if a card was read in it, and when ctx ends. While they cannot be written they
// stay in memory and it tries again; the error of the last try is returned.
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
