package paylog

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"posdx/agent/internal/source"
)

// JournalPrefix stands before the name of a unit whose messages in the systemd journal are read as a log.
const JournalPrefix = "journal:"

// journalAgain is how long after it ended the journal's reader is started again.
const journalAgain = 10 * time.Second

// unit returns the unit of a log that is in the journal.
func (f LogFile) unit() (unit string, ok bool) {
	unit, ok = strings.CutPrefix(f.Path, JournalPrefix)
	return unit, ok && unit != ""
}

// followJournal reads what a unit writes from now on, by running journalctl, since the journal's file format is not
// meant for other programs. What was written while it did not run is not read later.
func (l *Logs) followJournal(ctx context.Context, file LogFile, unit string, to source.Sink) error {
	now := l.now
	if now == nil {
		now = time.Now
	}
	t, err := newTail(file, to, make([]byte, readAtOnce), now, nil)
	if err != nil {
		return err
	}
	hear := func(func()) error { return t.hearJournal(ctx, unit) }
	source.Keep(ctx, cmp.Or(l.again, journalAgain), hear, func(err error) {
		l.Log.Error("the journal cannot be read: the daemon's user must be in the group systemd-journal", "unit", unit, "err", err)
	})
	return nil
}

// hearJournal runs the reader until it ends.
func (t *tail) hearJournal(ctx context.Context, unit string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	c := exec.CommandContext(ctx, "journalctl", "--unit="+unit, "--follow", "--lines=0", "--output=cat", "--no-pager", "--quiet")
	c.Stdout = w
	err = c.Start()
	w.Close()
	if err != nil {
		return err
	}
	defer clear(t.buf)
	record := func(text []byte) { t.said(text, false) }
	for err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		until := time.Time{}
		switch {
		case len(t.waiting) > 0:
			until = time.Now().Add(source.FullAgain)
		case t.record.lines > 0:
			until = time.Now().Add(recordWait)
		}
		if err = r.SetReadDeadline(until); err != nil {
			break
		}
		var n int
		if n, err = r.Read(t.buf); n > 0 {
			t.lines.add(t.buf[:n], t.line)
			clear(t.buf[:n])
			t.looked = t.now()
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			t.record.end(record)
		}
		for len(t.waiting) > 0 && t.to.Seen(t.waiting[0]) {
			t.waiting = t.waiting[1:]
		}
		if over := len(t.waiting) - manyCodes; over > 0 {
			t.waiting = t.waiting[over:]
			t.to.Lost("log code", over)
		}
	}
	t.lines.end(t.line)
	t.record.end(record)
	if failed := c.Wait(); failed != nil {
		return failed
	}
	return errors.New("its reader has ended")
}
