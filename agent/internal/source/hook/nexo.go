package hook

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// A till that speaks nexo Retailer asks for a diagnosis as of any POI: DiagnosisRequest and DiagnosisResponse (nexo
// Retailer Protocol 3.1, chapter "Diagnosis"), in JSON. README.md says which members are filled, and which never.

const (
	nexoVersion = "3.1"
	nexoFresh   = 15 * time.Minute // what was found before that is not known any more
	maxNexoID   = 64
	maxNexoList = 16
)

// nexoHeader is a MessageHeader: which till asks which terminal.
type nexoHeader struct {
	ProtocolVersion string
	MessageClass    string
	MessageCategory string
	MessageType     string
	ServiceID       string `json:",omitempty"`
	SaleID          string
	POIID           string
}

// nexoRequest is what counts of a DiagnosisRequest.
type nexoRequest struct {
	header nexoHeader
	hosts  bool     // HostDiagnosisFlag: the hosts are to be asked now
	only   []string // AcquirerID: these hosts only; none means all
}

type nexoPOIStatus struct {
	GlobalStatus        string
	SecurityOKFlag      *bool  `json:",omitempty"`
	PEDOKFlag           *bool  `json:",omitempty"`
	CardReaderOKFlag    *bool  `json:",omitempty"`
	PrinterStatus       string `json:",omitempty"`
	CommunicationOKFlag *bool  `json:",omitempty"`
}

type nexoHostStatus struct {
	AcquirerID      string
	IsReachableFlag bool
}

type nexoResult struct {
	Result             string
	ErrorCondition     string `json:",omitempty"`
	AdditionalResponse string `json:",omitempty"`
}

type nexoDiagnosis struct {
	Response   nexoResult
	POIStatus  *nexoPOIStatus   `json:",omitempty"`
	HostStatus []nexoHostStatus `json:",omitempty"`
}

type nexoResponse struct {
	SaleToPOIResponse struct {
		MessageHeader     nexoHeader
		DiagnosisResponse nexoDiagnosis
	}
}

// nexo answers a DiagnosisRequest.
func (s *HTTP) nexo(ctx context.Context, c net.Conn, body []byte) {
	q, why := parseNexo(body)
	if why != "" {
		s.refuse(c, 400, why)
		return
	}
	var answer nexoResponse
	to := &answer.SaleToPOIResponse
	to.MessageHeader = q.header
	to.MessageHeader.MessageType, to.MessageHeader.ProtocolVersion = "Response", nexoVersion
	state := s.Hook.To.State()
	if q.hosts && !state.InSale {
		ctx, stop := context.WithTimeout(ctx, checkWait)
		// The daemon keeps what it finds; what it must not ask now it leaves as it was.
		s.Hook.To.Check(ctx, []string{"net.tcp"})
		stop()
		state = s.Hook.To.State()
	}
	to.DiagnosisResponse = nexoAnswer(q, state)
	c.SetWriteDeadline(time.Now().Add(writeWait))
	c.Write(s.response(200, answer))
}

// parseNexo reads a DiagnosisRequest in place. A refusal repeats nothing of it.
func parseNexo(body []byte) (q nexoRequest, why string) {
	ambiguous := ambiguity(body)
	top, ok := pairs(body)
	switch {
	case !ok:
		return q, "not a JSON object; want SaleToPOIRequest with MessageHeader and DiagnosisRequest"
	case ambiguous != nil:
		return q, ambiguous.Error()
	}
	within := func(raw []pair, name string) (m *members) {
		outer := &members{raw: raw}
		m = &members{at: name + "."}
		m.raw = outer.object(name)
		return m
	}
	message := within(top, "SaleToPOIRequest").raw
	header := within(slices.Clone(message), "MessageHeader")
	id := func(name string) string {
		return header.text(name, "want at most 64 of A-Z a-z 0-9 . _ - + :, fewer than 12 of them digits", func(v string) bool { return source.Word(v, maxNexoID) })
	}
	q.header = nexoHeader{MessageClass: id("MessageClass"), MessageCategory: id("MessageCategory"), MessageType: id("MessageType"),
		ServiceID: id("ServiceID"), SaleID: id("SaleID"), POIID: id("POIID")}
	switch h := q.header; {
	case len(header.warnings) > 0:
		return q, "MessageHeader." + header.warnings[0][len(header.at):]
	case h.MessageClass != "Service" || h.MessageCategory != "Diagnosis" || h.MessageType != "Request":
		return q, "MessageHeader: want MessageClass Service, MessageCategory Diagnosis and MessageType Request; this is no payment system"
	case h.SaleID == "" || h.POIID == "" || h.ServiceID == "":
		return q, "MessageHeader: want ServiceID, SaleID and POIID"
	}
	request := within(message, "DiagnosisRequest")
	if flag := request.yes("HostDiagnosisFlag"); flag != nil {
		q.hosts = *flag
	}
	if raw, there := request.get("AcquirerID"); there {
		list, ok := elements(raw)
		for _, e := range list {
			v, isText := unquote(e)
			if ok = ok && isText && source.Word(View(v), maxNexoID) && len(q.only) < maxNexoList; !ok {
				break
			}
			q.only = append(q.only, string(v))
		}
		if !ok {
			return q, "DiagnosisRequest.AcquirerID: want a list of names of hosts, such as host-primary"
		}
	}
	return q, ""
}

