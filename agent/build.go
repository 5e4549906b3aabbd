package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/bundle"
	conf "posdx/agent/internal/config"
	"posdx/agent/internal/keeper"
	"posdx/agent/internal/library"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"posdx/agent/internal/source/capture"
	"posdx/agent/internal/source/hook"
	"posdx/agent/internal/source/paylog"
	"posdx/agent/internal/source/registerlink"
	"posdx/agent/internal/stamp"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/drivers/ecr"
	"posdx/drivers/network"
	"posdx/drivers/reader"
	"posdx/drivers/serial"
)

// build puts the daemon together. The error is about the configuration; a device, a directory or a broker that is not
// there is no error but something to find out and to say.
func build(c config, log *slog.Logger, gate *report.Gate) (tasks []task, closing func(), err error) {
	_, tasks, closing, err = assemble(c, log, gate)
	return tasks, closing, err
}

// assemble is build, with the daemon for tests.
func assemble(c config, log *slog.Logger, gate *report.Gate) (d *daemon, tasks []task, closing func(), err error) {
	a := &assembly{c: c, log: log, gate: gate}
	var bare bool
	if a.reduced, bare = c.life.Reduced(); bare {
		a.c.Broker.URL = nil
	}
	for _, step := range [...]func() error{
		a.readKnowledge, a.openStores, a.findDevices, a.makeTriage, a.makeHook, a.makeWatch, a.joinLinks, a.joinCapture,
		a.joinConsole, a.joinFleet,
	} {
		if err := step(); err != nil {
			a.close()
			return nil, nil, nil, err
		}
	}
	a.add("watch", a.d.watch.Run)
	if a.reduced != "" {
		log.Error("starts reduced", "why", a.reduced, "last", c.life.Watch().LastCrash)
		a.add("calm", keeper.Calm)
	}
	log.Info("posdx starts", "version", version, "terminal", c.Estate+"/"+c.Terminal, "knowledge", a.know.Hash,
		"checks", len(a.sensed.probes))
	return a.d, a.tasks, a.close, nil
}

// An assembly is a daemon that is being put together, by the methods below in the order of assemble.
type assembly struct {
	c    config
	log  *slog.Logger
	gate *report.Gate

	reduced string // why the daemon answers from the tables alone, after crashes; "": it is whole

	lib     *library.Library
	know    *codes.Knowledge
	profile codes.Profile
	logs    *paylog.Logs
	notes   *outbox.Journal // nil where it cannot be opened
	tags    *ecr.Tags       // so that a card is the same on every link and on the wire
	sensed  senses

	d       *daemon
	tasks   []task
	closing []func() // in the order of making
}

func (a *assembly) add(name string, run func(context.Context) error) {
	a.tasks = append(a.tasks, task{name, run})
}

func (a *assembly) close() {
	for _, done := range slices.Backward(a.closing) {
		done()
	}
}

// readKnowledge finds the knowledge in force, and what of the configuration is about it.
func (a *assembly) readKnowledge() (err error) {
	if a.lib, err = library.New(a.c.StateDir, a.c.Knowledge.Keys, a.log); err != nil {
		return err
	}
	a.know = a.lib.Now.Load()
	if a.profile, err = chooseProfile(a.know, a.c.Profile); err != nil {
		return err
	}
	var wrong []error
	a.logs, wrong = follow(a.c, a.log)
	return errors.Join(wrong...)
}

