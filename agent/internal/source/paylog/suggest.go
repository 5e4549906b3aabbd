package paylog

import (
	"bytes"
	"cmp"
	_ "embed"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a suggestion.
const (
	suggestBytes = 4 << 20 // of the log's end that are looked at
	suggestLeast = 2       // records that a pattern must catch
	suggestMost  = 3       // patterns
	suggestCodes = 64      // different values, above which they are no codes
)

// A Suggestion is a pattern for a log that nobody has configured. It holds no text of the log but the names of its
// members.
type Suggestion struct {
	Encoding string         `json:"encoding,omitempty"` // empty for UTF-8
	Begin    string         `json:"begin,omitempty"`
	Pattern  string         `json:"pattern"`
	Layout   string         `json:"time_layout,omitempty"`
	Origin   string         `json:"origin,omitempty"`
	Records  int            `json:"records"` // that it catches
	Codes    map[string]int `json:"codes"`
}

// namesInLogs are the names that logs give a response code, from the surest to the least, and behind an empty line
// those of a trace number: other people's words, so not those of this program's own texts.
//
//go:embed names.txt
var namesInLogs string

var codeKeys, stanKeys = func() ([]string, []string) {
	codes, traces, _ := strings.Cut(strings.TrimSpace(namesInLogs), "\n\n")
	return strings.Split(codes, "\n"), strings.Split(traces, "\n")
}()

// joint stands between a name and its value; valueOf is a code.
const (
	joint   = `["']?\s*[:=：＝→]?\s*[\["'(【（<]?`
	valueOf = `[0-9A-Za-z]{1,8}`
)

// layouts are the times that stand at the beginning of a line, as Go writes them and as they look.
var layouts = []struct{ layout, re string }{
	{"2006-01-02T15:04:05", `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`}, {"2006-01-02 15:04:05", `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`}, {"2006/01/02 15:04:05", `\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`},
	{"02/01/2006 15:04:05", `\d\d/\d\d/\d{4} \d\d:\d\d:\d\d`}, {"02.01.2006 15:04:05", `\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d`}, {"20060102 15:04:05", `\d{8} \d\d:\d\d:\d\d`},
	{"Jan _2 15:04:05", `[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d`}, {"15:04:05", `\d\d:\d\d:\d\d`},
}

// fixed are the forms of known programs. jPOS writes an event as XML of several lines, one element a field.
var fixed = []Suggestion{
	{Begin: `^\s*<log `, Origin: "host",
		Pattern: `(?s)<receive>.*?<field id="0" value="(?P<mti>\d\d[13]\d)".*?<field id="11" value="(?P<stan>\d{1,12})".*?<field id="39" value="(?P<code>[0-9A-Za-z]{2,4})"`},
	{Begin: `^\s*<log `, Origin: "host", Pattern: `(?s)<field id="0" value="(?P<mti>\d\d[13]\d)".*?<field id="39" value="(?P<code>[0-9A-Za-z]{2,4})"`},
	{Begin: `^\s*<isomsg`, Origin: "host", Pattern: `(?s)<field id="0" value="(?P<mti>\d\d[13]\d)".*?<field id="39" value="(?P<code>[0-9A-Za-z]{2,4})"`},
}

// Suggest looks at the text of a log and proposes patterns, the best first. name is its encoding, empty to find it out.
func Suggest(r io.ReaderAt, size int64, name string) ([]Suggestion, error) {
	from := max(0, size-suggestBytes)
	from -= from % 2
	b := make([]byte, size-from)
	defer clear(b)
	n, err := r.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return nil, err
	}
	b = b[:n]
	if name == "" {
		name = guessEncoding(b)
	}
	var list []Suggestion
	add := func(s Suggestion) bool {
		s.Encoding = name
		if s.try(b) {
			list = append(list, s)
			return true
		}
		return false
	}
	for _, s := range fixed {
		if add(s) {
			return list, nil // one event is not two
		}
	}
	text, err := utf8Text(b, name)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	for _, key := range foundKeys(text) {
		if len(list) == suggestMost {
			break
		}
		core := spelled(key) + joint + `(?P<code>` + valueOf + `)\b`
		s := Suggestion{Pattern: core}
		if stan, before, ok := besides(text, core); ok && before {
			s.Pattern = spelled(stan) + joint + `(?P<stan>\d{1,12})\b.*?` + core
		} else if ok {
			s.Pattern = core + `.*?` + spelled(stan) + joint + `(?P<stan>\d{1,12})\b`
		}
		if layout, re, ok := timed(text, core); ok {
			s.Layout, s.Pattern = layout, `^\W?(?P<time>`+re+`).*?`+s.Pattern
		}
		add(s)
	}
	return list, nil
}

