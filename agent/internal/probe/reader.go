package probe

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/drivers/frame"
	"posdx/drivers/reader"
	"posdx/drivers/serial"
)

const (
	quickLimit  = time.Second      // of a check that opens nothing
	longFresh   = time.Hour        // what is not fitted stays so
	watchFresh  = time.Minute      // of counters and presence, which are looked at without opening anything
	askFresh    = 30 * time.Second // of a device that was asked
	readerEvery = time.Minute      // how often one that is ours alone is asked between sales

	readerLimit = 4 * time.Second

	// lineWindow is how far back damaged characters count.
	lineWindow = time.Hour
	lineKept   = 61 // readings of the counters: one a minute
	// What is looked at of a line is the longest stretch up to now that stands out: three damaged characters, more than
	// one in a thousand; or two spoiled frames, more than one in ten. How bad it is the judge says.
	lineErrors  = 3
	lineShare   = 1e-3
	frameErrors = 2
	frameShare  = 0.1
	recentLeast = 2 // visits
)

// A ReaderConfig is one card reader of a terminal.
type ReaderConfig struct {
	Name     string // subject of its evidence: reader0
	Port     string // device node or usb:VID:PID…; empty for none
	Baud     int    // 0 for the protocol's own
	Protocol string // one of reader.Protocols, "" for ccid; or msr, for a reader of stripes that is only overheard
	// Dedicated says that no other program ever uses the port. Then it may be asked between sales too, and a holder that
	// we cannot see is no reason to stay away.
	Dedicated bool
	Track1    bool          // a stripe of which only track 1 is read is as good as read: the acquirer's profile says so
	Reads     *reader.Reads // how the cards of this reader were read; nil if no source tells
	Tap       *ReaderTap    // listens to the reader's line; nil for none
}

// Reader returns the probes of a card reader. The one that speaks to it runs on demand, and between sales only if the
// reader is dedicated; what can be seen without opening the port is watched all the time.
func Reader(c ReaderConfig) []Probe {
	if c.Name == "" {
		c.Name = "reader0"
	}
	reads := Probe{
		Checks: []evidence.Check{evidence.ReaderReads}, Subject: c.Name, Depth: report.Internal, Timeout: quickLimit,
		Fresh: watchFresh, Idle: c.Reads != nil,
		Run: func(context.Context) []report.Evidence { return []report.Evidence{readsEvidence(c, time.Now())} },
	}
	s := &readerState{config: c}
	if c.Port == "" && c.Tap != nil {
		return []Probe{{
			Checks: []evidence.Check{evidence.ReaderPort, evidence.ReaderLine}, Subject: c.Name, Depth: report.Internal,
			Timeout: quickLimit, Fresh: watchFresh, Idle: true,
			Run: s.overhear,
		}, Absent(c.Name, evidence.ReaderSelftest, evidence.ReaderSlot, evidence.ReaderUSB), reads}
	}
	if c.Port == "" {
		return []Probe{Absent(c.Name, evidence.ReaderPort, evidence.ReaderSelftest, evidence.ReaderSlot, evidence.ReaderLine,
			evidence.ReaderUSB), reads}
	}
	return []Probe{
		{
			Checks: []evidence.Check{evidence.ReaderPort, evidence.ReaderSelftest, evidence.ReaderSlot}, Subject: c.Name,
			Device: c.Port, Depth: report.Internal,
			Timeout: readerLimit, Fresh: askFresh, Every: readerEvery, Idle: c.Dedicated, Run: s.ask,
		},
		{
			Checks: []evidence.Check{evidence.ReaderLine, evidence.ReaderUSB}, Subject: c.Name, Device: c.Port,
			Depth:   report.Internal,
			Timeout: quickLimit, Fresh: watchFresh, Idle: true, Run: s.watch,
		},
		reads,
	}
}

// readerState is what is remembered of a reader from run to run. Its probes share a device, so only one runs at a time.
type readerState struct {
	config ReaderConfig
	line   lineHistory
	usb    usbHistory
}

// ask talks to the reader.
func (s *readerState) ask(ctx context.Context) []report.Evidence {
	r, err := askReader(ctx, s.config)
	s.line.frames(time.Now(), r.Health)
	return s.told(r, err)
}

