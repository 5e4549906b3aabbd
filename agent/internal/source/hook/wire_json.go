package hook

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// What a payment app sends by mistake is read in place and zeroed with its line: encoding/json would leave copies of it
// on the heap, in strings that cannot be overwritten.

// View is b as text without a copy, for looking at. It may not be kept: b is zeroed later.
func View(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// A pair is one member of a JSON object.
type pair struct{ name, value []byte }

// pairs takes a JSON object apart. Names are unescaped in place, values stay as they are.
func pairs(b []byte) (list []pair, ok bool) {
	if !json.Valid(b) {
		return nil, false
	}
	b = bytes.TrimLeft(b, " \t\r\n")
	if b[0] != '{' {
		return nil, false
	}
	for b = b[1:]; ; {
		b = bytes.TrimLeft(b, " \t\r\n,")
		if b[0] == '}' {
			return list, true
		}
		n := valueEnd(b)
		name, ok := unquote(b[:n])
		if !ok {
			return nil, false
		}
		b = bytes.TrimLeft(b[n:], " \t\r\n:")
		n = valueEnd(b)
		list = append(list, pair{name, b[:n]})
		b = b[n:]
	}
}

// elements takes a JSON array, known to be valid, apart.
func elements(b []byte) (list [][]byte, ok bool) {
	if b[0] != '[' {
		return nil, false
	}
	for b = b[1:]; ; {
		b = bytes.TrimLeft(b, " \t\r\n,")
		if b[0] == ']' {
			return list, true
		}
		n := valueEnd(b)
		list = append(list, b[:n])
		b = b[n:]
	}
}

// valueEnd is the length of the value that b, part of valid JSON, begins with.
func valueEnd(b []byte) int {
	depth, in := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case in && c == '\\':
			i++
		case c == '"':
			if in = !in; !in && depth == 0 {
				return i + 1
			}
		case in:
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']') && depth > 0:
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && bytes.IndexByte([]byte(" \t\r\n,:}]"), c) >= 0:
			return i
		}
	}
	return len(b)
}

// unquote unescapes a JSON string, known to be valid, in place. It is false for another value.
func unquote(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != '"' {
		return nil, false
	}
	b = b[1 : len(b)-1]
	n := bytes.IndexByte(b, '\\')
	if n < 0 {
		return b, true
	}
	for i := n; i < len(b); i++ {
		c := b[i]
		if c == '\\' {
			i++
			switch c = b[i]; c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'u':
				r := report.Hex4(b[i+1:])
				i += 4
				if low := b[i+1:]; utf16.IsSurrogate(r) {
					if len(low) < 6 || low[0] != '\\' || low[1] != 'u' {
						r = utf8.RuneError
					} else if r = utf16.DecodeRune(r, report.Hex4(low[2:])); r != utf8.RuneError {
						i += 6
					}
				}
				n += utf8.EncodeRune(b[n:], r) // never longer than its escape
				continue
			}
		}
		b[n] = c
		n++
	}
	clear(b[n:])
	return b[:n], true
}

// maxNumber is the most characters of a number: 1e10 with decimals fits.
const maxNumber = 24

// decimal reads a JSON number. It is false for another value, and for one that could hold a card number.
func decimal(b []byte) (float64, bool) {
	if len(b) > maxNumber || source.Digits(View(b)) >= source.CardDigits {
		return 0, false
	}
	f, err := strconv.ParseFloat(View(b), 64)
	return f, err == nil
}

// whole reads a JSON number without a fraction, of nine digits at most.
func whole(b []byte) (int64, bool) {
	if !source.Numeric(View(b), 1, 9) {
		return 0, false
	}
	n, err := strconv.ParseInt(View(b), 10, 64)
	return n, err == nil
}
