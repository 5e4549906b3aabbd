package modem

import (
	"strconv"
	"strings"
)

// A profile is what a maker's modems can be asked beyond 27.007. All questions read; none needs a setting. A question
// that is refused, or that an older model does not know, leaves the answer of 27.007.
//
// What the commands say is as in ModemManager (src/plugins) and, where that does not use them, as in 5G-Modem-Support
// (luci-app-modem/root/usr/share/modem/*.sh), which runs on modems of these makers.
type profile struct {
	maker  string // part of +CGMI, in small letters
	signal []signalQuestion
	sim    simQuestion
	tech   techQuestion
	place  string // a question whose answer names the area that the modem is in, where no other does
}

type signalQuestion struct {
	command, prefix string
	parse           func(lines []string) (Signal, string)
}

type simQuestion struct {
	command, prefix string
	parse           func(lines []string) SIM
}

type techQuestion struct {
	command, prefix string
	parse           func(lines []string) string
}

// profiles are the makers whose modems sit in terminals. Others, ZTE and Neoway among them, are asked 27.007 alone.
func profiles() []profile {
	sysinfo := techQuestion{"AT^SYSINFOEX", "^SYSINFOEX:", func(lines []string) string { _, tech := parseSYSINFOEX(lines); return tech }}
	sysinfoSIM := simQuestion{sysinfo.command, sysinfo.prefix,
		func(lines []string) SIM { sim, _ := parseSYSINFOEX(lines); return sim }}
	return []profile{
		{
			maker:  "quectel",
			signal: []signalQuestion{{"AT+QCSQ", "+QCSQ:", last(parseQCSQ)}, {`AT+QENG="servingcell"`, "+QENG:", parseQENG}},
			sim:    simQuestion{"AT+QSIMSTAT?", "+QSIMSTAT:", parseQSIMSTAT},
			tech:   techQuestion{"AT+QNWINFO", "+QNWINFO:", parseQNWINFO},
			place:  `AT+QENG="servingcell"`,
		},
		{
			maker:  "simcom",
			signal: []signalQuestion{{"AT+CPSI?", "+CPSI:", last(parseCPSI)}},
			tech:   techQuestion{"AT+CNSMOD?", "+CNSMOD:", parseCNSMOD},
		},
		{maker: "huawei", signal: []signalQuestion{{"AT^HCSQ?", "^HCSQ:", last(parseHCSQ)}}, sim: sysinfoSIM, tech: sysinfo},
		{maker: "fibocom", signal: []signalQuestion{{"AT+GTCCINFO?", "", parseGTCCINFO}}},
		{maker: "meig", signal: []signalQuestion{{"AT^CELLINFO=1", "^CELLINFO:", parseCELLINFO}}, sim: sysinfoSIM, tech: sysinfo},
	}
}

// profile is that of the modem's maker, an empty one for a maker that is not among them.
func (r *Report) profile() profile {
	maker := strings.ToLower(r.Maker)
	for _, p := range profiles() {
		if strings.Contains(maker, p.maker) {
			return p
		}
	}
	return profile{}
}

// last applies a reader of one line to the newest.
func last(parse func(string) (Signal, string)) func([]string) (Signal, string) {
	return func(lines []string) (Signal, string) {
		if len(lines) == 0 {
			return NoSignal(), ""
		}
		return parse(lines[len(lines)-1])
	}
}

// techOf reads a technology from how makers spell it.
func techOf(name string) string {
	n := strings.ToUpper(name)
	for _, k := range []struct{ part, tech string }{
		{"NR", "5g"}, {"5G", "5g"}, {"LTE", "4g"}, {"CAT", "4g"}, {"EMTC", "4g"}, {"NBIOT", "4g"}, {"WCDMA", "3g"}, {"SCDMA", "3g"}, {"UMTS", "3g"}, {"HS", "3g"},
		{"GSM", "2g"}, {"GPRS", "2g"}, {"EDGE", "2g"},
	} {
		if strings.Contains(n, k.part) {
			return k.tech
		}
	}
	return ""
}

// onlyTech reads +WS46: (12,22,25,…), the technologies a modem can be told to use (27.007 5.9): 12 is GSM, 22 UTRAN, 28
// E-UTRAN. It is the one in use if it is the only one.
func onlyTech(lines []string) string {
	for _, line := range lines {
		switch strings.Trim(after(line), "() ") {
		case "12":
			return "2g"
		case "22":
			return "3g"
		case "28":
			return "4g"
		}
	}
	return ""
}

