package modemmanager

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"posdx/drivers/modem"
	"strings"
	"testing"
	"time"
)

// An encoder writes D-Bus data for tests, values as they come: it knows no signatures.
type encoder struct{ b []byte }

func (e *encoder) pad(n int) *encoder {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
	return e
}

func (e *encoder) u32(v uint32) *encoder {
	e.pad(4).b = binary.LittleEndian.AppendUint32(e.pad(4).b, v)
	return e
}

func (e *encoder) text(s string) *encoder {
	e.u32(uint32(len(s))).b = append(append(e.b, s...), 0)
	return e
}

func (e *encoder) sig(s string) *encoder {
	e.b = append(append(append(e.b, byte(len(s))), s...), 0)
	return e
}

// array writes the length in front of what f writes.
func (e *encoder) array(align int, f func()) *encoder {
	e.u32(0)
	at := len(e.b) - 4
	e.pad(align)
	start := len(e.b)
	f()
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-start))
	return e
}

// modems is the answer of a ModemManager with one modem whose State and Model are given.
func modems(state int32, model string, ports ...string) wire {
	var e encoder
	entry := func(name, sig string) *encoder { return e.pad(8).text(name).sig(sig) }
	e.array(8, func() {
		e.pad(8).text("/org/freedesktop/ModemManager1/Modem/0")
		e.array(8, func() {
			e.pad(8).text(modemIface)
			e.array(8, func() {
				entry("EquipmentIdentifier", "s").text("001017003456784")
				entry("OwnNumbers", "as").array(4, func() { e.text("13800000000") })
				entry("Ports", "a(su)").array(8, func() {
					for _, p := range ports {
						e.pad(8).text(p).u32(3)
					}
				})
				entry("State", "i").u32(uint32(state))
				entry("UnlockRequired", "u").u32(lockNone)
				entry("AccessTechnologies", "u").u32(1 << 14)
				entry("SignalQuality", "(ub)").pad(8).u32(77).u32(1)
				entry("Model", "s").text(model)
				entry("Bearers", "ao").array(4, func() {})
				entry("UnlockRetries", "a{uu}").array(8, func() { e.pad(8).u32(2).u32(3) })
			})
			e.pad(8).text(gppIface)
			e.array(8, func() {
				entry("RegistrationState", "u").u32(5)
				entry("PacketServiceState", "u").u32(packetAttached)
				entry("Imei", "s").text("001017003456784")
			})
		})
	})
	return wire{b: e.b, order: binary.LittleEndian, signature: "a{oa{sa{sv}}}"}
}

// What ModemManager says of locks and of the radio.
func TestManagersLocksAndPower(t *testing.T) {
	for lock, want := range map[int]modem.SIM{lockNone: modem.SIMReady, lockPIN: modem.SIMPIN, lockPUK: modem.SIMPUK,
		6: modem.SIMLocked, 10: modem.SIMLocked, 16: modem.SIMLocked} {
		var r modem.Report
		if (&managed{lock: lock, stat: -1}).report(&r); r.SIM != want {
			t.Errorf("lock %d: %q, want %q", lock, r.SIM, want)
		}
	}
	for power, want := range map[int]modem.Radio{0: modem.RadioUnknown, powerOff: modem.RadioOff, powerLow: modem.RadioOff,
		3: modem.RadioUnknown} {
		var r modem.Report
		if (&managed{power: power, stat: -1}).report(&r); r.Radio != want {
			t.Errorf("power %d: %q, want %q", power, r.Radio, want)
		}
	}
}

func TestReadModems(t *testing.T) {
	var r modem.Report
	if _, found, err := readModems(modems(8, "EC25", "ttyUSB2", "ttyUSB3"), []string{"/dev/ttyUSB9", "/dev/ttyUSB3"}, &r); !found || err != nil {
		t.Fatal(found, err)
	}
	if r.Model != "EC25" || r.SIM != modem.SIMReady || r.Registration != modem.RegRoaming || r.Tech != "4g" ||
		!r.Bearer.Attached || len(r.Signals) != 1 || r.Signals[0].RSSI != -65 {
		t.Errorf("%+v", r)
	}
	r = modem.Report{}
	if _, found, err := readModems(modems(8, "EC25", "ttyUSB2"), []string{"/dev/ttyUSB9"}, &r); found || err != nil || r.Model != "" {
		t.Errorf("somebody else's modem: %v, %v, %+v", found, err, r)
	}
	// A modem that is not enabled was not asked by ModemManager either.
	r = modem.Report{}
	readModems(modems(3, "EC25", "ttyUSB2"), []string{"ttyUSB2"}, &r)
	if len(r.Signals) != 0 || r.Bearer.ActiveKnown {
		t.Errorf("disabled: %+v", r)
	}
	// Neither does it become a name of a modem what has as many digits as an identity.
	r = modem.Report{}
	readModems(modems(8, "001017003456784", "ttyUSB2"), []string{"ttyUSB2"}, &r)
	if r.Model != "" {
		t.Errorf("model %q", r.Model)
	}
	whole := modems(8, "EC25", "ttyUSB2")
	for n := range whole.b { // cut anywhere: an error or no such modem, never a wrong answer
		cut := whole
		cut.b = whole.b[:n]
		var r modem.Report
		if _, found, err := readModems(cut, []string{"ttyUSB2"}, &r); found && err == nil {
			t.Fatalf("%d of %d bytes are taken for all", n, len(whole.b))
		}
	}
}

