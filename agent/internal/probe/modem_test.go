package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"posdx/agent/report"
	"posdx/drivers/modem"
	"posdx/drivers/serial"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
)

// usbModem is a sysfs with one Quectel modem, which has the given ttys as its interfaces 02, 03, …
func usbModem(ttys ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	put := func(name, text string) { tree["bus/usb/devices/"+name] = &fstest.MapFile{Data: []byte(text + "\n")} }
	put("1-1/idVendor", "2c7c")
	put("1-1/idProduct", "0125")
	put("1-1/product", "EC25-E")
	put("1-1:1.4/bInterfaceNumber", "04")
	put("1-1:1.4/net/wwan7/ifindex", "9")
	for i, tty := range ttys {
		dir := fmt.Sprintf("1-1:1.%d", 2+i)
		put(dir+"/bInterfaceNumber", fmt.Sprintf("%02d", 2+i))
		put(dir+"/tty/"+tty+"/dev", "188:0")
	}
	return tree
}

// ttyOf gives a simulated modem a name in /dev, where the ports of real ones are.
func ttyOf(t *testing.T, peer sim.Peer) string {
	t.Helper()
	l := plugged(t, peer)
	pts, err := filepath.EvalSymlinks(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("ttyPOSDX%d-%s", os.Getpid(), filepath.Base(pts))
	if err := os.Symlink(pts, "/dev/"+name); err != nil {
		t.Skipf("needs root, for a name in /dev: %v", err)
	}
	t.Cleanup(func() { os.Remove("/dev/" + name) })
	return name
}

func TestModemPortChoice(t *testing.T) {
	primary, secondary := sim.NewModem(sim.Quectel(), sim.GoodModem(), 1), sim.NewModem(sim.Quectel(), sim.GoodModem(), 1)
	a, b := ttyOf(t, primary), ttyOf(t, secondary)
	sys := usbModem(a, b)
	ask := func(port string) map[string]report.Evidence {
		return ran(t, Modem(ModemConfig{Port: port, Dedicated: true, APN: "cmiot", Sys: sys, Bus: filepath.Join(t.TempDir(), "none")}))
	}
	words := func() [2]int { return [2]int{len(primary.Heard()), len(secondary.Heard())} }
	was := words()
	step := func(name, port string, want string, speaksPrimary, speaksSecondary bool) (got map[string]report.Evidence) {
		t.Helper()
		for try := range 5 { // a busy machine may be too slow for a modem's deadlines: then the other port is asked, rightly
			got = ask(port)
			now := words()
			p, s, port := now[0] > was[0], now[1] > was[1], show(got["modem.port"], "outcome", "model", "reason")
			was = now
			if port == want && p == speaksPrimary && s == speaksSecondary {
				return got
			}
			t.Logf("%s, try %d: %s; the primary was asked: %v, the secondary: %v", name, try, port, p, s)
		}
		t.Errorf("%s: never %s, the primary asked: %v, the secondary: %v", name, want, speaksPrimary, speaksSecondary)
		return got
	}
	step("by its ids", "usb:2c7c:0125", "ok ok EC25 -", false, true)
	step("by its node", "/dev/"+a, "ok ok EC25 -", true, false)
	secondary.Change(func(s *sim.ModemState) { s.Silent = true })
	step("the secondary is mute", "usb:2c7c:0125", "ok ok EC25 -", true, false)
	secondary.Change(func(s *sim.ModemState) { s.Silent, s.Muxed = false, true })
	step("the secondary is multiplexed", "usb:2c7c:0125", "ok ok EC25 -", true, true) // it shows with the first word
	secondary.Change(func(s *sim.ModemState) { s.Muxed = false })
	housetest.Hold(t, "/dev/"+a)
	step("the application has the primary", "/dev/"+a, "ok ok EC25 -", false, true)
	housetest.Hold(t, "/dev/"+b)
	got := step("it has both", "/dev/"+a, "cannot-tell - EC25-E in-use", false, false)
	for _, check := range []string{"modem.sim", "modem.registration", "modem.signal", "modem.bearer"} {
		if s := show(got[check], "reason"); s != "cannot-tell in-use" {
			t.Errorf("%s: %s", check, s)
		}
	}
}

// What can be seen of a modem that is in use, without a word to it.
func TestModemHeld(t *testing.T) {
	host, wwan, ppp := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.64.12.7"), netip.MustParseAddr("10.99.0.2")
	busy := func(by string) error {
		return &serial.BusyError{Path: "/dev/ttyUSB2", Owner: serial.Owner{PID: 7, Command: by}}
	}
	for _, c := range []struct {
		name      string
		addresses map[string]netip.Addr
		ppps      []string
		err       error
		dial      bool
		bearer    string
	}{
		{"its own interface has an address", map[string]netip.Addr{"wwan7": wwan, "eth0": host}, nil, busy("payapp"), false, "ok true 10.64.12.7 -"},
		{"it has none", map[string]netip.Addr{"eth0": host}, nil, busy("payapp"), false, "cannot-tell - - in-use"},
		{"pppd", map[string]netip.Addr{"ppp0": ppp}, []string{"ppp0"}, busy("pppd"), false, "ok true 10.99.0.2 -"},
		{"pppd is dialling", nil, []string{"ppp0"}, busy("pppd"), false, "cannot-tell - - in-use"},
		{"two pppds", map[string]netip.Addr{"ppp0": ppp, "ppp1": ppp}, []string{"ppp0", "ppp1"}, busy("pppd"), false, "cannot-tell - - in-use"},
		{"somebody's ppp", map[string]netip.Addr{"ppp0": ppp}, []string{"ppp0"}, busy("payapp"), false, "cannot-tell - - in-use"},
		{"frames on the port", map[string]netip.Addr{"wwan7": wwan}, nil, modem.ErrFrames, false, "ok true 10.64.12.7 -"},
		{"a dial-up modem", map[string]netip.Addr{"ppp0": ppp}, []string{"ppp0"}, busy("pppd"), true, "not-run - - absent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sys := usbModem("ttyUSB2")
			for _, p := range c.ppps {
				sys["class/net/"+p+"/ifindex"] = &fstest.MapFile{Data: []byte("3\n")}
			}
			s := &modemState{config: ModemConfig{Name: "modem0", Sys: sys, DialUp: c.dial}, addresses: func(iface string) []netip.Addr {
				if a, ok := c.addresses[iface]; ok {
					return []netip.Addr{a}
				}
				return nil
			}}
			list := s.held(modem.Find(sys), "/dev/ttyUSB2", c.err)
			got := map[string]report.Evidence{}
			for _, e := range list {
				got[e.Check] = e
			}
			if s := show(got["modem.port"], "model", "reason"); s != "cannot-tell EC25-E in-use" {
				t.Errorf("port: %s", s)
			}
			if s := show(got["modem.bearer"], "context_active", "address", "reason"); s != c.bearer {
				t.Errorf("bearer: %s, want %s", s, c.bearer)
			}
		})
	}
	if a := addressesOf("lo"); len(a) != 0 {
		t.Errorf("nobody reaches %v", a)
	}
	if a := addressesOf("none0"); a != nil {
		t.Errorf("%v", a)
	}
}

