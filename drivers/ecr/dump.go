package ecr

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
)

// errTwoWays is the error of a text that is one message as digits and another as characters.
var errTwoWays = fmt.Errorf("read dump: %w: it can be read in two ways", ErrInconsistent)

// ParseDump reads the message that a program wrote into its log: as hex digits, in rows with the place of their first
// byte in front and their characters behind or in none, with a length header or without; or as the characters of a
// message that has no others. The message must be whole: one whose card number was masked is none. Text is left as it
// is; what is made of it is zeroed.
func ParseDump(text []byte, dialects ...*Dialect) (Message, error) {
	if len(text) > 4*MaxMessage {
		return Message{}, errNoType
	}
	raw := undump(text)
	defer clear(raw[:cap(raw)])
	m, err := parseFramed(raw, dialects)
	chars := bytes.TrimSpace(text)
	if len(chars) == 0 || chars[0] < '0' || chars[0] > '9' {
		return m, err
	}
	other, wrong := parseFramed(chars, dialects)
	if wrong != nil { // its last field may end in blanks
		other, wrong = parseFramed(bytes.Trim(text, "\r\n"), dialects)
	}
	switch {
	case wrong != nil:
		return m, err
	case err == nil && (other.Code != m.Code || other.MTI != m.MTI):
		return Message{}, errTwoWays
	}
	return other, nil
}

// parseFramed reads one message and nothing behind it, with a length header in front or without.
func parseFramed(b []byte, dialects []*Dialect) (Message, error) {
	for _, l := range lengthHeaders {
		if message, rest, err := l.Split(b); err == nil && len(rest) == 0 {
			if m, err := Parse(bytes.Clone(message), dialects...); err == nil {
				return m, nil
			}
		}
	}
	return Parse(bytes.Clone(b), dialects...)
}

// Rows of a dump: those that say where they begin have at most so many bytes before their characters.
const rowBytes = 16

// undump makes bytes of rows of hex digits, as far as there are any. What stands before the first row is passed over;
// the first line that is none ends it.
func undump(text []byte) []byte {
	out, placed := make([]byte, 0, len(text)/2), false
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		n, rest := len(out), line
		if n == 0 || placed { // all rows are of one form
			var yes bool
			if rest, yes = afterPlace(line, n); n > 0 && !yes {
				break
			}
			placed = yes
		}
		for len(rest) > 0 && (!placed || len(out) < n+rowBytes) {
			rest = bytes.TrimPrefix(rest, []byte("0x"))
			k := 0
			for k < len(rest) && allHex(rest[k:k+1]) {
				k++
			}
			gap := k
			for gap < len(rest) && bytes.IndexByte([]byte(" \t-:,"), rest[gap]) >= 0 {
				gap++
			}
			if k == 0 || k%2 != 0 || gap == k && gap < len(rest) && !placed {
				if !placed {
					out = out[:n] // words
				}
				break
			}
			out, _ = hex.AppendDecode(out, rest[:k])
			if placed && gap-k > 1 && (len(out)-n)%(rowBytes/2) != 0 {
				break // the characters
			}
			rest = rest[gap:]
		}
		if n > 0 && len(out) == n {
			break
		}
	}
	return out
}

// afterPlace takes off the front of a row what says at which byte it begins: 0010, 00000010h, 0016(0010), 0x10:.
func afterPlace(line []byte, at int) (rest []byte, placed bool) {
	front, rest, ok := bytes.Cut(line, []byte(" "))
	front = bytes.TrimPrefix(front, []byte("0x"))
	k := 0
	for k < len(front) && allHex(front[k:k+1]) {
		k++
	}
	if !ok || k < 3 || k > 8 {
		return line, false
	}
	for _, base := range []int{16, 10} {
		if n, err := strconv.ParseUint(string(front[:k]), base, 32); err == nil && int(n) == at {
			return bytes.TrimLeft(rest, " \t:|"), true
		}
	}
	return line, false
}
