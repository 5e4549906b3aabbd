package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/access"
	"posdx/fleet/broker"
	"posdx/fleet/digest"
	"posdx/fleet/enroll"
	"posdx/fleet/incident"
	"posdx/fleet/ingest"
	"posdx/fleet/inventory"
	"posdx/fleet/metrics"
	"posdx/fleet/notify"
	"posdx/fleet/otlp"
	"posdx/fleet/sbom"
	"posdx/fleet/store"
	"posdx/fleet/web"
)

// serveConfig is what the flags of serve say.
type serveConfig struct {
	listen, webCert, webKey string
	open, oidc              string
	proxy                   bool
	notify                  string
	enroll                  bool
	collector, collectorKey string
	data, store             string
	limits                  store.Limits
	inventory, advisoryKey  string
	sunsets, sbom           string
	mqtt                    broker.Config
	ingest                  ingest.Config
}

const (
	sweepEvery   = 10 * time.Minute
	shutdownWait = 5 * time.Second
)

func runServe(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "serve", "[OPTIONS]",
		"Takes in what terminals report over MQTT, keeps it and shows it. With no options it runs whole on this machine: its\n"+
			"own broker, a SQLite store, and pages that only this machine can open. The first start prints a link that makes the\n"+
			"first account; posdx-fleet account makes more.",
		"posdx-fleet serve\nposdx-fleet serve --broker ssl://mqtt.example.com:8883 --ca ca.pem --cert fleet.pem --key fleet.key --store postgres://fleet@db/fleet")
	var c serveConfig
	f.StringVar(&c.listen, "listen", "127.0.0.1:8080", "`ADDRESS` of the pages; other than loopback needs --web-cert and --web-key")
	f.StringVar(&c.open, "open", "", "nobody signs in: whoever reaches the pages has this `ROLE` (viewer technician operator admin); on loopback only")
	f.StringVar(&c.oidc, "oidc", "", "TOML `FILE`: issuer, client_id, client_secret, redirect, name, role_claim; people may sign in at this OpenID provider too")
	f.BoolVar(&c.proxy, "behind-proxy", false, "a proxy on this machine ends TLS for the pages: cookies are for https only, and addresses are taken from its X-Forwarded-For")
	f.StringVar(&c.webCert, "web-cert", "", "`FILE` with the certificate of the pages (PEM), for https")
	f.StringVar(&c.webKey, "web-key", "", "`FILE` with its key")
	f.BoolVar(&c.enroll, "enroll", false, "issue terminals' certificates (posdx-fleet enroll makes their tokens); the embedded broker then takes terminals with such certificates, and needs --mqtt-cert")
	f.StringVar(&c.collector, "otlp", "", "`URL` of an OpenTelemetry collector that gets the metrics every minute, such as https://collector:4318; incidents go there by --notify")
	f.StringVar(&c.collectorKey, "otlp-token-file", "", "`FILE` with the token that it wants")
	f.StringVar(&c.notify, "notify", "", "TOML `FILE`: whom to tell of incidents, by Alertmanager, webhook, WeCom, DingTalk, Slack, Teams or e-mail; posdx-fleet notify checks it")
	f.StringVar(&c.data, "data", defaultData, "`DIR` for the store and the broker's sessions")
	f.StringVar(&c.store, "store", "", "`ADDRESS` of the store: sqlite:PATH or postgres://… (default sqlite in --data); a password is taken from the environment as libpq does")
	f.IntVar(&c.limits.Rows, "keep-rows", store.DefaultLimits.Rows, "how many diagnoses are kept, `N`")
	days := f.Int("keep-days", int(store.DefaultLimits.Age.Hours()/24), "how long diagnoses are kept, `DAYS`")
	f.StringVar(&c.inventory, "inventory", "", "CSV `FILE` instead of what posdx-fleet inventory import took in: estate, terminal and any of "+strings.Join(report.Dimensions, " ")+"; it says over a terminal's own labels, and is read again when it changes or on SIGHUP")
	f.StringVar(&c.sunsets, "sunsets", "", "CSV `FILE`: carrier, tech (2g 3g 4g 5g), date: when networks are switched off, for the pages' radar; an empty carrier is all")
	f.StringVar(&c.sbom, "sbom", "", "`DIR` with what programs are made of: CycloneDX documents (JSON), one for each version of a terminal's software, for the page of versions")
	f.StringVar(&c.advisoryKey, "advisory-key", "", "`FILE` with the key that signs advisories, from posdx-fleet advisory-key; terminals with broker.advisory_keys heed no others")
	f.StringVar(&c.ingest.URL, "broker", "embedded", "`URL` of the broker: tcp://host:1883, ssl://host:8883, or embedded")
	f.StringVar(&c.ingest.ClientID, "client-id", "", "MQTT client `ID`; the broker keeps its session while the fleet is away (default: one made for --data)")
	f.StringVar(&c.ingest.Share, "share", "", "`GROUP` of workers that the broker shares documents among ($share/GROUP/…); give all of them one PostgreSQL")
	f.StringVar(&c.ingest.CAFile, "ca", "", "`FILE` with the CA of the broker (PEM); the system's by default")
	f.StringVar(&c.ingest.CertFile, "cert", "", "`FILE` with the client certificate (PEM)")
	f.StringVar(&c.ingest.KeyFile, "key", "", "`FILE` with its key")
	f.StringVar(&c.ingest.ServerName, "server-name", "", "`NAME` in the broker's certificate, if not the URL's")
	f.StringVar(&c.ingest.User, "user", "", "MQTT user `NAME`")
	f.StringVar(&c.ingest.PassFile, "password-file", "", "`FILE` with the MQTT password")
	f.StringVar(&c.mqtt.Listen, "mqtt-listen", "127.0.0.1:1883", "`ADDRESS` of the embedded broker; other than loopback needs --mqtt-cert and --mqtt-users or --mqtt-ca")
	f.StringVar(&c.mqtt.CertFile, "mqtt-cert", "", "`FILE` with the embedded broker's certificate (PEM), for TLS")
	f.StringVar(&c.mqtt.KeyFile, "mqtt-key", "", "`FILE` with its key")
	f.StringVar(&c.mqtt.CAFile, "mqtt-ca", "", "`FILE` with the CA of the terminals' certificates (PEM): each must show one, and its common name is the terminal")
	f.StringVar(&c.mqtt.CRLFile, "mqtt-crl", "", "`FILE` with the certificates that this CA has revoked (CRL, PEM or DER); read again when it changes")
	f.StringVar(&c.mqtt.UsersFile, "mqtt-users", "", "`FILE` with a terminal and its password on each line, parted by a colon; passwords may be bcrypt hashes")
	f.IntVar(&c.mqtt.Sessions, "mqtt-sessions", broker.DefaultSessions, "sessions that the embedded broker takes, `N`; it refuses more")
	verbose := f.Bool("verbose", false, "say more on stderr")
	if _, code, ok := parse(s, f, args, 0); !ok {
		return code
	}
	c.limits.Age = time.Duration(*days) * 24 * time.Hour
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	if err := serve(ctx, c, slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))); err != nil {
		return failed(s, "serve", err)
	}
	return exitOK
}

