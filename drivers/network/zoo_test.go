package network

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/firmware-build/housetest"
	"posdx/firmware-build/lab/world"
)

// A finding is what an animal must be found to be.
type finding struct {
	want  []Outcome
	form  Hello // by which it must have been found
	check func(Handshake) bool
}

// What is found of each animal of the zoo, which is never bad.
var found = func() map[string]finding {
	ok, unsure := []Outcome{OK}, []Outcome{Unsupported}
	return map[string]finding{
		"plain and good":                               {want: ok, form: HelloSmall},
		"name in the subject alone":                    {want: ok, check: func(h Handshake) bool { return h.CNOnly }},
		"wildcard in the subject alone":                {want: ok},
		"address, and nobody said a name":              {want: ok},
		"SHA-1 chain":                                  {want: ok, check: func(h Handshake) bool { return h.SHA1 }},
		"SHA-1 chain of elliptic curves":               {want: ok, check: func(h Handshake) bool { return h.SHA1 }},
		"client use alone in the leaf":                 {want: ok},
		"TLS 1.0 alone":                                {want: ok, check: func(h Handshake) bool { return h.OldVersion }},
		"TLS 1.2 alone":                                {want: ok},
		"TLS 1.3 alone":                                {want: ok},
		"RSA key exchange alone":                       {want: ok},
		"DHE alone":                                    {want: unsure, check: func(h Handshake) bool { return h.Alert == 40 }},
		"PSK alone":                                    {want: unsure},
		"Brainpool key":                                {want: unsure},
		"RSA-PSS key":                                  {want: []Outcome{OK, Unsupported}},
		"RSA-PSS signature":                            {want: []Outcome{OK, Unsupported}},
		"RSA of 1024 bits":                             {want: []Outcome{OK, Unsupported}},
		"wants a certificate, 1.2":                     {want: ok, check: func(h Handshake) bool { return h.WantsCert }},
		"wants a certificate, 1.3":                     {want: ok},
		"critical extension that nobody here knows":    {want: unsure},
		"a line that swallows a hello over 1400 bytes": {want: ok, form: HelloSmall},
		"a box that drops names":                       {want: ok, form: HelloPlain},
		"a box that drops TLS 1.3":                     {want: ok, form: HelloPlain},
		"a box that takes TLS 1.2 with a name":         {want: ok, form: HelloOld},
		"TLCP, alert to others":                        {want: unsure, check: func(h Handshake) bool { return h.TLCP }},
		"TLCP, silent to others":                       {want: unsure, check: func(h Handshake) bool { return h.TLCP }},
	}
}()

// Whatever a client gets through to is never called bad; and that a client does is proven first.
func TestZooOfTLSHosts(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs the Debian package openssl: ", err)
	}
	list := world.Animals()
	if len(list) != len(found) {
		t.Errorf("%d animals, and of %d it is known what is found", len(list), len(found))
	}
	if testing.Short() {
		list = list[:6]
	}
	for _, a := range list {
		t.Run(a.Name, func(t *testing.T) {
			dir := t.TempDir()
			if err := a.Certificates(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			serve, stop, err := a.Open(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			addr := housetest.Serve(t, serve)
			if err := a.Prove(t.Context(), dir, addr); err != nil {
				t.Fatal(err)
			}
			trust := Trust{Name: a.Trust, Now: time.Now()}
			if a.Serve == nil {
				if trust.Roots, err = LoadRoots(filepath.Join(dir, "ca.pem")); err != nil {
					t.Fatal(err)
				}
			}
			f := found[a.Name]
			h := TryTLS(context.Background(), way(addr), trust, Form{}, anyNumber)
			if !slices.Contains(f.want, h.TLS) || h.Outcome != OK || f.form != "" && h.Hello != f.form || f.check != nil &&
				!f.check(h) {
				t.Errorf("got %+v, want %s", h, f.want)
			}
			if strings.Contains(a.Name, "1400") {
				if o, _ := TryLargeHello(context.Background(), way(addr), trust, 0); o != Timeout {
					t.Errorf("the large hello: %s", o)
				}
				// An application that begins so is asked for first, and what is found is the difference.
				h := TryTLS(context.Background(), way(addr), trust, Form{Hello: HelloLarge, Name: a.Trust}, anyNumber)
				if h.TLS != OK || h.Hello != HelloSmall || !h.Swallowed || h.Refused {
					t.Errorf("after the application's large hello: %+v", h)
				}
			} else if a.Name == "TLS 1.3 alone" {
				h := TryTLS(context.Background(), way(addr), trust, Form{Hello: HelloOld, Max: 0x0303}, anyNumber)
				if h.TLS != OK || h.Hello != HelloSmall || h.Swallowed || !h.Refused {
					t.Errorf("after the application's old hello: %+v", h)
				}
			} else if a.Name == "plain and good" {
				if o, _ := TryLargeHello(context.Background(), way(addr), trust, 0); o != OK {
					t.Errorf("the large hello: %s", o)
				}
			}
		})
	}
}

// Connections of others are told from our own, and by whether they work.
func TestSocketsOfOthers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := way(l.Addr().String())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello"))
			defer c.Close()
		}
	}()
	own, _ := connect(t.Context(), w, connectWait)
	if own == nil {
		t.Fatal("not connected")
	}
	defer own.Close()
	if list := Sockets(w.Addr); len(list) != 0 {
		t.Errorf("our own connection proves nothing: %+v", list)
	}
	other, err := net.Dial("tcp", w.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, _ = io.ReadFull(other, make([]byte, 5))
	noteOurs(uint16(other.LocalAddr().(*net.TCPAddr).Port), netip.MustParseAddrPort("192.0.2.1:443")) // the same port, to elsewhere
	list := Sockets(w.Addr)
	if len(list) != 1 || !list[0].Established || list[0].Received != 5 || list[0].Repeats != 0 ||
		int(list[0].Local) != other.LocalAddr().(*net.TCPAddr).Port {
		t.Errorf("got %+v, want the one connection with 5 bytes received", list)
	}
}

