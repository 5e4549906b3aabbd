package sim

import (
	"context"
	"io"
	"maps"
	"sync"

	check "posdx/drivers/frame"
	"posdx/drivers/reader"
)

// CRTState is the state of a simulated motor reader and its faults.
type CRTState struct {
	Card          bool
	Fault         byte   // of a CRT-310: 05 supply, 06 abnormal card, 07 main supply gone; 0 for none
	Code          string // of a CRT-591: its error code; "" for none
	Silent        bool
	NAK           bool
	Damaged       bool // every answer's check sum is wrong
	Cut           bool // breaks off in the middle of every answer
	CardDataFirst bool // sends first what another program had asked for: a card's tracks
}

// A CRTReader is a motor reader made by Creator: a CRT-310, which carries a command out only when ENQ follows, or a
// CRT-591. Its methods may be called from any goroutine.
type CRTReader struct {
	kind  reader.CRTKind
	mu    sync.Mutex
	state CRTState
	asked map[string]int
}

// NewCRTReader makes a healthy reader without a card.
func NewCRTReader(kind reader.CRTKind) *CRTReader {
	return &CRTReader{kind: kind, asked: map[string]int{}}
}

// Change changes the state of a reader.
func (r *CRTReader) Change(f func(*CRTState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.state)
}

// Asked is how often each command and parameter has been carried out: tests that no card is moved look here.
func (r *CRTReader) Asked() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.asked)
}

// Serve answers commands until the line or the context ends.
func (r *CRTReader) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	dec := crtEars{kind: r.kind}
	var waiting []byte
	return serve(ctx, rw, func(c byte) (out []byte) {
		switch body, enq := dec.push(c); {
		case body != nil:
			out, waiting = r.take(body)
		case enq && waiting != nil:
			out, waiting = r.answer(waiting), nil
		}
		return out
	})
}

// crtEars hear every command, also those that the driver's decoder would not keep.
type crtEars struct {
	kind reader.CRTKind
	buf  []byte
}

func (e *crtEars) push(c byte) (body []byte, enq bool) {
	head, first := 3, byte(0x02)
	if e.kind == reader.CRT591 {
		head, first = 4, 0xF2
	}
	if len(e.buf) == 0 && c != first {
		return nil, c == 0x05
	}
	e.buf = append(e.buf, c)
	if len(e.buf) < head {
		return nil, false
	}
	size := int(e.buf[head-2])<<8 | int(e.buf[head-1])
	if len(e.buf) < head+size+2 && size < 512 {
		return nil, false
	}
	frame := e.buf
	e.buf = nil
	if check.XOR(0, frame) != 0 || size < 2 || size >= 512 {
		return nil, false
	}
	return frame[head : head+size], false
}

// take acknowledges a command, and answers it where no ENQ is needed.
func (r *CRTReader) take(body []byte) (out, waiting []byte) {
	r.mu.Lock()
	silent, nak := r.state.Silent, r.state.NAK
	r.mu.Unlock()
	switch {
	case silent:
		return nil, nil
	case nak:
		return []byte{0x15}, nil
	case r.kind == reader.CRT310:
		return []byte{0x06}, body
	}
	return append([]byte{0x06}, r.answer(body)...), nil
}

func (r *CRTReader) answer(body []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	var b, before []byte
	if r.kind == reader.CRT310 {
		r.asked[string(body[:2])]++
		card := byte(0x4E)
		if s.Card {
			card = 0x4A
		}
		b = []byte{body[0], body[1], card, 0x49, 0x4A}
		if s.Fault != 0 {
			b = []byte{'N', body[0], s.Fault}
		}
		before = []byte("\x45\x30Y4111111111111111=25121010000000")
	} else {
		r.asked[string(body[1:3])]++
		card := byte('0')
		if s.Card {
			card = '2'
		}
		b = []byte{'P', body[1], body[2], card, '2', '0'}
		if body[1] == 0xA4 {
			b = append(b, "CRT-591-M001 V1.02"...)
		}
		if s.Code != "" {
			b = append([]byte{'N', body[1], body[2]}, s.Code...)
		}
		before = []byte("P\x60\x304111111111111111=25121010000000")
	}
	var out []byte
	if s.CardDataFirst {
		out = reader.CRTFrame(out, r.kind, 0, before)
	}
	out = reader.CRTFrame(out, r.kind, 0, b)
	if s.Damaged {
		out[len(out)-1] ^= 1
	}
	if s.Cut {
		out = out[:len(out)/2]
	}
	return out
}
