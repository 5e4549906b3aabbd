// The command eval measures the diagnosis on cases it makes itself, from a model of faults that knows nothing of the
// engine's weights. Faults are split in two: one half to tune with, the other to judge by.
package main

import (
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
)

// A trial is one made case.
type trial struct {
	fault    fault
	ev       report.Event
	evidence []report.Evidence
	blind    bool // nothing that could tell was looked at: the answer is to abstain
	starved  bool // the one check that decides was not made, or long ago
}

// decisive names the checks of which at least one must have been made for a cause to be told at all. Causes that the code
// itself tells are not here.
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

// starves tells whether none of the deciding checks found anything in time.
func (t *trial) starves() bool {
	checks := decisive[t.fault.cause]
	return len(checks) > 0 && !slices.ContainsFunc(t.evidence, func(e report.Evidence) bool {
		return slices.Contains(checks, e.Check) && (e.Status == report.Bad || e.Check == "txn.history" && e.Status == report.OK) && e.AgeMS < 600_000
	})
}

// make builds the n-th case of a fault.
func makeTrial(f fault, seed uint64, blind bool) trial {
	r := rand.New(rand.NewPCG(seed, uint64(len(f.name))<<32|uint64(hash(f.name))))
	w := newWorld(r)
	f.set(w)
	w.distract()
	t := trial{fault: f, blind: blind}
	t.ev = w.sale()
	l := look{w: w, ev: &t.ev, keep: 0.8 + 0.2*r.Float64()}
	if blind {
		// Only what says nothing was looked at; the code itself is one without a meaning.
		t.ev.Origin, t.ev.Code, t.ev.Scheme = report.OriginCashier, pick(r, "9997", "E-102", "TransactionFailed", "-5"), ""
		t.ev.Txn.Sent, t.ev.Txn.HostAnswerSeen, t.ev.Txn.ConnectMS, t.ev.Txn.ResponseMS = nil, nil, nil, nil
		harmless := newWorld(r)
		l = look{w: harmless, ev: &t.ev, keep: 0.3 + 0.7*r.Float64(), only: func(c string) bool { return c != "txn.answer" }}
		harmless.failing = "one"
	}
	t.evidence = l.run()
	t.starved = !blind && t.starves()
	return t
}

func hash(s string) uint32 { h := fnv.New32a(); h.Write([]byte(s)); return h.Sum32() }

// judging tells the half of the faults that is judged by.
func judging(f fault) bool { return hash(f.name)%2 == 1 }

// A score is what came out of many trials.
type score struct {
	n, top1, top3, wrongSafe, forbidden     int
	abstained, blind, blindAbstained        int
	binN, binRight                          [10]int
	binP                                    [10]float64
	starved, starvedRight, starvedAbstained int
	misses                                  map[string]int
}

func (s *score) add(t *trial, d *report.Diagnosis) {
	if s.misses == nil {
		s.misses = map[string]int{}
	}
	sent := t.ev.Txn == nil || t.ev.Txn.Sent == nil || *t.ev.Txn.Sent
	answered := t.ev.Txn != nil && t.ev.Txn.HostAnswerSeen != nil && *t.ev.Txn.HostAnswerSeen || t.ev.Origin == report.OriginHost
	if sent && !answered && (d.Money.Retry == report.RetrySafe || d.Money.Retry == report.RetryLater) {
		s.wrongSafe++
	}
	if t.blind {
		s.blind++
		if d.Abstained {
			s.blindAbstained++
		}
		return
	}
	right := func(id string) bool { return id == t.fault.cause || slices.Contains(t.fault.also, id) }
	top := d.Causes[0]
	if t.starved {
		s.starved++
		if d.Abstained {
			s.starvedAbstained++
		}
		if right(top.ID) {
			s.starvedRight++
		} else if !d.Abstained {
			s.misses["(deciding check not made) "+t.fault.name+": "+top.ID]++
		}
		s.calibrate(top, right(top.ID))
		return
	}
	s.n++
	if right(top.ID) {
		s.top1++
	} else {
		s.misses[t.fault.name+": "+top.ID]++
	}
	if slices.ContainsFunc(d.Causes[:min(3, len(d.Causes))], func(c report.Cause) bool { return right(c.ID) }) {
		s.top3++
	} else {
		s.misses[t.fault.name+": NOT IN THREE"]++
	}
	if t.ev.Txn != nil && t.ev.Txn.HostAnswerSeen != nil && *t.ev.Txn.HostAnswerSeen && t.ev.Origin == report.OriginHost &&
		slices.Contains([]string{"lan", "wan", "modem"}, top.Segment) {
		s.forbidden++ // the network, although the host had answered
	}
	if d.Abstained {
		s.abstained++
	}
	s.calibrate(top, right(top.ID))
}

// calibrate notes what was said of a first cause, and whether it was right.
func (s *score) calibrate(top report.Cause, right bool) {
	if top.ID == report.Unexplained {
		return
	}
	b := min(9, int(top.Probability*10))
	s.binN[b]++
	s.binP[b] += top.Probability
	if right {
		s.binRight[b]++
	}
}

