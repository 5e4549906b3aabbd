// Package board reads how a Linux board is: power, heat, storage, flash wear, memory, load, clock, restarts and what
// its kernel complains of.
//
// Everything is read from /proc and /sys through an fs.FS whose root is the machine's, so a tree of another board's
// files does as well. Nothing is written, and /dev/watchdog is never opened: that would start it. What a kernel does
// not have is an error, never a healthy value: fs.ErrNotExist if it is not there, fs.ErrPermission if it may not be
// read, ErrSilent if it is there and says nothing. Many terminals run kernels of 2.6.3x to 4.4, so any source may be
// missing.
package board

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// ErrSilent is the error of a source that exists and yields no value: an empty file, a driver that answers with an
// error, text that cannot be parsed.
var ErrSilent = errors.New("tells nothing")

// Bounds of what is read.
const (
	maxFile    = 64 << 10 // bytes of one file; /proc/mounts of a container host is the longest met
	maxEntries = 64       // entries of one folder of sysfs
)

// read returns a file's text without the blanks around it. A driver that fails on reading (ENODEV after the device has
// gone, EIO, EAGAIN) gives ErrSilent.
func read(root fs.FS, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w", ErrSilent, err)
		}
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if errors.Is(err, fs.ErrPermission) {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w: %w", name, ErrSilent, err)
	}
	b = bytes.TrimSpace(bytes.TrimRight(b, "\x00"))
	if len(b) == 0 {
		return "", fmt.Errorf("read %s: %w", name, ErrSilent)
	}
	return string(b), nil
}

// number reads a file that holds one decimal number.
func number(root fs.FS, name string) (int64, error) {
	s, err := read(root, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, ErrSilent)
	}
	return n, nil
}

// list returns the entries of a folder, at most maxEntries, with their full names.
func list(root fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(root, dir)
	if err != nil && len(entries) == 0 {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w", ErrSilent, err)
		}
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	names := make([]string, 0, min(len(entries), maxEntries))
	for _, e := range entries[:min(len(entries), maxEntries)] {
		names = append(names, path.Join(dir, e.Name()))
	}
	return names, nil
}

// count reads an unsigned number from text; false if it is none.
func count(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// decimal reads a finite number from text.
func decimal(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// field returns what follows key up to the next blank, in text like "avg10=0.12 avg60=…".
func field(s, key string) (string, bool) {
	for _, w := range strings.Fields(s) {
		if v, ok := strings.CutPrefix(w, key); ok {
			return v, true
		}
	}
	return "", false
}
