package network

import (
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A WifiView is the state of a wireless link as the kernel's oldest interface tells it (/proc/net/wireless and
// SIOCGIWESSID): every driver still answers it, and it needs no library.
type WifiView struct {
	Associated bool
	RSSI       int // dBm
	RSSIKnown  bool
	SSID       string // never leaves the machine: compared, then forgotten
	SSIDKnown  bool
}

// ReadWifi reads the state of a wireless link. proc is the text of /proc/net/wireless.
func ReadWifi(name, proc string) WifiView {
	v := parseWireless(proc, name)
	if ssid, err := essid(name); err == nil {
		v.SSID, v.SSIDKnown = ssid, true
		v.Associated = v.Associated || ssid != ""
	}
	return v
}

// parseWireless reads the line of one interface: `wlan0: 0000   54.  -56.  -256  …` (Documentation of wireless
// extensions; the dot says that the value is new). A level of -256, 0 or above says that there is none.
func parseWireless(text, name string) WifiView {
	var v WifiView
	for line := range strings.Lines(text) {
		iface, rest, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(iface) != name {
			continue
		}
		f := strings.Fields(rest)
		if len(f) < 3 {
			return v
		}
		quality, err := strconv.ParseFloat(strings.TrimSuffix(f[1], "."), 64)
		v.Associated = err == nil && quality > 0
		level, err := strconv.ParseFloat(strings.TrimSuffix(f[2], "."), 64)
		if err != nil {
			return v
		}
		if level > 63 { // an unsigned byte that was meant to be signed
			level -= 256
		}
		if level < 0 && level > -127 {
			v.RSSI, v.RSSIKnown = int(level), true
		}
		return v
	}
	return v
}

const (
	siocgiwessid = 0x8b1b // include/uapi/linux/wireless.h
	maxSSID      = 32
)

// iwreq is struct iwreq with its iw_point.
type iwreq struct {
	name   [unix.IFNAMSIZ]byte
	ptr    unsafe.Pointer
	length uint16
	flags  uint16
	_      [16 - unsafe.Sizeof(uintptr(0)) - 4]byte
}

// essid asks the driver for the network's name; empty if not associated.
func essid(name string) (string, error) {
	if len(name) >= unix.IFNAMSIZ {
		return "", fmt.Errorf("ask wifi %q: name too long", name)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("ask wifi %s: %w", name, err)
	}
	defer unix.Close(fd)
	var buf [maxSSID + 1]byte
	req := iwreq{ptr: unsafe.Pointer(&buf[0]), length: maxSSID + 1}
	copy(req.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), siocgiwessid, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return "", fmt.Errorf("ask wifi %s: %w", name, errno)
	}
	return string(buf[:min(int(req.length), maxSSID)]), nil
}
