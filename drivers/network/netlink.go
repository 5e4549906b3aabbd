package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Link is one network interface as the kernel sees it.
type Link struct {
	Index          int
	Name           string
	Type           uint16 // ARPHRD_*, include/uapi/linux/if_arp.h
	Virtual        string // bridge, veth, tun …; empty for hardware
	MAC            [6]byte
	Up             bool // switched on by its owner
	Carrier        bool // and something at the other end
	CarrierKnown   bool
	CarrierChanges uint32 // since the interface exists; each loss and each return counts one
	ChangesKnown   bool
	MTU            int
	Stats          LinkStats
	StatsKnown     bool
}

// LinkStats are an interface's counters since it exists.
type LinkStats struct {
	RxPackets, TxPackets, RxErrors, TxErrors, RxDropped, TxDropped, CRCErrors uint64
}

// Errors is the sum of what is lost to faults of the line: receive, transmit and CRC errors overlap in most drivers, so
// the larger of both receive figures counts.
func (s LinkStats) Errors() uint64 { return max(s.RxErrors, s.CRCErrors) + s.TxErrors }

// An Address is one address of an interface.
type Address struct {
	Index     int
	Prefix    netip.Prefix // the address itself with its network's length
	Peer      bool         // point to point: the network is the other end
	Lasting   bool         // without a lifetime: configured, or given by a client that sets none
	Duplicate bool         // the kernel's own duplicate detection failed (IPv6)
}

// A Route leads to a network over an interface.
type Route struct {
	Index    int
	Dst      netip.Prefix // zero length: default
	Gateway  netip.Addr   // invalid if the network is on the link
	Source   netip.Addr
	Metric   uint32
	Protocol uint8 // RTPROT_*
	Dead     bool  // the interface has lost its carrier
	OnLink   bool
}

// Default tells whether r is a way to everywhere.
func (r Route) Default() bool { return r.Dst.Bits() == 0 }

// A Neighbour is an entry of the ARP or ND table.
type Neighbour struct {
	Index int
	IP    netip.Addr
	MAC   [6]byte
	State uint16 // NUD_*
}

// Tables is what the kernel knows of the network at one moment.
type Tables struct {
	Links     []Link
	Addresses []Address
	Routes    []Route // of the main table
}

// ReadTables reads the kernel's tables. It sends nothing and does not wait.
func ReadTables() (Tables, error) {
	var t Tables
	for _, part := range []struct {
		what  string
		proto int
		each  func(syscall.NetlinkMessage)
	}{
		{"links", unix.RTM_GETLINK, func(m syscall.NetlinkMessage) {
			if l, ok := parseLink(m); ok && len(t.Links) < maxLinks {
				t.Links = append(t.Links, l)
			}
		}},
		{"addresses", unix.RTM_GETADDR, func(m syscall.NetlinkMessage) {
			if a, ok := parseAddress(m); ok && len(t.Addresses) < 2*maxLinks {
				t.Addresses = append(t.Addresses, a)
			}
		}},
		{"routes", unix.RTM_GETROUTE, func(m syscall.NetlinkMessage) {
			if r, table, ok := parseRoute(m); ok && table == unix.RT_TABLE_MAIN && len(t.Routes) < maxRoutes {
				t.Routes = append(t.Routes, r)
			}
		}},
	} {
		if err := dump(part.proto, part.each); err != nil {
			return Tables{}, fmt.Errorf("read kernel %s: %w", part.what, err)
		}
	}
	return t, nil
}

