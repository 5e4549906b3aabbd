// Package relay stands between a payment application and a serial port and passes everything on, both ways. It is a
// process of its own, because what it does must not depend on anything else: bytes go first, and copies of them go to
// the daemon only as far as the daemon takes them at once.
//
// One goroutine waits in poll(2) for both sides, which tells levels, not edges: a wake-up that the kernel forgets costs
// lookAgain and never a byte. A side that takes nothing more is not read from for the other, so that back-pressure
// reaches whoever sends.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"posdx/drivers/serial"
)

const (
	// chunk is what one read takes: what a tty's line discipline holds.
	chunk = 4096
	// turns is how many reads one direction may have before the other is served.
	turns = 8
	// lookAgain is how long the kernel is trusted to say that there is room: a pty makes room and wakes nobody.
	lookAgain = 20 * time.Millisecond
	// reopenEvery is how often a port that is away is tried.
	reopenEvery = 500 * time.Millisecond
	// busyEvery is how often one is tried that another holds: who does, all of /proc has to be read for.
	busyEvery = 5 * time.Second
	// linesEvery is how often modem lines are compared between two real ports.
	linesEvery = 10 * time.Millisecond
	// settingsEvery is how often the application's settings are looked at while the kernel does not tell of changes.
	settingsEvery = 100 * time.Millisecond
	// drainLimit is how long bytes of the old settings may take to leave before new ones are set: longer than a full
	// buffer takes at 9600, and a line that is held up must still be able to lose its flow control.
	drainLimit = 5 * time.Second
	// drainLook is how often the port is asked meanwhile whether they have left.
	drainLook = 5 * time.Millisecond
	// breakLength is how long a break is made: how long it was is not told. tcsendbreak(3) makes it so.
	breakLength = 250 * time.Millisecond
	// statePause is the longest silence towards the daemon.
	statePause = 30 * time.Second
)

// A Config is one relayed line.
type Config struct {
	Device string // the real port: device node or usb:… as serial.Resolve takes it
	Link   string // where the application finds its end, a pty: the name of a symbolic link. Empty with AppPort
	Group  int    // group that may open the pty; -1 for the relay's own only
	Port   string // instead of Link, a second real port that is wired to the application's
	Line   Line   // how the device is set; baud rate and stop bits follow the application on a pty
	Copies string // the daemon's datagram socket; empty for none
	Ready  func() // called once the application's end is there; may be nil
	Log    *slog.Logger

	modem func(fd int) modem // for tests: instead of a tty's own lines
}

// Totals is what a relay has done.
type Totals struct {
	Passed  [2]uint64 // bytes handed on, by the side they came from
	Dropped [2]uint64 // bytes that had nowhere to go: the device was away, or no application had its port open
	Untold  [2]uint64 // bytes of which the daemon got no copy
}

