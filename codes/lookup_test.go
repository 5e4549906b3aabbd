package codes

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLookup(t *testing.T) {
	tests := []struct {
		scheme, code string
		found        string // the code of the row, "" for none
		domain       string
	}{
		{"unionpay", "97", "97", "terminal-config"},
		{"gicc-de", "97", "97", "terminal-keys"},
		{"cb2a-fr", "97", "97", "scheme-switch"},
		{"unionpay", "a0", "A0", "terminal-keys"},
		{"unionpay", "ZZ", "", ""},
		{"nowhere", "97", "", ""},
		{"", "97", "", ""},
		{"unionpay", "", "", ""},
		{"terminal-local", "newpos:E5", "newpos:E5", "network-path"},
		{"terminal-local", "ConnectError", "seed:ConnectError", "network-path"},
		{"terminal-local", "E5", "newpos:E5", "network-path"},
		{"acquirer-4", "20xx", "20xx", "unknown"},
		{"acquirer-4", "2097", "20xx", "unknown"},
		{"unionpay-reject", "10352", "1nnnt", "terminal-config"},
		{"unionpay-reject", "09990", "09990", "terminal-config"},
		{"unionpay-reject", "20000", "20000", "scheme-switch"},
		{"unionpay-reject", "1035A", "", ""},
		{"iso8583-2003", "9109", "9109", "scheme-switch"},
		{"reversal-reason", "98", "98", "network-path"},
	}
	for _, tt := range tests {
		m, ok := Builtin().Lookup(tt.scheme, tt.code)
		if ok != (tt.found != "") || m.Code != tt.found || m.Domain != tt.domain {
			t.Errorf("Lookup(%q, %q) = %q %q %v, want %q %q", tt.scheme, tt.code, m.Code, m.Domain, ok, tt.found, tt.domain)
		}
	}
}

func TestEveryRowIsFound(t *testing.T) {
	k := Builtin()
	for _, m := range k.Meanings {
		if got, ok := k.Lookup(m.Scheme, m.Code); !ok || got.Code != m.Code {
			t.Errorf("Lookup(%q, %q) = %q, %v", m.Scheme, m.Code, got.Code, ok)
		}
		if !slices.ContainsFunc(k.All(m.Code), func(n Meaning) bool { return n.Scheme == m.Scheme && n.Text == m.Text }) {
			t.Errorf("All(%q) lacks the row of %s", m.Code, m.Scheme)
		}
	}
}

func TestAll(t *testing.T) {
	tests := map[string]string{
		"97":           "cb2a-fr channel-cn gicc-de iso8583-1987 unionpay",
		"9997":         strings.TrimSpace(strings.Repeat("acquirer-4 ", 9)),
		"ConnectError": "terminal-local",
		"0x02":         "terminal-local terminal-local terminal-local",
		"98":           "cb2a-fr channel-cn gicc-de iso8583-1987 reversal-reason unionpay",
		"T-8C41":       "",
	}
	for code, want := range tests {
		var got []string
		for _, m := range Builtin().All(code) {
			got = append(got, m.Scheme)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("All(%q) = %s, want %s", code, g, want)
		}
	}
}

