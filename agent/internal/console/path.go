package console

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// A hop is a part of the way from the terminal to the host that a check looks at.
type hop struct {
	title   codes.Text
	check   string
	kind    hopKind
	figures []figure
	to      string // of a check of several places, how the names of those begin that this is about; "" for all
}

// A hopKind is what it means that a hop is well.
type hopKind byte

const (
	thing   hopKind = iota // it is there; that it is says nothing of others
	passage                // somebody got so far: what lies before it is passed
	unnamed                // a passage to an address: that names do not resolve is not passed by it
	radio                  // a thing or a passage of the modem, on the way only where no cable and no Wi-Fi is
)

// A figure is what a fact says of a hop.
type figure struct {
	fact   string
	is     string // said only where the value is this one; "" for any
	zh, en string // what is said, %s for the value; empty: the value alone
}

func (f figure) say(lang string) string { return codes.Text{ZH: f.zh, EN: f.en}.In(lang) }

const proxyStatus = "proxy_status" // of net.tcp: what the proxy answered on the way to the host

// path are the hops from the terminal outward.
var path = [...]hop{
	{codes.Text{ZH: "SIM卡", EN: "SIM card"}, "modem.sim", radio, []figure{{fact: "state"}}, ""},
	{codes.Text{ZH: "移动网络注册", EN: "mobile network"}, "modem.registration", radio, []figure{{fact: "state"}, {fact: "operator"}}, ""},
	{codes.Text{ZH: "移动信号", EN: "mobile signal"}, "modem.signal", radio, []figure{{"rsrp_dbm", "", "RSRP %s dBm", "RSRP %s dBm"},
		{"rssi_dbm", "", "RSSI %s dBm", "RSSI %s dBm"}}, ""},
	{codes.Text{ZH: "移动数据", EN: "mobile data"}, "modem.bearer", radio, []figure{{"attached", "no", "没有附着", "not attached"},
		{"context_active", "no", "没有数据连接", "no connection"}, {"context_active", "yes", "已连接", "connected"}}, ""},
	{codes.Text{ZH: "网络接口", EN: "interface"}, "net.link", thing, []figure{{fact: "kind"}, {fact: "outcome"}, {"enabled", "no", "被关闭", "switched off"},
		{"carrier", "no", "没有信号", "no carrier"}, {"speed_mbps", "", "%s Mbit/s", "%s Mbit/s"}}, ""},
	{codes.Text{ZH: "Wi-Fi", EN: "Wi-Fi"}, "net.wifi", thing, []figure{{"associated", "no", "没有连上", "not connected"}, {fact: "auth"},
		{"rssi_dbm", "", "%s dBm", "%s dBm"}}, ""},
	{codes.Text{ZH: "IP地址和路由", EN: "address and route"}, "net.address", thing, []figure{{fact: "address"}, {"default_routes", "0", "没有默认路由", "no route"},
		{"duplicate", "yes", "地址重复", "address used twice"}, {"conflict", "yes", "网段冲突", "networks overlap"}}, ""},
	{codes.Text{ZH: "店内路由器", EN: "shop's router"}, "net.gateway", passage, []figure{{fact: "ip"}, {"neighbour", "failed", "没有应答", "no answer"},
		{"rtt_ms", "", "%s 毫秒", "%s ms"}, {"loss_pct", "", "丢包 %s%%", "loss %s %%"}}, ""},
	{codes.Text{ZH: "域名解析", EN: "names (DNS)"}, "net.dns", passage, []figure{{fact: "outcome"}, {"ms", "", "%s 毫秒", "%s ms"},
		{"blocked", "yes", "被拦截", "blocked"}}, ""},
	{codes.Text{ZH: "外网", EN: "the internet"}, "net.internet", unnamed, []figure{{fact: "outcome"}, {"ms", "", "%s 毫秒", "%s ms"},
		{"portal", "yes", "要先在网页上登录", "a log-in page is in the way"}}, ""},
	{wordLoss, "net.path", unnamed, lossFigures[:], "internet"},
	{codes.Text{ZH: "代理", EN: "proxy"}, proxyStatus, passage, []figure{{proxyStatus, "", "答复 %s", "answers %s"}}, ""},
	{codes.Text{ZH: "主机连接", EN: "host (TCP)"}, "net.tcp", passage, []figure{{fact: "outcome"}, {"ms", "", "%s 毫秒", "%s ms"}, {fact: "stopped"}}, ""},
	{wordLoss, "net.path", passage, lossFigures[:], "host-"},
	{codes.Text{ZH: "加密和证书", EN: "encryption (TLS)"}, "net.tls", passage, []figure{{fact: "outcome"}, {"days_left", "", "证书剩 %s 天", "%s days left"},
		{"ms", "", "%s 毫秒", "%s ms"}}, ""},
	{codes.Text{ZH: "那笔交易的应答", EN: "the sale's answer"}, "txn.answer", passage, []figure{{"sent", "no", "没有发出", "nothing was sent"},
		{"host_answer_seen", "no", "没有应答", "no answer"}, {"code", "", "应答码 %s", "code %s"},
		{"response_ms", "", "%s 毫秒", "%s ms"}}, ""},
}

