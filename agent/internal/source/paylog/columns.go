package paylog

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Logs whose columns have no name: the code is found by what a column of response codes looks like.
const (
	columnsLeast = 3    // columns, below which a line is a sentence
	columnsMost  = 64   //
	columnLines  = 4000 // that are looked at
	columnRows   = 10   // that are needed
	alignedMost  = 512  // characters of a line in which columns may begin
)

// separators stand between columns, with what is no separator; those that a sentence does not have come first.
var separators = []struct{ is, not, re string }{
	{"\t", `[^\t]`, `\t`}, {";", `[^;]`, `;`}, {"|", `[^|]`, `\|`}, {"^", `[^^]`, `\^`}, {",", `[^,]`, `,`}, {"", `\S`, `\s+`},
}

// approvals are the codes that stand for an approval, which is what most sales end in.
var approvals = []string{"00", "000", "0000", "0"}

var (
	codeCell  = regexp.MustCompile(`^[0-9A-Z][0-9A-Z]{0,3}$`)
	traceCell = regexp.MustCompile(`^\d{4,12}$`)
)

// columns proposes patterns for text in columns, the likeliest first.
func columns(text []byte) (list []Suggestion) {
	for _, sep := range separators {
		rows := rowsOf(text, sep.is)
		if len(rows) < columnRows {
			continue
		}
		width := len(rows[0])
		stan := -1
		for c := range width {
			if isTrace(rows, c) {
				stan = c
				break
			}
		}
		type column struct {
			at   int
			rank float64
		}
		var codes []column
		for c := range width {
			if rank := codeRank(rows, c); c != stan && rank > 0 {
				codes = append(codes, column{c, rank})
			}
		}
		sort.SliceStable(codes, func(i, j int) bool { return codes[i].rank > codes[j].rank })
		for _, c := range codes {
			list = append(list, columnPattern(rows, sep.is, sep.not, sep.re, stan, c.at))
		}
		if len(list) > 0 {
			return list
		}
	}
	return aligned(text)
}

// aligned proposes patterns for columns that stand below each other, one of which holds words with blanks between.
func aligned(text []byte) (list []Suggestion) {
	var lines []string
	blank := map[int]int{}
	for l := range bytes.Lines(text) {
		if l = bytes.TrimRight(l, "\r\n "); len(l) == 0 {
			continue
		}
		line := string(l)
		lines = append(lines, line)
		for at, r := range []rune(line) {
			if r == ' ' {
				blank[at]++
			}
		}
		if len(lines) == columnLines {
			break
		}
	}
	if len(lines) < columnRows {
		return nil
	}
	// A column begins behind a place that is blank in all lines that reach it.
	var begins []int
	for at := range alignedMost {
		reach := 0
		for _, l := range lines {
			if len(l) > at {
				reach++
			}
		}
		if reach*10 < len(lines)*9 {
			break
		}
		if at == 0 || blank[at-1]*100 >= reach*99 && blank[at]*100 < reach*99 {
			begins = append(begins, at)
		}
	}
	if len(begins) < columnsLeast {
		return nil
	}
	var rows [][]string
	for _, l := range lines {
		runes := []rune(l)
		if len(runes) <= begins[len(begins)-1] {
			continue
		}
		row := make([]string, len(begins))
		for c, at := range begins {
			end := len(runes)
			if c+1 < len(begins) {
				end = begins[c+1]
			}
			row[c] = strings.TrimRight(string(runes[at:end]), " ")
		}
		rows = append(rows, row)
	}
	for c := range begins {
		if codeRank(rows, c) == 0 {
			continue
		}
		s := Suggestion{}
		for i := range c {
			if isTrace(rows, i) {
				s.Pattern = fmt.Sprintf(`^.{%d}(?P<stan>\d{%d}) .{%d}`, begins[i], len(rows[0][i]), begins[c]-begins[i]-len(rows[0][i])-1)
				break
			}
		}
		if s.Pattern == "" {
			s.Pattern = fmt.Sprintf(`^.{%d}`, begins[c])
		}
		s.Pattern += `(?P<code>[0-9A-Z]{1,4})(?: |$)`
		list = append(list, s)
	}
	return list
}

// rowsOf cuts the lines that have as many columns as most have; nil if most have not the same.
func rowsOf(text []byte, sep string) [][]string {
	counts := map[int]int{}
	var all [][]string
	lines := 0
	for l := range bytes.Lines(text) {
		if l = bytes.TrimRight(l, "\r\n"); len(bytes.TrimSpace(l)) == 0 {
			continue
		}
		if lines++; lines > columnLines {
			break
		}
		cells := strings.Fields(string(l))
		if sep != "" {
			cells = strings.Split(string(l), sep)
		}
		if n := len(cells); n >= columnsLeast && n <= columnsMost {
			counts[n]++
			all = append(all, cells)
		}
	}
	width := 0
	for n, count := range counts {
		if count > counts[width] || count == counts[width] && n > width {
			width = n
		}
	}
	enough := 2
	if sep == "" {
		enough = 10 // nine in ten: words have as many blanks as they like
	}
	if counts[width]*enough < min(lines, columnLines)*(enough-1) {
		return nil
	}
	return slices.DeleteFunc(all, func(cells []string) bool { return len(cells) != width })
}

