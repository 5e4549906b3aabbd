package probe

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"path"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/drivers/modem"
	"posdx/drivers/serial"
)

// held is what can be told of a modem that the payment application, or pppd for it, is using, and that ModemManager
// does not manage: which modem it is, and whether its network interface has an address. Nothing is sent to it.
func (s *modemState) held(found []modem.USB, port string, err error) []report.Evidence {
	list := s.evidence(modem.Report{}, err)
	u, _ := modem.Of(found, path.Base(port))
	if name := serial.Label([]byte(u.Name)); name != "" {
		list[0].Facts[evidence.Model.Name()] = name
	}
	for i, e := range list {
		if evidence.Check(e.Check) != evidence.ModemBearer || s.config.DialUp {
			continue
		}
		for _, iface := range s.interfaces(u, err) {
			if a := s.addresses(iface); len(a) > 0 { // without one the modem may be dialling: that proves nothing
				list[i] = evidence.New(evidence.ModemBearer, e.Subject, evidence.ContextActive.Is(true),
					evidence.Address.Is(a[0].String()))
				break
			}
		}
	}
	return list
}

// interfaces are the network interfaces that a held modem feeds: its own, or pppd's, if that has the port and there is
// one only.
func (s *modemState) interfaces(u modem.USB, err error) []string {
	busy := (*serial.BusyError)(nil)
	if s.config.Sys == nil || !errors.As(err, &busy) || busy.Owner.Command != "pppd" {
		return u.Nets
	}
	var ppp []string
	entries, _ := fs.ReadDir(s.config.Sys, "class/net")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "ppp") {
			ppp = append(ppp, e.Name())
		}
	}
	if len(ppp) != 1 {
		return u.Nets
	}
	return append(ppp, u.Nets...)
}

// addressesOf are the addresses of a network interface that others can reach, IPv4 first.
func addressesOf(iface string) (list []netip.Addr) {
	i, err := net.InterfaceByName(iface)
	if err != nil || i.Flags&net.FlagUp == 0 {
		return nil
	}
	all, _ := i.Addrs()
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		switch ip := p.Addr(); {
		case err != nil || !ip.IsGlobalUnicast():
		case ip.Is4():
			list = append([]netip.Addr{ip}, list...)
		default:
			list = append(list, ip)
		}
	}
	return list
}

// via marks evidence that somebody else gathered.
func via(who string, list []report.Evidence) []report.Evidence {
	for _, e := range list {
		if e.Status == report.OK || e.Status == report.Bad {
			e.Facts[evidence.Via.Name()] = who
		}
	}
	return list
}
