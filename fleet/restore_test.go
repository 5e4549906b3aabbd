package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	terminal "posdx/agent/enroll"
	"posdx/agent/report"
	"posdx/fleet/enroll"
	"posdx/fleet/store"
)

// A backup does not know what was revoked after it: whoever puts it back is told, and a broker's newest revocation list
// brings it in, of certificates too that were issued after the backup.
func TestARestoredFleetKnowsLaterRevocations(t *testing.T) {
	data := t.TempDir()
	open := func(dir string) (*enroll.Authority, *store.Store) {
		db, err := store.Open(t.Context(), "sqlite:"+storeFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		a := &enroll.Authority{Store: db, Dir: filepath.Join(dir, "authority"), Policy: enroll.Default}
		if err := a.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a, db
	}
	do := func(want int, args ...string) (string, string) {
		t.Helper()
		var out, talk strings.Builder
		if code := run(t.Context(), stdio{out: &out, err: &talk}, args); code != want {
			t.Fatalf("%v: %d %s", args, code, talk.String())
		}
		return out.String(), talk.String()
	}
	a, db := open(data)
	enrol := func(name string) (*x509.Certificate, []byte) {
		t.Helper()
		at := report.Address{Estate: "shop", Terminal: name}
		token, err := a.MakeToken(t.Context(), at, time.Hour, "ann")
		if err != nil {
			t.Fatal(err)
		}
		key, r, err := terminal.New(name)
		if err != nil {
			t.Fatal(err)
		}
		r.Token = token
		answer, _, err := a.Enroll(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := terminal.Pair(key, answer.Chain)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(text, text)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf, text
	}
	before, _ := enrol("before")
	good, _ := enrol("good")
	file := filepath.Join(t.TempDir(), "fleet.tar.gz")
	do(exitOK, "backup", file, "--data", data)
	after, pair := enrol("after")
	for _, name := range []string{"before", "after"} {
		if _, err := a.Revoke(t.Context(), report.Address{Estate: "shop", Terminal: name}, "stolen"); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	list := filepath.Join(data, "authority", "crl.pem")

	plain := filepath.Join(t.TempDir(), "plain")
	if talk, _ := do(exitOK, "restore", file, "--data", plain); !strings.Contains(talk, "is good again in this copy") || !strings.Contains(talk, "--crl") {
		t.Errorf("restore says %q", talk)
	}
	b, db := open(plain)
	if b.Revoked(before) {
		t.Error("the backup knows of the revocation by itself: the test shows nothing")
	}
	db.Close()

	whole := filepath.Join(t.TempDir(), "whole")
	out, _ := do(exitOK, "restore", file, "--data", whole, "--crl", list)
	if !strings.Contains(out, "2 certificates revoked since then") || strings.Contains(out, "--crl") {
		t.Errorf("restore says %q", out)
	}
	b, db = open(whole)
	defer db.Close()
	if !b.Revoked(before) || !b.Revoked(after) || b.Revoked(good) {
		t.Errorf("revoked: %v %v, not %v", b.Revoked(before), b.Revoked(after), b.Revoked(good))
	}
	_, r, err := terminal.Renewal(pair)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Renew(t.Context(), r); !errors.Is(err, enroll.ErrRevoked) {
		t.Errorf("a certificate that the backup does not know and the list revokes is renewed: %v", err)
	}
	if fresh, _, err := b.Merge(t.Context(), b.CRL()); err != nil || fresh != 0 {
		t.Errorf("its own list again: %d %v", fresh, err)
	}

	// A list of somebody else, or none at all, leaves nothing half done.
	other, db2 := open(t.TempDir())
	db2.Close()
	for name, text := range map[string]string{"foreign": string(other.CRL()), "none": "x", "empty": ""} {
		f, dir := filepath.Join(t.TempDir(), "crl.pem"), filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, talk := do(exitFailed, "restore", file, "--data", dir, "--crl", f); !strings.Contains(talk, "no revocation list of this fleet") {
			t.Errorf("%s: %q", name, talk)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: half a restore is left", name)
		}
	}
}
