package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogCommand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pay_20261128.log")
	text := strings.Repeat("2026-11-28 10:00:00 card 4761739001010010 RspCode=00 stan=000041\n", 5) + "2026-11-28 10:00:09 card 4761739001010010 RspCode=96 stan=000042\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	call := func(args ...string) (int, string) {
		var out, talk bytes.Buffer
		code := run(t.Context(), stdio{in: strings.NewReader(""), out: &out, err: &talk, speak: "en"},
			append([]string{"log"}, args...))
		if s := out.String() + talk.String(); strings.Contains(s, "476173") {
			t.Errorf("%v shows a card number:\n%s", args, s)
		}
		return code, out.String() + talk.String()
	}
	code, said := call("suggest", path)
	if code != exitOK || !strings.Contains(said, "catches 6 records: 00 ×5, 96 ×1") || !strings.Contains(said, "(?P<stan>") || !strings.Contains(said, "time_layout") {
		t.Errorf("suggest: %d\n%s", code, said)
	}
	// What suggest writes is a configuration that try takes, and that is followed when the next day's file comes.
	_, snippet, _ := strings.Cut(said, "\n")
	conf := filepath.Join(dir, "posdx.toml")
	if err := os.WriteFile(conf, []byte(least+snippet), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := call("try", path, "--config", conf); code != exitOK || strings.Count(said, "code=00") != 5 ||
		!strings.Contains(said, "line 6  pattern 0  code=96") || !strings.Contains(said, "stan=000042") {
		t.Errorf("try: %d\n%s", code, said)
	}
	next := filepath.Join(dir, "pay_20261129.log")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := call("try", next, "--config", conf, "--json"); code != exitOK ||
		!strings.Contains(said, `"code":"96"`) || !strings.Contains(said, `"hits":[6]`) {
		t.Errorf("try the next day's: %d\n%s", code, said)
	}
	if code, said := call("try", path, "--pattern", `nothing (?P<code>x)`); code != exitAbstain || !strings.Contains(said, "0 of 6 records") {
		t.Errorf("try in vain: %d\n%s", code, said)
	}
	packed := filepath.Join(dir, "pay.log.gz")
	random := make([]byte, 1<<16)
	for i := range random {
		random[i] = byte(i * i >> 3 * 31)
	}
	if err := os.WriteFile(packed, random, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := call("suggest", packed); code != exitFailed || !strings.Contains(said, "is no log of text") {
		t.Errorf("suggest for what is no text: %d\n%s", code, said)
	}
	for _, bad := range [][]string{{"try"}, {"guess", path}, {}} {
		if code, _ := call(bad...); code != exitUsage {
			t.Errorf("%v: %d", bad, code)
		}
	}
	for _, bad := range [][]string{{"try", filepath.Join(dir, "none")}, {"try", path, "--pattern", "no group"},
		{"suggest", dir}, {"try", path, "--pattern", `(?P<code>x)`, "--encoding", "klingon"}} {
		if code, said := call(bad...); code != exitFailed {
			t.Errorf("%v: %d\n%s", bad, code, said)
		}
	}
}