var (
	wordDaysOver = codes.Text{ZH: "已过 %s 天", EN: "%s days over"}
	wordLoss     = codes.Text{ZH: "沿途丢包时延", EN: "loss on the way"}
	lossFigures  = [...]figure{{"loss_pct", "", "丢包 %s%%", "loss %s %%"}, {"rtt_ms", "", "%s 毫秒", "%s ms"}}
)

// found is what is known of a hop.
type found struct {
	hop
	list   []report.Evidence
	status report.Status // of the hop as a whole: one good way is a way
	aside  bool          // the way does not lead over it
}

// wellFirst: a hop of which one part is well is passed.
var wellFirst = [...]report.Status{report.OK, report.Bad, report.CannotTell, report.NotRun}

func better(a, b report.Status) bool {
	return slices.Index(wellFirst[:], a) < slices.Index(wellFirst[:], b)
}

// follow sorts what the checks found by hop. Of several hosts the primary one is the way.
func follow(list []report.Evidence) (way []found) {
	fixed := slices.ContainsFunc(list, func(e report.Evidence) bool {
		kind, _ := e.Facts.Str("kind")
		return e.Check == "net.link" && e.Status == report.OK && (kind == "ethernet" || kind == "wifi")
	})
	for _, h := range path {
		f := found{hop: h, status: report.NotRun}
		for _, e := range list {
			if h.check == proxyStatus && e.Check == "net.tcp" {
				e = behindProxy(e)
			}
			if sent, told := e.Facts.Bool("sent"); e.Check == "txn.answer" && told && !sent {
				// What never left got no answer: nothing of the way is bad for it.
				e.Status, e.Facts = report.NotRun, report.Facts{"sent": false}
			}
			if e.Check != h.check || !strings.HasPrefix(e.Subject, h.to) || notFitted(e) {
				continue
			}
			f.list = append(f.list, e)
			backup := strings.HasPrefix(e.Subject, "host-") && !strings.HasPrefix(e.Subject, "host-primary")
			if !backup && better(e.Status, f.status) {
				f.status = e.Status
			}
		}
		if better(f.status, report.CannotTell) { // what was found counts, not what else was not looked at
			f.list = slices.DeleteFunc(f.list, func(e report.Evidence) bool { return !better(e.Status, report.CannotTell) })
		}
		if len(f.list) > 1 || !slices.Contains(always[:], h.check) { // nobody knows yet whether there is such a thing
			f.list = slices.DeleteFunc(f.list, putOff)
		}
		f.aside = h.kind == radio && fixed
		if len(f.list) > 0 || slices.Contains(always[:], h.check) {
			way = append(way, f)
		}
	}
	return way
}

// putOff tells of a check that was not made only because a sale was running.
func putOff(e report.Evidence) bool {
	reason, _ := e.Facts.Str("reason")
	return e.Status == report.NotRun && reason == report.ReasonInSale
}

// always are the hops that every way has: that one was not looked at is said.
var always = [...]string{"net.link", "net.address", "net.gateway", "net.dns", "net.internet", "net.tcp", "net.tls", "txn.answer"}

