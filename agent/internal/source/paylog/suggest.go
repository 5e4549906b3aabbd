package paylog

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a suggestion.
const (
	suggestBytes  = 4 << 20  // of the log's end that are looked at
	suggestSample = 1 << 20  // of these, in which names are looked for first
	suggestHead   = 64 << 10 // of these, by which text is told from other data
	suggestLeast  = 2        // records that a pattern must catch
	suggestMost   = 3        // patterns
	suggestCodes  = 64       // different values, above which they are no codes
)

// A Suggestion is a pattern for a log that is not configured yet. It holds no text of the log but the names of its
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
	joint   = `["'\])]?(?:\s*\[0?39\](?:\s*\.{2,}|\s*[:=]))?(?:\s*\.{2,})?\s*(?:value\s*)?[:=：＝→>]?\s*[\["'(【（<]?`
	valueOf = `[0-9A-Za-z]{1,8}`
)

// ErrNotText is the error for a file that holds no text.
var ErrNotText = errors.New("not a text file")

// month is the name of a month in a line, cut to some letters, and hour a time of day.
const (
	month = `\pL{3,5}\.?`
	hms   = `\d\d:\d\d:\d\d`
)

// layouts are the times that stand in a line, as Go writes them and as they look; those that say more before those that
// are a part of them.
var layouts = []struct{ layout, re string }{
	{"2006-01-02T15:04:05", `\d{4}-\d\d-\d\dT` + hms}, {"2006-01-02 15:04:05", `\d{4}-\d\d-\d\d ` + hms}, {"2006/01/02 15:04:05", `\d{4}/\d\d/\d\d ` + hms},
	{"02/01/2006 15:04:05", `\d\d/\d\d/\d{4} ` + hms}, {"02.01.2006 15:04:05", `\d\d\.\d\d\.\d{4} ` + hms}, {"20060102 15:04:05", `\d{8} ` + hms},
	{"02/Jan/2006:15:04:05 -0700", `\d\d/` + month + `/\d{4}:` + hms + ` [+-]\d{4}`}, {"02/Jan/2006:15:04:05", `\d\d/` + month + `/\d{4}:` + hms},
	{"2-Jan-2006 15:04:05", `\d{1,2}-` + month + `-\d{4} ` + hms}, {"2 Jan 2006 15:04:05", `\d{1,2} ` + month + ` \d{4} ` + hms},
	{"2/Jan/2006 15:04:05", `\d{1,2}/` + month + `/\d{4} ` + hms}, {"02-Jan-06 15:04:05", `\d\d-` + month + `-\d\d ` + hms},
	{"2006-Jan-02 15:04:05", `\d{4}-` + month + `-\d\d ` + hms}, {"2006 Jan 2 15:04:05", `\d{4} ` + month + ` \d{1,2} ` + hms},
	{"Jan 2, 2006 3:04:05 PM", month + ` \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d [AaPp][Mm]`}, {"Jan 2 2006 15:04:05", month + ` \d{1,2} \d{4} ` + hms},
	{"Jan _2 15:04:05 2006", month + ` [ \d]\d ` + hms + ` \d{4}`}, {"Jan _2 15:04:05", month + ` [ \d]\d ` + hms},
	{"01-02 15:04:05", `\d\d-\d\d ` + hms}, {"02/01/06 15:04:05", `\d\d/\d\d/\d\d ` + hms}, {"15:04:05", hms},
}

// fixed are the forms of known programs. jPOS writes an event as XML of several lines, one element a field.
var fixed = []Suggestion{
	{Begin: `^\s*<log `, Origin: "host",
		Pattern: `(?s)<receive>.*?<field id="0" value="(?P<mti>\d\d[13]\d)".*?<field id="11" value="(?P<stan>\d{1,12})".*?<field id="39" value="(?P<code>[0-9A-Za-z]{2,4})"`},
	{Begin: `^\s*<log `, Origin: "host", Pattern: `(?s)<field id="0" value="(?P<mti>\d\d[13]\d)".*?<field id="39" value="(?P<code>[0-9A-Za-z]{2,4})"`},
	{Begin: `^\s*<isomsg`, Origin: "host", Pattern: `(?s)<field id="0" value="(?P<mti>\d\d[13]\d)".*?<field id="39" value="(?P<code>[0-9A-Za-z]{2,4})"`},
}

