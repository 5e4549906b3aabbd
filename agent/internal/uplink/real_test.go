package uplink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// patience is how long a test waits for what should take a second; the machine may be busy.
const patience = housetest.Patience

// newMosquitto runs Debian's mosquitto with the rules we ship.
func newMosquitto(t *testing.T, p *pki) *housetest.Mosquitto {
	conf, err := os.ReadFile("../../../firmware-build/broker/mosquitto/posdx.conf")
	if err != nil {
		t.Fatal(err)
	}
	acl, err := filepath.Abs("../../../firmware-build/broker/mosquitto/posdx.acl")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := p.files("broker", "127.0.0.1")
	port := housetest.FreePort(t)
	text := strings.NewReplacer(
		"/etc/mosquitto/posdx.acl", acl, "/etc/mosquitto/certs/terminals-ca.pem", p.write("ca.pem", p.pem, 0o644),
		"/etc/mosquitto/certs/terminals-crl.pem", p.write("crl.pem", p.Revoke(t, p.revoked...), 0o644),
		"/etc/mosquitto/certs/broker.pem", cert, "/etc/mosquitto/certs/broker.key", key,
		"/var/lib/mosquitto/", t.TempDir()+"/", "listener 8883", "listener "+port+" 127.0.0.1", "autosave_interval 60", "autosave_interval 1",
	).Replace(string(conf))
	return housetest.NewMosquittoAt(t, port, text)
}

// A listener is a small fleet: it stores and acknowledges.
type listener struct {
	mu     sync.Mutex
	client mqtt.Client
	seen   map[string]map[uint64]int
	states []string
	others map[string]int // messages by topic
}

func newListener(t *testing.T, url string, p *pki, cn string) *listener {
	l := &listener{seen: map[string]map[uint64]int{}, others: map[string]int{}}
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID(cn).SetCleanSession(false).SetTLSConfig(p.config(cn)).
		SetMaxReconnectInterval(200 * time.Millisecond).SetConnectRetry(true).SetConnectRetryInterval(200 * time.Millisecond)
	o.SetDefaultPublishHandler(l.take)
	o.SetOnConnectHandler(func(c mqtt.Client) {
		go c.SubscribeMultiple(map[string]byte{"pos/v1/shop/+/+": 1, "pos/v1/shop/+/reply/+": 1}, nil)
	})
	l.client = mqtt.NewClient(o)
	if tok := l.client.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("the fleet cannot connect: %v", tok.Error())
	}
	t.Cleanup(func() { l.client.Disconnect(100) })
	return l
}

func (l *listener) take(_ mqtt.Client, m mqtt.Message) {
	a, kind, err := report.ParseTopic(m.Topic())
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.others[m.Topic()]++
	if kind == report.KindStatus {
		var p report.Presence
		json.Unmarshal(m.Payload(), &p)
		l.states = append(l.states, p.State)
		return
	}
	var e report.Envelope
	if kind == "ack" || json.Unmarshal(m.Payload(), &e) != nil || e.Seq == 0 {
		return // its own acks come back to it
	}
	if l.seen[e.Epoch] == nil {
		l.seen[e.Epoch] = map[uint64]int{}
	}
	l.seen[e.Epoch][e.Seq]++
	seq := uint64(0)
	for l.seen[e.Epoch][seq+1] > 0 {
		seq++
	}
	b, _ := json.Marshal(report.Ack{Epoch: e.Epoch, Boot: e.Boot, Seq: seq})
	go l.client.Publish(a.Topic("ack"), 1, false, b)
}

func (l *listener) count(topic string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.others[topic]
}

func (l *listener) stored(epoch string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen[epoch])
}

