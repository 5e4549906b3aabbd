package enroll

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	terminal "posdx/agent/enroll"
	"posdx/agent/report"
	"posdx/fleet/durable"
	"posdx/fleet/store"
)

const (
	// TokenPrefix marks enrolment tokens, so that scanners for leaked secrets know them.
	TokenPrefix = "posdx_enroll_"
	// MaxTokenLife bounds an enrolment token.
	MaxTokenLife = 30 * 24 * time.Hour
	perDay       = 10 // certificates of one terminal
	crlLife      = 7 * 24 * time.Hour
	// Upkeep is how often authorities and revocation lists are looked after.
	Upkeep = time.Hour
)

// Errors that a terminal is told.
var (
	ErrToken   = errors.New("this enrolment token is not known, used up or expired; ask for a new one")
	ErrRequest = errors.New("the request is not one of posdx enroll")
	ErrForeign = errors.New("this certificate is not one of this fleet")
	ErrTooMany = errors.New("too many certificates for this terminal today; try again tomorrow")
)

// certificates is the part of the store that this needs.
type certificates interface {
	AddEnrollment(ctx context.Context, e store.Enrollment) error
	UseEnrollment(ctx context.Context, hash, key string, now time.Time) (store.Enrollment, error)
	AddCertificate(ctx context.Context, c store.Certificate) error
	Certificate(ctx context.Context, serial string) (store.Certificate, error)
	WorkedCertificate(ctx context.Context, serial string, at time.Time) error
	RevokeCertificates(ctx context.Context, at report.Address, reason string, now time.Time) (int64, error)
	Revoked(ctx context.Context, since time.Time) ([]store.Certificate, error)
	IssuedSince(ctx context.Context, at report.Address, since time.Time) (int, error)
	RevokeSerials(ctx context.Context, list []store.Certificate) (int, error)
}

// An Authority issues certificates. Its keys lie in its folder, mode 0600: NUMBER.key beside NUMBER.pem; bundle.pem and
// crl.pem are for brokers and are replaced as a whole.
type Authority struct {
	Store  certificates
	Dir    string
	Policy Policy
	Now    func() time.Time // nil: time.Now

	// Shut ends the sessions of terminals whose certificates were revoked, if the broker can do that; nil: it cannot.
	Shut func(terminals []string)

	mu      sync.RWMutex
	list    []generation    // oldest first; guarded by mu
	revoked map[string]bool // serials; guarded by mu
	crl     []byte          // PEM; guarded by mu
}

type generation struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (a *Authority) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// Open reads the authorities, makes one if none can issue certificates now, and writes the files that brokers need.
func (a *Authority) Open(ctx context.Context) error {
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return fmt.Errorf("open authority: %w", err)
	}
	return a.Upkeep(ctx)
}

// Upkeep reads again what another process may have made, makes a new authority when it is time, and renews the
// revocation lists. A process that leads calls it every Upkeep.
func (a *Authority) Upkeep(ctx context.Context) error {
	list, err := a.read()
	if err != nil {
		return err
	}
	now := a.now()
	if _, more := a.Policy.Authorities(lives(list), now); more {
		g, err := a.make(len(list)+1, now)
		if err != nil {
			return err
		}
		list = append(list, g)
	}
	rows, err := a.Store.Revoked(ctx, now.Add(-a.Policy.Leaf-a.Policy.Grace-a.Policy.Early))
	if err != nil {
		return err
	}
	revoked := map[string]bool{}
	for _, c := range rows {
		revoked[c.Serial] = true
	}
	crl, err := a.lists(list, rows, now)
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(a.Dir, "crl.pem"), crl); err != nil {
		return fmt.Errorf("keep revocation list: %w", err)
	}
	if err := durable.Replace(filepath.Join(a.Dir, "bundle.pem"), bundle(list, now)); err != nil {
		return fmt.Errorf("keep bundle: %w", err)
	}
	a.mu.Lock()
	var fresh []string
	for _, c := range rows {
		if !a.revoked[c.Serial] {
			fresh = append(fresh, c.At.Terminal)
		}
	}
	a.list, a.revoked, a.crl = list, revoked, crl
	a.mu.Unlock()
	if a.Shut != nil && len(fresh) > 0 {
		a.Shut(fresh)
	}
	return nil
}

func lives(list []generation) []Life {
	out := make([]Life, len(list))
	for i, g := range list {
		out[i] = Life{From: g.cert.NotBefore, To: g.cert.NotAfter}
	}
	return out
}

