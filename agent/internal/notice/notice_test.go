package notice

import (
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// every is a verdict for each cause that there is, in each state of the money, in both languages.
func every(each func(name, lang string, d report.Diagnosis)) {
	k := codes.Builtin()
	for _, lang := range []string{"zh", "en"} {
		for _, state := range []string{report.MoneyNotSent, report.MoneySentNoAnswer, report.MoneyDeclined,
			report.MoneyApproved, report.MoneyUnknown} {
			for _, retry := range []string{report.RetrySafe, report.RetryLater, report.RetryQueryFirst, report.RetryAfterSignin,
				report.RetryOtherMeans, report.RetryNo} {
				for _, c := range k.Causes {
					d := report.Diagnosis{
						Event: report.Event{Code: "96", Time: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)}, Handoff: "K7QF-3MXP-2Z8Y-BF8F-3FTP",
						Code: report.CodeInfo{Meaning: c.Title.In(lang)},
						Money: report.Money{State: state, Retry: retry, Say: k.Word("money", state).Sentence().And(k.Word("retry",
							retry).Sentence()).In(lang)},
						Causes: []report.Cause{{ID: c.ID, Title: c.Title.In(lang), Act: report.Act{By: c.Act,
							Step: c.StepsFor(retry).In(lang)}}},
					}
					each(c.ID+" "+state+" "+retry, lang, d)
				}
			}
		}
	}
}

// Nothing is wider than the paper or the display, and what a display says is whole on the smallest.
func TestNoticesFitWhatTheyAreFor(t *testing.T) {
	every(func(name, lang string, d report.Diagnosis) {
		two := Display(d, MinDisplay)
		if len(two) != 2 || strings.Contains(two[0]+two[1], "..") || two[0] == "" || two[1] == "" || strings.Contains(two[0],
			d.Money.State+" ") {
			t.Errorf("%s %s: a display shows %q", name, lang, two)
		}
		for _, l := range two {
			if text.Width(l) > MinDisplay {
				t.Errorf("%s %s: %q is wider than a display", name, lang, l)
			}
		}
		for _, cols := range []int{MinReceipt, 32, 48, MaxReceipt} {
			lines := Receipt(d, cols)
			whole := strings.Join(lines, "\n")
			for _, l := range lines {
				if text.Width(l) > cols {
					t.Errorf("%s %s: %q is wider than %d columns", name, lang, l, cols)
				}
			}
			if strings.Contains(whole, " 2. ") || strings.Contains(whole, "?") &&
				!strings.Contains(d.Money.Say+d.Causes[0].Title+d.Causes[0].Act.Step, "?") {
				t.Errorf("%s %s: two steps, or a character that no printer has:\n%s", name, lang, whole)
			}
			if joined := strings.ReplaceAll(whole, "\n", ""); !strings.Contains(joined, d.Handoff) || len(lines) > 28 &&
				cols > MinReceipt {
				t.Errorf("%s %s: no hand-off code, or %d lines:\n%s", name, lang, len(lines), whole)
			}
		}
	})
}

// The lines say what the words of the verdict say: never "not charged" where it is not known, never "retry" where it
// is not safe.
func TestADisplaySaysNoMoreThanTheVerdict(t *testing.T) {
	every(func(name, lang string, d report.Diagnosis) {
		two := Display(d, 20)
		promised := two[0] == "not charged" || strings.Contains(two[0], "未扣款")
		if promised != (d.Money.State == report.MoneyNotSent || d.Money.State == report.MoneyDeclined) {
			t.Errorf("%s: the display says %q", name, two[0])
		}
		now := two[1] == "retry now" || two[1] == "可以马上再试"
		if now != (d.Money.Retry == report.RetrySafe) {
			t.Errorf("%s: the display says %q", name, two[1])
		}
	})
}

func TestReceiptOf97(t *testing.T) {
	k := codes.Builtin()
	c, _ := k.Cause("merchant.not-registered")
	if c.ID == "" {
		c, _ = k.Cause("terminal.not-registered")
	}
	for lang, want := range map[string]string{"zh": "未扣款", "en": "not charged"} {
		d := report.Diagnosis{Event: report.Event{Code: "97", Time: time.Unix(1.8e9, 0)},
			Money: report.Money{State: report.MoneyDeclined, Retry: report.RetryNo,
				Say: k.Word("money", "declined").Sentence().In(lang)}, Causes: []report.Cause{{ID: c.ID, Title: c.Title.In(lang),
				Act: report.Act{By: c.Act, Step: c.StepsFor("no").In(lang)}}}}
		t.Logf("\n%s\n%s", strings.Join(Receipt(d, 32), "\n"), strings.Join(Receipt(d, 48), "\n"))
		if got := Display(d, 20)[0]; !strings.Contains(got, want) {
			t.Errorf("%s: %q", lang, got)
		}
	}
}
