// Package housetest is what the tests of several rooms share: waiting, brokers, certificates, far ends of serial lines.
package housetest

import (
	"bytes"
	"os"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what takes a moment on a machine that does nothing else.
const Patience = 90 * time.Second

// Until waits until something is so; a test that waits for longer than Patience fails.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Within(Patience, ok) {
		t.Fatalf("not within %v: %s", Patience, what)
	}
}

// Within asks again and again whether something is so, for as long as d; it is false if that never was.
func Within(d time.Duration, ok func() bool) bool {
	pause := time.Millisecond
	for end := time.Now().Add(d); !ok(); time.Sleep(pause) {
		if time.Now().After(end) {
			return false
		}
		pause = min(2*pause, 20*time.Millisecond)
	}
	return true
}

// Descriptors is how many files this process has open.
func Descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// A Buffer collects what several goroutines write. The zero value is empty.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to the buffer and never fails.
func (b *Buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }

// Bytes is a copy of what was written so far.
func (b *Buffer) Bytes() []byte { b.mu.Lock(); defer b.mu.Unlock(); return bytes.Clone(b.b.Bytes()) }

// String is what was written so far.
func (b *Buffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }
