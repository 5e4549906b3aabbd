package outbox

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
)

// There are two streams of segments: records that may be dropped first lie apart from those that may not, so that
// making room is always the removal of whole files.
const (
	plain    = 0
	critical = 1
	streams  = 2
)

const (
	metaName = "box"
	metaNew  = "box.new"
	suffix   = ".seg"
)

// A disk is the log on flash. A file is written by one run of the program only and never again after a failed write or
// sync, so nothing ever follows a torn record.
type disk struct {
	fs      FS
	meta    meta // as it is on flash, once ready
	ready   bool // the meta of this boot is on flash
	next    uint64
	acked   uint64
	onBase  uint32 // how long the box had been open before this Open
	opened  time.Time
	segs    [streams][]*segment  // ascending; the last may be open
	file    [streams]File        // of the open segment
	loaded  [streams][2]*segment // being given out: for the first time, and again to a fleet that lags
	names   int                  // segments made by this run
	limit   int64
	segSize int64
	maxAge  time.Duration
	handed  uint64   // highest sequence that Next gave out
	reports []uint64 // sequences of the reports of loss, ascending
	loss    loss     // dropped, not yet reported
	written int64
	syncs   int64
	corrupt int64 // damaged places met
}

// A segment is one file. Sequences within it ascend, with gaps where the other stream has them.
type segment struct {
	name        string
	base        uint64
	boot        uint64
	size        int64
	first, last uint64 // 0 when empty; a frame above last failed to be synced and went to another file
	live        int    // records above acked
	low         uint64 // the lowest of them
	newest      uint32 // the on of its last record
	torn        bool   // bytes after the last good record
	index       []place
}

// A place says where a record lies in its segment.
type place struct {
	seq    uint64
	off, n uint32
}

// now is how long the box has been open in its life.
func (d *disk) now() uint32 { return d.onBase + seconds(time.Since(d.opened)) }

// begin writes the meta of this run; without it no number may be given out, for a later run might give it again.
func (d *disk) begin() error {
	m := meta{d.meta.epoch, d.meta.boot, d.acked, d.next, d.now()}
	if !d.ready {
		m.boot++
	}
	if err := d.writeMeta(m); err != nil {
		return err
	}
	d.meta, d.ready = m, true
	return nil
}

func (d *disk) writeMeta(m meta) error {
	d.fs.Remove(metaNew)
	f, err := d.fs.Create(metaNew, 0)
	if err != nil {
		return err
	}
	b := m.encode()
	n, err := f.Write(b)
	d.written += int64(n)
	if err == nil {
		d.syncs++
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.fs.Rename(metaNew, metaName)
	}
	if err == nil {
		d.syncs++
		err = d.fs.SyncDir()
	}
	return err
}

// sweep removes what this box has no more use for: segments wholly acknowledged and files that are not its own. The
// cursor on flash must cover them first, or their absence would look like a loss.
func (d *disk) sweep() {
	if !d.ready {
		return
	}
	keep := map[string]bool{}
	for st := range d.segs {
		d.segs[st] = slices.DeleteFunc(d.segs[st], func(s *segment) bool {
			return !d.isOpen(st, s) && s.last <= d.meta.acked && d.fs.Remove(s.name) == nil
		})
		for _, s := range d.segs[st] {
			keep[s.name] = true
		}
	}
	list, err := d.fs.List()
	if err != nil {
		return
	}
	for _, e := range list {
		if strings.HasSuffix(e.Name, suffix) && !keep[e.Name] {
			d.fs.Remove(e.Name)
		}
	}
}

func (d *disk) isOpen(st int, s *segment) bool {
	return d.file[st] != nil && s == d.segs[st][len(d.segs[st])-1]
}

