package registerlink

import (
	"posdx/agent/internal/source"
)

// A LAN decodes what register and terminal send each other on a network, in both directions. It implements
// capture.LANEar; its methods belong to one goroutine.
type LAN struct {
	link *Link
	ears [2]*ear
}

// ListenLAN makes the LAN of a link whose bytes somebody else captures. where is the terminal's address, for the log.
func (e *Link) ListenLAN(where string, to source.Sink) *LAN {
	l := &LAN{link: e, ears: [2]*ear{e.ear(0, to), e.ear(1, to)}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = []Line{{Port: where + " terminal", Open: true}, {Port: where + " register", Open: true}}
	return l
}

func (l *LAN) side(terminal bool) *ear {
	if terminal {
		return l.ears[0]
	}
	return l.ears[1]
}

// Heard takes what one side sent, in order, and zeroes it.
func (l *LAN) Heard(terminal bool, data []byte) {
	x := l.side(terminal)
	n := len(data)
	x.hear(data)
	x.decoder.Push(data, x.found)
	x.offer()
	x.note(true, n)
}

// Lost tells that some of what one side sent was not captured, or that a connection begins.
func (l *LAN) Lost(terminal bool) { l.side(terminal).decoder.Skip() }

// Offer passes on what a full sink did not take; it is true while there is more.
func (l *LAN) Offer() (waiting bool) {
	for _, x := range l.ears {
		x.offer()
		waiting = waiting || len(x.waiting) > 0
	}
	return waiting
}
