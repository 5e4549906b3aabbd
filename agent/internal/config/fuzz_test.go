package config

import (
	"bytes"
	"os"
	"testing"
)

// Whatever a file holds, reading it ends, and every problem points into it.
func FuzzParse(f *testing.F) {
	if b, err := os.ReadFile("../../../firmware-build/posdx.toml"); err == nil {
		f.Add(b)
	}
	for _, s := range []string{"", "estate = \"a\"\n[[target]]\nport = \"x\"\n", "a.b.c = {d = [1, {e = 2}]}\n", "[[log]]\n[[log.step]]\n[log.step.x]\n", "labels = {a = \"b\"}\n",
		"target = [1, {name = \"x\"}]\n", "[broker]\nkeepalive = 1979-05-27T07:32:00Z\n", "[labels.x]\ny = 1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, problems := Parse("f", b)
		lines := bytes.Count(b, []byte("\n")) + 1
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines || p.Say == "" {
				t.Errorf("%+v of %d lines", p, lines)
			}
		}
		c.Public()
	})
}
