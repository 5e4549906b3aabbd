package broker

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const soon = 10 * time.Second

func start(t *testing.T, c Config) *Broker {
	t.Helper()
	c.Listen, c.Dir = "127.0.0.1:0", t.TempDir()
	b, err := Start(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// connect returns a connected client, or why there is none.
func connect(t *testing.T, b *Broker, id, user, password string, conf *tls.Config) (mqtt.Client, error) {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker(b.URL()).SetClientID(id).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectTimeout(soon).SetTLSConfig(conf)
	c := mqtt.NewClient(o)
	token := c.Connect()
	if !token.WaitTimeout(soon) {
		return nil, fmt.Errorf("no answer")
	}
	if token.Error() == nil {
		t.Cleanup(func() { c.Disconnect(0) })
	}
	return c, token.Error()
}

func TestOthersMayOnlyReachABrokerThatKnowsThem(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("t1:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{{}, {UsersFile: users}, {CertFile: "c", KeyFile: "k"}} {
		c.Listen, c.Dir = "0.0.0.0:0", t.TempDir()
		if b, err := Start(c, slog.New(slog.DiscardHandler)); err == nil {
			b.Stop()
			t.Errorf("%+v: listens where others reach it", c)
		} else if !strings.Contains(err.Error(), "anyone who reaches it") {
			t.Error(err)
		}
	}
	if err := os.WriteFile(users, []byte("t1 secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{Listen: "127.0.0.1:0", Dir: t.TempDir(), UsersFile: users},
		slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
}

// A terminal speaks as itself only, and hears only what is for it.
func TestTerminalsCannotSpeakForOthers(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	// The second password is bcrypt of "other".
	if err := os.WriteFile(users, []byte("# terminals\nt1:secret\nt2:$2a$04$Icz/v5dP5KMVTeE42ovnqerbkq9zvFR5qwCsVz191RBQwLtSvyn62\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, Config{UsersFile: users})
	for _, c := range []struct{ user, password string }{{"", ""}, {"t1", "wrong"}, {"t9", "secret"}, {Own, "guess"}, {"t1", ""}} {
		if _, err := connect(t, b, "x", c.user, c.password, nil); err == nil {
			t.Errorf("%q with %q was let in", c.user, c.password)
		}
	}
	fleet, err := connect(t, b, "fleet", Own, b.Password(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	fleet.Subscribe("pos/v1/+/+/diagnosis", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m.Topic() }).WaitTimeout(soon)
	t2, err := connect(t, b, "t2", "t2", "other", nil)
	if err != nil {
		t.Fatal("a hashed password:", err)
	}
	// Those of a site tell each other, each in its own name.
	site := make(chan string, 10)
	at := report.Address{Estate: "shop", Terminal: "t1"}
	t2.Subscribe(at.SiteFilter("s"), 1, func(_ mqtt.Client, m mqtt.Message) { site <- m.Topic() }).WaitTimeout(soon)
	t1, err := connect(t, b, "t1", "t1", "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	t1.Subscribe("pos/v1/shop/t1/ack", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }).WaitTimeout(soon)
	t1.Publish("pos/v1/shop/t2/diagnosis", 1, false, "forged").WaitTimeout(time.Second)
	if !t1.IsConnected() { // the broker may end the session of one that tries
		if t1, err = connect(t, b, "t1", "t1", "secret", nil); err != nil {
			t.Fatal(err)
		}
		t1.Subscribe("pos/v1/shop/t1/ack", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }).WaitTimeout(soon)
	}
	t1.Publish(at.SiteTopic("s"), 1, false, "word").WaitTimeout(soon)
	select {
	case topic := <-site:
		if topic != at.SiteTopic("s") {
			t.Errorf("the site hears %s", topic)
		}
	case <-time.After(soon):
		t.Error("the site hears nothing")
	}
	t1.Publish("pos/v1/shop/t1/diagnosis", 1, false, "own").WaitTimeout(soon)
	select {
	case topic := <-got:
		if topic != "pos/v1/shop/t1/diagnosis" {
			t.Errorf("came through: %s", topic)
		}
	case <-time.After(soon):
		t.Error("its own document did not come through")
	}
	fleet.Publish("pos/v1/shop/t1/ack", 1, false, "ack").WaitTimeout(soon)
	select {
	case <-heard:
	case <-time.After(soon):
		t.Error("no ack")
	}
}

// Nor can its measure be set to more than it was seen to bear.
func TestALimitThatWouldNotHoldIsRefused(t *testing.T) {
	_, err := Start(Config{Listen: "127.0.0.1:0", Dir: t.TempDir(), Sessions: MaxSessions + 1}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "5000") || !strings.Contains(err.Error(), "--broker") {
		t.Errorf("more sessions than it bears: %v", err)
	}
}

// The broker refuses what is beyond its measure instead of collapsing.
func TestSessionsAreLimited(t *testing.T) {
	b := start(t, Config{Sessions: 4})
	in := 0
	for i := range 4 + 2*spare {
		if _, err := connect(t, b, fmt.Sprint("t", i), "", "", nil); err == nil {
			in++
		}
	}
	if in < 4 || in > 4+spare {
		t.Errorf("%d sessions, want 4 and a few spare", in)
	}
}

func TestTLSAndCertificates(t *testing.T) {
	dir := housetest.Certificates(t, "server", "t1")
	at := func(name string) string { return filepath.Join(dir, name) }
	b := start(t, Config{CertFile: at("server.pem"), KeyFile: at("server.key"), CAFile: at("ca.pem")})
	pool := x509.NewCertPool()
	if ca, err := os.ReadFile(at("ca.pem")); err != nil || !pool.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(at("t1.pem"), at("t1.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, b, "t1", "", "", &tls.Config{RootCAs: pool}); err == nil {
		t.Error("without a certificate it was let in")
	}
	if _, err := connect(t, b, "t1", "", "", &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}); err != nil {
		t.Error("with its certificate:", err)
	}
	if _, err := connect(t, b, "fleet", Own, b.Password(), &tls.Config{RootCAs: pool}); err != nil {
		t.Error("the fleet itself:", err)
	}
}

// A certificate that its authority has taken back is refused, from the moment on at which the list says so; a list that
// nobody has signed changes nothing.
func TestRevokedCertificatesAreRefused(t *testing.T) {
	dir := t.TempDir()
	ca := housetest.NewAuthority(t, "terminals")
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p+".new", b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(p+".new", p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	pair := func(name string, hosts ...string) (cert, key string) {
		c, k := ca.Issue(t, name, from, to, hosts...).PEM(t)
		return file(name+".pem", c), file(name+".key", k)
	}
	caPEM, _ := ca.PEM(t)
	cert, key := pair("server", "127.0.0.1")
	lost, kept := ca.Issue(t, "t1", from, to), ca.Issue(t, "t2", from, to)
	c := Config{CertFile: cert, KeyFile: key, CAFile: file("ca.pem", caPEM), CRLFile: filepath.Join(dir, "crl.pem")}
	c.Listen, c.Dir = "127.0.0.1:0", t.TempDir()
	if _, err := Start(c, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("a list that is not there is no list")
	}
	file("crl.pem", ca.Revoke(t))
	b := start(t, c)
	visits := 0
	comes := func(who housetest.Authority, name string) bool {
		visits++ // a client that comes again at once under one id is held off
		_, err := connect(t, b, fmt.Sprint(name, "-", visits), "", "",
			&tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{who.TLS()}})
		return err == nil
	}
	if !comes(lost, "t1") || !comes(kept, "t2") {
		t.Error("nothing is revoked, and somebody is refused")
	}
	file("crl.pem", ca.Revoke(t, lost.Cert.SerialNumber))
	if comes(lost, "t1") || !comes(kept, "t2") {
		t.Error("want t1 refused and t2 let in")
	}
	file("crl.pem", housetest.NewAuthority(t, "terminals").Revoke(t, kept.Cert.SerialNumber))
	if comes(lost, "t1") || !comes(kept, "t2") {
		t.Error("a list that somebody else has signed changes something")
	}
	file("crl.pem", []byte("not a list"))
	if comes(lost, "t1") || !comes(kept, "t2") {
		t.Error("a list that cannot be read changes something")
	}
}

// A certificate whose name reaches into another terminal's topics, or into everybody's, is no terminal's: t1/cmd could
// send t1 commands.
func TestNamesBelowATerminalsOwnAreRefused(t *testing.T) {
	dir := t.TempDir()
	ca := housetest.NewAuthority(t, "terminals")
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	cert, key := ca.Issue(t, "server", from, to, "127.0.0.1").Write(t, dir, "server")
	caPEM, _ := ca.PEM(t)
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, caPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, Config{CertFile: cert, KeyFile: key, CAFile: file})
	for i, c := range []struct {
		name string
		in   bool
	}{{"t1", true}, {"T-1_a", true}, {"t1/cmd", false}, {"t1/+", false}, {"+", false}, {"#", false}, {"t1/../t2", false},
		{"t1 cmd", false}, {"t1.>", false}, {"*", false}, {"", false}} {
		who := ca.Issue(t, c.name, from, to)
		_, err := connect(t, b, fmt.Sprint("client-", i), "", "",
			&tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{who.TLS()}})
		if (err == nil) != c.in {
			t.Errorf("%q: let in %v, want %v", c.name, err == nil, c.in)
		}
	}
}
