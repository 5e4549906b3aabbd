package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An animal is a TLS host, or a box before one, that an ordinary client gets through.
type animal struct {
	name   string
	server string            // arguments of openssl s_server; empty: serve
	client string            // of openssl s_client, which must verify the host
	box    func([]byte) bool // what stands before the host drops a first record for which it is false
	serve  func(net.Conn)    // instead of openssl
	files  string            // shell lines that make leaf.pem, leaf.key and ca.pem where they are not the usual ones
	trust  string            // the name that is asked for; empty: none was configured
	want   []Outcome         // never bad
	form   Hello             // by which it must have been found
	check  func(Handshake) bool
}

// usual makes a leaf signed by a CA: three shell variables say how.
const usual = `
EC="-newkey ec -pkeyopt ec_paramgen_curve:P-256"
openssl req -x509 ${CAKEY:-$EC} -nodes -keyout ca.key -out ca.pem -days 3650 -subj "/CN=Test CA" -addext basicConstraints=critical,CA:TRUE
openssl req ${KEY:-$EC} -nodes -keyout leaf.key -out leaf.csr -subj "/CN=${CN:-acq.example}"
echo "${SAN-subjectAltName=DNS:acq.example}" >ext
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 700 -${MD:-sha256} $SIG -extfile ext -out leaf.pem
`

const (
	lax    = "-cipher ALL:@SECLEVEL=0"
	rsaKey = `KEY="-newkey rsa:2048"`
)

