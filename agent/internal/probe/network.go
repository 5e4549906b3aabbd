package probe

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/drivers/network"
)

// NetworkConfig is what the network checks look at.
type NetworkConfig struct {
	Interfaces []string         // to judge, and expected to work; empty: whatever looks like a way out
	Resolvers  []netip.AddrPort // to ask; empty: those of ResolvConf
	ResolvConf string           // empty: /etc/resolv.conf
	HostsFile  string           // empty: /etc/hosts
	Targets    []Target
	Metered    []string         // interfaces whose bytes cost money: by name or kind (cellular)
	DailyBytes int64            // what checks may spend on those in 24 h; 0: 200 kB
	SSID       string           // the network that Wi-Fi should be on; empty: any
	Sys, Proc  fs.FS            // roots of sysfs and procfs
	Now        func() time.Time // at which certificates must be valid; nil: the terminal's clock, as its programs use it
}

// A Target is a place that must be reached. Its name is one that the contract has: host-primary, host-backup, broker,
// internet; host-primary@wwan0 is reached by that interface on purpose.
type Target struct {
	Name       string
	Host       string // name or IP address
	Port       int
	TLS        bool
	ServerName string // in the certificate; empty: Host
	CAFile     string // empty: the system's roots, which cost 1.5 MB of memory when first used
	Via        string // interface to use; empty: as the routes say
	// host:port of an HTTP proxy that the application asks for a tunnel to the host; empty: it connects itself
	Proxy      string
	PortalPath string // page that answers 204 on Port, to find captive portals; never for an acquirer
}

// Bounds and freshness. The local check costs less than a millisecond and keeps revision 1 fresh; everything that sends
// is asked only when a code has appeared.
const (
	localFresh        = 2 * time.Minute
	lanFresh          = 30 * time.Second
	reachFresh        = 15 * time.Second
	pathFresh         = 2 * time.Minute
	mtuFresh          = 30 * time.Minute
	localLimit        = time.Second
	lanLimit          = 3500 * time.Millisecond
	reachLimit        = 4700 * time.Millisecond // names 1.5 s and a connect of 3 s; the whole diagnosis has 5 s
	pathLimit         = 4500 * time.Millisecond
	defaultDailyBytes = 200_000
	ownersMemory      = 10 * time.Minute // the network's answer is believed for so long
	countersKept      = 2 * time.Minute
	maxCounters       = 16
)

// Network holds what the network checks share: the history of the links and the names already resolved. Make one, run
// its Run beside the probes.
type Network struct {
	c       NetworkConfig
	monitor *network.Monitor
	names   *names

	mu       sync.Mutex
	owners   map[string]asked // by interface
	dead     netip.Addr       // the router that did not answer, when it was asked last
	deadAt   time.Time
	guarded  map[int]guard // checks under way that depend on a router
	next     int
	counters []counted
	window   time.Time // start of the 24 h of metered bytes
	spent    int64
	metered  bool
	places   map[netip.AddrPort]*place
	forms    map[string]Form // of the application's handshakes, by target
}

// asked is what the network answered to the question who else has our address, and of which address on which cable.
type asked struct {
	at      time.Time
	two     bool
	own     netip.Addr
	carrier uint32 // count of the link's changes
}

// guard stops a check whose router turns out to be dead.
type guard struct {
	gateway netip.Addr
	stop    context.CancelCauseFunc
}

type counted struct {
	at  time.Time
	tcp network.TCPCounters
}

