package web

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/incident"
	"posdx/fleet/store"
)

// page is what every page knows.
type page struct {
	Lang    string
	Theme   string // light dark, empty for what the browser prefers
	Title   string
	Path    string // of this page
	Zone    string
	Now     time.Time
	Viewer  Viewer
	Estates []string     // that the viewer can choose among; one or none: nothing to choose
	Estate  string       // chosen
	Views   []store.View // saved by the viewer
	CanSend bool

	query     url.Values
	knowledge *codes.Knowledge
}

// Unranged is what a list shows while no time is chosen, as a word of the times.
func (p *page) Unranged() string {
	if p.Path == "/outcomes" {
		return "90d"
	}
	return "all"
}

// Page passes a page on to the templates of its parts.
func (p *page) Page() *page { return p }

// passing are parameters of an address that do not belong to a view: the place in a list, and how it is shown.
var passing = []string{"before", "after", "skip", "lang", "theme", "format"}

// frame is what every page knows without asking the store.
func (s *Site) frame(r *http.Request, titleKey string) *page {
	p := &page{Lang: pickLanguage(r), Path: r.URL.Path, knowledge: s.Knowledge, Viewer: viewer(r), Now: time.Now(),
		query: r.URL.Query(), CanSend: s.Send != nil}
	if p.Title = p.T("title"); titleKey != "" {
		p.Title = p.T(titleKey) + " - " + p.Title
	}
	p.Theme = choice(r, "theme", "light", "dark")
	p.Zone = p.Now.Format("MST -07:00")
	if p.Estate = p.query.Get("estate"); p.Estate == "" {
		p.Estate = r.PathValue("estate")
	}
	return p
}

func (s *Site) page(r *http.Request, titleKey string) *page {
	p := s.frame(r, titleKey)
	if s.Source != nil {
		chooses := slices.Contains(viewable, p.Path) || p.Path == "/code" || p.Path == "/search" ||
			strings.HasPrefix(p.Path, "/cause/")
		// What cannot be read here is missing in the frame; what the page itself needs fails aloud.
		if list, err := s.Source.EstateNames(r.Context(), p.Viewer.Estates); chooses && err == nil && len(list) > 1 {
			p.Estates = list
		}
		p.Views, _ = s.Source.Views(r.Context(), p.Viewer.Name)
	}
	return p
}

// choice is what was chosen in the address or before, one of some words or empty.
func choice(r *http.Request, name string, words ...string) string {
	if v := r.URL.Query().Get(name); slices.Contains(words, v) || v == "auto" {
		return strings.TrimPrefix(v, "auto")
	}
	if c, err := r.Cookie(name); err == nil && slices.Contains(words, c.Value) {
		return c.Value
	}
	return ""
}

