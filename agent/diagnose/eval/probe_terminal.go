package main

import (
	"math"

	"posdx/agent/report"
)

func (l *look) devices() {
	w := l.w
	cardFault := w.reader != "ok" || w.card != "ok"
	if !cardFault && w.chance(0.7) {
		l.skip("reader.port", "reader0", report.CannotTell, "in-use")
	} else {
		o := "ok"
		switch w.reader {
		case "gone", "silent":
			o = w.reader
		case "noise":
			o = pick(w.Rand, "garbled", "ok", "garbled")
		}
		l.add("reader.port", "reader0", o != "ok", report.Facts{"outcome": o})
		switch {
		case o == "gone" || o == "silent":
			l.skip("reader.selftest", "reader0", report.NotRun, "")
		case w.reader == "fault" || w.reader == "tamper":
			l.add("reader.selftest", "reader0", true, report.Facts{"outcome": w.reader})
		case w.reader != "noise":
			l.add("reader.selftest", "reader0", false, report.Facts{"outcome": "ok"})
		}
		cards := float64(8 + w.IntN(20))
		failed := 0.0
		switch w.reader {
		case "dirty", "noise", "fault":
			failed = math.Ceil(cards * w.span(0.2, 0.35, 0.8))
		}
		if w.card == "damaged" {
			failed = 1
		}
		l.add("reader.reads", "reader0", failed > 2, report.Facts{"good": cards*2 - failed, "failed": failed * 2, "cards": cards, "cards_failed": failed, "window_s": 3600.0})
		noise := float64(w.IntN(2))
		if w.reader == "noise" {
			noise = w.span(12, 40, 240)
		}
		l.add("reader.line", "reader0", noise > 5, report.Facts{"frame": math.Round(noise), "parity": math.Round(noise / 3),
			"overrun": 0.0, "crc": math.Round(noise / 5), "window_s": 1800.0})
		if w.card == "damaged" {
			l.add("reader.slot", "reader0", true, report.Facts{"card": "mute"})
		}
		if w.reader == "gone" {
			l.add("reader.usb", "reader0", true, report.Facts{"disconnects_1h": float64(1 + w.IntN(3))})
		}
	}
	if w.pinpad == "ok" && w.chance(0.6) {
		l.skip("pinpad.port", "pinpad0", report.CannotTell, "in-use")
	} else {
		l.add("pinpad.port", "pinpad0", w.pinpad != "ok", report.Facts{"outcome": w.pinpad})
	}
	if w.printer != "ok" || w.chance(0.3) {
		l.add("printer.status", "printer0", w.printer != "ok", report.Facts{"outcome": w.printer})
	}
}

func (l *look) system() {
	w := l.w
	dips := 0.0
	mv := 4950 + 100*w.Float64()
	if w.power == "dips" {
		dips, mv = math.Floor(w.span(1, 3, 11)), 4300+300*w.Float64()
		l.add("board.reboots", "system", true, report.Facts{"count_24h": float64(2 + w.IntN(6)), "last_reason": "BrownOutReset"})
		l.add("board.kernel", "system", true, report.Facts{"usb_disconnects_24h": float64(w.IntN(5)), "io_errors_24h": 0.0, "under_voltage_24h": float64(3 + w.IntN(12)), "hung_tasks_24h": 0.0, "oom_24h": 0.0})
	} else if w.chance(0.3) {
		l.add("board.reboots", "system", false, report.Facts{"count_24h": float64(w.IntN(2)), "last_reason": pick(w.Rand, "PowerOnReset", "UserReset")})
	}
	if w.power == "battery" {
		l.add("board.power", "supply", true, report.Facts{"source": "battery", "millivolts": 3300.0, "battery_pct": float64(1 + w.IntN(5)), "dips_1h": 0.0})
	} else {
		l.add("board.power", "supply", w.power != "ok", report.Facts{"source": "mains", "millivolts": math.Round(mv), "dips_1h": dips})
	}
	celsius := 40 + 15*w.Float64()
	if w.hot {
		celsius = w.span(76, 86, 94)
	}
	l.add("board.thermal", "soc", w.hot, report.Facts{"celsius": math.Round(celsius), "throttled": w.throttled})
	l.add("board.storage", "/data", w.free < 8 || w.readOnly || w.inodes < 3,
		report.Facts{"path": "/data", "free_pct": math.Floor(w.free), "inodes_free_pct": math.Floor(w.inodes), "read_only": w.readOnly})
	if w.ioErrors > 0 || w.chance(0.3) {
		eol := "normal"
		if w.ioErrors > 5 {
			eol = "urgent"
		}
		l.add("board.flash", "mmcblk0", w.ioErrors > 2, report.Facts{"life_used_pct": 30.0, "pre_eol": eol, "io_errors_24h": float64(w.ioErrors)})
	}
	l.add("board.memory", "system", w.oom > 0, report.Facts{"available_mb": math.Round(w.available), "pressure_avg10": math.Min(60, 4*w.oom+w.Float64()), "oom_kills_24h": w.oom})
	l.add("board.cpu", "system", w.cpu > 50, report.Facts{"pressure_avg10": math.Round(w.cpu), "load1": w.cpu / 12})
	f := report.Facts{"trusted": !w.badClock(), "source": "ntp"}
	if w.badClock() {
		f["source"] = pick(w.Rand, "rtc", "none")
	}
	if !w.badClock() || w.chance(0.5) {
		f["offset_s"] = math.Round(w.clock*10) / 10
	}
	l.add("board.clock", "system", math.Abs(w.clock) > 60, f)
}