// Asking a modem costs nobody's data, and no more than its own port.
func TestModemCostsNothing(t *testing.T) {
	for _, p := range Modem(ModemConfig{Port: "/dev/ttyUSB2"}) {
		if p.Bytes != 0 || p.Depth != report.Internal || p.Device != "/dev/ttyUSB2" || p.Idle {
			t.Errorf("%+v", p)
		}
	}
}

func TestDialUpLine(t *testing.T) {
	s := sim.NewModem(sim.DialUp(), sim.ModemState{Echo: 1, Volts: 48, UD: 7}, 1)
	l := plugged(t, s)
	probes := Modem(ModemConfig{Port: l.Path(), Dedicated: true, DialUp: true})
	for _, c := range []struct {
		name   string
		change func(*sim.ModemState)
		want   string
	}{
		{"healthy", func(*sim.ModemState) {}, "ok ok 48 good -"},
		{"no dial tone", func(s *sim.ModemState) { s.UD = 1 }, "bad no-dialtone 48 bad -"},
		{"busy", func(s *sim.ModemState) { s.UD = 3 }, "bad busy 48 bad -"},
		{"the network is busy", func(s *sim.ModemState) { s.UD = 2 }, "bad busy 48 bad -"},
		{"nobody there", func(s *sim.ModemState) { s.UD = 4 }, "bad no-carrier 48 bad -"},
		{"the cable is out", func(s *sim.ModemState) { s.UD, s.Volts = 7, 0 }, "bad no-dialtone 0 bad -"},
		{"a thin line", func(s *sim.ModemState) { s.UD, s.Volts = 7, 12 }, "ok ok 12 poor -"},
		{"no call yet", func(s *sim.ModemState) { s.UD, s.Volts = 0, 48 }, "ok ok 48 good -"},
		{"silent", func(s *sim.ModemState) { s.Silent = true }, "cannot-tell - - - masked"},
	} {
		s.Change(c.change)
		got := ""
		for try := 0; try < 5 && got != c.want; try++ { // a busy machine may be too slow for a modem's deadlines
			got = show(ran(t, probes)["modem.line"], "outcome", "volts", "level", "reason")
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// One sample of ModemManager, read twice, is one sample.
func TestManagerSampleCountsOnce(t *testing.T) {
	s := &modemState{}
	weak := []modem.Signal{{RSSI: -110, RSRP: modem.NoValue, RSRQ: modem.NoValue, SINR: modem.NoValue, BER: modem.NoValue}}
	for range 5 {
		s.note(weak, managerRenews)
	}
	if e := s.signalEvidence(modem.Report{Signals: weak, Tech: "2g"}); show(e, "reason") != "cannot-tell too-few" {
		t.Errorf("%+v", e)
	}
	for i := range s.samples {
		s.samples[i].at = s.samples[i].at.Add(-2 * managerRenews)
	}
	s.note(weak, managerRenews)
	if len(s.samples) != 2 {
		t.Errorf("%d samples", len(s.samples))
	}
}

// The application has the modem's port, and ModemManager has the modem: it is asked.
func TestModemOverManager(t *testing.T) {
	for _, program := range []string{"dbus-daemon", "gdbus", "ModemManager", "mmcli"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s (Debian packages dbus, libglib2.0-bin, modemmanager)", program)
		}
	}
	plugin, _ := filepath.Glob("/usr/lib/*/ModemManager/libmm-plugin-generic.so")
	if len(plugin) == 0 {
		t.Skip("no generic plug-in of ModemManager")
	}
	m := sim.NewModem(sim.Plain(), sim.GoodModem(), 1)
	held := sim.NewModem(sim.Plain(), sim.GoodModem(), 1)
	tty := ttyOf(t, held)
	housetest.Hold(t, "/dev/"+tty)
	virtual := fmt.Sprintf("abstract:posdx-probe%d", os.Getpid())
	serveAt(t, "@"+virtual, m)
	socket := filepath.Join(t.TempDir(), "bus")
	start := func(program string, args ...string) { startProgram(t, socket, program, args...) }
	start("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+socket)
	try(t, socket, "gdbus", "call", "--session", "-d", "org.freedesktop.DBus", "-o", "/", "-m", "org.freedesktop.DBus.ListNames")
	start("ModemManager", "--test-session", "--test-enable", "--no-auto-scan", "--log-level=ERR", "--test-plugin-dir="+filepath.Dir(plugin[0]))
	try(t, socket, "gdbus", "call", "--session", "-d", "org.freedesktop.ModemManager1", "-o", "/org/freedesktop/ModemManager1", "-m",
		"org.freedesktop.ModemManager1.Test.SetProfile", "lab", "generic", "['"+virtual+"']")
	try(t, socket, "mmcli", "--test-session", "-m", "any")
	try(t, socket, "mmcli", "--test-session", "-m", "any", "-e")

	probes := Modem(ModemConfig{Port: "/dev/" + tty, APN: "cmiot", Sys: usbModem(tty, virtual), Bus: socket})
	var got map[string]report.Evidence
	housetest.Within(housetest.Patience, func() bool { // ModemManager learns of the registration by and by
		got = ran(t, probes)
		return show(got["modem.registration"], "state") == "ok home"
	})
	for what, want := range map[string]string{
		show(got["modem.port"], "outcome", "model", "via"):                      "ok ok simulated 27.007 modem ModemManager",
		show(got["modem.sim"], "state", "via"):                                  "ok ready ModemManager",
		show(got["modem.registration"], "state", "tech", "via"):                 "ok home 4g ModemManager",
		show(got["modem.signal"], "rssi_dbm", "reason"):                         "cannot-tell -65 too-few", // one sample decides nothing
		show(got["modem.bearer"], "attached", "context_active", "cause", "via"): "bad true false - ModemManager",
		show(got["modem.line"], "reason"):                                       "not-run absent",
	} {
		if what != want {
			t.Errorf("got  %s\nwant %s", what, want)
		}
	}
	if n := len(held.Heard()); n > 0 {
		t.Errorf("the held port heard %d words", n)
	}
}

// serveAt serves a modem on a socket until the test ends.
func serveAt(t *testing.T, address string, m *sim.Modem) {
	t.Helper()
	housetest.ServeAt(t, "unix", address, func(ctx context.Context, c net.Conn) { m.Serve(ctx, c) })
}

func onBus(socket, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS=unix:path="+socket)
	return cmd
}

func startProgram(t *testing.T, socket, program string, args ...string) {
	t.Helper()
	cmd := onBus(socket, program, args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, log.String())
		}
	})
}

