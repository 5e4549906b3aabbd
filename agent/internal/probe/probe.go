// Package probe holds the checks of the terminal. Each asks one driver one question and returns what it found as
// evidence. A Runner runs them: at most one at a time for a device, none during a sale.
package probe

import (
	"cmp"
	"context"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

// A Probe asks one driver. Run returns at least one Evidence for each name in Checks, with Check, Subject, Status and
// Facts; the Runner fills in the rest. Run must return soon after its context ends. If it does not, it counts as a
// timeout, and its device is not asked again until it returns.
type Probe struct {
	Checks  []evidence.Check // that Run answers
	Subject string           // what is asked: eth0, host-primary, reader0
	Device  string           // probes with the same Device never run at the same time; "" for none
	Depth   report.Depth     // how far it reaches
	Timeout time.Duration    // how long it may take
	Fresh   time.Duration    // its evidence may be used again for this long
	Bytes   int              // what it sends and receives over the network, roughly; 0 for local ones
	Idle    bool             // may run in the background, between events
	Every   time.Duration    // how often it then does; 0 for as soon as its evidence is not fresh any more
	Run     func(ctx context.Context) []report.Evidence
}

// Period is how often the probe runs in the background.
func (p Probe) Period() time.Duration { return cmp.Or(p.Every, p.Fresh) }

// runKey is where a context keeps when its run began.
type runKey struct{}

// began is when the run that a context belongs to began: what was found before may have ended. Without a run it is now.
func began(ctx context.Context) time.Time {
	if t, ok := ctx.Value(runKey{}).(time.Time); ok {
		return t
	}
	return time.Now()
}