func (l *look) application() {
	w := l.w
	f := report.Facts{"running": w.app != "down", "restarts_24h": 0.0, "crashes_24h": 0.0}
	if w.app == "crashing" || w.oom > 0 || w.free < 1.5 && w.chance(0.5) {
		f["crashes_24h"], f["restarts_24h"] = float64(3+w.IntN(5)), float64(3+w.IntN(5))
	}
	if w.app == "down" {
		f["crashes_24h"] = float64(1 + w.IntN(4))
	}
	l.add("app.process", "payment-app", f["crashes_24h"].(float64) > 0, f)
	v := report.Facts{"installed": "5.3.0", "expected": "5.3.0"}
	if w.oldApp {
		v["installed"] = "4.1.2"
	}
	if w.badUpdate {
		v["installed"], v["expected"], v["updated_age_s"] = "6.0.0", "6.0.0", 20000+15000*w.Float64()
	}
	l.add("app.version", "payment-app", w.oldApp, v)
	c := report.Facts{"terminal_id_ok": true, "host_ok": true, "changed_since_approval": w.changed}
	if w.changed == nil {
		c["changed_since_approval"] = []string{}
	}
	switch w.config {
	case "terminal_id", "merchant_id", "tpdu":
		c[w.config+"_ok"] = false
	case "host":
		c["host_ok"] = false
	}
	l.add("app.config", "payment-app", w.config != "ok", c)
	s := report.Facts{"signed_in": w.session == "ok", "signin_age_s": float64(2000 + w.IntN(70000)), "last_signin_result": "00"}
	switch {
	case w.session == "out":
		s["signin_age_s"] = float64(80000 + w.IntN(90000))
	case w.keys != "ok" && w.keys != "local":
		s["signin_age_s"] = float64(60 + w.IntN(700))
	case w.host == "fault" && w.code != "" && w.chance(0.7):
		s["last_signin_result"] = w.code
	case w.newTerminal:
		s = report.Facts{"signed_in": false, "last_signin_result": w.code}
	case !w.answered:
		if w.chance(0.4) {
			s["last_signin_result"] = "none"
		}
	}
	l.add("app.session", "payment-app", !s["signed_in"].(bool), s)
	if w.keys != "ok" || w.chance(0.3) {
		k := w.keys
		if k == "local" {
			k = "missing"
		}
		l.add("app.keys", "payment-app", k != "ok", report.Facts{"state": k})
	}
	l.add("app.journal", "payment-app", w.pending > 0 || w.reused, report.Facts{"pending_reversals": float64(w.pending), "unsettled": float64(w.IntN(60)), "stan_reused": w.reused})
	if !w.role || !w.menu || w.chance(0.1) {
		l.add("app.operator", "payment-app", !w.role || !w.menu, report.Facts{"role_ok": w.role, "menu_ok": w.menu})
	}
}

func (l *look) fleet() {
	w := l.w
	n := float64(20 + w.IntN(400))
	share := 40 + 55*w.Float64()
	switch {
	case w.scope == "acquirer" || w.scope == "model" || w.scope == "carrier":
		l.add("fleet.advisory", w.scope, true, report.Facts{"scope": w.scope, "code": l.ev.Code, "terminals": n, "share_pct": share, "age_s": float64(60 + w.IntN(500))})
	case w.scope == "site":
		l.add("fleet.advisory", "site", true, report.Facts{"scope": "site", "code": l.ev.Code, "terminals": float64(2 + w.IntN(4)), "share_pct": 100.0, "age_s": float64(60 + w.IntN(500))})
	case w.chance(0.12): // an old story
		l.add("fleet.advisory", "acquirer", true, report.Facts{"scope": "acquirer", "code": l.ev.Code, "terminals": n, "share_pct": share, "age_s": 40000 + 200000*w.Float64()})
	case w.chance(0.08): // two terminals
		l.add("fleet.advisory", "acquirer", true, report.Facts{"scope": "acquirer", "code": l.ev.Code, "terminals": 2.0, "share_pct": 100.0, "age_s": 300.0})
	default:
		l.add("fleet.advisory", "acquirer", false, report.Facts{"scope": "acquirer", "code": l.ev.Code, "terminals": 1.0, "share_pct": 0.3, "age_s": float64(60 + w.IntN(500))})
	}
}

// distract adds real defects that did not stop this sale.
func (w *world) distract() {
	if w.chance(0.15) && w.free > 10 {
		w.free = 4.5 + 3*w.Float64()
	}
	if w.chance(0.15) {
		w.oldApp = w.oldApp || !w.badUpdate
	}
	if w.kind == "cellular" && w.chance(0.2) && w.rsrp > -110 && w.links() {
		w.rsrp = -107 - 4*w.Float64()
	}
	if w.chance(0.1) && math.Abs(w.clock) < 10 {
		w.clock = 60 + 100*w.Float64()
	}
	if w.chance(0.1) && w.flaps == 0 {
		w.flaps = 1 + w.IntN(2)
	}
	if w.chance(0.1) {
		w.changes = max(w.changes, 1)
	}
}