// try runs a command until it succeeds.
func try(t *testing.T, socket, program string, args ...string) {
	t.Helper()
	var out []byte
	if !housetest.Within(2*time.Minute, func() (ok bool) {
		var err error
		out, err = onBus(socket, "timeout", append([]string{"60", program}, args...)...).CombinedOutput()
		return err == nil
	}) {
		t.Fatalf("never: %s %v: %s", program, args, out)
	}
}

// A sale that begins in the middle of a visit is not kept waiting.
func TestModemGivesWayToASale(t *testing.T) {
	for _, state := range []func(*sim.ModemState){func(s *sim.ModemState) { s.Silent = true },
		func(s *sim.ModemState) { s.Late = 200 * time.Millisecond }, func(s *sim.ModemState) { s.SIM = "10" }} {
		m := sim.NewModem(sim.Plain(), sim.GoodModem(), 1)
		m.Change(state)
		ctx, cancel := context.WithCancel(t.Context())
		l := plugged(t, &saleAt{Modem: m, begins: cancel})
		p := Modem(ModemConfig{Port: l.Path(), Dedicated: true, Bus: filepath.Join(t.TempDir(), "none")})[0]
		p.Run(ctx)
		cancel()
		if _, err := os.Stat(l.Path()); err != nil {
			t.Fatal(err)
		}
		use, err := serial.Look(l.Path())
		if err != nil || use.Held {
			t.Errorf("the port is not free for the sale: %+v, %v", use, err)
		}
	}
}

