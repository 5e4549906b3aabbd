package modem

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/drivers/serial"
)

// sampleGap separates signal samples of one visit; modems renew theirs about that often.
const sampleGap = 400 * time.Millisecond

// Config is what is known of a modem before it is asked.
type Config struct {
	APN     string // as configured in the terminal; "" does not compare
	CID     int    // the context that carries sales; 0 for any active one
	Samples int    // signal samples to take, at least one
	DialUp  bool   // no SIM, no radio: a telephone line
}

// A Report is what a modem told about itself. Numbers that identify it or its SIM are never asked for.
type Report struct {
	Maker, Model, Firmware string

	SIM          SIM
	Radio        Radio
	Registration Registration // "" if the modem answered none of the questions
	Tech         string       // in use: 2g 3g 4g 5g, "" if not known
	// the newest that the modem can use, "" if not known; asked only of one that is on none newer than 3g
	Best     string
	Operator string // MCC and MNC of the network that serves it: 46000, "" if not known
	Area     string // its tracking or location area in hexadecimal, "" if not known
	Signals  []Signal
	Bearer   Bearer
	Line     Line // of a dial-up modem

	Unasked, Garbage, Late uint64 // of the dialogue: unasked lines, spoiled lines, late results
	Lost                   int    // questions without an answer
}

// Radio says whether a modem has been told to stay off the air. Then no SIM, network or antenna can be judged by its
// silence.
type Radio string

// What a modem was told. RadioOn is of one that is registered, or says that it may be.
const (
	RadioUnknown Radio = ""
	RadioOn      Radio = "on"
	RadioOff     Radio = "off"          // CFUN 0, 2, 3 or 4 (27.007 8.2), or 7: flight mode
	Deregistered Radio = "deregistered" // COPS 2 (27.007 7.3): told to leave the network
)

// Bearer is the packet service.
type Bearer struct {
	Attached, AttachedKnown bool
	Active, ActiveKnown     bool
	Address                 netip.Addr // invalid if none
	Family                  string     // v4 v6 both: what addresses the context has, "" if not known
	APN, APNKnown           bool       // the context's access point is the configured one
	// why the last context or call ended, as the modem says it; "" if all is well or it is silent
	Cause string
}

// Ask asks a modem everything in one dialogue: about twenty queries and, per sample beyond the first, 0.4 s. With an
// error the report holds what was learned before it. The error is serial.ErrIdle for a modem that answers nothing,
// serial.ErrGarbled for one whose answers cannot be understood, serial.ErrGone, or the context's.
func Ask(ctx context.Context, link serial.Link, c Config) (r Report, err error) {
	d := New(link)
	if p, ok := link.(interface{ Discard() error }); ok {
		if err := p.Discard(); err != nil {
			return r, err
		}
	}
	if err := d.listen(ctx); err != nil {
		return r, err
	}
	d.dialUp = c.DialUp
	v := visit{ctx: ctx, d: d, r: &r}
	defer func() { r.Unasked, r.Garbage, r.Late = d.Unasked, d.Garbage, d.Late }()
	if err := d.Hello(ctx); err != nil {
		return r, err
	}
	if err := d.Sync(ctx); err != nil { // what an earlier visit asked may be answered now
		return r, err
	}
	v.identity()
	if c.DialUp {
		v.line()
		return r, v.err
	}
	v.sim()
	v.registration()
	v.radio()
	v.signal(max(c.Samples, 1))
	v.bearer(c)
	v.surroundings()
	return r, v.err
}

// lostMax is how many answers may be lost or spoiled before a visit gives up.
const lostMax = 2

// A visit is one dialogue's way through the questions. A question that the modem refuses or does not know, or whose
// answer was lost, is left out. A line on which nothing comes any more ends the visit.
type visit struct {
	ctx   context.Context
	d     *Dialogue
	r     *Report
	err   error
	told2 bool // +COPS: 2
	cops  bool // it was asked whose network it is
}

// ask returns the answer's lines; what the modem refused is in refused.
func (v *visit) ask(command, prefix string) (lines []string, refused *CommandError) {
	if v.err != nil {
		return nil, nil
	}
	lines, err := v.d.Command(v.ctx, command, prefix)
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err != nil {
		v.r.Lost++
		soft := errors.Is(err, serial.ErrIdle) || errors.Is(err, serial.ErrGarbled)
		if !soft || errors.Is(err, errLost) || v.r.Lost > lostMax {
			v.err = err
		}
		return nil, nil
	}
	for _, line := range lines {
		operator, area := networkIn(line)
		if v.r.Operator == "" {
			v.r.Operator = operator
		}
		if v.r.Area == "" {
			v.r.Area = area
		}
	}
	return lines, nil
}

