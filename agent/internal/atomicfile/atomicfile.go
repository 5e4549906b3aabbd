// Package atomicfile reads and replaces the small files of the agent. A file is replaced so that a power cut leaves the
// old content or the new, never a part of it; it is read within a bound.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// What makes a change durable, as variables, so that a test can check the order and have each step fail.
var (
	sync   = (*os.File).Sync
	rename = os.Rename
)

// Replace makes b the content of a file, with mode 0600, and returns when that is durable. It first removes what a
// power cut left of an earlier attempt: that always has the same name, so such files do not pile up.
func Replace(path string, b []byte) error {
	fresh := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Whoever may write to the folder could have put a link there: O_EXCL follows none.
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = sync(f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = rename(fresh, path)
	}
	if err != nil {
		os.Remove(fresh)
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return sync(dir)
}

// Read reads a file of at most limit bytes. Of a larger one it returns the beginning too, one byte past the limit.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return b, err
}
