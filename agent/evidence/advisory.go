package evidence

import (
	"strings"
)

// advisories weighs what other terminals see by how many, how large a share and how long ago: two terminals, or an hour,
// prove little.
func (r *Reading) advisories() {
	list := r.All(FleetAdvisory)
	for i := range list {
		it := &list[i]
		scope := it.str(Scope)
		if scope != "acquirer" && scope != "carrier" && scope != "site" && scope != "model" {
			continue
		}
		ours := r.sale.Event.Code
		if code := it.str(Code); code != "" && code != ours && !strings.HasSuffix(ours, ":"+code) {
			if scope == "acquirer" || scope == "model" || !it.Bad() {
				continue // about something else
			}
		}
		age, known := it.num(AgeS)
		if !known {
			age = float64(it.AgeMS) / 1000
		}
		fade := ramp(age, hour, hour/6)
		terminals, _ := it.num(Terminals)
		share, shareKnown := it.num(SharePct)
		if !it.Bad() {
			few := ramp(terminals, 6, 3)
			if shareKnown {
				few = ramp(share, 5, choose(terminals <= 3, 4, 1)) // a handful in a large estate is nobody
			}
			// Codes of the terminal's own differ from model to model: that others lack this one says less.
			r.add("adv.alone-"+scope, it, few*max(fade, 0.2)*choose(r.sale.Answered, 1, 0.6))
			continue
		}
		crowd := ramp(terminals, 2, 8)
		if scope == "site" {
			crowd = ramp(terminals, 1, 2) // a shop has few terminals; the second one tells
		}
		if shareKnown {
			crowd *= max(ramp(share, 1, 20), 0.1)
		}
		r.add("adv."+scope, it, fade*crowd)
	}
}
