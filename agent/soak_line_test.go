package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// States of a way.
const (
	wayGood int32 = iota
	waySlow       // 4 kB/s
	wayDead       // connections stay open and carry nothing
	wayShut       // nobody listens, as far as the caller can tell
)

// A way leads to a broker and fails as lines do.
type way struct {
	address string
	to      string
	state   atomic.Int32

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newWay(t *testing.T, to string) *way {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{address: l.Addr().String(), to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); w.set(wayGood); w.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

func (w *way) set(state int32) { w.state.Store(state) }

// cut ends every connection at once, without a word.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

func (w *way) carry(near net.Conn) {
	defer near.Close()
	if w.state.Load() == wayShut {
		return
	}
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	w.mu.Lock()
	w.conns[near], w.conns[far] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, near)
		delete(w.conns, far)
	}()
	var both sync.WaitGroup
	both.Go(func() { w.copy(far, near) })
	both.Go(func() { w.copy(near, far) })
	both.Wait()
}

func (w *way) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 1024)
	for {
		n, err := from.Read(b)
		switch w.state.Load() {
		case waySlow:
			time.Sleep(time.Duration(n) * time.Second / 4096) // the pace of the slow way
		case wayDead:
			io.Copy(io.Discard, from) // until somebody gives up
			return
		}
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}
