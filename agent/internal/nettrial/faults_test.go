package nettrial

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"posdx/firmware-build/housetest"
)

// A fault is made in a world and may be mended.
type fault struct {
	name   string
	causes []string // any of which is right; several where what can be seen cannot tell them apart
	tls    bool     // needs TLS
	four   bool     // IPv4 alone
	breaks func(*world) error
	mends  func(*world) error
}

func faultNamed(name string) fault {
	i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
	return faults[i]
}

// run runs commands with the addresses of the family in force.
func run(lines string) func(*world) error { return func(w *world) error { return sh(w.say(lines)) } }

// say puts the world's addresses into a text.
func (w *world) say(text string) string {
	a := w.at()
	fam, icmp, unreach := "ip", "icmp", "icmp"
	if w.six {
		fam, icmp, unreach = "ip6", "icmpv6", "icmpv6"
	}
	return strings.NewReplacer("TERM", a.terminal, "GW", a.gateway, "BITS", strconv.Itoa(a.bits), "HOST", a.host, "PLACE", a.place, "RESOLVER", a.resolver,
		"SECOND", a.second, "ELSEWHERE", a.elsewhere, "INNER", a.inner, "FAM", fam, "UNREACH", unreach, "ICMP", icmp).Replace(text)
}

// router filters what the router forwards.
func router(rules string) func(*world) error {
	return func(w *world) error { return nft("r", chain("forward", w.say(rules))) }
}

func clean(ns string) func(*world) error { return func(*world) error { return nft(ns, "") } }

// manner changes how the host treats its connections.
func manner(f func(net.Conn)) func(*world) error {
	return func(w *world) error { w.host.does(f); return nil }
}

func usual(w *world) error { w.host.does(w.well(&w.host)); return nil }

func both(list ...func(*world) error) func(*world) error {
	return func(w *world) error {
		for _, f := range list {
			if err := f(w); err != nil {
				return err
			}
		}
		return nil
	}
}

// carrier waits until the terminal's own kernel has seen what became of its cable.
func carrier(up bool) func(*world) error {
	return func(*world) error {
		if !housetest.Within(housetest.Patience, func() bool {
			i, err := net.InterfaceByName("eth0")
			return err == nil && (i.Flags&net.FlagRunning != 0) == up
		}) {
			return fmt.Errorf("the carrier is not seen")
		}
		return nil
	}
}

func resolves(code int, after time.Duration) func(*world) error {
	return func(w *world) error {
		w.resolver.code.Store(int32(code))
		w.resolver.after.Store(int64(after))
		return nil
	}
}

func named(host string) func(*world) error {
	return func(w *world) error {
		w.name(map[string]string{hostName: w.say(host), placeName: w.at().place})
		return nil
	}
}

func delayed(d time.Duration) func(*world) error {
	return func(w *world) error { w.delay.Store(int64(d)); return nil }
}

func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

func garbage(c net.Conn) {
	_, _ = c.Read(make([]byte, 1024))
	_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
}

// slowly waits before it speaks.
func slowly(d time.Duration) func(*world) error {
	return func(w *world) error {
		w.host.does(func(c net.Conn) {
			time.Sleep(d) // the fault
			w.host.speak(c)
		})
		return nil
	}
}

func issued(by string, from, to time.Duration, name string) func(*world) error {
	return func(w *world) error {
		a := w.ca
		if by != "" {
			var err error
			if a, err = newAuthority(by); err != nil {
				return err
			}
		}
		return w.certify(a, time.Now().Add(from), time.Now().Add(to), name)
	}
}

// intercepted is a box that signs for everybody.
func intercepted(w *world) error {
	a, err := newAuthority("Site Inspection CA")
	if err != nil {
		return err
	}
	if err := w.certify(a, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0), hostName); err != nil {
		return err
	}
	return w.certifyOther(a)
}

const (
	hour = time.Hour
	year = 365 * 24 * time.Hour
)

// trusted gives everybody good certificates again.
func trusted(w *world) error {
	if err := w.certify(w.ca, time.Now().Add(-hour), time.Now().Add(year), hostName); err != nil {
		return err
	}
	return w.certifyOther(w.ca)
}

func closeHost(w *world) error { return w.host.l.Close() }
func openHost(w *world) error  { return w.host.open(w.host.addr) }

// hostAddress takes the host's address away, or gives it back.
func hostAddress(there bool) func(*world) error {
	return func(w *world) error {
		verb, bits := "del", "32"
		if w.six {
			bits = "128"
		}
		if there {
			verb = "add"
		}
		if err := sh(fmt.Sprintf("ip -n x addr %s %s/%s dev lo", verb, w.at().host, bits)); err != nil || !there {
			return err
		}
		w.host.l.Close()
		return again(w)
	}
}

