package main

import (
	"sync"
	"time"

	"posdx/agent/internal/probe"
	"posdx/agent/internal/source"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
	"posdx/codes"
)

// A saleLock keeps every check away from devices and network from the start of a sale to its end. It is the only one to
// tell the runner of either, so that nobody but the sale's own sources can.
type saleLock struct {
	runner *probe.Runner

	mu    sync.Mutex
	since time.Time // of the sale that runs; zero for none
	stan  string    // its trace number, empty while it is not known
}

// mark takes in a step of a sale.
func (l *saleLock) mark(m source.TxnMark, now time.Time) {
	if m.Late {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch m.Phase {
	case source.PhaseStart:
		l.since, l.stan = now, m.Txn.STAN
		l.runner.SaleBegins(now)
	case source.PhaseEnd:
		l.end()
	default:
		if l.stan == "" && !l.since.IsZero() {
			l.stan = m.Txn.STAN
		}
	}
}

// code takes in that a code was seen: the sale that has its code is over. It is not over by a question of a person or
// the fleet, by what was written before it began, by another sale's trace number, by a sign-in, a settlement or a
// download in the background, and not by an approval on the wire: the card is still in the reader then.
func (l *saleLock) code(s source.Seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.since.IsZero(), s.Late, s.Channel.Asked():
		return
	case s.Channel == report.ChannelCapture && s.Code == "00":
		return
	case !s.Time.IsZero() && s.Time.Before(l.since.Add(-written)):
		return
	}
	if t := s.Txn; t != nil {
		mti := codes.MTI(t.MTI)
		if mti.Settlement() || mti.Management() {
			return
		}
		if !mti.Reversal() && triage.OtherTrace(t.STAN, l.stan) {
			return
		}
	}
	l.end()
}

// written is the precision of times in payment logs: one second.
const written = time.Second

func (l *saleLock) end() {
	l.since, l.stan = time.Time{}, ""
	l.runner.SaleEnds()
}
