// Package charset reads the character sets that logs and terminals have, and writes GBK. What their bytes mean is taken
// from golang.org/x/text/encoding (WHATWG Encoding Standard) by go generate; that library links every set's table, both
// ways and unpacked, which is half a megabyte. Here they are packed to a tenth, and one is unpacked when it is first
// used.
package charset

//go:generate go run ./gen

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"io"
	"maps"
	"slices"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Where the two bytes of a character lie, in every set that has such.
const (
	LeadFirst, LeadLast   = 0x81, 0xFE
	TrailFirst, TrailLast = 0x40, 0xFE
	trails                = TrailLast - TrailFirst + 1
	pairs                 = (LeadLast - LeadFirst + 1) * trails
	upper                 = 128 // single bytes that are not ASCII
)

// Surrogates is the first of the surrogates, which are no characters: in a table they number the characters that do not
// fit into 16 bits, in the order in which these come.
const Surrogates = 0xD800

// A packed table holds of each number its distance from the one before, or one of these, which are no distances in it.
// None and Far are passed over by the distance that follows: those of neighbours of one radical stay short.
const (
	None = 0      // the number 0: nothing stands for these bytes
	Same = 0x8000 // the number before once more
	Far  = 0x8001 // the next surrogate
)

var (
	//go:embed gb18030.tab
	gb18030 string
	//go:embed big5.tab
	big5 string
	//go:embed shift-jis.tab
	shiftJIS string
	//go:embed single.tab
	single string
)

// Singles are the sets of one byte, in the order of their table.
var Singles = []string{"cp437", "cp850", "cp852", "cp866", "iso-8859-2", "iso-8859-5", "iso-8859-7", "iso-8859-15", "koi8-r", "windows-1250",
	"windows-1251", "windows-1252", "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257", "windows-1258", "windows-874"}

// also are further names. ISO 8859-1 is a part of Windows-1252 but for control characters, and so is 8859-9 of 1254.
var also = map[string]string{"gbk": "gb18030", "gb2312": "gb18030", "latin1": "windows-1252", "iso-8859-1": "windows-1252",
	"iso-8859-9": "windows-1254", "tis-620": "windows-874"}

var multiple = []string{"gb18030", "big5", "shift-jis", "utf-16le", "utf-16be"}

// A Set converts text of one character set to UTF-8. Any number of goroutines may use it.
type Set struct {
	wide   bool // UTF-16
	big    bool // its first byte is the higher one
	single []uint16
	double []uint16 // by lead and trail, nil for a set of one byte
	far    []rune   // two in one where the lower 16 bits are the first
	four   []uint16 // of GB18030: pairs of the number of a sequence of four bytes and the character it stands for
}

var sets struct {
	sync.Mutex
	m map[string]*Set
}

// Names returns the names of all sets, as the IANA's registry has them in small letters, and what people call them.
func Names() []string {
	return slices.Sorted(slices.Values(slices.Concat(Singles, multiple, slices.Collect(maps.Keys(also)))))
}

// Find returns the set of a name; nil where there is none of it.
func Find(name string) *Set {
	if real, ok := also[name]; ok {
		name = real
	}
	sets.Lock()
	defer sets.Unlock()
	s := sets.m[name]
	if s == nil {
		if s = open(name); s == nil {
			return nil
		}
		if sets.m == nil {
			sets.m = map[string]*Set{}
		}
		sets.m[name] = s
	}
	return s
}

func open(name string) *Set {
	switch name {
	case "utf-16le", "utf-16be":
		return &Set{wide: true, big: name == "utf-16be"}
	case "gb18030":
		return pairsOf(gb18030)
	case "big5":
		return pairsOf(big5)
	case "shift-jis":
		return pairsOf(shiftJIS)
	}
	i := slices.Index(Singles, name)
	if i < 0 {
		return nil
	}
	return &Set{single: slices.Clone(unpack(single)[i*upper:][:upper])}
}

// pairsOf opens a table: the number of far characters, the single bytes, the pairs, far characters in two halves, and
// what is of four bytes.
func pairsOf(table string) *Set {
	t := unpack(table)
	n := int(t[0])
	s := &Set{single: t[1:][:upper], double: t[1+upper:][:pairs], four: t[1+upper+pairs+2*n:]}
	for i := range n {
		v := t[1+upper+pairs+i:]
		s.far = append(s.far, rune(v[0])<<16|rune(v[n]))
	}
	return s
}

// unpack returns the numbers of a table, as save of the generator packs them.
func unpack(table string) []uint16 {
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader([]byte(table))))
	if err != nil {
		panic("charset: " + err.Error()) // the program's own bytes
	}
	n := len(b) / 2
	list := make([]uint16, n)
	last, far := uint16(0), uint16(Surrogates)
	for i := range list {
		switch d := uint16(b[i])<<8 | uint16(b[n+i]); d {
		case None:
		case Far:
			list[i] = far
			far++
		case Same:
			list[i] = last
		default:
			last += d
			list[i] = last
		}
	}
	return list
}

