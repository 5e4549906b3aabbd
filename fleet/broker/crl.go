package broker

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"sync"
	"time"
)

// revocations are the certificates that an authority has revoked (RFC 5280, section 5), as a file lists them. The file
// is read again when it has changed; if it cannot be read, or no authority has signed it, the list that was read before
// stays.
type revocations struct {
	file string
	ca   []*x509.Certificate
	log  *slog.Logger

	mu   sync.Mutex
	mod  time.Time
	size int64
	list []*x509.RevocationList
}

// newRevocations reads a file for the first time: an error then is one of the configuration.
func newRevocations(file string, ca []*x509.Certificate, log *slog.Logger) (*revocations, error) {
	r := &revocations{file: file, ca: ca, log: log}
	if err := r.read(); err != nil {
		return nil, err
	}
	return r, nil
}

// read takes the file in if it is another than before.
func (r *revocations) read() error {
	info, err := os.Stat(r.file)
	if err != nil {
		return fmt.Errorf("read revoked certificates: %w", err)
	}
	if info.ModTime().Equal(r.mod) && info.Size() == r.size {
		return nil
	}
	b, err := os.ReadFile(r.file)
	if err != nil {
		return fmt.Errorf("read revoked certificates: %w", err)
	}
	r.mod, r.size = info.ModTime(), info.Size() // a bad file is complained of once
	ders := [][]byte{b}                         // DER, if it is not PEM
	if block, rest := pem.Decode(b); block != nil {
		ders = ders[:0]
		for ; block != nil; block, rest = pem.Decode(rest) {
			ders = append(ders, block.Bytes)
		}
	}
	var list []*x509.RevocationList
	for _, der := range ders {
		l, err := x509.ParseRevocationList(der)
		if err == nil {
			err = r.signed(l)
		}
		if err != nil {
			return fmt.Errorf("read revoked certificates %s: %w", r.file, err)
		}
		list = append(list, l)
	}
	r.list = list
	return nil
}

func (r *revocations) signed(l *x509.RevocationList) error {
	for _, c := range r.ca {
		if l.CheckSignatureFrom(c) == nil {
			return nil
		}
	}
	return errors.New("none of the clients' authorities has signed it")
}

// revoked tells whether a certificate was taken back.
func (r *revocations) revoked(issuer []byte, number *big.Int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(); err != nil {
		r.log.Error("the list of before stays in force", "err", err)
	}
	for _, l := range r.list {
		if string(l.RawIssuer) != string(issuer) {
			continue
		}
		if !l.NextUpdate.IsZero() && time.Now().After(l.NextUpdate) {
			r.log.Warn("the list of revoked certificates is out of date", "file", r.file, "since", l.NextUpdate)
		}
		for _, e := range l.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(number) == 0 {
				return true
			}
		}
	}
	return false
}