func (a *Authority) read() ([]generation, error) {
	files, err := filepath.Glob(filepath.Join(a.Dir, "[0-9]*.pem"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var list []generation
	for _, f := range files {
		g, err := readGeneration(f)
		if err != nil {
			return nil, fmt.Errorf("read authority %s: %w", f, err)
		}
		list = append(list, g)
	}
	return list, nil
}

func readGeneration(file string) (g generation, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return g, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return g, errors.New("no PEM in it")
	}
	if g.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return g, err
	}
	name := strings.TrimSuffix(file, ".pem") + ".key"
	info, err := os.Stat(name)
	if err != nil {
		return g, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return g, fmt.Errorf(
			"%s: mode %#o lets others read the key; chmod 0600 it, and think of who has read it",
			name,
			info.Mode().Perm(),
		)
	}
	if b, err = os.ReadFile(name); err != nil {
		return g, err
	}
	if block, _ = pem.Decode(b); block == nil {
		return g, fmt.Errorf("%s: no PEM in it", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return g, err
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok || !k.PublicKey.Equal(g.cert.PublicKey) {
		return g, fmt.Errorf("%s: not the key of the certificate", name)
	}
	g.key = k
	return g, nil
}

func (a *Authority) make(number int, now time.Time) (g generation, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return g, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: fmt.Sprintf("posdx terminals %d", number)},
		NotBefore: now.Add(-a.Policy.Early), NotAfter: now.Add(a.Policy.Authority),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return g, fmt.Errorf("make authority: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return g, fmt.Errorf("make authority: %w", err)
	}
	name := filepath.Join(a.Dir, fmt.Sprintf("%04d", number))
	// The key first: a certificate without one would be an error at the next start.
	if err := durable.Replace(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})); err != nil {
		return g, fmt.Errorf("keep authority: %w", err)
	}
	if err := durable.Replace(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return g, fmt.Errorf("keep authority: %w", err)
	}
	g.key = key
	g.cert, err = x509.ParseCertificate(der)
	return g, err
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[0] &= 0x7f
	b[0] |= 0x40 // always of one length
	return new(big.Int).SetBytes(b)
}

func hexSerial(n *big.Int) string { return fmt.Sprintf("%032x", n) }

// bundle are the authorities that are trusted now.
func bundle(list []generation, now time.Time) []byte {
	var b bytes.Buffer
	for _, g := range list {
		if now.Before(g.cert.NotAfter) {
			pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: g.cert.Raw})
		}
	}
	return b.Bytes()
}

// lists are the revocation lists of all authorities.
func (a *Authority) lists(list []generation, rows []store.Certificate, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	for _, g := range list {
		template := &x509.RevocationList{
			Number:     big.NewInt(now.UnixMilli()),
			ThisUpdate: now.Add(-a.Policy.Early),
			NextUpdate: now.Add(crlLife),
		}
		id := fingerprint(g.cert)
		for _, c := range rows {
			n, ok := new(big.Int).SetString(c.Serial, 16)
			if ok && c.Authority == id {
				template.RevokedCertificateEntries = append(
					template.RevokedCertificateEntries,
					x509.RevocationListEntry{SerialNumber: n, RevocationTime: c.Revoked},
				)
			}
		}
		der, err := x509.CreateRevocationList(rand.Reader, template, g.cert, g.key)
		if err != nil {
			return nil, fmt.Errorf("make revocation list: %w", err)
		}
		pem.Encode(&b, &pem.Block{Type: "X509 CRL", Bytes: der})
	}
	return b.Bytes(), nil
}

func fingerprint(c *x509.Certificate) string {
	h := sha256.Sum256(c.Raw)
	return hex.EncodeToString(h[:8])
}

// Pool are the authorities that brokers trust now.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(a.Bundle())
	return p
}

// Bundle is Pool in PEM.
func (a *Authority) Bundle() []byte {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return bundle(a.list, a.now())
}

// CRL are the revocation lists in PEM.
func (a *Authority) CRL() []byte {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.crl
}

// Revoked tells whether a certificate is revoked. One of another authority is not.
func (a *Authority) Revoked(c *x509.Certificate) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.revoked[hexSerial(c.SerialNumber)]
}