// again opens the host's port as soon as it can be: the kernel may be late with an address.
func again(w *world) error {
	var err error
	housetest.Within(5*time.Second, func() bool { err = w.host.open(w.host.addr); return err == nil })
	return err
}

func gatewayAddress(there bool) func(*world) error {
	return func(w *world) error {
		verb := map[bool]string{true: "add", false: "del"}[there]
		nodad := ""
		if w.six && there {
			nodad = "nodad"
		}
		return sh(w.say("ip -n r addr " + verb + " GW/BITS dev r0 " + nodad))
	}
}

// routerAgain gives the router the address that IPv6 takes away with the cable.
func routerAgain(w *world) error {
	if !w.six {
		return nil
	}
	return gatewayAddress(true)(w)
}

// restore gives the terminal its address and way out again.
func restore(w *world) error {
	_ = sh("ip addr flush dev eth0 scope global")
	nodad := ""
	if w.six {
		nodad = "nodad"
	}
	return sh(w.say("ip addr add TERM/BITS dev eth0 " + nodad + "\nip route replace default via GW"))
}

// outwards are rules for all that leaves the site.
const lost = "oifname r1 drop\niifname r1 drop"

// faults are those that were met in the field and their like: who says no (nmap/nmap#595, firewalld/firewalld#1455), or
// says nothing (cilium/cilium#17944); names that lie, or are remembered too long (systemd/systemd#2548, #2038, #9196,
// openrightsgroup/blocked-org-uk#398); an authority of the site's own (keybase/client#26779, fluidkeys/fluidkeys#285);
// hellos that are swallowed (tailscale/tailscale#20777, golang/go#80573, envoyproxy/envoy#33850).
var faults = []fault{
	{name: "cable-out", causes: []string{"lan.cable"}, breaks: both(run("ip -n r link set r0 down"), carrier(false)),
		mends: both(run("ip -n r link set r0 up"), carrier(true), routerAgain, restore, ready)},
	{name: "no-address", causes: []string{"lan.address"}, breaks: run("ip addr flush dev eth0 scope global"), mends: restore},
	{name: "no-default-route", causes: []string{"lan.address"}, breaks: run("ip route del default via GW"), mends: run("ip route add default via GW")},
	{name: "gateway-elsewhere", causes: []string{"lan.address"}, four: true, breaks: run("ip route replace default via 10.99.0.1 dev eth0 onlink\nip route del 192.168.1.0/24"), mends: restore},
	{name: "gateway-mistyped", causes: []string{"lan.gateway", "lan.address"}, breaks: wrongGateway, mends: restore},
	{name: "address-twice", causes: []string{"lan.conflict"}, four: true, breaks: run("ip -n r addr add TERM/32 dev r0"), mends: run("ip -n r addr del TERM/32 dev r0")},
	{name: "router-dead", causes: []string{"lan.gateway"}, breaks: both(gatewayAddress(false), run("ip neigh flush dev eth0")), mends: both(gatewayAddress(true), run("ip neigh flush dev eth0"))},
	{name: "router-lossy", causes: []string{"lan.cable", "lan.noise", "lan.gateway"}, breaks: func(*world) error {
		return nft("r", "table inet lab {\nchain c {\ntype filter hook prerouting priority 0\niifname r0 numgen random mod 100 < 30 drop\n}\n}\n")
	}, mends: clean("r")},

	{name: "firewall-silent", causes: []string{"lan.firewall", "host.unreachable", "host.overloaded"}, breaks: router("tcp dport 5000 drop"), mends: clean("r")},
	{name: "firewall-resets", causes: []string{"lan.firewall"}, breaks: router("tcp dport 5000 reject with tcp reset"), mends: clean("r")},
	{name: "firewall-forbids", causes: []string{"lan.firewall"}, breaks: router("tcp dport 5000 reject with UNREACH type admin-prohibited"), mends: clean("r")},
	{name: "firewall-rejects-host", causes: []string{"lan.firewall"}, breaks: router("FAM daddr HOST reject with UNREACH type admin-prohibited"), mends: clean("r")},
	{name: "firewall-all-but-web", causes: []string{"lan.firewall"}, breaks: router("tcp dport { 5000, 8883 } reject with tcp reset"), mends: clean("r")},
	{name: "firewall-drops-all-ports", causes: []string{"lan.firewall", "wan.outage"}, breaks: router("tcp dport != { 80, 443 } drop"), mends: clean("r")},

	{name: "internet-lost", causes: []string{"wan.outage"}, breaks: router(lost), mends: clean("r")},
	{name: "internet-unreachable", causes: []string{"wan.outage"}, breaks: func(w *world) error {
		return sh("ip -n r route del default via " + w.at().outer + "\nip -n r route add unreachable default")
	}, mends: outerRoute},
	{name: "loss-30", causes: []string{"wan.loss"}, breaks: router("numgen random mod 100 < 30 drop"), mends: clean("r")},
	{name: "delay-2s", causes: []string{"wan.slow"}, breaks: delayed(time.Second),
		mends: both(delayed(5*time.Millisecond), pause(2200*time.Millisecond))},
	{name: "mtu-hole", causes: []string{"wan.mtu"}, tls: true, breaks: router("meta length > 1300 drop"), mends: clean("r")},
	{name: "large-hello", causes: []string{"wan.tls-large-hello"}, tls: true, breaks: router("meta l4proto tcp FAM daddr HOST meta length > 1400 drop"), mends: clean("r")},

	{name: "resolver-dead", causes: []string{"wan.dns"}, breaks: router("udp dport 53 drop"), mends: clean("r")},
	{name: "resolver-servfail", causes: []string{"wan.dns"}, breaks: resolves(dns.RcodeServerFailure, 0), mends: resolves(0, 0)},
	{name: "resolver-refuses", causes: []string{"wan.dns"}, breaks: resolves(dns.RcodeRefused, 0), mends: resolves(0, 0)},
	{name: "resolver-slow", causes: []string{"wan.dns"}, breaks: resolves(0, 1900*time.Millisecond),
		mends: both(resolves(0, 0), pause(2*time.Second))},
	{name: "name-gone", causes: []string{"wan.dns", "terminal.config", "host.unreachable"}, breaks: func(w *world) error {
		w.name(map[string]string{placeName: w.at().place})
		return nil
	},
		mends: named("HOST")},
	{name: "resolver-lies", causes: []string{"wan.dns", "terminal.config"}, breaks: named("ELSEWHERE"), mends: named("HOST")},
	{name: "resolver-lies-to-a-page", causes: []string{"wan.dns", "terminal.config"}, breaks: named("PLACE"), mends: named("HOST")},

	{name: "host-gone", causes: []string{"host.unreachable"}, breaks: hostAddress(false), mends: hostAddress(true)},
	{name: "host-unrouted", causes: []string{"host.unreachable"}, breaks: run("ip -n i route add unreachable HOST"), mends: run("ip -n i route del unreachable HOST")},
	{name: "host-silent", causes: []string{"host.unreachable"}, breaks: func(w *world) error { return nft("x", chain("input", w.say("FAM daddr HOST drop"))) }, mends: clean("x")},
	{name: "port-closed", causes: []string{"host.port-closed"}, breaks: closeHost, mends: openHost},
	{name: "host-resets", causes: []string{"host.port-closed", "host.malfunction", "host.overloaded", "host.tls", "lan.firewall"}, breaks: manner(reset), mends: usual},
	{name: "queue-full", causes: []string{"host.overloaded", "host.unreachable", "lan.firewall"}, breaks: fill, mends: drain},
	{name: "tls-silent", causes: []string{"host.tls", "host.overloaded"}, tls: true, breaks: manner(hold), mends: usual},
	{name: "tls-slow", causes: []string{"host.overloaded", "host.tls"}, tls: true, breaks: slowly(2 * time.Second), mends: usual},
	{name: "tls-garbage", causes: []string{"host.tls", "wan.tls", "terminal.config", "terminal.protocol"}, tls: true, breaks: manner(garbage), mends: usual},
	{name: "cert-expired", causes: []string{"host.tls"}, tls: true, breaks: issued("", -year, -24*hour, hostName), mends: trusted},
	{name: "cert-other-name", causes: []string{"host.tls"}, tls: true, breaks: issued("", -hour, year, "www.acquirer.example"), mends: trusted},
	{name: "cert-other-issuer", causes: []string{"host.tls", "wan.tls", "terminal.trust-store"}, tls: true, breaks: issued("Acquirer Root 2026", -hour, year, hostName), mends: trusted},
	{name: "intercepted", causes: []string{"wan.tls"}, tls: true, breaks: intercepted, mends: trusted},
}

// ready waits until the outside answers again.
func ready(w *world) error {
	if err := sh("ip neigh flush dev eth0"); err != nil {
		return err
	}
	return w.settle()
}

func pause(d time.Duration) func(*world) error {
	return func(*world) error { time.Sleep(d); return nil } // what is under way on a slow line comes in
}

func outerRoute(w *world) error {
	return sh("ip -n r route del unreachable default\nip -n r route replace default via " + w.at().outer)
}

func wrongGateway(w *world) error {
	gateway := "192.168.1.254"
	if w.six {
		gateway = "fd77::fe"
	}
	return sh("ip route replace default via " + gateway)
}

var drained func()

func fill(w *world) (err error) { drained, err = w.full(); return err }

func drain(w *world) error {
	drained()
	return again(w)
}
