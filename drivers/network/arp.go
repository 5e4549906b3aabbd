package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	arpTries = 3
	arpWait  = 250 * time.Millisecond // of each; a LAN answers within a few milliseconds, a sleeping Wi-Fi peer within 200
	arpSize  = 28
)

// AskARP asks the network of l which machine has ip. from is the asker's own address; an invalid one makes it a probe
// (RFC 5227), which changes no machine's ARP table and finds a second owner of our own address. Answers of our own card
// are not counted. ok is false if there was no answer. The error is ErrNotPermitted without CAP_NET_RAW, or that of
// ctx.
func AskARP(ctx context.Context, l Link, ip, from netip.Addr) (mac [6]byte, took time.Duration, ok bool, err error) {
	if !ip.Is4() {
		return mac, 0, false, fmt.Errorf("ask arp %s: %w", ip, errors.ErrUnsupported)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return mac, 0, false, fmt.Errorf("ask arp %s: %w", ip, ErrNotPermitted)
	}
	if err != nil {
		return mac, 0, false, fmt.Errorf("ask arp %s: %w", ip, err)
	}
	f := os.NewFile(uintptr(fd), "arp")
	defer f.Close()
	proto := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ARP >> 8, unix.ETH_P_ARP & 0xff})
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: l.Index}); err != nil {
		return mac, 0, false, fmt.Errorf("ask arp %s on %s: %w", ip, l.Name, err)
	}
	to := &unix.SockaddrLinklayer{Protocol: proto, Ifindex: l.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	request := arpRequest(l.MAC, from, ip)
	buf := make([]byte, 256)
	for range arpTries {
		start := time.Now()
		if err := unix.Sendto(fd, request, 0, to); err != nil {
			return mac, 0, false, fmt.Errorf("ask arp %s on %s: %w", ip, l.Name, err)
		}
		for end := start.Add(arpWait); time.Now().Before(end); {
			if ctx.Err() != nil {
				return mac, 0, false, ctx.Err()
			}
			until := time.Now().Add(cancelCheck)
			if until.After(end) {
				until = end
			}
			_ = f.SetReadDeadline(until)
			n, err := f.Read(buf)
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					continue
				}
				return mac, 0, false, fmt.Errorf("ask arp %s on %s: %w", ip, l.Name, err)
			}
			if sender, ok := claims(buf[:n], ip, l.MAC); ok {
				return sender, time.Since(start), true, nil
			}
		}
	}
	return mac, 0, false, nil
}

// arpRequest is an Ethernet and IPv4 ARP request (RFC 826) without its Ethernet header.
func arpRequest(mac [6]byte, from, ip netip.Addr) []byte {
	b := make([]byte, arpSize)
	copy(b, []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(b[8:], mac[:])
	if from.Is4() {
		copy(b[14:], from.AsSlice())
	}
	copy(b[24:], ip.AsSlice())
	return b
}

// claims tells whether a packet comes from another card than ours and gives ip as its own address. Access points send
// broadcasts back to where they came from.
func claims(b []byte, ip netip.Addr, own [6]byte) (mac [6]byte, ok bool) {
	mac, who, ok := parseARP(b)
	return mac, ok && who == ip && mac != own
}

// parseARP returns who claims an address: the sender of a reply, or of an announcement.
func parseARP(b []byte) (mac [6]byte, ip netip.Addr, ok bool) {
	if len(b) < arpSize || [6]byte(b) != [6]byte{0, 1, 8, 0, 6, 4} || b[6] != 0 || b[7] != 1 && b[7] != 2 {
		return mac, ip, false
	}
	ip = netip.AddrFrom4([4]byte(b[14:]))
	return [6]byte(b[8:]), ip, !ip.IsUnspecified()
}
