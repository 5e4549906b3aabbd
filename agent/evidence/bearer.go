package evidence

import (
	"slices"
	"strings"

	"posdx/agent/report"
)

// kindOf returns the kind of network that an interface's name, or the name of a kind, stands for; "" if it tells none.
func kindOf(name string) string {
	switch {
	case name == "ethernet" || name == "wifi" || name == "cellular" || name == "ppp":
		return name
	case strings.HasPrefix(name, "eth") || strings.HasPrefix(name, "en") || strings.HasPrefix(name, "lan"):
		return "ethernet"
	case strings.HasPrefix(name, "wlan") || strings.HasPrefix(name, "wl"):
		return "wifi"
	case strings.HasPrefix(name, "ppp"):
		return "ppp"
	case strings.HasPrefix(name, "ww") || strings.HasPrefix(name, "usb") || strings.HasPrefix(name, "rmnet"):
		return "cellular"
	}
	return ""
}

// linkKind returns the kind of network that an item of net.link, net.address or net.errors is about.
func linkKind(it *Item) string {
	kind := it.str(Kind)
	for _, s := range [...]string{kind, it.str(Iface), it.Subject} {
		if k := kindOf(s); k != "" {
			return k
		}
	}
	return ""
}

// Other tells whether a kind of network is known to be another one than the sale goes over. Cellular and ppp may be
// the same modem.
func (r *Reading) Other(kind string) bool {
	return kind != "" && r.Kind != "" && kind != r.Kind && !(kind == "ppp" && r.Kind == "cellular") && !(kind == "cellular" && r.Kind == "ppp")
}

// activeBearer returns the kind of network that the sale goes over, "" if that cannot be told. In this order: the one
// said to be active; the only one that is up, if none has fallen; the one that approvals came by; the one that went
// down within the hour; the only one that anything is known of.
func (r *Reading) activeBearer() string {
	if it := r.First(NetBearer); it != nil {
		if k := kindOf(it.str(Active)); k != "" {
			return k
		}
	}
	up, down, fell := r.linkStates()
	by := r.approvedBy()
	switch {
	case len(up) == 1 && by != up[0] && (len(fell) > 0 || slices.Contains(down, by)):
		return "" // the sale went over what fell, or over what was left
	case len(up) == 1:
		return up[0]
	case by != "":
		return by
	}
	modem := len(r.All(ModemRegistration))+len(r.All(ModemSIM))+len(r.All(ModemBearer)) > 0
	switch {
	case len(up) > 1:
		return "" // several are up: none can be left out
	case len(fell) == 1:
		return fell[0]
	case len(down) == 1 && (down[0] != "ethernet" && down[0] != "wifi" || !modem):
		return down[0]
	case len(down) == 0 && modem && len(r.All(NetWifi)) == 0:
		return "cellular"
	case len(down) == 0 && !modem && len(r.All(NetWifi)) > 0:
		return "wifi"
	case len(down) == 0 && len(r.All(NetWifi)) == 0 && !modem && r.lookedFor(ModemLine):
		return "ppp"
	}
	return ""
}

// lookedFor tells whether a check was made, or tried: what is tried is there to be looked at.
func (r *Reading) lookedFor(check Check) bool {
	return len(r.All(check)) > 0 || slices.ContainsFunc(r.Missing, func(e *report.Evidence) bool {
		return e.Check == string(check) && e.Status == report.CannotTell && e.Facts["reason"] != report.ReasonAbsent
	})
}

// linkStates returns the kinds of links that are up, those that are not, and of these the ones that were up within the
// hour. A link that was down all hour while sales were approved did not carry them and is left out.
func (r *Reading) linkStates() (up, down, fell []string) {
	approved := false
	if h := r.First(TxnHistory); h != nil {
		approved = h.atLeast(Approvals1h, 1)
	}
	note := func(list []string, kind string) []string {
		if kind == "" || slices.Contains(list, kind) {
			return list
		}
		return append(list, kind)
	}
	links := r.All(NetLink)
	for i := range links {
		if !linkDown(&links[i]) {
			up = note(up, linkKind(&links[i]))
		}
	}
	// An interface with an address and a way out is up, though its carrier was not looked at.
	addresses := r.All(NetAddress)
	for i := range addresses {
		it := &addresses[i]
		looked := slices.ContainsFunc(links, func(l Item) bool { return linkKind(&l) == linkKind(it) })
		if routes, known := it.num(DefaultRoutes); !looked && it.Fresh >= 1 && !it.Bad() && known && routes > 0 {
			up = note(up, linkKind(it))
		}
	}
	for i := range links {
		it := &links[i]
		kind := linkKind(it)
		still := it.atMost(Flaps1h, 0) && (kind == "ethernet" || kind == "wifi")
		if !linkDown(it) || slices.Contains(up, kind) || still && approved {
			continue
		}
		down = note(down, kind)
		if it.atLeast(Flaps1h, 1) || kind == "ppp" { // a dialled link that is not up has no interface: it was
			fell = note(fell, kind)
		}
	}
	return up, down, fell
}

// linkDown tells whether a link has no carrier. One that flaps is bad, but up.
func linkDown(it *Item) bool {
	return it.isNot(Carrier) || it.Bad() && !it.is(Carrier) && it.shows("link.some-flaps") == 0
}

// approvedBy returns the kind of bearer that most recent approvals came by, "" if there is no such word.
func (r *Reading) approvedBy() string {
	it := r.First(TxnHistory)
	if it == nil {
		return ""
	}
	best, kind := 0.0, ""
	for _, k := range [...]string{"ethernet", "wifi", "cellular", "ppp"} {
		if n := it.Facts.Counts(string(ApprovalsBy))[k]; n > best {
			best, kind = n, k
		}
	}
	return kind
}

// wired tells whether the sale is known to go over another network than the modem's, and the modem had no part in it.
func (r *Reading) wired() bool { return r.Other("cellular") && r.Other("ppp") && !r.standby() }

// standby tells whether a modem with a good SIM did not take over when no way out was left: then it failed the sale
// too. Without a SIM it was never meant to.
func (r *Reading) standby() bool {
	way, sim := r.First(NetBearer), r.First(ModemSIM)
	return way != nil && way.Fresh >= 1 && way.str(Active) == "none" && sim != nil && sim.str(State) == "ready"
}

// bearers says over which network the sale goes: what it does not use cannot have stopped it.
func (r *Reading) bearers() {
	if (r.Kind == "ethernet" || r.Kind == "wifi") && r.standby() {
		return // it went over none, and tried the modem too
	}
	names := map[string]string{"ethernet": "bearer.ethernet", "wifi": "bearer.wifi", "cellular": "bearer.cellular", "ppp": "bearer.dial"}
	if name := names[r.Kind]; name != "" {
		r.put(name, r.First(NetBearer), nil, 1)
	}
}
