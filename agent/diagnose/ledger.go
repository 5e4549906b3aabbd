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
	say := func(zh, en string, args ...any) { fmt.Fprintf(&b, codes.Text{ZH: zh, EN: en}.In(o.Lang), args...) }
	say("应答码 %s，来自 %s：码表 %s，主题 %s，采信 %.2f；查过 %s\n",
		"code %s, written by %s: table %s, topic %s, counts %.2f; searched %s\n", clean(ev.Code), ev.Origin,
		dash(s.res.Scheme), s.topic, s.trust, dash(strings.Join(s.res.Searched, " ")))
	say("当前网络 %s；知识包 %s\n", "active bearer %s; knowledge %s\n", dash(s.Kind), k.Hash)
	for _, r := range s.readings {
		say("读作 %s，份额 %.2f\n", "read as %s with %.2f\n", r.Topic, r.share)
	}
	say("\n发现\n", "\nfindings\n")
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
		say("\n%-24s p %.4f 存在 %.4f 先验 %+.1f 证据 %+.1f 合计 %+.1f dB 证人 %.1f\n",
			"\n%-24s p %.4f  there %.4f  prior %+.1f  alone %+.1f  total %+.1f dB  witnesses %.1f\n",
			c.ID, c.p, c.present, c.prior, c.evidence, c.prior+c.evidence, c.witnesses)
		at := s.causeIndex(c.ID)
		for _, x := range s.says {
			if x.cause != at {
				continue
			}
			fmt.Fprintf(&b, "  %+6.1f  %s", x.db, s.signs[x.sign].Name)
			if x.brought {
				say("  由这里的故障引起", "  a fault here brings it about")
			}
			if x.second {
				say("  计得较少：同类的已经有一个", "  counted less: one of its family speaks already")
			}
			b.WriteByte('\n')
		}
	}
	for _, p := range s.pairs {
		say("\n同时：%s 和 %s，p %.4f\n", "\ntogether: %s and %s, p %.4f\n", s.causes[p.a].ID, s.causes[p.b].ID, p.p)
	}
	for i := range s.causes {
		if c := &s.causes[i]; c.out && c.own >= s.f.Settings.Moderate {
			say("\n不在候选之列：%s 不可能造成这次事件（证据 %+.1f dB）\n", "\nno candidate: %s cannot have produced this event (evidence %+.1f dB)\n", c.ID, c.evidence)
		}
	}
	say("\n留给“无法解释”：%.3f\n", "\nkept for unexplained: %.3f\n", s.spare)
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
