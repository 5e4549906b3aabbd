package modem

import (
	"slices"
	"strings"
)

// What is known of the network around a modem besides the level of its signal: which network it is, in which area, and
// which technologies the modem could use. All of it stands in answers to questions that are asked anyway.

// networkIn reads which network an answer names, as MCC and MNC (3GPP 23.003 2.2), and its tracking or location area in
// hexadecimal; either is "" where the answer has none.
func networkIn(line string) (operator, area string) {
	name, _, named := strings.Cut(line, ":")
	f := fields(line)
	if named {
		f = fields(after(line))
	}
	at := func(i int) string {
		if i < len(f) {
			return f[i].text
		}
		return ""
	}
	switch {
	case named && name == "+COPS" && at(1) == "2": // numeric (27.007 7.3)
		return plmn(at(2), ""), ""
	case named && name == "+QNWINFO":
		return plmn(at(1), ""), ""
	case named && name == "+CPSI": // LTE,Online,460-11,0x5A1E,…
		mcc, mnc, _ := strings.Cut(at(2), "-")
		return plmn(mcc, mnc), areaOf(at(3))
	case named && name == "+QENG":
		if at(0) == "servingcell" {
			f = f[min(2, len(f)):]
		}
		switch rat := at(0); {
		case rat == "LTE" || strings.HasPrefix(rat, "CAT") || rat == "eMTC" || rat == "NBIoT":
			return plmn(at(2), at(3)), areaOf(at(10))
		case rat == "NR5G-SA":
			return plmn(at(2), at(3)), areaOf(at(6))
		case rat == "WCDMA" || rat == "GSM":
			return plmn(at(1), at(2)), areaOf(at(3))
		}
	case named && name == "+CGCONTRDP": // internet.mnc001.mcc262.gprs
		_, rest, _ := strings.Cut(strings.ToLower(at(2)), ".mnc")
		mnc, rest, ok := strings.Cut(rest, ".mcc")
		if mcc, _, _ := strings.Cut(rest, "."); ok {
			if len(mnc) == 3 && mnc[0] == '0' { // filled up to three digits (23.003 9.1); which of both it was cannot be seen
				mnc = mnc[1:]
			}
			return plmn(mcc, mnc), ""
		}
	case !named && len(f) >= 14 && at(0) == "1": // Fibocom's +GTCCINFO
		return plmn(at(2), at(3)), areaOf(at(4))
	}
	return "", ""
}

// plmn joins a country and a network code, "" if they are none.
func plmn(mcc, mnc string) string {
	s := mcc + mnc
	if mnc != "" && (len(mcc) != 3 || len(mnc) > 3) {
		return ""
	}
	if len(mnc) == 1 { // a maker's number without its zero
		s = mcc + "0" + mnc
	}
	if len(s) != 5 && len(s) != 6 || s[:3] == "000" || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

// PLMN checks a country and network code in one text, as another program gives it; "" if it is none.
func PLMN(s string) string { return plmn(s, "") }

// areaOf reads an area code of two or three bytes in hexadecimal, "" if it is none: all ones and zero are no areas
// (23.003 4.1).
func areaOf(s string) string {
	s = strings.ToUpper(strings.TrimLeft(strings.TrimPrefix(strings.ToLower(s), "0x"), "0"))
	if s == "" || len(s) > 6 || s == "FFFE" || s == "FFFF" || s == "FFFFFF" || strings.Trim(s, "0123456789ABCDEF") != "" {
		return ""
	}
	return s
}

// techs are the generations, from the oldest.
var techs = []string{"2g", "3g", "4g", "5g"}

// higher is the newer of two generations; one that is not known is older than any.
func higher(a, b string) string {
	if slices.Index(techs, b) > slices.Index(techs, a) {
		return b
	}
	return a
}

// abilities reads +WS46: (12,22,25,…), the sets of technologies a modem can be told to use (27.007 5.9), for the newest
// of them: 12 is GSM, 22 UTRAN, 29 both; 25 is all that it has, which says nothing more; 28, 30 and above hold E-UTRAN.
func abilities(lines []string) (best string) {
	for _, line := range lines {
		for _, f := range fields(strings.Trim(after(line), "() ")) {
			for _, part := range strings.FieldsFunc(f.text, func(r rune) bool { return r == '(' || r == ')' || r == ' ' }) {
				switch n, ok := small(part); {
				case !ok:
				case n == 12:
					best = higher(best, "2g")
				case n == 22 || n == 29:
					best = higher(best, "3g")
				case n == 28 || n >= 30 && n < 60:
					best = higher(best, "4g")
				}
			}
		}
	}
	return best
}

// threeG reports whether a modem can do no more than UMTS, by its maker's name for it.
func threeG(model string) bool {
	model = strings.ToUpper(strings.TrimSpace(model))
	model = strings.TrimPrefix(strings.TrimPrefix(model, "SIMCOM_"), "QUECTEL_")
	for _, p := range []string{
		"SIM5215", "SIM5216", "SIM5218", "SIM5300", "SIM5320", "SIM5360", // SIMCom
		"UC15", "UC20", "UG95", "UG96", "UMTS", // Quectel
		"HE910", "HE863", "UE866", "UE910", "UL865", "UC864", "UC864-G", "HN930", // Telit
		"PHS8", "PXS8", "EHS5", "EHS6", "EHS8", "EU3", "HC25", "AHS", // Cinterion
		"LISA-U", "SARA-U", // u-blox
		"H330", "H350", "H380", "U130", // Fibocom
		"MU509", "MU609", "MU709", "EM770", "EM820", "EM920", "MU733", "MU736", "E1550", "E156", "E160", "E169", "E173", "E1750", "E176", "E220", "E303", "E353", "E3131", "K3765", "K3770", // Huawei
		"MC8790", "MC8792", "MC8795", "MC8090", "MC8092", "MC8355", "SL808", "AR855", "HL854", // Sierra Wireless
		"MF110", "MF180", "MF190", "MF192", "MF626", "MF627", "K3565", "MW3650", // ZTE
	} {
		if strings.HasPrefix(model, p) {
			return true
		}
	}
	return false
}
