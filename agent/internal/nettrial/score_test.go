package nettrial

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
)

// others are codes that the same evidence is explained for.
var others = []event{
	{code: "newpos:E5", origin: report.OriginTerminal, sent: no},
	{code: "mpt:net-timeout", origin: report.OriginTerminal, sent: no},
	{code: "newpos:E7", origin: report.OriginTerminal, sent: yes, answer: no},
	{code: "98", scheme: "unionpay", origin: report.OriginUnknown, answer: no},
	{code: "9997", origin: report.OriginCashier},
}

// pairs are two faults at once, from places that have nothing to do with each other.
var pairs = [][2]string{{"resolver-dead", "host-silent"}, {"resolver-slow", "firewall-resets"}, {"loss-30", "port-closed"}, {"large-hello", "resolver-servfail"},
	{"router-lossy", "cert-expired"}, {"firewall-silent", "resolver-dead"}, {"delay-2s", "host-unrouted"}, {"intercepted", "loss-30"}, {"no-default-route", "resolver-dead"},
	{"queue-full", "resolver-lies"}, {"mtu-hole", "resolver-slow"}, {"cable-out", "cert-expired"}}

// A score counts how diagnoses were.
type score struct{ right, abstained, wrong, sure, sureRight int }

func (s *score) String() string {
	return fmt.Sprintf("%d right, %d abstained, %d wrong of %d; said at .9 or more: %d, of them right %d", s.right, s.abstained, s.wrong, s.right+s.abstained+s.wrong, s.sure, s.sureRight)
}

// add judges one diagnosis and says how it was.
func (s *score) add(d report.Diagnosis, causes []string) string {
	first := d.Causes[0]
	right := slices.Contains(causes, first.ID)
	if first.Probability >= 0.9 && first.ID != report.Unexplained {
		s.sure++
		if right {
			s.sureRight++
		}
	}
	switch {
	case d.Abstained || first.ID == report.Unexplained:
		s.abstained++
		return "abstained"
	case right:
		s.right++
		return "right"
	}
	s.wrong++
	return "WRONG"
}

// long tells whether every trial is made.
func long() bool { return os.Getenv("POSDX_NET_TRIALS") != "" }

// each is what is tried each time: one of each kind, and those that were once taken for another.
var each = []string{"router-dead", "firewall-silent", "firewall-resets", "firewall-rejects-host", "internet-unreachable", "resolver-dead", "resolver-lies", "large-hello",
	"host-unrouted", "port-closed", "cert-expired", "intercepted"}

func TestNamedFaults(t *testing.T) {
	var list []spec
	for _, f := range faults {
		if only := os.Getenv("POSDX_NET_TRIALS"); only != "" && only != "all" && !strings.Contains(","+only+",", ","+f.name+",") {
			continue
		}
		for _, six := range []bool{false, true} {
			for _, tls := range []bool{true, false} {
				n := slices.Index(each, f.name)
				if f.tls && !tls || f.four && six || !long() && (n < 0 || six != (n%2 == 1) || tls != (f.tls || n%4 < 2)) {
					continue
				}
				list = append(list, spec{Faults: []string{f.name}, Six: six, TLS: tls})
			}
		}
	}
	var tls, plain, two, all, mended score
	if os.Getenv("POSDX_NET_TRIALS") == "all" {
		for _, p := range pairs {
			for _, six := range []bool{false, true} {
				for _, tls := range []bool{true, false} {
					if f := faultNamed(p[0]); tls || !f.tls && !faultNamed(p[1]).tls {
						list = append(list, spec{Faults: p[:], Six: six, TLS: tls})
					}
				}
			}
		}
	}
	for _, s := range begin(t, list) {
		t.Run(s.String(), func(t *testing.T) {
			r := s.got(t)
			var causes []string
			for _, name := range s.Faults { // of two, either is right: who mends it finds the other
				causes = append(causes, faultNamed(name).causes...)
			}
			one := &plain
			if len(s.Faults) > 1 {
				one = &two
			} else if s.TLS {
				one = &tls
			}
			how := one.add(r.Broken, causes)
			t.Logf("%-9s %-34s %-16s %s after %d ms; want %v", how, s, r.Broken.Causes[0].ID, ranked(r.Broken), r.Broken.TookMS, causes)
			if how != "right" || os.Getenv("POSDX_NET_TRIALS_ALL") != "" {
				t.Log(evidenceOf(r.Broken))
			}
			if !long() && how != "right" {
				t.Errorf("%s ends in %s", s, ranked(r.Broken))
			}
			all.add(r.Broken, causes)
			for _, e := range others {
				d := with(r.Broken, e)
				if h := all.add(d, causes); h == "WRONG" {
					t.Logf("  %s: %s", e.code, ranked(d))
				}
			}
			if len(r.After.Causes) > 0 {
				d := r.After
				if first := d.Causes[0]; first.ID != report.Unexplained && !d.Abstained {
					mended.wrong++
					t.Errorf("  after the repair: %s %s", ranked(d), evidenceOf(d))
				} else {
					mended.right++
				}
			}
		})
	}
	t.Logf("TLS: %s", &tls)
	t.Logf("plain: %s", &plain)
	t.Logf("pairs: %s", &two)
	t.Logf("all codes: %s", &all)
	if all.wrong*20 > all.right+all.wrong || all.sureRight*10 < all.sure*9 {
		t.Error("want at most one in twenty named wrongly, and nine in ten right of what is said at .9 or more")
	}
	t.Logf("after the repair: nothing named %d, something named %d", mended.right, mended.wrong)
}

func ranked(d report.Diagnosis) string {
	var list []string
	for _, c := range d.Causes {
		list = append(list, fmt.Sprintf("%s %.2f %s", c.ID, c.Probability, c.Verdict))
	}
	return strings.Join(list[:min(3, len(list))], ", ")
}

func evidenceOf(d report.Diagnosis) string {
	var b strings.Builder
	for _, c := range d.Causes[:min(3, len(d.Causes))] {
		fmt.Fprintf(&b, "\n    %s %.2f:", c.ID, c.Probability)
		for _, r := range c.For {
			fmt.Fprintf(&b, " +%s %.0f;", r.Say, r.WeightDB)
		}
		for _, r := range c.Against {
			fmt.Fprintf(&b, " -%s %.0f;", r.Say, r.WeightDB)
		}
	}
	for _, e := range d.Evidence {
		if strings.HasPrefix(e.Check, "net.") && e.Check != "net.errors" && e.Check != "net.wifi" && e.Check != "net.bearer" {
			fmt.Fprintf(&b, "\n    %s %s %s %v", e.Check, e.Subject, e.Status, e.Facts)
		}
	}
	return b.String()
}