func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, name string, view any) {
	var b bytes.Buffer
	if err := s.pages[name].Execute(&b, view); err != nil {
		s.Log.Error("cannot render", "page", name, "error", err)
		http.Error(w, "cannot show this page", http.StatusInternalServerError)
		return
	}
	for name, words := range map[string][]string{langCookie: {"zh", "en"}, "theme": {"light", "dark", "auto"}} {
		if v := r.URL.Query().Get(name); slices.Contains(words, v) {
			http.SetCookie(w, &http.Cookie{Name: name, Value: v, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true,
				SameSite: http.SameSiteLaxMode})
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	w.Write(visible(b.Bytes()))
}

// visible replaces characters that would not be seen, or would change the direction of the text: control characters,
// marks of direction and of no width. No text of the program has any, so they come from outside.
func visible(b []byte) []byte {
	hidden := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e ||
			r >= 0x2060 && r <= 0x206f || r == 0xfeff || r >= 0xfff9 && r <= 0xfffb
	}
	if !bytes.ContainsFunc(b, hidden) {
		return b
	}
	return bytes.Map(func(r rune) rune {
		if hidden(r) {
			return utf8.RuneError
		}
		return r
	}, b)
}

// With is this page's address with some parameters changed, pairs of name and value; an empty value removes one. The
// position in a list is removed too, since the changed list has other positions.
func (p *page) With(pairs ...string) string {
	q := url.Values{}
	for k, v := range p.query {
		if len(v) > 0 && v[0] != "" && !slices.Contains(passing, k) {
			q.Set(k, v[0])
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return p.Path
	}
	return p.Path + "?" + q.Encode()
}

// Stay is With, at the same position of the list.
func (p *page) Stay(pairs ...string) string {
	for _, k := range []string{"before", "after", "skip"} {
		if v := p.query.Get(k); v != "" {
			pairs = append(pairs, k, v)
		}
	}
	return p.With(pairs...)
}

// Link is the address of another page, within the estate that was chosen.
func (p *page) Link(path string, pairs ...string) string {
	q := url.Values{}
	if p.query.Get("estate") != "" {
		q.Set("estate", p.query.Get("estate"))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// Param is a parameter of the address.
func (p *page) Param(name string) string { return p.query.Get(name) }

// Hidden are the parameters that a form sends along with its own fields.
func (p *page) Hidden(fields ...string) []fact {
	var list []fact
	for k, v := range p.query {
		if len(v) > 0 && v[0] != "" && !slices.Contains(passing, k) && !slices.Contains(fields, k) {
			list = append(list, fact{k, v[0]})
		}
	}
	slices.SortFunc(list, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Other is this page in the other language.
func (p *page) Other() string {
	if p.Lang == "en" {
		return p.Stay("lang", "zh")
	}
	return p.Stay("lang", "en")
}

// Here reports whether a page belongs to an entry of the menu.
func (p *page) Here(entry string) bool {
	if entry == "/" {
		return p.Path == "/"
	}
	return p.Path == entry || p.Path+"s" == entry || strings.HasPrefix(p.Path, strings.TrimSuffix(entry, "s")+"/")
}

// menu are the pages that the menu has, in groups: where each is, the key of its name, and what shows it.
func menu() [][]entry {
	return [][]entry{
		{{"/", "overview", (*Site).overview}, {"/incidents", "incidents", (*Site).incidents}, {"/expiry", "expiry", (*Site).expiry},
			{"/work", "work", (*Site).work}},
		{{"/diagnoses", "diagnoses", (*Site).diagnoses}, {"/terminals", "terminals", (*Site).terminals},
			{"/versions", "versions", (*Site).versions}},
		{{"/codes", "codes", (*Site).codes}, {"/causes", "causes.page", (*Site).causes}, {"/outcomes", "outcomes", (*Site).outcomes},
			{"/rejected", "rejected", (*Site).rejected}},
	}
}

type entry struct {
	Path, Text string
	show       func(*Site, http.ResponseWriter, *http.Request)
}

// Menu are the pages that the menu has, in groups.
func (p *page) Menu() [][]entry { return menu() }

// A fact is a name and a value to show.
type fact struct{ Name, Value string }

// Time shows a moment of the fleet's clock.
func (p *page) Time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// Minute shows a moment without its seconds, and without its year if that is this one.
func (p *page) Minute(t time.Time) string {
	switch t = t.Local(); {
	case t.Unix() <= 0:
		return "-"
	case t.Year() == p.Now.Year():
		return t.Format("01-02 15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// Day shows a day.
func (p *page) Day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02")
}

// ISO writes a moment for programs.
func (p *page) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Age shows how long ago something was, in its largest unit.
func (p *page) Age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return p.Length(p.Now.Sub(t))
}

// Length shows a length of time in its largest unit.
func (p *page) Length(d time.Duration) string {
	switch d = max(d, -d); {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + p.T("unit.s")
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + p.T("unit.min")
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + p.T("unit.h")
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + p.T("unit.d")
}

// In shows how far off a moment is: -3 d, 12 d.
func (p *page) In(t time.Time) string {
	if t.Before(p.Now) {
		return p.T("overdue") + " " + p.Length(p.Now.Sub(t))
	}
	return p.Length(t.Sub(p.Now))
}

// Span shows how long something lasted.
func (p *page) Span(ms int64) string {
	const most = math.MaxInt64 / int64(time.Millisecond) // a terminal can say anything
	d := time.Duration(min(max(ms, -most), most)) * time.Millisecond
	if d < time.Minute {
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + p.T("unit.s")
	}
	return p.Length(d)
}

// Percent shows a probability or a share.
func (p *page) Percent(x float64) string {
	switch {
	case x > 0 && x < 0.001:
		return "<0.1 %"
	case x < 0.1 && x > 0 || x > 0.9 && x < 1:
		return strconv.FormatFloat(math.Floor(1000*x)/10, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(100*x, 'f', 0, 64) + " %"
}

// Num shows a count, with thin spaces between thousands.
func (p *page) Num(v any) string {
	var n float64
	switch v := v.(type) {
	case int:
		n = float64(v)
	case int64:
		n = float64(v)
	case float64:
		n = v
	default:
		return fmt.Sprint(v)
	}
	if n != 0 && math.Abs(n) < 10 && n != math.Trunc(n) {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Abs(n), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u2009" + s[i:]
	}
	if n < 0 {
		s = "−" + s
	}
	return s
}

// CauseTitle is the title of a cause in the reader's language, or its id if the catalogue has none: what a terminal
// wrote is in the terminal's language.
func (p *page) CauseTitle(id string) string {
	if id == report.Unexplained {
		return p.T("unexplained")
	}
	if id == store.FoundNothing {
		return p.T("found.none")
	}
	if c, ok := p.knowledge.Cause(id); ok {
		return c.Title.In(p.Lang)
	}
	return id
}

// IncidentTitle is the title of an incident.
func (p *page) IncidentTitle(i store.Incident) string {
	switch {
	case i.Kind == incident.KindSilence && i.Cause == report.Unexplained:
		return p.T("kind.silence.title")
	case i.Kind == incident.KindIdle && i.Cause == report.Unexplained:
		return p.T("kind.idle.title")
	}
	return p.CauseTitle(i.Cause)
}

// Silent tells whether an incident of a kind is one of terminals that say nothing.
func (p *page) Silent(kind string) bool { return incident.Mute(kind) != "" }

// CauseActs is who acts on a cause by the catalogue.
func (p *page) CauseActs(id string) string {
	if c, ok := p.knowledge.Cause(id); ok {
		return p.T("by", c.Act)
	}
	return "-"
}

// Acts is who acts on an incident, which its place may say better than its cause.
func (p *page) Acts(i store.Incident) string {
	if c, ok := p.knowledge.Cause(i.Cause); ok {
		return p.T("by", incident.Acts(c, i.Place))
	}
	return "-"
}

// Visits reports whether a cause needs a visit, by the catalogue.
func (p *page) Visits(id string) bool {
	c, ok := p.knowledge.Cause(id)
	return ok && c.Visit
}

// Steps are what to do about a cause where this is the advice for the money; empty: every step.
func (p *page) Steps(id, retry string) string {
	c, ok := p.knowledge.Cause(id)
	if !ok {
		return ""
	}
	return c.StepsFor(retry).In(p.Lang)
}

// StepList are these steps one by one.
func (p *page) StepList(id, retry string) []string {
	c, ok := p.knowledge.Cause(id)
	if !ok {
		return nil
	}
	var list []string
	for _, t := range c.ListFor(retry) {
		list = append(list, t.In(p.Lang))
	}
	return list
}

// Meaning is what the tables say of a code in the reader's language, empty if they do not have it. Counts stand under
// the host's table, also those of errors that the terminal itself gave: a name that only these have is looked up there.
func (p *page) Meaning(scheme, code string) string {
	if m, ok := p.knowledge.Lookup(scheme, code); ok {
		return m.Text.In(p.Lang)
	}
	if m, ok := p.knowledge.Lookup(codes.SchemeLocal, code); ok && !strings.Contains(m.Code, ":") {
		return m.Text.In(p.Lang)
	}
	return ""
}

// CheckTitle is what a check looks at, in the reader's language, or its name if the catalogue has none.
func (p *page) CheckTitle(name string) string {
	if c, ok := p.knowledge.Check(name); ok {
		return c.Title.In(p.Lang)
	}
	if name == "code" {
		return p.T("code.itself")
	}
	return name
}

// SchemeTitle is the name of a code table.
func (p *page) SchemeTitle(name string) string {
	if s, ok := p.knowledge.Scheme(name); ok {
		return s.Title.In(p.Lang)
	}
	return name
}

// DueTitle is what ends.
func (p *page) DueTitle(kind string) string {
	if t, ok := texts["due."+kind]; ok {
		return t.In(p.Lang)
	}
	if i := strings.LastIndexByte(kind, '.'); i > 0 {
		return p.CheckTitle(kind[:i])
	}
	return kind
}

// A dim is a dimension with its value.
type dim struct{ Name, Value string }

// Place lists the values of a place, by dimension.
func (p *page) Place(place map[string]string) []dim {
	var list []dim
	for _, d := range report.Dimensions {
		if v := place[d]; v != "" {
			list = append(list, dim{d, v})
		}
	}
	return list
}

// Only are the values of a sale to which an incident, or a list, is restricted.
func (p *page) Only(only map[string]string) []dim {
	var list []dim
	for _, name := range incident.Aspects {
		if v := only[name]; v != "" {
			list = append(list, dim{name, v})
		}
	}
	return list
}

// level is the grade of a graded check, empty if it has none.
func level(f report.Facts) string {
	l, _ := f.Str("level")
	return l
}

func (p *page) show(v any) string {
	switch v := v.(type) {
	case string:
		return p.value(v)
	case bool:
		return p.T("yes", strconv.FormatBool(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'g', 5, 64)
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = p.show(v[i])
		}
		return strings.Join(words, " ")
	case map[string]any:
		words := make([]string, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			words = append(words, p.value(name)+" "+p.show(v[name]))
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(v)
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

// X is a share on a picture that is 100 wide.
func (p *page) X(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) }

// XOf is the share of a count on such a picture.
func (p *page) XOf(k, n int) string { return p.X(float64(k) / float64(max(1, n))) }

// PercentOf shows the share of a count.
func (p *page) PercentOf(k, n any) string {
	number := func(v any) float64 {
		switch v := v.(type) {
		case int:
			return float64(v)
		case float64:
			return v
		}
		return 0
	}
	if number(n) == 0 {
		return "-"
	}
	return p.Percent(number(k) / number(n))
}

// PerThousand shows a base rate.
func (p *page) PerThousand(k, n float64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatFloat(1000*k/n, 'g', 3, 64) + " ‰"
}

// Local is a moment of the address for a field of the page's form.
func (p *page) Local(name string) string {
	s, err := spanOf(url.Values{name: {p.query.Get(name)}}, p.Now)
	if err != nil {
		return ""
	}
	t := s.From
	if name == "to" {
		t = s.To
	}
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02T15:04")
}

// DiagnosisPath is where a diagnosis is shown.
func (p *page) DiagnosisPath(l *line) string {
	kind := "/diagnosis/"
	if l.D.Asked {
		kind = "/asked/"
	}
	return kind + l.Estate + "/" + l.Terminal + "/" + l.D.ID
}

// Edge is an end of a bin, in percent.
func (p *page) Edge(x float64) string { return strconv.FormatFloat(100*x, 'f', 0, 64) }
