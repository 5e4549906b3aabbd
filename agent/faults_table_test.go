package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"posdx/agent/report"
	"posdx/drivers/sim"
	"posdx/firmware-build/lab/world"

	"golang.org/x/sys/unix"
)

// Kinds of faults.
const (
	realFault = "real"           // the kernel, the network or the file system really is so
	peerFault = "simulated peer" // a device, the host or the payment application says so
	fixture   = "fixture"        // files of /sys and /proc, lines of the kernel's log
)

// A fault is one cause made to happen, and what the terminal then shows.
type fault struct {
	name, cause, kind string
	how               string // in one line, for the table in firmware-build/README.md

	iface     string // eth0 if empty
	modem     bool
	dialUp    bool
	neo       bool             // the reader speaks NEO
	never     bool             // the terminal has never had an approval
	byAddress bool             // the host is set by its address
	byName    bool             // the independent place is given by name
	portal    bool             // and is a page that should be empty
	advised   *report.Advisory // what the fleet says to all of the terminal's carrier

	prepare func(*shop) error // before the daemon starts
	breaks  func(*shop) error // after three good sales
	event   event

	then func(*shop) error // after the last revision

	idle time.Duration // instead of breaking anything, watch the daemon rest so long
}

// An event is what the payment application then reports.
type event struct {
	code, scheme string
	origin       report.Origin
	txn          map[string]any
}

// hostCode is a code that the host answered.
func hostCode(code string, more ...any) event {
	return event{code: code, origin: "host", txn: answeredTxn(members(more))}
}

// localCode is a code of the terminal's own, for a request that never left.
func localCode(code string, more ...any) event {
	t := members(more)
	if _, ok := t["sent"]; !ok {
		t["sent"] = false
	}
	if _, ok := t["entry"]; !ok {
		t["entry"] = "chip"
	}
	return event{code: code, scheme: "terminal-local", origin: "terminal", txn: t}
}

func members(list []any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i].(string)] = list[i+1]
	}
	return m
}

// healthyBoard is a healthy board's /sys and /proc, as an i.MX6ULL with eMMC has them.
var healthyBoard = map[string]string{
	"sys/class/net/eth0/speed":                          "100\n",
	"sys/class/power_supply/dc/type":                    "Mains\n",
	"sys/class/power_supply/dc/online":                  "1\n",
	"sys/class/power_supply/dc/voltage_now":             "5030000\n",
	"sys/class/thermal/thermal_zone0/type":              "imx_thermal_zone\n",
	"sys/class/thermal/thermal_zone0/temp":              "47210\n",
	"sys/class/thermal/thermal_zone0/trip_point_0_type": "critical\n",
	"sys/class/thermal/thermal_zone0/trip_point_0_temp": "105000\n",
	"sys/block/mmcblk1/device/life_time":                "0x02 0x01\n",
	"sys/block/mmcblk1/device/pre_eol_info":             "0x01\n",
	"sys/class/watchdog/watchdog0/bootstatus":           "0\n",
	"sys/devices/system/cpu/online":                     "0\n",
	"proc/loadavg":                                      "0.08 0.03 0.01 1/84 1021\n",
	"proc/pressure/cpu":                                 calmPressure,
	"proc/pressure/memory":                              calmPressure,
	"proc/meminfo":                                      "MemTotal:         246532 kB\nMemFree:           60364 kB\nMemAvailable:     150364 kB\n",
	"proc/vmstat":                                       "oom_kill 0\n",
	"proc/cmdline":                                      "console=ttymxc0,115200 root=/dev/mmcblk1p2\n",
}

const (
	calmPressure = "some avg10=0.12 avg60=0.08 avg300=0.05 total=1203311\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=210044\n"
	highPressure = "some avg10=91.40 avg60=88.03 avg300=80.11 total=912033111\nfull avg10=72.10 avg60=70.00 avg300=61.00 total=712100444\n"
)

func saying(check string, facts ...any) func(*shop) error {
	return func(s *shop) error { return s.fact(check, members(facts)) }
}

