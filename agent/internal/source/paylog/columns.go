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

// usual are the codes that hosts decline with most days, by which a column of codes is told from the inner digits of an
// amount or a number (ISO 8583, field 39).
var usual = strings.Fields("01 02 03 04 05 12 13 14 15 25 30 33 34 38 40 41 43 51 54 55 57 58 59 61 62 63 64 65 66 68 75 77 " +
	"79 90 91 92 94 96 97 98 99 A0")

// Lines of one width with nothing between their columns.
const (
	fixedLeast = 8   // columns of a line, below which it is no record
	fixedMost  = 512 // in which a code is looked for
	fixedRows  = 400 // that are looked at
)

// fixedColumns proposes patterns for lines that are all equally wide and have no separators, and returns their width; 0
// for lines of different width. Only codes of two characters are found: they are what ISO 8583 has.
func fixedColumns(text []byte) (list []Suggestion, width int) {
	widths := map[int]int{}
	var lines [][]rune
	for l := range bytes.Lines(text) {
		if l = bytes.TrimRight(l, "\r\n"); len(bytes.TrimSpace(l)) == 0 {
			continue
		}
		runes, n := []rune(string(l)), 0
		for _, r := range runes {
			n++
			if r >= 0x1100 { // two places on a screen, and two bytes in the sets of tills
				n++
			}
		}
		widths[n]++
		lines = append(lines, runes)
		if len(lines) == columnLines {
			break
		}
	}
	for n, count := range widths {
		if count*10 >= len(lines)*9 && n >= fixedLeast && len(lines) >= columnRows {
			width = n
		}
	}
	if width == 0 {
		return nil, 0
	}
	lines = lines[max(0, len(lines)-fixedRows):]
	shortest := len(slices.MinFunc(lines, func(a, b []rune) int { return cmp.Compare(len(a), len(b)) }))
	cut := func(at, n int) (rows [][]string) {
		for _, l := range lines {
			rows = append(rows, []string{string(l[at : at+n])})
		}
		return rows
	}
	stan := -1
	const digits = 6 // of a trace number: ISO 8583, field 11
	for at := 0; at+digits <= min(shortest, fixedMost) && stan < 0; at++ {
		if isTrace(cut(at, digits), 0) {
			stan = at
		}
	}
	type place struct{ at, usual, others int }
	var places []place
	for at := 0; at+2 <= min(shortest, fixedMost); at++ {
		rows := cut(at, 2)
		if stan >= 0 && at+2 > stan && at < stan+digits || codeRank(rows, 0) == 0 {
			continue
		}
		p, again := place{at: at}, 0
		for i, r := range rows {
			switch {
			case r[0] != approvals[0]:
				p.others++
				if slices.Contains(usual, r[0]) {
					p.usual++
				}
			case i > 0 && rows[i-1][0] != approvals[0]:
				again++ // a clock's minutes do not turn back
			}
		}
		if p.usual*10 >= p.others*8 && again > 1 {
			places = append(places, p)
		}
	}
	sort.SliceStable(places, func(i, j int) bool {
		a, b := places[i], places[j]
		return b.usual*a.others < a.usual*b.others
	})
	for _, p := range places {
		code := `(?P<code>[0-9A-Z]{2})`
		s := Suggestion{Pattern: skipped(p.at) + code}
		switch {
		case stan >= p.at+2:
			s.Pattern += fmt.Sprintf(`.{%d}(?P<stan>\d{%d})`, stan-p.at-2, digits)
		case stan >= 0:
			s.Pattern = skipped(stan) + fmt.Sprintf(`(?P<stan>\d{%d}).{%d}%s`, digits, p.at-stan-digits, code)
		}
		list = append(list, s)
	}
	return list, width
}

// skipped matches what stands before a column.
func skipped(at int) string {
	if at == 0 {
		return "^"
	}
	return fmt.Sprintf(`^.{%d}`, at)
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
