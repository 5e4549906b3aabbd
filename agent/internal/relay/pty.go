package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An appEnd is the pty at the application's end. Its master tells in packet mode (tty_ioctl(4)) what the application
// does besides writing, and by hanging up that nobody has the other end open.
type appEnd struct {
	link   string
	group  int
	master int
	path   string // of the slave
	opens  int    // inotify: a process opened or closed the slave; -1 where the kernel has none
	there  bool   // an application has it open
	ended  bool   // it has not any more, and its last words are still here
	local  bool   // the application has taken EXTPROC away, which it needs to be told of its changes
	log    *slog.Logger
}

// packet is what one byte of packet mode can tell of the settings.
const packet = unix.TIOCPKT_IOCTL | unix.TIOCPKT_DOSTOP | unix.TIOCPKT_NOSTOP

// slaveMode is what a pty is set to before an application comes: raw, because a port nobody has set up must not echo.
func slaveMode(l Line) unix.Termios {
	t := l.termios(false)
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB|unix.CLOCAL) | unix.CS8 | unix.HUPCL
	t.Lflag = unix.EXTPROC
	return t
}

func makePTY(link string, group int, l Line, log *slog.Logger) (*appEnd, error) {
	if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return nil, fmt.Errorf("relay: %s is there already and no symbolic link", link)
	}
	p := &appEnd{link: link, group: group, master: -1, opens: -1, log: log}
	if n, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC); err == nil {
		p.opens = n
	}
	t := slaveMode(l)
	if err := p.create(&t); err != nil {
		p.close()
		return nil, fmt.Errorf("relay: make a port for the application: %w", err)
	}
	return p, nil
}

