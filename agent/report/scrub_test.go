package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Test numbers that card schemes publish, one per scheme and length.
var testCards = []string{
	"4761739001010010", "4222222222222", "5413330089010434", "2223000048410010", "378282246310005", "36259600000004",
	"6250941006528599", "6240008631401148", "3530111333300000", "6759649826438453", "6222988812345678906", "135412345678911",
}

func TestScrubStopsCards(t *testing.T) {
	for _, card := range testCards {
		b := []byte(card)
		if !luhn(b) {
			t.Fatalf("%s is no card number: the test is wrong", card)
		}
		group := func(sep string, size int) string {
			var parts []string
			for s := card; s != ""; s = s[min(size, len(s)):] {
				parts = append(parts, s[:min(size, len(s))])
			}
			return strings.Join(parts, sep)
		}
		for _, form := range []string{
			card, group(" ", 4), group("-", 4), group(" ", 1), group(" ", 2), card[:6] + "-" + card[6:],
			card[:4] + " " + card[4:10] + " " + card[10:],
			card + "F", "0000" + card + "1234567", "PAN" + card + "x", "pan-" + group("-", 4),
			";" + card + "=25122011234567890?", "%B" + card + "^DOE/JOHN^2512201000?", card + "D25122011234567890F",
			"5A08" + card + "5F2403251231", "5711" + card + "d2512201", card[:6] + "******" + card[len(card)-4:],
			card[:4] + " **** **** " + card[len(card)-4:], card[:6] + "xxxxxx" + card[len(card)-4:],
		} {
			for _, doc := range []string{form, `{"step":"` + form + `"}`, "x " + form + " y", "\xff" + form, strings.Repeat("a", 200) + form} {
				out, n := Scrub([]byte(doc))
				if n == 0 {
					t.Errorf("%s went out", doc)
				}
				if len(out) != len(doc) {
					t.Errorf("%s became %s: other length", doc, out)
				}
				if rest := strings.NewReplacer(" ", "", "-", "").Replace(string(out)); strings.Contains(rest, card[6:]) ||
					strings.Contains(rest, "DOE") {
					t.Errorf("%s became %s", doc, out)
				}
				if _, again := Scrub(out); again != 0 {
					t.Errorf("%s became %s, which is stopped again", doc, out)
				}
			}
		}
		for _, doc := range []string{`{"ms":%s}`, `[1,%s,2]`, `{"ms": -%s }`, `{"ms":%s.5e3}`} {
			doc = fmt.Sprintf(doc, card)
			out, n := Scrub([]byte(doc))
			if n != 1 || !json.Valid(out) || strings.Contains(string(out), card[:6]) {
				t.Errorf("%s became %s, %d stopped", doc, out, n)
			}
		}
	}
}

func TestScrubTracksWithoutLuhn(t *testing.T) {
	for _, doc := range []string{";4761739001010011=25122011?", "%B4761739001010011^DOE/JOHN^2512?", "4761739001010011D2512201"} {
		if out, n := Scrub([]byte(doc)); n != 1 || strings.Contains(string(out), "4761") || strings.Contains(string(out), "2512") {
			t.Errorf("%s became %s, %d stopped", doc, out, n)
		}
	}
}

func TestScrubLeavesInputAlone(t *testing.T) {
	in := []byte("pan 4761739001010010")
	if out, _ := Scrub(in); string(in) != "pan 4761739001010010" || &in[0] == &out[0] {
		t.Error("Scrub wrote into its input")
	}
	in = []byte("no digits")
	if out, _ := Scrub(in); &in[0] != &out[0] {
		t.Error("Scrub copied what it did not change")
	}
}

func TestScrubKeepsOurForms(t *testing.T) {
	for _, doc := range []string{
		`{"time":"2026-11-21T12:00:00.123456789Z","uptime_ms":812345000000}`, `"7c-000000012f"`, `"412-0000001234"`, `"91234567-0000001234"`,
		`K7QF-3MXP-4761-7390`, `"probability":0.4761739001010010`, `10.4761739001`, "20261121120000", "20261130235959",
		`192.168.100.200 10.0.0.1`, `net.tcp 3000 120`, `"since 2026-11-21 12:00:00"`, `+86 95516`, `"first":1763726400123`,
	} {
		if out, n := Scrub([]byte(doc)); n != 0 {
			t.Errorf("%s became %s", doc, out)
		}
	}
}

