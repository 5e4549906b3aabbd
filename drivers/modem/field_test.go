package modem

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/serial"
)

// script is a modem that answers from a table and ERROR to all else, with echo. Good answers stand for those a case
// does not give.
func script(table map[string]string) func(string, func(string, time.Duration)) {
	good := map[string]string{
		"AT": "OK", "AT+CGMI": "SIMCOM INCORPORATED\r\n\r\nOK", "AT+CGMM": "SIMCOM_SIM7600G-H\r\n\r\nOK", "AT+CGMR": "+CGMR: LE20B04SIM7600G22\r\n\r\nOK",
		"AT+CPIN?": "+CPIN: READY\r\n\r\nOK", "AT+CEREG?": "+CEREG: 0,1\r\n\r\nOK", "AT+CGREG?": "+CGREG: 0,1\r\n\r\nOK", "AT+CREG?": "+CREG: 0,1\r\n\r\nOK",
		"AT+CSQ": "+CSQ: 25,99\r\n\r\nOK", "AT+COPS?": "+COPS: 0,0,\"Carrier\",7\r\n\r\nOK", "AT+CGATT?": "+CGATT: 1\r\n\r\nOK",
		"AT+CGACT?": "+CGACT: 1,1\r\n\r\nOK", "AT+CGPADDR": "+CGPADDR: 1,10.20.30.40\r\n\r\nOK", "AT+CGDCONT?": "+CGDCONT: 1,\"IP\",\"pos.example\",\"0.0.0.0\",0,0\r\n\r\nOK",
		"AT+CEER": "+CEER: No cause information available\r\n\r\nOK",
	}
	for k, v := range table {
		good[k] = v
	}
	return func(line string, say func(string, time.Duration)) {
		a, ok := good[line]
		if !ok {
			a = "ERROR"
		}
		say(line+"\r\r\n"+a+"\r\n", 0)
	}
}

func asked(t *testing.T, c Config, table map[string]string) (r Report, took time.Duration) {
	t.Helper()
	start := time.Now()
	r, err := Ask(t.Context(), transcript(t, script(table)), c)
	if err != nil {
		t.Errorf("%v", err)
	}
	return r, time.Since(start)
}