// MakeToken makes a token with which one terminal enrols, once.
func (a *Authority) MakeToken(ctx context.Context, at report.Address, life time.Duration, by string) (string, error) {
	if err := at.Check(); err != nil {
		return "", err
	}
	if life < time.Minute || life > MaxTokenLife {
		return "", fmt.Errorf("life of an enrolment token: want a minute to %d days", int(MaxTokenLife.Hours()/24))
	}
	token := TokenPrefix + rand.Text()
	now := a.now()
	return token, a.Store.AddEnrollment(
		ctx,
		store.Enrollment{Hash: sum(token), At: at, By: by, Created: now, Expires: now.Add(life)},
	)
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// parseCSR reads a request for a certificate and checks that its key, one of P-256, has signed it.
func parseCSR(der []byte) (*x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil {
		return nil, ErrRequest
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, ErrRequest
	}
	return csr, nil
}

// Enroll issues the first certificate for a token. The same request may be sent again while the token is valid, since
// its answer may have been lost; another key may not use the token.
func (a *Authority) Enroll(ctx context.Context, r terminal.Request) (terminal.Answer, report.Address, error) {
	csr, err := parseCSR(r.CSR)
	if err != nil {
		return terminal.Answer{}, report.Address{}, err
	}
	e, err := a.Store.UseEnrollment(ctx, sum(r.Token), sum(string(csr.RawSubjectPublicKeyInfo)), a.now())
	if errors.Is(err, store.ErrNone) {
		return terminal.Answer{}, report.Address{}, ErrToken
	}
	if err != nil {
		return terminal.Answer{}, report.Address{}, err
	}
	answer, err := a.issue(ctx, csr, e.At, "")
	return answer, e.At, err
}

// Renew issues the next certificate on a request that the present one has signed, when it is time. Such a request also
// proves that the present certificate is in use.
func (a *Authority) Renew(ctx context.Context, r terminal.Request) (terminal.Answer, report.Address, error) {
	none := report.Address{}
	c, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return terminal.Answer{}, none, ErrRequest
	}
	csr, err := parseCSR(r.CSR)
	if err != nil {
		return terminal.Answer{}, none, err
	}
	if err := r.Check(c); err != nil {
		return terminal.Answer{}, none, ErrRequest
	}
	if !a.issued(c) {
		return terminal.Answer{}, none, ErrForeign
	}
	row, err := a.Store.Certificate(ctx, hexSerial(c.SerialNumber))
	if errors.Is(err, store.ErrNone) { // a store that was taken back from a backup does not know what was issued since
		row = store.Certificate{Serial: hexSerial(c.SerialNumber), From: c.NotBefore, To: c.NotAfter}
		if row.At, err = addressOf(c); err != nil {
			return terminal.Answer{}, none, ErrForeign
		}
		row.Authority = c.Issuer.CommonName
	} else if err != nil {
		return terminal.Answer{}, none, err
	}
	now := a.now()
	err = a.Policy.Renewal(Life{From: c.NotBefore, To: c.NotAfter, Revoked: !row.Revoked.IsZero()}, now)
	if !errors.Is(err, ErrRevoked) && row.Worked.IsZero() {
		if err := a.Store.WorkedCertificate(ctx, row.Serial, now); err != nil {
			return terminal.Answer{}, row.At, err
		}
	}
	if errors.Is(err, ErrNotDue) {
		return terminal.Answer{NotDue: true}, row.At, nil
	}
	if err != nil {
		return terminal.Answer{}, row.At, err
	}
	answer, err := a.issue(ctx, csr, row.At, row.Serial)
	return answer, row.At, err
}

// addressOf reads the terminal out of a certificate of ours.
func addressOf(c *x509.Certificate) (report.Address, error) {
	at := report.Address{Terminal: c.Subject.CommonName}
	if len(c.Subject.OrganizationalUnit) == 1 {
		at.Estate = c.Subject.OrganizationalUnit[0]
	}
	return at, at.Check()
}

// issued tells whether one of the authorities, past ones too, signed a certificate.
func (a *Authority) issued(c *x509.Certificate) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.ContainsFunc(a.list, func(g generation) bool { return c.CheckSignatureFrom(g.cert) == nil })
}

