package codes

import (
	"slices"
	"testing"
)

// TestNormalise: field 39 as it is met in life.
func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{"96": "96", "96 ": "96", " 96\t": "96", "９６": "96", "Ａ０": "A0", "　97　": "97", "\ufeff51": "51",
		"newpos：E5": "newpos:E5", "ConnectError": "ConnectError", "": "", "  ": ""} {
		if got := Normalise(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestThreePlaces: a leading zero is dropped only where the code as it stands is in no table that applies.
func TestThreePlaces(t *testing.T) {
	k := Builtin()
	unionpay, _ := k.Profile("unionpay")
	iso93, _ := k.Profile("iso8583-1993")
	if r := k.Resolve(unionpay, "", "096", "host"); !r.Known || r.Meaning.Code != "96" || r.Decoded != "96" || !r.Usable {
		t.Errorf("096: %+v", r)
	}
	if r := k.Resolve(iso93, "", "000", "host"); !r.Known || r.Meaning.Code != "000" {
		t.Errorf("a code that has three places of its own: %+v", r)
	}
	if r := k.Resolve(unionpay, "", "0", "host"); r.Known {
		t.Errorf("0: %+v", r)
	}
}

// TestWriters: who can have written a code that a person only reads from a screen.
func TestWriters(t *testing.T) {
	k := Builtin()
	p, _ := k.Profile("unionpay")
	for _, c := range []struct {
		scheme, code string
		want         []string
	}{
		{"", "97", []string{"host"}}, {"", "51", []string{"host"}}, {"unionpay", "55", []string{"host"}},
		{"", "newpos:E5", []string{"terminal"}}, {"", "ConnectError", []string{"terminal"}}, {"", "QX7", nil},
	} {
		if got := k.Writers(p, c.scheme, c.code); !slices.Equal(got, c.want) {
			t.Errorf("%s/%s: %v, want %v", c.scheme, c.code, got, c.want)
		}
	}
	if got := k.Writers(p, "", "9997"); !slices.Contains(got, "cashier") {
		t.Errorf("9997: %v", got)
	}
}