// The context that carries sales is found by its name and by which one is up, never by its number. Sources:
// testdata/README.md.
func TestContextByNameNotByNumber(t *testing.T) {
	const none = `"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",0,0,0,0`
	for name, c := range map[string]struct {
		config             Config
		act, addr, cont    string
		rdp                string
		active, apn, apnOK bool
		address            string
	}{
		"IMS is context 1": {Config{APN: "pos.example"}, "+CGACT: 1,1\r\n+CGACT: 2,0\r\n+CGACT: 3,1\r\n+CGACT: 4,0",
			"+CGPADDR: 1,0.0.0.0,0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0\r\n+CGPADDR: 2,32.1.13.184.0.0.0.0.0.0.0.1.10.20.30.40\r\n+CGPADDR: 3,100.64.3.7\r\n+CGPADDR: 4",
			`+CGDCONT: 1,"IPV4V6","vzwims",` + none + "\r\n" + `+CGDCONT: 2,"IPV4V6","ims",` + none + "\r\n" + `+CGDCONT: 3,"IPV4V6","pos.example",` + none + "\r\n" + `+CGDCONT: 4,"IPV4V6","tmus",` + none,
			"", true, true, true, "100.64.3.7"},
		"IMS is up beside it": {Config{APN: "fast.t-mobile.com"}, "+CGACT: 1,1\r\n+CGACT: 2,1\r\n+CGACT: 3,0\r\n+CGACT: 4,0", "+CGPADDR: 1,10.9.8.7\r\n+CGPADDR: 2,10.1.1.1",
			`+CGDCONT: 1,"IPV4V6","fast.t-mobile.com",` + none + "\r\n" + `+CGDCONT: 2,"IPV4V6","ims",` + none + "\r\n" + `+CGDCONT: 3,"IPV4V6","sos",` + none + "\r\n" + `+CGDCONT: 4,"IPV4V6","tmus",` + none,
			"", true, true, true, "10.9.8.7"},
		"the network names it": {Config{APN: "internet.telekom"}, "+CGACT: 1,0\r\n+CGACT: 2,1\r\n+CGACT: 3,1", "+CGPADDR: 2,10.1.1.1\r\n+CGPADDR: 3,10.2.2.2",
			`+CGDCONT: 1,"IP","","0.0.0.0",0,0,0,0` + "\r\n" + `+CGDCONT: 2,"IPV4V6","ims",` + none + "\r\n" + `+CGDCONT: 3,"IPV4V6","",` + none,
			`+CGCONTRDP: 2,6,"ims.mnc001.mcc262.gprs","10.1.1.1"` + "\r\n" + `+CGCONTRDP: 3,5,"internet.telekom.mnc001.mcc262.gprs","10.2.2.2"`, true, true, true, "10.2.2.2"},
		"SOS and IMS alone are up": {Config{APN: "11583.mcs"}, "+CGACT: 1,0\r\n+CGACT: 2,1\r\n+CGACT: 3,1", "+CGPADDR: 2,10.1.1.1",
			`+CGDCONT: 1,"IPV4V6","11583.mcs",` + none + "\r\n" + `+CGDCONT: 2,"IPV4V6","ims",` + none + "\r\n" + `+CGDCONT: 3,"IPV4V6","sos",` + none,
			"", false, true, true, ""},
		"another name is up":               {Config{APN: "pos.example"}, "+CGACT: 1,1", "+CGPADDR: 1,10.9.8.7", `+CGDCONT: 1,"IP","web.example","0.0.0.0",0,0`, "", true, true, false, "10.9.8.7"},
		"none is configured":               {Config{}, "+CGACT: 1,1\r\n+CGACT: 5,1", "+CGPADDR: 1,10.1.1.1\r\n+CGPADDR: 5,10.5.5.5", `+CGDCONT: 1,"IP","ims",` + none + "\r\n" + `+CGDCONT: 5,"IP","web.example",` + none, "", true, false, false, "10.5.5.5"},
		"by number, if that is configured": {Config{CID: 2}, "+CGACT: 1,1\r\n+CGACT: 2,0", "+CGPADDR: 1,10.1.1.1", `+CGDCONT: 1,"IP","web.example",` + none, "", false, false, false, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			table := map[string]string{"AT+CGACT?": c.act + "\r\n\r\nOK", "AT+CGPADDR": c.addr + "\r\n\r\nOK", "AT+CGDCONT?": c.cont + "\r\n\r\nOK"}
			if c.rdp != "" {
				table["AT+CGCONTRDP"] = c.rdp + "\r\n\r\nOK"
			}
			r, _ := asked(t, c.config, table)
			b := r.Bearer
			if !b.ActiveKnown || b.Active != c.active || b.APNKnown != c.apn || b.APN != c.apnOK ||
				b.Address.IsValid() != (c.address != "") || c.address != "" && b.Address.String() != c.address {
				t.Errorf("%s: %+v", name, b)
			}
		})
	}
}

