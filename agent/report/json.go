package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"posdx/agent/internal/say"
)

// maxMembers bounds the members of one JSON object; the largest of ours has some thirty.
const maxMembers = 256

// maxMemberName bounds a member's name in bytes, as it is after unescaping.
const maxMemberName = 128

// A JSONProblem says why JSON was not taken in. Its text repeats nothing of the input but the name of a member.
type JSONProblem struct {
	Offset int    // where, in bytes from the front
	Member string // the name of the member concerned, "" if there is none or it is no plain name
	What   say.Message
}

func (p *JSONProblem) Error() string { return p.In("en") }

// In says the problem in a language, "zh" or "en".
func (p *JSONProblem) In(lang string) string {
	if p.Member != "" {
		return say.New("json-member", p.Offset, p.Member, p.What).In(lang)
	}
	return say.New("json-byte", p.Offset, p.What).In(lang)
}

// Decode reads JSON that somebody else wrote into v: requests, commands, advisories and recordings all come in here.
// Beside what encoding/json refuses it refuses what two readers could read in two ways (RFC 8259, 4 and 8.2; RFC 7493,
// 2.1 and 2.3): a name that an object has twice, in whatever case, half of a surrogate pair, and control characters in
// a text. Errors name the member and speak of JSON, not of Go types.
func Decode(b []byte, v any) error {
	if err := CheckJSON(b); err != nil {
		return err
	}
	err := json.Unmarshal(b, v)
	var typed *json.UnmarshalTypeError
	var at *time.ParseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed):
		// of a number that does not fit it says which; foreign digits are not repeated
		found, which, _ := strings.Cut(typed.Value, " ")
		if which != "" && wanted(typed.Type) == "json-number" {
			return &JSONProblem{Offset: int(typed.Offset), Member: typed.Field, What: say.New("json-number-size")}
		}
		return &JSONProblem{Offset: int(typed.Offset), Member: typed.Field,
			What: say.New("json-want-found", say.New(wanted(typed.Type)), foundIn(found))}
	case errors.As(err, &at):
		return &JSONProblem{What: say.New("json-time")}
	}
	return &JSONProblem{What: say.New("json-other", strings.TrimPrefix(err.Error(), "json: "))}
}

// foundIn is a kind of value as encoding/json calls it.
func foundIn(kind string) say.Message {
	switch kind {
	case "bool":
		return say.New("json-bool")
	case "string":
		return say.New("json-found-text")
	case "array":
		return say.New("json-list")
	case "object", "number":
		return say.New("json-" + kind)
	}
	return say.New("json-other", kind)
}

// wanted is the id of what a Go type is in JSON.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "json-bool"
	case reflect.String:
		return "json-text"
	case reflect.Slice, reflect.Array:
		return "json-list"
	case reflect.Struct, reflect.Map:
		return "json-object"
	case reflect.Pointer:
		return wanted(t.Elem())
	}
	return "json-number"
}

// CheckJSON returns why b is not JSON that can be read in one way only, nil if it is. It copies nothing of b.
func CheckJSON(b []byte) error {
	switch {
	case !json.Valid(b):
		return badJSON(b)
	case !utf8.Valid(b):
		return &JSONProblem{Offset: invalidAt(b), What: say.New("json-not-utf-8")}
	}
	return scanJSON(b, true)
}

// CheckNames returns an error only for a name that an object has twice. It is for readers that must not lose a whole
// message over the text of a member that they do not read.
func CheckNames(b []byte) error {
	if !json.Valid(b) {
		return badJSON(b)
	}
	return scanJSON(b, false)
}

func scanJSON(b []byte, whole bool) error {
	s := jsonScan{b: b, whole: whole}
	s.value()
	if s.problem != nil {
		return s.problem
	}
	return nil
}

// badJSON returns the problem of bytes that are not JSON, with the place of the first byte that cannot be.
func badJSON(b []byte) error {
	var at *json.SyntaxError
	switch err := json.Unmarshal(b, new(json.RawMessage)); {
	case len(bytes.TrimSpace(b)) == 0:
		return &JSONProblem{What: say.New("json-empty")}
	case errors.As(err, &at):
		return &JSONProblem{Offset: int(at.Offset), What: say.New("json-ends")}
	}
	return &JSONProblem{What: say.New("json-none")}
}

