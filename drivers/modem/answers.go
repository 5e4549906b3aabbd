package modem

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// SIM is the state of a SIM card as the modem reports it.
type SIM string

// States of a SIM.
const (
	SIMUnknown SIM = ""
	SIMReady   SIM = "ready"
	SIMMissing SIM = "missing"
	SIMPIN     SIM = "pin"
	SIMPUK     SIM = "puk"
	SIMFailure SIM = "failure"
	// SIMLocked is a lock of the device, to a network or to one card: no PIN of the SIM's opens it.
	SIMLocked SIM = "device-lock"
)

// simOf reads +CPIN (27.007 8.3) or the error in its place.
func simOf(lines []string, err *CommandError) SIM {
	if err != nil {
		switch err.Code {
		case cmeNoSIM:
			return SIMMissing
		case cmePIN:
			return SIMPIN
		case cmePUK:
			return SIMPUK
		case cmeSIMFailure, cmeSIMWrong:
			return SIMFailure
		case cmePHSIM, cmePHFSIM, cmePHFSIMPUK, cmeNetworkPIN, cmeNetworkPUK, cmeSubsetPIN, cmeSubsetPUK, cmeProviderPIN,
			cmeProviderPUK, cmeCorporatePIN, cmeCorporatePUK:
			return SIMLocked
		}
		return SIMUnknown
	}
	state := SIMUnknown
	for _, line := range lines { // the last is the newest: a card may come or go meanwhile
		switch s := strings.ToUpper(strings.Trim(after(line), `"`)); {
		case strings.HasPrefix(s, "PH-"), strings.Contains(s, "SIMLOCK"), strings.Contains(s, "PERSONALI"):
			state = SIMLocked
		case s == "READY", strings.HasSuffix(s, "PIN2"), strings.HasSuffix(s, "PUK2"): // the second pair guards phone books
			state = SIMReady
		case strings.HasSuffix(s, "PUK"):
			state = SIMPUK
		case strings.HasSuffix(s, "PIN"):
			state = SIMPIN
		case strings.Contains(s, "NOT INSERTED"), strings.Contains(s, "NOT READY"), strings.Contains(s, "REMOVED"):
			state = SIMMissing
		case strings.Contains(s, "FAIL"):
			state = SIMFailure
		}
	}
	return state
}

// Registration is the state of the registration with the network, as the modem reports it.
type Registration string

// States of registration.
const (
	RegUnknown   Registration = "unknown"
	RegHome      Registration = "home"
	RegRoaming   Registration = "roaming"
	RegSearching Registration = "searching"
	RegDenied    Registration = "denied"
	RegIdle      Registration = "idle"
)

// A registered is one +CREG, +CGREG, +CEREG or +C5GREG line.
type registered struct {
	stat  int // -1: not answered
	act   int // access technology, -1 if not said
	cause int // of 24.008 or 24.301, why the network refused; 0 if not said
	area  string
}

// parseReg reads a line in either form, the answer "n,stat[,lac,ci[,act…]]" or the unasked "stat[,lac,ci[,act…]]": both
// tell how it is now. They differ in the second field, a small number or an area code of four digits; some modems fill
// small numbers up with zeros, and some put a routing area between area and cell.
func parseReg(line string) (r registered, ok bool) {
	f := fields(after(line))
	at := 0
	if len(f) >= 2 && !f[1].quoted && (len(f[1].text) <= 3 || len(f[0].text) == 3) {
		if n, ok := small(f[1].text); ok && n <= statMax {
			at = 1
		}
	}
	if len(f) == 0 {
		return unanswered, false
	}
	stat, ok := small(f[at].text)
	if !ok || stat > statMax {
		return unanswered, false
	}
	r = registered{stat: stat, act: -1}
	if len(f) > at+1 && len(f[at+1].text) >= 4 {
		r.area = areaOf(f[at+1].text)
	}
	act := at + 3
	if len(f) > at+4 && len(f[at+2].text) <= 2 && len(f[at+3].text) > 3 {
		act++
	}
	if len(f) > act {
		if n, ok := small(f[act].text); ok {
			r.act = n
		}
	}
	// Behind the technology, with n=3 or 5: type and number of the cause; type 1 is the maker's own.
	if n := len(f); n >= act+3 && f[n-2].text == "0" {
		if c, err := strconv.ParseUint(f[n-1].text, 10, 8); err == nil {
			r.cause = int(c)
		}
	}
	return r, true
}

