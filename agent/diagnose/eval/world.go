package main

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"posdx/agent/report"
)

// A world is one terminal, its shop, its line and everything behind it, at the moment of one sale. Faults change it;
// the sale and the checks only look at it. Nothing here knows how the engine weighs.
type world struct {
	*rand.Rand
	kind   string // of the bearer in use: ethernet wifi cellular
	backup string // "", or a modem beside the cable: fitted, nosim
	pstn   bool   // dial-up instead of all that

	carrier              bool
	flaps                int
	wifiJoined, wifiAuth bool
	rssi                 float64
	address              string // ok wrong none duplicate routes
	gateway              string // ok dead
	lanLoss, crc         float64
	// modem ok silent gone garbled; sim ready missing pin puk failure; reg home denied searching
	modem, sim, reg string
	rsrp            float64
	apn             string // ok bad none
	dialTone        string // ok no-dialtone busy no-answer no-carrier
	changes         int

	wan                   string // ok out
	dns                   string // ok out
	loss, rtt             float64
	mtu                   bool
	intercept, oldTrust   bool
	firewall              string // "" drop reject
	host                  string // ok dead refuses slow fault hang expired name busy
	swtch, issuer         string // ok down late fault
	code                  string // answer of the host when all else works, by scheme
	scheme                string
	clock                 float64
	power                 string // ok dips battery
	hot, throttled        bool
	free, inodes          float64
	readOnly              bool
	ioErrors              int
	available, oom, cpu   float64
	app                   string // ok crashing down
	oldApp, badUpdate     bool
	reader                string // ok gone silent fault tamper dirty noise
	entry                 string
	pinpad, printer       string
	card                  string // ok damaged
	keys, session         string // keys ok missing mismatch; session ok out
	config                string // ok or the member that is wrong
	changed               []string
	reused                bool
	pending               int
	role, menu            bool
	newTerminal           bool
	failing               string // who meets the code: one (this card) all issuer some
	scope                 string // which other terminals see it: "" acquirer carrier site model
	origin                report.Origin
	local                 []string // codes this kind of failure gets from terminals
	uptime                int64
	sent, answered        bool
	edge                  bool   // the fault is no worse than it must be
	broken                string // line storage load: what stops the sale however mild it is
	passed                string // early connect sent: where something stopped the sale that no check sees afterwards
	connectMS, responseMS float64
}

