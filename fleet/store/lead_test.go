package store

import (
	"context"
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