// append writes one record and returns once it is durable.
func (d *disk) append(f frame) (uint64, error) {
	if !d.ready {
		if err := d.begin(); err != nil {
			return 0, err
		}
	}
	st := plain
	if f.critical {
		st = critical
	}
	f.seq, f.acked, f.boot, f.on = d.next, d.acked, d.meta.boot, d.now()
	b := f.encode(d.meta.epoch)
	var err error
	doubtful := false
	for range 2 { // a failed sync leaves the file's state unknown: write the record to another file
		if err = d.room(st, int64(len(b))); err != nil {
			break
		}
		s := d.segs[st][len(d.segs[st])-1]
		var n int
		if n, err = d.file[st].Write(b); err == nil {
			d.syncs++
			err = d.file[st].Sync()
		}
		d.written += int64(n)
		if err == nil {
			s.index = append(s.index, place{f.seq, uint32(s.size), uint32(len(b))})
			s.size += int64(n)
			if s.first == 0 {
				s.first = f.seq
			}
			s.last, s.newest = f.seq, f.on
			if s.live++; s.live == 1 {
				s.low = f.seq
			}
			d.next++
			if f.kind == report.KindDropped {
				d.reports = append(d.reports, f.seq)
			}
			return f.seq, nil
		}
		doubtful = doubtful || n == len(b)
		s.size += int64(n)
		d.seal(st)
	}
	if doubtful {
		// All its bytes may yet turn out to be on flash, under this number.
		d.loss.add(d.next, d.next, "io")
		d.next++
	}
	return 0, err
}

// room sees to it that the stream has an open segment with n bytes left.
func (d *disk) room(st int, n int64) error {
	if d.file[st] != nil {
		s := d.segs[st][len(d.segs[st])-1]
		if s.size+n <= d.segSize || s.size == headerLen && n < maxSegment {
			return nil
		}
		d.seal(st)
	}
	want := max(d.segSize, headerLen+n)
	for d.bytes()+want > d.limit || len(d.segs[plain])+len(d.segs[critical]) >= maxSegments {
		if err := d.dropOldest(st, "space"); err != nil {
			return err
		}
	}
	err := d.create(st, want)
	for noSpace(err) && d.dropOldest(plain, "space") == nil {
		err = d.create(st, want)
	}
	return err
}

// probe finds out whether flash takes anything. Nothing is dropped for it.
func (d *disk) probe() error {
	switch {
	case d.file[critical] != nil:
		return nil
	case d.bytes()+d.segSize > d.limit:
		return d.begin()
	default:
		return d.create(critical, d.segSize)
	}
}

func (d *disk) create(st int, want int64) error {
	d.names++
	name := fmt.Sprintf("%c%016x-%08x-%04x%s", "nc"[st], d.next, d.meta.boot, d.names, suffix)
	f, err := d.fs.Create(name, want)
	if err != nil {
		return err
	}
	b := header{d.meta.epoch, d.next, d.acked, d.meta.boot, d.now()}.encode()
	n, err := f.Write(b)
	d.written += int64(n)
	if err == nil {
		d.syncs++
		err = f.Sync()
	}
	if err == nil {
		d.syncs++
		err = d.fs.SyncDir()
	}
	if err != nil {
		f.Close()
		d.fs.Remove(name)
		return err
	}
	d.segs[st] = append(d.segs[st], &segment{name: name, base: d.next, boot: d.meta.boot, size: headerLen})
	d.file[st] = f
	return nil
}

// seal ends the writing of the stream's open segment.
func (d *disk) seal(st int) {
	if d.file[st] == nil {
		return
	}
	d.file[st].Close()
	d.file[st] = nil
	s := d.segs[st][len(d.segs[st])-1]
	if s.last == 0 && d.fs.Remove(s.name) == nil {
		d.segs[st] = d.segs[st][:len(d.segs[st])-1]
		return
	}
	d.trim(st)
}

// bytes is what the segments occupy, with what is set aside for the open ones.
func (d *disk) bytes() int64 {
	var sum int64
	for st := range d.segs {
		for _, s := range d.segs[st] {
			if d.isOpen(st, s) {
				sum += max(s.size, d.segSize)
			} else {
				sum += s.size
			}
		}
	}
	return sum
}

// dropOldest removes the oldest segment that is not open: a plain one while there is one, and one of the critical
// stream only to make room for another critical record. It returns ErrFull if there is none.
func (d *disk) dropOldest(st int, reason string) error {
	for s := plain; s <= st; s++ {
		if len(d.segs[s]) > 0 && !d.isOpen(s, d.segs[s][0]) {
			return d.drop(s, reason)
		}
		// A plain open segment goes before anything critical does.
		if s == plain && st == critical && len(d.segs[plain]) == 1 && d.segs[plain][0].last > 0 {
			d.seal(plain)
			return d.drop(plain, reason)
		}
	}
	return ErrFull
}

