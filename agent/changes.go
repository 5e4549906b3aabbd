package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"posdx/agent/internal/probe"
	"posdx/agent/report"
	"posdx/drivers/board"
	"posdx/drivers/network"

	"golang.org/x/sys/unix"
)

// maxParameters bounds what is read of a file whose change is watched.
const maxParameters = 1 << 20

// notice passes on to the loop what the checks see of things that seldom change, such as addresses and versions, so
// that a diagnosis can say what has changed since the last approval.
func (d *daemon) notice(probes []probe.Probe) {
	var kernel unix.Utsname
	if unix.Uname(&kernel) == nil {
		d.loop.Note("kernel_version", unix.ByteSliceToString(kernel.Release[:])+" "+unix.ByteSliceToString(kernel.Version[:]))
	}
	var apns, certificates []string
	for _, m := range d.conf.Modem {
		apns = append(apns, m.APN)
	}
	d.loop.Note("apn", strings.Join(apns, " "))
	for _, t := range d.conf.Target {
		certificates = append(certificates, t.CA)
	}
	trust, parameters := marks{paths: certificates}, marks{paths: d.conf.App.Parameters}
	for i, p := range probes {
		run := p.Run
		probes[i].Run = func(ctx context.Context) []report.Evidence {
			list := run(ctx)
			for _, e := range list {
				switch e.Check {
				case "reader.port":
					d.loop.Note("reader_firmware", textOf(e, "firmware"))
				case "modem.registration":
					d.loop.Note("area", textOf(e, "area"))
					d.loop.Note("operator", textOf(e, "operator"))
				case "net.gateway":
					d.loop.Note("gateway", routerOf(textOf(e, "ip")))
				case "net.address":
					d.loop.Note("ip_config", addressing(e))
				case "net.tls":
					d.loop.Note("certificate", trust.now())
				case "app.process":
					d.loop.Note("parameters", parameters.now())
				}
			}
			return list
		}
	}
}

// routerOf knows a router by its hardware address: every second shop's has the same IP address. "" where the kernel
// does not know it, as on a link without any.
func routerOf(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	list, err := network.ReadNeighbours()
	if err != nil {
		return ""
	}
	for _, n := range list {
		if n.IP == a && n.MAC != [6]byte{} {
			return hex.EncodeToString(n.MAC[:])
		}
	}
	return ""
}

func textOf(e report.Evidence, fact string) string {
	s, _ := e.Facts.Str(fact)
	return s
}

// addressing is how the interface that leads out is set: nothing if another one does, and only the way out where a DHCP
// server gives the address.
func addressing(e report.Evidence) string {
	gateway := textOf(e, "gateway")
	if gateway == "" {
		return ""
	}
	if dhcp, _ := e.Facts["dhcp"].(bool); dhcp {
		return "dhcp " + gateway
	}
	return fmt.Sprintf("%s/%v %s", textOf(e, "address"), e.Facts["prefix"], gateway)
}

// marks holds one checksum of the content of all watched files. They are read again only if the size or time of one has
// changed.
type marks struct {
	paths []string

	mu   sync.Mutex
	seen string // size and time of each
	mark string
}

func (m *marks) now() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var seen strings.Builder
	for _, p := range m.paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			fmt.Fprintln(&seen, p, info.Size(), info.ModTime().UnixNano())
		}
	}
	if seen.Len() == 0 || seen.String() == m.seen {
		return m.mark
	}
	sum := sha256.New()
	for _, p := range m.paths {
		f, err := os.Open(p)
		if err != nil {
			continue
		}
		_, _ = io.Copy(sum, io.LimitReader(f, maxParameters)) // a file that cannot be read is another one
		f.Close()
	}
	m.seen, m.mark = seen.String(), hex.EncodeToString(sum.Sum(nil)[:8])
	return m.mark
}

// A hostClock is the time as the acquirer's host told it last, in fields 12 and 13 of an answer.
type hostClock struct {
	mu     sync.Mutex
	offset time.Duration // terminal minus host
	at     time.Time     // zero: not known
}

func (h *hostClock) told(offset time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offset, h.at = offset, time.Now()
}

// reference is how the terminal's clock differs from the host's now: a clock that was set since differs by that as
// well.
func (h *hostClock) reference() (board.Reference, bool) {
	if h == nil {
		return board.Reference{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.IsZero() {
		return board.Reference{}, false
	}
	now := time.Now()
	age := now.Sub(h.at) // by the monotonic clock
	jumped := now.Round(0).Sub(h.at.Round(0)) - age
	return board.Reference{Offset: h.offset + jumped, Age: age}, true
}
