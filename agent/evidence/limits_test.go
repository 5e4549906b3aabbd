package evidence

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posdx/codes"
)

// TestNobodyElseJudges walks the rooms that measure, and the engine: none sets a status or a level by itself, and none
// names a fact or a finding's limit in a string of its own. What an evidence says, New, CannotTell, NotRun and Said
// say.
func TestNobodyElseJudges(t *testing.T) {
	// A person's answer is no measurement; a mark that is added to evidence is no judgement.
	allowed := []string{"diagnose/plan.go", "internal/source/sourcetest/sourcetest.go"}
	files := 0
	for _, dir := range []string{"internal/probe", "internal/source", "internal/triage", "diagnose", "."} {
		root := filepath.Join("..", dir)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if dir == "." && path != root || strings.HasSuffix(path, "diagnose/eval") || strings.HasSuffix(path, "testdata") {
					return fs.SkipDir
				}
				return err
			}
			name := filepath.ToSlash(strings.TrimPrefix(path, "../"))
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains(allowed, name) {
				return nil
			}
			files++
			judgesNothing(t, path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 60 {
		t.Errorf("only %d files were looked at", files)
	}
}

func judgesNothing(t *testing.T, path string) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	verdict := func(e ast.Expr) bool {
		s, ok := e.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := s.X.(*ast.Ident)
		return ok && x.Name == "report" && (s.Sel.Name == "OK" || s.Sel.Name == "Bad")
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Status" && verdict(n.Value) {
				t.Errorf("%s: a status is set here", set.Position(n.Pos()))
			}
		case *ast.AssignStmt:
			if slices.ContainsFunc(n.Rhs, verdict) {
				t.Errorf("%s: a status is set here", set.Position(n.Pos()))
			}
		case *ast.IndexExpr:
			if l, ok := n.Index.(*ast.BasicLit); ok && l.Value == `"level"` {
				t.Errorf("%s: a level is set or read here", set.Position(n.Pos()))
			}
		}
		return true
	})
}

// TestNoLimitTwice: no two rows give one finding of one check for the same condition and value.
func TestNoLimitTwice(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range codes.Builtin().Limits {
		if l.Fact == "" {
			continue
		}
		var when []string
		for _, c := range l.When {
			when = append(when, c.Fact+c.Op+strings.Join(c.Words, "|"))
		}
		key := strings.Join(append(when, l.Check, l.Finding, l.Fact), " ")
		if seen[key] {
			t.Errorf("%s of %s has two limits for %s", l.Finding, l.Check, l.Fact)
		}
		seen[key] = true
	}
}
