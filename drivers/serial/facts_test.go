package serial

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// tree writes files under a temporary folder; a value "-> x" is a symbolic link to x.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// modemTree is how Linux 6.1 shows a Quectel EG25-G, an FTDI cable, a UART with a chip and one without.
func modemTree(t testing.TB) string {
	hub := "devices/pci0000:00/usb1/1-1/"
	return tree(t, map[string]string{
		hub + "idVendor": "2c7c\n", hub + "idProduct": "0125\n",
		hub + "1-1:1.2/bInterfaceNumber": "02\n", hub + "1-1:1.2/ttyUSB2/tty/ttyUSB2/dev": "188:2\n",
		hub + "1-1:1.3/bInterfaceNumber": "03\n", hub + "1-1:1.3/ttyUSB3/tty/ttyUSB3/dev": "188:3\n",
		"devices/pci0000:00/usb1/1-2/idVendor": "0403\n", "devices/pci0000:00/usb1/1-2/idProduct": "6001\n",
		"devices/pci0000:00/usb1/1-2/serial":                   "A50285BI\n",
		"devices/pci0000:00/usb1/1-2/1-2:1.0/bInterfaceNumber": "00\n",
		"devices/pci0000:00/usb1/1-2/1-2:1.0/ttyUSB5/dev":      "188:5\n",
		"devices/platform/serial8250/tty/ttyS0/type":           "4\n",
		"devices/platform/serial8250/tty/ttyS1/type":           "0\n",
		"devices/platform/serial8250/tty/ttyS0/device":         "-> ../../../serial8250",
		"devices/platform/serial8250/tty/ttyS1/device":         "-> ../../../serial8250",
		"devices/virtual/tty/tty1/dev":                         "4:1\n",
		"class/tty/ttyUSB2/device":                             "-> ../../../" + hub + "1-1:1.2/ttyUSB2",
		"class/tty/ttyUSB3/device":                             "-> ../../../" + hub + "1-1:1.3/ttyUSB3",
		"class/tty/ttyUSB5/device":                             "-> ../../../devices/pci0000:00/usb1/1-2/1-2:1.0/ttyUSB5",
		"class/tty/ttyS0":                                      "-> ../../devices/platform/serial8250/tty/ttyS0",
		"class/tty/ttyS1":                                      "-> ../../devices/platform/serial8250/tty/ttyS1",
		"class/tty/tty1":                                       "-> ../../devices/virtual/tty/tty1",
	})
}

