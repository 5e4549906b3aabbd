package capture

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// certificate makes one for pos.acquirer.example that ends at a time, and what trusts it.
func certificate(t testing.TB, ends time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	own := housetest.Authority{}.Sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "pos.acquirer.example"}, DNSNames: []string{"pos.acquirer.example"},
		NotBefore: ends.AddDate(-1, 0, 0), NotAfter: ends, IsCA: true, BasicConstraintsValid: true})
	return own.TLS(), own.Pool()
}

// A tapped connection shows what is written to it as segments of a line, each a second after the one before.
type tapped struct {
	net.Conn
	mu *sync.Mutex
	l  *line
	up bool
}

func (c tapped) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.l.wait(1000)
	c.l.say(c.up, append([]byte(nil), b...))
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// overTLS runs a terminal and a host over real TLS; between them the tracker.
func overTLS(t *testing.T, k *tracker, version uint16, ends time.Time, trusted bool, terminal,
	host func(net.Conn)) *line {
	t.Helper()
	cert, pool := certificate(t, ends)
	if !trusted {
		pool = x509.NewCertPool()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	a, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l := newLine(t, k, 99)
	l.connect(25)
	var mu sync.Mutex
	server := tls.Server(tapped{b, &mu, l, false}, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version})
	client := tls.Client(tapped{a, &mu, l, true}, &tls.Config{RootCAs: pool, ServerName: "pos.acquirer.example", MaxVersion: version})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer b.Close()
		if server.Handshake() == nil {
			host(server)
		}
		io.Copy(io.Discard, b)
	}()
	if client.Handshake() == nil {
		terminal(client)
	}
	a.Close()
	<-done
	return l
}

func say(c io.ReadWriter, n int)  { c.Write(make([]byte, n)) }
func hear(c io.ReadWriter, n int) { io.ReadFull(c, make([]byte, n)) }

func handshakes(s *fakeSink) (list []string) {
	for _, e := range s.evidence() {
		if e.Check == "net.tls" {
			list = append(list, fmt.Sprint(e.Status, " ", e.Facts["outcome"]))
		}
	}
	return list
}

func TestWhatTLSShows(t *testing.T) {
	year := time.Now().AddDate(1, 0, 0)
	idle := func(net.Conn) {}
	for _, c := range []struct {
		name           string
		version        uint16
		ends           time.Time
		trusted        bool
		terminal, host func(net.Conn)
		handshake      string
		exchange       string // of a terminal's code that comes right after
	}{
		{"1.2, answered", tls.VersionTLS12, year, true, func(c net.Conn) { say(c, 300); hear(c, 200) },
			func(c net.Conn) { hear(c, 300); say(c, 200) },
			"[ok ok]", "response 1000"},
		{"1.2, silent", tls.VersionTLS12, year, true, func(c net.Conn) { say(c, 300) }, func(c net.Conn) { hear(c, 300) }, "[ok ok]", "no answer"},
		{"1.2, second one silent", tls.VersionTLS12, year, true, func(c net.Conn) { say(c, 300); hear(c, 200); say(c, 300) },
			func(c net.Conn) { hear(c, 300); say(c, 200); hear(c, 300) }, "[ok ok]", "no answer"},
		{"1.3, answered", tls.VersionTLS13, year, true, func(c net.Conn) { say(c, 300); hear(c, 200) },
			func(c net.Conn) { hear(c, 300); say(c, 200) }, "[ok ok]", "nothing"},
		{"1.3, silent", tls.VersionTLS13, year, true, func(c net.Conn) { hear(c, 1); say(c, 300) },
			func(c net.Conn) { say(c, 1); hear(c, 300) }, "[ok ok]", "no answer"},
		{"1.3, nothing sent", tls.VersionTLS13, year, true, idle, idle, "[ok ok]", "nothing"},
		{"1.2, unknown issuer", tls.VersionTLS12, year, false, idle, idle, "[]", "nothing"}, // Go says bad_certificate for all
		{"1.2, expired", tls.VersionTLS12, time.Now().AddDate(0, 0, -1), true, idle, idle, "[]", "nothing"},
		{"1.3, unknown issuer", tls.VersionTLS13, year, false, idle, idle, "[]", "nothing"}, // and there behind encryption
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &fakeSink{}
			l := overTLS(t, track(s), c.version, c.ends, c.trusted, c.terminal, c.host)
			l.wait(2000)
			l.hangUp()
			same(t, handshakes(s), c.handshake)
			if len(s.seen) != 0 {
				t.Errorf("codes %v", s.codes())
			}
			got := "nothing"
			e := source.Seen{Code: "E1", Origin: report.OriginTerminal, Channel: report.ChannelHook}
			if l.fill(&e, l.at); e.Txn != nil && e.Txn.HostAnswerSeen != nil && !*e.Txn.HostAnswerSeen && *e.Txn.Sent {
				got = "no answer"
			} else if e.Origin = report.OriginHost; e.Txn == nil {
				if l.fill(&e, l.at); e.Txn != nil && e.Txn.ResponseMS != nil && *e.Txn.HostAnswerSeen {
					got = fmt.Sprint("response ", *e.Txn.ResponseMS)
				}
			}
			if got != c.exchange {
				t.Errorf("exchange: %s, want %s; %+v", got, c.exchange, e.Txn)
			}
		})
	}
}

