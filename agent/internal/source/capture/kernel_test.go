package capture

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/drivers/ecr"
	"posdx/firmware-build/housetest"
	"posdx/firmware-build/lab/world"
)

// soon is long for a machine that does nothing else.
const soon = 60 * time.Second

func namespace(t *testing.T) *world.Net {
	t.Helper()
	n, err := world.NewNet()
	if err != nil {
		t.Skipf("no network namespace here: %v", err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Up("lo"); err != nil {
		t.Fatal(err)
	}
	return n
}

// tunnel makes an interface inside a namespace whose packets are read and written here.
func tunnel(t *testing.T, n *world.Net, addresses ...string) *os.File {
	t.Helper()
	var f *os.File
	err := n.Do(func() (err error) {
		if f, err = newTunnel(); err != nil {
			return err
		}
		// No duplicate address detection: it would take a second.
		return os.WriteFile("/proc/sys/net/ipv6/conf/wire0/accept_dad", []byte("0"), 0)
	})
	if err != nil {
		t.Skipf("no tunnel here: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	if err := n.Up("wire0"); err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if err := n.Address("wire0", a); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// A rough wire loses, doubles and mixes up what passes, as tc's netem does where the kernel has it.
type rough struct{ lose, double, late int } // of a hundred

// carry passes packets on until a side is closed.
func carry(from, to *os.File, how rough, r *rand.Rand) {
	var late [][]byte
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		copies := 1
		switch p := r.IntN(100); {
		case p < how.lose:
			continue
		case p < how.lose+how.double:
			copies = 2
		case p < how.lose+how.double+how.late && len(late) < 3:
			late = append(late, slices.Clone(b[:n]))
			continue
		}
		for range copies {
			to.Write(b[:n])
		}
		for _, p := range late {
			to.Write(p)
		}
		late = late[:0]
	}
}

// A sides is a terminal and a host with a rough wire between them; their kernels are real.
type sides struct {
	terminal, outside *world.Net
}

func newWorld(t *testing.T, how rough) sides {
	t.Helper()
	w := sides{namespace(t), namespace(t)}
	a := tunnel(t, w.terminal, "192.0.2.1/24", "2001:db8::1/64")
	b := tunnel(t, w.outside, "192.0.2.2/24", "2001:db8::2/64")
	go carry(a, b, how, rand.New(rand.NewPCG(1, 2)))
	go carry(b, a, how, rand.New(rand.NewPCG(3, 4)))
	return w
}

// serve runs a simulated acquirer's host whose sales are answered with the last two digits of their trace number.
func (w sides) serve(t *testing.T, n *world.Net, address string, config *tls.Config) {
	t.Helper()
	err := n.Do(func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		if config != nil {
			l = tls.NewListener(l, config)
		}
		ctx, stop := context.WithCancel(context.Background())
		over := make(chan struct{})
		go func() { defer close(over); answer(ctx, l) }()
		t.Cleanup(func() { stop(); <-over })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// answer is a host: sim's, except that each trace number has a code of its own.
func answer(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer context.AfterFunc(ctx, func() { c.Close() })()
			defer c.Close()
			for {
				b, err := ecr.Binary2.Read(c)
				if err != nil {
					return
				}
				m, err := ecr.Parse(b)
				if err != nil {
					return
				}
				f := map[int]string{3: "000000", 11: m.STAN, 39: codeOf(m.STAN), 41: m.Terminal, 44: plantedPAN, 62: plantedPAN,
					63: plantedTrack, 64: plantedPIN}
				out, err := ecr.Build(ecr.UnionPay(), ecr.Head{TPDU: m.TPDU, Header: "602200000000"}.Reversed(), "0210", f)
				if err != nil {
					return
				}
				out = ecr.Binary2.Append(nil, out)
				c.Write(out[:1]) // a length header in two segments, where Nagle lets it
				c.Write(out[1:])
			}
		})
	}
}

func codeOf(stan string) string { return stan[4:] }

// sell sends sales over one connection and reads their answers.
func sell(t *testing.T, n *world.Net, address string, config *tls.Config, from, to int) error {
	return n.Do(func() error {
		d := net.Dialer{Timeout: soon}
		c, err := d.Dial("tcp", address)
		if err != nil {
			return err
		}
		if config != nil {
			c = tls.Client(c, config)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(soon))
		for i := from; i < to; i++ {
			stan := fmt.Sprintf("%06d", i)
			ask := message(t, "0200", stan, "")
			cut := 1 + i%(len(ask)-1)
			if _, err := c.Write(ask[:cut]); err != nil {
				return err
			}
			if _, err := c.Write(ask[cut:]); err != nil {
				return err
			}
			b, err := ecr.Binary2.Read(c)
			if err != nil {
				return fmt.Errorf("sale %s: %w", stan, err)
			}
			m, err := ecr.Parse(b)
			if err != nil || m.Code != codeOf(stan) {
				return fmt.Errorf("sale %s: answer %q, %w", stan, m.Code, err)
			}
		}
		return nil
	})
}

// listen starts a capture in a namespace and returns when it listens.
func listen(t *testing.T, n *world.Net, s *fakeSink, change func(*Capture), targets ...Target) *Capture {
	t.Helper()
	c := New()
	c.Targets, c.Log = targets, slog.New(slog.NewTextHandler(io.Discard, nil))
	ready := make(chan struct{}, 16)
	c.moved = func() { ready <- struct{}{} }
	if change != nil {
		change(c)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- n.Do(func() error { return c.Run(ctx, s) })
	}()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(soon):
			t.Error("does not end")
		}
	})
	select {
	case <-ready:
	case <-time.After(soon):
		t.Fatal("does not listen")
	}
	return c
}