// drop removes the first segment of a stream and notes what was in it.
func (d *disk) drop(st int, reason string) error {
	s := d.segs[st][0]
	if s.last+1 >= d.next && s.last >= d.meta.next {
		// With the file would go the only trace of how far the numbers had come.
		if err := d.begin(); err != nil {
			return err
		}
	}
	var gone loss
	left := s.live
	if left > 0 {
		b, err := d.read(s.name, int(min(s.size, maxSegment)))
		if err == nil {
			var last uint64
			scan(d.meta.epoch, b, func(_, _ int, f frame) {
				if f.seq <= d.acked || f.seq <= last || f.seq > s.last {
					return
				}
				last = f.seq
				left--
				gone.add(f.seq, f.seq, reason)
				if f.kind == report.KindDropped {
					gone.absorb(f.doc, reason)
				} else {
					gone.count(f.kind, 1)
				}
			})
		}
	}
	if err := d.fs.Remove(s.name); err != nil {
		return err
	}
	d.segs[st] = d.segs[st][1:]
	if st == critical {
		d.reports = slices.DeleteFunc(d.reports, func(r uint64) bool { return s.first <= r && r <= s.last })
	}
	if left > 0 {
		d.corrupt++
		d.loss.doubt(max(s.first, d.acked+1), s.last)
		d.loss.count("unknown", left)
	}
	d.loss.join(gone)
	return nil
}

// expire drops segments whose newest record is over age.
func (d *disk) expire() {
	now, age := d.now(), seconds(d.maxAge)
	if d.maxAge <= 0 || now < age {
		return
	}
	for st := range d.segs {
		for len(d.segs[st]) > 0 && d.segs[st][0].last > 0 && d.segs[st][0].newest < now-age {
			if d.isOpen(st, d.segs[st][0]) {
				d.seal(st)
			}
			if d.drop(st, "age") != nil {
				break
			}
		}
	}
}

// ack forgets everything up to seq.
func (d *disk) ack(seq uint64) {
	if seq <= d.acked {
		return
	}
	if seq >= d.next {
		d.restart(seq)
	}
	d.acked = seq
	d.reports = slices.DeleteFunc(d.reports, func(r uint64) bool { return r <= seq })
	covered := false
	for st := range d.segs {
		for _, s := range d.segs[st] {
			if s.first > 0 && s.first <= seq {
				d.recount(s)
			}
			covered = covered || s.last <= seq && !d.isOpen(st, s)
		}
		d.trim(st)
	}
	if covered && d.ready && d.begin() == nil {
		d.sweepAcked()
	}
}

// restart goes on above a sequence that the fleet has acknowledged and this box has never given out: flash has returned
// to an older state, as flash does that reports a sync before it is done. What the fleet cannot have seen yet is
// written again under numbers that it will not take for old ones.
func (d *disk) restart(seq uint64) {
	d.corrupt++
	end := d.next
	d.next = seq + 1
	for at := max(d.handed, d.acked); ; {
		f, ok := d.nextAfter(at)
		if !ok || f.seq >= end {
			return
		}
		at = f.seq
		if _, err := d.append(f); err != nil {
			d.loss.add(f.seq, f.seq, "io")
			d.loss.count(f.kind, 1)
		}
	}
}

func (d *disk) sweepAcked() {
	for st := range d.segs {
		d.segs[st] = slices.DeleteFunc(d.segs[st], func(s *segment) bool {
			return !d.isOpen(st, s) && s.last <= d.meta.acked && d.fs.Remove(s.name) == nil
		})
	}
}

// recount finds out what of a segment is not acknowledged.
func (d *disk) recount(s *segment) {
	switch {
	case s.last <= d.acked:
		s.live, s.low = 0, 0
	case d.acked < s.first:
		s.low = s.first // all of it
	default:
		if s.index == nil {
			d.readIndex(s)
		}
		i, _ := slices.BinarySearchFunc(s.index, d.acked+1, placeOf)
		s.live = len(s.index) - i
		if i < len(s.index) {
			s.low = s.index[i].seq
		}
	}
}

