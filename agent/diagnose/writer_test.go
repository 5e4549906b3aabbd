package diagnose

import (
	"strings"
	"testing"
	"unicode"

	"posdx/agent/report"
	"posdx/codes"
)

// TestTypedCodeHasAWriter: a code that a person types has no writer. Where only a host writes it the tables know; where
// several can, the question who shows it is among the next tests, and its answer counts as the writer.
func TestTypedCodeHasAWriter(t *testing.T) {
	k := codes.Builtin()
	explain := func(code string, evidence ...report.Evidence) report.Diagnosis {
		return Explain(report.Event{Code: code, Channel: report.ChannelConsole, Origin: report.OriginUnknown}, evidence, k, Options{Lang: "en"})
	}
	for code, first := range map[string]string{"97": "terminal.not-registered", "51": "account.funds", "55": "account.pin", "54": "card.expired",
		"03": "merchant.not-registered", "91": "issuer.unavailable", "77": "terminal.session", "９７ ": "terminal.not-registered"} {
		d := explain(code)
		if d.Abstained || d.Causes[0].ID != first {
			t.Errorf("%s: first %s (%.2f), abstained %v", code, d.Causes[0].ID, d.Causes[0].Probability, d.Abstained)
		}
		if d.Money.Retry == report.RetrySafe || d.Money.Retry == report.RetryLater {
			t.Errorf("%s: %s on nobody's word", code, d.Money.Retry)
		}
	}
	if d := explain("97"); d.Money.State != report.MoneyDeclined || d.Money.Retry != report.RetryNo {
		t.Errorf("97: %+v", d.Money)
	}
	if d := explain("９７ "); d.Event.Code != "97" || d.Event.CodeRaw != "９７ " {
		t.Errorf("what was written is lost: %+v", d.Event)
	}
	asks := func(code string) (found bool) {
		for _, s := range Plan(report.Event{Code: code, Origin: report.OriginUnknown}, nil, k, Options{}) {
			found = found || s.Check == askWriter && len(s.Answers) == len(writerAnswers) && s.GainBits > 0
		}
		return found
	}
	for code, want := range map[string]bool{"96": true, "9997": true, "97": false, "newpos:E5": false} {
		if got := asks(code); got != want {
			t.Errorf("%s: who shows it is asked: %v", code, got)
		}
	}
	host, _ := After(k, askWriter, "writer.host")
	terminal, _ := After(k, askWriter, "writer.terminal")
	if d := explain("96", host); d.Abstained || d.Causes[0].Segment != "acquirer" && d.Causes[0].Segment != "switch" || d.Money.State != report.MoneyDeclined {
		t.Errorf("96, on the receipt: %+v %+v", d.Causes[0], d.Money)
	}
	if d := explain("96", terminal); d.Money.State == report.MoneyDeclined {
		t.Errorf("96, the terminal's own: %+v", d.Money)
	}
	if _, ok := After(k, askWriter, "writer.nobody"); ok {
		t.Error("an answer that there is not")
	}
}

// TestSpeak: a reader of another language than the terminal's reads texts in their own, and nothing else of the document
// changes.
func TestSpeak(t *testing.T) {
	k := codes.Builtin()
	for _, c := range readCases(t, "testdata/cases") {
		zh := Explain(c.Event, c.Evidence, k, Options{})
		en := Speak(zh, k, Options{Lang: "en"})
		if want := Explain(c.Event, c.Evidence, k, Options{Lang: "en"}).Money.Say; en.Money.Say != want && !strings.Contains(want, "sign-in") {
			t.Errorf("%s: %q, want %q", c.Name, en.Money.Say, want)
		}
		for i := range en.Causes {
			if en.Causes[i].ID != zh.Causes[i].ID || en.Causes[i].Probability != zh.Causes[i].Probability {
				t.Errorf("%s: the document changed", c.Name)
			}
			for _, r := range en.Causes[i].For {
				if strings.ContainsFunc(r.Say, func(x rune) bool { return unicode.Is(unicode.Han, x) }) {
					t.Errorf("%s: %q is left", c.Name, r.Say)
				}
			}
		}
	}
}
