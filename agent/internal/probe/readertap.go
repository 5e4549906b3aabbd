package probe

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/say"
	"posdx/agent/report"
	"posdx/drivers/frame"
	"posdx/drivers/reader"
	"posdx/drivers/serial"
)

const (
	tapReopen = 10 * time.Second       // between two tries at a port
	tapQuiet  = 500 * time.Millisecond // ends a swipe that no carriage return ends, and half a frame
	// tapCardOut ends an insertion whose end was not seen: longer than a customer takes for his PIN.
	tapCardOut = 2 * time.Minute
	msrBaud    = 9600 // as MagTek's and ID TECH's are delivered
)

// A ReaderTap listens to the line of a card reader that the payment application uses, on ports that are wired for that
// alone and only receive. It never writes. Every byte is judged as it comes, and not kept.
type ReaderTap struct {
	track1 bool            // sales may be made of track 1 alone
	swipe  bool            // a plain reader of stripes; else CCID
	ports  []serial.Config // what the reader sends, then, if it does not echo, what it is sent
	reads  *reader.Reads

	reopen time.Duration // for tests

	mu     sync.Mutex
	deaf   []error // why each port is not listened to; nil while it is
	chip   reader.ChipWatch
	health frame.Health // since it was last taken
	heard  time.Time    // when the reader last said something that makes sense
	noise  time.Time    // and something that does not
	asked  int          // commands since then
}

// NewReaderTap makes a tap. The protocol is msr for a plain reader of stripes; all others are CCID.
func NewReaderTap(c ReaderConfig, rx []string) (*ReaderTap, error) {
	t := &ReaderTap{track1: c.Track1, swipe: c.Protocol == "msr", reads: c.Reads, reopen: tapReopen}
	line := serial.Config{Baud: cmp.Or(c.Baud, msrBaud)}
	if p, _, ok := reader.FindProtocol(c.Protocol); ok && p.CCID {
		line.Baud = cmp.Or(c.Baud, p.Baud)
	} else if !t.swipe {
		return nil, say.New("no-tap-protocol", c.Name, c.Protocol)
	}
	if n := len(rx); n < 1 || n > 2 || t.swipe && n > 1 {
		return nil, say.New("tap-ports", c.Name, n)
	}
	for _, path := range rx {
		line.Path = path
		t.ports = append(t.ports, line)
		t.deaf = append(t.deaf, errNotYet)
	}
	return t, nil
}

// errNotYet is why a tap that has not run is deaf.
var errNotYet = errors.New("not opened yet")

// Run listens until ctx ends. A port that is missing, held or lost is tried again.
func (t *ReaderTap) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for i, p := range t.ports {
		all.Go(func() {
			for ctx.Err() == nil {
				t.hears(i, t.listen(ctx, p, i))
				wait := time.NewTimer(t.reopen)
				select {
				case <-ctx.Done():
				case <-wait.C:
				}
				wait.Stop()
			}
		})
	}
	all.Wait()
	return nil
}

func (t *ReaderTap) hears(port int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deaf[port] = err
}

func (t *ReaderTap) listen(ctx context.Context, c serial.Config, port int) error {
	p, err := openOurs(c, true) // by its wiring; a holder that we see is still kept away from
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { p.Close() })()
	defer p.Close()
	t.hears(port, nil)
	return t.follow(p, port > 0)
}

// ears is the reading side of a port: a tap is given no way to write.
type ears interface {
	Read([]byte) (int, error)
	SetReadDeadline(time.Time) error
}