func run(t *testing.T, cfg Config, box *outbox.Box, h Handlers) (*Uplink, func()) {
	t.Helper()
	cfg.ReconnectMin, cfg.ReconnectMax, cfg.BootID = 50*time.Millisecond, 300*time.Millisecond, "boot-1"
	if cfg.Address == (report.Address{}) {
		cfg.Address = at
	}
	h.Birth = func() report.Birth { return report.Birth{Time: time.Now()} }
	u, err := New(cfg, box, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { u.Run(ctx); close(done) }()
	var once sync.Once
	stop := func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return u, stop
}

func TestMosquitto(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills a broker")
	}
	p := newPKI(t)
	m := newMosquitto(t, p)
	url := m.URL()
	fleet := newListener(t, url, p, "posdx-fleet")
	cert, key := p.files("t1")
	cfg := Config{Brokers: []string{url}, CAFile: filepath.Join(p.dir, "ca.pem"), CertFile: cert, KeyFile: key}

	dir := t.TempDir()
	box, err := outbox.Open(dir, outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, box, 40)
	u, stop := run(t, cfg, box, Handlers{})
	housetest.Until(t, "40 records confirmed", func() bool { return box.Stats().Records == 0 })

	for range 3 { // the broker dies in the middle, and comes back
		fill(t, box, 20)
		m.Kill()
		fill(t, box, 20)
		m.Start()
		housetest.Until(t, "records confirmed after a restart of the broker", func() bool { return box.Stats().Records == 0 })
	}
	if n := fleet.stored(box.Epoch()); n != 160 {
		t.Errorf("the fleet has %d of 160", n)
	}

	// A ping from the fleet is answered.
	fleet.client.Publish(at.Topic("cmd/ping"), 1, false, `{"id":"p1"}`).WaitTimeout(patience)
	housetest.Until(t, "ping answered", func() bool { return fleet.count(at.Topic("reply/ping")) == 1 })

	// The largest command passes the example's limits.
	big := fleet.client.Publish(at.Topic("cmd/knowledge"), 1, false, `{"id":"k1","args":{"pack":"`+strings.Repeat("A", maxKnowledge-100)+`"}}`)
	if !big.WaitTimeout(patience) || big.Error() != nil {
		t.Fatalf("a knowledge pack: %v", big.Error())
	}
	housetest.Until(t, "knowledge answered", func() bool { return fleet.count(at.Topic("reply/knowledge")) == 1 })

	// Another terminal, with a good certificate of its own, pretends to be t1: nothing of it may arrive, and it hears
	// nothing of t1's.
	heard := make(chan string, 100)
	thief := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("t1").SetTLSConfig(p.config("t2")).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }))
	if tok := thief.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("t2: %v", tok.Error())
	}
	defer thief.Disconnect(100)
	sub := thief.SubscribeMultiple(map[string]byte{"pos/v1/shop/+/+": 1, "pos/v1/shop/t1/cmd/+": 1, "#": 1, "pos/v1/shop/advisory/+/+": 1}, nil)
	if !sub.WaitTimeout(patience) {
		t.Fatal("t2 gets no SUBACK")
	}
	before := fleet.count(at.Topic("diagnosis"))
	for _, topic := range []string{at.Topic("diagnosis"), at.Topic("status"), at.Topic("ack"), at.Topic("cmd/ping"), "pos/v1/shop/advisory/acquirer/bank"} {
		thief.Publish(topic, 1, true, `{"state":"offline","id":"evil","seq":99}`).WaitTimeout(patience)
	}
	if tok := thief.Publish("pos/v1/shop/t2/tally", 1, false, "{}"); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("t2: %v", tok.Error())
	}
	housetest.Until(t, "t2's own topic passes", func() bool { return fleet.count("pos/v1/shop/t2/tally") == 1 })
	fill(t, box, 1)
	housetest.Until(t, "t1 goes on", func() bool { return box.Stats().Records == 0 })
	if n := fleet.count(at.Topic("diagnosis")); n != before+1 {
		t.Errorf("%d diagnoses on t1's topic, want its own one", n-before)
	}
	fleet.client.Publish("pos/v1/shop/advisory/acquirer/bank", 1, false, `{}`).WaitTimeout(patience)
	housetest.Until(t, "t2 hears the advisory", func() bool { return len(heard) > 0 })
	for len(heard) > 0 {
		if topic := <-heard; topic != "pos/v1/shop/advisory/acquirer/bank" && topic != "pos/v1/shop/t2/tally" {
			t.Errorf("t2 hears %s", topic)
		}
	}
	if s := u.Counters().Sessions; s != 4 {
		t.Errorf("%d sessions, want 4: one and three restarts; t2 took over t1's", s)
	}
	stop()
	housetest.Until(t, "status says offline at the end", func() bool {
		fleet.mu.Lock()
		defer fleet.mu.Unlock()
		return len(fleet.states) > 0 && fleet.states[len(fleet.states)-1] == "offline"
	})
	if err := box.Close(); err != nil {
		t.Error(err)
	}
	c := u.Counters()
	t.Logf("sent %v, bytes %v, wire out %d in %d, resent %d", c.Sent, c.Bytes, c.WireOut, c.WireIn, c.Resent)
}

