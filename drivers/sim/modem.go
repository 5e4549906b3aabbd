package sim

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// ModemState is the state of a simulated modem and its faults; all may change while it runs.
type ModemState struct {
	SIM        string // READY, SIM PIN, SIM PUK, or a +CME code: 10 none, 13 failure
	Stat       int    // registration: 0 idle 1 home 2 searching 3 denied 5 roaming
	Act        int    // access technology of 27.007: 0 GSM, 2 UTRAN, 7 E-UTRAN
	CSQ        int    // 0 to 31, 99 unknown
	RSRP, RSRQ int    // +CESQ steps: RSRP 0 to 97 for -141 to -44 dBm, RSRQ 0 to 34; 255 unknown
	SINR       float64
	Attached   bool
	Active     bool   // the context
	APN        string // of context 1, or of 3 behind the carrier's own
	IMS        bool   // contexts 1 and 2 are the carrier's own: IMS, which is up, and SOS
	RadioOff   bool   // flight mode
	Address    string
	CEER       string // why the last context ended
	Call       string // what dialling ends in: "" for NO CARRIER; CONNECT makes the line carry data

	// Of a dial-up modem: the call setup result that AT#UD tells, and the volts of its line.
	UD    int
	Volts int

	Echo int           // how often a command comes back: 0, 1, or 2 as with a bridge that echoes too
	V0   bool          // results are digits
	Late time.Duration // answers come so much later

	Silent   bool    // power or cable gone on the far side
	Garbage  float64 // how many answers are rubbish
	Area     string  // of the network, in hexadecimal; "" for 1A2B
	Operator string  // MCC and MNC of the network; "" for that of test equipment (ITU-T E.212: 001-01)

	Flood bool // unasked lines without end
	Dies  bool // falls silent in the middle of its next answer
	Muxed bool // a program left it under the multiplexer of 27.010: it answers in frames
}

// testNetwork is no operator's.
const testNetwork = "00101"

// ModemMake is the maker, model and firmware that a modem gives.
type ModemMake struct{ Maker, Model, Firmware string }

// The makes whose own commands the simulator knows. The last one sits on a telephone line.
func Quectel() ModemMake { return ModemMake{"Quectel", "EC25", "EC25EFAR06A06M4G"} }

// OldQuectel can do no more than UMTS.
func OldQuectel() ModemMake { return ModemMake{"Quectel", "UC20", "UC20GQBR03A12E1G"} }

func SIMCom() ModemMake {
	return ModemMake{"SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H", "LE20B03SIM7600M22"}
}
func Huawei() ModemMake  { return ModemMake{"huawei", "ME909s-821", "11.617.01.00.00"} }
func Fibocom() ModemMake { return ModemMake{"Fibocom", "FM160-CN", "89614.1000.00.04.01.02"} }
func MeiG() ModemMake    { return ModemMake{"MEIG INCORPORATED", "SLM770A", "SLM770A_4.0.19"} }
func Plain() ModemMake   { return ModemMake{"posdx", "simulated 27.007 modem", "1.0"} }
func Wavecom() ModemMake {
	return ModemMake{"WAVECOM MODEM", "MULTIBAND  900E  1800", "657f09gg.Q2406B"}
}
func DialUp() ModemMake { return ModemMake{"Silicon Laboratories", "Si2457", "D"} }

// GoodModem is a modem in service on LTE.
func GoodModem() ModemState {
	return ModemState{SIM: "READY", Stat: 1, Act: 7, CSQ: 24, RSRP: 56, RSRQ: 24, SINR: 17, Attached: true, Active: true,
		APN: "cmiot", Address: "10.64.12.7", Echo: 1}
}

// A Modem is a cellular modem that speaks 27.007. Its methods may be called from any goroutine.
type Modem struct {
	make ModemMake

	mu    sync.Mutex
	rand  *rand.Rand
	state ModemState
	cmee  int
	reg   [4]int // the n of +CREG, +CGREG, +CEREG, +C5GREG
	dead  bool   // has died in an answer
	data  bool   // a call is up: what comes is the far end's
	heard []string
}

// heardMax bounds what a modem remembers of what it was told.
const heardMax = 4096

// NewModem makes a modem. The seed decides which answers are rubbish.
func NewModem(m ModemMake, s ModemState, seed uint64) *Modem {
	return &Modem{make: m, state: s, rand: rand.New(rand.NewPCG(seed, 3))}
}

// Change changes the state of a modem. A modem that had broken off answers again, and a call ends.
func (m *Modem) Change(f func(*ModemState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead, m.data = false, false
	f(&m.state)
}

// Heard is every command line that came, in order: tests that a probe asks for no identifier look here.
func (m *Modem) Heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.heard...)
}

