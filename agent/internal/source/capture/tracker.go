package capture

import (
	"net/netip"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/drivers/ecr"
)

// Bounds of what is remembered.
const (
	maxFlows     = 32 // a terminal has one or two connections at a time; those that ended are among them
	maxExchanges = 16
	maxReversals = 16
	maxSeen      = 16 // codes that wait for a full sink
	// reversalAgain is how long a reversal that is sent again, for want of an answer, is the same.
	reversalAgain = time.Hour
	// enoughSegments is the fewest segments that a loss in per cent is told of: one in twenty may be chance.
	enoughSegments = 20
	// pathWindow is how long segments are counted together.
	pathWindow = 10 * time.Minute
)

// counts of what was read.
type counts struct {
	messages, refused int
}

func (c *counts) add(s ecr.StreamCounts) {
	c.messages += s.Messages
	c.refused += s.Refused
}

// An exchange is one request and what became of it.
type exchange struct {
	target, mti, stan, terminal string
	clear                       bool // its messages were read; else it is TLS
	unsure                      bool // something came back that may be an answer
	connectMS                   *int64
	sent, answer, end           time.Time // end: the connection ended without an answer
	card                        ecr.Card
}

// A tracker makes of packets what happened. It belongs to one goroutine but for fill.
type tracker struct {
	hosts    map[netip.AddrPort]string // names of the targets
	length   ecr.LengthHeader
	dialects []*ecr.Dialect
	tags     *ecr.Tags
	to       source.Sink

	now       time.Time // of the packet at hand
	flows     map[key]*flow
	turn      uint64
	held      int // bytes out of order, all flows together
	gaps      int
	counts    counts // of connections that ended
	waiting   []source.Seen
	reversals []reversal
	ways      map[string]*way
	hearings  map[string]*source.Hearing                 // by target
	deaf      func(*source.Hearing)                      // a target became readable, or no more; may be nil
	wire      func(source.Wire)                          // what the application does on its connections; may be nil
	ours      func(local uint16, to netip.AddrPort) bool // a connection of posdx's own?

	mu     sync.Mutex
	recent []*exchange
}

// A reversal is one that was told.
type reversal struct {
	stan, terminal, code string
	at                   time.Time
}

// A way is what is known of the path to a target.
type way struct {
	since           time.Time
	segments, again int
	rttMS           int64
	connected       bool
}

func newTracker(to source.Sink) *tracker {
	return &tracker{to: to, flows: map[key]*flow{}, ways: map[string]*way{}, hearings: map[string]*source.Hearing{}}
}

// packet takes in one packet as it came, without its link header.
func (t *tracker) packet(now time.Time, iface int, b []byte) {
	s, ok := parse(b)
	if !ok {
		return
	}
	up := true
	name, ok := t.hosts[s.to]
	k := key{s.from, s.to}
	if !ok {
		if name, ok = t.hosts[s.from]; !ok {
			return
		}
		k, up = key{s.to, s.from}, false
	}
	t.now = now
	t.turn++
	f := t.flows[k]
	if f == nil {
		if len(t.flows) == maxFlows {
			t.evict()
		}
		f = newFlow(t, name)
		f.key = k
		t.flows[k] = f
	}
	f.used = t.turn
	f.segment(s, up, iface)
}

// hello hands on how the application opens its handshakes.
func (t *tracker) hello(f *flow, h source.Hello) { t.used(f, &h) }

// opened hands on that the application has a connection and speaks on it.
func (t *tracker) opened(f *flow) { t.used(f, nil) }

func (t *tracker) used(f *flow, h *source.Hello) {
	if port := f.key.terminal.Port(); t.wire != nil && (t.ours == nil || !t.ours(port, f.key.host)) {
		t.wire(source.Wire{Target: f.name, Host: f.key.host, Local: port, Hello: h})
	}
}

// evict forgets the connection that was silent longest, one that ended first.
func (t *tracker) evict() {
	var oldest key
	var o *flow
	for k, f := range t.flows {
		if o == nil || o.open && !f.open || o.open == f.open && f.used < o.used {
			oldest, o = k, f
		}
	}
	o.close(false, false)
	delete(t.flows, oldest)
}

// drop forgets everything that is held.
func (t *tracker) drop() {
	for _, f := range t.flows {
		f.up.drop()
		f.down.drop()
		f.release()
	}
	clear(t.flows)
}

// begin takes in that a request left.
func (t *tracker) begin(e *exchange) {
	t.mu.Lock()
	if len(t.recent) == maxExchanges {
		t.recent = append(t.recent[:0], t.recent[1:]...)
	}
	t.recent = append(t.recent, e)
	t.mu.Unlock()
	t.to.Txn(source.TxnMark{Phase: source.PhaseSent, Channel: report.ChannelCapture, Time: t.now, Txn: e.txn()})
}

func (t *tracker) sentMore(e *exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.sent = t.now
}

func (t *tracker) unsure(e *exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.unsure = true
}

func (t *tracker) end(e *exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.end = t.now
}

// replied takes in that an exchange has its answer.
func (t *tracker) replied(e *exchange) {
	t.mu.Lock()
	e.answer = t.now
	t.mu.Unlock()
	t.to.Txn(source.TxnMark{Phase: source.PhaseAnswered, Channel: report.ChannelCapture, Time: t.now, Txn: e.txn()})
}