// TestRenewal starts with a certificate that the broker does not take and puts a good one in its place.
func TestRenewal(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	p, other := newPKI(t), newPKI(t)
	m := newMosquitto(t, p)
	cert, key := other.files("t1")
	cfg := Config{Brokers: []string{m.URL()}, CAFile: filepath.Join(p.dir, "ca.pem"), CertFile: cert, KeyFile: key}
	u, _ := run(t, cfg, newBox(t), Handlers{})
	housetest.Until(t, "a refusal that names the certificate", func() bool { return strings.Contains(u.State().LastError, cert) })
	c, k := p.issue("t1", time.Now().Add(-time.Hour), time.Now().Add(10*24*time.Hour))
	other.write("t1.pem", c, 0o644)
	other.write("t1.key", k, 0o600)
	housetest.Until(t, "connected with the renewed certificate", func() bool { return u.State().Connected })
	if w := u.State().Warning; !strings.Contains(w, "expires on") || !strings.Contains(w, cert) {
		t.Errorf("warning %q: want the expiry, which is 10 days off", w)
	}
}

// TestRevokedCertificateIsRefused holds the shipped mosquitto rules: a terminal whose certificate was taken back is
// out, the others are not.
func TestRevokedCertificateIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	p := newPKI(t)
	own := func(cn string) (*tls.Config, *big.Int) {
		c := p.Issue(t, cn, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		return &tls.Config{RootCAs: p.Pool(), Certificates: []tls.Certificate{c.TLS()}, ServerName: "127.0.0.1"}, c.Cert.SerialNumber
	}
	stolen, number := own("t1")
	other, second := own("t2")
	p.revoked = []*big.Int{number}
	m := newMosquitto(t, p)
	comes := func(cn string, c *tls.Config) error {
		client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(m.URL()).SetClientID(cn).SetTLSConfig(c).
			SetAutoReconnect(false))
		tok := client.Connect()
		if !tok.WaitTimeout(patience) {
			return errors.New("no answer")
		}
		client.Disconnect(100)
		return tok.Error()
	}
	if err := comes("t2", other); err != nil {
		t.Errorf("t2 is refused: %v", err)
	}
	if err := comes("t1", stolen); err == nil {
		t.Error("t1's certificate is revoked, and it is let in")
	}
	if err := comes("t1", p.config("t1")); err != nil {
		t.Errorf("t1 with its new certificate is refused: %v", err)
	}
	p.write("crl.pem", p.Revoke(t, number, second), 0o644)
	m.Reload()
	housetest.Until(t, "t2 is refused, once its certificate is on the list too", func() bool { return comes("t2", other) != nil })
}

// TestNamesBelowATerminalsOwnReachLittle holds the shipped mosquitto rules against certificates whose name reaches
// into another terminal's topics. Such a name mosquitto puts into its rules as it is: what t1/cmd may write as its
// own health is the command health to t1. No other command comes through; posdx-fleet, which signs no such name,
// refuses it altogether, and TestForgedNamesReachNobody holds what a terminal makes of it.
func TestNamesBelowATerminalsOwnReachLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	p := newPKI(t)
	m := newMosquitto(t, p)
	heard := make(chan string, 100)
	client := func(cn, id string) mqtt.Client {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(m.URL()).SetClientID(id).SetTLSConfig(p.config(cn)).
			SetAutoReconnect(false))
		if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Logf("%s is not let in: %v", cn, tok.Error())
			return nil
		}
		t.Cleanup(func() { c.Disconnect(0) })
		return c
	}
	victim := client("t1", "t1")
	if victim == nil {
		t.Fatal("t1 is not let in")
	}
	victim.Subscribe("pos/v1/shop/t1/cmd/+", 1, func(_ mqtt.Client, m mqtt.Message) {
		heard <- m.Topic() + " " + string(m.Payload())
	}).WaitTimeout(patience)
	for i, cn := range []string{"t1/cmd", "+", "#", "t1/#", "+/cmd"} {
		c := client(cn, fmt.Sprint("thief", i))
		if c == nil {
			continue
		}
		stolen := make(chan string, 10)
		c.SubscribeMultiple(map[string]byte{"pos/v1/shop/t1/cmd/+": 1, "pos/v1/shop/t1/cmd/ack": 1, "pos/v1/shop/+/ack": 1, "pos/v1/shop/#": 1},
			func(_ mqtt.Client, m mqtt.Message) { stolen <- m.Topic() }).WaitTimeout(patience)
		for _, name := range []string{"diagnose", "bundle", "knowledge", "ping"} {
			c.Publish("pos/v1/shop/t1/cmd/"+name, 1, false, "forged").WaitTimeout(time.Second)
		}
		c.Publish("pos/v1/shop/t1/ack", 1, false, "forged").WaitTimeout(time.Second)
		fleet := client("posdx-fleet", fmt.Sprint("fleet", i))
		fleet.Publish("pos/v1/shop/t1/cmd/ping", 1, false, "true").WaitTimeout(patience)
		fleet.Publish("pos/v1/shop/t1/ack", 1, false, "{}").WaitTimeout(patience)
		if got := <-heard; got != "pos/v1/shop/t1/cmd/ping true" {
			t.Errorf("%s: t1 hears %s", cn, got)
		}
		select {
		case topic := <-stolen:
			t.Errorf("%s hears %s", cn, topic)
		default: // the fleet's command has been delivered before: what was stolen would be here
		}
		fleet.Disconnect(0)
	}
}

