package console

import (
	"slices"
	"strings"
	"testing"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
)

// trueAnswer is what a person sees where this cause is at work, written from what the causes are and not from the
// weights; empty where it could be either.
func trueAnswer(question, cause string) string {
	segment, _, _ := strings.Cut(cause, ".")
	is := func(list ...string) bool { return slices.Contains(list, cause) || slices.Contains(list, segment) }
	pick := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	switch question {
	case "ask.other-card":
		if is("issuer.unavailable", "switch", "merchant", "operator", "terminal.protocol", "host") {
			return "" // it depends on the other card's bank, or on what is sold
		}
		return pick(is("card", "account", "issuer", "risk"), "ask.card-works", "ask.card-fails")
	case "ask.router-lamp":
		if is("lan.gateway") {
			return "ask.lamp-off"
		}
		return pick(is("wan.outage"), "ask.lamp-red", "ask.lamp-green")
	case "ask.cable":
		return pick(is("lan.cable"), "ask.cable-out", "ask.cable-in")
	case "ask.reader-plug":
		return pick(is("reader.disconnected"), "ask.reader-dark", "ask.reader-lit")
	case "ask.others-online":
		if is("lan.interference", "lan.flapping", "wan.congestion") {
			return ""
		}
		return pick(is("wan.outage", "lan.gateway", "wan.dns"), "ask.shop-offline", "ask.shop-online")
	case "ask.clean-reader":
		return pick(is("reader.dirty"), "ask.clean-helps", "ask.clean-not")
	case "ask.sign-in":
		return pick(is("terminal.session"), "ask.signin-ok", "ask.signin-fails")
	}
	return ""
}

func chanceIn(d *report.Diagnosis, id string) float64 {
	for _, c := range d.Causes {
		if c.ID == id {
			return c.Probability
		}
	}
	return 0
}

// A true answer never lowers the right cause: over every code, and every cause that it could have, answered as it is.
func TestATrueAnswerNeverLowersTheRightCause(t *testing.T) {
	k := codes.Builtin()
	profile, _ := k.Profile("unionpay")
	asked, causes := 0, map[string]bool{}
	walk := func(name string, d report.Diagnosis) {
		for _, truth := range d.Causes {
			if truth.ID == report.Unexplained || truth.ID == "none" || truth.Probability < 0.05 {
				continue
			}
			g := NewGuide(d, k, "unionpay", "en", nil)
			for g.Step != nil {
				q, before, first := g.Step.Check, chanceIn(&g.Now, truth.ID), g.Now.Causes[0].ID
				answer := trueAnswer(q, truth.ID)
				if answer == "" {
					g.Skip()
					continue
				}
				if g.Step.GainBits < 0.1 {
					t.Errorf("%s: %s is asked for %.2f bits", name, q, g.Step.GainBits)
				}
				if !g.Say(answer, noon) {
					t.Fatalf("%s: %s does not take %s", name, q, answer)
				}
				asked++
				causes[truth.ID] = true
				if after := chanceIn(&g.Now, truth.ID); after < before-0.005 {
					t.Errorf("%s: it is %s, and %s lowers it from %.3f to %.3f (first was %s)", name, truth.ID, answer, before, after, first)
				}
			}
		}
	}
	scenarios(t, "en", func(name string, m *model) { walk(name, *m.state.Last) })
	for i, m := range k.Meanings {
		if testing.Short() && i%4 != 0 {
			continue
		}
		if m.Scheme != "unionpay" && m.Scheme != "terminal-local" {
			continue
		}
		for _, origin := range []report.Origin{report.OriginHost, report.OriginTerminal} {
			e := report.Event{ID: "01-0000000001", Time: noon, Code: m.Code, Scheme: m.Scheme, Origin: origin}
			walk(m.Scheme+" "+m.Code+" "+string(origin), diagnose.Explain(e, nil, k, diagnose.Options{Lang: "en",
				Profile: profile, Final: true}))
		}
	}
	t.Logf("%d true answers about %d causes", asked, len(causes))
	if asked < 50 || len(causes) < 10 {
		t.Errorf("only %d answers about %d causes", asked, len(causes))
	}
}
