package hook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzPairs holds the reading in place against encoding/json.
func FuzzPairs(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[1,"x",{"c":null}],"a":"\u00e9\ud83d\ude00\n\"\\\/"}`, ` { } `, `{"\u0061":true , "b" : -1.5e3 }`, `{"a":"\ud83d"}`, `{"a":"\ud83dx\udc00\ud800\u0041"}`,
		`[{"a":[]}]`, `{"a":{"b":"}"},"c":"]"}`, `{"":""}`, `null`, `{"a":"4761739001010010"`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want map[string]json.RawMessage
		err := json.Unmarshal(b, &want)
		got, ok := pairs(bytes.Clone(b))
		if ok != (err == nil && want != nil) {
			t.Fatalf("%q: read %v, encoding/json says %v", b, ok, err)
		}
		if !ok || !utf8.Valid(b) {
			return // encoding/json puts other characters in place of what is no UTF-8
		}
		last := map[string][]byte{}
		for _, p := range got {
			last[string(p.name)] = p.value
		}
		if len(last) != len(want) {
			t.Fatalf("%q: members %v, want %v", b, last, want)
		}
		for name, value := range want {
			sameValue(t, last[name], value)
		}
	})
}

// sameValue compares a value with what encoding/json takes for it, down to the last string.
func sameValue(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("value %q, want %q", got, want)
	}
	switch want[0] {
	case '"':
		var text string
		json.Unmarshal(want, &text)
		if s, ok := unquote(bytes.Clone(got)); !ok || string(s) != text {
			t.Fatalf("%s is %q, want %q", want, s, text)
		}
	case '[':
		var list []json.RawMessage
		json.Unmarshal(want, &list)
		parts, ok := elements(bytes.Clone(got))
		if !ok || len(parts) != len(list) {
			t.Fatalf("%s has %d elements, want %d", want, len(parts), len(list))
		}
		for i := range list {
			sameValue(t, parts[i], list[i])
		}
	case '{':
		var object map[string]json.RawMessage
		json.Unmarshal(want, &object)
		if _, ok := pairs(bytes.Clone(got)); !ok {
			t.Fatalf("%s is no object", want)
		}
	default:
		if n, ok := whole(got); ok {
			var v int64
			if json.Unmarshal(want, &v); v != n {
				t.Fatalf("%s is %d", want, n)
			}
		}
	}
}

// TestAmbiguousRequestsAreRefused: a member that stands there twice has two readers; a failed sale is not taken for a
// good one. A text that nobody reads costs no event, and a code that could not be read is none.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	for _, c := range []struct{ line, field, why string }{
		{`{"type":"code","code":"96","code":"00"}`, "code", "twice"},
		{`{"type":"code","code":"00","\u0063ode":"96"}`, "", "twice"},
		{`{"type":"code","code":"96","txn":{"sent":false,"sent":true}}`, "sent", "twice"},
		{`{"type":"fact","check":"app.keys","facts":{"state":"ok","state":"missing"}}`, "state", "twice"},
		{`{"type":"txn","type":"code","code":"96"}`, "type", "twice"},
		{`{"type":"code","code":"96","extra":{"a":1,"a":2}}`, "a", "twice"},
		{`{"type":"code","code":"\ud83d"}`, "code", "could not be read"},
		{`{"type":"code","code":"9\udc006"}`, "code", "could not be read"},
		{`{"type":"code","code":"96","note":"cut \ud83d"}`, "", ""},
		{"{\"type\":\"code\",\"code\":\"96\",\"note\":\"\xbf\xa8\"}", "", ""}, // GBK in a member that is not read
	} {
		_, a := parse([]byte(c.line), time.Unix(1e9, 0))
		switch {
		case c.why == "" && a.Result != Accepted:
			t.Errorf("%s: %+v", c.line, a)
		case c.why != "" && (a.Result != Refused || !strings.Contains(a.Why, c.why) || c.field != "" && a.Field != c.field):
			t.Errorf("%s: %+v", c.line, a)
		}
	}
}

// TestThePublicAddressIsAnAddress: with twelve digits it is one all the same, and nothing else is.
func TestThePublicAddressIsAnAddress(t *testing.T) {
	for text, ok := range map[string]bool{"203.0.113.9": true, "192.168.100.200": true, "2001:db8::7": true, "4761739001010010": false, "fe80::1%eth0": false, "pos.example": false, "": false} {
		q, a := parse([]byte(`{"type":"fact","check":"app.config","facts":{"public_address":"`+text+`"}}`), time.Unix(1e9, 0))
		if got := a.Result == Accepted && q.fact != nil && q.fact.Facts["public_address"] == text; got != ok {
			t.Errorf("%q: %+v", text, a)
		}
	}
}

// TestAmbiguousNexo: the same holds for a register's question.
func TestAmbiguousNexo(t *testing.T) {
	const head = `{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Diagnosis","MessageType":"Request","ServiceID":"1","SaleID":"S","POIID":"P"},"DiagnosisRequest":{"HostDiagnosisFlag":false`
	if _, why := parseNexo([]byte(head + `}}}`)); why != "" {
		t.Fatal(why)
	}
	if _, why := parseNexo([]byte(head + `,"HostDiagnosisFlag":true}}}`)); !strings.Contains(why, `"HostDiagnosisFlag": stands in one object twice`) {
		t.Errorf("%q", why)
	}
}
