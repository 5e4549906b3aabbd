package paylog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// Bounds of a log.
const (
	// Bytes read of what was written while this program did not run: some hours of a verbose payment app.
	maxBacklog = 1 << 20
	readAtOnce = 32 << 10
	turnBytes  = 1 << 20 // read of one file before the others have their turn
	// records of which none matches, after which it is said: no payment application writes more at its start
	unmatched = 100
	manyCodes = 1024 // that wait for a full sink, from a compressed log, which cannot be read on later
)

// A LogFile is one payment log to follow.
type LogFile struct {
	Path     string
	Encoding string         // one of Encodings; empty for UTF-8
	Begin    *regexp.Regexp // matches the first line of a record; nil: each line is a record
	Patterns []*Pattern
}

// A tail follows one log through renames and truncations. It belongs to one goroutine. Between two looks it holds
// nothing of the log's text, which may be a debug log's, but places: what is not whole yet is read again.
//
//	closed --open--> reading --EOF, path names another file--> (rest read, closed) --> reading the new one from 0
//	                 reading --shorter, or other bytes before our place--> the copy's rest, then reading from 0
type tail struct {
	file   LogFile
	names  *names // of a log of which each file has its own name; nil for one that has always the same
	path   string // of the file at hand, or of the one to come
	key    string // by which its place is kept: one log may be read twice, with other patterns
	to     source.Sink
	now    func() time.Time
	buf    []byte // shared by all tails of a Logs
	resume *mark  // from the last run, until the first open
	last   mark   // of the file read before, while there is none
	fresh  bool   // nothing was ever read of it: history before the installation is none of ours
	behind bool   // what is there was written while this program did not run
	f      *os.File
	at     mark   // where the first record begins that is not whole yet
	print  uint64 // of what stands before the next byte to read

	startPrint uint64 // of what stands before the line that is not whole yet

	size    int64 // how far the file was read
	late    int64 // what lies before was written while this program did not run
	decode  decoder
	lines   splitter
	record  recorder
	opens   int64 // where the open record begins
	ends    int64 // where its last line ends
	clock   logClock
	looked  time.Time // when the end was last reached
	grew    time.Time
	due     time.Time     // when to look again although nothing changes; zero for never
	moved   bool          // the log's clock was found to differ since this was last read
	waiting []source.Seen // offered to a full sink; nothing more is read meanwhile
	matched bool          // a failure was handed on since the last save: it must not come twice
	hearing source.Hearing
	ever    bool  // a record matched
	news    bool  // the hearing has changed since this was last read
	old     *tail // the file before, whose writer may not know yet that it was renamed
	aside   bool  // this is such a file
	wd      int   // what the watcher calls the file; negative for nothing
	watch   func(old int, f *os.File) int
}

func newTail(file LogFile, to source.Sink, buf []byte, now func() time.Time, resume *mark) (*tail, error) {
	t := &tail{file: file, key: file.Path, to: to, buf: buf, now: now, resume: resume, looked: now(), wd: -1,
		watch: func(int, *os.File) int { return -1 }}
	t.record.begin = file.Begin
	t.hearing = source.Hearing{Channel: report.ChannelLog, Subject: filepath.Base(file.Path), After: unmatched}
	if err := t.decodes(file.Encoding); err != nil {
		return nil, err
	}
	var err error
	if t.names, err = newNames(file.Path); err != nil {
		return nil, err
	}
	t.path = file.Path
	if t.names != nil {
		t.path = t.names.start(resume)
	}
	// A file that appears later is new and is read from its start.
	_, err = os.Stat(t.path)
	t.fresh, t.behind = resume == nil && err == nil, resume != nil
	if resume != nil {
		t.clock.off = time.Duration(resume.ClockMS) * time.Millisecond
	}
	return t, nil
}

// decodes sets the encoding of the text.
func (t *tail) decodes(name string) (err error) {
	if t.decode.from, t.decode.wide, err = decoding(name); err != nil {
		return fmt.Errorf("log %s: %w", t.file.Path, err)
	}
	t.lines.wide = t.decode.wide
	return nil
}

