package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/say"
	"posdx/agent/report"
	"posdx/drivers/pinpad"
	"posdx/drivers/serial"
)

const (
	pinpadLimit = 4500 * time.Millisecond // two questions of two seconds
	pinpadBaud  = 19200                   // ABECS 2.1
	deviceFresh = 5 * time.Minute         // of what changes rarely and has no fault that heals by itself
)

// A PINPadConfig is the PIN pad of a terminal.
type PINPadConfig struct {
	Name      string   // subject of its evidence: pinpad0
	Port      string   // as ReaderConfig's
	Baud      int      // 0 for the protocol's own
	Protocol  string   // "" or abecs
	Dedicated bool     // as ReaderConfig's
	Keys      []string // keys that must be there: mk-pin:1, dukpt-pin:16
}

// A keyPlace is where a key must be.
type keyPlace struct {
	kind  pinpad.KeyKind
	place int
}

// PINPad returns the probes of a PIN pad. It is asked on demand only, and between sales if it is dedicated.
func PINPad(c PINPadConfig) ([]Probe, error) {
	if c.Name == "" {
		c.Name = "pinpad0"
	}
	if c.Port == "" {
		return []Probe{Absent(c.Name, evidence.PINPadPort)}, nil
	}
	if c.Protocol != "" && c.Protocol != "abecs" {
		return nil, say.New("no-pinpad-protocol", c.Name, c.Protocol)
	}
	var needed []keyPlace
	for _, k := range c.Keys {
		p, err := parseKey(k)
		if err != nil {
			return nil, say.New("pinpad-ask", c.Name, err)
		}
		needed = append(needed, p)
	}
	checks := []evidence.Check{evidence.PINPadPort}
	if len(needed) > 0 {
		checks = append(checks, evidence.AppKeys)
	}
	return []Probe{{
		Checks: checks, Subject: c.Name, Device: c.Port, Depth: report.Internal, Timeout: pinpadLimit, Fresh: deviceFresh,
		Idle: c.Dedicated,
		Run: func(ctx context.Context) []report.Evidence {
			p, err := askOurs(ctx, serial.Config{Path: c.Port, Baud: c.Baud}, pinpadBaud, c.Dedicated, pinpad.Ask)
			list := []report.Evidence{pinpadEvidence(c.Name, p, err)}
			if len(needed) > 0 {
				list = append(list, keysEvidence(c.Name, p, err, needed))
			}
			return list
		},
	}}, nil
}

func parseKey(s string) (keyPlace, error) {
	name, number, _ := strings.Cut(s, ":")
	place, err := strconv.Atoi(number)
	for kind := range pinpad.KeyKinds {
		if kind.String() == name && err == nil && place >= 0 && place <= 99 {
			return keyPlace{kind, place}, nil
		}
	}
	return keyPlace{}, say.New("no-pinpad-key", s)
}

func pinpadEvidence(subject string, p pinpad.Report, err error) report.Evidence {
	what, reason := deviceOutcome(err)
	if reason != "" {
		return doubtful(evidence.PINPadPort, subject, report.CannotTell, reason)
	}
	switch {
	case p.Status == pinpad.Internal:
		what = "fault"
	case what == "" && p.Status != "" && p.Status != pinpad.Secure: // it answers, and no answer was a yes
		return doubtful(evidence.PINPadPort, subject, report.CannotTell, report.ReasonUnsupported)
	case what == "":
		what = "ok"
	}
	facts := []evidence.Value{evidence.Outcome.Is(what)}
	loaded := map[string]float64{}
	for kind, m := range p.Keys {
		if m != "" {
			loaded[pinpad.KeyKind(kind).String()] = float64(m.Loaded())
		}
	}
	if len(loaded) > 0 {
		facts = append(facts, evidence.KeysLoaded.Is(loaded))
	}
	for _, v := range [...]evidence.Value{evidence.Model.Is(p.Model), evidence.Maker.Is(p.Maker),
		evidence.Firmware.Is(p.Firmware), evidence.Spec.Is(p.Spec),
		evidence.Code.Is(p.Status)} {
		if !v.Empty() {
			facts = append(facts, v)
		}
	}
	return evidence.New(evidence.PINPadPort, subject, facts...)
}

// deviceOutcome is outcome in the words of pinpad.port and printer.status, which know no garbled line.
func deviceOutcome(err error) (what, reason string) {
	what, reason = outcome(err)
	if errors.Is(err, serial.ErrGarbled) {
		what = "fault"
	}
	return what, reason
}

// keysEvidence holds the pad's map of keys against what must be there.
func keysEvidence(subject string, p pinpad.Report, err error, needed []keyPlace) report.Evidence {
	what, reason := deviceOutcome(err)
	if what != "" {
		reason = report.ReasonMasked
	}
	var missing []string
	for _, n := range needed {
		yes, known := p.Keys[n.kind].Has(n.place)
		if !known && reason == "" {
			reason = report.ReasonUnsupported
		}
		if known && !yes {
			missing = append(missing, fmt.Sprintf("%v:%d", n.kind, n.place))
		}
	}
	switch {
	case len(missing) > 0:
		return evidence.New(evidence.AppKeys, subject, evidence.State.Is("missing"), evidence.Missing.Is(missing))
	case reason != "":
		return doubtful(evidence.AppKeys, subject, report.CannotTell, reason)
	}
	return evidence.New(evidence.AppKeys, subject, evidence.State.Is("ok"))
}
