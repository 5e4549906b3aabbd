package config

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"posdx/agent/internal/say"
)

// A Level is what follows from a problem.
type Level string

// Levels of a problem.
const (
	Error   Level = "error"   // the daemon does not start: what is meant cannot be known
	Fault   Level = "fault"   // the daemon starts, but what the key is for will not work until a person corrects it
	Warning Level = "warning" // what is named is not there, which may be as it should for now
)

// A Problem is one thing that is wrong, with its place and what to do.
type Problem struct {
	Level  Level  `json:"level"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"` // from 1; 0 where the file does not say it and a default counts
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"` // target[0].port; lists count from 0 over all files
	ID     string `json:"id,omitempty"`  // of what is wrong, the same in every language; empty for what a library or the system says
	Say    string `json:"say"`           // in English, or in the language of Problems.Told

	why error
}

// problem makes a problem without a place.
func problem(level Level, file string, why error) Problem {
	p := Problem{Level: level, File: file, Say: say.Error(why, "en"), why: why}
	if m, ok := why.(say.Message); ok {
		p.ID = m.ID
	}
	return p
}

// Error is the problem in English, as logs have it.
func (p Problem) Error() string { return p.In("en") }

// In is the problem, with its place, in a language.
func (p Problem) In(lang string) string {
	colon := ": "
	if lang != "en" {
		colon = "："
	}
	text := p.File
	if p.Line > 0 {
		text = say.New("at", p.File, p.Line, p.Column).In(lang)
	}
	if text != "" {
		text += colon
	}
	if p.Level != Error {
		text += say.New("level-"+string(p.Level)).In(lang) + colon
	}
	if p.Key != "" {
		text += p.Key + colon
	}
	if p.why == nil {
		return text + p.Say
	}
	return text + say.Error(p.why, lang)
}

// Problems is everything that is wrong. It is an error if it is not empty.
type Problems []Problem

func (l Problems) Error() string { return l.In("en") }

// In is the problems in a language, a line each.
func (l Problems) In(lang string) string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.In(lang)
	}
	return strings.Join(lines, "\n")
}

// Told returns the problems with their texts in a language.
func (l Problems) Told(lang string) Problems {
	told := append(Problems{}, l...)
	for i := range told {
		if told[i].why != nil {
			told[i].Say = say.Error(told[i].why, lang)
		}
	}
	return told
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
		return cmp.Or(cmp.Compare(l[i].File, l[j].File), cmp.Compare(l[i].Line, l[j].Line),
			cmp.Compare(l[i].Column, l[j].Column)) < 0
	})
}

// A place is where a key stands.
type place struct {
	file         string
	line, column int
}

// Problem makes a problem with a key of the configuration, such as log[0].patterns[1]. Its place is that of the key or,
// where the file does not have the key, of the table that it belongs to.
func (c *Config) Problem(level Level, key string, why error) Problem {
	p := problem(level, c.file, why)
	p.Key = key
	for k := key; k != ""; {
		if at, ok := c.places[k]; ok {
			p.File, p.Line, p.Column = at.file, at.line, at.column
			break
		}
		k = k[:max(strings.LastIndexAny(k, ".["), 0)]
	}
	return p
}