// dumps are the forms in which programs write the messages that they send and receive: characters, where a message has
// no others; hex digits in a line; rows that say where they begin; rows behind a line of words.
var dumps = []Suggestion{
	{Pattern: `(?P<message>(?:\d{4})?0[1-8]\d\d[0-9A-Fa-f]{16}[^\]}"'<>\r\n]*)`},
	{Pattern: `(?P<message>(?:[0-9A-Fa-f]{2}[ :-]?){20,})`},
	{Begin: `^\s*(?:0x)?0{4,8}[h:(\s]`, Pattern: `(?s)(?P<message>.*)`},
	{Begin: `^.*[^0-9A-Fa-f\s]`, Pattern: `\n(?P<message>(?:[0-9A-Fa-f]{2}\s*){20,})`},
}

// A Look is what was seen of a log.
type Look struct {
	Encoding string `json:"encoding"`
	Lines    int    `json:"lines"`
	Padded   int    `json:"padded"`          // lines with zero bytes
	Columns  int    `json:"width,omitempty"` // of lines that are all equally wide
}

// Suggest looks at the text of a log and proposes patterns, the best first. name is its encoding, empty to find it out.
// Of a file that is no text it returns ErrNotText.
func Suggest(r io.ReaderAt, size int64, name string) (list []Suggestion, look Look, err error) {
	from := max(0, size-suggestBytes)
	from -= from % 2
	b := make([]byte, size-from)
	defer clear(b)
	n, err := r.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return nil, look, err
	}
	b = b[:n]
	head := b[:min(len(b), suggestHead)]
	start, err := utf8Text(head, cmp.Or(name, guessEncoding(head)))
	if err != nil {
		return nil, look, err
	}
	defer clear(start)
	if !isText(start) {
		return nil, look, ErrNotText
	}
	if name == "" {
		name = guessEncoding(b)
	}
	text, err := utf8Text(b, name)
	if err != nil {
		return nil, look, err
	}
	defer clear(text)
	look.Encoding = cmp.Or(name, "utf-8")
	look.Lines, look.Padded = unpad(text)
	add := func(s Suggestion) bool {
		s.Encoding = name
		if s.try(b) {
			list = append(list, s)
			return true
		}
		return false
	}
	for _, s := range fixed {
		if bytes.Contains(text, []byte(strings.TrimPrefix(s.Begin, `^\s*`))) && add(s) {
			return list, look, nil // one event is not two
		}
	}
	sample := text
	if cut := len(text) - suggestSample; cut > 0 {
		sample = text[cut+bytes.IndexByte(text[cut:], '\n')+1:]
	}
	keys := foundKeys(sample)
	if len(keys) == 0 && len(sample) < len(text) {
		keys, sample = foundKeys(text), text
	}
	for _, key := range keys {
		if len(list) == suggestMost {
			break
		}
		core := spelled(key) + joint + `(?P<code>` + valueOf + `)\b`
		s := Suggestion{Pattern: core}
		lines := matching(sample, core)
		if stan, before, ok := besides(lines, core); ok && before {
			s.Pattern = spelled(stan) + joint + `(?P<stan>\d{1,12})\b.*?` + core
		} else if ok {
			s.Pattern = core + `.*?` + spelled(stan) + joint + `(?P<stan>\d{1,12})\b`
		}
		if layout, re, ok := timed(lines); ok {
			s.Layout, s.Pattern = layout, re+`.*?`+s.Pattern
		}
		add(s)
	}
	if len(list) > 0 {
		return list, look, nil
	}
	for _, s := range dumps {
		if add(s) {
			return list, look, nil
		}
	}
	for _, s := range columns(sample) {
		if add(s); len(list) == suggestMost {
			return list, look, nil
		}
	}
	if len(list) > 0 {
		return list, look, nil
	}
	var inColumns []Suggestion
	inColumns, look.Columns = fixedColumns(sample)
	for _, s := range inColumns {
		if add(s); len(list) == suggestMost {
			break
		}
	}
	return list, look, nil
}

// unpad makes blanks of the zeros that programs pad fields with, and line ends of holes; and counts lines, and those
// with zeros in them.
func unpad(text []byte) (lines, padded int) {
	here := false
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && text[end] == 0 {
			end++
		}
		switch {
		case end-i > maxPadding:
			text[i] = '\n'
			fallthrough
		case end > i:
			for k := i; k < end; k++ {
				if text[k] == 0 {
					text[k] = ' '
				}
			}
			here = here || end-i <= maxPadding
			i = end
			continue
		case text[i] == '\n':
			lines++
			if here {
				padded++
			}
			here = false
		}
		i++
	}
	return lines, padded
}