// behindProxy is what a connection to the host tells of the proxy that it went through; not fitted where there is none.
func behindProxy(e report.Evidence) report.Evidence {
	status, ok := e.Facts.Num(proxyStatus)
	e.Check = proxyStatus
	switch e.Subject = ""; {
	case !ok:
		e.Status, e.Facts = report.NotRun, report.Facts{"reason": report.ReasonAbsent}
	case status >= 200 && status < 300:
		e.Status = report.OK
	default:
		e.Status = report.Bad
	}
	return e
}

// stops finds where the way ends: the first bad hop behind the last one that was passed, -1 if there is none. A hop
// that is bad before that was passed all the same. What a sale met tells nothing of the way as it was found since, nor
// does one that was never sent, nor what was found before a hop was mended that was broken then.
func stops(way []found, mended map[string]int64) (last, stop int) {
	last, stop = -1, -1
	newest, nameless, since := int64(-1), -1, int64(math.MaxInt64)
	for i, f := range way {
		if f.status == report.Bad && !slices.ContainsFunc(f.list, func(e report.Evidence) bool { return e.AgeMS <= since }) {
			continue
		}
		if age, ok := mended[f.check]; ok {
			since = min(since, age)
		}
		if f.check == "net.dns" && f.status == report.Bad {
			nameless = i
		}
		if f.check == "txn.answer" && len(f.list) > 0 && newest >= 0 && f.list[0].AgeMS > newest+saleAgo {
			break
		}
		switch {
		case f.aside:
		case f.status == report.OK && (f.kind == passage || f.kind == unnamed || f.check == "modem.registration" || f.check == "modem.bearer"):
			last, stop = i, -1
			if f.kind == unnamed {
				stop = nameless
			}
			for _, e := range f.list {
				if e.Status == report.OK && (newest < 0 || e.AgeMS < newest) {
					newest = e.AgeMS
				}
			}
		case f.status == report.OK && stop < 0:
			last = i
		// A place outside is looked for by its address: where that fails too, the names are not what is in the way.
		case f.status == report.Bad && (stop < 0 || stop == nameless && f.check == "net.internet"):
			stop = i
		}
	}
	return last, stop
}

// saleAgo is how much older than a check, in milliseconds, a sale may be to be met by the same way.
const saleAgo = 5000

// pathLines is the way to the host, a line for each hop, with what was measured there and how long ago.
func (m *model) pathLines() (lines []string) {
	list := slices.Clone(m.state.Evidence)
	if d := m.last(); d != nil {
		for _, e := range d.Evidence { // what only a sale tells, and has aged since
			if !slices.ContainsFunc(m.state.Evidence, func(o report.Evidence) bool { return o.Check == e.Check }) {
				if !e.At.IsZero() {
					e.AgeMS = max(e.AgeMS, m.state.Time.Sub(e.At).Milliseconds())
				}
				list = append(list, hostsCode(e, d))
			}
		}
	}
	way := follow(list)
	last, stop := stops(way, m.mended())
	say := func(s string) { lines = append(lines, text.Wrap(s, m.cols, 2)...) }
	at := func(t codes.Text, i int) { say(fmt.Sprintf(t.In(m.lang), way[i].title.In(m.lang))) }
	var passed []string
	for i, f := range way {
		if f.status == report.Bad && i != stop && (i < last || f.aside) {
			passed = append(passed, f.title.In(m.lang))
		}
	}
	switch {
	case stop >= 0:
		at(wordStops, stop)
	case last < 0:
		say(wordPathUnseen.In(m.lang))
	case last == len(way)-1:
		say(wordPathWhole.In(m.lang))
	default:
		at(wordPathAsFar, last)
	}
	if len(passed) > 0 {
		say(fmt.Sprintf(wordPassed.In(m.lang), strings.Join(passed, wordAnd.In(m.lang))))
	}
	lines = append(lines, "")
	for i, f := range way {
		if len(f.list) == 0 {
			lines = append(lines, text.Cut("  "+hopHead(f.hop, report.NotRun, m.lang), m.cols))
		}
		for _, e := range f.list {
			lead := "  "
			if i == stop && e.Status == report.Bad {
				lead = "* "
			}
			for _, l := range m.hopLine(f, e) {
				lines = append(lines, lead+l)
				lead = "  "
			}
		}
	}
	return lines
}

