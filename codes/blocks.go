package codes

import (
	"slices"
	"strings"
	"unicode"
)

// A block is one thing in a file of blocks: a line that begins with the file's word, as in "cause lan.wifi", and the
// lines below it, up to the next such line. Blank lines and blanks at the start of a line are for the reader; a line
// that starts with # is a remark.
type block struct {
	head entry
	body []entry
}

// An entry is one line of a block: its first word, and what follows.
type entry struct {
	p    *parser
	file string
	line int
	word string
	rest string
}

func (e entry) problem(format string, args ...any) { e.p.problem(e.file, e.line, format, args...) }

// blocks reads a file of blocks, each of which begins with this word.
func (p *parser) blocks(file, word string) []block {
	data, ok := p.text(file)
	if !ok {
		return nil
	}
	var all []entry
	for i, line := range strings.Split(data, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if len(all) == maxRows {
			p.problem(file, i+1, "more than %d rows", maxRows)
			break
		}
		first, rest, _ := strings.Cut(line, " ")
		e := entry{p, file, i + 1, first, strings.TrimSpace(rest)}
		if strings.ContainsFunc(line, unicode.IsControl) {
			e.problem("control character in %q", line)
		}
		all = append(all, e)
	}
	before, list := split(all, word)
	if len(before) > 0 {
		before[0].problem("%q stands before the first %s", before[0].word, word)
	}
	if len(list) == 0 {
		p.problem(file, 0, "no line begins with %s", word)
	}
	return list
}

// split parts lines at those that begin with a word: the lines before the first, and a block for each.
func split(all []entry, word string) (before []entry, list []block) {
	for _, e := range all {
		switch {
		case e.word == word:
			list = append(list, block{head: e})
		case len(list) == 0:
			before = append(before, e)
		default:
			b := &list[len(list)-1]
			b.body = append(b.body, e)
		}
	}
	return before, list
}

// only reports the lines that begin with none of these words.
func (b block) only(words ...string) {
	for _, e := range b.body {
		if !slices.Contains(words, e.word) {
			e.problem("%q: a line of a %s begins with one of %s", e.word, b.head.word, strings.Join(words, " "))
		}
	}
}

// say returns what a block says after a word as a row of that one cell, an empty one if it says nothing. A word stands
// once.
func (b block) say(word string) row {
	r := row{p: b.head.p, file: b.head.file, line: b.head.line, block: true, names: []string{word}, cells: []string{"-"}}
	found := false
	for _, e := range b.body {
		if e.word != word {
			continue
		}
		if found {
			e.problem("%s stands in line %d already", word, r.line)
			continue
		}
		found, r.line = true, e.line
		if e.rest != "" {
			r.cells[0] = e.rest
		}
	}
	return r
}

// text returns a block's lines zh and en.
func (b block) text() Text { return Text{b.say("zh").zh("zh"), b.say("en").en("en")} }

// parts reads a line that is made of keys and what stands behind each, as in "bad by loss_pct poor 4 bad 9 -- why". The
// cell of the line's own word holds what comes before the first key, "why" what follows the two dashes.
func (e entry) parts(keys ...string) row {
	rest, why, _ := strings.Cut(" "+e.rest, " -- ")
	r := row{p: e.p, file: e.file, line: e.line, block: true, names: []string{e.word, "why"}, cells: []string{"-", "-"}}
	if why = strings.TrimSpace(why); why != "" {
		r.cells[1] = why
	}
	if slices.Contains(keys, e.word) {
		r.names[0] = "" // in "bad by loss_pct poor 4 bad 9" the cell named bad is the limit
	}
	for _, k := range keys {
		r.names, r.cells = append(r.names, k), append(r.cells, "-")
	}
	at, begun := 0, map[int]bool{}
	for _, w := range strings.Fields(rest) {
		if i := slices.Index(keys, w); i >= 0 {
			if at = i + 2; begun[at] {
				e.problem("%s stands in the line twice", w)
			}
			begun[at] = true
			continue
		}
		if r.cells[at] == "-" {
			r.cells[at] = w
		} else {
			r.cells[at] += " " + w
		}
	}
	if len(keys) > 0 && strings.Contains(r.cells[0], " ") {
		e.problem("%q is more than one word", r.cells[0])
	}
	for at := range begun {
		if r.cells[at] == "-" {
			e.problem("nothing stands behind %s", r.names[at])
		}
	}
	return r
}
