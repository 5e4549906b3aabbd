package frame

// The link of Brazil's PIN pads: ABECS protocol 2.12 and 2.20, chapter 2. A message is SYN, text in which DC3, SYN and
// ETB are written as DC3 and the character with 20 added, ETB, and a CRC over text and ETB, high byte first.

const (
	abecsSYN = 0x16
	abecsETB = 0x17
	abecsDC3 = 0x13
	abecsACK = 0x06
	abecsNAK = 0x15
	abecsEOT = 0x04
	abecsMax = 2049 // longest message, unstuffed
)

// ABECSEncrypted is the first byte of an encrypted message.
const ABECSEncrypted = 0x12

// ABECSFrame appends a message to dst as it goes over the line (ABECS 2.12, 2.2.1).
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

// An ABECSToken is one thing that was found on a PIN pad's line.
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

// An ABECSStep says what one more byte within a message is.
type ABECSStep byte

// What a byte within a message means.
const (
	ABECSInside ABECSStep = iota // it is part of the framing, and the message goes on
	ABECSData                    // it brings one byte of the message
	ABECSWhole                   // the message ends with it, and its check sum is right
	ABECSSpoilt                  // the message ends with it, and its check sum is wrong
	ABECSBroken                  // it cannot stand here: no message, or one that lost its end
)

// An ABECSReader follows a message, beginning with the byte behind its SYN. It stores none of it. The zero value is
// ready.
type ABECSReader struct {
	sum   uint16
	place abecsPlace
}

type abecsPlace byte

const (
	inText abecsPlace = iota
	behindDC3
	inSumHigh
	inSumLow
)

// Next takes one byte. With ABECSData it returns the byte of the message. After a message has ended the caller begins
// with a new reader.
func (r *ABECSReader) Next(c byte) (ABECSStep, byte) {
	switch r.place {
	case inText:
		switch c {
		case abecsSYN:
			return ABECSBroken, 0
		case abecsDC3:
			r.place = behindDC3
			return ABECSInside, 0
		case abecsETB:
			r.sum, r.place = CRC16(r.sum, c), inSumHigh
			return ABECSInside, 0
		}
	case behindDC3:
		if c != abecsDC3+0x20 && c != abecsSYN+0x20 && c != abecsETB+0x20 {
			return ABECSBroken, 0
		}
		r.place = inText
		c -= 0x20
	case inSumHigh:
		r.sum ^= uint16(c) << 8
		r.place = inSumLow
		return ABECSInside, 0
	case inSumLow:
		if r.sum != uint16(c) {
			return ABECSSpoilt, 0
		}
		return ABECSWhole, 0
	}
	r.sum = CRC16(r.sum, c)
	return ABECSData, c
}

// CutABECS looks for a whole message at the beginning of b, which must begin with SYN. It returns how the message
// stands (ABECSInside: more bytes must come) and how many bytes it takes, SYN and check sum included. A whole message
// is unstuffed in place, in b.
func CutABECS(b []byte) (step ABECSStep, size int, message []byte) {
	var r ABECSReader
	for i := 1; i < len(b); i++ {
		if step, _ = r.Next(b[i]); step > ABECSData {
			if step == ABECSWhole {
				message = unstuff(b[1 : i-2])
			}
			return step, i + 1, message
		}
	}
	return ABECSInside, len(b), nil
}

func unstuff(b []byte) []byte {
	n := 0
	for i := 0; i < len(b); i++ {
		b[n] = b[i]
		if b[i] == abecsDC3 {
			i++
			b[n] = b[i] - 0x20
		}
		n++
	}
	return b[:n]
}

// An ABECSDecoder cuts a byte stream, in either direction, into messages. It holds at most one.
type ABECSDecoder struct {
	buf    [abecsMax]byte
	n      int
	inside bool
	reader ABECSReader
}

// Pending reports whether a message has begun and not ended.
func (d *ABECSDecoder) Pending() bool { return d.inside }

// Reset forgets a message that has begun.
func (d *ABECSDecoder) Reset() {
	clear(d.buf[:d.n])
	d.n, d.inside, d.reader = 0, false, ABECSReader{}
}

// Push takes one byte. It returns true with what the byte completed. The message is valid until the next Push; the
// caller clears what it does not need.
func (d *ABECSDecoder) Push(c byte) (ABECSToken, []byte, bool) {
	if !d.inside {
		switch c {
		case abecsSYN:
			d.Reset()
			d.inside = true
			return 0, nil, false
		case abecsACK:
			return ABECSAck, nil, true
		case abecsNAK:
			return ABECSNak, nil, true
		case abecsEOT:
			return ABECSEot, nil, true
		}
		return ABECSNoise, nil, true
	}
	switch step, text := d.reader.Next(c); step {
	case ABECSData:
		if d.n == len(d.buf) {
			d.Reset()
			return ABECSNoise, nil, true
		}
		d.buf[d.n] = text
		d.n++
	case ABECSWhole:
		message := d.buf[:d.n]
		d.n, d.inside, d.reader = 0, false, ABECSReader{}
		return ABECSMessage, message, true
	case ABECSSpoilt:
		d.Reset()
		return ABECSDamaged, nil, true
	case ABECSBroken:
		d.Reset()
		d.inside = c == abecsSYN // the message before lost its end, and this one begins
		return ABECSNoise, nil, true
	}
	return 0, nil, false
}
