package paylog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/source/sourcetest"
	"posdx/drivers/ecr"
)

// sale is a request and its answer as a terminal sends and receives them.
func sale(t testing.TB, d *ecr.Dialect, n int, code string) (ask, answer []byte) {
	t.Helper()
	h := ecr.Head{}
	if d.Name == "unionpay" {
		h = ecr.Head{TPDU: "6000060000", Header: "603100311003"}
	}
	common := map[int]string{2: sourcetest.PlantedCard, 3: "000000", 4: "000000012345", 11: fmt.Sprintf("%06d", n), 41: "10077120", 42: "898330154110012"}
	build := func(mti string, more map[int]string) []byte {
		all := map[int]string{}
		for _, m := range []map[int]string{common, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		b, err := ecr.Build(d, h, mti, all)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return build("0200", map[int]string{35: sourcetest.PlantedCard + "D30122011758"}), build("0210", map[int]string{12: "131411", 13: "1121", 37: "112113000123", 39: code})
}

// TestMessagesThatTheLogDumps: of a log in which the program dumps what it sends and receives, a pattern is proposed
// and takes the code of each answer, whoever the host is, and no digit of the card.
func TestMessagesThatTheLogDumps(t *testing.T) {
	rows := func(place string, b []byte) string {
		var out []string
		for at := 0; at < len(b); at += 16 {
			row := b[at:min(at+16, len(b))]
			front, behind := "", ""
			if place != "" {
				front = fmt.Sprintf(place, at)
				behind = "  " + strings.Map(func(r rune) rune {
					if r <= ' ' || r > '~' {
						return '.'
					}
					return r
				}, strings.ToValidUTF8(string(row), "."))
			}
			out = append(out, strings.TrimRight(fmt.Sprintf("%s%-47s%s", front, fmt.Sprintf("% X", row), behind), " "))
		}
		return strings.Join(out, "\n")
	}
	forms := map[string]func(n int, way string, b []byte) string{
		"in a line": func(n int, way string, b []byte) string { return fmt.Sprintf("10:02:%02d %s [%X]", n, way, b) },
		"pairs in a line": func(n int, way string, b []byte) string {
			return fmt.Sprintf("2026-11-28 10:02:%02d D/Iso: %s: % x", n, way, b)
		},
		"rows with places": func(n int, way string, b []byte) string {
			return fmt.Sprintf("%s %d bytes\n%s\n", way, len(b), rows("%04X: ", b))
		},
		"with an h": func(n int, way string, b []byte) string { return way + "\n" + rows("%08Xh ", b) },
		"rows of pairs": func(n int, way string, b []byte) string {
			return fmt.Sprintf("2026-11-28 10:02:%02d %s\n%s", n, way, rows("", b))
		},
	}
	codes := []string{"00", "51", "00", "91", "00", "05", "00"}
	for _, d := range []*ecr.Dialect{ecr.UnionPay(), ecr.NAC(), ecr.Text(), ecr.TextHex()} {
		if d.Name == "text-hex" {
			forms["characters"] = func(n int, way string, b []byte) string { return fmt.Sprintf("10:02:%02d %s=[%s]", n, way, b) }
		}
		for form, write := range forms {
			var log []string
			for i, code := range codes {
				ask, answer := sale(t, d, i+1, code)
				log = append(log, write(2*i, "send", ecr.Binary2.Append(nil, ask)), "connected, waiting", write(2*i+1, "recv", answer))
			}
			text := []byte(strings.Join(log, "\n") + "\nend of sale\n")
			list, _, err := Suggest(bytes.NewReader(text), int64(len(text)), "")
			right := err == nil && len(list) == 1 && list[0].Records == len(codes)
			if !right || list[0].Codes["00"] != 4 || list[0].Codes["51"] != 1 || list[0].Codes["91"] != 1 {
				t.Errorf("%s, %s: %+v %v\n%s", d.Name, form, list, err, text)
				continue
			}
			if s := list[0].TOML("x"); strings.Contains(s, sourcetest.PlantedCard[:6]) {
				t.Error(s)
			}
		}
	}
}

// TestFieldsInHex: a code whose characters were dumped is the code, of a request or a sign-in there is none, and what
// cannot be read is refused.
func TestFieldsInHex(t *testing.T) {
	_, answer := sale(t, ecr.NAC(), 7, "96")
	ask, _ := sale(t, ecr.NAC(), 7, "96")
	signIn, err := ecr.Build(ecr.NAC(), ecr.Head{}, "0810", map[int]string{11: "000001", 39: "00", 41: "10077120"})
	if err != nil {
		t.Fatal(err)
	}
	reversal, err := ecr.Build(ecr.NAC(), ecr.Head{}, "0400", map[int]string{3: "000000", 11: "000007", 39: "98", 41: "10077120"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pattern, line, code, origin string
		refused                     bool
	}{
		"tag 8A":               {`8A02(?P<code_hex>[0-9A-F]{4})`, "9F2701408A0230359108", "05", "unknown", false},
		"offline, by the chip": {`8A02(?P<code_hex>....)`, "9B02E8008A025A33", "Z3", "unknown", false},
		"a digit of more":      {`8A 02 (?P<code_hex>..)`, "8A 02 35 31", "", "", true},
		"EBCDIC":               {`F39=(?P<code_hex>\w+)`, "F39=F5F1", "51", "unknown", false},
		"no text":              {`F39=(?P<code_hex>\w+)`, "F39=0001", "", "", true},
		"a card":               {`F39=(?P<code_hex>\w+)`, "F39=" + fmt.Sprintf("%X", sourcetest.PlantedCard), "", "", true},
		"an answer":            {`< (?P<message>.*)`, fmt.Sprintf("< %X", answer), "96", "host", false},
		"a request":            {`< (?P<message>.*)`, fmt.Sprintf("< %X", ask), "", "", false},
		"a sign-in":            {`< (?P<message>.*)`, fmt.Sprintf("< %X", signIn), "", "", false},
		"a reversal's reason":  {`< (?P<message>.*)`, fmt.Sprintf("< %X", reversal), "98", "terminal", false},
		"cut":                  {`< (?P<message>.*)`, fmt.Sprintf("< %X", answer[:40]), "", "", true},
		"masked":               {`< (?P<message>.*)`, "< " + strings.Replace(fmt.Sprintf("%X", answer), sourcetest.PlantedCard[6:12], "******", 1), "", "", true},
	} {
		p, err := CompilePattern(c.pattern, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, ok, refused := p.read([]byte(c.line), time.Now())
		code, origin := "", ""
		if f.seen != nil {
			code, origin = f.seen.Code, string(f.seen.Origin)
		}
		if !ok || code != c.code || origin != c.origin || refused != c.refused {
			t.Errorf("%s: %v %q of %q, refused %v; want %q of %q, refused %v", name, ok, code, origin, refused, c.code, c.origin, c.refused)
		}
		if s := fmt.Sprintf("%+v %+v", f, f.seen); strings.Contains(s, sourcetest.PlantedCard[:6]) {
			t.Errorf("%s: %s", name, s)
		}
	}
}