// NewNetwork returns the network checks for a configuration.
func NewNetwork(c NetworkConfig) *Network {
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.HostsFile == "" {
		c.HostsFile = "/etc/hosts"
	}
	if c.DailyBytes == 0 {
		c.DailyBytes = defaultDailyBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	n := &Network{c: c, monitor: network.NewMonitor(), owners: map[string]asked{}, guarded: map[int]guard{},
		places: map[netip.AddrPort]*place{}, forms: map[string]Form{}}
	n.names = newNames(c)
	return n
}

// Run keeps the history of links and bearers until ctx ends. Without it flaps and changes are seen only when a check
// happens to look.
func (n *Network) Run(ctx context.Context) error { return n.monitor.Run(ctx) }

// Probes are the checks net.*.
func (n *Network) Probes() []Probe {
	list := []Probe{
		{
			Checks: []evidence.Check{evidence.NetLink, evidence.NetAddress, evidence.NetErrors, evidence.NetBearer,
				evidence.NetWifi},
			Subject: "uplink", Depth: report.Internal, Timeout: localLimit, Fresh: localFresh, Idle: true, Run: n.local,
		},
		{
			Checks: []evidence.Check{evidence.NetGateway, evidence.NetAddress}, Subject: "gateway", Depth: report.External,
			Timeout: lanLimit, Fresh: lanFresh, Bytes: lanBytes, Run: n.lan,
		},
	}
	var host, internet bool
	for _, t := range n.c.Targets {
		host = host || t.check() == evidence.NetTCP
		internet = internet || t.check() == evidence.NetInternet
		list = append(list, n.targetProbes(t)...)
	}
	if !host {
		list = append(list, Absent("host-primary", evidence.NetTCP, evidence.NetDNS, evidence.NetTLS, evidence.NetPath, evidence.NetMTU))
	}
	if !internet {
		list = append(list, Absent("internet", evidence.NetInternet))
	}
	return list
}

// look reads the kernel's tables and lets the monitor see them.
func (n *Network) look() (network.Tables, time.Time, error) {
	t, err := network.ReadTables()
	now := time.Now()
	if err != nil {
		return t, now, err
	}
	n.monitor.Observe(t, now)
	bearer, _, _ := t.Bearer()
	n.mu.Lock()
	n.metered = slices.Contains(n.c.Metered, bearer.Name) ||
		slices.Contains(n.c.Metered, string(network.KindOf(bearer, n.c.Sys)))
	n.mu.Unlock()
	return t, now, nil
}

// local judges everything that the kernel knows without asking anybody.
func (n *Network) local(context.Context) []report.Evidence {
	t, now, err := n.look()
	if err != nil {
		var list []report.Evidence
		for _, c := range []evidence.Check{evidence.NetLink, evidence.NetAddress, evidence.NetErrors, evidence.NetBearer,
			evidence.NetWifi} {
			list = append(list, doubtful(c, "uplink", report.CannotTell, reasonFor(err)))
		}
		return list
	}
	n.sampleTCP(now)
	list := []report.Evidence{n.bearer(t, now)}
	wifi := false
	links := n.candidates(t)
	for _, l := range links {
		list = append(list, n.link(t, l, now), n.address(t, l, now), n.errors(l, now))
		if network.KindOf(l, n.c.Sys) == network.Wifi {
			wifi = true
			list = append(list, n.wifi(l))
		}
	}
	for _, name := range n.c.Interfaces {
		if _, ok := t.Link(name); !ok {
			list = append(list, n.missing(name))
			links = append(links, network.Link{Name: name})
			list = append(list, doubtful(evidence.NetAddress, name, report.NotRun, report.ReasonMasked),
				doubtful(evidence.NetErrors, name, report.NotRun, report.ReasonMasked))
		}
	}
	if len(links) == 0 {
		for _, c := range []evidence.Check{evidence.NetLink, evidence.NetAddress, evidence.NetErrors} {
			list = append(list, doubtful(c, "uplink", report.CannotTell, report.ReasonAbsent))
		}
	}
	if !wifi {
		list = append(list, doubtful(evidence.NetWifi, "wifi", report.NotRun, report.ReasonAbsent))
	}
	return list
}

// candidates are the links to judge: those configured, else all that are hardware, up or once in use.
func (n *Network) candidates(t network.Tables) []network.Link {
	var list []network.Link
	bearer, _, _ := t.Bearer()
	for _, l := range t.Links {
		if len(n.c.Interfaces) > 0 {
			if slices.Contains(n.c.Interfaces, l.Name) {
				list = append(list, l)
			}
			continue
		}
		_, carried := n.monitor.Seen(l.Name)
		switch network.KindOf(l, n.c.Sys) {
		case network.Loopback:
		case network.Virtual:
			if l.Index == bearer.Index {
				list = append(list, l)
			}
		default:
			if l.Up || carried {
				list = append(list, l)
			}
		}
	}
	return list
}

// link judges one interface. One without a carrier is bad only if it is needed: it is configured, a default route uses
// it, it had a carrier before, or nothing else leads out. An unused socket beside a working modem is no fault.
func (n *Network) link(t network.Tables, l network.Link, now time.Time) report.Evidence {
	facts := []evidence.Value{evidence.Iface.Is(l.Name), count(evidence.Flaps1h, n.monitor.Flaps(l.Name, now))}
	if k := network.KindOf(l, n.c.Sys); k != network.Virtual && k != network.Loopback {
		facts = append(facts, evidence.Kind.Is(string(k)))
	}
	if s := network.SpeedMbps(l.Name, n.c.Sys); s > 0 && l.Carrier {
		facts = append(facts, count(evidence.SpeedMbps, s))
	}
	facts = append(facts, evidence.WatchedS.Is(math.Floor(n.monitor.Watched(now).Seconds())))
	if !l.Carrier && !n.relied(t, l) { // not known to matter
		return evidence.CannotTell(evidence.NetLink, l.Name, report.ReasonAbsent, facts...)
	}
	if !l.Carrier && !l.Up {
		facts = append(facts, evidence.Enabled.Is(false))
	}
	return evidence.New(evidence.NetLink, l.Name, append(facts, evidence.Carrier.Is(l.Carrier))...)
}

// relied tells whether a link is needed: it is configured, a default route uses it, it had a carrier before, or nothing
// else leads out.
func (n *Network) relied(t network.Tables, l network.Link) bool {
	_, carried := n.monitor.Seen(l.Name)
	_, _, out := t.Bearer()
	return slices.Contains(n.c.Interfaces, l.Name) || carried || !out ||
		slices.ContainsFunc(t.Routes, func(r network.Route) bool { return r.Default() && r.Index == l.Index })
}

// missing judges an interface that is configured and not there.
func (n *Network) missing(name string) report.Evidence {
	if seen, _ := n.monitor.Seen(name); seen {
		return evidence.New(evidence.NetLink, name, evidence.Iface.Is(name), evidence.Carrier.Is(false),
			evidence.Outcome.Is("gone"))
	}
	return doubtful(evidence.NetLink, name, report.CannotTell, report.ReasonAbsent)
}

// address judges one interface's addressing as far as the kernel knows it, and what ARP has found lately.
func (n *Network) address(t network.Tables, l network.Link, now time.Time) report.Evidence {
	if !l.Carrier {
		return doubtful(evidence.NetAddress, l.Name, report.NotRun, report.ReasonMasked)
	}
	v := t.View(l)
	facts := []evidence.Value{evidence.Iface.Is(l.Name)}
	if v.DefaultRoutes > 0 || !n.reachableByRoute() { // a leased line needs no default route if its hosts have their own
		facts = append(facts, count(evidence.DefaultRoutes, v.DefaultRoutes))
	}
	if v.Address.IsValid() {
		facts = append(facts, evidence.Address.Is(v.Address.Addr().String()), count(evidence.Prefix, v.Address.Bits()))
	} else {
		facts = append(facts, evidence.Address.Is(""))
	}
	if v.GatewayKnown {
		facts = append(facts, evidence.Gateway.Is(v.Gateway.String()), evidence.GatewayInSubnet.Is(v.GatewayInSubnet))
		if !v.GatewayInSubnet {
			facts = append(facts, evidence.GatewayOnLink.Is(v.GatewayOnLink))
		}
	}
	if v.DHCPKnown {
		facts = append(facts, evidence.DHCP.Is(v.DHCP))
	}
	n.mu.Lock()
	other := n.owners[l.Name]
	n.mu.Unlock()
	known := now.Sub(other.at) < ownersMemory && other.own == v.Address.Addr() && other.carrier == l.CarrierChanges
	if two := v.Duplicate || known && other.two; known || two {
		facts = append(facts, evidence.Duplicate.Is(two))
	}
	if v.Conflict {
		facts = append(facts, evidence.Conflict.Is(true))
	}
	return evidence.New(evidence.NetAddress, l.Name, facts...)
}

// reachableByRoute tells whether the acquirer's host, given as an address, has a way of its own.
func (n *Network) reachableByRoute() bool {
	for _, t := range n.c.Targets {
		if ip, err := netip.ParseAddr(t.Host); err == nil && t.check() == evidence.NetTCP && usable(ip) {
			return true
		}
	}
	return false
}

// usable tells whether there is a route to an address over a link with a carrier.
func usable(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	r, err := network.RouteTo(ip)
	if err != nil {
		return false
	}
	t, err := network.ReadTables()
	if err != nil {
		return true // in doubt the question is asked
	}
	for _, l := range t.Links {
		if l.Index == r.Index {
			return l.Up && (l.Carrier || !l.CarrierKnown)
		}
	}
	return true
}

// errors judges how an interface's error counters grew over the last hour.
func (n *Network) errors(l network.Link, now time.Time) report.Evidence {
	if !l.Carrier {
		return doubtful(evidence.NetErrors, l.Name, report.NotRun, report.ReasonMasked)
	}
	if !l.StatsKnown {
		return doubtful(evidence.NetErrors, l.Name, report.CannotTell, report.ReasonUnsupported)
	}
	g, window, ok := n.monitor.Growth(l, now)
	if !ok {
		return doubtful(evidence.NetErrors, l.Name, report.CannotTell, report.ReasonTooFew)
	}
	num := func(f evidence.Fact[float64], n uint64) evidence.Value { return f.Is(float64(n)) }
	return evidence.New(evidence.NetErrors, l.Name, evidence.Iface.Is(l.Name), num(evidence.RXErrors, g.RxErrors),
		num(evidence.CRCErrors, g.CRCErrors),
		num(evidence.Drops, g.RxDropped+g.TxDropped), num(evidence.Packets, g.RxPackets+g.TxPackets),
		evidence.WindowS.Is(math.Floor(window.Seconds())))
}

// wifi judges a wireless link. The network's name is compared and forgotten.
func (n *Network) wifi(l network.Link) report.Evidence {
	text, err := readAll(n.c.Proc, "net/wireless")
	v := network.ReadWifi(l.Name, text)
	if err != nil && !v.SSIDKnown {
		return doubtful(evidence.NetWifi, l.Name, report.CannotTell, reasonFor(err))
	}
	v.Associated = v.Associated || l.Carrier
	// Why an access point refuses is known to wpa_supplicant only, which is not asked.
	facts := []evidence.Value{evidence.Associated.Is(v.Associated)}
	if !v.Associated {
		return evidence.New(evidence.NetWifi, l.Name, append(facts, evidence.Auth.Is("unknown"))...)
	}
	facts = append(facts, evidence.Auth.Is("ok"))
	if v.SSIDKnown && n.c.SSID != "" {
		facts = append(facts, evidence.SSIDOk.Is(v.SSID == n.c.SSID))
	}
	if v.RSSIKnown {
		facts = append(facts, count(evidence.RSSIDBm, v.RSSI))
	}
	return evidence.New(evidence.NetWifi, l.Name, facts...)
}

// bearer says what carries the terminal's traffic.
func (n *Network) bearer(t network.Tables, now time.Time) report.Evidence {
	facts := []evidence.Value{count(evidence.Changes1h, n.monitor.BearerChanges(now)),
		evidence.WatchedS.Is(math.Floor(n.monitor.Watched(now).Seconds()))}
	l, _, ok := t.Bearer()
	switch {
	case !ok && n.reachableByRoute():
		return evidence.CannotTell(evidence.NetBearer, "uplink", report.ReasonUnsupported)
	case !ok:
		facts = append(facts, evidence.Active.Is(string(network.None)))
	default:
		if k := network.KindOf(l, n.c.Sys); k != network.Virtual {
			facts = append(facts, evidence.Active.Is(string(k)))
		}
		facts = append(facts, evidence.Iface.Is(l.Name))
	}
	return evidence.New(evidence.NetBearer, "uplink", facts...)
}

// lan asks the router whether it is there, and the network whether another machine has our address. These frames never
// leave the site, except where the bearer is a modem's interface: there the router is the carrier's, and they cost
// money.
func (n *Network) lan(ctx context.Context) []report.Evidence {
	t, now, err := n.look()
	if err != nil {
		return []report.Evidence{doubtful(evidence.NetGateway, "gateway", report.CannotTell, reasonFor(err)),
			doubtful(evidence.NetAddress, "uplink", report.CannotTell, reasonFor(err))}
	}
	l, r, ok := t.Bearer()
	if !ok {
		return append(n.addresses(t, now), doubtful(evidence.NetGateway, "gateway", report.NotRun, n.noGateway()))
	}
	if !n.maySpend(lanBytes, 1) {
		return append(n.addresses(t, now), doubtful(evidence.NetGateway, "gateway", report.NotRun, report.ReasonBudget))
	}
	own := t.View(l).Address.Addr()
	owner := make(chan struct{})
	go func() { // beside the question to the router: silence takes its time
		defer close(owner)
		if !own.Is4() || network.KindOf(l, n.c.Sys) == network.PPP {
			return
		}
		if two, err := network.SecondOwner(ctx, l, own); err == nil {
			n.mu.Lock()
			n.owners[l.Name] = asked{now, two, own, l.CarrierChanges}
			n.mu.Unlock()
		}
	}()
	gateway := doubtful(evidence.NetGateway, "gateway", report.NotRun, report.ReasonAbsent)
	if r.Gateway.IsValid() { // else point to point: there is no router to ask
		gateway = doubtful(evidence.NetGateway, "gateway", report.CannotTell, report.ReasonTimeout)
		n.mu.Lock()
		paid := n.metered
		n.mu.Unlock()
		g, err := network.AskGateway(ctx, l, r.Gateway, own, paid)
		n.spend(g.Bytes)
		if err == nil {
			gateway = gatewayEvidence(r.Gateway, g)
			n.judged(r.Gateway, g.Neighbour == network.NeighbourFailed)
		}
	}
	<-owner
	return append(n.addresses(t, now), gateway)
}

// judged remembers whether the router answered, and stops the checks that go through one that does not: they could find
// nothing new.
func (n *Network) judged(gateway netip.Addr, dead bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !dead {
		n.dead = netip.Addr{}
		return
	}
	n.dead, n.deadAt = gateway, time.Now()
	for _, g := range n.guarded {
		if g.gateway == gateway {
			g.stop(errGatewayDead)
		}
	}
}

// errGatewayDead is why a check was stopped.
var errGatewayDead = errors.New("the router does not answer")

// guard returns a context that ends when the router on the way out is found dead, or has just been.
func (n *Network) guard(ctx context.Context) (context.Context, func()) {
	ctx, stop := context.WithCancelCause(ctx)
	t, err := network.ReadTables()
	_, r, ok := t.Bearer()
	if err != nil || !ok || !r.Gateway.IsValid() {
		return ctx, func() { stop(nil) }
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead == r.Gateway && n.deadAt.After(began(ctx)) {
		stop(errGatewayDead)
	}
	id := n.next
	n.next++
	n.guarded[id] = guard{r.Gateway, stop}
	return ctx, func() {
		n.mu.Lock()
		delete(n.guarded, id)
		n.mu.Unlock()
		stop(nil)
	}
}

func gatewayDead(ctx context.Context) bool { return context.Cause(ctx) == errGatewayDead }

func (n *Network) addresses(t network.Tables, now time.Time) []report.Evidence {
	var list []report.Evidence
	for _, l := range n.candidates(t) {
		list = append(list, n.address(t, l, now))
	}
	if len(list) == 0 {
		list = append(list, doubtful(evidence.NetAddress, "uplink", report.CannotTell, report.ReasonAbsent))
	}
	return list
}

// noGateway is why no router was asked: none is needed, or what it hangs on is broken.
func (n *Network) noGateway() string {
	if n.reachableByRoute() {
		return report.ReasonAbsent
	}
	return report.ReasonMasked
}

func gatewayEvidence(ip netip.Addr, g network.GatewayView) report.Evidence {
	facts := []evidence.Value{evidence.IP.Is(ip.String())}
	if g.Neighbour != "" {
		facts = append(facts, evidence.Neighbour.Is(g.Neighbour))
	}
	if g.LossKnown {
		facts = append(facts, evidence.LossPct.Is(round(g.LossPct)))
	}
	if g.RTT > 0 && g.Alive {
		facts = append(facts, evidence.RTTMS.Is(millis(g.RTT)))
	}
	if !g.Alive && g.Neighbour != network.NeighbourReachable && g.Neighbour != network.NeighbourFailed {
		return evidence.CannotTell(evidence.NetGateway, "gateway", report.ReasonTimeout, facts...)
	}
	return evidence.New(evidence.NetGateway, "gateway", facts...)
}
