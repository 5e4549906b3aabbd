package main

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

// memory keeps on flash what the loop must know after a restart. A file that cannot be read or written costs the
// memory, not the daemon.
type memory struct {
	path string
	loop *triage.Loop
	log  *slog.Logger
	kept triage.Memory
}

func (m *memory) load() {
	b, err := atomicfile.Read(m.path, maxMemory)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(b, &m.kept)
	}
	if err != nil {
		m.log.Warn("what was before the restart is forgotten", "file", m.path, "err", err)
		m.kept = triage.Memory{}
		return
	}
	m.loop.Restore(m.kept)
}

func (m *memory) run(ctx context.Context) error {
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
func (m *memory) save(limit time.Duration) {
	now := m.loop.Memory()
	if now.Approved.IsZero() || maps.Equal(now.Then, m.kept.Then) && now.Approved.Sub(m.kept.Approved) <= limit {
		return
	}
	b, err := json.Marshal(now)
	if err == nil {
		err = atomicfile.Replace(m.path, b)
	}
	if err != nil {
		m.log.Warn("keep memory", "err", err)
		return
	}
	m.kept = now
}
