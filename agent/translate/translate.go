// Package translate says in Chinese what a program wrote in English: errors whose texts stand in a list, by their
// English form, and those of the system.
package translate

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A Text is one message in both languages. Both are formats of package fmt; the Chinese names a value by its place,
// as in %[2]q, where its order is another. An error that is wrapped stands as %w in the English and as %v in the
// Chinese.
type Text = struct{ ZH, EN string }

// Error says an error in Chinese. An error around another one is said by its own text, and the inner one by its own.
// What neither the list nor the system has words for stands as it is, in quotes.
func Error(err error, texts []Text) string {
	teller, tells := err.(interface{ In(lang string) string })
	if tells {
		return teller.In("zh")
	}
	inner := within(err)
	if len(inner) == 1 && inner[0].Error() == err.Error() { // it marks the other one and says nothing
		return Error(inner[0], texts)
	}
	if at, values := find(err.Error(), texts, inner); at >= 0 {
		return fill(texts[at].ZH, chinese(values, inner, texts))
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		var list []string
		for _, e := range joined.Unwrap() {
			list = append(list, Error(e, texts))
		}
		return strings.Join(list, "\n")
	}
	if errors.As(err, &teller) {
		return teller.In("zh")
	}
	if len(inner) == 1 { // a value alone, such as the name of a file, before the error
		before, ok := strings.CutSuffix(err.Error(), ": "+inner[0].Error())
		if ok && strings.ContainsAny(before, "/.-") && !strings.Contains(before, " ") {
			return before + "：" + Error(inner[0], texts)
		}
	}
	return System(err)
}

// chinese says the values of a text that are errors themselves.
func chinese(values []value, inner []error, texts []Text) (list []string) {
	for _, v := range values {
		said := v.text
		if v.verb == 'w' || v.verb == 'v' {
			if i := slices.IndexFunc(inner, func(e error) bool { return e.Error() == v.text }); i >= 0 {
				said = Error(inner[i], texts)
			} else {
				said = Words(v.text, texts)
			}
		}
		list = append(list, said)
	}
	return list
}

// within returns the errors that an error holds directly.
func within(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return []error{inner}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// Words are an English text in Chinese, as it is where the list does not have it.
func Words(text string, texts []Text) string {
	if at, values := find(text, texts, nil); at >= 0 {
		return fill(texts[at].ZH, chinese(values, nil, texts))
	}
	return cmp.Or(ofSystem(text), text)
}

// Find returns which text of a list an English one has the form of, -1 if none.
func Find(text string, texts []Text) int {
	at, _ := find(text, texts, nil)
	return at
}

// A value is what stood in the place of a verb.
type value struct {
	verb byte
	text string
}

// find returns which text of a list an English one has the form of, -1 if none, and its values. Of several it is the
// one that begins with most words of its own, then the one that has most; one without any says nothing and is never
// found. The errors that an error is known to hold stand in the places of %w.
func find(text string, texts []Text, inner []error) (at int, values []value) {
	at, begins, most := -1, 0, 0
	for i, t := range texts {
		first, _, _ := strings.Cut(t.EN, "%")
		n := fixed(t.EN)
		if n == 0 || len(first) < begins || len(first) == begins && n <= most {
			continue
		}
		if v, ok := match(t.EN, text, inner); ok {
			at, begins, most, values = i, len(first), n, v
		}
	}
	return at, values
}

// A part of a format is fixed text and the value behind it; the last part has no value and its kind is 0.
type part struct {
	fixed string
	at    int // which value, from 0
	kind  byte
}

// parts cuts a format.
func parts(format string) (list []part) {
	next := 0
	for {
		before, after, found := strings.Cut(format, "%")
		if !found {
			return append(list, part{fixed: before})
		}
		if strings.HasPrefix(after, "%") {
			rest := parts(after[1:])
			rest[0].fixed = before + "%" + rest[0].fixed
			return append(list, rest...)
		}
		end := strings.IndexFunc(after, func(r rune) bool { return r >= 'a' && r <= 'z' })
		if end < 0 {
			return append(list, part{fixed: format})
		}
		if n, digits, ok := strings.Cut(strings.TrimLeft(after[:end], "."), "["); ok || n != "" {
			place, _, _ := strings.Cut(digits, "]")
			if i, err := strconv.Atoi(place); err == nil {
				next = i - 1
			}
		}
		list = append(list, part{before, next, after[end]})
		next++
		format = after[end+1:]
	}
}

// fixed counts the bytes of a format that are no values. A form that is nothing but values and marks says nothing.
func fixed(format string) (n int) {
	letters := false
	for _, p := range parts(format) {
		n += len(p.fixed)
		letters = letters || strings.ContainsFunc(p.fixed, func(r rune) bool { return r >= 'a' && r <= 'z' })
	}
	if !letters {
		return 0
	}
	return n
}

// match finds the values that make a text of a format, as they stand in the text.
func match(format, text string, inner []error) (values []value, ok bool) {
	list := parts(format)
	values = make([]value, 0, len(list))
	tries := 0
	var from func(i int, text string) bool
	take := func(i int, rest string, end int) bool {
		if !fits(list[i].kind, rest[:end], inner) {
			return false
		}
		values = append(values, value{list[i].kind, rest[:end]})
		if from(i+1, rest[end:]) {
			return true
		}
		values = values[:len(values)-1]
		return false
	}
	from = func(i int, text string) bool {
		rest, ok := strings.CutPrefix(text, list[i].fixed)
		if !ok || i == len(list)-1 {
			return ok && rest == ""
		}
		next, last := list[i+1].fixed, i+1 == len(list)-1
		if next == "" && !last { // nothing tells where it ends but the end of the line
			line, _, _ := strings.Cut(rest, "\n")
			return take(i, rest, len(line))
		}
		for end := 0; end <= len(rest); end++ {
			if tries++; tries > 10000 {
				return false
			}
			if last && next == "" {
				end = len(rest)
			} else {
				skip := strings.Index(rest[end:], next)
				if skip < 0 {
					return false
				}
				end += skip
			}
			if take(i, rest, end) {
				return true
			}
		}
		return false
	}
	if !from(0, text) {
		return nil, false
	}
	return values, true
}

// fits tells whether a verb can have written a value.
func fits(kind byte, value string, inner []error) bool {
	switch kind {
	case 'w':
		return len(inner) == 0 || slices.ContainsFunc(inner, func(e error) bool { return e.Error() == value })
	case 'd':
		_, err := strconv.ParseInt(value, 10, 64)
		return err == nil
	case 'f', 'g':
		_, err := strconv.ParseFloat(value, 64)
		return err == nil
	case 'q':
		_, err := strconv.Unquote(value)
		return err == nil || strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]")
	}
	return true
}

// fill puts values into a format, as they are.
func fill(format string, values []string) string {
	var b strings.Builder
	for _, p := range parts(format) {
		b.WriteString(p.fixed)
		if p.kind != 0 && p.at < len(values) {
			b.WriteString(values[p.at])
		}
	}
	return b.String()
}
