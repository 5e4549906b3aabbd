// Package registerlink reads response codes on the link between cash register and PIN pad. It only listens.
package registerlink

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/drivers/ecr"
	"posdx/drivers/serial"
)

// Times of a register link.
const (
	linkQuiet  = 500 * time.Millisecond // within a frame no link pauses so long
	linkReopen = 2 * time.Second        // between two tries at a port
	linkRepeat = 8 * time.Second        // three tries of a frame, two seconds apart
	linkQueue  = 16                     // codes that wait for a full sink
	linkSale   = 5 * time.Minute        // after which a command's end was missed: no customer stands so long
)

// Link listens to the link between a terminal and a cash register, on ports that are wired for that alone or by the
// copies that a relay sends. It never writes, and opens no port that another process holds: every byte that it read
// would be missing there.
type Link struct {
	Name    string
	Framing string
	Ports   []serial.Config // the first carries what the terminal or PIN pad sends, a second what the register sends
	// instead of Ports, the socket for a relay's copies: of the device first, then of its application
	Copies  string
	Address string    // instead of Ports, the terminal's on a network, where ListenLAN is used and Run is not
	Tags    *ecr.Tags // tells cards apart; may be nil
	Log     *slog.Logger

	reopen time.Duration // for tests: instead of linkReopen
	quiet  time.Duration // for tests: instead of linkQuiet

	pulses [2]pulse // of the goroutines that read, the second only with two ports

	mu     sync.Mutex
	lines  []Line
	last   ecr.Found // the last result and when it came
	lastAt time.Time
	sale   time.Time // when the sale began that has not ended; zero for none
	other  time.Time // when a command was given that is no sale and was not answered
}

// A Line is the state of one direction of a link.
type Line struct {
	Port   string
	Open   bool
	Heard  time.Time // when bytes came last; zero for never
	Bytes  uint64    // heard
	Counts ecr.Counts
	Errors serial.Counters // damaged characters since the port was opened, as far as it or a relay counts them
	Missed uint64          // bytes that passed a relay and were not copied
}

// Check returns what is wrong with the configuration, nil if nothing is.
func (e *Link) Check() error {
	if n := len(e.Ports); e.Address != "" {
		if n > 0 || e.Copies != "" {
			return say.New("link-no-port", e.Name)
		}
	} else if e.Copies != "" && n > 0 || e.Copies == "" && (n < 1 || n > 2) {
		return say.New("link-port-count", e.Name, n)
	}
	if ecr.NewDecoder(e.Framing, true) == nil {
		return say.New("no-framing", e.Name, e.Framing, ecr.Framings)
	}
	return nil
}

// Run listens until ctx ends. That a port is missing, held or lost is logged once, and it is tried again.
func (e *Link) Run(ctx context.Context, to source.Sink) error {
	if err := e.Check(); err != nil {
		return err
	}
	if e.Copies != "" {
		return e.runCopies(ctx, to)
	}
	e.mu.Lock()
	e.lines = make([]Line, len(e.Ports))
	for i, p := range e.Ports {
		e.lines[i].Port = p.Path
	}
	e.mu.Unlock()
	var all sync.WaitGroup
	for i, port := range e.Ports {
		port.MarkErrors = true
		l := e.ear(i, to)
		l.port = port
		all.Go(func() { l.run(ctx) })
	}
	all.Wait()
	return nil
}

// Lines returns how each direction stands, for checks of the line.
func (e *Link) Lines() []Line {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Line(nil), e.lines...)
}

// Ping calls answer when every goroutine that listens has come to the head of its loop; one that waits for its port to
// come back need not.
func (e *Link) Ping(answer func()) {
	var left atomic.Int32
	left.Store(int32(len(e.pulses)))
	for i := range e.pulses {
		e.pulses[i].ask(func() {
			if left.Add(-1) == 0 {
				answer()
			}
		})
	}
}

// A pulse lets others ask whether a goroutine that waits in a read still turns.
type pulse struct {
	mu     sync.Mutex
	port   deadline // nil while none is open
	answer func()
}

type deadline interface{ SetReadDeadline(time.Time) error }

func (p *pulse) ask(answer func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.port == nil {
		answer()
		return
	}
	p.answer = answer
	p.port.SetReadDeadline(time.Unix(1, 0))
}

// use says what is read from; nil for nothing.
func (p *pulse) use(port deadline) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.port = port
	if port == nil && p.answer != nil {
		p.answer()
		p.answer = nil
	}
}

// wait answers whoever has asked and bounds the next read.
func (p *pulse) wait(until time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer != nil {
		p.answer()
		p.answer = nil
	}
	return p.port.SetReadDeadline(until)
}

