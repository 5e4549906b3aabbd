package probe

import (
	"context"
	"slices"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

// grace is how long a probe may run beyond its own deadline before it is no longer waited for: long enough for a driver
// to see that its context has ended and to close its port, short enough for the five seconds of a diagnosis.
const grace = 200 * time.Millisecond

// saleLimit ends a sale whose end was never reported: a payment application that crashes in the middle of a sale must
// not stop the checks for ever. Three minutes is longer than every timer for PIN entry and for the answer in use.
const saleLimit = 3 * time.Minute

// telling is how long those that are told of a change may take for what they do with it, before it is quiet again.
const telling = 3 * time.Second

// minPause keeps background checks apart, so that a list of probes with short freshness cannot eat the idle budget.
const minPause = 20 * time.Second

// A Runner asks probes and remembers the newest answer to each. Its methods may be called from any goroutine.
type Runner struct {
	probes  []Probe
	devices map[string]chan struct{} // one token per device; who holds it owns the device
	queue   map[string]time.Duration // how long to wait for a device: as long as another probe may take with it

	mu      sync.Mutex
	latest  map[key]report.Evidence
	order   []key             // of first appearance, so that documents are the same from run to run
	ran     map[key]time.Time // when a probe was last begun, by its first check and subject
	sale    time.Time
	cancels map[int]context.CancelFunc
	next    int

	pings chan func()

	// Grade judges what was found by the limits of the knowledge in force; nil for the built-in ones. To be set before
	// Run.
	Grade func(*report.Evidence)

	// Failed is told when a reader, PIN pad, printer or modem is found to have failed; may be nil. To be set before Run.
	Failed func()

	// Rests is called when a round of background checks is over, and once more when those that were told of a change
	// are done with it; may be nil. To be set before Background.
	Rests func()
}

// devices are the checks that find such a failure.
var devices = [...]evidence.Check{evidence.ReaderPort, evidence.ReaderLine, evidence.ReaderSelftest,
	evidence.PINPadPort, evidence.PrinterStatus, evidence.ModemPort}

type key struct{ check, subject string }

func (p Probe) key() key { return key{string(p.Checks[0]), p.Subject} }

func cutShort(list []report.Evidence) bool {
	for _, e := range list {
		if reason, _ := e.Facts.Str("reason"); reason == report.ReasonInSale {
			return true
		}
	}
	return false
}

// NewRunner returns a runner over probes.
func NewRunner(probes []Probe) *Runner {
	r := &Runner{
		probes: probes, devices: map[string]chan struct{}{}, queue: map[string]time.Duration{},
		latest: map[key]report.Evidence{}, ran: map[key]time.Time{}, cancels: map[int]context.CancelFunc{},
		pings: make(chan func(), 1),
	}
	for _, p := range probes {
		if p.Device != "" && r.devices[p.Device] == nil {
			r.devices[p.Device] = make(chan struct{}, 1)
		}
		r.queue[p.Device] = max(r.queue[p.Device], p.Timeout+grace)
	}
	return r
}

// Probes returns the list that the runner was made with.
func (r *Runner) Probes() []Probe { return r.probes }

// SaleBegins stops every running probe and keeps new ones from starting until SaleEnds or three minutes have passed.
func (r *Runner) SaleBegins(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sale = now.Add(saleLimit)
	for _, cancel := range r.cancels {
		cancel()
	}
}

// SaleEnds lets probes run again.
func (r *Runner) SaleEnds() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sale = time.Time{}
}

// InSale tells whether a sale keeps probes from running.
func (r *Runner) InSale() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inSale()
}

func (r *Runner) inSale() bool { return time.Now().Before(r.sale) }

// Run asks all the given probes at the same time, passes on each answer as it comes and returns when all have answered
// or ctx has ended. A probe that does not answer in time answers cannot-tell (timeout) and delays no other.
func (r *Runner) Run(ctx context.Context, probes []Probe, got func([]report.Evidence)) {
	ctx, done := r.begin(ctx)
	defer done()
	answers := make(chan []report.Evidence, len(probes))
	for _, p := range probes {
		go func() {
			asked := time.Now()
			e := r.ask(ctx, p)
			r.grade(e)
			r.remember(e)
			if !cutShort(e) {
				r.mu.Lock()
				r.ran[p.key()] = asked
				r.mu.Unlock()
			}
			answers <- e
		}()
	}
	for range probes {
		e := <-answers
		if got != nil {
			got(e)
		}
	}
}

func (r *Runner) begin(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, runKey{}, time.Now()))
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.next
	r.next++
	stop := func() { cancel(errInSale) }
	r.cancels[id] = stop
	if r.inSale() {
		stop()
	}
	return ctx, func() {
		r.mu.Lock()
		delete(r.cancels, id)
		r.mu.Unlock()
		cancel(nil)
	}
}

type saleError struct{}

func (saleError) Error() string { return "a sale is in progress" }

var errInSale error = saleError{}

// ask runs one probe. The probe's own goroutine keeps its device until it really returns, so a driver that hangs blocks
// only the next question to the same device.
func (r *Runner) ask(ctx context.Context, p Probe) []report.Evidence {
	start := time.Now()
	if token := r.devices[p.Device]; token != nil {
		wait := time.NewTimer(r.queue[p.Device])
		defer wait.Stop()
		select {
		case token <- struct{}{}:
		case <-ctx.Done():
			return finish(p, failed(ctx, p), start)
		case <-wait.C:
			return finish(p, failed(ctx, p), start)
		}
	}
	// A probe's own time begins when it has its device: a quick question is not late because it came second.
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if ctx.Err() != nil {
		r.release(p)
		return finish(p, failed(ctx, p), start)
	}
	answer := make(chan []report.Evidence, 1)
	go func() {
		defer r.release(p)
		answer <- p.Run(ctx)
	}()
	select {
	case e := <-answer:
		return finish(p, e, start)
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case e := <-answer:
		if context.Cause(ctx) != errInSale {
			return finish(p, e, start)
		}
	case <-late.C:
	}
	return finish(p, failed(ctx, p), start)
}

