package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The steps, in the order without which files were empty or gone after a power cut. A step that fails ends it.
func TestPutInTheOrderThatOutlivesAPowerCut(t *testing.T) {
	defer func(s func(*os.File) error, r, l func(string, string) error) { sync, rename, link = s, r, l }(sync, rename, link)
	broken := errors.New("disk is broken")
	for _, by := range []struct {
		name string
		put  func(string, []byte) error
	}{{"rename", Replace}, {"link", Create}} {
		want := []string{"sync content", by.name, "sync folder"}
		for fails := range len(want) + 1 {
			dir := t.TempDir()
			var steps []string
			step := func(name string, do func() error) error {
				if steps = append(steps, name); len(steps) == fails+1 {
					return broken
				}
				return do()
			}
			sync = func(f *os.File) error {
				name := "sync content"
				if f.Name() == dir {
					name = "sync folder"
				}
				return step(name, f.Sync)
			}
			rename = func(from, to string) error { return step("rename", func() error { return os.Rename(from, to) }) }
			link = func(from, to string) error { return step("link", func() error { return os.Link(from, to) }) }
			path := filepath.Join(dir, "a")
			err := by.put(path, []byte("new"))
			if errors.Is(err, broken) != (fails < len(want)) || !slices.Equal(steps, want[:min(fails+1, len(want))]) {
				t.Errorf("%s, step %d fails: %v %v", by.name, fails, steps, err)
			}
			list, _ := os.ReadDir(dir)
			if there := fails >= 2; len(list) == 1 != there {
				t.Errorf("%s, step %d fails: left %v", by.name, fails, list)
			}
		}
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := Create(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("new")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	b, err := os.ReadFile(path)
	info, err2 := os.Stat(path)
	if err := errors.Join(err, err2); err != nil || string(b) != "old" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q %v %v", b, info.Mode(), err)
	}
}

// Nothing else in the fleet puts a file in place: each that did forgot a step of it.
func TestFilesArePutInPlaceHereOnly(t *testing.T) {
	other := regexp.MustCompile(`os\.(Rename|Link|WriteFile)\(`)
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		seen++
		b, err := os.ReadFile(path)
		if at := other.Find(b); at != nil {
			t.Errorf("%s: %s: want durable.Replace, Create, Rename or Link", path, at)
		}
		return err
	})
	if err != nil || seen < 50 {
		t.Error(seen, err)
	}
}
