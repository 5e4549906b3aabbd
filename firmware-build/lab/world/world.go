// Package world simulates the surroundings of a terminal, for tests, make run and the device lab: networks of
// namespaces, hosts that authorise, and the payment application, each with faults that can be switched while it runs.
// Devices are in drivers/sim.
package world

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/jsimonetti/rtnetlink/v2/driver"
	"github.com/jsimonetti/rtnetlink/v2/rtnl"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A Net is a network namespace.
type Net struct{ file *os.File }

// NewNet makes a network namespace that lasts as long as a process uses it.
func NewNet() (*Net, error) {
	return onThread(func() (*Net, error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return nil, fmt.Errorf("make network namespace: %w", err)
		}
		return thisNet()
	})
}

// ThisNet is the namespace the process lives in.
func ThisNet() (*Net, error) { return onThread(thisNet) }

func thisNet() (*Net, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return &Net{f}, nil
}

// onThread runs f on an operating system thread of its own that ends with it, whatever namespace it is in by then.
func onThread[T any](f func() (T, error)) (v T, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		v, err = f()
	}()
	<-done
	return v, err
}

// File is the handle to give to a process that shall enter.
func (n *Net) File() *os.File { return n.file }

// Close closes the handle.
func (n *Net) Close() error { return n.file.Close() }

// Do runs f inside the namespace: files under /proc/sys/net and sockets made by f belong to it.
func (n *Net) Do(f func() error) error {
	_, err := onThread(func() (struct{}, error) {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return struct{}{}, fmt.Errorf("enter network namespace: %w", err)
		}
		return struct{}{}, f()
	})
	return err
}

// links does netlink work inside the namespace.
func (n *Net) links(f func(*rtnl.Conn) error) error {
	c, err := rtnl.Dial(&netlink.Config{NetNS: int(n.file.Fd())})
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer c.Close()
	return f(c)
}

// on does netlink work on one interface of the namespace.
func (n *Net) on(name string, f func(*rtnl.Conn, *net.Interface) error) error {
	return n.links(func(c *rtnl.Conn) error {
		list, err := c.Links()
		if err != nil {
			return fmt.Errorf("list links: %w", err)
		}
		for _, l := range list {
			if l.Name == name {
				return f(c, l)
			}
		}
		return fmt.Errorf("no link %q", name)
	})
}

// Up sets an interface up.
func (n *Net) Up(name string) error {
	return n.on(name, func(c *rtnl.Conn, l *net.Interface) error { return c.LinkUp(l) })
}

// Down sets an interface down; the other end of its cable loses the carrier.
func (n *Net) Down(name string) error {
	return n.on(name, func(c *rtnl.Conn, l *net.Interface) error { return c.LinkDown(l) })
}

// Address gives an interface an address, written with its prefix length.
func (n *Net) Address(name, address string) error {
	return n.on(name, func(c *rtnl.Conn, l *net.Interface) error {
		return ignore(c.AddrAdd(l, rtnl.MustParseAddr(address)), syscall.EEXIST)
	})
}

// NoAddress takes an address away.
func (n *Net) NoAddress(name, address string) error {
	return n.on(name, func(c *rtnl.Conn, l *net.Interface) error { return c.AddrDel(l, rtnl.MustParseAddr(address)) })
}

// Route makes packets to a network go to a neighbour.
func (n *Net) Route(name, to, via string) error {
	return n.on(name, func(c *rtnl.Conn, l *net.Interface) error {
		return ignore(c.RouteAdd(l, network(to), net.ParseIP(via)), syscall.EEXIST)
	})
}

// Swallow makes packets to a network be dropped without an error, or ends that.
func (n *Net) Swallow(to string, on bool) error {
	dst := network(to)
	ones, _ := dst.Mask.Size()
	m := &rtnetlink.RouteMessage{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT,
		Type:      unix.RTN_BLACKHOLE,
		DstLength: uint8(ones), Attributes: rtnetlink.RouteAttributes{Dst: dst.IP.To4()}}
	return n.links(func(c *rtnl.Conn) error {
		if on {
			return ignore(c.Conn.Route.Add(m), syscall.EEXIST)
		}
		return ignore(c.Conn.Route.Delete(m), syscall.ESRCH)
	})
}

// cable makes a virtual cable between an interface here and one in another namespace.
func (n *Net) cable(name string, other *Net, far string) error {
	return n.links(func(c *rtnl.Conn) error {
		err := c.Conn.Link.New(&rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{Name: name,
			Info: &rtnetlink.LinkInfo{
				Kind: "veth", Data: &driver.Veth{PeerInfo: &rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{
					Name: far, NetNS: rtnetlink.NetNSForFD(uint32(other.file.Fd()))}}}}}})
		if err != nil {
			return fmt.Errorf("make cable %s-%s: %w", name, far, err)
		}
		return nil
	})
}

func network(cidr string) net.IPNet {
	_, n, err := net.ParseCIDR(cidr)
	if err != nil {
		panic(err) // constants of this file and of the lab
	}
	return *n
}

func ignore(err error, ok syscall.Errno) error {
	if errors.Is(err, ok) {
		return nil
	}
	return err
}

// Addresses of the simulated world (TEST-NET blocks of RFC 5737 stand for the internet).
const (
	TerminalIP = "192.168.1.23"
	GatewayIP  = "192.168.1.1"
	HostIP     = "203.0.113.10" // the acquirer
	ResolverIP = "203.0.113.53"
	WalletIP   = "198.51.100.7"  // a payment gateway for QR codes
	BrokerIP   = "198.51.100.20" // the way to the fleet
)

