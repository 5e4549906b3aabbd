package uplink

import (
	"crypto/tls"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"posdx/firmware-build/housetest"
)

// A pki makes certificates for the tests.
type pki struct {
	housetest.Authority
	t   *testing.T
	dir string
	pem []byte

	revoked []*big.Int // numbers of certificates
}

func newPKI(t *testing.T) *pki {
	p := &pki{Authority: housetest.NewAuthority(t, "test CA"), t: t, dir: t.TempDir()}
	p.pem, _ = p.PEM(t)
	return p
}

// issue returns certificate and key in PEM, for client and server use alike.
func (p *pki) issue(cn string, from, to time.Time, hosts ...string) (cert, key []byte) {
	return p.Issue(p.t, cn, from, to, hosts...).PEM(p.t)
}

func (p *pki) write(name string, b []byte, mode os.FileMode) string {
	file := filepath.Join(p.dir, name)
	os.Remove(file)
	if err := os.WriteFile(file, b, mode); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		p.t.Fatal(err)
	}
	return file
}

// files issues a certificate valid now and writes it.
func (p *pki) files(cn string, hosts ...string) (cert, key string) {
	c, k := p.issue(cn, time.Now().Add(-time.Hour), time.Now().Add(365*24*time.Hour), hosts...)
	return p.write(cn+".pem", c, 0o644), p.write(cn+".key", k, 0o600)
}

// config is a TLS configuration of the test's own clients.
func (p *pki) config(cn string) *tls.Config {
	own := p.Issue(p.t, cn, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	return &tls.Config{RootCAs: p.Pool(), Certificates: []tls.Certificate{own.TLS()}, ServerName: "127.0.0.1"}
}
