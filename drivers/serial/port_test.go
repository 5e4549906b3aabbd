package serial

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"posdx/firmware-build/housetest"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// These tests are the conformance suite of the libraries: `go test` runs it over go.bug.st/serial, `go test -tags tarm`
// over github.com/tarm/serial, each on a pty whose far end is the test.

// soon is how long a thing that must happen may take on a busy machine before the test gives up.
const soon = 20 * time.Second

// plug makes a pty and returns the device's end and the path of the port's end.
func plug(t *testing.T) (device *os.File, path string) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("no pty here: %v", err)
	}
	path = slave.Name()
	slave.Close()
	t.Cleanup(func() { master.Close() })
	return master, path
}

func open(t *testing.T, c Config) *Port {
	t.Helper()
	if c.Baud == 0 {
		c.Baud = 115200
	}
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// within fails the test if f does not return in time.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatalf("%s: did not return within %v", what, soon)
	}
}

func TestBytesPassUnchanged(t *testing.T) {
	device, path := plug(t)
	p := open(t, Config{Path: path})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	within(t, "exchange", func() {
		if _, err := p.Write(all); err != nil {
			t.Error(err)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(device, got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("the device got % x, %v", got, err)
		}
		device.Write(all)
		got = make([]byte, len(all))
		if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("the port got % x, %v", got, err)
		}
	})
}

func TestIdleIsNotTheEnd(t *testing.T) {
	device, path := plug(t)
	p := open(t, Config{Path: path})
	for range 3 {
		p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := p.Read(make([]byte, 8))
		if n != 0 || !errors.Is(err, ErrIdle) || !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrGone) {
			t.Fatalf("silent line: %d, %v", n, err)
		}
	}
	p.SetReadDeadline(time.Time{})
	within(t, "read after idle", func() {
		device.Write([]byte("x"))
		b := make([]byte, 8)
		if n, err := p.Read(b); n != 1 || err != nil || b[0] != 'x' {
			t.Errorf("after idle: %d, %v", n, err)
		}
	})
}

func TestUnplugged(t *testing.T) {
	t.Run("while a read waits", func(t *testing.T) {
		device, path := plug(t)
		p := open(t, Config{Path: path})
		ended := make(chan error, 1)
		go func() { _, err := p.Read(make([]byte, 8)); ended <- err }()
		device.Close()
		within(t, "read", func() {
			if err := <-ended; !errors.Is(err, ErrGone) || errors.Is(err, os.ErrClosed) {
				t.Errorf("unplugged: %v", err)
			}
		})
	})
	t.Run("before", func(t *testing.T) {
		device, path := plug(t)
		p := open(t, Config{Path: path})
		device.Close()
		within(t, "use", func() {
			if _, err := p.Read(make([]byte, 8)); !errors.Is(err, ErrGone) {
				t.Errorf("read: %v", err)
			}
			if _, err := p.Write([]byte("x")); !errors.Is(err, ErrGone) {
				t.Errorf("write: %v", err)
			}
			if err := p.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	})
	t.Run("long ago", func(t *testing.T) {
		device, path := plug(t)
		device.Close()
		if _, err := Open(Config{Path: path, Baud: 9600}); !errors.Is(err, ErrGone) {
			t.Errorf("open: %v", err)
		}
	})
}

func TestCloseIsOurs(t *testing.T) {
	t.Run("while a read waits", func(t *testing.T) {
		_, path := plug(t)
		p := open(t, Config{Path: path})
		ended := make(chan error, 1)
		go func() { _, err := p.Read(make([]byte, 8)); ended <- err }()
		within(t, "close", func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, os.ErrClosed) || errors.Is(err, ErrGone) {
				t.Errorf("read: %v", err)
			}
		})
	})
	t.Run("while a write waits", func(t *testing.T) {
		_, path := plug(t)
		p := open(t, Config{Path: path})
		p.SetWriteDeadline(time.Now().Add(time.Hour))
		ended := make(chan error, 1)
		go func() { _, err := p.Write(make([]byte, 1<<20)); ended <- err }() // more than a pty keeps
		within(t, "close", func() {
			waitFull(p)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, os.ErrClosed) {
				t.Errorf("write: %v", err)
			}
		})
	})
	t.Run("twice and after", func(t *testing.T) {
		_, path := plug(t)
		p := open(t, Config{Path: path})
		p.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if _, err := p.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	})
}

