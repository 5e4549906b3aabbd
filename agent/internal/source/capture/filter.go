package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxEndpoints bounds the addresses of the hosts. A name in use has one to four; each costs the kernel up to 22
// instructions a packet, and BPF_MAXINSNS is 4096.
const maxEndpoints = 32

// snaplen is the most of a packet that is read: an IP packet is never longer.
const snaplen = 1<<16 - 1

// filter returns the program that the kernel runs over every packet: it lets pass the TCP segments from and to the
// endpoints and nothing else, so that no other byte ever reaches this process. Packets come without a link header
// (SOCK_DGRAM), so it is the same for Ethernet, VLAN, PPP, wwan and loopback. With no endpoints nothing passes.
func filter(endpoints []netip.AddrPort) ([]bpf.RawInstruction, error) {
	if len(endpoints) > maxEndpoints {
		return nil, fmt.Errorf("make filter: %d addresses, at most %d", len(endpoints), maxEndpoints)
	}
	var four, six []bpf.Instruction
	for _, e := range endpoints {
		if e.Addr().Is4() {
			a := binary.BigEndian.Uint32(e.Addr().AsSlice())
			four = append(four, passes(12, []uint32{a}, bpf.LoadIndirect{Off: 0, Size: 2}, e.Port())...)
			four = append(four, passes(16, []uint32{a}, bpf.LoadIndirect{Off: 2, Size: 2}, e.Port())...)
			continue
		}
		var words []uint32
		for part := range slices.Chunk(e.Addr().AsSlice(), 4) {
			words = append(words, binary.BigEndian.Uint32(part))
		}
		six = append(six, passes(8, words, bpf.LoadAbsolute{Off: ip6Header, Size: 2}, e.Port())...)
		six = append(six, passes(24, words, bpf.LoadAbsolute{Off: ip6Header + 2, Size: 2}, e.Port())...)
	}
	drop := bpf.RetConstant{Val: 0}
	program := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 1},
		bpf.Jump{Skip: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 1},
		bpf.Jump{Skip: uint32(len(four)) + 6},
		drop,
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoTCP, SkipFalse: 2},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x3fff, SkipTrue: 1}, // no fragment
		drop,
		bpf.LoadMemShift{Off: 0},
	}
	program = append(append(program, four...), drop)
	program = append(program, bpf.LoadAbsolute{Off: 6, Size: 1}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoTCP, SkipTrue: 1}, drop)
	raw, err := bpf.Assemble(append(append(program, six...), drop))
	if err != nil {
		return nil, fmt.Errorf("make filter: %w", err)
	}
	return raw, nil
}

// passes lets a packet pass whose address at an offset, and whose port, are these.
func passes(offset uint32, address []uint32, port bpf.Instruction, number uint16) []bpf.Instruction {
	size := 2*len(address) + 3
	var list []bpf.Instruction
	for i, word := range address {
		list = append(list, bpf.LoadAbsolute{Off: offset + 4*uint32(i), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: word, SkipTrue: uint8(size - 2*i - 2)})
	}
	return append(list, port, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(number), SkipTrue: 1}, bpf.RetConstant{Val: snaplen})
}