// An answer that came whole is one, though its OK never comes; what follows is not shifted by it.
func TestAnswersWithoutOK(t *testing.T) {
	for name, ready := range map[string]string{"M1306": "+CPIN: READY", "without a blank": "+CPIN:READY", "a PIN": "+CPIN: SIM PIN"} {
		synctest.Test(t, func(t *testing.T) {
			r, took := asked(t, Config{APN: "pos.example"}, map[string]string{
				"AT+CGMI": "WAVECOM MODEM  \r\nOK              ", "AT+CGMM": " MULTIBAND  900E  1800 \r\nOK              ", "AT+CPIN?": ready,
				"AT+CEREG?": "ERROR", "AT+COPS?": "+COPS: 0,0,\"Carrier\"\r\n\r\nOK",
			})
			want := SIMReady
			if ready == "+CPIN: SIM PIN" {
				want = SIMPIN
			}
			if r.SIM != want || r.Lost != 0 || r.Maker != "WAVECOM MODEM" || r.Model != "MULTIBAND  900E  1800" ||
				r.Registration != RegHome || r.Tech != "2g" || !r.Bearer.Active {
				t.Errorf("%s: %+v", name, r)
			}
			if took > time.Second {
				t.Errorf("%s: %v", name, took)
			}
		})
	}
	// The OK comes late after all.
	synctest.Test(t, func(t *testing.T) {
		var late bool
		plain := script(nil)
		link := transcript(t, func(line string, say func(string, time.Duration)) {
			switch {
			case line == "AT+CPIN?":
				say("\r\n+CPIN: READY\r\n", 0)
				late = true
			case late:
				late = false
				say("\r\nOK\r\n", 0)
				plain(line, say)
			default:
				plain(line, say)
			}
		})
		r, err := Ask(t.Context(), link, Config{APN: "pos.example"})
		if err != nil || r.SIM != SIMReady || r.Registration != RegHome || !r.Bearer.APN {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// A radio that is switched off is said as such.
func TestRadioSwitchedOff(t *testing.T) {
	off := map[string]string{"AT+CEREG?": "+CEREG: 0,0\r\n\r\nOK", "AT+CGREG?": "+CGREG: 0,0\r\n\r\nOK", "AT+CREG?": "+CREG: 0,0\r\n\r\nOK", "AT+CSQ": "+CSQ: 99,99\r\n\r\nOK"}
	for _, c := range []struct {
		cfun, cops string
		want       Radio
	}{
		{"+CFUN: 4\r\n\r\nOK", "", RadioOff}, {"+CFUN: 0\r\n\r\nOK", "", RadioOff}, {"+CFUN: 4,0\r\n\r\nOK", "", RadioOff}, {"+CFUN: 7\r\n\r\nOK", "", RadioOff},
		{"+CFUN: 1,0\r\n\r\nOK", "", RadioOn}, {"+CFUN: 1\r\n\r\nOK", "+COPS: 2\r\n\r\nOK", Deregistered}, {"+CFUN: 5\r\n\r\nOK", "", RadioUnknown}, {"ERROR", "", RadioUnknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			table := map[string]string{"AT+CFUN?": c.cfun}
			for k, v := range off {
				table[k] = v
			}
			if c.cops != "" {
				table["AT+COPS?"] = c.cops
			}
			if r, _ := asked(t, Config{}, table); r.Radio != c.want {
				t.Errorf("%q %q: %q, want %q", c.cfun, c.cops, r.Radio, c.want)
			}
		})
	}
}

// Old modems name no technology, for they have one.
func TestTechnologyOfOldModems(t *testing.T) {
	for _, c := range []struct{ maker, model, ws46, want string }{
		{"SIMCOM_Ltd", "SIMCOM_SIM800L", "ERROR", "2g"}, {"Quectel_Ltd", "Quectel_M95", "ERROR", "2g"}, {"Telit", "GL865-QUAD", "ERROR", "2g"}, {"Cinterion", "BGS2-W", "ERROR", "2g"},
		{"u-blox", "SARA-G350", "+WS46: (12)\r\n\r\nOK", "2g"}, {"Sagem", "HiLo", "+WS46: (12)\r\n\r\nOK", "2g"}, {"u-blox", "LISA-U200", "+WS46: (12,22,25)\r\n\r\nOK", ""},
		{"Unknown", "MX1", "ERROR", ""}, {"u-blox", "SARA-R410M", "+WS46: (28)\r\n\r\nOK", "4g"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := asked(t, Config{}, map[string]string{"AT+CGMI": c.maker + "\r\n\r\nOK", "AT+CGMM": c.model + "\r\n\r\nOK", "AT+CEREG?": "ERROR", "AT+COPS?": "+COPS: 0,0,\"Carrier\"\r\n\r\nOK", "AT+WS46=?": c.ws46})
			if r.Tech != c.want {
				t.Errorf("%s %s: %q, want %q", c.maker, c.model, r.Tech, c.want)
			}
		})
	}
}

// What an earlier visit, or another program, asked is answered now: the dialogue must not be off by one.
func TestLateAnswersOfAnEarlierVisit(t *testing.T) {
	for name, old := range map[string]string{
		"an operator": "\r\n+COPS: 0,0,\"Carrier\",7\r\n\r\nOK\r\n", "a maker": "\r\nQuectel\r\n\r\nOK\r\n", "a refusal": "\r\nERROR\r\n", "an OK": "\r\nOK\r\n",
		"a marker": "\r\n+CSQ: 3,99\r\n\r\nOK\r\n", "the other marker": "\r\n+CGATT: 0\r\n\r\nOK\r\n", "two": "\r\nQuectel\r\n\r\nOK\r\n\r\nEC25\r\n\r\nOK\r\n",
		// zephyrproject-rtos/zephyr #47082: a BG95 hangs up, and says so when the next question is under way; RIOT-OS/RIOT
		// #20062: a line nobody asked for between a question and its answer; pycom/pycom-micropython-sigfox #215: a search
		// given up.
		"a call that ended": "\r\nNO CARRIER\r\n", "a line nobody asked for": "\r\n+UUPSDD: 0\r\n",
		"a search given up":  "\r\n+COPS: (2,\"Carrier\",\"Carrier\",\"310260\",7),,(0,1,2,3,4),(0,1,2)\r\n\r\nOK\r\n",
		"a marker and an OK": "\r\nOK\r\n\r\n+CSQ: 3,99\r\n\r\nOK\r\n", "a SIM": "\r\n+CME ERROR: 10\r\n",
		"a whole beginning": "\r\nOK\r\n\r\nERROR\r\n\r\n+CSQ: 3,99\r\n\r\nOK\r\n",
	} {
		for _, at := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond,
			690 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				plain := script(map[string]string{"AT+CGMI": "Quectel\r\n\r\nOK", "AT+CGMM": "EC25\r\n\r\nOK", "AT+CGMR": "EC25EFAR06A06M4G\r\n\r\nOK"})
				free := time.Now().Add(at) // it is busy with the old question until then, and answers in order
				first := true
				link := transcript(t, func(line string, say func(string, time.Duration)) {
					next := func() time.Duration { // one after the other
						free = free.Add(time.Microsecond)
						return max(time.Microsecond, time.Until(free))
					}
					if first {
						first = false
						say(old, next())
					}
					plain(line, func(s string, _ time.Duration) { say(s, next()) })
				})
				r, err := Ask(t.Context(), link, Config{APN: "pos.example"})
				if err != nil || r.Maker != "Quectel" || r.Model != "EC25" || r.Firmware != "EC25EFAR06A06M4G" || r.SIM != SIMReady || r.Registration != RegHome ||
					len(r.Signals) == 0 || r.Signals[0].RSSI != -63 || !r.Bearer.Attached || !r.Bearer.APN || r.Lost != 0 {
					t.Errorf("%s after %v: %+v %v", name, at, r, err)
				}
			})
		}
	}
}