// Run relays until ctx ends. Its errors are about what was asked for: a pty or a link that cannot be made, a port that
// is none. A device that is away, in use or unplugged is waited for.
func Run(ctx context.Context, c Config) (Totals, error) {
	r, err := start(c)
	if err != nil {
		return Totals{}, err
	}
	defer r.close()
	stop := context.AfterFunc(ctx, func() { unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
	defer stop()
	if c.Ready != nil {
		c.Ready()
	}
	for ctx.Err() == nil {
		if err := r.turn(); err != nil {
			return r.totals(), err
		}
	}
	return r.totals(), nil
}

// A relay belongs to one goroutine.
type relay struct {
	c        Config
	wake     int // eventfd: ctx has ended
	dev, app *port
	pty      *appEnd // nil with two real ports
	toApp    flow
	toDev    flow
	copies   copies

	line   Line      // as the device was last set
	want   Line      // as it shall be set once what was written has left
	asked  time.Time // when want came to differ; zero while it does not
	looked time.Time // when the application's settings were looked at
	lines  time.Time // when modem lines were compared
	polled [4]unix.PollFd
}

// A flow is one direction.
type flow struct {
	from, to *port
	side     serial.Side
	buf      [chunk + 1]byte // a pty's master puts a byte before
	rest     []byte          // of buf: read and not yet written
	passed   uint64
	dropped  uint64
}

func start(c Config) (*relay, error) {
	if (c.Link == "") == (c.Port == "") {
		return nil, errors.New("relay: want either a link to make for the application or a second port")
	}
	if err := c.Line.check(); err != nil {
		return nil, err
	}
	r := &relay{c: c, wake: -1, line: c.Line, want: c.Line}
	r.dev = &port{name: c.Device, fd: -1, log: c.Log, modem: c.modem}
	r.app = &port{name: c.Port, fd: -1, log: c.Log, modem: c.modem}
	r.toApp = flow{from: r.dev, to: r.app, side: serial.FromDevice}
	r.toDev = flow{from: r.app, to: r.dev, side: serial.FromApp}
	var err error
	if r.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if c.Link == "" {
		r.dev.marks, r.app.marks = &serial.Marks{}, &serial.Marks{}
	} else if r.pty, err = makePTY(c.Link, c.Group, c.Line, c.Log); err != nil {
		r.close()
		return nil, err
	}
	if err := r.copies.open(c.Copies, c.Log); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *relay) close() {
	r.copies.close()
	if r.pty != nil {
		r.pty.close()
	}
	r.dev.close()
	r.app.close()
	if r.wake >= 0 {
		unix.Close(r.wake)
	}
	clear(r.toApp.buf[:])
	clear(r.toDev.buf[:])
}

func (r *relay) totals() Totals {
	return Totals{
		Passed:  [2]uint64{r.toApp.passed, r.toDev.passed},
		Dropped: [2]uint64{r.toApp.dropped, r.toDev.dropped},
		Untold:  r.copies.untold,
	}
}

// turn waits until there is something to do, and does it.
func (r *relay) turn() error {
	now := time.Now()
	r.reopen(now)
	r.poll(r.patience(now))
	now = time.Now()
	if r.pty != nil {
		if err := r.pty.look(&r.polled[2], &r.polled[3], r); err != nil {
			return err
		}
		if !r.pty.tells() && r.pty.there && now.Sub(r.looked) >= settingsEvery {
			r.settings(now)
		}
	}
	r.settle(now)
	r.pass(&r.toApp, now)
	r.pass(&r.toDev, now)
	r.mirror(now)
	r.copies.tell(now, r.state)
	return nil
}

// poll waits. The order of polled is wake, device, application's end, opens of the pty.
func (r *relay) poll(patience time.Duration) {
	set := r.polled[:]
	set[0] = unix.PollFd{Fd: int32(r.wake), Events: unix.POLLIN}
	set[1] = unix.PollFd{Fd: int32(r.dev.fd), Events: r.events(&r.toApp, &r.toDev)}
	set[2] = unix.PollFd{Fd: int32(r.app.fd), Events: r.events(&r.toDev, &r.toApp)}
	set[3] = unix.PollFd{Fd: -1}
	if r.pty != nil {
		set[2].Events |= unix.POLLPRI // news of the pty's other end
		if r.pty.ended && set[2].Events&unix.POLLIN == 0 {
			set[2].Fd = -1 // poll would report it without end while its last bytes wait for the device
		}
		set[3] = unix.PollFd{Fd: int32(r.pty.opens), Events: unix.POLLIN}
	}
	ms := -1
	if patience >= 0 {
		ms = int((patience + time.Millisecond - 1) / time.Millisecond)
	}
	if _, err := unix.Poll(set, ms); err != nil { // EINTR: what was asked is asked again
		for i := range set {
			set[i].Revents = 0
		}
	}
}

// events is what is waited for at a port that one flow comes from and another goes to.
func (r *relay) events(out, in *flow) (e int16) {
	if len(out.rest) == 0 && !(out == &r.toDev && !r.asked.IsZero()) {
		e |= unix.POLLIN
	}
	if len(in.rest) > 0 {
		e |= unix.POLLOUT
	}
	return e
}

// patience is how long nothing has to be done unless something happens; negative for ever.
func (r *relay) patience(now time.Time) time.Duration {
	p := statePause
	sooner := func(d time.Duration) { p = min(p, max(d, 0)) }
	if len(r.toApp.rest) > 0 || len(r.toDev.rest) > 0 {
		sooner(lookAgain)
	}
	if !r.asked.IsZero() {
		sooner(drainLook)
	}
	for _, x := range []*port{r.dev, r.app} {
		if x.fd < 0 && !x.retry.IsZero() {
			sooner(x.retry.Sub(now))
		}
		if !x.breaks.IsZero() {
			sooner(x.breaks.Sub(now))
		}
	}
	switch {
	case r.pty == nil:
		sooner(r.lines.Add(linesEvery).Sub(now))
	case r.pty.there && !r.pty.tells():
		sooner(r.looked.Add(settingsEvery).Sub(now))
	case !r.pty.there && r.pty.opens < 0:
		sooner(settingsEvery)
	}
	sooner(r.copies.due(now))
	return p
}

// reopen tries ports that are away.
func (r *relay) reopen(now time.Time) {
	line := r.want
	if r.dev.fd < 0 && r.dev.open(line, now) {
		r.line, r.asked = line, time.Time{}
		if r.pty != nil && !r.pty.there {
			r.pty.hangUp(r.dev)
		}
		r.copies.changed = true
	}
	if r.pty == nil {
		if r.app.fd < 0 && r.app.open(r.c.Line, now) {
			r.copies.changed = true
		}
		return
	}
	r.app.fd = -1
	if r.pty.there {
		r.app.fd = r.pty.master
	}
}

// pass moves what there is in one direction.
func (r *relay) pass(f *flow, now time.Time) {
	for range turns {
		if len(f.rest) > 0 && !r.push(f, now) {
			return
		}
		if f.from.fd < 0 || f == &r.toDev && !r.asked.IsZero() {
			return
		}
		b, more := r.read(f, now)
		if len(b) > 0 {
			f.rest = b
			r.copies.add(f.side, b, now) // into memory; it is told when all has been passed
			if f == &r.toDev && r.pty != nil {
				r.settings(now) // they are those under which these bytes were written
			}
			continue
		}
		if !more {
			return
		}
	}
}

// push writes what has been read; false when some of it has to wait.
func (r *relay) push(f *flow, now time.Time) bool {
	if f.to.fd < 0 {
		f.dropped += uint64(len(f.rest)) // as on a line whose cable is out
		f.done()
		return true
	}
	if f == &r.toDev && !r.asked.IsZero() || !f.to.breaks.IsZero() {
		return false
	}
	n, err := unix.Write(f.to.fd, f.rest)
	if n > 0 {
		f.passed += uint64(n)
		f.rest = f.rest[n:]
	}
	switch {
	case len(f.rest) == 0:
		f.done()
		return true
	case err == nil || err == unix.EAGAIN || err == unix.EINTR:
		return false
	}
	r.lost(f.to, err, now)
	return false
}

// done forgets what has been passed: it may be card data.
func (f *flow) done() {
	clear(f.buf[:])
	f.rest = nil
}

// read takes what a side has. more says that there may be something behind what was no data.
func (r *relay) read(f *flow, now time.Time) (b []byte, more bool) {
	if r.pty != nil && f == &r.toDev {
		return r.pty.read(f.buf[:], r)
	}
	n, err := unix.Read(f.from.fd, f.buf[:chunk])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil, false
	case n <= 0: // no byte and no error is how a tty says that it was hung up
		r.lost(f.from, err, now)
		return nil, false
	}
	if f.from.marks == nil {
		return f.buf[:n], false
	}
	was := f.from.marks.Breaks
	b = f.from.marks.Clean(f.buf[:n])
	if f.from.marks.Breaks != was {
		f.to.startBreak(now)
	}
	return b, len(b) == 0
}

// lost lets go of a port that is no more. What was on its way to it has nowhere to go.
func (r *relay) lost(p *port, err error, now time.Time) {
	if r.pty != nil && p == r.app {
		return // the pty is always there; whether an application is, is looked at elsewhere
	}
	p.gone(err, now)
	r.copies.changed = true
	r.asked = time.Time{}
}

// settings reads how the application has set its end of the pty.
func (r *relay) settings(now time.Time) {
	r.looked = now
	want, err := r.pty.line(r.c.Line)
	if err != nil || want == r.want {
		return
	}
	r.want, r.asked = want, now
	r.settle(now)
}

// settle sets the device as the application wants it, when what was written before has left.
func (r *relay) settle(now time.Time) {
	if r.asked.IsZero() {
		return
	}
	if r.dev.fd >= 0 && r.want != r.line {
		if r.dev.queued() > 0 && now.Sub(r.asked) < drainLimit {
			return
		}
		if err := r.dev.set(r.want); err != nil {
			r.c.Log.Warn("the device does not take the application's settings", "line", r.want, "err", err)
		}
		r.line = r.want
	}
	r.asked = time.Time{}
}

// mirror hands modem lines across, and ends breaks.
func (r *relay) mirror(now time.Time) {
	for _, p := range []*port{r.dev, r.app} {
		if !p.breaks.IsZero() && !now.Before(p.breaks) {
			p.endBreak()
		}
	}
	if r.pty == nil && now.Sub(r.lines) >= linesEvery {
		r.lines = now
		of := allLines
		if r.c.Line.Hardware {
			of = unix.TIOCM_DTR // RTS is the kernel's
		}
		r.app.drive(r.dev.signals(), of)
		r.dev.drive(r.app.signals(), of)
	}
}

// state is what the daemon is told of the line beside its bytes.
func (r *relay) state() (device, app bool, errors serial.Counters) {
	return r.dev.fd >= 0, r.app.fd >= 0, r.dev.counters()
}
