package modem

import (
	"bytes"

	"posdx/drivers/frame"
)

// Flags that open and close a frame.
const (
	muxFlag = 0xf9 // of 27.010's basic option
	pppFlag = 0x7e // RFC 1662
)

// frames reports whether b holds a whole frame of a multiplexer or of PPP. Both carry check sums, so text is never
// taken for one, and garbage hardly ever.
func frames(b []byte) bool {
	return between(b, muxFlag, muxFrame) || between(b, pppFlag, pppFrame)
}

func between(b []byte, flag byte, is func([]byte) bool) bool {
	i := bytes.IndexByte(b, flag)
	for i >= 0 {
		b = b[i+1:]
		if i = bytes.IndexByte(b, flag); i > 0 && is(b[:i]) {
			return true
		}
	}
	return false
}

// muxFrame checks address, control, length and FCS (27.010 5.2.1): the reversed CRC of x8+x2+x+1 over address, control
// and length, and over the content too in all frames but UIH.
func muxFrame(f []byte) bool {
	if len(f) < 4 || f[0]&1 == 0 {
		return false
	}
	uih := false
	switch f[1] &^ 0x10 { // without the poll bit
	case 0xef:
		uih = true
	case 0x2f, 0x63, 0x0f, 0x43, 0x03: // SABM, UA, DM, DISC, UI
	default:
		return false
	}
	head, n := 3, int(f[2]>>1)
	if f[2]&1 == 0 {
		head, n = 4, n|int(f[3])<<7
	}
	if len(f) != head+n+1 {
		return false
	}
	over := f[:len(f)-1]
	if uih {
		over = f[:head]
	}
	crc := byte(0xff)
	for _, c := range over {
		crc ^= c
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xe0
			} else {
				crc >>= 1
			}
		}
	}
	return 0xff-crc == f[len(f)-1]
}

// pppFrame undoes the stuffing and checks the FCS (RFC 1662, C.2).
func pppFrame(f []byte) bool {
	const good, leastLen = 0xf0b8, 5
	fcs, n := uint16(0xffff), 0
	for i := 0; i < len(f); i++ {
		c := f[i]
		if c == 0x7d {
			if i++; i == len(f) {
				return false
			}
			c = f[i] ^ 0x20
		}
		fcs = frame.CRC16Reflected(fcs, c)
		n++
	}
	return n >= leastLen && fcs == good
}
