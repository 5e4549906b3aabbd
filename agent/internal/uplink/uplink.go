// Package uplink is the MQTT session that carries the outbox to the fleet and commands to the terminal.
//
// The client library keeps nothing and reconnects nothing: every connection is a new client object, the queue is the
// outbox, and a record is forgotten on the fleet's ack topic alone (or, when no fleet stands behind the broker, on a
// PUBACK seen on the connection that carried it). A session that makes no progress is given up and built anew.
package uplink

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posdx/agent/enroll"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/report"
)

// Bounds and timeouts.
const (
	connectTimeout = 30 * time.Second // DNS, TCP, TLS and CONNACK together
	writeTimeout   = 20 * time.Second
	pingTimeout    = 20 * time.Second // cellular round trips reach seconds
	stallTimeout   = 45 * time.Second // without a PUBACK the connection counts as dead
	ackTimeout     = 60 * time.Second // without the fleet's ack a record is sent again
	ackTimeoutMax  = 15 * time.Minute
	rebuildEvery   = 3                // every so many ack timeouts the session is built anew
	stable         = time.Minute      // a session that lasts this long ends a series of failures
	firstSpread    = 30 * time.Second // a whole fleet loses its broker in one moment; it must not return in one
	bootSpread     = time.Minute      // and so it must after a power cut
	youngBoot      = 10 * time.Minute // a machine that runs longer has not just got its power back
	fightAfter     = 5                // short sessions in a row: another client may have our id
	fightFactor    = 10               // then the longest wait grows by this
	fleetWindow    = 64               // records sent and not yet confirmed by the fleet
	drainPerSecond = 20               // records of the past
	overBudgetWait = time.Minute      // between records of the past once the day's bytes are spent
	maxReplies     = 16               // waiting to be sent
	maxAcks        = 16               // not yet looked at
	farewell       = 2 * time.Second
	warnExpiry     = 30 * 24 * time.Hour

	defaultKeepAlive = time.Minute
	defaultWindow    = 8
	maxWindow        = 16 // in memory; the outbox is the queue
	defaultMin       = 500 * time.Millisecond
	defaultMax       = time.Minute
)

// Ways of delivery: what makes the terminal forget a record.
const (
	DeliveryFleet  = "fleet"  // the fleet's ack
	DeliveryBroker = "broker" // a PUBACK: no posdx fleet is behind the broker
)

// Config is where the fleet is and how to reach it. Zero values mean the defaults. Files are read at every connect, so
// a renewed certificate needs no restart.
type Config struct {
	Brokers    []string // tcp://host:1883 or ssl://host:8883, tried in turn
	Address    report.Address
	BootID     string
	CAFile     string // PEM; empty means the system's
	CertFile   string // client certificate, PEM
	KeyFile    string
	ServerName string // expected in the broker's certificate, if it is not the URL's host
	UserFile   string // first line the user, second line the password
	RenewURL   string // https://host:port of the fleet's pages, where the certificate renews; CertFile and KeyFile are then one file

	AdvisoryKeys []ed25519.PublicKey // that may sign an advisory; without any, unsigned ones are heeded

	KeepAlive    time.Duration
	Delivery     string // DeliveryFleet when empty
	Window       int    // messages without PUBACK, at most 16
	ReconnectMin time.Duration
	ReconnectMax time.Duration
	Site         string        // whose terminals tell each other what they meet; empty: none
	Compress     bool          // documents go out packed, the status apart: the broker's last will is plain too
	DayBytes     int64         // on the wire in 24 hours; 0 without bound
	TimeFloor    time.Time     // it cannot be earlier than this: the build
	AuditFile    string        // record of commands; empty keeps none over a restart
	StateFile    string        // what is known from runs before; empty keeps nothing over a restart
	Uptime       time.Duration // of the machine, when the agent started
}

// Handlers connect the uplink to the rest of the agent. They must return soon, Command apart.
type Handlers struct {
	Birth    func() report.Birth // Epoch, Boot and Oldest are filled in
	Command  func(ctx context.Context, name string, cmd report.Command) report.Reply
	Advisory func(scope, key string, a report.Advisory, gone bool)
	Site     func(who string, w report.SiteWord) // another terminal of the site says something; may be nil
	Log      *slog.Logger
}

