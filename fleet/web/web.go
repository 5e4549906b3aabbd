// Package web serves the fleet to people and programs: pages, JSON, and the notice that something changed.
package web

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/access"
	"posdx/fleet/enroll"
	"posdx/fleet/sbom"
	"posdx/fleet/store"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// A source is the part of the store that is shown, and what people do with it.
type source interface {
	Diagnoses(ctx context.Context, f store.Filter) ([]store.Row, store.Place, error)
	Diagnosis(ctx context.Context, in store.Estates, at report.Address, id string) (store.Row, error)
	Asked(ctx context.Context, in store.Estates, at report.Address, limit int) ([]store.Row, error)
	AskedOne(ctx context.Context, in store.Estates, at report.Address, id string) (store.Row, error)
	Outcome(ctx context.Context, in store.Estates, at report.Address, id string) (report.Outcome, error)
	Find(ctx context.Context, in store.Estates, at report.Address, id string) (store.Find, error)
	SaveFind(ctx context.Context, at report.Address, f store.Find) error
	Became(ctx context.Context, in store.Estates, cause string, since, before time.Time, limit int) ([]store.Became, error)

	Terminals(ctx context.Context, f store.TerminalFilter) ([]store.Terminal, error)
	Terminal(ctx context.Context, in store.Estates, at report.Address) (store.Terminal, error)
	Commands(ctx context.Context, in store.Estates, at report.Address, limit int) ([]store.Command, error)
	NoteCommand(ctx context.Context, at report.Address, c store.Command) error
	Changes(ctx context.Context, in store.Estates, at report.Address, limit int) ([]store.Change, error)
	PlaceOf(ctx context.Context, in store.Estates, at report.Address) (map[string]string, error)
	Values(ctx context.Context, in store.Estates, dim, text string, since time.Time, limit int) ([]store.Value, error)
	EstateNames(ctx context.Context, in store.Estates) ([]string, error)
	Rejections(ctx context.Context, f store.RejectionFilter) ([]store.Rejection, error)
	Dues(ctx context.Context, f store.DueFilter) ([]store.Due, error)
	CountDues(ctx context.Context, f store.DueFilter, moments []time.Time) ([]store.DueCount, error)
	Tasks(ctx context.Context, in store.Estates, causes []string, place map[string]string, since, until time.Time,
		least float64) ([]store.Task, error)

	FindIncidents(ctx context.Context, f store.IncidentFilter) ([]store.Incident, error)
	Incident(ctx context.Context, in store.Estates, no int64) (store.Incident, error)
	Cares(ctx context.Context, list []store.Incident) (map[int64]store.Care, error)
	Log(ctx context.Context, in store.Estates, no int64) ([]store.LogEntry, error)
	Tend(ctx context.Context, in store.Estates, e store.LogEntry, set store.Care, into int64) error
	Told(ctx context.Context, estate string, causes []string, only map[string]string, from, to time.Time) (store.Told,
		error)
	Shares(ctx context.Context, t store.Told) ([]store.Share, error)
	InAndOut(ctx context.Context, t store.Told, place map[string]string) (in, out store.Share, err error)
	Reporting(ctx context.Context, t store.Told, place map[string]string, from time.Time, steps int,
		each time.Duration) ([]float64, error)
	ChangesIn(ctx context.Context, estate string, place map[string]string, from, to time.Time) ([]store.ChangeCount, error)

	Codes(ctx context.Context, in store.Estates, from time.Time, steps, hours int, code string) ([]store.Point, error)
	Causes(ctx context.Context, in store.Estates, from time.Time, steps, hours int, cause string) ([]store.Point, error)
	CausesOf(ctx context.Context, in store.Estates, code, cause string, since time.Time) ([]store.Tallied, error)
	BaseRate(ctx context.Context, in store.Estates, cause string, since time.Time) (store.Rate, error)
	CountQuiet(ctx context.Context, in store.Estates, now time.Time) (store.Quiet, error)
	Summary(ctx context.Context, in store.Estates, now time.Time) (store.Summary, error)

	Views(ctx context.Context, who string) ([]store.View, error)
	SaveView(ctx context.Context, v store.View) error
	DropView(ctx context.Context, who string, no int64) error
	Alive(ctx context.Context) error

	Accounts(ctx context.Context) ([]store.Account, error)
	Tokens(ctx context.Context) ([]store.Token, error)
	Audits(ctx context.Context, f store.AuditFilter) ([]store.AuditEntry, error)
}

