package main

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"posdx/agent/report"
)

// A kind says what is hard about a trial.
type kind int

const (
	plain        kind = iota // as it comes: some checks missing, some old
	edge                     // the fault is no worse than it must be: values on both sides of every limit
	irrelevant               // something else is broken that cannot have stopped this sale
	twoFaults                // something else is broken that stops sales as well
	uncounted                // the history lacks most of its counts
	duplicated               // the same thing was looked at several times
	contradicted             // two looks at the deciding thing disagree
	starved                  // the deciding checks were not made
	outdated                 // the deciding checks are two hours old, from before the fault
	blind                    // nothing that could tell was looked at, and the code has no meaning
	kinds
)

var kindNames = [kinds]string{"as it comes", "no worse than it must be", "irrelevant defects beside it", "two faults", "counts missing",
	"looked at several times", "two looks disagree", "deciding check not made", "deciding check from before the fault", "nothing was looked at"}

// schedule is how often each kind comes: a dozen trials hold them all.
var schedule = [...]kind{plain, edge, irrelevant, plain, twoFaults, uncounted, plain, duplicated, contradicted, starved,
	edge, outdated, plain, irrelevant, blind, plain}

// A trial is one made case.
type trial struct {
	kind     kind
	fault    fault
	second   *second
	ev       report.Event
	evidence []report.Evidence
	told     bool // what was looked at tells the cause: the oracle's answer to "should it abstain?"
}

// decisive names the checks of which at least one must have been made for a cause to be told at all. Causes that the
// code itself tells are not here.
var decisive = map[string][]string{
	"lan.cable": {"net.link"}, "lan.wifi": {"net.wifi"}, "lan.address": {"net.address"}, "lan.gateway": {"net.gateway"},
	"lan.conflict": {"net.address"}, "lan.noise": {"net.errors"}, "lan.firewall": {"net.tcp"}, "wan.outage": {"net.internet"},
	"wan.dns": {"net.dns"}, "wan.loss": {"net.path"}, "wan.slow": {"net.path"}, "wan.mtu": {"net.mtu"}, "wan.tls": {"net.tls"},
	"bearer.flapping": {"net.bearer"}, "host.unreachable": {"net.tcp"}, "host.port-closed": {"net.tcp"}, "host.tls": {"net.tls"},
	"modem.absent": {"modem.port"}, "modem.sim": {"modem.sim"}, "modem.denied": {"modem.registration"},
	"modem.signal-weak": {"modem.signal"}, "modem.apn": {"modem.bearer"}, "modem.line": {"modem.line"}, "modem.dial": {"modem.line"},
	"terminal.storage-full": {"board.storage"}, "terminal.storage-fault": {"board.storage", "board.flash"}, "terminal.app-crash": {"app.process"},
	"terminal.overloaded": {"board.memory", "board.cpu"}, "terminal.power": {"board.power", "board.reboots"}, "terminal.heat": {"board.thermal"},
	"terminal.clock": {"board.clock", "net.tls"}, "reader.disconnected": {"reader.port"}, "reader.fault": {"reader.selftest"},
	"reader.dirty": {"reader.reads", "txn.history"}, "reader.line-noise": {"reader.line"}, "card.damaged": {"reader.reads", "txn.history"},
	"terminal.config": {"app.config"},
}

// tells is the oracle. It knows the fault and what was looked at: the cause can be told if the code tells it, or a
// deciding check found it in time and no other look contradicts that one.
func (t *trial) tells() bool {
	if t.kind == blind || t.fault.cause == report.Unexplained || t.kind == contradicted &&
		len(decisive[t.fault.cause]) > 0 {
		return false
	}
	checks := decisive[t.fault.cause]
	return len(checks) == 0 || slices.ContainsFunc(t.evidence, func(e report.Evidence) bool {
		return slices.Contains(checks, e.Check) && (e.Status == report.Bad || e.Check == "txn.history" && e.Status == report.OK ||
			t.kind == edge && e.Status == report.OK) && e.AgeMS < 600_000
	})
}

// A second is a fault that can stand beside another one.
type second struct {
	cause, segment string
	fits           func(w *world) bool
	set            func(w *world)
}

func wiredOrWifi(w *world) bool { return !w.pstn && w.kind != "cellular" }

// seconds stop sales; irrelevants cannot have stopped one that a host answered.
var seconds = []second{
	{"reader.dirty", "reader", nil, func(w *world) { w.reader = "dirty" }},
	{"reader.disconnected", "reader", nil, func(w *world) { w.reader = "gone" }},
	{"printer.fault", "printer", nil, func(w *world) { w.printer = "no-paper" }},
	{"terminal.storage-full", "terminal", nil, func(w *world) { w.free = w.Float64() }},
	{"terminal.overloaded", "terminal", nil, func(w *world) { w.cpu = 70 + 20*w.Float64() }},
	{"wan.dns", "wan", wiredOrWifi, func(w *world) { w.dns = "out" }},
	{"host.port-closed", "acquirer", nil, func(w *world) { w.host = "refuses" }},
	{"lan.gateway", "lan", wiredOrWifi, func(w *world) { w.gateway = "dead" }},
	{"modem.sim", "modem", func(w *world) bool { return w.kind == "cellular" && !w.pstn }, func(w *world) { w.sim = "missing" }},
}

