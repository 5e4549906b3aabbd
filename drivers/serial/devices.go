package serial

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// A Device is a serial port as sysfs knows it. Nothing was opened to learn this.
type Device struct {
	Path      string // /dev/ttyUSB2
	Vendor    string // USB: four hex digits, "" for others
	Product   string
	Serial    string
	Interface string // USB: bInterfaceNumber, two hex digits
	Number    int    // USB: devnum, another after every time it was plugged in
}

// usbDepth is how many folders lie between a tty and its USB device: port, interface, device.
const usbDepth = 4

// devices lists the serial ports of this machine that have a chip behind them, from sysfs. It never opens one, as the
// list functions of serial libraries do: those reset ports that a payment application is using.
func devices(sys string) ([]Device, error) {
	class := filepath.Join(sys, "class/tty")
	names, err := os.ReadDir(class)
	if err != nil {
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	var list []Device
	for _, n := range names {
		if d, ok := device(sys, n.Name()); ok {
			list = append(list, d)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return list, nil
}

// DeviceOf finds a port in sysfs by its device node, or a link to it. What sysfs does not know is ErrGone.
func DeviceOf(path string) (Device, error) {
	if d, ok := device("/sys", filepath.Base(real(path))); ok {
		return d, nil
	}
	return Device{}, fmt.Errorf("port %s: not in sysfs: %w", path, ErrGone)
}

// device reads one tty's folders; false if it has no chip behind it.
func device(sys, name string) (Device, bool) {
	class := filepath.Join(sys, "class/tty", name)
	// Consoles and ptys, seventy of them, have no device: one question each, where following links takes six.
	if _, err := os.Lstat(filepath.Join(class, "device")); err != nil {
		return Device{}, false
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(class, "device"))
	if err != nil {
		return Device{}, false
	}
	if word(filepath.Join(class, "type")) == "0" { // a place for a UART, and none in it
		return Device{}, false
	}
	d := Device{Path: "/dev/" + name}
	for up, i := dir, 0; i < usbDepth && len(up) > len(sys); up, i = filepath.Dir(up), i+1 {
		if d.Interface == "" {
			d.Interface = word(filepath.Join(up, "bInterfaceNumber"))
		}
		if v := word(filepath.Join(up, "idVendor")); v != "" {
			d.Vendor, d.Product, d.Serial = v, word(filepath.Join(up, "idProduct")), word(filepath.Join(up, "serial"))
			d.Number, _ = strconv.Atoi(word(filepath.Join(up, "devnum")))
			break
		}
	}
	return d, true
}

func word(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b))
}

// Resolve turns a port's name in the configuration into a device node: a path as it stands, or
// usb:VID:PID[,interface=NN][,serial=S], because a USB port gets another number after it was unplugged. If there is no
// such device the error is ErrGone; if there are two the error names both.
func Resolve(name string) (string, error) { return resolve("/sys", name) }

func resolve(sys, name string) (string, error) {
	spec, ok := strings.CutPrefix(name, "usb:")
	if !ok {
		return name, nil
	}
	parts := strings.Split(spec, ",")
	vendor, product, ok := strings.Cut(parts[0], ":")
	if !ok || vendor == "" || product == "" {
		return "", fmt.Errorf("port %q: want usb:VID:PID, interface=NN and serial=S after commas", name)
	}
	want := Device{Vendor: vendor, Product: product}
	for _, p := range parts[1:] {
		switch key, value, _ := strings.Cut(p, "="); key {
		case "interface":
			want.Interface = value
		case "serial":
			want.Serial = value
		default:
			return "", fmt.Errorf("port %q: no key %q, only interface and serial", name, key)
		}
	}
	all, err := devices(sys)
	if err != nil {
		return "", err
	}
	var found []string
	for _, d := range all {
		if strings.EqualFold(d.Vendor, want.Vendor) && strings.EqualFold(d.Product, want.Product) &&
			(want.Interface == "" || strings.EqualFold(d.Interface, want.Interface)) &&
			(want.Serial == "" || d.Serial == want.Serial) {
			found = append(found, d.Path)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("port %q: %w", name, ErrGone)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("port %q: %s all match, add interface= or serial=", name, strings.Join(found, " "))
}
