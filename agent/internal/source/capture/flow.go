package capture

import (
	"net/netip"
	"time"

	"posdx/agent/internal/source"
	"posdx/drivers/ecr"
)

// maxPending bounds the requests of one connection that wait for an answer; terminals have one at a time.
const maxPending = 8

// A flow is one connection between this terminal and a host.
type flow struct {
	t        *tracker
	name     string // of the target
	key      key
	used     uint64 // when it was last used, by the tracker's count
	up, down half   // what the terminal sends, what the host sends
	open     bool   // it may carry more

	syn       time.Time // when the terminal asked for the connection
	synSeq    uint32
	synIface  int
	syns      int
	connectMS *int64    // until an exchange took it
	finAt     time.Time // when the terminal ended its side

	kind     kind
	asks     *ecr.Stream
	answers  *ecr.Stream
	tls      *secure
	pending  []*exchange
	segments int // counted for the path already
	again    int
	heard    heard
}

// kind is what a connection carries.
type kind byte

const (
	unknown kind = iota // no data yet
	iso8583
	encrypted
)

// A side is one direction of a flow.
type side struct {
	*flow
	up bool
}

func (s side) push(data []byte) { s.flow.data(s.up, data) }
func (s side) lost()            { s.flow.lost(s.up) }

func newFlow(t *tracker, name string) *flow {
	f := &flow{t: t, name: name}
	f.up = half{to: side{f, true}, total: &t.held}
	f.down = half{to: side{f, false}, total: &t.held}
	f.reset()
	return f
}

// reset begins a new connection.
func (f *flow) reset() {
	f.release()
	f.up.drop()
	f.down.drop()
	f.up = half{to: f.up.to, total: f.up.total}
	f.down = half{to: f.down.to, total: f.down.total}
	f.open, f.kind, f.connectMS, f.syns, f.segments, f.again = true, unknown, nil, 0, 0, 0
}

// release gives back the buffers of a connection that will carry no more. What is kept of the flow tells a
// retransmitted segment from the beginning of a new connection.
func (f *flow) release() {
	f.open = false
	if f.asks != nil {
		f.asks.Close()
		f.answers.Close()
	}
	f.asks, f.answers, f.tls, f.pending, f.heard = nil, nil, nil, nil, heard{}
}

// close ends the connection: what waits for an answer gets none.
func (f *flow) close(byHost, reset bool) {
	if !f.open {
		return
	}
	unanswered := f.waits()
	for _, e := range f.pending {
		f.t.end(e)
	}
	if f.tls != nil {
		f.tls.close(f, byHost, reset)
	}
	if unanswered && byHost && reset {
		f.t.tcp(f.name, "reset", 0, 0)
	}
	if f.asks != nil {
		f.judge()
		f.t.counts.add(f.asks.Counts)
		f.t.counts.add(f.answers.Counts)
	}
	f.path()
	f.up.drop()
	f.down.drop()
	f.release()
}

// segment takes in one segment.
func (f *flow) segment(s segment, up bool, iface int) {
	now := f.t.now
	from, to := &f.up, &f.down
	if !up {
		from, to = to, from
	}
	switch {
	case s.is(flagSYN) && up && !s.is(flagACK):
		f.asked(s, iface)
		return
	case s.is(flagSYN) && !up:
		if f.syns > 0 && !f.down.known {
			ms := now.Sub(f.syn).Milliseconds()
			f.connectMS = &ms
			f.t.tcp(f.name, "ok", ms, f.syns-1)
			from.begin(s.seq + 1)
		}
		return
	case s.is(flagRST):
		// Only the number that is due ends a connection (RFC 5961): a stray one, of a firewall, must not.
		if !up && f.syns > 0 && !f.down.known {
			f.t.tcp(f.name, "refused", now.Sub(f.syn).Milliseconds(), f.syns-1)
			f.close(true, true)
		} else if d := int32(s.seq - from.next); !from.known || d >= 0 && d < ahead {
			f.close(!up, true)
		}
		return
	}
	if !f.open {
		return // sent again after the end
	}
	if s.is(flagACK) {
		to.received(s.ack)
	}
	from.segment(now, s.seq, s.data, s.cut, iface)
	if s.is(flagFIN) {
		if up && !from.ended {
			f.finAt = now
		}
		from.fin(s.seq + uint32(len(s.data)+s.cut))
	}
	// A terminal may have said all and still wait for the answer.
	if f.down.over() || f.up.over() && !f.waits() {
		f.close(!up, false)
	}
}

