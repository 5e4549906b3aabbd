package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// A Trust is what a server's certificate is judged by.
type Trust struct {
	Name  string         // the name the certificate must carry: host name or IP address
	Roots *x509.CertPool // nil: those of the system
	Now   time.Time      // the moment at which it must be valid
}

// A Handshake is how a connect with a TLS handshake ended.
type Handshake struct {
	Connect
	TLS        Outcome // OK Expired NotYetValid NameMismatch UnknownCA Timeout Protocol Stopped; empty if not connected
	Took       time.Duration
	DaysLeft   int // of the certificate that ends first; negative if it is over
	DaysKnown  bool
	WantsCert  bool // the server asks for a certificate of ours, and was shown none
	Reset      bool // Protocol: the peer hung up
	OldVersion bool // below TLS 1.2
}

// errJudged ends a handshake whose certificate did not pass; the reason is kept beside it.
var errJudged = errors.New("certificate not accepted")

// TryTLS connects, does the handshake, and closes; no application byte is sent. The chain is always judged, by
// ourselves, so that the reason has a name; a chain that does not pass ends the handshake there. Old versions and
// ciphers are offered too: the question is what the payment application would meet, and nothing secret is sent.
func TryTLS(ctx context.Context, w Way, trust Trust) Handshake {
	conn, c := connect(ctx, w, connectWait)
	h := Handshake{Connect: c}
	if conn == nil {
		return h
	}
	defer conn.Close()
	try, cancel := context.WithTimeout(ctx, handshakeWait)
	defer cancel()
	h.Bytes += handshakeBytes
	judged := Outcome("")
	client := tls.Client(conn, &tls.Config{
		ServerName:         trust.Name,
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       everyCipher(),
		InsecureSkipVerify: true, // because VerifyConnection below judges every chain and names the reason
		VerifyConnection: func(s tls.ConnectionState) error {
			judged, h.DaysLeft = judge(s.PeerCertificates, trust)
			h.DaysKnown = len(s.PeerCertificates) > 0
			h.OldVersion = s.Version < tls.VersionTLS12
			if judged != OK {
				return errJudged
			}
			return nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.WantsCert = true
			return &tls.Certificate{}, nil
		},
	})
	start := time.Now()
	err := client.HandshakeContext(try)
	h.Took = time.Since(start)
	switch {
	case judged != "": // what the server thinks of us afterwards is not its certificate's fault
		h.TLS = judged
	case ctx.Err() != nil:
		h.TLS = Stopped
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), timedOut(err):
		h.TLS = Timeout
	default:
		h.TLS = Protocol
		h.Reset = errors.Is(err, io.EOF) || outcomeOf(ctx, err) == Reset
	}
	if h.TLS == OK {
		// TLS 1.3 tells of a missing client certificate only after the handshake; there is nothing to wait for here.
		_ = conn.SetDeadline(time.Now().Add(cancelCheck))
		_ = client.Close()
	}
	return h
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func everyCipher() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	for _, s := range tls.InsecureCipherSuites() {
		ids = append(ids, s.ID)
	}
	return ids
}

// judge names what is wrong with a chain, the worst first: a chain that leads to no root we know says nothing by its
// dates or names; a clock that is wrong shows in the dates.
func judge(chain []*x509.Certificate, t Trust) (o Outcome, daysLeft int) {
	if len(chain) == 0 {
		return Protocol, 0
	}
	leaf := chain[0]
	first := leaf.NotAfter
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
		if c.NotAfter.Before(first) && !selfSigned(c) {
			first = c.NotAfter
		}
	}
	daysLeft = int(first.Sub(t.Now).Hours() / 24)
	if first.Before(t.Now) {
		daysLeft = min(daysLeft, -1)
	}
	opts := x509.VerifyOptions{Roots: t.Roots, Intermediates: between, CurrentTime: t.Now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if _, err := leaf.Verify(opts); err != nil {
		// Does it lead to a root at some moment of its own life? If not, the dates are beside the point.
		trusted := false
		for _, at := range []time.Time{leaf.NotBefore.Add(time.Second), leaf.NotAfter.Add(-time.Second)} {
			opts.CurrentTime = at
			if _, err := leaf.Verify(opts); err == nil {
				trusted = true
			}
		}
		if !trusted {
			return UnknownCA, daysLeft
		}
		for _, c := range chain {
			if t.Now.Before(c.NotBefore) {
				return NotYetValid, daysLeft
			}
		}
		return Expired, daysLeft
	}
	if leaf.VerifyHostname(t.Name) != nil {
		return NameMismatch, daysLeft
	}
	return OK, daysLeft
}

func selfSigned(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

// LoadRoots reads a PEM file of root certificates. A file without any is an error: it would trust nobody.
func LoadRoots(path string) (*x509.CertPool, error) {
	b, err := readPath(path)
	if err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("read roots %s: no certificate in it", path)
	}
	return pool, nil
}