// spelled makes an expression of a name; a name of letters must not be the end of another.
func spelled(key string) string {
	quoted := regexp.QuoteMeta(key)
	if r, _ := utf8.DecodeRuneInString(key); r < utf8.RuneSelf {
		quoted = `\b` + quoted
	}
	return quoted
}

// foundKeys returns the names of codes that the text has, as it spells them; those with more values first, and no name
// whose values another has told already.
func foundKeys(text []byte) (list []string) {
	type seen struct {
		key    string
		n      int
		rank   int
		values map[string]bool
	}
	var all []*seen
	for rank, key := range codeKeys {
		re := regexp.MustCompile(`(?i)(` + spelled(key) + `)` + joint + `(` + valueOf + `)\b`)
		for _, m := range re.FindAllSubmatchIndex(text, 20000) {
			// A name and its value with nothing between are two words.
			gap := text[m[3]:m[4]]
			if len(bytes.TrimSpace(gap)) == 0 || !bytes.ContainsAny(text[m[4]:m[5]], "0123456789") && m[5]-m[4] > 3 {
				continue
			}
			spelling := string(text[m[2]:m[3]])
			i := slices.IndexFunc(all, func(s *seen) bool { return s.key == spelling })
			if i < 0 {
				if len(all) == 4*len(codeKeys) {
					continue
				}
				all = append(all, &seen{key: spelling, rank: rank, values: map[string]bool{}})
				i = len(all) - 1
			}
			all[i].n++
			if len(all[i].values) <= suggestCodes {
				all[i].values[string(text[m[4]:m[5]])] = true
			}
		}
	}
	all = slices.DeleteFunc(all, func(s *seen) bool { return s.n < suggestLeast || len(s.values) > suggestCodes })
	slices.SortStableFunc(all, func(a, b *seen) int {
		return cmp.Or(cmp.Compare(a.rank/20, b.rank/20),
			cmp.Compare(b.n, a.n))
	})
	for _, s := range all {
		list = append(list, s.key)
	}
	return list
}

// besides finds a trace number in the lines that have a code: its name, and whether it stands before.
func besides(text []byte, core string) (key string, before, ok bool) {
	lines := matching(text, core)
	for _, k := range stanKeys {
		re := regexp.MustCompile(`(?i)(` + spelled(k) + `)` + joint + `\d{1,12}\b`)
		in := regexp.MustCompile(core)
		front, behind, spelling := 0, 0, ""
		for _, l := range lines {
			m, c := re.FindSubmatchIndex(l), in.FindIndex(l)
			switch {
			case m == nil || c == nil:
				continue
			case m[1] <= c[0]:
				front++
			case m[0] >= c[1]:
				behind++
			}
			spelling = string(l[m[2]:m[3]])
		}
		if n := max(front, behind); n*10 >= len(lines)*8 && n >= suggestLeast {
			return spelling, front >= behind, true
		}
	}
	return "", false, false
}

// timed finds the time at the beginning of the lines that have a code.
func timed(text []byte, core string) (layout, re string, ok bool) {
	lines := matching(text, core)
	for _, l := range layouts {
		at := regexp.MustCompile(`^\W?(` + l.re + `)`)
		n := 0
		for _, line := range lines {
			if m := at.FindSubmatch(line); m != nil {
				if _, err := time.Parse(l.layout, string(m[1])); err == nil {
					n++
				}
			}
		}
		if n*10 >= len(lines)*9 && n >= suggestLeast {
			return l.layout, l.re, true
		}
	}
	return "", "", false
}

