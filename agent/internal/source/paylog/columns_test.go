package paylog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

// nameless are logs whose columns have no name, and logs whose times have a month's. Each line is given the second, a
// code and a trace number. Their forms: testdata/README.md.
var nameless = []struct {
	name, line string
	stan       bool
	layout     string
}{
	{"CSV", "2026-11-28 10:%02[4]d:%02[1]d,10077120,%06[3]d,0200,%[2]s,1%02[1]d\n", true, "2006-01-02 15:04:05"},
	{"CSV of Excel", "\"28/11/2026 10:%02[4]d:%02[1]d\";\"10077120\";\"%06[3]d\";\"VISA\";\"%[2]s\";\"12,50\"\r\n", true, "02/01/2006 15:04:05"},
	{"date and time apart", "28.11.2026;10:%02[4]d:%02[1]d;T1;%06[3]d;%[2]s;\n", true, "02.01.2006;15:04:05"},
	{"tabs, no trace number", "10:%02[4]d:%02[1]d\tSALE\tchip\t%[2]s\t812\n", false, "15:04:05"},
	{"bars", "20261128 10:%02[4]d:%02[1]d|POS1|%06[3]d|SALE|%[2]s|host-primary\n", true, "20060102 15:04:05"},
	{"blanks", "2026-11-28 10:%02[4]d:%02[1]d 10077120 %06[3]d 0210 %[2]s 51\n", true, "2006-01-02 15:04:05"},
	{"columns below each other, words in one", "%06[3]d  %[5]s  %[2]s  MAIN STREET\n", true, ""},
	{"month in front", "Nov 28 10:%02[4]d:%02[1]d pos1 payd[77]: RspCode=%[2]s stan=%06[3]d\n", true, "Jan _2 15:04:05"},
	{"month between strokes", "28-Nov-2026 10:%02[4]d:%02[1]d.123 [main] respCode: %[2]s, stan: %06[3]d\n", true, "2-Jan-2006 15:04:05"},
	{"web server", "203.0.113.9 - - [28/Nov/2026:10:%02[4]d:%02[1]d +0000] \"POST /sale?stan=%06[3]d&respCode=%[2]s HTTP/1.1\" 200 17\n", true, "02/Jan/2006:15:04:05 -0700"},
	{"Portuguese", "28/nov/2026 10:%02[4]d:%02[1]d NSU=%06[3]d codResp=%[2]s\n", true, "2/Jan/2006 15:04:05"},
	{"Java's own", "Nov 28, 2026 10:%02[4]d:%02[1]d AM com.example.Pay INFO: responseCode=%[2]s\n", false, "Jan 2, 2006 3:04:05 PM"},
	{"month in German", "28. Nov 2026 Zahlung\n28 Nov 2026 10:%02[4]d:%02[1]d Antwortcode=%[2]s\n", false, "2 Jan 2006 15:04:05"},
	{"C's own", "Sat Nov 28 10:%02[4]d:%02[1]d 2026 : rc=%[2]s trace=%06[3]d\n", true, "Jan _2 15:04:05 2006"},
}

// TestSuggestWithoutNames proposes patterns for logs in columns that nobody has named, and reads the times of every
// language's months.
func TestSuggestWithoutNames(t *testing.T) {
	for _, k := range nameless {
		var b strings.Builder
		for i := range 120 {
			code := "00"
			switch {
			case i%10 == 3:
				code = "96"
			case i%25 == 7:
				code = "51"
			}
			kind := fmt.Sprintf("%-10s", []string{"SALE CHIP", "REFUND", "TIP BY CARD"[:7]}[i%3])
			line := fmt.Sprintf(k.line+"%.0[3]d%.0[1]d%.0[4]d%.0[2]s%.0[5]s", i%60, code, 4711+i, i/60, kind)
			b.WriteString(line[:strings.LastIndexByte(line, '\n')+1])
		}
		list, _, err := Suggest(strings.NewReader(b.String()), int64(b.Len()), "")
		if err != nil || len(list) == 0 {
			t.Errorf("%s: %v, %v", k.name, list, err)
			continue
		}
		s := list[0]
		if s.Records != 120 || s.Codes["00"] != 103 || s.Codes["96"] != 12 || s.Codes["51"] != 5 || s.Layout != k.layout {
			t.Errorf("%s: %+v", k.name, s)
		}
		p, err := CompilePattern(s.Pattern, Options{Layout: s.Layout})
		if err != nil {
			t.Fatal(err)
		}
		var hits []Hit
		file := LogFile{Patterns: []*Pattern{p}}
		_, err = Try(strings.NewReader(b.String()), file, func(h Hit) { hits = append(hits, h) })
		if err != nil || len(hits) != 120 {
			t.Errorf("%s: %d hits, %v\n%s", k.name, len(hits), err, s.Pattern)
			continue
		}
		if h := hits[7]; (h.STAN == "004718") != k.stan || k.layout != "" && !strings.HasSuffix(h.Time, ":00:07") {
			t.Errorf("%s: %+v\n%s", k.name, h, s.Pattern)
		}
	}
}

