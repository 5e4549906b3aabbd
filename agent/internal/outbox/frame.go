package outbox

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math"
	"time"
)

// On flash. All numbers are little endian; every checksum is CRC-32C.
//
//	segment  header frame*
//	header   magic[8] epoch[16] base:8 acked:8 boot:8 on:4 crc:4
//	frame    len:4 crc:4 body[len]; crc covers epoch, len and body, so that a frame of another outbox is never taken
//	body     seq:8 acked:8 boot:8 on:4 time:8 flags:1 kindlen:1 kind doc
//	meta     magic[8] epoch[16] boot:8 acked:8 next:8 on:4 crc:4
//
// acked is the highest acknowledged sequence when the bytes were written, so the cursor costs no write of its own. on
// is how long the box had been open in its life, in seconds: the only clock retention believes.
const (
	segMagic  = "posdxsg1"
	metaMagic = "posdxmt1"
	headerLen = 8 + 16 + 8 + 8 + 8 + 4 + 4
	metaLen   = 8 + 16 + 8 + 8 + 8 + 4 + 4
	frameLen  = 4 + 4
	bodyLen   = 8 + 8 + 8 + 4 + 8 + 1 + 1
	maxKind   = 32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type epoch [16]byte

func (e epoch) String() string { return hex.EncodeToString(e[:]) }

type header struct {
	epoch             epoch
	base, acked, boot uint64
	on                uint32
}

func (h header) encode() []byte {
	b := append(make([]byte, 0, headerLen), segMagic...)
	b = append(b, h.epoch[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.base)
	b = binary.LittleEndian.AppendUint64(b, h.acked)
	b = binary.LittleEndian.AppendUint64(b, h.boot)
	b = binary.LittleEndian.AppendUint32(b, h.on)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeHeader(b []byte) (header, bool) {
	if !sealed(b, segMagic, headerLen) {
		return header{}, false
	}
	le := binary.LittleEndian
	return header{epoch(b[8:24]), le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint32(b[48:])}, true
}

// sealed tells whether b starts with a block of the given length whose magic and checksum hold.
func sealed(b []byte, magic string, length int) bool {
	return len(b) >= length && string(b[:8]) == magic &&
		crc32.Checksum(b[:length-4], castagnoli) == binary.LittleEndian.Uint32(b[length-4:])
}

type meta struct {
	epoch             epoch
	boot, acked, next uint64
	on                uint32
}

func (m meta) encode() []byte {
	b := append(make([]byte, 0, metaLen), metaMagic...)
	b = append(b, m.epoch[:]...)
	b = binary.LittleEndian.AppendUint64(b, m.boot)
	b = binary.LittleEndian.AppendUint64(b, m.acked)
	b = binary.LittleEndian.AppendUint64(b, m.next)
	b = binary.LittleEndian.AppendUint32(b, m.on)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMeta(b []byte) (meta, bool) {
	if !sealed(b, metaMagic, metaLen) {
		return meta{}, false
	}
	le := binary.LittleEndian
	return meta{epoch(b[8:24]), le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint32(b[48:])}, true
}

// A frame is one record as it lies in a segment.
type frame struct {
	seq, acked, boot uint64
	on               uint32
	time             int64 // Unix nanoseconds
	critical         bool
	kind             string
	doc              []byte
	packed           bool // doc is; in the ring only
}

func (f frame) encode(e epoch) []byte {
	n := bodyLen + len(f.kind) + len(f.doc)
	b := make([]byte, frameLen, frameLen+n)
	binary.LittleEndian.PutUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint64(b, f.seq)
	b = binary.LittleEndian.AppendUint64(b, f.acked)
	b = binary.LittleEndian.AppendUint64(b, f.boot)
	b = binary.LittleEndian.AppendUint32(b, f.on)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.time))
	var flags byte
	if f.critical {
		flags = 1
	}
	b = append(b, flags, byte(len(f.kind)))
	b = append(b, f.kind...)
	b = append(b, f.doc...)
	binary.LittleEndian.PutUint32(b[4:], frameSum(e, b))
	return b
}

func frameSum(e epoch, b []byte) uint32 {
	c := crc32.Update(0, castagnoli, e[:])
	c = crc32.Update(c, castagnoli, b[:4])
	return crc32.Update(c, castagnoli, b[frameLen:])
}

// decodeFrame reads the frame at the start of b. length is that of the whole frame; plausible tells whether its length
// field made it worth a checksum. The document is not copied.
func decodeFrame(e epoch, b []byte) (f frame, length int, plausible, ok bool) {
	if len(b) < frameLen+bodyLen {
		return f, 0, false, false
	}
	le := binary.LittleEndian
	n := le.Uint32(b)
	if n < bodyLen || uint64(n) > uint64(len(b)-frameLen) {
		return f, 0, false, false
	}
	length = frameLen + int(n)
	b = b[:length]
	if frameSum(e, b) != le.Uint32(b[4:]) {
		return f, length, true, false
	}
	p := b[frameLen:]
	k := int(p[37])
	if k > maxKind || bodyLen+k > len(p) {
		return f, length, true, false
	}
	f = frame{
		seq: le.Uint64(p), acked: le.Uint64(p[8:]), boot: le.Uint64(p[16:]), on: le.Uint32(p[24:]),
		time: int64(le.Uint64(p[28:])), critical: p[36]&1 != 0, kind: string(p[bodyLen : bodyLen+k]), doc: p[bodyLen+k:],
	}
	return f, length, true, f.seq != 0
}

// searchFactor bounds the search for the next good frame after a damaged one: checksums are computed over at most this
// many times the size of the segment, so that no content can make opening slow.
const searchFactor = 16

// scan calls fn for each good frame of a segment's bytes, in order. hole is the number of damaged bytes between good
// frames, tail that after the last one: what a cut tears is always a tail.
func scan(e epoch, b []byte, fn func(off, length int, f frame)) (hole, tail int) {
	work := searchFactor * len(b)
	off := min(headerLen, len(b))
	for off < len(b) {
		f, n, plausible, ok := decodeFrame(e, b[off:])
		if ok {
			hole += tail
			tail = 0
			fn(off, n, f)
			off += n
			continue
		}
		if plausible {
			work -= n
		}
		if work < 0 {
			return hole, tail + len(b) - off
		}
		tail++
		off++
	}
	return hole, tail
}

func unixTime(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// nano holds times within what 64 bits of nanoseconds can say: a terminal's clock may claim anything.
func nano(t time.Time) int64 {
	if y := t.Year(); y < 1970 || y > 2261 {
		return 0
	}
	return t.UnixNano()
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(int64(d/time.Second), 0), math.MaxUint32))
}
