package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posdx/agent/internal/outbox"
)

func TestSelfcheckRefusesWhatItCouldNotTakeOver(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "posdx.toml")
	selfcheck := func(args ...string) (int, string) {
		t.Helper()
		var out, talk bytes.Buffer
		code := runSelfcheck(context.Background(), stdio{in: strings.NewReader(""), out: &out, err: &talk, speak: "en"},
			append([]string{"--config", file}, args...))
		return code, out.String() + talk.String()
	}
	write := func(more string) {
		t.Helper()
		text := fmt.Sprintf("estate = \"e\"\nterminal = \"t\"\nstate_dir = %q\n%s\n[hook]\nsocket = %q\n", dir, more, filepath.Join(dir, "s"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	if code, said := selfcheck(); code != exitOK || !strings.Contains(said, "well, terminal t of estate e") {
		t.Errorf("fresh: %d %s", code, said)
	}
	if code, said := selfcheck("--live", "1"); code != exitFailed || !strings.Contains(said, "not well in time") {
		t.Errorf("nothing runs: %d %s", code, said)
	}
	write("from_the_future = 1")
	if code, said := selfcheck(); code != exitFailed || !strings.Contains(said, "from_the_future") {
		t.Errorf("configuration of a newer version: %d %s", code, said)
	}
	write("")
	b, err := outbox.Open(filepath.Join(dir, "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := os.WriteFile(filepath.Join(dir, "outbox", "p9.seg"), []byte("posdxsg9 and more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := selfcheck(); code != exitFailed || !strings.Contains(said, "newer") {
		t.Errorf("state of a newer version: %d %s", code, said)
	}
}
