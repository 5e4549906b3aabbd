package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

// soon is long for a machine that does nothing else.
const soon = 20 * time.Second

// A notebook is a log that tests read while it grows.
type notebook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notebook) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notebook) has(s string) func() bool {
	return func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return strings.Contains(n.b.String(), s)
	}
}

// A rig is a relay with a device on a pty of the test.
type rig struct {
	t      testing.TB
	c      Config
	log    *notebook
	device *os.File // what the device sends and receives
	stop   func() Totals
}

// plug makes a device at the configured name.
func (r *rig) plug() {
	far, near := wire(r.t)
	r.device = far
	if err := os.Symlink(near, r.c.Device); err != nil {
		r.t.Fatal(err)
	}
}

// wire makes a pty whose far end obeys deadlines, and returns the name of its near end.
func wire(t testing.TB) (far *os.File, near string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pty here: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	far = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { far.Close() })
	return far, fmt.Sprintf("/dev/pts/%d", n)
}

func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, log: &notebook{}}
	r.c = Config{Device: filepath.Join(dir, "ttyPAD"), Link: filepath.Join(dir, "app"), Group: -1, Line: Line{Baud: 9600},
		Log: slog.New(slog.NewTextHandler(r.log, nil))}
	if change != nil {
		change(&r.c)
	}
	r.plug()
	return r
}

// run starts the relay and waits until it has its device.
func (r *rig) run() *rig {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan Totals, 1)
	go func() {
		totals, err := Run(ctx, r.c)
		if err != nil {
			r.t.Error(err)
		}
		ended <- totals
	}()
	var once sync.Once
	var last Totals
	r.stop = func() Totals {
		once.Do(func() {
			cancel()
			select {
			case last = <-ended:
			case <-time.After(soon):
				r.t.Error("does not end")
			}
		})
		return last
	}
	r.t.Cleanup(func() { r.stop() })
	housetest.Until(r.t, "the device is relayed", r.log.has("port is relayed"))
	return r
}

// open opens the application's port, raw as the relay made it.
func (r *rig) open() *os.File {
	r.t.Helper()
	f, err := os.OpenFile(r.c.Link, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { f.Close() })
	return f
}

// connect opens it and waits until the relay knows.
func (r *rig) connect() *os.File {
	r.t.Helper()
	f := r.open()
	expect(r.t, f, r.device, "?") // what an application writes passes as soon as it has opened
	return f
}

// expect writes at one end and reads at the other.
func expect(t testing.TB, from io.Writer, to *os.File, text string) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	to.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(to, b); err != nil || string(b) != text {
		t.Fatalf("got %q, %v, want %q", b, err, text)
	}
}

func settingsOf(t testing.TB, f *os.File) (s unix.Termios) {
	t.Helper()
	control(t, f, func(fd int) error {
		got, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
		if err == nil {
			s = *got
		}
		return err
	})
	return s
}

func set(t testing.TB, f *os.File, s unix.Termios) {
	t.Helper()
	control(t, f, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS2, &s) })
}