// surroundings asks what is still not known of the network, and which technologies the modem can use: where the country
// has switched off the only one that it has, neither signal nor SIM is to blame.
func (v *visit) surroundings() {
	if on := v.r.Registration; v.r.Operator == "" && !v.cops && (on == RegHome || on == RegRoaming) {
		v.ask("AT+COPS?", "+COPS:")
	}
	if q := v.r.profile().place; q != "" && v.r.Area == "" && v.r.Operator != "" {
		v.ask(q, "+QENG:")
	}
	if v.r.Best = v.r.Tech; v.r.Best == "4g" || v.r.Best == "5g" || v.err != nil {
		return
	}
	lines, _ := v.ask("AT+WS46=?", "+WS46:")
	v.r.Best = higher(v.r.Best, abilities(lines))
	switch {
	case twoG(v.r.Maker, v.r.Model):
		v.r.Best = higher(v.r.Best, "2g")
	case threeG(v.r.Model):
		v.r.Best = higher(v.r.Best, "3g")
	case len(lines) == 0: // being on an old network says nothing of what it could use
		v.r.Best = ""
	}
}

func (v *visit) identity() {
	name := func(commands ...string) string {
		for _, c := range commands {
			if lines := v.own(c); len(lines) > 0 {
				return lines[0]
			}
		}
		return ""
	}
	v.r.Maker = name("AT+CGMI", "AT+GMI")
	v.r.Model = name("AT+CGMM", "AT+GMM")
	v.r.Firmware = name("AT+CGMR", "AT+GMR")
	if v.r.Model == "" {
		v.r.Model = name("ATI")
	}
}

// own asks a question whose answer is free text. A modem may send an unasked line in the middle of it, which no list of
// words tells from a name. Where more than one line came, the question is asked again: what stands in both answers is
// the answer.
func (v *visit) own(command string) []string {
	ask := func() (list []string) {
		lines, _ := v.ask(command, "")
		for _, line := range lines {
			_, text, named := strings.Cut(line, ": ")
			if !named || !strings.HasPrefix(line, "+") {
				text = line
			}
			if s := serial.Label([]byte(strings.Trim(text, `"`))); s != "" {
				list = append(list, s)
			}
		}
		return list
	}
	first := ask()
	if len(first) <= 1 {
		return first
	}
	second := ask()
	return slices.DeleteFunc(first, func(s string) bool { return !slices.Contains(second, s) })
}

func (v *visit) sim() {
	lines, refused := v.ask("AT+CPIN?", "+CPIN:")
	if v.err == nil {
		v.r.SIM = simOf(lines, refused)
	}
	if refused == nil || refused.Final != "ERROR" || v.err != nil {
		return
	}
	// The modem is told to give no reasons. Its maker's own question needs none.
	if q := v.r.profile().sim; q.command != "" {
		lines, _ := v.ask(q.command, q.prefix)
		if v.r.SIM = q.parse(lines); v.r.SIM != SIMUnknown || v.err != nil {
			return
		}
	}
	mode, _ := v.ask("AT+CMEE?", "+CMEE:")
	if len(mode) != 1 || after(mode[0]) != "0" {
		return
	}
	// Ask for numbers, and put it back whatever comes: also if the visit is broken off, or the modem's answer is lost.
	_, no := v.ask("AT+CMEE=1", "")
	if no != nil {
		return
	}
	if v.err == nil {
		if lines, refused = v.ask("AT+CPIN?", "+CPIN:"); v.err == nil {
			v.r.SIM = simOf(lines, refused)
		}
	}
	if v.err == nil {
		v.ask("AT+CMEE=0", "")
	}
	if v.err != nil {
		v.d.parting("AT+CMEE=0")
	}
}

func (v *visit) registration() {
	one := func(command, prefix string) registered {
		last := unanswered
		lines, _ := v.ask(command, prefix)
		for _, line := range lines {
			if r, ok := parseReg(line); ok {
				last = r
				if v.r.Area == "" && (r.state() == RegHome || r.state() == RegRoaming) {
					v.r.Area = r.area
				}
			}
		}
		return last
	}
	eps := one("AT+CEREG?", "+CEREG:")
	gprs := one("AT+CGREG?", "+CGREG:")
	cs := one("AT+CREG?", "+CREG:")
	fiveG := unanswered
	if on := registration(cs, eps, gprs); on != RegHome && on != RegRoaming {
		fiveG = one("AT+C5GREG?", "+C5GREG:")
	}
	if v.err != nil || cs.stat < 0 && eps.stat < 0 && gprs.stat < 0 && fiveG.stat < 0 {
		return
	}
	v.r.Registration = registration(cs, eps, gprs, fiveG)
	if on := v.r.Registration; on != RegHome && on != RegRoaming {
		for _, r := range []registered{fiveG, eps, gprs, cs} {
			if r.cause != 0 && v.r.Bearer.Cause == "" {
				v.r.Bearer.Cause = strconv.Itoa(r.cause)
			}
		}
	}
	for _, r := range []registered{fiveG, eps, gprs, cs} {
		if s := r.state(); s != RegHome && s != RegRoaming {
			continue
		}
		if v.r.Tech = tech(r.act); v.r.Tech != "" {
			return
		}
	}
	if q := v.r.profile().tech; q.command != "" {
		lines, _ := v.ask(q.command, q.prefix)
		if v.r.Tech = q.parse(lines); v.r.Tech != "" || v.err != nil {
			return
		}
	}
	// +COPS? is a look; +COPS=? would search for minutes and stop the data.
	v.cops = true
	lines, _ := v.ask("AT+COPS?", "+COPS:")
	for _, line := range lines {
		f := fields(after(line))
		if len(f) > 0 {
			v.told2 = f[0].text == "2"
		}
		if len(f) >= 4 {
			if act, ok := small(f[3].text); ok {
				v.r.Tech = tech(act)
			}
		}
	}
	if v.r.Tech != "" || v.err != nil || v.r.Registration != RegHome && v.r.Registration != RegRoaming {
		return
	}
	// One that was made before there was more than one technology does not name it.
	lines, _ = v.ask("AT+WS46=?", "+WS46:")
	if v.r.Tech = onlyTech(lines); v.r.Tech == "" && len(lines) == 0 && twoG(v.r.Maker, v.r.Model) {
		v.r.Tech = "2g"
	}
}

