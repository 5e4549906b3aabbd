package posdx

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// longest is how many lines a function may have. Those that are longer than a screen or two are steps of one thing in
// their order, or a table.
const longest = 175

// TestFigures counts the house: packages and lines of each room, tests apart, and its longest functions. With -v it
// prints them.
func TestFigures(t *testing.T) {
	type room struct{ packages, code, tests int }
	count := make([]room, len(rooms))
	seen := map[string]bool{}
	type function struct {
		lines int
		where string
	}
	var functions []function
	set := token.NewFileSet()
	walk(t, func(path string, _ fs.DirEntry) {
		i := roomOf(filepath.ToSlash(filepath.Dir(path)))
		if !strings.HasSuffix(path, ".go") || i < 0 {
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(b, []byte("\n"))
		if strings.HasSuffix(path, "_test.go") || isKit(filepath.Dir(path)) {
			count[i].tests += lines
			return
		}
		if !seen[filepath.Dir(path)] {
			seen[filepath.Dir(path)] = true
			count[i].packages++
		}
		if bytes.Contains(b[:min(len(b), 400)], []byte("DO NOT EDIT")) {
			return
		}
		count[i].code += lines
		f, err := parser.ParseFile(set, path, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1
				functions = append(functions, function{n, path + " " + fn.Name.Name})
			}
		}
	})
	var all room
	t.Logf("%-34s %9s %8s %8s", "room", "packages", "lines", "of tests")
	for i, c := range count {
		t.Logf("%-34s %9d %8d %8d", rooms[i].name, c.packages, c.code, c.tests)
		all.packages, all.code, all.tests = all.packages+c.packages, all.code+c.code, all.tests+c.tests
		if c.packages == 0 && c.tests == 0 {
			t.Errorf("the room %s is empty", rooms[i].name)
		}
	}
	t.Logf("%-34s %9d %8d %8d   (generated files apart)", "all", all.packages, all.code, all.tests)
	sort.Slice(functions, func(i, j int) bool { return functions[i].lines > functions[j].lines })
	for i, f := range functions {
		if i < 10 {
			t.Logf("%4d lines  %s", f.lines, f.where)
		}
		if f.lines > longest {
			t.Errorf("%s has %d lines, more than %d: cut it into named steps", f.where, f.lines, longest)
		}
	}
}
