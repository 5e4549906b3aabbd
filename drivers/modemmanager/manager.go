// Package modemmanager asks ModemManager, over D-Bus, about a modem that ModemManager manages. It reads properties, and
// can do nothing else.
package modemmanager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"

	"posdx/drivers/modem"
	"posdx/drivers/serial"
)

// SystemBus is where D-Bus's system bus listens (specification, "Well-known Message Bus Instances").
const SystemBus = "/run/dbus/system_bus_socket"

// ErrNoManager is the error where no ModemManager runs, or it does not manage the modem that was asked for.
var ErrNoManager = errors.New("no ModemManager has this modem")

// Names of ModemManager's D-Bus interface (its reference manual, version 1.20).
const (
	managerName   = "org.freedesktop.ModemManager1"
	managerPath   = "/org/freedesktop/ModemManager1"
	modemIface    = managerName + ".Modem"
	gppIface      = modemIface + ".Modem3gpp"
	signalIface   = modemIface + ".Signal"
	bearerIface   = managerName + ".Bearer"
	objectManager = "org.freedesktop.DBus.ObjectManager"
	propIface     = "org.freedesktop.DBus.Properties"
)

// Values of its enumerations (ModemManager-enums.h).
const (
	stateFailed, stateEnabled        = -1, 6
	failedSIMMissing, failedSIMError = 2, 3
	lockUnknown, lockPIN2, lockPUK2  = 0, 3, 5
	lockPIN, lockPUK, lockNone       = 2, 4, 1
	packetDetached, packetAttached   = 1, 2
	powerOff, powerLow               = 1, 2
	bits2G, bits3G, bits4G, bits5G   = 0x1e, 0x3fe0, 1<<14 | 1<<16 | 1<<17, 1 << 15
	can4G, can5G                     = 1 << 3, 1 << 6
	bearersMax                       = 8
	qualityFloor, qualitySpan        = -113.0, 62.0 // 0 and 100 % are +CSQ 0 and 31, for every kind of modem
)

// Ask asks the ModemManager on a bus about the modem that has one of the given ttys, or other serial ports by the names
// that ModemManager has for them. It reads properties and nothing else: it cannot enable, connect or set up anything,
// and starts no ModemManager where none runs. The report holds one sample of the signal at most, since ModemManager
// renews its own every half minute. Errors are ErrNoManager, fs.ErrPermission, the context's or one of the bus.
func Ask(ctx context.Context, socket string, ttys []string, c modem.Config) (modem.Report, error) {
	r, err := ask(ctx, socket, ttys, c)
	switch name := (*busError)(nil); {
	case err == nil, errors.Is(err, ErrNoManager):
		return r, err
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, fs.ErrPermission):
	case errors.Is(err, fs.ErrNotExist), isDialError(err):
		err = ErrNoManager
	case errors.As(err, &name) && (strings.HasSuffix(name.name, ".ServiceUnknown") || strings.HasSuffix(name.name, ".NameHasNoOwner")):
		err = ErrNoManager
	case errors.As(err, &name) && strings.HasSuffix(name.name, ".AccessDenied"):
		err = fs.ErrPermission
	}
	return r, fmt.Errorf("ask ModemManager: %w", err)
}

func isDialError(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && op.Op == "dial"
}

func ask(ctx context.Context, socket string, ttys []string, c modem.Config) (r modem.Report, err error) {
	b, close, err := dialBus(ctx, socket)
	if err != nil {
		return r, err
	}
	defer close()
	body, err := b.call(managerName, managerPath, objectManager, "GetManagedObjects")
	if err != nil {
		return r, err
	}
	bearers, found, err := readModems(body, ttys, &r)
	if err != nil {
		return r, err
	}
	if !found {
		return r, ErrNoManager
	}
	for _, p := range bearers[:min(len(bearers), bearersMax)] {
		body, err := b.call(managerName, p, propIface, "GetAll", bearerIface)
		if name := (*busError)(nil); errors.As(err, &name) {
			continue // it has gone in between
		}
		if err != nil {
			return r, err
		}
		if err := readBearer(body, c, &r.Bearer); err != nil {
			return r, err
		}
	}
	return r, nil
}

// A managed is what ModemManager says of one modem, as far as it is wanted.
type managed struct {
	ports                                   []string
	state, failed, lock, stat, packet, bits int
	can                                     int // MMModemCapability
	operator                                string
	power                                   int
	quality                                 uint32
	recent                                  bool
	bearers                                 []string
	maker, model, firmware                  string
	signal                                  modem.Signal
}

// readModems looks through all modems for the one that has a tty.
func readModems(body wire, ttys []string, r *modem.Report) (bearers []string, found bool, err error) {
	if body.signature != "a{oa{sa{sv}}}" {
		return nil, false, fmt.Errorf("list of modems is %q: %w", body.signature, errWire)
	}
	body.dict("a{sa{sv}}", func(_ string, at *wire) {
		if found {
			return
		}
		m := managed{stat: -1, signal: modem.NoSignal()}
		at.dict("a{sv}", func(iface string, at *wire) { m.read(iface, at) })
		if !at.broken && slices.ContainsFunc(ttys, func(t string) bool { return slices.Contains(m.ports, path.Base(t)) }) {
			found = true
			bearers = m.bearers
			m.report(r)
		}
	})
	if body.broken {
		return nil, false, errWire
	}
	return bearers, found, nil
}

