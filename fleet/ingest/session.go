package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/fleet/store"
)

// Times of the session with the broker.
const (
	connectWait   = 10 * time.Second
	subscribeWait = 30 * time.Second // retained documents of a large fleet come before the SUBACK on some brokers
	publishWait   = 5 * time.Second
	keepAlive     = 30 * time.Second
	disconnectMS  = 250 // for what is on its way out
	backoffMin    = 500 * time.Millisecond
	backoffMax    = 10 * time.Second
)

// Config is how to reach the broker.
type Config struct {
	URL        string // tcp://host:1883 or ssl://host:8883
	ClientID   string // of a persistent session: the broker keeps what comes while the fleet is away
	CAFile     string // PEM; empty means the system's
	CertFile   string // PEM, with KeyFile: the client certificate
	KeyFile    string
	ServerName string // if the certificate names another host than the URL
	User       string
	Password   string
	PassFile   string // first line is the password

	// Certificate, in DER, is the one that the broker must show, whatever it names; nil: as the URL and the CA say.
	Certificate []byte

	// Share names a group of workers that the broker shares the documents among ($share/NAME/…: mosquitto 2, EMQX,
	// VerneMQ, HiveMQ); empty: this one takes all.
	Share string

	// Clean ends the session with the connection: the broker keeps nothing for a client that will not come again.
	Clean bool

	// View leaves the documents to others (posdx-fleet ingest) and takes the advisories only.
	View bool

	alive time.Duration // the keep-alive; zero: keepAlive
}

// Check says what is wrong with the configuration: what no try to connect would mend. Files are read again at each
// connect, so they must be there at the start too.
func (c Config) Check() error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return fmt.Errorf("broker %q: not an address; want tcp://host:1883 or ssl://host:8883", redact(c.URL))
	}
	switch u.Scheme {
	case "ws", "wss":
		if u.Host == "" {
			return fmt.Errorf("broker %q: names no host", u.Redacted())
		}
	case "tcp", "mqtt", "ssl", "tls", "mqtts":
		if u.Hostname() == "" || u.Port() == "" {
			return fmt.Errorf("broker %q: want a host and a port: %s://host:1883", u.Redacted(), u.Scheme)
		}
		if u.Path != "" && u.Path != "/" {
			return fmt.Errorf("broker %q: a broker has no path %q; topics are always pos/v1/…", u.Redacted(), u.Path)
		}
	default:
		return fmt.Errorf("broker %q: %q is no way to reach an MQTT broker; want tcp://host:1883 or ssl://host:8883 "+
			"(or mqtt, mqtts, tls, ws, wss)", u.Redacted(), u.Scheme)
	}
	if strings.ContainsAny(c.Share, "/+#\x00") {
		return fmt.Errorf("group %q: want a name without / + #", c.Share) // MQTT 5, 4.8.2
	}
	_, err = c.options()
	return err
}

// errNotConnected says that there is no session at the moment.
var errNotConnected = errors.New("not connected to the broker")

// Ingest receives documents from the broker and writes them into the store.
type Ingest struct {
	cfg     Config
	log     *slog.Logger
	metrics *Metrics
	writer  *writer
	acks    *acker
	lanes   []lane
	floods  floods
	// advisory gets what is retained under an estate's advisory topics, empty payload if it was cleared.
	advisory func(topic string, payload []byte)
	where    string                          // the broker, for the log
	session  func(ctx context.Context) error // lives as long as one session with the broker

	mu     sync.Mutex
	client mqtt.Client // guarded by mu; nil while there is no session
}

// New makes an Ingest. After each commit that changed something it calls changed; advisory gets every retained advisory
// on the broker. Both must return at once.
func New(cfg Config, s committer, m *Metrics, log *slog.Logger, changed func(),
	advisory func(topic string, payload []byte)) *Ingest {
	in := newIngest(s, m, log, changed)
	in.cfg, in.where, in.advisory, in.session = cfg, redact(cfg.URL), advisory, in.mqttSession
	return in
}

func newIngest(s committer, m *Metrics, log *slog.Logger, changed func()) *Ingest {
	in := &Ingest{log: log, metrics: m, acks: newAcker(m)}
	for range runtime.GOMAXPROCS(0) {
		in.lanes = append(in.lanes, make(lane, laneQueue))
	}
	in.writer = &writer{store: s, queue: make(chan message, maxQueue), acks: in.acks, changed: changed, metrics: m,
		log: log}
	return in
}

