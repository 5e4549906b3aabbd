package network

import (
	"bytes"
	"io"
	"io/fs"
	"net/netip"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is the technology of a link.
type Kind string

// Kinds of links.
const (
	Ethernet Kind = "ethernet"
	Wifi     Kind = "wifi"
	Cellular Kind = "cellular"
	PPP      Kind = "ppp"
	Loopback Kind = "loopback"
	Virtual  Kind = "virtual" // bridges, tunnels, dummies
	None     Kind = "none"
)

// KindOf finds the technology of a link. sys is the root of sysfs; without it the name and type decide.
func KindOf(l Link, sys fs.FS) Kind {
	switch l.Type {
	case unix.ARPHRD_LOOPBACK:
		return Loopback
	case unix.ARPHRD_PPP:
		return PPP
	}
	// Vendor kernels bring their modem up as a raw-IP or even Ethernet device; its name is all they have in common:
	// qmi_wwan and cdc_mbim (wwan), Qualcomm (rmnet), MediaTek (ccmni), Spreadtrum (seth_lte, sipa_eth), Huawei (hso).
	for _, p := range []string{"wwan", "wwp", "wws", "wwx", "rmnet", "ccmni", "seth_", "sipa_eth", "hso", "usb_wwan"} {
		if strings.HasPrefix(l.Name, p) {
			return Cellular
		}
	}
	if sys != nil {
		dir := "class/net/" + l.Name
		if !fs.ValidPath(dir) {
			return Virtual
		}
		if devtype(sys, dir) == "wwan" {
			return Cellular
		}
		for _, d := range []string{"/wireless", "/phy80211"} {
			if _, err := fs.Stat(sys, dir+d); err == nil {
				return Wifi
			}
		}
		if usbModem(sys, l.Name) {
			return Cellular
		}
	}
	switch {
	case l.Type != unix.ARPHRD_ETHER:
		return Virtual
	case l.Virtual == "" || l.Virtual == "veth" || l.Virtual == "vlan" || l.Virtual == "dsa":
		return Ethernet
	}
	return Virtual
}

func devtype(sys fs.FS, dir string) string { return property(sys, dir+"/uevent", "DEVTYPE") }

// SpeedMbps is the speed a link has agreed on; 0 if the driver does not say.
func SpeedMbps(name string, sys fs.FS) int {
	path := "class/net/" + name + "/speed"
	if sys == nil || !fs.ValidPath(path) {
		return 0
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(readFile(sys, path))))
	if err != nil || n < 0 || n > 1_000_000 { // an unknown speed reads -1 or 65535
		return 0
	}
	if n == 65535 {
		return 0
	}
	return n
}

// readFile returns at most maxFile bytes; nothing if the file cannot be read.
func readFile(f fs.FS, path string) []byte {
	file, err := f.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil
	}
	return b
}

// Link finds an interface by name.
func (t Tables) Link(name string) (Link, bool) {
	for _, l := range t.Links {
		if l.Name == name {
			return l, true
		}
	}
	return Link{}, false
}

func (t Tables) byIndex(i int) (Link, bool) {
	for _, l := range t.Links {
		if l.Index == i {
			return l, true
		}
	}
	return Link{}, false
}

// Defaults are the default routes of one family ("4" or "6") in the order the kernel prefers them.
func (t Tables) Defaults(six bool) []Route {
	var list []Route
	for _, r := range t.Routes {
		if r.Default() && r.Dst.Addr().Is6() == six {
			list = append(list, r)
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Metric < list[j].Metric })
	return list
}

// Bearer is the link that carries what leaves the site: the best default route over a link that is up, IPv4 before
// IPv6. False if there is none.
func (t Tables) Bearer() (Link, Route, bool) {
	for _, six := range []bool{false, true} {
		for _, r := range t.Defaults(six) {
			if l, ok := t.byIndex(r.Index); ok && l.Up && l.Carrier && !r.Dead {
				return l, r, true
			}
		}
	}
	return Link{}, Route{}, false
}

// An AddressView is what the kernel's tables show of an interface's addressing; no packet is sent to find it.
type AddressView struct {
	Address         netip.Prefix // invalid: none
	Gateway         netip.Addr   // invalid: none, or point to point
	GatewayKnown    bool         // a gateway is set, so InSubnet means something
	GatewayInSubnet bool
	GatewayOnLink   bool // outside, and reached all the same: by a route of its own, on this link
	DHCP, DHCPKnown bool
	LinkLocal       bool // the only IPv4 address is one the machine gave itself: DHCP did not answer
	Duplicate       bool // says the kernel (IPv6)
	DefaultRoutes   int  // over all interfaces, of the family shown
	Conflict        bool // two default routes are equally good: packets leave by either
}

// View judges the addressing of one interface: by IPv4 if it has any, else by IPv6.
func (t Tables) View(l Link) AddressView {
	four, six := t.view(l, false), t.view(l, true)
	v := four
	if !four.Address.IsValid() && six.Address.IsValid() || four.LinkLocal && !six.LinkLocal && six.DefaultRoutes > 0 {
		v = six
	}
	v.Duplicate = four.Duplicate || six.Duplicate
	return v
}

func (t Tables) view(l Link, six bool) AddressView {
	var v AddressView
	var own []Address
	for _, a := range t.Addresses {
		ip := a.Prefix.Addr()
		if a.Index != l.Index || ip.Is6() != six {
			continue
		}
		v.Duplicate = v.Duplicate || a.Duplicate
		if six && ip.IsLinkLocalUnicast() {
			continue // every IPv6 interface has one; it says nothing
		}
		own = append(own, a)
	}
	v.LinkLocal = len(own) > 0
	for _, a := range own {
		if !a.Prefix.Addr().IsLinkLocalUnicast() {
			v.LinkLocal = false
			if !v.Address.IsValid() {
				v.Address = a.Prefix
				if !a.Lasting {
					v.DHCP, v.DHCPKnown = true, true
				}
			}
		}
	}
	if v.LinkLocal {
		v.Address = own[0].Prefix
	}
	defaults := t.Defaults(six)
	v.DefaultRoutes = len(defaults)
	v.Conflict = conflict(defaults)
	for _, r := range defaults {
		if r.Index != l.Index {
			continue
		}
		if r.Protocol == unix.RTPROT_DHCP {
			v.DHCP, v.DHCPKnown = true, true
		}
		if !r.Gateway.IsValid() {
			break
		}
		v.Gateway, v.GatewayKnown = r.Gateway, true
		v.GatewayInSubnet = r.Gateway.Is6() && r.Gateway.IsLinkLocalUnicast()
		v.GatewayOnLink = r.OnLink
		for _, a := range own {
			if a.Prefix.Masked().Contains(r.Gateway) {
				v.GatewayInSubnet = true
			}
		}
		for _, o := range t.Routes { // a host route to the gateway is how some carriers do it
			if o.Index == l.Index && !o.Default() && !o.Gateway.IsValid() && o.Dst.Contains(r.Gateway) {
				v.GatewayOnLink = true
			}
		}
		break
	}
	return v
}

// conflict tells whether two usable default routes share the best metric but not the way. IPv6 routers of one network
// that announce themselves with the same metric on the same interface are how IPv6 is meant to be.
func conflict(defaults []Route) bool {
	for i, a := range defaults {
		for _, b := range defaults[i+1:] {
			if a.Metric != b.Metric || a.Dead || b.Dead {
				continue
			}
			if a.Index != b.Index || a.Dst.Addr().Is4() && a.Gateway != b.Gateway {
				return true
			}
		}
	}
	return false
}
