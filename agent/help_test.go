package main

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/text"
	"posdx/firmware-build/housetest"
)

// latin is a word; what stands in capitals is the place of a value or a shortening, in every language.
var latin = regexp.MustCompile(`[A-Za-z][A-Za-z0-9'-]*[A-Za-z0-9]`)

// sameInHelp are the words that stand in Chinese help as in English: names of programs, keys and values.
var sameInHelp = strings.Fields(`posdx posdx-fleet minicom picocom bash zsh fish man groff root zip conf.d toml json event evidence rx code
	sd_notify tcdrain suggest try port usb interface serial none first final utf-8 gbk big5 latin1 utf-16 unionpay zh en
	host terminal cashier unknown mti stan terminal_id entry card_scheme connect_ms response_ms sent host_answer_seen console.pin console.charset
	may_reset net.tcp net modem name https`)

// untranslated lists the words of a Chinese text that are neither options, commands, keys nor in the list above.
func untranslated(s string) (list []string) {
	known := append(slices.Clone(sameInHelp), configKeys(reflect.TypeFor[conf.Config]())...)
	for _, c := range commands() {
		known = append(known, c.name)
		for _, o := range options(manualOf(c)) {
			known = append(known, "--"+o.Name)
		}
	}
	s = strings.ReplaceAll(s, "posdx-fleet enroll token", "")
	s = regexp.MustCompile(`[a-z]+[._][a-z._]+|--[a-z-]+|/[a-z./*]+|https?://\S+`).ReplaceAllStringFunc(s, func(w string) string {
		if slices.Contains(known, w) || strings.HasPrefix(w, "/") || strings.HasPrefix(w, "http") {
			return " "
		}
		return w
	})
	for _, w := range latin.FindAllString(s, -1) {
		if !slices.Contains(known, w) && strings.ToUpper(w) != w {
			list = append(list, w)
		}
	}
	return list
}

// TestHelpInBothLanguages walks the table of commands: each text stands in both languages, the Chinese without an
// English word but names and values, the English without a Chinese one, and no line of help is wider than a terminal.
func TestHelpInBothLanguages(t *testing.T) {
	pair := func(where, zh, en string) {
		t.Helper()
		switch {
		case !housetest.HasHan(zh), en == "", housetest.HasHan(en):
			t.Errorf("%s: %q, %q", where, zh, en)
		case strings.Count(zh, "\n") != strings.Count(en, "\n"):
			t.Errorf("%s: %d paragraphs in Chinese, %d in English", where, strings.Count(zh, "\n")+1, strings.Count(en, "\n")+1)
		}
		if words := untranslated(zh); len(words) > 0 {
			t.Errorf("%s: %q in %s", where, words, zh)
		}
	}
	for _, c := range commands() {
		m := manualOf(c)
		pair(c.name, c.zh, c.en)
		pair(c.name+" help", m.zh, m.en)
		if m.example == "" {
			t.Errorf("%s has no example", c.name)
		}
		m.flags.VisitAll(func(o *flag.Flag) {
			zh, en, ok := strings.Cut(o.Usage, "\n")
			if !ok {
				t.Errorf("%s --%s: no second language", c.name, o.Name)
			}
			pair(c.name+" --"+o.Name, zh, en)
			for _, lang := range []string{"zh", "en"} {
				kind, _ := stdio{speak: lang}.usage(o)
				if b, ok := o.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
					continue
				}
				if kind == "" || kind == "value" || kind == "string" || kind == "duration" || kind == "int" {
					t.Errorf("%s --%s: what it takes has no name in %s", c.name, o.Name, lang)
				}
			}
		})
		if m.flags.Lookup("lang") == nil {
			t.Errorf("%s has no --lang", c.name)
		}
	}
	for _, args := range append(helpOfAll(), []string{"help"}, []string{"--help"}) {
		for _, lang := range []string{"zh", "en"} {
			code, out, talk := cli(t, append(args, "--lang", lang)...)
			if code != exitOK || talk != "" || housetest.HasHan(out) != (lang == "zh") {
				t.Errorf("%v in %s: exit %d, %s%s", args, lang, code, out, talk)
			}
			for _, l := range strings.Split(out, "\n") {
				if text.Width(l) > helpWidth {
					t.Errorf("%v in %s: %d columns: %s", args, lang, text.Width(l), l)
				}
			}
		}
	}
}

func helpOfAll() (list [][]string) {
	for _, c := range commands() {
		list = append(list, []string{c.name, "--help"}, []string{"help", c.name})
	}
	return list
}

// TestManualPagesInBothLanguages: the same pages in each language, none with a word of the other.
func TestManualPagesInBothLanguages(t *testing.T) {
	dir := t.TempDir()
	for _, lang := range []string{"zh", "en"} {
		if code, _, talk := cli(t, "man", "--dir", filepath.Join(dir, lang), "--lang", lang); code != exitOK {
			t.Fatal(talk)
		}
	}
	for _, c := range append(commands(), command{}) {
		name := strings.TrimSuffix("posdx-"+c.name, "-") + ".1"
		zh, err := os.ReadFile(filepath.Join(dir, "zh", name))
		if err != nil {
			t.Error(err)
		}
		en, err := os.ReadFile(filepath.Join(dir, "en", name))
		if err != nil || housetest.HasHan(string(en)) || !housetest.HasHan(string(zh)) {
			t.Errorf("%s: %v\n%s", name, err, en)
		}
		if a, b := strings.Count(string(zh), "\n."), strings.Count(string(en), "\n."); a != b {
			t.Errorf("%s: %d requests in Chinese, %d in English", name, a, b)
		}
		for _, l := range strings.Split(string(zh), "\n") {
			if heading, ok := strings.CutPrefix(l, ".SH "); ok && !housetest.HasHan(heading) {
				t.Errorf("%s: heading %s", name, heading)
			}
		}
	}
}

// TestNothingLikeACardIsSaidAgain: whatever a command takes a card number for, it does not come back.
func TestNothingLikeACardIsSaidAgain(t *testing.T) {
	const card, inGroups = "4111111111111111", "4111 1111 1111 1111"
	list := [][]string{{card}, {"help", card}, {"man", card}, {"code", card}, {"code", inGroups}, {"code", "--scheme", card, "96"}, {"decode", card}, {"history", card},
		{"history", "--since", card}, {"status", "--lang", card}, {"status", "--" + card}, {"status", "--timeout", card}, {"completion", card},
		{"log", "try", card}, {"report", "--code", card}, {"report", "--code", "96", "--txn", card}, {"diagnose", "--code", card},
		{"diagnose", "--profile", card}, {"diagnose", "--replay", card}, {"config", "check", card}, {"replay", card}, {"bundle", card + "/x"},
		{"knowledge", card}, {"reset", card}, {"relay", "--device", "a", "--link", "b", "--baud", "9600", "--framing", card},
		{"guide", "--replay", "diagnose/testdata/cases/wan-mtu.json", "--answer", card}, {"check", card, "--offline"}}
	for _, args := range list {
		code, out, talk := cli(t, args...)
		if said := out + talk; code == exitOK || strings.Contains(strings.ReplaceAll(said, " ", ""), card) {
			t.Errorf("%q: exit %d, %s", args, code, said)
		}
	}
}
