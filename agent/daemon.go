package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/keeper"
	"posdx/agent/internal/library"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"posdx/agent/internal/source/capture"
	"posdx/agent/internal/source/registerlink"
	"posdx/agent/internal/stamp"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/drivers/reader"
)

// A fleetLink is the way to the fleet.
type fleetLink interface {
	State() report.Uplink
	PublishHealth(doc []byte)
	PublishLoose(kind string, doc []byte)
	TellSite(w report.SiteWord) // does nothing where sites do not tell each other
	Ping(answer func())
	Counts(map[string]int64) // adds what the link counts
}

// A daemon is what stands behind the local socket, the console and the commands of the fleet: it passes work to the
// loop and the probes and answers from what they know.
type daemon struct {
	conf    config
	address report.Address
	profile string // how codes are read: a profile's name, or a scheme's that has none
	devices []report.Device
	lib     *library.Library
	stamp   *stamp.Stamper
	runner  *probe.Runner
	loop    *triage.Loop
	box     *outbox.Box
	reads   *reader.Reads // how cards were read, as the payment application tells
	up      fleetLink     // nil without a broker
	gate    *report.Gate
	log     *slog.Logger
	watch   *keeper.Watch
	links   []*registerlink.Link // register links
	wire    *capture.Capture     // nil where nothing is captured
	net     *probe.Network

	sale saleLock
	past past

	toldSite map[string]time.Time // when, by code; only the loop's goroutine, which remembers diagnoses, touches it

	lost    atomic.Int64
	version atomic.Pointer[string] // of the payment application, as it last said
}

func (d *daemon) agent() report.Agent {
	return report.Agent{Version: version, Knowledge: d.lib.Now.Load().Hash}
}

// Seen takes in a code that nobody waits on.
func (d *daemon) Seen(s source.Seen) bool {
	_, err := d.Event(context.Background(), s)
	return err == nil
}

// Event takes in a code and returns at once.
func (d *daemon) Event(_ context.Context, s source.Seen) (source.Ticket, error) {
	if d.wire != nil && !s.Channel.Asked() {
		d.wire.Fill(&s)
	}
	if s.Channel.Asked() {
		if err := d.answerable(s); err != nil {
			return source.Ticket{}, err
		}
	} else {
		d.sale.code(s)
		if t := s.Txn; s.Origin == report.OriginHost && !s.Late &&
			(t == nil || t.HostAnswerSeen == nil || *t.HostAnswerSeen) {
			d.net.Answered(time.Now())
		}
	}
	if s.Card.Scheme != "" && (s.Txn == nil || s.Txn.CardScheme == "") { // what a decoder of the wire told
		x := report.Txn{}
		if s.Txn != nil {
			x = *s.Txn
		}
		x.CardScheme = s.Card.Scheme
		s.Txn = &x
	}
	t, err := d.loop.Submit(triage.Code{
		Event: report.Event{Time: s.Time, Code: s.Code, Scheme: s.Scheme, Origin: s.Origin, Channel: s.Channel, Txn: s.Txn},
		Lang:  s.Lang, Late: s.Late, Card: s.Card.Number, Issuer: s.Card.Issuer,
	})
	if errors.Is(err, triage.ErrBusy) {
		err = source.ErrBusy
	}
	if err != nil {
		return source.Ticket{}, err
	}
	ticket := source.Ticket{ID: t.ID, First: t.First, Final: t.Final}
	if k := d.lib.Now.Load(); s.Scheme != "" {
		if _, known := k.Scheme(s.Scheme); !known {
			ticket.Warning = fmt.Sprintf("scheme: there is no code table %q; there are %s", s.Scheme, schemesOf(k))
		}
	}
	return ticket, nil
}

// Txn takes in a step of a transaction. Between start and end nothing outside the agent is touched.
func (d *daemon) Txn(m source.TxnMark) {
	if ms := m.Txn.ResponseMS; ms != nil && (m.Phase == source.PhaseAnswered || m.Phase == source.PhaseEnd) &&
		m.Result != source.ResultFailed {
		d.loop.Took(m.Txn.STAN, *ms)
	}
	d.sale.mark(m, time.Now())
	switch m.Phase {
	case source.PhaseRead:
		if m.OK != nil {
			d.loop.Read(m.Txn.Entry, *m.OK, m.Again)
			if !*m.OK && !m.Late && d.runner.Failed != nil {
				d.runner.Failed()
			}
			if d.reads != nil && !m.Late {
				d.reads.Note(reader.Attempt{At: time.Now(), Head: reader.HeadOf(m.Txn.Entry), OK: *m.OK, Same: m.Again, Told: true})
			}
		}
	case source.PhaseEnd:
		if m.Result == source.ResultApproved {
			if !m.Late {
				d.net.Answered(time.Now())
			}
			d.loop.Approved(triage.Approval{Channel: m.Channel, Txn: m.Txn, Code: m.Code})
		}
	}
}

