package say

import (
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"

	"posdx/agent/translate"
)

//go:generate go run ./gen

// packed is texts.tsv, whose own head says what stands in it. Packed it is 34 kB less on the terminal's flash, and it
// is unpacked when the first text is said.
//
//go:embed texts.gz
var packed string

type text struct{ id, zh, en string }

// A table is all that a person is told.
type table struct {
	texts []text           // messages, in the order of where they are said
	forms []translate.Text // of errors that are made in English, then of the messages
	heard int              // how many of forms are of such errors
}

var told = sync.OnceValue(func() table {
	t, err := unpack(packed)
	if err != nil {
		panic(err) // a test holds what is packed
	}
	return t
})

func unpack(packed string) (t table, err error) {
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return t, err
	}
	whole, err := io.ReadAll(z)
	if err != nil {
		return t, err
	}
	n := 0
	for line := range strings.Lines(string(whole)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		id, both, _ := strings.Cut(line, "\t")
		zh, en, ok := strings.Cut(both, "\t")
		if !ok || strings.Contains(en, "\t") {
			return t, fmt.Errorf("texts.tsv: line %d: want an id, the Chinese and the English between tabs", n)
		}
		if id == "-" {
			t.forms = append(t.forms, translate.Text{ZH: zh, EN: en})
		} else {
			t.texts = append(t.texts, text{id, zh, en})
		}
	}
	t.heard = len(t.forms)
	for _, x := range t.texts {
		t.forms = append(t.forms, translate.Text{ZH: x.zh, EN: x.en})
	}
	return t, nil
}
