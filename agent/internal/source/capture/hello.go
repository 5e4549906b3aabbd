package capture

import (
	"encoding/binary"

	"posdx/agent/internal/source"
)

const (
	clientHello   = 1
	extensionName = 0 // server_name (RFC 6066, section 3)
	maxName       = 253
	versionTLCP   = 0x0101
)

// helloTLCP tells whether data begin with a hello of the national protocol (GB/T 38636-2020), and its record's size.
// Nothing more of it is read.
func helloTLCP(b []byte) (size int, ok bool) {
	if len(b) <= recordHeader || b[0] != recordHandshake || b[recordHeader] != clientHello ||
		binary.BigEndian.Uint16(b[1:]) != versionTLCP {
		return 0, false
	}
	return recordHeader + int(binary.BigEndian.Uint16(b[3:])), true
}

// parseHello reads how a program opens its handshakes (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2). size is
// that of the whole record. Members that were cut off, or make no sense, stay empty.
func parseHello(b []byte, size int) (h source.Hello, ok bool) {
	if len(b) < helloVersionAndRandom+1 || b[0] != clientHello {
		return h, false
	}
	h.Size, h.Version = size, binary.BigEndian.Uint16(b[4:])
	b = b[helloVersionAndRandom:]
	next := func(width int) (part []byte, ok bool) { // a part with its length before it
		if len(b) < width {
			return nil, false
		}
		n := int(b[0])
		if width == 2 {
			n = int(binary.BigEndian.Uint16(b))
		}
		if len(b) < width+n {
			return nil, false
		}
		part, b = b[width:width+n], b[width+n:]
		return part, true
	}
	for _, width := range []int{1, 2, 1} { // session, cipher suites, compression
		if _, ok := next(width); !ok {
			return h, false
		}
	}
	if len(b) == 0 {
		return h, true // an old client has no extensions
	}
	if b, ok = next(2); !ok {
		return h, false
	}
	for len(b) >= 4 {
		id := binary.BigEndian.Uint16(b)
		b = b[2:]
		data, ok := next(2)
		if !ok {
			return h, false
		}
		switch id {
		case extensionName:
			if len(data) > 5 && data[2] == 0 && int(binary.BigEndian.Uint16(data[3:])) == len(data)-5 && hostname(data[5:]) {
				h.Name = string(data[5:])
			}
		case extensionVersions:
			for v := data[min(len(data), 1):]; len(v) >= 2; v = v[2:] {
				if n := binary.BigEndian.Uint16(v); n > h.Version && n <= versionTLS13 {
					h.Version = n
				}
			}
		}
	}
	return h, true
}

// hostname tells whether bytes are a host name: what is learnt from a wire is sent again, to the same place.
func hostname(b []byte) bool {
	if len(b) > maxName {
		return false
	}
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
