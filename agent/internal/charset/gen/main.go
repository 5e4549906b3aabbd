// The command gen writes the tables of package charset from those of golang.org/x/text/encoding, into its folder.
package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"os"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"posdx/agent/internal/charset"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write() error {
	for name, e := range map[string]encoding.Encoding{
		"gb18030": simplifiedchinese.GB18030, "big5": traditionalchinese.Big5, "shift-jis": japanese.ShiftJIS,
	} {
		if err := save(name, double(e)); err != nil {
			return err
		}
	}
	var list []uint16
	for _, name := range charset.Singles {
		e, err := ianaindex.IANA.Encoding(ianaName(name))
		if err != nil || e == nil {
			return fmt.Errorf("%s: %v", name, err)
		}
		list = append(list, single(e)...)
	}
	return save("single", list)
}

func ianaName(name string) string {
	switch name {
	case "cp437", "cp850", "cp852", "cp866":
		return "IBM" + name[2:]
	}
	return name
}

// read returns what a few bytes mean, "" for nothing.
func read(e encoding.Encoding, b ...byte) string {
	s, err := e.NewDecoder().Bytes(b)
	if err != nil || bytes.ContainsRune(s, utf8.RuneError) {
		return ""
	}
	return string(s)
}

func single(e encoding.Encoding) (list []uint16) {
	for b := 0x80; b <= 0xFF; b++ {
		r, _ := utf8.DecodeRuneInString(read(e, byte(b)))
		if r == utf8.RuneError {
			r = 0
		}
		list = append(list, uint16(r))
	}
	return list
}

// double is the order that package charset opens: how many far characters, single bytes, pairs, far characters, ranges.
func double(e encoding.Encoding) []uint16 {
	list := append([]uint16{0}, single(e)...)
	var far, farLow []uint16
	for lead := charset.LeadFirst; lead <= charset.LeadLast; lead++ {
		for trail := charset.TrailFirst; trail <= charset.TrailLast; trail++ {
			two := []rune(read(e, byte(lead), byte(trail)))
			switch {
			case len(two) == 0 || list[1+lead-0x80] != 0:
				list = append(list, 0)
			case len(two) == 1 && two[0] <= 0xFFFF:
				list = append(list, uint16(two[0]))
			default:
				r := two[0]
				if len(two) == 2 {
					r |= two[1] << 16
				}
				list = append(list, charset.Surrogates+uint16(len(far)))
				far, farLow = append(far, uint16(r>>16)), append(farLow, uint16(r))
			}
		}
	}
	list[0] = uint16(len(far))
	list = slices.Concat(list, far, farLow)
	// Sequences of four bytes in the first plane: where the distance between number and character changes.
	away := rune(-1)
	for n := range 0x10000 {
		r, _ := utf8.DecodeRuneInString(read(e, byte(0x81+n/12600), byte('0'+n/1260%10), byte(0x81+n/10%126), byte('0'+n%10)))
		d := rune(-1)
		if r != utf8.RuneError {
			d = r - rune(n)
		}
		if d != away {
			if r == utf8.RuneError {
				r = 0
			}
			list = append(list, uint16(n), uint16(r))
			away = d
		}
	}
	return list
}

// save packs numbers by deflate: of each its distance from the one before, the higher bytes first and then the lower.
func save(name string, list []uint16) error {
	var high, low []byte
	last, far := uint16(0), uint16(charset.Surrogates)
	for _, v := range list {
		d := v - last
		switch {
		case v == 0:
			d = charset.None
		case v == far:
			d = charset.Far
			far++
		case d == 0:
			d = charset.Same
		case d == charset.Same || d == charset.Far:
			return fmt.Errorf("%s: a distance of %#x means something else", name, d)
		}
		if d != charset.None && d != charset.Far {
			last = v
		}
		high, low = append(high, byte(d>>8)), append(low, byte(d))
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(high, low...)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(name+".tab", out.Bytes(), 0o644)
}
