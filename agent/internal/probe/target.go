package probe

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/drivers/network"
)

// What the checks of a target cost on the wire, roughly: names and a connect, a handshake, a row of echoes, the search
// for the largest packet.
const (
	lanBytes   = 1200 // 20 echoes at most where they are paid for
	reachBytes = 800
	tlsBytes   = 6000
	pathBytes  = 1500
	mtuBytes   = 3500
	// maxMTUBytes is what the search may cost in a black hole.
	maxMTUBytes = 20_000
)

// check is the name under which a connect to the target is reported.
func (t Target) check() evidence.Check {
	if strings.HasPrefix(t.Name, "host") {
		return evidence.NetTCP
	}
	return evidence.NetInternet // a second, independent place
}

// name is the target without the bearer it is asked by.
func (t Target) name() string {
	name, _, _ := strings.Cut(t.Name, "@")
	return name
}

func (n *Network) targetProbes(t Target) []Probe {
	reach := Probe{Checks: []evidence.Check{t.check(), evidence.NetDNS}, Subject: t.Name, Depth: report.External,
		Timeout: reachLimit,
		Fresh:   reachFresh, Bytes: reachBytes, Run: func(ctx context.Context) []report.Evidence { return n.reach(ctx, t) }}
	if t.TLS {
		reach.Checks = append(reach.Checks, evidence.NetTLS)
		reach.Bytes += tlsBytes
	}
	return []Probe{
		reach,
		{Checks: []evidence.Check{evidence.NetPath}, Subject: t.Name, Depth: report.External, Timeout: pathLimit,
			Fresh: pathFresh,
			Bytes: pathBytes, Run: func(ctx context.Context) []report.Evidence { return n.path(ctx, t) }},
		{Checks: []evidence.Check{evidence.NetMTU}, Subject: t.Name, Depth: report.External, Timeout: pathLimit,
			Fresh: mtuFresh,
			Bytes: mtuBytes, Run: func(ctx context.Context) []report.Evidence { return n.mtu(ctx, t) }},
	}
}

// reach resolves a target's name, connects, and does the TLS handshake: one connection for three answers. A layer that
// fails masks those above it (not-run, masked) with one exception: a connection that has no route or no carrier is bad
// at once, with the outcome unreachable, because that is what the payment application meets. If a name cannot be
// resolved the address that it last had is tried, since that is not the host's fault. When the router turns out not to
// answer meanwhile, what goes through it is unreachable at once, instead of after the three seconds of the kernel.
func (n *Network) reach(ctx context.Context, t Target) []report.Evidence {
	all := func(reason string, checks ...evidence.Check) (list []report.Evidence) {
		for _, c := range checks {
			if c != evidence.NetTLS || t.TLS {
				list = append(list, doubtful(c, t.Name, report.NotRun, reason))
			}
		}
		return list
	}
	if !n.maySpend(reachBytes, 1) {
		return all(report.ReasonBudget, t.check(), evidence.NetDNS, evidence.NetTLS)
	}
	ctx, done := n.guard(ctx)
	defer done()
	resolved := make(chan struct{})
	var dns report.Evidence
	var answer found
	go func() {
		defer close(resolved)
		dns, answer = n.resolve(ctx, t)
	}()
	patience := time.NewTimer(namesPatience)
	defer patience.Stop()
	select {
	case <-resolved:
	case <-patience.C:
		known := n.names.known(t.Host)
		if len(known) == 0 || t.Proxy != "" {
			<-resolved
			break
		}
		// Names that keep silent would leave no time to see what else does.
		e := doubtful(evidence.NetDNS, t.Name, report.CannotTell, report.ReasonTimeout)
		list := n.find(ctx, t, &e, found{addresses: known})
		<-resolved
		switch moved := answer.before.IsValid(); {
		case moved && list[0].Status != report.OK && len(answer.addresses) > 0:
			list = n.find(ctx, t, &dns, answer) // it is elsewhere now, and was not where it was
		case moved:
			dns.Facts[evidence.Elsewhere.Name()], dns.Facts[evidence.BeforeWorks.Name()] = true, list[0].Status == report.OK
		}
		return append([]report.Evidence{dns}, list...)
	}
	list := []report.Evidence{dns}
	if t.Proxy != "" {
		return append(list, n.byProxy(ctx, t, answer)...)
	}
	if len(answer.addresses) == 0 {
		n.misled(ctx, t, answer, &list[0])
		return append(list, all(report.ReasonMasked, t.check(), evidence.NetTLS)...)
	}
	more := n.find(ctx, t, &list[0], answer)
	return append(list, more...)
}

