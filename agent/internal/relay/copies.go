package relay

import (
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"posdx/drivers/serial"
)

const (
	// copyWait gathers bytes into one datagram: at 9600 baud each byte would else wake the daemon for itself.
	copyWait = 20 * time.Millisecond
	// copyKept is how many datagrams wait for a daemon that does not take them now. A socket's own queue holds ten.
	copyKept = 16
	// maxSocketPath is what struct sockaddr_un holds.
	maxSocketPath = 107
)

// copies is what the daemon shall hear. Nothing here ever waits: what does not fit is counted and told as a gap.
type copies struct {
	sock    int
	to      *unix.SockaddrUnix
	kept    [copyKept]piece
	first   int // of kept
	count   int
	lost    [2]uint32 // since what was told last
	untold  [2]uint64
	since   time.Time // when the oldest piece came, or was refused last
	told    time.Time
	changed bool // the state has
	out     []byte
	deaf    bool // the last copy was not read
	log     *slog.Logger
}

// A piece becomes a datagram.
type piece struct {
	side serial.Side
	at   time.Time
	lost uint32
	n    int
	data [serial.CopyMax - serial.CopyHeader]byte
}

func (c *copies) open(path string, log *slog.Logger) (err error) {
	c.sock, c.log = -1, log
	if path == "" {
		return nil
	}
	if len(path) > maxSocketPath {
		return fmt.Errorf("relay: socket %s: more than %d characters", path, maxSocketPath)
	}
	if c.sock, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("relay: socket for copies: %w", err)
	}
	c.to = &unix.SockaddrUnix{Name: path}
	c.out = make([]byte, 0, serial.CopyMax)
	c.changed = true
	return nil
}

func (c *copies) close() {
	if c.sock >= 0 {
		unix.Close(c.sock)
	}
	c.sock = -1
	clear(c.kept[:])
}

// add takes a copy of what passed.
func (c *copies) add(side serial.Side, b []byte, now time.Time) {
	if c.sock < 0 {
		return
	}
	for len(b) > 0 {
		var p *piece
		if c.count > 0 {
			p = &c.kept[(c.first+c.count-1)%copyKept]
		}
		if p == nil || p.side != side || p.n == len(p.data) || c.lost[side] > 0 {
			if c.count == copyKept {
				c.lost[side] += uint32(len(b))
				c.untold[side] += uint64(len(b))
				return
			}
			if c.count == 0 {
				c.since = now
			}
			p = &c.kept[(c.first+c.count)%copyKept]
			*p = piece{side: side, at: now, lost: c.lost[side]}
			c.lost[side] = 0
			c.count++
		}
		n := copy(p.data[p.n:], b)
		p.n += n
		b = b[n:]
	}
}

// due is how long the next telling may wait.
func (c *copies) due(now time.Time) time.Duration {
	switch {
	case c.sock < 0:
		return statePause
	case c.changed:
		return 0
	case c.count > 0:
		return c.since.Add(copyWait).Sub(now)
	}
	return c.told.Add(statePause).Sub(now)
}

// tell sends what is due, as far as it is taken.
func (c *copies) tell(now time.Time, state func() (device, app bool, errors serial.Counters)) {
	// With several pieces some are full: there is no reason to wait for more.
	if c.sock < 0 || c.due(now) > 0 && c.count < copyKept/2 {
		return
	}
	device, app, errors := state()
	c.changed, c.told = false, now
	head := serial.Copy{Device: device, App: app, Time: now, Errors: errors}
	if c.count == 0 {
		c.send(head)
		return
	}
	for c.count > 0 {
		p := &c.kept[c.first]
		head.From, head.Time, head.Lost, head.Data = p.side, p.at, p.lost, p.data[:p.n]
		switch c.send(head) {
		case nil:
			c.drop()
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
			c.since = now
			return
		default: // no reader is there
			for c.count > 0 {
				p := &c.kept[c.first]
				c.lost[p.side] += p.lost + uint32(p.n)
				c.untold[p.side] += uint64(p.n)
				c.drop()
			}
		}
	}
}

func (c *copies) send(head serial.Copy) error {
	c.out = head.Append(c.out[:0])
	err := unix.Sendto(c.sock, c.out, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, c.to)
	clear(c.out)
	if deaf := err != nil && err != unix.EAGAIN; deaf != c.deaf {
		c.deaf = deaf
		if deaf {
			c.log.Info("nobody hears what passes; it passes all the same", "socket", c.to.Name, "err", err)
		} else {
			c.log.Info("what passes is heard", "socket", c.to.Name)
		}
	}
	return err
}

// drop forgets the oldest piece: it may be card data.
func (c *copies) drop() {
	clear(c.kept[c.first].data[:c.kept[c.first].n])
	c.first, c.count = (c.first+1)%copyKept, c.count-1
}
