package paylog

import (
	"io"
	"slices"
	"strings"

	"posdx/agent/internal/charset"
	"posdx/agent/internal/say"
)

// Encodings returns the names that a configuration may give.
func Encodings() []string {
	list := append(charset.Names(), "utf-8", "utf-16")
	slices.Sort(list)
	return list
}

// A width says how a file's line ends are found: the bytes of a character, and which of them comes first.
type width byte

const (
	oneByte   width = iota // and every set in which a line feed is one byte and is part of nothing else
	twoLittle              // UTF-16
	twoBig
)

// decoding returns what makes UTF-8 of a set, nil for UTF-8 itself, and the width of its characters.
func decoding(name string) (*charset.Set, width, error) {
	w := oneByte
	switch name {
	case "", "utf-8":
		return nil, w, nil
	case "utf-16", "utf-16le":
		name, w = "utf-16le", twoLittle
	case "utf-16be":
		w = twoBig
	}
	set := charset.Find(name)
	if set == nil {
		return nil, w, say.New("no-encoding", name, strings.Join(Encodings(), " "))
	}
	return set, w, nil
}

// bigEndian tells whether a file of UTF-16 begins with the mark that says so.
func bigEndian(f io.ReaderAt) bool {
	var b [2]byte
	_, err := f.ReadAt(b[:], 0)
	return err == nil && b == [2]byte{0xFE, 0xFF}
}

// unit returns how many bytes a character has at least.
func (w width) unit() int {
	if w == oneByte {
		return 1
	}
	return 2
}

// index returns where the first character c is in b, which begins at a character; -1 for nowhere.
func (w width) index(b []byte, c byte) int {
	for i := 0; i+1 < len(b); i += 2 {
		if b[i] == c && b[i+1] == 0 && w == twoLittle || b[i+1] == c && b[i] == 0 && w == twoBig {
			return i
		}
	}
	return -1
}

// zeros returns how many bytes of zero characters b begins with.
func (w width) zeros(b []byte) (n int) {
	for n < len(b) && b[n] == 0 && (w == oneByte || n+1 < len(b) && b[n+1] == 0) {
		n += w.unit()
	}
	return n
}

// blank is a blank in the set.
func (w width) blank() []byte {
	switch w {
	case twoLittle:
		return []byte{' ', 0}
	case twoBig:
		return []byte{0, ' '}
	}
	return []byte{' '}
}