func root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
}

func TestEveryCodeOnceOverARoughWire(t *testing.T) {
	root(t)
	lines, sales := 4, 6
	if os.Getenv("POSDX_SOAK") != "" {
		lines, sales = 16, 60
	}
	w := newWorld(t, rough{lose: 4, double: 6, late: 8})
	for _, address := range []string{"192.0.2.2:8583", "[2001:db8::2]:8583"} {
		w.serve(t, w.outside, address, nil)
		s := &fakeSink{}
		at := netip.MustParseAddrPort(address)
		listen(t, w.terminal, s, nil, Target{"host-primary", at.Addr().String(), 8583})
		var all sync.WaitGroup
		for i := range lines {
			all.Go(func() {
				if err := sell(t, w.terminal, address, nil, i*sales, (i+1)*sales); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		housetest.Until(t, "every code is seen", func() bool { return len(s.codes()) >= lines*sales })
		got := s.codes()
		slices.Sort(got)
		for i := range lines * sales {
			stan := fmt.Sprintf("%06d", i)
			if want := fmt.Sprintf("0210 %s %s host", stan, codeOf(stan)); i >= len(got) || got[i] != want {
				t.Fatalf("%s: %d codes, of which one is %q, want %q", address, len(got), got[min(i, len(got)-1)], want)
			}
		}
		for _, x := range s.all() {
			if x.Txn.ResponseMS == nil {
				t.Errorf("%s has no response time", x.Txn.STAN)
			}
		}
		if s.mu.Lock(); len(s.lost) != 0 {
			t.Errorf("lost %v", s.lost)
		}
		s.mu.Unlock()
		again := false
		for _, e := range s.evidence() {
			loss, _ := e.Facts.Num("loss_pct")
			again = again || e.Check == "net.path" && loss > 0
		}
		if !again {
			t.Error("no evidence of the losses")
		}
		s.clean(t)
	}
}

func TestTLSOverTheKernel(t *testing.T) {
	root(t)
	w := newWorld(t, rough{})
	cert, pool := certificate(t, time.Now().AddDate(1, 0, 0))
	for i, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address := fmt.Sprintf("192.0.2.2:%d", 9001+i)
		w.serve(t, w.outside, address, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version})
		s := &fakeSink{}
		listen(t, w.terminal, s, nil, Target{"host-primary", "192.0.2.2", 9001 + i})
		if err := sell(t, w.terminal, address, &tls.Config{RootCAs: pool, ServerName: "pos.acquirer.example"}, 1, 3); err != nil {
			t.Fatal(err)
		}
		housetest.Until(t, "the handshake is told", func() bool { return fmt.Sprint(handshakes(s)) == "[ok ok]" })
		if len(s.codes()) != 0 {
			t.Errorf("codes %v", s.codes())
		}
		s.clean(t)
	}
}

// A connection to a TLS tunnel on the terminal itself goes over loopback, which shows every packet twice.
func TestLoopback(t *testing.T) {
	root(t)
	n := namespace(t)
	w := sides{n, n}
	w.serve(t, n, "127.0.0.1:8583", nil)
	s := &fakeSink{}
	listen(t, n, s, nil, Target{"host-primary", "127.0.0.1", 8583})
	if err := sell(t, n, "127.0.0.1:8583", nil, 10, 40); err != nil {
		t.Fatal(err)
	}
	housetest.Until(t, "every code is seen", func() bool { return len(s.codes()) >= 30 })
	if got := s.codes(); len(got) != 30 || got[29] != "0210 000039 39 host" {
		t.Errorf("%d codes, the last %q", len(got), got[len(got)-1])
	}
	// A busy kernel sends a segment again now and then, even here; both views of a packet would be half of all.
	for _, e := range s.evidence() {
		if loss, ok := e.Facts.Num("loss_pct"); ok && loss > 30 {
			t.Errorf("a loss that was none: %+v", e)
		}
	}
	s.clean(t)
}

// A named interface may come and go, as ppp0 does.
func TestOneInterface(t *testing.T) {
	root(t)
	n := namespace(t)
	host := netip.MustParseAddrPort("203.0.113.10:8583")
	s := &fakeSink{}
	ready := make(chan struct{}, 64)
	wire := tunnel(t, n, "192.0.2.1/24")
	listen(t, n, s, func(c *Capture) {
		c.Interface, c.reopen = "wire0", time.Millisecond
		first := c.moved
		c.moved = func() {
			select {
			case ready <- struct{}{}:
			default:
			}
			first()
		}
	}, Target{"host-primary", host.Addr().String(), int(host.Port())})
	<-ready
	put := func() {
		for _, p := range conversation(t, netip.MustParseAddrPort("198.51.100.1:1"), host, 10) {
			wire.Write(p)
		}
	}
	put()
	housetest.Until(t, "a code on the interface", func() bool { return len(s.codes()) == 1 })
	if err := wire.Close(); err != nil {
		t.Fatal(err)
	}
	wire = tunnel(t, n, "192.0.2.1/24")
	<-ready
	put()
	housetest.Until(t, "a code on the new one", func() bool { return len(s.codes()) == 2 })
}

// A slow sink: the kernel throws packets away, and that is counted and said.
func TestDropsAreSaid(t *testing.T) {
	root(t)
	n := namespace(t)
	wire := tunnel(t, n, "192.0.2.1/24")
	host := netip.MustParseAddrPort("203.0.113.10:8583")
	s := &slowSink{hold: make(chan struct{})}
	c := New()
	c.Targets, c.Log = []Target{{"host-primary", host.Addr().String(), int(host.Port())}}, slog.New(slog.NewTextHandler(io.Discard, nil))
	ready := make(chan struct{}, 1)
	c.moved = func() { ready <- struct{}{} }
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Do(func() error { return c.Run(ctx, s) }) }()
	release := sync.OnceFunc(func() { close(s.hold) })
	defer func() {
		stop()
		release()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-ready
	list := conversation(t, netip.MustParseAddrPort("198.51.100.1:1"), host, 10)
	for range 5000 {
		if _, err := wire.Write(list[3]); err != nil {
			t.Fatal(err)
		}
	}
	release()
	housetest.Until(t, "the losses are said", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.lost["packet"] > 0 })
}

