package reader

import (
	"encoding/binary"
	"strconv"

	"posdx/drivers/serial"
)

// Brazil's PIN pads: ABECS protocol 2.12 and 2.20, chapter 2 (link) and 3.2 (control). The pad never speaks unasked.
// Only GIX and GIN are ever sent, which read what the pad is. OPN would end a secure session of the payment application,
// CLX would clear the display, and CAN aborts whatever runs: they are not in this package.

const (
	abecsSYN = 0x16
	abecsETB = 0x17
	abecsDC3 = 0x13
	abecsACK = 0x06
	abecsNAK = 0x15
	abecsEOT = 0x04
	abecsDC2 = 0x12 // begins an encrypted message
	abecsMax = 2049 // longest message, unstuffed
)

// ABECSFrame appends a message as it goes over the line (2.2.1).
func ABECSFrame(dst, message []byte) []byte {
	dst = append(dst, abecsSYN)
	var sum uint16
	for _, c := range message {
		sum = crcX(sum, c)
		switch c {
		case abecsSYN, abecsETB, abecsDC3:
			dst = append(dst, abecsDC3, c+0x20)
		default:
			dst = append(dst, c)
		}
	}
	sum = crcX(sum, abecsETB)
	return append(dst, abecsETB, byte(sum>>8), byte(sum))
}

// crcX is one step of CRC-16 with polynomial 1021, high bit first.
func crcX(sum uint16, c byte) uint16 {
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
			d.sum, d.state = crcX(d.sum, c), 3
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
	d.sum = crcX(d.sum, c)
	return 0, nil, false
}

// A KeyKind is a kind of key in a PIN pad (3.1.3.2, PP_MKTDESP and the following).
type KeyKind byte

// Kinds of keys.
const (
	KeyMasterPIN KeyKind = iota
	KeyMasterData
	KeyDUKPTPIN
	KeyDUKPTData
	KeyKinds
)

func (k KeyKind) String() string {
	return [...]string{"mk-pin", "mk-data", "dukpt-pin", "dukpt-data"}[min(k, KeyDUKPTData)]
}

// A KeyMap says of each of a hundred places whether a key is there: '0' no, '1' yes, '2' no such place. It is empty if the
// pad did not say. No key ever crosses the line.
type KeyMap string

// Loaded counts the keys.
func (m KeyMap) Loaded() (n int) {
	for i := range len(m) {
		if m[i] == '1' {
			n++
		}
	}
	return n
}

// Has says whether a key is in a place, and whether the pad told.
func (m KeyMap) Has(place int) (yes, known bool) {
	if place < 0 || place >= len(m) {
		return false, false
	}
	return m[place] == '1', true
}

// A PINPad is what a PIN pad told of itself. Its serial number is not asked for.
type PINPad struct {
	Model, Maker, Firmware, Spec string
	Keys                         [KeyKinds]KeyMap
	// Status is RSP_STAT of an answer that was no yes: 009 while the application holds a secure session, 010 for a command
	// that is not known, 040 for an internal error; "" else.
	Status string
	Health Health
}

// Numbers of what GIX returns (3.2.4).
const (
	ppModel    = 0x8003
	ppMaker    = 0x8004
	ppFirmware = 0x8006
	ppSpec     = 0x8007
	ppMKPIN    = 0x8032
	ppMKData   = 0x8033
	ppDUKPTPIN = 0x8035
	ppDUKPTDat = 0x8036
)

// gix asks for them: SPE_IDLIST, 0001.
func gix() []byte {
	ids := []uint16{ppModel, ppMaker, ppFirmware, ppSpec, ppMKPIN, ppMKData, ppDUKPTPIN, ppDUKPTDat}
	b := append([]byte("GIX0"), strconv.Itoa(4+2*len(ids))...)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(ids)))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return b
}

// answer splits an answer into its name, status and blocks. Only those of GIX and GIN have blocks that are looked at:
// all others may hold a card's.
func abecsAnswer(b []byte) (name, status string, blocks [][]byte) {
	if len(b) < 6 || b[0] == abecsDC2 || !digits(b[3:6]) {
		return "", "", nil
	}
	name, status = serial.Label(b[:3]), string(b[3:6])
	if name != "GIX" && name != "GIN" {
		return name, status, nil
	}
	for b = b[6:]; len(b) > 0; {
		if len(b) < 3 || !digits(b[:3]) {
			return "", "", nil
		}
		size := int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
		if b = b[3:]; size > len(b) {
			return "", "", nil
		}
		blocks, b = append(blocks, b[:size]), b[size:]
	}
	return name, status, blocks
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// extended reads the blocks of GIX: a number, a length and a value each.
func (p *PINPad) extended(b []byte) {
	for len(b) >= 4 {
		id, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; size > len(b) {
			return
		}
		v := b[:size]
		b = b[size:]
		switch id {
		case ppModel:
			p.Model = serial.Label(v)
		case ppMaker:
			p.Maker = serial.Label(v)
		case ppFirmware:
			p.Firmware = serial.Label(v)
		case ppSpec:
			p.Spec = serial.Label(v)
		case ppMKPIN:
			p.Keys[KeyMasterPIN] = keyMap(v)
		case ppMKData:
			p.Keys[KeyMasterData] = keyMap(v)
		case ppDUKPTPIN:
			p.Keys[KeyDUKPTPIN] = keyMap(v)
		case ppDUKPTDat:
			p.Keys[KeyDUKPTData] = keyMap(v)
		}
	}
}

// keyMap takes a map only if it is one.
func keyMap(b []byte) KeyMap {
	if len(b) != 100 {
		return ""
	}
	for _, c := range b {
		if c < '0' || c > '2' {
			return ""
		}
	}
	return KeyMap(b)
}

// basic reads the block of GIN00200, which older pads know (3.2.3): maker 20, model 19, contactless 1, system 20,
// specification 4, manager 16, serial number 20.
func (p *PINPad) basic(b []byte) {
	if len(b) < 64 {
		return
	}
	p.Maker, p.Model, p.Firmware, p.Spec = serial.Label(b[:20]), serial.Label(b[20:39]), serial.Label(b[40:60]), serial.Label(b[60:64])
}
