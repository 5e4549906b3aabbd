package diagnose

import (
	"regexp"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// What a line tells a person to do, read as a stranger reads it.
var (
	tellsAgain = regexp.MustCompile(`(?i)try (it |one payment |this payment )?(once more|again|at once)|再试一笔|再输一次|重输一次|可以马上再试|重新操作一次|过几分钟再试|分钟.{0,3}再试`)
	tellsOther = regexp.MustCompile(`(?i)another card|another way to pay|other means|换一张卡|换卡|换一种付款方式|换付款方式|其他付款方式`)
	forbids    = regexp.MustCompile(`(?i)do not (simply )?(try|repeat|charge) again|不要再试|不要直接重刷|不要重做`)
	tellsLater = regexp.MustCompile(`(?i)try again later|请稍后再试`)
)

// TestAdviceAgreesWithItself reads the money line and the steps of every cause together, for every state of the money
// and every advice: no line sends the customer back to pay when another forbids it, none waits for what only a person
// mends.
func TestAdviceAgreesWithItself(t *testing.T) {
	k := codes.Builtin()
	states := []string{report.MoneyNotSent, report.MoneySentNoAnswer, report.MoneyDeclined, report.MoneyApproved,
		report.MoneyUnknown}
	retries := []string{report.RetrySafe, report.RetryLater, report.RetryQueryFirst, report.RetryAfterSignin,
		report.RetryOtherMeans, report.RetryNo}
	for i := range k.Causes {
		c := &k.Causes[i]
		for _, state := range states {
			for _, retry := range retries {
				for _, lang := range []string{"zh", "en"} {
					money, steps := moneySay(k, state, retry, c.Act).In(lang), c.StepsFor(retry).In(lang)
					complain := func(what string) { t.Errorf("%s, %s, %s: %s\n  %s\n  %s", c.ID, state, retry, what, money, steps) }
					untilMended := regexp.MustCompile(`before it has been put right|处理好之前`).MatchString(money)
					if forbids.MatchString(money) && !untilMended && tellsAgain.MatchString(steps) {
						complain("one line forbids another try, a step asks for one")
					}
					if retry == report.RetryQueryFirst && tellsOther.MatchString(steps) {
						complain("another card although the first charge may stand")
					}
					if retry == report.RetrySafe && forbids.MatchString(steps) {
						complain("safe to try again, and a step forbids it")
					}
					if mends := c.Act == "staff" || c.Act == "technician"; mends && tellsLater.MatchString(money) {
						complain("waiting is advised where somebody must act")
					}
					if steps == "" {
						complain("nothing to do")
					}
				}
			}
		}
	}
}

// TestAdviceTestCanFail keeps the readers of TestAdviceAgreesWithItself awake.
func TestAdviceTestCanFail(t *testing.T) {
	for text, re := range map[string]*regexp.Regexp{
		"1. Sign in again and try one payment. Then try once more.": tellsAgain, "先重新签到，再试一笔。": tellsAgain, "请顾客换一张卡。": tellsOther,
		"Use another card.": tellsOther, "Do not try again.": forbids, "先查询，不要直接重刷": forbids, "请稍后再试。": tellsLater,
	} {
		if !re.MatchString(text) {
			t.Errorf("%q is not read", text)
		}
	}
}

// TestFirstStepNamesWhoActs: whom a cause sends for stands in its first step, or the step says that it is for the time
// until they have acted. Looking up what became of the money comes before either.
func TestFirstStepNamesWhoActs(t *testing.T) {
	called := map[string]*regexp.Regexp{"carrier": regexp.MustCompile(`carrier|运营商`), "acquirer": regexp.MustCompile(`acquirer|收单机构`)}
	read := 0
	for _, c := range codes.Builtin().Causes {
		name := called[c.Act]
		if name == nil {
			continue
		}
		for _, advice := range []string{report.RetrySafe, report.RetryLater, report.RetryQueryFirst, report.RetryAfterSignin,
			report.RetryOtherMeans, report.RetryNo, codes.StepsSettlement, codes.StepsSignIn} {
			for _, lang := range []string{"zh", "en"} {
				steps := c.ListFor(advice)
				if len(steps) > 1 && looksUp.MatchString(steps[0].In(lang)) {
					steps = steps[1:]
				}
				if len(steps) == 0 {
					continue
				}
				if read++; !name.MatchString(steps[0].In(lang)) {
					t.Errorf("%s sends for the %s, and begins (%s): %s", c.ID, c.Act, advice, steps[0].In(lang))
				}
			}
		}
	}
	if read < 100 {
		t.Errorf("only %d first steps read", read)
	}
}