// slowSink takes no mark until it is let go.
type slowSink struct {
	fakeSink
	hold chan struct{}
}

func (s *slowSink) Txn(m source.TxnMark) { <-s.hold }

// A host's name that has another address is followed; what is sent to others is not heard.
func TestHostMoves(t *testing.T) {
	root(t)
	w := newWorld(t, rough{})
	if err := w.outside.Address("wire0", "192.0.2.3/24"); err != nil {
		t.Fatal(err)
	}
	w.serve(t, w.outside, "192.0.2.2:8583", nil)
	w.serve(t, w.outside, "192.0.2.3:8583", nil)
	s := &fakeSink{}
	var address atomic.Value
	address.Store("192.0.2.2")
	moved := make(chan struct{}, 8)
	c := New()
	c.lookup = func(context.Context, string) ([]netip.Addr, error) {
		if a := address.Load().(string); a != "" {
			return []netip.Addr{netip.MustParseAddr(a)}, nil
		}
		return nil, errors.New("no such host")
	}
	c.moved = func() { moved <- struct{}{} }
	c.Targets, c.Log = []Target{{"host-primary", "pos.acquirer.example", 8583}}, slog.New(slog.NewTextHandler(io.Discard, nil))
	c.least = time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.terminal.Do(func() error { return c.Run(ctx, s) }) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-moved
	trade := func(address string, n int) {
		t.Helper()
		if err := sell(t, w.terminal, address, nil, n, n+1); err != nil {
			t.Fatal(err)
		}
	}
	trade("192.0.2.3:8583", 1) // not the host
	trade("192.0.2.2:8583", 2)
	housetest.Until(t, "a code of the host", func() bool { return len(s.codes()) == 1 })
	address.Store("192.0.2.3")
	c.Fill(&source.Seen{Code: "E1", Origin: report.OriginTerminal, Channel: report.ChannelHook, Txn: &report.Txn{STAN: "000777"}})
	<-moved
	trade("192.0.2.2:8583", 3)
	trade("192.0.2.3:8583", 4)
	housetest.Until(t, "a code of the host where it is now", func() bool { return len(s.codes()) == 2 })
	same(t, s.codes(), "[0210 000002 02 host 0210 000004 04 host]")
	if s.all()[0].Channel != report.ChannelCapture {
		t.Errorf("%+v", s.all()[0])
	}
}