// A Site serves the fleet over HTTP.
type Site struct {
	Source    source
	Hub       *Hub
	Knowledge *codes.Knowledge
	Metrics   http.Handler
	Connected func() bool // is there a session with the broker?
	Log       *slog.Logger
	Stop      context.Context // its end lets go of the open pages
	Bills     []*sbom.Bill    // of what terminals run; empty: none were given

	// Send hands a command to the broker; nil: no command can be sent.
	Send func(ctx context.Context, topic string, payload []byte) error

	// Audit keeps what a form did, or why it was refused; nil: it is not kept. An error of it is shown to the reader.
	Audit func(ctx context.Context, v Viewer, d Deed, refused error) error

	Access *access.Keeper // lets people and programs in; nil: the site is open
	Open   Role           // of everybody who reaches an open site
	OIDC   *access.OIDC   // another way to sign in; nil: none
	Secure bool           // reached by https only

	Enroll  *enroll.Authority // issues terminals' certificates; nil: none are issued
	Proxied bool              // a proxy on this machine hands requests on and says from whom
	Rate    Rate              // of one reader

	buckets buckets
	alive   aliveness
	routes  []string // patterns
	pages   map[string]*template.Template
	assets  map[string]asset
	counted shelf[figures]
	shared  shelf[shared]
}

type asset struct {
	kind, etag string
	body       []byte
}

// Handler makes the handler of the site.
func (s *Site) Handler() (http.Handler, error) {
	s.pages = map[string]*template.Template{}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
		if name == "layout" || name == "parts" {
			continue // of every page
		}
		t, err := template.New("layout.html").Funcs(template.FuncMap{"level": level,
			"list": func(v ...any) []any { return v }, "add": func(a, b int) int { return a + b }}).
			ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		s.pages[name] = t
	}
	s.assets = map[string]asset{}
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "desk.js": "text/javascript; charset=utf-8"} {
		body, err := staticFiles.ReadFile("static/" + name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		s.assets[name] = asset{kind, `"` + hex.EncodeToString(sum[:8]) + `"`, body}
	}

	m := &mux{site: s}
	s.routes = nil
	for _, group := range menu() {
		for _, e := range group {
			pattern := "GET " + e.Path
			if e.Path == "/" {
				pattern = "GET /{$}"
			}
			m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { e.show(s, w, r) })
		}
	}
	m.HandleFunc("GET /incident/{no}", s.incident)
	for _, deed := range []string{store.DeedAcknowledge, store.DeedAssign, store.DeedMute, store.DeedUnmute,
		store.DeedMerge, store.DeedClose, store.DeedNote} {
		m.HandleFunc("POST /incident/{no}/"+deed, s.post("incident."+deed, RoleOperator, s.tend(deed)))
	}
	m.HandleFunc("GET /diagnosis/{estate}/{terminal}/{id}", s.diagnosis)
	m.HandleFunc("POST /diagnosis/{estate}/{terminal}/{id}/found", s.post("diagnosis.found", RoleTechnician, s.found))
	m.HandleFunc("GET /asked/{estate}/{terminal}/{id}", s.asked)
	m.HandleFunc("GET /terminal/{estate}/{terminal}", s.terminal)
	m.HandleFunc("POST /terminal/{estate}/{terminal}/ask", s.post("terminal.ask", RoleTechnician, s.ask))
	m.HandleFunc("POST /terminal/{estate}/{terminal}/knowledge", s.post("terminal.knowledge", RoleOperator, s.teach))
	m.HandleFunc("GET /code", s.code)
	m.HandleFunc("GET /cause/{id}", s.cause)
	m.HandleFunc("GET /search", s.search)
	m.HandleFunc("POST /views", s.post("view.save", RoleViewer, s.saveView))
	m.HandleFunc("POST /views/drop", s.post("view.drop", RoleViewer, s.dropView))
	m.HandleFunc("GET /live", s.live)
	m.HandleFunc("GET /static/{name}", s.static)

	m.HandleFunc("GET /api/v1/summary", s.apiSummary)
	m.HandleFunc("GET /api/v1/diagnoses", s.apiDiagnoses)
	m.HandleFunc("GET /api/v1/diagnoses/{estate}/{terminal}/{id}", s.apiDiagnosis)
	m.HandleFunc("GET /api/v1/terminals", s.apiTerminals)
	m.HandleFunc("GET /api/v1/terminals/{estate}/{terminal}", s.apiTerminal)
	m.HandleFunc("GET /api/v1/incidents", s.apiIncidents)
	m.HandleFunc("GET /api/v1/outcomes", s.apiOutcomes)
	m.HandleFunc("GET /api/v1/rejected", s.apiRejected)
	m.HandleFunc("GET /healthz", s.healthz)
	m.HandleFunc("GET /readyz", s.readyz)
	m.HandleFunc("GET /metrics", s.metrics)
	s.accessRoutes(m)
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := m.allowed(r); allowed != "" {
			w.Header().Set("Allow", allowed)
			s.fail(w, r, errMethod)
			return
		}
		s.fail(w, r, store.ErrNone)
	})
	return s.guard(m), nil
}

