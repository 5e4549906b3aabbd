package probe

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

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
	readerBaud  = 115200
	crtBaud     = 9600

	// lineWindow is how far back damaged characters count.
	lineWindow = time.Hour
	lineKept   = 61 // readings of the counters: one a minute
	// A line is bad with three damaged characters that are more than one in a thousand: a frame in ten.
	lineErrors = 3
	lineShare  = 1e-3
	// It is bad too with two spoiled frames that are more than one in ten.
	frameErrors = 2
	frameShare  = 0.1
	recentLeast = 2 // visits
)

// A ReaderConfig is one card reader of a terminal.
type ReaderConfig struct {
	Name     string // subject of its evidence: reader0
	Port     string // device node or usb:VID:PID…; empty for none
	Baud     int    // 0 for the protocol's own
	Protocol string // "" or ccid: finds out; gempc-twin, gemcore, sec1210, gemcore-simpro2; neo and itp for ID TECH; crt310; crt591:N for its address; msr
	// Dedicated says that no other program ever uses the port. Then it may be asked between sales too, and a holder that
	// we cannot see is no reason to stay away.
	Dedicated bool
	Track1    bool          // a stripe of which only track 1 is read is as good as read: the acquirer's profile says so
	Reads     *reader.Reads // how the cards of this reader were read; nil if nobody tells
	Tap       *ReaderTap    // listens to the reader's line; nil for none
}