// isText tells text from the bytes of a program, an archive or a picture. A log may quote raw messages, and one whose
// set was guessed wrong still has lines, digits and separators in ASCII.
func isText(text []byte) bool {
	controls, plain, all := 0, 0, 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		i += n
		if r == 0 { // what was preallocated, or lost at a power cut
			continue
		}
		all++
		switch {
		case r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r < 0x7F:
			plain++
		case r < ' ', r >= 0x7F && r < 0xA0, r == utf8.RuneError:
			controls++
		}
	}
	return plain*4 >= all && (controls*10 <= all || controls*4 <= all && plain*10 >= all*7)
}

// spelled makes an expression of a name; a name of letters must not be the end of another.
func spelled(key string) string {
	quoted := regexp.QuoteMeta(key)
	if r, _ := utf8.DecodeRuneInString(key); r >= utf8.RuneSelf {
		return quoted
	}
	if key[0] <= '9' { // the number of a field, and no part of a time, an address or another number
		quoted = fieldNumber(key)
		return `(?:^|[^\d:.,/-])` + quoted + `\b`
	}
	return `\b` + quoted + `\b`
}

// named is spelled with the name itself as a group.
func named(key string) string {
	quoted := regexp.QuoteMeta(key)
	if key[0] <= '9' {
		quoted = fieldNumber(key)
	}
	// A program may say whose it is: hostResponseCode.
	if len(key) >= longName && key[0] < utf8.RuneSelf && !strings.ContainsAny(key, " 9") {
		return `\b(\w*` + quoted + `)\b`
	}
	return strings.Replace(spelled(key), quoted, `(`+quoted+`)`, 1)
}

// longName is the length of a name that is one still with another word in front.
const longName = 7

// fieldNumber matches the number of a field, which may be written with a zero in front.
func fieldNumber(key string) string { return `0?` + strings.TrimPrefix(key, "0") }

// foundKeys returns the names of members that hold codes, as the text spells them; those with more values first, and no
// name that has the same values as one before it.
func foundKeys(text []byte) (list []string) {
	type seen struct {
		key    string
		n      int
		rank   int
		values map[string]bool
	}
	var all []*seen
	lower := bytes.ToLower(text)
	defer clear(lower)
	for rank, key := range codeKeys {
		if !bytes.Contains(lower, []byte(strings.ToLower(key))) {
			continue
		}
		re := regexp.MustCompile(`(?i)` + named(key) + joint + `(` + valueOf + `)\b`)
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
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		return a.rank/20 < b.rank/20 || a.rank/20 == b.rank/20 && b.n < a.n
	})
	for _, s := range all {
		list = append(list, s.key)
	}
	return list
}

// besides finds a trace number in the lines that have a code: its name, and whether it stands before.
func besides(lines [][]byte, core string) (key string, before, ok bool) {
	for _, k := range stanKeys {
		re := regexp.MustCompile(`(?i)` + named(k) + joint + `\d{1,12}\b`)
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

// timed finds the time in the lines that have a code: at their beginning, or behind a name or address there.
func timed(lines [][]byte) (layout, re string, ok bool) {
	for _, front := range []string{`^\W?`, `^.{0,80}?\b`} {
		for _, l := range layouts {
			at := regexp.MustCompile(front + `(` + l.re + `)`)
			n := 0
			for _, line := range lines {
				if m := at.FindSubmatch(line); m != nil && isTime(l.layout, m[1]) {
					n++
				}
			}
			if n*10 >= len(lines)*9 && n >= suggestLeast {
				return l.layout, front + `(?P<time>` + l.re + `)`, true
			}
		}
	}
	return "", "", false
}

func isTime(layout string, v []byte) bool {
	_, err := time.Parse(layout, englishMonth(layout, string(v)))
	return err == nil
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
		if h.Code != "" && (len(s.Codes) <= suggestCodes || s.Codes[h.Code] > 0) {
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
	// A program that ends each line with a zero has some as well, but fewer.
	wide := (zeros[0]+zeros[1])*20 > min(len(b), 4096)
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}), wide && zeros[1] > 4*zeros[0]+16:
		return "utf-16le"
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}), wide && zeros[0] > 4*zeros[1]+16:
		return "utf-16be"
	case utf8.Valid(bytes.TrimRight(b, "\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f")), ascii(b):
		return ""
	}
	best, most := "windows-1252", 0
	for _, name := range []string{"gb18030", "big5", "shift-jis", "windows-1252", "windows-1251", "cp866", "windows-1250", "windows-874", "windows-1256"} {
		text, err := utf8Text(b, name)
		if err == nil && !bytes.ContainsRune(text, utf8.RuneError) {
			lower, n := bytes.ToLower(text), 0
			for _, key := range slices.Concat(codeKeys, stanKeys, commonWords) {
				if !ascii([]byte(key)) {
					n += bytes.Count(lower, bytes.ToLower([]byte(key)))
				}
			}
			clear(lower)
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