// follow reads a line to its end.
func (t *ReaderTap) follow(p ears, host bool) error {
	var frames reader.Decoder
	var stripe reader.MSR
	buf := make([]byte, 256)
	defer clear(buf)
	for pending := false; ; {
		var end time.Time
		switch {
		case pending || frames.Pending():
			end = time.Now().Add(tapQuiet)
		case t.inserted():
			end = time.Now().Add(tapCardOut)
		}
		if err := p.SetReadDeadline(end); err != nil {
			return err
		}
		n, err := p.Read(buf)
		now := time.Now()
		for _, b := range buf[:n] {
			if t.swipe {
				pending = b != '\r'
				t.stripe(now, &stripe, b&0x7F) // the eighth bit is parity where a reader sends seven
			} else if token, m, ok := frames.Push(b); ok {
				t.token(now, token, m, host)
			}
		}
		clear(buf[:n])
		switch {
		case errors.Is(err, serial.ErrIdle) && t.swipe:
			pending = false
			t.stripe(now, &stripe, '\r')
		case errors.Is(err, serial.ErrIdle) && frames.Pending():
			frames.Reset()
			t.token(now, reader.TokenGarbage, reader.Message{}, host)
		case errors.Is(err, serial.ErrIdle):
			t.mu.Lock()
			t.note(now)(t.chip.End())
			t.mu.Unlock()
		case err != nil && n == 0:
			return err
		}
	}
}

func (t *ReaderTap) inserted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.chip.Open()
}

func (t *ReaderTap) stripe(now time.Time, m *reader.MSR, b byte) {
	s, ok := m.Push(b)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.Tracks == [3]reader.Track{} { // no track of any kind: a banner, or noise
		t.noise = now
		t.health.Garbage++
		t.reads.NoStart()
		return
	}
	t.heard = now
	t.health.Answers++
	t.note(now)(s.Attempt(t.track1), true)
}

// note hands an attempt on. The caller holds the lock.
func (t *ReaderTap) note(now time.Time) func(reader.Attempt, bool) {
	return func(a reader.Attempt, ok bool) {
		if ok {
			a.At = now
			t.reads.Note(a)
		}
	}
}

func (t *ReaderTap) token(now time.Time, token reader.Token, m reader.Message, host bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch token {
	case reader.TokenCRC:
		t.health.CRC++
	case reader.TokenGarbage:
		t.noise = now
		t.health.Garbage++
	case reader.TokenNAK:
		t.health.NAK++
	case reader.TokenIn:
		t.health.Moves++
	case reader.TokenOut:
		t.health.Moves++
		t.note(now)(t.chip.Out())
	case reader.TokenMessage:
		if m.Answer() {
			t.heard, t.asked = now, 0
			t.health.Answers++
			t.note(now)(t.chip.Answer(m))
			return
		}
		if !host {
			t.heard = now // its echo
			if len(t.ports) > 1 {
				return
			}
		}
		t.asked++
		t.note(now)(t.chip.Command(m))
	}
}

// take returns what was counted since the last time.
func (t *ReaderTap) take() frame.Health {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.health
	t.health = frame.Health{}
	return h
}

// silentAsks is how many commands in a row without an answer mean that the reader is silent; applications ask twice or
// three times.
const silentAsks = 3

// overhear is what can be said of a reader that is only listened to.
func (s *readerState) overhear(context.Context) []report.Evidence {
	now, t := time.Now(), s.config.Tap
	s.line.frames(now, t.take())
	t.mu.Lock()
	defer t.mu.Unlock()
	heard := func(outcome string) report.Evidence {
		return evidence.New(evidence.ReaderPort, s.config.Name, evidence.Outcome.Is(outcome))
	}
	port := heard("ok")
	switch deaf := errors.Join(t.deaf...); {
	case deaf != nil: // of the reader nothing is known then, whatever is wrong with our own port
		_, reason := outcome(deaf)
		if reason == "" {
			reason = report.ReasonAbsent
		}
		port = doubtful(evidence.ReaderPort, s.config.Name, report.CannotTell, reason)
	case t.asked >= silentAsks:
		port = heard("silent")
	case t.noise.After(t.heard) && now.Sub(t.noise) < lineWindow:
		port = heard("garbled")
	case t.heard.IsZero() || now.Sub(t.heard) > lineWindow:
		port = doubtful(evidence.ReaderPort, s.config.Name, report.CannotTell, report.ReasonTooFew)
	}
	return []report.Evidence{port, s.line.evidence(evidence.ReaderLine, s.config.Name)}
}
