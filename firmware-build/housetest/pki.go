package housetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
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
)

// An Authority signs certificates. The zero value's certificates sign themselves.
type Authority struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// NewAuthority makes a root with this name, valid for ten years before and after now.
func NewAuthority(t testing.TB, name string) Authority {
	t.Helper()
	now := time.Now()
	return Authority{}.Sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-10, 0, 0),
		NotAfter: now.AddDate(10, 0, 0),
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign})
}

// Sign makes a key and a certificate for it as a template says; the number is a new one.
func (a Authority) Sign(t testing.TB, template *x509.Certificate) Authority {
	t.Helper()
	signed, err := a.TrySign(template)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TrySign is Sign for where there is no test at hand.
func (a Authority) TrySign(template *x509.Certificate) (Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, signer := a.Cert, a.Key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return Authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return Authority{cert, key}, err
}

// Issue makes a certificate for a name, and hosts, that client and server may use alike.
func (a Authority) Issue(t testing.TB, name string, from, to time.Time, hosts ...string) Authority {
	t.Helper()
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
			x509.ExtKeyUsageClientAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	return a.Sign(t, c)
}

// TLS is the certificate with its key, as a server or client presents it.
func (a Authority) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.Cert.Raw}, PrivateKey: a.Key}
}

// Pool trusts the certificate, and what it signed, alone.
func (a Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	return pool
}

// PEM is the certificate and, in PKCS #8, its key.
func (a Authority) PEM(t testing.TB) (cert, key []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Write writes NAME.pem and NAME.key into a folder and returns their paths.
func (a Authority) Write(t testing.TB, dir, name string) (cert, key string) {
	t.Helper()
	c, k := a.PEM(t)
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, b := range map[string][]byte{cert: c, key: k} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// Certificates writes ca.pem and, for each name, NAME.pem and NAME.key for loopback, and returns their folder.
func Certificates(t testing.TB, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ca := NewAuthority(t, "ca")
	ca.Write(t, dir, "ca")
	for _, n := range names {
		ca.Issue(t, n, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "127.0.0.1").Write(t, dir, n)
	}
	return dir
}

// Revoke is a list, in PEM, of the certificates that the authority has taken back, by their numbers (RFC 5280, section
// 5).
func (a Authority) Revoke(t testing.TB, numbers ...*big.Int) []byte {
	t.Helper()
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-time.Minute),
		NextUpdate: now.Add(24 * time.Hour)}
	for _, n := range numbers {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: n, RevocationTime: now.Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Cert, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}
