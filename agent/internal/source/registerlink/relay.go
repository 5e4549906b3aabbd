package registerlink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/source"
	"posdx/drivers/serial"
)

// relayMute is how long a relay may say nothing: it tells its state every half minute.
const relayMute = 75 * time.Second

// relayPath is the longest name a socket can have.
const relayPath = 107

// runCopies reads the copies that a relay sends. The relay waits for no reader: if this one is kept from reading,
// copies are lost and nothing else happens.
func (e *Link) runCopies(ctx context.Context, to source.Sink) error {
	ears := [2]*ear{e.ear(0, to), e.ear(1, to)}
	e.mu.Lock()
	e.lines = []Line{{Port: e.Copies + " device"}, {Port: e.Copies + " application"}}
	e.mu.Unlock()
	for _, l := range ears {
		l.port.Path = e.Copies
		l.decoder.Skip() // the first bytes may lie within a frame
	}
	pause := e.reopen
	if pause == 0 {
		pause = linkReopen
	}
	for {
		err := e.hearCopies(ctx, ears)
		if ctx.Err() != nil {
			return nil
		}
		ears[0].tell(err)
		if !source.Sleep(ctx, pause, nil) {
			return nil
		}
	}
}

func (e *Link) hearCopies(ctx context.Context, ears [2]*ear) error {
	f, err := bindCopies(e.Copies)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { f.Close() })()
	defer f.Close()
	e.pulses[0].use(f)
	defer e.pulses[0].use(nil)
	ears[0].tell(nil)
	var heard time.Time // the relay
	buf := make([]byte, serial.CopyMax+1)
	defer clear(buf)
	for {
		wait := time.Time{}
		if !heard.IsZero() {
			wait = heard.Add(relayMute)
		}
		now := time.Now()
		for _, l := range ears {
			if d := l.wait(now); !d.IsZero() && (wait.IsZero() || d.Before(wait)) {
				wait = d
			}
		}
		if err := e.pulses[0].wait(wait); err != nil {
			return err
		}
		n, err := f.Read(buf)
		now = time.Now()
		idle := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !idle && !errors.Is(err, io.EOF) { // an empty datagram reads as an end
			return err
		}
		from := -1
		if !idle {
			if c, err := serial.ParseCopy(buf[:n]); err == nil {
				heard, from = now, int(c.From)
				ears[from].copied(c)
				e.relayed(c)
			}
			clear(buf[:n])
		}
		for i, l := range ears {
			if i != from && l.decoder.Partial() && now.Sub(l.heard) >= e.pause() {
				l.decoder.Quiet(l.found)
				l.keep()
			}
			l.offer()
		}
		if !heard.IsZero() && now.Sub(heard) >= relayMute {
			heard = time.Time{}
			e.relayed(serial.Copy{})
		}
	}
}

// copied takes in what a relay heard of one side.
func (l *ear) copied(c serial.Copy) {
	if c.Lost > 0 {
		l.decoder.Skip()
		l.link.mu.Lock()
		l.link.lines[l.index].Missed += uint64(c.Lost)
		l.link.mu.Unlock()
	}
	if len(c.Data) > 0 {
		l.heard = time.Now()
		n := len(c.Data)
		l.hear(c.Data)
		l.decoder.Push(c.Data, l.found)
		l.note(true, n)
	}
}

// keep makes the counts known.
func (l *ear) keep() {
	l.link.mu.Lock()
	defer l.link.mu.Unlock()
	l.link.lines[l.index].Counts = l.decoder.Counts
}

// relayed notes how both ends of a relayed line are.
func (e *Link) relayed(c serial.Copy) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines[0].Open, e.lines[1].Open = c.Device, c.App
	if c.Device {
		e.lines[0].Errors = c.Errors
	}
}

// bindCopies makes the socket. Nobody but this user, and root, may send to it: the mode is set before there is a name.
func bindCopies(path string) (*os.File, error) {
	fail := func(err error) (*os.File, error) { return nil, fmt.Errorf("socket %s: %w", path, err) }
	if len(path) > relayPath {
		return fail(unix.ENAMETOOLONG)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path) // of a daemon that was killed
	}
	if err = unix.Fchmod(fd, 0o600); err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		unix.Close(fd)
		return fail(err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