// namesPatience is how long an answer about a name is waited for before the host is asked where it was found last.
const namesPatience = 800 * time.Millisecond

// find looks for a target at the addresses of an answer, and adds to the evidence of its name what is found about that.
func (n *Network) find(ctx context.Context, t Target, dns *report.Evidence, answer found) []report.Evidence {
	var way network.Way
	found := false
	for _, ip := range answer.addresses {
		if usable(ip) || t.Via != "" {
			way, found = network.Way{Addr: netip.AddrPortFrom(ip, uint16(t.Port)), Via: t.Via}, true
			break
		}
	}
	unreachable := func() []report.Evidence {
		e := evidence.New(t.check(), t.Name, evidence.Target.Is(t.name()), evidence.Outcome.Is(string(network.Unreachable)),
			evidence.MS.Is(0))
		return t.withTLS(report.NotRun, report.ReasonMasked, e)
	}
	if !found {
		return unreachable()
	}
	p := n.place(way.Addr)
	if !p.enter(ctx) {
		if gatewayDead(ctx) {
			return unreachable()
		}
		return t.withTLS(report.CannotTell, report.ReasonTimeout, doubtful(t.check(), t.Name, report.CannotTell,
			report.ReasonTimeout))
	}
	defer p.leave()
	look := n.doubts(ctx, t, way, answer)
	seen, end := n.knock(ctx, t, way, p)
	if gatewayDead(ctx) && !end.reached {
		return unreachable()
	}
	if end.reached {
		n.names.proved(t.Host, way.Addr.Addr())
	}
	look.note(end, dns, &seen[0])
	return seen
}

// byProxy asks a target through the proxy that the application uses; the answer is where the proxy is.
func (n *Network) byProxy(ctx context.Context, t Target, proxy found) []report.Evidence {
	_, port, _ := net.SplitHostPort(t.Proxy) // as the configuration was checked
	number, _ := strconv.Atoi(port)
	for _, ip := range proxy.addresses {
		if !usable(ip) {
			continue
		}
		way := network.Way{Addr: netip.AddrPortFrom(ip, uint16(number)), Via: t.Via,
			Through: net.JoinHostPort(t.Host, strconv.Itoa(t.Port))}
		p := n.place(way.Addr)
		if !p.enter(ctx) {
			break
		}
		defer p.leave()
		list, _ := n.knock(ctx, t, way, p)
		return list
	}
	return t.withTLS(report.NotRun, report.ReasonMasked, doubtful(t.check(), t.Name, report.NotRun, report.ReasonMasked))
}

