package modem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// usbTree is a sysfs with modems: each interface as "number class tty…", a net interface as "net:wwan0".
func usbTree(devices map[string][]string) fstest.MapFS {
	tree := fstest.MapFS{}
	put := func(name, text string) { tree["bus/usb/devices/"+name] = &fstest.MapFile{Data: []byte(text + "\n")} }
	for key, interfaces := range devices {
		w := strings.Fields(key) // bus address, VID:PID, serial
		vid, pid, _ := strings.Cut(w[1], ":")
		put(w[0]+"/idVendor", vid)
		put(w[0]+"/idProduct", pid)
		put(w[0]+"/product", "Modem "+pid)
		if len(w) > 2 {
			put(w[0]+"/serial", w[2])
		}
		for _, i := range interfaces {
			f := strings.Fields(i)
			dir := w[0] + ":1." + f[0]
			put(dir+"/bInterfaceNumber", f[0])
			put(dir+"/bInterfaceClass", f[1][0:2])
			put(dir+"/bInterfaceSubClass", f[1][2:4])
			put(dir+"/bInterfaceProtocol", f[1][4:6])
			for _, n := range f[2:] {
				switch net, ok := strings.CutPrefix(n, "net:"); {
				case ok:
					put(dir+"/net/"+net+"/ifindex", "7")
				case strings.HasPrefix(n, "ttyACM"):
					put(dir+"/tty/"+n+"/dev", "166:0")
				default:
					put(dir+"/"+n+"/tty/"+n+"/dev", "188:0")
				}
			}
		}
	}
	return tree
}

var board = usbTree(map[string][]string{
	"1-1 2c7c:0125":        {"00 ffffff ttyUSB0", "01 ff0000 ttyUSB1", "02 ff0000 ttyUSB2", "03 ff0000 ttyUSB3", "04 ffffff net:wwan0"},
	"1-2 1e0e:9001 AB":     {"00 ffffff ttyUSB4", "02 ff0000 ttyUSB6", "03 ff0000 ttyUSB7"},
	"1-3 1e0e:9001 CD":     {"00 ffffff ttyUSB9", "02 ff0000 ttyUSB10", "03 ff0000 ttyUSB11"},
	"2-1.4 12d1:15c1":      {"00 ff0201 ttyUSB12", "02 ff0202 ttyUSB13", "03 ff0214 ttyUSB14"},
	"2-1.5 1546:1146":      {"00 020201 ttyACM0", "02 020201 ttyACM1"},
	"usb1 1d6b:0002":       {"00 090000"},
	"3-1 0403:6001 FT1234": {"00 ffffff ttyUSB20"},
})

func TestChoose(t *testing.T) {
	list := Find(board)
	for port, want := range map[string]string{
		"usb:2c7c:0125":              "/dev/ttyUSB3 /dev/ttyUSB2", // never the diagnostics of 00
		"usb:2C7C:0125,interface=02": "/dev/ttyUSB2 /dev/ttyUSB3", // as configured, then the other
		"/dev/ttyUSB2":               "/dev/ttyUSB2 /dev/ttyUSB3", // the same by its node
		"/dev/ttyUSB1":               "/dev/ttyUSB1 /dev/ttyUSB3 /dev/ttyUSB2",
		"usb:1e0e:9001":              "usb:1e0e:9001", // two of a kind: the serial library names both
		"usb:1e0e:9001,serial=CD":    "/dev/ttyUSB11 /dev/ttyUSB10",
		"usb:12d1:15c1":              "/dev/ttyUSB13", // the other speaks PPP
		"usb:1546:1146":              "usb:1546:1146", // nobody told us which speaks AT
		"/dev/ttyACM1":               "/dev/ttyACM1",
		"/dev/ttyUSB20":              "/dev/ttyUSB20", // a modem on a USB adapter
		"/dev/ttyS1":                 "/dev/ttyS1",
		"/run/tty":                   "/run/tty",
		"usb:2c7c:0306":              "usb:2c7c:0306", // not plugged in
	} {
		if got := strings.Join(Choose(list, port), " "); got != want {
			t.Errorf("%s: %s, want %s", port, got, want)
		}
	}
	u, ok := Of(list, "ttyUSB0")
	if want := (USB{Vendor: "2c7c", Product: "0125", Name: "Modem 0125", Nets: []string{"wwan0"}, Ports: []USBPort{
		{"ttyUSB0", "00", atNone}, {"ttyUSB1", "01", atNone}, {"ttyUSB2", "02", atPrimary}, {"ttyUSB3", "03", atSecondary}}}); !ok || !cmp.Equal(u, want) {
		t.Error(cmp.Diff(want, u))
	}
	if _, ok := Of(list, "ttyS0"); ok {
		t.Error("ttyS0 is on USB")
	}
}