// ReadNeighbours reads the ARP and ND tables.
func ReadNeighbours() ([]Neighbour, error) {
	var list []Neighbour
	err := dump(unix.RTM_GETNEIGH, func(m syscall.NetlinkMessage) {
		if n, ok := parseNeighbour(m); ok && len(list) < maxNeighbours {
			list = append(list, n)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read kernel neighbours: %w", err)
	}
	return list, nil
}

// dumpTries is how often a dump that the kernel reports as interrupted by a change is read again.
const dumpTries = 3

func dump(proto int, each func(syscall.NetlinkMessage)) error {
	var raw []byte
	var err error
	for range dumpTries {
		raw, err = syscall.NetlinkRIB(proto, syscall.AF_UNSPEC)
		if err == nil || !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return err
	}
	msgs, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		each(m)
	}
	return nil
}

// attrs calls f for each attribute of type t in b, and stops at the first that does not fit (struct rtattr).
func attrs(b []byte, f func(t uint16, v []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n]) // the upper two bits are flags
		n = (n + 3) &^ 3
		if n >= len(b) {
			return
		}
		b = b[n:]
	}
}

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func cstring(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// Attributes that golang.org/x/sys/unix does not name (include/uapi/linux/if_link.h).
const (
	iflaInfoKind = 1
)

// parseLink reads struct ifinfomsg and its attributes.
func parseLink(m syscall.NetlinkMessage) (Link, bool) {
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return Link{}, false
	}
	flags := u32(m.Data[8:])
	l := Link{
		Type:  binary.NativeEndian.Uint16(m.Data[2:]),
		Index: int(int32(u32(m.Data[4:]))),
		Up:    flags&unix.IFF_UP != 0,
	}
	// Kernels before 3.9 tell the carrier in a flag only.
	l.Carrier, l.CarrierKnown = flags&unix.IFF_RUNNING != 0, l.Up
	attrs(m.Data[unix.SizeofIfInfomsg:], func(t uint16, v []byte) {
		switch t {
		case unix.IFLA_IFNAME:
			l.Name = cstring(v)
		case unix.IFLA_ADDRESS:
			if len(v) == 6 {
				l.MAC = [6]byte(v)
			}
		case unix.IFLA_MTU:
			l.MTU = int(u32(v))
		case unix.IFLA_CARRIER:
			if len(v) == 1 {
				l.Carrier, l.CarrierKnown = v[0] == 1, true
			}
		case unix.IFLA_CARRIER_CHANGES:
			l.CarrierChanges, l.ChangesKnown = u32(v), len(v) == 4
		case unix.IFLA_LINKINFO:
			attrs(v, func(t uint16, v []byte) {
				if t == iflaInfoKind {
					l.Virtual = cstring(v)
				}
			})
		case unix.IFLA_STATS64:
			l.Stats, l.StatsKnown = parseStats(v, 8)
		case unix.IFLA_STATS:
			if !l.StatsKnown {
				l.Stats, l.StatsKnown = parseStats(v, 4)
			}
		}
	})
	if !l.Up {
		l.Carrier = false
	}
	return l, l.Name != ""
}

// parseStats reads struct rtnl_link_stats (words of 4 bytes) or rtnl_link_stats64 (of 8).
func parseStats(b []byte, word int) (LinkStats, bool) {
	at := func(i int) uint64 {
		if word == 4 {
			return uint64(binary.NativeEndian.Uint32(b[i*4:]))
		}
		return binary.NativeEndian.Uint64(b[i*8:])
	}
	if len(b) < 14*word {
		return LinkStats{}, false
	}
	return LinkStats{RxPackets: at(0), TxPackets: at(1), RxErrors: at(4), TxErrors: at(5), RxDropped: at(6),
		TxDropped: at(7), CRCErrors: at(12) + at(13)}, true
}

// parseAddress reads struct ifaddrmsg and its attributes.
func parseAddress(m syscall.NetlinkMessage) (Address, bool) {
	if m.Header.Type != unix.RTM_NEWADDR && m.Header.Type != unix.RTM_DELADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return Address{}, false
	}
	bits, flags := int(m.Data[1]), uint32(m.Data[2])
	a := Address{Index: int(int32(u32(m.Data[4:])))}
	var local, addr netip.Addr
	attrs(m.Data[unix.SizeofIfAddrmsg:], func(t uint16, v []byte) {
		switch t {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS:
			flags = u32(v)
		}
	})
	if !local.IsValid() {
		local = addr
	}
	a.Peer = addr.IsValid() && addr != local
	a.Prefix = netip.PrefixFrom(local, bits)
	a.Lasting = flags&unix.IFA_F_PERMANENT != 0
	a.Duplicate = flags&unix.IFA_F_DADFAILED != 0
	return a, a.Prefix.IsValid()
}

