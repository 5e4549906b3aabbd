package probe

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"time"

	"posdx/agent/evidence"
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
	checks := []evidence.Check{evidence.ModemPort, evidence.ModemSIM, evidence.ModemRegistration, evidence.ModemSignal,
		evidence.ModemBearer, evidence.ModemLine}
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
		if answered, e := s.visit(ctx, other, false); e == nil {
			// what else is wrong with a port that was only tried is not the modem's word
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
	return modem.Config{APN: s.config.APN, DialUp: s.config.DialUp, Samples: max(1, evidence.EnoughSamples-len(s.samples))}
}

// visit asks over one port. Only the configured one may be ours alone.
func (s *modemState) visit(ctx context.Context, port string, dedicated bool) (modem.Report, error) {
	return askOurs(ctx, serial.Config{Path: port, Baud: s.config.Baud}, 0, dedicated,
		func(ctx context.Context, p serial.Link) (modem.Report, error) { return modem.Ask(ctx, p, s.request()) })
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
	facts := identity(r.Model, r.Firmware)
	what, reason := outcome(err)
	if inUse(err) {
		what, reason = "", report.ReasonInUse
	}
	port, why := report.Evidence{}, report.ReasonUnsupported // for what a modem that answers does not answer
	switch {
	case what != "":
		port, why = evidence.New(evidence.ModemPort, name, append(facts, evidence.Outcome.Is(what))...), report.ReasonMasked
	case reason != "" && !(reason == report.ReasonTimeout && r.Model != ""):
		port, why = evidence.CannotTell(evidence.ModemPort, name, reason), reason
	default:
		if reason != "" {
			why = reason
		}
		facts = append(facts, evidence.Outcome.Is("ok"))
		if r.Lost > 0 {
			facts = append(facts, count(evidence.Unanswered, r.Lost))
		}
		port = evidence.New(evidence.ModemPort, name, facts...)
	}
	list := []report.Evidence{port}
	for _, e := range []report.Evidence{simEvidence(r), registrationEvidence(r), s.signalEvidence(r),
		bearerEvidence(r, s.config.APN)} {
		switch e.Subject = name; {
		case offAir(r) && !s.config.DialUp && !answeredOffAir(evidence.Check(e.Check), r):
			// of a radio that is switched off nothing else can be told
			e = doubtful(evidence.Check(e.Check), name, report.CannotTell, report.ReasonMasked)
		case s.config.DialUp:
			e = doubtful(evidence.Check(e.Check), name, report.NotRun, report.ReasonAbsent)
		case e.Status == "":
			e = doubtful(evidence.Check(e.Check), name, report.CannotTell, why)
		}
		list = append(list, e)
	}
	e := s.lineEvidence(r)
	if e.Status == "" {
		e = doubtful(evidence.Check(e.Check), name, report.CannotTell, why)
	}
	e.Subject = name
	return append(list, e)
}

// The five below leave Status empty if the modem said nothing about it.

func simEvidence(r modem.Report) report.Evidence {
	if r.SIM == modem.SIMUnknown {
		return unsaid(evidence.ModemSIM)
	}
	return evidence.New(evidence.ModemSIM, "", evidence.State.Is(string(r.SIM)))
}

func unsaid(c evidence.Check) report.Evidence { return report.Evidence{Check: string(c)} }

// offAir reports whether the modem has been told not to use its radio.
func offAir(r modem.Report) bool { return r.Radio == modem.RadioOff || r.Radio == modem.Deregistered }

// answeredOffAir tells what can be said of a modem whose radio is off: that it is, and that its SIM is well.
func answeredOffAir(c evidence.Check, r modem.Report) bool {
	return c == evidence.ModemRegistration || c == evidence.ModemSIM && r.SIM == modem.SIMReady
}

