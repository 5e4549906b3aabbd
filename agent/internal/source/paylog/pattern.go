package paylog

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/drivers/ecr"
)

// maxPattern bounds a regular expression of the configuration.
const maxPattern = 1024

// maxTime bounds the text of a time: the longest form has under 40 characters.
const maxTime = 64

// buddhist is how many years Thailand's calendar, in which terminals there write their logs, is ahead.
const buddhist = 543

// fraction is the most digits of a second's fraction.
const fraction = 9

// A Pattern reads one kind of record of a payment log. Of a record that matches, its named groups are passed on and
// nothing else.
type Pattern struct {
	re     *regexp.Regexp
	groups []string // by index in a match
	opts   Options
}

// Options is what a line means that a pattern matches.
type Options struct {
	Mark   source.Phase  // the line is a step of a transaction, not a code's appearance; "" for a code
	Origin report.Origin // who wrote the code, unless the group origin says so; "" means unknown
	Scheme string        // unless the group scheme says so
	Result string        // of a mark at the end
	Layout string        // of the group time, as Go writes it; "" means "2006-01-02 15:04:05"
}

// patternGroups are the names a pattern's groups may have.
var patternGroups = []string{"code", "code_hex", "message", "origin", "scheme", "stan", "mti", "tid", "entry", "card_scheme", "time"}

// CompilePattern makes a pattern of a regular expression (RE2) with named groups: code (needed unless it is a mark),
// origin, scheme, stan, mti, tid, entry, card_scheme, time. In the place of code may stand code_hex, a code whose
// characters are written as hex digits, or message, an ISO 8583 message that the program has dumped (ecr.ParseDump).
func CompilePattern(expr string, o Options) (*Pattern, error) {
	if len(expr) > maxPattern {
		return nil, say.New("pattern-long", maxPattern)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, say.New("pattern-broken", expr, err)
	}
	p := &Pattern{re: re, groups: re.SubexpNames(), opts: o}
	hasCode := false
	for _, g := range p.groups {
		if g != "" && !source.OneOf(g, patternGroups) {
			return nil, say.New("pattern-group", expr, g, strings.Join(patternGroups, " "))
		}
		hasCode = hasCode || g == "code" || g == "code_hex" || g == "message"
	}
	switch {
	case o.Mark != "" && !source.OneOf(string(o.Mark), source.Phases):
		return nil, say.New("pattern-mark", expr, o.Mark, strings.Join(source.Phases, " "))
	case o.Mark == "" && !hasCode:
		return nil, say.New("pattern-no-code", expr)
	case o.Origin != "" && !source.OneOf(string(o.Origin), source.Origins):
		return nil, say.New("pattern-origin", expr, o.Origin, strings.Join(source.Origins, " "))
	case o.Result != "" && !source.OneOf(o.Result, source.Results):
		return nil, say.New("pattern-result", expr, o.Result, strings.Join(source.Results, " "))
	case o.Scheme != "" && !source.Word(o.Scheme, source.MaxScheme):
		return nil, say.New("pattern-scheme", expr, o.Scheme)
	}
	if p.opts.Layout == "" {
		p.opts.Layout = time.DateTime
	}
	if p.opts.Origin == "" {
		p.opts.Origin = report.OriginUnknown
	}
	return p, nil
}

// found is what a record said: a code or a mark, and when its writer says that was.
type found struct {
	seen *source.Seen
	mark *source.TxnMark
	at   time.Time // zero if it does not say
}

// read looks at one record. refused tells that it matched but its code is none: a card number, or not printable.
// Nothing of a group is copied before it is known to be what the name of the group demands.
func (p *Pattern) read(record []byte, now time.Time) (f found, ok, refused bool) {
	at := p.re.FindSubmatchIndex(record)
	if at == nil {
		return f, false, false
	}
	s := source.Seen{Origin: p.opts.Origin, Scheme: p.opts.Scheme, Channel: report.ChannelLog, Time: now}
	var t report.Txn
	isCode, dumped := false, false
	for i, g := range p.groups {
		if g == "" || at[2*i] < 0 {
			continue
		}
		v := bytes.TrimSpace(record[at[2*i]:at[2*i+1]])
		if g == "message" {
			if isCode, dumped = message(v, &s, &t); !dumped {
				return f, true, true
			}
			continue
		}
		if len(v) > 4*source.MaxCode {
			continue
		}
		text := hook.View(v)
		switch g {
		case "code_hex":
			isCode = false
			if c := charsOf(text); source.CodeProblem(c) == "" && !digitsGoOn(record, at[2*i], at[2*i+1]) {
				s.Code, isCode = c, true
			}
		case "code":
			isCode = source.CodeProblem(text) == "" && !source.PartOfCard(record, at[2*i], at[2*i+1])
			if isCode {
				s.Code = string(v)
			}
		case "origin":
			if o, ok := originOf(text); ok {
				s.Origin = o
			}
		case "scheme":
			if source.Word(text, source.MaxScheme) {
				s.Scheme = string(v)
			}
		case "stan":
			if source.Numeric(text, 1, source.MaxSTAN) && !source.PartOfCard(record, at[2*i], at[2*i+1]) {
				t.STAN = string(source.Trace(v))
			}
		case "mti":
			if source.Numeric(text, 4, 4) {
				t.MTI = string(v)
			}
		case "tid":
			if source.Word(text, source.MaxTerminal) && !source.PartOfCard(record, at[2*i], at[2*i+1]) {
				t.TerminalID = string(v)
			}
		case "entry":
			if source.OneOf(text, source.Entries) {
				t.Entry = string(v)
			}
		case "card_scheme":
			if i := slices.IndexFunc(report.CardSchemes, func(w string) bool { return strings.EqualFold(w, text) }); i >= 0 {
				t.CardScheme = report.CardSchemes[i]
			}
		case "time":
			if w, ok := logTime(p.opts.Layout, text, now); ok {
				f.at = w
			}
		}
	}
	if p.opts.Mark != "" {
		f.mark = &source.TxnMark{Phase: p.opts.Mark, Channel: report.ChannelLog, Time: now, Txn: t, Result: p.opts.Result,
			Code: s.Code}
		return f, true, false
	}
	if !isCode {
		return f, true, !dumped // a request has none
	}
	if t != (report.Txn{}) {
		s.Txn = &t
	}
	f.seen = &s
	return f, true, false
}

