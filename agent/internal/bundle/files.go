package bundle

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/outbox"
)

// ScanFiles reads the outbox of a directory without a lock and without changing it, beside a daemon that uses it.
func ScanFiles(dir string) func(func(outbox.Record) bool) error {
	return func(next func(outbox.Record) bool) error {
		if _, err := os.ReadDir(dir); err != nil {
			return Why(err)
		}
		box, err := outbox.Open(dir, outbox.Options{FS: readOnly(dir)})
		if err != nil {
			return err
		}
		box.Scan(next)
		return nil
	}
}

// readOnly is an outbox's directory that refuses every change; the box then carries on in memory, which ends with it.
type readOnly string

func (d readOnly) List() ([]outbox.Entry, error) {
	des, err := os.ReadDir(string(d))
	var list []outbox.Entry
	for _, de := range des {
		if fi, err := de.Info(); err == nil && fi.Mode().IsRegular() {
			list = append(list, outbox.Entry{Name: de.Name(), Size: fi.Size()})
		}
	}
	return list, err
}

func (d readOnly) ReadAt(name string, p []byte, off int64) (int, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (readOnly) Create(string, int64) (outbox.File, error) { return nil, unix.EROFS }
func (readOnly) Rename(string, string) error               { return unix.EROFS }
func (readOnly) Remove(string) error                       { return unix.EROFS }
func (readOnly) SyncDir() error                            { return nil }
func (readOnly) Close() error                              { return nil }
