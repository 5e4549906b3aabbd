package frame

// The link of Brazil's PIN pads: ABECS protocol 2.12 and 2.20, chapter 2.

const (
	abecsSYN = 0x16
	abecsETB = 0x17
	abecsDC3 = 0x13
	abecsACK = 0x06
	abecsNAK = 0x15
	abecsEOT = 0x04
	abecsMax = 2049 // longest message, unstuffed
)

// ABECSEncrypted begins an encrypted message.
const ABECSEncrypted = 0x12

// ABECSFrame appends a message as it goes over the line (2.2.1).
func ABECSFrame(dst, message []byte) []byte {
	dst = append(dst, abecsSYN)
	var sum uint16
	for _, c := range message {
		sum = CRC16(sum, c)
		switch c {
		case abecsSYN, abecsETB, abecsDC3:
			dst = append(dst, abecsDC3, c+0x20)
		default:
			dst = append(dst, c)
		}
	}
	sum = CRC16(sum, abecsETB)
	return append(dst, abecsETB, byte(sum>>8), byte(sum))
}

// An ABECSToken is one thing on a PIN pad's line.
type ABECSToken byte

// The things on a PIN pad's line.
const (
	ABECSMessage ABECSToken = iota
	ABECSAck
	ABECSNak
	ABECSEot
	ABECSDamaged // a message whose check sum is wrong
	ABECSNoise   // a byte that belongs to nothing
)

// An ABECSDecoder cuts a byte stream, in either direction, into messages. It holds at most one.
type ABECSDecoder struct {
	buf   [abecsMax]byte
	n     int
	sum   uint16
	state byte // 0 outside, 1 inside, 2 behind DC3, 3 and 4 in the check sum
}

// Pending says that a message has begun and not ended.
func (d *ABECSDecoder) Pending() bool { return d.state > 0 }

// Reset forgets a message that has begun.
func (d *ABECSDecoder) Reset() {
	clear(d.buf[:d.n])
	d.n, d.sum, d.state = 0, 0, 0
}

// Push takes one byte. It returns true with what the byte completed. The message is valid until the next Push; the caller
// clears what it does not need.
func (d *ABECSDecoder) Push(c byte) (ABECSToken, []byte, bool) {
	switch d.state {
	case 0:
		switch c {
		case abecsSYN:
			d.Reset()
			d.state = 1
			return 0, nil, false
		case abecsACK:
			return ABECSAck, nil, true
		case abecsNAK:
			return ABECSNak, nil, true
		case abecsEOT:
			return ABECSEot, nil, true
		}
		return ABECSNoise, nil, true
	case 1:
		switch c {
		case abecsSYN: // the one before lost its end
			d.Reset()
			d.state = 1
			return ABECSNoise, nil, true
		case abecsDC3:
			d.state = 2
			return 0, nil, false
		case abecsETB:
			d.sum, d.state = CRC16(d.sum, c), 3
			return 0, nil, false
		}
		return d.take(c)
	case 2:
		if c != abecsDC3+0x20 && c != abecsSYN+0x20 && c != abecsETB+0x20 {
			d.Reset()
			return ABECSNoise, nil, true
		}
		d.state = 1
		return d.take(c - 0x20)
	case 3:
		d.sum ^= uint16(c) << 8
		d.state = 4
		return 0, nil, false
	}
	if d.sum != uint16(c) {
		d.Reset()
		return ABECSDamaged, nil, true
	}
	message := d.buf[:d.n]
	d.n, d.sum, d.state = 0, 0, 0
	return ABECSMessage, message, true
}

func (d *ABECSDecoder) take(c byte) (ABECSToken, []byte, bool) {
	if d.n == len(d.buf) {
		d.Reset()
		return ABECSNoise, nil, true
	}
	d.buf[d.n] = c
	d.n++
	d.sum = CRC16(d.sum, c)
	return 0, nil, false
}
