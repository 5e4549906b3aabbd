package probe

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"posdx/agent/report"
	"posdx/drivers/network"
	"posdx/firmware-build/housetest"
)

// insideLab marks the child that runs in network and mount namespaces of its own.
const insideLab = "POSDX_PROBE_LAB"

// TestNetworkInNamespaces runs TestNetworkFaults where it may break the network.
func TestNetworkInNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, iproute2 and nftables: makes network namespaces")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs the Debian packages iproute2 and nftables: ", err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestNetworkFaults$", "-test.v", "-test.timeout", "3m")
	cmd.Env = append(os.Environ(), insideLab+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skip("needs the right to make namespaces: ", err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

func run(t testing.TB, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.TrimSpace(line), err, out)
		}
	}
}

func filter(t testing.TB, rules string) {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", "r", "nft", "-f", "-")
	cmd.Stdin = strings.NewReader("flush ruleset\ntable inet lab {\nchain i {\ntype filter hook input priority 0\n" + rules + "\n}\n}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
}

// routerDoes runs f on a thread inside the router's namespace.
func routerDoes(t testing.TB, f func() error) {
	t.Helper()
	if err := housetest.In("r", f); err != nil {
		t.Fatal(err)
	}
}

// The network of these tests: eth0 10.77.0.2/24 to a router 10.77.0.1 that is also the host 10.78.0.2, the internet
// 10.79.0.1 and the resolver on its own address.
func buildLab(t *testing.T) {
	t.Helper()
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
		os.MkdirAll("/run/netns", 0o755),
		unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""),
		unix.Mount("sysfs", "/sys", "sysfs", 0, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	run(t, `ip netns add r
		ip link set lo up
		ip link add eth0 type veth peer name r0 netns r
		ip addr add 10.77.0.2/24 dev eth0
		ip link set eth0 up
		ip -n r addr add 10.77.0.1/24 dev r0
		ip -n r addr add 10.78.0.2/32 dev lo
		ip -n r addr add 10.79.0.1/32 dev lo
		ip -n r link set lo up
		ip -n r link set r0 up
		ip route add default via 10.77.0.1`)
	for _, addr := range []string{"10.78.0.2:9000", "10.79.0.1:8883"} {
		routerDoes(t, func() error {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return err
			}
			go housetest.Accept(l, func(c net.Conn) { // the acquirer's host must never be sent anything
				if n, _ := c.Read(make([]byte, 10)); n > 0 && addr == "10.78.0.2:9000" {
					t.Errorf("%s was sent %d bytes", addr, n)
				}
			})
			return nil
		})
	}
	routerDoes(t, func() error {
		u, err := net.ListenPacket("udp", "10.77.0.1:53")
		if err != nil {
			return err
		}
		go func() {
			b := make([]byte, 1500)
			for {
				n, from, err := u.ReadFrom(b)
				if err != nil {
					return
				}
				var m dnsmessage.Message
				if m.Unpack(b[:n]) != nil {
					continue
				}
				m.Response = true
				q := m.Questions[0]
				switch {
				case q.Name.String() != "pos.example.":
					m.RCode = dnsmessage.RCodeNameError
				case q.Type == dnsmessage.TypeA:
					m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
						Body: &dnsmessage.AResource{A: [4]byte{10, 78, 0, 2}}}}
				}
				if out, err := m.Pack(); err == nil {
					_, _ = u.WriteTo(out, from)
				}
			}
		}()
		return nil
	})
}

