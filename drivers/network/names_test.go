package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// resolver answers on UDP and TCP in the host's namespace; answer fills in a reply, or returns false to keep silent.
func resolver(t testing.TB, addr string, answer func(q dnsmessage.Question, b *dnsmessage.Message) bool) {
	t.Helper()
	reply := func(b []byte, tcp bool) []byte {
		var m dnsmessage.Message
		if m.Unpack(b) != nil || len(m.Questions) != 1 {
			return nil
		}
		m.Response = true
		if !answer(m.Questions[0], &m) {
			return nil
		}
		if tcp {
			m.Truncated = false
		}
		out, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return out
	}
	var u net.PacketConn
	inNS(t, "h", func() (err error) { u, err = net.ListenPacket("udp", addr); return err })
	t.Cleanup(func() { u.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			if out := reply(b[:n], false); out != nil {
				_, _ = u.WriteTo(out, from)
			}
		}
	}()
	listen(t, "h", addr, func(c net.Conn) {
		b := make([]byte, 1500)
		n, err := c.Read(b)
		if err != nil || n < 3 {
			return
		}
		if out := reply(b[2:n], true); out != nil {
			_, _ = c.Write(append([]byte{byte(len(out) >> 8), byte(len(out))}, out...))
		}
	})
}

func a(ip string, q dnsmessage.Question) dnsmessage.Resource {
	addr := netip.MustParseAddr(ip)
	h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
	if addr.Is4() {
		return dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}}
	}
	return dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}
}

func TestNames(t *testing.T) {
	lab(t, 0)
	ready6(t)
	name := func(q dnsmessage.Question, m *dnsmessage.Message) bool {
		switch q.Name.String() {
		case "pos.example.":
			if q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, a("203.0.113.5", q))
			} else {
				m.Answers = append(m.Answers, a("2001:db8::5", q))
			}
		case "four.example.":
			if q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, a("203.0.113.6", q))
			}
		case "six.example.":
			if q.Type == dnsmessage.TypeA {
				m.RCode = dnsmessage.RCodeServerFailure
			} else {
				m.Answers = append(m.Answers, a("2001:db8::6", q))
			}
		case "onefamily.example.": // the other question is never answered
			if q.Type != dnsmessage.TypeA {
				return false
			}
			m.Answers = append(m.Answers, a("203.0.113.7", q))
		case "large.example.":
			m.Truncated = true
			if q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, a("203.0.113.8", q))
			}
		case "filtered.example.":
			if q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, a("0.0.0.0", q))
			}
		case "nowhere.example.":
			m.RCode = dnsmessage.RCodeNameError
		case "broken.example.":
			m.RCode = dnsmessage.RCodeServerFailure
		case "forbidden.example.":
			m.RCode = dnsmessage.RCodeRefused
		case "empty.example.":
		case "halfempty.example.": // the answer about IPv4 is lost each time
			return q.Type != dnsmessage.TypeA
		default:
			return false
		}
		return true
	}
	resolver(t, ":53", name)
	good := netip.MustParseAddrPort(hostIP + ":53")
	good6 := netip.MustParseAddrPort("[" + hostIP6 + "]:53")
	closed := netip.MustParseAddrPort(hostIP + ":54")
	nft(t, "h", "table inet lab {\nchain i {\ntype filter hook input priority 0\nudp dport 55 drop\n}\n}\n")
	dead := netip.MustParseAddrPort(hostIP + ":55")
	for _, c := range []struct {
		name      string
		resolvers []netip.AddrPort
		want      Outcome
		addresses int
		noData    bool
		blocked   bool
		failed    int
	}{
		{"pos.example", []netip.AddrPort{good}, OK, 2, false, false, 0},
		{"pos.example.", []netip.AddrPort{good6}, OK, 2, false, false, 0},
		{"four.example", []netip.AddrPort{good}, OK, 1, false, false, 0},
		{"six.example", []netip.AddrPort{good}, OK, 1, false, false, 0},
		{"onefamily.example", []netip.AddrPort{good}, OK, 1, false, false, 0},
		{"large.example", []netip.AddrPort{good}, OK, 1, false, false, 0},
		{"filtered.example", []netip.AddrPort{good}, NXDomain, 0, false, true, 0},
		{"nowhere.example", []netip.AddrPort{good}, NXDomain, 0, false, false, 0},
		{"nowhere.example", []netip.AddrPort{good, dead}, NXDomain, 0, false, false, 0},
		{"empty.example", []netip.AddrPort{good}, NXDomain, 0, true, false, 0},
		{"halfempty.example", []netip.AddrPort{good}, Timeout, 0, false, false, 1},
		{"broken.example", []netip.AddrPort{good}, ServFail, 0, false, false, 1},
		{"forbidden.example", []netip.AddrPort{good}, Refused, 0, false, false, 1},
		{"pos.example", []netip.AddrPort{dead}, Timeout, 0, false, false, 1},
		{"pos.example", []netip.AddrPort{dead, good}, OK, 2, false, false, 1},
		{"pos.example", []netip.AddrPort{closed}, Refused, 0, false, false, 1},
		{"pos.example", []netip.AddrPort{closed, good}, OK, 2, false, false, 1},
		{"pos.example", []netip.AddrPort{dead, dead, dead}, Timeout, 0, false, false, 3},
		{"pos.example", nil, Unreachable, 0, false, false, 0},
		{"a..b", []netip.AddrPort{good}, NXDomain, 0, false, false, 0},
	} {
		start := time.Now()
		l := Resolve(t.Context(), c.name, c.resolvers)
		if l.Outcome != c.want || len(l.Addresses) != c.addresses || l.NoData != c.noData || l.Blocked != c.blocked ||
			l.Failed != c.failed {
			t.Errorf("resolve %s at %v: %+v, want %s with %d", c.name, c.resolvers, l, c.want, c.addresses)
		}
		if took := time.Since(start); took > 2*resolveWait {
			t.Errorf("resolve %s took %v", c.name, took)
		}
	}
	must(t, "ip route del default")
	if l := Resolve(t.Context(), "pos.example", []netip.AddrPort{good}); l.Outcome != Unreachable {
		t.Errorf("no route: %+v", l)
	}
}