// State is how the session stands.
type State struct {
	Connected bool
	Since     time.Time // of that
	Broker    string
	LastError string // of the last attempt or session; empty after a good connect
	Warning   string // works, but will not for long or not as meant
	// latest start of a verified broker certificate, those of runs before included: a floor for the time
	NotBefore time.Time
}

// Counters count since the start.
type Counters struct {
	Sessions    int64
	Failures    int64 // attempts that did not become a session
	Sent        map[string]int64
	Bytes       map[string]int64 // payload and topic by kind of document
	Resent      int64
	WireOut     int64 // above TCP, TLS included
	WireIn      int64
	BudgetLeft  int64 // of the day's bytes; negative when overdrawn, 0 without a bound
	Commands    int64
	Refused     int64 // commands
	BadMessages int64 // from the broker, unreadable or out of place
	Lost        int64 // replies that no session took
	SetAside    int64 // documents that the broker does not take; an empty one stands in their place
}

// An Uplink is made with New and started with Run. The other methods may be called from any goroutine at any time.
type Uplink struct {
	cfg  Config
	h    Handlers
	box  *outbox.Box
	log  *slog.Logger
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	kick     chan struct{}
	pings    chan func()
	wake     chan struct{} // something to publish: health or a reply
	wallet   *enroll.Wallet
	renewed  chan struct{} // a renewed pair wants to be proven
	commands chan order
	seen     *audit
	budget   *budget
	out, in  atomic.Int64

	// Of the goroutine that runs the sessions.
	kept    memory     // as it is in the file
	short   int        // sessions in a row that ended soon
	notes   []string   // warnings of this attempt
	silent  int        // ack timeouts in a row
	moved   time.Time  // last ack that moved the cursor, or the first send after none was waiting
	reached outbox.Pos // by the session before
	suspect suspect

	mu       sync.Mutex
	state    State
	count    Counters
	health   []byte
	healthAt time.Time
	dirty    bool
	replies  []outReply
	loose    []looseDoc
	small    map[string]bool // brokers that are reached with a small hello alone
	doubtful allowance       // of commands that another terminal might have written
}

// New checks the configuration. Files named in it are not read before Run: what is missing now may be there later.
func New(cfg Config, box *outbox.Box, h Handlers) (*Uplink, error) {
	if err := cfg.Address.Check(); err != nil {
		return nil, fmt.Errorf("uplink: %w", err)
	}
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("uplink: no broker given")
	}
	for _, b := range cfg.Brokers {
		if _, err := parseBroker(b); err != nil {
			return nil, fmt.Errorf("uplink: %w", err)
		}
	}
	if (cfg.CertFile == "") != (cfg.KeyFile == "") {
		return nil, errors.New("uplink: a client certificate needs both the certificate and the key")
	}
	if cfg.RenewURL != "" {
		if _, err := enroll.CheckURL(cfg.RenewURL); err != nil {
			return nil, fmt.Errorf("uplink: renew: %w", err)
		}
		if cfg.CertFile == "" || cfg.CertFile != cfg.KeyFile {
			return nil, errors.New("uplink: a certificate that renews lies in one file with its key, as posdx enroll writes it")
		}
	}
	switch cfg.Delivery {
	case "":
		cfg.Delivery = DeliveryFleet
	case DeliveryFleet, DeliveryBroker:
	default:
		return nil, fmt.Errorf("uplink: delivery %q: want %s or %s", cfg.Delivery, DeliveryFleet, DeliveryBroker)
	}
	if cfg.KeepAlive <= 0 {
		cfg.KeepAlive = defaultKeepAlive
	}
	cfg.KeepAlive = max(cfg.KeepAlive, time.Second)
	if cfg.Window <= 0 {
		cfg.Window = defaultWindow
	}
	cfg.Window = min(cfg.Window, maxWindow)
	if cfg.ReconnectMin <= 0 {
		cfg.ReconnectMin = defaultMin
	}
	if cfg.ReconnectMax <= 0 {
		cfg.ReconnectMax = defaultMax
	}
	cfg.ReconnectMax = max(cfg.ReconnectMax, cfg.ReconnectMin)
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	u := &Uplink{
		cfg: cfg, h: h, box: box, log: h.Log, dial: dialTCP,
		kick: make(chan struct{}, 1), pings: make(chan func(), 1), wake: make(chan struct{}, 1),
		renewed: make(chan struct{}, 1), commands: make(chan order, maxOrders),
		small: map[string]bool{}, seen: openAudit(cfg.AuditFile), budget: newBudget(cfg.DayBytes, time.Now()),
		state: State{Since: time.Now()},
		count: Counters{Sent: map[string]int64{}, Bytes: map[string]int64{}},
	}
	if cfg.RenewURL != "" {
		u.wallet = &enroll.Wallet{Files: disk{}, Name: cfg.CertFile}
	}
	kept, err := readMemory(cfg.StateFile)
	if err != nil {
		u.log.Warn("uplink", "remembers nothing", err)
	}
	u.kept, u.state.NotBefore = kept, kept.NotBefore
	return u, nil
}