// waitFull returns when the port takes no more bytes.
func waitFull(p *Port) {
	for full := false; !full; runtime.Gosched() {
		p.raw.Control(func(fd uintptr) { room, _ := ready(fd, unix.POLLOUT); full = !room })
	}
}

func TestWriteDeadline(t *testing.T) {
	device, path := plug(t)
	p := open(t, Config{Path: path})
	within(t, "write", func() {
		p.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := p.Write(make([]byte, 1<<20)); !errors.Is(err, ErrIdle) {
			t.Errorf("nobody takes the bytes: %v", err)
		}
		// The port lives on as soon as somebody does.
		go io.Copy(io.Discard, device)
		p.SetWriteDeadline(time.Now().Add(soon))
		if _, err := p.Write([]byte("again")); err != nil {
			t.Errorf("after the deadline: %v", err)
		}
	})
}

// stuck is a library whose Write comes back only after the deadline, as one does that an emptied queue has set free.
type stuck struct{ line }

func (s stuck) Write(b []byte) (int, error) {
	time.Sleep(60 * time.Millisecond) // past the deadline
	return len(b), nil
}

func TestWriteThatWasThrownAway(t *testing.T) {
	_, path := plug(t)
	p := open(t, Config{Path: path})
	p.line = stuck{p.line}
	p.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := p.Write([]byte("x")); !errors.Is(err, ErrIdle) {
		t.Errorf("the library says it was written, but it was not: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	device, path := plug(t)
	p := open(t, Config{Path: path})
	device.Write([]byte("old"))
	for come := false; !come; runtime.Gosched() {
		p.raw.Control(func(fd uintptr) { come, _ = ready(fd, unix.POLLIN) })
	}
	if err := p.Discard(); err != nil {
		t.Fatal(err)
	}
	within(t, "read", func() {
		device.Write([]byte("new"))
		b := make([]byte, 8)
		if n, err := p.Read(b); err != nil || string(b[:n]) != "new" {
			t.Errorf("got %q, %v", b[:n], err)
		}
	})
}

func TestLineAsItWas(t *testing.T) {
	device, path := plug(t)
	get := func() unix.Termios { // the far end of a pty sees and sets the near one's
		s, err := unix.IoctlGetTermios(int(device.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return *s
	}
	before := get()
	p := open(t, Config{Path: path, Baud: 9600})
	if get() == before {
		t.Error("opening set nothing, so this test proves nothing")
	}
	p.Close()
	if get() != before {
		t.Errorf("close left %+v, found %+v", get(), before)
	}
	open(t, Config{Path: path, HoldDTR: true}).Close()
	if get().Cflag&unix.HUPCL != 0 {
		t.Error("HoldDTR: the line will hang up on close")
	}
}

func TestSettings(t *testing.T) {
	_, path := plug(t)
	for _, c := range []Config{
		{Path: path}, {Path: path, Baud: -1}, {Path: path, Baud: 9600, DataBits: 9}, {Path: path, Baud: 9600, StopBits: 3},
		{Path: path, Baud: 9600, Parity: 7},
	} {
		if _, err := Open(c); err == nil {
			t.Errorf("%+v: opened", c)
		}
	}
	if Library == "github.com/tarm/serial" {
		if _, err := Open(Config{Path: path, Baud: 12345}); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("odd rate: %v", err)
		}
	}
}

// A pty keeps stop bits and the kind of parity, and drops character size and whether there is parity.
func TestFraming(t *testing.T) {
	device, path := plug(t)
	for _, c := range []struct {
		c    Config
		want uint32
	}{
		{Config{}, 0}, {Config{StopBits: 2}, unix.CSTOPB}, {Config{DataBits: 7, Parity: EvenParity}, 0},
		{Config{DataBits: 7, Parity: OddParity}, unix.PARODD},
		{Config{Parity: OddParity, StopBits: 2}, unix.PARODD | unix.CSTOPB},
	} {
		c.c.Path, c.c.Baud = path, 19200
		p := open(t, c.c)
		s, err := unix.IoctlGetTermios(int(device.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Cflag & (unix.PARODD | unix.CSTOPB); got != c.want || s.Cflag&unix.CBAUD != unix.B19200 {
			t.Errorf("%+v: flags %o, want %o at 19200", c.c, s.Cflag, c.want)
		}
		p.Close()
	}
}

func TestMarksAreTakenOut(t *testing.T) {
	device, path := plug(t)
	p := open(t, Config{Path: path, MarkErrors: true})
	// The line discipline doubles a sound 377, as it does beside marks; of marks themselves a pty knows nothing.
	device.Write([]byte("\xFF\xFF\x00\x03"))
	got := make([]byte, 4)
	within(t, "read", func() {
		if _, err := io.ReadFull(p, got); err != nil || string(got) != "\xFF\xFF\x00\x03" {
			t.Errorf("got % x, %v", got, err)
		}
	})
	// One byte at a time the first half of a doubled 377 is a read of nothing, with more behind it.
	device.Write([]byte("\xFF\xFFx"))
	within(t, "read by bytes", func() {
		for range 3 {
			if n, err := p.Read(got[:1]); n != 1 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
	})
	if c, err := p.LineErrors(); err != nil || c != (Counters{}) {
		t.Errorf("counted %+v, %v", c, err)
	}
	if n := p.unmark([]byte("a\xFF\x00b\xFF\x00\x00")); n != 2 {
		t.Errorf("%d bytes", n)
	}
	if c, err := p.LineErrors(); err != nil || c != (Counters{Parity: 1, Break: 1}) {
		t.Errorf("counted %+v, %v", c, err)
	}
}

func TestNotAPort(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	os.WriteFile(plain, []byte("x"), 0o600)
	if _, err := Open(Config{Path: plain, Baud: 9600}); err == nil || !strings.Contains(err.Error(), "not a serial port") {
		t.Errorf("plain file: %v", err)
	}
	if _, err := Open(Config{Path: filepath.Join(dir, "none"), Baud: 9600}); !errors.Is(err, ErrGone) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Open(Config{Path: dir, Baud: 9600}); err == nil {
		t.Error("opened a folder")
	}
}

func TestSymlinkedName(t *testing.T) {
	device, path := plug(t)
	name := filepath.Join(t.TempDir(), "reader")
	if err := os.Symlink(path, name); err != nil {
		t.Fatal(err)
	}
	p := open(t, Config{Path: name})
	within(t, "exchange", func() {
		p.Write([]byte("x"))
		if _, err := io.ReadFull(device, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

func TestBusy(t *testing.T) {
	_, path := plug(t)
	p := open(t, Config{Path: path})
	_, err := Open(Config{Path: path, Baud: 9600})
	if !errors.Is(err, ErrBusy) || errors.Is(err, ErrGone) {
		t.Errorf("open twice: %v", err)
	}
	p.Close()
	open(t, Config{Path: path}).Close()
}

func TestBusyWithAnother(t *testing.T) {
	device, path := plug(t)
	_ = device
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	starts(t)
	other := exec.Command("sleep", "600")
	other.Stdin = slave
	if err := other.Start(); err != nil {
		t.Skipf("no sleep command: %v", err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	slave.Close()
	_, err = Open(Config{Path: path, Baud: 9600})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Owner.PID != other.Process.Pid || busy.Owner.By != "descriptor" {
		t.Fatalf("held by %d: %v", other.Process.Pid, err)
	}
	if p, err := Open(Config{Path: path, Baud: 9600, Shared: true}); err != nil {
		t.Errorf("shared: %v", err)
	} else {
		p.Close()
	}
}

// Both libraries must leave the tty exclusive, or open to all, as Config says.
func TestExclusive(t *testing.T) {
	device, path := plug(t)
	_ = device
	other, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	exclusive := func() int {
		n, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGEXCL)
		if err != nil {
			t.Skipf("cannot ask: %v", err) // qemu-user does not know this question
		}
		return n
	}
	for _, shared := range []bool{false, true} {
		p := open(t, Config{Path: path, Shared: shared})
		if (exclusive() != 0) == shared {
			t.Errorf("shared %v: exclusive %d", shared, exclusive())
		}
		p.Close()
		if exclusive() != 0 {
			t.Errorf("shared %v: still exclusive after Close", shared)
		}
	}
}

func TestNobodyIsLeftBehind(t *testing.T) {
	cycles := 300
	if os.Getenv("POSDX_LONG") != "" {
		cycles = 10_000
	}
	device, path := plug(t)
	go func() { // an echo
		b := make([]byte, 64)
		for {
			// Between two cycles the far end is hung up; an emulator may lose the word that it is back.
			device.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, err := device.Read(b)
			if n > 0 {
				device.Write(b[:n])
			}
			if errors.Is(err, os.ErrClosed) {
				return
			}
			runtime.Gosched()
		}
	}()
	cycle := func() {
		p, err := Open(Config{Path: path, Baud: 115200, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		// The far end may still be seeing the close of the cycle before and drop what comes: then it is asked again.
		for end := time.Now().Add(soon); ; {
			p.SetReadDeadline(time.Now().Add(time.Second))
			p.Write([]byte("x"))
			_, err := p.Read(make([]byte, 1))
			if err == nil {
				break
			}
			if !errors.Is(err, ErrIdle) || time.Now().After(end) {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	fds, gos := housetest.Descriptors(t), runtime.NumGoroutine()
	for range cycles {
		cycle()
	}
	if n := housetest.Descriptors(t); n > fds {
		t.Errorf("%d cycles: %d descriptors before, %d after", cycles, fds, n)
	}
	for i := 0; runtime.NumGoroutine() > gos+1; i++ {
		if i > 1e6 {
			t.Fatalf("%d cycles: %d goroutines before, %d after", cycles, gos, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
}

func TestLineErrorsOfAPty(t *testing.T) {
	_, path := plug(t)
	p := open(t, Config{Path: path})
	if _, err := p.LineErrors(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pty counts: %v", err)
	}
}

func ExampleOpen() {
	_, err := Open(Config{Path: "/dev/no-such-port", Baud: 9600})
	fmt.Println(err, errors.Is(err, ErrGone), errors.Is(err, fs.ErrPermission))
	// Output: open /dev/no-such-port: serial device gone true false
}

// TestAFullPortIsLookedAtSeldom: a line that takes nothing for seconds is looked at a few times, not twenty a second.
// Counted are the process's own sleeps, beyond those that it has at rest: on a busy machine the runtime sleeps oftener.
func TestAFullPortIsLookedAtSeldom(t *testing.T) {
	_, path := plug(t)
	p := open(t, Config{Path: path})
	slept := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return int64(u.Nvcsw)
	}
	before := slept()
	time.Sleep(2 * time.Second) // what the runtime does by itself
	rest := slept() - before
	p.SetWriteDeadline(time.Now().Add(4 * time.Second))
	done := make(chan error, 1)
	go func() {
		_, err := p.Write(make([]byte, 1<<20))
		done <- err
	}()
	time.Sleep(2 * time.Second) // until then the kernel's buffers fill
	before = slept()
	if err := <-done; !errors.Is(err, ErrIdle) {
		t.Fatalf("nobody takes the bytes: %v", err)
	}
	n := slept() - before
	t.Logf("%d sleeps, %d at rest", n, rest)
	if n > 120+2*rest { // over two hundred where it is looked at twenty times a second
		t.Errorf("%d sleeps in two seconds before a line that takes nothing, %d at rest", n, rest)
	}
}
