package capture

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// machine runs a filter as the kernel does, over packets of one protocol: the library's machine cannot ask for that.
func machine(t testing.TB, endpoints []netip.AddrPort, protocol uint32) *bpf.VM {
	t.Helper()
	raw, err := filter(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	program := []bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegA, Val: protocol}}
	for i, r := range raw {
		in := bpf.RawInstruction{Op: r.Code, Jt: r.Jt, Jf: r.Jf, K: r.K}.Disassemble()
		if e, ok := in.(bpf.LoadExtension); i == 0 && (!ok || e.Num != bpf.ExtProto) {
			t.Fatalf("begins with %v, not with the protocol", in)
		}
		if i > 0 {
			program = append(program, in)
		}
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func passed(t testing.TB, vm *bpf.VM, b []byte) bool {
	t.Helper()
	n, err := vm.Run(b)
	if err != nil {
		t.Fatal(err)
	}
	if n != 0 && n != snaplen {
		t.Fatalf("%d bytes of a packet pass", n)
	}
	return n != 0
}

func TestFilterLetsOnlyTheHostsPass(t *testing.T) {
	var endpoints []netip.AddrPort
	for i := range maxEndpoints / 2 {
		endpoints = append(endpoints,
			netip.MustParseAddrPort(fmt.Sprintf("203.0.113.%d:%d", i, 8583+i%2)), netip.MustParseAddrPort(fmt.Sprintf("[2001:db8:1::%x]:%d", i, 8583+i%2)))
	}
	four, six := machine(t, endpoints, unix.ETH_P_IP), machine(t, endpoints, unix.ETH_P_IPV6)
	arp := machine(t, endpoints, unix.ETH_P_ARP)
	others := []netip.AddrPort{netip.MustParseAddrPort("192.168.1.23:40001"), netip.MustParseAddrPort("203.0.113.200:8583"), netip.MustParseAddrPort("203.0.113.1:8583"),
		netip.MustParseAddrPort("[2001:db8::23]:40001"), netip.MustParseAddrPort("[2001:db8:1::1]:8583"), netip.MustParseAddrPort("[2001:db8:2::1]:8584")}
	wanted := map[netip.AddrPort]bool{}
	for _, e := range endpoints {
		wanted[e] = true
	}
	for _, a := range append(others, endpoints...) {
		for _, b := range append(others, endpoints...) {
			if a.Addr().Is4() != b.Addr().Is4() {
				continue
			}
			vm := six
			if a.Addr().Is4() {
				vm = four
			}
			p := packet(a, b, flagACK, 1, 2, []byte("data"))
			if got, want := passed(t, vm, p), wanted[a] || wanted[b]; got != want {
				t.Fatalf("%v to %v: passes %v, want %v", a, b, got, want)
			}
			if passed(t, arp, p) {
				t.Fatalf("%v to %v passes as another protocol", a, b)
			}
			places := map[int]byte{6: 17} // another protocol
			if a.Addr().Is4() {
				places = map[int]byte{9: 17, 6: 0x20} // another protocol, or more fragments
			}
			for at, bits := range places {
				other := append([]byte(nil), p...)
				other[at] ^= bits
				if passed(t, vm, other) {
					t.Fatalf("%v to %v passes with byte %d changed", a, b, at)
				}
			}
		}
	}
	if passed(t, machine(t, nil, unix.ETH_P_IP), packet(terminal4, host4, 0, 0, 0, nil)) {
		t.Error("a packet passes where no host is known")
	}
	if _, err := filter(make([]netip.AddrPort, maxEndpoints+1)); err == nil {
		t.Error("too many addresses are taken")
	}
}

// With IPv4 options the ports are further behind.
func TestFilterGoesOverOptions(t *testing.T) {
	vm := machine(t, []netip.AddrPort{host4}, unix.ETH_P_IP)
	p := packet(terminal4, host4, flagACK, 1, 2, []byte("data"))
	q := append(append(append([]byte(nil), p[:20]...), make([]byte, 8)...), p[20:]...)
	q[0], q[3] = 0x47, q[3]+8
	if !passed(t, vm, q) {
		t.Error("a packet with options does not pass")
	}
	if s, ok := parse(q); !ok || s.to != host4 || string(s.data) != "data" {
		t.Errorf("parsed %+v, %v", s, ok)
	}
}

// FuzzPacket feeds any bytes to the parser, and holds it against the filter: what passes that and is whole is read, and
// belongs to a host.
func FuzzPacket(f *testing.F) {
	f.Add(packet(terminal4, host4, flagACK, 1, 2, []byte("data")))
	f.Add(packet(host6, terminal6, flagSYN, 1<<31, 2, nil))
	f.Add([]byte{0x45})
	f.Add(append([]byte{0x6f, 0, 0, 0, 0, 0, 6}, make([]byte, 60)...))
	four, six := machine(f, []netip.AddrPort{host4}, unix.ETH_P_IP), machine(f, []netip.AddrPort{host6}, unix.ETH_P_IPV6)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parse(b)
		if !ok {
			return
		}
		if len(s.data) > len(b) || s.cut < 0 || s.cut > 1<<16 {
			t.Fatalf("%+v", s)
		}
		vm := four
		if b[0]>>4 == 6 {
			vm = six
		}
		hosts := s.to == host4 || s.from == host4 || s.to == host6 || s.from == host6
		if passed(t, vm, b) != hosts {
			t.Fatalf("%v to %v: filter and parser differ", s.from, s.to)
		}
	})
}

// FuzzReassembly sends two messages through any disorder. The tracker may miss what was never sent whole; it must not
// hold more than its bounds, make up a code or let a card out.
func FuzzReassembly(f *testing.F) {
	f.Add(uint64(1), []byte{0, 10, 20, 30}, uint32(0xfffffff0))
	f.Add(uint64(2), []byte{255, 1, 255, 3, 9, 9}, uint32(1))
	ask, answer := message(f, "0200", "000123", ""), message(f, "0210", "000123", "96")
	f.Fuzz(func(t *testing.T, seed uint64, steps []byte, isn uint32) {
		steps = steps[:min(len(steps), 64)]
		r := rand.New(rand.NewPCG(seed, 3))
		s := &fakeSink{}
		l := newLine(t, track(s), isn)
		l.connect(1)
		for _, step := range steps {
			b, next, up := ask, l.up, step&1 == 0
			if !up {
				b, next = answer, l.down
			}
			at := r.IntN(len(b))
			data := append([]byte(nil), b[at:at+1+r.IntN(len(b)-at)]...)
			if step&2 != 0 {
				data[r.IntN(len(data))] ^= byte(step)
			}
			l.put(up, byte(step>>2), next+uint32(at), uint32(r.IntN(1<<12))+l.down-l.up*uint32(step&4), data)
			if l.held > maxWaiting || l.held < 0 || len(l.flows) > maxFlows {
				t.Fatalf("%d bytes, %d flows", l.held, len(l.flows))
			}
		}
		if len(s.seen) > len(steps) {
			t.Fatalf("%d codes out of %d segments", len(s.seen), len(steps))
		}
		s.clean(t)
		l.drop()
		if l.held != 0 {
			t.Fatalf("%d bytes stay", l.held)
		}
	})
}
