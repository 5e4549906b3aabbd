// Package crashfs is a directory in memory that loses what was not synced, as flash does when the power goes.
package crashfs

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/outbox"
)

// ErrCut is what every call returns once the power is gone.
var ErrCut = errors.New("power cut")

// A Model is when a change of the directory is certain to outlast a power cut.
type Model int

// Models of directories.
const (
	Journal Model = iota // any sync commits every earlier change, as ext4 does
	Strict               // only a sync of the directory does, and single changes may get lost, as on UBIFS
)

// An FS is one directory. The exported fields are set before use, or with Set.
type FS struct {
	Model    Model
	Rand     *rand.Rand // needed once something is cut or fails
	CutAt    int        // the power goes within this many more changes; 0 never
	Capacity int64      // bytes; 0 without bound
	ReadOnly bool
	NoSync   bool             // control: File.Sync does nothing
	NoDir    bool             // control: SyncDir does nothing
	FailSync func(n int) bool // should the n-th sync since the start fail?

	mu      sync.Mutex
	names   map[string]*inode // as seen
	durable map[string]*inode
	log     []change // of the directory, not yet certain
	syncs   int
	cut     bool
}

type inode struct {
	data     []byte // as seen
	durable  []byte
	pending  []write
	reserved int64
}

type write struct {
	off  int
	data []byte
}

type change struct {
	create, remove string
	node           *inode
}

// New returns an empty directory.
func New() *FS { return &FS{names: map[string]*inode{}, durable: map[string]*inode{}} }

// Set changes the exported fields while the directory is in use.
func (f *FS) Set(change func(f *FS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// step counts a change and tells whether the power goes with it.
func (f *FS) step() (dying bool, err error) {
	if f.cut {
		return false, ErrCut
	}
	if f.ReadOnly {
		return false, unix.EROFS
	}
	if f.CutAt > 0 {
		if f.CutAt--; f.CutAt == 0 {
			f.cut = true
			return true, ErrCut
		}
	}
	return false, nil
}

// change notes a change of the directory; one that the cut meets may have happened or not.
func (f *FS) change(c change) error {
	dying, err := f.step()
	if err != nil && (!dying || f.Rand.IntN(2) == 0) {
		return err
	}
	if c.remove != "" {
		delete(f.names, c.remove)
	}
	if c.create != "" {
		f.names[c.create] = c.node
	}
	f.log = append(f.log, c)
	return err
}

func (f *FS) used() (n int64) {
	for _, i := range f.names {
		n += max(int64(len(i.data)), i.reserved)
	}
	return n
}

// List implements outbox.FS.
func (f *FS) List() ([]outbox.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return nil, ErrCut
	}
	var list []outbox.Entry
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		list = append(list, outbox.Entry{Name: name, Size: int64(len(f.names[name].data))})
	}
	return list, nil
}

// ReadAt implements outbox.FS.
func (f *FS) ReadAt(name string, p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.names[name]
	switch {
	case f.cut:
		return 0, ErrCut
	case i == nil:
		return 0, unix.ENOENT
	case off >= int64(len(i.data)):
		return 0, nil
	}
	return copy(p, i.data[off:]), nil
}

// Create implements outbox.FS.
func (f *FS) Create(name string, reserve int64) (outbox.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[name] != nil {
		return nil, unix.EEXIST
	}
	if f.Capacity > 0 && f.used()+max(reserve, 1) > f.Capacity {
		return nil, unix.ENOSPC
	}
	i := &inode{reserved: reserve}
	if err := f.change(change{create: name, node: i}); err != nil {
		return nil, err
	}
	return &file{f, i}, nil
}

// Rename implements outbox.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[from] == nil {
		return unix.ENOENT
	}
	return f.change(change{create: to, remove: from, node: f.names[from]})
}

// Remove implements outbox.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[name] == nil {
		return unix.ENOENT
	}
	return f.change(change{remove: name})
}

// SyncDir implements outbox.FS.
func (f *FS) SyncDir() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.step(); err != nil {
		return err
	}
	if f.failing() {
		return unix.EIO
	}
	if !f.NoDir {
		f.commit()
	}
	return nil
}

// Close implements outbox.FS.
func (f *FS) Close() error { return nil }

func (f *FS) failing() bool {
	f.syncs++
	return f.FailSync != nil && f.FailSync(f.syncs)
}

func (f *FS) commit() {
	f.log = nil
	f.durable = maps.Clone(f.names)
}