// Run keeps a session with the broker until ctx ends.
func (in *Ingest) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { in.writer.Run(ctx) })
	for _, l := range in.lanes {
		wg.Go(func() { in.decode(ctx, l) })
	}

	wait := backoffMin
	for ctx.Err() == nil {
		began := time.Now()
		err := in.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > backoffMax {
			wait = backoffMin
		}
		pause := wait/2 + rand.N(wait/2)
		in.log.Warn("no session with the broker; trying again", "broker", in.where,
			"in", pause.Round(time.Millisecond).String(), "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		wait = min(2*wait, backoffMax)
	}
	return nil
}

// mqttSession lives as long as one connection. A client object is used once: what it remembers of a broken connection
// is better forgotten, since the broker sends again what was not acknowledged.
func (in *Ingest) mqttSession(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	o, err := in.cfg.options()
	if err != nil {
		return err
	}
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { stop(fmt.Errorf("connection lost: %w", err)) }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { in.receive(ctx, m) })
	c, err := in.cfg.open(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		stop(nil) // first, so that a handler that waits for the queue lets go
		c.Disconnect(disconnectMS)
	}()

	in.set(c)
	in.metrics.Connected.Set(1)
	in.log.Info("session with the broker", "broker", in.where, "client", in.cfg.ClientID)
	defer func() {
		in.set(nil)
		in.metrics.Connected.Set(0)
	}()
	in.acks.run(ctx, c)
	return context.Cause(ctx)
}

// open connects and subscribes.
func (c Config) open(ctx context.Context, o *mqtt.ClientOptions) (client mqtt.Client, err error) {
	client = mqtt.NewClient(o)
	defer func() {
		if err != nil {
			client.Disconnect(0)
		}
	}()
	if t := client.Connect(); !t.WaitTimeout(connectWait) {
		return client, errors.New("connect: no answer in time")
	} else if t.Error() != nil {
		return client, fmt.Errorf("connect: %w", t.Error())
	}
	t, ok := client.SubscribeMultiple(c.filters(), nil).(*mqtt.SubscribeToken)
	if !ok || !waitFor(ctx, t, subscribeWait) {
		return client, errors.Join(errors.New("subscribe: no answer in time"), context.Cause(ctx))
	}
	if t.Error() != nil {
		return client, fmt.Errorf("subscribe: %w", t.Error())
	}
	for f, code := range t.Result() {
		if code == 0x80 {
			return client, fmt.Errorf("subscribe %s: the broker refuses; allow this user to read it", f)
		}
	}
	return client, nil
}

// filters are what the session is subscribed to, each with its QoS.
func (c Config) filters() map[string]byte {
	want := map[string]byte{"pos/v1/+/advisory/+/+": 1}
	for _, f := range filters {
		if c.View {
			break
		}
		if c.Share != "" && shared[f] {
			f = "$share/" + c.Share + "/" + f
		}
		want[f] = 1
	}
	return want
}

// Session names the session that the broker keeps: of whom, and of what. A broker that has another one, or none, keeps
// nothing of what comes before the next Run.
func (c Config) Session() string {
	return c.ClientID + " " + strings.Join(slices.Sorted(maps.Keys(c.filters())), " ")
}

// Subscribe makes the session on a broker and leaves it, so that what comes from then on waits for Run.
func Subscribe(ctx context.Context, c Config) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	o.SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) {}) // not acknowledged, so it comes again
	client, err := c.open(ctx, o)
	if err != nil {
		return err
	}
	client.Disconnect(disconnectMS)
	return nil
}

func waitFor(ctx context.Context, t mqtt.Token, d time.Duration) bool {
	bound, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-t.Done():
		return true
	case <-bound.Done():
		return false
	}
}

func (in *Ingest) set(c mqtt.Client) {
	in.mu.Lock()
	in.client = c
	in.mu.Unlock()
}

// Connected tells whether there is a session.
func (in *Ingest) Connected() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.client != nil
}

// Publish publishes a retained message and waits until the broker has taken it. An empty payload clears the topic.
func (in *Ingest) Publish(ctx context.Context, topic string, payload []byte) error {
	return in.publish(ctx, topic, true, payload)
}

