package diagnose

import (
	"math"

	"posdx/agent/evidence"
)

// What a code says depends on how often it comes by itself. A fault of one card stays with that card, and other cards
// meet the code at its usual rate; a fault of what all cards share meets nearly every card, or, if it comes and goes,
// many.
const (
	sharedSteady = 0.95 // share of cards that a lasting shared fault meets
	sharedFitful = 0.4  // and one that comes and goes
	usualRate    = 0.01 // of a code at one terminal, when nothing is wrong
	secondIssuer = 0.25 // of a witness that it is no single issuer: two may fail for two reasons
	rateDB       = 10.0 // a likelihood ratio that shows in full
)

// usualRates are the shares of sales that end so in everyday life: what cardholders do, not what breaks.
var usualRates = map[string]float64{"funds": 0.05, "pin": 0.04, "limit": 0.02, "do-not-honour": 0.03, "issuer-decline": 0.02, "state": 0.015}

// rates weighs how many cards met the code, of how many, by the ratio of both likelihoods, instead of the bare presence
// of a second card. A count that is missing is bounded by those that are there, and counts as what says least.
func (s *state) rates() {
	it := s.First(evidence.TxnHistory)
	if it == nil || !s.txn.answered(s.ev.Origin) {
		return
	}
	same, sameKnown := it.Num(evidence.SameCode1h)
	cards, cardsKnown := it.Num(evidence.CardsSameCode1h)
	approvals, approvalsKnown := it.Num(evidence.Approvals1h)
	first, firstKnown := it.Num(evidence.FirstSeenAgeS)
	last, lastKnown := it.Num(evidence.LastApprovalAgeS)
	if !cardsKnown && !sameKnown {
		return
	}
	fewest, most := 1.0, max(1, same)
	if cardsKnown {
		fewest, most = max(1, cards), max(1, cards)
	}
	// Approvals since the code first came contradict a lasting fault; those from before do not.
	least, greatest := 0.0, approvals
	switch {
	case !approvalsKnown && !(firstKnown && lastKnown && last >= first):
		greatest = most // not counted does not mean that there were none
	case firstKnown && lastKnown && last >= first:
		greatest = 0
	case firstKnown && first >= 3600:
		least = approvals
	case firstKnown && lastKnown:
		least = 1
	}
	usual, ok := usualRates[s.topic]
	if !ok {
		usual = usualRate
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, m := range [...]float64{fewest, most} {
		for _, a := range [...]float64{least, greatest} {
			db := sharedAgainstCard(min(m, 50), min(a, 50), usual)
			low, high = min(low, db), max(high, db)
		}
	}
	db := 0.0
	switch {
	case low > 0:
		db = low
	case high < 0:
		db = high
	}
	many, one := min(1, max(0, db)/rateDB), min(1, max(0, -db)/rateDB)
	for i := range s.signs {
		g := &s.signs[i]
		switch g.Name {
		case "hist.many-cards", "hist.all-fail":
			g.strength = min(g.strength, many*it.Fresh)
		case "hist.many-issuers":
			issuers, _ := it.Num(evidence.IssuersSameCode1h)
			g.strength = min(g.strength, many*it.Fresh, (issuers-1)*secondIssuer)
		case "hist.one-card", "hist.one-sale", "hist.one-issuer":
			g.strength = min(g.strength, max(one, evidence.Choose(g.Name == "hist.one-issuer", 0.5, 0))*it.Fresh)
		}
	}
}

// sharedAgainstCard returns how much likelier it is, in decibans, that m cards meet a code while a others do not if
// what they share is at fault than if one card is.
func sharedAgainstCard(m, a, usual float64) float64 {
	shared := (math.Pow(sharedSteady, m-1)*math.Pow(1-sharedSteady, a) + math.Pow(sharedFitful,
		m-1)*math.Pow(1-sharedFitful, a)) / 2
	card := math.Pow(usual, m-1) * math.Pow(1-usual, a)
	return decibans(shared) - decibans(card)
}
