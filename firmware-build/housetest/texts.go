package housetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// ErrorMakers are the functions of the standard library that make an error of a text.
var ErrorMakers = map[string]int{"fmt.Errorf": 0, "errors.New": 0}

// TextsMade walks the Go files of folders, tests apart, for the texts that are given to makers: functions by their
// name, with the package before it where that is another one, and which argument the text is. It returns the file of
// each.
func TextsMade(t testing.TB, makers map[string]int, folders ...string) map[string]string {
	t.Helper()
	made := map[string]string{}
	eachFile(t, folders, func(path string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			short, long := "", ""
			switch of := call.Fun.(type) {
			case *ast.Ident:
				short = of.Name
			case *ast.SelectorExpr:
				short, long = of.Sel.Name, fmt.Sprint(of.X)+"."+of.Sel.Name
			}
			at, is := makers[long]
			if !is {
				at, is = makers[short]
			}
			if is && at < len(call.Args) {
				if text, ok := literal(call.Args[at]); ok {
					made[text] = path
				}
			}
			return true
		})
	})
	return made
}

// Literals are the texts in the Go files of folders, tests apart.
func Literals(t testing.TB, folders ...string) (list []string) {
	t.Helper()
	eachFile(t, folders, func(_ string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					list = append(list, s)
				}
			}
			return true
		})
	})
	return list
}

func eachFile(t testing.TB, folders []string, do func(path string, f *ast.File)) {
	t.Helper()
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			do(path, f)
		}
	}
}

// literal is a text, or several and values with a plus between them.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, ok := literal(e.X)
		b, also := literal(e.Y)
		return a + b, ok && also
	case *ast.Ident, *ast.SelectorExpr, *ast.CallExpr:
		return "%s", true
	}
	return "", false
}

var word = regexp.MustCompile(`[a-z]{3,}`)

var place = regexp.MustCompile(`%#?(?:\.\d+)?[a-z]`)

// HasWords tells whether a text has words of its own, and is not made of values and marks alone.
func HasWords(text string) bool {
	return word.MatchString(place.ReplaceAllString(text, ""))
}

// SampleOf is an error as fmt.Errorf makes it of a text: around inner, and with 7 and X1 for values.
func SampleOf(text string, inner error) error {
	var args []any
	for _, verb := range place.FindAllString(text, -1) {
		switch verb[len(verb)-1] {
		case 'd', 'o':
			args = append(args, 7)
		case 'f':
			args = append(args, 7.0)
		case 'w', 'v':
			args = append(args, inner)
		default:
			args = append(args, "X1")
		}
	}
	return fmt.Errorf(text, args...)
}

var (
	inQuotes = regexp.MustCompile(`"[^"]*"`)
	inARow   = regexp.MustCompile(`(?:^|[^-/.a-z])[a-z]{2,} [a-z]{2,} [a-z]{2,}`)
)

// English are the first English words in a text that is meant to be Chinese: three in a row, not in quotes, and no
// command of ours.
func English(text string) string { return inARow.FindString(inQuotes.ReplaceAllString(text, "")) }

// HasHan tells whether a text has a Chinese character in it.
func HasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}
