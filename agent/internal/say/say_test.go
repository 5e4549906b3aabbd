package say

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"posdx/firmware-build/housetest"
)

// verbs are what takes an argument in a text, with the number of the argument.
var verb = regexp.MustCompile(`%(?:\[(\d+)\])?\.?\d*([a-zA-Z%])`)

// taken returns how many arguments a text takes, and which.
func taken(format string) (list []int) {
	next := 1
	for _, m := range verb.FindAllStringSubmatch(format, -1) {
		if m[2] == "%" {
			continue
		}
		if m[1] != "" {
			next, _ = strconv.Atoi(m[1])
		}
		list = append(list, next)
		next++
	}
	return list
}

// TestTextsAreWhole: each id once, both languages, and Chinese with nothing in it that the English has not.
func TestTextsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range told().texts {
		if seen[x.id] {
			t.Errorf("%s stands twice", x.id)
		}
		seen[x.id] = true
		if (x.zh == "") != (x.en == "") {
			t.Errorf("%s lacks a language", x.id)
		}
		en := taken(x.en)
		for _, n := range taken(x.zh) {
			if !slices.Contains(en, n) {
				t.Errorf("%s: the Chinese takes argument %d, the English has %v", x.id, n, en)
			}
		}
		args := make([]any, len(en))
		for i := range args {
			args[i] = "x"
		}
		for _, lang := range []string{"zh", "en"} {
			if said := New(x.id, args...).In(lang); strings.Contains(said, "%!(") || strings.Contains(said, "MISSING") ||
				strings.Contains(said, "EXTRA") {
				t.Errorf("%s in %s: %q", x.id, lang, said)
			}
		}
		if housetest.HasHan(x.en) {
			t.Errorf("%s: Chinese in %q", x.id, x.en)
		}
	}
}

// TestEveryTextIsSaid walks the program: each id that is said has a text, and each text is said somewhere.
func TestEveryTextIsSaid(t *testing.T) {
	said := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					said[s] = true
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if of, ok := call.Fun.(*ast.SelectorExpr); !ok || of.Sel.Name != "New" || fmt.Sprint(of.X) != "say" {
				return true
			}
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				id, _ := strconv.Unquote(lit.Value)
				if !slices.ContainsFunc(told().texts, func(x text) bool { return x.id == id }) {
					t.Errorf("%s: %q has no text", path, id)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	made := []string{"json-object", "json-number", "level-error", "level-fault", "level-warning"} // of a word and what is found
	for _, x := range told().texts {
		maker, _, _ := strings.Cut(x.id, "-")
		heard := slices.Contains([]string{"hook", "driver", "daemon", "code", "heard"}, maker)
		if !said[x.id] && !heard && !slices.Contains(made, x.id) {
			t.Errorf("nothing says %s", x.id)
		}
	}
}

// TestErrorsOfTheSystemAreSaid: what the system reports has Chinese words, and what it has not stands in quotes.
func TestErrorsOfTheSystemAreSaid(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "/a", Err: fs.ErrNotExist}, "打不开 /a：没有这个文件或目录"},
		{fmt.Errorf("open: %w", fs.ErrPermission), "没有权限"},
		{New("read", "/a", fs.ErrPermission), "读不了 /a：没有权限"},
		{fmt.Errorf("so: %w", New("json-empty")), "是空的，不是 JSON"},
		{errors.New("boom"), "系统报告 “boom”"},
		{second(regexp.Compile("(")), `"(" 缺少 )`},
	} {
		if got := Error(c.err, "zh"); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
		if got := Error(c.err, "en"); housetest.HasHan(got) {
			t.Errorf("Chinese in %q", got)
		}
	}
}

func second(_ any, err error) error { return err }

// TestWhatWasHeardIsFoundAgain: words that were made elsewhere are said in the language of whoever reads them.
func TestWhatWasHeardIsFoundAgain(t *testing.T) {
	for text, want := range map[string]string{
		"want one of zh en":                                                       "可用：zh en",
		"want at most 16 of A-Z a-z 0-9 . _ - + :":                                "最多 16 个字符，只能用 A-Z a-z 0-9 . _ - + :",
		"open /dev/ttyS1: serial port in use":                                     "打不开 /dev/ttyS1：正被别的程序占用",
		`there is no code table "x"; there are a b`:                               `没有应答码表 "x"；有：a b`,
		"something else":                                                          "something else",
		"connect tcp://a:1: dial: connect: connection refused":                    "连接 tcp://a:1：连接被拒绝",
		"session with tcp://a:1: connection lost: read: connection reset by peer": "与 tcp://a:1 的会话：连接断开：连接被对方断开",
		"": "",
	} {
		if got := Heard(text).In("zh"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for _, x := range told().texts {
		if args := taken(x.en); len(args) == 0 && x.en != "" && Heard(x.en).In("en") != x.en {
			t.Errorf("%q is heard as %q", x.en, Heard(x.en).In("en"))
		}
	}
}

func FuzzHeard(f *testing.F) {
	for _, x := range told().texts {
		f.Add(x.en)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := Heard(text)
		if strings.Contains(m.In("zh")+m.In("en"), "%!") && !strings.Contains(text, "%!") {
			t.Errorf("%q: %q", text, m.In("zh"))
		}
	})
}

// TestPackedAsWritten: what is packed is what texts.tsv says.
func TestPackedAsWritten(t *testing.T) {
	written, err := os.ReadFile("texts.tsv")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if is, err := io.ReadAll(z); err != nil || !bytes.Equal(is, written) {
		t.Errorf("texts.gz is not texts.tsv (%v): go generate ./agent/internal/say", err)
	}
}
