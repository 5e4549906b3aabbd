package capture

import (
	"encoding/binary"
	"net/netip"
)

// TCP flags (RFC 9293, section 3.1).
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	_
	flagACK
)

// A segment is one TCP segment. Its data are those of the packet it was read from: card data may be among them.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
	flags    byte
	data     []byte
	cut      int // bytes of data that the packet had and that were not captured
}

func (s segment) is(flag byte) bool { return s.flags&flag != 0 }

const (
	ip4Header = 20
	ip6Header = 40
	tcpHeader = 20
	protoTCP  = 6
)

// parse reads an IP packet (RFC 791, RFC 8200) without its link header; false if it has no whole TCP header. Bytes
// beyond the packet's own length are padding of the link. Fragments are refused: only the first would have ports.
func parse(b []byte) (s segment, ok bool) {
	var from, to netip.Addr
	total := 0
	switch {
	case len(b) >= ip4Header && b[0]>>4 == 4:
		header := int(b[0]&15) * 4
		total = int(binary.BigEndian.Uint16(b[2:]))
		if header < ip4Header || b[9] != protoTCP || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return s, false
		}
		from, to = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		if total == 0 {
			total = len(b) // a packet of 64 kB or more that the card will cut up
		}
		if total < header || len(b) < header {
			return s, false
		}
		b, total = b[header:], total-header
	case len(b) >= ip6Header && b[0]>>4 == 6:
		if b[6] != protoTCP {
			return s, false
		}
		total = int(binary.BigEndian.Uint16(b[4:]))
		from, to = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		if b = b[ip6Header:]; total == 0 {
			total = len(b)
		}
	default:
		return s, false
	}
	if len(b) > total {
		b = b[:total]
	}
	if len(b) < tcpHeader {
		return s, false
	}
	offset := int(b[12]>>4) * 4
	if offset < tcpHeader || offset > len(b) {
		return s, false
	}
	return segment{
		from: netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)),
		to:   netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])),
		seq:  binary.BigEndian.Uint32(b[4:]), ack: binary.BigEndian.Uint32(b[8:]), flags: b[13],
		data: b[offset:], cut: total - len(b),
	}, true
}