// answerable returns why a question of a person cannot be answered, nil if it can: the code or the table does not
// exist. Random typing, or noise on a serial line, must not be answered like a failed sale.
func (d *daemon) answerable(s source.Seen) error {
	if problem := source.CodeProblem(s.Code); problem != "" {
		return fmt.Errorf("code: %s", problem)
	}
	k := d.lib.Now.Load()
	if s.Scheme != "" {
		if !source.Word(s.Scheme, source.MaxScheme) {
			return errors.New("scheme: want the name of a code table, such as unionpay")
		}
		if _, ok := k.Scheme(s.Scheme); !ok {
			return fmt.Errorf("scheme: there is no code table %q; there are %s", s.Scheme, schemesOf(k))
		}
	}
	if s.Code != anyCode && !k.Resolve(d.loop.Profile(), s.Scheme, s.Code, string(s.Origin)).Known &&
		!source.Plausible(s.Code) {
		return errors.New("code: no table has it, and it does not look like one: want at most 8 of A-Z a-z 0-9 . : -")
	}
	return nil
}

// Fact takes in what the payment application reports of itself.
func (d *daemon) Fact(e report.Evidence) {
	if e.At.IsZero() {
		e.At = time.Now().UTC().Truncate(time.Millisecond)
	}
	if e.Depth == "" {
		e.Depth = report.Internal
	}
	if offset, ok := e.Facts.Num("offset_s"); ok && e.Check == "board.clock" {
		d.conf.host.told(time.Duration(offset * float64(time.Second)))
		return // the board's own check weighs it against what else is known
	}
	if v, ok := e.Facts.Str("installed"); ok && e.Check == "app.version" {
		if _, told := e.Facts.Str("expected"); !told && d.conf.App.Expected != "" {
			e.Facts["expected"] = d.conf.App.Expected
			evidence.Grade(&e, codes.Builtin())
		}
		if old := d.version.Swap(&v); old != nil && *old != v {
			d.loop.Updated()
		}
		d.loop.Note("app_version", v)
	}
	if v, ok := e.Facts.Str("public_address"); ok && e.Check == "app.config" {
		d.loop.Note("public_address", v)
	}
	d.runner.Remember(e)
}

// Lost counts what a source could not read because of one of its bounds.
func (d *daemon) Lost(kind string, n int) {
	d.lost.Add(int64(n))
	d.log.Warn("not read", "what", kind, "count", n)
}

// State returns what is known now, touching nothing.
func (d *daemon) State() report.State {
	now := time.Now()
	s := report.State{
		Time: now.UTC().Truncate(time.Millisecond), UptimeMS: stamp.UptimeMS(), BootID: d.stamp.BootID,
		ClockTrusted: stamp.ClockTrusted(now),
		Terminal:     d.address.Estate + "/" + d.address.Terminal, Agent: d.agent(), Profile: d.profile,
		Checks: checksOf(d.runner), InSale: d.runner.InSale(),
		Devices: d.devices, Evidence: d.runner.Known(now), Self: d.self(), Watch: d.conf.life.Watch(),
	}
	if last, ok := d.loop.Last(); ok {
		s.Last = &last
	}
	if o, ok := d.loop.Outcome(); ok {
		s.Outcome = &o
	}
	s.Recent = d.past.recent(recentShown)
	stats := d.box.Stats()
	s.Uplink = report.Uplink{Why: "no broker is configured"}
	if d.up != nil {
		s.Uplink = d.up.State()
	}
	s.Uplink.Waiting = int64(stats.Records)
	if stats.Degraded != "" {
		s.Uplink.Why = stats.Degraded
	}
	return s
}

// Check runs checks by their names, all if there is none, and returns what they found.
func (d *daemon) Check(ctx context.Context, names []string) ([]report.Evidence, error) {
	return checkNow(ctx, d.runner, names)
}