// message takes what is known of a dumped message: the code of an answer, which is its host's unless the pattern says
// who wrote it, or the terminal's own reason in the request of a reversal. ok is false for one that cannot be read.
func message(v []byte, s *source.Seen, t *report.Txn) (isCode, ok bool) {
	m, err := ecr.ParseDump(v)
	if err != nil {
		return false, false
	}
	t.MTI, t.STAN = m.MTI, m.STAN
	if source.Word(m.Terminal, source.MaxTerminal) {
		t.TerminalID = m.Terminal
	}
	origin := report.OriginHost
	switch {
	case !m.Response() && !m.Reversal(), source.CodeProblem(m.Code) != "", m.Approves() && !m.Sale():
		return false, true // a request; or a sign-in that worked, which is no sale
	case !m.Response():
		origin = report.OriginTerminal
	}
	s.Code = m.Code
	if s.Origin == report.OriginUnknown {
		s.Origin = origin
	}
	if m.Scheme() != "" {
		s.Scheme = m.Scheme()
	}
	return true, true
}

// charsOf are the characters that hex digits stand for, as in a dump of field 39 or of a chip's tag 8A: 3531 is 51, in
// EBCDIC F5F1; empty if any of them is no letter and no digit.
func charsOf(digits string) string {
	if len(digits) > source.CardDigits {
		return ""
	}
	b, err := hex.DecodeString(digits)
	defer clear(b)
	if err != nil {
		return ""
	}
	for i, c := range b {
		if c >= 0xF0 && c <= 0xF9 {
			b[i] = c&15 | '0'
		}
	}
	if text := string(b); source.Word(text, source.CardDigits/2) {
		return text
	}
	return ""
}

// digitsGoOn reports whether what stands before text[from:to], or behind it, is a digit in hex as well: then it is a
// part of a longer number.
func digitsGoOn(text []byte, from, to int) bool {
	digit := func(b []byte) bool {
		return len(b) > 1 && (b[0] == '3' || b[0]|' ' == 'f') && source.IsDigit(b[1])
	}
	before, behind := text[:from], text[to:]
	if n := len(before); n > 0 && strings.IndexByte(" -:,", before[n-1]) >= 0 {
		before = before[:n-1]
	}
	if len(behind) > 0 && strings.IndexByte(" -:,", behind[0]) >= 0 {
		behind = behind[1:]
	}
	return digit(behind) || digit(before[max(0, len(before)-2):])
}

// logTime reads the time of a line. A layout without a date or a year is completed from now, so that a line of ten
// to midnight read after midnight is yesterday's.
func logTime(layout, v string, now time.Time) (time.Time, bool) {
	// An error of package time keeps a copy: what could not be a time does not get there.
	if len(v) > maxTime || source.CardLike(v) || longestRun(v) > max(longestRun(layout), fraction) {
		return now, false
	}
	w, err := time.ParseInLocation(layout, englishMonth(layout, v), now.Location())
	if err != nil {
		return w, false
	}
	if w.Year() > 0 {
		if ahead := w.Year() - now.Year(); ahead >= buddhist-1 && ahead <= buddhist+1 {
			w = w.AddDate(-buddhist, 0, 0)
		}
		return w, true
	}
	if hasDate(layout) {
		w = w.AddDate(now.Year(), 0, 0)
		if w.After(now.Add(24 * time.Hour)) {
			w = w.AddDate(-1, 0, 0)
		}
		return w, true
	}
	w = time.Date(now.Year(), now.Month(), now.Day(), w.Hour(), w.Minute(), w.Second(), w.Nanosecond(), now.Location())
	if w.After(now.Add(12 * time.Hour)) {
		w = w.AddDate(0, 0, -1)
	}
	return w, true
}

// longestRun is the most digits that stand next to each other in text; foreign digits are always too many.
func longestRun(s string) (most int) {
	run := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			run++
			most = max(most, run)
		case unicode.IsDigit(r):
			return maxTime
		default:
			run = 0
		}
	}
	return most
}

// hasDate reports whether a layout tells days apart.
func hasDate(layout string) bool {
	d := time.Date(2001, 3, 15, 0, 0, 0, 0, time.UTC)
	return d.Format(layout) != d.AddDate(0, 1, 1).Format(layout)
}
