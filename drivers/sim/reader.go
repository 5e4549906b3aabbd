package sim

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posdx/drivers/reader"
)

// A ReaderModel is a make of CCID reader on a serial line.
type ReaderModel struct {
	Name     string // what libccid calls it
	Firmware string // what it answers to the Escape that asks for it
	Ask      byte   // that Escape
	Echo     bool   // sends every command back first
	Wakes    int    // the baud rate it starts with and is switched up from; 0 for one that any rate will do
}

// The makes that libccid's serial driver knows.
func GemPCTwin() ReaderModel { return ReaderModel{"GemPCTwin", "GemTwin-V2.00-GC", 0x02, true, 0} }
func GemCorePOSPro() ReaderModel {
	return ReaderModel{"GemCorePOSPro", "GemCore-R1.20-GP", 0x02, false, 0}
}
func GemCoreSIMPro() ReaderModel {
	return ReaderModel{"GemCoreSIMPro", "GemCore-R1.00-GS", 0x02, false, 0}
}
func GemCoreSIMPro2() ReaderModel {
	return ReaderModel{"GemCoreSIMPro2", "GemCore-R2.00-GS", 0x02, false, 9600}
}
func SEC1210() ReaderModel { return ReaderModel{"SEC1210", "SEC1210-V1.05", 0x06, false, 0} }

// ReaderState is the state of a simulated reader and its faults; all may change while it runs.
type ReaderState struct {
	Card bool // a card is in the slot

	Silent   bool    // power or cable gone on the far side: receives and sends nothing
	Babble   bool    // never stops sending
	Mute     bool    // the card in the slot does not answer
	Hardware bool    // its self-test fails
	BadCRC   float64 // how many of its answers carry a wrong check sum, 0 to 1
	NAK      float64 // how many commands it cannot read
	DropEcho float64 // how many commands it forgets to echo
	Dirty    float64 // how many cards it cannot read: a dirty or worn head
}

// A Reader is a CCID reader on a serial line. Its methods may be called from any goroutine.
type Reader struct {
	model ReaderModel

	mu     sync.Mutex
	rand   *rand.Rand
	state  ReaderState
	baud   int             // where that matters
	power  bool            // the card's
	notify bool            // card moves are reported
	out    io.Writer       // of the running Serve, nil between
	asked  map[byte]uint64 // commands by type
}

// NewReader makes a reader without a card. The seed decides which cards a dirty head misses and which frames fail.
func NewReader(model ReaderModel, seed uint64) *Reader {
	return &Reader{model: model, rand: rand.New(rand.NewPCG(seed, 2)), asked: map[byte]uint64{}}
}

// Change changes the state of a reader.
func (r *Reader) Change(f func(*ReaderState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.state)
}

// Asked is how many commands of a type have come: tests that a probe never powers a card look here.
func (r *Reader) Asked(command byte) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[command]
}

// Insert puts a card in, as a customer does, and says whether the payment application could read it.
func (r *Reader) Insert() (read bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Card = true
	r.moved(reader.CardPresent)
	return !r.state.Mute && !r.state.Silent && !r.state.Hardware && r.rand.Float64() >= r.state.Dirty
}

// Remove takes the card out.
func (r *Reader) Remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Card, r.power = false, false
	r.moved(reader.CardAbsent)
}

func (r *Reader) moved(notice string) {
	if r.notify && r.out != nil && !r.state.Silent {
		io.WriteString(r.out, notice)
	}
}

// Serve answers commands until the line or the context ends.
func (r *Reader) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	defer context.AfterFunc(ctx, func() { rw.Close() })() // frees what babbles too
	r.mu.Lock()
	r.out, r.notify, r.power, r.baud = rw, false, false, r.model.Wakes // a reader that was unplugged has forgotten
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.out = nil
	}()
	babbling, quiet := make(chan struct{}), make(chan struct{})
	go func() { defer close(babbling); r.babble(rw, quiet) }()
	defer func() { close(quiet); <-babbling }()

	var ears ccidEars
	return listen(ctx, rw, func(in []byte) error {
		if r.deaf(rw) {
			return nil
		}
		var err error
		if out := r.hear(&ears, in); len(out) > 0 {
			_, err = rw.Write(out)
		}
		return err
	})
}