func TestNetworkFaults(t *testing.T) {
	if os.Getenv(insideLab) == "" {
		t.Skip("run by TestNetworkInNamespaces")
	}
	buildLab(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	fresh := func() *Network {
		return NewNetwork(NetworkConfig{
			Resolvers: []netip.AddrPort{netip.MustParseAddrPort("10.77.0.1:53")}, HostsFile: hosts,
			Targets: []Target{{Name: "host-primary", Host: "pos.example", Port: 9000}, {Name: "broker", Host: "10.79.0.1", Port: 8883}},
			Sys:     os.DirFS("/sys"), Proc: os.DirFS("/proc"),
		})
	}
	n := fresh()
	seen := map[string]report.Evidence{}
	ask := func(n *Network) {
		t.Helper()
		r := NewRunner(n.Probes())
		start := time.Now()
		r.Run(t.Context(), n.Probes(), nil)
		for _, e := range r.Known(time.Now()) {
			seen[e.Check+" "+e.Subject] = e
		}
		took := time.Since(start)
		t.Logf("all answered after %v", took.Round(time.Millisecond))
		if took > 30*time.Second { // 5 s by design
			t.Errorf("took %v", took)
		}
		n.mu.Lock()
		clear(n.places)
		n.mu.Unlock()
	}
	want := func(what string, status report.Status, facts report.Facts) {
		t.Helper()
		e, ok := seen[what]
		if !ok {
			t.Errorf("no %s", what)
			return
		}
		if e.Status != status {
			t.Errorf("%s is %s %v, want %s", what, e.Status, e.Facts, status)
		}
		for k, v := range facts {
			if n, ok := (report.Facts{"x": v}).Num("x"); ok {
				v = n // numbers are as JSON has them
			}
			if e.Facts[k] != v {
				t.Errorf("%s: %s is %v in %v, want %v", what, k, e.Facts[k], e.Facts, v)
			}
		}
	}
	masked := report.Facts{"reason": "masked"}

	t.Log("healthy")
	ask(n)
	want("net.link eth0", report.OK, report.Facts{"carrier": true, "kind": "ethernet", "flaps_1h": 0})
	want("net.address eth0", report.OK, report.Facts{"address": "10.77.0.2", "prefix": 24, "gateway": "10.77.0.1", "gateway_in_subnet": true, "default_routes": 1, "duplicate": false})
	want("net.gateway gateway", report.OK, report.Facts{"ip": "10.77.0.1", "neighbour": "reachable", "loss_pct": 0.0})
	want("net.bearer uplink", report.OK, report.Facts{"active": "ethernet", "changes_1h": 0})
	want("net.errors eth0", report.CannotTell, report.Facts{"reason": "too-few"})
	want("net.wifi wifi", report.NotRun, report.Facts{"reason": "absent"})
	want("net.dns host-primary", report.OK, report.Facts{"outcome": "ok", "name": "pos.example"})
	want("net.tcp host-primary", report.OK, report.Facts{"outcome": "ok", "target": "host-primary"})
	want("net.path host-primary", report.OK, report.Facts{"loss_pct": 0.0, "samples": 20})
	want("net.mtu host-primary", report.OK, report.Facts{"outcome": "ok", "largest_ok_bytes": 1500})
	want("net.internet broker", report.OK, report.Facts{"outcome": "ok"})
	want("net.dns broker", report.NotRun, report.Facts{"reason": "absent"})

	t.Log("metered")
	if n.Metered() {
		t.Error("a cable costs nothing")
	}
	if m := NewNetwork(NetworkConfig{Metered: []string{"ethernet"}}); !m.Metered() {
		t.Error("metered by kind, and not known before a check has run")
	}
	paid := NewNetwork(NetworkConfig{Metered: []string{"eth0"}, DailyBytes: 2000})
	spent := func(e report.Evidence) int64 {
		paid.mu.Lock()
		defer paid.mu.Unlock()
		if e.Check != "net.gateway" {
			t.Errorf("%+v", e)
		}
		return paid.spent
	}
	last := func(list []report.Evidence) report.Evidence { return list[len(list)-1] }
	paid.Metered()
	if e := last(paid.lan(t.Context())); e.Status != report.OK || spent(e) < 100 {
		t.Errorf("asking the carrier's router: %+v, %d bytes counted", e, spent(e))
	}
	paid.spend(1000)
	before := paid.spent
	if e := last(paid.lan(t.Context())); e.Facts["reason"] != report.ReasonBudget || spent(e) != before {
		t.Errorf("without bytes left: %+v", e)
	}

	t.Log("echoes are limited: they are not the path")
	filter(t, "ip daddr 10.78.0.2 icmp type echo-request limit rate over 4/second burst 5 packets drop")
	ask(n)
	want("net.path host-primary", report.OK, report.Facts{"by": "connect", "loss_pct": 0.0})
	want("net.tcp host-primary", report.OK, nil)

	t.Log("one connection a client, and the application has it")
	accepted := make(chan net.Conn, 9)
	routerDoes(t, func() error {
		l, err := net.Listen("tcp", "10.78.0.2:9001")
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("hello"))
				accepted <- c
			}
		}()
		return nil
	})
	app, err := net.Dial("tcp", "10.78.0.2:9001")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = app.Read(make([]byte, 5))
	one := NewNetwork(NetworkConfig{Targets: []Target{{Name: "host-primary", Host: "10.78.0.2", Port: 9001, TLS: true}}})
	list := one.reach(t.Context(), one.c.Targets[0])
	if e := list[1]; e.Status != report.OK || e.Facts["by"] != "application" {
		t.Errorf("%+v", e)
	}
	if e := list[2]; e.Status != report.CannotTell || e.Facts["reason"] != report.ReasonInUse {
		t.Errorf("%+v", e)
	}
	if len(accepted) != 1 {
		t.Errorf("%d connections beside the application's", len(accepted)-1)
	}
	t.Log("elsewhere, a connection that is open and idle does not hide that the line has gone")
	filter(t, "ip daddr 10.78.0.2 tcp dport 9001 drop")
	elsewhere := NewNetwork(NetworkConfig{Targets: []Target{{Name: "internet", Host: "10.78.0.2", Port: 9001}}})
	list = elsewhere.reach(t.Context(), elsewhere.c.Targets[0])
	if e := list[len(list)-1]; e.Check != "net.internet" || e.Status != report.Bad || e.Facts["outcome"] != "timeout" {
		t.Errorf("%+v", list)
	}
	filter(t, "")
	app.Close()

	t.Log("a failure is asked again, and an answer does not outlive what it hung on")
	filter(t, "udp dport 53 drop")
	again := fresh()
	within := func(f func(context.Context)) { f(context.WithValue(t.Context(), runKey{}, time.Now())) }
	within(func(ctx context.Context) {
		first, second := again.names.find(ctx, "pos.example"), again.names.find(ctx, "pos.example")
		if first.outcome != network.Timeout || second.at != first.at {
			t.Errorf("the checks of one run ask once: %+v, %+v", first, second)
		}
	})
	filter(t, "")
	within(func(ctx context.Context) {
		if f := again.names.find(ctx, "pos.example"); f.outcome != network.OK || f.took == 0 {
			t.Errorf("after the repair: %+v", f)
		}
	})
	if err := os.WriteFile(hosts, []byte("10.78.0.9 pos.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	within(func(ctx context.Context) {
		if f := again.names.find(ctx, "pos.example"); !f.fromFile {
			t.Errorf("after a change: %+v", f)
		}
	})
	if err := os.Remove(hosts); err != nil {
		t.Fatal(err)
	}

	t.Log("the port is closed")
	filter(t, "tcp dport 9000 reject with tcp reset")
	ask(n)
	want("net.tcp host-primary", report.Bad, report.Facts{"outcome": "refused"})
	want("net.internet broker", report.OK, nil)

	t.Log("the host drops packets")
	filter(t, "ip daddr 10.78.0.2 drop")
	ask(n)
	want("net.tcp host-primary", report.Bad, report.Facts{"outcome": "timeout"})
	want("net.path host-primary", report.NotRun, masked) // the same dead host is not counted twice
	want("net.internet broker", report.OK, nil)

	t.Log("names are not answered: the host's last address still serves")
	filter(t, "udp dport 53 drop")
	ask(n)
	want("net.dns host-primary", report.Bad, report.Facts{"outcome": "timeout"})
	want("net.tcp host-primary", report.OK, nil)
	ask(fresh()) // an agent that never knew the address
	want("net.dns host-primary", report.Bad, report.Facts{"outcome": "timeout"})
	want("net.tcp host-primary", report.NotRun, masked)
	want("net.path host-primary", report.NotRun, masked)
	filter(t, "")

	t.Log("two own the address")
	run(t, "ip -n r addr add 10.77.0.2/32 dev r0")
	ask(n)
	want("net.address eth0", report.Bad, report.Facts{"duplicate": true})
	run(t, "ip -n r addr del 10.77.0.2/32 dev r0")

	t.Log("the router is dead")
	run(t, "ip -n r addr del 10.77.0.1/24 dev r0\nip neigh flush dev eth0")
	ask(n)
	want("net.gateway gateway", report.Bad, report.Facts{"neighbour": "failed", "loss_pct": 100.0})
	want("net.address eth0", report.OK, report.Facts{"duplicate": false})
	want("net.internet broker", report.Bad, report.Facts{"outcome": "unreachable"})
	want("net.tcp host-primary", report.Bad, report.Facts{"outcome": "unreachable"})
	want("net.dns host-primary", report.Bad, nil)
	want("net.path host-primary", report.NotRun, masked)
	run(t, "ip -n r addr add 10.77.0.1/24 dev r0\nip neigh flush dev eth0")

	t.Log("the cable is out")
	run(t, "ip -n r link set r0 down")
	ask(n)
	want("net.link eth0", report.Bad, report.Facts{"carrier": false, "flaps_1h": 1})
	want("net.address eth0", report.NotRun, masked)
	want("net.gateway gateway", report.NotRun, masked)
	want("net.bearer uplink", report.Bad, report.Facts{"active": "none"})
	want("net.dns host-primary", report.Bad, report.Facts{"outcome": "unreachable"})
	want("net.tcp host-primary", report.Bad, report.Facts{"outcome": "unreachable"})
	want("net.path host-primary", report.NotRun, masked)
	want("net.internet broker", report.Bad, report.Facts{"outcome": "unreachable"})
	run(t, "ip -n r link set r0 up")

	t.Log("no default route")
	run(t, "ip route del default")
	ask(n)
	want("net.address eth0", report.Bad, report.Facts{"default_routes": 0})
	want("net.tcp host-primary", report.Bad, report.Facts{"outcome": "unreachable"})
	run(t, "ip route add default via 10.77.0.1")

	t.Log("without rights")
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestNetworkWithoutRights$", "-test.v", "-test.timeout", "1m")
	cmd.Env = append(os.Environ(), insideLab+"=nobody")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}

	t.Log("a sale stops everything at once")
	filter(t, "drop")
	run(t, "ip neigh flush dev eth0")
	r := NewRunner(n.Probes())
	var ended time.Time
	stop := time.AfterFunc(150*time.Millisecond, func() { ended = time.Now(); r.SaleBegins(ended) })
	r.Run(t.Context(), n.Probes(), nil)
	if stop.Stop() {
		t.Error("was over before the sale began")
	} else if late := time.Since(ended); late > time.Second { // 100 ms by measure
		t.Errorf("a sale waited %v", late)
	} else {
		t.Logf("quiet %v after the sale began", late)
	}
}

