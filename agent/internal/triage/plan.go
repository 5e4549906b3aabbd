package triage

import (
	"posdx/agent/internal/probe"
	"posdx/agent/report"
)

// plan chooses the probes worth asking for an event: those not asked since the code appeared, less those that would
// spend SIM data on a question the code has answered. An answered code proves the way to the host, so on a metered
// bearer nothing is sent over the network for it.
func plan(ev report.Event, stale []probe.Probe, metered bool) []probe.Probe {
	var list []probe.Probe
	for _, p := range stale {
		if p.Depth == report.Interactive {
			continue // needs a person
		}
		if p.Bytes > 0 && metered && answered(ev) {
			continue
		}
		list = append(list, p)
	}
	return list
}

// answered tells whether the host really spoke.
func answered(ev report.Event) bool {
	if ev.Origin != report.OriginHost {
		return false
	}
	return ev.Txn == nil || ev.Txn.HostAnswerSeen == nil || *ev.Txn.HostAnswerSeen
}
