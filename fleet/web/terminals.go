package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// terminalFilter reads estate, q (text), state, quiet, sort, a place by its dimensions, limit and after (the next of an
// earlier answer) or skip.
func terminalFilter(r *http.Request) (store.TerminalFilter, error) {
	q := r.URL.Query()
	f := store.TerminalFilter{In: viewer(r).Estates, Estate: q.Get("estate"), Text: q.Get("q"), State: q.Get("state"),
		Quiet: q.Get("quiet"), Sort: q.Get("sort"), Place: placeOf(q)}
	err := cmp.Or(known(q, "state", "online", "offline"), known(q, "quiet", "offline", "unheard", "unsold"),
		known(q, "sort", "name", "heard", "state", "failed"))
	if err != nil {
		return f, err
	}
	if f.Limit, err = limit(r); err != nil {
		return f, err
	}
	if f.Skip, err = skip(r); err != nil {
		return f, err
	}
	f.After.Estate, f.After.Terminal, _ = strings.Cut(q.Get("after"), "/")
	return f, nil
}

// byName tells whether a list goes by the terminals' names, so that it can be read on from one.
func byName(f store.TerminalFilter) bool { return f.Sort == "" || f.Sort == "name" }

// terminalNext is where the list goes on, empty at its end.
func terminalNext(f store.TerminalFilter, list []store.Terminal) string {
	if len(list) == 0 || len(list) < f.Rows() {
		return ""
	}
	last := list[len(list)-1]
	return last.Estate + "/" + last.Terminal
}

func (s *Site) terminals(w http.ResponseWriter, r *http.Request) {
	f, err := terminalFilter(r)
	var form string
	if err == nil {
		form, err = format(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "terminals", form, []string{"estate", "terminal", "state", "reason", "state_at", "first_seen", "last_seen", "last_approved", "last_failed", "scheme", "rejected", "limited"}, s.allTerminals(r, f))
		return
	}
	if f.Limit == 0 {
		f.Limit = pageRows
	}
	p := s.page(r, "terminals")
	list, err := s.Source.Terminals(r.Context(), f)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		*page
		Filter store.TerminalFilter
		List   []store.Terminal
		Pager  pager
		Places []dim
		Any    bool
	}{page: p, Filter: f, List: list, Places: p.Place(f.Place)}
	v.Any = f.Text+f.State+f.Quiet+f.Estate != "" || f.Place != nil
	switch {
	case byName(f):
		v.Pager = p.pages("after", terminalNext(f, list))
	case len(list) == f.Limit:
		v.Pager = p.pages("skip", strconv.Itoa(f.Skip+f.Limit))
	default:
		v.Pager = p.pages("skip", "")
	}
	s.render(w, r, http.StatusOK, "terminals", v)
}

func (s *Site) allTerminals(r *http.Request, f store.TerminalFilter) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		f.Limit = store.MaxRows
		for {
			list, err := s.Source.Terminals(r.Context(), f)
			if err != nil {
				yield(record{}, err)
				return
			}
			for _, t := range list {
				if !yield(record{[]string{t.Estate, t.Terminal, t.State, t.Reason, iso(t.StateAt), iso(t.FirstSeen),
					iso(t.LastSeen), iso(t.Good), iso(t.Failed), t.Scheme, fmt.Sprint(t.Rejected), fmt.Sprint(t.Limited)}, t}, nil) {
					return
				}
			}
			if len(list) < store.MaxRows {
				return
			}
			if f.Skip += len(list); byName(f) {
				f.Skip, f.After = 0, report.Address{Estate: list[len(list)-1].Estate, Terminal: list[len(list)-1].Terminal}
			}
		}
	}
}

// A hop is one station of the way from the card to the issuer, and how it stands by the newest evidence.
type hop struct {
	Segment string
	Status  report.Status
	Level   string
	Checks  []report.Evidence
}

// hops are the stations by the segments of causes, each with the checks that look at it.
var hops = []struct {
	segment string
	checks  []string
}{
	{"reader", []string{"reader."}},
	{"pinpad", []string{"pinpad."}},
	{"printer", []string{"printer."}},
	{"terminal", []string{"board.", "app."}},
	{"modem", []string{"modem."}},
	{"lan", []string{"net.link", "net.wifi", "net.errors", "net.address", "net.gateway", "net.bearer"}},
	{"wan", []string{"net.dns", "net.path", "net.internet", "net.mtu"}},
	{"acquirer", []string{"net.tcp", "net.tls", "txn.answer"}},
}

