package source

import (
	"bytes"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// Bounds of a log.
const (
	maxLogLine  = 16 << 10 // bytes of a line that are looked at; of a longer one the rest is dropped and counted
	maxBacklog  = 1 << 20  // bytes read of what was written while nobody read: some hours of a chatty payment app
	readAtOnce  = 32 << 10
	turnBytes   = 1 << 20 // read of one file before the others have their turn
	printBytes  = 64      // before a place, by which a file is known again: more than a time stamp
	maxSiblings = 256     // files beside a log that are looked at for the one it was renamed to
)

// A LogFile is one payment log to follow.
type LogFile struct {
	Path     string
	Encoding string // "utf-8" (also empty) or "gb18030" (also GBK and GB2312)
	Patterns []*Pattern
}

// mark is a place in a file, as it is kept across restarts.
type mark struct {
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	Offset int64  `json:"offset"`
	Print  uint64 `json:"print"` // of what stands before it
}

// A tail follows one log through renames and truncations. It belongs to one goroutine.
//
//	closed --open--> reading --EOF, path names another file--> (rest read, closed) --> reading the new one from 0
//	                 reading --shorter, or other bytes before our place--> reading from 0
type tail struct {
	file    LogFile
	to      Sink
	now     func() time.Time
	decode  *encoding.Decoder // nil for UTF-8
	buf     []byte            // shared by all tails of a Logs
	resume  *mark             // from the last run, until the first open
	last    mark              // of the file read before, while there is none
	fresh   bool              // nothing was ever read of it: history before the installation is none of ours
	f       *os.File
	at      mark   // where the first line begins that is not whole yet; without its print
	next    int64  // offset of the next byte to read
	print   uint64 // of what stands before next
	wd      int    // what the watcher calls the file; negative for nothing
	late    int64  // what lies before was written while nobody read
	lines   splitter
	waiting []Seen // offered to a full sink; nothing more is read meanwhile
	matched bool   // a failure was handed on since the last save: it must not come twice
	opened  func(*os.File)
}

func newTail(file LogFile, to Sink, buf []byte, now func() time.Time, resume *mark) (*tail, error) {
	t := &tail{file: file, to: to, buf: buf, now: now, resume: resume, opened: func(*os.File) {}, wd: -1}
	switch file.Encoding {
	case "", "utf-8":
	case "gb18030":
		t.decode = simplifiedchinese.GB18030.NewDecoder()
	default:
		return nil, errors.New("log " + file.Path + ": no such encoding; there are utf-8 and gb18030")
	}
	// A file that appears later is new and is read from its start.
	_, err := os.Stat(file.Path)
	t.fresh = resume == nil && err == nil
	return t, nil
}

// read takes in what there is. more says that there is more to read now, blocked that the sink is full.
func (t *tail) read() (more, blocked bool, err error) {
	for len(t.waiting) > 0 {
		if !t.to.Seen(t.waiting[0]) {
			return false, true, nil
		}
		t.waiting = t.waiting[1:]
	}
	if t.f == nil {
		if err := t.open(); err != nil {
			return false, false, err
		}
	}
	if err := t.rewound(); err != nil {
		t.close()
		return false, false, err
	}
	for left := turnBytes; left > 0; {
		n, err := t.f.ReadAt(t.buf, t.next)
		if n > 0 {
			left -= n
			t.take(t.buf[:n])
			clear(t.buf[:n]) // debug logs hold card numbers
			t.print = fingerprint(t.f, t.next)
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

// take splits bytes into lines and reads those.
func (t *tail) take(b []byte) {
	t.lines.add(b, func(line []byte, end int) {
		t.line(line, t.next+int64(end) <= t.late)
	})
	t.next += int64(len(b))
	t.at.Offset = t.next - int64(t.lines.open())
	if n := t.lines.cut; n > 0 {
		t.lines.cut = 0
		t.to.Lost("log line cut", n)
	}
}

func (t *tail) line(line []byte, late bool) {
	line = bytes.Trim(line, "\r\x00") // a power cut leaves runs of zeros
	if t.decode != nil && !ascii(line) {
		b, err := t.decode.Bytes(line)
		t.decode.Reset()
		if err != nil {
			return
		}
		line = b
		defer clear(b)
	}
	for _, p := range t.file.Patterns {
		f, ok, refused := p.read(line, t.now())
		switch {
		case refused:
			t.to.Lost("log code refused", 1)
		case f.mark != nil:
			f.mark.Late = late
			t.to.Txn(*f.mark)
		case f.seen != nil:
			f.seen.Late = late
			if len(t.waiting) > 0 || !t.to.Seen(*f.seen) {
				t.waiting = append(t.waiting, *f.seen)
			}
			t.matched = t.matched || strings.Trim(f.seen.Code, "0") != ""
		}
		if ok {
			return
		}
	}
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// open finds the file, and the place in it where reading stopped.
func (t *tail) open() error {
	f, err := os.Open(t.file.Path)
	if errors.Is(err, fs.ErrNotExist) && t.resume != nil && t.finish(*t.resume) {
		t.resume = nil
		return nil
	}
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("read " + t.file.Path + ": not a regular file")
	}
	if err != nil {
		f.Close()
		return err
	}
	m := t.resume
	t.resume = nil
	start := int64(0)
	switch {
	case m != nil && t.same(f, fi, *m):
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

// finish begins with the rest of a file that was renamed meanwhile. It is false if that is not to be found.
func (t *tail) finish(m mark) bool {
	old := t.renamed(m)
	if old == nil {
		return false
	}
	fi, err := old.Stat()
	if err != nil {
		old.Close()
		return false
	}
	t.begin(old, fi, m.Offset)
	return true
}

// begin reads f from start, or from what is recent if that lies too far back.
func (t *tail) begin(f *os.File, fi fs.FileInfo, start int64) {
	if skip := fi.Size() - maxBacklog - start; skip > 0 {
		t.to.Lost("log bytes skipped", int(min(skip, 1<<31-1)))
		start += skip
	}
	t.f, t.at, t.next, t.late = f, markOf(fi), start, fi.Size()
	t.at.Offset = start
	t.lines.reset()
	var before [1]byte
	if _, err := f.ReadAt(before[:], start-1); start > 0 && err == nil && before[0] != '\n' {
		t.lines.drop = true // the rest of a line is none
	}
	t.print = fingerprint(f, t.next)
	t.opened(f)
}

func markOf(fi fs.FileInfo) (m mark) {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		m.Dev, m.Ino = uint64(st.Dev), uint64(st.Ino)
	}
	return m
}

// same reports whether f is the file of a mark. Inodes are reused and some file systems number them anew at every
// mount, so the bytes before the place must agree too, and decide alone if there are enough of them.
func (t *tail) same(f *os.File, fi fs.FileInfo, m mark) bool {
	now := markOf(fi)
	node := now.Dev == m.Dev && now.Ino == m.Ino
	return fi.Size() >= m.Offset && (node || m.Offset >= printBytes) && fingerprint(f, m.Offset) == m.Print
}

// fingerprint is a hash of the bytes before an offset, 0 if there are none or they cannot be read.
func fingerprint(f *os.File, offset int64) uint64 {
	var b [printBytes]byte
	defer clear(b[:])
	n := min(offset, printBytes)
	if _, err := f.ReadAt(b[:n], offset-n); n <= 0 || err != nil {
		return 0
	}
	h := fnv.New64a()
	h.Write(b[:n])
	return h.Sum64()
}

// place is where a restart has to go on.
func (t *tail) place() mark {
	m := t.at
	m.Print = fingerprint(t.f, m.Offset)
	return m
}

// renamed looks beside the log for the file of a mark.
func (t *tail) renamed(m mark) *os.File {
	dir, err := os.Open(filepath.Dir(t.file.Path))
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxSiblings)
	for _, name := range names {
		path := filepath.Join(dir.Name(), name)
		fi, err := os.Lstat(path)
		if err != nil || !fi.Mode().IsRegular() || path == t.file.Path {
			continue
		}
		if now := markOf(fi); now.Dev != m.Dev || now.Ino != m.Ino {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		if t.same(f, fi, m) {
			return f
		}
		f.Close()
	}
	return nil
}

// rewound starts again at 0 when the file was truncated, or written anew and is already longer than before.
func (t *tail) rewound() error {
	fi, err := t.f.Stat()
	if err != nil {
		return err
	}
	if fi.Size() < t.next || fingerprint(t.f, t.next) != t.print {
		t.lines.reset()
		t.at, t.next, t.late, t.print = markOf(fi), 0, 0, 0
	}
	return nil
}

// atEnd looks whether the path names another file by now. What is at the end of the old one without a line end is
// its last line.
func (t *tail) atEnd() (more, blocked bool, err error) {
	fi, err := os.Stat(t.file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		// Renamed, and the new one is yet to come: the old one may still be written to. Deleted, it only holds space.
		if old, err := t.f.Stat(); err == nil && old.Sys().(*syscall.Stat_t).Nlink == 0 {
			t.close()
		}
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if now := markOf(fi); now.Dev == t.at.Dev && now.Ino == t.at.Ino {
		return false, false, nil
	}
	// The writer may have added a last line between our read and the rename.
	if old, err := t.f.Stat(); err == nil && old.Size() > t.next {
		return true, false, nil
	}
	t.lines.end(func(line []byte, _ int) { t.line(line, t.next <= t.late) })
	t.close()
	return true, len(t.waiting) > 0, nil
}

func (t *tail) close() {
	if t.f != nil {
		t.last = t.place()
		t.f.Close()
		t.f = nil
	}
}

// A splitter makes lines of bytes. It keeps the first maxLogLine bytes of a line.
type splitter struct {
	line []byte
	long int  // bytes of the line so far, kept or not
	drop bool // throw away up to the next line's start
	cut  int  // lines that were too long
}

// add takes bytes and gives each whole line to f, with the offset of its end in b.
func (s *splitter) add(b []byte, f func(line []byte, end int)) {
	for at := 0; at < len(b); {
		part, whole := b[at:], false
		if i := bytes.IndexByte(part, '\n'); i >= 0 {
			part, whole = part[:i], true
		}
		at += len(part)
		if room := maxLogLine - len(s.line); !s.drop {
			s.line = append(s.line, part[:min(room, len(part))]...)
		}
		s.long += len(part)
		if whole {
			at++
			s.end(func(line []byte, _ int) { f(line, at) })
		}
	}
}

// end takes what there is as a line.
func (s *splitter) end(f func(line []byte, end int)) {
	if s.long > maxLogLine {
		s.cut++
	}
	if !s.drop && len(s.line) > 0 {
		f(s.line, 0)
	}
	s.reset()
}

// open returns how many bytes the unfinished line has.
func (s *splitter) open() int { return s.long }

func (s *splitter) reset() {
	clear(s.line)
	s.line, s.long, s.drop = s.line[:0], 0, false
}
