package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// ErrInUse is the error when another process holds what only one process may hold.
var ErrInUse = errors.New("another posdx-fleet is using it; stop that one first, or give another --data or --store")

// A Claim is the exclusive right to a file or a store; it ends with the process at the latest.
type Claim struct{ f *os.File }

// ClaimFile takes a claim by a lock file. The file stays: if it were deleted two processes could hold it.
func ClaimFile(what, path string) (*Claim, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", what, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("claim %s: %w", what, err)
		}
		by, _ := io.ReadAll(io.LimitReader(f, 20))
		return nil, fmt.Errorf("%s (process %s): %w", what, by, ErrInUse)
	}
	// The name of the holder is for the message to the next process; the claim holds without it.
	if f.Truncate(0) == nil {
		fmt.Fprint(f, os.Getpid())
	}
	return &Claim{f}, nil
}

// Free gives a claim up. A nil claim is on nothing.
func (c *Claim) Free() {
	if c != nil {
		c.f.Close()
	}
}

// ClaimStore claims a SQLite store, for who serves it or changes its tables. PostgreSQL may have several that serve;
// one of them leads, and its lock is what Down asks for.
func ClaimStore(address string) (*Claim, error) {
	path, isLite := strings.CutPrefix(address, "sqlite:")
	if !isLite || path == "" {
		return nil, nil
	}
	return ClaimFile(path, path+".lock")
}
