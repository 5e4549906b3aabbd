package enroll

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	terminal "posdx/agent/enroll"
	"posdx/agent/report"
	"posdx/fleet/store"
)

var t1 = report.Address{Estate: "shop", Terminal: "t1"}

type office struct {
	*Authority
	db  *store.Store
	now time.Time
}

func open(t *testing.T) *office {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	o := &office{db: db, now: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
	o.Authority = &Authority{
		Store:  db,
		Dir:    filepath.Join(t.TempDir(), "authority"),
		Policy: Default,
		Now:    func() time.Time { return o.now },
	}
	if err := o.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) enroll(t *testing.T, at report.Address) []byte {
	t.Helper()
	token, err := o.MakeToken(t.Context(), at, time.Hour, "ann")
	if err != nil {
		t.Fatal(err)
	}
	key, r, err := terminal.New("anything")
	if err != nil {
		t.Fatal(err)
	}
	r.Token = token
	a, _, err := o.Enroll(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := terminal.Pair(key, a.Chain)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func leaf(t *testing.T, pair []byte) *x509.Certificate {
	t.Helper()
	p, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		t.Fatal(err)
	}
	return p.Leaf
}

// A token is good for one terminal and one key, and its answer may get lost.
func TestTokensEnrollOnce(t *testing.T) {
	o := open(t)
	token, err := o.MakeToken(t.Context(), t1, time.Hour, "ann")
	if err != nil {
		t.Fatal(err)
	}
	key, r, err := terminal.New("mallory") // the name it wants is not asked
	if err != nil {
		t.Fatal(err)
	}
	r.Token = token
	for range 2 { // the answer was lost once
		a, at, err := o.Enroll(t.Context(), r)
		if err != nil || at != t1 {
			t.Fatal(at, err)
		}
		pair, err := terminal.Pair(key, a.Chain)
		if err != nil {
			t.Fatal(err)
		}
		c := leaf(t, pair)
		if c.Subject.CommonName != "t1" || c.Subject.OrganizationalUnit[0] != "shop" || c.IsCA || len(c.ExtKeyUsage) != 1 ||
			c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
			t.Errorf("%+v", c.Subject)
		}
		clients := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if _, err := c.Verify(x509.VerifyOptions{Roots: o.Pool(), CurrentTime: o.now, KeyUsages: clients}); err != nil {
			t.Error(err)
		}
	}
	_, other, _ := terminal.New("t1")
	other.Token = token
	if _, _, err := o.Enroll(t.Context(), other); !errors.Is(err, ErrToken) {
		t.Error("another key:", err)
	}
	late, _ := o.MakeToken(t.Context(), t1, time.Hour, "ann")
	r.Token = late
	o.now = o.now.Add(time.Hour)
	if _, _, err := o.Enroll(t.Context(), r); !errors.Is(err, ErrToken) {
		t.Error("an expired token:", err)
	}
	for _, bad := range []terminal.Request{
		{}, {Token: late}, {Token: late, CSR: []byte("x")}, {Token: "x", CSR: r.CSR},
		{Token: late, CSR: r.CSR[:len(r.CSR)-1]},
	} {
		if _, _, err := o.Enroll(t.Context(), bad); err == nil {
			t.Errorf("%.30q", bad.Token)
		}
	}
	for _, at := range []report.Address{{}, {Estate: "a/b", Terminal: "t"}, {Estate: "a", Terminal: "+"}} {
		if _, err := o.MakeToken(t.Context(), at, time.Hour, ""); err == nil {
			t.Error(at)
		}
	}
}

// A renewal needs the key that it replaces, is made at two thirds of the life and after its end too, and not for what
// is revoked, foreign, or somebody else's.
func TestRenewalsNeedTheKeyBefore(t *testing.T) {
	o := open(t)
	pair := o.enroll(t, t1)
	ask := func(change func(*terminal.Request)) (terminal.Answer, error) {
		t.Helper()
		_, r, err := terminal.Renewal(pair)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(&r)
		}
		a, _, err := o.Renew(t.Context(), r)
		return a, err
	}
	if a, err := ask(nil); err != nil || !a.NotDue {
		t.Error("at once:", a, err)
	}
	if c, _ := o.db.Certificate(t.Context(), hexSerial(leaf(t, pair).SerialNumber)); c.Worked.IsZero() {
		t.Error("it is not noted that the certificate is in use")
	}
	o.now = o.now.Add(Default.Leaf * 3 / 4)
	a, err := ask(nil)
	if err != nil || a.Chain == "" || a.Authorities == "" {
		t.Error("due:", err)
	}
	stranger := open(t).enroll(t, t1) // of another fleet
	for name, change := range map[string]func(*terminal.Request){
		"another's signature": func(r *terminal.Request) { _, o, _ := terminal.Renewal(stranger); r.Signature = o.Signature },
		"no signature":        func(r *terminal.Request) { r.Signature = nil },
		"another request":     func(r *terminal.Request) { _, o, _ := terminal.New("x"); r.CSR = o.CSR },
		"no certificate":      func(r *terminal.Request) { r.Certificate = nil },
		"another fleet's":     func(r *terminal.Request) { _, *r, _ = terminal.Renewal(stranger) },
	} {
		if a, err := ask(change); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
	o.now = o.now.Add(Default.Leaf)
	if a, err := ask(nil); err != nil || a.Chain == "" {
		t.Error("out of a drawer:", err)
	}
	for range perDay {
		_, err = ask(nil)
	}
	if !errors.Is(err, ErrTooMany) {
		t.Error("without end:", err)
	}
	if n, err := o.Revoke(t.Context(), t1, "stolen"); err != nil || n < 3 {
		t.Error(n, err)
	}
	o.now = o.now.Add(48 * time.Hour)
	if _, err := ask(nil); !errors.Is(err, ErrRevoked) {
		t.Error("revoked:", err)
	}
}

// Brokers read authorities and revocations from files that are always whole; keys are for their owner.
func TestWhatBrokersRead(t *testing.T) {
	o := open(t)
	pair := o.enroll(t, t1)
	other := o.enroll(t, report.Address{Estate: "shop", Terminal: "t2"})
	if _, err := o.Revoke(t.Context(), t1, "stolen"); err != nil {
		t.Fatal(err)
	}
	if !o.Revoked(leaf(t, pair)) || o.Revoked(leaf(t, other)) {
		t.Error("the wrong one is revoked")
	}
	b, err := os.ReadFile(filepath.Join(o.Dir, "crl.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil || len(list.RevokedCertificateEntries) != 1 ||
		list.RevokedCertificateEntries[0].SerialNumber.Cmp(leaf(t, pair).SerialNumber) != 0 ||
		!list.NextUpdate.After(o.now.Add(24*time.Hour)) {
		t.Error(list, err)
	}
	files, _ := filepath.Glob(filepath.Join(o.Dir, "*"))
	for _, f := range files {
		if info, _ := os.Stat(f); info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", f, info.Mode())
		}
	}
	key := filepath.Join(o.Dir, "0001.key")
	os.Chmod(key, 0o644)
	if err := o.Open(t.Context()); err == nil {
		t.Error("a key that others can read is used")
	}
	os.Chmod(key, 0o600)
	os.WriteFile(key, []byte("x"), 0o600)
	if err := o.Open(t.Context()); err == nil {
		t.Error("a broken key is used")
	}
}

// When an authority's end comes near another is made, is trusted at once, and issues once brokers have had time to
// learn of it; what the old one issued renews on.
func TestAuthoritiesChangeHands(t *testing.T) {
	o := open(t)
	pair := o.enroll(t, t1)
	first := leaf(t, pair).Issuer.CommonName
	o.now = o.now.Add(Default.Authority - 2*Default.Leaf - Default.Grace - Default.Spread + time.Hour)
	if err := o.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(o.list); n != 2 {
		t.Fatal(n)
	}
	if got := leaf(t, o.enroll(t, t1)).Issuer.CommonName; got != first {
		t.Error("the new one issues before brokers know it:", got)
	}
	o.now = o.now.Add(Default.Spread + time.Hour)
	if got := leaf(t, o.enroll(t, t1)).Issuer.CommonName; got == first {
		t.Error("the old one issues on")
	}
	again := &Authority{Store: o.db, Dir: o.Dir, Policy: Default, Now: o.Now}
	if err := again.Open(t.Context()); err != nil || len(again.list) != 2 || string(again.Bundle()) != string(o.Bundle()) {
		t.Error("after a restart:", err)
	}
}