// openStores opens what is kept on flash, and makes the daemon around it.
func (a *assembly) openStores() error {
	c := a.c
	box, err := outbox.Open(filepath.Join(c.StateDir, "outbox"),
		outbox.Options{MaxBytes: c.Outbox.MaxBytes, MaxAge: time.Duration(c.Outbox.MaxAge)})
	if err != nil {
		return err
	}
	a.closing = append(a.closing, func() { box.Close() })
	a.d = &daemon{
		conf: c, address: report.Address{Estate: c.Estate, Terminal: c.Terminal}, devices: devices(c), box: box,
		profile: cmp.Or(a.profile.Name, a.profile.Base), stamp: stamp.New(box.Boot()), reads: &reader.Reads{}, lib: a.lib,
		gate: a.gate, log: a.log,
	}
	a.d.conf.host, a.d.conf.track1 = &hostClock{}, a.profile.Track1
	// Without a journal first revisions go to the outbox, which has ways to go on without flash.
	if a.notes, err = outbox.OpenJournal(filepath.Join(c.StateDir, "open.journal")); err != nil {
		a.log.Warn("first revisions go to the outbox", "err", err)
	}
	a.closing = append(a.closing, func() { a.notes.Close() })
	past, err := outbox.OpenPast(pastDir(c))
	if err != nil {
		a.log.Warn("no history is kept", "err", err)
	}
	a.closing = append(a.closing, func() { past.Close() })
	a.d.past.open(past, pastDir(c), a.log)
	return nil
}

// findDevices makes the checks and the listeners of devices. A reduced daemon has none.
func (a *assembly) findDevices() (err error) {
	d := a.d
	if a.sensed, err = sense(d.conf, a.c.StateDir, d.reads, a.log); err != nil {
		return err
	}
	a.tags = ecr.NewTags()
	if a.reduced != "" {
		a.sensed.probes, a.sensed.tasks, a.logs.Files = nil, nil, nil
	} else {
		d.links = links(a.c, a.log)
		for _, l := range d.links {
			l.Tags = a.tags
		}
		a.sensed.probes = append(a.sensed.probes, linkProbes(a.c, d.links)...)
	}
	d.runner = probe.NewRunner(a.sensed.probes)
	d.runner.Grade = func(e *report.Evidence) { evidence.Grade(e, a.lib.Now.Load()) }
	d.runner.Failed = a.sensed.failed
	d.runner.Rests = keeper.Shed()
	d.sale.runner, d.net = d.runner, a.sensed.net
	return nil
}

// makeTriage makes the loop that every code goes through, with what it remembers of the life before.
func (a *assembly) makeTriage() error {
	d := a.d
	d.loop = triage.New(triage.Config{
		Knowledge: a.lib.Now.Load, Profile: a.profile, Lang: a.c.Language, Version: version, Runner: d.runner,
		Store:   gated{d.box, a.gate},
		Journal: gatedJournal{a.notes, a.gate}, Stamp: d.stamp.Event, Metered: a.sensed.metered, Asked: d.publishAsked,
		Outcome: d.publishOutcome, Past: d.remember, Starts: a.sensed.starts, Log: a.log,
	})
	d.notice(a.sensed.probes)
	for _, t := range a.c.Target {
		if t.Name == "host-primary" {
			d.loop.Note("host_address", fmt.Sprintf("%s:%d", t.Host, t.Port))
		}
	}
	mem := keeper.Memory{Path: filepath.Join(a.c.StateDir, "memory.json"), Loop: d.loop, Log: a.log}
	mem.Load()
	open := unfinished(d.box, a.notes)
	d.past.resumes(open)
	a.add("triage", d.loop.Run)
	a.add("checks", func(ctx context.Context) error { return d.background(ctx, open) })
	a.add("tally", d.tallies)
	a.add("memory", mem.Run)
	a.add("knowledge", a.lib.Run)
	return nil
}

// makeHook makes the doors for programs of this machine.
func (a *assembly) makeHook() error {
	local := &hook.Hook{Path: a.c.Hook.Socket, Group: a.c.Hook.Group, To: a.d, Log: a.log, Gate: a.gate}
	a.add("hook", local.Run)
	if a.c.Hook.HTTP != "" {
		http := &hook.HTTP{Address: a.c.Hook.HTTP, TokenFile: a.c.Hook.TokenFile, Hook: local}
		a.add("hook http", http.Run)
	}
	return nil
}

