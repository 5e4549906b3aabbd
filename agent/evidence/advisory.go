package evidence

import (
	"strings"
)

// advisories turns the fleet's reports about other terminals into findings. A report weighs more the more terminals it
// counts, the larger their share, and the newer it is; one of two terminals, or an hour old, weighs little.
func (r *Reading) advisories() {
	list := r.All(FleetAdvisory)
	// Nine per cent of an acquirer's terminals are what 44 per cent of a carrier's look like from another side: the
	// dimension in which the largest share is hit is the one that they have in common.
	largest := 0.0
	for i := range list {
		if share, known := list[i].num(SharePct); known && list[i].Bad() && r.speaks(&list[i]) {
			largest = max(largest, share)
		}
	}
	for i := range list {
		it := &list[i]
		scope := it.str(Scope)
		if scope != "acquirer" && scope != "carrier" && scope != "site" && scope != "model" {
			continue
		}
		if !r.speaks(it) {
			if scope == "acquirer" || scope == "model" || !it.Bad() {
				continue // about something else
			}
		}
		age, known := it.num(AgeS)
		if !known {
			age = float64(it.AgeMS) / 1000
		}
		fade := Ramp(age, hour, hour/6)
		terminals, _ := it.num(Terminals)
		share, shareKnown := it.num(SharePct)
		if !it.Bad() {
			few := Ramp(terminals, 6, 3)
			if shareKnown {
				few = Ramp(share, 5, Choose(terminals <= 3, 4.0, 1)) // a handful in a large estate proves nothing
				if largest > 0 {
					few = max(few, Ramp(share/largest, 0.2, 0.05)) // it is not this that those who see it have in common
				}
			}
			// Codes of the terminal's own differ from model to model: that others lack this one says less.
			r.add("adv.alone-"+scope, it, few*max(fade, 0.2)*Choose(r.sale.Answered, 1, 0.6))
			continue
		}
		crowd := Ramp(terminals, 2, 8)
		if scope == "site" {
			crowd = Ramp(terminals, 1, 2) // a shop has few terminals; the second one tells
			if !shareKnown {
				// Only terminals of this site say so, and none of them knows whether others meet it elsewhere: that speaks
				// against a terminal's own fault, and leaves open whether the shop, the line or the host has one.
				r.add("adv.neighbours", it, fade*crowd)
				continue
			}
		}
		if shareKnown {
			crowd *= max(Ramp(share, 1, 20), 0.1)
			if largest > 0 {
				crowd *= Ramp(share/largest, 0, 0.8)
			}
		}
		r.add("adv."+scope, it, fade*crowd)
	}
}

// speaks tells whether an advisory speaks of the sale's code, or of none in particular.
func (r *Reading) speaks(it *Item) bool {
	code, ours := it.str(Code), r.sale.Event.Code
	return code == "" || code == ours || strings.HasSuffix(ours, ":"+code)
}