func newWorld(r *rand.Rand) *world {
	w := &world{Rand: r, kind: pick(r, "ethernet", "ethernet", "wifi", "cellular"), carrier: true, wifiJoined: true, wifiAuth: true,
		rssi: -45 - 25*r.Float64(), address: "ok", gateway: "ok", modem: "ok", sim: "ready", reg: "home", rsrp: -75 - 30*r.Float64(), apn: "ok",
		dialTone: "ok", wan: "ok", dns: "ok", rtt: 10 + 60*r.Float64(), mtu: true, host: "ok", swtch: "ok", issuer: "ok", scheme: "unionpay",
		clock: r.Float64()*3 - 1, power: "ok", free: 8 + 70*r.Float64(), inodes: 30 + 60*r.Float64(),
		available: 40 + 200*r.Float64(),
		cpu:       12 * r.Float64(), app: "ok", reader: "ok", entry: pick(r, "chip", "chip", "contactless", "stripe"), pinpad: "ok", printer: "ok",
		card: "ok", keys: "ok", session: "ok", config: "ok", role: true, menu: true, failing: "all", origin: report.OriginHost,
		uptime: 3600_000 + r.Int64N(9e8)}
	if w.kind == "ethernet" && r.Float64() < 0.25 {
		w.backup = pick(r, "fitted", "nosim")
	}
	return w
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// span draws how bad a thing is: from clear to worst, or, in a world on the edge, from mild to clear.
func (w *world) span(mild, clear, worst float64) float64 {
	if w.edge {
		return mild + (clear-mild)*w.Float64()
	}
	return clear + (worst-clear)*w.Float64()
}

func (w *world) chance(p float64) bool { return w.Float64() < p }

// links tells whether the terminal has a working way out of the shop, and what stops it.
func (w *world) links() bool {
	switch {
	case w.pstn:
		return w.dialTone == "ok" && w.modem == "ok"
	case w.kind == "cellular":
		return w.modem == "ok" && w.sim == "ready" && w.reg == "home" && w.apn == "ok"
	case w.kind == "wifi":
		return w.wifiJoined && w.wifiAuth && w.address == "ok" && w.gateway == "ok"
	}
	return w.carrier && w.address != "wrong" && w.address != "none" && w.gateway == "ok"
}

// pathLoss is what a packet to the outside risks, in per cent.
func (w *world) pathLoss() float64 {
	l := w.loss + w.lanLoss
	if w.kind == "cellular" {
		l += 55 * logistic((-116-w.rsrp)/2)
	}
	if w.kind == "wifi" {
		l += 40 * logistic((-81-w.rssi)/1.5)
	}
	if w.address == "duplicate" || w.address == "routes" {
		l += 30
	}
	return math.Min(l, 95)
}

// logistic is how a radio gives way: over a few decibels, not at one (3GPP TS 36.133 9.1.4 reports RSRP from -44 down
// to -140 dBm; makers draw the line for "no service" between -100 and -120).
func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func (w *world) roundTrip() float64 {
	t := w.rtt
	if w.kind == "cellular" {
		t += 60 + 900*logistic((-116-w.rsrp)/2)
	}
	if w.kind == "wifi" {
		t += 250 * logistic((-81-w.rssi)/1.5)
	}
	return t
}

func (w *world) badClock() bool { return math.Abs(w.clock) > 30*86400 }

// connectOutcome is what a connection to the host ends in.
func (w *world) connectOutcome() string {
	switch {
	case !w.links():
		return pick(w.Rand, "unreachable", "unreachable", "timeout")
	case w.wan == "out":
		return pick(w.Rand, "timeout", "unreachable", "timeout")
	case w.firewall == "drop" || w.host == "dead" || w.config == "host":
		return "timeout"
	case w.firewall == "reject":
		return "refused"
	case w.host == "refuses":
		return "refused"
	case w.pathLoss() > 45 && w.chance(0.6):
		return "timeout"
	}
	return "ok"
}

func (w *world) tlsOutcome() string {
	switch {
	case w.badClock() && w.clock < 0:
		return "not-yet-valid"
	case w.badClock():
		return "expired"
	case w.intercept:
		return pick(w.Rand, "unknown-ca", "name-mismatch")
	case w.oldTrust:
		return "unknown-ca"
	case w.host == "expired":
		return "expired"
	case w.host == "name":
		return "name-mismatch"
	case w.host == "hang" || !w.mtu:
		return "timeout"
	}
	return "ok"
}

// sale runs the transaction and returns the event it ends in.
func (w *world) sale() report.Event {
	ev := report.Event{ID: "01-0000000001", Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), UptimeMS: w.uptime,
		BootID: "b", ClockTrusted: !w.badClock(),
		Scheme: w.scheme, Channel: pick(w.Rand, report.ChannelHook, report.ChannelLog, report.ChannelECR,
			report.ChannelCapture)}
	txn := &report.Txn{STAN: strconv.Itoa(100000 + w.IntN(800000)), TerminalID: strconv.Itoa(10000000 + w.IntN(9e6)),
		Entry: w.entry}
	ev.Txn = txn
	localFail := func(stage string, codes ...string) {
		ev.Origin = report.OriginTerminal
		if len(w.local) > 0 {
			codes = w.local
		}
		ev.Code, ev.Scheme = pick(w.Rand, codes...), pick(w.Rand, "", "terminal-local")
		txn.MTI = "0200"
		w.sent = stage == "sent"
		if stage == "sent" && w.chance(0.4) {
			ev.Code, ev.Scheme, txn.MTI = pick(w.Rand, "98", "98", "06"), "unionpay", "0400"
			w.pending = 1
		}
		if w.origin == report.OriginCashier {
			ev.Origin, ev.Code, ev.Scheme = report.OriginCashier, pick(w.Rand, "96", "9997", "9999", "E102", "-1", "91"), ""
		} else if w.origin == report.OriginUnknown {
			ev.Origin, ev.Code, ev.Scheme = report.OriginTerminal, pick(w.Rand, "X-17", "T9", "ERR_221", "0x51"), ""
		}
	}
	switch c := w.connectOutcome(); {
	case w.passed == "early":
		localFail("early", "TransactionFailed", "newpos:E2", "zvt:0xFF", "mpt:0x05", "DataTransferError", "zvt:0x64")
	case w.passed == "connect":
		localFail("early", "ConnectError", "newpos:E5", "mpt:net-connect", "CommunicationError", "zvt:0xA3")
	case w.passed == "sent":
		w.connectMS = w.roundTrip() * 1.1
		localFail("sent", "newpos:E7", "mpt:0xD4", "newpos:comm-timeout", "CommunicationError", "rc17:FF")
	case w.power == "battery" || w.power == "dips" && w.chance(0.4):
		localFail("early", "newpos:battery", "zvt:0xBF", "seed:TransactionFailed")
		if w.power == "dips" {
			localFail("sent", "newpos:E9")
			ev.Code, ev.Scheme, txn.MTI, w.pending = "06", "unionpay", "0400", 1
		}
	case w.reader != "ok" || w.card == "damaged":
		localFail("early", "zvt:0x64")
	case w.pinpad != "ok" || w.keys == "local":
		localFail("early", "zvt:0x89", "zvt:0xED", "newpos-ped:0x03")
	case w.printer != "ok":
		localFail("early", "newpos-prn:0x04")
	case w.free < 1.5 || w.inodes < 1.5 || w.readOnly || w.ioErrors > 2 || w.broken == "storage":
		localFail("early", "mpt:file-write", "newpos:E21", "mpt:sqlite", "DataTransferError", "newpos:E18")
	case w.app != "ok" || w.oom > 0 || w.cpu > 55 || w.throttled || w.broken == "load":
		localFail("early", "TransactionFailed", "newpos:E2", "zvt:0xFF", "mpt:0x05")
	case !w.role || !w.menu:
		localFail("early", "zvt:0x6B", "newpos:E3")
	case w.dns == "out" && !w.pstn && w.links() && w.wan == "ok":
		localFail("early", "ConnectError", "newpos:E5", "mpt:net-connect", "CommunicationError")
	case c == "refused":
		localFail("early", "ConnectError", "newpos:E5", "mpt:net-reject", "newpos-net:1047")
	case c != "ok":
		localFail("early", "ConnectError", "newpos:E5", "mpt:net-connect", "newpos-modem:host-timeout", "moneris-go:5908", "zvt:0xA3", "CommunicationError")
	case w.tlsOutcome() != "ok":
		w.connectMS = w.roundTrip() * 1.1
		localFail("early", "ConnectError", "newpos:E5", "CommunicationError", "newpos:E6")
	case w.host == "slow" && w.chance(0.6) || w.pathLoss() > 12 || w.roundTrip() > 1500 || w.changes > 5 || w.broken == "line":
		w.connectMS = w.roundTrip() * (1.1 + w.pathLoss()/20)
		localFail("sent", "newpos:E7", "mpt:0xD4", "mpt:net-noanswer", "newpos:comm-timeout", "CommunicationError", "rc17:FF")
	case w.code == "":
		// The trouble spared the connection and hit the answer.
		w.connectMS = w.roundTrip() * 1.1
		localFail("sent", "newpos:E7", "mpt:0xD4", "newpos:comm-timeout", "CommunicationError")
	default:
		w.answer(&ev, txn)
	}
	w.fillTxn(txn, &ev)
	return ev
}