// serve runs everything until ctx ends or one part fails.
func serve(ctx context.Context, c serveConfig, log *slog.Logger) error {
	if c.limits.Rows < 1 || c.limits.Age <= 0 {
		return errors.New("--keep-rows and --keep-days: want 1 or more")
	}
	role, err := c.safe()
	if err != nil {
		return err
	}
	if c.ingest.URL != "embedded" {
		if err := c.ingest.Check(); err != nil {
			return err
		}
	}
	sunsets, err := readSunsets(c.sunsets)
	if err != nil {
		return err
	}
	bills, err := sbom.ReadDir(c.sbom)
	if err != nil {
		return err
	}
	var key ed25519.PrivateKey
	if c.advisoryKey != "" {
		if key, err = readAdvisoryKey(c.advisoryKey); err != nil {
			return err
		}
	}
	if c.store == "" {
		c.store = "sqlite:" + storeFile(c.data)
	}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	// Two on one directory would share the broker's sessions and a client ID, two on one SQLite store all the work.
	dir, err := store.ClaimFile(c.data, filepath.Join(c.data, "serve.lock"))
	if err != nil {
		return err
	}
	defer dir.Free()
	claim, err := store.ClaimStore(c.store)
	if err != nil {
		return err
	}
	defer claim.Free()
	if c.inventory == "" {
		c.inventory = inventory.File(c.data)
		if err := inventory.Ensure(c.inventory); err != nil {
			return err
		}
	}
	listed := &incident.InventoryFile{Path: c.inventory}
	if _, err := listed.Load(true); err != nil {
		return err
	}
	db, err := store.Open(ctx, c.store)
	if err != nil {
		return err
	}
	defer db.Close()

	if c.ingest.ClientID == "" {
		if c.ingest.ClientID, err = clientID(c.data); err != nil {
			return err
		}
	}
	var authority *enroll.Authority
	if c.enroll {
		authority = &enroll.Authority{Store: db, Dir: filepath.Join(c.data, "authority"), Policy: enroll.Default}
		if err := authority.Open(ctx); err != nil {
			return err
		}
		if c.mqtt.CAFile == "" && c.mqtt.CertFile != "" {
			c.mqtt.Authority = authority
		}
	}
	if c.ingest.URL == "embedded" {
		b, err := c.startBroker(ctx, log)
		if err != nil {
			return err
		}
		defer b.Stop()
		if authority != nil {
			authority.Shut = b.Drop
		}
		log.Info("broker listens", "address", b.Address(), "sessions", c.mqtt.Sessions)
	}

	registry := metrics.Registry(&metrics.Fleet{Store: db, Log: log}, version, codes.Builtin().Version)
	hub := new(web.Hub)
	reload, again := make(chan struct{}, 1), make(chan struct{}, 1)
	watch := &incident.Watch{Source: db, Inventory: listed, Reload: reload, Key: key, Changed: hub.Changed, Log: log}
	in := ingest.New(c.ingest, db, ingest.NewMetrics(registry), log, hub.Changed, watch.Told)
	watch.Publish = in.Publish
	kept := &digest.Digest{
		Source: db, Inventory: &incident.InventoryFile{Path: c.inventory}, Sunsets: sunsets,
		Knowledge: codes.Builtin(), Changed: hub.Changed, Log: log,
	}

	teller := &notify.Teller{}
	if c.notify != "" {
		nc, err := notify.Read(c.notify)
		if err != nil {
			return err
		}
		if teller, err = notify.New(nc, db, codes.Builtin(), registry, log); err != nil {
			return err
		}
	}

	var exporter *otlp.Exporter
	if c.collector != "" {
		if err := otlp.CheckURL(c.collector); err != nil {
			return fmt.Errorf("--otlp: %w", err)
		}
		exporter = &otlp.Exporter{URL: c.collector, Version: version, Gatherer: registry, Log: log}
		if exporter.Bearer, err = readToken(c.collectorKey); err != nil {
			return err
		}
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	site := &web.Site{
		Source: db, Hub: hub, Knowledge: codes.Builtin(), Connected: in.Connected, Log: log, Stop: ctx,
		Secure: c.webCert != "" || c.proxy, Proxied: c.proxy, Open: role, Enroll: authority,
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), Send: in.Send, Bills: bills,
	}
	if role == 0 {
		if err := letIn(ctx, c, db, site); err != nil {
			return err
		}
	}
	handler, err := site.Handler()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.listen)
	if err != nil {
		return fmt.Errorf("listen for the pages: %w", err)
	}
	server := &http.Server{
		Handler: metrics.Pages(registry, handler), ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	scheme := "http"
	if c.webCert != "" || c.webKey != "" {
		scheme = "https"
	}

	var wg sync.WaitGroup
	start := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			} else if ctx.Err() == nil {
				stop(fmt.Errorf("%s: ended unexpectedly", name))
			}
		})
	}
	start("ingest", in.Run)
	if exporter != nil {
		start("collector", exporter.Run)
	}
	if authority != nil {
		start("authority", func(ctx context.Context) error {
			return authority.Run(ctx, again, func(err error) { log.Error("cannot look after the terminals' authority", "error", err) })
		})
	}
	start("reload", func(ctx context.Context) error { return onHangup(ctx, reload, again) })
	// Of several processes on one database one looks for incidents and sweeps; another takes over when it goes.
	start("lead", func(ctx context.Context) error {
		return db.Lead(ctx, func(ctx context.Context) error {
			log.Info("leads: looks for incidents and keeps the store within its limits")
			var both sync.WaitGroup
			defer both.Wait()
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			both.Go(func() { sweep(ctx, db, c.limits, log) })
			both.Go(func() { kept.Run(ctx) })
			both.Go(func() { teller.Run(ctx) })
			return watch.Run(ctx)
		}, func(err error) { log.Warn("does not lead", "reason", err) })
	})
	start("pages", func(ctx context.Context) error {
		context.AfterFunc(ctx, func() {
			bound, cancel := context.WithTimeout(context.Background(), shutdownWait)
			defer cancel()
			if server.Shutdown(bound) != nil {
				server.Close()
			}
		})
		var err error
		if scheme == "https" {
			err = server.ServeTLS(l, c.webCert, c.webKey)
		} else {
			err = server.Serve(l)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
	if site.Access != nil {
		link, err := site.Access.First(ctx)
		if err != nil {
			stop(err)
		} else if link != "" {
			log.Warn("nobody can sign in yet: this link makes the first account, within an hour", "link", scheme+"://"+l.Addr().String()+"/first?link="+link)
		}
	}
	log.Info("fleet view ready", "page", scheme+"://"+l.Addr().String()+"/", "store", where(c.store))

	<-ctx.Done()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// startBroker starts the embedded broker and tells ingest how to reach it. A broker keeps a document for nobody who has
// not subscribed yet: where the fleet's session is not there yet it is made before terminals are let in, while the broker
// listens where none of them looks for it.
func (c *serveConfig) startBroker(ctx context.Context, log *slog.Logger) (*broker.Broker, error) {
	c.mqtt.Dir = filepath.Join(c.data, "broker")
	reach := func(b *broker.Broker) ingest.Config {
		return ingest.Config{
			URL: b.URL(), ClientID: c.ingest.ClientID, User: broker.Own, Password: b.Password(),
			Certificate: b.Certificate(), Share: c.ingest.Share,
		}
	}
	known := filepath.Join(c.mqtt.Dir, "session") // in the broker's folder, so that it goes when that goes
	if kept, err := os.ReadFile(known); err != nil || string(kept) != c.ingest.Session() {
		aside := c.mqtt
		aside.Listen = "127.0.0.1:0"
		b, err := broker.Start(aside, log)
		if err != nil {
			return nil, err
		}
		err = ingest.Subscribe(ctx, reach(b))
		b.Stop()
		if err == nil {
			err = os.WriteFile(known, []byte(c.ingest.Session()), 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("make the session with the broker: %w", err)
		}
	}
	b, err := broker.Start(c.mqtt, log)
	if err == nil {
		c.ingest = reach(b)
	}
	return b, err
}

// safe refuses what would let anyone in, and says which role everybody has who reaches an open site: none if people
// sign in.
func (c serveConfig) safe() (web.Role, error) {
	if (c.webCert == "") != (c.webKey == "") {
		return 0, errors.New("--web-cert and --web-key belong together")
	}
	if !loopback(c.listen) {
		switch {
		case c.open != "":
			return 0, fmt.Errorf("--listen %s with --open: anyone who reaches this address could read the fleet; leave --open out, so that people sign in, or listen on 127.0.0.1", c.listen)
		case c.webCert == "":
			return 0, fmt.Errorf("--listen %s: passwords would cross the network in the clear; give a certificate (--web-cert, --web-key), or listen on 127.0.0.1 and let a proxy on this machine end TLS (--behind-proxy)", c.listen)
		}
	}
	if c.open == "" {
		return 0, nil
	}
	if c.proxy {
		return 0, fmt.Errorf("--open %s with --behind-proxy: whoever reaches the proxy would have that role; "+
			"leave --open out, so that people sign in", c.open)
	}
	r, err := access.ParseRole(c.open)
	if err != nil {
		return 0, fmt.Errorf("--open: %w", err)
	}
	return web.Role(r), nil
}

// letIn makes the site one that people sign in to.
func letIn(ctx context.Context, c serveConfig, db *store.Store, site *web.Site) error {
	keeper := &access.Keeper{Store: db}
	site.Access = keeper
	site.Audit = func(ctx context.Context, v web.Viewer, d web.Deed, refused error) error {
		what, object, detail := d.Name, d.Subject, d.Detail
		if refused != nil {
			what += ".refused"
			detail = strings.TrimSuffix(refused.Error()+"; "+detail, "; ")
		}
		if object == "" {
			object = d.At.Terminal
		}
		return keeper.Note(ctx, v.User(), what, d.At.Estate, object, detail)
	}
	if c.oidc == "" {
		return nil
	}
	b, err := os.ReadFile(c.oidc)
	if err != nil {
		return fmt.Errorf("read OpenID configuration: %w", err)
	}
	var o access.OIDCConfig
	d := toml.NewDecoder(bytes.NewReader(b))
	if err := d.DisallowUnknownFields().Decode(&o); err != nil {
		return fmt.Errorf("read OpenID configuration %s: %w", c.oidc, err)
	}
	if site.OIDC, err = access.NewOIDC(o, keeper); err != nil {
		return fmt.Errorf("%s: %w", c.oidc, err)
	}
	return nil
}

// sweep keeps the store within its limits.
func sweep(ctx context.Context, db *store.Store, l store.Limits, log *slog.Logger) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		gone, err := db.Sweep(ctx, l, time.Now())
		if err == nil {
			err = db.SweepAccess(ctx, time.Now().Add(-access.SessionLife), time.Now())
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			log.Error("cannot sweep the store", "error", err)
		case gone > 0:
			log.Info("swept the store", "rows", gone)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// minToken keeps a token from being guessed.
const minToken = 16

func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken {
		return "", fmt.Errorf("read token %s: want at least %d characters", file, minToken)
	}
	return token, nil
}

// readAdvisoryKey reads the private key that posdx-fleet advisory-key made.
func readAdvisoryKey(file string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read advisory key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("read advisory key %s: no PEM block in it; posdx-fleet advisory-key makes one", file)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read advisory key %s: %w", file, err)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read advisory key %s: not an ed25519 key", file)
	}
	return key, nil
}

func readSunsets(file string) ([]digest.Sunset, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read sunsets: %w", err)
	}
	defer f.Close()
	list, err := digest.ReadSunsets(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}

// clientID is the name of this process's session with the broker, made once for its data directory: two fleets with one
// name would throw each other out.
func clientID(dir string) (string, error) {
	file := filepath.Join(dir, "client-id")
	b, err := os.ReadFile(file)
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read client id: %w", err)
	}
	id := "posdx-fleet-" + strings.ToLower(rand.Text()[:8])
	if err := os.WriteFile(file, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep client id: %w", err)
	}
	return id, nil
}

// onHangup asks for the inventory and the revoked certificates to be read at each SIGHUP.
func onHangup(ctx context.Context, reload ...chan struct{}) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			for _, c := range reload {
				select {
				case c <- struct{}{}:
				default:
				}
			}
		}
	}
}

// loopback tells whether only this machine reaches an address.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// where is the store's address without what may be secret.
func where(address string) string {
	if strings.HasPrefix(address, "sqlite:") {
		return address
	}
	return "postgres"
}