func (r *Runner) release(p Probe) {
	if token := r.devices[p.Device]; token != nil {
		<-token
	}
}

func failed(ctx context.Context, p Probe) []report.Evidence {
	status, reason := report.CannotTell, report.ReasonTimeout
	if context.Cause(ctx) == errInSale {
		status, reason = report.NotRun, report.ReasonInSale
	}
	list := make([]report.Evidence, len(p.Checks))
	for i, c := range p.Checks {
		list[i] = doubtful(c, p.Subject, status, reason)
	}
	return list
}

func finish(p Probe, list []report.Evidence, start time.Time) []report.Evidence {
	now := time.Now()
	for i := range list {
		if list[i].At.IsZero() || list[i].At.After(now) { // else it is older than this look, and has its time
			list[i].At = now
		}
		list[i].At = list[i].At.UTC().Truncate(time.Millisecond)
		list[i].TookMS = now.Sub(start).Milliseconds()
		list[i].Depth = p.Depth
		if list[i].Facts == nil {
			list[i].Facts = report.Facts{}
		}
	}
	return list
}

// Remember keeps evidence that no probe of the runner made: what the payment application reports of itself, what the
// fleet advises.
func (r *Runner) Remember(e report.Evidence) {
	list := []report.Evidence{e}
	r.grade(list)
	r.remember(list)
}

func (r *Runner) grade(list []report.Evidence) {
	for i := range list {
		if s := list[i].Status; r.Grade != nil && (s == report.OK || s == report.Bad) {
			r.Grade(&list[i])
		}
	}
}

// Forget drops what is known of a check.
func (r *Runner) Forget(check, subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.latest, key{check, subject})
}

func (r *Runner) remember(list []report.Evidence) {
	if r.take(list) && r.Failed != nil {
		r.Failed()
	}
}

// take keeps the newest evidence; failed says that a device is bad that was not before.
func (r *Runner) take(list []report.Evidence) (failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range list {
		k := key{e.Check, e.Subject}
		old, seen := r.latest[k]
		if !seen {
			r.order = append(r.order, k)
		}
		// A check that a sale cut short says nothing new: what was known before is still the better witness.
		if cutShort([]report.Evidence{e}) && seen && old.Status != report.NotRun {
			continue
		}
		failed = failed || e.Status == report.Bad && old.Status != report.Bad &&
			slices.Contains(devices[:], evidence.Check(e.Check))
		r.latest[k] = e
	}
	return failed
}

// Known returns the newest answer of every check with its age at the given moment, in the order of first appearance.
func (r *Runner) Known(now time.Time) []report.Evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]report.Evidence, 0, len(r.order))
	kept := r.order[:0]
	for _, k := range r.order {
		e, ok := r.latest[k]
		if !ok {
			continue
		}
		kept = append(kept, k)
		e.AgeMS = max(0, now.Sub(e.At).Milliseconds())
		list = append(list, e)
	}
	r.order = kept
	return list
}

// Stale returns the probes that were last asked before a moment: their answers tell nothing of what came after it.
func (r *Runner) Stale(since time.Time) []Probe {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Probe
	for _, p := range r.probes {
		if r.ran[p.key()].Before(since) {
			list = append(list, p)
		}
	}
	return list
}

// Background keeps the evidence of the idle probes fresh until ctx ends, waiting while nothing is due.
func (r *Runner) Background(ctx context.Context, changed func()) error {
	due := make(map[int]time.Time)
	for {
		now := time.Now()
		var run []Probe
		next := now.Add(time.Hour)
		for i, p := range r.probes {
			if !p.Idle || p.Fresh <= 0 {
				continue
			}
			// What comes due before the next round could begin goes with this one: rounds that began a little late would
			// drift apart, and each wakes the processor.
			if !due[i].After(now.Add(minPause)) {
				run = append(run, p)
				due[i] = now.Add(p.Period())
			}
			if due[i].Before(next) {
				next = due[i]
			}
		}
		var told <-chan time.Time
		if len(run) > 0 {
			before := r.verdicts()
			r.Run(ctx, run, nil)
			if changed != nil && r.differs(before) {
				changed()
				told = time.After(telling)
			}
			r.rests()
		}
		t := time.NewTimer(max(time.Until(next), minPause))
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				t.Stop()
				return nil
			case answer := <-r.pings:
				answer()
			case <-told:
				r.rests()
			case <-t.C:
				waiting = false
			}
		}
	}
}

func (r *Runner) rests() {
	if r.Rests != nil {
		r.Rests()
	}
}

// Ping has the background checks call answer when they come to the head of their loop; while a check runs they do not.
// One ping waits, a second is dropped.
func (r *Runner) Ping(answer func()) {
	select {
	case r.pings <- answer:
	default:
	}
}

func (r *Runner) verdicts() map[key]report.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := make(map[key]report.Status, len(r.latest))
	for k, e := range r.latest {
		m[k] = e.Status
	}
	return m
}

func (r *Runner) differs(before map[key]report.Status) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(before) != len(r.latest) {
		return true
	}
	for k, e := range r.latest {
		if before[k] != e.Status {
			return true
		}
	}
	return false
}
