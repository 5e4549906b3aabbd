package modem

import (
	"testing"
	"testing/synctest"
)

// TestWhoseNetworkAndWhere reads operator and area out of the answers of several makers. Lines: SIMCom SIM7600 AT
// manual 5.2.2, Quectel EC2x and RM500Q AT manuals (+QENG, +QNWINFO), Fibocom L8-family manual, 27.007 7.3 and 10.1.23;
// the forms are those of public logs of OpenWrt and Raspberry Pi users, numbers are ours.
func TestWhoseNetworkAndWhere(t *testing.T) {
	for _, c := range []struct{ line, operator, area string }{
		{`+CPSI: LTE,Online,460-11,0x5A1E,187214780,257,EUTRAN-BAND3,1850,5,5,-94,-850,-545,15`, "46011", "5A1E"},
		{`+CPSI: WCDMA,Online,262-02,0x00DE,12345678,WCDMA IMT 2000,184,10563,0,2.5,62,33,52,500`, "26202", "DE"},
		{`+CPSI: NO SERVICE,Online`, "", ""},
		{`+QNWINFO: "FDD LTE","310410","LTE BAND 2",900`, "310410", ""},
		{`+QNWINFO: "FDD LTE",46011,"LTE BAND 3",1825`, "46011", ""},
		{`+QNWINFO: No Service`, "", ""},
		{`+QENG: "servingcell","NOCONN","LTE","FDD",460,00,5F1EA15,12,1300,3,5,5,DE10,-100,-12,-68,11,27`, "46000", "DE10"},
		{`+QENG: "LTE","FDD",505,01,8B0CE0D,385,1275,3,5,5,303B,-86,-9,-59,17,255,-32768,38`, "50501", "303B"},
		{`+QENG: "servingcell","NOCONN","NR5G-SA","TDD",460,1,8A1234002,112,39017F,504990,41,12,-77,-10,31,1,-`, "46001", "39017F"},
		{`+QENG: "servingcell","NOCONN","GSM",460,01,5504,2B63,52,21,0,-63,255,0,0,38,38,1,-,-,-,-,-,-,-,-,-`, "46001", "5504"},
		{`+QENG: "servingcell","SEARCH"`, "", ""},
		{`1,4,234,15,3A12,0A12B3C4,6400,123,103,50,61,55,55,20`, "23415", "3A12"},
		{`+COPS: 0,2,"23433",7`, "23433", ""},
		{`+COPS: 0,0,"EE",7`, "", ""},
		{`+COPS: 0,2,"0",7`, "", ""},
		{`+CGCONTRDP: 3,5,"internet.telekom.mnc001.mcc262.gprs","10.2.2.2"`, "26201", ""},
		{`+CGCONTRDP: 1,5,"fast.t-mobile.com.mnc260.mcc310.gprs","10.2.2.2"`, "310260", ""},
		{`+CGCONTRDP: 1,5,"pos.example","10.2.2.2"`, "", ""},
		{`+CREG: 0,1`, "", ""},
		{`000-00`, "", ""},
	} {
		if operator, area := networkIn(c.line); operator != c.operator || area != c.area {
			t.Errorf("%s: %q %q, want %q %q", c.line, operator, area, c.operator, c.area)
		}
	}
	for _, c := range []struct{ line, area string }{
		{`+CEREG: 2,1,"DE10","05F1EA15",7`, "DE10"}, {`+CREG: 1,"00C3","7FA0C5B",2`, "C3"}, {`+CGREG: 2,5,"FFFE","FFFFFFFF",0`, ""},
		{`+CREG: 0,1`, ""}, {`+C5GREG: 2,1,"39017F","000000000",11`, "39017F"},
	} {
		if r, ok := parseReg(c.line); !ok || r.area != c.area {
			t.Errorf("%s: %+v", c.line, r)
		}
	}
}

// TestNewestTechnology: a modem that can do 3G alone is told from one that is on 3G because LTE is weak.
func TestNewestTechnology(t *testing.T) {
	for name, c := range map[string]struct {
		table map[string]string
		best  string
	}{
		"LTE in use":            {map[string]string{}, "4g"},
		"by the list":           {map[string]string{"AT+COPS?": `+COPS: 0,0,"Carrier",2` + "\r\n\r\nOK", "AT+WS46=?": "+WS46: (12,22,25)\r\n\r\nOK"}, "3g"},
		"on 3G, could do LTE":   {map[string]string{"AT+COPS?": `+COPS: 0,0,"Carrier",2` + "\r\n\r\nOK", "AT+WS46=?": "+WS46: (12,22,25,28,29,30,31)\r\n\r\nOK"}, "4g"},
		"by its name, 3G":       {map[string]string{"AT+CGMM": "SIMCOM_SIM5320E\r\n\r\nOK", "AT+COPS?": `+COPS: 0,0,"Carrier",0` + "\r\n\r\nOK"}, "3g"},
		"by its name, 2G":       {map[string]string{"AT+CGMM": "SIM800H\r\n\r\nOK", "AT+COPS?": `+COPS: 0,0,"Carrier"` + "\r\n\r\nOK"}, "2g"},
		"an LTE-M one named so": {map[string]string{"AT+CGMM": "SIM7000G\r\n\r\nOK", "AT+COPS?": `+COPS: 0,0,"Carrier",0` + "\r\n\r\nOK"}, ""},
		"on 2G, says nothing":   {map[string]string{"AT+CGMM": "EC20F\r\n\r\nOK", "AT+COPS?": `+COPS: 0,0,"Carrier",0` + "\r\n\r\nOK"}, ""},
		"searching, 3G alone": {map[string]string{"AT+CREG?": "+CREG: 0,2\r\n\r\nOK", "AT+CGREG?": "+CGREG: 0,2\r\n\r\nOK", "AT+CEREG?": "ERROR", "AT+CGMM": "HE910-D\r\n\r\nOK",
			"AT+COPS?": "+COPS: 0\r\n\r\nOK"}, "3g"},
	} {
		synctest.Test(t, func(t *testing.T) {
			if r, _ := asked(t, Config{}, c.table); r.Best != c.best {
				t.Errorf("%s: best %q, want %q (%+v)", name, r.Best, c.best, r)
			}
		})
	}
}

// TestFamilyOfTheContext: a context that has IPv6 alone reaches no host that is set by an IPv4 address.
func TestFamilyOfTheContext(t *testing.T) {
	for addr, want := range map[string]string{
		"+CGPADDR: 1,10.20.30.40":                                     "v4",
		"+CGPADDR: 1,0.0.0.0,32.1.13.184.0.0.0.0.0.0.0.1.10.20.30.40": "v6",
		`+CGPADDR: 1,"10.20.30.40","2001:db8::1"`:                     "both",
		`+CGPADDR: 1,"2001:db8::1"`:                                   "v6",
		"+CGPADDR: 1":                                                 "",
		"+CGPADDR: 1,0.0.0.0":                                         "",
	} {
		synctest.Test(t, func(t *testing.T) {
			if r, _ := asked(t, Config{}, map[string]string{"AT+CGPADDR": addr + "\r\n\r\nOK"}); r.Bearer.Family != want {
				t.Errorf("%s: %q, want %q", addr, r.Bearer.Family, want)
			}
		})
	}
}
