package probe

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

const (
	certificatesEvery = 6 * time.Hour // days are what counts
	certificatesLimit = 3 * time.Second
	// maxCertFile bounds a file of certificates; a whole system's store takes a quarter of it.
	maxCertFile = 1 << 20
	// maxCertFiles bounds what a folder may hold.
	maxCertFiles = 64
	// fewRoots is how many roots a store may hold of which each may matter. In a system's store some are always over, and
	// none of them need be on the way to the host; what is shows in its own check.
	fewRoots = 8
)

// A CertificateFile is a file, or a folder of files, in which certificates lie.
type CertificateFile struct {
	Name string // by which documents call it: its key in the configuration; where a secret lies nobody is told
	Path string
	Use  string // UseOwn, UseTrust, UseFleet
}

// What a certificate is for.
const (
	UseOwn   = "own"   // the terminal's own, which it shows to hosts
	UseTrust = "trust" // a root by which it knows a host
	UseFleet = "fleet" // either of these, on the way to the fleet: no payment needs it
)

// Certificates returns the probes of board.certificates: when do the certificates on this terminal end? Nothing is
// sent.
func Certificates(files []CertificateFile, now func() time.Time) []Probe {
	if now == nil {
		now = time.Now
	}
	if len(files) == 0 {
		return []Probe{Absent("files", evidence.BoardCertificates)}
	}
	var list []Probe
	for i, f := range files {
		if slices.IndexFunc(files, func(o CertificateFile) bool { return o.Path == f.Path }) < i {
			continue // one bundle for several hosts
		}
		list = append(list, Probe{Checks: []evidence.Check{evidence.BoardCertificates}, Subject: f.Name,
			Device: "certificates " + f.Name, Depth: report.Internal,
			Timeout: certificatesLimit, Fresh: certificatesEvery, Every: certificatesEvery, Idle: true,
			Run: func(context.Context) []report.Evidence { return one(lookAtCertificates(f, now())) }})
	}
	return list
}

func lookAtCertificates(f CertificateFile, now time.Time) report.Evidence {
	paths, err := certificateFiles(f.Path)
	if err != nil {
		return evidence.CannotTell(evidence.BoardCertificates, f.Name, reasonFor(err))
	}
	var first *x509.Certificate
	found, unreadable := 0, 0
	var last error
	for _, p := range paths {
		certs, err := readCertificates(p)
		if err != nil {
			unreadable++
			last = err
			continue
		}
		found += len(certs)
		if f.Use != UseOwn && len(certs) > fewRoots {
			continue
		}
		if f.Use == UseOwn { // a chain may stand with it: the terminal's own comes first, and each link of it must hold
			certs = certs[:min(len(certs), 4)]
		}
		for _, c := range certs {
			if first == nil || c.NotAfter.Before(first.NotAfter) {
				first = c
			}
		}
	}
	facts := []evidence.Value{count(evidence.Certificates, found)}
	if unreadable > 0 {
		facts = append(facts, count(evidence.Unreadable, unreadable))
	}
	facts = append(facts, evidence.Purpose.Is(f.Use))
	if found == 0 {
		return evidence.CannotTell(evidence.BoardCertificates, f.Name, reasonFor(last), facts...)
	}
	if first != nil {
		facts = append(facts, evidence.DaysLeft.Is(math.Floor(first.NotAfter.Sub(now).Hours()/24)), evidence.Name.Is(f.Name))
	}
	return evidence.New(evidence.BoardCertificates, f.Name, facts...)
}

// certificateFiles is the file itself, or the files of a folder.
func certificateFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return []string{path}, err
	}
	if !info.IsDir() {
		return nil, errNoCertificate
	}
	dir, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, d := range dir {
		if p := filepath.Join(path, d.Name()); len(list) < maxCertFiles {
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
				list = append(list, p)
			}
		}
	}
	return list, nil
}

var errNoCertificate = errors.New("no certificate in it")

// readCertificates reads PEM, in which keys and other things may stand as well, or DER. Of a key nothing is kept.
func readCertificates(path string) (list []*x509.Certificate, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCertFile+1))
	defer clear(b)
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxCertFile:
		return nil, errNoCertificate
	case !bytes.Contains(b, []byte("-----BEGIN ")):
		list, err = x509.ParseCertificates(b)
		return list, errors.Join(err, none(list))
	}
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list, none(list)
		}
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			clear(block.Bytes)
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, c)
		}
	}
}

func none(list []*x509.Certificate) error {
	if len(list) == 0 {
		return errNoCertificate
	}
	return nil
}
