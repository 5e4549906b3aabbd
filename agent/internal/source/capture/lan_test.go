package capture

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"posdx/agent/internal/source"
	"posdx/agent/internal/source/registerlink"
	"posdx/drivers/ecr"
)

// TestARegisterOnTheNetworkIsHeard plays a register that asks a terminal for sales over TCP, as ZVT has it: one that is
// refused at once, one that fails, one that goes well, with segments lost to the capture, sent twice and out of order;
// and a connection that is cut within an APDU.
func TestARegisterOnTheNetworkIsHeard(t *testing.T) {
	terminal := netip.MustParseAddrPort("192.168.1.50:20007")
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := &fakeSink{}
		link := &registerlink.Link{Name: "ecr0", Framing: ecr.ZVTLAN, Log: slog.New(slog.DiscardHandler),
			Address: terminal.String()}
		k := &lanTracker{ears: map[netip.AddrPort]LANEar{terminal: link.ListenLAN(terminal.String(), s)},
			talks: map[key]*lanTalk{}}
		at := begun
		talk := func(port uint16) (register, answer func(string), hangUp func()) {
			me := netip.AddrPortFrom(netip.MustParseAddr("192.168.1.20"), port)
			up, down := uint32(1000), uint32(90000)
			put := func(from, to netip.AddrPort, flags byte, seq, ack uint32, data string) {
				k.packet(at, 1, packet(from, to, flags, seq, ack, []byte(data)))
			}
			put(me, terminal, flagSYN, up, 0, "")
			put(terminal, me, flagSYN|flagACK, down, up+1, "")
			up, down = up+1, down+1
			say := func(from, to netip.AddrPort, seq, other *uint32, data string) {
				cut := r.IntN(len(data) + 1)
				a, b := data[:cut], data[cut:]
				if r.IntN(2) == 0 {
					put(from, to, flagACK, *seq+uint32(cut), *other, b) // overtakes
					put(from, to, flagACK, *seq, *other, a)
				} else {
					put(from, to, flagACK, *seq, *other, a)
					put(from, to, flagACK, *seq+uint32(cut), *other, b)
				}
				if r.IntN(3) == 0 {
					put(from, to, flagACK, *seq, *other, data) // sent again
				}
				*seq += uint32(len(data))
			}
			return func(d string) { say(me, terminal, &up, &down, d) }, func(d string) { say(terminal, me, &down, &up, d) },
				func() { put(terminal, me, flagRST|flagACK, down, up, "") }
		}
		sale := "\x06\x01\x07\x04\x00\x00\x00\x00\x01\x90"
		register, answer, hangUp := talk(40001)
		register(sale)
		answer("\x84\x9C\x00")
		register(sale)
		answer("\x80\x00\x00")
		answer("\x04\x0F\x11\x27\xE2\x22\xF0\xF8\x62\x22\x02\x00\x00\x00\x00\x03\x0B\x00\x01\x23")
		register("\x80\x00\x00")
		answer("\x06\x0F\x00")
		register("\x06\x22\x07\x04\x00\x00\x00\x00\x01\x90")
		answer("\x80\x00\x00")
		answer("\x04\x0F\x02\x27\x00")
		answer("\x06\x0F")
		hangUp() // within the completion
		register, answer, _ = talk(40002)
		register(sale)
		answer("\x06\x1E\x01\x6C")
		var got []string
		for _, m := range s.marks {
			got = append(got, fmt.Sprint(m.Phase, m.Result))
		}
		var codes []string
		for _, c := range s.all() {
			codes = append(codes, c.Code)
		}
		if a, b := strings.Join(got, " "), strings.Join(codes, " "); a != "start start start endapproved start" || b != "zvt:0x9C zvt:0xE2 zvt:0x6C" {
			t.Fatalf("seed %d: marks %s, codes %s", seed, a, b)
		}
		s.clean(t)
	}
}

var _ source.Sink = (*fakeSink)(nil)
