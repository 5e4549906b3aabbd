package outbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Readable tells whether this program can read what lies in an outbox's directory. It changes nothing, takes no lock,
// and may be called while another process uses the box. A damaged file is readable, since Open copes with it. A file
// that a newer program wrote is not: Open would take it for damaged and lose what it holds.
func Readable(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	for _, e := range list {
		if e.Name() != metaName && !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		magic, err := head(filepath.Join(dir, e.Name()), len(segMagic))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the box in use has just removed it
		}
		if err != nil {
			return fmt.Errorf("read outbox: %w", err)
		}
		for _, ours := range []string{segMagic, metaMagic} {
			kind := len(ours) - 1
			if len(magic) > kind && magic[:kind] == ours[:kind] && magic[kind] > ours[kind] {
				return fmt.Errorf("outbox %s: %s is of format %q, this program reads up to %q: a newer one wrote it", dir, e.Name(), magic[kind:], ours[kind:])
			}
		}
	}
	return nil
}

// Held tells whether a process has the box in dir open.
func Held(dir string) (bool, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open outbox: %w", err)
	}
	defer d.Close()
	err = unix.Flock(int(d.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

func head(path string, n int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, n)
	n, err = io.ReadFull(f, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return string(b[:n]), err
}
