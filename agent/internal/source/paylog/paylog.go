// Package paylog reads response codes in the logs that payment applications write.
package paylog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"sync"
	"time"
)

// How often logs are looked at.
const (
	settle     = 20 * time.Millisecond // after a change, so that a log written line by line does not wake us for each
	slowLook   = time.Minute           // whether or not the kernel tells of changes: network file systems do not
	blindLook  = 2 * time.Second       // when the kernel cannot tell
	saveAgain  = 10 * time.Second      // places that could not be written
	farthest   = maxBacklog / 2        // read since the last save: a restart must not find more than it would read
	manyFiles  = 16
	stateBytes = 64 << 10
)

// Logs follows payment logs.
type Logs struct {
	Files []LogFile
	State string // file that remembers where reading stopped; empty for no memory
	Log   *slog.Logger
	Turn  func() // called after every look at the logs, at least once a minute; may be nil

	now   func() time.Time // nil means time.Now
	again time.Duration    // for tests: instead of journalAgain
	blind bool             // for tests: no help from the kernel
}

// Check returns what keeps the logs from being followed, whatever is in them; nil if nothing does.
func (l *Logs) Check() error {
	if len(l.Files) > manyFiles {
		return say.New("log-many", len(l.Files), manyFiles)
	}
	for _, f := range l.Files {
		if err := errors.Join(CheckEncoding(f.Encoding), CheckPath(f.Path)); err != nil {
			return say.New("log-follow", f.Path, err)
		}
	}
	return nil
}

// CheckEncoding returns why a log in an encoding cannot be read, nil if it can.
func CheckEncoding(name string) error {
	_, _, err := decoding(name)
	return err
}

// Run reads until ctx ends. That a log is missing or cannot be read is logged once, and it is looked for again.
func (l *Logs) Run(ctx context.Context, to source.Sink) error {
	if err := l.Check(); err != nil {
		return err
	}
	var journals sync.WaitGroup
	defer journals.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	files := make([]LogFile, 0, len(l.Files))
	for _, f := range l.Files {
		if unit, ok := f.unit(); ok {
			journals.Go(func() { _ = l.followJournal(ctx, f, unit, to) })
			continue
		}
		files = append(files, f)
	}
	now := l.now
	if now == nil {
		now = time.Now
	}
	marks, err := loadMarks(l.State)
	if err != nil {
		l.Log.Warn("places in the logs are forgotten", "err", err)
	}
	var w *watcher
	if !l.blind {
		if w, err = newWatcher(); err != nil {
			l.Log.Warn("logs are looked at every 2 s", "err", err)
		}
	}
	if w != nil {
		// Closing ends its goroutine.
		defer w.close()
		go w.run()
	}
	buf := make([]byte, readAtOnce)
	tails := make([]*tail, 0, len(files))
	times := map[string]int{}
	for _, file := range files {
		key := file.Path
		if times[key]++; times[key] > 1 {
			key = fmt.Sprintf("%s#%d", key, times[key])
		}
		t, err := newTail(file, to, buf, now, marks[key])
		if err != nil {
			return err
		}
		t.key = key
		t.watch = w.replace
		defer t.close()
		tails = append(tails, t)
	}
	saved := l.places(tails)
	said := make(map[string]string)
	for {
		more, blocked := false, false
		blind := w == nil
		wait := slowLook
		for _, t := range tails {
			if t.names != nil && t.names.folder == "" || w.dir(t.folder()) != nil {
				blind = true
			}
			m, b, err := t.read()
			blind = blind || t.f != nil && t.wd < 0 || t.old != nil && t.old.wd < 0
			more, blocked = more || m, blocked || b
			if !t.due.IsZero() {
				wait = min(wait, max(0, t.due.Sub(now())))
			}
			if t.moved {
				t.moved = false
				l.Log.Info("log has a clock of its own", "path", t.file.Path, "less_than_ours", t.clock.off)
			}
			if t.news {
				t.news = false
				l.heard(t)
			}
			l.tell(said, t.key, err)
		}
		if l.due(tails, saved) {
			if places := l.save(tails, saved, said); places != nil {
				saved = places
			} else {
				wait = min(wait, saveAgain)
			}
		}
		if l.Turn != nil {
			l.Turn()
		}
		switch {
		case blocked:
			wait = source.FullAgain
		case more:
			wait = 0
		case blind:
			wait = min(wait, blindLook)
		}
		if !more && !source.Sleep(ctx, settle, nil) || !source.Sleep(ctx, wait, w.changed(blocked)) {
			l.save(tails, saved, said)
			return nil
		}
	}
}

// heard says what is wrong with a log that is read and says nothing, or that all is well with it now.
func (l *Logs) heard(t *tail) {
	switch {
	case t.hearing.Deaf() && t.decode.wrong < unmatched/2: // else the encoding is why
		l.Log.Warn("no pattern matches any line of the log: posdx log try shows what they catch", t.hearing.What()...)
	case t.decode.wrong > 0:
		name := t.file.Encoding
		if name == "" {
			name = "utf-8"
		}
		l.Log.Warn("log text is not "+name+": set its encoding", "path", t.path, "lines", t.decode.wrong)
	default:
		l.Log.Info("log says something now", "path", t.path)
	}
}

// tell logs an error when it changes.
func (l *Logs) tell(said map[string]string, path string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if said[path] == text {
		return
	}
	said[path] = text
	switch {
	case err == nil:
		l.Log.Info("log is read", "path", path)
	case errors.Is(err, fs.ErrNotExist):
		l.Log.Warn("log is not there yet", "path", path)
	case errors.Is(err, fs.ErrPermission):
		l.Log.Error("log cannot be read: put the daemon's user into the log's group", "path", path, "err", err)
	default:
		l.Log.Error("log cannot be read", "path", path, "err", err)
	}
}

// places returns where every log stands. A log that was not opened yet keeps its old place.
func (l *Logs) places(tails []*tail) map[string]*mark {
	m := make(map[string]*mark, len(tails))
	for _, t := range tails {
		switch {
		case t.resume != nil:
			m[t.key] = t.resume
		case t.f != nil:
			at := t.place()
			m[t.key] = &at
		case t.last != mark{}:
			at := t.last
			m[t.key] = &at
		}
	}
	return m
}

// due reports whether the places are to be written now. Writing wears flash, so it is done only when a code was passed
// on, which must not be read again after a crash, or when a restart would skip bytes.
func (l *Logs) due(tails []*tail, saved map[string]*mark) bool {
	for _, t := range tails {
		old := saved[t.key]
		if t.matched && len(t.waiting) == 0 || t.f != nil && (old == nil || t.at.Offset-old.Offset > farthest) {
			return true
		}
	}
	return false
}

// save writes the places if they changed and returns what is on disk; nil if they could not be written.
func (l *Logs) save(tails []*tail, saved map[string]*mark, said map[string]string) map[string]*mark {
	m := l.places(tails)
	if l.State == "" || samePlaces(m, saved) {
		return m
	}
	err := saveMarks(l.State, m)
	l.tell(said, l.State, err)
	if err != nil {
		return nil
	}
	for _, t := range tails {
		t.matched = false
	}
	return m
}

func samePlaces(a, b map[string]*mark) bool {
	if len(a) != len(b) {
		return false
	}
	for path, m := range a {
		if b[path] == nil || *b[path] != *m {
			return false
		}
	}
	return true
}