// TestNetworkWithoutRights runs as nobody in the lab's namespace: no raw sockets, no ARP.
func TestNetworkWithoutRights(t *testing.T) {
	if os.Getenv(insideLab) != "nobody" {
		t.Skip("run by TestNetworkFaults")
	}
	n := NewNetwork(NetworkConfig{HostsFile: "/nowhere", Targets: []Target{{Name: "host-primary", Host: "10.78.0.2", Port: 9000}},
		Sys: os.DirFS("/sys"), Proc: os.DirFS("/proc")})
	r := NewRunner(n.Probes())
	r.Run(t.Context(), n.Probes(), nil)
	want := map[string]report.Status{"net.link": report.OK, "net.address": report.OK, "net.gateway": report.OK, "net.bearer": report.OK,
		"net.tcp": report.OK, "net.path": report.OK, "net.mtu": report.CannotTell}
	for _, e := range r.Known(time.Now()) {
		if s, ok := want[e.Check]; ok && e.Status != s {
			t.Errorf("%s %s %v, want %s", e.Check, e.Status, e.Facts, s)
		}
		delete(want, e.Check)
		switch e.Check {
		case "net.mtu":
			if e.Facts["reason"] != report.ReasonPermission {
				t.Errorf("%v", e.Facts)
			}
		case "net.path":
			if e.Facts["by"] != "connect" {
				t.Errorf("%v", e.Facts)
			}
		case "net.address":
			if _, said := e.Facts["duplicate"]; said {
				t.Error("nobody may ask ARP, and yet it is known")
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not answered: %v", want)
	}
}

func TestSubjectsAreFixed(t *testing.T) {
	for _, c := range []struct{ target, check, name string }{
		{"host-primary", "net.tcp", "host-primary"}, {"host-backup", "net.tcp", "host-backup"}, {"host-primary@wwan0", "net.tcp", "host-primary"},
		{"broker", "net.internet", "broker"}, {"internet", "net.internet", "internet"},
	} {
		x := Target{Name: c.target}
		if string(x.check()) != c.check || x.name() != c.name {
			t.Errorf("%s: %s of %s", c.target, x.check(), x.name())
		}
	}
	checks := map[string]bool{}
	for _, p := range NewNetwork(NetworkConfig{}).Probes() {
		for _, c := range p.Checks {
			checks[string(c)] = true
		}
		if p.Idle && (p.Bytes > 0 || p.Depth != report.Internal) {
			t.Errorf("%v sends in the background", p.Checks)
		}
	}
	for _, c := range []string{"net.link", "net.address", "net.gateway", "net.dns", "net.path", "net.tcp", "net.mtu", "net.tls", "net.internet", "net.errors", "net.wifi", "net.bearer"} {
		if !checks[c] {
			t.Errorf("nobody answers %s", c)
		}
	}
}

func TestMeteredBytesAreCapped(t *testing.T) {
	n := NewNetwork(NetworkConfig{DailyBytes: 10_000, Targets: []Target{{Name: "host-primary", Host: "127.0.0.1", Port: 9}}})
	n.metered = true
	n.maySpend(0, 1) // the day begins
	n.spend(4_000)
	if !n.maySpend(1_000, 1) || n.maySpend(2_000, 2) {
		t.Error("half of the day's bytes are for connects only")
	}
	n.spend(6_000)
	for _, e := range n.reach(t.Context(), n.c.Targets[0]) {
		if e.Status != report.NotRun || e.Facts["reason"] != report.ReasonBudget {
			t.Errorf("%+v", e)
		}
	}
	n.window = time.Now().Add(-25 * time.Hour)
	if !n.maySpend(1_000, 1) {
		t.Error("a new day has new bytes")
	}
	n.metered = false
	n.spend(1 << 30)
	if !n.maySpend(1<<30, 1) {
		t.Error("a cable costs nothing")
	}
}

func TestEveryCheckIsAnsweredWhenStopped(t *testing.T) {
	n := NewNetwork(NetworkConfig{HostsFile: "/nowhere", ResolvConf: "/nowhere", Targets: []Target{{Name: "host-primary", Host: "pos.example", Port: 9, TLS: true}}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range n.Probes() {
		got := map[string]bool{}
		for _, e := range p.Run(ctx) {
			got[e.Check] = true
			if e.Subject == "" || e.Status == "" || e.Status != report.OK && e.Status != report.Bad && e.Facts["reason"] == nil {
				t.Errorf("%+v", e)
			}
		}
		for _, c := range p.Checks {
			if !got[string(c)] {
				t.Errorf("%s gave no %s", p.Subject, c)
			}
		}
	}
}

func BenchmarkLocal(b *testing.B) {
	n := NewNetwork(NetworkConfig{Sys: os.DirFS("/sys"), Proc: os.DirFS("/proc")})
	for b.Loop() {
		n.local(context.Background())
	}
}
