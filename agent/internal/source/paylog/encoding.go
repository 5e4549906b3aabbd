package paylog

import (
	"io"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"

	"posdx/agent/internal/say"
)

// encodings are the character sets that a log may have, by the names that a configuration gives them (those of the IANA
// registry, in small letters, and what people call them).
var encodings = map[string]encoding.Encoding{
	"gb18030": simplifiedchinese.GB18030, "gbk": simplifiedchinese.GB18030, "gb2312": simplifiedchinese.GB18030,
	"big5": traditionalchinese.Big5, "shift-jis": japanese.ShiftJIS,
	"latin1": charmap.Windows1252, "iso-8859-1": charmap.Windows1252, // of which it is a part, but for control characters
	"iso-8859-2": charmap.ISO8859_2, "iso-8859-5": charmap.ISO8859_5, "iso-8859-7": charmap.ISO8859_7, "iso-8859-9": charmap.Windows1254,
	"iso-8859-15": charmap.ISO8859_15, "koi8-r": charmap.KOI8R, "cp437": charmap.CodePage437, "cp850": charmap.CodePage850,
	"cp852": charmap.CodePage852, "cp866": charmap.CodePage866,
	"windows-1250": charmap.Windows1250, "windows-1251": charmap.Windows1251, "windows-1252": charmap.Windows1252,
	"windows-1253": charmap.Windows1253, "windows-1254": charmap.Windows1254, "windows-1255": charmap.Windows1255,
	"windows-1256": charmap.Windows1256, "windows-1257": charmap.Windows1257, "windows-1258": charmap.Windows1258,
	"windows-874": charmap.Windows874, "tis-620": charmap.Windows874,
	"utf-16le": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "utf-16be": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
}

// Encodings returns the names that a configuration may give.
func Encodings() []string {
	list := []string{"utf-8", "utf-16"}
	for name := range encodings {
		list = append(list, name)
	}
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
func decoding(name string) (*encoding.Decoder, width, error) {
	w := oneByte
	switch name {
	case "", "utf-8":
		return nil, w, nil
	case "utf-16", "utf-16le":
		name, w = "utf-16le", twoLittle
	case "utf-16be":
		w = twoBig
	}
	e, ok := encodings[name]
	if !ok {
		return nil, w, say.New("no-encoding", name, strings.Join(Encodings(), " "))
	}
	return e.NewDecoder(), w, nil
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