func control(t testing.TB, f *os.File, do func(fd int) error) {
	t.Helper()
	c, err := f.SyscallConn()
	if err == nil {
		if e := c.Control(func(fd uintptr) { err = do(int(fd)) }); e != nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryByteBothWays(t *testing.T) {
	r := newRig(t, nil).run()
	app := r.connect()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	expect(t, app, r.device, string(all))
	expect(t, r.device, app, string(all))
	if n := r.stop(); n.Passed != [2]uint64{256, 257} || n.Dropped != [2]uint64{} {
		t.Errorf("totals %+v", n)
	}
	if _, err := os.Lstat(r.c.Link); err == nil {
		t.Error("the link is left behind")
	}
}

func TestTheDeviceFollowsTheApplication(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Line = Line{Baud: 9600, Bits: 7, Parity: serial.EvenParity} }).run()
	app := r.connect()
	if s := settingsOf(t, app); s.Ospeed != 9600 || s.Cflag&unix.CBAUD != unix.B9600 ||
		s.Lflag&(unix.ECHO|unix.ICANON) != 0 {
		t.Errorf("an application finds %+v", s)
	}
	for i, c := range []struct {
		name         string
		cflag, iflag uint32
		lflag        uint32
		baud         uint32
	}{
		{"a standard rate", unix.B115200 | unix.CREAD | unix.CS8 | unix.CLOCAL, 0, unix.EXTPROC, 115200},
		{"two stop bits", unix.B115200 | unix.CSTOPB | unix.CREAD | unix.CS8, 0, unix.EXTPROC, 115200},
		{"a rate of its own", unix.BOTHER | unix.CREAD | unix.CS8, 0, unix.EXTPROC, 12345},
		{"flow control", unix.B19200 | unix.CRTSCTS | unix.CREAD | unix.CS8, unix.IXOFF, unix.EXTPROC, 19200},
		{"an application that builds its settings from nothing", unix.B4800 | unix.CREAD | unix.CS8, unix.IGNBRK, 0, 4800},
		{"and changes them again", unix.B38400 | unix.CREAD | unix.CS8, unix.INPCK, 0, 38400},
	} {
		set(t, app, unix.Termios{Cflag: c.cflag, Iflag: c.iflag, Lflag: c.lflag, Ispeed: c.baud, Ospeed: c.baud,
			Cc: [19]uint8{unix.VMIN: 1}})
		housetest.Until(t, c.name, func() bool {
			s := settingsOf(t, r.device)
			return s.Ospeed == c.baud && s.Cflag&unix.CSTOPB == c.cflag&unix.CSTOPB &&
				s.Cflag&unix.CRTSCTS == c.cflag&unix.CRTSCTS && s.Iflag == c.iflag
		})
		expect(t, app, r.device, fmt.Sprint("to", i))
		expect(t, r.device, app, fmt.Sprint("from", i))
	}
}

func TestBytesLeaveUnderTheirOwnSettings(t *testing.T) {
	r := newRig(t, nil).run()
	app := r.connect()
	s := settingsOf(t, app)
	for i := range 200 {
		baud := []uint32{9600, 115200}[i%2]
		s.Lflag = []uint32{0, unix.EXTPROC}[i/2%2]
		s.Cflag = s.Cflag&^(unix.CBAUD|unix.CIBAUD) | speedFlags(baud)
		s.Ispeed, s.Ospeed = baud, baud
		set(t, app, s)
		expect(t, app, r.device, "x")
		if got := settingsOf(t, r.device).Ospeed; got != baud {
			t.Fatalf("%d: a byte written at %d arrives at %d", i, baud, got)
		}
	}
}

func TestFraming(t *testing.T) {
	for _, c := range []struct {
		framing string
		want    uint32
		text    string
	}{
		{"8N1", unix.CS8, "1200 8N1"}, {"7E1", unix.CS7 | unix.PARENB, "1200 7E1"},
		{"7o2", unix.CS7 | unix.PARENB | unix.PARODD | unix.CSTOPB, "1200 7O2"}, {"8N2", unix.CS8 | unix.CSTOPB, "1200 8N2"},
	} {
		l, err := ParseLine(1200, c.framing)
		if err != nil || l.String() != c.text {
			t.Errorf("%s: %v, %v", c.framing, l, err)
		}
		const of = unix.CSIZE | unix.PARENB | unix.PARODD | unix.CSTOPB
		if s := l.termios(false); s.Cflag&of != c.want || s.Ospeed != 1200 || s.Cflag&unix.CBAUD != unix.B1200 {
			t.Errorf("%s: %+v", c.framing, s)
		}
		// A pty says nothing of size and parity: those are kept, the rate is followed.
		follow := l.follow(&unix.Termios{Cflag: unix.CS8 | unix.B19200 | c.want&unix.CSTOPB, Ispeed: 19200, Ospeed: 19200})
		if s := follow.termios(false); s.Cflag&of != c.want || s.Ospeed != 19200 || !strings.HasPrefix(follow.String(), "19200 ") {
			t.Errorf("%s followed: %v %+v", c.framing, follow, s)
		}
	}
	for _, bad := range []string{"", "8N", "8X1", "9N1", "8N3", "8N11"} {
		if l, err := ParseLine(9600, bad); err == nil {
			t.Errorf("%q is %v", bad, l)
		}
	}
	if _, err := ParseLine(0, "8N1"); err == nil {
		t.Error("no baud rate is one")
	}
}

