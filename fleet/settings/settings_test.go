package settings

import (
	"strings"
	"testing"
)

func TestDecodeNamesLineAndKey(t *testing.T) {
	type file struct {
		Name string `toml:"name"`
		Way  []struct {
			To []string `toml:"to"`
			No int      `toml:"no"`
		} `toml:"way"`
	}
	for text, want := range map[string]string{
		"name = \"a\"\n[[way]]\nto = [\"b\"]\nno = 3\n": "",
		"name = \"a\"\nnome = \"b\"\n":                  `line 2: there is no key "nome"`,
		"[[way]]\nto = [\"b\"]\nfrom = 1\n":             `line 3: there is no key "way.from"`,
		"\nname = 3\n":                                  `line 2: "name" wants a value of another kind`,
		"[[way]]\nto = \"b\"\n":                         `line 2: "way.to" wants a value of another kind`,
		"name = \"a\"\nsome words\n":                    "line 2: not TOML",
		"name = a\n":                                    "line 1: not TOML",
	} {
		var f file
		err := Decode([]byte(text), &f)
		if (err == nil) != (want == "") ||
			err != nil && (!strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "struct")) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