// nexoAnswer says what is known, and of what is not known nothing: a flag that cannot be told is absent.
func nexoAnswer(q nexoRequest, state report.State) (d nexoDiagnosis) {
	known := slices.DeleteFunc(slices.Clone(state.Evidence), func(e report.Evidence) bool {
		return e.Status != report.OK && e.Status != report.Bad || state.Time.Sub(e.At) > nexoFresh
	})
	d.POIStatus = &nexoPOIStatus{
		GlobalStatus:        nexoGlobal(known, state.InSale),
		SecurityOKFlag:      nexoFlag(known, "app.keys", "reader.selftest"),
		PEDOKFlag:           nexoFlag(known, "pinpad.port"),
		CardReaderOKFlag:    nexoFlag(known, "reader.port"),
		PrinterStatus:       nexoPrinter(known),
		CommunicationOKFlag: nexoLine(known),
	}
	hosts, told := map[string]bool{}, 0
	for _, e := range state.Evidence {
		if name, _, _ := strings.Cut(e.Subject, "@"); e.Check == "net.tcp" && strings.HasPrefix(name, "host-") {
			same := func(k report.Evidence) bool { return k.Check == e.Check && k.Subject == e.Subject }
			hosts[name] = hosts[name] || slices.ContainsFunc(known, same)
		}
	}
	for _, name := range q.only {
		hosts[name] = hosts[name] // asked for by name, known or not
	}
	for _, name := range sorted(hosts) {
		if !hosts[name] || len(q.only) > 0 && !slices.Contains(q.only, name) {
			continue
		}
		told++
		// One of several ways to it is enough.
		reached := slices.ContainsFunc(known, func(e report.Evidence) bool {
			to, _, _ := strings.Cut(e.Subject, "@")
			return e.Check == "net.tcp" && to == name && e.Status == report.OK
		})
		d.HostStatus = append(d.HostStatus, nexoHostStatus{name, reached})
	}
	d.Response = nexoResult{Result: "Success", AdditionalResponse: nexoLast(state)}
	wanted := len(q.only)
	if wanted == 0 {
		wanted = len(hosts)
	}
	if q.hosts && (told < wanted || told == 0) {
		d.Response.Result = "Partial"
		if state.InSale {
			d.Response.ErrorCondition = "Busy"
		}
	}
	return d
}

func sorted(m map[string]bool) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// nexoGlobal is what nexo calls the whole. It is OK where nothing is known that would keep a sale from beginning.
func nexoGlobal(known []report.Evidence, inSale bool) string {
	switch running := nexoFlag(known, "app.process"); {
	case inSale:
		return "Busy"
	case running != nil && !*running:
		return "Unreachable"
	}
	return "OK"
}

// nexoFlag is false if one of the checks is bad, true if none is and one is good, and absent where nothing is known.
func nexoFlag(known []report.Evidence, checks ...string) *bool {
	var flag *bool
	for _, e := range known {
		if !slices.Contains(checks, e.Check) {
			continue
		}
		if ok := e.Status == report.OK; flag == nil || !ok {
			flag = &ok
		}
	}
	return flag
}

// nexoLine tells whether anything outside can be reached: of several ways one is enough, and a link with a carrier
// alone proves nothing.
func nexoLine(known []report.Evidence) *bool {
	any := func(checks ...string) (there, ok bool) {
		for _, e := range known {
			if slices.Contains(checks, e.Check) {
				there, ok = true, ok || e.Status == report.OK
			}
		}
		return there, ok
	}
	if there, ok := any("net.tcp", "net.internet"); there {
		return &ok
	}
	if there, ok := any("net.link", "modem.registration"); there && !ok {
		return &ok
	}
	return nil
}

func nexoPrinter(known []report.Evidence) string {
	names := map[string]string{"ok": "OK", "paper-low": "PaperLow", "no-paper": "NoPaper", "jam": "PaperJam"}
	for _, e := range known {
		if e.Check != "printer.status" {
			continue
		}
		outcome, _ := e.Facts.Str("outcome")
		if name, ok := names[outcome]; ok {
			return name
		}
		return "OutOfOrder"
	}
	return ""
}

// nexoLast is the verdict on the last code, in the form of nexo's AdditionalResponse: ids, which are the same in every
// language.
func nexoLast(state report.State) string {
	d := state.Last
	if d == nil || len(d.Causes) == 0 {
		return ""
	}
	v := url.Values{}
	for name, value := range map[string]string{
		"code": d.Event.Code, "scheme": d.Code.Scheme, "money": d.Money.State, "retry": d.Money.Retry, "cause": d.Causes[0].ID, "by": d.Causes[0].Act.By,
		"verdict": d.Causes[0].Verdict, "handoff": d.Handoff, "time": d.Event.Time.UTC().Format(time.RFC3339),
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if d.Abstained {
		v.Set("verdict", "abstained")
	}
	return v.Encode()
}
