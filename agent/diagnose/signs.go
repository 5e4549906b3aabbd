package diagnose

import (
	"slices"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// A sign is a finding of the judge (package evidence) together with what it says about causes.
type sign struct {
	*codes.Sign
	item     *evidence.Item // what shows it, nil for the event itself
	facts    report.Facts
	strength float64 // 0 to 1: freshness times how clear it is
	news     codes.News
	claimed  bool // its sender says so and no fact does
}

// A reader holds what the judge found and what is known of the sale.
type reader struct {
	*evidence.Reading
	f     *codes.Inference
	ev    *report.Event
	txn   txnFacts
	topic string
	signs []sign
}

// readSigns asks the judge what the evidence shows.
func readSigns(r *reader) {
	found := r.Findings(evidence.Sale{Event: r.ev, Topic: r.topic, MTI: r.txn.mti, Entry: r.txn.entry, Sent: r.txn.sent,
		Answer: r.txn.answer,
		Clash:  r.txn.clash, ConnectMS: r.txn.connectMS, ResponseMS: r.txn.responseMS, Answered: r.txn.answered(r.ev.Origin)})
	r.signs = make([]sign, 0, len(found))
	for i := range found {
		f := &found[i]
		if s := r.f.Sign(f.Name); s != nil {
			r.signs = append(r.signs, sign{s, f.Item, f.Facts, f.Strength, f.News, f.Claimed})
		}
	}
}

func (r *reader) has(name string) bool {
	return slices.ContainsFunc(r.signs, func(s sign) bool { return s.Name == name })
}

// strengthOf returns how strongly a finding shows, 0 if it does not.
func (r *reader) strengthOf(name string) float64 {
	for i := range r.signs {
		if r.signs[i].Name == name {
			return r.signs[i].strength
		}
	}
	return 0
}
