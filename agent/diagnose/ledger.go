package diagnose

import (
	"fmt"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// Ledger writes out the whole calculation for people who doubt a verdict: what the code was taken for, every sign with
// its strength, and for each cause its prior, each weight and what they come to, in decibans; which pairs explain it
// together, and what is broken and cannot have caused it.
func Ledger(ev report.Event, evidence []report.Evidence, k *codes.Knowledge, o Options) string {
	if o.Profile.Base == "" {
		o.Profile, _ = k.Profile("unionpay")
	}
	s := infer(&ev, evidence, k, o.Profile)
	var b strings.Builder
	fmt.Fprintf(&b, "code %s, written by %s: table %s, topic %s, counts %.2f; searched %s\n", clean(ev.Code), ev.Origin,
		dash(s.res.Scheme), s.topic, s.trust, dash(strings.Join(s.res.Searched, " ")))
	fmt.Fprintf(&b, "active bearer %s; knowledge %s\n", dash(s.Kind), k.Hash)
	for _, r := range s.readings {
		fmt.Fprintf(&b, "read as %s with %.2f\n", r.Topic, r.share)
	}
	b.WriteString("\nfindings\n")
	for i := range s.signs {
		g := &s.signs[i]
		by := "event"
		if g.item != nil {
			by = g.item.Check + " " + clean(g.item.Subject)
		}
		fmt.Fprintf(&b, "  %-26s %.2f  %-10s %s\n", g.Name, g.strength, g.Family, by)
	}
	for i, c := range s.ranked() {
		if i >= maxCauses+3 && c.p < 0.01 {
			break
		}
		fmt.Fprintf(&b, "\n%-24s p %.4f  there %.4f  prior %+.1f  alone %+.1f  total %+.1f dB  witnesses %.1f\n",
			c.ID, c.p, c.present, c.prior, c.evidence, c.prior+c.evidence, c.witnesses)
		at := s.causeIndex(c.ID)
		for _, x := range s.says {
			if x.cause != at {
				continue
			}
			note := ""
			if x.brought {
				note = "  a fault here brings it about"
			}
			if x.second {
				note += "  counted less: one of its family speaks already"
			}
			fmt.Fprintf(&b, "  %+6.1f  %s%s\n", x.db, s.signs[x.sign].Name, note)
		}
	}
	for _, p := range s.pairs {
		fmt.Fprintf(&b, "\ntogether: %s and %s, p %.4f\n", s.causes[p.a].ID, s.causes[p.b].ID, p.p)
	}
	for i := range s.causes {
		if c := &s.causes[i]; c.out && c.own >= s.f.Settings.Moderate {
			fmt.Fprintf(&b, "\nno candidate: %s cannot have produced this event (evidence %+.1f dB)\n", c.ID, c.evidence)
		}
	}
	fmt.Fprintf(&b, "\nkept for unexplained: %.3f\n", s.spare)
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