// answer lets the host answer.
func (w *world) answer(ev *report.Event, txn *report.Txn) {
	w.sent, w.answered = true, true
	ev.Origin, ev.Code, txn.MTI = report.OriginHost, w.code, pick(w.Rand, "0210", "0210", "0210", "0110")
	w.connectMS = w.roundTrip() * 1.1
	w.responseMS = w.roundTrip() + 200 + 1200*w.Float64()
	if w.host == "slow" {
		w.responseMS = 9000 + 20000*w.Float64()
	}
	if w.issuer == "late" || w.swtch == "late" {
		w.responseMS = 20000 + 20000*w.Float64()
	}
	if w.session == "out" && w.chance(0.2) || w.newTerminal && w.chance(0.4) {
		txn.MTI = "0810"
	}
}

func (w *world) fillTxn(txn *report.Txn, ev *report.Event) {
	if !w.chance(0.92) {
		return
	}
	sent, answered := w.sent, w.answered
	txn.Sent, txn.HostAnswerSeen = &sent, &answered
	if w.connectMS > 0 && w.chance(0.8) {
		c := int64(w.connectMS)
		txn.ConnectMS = &c
	}
	if w.responseMS > 0 && w.chance(0.9) {
		r := int64(w.responseMS)
		txn.ResponseMS = &r
	}
}