func TestAnApplicationThatWantsLines(t *testing.T) {
	r := newRig(t, nil).run()
	app := r.connect()
	s := settingsOf(t, app)
	s.Lflag, s.Iflag = unix.ICANON|unix.EXTPROC, unix.ICRNL
	set(t, app, s)
	housetest.Until(t, "EXTPROC is gone, under which there are no lines", func() bool { return settingsOf(t, app).Lflag == unix.ICANON })
	r.device.Write([]byte("one\rtw"))
	b := make([]byte, 64)
	app.SetReadDeadline(time.Now().Add(soon))
	if n, err := app.Read(b); err != nil || string(b[:n]) != "one\n" {
		t.Errorf("a line: %q, %v", b[:n], err)
	}
	r.device.Write([]byte("o\r"))
	app.SetReadDeadline(time.Now().Add(soon))
	if n, err := app.Read(b); err != nil || string(b[:n]) != "two\n" {
		t.Errorf("the next: %q, %v", b[:n], err)
	}
}

func TestAClosedPortHearsNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Copies = filepath.Join(filepath.Dir(c.Link), "copies") })
	daemon := ear(t, r.c.Copies)
	told := func(ok func(serial.Copy) bool) { // to the daemon
		t.Helper()
		for b := make([]byte, serial.CopyMax); ; {
			daemon.SetReadDeadline(time.Now().Add(soon))
			n, err := daemon.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := serial.ParseCopy(b[:n]); err == nil && ok(c) {
				return
			}
		}
	}
	closed := func(c serial.Copy) bool { return c.Device && !c.App }
	r.run()
	told(closed)
	app := r.connect()
	r.device.Write([]byte("unread"))
	app.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(app, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	app.Write([]byte("last words"))
	app.Close()
	b := make([]byte, len("last words"))
	r.device.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(r.device, b); err != nil || string(b) != "last words" {
		t.Errorf("before the close: %q, %v", b, err)
	}
	told(closed)
	r.device.Write([]byte("late"))
	told(func(c serial.Copy) bool { return string(c.Data) == "late" }) // so it has passed, and found nobody
	expect(t, r.device, r.connect(), "answer")
}

func TestUnpluggedAndPluggedIn(t *testing.T) {
	r := newRig(t, nil).run()
	app := r.connect()
	s := settingsOf(t, app)
	s.Cflag = s.Cflag&^(unix.CBAUD|unix.CIBAUD) | unix.B19200
	s.Ispeed, s.Ospeed = 19200, 19200
	set(t, app, s)
	for range 3 {
		os.Remove(r.c.Device)
		r.device.Close()
		housetest.Until(t, "the loss is said", r.log.has("lost its port"))
		if n, err := app.Write([]byte("into the void")); n != 13 || err != nil {
			t.Errorf("a write with the cable out: %d, %v", n, err)
		}
		time.Sleep(30 * time.Millisecond) // those bytes must not wait for the device: later they would be an old request
		r.log.mu.Lock()
		r.log.b.Reset()
		r.log.mu.Unlock()
		r.plug()
		housetest.Until(t, "it is relayed again", r.log.has("port is relayed"))
		expect(t, app, r.device, "again")
		expect(t, r.device, app, "and back")
		if s := settingsOf(t, r.device); s.Ospeed != 19200 {
			t.Errorf("set to %d, the application wants 19200", s.Ospeed)
		}
	}
}

