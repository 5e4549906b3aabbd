package diagnose

import (
	"slices"

	"posdx/agent/report"
	"posdx/codes"
)

// askWriter is the question who shows a code, for a person who only reads it from somewhere.
const askWriter = "ask.writer"

// writerAnswers are its answers in the order they are offered, and what each says of the code's writer.
var writerAnswers = []struct {
	sign   string
	origin report.Origin
	share  float64 // how often each is the answer, roughly: a code that a merchant reads out mostly comes from the receipt
	say    codes.Text
}{
	{"writer.host", report.OriginHost, 0.5, codes.Text{ZH: "收据或屏幕上的主机应答码", EN: "the host's answer, on the receipt or the screen"}},
	{"writer.terminal", report.OriginTerminal, 0.3, codes.Text{ZH: "终端自己的提示", EN: "the terminal's own message"}},
	{"writer.cashier", report.OriginCashier, 0.2, codes.Text{ZH: "收银机或收银软件", EN: "the cash register or its program"}},
}

var askWriterText = codes.Text{
	ZH: "这个码是谁显示的：主机的应答（在收据上）、终端自己、还是收银机？",
	EN: "Who shows this code: the host's answer (on the receipt), the terminal itself, or the cash register?",
}

// A writer is who wrote a code, and how that is known.
type writer struct {
	origin   report.Origin
	inferred bool // it was not told; only they can have written it
	open     bool // several can have written it, and no person was asked yet
}

// findWriter finds out who wrote a code: the event says so, a person has answered the question, or the tables know of
// one possible writer only.
func findWriter(ev *report.Event, evidence []report.Evidence, k *codes.Knowledge, p codes.Profile) writer {
	if ev.Origin != report.OriginUnknown && ev.Origin != "" || ev.Code == "" {
		return writer{origin: ev.Origin}
	}
	for i := range evidence {
		answer, _ := evidence[i].Facts.Str("answer")
		for _, a := range writerAnswers {
			if evidence[i].Check == askWriter && a.sign == answer {
				return writer{origin: a.origin}
			}
		}
	}
	if who := k.Writers(p, ev.Scheme, ev.Code); len(who) == 1 && !deniesAnswer(ev, evidence) {
		return writer{origin: report.Origin(who[0]), inferred: true}
	}
	return writer{origin: ev.Origin, open: true}
}

// deniesAnswer tells whether a witness says that no host answered. A host's code is then somebody's invention.
func deniesAnswer(ev *report.Event, evidence []report.Evidence) bool {
	if ev.Txn != nil && no(ev.Txn.HostAnswerSeen) {
		return true
	}
	return slices.ContainsFunc(evidence, func(e report.Evidence) bool {
		seen, told := e.Facts.Bool("host_answer_seen")
		return e.Check == "txn.answer" && told && !seen
	})
}

// askForWriter adds the question who shows the code, where that is not known, or where it was inferred and an answer
// could change the advice for the money.
func (s *state) askForWriter(steps []Step, lang string) []Step {
	if !s.writer.open && !s.writer.inferred {
		return steps
	}
	state, retry := s.moneyState(s.ranked()[0].ID)
	changes := s.writer.open
	before, after := s.uncertainty(), 0.0
	step := Step{NextTest: report.NextTest{Check: askWriter, How: askWriterText.In(lang), CostS: 10,
		Depth: report.Interactive}}
	for _, a := range writerAnswers {
		e, _ := After(s.k, askWriter, a.sign)
		then := infer(s.given, append(slices.Clip(s.evidence), e), s.k, s.profile)
		after += a.share * then.uncertainty()
		first := then.ranked()[0]
		thenState, thenRetry := then.moneyState(first.ID)
		changes = changes || thenState != state || thenRetry != retry
		step.Answers = append(step.Answers, Answer{Sign: a.sign, Say: a.say.In(lang), Probability: a.share, First: first.ID,
			FirstP: round(first.p, 3)})
	}
	if !changes {
		return steps
	}
	step.saved = wrongTurnS // at least: the advice for the money hangs on it
	// Whose code it is also decides about the money, so it is worth asking where it teaches little of the cause.
	step.GainBits = round(max(before-after, minAskBits), 3)
	return append(steps, step)
}

// uncertainty returns the entropy of the causes in bits.
func (s *state) uncertainty() float64 {
	sum := 0.0
	for i := range s.causes {
		sum += entropy(s.causes[i].p)
	}
	return sum
}

func isWriter(answer string) bool {
	for _, a := range writerAnswers {
		if a.sign == answer {
			return true
		}
	}
	return false
}
