package report

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestOneReadingOnly: JSON that two readers would read in two ways is taken by none. The inputs are those of RFC 7493
// (I-JSON) 2.1 and 2.3, of the JSON parsing test suite (y_object_duplicated_key,
// i_string_1st_surrogate_but_2nd_missing, … inverted_surrogates_U+1D11E) and of reports on payment gateways that check
// one member and use the other (CVE-2017-12635).
func TestOneReadingOnly(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"code":"96"}`, ""},
		{`[{"code":"96"},{"code":"00"}]`, ""},
		{`{"a":{"code":1},"code":2}`, ""},
		{`{"code":"96","facts":{"ok":true}} `, ""},
		{`{"say":"\ud83d\ude00"}`, ""},
		{`{"say":"\\ud83d"}`, ""}, // a backslash and five letters
		{`{"a":1,"b":1,"":2}`, ""},
		{`-1.5e3`, ""},
		{`{"code":"96","code":"00"}`, `member "code": stands in one object twice`},
		{`{"code":"96","code":"96"}`, "twice"}, // alike now, and whoever wrote it did not know what they did
		{`{"Code":"96","code":"00"}`, "twice"},
		{`{"code":"96","\u0063ode":"00"}`, "twice"},
		{`{"\u0063od\u0065":"96","co\u0064e":"00"}`, "twice"},
		{`{"roles":[],"type":"code","roles":["x"]}`, `member "roles"`},
		{`{"txn":{"sent":true,"sent":false},"code":"96"}`, `member "sent"`},
		{`{"evidence":[{"facts":{"ms":1,"x":[{}],"ms":2}}]}`, `member "ms"`},
		{`{"\u017fent":1,"sent":2}`, "twice"}, // encoding/json takes the long s for s
		{`{"code":"\ud83d"}`, "surrogate"},
		{`{"code":"\udc00\ud800"}`, "surrogate"},
		{`{"code":"\ud83dx\udc00"}`, "surrogate"},
		{`{"code":"\ud83d\u0041"}`, "surrogate"},
		{`{"\ud83d":"96"}`, "surrogate"},
		{`{"code":"\u001b[2J"}`, "control character"},
		{`{"code":"\u0007"}`, "control character"},
		{`{"code":"` + "\u009b" + `31m"}`, "control character"}, // the same in one character (ECMA-48, 5.3)
		{`{"code":"\u007f"}`, "control character"},
		{`{"say":"one\ntwo\t\r\n"}`, ""},
		{`{"code":"9` + "\xff" + `"}`, "not UTF-8"},
		{`{"code":"9` + "\xed\xa0\xbd" + `"}`, "not UTF-8"}, // a surrogate in bytes (CESU-8)
		{``, "empty"},
		{`{"code":"96"`, "not JSON"},
		{`{"code":"96"}{"code":"00"}`, "not JSON"},
		{`{"code":"96",}`, "not JSON"},
		{`{'code':'96'}`, "not JSON"},
		{"\ufeff" + `{"code":"96"}`, "not JSON"},
		{`{"4761739001010010":1,"4761739001010010":2}`, "byte 22: stands"}, // a card number as a name is not repeated
	} {
		err := CheckJSON([]byte(c.in))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.in, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: taken", c.in)
		case c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
	}
	many := "{"
	for i := range maxMembers + 1 {
		many += `"` + strings.Repeat("a", i+1) + `":0,`
	}
	if err := CheckJSON([]byte(many[:len(many)-1] + "}")); err == nil || !strings.Contains(err.Error(), "members") {
		t.Errorf("an object without end: %v", err)
	}
}

// TestDecodeErrorsSpeakJSON: whoever reads them does not know Go.
func TestDecodeErrorsSpeakJSON(t *testing.T) {
	type recording struct {
		Event    *Event      `json:"event"`
		Evidence *[]Evidence `json:"evidence"`
	}
	for in, want := range map[string]string{
		`{"event":"96"}`:                               `member "event": want an object, found string`,
		`{"event":{"code":96}}`:                        `member "event.code": want text in quotes, found a number`,
		`{"event":{"txn":{"connect_ms":"41"}}}`:        `member "event.txn.connect_ms": want a number, found string`,
		`{"event":{"time":"yesterday"}}`:               `a time is wanted`,
		`{"evidence":{"check":"net.tcp"}}`:             `member "evidence": want a list, found an object`,
		`{"event":{"uptime_ms":1.5}}`:                  `member "event.uptime_ms": a number that is too large or too small here, or not whole`,
		`{"event":{"uptime_ms":99999999999999999999}}`: `member "event.uptime_ms": a number that is too large`,
		`{"event":{"clock_trusted":1}}`:                `want true or false, found a number`,
	} {
		err := Decode([]byte(in), new(recording))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// FuzzCheckJSON: nothing crashes it, it takes no more than encoding/json does, and what it takes has one reading.
func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{`{"code":"96","code":"00"}`, `{"a":[1,"x",{"\u00e9":null}],"b":"\ud83d\ude00"}`, `{"\u0061":true , "A" : -1.5e3 }`,
		`"\ud83d"`, `[[],{},"",0,{"":{"":""}}]`, "{\"a\":\"\xff\"}", `{"a\\":1,"a\u005c":2}`, ` `, `[{"a":1,"a":2}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if CheckJSON(b) != nil {
			return
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%q: taken, and encoding/json says %v", b, err)
		}
		again, _ := json.Marshal(v)
		var w any
		if json.Unmarshal(again, &w) != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%q reads as %v and then as %v", b, v, w)
		}
	})
}
