package source

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"posdx/agent/report"
)

// maxPattern bounds a regular expression of the configuration.
const maxPattern = 1024

// A Pattern reads one kind of line of a payment log. Of a line that matches, its named groups go on and nothing else.
type Pattern struct {
	re     *regexp.Regexp
	groups []string // by index in a match
	opts   PatternOptions
}

// PatternOptions says what a line means that a pattern matches.
type PatternOptions struct {
	Mark   Phase         // the line is a step of a transaction, not a code's appearance; "" for a code
	Origin report.Origin // who wrote the code, unless the group origin says so; "" means unknown
	Scheme string        // unless the group scheme says so
	Result string        // of a mark at the end
	Layout string        // of the group time, as Go writes it; "" means "2006-01-02 15:04:05"
}

// patternGroups are the names a pattern's groups may have.
var patternGroups = []string{"code", "origin", "scheme", "stan", "mti", "tid", "entry", "time"}

// CompilePattern makes a pattern of a regular expression (RE2) with named groups: code (needed unless it is a mark),
// origin, scheme, stan, mti, tid, entry, time.
func CompilePattern(expr string, o PatternOptions) (*Pattern, error) {
	if len(expr) > maxPattern {
		return nil, fmt.Errorf("pattern: longer than %d characters", maxPattern)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	p := &Pattern{re: re, groups: re.SubexpNames(), opts: o}
	hasCode := false
	for _, g := range p.groups {
		if g != "" && !oneOf(g, patternGroups) {
			return nil, fmt.Errorf("pattern %q: no group is called %q; there are %s", expr, g, strings.Join(patternGroups, " "))
		}
		hasCode = hasCode || g == "code"
	}
	switch {
	case o.Mark != "" && !oneOf(string(o.Mark), phases):
		return nil, fmt.Errorf("pattern %q: mark %q: want one of %s", expr, o.Mark, strings.Join(phases, " "))
	case o.Mark == "" && !hasCode:
		return nil, fmt.Errorf("pattern %q: no group is called code: write (?P<code>…) around the response code", expr)
	case o.Origin != "" && !oneOf(string(o.Origin), origins):
		return nil, fmt.Errorf("pattern %q: origin %q: want one of %s", expr, o.Origin, strings.Join(origins, " "))
	case o.Result != "" && !oneOf(o.Result, results):
		return nil, fmt.Errorf("pattern %q: result %q: want one of %s", expr, o.Result, strings.Join(results, " "))
	case o.Scheme != "" && !word(o.Scheme, maxScheme):
		return nil, fmt.Errorf("pattern %q: scheme %q: want the name of a code table", expr, o.Scheme)
	}
	if p.opts.Layout == "" {
		p.opts.Layout = time.DateTime
	}
	if p.opts.Origin == "" {
		p.opts.Origin = report.OriginUnknown
	}
	return p, nil
}

// found is what a line said: a code or a mark.
type found struct {
	seen *Seen
	mark *TxnMark
}

// read looks at one line. refused is true if it matched but its code is none: a card number, or not printable.
func (p *Pattern) read(line []byte, now time.Time) (f found, ok, refused bool) {
	at := p.re.FindSubmatchIndex(line)
	if at == nil {
		return f, false, false
	}
	s := Seen{Origin: p.opts.Origin, Scheme: p.opts.Scheme, Channel: report.ChannelLog, Time: now}
	var t report.Txn
	for i, g := range p.groups {
		if g == "" || at[2*i] < 0 {
			continue
		}
		b := line[at[2*i]:at[2*i+1]]
		if len(b) > 4*maxCode {
			if g == "code" {
				return f, true, true
			}
			continue
		}
		v := strings.TrimSpace(string(b))
		switch g {
		case "code":
			s.Code = v
		case "origin":
			if oneOf(v, origins) {
				s.Origin = report.Origin(v)
			}
		case "scheme":
			if word(v, maxScheme) {
				s.Scheme = v
			}
		case "stan":
			if numeric(v, 1, maxSTAN) {
				t.STAN = v
			}
		case "mti":
			if numeric(v, 4, 4) {
				t.MTI = v
			}
		case "tid":
			if word(v, maxTerminal) {
				t.TerminalID = v
			}
		case "entry":
			if oneOf(v, entries) {
				t.Entry = v
			}
		case "time":
			if w, ok := logTime(p.opts.Layout, v, now); ok {
				s.Time = w
			}
		}
	}
	if p.opts.Mark != "" {
		m := TxnMark{Phase: p.opts.Mark, Channel: report.ChannelLog, Time: s.Time, Txn: t, Result: p.opts.Result}
		if codeProblem(s.Code) == "" {
			m.Code = s.Code
		}
		return found{mark: &m}, true, false
	}
	if codeProblem(s.Code) != "" {
		return f, true, true
	}
	if t != (report.Txn{}) {
		s.Txn = &t
	}
	return found{seen: &s}, true, false
}

// logTime reads the time of a line. A layout without a date or a year is completed from now, so that a line of ten
// to midnight read after midnight is yesterday's.
func logTime(layout, v string, now time.Time) (time.Time, bool) {
	w, err := time.ParseInLocation(layout, v, now.Location())
	if err != nil {
		return w, false
	}
	if w.Year() > 0 {
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

// hasDate reports whether a layout tells days apart.
func hasDate(layout string) bool {
	d := time.Date(2001, 3, 15, 0, 0, 0, 0, time.UTC)
	return d.Format(layout) != d.AddDate(0, 1, 1).Format(layout)
}
