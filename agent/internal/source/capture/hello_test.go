package capture

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"posdx/agent/internal/source"
)

// helloFrom is the first record of a client of this configuration.
func helloFrom(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() { _ = tls.Client(near, c).Handshake() }()
	b := make([]byte, 8<<10)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	far.Close()
	near.Close()
	return b[:n]
}

// A hello of a program is known by its size, the newest version it offers and its name. Hellos larger than a packet
// that boxes swallow: tailscale/tailscale#20777, golang/go#80573, klzgrad/naiveproxy#641, openssl/openssl#27557; boxes
// that look at the name: dlundquist/sniproxy#268, Lochnair/xt_tls#71.
func TestHelloOfAProgramIsRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		config *tls.Config
		want   source.Hello
		large  bool
	}{
		{"post-quantum", &tls.Config{ServerName: "acq.example", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519}},
			source.Hello{Version: tls.VersionTLS13, Name: "acq.example"}, true},
		{"classic", &tls.Config{ServerName: "acq.example", CurvePreferences: []tls.CurveID{tls.X25519}},
			source.Hello{Version: tls.VersionTLS13, Name: "acq.example"}, false},
		{"TLS 1.2", &tls.Config{ServerName: "acq.example", MaxVersion: tls.VersionTLS12}, source.Hello{Version: tls.VersionTLS12, Name: "acq.example"}, false},
		{"TLS 1.0", &tls.Config{ServerName: "acq.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
			source.Hello{Version: tls.VersionTLS10, Name: "acq.example"}, false},
		{"no name", &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}},
			source.Hello{Version: tls.VersionTLS13}, false},
	} {
		b := helloFrom(t, c.config)
		got, ok := parseHello(b[recordHeader:], len(b))
		if c.want.Size = len(b); !ok || got != c.want || got.Size > 1280 != c.large {
			t.Errorf("%s: %+v %v, want %+v", c.name, got, ok, c.want)
		}
		for n := range b[recordHeader:] { // cut off anywhere
			h, ok := parseHello(b[recordHeader:recordHeader+n], len(b))
			if ok && h != c.want && h.Name != "" && h.Name != c.want.Name {
				t.Fatalf("%s cut off after %d bytes: %+v", c.name, n, h)
			}
		}
	}
	bare := append([]byte{clientHello, 0, 0, 45, 3, 1}, make([]byte, 32)...)
	bare = append(bare, 0, 0, 4, 0, 0x2f, 0, 0x35, 1, 0)
	if h, ok := parseHello(bare, 50); !ok || h != (source.Hello{Size: 50, Version: 0x0301}) {
		t.Errorf("without extensions: %+v %v", h, ok)
	}
	if n, ok := helloTLCP([]byte{recordHandshake, 1, 1, 0, 45, clientHello}); !ok || n != 50 {
		t.Errorf("TLCP: %d %v", n, ok)
	}
	if _, ok := helloTLCP(helloFrom(t, &tls.Config{ServerName: "acq.example"})); ok {
		t.Error("TLS is no TLCP")
	}
}

// Names that are no host names are not taken over: they would be sent again.
func TestHelloWithAStrangeNameHasNone(t *testing.T) {
	for _, name := range []string{"a b", "x\x00", "4000000000000002\r\n", "é"} {
		if hostname([]byte(name)) {
			t.Errorf("%q", name)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add(helloFrom(f, &tls.Config{ServerName: "acq.example"})[recordHeader:])
	f.Add(helloFrom(f, &tls.Config{ServerName: "acq.example", MaxVersion: tls.VersionTLS12})[recordHeader:])
	f.Add([]byte{clientHello, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, _ := parseHello(b, len(b))
		if !hostname([]byte(h.Name)) {
			t.Errorf("%q", h.Name)
		}
	})
}

// How the application begins is handed on with its connection, and nothing of posdx's own connections.
func TestTheApplicationsHelloIsHandedOn(t *testing.T) {
	for _, ours := range []bool{false, true} {
		k := track(&fakeSink{})
		var seen []source.Wire
		k.wire = func(w source.Wire) { seen = append(seen, w) }
		k.ours = func(uint16, netip.AddrPort) bool { return ours }
		overTLS(t, k, tls.VersionTLS12, time.Now().Add(time.Hour), true, func(net.Conn) {}, func(net.Conn) {})
		if ours {
			if len(seen) > 0 {
				t.Errorf("a connection of our own is taken for the application's: %+v", seen)
			}
			continue
		}
		if len(seen) != 2 || seen[0].Hello != nil || seen[1].Hello == nil || seen[1].Target != "host-primary" ||
			seen[1].Local == 0 || !seen[1].Host.IsValid() {
			t.Fatalf("%+v", seen)
		}
		if h := seen[1].Hello; h.Name != "pos.acquirer.example" || h.Version != tls.VersionTLS12 || h.Size < 100 {
			t.Errorf("%+v", h)
		}
	}
}
