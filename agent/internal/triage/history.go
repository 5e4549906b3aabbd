package triage

import (
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

const (
	hour = time.Hour
	// maxHistory bounds the memory of sales: four a minute for an hour, more than a cashier can make.
	maxHistory = 256
	// responses is how many answer times make the normal one: enough for a median that one slow hour does not move.
	responses = 31
	// enoughResponses is the fewest answer times from which a normal one is told.
	enoughResponses = 5
)

// history counts what happened on this terminal since the agent started. Times are monotonic: the clock of a terminal
// may jump. It belongs to the loop's goroutine.
type history struct {
	sales     sales
	seen      []*seen
	answers   []int64 // response times of answered requests, newest last
	lastTook  string  // trace number of the last of them
	approved  time.Time
	first     map[string]time.Time // code to its first appearance since the last sale that ended without it
	approvals int                  // since the payment application was updated
	cards     []card
	pending   []*pending // diagnoses of which it is not known what became of them
	since     time.Time  // when counting began

	starts  func(since time.Time) int // of the machine; nil where they are not counted
	reached map[string]int            // failed sales of each code since the last approval with a reachable host
	updates map[string]int            // sales of each code since the payment application was updated
}

// A card is one card put to the reader, by however many tries. Nothing of the card itself is known here.
type card struct {
	at           time.Time
	entry        string
	good, failed int
}

type seen struct {
	at       time.Time
	code     string
	entry    string
	approved bool
	declined bool
	card     int // which, of those of this process; 0 is not known
	issuer   int
	open     bool // its request may stand at the host: it left, and no answer came
}

// add adds the code of a sale that no source has reported before. Class A is an approval; an answered code of another
// class is a decline.
func (h *history) add(now time.Time, ev report.Event, class string) *seen {
	s := &seen{at: now, code: ev.Code, entry: txn(ev).Entry}
	answered := ev.Origin == report.OriginHost
	s.approved = class == "A" && answered && isSale(ev)
	s.declined = answered && class != "A" && isSale(ev)
	if s.approved {
		return h.approve(s)
	}
	if h.first == nil {
		h.first = map[string]time.Time{}
	}
	if _, ok := h.first[ev.Code]; !ok && class != "A" && len(h.first) < maxHistory {
		h.first[ev.Code] = now
	}
	if h.updates == nil {
		h.updates = map[string]int{}
	}
	if _, ok := h.updates[ev.Code]; ok || len(h.updates) < maxHistory {
		h.updates[ev.Code]++
	}
	h.seen = append(h.seen, s)
	h.trim(now)
	return s
}

// leave notes that a request may stand though its sale failed.
func (s *seen) leave(open bool) {
	if s != nil {
		s.open = open
	}
}

// tryAgain is how long after a sale that ended without an answer the next one may be another try of it.
const tryAgain = 5 * time.Minute

// tries finds whether the newest sale is another try of one whose request may have been carried out: the sale before
// it, unless that was certainly of another card; or, where cards are told apart, an earlier sale of the same card.
// Amounts are not known here, so this errs to the side on which no customer is charged twice. n counts the tries.
func (h *history) tries(now time.Time, code string) (n int, open bool) {
	last := len(h.seen) - 1
	if last < 0 || h.seen[last].code != code || h.seen[last].approved {
		return 0, false
	}
	n = 1
	s := h.seen[last]
	for i := last - 1; i >= 0; i-- {
		o := h.seen[i]
		known := o.card != 0 && s.card != 0
		switch {
		case o.approved && (!known || o.card == s.card), s.at.Sub(o.at) > tryAgain:
			return n, open
		case known && o.card != s.card: // another customer between two tries
			continue
		}
		n++
		open = open || o.open
		if !known {
			break
		}
	}
	return n, open
}

// more takes in what another channel knows of a sale that was counted before.
func (s *seen) more(entry string, card, issuer int) {
	if s == nil {
		return
	}
	if s.entry == "" {
		s.entry = entry
	}
	if s.card == 0 {
		s.card, s.issuer = card, issuer
	}
}

// took learns how long the host took to answer, once for a sale that is told of at several steps.
func (h *history) took(stan string, ms int64) {
	if n := len(h.answers); n > 0 && stan != "" && stan == h.lastTook && h.answers[n-1] == ms {
		return
	}
	h.lastTook = stan
	h.answers = append(h.answers, ms)
	if len(h.answers) > responses {
		h.answers = slices.Delete(h.answers, 0, 1)
	}
}

// distinct counts the cards and issuers of a code. It returns false if one of them is not known: an unknown one may be
// the same card or another.
func (h *history) distinct(code string) (cards, issuers int, ok bool) {
	number := func(of func(*seen) int) int {
		all := map[int]bool{}
		for _, s := range h.seen {
			if s.code == code {
				all[of(s)] = true
			}
		}
		if all[0] {
			return 0
		}
		return len(all)
	}
	cards, issuers = number(func(s *seen) int { return s.card }), number(func(s *seen) int { return s.issuer })
	return cards, issuers, cards > 0 && issuers > 0
}

func (h *history) trim(now time.Time) {
	cut := 0
	for cut < len(h.cards) && (now.Sub(h.cards[cut].at) > hour || len(h.cards)-cut > maxHistory) {
		cut++
	}
	h.cards = slices.Delete(h.cards, 0, cut)
	cut = 0
	for cut < len(h.seen) && (now.Sub(h.seen[cut].at) > hour || len(h.seen)-cut > maxHistory) {
		cut++
	}
	h.seen = slices.Delete(h.seen, 0, cut)
}

// isSale reports whether a code is of a payment: a sign-in or a settlement that goes well is no approval. A message
// whose type is not known is taken for a payment.
func isSale(ev report.Event) bool {
	mti := codes.MTI(txn(ev).MTI)
	return len(mti) != 4 || mti.Payment()
}

// approve counts a sale that ended well.
func (h *history) approve(s *seen) *seen {
	h.trim(s.at)
	clear(h.first)
	clear(h.reached)
	h.approved = s.at
	h.approvals++
	h.seen = append(h.seen, s)
	h.trim(s.at)
	return s
}

// read counts an attempt to read a card; again means the card of the attempt before.
func (h *history) read(now time.Time, entry string, ok, again bool) {
	if n := len(h.cards); !again || n == 0 {
		h.cards = append(h.cards, card{entry: entry})
	}
	c := &h.cards[len(h.cards)-1]
	c.at = now
	if ok {
		c.good++
	} else {
		c.failed++
	}
	h.trim(now)
}

// updated starts the counts anew: the payment application changed.
func (h *history) updated() {
	h.approvals = 0
	clear(h.updates)
}

// looked takes in what the checks found after a sale had failed: whether the terminal itself reached the host then.
func (h *history) looked(code string, began time.Time, found []report.Evidence) {
	if h.reached == nil {
		h.reached = map[string]int{}
	}
	if _, ok := h.reached[code]; !ok && len(h.reached) >= maxHistory {
		return
	}
	for _, e := range found {
		by, _ := e.Facts.Str(evidence.By.Name())
		host := evidence.Check(e.Check) == evidence.NetTCP && strings.HasPrefix(e.Subject, "host-")
		if host && e.Status == report.OK && by == "" && e.At.After(began) {
			h.reached[code]++
			return
		}
	}
}

// restarts counts the starts of the machine since the last approval, false where that is not known. An approval before
// this start may be later than the recorded one by as much as lies between two writes.
func (h *history) restarts() (n int, known bool) {
	if h.starts == nil || h.approved.IsZero() {
		return 0, false
	}
	since := h.approved
	if since.Before(h.since) {
		since = since.Add(hour)
	}
	return h.starts(since), true
}

// evidence is the txn.history of the contract as seen from an event.
func (h *history) evidence(now time.Time, ev report.Event) report.Evidence {
	h.trim(now)
	var facts []evidence.Value
	count := func(f evidence.Fact[float64], n int) { facts = append(facts, f.Is(float64(n))) }
	if h.approvals > 0 {
		count(evidence.ApprovalsSinceUpdate, h.approvals)
	}
	if n := h.reached[ev.Code]; n > 0 {
		count(evidence.ReachedAfter, n)
	}
	if n := h.updates[ev.Code]; n > 0 {
		count(evidence.SameCodeSinceUpdate, n)
	}
	if n, known := h.restarts(); known {
		count(evidence.RestartsSinceApproval, n)
	}
	if n, open := h.tries(now, ev.Code); open {
		count(evidence.Tries, n)
		facts = append(facts, evidence.FirstTry.Is("no-answer"))
	}
	var same, approvals, declines int
	by, failures := map[string]float64{}, map[string]float64{}
	for _, s := range h.seen {
		if s.code == ev.Code {
			same++
		}
		if s.approved {
			approvals++
			if s.entry != "" {
				by[s.entry]++
			}
		}
		if s.declined {
			declines++
		}
	}
	unread := 0
	for _, c := range h.cards {
		if c.good == 0 {
			unread++
		}
		if c.failed > 0 && c.entry != "" {
			failures[c.entry] += float64(c.failed)
		}
	}
	if len(h.cards) > 0 {
		count(evidence.Cards1h, len(h.cards))
		count(evidence.CardsFailed1h, unread)
	}
	count(evidence.SameCode1h, same)
	if cards, issuers, ok := h.distinct(ev.Code); ok {
		count(evidence.CardsSameCode1h, cards)
		count(evidence.IssuersSameCode1h, issuers)
	}
	// An agent that started a moment ago has seen no approval, which says nothing of the terminal.
	if !h.approved.IsZero() || now.Sub(h.since) >= hour {
		count(evidence.Approvals1h, approvals)
		count(evidence.Declines1h, declines)
	}
	if len(by) > 0 {
		facts = append(facts, evidence.ApprovalsBy.Is(by))
	}
	if len(failures) > 0 {
		facts = append(facts, evidence.EntryFailures.Is(failures))
	}
	if !h.approved.IsZero() {
		facts = append(facts, evidence.LastApprovalAgeS.Is(tenths(now.Sub(h.approved))))
	} else if now.Sub(h.since) >= hour {
		facts = append(facts, evidence.NoApprovalS.Is(tenths(now.Sub(h.since)))) // and none is on record from before
	}
	if t, ok := h.first[ev.Code]; ok {
		facts = append(facts, evidence.FirstSeenAgeS.Is(tenths(now.Sub(t))))
	}
	return internal(evidence.New(evidence.TxnHistory, "terminal", facts...))
}

// tenths gives seconds with one decimal: which of two things came first matters more than either age.
func tenths(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// answer is the txn.answer of the contract: what the event itself says of the way to the host and back.
func (h *history) answer(ev report.Event) report.Evidence {
	var facts []evidence.Value
	if t := ev.Txn; t != nil && (t.HostAnswerSeen != nil || t.Sent != nil) {
		facts = h.told(t)
	}
	return internal(evidence.New(evidence.TxnAnswer, "txn", facts...))
}

// told are the facts of an event's transaction, and this host's own pace.
func (h *history) told(t *report.Txn) (facts []evidence.Value) {
	for _, v := range [...]struct {
		fact  evidence.Fact[bool]
		known *bool
	}{{evidence.Sent, t.Sent}, {evidence.HostAnswerSeen, t.HostAnswerSeen}} {
		if v.known != nil {
			facts = append(facts, v.fact.Is(*v.known))
		}
	}
	for _, v := range [...]struct {
		fact  evidence.Fact[float64]
		known *int64
	}{{evidence.ConnectMS, t.ConnectMS}, {evidence.ResponseMS, t.ResponseMS}} {
		if v.known != nil {
			facts = append(facts, v.fact.Is(float64(*v.known)))
		}
	}
	if n := len(h.answers); n >= enoughResponses {
		sorted := slices.Clone(h.answers)
		sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
		facts = append(facts, evidence.NormalResponseMS.Is(float64(sorted[n/2])))
	}
	return facts
}