// twoG reports whether a modem can do no more than GSM, by its maker's name for it: modems of before 3G, and the cheap
// ones that were sold long after it.
func twoG(maker, model string) bool {
	maker, model = strings.ToUpper(maker), strings.ToUpper(strings.TrimSpace(model))
	model = strings.TrimPrefix(strings.TrimPrefix(model, "SIMCOM_"), "QUECTEL_")
	if strings.Contains(maker, "WAVECOM") || strings.Contains(model, "MULTIBAND") || strings.Contains(model, "900E") {
		return true
	}
	if strings.HasPrefix(model, "SIM70") && len(model) > 6 && model[6] == '0' { // SIM7000, 7020, 7070, 7080: LTE-M and NB-IoT
		return false
	}
	for _, p := range []string{
		"SIM300", "SIM340", "SIM508", "SIM700", "SIM800", "SIM808", "SIM840", "SIM868", "SIM900", "SIM908", // SIMCom
		"M10", "M26", "M35", "M56", "M60", "M65", "M66", "M72", "M80", "M85", "M95", "MC20", "MC25", "MC60", "MC90", // Quectel
		"GC864", "GE864", "GE865", "GE866", "GE910", "GL865", "GL868", "GM862", "GS64", // Telit
		"TC35", "TC45", "TC63", "TC65", "MC35", "MC39", "MC45", "MC46", "MC52", "MC55", "MC56", "MC75", "BGS2", "BGS5", "BG2", "EGS", // Siemens, Cinterion
		"LEON-G", "SARA-G", "G510", "G600", "G610", "G620", "GTM900", "EM310", "M590", "M660", "M680", "AIR20", "A6", "A9G", "Q24", "Q26", "WISMO", "FASTRACK",
	} {
		if strings.HasPrefix(model, p) {
			return true
		}
	}
	return false
}

// parseQSIMSTAT reads Quectel's +QSIMSTAT: enabled,inserted. Whether a card that is there works, it does not say.
func parseQSIMSTAT(lines []string) SIM {
	for _, line := range lines {
		if f := fields(after(line)); len(f) == 2 && f[1].text == "0" {
			return SIMMissing
		}
	}
	return SIMUnknown
}

// parseQNWINFO reads Quectel's +QNWINFO: "FDD LTE",46011,"LTE BAND 3",1825.
func parseQNWINFO(lines []string) string {
	for _, line := range lines {
		if f := fields(after(line)); len(f) > 0 {
			return techOf(f[0].text)
		}
	}
	return ""
}

// parseCNSMOD reads SIMCom's +CNSMOD: n,stat: 1 to 3 are GSM, 4 to 7 WCDMA, 8 LTE.
func parseCNSMOD(lines []string) string {
	for _, line := range lines {
		f := fields(after(line))
		if len(f) != 2 {
			continue
		}
		switch n, _ := small(f[1].text); {
		case n >= 1 && n <= 3:
			return "2g"
		case n >= 4 && n <= 7:
			return "3g"
		case n == 8:
			return "4g"
		}
	}
	return ""
}

// parseSYSINFOEX reads Huawei's and MeiG's ^SYSINFOEX: srv_status,srv_domain,roam_status,sim_state,lock_state,sysmode,
// "name",submode,"name". A SIM state of 255 is no card; 1 is a valid one, and others are a card that is refused
// somewhere.
func parseSYSINFOEX(lines []string) (sim SIM, tech string) {
	for _, line := range lines {
		f := fields(after(line))
		if len(f) < 7 {
			continue
		}
		switch f[3].text {
		case "1":
			sim = SIMReady
		case "255":
			sim = SIMMissing
		}
		return sim, techOf(f[6].text)
	}
	return SIMUnknown, ""
}

// dB reads a level that is told as it is. A "-" is one that is not known.
func dB(f []field, i int, low, high float64) (float64, bool) {
	if i >= len(f) {
		return 0, false
	}
	n, err := strconv.ParseFloat(f[i].text, 64)
	return n, err == nil && n >= low && n <= high
}

// step reads a level that is told in steps from a lowest.
func step(f []field, i, limit int, lowest, width float64) (float64, bool) {
	if i >= len(f) {
		return 0, false
	}
	n, err := strconv.Atoi(f[i].text)
	return lowest + float64(n)*width, err == nil && n >= 0 && n <= limit
}

