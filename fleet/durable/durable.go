// Package durable puts the files of the fleet in place so that a power cut leaves the old content or the new, never a
// part of it, and so that what was promised stays. Of several processes that write one file at once the last has it.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// What makes a change durable, as variables, so that a test can check the order and have each step fail.
var (
	sync   = (*os.File).Sync
	rename = os.Rename
	link   = os.Link
)

// Replace makes content that of a file, with mode 0600, and returns when that is durable.
func Replace(name string, content []byte) error { return put(name, content, Rename) }

// Create is Replace for a file that must not be there yet; else the error is fs.ErrExist.
func Create(name string, content []byte) error { return put(name, content, Link) }

func put(name string, content []byte, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return place(f.Name(), name)
}

// Rename moves a file or a folder whose content is synced.
func Rename(from, to string) error {
	if err := rename(from, to); err != nil {
		return err
	}
	return Folder(filepath.Dir(to))
}

// Link gives a file whose content is synced another name. Unlike Rename it replaces nothing.
func Link(from, to string) error {
	if err := link(from, to); err != nil {
		return err
	}
	return Folder(filepath.Dir(to))
}

// Folder makes the names in a folder durable.
func Folder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return sync(d)
}
