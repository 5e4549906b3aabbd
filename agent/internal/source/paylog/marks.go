package paylog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"posdx/agent/internal/atomicfile"
)

// loadMarks reads up to which place each log was read. Without the file there are none; with a damaged one there are
// none and an error: the logs are then read from their ends.
func loadMarks(path string) (map[string]*mark, error) {
	if path == "" {
		return nil, nil
	}
	b, err := atomicfile.Read(path, stateBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
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
	return atomicfile.Replace(path, b)
}
