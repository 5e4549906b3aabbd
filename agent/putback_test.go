package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"posdx/agent/internal/console"
	"posdx/codes"
	"posdx/firmware-build/housetest"
)

// putBack is a shop whose cable is out until a technician, with the guide on the screen, puts it in again.
func putBack() fault {
	for _, f := range faults() {
		if f.name == "cable-out" {
			f.name, f.then = "cable-put-back", watchItComeBack
			return f
		}
	}
	panic("there is no cable to put back")
}

// watchItComeBack looks at the guide while the cable is put in and the next sale goes well. The person presses two
// keys in all: the terminal sees the rest by itself.
func watchItComeBack(s *shop) error {
	near, far := net.Pipe()
	defer far.Close()
	defer near.Close()
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	c := console.Console{Backend: &daemonClient{Client: s.client, wait: answerWait}, Knowledge: codes.Builtin, Lang: "en"}
	go c.Run(ctx, near)
	var seen housetest.Buffer
	go func() {
		b := make([]byte, 4096)
		for cursor := "\x1b[1;3R"; ; {
			n, err := far.Read(b)
			if err != nil {
				return
			}
			seen.Write(b[:n])
			for range bytes.Count(b[:n], []byte("\x1b[6n")) {
				far.Write([]byte(cursor))
				cursor = "\x1b[24;80R"
			}
		}
	}()
	shows := func(what string) error {
		for end := time.Now().Add(30 * time.Second); !bytes.Contains(seen.Bytes(), []byte(what)); time.Sleep(
			20 * time.Millisecond) {
			if time.Now().After(end) {
				return fmt.Errorf("the console never shows %q: %q", what, seen.Bytes())
			}
		}
		return nil
	}
	if err := shows("Hand-off"); err != nil {
		return err
	}
	far.Write([]byte("g"))
	if err := shows("The cause is confirmed."); err != nil {
		return err
	}
	if err := s.w.Mend(); err != nil {
		return err
	}
	if err := shows("seen: Network interface and cable ok"); err != nil {
		return err
	}
	if err := s.good(1); err != nil {
		return err
	}
	return shows("a sale went well")
}

// With the guide on the screen a cable that is put in is seen, and the first good sale is told, without a key.
func TestTheConsoleSeesTheCableComeBack(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a shop of its own")
	}
	t.Parallel()
	got := tryFault(t, putBack())
	switch {
	case got.Skip != "":
		t.Skip(got.Skip)
	case got.Error != "":
		t.Fatal(got.Error, got.DaemonSaid)
	case got.first() != "lan.cable":
		t.Errorf("the cause was %s", got.first())
	}
}
