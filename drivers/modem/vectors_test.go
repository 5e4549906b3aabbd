package modem

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Answers of real modems, each with where it was told.
func TestRealAnswers(t *testing.T) {
	b, err := os.ReadFile("testdata/answers.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			t.Fatalf("%d fields: %s", len(f), line)
		}
		n++
		parse := map[string]func([]string) (Signal, string){
			`AT+QENG="servingcell"`: parseQENG, "AT+QCSQ": last(parseQCSQ), "AT+CPSI?": last(parseCPSI), "AT^HCSQ?": last(parseHCSQ), "AT+GTCCINFO?": parseGTCCINFO,
			"AT+CESQ": func(l []string) (Signal, string) { return parseCESQ(l[0]), "" },
		}[f[2]]
		s, tech := parse(strings.Split(f[3], "|"))
		if got := shown(s, tech); got != f[4] {
			t.Errorf("%s (%s)\n%s\ngot  %s\nwant %s", f[0], f[1], f[3], got, f[4])
		}
	}
	if n < 20 {
		t.Errorf("only %d answers", n)
	}
}

func shown(s Signal, tech string) string {
	var w []string
	for _, v := range []float64{float64(s.RSSI), float64(s.RSRP), s.RSRQ, s.SINR} {
		if v == NoValue {
			w = append(w, "-")
		} else {
			w = append(w, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	if tech == "" {
		tech = "-"
	}
	return fmt.Sprintf("%s %s", strings.Join(w, " "), tech)
}

func TestMakersOtherAnswers(t *testing.T) {
	for line, want := range map[string]string{
		`^SYSINFOEX:2,3,0,1,,6,"LTE",101,"LTE"`:               "ready 4g", // Huawei E3372
		`^SYSINFOEX:2,4,5,1,,3,WCDMA,41,HSPA+`:                "ready 3g", // ModemManager src/plugins/huawei/tests
		`^SYSINFOEX: 2,4,5,1,0,3,"WCDMA",41,"HSPA+"`:          "ready 3g",
		`^SYSINFOEX:0,0,0,255,,0,"NO SERVICE",0,"NO SERVICE"`: "missing ",
		`^SYSINFOEX:1,0,0,240,,1,"GSM",1,"GSM"`:               " 2g",
		`^SYSINFOEX:2,3,0,1`:                                  " ",
	} {
		if sim, tech := parseSYSINFOEX([]string{line}); string(sim)+" "+tech != want {
			t.Errorf("%s: %q %q, want %q", line, sim, tech, want)
		}
	}
	for line, want := range map[string]SIM{"+QSIMSTAT: 0,0": SIMMissing, "+QSIMSTAT: 0,1": SIMUnknown, "+QSIMSTAT: 0,2": SIMUnknown, "+QSIMSTAT: ": SIMUnknown} {
		if got := parseQSIMSTAT([]string{line}); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	for line, want := range map[string]string{`+QNWINFO: "FDD LTE","22288","LTE BAND 7",3350`: "4g", `+QNWINFO: "TDD NR5G","51503","NR5G BAND 41",528030`: "5g",
		`+QNWINFO: "HSPA+","46001","WCDMA 2100",10713`: "3g", `+QNWINFO: "EDGE","46001","GSM 1800",653`: "2g", "+QNWINFO: No Service": ""} {
		if got := parseQNWINFO([]string{line}); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	for line, want := range map[string]string{"+CNSMOD: 0,8": "4g", "+CNSMOD: 1,7": "3g", "+CNSMOD: 0,1": "2g", "+CNSMOD: 0,0": "", "+CNSMOD: 0": ""} {
		if got := parseCNSMOD([]string{line}); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	// Made by the field list of 5G-Modem-Support's meig.sh: no dump of a real one was found.
	lte := `^CELLINFO:"LTE","FDD",460,01,12345,101,48,1,1A2B,3,100,1650,19650,-61,-88,-9,134,28`
	if s, tech := parseCELLINFO([]string{lte}); shown(s, tech) != "-61 -88 -9 13.4 4g" {
		t.Error(shown(s, tech))
	}
}

// The network's APN where the modem's own setting is silent.
func TestCGCONTRDP(t *testing.T) {
	for line, want := range map[string]string{ // ModemManager src/tests/test-modem-helpers.c
		`+CGCONTRDP: 4,5,"ibox.tim.it.mnc001.mcc222.gprs","2.197.17.49.255.255.255.255","2.197.17.49","10.207.43.46"`:                            "4 ibox.tim.it",
		`+CGCONTRDP: 1,0,"fast.t-mobile.com","2607:FB90:B59A:02C1:0AD3:1B57:4FD4:21F4","FE80:0000:0000:0000:B46D:57FF:FE45:4545","fd00:976a::9"`: "1 fast.t-mobile.com",
	} {
		cid, apn, _ := strings.Cut(want, " ")
		n, _ := strconv.Atoi(cid)
		var l contexts
		if l.names([]string{line}); !SameAPN(l.of(n).apn, apn) {
			t.Errorf("%s: %+v", line, l)
		}
	}
}

// AT#UD as modems answer it: all keys in one line, or a line for each key (a CX93001 does).
func TestUnimodemDiagnostics(t *testing.T) {
	for text, want := range map[string]string{
		"DIAG <2A4D3263 0=10 1=7 2=0 10=1A 60=51>":                        "ok",
		"DIAG <2A4D3263 0=10>|DIAG <2A4D3263 1=07>|DIAG <2A4D3263 20=0C>": "ok",
		"DIAG <2A4D3263 1=1>":                                             "no-dialtone",
		"DIAG <2A4D3263 1=2>":                                             "busy",
		"DIAG <2A4D3263 1=3>":                                             "busy",
		"DIAG <2A4D3263 1=4>":                                             "no-carrier",
		"DIAG <2A4D3263 1=5>":                                             "no-carrier",
		"DIAG <2A4D3263 1=B>":                                             "ok",
		"DIAG <2A4D3263 1=0>":                                             "", // no previous call
		"DIAG <2A4D3263 1=FF>":                                            "",
		"DIAG <2A4D3263 11=1>":                                            "", // another key
		"DIAG <2A4D3263 1=":                                               "",
		"DIAG <00000000 1=1>":                                             "",
		"":                                                                "",
	} {
		if got := parseUD(strings.Split(text, "|")); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]int{"3000": 48, "D000": 48, "0000": 0, "0030": 0, "1200": 18, "30": -1, "": -1, "GGGG": -1, "OK": -1, "30000": -1} {
		got, ok := parseVolts(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("register 6C %q: %d V, want %d", text, got, want)
		}
	}
	for result, want := range map[string]string{"NO DIALTONE": "no-dialtone", "NO DIAL TONE": "no-dialtone", "BUSY": "busy", "NO CARRIER": "no-carrier", "NO ANSWER": "no-answer",
		"BLACKLISTED": "no-answer", "DELAYED": "busy", "OK": "", "ERROR": "", "CONNECT": "", "+CME ERROR": "", "NA": ""} {
		if got := LineOutcome(result); got != want {
			t.Errorf("%s: %q, want %q", result, got, want)
		}
	}
}
