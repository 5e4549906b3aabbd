package diagnose

import "strings"

// application reads what the payment program says of itself: session, keys, journal, parameters, version.
func (r *reader) application() {
	r.session()
	if it := r.v.first("app.keys"); it != nil {
		switch state := it.str("state"); {
		case state == "missing" || state == "mismatch":
			r.add("keys.bad", it, 1)
		case state == "ok" || state == "" && !it.bad():
			r.add("keys.ok", it, choose(it.isNot("backup_cell_ok"), 0, 1))
		}
		if it.isNot("backup_cell_ok") {
			r.add("keys.cell", it, 1)
		}
	}
	if it := r.v.first("app.journal"); it != nil {
		pending, _ := it.num("pending_reversals")
		switch {
		case it.is("stan_reused"):
			r.add("journal.reused", it, 1)
		case pending > 0:
			r.add("journal.pending", it, 1)
		case it.isNot("stan_reused") && !it.bad():
			r.add("journal.ok", it, 1)
		}
	}
	if it := r.v.first("app.operator"); it != nil {
		role, menu := it.isNot("role_ok"), it.isNot("menu_ok")
		if role {
			r.add("operator.role", it, 1)
		}
		if menu {
			r.add("operator.menu", it, 1)
		}
		if !role && !menu && !it.bad() {
			r.add("operator.ok", it, 1)
		}
	}
	r.config()
	if it := r.v.first("app.process"); it != nil {
		crashes, _ := it.num("crashes_24h")
		switch {
		case it.isNot("running"):
			r.add("app.down", it, 1)
		case crashes >= 3:
			r.add("app.crashing", it, 1)
		case crashes >= 1:
			r.add("app.crashed-some", it, ramp(crashes, 0, 3))
		case !it.bad():
			r.add("app.fine", it, 1)
		}
	}
	if it := r.v.first("app.version"); it != nil {
		installed, expected := it.str("installed"), it.str("expected")
		switch {
		case it.bad() || installed != "" && expected != "" && installed != expected:
			r.add("version.old", it, 1)
		case installed != "" && installed == expected:
			r.add("version.ok", it, 1)
		}
	}
}

func (r *reader) session() {
	it := r.v.first("app.session")
	if it == nil {
		return
	}
	age, dated := it.num("signin_age_s")
	result := it.str("last_signin_result")
	good := result == "" || result == "00" || result == "0000"
	saleCode := !strings.HasPrefix(r.txn.mti, "08") && r.txn.answered(r.ev.Origin)
	switch {
	case result == "none":
		r.add("session.no-reply", it, 1)
	case !good && result == r.ev.Code && r.txn.answered(r.ev.Origin):
		r.add("session.same-code", it, 1)
	}
	if saleCode && good && it.is("signed_in") && dated && age < 3600 {
		r.add("session.sale-only", it, ramp(age, 3600, 600))
	}
	switch {
	case it.isNot("signed_in"):
		r.add("session.out", it, choose(good || result == "none", 1, 0.4))
	case dated && age >= oldSignInS:
		r.add("session.old", it, 1)
	case it.is("signed_in") && good && dated && age <= freshSignInS:
		r.add("session.fresh", it, 1)
	case it.is("signed_in") && good:
		clear := 0.6
		if dated {
			clear = 0.3 + 0.7*ramp(age, oldSignInS, oldSignInS/4)
		}
		if r.topic == "session" && r.txn.answered(r.ev.Origin) {
			clear *= 0.3 // the host says otherwise, and it is the host that decides
		}
		r.add("session.in", it, clear)
	}
}

// changes names the sign of each member of changed_since_approval.
var changes = [...]struct{ member, sign string }{
	{"app_version", "changed.app"}, {"kernel_version", "changed.kernel"}, {"terminal_id", "changed.id"},
	{"merchant_id", "changed.id"}, {"parameters", "changed.id"}, {"host_address", "changed.host"}, {"tpdu", "changed.host"},
	{"apn", "changed.host"}, {"phone_number", "changed.phone"}, {"certificate", "changed.cert"},
	{"ip_config", "changed.ip"}, {"reader_firmware", "changed.reader"},
}