// checkNow asks the probes that answer the named checks, all probes if none is named.
func checkNow(ctx context.Context, r *probe.Runner, names []string) ([]report.Evidence, error) {
	wanted := func(check string) bool {
		return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return named(check, n) })
	}
	have := checksOf(r)
	var unknown []string
	for _, n := range names {
		known := slices.ContainsFunc(have, func(c string) bool { return named(c, n) })
		reported := slices.ContainsFunc(r.Known(time.Now()), func(e report.Evidence) bool { return named(e.Check, n) })
		if !known && !reported {
			unknown = append(unknown, n)
		}
	}
	if len(unknown) > 0 {
		return nil, say.New("hook-no-check", strings.Join(unknown, " "), strings.Join(have, " "))
	}
	probes := slices.DeleteFunc(slices.Clone(r.Probes()), func(p probe.Probe) bool {
		return !slices.ContainsFunc(p.Checks, func(c evidence.Check) bool { return wanted(string(c)) })
	})
	r.Run(ctx, probes, nil)
	return slices.DeleteFunc(r.Known(time.Now()), func(e report.Evidence) bool { return !wanted(e.Check) }), nil
}

// named reports whether a name stands for a check: it is its own, or the first part of it, as net, net. and net.* are.
func named(check, name string) bool {
	return check == name || strings.HasPrefix(check, strings.TrimRight(name, ".*")+".")
}

