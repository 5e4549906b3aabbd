package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"posdx/agent/diagnose"
	"posdx/firmware-build/housetest"
)

// sentence is a few English words after one another.
var sentence = regexp.MustCompile(`[A-Za-z][a-z]+(?:,? [a-z]+){2,}`)

// TestHelpInBothLanguages walks the table of commands: help is there in both languages, the Chinese without an English
// sentence, the English without a Chinese word, and none of it is wider than a terminal.
func TestHelpInBothLanguages(t *testing.T) {
	list := [][]string{{"help"}, {"--help"}}
	for _, c := range commands() {
		list = append(list, []string{c.name, "--help"})
		if !housetest.HasHan(c.zh) || housetest.HasHan(c.en) || c.en == "" {
			t.Errorf("%s: %q, %q", c.name, c.zh, c.en)
		}
	}
	// Values, and names.
	words := strings.NewReplacer("viewer technician operator", "", "carrier bearer site", "", "model firmware", "",
		"acquirer", "", "knowledge scheme", "", "Model Context Protocol", "")
	for _, args := range list {
		options := map[string]int{}
		for _, lang := range []string{"zh", "en"} {
			var out, talk bytes.Buffer
			code := run(t.Context(), stdio{out: &out, err: &talk}, append(args, "--lang", lang))
			said := out.String()
			if code != exitOK || talk.Len() > 0 || housetest.HasHan(said) != (lang == "zh") {
				t.Errorf("%v in %s: exit %d, %s%s", args, lang, code, said, talk.String())
			}
			for l := range strings.Lines(said) {
				l = strings.TrimSuffix(l, "\n")
				if len(diagnose.Wrap(l, helpWidth)) > 1 {
					t.Errorf("%v in %s is too wide: %s", args, lang, l)
				}
				if strings.HasPrefix(l, "  --") {
					options[lang]++
				}
				if lang == "zh" && !strings.Contains(l, "posdx-fleet ") && sentence.MatchString(words.Replace(l)) {
					t.Errorf("%v: English in %s", args, l)
				}
			}
		}
		if options["zh"] != options["en"] {
			t.Errorf("%v: %v options", args, options)
		}
	}
}

// A command line that is wrong is told so in the language of --lang, wherever that stands, and so is the help below it.
func TestWrongUsageInBothLanguages(t *testing.T) {
	for args, want := range map[string][2]string{
		"serve --port 1":         {"没有这个选项：-port", "flag provided but not defined: -port"},
		"serve --keep-rows many": {`选项的值不对："many"`, `invalid value "many"`},
		"list --url":             {"选项后面要有值：-url", "flag needs an argument: -url"},
		"serve now":              {"有 1 个参数，须为 0 个", "1 arguments, want 0"},
		"account":                {"有 0 个参数，须为 1 至 2 个", "0 arguments, want 1 to 2"},
		"dance":                  {`没有命令 "dance"`, `no command "dance"`},
	} {
		for i, lang := range []string{"zh", "en"} {
			words := strings.Fields(args)
			if args == "list --url" {
				words = append([]string{"list", "--lang", lang}, words[1:]...)
			} else {
				words = append(words, "--lang", lang)
			}
			var out, talk bytes.Buffer
			code := run(t.Context(), stdio{out: &out, err: &talk}, words)
			if said := talk.String(); code != exitUsage || out.Len() > 0 || !strings.Contains(said, want[i]) ||
				housetest.HasHan(said) != (lang == "zh") {
				t.Errorf("%v: exit %d, %s%.300s", words, code, out.String(), talk.String())
			}
		}
	}
}
