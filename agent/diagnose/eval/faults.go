package main

import (
	"math"
	"strings"

	"posdx/agent/report"
)

// A fault breaks a world. Its cause is the truth; also lists other ids that would be as right.
type fault struct {
	name  string
	cause string
	also  []string
	set   func(w *world)
}

// dressings are the ways in which one mechanism shows: writers, schemes and wordings.
var dressings = [...]string{" by cashier", " strange code", " gicc", " 1993", " channel", " visa", " ext", " alone", " 4"}

// mechanism names what is really broken, whatever code it shows by: all variants of one are left out together.
func (f *fault) mechanism() string {
	name := f.name
	for _, d := range dressings {
		name = strings.TrimSuffix(name, d)
	}
	return name
}

// answers is a fault whose verdict the host speaks.
func answers(name, cause, scheme, code, failing string, more ...func(w *world)) fault {
	return fault{name: name, cause: cause, set: func(w *world) {
		w.scheme, w.code, w.failing = scheme, code, failing
		for _, f := range more {
			f(w)
		}
	}}
}

func or(f fault, also ...string) fault { f.also = append(f.also, also...); return f }

func wired(w *world)   { w.kind = "ethernet"; w.backup = "" }
func mobile(w *world)  { w.kind, w.backup = "cellular", "" }
func cashier(w *world) { w.origin = report.OriginCashier }
func strange(w *world) { w.origin = report.OriginUnknown }

// line makes three faults of one: seen through the terminal's own code, a cashier program's and one in no table.
func line(name, cause string, set func(w *world), also ...string) []fault {
	return []fault{
		{name, cause, also, set},
		{name + " by cashier", cause, also, func(w *world) { set(w); cashier(w) }},
		{name + " strange code", cause, also, func(w *world) { set(w); strange(w) }},
	}
}

