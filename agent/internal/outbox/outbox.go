// Package outbox keeps documents on flash, in order and numbered without gaps, until the fleet has them.
//
// A record is accepted once one synced append returned. It is forgotten when its sequence is acknowledged, or when a
// bound removes it; then a report.Dropped takes its place, so that nothing is lost silently. Every file is written by
// one run only and never after a failed write, so opening never has to repair anything: it reads what is whole and
// counts what is not. When flash takes no more, a bounded ring in memory carries on and Stats says so.
//
// What can be lost: records beyond MaxBytes or MaxAge, and beyond RAMBytes while flash takes nothing, the oldest first;
// these are counted by kind and reported. What only memory holds is lost with the power, and nobody is left to say so.
// What flash damaged is reported by number; its kind is unknown.
package outbox

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/report"
)

// Bounds.
const (
	MinBytes      = 256 << 10 // below it the largest document would not fit beside the files that are open
	DefaultBytes  = 8 << 20
	DefaultMaxAge = 30 * 24 * time.Hour
	DefaultRAM    = 256 << 10
	MaxDoc        = 64 << 10
	maxSegment    = 2 * MaxDoc
	segmentBytes  = 64 << 10 // a damaged place costs at most this much
	maxSegments   = 2048     // a file per restart adds up under a crash loop
	retryMin      = 2 * time.Second
	retryMax      = 30 * time.Second // flash that is well again is used again after this long at most
)

// ErrFull is the error of a box whose space is taken by more important records.
var ErrFull = errors.New("the space is taken by more important records")

// Options bound a Box. The zero value means the defaults.
type Options struct {
	MaxBytes int64         // on flash
	MaxAge   time.Duration // counted while the box is open: the wall clock of a terminal may jump
	RAMBytes int           // of the ring that stands in for flash
	FS       FS            // in place of the directory
}

// A Box is an outbox. Its methods may be called from any goroutine; Append, Ack and Next wait for flash, Stats, Epoch,
// Boot and Changed never do.
type Box struct {
	changed chan struct{}
	open    func() error // flash; called with mu held

	mu    sync.Mutex // held across I/O on purpose: the order of the records is the order of the writes
	d     *disk      // nil: flash could not be opened
	r     *ring
	retry *time.Timer // tries flash again; until then it is left alone
	wait  time.Duration
	why   string // why flash is not used; empty when it is
	ended bool

	smu   sync.Mutex
	stats Stats
}

// Stats is the state of a Box. While flash is not used the numbers are those of the ring: Oldest, Next and Acked then
// tell nothing about the Records that flash holds.
type Stats struct {
	Epoch    string // of the next record
	Boot     uint64
	Records  int    // kept and not acknowledged
	Bytes    int64  // on flash
	RAM      int    // of Records, those that only memory holds
	Oldest   uint64 // lowest sequence held in this epoch, or the next one
	Next     uint64
	Acked    uint64
	Dropped  map[string]int // by kind, since Open
	Degraded string         // why flash is not used; empty when all is well
	Written  int64          // bytes written to flash since Open
	Syncs    int64
	Corrupt  int64 // damaged places met since Open
}

// A Record is one document on its way.
type Record struct {
	Epoch    string
	Boot     uint64
	Seq      uint64
	Kind     string
	Critical bool
	Time     time.Time
	Doc      []byte

	ram bool
}

// A Pos is a place in the order in which Next gives out records; the zero value is the start. Reports of loss come
// first: the fleet cannot acknowledge what lies behind a gap before it knows the gap.
type Pos struct{ report, disk, ram uint64 }

// After returns the place behind r.
func (p Pos) After(r Record) Pos {
	switch {
	case r.ram:
		p.ram = r.Seq
	case r.Kind == report.KindDropped && r.Seq > p.report:
		p.report = r.Seq
	default:
		p.disk = r.Seq
	}
	return p
}

// Past reports whether p lies behind r: Next has given r out on the way to p.
func (p Pos) Past(r Record) bool {
	if r.ram {
		return r.Seq <= p.ram
	}
	return r.Seq <= p.disk || r.Kind == report.KindDropped && r.Seq <= p.report
}