// TestNoColumnIsTakenForCodes: what has no approvals, or nothing but approvals, or counts, is no column of codes.
func TestNoColumnIsTakenForCodes(t *testing.T) {
	for name, line := range map[string]func(i int) string{
		"seconds":        func(i int) string { return fmt.Sprintf("10,%02d,pump,%d\n", i%60, i) },
		"always 00":      func(i int) string { return fmt.Sprintf("%06d,00,%d\n", i, 100+i) },
		"amounts":        func(i int) string { return fmt.Sprintf("%06d;%d,50;EUR\n", i, i*7) },
		"queue lengths":  func(i int) string { return fmt.Sprintf("%d %d printer ready\n", i, i*i%7) },
		"sentences":      func(i int) string { return fmt.Sprintf("the door was opened %d times, and then closed\n", i) },
		"times in a row": func(i int) string { return fmt.Sprintf("2026-11-28 10:%02d:%02d DEBUG ready\n", i/60, i%60) },
	} {
		var b strings.Builder
		for i := range 120 {
			b.WriteString(line(i))
		}
		if list, _, err := Suggest(strings.NewReader(b.String()), int64(b.Len()), ""); err != nil || len(list) > 0 {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
}

// TestMonthsOfEveryLanguage reads the short names of months as logs of other countries write them.
func TestMonthsOfEveryLanguage(t *testing.T) {
	now := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	for language, names := range map[string]string{
		"English":    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
		"small":      "jan feb mar apr may jun jul aug sep oct nov dec",
		"Portuguese": "jan fev mar abr mai jun jul ago set out nov dez",
		"Spanish":    "ene feb mar abr may jun jul ago sept oct nov dic",
		"German":     "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez",
		"German too": "Jan. Feb. Mrz Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
		"French":     "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
		"Italian":    "gen feb mar apr mag giu lug ago set ott nov dic",
		"Oracle":     "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
	} {
		for i, name := range strings.Fields(names) {
			got, ok := logTime("02-Jan-2006 15:04:05", "05-"+name+"-2026 14:03:11", now)
			if want := time.Date(2026, time.Month(i+1), 5, 14, 3, 11, 0, time.UTC); !ok || !got.Equal(want) {
				t.Errorf("%s: %s is %s, %v", language, name, got, ok)
			}
		}
	}
	for _, v := range []string{"05-xyz-2026 14:03:11", "05--2026 14:03:11", "", "setset"} {
		if got, ok := logTime("02-Jan-2006 15:04:05", v, now); ok {
			t.Errorf("%q is %s", v, got)
		}
	}
}

// TestSuggestRefusesWhatIsNoText: programs, archives and pictures are told from logs in every encoding, at once.
func TestSuggestRefusesWhatIsNoText(t *testing.T) {
	random := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.UintN(256))
	}
	program := bytes.Clone(random)
	for i := range program {
		if i%7 < 3 {
			program[i] = 0
		}
	}
	for name, b := range map[string][]byte{"random": random, "program": program} {
		if list, _, err := Suggest(bytes.NewReader(b), int64(len(b)), ""); !errors.Is(err, ErrNotText) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	// A log that was preallocated, and one that quotes raw messages, are logs.
	line := "2026-11-28 10:00:00 RspCode=%s <\x02\x15\x03\x1c>\n"
	text := strings.Repeat(fmt.Sprintf(line, "00"), 20) + fmt.Sprintf(line, "96") + strings.Repeat("\x00", 4096)
	if list, _, err := Suggest(strings.NewReader(text), int64(len(text)), ""); err != nil || len(list) == 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestTheNumberOfAFieldIsNoPartOfATime: 39 in 10:39:05 and in ms=395 names no code.
func TestTheNumberOfAFieldIsNoPartOfATime(t *testing.T) {
	re := regexp.MustCompile(spelled("39") + joint + `(?P<code>` + valueOf + `)\b`)
	for line, want := range map[string]string{`"39":"96"`: "96", "39=96": "96", "39 [96]": "96", "F11: 000123, 39: 51": "51",
		"10:39:05": "", "ms=395": "", "2026-39-11": "", "1.39.7": ""} {
		got := ""
		if m := re.FindStringSubmatch(line); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func BenchmarkSuggest(b *testing.B) {
	random := make([]byte, 3<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.UintN(256))
	}
	var text bytes.Buffer
	for i := 0; text.Len() < 3<<20; i++ {
		fmt.Fprintf(&text, kinds[3].line, i%60, "00")
		fmt.Fprintf(&text, "2026-11-28 10:00:%02d DEBUG printer ready, queue 3, version=2.1.%d\n", i%60, i)
	}
	for name, data := range map[string][]byte{"text-3MB": text.Bytes(), "binary-3MB": random} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				_, _, _ = Suggest(bytes.NewReader(data), int64(len(data)), "")
			}
		})
	}
}

