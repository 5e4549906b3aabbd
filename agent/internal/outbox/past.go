package outbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"posdx/agent/report"
)

const (
	// PastKept is how many documents of the past stay on the terminal, at the least.
	PastKept = 200
	// pastFile is how many of them a file takes: what goes, goes by the file.
	pastFile = 40
	// maxPast bounds the bytes of all files: diagnoses have about 2 kB there, packed.
	maxPast = 2 << 20
	// maxPastFiles bounds the files: a terminal that restarts for every diagnosis makes one each.
	maxPastFiles = PastKept + 1

	pastPrefix = 'h'
)

// A Past keeps the newest documents on flash, confirmed or not, and drops the oldest. It is beside the outbox and
// promises less: an append that a power cut interrupted is lost without a report. A file is written by one run and
// never after a failed write; a torn record is skipped.
type Past struct {
	mu     sync.Mutex
	dir    FS
	epoch  epoch
	files  []pastSegment // oldest first
	out    File          // the newest of them, nil where the next append begins one
	seq    uint64
	packer report.Packer
}

type pastSegment struct {
	name   string
	count  int
	size   int64
	number uint64
}

// OpenPast opens or makes the directory. It takes it for this process alone.
func OpenPast(dir string) (*Past, error) {
	d, err := openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open past: %w", err)
	}
	return openPast(d)
}

func openPast(d FS) (*Past, error) {
	p := &Past{dir: d}
	if _, err := rand.Read(p.epoch[:]); err != nil {
		return nil, fmt.Errorf("open past: %w", err)
	}
	list, err := d.List()
	if err != nil {
		return nil, fmt.Errorf("open past: %w", err)
	}
	for _, e := range list {
		n, ok := pastNumber(e.Name)
		if !ok {
			continue
		}
		s := pastSegment{name: e.Name, size: e.Size, number: n}
		b := make([]byte, min(e.Size, maxPast))
		if got, err := d.ReadAt(e.Name, b, 0); err == nil {
			pastDocs(b[:got], func(frame) { s.count++ })
		}
		p.files = append(p.files, s)
		p.seq = max(p.seq, n)
	}
	sort.Slice(p.files, func(i, j int) bool { return p.files[i].number < p.files[j].number })
	p.trim()
	return p, nil
}

func pastName(n uint64) string { return fmt.Sprintf("%c%016x%s", pastPrefix, n, suffix) }

func pastNumber(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 17 || hex[0] != pastPrefix {
		return 0, false
	}
	n, err := strconv.ParseUint(hex[1:], 16, 64)
	return n, err == nil
}

// pastDocs gives the whole frames of a file.
func pastDocs(b []byte, each func(frame)) {
	h, ok := decodeHeader(b)
	if !ok {
		return
	}
	scan(h.epoch, b, func(_, _ int, f frame) { each(f) })
}

// Append keeps a document; it is durable when it returns without an error.
func (p *Past) Append(kind string, t time.Time, doc []byte) error {
	if p == nil {
		return nil
	}
	if len(doc) > MaxDoc || len(kind) > maxKind {
		return fmt.Errorf("keep %s: %d bytes, more than %d", kind, len(doc), MaxDoc)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil && p.files[len(p.files)-1].count >= pastFile {
		p.out.Close()
		p.out = nil
	}
	if err := p.append(frame{kind: kind, time: nano(t), doc: p.packer.Pack(doc)}); err != nil {
		if p.out != nil {
			p.out.Close()
			p.out = nil
		}
		return fmt.Errorf("keep %s: %w", kind, err)
	}
	p.packer = report.Packer{} // it is larger than all else here, and the next diagnosis is minutes away
	p.trim()
	return nil
}

func (p *Past) append(f frame) error {
	fresh := p.out == nil
	p.seq++
	f.seq = p.seq
	if fresh {
		name := pastName(p.seq)
		out, err := p.dir.Create(name, 0)
		if err != nil {
			return err
		}
		p.out = out
		p.files = append(p.files, pastSegment{name: name, number: p.seq})
		if err := p.write(header{epoch: p.epoch, base: p.seq}.encode()); err != nil {
			return err
		}
	}
	if err := p.write(f.encode(p.epoch)); err != nil {
		return err
	}
	if err := p.out.Sync(); err != nil {
		return err
	}
	if fresh {
		if err := p.dir.SyncDir(); err != nil {
			return err
		}
	}
	p.files[len(p.files)-1].count++
	return nil
}

func (p *Past) write(b []byte) error {
	n, err := p.out.Write(b)
	p.files[len(p.files)-1].size += int64(n)
	if err == nil && n < len(b) {
		err = errors.New("short write")
	}
	return err
}

// trim removes the oldest files that are not needed for what is to be kept, and those beyond the bounds.
func (p *Past) trim() {
	count, size := 0, int64(0)
	for _, s := range p.files {
		count, size = count+s.count, size+s.size
	}
	for len(p.files) > 1 {
		s := p.files[0]
		if count-s.count < PastKept && size <= maxPast && len(p.files) <= maxPastFiles {
			return
		}
		if err := p.dir.Remove(s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		count, size = count-s.count, size-s.size
		p.files = p.files[1:]
	}
}

// Close releases the directory.
func (p *Past) Close() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		p.out.Close()
		p.out = nil
	}
	return p.dir.Close()
}

// A PastDoc is one document of the past.
type PastDoc struct {
	Kind string
	Time time.Time
	Doc  []byte
}

// ReadPast gives the documents that a directory holds, oldest first, beside a process that may be adding to it. A
// directory that is not there holds none.
func ReadPast(dir string, each func(PastDoc)) error {
	err := readPast(&osFS{dir: dir}, each)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func readPast(d FS, each func(PastDoc)) error {
	list, err := d.List()
	if err != nil {
		return fmt.Errorf("read past: %w", err)
	}
	// Names have numbers of one width: their order is that of the files.
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	for _, e := range list {
		if _, ok := pastNumber(e.Name); !ok {
			continue
		}
		b := make([]byte, min(e.Size, maxPast))
		n, err := d.ReadAt(e.Name, b, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was the oldest
		}
		if err != nil {
			return fmt.Errorf("read past: %w", err)
		}
		pastDocs(b[:n], func(f frame) {
			if doc, err := report.Unpack(f.doc, MaxDoc); err == nil {
				each(PastDoc{Kind: f.kind, Time: unixTime(f.time), Doc: doc})
			}
		})
	}
	return nil
}
