package charset

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// library returns the set of a name as golang.org/x/text has it.
func library(t testing.TB, name string) encoding.Encoding {
	switch name {
	case "gb18030", "gbk", "gb2312":
		return simplifiedchinese.GB18030
	case "big5":
		return traditionalchinese.Big5
	case "shift-jis":
		return japanese.ShiftJIS
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case "latin1", "iso-8859-1":
		name = "windows-1252"
	case "iso-8859-9":
		name = "windows-1254"
	case "tis-620":
		name = "windows-874"
	}
	if rest, ok := strings.CutPrefix(name, "cp"); ok {
		name = "IBM" + rest
	}
	e, err := ianaindex.IANA.Encoding(name)
	if err != nil || e == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return e
}

// same holds a set against the library: what has a meaning has the same; what has none is U+FFFD in both.
func same(t *testing.T, name string, s *Set, d *encoding.Decoder, b ...byte) {
	t.Helper()
	want, err := d.Bytes(b)
	if err != nil {
		t.Fatal(err)
	}
	got := s.Append(nil, b)
	if bytes.ContainsRune(want, utf8.RuneError) != bytes.ContainsRune(got, utf8.RuneError) ||
		!bytes.ContainsRune(want, utf8.RuneError) && !bytes.Equal(got, want) {
		t.Fatalf("%s: % x is %q, want %q", name, b, got, want)
	}
}

// TestSetsAreTheLibrarys compares every byte and every pair of every set, and every sequence of four of GB18030.
func TestSetsAreTheLibrarys(t *testing.T) {
	for _, name := range Names() {
		s, d := Find(name), library(t, name).NewDecoder()
		for a := range 256 {
			same(t, name, s, d, byte(a))
			if a < 0x80 && !s.wide || slices.Contains(Singles, name) || also[name] != "" {
				continue
			}
			for b := range 256 {
				same(t, name, s, d, byte(a), byte(b))
			}
		}
	}
	if testing.Short() {
		return // half a million of four bytes
	}
	s, d := Find("gb18030"), library(t, "gb18030").NewDecoder()
	for lead := LeadFirst; lead <= LeadLast; lead++ {
		for second := '0'; second <= '9'; second++ {
			for third := LeadFirst; third <= LeadLast; third++ {
				for last := '0'; last <= '9'; last++ {
					same(t, "gb18030", s, d, byte(lead), byte(second), byte(third), byte(last))
				}
			}
		}
	}
}

// TestSurrogatesOfUTF16 reads pairs, and halves of them.
func TestSurrogatesOfUTF16(t *testing.T) {
	for name, b := range map[string][]byte{
		"utf-16le": {0x34, 0xD8, 0x1E, 0xDD, 'a', 0, 0x34, 0xD8, 'b', 0, 0x1E},
		"utf-16be": {0xD8, 0x34, 0xDD, 0x1E, 0, 'a', 0xD8, 0x34, 0, 'b', 0x1E},
	} {
		if got, want := string(Find(name).Append(nil, b)), "\U0001D11Ea\uFFFDb\uFFFD"; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestGBKIsWritten writes every character that the library's GBK has, reads it back with the library, and puts a
// question mark for what it has not.
func TestGBKIsWritten(t *testing.T) {
	w, there, back := NewGBK(), simplifiedchinese.GBK.NewEncoder(), simplifiedchinese.GBK.NewDecoder()
	for r := rune(0x80); r < 0x10FFF; r++ {
		if r >= Surrogates && r < 0xE000 {
			continue
		}
		b := w.Append(nil, []byte(string(r)))
		_, err := there.String(string(r))
		switch got, _ := back.Bytes(b); {
		case err == nil && string(got) != string(r):
			t.Fatalf("%U: % x, read as %q", r, b, got)
		case err != nil && string(b) != "?":
			t.Fatalf("%U: % x, and GBK has no such character", r, b)
		}
	}
	if got := w.Append(nil, []byte("交a易\xff")); !slices.Equal(got, []byte{0xbd, 0xbb, 'a', 0xd2, 0xd7, '?'}) {
		t.Errorf("% x", got)
	}
}

func TestNoSuchSet(t *testing.T) {
	for _, name := range []string{"", "utf-8", "ebcdic", "GBK"} {
		if Find(name) != nil {
			t.Errorf("%q is a set", name)
		}
	}
}

// lax tells whether two bytes stand in b that the library takes for the first half of four of GB 18030, and the
// standard does not: the second is 30 to 39 (GB 18030-2022; WHATWG Encoding 10.2.1).
func lax(b []byte) bool {
	for i := range b[:max(0, len(b)-1)] {
		if b[i] >= LeadFirst && b[i] <= LeadLast && b[i+1] > '9' && b[i+1] < 0x40 {
			return true
		}
	}
	return false
}

// FuzzAppend: never more than three bytes for one, always UTF-8, and as the library reads it where that finds no fault.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("\xbd\xbb\xd2\xd7 96"), uint8(0))
	f.Add([]byte("\x81\x30\x81\x30\x84\x31\xa4\x39"), uint8(0))
	f.Add([]byte("\x88\x62\xa6\x40"), uint8(1))
	f.Add([]byte("\x81<\xa40"), uint8(0))
	names := []string{"gb18030", "big5", "shift-jis", "utf-16le", "utf-16be", "windows-1251"}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		name := names[int(which)%len(names)]
		got := Find(name).Append(nil, b)
		if len(got) > 3*len(b) || !utf8.Valid(got) {
			t.Fatalf("%s: % x is %q", name, b, got)
		}
		if name == "gb18030" && lax(b) {
			return
		}
		want, err := library(t, name).NewDecoder().Bytes(b)
		if err == nil && !bytes.ContainsRune(want, utf8.RuneError) && !bytes.Equal(got, want) {
			t.Fatalf("%s: % x is %q, want %q", name, b, got, want)
		}
	})
}

// BenchmarkFind is the unpacking of the largest tables, paid once by a terminal that has such a log.
func BenchmarkFind(b *testing.B) {
	for _, name := range []string{"gb18030", "big5"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				open(name)
			}
		})
	}
}

// BenchmarkGBK writes a screen of 80x24 that a writer has seen before, and one that it has not.
func BenchmarkGBK(b *testing.B) {
	screen := []byte(strings.Repeat("终端未在主机登记，交易失败，请联系收单机构", 40))
	w := NewGBK()
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			w.Append(nil, screen)
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			NewGBK().Append(nil, screen)
		}
	})
}