// A mux remembers its patterns, so that a test can walk them all.
type mux struct {
	http.ServeMux
	site *Site
}

func (m *mux) Handle(pattern string, h http.Handler) {
	m.site.routes = append(m.site.routes, pattern)
	m.ServeMux.Handle(pattern, h)
}

func (m *mux) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(h))
}

var errMethod = errors.New("not by this method")

// allowed lists the methods that an address accepts; empty if there is no such address. http.ServeMux does not answer
// that itself, because there is a pattern that matches every address.
func (m *mux) allowed(r *http.Request) string {
	var list []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		ask := r.Clone(r.Context())
		ask.Method = method
		if _, pattern := m.Handler(ask); pattern != "/" && pattern != "" {
			list = append(list, method)
		}
	}
	return strings.Join(list, ", ")
}

// guard sets what protects every answer and asks who wants it.
func (s *Site) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if s.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if s.Access == nil && !ownName(r.Host) {
			// A page of another site could make its name point here and read the fleet in the operator's browser.
			http.Error(w, "this site answers to localhost and to addresses only, unless people sign in to it", http.StatusMisdirectedRequest)
			return
		}
		s.admit(next, w, r)
	})
}

func ownName(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err = netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func (s *Site) static(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.PathValue("name")]
	if !ok {
		s.fail(w, r, store.ErrNone)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", a.etag)
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Write(a.body)
}

const liveAtMost = 250 * time.Millisecond // between two changes told to one page

var (
	liveBeat  = 20 * time.Second // keeps proxies from closing a quiet page
	liveWrite = 10 * time.Second // in which a page takes what it is told
)

// live is the stream of changes, as server-sent events.
func (s *Site) live(w http.ResponseWriter, r *http.Request) {
	end, err := s.buckets.begin(s.Rate, s.reader(r, viewer(r).user), maxStreams, livesOf)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer end()
	news := s.Hub.join()
	if news == nil {
		http.Error(w, "too many open pages", http.StatusServiceUnavailable)
		return
	}
	defer s.Hub.leave(news)
	w.Header().Set("Content-Type", "text/event-stream")
	c := http.NewResponseController(w)
	say := func(line string) bool {
		c.SetWriteDeadline(time.Now().Add(liveWrite))
		if _, err := w.Write([]byte(line)); err != nil {
			return false
		}
		if c.Flush() != nil {
			return false
		}
		c.SetWriteDeadline(time.Time{}) // over HTTP/2 one that passes ends the stream, though nobody writes
		return true
	}
	beat := time.NewTicker(liveBeat)
	defer beat.Stop()
	for ok := say("retry: 2000\n\n"); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-s.Stop.Done():
			return
		case <-beat.C:
			ok = say(": \n\n")
		case <-news:
			ok = say("data: changed\n\n")
			select {
			case <-r.Context().Done():
				return
			case <-s.Stop.Done():
				return
			case <-time.After(liveAtMost):
			}
		}
	}
}

