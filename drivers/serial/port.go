package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// writeLimit bounds a Write for which no deadline was set. The kernel's buffer takes a frame at once; only a
	// device that has stopped taking bytes needs this.
	writeLimit = 10 * time.Second
	// closeLimit bounds Close. Only a driver that ignores a flushed output queue needs it.
	closeLimit = time.Second
	// writeChunk is below the 256 bytes at which the kernel calls a tty writable, so a chunk fits a UART's buffer.
	writeChunk = 128
	// lookAgain is how long Write trusts the kernel at first to say that there is room. A pty whose bytes move from one
	// kernel buffer to the next has room again and wakes nobody. A line that stays full is held or unplugged, and looked
	// at half as often each time, down to once in lookSeldom.
	lookAgain  = 50 * time.Millisecond
	lookSeldom = 2 * time.Second
)

// A Port is an open serial port. One goroutine may read while another writes; Close and the deadlines may come from
// any.
type Port struct {
	path   string
	line   line
	watch  *os.File // our own descriptor of the same tty, non-blocking: waiting, hang-ups, counters, locks
	raw    syscall.RawConn
	before *unix.Termios // the line as we found it
	start  Counters      // of the UART at Open
	counts bool          // the UART counts
	marks  Marks         // of the reader's goroutine
	marked [2]atomic.Uint32
	closed atomic.Bool

	marking bool // bytes come with marks

	mu       sync.Mutex
	writeEnd time.Time
}

// Open opens a port after looking for its owner. Its errors are ErrGone, ErrBusy, fs.ErrPermission or one
// that says what else is wrong.
func Open(c Config) (*Port, error) {
	path, err := Resolve(c.Path)
	if err != nil {
		return nil, err
	}
	c.Path = path
	if _, _, err := c.framing(); err != nil {
		return nil, err
	}
	if !c.Shared {
		use, err := Look(path)
		if err != nil {
			return nil, err
		}
		if use.Held {
			return nil, &BusyError{Path: path, Owner: use.Owner}
		}
		if use.Blind && c.MustSee {
			return nil, fmt.Errorf("open %s: cannot see who holds it: %w", path, fs.ErrPermission)
		}
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	p := &Port{path: path}
	if p.before, err = unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		unix.Close(fd)
		if err == unix.ENOTTY {
			return nil, fmt.Errorf("open %s: not a serial port", path)
		}
		return nil, openError(path, err)
	}
	if c.HoldDTR {
		p.before.Cflag &^= unix.HUPCL
	}
	if !c.Shared {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
			unix.Close(fd)
			return nil, &BusyError{Path: path, Owner: Owner{By: "flock"}}
		}
	}
	if p.line, err = openLine(c); err != nil {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, p.before)
		unix.Close(fd)
		return nil, openError(path, err)
	}
	if err := c.dress(fd); err != nil {
		p.line.Close()
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, p.before)
		unix.Close(fd)
		return nil, openError(path, err)
	}
	p.marking = c.MarkErrors
	exclusive := uint(unix.TIOCEXCL) // one library sets it always, the other never
	if c.Shared {
		exclusive = unix.TIOCNXCL
	}
	_ = unix.IoctlSetInt(fd, exclusive, 0)
	if c.RTSLow {
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCMBIC, unix.TIOCM_RTS) // ENOTTY on ttys without modem lines
	}
	p.start, err = CountersOf(fd)
	p.counts = err == nil
	p.watch = os.NewFile(uintptr(fd), path)
	if p.raw, err = p.watch.SyscallConn(); err != nil {
		p.line.Close()
		p.watch.Close()
		return nil, openError(path, err)
	}
	return p, nil
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return &BusyError{Path: path, Owner: Owner{By: "exclusive"}}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO):
		return fmt.Errorf("open %s: %w", path, ErrGone)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// Path is the device node that was opened.
func (p *Port) Path() string { return p.path }

// Read waits for bytes until the read deadline. Its errors are ErrIdle, ErrGone and os.ErrClosed.
func (p *Port) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	wait := p.raw.Read(func(fd uintptr) bool {
		for {
			come, gone := ready(fd, unix.POLLIN)
			if !come {
				if gone {
					err = ErrGone
				}
				return gone
			}
			raw, failed := p.line.Read(b)
			if n = raw; raw > 0 {
				if p.marking {
					n = p.unmark(b[:raw])
				}
				if n > 0 {
					return true
				}
				continue // nothing but marks; poll does not report again what stands behind them
			}
			if _, hup := ready(fd, unix.POLLIN); hup || errors.Is(failed, unix.EIO) {
				err = ErrGone
				return true
			}
			return false // another reader of a shared port was faster
		}
	})
	return n, p.fail("read", wait, err)
}

// unmark takes the marks out of what was read.
func (p *Port) unmark(b []byte) int {
	n := len(p.marks.Clean(b))
	p.marked[0].Store(uint32(p.marks.Damaged))
	p.marked[1].Store(uint32(p.marks.Breaks))
	return n
}