// knock asks the place itself: the connection, and the handshake where there is one.
func (n *Network) knock(ctx context.Context, t Target, way network.Way, p *place) ([]report.Evidence, ending) {
	p.of(t)
	var app appView
	if way.Through == "" { // where the application's connections to a proxy lead cannot be seen
		app = p.watch(network.Sockets(way.Addr), time.Now())
	}
	if t.check() != evidence.NetTCP {
		// A second connection costs nobody a sale there. The one that is open is mostly our own to the fleet: idle, it does
		// not notice that the line has gone since.
		app = appView{}
	}
	if app.works {
		// The application's own connection proves more than ours could, and a host may take no second one.
		facts := []evidence.Value{evidence.Target.Is(t.name()), evidence.Outcome.Is(string(network.OK)), evidence.By.Is("application")}
		if app.rtt > 0 {
			facts = append(facts, evidence.MS.Is(millis(app.rtt)))
		}
		e := evidence.New(t.check(), t.Name, facts...)
		e.At = time.Now().Add(-app.ago) // that is when it worked
		return t.withTLS(report.CannotTell, report.ReasonInUse, e), ending{network.OK, true}
	}
	if !p.may(time.Now(), false) {
		return t.withTLS(report.NotRun, report.ReasonBudget, doubtful(t.check(), t.Name, report.NotRun, report.ReasonBudget)),
			ending{network.Stopped, false}
	}
	// connected says how our connection ended, unless the application gets through where we do not.
	connected := func(c network.Connect, portal network.Portal) report.Evidence {
		if tells := p.ended(c.Outcome, app, time.Now()); !tells {
			return doubtful(t.check(), t.Name, report.CannotTell, report.ReasonInUse)
		}
		return connectEvidence(t, c, portal)
	}
	trust := network.Trust{Name: t.ServerName, Now: n.c.Now()}
	if _, err := netip.ParseAddr(t.Host); err != nil && trust.Name == "" {
		trust.Name = t.Host // no configured name: the certificate need not have the bare address
	}
	if t.TLS && t.CAFile != "" {
		roots, err := network.LoadRoots(t.CAFile)
		if err != nil {
			c := network.TryConnect(ctx, way)
			n.spend(c.Bytes)
			return t.withTLS(report.CannotTell, reasonFor(err), connected(c, network.PortalUnknown)),
				ending{c.Outcome, c.Outcome == network.OK}
		}
		trust.Roots = roots
	}
	if !t.TLS {
		c := network.TryConnect(ctx, way)
		n.spend(c.Bytes)
		portal := n.portal(ctx, t, way, c)
		return []report.Evidence{connected(c, portal)}, ending{c.Outcome, c.Outcome == network.OK &&
			portal != network.PortalFound}
	}
	n.mu.Lock()
	form := n.forms[t.name()]
	n.mu.Unlock()
	h := network.TryTLS(ctx, way, trust, form, p.extra)
	n.spend(h.Bytes)
	tcp := connected(h.Connect, network.PortalUnknown)
	if h.Outcome != network.OK {
		return t.withTLS(report.NotRun, report.ReasonMasked, tcp), ending{h.Outcome, false}
	}
	e := tlsEvidence(t, h)
	p.mu.Lock()
	switch {
	case h.TLS == network.OK:
		p.trusted, p.issuer = true, h.Issuer
	case h.TLS == network.UnknownCA && p.trusted:
		e.Facts[evidence.Issuer.Name()] = map[bool]string{true: "same", false: "new"}[h.Issuer == p.issuer]
	}
	doubt := h.TLS == network.UnknownCA && t.CAFile == "" && !p.trusted
	p.mu.Unlock()
	if doubt {
		// Which roots the application trusts nobody has told us, and we have never seen this host with one of ours.
		e.Status, e.Facts["reason"] = report.CannotTell, report.ReasonUnsupported
		delete(e.Facts, "level")
	}
	switch {
	case form.Hello == "":
	case h.Swallowed && form.Hello == network.HelloLarge:
		e.Facts[evidence.LargeHello.Name()] = "swallowed"
	case h.Swallowed || h.Refused:
		e.Facts[evidence.AppHelloFails.Name()] = true
	}
	if form.Hello != "" {
		e.Facts[evidence.AppHello.Name()] = string(form.Hello)
	}
	if h.TLS == network.OK && h.Hello == network.HelloSmall && form.Hello == "" {
		n.largeHello(ctx, p, way, trust, h.Took, &e)
	}
	return []report.Evidence{tcp, e}, ending{h.Outcome, h.TLS == network.OK}
}

// withTLS adds to what a connection showed that the handshake shows nothing.
func (t Target) withTLS(status report.Status, reason string, tcp report.Evidence) []report.Evidence {
	if !t.TLS {
		return []report.Evidence{tcp}
	}
	return []report.Evidence{tcp, doubtful(evidence.NetTLS, t.Name, status, reason)}
}

// largeHello tries, where it is not known how the application's hello looks, whether one with a post-quantum share gets
// through as well: newer applications and libraries send one, and some lines drop it. That one got through before
// proves nothing about now.
func (n *Network) largeHello(ctx context.Context, p *place, w network.Way, trust network.Trust, took time.Duration,
	e *report.Evidence) {
	if !n.maySpend(tlsBytes, 4) || !p.extra() {
		return
	}
	o, bytes := network.TryLargeHello(ctx, w, trust, took)
	n.spend(bytes)
	switch o {
	case network.OK:
		e.Facts[evidence.LargeHello.Name()] = "ok"
	case network.Timeout, network.Reset:
		e.Facts[evidence.LargeHello.Name()] = "swallowed"
	}
}

