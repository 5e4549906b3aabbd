package ecr

import (
	"posdx/drivers/frame"
)

// mispos is the frame of China's MIS-POS terminals. The members and their meaning are those of one client's source
// (IngPosCom.cpp); a second, independent one (Commlib.c) has the same frame around whole ISO 8583 packets. LRC is the
// XOR of all from the length to ETX.
type mispos struct{ tags *Tags }

const misposHead = 3 // STX and length

func (mispos) cut(b []byte) (int, []byte, verdict) {
	if b[0] != stx {
		return single(b[0])
	}
	if len(b) < misposHead {
		if len(b) == 2 && !allBCD(b[1:]) {
			return 1, nil, noise
		}
		return 0, nil, more
	}
	if !allBCD(b[1:misposHead]) {
		return 1, nil, noise
	}
	n := int(b[1]>>4)*1000 + int(b[1]&15)*100 + int(b[2]>>4)*10 + int(b[2]&15)
	if n > MaxMessage {
		return 1, nil, oversize
	}
	if n == 0 {
		return 1, nil, noise
	}
	// An STX within other data is known by what follows it, before a length that it does not have holds frames up.
	if len(b) > misposHead && b[misposHead] != 0xDF && b[misposHead] != 0x60 {
		return 1, nil, noise
	}
	end := misposHead + n
	if len(b) < end+2 {
		if len(b) > end && b[end] != etx {
			return 1, nil, damaged
		}
		return 0, nil, more
	}
	if b[end] != etx || frame.XOR(0, b[1:end+1]) != b[end+1] {
		return 1, nil, damaged
	}
	return end + 2, b[misposHead:end], sound
}

// read walks the members. Expiry (DF1F) and texts are stepped over; of the card number (DF1E) is told which it is.
func (p mispos) read(b []byte) (Found, bool) {
	if b[0] == 0x60 {
		return passed(b, p.tags), true
	}
	var result, inner, card []byte
	var through, asks, answer bool
	for c := (cursor{rest: b}); len(c.rest) > 0; {
		tag := c.take(2)
		if c.short || tag[0] != 0xDF {
			return Found{}, false
		}
		v := c.ber()
		if c.short {
			return Found{}, false
		}
		switch tag[1] {
		case 0x01:
			through, answer = len(v) == 1 && v[0] == 1, len(v) == 1 && v[0] == 2
		case 0x03, 0x16, 0x18, 0x19:
			asks = true // an amount, or the authorisation, receipt or reference of a sale before
		case 0x06:
			inner = v // a packet for the host, or text for the printer
		case 0x07:
			result = v
		case 0x1E:
			card = v
		}
	}
	var f Found
	if through {
		f = passed(inner, p.tags)
	}
	if f.Card == (Card{}) {
		f.Card = p.tags.card(card, false)
	}
	switch {
	case len(result) == 2 && f.Kind != Result:
		code := plain(result, 2)
		if code == "" {
			return Found{}, false
		}
		f.Kind, f.Code, f.Origin = Result, code, FromHost
		f.Approved = code == "00" || code == "Y1" || code == "Y2" || code == "Y3"
	case len(result) == 4 && (result[0]|result[1]|result[2]|result[3]) != 0:
		code := bcd(result, 8)
		if code == "" {
			return Found{}, false
		}
		f.Kind, f.Code, f.Origin, f.Scheme, f.Approved = Result, code, FromTerminal, schemeLocal, false
	case result == nil && asks && !through && !answer && f.Kind == Nothing:
		f.Kind = Start
	}
	return f, true
}

// passed is what is found in an ISO 8583 message that crosses the link on its way to or from the host. In one that
// cannot be read nothing is found.
func passed(b []byte, tags *Tags) Found {
	m, err := parse(b, tags, nil)
	if err != nil {
		return Found{}
	}
	f := Found{Code: m.Code, Scheme: m.Scheme(), Origin: FromHost, MTI: m.MTI, STAN: m.STAN, Terminal: m.Terminal,
		Card: m.Card}
	switch {
	case m.Response() && (m.Code == "" || m.Approves() && !m.Sale()):
		// A sign-in or a reversal that worked is no sale; a settlement has ended nothing that began one.
		f.Kind, f.Code, f.Scheme, f.Origin = End, "", "", ""
		if !m.Sale() && !m.Reversal() {
			return Found{}
		}
	case m.Response():
		f.Kind, f.Approved = Result, m.Approves()
	case m.Reversal() && m.Code != "":
		f.Kind, f.Origin = Result, FromTerminal
	case m.Sale(), m.Reversal():
		f.Kind, f.Code, f.Scheme, f.Origin = Start, "", "", ""
	default:
		return Found{}
	}
	return f
}

// ber takes a length as BER writes it, of at most two bytes more, and that many bytes.
func (c *cursor) ber() []byte {
	head := c.take(1)
	if c.short {
		return nil
	}
	n := int(head[0])
	if n > 0x80 && n <= 0x82 {
		size := c.take(n - 0x80)
		n = 0
		for _, b := range size {
			n = n<<8 | int(b)
		}
	} else if n >= 0x80 {
		c.short = true
	}
	if c.short {
		return nil
	}
	return c.take(n)
}