// told reads what a dialogue brought.
func (s *readerState) told(r reader.Report, err error) []report.Evidence {
	what, reason := outcome(err)
	switch {
	case reason != "":
		return []report.Evidence{
			doubtful(evidence.ReaderPort, s.config.Name, report.CannotTell, reason),
			doubtful(evidence.ReaderSelftest, s.config.Name, report.CannotTell, reason),
			doubtful(evidence.ReaderSlot, s.config.Name, report.CannotTell, reason),
		}
	case what != "":
		return []report.Evidence{
			evidence.New(evidence.ReaderPort, s.config.Name, evidence.Outcome.Is(what)),
			doubtful(evidence.ReaderSelftest, s.config.Name, report.CannotTell, report.ReasonMasked),
			doubtful(evidence.ReaderSlot, s.config.Name, report.CannotTell, report.ReasonMasked),
		}
	}
	port := evidence.New(evidence.ReaderPort, s.config.Name, append([]evidence.Value{evidence.Outcome.Is("ok")},
		identity(r.Model, r.Firmware)...)...)
	if r.Refused && r.Fault == "" && !r.Tamper { // it answers, and not one answer says that it is well
		port = doubtful(evidence.ReaderPort, s.config.Name, report.CannotTell, report.ReasonUnsupported)
	}
	return []report.Evidence{port, selftestEvidence(s.config.Name, r), slotEvidence(s.config.Name, r)}
}

// identity are a device's names, as far as it told them.
func identity(model, firmware string) (list []evidence.Value) {
	if model != "" {
		list = append(list, evidence.Model.Is(model))
	}
	if firmware != "" {
		list = append(list, evidence.Firmware.Is(firmware))
	}
	return list
}

func askReader(ctx context.Context, c ReaderConfig) (reader.Report, error) {
	how, address, ok := reader.FindProtocol(c.Protocol)
	if !ok {
		return reader.Report{}, errors.ErrUnsupported
	}
	line := serial.Config{Path: c.Port, StopBits: how.StopBits, RTSLow: how.RTSLow}
	var r reader.Report
	var err error
	for _, b := range []int{cmp.Or(c.Baud, how.Baud), how.Second} {
		if b == 0 {
			break
		}
		asked := false
		r, err = askOurs(ctx, line, b, c.Dedicated, func(ctx context.Context, p serial.Link) (reader.Report, error) {
			asked = true
			return how.Ask(ctx, p, address)
		})
		if err == nil || !asked || errors.Is(err, serial.ErrGone) || ctx.Err() != nil {
			break
		}
	}
	return r, err
}

func selftestEvidence(subject string, r reader.Report) report.Evidence {
	outcome := "ok"
	switch {
	case !r.Tested && !r.Tamper && r.Fault == "": // most protocols have no such question
		e := doubtful(evidence.ReaderSelftest, subject, report.CannotTell, report.ReasonUnsupported)
		if r.Note != "" {
			e.Facts["note"] = r.Note
		}
		return e
	case r.Tamper:
		outcome = "tamper"
	case r.Fault != "":
		outcome = "fault"
	}
	facts := []evidence.Value{evidence.Outcome.Is(outcome)}
	if r.Fault != "" {
		facts = append(facts, evidence.Code.Is(r.Fault))
	}
	if r.Note != "" {
		facts = append(facts, evidence.Note.Is(r.Note))
	}
	return evidence.New(evidence.ReaderSelftest, subject, facts...)
}

func slotEvidence(subject string, r reader.Report) report.Evidence {
	if r.Slot == reader.SlotUnknown {
		return doubtful(evidence.ReaderSlot, subject, report.CannotTell, report.ReasonUnsupported)
	}
	return evidence.New(evidence.ReaderSlot, subject, evidence.Card.Is(r.Slot.String()))
}

// watch looks at the reader's line and plug without touching either.
func (s *readerState) watch(context.Context) []report.Evidence {
	now := time.Now()
	s.line.read(now, s.config.Port)
	if s.config.Tap != nil {
		s.line.frames(now, s.config.Tap.take())
	}
	return []report.Evidence{s.line.evidence(evidence.ReaderLine, s.config.Name),
		s.usb.look(now, evidence.ReaderUSB, s.config.Name, s.config.Port)}
}

// lineHistory is how a serial line has been over the last hour.
type lineHistory struct {
	readings []lineReading // of the UART, oldest first
	visits   []lineVisit   // dialogues, oldest first
}

type lineReading struct {
	at time.Time
	c  serial.Counters
}

type lineVisit struct {
	at time.Time
	h  frame.Health
}

// read takes a reading of the UART. Not every driver has counters, and a reader that is away has none.
func (l *lineHistory) read(now time.Time, port string) {
	path, err := serial.Resolve(port)
	if err != nil {
		return
	}
	c, err := serial.PortCounters(path)
	if err != nil {
		return
	}
	l.readings = append(l.readings, lineReading{now, c})
	for len(l.readings) > lineKept || now.Sub(l.readings[0].at) > lineWindow {
		l.readings = l.readings[1:]
	}
}

