// Package text lays text out for terminals: how wide it is, where a line may end, and what a terminal may be shown.
// Chinese and English are treated alike.
package text

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Columns returns how many columns a character takes on a terminal: none for what joins the one before, two for
// Chinese, Japanese and Korean writing, its marks and full-width forms (Unicode annex 11, W and F), else one.
func Columns(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Me, r), unicode.Is(unicode.Cf, r):
		return 0
	case r < 0x1100:
		return 1
	case r <= 0x115f, r >= 0x2e80 && r <= 0x303e, r >= 0x3041 && r <= 0x33ff, r >= 0x3400 && r <= 0x4dbf, r >= 0x4e00 &&
		r <= 0xa4cf,
		r >= 0xa960 && r <= 0xa97c, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff01 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f900 && r <= 0x1f9ff,
		r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// Percent writes a probability. It never says 100: nothing that is inferred is certain, and what is rounded up would
// say so.
func Percent(p float64) string { return strconv.Itoa(min(99, int(math.Round(100*p)))) + "%" }

// Width returns how many columns a text takes on a terminal.
func Width(s string) (n int) {
	for _, r := range s {
		n += Columns(r)
	}
	return n
}

// Clean removes what must not reach a terminal: control characters, so that no text from elsewhere controls it.
// Characters whose width differs between Western and Chinese terminals are replaced by ones of one column.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '“', '”', '„':
			return '"'
		case '‘', '’':
			return '\''
		case '—', '–', '―':
			return '-'
		case '·', '•':
			return '.'
		case '→':
			return '>'
		case '\n', '\t', '\u00a0':
			return ' '
		case '…', '×', '±', '≥', '≤', '①', '②', '③', '④', '⑤', '⑥', '℃', '°':
			return r // ambiguous, and rare enough: lines end before the margin
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// Cut shortens s to n columns and marks that with two dots.
func Cut(s string, n int) string {
	if Width(s) <= n {
		return s
	}
	used := 0
	for i, r := range s {
		if used+Columns(r) > n-2 {
			return s[:i] + ".."
		}
		used += Columns(r)
	}
	return s
}

// Pad makes s exactly n columns wide.
func Pad(s string, n int) string {
	s = Cut(s, n)
	return s + strings.Repeat(" ", n-Width(s))
}

// Marks that may not begin or end a line.
const (
	closing = "，。、；：！？）》”’％,.;:!?)]%"
	opening = "（《“‘(["
)

// Wrap breaks s into lines of at most n columns, the later ones indented: at blanks, and between Chinese characters.
func Wrap(s string, n, indent int) (lines []string) {
	margin := strings.Repeat(" ", indent)
	line, used := "", 0
	flush := func() {
		lines = append(lines, strings.TrimRight(line, " "))
		line, used = margin, indent
	}
	for _, w := range breakable(s) {
		k := Width(strings.TrimRight(w, " "))
		if used+k > n && strings.TrimSpace(line) != "" {
			flush()
		}
		for used+k > n { // a word longer than a line
			head := ""
			for _, r := range w {
				if used+Width(head)+Columns(r) > n {
					break
				}
				head += string(r)
			}
			if head == "" {
				return append(lines, line)
			}
			line += head
			flush()
			w = w[len(head):]
			k = Width(strings.TrimRight(w, " "))
		}
		line += w
		used += Width(w)
	}
	if strings.TrimSpace(line) != "" {
		flush()
	}
	return lines
}

// breakable cuts s where a line may end. A straight quotation mark opens and closes in turn.
func breakable(s string) (parts []string) {
	start, before, quoted := 0, rune(0), false
	for i, r := range s {
		if before == '"' {
			quoted = !quoted
		}
		if i > 0 {
			wide := Columns(before) == 2 || Columns(r) == 2
			ends := strings.ContainsRune(closing, r) || r == '"' && quoted
			begins := strings.ContainsRune(opening, before) || before == '"' && quoted
			if before == ' ' && r != ' ' || wide && r != ' ' && !ends && !begins {
				parts = append(parts, s[start:i])
				start = i
			}
		}
		before = r
	}
	return append(parts, s[start:])
}
