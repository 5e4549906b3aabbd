package network

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"posdx/firmware-build/housetest"
)

// An authority signs the certificates of these tests.
type authority struct {
	housetest.Authority
	pool *Roots
}

func newAuthority(t testing.TB, name string) authority {
	t.Helper()
	a := housetest.NewAuthority(t, name)
	return authority{a, NewRoots(a.Cert)}
}

// anyNumber lets as many connections be made as a probe would like.
func anyNumber() bool { return true }

var labTime = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// issue signs a certificate for pos.example that is valid from and until so many days from labTime.
func (a authority) issue(t testing.TB, from, until int) tls.Certificate {
	t.Helper()
	return a.Issue(t, "", labTime.AddDate(0, 0, from), labTime.AddDate(0, 0, until), "pos.example").TLS()
}

// server takes TLS connections on loopback and records what arrives after the handshake.
func server(t testing.TB, conf *tls.Config) (Way, func() int) {
	t.Helper()
	counts := make(chan int, 100)
	address := housetest.Serve(t, func(c net.Conn) {
		var got bytes.Buffer
		s := tls.Server(c, conf)
		if s.Handshake() == nil {
			hold(&got)(s)
		}
		counts <- got.Len()
	})
	return way(address), func() int { return <-counts }
}

func TestCertificates(t *testing.T) {
	good, other := newAuthority(t, "good"), newAuthority(t, "other")
	for _, c := range []struct {
		name     string
		conf     *tls.Config
		trust    Trust
		want     Outcome
		daysLeft int
	}{
		{"valid", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -10, 30)}}, Trust{"pos.example", good.pool, labTime}, OK, 30},
		{"valid, TLS 1.2", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -10, 30)}, MaxVersion: tls.VersionTLS12},
			Trust{"pos.example", good.pool, labTime}, OK, 30},
		{"valid, TLS 1.0", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -10, 30)}, MinVersion: tls.VersionTLS10,
			MaxVersion: tls.VersionTLS10}, Trust{"pos.example", good.pool, labTime}, OK, 30},
		{"expired", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -30, -10)}}, Trust{"pos.example", good.pool, labTime}, Expired, -10},
		{"expired an hour ago", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -30, 0)}},
			Trust{"pos.example", good.pool, labTime.Add(time.Hour)}, Expired, -1},
		{"not yet valid", &tls.Config{Certificates: []tls.Certificate{good.issue(t, 10, 30)}}, Trust{"pos.example", good.pool, labTime}, NotYetValid, 30},
		{"clock in 1970", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -10, 30)}},
			Trust{"pos.example", good.pool, time.Unix(100, 0)}, NotYetValid, 20635},
		{"other name", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -10, 30)}},
			Trust{"bank.example", good.pool, labTime}, NameMismatch, 30},
		{"unknown CA", &tls.Config{Certificates: []tls.Certificate{other.issue(t, -10, 30)}}, Trust{"pos.example", good.pool, labTime}, UnknownCA, 30},
		{"unknown CA and expired", &tls.Config{Certificates: []tls.Certificate{other.issue(t, -30, -10)}},
			Trust{"pos.example", good.pool, labTime}, UnknownCA, -10},
		{"wants our certificate, 1.3", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -10, 30)},
			ClientAuth: tls.RequireAnyClientCert}, Trust{"pos.example", good.pool, labTime}, OK, 30},
		{"wants our certificate, 1.2", &tls.Config{Certificates: []tls.Certificate{good.issue(t, -10, 30)},
			ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, Trust{"pos.example", good.pool, labTime}, OK, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, sent := server(t, c.conf)
			h := TryTLS(t.Context(), w, c.trust, Form{}, anyNumber)
			if h.Outcome != OK || h.TLS != c.want || h.DaysLeft != c.daysLeft || !h.Known {
				t.Errorf("got %+v, want %s with %d days", h, c.want, c.daysLeft)
			}
			if h.WantsCert != (c.conf.ClientAuth != 0) {
				t.Errorf("wants certificate: %v", h.WantsCert)
			}
			if h.OldVersion != (c.conf.MaxVersion == tls.VersionTLS10) {
				t.Errorf("old version: %v", h.OldVersion)
			}
			if n := sent(); n != 0 {
				t.Errorf("%d bytes of application data were sent", n)
			}
		})
	}
}