// checksOf lists every check that can be run here.
func checksOf(r *probe.Runner) []string {
	var list []string
	for _, p := range r.Probes() {
		for _, c := range p.Checks {
			list = append(list, string(c))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// self counts what the agent itself uses and has lost.
func (d *daemon) self() map[string]int64 {
	m := keeper.Usage()
	m["lost"], m["scrubbed"] = d.lost.Load(), d.gate.Stopped()
	d.watch.Facts(m)
	countLinks(d.links, m)
	stats := d.box.Stats()
	m["outbox_records"], m["outbox_bytes"], m["outbox_ram"] = int64(stats.Records), stats.Bytes, int64(stats.RAM)
	m["flash_written"], m["outbox_corrupt"] = stats.Written, stats.Corrupt
	for _, n := range stats.Dropped {
		m["dropped"] += int64(n)
	}
	if d.up != nil {
		d.up.Counts(m)
	}
	return m
}

// inShort is the state in one line, for the service manager's own status.
func (d *daemon) inShort() string {
	text := "no code seen yet"
	if last, ok := d.loop.Last(); ok {
		text = fmt.Sprintf("last code %q: %s", last.Event.Code, last.Causes[0].ID)
	}
	if d.up != nil {
		text += fmt.Sprintf("; connected %v, %d records wait", d.up.State().Connected, d.box.Stats().Records)
	}
	if why := d.conf.life.Watch().Reduced; why != "" {
		text += "; " + why
	}
	return text
}

// health is the snapshot that the fleet keeps of this terminal.
func (d *daemon) health() report.Health {
	now := time.Now()
	return report.Health{
		Time: now.UTC().Truncate(time.Millisecond), UptimeMS: stamp.UptimeMS(), BootID: d.stamp.BootID,
		ClockTrusted: stamp.ClockTrusted(now),
		Evidence:     d.runner.Known(now), Agent: d.agent(), Self: d.self(), Watch: d.conf.life.Watch(),
	}
}

func (d *daemon) birth() report.Birth {
	return report.Birth{
		Time: time.Now().UTC().Truncate(time.Millisecond), BootID: d.stamp.BootID, Boot: d.box.Boot(), Epoch: d.box.Epoch(),
		Agent:   d.agent(),
		Devices: d.devices, Counted: []string{report.KindDiagnosis, report.KindTally, report.KindDropped},
		Labels: d.conf.Labels, Watch: d.conf.life.Watch(),
	}
}

// command does what the fleet asks. The uplink has already refused what is unknown, too large or a repeat.
func (d *daemon) command(ctx context.Context, name string, c report.Command) report.Reply {
	reply := report.Reply{ID: c.ID, Result: "done"}
	switch name {
	case "ping":
		reply.Data = map[string]any{"version": version, "uptime_ms": stamp.UptimeMS()}
	case "health":
		reply.Data = d.health()
		d.publishHealth()
	case "knowledge":
		b, err := library.PackOf(c.Args)
		if err == nil {
			_, err = d.lib.Install(b)
		}
		if err != nil {
			return report.Reply{ID: c.ID, Result: "refused", Why: err.Error()}
		}
		reply.Data = d.agent()
	case "bundle":
		send, _ := c.Args["send"].(bool)
		data, err := d.bundle(send)
		if err != nil {
			return report.Reply{ID: c.ID, Result: "failed", Why: err.Error()}
		}
		reply.Data = data
	case "diagnose":
		q, err := question(c.Args)
		var t source.Ticket
		if err == nil {
			t, err = d.Event(ctx, q)
		}
		if err != nil {
			return report.Reply{ID: c.ID, Result: "refused", Why: err.Error()}
		}
		select {
		case final, ok := <-t.Final:
			if !ok {
				return report.Reply{ID: c.ID, Result: "failed", Why: "the agent stopped before the diagnosis was final"}
			}
			data := map[string]any{"diagnosis": final.ID, "asked": true}
			if d.runner.InSale() {
				data["in_sale"] = true // answered from what was known before it
			}
			reply.Data = data
		case <-ctx.Done():
			return report.Reply{ID: c.ID, Result: "failed", Why: "no final diagnosis in time"}
		}
	default:
		return report.Reply{ID: c.ID, Result: "refused", Why: "this version does not know the command " + name}
	}
	return reply
}

// question reads the arguments of the fleet's command diagnose: the one door through which they come in.
func question(args map[string]any) (source.Seen, error) {
	s := source.Seen{Channel: report.ChannelCommand, Origin: report.OriginUnknown, Time: time.Now()}
	for name, v := range args {
		text, ok := v.(string)
		if !ok {
			return s, fmt.Errorf("args.%.32q: want text", name)
		}
		switch name {
		case "code":
			s.Code = text
		case "scheme":
			if s.Scheme = text; !source.Word(text, source.MaxScheme) {
				return s, errors.New("args.scheme: want the name of a code table, such as unionpay")
			}
		case "origin":
			if s.Origin = report.Origin(text); !slices.Contains(source.Origins, text) {
				return s, fmt.Errorf("args.origin: want one of %s", strings.Join(source.Origins, " "))
			}
		case "lang":
			if s.Lang = text; text != "zh" && text != "en" {
				return s, errors.New("args.lang: want zh or en")
			}
		default:
			return s, fmt.Errorf("args.%.32q: there is none; there are code scheme origin lang", name)
		}
	}
	if problem := source.CodeProblem(s.Code); problem != "" {
		return s, fmt.Errorf("args.code: %s", problem)
	}
	return s, nil
}

// publishHealth sends the snapshot to the fleet. It is retained there and never kept here: the next one replaces it.
func (d *daemon) publishHealth() {
	if d.up == nil {
		return
	}
	doc, err := json.Marshal(d.health())
	if err != nil {
		d.log.Error("publish health", "err", err)
		return
	}
	d.up.PublishHealth(d.gate.Out(doc))
}

// publishAsked sends the answer to a question to the fleet, apart from what failed. It is not kept for later: who asked
// has it.
func (d *daemon) publishAsked(doc []byte) {
	if d.up != nil {
		d.up.PublishLoose(report.KindAsked, d.gate.Out(doc))
	}
}

// publishOutcome tells the fleet what became of a diagnosis.
func (d *daemon) publishOutcome(doc []byte) {
	if d.up != nil {
		d.up.PublishLoose(report.KindOutcome, d.gate.Out(doc))
	}
}

// tallies keeps the counts of every hour for the fleet; an hour without a code writes nothing.
func (d *daemon) tallies(ctx context.Context) error {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			d.keepTally()
			return nil
		case <-t.C:
			// While only memory keeps records the counts go on: there they take no room from diagnoses and cannot be dropped.
			if d.box.Stats().Degraded == "" {
				d.keepTally()
			}
		}
	}
}

func (d *daemon) keepTally() {
	now := time.Now()
	tally := d.loop.TakeTally(now)
	if len(tally.Counts) == 0 {
		return
	}
	doc, err := json.Marshal(tally)
	if err == nil {
		// Small, and the base of every rate that the fleet knows: not the first to go when space runs out.
		_, err = gated{d.box, d.gate}.Append(report.KindTally, true, now, doc)
	}
	if err != nil {
		d.log.Error("keep tally", "err", err)
	}
}

var errEnded = errors.New("ended by itself")