func all(list ...func(*shop) error) func(*shop) error {
	return func(s *shop) error {
		for _, f := range list {
			if err := f(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func timesOver(n int, f func(*shop) error) func(*shop) error {
	return func(s *shop) error {
		for range n {
			if err := f(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func reading(words string) func(*shop) error { return func(s *shop) error { return s.read(words) } }

func writing(name, text string) func(*shop) error {
	return func(s *shop) error { return s.put(name, text) }
}

// asking has checks made, as background ones would be with time.
func asking(names ...string) func(*shop) error {
	return func(s *shop) error { return s.ask(map[string]any{"type": "check", "names": names}) }
}

func complaining(texts ...string) func(*shop) error {
	return func(s *shop) error { return s.kernelLog.Say(texts...) }
}

func forwarding(rule string) func(*shop) error {
	return func(s *shop) error { return s.forward(rule) }
}

// inTerminal runs commands in the terminal's network.
func inTerminal(words ...string) func(*shop) error {
	return func(s *shop) error {
		for _, w := range words {
			if err := s.at(s.w.Terminal, w); err != nil {
				return err
			}
		}
		return nil
	}
}

func modemState(f func(*sim.ModemState)) func(*shop) error {
	return func(s *shop) error {
		s.modem.Change(f)
		return s.w.DropBearer()
	}
}

// carrierDown is the fleet's word about the shop's carrier, as of now.
var carrierDown = &report.Advisory{Scope: "carrier", Key: shopCarrier, Terminals: 412, SharePct: 80}

// heeding waits until the terminal has the fleet's word.
func heeding(s *shop) error {
	select {
	case <-s.told:
		return nil
	case <-s.ctx.Done():
		return errors.New("the terminal never took in the fleet's advisory")
	}
}

const gprs = "newpos-net:1031" // link closed, no carrier

func faults() []fault {
	connect := localCode("newpos:E5")
	noAnswer := localCode("newpos:E7", "sent", true, "host_answer_seen", false, "connect_ms", 300, "mti", "0210")
	return []fault{
		// Takes a minute, so it begins first.
		{name: "crc-errors", cause: "lan.noise", kind: realFault, how: "one frame in four arrives damaged, by the interface's own counters", prepare: tunnelled, breaks: noisy, event: noAnswer},

		// The card, the account, the issuer: the host says so.
		{name: "card-damaged", cause: "card.damaged", kind: peerFault, how: "five cards are read, the sixth is not",
			breaks: reading("chip chip chip chip chip !chip"), event: localCode("mpt:0x04")},
		{name: "card-expired", cause: "card.expired", kind: peerFault, how: "the host answers 54", event: hostCode("54")},
		{name: "card-stripe-refused", cause: "card.wrong-method", kind: peerFault, how: "the host answers 45 to a stripe", event: hostCode("45", "entry", "stripe")},
		{name: "card-mistyped", cause: "card.data-mistyped", kind: peerFault, how: "the host answers 14 to a number typed by hand", event: hostCode("14", "entry", "manual")},
		{name: "account-funds", cause: "account.funds", kind: peerFault, how: "the host answers 51", event: hostCode("51")},
		{name: "account-limit", cause: "account.limit", kind: peerFault, how: "the host answers 61", event: hostCode("61")},
		{name: "account-state", cause: "account.state", kind: peerFault, how: "the host answers 62", event: hostCode("62")},
		{name: "account-pin", cause: "account.pin", kind: peerFault, how: "the host answers 55", event: hostCode("55")},
		{name: "issuer-declined", cause: "issuer.declined", kind: peerFault, how: "the host answers 05", event: hostCode("05")},
		{name: "issuer-down", cause: "issuer.unavailable", kind: peerFault, how: "the host answers 91", event: hostCode("91")},
		{name: "risk", cause: "risk.fraud", kind: peerFault, how: "the host answers 34", event: hostCode("34")},
		{name: "switch-down", cause: "switch.malfunction", kind: peerFault, how: "the host answers 92", event: hostCode("92")},
		{name: "success", cause: "none", kind: peerFault, how: "the host answers 00", event: hostCode("00")},

		// The acquirer.
		{name: "host-96", cause: "host.malfunction", kind: peerFault, how: "the host answers 96, to the sign-in as well",
			breaks: saying("app.session", "signed_in", true, "last_signin_result", "96"), event: hostCode("96")},
		{name: "host-slow", cause: "host.overloaded", kind: peerFault, how: "the host answers 96 after 41 s instead of 0.7",
			breaks: func(s *shop) error { return s.good(10) }, event: hostCode("96", "response_ms", 41_000)},
		{name: "host-lost", cause: "host.unreachable", kind: realFault, how: "the router loses what goes to the host's address",
			breaks: func(s *shop) error { return s.w.LoseHost(world.HostIP, true) }, event: connect},
		{name: "host-port-closed", cause: "host.port-closed", kind: realFault, how: "the host's listener is closed",
			breaks: func(s *shop) error { return s.hostDoor.Close() }, event: connect},
		{name: "host-cert-expired", cause: "host.tls", kind: realFault, how: "the host presents a certificate that ended yesterday",
			breaks: func(s *shop) error {
				now := time.Now()
				return s.certifyOne(&s.host, shopHost, now.AddDate(0, -3, 0), now.Add(-26*time.Hour))
			}, event: connect},
		{name: "host-cert-name", cause: "host.tls", kind: realFault, how: "the host's certificate names another host",
			breaks: func(s *shop) error {
				now := time.Now()
				return s.certifyOne(&s.host, "other.example", now.AddDate(0, -1, 0), now.AddDate(0, 1, 0))
			}, event: connect},
		{name: "merchant-unknown", cause: "merchant.not-registered", kind: peerFault, how: "the host answers 03", event: hostCode("03")},
		{name: "merchant-limits", cause: "merchant.not-permitted", kind: peerFault, how: "the host answers 58", event: hostCode("58")},
		{name: "terminal-unknown", cause: "terminal.not-registered", kind: peerFault, how: "the host answers 97, to the sign-in as well",
			breaks: saying("app.session", "signed_in", false, "last_signin_result", "97"), event: hostCode("97")},

		// The terminal.
		{name: "keys-mismatch", cause: "terminal.keys", kind: peerFault, how: "the host answers A0, the PIN pad knows of wrong keys",
			breaks: saying("app.keys", "state", "mismatch"), event: hostCode("A0")},
		{name: "session-over", cause: "terminal.session", kind: peerFault, how: "the host answers 77, the last sign-in was 20 h ago",
			breaks: saying("app.session", "signed_in", true, "signin_age_s", 72_000), event: hostCode("77")},
		{name: "host-misspelt", cause: "terminal.config", kind: realFault, byName: true, how: "after a change of settings the host's name does not exist",
			breaks: func(s *shop) error {
				if err := os.WriteFile(s.path("host"), []byte("pos.acquirer.exmaple"), 0o644); err != nil {
					return err
				}
				return s.restart()
			}, event: connect},
		{name: "format-after-update", cause: "terminal.protocol", kind: peerFault, how: "the host answers 30 to every sale since an update",
			breaks: all(saying("app.version", "installed", "5.2.0", "expected", "5.3.0", "updated_age_s", 86_400), func(s *shop) error { return s.good(1) },
				saying("app.version", "installed", "5.3.0", "expected", "5.3.0", "updated_age_s", 60)), event: hostCode("30")},
		{name: "trace-repeated", cause: "terminal.journal", kind: peerFault, how: "the host answers 94, a trace number was used twice",
			breaks: saying("app.journal", "stan_reused", true, "pending_reversals", 1), event: hostCode("94")},
		{name: "clock-behind", cause: "terminal.clock", kind: peerFault, how: "the certificates of two unrelated places are not valid yet by the terminal's clock",
			breaks: func(s *shop) error { return s.certify(time.Now().AddDate(0, 0, 40), time.Now().AddDate(1, 0, 0)) },
			event:  connect},
		{name: "clock-by-host", cause: "terminal.clock", kind: peerFault, how: "the host answers that the time is not plausible; its own, in fields 12 and 13, is 40 days away",
			breaks: saying("board.clock", "offset_s", -40*86_400), event: event{code: "98", scheme: "gicc-de", origin: "host", txn: answeredTxn(nil)}},
		{name: "app-killed", cause: "terminal.app-crash", kind: realFault, how: "the payment application is killed",
			breaks: func(s *shop) error { s.stopApp(); return nil }, event: localCode("TransactionFailed")},
		{name: "app-crashing", cause: "terminal.app-crash", kind: fixture, how: "three segmentation faults of the payment application in the kernel's log",
			breaks: func(s *shop) error {
				line := s.processName() + "[812]: segfault at 0 ip 00010a4c sp be9f6c20 error 4"
				return s.kernelLog.Say(line, line, line)
			}, event: localCode("TransactionFailed")},
		{name: "app-old", cause: "terminal.app-old", kind: peerFault, how: "the host answers YQ to a version behind the fleet's",
			breaks: saying("app.version", "installed", "4.9.0", "expected", "5.3.0", "updated_age_s", 9_000_000),
			event:  event{code: "YQ", scheme: "acquirer-ext", origin: "host", txn: answeredTxn(nil)}},
		{name: "cpu-starved", cause: "terminal.overloaded", kind: fixture, how: "/proc/pressure and loadavg of a processor that is waited for",
			breaks: all(writing("proc/pressure/cpu", highPressure), writing("proc/loadavg", "14.20 12.03 9.01 9/184 1021\n")), event: localCode("TransactionFailed")},
		{name: "memory-short", cause: "terminal.overloaded", kind: fixture, how: "/proc/meminfo with 4 MB left and forced kills in the kernel's log",
			breaks: all(writing("proc/meminfo", "MemTotal:         246532 kB\nMemFree:            1364 kB\nMemAvailable:       4364 kB\n"), writing("proc/pressure/memory", highPressure),
				complaining("Out of memory: Killed process 412 (payd) total-vm:80124kB", "Out of memory: Killed process 431 (payd) total-vm:80124kB")), event: localCode("TransactionFailed")},
		{name: "disk-full", cause: "terminal.storage-full", kind: realFault, how: "the data file system is filled to the last byte", breaks: fillDisk, event: localCode("mpt:file-write")},
		{name: "disk-read-only", cause: "terminal.storage-fault", kind: realFault, how: "the data file system is remounted read-only, and the kernel complains of it",
			breaks: all(func(s *shop) error {
				return unix.Mount("", s.path("data"), "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
			}, complaining("EXT4-fs error (device mmcblk1p3): ext4_find_entry:1455: inode #2: comm payd: reading directory lblock 0", "EXT4-fs (mmcblk1p3): Remounting filesystem read-only")),
			event: localCode("mpt:file-write")},
		{name: "emmc-worn", cause: "terminal.storage-fault", kind: fixture, how: "eMMC past its life, with I/O errors in the kernel's log",
			breaks: all(writing("sys/block/mmcblk1/device/life_time", "0x0b 0x0b\n"), writing("sys/block/mmcblk1/device/pre_eol_info", "0x03\n"),
				complaining("mmc1: error -110 whilst initialising MMC card", "blk_update_request: I/O error, dev mmcblk1, sector 81920", "blk_update_request: I/O error, dev mmcblk1, sector 81928")),
			event: localCode("newpos:E21")},
		{name: "brown-out", cause: "terminal.power", kind: fixture, how: "dips in the kernel's log and a brown-out as the reason of the last restart; what shows is a reader that dropped off",
			prepare: writing("sys/class/watchdog/watchdog0/bootstatus", "0x10\n"),
			breaks: all(complaining("Under-voltage detected! (0x00050005)", "usb 1-1: USB disconnect, device number 4", "Under-voltage detected! (0x00050005)",
				"usb 1-1: USB disconnect, device number 5", "Under-voltage detected! (0x00050005)", "usb 1-1: USB disconnect, device number 6"),
				writing("sys/class/power_supply/dc/voltage_now", "4510000\n")), event: localCode("mpt:drv-icc")},
		{name: "battery-low", cause: "terminal.power", kind: fixture, how: "a battery at 4 %",
			breaks: all(writing("sys/class/power_supply/dc/online", "0\n"), writing("sys/class/power_supply/bat/type", "Battery\n"), writing("sys/class/power_supply/bat/status", "Discharging\n"),
				writing("sys/class/power_supply/bat/capacity", "4\n"), writing("sys/class/power_supply/bat/voltage_now", "3410000\n")), event: localCode("newpos:battery")},
		{name: "overheated", cause: "terminal.heat", kind: fixture, how: "a thermal zone at 98 °C, the processor held back",
			breaks: all(writing("sys/class/thermal/thermal_zone0/temp", "98400\n"), writing("sys/class/thermal/cooling_device0/type", "thermal-cpufreq-0\n"),
				writing("sys/class/thermal/cooling_device0/cur_state", "3\n")), event: localCode("TransactionFailed")},
		{name: "tampered", cause: "terminal.tamper", kind: peerFault, neo: true, how: "the reader answers that its case was opened",
			breaks: func(s *shop) error { s.neo.Change(func(n *sim.NEOState) { n.Tampered = true }); return nil },
			event:  localCode("newpos-ped:0x01")},

		// Reader, PIN pad, printer.
		{name: "reader-unplugged", cause: "reader.disconnected", kind: realFault, how: "the reader's tty vanishes",
			breaks: func(s *shop) error { s.readerLine.Unplug(); return nil }, event: localCode("mpt:drv-icc")},
		{name: "reader-silent", cause: "reader.disconnected", kind: peerFault, how: "the reader's tty is there, nothing answers on it",
			breaks: func(s *shop) error { s.reader.Change(func(r *sim.ReaderState) { r.Silent = true }); return nil },
			event:  localCode("mpt:drv-icc")},
		{name: "reader-hardware", cause: "reader.fault", kind: peerFault, how: "the reader reports a hardware error",
			breaks: func(s *shop) error { s.reader.Change(func(r *sim.ReaderState) { r.Hardware = true }); return nil },
			event:  localCode("mpt:drv-icc")},
		{name: "reader-dirty", cause: "reader.dirty", kind: peerFault, how: "five of eight different cards are not read, contactless works",
			breaks: reading("chip !chip !chip contactless !chip chip !chip !chip contactless chip"), event: localCode("mpt:0x04")},
		{name: "reader-noise", cause: "reader.line-noise", kind: realFault, how: "one byte in fifty is damaged on the reader's line",
			breaks: func(s *shop) error {
				s.readerLine.Spoil(1. / 50)
				return timesOver(6, asking("reader"))(s)
			}, event: localCode("newpos-port:0xFF")},
		{name: "pinpad-silent", cause: "pinpad.fault", kind: peerFault, how: "the application reports that its PIN pad is silent",
			breaks: saying("pinpad.port", "outcome", "silent"), event: localCode("newpos-ped:0x03")},
		{name: "printer-paper", cause: "printer.fault", kind: peerFault, how: "the application reports that there is no paper",
			breaks: saying("printer.status", "outcome", "no-paper"), event: localCode("newpos-prn:0x02")},

		// The modem.
		{name: "modem-gone", cause: "modem.absent", kind: realFault, modem: true, iface: "wwan0", how: "the modem's tty vanishes and its interface loses the carrier",
			breaks: func(s *shop) error { s.modemLine.Unplug(); return s.w.DropBearer() }, event: localCode(gprs)},
		{name: "modem-no-sim", cause: "modem.sim", kind: peerFault, modem: true, iface: "wwan0", how: "the modem answers that there is no SIM; its interface loses the carrier",
			breaks: modemState(func(m *sim.ModemState) {
				m.SIM, m.Stat, m.Attached, m.Active, m.Address = "10", 0, false, false,
					""
			}), event: localCode(gprs)},
		{name: "modem-denied", cause: "modem.denied", kind: peerFault, modem: true, iface: "wwan0", how: "the modem's registration is denied",
			breaks: modemState(func(m *sim.ModemState) { m.Stat, m.Attached, m.Active, m.Address = 3, false, false, "" }),
			event:  localCode(gprs)},
		{name: "modem-flight-mode", cause: "modem.radio-off", kind: peerFault, modem: true, iface: "wwan0", how: "somebody switched the modem's radio off",
			breaks: modemState(func(m *sim.ModemState) {
				m.RadioOff, m.Stat, m.Attached, m.Active, m.Address = true, 0, false, false, ""
			}), event: localCode(gprs)},
		{name: "modem-weak", cause: "modem.signal-weak", kind: peerFault, modem: true, iface: "wwan0", how: "the modem hears next to nothing and searches",
			breaks: modemState(func(m *sim.ModemState) {
				m.Stat, m.Attached, m.Active, m.Address, m.CSQ, m.RSRP, m.RSRQ, m.SINR = 2, false, false, "", 2, 14, 2, -8
			}), event: localCode(gprs)},
		{name: "carrier-down", cause: "wan.mobile-down", kind: peerFault, modem: true, iface: "wwan0", advised: carrierDown,
			how: "the modem hears no cell and searches, and the fleet says that most terminals of the carrier fail",
			breaks: all(heeding, modemState(func(m *sim.ModemState) {
				m.Stat, m.Attached, m.Active, m.Address, m.CSQ, m.RSRP, m.RSRQ = 2, false, false, "", 0, 255, 255
			})), event: localCode(gprs)},
		{name: "modem-apn", cause: "modem.apn", kind: peerFault, modem: true, iface: "wwan0", how: "registered, with another APN and no context",
			breaks: modemState(func(m *sim.ModemState) {
				m.APN, m.Active, m.Address, m.CEER = "internet", false, "", "requested service option not subscribed"
			}), event: localCode(gprs)},
		{name: "no-dial-tone", cause: "modem.line", kind: peerFault, modem: true, dialUp: true, prepare: noNetwork, how: "the dial-up driver reports no dial tone", event: localCode("newpos-modem:-3074")},
		{name: "dial-busy", cause: "modem.dial", kind: peerFault, modem: true, dialUp: true, prepare: noNetwork, how: "the dial-up driver reports that nobody answers", event: localCode("newpos-modem:-3077")},

		// The shop's network.
		{name: "cable-out", cause: "lan.cable", kind: realFault, how: "the far end of the cable is set down",
			breaks: func(s *shop) error { return s.w.Cut() }, event: connect},
		{name: "cable-loose", cause: "lan.cable", kind: realFault, how: "the far end of the cable goes down and comes back six times, and stays",
			breaks: loosen, event: noAnswer},
		{name: "wifi-off", cause: "lan.wifi", kind: realFault, iface: "wlan0", how: "a wireless interface loses its carrier",
			prepare: writing("sys/class/net/wlan0/wireless/.keep", ""), breaks: func(s *shop) error { return s.w.Cut() }, event: connect},
		{name: "gateway-elsewhere", cause: "lan.address", kind: realFault, how: "another address; the default route points out of the new subnet",
			breaks: inTerminal("ip addr add 192.168.7.23/24 dev eth0", "ip addr del 192.168.1.23/24 dev eth0"), event: connect},
		{name: "no-address", cause: "lan.address", kind: realFault, how: "the interface has lost its address and route",
			breaks: inTerminal("ip addr flush dev eth0"), event: connect},
		{name: "router-dead", cause: "lan.gateway", kind: realFault, how: "the router's address is gone; the cable is in",
			breaks: func(s *shop) error { return s.w.KillGateway() }, event: connect},
		{name: "address-twice", cause: "lan.conflict", kind: realFault, how: "another device on the network has the terminal's address", breaks: twin, event: noAnswer},
		{name: "two-ways-out", cause: "lan.conflict", kind: realFault, how: "two equally good default routes",
			breaks: inTerminal("ip link add eth1 type veth peer name far1", "ip link set far1 up", "ip addr add 192.168.9.2/24 dev eth1", "ip link set eth1 up", "ip route append default via 192.168.9.1 dev eth1"), event: noAnswer},
		{name: "site-firewall", cause: "lan.firewall", kind: realFault, how: "the router refuses the host's port with a reset, the host is 40 ms away", prepare: farTapped,
			breaks: all(delaying(40*time.Millisecond), forwarding("tcp dport 5000 reject with tcp reset")), event: connect},
		{name: "sign-in-page", cause: "lan.portal", kind: realFault, portal: true, how: "the site lets nothing out but to its own sign-in page",
			breaks: all(func(s *shop) error { s.walled.Store(true); return nil }, forwarding("tcp dport { 443, 5000 } drop")), event: connect},

		// Beyond.
		{name: "internet-lost", cause: "wan.outage", kind: realFault, how: "the router drops all that goes beyond it",
			breaks: func(s *shop) error { return s.w.LoseInternet(true) }, event: connect},
		{name: "resolver-stopped", cause: "wan.dns", kind: realFault, how: "the only resolver is stopped",
			breaks: func(s *shop) error { return s.resolver.Shutdown() }, event: connect},
		{name: "loss-30", cause: "wan.loss", kind: realFault, how: "the router drops 30 % of all packets",
			breaks: forwarding("numgen random mod 100 < 30 drop"), event: noAnswer},
		{name: "delay-2s", cause: "wan.slow", kind: realFault, how: "everything takes two seconds there and back",
			prepare: farTapped, breaks: all(asking("net"), delaying(2*time.Second)), event: noAnswer},
		{name: "mtu-hole", cause: "wan.mtu", kind: realFault, how: "packets above 1200 bytes vanish without a word",
			breaks: forwarding("meta length > 1200 drop"), event: noAnswer},
		{name: "tls-intercepted", cause: "wan.tls", kind: realFault, how: "both places present certificates of another authority",
			breaks: func(s *shop) error {
				if err := s.makeCA(); err != nil {
					return err
				}
				return s.certify(time.Now().Add(-time.Hour), time.Now().AddDate(0, 3, 0))
			}, event: connect},
		{name: "tls-large-hello", cause: "wan.tls-large-hello", kind: realFault, how: "a TCP segment above 1400 bytes never gets to the host",
			breaks: forwarding("meta l4proto tcp ip daddr " + world.HostIP + " meta length > 1400 drop"), event: connect},
		{name: "trust-store-old", cause: "terminal.trust-store", kind: realFault, how: "the root in the terminal's store ended, beside good certificates of the hosts",
			breaks: func(s *shop) error { return s.oldRoot() }, event: connect},
		{name: "client-cert-expired", cause: "terminal.client-cert", kind: peerFault, how: "the application reports that its own certificate ended three days ago",
			breaks: saying("app.config", "client_cert_days_left", -3.0), event: connect},
		{name: "own-certificate-ended", cause: "terminal.client-cert", kind: realFault,
			how: "the terminal's own certificate ended an hour ago", prepare: ownCertificate, breaks: all(again(connect, 2), asking("board.certificates")), event: connect},
		{name: "application-alone", cause: "terminal.app-network", kind: peerFault, how: "the application reports five times that it cannot connect; each time the terminal itself can", breaks: again(connect, 5), event: connect},
		{name: "moved", cause: "terminal.moved", kind: peerFault, modem: true, iface: "wwan0", how: "another router, another area and another public address, and the host answers 58",
			breaks: moved, event: hostCode("58")},
		{name: "3g-switched-off", cause: "modem.sunset", kind: peerFault, modem: true, iface: "wwan0", how: "a 3G modem on AT&T's network, which ended it in 2022, searches", prepare: oldModem,
			breaks: all(asking("modem.registration"), func(s *shop) error { return s.good(1) },
				modemState(func(m *sim.ModemState) { m.Stat, m.Attached, m.Active = 2, false, false })), event: connect},
		{name: "session-without-data", cause: "wan.no-traffic", kind: realFault, modem: true, iface: "wwan0", how: "registered, a context is up, and nothing passes, not even to the name server",
			breaks: func(s *shop) error { return s.w.LoseInternet(true) }, event: connect},
		{name: "ipv6-bearer", cause: "wan.no-ipv4", kind: realFault, modem: true, iface: "wwan0", byAddress: true, how: "the context has an IPv6 address alone, the host is set by an IPv4 one",
			breaks: all(inTerminal("ip route del default"), func(s *shop) error {
				s.modem.Change(func(m *sim.ModemState) { m.Address = "2001:db8:12::7" })
				return nil
			}), event: connect},
		{name: "new-year", cause: "terminal.date-bug", kind: fixture, how: "the year changes between two sales, and none goes well in the new one", breaks: newYear, event: localCode("PAY-17")},
		{name: "bearer-flapping", cause: "bearer.flapping", kind: realFault, how: "the default route moves between two interfaces six times", breaks: wander, event: noAnswer},

		// People, and what nobody knows.
		{name: "wrong-amount", cause: "operator.entry", kind: peerFault, how: "the host answers 13, the application knows of a wrong menu",
			breaks: saying("app.operator", "role_ok", true, "menu_ok", false), event: hostCode("13")},
		{name: "no-right", cause: "operator.permission", kind: peerFault, how: "the application reports that the operator lacks the right",
			breaks: saying("app.operator", "role_ok", false), event: localCode("newpos:E2")},
		{name: "unknown", cause: "unexplained", kind: peerFault, how: "a cashier's SDK says 9997 and nothing is wrong here",
			event: event{code: "9997", origin: "cashier", txn: map[string]any{"entry": "code"}}},
	}
}

// again has the application fail some times more; each is looked at anew.
func again(e event, n int) func(*shop) error {
	return timesOver(n, func(s *shop) error {
		_, err := s.code(e)
		time.Sleep(3200 * time.Millisecond) // a repeat within three seconds stands on the last look
		return err
	})
}

// ownCertificate puts one that has ended where the configuration names it.
func ownCertificate(s *shop) error {
	own, err := s.ca.TrySign(&x509.Certificate{Subject: pkix.Name{CommonName: "t1"},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().Add(-time.Hour)})
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("client.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Cert.Raw}), 0o644)
}

// oldModem is one that can do no more than UMTS, on a network that had it.
func oldModem(s *shop) error {
	s.modemLine.Unplug()
	state := sim.GoodModem()
	state.Address, state.Act, state.Operator = world.TerminalIP, 2, "310410"
	s.modem = sim.NewModem(sim.OldQuectel(), state, 1)
	s.modemLine = sim.NewLine(s.path("ttyModem"), s.modem, 1)
	return s.modemLine.Plug()
}

// moved carries the terminal to another place.
func moved(s *shop) error {
	if err := s.fact("app.config", map[string]any{"public_address": "198.51.100.7"}); err != nil {
		return err
	}
	s.modem.Change(func(m *sim.ModemState) { m.Area = "1A2B" })
	if err := asking("modem.registration", "net.gateway")(s); err != nil {
		return err
	}
	if err := s.good(1); err != nil {
		return err
	}
	s.modem.Change(func(m *sim.ModemState) { m.Area = "77F0" })
	if err := s.at(s.w.Router, "ip link set lan0 address 02:00:5e:10:00:99"); err != nil {
		return err
	}
	if err := inTerminal("ip neigh flush all")(s); err != nil {
		return err
	}
	return all(asking("modem.registration", "net.gateway"), saying("app.config", "public_address", "203.0.113.9"))(s)
}

// newYear turns the terminal's clocks to a moment after midnight.
func newYear(s *shop) error {
	time.Sleep(1500 * time.Millisecond) // what went well was in the old year
	now := time.Now()
	turned := time.Date(now.Year()+1, 1, 1, 0, 0, 0, 0, time.Local)
	if err := s.put("sys/class/rtc/rtc0/since_epoch", strconv.FormatInt(turned.Unix(), 10)); err != nil {
		return err
	}
	if err := s.put("ahead", turned.Sub(now).String()); err != nil {
		return err
	}
	if err := asking("board.clock")(s); err != nil {
		return err
	}
	return again(localCode("PAY-17"), 3)(s)
}

func fillDisk(s *shop) error {
	f, err := os.Create(filepath.Join(s.path("data"), "debug.log"))
	if err != nil {
		return err
	}
	defer f.Close()
	for b := make([]byte, 64<<10); len(b) > 0; {
		if _, err := f.Write(b); errors.Is(err, syscall.ENOSPC) {
			b = b[:len(b)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

// noNetwork takes the network interface out: a terminal that dials has none.
func noNetwork(s *shop) error { return s.at(s.w.Terminal, "ip link del "+s.iface) }

// twin puts another device with the terminal's address on the router's side of the cable.
func twin(s *shop) error {
	other, err := world.NewNet()
	if err != nil {
		return err
	}
	pid := strconv.Itoa(os.Getpid())
	// A macvlan of the router's port is a neighbour of its own; it is moved by the descriptor of its namespace.
	if err := s.at(s.w.Router, fmt.Sprintf("ip link add link lan0 name twin0 netns /proc/%s/fd/%d type macvlan mode bridge", pid, other.File().Fd())); err != nil {
		return errCannot(err.Error())
	}
	if err := other.Address("twin0", world.TerminalIP+"/24"); err != nil {
		return err
	}
	return other.Up("twin0")
}

// loosen is a plug that makes contact again each time.
func loosen(s *shop) error {
	for range 6 {
		if err := s.w.Cut(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // each is a change of its own for the kernel, which tells of them singly
		if err := s.w.Mend(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // as above
	}
	return nil
}

// wander moves the default route between the cable and a second interface.
func wander(s *shop) error {
	if err := inTerminal("ip link add eth1 type veth peer name far1", "ip link set far1 up", "ip addr add 192.168.9.2/24 dev eth1", "ip link set eth1 up")(s); err != nil {
		return err
	}
	for range 3 {
		if err := inTerminal("ip route replace default via 192.168.9.1 dev eth1")(s); err != nil {
			return err
		}
		time.Sleep(1200 * time.Millisecond) // the monitor looks once a second
		if err := inTerminal("ip route replace default via 192.168.1.1 dev eth0")(s); err != nil {
			return err
		}
		time.Sleep(1200 * time.Millisecond) // as above
	}
	return nil
}
