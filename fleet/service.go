package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"posdx/codes"
	"posdx/fleet/access"
	"posdx/fleet/broker"
	"posdx/fleet/digest"
	"posdx/fleet/durable"
	"posdx/fleet/enroll"
	"posdx/fleet/incident"
	"posdx/fleet/ingest"
	"posdx/fleet/inventory"
	"posdx/fleet/metrics"
	"posdx/fleet/notify"
	"posdx/fleet/otlp"
	"posdx/fleet/sbom"
	"posdx/fleet/settings"
	"posdx/fleet/store"
	"posdx/fleet/web"
)

const (
	sweepEvery   = time.Minute
	sweepSoon    = 10 * time.Second // while much comes
	viewEvery    = 5 * time.Second
	shutdownWait = 5 * time.Second

	// answerWait is how long an answer may take, the reader's line included; files and live pages have their own.
	answerWait = 2 * time.Minute
)

// serve runs everything until ctx ends or one part fails.
func serve(ctx context.Context, c serveConfig, log *slog.Logger) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	f := &service{serveConfig: c, log: log, hub: new(web.Hub), stop: stop}
	defer f.close()
	for _, step := range [...]func(context.Context) error{
		meant(f.readFiles), f.claim, f.openStore, f.openAuthority, f.startBroker, f.makeIngest,
		meant(f.makeTellers), f.makeSite, f.openPages,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return f.run(ctx)
}

// A service is the parts of a running fleet, made in this order by the methods below.
type service struct {
	serveConfig
	log  *slog.Logger
	hub  *web.Hub
	stop context.CancelCauseFunc // ends all parts, and says why

	role  web.Role        // everybody's, on an open site
	ends  []digest.Sunset // of carriers' networks
	bills []*sbom.Bill
	key   ed25519.PrivateKey // signs advisories; nil: they are not signed

	db     *store.Store
	listed *incident.InventoryFile

	authority *enroll.Authority // nil: no certificates are issued
	renewed   chan struct{}     // has it read the revoked certificates again

	registry *prometheus.Registry
	in       *ingest.Ingest
	watch    *incident.Watch
	reload   chan struct{} // has watch read the inventory again
	kept     *digest.Digest

	teller   *notify.Teller
	exporter *otlp.Exporter // nil: no collector

	site     *web.Site
	listener net.Listener
	server   *http.Server

	closing []func()
}

// close gives up what was taken, the last first.
func (f *service) close() {
	for _, done := range slices.Backward(f.closing) {
		done()
	}
}

// readFiles reads what the flags name, and refuses what cannot be meant, before anything is touched.
func (f *service) readFiles(context.Context) (err error) {
	if f.limits.Rows < 1 || f.limits.Age <= 0 || f.terminals < 1 {
		return errors.New("--keep-rows, --keep-days and --max-terminals: want 1 or more")
	}
	if !(f.rate.Second >= 0 && f.rate.Second <= maxRate) || f.rate.Files < 1 {
		return fmt.Errorf("--rate: want 0, which is no limit, to %d; --exports: want 1 or more", maxRate)
	}
	if f.role, err = f.safe(); err != nil {
		return err
	}
	if err := f.brokerMeant(); err != nil {
		return err
	}
	if f.webCert != "" {
		if _, err := tls.LoadX509KeyPair(f.webCert, f.webKey); err != nil {
			return fmt.Errorf("certificate of the pages: %w", err)
		}
	}
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		return fmt.Errorf("--listen %q: %w", f.listen, err)
	}
	if f.ends, err = readSunsets(f.sunsets); err != nil {
		return err
	}
	if f.bills, err = sbom.ReadDir(f.sbom); err != nil {
		return err
	}
	if f.advisoryKey != "" {
		f.key, err = readAdvisoryKey(f.advisoryKey)
	}
	return err
}

// maxRate keeps a rate from being what nobody can have meant.
const maxRate = 1_000_000