// makeWatch makes what notices a part that hangs, and joins the payment logs, which tell it that they turn.
func (a *assembly) makeWatch() error {
	d := a.d
	d.watch = keeper.NewWatch(a.log, keeper.FindSupervisor(os.Getenv))
	d.watch.Status, d.watch.Changed = d.inShort, d.publishHealth
	d.watch.Add("triage", true, d.loop.Ping)
	d.watch.Add("hook", true, d.watch.CallHook(a.c.Hook.Socket))
	d.watch.Add("checks", false, d.runner.Ping)
	if len(a.logs.Files) > 0 {
		a.logs.Turn = d.watch.Add("log", true, nil)
		a.add("log", func(ctx context.Context) error { return a.logs.Run(ctx, d) })
	}
	return nil
}

// joinLinks has the register links listened to: each serial one by itself, those of the network together.
func (a *assembly) joinLinks() error {
	d := a.d
	if len(d.links) > 0 {
		d.watch.Add("ecr", false, pingLinks(d.links))
	}
	lan := &capture.LAN{Interface: a.c.Capture.Interface, Log: a.log}
	for _, link := range d.links {
		if at, err := netip.ParseAddrPort(link.Address); err == nil {
			lan.Links = append(lan.Links, capture.LANLink{Terminal: at,
				Listen: func(to source.Sink) capture.LANEar { return link.ListenLAN(link.Address, to) }})
			continue
		}
		a.add("ecr "+link.Name, func(ctx context.Context) error { return link.Run(ctx, d) })
	}
	if len(lan.Links) > 0 {
		a.add("lan", func(ctx context.Context) error { return lan.Run(ctx, d) })
	}
	return nil
}

// joinCapture has the connections to the hosts watched, where that is wanted.
func (a *assembly) joinCapture() error {
	d := a.d
	if a.reduced == "" && a.c.Capture.On {
		d.wire = watchWire(a.c, a.log)
		d.wire.Tags, d.wire.Ours = a.tags, network.IsOurs
		d.wire.Wire = func(w source.Wire) {
			if h := w.Hello; h != nil {
				a.sensed.net.Opens(w.Target, probe.FormOf(h.Size, h.Version, h.Name))
			} else {
				a.sensed.net.Opened(w.Host, w.Local, time.Now())
			}
		}
		a.add("capture", func(ctx context.Context) error { return d.wire.Run(ctx, d) })
	}
	a.tasks = append(a.tasks, a.sensed.tasks...)
	return nil
}

// joinConsole serves the console's serial line, where there is one.
func (a *assembly) joinConsole() error {
	if a.c.Console.TTY == "" {
		return nil
	}
	a.add("console", func(ctx context.Context) error {
		face := consoleOf(a.c, cmp.Or(a.c.Console.Language, a.c.Language))
		face.Backend, face.Knowledge, face.Log = hook.Local{Daemon: a.d}, a.lib.Now.Load, a.log
		face.Bundle = func(context.Context) (string, []byte, error) {
			b, _, err := a.d.witness().Fitting(time.Now(), a.d.agent())
			return bundle.Name(a.c.Terminal, time.Now()), b, err
		}
		return serveLine(ctx, face, serial.Config{Path: a.c.Console.TTY, Baud: a.c.Console.Baud},
			func(err error) { a.log.Warn("console", "err", err) })
	})
	return nil
}

// joinFleet connects the daemon to its fleet, where one is configured.
func (a *assembly) joinFleet() error {
	up, run, err := connect(a.c, a.d)
	if err != nil || run == nil {
		return err
	}
	a.d.up = up
	a.d.watch.Add("uplink", false, up.Ping)
	a.add("uplink", run)
	return nil
}

