package capture

import (
	"strings"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/drivers/ecr"
)

const (
	// sameTrace is how long after its request a code with the same trace number belongs to it: past every receive timer,
	// and before the number comes round again.
	sameTrace = 3 * time.Minute
	// justNow is how long after it failed a code without a trace number belongs to an exchange.
	justNow = 5 * time.Second
	// noAnswer is how old a request must be before it may be said that it has no answer: the packet may be on its way
	// through this process.
	noAnswer = time.Second
)

// fill adds to a code that was seen by another source what the network shows of its sale. It never changes what the
// code came with, and never concludes that a request was not sent: it may have been sent to a host that is not watched.
func (t *tracker) fill(s *source.Seen, now time.Time) {
	switch s.Channel {
	case report.ChannelHook, report.ChannelLog, report.ChannelECR:
	default:
		return // a person asks about a code, and not about the last sale
	}
	if s.Late {
		return
	}
	var x report.Txn
	if s.Txn != nil {
		x = *s.Txn
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.belongs(s, x, now)
	if e == nil {
		return
	}
	w := e.txn()
	if e.answer.IsZero() && !e.unsure && s.Origin != report.OriginHost && now.Sub(e.sent) >= noAnswer {
		w.HostAnswerSeen = yes(false)
	}
	if x.ConnectMS == nil {
		x.ConnectMS = w.ConnectMS
	}
	if x.ResponseMS == nil {
		x.ResponseMS = w.ResponseMS
	}
	if x.Sent == nil {
		x.Sent = w.Sent
	}
	if x.HostAnswerSeen == nil {
		x.HostAnswerSeen = w.HostAnswerSeen
	}
	s.Txn = &x
	if s.Card == (ecr.Card{}) {
		s.Card = e.card
	}
}

// belongs finds the exchange that a code belongs to: by the trace number, or, where there is none to compare, the last
// exchange if it has just failed. The caller holds the lock.
func (t *tracker) belongs(s *source.Seen, x report.Txn, now time.Time) *exchange {
	for i := len(t.recent) - 1; i >= 0 && x.STAN != ""; i-- {
		e := t.recent[i]
		if e.clear && trace(e.stan) == trace(x.STAN) && now.Sub(e.sent) < sameTrace &&
			(e.terminal == "" || x.TerminalID == "" || e.terminal == x.TerminalID) && sameClass(x.MTI, e.mti) {
			return e
		}
	}
	if len(t.recent) == 0 {
		return nil
	}
	e := t.recent[len(t.recent)-1]
	fits := false
	switch {
	case e.unsure, e.clear && x.STAN != "":
	case s.Origin == report.OriginHost:
		fits = !e.clear && !e.answer.IsZero() && now.Sub(e.answer) < justNow
	case !e.answer.IsZero():
	case e.end.IsZero():
		fits = now.Sub(e.sent) < sameTrace
	default:
		fits = now.Sub(e.end) < justNow
	}
	if !fits {
		return nil
	}
	return e
}

// sameClass reports whether a code, whose message type may not be known, can belong to a request with this one. A sale
// and its reversal have the same trace number; a code that is not known to be the reversal's is taken for the sale's.
func sameClass(code, request string) bool {
	if len(code) != 4 {
		return request[1] != '4'
	}
	return code[1] == request[1]
}

// trace returns a trace number without its zeroes at the front, of which every log has its own number.
func trace(stan string) string { return strings.TrimLeft(stan, "0") }