// TestForgedNamesReachTwoTopics has certificates of such names write all that is "theirs": with the shipped mosquitto
// rules two topics of others take it, the command health and its reply, and nothing else. The fleet's own come through.
func TestForgedNamesReachTwoTopics(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	p := newPKI(t)
	m := newMosquitto(t, p)
	client := func(cn string) mqtt.Client {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(m.URL()).SetClientID(cn).SetTLSConfig(p.config(cn)).
			SetAutoReconnect(false))
		if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("%s is not let in, so this test holds nothing: %v", cn, tok.Error())
		}
		t.Cleanup(func() { c.Disconnect(0) })
		return c
	}
	heard := make(chan string, 1000)
	hears := func(c mqtt.Client, filters ...string) {
		t.Helper()
		all := map[string]byte{}
		for _, f := range filters {
			all[f] = 1
		}
		tok := c.SubscribeMultiple(all, func(_ mqtt.Client, m mqtt.Message) {
			heard <- m.Topic() + " " + string(m.Payload())
		})
		if !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
	}
	fleet := client("posdx-fleet")
	hears(client("t1"), at.Topic("cmd/+"), at.Topic("ack"), at.AdvisoryFilter(), "pos/v1/shop/+/siteword/+")
	hears(fleet, "pos/v1/shop/+/reply/+")
	for _, cn := range []string{"t1/cmd", "t1/reply", "t1/siteword", "t2/siteword", "advisory", "advisory/carrier"} {
		c := client(cn)
		for _, kind := range append(written[:], "reply/x", "siteword/x", "cmd/health", "ack") {
			c.Publish("pos/v1/shop/"+cn+"/"+kind, 1, false, "forged").WaitTimeout(patience)
		}
	}
	real := []string{at.Topic("ack"), at.Topic("cmd/health"), at.Topic("cmd/diagnose"), "pos/v1/shop/advisory/carrier/x"}
	for _, topic := range real {
		fleet.Publish(topic, 1, false, "real").WaitTimeout(patience)
	}
	for n := len(real); n > 0; {
		select {
		case got := <-heard:
			topic, who, _ := strings.Cut(got, " ")
			if who == "real" {
				n--
			} else if topic != at.Topic("cmd/health") && topic != at.Topic("reply/health") {
				t.Errorf("a forged name speaks on %s", topic)
			}
		case <-time.After(patience):
			t.Fatal("the fleet's own do not come through")
		}
	}
}

