package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the history.
const (
	historyWindow = time.Hour
	maxEvents     = 256             // changes kept of one link; more in an hour count as this many
	settle        = time.Second     // the tables are read at most this often, however many changes are notified
	sampleEvery   = 5 * time.Minute // distance of counter samples: 12 make the hour
	maxSamples    = 13
)

// A Monitor remembers for an hour what the kernel's tables show only for the moment: links that come and go, changes of
// the bearer, growing error counters. Observe gives it the tables; Run calls Observe whenever the kernel tells of a
// change.
type Monitor struct {
	mu     sync.Mutex
	start  time.Time
	links  map[string]*linkHistory
	bearer string // interface that carried last; empty: none did yet
	moves  []time.Time
}

type linkHistory struct {
	last    Link
	present bool
	carried bool // has had a carrier since the monitor started
	changes []time.Time
	samples []sample
}

type sample struct {
	at    time.Time
	stats LinkStats
}

// NewMonitor returns a monitor that has seen nothing yet.
func NewMonitor() *Monitor { return &Monitor{links: make(map[string]*linkHistory)} }

// Observe takes the tables as they were at the time at, which must have a monotonic reading.
func (m *Monitor) Observe(t Tables, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := m.start.IsZero()
	if first {
		m.start = at
	}
	for _, h := range m.links {
		h.present = false
	}
	for _, l := range t.Links {
		h := m.links[l.Name]
		switch {
		case h == nil:
			if len(m.links) >= maxLinks {
				continue
			}
			h = &linkHistory{}
			m.links[l.Name] = h
			if !first && l.Carrier { // a dial-up or USB link that comes up is a change
				h.changes = append(h.changes, at)
			}
		case h.last.Index != l.Index: // unplugged and plugged in again: its counters start anew
			h.add(2, at)
			h.samples = nil
		case h.last.ChangesKnown && l.ChangesKnown:
			h.add(int(min(l.CarrierChanges-h.last.CarrierChanges, maxEvents)), at) // bounded before it may be 32 bits of sign
		case h.last.Carrier != l.Carrier:
			h.add(1, at)
		}
		h.last, h.present, h.carried = l, true, h.carried || l.Carrier
		if n := len(h.samples); l.StatsKnown && (n == 0 || at.Sub(h.samples[n-1].at) >= sampleEvery) {
			if n == maxSamples {
				h.samples = append(h.samples[:0], h.samples[1:]...)
			}
			h.samples = append(h.samples, sample{at, l.Stats})
		}
	}
	// A link that falls and comes back is a flap of that link. The bearer changes when another takes over.
	if l, _, ok := t.Bearer(); ok {
		if m.bearer != "" && l.Name != m.bearer {
			m.moves = within(append(m.moves, at), at)
		}
		m.bearer = l.Name
	}
}

func (h *linkHistory) add(n int, at time.Time) {
	for range n {
		h.changes = append(h.changes, at)
	}
	h.changes = within(h.changes, at)
}

// within drops what is older than the window or beyond the bound.
func within(list []time.Time, now time.Time) []time.Time {
	i := max(0, len(list)-maxEvents)
	for i < len(list) && now.Sub(list[i]) > historyWindow {
		i++
	}
	return append(list[:0], list[i:]...)
}

// Watched is for how long the monitor has been looking, at most an hour.
func (m *Monitor) Watched(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.start.IsZero() {
		return 0
	}
	return min(now.Sub(m.start), historyWindow)
}

// Flaps is how often a link lost its carrier and got it back in the last hour. A loss alone counts one.
func (m *Monitor) Flaps(name string, now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.links[name]
	if h == nil {
		return 0
	}
	h.changes = within(h.changes, now)
	return (len(h.changes) + 1) / 2
}

// Seen tells whether a link was present at some time, and whether it ever had a carrier.
func (m *Monitor) Seen(name string) (seen, carried bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.links[name]
	return h != nil, h != nil && h.carried
}

// BearerChanges is how often the bearer changed in the last hour.
func (m *Monitor) BearerChanges(now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moves = within(m.moves, now)
	return len(m.moves)
}

// Growth is by how much a link's counters grew over the window, which is at most an hour and a few minutes. False
// while there is no earlier sample of at least a minute's age.
func (m *Monitor) Growth(l Link, now time.Time) (grown LinkStats, window time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.links[l.Name]
	if h == nil || h.last.Index != l.Index || !l.StatsKnown {
		return LinkStats{}, 0, false
	}
	for _, s := range h.samples {
		window = now.Sub(s.at)
		if window > historyWindow+sampleEvery || window < time.Minute {
			continue
		}
		return l.Stats.minus(s.stats), window, true
	}
	return LinkStats{}, 0, false
}

// minus never goes below zero: a driver that resets its counters starts again.
func (s LinkStats) minus(o LinkStats) LinkStats {
	sub := func(a, b uint64) uint64 {
		if a < b {
			return a
		}
		return a - b
	}
	return LinkStats{sub(s.RxPackets, o.RxPackets), sub(s.TxPackets, o.TxPackets), sub(s.RxErrors, o.RxErrors),
		sub(s.TxErrors, o.TxErrors), sub(s.RxDropped, o.RxDropped), sub(s.TxDropped, o.TxDropped),
		sub(s.CRCErrors, o.CRCErrors)}
}

// notices are the groups that tell of changes in links, addresses and default routes.
const notices = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV4_ROUTE-1) |
	1<<(unix.RTNLGRP_IPV6_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)

// Run observes the kernel's tables now and whenever the kernel tells that they changed, until ctx ends. Between changes
// it waits. A notice that was lost to a full buffer (ENOBUFS) has the tables read anew, as any other notice does.
func (m *Monitor) Run(ctx context.Context) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("watch network: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: notices}); err != nil {
		return fmt.Errorf("watch network: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	b := make([]byte, 8192)
	for ctx.Err() == nil {
		t, err := ReadTables()
		if err != nil {
			return fmt.Errorf("watch network: %w", err)
		}
		m.Observe(t, time.Now())
		if !sleep(ctx, settle) {
			break
		}
		if _, err := f.Read(b); err != nil && !errors.Is(err, unix.ENOBUFS) {
			if ctx.Err() != nil {
				break
			}
			return fmt.Errorf("watch network: %w", err)
		}
		drain(f, b)
	}
	return nil
}

// drain takes the notices that have gathered meanwhile: one look answers them all.
func drain(f *os.File, b []byte) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for range maxEvents {
			if _, _, err := unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.ENOBUFS) {
				break
			}
		}
		return true
	})
}
