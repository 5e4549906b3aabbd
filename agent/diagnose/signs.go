package diagnose

import (
	"slices"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// A sign is one thing the evidence shows, by the name it has in the knowledge.
type sign struct {
	*codes.Sign
	item     *item // what shows it, nil for the event itself
	facts    report.Facts
	strength float64 // 0 to 1: freshness times how clear it is
}

// A reader of evidence collects signs.
type reader struct {
	f     *codes.Inference
	v     view
	ev    *report.Event
	txn   txnFacts
	topic string
	kind  string // of the active bearer
	signs []sign
}

// add records a sign that an item shows. A sign shown twice keeps its strongest showing: two looks at one thing are not
// two witnesses.
func (r *reader) add(name string, it *item, clear float64) {
	strength := clear
	var facts report.Facts
	if it != nil {
		strength *= it.fresh
		facts = it.Facts
	}
	r.put(name, it, facts, strength)
}

func (r *reader) put(name string, it *item, facts report.Facts, strength float64) {
	if !(strength > 0) { // not a number included
		return
	}
	for i := range r.signs {
		if r.signs[i].Name == name {
			if r.signs[i].strength < strength {
				r.signs[i].item, r.signs[i].facts, r.signs[i].strength = it, facts, strength
			}
			return
		}
	}
	if s := r.f.Sign(name); s != nil {
		r.signs = append(r.signs, sign{s, it, facts, min(strength, 1)})
	}
}

func (r *reader) has(name string) bool {
	return slices.ContainsFunc(r.signs, func(s sign) bool { return s.Name == name })
}

// strengthOf returns how strongly a sign shows, 0 if it does not.
func (r *reader) strengthOf(name string) float64 {
	for i := range r.signs {
		if r.signs[i].Name == name {
			return r.signs[i].strength
		}
	}
	return 0
}

// readSigns derives every sign from the event and the evidence.
func readSigns(r *reader) {
	r.transaction()
	r.history()
	r.application()
	r.board()
	r.reader()
	r.links()
	r.modem()
	r.beyond()
	r.advisories()
	if r.has("adv.alone-acquirer") && r.has("session.same-code") && r.has("hist.never-approved") {
		r.put("session.alone", r.v.first("app.session"), nil, r.strengthOf("adv.alone-acquirer"))
	}
	r.answers()
}

// advisories weighs what other terminals see by how many, how large a share and how long ago: two terminals, or an hour,
// prove little.
func (r *reader) advisories() {
	list := r.v.all("fleet.advisory")
	for i := range list {
		it := &list[i]
		scope := it.str("scope")
		if scope != "acquirer" && scope != "carrier" && scope != "site" && scope != "model" {
			continue
		}
		if code := it.str("code"); code != "" && code != r.ev.Code && !strings.HasSuffix(r.ev.Code, ":"+code) {
			if scope == "acquirer" || scope == "model" || !it.bad() {
				continue // about something else
			}
		}
		age, known := it.num("age_s")
		if !known {
			age = float64(it.AgeMS) / 1000
		}
		fade := ramp(age, 3600, 600)
		terminals, _ := it.num("terminals")
		share, shareKnown := it.num("share_pct")
		if !it.bad() {
			few := choose(terminals <= 3, 1, 0)
			if shareKnown {
				few = ramp(share, 5, choose(terminals <= 3, 4, 1)) // a handful in a large estate is nobody
			}
			// Codes of the terminal's own differ from model to model: that others lack this one says less.
			r.add("adv.alone-"+scope, it, few*max(fade, 0.2)*choose(r.txn.answered(r.ev.Origin), 1, 0.6))
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

// ramp rises from 0 at a to 1 at b, whichever is larger.
func ramp(x, a, b float64) float64 {
	return max(0, min(1, (x-a)/(b-a)))
}

// answers takes in what a person said.
func (r *reader) answers() {
	for i := range r.v.items {
		it := &r.v.items[i]
		if !strings.HasPrefix(it.Check, "ask.") {
			continue
		}
		if s := r.f.Sign(it.str("answer")); s != nil && s.Check == it.Check {
			r.add(s.Name, it, 1)
		}
	}
}
