package codes

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A row is one line of a table. Its methods read a cell by the name of its column and report what is wrong with it.
type row struct {
	p     *parser
	file  string
	line  int
	block bool // the line stands in a file of blocks, which has no columns
	names []string
	cells []string
}

// text is what a file holds; a file that is missing or not UTF-8 is a problem.
func (p *parser) text(file string) (text string, ok bool) {
	data, ok := p.files[file]
	switch {
	case !ok:
		p.problem(file, 0, "the file is missing")
		return "", false
	case !utf8.Valid(data):
		p.problem(file, 0, "not UTF-8")
		return "", false
	}
	return string(data), true
}

// rows reads a table: fields apart by one tab, the first line names the columns, "-" is an empty cell, lines that start
// with # are remarks. want are the columns in their order.
func (p *parser) rows(file string, want ...string) []row {
	data, ok := p.text(file)
	if !ok {
		return nil
	}
	var rows []row
	header := false
	for i, line := range strings.Split(data, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "\t")
		if !header {
			if !slices.Equal(cells, want) {
				p.problem(file, i+1, "columns are %q, want %q", strings.Join(cells, " "), strings.Join(want, " "))
				return nil
			}
			header = true
			continue
		}
		if len(cells) != len(want) {
			p.problem(file, i+1, "%d cells, want %d", len(cells), len(want))
			continue
		}
		if len(rows) == maxRows {
			p.problem(file, i+1, "more than %d rows", maxRows)
			return rows
		}
		r := row{p: p, file: file, line: i + 1, names: want, cells: cells}
		for c, cell := range cells {
			if cell == "" || cell != strings.TrimSpace(cell) {
				r.problem("column %s: %q; an empty cell is -, and no cell starts or ends with a blank", want[c], cell)
			}
			if strings.ContainsFunc(cell, unicode.IsControl) {
				r.problem("column %s: control character in %q", want[c], cell)
			}
		}
		rows = append(rows, r)
	}
	if !header {
		p.problem(file, 0, "no line that names the columns")
	}
	return rows
}

func (r row) problem(format string, args ...any) {
	if r.block {
		format = strings.TrimPrefix(format, "column ")
	}
	r.p.problem(r.file, r.line, format, args...)
}

// str returns a cell, "" for an empty one.
func (r row) str(column string) string {
	cell := r.cells[slices.Index(r.names, column)]
	if cell == "-" {
		return ""
	}
	return cell
}

// must returns a cell that may not be empty.
func (r row) must(column string) string {
	s := r.str(column)
	if s == "" {
		r.problem("column %s is empty", column)
	}
	return s
}

// lines says in which line a key stood first.
type lines map[string]int

// once returns a cell that may not be empty, nor stand in an earlier row.
func (r row) once(seen lines, column string) string {
	s := r.must(column)
	if line, ok := seen[s]; ok {
		r.problem("%s %q stands in line %d already", column, s, line)
	}
	seen[s] = r.line
	return s
}

// one returns a cell that holds one of these words.
func (r row) one(column string, words ...string) string {
	s := r.str(column)
	if !slices.Contains(words, s) {
		r.problem("column %s: %q is none of %s", column, s, strings.Join(words, " "))
	}
	return s
}

// list returns the words of a cell that commas hold apart, nil for an empty one.
func (r row) list(column string) []string {
	s := r.str(column)
	if s == "" {
		return nil
	}
	words := strings.Split(s, ",")
	for i, w := range words {
		if w == "" || w != strings.TrimSpace(w) {
			r.problem("column %s: %q; words are held apart by one comma and no blank", column, s)
		}
		if slices.Contains(words[:i], w) {
			r.problem("column %s: %q twice", column, w)
		}
	}
	return words
}

// listOf returns the words of a cell, each of which must be known.
func (r row) listOf(column, kind string, known func(string) bool) []string {
	words := r.list(column)
	for _, w := range words {
		if !known(w) {
			r.problem("column %s: no %s %q", column, kind, w)
		}
	}
	return words
}

// text returns the two columns of a text.
func (r row) text(zh, en string) Text { return Text{r.zh(zh), r.en(en)} }

// zh returns the Chinese of a text: it may not be missing, and holds Chinese.
func (r row) zh(column string) string {
	s := r.must(column)
	if s != "" && !strings.ContainsFunc(s, han) {
		r.problem("column %s: no Chinese in %q", column, s)
	}
	return s
}

// en returns the English of a text: it may not be missing, and holds no Chinese.
func (r row) en(column string) string {
	s := r.must(column)
	if strings.ContainsFunc(s, chinese) {
		r.problem("column %s: Chinese in %q", column, s)
	}
	return s
}

// textOrNone returns a text that may be missing, but then in both languages.
func (r row) textOrNone(zh, en string) Text {
	if r.str(zh) == "" && r.str(en) == "" {
		return Text{}
	}
	return r.text(zh, en)
}

func han(c rune) bool { return unicode.Is(unicode.Han, c) }

// chinese tells characters of Chinese writing, its punctuation and full-width forms included.
func chinese(c rune) bool {
	return han(c) || c >= 0x3000 && c <= 0x303f || c >= 0xff00 && c <= 0xffef
}