// parseRoute reads struct rtmsg and its attributes; only routes that lead somewhere are returned.
func parseRoute(m syscall.NetlinkMessage) (r Route, table uint32, ok bool) {
	if m.Header.Type != unix.RTM_NEWROUTE && m.Header.Type != unix.RTM_DELROUTE || len(m.Data) < unix.SizeofRtMsg {
		return Route{}, 0, false
	}
	family, bits, kind := m.Data[0], int(m.Data[1]), m.Data[7]
	flags := u32(m.Data[8:])
	r.Protocol, table = m.Data[5], uint32(m.Data[4])
	r.Dead = flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0
	r.OnLink = flags&unix.RTNH_F_ONLINK != 0
	var dst netip.Addr
	attrs(m.Data[unix.SizeofRtMsg:], func(t uint16, v []byte) {
		switch t {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(v)
		case unix.RTA_PREFSRC:
			r.Source, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			r.Index = int(int32(u32(v)))
		case unix.RTA_PRIORITY:
			r.Metric = u32(v)
		case unix.RTA_TABLE:
			table = u32(v)
		case unix.RTA_MULTIPATH: // the first of several ways stands for all
			if len(v) >= unix.SizeofRtNexthop && r.Index == 0 {
				r.Index = int(int32(u32(v[4:])))
				end := min(len(v), max(unix.SizeofRtNexthop, int(binary.NativeEndian.Uint16(v))))
				attrs(v[unix.SizeofRtNexthop:end], func(t uint16, v []byte) {
					if t == unix.RTA_GATEWAY {
						r.Gateway, _ = netip.AddrFromSlice(v)
					}
				})
			}
		}
	})
	if !dst.IsValid() {
		switch family {
		case unix.AF_INET:
			dst = netip.IPv4Unspecified()
		case unix.AF_INET6:
			dst = netip.IPv6Unspecified()
		default:
			return Route{}, 0, false
		}
	}
	r.Dst = netip.PrefixFrom(dst, bits)
	return r, table, kind == unix.RTN_UNICAST && r.Dst.IsValid()
}

// parseNeighbour reads struct ndmsg and its attributes.
func parseNeighbour(m syscall.NetlinkMessage) (Neighbour, bool) {
	if m.Header.Type != unix.RTM_NEWNEIGH || len(m.Data) < unix.SizeofNdMsg {
		return Neighbour{}, false
	}
	n := Neighbour{Index: int(int32(u32(m.Data[4:]))), State: binary.NativeEndian.Uint16(m.Data[8:])}
	attrs(m.Data[unix.SizeofNdMsg:], func(t uint16, v []byte) {
		switch t {
		case unix.NDA_DST:
			n.IP, _ = netip.AddrFromSlice(v)
		case unix.NDA_LLADDR:
			if len(v) == 6 {
				n.MAC = [6]byte(v)
			}
		}
	})
	return n, n.IP.IsValid()
}

// RouteTo asks the kernel which way it would take to an address now, policy rules included. The error is
// ENETUNREACH, EHOSTUNREACH or the like if there is none.
func RouteTo(dst netip.Addr) (Route, error) {
	dst = dst.Unmap()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", dst, err)
	}
	defer unix.Close(fd)
	// The kernel answers before sendto returns; the bound is for a kernel that does not.
	wait := unix.NsecToTimeval(int64(cancelCheck))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", dst, err)
	}
	if err := unix.Sendto(fd, routeRequest(dst), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", dst, err)
	}
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", dst, err)
	}
	msgs, err := syscall.ParseNetlinkMessage(b[:n])
	if err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", dst, err)
	}
	for _, m := range msgs {
		if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
			if e := int32(u32(m.Data)); e < 0 {
				return Route{}, fmt.Errorf("route to %s: %w", dst, syscall.Errno(-e))
			}
		}
		if m.Header.Type == unix.RTM_NEWROUTE && len(m.Data) >= unix.SizeofRtMsg {
			r, _, ok := parseRoute(m)
			if !ok && m.Data[7] != unix.RTN_LOCAL {
				return Route{}, fmt.Errorf("route to %s: %w", dst, syscall.ENETUNREACH)
			}
			return r, nil
		}
	}
	return Route{}, fmt.Errorf("route to %s: no answer", dst)
}

// routeRequest is RTM_GETROUTE with a destination.
func routeRequest(dst netip.Addr) []byte {
	raw := dst.AsSlice()
	n := unix.SizeofNlMsghdr + unix.SizeofRtMsg + 4 + len(raw)
	b := make([]byte, n)
	binary.NativeEndian.PutUint32(b, uint32(n))
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_GETROUTE)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[8:], 1)
	b[16] = unix.AF_INET
	if dst.Is6() {
		b[16] = unix.AF_INET6
	}
	b[17] = byte(dst.BitLen())
	at := unix.SizeofNlMsghdr + unix.SizeofRtMsg
	binary.NativeEndian.PutUint16(b[at:], uint16(4+len(raw)))
	binary.NativeEndian.PutUint16(b[at+2:], unix.RTA_DST)
	copy(b[at+4:], raw)
	return b
}
