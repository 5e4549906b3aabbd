package paylog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"posdx/agent/internal/source"
	"sort"
	"strings"
	"syscall"
)

// Bounds of the search for what was rotated away.
const (
	maxNames    = 4096     // names in the log's folder that are read
	maxSiblings = 256      // of them looked at by inode, whatever they are called
	maxCopies   = 4        // of each kind, the newest, whose content is compared
	maxUnzip    = 64 << 20 // bytes of a compressed log, which can only be read from its start
	printBytes  = 64       // before a place, by which a file is known again: more than a time stamp
	fewBytes    = 16       // that are enough where the name agrees too
)

// mark is a place in a file, as it is kept across restarts.
type mark struct {
	Dev     uint64 `json:"dev"`
	Ino     uint64 `json:"ino"`
	Offset  int64  `json:"offset"`
	Print   uint64 `json:"print"`              // of what stands before it
	ClockMS int64  `json:"clock_ms,omitempty"` // the terminal's time less the log's
}

func markOf(fi fs.FileInfo) (m mark) {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		m.Dev, m.Ino = uint64(st.Dev), uint64(st.Ino)
	}
	return m
}

// node reports whether a mark lies in the file.
func (m mark) node(fi fs.FileInfo) bool {
	now := markOf(fi)
	return now.Ino != 0 && now.Dev == m.Dev && now.Ino == m.Ino
}

// same reports whether f is the file of a mark. Inodes are reused and some file systems number them anew at every
// mount, so the bytes before the place must agree too, and decide alone if there are enough of them.
func same(f *os.File, fi fs.FileInfo, m mark) bool {
	return (m.node(fi) || m.Offset >= printBytes) && fits(f, fi, m)
}

func fits(f *os.File, fi fs.FileInfo, m mark) bool {
	return fi.Size() >= m.Offset && fingerprint(f, m.Offset) == m.Print
}

// fingerprint is a hash of the bytes before an offset, 0 if they cannot be read.
func fingerprint(f io.ReaderAt, offset int64) uint64 {
	var b [printBytes]byte
	defer clear(b[:])
	n := min(offset, printBytes)
	if _, err := f.ReadAt(b[:n], offset-n); err != nil {
		return 0
	}
	return printOf(b[:n])
}

// printBefore is the fingerprint at b[i:].
func printBefore(b []byte, i int) uint64 {
	var last [printBytes]byte
	return printOf(last[:copy(last[:], b[max(0, i-printBytes):i])])
}

// printOf hashes bytes and zeroes them. The hash is kept on flash, so a card number must not be in it, not even hashed:
// of runs of digits that could be one, or the end of one, only the length is hashed.
func printOf(b []byte) uint64 {
	for i := 0; i < len(b); {
		end, n := i, 0
		// In UTF-16 there are zeros between the digits, and before the first that is left of a run.
		for end < len(b) && (source.IsDigit(b[end]) || end > i && (b[end] == ' ' || b[end] == '-') || (end > i || i == 0) &&
			b[end] == 0) {
			if source.IsDigit(b[end]) {
				n++
			}
			end++
		}
		if n >= source.CardDigits || i == 0 {
			for k := i; k < end; k++ {
				b[k] = '0'
			}
		}
		i = max(end, i+1)
	}
	h := fnv.New64a()
	h.Write(b)
	clear(b)
	return h.Sum64()
}

// finish continues with the rest of a file that was renamed or copied meanwhile, or reads the rest of one that was
// compressed. It returns false if that is not to be found. Files that are renamed while they are looked at are looked
// for again.
func (t *tail) finish(m mark) bool {
	found, moved := t.search(m)
	if !found && moved {
		found, _ = t.search(m)
	}
	return found
}

func (t *tail) search(m mark) (found, moved bool) {
	dir, err := os.Open(filepath.Dir(t.path))
	if err != nil {
		return false, false
	}
	names, _ := dir.Readdirnames(maxNames)
	dir.Close()
	own, looked := stem(t.path), 0
	var copies, packed []fs.FileInfo
	for _, name := range names {
		family := strings.HasPrefix(name, own)
		if name == filepath.Base(t.path) || !family && looked == maxSiblings {
			continue
		}
		if !family {
			looked++
		}
		fi, err := os.Lstat(t.beside(name))
		switch {
		case err != nil:
			moved = true
		case !fi.Mode().IsRegular():
		case m.node(fi):
			if err := t.goOn(name, m); err == nil {
				return true, false
			}
		case !family || m.Offset < fewBytes:
		case strings.HasSuffix(name, ".gz"):
			packed = append(packed, fi)
		case fi.Size() >= m.Offset:
			copies = append(copies, fi)
		}
	}
	for _, fi := range append(newest(copies), newest(packed)...) {
		read := t.goOn
		if strings.HasSuffix(fi.Name(), ".gz") {
			read = t.unpack
		}
		err := read(fi.Name(), m)
		if err == nil {
			return true, false
		}
		moved = moved || errors.Is(err, fs.ErrNotExist)
	}
	return false, moved
}

