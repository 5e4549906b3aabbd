package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"posdx/agent/report"
)

// certUntil makes a certificate that ends after so long, in DER.
func certUntil(t *testing.T, now time.Time, left time.Duration) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pos.example"},
		NotBefore: now.Add(-1000 * day), NotAfter: now.Add(left)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestRadarOfCertificates: what ends anywhere on the terminal is said before it does, by file.
func TestRadarOfCertificates(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	write := func(b ...[]byte) string {
		p := filepath.Join(t.TempDir(), "x.pem")
		var all []byte
		for _, part := range b {
			all = append(all, part...)
		}
		if err := os.WriteFile(p, all, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	c := func(left time.Duration) []byte { return pemOf("CERTIFICATE", certUntil(t, now, left)) }
	key := pemOf("EC PRIVATE KEY", []byte("no key of anybody"))
	folder := t.TempDir()
	for name, b := range map[string][]byte{"client.pem": c(40 * day), "client.key": key, "old.crt": c(12*day + time.Hour), "note.txt": []byte("hello")} {
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var store [][]byte
	for i := range fewRoots + 1 {
		store = append(store, c(time.Duration(i-4)*300*day))
	}
	for name, w := range map[string]struct {
		file   CertificateFile
		status report.Status
		level  string
		days   float64
		known  bool
	}{
		"far":                         {CertificateFile{"x", write(c(400 * day)), UseOwn}, report.OK, "good", 400, true},
		"90 days":                     {CertificateFile{"x", write(c(80 * day)), UseOwn}, report.OK, "fair", 80, true},
		"30 days":                     {CertificateFile{"x", write(c(20 * day)), UseOwn}, report.OK, "poor", 20, true},
		"7 days":                      {CertificateFile{"x", write(c(3*day + time.Minute)), UseOwn}, report.OK, "poor", 3, true},
		"over":                        {CertificateFile{"x", write(c(-time.Hour)), UseOwn}, report.Bad, "bad", -1, true},
		"behind its key":              {CertificateFile{"x", write(key, c(-5*day)), UseOwn}, report.Bad, "bad", -5, true},
		"an intermediate is over":     {CertificateFile{"x", write(c(400*day), c(-2*day)), UseOwn}, report.Bad, "bad", -2, true},
		"DER":                         {CertificateFile{"x", write(certUntil(t, now, 20*day)), UseOwn}, report.OK, "poor", 20, true},
		"a folder":                    {CertificateFile{"x", folder, UseOwn}, report.OK, "poor", 12, true},
		"a root is over":              {CertificateFile{"x", write(c(400*day), c(-2*day)), UseTrust}, report.OK, "poor", -2, true},
		"a system's store has such":   {CertificateFile{"x", write(store...), UseTrust}, report.OK, "good", 0, false},
		"no certificate":              {CertificateFile{"x", write([]byte("hello")), UseOwn}, report.CannotTell, "", 0, false},
		"a key alone":                 {CertificateFile{"x", write(key), UseOwn}, report.CannotTell, "", 0, false},
		"empty":                       {CertificateFile{"x", write(), UseOwn}, report.CannotTell, "", 0, false},
		"a damaged block before it":   {CertificateFile{"x", write(pemOf("CERTIFICATE", []byte{0x30, 3, 1, 1, 1}), c(20*day)), UseOwn}, report.OK, "poor", 20, true},
		"not there":                   {CertificateFile{"x", "/nonexistent/client.pem", UseOwn}, report.CannotTell, "", 0, false},
		"a device is none":            {CertificateFile{"x", "/dev/zero", UseOwn}, report.CannotTell, "", 0, false},
		"OpenSSL's trusted form":      {CertificateFile{"x", write(pemOf("X509 CERTIFICATE", certUntil(t, now, 20*day))), UseTrust}, report.OK, "poor", 20, true},
		"DOS line ends and a comment": {CertificateFile{"x", write([]byte("subject=/CN=x\r\n"), c(20*day)), UseOwn}, report.OK, "poor", 20, true},
	} {
		e := lookAtCertificates(w.file, now)
		days, known := e.Facts.Num("days_left")
		level, _ := e.Facts.Str("level")
		if e.Status != w.status || level != w.level || days != w.days || known != w.known {
			t.Errorf("%s: %s %v, want %s %s %v", name, e.Status, e.Facts, w.status, w.level, w.days)
		}
	}
	list := Certificates([]CertificateFile{{"a", "/a", UseOwn}, {"b", "/b", UseTrust}, {"c", "/a", UseFleet}}, nil)
	if len(list) != 2 || list[0].Subject != "a" || list[1].Subject != "b" {
		t.Errorf("%d probes, want one a file", len(list))
	}
	if e := Certificates(nil, nil)[0].Run(t.Context())[0]; e.Status != report.NotRun || e.Facts["reason"] != report.ReasonAbsent {
		t.Errorf("no file is configured: %+v", e)
	}
}
