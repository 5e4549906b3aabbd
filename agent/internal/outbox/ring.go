package outbox

import (
	"crypto/rand"
	"slices"

	"posdx/agent/report"
)

// A ring keeps records in memory while flash takes none. It is an outbox of its own, with its own epoch: if the program
// ends its numbers end with it and can never be taken for others.
type ring struct {
	epoch  epoch
	next   uint64
	acked  uint64
	handed uint64
	recs   []frame
	bytes  int
	limit  int
	loss   loss
	packer *report.Packer // while it is in use: it is larger than the ring
}

// packFrom is the size of a document from which packing pays. A diagnosis shrinks to about an eighth: the ring holds
// those of a day and not of an hour.
const packFrom = 1 << 10

// ringOverhead is what a record costs beside its document.
const ringOverhead = 96

func newRing(limit int) (*ring, error) {
	r := &ring{next: 1, limit: limit}
	_, err := rand.Read(r.epoch[:])
	return r, err
}

// append keeps a record, dropping the oldest plain ones and then the oldest of all to make room.
func (r *ring) append(f frame) uint64 {
	seq := r.add(f)
	for r.bytes > r.limit && len(r.recs) > 1 {
		i := max(slices.IndexFunc(r.recs, func(f frame) bool { return !f.critical }), 0)
		r.drop(i)
	}
	return seq
}

// plain is a frame as it was given to the ring.
func (f frame) plain() frame {
	if !f.packed {
		return f
	}
	doc, err := report.Unpack(f.doc, MaxDoc)
	if err != nil {
		panic("outbox: the ring cannot read what it packed: " + err.Error())
	}
	f.doc, f.packed = doc, false
	return f
}

// drop notes a record as lost. A report of loss is not lost: the next one repeats what it said.
func (r *ring) drop(i int) {
	g := r.recs[i]
	r.loss.add(g.seq, g.seq, "space")
	if g.kind == report.KindDropped {
		r.loss.absorb(g.plain().doc, "space")
	} else {
		r.loss.count(g.kind, 1)
	}
	r.cut(i)
}

// report makes a record of the losses. It is made when all else has been given out, so that it is one report and not
// many.
func (r *ring) report(boot uint64) {
	part, rest := r.loss.split()
	r.loss = rest
	r.add(part.frame(boot))
}

// add keeps a record whatever the bound says; for a report of loss, which must not cause another.
func (r *ring) add(f frame) uint64 {
	f.seq = r.next
	f.doc = slices.Clone(f.doc)
	if len(f.doc) >= packFrom {
		if r.packer == nil {
			r.packer = new(report.Packer)
		}
		if doc := r.packer.Pack(f.doc); len(doc) < len(f.doc) {
			f.doc, f.packed = doc, true
		}
	}
	r.next++
	r.recs = append(r.recs, f)
	r.bytes += len(f.doc) + ringOverhead
	return f.seq
}

func (r *ring) cut(i int) {
	r.bytes -= len(r.recs[i].doc) + ringOverhead
	r.recs = slices.Delete(r.recs, i, i+1)
}

func (r *ring) ack(seq uint64) {
	r.acked = max(r.acked, min(seq, r.next-1))
	for len(r.recs) > 0 && r.recs[0].seq <= r.acked {
		r.cut(0)
	}
}

func (r *ring) nextAfter(seq uint64) (frame, bool) {
	for _, f := range r.recs {
		if f.seq > seq {
			return f.plain(), true
		}
	}
	return frame{}, false
}

func (r *ring) oldest() uint64 {
	if len(r.recs) > 0 {
		return r.recs[0].seq
	}
	return r.next
}

// move writes the records that nobody has been given yet to flash, oldest first, until keep fails. Their numbers in the
// ring count as dropped, without being reported: they go on under other numbers.
func (r *ring) move(keep func(frame) error) error {
	for i := 0; i < len(r.recs); {
		f := r.recs[i]
		switch {
		case f.seq <= r.handed:
			i++
			continue
		case f.kind == report.KindDropped:
			r.drop(i)
			continue
		}
		if err := keep(f.plain()); err != nil {
			return err
		}
		r.loss.add(f.seq, f.seq, "space")
		r.cut(i)
	}
	return nil
}

// release reports the losses after a move. The numbers above those that were given out are free again; if any of the
// others are lost, the ring has to report that itself.
func (r *ring) release() loss {
	r.packer = nil
	l := r.loss
	r.next = max(r.handed, r.acked) + 1
	l.below(r.next)
	if len(l.spans) > 0 {
		r.loss = l
		return loss{}
	}
	l = r.loss
	r.loss = loss{}
	return l
}
