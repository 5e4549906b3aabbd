package diagnose

import (
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// txnFacts is what is known of the transaction. A nil pointer is not known.
type txnFacts struct {
	mti                   codes.MTI
	entry                 string
	sent, answer          *bool
	clash                 bool // two witnesses contradict each other about what was sent or answered
	old                   bool // the check that should know is of an earlier transaction
	connectMS, responseMS *float64
}

// readTxn joins what the event and the check txn.answer say of the transaction. Where they contradict each other,
// clash is set and the money counts as unknown.
func readTxn(ev *report.Event, r *evidence.Reading) txnFacts {
	var t txnFacts
	if x := ev.Txn; x != nil {
		t.mti, t.entry = codes.MTI(x.MTI), x.Entry
		t.sent, t.answer = x.Sent, x.HostAnswerSeen
		t.connectMS, t.responseMS = float(x.ConnectMS), float(x.ResponseMS)
	}
	list := r.All(evidence.TxnAnswer)
	for i := range list {
		it := &list[i]
		if before(it, ev.Time) {
			t.old = true
			continue
		}
		t.sent = t.join(t.sent, it, evidence.Sent)
		t.answer = t.join(t.answer, it, evidence.HostAnswerSeen)
		if c, ok := it.Num(evidence.ConnectMS); ok && t.connectMS == nil {
			t.connectMS = &c
		}
		if a, ok := it.Num(evidence.ResponseMS); ok && t.responseMS == nil {
			t.responseMS = &a
		}
	}
	if no(t.sent) && (yes(t.answer) || t.responseMS != nil && *t.responseMS > 0) {
		t.clash = true // nothing is answered, nor its answer timed, that was not sent
	}
	return t
}

// before tells whether a check ended before an event, by its own time, or has outlived its freshness and so cannot be
// a consequence of the event.
func before(it *evidence.Item, event time.Time) bool {
	dated := !it.At.IsZero() && !event.IsZero()
	return dated && it.At.Before(event.Add(-evidence.ClockStep)) || it.Fresh < 1
}

func (t *txnFacts) join(known *bool, it *evidence.Item, f evidence.Fact[bool]) *bool {
	v, ok := it.Known(f)
	if !ok {
		return known
	}
	if known != nil && *known != v {
		t.clash = true
	}
	if known == nil {
		return &v
	}
	return known
}

func float(v *int64) *float64 {
	if v == nil {
		return nil
	}
	f := float64(*v)
	return &f
}

func yes(b *bool) bool { return b != nil && *b }
func no(b *bool) bool  { return b != nil && !*b }

// answered tells whether a host really answered, so that the way to it worked a moment ago. A code said to come from
// the host although no answer was seen was made up on this side.
func (t *txnFacts) answered(origin report.Origin) bool {
	if t.clash {
		return false
	}
	if t.answer != nil {
		return *t.answer
	}
	return origin == report.OriginHost && !no(t.sent)
}

// resolve finds what the code means where it was written, the topic it is about, and how far that can be trusted, 0 to
// 1.
func resolve(ev *report.Event, t *txnFacts, p codes.Profile, k *codes.Knowledge) (res codes.Resolution, topic string,
	trust float64) {
	origin, scheme := string(ev.Origin), ev.Scheme
	answered := t.answered(ev.Origin)
	// A reversal request carries the terminal's own reason in field 39; the answer to one carries the host's verdict.
	ownReason := t.mti.OwnReason() && (ev.Origin == report.OriginTerminal || ev.Origin == report.OriginUnknown) &&
		len(ev.Code) <= 2
	switch {
	case ownReason:
		scheme, origin = codes.SchemeReversal, string(report.OriginTerminal)
	case ev.Origin == report.OriginTerminal && answered && t.mti.Response() && len(ev.Code) <= 2:
		origin = string(report.OriginHost) // the terminal shows what the host answered
	}
	res = k.Resolve(p, scheme, ev.Code, origin)
	if res.Meaning.Pattern && !res.Usable {
		res = inside(res, ev.Code, p, k, origin)
	}
	if !res.Known && ownReason {
		res = k.Resolve(p, ev.Scheme, ev.Code, string(report.OriginTerminal))
		res.Usable = false
	}
	own := res.Own()
	if !res.Known {
		switch {
		case answered && origin == string(report.OriginHost):
			return res, "host-any", 1
		case spoken(ev, k) != "":
			return res, spoken(ev, k), spokenTrust
		case origin == string(report.OriginTerminal):
			return res, "local-any", 1
		}
		return res, "any", 1
	}
	topic = k.Inference.Topic(res.Meaning)
	if topic == "any" && answered && origin == string(report.OriginHost) {
		topic = "host-any"
	}
	switch {
	case own:
		trust = 1
		if ev.Origin == report.OriginCashier || ev.Origin == report.OriginHost {
			trust = 0.6
		}
	case origin == string(report.OriginHost) && answered:
		trust = 1
	case origin == string(report.OriginHost):
		trust = 0.3 // made up on this side, though it is called the host's
	case origin == string(report.OriginTerminal):
		trust = evidence.Choose(answered, 0.8, 0.15)
	case origin == string(report.OriginCashier):
		trust = evidence.Choose(answered, 0.6, evidence.Choose(t.answer == nil && t.sent == nil, 0.25, 0.08))
	default:
		if trust = evidence.Choose(no(t.answer), 0.15, 0.5); answered {
			trust = evidence.Choose(t.mti.Response(), 0.95, 0.85)
		}
	}
	if !res.Usable && !own && (origin == string(report.OriginHost) || res.Rows > 1) {
		// The four-character codes are pooled from many acquirers. Where every source that has this one agrees whose fault it
		// is, and the host itself speaks, that is far better than nothing.
		agreed := ev.Scheme == codes.SchemeAcquirer && answered && res.Meaning.Domain != "unknown"
		trust *= evidence.Choose(agreed, 0.85, 0.35)
	} else if res.Meaning.Disputed {
		trust *= 0.9
	}
	if prior, ok := k.Inference.Prior(topic); ok && prior.Settled && !own && no(t.sent) {
		trust = 0.05 // a verdict of a host that was never asked
	}
	return res, topic, trust
}

// spokenTrust is how far the own words of an error that no table has are believed.
const spokenTrust = 0.5

// spoken returns what an error that no table has is about by its own words, where the terminal or the cash register
// wrote it.
func spoken(ev *report.Event, k *codes.Knowledge) string {
	if ev.Origin != report.OriginTerminal && ev.Origin != report.OriginCashier {
		return ""
	}
	return k.Inference.SpokenTopic(ev.Code)
}

// inside reads the last two characters of a longer code, in which its table says that a host's code stands, where no
// rule of the profile does so.
func inside(res codes.Resolution, code string, p codes.Profile, k *codes.Knowledge, origin string) codes.Resolution {
	in := k.Resolve(p, p.Base, code[max(0, len(code)-2):], origin)
	if !in.Known || in.Scheme == codes.SchemeLocal { // the two are a host's; a terminal's own 60 is another code
		return res
	}
	in.Decoded, in.Usable, in.Searched = in.Meaning.Code, false, append(res.Searched, in.Searched...)
	return in
}
