package evidence

import (
	"strings"

	"posdx/agent/report"
)

// neverAfter is for how long, in seconds, a terminal must have been counted without an approval to be taken for one
// that never had any: sooner it may be its first customer.
const neverAfter = hour / 2

// history reads how this code has come before, and on which cards.
func (r *Reading) history() {
	it := r.First(TxnHistory)
	if it == nil {
		return
	}
	approvals, approvalsKnown := it.num(Approvals1h)
	same, _ := it.num(SameCode1h)
	cards, cardsKnown := it.num(CardsSameCode1h)
	issuers, issuersKnown := it.num(IssuersSameCode1h)
	firstSeen, firstKnown := it.num(FirstSeenAgeS)
	last, lastKnown := it.num(LastApprovalAgeS)
	counted, never := it.num(NoApprovalS)

	answered := r.sale.Answered
	// "First seen" counts from the last sale without this code. Approvals from before it say that it worked before, not
	// that it works for others: the longer nothing else came, the less one card stands out.
	since := firstKnown && lastKnown && last >= firstSeen
	contrast := 1.0
	if since {
		contrast = Ramp(firstSeen, 1800, 300)
	}
	// While others are approved, what several cards of one issuer share is their issuer, and no more.
	alone := 0.0
	if answered && issuersKnown && issuers == 1 && approvals >= 2 && firstKnown && lastKnown && !since {
		alone = Ramp(cards, 1, 4)
	}
	r.add("hist.issuer-alone", it, alone)
	switch {
	case cardsKnown && cards >= 2:
		r.add(Choose(answered, "hist.many-cards", "hist.many-cards-local"), it, Ramp(cards, 0, 4)*(1-alone))
	case cardsKnown && cards == 1 && approvals > 0:
		// After a single sale one card is no news: what counts is that others were approved.
		r.add(Choose(same >= 2, "hist.one-card", "hist.one-sale"), it, Ramp(approvals, -2, 4)*contrast)
	case !cardsKnown && same == 1 && approvals >= 3:
		r.add("hist.one-sale", it, 0.5)
	}
	switch {
	case issuersKnown && issuers >= 2:
		r.add("hist.many-issuers", it, Ramp(issuers, 0, 3))
	case issuersKnown && issuers == 1 && approvals > 0: // else it may be the only one that was tried
		r.add("hist.one-issuer", it, Choose(same >= 2 || cards >= 2, 1, 0.6)*(1-alone))
	}
	switch {
	case !approvalsKnown:
	case approvals == 0 && never && same > 0:
		r.add("hist.never-approved", it, Ramp(counted, 0, neverAfter))
	case approvals == 0 && !lastKnown && same > 0:
		// That no earlier approval is known does not mean that there was none.
		r.add("hist.none-lately", it, 1)
	case (approvals == 0 || since) && same >= 2:
		r.add(Choose(answered, "hist.all-fail", "hist.all-fail-local"), it, Ramp(same, 0, 5)*Choose(cardsKnown && cards == 1, 0.5, 1))
	case since:
	case lastKnown && (firstKnown && same >= 2 || approvals >= 2):
		// Each sale that met the code while others were approved makes it clearer; so does how lately one was.
		lately := Choose(firstKnown && same >= 2, 1, Ramp(last, 1800, 300)*Ramp(approvals, 1, 4))
		r.add("hist.others-ok", it, Ramp(same, -1, 3)*lately)
	}
	if lastKnown {
		r.add("hist.worked-before", it, 1)
		// Where nobody looked at the settings they are the same as a minute ago, and maybe not as half an hour ago.
		c, looked := r.First(AppConfig), 0.0
		if c != nil {
			looked = c.Fresh
		}
		if c == nil || !c.Bad() && len(c.Facts.Strings(string(ChangedSinceApproval))) == 0 {
			r.add("hist.worked-lately", it, looked*Ramp(last, hour, 600)+(1-looked)*Ramp(last, hour/2, 60))
		}
	}
	pin, noPIN, byPIN := pinCounts(it.Facts.Counts(string(ApprovalsBy)))
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
func (r *Reading) unread(it *Item) {
	cards, _ := it.num(Cards1h)
	failed, known := it.num(CardsFailed1h)
	switch {
	case !known:
	case failed >= 3 && failed >= 0.25*cards:
		r.add("hist.many-unread", it, Ramp(failed, 1, 5))
	case failed <= 2 && failed >= 1 && cards >= 5 && failed <= 0.25*cards:
		r.add("hist.few-unread", it, 1)
	}
	by := it.Facts.Counts(string(EntryFailures))
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

// fortnight is how long an update is recent.
const fortnight = 14 * day

// sinceUpdate compares the last update with the approvals.
func (r *Reading) sinceUpdate(h *Item, approvals, same float64) {
	since, known := h.num(ApprovalsSinceUpdate)
	it := r.First(AppVersion)
	age, dated := 0.0, false
	if it != nil {
		age, dated = it.num(UpdatedAgeS)
	}
	last, hadApproval := h.num(LastApprovalAgeS)
	first, firstKnown := h.num(FirstSeenAgeS)
	// Of what an update broke some sales still go through: it is the share that counts, not that there was one.
	failed, failedKnown := h.num(SameCodeSinceUpdate)
	share := Choose(failedKnown && since > 0, since/max(since+failed, 1), 1)
	if it != nil && it.Str(Expected) != "" && it.Str(Installed) != it.Str(Expected) {
		// What was approved with a version shows nothing once the host wants another.
		known, dated = false, dated && age < fortnight && last >= age
	}
	switch {
	case known && since > 0:
		r.put("hist.ok-since-update", h, h.Facts, Ramp(since, 0, 3)*Ramp(share, 0.2, 0.8))
	case dated && age < fortnight && hadApproval && last >= age && approvals == 0 && (same >= 2 || known):
		if !firstKnown || first <= age+hour {
			r.put("hist.after-update", h, h.Facts, min(h.Fresh, it.Fresh))
		}
	case dated && hadApproval && last < age && approvals >= 2:
		r.put("hist.ok-since-update", h, report.Facts{string(ApprovalsSinceUpdate): approvals}, 0.6)
	}
}