// Open opens the box in dir, making it if need be. It succeeds whatever state the directory is in; an error means that
// the options contradict each other.
func Open(dir string, o Options) (*Box, error) {
	if dir == "" && o.FS == nil {
		return nil, errors.New("open outbox: no directory given")
	}
	if o.MaxBytes < 0 || o.MaxAge < 0 || o.RAMBytes < 0 {
		return nil, fmt.Errorf("open outbox %s: a bound is negative", dir)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultBytes
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.RAMBytes == 0 {
		o.RAMBytes = DefaultRAM
	}
	o.MaxBytes = max(o.MaxBytes, MinBytes)
	return open(dir, o, min(o.MaxBytes/8, segmentBytes))
}

func open(dir string, o Options, segSize int64) (*Box, error) {
	r, err := newRing(o.RAMBytes)
	if err != nil {
		return nil, fmt.Errorf("open outbox %s: %w", dir, err)
	}
	b := &Box{changed: make(chan struct{}, 1), r: r, wait: retryMin}
	b.stats.Dropped = map[string]int{}
	b.open = func() error {
		fs := o.FS
		if fs == nil {
			if fs, err = openDir(dir); err != nil {
				return err
			}
		}
		d := &disk{fs: fs, opened: time.Now(), limit: o.MaxBytes, segSize: segSize, maxAge: o.MaxAge}
		if err := d.recover(); err != nil {
			fs.Close()
			return err
		}
		b.d = d
		return nil
	}
	if err := b.tryFlash(); err != nil {
		b.fail(err)
	}
	b.settle()
	return b, nil
}

// fail notes that flash takes nothing and sees to it that it is tried again, also if nobody appends.
func (b *Box) fail(err error) {
	b.why = err.Error()
	if b.retry != nil || b.ended {
		return
	}
	b.retry = time.AfterFunc(b.wait, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.retry = nil
		if b.ended {
			return
		}
		if err := b.tryFlash(); err != nil {
			b.fail(err)
		} else {
			b.why = ""
		}
		b.settle()
		b.tell()
	})
	b.wait = min(2*b.wait, retryMax)
}

// tell says that there may be something new.
func (b *Box) tell() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// tryFlash finds out whether flash takes a record and gives it what had to wait in memory.
func (b *Box) tryFlash() error {
	if b.d == nil {
		if err := b.open(); err != nil {
			return err
		}
	}
	if !b.d.ready {
		if err := b.d.begin(); err != nil {
			return err
		}
		b.d.sweep()
	}
	b.d.expire()
	if b.why != "" {
		if err := b.d.probe(); err != nil {
			return err
		}
	}
	return b.fromRing()
}

func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// Append accepts a document. It returns when the document is durable, or is in memory while flash takes none. critical
// ones are the last to be dropped. An error means that it was not accepted.
func (b *Box) Append(kind string, critical bool, t time.Time, doc []byte) (uint64, error) {
	if kind == "" || len(kind) > maxKind || strings.ContainsAny(kind, "/+#\x00") {
		return 0, fmt.Errorf("append %q: not a kind of document", kind)
	}
	if len(doc) > MaxDoc {
		return 0, fmt.Errorf("append %s: %d bytes, more than %d", kind, len(doc), MaxDoc)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, fmt.Errorf("append %s: the outbox is closed", kind)
	}
	f := frame{time: nano(t), critical: critical, kind: kind, doc: doc}
	seq, err := b.toFlash(f)
	if errors.Is(err, ErrFull) && !critical {
		b.d.count(kind)
		b.settle()
		return 0, fmt.Errorf("append %s: %w", kind, err)
	}
	if err != nil {
		f.boot = b.boot()
		seq = b.r.append(f)
	}
	b.settle()
	b.tell()
	return seq, nil
}

var errResting = errors.New("flash failed a moment ago")

// toFlash writes a record to flash, after those that had to wait in memory.
func (b *Box) toFlash(f frame) (uint64, error) {
	if b.why != "" {
		return 0, errResting
	}
	b.d.expire()
	seq, err := b.d.append(f)
	switch {
	case err == nil:
		b.wait = retryMin // a record was taken, which is more than the look before it
	case f.critical || !errors.Is(err, ErrFull):
		b.fail(err)
	}
	return seq, err
}

// fromRing moves what waits in memory, and nobody has seen yet, to flash.
func (b *Box) fromRing() error {
	err := b.r.move(func(f frame) error {
		_, err := b.d.append(f)
		if errors.Is(err, ErrFull) && !f.critical {
			b.d.count(f.kind)
			return nil
		}
		return err
	})
	if err == nil {
		b.d.adopt(b.r.release())
	}
	return err
}

