package uplink

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"posdx/firmware-build/housetest"
)

// grown is by how much the live heap grows over f.
func grown(f func()) int64 {
	var a, b runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&a)
	f()
	runtime.GC()
	runtime.ReadMemStats(&b)
	return int64(b.HeapAlloc) - int64(a.HeapAlloc)
}

// TestTLSFaults makes every mistake with certificates and wants a message that names the thing and the remedy, and a
// daemon that lives on.
func TestTLSFaults(t *testing.T) {
	p, other := newPKI(t), newPKI(t)
	now := time.Now()
	ca := p.write("ca.pem", p.pem, 0o644)
	cert, key := p.files("t1")
	_, otherKey := other.files("t1")
	valid := func() ([]byte, []byte) {
		return p.issue("broker", now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1")
	}
	type server func() (cert, key []byte)
	for _, c := range []struct {
		name   string
		server server
		cfg    Config
		want   []string
	}{
		{"expired", func() ([]byte, []byte) {
			return p.issue("broker", now.Add(-2*time.Hour), now.Add(-time.Hour), "127.0.0.1")
		}, Config{CAFile: ca}, []string{"valid from", "clock", "renew"}},
		{"not yet valid", func() ([]byte, []byte) {
			return p.issue("broker", now.Add(time.Hour), now.Add(2*time.Hour), "127.0.0.1")
		}, Config{CAFile: ca}, []string{"valid from", "clock"}},
		{"other name", func() ([]byte, []byte) {
			return p.issue("broker", now.Add(-time.Hour), now.Add(time.Hour), "elsewhere.example")
		}, Config{CAFile: ca}, []string{"other names"}},
		{"other CA", func() ([]byte, []byte) {
			return other.issue("broker", now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1")
		}, Config{CAFile: ca}, []string{"not signed by", ca}},
		{"no CA file", valid, Config{CAFile: filepath.Join(p.dir, "missing.pem")}, []string{"missing.pem", "no such file", "put it there"}},
		{"rubbish CA", valid, Config{CAFile: p.write("bad.pem", []byte("hello"), 0o644)}, []string{"bad.pem", "PEM"}},
		{"empty key", valid, Config{CAFile: ca, CertFile: cert, KeyFile: p.write("empty.key", nil, 0o600)}, []string{"empty.key", "empty"}},
		{"huge key", valid, Config{CAFile: ca, CertFile: cert, KeyFile: p.write("huge.key", make([]byte, maxFile+1), 0o600)}, []string{"huge.key", "larger"}},
		{"open key", valid, Config{CAFile: ca, CertFile: cert, KeyFile: p.write("open.key", read(t, key), 0o644)}, []string{"open.key", "chmod 0400"}},
		{"key of another", valid, Config{CAFile: ca, CertFile: cert, KeyFile: otherKey}, []string{cert, otherKey, "does not match"}},
		{"open password", valid, Config{CAFile: ca, UserFile: p.write("user", []byte("u\np\n"), 0o666)}, []string{"user", "chmod 0400"}},
		{"no TLS there", nil, Config{CAFile: ca}, []string{"TLS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go serve(l, c.server)
			c.cfg.Brokers = []string{"ssl://" + l.Addr().String()}
			u, _ := run(t, c.cfg, newBox(t), Handlers{})
			housetest.Until(t, "a clear message: "+strings.Join(c.want, ", "), func() bool {
				e := u.State().LastError
				for _, w := range c.want {
					if !strings.Contains(e, w) {
						return false
					}
				}
				return true
			})
			n := u.Counters().Failures
			housetest.Until(t, "it keeps trying", func() bool { return u.Counters().Failures > n })
		})
	}
}

func read(t *testing.T, name string) []byte {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func serve(l net.Listener, certificate func() (cert, key []byte)) {
	var cfg *tls.Config
	if certificate != nil {
		pair, err := tls.X509KeyPair(certificate())
		if err != nil {
			panic(err)
		}
		cfg = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if cfg == nil {
				c.Write([]byte("this is not TLS, not at all"))
				return
			}
			tls.Server(c, cfg).Handshake()
		}()
	}
}

// A terminal that wakes up in 1970 still verifies, against the latest time it knows has been.
func TestTimeFloor(t *testing.T) {
	build := time.Now().Add(100 * 24 * time.Hour)
	u, err := New(Config{Brokers: []string{"tcp://b"}, Address: at, TimeFloor: build}, newBox(t), Handlers{})
	if err != nil {
		t.Fatal(err)
	}
	if got := u.now(); !got.Equal(build) {
		t.Errorf("now %v, want the build's %v", got, build)
	}
	u.state.NotBefore = build.Add(time.Hour)
	if got := u.now(); !got.Equal(build.Add(time.Hour)) {
		t.Errorf("now %v, want the broker certificate's start", got)
	}
	u.cfg.TimeFloor, u.state.NotBefore = time.Time{}, time.Time{}
	if got := time.Since(u.now()); got > time.Minute || got < 0 {
		t.Errorf("now is off by %v with a good clock", got)
	}
}

// TestTimeFloorIsKept: what a broker's certificate taught of the time outlives a restart, and rubbish in the file does
// not stop the next one.
func TestTimeFloorIsKept(t *testing.T) {
	cfg := Config{Brokers: []string{"tcp://b"}, Address: at, BootID: "one", StateFile: filepath.Join(t.TempDir(), "uplink.json")}
	u, err := New(cfg, newBox(t), Handlers{})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(100 * 24 * time.Hour).UTC().Truncate(time.Second)
	u.state.NotBefore = later
	u.remember()
	for _, spoil := range []string{"", "rubbish", strings.Repeat(" ", maxMemory) + "{}"} {
		if spoil != "" {
			if err := os.WriteFile(cfg.StateFile, []byte(spoil), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		again, err := New(cfg, newBox(t), Handlers{})
		if err != nil {
			t.Fatal(err)
		}
		if got := again.now().Equal(later); got != (spoil == "") {
			t.Errorf("%.10q in the file: now is %v", spoil, again.now())
		}
	}
}

func TestNew(t *testing.T) {
	ok := Config{Brokers: []string{"ssl://b.example"}, Address: at}
	for _, c := range []struct {
		name string
		do   func(*Config)
		want string
	}{
		{"no broker", func(c *Config) { c.Brokers = nil }, "no broker"},
		{"scheme", func(c *Config) { c.Brokers = []string{"http://b"} }, "want tcp://"},
		{"password in the address", func(c *Config) { c.Brokers = []string{"tcp://u:secret@b"} }, "into a file"},
		{"terminal", func(c *Config) { c.Address.Terminal = "a/b" }, "not allowed"},
		{"half a certificate", func(c *Config) { c.CertFile = "x" }, "both"},
		{"delivery", func(c *Config) { c.Delivery = "hope" }, "fleet or broker"},
	} {
		cfg := ok
		c.do(&cfg)
		_, err := New(cfg, newBox(t), Handlers{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := New(ok, newBox(t), Handlers{}); err != nil {
		t.Error(err)
	}
}
