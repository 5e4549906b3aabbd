package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/drivers/modem"
	"posdx/drivers/modemmanager"
	"posdx/firmware-build/housetest"
)

// The simulated modem against clients that we did not write, and our reader of ModemManager against the real one.

// gammu is a client of AT modems.
func gammu(t *testing.T, l *Line, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gammu"); err != nil {
		t.Skip("no gammu (Debian package gammu)")
	}
	config := filepath.Join(t.TempDir(), "rc")
	if err := os.WriteFile(config, []byte("[gammu]\ndevice = "+l.Path()+"\nconnection = at115200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("timeout", append([]string{"100", "gammu", "-c", config}, command...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gammu %v: %v\n%s", command, err, out)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

func TestGammuTakesItForAModem(t *testing.T) {
	for _, c := range []struct {
		name    string
		state   func(*ModemState)
		command string
		want    []string
	}{
		{"identity", func(*ModemState) {}, "identify", []string{"Manufacturer : Quectel", "Firmware : EC25EFAR06A06M4G", "IMEI : " + testIMEI, "SIM IMSI : " + testIMSI}},
		{"network", func(*ModemState) {}, "networkinfo", []string{"Network state : home network", "001 01", "GPRS : attached"}},
		{"denied", func(s *ModemState) { s.Stat, s.Attached = 3, false }, "networkinfo", []string{"Network state : registration to network denied", "GPRS : detached"}},
		{"pin", func(s *ModemState) { s.SIM = "SIM PIN" }, "getsecuritystatus", []string{"Waiting for PIN."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := NewModem(Quectel(), GoodModem(), 1)
			m.Change(c.state)
			out := gammu(t, plugged(t, m), c.command)
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("gammu %s: no %q in %s", c.command, want, out)
				}
			}
		})
	}
}

// A messageBus is a private D-Bus for the length of a test.
type messageBus struct {
	t      *testing.T
	socket string
}

func newBus(t *testing.T) *messageBus {
	t.Helper()
	for _, program := range []string{"dbus-daemon", "gdbus"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s (Debian packages dbus, libglib2.0-bin)", program)
		}
	}
	b := &messageBus{t: t, socket: filepath.Join(t.TempDir(), "bus")}
	services := filepath.Join(b.data(), "dbus-1", "services")
	if err := os.MkdirAll(services, 0o755); err != nil {
		t.Fatal(err)
	}
	starts := "[D-BUS Service]\nName=org.freedesktop.ModemManager1\nExec=/usr/bin/touch " + b.started() + "\n"
	if err := os.WriteFile(filepath.Join(services, "org.freedesktop.ModemManager1.service"), []byte(starts), 0o644); err != nil {
		t.Fatal(err)
	}
	b.start("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+b.socket)
	b.try("gdbus", "call", "--session", "-d", "org.freedesktop.DBus", "-o", "/", "-m", "org.freedesktop.DBus.ListNames")
	return b
}

// data is where the bus looks for services that it may start, and started the file that says it started ModemManager's.
func (b *messageBus) data() string    { return filepath.Join(filepath.Dir(b.socket), "data") }
func (b *messageBus) started() string { return filepath.Join(filepath.Dir(b.socket), "started") }

func (b *messageBus) command(program string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	b.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+b.data(), "DBUS_SESSION_BUS_ADDRESS=unix:path="+b.socket, "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+b.socket)
	return cmd
}

// start runs a program until the test ends.
func (b *messageBus) start(program string, args ...string) *exec.Cmd {
	b.t.Helper()
	cmd := b.command(program, args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = 10 * time.Second // for a child of its own that holds on to the log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if b.t.Failed() {
			b.t.Logf("%s said:\n%s", program, log.String())
		}
	})
	return cmd
}

// patience is how long a program may take to come up, on a machine with other things to do.
const patience = 2 * time.Minute

