package paylog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// loadMarks reads the places in the logs. Without the file there are none; with a damaged one there are none and an
// error: the logs are then read from their ends.
func loadMarks(path string) (map[string]*mark, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, stateBytes))
	if err != nil {
		return nil, err
	}
	var m map[string]*mark
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	sensible(m)
	return m, nil
}

// sensible removes places that cannot be.
func sensible(m map[string]*mark) {
	for name, p := range m {
		if p == nil || p.Offset < 0 {
			delete(m, name)
		}
	}
}

// saveMarks writes the places so that after a power cut either the old or the new ones are there.
func saveMarks(path string, m map[string]*mark) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(fresh, path)
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
	return dir.Sync()
}