// irrelevantAnswered cannot have stopped a sale that a host answered; irrelevantCard cannot have stopped one that never
// got beyond the card.
var irrelevantAnswered = []func(w *world){
	func(w *world) { w.reader = "dirty" }, func(w *world) { w.printer = "no-paper" }, func(w *world) { w.free = 2 },
	func(w *world) { w.hot = true }, func(w *world) { w.ioErrors = 4 }, func(w *world) { w.cpu = 60 },
	func(w *world) { w.crc = 200 },
	func(w *world) { w.flaps = 4 }, func(w *world) { w.rsrp = -113 }, func(w *world) { w.oldApp = true },
	func(w *world) { w.clock = 200 }, func(w *world) { w.backup = "nosim" },
}
var irrelevantSent = []func(w *world){
	func(w *world) { w.printer = "paper-low" }, func(w *world) { w.oldApp = true }, func(w *world) { w.clock = 150 },
	func(w *world) { w.backup = "nosim" },
	func(w *world) { w.pending = 2 },
}

// makeTrial builds the case of a fault that a seed stands for.
func makeTrial(f fault, seed uint64, how kind) trial {
	r := rand.New(rand.NewPCG(seed, uint64(len(f.name))<<32|uint64(hash(f.name))))
	w := newWorld(r)
	w.edge = how == edge
	f.set(w)
	w.distract()
	t := trial{kind: how, fault: f}
	segment, _, _ := strings.Cut(f.cause, ".")
	if how == twoFaults && w.code == "" && w.passed == "" {
		for range 20 {
			s := &seconds[r.IntN(len(seconds))]
			if kin := s.segment == segment || s.segment == "acquirer" && segment == "host"; kin || s.cause == f.cause ||
				s.fits != nil && !s.fits(w) {
				continue
			}
			s.set(w)
			t.second = s
			break
		}
	}
	l := look{w: w, ev: &t.ev, keep: 0.8 + 0.2*r.Float64()}
	switch {
	case how == irrelevant || how == twoFaults && (w.code != "" || w.passed != ""):
		// The defect is seen by the checks, and did not touch the sale.
		t.ev = w.sale()
		list := irrelevantSent
		if w.answered {
			list = irrelevantAnswered
		}
		list[r.IntN(len(list))](w)
	case how == blind:
		w.sale()
		t.ev = newWorld(r).sale()
		// Only what says nothing was looked at; the code itself is one without a meaning.
		t.ev.Origin, t.ev.Code, t.ev.Scheme = report.OriginCashier, pick(r, "9997", "E-102", "TransactionFailed", "-5"), ""
		t.ev.Txn.Sent, t.ev.Txn.HostAnswerSeen, t.ev.Txn.ConnectMS, t.ev.Txn.ResponseMS = nil, nil, nil, nil
		harmless := newWorld(r)
		l = look{w: harmless, ev: &t.ev, keep: 0.3 + 0.7*r.Float64(), only: func(c string) bool { return c != "txn.answer" }}
		harmless.failing = "one"
	default:
		t.ev = w.sale()
	}
	t.evidence = l.run()
	t.disturb(r, w)
	t.told = t.tells()
	return t
}

// disturb does to the evidence what the trial's kind says.
func (t *trial) disturb(r *rand.Rand, w *world) {
	checks := decisive[t.fault.cause]
	deciding := func(e report.Evidence) bool { return slices.Contains(checks, e.Check) && e.Check != "txn.history" }
	switch t.kind {
	case uncounted:
		for i := range t.evidence {
			if e := &t.evidence[i]; e.Check == "txn.history" && e.Status == report.OK {
				keep := pick(r, []string{"same_code_1h"}, []string{"same_code_1h", "approvals_1h", "last_approval_age_s"}, []string{"approvals_1h"},
					[]string{"cards_failed_1h", "same_code_1h"}, []string{"same_code_1h", "declines_1h"})
				f := report.Facts{}
				for _, name := range keep {
					if v, ok := e.Facts[name]; ok {
						f[name] = v
					}
				}
				e.Facts = f
			}
		}
	case duplicated:
		for _, e := range slices.Clone(t.evidence) {
			if e.Status == report.Bad && e.Check != "fleet.advisory" && e.Check != "txn.answer" {
				again := e
				again.AgeMS += 400
				if again.Subject = pick(r, e.Subject, e.Subject+"#2"); r.IntN(2) == 0 && strings.HasPrefix(e.Check, "net.") &&
					strings.HasPrefix(e.Subject, "host") {
					again.Subject = e.Subject + "@" + ifaceOf(w.kind)
				}
				t.evidence = append(t.evidence, again)
			}
		}
	case starved:
		for i := range t.evidence {
			if e := &t.evidence[i]; deciding(*e) {
				e.Status, e.Facts = report.CannotTell, report.Facts{"reason": pick(r, "timeout", "permission", "in-use")}
			}
		}
	case contradicted, outdated:
		healthy := newWorld(r)
		healthy.kind, healthy.pstn, healthy.entry = w.kind, w.pstn, w.entry
		l := look{w: healthy, ev: &t.ev, keep: 1}
		well := l.run()
		for i := range t.evidence {
			e := &t.evidence[i]
			if !deciding(*e) || e.Status != report.Bad {
				continue
			}
			j := slices.IndexFunc(well, func(x report.Evidence) bool {
				return x.Check == e.Check && x.Subject == e.Subject && x.Status == report.OK
			})
			switch {
			case j < 0 && t.kind == outdated:
				e.Status, e.Facts = report.NotRun, report.Facts{"reason": "budget"}
			case j < 0:
			case t.kind == outdated:
				*e = well[j]
				e.AgeMS = 7200_000 + r.Int64N(3600_000)
			default:
				well[j].AgeMS = e.AgeMS
				t.evidence = append(t.evidence, well[j])
			}
		}
	}
}

func ifaceOf(kind string) string {
	return map[string]string{"ethernet": "eth0", "wifi": "wlan0", "cellular": "wwan0"}[kind]
}

func hash(s string) uint32 { h := fnv.New32a(); h.Write([]byte(s)); return h.Sum32() }
