// Package sim simulates the devices around a terminal on ttys, each with faults that can be switched while it runs:
// tests, make run and the device lab use it, never a terminal.
package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"posdx/drivers/serial"
)

// A Peer is a simulated device: it serves one end of a line until the line or the context ends.
type Peer interface {
	Serve(ctx context.Context, rw io.ReadWriteCloser) error
}

// A Line is a cable between a Peer and a tty that other programs open: a pty with a name of its own, which can be
// pulled out, put back, and made to damage bytes. Its methods may be called from any goroutine.
type Line struct {
	path string
	peer Peer

	mu     sync.Mutex
	master *os.File
	cancel context.CancelFunc
	ended  chan struct{}

	noise struct {
		sync.Mutex
		rand *rand.Rand
		rate float64
	}
}

// NewLine makes a line that is not plugged in. Path is where the tty will appear, as a symbolic link, the same after
// every Plug; the seed decides which bytes Spoil hits.
func NewLine(path string, peer Peer, seed uint64) *Line {
	l := &Line{path: path, peer: peer}
	l.noise.rand = rand.New(rand.NewPCG(seed, 1))
	return l
}

// Path is the name by which the tty is opened.
func (l *Line) Path() string { return l.path }

// Plug makes the tty appear and starts the peer. A line that is plugged in stays so.
func (l *Line) Plug() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.master != nil {
		return nil
	}
	master, slave, err := openPTY()
	if err != nil {
		return fmt.Errorf("plug %s: %w", l.path, err)
	}
	defer slave.Close()
	err = raw(slave)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(l.path), 0o755)
	}
	if err == nil {
		os.Remove(l.path)
		err = os.Symlink(slave.Name(), l.path)
	}
	if err != nil {
		master.Close()
		return fmt.Errorf("plug %s: %w", l.path, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.master, l.cancel, l.ended = master, cancel, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		_ = l.peer.Serve(ctx, &cable{ctx: ctx, line: l, File: master}) // a device that hangs up is a device gone
		master.Close()
	}(l.ended)
	return nil
}

// openPTY opens a pty whose tty no process has open. The kernel uses a number again while some other process still has
// the closed tty of that number open, and a search for the holder of the port would find that process.
func openPTY() (master, slave *os.File, err error) {
	const tries = 16
	for range tries {
		if master, slave, err = pty.Open(); err != nil {
			return nil, nil, err
		}
		use, lookErr := serial.Look(slave.Name())
		if lookErr != nil || !use.Held {
			return master, slave, nil
		}
		defer master.Close() // only now: the number must not come a second time
		defer slave.Close()
	}
	return nil, nil, errors.New("every pty is held by somebody else")
}

// Unplug makes the tty vanish for every program that has it open, and waits until the peer has noticed.
func (l *Line) Unplug() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.master == nil {
		return
	}
	os.Remove(l.path)
	l.cancel()
	l.master.Close()
	<-l.ended
	l.master = nil
}

// Close is Unplug for good.
func (l *Line) Close() error { l.Unplug(); return nil }

// Spoil damages each byte, in both directions, with the given probability, as a bad cable does. Zero mends it.
func (l *Line) Spoil(rate float64) {
	l.noise.Lock()
	defer l.noise.Unlock()
	l.noise.rate = rate
}

func (l *Line) rustle(b []byte) {
	l.noise.Lock()
	defer l.noise.Unlock()
	if l.noise.rate == 0 {
		return
	}
	for i := range b {
		if l.noise.rand.Float64() < l.noise.rate {
			b[i] ^= 1 << l.noise.rand.IntN(8)
		}
	}
}

// raw makes a tty pass bytes as they are; termios live as long as the master is open.
func raw(tty *os.File) error {
	t, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, t)
}

// cable is the peer's end of a plugged line. While no program has the tty open it is as quiet as a wire: a pty alone
// would return EIO.
type cable struct {
	*os.File
	ctx  context.Context
	line *Line
}

// lookAgain is how often a cable looks for somebody at the other end.
const lookAgain = 5 * time.Millisecond

func (c *cable) Read(b []byte) (int, error) {
	for {
		n, err := c.File.Read(b)
		if n > 0 {
			c.line.rustle(b[:n])
			return n, nil
		}
		if !errors.Is(err, unix.EIO) {
			return 0, err
		}
		select {
		case <-c.ctx.Done():
			return 0, os.ErrClosed
		case <-time.After(lookAgain):
		}
	}
}

func (c *cable) Write(b []byte) (int, error) {
	copied := append([]byte(nil), b...)
	c.line.rustle(copied)
	return c.File.Write(copied)
}
