package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"posdx/firmware-build/housetest"

	"golang.org/x/sys/unix"
)

// These tests run the relay as what it is, a process of its own: this test binary, started again.

const childVar = "POSDX_RELAY_TEST"

// TestChild is the relay in that process, and nothing otherwise.
func TestChild(t *testing.T) {
	words := strings.Split(os.Getenv(childVar), "|")
	if len(words) != 4 {
		t.Skip("only in a process of its own")
	}
	baud, err := strconv.Atoi(words[3])
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	n, err := Run(ctx, Config{Device: words[0], Link: words[1], Group: -1, Copies: words[2], Line: Line{Baud: baud},
		Log: log})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("ends", "totals", fmt.Sprintf("%+v", n))
}

// spawn starts the relay of a rig as a process, as a user if uid is not 0.
func (r *rig) spawn(uid uint32) *exec.Cmd {
	r.t.Helper()
	self := os.Args[0]
	if uid != 0 { // the go command's folder is closed to others
		self = filepath.Join(filepath.Dir(r.c.Link), "relay.test")
		b, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(self, b, 0o755)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	c := exec.Command(self, "-test.run=^TestChild$")
	c.Env = append(os.Environ(), childVar+"="+
		strings.Join([]string{r.c.Device, r.c.Link, r.c.Copies, strconv.Itoa(r.c.Line.Baud)}, "|"), "GOMAXPROCS=1")
	c.Stderr = r.log
	if uid != 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	stopped := false
	r.stop = func() Totals {
		if !stopped {
			stopped = true
			c.Process.Signal(syscall.SIGTERM)
			if err := c.Wait(); err != nil {
				r.t.Errorf("the relay: %v\n%s", err, r.log.b.String())
			}
		}
		return Totals{}
	}
	r.t.Cleanup(func() { r.stop() })
	housetest.Until(r.t, "the device is relayed", r.log.has("port is relayed"))
	return c
}

// TestNothingIsLost sends as much as the line takes, both ways at once: 2 MB, and 100 MB with POSDX_LONG.
func TestNothingIsLost(t *testing.T) {
	size := 2 << 20
	if os.Getenv("POSDX_LONG") != "" {
		size = 100 << 20
	}
	r := newRig(t, func(c *Config) { c.Copies = filepath.Join(filepath.Dir(c.Link), "nobody") })
	c := r.spawn(0)
	app := r.connect()
	began := time.Now()
	var both sync.WaitGroup
	for i, way := range []struct {
		name     string
		from, to *os.File
	}{{"to the device", app, r.device}, {"to the application", r.device, app}} {
		both.Go(func() {
			if n, err := stream(way.from, way.to, size, byte(i)); err != nil {
				t.Errorf("%s: %d of %d bytes: %v", way.name, n, size, err)
			}
		})
	}
	both.Wait()
	took := time.Since(began)
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	rss, _, _ = strings.Cut(strings.TrimSpace(rss), "\n")
	t.Logf("%d MB each way in %v, %.1f MB/s; the relay's memory: %s (with the tests around it)", size>>20, took.Round(time.Millisecond), float64(2*size)/1e6/took.Seconds(), rss)
}

// stream sends random bytes from one end and holds what comes out of the other against them.
func stream(from, to *os.File, size int, seed byte) (int, error) {
	sent := make(chan error, 1)
	go func() {
		source, b := rand.NewChaCha8([32]byte{seed}), make([]byte, 3000)
		for left := size; left > 0; {
			n := min(left, len(b))
			source.Read(b[:n])
			from.SetWriteDeadline(time.Now().Add(soon))
			if _, err := from.Write(b[:n]); err != nil {
				sent <- err
				return
			}
			left -= n
		}
		sent <- nil
	}()
	check, got, want := rand.NewChaCha8([32]byte{seed}), make([]byte, 3000), make([]byte, 3000)
	for done := 0; done < size; {
		n := min(size-done, len(got))
		to.SetReadDeadline(time.Now().Add(soon))
		m, err := io.ReadFull(to, got[:n])
		check.Read(want[:n])
		if !bytes.Equal(got[:m], want[:m]) {
			return done, fmt.Errorf("other bytes than were sent")
		}
		if done += m; err != nil {
			return done, err
		}
	}
	return size, <-sent
}

// TestAPortMadeExclusiveIsThereAgain: an application's TIOCEXCL outlives its close on a pty, and keeps out whoever is
// not root. So the relay runs as nobody here.
func TestAPortMadeExclusiveIsThereAgain(t *testing.T) {
	const nobody = 65534
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r := newRig(t, func(c *Config) { c.Device, c.Link = filepath.Join(dir, "ttyPAD"), filepath.Join(dir, "app") })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(r.c.Device, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	r.spawn(nobody)
	first, _ := os.Readlink(r.c.Link)
	app := r.connect()
	s := settingsOf(t, app)
	s.Cflag = s.Cflag&^(unix.CBAUD|unix.CIBAUD) | unix.B38400
	s.Ispeed, s.Ospeed = 38400, 38400
	set(t, app, s)
	control(t, app, func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0) })
	expect(t, app, r.device, "mine alone")
	app.Close()
	housetest.Until(t, "there is another pty", func() bool { now, err := os.Readlink(r.c.Link); return err == nil && now != first })
	// It is opened as its user would.
	again := exec.Command("sh", "-c", "printf 'once more' >"+r.c.Link)
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	expect(t, writer(func([]byte) {
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("opened again: %v, %s", err, out)
		}
	}), r.device, "once more")
	if got := settingsOf(t, r.device).Ospeed; got != 38400 {
		t.Errorf("the new one is set to %d", got)
	}
}

