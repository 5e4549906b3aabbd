package main

import (
	"context"
	"math"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/source/registerlink"
	"posdx/agent/report"
	"posdx/drivers/ecr"
)

const (
	linkWindow = time.Hour
	linkKept   = 61 // readings of a link: one a minute
	// linkSilent is how many requests in a row a PIN pad may leave without a byte, tries of the same one among them
	// (ABECS: three).
	linkSilent = 3
	// linkNoise is how many bytes without one frame are more than a frame cut at the start: a wrong speed, as a rule.
	linkNoise = 200
)

// pingLinks returns a function that waits until the goroutine of every register link has answered: it is alive.
func pingLinks(list []*registerlink.Link) func(answer func()) {
	return func(answer func()) {
		var mu sync.Mutex
		left := len(list)
		for _, l := range list {
			l.Ping(func() {
				mu.Lock()
				defer mu.Unlock()
				if left--; left == 0 {
					answer()
				}
			})
		}
	}
}

// linkProbes make evidence of what is heard on the links to PIN pads: their state and that of their line, without
// asking anything. A link to a cash register is no evidence about a reader or a PIN pad.
func linkProbes(c config, list []*registerlink.Link) (probes []probe.Probe) {
	for i, l := range list {
		if c.ECR[i].Framing != ecr.ABECS {
			continue
		}
		h := &linkHistory{name: l.Name}
		probes = append(probes, probe.Probe{
			Checks: []evidence.Check{evidence.ReaderLine, evidence.PINPadPort}, Subject: l.Name, Depth: report.Internal,
			Timeout: time.Second, Fresh: time.Minute, Idle: true,
			Run: func(context.Context) []report.Evidence {
				h.read(time.Now(), l.Lines())
				return []report.Evidence{h.line(), h.pad()}
			},
		})
	}
	return probes
}

// countLinks adds to a snapshot of health what the links counted since the start.
func countLinks(list []*registerlink.Link, m map[string]int64) {
	for _, e := range list {
		for _, l := range e.Lines() {
			m["link_frames"] += int64(l.Counts.Frames)
			m["link_spoiled"] += int64(l.Counts.SumErrors + l.Counts.Cut + l.Counts.Oversize + l.Counts.Refused)
			m["link_naks"] += int64(l.Counts.NAKs)
			m["link_damaged"] += int64(l.Errors.Errors())
			m["link_missed"] += int64(l.Missed)
		}
	}
}

// A linkHistory is how a PIN pad's link has been over the last hour. The runner asks it once at a time.
type linkHistory struct {
	name     string
	readings []linkReading // oldest first
}

type linkReading struct {
	at    time.Time
	lines []registerlink.Line // what the PIN pad sends, and, where that is captured, what it is sent
}

func (h *linkHistory) read(now time.Time, lines []registerlink.Line) {
	if len(lines) == 0 {
		return
	}
	if n := len(h.readings); n > 0 && len(h.readings[n-1].lines) != len(lines) {
		h.readings = nil
	}
	h.readings = append(h.readings, linkReading{now, lines})
	for len(h.readings) > linkKept || now.Sub(h.readings[0].at) > linkWindow {
		h.readings = h.readings[1:]
	}
}

// change is what one line counted within the window.
func (h *linkHistory) change(i int) (bytes, frames, spoiled, naks, frame, parity, overrun uint64) {
	a, b := h.readings[0].lines[i], h.readings[len(h.readings)-1].lines[i]
	d := b.Errors.Since(a.Errors)
	bad := func(l registerlink.Line) int { return l.Counts.SumErrors + l.Counts.Cut + l.Counts.Oversize }
	return b.Bytes - a.Bytes, uint64(b.Counts.Frames - a.Counts.Frames), uint64(bad(b) - bad(a)),
		uint64(b.Counts.NAKs - a.Counts.NAKs), d.Frame, d.Parity, d.Overrun
}

func (h *linkHistory) tooFew(check evidence.Check) report.Evidence {
	return evidence.CannotTell(check, h.name, report.ReasonTooFew)
}

// line adds up the damaged frames and characters of a link in the form of the check reader.line.
func (h *linkHistory) line() report.Evidence {
	if len(h.readings) < 2 {
		return h.tooFew(evidence.ReaderLine)
	}
	var bytes, frames, spoiled, stray, frame, parity, overrun uint64
	for i := range h.readings[0].lines {
		b, f, s, n, x, y, z := h.change(i)
		bytes, frames, spoiled = bytes+b, frames+f, spoiled+s+n
		frame, parity, overrun = frame+x, parity+y, overrun+z
		if f == 0 {
			stray = max(stray, b)
		}
	}
	if bytes == 0 {
		return h.tooFew(evidence.ReaderLine)
	}
	num := func(f evidence.Fact[float64], n uint64) evidence.Value { return f.Is(float64(n)) }
	window := h.readings[len(h.readings)-1].at.Sub(h.readings[0].at)
	return evidence.New(evidence.ReaderLine, h.name, num(evidence.Frame, frame), num(evidence.Parity, parity),
		num(evidence.Overrun, overrun),
		num(evidence.CRC, spoiled), num(evidence.Chars, bytes), num(evidence.FramesGood, frames),
		num(evidence.StrayBytes, stray),
		evidence.WindowS.Is(math.Floor(window.Seconds())))
}

// pad says whether the PIN pad answers, as far as others asked it within the window:
// a sound frame since the last request proves that it lives.
func (h *linkHistory) pad() report.Evidence {
	e := h.tooFew(evidence.PINPadPort)
	n := len(h.readings)
	if n == 0 {
		return e
	}
	now := h.readings[n-1]
	switch pad := now.lines[0]; {
	case !pad.Open:
		// not listened to: held, away, or the relay says nothing
		return evidence.CannotTell(evidence.PINPadPort, h.name, report.ReasonInUse)
	case n < 2:
		return e
	}
	bytes, frames, _, _, _, _, _ := h.change(0)
	asked := uint64(0)
	if len(now.lines) > 1 && now.lines[1].Heard.After(now.lines[0].Heard) {
		// Requests since the pad last sent anything: those of the readings in which it sent nothing.
		first := now
		for i := n - 1; i >= 0 && h.readings[i].lines[0].Bytes == now.lines[0].Bytes; i-- {
			first = h.readings[i]
		}
		asked = uint64(now.lines[1].Counts.Frames - first.lines[1].Counts.Frames)
	}
	switch {
	case asked >= linkSilent:
		return evidence.New(evidence.PINPadPort, h.name, evidence.Outcome.Is("silent"))
	case frames > 0:
		return evidence.New(evidence.PINPadPort, h.name, evidence.Outcome.Is("ok"))
	case bytes >= linkNoise:
		return evidence.New(evidence.PINPadPort, h.name, evidence.Outcome.Is("fault"))
	}
	return e
}
