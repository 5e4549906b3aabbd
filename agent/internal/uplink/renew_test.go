package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/enroll"
)

// A fleetDesk renews certificates, and a broker behind it lets in whose certificate is of an authority that it knows.
type fleetDesk struct {
	*pki   // of the fleet's own servers
	client *pki
	newer  *pki // the authority that issues now
	due    bool
	asked  chan bool
}

func (f *fleetDesk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() { f.asked <- true }()
	b, _ := io.ReadAll(r.Body)
	var q enroll.Request
	say := func(a enroll.Answer) { json.NewEncoder(w).Encode(a) }
	if err := json.Unmarshal(b, &q); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c, err := x509.ParseCertificate(q.Certificate)
	switch {
	case r.URL.Path != "/renew" || err != nil || q.Check(c) != nil:
		w.WriteHeader(http.StatusForbidden)
		say(enroll.Answer{Error: "no"})
		return
	case !f.due:
		say(enroll.Answer{NotDue: true})
		return
	}
	csr, err := x509.ParseCertificateRequest(q.CSR)
	if err != nil {
		say(enroll.Answer{Error: err.Error()})
		return
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: c.Subject.CommonName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, f.newer.Cert, csr.PublicKey, f.newer.Key)
	if err != nil {
		say(enroll.Answer{Error: err.Error()})
		return
	}
	say(enroll.Answer{Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))})
}

// mqttOnce is a broker behind TLS that answers CONNECT, and says by whose authority each client came in.
func mqttOnce(t *testing.T, p *pki, trusts func() *x509.CertPool) (address string, in chan string) {
	t.Helper()
	cert, key := p.issue("broker", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "127.0.0.1")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen(
		"tcp",
		"127.0.0.1:0",
		&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{
				Certificates: []tls.Certificate{pair},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    trusts(),
			}, nil
		}},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	in = make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if c.(*tls.Conn).Handshake() != nil {
					return
				}
				if _, err := mqtt.ReadPacket(c); err != nil {
					return
				}
				ack := mqtt.NewControlPacket(mqtt.Connack)
				if ack.Write(c) == nil {
					in <- c.(*tls.Conn).ConnectionState().PeerCertificates[0].Issuer.CommonName
				}
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return "ssl://" + l.Addr().String(), in
}

// A renewed certificate is tried at once and takes the place of the old one when it worked; while a broker does not
// know its authority yet the terminal comes in with the old one; a damaged file keeps nobody out.
func TestCertificatesRenewThemselves(t *testing.T) {
	f := &fleetDesk{pki: newPKI(t), client: newPKI(t), newer: newPKI(t), asked: make(chan bool, 100)}
	server := httptest.NewUnstartedServer(f)
	cert, key := f.issue("fleet", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "127.0.0.1")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	defer server.Close()

	knowsNewer := false
	broker, in := mqttOnce(t, f.pki, func() *x509.CertPool {
		p := x509.NewCertPool()
		p.AddCert(f.client.Cert)
		if knowsNewer {
			p.AddCert(f.newer.Cert)
		}
		return p
	})
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := f.write("pair.pem", first(t, f.client, k), 0o600)
	cfg := Config{
		Brokers:  []string{broker},
		Address:  at,
		BootID:   "b",
		CAFile:   f.write("ca.pem", f.pem, 0o644),
		CertFile: file,
		KeyFile:  file,
		RenewURL: server.URL,
	}
	u, err := New(cfg, newBox(t), Handlers{})
	if err != nil {
		t.Fatal(err)
	}
	session := func() error {
		s := &session{u: u, broker: broker, lost: make(chan error, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := s.connect(ctx)
		if err == nil {
			s.client.Disconnect(0)
		}
		return err
	}
	came := func(want string) {
		t.Helper()
		if got := <-in; got != want {
			t.Errorf("in by %s, want %s", got, want)
		}
	}
	if err := session(); err != nil {
		t.Fatal(err)
	}
	came("test CA")
	if got, err := u.renew(t.Context()); got || err != nil {
		t.Error("before it is due:", got, err)
	}
	f.due = true
	if got, err := u.renew(t.Context()); !got || err != nil {
		t.Fatal(got, err)
	}
	old := read(t, file)
	// The broker does not know the new authority yet: every other try is with the old pair.
	if err := session(); err == nil {
		t.Error("let in by an authority that is not known")
	}
	if err := session(); err != nil {
		t.Error("the old pair is gone:", err)
	}
	came("test CA")
	if string(read(t, file)) != string(old) {
		t.Error("the old pair was replaced before the new one worked")
	}
	knowsNewer = true
	if err := session(); err != nil {
		t.Fatal(err)
	}
	came("test CA")
	if string(read(t, file)) == string(old) {
		t.Error("the new pair worked and did not take its place")
	}
	if _, err := os.Stat(file + ".next"); err == nil {
		t.Error("the new pair still waits")
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
	if err := os.WriteFile(file+".next", []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := session(); err != nil {
		t.Error("a damaged file keeps the terminal out:", err)
	}
	for name, bad := range map[string]Config{
		"two files": {CertFile: file, KeyFile: file + "x", RenewURL: server.URL},
		"no files":  {RenewURL: server.URL},
		"no https":  {CertFile: file, KeyFile: file, RenewURL: "http://x"},
	} {
		bad.Brokers, bad.Address = cfg.Brokers, at
		if _, err := New(bad, newBox(t), Handlers{}); err == nil {
			t.Error(name)
		}
	}
}

// first is a terminal's first pair.
func first(t *testing.T, p *pki, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: at.Terminal},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, p.Cert, k.Public(), p.Key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := enroll.Pair(k, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
