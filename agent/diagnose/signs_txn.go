package diagnose

import (
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/codes"
)

// Limits of what counts as slow, in milliseconds, and of ages, in seconds.
const (
	slowConnectMS  = 1500
	lateAnswerMS   = 15000 // near the usual receive timer of 30 to 60 s
	slowerThanUsed = 4     // times the host's own median
	freshSignInS   = 900
	oldSignInS     = 86400 // terminals sign in once a day
)

// txnFacts is what is known of the transaction. A nil pointer is not known.
type txnFacts struct {
	mti, entry            string
	sent, answer          *bool
	clash                 bool // two witnesses contradict each other about what was sent or answered
	old                   bool // the check that should know is of an earlier transaction
	connectMS, responseMS *float64
}

// readTxn joins what the event and the check txn.answer say. They seldom differ; where they do, each open question is
// answered so that the money is not taken lightly.
func readTxn(ev *report.Event, v *view) txnFacts {
	var t txnFacts
	if x := ev.Txn; x != nil {
		t.mti, t.entry = x.MTI, x.Entry
		t.sent, t.answer = x.Sent, x.HostAnswerSeen
		t.connectMS, t.responseMS = float(x.ConnectMS), float(x.ResponseMS)
	}
	list := v.all("txn.answer")
	for i := range list {
		it := &list[i]
		if it.before(ev.Time) {
			t.old = true
			continue
		}
		t.sent = t.join(t.sent, it.Facts, "sent")
		t.answer = t.join(t.answer, it.Facts, "host_answer_seen")
		if c, ok := it.num("connect_ms"); ok && t.connectMS == nil {
			t.connectMS = &c
		}
		if a, ok := it.num("response_ms"); ok && t.responseMS == nil {
			t.responseMS = &a
		}
	}
	if t.answer != nil && *t.answer && t.sent != nil && !*t.sent {
		t.clash = true
	}
	return t
}

// clockStep is by how much two times of one transaction may differ though they are taken in order.
const clockStep = time.Second

// before tells whether a check ended before an event, by its own time, or is older than anything that was found out
// because of it.
func (it *item) before(event time.Time) bool {
	dated := !it.At.IsZero() && !event.IsZero()
	return dated && it.At.Before(event.Add(-clockStep)) || it.fresh < 1
}

