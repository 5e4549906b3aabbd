package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// A lockedBuilder gathers output that another goroutine writes.
type lockedBuilder struct {
	mu   sync.Mutex
	b    *strings.Builder
	seen chan struct{} // told of each write
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.b.Write(p)
	select {
	case l.seen <- struct{}{}:
	default:
	}
	return n, err
}

// wait returns once the output holds a text.
func (l *lockedBuilder) wait(t *testing.T, text string) {
	t.Helper()
	for bound := time.After(soon); ; {
		l.mu.Lock()
		all := l.b.String()
		l.mu.Unlock()
		if strings.Contains(all, text) {
			return
		}
		select {
		case <-l.seen:
		case <-bound:
			t.Fatalf("no %q in %s", text, all)
		}
	}
}

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}