// cell is a column's text without blanks and quotes.
func cell(s string) string { return strings.Trim(strings.TrimSpace(s), `"'`) }

// codeRank is how much a column looks like one of response codes, 0 if it does not: short values, few different ones,
// one in each line, and most often that of an approval. A column in which nothing was ever declined is of no use.
func codeRank(rows [][]string, c int) float64 {
	values := map[string]int{}
	fit := 0
	for _, r := range rows {
		if v := cell(r[c]); codeCell.MatchString(v) {
			fit++
			values[v]++
		}
	}
	if fit*10 < len(rows)*9 || len(values) < 2 || len(values) > suggestCodes {
		return 0
	}
	for i, ok := range approvals {
		// The width of an approval is that of every code.
		same := 0
		for v, n := range values {
			if len(v) == len(ok) {
				same += n
			}
		}
		if n := values[ok]; n*10 >= fit*3 && same == fit {
			others := float64(len(values)-1) / float64(fit-n+1) // a code comes again, an amount does not
			return float64(len(approvals)-i) + float64(n)/float64(fit) - others
		}
	}
	return 0
}

// isTrace tells whether a column is one of trace numbers: digits, hardly ever the same twice, and counting up.
func isTrace(rows [][]string, c int) bool {
	seen := map[string]bool{}
	fit, up, last := 0, 0, ""
	for _, r := range rows {
		v := cell(r[c])
		if !traceCell.MatchString(v) || last != "" && len(v) != len(last) {
			continue
		}
		fit++
		seen[v] = true
		if v > last {
			up++
		}
		last = v
	}
	// What looks like a date or a time counts up as well, and by more than one.
	steps := 0
	for i := 1; i < len(rows); i++ {
		if a, b := cell(rows[i-1][c]), cell(rows[i][c]); next(a) == b {
			steps++
		}
	}
	return fit*10 >= len(rows)*9 && len(seen)*10 >= fit*9 && up*10 >= fit*9 && steps*10 >= fit*5
}

// next is the number behind, of as many digits.
func next(digits string) string {
	b := []byte(digits)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != '9' {
			b[i]++
			return string(b)
		}
		b[i] = '0'
	}
	return string(b)
}

// columnPattern is the pattern of a column of codes, with the trace number's and the time's if they stand in others.
func columnPattern(rows [][]string, sep, not, re string, stan, code int) (s Suggestion) {
	at, over := -1, 0 // the column in which the time begins, and how many it takes
	timeRE := ""
	for _, l := range layouts {
		for c := range len(rows[0]) {
			for _, n := range []int{1, 2} {
				if at >= 0 || c+n > len(rows[0]) || sep == "" && strings.Count(l.layout, " ") != n-1 {
					continue
				}
				layout, look := l.layout, l.re
				if n == 2 && sep != "" {
					layout, look = strings.Replace(layout, " ", sep, 1), strings.Replace(look, " ", re, 1)
				}
				if sep == "" && n == 2 {
					look = strings.Replace(look, " ", `\s`, 1)
				}
				begins := regexp.MustCompile(`^["']?(` + look + `)`)
				fit := 0
				for _, r := range rows {
					joined := strings.Join(r[c:c+n], cmp.Or(sep, " "))
					if m := begins.FindStringSubmatch(joined); m != nil && isTime(layout, []byte(m[1])) {
						fit++
					}
				}
				if fit*10 >= len(rows)*9 {
					at, over, s.Layout, timeRE = c, n, layout, look
				}
			}
		}
	}
	if stan >= at && stan < at+over {
		stan = -1
	}
	last := max(code, stan, at+over-1)
	var b strings.Builder
	b.WriteByte('^')
	if sep == "" {
		b.WriteString(`\s*`)
	}
	skip := 0
	flush := func() {
		if skip > 0 {
			many := "*"
			if sep == "" {
				many = "+"
			}
			fmt.Fprintf(&b, `(?:%s%s%s){%d}`, not, many, re, skip)
		}
		skip = 0
	}
	for c := 0; c <= last; c++ {
		group := ""
		switch {
		case c == at:
			group = `["']?(?P<time>` + timeRE + `)` + not + `*`
			c += over - 1
		case c == stan:
			group = `\s*["']?(?P<stan>\d{1,12})["']?\s*`
		case c == code:
			group = `\s*["']?(?P<code>[0-9A-Z]{1,4})["']?\s*`
		default:
			skip++
			continue
		}
		flush()
		b.WriteString(group)
		if c < last {
			b.WriteString(re)
		}
	}
	b.WriteString(`(?:` + re + `|$)`)
	s.Pattern = b.String()
	return s
}