// txn is what is known of an exchange. The caller holds the lock, or is the tracker's goroutine, which alone writes.
func (e *exchange) txn() report.Txn {
	x := report.Txn{MTI: e.mti, STAN: e.stan, TerminalID: name(e.terminal), ConnectMS: e.connectMS, Sent: yes(true)}
	if !e.answer.IsZero() {
		ms := e.answer.Sub(e.sent).Milliseconds()
		x.ResponseMS, x.HostAnswerSeen = &ms, yes(true)
	}
	return x
}

// answered hands on the code of an answer; e is what it answers, nil if that was not seen.
func (t *tracker) answered(e *exchange, m ecr.Message) {
	x := report.Txn{STAN: m.STAN, TerminalID: name(m.Terminal), Sent: yes(true), HostAnswerSeen: yes(true)}
	card := m.Card
	if e != nil {
		if card == (ecr.Card{}) {
			card = e.card
		}
		t.replied(e)
		stan, terminal := x.STAN, x.TerminalID
		if x = e.txn(); stan != "" {
			x.STAN = stan
		}
		if terminal != "" {
			x.TerminalID = terminal
		}
	}
	x.MTI = m.MTI
	if m.Code != "" {
		t.see(m.Code, m.Scheme(), report.OriginHost, x, card)
	}
}

// reversal reports why the terminal reverses a sale: field 39 of its request. A reversal that is stored and sent until
// it is answered is reported once.
func (t *tracker) reversal(m ecr.Message) {
	for _, r := range t.reversals {
		if r.stan == m.STAN && r.terminal == m.Terminal && r.code == m.Code && t.now.Sub(r.at) < reversalAgain {
			return
		}
	}
	if len(t.reversals) == maxReversals {
		t.reversals = append(t.reversals[:0], t.reversals[1:]...)
	}
	t.reversals = append(t.reversals, reversal{m.STAN, m.Terminal, m.Code, t.now})
	x := report.Txn{MTI: m.MTI, STAN: m.STAN, TerminalID: name(m.Terminal), Sent: yes(true)}
	t.mu.Lock()
	for _, e := range t.recent {
		if e.clear && e.stan == m.STAN && e.stan != "" && len(e.mti) == 4 && e.mti[1] != '4' {
			x.HostAnswerSeen = yes(!e.answer.IsZero())
		}
	}
	t.mu.Unlock()
	t.see(m.Code, m.Scheme(), report.OriginTerminal, x, m.Card)
}

// see offers a code to the sink, and keeps it where that is full.
func (t *tracker) see(code, scheme string, origin report.Origin, x report.Txn, card ecr.Card) {
	if name(code) == "" {
		t.to.Lost("wire code refused", 1)
		return
	}
	if len(t.waiting) == maxSeen {
		t.waiting = t.waiting[1:]
		t.to.Lost("wire code", 1)
	}
	t.waiting = append(t.waiting, source.Seen{Code: code, Scheme: scheme, Origin: origin, Channel: report.ChannelCapture,
		Txn: &x, Time: t.now, Card: card})
	t.offer()
}

// offer hands codes on as far as the sink takes them.
func (t *tracker) offer() {
	for len(t.waiting) > 0 && t.to.Seen(t.waiting[0]) {
		t.waiting = t.waiting[1:]
	}
}

func (t *tracker) way(target string) *way {
	w := t.ways[target]
	if w == nil {
		w = &way{since: t.now}
		t.ways[target] = w
	}
	return w
}

// tcp hands on how a connection came about, or why it did not.
func (t *tracker) tcp(target, outcome string, ms int64, retrans int) {
	facts := []evidence.Value{evidence.Target.Is(target), evidence.Outcome.Is(outcome), evidence.MS.Is(float64(ms))}
	if retrans > 0 {
		facts = append(facts, evidence.Retrans.Is(float64(retrans)))
	}
	if outcome == "ok" {
		w := t.way(target)
		w.rttMS, w.connected = ms, true
	}
	t.fact(evidence.New(evidence.NetTCP, target, facts...))
}

// tls hands on how a handshake ended.
func (t *tracker) tls(target, outcome string, ms int64, reset bool) {
	facts := []evidence.Value{evidence.Target.Is(target), evidence.Outcome.Is(outcome), evidence.MS.Is(float64(ms))}
	if reset {
		facts = append(facts, evidence.Reset.Is(true))
	}
	t.fact(evidence.New(evidence.NetTLS, target, facts...))
}

// path counts segments that were sent again, and hands on how many when there are enough.
func (t *tracker) path(target string, segments, again int) {
	w := t.way(target)
	if t.now.Sub(w.since) > pathWindow {
		w.since, w.segments, w.again = t.now, 0, 0
	}
	w.segments += segments
	w.again += again
	if w.segments < enoughSegments {
		return
	}
	facts := []evidence.Value{evidence.Target.Is(target), evidence.LossPct.Is(float64(100 * w.again / w.segments)),
		evidence.Samples.Is(float64(w.segments)),
		evidence.By.Is("sales")}
	if w.connected {
		facts = append(facts, evidence.RTTMS.Is(float64(w.rttMS)))
	}
	w.since, w.segments, w.again = t.now, 0, 0
	t.fact(evidence.New(evidence.NetPath, target, facts...))
}

func (t *tracker) fact(e report.Evidence) {
	e.At, e.Depth = t.now.UTC().Truncate(time.Millisecond), report.Internal
	t.to.Fact(e)
}

func yes(b bool) *bool { return &b }

// name returns s if it is of letters and digits only, as codes and terminal numbers are.
func name(s string) string {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return ""
		}
	}
	return s
}
