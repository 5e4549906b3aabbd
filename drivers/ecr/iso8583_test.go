package ecr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// foreign reads the messages of a file that others made, by name, with their length header.
func foreign(t testing.TB, file string) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]byte{}
	for line := range strings.Lines(string(raw)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if list[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s %s: %v", file, name, err)
		}
	}
	return list
}

func TestParseReadsWhatOthersWrote(t *testing.T) {
	for _, c := range []struct {
		file, name string
		want       Message
	}{
		{"unionpay.hex", "sale", Message{Dialect: "unionpay", TPDU: "6000060000", MTI: "0200", Processing: "000000", STAN: "000403", Terminal: "10000019", Length: 426}},
		{"iso_8583.hex", "0210", Message{Dialect: "text", MTI: "0210", Processing: "000000", STAN: "000123", Time: "131411", Date: "1121", Reference: "112113000123", Code: "96", Terminal: "10077120", Length: 279}},
		{"iso_8583.hex", "0810", Message{Dialect: "text", MTI: "0810", Processing: "990000", STAN: "000007", Time: "131411", Date: "1121", Reference: "112113000007", Code: "97", Terminal: "10077120", Length: 92}},
		{"iso_8583.hex", "0400", Message{Dialect: "text", MTI: "0420", Processing: "000000", STAN: "000124", Time: "131412", Date: "1121", Reference: "112113000123", Code: "98", Terminal: "10077120", Length: 209}},
	} {
		stream := foreign(t, c.file)[c.name]
		l, err := detect(stream, lengthHeaders, nil)
		if err != nil || l != Binary2 {
			t.Errorf("%s %s: length header %v, %v, want %v", c.file, c.name, l, err, Binary2)
			continue
		}
		message, rest, err := l.Split(stream)
		if err != nil || len(rest) != 0 {
			t.Errorf("%s %s: split: %v, %d bytes left", c.file, c.name, err, len(rest))
			continue
		}
		got, err := Parse(message)
		if err != nil {
			t.Errorf("%s %s: %v", c.file, c.name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s %s: -want +got\n%s", c.file, c.name, d)
		}
		if !bytes.Equal(message, make([]byte, len(message))) {
			t.Errorf("%s %s: the message was not zeroed", c.file, c.name)
		}
	}
}

const (
	plantedPAN   = "6222020000000003"
	plantedTrack = "6222020000000003D30122011758928889"
	plantedPIN   = "\xe0\xe1\xe2\xe3\xe4\xe5\xe6\xe7"
)

// sale is a message with card data in every field that can carry some.
func sale(t testing.TB, d *Dialect, h Head) []byte {
	t.Helper()
	f := map[int]string{
		2: plantedPAN, 3: "000000", 4: "000000012345", 11: "000123", 12: "131411", 13: "1121", 14: "3012", 22: "051",
		25: "00", 26: "06", 35: plantedTrack, 37: "112113000123", 39: "96", 41: "10077120", 42: "898330154110012",
		44: plantedPAN, 49: "156", 52: plantedPIN, 53: "2600000000000000", 55: "\x57\x11" + plantedPIN + "\x5a\x08" + plantedPIN,
		60: "22000001000", 62: plantedPAN, 63: plantedTrack, 64: plantedPIN,
	}
	b, err := Build(d, h, "0210", f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var heads = []Head{{}, {TPDU: "6000030000"}, {TPDU: "6000030000", Header: "602200000000"}, {TPDU: "6000030000", Header: "613100310003"}}

func TestParseReadsEveryDialectAndHead(t *testing.T) {
	for _, d := range common {
		for _, h := range heads {
			b := sale(t, d, h)
			want := Message{Dialect: d.Name, TPDU: h.TPDU, MTI: "0210", Processing: "000000", STAN: "000123", Time: "131411", Date: "1121",
				Reference: "112113000123", Code: "96", Terminal: "10077120", Length: len(b)}
			got, err := Parse(bytes.Clone(b), d)
			if err != nil {
				t.Errorf("%s %+v: %v", d.Name, h, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %+v: -want +got\n%s", d.Name, h, diff)
			}
			// Nobody says which dialect it is: the same values come out.
			got, err = Parse(b)
			if want.Dialect = got.Dialect; err != nil || got != want {
				t.Errorf("%s %+v undeclared: %+v, %v", d.Name, h, got, err)
			}
		}
	}
}

func TestParseSkipsTheRoutingBlockOfADialledCall(t *testing.T) {
	for _, name := range []string{"LRI", "LLI", "LUI"} {
		b := sale(t, UnionPay(), Head{TPDU: "6000030000", Header: "602200000000"})
		b = append(append(append([]byte{}, b[:5]...), append([]byte(name+"\x00\x1c"), make([]byte, 28)...)...), b[5:]...)
		if m, err := Parse(b); err != nil || m.Code != "96" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestParseRefusesWhatDoesNotFit(t *testing.T) {
	whole := sale(t, UnionPay(), heads[2])
	for n := range whole {
		if m, err := Parse(bytes.Clone(whole[:n])); err == nil {
			t.Fatalf("cut after %d of %d bytes: read %+v", n, len(whole), m)
		}
	}
	if m, err := Parse(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrInconsistent) {
		t.Errorf("one byte too many: %+v, %v", m, err)
	}
	if m, err := Parse(make([]byte, MaxMessage+1)); !errors.Is(err, ErrNotISO8583) {
		t.Errorf("too long: %+v, %v", m, err)
	}
	unknown := append([]byte{0x02, 0x10}, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0) // field 8, which UnionPay has not
	if m, err := Parse(unknown, UnionPay()); !errors.Is(err, ErrInconsistent) {
		t.Errorf("field outside the table: %+v, %v", m, err)
	}
}

// leaks says what of the planted card data a message holds.
func leaks(m Message) string {
	for i := range reflect.TypeOf(m).NumField() {
		if s, ok := reflect.ValueOf(m).Field(i).Interface().(string); ok {
			for _, secret := range []string{plantedPAN, plantedPAN[:10], plantedTrack[17:], plantedPIN} {
				if strings.Contains(s, secret) {
					return reflect.TypeOf(m).Field(i).Name + " holds " + secret
				}
			}
		}
	}
	return ""
}

// A changed bit may shift a field over the next, so the walk can end up with a card number where the reference should
// be. The allow-listed widths are what holds then: nothing longer than field 37 comes out.
func TestParseNeverReturnsACardNumber(t *testing.T) {
	for _, d := range common {
		whole := sale(t, d, heads[2])
		for i := range whole {
			for bit := range 8 {
				b := bytes.Clone(whole)
				b[i] ^= 1 << bit
				m, err := Parse(b)
				if err != nil && m != (Message{}) {
					t.Fatalf("%s byte %d bit %d: refused and yet %+v", d.Name, i, bit, m)
				}
				if s := leaks(m); s != "" {
					t.Errorf("%s byte %d bit %d: %s", d.Name, i, bit, s)
				}
			}
		}
	}
}

func TestMessageKinds(t *testing.T) {
	for _, c := range []struct {
		mti                string
		response, reversal bool
	}{{"0200", false, false}, {"0210", true, false}, {"0400", false, true}, {"0410", true, true}, {"0420", false, true},
		{"0430", true, true}, {"0810", true, false}, {"", false, false}} {
		m := Message{MTI: c.mti}
		if m.Response() != c.response || m.Reversal() != c.reversal {
			t.Errorf("%q: response %v reversal %v", c.mti, m.Response(), m.Reversal())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, d := range common {
		for _, h := range heads {
			f.Add(sale(f, d, h))
		}
	}
	for _, file := range []string{"unionpay.hex", "iso_8583.hex"} {
		for _, b := range foreign(f, file) {
			f.Add(b[2:])
		}
	}
	for _, w := range ways(f) {
		if w.length == "binary2" {
			f.Add(w.b[2:])
		}
	}
	f.Fuzz(func(t *testing.T, seed []byte) {
		b := bytes.Clone(seed) // Parse zeroes it
		m, err := Parse(b)
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Fatal("the message was not zeroed")
		}
		if err != nil {
			if m != (Message{}) {
				t.Fatalf("refused and yet %+v", m)
			}
			return
		}
		for _, s := range []struct {
			value string
			most  int
		}{{m.TPDU, 10}, {m.MTI, 4}, {m.Processing, 6}, {m.STAN, 6}, {m.Time, 6}, {m.Date, 4}, {m.Reference, 12}, {m.Code, 3},
			{m.Terminal, 8}} {
			if len(s.value) > s.most {
				t.Fatalf("%q is longer than its field, %d", s.value, s.most)
			}
			if text([]byte(s.value)) != s.value {
				t.Fatalf("%q is not plain text", s.value)
			}
		}
	})
}
