package main

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/say"
	"posdx/agent/translate"
	"posdx/codes"
)

// fail tells a person what went wrong; an empty command is posdx itself.
func (s stdio) fail(command string, err error) {
	who := strings.TrimSpace("posdx " + command)
	fmt.Fprintf(s.err, "%s: %s\n", who, strings.ReplaceAll(say.Error(err, s.lang()), "\n", " "))
}

// lang is the language in which a command speaks to whoever called it: that of --lang, else of the environment, else of
// the configuration, else Chinese. Every command has it from here.
func (s stdio) lang() string {
	if s.found != "" {
		return s.found
	}
	file, asked := s.option("config")
	if !asked {
		file = defaultConfig
	}
	return s.langOf(file)
}

// langOf is lang with the configuration that a command was given otherwise than by --config.
func (s stdio) langOf(config string) string {
	if l, asked := s.option("lang"); asked && (l == "zh" || l == "en") {
		return l
	}
	if s.speak != "" {
		return s.speak
	}
	return cmp.Or(translate.Environment(), conf.LanguageOf(config), "zh")
}

// jsonUsage is the help of --json where it takes no more words. The help of every option is two lines, in Chinese and
// in English.
const jsonUsage = "输出 JSON\nprint JSON"

// say chooses one of two texts that say the same.
func (s stdio) say(zh, en string) string { return codes.Text{ZH: zh, EN: en}.In(s.lang()) }

// option finds an option on the command line before it is read: what is wrong with it is said in a language, too.
func (s stdio) option(name string) (value string, asked bool) {
	for i, a := range s.args {
		if a == "--" {
			break
		}
		o, v, given := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if !strings.HasPrefix(a, "-") || o != name {
			continue
		}
		if !given && i+1 < len(s.args) {
			v, given = s.args[i+1], true
		}
		value, asked = v, given
	}
	return value, asked
}

var wrongValueText = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-(\S+?):`)

// wrongOption says what is wrong with the command line; err is what package flag says.
func wrongOption(err error) say.Message {
	text := err.Error()
	last := func() string { return "--" + strings.TrimLeft(text[strings.LastIndex(text, " ")+1:], "-") }
	switch {
	case strings.HasPrefix(text, "flag provided but not defined"), strings.HasPrefix(text, "bad flag syntax"):
		return say.New("flag-unknown", last())
	case strings.HasPrefix(text, "flag needs an argument"):
		return say.New("flag-needs", last())
	}
	// invalid value "x" for flag -timeout: parse error; invalid boolean value "x" for -json: parse error
	if m := wrongValueText.FindStringSubmatch(text); m != nil {
		value, err := strconv.Unquote(m[1])
		if err == nil {
			return say.New("flag-value", "--"+m[2], value)
		}
	}
	return say.New("heard", text)
}

// wrongValue says what is wrong with the value of an option, "name: why" as the daemon would say it.
func wrongValue(text string) say.Message {
	name, why, _ := strings.Cut(text, ": ")
	return say.New("field-why", "--"+name, say.Heard(why))
}