// Run keeps a session with the broker until the context ends. No fault of the network, the broker or a file ends it.
func (u *Uplink) Run(ctx context.Context) error {
	var worker sync.WaitGroup
	worker.Go(func() { u.obey(ctx) })
	if u.wallet != nil {
		worker.Go(func() { u.renewals(ctx) })
	}
	defer worker.Wait()
	wait := u.morning()
	u.remember()
	u.rest(ctx, wait, nil)
	failures := 0
	for i := 0; ctx.Err() == nil; i++ {
		broker := u.cfg.Brokers[i%len(u.cfg.Brokers)]
		up, lasted, err := u.session(ctx, broker)
		if ctx.Err() != nil {
			break
		}
		u.remember()
		u.ended(broker, up, err)
		if s := u.suspect; s.found() && s.times == packAfter {
			u.log.Warn("uplink", "warning", fmt.Sprintf("the broker hangs up at a %s document of %d bytes, %d times: it is sent packed", s.key.kind, s.size, s.times))
		}
		switch {
		case lasted >= stable:
			failures, u.short = 0, 0
		case up:
			u.short++
		default:
			u.short = 0 // who takes our place is let in: then so are we
		}
		wait := u.backoff(failures, lasted >= stable)
		failures++
		u.rest(ctx, wait, u.kick)
	}
	return nil
}

// rest waits, or less if it is kicked, and answers pings meanwhile.
func (u *Uplink) rest(ctx context.Context, wait time.Duration, kick <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-kick:
		case answer := <-u.pings:
			answer()
			continue
		}
		return
	}
}

// backoff is full jitter: a whole fleet that lost its broker comes back spread out.
func (u *Uplink) backoff(failures int, wasGood bool) time.Duration {
	top := u.cfg.ReconnectMax
	ceiling := top
	if !wasGood {
		ceiling = min(top, u.cfg.ReconnectMin<<min(failures+1, 20))
	} else {
		ceiling = min(top, firstSpread)
	}
	if u.short >= fightAfter && !u.suspect.found() && u.box.Stats().Records == 0 {
		ceiling = top * fightFactor // nothing waits here: the other client with our id may connect
	}
	return u.spread(ceiling)
}

// spread picks a time up to a ceiling, and at least the shortest wait.
func (u *Uplink) spread(ceiling time.Duration) time.Duration {
	ceiling = max(ceiling, u.cfg.ReconnectMin)
	return u.cfg.ReconnectMin + rand.N(ceiling-u.cfg.ReconnectMin+1)
}

// ended notes the end of a session or attempt; the log hears of a fault once, not at every attempt.
func (u *Uplink) ended(broker string, up bool, err error) {
	text := "session ended"
	if err != nil {
		text = err.Error()
	}
	u.mu.Lock()
	again := u.state.LastError == text
	if u.state.Connected {
		u.state.Since = time.Now()
	}
	u.state.Connected = false
	u.state.LastError = text
	if !up {
		u.count.Failures++
	}
	u.mu.Unlock()
	if !again {
		u.log.Warn("uplink down", "broker", broker, "error", text)
	}
}