func TestResolve(t *testing.T) {
	tests := []struct {
		profile, scheme, code, origin string
		want                          string // scheme code decoded, and whether it is usable; "" unknown
	}{
		// The host's table is the profile's.
		{"unionpay", "", "97", "host", "unionpay 97 - usable"},
		{"unionpay", "unionpay", "97", "host", "unionpay 97 - usable"},
		{"unionpay", "gicc-de", "97", "host", "gicc-de 97 - usable"},
		{"gicc-de", "", "97", "host", "gicc-de 97 - usable"},
		{"unionpay", "", "97", "unknown", "unionpay 97 - usable"},
		{"unionpay", "", "20000", "host", "unionpay-reject 20000 - usable"},
		{"unionpay", "", "T-8C41", "terminal", ""},
		{"unionpay", "nowhere", "97", "host", ""},
		// A terminal's words are its own errors, its card's, or its reasons to reverse.
		{"unionpay", "", "ConnectError", "terminal", "terminal-local seed:ConnectError - usable"},
		{"unionpay", "", "newpos:E5", "terminal", "terminal-local newpos:E5 - usable"},
		{"unionpay", "terminal-local", "mpt:0x04", "terminal", "terminal-local mpt:0x04 - usable"},
		{"unionpay", "", "0x02", "terminal", "terminal-local newpos-ped:0x02 - unusable"}, // three drivers use it
		{"unionpay", "unionpay", "98", "terminal", "reversal-reason 98 - usable"},
		{"unionpay", "unionpay", "A0", "terminal", "reversal-reason A0 - usable"},
		{"unionpay", "reversal-reason", "98", "unknown", "reversal-reason 98 - usable"},
		{"unionpay", "", "Z3", "terminal", "emv-arc Z3 - usable"},
		{"unionpay", "", "51", "terminal", "unionpay 51 - unusable"}, // no host has said so
		// A terminal's own error is not a host's.
		{"unionpay", "", "newpos:E5", "host", "terminal-local newpos:E5 - unusable"},
		// Cashier programs use four characters as they like.
		{"unionpay", "", "9997", "cashier", "acquirer-4 9997 - unusable"},
		{"unionpay", "", "1401", "cashier", "acquirer-4 1401 - unusable"},
		{"posp", "", "9997", "cashier", "acquirer-4 9997 - usable"},
		{"redsys", "", "9997", "cashier", "acquirer-4 9997 - usable"},
		{"starpos", "", "1401", "cashier", "acquirer-4 1401 - usable"},
		{"starpos", "", "9997", "cashier", "acquirer-4 9997 - unusable"}, // this source prints no 9997
		{"unionpay", "", "96", "cashier", "unionpay 96 - unusable"},
		{"unionpay", "", "9997", "host", "acquirer-4 9997 - unusable"},
		// Longer codes with field 39 inside.
		{"bestpay", "", "A097", "host", "acquirer-4 A097 97 usable"},
		{"bestpay", "", "AA96", "host", "acquirer-4 AA96 96 usable"},
		{"bestpay", "unionpay", "A0A0", "host", "acquirer-4 A0A0 A0 usable"},
		{"bestpay", "", "D955", "host", "unionpay 55 55 usable"}, // not printed, but the rule holds
		{"bestpay", "", "A0", "host", "unionpay A0 - usable"},
		{"starpos", "", "2097", "cashier", "unionpay 97 97 usable"},
		{"starpos", "", "20A7", "host", "unionpay A7 A7 usable"},
		{"unionpay", "", "2097", "host", "acquirer-4 20xx - unusable"},
		{"unionpay", "", "A097", "host", "acquirer-4 A097 97 unusable"},
		// Overrides stand before the base scheme.
		{"host-mm", "", "89", "host", "iso8583-1987 89 - usable"},
		{"host-mm", "", "96", "host", "iso8583-1987 96 - usable"},
		{"", "", "97", "host", ""},
		{"", "", "newpos:E5", "terminal", "terminal-local newpos:E5 - usable"},
	}
	k := Builtin()
	for _, tt := range tests {
		p, _ := k.Profile(tt.profile)
		r := k.Resolve(p, tt.scheme, tt.code, tt.origin)
		got := ""
		if r.Known {
			decoded, usable := r.Decoded, "unusable"
			if decoded == "" {
				decoded = "-"
			}
			if r.Usable {
				usable = "usable"
			}
			got = strings.Join([]string{r.Scheme, r.Meaning.Code, decoded, usable}, " ")
		}
		if got != tt.want {
			t.Errorf("Resolve(%s, %q, %q, %s) = %q, want %q (searched %v)", tt.profile, tt.scheme, tt.code, tt.origin, got, tt.want, r.Searched)
		}
	}
}