// Write sends b before the write deadline, or within ten seconds if there is none. After ErrIdle what had not left
// is thrown away: the frame was not sent whole. Other errors are ErrGone and os.ErrClosed.
func (p *Port) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	end := p.writeEnd
	p.mu.Unlock()
	if end.IsZero() {
		end = time.Now().Add(writeLimit)
	}
	// A library's Write blocks in the kernel where no deadline reaches it; an emptied queue lets it go.
	var late atomic.Bool
	timer := time.AfterFunc(time.Until(end), func() {
		late.Store(true)
		_ = p.flush(unix.TCOFLUSH)
	})
	defer timer.Stop()
	look := lookAgain
	for n < len(b) && err == nil {
		chunk := b[n:min(n+writeChunk, len(b))]
		var sent int
		var failed error
		_ = p.watch.SetWriteDeadline(sooner(end, time.Now().Add(look)))
		wait := p.raw.Write(func(fd uintptr) bool {
			room, gone := ready(fd, unix.POLLOUT)
			if gone {
				failed = ErrGone
				return true
			}
			if !room {
				return false
			}
			sent, failed = p.line.Write(chunk)
			return true
		})
		if errors.Is(wait, os.ErrDeadlineExceeded) && time.Now().Before(end) && !p.closed.Load() {
			look = min(2*look, lookSeldom)
			continue
		}
		look = lookAgain
		if failed != nil && failed != ErrGone { // the libraries wrap no error: EIO is that of a tty whose device is gone
			failed = ErrGone
		}
		if failed == nil && wait == nil && late.Load() {
			failed = ErrIdle
		}
		n += sent
		err = p.fail("write", wait, failed)
	}
	if errors.Is(err, ErrIdle) {
		_ = p.flush(unix.TCOFLUSH)
	}
	return n, err
}

// fail names what ended an operation: the wait for the port, or the port itself.
func (p *Port) fail(op string, wait, err error) error {
	switch {
	case p.closed.Load() || errors.Is(wait, os.ErrClosed):
		err = os.ErrClosed
	case errors.Is(wait, os.ErrDeadlineExceeded):
		err = ErrIdle
	case wait != nil:
		err = wait
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, p.path, err)
}

func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ready asks the kernel, without waiting, whether a port has bytes or room, and whether it is still there.
func ready(fd uintptr, events int16) (yes, gone bool) {
	set := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		if _, err := unix.Poll(set, 0); err != unix.EINTR {
			break
		}
	}
	return set[0].Revents&events != 0, set[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// SetReadDeadline bounds reads, also one that waits now; the zero time lets them wait for ever.
func (p *Port) SetReadDeadline(t time.Time) error { return p.watch.SetReadDeadline(t) }

// SetWriteDeadline bounds writes that begin after it; the zero time means ten seconds each.
func (p *Port) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	p.writeEnd = t
	p.mu.Unlock()
	if p.closed.Load() {
		return p.fail("set deadline", os.ErrClosed, nil)
	}
	return nil
}

// Discard throws away what has come and was not read.
func (p *Port) Discard() error {
	err := p.flush(unix.TCIFLUSH)
	if errors.Is(err, unix.EIO) {
		err = ErrGone
	}
	return p.fail("discard", nil, err)
}

func (p *Port) flush(queue int) (err error) {
	if e := p.raw.Control(func(fd uintptr) { err = unix.IoctlSetInt(int(fd), unix.TCFLSH, queue) }); e != nil {
		return e
	}
	return err
}

// LineErrors are the UART's counts since Open. Where the driver counts nothing it is what MarkErrors has counted, every
// damaged character as one of parity; without that the answer is errors.ErrUnsupported.
func (p *Port) LineErrors() (c Counters, err error) {
	if !p.counts && p.marking {
		return Counters{Parity: uint64(p.marked[0].Load()), Break: uint64(p.marked[1].Load())}, nil
	}
	if !p.counts {
		return c, fmt.Errorf("line errors of %s: %w", p.path, errors.ErrUnsupported)
	}
	if e := p.raw.Control(func(fd uintptr) { c, err = CountersOf(int(fd)) }); e != nil {
		err = e
	}
	if err != nil {
		return c, fmt.Errorf("line errors of %s: %w", p.path, err)
	}
	return c.Since(p.start), nil
}

// Carrier tells whether the other side holds DCD, the line by which a modem or a converter tells that a peer is
// connected. known is false on a tty that has no such line. Where the pin is not wired it is never up.
func (p *Port) Carrier() (up, known bool) {
	_ = p.raw.Control(func(fd uintptr) {
		bits, err := unix.IoctlGetInt(int(fd), unix.TIOCMGET)
		up, known = bits&unix.TIOCM_CD != 0, err == nil
	})
	return up && known, known
}

// Close restores the settings of the line and closes the port. It returns within a second, also while a Read or a Write
// waits; these end with os.ErrClosed.
func (p *Port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	_ = p.raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCOFLUSH)
		_ = unix.IoctlSetTermios(int(fd), unix.TCSETS, p.before)
		_ = unix.IoctlSetInt(int(fd), unix.TIOCNXCL, 0)
	})
	done := make(chan error, 1)
	go func() {
		p.watch.Close() // ends and awaits calls that still run, so that none uses a descriptor that was opened anew
		done <- p.line.Close()
	}()
	limit := time.NewTimer(closeLimit)
	defer limit.Stop()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, unix.EIO) {
			return fmt.Errorf("close %s: %w", p.path, err)
		}
		return nil
	case <-limit.C:
		return fmt.Errorf("close %s: a write does not come back", p.path)
	}
}
