// Package triage is the loop that makes a diagnosis of each code: it joins repeats, makes a plan, has probes look,
// explains, and hands the result on.
package triage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/probe"
	"posdx/agent/report"
	"posdx/codes"
)

// Limits of the loop.
const (
	// Deadline is when the final revision goes out, whatever has not answered by then.
	Deadline = 5 * time.Second
	// probing leaves the rest of the deadline to write the first revision to slow flash, and to explain.
	probing = 4 * time.Second
	// explaining is kept of the deadline however late the probing began: flash may take long over the first revision.
	explaining = 500 * time.Millisecond
	// worthAsking is the least time in which a probe can answer; asked with less, all would only time out.
	worthAsking = 500 * time.Millisecond
	// quiet is how long a diagnosis stays open after its final revision: the same code within it is a repeat. A
	// cashier tries again within seconds; a minute later the world may be another.
	quiet = 20 * time.Second
	// trusted is how long a final revision stands for a repeat. After that the terminal is looked at again: a fault that
	// has ended in the meantime must not be named once more.
	trusted = 3 * time.Second
	// queue is how many codes may wait. A till makes one in seconds; more than this is a broken caller.
	queue = 16
	// questions may be asked in a row; then one every questionEvery. Each costs the terminal four seconds of checks.
	questions     = 6
	questionEvery = 20 * time.Second
	// maxOpen bounds the diagnoses that wait for repeats.
	maxOpen = 16
)

// ErrBusy is the error when too many codes wait; the caller may try again later.
var ErrBusy = errors.New("report code: too many codes are waiting, try again in a few seconds")

// A TooManyError is the error when a person or the fleet has asked too often; the codes of the payment application are
// never refused for it.
type TooManyError struct{ Again time.Duration }

func (e TooManyError) Error() string {
	return fmt.Sprintf("too many questions in a row: ask again in %d s", int(e.Again.Seconds())+1)
}

// A Store keeps documents until the fleet has them, as an outbox does.
type Store interface {
	Append(kind string, critical bool, t time.Time, doc []byte) (seq uint64, err error)
}

// A Journal keeps first revisions durably until their final ones are in the Store, as an outbox's journal does.
type Journal interface {
	Begin(id string, doc []byte) error
	End(id string) error
}

// Config is what a Loop needs. All members but Journal and Metered are required; without a Journal first revisions go
// to the Store too.
type Config struct {
	Knowledge func() *codes.Knowledge // the knowledge in force now
	Profile   codes.Profile
	Lang      string
	Version   string
	Runner    *probe.Runner
	Store     Store
	Journal   Journal
	Stamp     func(*report.Event)       // sets id, time, uptime, boot id and clock belief
	Metered   func() bool               // is the bearer in use paid by the byte?
	Asked     func(doc []byte)          // takes a final diagnosis that a person or the fleet asked for; may be nil
	Outcome   func(doc []byte)          // takes what became of a diagnosis; may be nil
	Starts    func(since time.Time) int // how often the machine was started since; nil where that is not counted
	// takes every final revision of a sale's diagnosis, after all who wait have it; may be nil
	Past func(d *report.Diagnosis)
	Log  *slog.Logger
}

// A Loop turns codes into diagnoses, one probing run at a time. Make it with New, start it with Run; the other methods
// may be called from any goroutine.
type Loop struct {
	c    Config
	in   chan *run
	note chan func(*history)

	mu       sync.Mutex
	heard    []heard // from the terminals of this site, the oldest first
	last     report.Diagnosis
	haveLast bool
	outcome  report.Outcome // of the last diagnosis
	tally    map[report.CodeCount]int
	since    time.Time
	app      snapshot
	advised  map[string]report.Advisory

	asks    int       // questions that may be asked at once
	askedAt time.Time // when asks was counted

	closed []closed // oldest first; Run's goroutine's alone

	approvedBefore time.Time // the last approval before this start; set before Run
}

// A Code is one appearance of a response code as a source submits it. The event needs code, scheme, origin and channel,
// and what is known of the transaction; the loop fills in the rest.
type Code struct {
	Event report.Event
	Lang  string // of the answer; empty means the configured one
	Late  bool   // written while no source ran: what the checks find now tells nothing about then

	Card, Issuer int // which of the cards and issuers of this process; 0 is not known
}

// A Ticket is what the reporter of a code gets: the id at once, the diagnoses when they are made. Each channel gives at
// most one value and is then closed.
type Ticket struct {
	ID           string
	First, Final <-chan report.Diagnosis
}