type file struct {
	fs *FS
	i  *inode
}

func (w *file) Write(p []byte) (int, error) {
	f := w.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(p)
	dying, err := f.step()
	switch {
	case dying:
		n = f.Rand.IntN(n + 1)
	case err != nil:
		return 0, err
	case f.Capacity > 0:
		free := f.Capacity - f.used() + max(w.i.reserved-int64(len(w.i.data)), 0)
		if int64(n) > free {
			n, err = int(max(free, 0)), unix.ENOSPC
		}
	}
	w.i.pending = append(w.i.pending, write{len(w.i.data), slices.Clone(p[:n])})
	w.i.data = append(w.i.data, p[:n]...)
	return n, err
}

func (w *file) Sync() error {
	f := w.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.step(); err != nil {
		return err
	}
	if f.failing() {
		// The dirty pages are clean now, whether or not they reached flash; the page cache still shows them.
		for _, p := range w.i.pending {
			if f.Rand.IntN(2) == 0 {
				w.i.durable = over(w.i.durable, p)
			}
		}
		w.i.pending = nil
		return unix.EIO
	}
	if f.NoSync {
		return nil
	}
	w.i.durable, w.i.pending = slices.Clone(w.i.data), nil
	if f.Model == Journal {
		f.commit()
	}
	return nil
}

func (w *file) Close() error {
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	w.i.reserved = 0
	return nil
}

// Names lists the files, Flip damages one byte of one.
func (f *FS) Names() []string { return slices.Sorted(maps.Keys(f.names)) }

// Flip damages one byte of a file, as seen and as stored.
func (f *FS) Flip(name string, off int) {
	i := f.names[name]
	i.data = slices.Clone(i.data)
	i.data[off] ^= 0x40
	i.durable, i.pending = slices.Clone(i.data), nil
}

// Size is the length of a file.
func (f *FS) Size(name string) int { return len(f.names[name].data) }

// Crash returns a directory as the power cut may have left it: what was synced is there; of the rest any part may be.
func (f *FS) Crash() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.Rand
	names := maps.Clone(f.durable)
	keep := r.IntN(len(f.log) + 1)
	for n, c := range f.log {
		if f.Model == Journal && n >= keep || f.Model == Strict && r.IntN(2) == 0 {
			continue
		}
		if c.remove != "" && (c.create == "" || names[c.remove] == c.node) {
			delete(names, c.remove)
		}
		if c.create != "" {
			names[c.create] = c.node
		}
	}
	g := New()
	g.Model, g.NoSync, g.NoDir = f.Model, f.NoSync, f.NoDir
	g.Rand = rand.New(rand.NewPCG(r.Uint64(), r.Uint64())) // who still holds the old directory asks the old one
	for name, i := range names {
		d := i.after(r)
		n := &inode{data: d, durable: slices.Clone(d)}
		g.names[name] = n
		g.durable[name] = n
	}
	return g
}

// after is the content of a file after a cut.
func (i *inode) after(r *rand.Rand) []byte {
	d := slices.Clone(i.durable)
	if len(i.pending) == 0 {
		return d
	}
	switch r.IntN(5) {
	case 0: // nothing of it
	case 1: // all of it
		for _, w := range i.pending {
			d = over(d, w)
		}
	case 2: // in order, the last one torn
		n := r.IntN(len(i.pending))
		for _, w := range i.pending[:n] {
			d = over(d, w)
		}
		w := i.pending[n]
		d = over(d, write{w.off, w.data[:r.IntN(len(w.data)+1)]})
	case 3: // any pages of it
		const page = 64 // small, so that a record has several
		for _, w := range i.pending {
			for o := 0; o < len(w.data); o += page {
				if r.IntN(2) == 0 {
					d = over(d, write{w.off + o, w.data[o:min(o+page, len(w.data))]})
				}
			}
		}
	case 4: // the size, but not the bytes
		w := i.pending[r.IntN(len(i.pending))]
		d = over(d, write{w.off, make([]byte, len(w.data))})
	}
	return d
}

func over(d []byte, w write) []byte {
	if need := w.off + len(w.data); need > len(d) {
		d = append(d, make([]byte, need-len(d))...)
	}
	copy(d[w.off:], w.data)
	return d
}

// Cut tells whether the power is gone.
func (f *FS) Cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}

// Used is the space taken, what is set aside included.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used()
}
