// Package enroll is how a terminal gets its client certificate from the fleet and renews it: the messages, and the
// state on the terminal's side. The fleet's side imports it.
//
// A terminal keeps key and certificate in one file, so that the pair is replaced as one. A renewed pair lies beside it,
// in FILE.next, until a broker has accepted it; then it takes the place of the old one. Until then the old one can
// still be used. When a renewal is due the fleet decides, by its clock: the terminal's may be wrong by decades. A
// request is signed with the key that is to be replaced, so it may cross a proxy that ends TLS.
package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// A Request asks for a certificate: with a token for the first one, else with the present certificate and a signature.
type Request struct {
	Token       string `json:"token,omitempty"`
	CSR         []byte `json:"csr"`                   // DER
	Certificate []byte `json:"certificate,omitempty"` // DER
	Signature   []byte `json:"signature,omitempty"`   // by its key, over the request; see digest
}

// An Answer is the fleet's answer: a certificate, or that none is due, or why there is none.
type Answer struct {
	Chain       string `json:"chain,omitempty"`       // PEM; the terminal's own first
	Authorities string `json:"authorities,omitempty"` // PEM; all that issue for this fleet
	NotDue      bool   `json:"not_due,omitempty"`
	Error       string `json:"error,omitempty"`
}

const (
	// AskEvery is how often a terminal asks whether a renewal is due.
	AskEvery = 24 * time.Hour
	// MaxMessage bounds a request and an answer.
	MaxMessage = 64 << 10
)

// digest is what a renewal's signature is over.
func digest(csr []byte) []byte {
	h := sha256.New()
	h.Write([]byte("posdx renewal 1\n"))
	h.Write(csr)
	return h.Sum(nil)
}

// Check tells whether a renewal is signed with the key of the certificate that it shows.
func (r Request) Check(c *x509.Certificate) error {
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return errors.New("renewal: the certificate's key is not ECDSA")
	}
	if !ecdsa.VerifyASN1(key, digest(r.CSR), r.Signature) {
		return errors.New("renewal: not signed with the certificate's key")
	}
	return nil
}

// New makes a key and a request for its certificate. name is the terminal's; the fleet decides what stands in the
// certificate.
func New(name string) (*ecdsa.PrivateKey, Request, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, Request{}, fmt.Errorf("make key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(
		rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: name}},
		key,
	)
	if err != nil {
		return nil, Request{}, fmt.Errorf("make request: %w", err)
	}
	return key, Request{CSR: csr}, nil
}

// Renewal makes a key and a request that is signed with the present pair.
func Renewal(present []byte) (*ecdsa.PrivateKey, Request, error) {
	pair, err := tls.X509KeyPair(present, present)
	if err != nil {
		return nil, Request{}, fmt.Errorf("read present pair: %w", err)
	}
	signer, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, Request{}, errors.New("read present pair: its key is not ECDSA; enroll anew")
	}
	key, r, err := New(pair.Leaf.Subject.CommonName)
	if err != nil {
		return nil, Request{}, err
	}
	r.Certificate = pair.Certificate[0]
	r.Signature, err = signer.Sign(rand.Reader, digest(r.CSR), crypto.SHA256)
	return key, r, err
}

// Pair is the file of a key and the chain that came for it. It refuses a chain that is not for the key.
func Pair(key *ecdsa.PrivateKey, chain string) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("keep key: %w", err)
	}
	file := append(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), chain...)
	if _, err := tls.X509KeyPair(file, file); err != nil {
		return nil, fmt.Errorf("the certificate that came: %w", err)
	}
	return file, nil
}
