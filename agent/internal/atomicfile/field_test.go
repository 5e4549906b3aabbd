package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The steps of a replacement, in the order without which files were empty or gone after a power cut: zeek/zeek #1817
// (the content is synced before the name: else a name of zero bytes), baidu/braft #254, lf-edge/eve #2630 and
// fabriziosalmi/proxxx #268 (the folder behind it: else the old name, or none), eclipse-mosquitto/mosquitto #196
// (what was left of an attempt that was cut goes first). A step that fails ends it, and the old content is there.
func TestReplaceInTheOrderThatOutlivesAPowerCut(t *testing.T) {
	defer func(s func(*os.File) error, r func(string, string) error) { sync, rename = s, r }(sync, rename)
	broken := errors.New("flash is broken")
	for fails, want := range []struct {
		steps []string
		text  string
	}{
		{[]string{"sync .a.new", "rename .a.new a", "sync dir"}, "new"},
		{[]string{"sync .a.new"}, "old"},
		{[]string{"sync .a.new", "rename .a.new a"}, "old"},
		{[]string{"sync .a.new", "rename .a.new a", "sync dir"}, "new"}, // it is there, and nobody may promise it
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a")
		for _, f := range []string{path, filepath.Join(dir, ".a.new")} {
			if err := os.WriteFile(f, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var steps []string
		did := func(what string) error {
			if steps = append(steps, what); len(steps) == fails {
				return broken
			}
			return nil
		}
		sync = func(f *os.File) error {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			if info.IsDir() {
				return did("sync dir")
			}
			if info.Size() != 3 {
				t.Errorf("synced with %d bytes in it", info.Size())
			}
			return did("sync " + filepath.Base(f.Name()))
		}
		rename = func(from, to string) error {
			if err := did("rename " + filepath.Base(from) + " " + filepath.Base(to)); err != nil {
				return err
			}
			return os.Rename(from, to)
		}
		if err := Replace(path, []byte("new")); errors.Is(err, broken) != (fails > 0) {
			t.Errorf("step %d fails: %v", fails, err)
		}
		if !slices.Equal(steps, want.steps) || content(t, path) != want.text {
			t.Errorf("step %d fails: %q, then %q; want %q, %q", fails, steps, content(t, path), want.steps, want.text)
		}
	}
}