// Serve answers commands until the line or the context ends.
func (m *Modem) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	defer context.AfterFunc(ctx, func() { rw.Close() })() // frees what floods too
	var out sync.Mutex                                    // one line at a time
	say := func(s string) error {
		out.Lock()
		defer out.Unlock()
		_, err := io.WriteString(rw, s)
		return err
	}
	quiet, flooding := make(chan struct{}), make(chan struct{})
	go func() { defer close(flooding); m.flood(say, quiet) }()
	defer func() { close(quiet); <-flooding }()

	var line []byte
	return listen(ctx, rw, func(in []byte) error {
		for _, c := range in {
			switch {
			case c == '\n':
			case c != '\r':
				if line = append(line, c); len(line) > heardMax {
					line = line[:0]
				}
			default:
				if err := m.hear(ctx, strings.TrimSpace(string(line)), say); err != nil {
					return err
				}
				line = line[:0]
			}
		}
		return nil
	})
}

// hear answers one line.
func (m *Modem) hear(ctx context.Context, line string, say func(string) error) error {
	m.mu.Lock()
	s := m.state
	if s.Silent || m.dead || m.data || line == "" {
		m.mu.Unlock()
		return nil
	}
	if len(m.heard) < heardMax {
		m.heard = append(m.heard, line)
	}
	text := strings.Repeat(line+"\r", s.Echo)
	if s.Muxed {
		m.mu.Unlock()
		return say(muxStatus)
	}
	if i := strings.Index(strings.ToUpper(line), "AT"); i >= 0 {
		text += m.answer(line[i+2:])
	}
	switch {
	case s.Dies:
		text, m.dead, m.state.Dies = text[:len(text)*2/3], true, false
	case m.rand.Float64() < s.Garbage:
		b := make([]byte, 40)
		for i := range b {
			b[i] = byte(m.rand.UintN(256))
		}
		text = string(b)
	}
	m.mu.Unlock()
	if s.Late > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(s.Late):
		}
	}
	return say(text)
}

// flood says unasked lines while the state wants it.
func (m *Modem) flood(say func(string) error, quiet <-chan struct{}) {
	lines := []string{"+CREG: 1", "^RSSI: 18", `^HCSQ:"LTE",53,47,146,18`, "+CGEV: NW DETACH", "RING", `+CMTI: "SM",3`, "+CSQ: 99,99", "^MODE: 17,17"}
	for i := 0; ; i++ {
		select {
		case <-quiet:
			return
		case <-time.After(lookAgain):
		}
		m.mu.Lock()
		on := m.state.Flood && !m.state.Silent && !m.dead
		m.mu.Unlock()
		if on && say("\r\n"+lines[i%len(lines)]+"\r\n") != nil {
			return
		}
	}
}

// answer runs a command line, several commands joined by semicolons, and formats what comes of it.
func (m *Modem) answer(line string) string {
	var info []string
	final := "OK"
	for _, c := range strings.Split(line, ";") {
		lines, result := m.run(strings.ToUpper(strings.TrimSpace(c)))
		info = append(info, lines...)
		if result != "OK" {
			final = result
			break
		}
	}
	var b strings.Builder
	if m.state.V0 {
		for _, l := range info {
			b.WriteString(l + "\r\n")
		}
		digit := map[string]string{"OK": "0", "CONNECT": "1", "NO CARRIER": "3", "ERROR": "4"}[final]
		if digit == "" {
			digit = final
		}
		return b.String() + digit + "\r"
	}
	for _, l := range info {
		b.WriteString("\r\n" + l + "\r\n")
	}
	if final == "" {
		return b.String()
	}
	return b.String() + "\r\n" + final + "\r\n"
}

// fail is an error in the form the host asked for.
func (m *Modem) fail(code int) string {
	switch m.cmee {
	case 1:
		return fmt.Sprintf("+CME ERROR: %d", code)
	case 2:
		text := map[int]string{3: "operation not allowed", 4: "operation not supported", 10: "SIM not inserted", 11: "SIM PIN required",
			12: "SIM PUK required", 13: "SIM failure", 14: "SIM busy"}[code]
		if text == "" {
			text = "unknown"
		}
		return "+CME ERROR: " + text
	}
	return "ERROR"
}

// muxStatus is what a multiplexer says by itself: the state of the lines of its second channel (27.010 5.4.6.3.7).
const muxStatus = "\xf9\x03\xef\x09\xe3\x05\x07\x0d\xfb\xf9"

// identifiers of the test ranges: an IMEI and an IMSI that no device and no subscriber has.
const (
	testIMEI = "001017003456784"
	testIMSI = "001010123456789"
)