// Append adds src as UTF-8 to dst, at most three bytes for each of its own. What is no character is U+FFFD; an ASCII
// byte is never taken for a part of one (WHATWG Encoding Standard, 10.2.1).
func (s *Set) Append(dst, src []byte) []byte {
	for len(src) > 0 {
		r, n := s.first(src)
		src = src[n:]
		if r > unicode.MaxRune { // Big5 has four letters with two marks, which are two characters
			dst = utf8.AppendRune(dst, r&0xFFFF)
			r >>= 16
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// first returns the first character of b and how many bytes it has.
func (s *Set) first(b []byte) (rune, int) {
	const none = utf8.RuneError
	if s.wide {
		u, ok := s.unit(b)
		if !ok {
			return none, len(b)
		}
		if !utf16.IsSurrogate(u) {
			return u, 2
		}
		low, _ := s.unit(b[2:])
		if r := utf16.DecodeRune(u, low); r != none {
			return r, 4
		}
		return none, 2
	}
	if b[0] < utf8.RuneSelf {
		return rune(b[0]), 1
	}
	if r := s.single[b[0]-upper]; r != 0 {
		return rune(r), 1
	}
	if len(s.double) == 0 || len(b) == 1 || b[0] < LeadFirst || b[0] > LeadLast {
		return none, 1
	}
	if len(s.four) > 0 && b[1] >= '0' && b[1] <= '9' {
		return s.ofFour(b)
	}
	if b[1] >= TrailFirst && b[1] <= TrailLast {
		switch v := s.double[int(b[0]-LeadFirst)*trails+int(b[1]-TrailFirst)]; {
		case v >= Surrogates && int(v)-Surrogates < len(s.far):
			return s.far[v-Surrogates], 2
		case v != 0:
			return rune(v), 2
		}
	}
	if b[1] < utf8.RuneSelf {
		return none, 1
	}
	return none, 2
}

func (s *Set) unit(b []byte) (rune, bool) {
	if len(b) < 2 {
		return 0, false
	}
	if s.big {
		return rune(b[0])<<8 | rune(b[1]), true
	}
	return rune(b[1])<<8 | rune(b[0]), true
}

// ofFour reads a sequence of four bytes: by ranges what is left of the first plane, then the other planes as they are.
func (s *Set) ofFour(b []byte) (rune, int) {
	const other, last = 189_000, 0x10FFFF - 0x10000
	if len(b) < 4 || b[2] < LeadFirst || b[2] > LeadLast || b[3] < '0' || b[3] > '9' {
		return utf8.RuneError, 1
	}
	n := ((int(b[0]-LeadFirst)*10+int(b[1]-'0'))*126+int(b[2]-LeadFirst))*10 + int(b[3]-'0')
	if n >= other && n <= other+last {
		return rune(n - other + 0x10000), 4
	}
	r := rune(0)
	for i := 0; i < len(s.four) && n >= int(s.four[i]); i += 2 {
		if s.four[i+1] != 0 {
			r = rune(n-int(s.four[i])) + rune(s.four[i+1])
		} else {
			r = 0 // here a range ends
		}
	}
	if n > 0xFFFF || r == 0 {
		return utf8.RuneError, 1
	}
	return r, 4
}

// A Writer makes GBK of UTF-8 for one goroutine. It looks a character up once: screens show the same few hundred again
// and again, and a table the other way round would be a hundred kilobytes.
type Writer struct {
	set  *Set
	seen map[rune][2]byte
}

// NewGBK returns a writer of GBK.
func NewGBK() *Writer { return &Writer{set: Find("gbk"), seen: map[rune][2]byte{}} }

// Append adds UTF-8 to dst as GBK; what GBK does not have is a question mark.
func (w *Writer) Append(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if r < utf8.RuneSelf {
			dst = append(dst, byte(r))
			continue
		}
		if two := w.two(r); two[0] != 0 {
			dst = append(dst, two[:]...)
		} else {
			dst = append(dst, '?')
		}
	}
	return dst
}

func (w *Writer) two(r rune) [2]byte {
	two, ok := w.seen[r]
	if !ok {
		i := slices.Index(w.set.double, uint16(r))
		if i >= 0 && r <= 0xFFFF && !utf16.IsSurrogate(r) {
			two = [2]byte{LeadFirst + byte(i/trails), TrailFirst + byte(i%trails)}
		}
		if len(w.seen) < 2048 {
			w.seen[r] = two
		}
	}
	return two
}
