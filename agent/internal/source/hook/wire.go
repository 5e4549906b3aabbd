package hook

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posdx/agent/internal/notice"
	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// protocol is the version of the hook's protocol; README.md beside this file is its specification.
const protocol = 1

// Results of an answer.
const (
	Accepted = "accepted" // taken in; nothing more is known yet
	First    = "first"    // revision 1 of the diagnosis
	Final    = "final"    // its last revision
	Done     = "done"     // the request is complete
	Busy     = "busy"     // a queue is full: nothing was kept, try again a second later
	Refused  = "error"    // the request was wrong: Field and Why say what and how to put it right
)

// An Answer is one line from the daemon to its client.
type Answer struct {
	V      int    `json:"v"`
	Ref    string `json:"ref,omitempty"` // of the request
	Result string `json:"result"`
	More   bool   `json:"more,omitempty"` // another line will answer the same request
	ID     string `json:"id,omitempty"`   // the event's
	Field  string `json:"field,omitempty"`
	Why    string `json:"why,omitempty"`
	InSale bool   `json:"in_sale,omitempty"` // of a check or diagnose: a sale runs, nothing was asked, this was known before
	// MemoryOnly, of a code: flash takes nothing at the moment, so what was kept of this is lost with the power.
	MemoryOnly bool     `json:"memory_only,omitempty"`
	Warnings   []string `json:"warnings,omitempty"` // members left out because their value was wrong
	Ignored    []string `json:"ignored,omitempty"`  // members this version does not know

	Verdict   *Verdict          `json:"verdict,omitempty"`
	Diagnosis *report.Diagnosis `json:"diagnosis,omitempty"` // if the request said "full": true
	State     *report.State     `json:"state,omitempty"`
	Evidence  []report.Evidence `json:"evidence,omitempty"`
	About     *About            `json:"about,omitempty"`
}

// About is the answer to a request of type version: what this daemon is and can.
type About struct {
	Version   string   `json:"version"`   // of posdx
	Knowledge string   `json:"knowledge"` // hash of the code tables and weights in force
	Requests  []string `json:"requests"`  // types that it takes
	Languages []string `json:"languages"`
	MaxBytes  int      `json:"max_bytes"` // of a request
	TimeoutMS Timeouts `json:"timeout_ms"`
	Display   Range    `json:"display"` // columns that a small display may have
	Receipt   Range    `json:"receipt"` // columns that a receipt may have
}

// Timeouts are how long a client should wait, in milliseconds: for a first verdict and every answer that is given at
// once, for the final one, and for checks.
type Timeouts struct {
	First int64 `json:"first"`
	Final int64 `json:"final"`
	Check int64 `json:"check"`
}

// A Range is from its first number to its second, both included.
type Range [2]int

// A Verdict is the short form of a diagnosis, for a payment app that shows it to a merchant: flat, and under 2 kB.
type Verdict struct {
	Money       string  `json:"money"` // not-sent sent-no-answer declined approved unknown
	Retry       string  `json:"retry"` // safe later query-first after-signin other-means no
	Say         string  `json:"say"`   // both as a sentence
	Cause       string  `json:"cause"` // id of the first cause, "unexplained" if none stands out
	Title       string  `json:"title"`
	Probability float64 `json:"probability"`
	By          string  `json:"by"` // who must act
	Visit       bool    `json:"visit"`
	Step        string  `json:"step"`
	Abstained   bool    `json:"abstained"`
	Handoff     string  `json:"handoff"`

	Display []string `json:"display,omitempty"` // two lines for a small display, if the request gave its columns
	Receipt []string `json:"receipt,omitempty"` // lines for paper, if the request gave its columns
}

// Brief returns the short form of a diagnosis.
func Brief(d report.Diagnosis) Verdict {
	v := Verdict{Money: d.Money.State, Retry: d.Money.Retry, Say: d.Money.Say, Cause: report.Unexplained,
		Abstained: d.Abstained, Handoff: d.Handoff}
	if len(d.Causes) > 0 {
		c := d.Causes[0]
		v.Cause, v.Title, v.Probability, v.By, v.Visit, v.Step = c.ID, c.Title, c.Probability, c.Act.By, c.Act.Visit,
			c.Act.Step
	}
	return v
}

// A request is one line from a client, checked. Exactly one of the pointers is set, or none for a state or check.
type request struct {
	kind             string // one of kinds
	ref              string
	wait             string // none first final
	lang             string // zh en; empty is the terminal's
	full             bool
	display, receipt int // columns; 0: not asked for
	seen             *source.Seen
	mark             *source.TxnMark
	fact             *report.Evidence
	names            []string
	id               string // of the code whose verdict is asked for
}

// members are those of a JSON object, each taken at most once; what is left over is not of this protocol.
type members struct {
	at       string // prefix of their names in answers: "", "txn."
	raw      []pair
	warnings []string
}

// get takes a member. It is false if there is none, or null.
func (m *members) get(name string) (value []byte, ok bool) {
	if i := slices.IndexFunc(m.raw, func(p pair) bool { return string(p.name) == name }); i >= 0 {
		value = m.raw[i].value
		m.raw = slices.Delete(m.raw, i, i+1)
	}
	return value, value != nil && string(value) != "null"
}