func TestResolverFiles(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("# by dhcp\nsearch lan\nnameserver 192.168.1.1\n nameserver fe80::1%eth0\nnameserver x\noptions ndots:1\nnameserver 8.8.8.8\nnameserver 9.9.9.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Resolvers(conf)
	if err != nil || len(got) != 3 || got[0].String() != "192.168.1.1:53" || got[1].String() != "[fe80::1%eth0]:53" || got[2].String() != "8.8.8.8:53" {
		t.Errorf("resolvers %v %v", got, err)
	}
	if _, err := Resolvers(filepath.Join(dir, "none")); err == nil {
		t.Error("no error for a missing file")
	}
	if _, err := Resolvers(dir); err == nil {
		t.Error("no error for a folder")
	}
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n10.0.0.9\tpos.example  POS # acquirer\n::9 pos.example\nx pos.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := HostsFile(hosts, "Pos.Example."); len(got) != 2 || got[0].String() != "10.0.0.9" || got[1].String() != "::9" {
		t.Errorf("hosts %v", got)
	}
	if got := HostsFile(hosts, "acquirer"); got != nil {
		t.Errorf("a comment is no host: %v", got)
	}
}

// An answer must be to the question that was asked: anybody can send a datagram.
func TestForgedAnswers(t *testing.T) {
	qs, err := questions("pos.example")
	if err != nil {
		t.Fatal(err)
	}
	q := qs[0]
	for what, change := range map[string]func(*dnsmessage.Message){
		"right":            func(*dnsmessage.Message) {},
		"other id":         func(m *dnsmessage.Message) { m.ID++ },
		"a question":       func(m *dnsmessage.Message) { m.Response = false },
		"other name":       func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("bad.example.") },
		"other type":       func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA },
		"without question": func(m *dnsmessage.Message) { m.Questions = nil },
	} {
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.id, Response: true}, Questions: []dnsmessage.Question{q.q},
			Answers: []dnsmessage.Resource{a("203.0.113.5", q.q)}}
		change(&m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseAnswer(b, q); ok != (what == "right") || ok && len(got.addresses) != 1 {
			t.Errorf("%s: %+v %v", what, got, ok)
		}
	}
}

func TestResolveStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l := Resolve(ctx, "pos.example", []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}); l.Outcome != Stopped {
		t.Errorf("%+v", l)
	}
}

func FuzzAnswer(f *testing.F) {
	qs, err := questions("pos.example")
	if err != nil {
		f.Fatal(err)
	}
	qs[0].id = 7
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true}, Questions: []dnsmessage.Question{qs[0].q}}
	m.Answers = []dnsmessage.Resource{a("203.0.113.5", qs[0].q)}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseAnswer(b, qs[0])
		if !ok && len(a.addresses) > 0 || len(a.addresses) > maxAddresses {
			t.Errorf("%+v %v", a, ok)
		}
		for _, ip := range a.addresses {
			if !ip.Is4() {
				t.Errorf("%v answers a question for IPv4", ip)
			}
		}
	})
}

func FuzzResolverFiles(f *testing.F) {
	f.Add("nameserver 1.1.1.1\n127.0.0.1 pos\n")
	f.Add("nameserver ::1%x\n#")
	f.Fuzz(func(t *testing.T, s string) {
		if n := len(parseResolvers(s)); n > maxResolvers {
			t.Errorf("%d resolvers", n)
		}
		if n := len(parseHosts(s, "pos")); n > maxAddresses {
			t.Errorf("%d addresses", n)
		}
	})
}

func TestSearchNames(t *testing.T) {
	for _, c := range []struct{ text, host, want string }{
		{"nameserver 10.0.0.1\n", "acq", "acq"},
		{"search bank.lan shop.lan\n", "acq", "acq.bank.lan acq.shop.lan acq"},
		{"domain bank.lan\n", "acq.example", "acq.example acq.example.bank.lan"},
		{"domain a.lan\nsearch b.lan.\n", "acq", "acq.b.lan acq"},
		{"search bank.lan\noptions timeout:1 ndots:3\n", "a.b.c", "a.b.c.bank.lan a.b.c"},
		{"search bank.lan\noptions ndots:x ndots:99\n", "a.b", "a.b a.b.bank.lan"},
		{"search bank.lan\n", "acq.", "acq."},
		{"search\nsearch .\n", "acq", "acq"},
	} {
		if got := strings.Join(searchNames(c.text, c.host), " "); got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.host, c.text, got, c.want)
		}
	}
}
