package triage

import (
	"maps"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

// snapshot remembers what the terminal was when a sale was last approved, to tell what has changed since.
type snapshot struct {
	now, then map[string]string
	at        time.Time // of then, by the wall clock
}

// Memory is what the loop must know after a restart of the agent: when a sale was last approved, and how the terminal
// was set up then. A terminal that was set up anew and restarted must still be seen to have changed.
type Memory struct {
	Approved time.Time         `json:"approved"`
	Then     map[string]string `json:"then"`
}

// Memory returns what is worth keeping. Approved is zero as long as no approval is known.
func (l *Loop) Memory() Memory {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Memory{Approved: l.app.at, Then: maps.Clone(l.app.then)}
}

// Restore gives the loop what was kept, before Run. A time in the future was written by a clock that was wrong; it
// proves only that there was an approval.
func (l *Loop) Restore(m Memory) {
	if m.Approved.IsZero() {
		return
	}
	if now := time.Now(); m.Approved.After(now) {
		m.Approved = now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.app.at, l.app.then, l.approvedBefore = m.Approved, m.Then, m.Approved
}

// Note tells the loop the present value of one of Changeable.
func (l *Loop) Note(name, value string) {
	if value == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.app.now == nil {
		l.app.now = map[string]string{}
	}
	l.app.now[name] = value
}

// Changed lists, in the order of Changeable, what has another value than at the last approval. known is false before
// the first one.
func (l *Loop) Changed() (names []string, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.app.then == nil {
		return nil, false
	}
	names = []string{}
	for _, n := range Changeable {
		if then, ok := l.app.then[n]; ok && l.app.now[n] != "" && then != l.app.now[n] {
			names = append(names, n)
		}
	}
	return names, true
}

// Changeable are the names of what is watched for changes since the last approved sale.
var Changeable = [...]string{"app_version", "kernel_version", "terminal_id", "merchant_id", "host_address", "tpdu", "apn",
	"phone_number", "certificate", "ip_config", "reader_firmware", "parameters", "area", "gateway", "public_address"}

// approved takes a copy of the present values. The caller holds the loop's lock.
func (s *snapshot) approved(at time.Time) { s.then, s.at = maps.Clone(s.now), at }

// lastNetwork adds to the modem's evidence the network that it was on at the last approval, where it is on none now:
// whether that network was switched off can only be told if its name is known.
func (l *Loop) lastNetwork(list []report.Evidence) []report.Evidence {
	l.mu.Lock()
	operator := l.app.then["operator"]
	l.mu.Unlock()
	name := evidence.Operator.Name()
	for i, e := range list {
		_, told := e.Facts[name]
		says := e.Status == report.OK || e.Status == report.Bad
		if evidence.Check(e.Check) == evidence.ModemRegistration && operator != "" && !told && says {
			list[i].Facts = maps.Clone(e.Facts)
			list[i].Facts[name] = operator
		}
	}
	return list
}

// changes adds to app.config what the agent itself saw change, unless the payment application says so itself.
func (l *Loop) changes(list []report.Evidence, now time.Time) []report.Evidence {
	names, known := l.Changed()
	if !known {
		return list
	}
	changed := evidence.ChangedSinceApproval
	for i, e := range list {
		if evidence.Check(e.Check) == evidence.AppConfig {
			if _, ok := e.Facts[changed.Name()]; !ok {
				list[i].Facts = maps.Clone(e.Facts)
				list[i].Facts[changed.Name()] = names
			}
			return list
		}
	}
	return append(list, at(internal(evidence.New(evidence.AppConfig, "payment-app", changed.Is(names))), now))
}
