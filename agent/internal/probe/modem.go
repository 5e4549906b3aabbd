package probe

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"time"

	"posdx/agent/report"
	"posdx/drivers/modem"
	"posdx/drivers/modemmanager"
	"posdx/drivers/serial"
)

const (
	modemLimit   = 4500 * time.Millisecond // a silent modem is known after 2.1 s, a healthy one after 1
	modemEvery   = 2 * time.Minute         // a dialogue of some twenty queries: the dearest of what goes on between sales
	modemBaud    = 115200
	signalWindow = 10 * time.Minute // how far back a sample of the signal counts
	signalKept   = 5                // three of five decide
	// managerRenews is a little less than the half minute after which ModemManager asks for the signal again.
	managerRenews = 25 * time.Second
)

// A ModemConfig is one modem of a terminal.
type ModemConfig struct {
	Name      string // subject of its evidence: modem0
	Port      string // device node or usb:VID:PID[,interface=NN]; empty for none
	Baud      int    // 0 for 115200
	APN       string // as configured for the bearer that carries sales; empty does not compare
	Dedicated bool   // no other program ever uses this port, so it may be asked between sales
	DialUp    bool   // a modem on a telephone line
	Sys       fs.FS  // /sys, to find the ports of a modem on USB; nil to try the configured one alone
	Bus       string // socket of the message bus on which ModemManager may be; "" for the system's
}

// Modem returns the probe of a modem. One dialogue answers all its checks.
func Modem(c ModemConfig) []Probe {
	if c.Name == "" {
		c.Name = "modem0"
	}
	checks := []string{"modem.port", "modem.sim", "modem.registration", "modem.signal", "modem.bearer", "modem.line"}
	if c.Port == "" {
		return []Probe{Absent(c.Name, checks...)}
	}
	if c.Baud == 0 {
		c.Baud = modemBaud
	}
	if c.Bus == "" {
		c.Bus = modemmanager.SystemBus
	}
	s := &modemState{config: c, addresses: addressesOf}
	return []Probe{{
		Checks: checks, Subject: c.Name, Device: c.Port, Depth: report.Internal,
		Timeout: modemLimit, Fresh: askFresh, Every: modemEvery, Idle: c.Dedicated, Run: s.ask,
	}}
}

// modemState is what is remembered of a modem from run to run; its device has one run at a time.
type modemState struct {
	config    ModemConfig
	samples   []sampled                       // oldest first
	addresses func(iface string) []netip.Addr // of a network interface
}

type sampled struct {
	at time.Time
	modem.Signal
}

// ask asks the modem itself over a port that nobody has; else ModemManager, if it runs and has the modem; else nobody.
func (s *modemState) ask(ctx context.Context) []report.Evidence {
	var list []modem.USB
	if s.config.Sys != nil {
		list = modem.Find(s.config.Sys)
	}
	port := s.config.Port
	if p, err := filepath.EvalSymlinks(port); err == nil {
		if _, known := modem.Of(list, filepath.Base(p)); known { // a by-id name of a modem that has more ports
			port = p
		}
	}
	ports := modem.Choose(list, port)
	r, err := s.visit(ctx, ports[0], s.config.Dedicated)
	for _, other := range ports[1:] {
		if !inUse(err) && !errors.Is(err, serial.ErrIdle) || ctx.Err() != nil {
			break
		}
		if answered, e := s.visit(ctx, other, false); e == nil { // what else is wrong with a port that was only tried is not the modem's word
			r, err = answered, nil
		}
	}
	if !inUse(err) {
		s.note(r.Signals, 0)
		return s.evidence(r, err)
	}
	if !s.config.DialUp {
		if told, e := modemmanager.Ask(ctx, s.config.Bus, ports, s.request()); e == nil {
			s.note(told.Signals, managerRenews)
			return via("ModemManager", s.evidence(told, nil))
		}
	}
	return s.held(list, ports[0], err)
}

func (s *modemState) request() modem.Config {
	s.forget(time.Now())
	return modem.Config{APN: s.config.APN, DialUp: s.config.DialUp, Samples: max(1, modem.SamplesNeeded-len(s.samples))}
}

// visit asks over one port. Only the configured one may be ours alone.
func (s *modemState) visit(ctx context.Context, port string, dedicated bool) (r modem.Report, err error) {
	p, err := openOurs(serial.Config{Path: port, Baud: s.config.Baud, HoldDTR: true}, dedicated)
	if err != nil {
		return r, err
	}
	defer p.Close()
	return modem.Ask(ctx, p, s.request())
}

func inUse(err error) bool { return errors.Is(err, serial.ErrBusy) || errors.Is(err, modem.ErrFrames) }

// note keeps samples of the signal. A source that renews its own only now and then is not counted twice.
func (s *modemState) note(list []modem.Signal, renews time.Duration) {
	now := time.Now()
	if n := len(s.samples); n > 0 && now.Sub(s.samples[n-1].at) < renews {
		list = nil
	}
	for _, sig := range list {
		s.samples = append(s.samples, sampled{now, sig})
	}
	s.forget(now)
}

func (s *modemState) forget(now time.Time) {
	for len(s.samples) > 0 && (now.Sub(s.samples[0].at) > signalWindow || len(s.samples) > signalKept) {
		s.samples = s.samples[1:]
	}
}