func zoo() []animal {
	ok, unsure := []Outcome{OK}, []Outcome{Unsupported}
	record := func(b []byte) int { return int(binary.BigEndian.Uint16(b[3:])) }
	// offers13 tells whether a hello offers TLS 1.3 in its supported_versions (RFC 8446, 4.2.1).
	offers13 := func(b []byte) bool {
		_, versions, ok := bytes.Cut(b, []byte{0x00, 0x2b, 0x00})
		return ok && bytes.Contains(versions[:min(len(versions), 8)], []byte{0x03, 0x04})
	}
	name := []byte("acq.example")
	return []animal{
		{name: "plain and good", trust: "acq.example", want: ok, form: HelloSmall},
		{name: "name in the subject alone", files: "SAN=", trust: "acq.example", want: ok, check: func(h Handshake) bool { return h.CNOnly }},
		{name: "wildcard in the subject alone", files: "SAN=; CN=*.example", trust: "acq.example", want: ok},
		{name: "address, and nobody said a name", want: ok},
		{name: "SHA-1 chain", files: rsaKey + "; CAKEY=$KEY; MD=sha1", server: lax, client: lax, trust: "acq.example", want: ok, check: func(h Handshake) bool { return h.SHA1 }},
		{name: "SHA-1 chain of elliptic curves", files: "MD=sha1", server: lax, client: lax, trust: "acq.example", want: ok, check: func(h Handshake) bool { return h.SHA1 }},
		{name: "client use alone in the leaf", files: `SAN="subjectAltName=DNS:acq.example
extendedKeyUsage=1.3.6.1.5.5.7.3.2"`, client: "-purpose any", trust: "acq.example", want: ok},
		{name: "TLS 1.0 alone", server: "-tls1 " + lax, client: "-tls1 " + lax, trust: "acq.example", want: ok, check: func(h Handshake) bool { return h.OldVersion }},
		{name: "TLS 1.2 alone", server: "-tls1_2", trust: "acq.example", want: ok},
		{name: "TLS 1.3 alone", server: "-tls1_3", trust: "acq.example", want: ok},
		{name: "RSA key exchange alone", files: rsaKey, server: "-tls1_2 -cipher AES128-SHA", client: "-tls1_2 -cipher AES128-SHA", trust: "acq.example", want: ok},
		{name: "DHE alone", files: rsaKey, server: "-tls1_2 -cipher DHE-RSA-AES256-SHA256:DHE-RSA-AES256-SHA", trust: "acq.example", want: unsure, check: func(h Handshake) bool { return h.Alert == 40 }},
		{name: "PSK alone", server: "-tls1_2 -nocert -psk 0102030405060708 -cipher PSK", client: "-tls1_2 -psk 0102030405060708 -cipher PSK", trust: "acq.example", want: unsure},
		{name: "Brainpool key", files: `KEY="-newkey ec -pkeyopt ec_paramgen_curve:brainpoolP256r1"`, server: "-curves brainpoolP256r1:P-256", client: "-curves brainpoolP256r1:P-256", trust: "acq.example", want: unsure},
		{name: "RSA-PSS key", files: `KEY="-newkey rsa-pss"`, trust: "acq.example", want: []Outcome{OK, Unsupported}},
		{name: "RSA-PSS signature", files: `CAKEY="-newkey rsa:2048"; SIG="-sigopt rsa_padding_mode:pss"`, trust: "acq.example", want: []Outcome{OK, Unsupported}},
		{name: "RSA of 1024 bits", files: `KEY="-newkey rsa:1024"`, server: lax, client: lax, trust: "acq.example", want: []Outcome{OK, Unsupported}},
		{name: "wants a certificate, 1.2", server: "-tls1_2 -Verify 1", trust: "acq.example", want: ok, check: func(h Handshake) bool { return h.WantsCert }},
		{name: "wants a certificate, 1.3", server: "-tls1_3 -Verify 1", trust: "acq.example", want: ok},
		{name: "critical extension that nobody here knows", files: `SAN="subjectAltName=DNS:acq.example
1.2.3.4.5.6=critical,ASN1:NULL"`, client: "-ignore_critical", trust: "acq.example", want: unsure},
		{name: "a line that swallows a hello over 1400 bytes", box: func(b []byte) bool { return record(b) < 1400 }, trust: "acq.example", want: ok, form: HelloSmall},
		{name: "a box that drops names", box: func(b []byte) bool { return !bytes.Contains(b, name) }, client: "-noservername", trust: "acq.example", want: ok, form: HelloPlain},
		{name: "a box that drops TLS 1.3", box: func(b []byte) bool { return !offers13(b) }, client: "-tls1_2", trust: "acq.example", want: ok, form: HelloPlain},
		{name: "a box that takes TLS 1.2 with a name", box: func(b []byte) bool { return bytes.Contains(b, name) && !offers13(b) }, server: "-reset", client: "-tls1_2", trust: "acq.example", want: ok, form: HelloOld},
		{name: "TLCP, alert to others", serve: tlcpHost(true), trust: "acq.example", want: unsure, check: func(h Handshake) bool { return h.TLCP }},
		{name: "TLCP, silent to others", serve: tlcpHost(false), trust: "acq.example", want: unsure, check: func(h Handshake) bool { return h.TLCP }},
	}
}

// tlcpHost answers the national protocol alone: GB/T 38636-2020, version 0x0101.
func tlcpHost(alerts bool) func(net.Conn) {
	return func(c net.Conn) {
		var head [5]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint16(head[3:]))
		_, _ = io.ReadFull(c, body)
		switch {
		case head[1] == 1 && head[2] == 1 && len(body) > 6 && body[4] == 1 && body[5] == 1:
			_, _ = c.Write([]byte{22, 1, 1, 0, 4, 2, 0, 0, 0})
		case alerts:
			_, _ = c.Write([]byte{21, 1, 1, 0, 2, 2, 70})
			return
		}
		hold(nil)(c)
	}
}