// Alerts as OpenSSL sends them, RFC 5246 section 7.2.
func TestAlerts(t *testing.T) {
	hello := append([]byte{22, 3, 1, 0, 50, 1}, make([]byte, 49)...)
	answer := append([]byte{22, 3, 3, 0, 60, 2}, make([]byte, 59)...)
	alert := func(d byte) []byte { return []byte{21, 3, 3, 0, 2, 2, d} }
	for _, c := range []struct {
		name string
		do   func(l *line)
		want string
	}{
		{"expired", func(l *line) { l.say(true, hello); l.say(false, answer); l.say(true, alert(45)) }, "[bad expired]"},
		{"unknown issuer", func(l *line) { l.say(true, hello); l.say(false, answer); l.say(true, alert(48)[:3], alert(48)[3:]) }, "[bad unknown-ca]"},
		{"protocol version", func(l *line) { l.say(true, hello); l.say(false, alert(70)) }, "[bad protocol]"},
		{"handshake failure", func(l *line) { l.say(true, hello); l.say(false, answer, alert(40)) }, "[bad protocol]"},
		{"bad certificate", func(l *line) { l.say(true, hello); l.say(false, answer); l.say(true, alert(42)); l.hangUp() }, "[]"},
		{"no answer", func(l *line) { l.say(true, hello); l.hangUp() }, "[bad timeout]"},
		{"reset", func(l *line) { l.say(true, hello); l.put(false, flagRST, l.down, 0, nil) }, "[bad protocol]"},
		{"no record after a record", func(l *line) { l.say(true, hello, []byte("GET / HTTP/1.1")); l.hangUp() }, "[]"},
	} {
		s := &fakeSink{}
		l := newLine(t, track(s), 7)
		l.connect(1)
		c.do(l)
		if got := fmt.Sprint(handshakes(s)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzTLS(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 0, 23, 3, 3, 0, 1, 9}, []byte{22, 3, 3, 0, 4, 2, 0, 0, 0, 21, 3, 3, 0, 2, 2,
		40}, uint8(3))
	f.Fuzz(func(t *testing.T, up, down []byte, step uint8) {
		s := &fakeSink{}
		l := newLine(t, track(s), 7)
		l.connect(1)
		for len(up)+len(down) > 0 {
			n := min(len(up), 1+int(step))
			l.say(true, up[:n])
			m := min(len(down), 1+int(step)/2)
			l.say(false, down[:m])
			up, down = up[n:], down[m:]
			for _, f := range l.flows {
				if c := f.tls; c != nil && (len(c.up.small) > maxHello || len(c.down.small) > maxHello || c.up.left > maxRecord ||
					c.down.left > maxRecord) {
					t.Fatalf("holds %+v", c)
				}
			}
		}
		l.hangUp()
	})
}