// Send publishes a message for those that are subscribed now, and waits until the broker has taken it.
func (in *Ingest) Send(ctx context.Context, topic string, payload []byte) error {
	return in.publish(ctx, topic, false, payload)
}

func (in *Ingest) publish(ctx context.Context, topic string, retain bool, payload []byte) error {
	in.mu.Lock()
	c := in.client
	in.mu.Unlock()
	if c == nil {
		return errNotConnected
	}
	t := c.Publish(topic, 1, retain, payload)
	if !waitFor(ctx, t, publishWait) {
		return fmt.Errorf("publish %s: no answer in time", topic)
	}
	return t.Error()
}

func (c Config) options() (*mqtt.ClientOptions, error) {
	o := mqtt.NewClientOptions().AddBroker(c.URL).SetClientID(c.ClientID).
		SetCleanSession(c.Clean).SetAutoReconnect(false).SetConnectRetry(false).
		SetConnectTimeout(connectWait).SetKeepAlive(cmp.Or(c.alive, keepAlive)).SetWriteTimeout(publishWait).
		SetPingTimeout(math.MaxInt64). // a wire tells when a connection is dead
		SetAutoAckDisabled(true).SetOrderMatters(true).SetCustomOpenConnectionFn(dial)
	if c.User != "" {
		o.SetUsername(c.User)
	}
	if c.Password != "" {
		o.SetPassword(c.Password)
	}
	if c.PassFile != "" {
		b, err := os.ReadFile(c.PassFile)
		if err != nil {
			return nil, fmt.Errorf("read password: %w", err)
		}
		line, _, _ := bytes.Cut(b, []byte("\n"))
		o.SetPassword(strings.TrimRight(string(line), "\r"))
	}
	conf, err := c.tls()
	if err != nil {
		return nil, err
	}
	return o.SetTLSConfig(conf), nil
}

// tls reads the files at each connect, so that a renewed certificate is taken without a restart.
func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.Certificate != nil {
		t.InsecureSkipVerify = true // not by a name: by the very certificate
		t.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, c.Certificate) {
				return errors.New("the broker shows another certificate")
			}
			return nil
		}
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA %s: no certificate in it", c.CAFile)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("the client certificate and its key belong together")
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// A raw is a message as it came.
type raw struct {
	topic    string
	payload  []byte
	retained bool
	received time.Time
	done     func()
}

// A lane is decoded by one goroutine. All that a terminal says goes by the same lane, so it stays in order.
type lane chan raw

// laneQueue and maxQueue together are as many documents as wait in memory: more than a broker leaves unacknowledged, so
// that the client's goroutine, which also takes in the broker's own acknowledgements, seldom waits.
const laneQueue = 4000

// receive puts a message on its lane; it runs on the client's only goroutine. Full lanes hold the connection back: the
// broker then keeps what is to come.
func (in *Ingest) receive(ctx context.Context, m mqtt.Message) {
	topic := m.Topic()
	if p := strings.Split(topic, "/"); len(p) == 6 && p[3] == "advisory" {
		in.advisory(topic, m.Payload())
		m.Ack()
		return
	}
	if len(m.Payload()) == 0 {
		m.Ack() // a retained document was cleared
		return
	}
	in.enter(ctx, raw{topic, m.Payload(), m.Retained(), time.Now(), m.Ack})
}

// enter puts a message on its terminal's lane, false if ctx ended before there was room.
func (in *Ingest) enter(ctx context.Context, r raw) bool {
	who := r.topic
	for range 2 { // a reply's kind has two levels
		if i := strings.LastIndexByte(who, '/'); i > 0 && strings.Count(who, "/") > 3 {
			who = who[:i]
		}
	}
	h := fnv.New32a()
	h.Write([]byte(who))
	select {
	case in.lanes[h.Sum32()%uint32(len(in.lanes))] <- r:
		return true
	case <-ctx.Done():
		return false
	}
}

// decode takes what comes by one lane apart, and packs what is kept.
func (in *Ingest) decode(ctx context.Context, l lane) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-l:
			doc := Decode(r.topic, r.payload, r.received)
			doc.Retained = r.retained
			if doc.Diagnosis != nil && !in.floods.allow(doc.At, r.received) {
				doc.Diagnosis, doc.Packed, doc.Reason = nil, nil, store.ReasonFlood
			}
			select {
			case in.writer.queue <- message{doc, r.done}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// redact leaves a URL without its password.
func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}
