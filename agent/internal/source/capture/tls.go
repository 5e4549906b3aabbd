package capture

import (
	"encoding/binary"
	"time"
)

// Record types and alerts of TLS (RFC 8446, sections 5.1 and 6).
const (
	recordChange    = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23

	alertFatal            = 2
	alertExpired          = 45
	alertUnknownCA        = 48
	alertCloseNotify      = 0
	recordHeader          = 5
	maxRecord             = 1<<14 + 2048
	maxHello              = 256     // a ServerHello is under 130 bytes
	maxClientHello        = 2 << 10 // one with a post-quantum share is of 1800 at most
	versionTLS13          = 0x0304
	extensionVersions     = 43
	serverHello           = 2
	alert13               = 2 + 1 + 16 // an alert of TLS 1.3: type and tag beside its two bytes
	finished256           = 4 + 32 + 1 + 16
	finished384           = 4 + 48 + 1 + 16
	helloVersionAndRandom = 4 + 2 + 32
)

// startsRecord tells whether data begin with the header of a TLS record. No length header of ISO 8583 looks like it: as
// a binary length it is too long, and as a BCD one no TPDU or message type follows it.
func startsRecord(b []byte) bool {
	return len(b) >= recordHeader && b[0] >= recordChange && b[0] <= recordData && b[1] == 3 && b[2] <= 4 &&
		int(binary.BigEndian.Uint16(b[3:])) <= maxRecord
}

// secure is what can be seen of a TLS connection from outside: how its handshake ends, and when who spoke.
type secure struct {
	up, down records
	begun    time.Time
	v13      bool
	done     bool // the handshake ended well
	told     bool // how it ended is handed on
	finished bool // TLS 1.3: the terminal's Finished is out
	exchange *exchange
	maybe    bool // TLS 1.3: the host spoke, which may be an answer or a session ticket
}

func (c *secure) side(up bool) *records {
	if up {
		return &c.up
	}
	return &c.down
}

// records reads the records of one direction. It keeps nothing of their content but the first hello and alerts that are
// not encrypted.
type records struct {
	header  [recordHeader]byte
	have    int // of header
	left    int // of the record's body
	small   []byte
	any     bool
	changed bool // what follows is encrypted (until TLS 1.2)
	astray  bool
}

func (r *records) lost() { r.have, r.left, r.small, r.astray = 0, 0, nil, true }

func (c *secure) push(f *flow, up bool, b []byte) {
	r := c.side(up)
	if r.astray {
		if !startsRecord(b) {
			return
		}
		r.astray = false
	}
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			most := maxHello
			if up {
				most = maxClientHello
			}
			if keep := min(n, most-len(r.small)); keep > 0 && r.reads() {
				r.small = append(r.small, b[:keep]...)
			}
			r.left -= n
			if b = b[n:]; r.left == 0 {
				c.record(f, up, r)
			}
			continue
		}
		n := copy(r.header[r.have:], b)
		r.have, b = r.have+n, b[n:]
		if r.have < recordHeader {
			return
		}
		if r.have = 0; !startsRecord(r.header[:]) {
			r.lost()
			return
		}
		if r.left = r.length(); r.left == 0 {
			c.record(f, up, r)
		}
	}
}

func (r *records) length() int { return int(binary.BigEndian.Uint16(r.header[3:])) }

// reads reports whether the body of the record is of use: the first hello, and alerts in clear.
func (r *records) reads() bool {
	return r.header[0] == recordHandshake && !r.any || r.header[0] == recordAlert && r.length() == 2
}