// deaf reports whether the line runs at a rate that is not the reader's. A pty keeps the rate that was set on it and
// shows it at both ends.
func (r *Reader) deaf(rw io.ReadWriteCloser) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.baud == 0 {
		return false
	}
	line, ok := rw.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := line.SyscallConn()
	if err != nil {
		return false
	}
	deaf := false
	_ = raw.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS2)
		deaf = err == nil && int(t.Ospeed) != r.baud
	})
	return deaf
}

// ccidEars hear frames and keep them as they came, for the echo: the driver's decoder drops what may be a card's.
type ccidEars struct {
	dec reader.Decoder
	raw []byte
}

// hear is what the reader says to bytes.
func (r *Reader) hear(e *ccidEars, in []byte) (out []byte) {
	for _, c := range in {
		e.raw = append(e.raw, c)
		if token, m, ok := e.dec.Push(c); ok {
			out = append(out, r.take(token, m, e.raw)...)
			e.raw = e.raw[:0]
		}
	}
	return out
}

// babble sends rubbish while the state says so, as a reader with a broken oscillator does.
func (r *Reader) babble(w io.Writer, quiet <-chan struct{}) {
	b := make([]byte, 64)
	for {
		select {
		case <-quiet:
			return
		case <-time.After(lookAgain):
		}
		r.mu.Lock()
		on := r.state.Babble
		for i := range b {
			if on {
				b[i] = byte(r.rand.UintN(256))
			}
		}
		r.mu.Unlock()
		if on {
			w.Write(b)
		}
	}
}

// take answers one thing heard.
func (r *Reader) take(token reader.Token, m reader.Message, raw []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Silent {
		return nil
	}
	switch token {
	case reader.TokenCRC:
		return []byte(reader.NAKFrame)
	case reader.TokenMessage:
	default:
		return nil
	}
	r.asked[m.Type]++
	if r.rand.Float64() < r.state.NAK {
		return []byte(reader.NAKFrame)
	}
	var out []byte
	if r.model.Echo && r.rand.Float64() >= r.state.DropEcho {
		out = append(out, raw...)
	}
	out = reader.Frame(out, r.answer(m))
	if r.rand.Float64() < r.state.BadCRC {
		out[len(out)-1] ^= 0x01
	}
	return out
}

// answer is what the reader says to a command, after USB CCID rev 1.1.
func (r *Reader) answer(m reader.Message) reader.Message {
	const (
		active, inactive, absent = 0, 1, 2
		failed                   = 0x40
	)
	a := reader.Message{Type: reader.SlotStatus, Slot: m.Slot, Seq: m.Seq}
	switch {
	case !r.state.Card:
		a.Param[0] = absent
	case !r.power:
		a.Param[0] = inactive
	}
	fail := func(code byte) { a.Param[0] |= failed; a.Param[1] = code }
	switch m.Type {
	case reader.GetSlotStatus:
		switch {
		case r.state.Hardware:
			fail(reader.ErrorHardware)
		case r.state.Card && r.state.Mute:
			fail(reader.ErrorMute)
		}
	case reader.Escape:
		a.Type = reader.EscapeAnswer
		switch {
		case len(m.Data) == 1 && m.Data[0] == r.model.Ask:
			a.Data = []byte(r.model.Firmware)
		case len(m.Data) == 3 && m.Data[0] == 0x01 && m.Data[1] == 0x01:
			r.notify = m.Data[2] == 0x01
		case string(m.Data) == "\x01\x10\x20" && r.model.Wakes > 0:
			r.baud = 115200 // from the next command on
		}
	case reader.PowerOn:
		a.Type = reader.DataBlock
		switch {
		case !r.state.Card || r.state.Mute:
			fail(reader.ErrorMute)
		default:
			r.power, a.Param[0] = true, active
			a.Data = []byte{0x3B, 0x02, 0x00, 0x01} // the shortest answer to reset with two historical bytes
		}
	case reader.PowerOff:
		if r.power {
			a.Param[0] = inactive
		}
		r.power = false
	case reader.Transfer:
		a.Type = reader.DataBlock
		switch {
		case !r.power:
			fail(reader.ErrorMute)
		default:
			a.Data = []byte{0x90, 0x00} // whatever is asked, the card agrees
		}
	case 0x61: // SetParameters, answered with those of T=0
		a.Type, a.Data = 0x82, []byte{0x11, 0x00, 0x00, 0x0A, 0x00}
	default:
		fail(0) // command not supported
	}
	return a
}
