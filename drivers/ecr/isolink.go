package ecr

import "bytes"

// isolink is a line that carries ISO 8583 messages behind a length header and nothing else, as terminals send them
// through a converter or a radio modem in transparent mode. It has no check sum: a frame is sound if a dialect reads
// the message to its last byte.
type isolink struct{ tags *Tags }

func (isolink) cut(b []byte) (int, []byte, verdict) {
	wait := false
	for _, l := range [...]LengthHeader{Binary2, BCD2, ASCII4} {
		if len(b) < l.Size() {
			wait = true
			continue
		}
		n, err := l.length(b[:l.Size()])
		if err != nil || len(b) > l.Size() && !beginsMessage(b[l.Size()]) {
			continue
		}
		if len(b) < l.Size()+n {
			wait = true
			continue
		}
		message := b[l.Size() : l.Size()+n]
		if _, err := parse(bytes.Clone(message), nil, nil); err == nil {
			return l.Size() + n, message, sound
		}
	}
	if wait {
		return 0, nil, more
	}
	return single(b[0])
}

// beginsMessage tells whether a message may begin with c: a TPDU or POS header, or a message type of version 0 to 2,
// packed or in ASCII.
func beginsMessage(c byte) bool {
	return c>>4 == 6 || c>>4 <= 2 && c&15 >= 1 && c&15 <= 8 || c >= '0' && c <= '2'
}

func (p isolink) read(b []byte) (Found, bool) { return passed(b, p.tags), true }
