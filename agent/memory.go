package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

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
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil && len(b) > maxMemory {
		err = fmt.Errorf("%d bytes, want at most %d", len(b), maxMemory)
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
		err = replaceFile(m.path, b)
	}
	if err != nil {
		m.log.Warn("keep memory", "err", err)
		return
	}
	m.kept = now
}

// replaceFile puts b in place of a file so that a power cut leaves the old content or the new, never a part.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
