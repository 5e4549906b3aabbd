package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"posdx/agent/internal/say"
	"posdx/agent/internal/source/paylog"
	"posdx/agent/report"
)

// patternList is an option that may be given more than once.
type patternList []string

func (l *patternList) String() string     { return strings.Join(*l, " ") }
func (l *patternList) Set(s string) error { *l = append(*l, s); return nil }

func runLog(_ context.Context, s stdio, args []string) int {
	f := flags(s, "log", "try|suggest FILE [--pattern RE]… [--encoding NAME] [--config FILE] [--json]",
		"try shows what the patterns of a [[log]] catch in a payment log: those given, or those of the configuration for this\n"+
			"file. suggest looks at a log that nobody has configured and writes a [[log]] for it. Neither prints a line of the log:\n"+
			"only what a pattern takes, so that no card number is shown. Nothing is sent, and no daemon is needed.\n\n"+
			"Exit codes: 0 something was caught or suggested; 3 nothing; 1 the file cannot be read; 2 wrong usage.",
		"posdx log suggest FILE\nposdx log try FILE --pattern 'RspCode=(?P<code>\\w\\w)'")
	var patterns patternList
	f.Var(&patterns, "pattern", "a `regular expression` with a group called code; may be given again")
	encoding := f.String("encoding", "", "how the log is written: a `name` such as gbk, big5, latin1, utf-16")
	begin := f.String("begin", "", "`regular expression` that matches the first line of a record")
	config := f.String("config", defaultConfig, "the configuration `FILE` whose patterns are tried")
	asJSON := f.Bool("json", false, "print JSON")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) != 2 || words[0] != "try" && words[0] != "suggest" {
		f.Usage()
		return exitUsage
	}
	fail := func(err error) int {
		s.fail("log "+words[0], err)
		return exitFailed
	}
	file, err := os.Open(words[1])
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	if words[0] == "suggest" {
		info, err := file.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s: not a regular file", words[1])
		}
		if err != nil {
			return fail(err)
		}
		list, err := paylog.Suggest(file, info.Size(), *encoding)
		if errors.Is(err, paylog.ErrNotText) {
			err = say.New("log-not-text", words[1])
		}
		if err != nil {
			return fail(err)
		}
		return printSuggestions(s, words[1], list, *asJSON)
	}
	log, err := logOf(words[1], patterns, *encoding, *begin, *config)
	if err != nil {
		return fail(err)
	}
	var hits []paylog.Hit
	trial, err := paylog.Try(file, log, func(h paylog.Hit) {
		if *asJSON {
			hits = append(hits, h)
			return
		}
		fmt.Fprintln(s.out, hitLine(h))
	})
	if err != nil {
		return fail(err)
	}
	caught := 0
	for _, n := range trial.Hits {
		caught += n
	}
	if *asJSON {
		json.NewEncoder(s.out).Encode(struct {
			paylog.Trial
			Caught []paylog.Hit `json:"caught"`
		}{trial, hits})
	} else {
		fmt.Fprintln(s.err, say.New("log-counts", caught, trial.Records, trial.Refused, trial.Wrong, trial.Cut).In(s.lang()))
	}
	if caught == 0 {
		return exitAbstain
	}
	return exitOK
}

// hitLine is one caught record in words.
func hitLine(h paylog.Hit) string {
	list := []string{fmt.Sprintf("line %d", h.Line), fmt.Sprintf("pattern %d", h.Pattern)}
	for _, m := range []struct{ name, value string }{{"code", h.Code}, {"origin", h.Origin}, {"scheme", h.Scheme},
		{"phase", h.Phase}, {"result", h.Result},
		{"mti", h.MTI}, {"stan", h.STAN}, {"time", h.Time}} {
		if m.value != "" {
			list = append(list, m.name+"="+m.value)
		}
	}
	if h.Refused {
		list = append(list, "REFUSED: no code")
	}
	return strings.Join(list, "  ")
}

// logOf makes the log that is tried: of what is given, or of the configuration's.
func logOf(path string, patterns []string, encoding, begin, config string) (paylog.LogFile, error) {
	if len(patterns) > 0 {
		file := paylog.LogFile{Path: path, Encoding: encoding}
		if begin != "" {
			re, err := regexp.Compile(begin)
			if err != nil {
				return file, say.New("begin", err)
			}
			file.Begin = re
		}
		for _, expr := range patterns {
			p, err := paylog.CompilePattern(expr, paylog.Options{Origin: report.OriginUnknown})
			if err != nil {
				return file, err
			}
			file.Patterns = append(file.Patterns, p)
		}
		return file, nil
	}
	c, _, err := readConfig(config)
	if err != nil {
		return paylog.LogFile{}, say.New("or-pattern", err)
	}
	logs, wrong := follow(c, slog.New(slog.DiscardHandler))
	if err := errors.Join(wrong...); err != nil {
		return paylog.LogFile{}, err
	}
	full, err := filepath.Abs(path)
	if err != nil {
		full = path
	}
	var file paylog.LogFile
	for _, l := range logs.Files {
		if l.Is(full) {
			file.Path, file.Begin, file.Encoding = l.Path, l.Begin, cmp.Or(encoding, l.Encoding)
			file.Patterns = append(file.Patterns, l.Patterns...)
		}
	}
	if len(file.Patterns) == 0 {
		return file, say.New("no-log-of", config, full)
	}
	return file, nil
}

func printSuggestions(s stdio, path string, list []paylog.Suggestion, asJSON bool) int {
	if asJSON {
		if list == nil {
			list = []paylog.Suggestion{}
		}
		json.NewEncoder(s.out).Encode(list)
	}
	if len(list) == 0 {
		s.fail("log suggest", say.New("nothing-like-code"))
		return exitAbstain
	}
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	for _, x := range list {
		if asJSON {
			break
		}
		codes := slices.SortedFunc(maps.Keys(x.Codes),
			func(a, b string) int { return cmp.Or(x.Codes[b]-x.Codes[a], strings.Compare(a, b)) })
		for i, c := range codes {
			codes[i] = fmt.Sprintf("%s ×%d", c, x.Codes[c])
		}
		fmt.Fprintf(s.out, "# catches %d records: %s\n%s\n", x.Records, strings.Join(codes, ", "), x.TOML(path))
	}
	return exitOK
}