// saleAt begins a sale with the first bytes that the modem hears.
type saleAt struct {
	*sim.Modem
	begins func()
}

func (s *saleAt) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return s.Modem.Serve(ctx, &saleReader{rw, s.begins})
}

type saleReader struct {
	io.ReadWriteCloser
	begins func()
}

func (r *saleReader) Read(b []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(b)
	if n > 0 {
		r.begins()
	}
	return n, err
}

// Visits that end well, early, in the middle or before they begin leave no descriptor and no goroutine.
func TestModemLeavesNothingBehind(t *testing.T) {
	cycles := 40
	if os.Getenv("POSDX_LONG") != "" {
		cycles = 10_000
	}
	m := sim.NewModem(sim.Quectel(), sim.GoodModem(), 1)
	l := plugged(t, m)
	probes := Modem(ModemConfig{Port: l.Path(), Dedicated: true, APN: "cmiot", Sys: usbModem("ttyUSB2"),
		Bus: filepath.Join(t.TempDir(), "none")})
	visit := func(i int) {
		switch i % 8 {
		case 1:
			m.Change(func(s *sim.ModemState) { *s = sim.GoodModem(); s.Muxed = true })
		case 2:
			m.Change(func(s *sim.ModemState) { *s = sim.GoodModem(); s.SIM = "10" })
		case 3:
			m.Change(func(s *sim.ModemState) { *s = sim.GoodModem(); s.Flood, s.Echo = true, 2 })
		case 4:
			l.Unplug()
		case 5:
			if err := l.Plug(); err != nil {
				t.Fatal(err)
			}
			m.Change(func(s *sim.ModemState) { *s = sim.GoodModem(); s.V0 = true })
		default:
			m.Change(func(s *sim.ModemState) { *s = sim.GoodModem() })
		}
		ctx, cancel := context.WithTimeout(t.Context(), probes[0].Timeout)
		if i%8 == 6 { // a sale begins
			time.AfterFunc(time.Duration(i%40)*time.Millisecond, cancel)
		}
		probes[0].Run(ctx)
		cancel()
	}
	for i := range 16 {
		visit(i)
	}
	fds, gos := housetest.Descriptors(t), runtime.NumGoroutine()
	for i := range cycles {
		visit(i)
	}
	// A port's close may take a moment.
	if !housetest.Within(housetest.Patience, func() bool { return housetest.Descriptors(t) <= fds }) {
		t.Fatalf("%d cycles: %d descriptors before, %d after", cycles, fds, housetest.Descriptors(t))
	}
	if !housetest.Within(housetest.Patience, func() bool { return runtime.NumGoroutine() <= gos+2 }) {
		t.Fatalf("%d cycles: %d goroutines before, %d after", cycles, gos, runtime.NumGoroutine())
	}
}

