package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Of two processes on one database one leads; when it goes the other takes over.
func TestOneLeads(t *testing.T) {
	address := Postgres(t)
	leads := make(chan int, 4)
	follows := make(chan int, 16)
	begin := func(n int) (stop func()) {
		s, err := Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Lead(ctx, func(ctx context.Context) error {
				leads <- n
				<-ctx.Done()
				return nil
			}, func(error) { follows <- n })
			s.Close()
		}()
		return func() { cancel(); <-done }
	}
	wait := func(c chan int, want int) {
		t.Helper()
		select {
		case n := <-c:
			if n != want {
				t.Fatalf("%d, want %d", n, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%d never came", want)
		}
	}
	stop1 := begin(1)
	wait(leads, 1)
	stop2 := begin(2)
	defer stop2()
	wait(follows, 2)
	select {
	case n := <-leads:
		t.Fatalf("%d leads beside 1", n)
	default:
	}
	stop1()
	wait(leads, 2)
}

// While a process serves a PostgreSQL store its tables are not taken back.
func TestNoWayDownBesideAFleet(t *testing.T) {
	s, err := Open(t.Context(), Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	leads, done := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(done)
		s.Lead(ctx, func(ctx context.Context) error { leads <- true; <-ctx.Done(); return nil }, func(error) {})
	}()
	select {
	case <-leads:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody leads")
	}
	if err := s.Down(t.Context(), schemaVersion-1); !errors.Is(err, ErrInUse) {
		t.Error("beside a fleet:", err)
	}
	stop()
	<-done
	if err := s.Down(t.Context(), schemaVersion-1); err != nil {
		t.Error("alone:", err)
	}
}

// What one process may have a second does not get, and is told who has it; when the first is done it does.
func TestOneClaims(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "fleet.db")
	first, err := ClaimStore(address)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ClaimStore(address)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Error("two claims:", err)
	}
	first.Free()
	second, err := ClaimStore(address)
	if err != nil {
		t.Error("after the first:", err)
	}
	second.Free()
}