// create makes a new pair and points the link at it.
func (p *appEnd) create(t *unix.Termios) error {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/ptmx: %w", err)
	}
	fail := func(err error) error { unix.Close(master); return err }
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fail(err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return fail(err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	if err := unix.IoctlSetTermios(master, unix.TCSETS2, t); err != nil {
		return fail(err)
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCPKT, 1); err != nil {
		return fail(err)
	}
	if p.group >= 0 {
		if err := os.Chown(path, -1, p.group); err != nil {
			return fail(err)
		}
		if err := os.Chmod(path, 0o660); err != nil {
			return fail(err)
		}
	}
	// The master hangs up only after the slave was open once.
	if slave, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err == nil {
		unix.Close(slave)
	}
	if p.opens >= 0 {
		if _, err := unix.InotifyAddWatch(p.opens, path, unix.IN_OPEN|unix.IN_CLOSE); err != nil {
			unix.Close(p.opens)
			p.opens = -1
		}
	}
	fresh := p.link + ".new"
	_ = os.Remove(fresh)
	if err := os.Symlink(path, fresh); err != nil {
		return fail(err)
	}
	if err := os.Rename(fresh, p.link); err != nil {
		return fail(err)
	}
	if p.master >= 0 {
		unix.Close(p.master)
	}
	p.master, p.path = master, path
	p.log.Info("the application's port is there", "link", p.link, "pty", path)
	return nil
}

func (p *appEnd) close() {
	if p.master >= 0 {
		if to, err := os.Readlink(p.link); err == nil && to == p.path {
			_ = os.Remove(p.link)
		}
		unix.Close(p.master)
	}
	if p.opens >= 0 {
		unix.Close(p.opens)
	}
}

// get and set act on the slave: a master has no settings of its own (tty_mode_ioctl).
func (p *appEnd) get() (*unix.Termios, error) { return unix.IoctlGetTermios(p.master, unix.TCGETS2) }

func (p *appEnd) set(t *unix.Termios) error { return unix.IoctlSetTermios(p.master, unix.TCSETS2, t) }

// tells reports whether the kernel tells of changed settings.
func (p *appEnd) tells() bool { return !p.local }

// line reads the application's settings. EXTPROC, by which the kernel tells of changes, switches off much of what a tty
// does in any mode but raw, so it is taken away from an application that wants such a mode. Its own change in the
// microsecond between would be lost: once, at the change to such a mode.
func (p *appEnd) line(l Line) (Line, error) {
	t, err := p.get()
	if err != nil {
		return l, err
	}
	const cooked = unix.IGNCR | unix.ICRNL | unix.INLCR | unix.IUCLC | unix.ISTRIP | unix.IXON | unix.PARMRK
	if t.Lflag&unix.EXTPROC != 0 && (t.Iflag&cooked != 0 || t.Lflag&(unix.ICANON|unix.ISIG|unix.ECHO) != 0) {
		t.Lflag &^= unix.EXTPROC
		_ = p.set(t)
	}
	p.local = t.Lflag&unix.EXTPROC == 0
	return l.follow(t), nil
}

// read takes what the application wrote. Of packet mode's news only that of settings matters: what it flushed at its
// end is gone there, and bytes on their way to the device are not taken back, because tcdrain(3) has already said of
// them that they are out.
func (p *appEnd) read(b []byte, r *relay) (data []byte, more bool) {
	n, err := unix.Read(p.master, b)
	if err != nil || n <= 0 {
		return nil, false
	}
	if b[0] == unix.TIOCPKT_DATA {
		return b[1:n], false
	}
	if b[0]&packet != 0 {
		r.settings(time.Now())
	}
	return nil, true
}

// look follows applications that come and go, and reads news while no data is wanted.
func (p *appEnd) look(at, opens *unix.PollFd, r *relay) error {
	if opens.Revents != 0 {
		var b [1024]byte
		for n := 1; n > 0; n, _ = unix.Read(p.opens, b[:]) {
		}
	}
	if at.Revents&unix.POLLPRI != 0 && at.Events&unix.POLLIN == 0 {
		p.news(r)
	}
	if p.there && !p.ended && at.Revents&unix.POLLHUP == 0 && opens.Revents == 0 {
		return nil
	}
	there, words, err := p.state(r)
	if err != nil {
		return nil // asked again
	}
	was := p.there
	// Words without a writer are of one who opened, wrote and closed before we looked.
	p.there = there || words || was && len(r.toDev.rest) > 0
	p.ended = p.there && !there
	if p.there == was {
		return nil
	}
	r.copies.changed = true
	if p.there {
		r.app.fd = p.master
		r.settings(time.Now())
		r.dev.drive(allLines, allLines)
		return nil
	}
	r.app.fd = -1
	p.hangUp(r.dev)
	return p.tidy()
}

// state asks the kernel whether the other end is open, and whether it wrote something that has not been read.
func (p *appEnd) state(r *relay) (there, words bool, err error) {
	for range turns {
		set := [1]unix.PollFd{{Fd: int32(p.master), Events: unix.POLLIN | unix.POLLPRI}}
		if _, err := unix.Poll(set[:], 0); err != nil {
			return false, false, err
		}
		if set[0].Revents&unix.POLLPRI == 0 {
			return set[0].Revents&unix.POLLHUP == 0, set[0].Revents&unix.POLLIN != 0, nil
		}
		p.news(r) // there is input as long as there are news
	}
	return false, false, unix.EAGAIN
}

// news reads one byte of news, which come alone.
func (p *appEnd) news(r *relay) {
	var b [1]byte
	if n, err := unix.Read(p.master, b[:]); n == 1 && err == nil && b[0]&packet != 0 {
		r.settings(time.Now())
	}
}

// hangUp drops the device's lines as the last close of a port does.
func (p *appEnd) hangUp(dev *port) {
	if t, err := p.get(); err == nil && t.Cflag&unix.HUPCL != 0 {
		dev.drive(0, allLines)
	}
}

// tidy brings the pty into the state of a closed port: without old bytes, open to all. A pty that its user made
// exclusive stays so for ever, and without being root even this process cannot open it: then a new one with the same
// settings is made.
func (p *appEnd) tidy() error {
	_ = unix.IoctlSetInt(p.master, unix.TCFLSH, unix.TCOFLUSH)
	slave, err := unix.Open(p.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.IoctlSetInt(slave, unix.TCFLSH, unix.TCIFLUSH)
		_ = unix.IoctlSetInt(slave, unix.TIOCNXCL, 0)
		if p.local { // no program has it open whose change could be lost
			if t, err := p.get(); err == nil {
				t.Lflag |= unix.EXTPROC
				p.local = p.set(t) != nil
			}
		}
		return unix.Close(slave)
	}
	if !errors.Is(err, unix.EBUSY) {
		return nil
	}
	t, err := p.get()
	if err != nil {
		return fmt.Errorf("relay: settings of %s: %w", p.path, err)
	}
	t.Lflag |= unix.EXTPROC
	p.local = false
	if err := p.create(t); err != nil {
		return fmt.Errorf("relay: make another port for the application: %w", err)
	}
	return nil
}