func connectEvidence(t Target, c network.Connect, portal network.Portal) report.Evidence {
	switch c.Outcome {
	case network.Stopped:
		return doubtful(t.check(), t.Name, report.CannotTell, report.ReasonTimeout)
	case network.Unsupported: // a proxy wants a password, which only the application has
		return evidence.CannotTell(t.check(), t.Name, report.ReasonPermission, evidence.Target.Is(t.name()),
			count(evidence.ProxyStatus, c.Proxy))
	case network.Protocol:
		return evidence.CannotTell(t.check(), t.Name, report.ReasonUnsupported, evidence.Target.Is(t.name()))
	}
	facts := []evidence.Value{evidence.Target.Is(t.name()), evidence.Outcome.Is(string(c.Outcome)),
		evidence.MS.Is(millis(c.Took))}
	if c.Retrans > 0 {
		facts = append(facts, count(evidence.Retrans, c.Retrans))
	}
	if t.Proxy != "" {
		facts = append(facts, count(evidence.ProxyStatus, c.Proxy))
		if c.Proxy == 0 && c.Outcome != network.OK {
			facts = append(facts, evidence.Stopped.Is(string(network.StoppedSite))) // the proxy is the site's
		}
	}
	if portal != network.PortalUnknown {
		facts = append(facts, evidence.Portal.Is(portal == network.PortalFound))
	}
	return evidence.New(t.check(), t.Name, facts...)
}

func tlsEvidence(t Target, h network.Handshake) report.Evidence {
	if h.TLS == network.Stopped {
		return doubtful(evidence.NetTLS, t.Name, report.CannotTell, report.ReasonTimeout)
	}
	facts := []evidence.Value{evidence.Target.Is(t.name()), evidence.MS.Is(millis(h.Took)),
		evidence.Hello.Is(string(h.Hello))}
	if h.TLS != network.Unsupported {
		facts = append(facts, evidence.Outcome.Is(string(h.TLS)))
	}
	if h.Known {
		facts = append(facts, count(evidence.DaysLeft, h.DaysLeft), evidence.Which.Is(h.Which))
	}
	for _, yes := range []struct {
		is   bool
		fact evidence.Fact[bool]
	}{{h.CNOnly, evidence.CnOnly}, {h.SHA1, evidence.Sha1}, {h.WantsCert, evidence.WantsCertificate},
		{h.TLCP, evidence.Tlcp}} {
		if yes.is {
			facts = append(facts, yes.fact.Is(true))
		}
	}
	if h.Alert != 0 {
		facts = append(facts, count(evidence.Alert, h.Alert))
	}
	if h.Reset {
		facts = append(facts, evidence.Reset.Is(true))
	}
	if h.OldVersion {
		facts = append(facts, evidence.OldVersion.Is(true))
	}
	if h.TLS == network.Unsupported {
		return evidence.CannotTell(evidence.NetTLS, t.Name, report.ReasonUnsupported, facts...)
	}
	return evidence.New(evidence.NetTLS, t.Name, facts...)
}

// portal asks for the page that should be empty, if one is configured: somebody else may answer.
func (n *Network) portal(ctx context.Context, t Target, w network.Way, c network.Connect) network.Portal {
	if t.PortalPath == "" || t.check() != evidence.NetInternet || c.Outcome != network.OK {
		return network.PortalUnknown
	}
	p, bytes := network.AskPortal(ctx, w, t.Host, t.PortalPath)
	n.spend(bytes)
	return p
}

// resolve finds a target's addresses and says how that went.
func (n *Network) resolve(ctx context.Context, t Target) (e report.Evidence, a found) {
	host := t.Host
	if t.Proxy != "" { // which looks up the host's name itself
		host, _, _ = net.SplitHostPort(t.Proxy)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		// no name to resolve
		return doubtful(evidence.NetDNS, t.Name, report.NotRun, report.ReasonAbsent), found{addresses: []netip.Addr{ip}}
	}
	a = n.names.find(ctx, host)
	defer func() { e.At = a.at }()
	n.spend(a.bytes)
	facts := []evidence.Value{evidence.Name.Is(host)}
	switch {
	case a.fromFile:
		facts = append(facts, evidence.Outcome.Is(string(network.OK)), evidence.MS.Is(0), evidence.Source.Is("hosts"))
		return evidence.New(evidence.NetDNS, t.Name, facts...), a
	case a.outcome == network.Stopped && gatewayDead(ctx):
		a.outcome = network.Unreachable
	case a.outcome == network.Stopped:
		return doubtful(evidence.NetDNS, t.Name, report.CannotTell, report.ReasonTimeout), a
	}
	facts = append(facts, evidence.Outcome.Is(string(a.outcome)), evidence.MS.Is(millis(a.took)))
	if a.failed > 0 {
		facts = append(facts, count(evidence.ResolversFailed, a.failed))
	}
	if a.blocked {
		facts = append(facts, evidence.Blocked.Is(true))
	}
	if a.noData {
		facts = append(facts, evidence.NoAddress.Is(true))
	}
	if a.age > 0 && len(a.addresses) > 0 {
		facts = append(facts, count(evidence.RememberedS, int(a.age.Seconds())))
	}
	return evidence.New(evidence.NetDNS, t.Name, facts...), a
}

