package frame

// XOR adds bytes to a longitudinal check (LRC), the exclusive-or of all bytes, which begins with sum.
func XOR(sum byte, b []byte) byte {
	for _, c := range b {
		sum ^= c
	}
	return sum
}

// CRC16 adds a byte to a CRC-16 with polynomial 0x1021, high bit first.
func CRC16(sum uint16, c byte) uint16 {
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

// CRC16Reflected adds a byte to a CRC-16 with the same polynomial, low bit first (0x8408): that of ZVT's link, and the
// FCS of PPP.
func CRC16Reflected(sum uint16, c byte) uint16 {
	sum ^= uint16(c)
	for range 8 {
		if sum&1 != 0 {
			sum = sum>>1 ^ 0x8408
		} else {
			sum >>= 1
		}
	}
	return sum
}