// A sysfs that is torn: files are missing, empty, huge, unreadable, or vanish.
func TestTornSysfs(t *testing.T) {
	torn := fstest.MapFS{}
	for name, f := range board {
		torn[name] = f
	}
	torn["bus/usb/devices/1-1/idVendor"] = &fstest.MapFile{}
	torn["bus/usb/devices/1-2/serial"] = &fstest.MapFile{Data: []byte(strings.Repeat("x", 1<<20))}
	delete(torn, "bus/usb/devices/1-3:1.03/bInterfaceNumber")
	list := Find(vanishing{torn})
	if got := strings.Join(Choose(list, "/dev/ttyUSB2"), " "); got != "/dev/ttyUSB2" {
		t.Errorf("a modem without an id: %s", got)
	}
	if got := strings.Join(Choose(list, "usb:1e0e:9001,serial=CD"), " "); got != "/dev/ttyUSB10" {
		t.Errorf("an interface without a number: %s", got)
	}
	for _, u := range list {
		if len(u.Serial) > wordMax {
			t.Errorf("a serial of %d bytes", len(u.Serial))
		}
	}
	if list := Find(fstest.MapFS{}); list != nil {
		t.Errorf("no USB: %v", list)
	}
}

// vanishing loses a file between the listing of its folder and its opening.
type vanishing struct{ fs.FS }

func (v vanishing) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, "1-2:1.02/bInterfaceNumber") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("input/output error")}
	}
	return v.FS.Open(name)
}

// The table against ModemManager's own rules, where they are installed.
func TestPortsAsModemManagerHasThem(t *testing.T) {
	files, _ := filepath.Glob("/lib/udev/rules.d/77-mm-*-port-types.rules")
	if len(files) == 0 {
		t.Skip("no udev rules of ModemManager (Debian package modemmanager)")
	}
	rule := regexp.MustCompile(`ATTRS\{idVendor\}=="(\w+)", ATTRS\{idProduct\}=="(\w+)", ENV\{\.MM_USBIFNUM\}=="(\w+)".*ENV\{ID_MM_PORT_(TYPE_AT_PRIMARY|TYPE_AT_SECONDARY|TYPE_QCDM|TYPE_GPS|IGNORE)\}`)
	ours := map[string]bool{}
	for _, k := range atPorts {
		ours[k.device] = true
	}
	seen, checked := map[string]bool{}, 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rule.FindAllStringSubmatch(string(b), -1) {
			device := m[1] + ":" + m[2]
			if !ours[device] {
				continue
			}
			want := map[string]int{"TYPE_AT_PRIMARY": atPrimary, "TYPE_AT_SECONDARY": atSecondary}[m[4]]
			if device == "2cb7:01a2" && m[3] == "03" {
				continue // newer rules take this one back: it is for positions
			}
			if got := atPlace(device, "", m[3]); got != want {
				t.Errorf("%s: interface %s of %s is %d, ModemManager has %d", filepath.Base(f), m[3], device, got, want)
			}
			seen[device] = true
			checked++
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d devices of %d, %d rules compared", len(seen), len(ours), checked)
	}
	t.Logf("%d of %d devices, %d rules", len(seen), len(ours), checked)
}
