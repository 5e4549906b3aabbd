package diagnose

import (
	"slices"
	"sort"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// A sign is a finding of the judge with what it weighs.
type sign struct {
	*codes.Sign
	item     *evidence.Item // what shows it, nil for the event itself
	facts    report.Facts
	strength float64 // 0 to 1: freshness times how clear it is
	masked   bool    // a deeper fault explains it
}

// A reader holds what the judge found, and what is known of the sale.
type reader struct {
	*evidence.Reading
	f     *codes.Inference
	ev    *report.Event
	txn   txnFacts
	topic string
	signs []sign
}

// readSigns has the judge say what the evidence shows, and lets the deepest fault explain what lies above it.
func readSigns(r *reader) {
	found := r.Findings(evidence.Sale{Event: r.ev, Topic: r.topic, MTI: r.txn.mti, Entry: r.txn.entry, Sent: r.txn.sent, Answer: r.txn.answer,
		Clash: r.txn.clash, ConnectMS: r.txn.connectMS, ResponseMS: r.txn.responseMS, Answered: r.txn.answered(r.ev.Origin)})
	r.signs = make([]sign, 0, len(found))
	for i := range found {
		f := &found[i]
		if s := r.f.Sign(f.Name); s != nil {
			r.signs = append(r.signs, sign{s, f.Item, f.Facts, f.Strength, false})
		}
	}
	r.mask()
}

func (r *reader) has(name string) bool {
	return slices.ContainsFunc(r.signs, func(s sign) bool { return s.Name == name && !s.masked })
}

// maskFrom is how strong a sign must show to explain others away.
const maskFrom = 0.4

// mask lets the deepest broken layer explain what lies above it, in the order of the ladder: power, board, modem, SIM,
// registration, link, address, gateway, names, connection.
func (r *reader) mask() {
	// A sign that is itself explained away hides nothing, so the deepest come first: those that most signs depend on.
	order := make([]int, 0, len(r.signs))
	for i := range r.signs {
		if len(r.signs[i].Masks) > 0 && r.signs[i].strength >= maskFrom {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(i, j int) bool {
		switch x, y := &r.signs[order[i]], &r.signs[order[j]]; {
		case masks(x, y.Name) && !masks(y, x.Name):
			return true
		case masks(y, x.Name) && !masks(x, y.Name):
			return false
		default:
			return len(x.Masks) > len(y.Masks)
		}
	})
	for _, i := range order {
		if r.signs[i].masked {
			continue
		}
		for j := range r.signs {
			if j != i && masks(&r.signs[i], r.signs[j].Name) {
				r.signs[j].masked = true
			}
		}
	}
}

func masks(s *sign, name string) bool {
	_, ok := slices.BinarySearch(s.Masks, name)
	return ok
}