// record takes in that a record has come whole.
func (c *secure) record(f *flow, up bool, r *records) {
	size := r.length()
	body := r.small
	r.small = nil
	first := !r.any
	r.any = true
	switch r.header[0] {
	case recordHandshake:
		switch {
		case up && first:
			c.begun = f.t.now
			if h, ok := parseHello(body, recordHeader+size); ok {
				f.t.hello(f, h)
			}
		case !up && first:
			c.v13 = speaks13(body)
		}
	case recordChange:
		r.changed = true
		if !c.v13 && c.up.changed && c.down.changed {
			c.well(f)
		}
	case recordAlert:
		if size == 2 && len(body) == 2 && body[1] != alertCloseNotify && body[0] == alertFatal && !c.done {
			c.alert(f, up, body[1])
		}
	case recordData:
		c.data(f, up, size)
	}
}

// data takes a record whose content is encrypted. In TLS 1.3 such records are part of the handshake too: what the
// terminal sends until its Finished, and the session tickets of the host.
func (c *secure) data(f *flow, up bool, size int) {
	sure := c.done && !c.v13 // every record of data is data
	switch {
	case sure:
	case size == alert13:
		return
	case c.v13 && up && !c.finished:
		if c.finished = size == finished256 || size == finished384; c.finished {
			c.well(f)
		}
		return
	case c.v13 && !c.finished:
		return
	}
	switch e := c.exchange; {
	case up && (e == nil || !e.answer.IsZero() || c.maybe):
		c.exchange = &exchange{target: f.name, sent: f.t.now, connectMS: f.connectMS}
		f.connectMS, c.maybe = nil, false
		f.t.begin(c.exchange)
	case up:
		f.t.sentMore(e)
	case e == nil:
	case !sure:
		c.maybe = true
		f.t.unsure(e)
	case e.answer.IsZero():
		f.t.replied(e)
		f.path()
	}
}

func (c *secure) well(f *flow) {
	c.done = true
	if !c.told && !c.begun.IsZero() {
		c.told = true
		f.t.tls(f.name, "ok", f.t.now.Sub(c.begun).Milliseconds(), false)
	}
}

// alert takes the reason for which a handshake ended. What the terminal finds wrong with the host's certificate is
// reported only where the alert names it: most libraries send only that they do not accept it, and the check of posdx
// itself, whose connections are captured here too, finds the reason.
func (c *secure) alert(f *flow, up bool, description byte) {
	switch {
	case !up:
		c.badly(f, "protocol", false)
	case description == alertExpired:
		c.badly(f, "expired", false)
	case description == alertUnknownCA:
		c.badly(f, "unknown-ca", false)
	}
	c.told = true
}

func (c *secure) badly(f *flow, outcome string, reset bool) {
	if !c.told && !c.begun.IsZero() {
		c.told = true
		f.t.tls(f.name, outcome, f.t.now.Sub(c.begun).Milliseconds(), reset)
	}
}

// waits reports whether a request is left for certain without an answer.
func (c *secure) waits() bool { return c.exchange != nil && c.exchange.answer.IsZero() && !c.maybe }

// close takes in that the connection ended.
func (c *secure) close(f *flow, byHost, reset bool) {
	switch {
	case c.done || c.up.astray || c.down.astray:
	case byHost:
		c.badly(f, "protocol", reset)
	case !c.down.any:
		c.badly(f, "timeout", false)
	}
	if c.waits() {
		f.t.end(c.exchange)
	}
}

// speaks13 tells whether a ServerHello chose TLS 1.3. It does so by an extension; its version field stays at 1.2 (RFC
// 8446, section 4.1.3).
func speaks13(b []byte) bool {
	if len(b) < helloVersionAndRandom+1 || b[0] != serverHello {
		return false
	}
	b = b[helloVersionAndRandom:]
	session := int(b[0])
	if len(b) < 1+session+5 {
		return false
	}
	b = b[1+session+3:] // cipher suite and compression
	end := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if len(b) > end {
		b = b[:end]
	}
	for len(b) >= 4 {
		id, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; len(b) < n {
			return false
		}
		if id == extensionVersions && n == 2 {
			return binary.BigEndian.Uint16(b) == versionTLS13
		}
		b = b[n:]
	}
	return false
}