// boot is the count of this run, also while flash does not take it.
func (b *Box) boot() uint64 {
	switch {
	case b.d == nil:
		return 1
	case b.d.ready:
		return b.d.meta.boot
	default:
		return b.d.meta.boot + 1
	}
}

// settle reports losses and publishes the figures.
func (b *Box) settle() {
	if d := b.d; d != nil && b.why == "" {
		d.resolve()
		for n := 0; n < maxReports && d.loss.open(); n++ {
			// making room for a report may drop more: the next turn reports that
			b.note()
			l := d.loss
			d.loss = loss{}
			part, rest := l.split()
			_, err := d.append(part.frame(d.meta.boot))
			if err != nil {
				d.loss.join(l)
				b.fail(err)
				break
			}
			d.loss.join(rest)
		}
	}
	b.note()
	s := Stats{Oldest: b.r.oldest(), Boot: b.boot(), Epoch: b.r.epoch.String(), Records: len(b.r.recs), RAM: len(b.r.recs),
		Degraded: b.why, Next: b.r.next, Acked: b.r.acked}
	if d := b.d; d != nil {
		s.Records += d.live()
		s.Bytes, s.Written, s.Syncs, s.Corrupt = d.bytes(), d.written, d.syncs, d.corrupt
		if b.why == "" {
			s.Epoch, s.Next, s.Acked, s.Oldest = d.meta.epoch.String(), d.next, d.acked, d.oldest()
		}
	}
	b.smu.Lock()
	defer b.smu.Unlock()
	s.Dropped = b.stats.Dropped
	b.stats = s
}

// note counts what was lost since it was last called.
func (b *Box) note() {
	b.smu.Lock()
	defer b.smu.Unlock()
	take := func(l *loss) {
		for k, n := range l.fresh {
			b.stats.Dropped[k] += n
		}
		l.fresh = nil
	}
	take(&b.r.loss)
	if b.d != nil {
		take(&b.d.loss)
	}
}

// count notes a record that got no number of its own: one number is given up to stand for all such.
func (d *disk) count(kind string) {
	d.stand("space")
	d.loss.count(kind, 1)
}

// adopt takes over a loss of the ring.
func (d *disk) adopt(l loss) {
	if len(l.counts) == 0 {
		return
	}
	d.stand(l.reason)
	l.spans = nil // numbers of the ring
	d.loss.join(l)
}

// stand gives up a number for what has none, if no loss is open that has one.
func (d *disk) stand(reason string) {
	if !d.loss.open() {
		d.loss.add(d.next, d.next, reason)
		d.next++
	}
}

// Next returns the record behind a place, false if there is none.
func (b *Box) Next(after Pos) (Record, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.next(after)
	if !ok && b.r.loss.open() {
		b.note()
		b.r.report(b.boot())
		b.settle()
		r, ok = b.next(after)
	}
	if ok && r.ram {
		b.r.handed = max(b.r.handed, r.Seq)
	} else if ok {
		b.d.handed = max(b.d.handed, r.Seq)
	}
	return r, ok, nil
}

func (b *Box) next(after Pos) (Record, bool) {
	if d := b.d; d != nil {
		corrupt := d.corrupt
		f, ok := d.nextReport(after)
		if !ok {
			f, ok = d.nextRecord(after)
		}
		if corrupt != d.corrupt {
			b.settle()
		}
		if ok {
			return f.record(d.meta.epoch, false), true
		}
	}
	f, ok := b.r.nextAfter(after.ram)
	if !ok {
		return Record{}, false
	}
	return f.record(b.r.epoch, true), true
}

func (d *disk) nextReport(after Pos) (frame, bool) {
	for _, seq := range d.reports {
		if seq > after.report && seq > after.disk {
			if f, ok := d.nextAfter(seq - 1); ok && f.seq == seq {
				return f, true
			}
		}
	}
	return frame{}, false
}

func (d *disk) nextRecord(after Pos) (frame, bool) {
	for at := after.disk; ; {
		f, ok := d.nextAfter(at)
		if !ok || f.kind != report.KindDropped || f.seq > after.report {
			return f, ok
		}
		at = f.seq
	}
}