// Reader returns the probes of a card reader. The one that speaks to it runs on demand, and between sales only if the
// reader is dedicated; what can be seen without opening the port is watched all the time.
func Reader(c ReaderConfig) []Probe {
	if c.Name == "" {
		c.Name = "reader0"
	}
	reads := Probe{
		Checks: []string{"reader.reads"}, Subject: c.Name, Depth: report.Internal, Timeout: quickLimit, Fresh: watchFresh, Idle: c.Reads != nil,
		Run: func(context.Context) []report.Evidence { return []report.Evidence{readsEvidence(c, time.Now())} },
	}
	s := &readerState{config: c}
	if c.Port == "" && c.Tap != nil {
		return []Probe{{
			Checks: []string{"reader.port", "reader.line"}, Subject: c.Name, Depth: report.Internal, Timeout: quickLimit, Fresh: watchFresh, Idle: true,
			Run: s.overhear,
		}, Absent(c.Name, "reader.selftest", "reader.slot", "reader.usb"), reads}
	}
	if c.Port == "" {
		return []Probe{Absent(c.Name, "reader.port", "reader.selftest", "reader.slot", "reader.line", "reader.usb"), reads}
	}
	return []Probe{
		{
			Checks: []string{"reader.port", "reader.selftest", "reader.slot"}, Subject: c.Name, Device: c.Port, Depth: report.Internal,
			Timeout: readerLimit, Fresh: askFresh, Every: readerEvery, Idle: c.Dedicated, Run: s.ask,
		},
		{
			Checks: []string{"reader.line", "reader.usb"}, Subject: c.Name, Device: c.Port, Depth: report.Internal,
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
	port := report.Evidence{Check: "reader.port", Subject: s.config.Name, Status: report.OK, Facts: report.Facts{"outcome": "ok"}}
	what, reason := outcome(err)
	switch {
	case reason != "":
		return []report.Evidence{
			doubtful("reader.port", s.config.Name, report.CannotTell, reason),
			doubtful("reader.selftest", s.config.Name, report.CannotTell, reason),
			doubtful("reader.slot", s.config.Name, report.CannotTell, reason),
		}
	case what != "":
		port.Status, port.Facts["outcome"] = report.Bad, what
		return []report.Evidence{
			port,
			doubtful("reader.selftest", s.config.Name, report.CannotTell, report.ReasonMasked),
			doubtful("reader.slot", s.config.Name, report.CannotTell, report.ReasonMasked),
		}
	}
	if r.Refused && r.Fault == "" && !r.Tamper { // it answers, and not one answer says that it is well
		port = doubtful("reader.port", s.config.Name, report.CannotTell, report.ReasonUnsupported)
	}
	if r.Model != "" {
		port.Facts["model"] = r.Model
	}
	if r.Firmware != "" {
		port.Facts["firmware"] = r.Firmware
	}
	return []report.Evidence{port, selftestEvidence(s.config.Name, r), slotEvidence(s.config.Name, r)}
}

func askReader(ctx context.Context, c ReaderConfig) (reader.Report, error) {
	how := reader.CCIDConfig{}
	line := serial.Config{Path: c.Port, Baud: c.Baud, StopBits: 2, RTSLow: true, HoldDTR: true}
	if line.Baud == 0 {
		line.Baud = readerBaud
	}
	bauds := []int{line.Baud}
	kind, address, crt := motorReader(c.Protocol)
	switch c.Protocol {
	case "", "ccid":
	case "gempc-twin":
		how.Echo = reader.EchoYes
	case "gemcore", "sec1210":
		how.Echo = reader.EchoNo
	case "gemcore-simpro2": // wakes at 9600 and is switched up by whoever uses it
		how.Echo, bauds = reader.EchoNo, []int{line.Baud, 9600}
	case "neo":
		line.StopBits, line.RTSLow = 1, false
	case "itp":
		line.StopBits, line.RTSLow = 1, false
		if c.Baud == 0 {
			bauds = []int{msrBaud}
		}
	default:
		if !crt {
			return reader.Report{}, errors.ErrUnsupported
		}
		line.StopBits, line.RTSLow = 1, false
		if c.Baud == 0 {
			bauds = []int{crtBaud}
		}
	}
	var r reader.Report
	var err error
	for _, b := range bauds {
		line.Baud = b
		var p *serial.Port
		if p, err = openOurs(line, c.Dedicated); err != nil {
			return r, err
		}
		switch {
		case crt:
			r, err = reader.AskCRT(ctx, p, kind, address)
		case c.Protocol == "neo":
			r, err = reader.AskNEO(ctx, p)
		case c.Protocol == "itp":
			r, err = reader.AskITP(ctx, p)
		default:
			r, err = reader.AskCCID(ctx, p, how)
		}
		p.Close()
		if err == nil || errors.Is(err, serial.ErrGone) || ctx.Err() != nil {
			break
		}
	}
	return r, err
}

// motorReader reads crt310, crt591 and crt591:N, N being the address that its switch says.
func motorReader(protocol string) (kind reader.CRTKind, address byte, ok bool) {
	name, number, numbered := strings.Cut(protocol, ":")
	n, err := strconv.ParseUint(number, 10, 4)
	switch {
	case protocol == "crt310":
		return reader.CRT310, 0, true
	case name == "crt591" && (!numbered || err == nil):
		return reader.CRT591, byte(n), true
	}
	return 0, 0, false
}

func selftestEvidence(subject string, r reader.Report) report.Evidence {
	e := report.Evidence{Check: "reader.selftest", Subject: subject, Status: report.OK, Facts: report.Facts{"outcome": "ok"}}
	switch {
	case !r.Tested && !r.Tamper && r.Fault == "": // most protocols have no such question
		e = doubtful("reader.selftest", subject, report.CannotTell, report.ReasonUnsupported)
	case r.Tamper:
		e.Status, e.Facts["outcome"] = report.Bad, "tamper"
	case r.Fault != "":
		e.Status, e.Facts["outcome"] = report.Bad, "fault"
	}
	if r.Fault != "" {
		e.Facts["code"] = r.Fault
	}
	if r.Note != "" {
		e.Facts["note"] = r.Note
	}
	return e
}

func slotEvidence(subject string, r reader.Report) report.Evidence {
	if r.Slot == reader.SlotUnknown {
		return doubtful("reader.slot", subject, report.CannotTell, report.ReasonUnsupported)
	}
	e := report.Evidence{Check: "reader.slot", Subject: subject, Status: report.OK, Facts: report.Facts{"card": r.Slot.String()}}
	if r.Slot == reader.SlotMute {
		e.Status = report.Bad
	}
	return e
}

// watch looks at the reader's line and plug without touching either.
func (s *readerState) watch(context.Context) []report.Evidence {
	now := time.Now()
	s.line.read(now, s.config.Port)
	if s.config.Tap != nil {
		s.line.frames(now, s.config.Tap.take())
	}
	return []report.Evidence{s.line.evidence("reader.line", s.config.Name), s.usb.look(now, "reader.usb", s.config.Name, s.config.Port)}
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
	at   time.Time
	h    frame.Health
	good bool
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

// What goes wrong now is not diluted by what went well before: a line is judged by the longest stretch up to now in which it
// is bad, or by all that is kept.

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

// recentVisits is where that stretch begins among the dialogues. A shorter one than all is of two visits at least, and bad for
// certain: a share of few frames is a matter of luck.
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

func (l *lineHistory) evidence(check, subject string) report.Evidence {
	e := report.Evidence{Check: check, Subject: subject, Status: report.OK, Facts: report.Facts{}}
	level := "good"
	counted := false
	if n := len(l.readings); n >= 2 {
		from := l.recentReadings()
		d := l.readings[n-1].c.Since(l.readings[from].c)
		counted = counted || d.RX > 0 || d.Errors() > 0 // a line on which nothing came is not known to be good
		e.Facts["frame"], e.Facts["parity"], e.Facts["overrun"] = d.Frame, d.Parity, d.Overrun
		e.Facts["window_s"] = int(l.readings[n-1].at.Sub(l.readings[from].at).Seconds())
		switch errs := d.Errors(); {
		case spoiltLine(d):
			level = "bad"
		case errs > 0:
			level = "poor"
		}
	}
	if len(l.visits) > 0 {
		from := l.recentVisits()
		h := sum(l.visits[from:])
		counted = counted || h.Line()+h.Answers > 0
		e.Facts["crc"] = h.Line()
		if h.Resets > 0 {
			e.Facts["reader_resets"] = h.Resets
		}
		if h.Swapped > 0 {
			e.Facts["crc_swapped"] = h.Swapped
		}
		if _, ok := e.Facts["window_s"]; !ok {
			e.Facts["window_s"] = int(l.visits[len(l.visits)-1].at.Sub(l.visits[from].at).Seconds())
		}
		switch bad := h.Line(); {
		case bad >= frameErrors && float64(bad) > frameShare*float64(bad+h.Answers):
			level = "bad"
		case bad > 0 && level == "good":
			level = "poor"
		}
	}
	if !counted {
		reason := report.ReasonUnsupported
		if len(l.readings) >= 1 {
			reason = report.ReasonTooFew
		}
		return doubtful(check, subject, report.CannotTell, reason)
	}
	e.Facts["level"] = level
	if level == "bad" {
		e.Status = report.Bad
	}
	return e
}

// usbHistory is how often a USB port has gone away in the last hour.
type usbHistory struct {
	known bool // it has been seen on USB
	here  bool
	num   int // USB number: a new one after every enumeration
	gone  []time.Time
}

// usbBad is how many disconnects an hour are no accident.
const usbBad = 2

func (u *usbHistory) look(now time.Time, check, subject, port string) report.Evidence {
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
	e := report.Evidence{Check: check, Subject: subject, Status: report.OK, Facts: report.Facts{"disconnects_1h": len(u.gone)}}
	if len(u.gone) >= usbBad || !on {
		e.Status = report.Bad
	}
	return e
}