// repeated reports whether a result is the one before: a frame sent again, or an abort behind the status that named it.
func (e *Link) repeated(f ecr.Found, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.last
	if f.Kind == ecr.Start {
		e.last = ecr.Found{}
		return false
	}
	same := a.Kind == f.Kind && a.Code == f.Code && a.Origin == f.Origin && a.MTI == f.MTI &&
		(a.STAN == f.STAN || a.STAN == "" || f.STAN == "") && now.Sub(e.lastAt) < linkRepeat
	e.last, e.lastAt = f, now
	return same
}

// belongs finds what a message means after what was asked before it, on the other direction perhaps. It is Nothing
// where a command ended that was no sale, and where a request was refused that was not captured: a register polls a
// terminal, too.
func (e *Link) belongs(f ecr.Found, now time.Time) ecr.Kind {
	e.mu.Lock()
	defer e.mu.Unlock()
	sale := !e.sale.IsZero() && now.Sub(e.sale) < linkSale
	other := !e.other.IsZero() && now.Sub(e.other) < linkSale
	switch f.Kind {
	case ecr.Start:
		e.sale, e.other = now, time.Time{}
		return f.Kind
	case ecr.Other:
		e.other = now
		return ecr.Nothing
	}
	// The command that was given last is the one that is answered first.
	if other && (f.Kind != ecr.Result || !sale) {
		e.other = time.Time{}
		if f.Kind == ecr.Result && !f.Approved {
			return f.Kind // a settlement that fails is a failure
		}
		return ecr.Nothing
	}
	e.sale = time.Time{}
	switch {
	case f.Kind == ecr.Refusal && sale:
		return ecr.Result
	case f.Kind != ecr.Result && !sale:
		return ecr.Nothing
	}
	return f.Kind
}

// errNothing marks a listener whose state has not been written to the log yet: its first state is always news.
var errNothing = errors.New("nothing said")

// An ear is the listener of one direction of a link, terminal to register or back. It belongs to one goroutine.
type ear struct {
	link    *Link
	index   int
	port    serial.Config
	to      source.Sink
	decoder *ecr.Decoder
	waiting []source.Seen // offered to a full sink
	said    error         // the kind of trouble that was logged last, nil for none
	heard   time.Time     // by a relay's copies
	hearing source.Hearing
	burst   burst
}

// pause is how long a frame may pause.
func (e *Link) pause() time.Duration {
	if e.quiet > 0 {
		return e.quiet
	}
	return linkQuiet
}

func (e *Link) ear(i int, to source.Sink) *ear {
	return &ear{link: e, index: i, to: to, decoder: ecr.NewCountingDecoder(e.Framing, i == 0, e.Tags), said: errNothing,
		hearing: source.Hearing{Channel: report.ChannelECR, Subject: e.Name}}
}

// A burst is what came without a pause.
type burst struct {
	last   time.Time
	bytes  int
	first  byte
	frames int // before it
}

// leastBurst is the shortest of them that ought to hold a frame: shorter ones are confirmations and polls.
const leastBurst = 4

// hear counts what comes before it is read, and judges what came before a pause: a line that carries bytes and no frame
// has another framing or another speed than configured.
func (l *ear) hear(b []byte) {
	now := time.Now()
	x := &l.burst
	if x.bytes > 0 && now.Sub(x.last) >= l.link.pause() {
		frames := l.decoder.Counts.Frames - x.frames
		if frames > 0 || x.bytes >= leastBurst {
			changed := l.hearing.Heard(frames, x.bytes, x.first, x.bytes)
			if changed && l.hearing.Deaf() {
				l.link.Log.Warn("register link carries something, and no frame of its framing: see ecr.framing and ecr.baud", l.hearing.What()...)
			} else if changed {
				l.link.Log.Info("register link is understood", "link", l.link.Name)
			}
			if ev, ok := l.hearing.Due(now, changed); ok {
				l.to.Fact(ev)
			}
		}
		*x = burst{}
	}
	if x.bytes == 0 {
		x.first, x.frames = b[0], l.decoder.Counts.Frames
	}
	x.last, x.bytes = now, x.bytes+len(b)
}

func (l *ear) run(ctx context.Context) {
	pause := l.link.reopen
	if pause == 0 {
		pause = linkReopen
	}
	for {
		err := l.listen(ctx)
		l.note(false, 0)
		if ctx.Err() != nil {
			return
		}
		l.tell(err)
		l.offer()
		if !source.Sleep(ctx, pause, nil) {
			return
		}
	}
}

