// Package capture finds response codes on the network between the terminal and its hosts; it only listens.
//
// The kernel lets pass only TCP segments from and to the hosts' addresses and ports. They are put into order in bounded
// memory and read by the decoders of package ecr. Where TLS hides the messages, only times, alerts, resets and
// retransmissions remain. A buffer that has held a payload is zeroed as soon as it was read.
package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"posdx/agent/internal/source"
	"posdx/drivers/ecr"
)

// Times of a capture.
const (
	fullAgain   = 200 * time.Millisecond // a full sink is offered the same again
	reopenAfter = 10 * time.Second       // between two tries at an interface that is not there
	dropsEvery  = 10 * time.Second       // losses are said at most so often
	namesEvery  = time.Hour              // names are looked up again; one costs about 150 bytes
	namesAgain  = 30 * time.Second       // and where that failed
	namesSooner = time.Minute            // at least between two lookups that a code asked for
	namesWait   = 10 * time.Second
)

// A Target is a host whose connections are watched.
type Target struct {
	Name string // of the contract: host-primary, host-backup
	Host string // name or IP address
	Port int
}

// A Capture watches the connections to the hosts. Make it with New.
type Capture struct {
	Targets   []Target
	Interface string // to watch; empty: all
	Length    string // a name of ecr.LengthHeaderNames; empty: found out for each connection
	Dialect   string // a name of ecr.DialectNames; empty: found out for each message
	Log       *slog.Logger

	Tags *ecr.Tags // tells cards apart; may be nil

	// takes what the application does on its connections, on the capture's goroutine; may be nil
	Wire func(source.Wire)
	Ours func(local uint16, to netip.AddrPort) bool // tells posdx's own connections from the application's; may be nil

	lookup func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the system's resolver
	// for tests: called when other addresses are watched
	moved  func()
	least  time.Duration // namesSooner, but in tests
	reopen time.Duration // reopenAfter, but in tests

	tracker atomic.Pointer[tracker]
	sooner  chan struct{} // a code came whose connection was not seen: the host may have moved
}

// New returns a capture that is configured by its members.
func New() *Capture {
	return &Capture{sooner: make(chan struct{}, 1), least: namesSooner, reopen: reopenAfter}
}

// Check returns what is wrong with the configuration, nil if nothing is.
func (c *Capture) Check() error {
	if len(c.Targets) == 0 {
		return errors.New("capture: no target is called host-primary or host-backup: there is nothing to watch")
	}
	if _, err := ecr.LengthHeaderByName(c.Length); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if _, err := ecr.DialectsByName(c.Dialect); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// Fill adds to a code that was seen by another source what the network shows of its sale. It may be called from any
// goroutine.
func (c *Capture) Fill(s *source.Seen) {
	t := c.tracker.Load()
	if t == nil {
		return
	}
	before := s.Txn
	if t.fill(s, time.Now()); s.Txn == before {
		select {
		case c.sooner <- struct{}{}:
		default:
		}
	}
}

// Run watches until ctx ends. If it cannot watch, it says so in the log and tries again, and the other sources go on;
// without the right to capture it only waits for the end.
func (c *Capture) Run(ctx context.Context, to source.Sink) error {
	if err := c.Check(); err != nil {
		return err
	}
	t := newTracker(to)
	t.length, _ = ecr.LengthHeaderByName(c.Length)
	t.dialects, _ = ecr.DialectsByName(c.Dialect)
	t.tags, t.wire, t.ours = c.Tags, c.Wire, c.Ours
	t.deaf = func(h *source.Hearing) {
		if h.Deaf() {
			c.Log.Warn("the host's connection is heard and nothing of it can be read: see capture.length and capture.dialect", h.What()...)
		} else {
			c.Log.Info("the host's messages are read", "subject", h.Subject)
		}
	}
	c.tracker.Store(t)
	keepOpen(ctx, c.Log, "packets cannot be captured", c.reopen, func() error {
		defer t.drop()
		return c.watch(ctx, t)
	})
	return nil
}

// keepOpen watches until ctx ends, again after a pause where that fails, and logs why it does; without the right to
// capture it waits for the end.
func keepOpen(ctx context.Context, log *slog.Logger, fails string, pause time.Duration, watch func() error) {
	source.Keep(ctx, pause, func(func()) error {
		err := watch()
		if errors.Is(err, errPermission) {
			log.Error(fails+"; the other sources go on", "err", err)
			<-ctx.Done()
		}
		return err
	}, func(err error) { log.Error(fails+" now", "err", err) })
}

// watch opens the socket and reads until it cannot.
func (c *Capture) watch(ctx context.Context, t *tracker) error {
	s, err := open(c.Interface)
	if err != nil {
		return err
	}
	defer s.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, s.close)()
	hosts := make(chan map[netip.AddrPort]string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.resolve(ctx, func(m map[netip.AddrPort]string) {
			// Whoever reads is woken by the deadline, and then finds the new addresses.
			select {
			case <-hosts:
			default:
			}
			hosts <- m
			_ = s.until(time.Unix(1, 0))
		})
	}()
	defer func() { stop(); <-ended }()
	drops, told := 0, time.Time{}
	for {
		select {
		case m := <-hosts:
			if err := c.follow(s, t, m); err != nil {
				return err
			}
		default:
		}
		now := time.Now()
		if drops > 0 && now.Sub(told) >= dropsEvery {
			t.to.Lost("packet", drops)
			drops, told = 0, now
		}
		var until time.Time
		switch {
		case len(t.waiting) > 0:
			until = now.Add(fullAgain)
		case drops > 0:
			until = told.Add(dropsEvery)
		}
		// The order of these two, and that of the other goroutine, let no change pass unnoticed.
		if err := s.until(until); err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		if len(hosts) > 0 {
			continue
		}
		err := s.read(func(iface int, b []byte) { t.packet(time.Now(), iface, b) })
		t.offer()
		if err == nil {
			drops += s.dropped()
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("capture: %w", err)
		}
	}
}

// follow watches these addresses from now on.
func (c *Capture) follow(s *socket, t *tracker, hosts map[netip.AddrPort]string) error {
	endpoints := make([]netip.AddrPort, 0, len(hosts))
	for e := range hosts {
		endpoints = append(endpoints, e)
	}
	if err := s.attach(endpoints); err != nil {
		return err
	}
	t.hosts = hosts
	c.Log.Info("connections to the hosts are watched", "addresses", len(endpoints))
	if c.moved != nil {
		c.moved()
	}
	return nil
}