func placeOf(p place, seq uint64) int { return cmp.Compare(p.seq, seq) }

// trim drops the indexes that are not in use: kept are those of the open segment, of the one being given out, and of
// the one being acknowledged.
func (d *disk) trim(st int) {
	head := true
	for _, s := range d.segs[st] {
		first := head && s.live > 0
		if s.live > 0 {
			head = false
		}
		if !first && !slices.Contains(d.loaded[st][:], s) && !d.isOpen(st, s) {
			s.index = nil
		}
	}
}

func (d *disk) readIndex(s *segment) {
	b, _ := d.read(s.name, int(min(s.size, maxSegment)))
	var last uint64
	scan(d.meta.epoch, b, func(off, n int, f frame) {
		if f.seq > last && f.seq <= s.last {
			s.index = append(s.index, place{f.seq, uint32(off), uint32(n)})
			last = f.seq
		}
	})
}

// seek finds the first record of a stream above seq. A segment that cannot be read any more is noted as lost.
func (d *disk) seek(st int, seq uint64) (*segment, place, bool) {
	seq = max(seq, d.acked)
	for i := 0; i < len(d.segs[st]); i++ {
		s := d.segs[st][i]
		if s.last <= seq {
			continue
		}
		if s.index == nil && !d.load(st, s) {
			d.segs[st] = slices.Delete(d.segs[st], i, i+1)
			i--
			continue
		}
		n, _ := slices.BinarySearchFunc(s.index, seq+1, placeOf)
		if n < len(s.index) {
			return s, s.index[n], true
		}
	}
	return nil, place{}, false
}

// load reads the index of the segment that is being given out. What has become unreadable since it was counted is noted
// as lost; false means all of it.
func (d *disk) load(st int, s *segment) bool {
	had := s.live
	d.readIndex(s)
	i, _ := slices.BinarySearchFunc(s.index, d.acked+1, placeOf)
	if s.live = len(s.index) - i; s.live < had {
		d.corrupt++
		d.loss.doubt(max(s.first, d.acked+1), s.last)
		d.loss.count("unknown", had-s.live)
	}
	d.loaded[st] = [2]*segment{s, d.loaded[st][0]}
	d.trim(st)
	return len(s.index) > 0
}

// nextAfter returns the record with the lowest sequence above seq. A record that went bad since it was written is noted
// as lost and passed over.
func (d *disk) nextAfter(seq uint64) (frame, bool) {
	for {
		var s *segment
		var p place
		for st := range d.segs {
			if cs, cp, ok := d.seek(st, seq); ok && (s == nil || cp.seq < p.seq) {
				s, p = cs, cp
			}
		}
		if s == nil {
			return frame{}, false
		}
		b := make([]byte, p.n)
		n, err := d.fs.ReadAt(s.name, b, int64(p.off))
		f, _, _, ok := decodeFrame(d.meta.epoch, b[:n])
		if err == nil && ok && f.seq == p.seq {
			return f, true
		}
		d.corrupt++
		d.loss.add(p.seq, p.seq, "corrupt")
		d.loss.count("unknown", 1)
		s.index = slices.DeleteFunc(s.index, func(q place) bool { return q.seq == p.seq })
		s.live--
		seq = p.seq
	}
}

func (d *disk) read(name string, n int) ([]byte, error) {
	b := make([]byte, n)
	n, err := d.fs.ReadAt(name, b, 0)
	return b[:n], err
}

// oldest is the lowest sequence still held, or the next one.
func (d *disk) oldest() uint64 {
	low := d.next
	for st := range d.segs {
		for _, s := range d.segs[st] {
			if s.live > 0 {
				low = min(low, s.low)
				break
			}
		}
	}
	return low
}

func (d *disk) live() (n int) {
	for st := range d.segs {
		for _, s := range d.segs[st] {
			n += s.live
		}
	}
	return n
}

// close writes the cursor, so that an orderly restart sends nothing twice.
func (d *disk) close() error {
	for st := range d.file {
		d.seal(st)
	}
	var err error
	if d.ready && (d.acked != d.meta.acked || d.next != d.meta.next) {
		err = d.begin()
	}
	return errors.Join(err, d.fs.Close())
}
