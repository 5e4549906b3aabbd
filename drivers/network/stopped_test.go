package network

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// about is an ICMP error about a packet to an address: of TCP to a port, or an echo of an id.
func about(six bool, kind byte, to netip.Addr, proto byte, number uint16) []byte {
	b := []byte{kind, 0, 0, 0, 0, 0, 0, 0}
	if six {
		ip := make([]byte, 40)
		ip[0], ip[6] = 0x60, proto
		copy(ip[24:], to.AsSlice())
		b = append(b, ip...)
	} else {
		ip := make([]byte, 20)
		ip[0], ip[9] = 0x45, proto
		copy(ip[16:], to.AsSlice())
		b = append(b, ip...)
	}
	inner := make([]byte, 8)
	switch proto {
	case unix.IPPROTO_TCP:
		binary.BigEndian.PutUint16(inner[2:], number)
	default:
		inner[0] = echoRequest4
		if six {
			inner[0] = echoRequest6
		}
		binary.BigEndian.PutUint16(inner[4:], number)
	}
	return append(b, inner...)
}

func TestWhatRoutersSayOfAPlace(t *testing.T) {
	four, six := netip.MustParseAddrPort("203.0.113.10:5000"), netip.MustParseAddrPort("[2001:db8::10]:5000")
	for _, c := range []struct {
		name string
		six  bool
		b    []byte
		want int
	}{
		{"request died", false, about(false, exceeded4, four.Addr(), unix.IPPROTO_TCP, 5000), requestDied},
		{"request died, IPv6", true, about(true, exceeded6, six.Addr(), unix.IPPROTO_TCP, 5000), requestDied},
		{"echo died", false, about(false, exceeded4, four.Addr(), unix.IPPROTO_ICMP, 7), echoDied},
		{"echo died, IPv6", true, about(true, exceeded6, six.Addr(), unix.IPPROTO_ICMPV6, 7), echoDied},
		{"somebody else's echo died", false, about(false, exceeded4, four.Addr(), unix.IPPROTO_ICMP, 8), nothing},
		{"another port", false, about(false, exceeded4, four.Addr(), unix.IPPROTO_TCP, 443), nothing},
		{"another place", false, about(false, exceeded4, netip.MustParseAddr("203.0.113.11"), unix.IPPROTO_TCP, 5000), nothing},
		{"unreachable", false, about(false, unreachable4, four.Addr(), unix.IPPROTO_TCP, 5000), placeUnreachable},
		{"unreachable for any echo", false, about(false, unreachable4, four.Addr(), unix.IPPROTO_ICMP, 9), placeUnreachable},
		{"unreachable, IPv6", true, about(true, unreachable6, six.Addr(), unix.IPPROTO_TCP, 5000), placeUnreachable},
		{"answered", false, []byte{echoReply4, 0, 0, 0, 0, 7, 0, 0}, echoAnswered},
		{"another's answer", false, []byte{echoReply4, 0, 0, 0, 0, 8, 0, 0}, nothing},
	} {
		to := four
		if c.six {
			to = six
		}
		if got := parseICMP(c.b, c.six, to, 7); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func FuzzICMP(f *testing.F) {
	four, six := netip.MustParseAddrPort("203.0.113.10:5000"), netip.MustParseAddrPort("[2001:db8::10]:5000")
	f.Add(about(false, exceeded4, four.Addr(), unix.IPPROTO_TCP, 5000), false)
	f.Add(about(true, unreachable6, six.Addr(), unix.IPPROTO_ICMPV6, 7), true)
	f.Add([]byte{3, 1, 0, 0, 0, 0, 0, 0, 0x4f}, false)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		to := four
		if v6 {
			to = six
		}
		parseICMP(b, v6, to, 7)
	})
}