func TestResolveTakesTheSourceOfTheProfile(t *testing.T) {
	k := Builtin()
	for profile, want := range map[string]string{"posp": "Failed to load configuration file (acquirer POS front end)",
		"redsys": "Another transaction is in progress with the same card (Redsys, Spain)"} {
		p, _ := k.Profile(profile)
		if r := k.Resolve(p, "", "9997", "cashier"); r.Meaning.Text.EN != want || r.Rows != 9 {
			t.Errorf("%s: 9997 is %q of %d, want %q", profile, r.Meaning.Text.EN, r.Rows, want)
		}
	}
	p, _ := k.Profile("host-mm")
	if r := k.Resolve(p, "", "89", "host"); r.Meaning.Domain != "terminal-config" {
		t.Errorf("host-mm: 89 is %q", r.Meaning.Text.EN)
	}
}

// TestResolveDoesNotPickOneOfMany: nine systems print nine meanings for 9997, and a merchant must not be shown the
// first.
func TestResolveDoesNotPickOneOfMany(t *testing.T) {
	k := Builtin()
	p, _ := k.Profile("unionpay")
	tests := []struct {
		code, origin, text, domain string
		sources                    int
	}{
		{"9997", "cashier", ambiguous.EN, "unknown", 10},
		{"0x02", "terminal", ambiguous.EN, "unknown", 1},
		{"0000", "cashier", "Success (almost every 4-digit family)", "none", 7}, // here all agree
		{"1401", "cashier", "Terminal does not exist (illegal terminal)", "terminal-config", 1},
	}
	before := len(k.Meanings[0].Sources)
	for _, tt := range tests {
		r := k.Resolve(p, "", tt.code, tt.origin)
		m := r.Meaning
		if r.Usable || m.Text.EN != tt.text || m.Domain != tt.domain || len(m.Sources) != tt.sources || !m.Disputed {
			t.Errorf("%s: %q %s, sources %v, usable %v, disputed %v", tt.code, m.Text.EN, m.Domain, m.Sources, r.Usable, m.Disputed)
		}
	}
	if len(k.Meanings[0].Sources) != before {
		t.Error("the table has changed")
	}
}

func TestResolveSaysWhereItLooked(t *testing.T) {
	k := Builtin()
	p, _ := k.Profile("unionpay")
	tests := map[string][]string{
		"host":     {"unionpay", "unionpay-reject", "emv-arc", "acquirer-4"},
		"terminal": {"terminal-local", "emv-arc", "reversal-reason", "unionpay", "unionpay-reject", "acquirer-4"},
		"cashier":  {"acquirer-4", "unionpay", "unionpay-reject", "emv-arc", "terminal-local"},
	}
	for origin, want := range tests {
		if d := cmp.Diff(want, k.Resolve(p, "", "T-8C41", origin).Searched); d != "" {
			t.Errorf("%s (-want +got):\n%s", origin, d)
		}
	}
}

