package outbox

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"slices"
	"sort"
	"strings"

	"posdx/agent/report"
)

// recover reads what is on flash. It changes nothing there.
func (d *disk) recover() error {
	list, err := d.fs.List()
	if err != nil {
		return err
	}
	var m meta
	var haveMeta bool
	if b, err := d.read(metaName, metaLen); err == nil {
		m, haveMeta = decodeMeta(b)
		if !haveMeta {
			d.corrupt++
		}
	}
	type found struct {
		Entry
		stream int
		h      header
		ok     bool
	}
	var segs []found
	for _, e := range list {
		name, isSeg := strings.CutSuffix(e.Name, suffix)
		if !isSeg || name == "" {
			continue
		}
		s := found{Entry: e, stream: plain}
		if name[0] == 'c' {
			s.stream = critical
		}
		b, err := d.read(e.Name, headerLen)
		if err == nil {
			s.h, s.ok = decodeHeader(b)
		}
		if s.ok && !haveMeta {
			// The newest segment says which outbox this is, should the meta be damaged.
			if s.h.boot >= m.boot {
				m.epoch = s.h.epoch
			}
			m.boot = max(m.boot, s.h.boot)
		}
		segs = append(segs, s)
	}
	d.meta = m
	d.acked, d.next, d.onBase = m.acked, max(m.next, 1), m.on
	var seqs []uint64
	var known [][2]uint64
	last := m.boot
	for _, s := range segs {
		if s.ok && s.h.epoch != m.epoch {
			d.corrupt++
			continue // of another outbox; sweep removes it
		}
		seg := &segment{name: s.Name, base: s.h.base, boot: s.h.boot, size: s.Size}
		if s.ok {
			d.next, d.acked, d.onBase = max(d.next, s.h.base), max(d.acked, s.h.acked), max(d.onBase, s.h.on)
			last = max(last, s.h.boot)
		}
		b, err := d.read(s.Name, int(min(s.Size, maxSegment)))
		if err != nil {
			d.corrupt++
			continue
		}
		hole, tail := scan(m.epoch, b, func(_, _ int, f frame) {
			if f.seq <= seg.last {
				return
			}
			if seg.first == 0 {
				seg.first = f.seq
			}
			seg.last, seg.newest = f.seq, f.on
			seg.live++
			if seg.base == 0 {
				seg.base = f.seq
			}
			d.next, d.acked, d.onBase = max(d.next, f.seq+1), max(d.acked, f.acked), max(d.onBase, f.on)
			last = max(last, f.boot)
			seg.boot = max(seg.boot, f.boot)
			seqs = append(seqs, f.seq)
			if f.kind == report.KindDropped {
				d.reports = append(d.reports, f.seq)
				var r report.Dropped
				if json.Unmarshal(f.doc, &r) == nil {
					known = append(known, spans(r)...)
				}
			}
		})
		if hole > 0 || !s.ok && seg.last > 0 {
			d.corrupt++
		}
		seg.torn = tail > 0
		if seg.last > 0 || s.ok {
			d.segs[s.stream] = append(d.segs[s.stream], seg)
		}
	}
	if m.epoch == (epoch{}) {
		if _, err := rand.Read(m.epoch[:]); err != nil {
			return err
		}
	}
	newest := last
	if !haveMeta {
		newest = 0 // whether that run began after the tear is not known: take it as new
	}
	d.meta.epoch, d.meta.boot = m.epoch, last
	for st := range d.segs {
		segs := d.segs[st]
		sort.Slice(segs, func(i, j int) bool {
			a, b := segs[i], segs[j]
			return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.boot, b.boot), cmp.Compare(a.name, b.name)) < 0
		})
		for i := 1; i < len(segs); i++ {
			// A record whose sync failed was written again to the next file, under the same number.
			if a, b := segs[i-1], segs[i]; b.first > 0 && a.last == b.first {
				a.last--
				a.live--
			}
		}
	}
	ascending(d.reports)
	d.findLoss(seqs, known, haveMeta, newest)
	d.reports = slices.DeleteFunc(d.reports, func(r uint64) bool { return r <= d.acked })
	for st := range d.segs {
		for _, s := range d.segs[st] {
			d.recount(s)
		}
		d.trim(st)
	}
	return nil
}

// ascending sorts sequences. Sorts here are package sort's: those of slices are compiled anew for every type.
func ascending(seqs []uint64) { sort.Slice(seqs, func(i, j int) bool { return seqs[i] < seqs[j] }) }

// findLoss looks for sequences that should be there and are not: acknowledged ones may be missing, dropped ones have a
// report among the records, the rest was damaged or removed.
func (d *disk) findLoss(seqs []uint64, known [][2]uint64, haveMeta bool, newest uint64) {
	ascending(seqs)
	prev := d.acked
	if !haveMeta && len(seqs) > 0 {
		prev = max(prev, seqs[0]-1) // how far the cursor had come is not known
	}
	sort.Slice(known, func(i, j int) bool { return known[i][0] < known[j][0] })
	lost := func(first, last uint64) {
		if first <= last {
			d.loss.add(first, last, "corrupt")
			d.loss.count("unknown", int(min(last-first+1, 1<<20)))
		}
	}
	gap := func(first, last uint64) {
		for _, k := range known {
			if k[1] < first || k[0] > last {
				continue
			}
			if k[0] > first {
				lost(first, k[0]-1)
			}
			first = k[1] + 1
		}
		lost(first, last)
	}
	for _, s := range seqs {
		if s > prev+1 {
			gap(prev+1, s-1)
		}
		prev = max(prev, s)
	}
	if d.next > prev+1 {
		gap(prev+1, d.next-1)
	}
	d.next = max(d.next, d.acked+1)
	// Bytes after the last good record of the newest run are a record that was being written as the power went, or one
	// that went bad since. Its number is not used again: the fleet may have seen it.
	torn := slices.ContainsFunc(slices.Concat(d.segs[plain], d.segs[critical]), func(s *segment) bool {
		return s.torn && s.boot >= newest
	})
	if torn {
		lost(d.next, d.next)
		d.next++
	}
}
