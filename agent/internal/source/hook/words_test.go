package hook

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"strconv"
	"strings"
	"testing"

	"posdx/agent/internal/say"
	"posdx/firmware-build/housetest"
)

// TestWhatIsWrongIsHeardInChinese walks what the socket can answer to a wrong request: it is English, for the log of
// the payment application, and posdx report says it to people in Chinese.
func TestWhatIsWrongIsHeardInChinese(t *testing.T) {
	said := housetest.TextsMade(t, map[string]int{"refuse": 1, "m.warn": 1, "m.text": 1}, ".")
	for _, from := range []struct{ file, in string }{{"../words.go", "CodeProblem"}, {"fields.go", "take"}, {"hook.go", "busy"}} {
		f, err := parser.ParseFile(gotoken.NewFileSet(), from.file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != from.in {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == gotoken.STRING {
					if s, _ := strconv.Unquote(lit.Value); strings.Contains(s, " ") {
						said[s] = from.file
					}
				}
				return true
			})
		}
	}
	if len(said) < 25 {
		t.Fatalf("the walk finds %d texts only: %v", len(said), said)
	}
	for text, path := range said {
		if path == "http.go" || path == "nexo.go" || !housetest.HasWords(text) || strings.HasPrefix(text, "hook ") {
			continue // no command of ours speaks to those; and what the log says
		}
		sample := strings.NewReplacer("%s", "x1", "%d", "7", "%g", "7").Replace(text)
		if strings.HasSuffix(sample, " ") {
			sample += "x1"
		}
		if zh := say.Heard(sample).In("zh"); !housetest.HasHan(zh) || housetest.English(zh) != "" {
			t.Errorf("%s: %q is heard as %q", path, sample, zh)
		}
	}
}
