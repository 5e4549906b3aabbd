package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/stamp"
	"posdx/drivers/board"
	"posdx/drivers/reader"
)

// senses are the checks of this terminal and what must run beside them.
type senses struct {
	probes  []probe.Probe
	metered func() bool
	failed  func() // takes in that a device failed
	net     *probe.Network
	tasks   []task
	starts  func(since time.Time) int // of the machine; nil where they are not counted
}

// wallClock is the machine's clock. Nothing but a test of days that software stumbles over sets another.
var wallClock = time.Now

// cellular is the kind of interface whose bytes cost money unless the configuration says otherwise.
const cellular = "cellular"

// sense lists every check of the product: the architecture on one screen. The directory may be empty for a command that
// keeps nothing.
func sense(c config, stateDir string, reads *reader.Reads, log *slog.Logger) (senses, error) {
	var resolvers []netip.AddrPort
	for i, r := range c.Network.Resolvers {
		a, err := conf.Resolver(r)
		if err != nil {
			return senses{}, keyed{fmt.Sprintf("network.resolvers[%d]", i), err}
		}
		resolvers = append(resolvers, a)
	}
	metered := c.Network.Metered
	if len(metered) == 0 {
		metered = []string{cellular}
	}
	net := probe.NewNetwork(probe.NetworkConfig{
		Interfaces: c.Network.Interfaces, Resolvers: resolvers, ResolvConf: c.Network.ResolvConf,
		HostsFile: c.Network.HostsFile, Targets: targets(c),
		Metered: metered, DailyBytes: c.Network.DailyBytes, SSID: c.Network.SSID, Sys: os.DirFS("/sys"), Proc: os.DirFS("/proc"),
	})
	bc := probe.BoardConfig{Now: wallClock, Root: os.DirFS("/"), Paths: c.Storage.Paths, Floor: stamp.Floor,
		App: c.App.Process, Reference: c.host.reference}
	if len(bc.Paths) == 0 {
		bc.Paths = []string{c.StateDir}
	}
	if stateDir != "" {
		var err error
		if bc.Boots, err = probe.NoteBoot(bc.Root, filepath.Join(stateDir, "boots"), time.Now()); err != nil {
			log.Warn("the count of restarts begins anew", "err", err)
		}
	}
	metal := probe.NewBoard(bc)
	s := senses{net: net, starts: startsOf(bc.Boots), metered: net.Metered, failed: metal.DeviceFailed, tasks: []task{
		{"network", net.Run},
		{"kernel log", func(ctx context.Context) error {
			err := metal.Run(ctx)
			if ctx.Err() == nil { // no such log, no right to it, or an old kernel
				log.Warn("the kernel's log is not read", "err", err)
				<-ctx.Done() // its check answers cannot-tell; the others go on
			}
			return nil
		}},
	}}
	s.probes = append(s.probes, net.Probes()...)
	s.probes = append(s.probes, metal.Probes()...)
	s.probes = append(s.probes, probe.Certificates(certificates(c), nil)...)
	for _, m := range orNone(c.Modem) {
		s.probes = append(s.probes, probe.Modem(probe.ModemConfig{Name: m.Name, Port: m.Port, Baud: m.Baud, APN: m.APN,
			Dedicated: m.Dedicated, DialUp: m.DialUp, Sys: os.DirFS("/sys")})...)
	}
	if err := s.readers(c, stateDir, reads, log); err != nil {
		return s, err
	}
	for i, p := range orNone(c.PINPad) {
		list, err := pinpad(p)
		if err != nil {
			return s, keyed{fmt.Sprintf("pinpad[%d]", i), err}
		}
		s.probes = append(s.probes, list...)
	}
	for i, p := range orNone(c.Printer) {
		list, err := printer(p)
		if err != nil {
			return s, keyed{fmt.Sprintf("printer[%d]", i), err}
		}
		s.probes = append(s.probes, list...)
	}
	s.probes = append(s.probes,
		probe.Process(os.DirFS("/proc"), c.App.Process, metal.AppCrashes),
	)
	return s, nil
}

func startsOf(b board.Boots) func(time.Time) int {
	if len(b) == 0 {
		return nil
	}
	return func(since time.Time) int { return b.Since(since, time.Now()) }
}

