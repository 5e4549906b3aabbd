package outbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadableRefusesWhatANewerProgramWrote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	if err := Readable(dir); err != nil {
		t.Errorf("no box yet: %v", err)
	}
	b, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append("diagnosis", true, time.Now(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if held, err := Held(dir); err != nil || !held {
		t.Errorf("open: held %v, %v", held, err)
	}
	b.Close()
	if held, err := Held(dir); err != nil || held {
		t.Errorf("closed: held %v, %v", held, err)
	}
	if err := Readable(dir); err != nil {
		t.Errorf("of this program: %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		put := func(b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		newer := append([]byte(nil), was...)
		newer[len(segMagic)-1]++
		put(newer)
		if err := Readable(dir); err == nil || !strings.Contains(err.Error(), "newer") || !strings.Contains(err.Error(), f.Name()) {
			t.Errorf("%s of a newer program: %v", f.Name(), err)
		}
		for name, damaged := range map[string][]byte{"empty": {}, "torn": was[:5], "zeros": make([]byte, len(was))} {
			put(damaged)
			if err := Readable(dir); err != nil {
				t.Errorf("%s %s: %v", f.Name(), name, err)
			}
		}
		put(was)
	}
}