// TestAVisitThatIsOverBeforeItIsSeen stops the relay while an application opens its port, writes and closes: as a shell
// does that prints to it, or as it looks to a relay on a busy machine.
func TestAVisitThatIsOverBeforeItIsSeen(t *testing.T) {
	r := newRig(t, nil)
	c := r.spawn(0)
	for i := range 20 {
		c.Process.Signal(syscall.SIGSTOP)
		for j := range 3 {
			text := fmt.Sprintf("visit %d.%d", i, j)
			app := r.open()
			if _, err := app.WriteString(text); err != nil {
				t.Fatal(err)
			}
			app.Close()
		}
		c.Process.Signal(syscall.SIGCONT)
		want := fmt.Sprintf("visit %d.0visit %d.1visit %d.2", i, i, i)
		got := make([]byte, len(want))
		r.device.SetReadDeadline(time.Now().Add(soon))
		if _, err := io.ReadFull(r.device, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	expect(t, r.device, r.connect(), "and it goes on")
	// It waits again, and does not turn for nothing.
	before := switches(t, c.Process.Pid)
	time.Sleep(300 * time.Millisecond) // that nothing happens is what is measured
	if n := switches(t, c.Process.Pid) - before; n > 1000 {
		t.Errorf("woke up %d times while nothing happened", n)
	}
}

// switches is how often a process has gone to sleep.
func switches(t *testing.T, pid int) (n int) {
	t.Helper()
	list, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(list) == 0 {
		t.Skip("no /proc")
	}
	for _, path := range list {
		b, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
		line, _, _ := strings.Cut(rest, "\n")
		m, _ := strconv.Atoi(strings.TrimSpace(line))
		n += m
	}
	return n
}

// BenchmarkRelay is what the relay adds at a line's own pace, beside the same pace on a single pty, and what it loses.
// One operation is a millisecond of traffic in both directions.
func BenchmarkRelay(b *testing.B) {
	for _, baud := range []int{9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600} {
		b.Run(strconv.Itoa(baud), func(b *testing.B) {
			r := newRig(b, func(c *Config) { c.Line.Baud = baud })
			r.spawn(0)
			app := r.connect()
			far, near := wire(b)
			slave, err := os.OpenFile(near, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer slave.Close()
			t := slaveMode(Line{Baud: baud})
			t.Lflag = 0
			set(b, slave, t)
			b.ResetTimer()
			var out, in, plain []time.Duration
			var lost [2]int
			var all sync.WaitGroup
			all.Go(func() { out, lost[0] = pace(b, app, r.device, baud, b.N) })
			all.Go(func() { in, lost[1] = pace(b, r.device, app, baud, b.N) })
			// at the same time: what disturbs one disturbs the other
			all.Go(func() { plain, _ = pace(b, slave, far, baud, b.N) })
			all.Wait()
			if len(plain) == 0 || len(out) == 0 || len(in) == 0 {
				return
			}
			both := append(out, in...)
			slices.Sort(both)
			slices.Sort(plain)
			at := func(list []time.Duration, q float64) float64 {
				return float64(list[int(q*float64(len(list)-1))].Nanoseconds()) / 1e3
			}
			b.ReportMetric(at(both, 0.5), "p50-µs")
			b.ReportMetric(at(both, 0.99), "p99-µs")
			b.ReportMetric(at(plain, 0.5), "bare-p50-µs")
			b.ReportMetric(at(plain, 0.99), "bare-p99-µs")
			b.ReportMetric(float64(lost[0]+lost[1]), "lost")
		})
	}
}

// pace writes at a line's rate, a millisecond's worth at a time and at least a character, and says how long each piece
// took to arrive.
func pace(t testing.TB, from, to *os.File, baud, pieces int) (took []time.Duration, lost int) {
	size := max(1, baud/10/1000)
	every := time.Second * time.Duration(size) / time.Duration(baud/10)
	sent := make([]atomic.Int64, pieces)
	begin := time.Now()
	go func() {
		b := make([]byte, size)
		for i := range pieces {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * every))) // the pace of the line
			for j := range b {
				b[j] = byte(i*size + j)
			}
			sent[i].Store(int64(time.Since(begin)))
			if _, err := from.Write(b); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	buf := make([]byte, 4096)
	for have := 0; have < pieces*size; {
		to.SetReadDeadline(time.Now().Add(soon))
		n, err := to.Read(buf)
		now := time.Since(begin)
		if err != nil {
			t.Errorf("%d of %d bytes: %v", have, pieces*size, err)
			return took, pieces*size - have
		}
		for _, c := range buf[:n] {
			if c != byte(have) {
				lost++
			}
			if have++; have%size == 0 {
				took = append(took, now-time.Duration(sent[have/size-1].Load()))
			}
		}
	}
	return took, lost
}