// Whatever a client gets through to is never called bad; and that a client does is proven first.
func TestZooOfTLSHosts(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs the Debian package openssl: ", err)
	}
	list := zoo()
	if testing.Short() {
		list = list[:6]
	}
	for _, a := range list {
		t.Run(a.name, func(t *testing.T) {
			dir := t.TempDir()
			sh := func(script string) (string, error) {
				cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			script := "set -e\n" + a.files + "\n" + usual
			if a.serve == nil {
				if out, err := sh(script); err != nil {
					t.Fatalf("certificates: %v\n%s", err, out)
				}
			}
			addr := serveAnimal(t, dir, a)
			if a.serve == nil {
				client := a.client
				if client != "-noservername" {
					client += " -servername acq.example"
				}
				out, err := sh(fmt.Sprintf("echo | openssl s_client -connect %s -CAfile ca.pem %s 2>&1", addr, client))
				if !strings.Contains(out, "Verify return code: 0") && !strings.Contains(out, "Verification: OK") && !strings.Contains(a.name, "PSK") {
					t.Fatalf("openssl does not get through, so this proves nothing: %v\n%s", err, out)
				}
			}
			trust := Trust{Name: a.trust, Now: time.Now()}
			if a.serve == nil {
				roots, err := LoadRoots(filepath.Join(dir, "ca.pem"))
				if err != nil {
					t.Fatal(err)
				}
				trust.Roots = roots
			}
			h := TryTLS(context.Background(), way(addr), trust, Form{}, anyNumber)
			good := false
			for _, o := range a.want {
				good = good || h.TLS == o
			}
			if !good || h.Outcome != OK || a.form != "" && h.Hello != a.form || a.check != nil && !a.check(h) {
				t.Errorf("got %+v, want %s", h, a.want)
			}
			if strings.Contains(a.name, "1400") {
				if o, _ := TryLargeHello(context.Background(), way(addr), trust, 0); o != Timeout {
					t.Errorf("the large hello: %s", o)
				}
			} else if a.name == "plain and good" {
				if o, _ := TryLargeHello(context.Background(), way(addr), trust, 0); o != OK {
					t.Errorf("the large hello: %s", o)
				}
			}
		})
	}
}

// serveAnimal starts the host, and the box before it, and returns where a client finds it.
func serveAnimal(t *testing.T, dir string, a animal) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := a.serve
	if serve == nil {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		behind := free.Addr().String()
		free.Close()
		reset := strings.Contains(a.server, "-reset")
		args := []string{"s_server", "-accept", behind, "-quiet"}
		if !strings.Contains(a.server, "-nocert") {
			args = append(args, "-cert", "leaf.pem", "-key", "leaf.key")
		}
		args = append(args, strings.Fields(strings.ReplaceAll(a.server, "-reset", ""))...)
		cmd := exec.CommandContext(t.Context(), "openssl", args...)
		cmd.Dir = dir
		in, err := cmd.StdinPipe() // s_server ends with its input
		if err != nil {
			t.Fatal(err)
		}
		log, err := os.Create(filepath.Join(dir, "server.log"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait(); log.Close() })
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c, err := net.Dial("tcp", behind)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				b, _ := os.ReadFile(log.Name())
				t.Fatalf("the host never came up: %s", b)
			}
		}
		serve = func(c net.Conn) { boxed(c, behind, a.box, reset) }
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	return l.Addr().String()
}

// boxed carries a connection to the host behind, unless the box swallows its first record, or resets it.
func boxed(c net.Conn, behind string, passes func([]byte) bool, reset bool) {
	b, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer b.Close()
	if passes != nil {
		first := make([]byte, 5)
		if _, err := io.ReadFull(c, first); err != nil {
			return
		}
		first = append(first, make([]byte, binary.BigEndian.Uint16(first[3:]))...)
		if _, err := io.ReadFull(c, first[5:]); err != nil {
			return
		}
		if !passes(first) {
			if !reset {
				hold(nil)(c)
			}
			return
		}
		_, _ = b.Write(first)
	}
	go func() { _, _ = io.Copy(b, c); b.Close() }()
	_, _ = io.Copy(c, b)
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
	if len(list) != 1 || !list[0].Established || list[0].Received != 5 || list[0].Repeats != 0 || int(list[0].Local) != other.LocalAddr().(*net.TCPAddr).Port {
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
			if v, err := MeasurePath(t.Context(), w, always, func() {}); err != nil || v.Received == 0 || v.LossPct() > 0 || p.echoes != (v.By == "connect") {
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