func (r *reader) config() {
	it := r.v.first("app.config")
	if it == nil {
		return
	}
	wrong := false
	for _, c := range [...]struct{ fact, sign string }{
		{"terminal_id_ok", "config.id"}, {"merchant_id_ok", "config.id"}, {"host_ok", "config.host"}, {"tpdu_ok", "config.host"},
		{"apn_ok", "config.apn"}, {"phone_ok", "config.phone"},
	} {
		if it.isNot(c.fact) {
			wrong = true
			r.add(c.sign, it, 1)
		}
	}
	if !wrong && (it.is("terminal_id_ok") || it.is("host_ok")) {
		r.add("config.ok", it, choose(it.is("terminal_id_ok"), 1, 0.4)) // the host address alone says little of the ids
	}
	list, known := it.Facts["changed_since_approval"]
	if !known || list == nil {
		return
	}
	members := it.Facts.Strings("changed_since_approval")
	if len(members) == 0 {
		r.add("changed.none", it, 1)
	}
	for _, m := range members {
		for _, c := range changes {
			if c.member == m {
				// Of many changes at once each says less.
				r.add(c.sign, it, 1/(0.5+0.5*float64(min(len(members), 8))))
			}
		}
	}
}

// board reads the terminal's own hardware and system.
func (r *reader) board() {
	r.power()
	if it := r.v.first("board.thermal"); it != nil {
		switch {
		case it.is("throttled") || it.atLeast("celsius", 85) || it.level() == "bad":
			r.add("heat.bad", it, 1)
		case it.bad() || it.atLeast("celsius", 75):
			r.add("heat.warm", it, 1)
		default:
			r.add("heat.ok", it, 1)
		}
	}
	r.storage()
	r.load()
	if it := r.v.first("board.clock"); it != nil {
		offset, known := it.num("offset_s")
		if offset < 0 {
			offset = -offset
		}
		untrusted := it.isNot("trusted") || it.str("source") == "none"
		switch {
		case known && offset >= 3600:
			r.add("clock.wrong", it, 1)
		case known && offset >= 300:
			r.add("clock.off", it, ramp(offset, 0, 1800))
		case untrusted && !known:
			r.add("clock.untrusted", it, 1)
		case known || it.is("trusted"):
			r.add("clock.ok", it, choose(known, 1, 0.6))
		}
	} else if !r.ev.ClockTrusted && !r.ev.Time.IsZero() && r.ev.Time.Year() < 2024 {
		r.put("clock.untrusted", nil, nil, 1)
	}
	if it := r.v.first("board.reboots"); it != nil {
		count, _ := it.num("count_24h")
		switch it.str("last_reason") {
		case "BrownOutReset":
			r.add("power.brownout", it, ramp(count, -1, 2))
		case "HardwareWatchdog", "SoftwareWatchdog", "KernelPanic":
			r.add("reboots.crash", it, ramp(count, 0, 2))
		}
		if count >= 4 {
			r.add("reboots.many", it, ramp(count, 2, 6))
		}
	}
	if it := r.v.first("board.kernel"); it != nil {
		for _, k := range [...]struct {
			fact, sign string
			full       float64
		}{
			{"io_errors_24h", "kernel.io", 5}, {"under_voltage_24h", "power.under-voltage", 5}, {"hung_tasks_24h", "kernel.hung", 2},
			{"oom_24h", "memory.low", 2}, {"usb_disconnects_24h", "usb.disconnects", 3},
		} {
			if n, _ := it.num(k.fact); n > 0 {
				r.add(k.sign, it, 0.3+0.7*ramp(n, 0, k.full))
			}
		}
	}
}

// load reads processor and memory; either of them can starve the payment program.
func (r *reader) load() {
	var fine *item
	tight := false
	for _, check := range [...]string{"board.memory", "board.cpu"} {
		it := r.v.first(check)
		if it == nil {
			continue
		}
		pressure, _ := it.num("pressure_avg10")
		load, _ := it.num("load1")
		kills := it.atLeast("oom_kills_24h", 1)
		tight = true
		switch {
		case check == "board.memory" && (kills || it.atMost("available_mb", 8) || pressure >= 25 || it.level() == "bad"):
			r.add("memory.low", it, choose(kills || pressure >= 40 || it.atMost("available_mb", 8), 1, 0.75))
		case check == "board.cpu" && (pressure >= 50 || load >= 8 || it.level() == "bad"):
			r.add("cpu.high", it, choose(pressure >= 60 || load >= 8, 1, 0.8))
		case pressure >= 20 || load >= 4 || it.bad():
			r.add("cpu.raised", it, 1)
		default:
			fine, tight = it, r.has("memory.low")
		}
	}
	if fine != nil && !tight {
		r.add("load.ok", fine, 1)
	}
}

func (r *reader) power() {
	it := r.v.first("board.power")
	if it == nil {
		return
	}
	dips, _ := it.num("dips_1h")
	onBattery := it.str("source") == "battery"
	switch {
	case onBattery && it.atMost("battery_pct", 8):
		r.add("power.battery", it, 1)
	case onBattery && it.atMost("battery_pct", 15) && it.bad():
		r.add("power.battery", it, 0.7)
	case dips >= 3 || it.level() == "bad" || it.bad() && it.atMost("millivolts", 4700) && !onBattery:
		r.add("power.bad", it, 1)
	case dips >= 1 || it.bad():
		r.add("power.some-dips", it, ramp(dips, -1, 2))
	default:
		r.add("power.ok", it, 1)
	}
}

