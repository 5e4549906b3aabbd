package translate

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

var some = []Text{
	{"读取 %s：%v", "read %s: %w"},
	{"读取 %s：第 %d 行：%v", "read %s: line %d: %w"},
	{"%[2]s 之前 %[1]s 分钟", "%.0f minutes before %d"},
	{"不认识 %s：可用：%s", "%q is not one of %s"},
	{"没有", "none"},
	{"满了：100%%", "full: 100%%"},
	{"%v：%v", "%s: %v"},
}

func TestErrorByItsEnglishForm(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("read %s: %w", "a: b", errors.New("none")), "读取 a: b：没有"},
		{fmt.Errorf("read %s: line %d: %w", "a", 7, fmt.Errorf("%q is not one of %s", "x is y", "p q")), `读取 a：第 7 行：不认识 "x is y"：可用：p q`},
		{fmt.Errorf("read %s: %w", "a", fmt.Errorf("read %s: %w", "b", &fs.PathError{Op: "open", Path: "b", Err: fs.ErrNotExist})), "读取 a：读取 b：b：没有这个文件或目录"},
		{fmt.Errorf("%.0f minutes before %d", 10.0, 99), "99 之前 10 分钟"},
		{errors.New("full: 100%"), "满了：100%"},
		{fmt.Errorf("so: %w", errors.New("boom")), "系统报告 “so: boom”"},
		{fmt.Errorf("%s: %w", "a.csv", errors.New("boom")), "a.csv：系统报告 “boom”"},
		{fmt.Errorf("so it is: %w", errors.New("boom")), "系统报告 “so it is: boom”"}, // a form without a word of its own says nothing
		{errors.New(""), "系统报告 “”"},
		{errors.Join(errors.New("none"), errors.New("full: 100%")), "没有\n满了：100%"},
	} {
		if got := Error(c.err, some); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

// FuzzFind: what a format made is found by it with its values, and no text makes the search fail or last.
func FuzzFind(f *testing.F) {
	f.Add("a", "none", 3)
	f.Add("line 7: read", "x: y: z", -1)
	f.Add(strings.Repeat("read : line : ", 200), "", 0)
	f.Fuzz(func(t *testing.T, name, inner string, n int) {
		text := fmt.Sprintf("read %s: line %d: %s", name, n, inner)
		at, values := find(text, some, nil)
		if at != 0 && at != 1 {
			t.Fatalf("%q is found at %d", text, at)
		}
		if len(values) != strings.Count(some[at].EN, "%") {
			t.Errorf("%q has values %q", text, values)
		}
		Words(name, some)
		Error(errors.New(inner), some)
	})
}
