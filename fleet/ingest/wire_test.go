package ingest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// soonest bounds what should happen at once.
const soonest = 10 * time.Second

func TestWireWritesAllBeforeItCloses(t *testing.T) {
	a, b := net.Pipe()
	w := newWire(a, 0)
	var want bytes.Buffer
	read := make(chan []byte)
	go func() {
		all, err := io.ReadAll(b)
		if err != nil {
			t.Error(err)
		}
		read <- all
	}()
	for i := range 50_000 { // several times what may wait
		p := []byte{byte(i), byte(i >> 8), 2, 3}
		want.Write(p)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-read; !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes came, want the %d that were written, in order", len(got), want.Len())
	}
	if _, err := w.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after the end says %v", err)
	}
}

// The client library learns of an end by what it reads, and takes one that it reads as a closed connection for its own.
func TestWireTellsAWriteThatFailedToTheReader(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	w := newWire(failing{a}, 0)
	defer w.Close()
	if _, err := w.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	w.Conn.SetReadDeadline(time.Now().Add(soonest))
	if _, err := w.Read(make([]byte, 1)); !errors.Is(err, errLine) {
		t.Errorf("the reader is told %v, want %v", err, errLine)
	}
	if _, err := w.Write([]byte{1}); !errors.Is(err, errLine) {
		t.Errorf("the next write is told %v, want %v", err, errLine)
	}
}

func TestWireClosesThoughNobodyReads(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	w := newWire(a, 0)
	full := make(chan error)
	go func() {
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				full <- err
				return
			}
		}
	}()
	w.mu.Lock()
	for len(w.out) < wireOut {
		w.moved.Wait()
	}
	w.mu.Unlock()
	w.Close()
	select {
	case err := <-full:
		if !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the writer is told %v", err)
		}
	case <-time.After(soonest):
		t.Error("the writer still waits")
	}
}

var errLine = errors.New("line")

type failing struct{ net.Conn }

func (failing) Write([]byte) (int, error) { return 0, errLine }

// Nobody reads, and the broker hears of the wire nevertheless; a reader to whom nothing comes learns that it is dead.
func TestWireKeepsASessionAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alive = 30 * time.Second
		a, b := net.Pipe()
		w := newWire(a, alive)
		var mu sync.Mutex
		var got []byte
		go func() {
			p := make([]byte, 100)
			for {
				n, err := b.Read(p)
				mu.Lock()
				got = append(got, p[:n]...)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}()
		want := func(what string, list ...byte) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !bytes.Equal(got, list) {
				t.Errorf("%s: the broker reads %x, want %x", what, got, list)
			}
			got = nil
		}
		time.Sleep(2 * alive) // fake time, as all here
		want("before CONNECT")
		w.Write([]byte{1, 2})
		want("CONNECT", 1, 2)
		time.Sleep(2*alive + time.Second)
		want("nothing is said", bytes.Repeat(pingreq, 4)...)

		began := time.Now()
		_, err := w.Read(make([]byte, 1))
		if d := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || d != alive*3/2 {
			t.Errorf("a reader to whom nothing comes is told %v after %v", err, d)
		}
		w.SetDeadline(time.Now().Add(time.Second)) // as for the answer to CONNECT
		began = time.Now()
		if _, err := w.Read(make([]byte, 1)); err == nil || time.Since(began) != time.Second {
			t.Errorf("a reader with a deadline of its own is told %v after %v", err, time.Since(began))
		}
		w.Close()
		b.Close()
	})
}