// fixedWidth are records of tills without names and separators; %s is a code, %06d a trace number, %012d an amount.
var fixedWidth = map[string]string{
	"code first, as bank interfaces in China answer":    "%[1]s0102621700******1234    %06[2]d%012[3]dAPPROVED-OR-NOT     89831005411012T0001234000012%[4]s\n",
	"code between numbers":                              "20261128%[4]s0200T0001234%06[2]d%012[3]d%[1]s898310054110123\n",
	"code behind the amount, words of two-byte columns": "%06[2]d%012[3]dC%[1]s交易结果如下0001\n",
}

// Records of one width with nothing between their columns: the code is found by its values, not by its place; of what
// cannot be found the width is said.
func TestSuggestFixedWidth(t *testing.T) {
	codes := []string{"00", "00", "51", "00", "00", "00", "55", "00", "91", "00", "00", "96"}
	for name, line := range fixedWidth {
		var b strings.Builder
		for i := range 240 {
			now := fmt.Sprintf("%02d%02d%02d", 9+i/30, i*2%60, i*13%60)
			fmt.Fprintf(&b, line, codes[i*7%len(codes)], 100+i, (i*7919%400)*100, now)
		}
		list, look, err := Suggest(strings.NewReader(b.String()), int64(b.Len()), "")
		if err != nil || len(list) == 0 || look.Columns == 0 {
			t.Errorf("%s: %+v, %+v, %v", name, list, look, err)
			continue
		}
		best := list[0]
		if best.Records != 240 || best.Codes["00"] != 160 || best.Codes["51"] != 20 || best.Codes["96"] != 20 ||
			!strings.Contains(best.Pattern, "stan") {
			t.Errorf("%s: %+v", name, list)
		}
	}
	// Amounts, times and trace numbers alone are no codes, but their width is seen.
	var b strings.Builder
	for i := range 240 {
		fmt.Fprintf(&b, "20261128%02d%02d%02dT0001234%06d%012d\n", 9+i/30, i*2%60, i*13%60, 100+i, (i*7919%400)*100)
	}
	list, look, err := Suggest(strings.NewReader(b.String()), int64(b.Len()), "")
	if err != nil || len(list) > 0 || look.Columns != 40 {
		t.Errorf("%+v, %+v, %v", list, look, err)
	}
}
