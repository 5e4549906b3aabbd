package evidence

import (
	"math"
	"slices"
)

// failedLow is the least share of cards, in per cent, that fail for certain: the lower end of Wilson's interval at 95
// %.
func (it *Item) failedLow() (float64, bool) {
	cards, ok := it.num(Cards)
	failed, known := it.num(CardsFailed)
	if !ok || !known || cards < 1 || failed > cards {
		return 0, false
	}
	const z = 1.96
	p := failed / cards
	centre := p + z*z/(2*cards)
	spread := z * math.Sqrt(p*(1-p)/cards+z*z/(4*cards*cards))
	return 100 * max(0, (centre-spread)/(1+z*z/cards)), true
}

// reads tells one bad card from a bad reader.
func (r *Reading) reads() {
	list := r.All(ReaderReads)
	for i := range list {
		it := &list[i]
		many := it.shows("reads.many-fail")
		cards, known := it.num(Cards)
		failed, counted := it.num(CardsFailed)
		if !known || cards <= 0 {
			r.add("reads.many-fail", it, many)
			continue
		}
		r.add("reads.many-fail", it, many*Ramp(failed, 1, 4))
		if failed >= 1 {
			few := Ramp(cards, 0, 8) * Ramp(failed/cards, 0.4, 0.25) * Ramp(failed, 4, 2) * Choose(it.Bad(), 0.0, 1)
			r.add("reads.few-fail", it, few)
			if r.speaksOfReading() {
				r.add("reads.one-fails", it, few)
			}
		} else if counted {
			r.add("reads.good", it, Ramp(cards, 1, 6)*(1-it.shows("reads.wearing"))*Choose(it.Bad(), 0.0, 1))
		}
	}
}

// speaksOfReading tells whether the code can be about reading a card. A card in twenty is read badly on any day: that
// says which card it was only where this sale ended at a card.
func (r *Reading) speaksOfReading() bool {
	p, ok := r.k.Inference.Prior(r.sale.Topic)
	return ok && p.Names("card.damaged") && slices.Contains(p.Stages, "card")
}