// A run is one diagnosis from its code to its end. It belongs to the loop's goroutine once it is in the queue.
type run struct {
	ev       report.Event
	lang     string
	late     bool
	card     int
	issuer   int
	first    chan report.Diagnosis
	final    chan report.Diagnosis
	repeats  int
	revision int
	start    time.Time
	ended    time.Time
	doc      report.Diagnosis
	closed   bool
	waiting  []*run             // repeats that want the same answer
	stop     context.CancelFunc // ends its probing; set while it is being probed
	told     int                // repeats in the newest document
	used     []report.Evidence  // what the newest document was made of
	how      diagnose.Options   // and how
	kept     string             // what the newest document that was kept says
	sale     *sale              // that was reported; nil for a question
	ids      []string           // of the codes that it explains, its own first
	again    string             // id of the earlier code for whose answers its reporter asks; empty for a code
	found    chan string        // of one that asks again: empty, or where else to look
}

func newRun() *run {
	return &run{start: time.Now(), first: make(chan report.Diagnosis, 1), final: make(chan report.Diagnosis, 1)}
}

// New returns a loop.
func New(c Config) *Loop {
	return &Loop{c: c, in: make(chan *run, queue), note: make(chan func(*history), queue),
		tally: map[report.CodeCount]int{}, advised: map[string]report.Advisory{}, since: time.Now(), asks: questions}
}

// asked tells whether somebody asked and no sale failed.
func (r *run) asked() bool { return r.ev.Channel.Asked() }

// admit takes a question in, or says when the next one may be asked.
func (l *Loop) admit(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.askedAt.IsZero() {
		l.askedAt = now
	}
	for l.asks < questions && now.Sub(l.askedAt) >= questionEvery {
		l.asks++
		l.askedAt = l.askedAt.Add(questionEvery)
	}
	if l.asks == questions {
		l.askedAt = now
	}
	if l.asks == 0 {
		return TooManyError{questionEvery - now.Sub(l.askedAt)}
	}
	l.asks--
	return nil
}

// Submit hands in a code, or a question of a person or the fleet. It never waits: ErrBusy means the queue is full, a
// TooManyError that too many questions were asked.
func (l *Loop) Submit(c Code) (Ticket, error) {
	if c.Event.Channel.Asked() {
		if err := l.admit(time.Now()); err != nil {
			return Ticket{}, err
		}
	}
	if code := l.c.Knowledge().Canonical(c.Event.Scheme, c.Event.Code); code != c.Event.Code && code != "" {
		c.Event.Code, c.Event.CodeRaw = code, c.Event.Code // 96 and 096 are one code, in every count
	}
	l.c.Stamp(&c.Event)
	r := newRun()
	r.ev, r.lang, r.late, r.card, r.issuer, r.ids = c.Event, c.Lang, c.Late, c.Card, c.Issuer, []string{c.Event.ID}
	if r.lang == "" {
		r.lang = l.c.Lang
	}
	select {
	case l.in <- r:
		return Ticket{ID: r.ev.ID, First: r.first, Final: r.final}, nil
	default:
		return Ticket{}, ErrBusy
	}
}

// Read records that an attempt to read a card ended, well or not. again is true if it was the same card as at the
// attempt before.
func (l *Loop) Read(entry string, ok, again bool) {
	now := time.Now()
	l.tell(func(h *history) { h.read(now, entry, ok, again) })
}

// Took records how long the host took, in milliseconds, to answer the sale with a trace number, which may be "".
func (l *Loop) Took(stan string, ms int64) { l.tell(func(h *history) { h.took(stan, ms) }) }

// An Approval is a sale that ended well, where the source reports the end of the sale and not its code.
type Approval struct {
	Channel report.Channel
	Txn     report.Txn
	Code    string // what it ended with, where that is known
}

// noCode is what a sale is counted under that ended well and of whose code nothing is known: every table's approval.
const noCode = "00"