// claim takes the data directory and the store for this process. Two on one directory would share the broker's sessions
// and a client ID, two on one SQLite store all the work.
func (f *service) claim(context.Context) error {
	if f.store == "" {
		f.store = "sqlite:" + storeFile(f.data)
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	dir, err := store.ClaimFile(f.data, filepath.Join(f.data, "serve.lock"))
	if err != nil {
		return err
	}
	f.closing = append(f.closing, dir.Free)
	claim, err := store.ClaimStore(f.store)
	if err != nil {
		return err
	}
	f.closing = append(f.closing, claim.Free)
	return nil
}

// openStore opens the store and the inventory.
func (f *service) openStore(ctx context.Context) (err error) {
	if f.inventory == "" {
		f.inventory = inventory.File(f.data)
		if err := inventory.Ensure(f.inventory); err != nil {
			return err
		}
	}
	f.listed = &incident.InventoryFile{Path: f.inventory}
	if _, err := f.listed.Load(true); err != nil {
		return mistake{err}
	}
	if f.db, err = store.Open(ctx, f.store); err != nil {
		return err
	}
	f.db.Admit(f.terminals)
	f.closing = append(f.closing, func() { f.db.Close() })
	return nil
}

// openAuthority opens what issues the terminals' certificates, where it is wanted.
func (f *service) openAuthority(ctx context.Context) error {
	f.renewed = make(chan struct{}, 1)
	if !f.enroll {
		return nil
	}
	f.authority = &enroll.Authority{Store: f.db, Dir: filepath.Join(f.data, "authority"), Policy: enroll.Default}
	if f.knowsTerminals() {
		f.mqtt.Authority = f.authority
	}
	return f.authority.Open(ctx)
}

// startBroker starts the embedded broker, where no other is named.
func (f *service) startBroker(ctx context.Context) (err error) {
	if f.ingest.ClientID == "" {
		if f.ingest.ClientID, err = clientID(f.data); err != nil {
			return err
		}
	}
	if f.ingest.URL != "embedded" {
		return nil
	}
	b, err := f.embeddedBroker(ctx, f.log)
	if err != nil {
		return err
	}
	f.closing = append(f.closing, b.Stop)
	if f.authority != nil {
		f.authority.Shut = b.Drop
	}
	f.log.Info("broker listens", "address", b.Address(), "sessions", f.mqtt.Sessions)
	return nil
}

// makeIngest joins what takes documents in with what looks for incidents in them.
func (f *service) makeIngest(context.Context) error {
	f.registry = metrics.Registry(&metrics.Fleet{Store: f.db, Log: f.log}, version, codes.Builtin().Version)
	f.reload = make(chan struct{}, 1)
	f.watch = &incident.Watch{
		Source: f.db, Inventory: f.listed, Reload: f.reload, Key: f.key, Changed: f.hub.Changed, Log: f.log,
	}
	f.in = ingest.New(f.ingest, f.db, ingest.NewMetrics(f.registry), f.log, f.hub.Changed, f.watch.Told)
	f.watch.Publish = f.in.Publish
	f.kept = &digest.Digest{
		Source: f.db, Inventory: &incident.InventoryFile{Path: f.inventory}, Sunsets: f.ends,
		Knowledge: codes.Builtin(), Changed: f.hub.Changed, Log: f.log,
	}
	return nil
}

// makeTellers makes what tells others: people of incidents, a collector of the metrics.
func (f *service) makeTellers(context.Context) (err error) {
	f.teller = &notify.Teller{}
	if f.notify != "" {
		c, err := notify.Read(f.notify)
		if err != nil {
			return err
		}
		if f.teller, err = notify.New(c, f.db, codes.Builtin(), f.registry, f.log); err != nil {
			return err
		}
	}
	if f.collector == "" {
		return nil
	}
	if err := otlp.CheckURL(f.collector); err != nil {
		return fmt.Errorf("--otlp: %w", err)
	}
	f.exporter = &otlp.Exporter{URL: f.collector, Version: version, Gatherer: f.registry, Log: f.log}
	f.exporter.Bearer, err = readToken(f.collectorKey)
	return err
}

// makeSite makes the pages, and decides who may see them.
func (f *service) makeSite(ctx context.Context) error {
	f.site = &web.Site{
		Source: f.db, Hub: f.hub, Knowledge: codes.Builtin(), Connected: f.in.Connected, Log: f.log, Stop: ctx,
		Secure: f.webCert != "" || f.proxy, Proxied: f.proxy, Rate: f.rate, Open: f.role, Enroll: f.authority,
		Metrics: promhttp.HandlerFor(f.registry, promhttp.HandlerOpts{}), Send: f.in.Send, Bills: f.bills,
	}
	if f.role == 0 {
		return letIn(ctx, f.serveConfig, f.db, f.site)
	}
	return nil
}

// openPages opens the address of the pages.
func (f *service) openPages(context.Context) error {
	handler, err := f.site.Handler()
	if err != nil {
		return err
	}
	if f.listener, err = net.Listen("tcp", f.listen); err != nil {
		return fmt.Errorf("listen for the pages: %w", err)
	}
	f.server = &http.Server{
		Handler: metrics.Pages(f.registry, handler), ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout: 30 * time.Second, WriteTimeout: answerWait, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}
	return nil
}

// run runs all parts until ctx ends. A part that fails, or ends by itself, ends the others.
func (f *service) run(ctx context.Context) error {
	var parts sync.WaitGroup
	start := func(name string, run func(context.Context) error) {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				f.stop(fmt.Errorf("%s: %w", name, err))
			} else if ctx.Err() == nil {
				f.stop(fmt.Errorf("%s: ended unexpectedly", name))
			}
		})
	}
	start("ingest", f.in.Run)
	if f.exporter != nil {
		start("collector", f.exporter.Run)
	}
	if f.authority != nil {
		start("authority", func(ctx context.Context) error {
			return f.authority.Run(ctx, f.renewed, func(err error) {
				f.log.Error("cannot look after the terminals' authority", "error", err)
			})
		})
	}
	start("reload", func(ctx context.Context) error { return onHangup(ctx, f.reload, f.renewed) })
	// Of several processes on one database one looks for incidents and sweeps; another takes over when it goes.
	start("lead", func(ctx context.Context) error {
		return f.db.Lead(ctx, f.lead, func(err error) { f.log.Warn("does not lead", "reason", err) })
	})
	start("pages", f.servePages)
	f.greet(ctx)
	<-ctx.Done()
	parts.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// lead is what one process of several on a database does for all.
