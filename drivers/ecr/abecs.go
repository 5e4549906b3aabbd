package ecr

// abecs is the link to Brazil's PIN pads (ABECS protocol 2.20, chapter 2): SYN, data in which DC3, SYN and ETB are
// written as DC3 and the character with 20 added, ETB, and a CRC over data and ETB, high byte first.
type abecs struct {
	answers bool
}

func (abecs) cut(b []byte) (int, []byte, verdict) {
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

// read takes RSP_STAT, three digits behind the command's name. The blocks behind it hold tracks and PIN blocks; they
// are counted to see that this is an answer, and not looked at. Encrypted messages begin with DC2 and say nothing.
func (a abecs) read(b []byte) (Found, bool) {
	if !a.answers || len(b) == 0 || b[0] == 0x12 {
		return Found{}, true
	}
	c := cursor{rest: b}
	name := c.take(3)
	if len(c.rest) == 0 {
		return Found{}, true // ERR: no such command
	}
	status := c.take(3)
	if c.short || !allDigits(status) {
		return Found{}, string(name) == "ERR"
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
	if string(status) == "000" {
		return Found{}, true // a command that worked is not a sale that did
	}
	return Found{Kind: Result, Code: ABECS + ":" + string(status), Scheme: schemeLocal, Origin: FromTerminal}, true
}
