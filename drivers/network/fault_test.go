package network

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"posdx/firmware-build/housetest"
)

func way(s string) Way { return Way{Addr: netip.MustParseAddrPort(s)} }

func link(t testing.TB, name string) (Tables, Link) {
	t.Helper()
	tables, err := ReadTables()
	if err != nil {
		t.Fatal(err)
	}
	l, ok := tables.Link(name)
	if !ok {
		t.Fatalf("no link %s in %+v", name, tables.Links)
	}
	return tables, l
}

func TestHealthyNetwork(t *testing.T) {
	lab(t, 0)
	ready6(t)
	var got bytes.Buffer
	listen(t, "h", ":9000", hold(&got))
	ctx := t.Context()
	tables, l := link(t, "eth0")
	if !l.Carrier || !l.Up || KindOf(l, nil) != Ethernet || !l.ChangesKnown || !l.StatsKnown {
		t.Errorf("link %+v", l)
	}
	v := tables.View(l)
	if v.Address.String() != terminal+"/24" || v.Gateway.String() != routerIP || !v.GatewayInSubnet ||
		v.DefaultRoutes != 1 || v.Conflict || v.LinkLocal {
		t.Errorf("view %+v", v)
	}
	if b, r, ok := tables.Bearer(); !ok || b.Name != "eth0" || r.Gateway.String() != routerIP {
		t.Errorf("bearer %+v %+v %v", b, r, ok)
	}
	for _, gw := range []string{routerIP, routerIP6} {
		g, err := AskGateway(ctx, l, netip.MustParseAddr(gw), v.Address.Addr(), false)
		if err != nil || !g.Alive || g.Neighbour != NeighbourReachable || g.RTT <= 0 || g.LossPct != 0 || !g.LossKnown {
			t.Errorf("gateway %s: %+v %v", gw, g, err)
		}
	}
	for _, host := range []string{hostIP + ":9000", "[" + hostIP6 + "]:9000"} {
		c := TryConnect(ctx, way(host))
		if c.Outcome != OK || c.RTT <= 0 {
			t.Errorf("connect %s: %+v", host, c)
		}
		p, err := MeasurePath(ctx, way(host), always, func() {})
		if err != nil || p.By != "echo" || p.Sent != pathEchoes || p.Received != pathEchoes || p.RTT <= 0 {
			t.Errorf("path %s: %+v %v", host, p, err)
		}
		m, err := FindMTU(ctx, netip.MustParseAddrPort(host).Addr(), "", 1500)
		if err != nil || m.Outcome != OK || m.LargestOK != 1500 || m.Bytes > 3500 {
			t.Errorf("mtu %s: %+v %v", host, m, err)
		}
		r, err := RouteTo(netip.MustParseAddrPort(host).Addr())
		if err != nil || r.Index != l.Index || !r.Gateway.IsValid() {
			t.Errorf("route to %s: %+v %v", host, r, err)
		}
	}
	if c := TryConnect(ctx, Way{Addr: netip.MustParseAddrPort(hostIP + ":9000"), Via: "eth0"}); c.Outcome != OK {
		t.Errorf("connect by eth0: %+v", c)
	}
	if two, err := SecondOwner(ctx, l, v.Address.Addr()); two || err != nil {
		t.Errorf("second owner %v %v", two, err)
	}
	if got.Len() != 0 {
		t.Errorf("the host was sent %d bytes", got.Len())
	}
}

func TestCableOut(t *testing.T) {
	lab(t, 0)
	m := NewMonitor()
	tables, _ := link(t, "eth0")
	m.Observe(tables, time.Now())
	must(t, "ip -n r link set r0 down")
	tables, l := link(t, "eth0")
	if l.Carrier || !l.CarrierKnown || !l.Up {
		t.Errorf("link %+v", l)
	}
	if b, _, ok := tables.Bearer(); ok {
		t.Errorf("bearer %+v without a carrier", b)
	}
	m.Observe(tables, time.Now())
	if n := m.Flaps("eth0", time.Now()); n != 1 {
		t.Errorf("flaps %d after one loss", n)
	}
	must(t, "ip -n r link set r0 up\nip -n r link set r0 down\nip -n r link set r0 up")
	tables, _ = link(t, "eth0")
	m.Observe(tables, time.Now())
	if n := m.Flaps("eth0", time.Now()); n != 2 {
		t.Errorf("flaps %d after two", n)
	}
	if n := m.BearerChanges(time.Now()); n != 0 {
		t.Errorf("bearer changes %d of one cable that was out", n)
	}
}

