package network

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Roots are the certificates that a chain may lead to.
type Roots struct {
	pool *x509.CertPool
	list []*x509.Certificate
}

// NewRoots returns the roots in list.
func NewRoots(list ...*x509.Certificate) *Roots {
	r := &Roots{x509.NewCertPool(), list}
	for _, c := range list {
		r.pool.AddCert(c)
	}
	return r
}

// LoadRoots reads a PEM file of root certificates. A file without any is an error, since no server could be trusted
// with it.
func LoadRoots(path string) (*Roots, error) {
	b, err := readPath(path)
	if err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	list := parseCertificates(b)
	if len(list) == 0 {
		return nil, fmt.Errorf("read roots %s: no certificate in it", path)
	}
	return NewRoots(list...), nil
}

// parseCertificates leaves out what is none, or of a kind that cannot be read here.
func parseCertificates(b []byte) []*x509.Certificate {
	var list []*x509.Certificate
	for len(b) > 0 {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			list = append(list, c)
		}
	}
	return list
}

// Places of a certificate in its chain.
const (
	Leaf         = "leaf"         // the host's own
	Intermediate = "intermediate" // of an authority, sent by the host
	Root         = "root"         // in the terminal's own store
)

// A Chain is what is known of the certificates that a server sent.
type Chain struct {
	Known    bool   // it showed one
	DaysLeft int    // of the certificate that ends first; negative if it is over
	Which    string // Leaf, Intermediate or Root: the one that ends first, or whose dates do not hold
	CNOnly   bool   // the name stands in the subject alone, which TLS libraries of the last ten years need not accept
	SHA1     bool   // a signature below the root is SHA-1

	Issuer [sha256.Size]byte // tells who signed the host's own certificate from who else might
}

// maxChain bounds the search for a chain, as deep as OpenSSL's usual limit is far beyond any that is in use.
const maxChain = 6

// judge names what is wrong with a chain, the worst first. If it leads to no root that is known, its dates and names
// prove nothing; if the dates do not hold, the clock of the terminal may be wrong. What OpenSSL and mbed TLS accept is
// accepted: a name in the subject alone, SHA-1, any use of the key. Of several chains the one that is right, or stays
// right longest, counts, so that an expired root does no harm beside a valid one.
func judge(sent []*x509.Certificate, t Trust) (Outcome, Chain) {
	if len(sent) == 0 {
		return Protocol, Chain{}
	}
	leaf := sent[0]
	chains, err := chainsOf(sent, t.Roots)
	v := Chain{Known: true, Issuer: sha256.Sum256(append(slices.Clone(leaf.RawIssuer), leaf.AuthorityKeyId...))}
	var unhandled x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &unhandled), len(chains) == 0 && slices.ContainsFunc(sent, strange):
		v.DaysLeft, v.Which = daysLeft(leaf, t.Now), Leaf
		return Unsupported, v
	case len(chains) == 0:
		v.DaysLeft, v.Which = daysLeft(leaf, t.Now), Leaf
		for _, c := range sent[1:] {
			if d := daysLeft(c, t.Now); d < v.DaysLeft && !selfSigned(c) {
				v.DaysLeft, v.Which = d, Intermediate
			}
		}
		return UnknownCA, v
	}
	best := Outcome("")
	for _, chain := range chains {
		outcome, days, which := dates(chain, t.Now)
		if best == "" || outcome == OK && best != OK || (outcome == OK) == (best == OK) && days > v.DaysLeft {
			best, v.DaysLeft, v.Which = outcome, days, which
			v.SHA1 = slices.ContainsFunc(chain[:max(len(chain)-1, 1)], func(c *x509.Certificate) bool {
				return c.SignatureAlgorithm == x509.SHA1WithRSA || c.SignatureAlgorithm == x509.ECDSAWithSHA1
			})
		}
	}
	if best != OK || t.Name == "" {
		return best, v
	}
	if leaf.VerifyHostname(t.Name) != nil {
		if len(leaf.DNSNames) > 0 || len(leaf.IPAddresses) > 0 {
			return NameMismatch, v
		}
		byCN := x509.Certificate{DNSNames: []string{leaf.Subject.CommonName}} // RFC 6125, 6.4.4: where nothing else stands
		if byCN.VerifyHostname(t.Name) != nil && leaf.Subject.CommonName != t.Name {
			return NameMismatch, v
		}
		v.CNOnly = true
	}
	return OK, v
}