// frames notes how a dialogue went.
func (l *lineHistory) frames(now time.Time, h frame.Health) {
	if h == (frame.Health{}) {
		return
	}
	l.visits = append(l.visits, lineVisit{at: now, h: h})
	for len(l.visits) > lineKept || now.Sub(l.visits[0].at) > lineWindow {
		l.visits = l.visits[1:]
	}
}

// Present errors are not diluted by earlier good frames: a line is judged by the longest period up to now in which it
// is worse than before, or by all that is kept.

func spoiltLine(d serial.Counters) bool {
	return d.Errors() >= lineErrors && float64(d.Errors()) > lineShare*float64(d.RX)
}

// recentReadings is where that stretch begins among the readings of the UART.
func (l *lineHistory) recentReadings() int {
	last := len(l.readings) - 1
	for from := range last {
		if spoiltLine(l.readings[last].c.Since(l.readings[from].c)) {
			return from
		}
	}
	return 0
}

// recentVisits is where that period begins among the dialogues. A period shorter than all has at least two visits, and
// must be worse with certainty: a share of few frames is a matter of chance.
func (l *lineHistory) recentVisits() int {
	for from := 1; from+recentLeast <= len(l.visits); from++ {
		h := sum(l.visits[from:])
		rate := reader.Rate{Cards: int(h.Line() + h.Answers), Failed: int(h.Line())}
		if low, _ := rate.Interval(); h.Line() >= frameErrors && low > frameShare {
			if all := sum(l.visits); float64(all.Line()) > frameShare*float64(all.Line()+all.Answers) {
				return 0
			}
			return from
		}
	}
	return 0
}

func sum(list []lineVisit) (h frame.Health) {
	for _, v := range list {
		h = h.Add(v.h)
	}
	return h
}

func (l *lineHistory) evidence(check evidence.Check, subject string) report.Evidence {
	var facts []evidence.Value
	put := func(f evidence.Fact[float64], n uint64) { facts = append(facts, f.Is(float64(n))) }
	window := time.Duration(0)
	if n := len(l.readings); n >= 2 {
		from := l.recentReadings()
		if d := l.readings[n-1].c.Since(l.readings[from].c); d.RX > 0 || d.Errors() > 0 {
			// a line on which nothing came is not known to be good
			put(evidence.Frame, d.Frame)
			put(evidence.Parity, d.Parity)
			put(evidence.Overrun, d.Overrun)
			put(evidence.Chars, d.RX)
			window = l.readings[n-1].at.Sub(l.readings[from].at)
		}
	}
	// A device that says nothing does not show that its line is good.
	if n, all := len(l.visits), sum(l.visits); all.Line()+all.Answers > 0 {
		from := l.recentVisits()
		h := sum(l.visits[from:])
		put(evidence.CRC, h.Line())
		put(evidence.FramesGood, h.Answers)
		if h.Resets > 0 {
			put(evidence.ReaderResets, h.Resets)
		}
		if h.Swapped > 0 {
			put(evidence.CRCSwapped, h.Swapped)
		}
		if window == 0 {
			window = l.visits[n-1].at.Sub(l.visits[l.recentVisits()].at)
		}
	}
	if facts == nil {
		reason := report.ReasonUnsupported
		if len(l.readings)+len(l.visits) >= 1 {
			reason = report.ReasonTooFew
		}
		return evidence.CannotTell(check, subject, reason)
	}
	put(evidence.WindowS, uint64(window.Seconds()))
	return evidence.New(check, subject, facts...)
}

// usbHistory is how often a USB port has gone away in the last hour.
type usbHistory struct {
	known bool // it has been seen on USB
	here  bool
	num   int // USB number: a new one after every enumeration
	gone  []time.Time
}

func (u *usbHistory) look(now time.Time, check evidence.Check, subject, port string) report.Evidence {
	path, err := serial.Resolve(port)
	if err == nil {
		_, err = os.Stat(path)
	}
	var d serial.Device
	if err == nil {
		d, err = serial.DeviceOf(path)
	}
	on := err == nil && d.Vendor != ""
	switch {
	case on && !u.known:
		u.known = true
	case on && u.here && d.Number != u.num, !on && u.here:
		u.gone = append(u.gone, now)
	}
	if u.here = on; on {
		u.num = d.Number
	}
	for len(u.gone) > 0 && (now.Sub(u.gone[0]) > time.Hour || len(u.gone) > lineKept) {
		u.gone = u.gone[1:]
	}
	if !u.known {
		return doubtful(check, subject, report.NotRun, report.ReasonAbsent)
	}
	return evidence.New(check, subject, evidence.Disconnects1h.Is(float64(len(u.gone))), evidence.Present.Is(on))
}