// chooseProfile finds how this acquirer's codes are read.
func chooseProfile(k *codes.Knowledge, c conf.Profile) (codes.Profile, error) {
	if c.Name != "" {
		p, ok := k.Profile(c.Name)
		if !ok {
			return p, keyed{"profile.name", say.New("no-profile", c.Name, profilesOf(k))}
		}
		return p, nil
	}
	if _, ok := k.Scheme(c.Scheme); !ok {
		return codes.Profile{}, keyed{"profile.scheme", say.New("no-scheme", c.Scheme, schemesOf(k))}
	}
	if p, ok := k.Profile(c.Scheme); ok {
		return p, nil
	}
	return codes.Profile{Base: c.Scheme}, nil
}

// follow makes the tails of the payment logs. Every pattern that is wrong is told.
func follow(c config, log *slog.Logger) (l *paylog.Logs, wrong []error) {
	l = &paylog.Logs{State: filepath.Join(c.StateDir, "logs.state"), Log: log}
	for i, f := range c.Log {
		file := paylog.LogFile{Path: f.Path, Encoding: f.Encoding}
		bad := func(format string, j int, err error) {
			wrong = append(wrong, keyed{fmt.Sprintf("log[%d]."+format, i, j), err})
		}
		if f.Begin != "" {
			re, err := regexp.Compile(f.Begin)
			if err != nil {
				wrong = append(wrong, keyed{fmt.Sprintf("log[%d].begin", i), err})
			}
			file.Begin = re
		}
		origin := report.Origin(f.Origin)
		for j, expr := range f.Patterns {
			p, err := paylog.CompilePattern(expr, paylog.Options{Origin: origin, Scheme: f.Scheme, Layout: f.Time})
			if err != nil {
				bad("patterns[%d]", j, err)
			}
			file.Patterns = append(file.Patterns, p)
		}
		for j, s := range f.Step {
			p, err := paylog.CompilePattern(s.Pattern, paylog.Options{Mark: source.Phase(s.Phase), Result: s.Result,
				Layout: f.Time})
			if err != nil {
				bad("step[%d].pattern", j, err)
			}
			file.Patterns = append(file.Patterns, p)
		}
		l.Files = append(l.Files, file)
	}
	return l, wrong
}

// links makes the listeners of the register links.
func links(c config, log *slog.Logger) []*registerlink.Link {
	parities := map[string]serial.Parity{"odd": serial.OddParity, "even": serial.EvenParity}
	var list []*registerlink.Link
	for _, l := range c.ECR {
		e := &registerlink.Link{Name: l.Name, Framing: l.Framing, Log: log}
		if l.Way == "lan" {
			e.Address = l.Address
		}
		if l.Way == "relay" {
			e.Copies = filepath.Join(filepath.Dir(c.Hook.Socket), l.Name+".relay")
		}
		for _, p := range l.Ports() {
			e.Ports = append(e.Ports, serial.Config{Path: p, Baud: l.Baud, DataBits: l.Bits, Parity: parities[l.Parity]})
		}
		list = append(list, e)
	}
	return list
}

// watchWire makes the part that captures the payment application's connections to the hosts.
func watchWire(c config, log *slog.Logger) *capture.Capture {
	w := capture.New()
	w.Targets, w.Interface, w.Length, w.Dialect, w.Log = hosts(c), c.Capture.Interface, c.Capture.Length,
		c.Capture.Dialect, log
	return w
}

// hosts are the targets that payments go to.
func hosts(c config) []capture.Target {
	var list []capture.Target
	for _, t := range c.Target {
		if strings.HasPrefix(t.Name, "host-") {
			list = append(list, capture.Target{Name: t.Name, Host: t.Host, Port: t.Port})
		}
	}
	return list
}

func devices(c config) []report.Device {
	list := []report.Device{}
	for _, r := range c.Reader {
		list = append(list, report.Device{Name: r.Name, Kind: "reader", Port: r.Port})
	}
	for _, p := range c.PINPad {
		list = append(list, report.Device{Name: p.Name, Kind: "pinpad", Port: p.Port})
	}
	for _, p := range c.Printer {
		list = append(list, report.Device{Name: p.Name, Kind: "printer", Port: p.Port})
	}
	for _, m := range c.Modem {
		list = append(list, report.Device{Name: m.Name, Kind: "modem", Port: m.Port})
	}
	return list
}

