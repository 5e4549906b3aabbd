package modem

import (
	"fmt"
	"strings"
	"testing"
)

// The lines are what modems of these makes said, as ModemManager's tests (src/tests/test-modem-helpers.c) record them,
// with state and technology as read there.
func TestParseReg(t *testing.T) {
	for _, c := range []struct {
		make, line string
		stat, act  int
	}{
		{"27.007 n=1", "+CREG: 1,3", 3, -1},
		{"27.007 n=1 unasked", "+CREG: 3", 3, -1},
		{"27.007 two digits", "+CREG: 11", 11, -1},
		{"Sierra Mercury", "+CREG: 1,1,84CD,00D30173", 1, -1},
		{"Sierra Mercury unasked", "+CREG: 1,84CD,00D30156", 1, -1},
		{"two digits, area", `+CREG: 11,"33FE","a3fb477"`, 11, -1},
		{"Sony Ericsson K850i", `+CREG: 2,1,"CE00","01CEAD8F"`, 1, -1},
		{"Sony Ericsson K850i unasked", `+CREG: 1,"CE00","00005449"`, 1, -1},
		{"Huawei E160G unregistered", "+CREG: 2,0,00,0", 0, -1},
		{"Huawei E160G", "+CREG: 2,1,8BE3,2BAF", 1, -1},
		{"Huawei E160G unasked", "+CREG: 1,8BE3,2BAF", 1, -1},
		{"Sony Ericsson TM-506", `+CREG: 2,1,"8BE3","00002BAF"`, 1, -1},
		{"Novatel XU870 unasked", "+CREG: 2,,", 2, -1},
		{"Iridium", `+CREG:002,001,"18d8","ffff"`, 1, -1},
		{"short area", "+CREG:2,1,0001,0010", 1, -1},
		{"short area, zeros", `+CREG:002,001,"0001","0010"`, 1, -1},
		{"short area unasked", "+CREG: 1,0001,0010,0", 1, 0},
		{"short area unasked, zeros", `+CREG: 001,"0001","0010",000`, 1, 0},
		{"two digits unasked", "+CREG: 10,0001,0010,0", 10, 0},
		{"two digits unasked, zeros", `+CREG: 0011,"0001","0010",000`, 11, 0},
		{"u-blox Toby-L2", `+CREG: 2,6,"8B37","0A265185",7`, 6, 7},
		{"u-blox Toby-L2 unasked", `+CREG: 6,"8B37","0A265185",7`, 6, 7},
		{"Ericsson F3607gw", `+CGREG: 2,1,"8BE3","00002B5D",3`, 1, 3},
		{"Ericsson F3607gw unasked", `+CGREG: 1,"8BE3","00002B5D",3`, 1, 3},
		{"Sony Ericsson MD400", `+CREG: 2,5,"0502","0404736D"`, 5, -1},
		{"Sony Ericsson MD400 unasked", `+CGREG: 5,"0502","0404736D",2`, 5, 2},
		{"Alcatel X220D", "+CGREG: 2,1, 81ED, 1A9CEB", 1, -1},
		{"Samsung Wave S8500", "+CREG: 2,1,000B,2816, B, C2816", 1, -1},
		{"Samsung Wave, two digits", "+CREG: 2,11,003F,8FE3, B, C2816", 11, -1},
		{"Qualcomm Gobi 1000", "+CREG: 2,1,  0 5, 2715", 1, -1},
		{"routing area behind", `+CGREG: 1,"1422","00000142",3,"00"`, 1, 3},
		{"routing area behind, two digits", `+CGREG: 11,"B092","00000697",3,"00"`, 11, 3},
		{"two digits", "+CGREG:2,10,ebbd,f025", 10, -1},
		{"two digits, zeros", `+CGREG:002,0011,"0f0d","14c3"`, 11, -1},
		{"LTE", "+CEREG: 2,1, 1F00, 79D903 ,7", 1, 7},
		{"LTE unasked", "+CEREG: 1, 1F00, 79D903 ,7", 1, 7},
		{"LTE two digits", `+CEREG: 2,10,"8d83","671f98a",7`, 10, 7},
		{"LTE routing area between", "+CEREG: 2,10, 2CA8, 20 ,B5583D ,7", 10, 7},
		{"LTE routing area between, unasked", "+CEREG: 11, 78FE, 20 ,14419E ,7", 11, 7},
		{"Altair", "+CEREG: 1, 2, 0001, 00000100, 7", 2, 7},
		{"Altair unasked", "+CEREG: 2, 0001, 00000100, 7", 2, 7},
		{"Novatel E362", "+CEREG: 2,1, 1F00, 20 ,79D903 ,7", 1, 7},
		{"Novatel E362 unasked", "+CEREG: 1, 1F00, 20 ,79D903 ,7", 1, 7},
		{"Thuraya", `+CGREG: 2, 1, "0426", "F00F"`, 1, -1},
		{"Thuraya unasked", `+CGREG: 1, "0426", "F00F"`, 1, -1},
		{"5G", "+C5GREG: 2,1,1F00,79D903,11,6,ABCDEF", 1, 11},
		{"5G unasked", "+C5GREG: 1,1F00,79D903,11,6,ABCDEF", 1, 11},
	} {
		r, ok := parseReg(c.line)
		if !ok || r.stat != c.stat || r.act != c.act {
			t.Errorf("%s: %s: %+v, want %d %d", c.make, c.line, r, c.stat, c.act)
		}
	}
	for line, cause := range map[string]int{"+CEREG: 3,3,,,,0,15": 15, `+CEREG: 3,"1F00","79D903",7,0,7`: 7, "+CEREG: 3,3,,,,1,9": 0,
		`+CGREG: 3,3,"1422","00000142",3,"00",0,107`: 107, `+CGREG: 2,1,"1422","00000142",3,"00"`: 0, "+CEREG: 0,3": 0} {
		if r, ok := parseReg(line); !ok || r.cause != cause {
			t.Errorf("%s: cause %d, want %d", line, r.cause, cause)
		}
	}
	for _, line := range []string{"", "+CREG:", "+CREG: x", "+CREG: 99", "+CREG: 1,"} {
		if r, ok := parseReg(line); ok && line != "+CREG: 1," || !ok && r != unanswered {
			t.Errorf("%q: %+v, %v", line, r, ok)
		}
	}
}