// A line that a modem says by itself is never its name, whatever it reads: espressif/esp-protocols #406 (SMS Ready
// between two questions for the maker), Ai-Thinker-Open/GPRS-AT #17 (+CGDMODIND), igrr/atproto #6 (ready and a
// version), Xinyuan-LilyGO/LilyGo-T-SIM7080G #44 (the question itself, come back).
func TestUnaskedLinesAreNoIdentity(t *testing.T) {
	for _, said := range []string{"DST: 1", "VOLTE ON", "SIM BUSY", "NITZ 26/11/28", "Network time", "+PACSP1", "EONS:1", "LTE REGISTERED", "RDY", "^RSSI:18",
		"SMS Ready", "Call Ready", "+CGDMODIND: 1", "ready - Ver 0.1 Rev b5dd82d", "+CWSTAT:5"} {
		for _, before := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				plain := script(map[string]string{"AT+CGMI": "Quectel\r\n\r\nOK", "AT+CGMM": "EC25\r\n\r\nOK", "AT+CGMR": "EC25EFAR06A06M4G\r\n\r\nOK"})
				told := map[string]bool{}
				link := transcript(t, func(line string, say func(string, time.Duration)) {
					name := line == "AT+CGMI" || line == "AT+CGMM" || line == "AT+CGMR"
					if name && !told[line] && before {
						say("\r\n"+said+"\r\n", 0)
					}
					if name && !told[line] && !before {
						own := map[string]string{"AT+CGMI": "Quectel", "AT+CGMM": "EC25", "AT+CGMR": "EC25EFAR06A06M4G"}[line]
						told[line] = true
						say("\r\n"+own+"\r\n\r\n"+said+"\r\n\r\nOK\r\n", 0)
						return
					}
					told[line] = true
					plain(line, say)
				})
				r, err := Ask(t.Context(), link, Config{})
				if err != nil || r.Maker != "Quectel" || r.Model != "EC25" || r.Firmware != "EC25EFAR06A06M4G" {
					t.Errorf("%q: %+v %v", said, r, err)
				}
			})
		}
	}
}

// A modem that answers nothing but OK has no marker; it is asked what can be asked, and nothing is believed of it.
func TestNoMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Ask(t.Context(), transcript(t, answers(nil)), Config{})
		if errors.Is(err, serial.ErrGone) || r.Maker != "" || r.SIM != SIMUnknown || r.Registration != "" {
			t.Errorf("%+v %v", r, err)
		}
	})
}
