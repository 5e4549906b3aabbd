package evidence

import (
	"slices"

	"posdx/agent/report"
)

// tlsFindings names the finding of each outcome of a handshake with the host.
var tlsFindings = map[string]string{"expired": "tls.expired", "not-yet-valid": "tls.not-yet-valid", "name-mismatch": "tls.name",
	"unknown-ca": "tls.unknown-ca", "timeout": "tls.timeout", "protocol": "tls.broken"}

// certificates compares the host's certificate with those of other places. Dates that are wrong at both are our
// clock's fault; names that are wrong at both show somebody in between.
func (r *Reading) certificates() {
	list := r.All(NetTLS)
	var hostBad, otherBad, otherOK *Item
	for i := range list {
		it := &list[i]
		if it.Bearer != "" && r.Other(kindOf(it.Bearer)) {
			continue
		}
		switch {
		case it.IsHost() && it.Bad() && (hostBad == nil || it.Target == "host-primary"):
			hostBad = it
		case it.IsHost() && !it.Bad():
			slow := r.handshakeSlow(it)
			r.add("tls.slow", it, slow)
			r.add("tls.ok", it, 1-slow/2)
			// what another place takes says nothing of the way to this one
			r.add("tls.large-ok", it, Choose(it.str(LargeHello) == "ok", 1.0, 0))
		case !it.IsHost() && it.Bad():
			otherBad = it
		case !it.IsHost():
			otherOK = it
		}
	}
	if hostBad == nil {
		if otherBad != nil && !r.has("tls.ok") {
			switch otherBad.str(Outcome) {
			case "expired", "not-yet-valid":
				r.add("tls.elsewhere-dates", otherBad, 1)
			case "name-mismatch", "unknown-ca":
				r.add("tls.elsewhere-bad", otherBad, 1)
			}
		}
		return
	}
	outcome, both := hostBad.str(Outcome), 0.0
	switch {
	case outcome == "expired" && hostBad.str(Which) == "root":
		// What the host sent is good: the certificate that has ended lies in the terminal's own store, for every host.
		r.add("tls.root-expired", hostBad, 1)
		return
	case (outcome == "expired" || outcome == "not-yet-valid") && otherBad != nil && otherBad.str(Outcome) == outcome:
		both = otherBad.Fresh
		r.add("tls.both-dates", hostBad, both)
	case foreign(outcome) && otherBad != nil && foreign(otherBad.str(Outcome)):
		both = otherBad.Fresh
		r.add("tls.both-bad", hostBad, both)
	}
	name := tlsFindings[outcome]
	if name == "" {
		name = "tls.broken"
	}
	strength := 1.0
	if outcome == "expired" && otherOK == nil && r.clockOpen() {
		strength = clockOpenShare // the certificate has expired, or the clock runs ahead
	}
	r.add(name, hostBad, strength*(1-both))
	if otherOK != nil {
		r.add("tls.others-ok", otherOK, hostBad.Fresh)
	}
}

// clockOpenShare is the share of its strength that the finding of an expired host certificate keeps while it is not
// known whether the terminal's clock is right.
const clockOpenShare = 0.5

// clockOpen tells whether the clock was checked and the check could not tell if it is right.
func (r *Reading) clockOpen() bool {
	return r.First(BoardClock) == nil && slices.ContainsFunc(r.Missing, func(e *report.Evidence) bool {
		return e.Check == string(BoardClock) && e.Status == report.CannotTell
	})
}

// A handshake takes two round trips, and the host's own work; what is beyond is the host's, in ms.
const (
	roundTrips      = 3
	hostMS, stuckMS = 700, 2000
)

// handshakeSlow tells how surely the host itself was slow over a handshake, 0 to 1: connecting to it was quick.
func (r *Reading) handshakeSlow(it *Item) float64 {
	took, known := it.num(MS)
	list := r.All(NetTCP)
	for i := range list {
		if tcp := &list[i]; known && tcp.Subject == it.Subject && !tcp.Bad() {
			connected, _ := tcp.num(MS)
			return Ramp(took-roundTrips*connected, hostMS, stuckMS)
		}
	}
	return 0
}

// foreign tells whether a handshake ended at a certificate of another name, or of an authority that is not trusted.
func foreign(outcome string) bool { return outcome == "name-mismatch" || outcome == "unknown-ca" }