// Of a chain that does not hold it is said which certificate is at fault, and one that holds is not harmed by another.
func TestWhichCertificate(t *testing.T) {
	good := newAuthority(t, "good")
	sign := func(from, until int) *x509.Certificate { // the same authority, at another time
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "good"}, IsCA: true,
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: labTime.AddDate(0, 0, from),
			NotAfter: labTime.AddDate(0, 0, until)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &good.Key.PublicKey, good.Key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	leaf := func(from, until int) *x509.Certificate {
		c, err := x509.ParseCertificate(good.issue(t, from, until).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old, young := sign(-1000, -5), sign(-100, 1000)
	for _, c := range []struct {
		name  string
		sent  []*x509.Certificate
		roots *Roots
		want  Outcome
		which string
		days  int
	}{
		{"old root in the store beside a good leaf", []*x509.Certificate{leaf(-50, 100)}, NewRoots(old), Expired, Root, -5},
		{"old and new root in the store", []*x509.Certificate{leaf(-50, 100)}, NewRoots(old, young), OK, Leaf, 100},
		{"root that ends before the leaf", []*x509.Certificate{leaf(-50, 2000)}, NewRoots(young), OK, Root, 1000},
		{"old leaf", []*x509.Certificate{leaf(-50, -1)}, NewRoots(young), Expired, Leaf, -1},
		{"old root sent beside a good one in the store", []*x509.Certificate{leaf(-50, 100), old}, NewRoots(young), OK, Leaf, 100},
		{"leaf of after the root's end", []*x509.Certificate{leaf(-2, 100)}, NewRoots(old), Expired, Root, -5},
	} {
		o, v := judge(c.sent, Trust{"pos.example", c.roots, labTime})
		if o != c.want || v.Which != c.which || v.DaysLeft != c.days {
			t.Errorf("%s: %s %+v, want %s of the %s with %d days", c.name, o, v, c.want, c.which, c.days)
		}
	}
}

func TestBrokenHandshakes(t *testing.T) {
	serve := func(f func(net.Conn)) Way {
		return way(housetest.Serve(t, f))
	}
	read := func(c net.Conn) { _, _ = c.Read(make([]byte, 2048)) }
	for _, c := range []struct {
		name  string
		w     Way
		want  Outcome
		reset bool
	}{
		{"silent", serve(hold(nil)), Timeout, false},
		{"plain text", serve(func(c net.Conn) { read(c); _, _ = c.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\n")); hold(nil)(c) }), Protocol, false},
		{"hangs up", serve(read), Protocol, true},
		{"resets", serve(func(c net.Conn) { read(c); _ = c.(*net.TCPConn).SetLinger(0) }), Protocol, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := TryTLS(context.Background(), c.w, Trust{Name: "pos.example", Now: labTime}, Form{}, anyNumber)
			if h.Outcome != OK || h.TLS != c.want || h.Reset != c.reset {
				t.Errorf("got %+v, want %s", h, c.want)
			}
		})
	}
}

func TestLoadRoots(t *testing.T) {
	dir := t.TempDir()
	good := newAuthority(t, "good")
	path := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if pool, err := LoadRoots(path); err != nil || !pool.pool.Equal(good.pool.pool) {
		t.Errorf("%v", err)
	}
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{empty, filepath.Join(dir, "none.pem"), dir, "/dev/zero"} {
		if _, err := LoadRoots(p); err == nil {
			t.Errorf("%s: no error", p)
		}
	}
}

func TestPortal(t *testing.T) {
	for _, c := range []struct {
		answer string
		want   Portal
	}{
		{"HTTP/1.1 204 No Content\r\n\r\n", PortalNone},
		{"HTTP/1.0 302 Found\r\nLocation: http://login.example/\r\n\r\n", PortalFound},
		{"HTTP/1.1 200 OK\r\n\r\n<html>", PortalFound},
		{"SSH-2.0-x\r\n", PortalFound},
		{"", PortalUnknown},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = conn.Write([]byte(c.answer))
			conn.Close()
		}()
		if got, n := AskPortal(t.Context(), way(l.Addr().String()), "fleet.example", "/204"); got != c.want || n == 0 {
			t.Errorf("%q: %s %d, want %s", c.answer, got, n, c.want)
		}
		l.Close()
	}
	if got, n := AskPortal(t.Context(), way("127.0.0.1:9"), "a\r\nb", "/"); got != PortalUnknown || n != 0 {
		t.Errorf("a host with line ends: %s", got)
	}
}