func (t *txnFacts) join(known *bool, f report.Facts, name string) *bool {
	v, ok := f.Bool(name)
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

// isResponse tells whether a message of this type is an answer: its third digit is odd in every version of ISO 8583.
func isResponse(mti string) bool {
	return len(mti) == 4 && mti[2] >= '0' && mti[2] <= '9' && (mti[2]-'0')%2 == 1
}

// answered tells whether a host really answered: then the path to it worked a moment ago (the round-trip rule). A code
// that is said to come from the host although no answer was seen was made up on this side.
func (t *txnFacts) answered(origin report.Origin) bool {
	if t.clash {
		return false
	}
	if t.answer != nil {
		return *t.answer
	}
	return origin == report.OriginHost && !no(t.sent)
}

// transaction reads how far this transaction came.
func (r *reader) transaction() {
	t := &r.txn
	it := r.v.first("txn.answer")
	facts := report.Facts{}
	if it != nil {
		for k, v := range it.Facts {
			facts[k] = v
		}
	}
	if t.connectMS != nil {
		facts["connect_ms"] = *t.connectMS
	}
	if t.responseMS != nil {
		facts["response_ms"] = *t.responseMS
	}
	say := func(name string, strength float64) { r.put(name, it, facts, strength) }
	answered := t.answered(r.ev.Origin)
	switch {
	case answered:
		say("answer.seen", 1)
	case t.clash:
	case no(t.sent):
		// A chip can refuse or approve by itself; a host that was never asked can do neither.
		card := r.topic == "card-refused" || r.topic == "card-blocked" || r.topic == "success"
		say(pick(card && r.ev.Origin == report.OriginTerminal, "not.sent-card", "not.sent"), 1)
	case yes(t.sent) && no(t.answer):
		say("sent.silent", 1)
	case no(t.answer):
		say("no.answer", 1)
	}
	if !answered && t.connectMS != nil {
		say("connect.made", 1)
		if *t.connectMS >= slowConnectMS {
			say("connect.slow", ramp(*t.connectMS, slowConnectMS/2, 3*slowConnectMS))
		}
	}
	if t.responseMS != nil && *t.responseMS > 0 {
		normal, known := 0.0, false
		if it != nil {
			normal, known = it.num("normal_response_ms")
		}
		switch {
		case known && normal > 0 && *t.responseMS >= slowerThanUsed*normal && *t.responseMS-normal > 2000:
			say("answer.slow", ramp(*t.responseMS/normal, 2, 6))
		case known && normal > 0 && *t.responseMS <= 2*normal:
			say("answer.normal", 1)
		case *t.responseMS >= lateAnswerMS:
			say("answer.late", 1)
		}
	}
	switch t.entry {
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
	if len(t.mti) == 4 && t.mti[1] == '8' {
		say("signin.message", 1)
	}
	if t.mti != "" && t.entry != "" && t.entry != "code" && !strings.HasPrefix(t.mti, "08") && (yes(t.sent) || t.connectMS != nil) {
		say("entry.read", 1)
	}
}

// history reads how this code has come before, and on which cards.
func (r *reader) history() {
	it := r.v.first("txn.history")
	if it == nil {
		return
	}
	approvals, _ := it.num("approvals_1h")
	_, approvalsKnown := it.num("approvals_1h")
	same, _ := it.num("same_code_1h")
	cards, cardsKnown := it.num("cards_same_code_1h")
	issuers, issuersKnown := it.num("issuers_same_code_1h")
	firstSeen, firstKnown := it.num("first_seen_age_s")
	last, lastKnown := it.num("last_approval_age_s")

	answered := r.txn.answered(r.ev.Origin)
	// "First seen" counts from the last sale without this code. Approvals from before it say that it worked before, not that
	// it works for others: the longer nothing else came, the less one card stands out.
	since := firstKnown && lastKnown && last >= firstSeen
	contrast := 1.0
	if since {
		contrast = ramp(firstSeen, 1800, 300)
	}
	switch {
	case cardsKnown && cards >= 2:
		r.add(pick(answered, "hist.many-cards", "hist.many-cards-local"), it, ramp(cards, 0, 4))
	case cardsKnown && cards == 1 && approvals > 0:
		r.add("hist.one-card", it, ramp(approvals, -2, 4)*contrast)
	case !cardsKnown && same == 1 && approvals >= 3:
		r.add("hist.one-card", it, 0.5)
	}
	switch {
	case issuersKnown && issuers >= 2:
		r.add("hist.many-issuers", it, ramp(issuers, 0, 3))
	case issuersKnown && issuers == 1 && approvals > 0: // else it may be the only one that was tried
		r.add("hist.one-issuer", it, choose(same >= 2 || cards >= 2, 1, 0.6))
	}
	switch {
	case !approvalsKnown:
	case approvals == 0 && !lastKnown && same > 0:
		r.add("hist.never-approved", it, 1)
	case (approvals == 0 || since) && same >= 2 && answered:
		r.add("hist.all-fail", it, ramp(same, 0, 5)*choose(cardsKnown && cards == 1, 0.5, 1))
	case since:
	case lastKnown && same >= 2 && (firstKnown || last < 600 && approvals >= 2):
		r.add("hist.others-ok", it, 1)
	case lastKnown && last < 900 && approvals >= 3:
		r.add("hist.others-ok", it, 0.5)
	}
	if lastKnown {
		r.add("hist.worked-before", it, 1)
	}
	pin, noPIN, byPIN := pinCounts(it.Facts.Counts("approvals_by"))
	if byPIN && pin == 0 && noPIN >= 2 && (same >= 2 || cards >= 2) {
		r.add("hist.pin-only-fails", it, 1)
	}
	r.unread(it)
	r.sinceUpdate(it, approvals, same)
}

// pinCounts finds the approvals with and without a PIN.
func pinCounts(by map[string]float64) (pin, without float64, known bool) {
	for name, n := range by {
		if !strings.Contains(name, "pin") {
			continue
		}
		known = true
		if name == "pin" || strings.HasPrefix(name, "with_") || strings.HasPrefix(name, "with-") {
			pin += n
		} else {
			without += n
		}
	}
	return pin, without, known
}

// unread tells one bad card from a bad reader by how many distinct cards could not be read, and by which way.
func (r *reader) unread(it *item) {
	cards, _ := it.num("cards_1h")
	failed, known := it.num("cards_failed_1h")
	switch {
	case !known:
	case failed >= 3 && failed >= 0.25*cards:
		r.add("hist.many-unread", it, ramp(failed, 1, 5))
	case failed <= 2 && failed >= 1 && cards >= 5 && failed <= 0.25*cards:
		r.add("hist.few-unread", it, 1)
	}
	by := it.Facts.Counts("entry_failures")
	contact, air := by["chip"]+by["stripe"], by["contactless"]
	switch {
	case contact >= 4 && air == 0 && (failed >= 3 || !known):
		r.add("hist.mode-stripe-chip", it, 1)
		if by["chip"] == 0 || by["stripe"] == 0 {
			r.add("hist.entry-only", it, 1)
		}
	case by["chip"] >= 2 && air >= 2:
		r.add("hist.mode-all", it, 1)
	}
}

// sinceUpdate compares the last update with the approvals.
func (r *reader) sinceUpdate(h *item, approvals, same float64) {
	since, known := h.num("approvals_since_update")
	it := r.v.first("app.version")
	age, dated := 0.0, false
	if it != nil {
		age, dated = it.num("updated_age_s")
	}
	last, hadApproval := h.num("last_approval_age_s")
	first, firstKnown := h.num("first_seen_age_s")
	switch {
	case known && since > 0:
		r.put("hist.ok-since-update", h, h.Facts, ramp(since, 0, 3))
	case dated && age < 14*86400 && hadApproval && last >= age && approvals == 0 && (same >= 2 || known):
		if !firstKnown || first <= age+3600 {
			r.put("hist.after-update", h, h.Facts, h.fresh)
		}
	case dated && hadApproval && last < age && approvals >= 2:
		r.put("hist.ok-since-update", h, report.Facts{"approvals_since_update": approvals}, 0.6)
	}
}

// resolve finds what the code means to whoever wrote it, what that is about, and how far it can be trusted.
func resolve(ev *report.Event, t *txnFacts, p codes.Profile, k *codes.Knowledge) (res codes.Resolution, topic string, trust float64) {
	origin, scheme := string(ev.Origin), ev.Scheme
	answered := t.answered(ev.Origin)
	// A reversal request carries the terminal's own reason in field 39; the answer to one carries the host's verdict.
	ownReason := codes.IsReversal(t.mti) && (ev.Origin == report.OriginTerminal || ev.Origin == report.OriginUnknown) && len(ev.Code) <= 2
	switch {
	case ownReason:
		scheme, origin = codes.SchemeReversal, string(report.OriginTerminal)
	case ev.Origin == report.OriginTerminal && answered && isResponse(t.mti) && len(ev.Code) <= 2:
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
	own := res.Scheme == codes.SchemeLocal || res.Scheme == codes.SchemeReversal || res.Scheme == codes.SchemeCard
	if !res.Known {
		switch {
		case answered && origin == string(report.OriginHost):
			return res, "host-any", 1
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
		trust = choose(answered, 0.8, 0.15)
	case origin == string(report.OriginCashier):
		trust = choose(answered, 0.6, choose(t.answer == nil && t.sent == nil, 0.25, 0.08))
	default:
		trust = choose(answered, choose(isResponse(t.mti), 0.95, 0.85), choose(no(t.answer), 0.15, 0.5))
	}
	if !res.Usable && !own && (origin == string(report.OriginHost) || res.Rows > 1) {
		// The four-character codes are pooled from many acquirers. Where every source that has this one agrees whose fault it
		// is, and the host itself speaks, that is far better than nothing.
		agreed := ev.Scheme == codes.SchemeAcquirer && answered && res.Meaning.Domain != "unknown"
		trust *= choose(agreed, 0.85, 0.35)
	} else if res.Meaning.Disputed {
		trust *= 0.9
	}
	if prior, ok := k.Inference.Prior(topic); ok && prior.Settled && !own && no(t.sent) {
		trust = 0.05 // a verdict of a host that was never asked
	}
	return res, topic, trust
}

// inside reads the two characters that a pattern row says a longer code ends in, though no rule of the profile does.
func inside(res codes.Resolution, code string, p codes.Profile, k *codes.Knowledge, origin string) codes.Resolution {
	in := k.Resolve(p, p.Base, code[max(0, len(code)-2):], origin)
	if !in.Known {
		return res
	}
	in.Decoded, in.Usable, in.Searched = in.Meaning.Code, false, append(res.Searched, in.Searched...)
	return in
}

func choose(b bool, x, y float64) float64 {
	if b {
		return x
	}
	return y
}
