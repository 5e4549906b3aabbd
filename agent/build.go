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

func assemble(c config, log *slog.Logger, gate *report.Gate) (d *daemon, tasks []task, closing func(), err error) {
	reduced, bare := c.life.Reduced()
	if bare {
		c.Broker.URL = nil
	}
	fail := func(err error) (*daemon, []task, func(), error) { return nil, nil, nil, err }
	lib, err := library.New(c.StateDir, c.Knowledge.Keys, log)
	if err != nil {
		return fail(err)
	}
	k := lib.Now.Load()
	profile, err := chooseProfile(k, c.Profile)
	if err != nil {
		return fail(err)
	}
	logs, wrong := follow(c, log)
	if len(wrong) > 0 {
		return fail(errors.Join(wrong...))
	}
	box, err := outbox.Open(filepath.Join(c.StateDir, "outbox"),
		outbox.Options{MaxBytes: c.Outbox.MaxBytes, MaxAge: time.Duration(c.Outbox.MaxAge)})
	if err != nil {
		return fail(err)
	}
	d = &daemon{
		conf: c, address: report.Address{Estate: c.Estate, Terminal: c.Terminal}, devices: devices(c), box: box,
		profile: cmp.Or(profile.Name, profile.Base), stamp: stamp.New(box.Boot()), reads: &reader.Reads{}, lib: lib,
		gate: gate, log: log,
	}
	// Without a journal first revisions go to the outbox, which has ways to go on without flash.
	notes, err := outbox.OpenJournal(filepath.Join(c.StateDir, "open.journal"))
	if err != nil {
		log.Warn("first revisions go to the outbox", "err", err)
	}
	past, err := outbox.OpenPast(pastDir(c))
	if err != nil {
		log.Warn("no history is kept", "err", err)
	}
	d.past.open(past, pastDir(c), log)
	closeAll := func() {
		past.Close()
		notes.Close()
		box.Close()
	}
	d.conf.host, d.conf.track1 = &hostClock{}, profile.Track1
	sensed, err := sense(d.conf, c.StateDir, d.reads, log)
	if err != nil {
		closeAll()
		return fail(err)
	}
	if reduced != "" {
		sensed.probes, sensed.tasks, logs.Files = nil, nil, nil
	}
	tags := ecr.NewTags()
	if reduced == "" {
		d.links = links(c, log)
		for _, l := range d.links {
			l.Tags = tags
		}
		sensed.probes = append(sensed.probes, linkProbes(c, d.links)...)
	}
	d.runner = probe.NewRunner(sensed.probes)
	d.runner.Grade = func(e *report.Evidence) { evidence.Grade(e, lib.Now.Load()) }
	d.runner.Failed = sensed.failed
	d.sale.runner, d.net = d.runner, sensed.net
	d.loop = triage.New(triage.Config{
		Knowledge: lib.Now.Load, Profile: profile, Lang: c.Language, Version: version, Runner: d.runner,
		Store:   gated{box, gate},
		Journal: gatedJournal{notes, gate}, Stamp: d.stamp.Event, Metered: sensed.metered, Asked: d.publishAsked,
		Outcome: d.publishOutcome, Past: d.remember, Starts: sensed.starts, Log: log,
	})
	d.notice(sensed.probes)
	for _, t := range c.Target {
		if t.Name == "host-primary" {
			d.loop.Note("host_address", fmt.Sprintf("%s:%d", t.Host, t.Port))
		}
	}
	mem := keeper.Memory{Path: filepath.Join(c.StateDir, "memory.json"), Loop: d.loop, Log: log}
	mem.Load()
	open := unfinished(box, notes)
	local := &hook.Hook{Path: c.Hook.Socket, Group: c.Hook.Group, To: d, Log: log, Gate: gate}
	tasks = []task{
		{"triage", d.loop.Run},
		{"checks", func(ctx context.Context) error { return d.background(ctx, open) }},
		{"hook", local.Run},
		{"tally", d.tallies},
		{"memory", mem.Run},
		{"knowledge", lib.Run},
		{"shed", keeper.Shed},
	}
	if c.Hook.HTTP != "" {
		tasks = append(tasks, task{"hook http", (&hook.HTTP{Address: c.Hook.HTTP, TokenFile: c.Hook.TokenFile, Hook: local}).Run})
	}
	d.watch = keeper.NewWatch(log, keeper.FindSupervisor(os.Getenv))
	d.watch.Status, d.watch.Changed = d.inShort, d.publishHealth
	d.watch.Add("triage", true, d.loop.Ping)
	d.watch.Add("hook", true, d.watch.CallHook(c.Hook.Socket))
	d.watch.Add("checks", false, d.runner.Ping)
	if len(logs.Files) > 0 {
		logs.Turn = d.watch.Add("log", true, nil)
		tasks = append(tasks, task{"log", func(ctx context.Context) error { return logs.Run(ctx, d) }})
	}
	if len(d.links) > 0 {
		d.watch.Add("ecr", false, pingLinks(d.links))
	}
	lan := &capture.LAN{Interface: c.Capture.Interface, Log: log}
	for _, link := range d.links {
		if at, err := netip.ParseAddrPort(link.Address); err == nil {
			lan.Links = append(lan.Links, capture.LANLink{Terminal: at,
				Listen: func(to source.Sink) capture.LANEar { return link.ListenLAN(link.Address, to) }})
			continue
		}
		tasks = append(tasks, task{"ecr " + link.Name, func(ctx context.Context) error { return link.Run(ctx, d) }})
	}
	if len(lan.Links) > 0 {
		tasks = append(tasks, task{"lan", func(ctx context.Context) error { return lan.Run(ctx, d) }})
	}
	if reduced == "" && c.Capture.On {
		d.wire = watchWire(c, log)
		d.wire.Tags, d.wire.Ours = tags, network.IsOurs
		d.wire.Wire = func(w source.Wire) {
			if h := w.Hello; h != nil {
				sensed.net.Opens(w.Target, probe.FormOf(h.Size, h.Version, h.Name))
			} else {
				sensed.net.Opened(w.Host, w.Local, time.Now())
			}
		}
		tasks = append(tasks, task{"capture", func(ctx context.Context) error { return d.wire.Run(ctx, d) }})
	}
	tasks = append(tasks, sensed.tasks...)
	if c.Console.TTY != "" {
		tasks = append(tasks, task{"console", func(ctx context.Context) error {
			face := consoleOf(c, cmp.Or(c.Console.Language, c.Language))
			face.Backend, face.Knowledge, face.Log = hook.Local{Daemon: d}, lib.Now.Load, log
			face.Bundle = func(context.Context) (string, []byte, error) {
				b, _, err := d.witness().Fitting(time.Now(), d.agent())
				return bundle.Name(c.Terminal, time.Now()), b, err
			}
			return serveLine(ctx, face, serial.Config{Path: c.Console.TTY, Baud: c.Console.Baud},
				func(err error) { log.Warn("console", "err", err) })
		}})
	}
	if up, run, err := connect(c, d); err != nil {
		closeAll()
		return fail(err)
	} else if run != nil {
		d.up = up
		d.watch.Add("uplink", false, up.Ping)
		tasks = append(tasks, task{"uplink", run})
	}
	tasks = append(tasks, task{"watch", d.watch.Run})
	if reduced != "" {
		log.Error("starts reduced", "why", reduced, "last", c.life.Watch().LastCrash)
		tasks = append(tasks, task{"calm", keeper.Calm})
	}
	log.Info("posdx starts", "version", version, "terminal", c.Estate+"/"+c.Terminal, "knowledge", k.Hash, "checks", len(sensed.probes))
	return d, tasks, closeAll, nil
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
	// healthEvery is how often the fleet hears of a terminal on which nothing changes.
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