// aliveEvery bounds how often a question about health becomes a write: anyone may ask.
const aliveEvery = 2 * time.Second

// aliveness remembers the last look at the store.
type aliveness struct {
	mu  sync.Mutex
	at  time.Time // guarded by mu
	err error     // guarded by mu
}

func (s *Site) storeAlive(ctx context.Context) bool {
	s.alive.mu.Lock()
	defer s.alive.mu.Unlock()
	if time.Since(s.alive.at) > aliveEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		s.alive.err = s.Source.Alive(ctx)
		s.alive.at = time.Now()
	}
	return s.alive.err == nil
}

// healthz answers 200 while documents can come in and be kept.
func (s *Site) healthz(w http.ResponseWriter, r *http.Request) {
	s.health(w, map[string]bool{"broker": s.Connected(), "store": s.storeAlive(r.Context())})
}

// readyz answers 200 while pages can be shown: not when the store is away, and not any more once the program ends.
func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	s.health(w, map[string]bool{"running": s.Stop.Err() == nil, "store": s.storeAlive(r.Context())})
}

func (s *Site) health(w http.ResponseWriter, state map[string]bool) {
	w.Header().Set("Content-Type", "application/json")
	for _, ok := range state {
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			break
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.Encode(state)
}

// metrics are of the whole fleet.
func (s *Site) metrics(w http.ResponseWriter, r *http.Request) {
	if !viewer(r).whole() {
		http.Error(w, "metrics are of the whole fleet: a token of scope metrics is needed", http.StatusForbidden)
		return
	}
	s.Metrics.ServeHTTP(w, r)
}

// fail answers with an error: what was not found says so, what broke is in the log and not in the answer.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	var bad badRequest
	var wait tooMuch
	switch {
	case errors.As(err, &wait):
		s.tooMany(w, r, wait)
		return
	case errors.Is(err, store.ErrNone):
		status = http.StatusNotFound
	case errors.Is(err, errMethod):
		status = http.StatusMethodNotAllowed
	case errors.As(err, &bad):
		status = http.StatusBadRequest
	case errors.Is(err, errRole), errors.Is(err, errForeign), errors.Is(err, errScope),
		errors.Is(err, access.ErrByToken):
		status = http.StatusForbidden
	case errors.Is(err, errNoWay):
		s.Log.Warn("command not sent", "path", r.URL.Path, "error", err)
		status = http.StatusServiceUnavailable
	case r.Context().Err() != nil:
		return // nobody listens any more
	default:
		s.Log.Error("cannot answer", "path", r.URL.Path, "error", err)
	}
	what := http.StatusText(status)
	if status == http.StatusBadRequest {
		what = bad.In(askedLanguage(r))
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		s.failJSON(w, status, what)
		return
	}
	p := s.page(r, "")
	p.Estates = nil // there is nothing to choose an estate for
	if status == http.StatusBadRequest {
		what = bad.In(p.Lang)
	}
	why := ""
	if errors.Is(err, access.ErrByToken) {
		why = errWord(p, err)
	}
	s.render(w, r, status, "error", struct {
		*page
		Status    int
		What, Why string
	}{p, status, what, why})
}

func (s *Site) failJSON(w http.ResponseWriter, status int, what string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": what})
}

// badRequest is an error that the reader made; its text is shown to people in their language, to programs in English.
type badRequest codes.Text

func (b badRequest) Error() string { return b.EN }

// In is the text in a language.
func (b badRequest) In(lang string) string { return codes.Text(b).In(lang) }

// refuse makes a badRequest of a text in both languages, with the same arguments.
func refuse(zh, en string, args ...any) error {
	return badRequest{ZH: fmt.Sprintf(zh, args...), EN: fmt.Sprintf(en, args...)}
}
