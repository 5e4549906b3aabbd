package diagnose

import (
	"math"
	"slices"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// money says what became of the customer's money and whether to try again. It follows from what was sent and answered,
// not from the cause; the cause only chooses among advice that cannot charge anybody twice.
//
// The order of the cases is the proof: safe and later come after every way in which a request may have left without an
// answer has been taken out.
func (s *state) money(first string, abstained bool, lang string) report.Money {
	state, retry := s.moneyState(first)
	by := ""
	if !abstained { // where nothing is named there is nothing to put right below
		by = mender(s.cause(first).Cause)
	}
	said := state
	switch {
	case s.signIn():
		said = "sign-in"
	case s.settlement():
		said = "settlement"
	case s.reversing() && state == report.MoneyDeclined:
		said = "reversed"
	case s.reversing() && state == report.MoneyUnknown:
		said = "reversing"
	case state == report.MoneyApproved && s.prior.Topic == "partial-approval":
		said = "approved-part"
	case state == report.MoneyApproved && s.offlineApproved():
		said = "approved-offline"
	}
	advice := retry
	if retry == report.RetryOtherMeans && !abstained && s.cause(first).Segment == "reader" {
		advice = "other-means-reader"
	}
	if !s.isPayment() {
		advice = s.cardlessAdvice(retry)
	}
	return report.Money{State: state, Retry: retry, Say: moneySay(s.k, said, advice, by).In(lang)}
}

// cardlessAdvice words the advice about a message that is no payment: it charges nobody, and may be done again once
// what stopped it is put right.
func (s *state) cardlessAdvice(retry string) string {
	switch {
	case retry == report.RetryNo && slices.Contains(approvals, s.prior.Topic):
		return "done"
	case retry == report.RetryNo:
		return "no-mend"
	case retry == report.RetryAfterSignin && s.prior.Retry != retry && !s.txn.answered(s.ev.Origin):
		return "silent" // nobody refused it, and the code asks for no sign-in
	}
	return retry
}

// mender returns who can put a cause right so that the customer's next try goes through. It is "" for causes of the
// card or its issuer: a card that is to be kept is never paid with.
func mender(c *codes.Cause) string {
	if slices.Contains(cardSegments, c.Segment) {
		return ""
	}
	return c.Act
}

// isPayment tells whether money moves by the message that carried the code.
func (s *state) isPayment() bool { return !s.holdsNoCard() && !s.reversing() }

// holdsNoCard tells the messages that charge nobody.
func (s *state) holdsNoCard() bool { return s.signIn() || s.settlement() }

// moneyState returns what became of the money and whether to try again, with what is known of earlier requests: while
// a reversal waits, an earlier payment may still stand.
func (s *state) moneyState(first string) (state, retry string) {
	state, retry = s.thisRequest(first)
	again := retry != report.RetryNo && retry != report.RetryQueryFirst
	if again && s.reversalWaits() && !s.holdsNoCard() {
		// What is to be taken back may be an earlier try of this customer, and it stands until the host has taken it back.
		return report.MoneyUnknown, report.RetryQueryFirst
	}
	return state, retry
}

// thisRequest is moneyState without regard to earlier requests.
func (s *state) thisRequest(first string) (state, retry string) {
	t := &s.txn
	host := s.hostVerdict()
	switch {
	case s.signIn():
		return s.signInState(host, first)
	case s.settlement():
		return s.settlementState(host, first)
	case t.clash:
		return report.MoneyUnknown, report.RetryQueryFirst
	case s.reversing():
		return s.reversalState()
	case host && s.approval():
		return report.MoneyApproved, report.RetryNo
	case host && s.prior.Topic == "uncertain-approval":
		return report.MoneyApproved, report.RetryQueryFirst
	case s.openTry():
		// An earlier try of this sale got no answer and may have been carried out: what became of this one says nothing of
		// it.
		return report.MoneyUnknown, report.RetryQueryFirst
	case host && s.undecided():
		// The host itself does not know, or says that an earlier request may stand.
		return report.MoneyUnknown, report.RetryQueryFirst
	case host && (!s.res.Known || !s.res.Usable && s.res.Rows > 1):
		return report.MoneyUnknown, report.RetryQueryFirst // the host said something that no table explains
	case s.offlineApproved():
		return report.MoneyApproved, report.RetryNo
	case t.mti.Advice() || t.mti.Repeat():
		// A sale was made offline, or tried before; what this message brought says nothing of that one.
		return report.MoneyUnknown, report.RetryQueryFirst
	case host && s.ev.Origin == report.OriginCashier:
		return report.MoneyUnknown, hearsay(s.retryDeclined(first))
	case host && s.writer.inferred:
		// Nobody but a host writes this code; whether it speaks of this sale is only a person's word, and no charge is denied
		// on
		// that: whoever shows it is asked.
		return report.MoneyUnknown, hearsay(s.retryDeclined(first))
	case host:
		return report.MoneyDeclined, s.retryDeclined(first)
	case no(t.sent) && s.contradicted():
		return report.MoneyUnknown, report.RetryQueryFirst
	case no(t.sent):
		return report.MoneyNotSent, s.retryNotSent(first)
	case yes(t.answer):
		// Somebody answered, but what the code says of it is not the host's word.
		return report.MoneyUnknown, report.RetryQueryFirst
	case yes(t.sent):
		return report.MoneySentNoAnswer, report.RetryQueryFirst
	case s.neverRead():
		// Without a card there was nothing to send; another one helps where it is the card.
		if retry = s.retryNotSent(first); retry == report.RetrySafe {
			retry = report.RetryOtherMeans
		}
		return report.MoneyNotSent, retry
	}
	return report.MoneyUnknown, report.RetryQueryFirst
}

// contradicted tells whether anything speaks against a witness who says that nothing was sent. A single witness may be
// wrong, and a customer would pay for it.
func (s *state) contradicted() bool {
	t := &s.txn
	return s.ev.Origin == report.OriginHost || // a host wrote the code
		t.mti.Response() || t.responseMS != nil && *t.responseMS > 0 || // an answer was seen or timed
		t.old || // the evidence is of an earlier transaction
		s.speaksOfLater() || s.mayMeanLater() || slices.Contains(approvals, s.prior.Topic) // approved, perhaps offline
}

// approvals are the topics of codes that say that a sale was approved: whole, in part, or perhaps.
var approvals = []string{"success", "partial-approval", "uncertain-approval"}

// approval tells whether the code says that a sale was approved, whole or in part.
func (s *state) approval() bool {
	return s.prior.Topic == "success" || s.prior.Topic == "partial-approval"
}

// openTry tells whether an earlier try of the same sale may stand at the host.
func (s *state) openTry() bool {
	it := s.First(evidence.TxnHistory)
	return it != nil && it.Str(evidence.FirstTry) != ""
}

// reversalWaits tells whether the journal holds a reversal that the host has not confirmed.
func (s *state) reversalWaits() bool {
	it := s.First(evidence.AppJournal)
	if it == nil {
		return false
	}
	n, ok := it.Num(evidence.PendingReversals)
	return ok && n >= 1
}

// afterSending are the topics of a stage at which the request has left and its fate is open: an answer too late or one
// that could not be read, a reversal due, an original not found, a trace number used before. A bare time-out of a
// terminal is not among them: it may be the connection that timed out.
var afterSending = []string{"answer-bad", "reversal-failed", "reversal-no-answer", "reversal-mac", "reversal-other",
	"issuer-late", "host-late", "pending", "duplicate", "journal", "original", "original-amount"}

// stagesAfter are the stages of a sale at which the request has left.
var stagesAfter = []string{"wait", "answer", "unpack", "print"}

// undecided tells whether a host's code says that it does not know the request's fate, or that an earlier one may
// stand.
func (s *state) undecided() bool {
	return s.prior.Retry == report.RetryQueryFirst || s.res.Meaning.Retry == "after-reversal"
}

// speaksOfLater tells whether the code, as it was written or as a host would have written it, belongs to a stage after
// sending.
func (s *state) speaksOfLater() bool {
	later := func(res codes.Resolution) bool {
		topic := s.f.Topic(res.Meaning)
		return res.Known && (res.Meaning.Retry == "after-reversal" || slices.Contains(afterSending, topic) ||
			slices.Contains(approvals, topic))
	}
	// The terminal's own code of a stage that comes after sending: a receipt is printed when the sale is made.
	if s.ownCode() && len(s.prior.Stages) > 0 &&
		!slices.ContainsFunc(s.prior.Stages, func(at string) bool { return !slices.Contains(stagesAfter, at) }) {
		return true
	}
	if s.ownCode() && slices.Contains(hostClasses, s.res.Meaning.Class) {
		return true
	}
	return later(s.res) || later(s.k.Resolve(s.profile, s.ev.Scheme, s.ev.Code, string(report.OriginHost)))
}

// mayMeanLater tells whether a code whose meaning is not settled may speak of a stage after sending: a code that no
// table has, by its own words; one of several readings, by any of them.
func (s *state) mayMeanLater() bool {
	if !s.res.Known {
		return s.f.SpeaksOfLater(s.ev.Code)
	}
	if s.res.Meaning.Class == codes.ClassAnyName {
		return s.f.SpeaksOfLater(s.ev.Code) && !s.stoppedBefore()
	}
	if s.res.Usable || s.res.Rows < 2 || s.stoppedBefore() {
		return false
	}
	return slices.ContainsFunc(s.k.Readings(s.res.Scheme, s.ev.Code), func(m codes.Meaning) bool {
		return m.Retry == "after-reversal" || slices.Contains(openClasses, m.Class) ||
			slices.Contains(afterSending, s.f.Topic(m)) || s.f.SpeaksOfLater(m.Text.EN) || s.f.SpeaksOfLater(m.Text.ZH)
	})
}

// stoppedBefore tells whether the checks found a way that lets nothing through, or storage on which no reversal can be
// noted, as must be before anything is sent: a second witness for the claim that nothing was, where the code itself
// says nothing certain.
func (s *state) stoppedBefore() bool {
	first := s.ranked()[0]
	dead := slices.Contains(waySegments, first.Segment) && !slices.Contains(leaky, first.ID)
	return first.p >= stoppedFrom && first.witnesses > 0 && (dead || first.ID == "terminal.storage-full")
}

const stoppedFrom = 0.9 // probability

// waySegments are those of what lies between the terminal and the host.
var waySegments = []string{"modem", "lan", "wan"}

// leaky are the causes there that let a part of the messages through, so that a request may have left after all.
var leaky = []string{"bearer.flapping", "lan.conflict", "lan.noise", "lan.wifi", "modem.signal-weak", "wan.loss", "wan.mtu",
	"wan.slow"}

// openClasses are the classes of meanings that leave the result of a request open.
var openClasses = []string{"timeout", "pending", "unknown", "reversal"}

// hostClasses are the classes of a terminal's own codes with which it shows what a host answered.
var hostClasses = []string{"host", "display"}

// signInState is the money of network management messages, which charge nobody: all advice is harmless there.
func (s *state) signInState(host bool, first string) (state, retry string) {
	switch {
	case host && slices.Contains(approvals, s.prior.Topic):
		return report.MoneyNotSent, report.RetryNo
	case host && s.res.Known && (s.res.Usable || s.res.Rows <= 1) && !s.undecided():
		return report.MoneyDeclined, cardless(s.retryDeclined(first))
	case no(s.txn.sent) && !s.txn.clash && !s.contradicted():
		return report.MoneyNotSent, cardless(s.retryNotSent(first))
	}
	return report.MoneyNotSent, report.RetryAfterSignin
}

// hostVerdict tells whether the code is what a host answered, in a meaning that can be relied on.
func (s *state) hostVerdict() bool {
	return s.txn.answered(s.ev.Origin) && !s.ownCode() && s.ev.Origin != report.OriginUnknown &&
		(s.res.Usable || s.ev.Origin == report.OriginHost || s.ev.Origin == report.OriginCashier && len(s.ev.Code) == 2 &&
			s.res.Known) &&
		(s.ev.Origin != report.OriginTerminal || s.txn.mti.Response())
}

// reversing tells whether the message that carried the code belongs to a reversal: then an earlier request is being
// taken back, and its own fate counts.
func (s *state) reversing() bool {
	return s.txn.mti.Reversal()
}

func (s *state) reversalState() (state, retry string) {
	if s.hostVerdict() && s.txn.mti.Response() && s.prior.Topic == "success" {
		// The host took back what the reversal named. Nothing is to be repeated; a payment that is still owed is a new sale,
		// and whether one is owed shows the journal: what was taken back may itself have been a void.
		return report.MoneyDeclined, report.RetryQueryFirst
	}
	if yes(s.txn.sent) && !s.txn.answered(s.ev.Origin) {
		return report.MoneySentNoAnswer, report.RetryQueryFirst
	}
	return report.MoneyUnknown, report.RetryQueryFirst
}

// settlementState is the money of reconciliation messages: they compare totals and charge nobody.
func (s *state) settlementState(host bool, first string) (state, retry string) {
	switch {
	case host && slices.Contains(approvals, s.prior.Topic):
		return report.MoneyNotSent, report.RetryNo // done
	case host && s.undecided():
		return report.MoneyNotSent, report.RetryLater // it charges nobody, and may be done again
	case host && s.res.Known && (s.res.Usable || s.res.Rows <= 1):
		return report.MoneyNotSent, cardless(s.retryDeclined(first))
	}
	return report.MoneyNotSent, report.RetryLater
}

// cardless turns advice that speaks of the customer's card into advice for a message that holds none.
func cardless(retry string) string {
	if retry == report.RetryOtherMeans || retry == report.RetrySafe {
		return report.RetryLater
	}
	return retry
}

// settlement and signIn tell messages that charge nobody: of totals, and of network, files and administration.
func (s *state) settlement() bool { return s.txn.mti.Settlement() }
func (s *state) signIn() bool     { return s.txn.mti.Management() }

// offlineApproved tells whether the card approved the sale without the host. A request that left may have been answered
// otherwise; an advice reports the sale as it was made.
func (s *state) offlineApproved() bool {
	return s.res.Scheme == codes.SchemeCard && s.res.Known && slices.Contains([]string{"Y1", "Y2", "Y3"}, s.ev.Code) &&
		(!yes(s.txn.sent) || s.txn.mti.Advice() && !s.txn.mti.Response())
}

// neverRead tells whether the terminal's own code says that the stripe was not read, and nothing speaks of a message:
// then there was nothing to send. A chip can fail after the host has answered, and so does not count.
func (s *state) neverRead() bool {
	t := &s.txn
	return s.res.Scheme == codes.SchemeLocal && s.prior.Topic == "swipe" && s.res.Usable && !s.res.Meaning.Disputed &&
		s.ev.Origin == report.OriginTerminal && !s.writer.inferred && t.mti == "" && t.connectMS == nil &&
		t.responseMS == nil && !t.old
}

// retryDeclined is the advice after a host said no. What it declined is not charged.
func (s *state) retryDeclined(first string) string {
	switch s.prior.Retry {
	case report.RetryAfterSignin:
		if s.has("session.since") && first == "terminal.session" {
			return report.RetrySafe // it has signed in meanwhile
		}
		if s.has("session.fresh") || s.has("keys.bad") || s.has("keys.cell") || first == "terminal.config" || first == "terminal.not-registered" {
			return report.RetryNo // signed in a moment ago, or no keys: once more cannot help
		}
	case report.RetrySafe:
		if first == "terminal.keys" || first == "pinpad.fault" || s.prior.Topic == "pin" && s.cardsWithCode() > 1 {
			return report.RetryNo // the right PIN will be refused as well, and another card loses a try by it
		}
		if s.prior.Topic == "pin" && s.timesWithCode() >= pinTries {
			return report.RetryOtherMeans // this card is locked by now, or will be with the next try
		}
		if s.cardsTried() {
			return report.RetryOtherMeans // one more try is no advice after all of these
		}
	case report.RetryOtherMeans:
		if first == "card.data-mistyped" || s.prior.Topic == "card-number" && s.txn.entry == "manual" {
			return report.RetrySafe
		}
		if first == "card.wrong-method" && s.txn.entry == "stripe" && !s.cardsTried() {
			return report.RetrySafe // the same card by its chip
		}
	case report.RetryLater:
		if strings.HasPrefix(first, "terminal.") {
			return report.RetryNo // not until a person has acted
		}
	}
	return s.prior.Retry
}

// pinTries is how many wrong PINs lock a card at nearly every issuer.
const pinTries = 3

// cardsWithCode returns the least number of distinct cards that met this code within the hour. A count that is missing
// follows as a bound from those that are there.
func (s *state) cardsWithCode() int {
	it := s.First(evidence.TxnHistory)
	if it == nil {
		return 1
	}
	least := 1.0
	if n, ok := it.Num(evidence.CardsSameCode1h); ok {
		least = max(least, n)
	} else if n, ok := it.Num(evidence.SameCode1h); ok {
		least = max(least, math.Ceil(n/pinTries))
	}
	if n, ok := it.Num(evidence.IssuersSameCode1h); ok {
		least = max(least, n) // a card has one issuer
	}
	return int(min(least, 1000))
}

// timesWithCode returns how often this terminal met the code within the hour, 0 if nobody counted.
func (s *state) timesWithCode() float64 {
	it := s.First(evidence.TxnHistory)
	if it == nil {
		return 0
	}
	n, _ := it.Num(evidence.SameCode1h)
	return n
}

// hearsay is what a host's advice becomes where a cashier program passed it on: query first, since the customer might
// pay twice by anything more.
func hearsay(retry string) string {
	if retry == report.RetryNo {
		return retry
	}
	return report.RetryQueryFirst
}

// retryNotSent is the advice when nothing left the terminal.
func (s *state) retryNotSent(first string) string {
	if first == report.Unexplained {
		return report.RetrySafe
	}
	return s.f.RetryFor(first)
}

// moneySay writes the sentences about the money. by is who has to mend the first cause, "" if nobody is named. They
// are told that something must be mended first: a customer who hears only "do not try again" never comes back.
func moneySay(k *codes.Knowledge, state, retry, by string) codes.Text {
	switch {
	case state == "reversed":
		retry = "reversed"
	case retry == report.RetryNo && slices.Contains([]string{report.MoneyApproved, "approved-part", "approved-offline"}, state):
		retry = "no-approved" // no fault that is put right makes a second charge right
		by = ""
	}
	mend := by == "staff" || by == "technician" || by == "acquirer" && retry == report.RetryNo
	if mend && (retry == report.RetryLater || retry == report.RetryNo) {
		retry += "-mend"
	}
	return k.Word("money", state).Sentence().And(k.Word("retry", retry).Sentence())
}