func TestNoRoute(t *testing.T) {
	lab(t, 0)
	must(t, "ip route del default\nip -6 route del default")
	for _, host := range []string{hostIP + ":9000", "[" + hostIP6 + "]:9000"} {
		c := TryConnect(t.Context(), way(host))
		if c.Outcome != Unreachable || c.Took > time.Second {
			t.Errorf("connect %s: %+v", host, c)
		}
		if r, err := RouteTo(netip.MustParseAddrPort(host).Addr()); err == nil {
			t.Errorf("route to %s: %+v", host, r)
		}
	}
	tables, l := link(t, "eth0")
	if v := tables.View(l); v.DefaultRoutes != 0 || v.GatewayKnown {
		t.Errorf("view %+v", v)
	}
	q, err := Echo(t.Context(), netip.MustParseAddr(hostIP), "", 2, time.Millisecond, 50*time.Millisecond)
	if err != nil || !q.Unreachable {
		t.Errorf("echo %+v %v", q, err)
	}
}

func TestGatewayDead(t *testing.T) {
	lab(t, 0)
	ready6(t)
	must(t, "ip -n r addr del 10.77.0.1/24 dev r0\nip -n r addr del fd77::1/64 dev r0")
	_, l := link(t, "eth0")
	for _, gw := range []string{routerIP, routerIP6} {
		g, err := AskGateway(t.Context(), l, netip.MustParseAddr(gw), netip.MustParseAddr(terminal), false)
		if err != nil || g.Alive || g.Neighbour != NeighbourFailed || g.LossPct != 100 {
			t.Errorf("gateway %s: %+v %v", gw, g, err)
		}
	}
}

func TestGatewayThatHidesFromPing(t *testing.T) {
	lab(t, 0)
	ready6(t)
	nft(t, "r", "table inet lab {\nchain i {\ntype filter hook input priority 0\nmeta l4proto { icmp } drop\nmeta l4proto tcp drop\nicmpv6 type echo-request drop\n}\n}\n")
	_, l := link(t, "eth0")
	for _, gw := range []string{routerIP, routerIP6} {
		g, err := AskGateway(t.Context(), l, netip.MustParseAddr(gw), netip.MustParseAddr(terminal), false)
		if err != nil || g.Neighbour != NeighbourReachable || g.LossKnown {
			t.Errorf("gateway %s: %+v %v", gw, g, err)
		}
	}
}

func TestAddressConflict(t *testing.T) {
	lab(t, 0)
	must(t, "ip -n r addr add 10.77.0.2/32 dev r0")
	_, l := link(t, "eth0")
	if two, err := SecondOwner(t.Context(), l, netip.MustParseAddr(terminal)); !two || err != nil {
		t.Errorf("second owner %v %v", two, err)
	}
	setDAD(t, "1")
	must(t, "ip addr add fd77::1/64 dev eth0") // the kernel finds that one itself
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		tables, l := link(t, "eth0")
		if tables.View(l).Duplicate {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the kernel's finding is not seen")
		}
	}
}

func TestTwoDefaultRoutes(t *testing.T) {
	lab(t, 0)
	must(t, `ip link add eth1 type veth peer name r9 netns r
		ip addr add 10.79.0.2/24 dev eth1
		ip -n r addr add 10.79.0.1/24 dev r9
		ip link set eth1 up
		ip -n r link set r9 up
		ip route add default via 10.79.0.1 metric 700`)
	tables, l := link(t, "eth0")
	if v := tables.View(l); v.DefaultRoutes != 2 || v.Conflict {
		t.Errorf("a spare route is no conflict: %+v", v)
	}
	must(t, "ip route del default via 10.79.0.1 metric 700\nip route append default via 10.79.0.1")
	tables, l = link(t, "eth0")
	if v := tables.View(l); v.DefaultRoutes != 2 || !v.Conflict {
		t.Errorf("two equal routes: %+v", v)
	}
	if b, _, _ := tables.Bearer(); b.Name != "eth0" {
		t.Errorf("bearer %s", b.Name)
	}
	must(t, "ip -n r link set r0 down")
	tables, _ = link(t, "eth0")
	if b, _, _ := tables.Bearer(); b.Name != "eth1" {
		t.Errorf("bearer %s with eth0's cable out", b.Name)
	}
}

