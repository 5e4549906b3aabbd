package uplink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// maxFile bounds the files read at every connect.
const maxFile = 256 << 10

// now is the time against which certificates are checked: the clock, but never earlier than a moment that is known to
// have passed, so that a terminal whose clock starts in 1970 can still verify them.
func (u *Uplink) now() time.Time {
	u.mu.Lock()
	floor := u.state.NotBefore
	u.mu.Unlock()
	now := time.Now()
	for _, f := range []time.Time{u.cfg.TimeFloor, floor} {
		if now.Before(f) {
			now = f
		}
	}
	return now
}

// tlsConfig reads the files anew. host is what the broker's certificate must name.
func (u *Uplink) tlsConfig(host string) (*tls.Config, proof, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, Time: u.now}
	if u.cfg.ServerName != "" {
		c.ServerName = u.cfg.ServerName
	}
	if err := u.trust(c); err != nil {
		return nil, proof{}, err
	}
	if u.cfg.CertFile == "" {
		return c, proof{}, nil
	}
	cert, err := readFile("certificate", u.cfg.CertFile)
	if err != nil {
		return nil, proof{}, err
	}
	key, err := readFile("key", u.cfg.KeyFile)
	if err != nil {
		return nil, proof{}, err
	}
	warning, err := keyMode("key", u.cfg.KeyFile)
	if err != nil {
		return nil, proof{}, err
	}
	u.note(warning)
	pair, err := tls.X509KeyPair(cert, key)
	var with proof
	if u.wallet != nil {
		with, pair, err = u.choose()
	}
	if err != nil {
		return nil, proof{}, fmt.Errorf("read certificate %s and key %s: %s", u.cfg.CertFile, u.cfg.KeyFile, plainTLS(err))
	}
	c.Certificates = []tls.Certificate{pair}
	leaf := pair.Leaf
	left := leaf.NotAfter.Sub(u.now())
	switch {
	case left <= 0:
		u.note(fmt.Sprintf("certificate %s expired on %s: renew it", u.cfg.CertFile, leaf.NotAfter.Format(time.DateOnly)))
	case left < warnExpiry:
		u.note(fmt.Sprintf("certificate %s expires on %s, in %d days: renew it", u.cfg.CertFile, leaf.NotAfter.Format(time.DateOnly), int(left.Hours()/24)))
	}
	if leaf.Subject.CommonName != u.cfg.Address.Terminal {
		u.note(fmt.Sprintf("certificate %s is for %q, the terminal is %q: the broker will take us for the other", u.cfg.CertFile, leaf.Subject.CommonName, u.cfg.Address.Terminal))
	}
	return c, with, nil
}

// trust reads whom a configuration trusts.
func (u *Uplink) trust(c *tls.Config) error {
	if u.cfg.CAFile == "" {
		return nil
	}
	pem, err := readFile("CA", u.cfg.CAFile)
	if err != nil {
		return err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("read CA %s: no certificate in it; it must be PEM, beginning with -----BEGIN CERTIFICATE-----", u.cfg.CAFile)
	}
	return nil
}

// credentials reads user and password, two lines.
func (u *Uplink) credentials() (user, password string, err error) {
	if u.cfg.UserFile == "" {
		return "", "", nil
	}
	b, err := readFile("user file", u.cfg.UserFile)
	if err != nil {
		return "", "", err
	}
	warning, err := keyMode("user file", u.cfg.UserFile)
	if err != nil {
		return "", "", err
	}
	u.note(warning)
	user, password, _ = strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
	password, _, _ = strings.Cut(password, "\n")
	if user == "" {
		return "", "", fmt.Errorf("read user file %s: the first line must be the user, the second the password", u.cfg.UserFile)
	}
	return user, password, nil
}

func readFile(what, name string) ([]byte, error) {
	f, err := os.Open(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("read %s %s: no such file; put it there or correct the path", what, name)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("read %s %s: not readable by this user; give the file to it (chown) with mode 0400", what, name)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	case len(b) > maxFile:
		return nil, fmt.Errorf("read %s %s: larger than %d bytes, this is not a %s", what, name, maxFile, what)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, fmt.Errorf("read %s %s: the file is empty; install it again", what, name)
	}
	return b, nil
}

// keyMode refuses a secret that every user can read and warns of one that a group can.
func keyMode(what, name string) (warning string, err error) {
	fi, err := os.Stat(name)
	if err != nil {
		return "", fmt.Errorf("stat %s: %w", what, err)
	}
	switch m := fi.Mode().Perm(); {
	case m&0o007 != 0:
		return "", fmt.Errorf("%s %s: mode %#o lets every user read or change it; chmod 0400 %s", what, name, m, name)
	case m&0o070 != 0:
		return fmt.Sprintf("%s %s: mode %#o lets a group read or change it; chmod 0400 %s", what, name, m, name), nil
	}
	return "", nil
}

// explain turns a failed handshake into a problem and its remedy.
func (u *Uplink) explain(broker string, err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	clock := u.now().UTC().Format(time.DateTime)
	switch {
	case errors.As(err, &unknown):
		ca := "the system's CAs"
		if u.cfg.CAFile != "" {
			ca = "the CA in " + u.cfg.CAFile
		}
		return fmt.Errorf("verify %s: the broker's certificate is not signed by %s; install the right CA, or something is in between", broker, ca)
	case errors.As(err, &name):
		return fmt.Errorf("verify %s: the broker's certificate is for other names; correct the address or the expected server name", broker)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c := invalid.Cert
		return fmt.Errorf("verify %s: the broker's certificate is valid from %s to %s and the clock says %s; correct the clock or renew the certificate",
			broker, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), clock)
	}
	return fmt.Errorf("TLS with %s: %s", broker, plainTLS(err))
}

func plainTLS(err error) string { return strings.TrimPrefix(err.Error(), "tls: ") }