// statMax is the highest state of 27.007 7.2.
const statMax = 11

// unanswered is a registration that was not told.
var unanswered = registered{stat: -1, act: -1}

// small reads a number of one or two digits, with zeros before it or not.
func small(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil && n <= 99
}

// state maps a stat of 27.007 7.2.
func (r registered) state() Registration {
	switch r.stat {
	case 0:
		return RegIdle
	case 1, 6, 9: // 6: calls are not possible, messages are; an LTE modem says so of +CREG
		return RegHome
	case 2:
		return RegSearching
	case 3, 8, 11: // 8, 11: emergency calls only, which is what a refused modem is left with
		return RegDenied
	case 5, 7, 10:
		return RegRoaming
	}
	return RegUnknown
}

// RegistrationOf maps a stat of 27.007 7.2, which is how ModemManager numbers them, too.
func RegistrationOf(stat int) Registration { return registered{stat: stat, act: -1}.state() }

// tech maps an access technology of 27.007 7.3.
func tech(act int) string {
	switch act {
	case 0, 1, 3, 8:
		return "2g"
	case 2, 4, 5, 6:
		return "3g"
	case 7, 9, 10:
		return "4g"
	case 11, 12, 13:
		return "5g"
	}
	return ""
}

// registration combines the registrations for calls and for packets. Sales go over packets: a modem that may make calls
// but whose packet service was refused is denied.
func registration(cs registered, packet ...registered) Registration {
	for _, want := range []Registration{RegHome, RegRoaming, RegDenied} {
		for _, p := range packet {
			if p.stat >= 0 && p.state() == want {
				return want
			}
		}
	}
	if cs.stat >= 0 {
		return cs.state()
	}
	for _, want := range []Registration{RegSearching, RegIdle} {
		for _, p := range packet {
			if p.stat >= 0 && p.state() == want {
				return want
			}
		}
	}
	return RegUnknown
}

// A pdpContext is one definition of a bearer. What was not told is zero.
type pdpContext struct {
	cid     int
	active  bool
	address netip.Addr
	v4, v6  bool
	apn     string
}

// Family is the IP families of an interface's addresses: v4, v6, both, or "" for none.
func Family(v4, v6 bool) string {
	switch {
	case v4 && v6:
		return "both"
	case v4:
		return "v4"
	case v6:
		return "v6"
	}
	return ""
}

// contexts are those of a modem, in the order in which it told of them.
type contexts []pdpContext

func (l *contexts) of(cid int) *pdpContext {
	for i := range *l {
		if (*l)[i].cid == cid {
			return &(*l)[i]
		}
	}
	*l = append(*l, pdpContext{cid: cid})
	return &(*l)[len(*l)-1]
}

// each reads the lines of an answer that begin with the number of a context.
func (l *contexts) each(lines []string, least int, put func(c *pdpContext, f []field)) (known bool) {
	for _, line := range lines {
		f := fields(after(line))
		if len(f) < least {
			continue
		}
		if cid, err := strconv.Atoi(f[0].text); err == nil {
			put(l.of(cid), f)
			known = true
		}
	}
	return known
}

// states reads +CGACT: cid,state.
func (l *contexts) states(lines []string) (known bool) {
	return l.each(lines, 2, func(c *pdpContext, f []field) { c.active = f[1].text == "1" })
}

// addresses reads +CGPADDR: cid,address[,address], of which the first real one counts, dotted IPv6 of 27.007 included.
func (l *contexts) addresses(lines []string) {
	l.each(lines, 2, func(c *pdpContext, f []field) {
		for _, text := range f[1:] {
			a, ok := address(text.text)
			if !ok || a.IsUnspecified() {
				continue
			}
			if !c.address.IsValid() {
				c.address = a
			}
			c.v4, c.v6 = c.v4 || a.Unmap().Is4(), c.v6 || !a.Unmap().Is4()
		}
	})
}

