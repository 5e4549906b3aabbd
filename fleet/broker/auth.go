package broker

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"

	"posdx/agent/report"
)

// Own is the name by which the fleet itself connects. No terminal can be called so: a name has no colon.
const Own = "posdx:fleet"

// Password is the fleet's own, made at each start.
func (b *Broker) Password() string { return b.password }

// Certificate is the broker's own in DER, nil without TLS: what the fleet's own session expects to see.
func (b *Broker) Certificate() []byte { return b.certificate }

// guard tells the clients apart and says what each may do.
type guard struct {
	password  string
	users     map[string]string // by terminal; nil: any client may do anything
	certified bool              // a verified certificate names the terminal
	authority Authority         // that issued it, if it is the fleet's own
	back      *revocations      // revoked by another authority; nil: no list is configured
}

// An Authority issues the terminals' certificates, changes its keys from time to time, and revokes certificates.
type Authority interface {
	Pool() *x509.CertPool
	Revoked(c *x509.Certificate) bool
}

// secure sets TLS and the guard.
func (c Config) secure(o *server.Options, b *Broker, log *slog.Logger) error {
	g := &guard{password: b.password}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("a certificate and its key belong together")
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return fmt.Errorf("read certificate: %w", err)
		}
		b.certificate = pair.Certificate[0]
		o.MQTT.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
		o.MQTT.TLSTimeout = 10
	}
	if c.CAFile != "" {
		if c.CertFile == "" {
			return errors.New("certificates of clients need TLS, and that a certificate of the broker")
		}
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("read CA: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return fmt.Errorf("read CA %s: no certificate in it", c.CAFile)
		}
		o.MQTT.TLSConfig.ClientCAs = pool
		o.MQTT.TLSConfig.ClientAuth = tls.VerifyClientCertIfGiven // the fleet's own session has none
		g.certified = true
		if c.CRLFile != "" {
			var ca []*x509.Certificate
			for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
				if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
					ca = append(ca, cert)
				}
			}
			if g.back, err = newRevocations(c.CRLFile, ca, log); err != nil {
				return err
			}
		}
	} else if c.CRLFile != "" {
		return errors.New("a list of revoked certificates is of the authority in --mqtt-ca; the fleet's own needs none: there a terminal is revoked on its page")
	}
	if c.Authority != nil {
		if c.CertFile == "" || c.CAFile != "" {
			return errors.New("certificates of the fleet's own authority need TLS, and no other CA beside it")
		}
		base := o.MQTT.TLSConfig.Clone()
		base.ClientAuth = tls.VerifyClientCertIfGiven
		o.MQTT.TLSConfig.ClientAuth = tls.VerifyClientCertIfGiven
		o.MQTT.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := base.Clone()
			now.ClientCAs = c.Authority.Pool() // as it is at this moment
			return now, nil
		}
		g.certified, g.authority = true, c.Authority
	}
	if c.UsersFile != "" {
		var err error
		if g.users, err = readUsers(c.UsersFile); err != nil {
			return err
		}
	}
	if g.users != nil || g.certified {
		o.CustomClientAuthentication = g
	}
	return nil
}

// CheckID says why no client of this name can connect, whatever it may: nats-server makes a subject of it.
func CheckID(id string) error {
	if i := strings.IndexAny(id, ". *>\t\r\n\f\x00"); i >= 0 {
		return fmt.Errorf("client ID %q: the embedded broker, like a NATS cluster, takes none with a %q", id, id[i])
	}
	return nil
}

func readUsers(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	users := map[string]string{}
	scan := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || password == "" || (report.Address{Estate: "-", Terminal: name}).Check() != nil {
			return nil, fmt.Errorf("read users %s: line %d: want terminal:password", file, n)
		}
		if err := CheckID(name); err != nil {
			return nil, fmt.Errorf("read users %s: line %d: %w", file, n, err)
		}
		users[name] = password
	}
	return users, scan.Err()
}

// Check decides whether a client may connect, and what it may do.
func (g *guard) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	if o.Username == Own {
		return subtle.ConstantTimeCompare([]byte(o.Password), []byte(g.password)) == 1
	}
	name, estate := "", "*"
	if g.certified {
		s := c.GetTLSConnectionState()
		if s == nil || len(s.VerifiedChains) == 0 {
			return false
		}
		leaf := s.VerifiedChains[0][0]
		if g.back != nil && g.back.revoked(leaf.RawIssuer, leaf.SerialNumber) {
			return false
		}
		name = leaf.Subject.CommonName
		if (report.Address{Estate: "-", Terminal: name}).Check() != nil {
			return false
		}
		if g.authority != nil {
			if g.authority.Revoked(leaf) || len(leaf.Subject.OrganizationalUnit) != 1 ||
				(report.Address{Estate: leaf.Subject.OrganizationalUnit[0], Terminal: name}).Check() != nil {
				return false
			}
			estate = leaf.Subject.OrganizationalUnit[0]
		}
	}
	if g.users != nil {
		want, ok := g.users[o.Username]
		if !ok || !matches(want, o.Password) || name != "" && name != o.Username {
			return false
		}
		name = o.Username
	}
	c.RegisterUser(&server.User{Username: name, Permissions: permissions(estate, name)})
	return true
}

func matches(want, password string) bool {
	if strings.HasPrefix(want, "$2") {
		return bcrypt.CompareHashAndPassword([]byte(want), []byte(password)) == nil
	}
	return subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
}

// permissions of a terminal: it publishes under its own name only, and may subscribe to what is for it and for all. A
// certificate of the fleet's own authority names the estate too; with others any estate is accepted, *.
func permissions(estate, name string) *server.Permissions {
	estate = strings.ReplaceAll(estate, ".", "//") // how the broker writes a topic's dot
	own := "pos.v1." + estate + "." + strings.ReplaceAll(name, ".", "//")
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			own + "." + report.KindStatus, own + "." + report.KindBirth, own + "." + report.KindDiagnosis, own + "." + report.KindHealth,
			own + "." + report.KindTally, own + "." + report.KindDropped, own + ".asked", own + ".outcome", own + ".reply.*",
			own + "." + report.KindSiteWord + ".*",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{own + ".ack", own + ".cmd.*", "pos.v1." + estate + ".advisory.*.*",
			"pos.v1." + estate + ".*." + report.KindSiteWord + ".*", "$MQTT.sub.>"}},
	}
}
