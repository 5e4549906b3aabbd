package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"posdx/drivers/serial"
)

// A port is a real port, or the place of one that is away.
type port struct {
	name   string
	fd     int       // -1 while it is away
	retry  time.Time // when it is tried again; zero for now
	said   string    // what was logged last
	marks  *serial.Marks
	start  serial.Counters
	counts bool
	breaks time.Time // end of the break that is being made
	driven int       // the lines as they were last driven; -1 for not yet
	log    *slog.Logger
	modem  func(fd int) modem
}

// modem is what a port does besides bytes.
type modem interface {
	signals() (int, error)   // TIOCM_*
	drive(set, of int) error // sets those lines of an outgoing mask
	sendBreak(on bool) error
}

// open opens a port that nobody else has, and sets it. False and a later try if that cannot be.
func (p *port) open(l Line, now time.Time) bool {
	if now.Before(p.retry) {
		return false
	}
	err := p.tryOpen(l)
	if err != nil {
		p.retry = now.Add(reopenEvery)
		if errors.Is(err, serial.ErrBusy) {
			p.retry = now.Add(busyEvery)
		}
		p.say("waits for its port", err)
		return false
	}
	p.retry = time.Time{}
	p.say("", nil)
	p.log.Info("port is relayed", "port", p.name, "line", l)
	return true
}

func (p *port) tryOpen(l Line) error {
	path, err := serial.Resolve(p.name)
	if err != nil {
		return err
	}
	use, err := serial.Look(path)
	if err != nil {
		return err
	}
	if use.Held {
		return &serial.BusyError{Path: path, Owner: use.Owner}
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		unix.Close(fd)
		return &serial.BusyError{Path: path, Owner: serial.Owner{By: "flock"}}
	}
	p.fd, p.driven = fd, -1
	if err := p.set(l); err != nil {
		p.close()
		return fmt.Errorf("set %s to %v: %w", path, l, err)
	}
	_ = unix.IoctlSetInt(fd, unix.TIOCEXCL, 0)
	_ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) // what came while no program read
	p.start, err = serial.CountersOf(fd)
	p.counts = err == nil
	return nil
}

// set changes the settings once the chip has sent what it holds.
func (p *port) set(l Line) error {
	t := l.termios(p.marks != nil)
	return unix.IoctlSetTermios(p.fd, unix.TCSETSW2, &t)
}

// gone lets go of a port that answered with an error.
func (p *port) gone(err error, now time.Time) {
	if err == nil {
		err = serial.ErrGone
	}
	p.say("lost its port", err)
	p.close()
	p.retry = now.Add(reopenEvery)
}

func (p *port) close() {
	if p.fd >= 0 {
		_ = unix.IoctlSetInt(p.fd, unix.TCFLSH, unix.TCOFLUSH) // close would wait for what a stopped line does not take
		_ = unix.IoctlSetInt(p.fd, unix.TIOCNXCL, 0)
		unix.Close(p.fd)
	}
	p.fd, p.breaks = -1, time.Time{}
	if p.marks != nil {
		*p.marks = serial.Marks{}
	}
}

// say logs a trouble when it changes.
func (p *port) say(what string, err error) {
	text := what
	for _, kind := range []error{serial.ErrBusy, serial.ErrGone, unix.ENOENT, unix.EACCES} {
		if errors.Is(err, kind) {
			text += kind.Error()
		}
	}
	if text == p.said {
		return
	}
	p.said = text
	if err != nil {
		p.log.Warn(what, "port", p.name, "err", err)
	}
}

// queued is how many bytes have been written and not sent.
func (p *port) queued() int {
	n, err := unix.IoctlGetInt(p.fd, unix.TIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

func (p *port) counters() serial.Counters {
	if p.fd < 0 || !p.counts {
		return serial.Counters{}
	}
	c, err := serial.CountersOf(p.fd)
	if err != nil {
		return serial.Counters{}
	}
	return c.Since(p.start)
}

// lineOf is how the port's modem lines are reached.
func (p *port) lineOf() modem {
	if p.modem != nil {
		return p.modem(p.fd)
	}
	return tty(p.fd)
}

// signals reads the incoming lines as the other side's outgoing ones: a null modem between two ports.
func (p *port) signals() (out int) {
	if p.fd < 0 {
		return 0 // a port that is away raises nothing
	}
	in, err := p.lineOf().signals()
	if err != nil {
		return allLines // one without lines holds nothing up
	}
	if in&unix.TIOCM_CTS != 0 {
		out |= unix.TIOCM_RTS
	}
	if in&(unix.TIOCM_DSR|unix.TIOCM_CD) != 0 {
		out |= unix.TIOCM_DTR
	}
	return out
}

// allLines are the outgoing lines.
const allLines = unix.TIOCM_DTR | unix.TIOCM_RTS

// drive raises and drops outgoing lines.
func (p *port) drive(out, of int) {
	if p.fd < 0 || out == p.driven {
		return
	}
	if p.lineOf().drive(out, of) == nil {
		p.driven = out
	}
}

func (p *port) startBreak(now time.Time) {
	if p.fd >= 0 && p.lineOf().sendBreak(true) == nil {
		p.breaks = now.Add(breakLength)
	}
}

func (p *port) endBreak() {
	p.breaks = time.Time{}
	if p.fd >= 0 {
		_ = p.lineOf().sendBreak(false)
	}
}

// tty is the modem lines of a descriptor.
type tty int

func (t tty) signals() (int, error) { return unix.IoctlGetInt(int(t), unix.TIOCMGET) }

func (t tty) drive(set, of int) error {
	if err := unix.IoctlSetPointerInt(int(t), unix.TIOCMBIS, set&of); err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(int(t), unix.TIOCMBIC, of&^set)
}

func (t tty) sendBreak(on bool) error {
	if on {
		return unix.IoctlSetInt(int(t), unix.TIOCSBRK, 0)
	}
	return unix.IoctlSetInt(int(t), unix.TIOCCBRK, 0)
}