func (m *managed) read(iface string, at *wire) {
	switch iface {
	case modemIface:
		at.properties(func(name string, v variant) {
			switch name {
			case "Manufacturer":
				m.maker = v.word()
			case "Model":
				m.model = v.word()
			case "Revision":
				m.firmware = v.word()
			case "Ports":
				m.ports = v.words()
			case "Bearers":
				m.bearers = v.words()
			case "State":
				m.state = v.integer()
			case "StateFailedReason":
				m.failed = v.integer()
			case "UnlockRequired":
				m.lock = v.integer()
			case "PowerState":
				m.power = v.integer()
			case "AccessTechnologies":
				m.bits = v.integer()
			case "CurrentCapabilities":
				m.can = v.integer()
			case "SignalQuality":
				m.quality, m.recent, _ = v.pair()
			}
		})
	case gppIface:
		at.properties(func(name string, v variant) {
			switch name {
			case "RegistrationState":
				m.stat = v.integer()
			case "PacketServiceState":
				m.packet = v.integer()
			case "OperatorCode":
				m.operator = v.word()
			}
		})
	case signalIface:
		at.properties(func(name string, v variant) {
			switch name {
			case "Lte", "Nr5g", "Umts", "Gsm":
				v.properties(func(value string, v variant) { m.level(value, v) })
			}
		})
	}
}

// level reads one value of the extended signal, which is there if somebody else asked ModemManager to poll it.
func (m *managed) level(name string, v variant) {
	n, ok := v.number()
	if !ok || n < -200 || n > 60 { // ModemManager's unknown is the lowest of all numbers
		return
	}
	switch name {
	case "rssi", "rscp":
		if n < 0 {
			m.signal.RSSI = int(n)
		}
	case "rsrp":
		if n < 0 {
			m.signal.RSRP = int(n)
		}
	case "rsrq":
		if n >= -45 && n <= 10 {
			m.signal.RSRQ = n
		}
	case "snr":
		if n >= -30 && n <= 50 {
			m.signal.SINR = n
		}
	}
}

func (m *managed) report(r *modem.Report) {
	r.Maker, r.Model, r.Firmware = serial.Label([]byte(m.maker)), serial.Label([]byte(m.model)),
		serial.Label([]byte(m.firmware))
	switch {
	case m.state == stateFailed && m.failed == failedSIMMissing:
		r.SIM = modem.SIMMissing
	case m.state == stateFailed && m.failed == failedSIMError:
		r.SIM = modem.SIMFailure
	case m.lock == lockUnknown:
	case m.lock == lockNone, m.lock == lockPIN2, m.lock == lockPUK2:
		r.SIM = modem.SIMReady
	case m.lock == lockPUK:
		r.SIM = modem.SIMPUK
	case m.lock == lockPIN:
		r.SIM = modem.SIMPIN
	default: // PH-SIM, or a network's, a provider's or a corporation's
		r.SIM = modem.SIMLocked
	}
	if m.power == powerOff || m.power == powerLow {
		r.Radio = modem.RadioOff
	}
	if m.stat >= 0 && (m.state >= stateEnabled || m.stat == 1 || m.stat == 5) {
		// a modem that is not enabled was not asked
		r.Registration = modem.RegistrationOf(m.stat)
	}
	for _, k := range []struct {
		bits int
		tech string
	}{{bits5G, "5g"}, {bits4G, "4g"}, {bits3G, "3g"}, {bits2G, "2g"}} {
		if m.bits&k.bits != 0 {
			r.Tech = k.tech
			break
		}
	}
	r.Operator = modem.PLMN(m.operator)
	switch {
	case m.can&can5G != 0:
		r.Best = "5g"
	case m.can&can4G != 0:
		r.Best = "4g"
	}
	s := m.signal
	if !s.Known() && m.recent && m.quality > 0 && m.quality <= 100 {
		s.RSSI = int(math.Round(qualityFloor + qualitySpan*float64(m.quality)/100))
	}
	if s.Known() && m.state >= stateEnabled {
		r.Signals = []modem.Signal{s}
	}
	b := &r.Bearer
	b.Attached, b.AttachedKnown = m.packet == packetAttached, m.packet == packetAttached || m.packet == packetDetached
	b.ActiveKnown = m.state >= stateEnabled // and none of its bearers is connected, until one says so
}

// readBearer reads the properties of a bearer. The connected one counts; of the others only why they ended.
func readBearer(body wire, c modem.Config, b *modem.Bearer) error {
	if body.signature != "a{sv}" {
		return fmt.Errorf("bearer is %q: %w", body.signature, errWire)
	}
	var connected bool
	var apn, cause string
	var address netip.Addr
	var v4, v6 bool
	body.properties(func(name string, v variant) {
		switch name {
		case "Connected":
			connected = v.sig == "b" && v.integer() == 1
		case "Properties":
			v.properties(func(name string, v variant) {
				if name == "apn" {
					apn = v.word()
				}
			})
		case "Ip4Config", "Ip6Config":
			v.properties(func(name string, v variant) {
				a, err := netip.ParseAddr(v.word())
				if name != "address" || err != nil {
					return
				}
				v4, v6 = v4 || a.Is4(), v6 || a.Is6()
				if !address.IsValid() {
					address = a
				}
			})
		case "ConnectionError":
			_, _, cause = v.pair()
		}
	})
	if body.broken {
		return errWire
	}
	if connected {
		b.Active, b.ActiveKnown, b.Address, b.Cause = true, true, address, ""
		b.Family = modem.Family(v4, v6)
	}
	if c.APN != "" && apn != "" && (connected || !b.APNKnown) {
		b.APN, b.APNKnown = modem.SameAPN(apn, c.APN), true
	}
	if cause != "" && !b.Active {
		b.Cause = serial.Label([]byte(cause[strings.LastIndexByte(cause, '.')+1:]))
	}
	return nil
}