// evidence reads a visit: what it reached stands, also if the line died afterwards.
func (s *modemState) evidence(r modem.Report, err error) []report.Evidence {
	name := s.config.Name
	port := report.Evidence{Check: "modem.port", Subject: name, Status: report.OK, Facts: report.Facts{"outcome": "ok"}}
	if r.Model != "" {
		port.Facts["model"] = r.Model
	}
	if r.Firmware != "" {
		port.Facts["firmware"] = r.Firmware
	}
	if r.Lost > 0 {
		port.Facts["level"] = "poor"
	}
	what, reason := outcome(err)
	if inUse(err) {
		what, reason = "", report.ReasonInUse
	}
	why := report.ReasonUnsupported // for what a modem that answers does not answer
	switch {
	case what != "":
		port.Status, port.Facts["outcome"], why = report.Bad, what, report.ReasonMasked
		delete(port.Facts, "level")
	case reason == report.ReasonTimeout && r.Model != "":
		why = reason
	case reason != "":
		port, why = doubtful("modem.port", name, report.CannotTell, reason), reason
	}
	list := []report.Evidence{port}
	for _, e := range []report.Evidence{simEvidence(r), registrationEvidence(r), s.signalEvidence(r), bearerEvidence(r, s.config.APN)} {
		switch e.Subject = name; {
		case s.config.DialUp:
			e = doubtful(e.Check, name, report.NotRun, report.ReasonAbsent)
		case e.Status == "":
			e = doubtful(e.Check, name, report.CannotTell, why)
		}
		list = append(list, e)
	}
	e := s.lineEvidence(r)
	if e.Status == "" {
		e = doubtful(e.Check, name, report.CannotTell, why)
	}
	e.Subject = name
	return append(list, e)
}

// The five below leave Status empty if the modem said nothing about it.

func simEvidence(r modem.Report) report.Evidence {
	e := report.Evidence{Check: "modem.sim"}
	if r.SIM == modem.SIMUnknown {
		return e
	}
	e.Status, e.Facts = report.OK, report.Facts{"state": string(r.SIM)}
	if r.SIM != modem.SIMReady {
		e.Status = report.Bad
	}
	return e
}

func registrationEvidence(r modem.Report) report.Evidence {
	e := report.Evidence{Check: "modem.registration"}
	if r.Registration == "" {
		return e
	}
	e.Status, e.Facts = report.Bad, report.Facts{"state": string(r.Registration)}
	if r.Registration == modem.RegHome || r.Registration == modem.RegRoaming {
		e.Status = report.OK
	}
	if r.Tech != "" {
		e.Facts["tech"] = r.Tech
	}
	return e
}

func (s *modemState) signalEvidence(r modem.Report) report.Evidence {
	e := report.Evidence{Check: "modem.signal"}
	if len(r.Signals) == 0 {
		if r.Registration != "" && r.Lost == 0 { // it answered: not known or not detectable (27.007 8.5)
			e.Status, e.Facts = report.CannotTell, report.Facts{"reason": report.ReasonTooFew}
		}
		return e
	}
	list := make([]modem.Signal, len(s.samples))
	for i := range list {
		list[i] = s.samples[i].Signal
	}
	m, level := modem.Grade(list, r.Tech)
	e.Status, e.Facts = report.OK, report.Facts{}
	for name, v := range map[string]float64{"rssi_dbm": float64(m.RSSI), "rsrp_dbm": float64(m.RSRP), "rsrq_db": m.RSRQ, "sinr_db": m.SINR, "ber_pct": m.BER} {
		if v != modem.NoValue {
			e.Facts[name] = v
		}
	}
	switch level {
	case modem.LevelUnknown:
		e.Status, e.Facts["reason"] = report.CannotTell, report.ReasonTooFew
	case modem.Bad:
		e.Status, e.Facts["level"] = report.Bad, string(level)
	default:
		e.Facts["level"] = string(level)
	}
	return e
}

func bearerEvidence(r modem.Report, apn string) report.Evidence {
	e := report.Evidence{Check: "modem.bearer"}
	b := r.Bearer
	if !b.AttachedKnown && !b.ActiveKnown {
		return e
	}
	e.Status, e.Facts = report.OK, report.Facts{}
	if b.AttachedKnown {
		e.Facts["attached"] = b.Attached
	}
	if b.ActiveKnown {
		e.Facts["context_active"] = b.Active
	}
	if b.Address.IsValid() {
		e.Facts["address"] = b.Address.String()
	}
	if b.APNKnown && apn != "" {
		e.Facts["apn_ok"] = b.APN
	}
	if b.Cause != "" {
		e.Facts["cause"] = b.Cause
	}
	if b.AttachedKnown && !b.Attached || b.ActiveKnown && !b.Active || b.APNKnown && !b.APN {
		e.Status = report.Bad
	}
	return e
}

// lineThin is the voltage under which a line on the hook is in use elsewhere, or is a private exchange's (Silicon Labs AN93).
const lineThin = 25

func (s *modemState) lineEvidence(r modem.Report) report.Evidence {
	e := report.Evidence{Check: "modem.line"}
	l := r.Line
	switch {
	case !s.config.DialUp:
		return doubtful(e.Check, "", report.NotRun, report.ReasonAbsent)
	case l.VoltsKnown && l.Volts < modem.LineNone:
		e.Status, e.Facts = report.Bad, report.Facts{"outcome": "no-dialtone", "volts": l.Volts}
		return e
	case l.Last != "" || l.VoltsKnown:
		e.Status, e.Facts = report.OK, report.Facts{"outcome": "ok"}
		if l.Last != "" && l.Last != "ok" {
			e.Status, e.Facts["outcome"] = report.Bad, l.Last
		}
		if l.VoltsKnown {
			e.Facts["volts"] = l.Volts
		}
		if l.VoltsKnown && l.Volts < lineThin && e.Status == report.OK {
			e.Facts["level"] = "poor"
		}
	case l.Told: // there was no call yet
		return doubtful(e.Check, "", report.CannotTell, report.ReasonTooFew)
	case r.Model != "" || r.Maker != "": // every other way to ask takes the line off the hook
		return doubtful(e.Check, "", report.NotRun, report.ReasonPolicy)
	}
	return e
}