const (
	lan, wan, up    = "lan0", "wan0", "up0"
	terminalCIDR    = TerminalIP + "/24"
	gatewayCIDR     = GatewayIP + "/24"
	lanNetwork      = "192.168.1.0/24"
	wanIP, upIP     = "100.64.0.2", "100.64.0.1"
	wanCIDR, upCIDR = wanIP + "/30", upIP + "/30"
	everywhere      = "0.0.0.0/0"
	forwarding      = "/proc/sys/net/ipv4/ip_forward"
)

// A World is a terminal behind a router with the internet beyond it, each in a namespace of its own:
//
//	terminal eth0 —— lan0 router wan0 —— up0 outside (host, resolver, gateways on its loopback)
//
// The interface of a cellular terminal is called wwan0, and the router is then the carrier's.
type World struct {
	Terminal, Router, Outside *Net

	iface string
}

// NewWorld builds a world whose outside is the namespace the process lives in, which should be an empty one.
func NewWorld(iface string) (w *World, err error) {
	w = &World{iface: iface}
	defer func() {
		if err != nil {
			w.Close()
			w, err = nil, fmt.Errorf("build world: %w", err)
		}
	}()
	if w.Outside, err = ThisNet(); err != nil {
		return
	}
	if w.Terminal, err = NewNet(); err != nil {
		return
	}
	if w.Router, err = NewNet(); err != nil {
		return
	}
	steps := []func() error{
		func() error { return w.Router.cable(lan, w.Terminal, iface) },
		func() error { return w.Router.cable(wan, w.Outside, up) },
		func() error { return w.Outside.Up("lo") },
		func() error { return w.Terminal.Up("lo") },
		func() error { return w.Router.Up("lo") },
		func() error {
			return w.Router.Do(func() error { return os.WriteFile(forwarding, []byte("1"), 0) })
		},
		func() error { return w.Router.Address(lan, gatewayCIDR) },
		func() error { return w.Router.Address(wan, wanCIDR) },
		func() error { return w.Outside.Address(up, upCIDR) },
		func() error { return w.Router.Up(lan) },
		func() error { return w.Router.Up(wan) },
		func() error { return w.Outside.Up(up) },
		func() error { return w.Terminal.Up(iface) },
		w.attach,
		func() error { return w.Router.Route(wan, everywhere, upIP) },
		func() error { return w.Outside.Route(up, lanNetwork, wanIP) },
	}
	for _, ip := range []string{HostIP, ResolverIP, WalletIP, BrokerIP} {
		steps = append(steps, func() error { return w.Outside.Address("lo", ip+"/32") })
	}
	for _, step := range steps {
		if err = step(); err != nil {
			return
		}
	}
	return w, nil
}

// attach gives the terminal its address and its way out, as a DHCP client or a connection manager does.
func (w *World) attach() error {
	if err := w.Terminal.Address(w.iface, terminalCIDR); err != nil {
		return err
	}
	return w.Terminal.Route(w.iface, everywhere, GatewayIP)
}

// Close closes the handles of the world; it ends when the last process in it does.
func (w *World) Close() {
	for _, n := range []*Net{w.Terminal, w.Router, w.Outside} {
		if n != nil {
			n.Close()
		}
	}
}

// seen bounds the wait until the terminal's kernel sees what happened at the far end.
const seen = 10 * time.Second

// Cut pulls the terminal's cable out and returns when the terminal has lost its carrier: the kernel tells the other end
// of a veth pair a moment later, and at most once a second (linkwatch).
func (w *World) Cut() error {
	if err := w.Router.Down(lan); err != nil {
		return err
	}
	for end := time.Now().Add(seen); ; time.Sleep(5 * time.Millisecond) {
		up := false
		err := w.Terminal.Do(func() error {
			i, err := net.InterfaceByName(w.iface)
			up = err == nil && i.Flags&net.FlagRunning != 0
			return err
		})
		if err != nil || !up {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("cut %s: it has a carrier still", w.iface)
		}
	}
}

// Mend puts it back.
func (w *World) Mend() error { return w.Router.Up(lan) }

// DropBearer is what a lost mobile connection does to the terminal: no carrier, no address, no route.
func (w *World) DropBearer() error {
	if err := w.Cut(); err != nil {
		return err
	}
	return w.Terminal.NoAddress(w.iface, terminalCIDR)
}

// RaiseBearer brings it back.
func (w *World) RaiseBearer() error {
	if err := w.Router.Up(lan); err != nil {
		return err
	}
	return w.attach()
}

// KillGateway leaves the cable plugged in and makes the router silent on the terminal's side.
func (w *World) KillGateway() error { return w.Router.NoAddress(lan, gatewayCIDR) }

// ReviveGateway makes the router answer again.
func (w *World) ReviveGateway() error { return w.Router.Address(lan, gatewayCIDR) }

// LoseInternet makes the router drop all packets that go beyond it.
func (w *World) LoseInternet(lost bool) error {
	// Two halves are more specific than the default route, which stays.
	return errors.Join(w.Router.Swallow("0.0.0.0/1", lost), w.Router.Swallow("128.0.0.0/1", lost))
}

// LoseHost makes the router drop the packets to one address.
func (w *World) LoseHost(ip string, lost bool) error { return w.Router.Swallow(ip+"/32", lost) }