// try runs a command until it succeeds.
func (b *messageBus) try(program string, args ...string) string {
	b.t.Helper()
	var out []byte
	if !housetest.Within(patience, func() (ok bool) {
		var err error
		out, err = b.command(program, args...).CombinedOutput()
		return err == nil
	}) {
		b.t.Fatalf("never: %s %v: %s", program, args, out)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// abstractPort is a socket on which a modem is served, as ModemManager's virtual ports are.
func abstractPort(t *testing.T, m *Modem) string {
	t.Helper()
	port := fmt.Sprintf("abstract:posdx%d-%d", os.Getpid(), time.Now().UnixNano())
	serveAt(t, "@"+port, m)
	return port
}

// serveAt serves a modem on a Unix socket until the test ends.
func serveAt(t *testing.T, address string, m *Modem) {
	t.Helper()
	housetest.ServeAt(t, "unix", address, func(ctx context.Context, c net.Conn) { m.Serve(ctx, c) })
}

// modemManager lets ModemManager manage a modem over an abstract socket, on a bus of its own, and returns when it has
// found it.
func modemManager(t *testing.T, m *Modem, plugin string) (b *messageBus, port string) {
	t.Helper()
	for _, program := range []string{"ModemManager", "mmcli"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s (Debian package modemmanager)", program)
		}
	}
	plugins, err := filepath.Glob("/usr/lib/*/ModemManager/libmm-plugin-" + plugin + ".so")
	if err != nil || len(plugins) == 0 {
		t.Skipf("no plug-in %s of ModemManager", plugin)
	}
	b, port = newBus(t), abstractPort(t, m)
	b.start("ModemManager", "--test-session", "--test-enable", "--no-auto-scan", "--log-level=ERR", "--test-plugin-dir="+filepath.Dir(plugins[0]))
	manager := []string{"call", "--session", "-d", "org.freedesktop.ModemManager1", "-o", "/org/freedesktop/ModemManager1", "-m"}
	b.try("gdbus", append(manager, "org.freedesktop.ModemManager1.Test.SetProfile", "lab", plugin, "['"+port+"']")...)
	b.try("mmcli", "--test-session", "-m", "any")
	return b, port
}

func TestModemManagerTakesItForAModem(t *testing.T) {
	t.Parallel()
	b, _ := modemManager(t, NewModem(Plain(), GoodModem(), 1), "generic")
	b.try("mmcli", "--test-session", "-m", "any", "-e")
	b.try("mmcli", "--test-session", "-m", "any", "--signal-setup=1")
	b.try("sh", "-c", "mmcli --test-session -m any --signal-get | grep dB")
	out := b.try("mmcli", "--test-session", "-m", "any") + b.try("mmcli", "--test-session", "-m", "any", "--signal-get")
	for _, want := range []string{"manufacturer: posdx", "model: simulated 27.007 modem", "state: registered", "access tech: lte", "registration: home",
		"packet service state: attached", "rsrp: -85.00 dBm", "rsrq: -8.00 dB"} {
		if !strings.Contains(out, want) {
			t.Errorf("ModemManager: no %q in %s", want, out)
		}
	}
}

// The makers' simulators against ModemManager's plug-in for that maker. SIMCom's asks the technology by the maker's own
// question, which is the only place for it where +CREG is not believed.
func TestModemManagerTakesThemForTheirMakers(t *testing.T) {
	for _, c := range []struct {
		plugin string
		maker  ModemMake
		asked  string // a question that the generic plug-in does not ask
	}{
		{"simtech", SIMCom(), "AT+CNSMOD?"},
		{"quectel", Quectel(), "ATI"},
	} {
		t.Run(c.plugin, func(t *testing.T) {
			t.Parallel()
			m := NewModem(c.maker, GoodModem(), 1)
			b, _ := modemManager(t, m, c.plugin)
			b.try("mmcli", "--test-session", "-m", "any", "-e")
			out := b.try("sh", "-c", "out=$(mmcli --test-session -m any); echo \"$out\"; echo \"$out\" | grep -q 'access tech: lte'")
			for _, want := range []string{"manufacturer: " + c.maker.Maker, "model: " + c.maker.Model, "firmware revision: " + c.maker.Firmware, "plugin: " + c.plugin,
				"registration: home", "access tech: lte"} {
				if !strings.Contains(out, want) {
					t.Errorf("ModemManager: no %q in %s", want, out)
				}
			}
			if !slices.Contains(m.Heard(), c.asked) {
				t.Errorf("it did not ask %s: %q", c.asked, m.Heard())
			}
		})
	}
}

// askManager asks until the answer is as wanted: ModemManager learns of a change by and by.
func askManager(t *testing.T, b *messageBus, port string, wanted func(modem.Report) bool) (r modem.Report) {
	t.Helper()
	var err error
	if !housetest.Within(patience, func() bool {
		r, err = modemmanager.Ask(t.Context(), b.socket, []string{"/dev/ttyS99", port}, modem.Config{APN: "cmiot"})
		return err == nil && wanted(r)
	}) {
		t.Errorf("never as wanted: %+v, %v", r, err)
	}
	return r
}

func TestAskManager(t *testing.T) {
	t.Parallel()
	m := NewModem(Plain(), GoodModem(), 1)
	b, port := modemManager(t, m, "generic")
	r := askManager(t, b, port, func(r modem.Report) bool { return r.Model != "" })
	if r.Maker != "posdx" || r.Model != "simulated 27.007 modem" || r.Firmware != "1.0" || r.SIM != modem.SIMReady {
		t.Errorf("%+v", r)
	}
	heard := len(m.Heard())
	b.try("mmcli", "--test-session", "-m", "any", "-e")
	r = askManager(t, b, port, func(r modem.Report) bool {
		return r.Registration == modem.RegHome && r.Bearer.Attached && len(r.Signals) == 1 && r.Tech == "4g"
	})
	if s := r.Signals; len(s) != 1 || s[0].RSSI != -65 {
		// +CSQ 24, made a percentage by ModemManager and a level again by us
		t.Errorf("signal %+v", s)
	}
	if b := r.Bearer; !b.ActiveKnown || b.Active {
		t.Errorf("no bearer is connected, and we have %+v", b)
	}
	b.try("mmcli", "--test-session", "-m", "any", "--signal-setup=1")
	r = askManager(t, b, port, func(r modem.Report) bool { return len(r.Signals) == 1 && r.Signals[0].RSRP == -85 })
	if len(r.Signals) != 1 || r.Signals[0].RSRQ != -8 {
		t.Errorf("%+v", r.Signals)
	}
	connect := []string{"--test-session", "-m", "any", "--simple-connect=apn=cmiot"}
	m.Change(func(s *ModemState) { s.Active = false })
	if out, err := b.command("mmcli", connect...).CombinedOutput(); err == nil {
		t.Errorf("a call without a carrier: %s", out)
	}
	r = askManager(t, b, port, func(r modem.Report) bool { return r.Bearer.Cause != "" })
	if r.Bearer.Cause != "NoCarrier" || r.Bearer.Active || !r.Bearer.APNKnown || !r.Bearer.APN {
		t.Errorf("after a failed call: %+v", r.Bearer)
	}
	m.Change(func(s *ModemState) { s.Call = "CONNECT" })
	if out, err := b.command("mmcli", connect...).CombinedOutput(); err != nil {
		t.Errorf("no connection: %s", out)
	}
	r = askManager(t, b, port, func(r modem.Report) bool { return r.Bearer.Active })
	if r.Bearer.Cause != "" || !r.Bearer.APN {
		t.Errorf("connected: %+v", r.Bearer)
	}
	if len(m.Heard()) == heard {
		t.Error("ModemManager said nothing to the modem: the test proves nothing")
	}
	// Our asking must not make ModemManager change anything, and a modem that is not there is nobody's.
	if _, err := modemmanager.Ask(t.Context(), b.socket, []string{"/dev/ttyUSB7"}, modem.Config{}); !errors.Is(err,
		modemmanager.ErrNoManager) {
		t.Errorf("another modem: %v", err)
	}
}

func TestAskManagerThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := newBus(t)
	if _, err := modemmanager.Ask(t.Context(), b.socket, []string{"/dev/ttyUSB2"}, modem.Config{}); !errors.Is(err,
		modemmanager.ErrNoManager) {
		t.Errorf("a bus without ModemManager: %v", err)
	}
	if _, err := os.Stat(b.started()); err == nil {
		t.Error("our asking started ModemManager")
	}
	b.start("gdbus", "call", "--session", "-d", "org.freedesktop.ModemManager1", "-o", "/", "-m", "org.freedesktop.DBus.Peer.Ping")
	b.try("test", "-e", b.started()) // others' asking does: without that the test would prove nothing
	if _, err := modemmanager.Ask(t.Context(), b.socket+"x", []string{"/dev/ttyUSB2"}, modem.Config{}); !errors.Is(err,
		modemmanager.ErrNoManager) {
		t.Errorf("no bus: %v", err)
	}
}

