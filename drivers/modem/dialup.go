package modem

import (
	"strconv"
	"strings"
)

// A Line is the telephone line of a dial-up modem, as far as it can be known without taking it off the hook.
type Line struct {
	// Last is how the last call went: ok no-dialtone busy no-carrier no-answer; "" if there was none or the modem does not
	// say. It is the modem's memory, or the result of a call that ended while we asked.
	Last string
	Told bool // the modem told of its last call, if only that there was none
	// Volts is between tip and ring, without its sign. AN93 has over 40 V for a line that is not in use, under 25 V for
	// one that is (a private exchange may feed as little as 24 V), and none where there is no line.
	Volts      int
	VoltsKnown bool
}

// LineNone is the voltage below which there is no line (Silicon Labs AN93: zero is less than 3 V).
const LineNone = 3

// LineOutcome is what a result code of V.250 6.3.1 tells of a call, "" for a result that is not that of a call.
// BLACKLISTED and DELAYED are no outcome of a call: with them a modem refuses to dial at once a number that did not
// answer, or was busy, too often.
func LineOutcome(result string) string {
	switch result {
	case "NO DIALTONE", "NO DIAL TONE":
		return "no-dialtone"
	case "BUSY", "DELAYED":
		return "busy"
	case "NO CARRIER":
		return "no-carrier"
	case "NO ANSWER", "BLACKLISTED":
		return "no-answer"
	}
	return ""
}

// line asks a dial-up modem about its line, on the hook. AT#UD stands last, and alone on its line: what is asked behind
// it on the same line is lost, and no command of ours erases what it tells (ATZ, AT&F, ATD, ATA and a reset would). The
// commands of other chips for the voltage (AT-TRV, AT%V1) are left out: some of them take the line off the hook.
func (v *visit) line() {
	l := &v.r.Line
	if v.isomodem() {
		if lines, _ := v.ask("AT:R6C", ""); len(lines) == 1 {
			l.Volts, l.VoltsKnown = parseVolts(lines[0])
		}
	}
	if lines, _ := v.ask("AT#UD", "DIAG"); len(lines) > 0 {
		l.Last, l.Told = parseUD(lines), true
	}
	if last := LineOutcome(v.d.Call); last != "" { // newer than what it remembers
		l.Last = last
	}
}

// isomodem says that the modem is of Silicon Labs' family of chips, whose register 6C measures the line on the hook.
func (v *visit) isomodem() bool {
	model := strings.ToLower(v.r.Model)
	return strings.Contains(strings.ToLower(v.r.Maker), "silicon lab") || strings.HasPrefix(model, "si24") || strings.HasPrefix(model, "si30")
}

// parseVolts reads register 6C: four hex digits, of which the upper two are volts in two's complement (AN93).
func parseVolts(line string) (volts int, ok bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 16)
	if err != nil || len(strings.TrimSpace(line)) != 4 {
		return 0, false
	}
	if volts = int(int8(n >> 8)); volts < 0 { // the sign is which wire is which
		volts = -volts
	}
	return volts, true
}

// udHead begins the answer to AT#UD: the name of the diagnostic command specification, in hex.
const udHead = "DIAG <2A4D3263"

// parseUD reads how the last call was set up, the value of key 1 (Unimodem diagnostics, and V.58's after it).
func parseUD(lines []string) (outcome string) {
	for _, line := range lines {
		rest, ok := strings.CutPrefix(line, udHead)
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, ">")
		for _, w := range strings.Fields(rest) {
			key, value, _ := strings.Cut(w, "=")
			k, err := strconv.ParseUint(key, 16, 8)
			if n, e := strconv.ParseUint(value, 16, 8); err == nil && e == nil && k == 1 {
				return callSetup(n)
			}
		}
	}
	return ""
}

// callSetup reads the call setup result; 0 is that there was no call since the modem was switched on.
func callSetup(n uint64) string {
	switch n {
	case 1:
		return "no-dialtone"
	case 2, 3: // reorder, the network's own busy, and the line's
		return "busy"
	case 4, 5: // nothing that is known, or a voice: no modem answered
		return "no-carrier"
	case 6, 7, 8, 9, 10, 11: // a text telephone, data, fax, V.8bis: a modem of some kind
		return "ok"
	}
	return ""
}
