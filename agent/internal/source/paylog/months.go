package paylog

import (
	"strings"
	"unicode"
)

// months are the short names of months that logs of other languages write, in small letters, without the point that
// some put behind them. Those that are as in English are not there.
var months = [...][2]string{
	{"janv", "Jan"}, {"ene", "Jan"}, {"gen", "Jan"}, // French, Spanish, Italian
	{"fev", "Feb"}, {"févr", "Feb"}, {"fév", "Feb"}, // Portuguese, French
	{"mär", "Mar"}, {"mrz", "Mar"}, {"märz", "Mar"}, {"mars", "Mar"}, {"mrt", "Mar"}, // German, French, Dutch
	{"abr", "Apr"}, {"avr", "Apr"},
	{"mai", "May"}, {"mag", "May"}, {"mei", "May"},
	{"juin", "Jun"}, {"juni", "Jun"}, {"giu", "Jun"},
	{"juil", "Jul"}, {"juli", "Jul"}, {"lug", "Jul"},
	{"ago", "Aug"}, {"août", "Aug"},
	{"set", "Sep"}, {"sept", "Sep"},
	{"out", "Oct"}, {"okt", "Oct"}, {"ott", "Oct"},
	{"dez", "Dec"}, {"dic", "Dec"}, {"déc", "Dec"},
}

// englishMonth returns a time with the name of its month as Go reads it. A layout without such a name leaves it alone.
func englishMonth(layout, v string) string {
	if !strings.Contains(layout, "Jan") || strings.Contains(layout, "January") {
		return v
	}
	for from := 0; from < len(v); {
		begin := strings.IndexFunc(v[from:], unicode.IsLetter)
		if begin < 0 {
			break
		}
		begin += from
		end := begin + len(v[begin:])
		if n := strings.IndexFunc(v[begin:], func(r rune) bool { return !unicode.IsLetter(r) }); n >= 0 {
			end = begin + n
		}
		rest := strings.TrimPrefix(v[end:], ".")
		for _, m := range months {
			if strings.EqualFold(v[begin:end], m[0]) {
				return v[:begin] + m[1] + rest
			}
		}
		if len(rest) < len(v[end:]) && end-begin == len("Jan") {
			return v[:end] + rest
		}
		from = end
	}
	return v
}
