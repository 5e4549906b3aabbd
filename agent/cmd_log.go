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
	f := flags(s, "log", "try|suggest FILE [--pattern RE]… [--encoding NAME] [--begin RE] [--json]",
		"try 显示 [[log]] 的模式在一个支付日志里识别出什么：用给出的模式，或配置里对应这个文件的。suggest 查看一个还没有配置的日志，为它写一段 [[log]]。两者都不输出日志原文，只输出模式取出的内容，因此不会显示卡号。不发送任何内容，也不需要守护进程。\n"+
			"退出码：0 有识别出的或有建议；3 没有；1 文件读不了；2 用法不对。",
		"try shows what the patterns of a [[log]] catch in a payment log: those given, or those of the configuration for this file. suggest looks at a log that nobody has configured and writes a [[log]] for it. Neither prints a line of the log: only what a pattern takes, so that no card number is shown. Nothing is sent, and no daemon is needed.\n"+
			"Exit codes: 0 something was caught or suggested; 3 nothing; 1 the file cannot be read; 2 wrong usage.",
		"posdx log suggest FILE\nposdx log try FILE --pattern 'RspCode=(?P<code>\\w\\w)'")
	var patterns patternList
	f.Var(&patterns, "pattern", "带名为 code 的组的`正则表达式`；可以多次\na `regular expression` with a group called code; may be given again")
	encoding := f.String("encoding", "", "日志的`编码`，如 gbk、big5、latin1、utf-16\nhow the log is written: a `name` such as gbk, big5, latin1, utf-16")
	begin := f.String("begin", "", "匹配一条记录首行的`正则表达式`\n`regular expression` that matches the first line of a record")
	config := f.String("config", defaultConfig, "试用其中模式的配置 `FILE`\nthe configuration `FILE` whose patterns are tried")
	asJSON := f.Bool("json", false, jsonUsage)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) != 2 || words[0] != "try" && words[0] != "suggest" {
		misuse(s, f, words, 2)
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
			err = say.New("not-a-file", words[1])
		}
		if err != nil {
			return fail(err)
		}
		list, look, err := paylog.Suggest(file, info.Size(), *encoding)
		if errors.Is(err, paylog.ErrNotText) {
			err = say.New("log-not-text", words[1])
		}
		if err != nil {
			return fail(err)
		}
		return printSuggestions(s, words[1], list, look, *asJSON)
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
		fmt.Fprintln(s.out, hitLine(s, h))
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
		fmt.Fprintln(s.err, say.New("log-counts", caught, trial.Records, trial.Refused, trial.Wrong, trial.Cut, trial.Torn).In(s.lang()))
	}
	if caught == 0 {
		return exitAbstain
	}
	return exitOK
}

// hitLine is one caught record in words.
func hitLine(s stdio, h paylog.Hit) string {
	list := []string{fmt.Sprintf(s.say("第 %d 行", "line %d"), h.Line), fmt.Sprintf(s.say("模式 %d", "pattern %d"), h.Pattern)}
	for _, m := range []struct{ name, value string }{{"code", h.Code}, {"origin", h.Origin}, {"scheme", h.Scheme},
		{"phase", h.Phase}, {"result", h.Result},
		{"mti", h.MTI}, {"stan", h.STAN}, {"time", h.Time}} {
		if m.value != "" {
			list = append(list, m.name+"="+m.value)
		}
	}
	if h.Refused {
		list = append(list, s.say("拒绝：不是应答码", "REFUSED: no code"))
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

func printSuggestions(s stdio, path string, list []paylog.Suggestion, look paylog.Look, asJSON bool) int {
	if asJSON {
		if list == nil {
			list = []paylog.Suggestion{}
		}
		json.NewEncoder(s.out).Encode(list)
	}
	if look.Padded > 0 {
		fmt.Fprintln(s.err, say.New("log-padded", look.Padded).In(s.lang()))
	}
	if look.Columns > 0 {
		fmt.Fprintln(s.err, say.New("log-fixed-width", look.Columns).In(s.lang()))
	}
	if len(list) == 0 {
		s.fail("log suggest", say.New("nothing-like-code", look.Lines, look.Encoding))
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
		fmt.Fprintf(s.out, s.say("# 识别出 %d 条记录：%s\n%s\n", "# catches %d records: %s\n%s\n"), x.Records, strings.Join(codes, ", "), x.TOML(path))
	}
	return exitOK
}