// strange tells a certificate whose key or signature is of a kind that cannot be checked here, as RSA-PSS of another
// salt.
func strange(c *x509.Certificate) bool {
	return c.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm || c.SignatureAlgorithm == x509.UnknownSignatureAlgorithm
}

// dates says how a chain stands at a moment: the certificate at fault, or the one that ends first.
func dates(chain []*x509.Certificate, now time.Time) (o Outcome, days int, which string) {
	o, days = OK, 1<<30
	for i, c := range chain {
		place := Intermediate
		switch i {
		case 0:
			place = Leaf
		case len(chain) - 1:
			place = Root
		}
		if now.Before(c.NotBefore) && o == OK {
			o, which = NotYetValid, place
		}
		if d := daysLeft(c, now); d < days {
			days = d
			if o != NotYetValid {
				which = place
			}
		}
		if now.After(c.NotAfter) && o == OK {
			o = Expired
		}
	}
	return o, days, which
}

// daysLeft of a certificate is negative from the moment on at which it is over.
func daysLeft(c *x509.Certificate, now time.Time) int {
	days := int(c.NotAfter.Sub(now).Hours() / 24)
	if c.NotAfter.Before(now) {
		days = min(days, -1)
	}
	return days
}

// chainsOf finds the chains from the first certificate to a root that are valid at some moment, since dates are judged
// later. err is why there is none.
func chainsOf(sent []*x509.Certificate, roots *Roots) (chains [][]*x509.Certificate, err error) {
	leaf := sent[0]
	between := x509.NewCertPool()
	moments := []time.Time{leaf.NotAfter.Add(-time.Second), leaf.NotBefore.Add(time.Second)}
	for _, c := range sent[1:] {
		between.AddCert(c)
		if len(moments) < 2*maxChain {
			moments = append(moments, c.NotAfter.Add(-time.Second), c.NotBefore.Add(time.Second))
		}
	}
	opts := x509.VerifyOptions{Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if roots != nil {
		opts.Roots = roots.pool
	}
	for _, at := range moments {
		opts.CurrentTime = at
		found, failed := leaf.Verify(opts)
		if failed != nil {
			err = failed
			continue
		}
		for _, c := range found {
			if !slices.ContainsFunc(chains, func(o []*x509.Certificate) bool { return slices.EqualFunc(o, c, same) }) {
				chains = append(chains, c)
			}
		}
	}
	if len(chains) == 0 && roots != nil { // SHA-1, which the library has forgotten, or dates that never met
		chains = walk([]*x509.Certificate{leaf}, sent[1:], roots.list)
	}
	return chains, err
}

// walk follows signatures from a certificate to a root.
func walk(chain, sent, roots []*x509.Certificate) (found [][]*x509.Certificate) {
	last := chain[len(chain)-1]
	for _, r := range roots {
		if same(last, r) {
			return [][]*x509.Certificate{chain}
		}
		if signedBy(last, r) {
			found = append(found, append(slices.Clone(chain), r))
		}
	}
	if len(chain) >= maxChain || len(found) > 0 {
		return found
	}
	for _, c := range sent {
		if !slices.ContainsFunc(chain, func(o *x509.Certificate) bool { return same(o, c) }) && signedBy(last, c) {
			found = append(found, walk(append(slices.Clone(chain), c), sent, roots)...)
		}
	}
	return found
}

func same(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// signedBy tells whether an authority has signed a certificate, with SHA-1 too.
func signedBy(c, by *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, by.RawSubject) || by.BasicConstraintsValid && !by.IsCA {
		return false
	}
	err := by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var weak x509.InsecureAlgorithmError
	if err == nil || !errors.As(err, &weak) {
		return err == nil
	}
	sum := sha1.Sum(c.RawTBSCertificate)
	switch key := by.PublicKey.(type) {
	case *rsa.PublicKey:
		return c.SignatureAlgorithm == x509.SHA1WithRSA && rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], c.Signature) == nil
	case *ecdsa.PublicKey:
		return c.SignatureAlgorithm == x509.ECDSAWithSHA1 && ecdsa.VerifyASN1(key, sum[:], c.Signature)
	}
	return false
}
