package outbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// An FS is one flat directory. What Write wrote is only certain to be there after a power cut once Sync returned, and
// a name only once SyncDir returned.
type FS interface {
	List() ([]Entry, error)
	ReadAt(name string, p []byte, off int64) (int, error)
	// Create makes a new file, which must not be there yet, and sets space aside for it when the file system can.
	Create(name string, reserve int64) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	SyncDir() error
	Close() error
}

// A File is written once, from its start to its end.
type File interface {
	Write(p []byte) (int, error)
	Sync() error
	Close() error
}

// An Entry is a file in the directory.
type Entry struct {
	Name string
	Size int64
}

// openDir opens a directory of the system, making it if need be, and keeps other processes out of it: two writers would
// give the same number to two records.
func openDir(dir string) (FS, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: another process uses it", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	// The parent must know the directory too, or a cut takes all of it away.
	if p, err := os.Open(filepath.Dir(dir)); err == nil {
		p.Sync()
		p.Close()
	}
	return &osFS{dir: dir, d: d}, nil
}

type osFS struct {
	dir string
	d   *os.File
}

func (f *osFS) List() ([]Entry, error) {
	des, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	list := make([]Entry, 0, len(des))
	for _, de := range des {
		if !de.Type().IsRegular() {
			continue
		}
		fi, err := de.Info()
		if err != nil {
			return nil, err
		}
		list = append(list, Entry{de.Name(), fi.Size()})
	}
	return list, nil
}

func (f *osFS) ReadAt(name string, p []byte, off int64) (int, error) {
	file, err := os.Open(filepath.Join(f.dir, name))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	n, err := file.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	return n, nil
}

func (f *osFS) Create(name string, reserve int64) (File, error) {
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if reserve > 0 {
		// Space is set aside so that a full disk shows here, between records, and not within one. UBIFS and tmpfs of old
		// kernels cannot; then it shows later.
		err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, reserve)
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			file.Close()
			os.Remove(file.Name())
			return nil, &os.PathError{Op: "reserve", Path: file.Name(), Err: err}
		}
	}
	return &osFile{File: file, reserved: reserve > 0}, nil
}

func (f *osFS) Rename(from, to string) error {
	return os.Rename(filepath.Join(f.dir, from), filepath.Join(f.dir, to))
}

func (f *osFS) Remove(name string) error { return os.Remove(filepath.Join(f.dir, name)) }
func (f *osFS) SyncDir() error           { return f.d.Sync() }
func (f *osFS) Close() error             { return f.d.Close() }

type osFile struct {
	*os.File
	reserved bool
	size     int64
}

func (f *osFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.size += int64(n)
	return n, err
}

// Sync is fdatasync: it makes the bytes and the size durable, not the time stamps.
func (f *osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "sync", Path: f.Name(), Err: err}
		}
	}
}

func (f *osFile) Close() error {
	if f.reserved {
		f.Truncate(f.size) // gives back what was set aside beyond the end
	}
	return f.File.Close()
}
