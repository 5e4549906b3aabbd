package network

import (
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// A link is what its driver and its descriptors say, not what it is called. The modems are those of public reports:
// HiLink sticks (Huawei E3372, E3531), EC200 and Air724 in ECM and RNDIS mode, SIM7600, L610, a stick in NCM mode, one
// in MBIM mode; the others are adapters of Realtek and ASIX in their class modes, a gadget, a till's cradle.
func TestModemsThatLookLikeNetworkCards(t *testing.T) {
	const dir = "bus/usb/devices/"
	for name, c := range map[string]struct {
		iface, driver string
		tree          []string
		want          Kind
	}{
		"HiLink":                                          {"eth1", "cdc_ether", []string{"1-1/idVendor 12d1", "1-1/idProduct 14dc", "1-1:1.0/net/eth1/address x", "1-1:1.2/ttyUSB0/uevent x"}, Cellular},
		"HiLink without ports":                            {"eth1", "cdc_ether", []string{"1-1/idVendor 12d1", "1-1/idProduct 14db", "1-1:1.0/net/eth1/address x"}, Cellular},
		"E5785, under its maker's other number":           {"eth1", "cdc_ether", []string{"1-1/idVendor 3426", "1-1/idProduct 14db", "1-1:1.0/net/eth1/address x"}, Cellular},
		"IK41 in RNDIS mode":                              {"usb0", "rndis_host", []string{"1-1/idVendor 1bbb", "1-1/idProduct 0195", "1-1:1.0/net/usb0/address x"}, Cellular},
		"EC200 in ECM mode":                               {"usb0", "cdc_ether", []string{"1-1.4/idVendor 2c7c", "1-1.4/idProduct 6005", "1-1.4:1.0/net/usb0/address x"}, Cellular},
		"Air724 in RNDIS mode":                            {"usb0", "rndis_host", []string{"1-1/idVendor 1782", "1-1/idProduct 4e00", "1-1:1.0/net/usb0/address x"}, Cellular},
		"SIM7600 in RNDIS mode":                           {"usb0", "rndis_host", []string{"2-1/idVendor 1e0e", "2-1/idProduct 9011", "2-1:1.0/net/usb0/address x"}, Cellular},
		"a chip maker's number, RNDIS as a gadget has it": {"usb0", "rndis_host", []string{"1-1/idVendor 05c6", "1-1/idProduct f601", "1-1:1.0/net/usb0/address x", "1-1:1.0/bInterfaceClass ef", "1-1:1.0/bInterfaceSubClass 04", "1-1:1.0/bInterfaceProtocol 01", "1-1:1.2/bInterfaceClass ff"}, Cellular},
		"a module of ASR's, no driver for its ports":      {"usb0", "cdc_ether", []string{"1-1/idVendor 2ecc", "1-1/idProduct 3012", "1-1:1.0/net/usb0/address x", "1-1:1.0/bInterfaceClass 02", "1-1:1.2/bInterfaceClass ff"}, Cellular},
		"NCM of a maker's driver":                         {"eth2", "huawei_cdc_ncm", nil, Cellular},
		"MBIM that is called eth1":                        {"eth1", "cdc_mbim", nil, Cellular},
		"MBIM beside, unknown make":                       {"eth1", "cdc_ncm", []string{"1-1/idVendor ffff", "1-1:1.0/net/eth1/address x", "1-1:1.2/bInterfaceClass 02", "1-1:1.2/bInterfaceSubClass 0e", "1-1:1.2/bInterfaceProtocol 00"}, Cellular},
		"unknown make, AT ports":                          {"eth1", "cdc_ether", []string{"1-1/idVendor ffff", "1-1:1.0/net/eth1/address x", "1-1:1.3/ttyUSB1/uevent x", "1-1:1.3/uevent DRIVER=option"}, Cellular},
		"a telephone that shares":                         {"usb0", "rndis_host", []string{"1-1/idVendor 18d1", "1-1:1.0/net/usb0/address x", "1-1:1.0/bInterfaceClass e0", "1-1:1.0/bInterfaceSubClass 01", "1-1:1.0/bInterfaceProtocol 03"}, Cellular},
		"an adapter":                                      {"eth1", "r8152", []string{"1-1/idVendor 0bda", "1-1:1.0/net/eth1/address x"}, Ethernet},
		"an adapter in class mode":                        {"eth1", "cdc_ether", []string{"1-1/idVendor 0bda", "1-1/idProduct 8153", "1-1:2.0/net/eth1/address x", "1-1:2.0/bInterfaceClass 02", "1-1:2.0/bInterfaceSubClass 06", "1-1:2.0/bInterfaceProtocol 00"}, Ethernet},
		"an adapter in NCM mode":                          {"eth1", "cdc_ncm", []string{"1-1/idVendor 0b95", "1-1:2.0/net/eth1/address x"}, Ethernet},
		"a gadget":                                        {"usb0", "rndis_host", []string{"1-1/idVendor 0525", "1-1/idProduct a4a2", "1-1:1.0/net/usb0/address x", "1-1:1.0/bInterfaceClass ef", "1-1:1.0/bInterfaceSubClass 04", "1-1:1.0/bInterfaceProtocol 01"}, Ethernet},
		"a till's cradle":                                 {"eth1", "cdc_ether", []string{"1-1/idVendor 0b00", "1-1:1.0/net/eth1/address x", "1-1:1.2/tty/ttyACM0/uevent x", "1-1:1.2/uevent DRIVER=cdc_acm"}, Ethernet},
		"another device's ports":                          {"eth1", "cdc_ether", []string{"1-1/idVendor 0bda", "1-1:1.0/net/eth1/address x", "1-2/idVendor 2c7c", "1-2:1.2/ttyUSB0/uevent x"}, Ethernet},
		"an adapter on the board":                         {"eth0", "fec", []string{"1-1/idVendor 12d1", "1-1:1.0/net/eth1/address x"}, Ethernet},
		"nothing is known of it":                          {"eth0", "", nil, Ethernet},
	} {
		sys := fstest.MapFS{"class/net/" + c.iface + "/uevent": {Data: []byte("INTERFACE=" + c.iface + "\n")}}
		if c.driver != "" {
			sys["class/net/"+c.iface+"/device/uevent"] = &fstest.MapFile{Data: []byte("DRIVER=" + c.driver + "\n")}
		}
		for _, line := range c.tree {
			file, text, _ := strings.Cut(line, " ")
			sys[dir+file] = &fstest.MapFile{Data: []byte(text + "\n")}
		}
		for _, virtual := range []string{"", "veth"} {
			if got := KindOf(Link{Name: c.iface, Type: unix.ARPHRD_ETHER, Virtual: virtual}, sys); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	}
}

// FuzzUSBModem: whatever sysfs says, a link has a kind, and a driver of modems alone makes it a modem.
func FuzzUSBModem(f *testing.F) {
	f.Add("DRIVER=cdc_ether\n", "12d1", "02", "DRIVER=option")
	f.Add("DRIVER=qmi_wwan", "", "", "")
	f.Add("\x00", "\xff\xff", "e0", "x")
	f.Fuzz(func(t *testing.T, uevent, vendor, class, port string) {
		sys := fstest.MapFS{
			"class/net/eth1/device/uevent": {Data: []byte(uevent)}, "bus/usb/devices/1-1/idVendor": {Data: []byte(vendor)},
			"bus/usb/devices/1-1:1.0/net/eth1/address": {}, "bus/usb/devices/1-1:1.1/bInterfaceClass": {Data: []byte(class)},
			"bus/usb/devices/1-1:1.1/uevent": {Data: []byte(port)}, "bus/usb/devices/1-1:1.1/ttyUSB0/dev": {},
		}
		k := KindOf(Link{Name: "eth1", Type: unix.ARPHRD_ETHER}, sys)
		if k != Ethernet && k != Cellular || k != Cellular && strings.HasPrefix(uevent, "DRIVER=qmi_wwan\n") {
			t.Errorf("%q is %s", uevent, k)
		}
	})
}
