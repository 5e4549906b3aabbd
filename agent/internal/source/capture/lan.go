package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"posdx/agent/internal/source"
)

// A LANEar decodes a register's connection to a terminal. Heard gets the bytes of each side in order and zeroes them;
// Lost tells that some of a side were missed; Offer passes on what a full sink did not take, and is true while there
// is more.
type LANEar interface {
	Heard(terminal bool, data []byte)
	Lost(terminal bool)
	Offer() (waiting bool)
}

// A LANLink is a terminal on the network to which a register connects.
type LANLink struct {
	Terminal netip.AddrPort
	Listen   func(to source.Sink) LANEar
}

// A LAN captures what registers and terminals send each other on the network. It sends nothing.
type LAN struct {
	Links     []LANLink
	Interface string // empty: all
	Log       *slog.Logger
}

// maxTalks bounds the connections that are followed; a terminal has one register.
const maxTalks = 16

// lanTracker puts the segments of registers' connections into order. It belongs to one goroutine.
type lanTracker struct {
	ears  map[netip.AddrPort]LANEar
	talks map[key]*lanTalk
	turn  uint64
	held  int
}

// A lanTalk is one connection of a register to a terminal.
type lanTalk struct {
	ear          LANEar
	used         uint64
	toward, from half // the terminal
}

type lanSide struct {
	ear      LANEar
	terminal bool
}

func (s lanSide) push(data []byte) { s.ear.Heard(s.terminal, data) }
func (s lanSide) lost()            { s.ear.Lost(s.terminal) }

func (t *lanTracker) packet(now time.Time, iface int, b []byte) {
	s, ok := parse(b)
	if !ok {
		return
	}
	k, register := key{s.from, s.to}, true
	ear := t.ears[s.to]
	if ear == nil {
		if ear = t.ears[s.from]; ear == nil {
			return
		}
		k, register = key{s.to, s.from}, false
	}
	t.turn++
	x := t.talks[k]
	if x == nil || register && s.is(flagSYN) && !s.is(flagACK) {
		if x != nil {
			x.drop()
		} else if len(t.talks) == maxTalks {
			t.forgetOldest()
		}
		x = &lanTalk{ear: ear}
		x.toward = half{to: lanSide{ear, false}, total: &t.held}
		x.from = half{to: lanSide{ear, true}, total: &t.held}
		// What the connection before has left unended will not end.
		ear.Lost(true)
		ear.Lost(false)
		t.talks[k] = x
	}
	x.used = t.turn
	side, other := &x.toward, &x.from
	if !register {
		side, other = other, side
	}
	switch {
	case s.is(flagSYN):
		side.begin(s.seq + 1)
		return
	case s.is(flagRST):
		if d := int32(s.seq - side.next); !side.known || d >= 0 && d < ahead {
			x.drop()
			delete(t.talks, k)
		}
		return
	}
	if s.is(flagACK) {
		other.received(s.ack)
	}
	side.segment(now, s.seq, s.data, s.cut, iface)
	if s.is(flagFIN) {
		side.fin(s.seq + uint32(len(s.data)+s.cut))
	}
	if x.toward.over() && x.from.over() {
		x.drop()
		delete(t.talks, k)
	}
}

func (x *lanTalk) drop() { x.toward.drop(); x.from.drop() }

func (t *lanTracker) forgetOldest() {
	var oldest key
	var o *lanTalk
	for k, x := range t.talks {
		if o == nil || x.used < o.used {
			oldest, o = k, x
		}
	}
	o.drop()
	delete(t.talks, oldest)
}

// Run captures until ctx ends. Without the right to do so it says so in the log and waits for the end.
func (c *LAN) Run(ctx context.Context, to source.Sink) error {
	t := &lanTracker{ears: map[netip.AddrPort]LANEar{}, talks: map[key]*lanTalk{}}
	var endpoints []netip.AddrPort
	for _, l := range c.Links {
		t.ears[l.Terminal] = l.Listen(to)
		endpoints = append(endpoints, l.Terminal)
	}
	keepOpen(ctx, c.Log, "the register's network cannot be heard", reopenAfter, func() error {
		defer t.drop()
		return c.watch(ctx, t, endpoints)
	})
	return nil
}

// drop forgets all connections, and clears what is held of them.
func (t *lanTracker) drop() {
	for _, x := range t.talks {
		x.drop()
	}
	clear(t.talks)
}

func (c *LAN) watch(ctx context.Context, t *lanTracker, endpoints []netip.AddrPort) error {
	s, err := open(c.Interface)
	if err != nil {
		return err
	}
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	if err := s.attach(endpoints); err != nil {
		return err
	}
	c.Log.Info("registers and terminals are heard on the network", "terminals", len(endpoints))
	for {
		var until time.Time
		for _, ear := range t.ears {
			if ear.Offer() {
				until = time.Now().Add(source.FullAgain)
			}
		}
		if err := s.until(until); err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		err := s.read(func(iface int, b []byte) { t.packet(time.Now(), iface, b) })
		if n := s.dropped(); n > 0 {
			c.Log.Warn("not read", "what", "packet", "count", n)
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("capture: %w", err)
		}
	}
}
