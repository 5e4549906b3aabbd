package ecr

// abecs is the link to Brazil's PIN pads (ABECS protocol 2.20, chapter 2): SYN, data in which DC3, SYN and ETB are
// written as DC3 and the character with 20 added, ETB, and a CRC over data and ETB, high byte first.
type abecs struct {
	answers bool
}

func (a abecs) cut(b []byte) (int, []byte, verdict) {
	if a.answers && b[0] == eot {
		return 1, b[:1], control // what ran was cancelled
	}
	if b[0] != syn {
		return single(b[0])
	}
	var sum uint16
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case syn:
			return 1, nil, noise
		case dc3:
			if i++; i == len(b) {
				return 0, nil, more
			}
			if b[i] != '3' && b[i] != '6' && b[i] != '7' {
				return 1, nil, noise
			}
			sum = crcStraight(sum, b[i]-0x20)
		case etb:
			if len(b) < i+3 {
				return 0, nil, more
			}
			if sum = crcStraight(sum, etb); byte(sum>>8) != b[i+1] || byte(sum) != b[i+2] {
				return 1, nil, damaged
			}
			return i + 3, unescape(b[1:i]), sound
		default:
			sum = crcStraight(sum, b[i])
		}
	}
	return 0, nil, more
}

// crcStraight is CRC-16 with the polynomial 1021, high bit first.
func crcStraight(sum uint16, c byte) uint16 {
	sum ^= uint16(c) << 8
	for range 8 {
		if sum&0x8000 != 0 {
			sum = sum<<1 ^ 0x1021
		} else {
			sum <<= 1
		}
	}
	return sum
}

func unescape(b []byte) []byte {
	n := 0
	for i := 0; i < len(b); i++ {
		b[n] = b[i]
		if b[i] == dc3 {
			i++
			b[n] = b[i] - 0x20
		}
		n++
	}
	return b[:n]
}

// abecsSale tells whether a command takes a card, a PIN or a decision of a chip (chapter 3).
func abecsSale(name string) bool {
	switch name {
	case "GCR", "GCX", "GCD", "GTK", "GPN", "GOC", "GOX", "CNG", "CHP", "FNC", "FCX":
		return true
	}
	return false
}

// abecsEnds tells whether a sale is over when the pad has answered this: the chip has decided, the card is out, the session
// is closed.
func abecsEnds(name string) bool {
	switch name {
	case "FNC", "FCX", "RMC", "CLO", "CLX":
		return true
	}
	return false
}

// read takes the command's name and RSP_STAT, three digits behind it. The blocks behind hold tracks and PIN blocks; they
// are counted to see that this is an answer, and not looked at. Encrypted messages begin with DC2 and say nothing.
func (a abecs) read(b []byte) (Found, bool) {
	if a.answers && len(b) == 1 && b[0] == eot {
		return Found{Kind: End}, true
	}
	if len(b) == 0 || b[0] == 0x12 {
		return Found{}, true
	}
	c := cursor{rest: b}
	name := string(c.take(3))
	if !a.answers {
		if abecsSale(name) {
			return Found{Kind: Start}, true
		}
		return Found{}, true
	}
	if len(c.rest) == 0 {
		return Found{}, true // ERR: no such command
	}
	status := c.take(3)
	if c.short || !allDigits(status) {
		return Found{}, name == "ERR"
	}
	for len(c.rest) > 0 {
		size := c.take(3)
		if c.short || !allDigits(size) {
			return Found{}, false
		}
		if c.take(int(size[0]-'0')*100 + int(size[1]-'0')*10 + int(size[2]-'0')); c.short {
			return Found{}, false
		}
	}
	if string(status) != "000" {
		return Found{Kind: Result, Code: ABECS + ":" + string(status), Scheme: schemeLocal, Origin: FromTerminal}, true
	}
	if abecsEnds(name) {
		return Found{Kind: End}, true
	}
	return Found{}, true // a command that worked is not a sale that did
}