// waits reports whether a request has no answer yet.
func (f *flow) waits() bool { return len(f.pending) > 0 || f.tls != nil && f.tls.waits() }

// asked takes in that the terminal asks for a connection.
func (f *flow) asked(s segment, iface int) {
	now := f.t.now
	if f.syns > 0 && s.seq == f.synSeq {
		if iface == f.synIface && !f.down.known {
			f.syns++
			if f.syns > synsUnanswered {
				f.t.tcp(f.name, "timeout", now.Sub(f.syn).Milliseconds(), f.syns-1)
			}
		}
		return
	}
	f.close(false, false)
	f.reset()
	f.syn, f.synSeq, f.synIface, f.syns = now, s.seq, iface, 1
	f.up.begin(s.seq + 1)
	f.up.segment(now, s.seq+1, s.data, s.cut, iface) // RFC 7413
}

// synsUnanswered is how many SYNs without an answer mean that a connection cannot be made: the third comes after three
// seconds (RFC 6298), which is as long as the active check waits.
const synsUnanswered = 2

// data takes in the next data of one direction.
func (f *flow) data(up bool, b []byte) {
	if !f.open {
		return
	}
	if f.kind == unknown {
		f.t.opened(f)
		if size, ok := helloTLCP(b); ok && up {
			f.t.hello(f, source.Hello{Size: size, Version: versionTLCP})
		}
		if f.kind = iso8583; startsRecord(b) {
			f.kind = encrypted
			f.tls = &secure{}
		} else {
			f.asks, f.answers = ecr.NewStream(f.t.length, f.t.dialects...), ecr.NewStream(f.t.length, f.t.dialects...)
			f.asks.Tags, f.answers.Tags = f.t.tags, f.t.tags
		}
	}
	switch {
	case f.kind == encrypted:
		f.tls.push(f, up, b)
	case up:
		f.answers.Turn(f.answer)
		f.hear(up, b)
		f.asks.Push(b, f.ask)
	default:
		f.asks.Turn(f.ask)
		f.hear(up, b)
		f.answers.Push(b, f.answer)
	}
}

func (f *flow) lost(up bool) {
	if !f.open {
		return
	}
	f.t.gaps++
	switch {
	case f.kind == encrypted:
		f.tls.side(up).lost()
	case f.kind == iso8583 && up:
		f.asks.Lost()
	case f.kind == iso8583:
		f.answers.Lost()
	}
}

// ask takes in a message of the terminal.
func (f *flow) ask(m ecr.Message) {
	if m.Response() {
		return // an answer to a keep-alive probe of the host
	}
	e := &exchange{target: f.name, mti: m.MTI, stan: m.STAN, terminal: m.Terminal, sent: f.t.now, connectMS: f.connectMS,
		clear: true, card: m.Card}
	f.connectMS = nil
	if len(f.pending) == maxPending {
		f.t.end(f.pending[0])
		f.pending = f.pending[1:]
	}
	f.pending = append(f.pending, e)
	if m.Reversal() && m.Code != "" {
		f.t.reversal(m)
	}
	f.t.begin(e)
}

// answer takes in a message of the host and finds what it answers, by field 11, and field 41 where both have it.
func (f *flow) answer(m ecr.Message) {
	if !m.Response() {
		return
	}
	for i, e := range f.pending {
		if e.mti[1] == m.MTI[1] && (e.stan == m.STAN || m.STAN == "") && (e.terminal == m.Terminal || e.terminal == "" ||
			m.Terminal == "") {
			f.pending = append(f.pending[:i:i], f.pending[i+1:]...)
			if f.up.ended && f.finAt.Sub(e.sent) >= noAnswer {
				f.t.end(e) // too late: the application had given up and did not read this
				return
			}
			f.t.answered(e, m)
			f.path()
			return
		}
	}
	f.t.answered(nil, m)
}

// path hands on how many segments were sent again.
func (f *flow) path() {
	segments, again := f.up.segments+f.down.segments, f.up.again+f.down.again
	f.t.path(f.name, segments-f.segments, again-f.again)
	f.segments, f.again = segments, again
}

type key struct{ terminal, host netip.AddrPort }