func TestRegistration(t *testing.T) {
	r := func(stat int) registered { return registered{stat: stat, act: -1} }
	no := unanswered
	for _, c := range []struct {
		cs, eps, gprs registered
		want          Registration
	}{
		{r(1), r(1), r(0), RegHome},
		{r(1), r(0), r(1), RegHome},
		{r(0), r(5), r(0), RegRoaming},
		{r(1), no, r(3), RegDenied}, // may call, may not sell
		{r(3), r(3), r(3), RegDenied},
		{r(8), r(0), r(0), RegDenied},
		{r(2), r(2), r(0), RegSearching},
		{no, r(2), r(0), RegSearching},
		{no, r(0), no, RegIdle},
		{r(0), no, no, RegIdle},
		{r(4), no, no, RegUnknown},
		{no, no, no, RegUnknown},
	} {
		if got := registration(c.cs, c.eps, c.gprs); got != c.want {
			t.Errorf("%+v: %s, want %s", c, got, c.want)
		}
	}
}

func TestSIM(t *testing.T) {
	for line, want := range map[string]SIM{
		"+CPIN: READY": SIMReady, `+CPIN: "SIM PIN"`: SIMPIN, "+CPIN:SIM PIN": SIMPIN, "+CPIN: SIM PUK": SIMPUK, "+CPIN: SIM PUK2": SIMReady,
		"+CPIN: PH-NET PIN": SIMLocked, "+CPIN: PH-NET PUK": SIMLocked, "+CPIN: PH-SIM PIN": SIMLocked,
		"+CPIN: PH-SP PIN": SIMLocked, "+CPIN: PH-CORP PUK": SIMLocked, "+CPIN: PH-NETSUB PIN": SIMLocked, "+CPIN: SIM PIN2": SIMReady, "+CPIN: NOT READY": SIMMissing, "+CPIN: NOT INSERTED": SIMMissing, "+CPIN: SIM FAILURE": SIMFailure, "+CPIN: ": SIMUnknown,
	} {
		if got := simOf([]string{line}, nil); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	for line, want := range map[string]SIM{
		"+CME ERROR: 10": SIMMissing, "+CME ERROR: SIM not inserted": SIMMissing, "+CME ERROR: 11": SIMPIN, "+CME ERROR: SIM PUK required": SIMPUK,
		"+CME ERROR: 5": SIMLocked, "+CME ERROR: 40": SIMLocked, "+CME ERROR: PH-SIM PIN required": SIMLocked,
		"+CME ERROR: network personalization PIN required": SIMLocked, "+CME ERROR: 13": SIMFailure, "+CME ERROR: SIM wrong": SIMFailure, "+CME ERROR: 14": SIMUnknown, "ERROR": SIMUnknown, "+CME ERROR: raspberry": SIMUnknown,
	} {
		e, ok := finalResult(line)
		if got := simOf(nil, &e); !ok || got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestFinalResult(t *testing.T) {
	for line, code := range map[string]int{
		"OK": -1, "ERROR": -1, "+CME ERROR: 123": 123, "+CME ERROR: raspberry": -1, "+CME ERROR: SIM busy": 14, "+CMS ERROR: 456": 456, "MODEM ERROR: 5": 5,
		"COMMAND NOT SUPPORT": -1, "NO CARRIER": -1, "BUSY": -1, "NO ANSWER": -1, "NO DIALTONE": -1, "NO DIAL TONE": -1, "CONNECT": -1, "CONNECT 9600/ARQ": -1,
		"BLACKLISTED": -1, "DELAYED": -1, "NA": -1,
	} {
		if e, ok := finalResult(line); !ok || e.Code != code {
			t.Errorf("%q: %+v, %v, want %d", line, e, ok, code)
		}
	}
	for _, line := range []string{"", "UNKNOWN COMMAND", "MODEM ERROR: apple", "MODEM ERROR:", "OKAY", "+CREG: 1", "RING", "CONNECTED", "NO CARRIERS"} {
		if e, ok := finalResult(line); ok {
			t.Errorf("%q: %+v", line, e)
		}
	}
}

func TestSignalAnswers(t *testing.T) {
	const no = NoValue
	for _, c := range []struct {
		line string
		want Signal
		tech string
	}{
		{"+CSQ: 18,99", Signal{-77, no, no, no, no}, ""},
		{"+CSQ:31,0", Signal{-51, no, no, no, 0.2}, ""},
		{"+CSQ: 0, 7", Signal{-113, no, no, no, 100}, ""},
		{"+CSQ: 99,99", NoSignal(), ""},
		{"+CSQ: 150,99", NoSignal(), ""}, // Quectel's TD-SCDMA range
		{"+CSQ: ", NoSignal(), ""},
		{"+CESQ: 99,99,255,255,20,80", Signal{no, -61, -10, no, no}, ""},
		{"+CESQ: 99,99,95,40,255,255", Signal{-26, no, no, no, no}, ""},
		{"+CESQ: 10,6,255,255,255,255", Signal{-101, no, no, no, 12.8}, ""},
		{"+CESQ:10,6,255,255,255,255", Signal{-101, no, no, no, 12.8}, ""},
		{"+CESQ: 1,2", NoSignal(), ""},
		{`^HCSQ:"LTE",30,19,66,0`, Signal{-91, -122, -20, -7, no}, "4g"},
		{`^HCSQ: LTE,33,40,135,11`, Signal{-88, -101, -14.5, 6.8, no}, "4g"},
		{`^HCSQ: "WCDMA",30,30,58`, Signal{-91, no, no, no, no}, "3g"},
		{`^HCSQ: "GSM",36,255`, Signal{-85, no, no, no, no}, "2g"},
		{`^HCSQ: "NOSERVICE"`, NoSignal(), ""},
		{`+QCSQ: "LTE",-61,-92,150,-11`, Signal{-61, -92, -11, no, no}, "4g"},
		{`+QCSQ: "CAT-M1",-61,-92,150,-11`, Signal{-61, -92, -11, no, no}, "4g"},
		{`+QCSQ: "GSM",-71`, Signal{-71, no, no, no, no}, "2g"},
		{`+QCSQ: "NOSERVICE"`, NoSignal(), ""},
		{`+QCSQ: "LTE",-,-,-,-`, NoSignal(), "4g"},
		{"+CPSI: LTE,Online,460-00,0x333D,64587777,102,EUTRAN-BAND3,1300,5,5,-94,-850,-545,15", Signal{-54, -85, -9.4, 15, no}, "4g"},
		{"+CPSI: LTE,Online,460-00,0x333D,64587777,102,EUTRAN-BAND3,1300,5,5,-9,-85,-54,15", Signal{-54, -85, -9, 15, no}, "4g"},
		{"+CPSI: NO SERVICE,Online", NoSignal(), ""},
		{"+CPSI: LTE,Online", NoSignal(), "4g"},
	} {
		var got Signal
		var tech string
		switch c.line[1:4] {
		case "CSQ":
			got = parseCSQ(c.line)
		case "CES":
			got = parseCESQ(c.line)
		case "HCS":
			got, tech = parseHCSQ(c.line)
		case "QCS":
			got, tech = parseQCSQ(c.line)
		case "CPS":
			got, tech = parseCPSI(c.line)
		}
		near := got.RSSI == c.want.RSSI && got.RSRP == c.want.RSRP && got.RSRQ == c.want.RSRQ && got.BER == c.want.BER &&
			fmt.Sprintf("%.2f", got.SINR) == fmt.Sprintf("%.2f", c.want.SINR)
		if !near || tech != c.tech {
			t.Errorf("%s: %+v %q, want %+v %q", c.line, got, tech, c.want, c.tech)
		}
	}
}

func TestMedianIsNoLorry(t *testing.T) {
	const no = NoValue
	bad, good := Signal{-60, -120, -8, 20, no}, Signal{-60, -80, -8, 20, no}
	if m := Median([]Signal{good, bad, good}); m != good {
		t.Errorf("one lorry: %+v", m)
	}
}

func TestBearerAnswers(t *testing.T) {
	var l contexts
	if !l.states([]string{"+CGACT: 1,0", "+CGACT: 4,1", "+CGACT: 5,0"}) || len(l) != 3 || !l.of(4).active || l.of(1).active {
		t.Errorf("%+v", l)
	}
	if l.states([]string{"+CGACT: rubbish", ""}) {
		t.Error("rubbish is known")
	}
	for line, want := range map[string]string{
		`+CGPADDR: 1,"10.64.12.7"`:                          "10.64.12.7",
		"+CGPADDR: 1,10.64.12.7":                            "10.64.12.7",
		`+CGPADDR: 1,"0.0.0.0"`:                             "",
		`+CGPADDR: 1`:                                       "",
		`+CGPADDR: 1,"","2001:db8::1"`:                      "2001:db8::1",
		`+CGPADDR: 1,"0.0.0.0","10.9.8.7"`:                  "10.9.8.7",
		`+CGPADDR: 1,"999.1.1.1"`:                           "",
		`+CGPADDR: 1,"32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.1"`: "2001:db8::1",
	} {
		var l contexts
		l.addresses([]string{line})
		if got := l.of(1).address; got.IsValid() != (want != "") || want != "" && got.String() != want {
			t.Errorf("%s: %s, want %q", line, got, want)
		}
	}
	l = nil
	l.names([]string{`+CGDCONT: 1,"IP","telefonica.es","",0,0`, `+CGDCONT: 2,"IP","ac.vodafone.es.MNC001.MCC214.GPRS","",0,0`, `+CGDCONT: 3,"IP",,,0,0`})
	if l.of(1).apn != "telefonica.es" || l.of(2).apn != "ac.vodafone.es.MNC001.MCC214.GPRS" || l.of(3).apn != "" {
		t.Errorf("%+v", l)
	}
	if !SameAPN("AC.vodafone.es", "ac.vodafone.es.MNC001.MCC214.GPRS") || SameAPN("cmnet", "cmiot") {
		t.Error("access points compared wrongly")
	}
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`+CREG: 2,1,"8BE3","00002BAF",7`, "+CESQ: 99,99,255,255,20,80", `^HCSQ:"LTE",30,19,66,0`, `+CGPADDR: 1,"10.64.12.7"`,
		"+CPSI: LTE,Online,460-00,0x333D,64587777,102,EUTRAN-BAND3,1300,5,5,-94,-850,-545,15", `+QCSQ: "LTE",-61,-92,150,-11`, "+CSQ: 18,99", "+CPIN: SIM PUK",
		`+QENG: "servingcell","NOCONN","NR5G-SA","TDD",310,260,18666712F,335,794E00,516270,41,12,-75,-11,5,1,-`, `^SYSINFOEX:2,3,0,1,,6,"LTE",101,"LTE"`,
		"1,9,,,FFFFFFF,00FFFFFFF,641760,940,5078,450,19,76,76,84", `^CELLINFO:"LTE","FDD",460,01,12345,101,48,1,1A2B,3,100,1650,19650,-61,-88,-9,134,28`,
		"DIAG <2A4D3263 0=10 1=7>", "D000", "+CESQ: 99,99,255,255,255,255,64,61,80", "+QSIMSTAT: 0,0", `+QNWINFO: "FDD LTE","00101","LTE BAND 3",1650`, "+CNSMOD: 0,8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parseReg(s)
		simOf([]string{s}, nil)
		var l contexts
		l.states(strings.Split(s, "\n"))
		l.addresses(strings.Split(s, "\n"))
		l.names(strings.Split(s, "\n"))
		if best, ok := l.best(Config{APN: "pos.example"}); ok && best.cid != 0 && l.of(best.cid).cid != best.cid {
			t.Errorf("%+v is none of %+v", best, l)
		}
		if len(fields(s)) > fieldsMax+1 {
			t.Errorf("%d fields", len(fields(s)))
		}
		h, _ := parseHCSQ(s)
		q, _ := parseQCSQ(s)
		c, _ := parseCPSI(s)
		lines := strings.Split(s, "\n")
		e, _ := parseQENG(lines)
		g, _ := parseGTCCINFO(lines)
		i, _ := parseCELLINFO(lines)
		parseSYSINFOEX(lines)
		parseQSIMSTAT(lines)
		parseQNWINFO(lines)
		parseCNSMOD(lines)
		parseUD(lines)
		if v, ok := parseVolts(s); ok && (v < 0 || v > 128) {
			t.Errorf("%q: %d V", s, v)
		}
		for _, v := range []Signal{parseCSQ(s), parseCESQ(s), h, q, c, e, g, i} {
			in := func(x, low, high float64) bool { return x == NoValue || x >= low && x <= high }
			if !in(float64(v.RSSI), -200, 0) || !in(float64(v.RSRP), -200, 0) || !in(v.RSRQ, -45, 20) || !in(v.SINR, -30, 50) ||
				!in(v.BER, 0, 100) {
				t.Errorf("%q: no radio has %+v", s, v)
			}
		}
	})
}
