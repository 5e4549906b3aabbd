package sim

import (
	"context"
	"io"
	"sync"
)

// PrinterState is the state of a simulated receipt printer and its faults; all may change while it runs.
type PrinterState struct {
	CoverOpen, PaperOut, PaperLow, Cutter, Hot, Broken bool

	Silent   bool // switched off
	Simple   bool // answers DLE EOT 1 only, as cheap ones do
	Unasked  bool // sends its status by itself before every answer (GS a)
	Rubbish  bool // answers with what is no status
	Behind   int  // answers with the status of so many questions before
	Mistuned bool // its baud rate is another: every bit comes as noise
}

// A Printer answers the status part of ESC/POS and ignores what is to be printed. Its methods may be called from any
// goroutine.
type Printer struct {
	mu    sync.Mutex
	state PrinterState
	asked uint64
	other uint64
	queue []byte // answers that are behind
}

// NewPrinter makes a printer with paper.
func NewPrinter() *Printer { return &Printer{} }

// Change changes the state of a printer.
func (p *Printer) Change(f func(*PrinterState)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.state)
}

// Asked is how many status questions have come, and how many other bytes, which a real printer would have printed or
// obeyed.
func (p *Printer) Asked() (questions, other uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.other
}

// Serve answers until the line or the context ends.
func (p *Printer) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	var begun []byte
	return serve(ctx, rw, func(c byte) (out []byte) {
		begun = append(begun, c)
		switch {
		case len(begun) == 1 && c == 0x10, len(begun) == 2 && c == 0x04:
			return nil
		case len(begun) == 3:
			out = p.answer(c)
		default:
			p.mu.Lock()
			p.other += uint64(len(begun))
			p.mu.Unlock()
		}
		begun = begun[:0]
		return out
	})
}

// answer is the byte for DLE EOT n, with bits 1 and 4 set as they always are.
func (p *Printer) answer(n byte) (out []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	p.asked++
	bit := func(on bool, b byte) byte {
		if on {
			return b
		}
		return 0
	}
	failed := s.Cutter || s.Hot || s.Broken
	offline := s.CoverOpen || s.PaperOut || failed
	b := byte(0x12)
	switch n {
	case 1:
		b |= bit(offline, 0x08)
	case 2:
		b |= bit(s.CoverOpen, 0x04) | bit(s.PaperOut, 0x20) | bit(failed, 0x40)
	case 3:
		b |= bit(s.Cutter, 0x08) | bit(s.Broken, 0x20) | bit(s.Hot, 0x40)
	case 4:
		b |= bit(s.PaperLow || s.PaperOut, 0x0C) | bit(s.PaperOut, 0x60)
	default:
		return nil
	}
	switch {
	case s.Silent, s.Simple && n > 1:
		return nil
	case s.Mistuned:
		return []byte{0xFE, 0x80, 0xF8}
	case s.Rubbish:
		return []byte("no")
	case s.Unasked:
		out = []byte{0x10, 0x00, 0x00, 0x0F & bit(s.PaperLow, 0x03)}
	}
	if p.queue = append(p.queue, b); len(p.queue) <= s.Behind {
		return append(out, 0x12)
	}
	b, p.queue = p.queue[0], p.queue[1:]
	return append(out, b)
}
