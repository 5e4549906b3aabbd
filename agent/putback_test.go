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

// aPerson looks at the console of a shop's daemon: press types keys, shows waits for what has to come.
func aPerson(s *shop) (press func(keys string), shows func(what string) error, leave func()) {
	near, far := net.Pipe()
	ctx, stop := context.WithCancel(s.ctx)
	backend := &daemonClient{Client: s.client, wait: answerWait}
	c := console.Console{Backend: backend, Knowledge: codes.Builtin, Lang: "en"}
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
	looked := 0
	shows = func(what string) error {
		i := -1
		shown := func() bool { i = bytes.Index(seen.Bytes()[looked:], []byte(what)); return i >= 0 }
		if !housetest.Within(30*time.Second, shown) {
			return fmt.Errorf("the console never shows %q: %q", what, seen.Bytes()[looked:])
		}
		looked += i + len(what)
		return nil
	}
	return func(keys string) { far.Write([]byte(keys)) }, shows, func() { stop(); near.Close(); far.Close() }
}

// steps does one thing after the other until one goes wrong.
func steps(list ...func() error) error {
	for _, f := range list {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// watchItComeBack looks at the guide while the cable is put in and the next sale goes well. The person presses one key:
// the terminal sees the rest by itself.
func watchItComeBack(s *shop) error {
	press, shows, leave := aPerson(s)
	defer leave()
	see := func(what string) func() error { return func() error { return shows(what) } }
	return steps(see("Hand-off"), func() error { press("g"); return nil }, see("The cause is confirmed."), s.w.Mend,
		see("seen: Network interface and cable ok"), func() error { return s.good(1) }, see("a sale went well"))
}

// tryCard puts any card into the shop's reader and takes it out again, with the page for it on the screen.
func tryCard() fault {
	return fault{name: "any-card", cause: "none", event: event{code: "00"}, then: func(s *shop) error {
		press, shows, leave := aPerson(s)
		defer leave()
		see := func(what string) func() error { return func() error { return shows(what) } }
		return steps(see("Quit"), func() error { press("t"); return nil }, see("Put the card in  waiting"),
			func() error { s.reader.Insert(); return nil }, see("seen"),
			func() error { s.reader.Remove(); return nil }, see("The slot notices cards."))
	}}
}

// With the guide on the screen a cable that is put in is seen, and the first good sale is told, without a key.
func TestTheConsoleSeesTheCableComeBack(t *testing.T) {
	if got := inAShop(t, putBack()); got.first() != "lan.cable" {
		t.Errorf("the cause was %s", got.first())
	}
}

// A card that goes into a real dialogue of a CCID reader and comes out again is seen on the page that tries the reader.
func TestTheConsoleSeesAnyCard(t *testing.T) { inAShop(t, tryCard()) }

func inAShop(t *testing.T, f fault) result {
	t.Helper()
	if testing.Short() {
		t.Skip("makes a shop of its own")
	}
	t.Parallel()
	got := tryFault(t, f)
	if got.Skip != "" {
		t.Skip(got.Skip)
	}
	if got.Error != "" {
		t.Fatal(got.Error, got.DaemonSaid)
	}
	return got
}