// ModemManager of modems in trouble.
func TestAskManagerTroubles(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  func(*ModemState)
		enable bool
		wanted func(modem.Report) bool
	}{
		{"no sim", func(s *ModemState) { s.SIM = "10" }, false, func(r modem.Report) bool { return r.SIM == modem.SIMMissing }},
		{"pin", func(s *ModemState) { s.SIM = "SIM PIN" }, false, func(r modem.Report) bool { return r.SIM == modem.SIMPIN }},
		{"denied", func(s *ModemState) { s.Stat, s.Attached, s.Active = 3, false, false }, true,
			func(r modem.Report) bool {
				return r.Registration == modem.RegDenied && r.Bearer.AttachedKnown && !r.Bearer.Attached
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := NewModem(Plain(), GoodModem(), 1)
			m.Change(c.state)
			b, port := modemManager(t, m, "generic")
			if c.enable {
				b.start("mmcli", "--test-session", "-m", "any", "-e") // it waits for a registration that never comes
			}
			askManager(t, b, port, c.wanted)
		})
	}
}

// ofono lets oFono manage a modem: its phonesim driver dials a TCP port and speaks 27.007 there. It runs in a network
// and a mount namespace of its own, for the port and the file with its number are fixed.
func ofono(t *testing.T, m *Modem) *messageBus {
	t.Helper()
	for _, program := range []string{"ofonod", "socat", "unshare", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s (Debian packages ofono, socat, util-linux, iproute2)", program)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces")
	}
	b := newBus(t)
	dir := t.TempDir()
	config, socket := filepath.Join(dir, "phonesim.conf"), filepath.Join(dir, "modem")
	if err := os.WriteFile(config, []byte("[phonesim]\nDriver=phonesim\nAddress=127.0.0.1\nPort=12345\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	serveAt(t, socket, m)
	b.start("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", fmt.Sprintf(`
		ip link set lo up && mount --bind %s /etc/ofono/phonesim.conf || exit 1
		socat TCP-LISTEN:12345,bind=127.0.0.1,reuseaddr,fork UNIX-CONNECT:%s & ofonod --nodetach --debug=plugins/phonesim*`, config, socket))
	return b
}

func TestOFonoTakesItForAModem(t *testing.T) {
	for _, c := range []struct {
		name  string
		state func(*ModemState)
		want  []string
	}{
		// oFono knows of packets by +CGREG alone, which is what 3G has.
		{"home", func(s *ModemState) { s.Act = 2 }, []string{"'Manufacturer': <'posdx'>", "'Model': <'simulated 27.007 modem'>", "'Revision': <'1.0'>", "'Online': <true>", "'Present': <true>",
			"'PinRequired': <'none'>", "'Status': <'registered'>", "'Technology': <'umts'>", "'LocationAreaCode': <uint16 6699>", "'Strength': <byte 0x4d>", "'Attached': <true>"}},
		{"denied", func(s *ModemState) { s.Stat, s.Attached = 3, false }, []string{"'Status': <'denied'>", "'Attached': <false>"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := NewModem(Plain(), GoodModem(), 1)
			m.Change(c.state)
			b := ofono(t, m)
			phonesim := func(method string, args ...string) []string {
				return append([]string{"call", "--session", "-d", "org.ofono", "-o", "/phonesim", "-m", method}, args...)
			}
			b.try("gdbus", phonesim("org.ofono.Modem.SetProperty", "Powered", "<true>")...)
			b.try("gdbus", phonesim("org.ofono.Modem.SetProperty", "Online", "<true>")...)
			out := ""
			missing := func(w string) bool { return !strings.Contains(out, w) }
			housetest.Within(patience/4, func() bool { // oFono learns of it by and by
				out = ""
				for _, iface := range []string{"Modem", "SimManager", "NetworkRegistration", "ConnectionManager"} {
					o, _ := b.command("gdbus", phonesim("org.ofono."+iface+".GetProperties")...).CombinedOutput()
					out += string(o)
				}
				return !slices.ContainsFunc(c.want, missing)
			})
			for _, w := range c.want {
				if missing(w) {
					t.Errorf("oFono: no %s", w)
				}
			}
			if t.Failed() {
				t.Log(out, m.Heard())
			}
		})
	}
}
