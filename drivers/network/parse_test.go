package network

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// wirelessText is /proc/net/wireless of a terminal with an associated and an idle adapter (layout of
// net/wireless/wext-proc.c).
const wirelessText = `Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0
 wlan1: 0000    0   -256.  -256        0      0      0      0      0        0
 ra0: 0010   80   196   0        0      0      0      0      0        0
`

func TestParseWireless(t *testing.T) {
	for _, c := range []struct {
		name string
		want WifiView
	}{
		{"wlan0", WifiView{Associated: true, RSSI: -56, RSSIKnown: true}},
		{"wlan1", WifiView{}},
		{"ra0", WifiView{Associated: true, RSSI: -60, RSSIKnown: true}}, // an unsigned byte
		{"wlan", WifiView{}},
	} {
		if got := parseWireless(wirelessText, c.name); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

const snmpText = `Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 40 3 5 7 2 900 1000 30 0 4 0
Udp: InDatagrams
`

func TestParseSNMP(t *testing.T) {
	got, ok := parseSNMP(snmpText)
	want := TCPCounters{OutSegs: 1000, RetransSegs: 30}
	if !ok || got != want {
		t.Errorf("%+v %v", got, ok)
	}
	for _, s := range []string{"", "Tcp: OutSegs\n", "Tcp: OutSegs\nTcp: 1\n", "Tcp:\nTcp:\n"} {
		if _, ok := parseSNMP(s); ok {
			t.Errorf("%q was understood", s)
		}
	}
	if pct, ok := got.RetransPct(TCPCounters{OutSegs: 900, RetransSegs: 20}); !ok || pct != 10 {
		t.Errorf("%v %v, want 10", pct, ok)
	}
	if _, ok := got.RetransPct(TCPCounters{OutSegs: 990}); ok {
		t.Error("10 segments prove nothing")
	}
	if _, ok := ReadTCPCounters(os.DirFS("/proc")); !ok {
		t.Error("this machine's own counters are not understood")
	}
}

func TestKinds(t *testing.T) {
	sys := fstest.MapFS{
		"class/net/eth0/speed":          {Data: []byte("100\n")},
		"class/net/eth1/speed":          {Data: []byte("-1\n")},
		"class/net/eth2/speed":          {Data: []byte("65535\n")},
		"class/net/mlan0/wireless/link": {},
		"class/net/usb0/uevent":         {Data: []byte("DEVTYPE=wwan\nINTERFACE=usb0\n")},
	}
	ether := func(name, virtual string) Link { return Link{Name: name, Type: unix.ARPHRD_ETHER, Virtual: virtual} }
	for _, c := range []struct {
		l    Link
		want Kind
	}{
		{ether("eth0", ""), Ethernet}, {ether("lan1", "dsa"), Ethernet}, {ether("br0", "bridge"), Virtual},
		{ether("mlan0", ""), Wifi}, {ether("usb0", ""), Cellular}, {ether("ccmni0", ""), Cellular},
		{Link{Name: "rmnet_data0", Type: 519}, Cellular}, {Link{Name: "ppp0", Type: unix.ARPHRD_PPP}, PPP},
		{Link{Name: "lo", Type: unix.ARPHRD_LOOPBACK}, Loopback}, {Link{Name: "tun0", Type: unix.ARPHRD_NONE}, Virtual},
		{ether("../../x", ""), Virtual},
	} {
		if got := KindOf(c.l, sys); got != c.want {
			t.Errorf("%s: %s, want %s", c.l.Name, got, c.want)
		}
	}
	for name, want := range map[string]int{"eth0": 100, "eth1": 0, "eth2": 0, "eth3": 0, "..": 0} {
		if got := SpeedMbps(name, sys); got != want {
			t.Errorf("speed of %s: %d, want %d", name, got, want)
		}
	}
}

func TestLinkLocalMeansNoDHCP(t *testing.T) {
	l := Link{Index: 2, Name: "eth0"}
	tables := Tables{Links: []Link{l}, Addresses: []Address{
		{Index: 2, Prefix: netip.MustParsePrefix("169.254.3.4/16")},
		{Index: 2, Prefix: netip.MustParsePrefix("fe80::1/64")},
	}}
	if v := tables.View(l); !v.LinkLocal || v.Address.String() != "169.254.3.4/16" {
		t.Errorf("%+v", v)
	}
	tables.Addresses = append(tables.Addresses, Address{Index: 2, Prefix: netip.MustParsePrefix("192.168.1.5/24")})
	if v := tables.View(l); v.LinkLocal || v.Address.String() != "192.168.1.5/24" || !v.DHCP {
		t.Errorf("%+v", v)
	}
	six := Tables{Links: []Link{l}, Addresses: []Address{{Index: 2, Prefix: netip.MustParsePrefix("2001:db8::5/64"), Lasting: true}},
		Routes: []Route{{Index: 2, Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::9")}}}
	if v := six.View(l); v.Address.String() != "2001:db8::5/64" || !v.GatewayInSubnet || v.DefaultRoutes != 1 || v.DHCPKnown {
		t.Errorf("%+v", v)
	}
}

func TestMonitorHistory(t *testing.T) {
	m, now := NewMonitor(), time.Now()
	eth := Link{Index: 2, Name: "eth0", Up: true, Carrier: true, ChangesKnown: true, CarrierChanges: 1, StatsKnown: true}
	look := func(after time.Duration, links ...Link) {
		now = now.Add(after)
		m.Observe(Tables{Links: links, Routes: []Route{{Index: 2, Dst: netip.MustParsePrefix("0.0.0.0/0")}}}, now)
	}
	look(0, eth)
	if m.Flaps("eth0", now) != 0 || m.BearerChanges(now) != 0 {
		t.Error("the first look is no change")
	}
	if _, _, ok := m.Growth(eth, now); ok {
		t.Error("one sample has no growth")
	}
	eth.CarrierChanges += 6 // three losses between two looks, carrier back
	eth.Stats.RxErrors += 40
	look(10*time.Minute, eth)
	if n := m.Flaps("eth0", now); n != 3 {
		t.Errorf("flaps %d, want 3", n)
	}
	if g, w, ok := m.Growth(eth, now); !ok || g.RxErrors != 40 || w != 10*time.Minute {
		t.Errorf("growth %+v over %v %v", g, w, ok)
	}
	look(61*time.Minute, eth)
	if n := m.Flaps("eth0", now); n != 0 {
		t.Errorf("flaps %d after an hour", n)
	}
	if w := m.Watched(now); w != time.Hour {
		t.Errorf("watched %v", w)
	}
	if g, w, ok := m.Growth(eth, now); !ok || g.RxErrors != 0 || w != 61*time.Minute {
		t.Errorf("growth %+v over %v %v", g, w, ok)
	}
	look(time.Second) // the adapter is unplugged, and plugged in again as another
	eth.Index, eth.CarrierChanges, eth.Stats = 5, 0, LinkStats{}
	look(time.Second, eth)
	if n := m.Flaps("eth0", now); n != 1 {
		t.Errorf("flaps %d after it was unplugged, want 1", n)
	}
	eth.CarrierChanges += 4_000_000_000 // a counter gone mad stays within the bound
	look(time.Second, eth)
	if n := m.Flaps("eth0", now); n != maxEvents/2 {
		t.Errorf("flaps %d, want the bound %d", n, maxEvents/2)
	}
	for i := range 3 * maxLinks {
		look(time.Second, Link{Index: 100 + i, Name: string(rune('a'+i%26)) + time.Duration(i).String()})
	}
	if len(m.links) > maxLinks {
		t.Errorf("%d links remembered", len(m.links))
	}
}

// A bearer changes when another link takes over, at once or after a gap, and not when the same one comes back.
func TestBearerChanges(t *testing.T) {
	m, now := NewMonitor(), time.Now()
	out := map[string]int{"eth0": 2, "wwan0": 3}
	want := 0
	for _, step := range []struct {
		by      string
		changes int
	}{{"", 0}, {"eth0", 0}, {"", 0}, {"eth0", 0}, {"wwan0", 1}, {"eth0", 1}, {"", 0}, {"wwan0", 1}} {
		tables := Tables{}
		if step.by != "" {
			tables.Links = []Link{{Index: out[step.by], Name: step.by, Up: true, Carrier: true}}
			tables.Routes = []Route{{Index: out[step.by], Dst: netip.MustParsePrefix("0.0.0.0/0")}}
		}
		now = now.Add(time.Second)
		m.Observe(tables, now)
		want += step.changes
		if n := m.BearerChanges(now); n != want {
			t.Errorf("out by %q: %d changes, want %d", step.by, n, want)
		}
	}
}

func TestOldKernelWithoutCounters(t *testing.T) {
	m, now := NewMonitor(), time.Now()
	for _, carrier := range []bool{true, false, true, false, true} {
		m.Observe(Tables{Links: []Link{{Index: 2, Name: "eth0", Up: true, Carrier: carrier}}}, now)
		now = now.Add(time.Second)
	}
	if n := m.Flaps("eth0", now); n != 2 {
		t.Errorf("flaps %d, want 2", n)
	}
}

// rawTables are the kernel's own dumps on the machine that runs the tests: seeds for the fuzzers.
func rawTables(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	for _, proto := range []int{unix.RTM_GETLINK, unix.RTM_GETADDR, unix.RTM_GETROUTE, unix.RTM_GETNEIGH} {
		b, err := syscall.NetlinkRIB(proto, syscall.AF_UNSPEC)
		if errors.Is(err, unix.EOPNOTSUPP) { // qemu's user mode knows no netlink
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func FuzzNetlink(f *testing.F) {
	for _, b := range rawTables(f) {
		if len(b) > 16 {
			f.Add(binary.NativeEndian.Uint16(b[4:]), b[16:min(len(b), 4096)])
		}
	}
	f.Add(uint16(unix.RTM_NEWROUTE), make([]byte, unix.SizeofRtMsg+3))
	multipath := make([]byte, unix.SizeofRtMsg) // a next hop that claims to be shorter than itself
	multipath[0], multipath[7] = unix.AF_INET, unix.RTN_UNICAST
	multipath = append(multipath, 12, 0, unix.RTA_MULTIPATH, 0, 3, 0, 0, 0, 9, 0, 0, 0)
	f.Add(uint16(unix.RTM_NEWROUTE), multipath)
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: b}
		if l, ok := parseLink(m); ok && l.Name == "" {
			t.Error("a link without a name")
		}
		if a, ok := parseAddress(m); ok && !a.Prefix.IsValid() {
			t.Error("an address that is none")
		}
		if r, _, ok := parseRoute(m); ok && !r.Dst.IsValid() {
			t.Error("a route to nowhere")
		}
		if n, ok := parseNeighbour(m); ok && !n.IP.IsValid() {
			t.Error("a neighbour without an address")
		}
	})
}

func FuzzPackets(f *testing.F) {
	mac := [6]byte{2, 0, 0, 0, 0, 1}
	f.Add(arpRequest(mac, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")))
	f.Add([]byte("HTTP/1.1 204 No Content"))
	f.Add([]byte{0, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8})
	e := echoer{id: 7, nonce: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ip, ok := parseARP(b); ok && (!ip.Is4() || ip.IsUnspecified()) {
			t.Errorf("arp claims %v", ip)
		}
		if _, ok := e.parseReply(b); ok && len(b) < 16 {
			t.Error("a short reply was taken")
		}
		parsePortal(b)
	})
}

func FuzzProc(f *testing.F) {
	f.Add(wirelessText)
	f.Add(snmpText)
	f.Fuzz(func(t *testing.T, s string) {
		v := parseWireless(s, "wlan0")
		if v.RSSIKnown && (v.RSSI >= 0 || v.RSSI < -127) {
			t.Errorf("%d dBm", v.RSSI)
		}
		parseSNMP(s)
	})
}

func TestARPClaims(t *testing.T) {
	own, other := [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	ip, far := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")
	for _, c := range []struct {
		what string
		b    []byte
		want bool
	}{
		{"another card's announcement", arpRequest(other, ip, ip), true},
		{"our own, sent back", arpRequest(own, ip, ip), false},
		{"another address", arpRequest(other, far, ip), false},
		{"a probe claims nothing", arpRequest(other, netip.Addr{}, ip), false},
		{"cut off", arpRequest(other, ip, ip)[:27], false},
	} {
		if _, got := claims(c.b, ip, own); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

func TestChecksum(t *testing.T) {
	if got := checksum([]byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
		0xc7}); got != 0xb861 {
		t.Errorf("%#x, want 0xb861", got)
	}
	if got := checksum([]byte{1}); got != 0xfeff {
		t.Errorf("%#x, want 0xfeff", got)
	}
}