func (f frame) record(e epoch, ram bool) Record {
	return Record{Epoch: e.String(), Boot: f.boot, Seq: f.seq, Kind: f.kind, Critical: f.critical, Time: unixTime(f.time),
		Doc: f.doc, ram: ram}
}

// ErrFuture is the error of an ack for a start of this box that has not been yet. Nothing is removed for it.
var ErrFuture = errors.New("it is for a start that has not been")

// Ack removes everything up to seq if epoch is one of this box's. Sequences go on over starts, so the boot matters only
// where it is impossible: if it is above ours, with a sequence that we have given out, the ack is not the fleet's.
func (b *Box) Ack(epoch string, boot, seq uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.settle()
	switch {
	case b.d != nil && epoch == b.d.meta.epoch.String():
		if seq > 1<<62 {
			return fmt.Errorf("ack %d: no such sequence", seq)
		}
		if last := b.d.next - 1; seq > last {
			b.d.ack(seq)
			return fmt.Errorf("ack %d: the last record was %d; flash has gone back in time, the numbers go on above", seq, last)
		}
		if own := b.d.meta.boot; boot > own {
			return fmt.Errorf("ack %d of start %d, this is start %d: %w", seq, boot, own, ErrFuture)
		}
		b.d.ack(seq)
	case epoch == b.r.epoch.String():
		b.r.ack(seq)
	default:
		return fmt.Errorf("ack %d: epoch %q is not of this outbox", seq, epoch)
	}
	return nil
}

// AckSent is Ack for a caller that has sent everything before at and nothing behind it. A fleet gives up waiting for
// missing documents in the end, so its ack may cover numbers that were never sent: those are kept.
func (b *Box) AckSent(at Pos, epoch string, boot, seq uint64) error {
	b.mu.Lock()
	next := seq + 1
	switch d := b.d; {
	case d != nil && epoch == d.meta.epoch.String():
		if seq >= d.next {
			break // not a gap: flash has gone back in time
		}
		if f, ok := d.nextRecord(at); ok {
			next = min(next, f.seq)
		}
		if f, ok := d.nextReport(at); ok {
			next = min(next, f.seq)
		}
	case epoch == b.r.epoch.String():
		if f, ok := b.r.nextAfter(at.ram); ok {
			next = min(next, f.seq)
		}
	}
	b.mu.Unlock()
	return b.Ack(epoch, boot, next-1)
}

// First returns the record that Next would give out first.
func (b *Box) First() (Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next(Pos{})
}

// Ends returns, for each epoch in which records are held, the number of its next record.
func (b *Box) Ends() map[string]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := map[string]uint64{b.r.epoch.String(): b.r.next}
	if b.d != nil {
		m[b.d.meta.epoch.String()] = b.d.next
	}
	return m
}

// Scan calls fn for each record that is kept, in the order of Next, until it returns false.
func (b *Box) Scan(fn func(Record) bool) {
	var at Pos
	for {
		b.mu.Lock()
		r, ok := b.next(at)
		b.mu.Unlock()
		if !ok || !fn(r) {
			return
		}
		at = at.After(r)
	}
}

// Changed has a value whenever records were appended since it was last read. It has one reader.
func (b *Box) Changed() <-chan struct{} { return b.changed }

// Stats returns the figures as of the last operation.
func (b *Box) Stats() Stats {
	b.smu.Lock()
	defer b.smu.Unlock()
	s := b.stats
	s.Dropped = make(map[string]int, len(b.stats.Dropped))
	for k, n := range b.stats.Dropped {
		s.Dropped[k] = n
	}
	return s
}

// Epoch is the random name of the numbering in force, 32 hex digits. It was made with the box, or at this start while
// flash takes nothing.
func (b *Box) Epoch() string { return b.Stats().Epoch }

// Boot counts how often this box was opened, this time included.
func (b *Box) Boot() uint64 { return b.Stats().Boot }

// Close writes the cursor and releases the directory. Records that are in memory only are written to flash if that is
// possible.
func (b *Box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.retry != nil {
		b.retry.Stop()
	}
	b.r.handed, b.r.acked = 0, 0 // better twice than not at all
	if err := b.tryFlash(); err == nil {
		b.why = ""
	}
	b.settle()
	if b.d == nil {
		return nil
	}
	err := b.d.close()
	b.d = nil
	if err != nil {
		return fmt.Errorf("close outbox: %w", err)
	}
	return nil
}
