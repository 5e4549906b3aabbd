package modem

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A USB is a modem on USB as sysfs shows it. Nothing is opened to learn this.
type USB struct {
	Vendor, Product string // four hex digits
	Serial          string // "" if it has none
	Name            string // the product string of its maker, "" if it has none
	Ports           []USBPort
	Nets            []string // its network interfaces: wwan0
}

// A USBPort is one serial interface of it. The number of a ttyUSB changes when the modem is plugged in again, the
// number of the interface never.
type USBPort struct {
	TTY       string // ttyUSB2
	Interface string // bInterfaceNumber, two hex digits
	AT        int    // 0 speaks no AT that we know of, 1 secondary, 2 primary
}

// Places in USBPort.AT, in the order in which they are asked: the application has the primary port.
const (
	atNone = iota
	atSecondary
	atPrimary
)

// atPorts are the interfaces that speak AT, as ModemManager's port-types rules have them (src/plugins/*/77-mm-*.rules).
// The others of these devices speak diagnostics or positions, and must not be sent AT.
var atPorts = [...]struct{ device, primary, secondary string }{
	{"2c7c:0121", "02", "03"}, {"2c7c:0125", "02", "03"}, {"2c7c:0128", "05", ""}, {"2c7c:0191", "02", "03"}, {"2c7c:0195", "02", "03"},
	{"2c7c:0296", "02", "03"}, {"2c7c:0306", "02", "03"}, {"2c7c:0512", "02", "03"}, {"2c7c:0800", "02", "03"}, {"2c7c:0801", "02", "03"},
	{"1e0e:9001", "02", "03"}, {"1e0e:9011", "04", ""}, {"1e0e:9100", "03", "01"}, {"1e0e:9200", "03", "01"}, {"1e0e:9205", "02", ""},
	{"1e0e:9206", "02", ""}, {"1e0e:cefe", "02", "00 01"},
	{"2cb7:0007", "02", "06"}, {"2cb7:0104", "01", "02"}, {"2cb7:0106", "01", "02"}, {"2cb7:010a", "00", "01"}, {"2cb7:0115", "03", ""},
	{"2cb7:01a0", "02", "03"}, {"2cb7:01a2", "02", ""}, {"2cb7:01a4", "03", ""},
	{"1508:1001", "01", "02 03"}, {"1782:4d10", "00", "05 06"}, {"1782:4d11", "02", "07 08"}, {"8087:095a", "00", "04"},
}

// Huawei's devices say it in the class of the interface instead (77-mm-huawei-net-port-types.rules).
const huaweiVendor = "12d1"

func atPlace(device, class, number string) int {
	if strings.HasPrefix(device, huaweiVendor) {
		if class == "ff0102" || class == "ff0202" {
			return atPrimary
		}
		return atNone
	}
	for _, k := range atPorts {
		switch {
		case k.device != device:
		case number == k.primary:
			return atPrimary
		case slices.Contains(strings.Fields(k.secondary), number):
			return atSecondary
		}
	}
	return atNone
}

// usbMax is more USB interfaces than a terminal has.
const usbMax = 256

// Find lists the USB devices that have serial ports, from a sysfs tree. A file that is missing, empty or vanishes is a
// property that is not known.
func Find(sys fs.FS) []USB {
	const root = "bus/usb/devices"
	entries, err := fs.ReadDir(sys, root)
	if err != nil {
		return nil
	}
	var list []USB
	at := map[string]int{}
	for _, e := range entries[:min(len(entries), usbMax)] {
		device, _, ok := strings.Cut(e.Name(), ":") // 1-1.2:1.3 is interface 3 of configuration 1 of 1-1.2
		if !ok {
			continue
		}
		word := func(of, name string) string { return sysWord(sys, path.Join(root, of, name)) }
		ttys, nets := within(sys, path.Join(root, e.Name()))
		if len(ttys)+len(nets) == 0 {
			continue
		}
		i, known := at[device]
		if !known {
			i, at[device] = len(list), len(list)
			list = append(list, USB{Vendor: word(device, "idVendor"), Product: word(device, "idProduct"),
				Serial: word(device, "serial"), Name: word(device, "product")})
		}
		u := &list[i]
		u.Nets = append(u.Nets, nets...)
		number := word(e.Name(), "bInterfaceNumber")
		class := word(e.Name(), "bInterfaceClass") + word(e.Name(), "bInterfaceSubClass") + word(e.Name(), "bInterfaceProtocol")
		for _, tty := range ttys {
			u.Ports = append(u.Ports, USBPort{TTY: tty, Interface: number, AT: atPlace(u.Vendor+":"+u.Product, class, number)})
		}
	}
	return slices.DeleteFunc(list, func(u USB) bool { return len(u.Ports) == 0 })
}

// within finds the ttys and the network interfaces of a USB interface: ttyUSB2 lies in its folder, ttyACM0 in tty/.
func within(sys fs.FS, dir string) (ttys, nets []string) {
	names := func(dir string) (list []string) {
		entries, _ := fs.ReadDir(sys, dir)
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	for _, n := range names(dir) {
		switch {
		case n == "tty":
			ttys = append(ttys, names(path.Join(dir, n))...)
		case strings.HasPrefix(n, "tty"):
			ttys = append(ttys, n)
		case n == "net":
			nets = names(path.Join(dir, n))
		}
	}
	return ttys, nets
}

// wordMax is longer than any property of a USB device (USB 2.0, 9.6.7: 126 characters).
const wordMax = 256

func sysWord(sys fs.FS, name string) string {
	f, err := sys.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, wordMax)
	n, _ := f.Read(b)
	return strings.TrimSpace(string(b[:n]))
}

// Of finds the modem that a port belongs to, and whether there is one.
func Of(list []USB, tty string) (USB, bool) {
	for _, u := range list {
		for _, p := range u.Ports {
			if p.TTY == tty {
				return u, true
			}
		}
	}
	return USB{}, false
}

// Choose returns the ttys to try, best first, for a port of the configuration: a device node, or
// usb:VID:PID[,interface=NN][,serial=S]. What is configured comes first; then the ports of the same modem that speak
// AT, the secondary before the primary, which the application is likelier to use. A port of a modem that is not in the
// list, or not known, stands for itself.
func Choose(list []USB, port string) []string {
	tty, isNode := strings.CutPrefix(port, "/dev/")
	spec, isUSB := strings.CutPrefix(port, "usb:")
	var first []string
	var u USB
	switch {
	case isUSB:
		parts := strings.Split(spec, ",")
		var number, serial string
		for _, p := range parts[1:] {
			if v, ok := strings.CutPrefix(p, "interface="); ok {
				number = v
			}
			if v, ok := strings.CutPrefix(p, "serial="); ok {
				serial = v
			}
		}
		matches := 0
		for _, o := range list {
			if strings.EqualFold(o.Vendor+":"+o.Product, parts[0]) && (serial == "" || serial == o.Serial) {
				u = o
				matches++
			}
		}
		if matches != 1 { // none, or two of a kind: the port's own name must tell
			return []string{port}
		}
		for _, p := range u.Ports {
			if number != "" && strings.EqualFold(p.Interface, number) {
				first = []string{"/dev/" + p.TTY}
			}
		}
	case isNode:
		first = []string{port}
		u, _ = Of(list, tty)
	default:
		return []string{port}
	}
	for _, place := range []int{atSecondary, atPrimary} {
		for _, p := range u.Ports {
			if node := "/dev/" + p.TTY; p.AT == place && !slices.Contains(first, node) {
				first = append(first, node)
			}
		}
	}
	if len(first) == 0 {
		return []string{port}
	}
	return first
}