func (a *Authority) issue(
	ctx context.Context,
	csr *x509.CertificateRequest,
	at report.Address,
	renews string,
) (terminal.Answer, error) {
	now := a.now()
	if n, err := a.Store.IssuedSince(ctx, at, now.Add(-24*time.Hour-a.Policy.Early)); err != nil {
		return terminal.Answer{}, err
	} else if n >= perDay {
		return terminal.Answer{}, ErrTooMany
	}
	a.mu.RLock()
	list := a.list
	a.mu.RUnlock()
	i, _ := a.Policy.Authorities(lives(list), now)
	if i < 0 {
		return terminal.Answer{}, errors.New("no authority can issue now; is the fleet's clock right?")
	}
	g := list[i]
	life := a.Policy.Issued(Life{From: g.cert.NotBefore, To: g.cert.NotAfter}, now)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: at.Terminal, OrganizationalUnit: []string{at.Estate}},
		NotBefore: life.From, NotAfter: life.To,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, g.cert, csr.PublicKey, g.key)
	if err != nil {
		return terminal.Answer{}, fmt.Errorf("issue certificate: %w", err)
	}
	// Kept before it is handed out: what is not known could not be revoked.
	row := store.Certificate{
		Serial: hexSerial(template.SerialNumber), At: at, Authority: fingerprint(g.cert),
		From: life.From, To: life.To, Renews: renews,
	}
	if err := a.Store.AddCertificate(ctx, row); err != nil {
		return terminal.Answer{}, err
	}
	return terminal.Answer{
		Chain:       string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Authorities: string(a.Bundle()),
	}, nil
}

// ErrList is the error of a revocation list that this authority has not signed.
var ErrList = errors.New("no revocation list of this fleet's authorities is in it")

// Merge takes over what revocation lists (PEM or DER, RFC 5280 section 5) say of this authority's certificates: after a
// backup was put back, brokers know of revocations that the store does not. What is revoked on either side is revoked.
// It returns how many are new here, and of how many lists the authority is not known.
func (a *Authority) Merge(ctx context.Context, lists []byte) (fresh, foreign int, err error) {
	known, err := a.read()
	if err != nil {
		return 0, 0, err
	}
	ders := [][]byte{lists}
	if block, rest := pem.Decode(lists); block != nil {
		for ders = nil; block != nil; block, rest = pem.Decode(rest) {
			ders = append(ders, block.Bytes)
		}
	}
	var rows []store.Certificate
	for _, der := range ders {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return 0, 0, errors.Join(ErrList, err)
		}
		i := slices.IndexFunc(known, func(g generation) bool { return l.CheckSignatureFrom(g.cert) == nil })
		if i < 0 {
			foreign++
			continue
		}
		for _, e := range l.RevokedCertificateEntries {
			rows = append(rows, store.Certificate{
				Serial: hexSerial(e.SerialNumber), Authority: fingerprint(known[i].cert), Revoked: e.RevocationTime,
				To: known[i].cert.NotAfter, // none of them lives longer
			})
		}
	}
	if foreign == len(ders) {
		return 0, foreign, ErrList
	}
	if fresh, err = a.Store.RevokeSerials(ctx, rows); err != nil {
		return 0, foreign, err
	}
	return fresh, foreign, a.Upkeep(ctx)
}

// Revoke makes every certificate of a terminal worthless, and returns how many. Brokers get to know of it by the
// revocation list.
func (a *Authority) Revoke(ctx context.Context, at report.Address, reason string) (int64, error) {
	n, err := a.Store.RevokeCertificates(ctx, at, reason, a.now())
	if err != nil {
		return 0, err
	}
	return n, a.Upkeep(ctx)
}

// Refresh reads what another process has revoked, so that brokers soon refuse it.
func (a *Authority) Refresh(ctx context.Context) error {
	rows, err := a.Store.Revoked(ctx, a.now().Add(-a.Policy.Leaf-a.Policy.Grace-a.Policy.Early))
	if err != nil {
		return err
	}
	a.mu.RLock()
	same := len(rows) == len(a.revoked)
	a.mu.RUnlock()
	if same {
		return nil
	}
	return a.Upkeep(ctx)
}

// Run does the upkeep of authorities and lists until ctx ends, and at once when it is told to.
func (a *Authority) Run(ctx context.Context, now <-chan struct{}, failed func(error)) error {
	upkeep, refresh := time.NewTicker(Upkeep), time.NewTicker(time.Minute)
	defer upkeep.Stop()
	defer refresh.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-upkeep.C:
			err = a.Upkeep(ctx)
		case <-refresh.C:
			err = a.Refresh(ctx)
		case <-now:
			err = a.Refresh(ctx)
		}
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}