// run is one command after AT.
func (m *Modem) run(c string) (lines []string, final string) {
	if m.make == DialUp() && strings.HasPrefix(c, "+C") { // 27.007 is not for it
		return nil, "ERROR"
	}
	now := m.state
	if now.RadioOff {
		now.Stat, now.CSQ, now.RSRP, now.RSRQ, now.Attached, now.Active = 0, 99, 255, 255, false, false
	}
	for _, answer := range [...]func(string, ModemState) ([]string, string){
		m.ofItsTime, m.setting, m.identity, m.capability, m.radio, m.packets,
	} {
		if lines, final = answer(c, now); final != "" || lines != nil {
			return lines, final
		}
	}
	if lines, ok := m.registered(c); ok {
		return lines, "OK"
	}
	if lines, ok := m.vendor(c); ok {
		return lines, "OK"
	}
	if strings.HasPrefix(c, "D") {
		if m.state.Call == "" {
			return nil, "NO CARRIER"
		}
		m.data = m.state.Call == "CONNECT"
		return nil, m.state.Call
	}
	return nil, m.fail(4)
}

// The answers of a modem, by subject. Where both results are empty the command is about another subject.

func one(format string, a ...any) ([]string, string) {
	return []string{fmt.Sprintf(format, a...)}, "OK"
}

func digit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// ofItsTime is what a modem of the time of GSM alone answers otherwise than all others.
func (m *Modem) ofItsTime(c string, now ModemState) ([]string, string) {
	if m.make != Wavecom() {
		return nil, ""
	}
	switch {
	case strings.HasPrefix(c, "+CEREG"), strings.HasPrefix(c, "+CESQ"), c == "+CGCONTRDP":
		return nil, "ERROR"
	case c == "+WS46=?":
		return one("+WS46: (12)")
	case c == "+CPIN?" && now.SIM == "READY":
		return []string{"+CPIN: READY"}, "" // no OK behind it
	case c == "+COPS?" && (m.state.Stat == 1 || m.state.Stat == 5):
		return one(`+COPS: 0,2,"%s"`, cmp.Or(now.Operator, testNetwork))
	}
	return nil, ""
}

// setting is how the dialogue itself is set.
func (m *Modem) setting(c string, _ ModemState) ([]string, string) {
	switch c {
	case "S3?":
		return one("013")
	case "S4?":
		return one("010")
	case "S5?":
		return one("008")
	case "", "E", "V1", "Q0", "X4", "Z", "&F", "+CSCS=\"GSM\"", "+CSCS=\"IRA\"", "+CMGF=0", "H", "H0":
		return nil, "OK"
	case "E0":
		m.state.Echo = 0
		return nil, "OK"
	case "E1":
		m.state.Echo = 1
		return nil, "OK"
	case "V0":
		m.state.V0 = true
		return nil, "OK"
	case "+CMEE?":
		return one("+CMEE: %d", m.cmee)
	case "+CMEE=0", "+CMEE=1", "+CMEE=2":
		m.cmee = int(c[6] - '0')
		return nil, "OK"
	}
	return nil, ""
}

// identity is who made the modem, and whose SIM is in it.
func (m *Modem) identity(c string, now ModemState) ([]string, string) {
	switch c {
	case "I", "I0":
		return []string{m.make.Maker, m.make.Model, "Revision: " + m.make.Firmware}, "OK"
	case "+GMI", "+CGMI":
		return one("%s", m.make.Maker)
	case "+GMM", "+CGMM":
		return one("%s", m.make.Model)
	case "+GMR", "+CGMR":
		return one("%s", m.make.Firmware)
	case "+GSN", "+CGSN":
		return one(testIMEI)
	case "+CIMI":
		if now.SIM != "READY" {
			return nil, m.simError()
		}
		return one(testIMSI)
	case "+GCAP":
		return one("+GCAP: +CGSM")
	case "+CSCS?":
		return one(`+CSCS: "GSM"`)
	case "+CSCS=?":
		return one(`+CSCS: ("GSM","IRA")`)
	}
	return nil, ""
}

// capability is what the modem says it can.
func (m *Modem) capability(c string, _ ModemState) ([]string, string) {
	switch c {
	case "+WS46=?":
		if m.make == OldQuectel() {
			return one("+WS46: (12,22,25)")
		}
		return one("+WS46: (12,22,25,28,29)")
	case "+CGDCONT=?":
		return []string{`+CGDCONT: (1-16),"IP",,,(0),(0)`, `+CGDCONT: (1-16),"IPV6",,,(0),(0)`}, "OK"
	case "+CESQ=?":
		return one("+CESQ: (0-63,99),(0-7,99),(0-96,255),(0-49,255),(0-34,255),(0-97,255)")
	}
	return nil, ""
}

