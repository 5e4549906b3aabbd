package network

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Modems on USB that look like a network card: in ECM, NCM, RNDIS or HiLink mode they come up as eth1 or usb0, and only
// their driver and their descriptors tell them from an adapter with a cable in it.

// modemDrivers drive modems and nothing else (drivers/net/usb, drivers/net/wwan, and makers' own).
var modemDrivers = []string{"qmi_wwan", "qmi_wwan_q", "qmi_wwan_s", "qmi_wwan_f", "cdc_mbim", "huawei_cdc_ncm", "huawei_ether", "sierra_net", "hso", "kalmia", "lg-vl600",
	"GobiNet", "GobiNet_Nwy", "simcom_wwan", "mhi_net", "mtk_t7xx", "iosm", "ipheth"}

// classDrivers drive whatever has the descriptors of their class.
var classDrivers = []string{"cdc_ether", "cdc_ncm", "cdc_eem", "cdc_subset", "rndis_host", "usbnet"}

// modemMakers are vendors on USB whose devices of these classes are modems (the id tables of
// drivers/usb/serial/option.c and drivers/net/usb/qmi_wwan.c): Huawei, ZTE, Quectel, SIMCom, Fibocom, Unisoc and its
// modules, Sierra, Telit, u-blox, MeiG, Neoway, Gosuncn, TCL, Franklin, LongSung, Cinterion, Ericsson, Comneon,
// Qualcomm, ASR, Rolling Wireless, BroadMobi, Yuga, Option. Those that make adapters too are left out.
var modemMakers = []string{"12d1", "3426", "19d2", "2c7c", "1e0e", "2cb7", "1508", "1782", "1199", "1bc7", "1546", "2dee", "2949", "305a", "1c9e", "1bbb", "1410", "1e2d", "0bdb", "1519", "19d1",
	"05c6", "2ecc", "33f8", "2020", "257a", "0af0"}

// Classes of interfaces (USB Implementers Forum, defined class codes; CDC 1.2, WMC 1.1): class, subclass, protocol.
const (
	classMBIM  = "020e"   // only modems have it
	classRNDIS = "e00103" // of a wireless controller: modems, and telephones that share their line
)

// usbModem reports whether a network interface is a modem on USB, in whatever mode.
func usbModem(sys fs.FS, name string) bool {
	driver := property(sys, "class/net/"+name+"/device/uevent", "DRIVER")
	if slices.Contains(modemDrivers, driver) {
		return true
	}
	if driver != "" && !slices.Contains(classDrivers, driver) {
		return false
	}
	device := usbDevice(sys, name)
	if device == "" {
		return false
	}
	vendor := word(sys, device+"/idVendor")
	if slices.Contains(modemMakers, strings.ToLower(vendor)) {
		return true
	}
	// Whatever it is called: a network card that has a modem's serial ports or interfaces beside it.
	for _, i := range interfaces(sys, device) {
		class := strings.ToLower(word(sys, i+"/bInterfaceClass") + word(sys, i+"/bInterfaceSubClass") + word(sys, i+"/bInterfaceProtocol"))
		if strings.HasPrefix(class, classMBIM) || class == classRNDIS || serialPort(sys, i) {
			return true
		}
	}
	return false
}

// usbRoot is where sysfs lists USB devices (1-1.2) and their interfaces (1-1.2:1.0).
const (
	usbRoot = "bus/usb/devices"
	usbMax  = 256
)

// usbDevice finds the USB device that has a network interface; "" for none.
func usbDevice(sys fs.FS, name string) string {
	entries, err := fs.ReadDir(sys, usbRoot)
	if err != nil {
		return ""
	}
	for _, e := range entries[:min(len(entries), usbMax)] {
		device, _, ok := strings.Cut(e.Name(), ":")
		if !ok {
			continue
		}
		if _, err := fs.Stat(sys, path.Join(usbRoot, e.Name(), "net", name)); err == nil {
			return path.Join(usbRoot, device)
		}
	}
	return ""
}

// interfaces are the folders of a USB device's interfaces.
func interfaces(sys fs.FS, device string) (list []string) {
	entries, _ := fs.ReadDir(sys, usbRoot)
	for _, e := range entries[:min(len(entries), usbMax)] {
		if strings.HasPrefix(e.Name(), path.Base(device)+":") {
			list = append(list, path.Join(usbRoot, e.Name()))
		}
	}
	return list
}

// serialPort reports whether an interface is a modem's serial port: ttyUSB2 lies in its folder. A ttyACM may be a
// till's cradle as well, which has a network card too.
func serialPort(sys fs.FS, dir string) bool {
	entries, _ := fs.ReadDir(sys, dir)
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "ttyUSB") }) {
		return false
	}
	driver := property(sys, dir+"/uevent", "DRIVER")
	return driver == "" || slices.Contains([]string{"option", "option1", "qcserial", "sierra", "usb_wwan", "usbserial", "usbserial_generic"}, driver)
}

// word is the one word of a file.
func word(sys fs.FS, name string) string { return strings.TrimSpace(string(readFile(sys, name))) }

// property is a value of a uevent file.
func property(sys fs.FS, file, key string) string {
	for line := range strings.Lines(string(readFile(sys, file))) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