// ready finds the way for a check of the quality of the path; reason is why there is none. An address at which the
// target was found is used as it is: where name lookups take seconds, the quality of the line would otherwise not be
// known in time.
func (n *Network) ready(ctx context.Context, t Target, bytes int) (way network.Way, reason string) {
	if t.Proxy != "" {
		return way, report.ReasonAbsent // all that could be measured is the way to the proxy
	}
	if !n.maySpend(bytes, 2) {
		return way, report.ReasonBudget
	}
	addresses := n.names.known(t.Host)
	if len(addresses) == 0 {
		_, answer := n.resolve(ctx, t)
		addresses = answer.addresses
	}
	for _, ip := range addresses {
		if usable(ip) || t.Via != "" {
			return network.Way{Addr: netip.AddrPortFrom(ip, uint16(t.Port)), Via: t.Via}, ""
		}
	}
	return way, report.ReasonMasked
}

func (n *Network) path(ctx context.Context, t Target) []report.Evidence {
	way, reason := n.ready(ctx, t, pathBytes)
	if reason != "" {
		return []report.Evidence{doubtful(evidence.NetPath, t.Name, report.NotRun, reason)}
	}
	ctx, done := n.guard(ctx)
	defer done()
	p := n.place(way.Addr)
	v, err := network.MeasurePath(ctx, way, func(ctx context.Context) bool {
		return p.enter(ctx) && (!p.failedSince(began(ctx)) && p.extra() || p.giveUp())
	}, p.leave)
	n.spend(v.Bytes)
	if gatewayDead(ctx) {
		return []report.Evidence{doubtful(evidence.NetPath, t.Name, report.NotRun, report.ReasonMasked)}
	}
	if err != nil && v.Received < 3 { // cut short before it could show anything
		return []report.Evidence{doubtful(evidence.NetPath, t.Name, report.CannotTell, report.ReasonTimeout)}
	}
	if v.By != "echo" && v.Received == 0 || v.Unreachable && v.Received == 0 {
		// Nothing came back at all: that is no quality of the path, and the connection's own check says what it is.
		return []report.Evidence{doubtful(evidence.NetPath, t.Name, report.NotRun, report.ReasonMasked)}
	}
	var more []evidence.Value
	if pct, ok := n.retrans(time.Now()); ok {
		more = append(more, evidence.RetransPct.Is(round(pct)))
	}
	return []report.Evidence{pathEvidence(t, v, more...)}
}

func pathEvidence(t Target, v network.PathView, more ...evidence.Value) report.Evidence {
	facts := []evidence.Value{evidence.Target.Is(t.name()), evidence.LossPct.Is(round(v.LossPct())),
		count(evidence.Samples, v.Sent), evidence.By.Is(v.By)}
	if v.Received > 0 {
		facts = append(facts, evidence.RTTMS.Is(millis(v.RTT)))
	}
	if v.Received > 1 {
		facts = append(facts, evidence.JitterMS.Is(millis(v.Jitter)))
	}
	return evidence.New(evidence.NetPath, t.Name, append(facts, more...)...)
}