// TestForgedNamesReachNobody has certificates of such names write all that the shipped mosquitto rules let them, at a
// terminal that is up: nothing is carried out but health, seldom, nothing is believed of other terminals, and the
// terminal goes on.
func TestForgedNamesReachNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	p := newPKI(t)
	m := newMosquitto(t, p)
	cert, key := p.files("t1")
	var did, advised, ended atomic.Int64
	cfg := Config{Brokers: []string{m.URL()}, CAFile: filepath.Join(p.dir, "ca.pem"), CertFile: cert, KeyFile: key}
	u, _ := run(t, cfg, newBox(t), Handlers{
		Command: func(_ context.Context, name string, _ report.Command) report.Reply {
			if name == "health" {
				did.Add(1)
			} else {
				ended.Add(1)
			}
			return report.Reply{Result: "done"}
		},
		Advisory: func(string, string, report.Advisory, bool) { advised.Add(1) },
	})
	housetest.Until(t, "t1 is up", func() bool { return u.State().Connected })
	advisory, err := json.Marshal(report.Advisory{Scope: "carrier", Key: "x", Terminals: 900, SharePct: 100})
	if err != nil {
		t.Fatal(err)
	}
	for i, cn := range []string{"t1/cmd", "advisory", "advisory/carrier"} {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(m.URL()).SetClientID(fmt.Sprint("thief", i)).
			SetTLSConfig(p.config(cn)).SetAutoReconnect(false))
		if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("%s is not let in, so this test holds nothing: %v", cn, tok.Error())
		}
		for n := range 3 * doubtfulMost {
			for _, kind := range append(written[:], "reply/x", "reply/carrier") {
				text := fmt.Appendf(nil, `{"id":"forged-%d-%d-%s"}`, i, n, strings.ReplaceAll(kind, "/", "-"))
				if cn != "t1/cmd" {
					text = advisory
				}
				c.Publish("pos/v1/shop/"+cn+"/"+kind, 1, false, text).WaitTimeout(patience)
			}
		}
		for _, d := range report.Dimensions { // whatever two levels the rules let a terminal write
			text, err := json.Marshal(report.Advisory{Scope: d, Key: "x", Terminals: 900, SharePct: 100})
			if err != nil {
				t.Fatal(err)
			}
			c.Publish("pos/v1/shop/"+cn+"/"+d+"/x", 1, false, text).WaitTimeout(patience)
		}
		c.Disconnect(100)
	}
	fleet := newListener(t, m.URL(), p, "posdx-fleet")
	fleet.client.Publish("pos/v1/shop/advisory/carrier/x", 1, false, advisory).WaitTimeout(patience)
	fleet.client.Publish(at.Topic("cmd/bundle"), 1, false, `{"id":"real"}`).WaitTimeout(patience)
	housetest.Until(t, "the fleet's own come through", func() bool { return ended.Load() > 0 && advised.Load() > 0 })
	if did.Load() == 0 || did.Load() > doubtfulMost || advised.Load() != 1 || ended.Load() != 1 {
		t.Errorf("health %d times, want 1 to %d; %d advisories and %d other commands, want the fleet's one of each",
			did.Load(), doubtfulMost, advised.Load(), ended.Load())
	}
}

// TestNATSRules holds the rules for nats-server: another terminal's topics are refused, one's own pass.
func TestNATSRules(t *testing.T) {
	conf, err := os.ReadFile("../../../firmware-build/broker/nats/posdx.conf")
	if err != nil {
		t.Fatal(err)
	}
	p := newPKI(t)
	cert, key := p.files("broker", "127.0.0.1")
	port := housetest.FreePort(t)
	second := strings.NewReplacer("t1", "t2")
	text := string(conf)
	from := strings.Index(text, `    { user: "CN=t1"`)
	to := strings.LastIndex(text, "  ]\n}")
	text = text[:to] + second.Replace(text[from:to]) + text[to:]
	text = strings.NewReplacer("/var/lib/nats", t.TempDir(), "0.0.0.0:8883", "127.0.0.1:"+port, "/etc/nats/terminals-ca.pem", p.write("ca.pem", p.pem, 0o644),
		"/etc/nats/broker.pem", cert, "/etc/nats/broker.key", key).Replace(text)
	o, err := server.ProcessConfigFile(p.write("nats.conf", []byte("listen: \"127.0.0.1:-1\"\n"+text), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server does not start")
	}
	url := "ssl://127.0.0.1:" + port
	fleet := newListener(t, url, p, "posdx-fleet")
	tcert, tkey := p.files("t1")
	box := newBox(t)
	fill(t, box, 20)
	run(t, Config{Brokers: []string{url}, CAFile: filepath.Join(p.dir, "ca.pem"), CertFile: tcert, KeyFile: tkey}, box, Handlers{})
	housetest.Until(t, "20 records confirmed", func() bool { return box.Stats().Records == 0 })

	thief := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("thief").SetTLSConfig(p.config("t2")))
	if tok := thief.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("t2: %v", tok.Error())
	}
	defer thief.Disconnect(100)
	before := fleet.count(at.Topic("diagnosis"))
	thief.Publish(at.Topic("diagnosis"), 1, false, "{}").WaitTimeout(time.Second) // refused: may never be acknowledged
	housetest.Until(t, "t2's own topic passes", func() bool {
		thief.Publish("pos/v1/shop/t2/tally", 1, false, "{}").WaitTimeout(time.Second)
		return fleet.count("pos/v1/shop/t2/tally") > 0
	})
	if n := fleet.count(at.Topic("diagnosis")); n != before {
		t.Errorf("t2 speaks as t1: %d", n-before)
	}

	// A terminal whose user is taken out is refused, and its session ends: that is how it is revoked here.
	after := o.Clone()
	after.Users = slices.DeleteFunc(slices.Clone(o.Users), func(u *server.User) bool { return u.Username == "CN=t2" })
	if err := s.ReloadOptions(after); err != nil {
		t.Fatal(err)
	}
	again := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("t2").
		SetTLSConfig(p.config("t2")).SetAutoReconnect(false))
	if tok := again.Connect(); tok.WaitTimeout(patience) && tok.Error() == nil {
		t.Error("t2 is no user any more, and is let in")
	}
	housetest.Until(t, "its session has ended", func() bool { return !thief.IsConnectionOpen() })
}