func newest(list []fs.FileInfo) []fs.FileInfo {
	sort.Slice(list, func(i, j int) bool { return list[i].ModTime().After(list[j].ModTime()) })
	return list[:min(len(list), maxCopies)]
}

func (t *tail) beside(name string) string { return filepath.Join(filepath.Dir(t.path), name) }

// stem is what the names of rotated logs begin with: pay.log becomes pay.log.1, pay.log-20261121.gz,
// pay.2026-11-21.log.
func stem(path string) string {
	name := filepath.Base(path)
	if i := strings.IndexByte(name, '.'); i > 0 {
		name = name[:i]
	}
	return name
}

var errOther = errors.New("another file")

// goOn begins in another file at the place of a mark, if that is its file.
func (t *tail) goOn(name string, m mark) error {
	f, fi, err := openLog(t.beside(name))
	if err != nil {
		return err
	}
	if !fits(f, fi, m) {
		f.Close()
		return errOther
	}
	t.begin(f, fi, m.Offset)
	return nil
}

// unpack reads the rest of a compressed file behind the place of a mark, if the mark is of that file. It is read in one
// go, since a compressed file cannot be read from the middle.
func (t *tail) unpack(name string, m mark) error {
	f, fi, err := openLog(t.beside(name))
	if err != nil {
		return err
	}
	defer f.Close()
	var last [4]byte
	if _, err := f.ReadAt(last[:], fi.Size()-4); err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(last[:])) // RFC 1952: the length before it was compressed
	if size < m.Offset || size > maxUnzip {
		return errOther
	}
	in := bufio.NewReaderSize(f, 4096)
	z, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	defer wipe(in, z)
	defer clear(t.buf)
	if !t.skipTo(z, m) {
		return errOther
	}
	start := m.Offset
	t.lines.drop = false
	if skip := size - maxBacklog - start; skip > 0 {
		t.pass(z, skip)
		t.to.Lost("log bytes skipped", int(skip))
		t.lines.drop = true
		start += skip
	}
	t.lines.seek(start)
	t.record.reset()
	t.late = 0
	if t.behind {
		t.late = size
	}
	for left := int64(maxBacklog); left > 0 && err == nil; {
		var n int
		n, err = z.Read(t.buf[:min(left, int64(len(t.buf)))])
		left -= int64(n)
		t.take(t.buf[:n], 0)
		if over := len(t.waiting) - manyCodes; over > 0 {
			t.waiting = t.waiting[:manyCodes]
			t.to.Lost("log code", over)
		}
	}
	t.endAll()
	t.last = mark{} // nothing is left of it
	return nil
}

// skipTo reads up to the place of a mark and reports whether what stands before it is right.
func (t *tail) skipTo(z io.Reader, m mark) bool {
	n := min(m.Offset, printBytes)
	t.pass(z, m.Offset-n)
	_, err := io.ReadFull(z, t.buf[:n])
	return err == nil && printOf(t.buf[:n]) == m.Print
}

// pass reads n bytes and keeps none. An error comes again at the next read.
func (t *tail) pass(z io.Reader, n int64) {
	for n > 0 {
		got, err := z.Read(t.buf[:min(n, int64(len(t.buf)))])
		if n -= int64(got); err != nil {
			return
		}
	}
}

// wipe overwrites what the readers hold of a log: their windows cannot be reached, but refilled.
func wipe(in *bufio.Reader, z *gzip.Reader) {
	in.Reset(zeros{})
	in.Peek(in.Size())
	// The head of a file and of one stored block of 32 kB, the size of the window (RFC 1952, RFC 1951 3.2.4).
	head := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 0x01, 0x00, 0x80, 0xff, 0x7f}
	in.Reset(io.MultiReader(bytes.NewReader(head), zeros{}))
	if z.Reset(in) == nil {
		io.CopyN(io.Discard, z, 32<<10)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
