package ecr

import (
	"encoding/hex"
	"fmt"
	"sort"

	"posdx/drivers/frame"
)

// Head is what may stand before the message type. Empty members are left out.
type Head struct {
	TPDU   string // ten digits
	Header string // twelve digits
}

// Reversed returns the head of an answer: destination and source of the TPDU change places.
func (h Head) Reversed() Head {
	if len(h.TPDU) == 10 {
		h.TPDU = h.TPDU[:2] + h.TPDU[6:] + h.TPDU[2:6]
	}
	return h
}

// Build writes a message without its length header: for simulators and tests, the product itself sends none. Fields
// are given as digits or characters; raw ones (52, 55, 64, and 62 of UnionPay …) as their bytes.
func Build(d *Dialect, h Head, mti string, fields map[int]string) ([]byte, error) {
	out, err := hex.DecodeString(h.TPDU + h.Header)
	if err != nil || len(h.TPDU)%10 != 0 || len(h.Header)%12 != 0 {
		return nil, fmt.Errorf("build %s: head %q %q: want 10 and 12 digits", mti, h.TPDU, h.Header)
	}
	if len(mti) != 4 || !frame.AllDigits([]byte(mti)) {
		return nil, fmt.Errorf("build %q: want a message type of 4 digits", mti)
	}
	out = append(out, d.pack(mti)...)
	numbers := make([]int, 0, len(fields))
	for n := range fields {
		numbers = append(numbers, n)
	}
	sort.Ints(numbers)
	size := 8
	if len(numbers) > 0 && numbers[len(numbers)-1] > 64 {
		size = 16
	}
	bitmap := make([]byte, size)
	if size == 16 {
		bitmap[0] = 0x80
	}
	var body []byte
	for _, n := range numbers {
		if n < 2 || n > 128 || d.fields[n].kind == none {
			return nil, fmt.Errorf("build %s: dialect %s has no field %d", mti, d.Name, n)
		}
		bitmap[(n-1)/8] |= 0x80 >> ((n - 1) % 8)
		if body, err = d.put(body, d.fields[n], fields[n]); err != nil {
			return nil, fmt.Errorf("build %s: field %d: %w", mti, n, err)
		}
	}
	if d.HexBitmap {
		bitmap = fmt.Appendf(nil, "%X", bitmap)
	}
	out = append(append(out, bitmap...), body...)
	if len(out) > MaxMessage {
		return nil, fmt.Errorf("build %s: %d bytes, at most %d", mti, len(out), MaxMessage)
	}
	return out, nil
}

func (d *Dialect) put(dst []byte, f field, v string) ([]byte, error) {
	if f.prefix == 0 && len(v) != f.size && f.kind != signed || len(v) > f.size+1 {
		return nil, fmt.Errorf("%d characters, want %d", len(v), f.size)
	}
	if f.prefix > 0 {
		if len(v) > f.size {
			return nil, fmt.Errorf("%d characters, at most %d", len(v), f.size)
		}
		dst = append(dst, d.pack(fmt.Sprintf("%0*d", f.prefix, len(v)))...)
	}
	switch f.kind {
	case digits:
		if !frame.AllDigits([]byte(v)) {
			return nil, fmt.Errorf("not digits")
		}
		if d.ASCII {
			return append(dst, v...), nil
		}
		if len(v)%2 == 1 {
			v += "0" // the POS specification packs fields to the left
		}
		return append(dst, d.pack(v)...), nil
	case track:
		if d.ASCII {
			return append(dst, v...), nil
		}
		if len(v)%2 == 1 {
			v += "0"
		}
		b, err := hex.DecodeString(v)
		if err != nil {
			return nil, fmt.Errorf("not digits and D")
		}
		return append(dst, b...), nil
	case signed:
		if len(v) != f.size+1 {
			return nil, fmt.Errorf("%d characters, want %d", len(v), f.size+1)
		}
		return append(append(dst, v[0]), d.pack(v[1:])...), nil
	}
	return append(dst, v...), nil
}

// pack writes digits, an odd number of them with a zero before, as a length header or a message type has it.
func (d *Dialect) pack(digits string) []byte {
	if d.ASCII {
		return []byte(digits)
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	b := make([]byte, len(digits)/2)
	for i := range b {
		b[i] = (digits[2*i]-'0')<<4 | (digits[2*i+1] - '0')
	}
	return b
}