func (m *members) warn(name, want string) {
	m.warnings = append(m.warnings, m.at+name+": "+want)
}

// text takes a string member that passes ok. Nothing of one that does not is copied.
func (m *members) text(name, want string, ok func(string) bool) string {
	raw, there := m.get(name)
	if !there {
		return ""
	}
	s, isText := unquote(raw)
	if isText && len(s) == 0 {
		return ""
	}
	if !isText || !ok(View(s)) {
		m.warn(name, want)
		return ""
	}
	return string(s)
}

// trace takes a trace number; no more of it is copied than is kept.
func (m *members) trace(name string) string {
	raw, there := m.get(name)
	if !there {
		return ""
	}
	s, isText := unquote(raw)
	if isText && len(s) == 0 {
		return ""
	}
	if !isText || !source.Numeric(View(s), 1, source.MaxSTAN) {
		m.warn(name, "want 1 to 12 digits")
		return ""
	}
	return string(source.Trace(s))
}

func (m *members) word(name string, words []string) string {
	return m.text(name, "want one of "+strings.Join(words, " "), func(s string) bool { return source.OneOf(s, words) })
}

func (m *members) yes(name string) *bool {
	raw, ok := m.get(name)
	if !ok {
		return nil
	}
	yes := string(raw) == "true"
	if !yes && string(raw) != "false" {
		m.warn(name, "want true or false")
		return nil
	}
	return &yes
}

func (m *members) ms(name string) *int64 {
	raw, there := m.get(name)
	if !there {
		return nil
	}
	n, ok := whole(raw)
	if !ok || n > source.MaxMS {
		m.warn(name, "want milliseconds, a whole number from 0 to 86400000")
		return nil
	}
	return &n
}

// columns takes the width of a display or of paper; 0 if there is none.
func (m *members) columns(name string, low, high int) int {
	raw, there := m.get(name)
	if !there {
		return 0
	}
	n, ok := whole(raw)
	if !ok || n < int64(low) || n > int64(high) {
		m.warn(name, fmt.Sprintf("want a number of columns from %d to %d", low, high))
		return 0
	}
	return int(n)
}

// object takes a member that is an object.
func (m *members) object(name string) []pair {
	raw, there := m.get(name)
	if !there {
		return nil
	}
	list, ok := pairs(raw)
	if !ok {
		m.warn(name, "want an object")
	}
	return list
}