func TestDevices(t *testing.T) {
	list, err := devices(modemTree(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list {
		got = append(got, strings.Join([]string{d.Path, d.Vendor, d.Product, d.Serial, d.Interface}, " "))
	}
	want := "/dev/ttyS0    |/dev/ttyUSB2 2c7c 0125  02|/dev/ttyUSB3 2c7c 0125  03|/dev/ttyUSB5 0403 6001 A50285BI 00"
	if g := strings.Join(got, "|"); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
}

func TestResolve(t *testing.T) {
	sys := modemTree(t)
	for _, c := range []struct{ name, want, fails string }{
		{"/dev/ttyPos0", "/dev/ttyPos0", ""},
		{"usb:2c7c:0125,interface=03", "/dev/ttyUSB3", ""},
		{"usb:2C7C:0125,interface=02", "/dev/ttyUSB2", ""},
		{"usb:0403:6001,serial=A50285BI", "/dev/ttyUSB5", ""},
		{"usb:0403:6001,serial=OTHER", "", "gone"},
		{"usb:2c7c:0125", "", "/dev/ttyUSB2 /dev/ttyUSB3 all match"},
		{"usb:2c7c", "", "want usb:VID:PID"},
		{"usb:2c7c:0125,port=2", "", `no key "port"`},
	} {
		got, err := resolve(sys, c.name)
		if got != c.want || (c.fails == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if c.fails == "gone" && !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v is not ErrGone", c.name, err)
		}
	}
}

func TestPortCounters(t *testing.T) {
	proc := tree(t, map[string]string{
		"tty/drivers": "/dev/tty             /dev/tty        5       0 system:/dev/tty\n" +
			"usbserial            /dev/ttyUSB   188 0-511 serial\n" +
			"serial               /dev/ttyS       4 64-95 serial\n" +
			"IMX-uart             /dev/ttymxc   207 16-23 serial\n",
		"tty/driver/serial": "serinfo:1.0 driver revision:\n" +
			"0: uart:16550A port:000003F8 irq:4 tx:120 rx:4411 fe:7 pe:2 brk:1 oe:3 RTS|CTS|DTR|DSR|CD\n" +
			"1: uart:unknown port:000002F8 irq:3\n",
		"tty/driver/IMX-uart": "serinfo:1.0 driver revision:\n2: uart:IMX mmio:0x021E8000 irq:58 tx:0 rx:9 RTS|DTR|CD\n",
	})
	c, err := portCounters(proc, "/dev/ttyS0")
	if want := (Counters{RX: 4411, TX: 120, Frame: 7, Parity: 2, Overrun: 3, Break: 1}); err != nil || c != want {
		t.Errorf("ttyS0: %+v, %v", c, err)
	}
	if c.Errors() != 12 {
		t.Errorf("errors: %d", c.Errors())
	}
	if c, err := portCounters(proc, "/dev/ttymxc2"); err != nil || c != (Counters{RX: 9}) {
		t.Errorf("ttymxc2: %+v, %v", c, err)
	}
	for _, name := range []string{"/dev/ttyS1", "/dev/ttyS7", "/dev/ttyUSB0", "/dev/ttyXYZ0"} {
		if _, err := portCounters(proc, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCountersSince(t *testing.T) {
	got := Counters{RX: 10, Frame: 3, Parity: 1}.Since(Counters{RX: 4, Frame: 3, Parity: 5})
	if want := (Counters{RX: 6, Parity: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func FuzzParseCounters(f *testing.F) {
	f.Add("0: uart:16550A port:000003F8 irq:4 tx:120 rx:4411 fe:7 pe:2 brk:1 oe:3 RTS|CTS|DTR|DSR|CD")
	f.Add("1: uart:unknown port:000002F8 irq:3")
	f.Add(":::")
	f.Fuzz(func(t *testing.T, s string) {
		if n, c, ok := parseCounters(s); ok && n < 0 || !ok && c.RX+c.TX != 0 {
			t.Errorf("%q: %d %+v %v", s, n, c, ok)
		}
	})
}

func TestOwnerByLockFile(t *testing.T) {
	_, path := plug(t)
	alive := strconv.Itoa(os.Getppid())
	for _, c := range []struct {
		name, text string
		held       bool
	}{
		{"ascii", "      " + alive + " minicom\n", true},
		{"stale", "   4194999\n", false},
		{"empty", "", false},
		{"rubbish", "hello", false},
		{"ours", strconv.Itoa(os.Getpid()), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			proc := tree(t, map[string]string{alive + "/comm": "app\n", alive + "/fd/.keep": "", strconv.Itoa(os.Getpid()) + "/comm": "test\n"})
			locks := tree(t, map[string]string{"LCK.." + filepath.Base(path): c.text})
			use, err := look(roots{proc: proc, locks: []string{locks}}, path)
			if err != nil || use.Held != c.held || (c.held && (use.Owner.By != "lock-file" || use.Owner.Command != "app")) {
				t.Errorf("%+v, %v", use, err)
			}
		})
	}
}

func TestLockPID(t *testing.T) {
	for in, want := range map[string]int{"      1234\n": 1234, "1234 pppd user": 1234, "\x39\x05\x00\x00": 1337, "": 0, "ab": 0, "-5": -5} {
		if got := lockPID([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func FuzzLockPID(f *testing.F) {
	f.Add([]byte("      1234\n"))
	f.Add([]byte{0x39, 5, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) { lockPID(b) })
}

func TestOwnerByFlock(t *testing.T) {
	_, path := plug(t)
	proc := tree(t, map[string]string{"77/comm": "mmgr\n"})
	use, err := look(roots{proc: proc}, path)
	if err != nil || use.Held {
		t.Fatalf("free: %+v, %v", use, err)
	}
	if err := os.WriteFile(filepath.Join(proc, "locks"), []byte("1: FLOCK  ADVISORY  WRITE 77 "+inode(t, path)+" 0 EOF\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	use, err = look(roots{proc: proc}, path)
	if err != nil || !use.Held || use.Owner != (Owner{PID: 77, Command: "mmgr", By: "flock"}) {
		t.Errorf("locked: %+v, %v", use, err)
	}
}
