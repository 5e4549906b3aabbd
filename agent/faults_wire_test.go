package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"posdx/firmware-build/lab/world"

	"golang.org/x/sys/unix"
)

// A wire is a cable as a program: two taps, and every frame passes through here. It can hold frames back.
type wire struct {
	near, far *os.File
	delay     atomic.Int64 // of one direction
}

func tap(n *world.Net, name string) (f *os.File, err error) {
	err = n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return errCannot("no /dev/net/tun: " + err.Error())
		}
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return errCannot("make a tap: " + err.Error())
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	return f, err
}

// farTapped puts a wire between the router and the world.
func farTapped(s *shop) error {
	return s.lay("wan0", s.w.Outside, "up0",
		func() error { return s.w.Router.Address("wan0", "100.64.0.2/30") },
		func() error { return s.w.Outside.Address("up0", "100.64.0.1/30") },
		func() error { return s.w.Router.Route("wan0", "0.0.0.0/0", "100.64.0.1") },
		func() error { return s.w.Outside.Route("up0", "192.168.1.0/24", "100.64.0.2") })
}

// lay replaces a cable of the router's by a wire and gives both ends what they had.
func (s *shop) lay(port string, far *world.Net, name string, addresses ...func() error) error {
	if err := s.at(s.w.Router, "ip link del "+port); err != nil {
		return err
	}
	w := &wire{}
	var err error
	if w.near, err = tap(s.w.Router, port); err != nil {
		return err
	}
	if w.far, err = tap(far, name); err != nil {
		return err
	}
	go w.carry(w.far, w.near)
	go w.carry(w.near, w.far)
	for _, step := range append([]func() error{func() error { return s.w.Router.Up(port) },
		func() error { return far.Up(name) }}, addresses...) {
		if err := step(); err != nil {
			return fmt.Errorf("lay the wire: %w", err)
		}
	}
	s.wire = w
	return nil
}

func (w *wire) carry(from, to *os.File) {
	for {
		frame := make([]byte, 2048)
		n, err := from.Read(frame)
		if err != nil {
			return
		}
		if d := time.Duration(w.delay.Load()); d > 0 {
			time.AfterFunc(d, func() { _, _ = to.Write(frame[:n]) })
			continue
		}
		_, _ = to.Write(frame[:n])
	}
}

// delaying makes a round trip take so long.
func delaying(d time.Duration) func(*shop) error {
	return func(s *shop) error {
		s.wire.delay.Store(int64(d / 2))
		return nil
	}
}

// tunnelled puts a tunnel in place of the cable between terminal and router: of all the interfaces that a kernel can
// make out of nothing, it is the one that counts damaged frames.
func tunnelled(s *shop) error {
	end := func(n *world.Net, name, own, other, address string) error {
		for _, words := range []string{"ip link set " + name + " down", "ip addr flush dev " + name, "ip link set " + name + " name wire0",
			"ip addr add " + own + "/30 dev wire0", "ip link set wire0 up",
			"ip link add " + name + " type vxlan id 3 remote " + other + " dstport 4789 dev wire0",
			"ip addr add " + address + "/24 dev " + name, "ip link set " + name + " up"} {
			if err := s.at(n, words); err != nil {
				return err
			}
		}
		return nil
	}
	if err := end(s.w.Router, "lan0", "10.255.0.1", "10.255.0.2", world.GatewayIP); err != nil {
		return err
	}
	if err := end(s.w.Terminal, s.iface, "10.255.0.2", "10.255.0.1", world.TerminalIP); err != nil {
		return err
	}
	return s.w.Terminal.Route(s.iface, "0.0.0.0/0", world.GatewayIP)
}

// noisy has one frame in four arrive with a mark that its receiver must take for damage, while traffic passes for as
// long as the history of the counters needs to tell: a minute.
func noisy(s *shop) error {
	rule := "table inet fault {\nchain o {\ntype filter hook output priority 0\nudp dport 4789 numgen random mod 100 < 25 ip ecn set ce\n}\n}\n"
	if err := s.atWith(s.w.Router, "nft -f -", rule); err != nil {
		return err
	}
	// Replies are lost too, which ping reports as its failure.
	if err := s.at(s.w.Router, "ping -q -c 1220 -i 0.05 -W 1 "+world.TerminalIP); err != nil && s.ctx.Err() != nil {
		return err
	}
	return nil
}