// radio asks a modem that is not registered whether it is allowed to be. A function level above 4 is the maker's own; 7
// is off line with Qualcomm's and u-blox's.
func (v *visit) radio() {
	if on := v.r.Registration; on == RegHome || on == RegRoaming {
		v.r.Radio = RadioOn
		return
	}
	lines, _ := v.ask("AT+CFUN?", "+CFUN:")
	for _, line := range lines {
		f := fields(after(line))
		if len(f) == 0 {
			continue
		}
		switch f[0].text {
		case "1":
			v.r.Radio = RadioOn
		case "0", "2", "3", "4", "7":
			v.r.Radio = RadioOff
		}
	}
	if v.told2 && v.r.Radio != RadioOff {
		v.r.Radio = Deregistered
	}
}

func (v *visit) signal(samples int) {
	own := v.r.profile().signal
	for i := range samples {
		if i > 0 && !v.wait(sampleGap) {
			return
		}
		s := NoSignal()
		if lines, _ := v.ask("AT+CSQ", "+CSQ:"); len(lines) > 0 {
			s = parseCSQ(lines[len(lines)-1])
		}
		if lines, _ := v.ask("AT+CESQ", "+CESQ:"); len(lines) > 0 {
			s = parseCESQ(lines[len(lines)-1]).merge(s)
		}
		for len(own) > 0 { // of the maker's questions the first that is answered with a level
			q := own[0]
			lines, _ := v.ask(q.command, q.prefix)
			found, tech := q.parse(lines)
			if v.r.Tech == "" {
				v.r.Tech = tech
			}
			if found.Known() || len(lines) > 0 && len(own) == 1 {
				s = found.merge(s)
				break
			}
			own = own[1:]
		}
		if v.err != nil {
			return
		}
		if s.Known() {
			v.r.Signals = append(v.r.Signals, s)
		}
	}
}

// wait pauses, and says whether the context still stands.
func (v *visit) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-v.ctx.Done():
		v.err = v.ctx.Err()
		return false
	}
}

func (v *visit) bearer(c Config) {
	b := &v.r.Bearer
	if lines, _ := v.ask("AT+CGATT?", "+CGATT:"); len(lines) > 0 {
		switch after(lines[len(lines)-1]) {
		case "1":
			b.Attached, b.AttachedKnown = true, true
		case "0":
			b.AttachedKnown = true
		}
	}
	// The number of a context says nothing: IMS and emergency contexts come first on some networks.
	list := contexts{}
	lines, _ := v.ask("AT+CGACT?", "+CGACT:")
	b.ActiveKnown = list.states(lines)
	lines, _ = v.ask("AT+CGPADDR", "+CGPADDR:")
	list.addresses(lines)
	if c.APN != "" || c.CID == 0 && len(list) > 1 {
		lines, _ = v.ask("AT+CGDCONT?", "+CGDCONT:")
		list.names(lines)
		if best, ok := list.best(c); c.APN != "" && (!ok || !SameAPN(best.apn, c.APN)) { // the network's own choice, then
			lines, _ = v.ask("AT+CGCONTRDP", "+CGCONTRDP:")
			list.names(lines)
		}
	}
	if best, ok := list.best(c); ok {
		b.Active, b.Address, b.Family = best.active, best.address, Family(best.v4, best.v6)
		if c.APN != "" && best.apn != "" {
			b.APN, b.APNKnown = SameAPN(best.apn, c.APN), true
		}
	}
	if b.Cause == "" && ((b.ActiveKnown && !b.Active) || (b.AttachedKnown && !b.Attached)) {
		if lines, _ := v.ask("AT+CEER", "+CEER:"); len(lines) > 0 {
			if cause := serial.Label([]byte(after(lines[0]))); !strings.HasPrefix(strings.ToLower(cause), "no ") {
				// "no report available"
				b.Cause = cause
			}
		}
	}
}
