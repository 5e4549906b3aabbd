package posdx

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSleepsAreExplained: no test sleeps without a comment, on the line or right above it, that says why it does not
// wait for something that happens: a pace, a silence, an interval that is what is tested. Time that is not real, as in
// a bubble of testing/synctest, costs nothing and needs no reason.
func TestSleepsAreExplained(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		for _, line := range unexplainedSleeps(t, path, nil) {
			t.Errorf("%s:%d sleeps and does not say why: wait with housetest.Until for what is to happen, or explain it",
				path, line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

// unexplainedSleeps returns the lines of time.Sleep that have neither a comment nor a bubble around them.
func unexplainedSleeps(t *testing.T, path string, src any) (lines []int) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	explained := map[int]bool{}
	for _, group := range f.Comments {
		end := set.Position(group.End()).Line
		explained[end], explained[end+1] = true, true
	}
	for _, decl := range f.Decls {
		if bubbled(decl) {
			continue
		}
		chosen := map[ast.Node]bool{}
		ast.Inspect(decl, func(n ast.Node) bool {
			if c, ok := n.(*ast.CommClause); ok {
				chosen[c.Comm] = true // a bound beside an event, not a sleep
			}
			if n == nil || chosen[n] || !sleeps(n) {
				return true
			}
			if line := set.Position(n.Pos()).Line; !explained[line] {
				lines = append(lines, line)
			}
			return true
		})
	}
	return lines
}

// sleeps reports whether a node is time.Sleep(d), or <-time.After(d) as a statement.
func sleeps(n ast.Node) bool {
	if call, ok := n.(*ast.CallExpr); ok {
		return selects(call.Fun, "time", "Sleep")
	}
	stmt, ok := n.(*ast.ExprStmt)
	if !ok {
		return false
	}
	receive, ok := stmt.X.(*ast.UnaryExpr)
	if !ok || receive.Op != token.ARROW {
		return false
	}
	call, ok := receive.X.(*ast.CallExpr)
	return ok && selects(call.Fun, "time", "After")
}

// bubbled reports whether a function makes a bubble of testing/synctest, or waits in one.
func bubbled(decl ast.Decl) (yes bool) {
	ast.Inspect(decl, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		yes = yes || ok && (selects(e, "synctest", "Test") || selects(e, "synctest", "Wait"))
		return !yes
	})
	return yes
}

func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// TestUnexplainedSleepsAreFound: the test above would see one.
func TestUnexplainedSleepsAreFound(t *testing.T) {
	src := `package x
func a() {
	time.Sleep(1)
	time.Sleep(2) // the pace of a line
	// The pace of a line, too.
	time.Sleep(3)

	time.Sleep(4)
	for ok := false; !ok; time.Sleep(5) {
	}
}
func b() { synctest.Test(nil, func(t *testing.T) { time.Sleep(6) }) }
func c() { defer time.Sleep(7) }
func d() {
	<-time.After(8)
	select {
	case <-time.After(9):
	}
}
`
	if got := unexplainedSleeps(t, "x_test.go", src); !slices.Equal(got, []int{3, 8, 9, 13, 15}) {
		t.Errorf("lines %v, want 3, 8, 9, 13 and 15", got)
	}
}