// path puts evidence on the way, hop by hop; what nobody looked at is not run.
func path(list []report.Evidence) []hop {
	var out []hop
	for _, h := range hops {
		at := hop{Segment: h.segment, Status: report.NotRun}
		for _, e := range list {
			if !slices.ContainsFunc(h.checks, func(c string) bool { return strings.HasPrefix(e.Check, c) }) {
				continue
			}
			at.Checks = append(at.Checks, e)
			if severity(e.Status) < severity(at.Status) {
				at.Status = e.Status
			}
			if l := level(e.Facts); e.Status == report.OK && l == "poor" {
				at.Level = l
			}
		}
		if at.Status == report.CannotTell &&
			slices.ContainsFunc(at.Checks, func(e report.Evidence) bool { return e.Status == report.OK }) {
			at.Status = report.OK // what could be told is well
		}
		out = append(out, at)
	}
	return out
}

// A moment is one entry of a terminal's timeline.
type moment struct {
	At   time.Time
	Kind string // diagnosis asked outcome found change command state birth
	Line *line
	Text string
	Link string
	Tag  string
}

// Kinds of the timeline that can be chosen.
var momentKinds = []string{"diagnosis", "change", "outcome", "asked", "command"}

func (s *Site) terminal(w http.ResponseWriter, r *http.Request) {
	at := address(r)
	f, err := filter(r)
	form, bad := format(r)
	if err = cmp.Or(err, bad); err == nil {
		err = known(r.URL.Query(), "only", momentKinds...)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f.Estate, f.Terminal, f.Place, f.Limit = at.Estate, at.Terminal, nil, pageRows
	p := s.page(r, "terminal")
	p.Title = at.Terminal + " - " + p.T("title")
	v := struct {
		*page
		Term     store.Terminal
		Birth    *report.Birth
		Health   *report.Health
		Self     []measured
		Hops     []hop
		Lines    []line
		Pager    pager
		Rejected []store.Rejection
		Commands []store.Command
		Waiting  bool
		Asked    []line
		AskedIDs map[string]bool
		Timeline []moment
		Place    []dim
		Dues     []store.Due
		Topics   []string

		Incidents []store.Incident // that its newest diagnosis may belong to and that go on

		ShowTerminal, ShowPlace, Searching bool
	}{page: p, AskedIDs: map[string]bool{}, Topics: momentKinds}
	ctx, in := r.Context(), p.Viewer.Estates
	if v.Term, err = s.Source.Terminal(ctx, in, at); err != nil {
		s.fail(w, r, err)
		return
	}
	if v.Birth, err = jsonOf[report.Birth](v.Term.Birth); err == nil {
		v.Health, err = jsonOf[report.Health](v.Term.Health)
	}
	var evidence []report.Evidence
	if v.Health != nil {
		evidence = slices.Clone(v.Health.Evidence)
		slices.SortStableFunc(v.Health.Evidence,
			func(a, b report.Evidence) int { return severity(a.Status) - severity(b.Status) })
		for k, n := range v.Health.Self {
			v.Self = append(v.Self, measured{ID: k, Name: p.Measure("", k), Value: strconv.FormatInt(n, 10)})
		}
		slices.SortFunc(v.Self, func(a, b measured) int { return strings.Compare(a.ID, b.ID) })
	}
	var rows, asked []store.Row
	var next store.Place
	var changes []store.Change
	var place map[string]string
	read := func(what func() error) {
		if err == nil {
			err = what()
		}
	}
	read(func() (err error) { rows, next, err = s.Source.Diagnoses(ctx, f); return })
	read(func() (err error) { v.Lines, err = lines(rows); return })
	read(func() (err error) { asked, err = s.Source.Asked(ctx, in, at, 10); return })
	read(func() (err error) { v.Asked, err = lines(asked); return })
	read(func() (err error) { v.Commands, err = s.Source.Commands(ctx, in, at, 10); return })
	read(func() (err error) { changes, err = s.Source.Changes(ctx, in, at, 20); return })
	read(func() (err error) { place, err = s.Source.PlaceOf(ctx, in, at); return })
	read(func() (err error) {
		v.Dues, err = s.Source.Dues(ctx, store.DueFilter{In: in, Estate: at.Estate, Terminal: at.Terminal, Limit: 20})
		return
	})
	if v.Term.Rejected > 0 {
		read(func() (err error) {
			v.Rejected, err = s.Source.Rejections(ctx,
				store.RejectionFilter{In: in, Estate: at.Estate, Terminal: at.Terminal, Limit: 20})
			return
		})
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v.Place = p.Place(place)
	if len(v.Lines) > 0 && f.Before == (store.Place{}) {
		if v.Incidents, err = s.incidentsOf(ctx, in, v.Lines[0], place); err != nil {
			s.fail(w, r, err)
			return
		}
		v.Incidents = slices.DeleteFunc(v.Incidents, func(i store.Incident) bool { return !i.Closed.IsZero() })
	}
	if len(v.Lines) > 0 { // the newest sale says of the host's answer what no background check can
		for _, e := range v.Lines[0].D.Evidence {
			if e.Check == "txn.answer" {
				evidence = append(evidence, e)
			}
		}
	}
	v.Hops = path(evidence)
	for _, l := range v.Asked {
		v.AskedIDs[l.D.ID] = true
	}
	v.Waiting = len(v.Commands) > 0 && v.Commands[0].Reply == nil && p.Now.Sub(v.Commands[0].Sent) < commandWait
	if next != (store.Place{}) {
		v.Pager = p.pages("before", next.String())
	} else {
		v.Pager = p.pages("before", "")
	}
	if f.Before == (store.Place{}) {
		v.Timeline = s.timeline(p, v.Term, v.Birth, v.Lines, v.Asked, v.Commands, changes)
	}
	if form != "" {
		t := newSheet("at", "kind", "id", "code", "cause", "probability", "text")
		for _, m := range v.Timeline {
			if m.Line != nil {
				t.add(m.At, m.Kind, m.Line.D.ID, m.Line.D.Event.Code, m.Line.First.ID, m.Line.First.Probability, nil)
			} else {
				t.add(m.At, m.Kind, nil, nil, nil, nil, m.Text)
			}
		}
		s.file(w, r, "terminal", form, t)
		return
	}
	s.render(w, r, http.StatusOK, "terminal", v)
}

// maxMoments bounds the timeline of a terminal.
const maxMoments = 40

// timeline puts what is known of a terminal in the order in which the fleet learnt of it, the newest first.
func (s *Site) timeline(p *page, t store.Terminal, b *report.Birth, list, asked []line, commands []store.Command,
	changes []store.Change) []moment {
	topic := p.Param("only")
	var out []moment
	add := func(m moment) {
		kind := m.Kind
		if kind == "birth" || kind == "state" {
			kind = "change"
		}
		if topic == "" || topic == kind {
			out = append(out, m)
		}
	}
	for i := range list {
		add(moment{At: list[i].Received, Kind: "diagnosis", Line: &list[i], Link: "/diagnosis/" + t.Estate + "/" + t.Terminal + "/" + list[i].D.ID})
	}
	for i := range asked {
		add(moment{At: asked[i].Received, Kind: "asked", Line: &asked[i], Link: "/asked/" + t.Estate + "/" + t.Terminal + "/" + asked[i].D.ID})
	}
	for _, c := range commands {
		text := p.T("cmd", c.Name) + " · " + c.Who
		if c.Reply != nil {
			text += " · " + p.T("answer", c.Reply.Result)
		}
		add(moment{At: c.Sent, Kind: "command", Text: text})
	}
	for _, c := range changes {
		text := p.T("scope", c.Dim) + ": " + cmp.Or(c.Was, "-") + " → " + cmp.Or(c.Now, "-")
		if c.Listed {
			text += " · " + p.T("by.inventory")
		}
		add(moment{At: c.At, Kind: "change", Text: text})
	}
	if !t.StateAt.IsZero() {
		add(moment{At: t.StateAt, Kind: "state", Text: p.T("state", t.State)})
	}
	if b != nil {
		add(moment{At: t.BirthAt, Kind: "birth", Text: p.T("born") + " " + b.Agent.Version})
	}
	slices.SortStableFunc(out, func(a, b moment) int { return b.At.Compare(a.At) })
	return out[:min(len(out), maxMoments)]
}

// commandWait is how long a page waits for the answer to a command before it says that none came.
const commandWait = 3 * time.Minute

// Late reports whether the answer to a command will not come any more.
func (p *page) Late(c store.Command) bool { return p.Now.Sub(c.Sent) >= commandWait }

// AskedOf is the diagnosis that a command brought, empty if it brought none.
func (p *page) AskedOf(c store.Command) string {
	if c.Reply == nil {
		return ""
	}
	if m, ok := c.Reply.Data.(map[string]any); ok {
		id, _ := m["diagnosis"].(string)
		return id
	}
	return ""
}

// sendWait bounds how long a form waits for the broker.
const sendWait = 10 * time.Second

var errNoWay = errors.New("no command can be sent: this process has no session with the broker")

// order sends a command to a terminal and keeps that it did.
func (s *Site) order(r *http.Request, v Viewer, at report.Address, name string, args map[string]any) (Deed, string,
	error) {
	d := Deed{At: at, Detail: name}
	if _, err := s.Source.Terminal(r.Context(), v.Estates, at); err != nil {
		return d, "", err
	}
	if s.Send == nil || !s.Connected() {
		return d, "", errNoWay
	}
	c := report.Command{ID: "desk-" + strings.ToLower(rand.Text()[:16]), Args: args}
	d.Subject = c.ID
	b, err := json.Marshal(c)
	if err != nil {
		return d, "", err
	}
	if len(b) > report.MaxMessage {
		return d, "", refuse("命令有 %d 字节，终端最多接收 %d 字节",
			"the command would be %d bytes; a terminal takes %d", len(b), report.MaxMessage)
	}
	if err := s.Source.NoteCommand(r.Context(), at, store.Command{Name: name, ID: c.ID, Who: v.Name,
		Sent: time.Now()}); err != nil {
		return d, "", err
	}
	bound, cancel := context.WithTimeout(r.Context(), sendWait)
	defer cancel()
	if err := s.Send(bound, at.Topic("cmd/"+name), b); err != nil {
		return d, "", fmt.Errorf("%w: %w", errNoWay, err)
	}
	s.Hub.Changed()
	return d, "/terminal/" + at.Estate + "/" + at.Terminal + "#ask", nil
}

// maxCode is as long as a code may be.
const maxCode = 64

// ask is the form that asks a terminal how it is.
func (s *Site) ask(r *http.Request, v Viewer) (Deed, string, error) {
	at, name := address(r), r.PostFormValue("name")
	args := map[string]any{}
	switch name {
	case "ping", "health":
	case "diagnose":
		code, err := said(r, "code", maxCode)
		if err != nil {
			return Deed{At: at}, "", err
		}
		if code != "" {
			args["code"] = code
		}
	default:
		return Deed{At: at}, "", refuse("name：须为 diagnose、health 或 ping", "name: want diagnose health or ping")
	}
	return s.order(r, v, at, name, args)
}

// maxPack leaves room for base64 and the command around it.
const maxPack = report.MaxMessage/4*3 - 1024

// teach is the form that sends a knowledge pack. The terminal itself checks its signature.
func (s *Site) teach(r *http.Request, v Viewer) (Deed, string, error) {
	at := address(r)
	file, head, err := r.FormFile("pack")
	if err != nil {
		return Deed{At: at}, "", refuse("pack：请选择知识包文件，最大 %d kB",
			"pack: choose the file of a knowledge pack, at most %d kB", maxPack>>10)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxPack+1))
	switch {
	case err != nil:
		return Deed{At: at}, "", refuse("pack：无法读取", "pack: cannot be read")
	case len(b) == 0 || len(b) > maxPack:
		return Deed{At: at}, "", refuse("pack %.40q：%d 字节，知识包须为 1 至 %d 字节",
			"pack %.40q: %d bytes; a knowledge pack has 1 to %d", head.Filename, len(b), maxPack)
	}
	d, to, err := s.order(r, v, at, "knowledge", map[string]any{"pack": base64.StdEncoding.EncodeToString(b)})
	d.Detail = fmt.Sprintf("knowledge, %d bytes", len(b))
	return d, to, err
}
