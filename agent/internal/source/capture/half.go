package capture

import "time"

// lateFill is how late a segment that fills a gap must be to count as a retransmission: segments that merely arrive out
// of order are less far apart.
const lateFill = 20 * time.Millisecond

// Bounds of reassembly.
const (
	// ahead is how far before the next byte a segment may be: the largest window of a payment link and then some. What is
	// further belongs to no connection that is known.
	ahead = 1 << 20
	// maxHeld and maxHeldSegments bound what waits in one direction for what was lost before it.
	maxHeld         = 16 << 10
	maxHeldSegments = 16
	// maxWaiting bounds it for all connections together.
	maxWaiting = 64 << 10
)

// A consumer reads one direction of a connection in order. It may keep nothing of what it is handed.
type consumer interface {
	push(data []byte) // the data of one segment, or of its part that is new
	lost()            // bytes are missing before the next push
}

// A half puts the segments of one direction into order.
type half struct {
	to    consumer
	next  uint32 // sequence number of the next byte
	known bool   // next is known
	iface int    // where the newest data came in
	held  []piece
	bytes int  // in held
	total *int // in held, all halves together

	hole  time.Time // since when something is held
	end   uint32    // sequence number of the FIN
	ended bool      // end is known

	segments, again int // with data; of them sent again
	gaps            int // bytes that were never seen, in how many places
}

// A piece is a segment that came before its turn.
type piece struct {
	seq  uint32
	data []byte
}

// begin says that the first byte will have this number.
func (h *half) begin(next uint32) {
	h.drop()
	h.next, h.known, h.ended = next, true, false
}

// fin takes in that the side will send nothing from this number on.
func (h *half) fin(seq uint32) {
	h.end, h.ended = seq, true
	h.over()
}

// over reports whether everything before the FIN was read.
func (h *half) over() bool {
	if h.ended && h.known && h.next == h.end {
		h.next++ // a FIN has a number of its own
	}
	return h.ended && h.known && h.next == h.end+1
}

// segment takes a segment's data. iface tells a segment that is seen on two interfaces, of a bridge or a VLAN, from one
// that is retransmitted.
func (h *half) segment(now time.Time, seq uint32, data []byte, cut, iface int) {
	if len(data) == 0 && cut == 0 {
		return
	}
	if !h.known {
		h.next, h.known = seq, true
	}
	first := int32(seq - h.next)
	last := first + int32(len(data)+cut)
	switch {
	case first > ahead || first < -ahead:
		return
	case last <= 0:
		// A keep-alive probe repeats one byte, or sends a wrong one in its place (RFC 1122, 4.2.3.6): nothing was lost.
		if iface == h.iface && len(data) > 1 {
			h.segments++
			h.again++
		}
		return
	case first > 0:
		h.hold(now, seq, data, iface)
		return
	case first < 0:
		if int(-first) >= len(data) { // only what was cut off is new
			h.skip(uint32(last))
			return
		}
		data = data[-first:]
	}
	h.segments++
	if len(h.held) > 0 && now.Sub(h.hole) >= lateFill {
		h.again++
		h.hole = now
	}
	h.iface = iface
	h.next += uint32(len(data))
	h.to.push(data)
	if cut > 0 {
		h.skip(uint32(cut))
	}
	h.drain()
}

// skip goes over bytes that will not be seen.
func (h *half) skip(n uint32) {
	h.gaps++
	h.next += n
	h.to.lost()
}

// hold keeps a segment that came before its turn. Where there is no room it is dropped: when the other side
// acknowledges it, it counts as a gap.
func (h *half) hold(now time.Time, seq uint32, data []byte, iface int) {
	for _, p := range h.held {
		if p.seq == seq && len(p.data) >= len(data) {
			if iface == h.iface {
				h.segments++
				h.again++
			}
			return
		}
	}
	if len(h.held) == maxHeldSegments || h.bytes+len(data) > maxHeld || *h.total+len(data) > maxWaiting {
		return
	}
	if len(h.held) == 0 {
		h.hole = now
	}
	h.held = append(h.held, piece{seq, append([]byte(nil), data...)})
	h.bytes += len(data)
	*h.total += len(data)
}

// drain hands on what is held and has its turn now.
func (h *half) drain() {
	for i := 0; i < len(h.held); {
		p := h.held[i]
		behind := int32(h.next - p.seq)
		if behind < 0 {
			i++
			continue
		}
		if int(behind) < len(p.data) {
			fresh := p.data[behind:]
			h.segments++
			h.next += uint32(len(fresh))
			h.to.push(fresh)
		}
		h.forget(i)
		i = 0 // what was passed over may have its turn now
	}
}

func (h *half) forget(i int) {
	p := h.held[i]
	clear(p.data)
	h.bytes -= len(p.data)
	*h.total -= len(p.data)
	n := copy(h.held[i:], h.held[i+1:])
	h.held[i+n] = piece{}
	h.held = h.held[:i+n]
}

// received takes the other side's acknowledgement of everything before ack. What of that was not captured here will not
// be sent again: it was lost on the way to this process, not on the line.
func (h *half) received(ack uint32) {
	if !h.known {
		return
	}
	for {
		h.over()
		missing := int32(ack - h.next)
		if missing <= 0 {
			return
		}
		if missing > ahead {
			h.known = false // another connection with the same ports
			h.drop()
			h.to.lost()
			return
		}
		jump := uint32(missing)
		for _, p := range h.held {
			jump = min(jump, p.seq-h.next)
		}
		h.skip(jump)
		h.drain()
	}
}

// drop forgets what is held.
func (h *half) drop() {
	for len(h.held) > 0 {
		h.forget(len(h.held) - 1)
	}
}
