package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// maxEndpoints bounds the addresses of the hosts. A name in use has one to four; each costs the kernel up to 22
// instructions a packet, and BPF_MAXINSNS is 4096.
const maxEndpoints = 32

// snaplen is the most of a packet that is read: an IP packet is never longer.
const snaplen = 1<<16 - 1

// Instructions of the kernel's packet filter (Documentation/networking/filter.rst). The library for them is used by the
// tests; here it would weigh eight kilobytes.
const (
	loadByte    = unix.BPF_LD | unix.BPF_ABS | unix.BPF_B
	loadHalf    = unix.BPF_LD | unix.BPF_ABS | unix.BPF_H
	loadWord    = unix.BPF_LD | unix.BPF_ABS | unix.BPF_W
	loadHalfAtX = unix.BPF_LD | unix.BPF_IND | unix.BPF_H
	headerToX   = unix.BPF_LDX | unix.BPF_MSH | unix.BPF_B // X = four times the low half of a byte
	ifEqual     = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifAnyBit    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	jump        = unix.BPF_JMP | unix.BPF_JA
	giveBack    = unix.BPF_RET | unix.BPF_K
	protocolAt  = 1<<32 - 0x1000 // SKF_AD_OFF + SKF_AD_PROTOCOL: of the packet, as the link said
)

func op(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

// unless goes over the next n instructions where a comparison does not hold.
func unless(code uint16, k uint32, n int) unix.SockFilter {
	return unix.SockFilter{Code: code, K: k, Jf: uint8(n)}
}

// filter returns the program that the kernel runs over every packet: it lets the TCP segments from and to the endpoints
// pass and nothing else, so that no other byte ever reaches this process. Packets come without a link header
// (SOCK_DGRAM), so it is the same for Ethernet, VLAN, PPP, wwan and loopback. Without endpoints nothing passes.
func filter(endpoints []netip.AddrPort) ([]unix.SockFilter, error) {
	if len(endpoints) > maxEndpoints {
		return nil, fmt.Errorf("make filter: %d addresses, at most %d", len(endpoints), maxEndpoints)
	}
	var four, six []unix.SockFilter
	for _, e := range endpoints {
		if a := e.Addr().AsSlice(); len(a) == 4 {
			four = passes(four, 12, a, op(loadHalfAtX, 0), e.Port())
			four = passes(four, 16, a, op(loadHalfAtX, 2), e.Port())
		} else {
			six = passes(six, 8, a, op(loadHalf, ip6Header), e.Port())
			six = passes(six, 24, a, op(loadHalf, ip6Header+2), e.Port())
		}
	}
	drop := op(giveBack, 0)
	program := []unix.SockFilter{
		op(loadWord, protocolAt),
		unless(ifEqual, unix.ETH_P_IP, 7),
		op(loadByte, 9),
		unless(ifEqual, protoTCP, 2),
		op(loadHalf, 6),
		unless(ifAnyBit, 0x3fff, 1), // of a fragment
		drop,
		op(headerToX, 0),
		op(jump, 1),
		op(jump, uint32(len(four))+1),
	}
	program = append(append(program, four...), drop,
		unless(ifEqual, unix.ETH_P_IPV6, 2),
		op(loadByte, 6),
		unix.SockFilter{Code: ifEqual, K: protoTCP, Jt: 1},
		drop)
	return append(append(program, six...), drop), nil
}

// passes appends what lets a packet pass whose address at an offset, and whose port, are these.
func passes(list []unix.SockFilter, offset uint32, address []byte, port unix.SockFilter,
	number uint16) []unix.SockFilter {
	rest := 2*len(address)/4 + 3
	for ; len(address) > 0; address, offset = address[4:], offset+4 {
		rest -= 2
		list = append(list, op(loadWord, offset), unless(ifEqual, binary.BigEndian.Uint32(address), rest))
	}
	return append(list, port, unless(ifEqual, uint32(number), 1), op(giveBack, snaplen))
}
