package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"time"

	"posdx/agent/internal/atomicfile"
	"posdx/agent/internal/triage"
)

const (
	// memoryLook is how often it is asked whether there is something worth keeping.
	memoryLook = 10 * time.Minute
	// memoryEvery is how stale the time of the last approval may get on flash: a write an hour wears nothing out.
	memoryEvery = time.Hour
	// maxMemory bounds the file; a real one is under 1 kB.
	maxMemory = 16 << 10
)

// Memory keeps on flash what the loop must know after a restart. If the file cannot be read or written that is lost;
// the daemon goes on.
type Memory struct {
	Path string
	Loop *triage.Loop
	Log  *slog.Logger
	kept triage.Memory
}

// Load gives the loop what was kept before the restart.
func (m *Memory) Load() {
	b, err := atomicfile.Read(m.Path, maxMemory)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(b, &m.kept)
	}
	if err != nil {
		m.Log.Warn("what was before the restart is forgotten", "file", m.Path, "err", err)
		m.kept = triage.Memory{}
		return
	}
	m.Loop.Restore(m.kept)
}

// Run writes what has changed from time to time until ctx ends, and then once more.
func (m *Memory) Run(ctx context.Context) error {
	t := time.NewTicker(memoryLook)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			m.save(0)
			return nil
		case <-t.C:
			m.save(memoryEvery)
		}
	}
}

// save writes if something besides the time has changed, or the time by more than a limit.
func (m *Memory) save(limit time.Duration) {
	now := m.Loop.Memory()
	if now.Approved.IsZero() || maps.Equal(now.Then, m.kept.Then) && now.Approved.Sub(m.kept.Approved) <= limit {
		return
	}
	b, err := json.Marshal(now)
	if err == nil {
		err = atomicfile.Replace(m.Path, b)
	}
	if err != nil {
		m.Log.Warn("keep memory", "err", err)
		return
	}
	m.kept = now
}