// listen opens the port and reads until it cannot.
func (l *ear) listen(ctx context.Context) error {
	p, err := serial.Open(l.port)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { p.Close() })()
	defer p.Close()
	defer l.decoder.Quiet(l.found)
	pulse := &l.link.pulses[l.index]
	pulse.use(p)
	defer pulse.use(nil)
	l.tell(nil)
	l.note(true, 0)
	buf := make([]byte, 512)
	counts := func() {
		if c, err := p.LineErrors(); err == nil {
			l.link.mu.Lock()
			l.link.lines[l.index].Errors = c
			l.link.mu.Unlock()
		}
	}
	for {
		end := l.wait(time.Now())
		if err := pulse.wait(end); err != nil {
			return err
		}
		n, err := p.Read(buf)
		if n > 0 {
			l.hear(buf[:n])
			l.decoder.Push(buf[:n], l.found)
		}
		idle := errors.Is(err, serial.ErrIdle)
		if idle && !end.IsZero() && !time.Now().Before(end) {
			l.decoder.Quiet(l.found)
		}
		l.offer()
		l.note(true, n)
		counts()
		if err != nil && !idle {
			return err
		}
	}
}

// wait is how long to wait for bytes: for ever unless there is something else to do then.
func (l *ear) wait(now time.Time) time.Time {
	switch {
	case len(l.waiting) > 0:
		return now.Add(source.FullAgain)
	case l.decoder.Partial():
		return now.Add(l.link.pause())
	}
	return time.Time{}
}

// found hands on what a message told.
func (l *ear) found(f ecr.Found) {
	now := time.Now()
	if f.Kind = l.link.belongs(f, now); f.Kind == ecr.Nothing || f.Kind != ecr.End && l.link.repeated(f, now) {
		return
	}
	t := report.Txn{MTI: f.MTI, STAN: f.STAN}
	if source.Word(f.Terminal, source.MaxTerminal) {
		t.TerminalID = f.Terminal
	}
	mark := source.TxnMark{Channel: report.ChannelECR, Time: now, Txn: t, Code: f.Code}
	switch {
	case f.Kind == ecr.Start:
		mark.Phase = source.PhaseStart
		l.to.Txn(mark)
		return
	case f.Kind == ecr.End:
		mark.Phase = source.PhaseEnd
		l.to.Txn(mark)
		return
	case f.Approved:
		mark.Phase, mark.Result = source.PhaseEnd, source.ResultApproved
		l.to.Txn(mark)
		return
	case f.MTI != "" && f.Origin == ecr.FromHost:
		answered := true // the host's own packet crossed the link
		t.HostAnswerSeen = &answered
	}
	if source.CodeProblem(f.Code) != "" {
		l.to.Lost("link code refused", 1)
		return
	}
	if len(l.waiting) == linkQueue {
		l.waiting = l.waiting[1:]
		l.to.Lost("link code", 1)
	}
	l.waiting = append(l.waiting, source.Seen{Code: f.Code, Scheme: f.Scheme, Origin: report.Origin(f.Origin),
		Channel: report.ChannelECR, Txn: &t, Time: now, Card: f.Card})
}

// offer hands codes on as far as the sink takes them.
func (l *ear) offer() {
	for len(l.waiting) > 0 && l.to.Seen(l.waiting[0]) {
		l.waiting = l.waiting[1:]
	}
}

func (l *ear) note(open bool, heard int) {
	l.link.mu.Lock()
	defer l.link.mu.Unlock()
	line := &l.link.lines[l.index]
	line.Open, line.Counts = open, l.decoder.Counts
	if heard > 0 {
		line.Heard = time.Now()
		line.Bytes += uint64(heard)
	}
}

// tell logs a trouble when its kind changes.
func (l *ear) tell(err error) {
	kind := err
	for _, k := range []error{serial.ErrBusy, serial.ErrGone, fs.ErrPermission} {
		if errors.Is(err, k) {
			kind = k
		}
	}
	if kind == l.said || kind != nil && l.said != nil && kind.Error() == l.said.Error() {
		return
	}
	l.said = kind
	log := l.link.Log.With("link", l.link.Name, "port", l.port.Path)
	switch kind {
	case nil:
		log.Info("register link is listened to")
	case serial.ErrBusy:
		log.Error("register link is held by another: it is not touched and waited for", "err", err)
	case serial.ErrGone:
		log.Warn("register link's port is not there")
	case fs.ErrPermission:
		log.Error("register link cannot be opened: put the daemon's user into the port's group", "err", err)
	default:
		log.Error("register link cannot be listened to", "err", err)
	}
}