// A radio that was switched off is a finding of its own; no SIM, network, antenna or context is judged beside it.
func TestModemOffTheAir(t *testing.T) {
	for _, radio := range []modem.Radio{modem.RadioOff, modem.Deregistered} {
		for _, c := range []struct {
			r    modem.Report
			want map[string]string
		}{
			{modem.Report{Model: "SIM7600", SIM: modem.SIMReady, Registration: modem.RegIdle, Radio: radio,
				Bearer: modem.Bearer{AttachedKnown: true, ActiveKnown: true}},
				map[string]string{"modem.registration": "bad " + string(radio) + " - -", "modem.sim": "ok - ready -", "modem.signal": "cannot-tell - - masked", "modem.bearer": "cannot-tell - - masked"}},
			{modem.Report{Model: "SIM7600", SIM: modem.SIMFailure, Radio: radio,
				Signals: []modem.Signal{{RSSI: -113, RSRP: modem.NoValue, RSRQ: modem.NoValue, SINR: modem.NoValue,
					BER: modem.NoValue}}},
				map[string]string{"modem.registration": "bad " + string(radio) + " - -", "modem.sim": "cannot-tell - - masked", "modem.signal": "cannot-tell - - masked", "modem.bearer": "cannot-tell - - masked"}},
		} {
			s := &modemState{config: ModemConfig{Name: "modem0", APN: "pos.example"}}
			for _, e := range s.evidence(c.r, nil) {
				if want, ok := c.want[e.Check]; ok && show(e, "radio", "state", "reason") != want {
					t.Errorf("%s: %s, want %s", e.Check, show(e, "radio", "state", "reason"), want)
				}
			}
		}
	}
	s := &modemState{config: ModemConfig{Name: "modem0"}}
	for _, e := range s.evidence(modem.Report{Model: "SIM7600", SIM: modem.SIMReady, Registration: modem.RegIdle,
		Radio: modem.RadioOn}, nil) {
		if e.Check == "modem.registration" && show(e, "radio", "state") != "bad - idle" {
			t.Errorf("a radio that is on: %s", show(e, "radio", "state"))
		}
	}
}