// names reads +CGDCONT: cid,type,apn,… and +CGCONTRDP: cid,bearer,apn,…; a name that is empty takes none away.
func (l *contexts) names(lines []string) {
	l.each(lines, 3, func(c *pdpContext, f []field) {
		if f[2].text != "" {
			c.apn = f[2].text
		}
	})
}

// best finds the context that carries sales: the one whose number is configured; else one with the configured name;
// else one that is active and is for data. Among equals an active one goes first, then one that has an address. An
// active context with another name goes before an inactive one with the right name, since it is what carries the
// terminal now. The order of the numbers proves nothing.
func (l contexts) best(c Config) (pdpContext, bool) {
	worth := func(p pdpContext) int {
		n := 0
		for _, good := range []bool{p.active && !service(p.apn), c.APN != "" && SameAPN(p.apn, c.APN), p.active,
			p.address.IsValid(), !service(p.apn), p.apn != ""} {
			if n <<= 1; good {
				n++
			}
		}
		return n
	}
	if c.CID != 0 {
		if i := slices.IndexFunc(l, func(p pdpContext) bool { return p.cid == c.CID }); i >= 0 {
			return l[i], true
		}
		return pdpContext{}, len(l) > 0
	}
	if len(l) == 0 {
		return pdpContext{}, false
	}
	best := l[0]
	for _, p := range l[1:] {
		if worth(p) > worth(best) {
			best = p
		}
	}
	if service(best.apn) && (c.APN == "" || !SameAPN(best.apn, c.APN)) {
		best = pdpContext{} // none is for data
	}
	return best, true
}

// service reports whether a name is that of a network's own services, which carry no data: calls over LTE, emergency
// calls, settings (3GPP 23.003, GSMA IR.88; vzwims and the like are carriers' own).
func service(apn string) bool {
	name, _, _ := strings.Cut(strings.ToLower(apn), ".")
	switch name {
	case "ims", "sos", "xcap", "emergency", "hos", "ut", "vzwadmin", "fota", "supl", "cbs", "rcs":
		return true
	}
	return strings.HasSuffix(name, "ims")
}

func address(s string) (netip.Addr, bool) {
	if strings.Count(s, ".") == 15 { // sixteen decimal bytes (27.007 10.1.23)
		var b [16]byte
		for i, part := range strings.Split(s, ".") {
			n, err := strconv.ParseUint(part, 10, 8)
			if err != nil {
				return netip.Addr{}, false
			}
			b[i] = byte(n)
		}
		return netip.AddrFrom16(b), true
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil
}

// SameAPN compares access point names: not by case, and not by the operator suffix that networks add (23.003 9.1).
func SameAPN(a, b string) bool {
	cut := func(s string) string {
		s = strings.ToLower(s)
		if i := strings.Index(s, ".mnc"); i >= 0 && strings.HasSuffix(s, ".gprs") {
			s = s[:i]
		}
		return s
	}
	return cut(a) == cut(b)
}

// after is what stands behind the name of an answer.
func after(line string) string {
	_, rest, _ := strings.Cut(line, ":")
	return strings.TrimSpace(rest)
}

// A field is one value of an answer.
type field struct {
	text   string
	quoted bool
}

// fieldsMax is more than any answer read here has.
const fieldsMax = 40

// fields splits an answer at the commas outside quotes and outside the parentheses of a list.
func fields(s string) (list []field) {
	var quoted, inside bool
	depth, start := 0, 0
	add := func(end int) {
		t := strings.TrimSpace(s[start:end])
		list = append(list, field{strings.Trim(t, `"`), quoted})
		quoted, start = false, end+1
	}
	if s == "" {
		return nil
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			inside, quoted = !inside, true
		case inside:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth <= 0:
			add(i)
			if len(list) == fieldsMax {
				return list
			}
		}
	}
	add(len(s))
	return list
}
