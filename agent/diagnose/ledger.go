package diagnose

import (
	"fmt"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// Ledger writes out the whole calculation for people who doubt a verdict: what the code was taken for, every sign with
// its strength, and for each cause its prior, each weight and what they come to, in decibans.
func Ledger(ev report.Event, evidence []report.Evidence, k *codes.Knowledge, o Options) string {
	if o.Profile.Base == "" {
		o.Profile, _ = k.Profile("unionpay")
	}
	s := infer(&ev, evidence, k, o.Profile)
	var b strings.Builder
	fmt.Fprintf(&b, "code %s, written by %s: table %s, topic %s, counts %.2f; searched %s\n", clean(ev.Code), ev.Origin,
		dash(s.res.Scheme), s.topic, s.trust, dash(strings.Join(s.res.Searched, " ")))
	fmt.Fprintf(&b, "active bearer %s; scale %g; knowledge %s\n\nsigns\n", dash(s.Kind), s.f.Settings.Scale, k.Hash)
	for i := range s.signs {
		g := &s.signs[i]
		by := "event"
		if g.item != nil {
			by = g.item.Check + " " + clean(g.item.Subject)
		}
		note := ""
		if g.masked {
			note = "  masked"
		}
		fmt.Fprintf(&b, "  %-26s %.2f  %s%s\n", g.Name, g.strength, by, note)
	}
	for i, c := range s.ranked() {
		if i >= maxCauses+3 && c.p < 0.01 {
			break
		}
		fmt.Fprintf(&b, "\n%-24s p %.4f  prior %+.1f  evidence %+.1f  total %+.1f\n", c.ID, c.p, c.prior, c.evidence, c.prior+c.evidence)
		for j := range s.signs {
			g := &s.signs[j]
			if w := weightOf(g.Weights, c.ID, 0); w != 0 {
				note := ""
				if g.masked {
					note = "  masked, not counted"
				}
				fmt.Fprintf(&b, "  %+6.1f  %s (%+.0f x %.2f)%s\n", w*g.strength, g.Name, w, g.strength, note)
			}
		}
		if c.unseen > 0 {
			fmt.Fprintf(&b, "  %+6.1f  a fault here would explain findings above it, and it was not looked at\n", c.unseen)
		}
		if c.ID == report.Unexplained && s.unchecked() {
			fmt.Fprintf(&b, "  %+6.1f  hardly anything was checked\n", s.f.Settings.UncheckedDB)
		}
	}
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