func invalidAt(b []byte) (n int) {
	for n < len(b) {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

// jsonScan walks over valid JSON without copying any of it: what may be card data would have to be wiped in every copy.
type jsonScan struct {
	b       []byte
	at      int
	whole   bool // half of a surrogate pair is a problem
	problem *JSONProblem
}

func (s *jsonScan) space() {
	for s.at < len(s.b) && (s.b[s.at] == ' ' || s.b[s.at] == '\t' || s.b[s.at] == '\n' || s.b[s.at] == '\r') {
		s.at++
	}
}

// fail notes the first problem.
func (s *jsonScan) fail(at int, name []byte, id string, args ...any) {
	if s.problem == nil {
		s.problem = &JSONProblem{Offset: at, Member: plainName(name), What: say.New(id, args...)}
	}
}

// value walks over one JSON value. How deep values are nested is bounded already, by json.Valid.
func (s *jsonScan) value() {
	if s.space(); s.problem != nil {
		return
	}
	switch s.b[s.at] {
	case '{':
		s.object()
	case '[':
		s.at++
		for s.space(); s.problem == nil && s.b[s.at] != ']'; s.space() {
			if s.value(); s.problem != nil {
				return
			}
			if s.space(); s.b[s.at] == ',' {
				s.at++
			}
		}
		s.at++
	case '"':
		s.text()
	default:
		for s.at < len(s.b) && bytes.IndexByte([]byte(" \t\r\n,:]}"), s.b[s.at]) < 0 {
			s.at++
		}
	}
}

func (s *jsonScan) object() {
	var room [16][]byte
	names := room[:0]
	s.at++
	for s.space(); s.problem == nil && s.b[s.at] != '}'; s.space() {
		from := s.at
		name := s.text()
		switch {
		case s.problem != nil:
			return
		case len(names) == maxMembers:
			s.fail(from, nil, "json-members", maxMembers)
			return
		}
		for _, n := range names {
			if sameName(n, name) {
				s.fail(from, name, "json-twice")
				return
			}
		}
		names = append(names, name)
		s.space()
		s.at++ // the colon
		if s.value(); s.problem != nil {
			return
		}
		if s.space(); s.b[s.at] == ',' {
			s.at++
		}
	}
	s.at++
}

// text walks over a string and returns what is between its quotes, escapes and all.
func (s *jsonScan) text() []byte {
	s.at++
	from := s.at
	for s.b[s.at] != '"' {
		r, n := rune(s.b[s.at]), 1
		switch {
		case r == '\\':
			r, n = unescape(s.b[s.at:])
		case r >= utf8.RuneSelf:
			r, n = utf8.DecodeRune(s.b[s.at:])
		}
		if problem := s.refused(r); problem != "" {
			s.fail(s.at, nil, problem)
			return nil
		}
		s.at += n
	}
	s.at++
	return s.b[from : s.at-1]
}

// refused names what is wrong with a character of a text, "" if nothing is. Control characters move the cursor and
// change the colours of whoever reads the text on a console.
func (s *jsonScan) refused(r rune) string {
	switch {
	case !s.whole:
	case r == loneSurrogate:
		return "json-surrogate"
	case unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t':
		return "json-control"
	}
	return ""
}

const loneSurrogate rune = -1

// unescape reads one escape of valid JSON and tells its length. Half of a surrogate pair is loneSurrogate.
func unescape(b []byte) (r rune, n int) {
	if b[1] != 'u' {
		if i := strings.IndexByte("bfnrt", b[1]); i >= 0 {
			return rune("\b\f\n\r\t"[i]), 2
		}
		return rune(b[1]), 2
	}
	switch r = Hex4(b[2:]); {
	case r >= 0xdc00 && r <= 0xdfff:
		return loneSurrogate, 6
	case r < 0xd800 || r > 0xdbff:
		return r, 6
	}
	if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return loneSurrogate, 6
	}
	low := Hex4(b[8:])
	if low < 0xdc00 || low > 0xdfff {
		return loneSurrogate, 6
	}
	return 0x10000 + (r-0xd800)<<10 + (low - 0xdc00), 12
}

// Hex4 reads the four hexadecimal digits at the start of b (RFC 8259, section 7: \uXXXX). The caller has checked that
// they are digits.
func Hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		r = r<<4 | rune(c)
	}
	return r
}

// sameName compares two names as encoding/json does when it looks for a field: without regard to case. A name too long
// to be one of ours is compared as it stands.
func sameName(a, b []byte) bool {
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return bytes.EqualFold(a, b)
	}
	var x, y [maxMemberName]byte
	n, ok := plain(x[:0], a)
	m, also := plain(y[:0], b)
	if !ok || !also {
		return bytes.Equal(a, b)
	}
	same := bytes.EqualFold(n, m)
	clear(x[:])
	clear(y[:])
	return same
}

// plain appends a name without its escapes, false if that is too long.
func plain(to, name []byte) ([]byte, bool) {
	for i := 0; i < len(name); {
		if len(to)+utf8.UTFMax > cap(to) {
			return nil, false
		}
		if name[i] != '\\' {
			to = append(to, name[i])
			i++
			continue
		}
		r, n := unescape(name[i:])
		to = utf8.AppendRune(to, r) // RuneError for half of a surrogate pair
		i += n
	}
	return to, true
}

// plainName returns a member's name for an error text if it looks like one of ours, else "": a foreign name may be card
// data.
func plainName(b []byte) string {
	if len(b) == 0 || len(b) > 32 {
		return ""
	}
	digits := 0
	for _, c := range b {
		if digit(c) {
			digits++
		}
		if !idChar(c) || digits >= 4 {
			return ""
		}
	}
	return string(b)
}
