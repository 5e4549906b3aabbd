package translate

import (
	"cmp"
	"os"
	"strings"
)

// Language is that of whoever called a program: of --lang among its arguments, else of the environment, else Chinese.
func Language(args []string) string {
	for i, a := range args {
		value, ok := strings.CutPrefix(strings.TrimLeft(a, "-"), "lang=")
		if !ok && (a == "--lang" || a == "-lang") && i+1 < len(args) {
			value = args[i+1]
		}
		if value == "zh" || value == "en" {
			return value
		}
	}
	return cmp.Or(Environment(), "zh")
}

// Environment is the language that the environment asks for, nothing if it asks for none of ours.
func Environment() string {
	return ofLocale(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG")))
}

// ofLocale returns the language of a locale as LANG names it, "zh" or "en"; nothing for any other.
func ofLocale(locale string) string {
	for _, lang := range []string{"zh", "en"} {
		if rest, ok := strings.CutPrefix(locale, lang); ok && (rest == "" || strings.ContainsRune("_.@-", rune(rest[0]))) {
			return lang
		}
	}
	return ""
}
