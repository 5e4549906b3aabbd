package diagnose

import (
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// TestTypedCodeHasAWriter: a code that a person types has no writer. Where only a host writes it the tables know; where
// several can, the question who shows it is among the next tests, and its answer counts as the writer.
func TestTypedCodeHasAWriter(t *testing.T) {
	k := codes.Builtin()
	explain := func(code string, evidence ...report.Evidence) report.Diagnosis {
		return Explain(report.Event{Code: code, Channel: report.ChannelConsole, Origin: report.OriginUnknown}, evidence, k,
			Options{Lang: "en"})
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
	// A cash register may show a 97 of its own making: that nobody was charged is not said before a person has said who
	// shows it.
	if d := explain("97"); d.Money.State != report.MoneyUnknown || d.Money.Retry != report.RetryNo {
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
	for code, want := range map[string]bool{"96": true, "9997": true, "97": true, "newpos:E5": false} {
		if got := asks(code); got != want {
			t.Errorf("%s: who shows it is asked: %v", code, got)
		}
	}
	host, _ := After(k, askWriter, "writer.host")
	terminal, _ := After(k, askWriter, "writer.terminal")
	if d := explain("96", host); d.Abstained || d.Causes[0].Segment != "acquirer" && d.Causes[0].Segment != "switch" ||
		d.Money.State != report.MoneyDeclined {
		t.Errorf("96, on the receipt: %+v %+v", d.Causes[0], d.Money)
	}
	if d := explain("97", host); d.Money.State != report.MoneyDeclined || d.Money.Retry != report.RetryNo {
		t.Errorf("97, on the receipt: %+v", d.Money)
	}
	if d := explain("96", terminal); d.Money.State == report.MoneyDeclined {
		t.Errorf("96, the terminal's own: %+v", d.Money)
	}
	if _, ok := After(k, askWriter, "writer.nobody"); ok {
		t.Error("an answer that there is not")
	}
}

// TestNothingWrongIsAnAnswer: a healthy terminal that is examined without a code is told so, with what was looked at
// and what could not be; one bad check, and it is not.
func TestNothingWrongIsAnAnswer(t *testing.T) {
	k := codes.Builtin()
	well := []report.Evidence{
		{Check: "net.link", Subject: "eth0", Status: report.OK, Facts: report.Facts{"kind": "ethernet", "carrier": true}},
		{Check: "net.tcp", Subject: "host-primary", Status: report.OK, Facts: report.Facts{"outcome": "ok", "ms": 40.0}},
		{Check: "reader.port", Subject: "reader0", Status: report.CannotTell, Facts: report.Facts{"reason": report.ReasonInUse}},
		{Check: "net.wifi", Subject: "wifi", Status: report.NotRun, Facts: report.Facts{"reason": report.ReasonAbsent}},
	}
	explain := func(list []report.Evidence, lang string) report.Diagnosis {
		return Explain(report.Event{Code: AnyCode, Origin: report.OriginUnknown, Channel: report.ChannelConsole}, list, k,
			Options{Lang: lang})
	}
	d := explain(well, "en")
	if d.Abstained || d.Causes[0].ID != "none" || d.Causes[0].Verdict == "confirmed" || d.Causes[0].Probability > 0.7 {
		t.Errorf("%+v", d.Causes)
	}
	text := Render(d, "en", 80)
	for _, want := range []string{"Nothing wrong was found", "Connection to the host", "Whether the card reader answers", "No sale was looked at"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "Wi-Fi") || strings.Contains(Render(explain(well, "zh"), "zh", 80), "Nothing") {
		t.Errorf("what is not fitted, or English:\n%s", text)
	}
	bad := append(slices.Clone(well), report.Evidence{Check: "board.storage", Subject: "/data", Status: report.Bad,
		Facts: report.Facts{"path": "/data", "free_pct": 0.0}})
	if d := explain(bad, "en"); d.Causes[0].ID == "none" {
		t.Errorf("a full disk: %+v", d.Causes[0])
	}
	if d := explain(nil, "en"); d.Causes[0].ID == "none" {
		t.Error("nothing was looked at, and nothing is wrong")
	}
}
