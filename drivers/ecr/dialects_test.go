package ecr

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ways reads testdata/dialects.hex: the way, the length header, the message type and the bytes.
func ways(t testing.TB) (list []struct {
	way, length, mti string
	b                []byte
}) {
	t.Helper()
	all, err := os.ReadFile("testdata/dialects.hex")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		f := strings.Fields(line)
		b, err := hex.DecodeString(f[3])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, struct {
			way, length, mti string
			b                []byte
		}{f[0], f[1], f[2], b})
	}
	return list
}

// TestStreamReadsEveryWayOfWriting reads what a script wrote that knows nothing of ours, whatever the length header,
// whatever stands before the message type, cut at every byte, and with nothing declared.
func TestStreamReadsEveryWayOfWriting(t *testing.T) {
	read := map[string]bool{}
	for _, w := range ways(t) {
		l, err := LengthHeaderByName(w.length)
		if err != nil {
			t.Fatal(err)
		}
		want := Message{MTI: w.mti, Processing: "000000", STAN: "000123", Time: "131411", Date: "1121", Terminal: "10077120", Length: len(w.b) - l.Size() - l.tail()}
		if w.mti == "0210" {
			want.Reference, want.Code = "112113000123", "96"
		}
		if strings.HasSuffix(w.way, "1993") {
			want.MTI = "1" + w.mti[1:]
			if want.Code != "" {
				want.Code = "909"
			}
		}
		check := func(how string, got []Message, n int) {
			t.Helper()
			for i := range got {
				read[got[i].Dialect] = true
				got[i].Dialect, got[i].TPDU = "", ""
			}
			all := []Message{want, want}
			if diff := cmp.Diff(all[:n], got); diff != "" {
				t.Fatalf("%s %s %s, %s: -want +got\n%s", w.way, w.length, w.mti, how, diff)
			}
		}
		check("twice", collect(t, NewStream(0), append(bytes.Clone(w.b), w.b...)), 2)
		check("declared", collect(t, NewStream(l), w.b, w.b), 2)
		for cut := 1; cut < len(w.b); cut++ {
			check("in two segments", collect(t, NewStream(0), w.b[:cut], w.b[cut:]), 1)
		}
		for _, m := range collect(t, NewStream(0), w.b) {
			for _, v := range []string{m.TPDU, m.STAN, m.Reference, m.Code, m.Terminal, m.Time, m.Date} {
				if len(v) >= 6 && strings.Contains("6222020000000003301220117589288898f9ab1c2d3e4f506", v) && v != "000000" {
					t.Errorf("%s: %q is of the card", w.way, v)
				}
			}
		}
	}
	for _, d := range dialects {
		if d.Name != "nac" && !read[d.Name] { // where that fits, unionpay does, too
			t.Errorf("nothing was read as %s", d.Name)
		}
	}
}

// TestTheSameCardInEveryWayOfWriting: whatever the packing, it is one card.
func TestTheSameCardInEveryWayOfWriting(t *testing.T) {
	tags := NewTags()
	for _, w := range ways(t) {
		s := NewStream(0)
		s.Tags = tags
		for _, m := range collect(t, s, w.b) {
			if m.Card != (Card{1, 2, "unionpay"}) {
				t.Errorf("%s %s: card %+v", w.way, w.mti, m.Card)
			}
		}
	}
}

// The messages were published by others: see testdata.
func TestPublishedMessages(t *testing.T) {
	for name, b := range foreign(t, "published.hex") {
		want, ok := map[string]Message{
			"signon-reply-ebcdic": {Dialect: "ebcdic-bcd", MTI: "0810", STAN: "000005", Code: "00"},
			"atm-ask-text":        {Dialect: "text-hex", MTI: "0200", Processing: "000010", STAN: "000001", Terminal: "12340001"},
			"atm-answer-text": {Dialect: "text-hex", MTI: "0210", Processing: "011000", STAN: "000001", Time: "191533", Date: "1006", Reference: "100609010224",
				Code: "00", Terminal: "00000901"},
			"authorisation-ask-ebcdic": {Dialect: "ebcdic", MTI: "0100", Processing: "000000", STAN: "123456"},
		}[name]
		if !ok {
			t.Errorf("%s is not tested", name)
		}
		want.Length = len(b)
		if got, err := Parse(b); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestSchemeOfACode(t *testing.T) {
	for _, c := range []struct{ mti, code, want string }{{"0210", "96", ""}, {"1210", "909", "iso8583-1993"}, {"1210", "96", ""}, {"2210", "0909", "iso8583-2003"}} {
		if got := (Message{MTI: c.mti, Code: c.code}).Scheme(); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.mti, c.code, got, c.want)
		}
	}
}

func BenchmarkParseDialects(b *testing.B) {
	list := ways(b)
	for b.Loop() {
		for _, w := range list {
			if w.length == "binary2" {
				Parse(bytes.Clone(w.b[2:]))
			}
		}
	}
}
