package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/miekg/dns"

	"posdx/drivers/ecr"
	"posdx/firmware-build/lab/world"
)

// Names and ports of the places outside.
const (
	hostName   = "pos.acquirer.example"
	walletName = "wallet.example"
	brokerName = "fleet.example"
	hostPort   = 5000
	walletPort = 7000
	brokerPort = 1883
)

// outdoors is what lies beyond the router: the acquirer's host, a wallet gateway, a resolver, and the fleet's broker.
type outdoors struct {
	host  *world.Host
	plain bool // the host takes connections without TLS
	dir   string

	mu       sync.Mutex
	cert     tls.Certificate
	answers  map[string]string // of the resolver
	resolver []*dns.Server
	stopHost context.CancelFunc
	ended    chan struct{} // when the host's listener has closed

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
}

func newOutdoors(ctx context.Context, dir string, plain bool) (*outdoors, error) {
	o := &outdoors{host: world.NewHost(ecr.UnionPay(), ecr.Binary2), plain: plain, dir: dir, answers: map[string]string{
		hostName: world.HostIP, walletName: world.WalletIP, brokerName: world.BrokerIP,
	}}
	if err := o.makeCA(); err != nil {
		return nil, err
	}
	now := time.Now()
	if err := o.Certify(hostName, now.Add(-24*time.Hour), now.Add(90*24*time.Hour)); err != nil {
		return nil, err
	}
	if err := o.OpenHost(ctx); err != nil {
		return nil, err
	}
	if err := o.StartResolver(); err != nil {
		return nil, err
	}
	wallet, err := net.Listen("tcp", fmt.Sprintf("%s:%d", world.WalletIP, walletPort))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { wallet.Close() })
	go serveWallet(wallet)
	broker, err := net.Listen("tcp", fmt.Sprintf("%s:%d", world.BrokerIP, brokerPort))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { broker.Close() })
	socket := filepath.Join(dir, "sock", brokerSocket)
	go relay(broker, func() (net.Conn, error) { return net.Dial("unix", socket) })
	return o, nil
}

// caFile is where the terminal finds the acquirer's certificate authority.
func (o *outdoors) caFile() string { return filepath.Join(o.dir, "terminal", "ca.pem") }

func (o *outdoors) makeCA() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Simulated acquirer CA"}, NotBefore: now.AddDate(-1, 0, 0),
		NotAfter: now.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make CA: %w", err)
	}
	if o.ca, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("make CA: %w", err)
	}
	o.caKey = key
	return os.WriteFile(o.caFile(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// Certify gives the host a new certificate.
func (o *outdoors) Certify(name string, from, to time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(from.Unix()), Subject: pkix.Name{CommonName: name}, NotBefore: from,
		NotAfter: to,
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, o.ca, &key.PublicKey, o.caKey)
	if err != nil {
		return fmt.Errorf("certify %s: %w", name, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return nil
}

// OpenHost lets the acquirer's host take connections.
func (o *outdoors) OpenHost(ctx context.Context) error {
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", world.HostIP, hostPort))
	if err != nil {
		return err
	}
	if !o.plain {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				o.mu.Lock()
				defer o.mu.Unlock()
				cert := o.cert
				return &cert, nil
			}})
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	o.mu.Lock()
	o.stopHost, o.ended = cancel, ended
	o.mu.Unlock()
	go func() {
		defer close(ended)
		_ = o.host.Serve(ctx, l) // it ends when told to
	}()
	return nil
}

// CloseHost lets the host's machine refuse connections.
func (o *outdoors) CloseHost() {
	o.mu.Lock()
	stop, ended := o.stopHost, o.ended
	o.mu.Unlock()
	stop()
	<-ended
}

// StartResolver lets the resolver answer.
func (o *outdoors) StartResolver() error {
	mux := dns.NewServeMux()
	mux.HandleFunc(".", func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		if len(q.Question) == 1 {
			name := q.Question[0].Name
			ip, known := o.answers[name[:len(name)-1]]
			switch {
			case !known:
				a.Rcode = dns.RcodeNameError
			case q.Question[0].Qtype == dns.TypeA:
				a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
					A: net.ParseIP(ip)}}
			}
		}
		w.WriteMsg(a)
	})
	address := world.ResolverIP + ":53"
	packet, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	stream, err := net.Listen("tcp", address)
	if err != nil {
		packet.Close()
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resolver = []*dns.Server{{PacketConn: packet, Handler: mux}, {Listener: stream, Handler: mux}}
	for _, s := range o.resolver {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
	}
	return nil
}

// StopResolver stops the resolver: its machine then refuses packets to the port.
func (o *outdoors) StopResolver() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.resolver {
		s.Shutdown()
	}
	o.resolver = nil
}

// serveWallet answers every payment by QR code with a result that nobody knows: what the payer is doing on his own
// phone does not end in time.
func serveWallet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := bufio.NewReader(io.LimitReader(c, 256)).ReadString('\n'); err == nil {
				io.WriteString(c, "UNKNOWN\n")
			}
		}()
	}
}