// maxResumed bounds the interrupted diagnoses that are in memory at a time.
const maxResumed = 64

// unfinished finds the diagnoses that a crash or a power cut interrupted: those in the journal, and those in the
// outbox, that have no final revision there. They may be of more than the last start: it may have been as short as the
// one before.
func unfinished(box *outbox.Box, notes *outbox.Journal) []report.Diagnosis {
	var kept []report.Diagnosis
	if notes != nil {
		kept, notes.Left = notes.Left, nil
	}
	box.Scan(func(r outbox.Record) bool {
		var d report.Diagnosis
		var brief struct {
			ID    string `json:"id"`
			Final bool   `json:"final"`
		}
		switch {
		case r.Kind != report.KindDiagnosis || json.Unmarshal(r.Doc, &brief) != nil:
		case brief.Final:
			kept = slices.DeleteFunc(kept, func(o report.Diagnosis) bool { return o.ID == brief.ID })
			notes.End(brief.ID) // if the cut came before it was forgotten
		case len(kept) < maxResumed && r.Boot < box.Boot() && json.Unmarshal(r.Doc, &d) == nil:
			kept = append(kept, d)
		}
		return true
	})
	return kept
}

const (
	// healthEvery is how often a terminal on which nothing changes reports to the fleet.
	healthEvery = 4 * time.Hour
	// healthPause is the least time between two snapshots: a link that flaps is one story, not sixty.
	healthPause = time.Minute
)

// background keeps evidence fresh and the fleet informed, and first ends what an interruption left open.
func (d *daemon) background(ctx context.Context, open []report.Diagnosis) error {
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		idle := make([]probe.Probe, 0, len(d.runner.Probes()))
		for _, p := range d.runner.Probes() {
			if p.Idle {
				idle = append(idle, p)
			}
		}
		d.runner.Run(ctx, idle, nil)
		for first := ""; len(open) > 0 && open[0].ID != first && ctx.Err() == nil; {
			// the same again: nothing can be kept now
			first = open[0].ID
			for _, o := range open {
				d.loop.Resume(o)
			}
			if len(open) < maxResumed {
				break
			}
			open = unfinished(d.box, nil)
		}
		note()
	}()
	go func() {
		<-ready
		d.runner.Background(ctx, func() {
			d.loop.Look()
			note()
		})
	}()
	again := time.NewTicker(healthEvery)
	defer again.Stop()
	var last time.Time
	var later <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-later:
		case <-again.C:
		case <-changed:
		}
		if wait := healthPause - time.Since(last); !last.IsZero() && wait > 0 {
			if later == nil {
				later = time.After(wait)
			}
			continue
		}
		later, last = nil, time.Now()
		d.publishHealth()
	}
}

var _ source.Daemon = (*daemon)(nil)

// gated is the outbox behind the gate: nothing reaches flash that may not leave.
type gated struct {
	box  *outbox.Box
	gate *report.Gate
}

func (g gated) Append(kind string, critical bool, t time.Time, doc []byte) (uint64, error) {
	return g.box.Append(kind, critical, t, g.gate.Out(doc))
}

// gatedJournal is the journal behind the same gate.
type gatedJournal struct {
	notes *outbox.Journal
	gate  *report.Gate
}

func (g gatedJournal) Begin(id string, doc []byte) error { return g.notes.Begin(id, g.gate.Out(doc)) }
func (g gatedJournal) End(id string) error               { return g.notes.End(id) }

// profilesOf lists the profiles.
func profilesOf(k *codes.Knowledge) string {
	var names []string
	for _, p := range k.Profiles {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}