// A call as it goes over the wire, by the specification's own description of a message.
func TestCallMessage(t *testing.T) {
	m := callMessage(2, managerName, managerPath, objectManager, "GetManagedObjects", nil)
	got, err := readMessage(bytes.NewReader(m))
	if err != nil || got.kind != 1 || len(got.body.b) != 0 || m[2]&2 == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	m = callMessage(3, managerName, managerPath, propIface, "GetAll", []string{bearerIface})
	if got, err = readMessage(bytes.NewReader(m)); err != nil || got.body.signature != "s" || got.body.text() != bearerIface {
		t.Errorf("%+v, %v", got, err)
	}
}

// busServer answers the greeting and hands on what follows.
func busServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	return socket
}

func TestHostileBus(t *testing.T) {
	hear := func(c net.Conn, until string) {
		var got []byte
		for b := make([]byte, 1); !strings.HasSuffix(string(got), until); got = append(got, b[0]) {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}
	begin := func(c net.Conn) { hear(c, "\r\n"); io.WriteString(c, "OK 1234\r\n"); hear(c, "BEGIN\r\n") }
	stay := func(c net.Conn) { io.Copy(io.Discard, c) } // until the other side has seen enough
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		err   error
	}{
		{"hangs up", func(net.Conn) {}, nil},
		{"refuses us", func(c net.Conn) { hear(c, "\r\n"); io.WriteString(c, "REJECTED KERBEROS_V4\r\n"); stay(c) }, fs.ErrPermission},
		{"an endless line", func(c net.Conn) { hear(c, "\r\n"); c.Write(bytes.Repeat([]byte("x"), 10000)); stay(c) }, errWire},
		{"a huge message", func(c net.Conn) {
			begin(c)
			c.Write(append([]byte{'l', 2, 0, 1}, bytes.Repeat([]byte{0xff}, 12)...))
			stay(c)
		}, errWire},
		{"rubbish", func(c net.Conn) { begin(c); c.Write(bytes.Repeat([]byte{0, 1, 'l'}, 1000)) }, nil},
		{"only signals", func(c net.Conn) {
			begin(c)
			for range repliesMax + 1 {
				m := callMessage(9, "x", "/", "x.y", "z", nil)
				m[1] = 4
				c.Write(m)
			}
			stay(c)
		}, errWire},
		{"half a message", func(c net.Conn) { begin(c); c.Write([]byte{'l', 2, 0}) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Ask(t.Context(), busServer(t, c.serve), []string{"ttyUSB2"}, modem.Config{})
			if err == nil || c.err != nil && !errors.Is(err, c.err) || r.Model != "" {
				t.Errorf("%+v, %v; want %v", r, err, c.err)
			}
		})
	}
	t.Run("says nothing, and a sale begins", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		socket := busServer(t, func(c net.Conn) { hear(c, "\r\n"); cancel(); hear(c, "never") })
		start := time.Now()
		if _, err := Ask(ctx, socket, []string{"ttyUSB2"}, modem.Config{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		t.Logf("ended after %v", time.Since(start))
	})
}

// FuzzBus: whatever a bus says, reading it ends, and finds a modem only if there is one.
func FuzzBus(f *testing.F) {
	whole := modems(8, "EC25", "ttyUSB2")
	f.Add(whole.b, "a{oa{sa{sv}}}")
	f.Add(callMessage(2, managerName, managerPath, objectManager, "GetManagedObjects", nil), "")
	f.Add(callMessage(3, managerName, managerPath, propIface, "GetAll", []string{bearerIface}), "a{sv}")
	f.Fuzz(func(t *testing.T, b []byte, signature string) {
		if m, err := readMessage(bytes.NewReader(b)); err == nil {
			var bearer modem.Bearer
			m.body.signature = "a{sv}"
			readBearer(m.body, modem.Config{APN: "cmiot"}, &bearer)
		}
		body := wire{b: b, order: binary.LittleEndian, signature: signature}
		skipped := body
		skipped.skip(signature, 0)
		if skipped.at > len(b) {
			t.Errorf("skipped %d of %d bytes", skipped.at, len(b))
		}
		var r modem.Report
		_, found, err := readModems(body, []string{"ttyUSB2"}, &r)
		if found && err == nil && !bytes.Contains(b, []byte("ttyUSB2")) {
			t.Error("a modem from nowhere")
		}
		for _, s := range r.Signals {
			if s.RSSI != modem.NoValue && (s.RSSI < -200 || s.RSSI > 0) {
				t.Errorf("no radio has %+v", s)
			}
		}
	})
}