// ece is the expected calibration error of the first cause.
func (s *score) ece() float64 {
	sum, n := 0.0, 0
	for b := range s.binN {
		sum += math.Abs(s.binP[b] - float64(s.binRight[b]))
		n += s.binN[b]
	}
	return sum / math.Max(1, float64(n))
}

func pct(a, b int) float64 { return 100 * float64(a) / math.Max(1, float64(b)) }

func (s *score) print(w io.Writer, name string) {
	fmt.Fprintf(w, "%s: %d cases\n", name, s.n)
	fmt.Fprintf(w, "  first right       %6.1f %%   (goal 90)\n", pct(s.top1, s.n))
	fmt.Fprintf(w, "  among three       %6.1f %%   (goal 98)\n", pct(s.top3, s.n))
	fmt.Fprintf(w, "  forbidden first   %6d\n  wrong safe        %6d\n", s.forbidden, s.wrongSafe)
	fmt.Fprintf(w, "  calibration error %6.3f     (goal 0.05)\n", s.ece())
	fmt.Fprintf(w, "  abstained         %6.1f %%   (goal below 5); on the %d that nothing can tell %.1f %% (goal 80)\n", pct(s.abstained, s.n), s.blind, pct(s.blindAbstained, s.blind))
	fmt.Fprintf(w, "  deciding check not made: %d cases, first right %.1f %%, abstained %.1f %%\n", s.starved, pct(s.starvedRight, s.starved), pct(s.starvedAbstained, s.starved))
	fmt.Fprintf(w, "  said      n  meant  right\n")
	for b := range s.binN {
		if s.binN[b] > 0 {
			fmt.Fprintf(w, "  %2d-%3d %5d  %5.1f  %5.1f\n", b*10, b*10+10, s.binN[b], 100*s.binP[b]/float64(s.binN[b]), pct(s.binRight[b], s.binN[b]))
		}
	}
}

// evaluate runs n trials of each fault of one half, and one blind trial for every six others.
func evaluate(k *codes.Knowledge, n int, test bool, seed uint64) score {
	var s score
	for _, f := range faults() {
		if judging(f) != test {
			continue
		}
		for i := range n {
			t := makeTrial(f, seed+uint64(i), i%6 == 5)
			d := diagnose.Explain(t.ev, t.evidence, k, diagnose.Options{Lang: "en"})
			s.add(&t, &d)
		}
	}
	return s
}

func main() {
	n := flag.Int("n", 60, "cases of each fault")
	seed := flag.Uint64("seed", 1, "of the random numbers")
	data := flag.String("data", "", "a folder of data files instead of the knowledge compiled in")
	misses := flag.Int("misses", 0, "print so many of the commonest misses of the tuning half")
	both := flag.Bool("both", false, "print the misses of the judging half too: look there once, then never tune on it")
	show := flag.String("show", "", "print the calculation of the first case of this fault that is missed")
	flag.Parse()
	k := codes.Builtin()
	if *data != "" {
		var problems []codes.Problem
		if k, problems = codes.Parse(os.DirFS(*data)); len(problems) > 0 {
			fmt.Fprintln(os.Stderr, problems)
			os.Exit(1)
		}
	}
	if *show != "" {
		showMiss(k, *show, *n, *seed)
		return
	}
	for _, test := range []bool{false, true} {
		s := evaluate(k, *n, test, *seed)
		s.print(os.Stdout, map[bool]string{false: "tuning faults", true: "judging faults"}[test])
		if *misses > 0 && (!test || *both) {
			var names []string
			for name := range s.misses {
				names = append(names, name)
			}
			sort.Slice(names, func(i, j int) bool {
				return s.misses[names[i]] > s.misses[names[j]] || s.misses[names[i]] == s.misses[names[j]] && names[i] < names[j]
			})
			for _, name := range names[:min(len(names), *misses)] {
				fmt.Printf("    %4d  %s\n", s.misses[name], name)
			}
		}
	}
}

// showMiss prints the first trial of a fault whose first cause is wrong, with the whole calculation.
func showMiss(k *codes.Knowledge, name string, n int, seed uint64) {
	for _, f := range faults() {
		if f.name != name {
			continue
		}
		for i := range n {
			t := makeTrial(f, seed+uint64(i), false)
			d := diagnose.Explain(t.ev, t.evidence, k, diagnose.Options{Lang: "en"})
			if top := d.Causes[0].ID; t.starved || top == f.cause || slices.Contains(f.also, top) {
				continue
			}
			fmt.Printf("%+v %+v\n", t.ev, *t.ev.Txn)
			for _, e := range t.evidence {
				fmt.Printf("  %-20s %-16s %-11s %v age %d\n", e.Check, e.Subject, e.Status, e.Facts, e.AgeMS)
			}
			fmt.Println(diagnose.Ledger(t.ev, t.evidence, k, diagnose.Options{Lang: "en"}))
			return
		}
	}
}