func FuzzSocket(f *testing.F) {
	f.Add(make([]byte, diagMessageSize))
	f.Add(append(make([]byte, diagMessageSize), 12, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(append(make([]byte, diagMessageSize), 255, 255, 2, 0))
	f.Fuzz(func(t *testing.T, b []byte) { parseSocket(b) })
}

// Paths on which a plain connection gets through: whatever becomes of echoes, nothing is said against them.
func TestZooOfPaths(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a network for each path")
	}
	for _, p := range []struct {
		name, setup, rules string
		host               string
		echoes             bool // they do not come back whole
	}{
		{name: "nothing in the way"},
		{name: "echoes dropped", rules: "icmp type echo-request drop", echoes: true},
		{name: "echoes forbidden aloud", rules: "icmp type echo-request reject with icmp type admin-prohibited", echoes: true},
		{name: "echoes limited", rules: "icmp type echo-request limit rate over 4/second burst 5 packets drop", echoes: true},
		{name: "echoes limited to one a second", rules: "icmp type echo-request limit rate over 1/second burst 1 packets drop", echoes: true},
		{name: "large echoes dropped", rules: "icmp type echo-request meta length > 100 drop"},
		{name: "the host's port alone is open", rules: "ip daddr 10.78.0.2 tcp dport != 9000 drop\nip daddr 10.78.0.2 meta l4proto != tcp drop", echoes: true},
		{name: "host route, no default", setup: "ip route del default\nip route add 10.78.0.2/32 via 10.77.0.1"},
		{name: "gateway outside the subnet, on the link", setup: "ip addr flush dev eth0\nip addr add 10.77.0.2/32 dev eth0\nip route add default via 10.77.0.1 dev eth0 onlink"},
		{name: "IPv6 alone", setup: "ip -4 addr flush dev eth0", host: hostIP6},
		{name: "IPv6, echoes dropped", setup: "ip -4 addr flush dev eth0", host: hostIP6, rules: "icmpv6 type echo-request drop", echoes: true},
	} {
		t.Run(p.name, func(t *testing.T) {
			lab(t, 0)
			host := p.host
			if host == "" {
				host = hostIP
			} else {
				ready6(t)
			}
			listen(t, "h", net.JoinHostPort(host, "9000"), hold(nil))
			must(t, p.setup)
			nft(t, "r", forward(p.rules))
			c, err := net.DialTimeout("tcp", net.JoinHostPort(host, "9000"), 5*time.Second)
			if err != nil {
				t.Fatal("no client gets through, so this proves nothing: ", err)
			}
			c.Close()
			w := way(net.JoinHostPort(host, "9000"))
			if c := TryConnect(t.Context(), w); c.Outcome != OK {
				t.Errorf("connect: %+v", c)
			}
			if v, err := MeasurePath(t.Context(), w, always, func() {}); err != nil || v.Received == 0 || v.LossPct() > 0 ||
				p.echoes != (v.By == "connect") {
				t.Errorf("path: %+v %v", v, err)
			}
			tables, l := link(t, "eth0")
			if v := tables.View(l); v.GatewayKnown && !v.GatewayInSubnet && !v.GatewayOnLink || v.Conflict || v.Duplicate {
				t.Errorf("address: %+v", v)
			}
			if v, err := FindMTU(t.Context(), w.Addr.Addr(), "", 1500); err == nil && v.Outcome == Blackhole && v.LargestOK > 0 {
				t.Errorf("size: %+v", v)
			}
		})
	}
}
