package housetest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Serve takes connections on loopback until the test ends, each in a goroutine of its own, and closes each when f
// returns.
func Serve(t testing.TB, f func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go Accept(l, f)
	return l.Addr().String()
}

// Accept takes connections until the listener is closed, each in a goroutine of its own, and closes each when f
// returns.
func Accept(l net.Listener, f func(net.Conn)) { accept(l, f, func(serve func()) { go serve() }) }

func accept(l net.Listener, f func(net.Conn), start func(serve func())) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		start(func() { defer c.Close(); f(c) })
	}
}

// ServeAt takes connections at an address until the test ends, each in a goroutine of its own. The test's end ends ctx,
// closes what is open and waits for every f.
func ServeAt(t testing.TB, network, address string, f func(ctx context.Context, c net.Conn)) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		accept(l, func(c net.Conn) {
			defer context.AfterFunc(ctx, func() { c.Close() })()
			f(ctx, c)
		}, serving.Go)
	})
	t.Cleanup(func() { l.Close(); stop(); serving.Wait() })
}

// FreePort is a TCP port on loopback that nobody listens on at this moment.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A Mosquitto is Debian's broker on loopback, until the test ends.
type Mosquitto struct {
	Port string

	t    testing.TB
	path string
	conf string
	cmd  *exec.Cmd
}

// NewMosquitto starts a broker with lines of mosquitto.conf besides its listener's. A machine without one skips the
// test.
func NewMosquitto(t testing.TB, lines string) *Mosquitto {
	t.Helper()
	port := FreePort(t)
	return NewMosquittoAt(t, port, "listener "+port+" 127.0.0.1\n"+lines)
}

// NewMosquittoAt starts a broker with a whole mosquitto.conf, which makes it listen on a port of loopback.
func NewMosquittoAt(t testing.TB, port, conf string) *Mosquitto {
	t.Helper()
	m := &Mosquitto{Port: port, t: t, path: mosquitto(t), conf: filepath.Join(t.TempDir(), "mosquitto.conf")}
	if os.Getuid() == 0 {
		conf += "\nuser root\n" // or it could not read the test's files
	}
	if err := os.WriteFile(m.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Start()
	t.Cleanup(m.Kill)
	return m
}

// mosquitto finds the program, which lies in sbin, where an ordinary user does not look.
func mosquitto(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/mosquitto")
	}
	if err != nil {
		t.Skip("needs Debian's mosquitto")
	}
	return path
}

// URL is where clients reach the broker.
func (m *Mosquitto) URL() string {
	conf, err := os.ReadFile(m.conf)
	if err == nil && strings.Contains(string(conf), "\ncafile ") {
		return "ssl://127.0.0.1:" + m.Port
	}
	return "tcp://127.0.0.1:" + m.Port
}

// Start starts the broker again after Kill, and waits until it listens.
func (m *Mosquitto) Start() {
	m.t.Helper()
	m.cmd = exec.Command(m.path, "-c", m.conf)
	if testing.Verbose() {
		m.cmd.Stderr = m.t.Output()
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	Listening(m.t, m.Port)
}

// Reload has the broker read its files again.
func (m *Mosquitto) Reload() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		m.t.Fatal(err)
	}
}

// Running tells whether the broker was started and not killed since.
func (m *Mosquitto) Running() bool { return m.cmd != nil }

// Kill ends the broker, if it runs, as a power cut does.
func (m *Mosquitto) Kill() {
	if m.cmd != nil {
		m.cmd.Process.Kill()
		m.cmd.Wait()
		m.cmd = nil
	}
}

// Listening waits until somebody takes connections on a port of loopback.
func Listening(t testing.TB, port string) {
	t.Helper()
	Until(t, "somebody listens on port "+port, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
