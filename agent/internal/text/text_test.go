package text

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"one two three", 8, "one two|  three"},
		{"收单机构故障，请稍后再试", 10, "收单机构故|  障，请稍|  后再试"},
		{"一二三四五，六", 10, "一二三四|  五，六"},
		{`一二三"四五六"。`, 14, `一二三"四五|  六"。`},
		{`一二"三四五"六`, 5, `一二|  "三|  四|  五"|  六`},
		{"", 10, ""},
		{"abcdefghijkl", 6, "abcdef|  ghij|  kl"},
		{"http://中文", 4, "http|  :/|  /|  中|  文"},
	} {
		if got := strings.Join(Wrap(c.in, c.n, 2), "|"); got != c.want {
			t.Errorf("wrap(%q, %d): got %q, want %q", c.in, c.n, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s, n := Clean(rapid.String().Draw(t, "text")), rapid.IntRange(6, 80).Draw(t, "n")
		for _, l := range Wrap(s, n, 3) {
			if Width(l) > n {
				t.Fatalf("wrap(%q, %d) made %q, %d wide", s, n, l, Width(l))
			}
		}
		if p := Pad(s, n); Width(p) != n {
			t.Fatalf("pad(%q, %d) made %q, %d wide", s, n, p, Width(p))
		}
	})
}