func TestWaitsForADeviceThatIsHeld(t *testing.T) {
	r := newRig(t, nil)
	near, err := os.OpenFile(r.c.Device, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	if err := unix.Flock(int(near.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	go func() {
		housetest.Within(soon, r.log.has("waits for its port"))
		unix.Flock(int(near.Fd()), unix.LOCK_UN)
	}()
	r.run()
	if !r.log.has("waits for its port")() {
		t.Error("a held port was taken")
	}
	expect(t, r.connect(), r.device, "mine")
}

// TestBackPressure fills all that holds bytes, in one direction and then the other, with a far end that reads nothing:
// the sender is stopped, and what it could send arrives.
func TestBackPressure(t *testing.T) {
	r := newRig(t, nil).run()
	app := r.connect()
	for _, c := range []struct {
		name     string
		from, to *os.File
	}{{"to the device", app, r.device}, {"to the application", r.device, app}} {
		source, check := rand.NewChaCha8([32]byte{1}), rand.NewChaCha8([32]byte{1})
		b := make([]byte, 1<<20)
		source.Read(b)
		c.from.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		sent, err := c.from.Write(b)
		c.from.SetWriteDeadline(time.Time{})
		if err == nil || sent > 64<<10 {
			t.Errorf("%s: %d bytes were taken though nobody reads", c.name, sent)
		}
		got, want := make([]byte, sent), make([]byte, sent)
		check.Read(want)
		c.to.SetReadDeadline(time.Now().Add(soon))
		if n, err := io.ReadFull(c.to, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d of %d bytes arrived, %v", c.name, n, sent, err)
		}
		expect(t, c.from, c.to, "and on")
	}
}

func TestXOFFStopsTheDevice(t *testing.T) {
	r := newRig(t, nil).run()
	app := r.connect()
	s := settingsOf(t, app)
	s.Iflag = unix.IXON | unix.IXOFF
	s.Cc[unix.VSTART], s.Cc[unix.VSTOP] = 0x11, 0x13
	set(t, app, s)
	housetest.Until(t, "the device obeys XOFF", func() bool { return settingsOf(t, r.device).Iflag == unix.IXON|unix.IXOFF })
	r.device.Write([]byte{0x13})
	expect(t, r.device, app, "behind XOFF") // so it has been obeyed
	app.Write([]byte("held"))
	r.device.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
	if n, err := r.device.Read(make([]byte, 8)); n > 0 {
		t.Errorf("%d bytes after XOFF, %v", n, err)
	}
	expect(t, writer(func([]byte) { r.device.Write([]byte{0x11}) }), r.device, "held")
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// ear is the daemon's end of the copies.
func ear(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	os.Remove(path)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hear reads copies until a text has been heard of one side, and returns how many bytes of each side were heard and
// told to have been missed.
func hear(t testing.TB, c *net.UnixConn, side serial.Side, text string) (heard, missed [2]int) {
	t.Helper()
	var got [2]string
	b := make([]byte, serial.CopyMax)
	for !strings.HasSuffix(got[side], text) {
		c.SetReadDeadline(time.Now().Add(soon))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("heard %q, want %q: %v", got, text, err)
		}
		m, err := serial.ParseCopy(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(m.Time); d < 0 || d > soon {
			t.Errorf("a copy of %v", m.Time)
		}
		missed[m.From] += int(m.Lost)
		got[m.From] += string(m.Data)
	}
	return [2]int{len(got[0]), len(got[1])}, missed
}

func TestTheDaemonHearsAndItsAbsenceCostsNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Copies = filepath.Join(filepath.Dir(c.Link), "copies") }).run()
	housetest.Until(t, "its absence is said", r.log.has("nobody hears"))
	app := r.connect()
	var sent, heard, missed [2]int
	sent[serial.FromApp] = 1 // of connect
	say := func(from serial.Side, text string) {
		t.Helper()
		if sent[from] += len(text); from == serial.FromApp {
			expect(t, app, r.device, text)
		} else {
			expect(t, r.device, app, text)
		}
	}
	listen := func(daemon *net.UnixConn, side serial.Side, text string) {
		t.Helper()
		h, m := hear(t, daemon, side, text)
		for i := range heard {
			heard[i], missed[i] = heard[i]+h[i], missed[i]+m[i]
		}
		if heard[side]+missed[side] != sent[side] {
			t.Errorf("of %d bytes %d were heard and %d told to be missed", sent[side], heard[side], missed[side])
		}
	}
	const longEnough = 5 * copyWait // mostly: what is not given up by then is heard, and another round tells
	for i := range 50 {
		if i >= 3 && missed[0] > 0 && missed[1] > 0 {
			break
		}
		say(serial.FromApp, "request")
		say(serial.FromDevice, "answer")
		time.Sleep(longEnough) // copies wait for so long, and nothing tells when they are given up
		daemon := ear(t, r.c.Copies)
		last := fmt.Sprint("0200-", i)
		say(serial.FromApp, last)
		listen(daemon, serial.FromApp, last)
		say(serial.FromDevice, last)
		listen(daemon, serial.FromDevice, last)
		daemon.Close()
	}
	if missed[0] == 0 || missed[1] == 0 {
		t.Errorf("missed %v of %v: the test proves nothing", missed, sent)
	}
	n := r.stop()
	for i := range sent {
		if int(n.Untold[i]) != missed[i] || int(n.Passed[i]) != sent[i] {
			t.Errorf("totals %+v, of %v bytes %v were missed", n, sent, missed)
		}
	}
}

func TestADaemonThatSleepsHoldsNobodyUp(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Copies = filepath.Join(filepath.Dir(c.Link), "copies") })
	daemon := ear(t, r.c.Copies)
	r.run()
	app := r.connect()
	block := strings.Repeat("0123456789abcdef", 64)
	sent := 1
	for range 200 {
		expect(t, app, r.device, block)
		sent += len(block)
	}
	// It wakes: what it hears and what it is told to have missed is all there was.
	var heard, missed int
	b := make([]byte, serial.CopyMax)
	for heard+missed < sent {
		daemon.SetReadDeadline(time.Now().Add(soon))
		n, err := daemon.Read(b)
		if err != nil {
			t.Fatalf("heard %d and missed %d of %d: %v", heard, missed, sent, err)
		}
		m, err := serial.ParseCopy(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		heard, missed = heard+len(m.Data), missed+int(m.Lost)
		if missed+heard == sent {
			break
		}
		if m.Lost == 0 && heard > 64<<10 {
			t.Fatalf("heard %d bytes: more than is kept", heard)
		}
		if heard+missed < sent {
			app.Write([]byte("+")) // a gap is told with what comes behind it
			sent++
			r.device.SetReadDeadline(time.Now().Add(soon))
			if _, err := io.ReadFull(r.device, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if missed == 0 {
		t.Error("nothing was missed: the test proves nothing")
	}
}

// lines are modem lines without a port.
type lines struct {
	mu     sync.Mutex
	in     int
	out    int
	breaks []bool
}

func (l *lines) signals() (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.in, nil }
func (l *lines) drive(set, of int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = l.out&^of | set&of
	return nil
}
func (l *lines) sendBreak(on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaks = append(l.breaks, on)
	return nil
}
func (l *lines) get(f func(*lines) bool) func() bool {
	return func() bool { l.mu.Lock(); defer l.mu.Unlock(); return f(l) }
}

func TestTwoPortsPassModemLinesAndBreaks(t *testing.T) {
	far, near := wire(t)
	dev, app := &lines{}, &lines{}
	r := newRig(t, func(c *Config) {
		c.Link, c.Port = "", near
		c.modem = func(fd int) modem {
			if name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); name == near {
				return app
			}
			return dev
		}
	}).run()
	housetest.Until(t, "both ports are relayed", func() bool {
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		return strings.Count(r.log.b.String(), "port is relayed") == 2
	})
	expect(t, far, r.device, "a \xFF stays") // PARMRK doubles it, and it comes out single
	expect(t, r.device, far, "\xFF\xFF back")
	for _, c := range []struct{ in, out int }{
		{unix.TIOCM_CTS, unix.TIOCM_RTS}, {unix.TIOCM_DSR, unix.TIOCM_DTR},
		{unix.TIOCM_CD | unix.TIOCM_CTS, unix.TIOCM_DTR | unix.TIOCM_RTS}, {0, 0},
	} {
		for _, from := range []*lines{dev, app} {
			to := map[*lines]*lines{dev: app, app: dev}[from]
			from.mu.Lock()
			from.in = c.in
			from.mu.Unlock()
			housetest.Until(t, fmt.Sprintf("%x comes out as %x", c.in, c.out), to.get(func(l *lines) bool { return l.out == c.out }))
		}
	}
	r.stop()
	// No pty makes a break: one is put where the kernel would have it.
	p := &port{fd: 0, modem: func(int) modem { return dev }}
	now := time.Now()
	p.startBreak(now)
	if p.breaks != now.Add(breakLength) {
		t.Error("a break without an end")
	}
	p.endBreak()
	if got := fmt.Sprint(dev.breaks); got != "[true false]" {
		t.Errorf("breaks %s", got)
	}
}

func TestRefusesWhatItCannotBe(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	os.WriteFile(plain, []byte("mine"), 0o600)
	log := slog.New(slog.DiscardHandler)
	for _, c := range []Config{
		{Device: "x", Line: Line{Baud: 9600}, Group: -1},
		{Device: "x", Line: Line{Baud: 9600}, Link: dir + "/l", Port: "y", Group: -1},
		{Device: "x", Link: dir + "/l", Group: -1},
		{Device: "x", Line: Line{Baud: 9600}, Link: plain, Group: -1},
		{Device: "x", Line: Line{Baud: 9600}, Link: dir + "/none/l", Group: -1},
		{Device: "x", Line: Line{Baud: 9600}, Link: dir + "/l", Group: -1, Copies: "/" + strings.Repeat("x", 200)},
	} {
		c.Log = log
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%+v runs", c)
		}
	}
	if b, err := os.ReadFile(plain); string(b) != "mine" {
		t.Errorf("a file was replaced: %q, %v", b, err)
	}
}