// read takes in what there is. more says that there is more to read now, blocked that the sink is full.
func (t *tail) read() (more, blocked bool, err error) {
	t.due = time.Time{}
	if t.old != nil {
		if more, blocked := t.readOld(); more || blocked {
			return more, blocked, nil
		}
	}
	for len(t.waiting) > 0 {
		if !t.to.Seen(t.waiting[0]) {
			return false, true, nil
		}
		t.waiting = t.waiting[1:]
	}
	if t.f == nil {
		if err := t.open(); err != nil || t.f == nil {
			return err == nil, false, err
		}
	}
	fi, err := t.f.Stat()
	if err != nil {
		t.close()
		return false, false, err
	}
	if fi.Size() < t.size {
		t.rewound(fi)
		return true, false, nil
	}
	defer t.forget()
	for left := turnBytes; left > 0; {
		// What stands before is read with it: a file that was truncated meanwhile and has grown again is told at once.
		before := int(min(t.lines.pos, printBytes))
		n, err := t.f.ReadAt(t.buf, t.lines.pos-int64(before))
		if n < before && err == io.EOF || n >= before && printBefore(t.buf[:n], before) != t.print {
			clear(t.buf[:n])
			t.rewound(fi)
			return true, false, nil
		}
		if n <= before {
			clear(t.buf[:n])
		} else {
			left -= n - before
			t.take(t.buf[:n], before)
			if len(t.waiting) > 0 {
				return true, true, nil
			}
		}
		if err == io.EOF {
			return t.atEnd()
		}
		if err != nil {
			t.close()
			return false, false, err
		}
	}
	return true, false, nil
}

// readOld reads on in the file that the log was until it was renamed.
func (t *tail) readOld() (more, blocked bool) {
	o := t.old
	more, blocked, err := o.read()
	t.matched, t.moved = t.matched || o.matched, t.moved || o.moved
	o.matched, o.moved = false, false
	t.due = o.due
	if err != nil || o.f == nil && len(o.waiting) == 0 {
		o.close()
		t.old = nil
	}
	return more, blocked
}

// turn goes over to the new file of the path, and keeps reading the old one until it is deleted or the log is renamed
// again: a writer notices late, or never, that its file was renamed.
func (t *tail) turn() {
	if t.old != nil {
		t.old.endAll()
		t.old.close()
		t.waiting = append(t.old.waiting, t.waiting...)
	}
	o := *t
	o.old, o.aside, o.matched, o.waiting, o.news = nil, true, false, nil, false
	o.forget()
	t.old, t.f, t.wd = &o, nil, -1
	t.last = t.place()
	t.lines, t.record = splitter{wide: t.lines.wide, habit: t.lines.habit}, recorder{begin: t.file.Begin}
	t.decode = decoder{from: t.decode.from, wide: t.decode.wide}
}

// take splits bytes, of which the first are known, into records, reads those, and zeroes the bytes.
func (t *tail) take(b []byte, known int) {
	from, begun, begunPrint := t.lines.pos-int64(known), t.lines.start, t.startPrint
	if odd := (len(b) - known) % t.lines.wide.unit(); odd > 0 {
		clear(b[len(b)-odd:])
		b = b[:len(b)-odd] // half a character is read again with its other half
	}
	t.lines.add(b[known:], t.line)
	t.settle()
	// A place lies in these bytes, or where a line begins that they only go on with, or it is the old one.
	printAt := func(place int64, print *uint64) {
		if i := place - from; i >= min(place, printBytes) {
			*print = printBefore(b, int(i))
		} else if place == begun {
			*print = begunPrint
		}
	}
	printAt(t.at.Offset, &t.at.Print)
	printAt(t.lines.start, &t.startPrint)
	t.print = printBefore(b, len(b))
	clear(b)
	for _, c := range []struct {
		kind string
		n    *int
	}{{"log line cut", &t.lines.cut}, {"log line torn", &t.lines.torn}, {"log record cut", &t.record.cut}} {
		if *c.n > 0 {
			t.to.Lost(c.kind, *c.n)
			*c.n = 0
		}
	}
}

// settle sets the place to where the first record begins that is not whole.
func (t *tail) settle() {
	t.at.Offset = t.lines.start
	if t.record.lines > 0 {
		t.at.Offset = t.opens
	}
}