// mended are the checks of things that were bad in the newest diagnosis and are well since, with the age of that
// finding in milliseconds.
func (m *model) mended() map[string]int64 {
	ages := map[string]int64{}
	d := m.last()
	for _, h := range path {
		if d == nil || h.kind == passage || h.kind == unnamed {
			continue
		}
		for _, e := range m.state.Evidence {
			then := indexOf(d.Evidence, e)
			if e.Check == h.check && e.Status == report.OK && then >= 0 && d.Evidence[then].Status == report.Bad &&
				e.At.After(d.Evidence[then].At) {
				ages[h.check] = e.AgeMS
			}
		}
	}
	return ages
}

// hostsCode is what a check says of the answer to a sale: a code that the host wrote is one, also where the payment
// application tells nothing more.
func hostsCode(e report.Evidence, d *report.Diagnosis) report.Evidence {
	if e.Check == "txn.answer" && e.Status == report.CannotTell && d.Event.Origin == report.OriginHost && !d.Asked {
		e.Status, e.Facts = report.OK, report.Facts{"code": d.Event.Code}
	}
	return e
}

// hopLine is what one check found of a hop: a line, or two where the terminal is narrow.
func (m *model) hopLine(h found, e report.Evidence) []string {
	var said []string
	if reason, ok := e.Facts.Str("reason"); ok {
		said = append(said, word("reason", reason, m.lang))
	}
	for _, f := range h.figures {
		v, ok := e.Facts[f.fact]
		if !ok {
			continue
		}
		s := value(v)
		if id, isWord := v.(string); isWord {
			if id == "ok" {
				continue
			}
			s = word(codes.KindFact, id, m.lang)
		}
		switch {
		case f.fact == "days_left" && strings.HasPrefix(s, "-"):
			said = append(said, fmt.Sprintf(wordDaysOver.In(m.lang), s[1:]))
		case f.is != "" && value(v) == f.is:
			said = append(said, f.say(m.lang))
		case f.is != "":
		case f.en == "":
			said = append(said, s)
		default:
			said = append(said, fmt.Sprintf(f.say(m.lang), s))
		}
	}
	head, figures := hopHead(h.hop, e.Status, m.lang), strings.Join(said, wordComma.In(m.lang))
	if e.Subject != "" && (len(h.list) > 1 || !slices.Contains(aloneSubjects[:], e.Subject)) {
		figures = e.Subject + "  " + figures
	}
	room := m.cols - ageWidth - 2 - text.Width(head)
	age := ago(time.Duration(e.AgeMS)*time.Millisecond, m.lang)
	if figures = text.Clean(figures); room < leastFigures {
		return append([]string{head + age}, text.Wrap("    "+figures, m.cols-2, 4)...)
	}
	return []string{head + text.Pad(text.Cut(figures, room), room) + " " + age}
}

// leastFigures is how many columns what was measured needs beside its hop; on a narrower terminal it stands below.
const leastFigures = 24

const ageWidth = 11

// pressPath has the whole way looked at now.
func (m *model) pressPath(r rune) (a action, taken bool) {
	if r != keyEnter {
		return action{}, false
	}
	return m.start(action{kind: actCheck, names: []string{"net.", "modem."}}), true
}

// renew puts what a check found just now in the place of what was known.
func (m *model) renew(list []report.Evidence) {
	known := slices.Clone(m.state.Evidence)
	for _, e := range list {
		if i := indexOf(known, e); i >= 0 {
			known[i] = e
		} else {
			known = append(known, e)
		}
	}
	m.state.Evidence = known
}

func hopHead(h hop, s report.Status, lang string) string {
	return text.Pad(h.title.In(lang), 17) + " " + text.Pad(StatusWord(s, lang), 11) + " "
}

// aloneSubjects say no more than the hop does.
var aloneSubjects = [...]string{"gateway", "uplink", "txn", "internet", "resolver"}

// ago is how long ago something was, in the largest unit that says it.
func ago(d time.Duration, lang string) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf(wordSecondsAgo.In(lang), int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf(wordMinutesAgo.In(lang), int(d.Minutes()))
	}
	return fmt.Sprintf(wordHoursAgo.In(lang), int(d.Hours()))
}