// Approved records a sale that ended well, for applications and register links that report the end and not the code.
func (l *Loop) Approved(a Approval) {
	now := time.Now()
	l.tell(func(h *history) {
		s, news := h.sales.of(sighting{at: now, channel: string(a.Channel) + "/end", stan: a.Txn.STAN, code: a.Code,
			approved: true})
		if !news {
			s.seen.more(a.Txn.Entry, 0, 0)
			return
		}
		s.seen = h.approve(&seen{at: now, code: a.Code, entry: a.Txn.Entry, approved: true})
		c := report.CodeCount{Code: a.Code, Origin: report.OriginHost}
		if c.Code == "" {
			c.Code = noCode
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.counted(s, c)
	})
	l.tell(func(h *history) { l.tellOutcomes(h.sold(l.c.Runner.Known(now), now)) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.app.approved(now)
}

// counted takes a sale into the tally. The caller holds the lock.
func (l *Loop) counted(s *sale, c report.CodeCount) {
	if _, ok := l.tally[c]; ok || len(l.tally) < maxHistory {
		l.tally[c]++
		s.counted, s.tally = c, l.since
	}
}

// renamed moves a sale in the tally whose end was told before its code. The caller holds the lock.
func (l *Loop) renamed(s *sale, c report.CodeCount) {
	if s.counted == c || !s.tally.Equal(l.since) || l.tally[s.counted] == 0 {
		return
	}
	if l.tally[s.counted]--; l.tally[s.counted] == 0 {
		delete(l.tally, s.counted)
	}
	l.counted(s, c)
}

// Updated tells the loop that the payment application has another version now.
func (l *Loop) Updated() { l.tell((*history).updated) }

// tell passes knowledge to the loop; when the queue is full it is forgotten, which costs a count and nothing else.
func (l *Loop) tell(f func(*history)) {
	select {
	case l.note <- f:
	default:
	}
}

// Ping has the loop call answer when it comes to the head of its loop; if that never happens the loop hangs. A ping may
// be dropped when the queue is full.
func (l *Loop) Ping(answer func()) { l.tell(func(*history) { answer() }) }

// Profile is how this acquirer's codes are read.
func (l *Loop) Profile() codes.Profile { return l.c.Profile }

// Last returns the newest diagnosis of a sale, not one that a person or the fleet asked for.
func (l *Loop) Last() (report.Diagnosis, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.haveLast
}

// TakeTally returns the counts since the last call and starts anew.
func (l *Loop) TakeTally(now time.Time) report.Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := report.Tally{From: l.since.UTC(), To: now.UTC(), Counts: []report.CodeCount{}}
	for c, n := range l.tally {
		c.Count = n
		t.Counts = append(t.Counts, c)
	}
	sort.Slice(t.Counts, func(i, j int) bool {
		a, b := t.Counts[i], t.Counts[j]
		return cmpStrings(a.Scheme, b.Scheme, a.Code, b.Code, string(a.Origin), string(b.Origin)) < 0
	})
	clear(l.tally)
	l.since = now
	return t
}

func cmpStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			if pairs[i] < pairs[i+1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// Run works until ctx ends.
//
//	queued --first revision--> waiting --probes--> final --quiet--> closed
//	   \--same code as one of these: repeat, gets that one's answers
func (l *Loop) Run(ctx context.Context) error {
	var (
		h       = history{since: time.Now(), approved: l.approvedBefore, starts: l.c.Starts}
		open    []*run // in the order they came; the first without an end is being probed
		active  *run
		probed  = make(chan struct{}, 1)
		closing = time.NewTimer(quiet)
	)
	defer closing.Stop()
	for {
		if active == nil {
			for _, r := range open {
				if r.ended.IsZero() {
					active = r
					within, stop := context.WithCancel(ctx)
					r.stop = stop
					go l.probe(within, r, probed)
					break
				}
			}
		}
		select {
		case <-ctx.Done():
			for _, r := range open {
				r.end()
			}
			for {
				select {
				case r := <-l.in:
					r.end()
				default:
					return nil
				}
			}
		case f := <-l.note:
			f(&h)
		case r := <-l.in:
			if r.again != "" {
				l.find(open, r)
				break
			}
			if r.asked() {
				if len(open) < maxOpen {
					l.explain(&h, r, false)
					open = append(open, r)
				} else {
					l.explain(&h, r, true) // from what is known: no failed sale gives way to a question
					r.end()
				}
				break
			}
			class, news := l.count(&h, r)
			if class == "A" && answered(r.ev) {
				if isSale(r.ev) {
					l.tellOutcomes(h.sold(l.c.Runner.Known(r.start), time.Now()))
				}
				l.approved(&h, r)
				break
			}
			o := r.sale.diagnosis()
			if o == nil {
				o = l.sameAs(open, r)
			}
			if o != nil {
				if r.sale != nil {
					r.sale.run = o
				}
				o.explains(r.ev.ID)
				if news && !r.late && !o.ended.IsZero() && time.Since(o.ended) > trusted {
					l.again(&h, o, r)
					break
				}
				l.repeat(o, r, news)
				l.mu.Lock()
				if l.last.ID == o.doc.ID {
					l.last.Repeats = o.repeats
				}
				l.mu.Unlock()
				break
			}
			if active != nil && active.asked() {
				active.stop() // a sale has failed: a question is answered with what is known by now
			}
			if len(open) >= maxOpen {
				open = l.closeOldest(&h, open, active)
			}
			if r.sale != nil {
				r.sale.run = r
			}
			l.explain(&h, r, false)
			open = append(open, r)
		case <-probed:
			if !active.asked() && active.ev.Origin != report.OriginHost {
				h.looked(active.ev.Code, active.start, l.c.Runner.Known(time.Now()))
			}
			l.explain(&h, active, true)
			active.ended = time.Now()
			active.end()
			active.stop()
			if active.asked() {
				open = slices.DeleteFunc(open, func(r *run) bool { return r == active })
			}
			active = nil
			l.tellOutcomes(h.look(l.c.Runner.Known(time.Now()), time.Now()))
			closing.Reset(quiet)
		case <-closing.C:
			open = l.closeQuiet(open)
			if len(open) > 0 {
				closing.Reset(quiet)
			}
		}
	}
}

// diagnosis is the one that a sale belongs to which was told of before; nil for none.
func (s *sale) diagnosis() *run {
	if s == nil {
		return nil
	}
	return s.run
}

// sameAs finds the open diagnosis that another sale belongs to: the same code, read by the same table, written by the
// same writer, with the same state of the money.
func (l *Loop) sameAs(open []*run, r *run) *run {
	for _, o := range slices.Backward(open) {
		if o.asked() {
			continue
		}
		a, b := o.ev, r.ev
		if a.Code != b.Code || !l.sameReading(a, b) {
			continue
		}
		x, y := txn(a), txn(b)
		if a.Origin == b.Origin && x.MTI == y.MTI && (x.Entry == y.Entry || x.Entry == "" || y.Entry == "") &&
			equal(x.Sent, y.Sent) && equal(x.HostAnswerSeen, y.HostAnswerSeen) {
			return o
		}
	}
	return nil
}

// sameReading tells whether two events of one code are read as one meaning: no scheme named is the profile's.
func (l *Loop) sameReading(a, b report.Event) bool {
	if a.Scheme == b.Scheme {
		return true
	}
	k := l.c.Knowledge()
	x := k.Resolve(l.c.Profile, a.Scheme, a.Code, string(a.Origin))
	y := k.Resolve(l.c.Profile, b.Scheme, b.Code, string(b.Origin))
	return x.Known && y.Known && x.Scheme == y.Scheme && x.Meaning.Code == y.Meaning.Code &&
		x.Meaning.Disputed == y.Meaning.Disputed
}

func txn(ev report.Event) report.Txn {
	if ev.Txn == nil {
		return report.Txn{}
	}
	return *ev.Txn
}

func equal(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }

// repeat adds a code to the diagnosis that it belongs to. news tells that it is of another sale, not of the same one
// reported again.
func (l *Loop) repeat(r, again *run, news bool) {
	if news {
		r.repeats++
	}
	d := l.inLang(r, again.lang)
	d.Repeats = r.repeats
	offer(again.first, d)
	if !r.ended.IsZero() {
		offer(again.final, d)
		again.end()
		return
	}
	if len(r.waiting) == queue {
		again.end()
		return
	}
	r.waiting = append(r.waiting, again)
}

// again has the terminal examined anew for a code that came again, since what was found before may be over. The
// reporter of the code gets at once what is known now, and the final answer with the others.
func (l *Loop) again(h *history, r, again *run) {
	r.repeats++
	r.start, r.ended = again.start, time.Time{}
	r.doc = l.make(h, r, false)
	offer(again.first, l.inLang(r, again.lang))
	r.waiting = append(r.waiting, again)
}

// offer gives a diagnosis to a reporter. Each channel has room for the one value it gets, so nobody is waited for.
func offer(c chan<- report.Diagnosis, d report.Diagnosis) {
	select {
	case c <- d:
	default:
	}
}

// end closes what a reporter may wait on; a second time does nothing.
func (r *run) end() {
	if !r.closed {
		r.closed = true
		close(r.first)
		close(r.final)
	}
	for _, w := range r.waiting {
		w.end()
	}
	r.waiting = nil
}

// approved answers a code that is a success: nothing is asked for it.
func (l *Loop) approved(h *history, r *run) {
	r.doc = l.make(h, r, true)
	offer(r.first, r.doc)
	offer(r.final, r.doc)
	r.end()
	r.ended = time.Now()
	l.forget(closed{id: r.ev.ID, ok: r})
}

// count finds the sale of a code, adds it to the tally and the history if no source has reported it before, and returns
// the class of the code, empty when the tables do not have it.
func (l *Loop) count(h *history, r *run) (class string, news bool) {
	res := l.c.Knowledge().Resolve(l.c.Profile, r.ev.Scheme, r.ev.Code, string(r.ev.Origin))
	if res.Known {
		class = res.Meaning.Class
		if res.Meaning.Approves() {
			class = "A" // only UnionPay's tables write it so
		}
	}
	x := txn(r.ev)
	if x.ResponseMS != nil && r.ev.Origin == report.OriginHost {
		h.took(x.STAN, *x.ResponseMS)
	}
	ended := class == "A" && r.ev.Origin == report.OriginHost && isSale(r.ev)
	r.sale, news = h.sales.of(sighting{at: r.start, channel: string(r.ev.Channel), code: r.ev.Code, scheme: r.ev.Scheme,
		stan: x.STAN, approved: ended, late: r.late})
	if news {
		r.sale.seen = h.add(r.start, r.ev, class)
		r.sale.seen.leave(l.mayStand(r.ev, res))
	}
	r.sale.seen.more(x.Entry, r.card, r.issuer)
	l.Note("terminal_id", x.TerminalID)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := report.CodeCount{Scheme: r.ev.Scheme, Code: r.ev.Code, Origin: r.ev.Origin}
	switch {
	case news:
		l.counted(r.sale, c)
	case ended:
		l.renamed(r.sale, c)
	}
	if ended && answered(r.ev) {
		l.app.approved(r.ev.Time)
	}
	return class, news
}

// openTopics are what a terminal's own codes are about after which its request may stand at the host.
var openTopics = []string{"send", "no-answer", "reversal-no-answer", "reversal-failed", "answer-bad", "issuer-late", "host-late", "pending"}

// mayStand reports whether the request of a code may have been carried out though that is not known: it was sent and no
// answer came, or the code itself tells as much.
func (l *Loop) mayStand(ev report.Event, res codes.Resolution) bool {
	x := txn(ev)
	switch {
	case !isSale(ev) || x.Sent != nil && !*x.Sent:
		return false
	case x.Sent != nil && x.HostAnswerSeen != nil:
		return !*x.HostAnswerSeen
	}
	return res.Known && slices.Contains(openTopics, l.c.Knowledge().Inference.Topic(res.Meaning))
}

// explain makes the next revision, keeps it and hands it to whoever waits. The first is on flash before anybody has it:
// what is promised outlives a power cut. The final one is handed on at once, for flash may take a second over it, and
// more over a new file; until it is kept the first stands in the journal, and Resume ends it. Of a code that came again
// later the earlier final revision stands until then.
func (l *Loop) explain(h *history, r *run, final bool) {
	r.doc = l.make(h, r, final)
	if final {
		l.hand(r, true)
	}
	// A look that finds the same again is not another document: how often the code came is told when the diagnosis closes.
	if says := saying(&r.doc); r.kept != says {
		r.told, r.kept = r.repeats, says
		l.keep(r.doc)
	}
	if !final {
		l.hand(r, false)
	} else if !r.doc.Asked {
		l.tellOutcomes(h.await(&r.doc, r.start))
	}
	l.remember(r.doc)
}

// hand gives the newest document to whoever waits.
func (l *Loop) hand(r *run, final bool) {
	for _, w := range append([]*run{r}, r.waiting...) {
		if w.closed {
			continue // its reporter has the answer of an earlier look
		}
		if final {
			offer(w.final, l.inLang(r, w.lang))
		} else {
			offer(w.first, l.inLang(r, w.lang))
		}
	}
}

// saying is what a document says of the cause and the money, to tell whether another says more.
func saying(d *report.Diagnosis) string {
	s := fmt.Sprint(d.Final, d.Abstained, d.Money.State, d.Money.Retry)
	if len(d.Causes) > 0 {
		s += d.Causes[0].ID + d.Causes[0].Verdict
	}
	return s
}

func (l *Loop) make(h *history, r *run, final bool) report.Diagnosis {
	r.revision++
	now := time.Now()
	evidence := []report.Evidence{at(h.answer(r.ev), now), at(h.evidence(now, r.ev), now)}
	if !r.late {
		evidence = append(evidence, l.changes(l.lastNetwork(l.c.Runner.Known(now)), now)...)
		evidence = append(evidence, l.advice(r.ev, now)...)
	}
	r.used = evidence
	r.how = diagnose.Options{
		Lang: r.lang, Version: l.c.Version, Profile: l.c.Profile, Revision: r.revision, Final: final,
		Repeats: r.repeats, TookMS: now.Sub(r.start).Milliseconds(),
	}
	d := diagnose.Explain(r.ev, r.used, l.c.Knowledge(), r.how)
	// What somebody asked, and a sale that went well, replace no verdict: its outcome tells of the sale.
	if d.Asked = r.asked(); d.Asked || len(d.Causes) > 0 && d.Causes[0].ID == "none" {
		return d
	}
	l.mu.Lock()
	l.last, l.haveLast = d, true
	l.mu.Unlock()
	return d
}

// inLang returns the newest document of a run in the language of whoever waits for it: the same evidence, told again.
func (l *Loop) inLang(r *run, lang string) report.Diagnosis {
	if lang == r.lang {
		return r.doc
	}
	how := r.how
	how.Lang = lang
	d := diagnose.Explain(r.ev, r.used, l.c.Knowledge(), how)
	d.Asked = r.doc.Asked
	return d
}

func at(e report.Evidence, now time.Time) report.Evidence {
	e.At = now.UTC().Truncate(time.Millisecond)
	return e
}

// remember hands a final revision to the history.
func (l *Loop) remember(d report.Diagnosis) {
	if d.Final && !d.Asked && l.c.Past != nil {
		l.c.Past(&d)
	}
}

func (l *Loop) keep(d report.Diagnosis) {
	doc, err := json.Marshal(d)
	if err != nil {
		l.c.Log.Error("keep diagnosis", "id", d.ID, "err", err)
		return
	}
	if d.Asked {
		if d.Final && l.c.Asked != nil {
			l.c.Asked(doc)
		}
		return
	}
	journal := l.c.Journal
	if !d.Final && journal != nil {
		if err := journal.Begin(d.ID, doc); err == nil {
			return
		}
	}
	if _, err := l.c.Store.Append(report.KindDiagnosis, true, d.Event.Time, doc); err != nil {
		l.c.Log.Error("keep diagnosis", "id", d.ID, "err", err)
		return
	}
	if d.Final && journal != nil {
		if err := journal.End(d.ID); err != nil {
			l.c.Log.Warn("end diagnosis", "id", d.ID, "err", err)
		}
	}
}

func (l *Loop) probe(ctx context.Context, r *run, done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	left := min(probing, Deadline-explaining-time.Since(r.start))
	if left < worthAsking || r.late {
		return // after a wait behind another run, that one's answers are new enough
	}
	if r.asked() && l.c.Runner.InSale() {
		return // answered from what is known: no question touches a device in a sale
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	metered := l.c.Metered != nil && l.c.Metered()
	l.c.Runner.Run(ctx, plan(r.ev, l.c.Runner.Stale(r.start), metered), nil)
}

// closeQuiet ends the diagnoses that have been quiet long enough, telling the fleet how often the code came again.
func (l *Loop) closeQuiet(open []*run) []*run {
	return slices.DeleteFunc(open, func(r *run) bool {
		if r.ended.IsZero() || time.Since(r.ended) < quiet {
			return false
		}
		l.close(r)
		return true
	})
}

// closeOldest makes room: it closes a diagnosis that only waits for repeats, or else one that was not examined yet,
// which ends with what is known.
func (l *Loop) closeOldest(h *history, open []*run, active *run) []*run {
	i := slices.IndexFunc(open, func(r *run) bool { return !r.ended.IsZero() })
	if i < 0 {
		i = slices.IndexFunc(open, func(r *run) bool { return r != active })
	}
	r := open[i]
	if r.ended.IsZero() {
		l.explain(h, r, true)
	}
	l.close(r)
	r.end()
	return slices.Delete(open, i, i+1)
}

func (l *Loop) close(r *run) {
	for _, id := range r.ids[1:] {
		l.forget(closed{id: id, of: r.doc.ID})
	}
	if r.repeats == r.told {
		return
	}
	d := r.doc
	d.Revision++
	d.Repeats = r.repeats
	l.keep(d)
	l.remember(d)
}