// line takes one line, nil for a torn one, behind which nothing belongs to what came before.
func (t *tail) line(line []byte) {
	begun, end := t.lines.start, t.lines.pos
	record := func(text []byte) {
		if t.file.Begin == nil {
			t.ends = end
		}
		t.said(text, t.ends <= t.late)
	}
	if line != nil {
		t.decode.utf8(t.trimReturn(line), func(text []byte) {
			if t.record.add(text, record) {
				t.opens = begun
			}
			t.ends = end
		})
	}
	if line == nil || t.lines.drop {
		t.record.end(record)
	}
	if line == nil && !t.ever {
		t.decode.wrong += t.lines.pairs
		t.lines.pairs = 0
		t.hear(0, t.lines.broken, 0, t.now())
	}
}

func (t *tail) trimReturn(line []byte) []byte {
	n := t.lines.wide.unit()
	for len(line) >= n && t.lines.index(line[len(line)-n:], '\r') == 0 {
		line = line[:len(line)-n]
	}
	return line
}

// said hands on what a record says.
func (t *tail) said(record []byte, late bool) {
	now := t.now()
	for _, p := range t.file.Patterns {
		f, ok, refused := p.read(record, now)
		if !ok {
			continue
		}
		t.hear(1, len(record), 0, now)
		at := now
		if !f.at.IsZero() {
			from := t.looked
			if late {
				from = time.Time{}
			}
			var moved bool
			at, moved = t.clock.when(f.at, from, now)
			t.moved = t.moved || moved
		}
		switch {
		case refused:
			t.to.Lost("log code refused", 1)
		case f.mark != nil:
			f.mark.Time, f.mark.Late = at, late
			t.to.Txn(*f.mark)
		case f.seen != nil:
			f.seen.Time, f.seen.Late = at, late
			if len(t.waiting) > 0 || !t.to.Seen(*f.seen) {
				t.waiting = append(t.waiting, *f.seen)
			}
			t.matched = t.matched || strings.Trim(f.seen.Code, "0") != ""
		}
		return
	}
	if !t.ever && len(record) > 0 {
		t.hear(0, len(record), record[0], now)
	}
}

// hear notes whether records match: a log in which none ever does is not the one that its patterns were written for.
// size and first are of a record that does not.
func (t *tail) hear(matched, size int, first byte, now time.Time) {
	t.ever = t.ever || matched > 0
	changed := t.hearing.Heard(matched, size, first, size)
	changed = t.hearing.Odd(t.decode.wrong) || changed
	t.news = t.news || changed
	if ev, ok := t.hearing.Due(now, changed); ok {
		t.to.Fact(ev)
	}
}

// forget drops the text of what is not whole yet: it is read again at the next look.
func (t *tail) forget() {
	if t.f == nil {
		return
	}
	t.size = max(t.size, t.lines.pos)
	t.lines.seek(t.at.Offset)
	t.record.reset()
	t.print, t.startPrint = t.at.Print, t.at.Print
}

var errNotRegular = errors.New("not a regular file")