func faults() []fault {
	list := []fault{
		answers("approved", "none", "unionpay", "00", "one"),
		answers("funds", "account.funds", "unionpay", "51", "one"),
		answers("funds 1993", "account.funds", "iso8583-1993", "116", "one"),
		answers("funds channel", "account.funds", "channel-cn", "19", "one"),
		answers("limit", "account.limit", "unionpay", "61", "one"),
		answers("count limit", "account.limit", "unionpay", "65", "one"),
		answers("state", "account.state", "unionpay", "62", "one"),
		answers("dormant", "account.state", "unionpay", "21", "one"),
		or(answers("not permitted to cardholder", "account.state", "unionpay", "57", "one"), "issuer.declined", "account.limit"),
		answers("pin", "account.pin", "unionpay", "55", "one"),
		answers("pin tries", "account.pin", "unionpay", "75", "one"),
		answers("pin visa", "account.pin", "iso8583-1987", "55", "one"),
		answers("expired", "card.expired", "unionpay", "54", "one"),
		answers("expired channel", "card.expired", "channel-cn", "20", "one"),
		or(answers("do not honour", "issuer.declined", "unionpay", "01", "one"), "account.state"),
		or(answers("refused gicc", "issuer.declined", "gicc-de", "05", "one"), "account.state"),
		answers("fraud", "risk.fraud", "unionpay", "34", "one"),
		answers("stolen", "risk.fraud", "unionpay", "43", "one"),
		answers("pick up", "risk.fraud", "unionpay", "04", "one"),
		answers("fallback", "card.wrong-method", "unionpay", "45", "one", func(w *world) { w.entry = "stripe" }),
		answers("typed wrongly", "card.data-mistyped", "unionpay", "14", "one", func(w *world) { w.entry = "manual" }),
		answers("cvn typed wrongly", "card.data-mistyped", "unionpay", "59", "one", func(w *world) { w.entry = "manual" }),
		answers("issuer down", "issuer.unavailable", "unionpay", "91", "issuer"),
		answers("issuer down gicc", "issuer.unavailable", "gicc-de", "91", "issuer"),
		answers("issuer late", "issuer.unavailable", "unionpay", "68", "issuer", func(w *world) { w.issuer = "late" }),
		answers("issuer silent", "issuer.unavailable", "unionpay", "98", "issuer", func(w *world) { w.issuer = "late" }),
		answers("switch no route", "switch.malfunction", "unionpay", "92", "all", func(w *world) { w.scope = "acquirer" }),
		answers("switch cut-over", "switch.malfunction", "unionpay", "90", "all", func(w *world) { w.scope = "acquirer" }),
		or(answers("host fault", "host.malfunction", "unionpay", "96", "all", func(w *world) { w.host, w.scope = "fault", "acquirer" }), "switch.malfunction"),
		or(answers("host fault alone", "host.malfunction", "gicc-de", "96", "all", func(w *world) { w.host = "fault" }), "switch.malfunction"),
		answers("host fault 4", "host.malfunction", "acquirer-ext", "E1", "all", func(w *world) { w.host, w.scope = "fault", "acquirer" }),
		answers("host slow answers", "host.overloaded", "unionpay-reject", "20000", "some", func(w *world) { w.host, w.scope = "slow", "acquirer" }),
		{"host slow", "host.overloaded", nil, func(w *world) {
			w.host, w.scope, w.failing = "slow", "acquirer", "some" // without an answer in time: a 68 would be the switch's word about the issuer
			w.local = []string{"newpos:E7", "mpt:0xD4", "newpos:comm-timeout"}
		}},
		answers("merchant unknown", "merchant.not-registered", "unionpay", "03", "all"),
		answers("merchant unknown gicc", "merchant.not-registered", "gicc-de", "86", "all", func(w *world) { w.newTerminal = true }),
		or(answers("not permitted", "merchant.not-permitted", "unionpay", "58", "all"), "terminal.not-registered"),
		answers("not permitted channel", "merchant.not-permitted", "channel-cn", "40", "all"),
		answers("terminal unknown", "terminal.not-registered", "unionpay", "97", "all", func(w *world) { w.newTerminal = true }),
		answers("terminal closed", "terminal.not-registered", "unionpay", "97", "all"),
		answers("terminal unknown gicc", "terminal.not-registered", "gicc-de", "58", "all", func(w *world) { w.newTerminal = true }),
		answers("wrong id", "terminal.config", "unionpay", "97", "all", func(w *world) { w.config, w.changed = "terminal_id", []string{"terminal_id"} }),
		answers("wrong merchant id", "terminal.config", "unionpay", "03", "all", func(w *world) { w.config, w.changed = "merchant_id", []string{"parameters"} }),
		answers("keys lost", "terminal.keys", "unionpay", "A0", "all", func(w *world) { w.keys = "mismatch" }),
		answers("pin key", "terminal.keys", "unionpay", "99", "all", func(w *world) { w.keys = "missing" }),
		answers("mac gicc", "terminal.keys", "gicc-de", "97", "all", func(w *world) { w.keys = "mismatch" }),
		answers("not signed in", "terminal.session", "unionpay", "77", "all", func(w *world) { w.session = "out" }),
		answers("not signed in channel", "terminal.session", "channel-cn", "73", "all", func(w *world) { w.session = "out" }),
		answers("format", "terminal.protocol", "unionpay", "30", "all", func(w *world) {
			w.badUpdate, w.changed, w.scope = true, []string{"app_version"}, "model"
		}),
		answers("format gicc", "terminal.protocol", "gicc-de", "30", "all", func(w *world) { w.badUpdate, w.changed = true, []string{"app_version"} }),
		answers("version", "terminal.app-old", "channel-cn", "M2", "all", func(w *world) { w.oldApp = true }),
		answers("version ext", "terminal.app-old", "acquirer-ext", "YQ", "all", func(w *world) { w.oldApp = true }),
		answers("duplicate trace", "terminal.journal", "unionpay", "94", "one", func(w *world) { w.reused = true }),
		or(answers("no original", "terminal.journal", "unionpay", "25", "one"), "operator.entry"),
		answers("clock host", "terminal.clock", "gicc-de", "98", "all", func(w *world) { w.clock = w.span(400, 5000, 85000) }),
		answers("amount", "operator.entry", "unionpay", "13", "one"),

		{"card damaged", "card.damaged", nil, func(w *world) {
			w.card, w.failing, w.entry = "damaged", "one", pick(w.Rand, "chip", "stripe")
			w.local = []string{"zvt:0x64", "zvt:0x72", "abecs:060", "newpos:E12", "mpt:0xC0"}
		}},
		{"reader dirty", "reader.dirty", nil, func(w *world) {
			w.reader, w.failing, w.entry = "dirty", "some", pick(w.Rand, "stripe", "chip")
			w.local = []string{"newpos:E12", "abecs:041", "zvt:0x64", "mpt:0xC0"}
		}},
		{"reader gone", "reader.disconnected", nil, func(w *world) {
			w.reader, w.local = pick(w.Rand, "gone", "silent"), []string{"mpt:drv-icc", "zvt:0xE2", "mpt:0x03", "zvt:0xFC"}
		}},
		{"reader fault", "reader.fault", nil, func(w *world) {
			w.reader, w.local, w.failing = "fault", []string{"zvt:0xE2", "mpt:drv-mag", "mpt:0x04"}, "some"
		}},
		{"reader noise", "reader.line-noise", nil, func(w *world) {
			w.reader, w.local, w.failing = "noise", []string{"newpos-port:0xFF", "mpt:0x04", "zvt:0x64"}, "some"
		}},
		{"tamper", "terminal.tamper", nil, func(w *world) { w.reader, w.local = "tamper", []string{"newpos-ped:0x01", "abecs:047"} }},
		{"pin pad", "pinpad.fault", nil, func(w *world) { w.pinpad = pick(w.Rand, "silent", "fault") }},
		{"paper", "printer.fault", nil, func(w *world) { w.printer, w.local = "no-paper", []string{"newpos-prn:0x02", "windcave:P1"} }},
		{"printer jam", "printer.fault", nil, func(w *world) {
			w.printer, w.local = pick(w.Rand, "jam", "fault"), []string{"newpos-prn:0x04", "zvt:0xCC"}
		}},
		{"keys local", "terminal.keys", nil, func(w *world) { w.keys, w.local = "local", []string{"newpos-ped:0x09", "zvt:0x85", "abecs:042"} }},
		{"role", "operator.permission", nil, func(w *world) { w.role, w.failing, w.local = false, "one", []string{"zvt:0x6B", "E-7"} }},
	}
	for _, l := range [][]fault{
		line("cable out", "lan.cable", func(w *world) { wired(w); w.carrier = false; w.flaps = 1 }),
		line("cable loose", "lan.cable", func(w *world) {
			wired(w)
			w.flaps = int(w.span(3, 6, 26))
			w.lanLoss = w.span(4, 10, 14)
			w.carrier = w.chance(0.5)
		}),
		line("wifi key", "lan.wifi", func(w *world) { w.kind, w.wifiAuth, w.wifiJoined = "wifi", false, false }),
		line("wifi weak", "lan.wifi", func(w *world) { w.kind, w.rssi, w.broken = "wifi", -w.span(77, 83, 89), "line" }),
		line("address", "lan.address", func(w *world) {
			wired(w)
			if w.address = pick(w.Rand, "wrong", "none"); w.address == "wrong" || w.chance(0.3) {
				// a DHCP server that gives none changes no settings
				w.changed = []string{"ip_config"}
			}
		}),
		line("router dead", "lan.gateway", func(w *world) { w.kind, w.gateway = pick(w.Rand, "ethernet", "wifi"), "dead" }),
		line("duplicate", "lan.conflict", func(w *world) { wired(w); w.address, w.failing = pick(w.Rand, "duplicate", "routes"), "some" }),
		line("crc", "lan.noise", func(w *world) {
			wired(w)
			w.crc, w.lanLoss, w.failing = w.span(60, 300, 3300), w.span(7, 15, 30), "some"
		}),
		line("firewall", "lan.firewall", func(w *world) {
			wired(w)
			w.firewall = pick(w.Rand, "drop", "reject")
			if w.chance(0.5) { // a box put before the router changes nothing in the terminal; a new router does
				w.changed = []string{"ip_config"}
			}
			w.scope = pick(w.Rand, "", "site")
		}, "host.unreachable"),
		line("outage", "wan.outage", func(w *world) { w.wan = "out"; w.scope = pick(w.Rand, "", "", "carrier") }),
		line("dns", "wan.dns", func(w *world) { w.dns = "out" }),
		line("loss", "wan.loss", func(w *world) { w.loss, w.failing, w.broken = w.span(7, 20, 45), "some", "line" }),
		line("slow", "wan.slow", func(w *world) { w.rtt, w.failing, w.broken = w.span(700, 1800, 4300), "some", "line" }),
		line("mtu", "wan.mtu", func(w *world) { w.mtu = false; w.loss = 0 }, "host.tls"),
		line("interception", "wan.tls", func(w *world) { w.intercept = true }),
		line("old trust", "wan.tls", func(w *world) { w.oldTrust = true; w.oldApp = true }),
		line("flapping", "bearer.flapping", func(w *world) {
			w.changes, w.flaps, w.failing, w.broken = int(w.span(3, 6, 16)), 6+w.IntN(9), "some", "line"
			w.kind = pick(w.Rand, "cellular", "wifi")
		}),
		line("host dead", "host.unreachable", func(w *world) { w.host = "dead"; w.scope = pick(w.Rand, "", "acquirer") }, "lan.firewall"),
		line("port closed", "host.port-closed", func(w *world) { w.host = "refuses"; w.scope = pick(w.Rand, "", "acquirer") }),
		line("certificate", "host.tls", func(w *world) {
			w.host = pick(w.Rand, "expired", "name", "hang")
			w.scope = pick(w.Rand, "", "acquirer")
		}),
		line("clock", "terminal.clock", func(w *world) { w.clock = -3e7 - 1e8*w.Float64() }),
		line("modem gone", "modem.absent", func(w *world) { mobile(w); w.modem = pick(w.Rand, "silent", "gone") }),
		line("sim", "modem.sim", func(w *world) { mobile(w); w.sim = pick(w.Rand, "missing", "pin", "puk", "failure") }),
		line("denied", "modem.denied", func(w *world) { mobile(w); w.reg = "denied" }),
		line("no coverage", "modem.signal-weak", func(w *world) { mobile(w); w.rsrp = -124; w.reg = "searching" }),
		line("weak signal", "modem.signal-weak", func(w *world) { mobile(w); w.rsrp = -w.span(111, 119, 124); w.failing, w.broken = "some", "line" }),
		line("apn", "modem.apn", func(w *world) { mobile(w); w.apn = pick(w.Rand, "bad", "none") }),
		line("no dial tone", "modem.line", func(w *world) {
			w.pstn, w.dialTone = true, "no-dialtone"
			w.local = []string{"newpos-modem:-3074", "mpt:0x09", "zvt:0x9B"}
		}),
		line("no answer on the line", "modem.dial", func(w *world) {
			w.pstn, w.dialTone = true, pick(w.Rand, "busy", "no-answer")
			w.local = []string{"newpos-modem:-3077", "mpt:0x09", "newpos-modem:-3079"}
		}),
		line("disk full", "terminal.storage-full", func(w *world) { w.free = w.span(2.5, 1, 0); w.inodes, w.broken = 20, "storage" }),
		line("flash", "terminal.storage-fault", func(w *world) { w.ioErrors = int(w.span(2, 6, 56)); w.readOnly, w.broken = w.chance(0.5), "storage" }),
		line("crash", "terminal.app-crash", func(w *world) { w.app = pick(w.Rand, "crashing", "down") }),
		line("memory", "terminal.overloaded", func(w *world) { w.available, w.oom, w.broken = w.span(11, 6, 2), math.Floor(w.span(0, 1, 7)), "load" }),
		line("cpu", "terminal.overloaded", func(w *world) { w.cpu, w.broken = w.span(42, 65, 95), "load" }),
		line("brown-out", "terminal.power", func(w *world) { w.power = "dips"; w.failing = "some" }),
		line("battery", "terminal.power", func(w *world) { w.power = "battery" }),
		line("heat", "terminal.heat", func(w *world) {
			w.hot, w.throttled, w.cpu = true, true, 10+50*w.Float64()
			w.failing, w.broken = "some", "load"
		}),
		// Much of what is reported is gone, or was never to be seen from inside, when somebody looks: every check is well,
		// and nothing is the honest answer (no fault found).
		line("passed by", report.Unexplained, func(w *world) { w.passed, w.failing = pick(w.Rand, "connect", "sent"), "some" }),
		line("out of sight", report.Unexplained, func(w *world) { w.passed, w.failing = "early", pick(w.Rand, "one", "some") }),
		line("wrong host", "terminal.config", func(w *world) { w.config, w.changed = "host", []string{"host_address"} }),
	} {
		list = append(list, l...)
	}
	return list
}
