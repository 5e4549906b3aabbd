package ecr

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// dumped writes bytes as logs do. The forms are those of public logs: a debugging log of a UnionPay terminal (rows of
// pairs), EFTLab's academy (place in two bases, characters), Oscar-ISO8583 (place with an h), Portalum.Zvt (dashes),
// hexdump -C, xxd, tcpdump.
var dumped = map[string]func(b []byte) string{
	"one word": func(b []byte) string { return fmt.Sprintf("%X", b) },
	"small":    func(b []byte) string { return fmt.Sprintf("%x", b) },
	"pairs":    func(b []byte) string { return fmt.Sprintf("% X", b) },
	"dashes":   func(b []byte) string { return strings.ReplaceAll(fmt.Sprintf("% X", b), " ", "-") },
	"commas":   func(b []byte) string { return strings.ReplaceAll(fmt.Sprintf("%# x", b), " ", ", ") },
	"rows": func(b []byte) string {
		return rows(b, 29, func(at int, row []byte) string { return fmt.Sprintf("% X", row) })
	},
	"in brackets": func(b []byte) string { return fmt.Sprintf("recv %d bytes:\n%X\nend", len(b), b) },
	"xxd": func(b []byte) string {
		return rows(b, 16, func(at int, row []byte) string {
			return fmt.Sprintf("%08x: %-39s  %s", at, words(row), printed(row))
		})
	},
	"hexdump -C": func(b []byte) string {
		return rows(b, 16, func(at int, row []byte) string {
			return fmt.Sprintf("%08x  %-23s  %-23s  |%s|", at, fmt.Sprintf("% x", row[:min(8, len(row))]), fmt.Sprintf("% x", row[min(8, len(row)):]), printed(row))
		})
	},
	"with an h": func(b []byte) string {
		return rows(b, 16, func(at int, row []byte) string {
			return fmt.Sprintf("%08xh %-47s %s", at, fmt.Sprintf("% x", row), printed(row))
		})
	},
	"two bases": func(b []byte) string {
		return "RECV:\n" + rows(b, 16, func(at int, row []byte) string {
			return fmt.Sprintf("%04d(%04X) %-47s  %s", at, at, fmt.Sprintf("% X", row), printed(row))
		})
	},
	"tcpdump": func(b []byte) string {
		return rows(b, 16, func(at int, row []byte) string {
			return fmt.Sprintf("\t0x%04x:  %s  %s", at, words(row), printed(row))
		})
	},
}

func rows(b []byte, width int, row func(at int, row []byte) string) string {
	var out []string
	for at := 0; at < len(b); at += width {
		out = append(out, row(at, b[at:min(len(b), at+width)]))
	}
	return strings.Join(out, "\n")
}

func printed(b []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '.'
		}
		return r
	}, bytes.ToValidUTF8(b, []byte("."))))
}

// words writes bytes two and two.
func words(b []byte) string {
	text := hex.EncodeToString(b)
	var out []string
	for len(text) > 4 {
		out, text = append(out, text[:4]), text[4:]
	}
	return strings.Join(append(out, text), " ")
}

// answers are messages with a card in them.
func dumpAnswers(t testing.TB) map[string][]byte {
	t.Helper()
	fields := map[int]string{2: plantedPAN, 3: "000000", 4: "000000012345", 11: "000123", 12: "131411", 13: "1121", 37: "112113000123", 39: "51", 41: "10077120", 42: "898330154110012"}
	all := map[string][]byte{}
	for name, d := range map[string]*Dialect{"unionpay": UnionPay(), "nac": NAC(), "text": Text(), "text-hex": TextHex()} {
		h := Head{}
		if name == "unionpay" {
			h = Head{TPDU: "6000060000", Header: "603100311003"}
		}
		b, err := Build(d, h, "0210", fields)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
		all[name+" behind its length"] = Binary2.Append(nil, b)
	}
	return all
}

// TestMessagesInDumps: a message that a program wrote into its log is the message that it was, in whatever rows.
func TestMessagesInDumps(t *testing.T) {
	for name, b := range dumpAnswers(t) {
		for form, write := range dumped {
			text := []byte(write(b))
			was := bytes.Clone(text)
			m, err := ParseDump(text)
			if err != nil || m.MTI != "0210" || m.Code != "51" || m.STAN != "000123" || m.Terminal != "10077120" {
				t.Errorf("%s, %s: %+v %v\n%s", name, form, m, err, text)
			}
			if !bytes.Equal(text, was) {
				t.Errorf("%s, %s: the text was changed", name, form)
			}
			if s := fmt.Sprintf("%+v", m); strings.Contains(s, plantedPAN[:6]) {
				t.Error(s)
			}
		}
	}
	// The characters themselves, of a message that has no others.
	for _, name := range []string{"text-hex"} {
		b := dumpAnswers(t)[name]
		for _, text := range [][]byte{b, ASCII4.Append(nil, b), append(b, " \r\n"...)} {
			if m, err := ParseDump(text); err != nil || m.Code != "51" {
				t.Errorf("%q: %+v %v", text, m, err)
			}
		}
	}
}

// TestWhatIsNoWholeMessageIsNone: one that was cut, masked or mixed with other text has no code.
func TestWhatIsNoWholeMessageIsNone(t *testing.T) {
	for name, b := range dumpAnswers(t) {
		text := fmt.Sprintf("%X", b)
		for _, cut := range []int{2, 10, len(text) / 2, len(text) - 2} {
			for _, s := range []string{text[:cut], text[:len(text)-cut], text[cut:], text + text[:min(cut, 20)]} {
				if m, err := ParseDump([]byte(s)); err == nil && s != text && len(s)/2 != len(b)-2 {
					t.Errorf("%s, %d of %d: %+v", name, len(s), len(text), m)
				}
			}
		}
		for _, s := range []string{strings.Replace(fmt.Sprintf("% X", b), "07 39", "** **", 1), "amount 12 34 56", "",
			"0210", strings.Repeat("00", 3*MaxMessage)} {
			if m, err := ParseDump([]byte(s)); err == nil && strings.Contains(s, "*") {
				t.Errorf("%s, %q: %+v", name, s, m)
			}
		}
	}
}

func FuzzDump(f *testing.F) {
	for _, b := range dumpAnswers(f) {
		for _, write := range dumped {
			f.Add([]byte(write(b)))
		}
	}
	f.Add([]byte("0x 0x0x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		was := bytes.Clone(text)
		m, err := ParseDump(text)
		if !bytes.Equal(text, was) {
			t.Fatal("the text was changed")
		}
		if err == nil && (len(m.MTI) != 4 || len(m.Code) > 4 || len(m.STAN) > 6 || len(m.Terminal) > 16) {
			t.Fatalf("%+v", m)
		}
	})
}
