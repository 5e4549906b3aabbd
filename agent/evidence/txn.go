package evidence

import (
	"posdx/agent/report"
)

// Limits of a transaction: connecting as net.tcp's, an answer late against this host's own median here, and against the
// usual receive timer of 30 to 60 s where no median is known.
const (
	connectSlowMS, connectStuckMS = 1000, 4500
	connectQuickMS                = 400
	slower, muchSlower            = 2, 6 // times the median
	waitMS, longWaitMS            = 500, 3000
	lateMS, veryLateMS            = 8000, 15000
)

func no(b *bool) bool  { return b != nil && !*b }
func yes(b *bool) bool { return b != nil && *b }

// transaction adds the findings about how far this transaction came.
func (r *Reading) transaction() {
	s := &r.sale
	it := r.First(TxnAnswer)
	facts := report.Facts{}
	if it != nil {
		for k, v := range it.Facts {
			facts[k] = v
		}
	}
	if s.ConnectMS != nil {
		facts[string(ConnectMS)] = *s.ConnectMS
	}
	if s.ResponseMS != nil {
		facts[string(ResponseMS)] = *s.ResponseMS
	}
	say := func(name string, strength float64) { r.put(name, it, facts, strength) }
	switch {
	case s.Answered:
		say("answer.seen", 1)
	case s.Clash:
	case no(s.Sent):
		// A chip can refuse or approve by itself; a host that was never asked can do neither.
		card := s.Topic == "card-refused" || s.Topic == "card-blocked" || s.Topic == "success"
		say(Choose(card && s.Event.Origin == report.OriginTerminal, "not.sent-card", "not.sent"), 1)
	case yes(s.Sent) && no(s.Answer):
		say("sent.silent", 1)
	case no(s.Answer):
		say("no.answer", 1)
	}
	if !s.Answered && s.ConnectMS != nil {
		say("connect.made", 1)
		say("connect.unused", Choose(no(s.Sent) && !s.Clash, 1.0, 0))
		say("connect.slow", Ramp(*s.ConnectMS, connectSlowMS, connectStuckMS))
		say("connect.quick", Ramp(*s.ConnectMS, connectSlowMS, connectQuickMS))
	}
	if s.ResponseMS != nil && *s.ResponseMS > 0 {
		own := 1.0 // how far the wait was the host's own: one that says that several banks do not answer has waited for them
		if h := r.First(TxnHistory); h != nil && (s.Topic == "issuer-down" || s.Topic == "issuer-late") {
			issuers, _ := h.num(IssuersSameCode1h)
			own = Ramp(issuers, 4, 2)
		}
		late, usual := Ramp(*s.ResponseMS, lateMS, veryLateMS), 0.0
		if it != nil {
			usual, _ = it.num(NormalResponseMS)
		}
		if usual > 0 {
			times := *s.ResponseMS / usual
			slow := Ramp(times, slower, muchSlower) * Ramp(*s.ResponseMS-usual, waitMS, longWaitMS)
			say("answer.slow", slow*own)
			normal := Ramp(times, muchSlower/2, slower)
			say("answer.normal", normal)
			late *= 1 - max(slow, normal)
		}
		say("answer.late", late*own)
	}
	r.entry(say)
}

// entry adds the findings about how the card was read and what kind of message it was for.
func (r *Reading) entry(say func(string, float64)) {
	s := &r.sale
	switch s.Entry {
	case "manual":
		say("entry.manual", 1)
	case "chip", "contactless":
		say("entry.not-manual", 1)
	case "stripe":
		say("entry.not-manual", 1)
		say("entry.stripe", 1)
	case "code":
		say("entry.not-manual", 1)
		say("entry.qr", 1)
	}
	if s.MTI.Network() {
		say("signin.message", 1)
	}
	if s.MTI != "" && s.Entry != "" && s.Entry != "code" && !s.MTI.Network() &&
		(yes(s.Sent) || s.ConnectMS != nil) {
		say("entry.read", 1)
	}
}