func (n *Network) mtu(ctx context.Context, t Target) []report.Evidence {
	way, reason := n.ready(ctx, t, maxMTUBytes)
	if reason != "" {
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.NotRun, reason)}
	}
	mtu := 1500
	if r, err := network.RouteTo(way.Addr.Addr()); err == nil {
		if tables, err := network.ReadTables(); err == nil {
			for _, l := range tables.Links {
				if l.Index == r.Index && l.MTU > 0 {
					mtu = min(l.MTU, mtu)
				}
			}
		}
	}
	ctx, done := n.guard(ctx)
	defer done()
	v, err := network.FindMTU(ctx, way.Addr.Addr(), way.Via, mtu)
	n.spend(v.Bytes)
	switch {
	case errors.Is(err, network.ErrNotPermitted):
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.CannotTell, report.ReasonPermission)}
	case err != nil:
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.CannotTell, report.ReasonUnsupported)}
	case gatewayDead(ctx):
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.NotRun, report.ReasonMasked)}
	case v.Outcome == network.Stopped:
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.CannotTell, report.ReasonTimeout)}
	case v.Outcome == network.Unreachable:
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.NotRun, report.ReasonMasked)}
	case v.Outcome == network.Timeout: // no echo is answered, so the size of one proves nothing
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.CannotTell, report.ReasonUnsupported)}
	}
	facts := []evidence.Value{evidence.Target.Is(t.name()), evidence.Outcome.Is(string(v.Outcome))}
	if v.LargestOK > 0 {
		facts = append(facts, count(evidence.LargestOkBytes, v.LargestOK))
	}
	if v.Outcome == network.Blackhole && (v.LargestOK == 0 || n.largePasses(ctx, t, way)) {
		// No path is narrower than the smallest size tried; or a handshake that fills whole packets got through: what
		// vanishes is large echoes.
		return []report.Evidence{doubtful(evidence.NetMTU, t.Name, report.CannotTell, report.ReasonUnsupported)}
	}
	return []report.Evidence{evidence.New(evidence.NetMTU, t.Name, facts...)}
}

// largePasses tells whether a TLS handshake whose hello fills more than one packet gets through to a target.
func (n *Network) largePasses(ctx context.Context, t Target, w network.Way) bool {
	p := n.place(w.Addr)
	if !t.TLS || !n.maySpend(tlsBytes, 2) || !p.enter(ctx) {
		return false
	}
	defer p.leave()
	if !p.extra() {
		return false
	}
	o, bytes := network.TryLargeHello(ctx, w, network.Trust{Name: t.ServerName, Now: n.c.Now()}, 0)
	n.spend(bytes)
	return o == network.OK
}

// Metered tells whether packets that leave the terminal now go over a bearer whose bytes cost money.
func (n *Network) Metered() bool {
	_, _, _ = n.look() // if the tables cannot be read, what was known last stands
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.metered
}

// maySpend tells whether a check of so many bytes fits into 1/share of the day's budget; on a bearer that costs nothing
// it always does.
func (n *Network) maySpend(bytes, share int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); n.window.IsZero() || now.Sub(n.window) > 24*time.Hour {
		n.window, n.spent = now, 0
	}
	return !n.metered || n.spent+int64(bytes) <= n.c.DailyBytes/int64(share)
}

func (n *Network) spend(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.metered {
		n.spent += int64(bytes)
	}
}

// sampleTCP remembers the machine's TCP counters, so that a later check can say how many segments were repeated since.
func (n *Network) sampleTCP(now time.Time) {
	if n.c.Proc == nil {
		return
	}
	c, ok := network.ReadTCPCounters(n.c.Proc)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counters = slices.DeleteFunc(n.counters, func(c counted) bool { return now.Sub(c.at) > countersKept })
	if len(n.counters) == maxCounters {
		n.counters = append(n.counters[:0], n.counters[1:]...)
	}
	n.counters = append(n.counters, counted{now, c})
}

// retrans is the share of segments that had to be sent again, over the shortest time that has seen enough of them.
func (n *Network) retrans(now time.Time) (float64, bool) {
	if n.c.Proc == nil {
		return 0, false
	}
	c, ok := network.ReadTCPCounters(n.c.Proc)
	if !ok {
		return 0, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, before := range slices.Backward(n.counters) {
		if now.Sub(before.at) > countersKept {
			break
		}
		if pct, ok := c.RetransPct(before.tcp); ok {
			return pct, true
		}
	}
	return 0, false
}

// reasonFor is the contract's reason for a source that could not be read.
func reasonFor(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return report.ReasonAbsent
	case errors.Is(err, fs.ErrPermission):
		return report.ReasonPermission
	}
	return report.ReasonUnsupported
}

// maxText bounds a file of procfs.
const maxText = 64 << 10

func readAll(root fs.FS, name string) (string, error) {
	if root == nil {
		return "", fs.ErrNotExist
	}
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText))
	return string(b), err
}

// millis is a duration in milliseconds: tenths below ten, whole ones above.
func millis(d time.Duration) float64 {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return math.Round(ms*10) / 10
	}
	return math.Round(ms)
}

// round keeps one digit after the point.
func round(f float64) float64 { return math.Round(f*10) / 10 }