// radio is the SIM's lock, the signal and the network.
func (m *Modem) radio(c string, now ModemState) ([]string, string) {
	switch c {
	case "+CFUN?":
		if now.RadioOff {
			return one("+CFUN: 4")
		}
		return one("+CFUN: 1")
	case "+CFUN=1", "+COPS=3,0", "+COPS=3,2", "+COPS=0": // as it is anyway
		return nil, "OK"
	case "+CPIN?":
		if strings.HasPrefix(now.SIM, "SIM ") || now.SIM == "READY" {
			return one("+CPIN: %s", now.SIM)
		}
		return nil, m.simError()
	case "+CSQ":
		return one("+CSQ: %d,99", now.CSQ)
	case "+CESQ":
		if now.Act != 7 {
			return one("+CESQ: %d,99,255,255,255,255", min(2*max(now.CSQ, 1)-2, 63))
		}
		return one("+CESQ: 99,99,255,255,%d,%d", now.RSRQ, now.RSRP)
	case "+COPS?":
		if now.Stat == 1 || now.Stat == 5 {
			return one(`+COPS: 0,2,"%s",%d`, cmp.Or(now.Operator, testNetwork), now.Act)
		}
		return one("+COPS: 0")
	}
	return nil, ""
}

// packets is the packet service and its contexts.
func (m *Modem) packets(c string, now ModemState) ([]string, string) {
	switch c {
	case "+CGATT?":
		return one("+CGATT: %d", digit(now.Attached))
	case "+CGACT?":
		if now.IMS {
			return []string{"+CGACT: 1,1", "+CGACT: 2,0", fmt.Sprintf("+CGACT: 3,%d", digit(now.Active))}, "OK"
		}
		return one("+CGACT: 1,%d", digit(now.Active))
	case "+CGDCONT?":
		if now.IMS {
			return []string{`+CGDCONT: 1,"IPV4V6","ims","0.0.0.0",0,0`, `+CGDCONT: 2,"IPV4V6","sos","0.0.0.0",0,0`, fmt.Sprintf(`+CGDCONT: 3,"IP","%s","0.0.0.0",0,0`, now.APN)}, "OK"
		}
		return one(`+CGDCONT: 1,"IP","%s","0.0.0.0",0,0`, now.APN)
	case "+CGPADDR", "+CGPADDR=1":
		if !now.Active {
			return one(`+CGPADDR: 1,"0.0.0.0"`)
		}
		if now.IMS {
			return []string{`+CGPADDR: 1,"10.1.1.1"`, `+CGPADDR: 2`, fmt.Sprintf(`+CGPADDR: 3,"%s"`, now.Address)}, "OK"
		}
		return one(`+CGPADDR: 1,"%s"`, now.Address)
	case "+CGCONTRDP":
		if !now.Active {
			return nil, "OK"
		}
		if now.IMS {
			return one(`+CGCONTRDP: 3,7,"%s.mnc001.mcc001.gprs","%s.255.255.255.255","10.64.12.1","10.64.0.1","10.64.0.2"`, now.APN, now.Address)
		}
		return one(`+CGCONTRDP: 1,5,"%s.mnc001.mcc001.gprs","%s.255.255.255.255","10.64.12.1","10.64.0.1","10.64.0.2"`, now.APN, now.Address)
	case "+CEER":
		if now.CEER == "" {
			return one("+CEER: No cause information available")
		}
		return one("+CEER: %s", now.CEER)
	}
	return nil, ""
}

func (m *Modem) simError() string {
	code := 13
	fmt.Sscanf(m.state.SIM, "%d", &code)
	switch m.state.SIM {
	case "SIM PIN":
		code = 11
	case "SIM PUK":
		code = 12
	}
	return m.fail(code)
}

// registered answers +CREG and its sisters.
func (m *Modem) registered(c string) ([]string, bool) {
	for i, name := range []string{"+CREG", "+CGREG", "+CEREG", "+C5GREG"} {
		rest, ok := strings.CutPrefix(c, name)
		if !ok || i == 3 {
			continue
		}
		if rest == "=?" {
			return []string{name + ": (0-2)"}, true
		}
		if n := strings.TrimPrefix(rest, "="); n != rest && len(n) == 1 && n[0] >= '0' && n[0] <= '2' {
			m.reg[i] = int(n[0] - '0')
			return nil, true
		}
		if rest != "?" {
			continue
		}
		stat := m.state.Stat
		if m.state.RadioOff {
			stat = 0
		}
		if lte := m.state.Act == 7; (name == "+CEREG") != lte && name != "+CREG" {
			stat = 0
		}
		if m.reg[i] < 2 || m.make == Wavecom() || stat != 1 && stat != 5 {
			return []string{fmt.Sprintf("%s: %d,%d", name, m.reg[i], stat)}, true
		}
		return []string{fmt.Sprintf(`%s: %d,%d,"%s","01A2D101",%d`, name, m.reg[i], stat, cmp.Or(m.state.Area, "1A2B"), m.state.Act)}, true
	}
	return nil, false
}
