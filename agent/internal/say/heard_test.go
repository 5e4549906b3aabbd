package say

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// speak are the rooms whose errors can end a command or stand in its answer. What drivers of other devices, probes and
// the engine meet goes to the log, and into evidence as a word of the vocabulary.
var speak = []string{
	"agent", "agent/enroll", "agent/report", "agent/internal/atomicfile", "agent/internal/bundle", "agent/internal/config", "agent/internal/console",
	"agent/internal/keeper", "agent/internal/library", "agent/internal/outbox", "agent/internal/relay", "agent/internal/source", "agent/internal/source/hook",
	"agent/internal/source/capture", "agent/internal/source/paylog", "agent/internal/source/registerlink", "agent/internal/sshsig", "agent/internal/triage",
	"agent/internal/uplink", "agent/internal/zmodem", "codes", "drivers/serial", "drivers/printer",
}

// place is what stands for a value in an error.
var place = regexp.MustCompile(`%#?(?:\.\d+)?[a-z]`)

// words are English words in a row that are no command.
var words = regexp.MustCompile(`(?:^|[^-a-z])[a-z]{2,} [a-z]{2,} [a-z]{2,}`)

var quoted = regexp.MustCompile(`"[^"]*"`)

// TestErrorsMadeInEnglishAreHeard walks the rooms: what any of them makes an error of is said in Chinese, with what is
// in it; and nothing is left over in the list.
func TestErrorsMadeInEnglishAreHeard(t *testing.T) {
	made := map[string]string{}
	for _, room := range speak {
		folder, err := filepath.Glob("../../../" + room + "/*.go")
		if err != nil || len(folder) == 0 {
			t.Fatal(room, err)
		}
		for _, path := range folder {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				of, ok := call.Fun.(*ast.SelectorExpr)
				name := ""
				if ok {
					name = fmt.Sprint(of.X, ".", of.Sel.Name)
				}
				if lit, ok := call.Args[0].(*ast.BasicLit); ok && (name == "fmt.Errorf" || name == "errors.New") {
					text, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					made[text] = path
				}
				return true
			})
		}
	}
	if len(made) < 150 {
		t.Fatalf("the walk finds %d errors only", len(made))
	}
	used := make([]bool, len(heard))
	inner := errors.New("silent")
	for text, path := range made {
		if !regexp.MustCompile(`[a-z]{3,}`).MatchString(place.ReplaceAllString(text, "")) {
			continue // values alone
		}
		var args []any
		for _, verb := range place.FindAllString(text, -1) {
			switch verb[len(verb)-1] {
			case 'd', 'o':
				args = append(args, 7)
			case 'w', 'v':
				args = append(args, inner)
			default:
				args = append(args, "X1")
			}
		}
		err := fmt.Errorf(text, args...)
		said := Error(err, "zh")
		if !hasHan(said) || strings.Contains(said, "系统报告") || words.MatchString(quoted.ReplaceAllString(said, "")) {
			t.Errorf("%s: %q is said as %q: it needs a row in heard", path, text, said)
		}
		if strings.Contains(text, "%w") && !strings.Contains(said, "没有回音") {
			t.Errorf("%s: %q loses what it is around in %q", path, text, said)
		}
		for i, h := range heard {
			if h.EN == text || place.ReplaceAllString(h.EN, "%") == place.ReplaceAllString(text, "%") {
				used[i] = true
			}
		}
	}
	for i, h := range heard {
		// Parts of an error, and the two forms of knowledge that are read no more.
		part := []string{"certificate", "key", "user file", "the user file (none is configured)", "session ended"}
		if !used[i] && !slices.Contains(part, h.EN) && !strings.Contains(h.EN, " form, with ") && !spoken(t, h.EN) {
			t.Errorf("nothing says %q", h.EN)
		}
	}
}

// spoken tells whether a text stands in the program in another place than an error.
func spoken(t *testing.T, text string) (found bool) {
	begin, _, _ := strings.Cut(text, "%")
	err := filepath.WalkDir("../uplink", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !found && filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					s, _ := strconv.Unquote(lit.Value)
					found = found || begin != "" && strings.HasPrefix(s, begin)
				}
				return !found
			})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
