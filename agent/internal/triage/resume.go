package triage

import (
	"slices"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
)

// Resume ends a diagnosis that a power cut or a crash left at its first revision: it is explained again with what was
// known then and with what the board tells now about how the machine went down, which may be the whole cause.
func (l *Loop) Resume(old report.Diagnosis) {
	now := time.Now()
	known := l.c.Runner.Known(now)
	evidence := slices.Clone(old.Evidence)
	for _, e := range known {
		if e.Check == "board.reboots" || e.Check == "board.power" || e.Check == "board.kernel" {
			evidence = slices.DeleteFunc(evidence, func(o report.Evidence) bool {
				return o.Check == e.Check &&
					o.Subject == e.Subject
			})
			evidence = append(evidence, e)
		}
	}
	d := diagnose.Explain(old.Event, evidence, l.c.Knowledge(), diagnose.Options{
		Lang: l.c.Lang, Version: l.c.Version, Profile: l.c.Profile, Revision: old.Revision + 1, Final: true,
		Repeats: old.Repeats, TookMS: old.TookMS,
	})
	l.keep(d)
	l.remember(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.haveLast {
		l.last, l.haveLast = d, true
	}
}
