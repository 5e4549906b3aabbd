package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A Level says what follows from a problem.
type Level string

// Levels of a problem.
const (
	Error   Level = "error"   // the daemon does not start: nobody could know what is meant
	Fault   Level = "fault"   // the daemon starts, but what the key is for will not work until somebody sees to it
	Warning Level = "warning" // what is named is not there, which may be as it should for now
)

// A Problem is one thing that is wrong, with its place and what to do.
type Problem struct {
	Level  Level  `json:"level"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"` // from 1; 0 where the file does not say it and a default counts
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"` // target[0].port; lists count from 0 over all files
	Say    string `json:"say"`
}

func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ", line %d, column %d", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Level != Error {
		b.WriteString(string(p.Level) + ": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Say)
	return b.String()
}

// Problems is everything that is wrong. It is an error if it is not empty.
type Problems []Problem

func (l Problems) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Of returns the problems of the given levels.
func (l Problems) Of(levels ...Level) Problems {
	return slices.DeleteFunc(slices.Clone(l), func(p Problem) bool { return !slices.Contains(levels, p.Level) })
}

// Refused is why the daemon does not start with this configuration, nil if it does.
func (l Problems) Refused() error {
	if e := l.Of(Error); len(e) > 0 {
		return e
	}
	return nil
}

// Sort brings problems into the order of the file.
func (l Problems) Sort() {
	sort.SliceStable(l, func(i, j int) bool {
		return cmp.Or(cmp.Compare(l[i].File, l[j].File), cmp.Compare(l[i].Line, l[j].Line), cmp.Compare(l[i].Column, l[j].Column)) < 0
	})
}

// A place is where a key stands.
type place struct {
	file         string
	line, column int
}

// Problem makes a problem with a key of the configuration, such as log[0].patterns[1]: the place is that of the key or,
// where the file does not name it, of what it belongs to.
func (c *Config) Problem(level Level, key, format string, args ...any) Problem {
	p := Problem{Level: level, File: c.file, Key: key, Say: fmt.Sprintf(format, args...)}
	for k := key; k != ""; {
		if at, ok := c.places[k]; ok {
			p.File, p.Line, p.Column = at.file, at.line, at.column
			break
		}
		k = k[:max(strings.LastIndexAny(k, ".["), 0)]
	}
	return p
}