// openLog opens a regular file and nothing else: opening a pipe would wait for its writer, and opening a tty would
// change its settings.
func openLog(path string) (*os.File, fs.FileInfo, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	bad := &fs.PathError{Op: "read", Path: path, Err: errNotRegular}
	if !fi.Mode().IsRegular() {
		return nil, nil, bad
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if fi, err = f.Stat(); err == nil && !fi.Mode().IsRegular() {
		err = bad
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// open finds the file, and the place in it where reading stopped. If there is neither an error nor a file, the rest of
// an older file was read.
func (t *tail) open() error {
	if t.names != nil && t.path == "" {
		if t.path = t.names.next("", t.now()); t.path == "" {
			return &fs.PathError{Op: "open", Path: t.file.Path, Err: fs.ErrNotExist}
		}
	}
	f, fi, err := openLog(t.path)
	if errors.Is(err, fs.ErrNotExist) && t.resume != nil && t.finish(*t.resume) {
		t.resume = nil
		return nil
	}
	if err != nil {
		return err
	}
	m := t.resume
	t.resume = nil
	start := int64(0)
	switch {
	case m != nil && same(f, fi, *m):
		start = m.Offset
	case m != nil && t.finish(*m):
		f.Close()
		return nil
	case m != nil:
		t.to.Lost("log rotated away", 1)
	case t.fresh:
		start = fi.Size()
	}
	t.fresh = false
	t.begin(f, fi, start)
	return nil
}

// begin reads f from start, or from what is recent if that lies too far back.
func (t *tail) begin(f *os.File, fi fs.FileInfo, start int64) {
	if skip := fi.Size() - maxBacklog - start; skip > 0 {
		t.to.Lost("log bytes skipped", int(min(skip, 1<<31-1)))
		start += skip
	}
	t.f, t.at, t.size, t.late = f, markOf(fi), start, 0
	if t.behind {
		t.late = fi.Size()
	}
	t.lines.seek(start)
	t.record.reset()
	t.at.Offset = start
	var before [1]byte
	_, err := f.ReadAt(before[:], start-1)
	if t.file.Encoding == "utf-16" && bigEndian(f) {
		_ = t.decodes("utf-16be")
	} else if t.file.Encoding == "utf-16" {
		_ = t.decodes("utf-16le")
	}
	t.lines.drop = start > 0 && err == nil && before[0] != '\n' && before[0] != 0 // the rest of a line is none
	window := max(0, start-int64(len(t.buf)))
	n, _ := f.ReadAt(t.buf, window-window%2)
	t.lines.learn(t.buf[:n])
	clear(t.buf[:n])
	t.at.Print = fingerprint(f, start)
	t.print, t.startPrint = t.at.Print, t.at.Print
	t.wd = t.watch(t.wd, f)
}

// place is where a restart has to go on.
func (t *tail) place() mark {
	m := t.at
	m.ClockMS = t.clock.off.Milliseconds()
	return m
}

// rewound starts again at 0: the file was truncated, and may be longer than before already. Where it was copied before,
// what we had not read is in the copy.
func (t *tail) rewound(fi fs.FileInfo) {
	if t.aside {
		t.close()
		return
	}
	place, f := mark{Offset: t.at.Offset, Print: t.at.Print}, t.f
	if t.f = nil; t.finish(place) {
		f.Close()
		return
	}
	t.begin(f, fi, 0)
}

// lastLine is how long the last line of a file that is no log any more may lack its end.
const lastLine = 5 * time.Second

// atEnd looks whether the path names another file by now.
func (t *tail) atEnd() (more, blocked bool, err error) {
	now := t.now()
	if t.lines.pos > t.size {
		t.grew, t.size = now, t.lines.pos
	}
	fi, err := t.f.Stat()
	if err != nil {
		return false, false, err
	}
	gone := fi.Sys().(*syscall.Stat_t).Nlink == 0
	if !t.aside && t.names != nil {
		if next := t.names.next(t.path, now); next != "" {
			t.turn()
			t.path = next
			return true, false, nil
		}
	}
	if !t.aside {
		switch path, err := os.Stat(t.path); {
		case errors.Is(err, fs.ErrNotExist):
			// Renamed, and the new one is yet to come: the old one may still be written to.
		case err != nil:
			return false, false, err
		case !t.at.node(path):
			t.turn()
			return true, false, nil
		default:
			t.behind = false
		}
	}
	if gone && fi.Size() == t.lines.pos {
		// Kept open, it would only hold space.
		t.endAll()
		t.close()
		return false, len(t.waiting) > 0, nil
	}
	record := t.record.lines > 0
	line := t.aside && len(t.lines.line) > 0
	if wait := recordWait; record || line {
		if line {
			wait = lastLine
		}
		if t.due = t.grew.Add(wait); !now.Before(t.due) {
			t.due = time.Time{}
			if line {
				t.lines.end(t.line)
			}
			t.record.end(func(text []byte) { t.said(text, t.ends <= t.late) })
			t.settle()
			t.at.Print = t.startPrint
			if line {
				t.at.Print = fingerprint(t.f, t.at.Offset)
			}
		}
	}
	t.looked = now
	return false, len(t.waiting) > 0, nil
}

// endAll takes what there is of a line and a record as whole: no more will come.
func (t *tail) endAll() {
	t.lines.end(t.line)
	t.record.end(func(text []byte) { t.said(text, t.ends <= t.late) })
	t.settle()
}

func (t *tail) close() {
	if t.old != nil {
		t.old.close()
	}
	if t.f != nil {
		t.last = t.place()
		t.wd = t.watch(t.wd, nil)
		t.f.Close()
		t.f = nil
	}
}