func TestGatewayOutsideItsSubnet(t *testing.T) {
	lab(t, 0)
	must(t, "ip route del default\nip addr flush dev eth0\nip addr add 10.66.0.2/24 dev eth0\nip route add default via 10.77.0.1 dev eth0 onlink")
	tables, l := link(t, "eth0")
	v := tables.View(l)
	if v.GatewayInSubnet || !v.GatewayOnLink {
		// somebody said it is on the link, which makes it reachable and no neighbour
		t.Errorf("view %+v", v)
	}
	for i := range tables.Routes {
		tables.Routes[i].OnLink = false
	}
	if v := tables.View(l); v.GatewayInSubnet || v.GatewayOnLink || !v.GatewayKnown {
		t.Errorf("view %+v", v)
	}
}

func TestPortRefused(t *testing.T) {
	lab(t, 0)
	ready6(t)
	for _, host := range []string{hostIP + ":9000", "[" + hostIP6 + "]:9000"} {
		if c := TryConnect(t.Context(), way(host)); c.Outcome != Refused {
			t.Errorf("connect %s: %+v", host, c)
		}
	}
	listen(t, "h", ":9000", hold(nil))
	nft(t, "r", forward("tcp dport 9000 reject with icmpx type admin-prohibited"))
	for _, host := range []string{hostIP + ":9000", "[" + hostIP6 + "]:9000"} {
		if c := TryConnect(t.Context(), way(host)); c.Outcome != Unreachable {
			t.Errorf("connect %s through a firewall that says no: %+v", host, c)
		}
	}
}

func TestPacketsDropped(t *testing.T) {
	lab(t, 0)
	ready6(t)
	listen(t, "h", ":9000", hold(nil))
	nft(t, "r", forward("tcp dport 9000 drop"))
	for _, host := range []string{hostIP + ":9000", "[" + hostIP6 + "]:9000"} {
		if c := TryConnect(t.Context(), way(host)); c.Outcome != Timeout || c.Took < connectWait {
			t.Errorf("connect %s: %+v", host, c)
		}
	}
}