// TestHeapStaysFlat queues what a long outage brings on real files: it lies there and not in memory.
func TestHeapStaysFlat(t *testing.T) {
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	doc := fmt.Appendf(nil, `{"pad":%q}`, strings.Repeat("x", 580))
	if heap := grown(func() {
		for range 10_000 {
			if _, err := box.Append(report.KindDiagnosis, true, time.Now(), doc); err != nil {
				t.Fatal(err)
			}
		}
	}); heap > 512<<10 {
		t.Errorf("10 000 queued records hold %d bytes of heap", heap)
	}
	var pos outbox.Pos
	n := 0
	if heap := grown(func() {
		for {
			r, ok, err := box.Next(pos)
			if err != nil || !ok {
				break
			}
			pos = pos.After(r)
			n++
		}
	}); heap > 512<<10 || n != 10_000 {
		t.Errorf("draining %d records holds %d bytes of heap", n, heap)
	}
	s := box.Stats()
	t.Logf("10 000 records of %d bytes: %d bytes and %d syncs to flash, %.3f times the payload", len(doc), s.Written, s.Syncs, float64(s.Written)/float64(10_000*len(doc)))
	if s.Written > 2*10_000*int64(len(doc)) {
		t.Errorf("flash written %d, over twice the payload", s.Written)
	}
}

// The terminals of a site tell each other what they met, by nothing but a broker with the rules that we ship; another
// site's hear nothing, and nobody speaks in another's name.
func TestASiteTellsItself(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	p := newPKI(t)
	m := newMosquitto(t, p)
	type said struct {
		to, who string
		w       report.SiteWord
	}
	heard := make(chan said, 100)
	terminal := func(name, site string) *Uplink {
		cert, key := p.files(name)
		u, _ := run(t, Config{Brokers: []string{m.URL()}, Address: report.Address{Estate: "shop", Terminal: name},
			CAFile: p.write("ca.pem", p.pem, 0o644), CertFile: cert, KeyFile: key, Site: site, Compress: true},
			newBox(t), Handlers{Site: func(who string, w report.SiteWord) { heard <- said{name, who, w} }})
		if !housetest.Within(patience, func() bool { return u.State().Connected }) {
			t.Fatalf("%s does not connect: %s", name, u.State().LastError)
		}
		if w := u.State().Warning; strings.Contains(w, "refuses") {
			t.Fatalf("%s: %s", name, w)
		}
		return u
	}
	t1, t2 := terminal("t1", "西单店"), terminal("t2", "西单店")
	terminal("t3", "another")
	o := mqtt.NewClientOptions().AddBroker(m.URL()).SetClientID("t4").SetTLSConfig(p.config("t4")).SetAutoReconnect(false)
	forger := mqtt.NewClient(o)
	if tok := forger.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	defer forger.Disconnect(0)
	forger.Publish(report.Address{Estate: "shop", Terminal: "t1"}.SiteTopic("西单店"), 1, false,
		`{"code":"forged"}`).WaitTimeout(patience)
	forger.Publish(report.Address{Estate: "shop", Terminal: "t4"}.SiteTopic("西单店"), 1, false, `{"code":""}`).WaitTimeout(patience)

	word := report.SiteWord{Code: "ConnectError"}
	t1.TellSite(word)
	got := <-heard
	if got != (said{"t2", "t1", word}) {
		t.Errorf("heard %+v, want t2 to hear t1 say %+v", got, word)
	}
	t2.TellSite(word)
	if got := <-heard; got != (said{"t1", "t2", word}) {
		t.Errorf("heard %+v, want t1 to hear t2", got)
	}
	t1.TellSite(report.SiteWord{Code: "4761739001010010"})
	select {
	case got := <-heard:
		t.Errorf("and %+v", got)
	default:
	}
}
