package modem

import (
	"testing"
	"testing/synctest"
)

// TestFurtherModems holds inputs found after the kinds were mended: 27.007 8.3 (locks), Quectel EC2x AT manual (+CPIN,
// +CFUN), SIMCom SIM7600 AT manual (+CFUN: 5 to 7, IMS first), u-blox SARA-R4 manual (UUMWI and friends unasked), Telit
// LE910 manual (#-lines), Sierra WP76 (context 3 for data), public logs of OpenWrt and Raspberry Pi forums. Values are
// ours.
func TestFurtherModems(t *testing.T) {
	ok := func(s string) string { return s + "\r\n\r\nOK" }
	for name, c := range map[string]struct {
		config Config
		table  map[string]string
		good   func(r Report) bool
	}{
		// Context by name.
		"Sierra: data is context 3, VoLTE 2": {Config{APN: "m2m.carrier"}, map[string]string{"AT+CGACT?": ok("+CGACT: 1,0\r\n+CGACT: 2,1\r\n+CGACT: 3,1"),
			"AT+CGPADDR":  ok("+CGPADDR: 1,0.0.0.0\r\n+CGPADDR: 2,\"2600:1:2:3::1\"\r\n+CGPADDR: 3,\"10.170.3.4\""),
			"AT+CGDCONT?": ok("+CGDCONT: 1,\"IPV4V6\",\"vzwadmin\",\"0.0.0.0\",0,0\r\n+CGDCONT: 2,\"IPV4V6\",\"vzwims\",\"0.0.0.0\",0,0\r\n+CGDCONT: 3,\"IPV4V6\",\"m2m.carrier\",\"0.0.0.0\",0,0")},
			func(r Report) bool {
				return r.Bearer.Active && r.Bearer.APN && r.Bearer.Address.String() == "10.170.3.4"
			}},
		"only emergency is up": {Config{APN: "m2m.carrier"}, map[string]string{"AT+CGACT?": ok("+CGACT: 1,0\r\n+CGACT: 4,1"), "AT+CGPADDR": ok("+CGPADDR: 4,10.1.1.1"),
			"AT+CGDCONT?": ok("+CGDCONT: 1,\"IP\",\"m2m.carrier\",\"\",0,0\r\n+CGDCONT: 4,\"IP\",\"sos\",\"\",0,0")},
			func(r Report) bool { return r.Bearer.ActiveKnown && !r.Bearer.Active }},
		"capitals and the network's suffix": {Config{APN: "pos.Example"}, map[string]string{"AT+CGDCONT?": ok("+CGDCONT: 1,\"IP\",\"POS.EXAMPLE.MNC001.MCC460.GPRS\",\"0.0.0.0\",0,0")},
			func(r Report) bool { return r.Bearer.APN }},
		// The SIM, and the device's own locks.
		"PH-NETSUB":         {Config{}, map[string]string{"AT+CPIN?": ok("+CPIN: PH-NETSUB PIN")}, func(r Report) bool { return r.SIM == SIMLocked }},
		"PH-SP":             {Config{}, map[string]string{"AT+CPIN?": ok("+CPIN: PH-SP PIN")}, func(r Report) bool { return r.SIM == SIMLocked }},
		"PH-CORP":           {Config{}, map[string]string{"AT+CPIN?": ok("+CPIN: PH-CORP PIN")}, func(r Report) bool { return r.SIM == SIMLocked }},
		"CME 11 is its PIN": {Config{}, map[string]string{"AT+CPIN?": "+CME ERROR: 11"}, func(r Report) bool { return r.SIM == SIMPIN }},
		"CME 13 failed":     {Config{}, map[string]string{"AT+CPIN?": "+CME ERROR: 13"}, func(r Report) bool { return r.SIM == SIMFailure }},
		"CME in words":      {Config{}, map[string]string{"AT+CPIN?": "+CME ERROR: SIM not inserted"}, func(r Report) bool { return r.SIM == SIMMissing }},
		// The radio.
		"flight mode":        {Config{}, searching("AT+CFUN?", ok("+CFUN: 4")), func(r Report) bool { return r.Radio == RadioOff }},
		"least function":     {Config{}, searching("AT+CFUN?", ok("+CFUN: 0")), func(r Report) bool { return r.Radio == RadioOff }},
		"CFUN with a second": {Config{}, searching("AT+CFUN?", ok("+CFUN: 4,0")), func(r Report) bool { return r.Radio == RadioOff }},
		"on and searching": {Config{}, searching("AT+CFUN?", ok("+CFUN: 1")), func(r Report) bool {
			return r.Radio == RadioOn && r.Registration == RegSearching
		}},
		// What comes unasked is nobody's name.
		"a message arrives": {Config{}, map[string]string{"AT+CGMM": "+CMTI: \"SM\",3\r\n\r\nSIM7600G-H\r\n\r\nOK"}, func(r Report) bool { return r.Model == "SIM7600G-H" }},
		"u-blox tells":      {Config{}, map[string]string{"AT+CGMR": "+UUMWI: 0,1\r\n\r\n05.06,A.02.00\r\n\r\nOK"}, func(r Report) bool { return r.Firmware == "05.06 A.02.00" }},
		"Quectel tells":     {Config{}, map[string]string{"AT+CGMM": "+QIND: SMS DONE\r\n\r\nEC25\r\n\r\nOK"}, func(r Report) bool { return r.Model == "EC25" }},
	} {
		synctest.Test(t, func(t *testing.T) {
			if r, _ := asked(t, c.config, c.table); !c.good(r) {
				t.Errorf("%s: %+v", name, r)
			}
		})
	}
}

// searching is a modem that has no network, and one answer more.
func searching(command, answer string) map[string]string {
	return map[string]string{"AT+CREG?": "+CREG: 0,2\r\n\r\nOK", "AT+CGREG?": "+CGREG: 0,2\r\n\r\nOK", "AT+CEREG?": "+CEREG: 0,2\r\n\r\nOK", "AT+COPS?": "+COPS: 0\r\n\r\nOK", command: answer}
}