// left names what was not taken. A name is foreign text, so only what looks like a name is repeated.
func (m *members) left() (names []string) {
	for _, p := range m.raw {
		name := "(a name that is none)"
		ok := len(p.name) <= source.MaxScheme && source.Digits(View(p.name)) < 4 && !source.CardLike(View(p.name))
		for _, c := range p.name {
			ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
		}
		if ok {
			name = string(p.name)
		}
		if len(names) < 16 {
			names = append(names, m.at+name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// txn takes the members of a transaction. The list is the whole of what is ever kept of one.
func (m *members) txn() report.Txn {
	return report.Txn{
		MTI:  m.text("mti", "want 4 digits", func(s string) bool { return source.Numeric(s, 4, 4) }),
		STAN: m.trace("stan"),
		TerminalID: m.text("terminal_id", "want at most 16 of A-Z a-z 0-9 . _ - + :, fewer than 12 of them digits",
			func(s string) bool { return source.Word(s, source.MaxTerminal) }),
		Entry:          m.word("entry", source.Entries),
		CardScheme:     m.word("card_scheme", report.CardSchemes),
		ConnectMS:      m.ms("connect_ms"),
		ResponseMS:     m.ms("response_ms"),
		Sent:           m.yes("sent"),
		HostAnswerSeen: m.yes("host_answer_seen"),
	}
}

// kinds are the types of a request.
var kinds = []string{"code", "diagnose", "verdict", "txn", "fact", "status", "check", "version"}

// isID tells whether s has the form of the ids that answers carry. Digits alone have to begin with a zero, as no card
// number does; the count of a terminal's starts leaves that zero there.
func isID(s string) bool {
	start, number, ok := strings.Cut(s, "-")
	hex := func(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
	return ok && len(start) >= 6 && len(start) <= 8 && len(number) == 10 && hex(start) && hex(number) &&
		(s[0] == '0' || strings.ContainsAny(s, "abcdef"))
}

// manner takes how an answer with a verdict is to be given.
func (q *request) manner(m *members) {
	q.lang = m.word("lang", []string{"zh", "en"})
	if q.wait = m.word("wait", []string{"none", "first", "final"}); q.wait == "" {
		q.wait = "first"
	}
	full := m.yes("full")
	q.full = full != nil && *full
	q.display = m.columns("display", notice.MinDisplay, notice.MaxDisplay)
	q.receipt = m.columns("receipt", notice.MinReceipt, notice.MaxReceipt)
}

// ambiguity is the reason why a JSON text could be read in two ways, nil if there is none. It is called before pairs,
// which changes the bytes that it reads.
func ambiguity(b []byte) (p *report.JSONProblem) {
	errors.As(report.CheckNames(b), &p)
	return p
}

// parse reads one request in place and changes the bytes of the line. A refusal names the member and the remedy and
// repeats nothing of the line.
func parse(line []byte, now time.Time) (q request, a Answer) {
	refuse := func(field, why string) (request, Answer) {
		a.Result, a.Field, a.Why = Refused, field, why
		return q, a
	}
	a.V = protocol
	m := &members{}
	ambiguous, ok := ambiguity(line), false
	if m.raw, ok = pairs(line); !ok {
		return refuse("", `not a JSON object on one line; send for example {"type":"code","code":"96"}`)
	}
	if ambiguous != nil {
		return refuse(ambiguous.Member, ambiguous.What.Error()+"; send each member once")
	}
	q.ref = m.text("ref", "want at most 32 of A-Z a-z 0-9 . _ - + :", func(s string) bool { return source.Word(s, 32) })
	a.Ref = q.ref
	if raw, there := m.get("v"); there {
		if v, ok := whole(raw); !ok || v != protocol {
			return refuse("v", "this daemon speaks version 1")
		}
	}
	if q.kind = m.word("type", kinds); q.kind == "" {
		return refuse("type", "want one of "+strings.Join(kinds, " "))
	}
	txn := &members{at: "txn."}
	switch q.kind {
	case "code", "diagnose":
		s := &source.Seen{Channel: report.ChannelHook, Time: now}
		if q.kind == "diagnose" {
			s.Channel = report.ChannelCommand
			people := []string{string(report.ChannelConsole), string(report.ChannelCommand)}
			if m.word("channel", people) == string(report.ChannelConsole) {
				s.Channel = report.ChannelConsole
			}
		}
		if i := slices.IndexFunc(m.raw, func(p pair) bool { return string(p.name) == "code" }); i >= 0 &&
			m.raw[i].value[0] != '"' && string(m.raw[i].value) != "null" {
			return refuse("code", `want text in quotes, such as "05": a number would lose its zeros`)
		}
		problem := source.CodeProblem("")
		s.Code = m.text("code", "want text in quotes", func(c string) bool { problem = source.CodeProblem(c); return problem == "" })
		if problem != "" {
			return refuse("code", problem)
		}
		s.Scheme = m.text("scheme", "want the name of a code table, such as unionpay", func(t string) bool { return source.Word(t, source.MaxScheme) })
		s.Origin = report.Origin(m.word("origin", source.Origins))
		if s.Origin == "" {
			s.Origin = report.OriginUnknown
		}
		txn.raw = m.object("txn")
		if t := txn.txn(); t != (report.Txn{}) {
			s.Txn = &t
		}
		q.manner(m)
		s.Lang = q.lang
		q.seen = s
	case "verdict":
		if q.id = m.text("id", "", isID); q.id == "" {
			m.warnings = nil
			return refuse("id", "want the id of an answer to a code, such as 00007c-000000012f")
		}
		q.manner(m)
	case "txn":
		t := &source.TxnMark{Channel: report.ChannelHook, Time: now}
		if t.Phase = source.Phase(m.word("phase", source.Phases)); t.Phase == "" {
			return refuse("phase", "want one of "+strings.Join(source.Phases, " "))
		}
		again := m.yes("again")
		t.OK, t.Again, t.PIN = m.yes("ok"), again != nil && *again, m.yes("pin")
		t.Result = m.word("result", source.Results)
		t.Code = m.text("code", "want a response code", func(s string) bool { return source.CodeProblem(s) == "" })
		t.Txn = m.txn()
		if t.Phase == source.PhaseRead && t.OK == nil {
			return refuse("ok", "missing: say true if the card was read, false if not")
		}
		q.mark = t
	case "fact":
		names := make([]string, len(reportables))
		for i, r := range reportables {
			names[i] = string(r.Check)
		}
		check := m.word("check", names)
		if check == "" {
			return refuse("check", "want one of "+strings.Join(names, " "))
		}
		ev, ignored, warnings := judged(&reportables[slices.Index(names, check)], m.object("facts"))
		a.Ignored, m.warnings = ignored, append(m.warnings, warnings...)
		if len(ev.Facts) == 0 {
			a.Warnings = m.warnings
			return refuse("facts", "holds no fact of "+check)
		}
		ev.At = now
		q.fact = &ev
	case "check":
		raw, there := m.get("names")
		if !there {
			break
		}
		list, ok := elements(raw)
		for _, e := range list {
			n, isText := unquote(e)
			if ok = ok && isText && source.Word(View(n), source.MaxScheme) && len(q.names) < 100; !ok {
				break
			}
			q.names = append(q.names, string(n))
		}
		if !ok {
			return refuse("names", "want names of checks, such as net.tcp")
		}
	}
	a.Ignored = append(append(a.Ignored, m.left()...), txn.left()...)
	a.Warnings = append(m.warnings, txn.warnings...)
	a.Result = Accepted
	return q, a
}
