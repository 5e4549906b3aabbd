package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/store"
)

// page is what every page knows.
type page struct {
	Lang      string
	Title     string
	Path      string // of this page
	Other     string // this page in the other language
	Zone      string
	knowledge *codes.Knowledge
}

// Page hands a page on to the parts that it is made of.
func (p *page) Page() *page { return p }

func (s *Site) page(r *http.Request, titleKey string) *page {
	p := &page{Lang: pickLanguage(r), Path: r.URL.Path, knowledge: s.Knowledge}
	if p.Title = p.T("title"); titleKey != "" {
		p.Title = p.T(titleKey) + " - " + p.Title
	}
	other := "en"
	if p.Lang == "en" {
		other = "zh"
	}
	q := r.URL.Query()
	q.Set("lang", other)
	p.Other = "?" + q.Encode()
	now := time.Now()
	p.Zone = now.Format("MST -07:00")
	return p
}

func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, name string, view any) {
	var b bytes.Buffer
	if err := s.pages[name].Execute(&b, view); err != nil {
		s.Log.Error("cannot render", "page", name, "error", err)
		http.Error(w, "cannot show this page", http.StatusInternalServerError)
		return
	}
	if l := r.URL.Query().Get("lang"); l == "zh" || l == "en" {
		http.SetCookie(w, &http.Cookie{Name: langCookie, Value: l, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// A line is one diagnosis of a list.
type line struct {
	store.Row
	D     report.Diagnosis
	First report.Cause
}

func lines(rows []store.Row) ([]line, error) {
	out := make([]line, len(rows))
	for i, r := range rows {
		out[i].Row = r
		if err := json.Unmarshal(r.Body, &out[i].D); err != nil {
			return nil, fmt.Errorf("diagnosis %d: %w", r.Place, err)
		}
		out[i].First = store.First(&out[i].D)
	}
	return out, nil
}

func (s *Site) home(w http.ResponseWriter, r *http.Request) {
	f, err := filter(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		*page
		Summary         store.Summary
		Incidents       []store.Incident
		Filter          store.Filter
		Filtered        bool
		Segments        []string
		Causes          []codes.Cause
		Lines           []line
		Older           string
		Offline, Online []store.Terminal
		ShowTerminal    bool
	}{page: s.page(r, ""), Filter: f, Segments: segments, Causes: s.Knowledge.Causes, ShowTerminal: true}
	v.Filtered = f.Estate+f.Terminal+f.Cause+f.Segment+f.Code+f.Text != "" || f.Before != store.Place{}

	rows, next, err := s.Source.Diagnoses(r.Context(), f)
	if err == nil {
		v.Lines, err = lines(rows)
	}
	if err == nil {
		v.Summary, err = s.Source.Summary(r.Context(), viewer(r).Estates, time.Now())
	}
	if err == nil {
		v.Incidents, err = s.Source.FindIncidents(r.Context(), store.IncidentFilter{In: viewer(r).Estates, Limit: 20})
		v.Incidents = slices.DeleteFunc(v.Incidents, func(i store.Incident) bool { return !i.Closed.IsZero() })
	}
	if err == nil {
		v.Offline, err = s.Source.Terminals(r.Context(), store.TerminalFilter{In: f.In, State: "offline", Limit: 15})
	}
	if err == nil {
		v.Online, err = s.Source.Terminals(r.Context(), store.TerminalFilter{In: f.In, State: "online", Limit: 15})
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v.Older = older(r, next)
	s.render(w, r, http.StatusOK, "home", v)
}

// older is the address of the next page of a list, empty at its end.
func older(r *http.Request, next store.Place) string {
	if next == (store.Place{}) {
		return ""
	}
	q := url.Values{}
	for k, v := range r.URL.Query() {
		if k != "lang" && len(v) > 0 && v[0] != "" {
			q.Set(k, v[0])
		}
	}
	q.Set("before", next.String())
	return "?" + q.Encode()
}

func (s *Site) terminals(w http.ResponseWriter, r *http.Request) {
	f, err := terminalFilter(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.Source.Terminals(r.Context(), f)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		*page
		Filter store.TerminalFilter
		List   []store.Terminal
		Next   string
	}{s.page(r, "terminals"), f, list, ""}
	if after := terminalNext(f, list); after != "" {
		v.Next = "?" + url.Values{"after": {after}, "q": {f.Text}, "state": {f.State}, "estate": {f.Estate}}.Encode()
	}
	s.render(w, r, http.StatusOK, "terminals", v)
}

func (s *Site) terminal(w http.ResponseWriter, r *http.Request) {
	at := address(r)
	f, err := filter(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f.Estate, f.Terminal = at.Estate, at.Terminal
	v := struct {
		*page
		Term         store.Terminal
		Birth        *report.Birth
		Health       *report.Health
		Self         []fact
		Lines        []line
		Older        string
		Paged        bool
		Rejected     []store.Rejection
		ShowTerminal bool
	}{page: s.page(r, "terminal"), Paged: f.Before != store.Place{}}
	v.Title = at.Terminal + " - " + v.page.T("title")
	if v.Term, err = s.Source.Terminal(r.Context(), viewer(r).Estates, at); err != nil {
		s.fail(w, r, err)
		return
	}
	if v.Term.Birth != nil {
		v.Birth = new(report.Birth)
		err = json.Unmarshal(v.Term.Birth, v.Birth)
	}
	if v.Term.Health != nil && err == nil {
		v.Health = new(report.Health)
		if err = json.Unmarshal(v.Term.Health, v.Health); err == nil {
			slices.SortStableFunc(v.Health.Evidence, func(a, b report.Evidence) int { return severity(a.Status) - severity(b.Status) })
			for k, n := range v.Health.Self {
				v.Self = append(v.Self, fact{k, strconv.FormatInt(n, 10)})
			}
			slices.SortFunc(v.Self, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
		}
	}
	var rows []store.Row
	var next store.Place
	if err == nil {
		rows, next, err = s.Source.Diagnoses(r.Context(), f)
	}
	if err == nil {
		v.Lines, err = lines(rows)
	}
	if err == nil && v.Term.Rejected > 0 {
		v.Rejected, err = s.Source.Rejections(r.Context(), viewer(r).Estates, at, 20)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v.Older = older(r, next)
	s.render(w, r, http.StatusOK, "terminal", v)
}

// severity orders results: what is bad first, what was not run last.
func severity(s report.Status) int {
	switch s {
	case report.Bad:
		return 0
	case report.CannotTell:
		return 1
	case report.OK:
		return 2
	}
	return 3
}

func (s *Site) diagnosis(w http.ResponseWriter, r *http.Request) {
	row, err := s.Source.Diagnosis(r.Context(), viewer(r).Estates, address(r), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := lines([]store.Row{row})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	l := list[0]
	slices.SortStableFunc(l.D.Evidence, func(a, b report.Evidence) int { return severity(a.Status) - severity(b.Status) })
	v := struct {
		*page
		line
		Txn     []fact
		Outcome *report.Outcome // what became of it; nil as long as nothing is known
	}{s.page(r, "diagnosis"), l, txnFacts(l.D.Event.Txn), nil}
	switch o, err := s.Source.Outcome(r.Context(), viewer(r).Estates, address(r), l.D.ID); {
	case err == nil:
		v.Outcome = &o
	case !errors.Is(err, store.ErrNone):
		s.fail(w, r, err)
		return
	}
	v.page.Title = l.D.Event.Code + " " + l.Terminal + " - " + v.page.T("title")
	v.line.D = diagnose.Speak(l.D, s.Knowledge, diagnose.Options{Lang: v.page.Lang})
	s.render(w, r, http.StatusOK, "diagnosis", v)
}

func (s *Site) incidents(w http.ResponseWriter, r *http.Request) {
	list, err := s.Source.FindIncidents(r.Context(), store.IncidentFilter{In: viewer(r).Estates, Limit: 200})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "incidents", struct {
		*page
		List []store.Incident
	}{s.page(r, "incidents"), list})
}

func (s *Site) rejected(w http.ResponseWriter, r *http.Request) {
	list, err := s.Source.Rejections(r.Context(), viewer(r).Estates, report.Address{}, 200)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "rejected", struct {
		*page
		List []store.Rejection
	}{s.page(r, "rejected"), list})
}

// A fact is a name and a value to show.
type fact struct{ Name, Value string }

// facts lists what a check measured, by name.
func facts(f report.Facts) []fact {
	list := make([]fact, 0, len(f))
	for name, v := range f {
		list = append(list, fact{name, show(v)})
	}
	slices.SortFunc(list, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// level is the grade of a graded check, empty if it has none.
func level(f report.Facts) string {
	l, _ := f.Str("level")
	return l
}

func show(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'g', 5, 64)
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = show(v[i])
		}
		return strings.Join(words, " ")
	case map[string]any:
		words := make([]string, 0, len(v))
		for _, f := range facts(v) {
			words = append(words, f.Name+" "+f.Value)
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(v)
}

func txnFacts(t *report.Txn) []fact {
	if t == nil {
		return nil
	}
	b, err := json.Marshal(t)
	if err != nil {
		return nil
	}
	var f report.Facts
	if json.Unmarshal(b, &f) != nil {
		return nil
	}
	return facts(f)
}

// Time shows a moment of the fleet's clock.
func (p *page) Time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// Span shows how long something lasted.
func (p *page) Span(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond).String()
}

// Percent shows a probability.
func (p *page) Percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 0, 64) + " %" }

// CauseTitle is the title of a cause in the reader's language, or as the terminal wrote it if the catalogue has none.
func (p *page) CauseTitle(id, written string) string {
	if id == report.Unexplained {
		return p.T("unexplained")
	}
	if c, ok := p.knowledge.Cause(id); ok {
		return c.Title.In(p.Lang)
	}
	if written == "" {
		return id
	}
	return written
}

// Step is what to do. The catalogue's own step is shown in the reader's language; a terminal's special one as it is.
func (p *page) Step(c report.Cause) string {
	if k, ok := p.knowledge.Cause(c.ID); ok {
		if c.Act.Step == "" {
			return k.StepsFor("").In(p.Lang)
		}
		return k.StepIn(c.Act.Step, p.Lang)
	}
	return c.Act.Step
}

// Meaning is what the tables say of a code, in the reader's language if this program's tables say the same.
func (p *page) Meaning(c report.CodeInfo) string {
	if m, ok := p.knowledge.Lookup(c.Scheme, c.Code); ok && (c.Meaning == m.Text.ZH || c.Meaning == m.Text.EN || c.Meaning == "") {
		return m.Text.In(p.Lang)
	}
	return c.Meaning
}

// CheckTitle is what a check looks at, in the reader's language, or its name if the catalogue has none.
func (p *page) CheckTitle(name string) string {
	if c, ok := p.knowledge.Check(name); ok {
		return c.Title.In(p.Lang)
	}
	return name
}