// Whatever values our documents hold, none is taken for a card number.
func TestScrubKeepsOurDocuments(t *testing.T) {
	hexes := func(n int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			return hex.EncodeToString(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes"))
		})
	}
	uuid := rapid.Custom(func(t *rapid.T) string {
		h := hexes(16).Draw(t, "hex")
		return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
	})
	handoff := rapid.Custom(func(t *rapid.T) string {
		const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
		s := "K"
		for i := 1; i < 20; i++ {
			if i%4 == 0 {
				s += "-"
			}
			s += string(alphabet[rapid.IntRange(0, 31).Draw(t, "digit")])
		}
		return s[:len(s)-1] + "Q"
	})
	rapid.Check(t, func(t *rapid.T) {
		when := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).UTC()
		ms := rapid.Int64Range(0, 1e12-1)
		sum := sha256.Sum256([]byte(when.String()))
		boot := rapid.Uint64Range(0, 1<<32-1).Draw(t, "boot")
		seq := rapid.Uint64Range(0, 1<<24-1).Draw(t, "seq")
		connect := ms.Draw(t, "connect")
		d := Diagnosis{
			ID: fmt.Sprintf("%02x-%010x", boot, seq), TookMS: ms.Draw(t, "took"), Handoff: handoff.Draw(t, "handoff"),
			Event: Event{Time: when, UptimeMS: ms.Draw(t, "uptime"), BootID: uuid.Draw(t, "boot id"), Code: "96",
				Txn: &Txn{MTI: "0210", STAN: fmt.Sprintf("%012d", rapid.Int64Range(0, 1e12-1).Draw(t, "stan")),
					TerminalID: fmt.Sprintf("%08d", rapid.IntRange(0, 1e8-1).Draw(t, "tid")), ConnectMS: &connect}},
			Causes: []Cause{{ID: "host.malfunction", Probability: rapid.Float64Range(0, 1).Draw(t, "p"),
				For: []Reason{{WeightDB: rapid.Float64Range(-60, 60).Draw(t, "w")}}}},
			Evidence: []Evidence{{Check: "net.tcp", Facts: Facts{"ms": rapid.Float64Range(0, 1e5).Draw(t, "fact"),
				"n": rapid.IntRange(0, 1<<30).Draw(t, "n"),
				"address": fmt.Sprintf("%d.%d.%d.%d", rapid.Byte().Draw(t, "a"), rapid.Byte().Draw(t, "b"),
					rapid.Byte().Draw(t, "c"), rapid.Byte().Draw(t, "d"))}, At: when}},
			Agent: Agent{Version: "1.2.3", Knowledge: "sha256:" + hex.EncodeToString(sum[:])},
		}
		doc, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		epoch := hexes(8).Draw(t, "epoch")
		wrapped, err := Wrap(Address{"shop", "t1"}, KindDiagnosis, epoch, boot, seq, when, false, doc)
		if err != nil {
			t.Fatal(err)
		}
		if out, n := Scrub(wrapped); n != 0 {
			for i := range out {
				if out[i] != wrapped[i] {
					t.Fatalf("%d stopped, the first at %q in %s", n, wrapped[i:min(len(wrapped), i+40)], wrapped)
				}
			}
		}
	})
}

func FuzzScrub(f *testing.F) {
	for _, card := range testCards {
		f.Add([]byte(`{"a":"`+card+`","b":`+card+`}`), uint8(3))
	}
	f.Add([]byte("1 2 3-4 5"), uint8(200))
	f.Fuzz(func(t *testing.T, b []byte, where uint8) {
		out, n := Scrub(b)
		if len(out) != len(b) || (n == 0) != (string(out) == string(b)) {
			t.Fatalf("%q became %q, %d stopped", b, out, n)
		}
		if start := bytes.TrimLeft(b, " \t\r\n"); len(start) > 0 && (start[0] == '{' || start[0] == '[') && json.Valid(b) &&
			!json.Valid(out) {
			t.Fatalf("%q became %q: no JSON any more", b, out)
		}
		if _, again := Scrub(out); again != 0 {
			t.Fatalf("%q became %q, of which more is stopped", b, out)
		}
		// A card number put anywhere is found, unless it became part of something longer that is ours.
		at := min(int(where), len(b))
		planted := string(b[:at]) + " 4761739001010010 " + string(b[at:])
		if out, _ := Scrub([]byte(planted)); strings.Contains(string(out), "4761739001010010") {
			t.Fatalf("%q became %q", planted, out)
		}
	})
}

func BenchmarkScrub(b *testing.B) {
	doc := []byte(`{"id":"7c-000000012f","time":"2026-11-21T12:00:00.123Z","boot_id":"c88b9d13-46da-5ce2-83b2-a124a5df2625","say":"` + strings.Repeat("text ", 500) + `"}`)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		Scrub(doc)
	}
}
