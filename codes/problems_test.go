package codes

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"posdx/firmware-build/housetest"
)

// TestEveryProblemInBothLanguages walks the places that say what is wrong with data: each text is in problemTexts with
// the same values in both languages, and each row of that is said.
func TestEveryProblemInBothLanguages(t *testing.T) {
	// Of a parser the file and the line come first.
	said := housetest.TextsMade(t, map[string]int{"p.problem": 2, "r.problem": 0, "e.problem": 0, "problem": 0}, ".")
	for text, path := range said {
		if housetest.HasWords(text) && chineseOf(text) == text {
			t.Errorf("%s: %q is not in problemTexts", path, text)
		}
	}
	if len(said) < 80 {
		t.Fatalf("the walk finds %d texts only", len(said))
	}
	verb := regexp.MustCompile(`%(?:\[\d+\])?(?:\.\d+)?[a-z]`)
	for _, text := range problemTexts {
		if said[text.EN] == "" && said[strings.TrimPrefix(text.EN, "column ")] == "" {
			t.Errorf("nothing says %q", text.EN)
		}
		var args []any
		for _, v := range verb.FindAllString(text.EN, -1) {
			args = append(args, map[byte]any{'d': 7, 'g': 7.5, 'v': fmt.Errorf("x"), 'q': "w", 's': "w"}[v[len(v)-1]])
		}
		for _, format := range []string{text.ZH, text.EN} {
			if out := fmt.Sprintf(format, args...); strings.Contains(out, "%!") {
				t.Errorf("%q: %s", format, out)
			}
		}
		if !strings.ContainsFunc(text.ZH, han) || strings.ContainsFunc(text.EN, han) {
			t.Errorf("%q, %q", text.ZH, text.EN)
		}
	}
}

// TestPackSaysItsFirstProblemInTheReadersLanguage: the error of knowledge that is wrong is a text in both languages.
func TestPackSaysItsFirstProblemInTheReadersLanguage(t *testing.T) {
	m := dataFiles(t)
	m["notes.txt"] = &fstest.MapFile{Data: []byte("hello")}
	_, problems := Parse(m)
	err := problemsError(problems)
	if zh, en := err.In("zh"), err.Error(); zh != "notes.txt:0：不认识这个数据文件（共 1 处）" || en != "notes.txt:0: no such data file is known (1 problems)" {
		t.Errorf("%q, %q", zh, en)
	}
}