func TestAcceptedThenReset(t *testing.T) {
	lab(t, 0)
	listen(t, "h", ":9000", func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	ready6(t)
	for _, host := range []string{hostIP + ":9000", "[" + hostIP6 + "]:9000"} {
		if c := TryConnect(t.Context(), way(host)); c.Outcome != Reset {
			t.Errorf("connect %s: %+v", host, c)
		}
	}
}

func TestLoss(t *testing.T) {
	lab(t, 0)
	listen(t, "h", ":9000", hold(nil))
	ready6(t)
	nft(t, "r", forward("numgen random mod 100 < 30 drop"))
	for _, host := range []string{hostIP + ":9000", "[" + hostIP6 + "]:9000"} {
		sent, got := 0, 0
		for range 3 {
			p, err := MeasurePath(t.Context(), way(host), always, func() {})
			if err != nil {
				t.Fatal(err)
			}
			sent, got = sent+p.Sent, got+p.Received
		}
		// 30 % each way is 51 % of 60 echoes: 6.5 standard deviations to either side.
		if pct := 100 * float64(sent-got) / float64(sent); pct < 10 || pct > 92 {
			t.Errorf("loss to %s %.0f %% of %d, want about 51", host, pct, sent)
		}
	}
}

func TestLossWithoutEchoes(t *testing.T) {
	lab(t, 0)
	listen(t, "h", ":9000", hold(nil))
	nft(t, "r", forward("icmp type echo-request drop\ntcp flags & (syn|ack) == syn numgen inc mod 2 0 drop"))
	p, err := MeasurePath(t.Context(), way(hostIP+":9000"), always, func() {})
	if err != nil || p.By != "connect" || p.Received != pathConnects || p.Sent <= pathConnects {
		t.Errorf("every second SYN lost: %+v %v", p, err)
	}
}

func TestDelay(t *testing.T) {
	const delay = 150 * time.Millisecond
	lab(t, delay)
	listen(t, "h", ":9000", hold(nil))
	p, err := MeasurePath(t.Context(), way(hostIP+":9000"), always, func() {})
	if err != nil || p.Received == 0 || p.RTT < 2*delay {
		t.Errorf("path %+v %v", p, err)
	}
	if c := TryConnect(t.Context(), way(hostIP+":9000")); c.Outcome != OK || c.Took < 2*delay {
		t.Errorf("connect %+v", c)
	}
}

// A second and a half there and back is no loss and no dead resolver.
func TestLongDelay(t *testing.T) {
	lab(t, 750*time.Millisecond)
	listen(t, "h", ":9000", hold(nil))
	must(t, "ping -c 1 -W 9 "+hostIP) // the router looks for the host once, which takes a round trip more
	resolver(t, hostIP+":53", func(q dnsmessage.Question, m *dnsmessage.Message) bool {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, a(hostIP, q))
		}
		return true
	})
	p, err := MeasurePath(t.Context(), way(hostIP+":9000"), always, func() {})
	if err != nil || p.Received < pathEchoes-1 || p.RTT < 1500*time.Millisecond || p.By != "echo" {
		t.Errorf("path %+v %v", p, err)
	}
	l := Resolve(t.Context(), "pos.example", []netip.AddrPort{netip.MustParseAddrPort(hostIP + ":53")})
	if l.Outcome != OK || l.Failed != 0 || l.Took < 1500*time.Millisecond {
		t.Errorf("lookup %+v", l)
	}
}