// note adds a warning to those of this attempt.
func (u *Uplink) note(text string) {
	if text != "" {
		u.notes = append(u.notes, text)
	}
}

// warn publishes the warnings of this attempt; the log hears of a change only.
func (u *Uplink) warn() {
	text := strings.Join(u.notes, "; ")
	u.mu.Lock()
	again := u.state.Warning == text
	u.state.Warning = text
	u.mu.Unlock()
	if !again && text != "" {
		u.log.Warn("uplink", "warning", text)
	}
}

// Kick makes a waiting uplink try at once; for when a link has come up.
func (u *Uplink) Kick() { signal(u.kick) }

// Ping has the uplink call answer when it comes to the head of its loop, with or without a broker; while it connects
// that takes more than a minute at worst. One ping waits, a second is dropped.
func (u *Uplink) Ping(answer func()) {
	select {
	case u.pings <- answer:
	default:
	}
}

// PublishHealth replaces the retained health document. Only the newest waits for a connection.
func (u *Uplink) PublishHealth(doc []byte) {
	u.mu.Lock()
	u.health, u.healthAt, u.dirty = slices.Clone(doc), time.Now(), true
	u.mu.Unlock()
	signal(u.wake)
}

// maxLooseDocs wait for a session.
const maxLooseDocs = 16

// A looseDoc is a document beside the numbered ones.
type looseDoc struct {
	kind  string
	at    time.Time
	doc   []byte
	topic string // where it goes as it is; empty: in an envelope to the kind's
}

// PublishLoose sends a document that is neither numbered nor kept over a restart: an answer to a person who has it
// already, or the outcome of a diagnosis. The newest replace the oldest while there is no session.
func (u *Uplink) PublishLoose(kind string, doc []byte) {
	u.putLoose(looseDoc{kind: kind, at: time.Now(), doc: slices.Clone(doc)})
}

// TellSite tells the other terminals of the site what this one met.
func (u *Uplink) TellSite(w report.SiteWord) {
	doc, err := json.Marshal(w)
	if err != nil || u.cfg.Site == "" || !w.Check() || len(doc) > report.MaxSiteWord {
		return
	}
	u.putLoose(looseDoc{kind: report.KindSiteWord, at: time.Now(), doc: doc, topic: u.cfg.Address.SiteTopic(u.cfg.Site)})
}

func (u *Uplink) putLoose(d looseDoc) {
	u.mu.Lock()
	u.loose = append(u.loose, d)
	if n := len(u.loose) - maxLooseDocs; n > 0 {
		u.loose = slices.Delete(u.loose, 0, n)
	}
	u.mu.Unlock()
	signal(u.wake)
}

// State returns how the session stands.
func (u *Uplink) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state
}

// Counters returns the counts so far.
func (u *Uplink) Counters() Counters {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.count
	c.Sent, c.Bytes = maps.Clone(c.Sent), maps.Clone(c.Bytes)
	c.WireOut, c.WireIn = u.out.Load(), u.in.Load()
	c.BudgetLeft = u.budget.left(time.Now())
	return c
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// parseBroker checks a broker's URL and adds the usual port.
func parseBroker(s string) (*url.URL, error) {
	b, err := url.Parse(s)
	if err != nil {
		return nil, say.New("broker-no-url", s)
	}
	port := ""
	switch b.Scheme {
	case "tcp", "mqtt":
		b.Scheme, port = "tcp", "1883"
	case "ssl", "tls", "mqtts":
		b.Scheme, port = "ssl", "8883"
	default:
		return nil, say.New("broker-scheme", s)
	}
	if b.User != nil {
		return nil, say.New("broker-password", b.Redacted())
	}
	if b.Hostname() == "" || b.Path != "" && b.Path != "/" {
		return nil, say.New("broker-scheme", s)
	}
	if b.Port() == "" {
		b.Host = net.JoinHostPort(b.Hostname(), port)
	}
	return b, nil
}

// CheckBroker returns what is wrong with the address of a broker, nil if nothing is.
func CheckBroker(s string) error {
	_, err := parseBroker(s)
	return err
}
