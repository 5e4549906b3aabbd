package nettrial

import (
	"slices"
	"testing"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// explained is what the checks found, put to the diagnosis of a connection that failed.
func explained(list ...report.Evidence) report.Diagnosis {
	for i := range list {
		list[i].At = time.Now()
		evidence.Grade(&list[i], codes.Builtin())
	}
	return diagnose.Explain(connectError.event(), list, codes.Builtin(), diagnose.Options{Lang: "en", Final: true})
}

// A host's certificate comes from an authority that is new, while another place's is as before: the acquirer may have
// changed it, or a box on the way may sign for this one host. From the terminal nobody can tell, and both are said.
func TestAnotherIssuerAtTheHostAlone(t *testing.T) {
	d := explained(
		evidence.New(evidence.NetTCP, "host-primary", evidence.Target.Is("host-primary"), evidence.Outcome.Is("ok"),
			evidence.MS.Is(11)),
		evidence.New(evidence.NetTLS, "host-primary", evidence.Target.Is("host-primary"),
			evidence.Outcome.Is("unknown-ca"),
			evidence.Issuer.Is("new"), evidence.Which.Is("leaf"), evidence.DaysLeft.Is(364)),
		evidence.New(evidence.NetTLS, "broker", evidence.Target.Is("broker"), evidence.Outcome.Is("ok"),
			evidence.DaysLeft.Is(364)),
		evidence.New(evidence.BoardClock, "clock", evidence.OffsetS.Is(0), evidence.Source.Is("ntp")))
	if !d.Abstained || !slices.Contains(d.CannotSeparate, "host.tls") || !slices.Contains(d.CannotSeparate, "wan.tls") {
		t.Errorf("%s; cannot separate %v", ranked(d), d.CannotSeparate)
	}
}

// A line that loses packets to the router already loses them to every place behind it. Both losses are counted from
// some dozens of packets, so either may be the larger; the line behind the router is not named for it. What the router
// does not lose is the line's.
func TestLossThatBeginsAtTheRouter(t *testing.T) {
	explain := func(near, far float64) report.Diagnosis {
		return explained(
			evidence.New(evidence.NetLink, "eth0", evidence.Iface.Is("eth0"), evidence.Kind.Is("ethernet"), evidence.Carrier.Is(true)),
			evidence.New(evidence.NetAddress, "eth0", evidence.Iface.Is("eth0"), evidence.Address.Is("192.168.1.23"),
				evidence.Prefix.Is(24), evidence.DefaultRoutes.Is(1), evidence.Gateway.Is("192.168.1.1"), evidence.GatewayInSubnet.Is(true),
				evidence.Duplicate.Is(false)),
			evidence.New(evidence.BoardClock, "clock", evidence.OffsetS.Is(0), evidence.Source.Is("ntp")),
			evidence.New(evidence.NetMTU, "host-primary", evidence.Target.Is("host-primary"), evidence.Outcome.Is("ok"), evidence.LargestOkBytes.Is(1500)),
			evidence.New(evidence.NetTLS, "host-primary", evidence.Target.Is("host-primary"), evidence.Outcome.Is("ok"), evidence.MS.Is(437)),
			evidence.New(evidence.NetDNS, "host-primary", evidence.Name.Is(hostName), evidence.Outcome.Is("ok"), evidence.MS.Is(11)),
			evidence.New(evidence.NetGateway, "gateway", evidence.IP.Is("192.168.1.1"), evidence.Neighbour.Is("reachable"),
				evidence.LossPct.Is(near), evidence.RTTMS.Is(0.1)),
			evidence.New(evidence.NetPath, "host-primary", evidence.Target.Is("host-primary"), evidence.By.Is("echo"),
				evidence.LossPct.Is(far), evidence.RTTMS.Is(11), evidence.Samples.Is(20)),
			evidence.New(evidence.NetPath, "broker", evidence.Target.Is("broker"), evidence.By.Is("echo"),
				evidence.LossPct.Is(far), evidence.RTTMS.Is(11), evidence.Samples.Is(20)),
			evidence.New(evidence.NetTCP, "host-primary", evidence.Target.Is("host-primary"), evidence.Outcome.Is("ok"),
				evidence.MS.Is(11)),
			evidence.New(evidence.NetInternet, "broker", evidence.Target.Is("broker"), evidence.Outcome.Is("ok"), evidence.MS.Is(11)),
		)
	}
	for near := 17.5; near <= 50; near += 2.5 {
		for far := 20.0; far <= 1.5*near; far += 5 {
			if d := explain(near, far); d.Abstained || d.Causes[0].ID != "lan.noise" {
				t.Errorf("%g %% to the router, %g %% to the host: %s", near, far, ranked(d))
			}
		}
	}
	for far := 20.0; far <= 60; far += 10 {
		if d := explain(0, far); d.Causes[0].ID != "wan.loss" {
			t.Errorf("nothing lost to the router, %g %% to the host: %s", far, ranked(d))
		}
	}
}