func TestMTU(t *testing.T) {
	lab(t, 0)
	ready6(t)
	ask := func(host string) MTUView {
		t.Helper()
		v, err := FindMTU(t.Context(), netip.MustParseAddr(host), "", 1500)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, host := range []string{hostIP, hostIP6} {
		size := "meta length > 1400 drop"
		nft(t, "r", forward(size))
		if v := ask(host); v.Outcome != Blackhole || v.LargestOK < 1300 || v.LargestOK > 1400 || v.Bytes > 20000 {
			t.Errorf("hole at 1400 to %s: %+v", host, v)
		}
		nft(t, "r", "")
		must(t, "ip -n r link set r1 mtu 1400\nip -n h link set h0 mtu 1400")
		if v := ask(host); v.Outcome != OK || v.LargestOK > 1400 || v.LargestOK < 1300 {
			t.Errorf("a router that says 1400 to %s: %+v", host, v)
		}
		must(t, "ip -n r link set r1 mtu 1500\nip -n h link set h0 mtu 1500")
		nft(t, "r", forward("meta l4proto { icmp, ipv6-icmp } drop"))
		if v := ask(host); v.Outcome != Timeout {
			t.Errorf("no echoes to %s: %+v", host, v)
		}
		nft(t, "r", "")
	}
}

// Every question ends soon after its context does, wherever it is.
func TestStoppedQuestions(t *testing.T) {
	lab(t, 0)
	nft(t, "r", forward("drop")+"table inet i {\nchain i {\ntype filter hook input priority 0\nicmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\ndrop\n}\n}\n")
	_, l := link(t, "eth0")
	host := way(hostIP + ":9000")
	for name, f := range map[string]func(context.Context){
		"connect": func(ctx context.Context) {
			if c := TryConnect(ctx, host); c.Outcome != Stopped {
				t.Errorf("connect %+v", c)
			}
		},
		"tls":  func(ctx context.Context) { TryTLS(ctx, host, Trust{Name: "x"}, Form{}, anyNumber) },
		"path": func(ctx context.Context) { _, _ = MeasurePath(ctx, host, always, func() {}) },
		"mtu":  func(ctx context.Context) { _, _ = FindMTU(ctx, host.Addr.Addr(), "", 1500) },
		"gateway": func(ctx context.Context) {
			_, _ = AskGateway(ctx, l, netip.MustParseAddr("fd77::99"), netip.Addr{}, false)
		},
		"arp":    func(ctx context.Context) { _, _ = SecondOwner(ctx, l, netip.MustParseAddr("10.77.0.99")) },
		"portal": func(ctx context.Context) { AskPortal(ctx, host, "x", "/") },
		"dns": func(ctx context.Context) {
			if r := Resolve(ctx, "pos.example", []netip.AddrPort{host.Addr}); r.Outcome != Stopped {
				t.Errorf("resolve %+v", r)
			}
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var ended time.Time
		stop := time.AfterFunc(120*time.Millisecond, func() { ended = time.Now(); cancel() })
		f(ctx)
		late := time.Since(ended)
		if stop.Stop() {
			t.Errorf("%s: was over before it was stopped", name)
		} else if late > time.Second { // 100 ms by measure; a second even on a busy machine
			t.Errorf("%s: returned %v after its context", name, late)
		} else {
			t.Logf("%s: %v", name, late)
		}
		cancel()
	}
}

func TestMonitorRun(t *testing.T) {
	lab(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	m := NewMonitor()
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	wait := func(what string, ok func() bool) { t.Helper(); housetest.Until(t, "the monitor sees "+what, ok) }
	wait("eth0", func() bool { _, carried := m.Seen("eth0"); return carried })
	must(t, "ip -n r link set r0 down")
	wait("the flap", func() bool { return m.Flaps("eth0", time.Now()) == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// More notices than the socket holds: the monitor must live on and still see what comes after (ENOBUFS).
func TestMonitorOverrun(t *testing.T) {
	lab(t, 0)
	var flood strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&flood, "addr add 10.200.%d.%d/32 dev eth0\naddr del 10.200.%d.%d/32 dev eth0\n", i/250, i%250+1, i/250, i%250+1)
	}
	batch := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(batch, []byte(flood.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := NewMonitor()
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	housetest.Until(t, "the monitor looks", func() bool { return m.Watched(time.Now()) != 0 })
	must(t, "ip -batch "+batch)
	must(t, "ip -n r link set r0 down")
	housetest.Until(t, "the flap after the flood is seen", func() bool {
		select {
		case err := <-done:
			t.Fatal("the monitor ended: ", err)
		default:
		}
		return m.Flaps("eth0", time.Now()) == 1
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Ten thousand questions leave nothing behind: no descriptor, no goroutine.
func TestNothingLeaks(t *testing.T) {
	lab(t, 0)
	nft(t, "r", forward("tcp dport 9000 reject with tcp reset"))
	_, l := link(t, "eth0")
	host := way(hostIP + ":9000")
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	round := func(n int) {
		for range n {
			TryConnect(t.Context(), host)
			// On loopback: elsewhere the kernel limits how often it says that a port is closed.
			Resolve(t.Context(), "pos.example", []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")})
			_, _ = Echo(t.Context(), netip.MustParseAddr(routerIP), "", 1, 0, 50*time.Millisecond)
			_, _, _, _ = AskARP(t.Context(), l, netip.MustParseAddr(routerIP), netip.MustParseAddr(terminal))
			_, _ = RouteTo(host.Addr.Addr())
			_, _ = ReadTables()
			TryTLS(stopped, host, Trust{Name: "x"}, Form{}, anyNumber)
			_, _ = FindMTU(stopped, host.Addr.Addr(), "", 1500)
			_, _ = MeasurePath(stopped, host, always, func() {})
			_, _ = SecondOwner(stopped, l, netip.MustParseAddr(terminal))
		}
	}
	round(10) // what is opened once and kept
	runtime.GC()
	fds, routines := descriptors(), runtime.NumGoroutine()
	rounds := 1000
	if testing.Short() {
		rounds = 50
	}
	round(rounds)
	settled := func() bool { return descriptors() <= fds && runtime.NumGoroutine() <= routines }
	if !housetest.Within(10*time.Second, settled) {
		t.Errorf("descriptors %d to %d, goroutines %d to %d", fds, descriptors(), routines, runtime.NumGoroutine())
	}
}

func always(context.Context) bool { return true }
