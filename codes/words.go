package codes

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Word is what people call an id of the documents.
type Word struct {
	Kind string // verdict status level money retry actor visit segment origin channel reason scope, and values of facts
	ID   string
	Text Text
}

// Word returns what people call an id of a kind, by this knowledge or else by the one compiled in. An id that neither
// has, such as a newer program's, is returned as it is.
func (k *Knowledge) Word(kind, id string) Text {
	for _, words := range [...][]Word{k.Words, builtin.Words} {
		if i, ok := slices.BinarySearchFunc(words, Word{Kind: kind, ID: id}, compareWords); ok {
			return words[i].Text
		}
	}
	return Text{id, id}
}

func compareWords(a, b Word) int {
	if c := strings.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// Sentence makes a sentence of a phrase: a capital letter and a full stop.
func (t Text) Sentence() Text {
	first, n := utf8.DecodeRuneInString(t.EN)
	return Text{t.ZH + "。", string(unicode.ToUpper(first)) + t.EN[n:] + "."}
}

// And returns the two sentences one after the other.
func (t Text) And(next Text) Text { return Text{t.ZH + next.ZH, t.EN + " " + next.EN} }

// neededWords are ids that the program itself writes into documents, by kind: each must have a word.
var neededWords = [...]struct {
	kind string
	ids  []string
}{
	{"verdict", []string{"confirmed", "likely", "possible", "rejected", "indeterminate", "abstained"}},
	{"status", []string{"ok", "bad", "cannot-tell", "not-run"}},
	{"level", []string{"good", "fair", "poor", "bad"}},
	{"money", []string{"not-sent", "sent-no-answer", "declined", "approved", "unknown", "sign-in", "settlement", "reversed",
		"approved-part"}},
	{"retry", []string{"safe", "later", "later-mend", "query-first", "after-signin", "other-means", "other-means-tried", "no",
		"no-mend", "no-approved", "reversed"}},
	{"also", []string{"beside", "open"}},
	{"finding", []string{"claimed"}},
	{"actor", actors},
	{"segment", segments},
	{"visit", []string{"yes", "no"}},
	{"origin", []string{"host", "terminal", "cashier", "unknown"}},
	{"channel", []string{"hook", "log", "ecr", "capture", "console", "command"}},
	{"reason", []string{"in-use", "absent", "permission", "timeout", "unsupported", "too-few", "masked", "in-sale", "budget", "policy"}},
}

// words reads the vocabulary.
func (p *parser) words() {
	for _, r := range p.rows("words.tsv", "kind", "id", "zh", "en") {
		w := Word{r.must("kind"), r.must("id"), r.text("zh", "en")}
		if strings.ContainsAny(w.Text.ZH[max(0, len(w.Text.ZH)-3):], "。；，") || strings.HasSuffix(w.Text.EN, ".") {
			r.problem("a word ends without a mark: %q, %q", w.Text.ZH, w.Text.EN)
		}
		if slices.ContainsFunc(p.k.Words, func(o Word) bool { return o.Kind == w.Kind && o.ID == w.ID }) {
			r.problem("%s %q stands twice", w.Kind, w.ID)
		}
		p.k.Words = append(p.k.Words, w)
	}
	sort.Slice(p.k.Words, func(i, j int) bool { return compareWords(p.k.Words[i], p.k.Words[j]) < 0 })
	for _, n := range neededWords {
		for _, id := range n.ids {
			if _, ok := slices.BinarySearchFunc(p.k.Words, Word{Kind: n.kind, ID: id}, compareWords); !ok && id != "-" {
				p.problem("words.tsv", 0, "%s %q has no word", n.kind, id)
			}
		}
	}
}
