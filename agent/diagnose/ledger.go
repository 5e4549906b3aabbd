package diagnose

import (
	"fmt"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// Ledger writes out the whole calculation, for people who doubt a verdict: how the code was read, every finding with
// its strength, and for each cause its prior and weights in decibans with their sum; then the pairs of causes that
// explain the event together, and what is broken but cannot have caused it.
func Ledger(ev report.Event, evidence []report.Evidence, k *codes.Knowledge, o Options) string {
	s := infer(&ev, evidence, k, o.Profile)
	var b strings.Builder
	say := func(zh, en string, of ...any) { fmt.Fprintf(&b, codes.Text{ZH: zh, EN: en}.In(o.Lang), of...) }
	name := func(id string) string {
		if c, ok := k.Cause(id); ok {
			return id + " " + c.Title.In(o.Lang)
		}
		return id
	}
	say("应答码 %s，%s写出：码表 %s，主题 %s，可信 %.2f；查过 %s\n", "code %s, written by %s: table %s, topic %s, counts %.2f; searched %s\n",
		clean(ev.Code), k.Word("origin", string(ev.Origin)).In(o.Lang), dash(s.res.Scheme), s.topic, s.trust,
		dash(strings.Join(s.res.Searched, " ")))
	say("在用的网络 %s；知识 %s\n", "active bearer %s; knowledge %s\n", dash(k.Word(codes.KindFact, s.Kind).In(o.Lang)), k.Hash)
	for _, r := range s.readings {
		say("理解为 %s，占 %.2f\n", "read as %s with %.2f\n", dash(r.Topic), r.share)
	}
	say("\n发现\n", "\nfindings\n")
	for i := range s.signs {
		g := &s.signs[i]
		by := codes.Text{ZH: "事件", EN: "event"}.In(o.Lang)
		if g.item != nil {
			by = g.item.Check + " " + clean(g.item.Subject)
		}
		fmt.Fprintf(&b, "  %-26s %.2f  %-10s %s\n", g.Name, g.strength, g.Family, by)
	}
	for i, c := range s.ranked() {
		if i >= maxCauses+3 && c.p < 0.01 {
			break
		}
		fmt.Fprintf(&b, "\n%s\n", name(c.ID))
		say("  概率 %.4f  存在 %.4f  先验 %+.1f  单独 %+.1f  合计 %+.1f 分贝  独立证据 %.1f\n",
			"  p %.4f  there %.4f  prior %+.1f  alone %+.1f  total %+.1f dB  witnesses %.1f\n",
			c.p, c.present, c.prior, c.evidence, c.prior+c.evidence, c.witnesses)
		at := s.causeIndex(c.ID)
		for _, x := range s.says {
			if x.cause != at {
				continue
			}
			fmt.Fprintf(&b, "  %+6.1f  %s", x.db, s.signs[x.sign].Name)
			if x.brought {
				say("  这里的故障会引起它", "  a fault here brings it about")
			}
			if x.second {
				say("  少算：同类证据已算过", "  counted less: one of its family speaks already")
			}
			b.WriteByte('\n')
		}
	}
	for _, p := range s.pairs {
		say("\n同时：%s，%s，概率 %.4f\n", "\ntogether: %s and %s, p %.4f\n", name(s.causes[p.a].ID), name(s.causes[p.b].ID), p.p)
	}
	for i := range s.causes {
		if c := &s.causes[i]; c.out && c.own >= s.f.Settings.Moderate {
			say("\n不作候选：%s 不会造成这次失败（证据 %+.1f 分贝）\n",
				"\nno candidate: %s cannot have produced this event (evidence %+.1f dB)\n", name(c.ID), c.evidence)
		}
	}
	say("\n留给原因不明：%.3f\n", "\nkept for unexplained: %.3f\n", s.spare)
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