// parseQENG reads Quectel's +QENG:
// "servingcell",state,"LTE",dup,mcc,mnc,cell,pci,earfcn,band,ul,dl,tac,rsrp,rsrq,rssi,sinr,… and, for 5G,
// "servingcell",state,"NR5G-SA",dup,mcc,mnc,cell,pci,tac,arfcn,band,bw,rsrp,rsrq,sinr,…; where both are used, one line
// each, "LTE",dup,… and "NR5G-NSA",mcc,mnc,pci,rsrp,sinr,rsrq,…: then LTE carries the terminal. The scale of LTE's SINR
// differs from chip to chip, so it is left out.
func parseQENG(lines []string) (Signal, string) {
	for _, line := range lines {
		f := fields(after(line))
		if len(f) > 2 && f[0].text == "servingcell" {
			f = f[2:]
		}
		if len(f) == 0 {
			continue
		}
		s := NoSignal()
		switch name := f[0].text; {
		case name == "LTE" || strings.HasPrefix(name, "CAT") || name == "eMTC" || name == "NBIoT":
			if n, ok := dB(f, 11, -157, -1); ok {
				s.RSRP = int(n)
			}
			if n, ok := dB(f, 12, -43, -1); ok {
				s.RSRQ = n
			}
			if n, ok := dB(f, 13, -125, -1); ok {
				s.RSSI = int(n)
			}
			return s, "4g"
		case name == "NR5G-SA":
			if n, ok := dB(f, 10, -157, -1); ok {
				s.RSRP = int(n)
			}
			if n, ok := dB(f, 11, -44, 20); ok {
				s.RSRQ = n
			}
			if n, ok := dB(f, 12, -23, 40); ok {
				s.SINR = n
			}
			return s, "5g"
		case name == "WCDMA":
			if n, ok := dB(f, 8, -121, -1); ok {
				s.RSSI = int(n)
			}
			return s, "3g"
		case name == "GSM":
			return s, "2g"
		}
	}
	return NoSignal(), ""
}

// parseGTCCINFO reads Fibocom's answer, one line for each cell, with or without headings:
// serving,rat,mcc,mnc,tac,cell,channel, pci,band,bandwidth,sinr,rxlev,rsrp,rsrq, in the steps of 36.133 for LTE and of
// 38.133 for 5G. The first serving cell carries the terminal. LTE's SINR is left out: its steps are told in two ways.
func parseGTCCINFO(lines []string) (Signal, string) {
	s := NoSignal()
	for _, line := range lines {
		f := fields(line)
		if len(f) < 14 || f[0].text != "1" {
			continue
		}
		switch f[1].text {
		case "2":
			return s, "3g"
		case "4":
			if n, ok := step(f, 12, 97, -141, 1); ok {
				s.RSRP = int(n)
			}
			if n, ok := step(f, 13, 34, -20, 0.5); ok {
				s.RSRQ = n
			}
			return s, "4g"
		case "9":
			if n, ok := step(f, 10, 127, -23.5, 0.5); ok {
				s.SINR = n
			}
			if n, ok := step(f, 12, 126, -157, 1); ok {
				s.RSRP = int(n)
			}
			if n, ok := step(f, 13, 126, -43.5, 0.5); ok {
				s.RSRQ = n
			}
			return s, "5g"
		}
	}
	return s, ""
}

// parseCELLINFO reads MeiG's ^CELLINFO: "LTE" or "5G",…, with rssi, rsrp and rsrq as they are in fields 14 to 16 and
// the SINR in tenths in field 17.
func parseCELLINFO(lines []string) (Signal, string) {
	for _, line := range lines {
		f := fields(after(line))
		if len(f) == 0 {
			continue
		}
		name := f[0].text
		tech := techOf(name)
		s := NoSignal()
		if tech != "4g" && tech != "5g" {
			return s, tech
		}
		if n, ok := dB(f, 13, -125, -1); ok {
			s.RSSI = int(n)
		}
		if n, ok := dB(f, 14, -157, -1); ok {
			s.RSRP = int(n)
		}
		if n, ok := dB(f, 15, -44, -1); ok {
			s.RSRQ = n
		}
		if n, ok := dB(f, 16, -230, 400); ok {
			s.SINR = n / 10
		}
		if name == "LTE-NR" {
			tech = "4g"
		}
		return s, tech
	}
	return NoSignal(), ""
}