func (r *reader) storage() {
	list := r.v.all("board.storage")
	full := false
	for i := range list {
		it := &list[i]
		switch {
		case it.is("read_only") && it.bad():
			r.add("storage.ro", it, 1)
			full = true
		case it.atMost("free_pct", 1) || it.atMost("inodes_free_pct", 1) || it.level() == "bad":
			r.add("storage.full", it, 1)
			full = true
		case it.atMost("free_pct", 4) || it.atMost("inodes_free_pct", 4):
			r.add("storage.tight", it, choose(it.bad(), 1, 0.6))
			full = true
		}
	}
	if !full && len(list) > 0 {
		r.add("storage.ok", &list[0], 1)
	}
	if it := r.v.first("board.flash"); it != nil {
		errors, _ := it.num("io_errors_24h")
		switch {
		case errors >= 3 || it.str("pre_eol") == "urgent" || it.level() == "bad":
			r.add("flash.bad", it, 1)
		case errors >= 1 || it.str("pre_eol") == "warning" || it.atLeast("life_used_pct", 90):
			r.add("flash.worn", it, 1)
		default:
			r.add("flash.ok", it, 1)
		}
	}
}

// reader reads the card readers, the PIN pad and the printer.
func (r *reader) reader() {
	ports := r.v.all("reader.port")
	for i := range ports {
		it := &ports[i]
		switch it.str("outcome") {
		case "gone":
			r.add("reader.gone", it, 1)
		case "silent":
			r.add("reader.silent", it, 1)
		case "garbled":
			r.add("reader.garbled", it, 1)
		case "ok":
			r.add("reader.ok", it, 1)
		}
	}
	tests := r.v.all("reader.selftest")
	for i := range tests {
		it := &tests[i]
		switch it.str("outcome") {
		case "fault":
			r.add("reader.fault", it, 1)
		case "tamper":
			r.add("reader.tamper", it, 1)
		case "ok":
			r.add("reader.tested", it, 1)
		}
	}
	reads := r.v.all("reader.reads")
	for i := range reads {
		r.reads(&reads[i])
	}
	if it := r.v.first("reader.slot"); it != nil {
		switch it.str("card") {
		case "mute":
			r.add("slot.mute", it, 1)
		case "active":
			r.add("slot.active", it, 1)
		}
	}
	lines := r.v.all("reader.line")
	for i := range lines {
		it := &lines[i]
		frame, _ := it.num("frame")
		parity, _ := it.num("parity")
		crc, _ := it.num("crc")
		over, _ := it.num("overrun")
		window, known := it.num("window_s")
		if !known || window <= 0 {
			window = 3600
		}
		broken := frame + parity + crc + over/2
		// One stray error an hour is nothing; one a minute breaks dialogues.
		switch rate := broken / window * 3600; {
		case broken >= 5 && rate >= 20:
			r.add("line.noise", it, ramp(rate, 0, 60))
		case broken <= 3:
			r.add("line.clean", it, 1)
		}
	}
	if it := r.v.first("reader.usb"); it != nil && it.atLeast("disconnects_1h", 1) {
		n, _ := it.num("disconnects_1h")
		r.add("reader.usb-flaky", it, ramp(n, 0, 3))
	}
	if it := r.v.first("pinpad.port"); it != nil {
		switch o := it.str("outcome"); {
		case o == "ok":
			r.add("pinpad.ok", it, 1)
		case it.bad():
			r.add("pinpad.bad", it, 1)
		}
	}
	if it := r.v.first("printer.status"); it != nil {
		switch o := it.str("outcome"); {
		case o == "ok" || o == "paper-low":
			r.add("printer.ok", it, 1)
		case o == "no-paper" || o == "cover-open":
			r.add("printer.waiting", it, 1)
		case it.bad():
			r.add("printer.bad", it, 1)
		}
	}
}

// reads tells one bad card from a bad reader.
func (r *reader) reads(it *item) {
	cards, known := it.num("cards")
	failed, _ := it.num("cards_failed")
	if !known || cards <= 0 {
		return
	}
	share := failed / cards
	switch {
	case failed >= 3 && share >= 0.25:
		r.add("reads.many-fail", it, ramp(failed, 1, 6)*(0.5+0.5*ramp(share, 0.1, 0.5)))
	case failed >= 1 && failed <= 2 && cards >= 4 && share <= 0.25:
		r.add("reads.one-fails", it, ramp(cards, 0, 8))
	case failed == 0 && cards >= 3:
		r.add("reads.good", it, ramp(cards, 0, 6))
	}
}