// certificates are those that lie on this terminal, as far as the configuration names them.
func certificates(c config) (list []probe.CertificateFile) {
	for i, p := range c.App.Certificates {
		list = append(list, probe.CertificateFile{Name: fmt.Sprintf("app.certificates[%d]", i), Path: p, Use: probe.UseOwn})
	}
	if c.Broker.Cert != "" {
		list = append(list, probe.CertificateFile{Name: "broker.cert", Path: c.Broker.Cert, Use: probe.UseFleet})
	}
	for i, t := range c.Target {
		if t.CA != "" {
			list = append(list, probe.CertificateFile{Name: fmt.Sprintf("target[%d].ca", i), Path: t.CA, Use: probe.UseTrust})
		}
	}
	if c.Broker.CA != "" {
		list = append(list, probe.CertificateFile{Name: "broker.ca", Path: c.Broker.CA, Use: probe.UseFleet})
	}
	return list
}

func pinpad(p conf.Port) ([]probe.Probe, error) {
	return probe.PINPad(probe.PINPadConfig{Name: p.Name, Port: p.Port, Baud: p.Baud, Protocol: p.Protocol,
		Dedicated: p.Dedicated, Keys: p.Keys})
}

func printer(p conf.Port) ([]probe.Probe, error) {
	return probe.Printer(probe.PrinterConfig{Name: p.Name, Port: p.Port, Baud: p.Baud, Protocol: p.Protocol,
		Dedicated: p.Dedicated})
}

// readers adds the card readers. What the payment application tells of cards is of the first one.
func (s *senses) readers(c config, stateDir string, reads *reader.Reads, log *slog.Logger) error {
	for i, r := range orNone(c.Reader) {
		rc := probe.ReaderConfig{Name: r.Name, Port: r.Port, Baud: r.Baud, Protocol: r.Protocol, Dedicated: r.Dedicated,
			Reads: reads, Track1: c.track1}
		if i > 0 && len(r.RX) == 0 {
			rc.Reads = nil
		} else if i > 0 {
			rc.Reads = &reader.Reads{}
		}
		if len(r.RX) > 0 {
			tap, err := probe.NewReaderTap(rc, r.RX)
			if err != nil {
				return keyed{fmt.Sprintf("reader[%d].rx", i), err}
			}
			rc.Tap = tap
			s.tasks = append(s.tasks, task{"tap " + r.Name, tap.Run})
		}
		if rc.Reads != nil && stateDir != "" {
			k := &probe.ReadsKeeper{Path: filepath.Join(stateDir, fmt.Sprintf("reads%d.json", i)), Reads: rc.Reads}
			if err := k.Load(time.Now()); err != nil {
				log.Warn("the counts of cards begin anew", "err", err)
			}
			s.tasks = append(s.tasks, task{"cards", func(ctx context.Context) error {
				if err := k.Run(ctx); err != nil {
					log.Warn("the counts of cards are not kept", "err", err)
				}
				return nil
			}})
		}
		s.probes = append(s.probes, probe.Reader(rc)...)
	}
	return nil
}

// orNone returns the configured devices of a kind, or one empty device if there is none: its checks then say that no
// such device is fitted.
func orNone(list []conf.Port) []conf.Port {
	if len(list) == 0 {
		return []conf.Port{{}}
	}
	return list
}

// targets are the places that are asked. Where no independent place is named, the broker serves: it is far from the
// acquirer and asked by the uplink anyway.
func targets(c config) []probe.Target {
	var list []probe.Target
	internet := false
	for _, t := range c.Target {
		internet = internet || t.Name == "internet"
		name := t.Name
		if t.Via != "" {
			name += "@" + t.Via
		}
		list = append(list, probe.Target{Name: name, Host: t.Host, Port: t.Port, TLS: t.TLS, ServerName: t.ServerName,
			CAFile: t.CA, Via: t.Via, Proxy: t.Proxy, PortalPath: t.PortalPath})
	}
	if len(c.Broker.URL) > 0 && !internet {
		if host, port, secure, err := brokerAddress(c.Broker.URL[0]); err == nil {
			list = append(list, probe.Target{Name: "broker", Host: host, Port: port, TLS: secure,
				ServerName: c.Broker.ServerName, CAFile: c.Broker.CA})
		}
	}
	return list
}