// matching returns some of the lines that an expression matches.
func matching(text []byte, expr string) (list [][]byte) {
	re := regexp.MustCompile(expr)
	for l := range bytes.Lines(text) {
		if l = bytes.TrimRight(l, "\r\n"); re.Match(l) {
			if list = append(list, l); len(list) == 200 {
				break
			}
		}
	}
	return list
}

// try counts what the suggestion catches; it is false for too little, and for values that are no codes.
func (s *Suggestion) try(b []byte) bool {
	p, err := CompilePattern(s.Pattern, Options{Layout: s.Layout})
	if err != nil {
		return false
	}
	file := LogFile{Encoding: s.Encoding, Patterns: []*Pattern{p}}
	if s.Begin != "" {
		file.Begin = regexp.MustCompile(s.Begin)
	}
	s.Codes = map[string]int{}
	_, err = Try(bytes.NewReader(b), file, func(h Hit) {
		if !h.Refused && (len(s.Codes) <= suggestCodes || s.Codes[h.Code] > 0) {
			s.Records++
			s.Codes[h.Code]++
		}
	})
	return err == nil && s.Records >= suggestLeast && len(s.Codes) <= suggestCodes
}

// guessEncoding finds out how text is written. Of the sets that need two bytes for a character the one is taken of
// which all of it is text; Chinese before the others.
func guessEncoding(b []byte) string {
	zeros := [2]int{}
	for i, c := range b[:min(len(b), 4096)] {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}), zeros[1] > 4*zeros[0]+16:
		return "utf-16le"
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}), zeros[0] > 4*zeros[1]+16:
		return "utf-16be"
	case utf8.Valid(bytes.TrimRight(b, "\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f")), ascii(b):
		return ""
	}
	best, most := "windows-1252", 0
	for _, name := range []string{"gb18030", "big5", "shift-jis", "windows-1251"} {
		text, err := utf8Text(b, name)
		if err == nil && !bytes.ContainsRune(text, utf8.RuneError) {
			n := 0
			for _, key := range slices.Concat(codeKeys, stanKeys, commonWords) {
				if key[0] >= utf8.RuneSelf {
					n += bytes.Count(text, []byte(key))
				}
			}
			if n > most {
				best, most = name, n
			}
		}
		clear(text)
	}
	return best
}

// commonWords tell in which set a log of tills is written.
var commonWords = []string{"交易", "失败", "成功", "终端", "失敗", "終端", "商户", "取引", "カード", "거래", "카드", "отказ", "карт", "операци"}

func utf8Text(b []byte, name string) ([]byte, error) {
	from, _, err := decoding(name)
	if err != nil || from == nil {
		return bytes.Clone(b), err
	}
	return from.Append(make([]byte, 0, 3*len(b)), b), nil
}

// TOML writes the suggestion as the configuration has it.
func (s Suggestion) TOML(path string) string {
	var b strings.Builder
	b.WriteString("[[log]]\npath = " + strconv.Quote(path) + "\n")
	if s.Encoding != "" {
		b.WriteString("encoding = \"" + s.Encoding + "\"\n")
	}
	if s.Begin != "" {
		b.WriteString("begin = '" + s.Begin + "'\n")
	}
	if s.Layout != "" {
		b.WriteString("time_layout = \"" + s.Layout + "\"\n")
	}
	origin := s.Origin
	if origin == "" {
		origin = "unknown"
	}
	b.WriteString("origin = \"" + origin + "\"\n")
	if strings.ContainsRune(s.Pattern, '\'') {
		b.WriteString("patterns = ['''" + s.Pattern + "''']\n")
	} else {
		b.WriteString("patterns = ['" + s.Pattern + "']\n")
	}
	return b.String()
}
