package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"

	"posdx/drivers/frame"
	"posdx/drivers/pinpad"
)

// PINPadState is the state of a simulated PIN pad and its faults; all may change while it runs.
type PINPadState struct {
	Keys [pinpad.KeyKinds]string // '0' '1' '2' for each of its hundred places

	Silent   bool
	Old      bool    // knows GIN only, as pads did before protocol 2.00
	Secure   bool    // the payment application holds a secure session
	Broken   bool    // internal error
	Cut      bool    // breaks off in the middle of every answer
	BadCRC   float64 // how many of its answers carry a wrong check sum, 0 to 1
	NAK      float64 // how many commands it cannot read
	Leftover bool    // sends first what another program had asked for: a card's tracks
}

// A PINPad speaks ABECS 2.20. Its methods may be called from any goroutine.
type PINPad struct {
	mu    sync.Mutex
	rand  *rand.Rand
	state PINPadState
	last  []byte // its last answer, for a NAK
	asked map[string]uint64
}

// NewPINPad makes a healthy pad with a DUKPT key for PINs in place 1. The seed decides which frames fail.
func NewPINPad(seed uint64) *PINPad {
	none := strings.Repeat("0", 32) + strings.Repeat("2", 68)
	return &PINPad{
		rand: rand.New(rand.NewPCG(seed, 4)), asked: map[string]uint64{},
		state: PINPadState{Keys: [pinpad.KeyKinds]string{none, none, "01" + none[2:], none}},
	}
}

// Change changes the state of a pad.
func (p *PINPad) Change(f func(*PINPadState)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.state)
}

// Asked is how often each command has come, CAN included: tests that a probe disturbs nothing look here.
func (p *PINPad) Asked() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.asked)
}

// Serve answers commands until the line or the context ends.
func (p *PINPad) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	var dec frame.ABECSDecoder
	return serve(ctx, rw, func(c byte) []byte { return p.byte(c, &dec) })
}

func (p *PINPad) byte(c byte, dec *frame.ABECSDecoder) []byte {
	const can, ack, nak, eot = 0x18, 0x06, 0x15, 0x04
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Silent {
		return nil
	}
	if c == can && !dec.Pending() {
		p.asked["CAN"]++
		return []byte{eot}
	}
	token, m, ok := dec.Push(c)
	if !ok {
		return nil
	}
	switch token {
	case frame.ABECSNak:
		return p.damage(p.last)
	case frame.ABECSDamaged, frame.ABECSNoise:
		return []byte{nak}
	case frame.ABECSMessage:
	default:
		return nil
	}
	if len(m) < 3 || p.rand.Float64() < p.state.NAK {
		return []byte{nak}
	}
	p.asked[string(m[:3])]++
	p.last = frame.ABECSFrame(nil, p.answer(m))
	out := []byte{ack}
	if p.state.Leftover {
		out = frame.ABECSFrame(out, []byte("GCR000045000000000000;4111111111111111=25121010000000?"))
	}
	out = append(out, p.damage(p.last)...)
	if p.state.Cut {
		out = out[:len(out)/2]
	}
	return out
}

func (p *PINPad) damage(frame []byte) []byte {
	out := append([]byte(nil), frame...)
	if len(out) > 0 && p.rand.Float64() < p.state.BadCRC {
		out[len(out)-1] ^= 0x01
	}
	return out
}

// answer is what the pad says to a command.
func (p *PINPad) answer(m []byte) []byte {
	name := string(m[:3])
	switch {
	case p.state.Broken:
		return []byte(name + pinpad.Internal)
	case p.state.Secure:
		return []byte(name + pinpad.Secure)
	case name == "GIN" && len(m) >= 8 && string(m[6:8]) == "00":
		return fmt.Appendf(nil, "GIN000100%-20s%-19s%s%-20s%-4s%-16s%-20s", "POSDX", "SIM 20;8MB", "C", "SO:3.45", "2.20", "002.15 140723", "01927612")
	case name == "GIX" && !p.state.Old:
		var block []byte
		put := func(id uint16, v string) {
			block = binary.BigEndian.AppendUint16(block, id)
			block = binary.BigEndian.AppendUint16(block, uint16(len(v)))
			block = append(block, v...)
		}
		put(0x8001, "01927612") // a serial number nobody asked for
		put(0x8003, "SIM 20;8MB")
		put(0x8004, "POSDX")
		put(0x8006, "SO:3.45")
		put(0x8007, "2.20")
		for i, id := range []uint16{0x8032, 0x8033, 0x8035, 0x8036} {
			put(id, p.state.Keys[i])
		}
		return append(fmt.Appendf(nil, "GIX000%03d", len(block)), block...)
	}
	return []byte("ERR" + pinpad.Unknown)
}