func registrationEvidence(r modem.Report) report.Evidence {
	switch {
	case offAir(r): // that it is not registered says nothing of a network or an antenna
		return evidence.New(evidence.ModemRegistration, "", evidence.Radio.Is(string(r.Radio)))
	case r.Registration == "":
		return unsaid(evidence.ModemRegistration)
	}
	facts := []evidence.Value{evidence.State.Is(string(r.Registration))}
	for _, f := range [...]struct {
		fact  evidence.Fact[string]
		value string
	}{{evidence.Tech, r.Tech}, {evidence.BestTech, r.Best}, {evidence.Operator, r.Operator}, {evidence.Area, area(r)}} {
		if f.value != "" {
			facts = append(facts, f.fact.Is(f.value))
		}
	}
	return evidence.New(evidence.ModemRegistration, "", facts...)
}

// area names where a modem is, as its network does: an area's number means something only with the network's.
func area(r modem.Report) string {
	if r.Area == "" || r.Operator == "" {
		return ""
	}
	return r.Operator + "-" + r.Area
}

func (s *modemState) signalEvidence(r modem.Report) report.Evidence {
	if len(r.Signals) == 0 {
		if r.Registration != "" && r.Lost == 0 { // it answered: not known or not detectable (27.007 8.5)
			return evidence.CannotTell(evidence.ModemSignal, "", report.ReasonTooFew)
		}
		return unsaid(evidence.ModemSignal)
	}
	list := make([]modem.Signal, len(s.samples))
	for i := range list {
		list[i] = s.samples[i].Signal
	}
	m := modem.Median(list)
	facts := []evidence.Value{count(evidence.Samples, len(list))}
	for _, v := range [...]struct {
		fact  evidence.Fact[float64]
		value float64
	}{{evidence.RSSIDBm, float64(m.RSSI)}, {evidence.RSRPDBm, float64(m.RSRP)}, {evidence.RSRQDB, m.RSRQ},
		{evidence.SINRDB, m.SINR}, {evidence.BERPct, m.BER}} {
		if v.value != modem.NoValue {
			facts = append(facts, v.fact.Is(v.value))
		}
	}
	if r.Tech != "" {
		facts = append(facts, evidence.Tech.Is(r.Tech))
	}
	return evidence.New(evidence.ModemSignal, "", facts...)
}

func bearerEvidence(r modem.Report, apn string) report.Evidence {
	b := r.Bearer
	if !b.AttachedKnown && !b.ActiveKnown {
		return unsaid(evidence.ModemBearer)
	}
	var facts []evidence.Value
	if b.AttachedKnown {
		facts = append(facts, evidence.Attached.Is(b.Attached))
	}
	if b.ActiveKnown {
		facts = append(facts, evidence.ContextActive.Is(b.Active))
	}
	if b.Address.IsValid() {
		facts = append(facts, evidence.Address.Is(b.Address.String()))
	}
	if b.Family != "" {
		facts = append(facts, evidence.Family.Is(b.Family))
	}
	if b.APNKnown && apn != "" {
		facts = append(facts, evidence.APNOk.Is(b.APN))
	}
	if b.Cause != "" {
		facts = append(facts, evidence.Cause.Is(b.Cause))
	}
	return evidence.New(evidence.ModemBearer, "", facts...)
}

func (s *modemState) lineEvidence(r modem.Report) report.Evidence {
	l := r.Line
	switch {
	case !s.config.DialUp:
		return evidence.NotRun(evidence.ModemLine, "", report.ReasonAbsent)
	case l.Last != "" || l.VoltsKnown:
		var facts []evidence.Value
		switch {
		case l.VoltsKnown && l.Volts < modem.LineNone:
			facts = append(facts, evidence.Outcome.Is("no-dialtone"))
		case l.Last != "":
			facts = append(facts, evidence.Outcome.Is(l.Last))
		default:
			facts = append(facts, evidence.Outcome.Is("ok"))
		}
		if l.VoltsKnown {
			facts = append(facts, count(evidence.Volts, l.Volts))
		}
		return evidence.New(evidence.ModemLine, "", facts...)
	case l.Told: // there was no call yet
		return evidence.CannotTell(evidence.ModemLine, "", report.ReasonTooFew)
	case r.Model != "" || r.Maker != "": // every other way to ask takes the line off the hook
		return evidence.NotRun(evidence.ModemLine, "", report.ReasonPolicy)
	}
	return unsaid(evidence.ModemLine)
}