func (f *service) lead(ctx context.Context) error {
	f.log.Info("leads: looks for incidents and keeps the store within its limits")
	err := f.db.PackSeasons(ctx, func(done, of int) {
		f.log.Info("brings the base rates of an earlier release into this one's form, once; incidents are looked for afterwards",
			"done", done, "of", of)
	})
	if err != nil && ctx.Err() == nil {
		f.log.Error("the base rates of an earlier release stay as they are; reading them takes longer", "error", err)
	}
	var others sync.WaitGroup
	defer others.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	others.Go(func() { sweep(ctx, f.db, f.limits, f.log) })
	others.Go(func() { f.kept.Run(ctx) })
	others.Go(func() { f.teller.Run(ctx) })
	return f.watch.Run(ctx)
}

// servePages answers requests until ctx ends, and gives those that run a moment to end.
func (f *service) servePages(ctx context.Context) error {
	context.AfterFunc(ctx, func() {
		bound, cancel := context.WithTimeout(context.Background(), shutdownWait)
		defer cancel()
		if f.server.Shutdown(bound) != nil {
			f.server.Close()
		}
	})
	var err error
	if f.webCert != "" {
		err = f.server.ServeTLS(f.listener, f.webCert, f.webKey)
	} else {
		err = f.server.Serve(f.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// greet says where the pages are, and how the first person comes in.
func (f *service) greet(ctx context.Context) {
	scheme := "http"
	if f.webCert != "" {
		scheme = "https"
	}
	pages := scheme + "://" + f.listener.Addr().String() + "/"
	if f.site.Access != nil {
		link, err := f.site.Access.First(ctx)
		if err != nil {
			f.stop(err)
		} else if link != "" {
			f.log.Warn("nobody can sign in yet: this link makes the first account, within an hour", "link", pages+"first?link="+link)
		}
	}
	f.log.Info("fleet view ready", "page", pages, "store", where(f.store))
}

// embeddedBroker starts the embedded broker and tells ingest how to reach it. A broker keeps documents only for
// sessions that have subscribed. So where the fleet's session does not exist yet it is made before terminals are let
// in, while the broker listens at an address that none of them knows.
func (c *serveConfig) embeddedBroker(ctx context.Context, log *slog.Logger) (*broker.Broker, error) {
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
			err = durable.Replace(known, []byte(c.ingest.Session()))
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
		return mistake{fmt.Errorf("read OpenID configuration: %w", err)}
	}
	var o access.OIDCConfig
	if err := settings.Decode(b, &o); err != nil {
		return mistake{fmt.Errorf("read OpenID configuration %s: %w", c.oidc, err)}
	}
	if site.OIDC, err = access.NewOIDC(o, keeper); err != nil {
		return mistake{fmt.Errorf("%s: %w", c.oidc, err)}
	}
	return nil
}

// sweep keeps the store within its limits, and more often where more comes: of 11 000 documents a second ten minutes
// are six times what a store holds.
func sweep(ctx context.Context, db *store.Store, l store.Limits, log *slog.Logger) error {
	for {
		gone, err := db.Sweep(ctx, l, time.Now())
		if err == nil {
			err = db.SweepAccess(ctx, time.Now().Add(-access.SessionLife), time.Now())
		}
		pause := sweepEvery
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			log.Error("cannot sweep the store", "error", err)
		case gone > int64(l.Rows/100):
			pause = sweepSoon
		}
		if gone > 0 {
			log.Info("swept the store", "rows", gone)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// clientID is the name of this process's session with the broker, made once for its data directory: of two fleets with
// the same name, each would end the session of the other.
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
	if err := durable.Replace(file, []byte(id+"\n")); err != nil {
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