// Whatever scheme a host's code is read by, it is never an error of some terminal's make; and what every field 39 has
// in common is known in each.
func TestHostCodesAreNeverTheTerminals(t *testing.T) {
	k := Builtin()
	schemes := []string{"", "no-such-scheme"}
	for _, s := range k.Schemes {
		schemes = append(schemes, s.Name)
	}
	const places = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, p := range k.Profiles {
		for _, scheme := range schemes {
			for i := range places {
				for j := range places {
					code := places[i:i+1] + places[j:j+1]
					r := k.Resolve(p, scheme, code, "host")
					if r.Scheme == SchemeLocal || slices.Contains(r.Searched, SchemeLocal) {
						t.Fatalf("profile %s, scheme %q: a host's %s is read as %+v", p.Name, scheme, code, r)
					}
					lent := r.Known && r.Scheme == schemeISO && scheme != schemeISO && p.Base != schemeISO &&
						!slices.Contains(p.Also, schemeISO) && scheme != "visa" && scheme != "mastercard"
					if lent && code != "00" && (!r.Meaning.Disputed || r.Meaning.Approves()) {
						t.Errorf("profile %s, scheme %q: %s is lent without a word of doubt: %+v", p.Name, scheme, code, r.Meaning)
					}
				}
			}
		}
	}
	for _, where := range [][2]string{{"gicc-de", ""}, {"cb2a-fr", ""}, {"unionpay", "gicc-de"}, {"unionpay", "cb2a-fr"},
		{"unionpay", "mastercard"}, {"unionpay", "visa"}, {"mastercard", ""}} {
		p, _ := k.Profile(where[0])
		for _, code := range []string{"00", "05", "14", "41", "51", "54", "55", "57", "65"} {
			r := k.Resolve(p, where[1], code, "host")
			if !r.Known || !r.Usable || (r.Meaning.Domain == "none") != (code == "00") {
				t.Errorf("profile %s, scheme %q: %s is read as %+v", where[0], where[1], code, r)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, code, inside string
		ok                    bool
	}{
		{"20xx", "2097", "97", true},
		{"20xx", "20A7", "A7", true},
		{"20xx", "2197", "", false},
		{"20xx", "20977", "", false},
		{"??xx", "AA96", "96", true},
		{"??xx", "A-96", "", false},
		{"0nnnt", "09990", "", true},
		{"0nnnt", "0999A", "", false},
		{"xx", "\xff\xff", "", false},
		{"", "", "", true},
	}
	for _, tt := range tests {
		if inside, ok := Match(tt.pattern, tt.code); inside != tt.inside || ok != tt.ok {
			t.Errorf("Match(%q, %q) = %q, %v, want %q, %v", tt.pattern, tt.code, inside, ok, tt.inside, tt.ok)
		}
	}
}

func TestIsReversal(t *testing.T) {
	for mti, want := range map[string]bool{"0400": true, "0420": true, "0401": true, "0421": true, "1420": true, "0410": false, "0430": false,
		"0200": false, "": false, "400": false} {
		if got := IsReversal(mti); got != want {
			t.Errorf("IsReversal(%q) = %v", mti, got)
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	k := Builtin()
	if n := testing.AllocsPerRun(100, func() { k.Lookup("unionpay", "97") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("bestpay", "", "A097", "host")
	f.Add("unionpay", "acquirer-4", "20xx", "cashier")
	f.Add("host-mm", "terminal-local", "newpos:E5", "terminal")
	f.Add("", "nowhere", "\xff:", "")
	k := Builtin()
	f.Fuzz(func(t *testing.T, profile, scheme, code, origin string) {
		p, _ := k.Profile(profile)
		r := k.Resolve(p, scheme, code, origin)
		if r.Known != (r.Meaning.Code != "") || r.Usable && !r.Known || r.Known &&
			!slices.Contains([]string{r.Meaning.Scheme}, r.Scheme) {
			t.Errorf("Resolve(%q, %q, %q, %q) = %+v", profile, scheme, code, origin, r)
		}
		k.All(code)
	})
}

func BenchmarkResolve(b *testing.B) {
	k := Builtin()
	p, _ := k.Profile("unionpay")
	b.ReportAllocs()
	for b.Loop() {
		k.Resolve(p, "", "97", "host")
	}
}

// TestNamesOfAnyProgramAreNoMakers: a name that any program may use stays that, though a maker's table has the same.
func TestNamesOfAnyProgramAreNoMakers(t *testing.T) {
	k := Builtin()
	p, _ := k.Profile("unionpay")
	shared := 0
	for _, m := range k.Meanings {
		_, name, ok := strings.Cut(m.Code, ":")
		if !ok || m.Class != ClassAnyName {
			continue
		}
		r := k.Resolve(p, "", name, originTerminal)
		if r.Meaning.Code != m.Code || r.Rows > 1 {
			t.Errorf("%s is read as %s, one of %d rows", name, r.Meaning.Code, r.Rows)
		}
		if len(exactBehindColon(k, name)) > 1 {
			shared++
		}
	}
	if shared == 0 {
		t.Error("no name is shared with a maker: the test is blind")
	}
}

func exactBehindColon(k *Knowledge, name string) (list []string) {
	for _, m := range k.Meanings {
		if _, behind, ok := strings.Cut(m.Code, ":"); ok && strings.EqualFold(behind, name) {
			list = append(list, m.Code)
		}
	}
	return list
}
