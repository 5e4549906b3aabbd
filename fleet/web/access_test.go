package web

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/access"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// A house is a site that people sign in to.
type house struct {
	*httptest.Server
	site   *Site
	db     *store.Store
	keeper *access.Keeper
}

const word = "correct horse battery"

var root = access.User{Name: "root", Role: access.Admin, Source: "cli"}

func closed(t *testing.T) *house {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{db: db, keeper: &access.Keeper{Store: db}}
	h.site = &Site{
		Source:    db,
		Hub:       new(Hub),
		Knowledge: codes.Builtin(),
		Connected: func() bool { return true },
		Access:    h.keeper,
		Metrics:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "posdx_fleet_x 1\n") }),
		Audit: func(ctx context.Context, v Viewer, d Deed, refused error) error {
			return h.keeper.Note(ctx, v.User(), d.Name, d.At.Estate, d.At.Terminal+d.Subject, d.Detail)
		},
		Log:  slog.New(slog.NewTextHandler(t.Output(), nil)),
		Stop: t.Context(),
	}
	handler, err := h.site.Handler()
	if err != nil {
		t.Fatal(err)
	}
	h.Server = httptest.NewServer(handler)
	t.Cleanup(func() { h.CloseClientConnections(); h.Close(); db.Close() })
	return h
}

func (h *house) account(t *testing.T, name string, r access.Role, estates ...string) {
	t.Helper()
	a := store.Account{Name: name, Role: r.String(), Estates: estates}
	if err := h.keeper.AddAccount(t.Context(), root, a, word); err != nil {
		t.Fatal(err)
	}
}

// browser signs someone in; with no name it is a stranger. It follows no redirect.
func (h *house) browser(t *testing.T, name string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if name != "" {
		if status, body, head := h.send(t, c, "POST", "/login", url.Values{"name": {name}, "password": {word}}); status != http.StatusSeeOther {
			t.Fatalf("login of %s: %d %v %s", name, status, head, body)
		}
	}
	return c
}

// send asks as a browser does from one of the site's own pages, or with headers as given.
func (h *house) send(
	t *testing.T,
	c *http.Client,
	method, path string,
	form url.Values,
	header ...string,
) (int, string, http.Header) {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return answer.StatusCode, "", answer.Header
	}
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b), answer.Header
}

// estateWords stand in what one estate's terminals, incidents and people left, and nowhere in what is asked.
var estateWords = []string{"xq77", "Zwolle", "QX-9000", "geheim", "F7"}

// fill puts everything of an estate into the store; its documents hold the words if secret.
func fill(t *testing.T, h *house, estate, terminal string, secret bool) (diagnosis string, incident int64) {
	t.Helper()
	w := []string{"plain1", "plain2", "plain3", "plain4", "E5"}
	if secret {
		w = estateWords
	}
	a := sample.New(estate, terminal)
	d := a.Diagnosis(1, 2, w[4], "host.malfunction", "acquirer")
	d.Handoff = w[3]
	birth := a.Birth(1)
	birth.Labels = map[string]string{"site": w[1], "model": w[2]}
	doc := func(topic string, payload []byte) { put(t, h.db, topic, payload) }
	doc(a.At.Topic("status"), []byte(`{"state":"offline","reason":"will","boot_id":"b"}`))
	doc(a.Uncounted(report.KindBirth, birth))
	doc(a.Uncounted(report.KindHealth, a.Health()))
	doc(a.Wrap(report.KindDiagnosis, d))
	i := store.Incident{
		Estate:    estate,
		Scope:     "site",
		Key:       w[1],
		Cause:     "host.malfunction",
		Segment:   "acquirer",
		Code:      w[4],
		Opened:    t0,
		Seen:      t0,
		Terminals: 4,
		Of:        9,
		Peak:      5,
		Detail:    store.Detail{Kind: "surge", Place: map[string]string{"site": w[1]}},
	}
	if err := h.db.SaveIncident(t.Context(), &i); err != nil {
		t.Fatal(err)
	}
	if err := h.keeper.Note(t.Context(), access.User{Name: w[3], Source: "::1"}, "incident.acknowledge", estate, terminal, w[1]); err != nil {
		t.Fatal(err)
	}
	return d.ID, i.No
}

// paths makes addresses of a route that ask for an estate's things.
func paths(t *testing.T, pattern, estate, terminal, diagnosis string, incident int64) (method, path string) {
	t.Helper()
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		return "GET", pattern
	}
	path = regexp.MustCompile(`\{(\w*)[.$]*\}`).ReplaceAllStringFunc(path, func(p string) string {
		switch strings.Trim(p, "{}.$") {
		case "":
			return ""
		case "estate":
			return estate
		case "terminal":
			return terminal
		case "id", "diagnosis":
			return diagnosis
		case "no", "incident":
			return fmt.Sprint(incident)
		case "name":
			return "style.css"
		case "code":
			return "00"
		case "cause":
			return "host.malfunction"
		}
		t.Errorf("%s: teach this test what to ask for %s", pattern, p)
		return "x"
	})
	return method, path
}

// Who has one estate reads and changes nothing of another, whatever is asked: every route is walked, with every role,
// in both languages, by session and by token.
func TestNobodyReadsAnotherEstate(t *testing.T) {
	h := closed(t)
	fill(t, h, "shop", "t1", false)
	diagnosis, incident := fill(t, h, "mall", "xq77", true)
	type reader struct {
		name   string
		client *http.Client
		header []string
	}
	var readers []reader
	for _, r := range []access.Role{access.Viewer, access.Technician, access.Operator, access.Admin} {
		name := r.String() + "1"
		h.account(t, name, r, "shop")
		readers = append(readers, reader{name, h.browser(t, name), nil})
	}
	token, _, err := h.keeper.MakeToken(
		t.Context(),
		root,
		"script",
		access.Admin,
		access.Write,
		[]string{"shop"},
		time.Hour,
	)
	if err != nil {
		t.Fatal(err)
	}
	readers = append(readers, reader{"token", h.browser(t, ""), []string{"Authorization", "Bearer " + token}})
	h.account(t, "chief", access.Admin)
	chief := h.browser(t, "chief")

	before := snapshot(t, h)
	asked, seen := 0, map[string]bool{}
	for _, pattern := range h.site.routes {
		method, path := paths(t, pattern, "mall", "xq77", diagnosis, incident)
		if path == "/live" {
			continue // says only that something changed
		}
		for _, q := range []string{"", "lang=en", "lang=zh&estate=mall", "lang=en&estate=shop&estate=mall", "q=host&limit=500", "after=a/a&before=99-0-0-0", "estate=mall&terminal=t1", "format=csv", "format=json", "days=90"} {
			ask := path + "?" + q
			var form url.Values
			if method == "POST" {
				if path == "/login" || path == "/first" || path == "/logout" || path == "/account" || q != "" {
					continue
				}
				form = url.Values{
					"estate":   {"mall"},
					"terminal": {"xq77"},
					"name":     {"chief"},
					"do":       {"change"},
					"role":     {"viewer"},
					"no":       {"1"},
					"into":     {fmt.Sprint(incident)},
					"text": {
						"n",
					},
					"note":    {"n"},
					"owner":   {"x"},
					"what":    {"ping"},
					"command": {"ping"},
					"found":   {"host.malfunction"},
					"to":      {"/"},
				}
			}
			for _, r := range readers {
				status, body, head := h.send(t, r.client, method, ask, form, r.header...)
				asked++
				for _, w := range estateWords {
					if strings.Contains(body, w) && !strings.Contains(ask, w) || strings.Contains(fmt.Sprint(head), w) && w != "xq77" {
						t.Errorf("%s reads %q of another estate at %s %s (%d)", r.name, w, method, ask, status)
					}
				}
				if (strings.Contains(pattern, "{terminal}") || strings.Contains(pattern, "{no}")) && status < 400 {
					t.Errorf("%s: %s %s answers %d", r.name, method, ask, status)
				}
			}
			if method == "GET" && q == "lang=en" {
				if _, body, _ := h.send(t, chief, method, ask+"&limit=500", nil); strings.Contains(body, "Zwolle") ||
					strings.Contains(body, "F7") {
					seen[pattern] = true
				}
			}
		}
	}
	if after := snapshot(t, h); after != before {
		t.Errorf("something of another estate was changed:\n%s\nwas\n%s", after, before)
	}
	// The words are where they are looked for: who has all estates reads them.
	for _, pattern := range []string{"GET /api/v1/terminals/{estate}/{terminal}", "GET /api/v1/diagnoses", "GET /api/v1/incidents", "GET /terminal/{estate}/{terminal}", "GET /incidents", "GET /admin/audit"} {
		if !seen[pattern] {
			t.Errorf("the whole fleet's admin does not read the words at %s: the test looks for what is not there", pattern)
		}
	}
	t.Logf("%d routes, %d requests", len(h.site.routes), asked)
}

// snapshot is what an estate's people and terminals left, the audit log apart.
func snapshot(t *testing.T, h *house) string {
	t.Helper()
	incidents, err := h.db.FindIncidents(t.Context(), store.IncidentFilter{In: store.Estates{"mall"}})
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := h.db.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	term, err := h.db.Terminal(t.Context(), nil, report.Address{Estate: "mall", Terminal: "xq77"})
	if err != nil {
		t.Fatal(err)
	}
	s := fmt.Sprintf("%+v %+v", incidents, term)
	for _, a := range accounts {
		s += fmt.Sprintf("\n%s %s %v %v %s", a.Name, a.Role, a.Estates, a.Disabled, a.Password)
	}
	return s
}

// What each role could not do: every form is posted by each, and by a stranger, from here and from a foreign page.
func TestEveryFormKnowsItsRole(t *testing.T) {
	h := closed(t)
	diagnosis, incident := fill(t, h, "shop", "t1", false)
	// What each form needs; one that stands here for nobody needs a line.
	leastOf := func(path string) access.Role {
		for part, r := range map[string]access.Role{"/logout": access.Viewer, "/account": access.Viewer, "/views": access.Viewer, "/admin/": access.Admin,
			"/incident/": access.Operator, "/knowledge": access.Operator, "/ask": access.Technician, "/found": access.Technician} {
			if strings.HasPrefix(path, part) || strings.HasSuffix(path, part) {
				return r
			}
		}
		t.Errorf("%s: say here which role it needs", path)
		return access.Admin
	}
	roles := []access.Role{access.Nobody, access.Viewer, access.Technician, access.Operator}
	clients := map[access.Role]*http.Client{}
	for _, r := range roles {
		if r == access.Nobody {
			clients[r] = h.browser(t, "")
			continue
		}
		h.account(t, r.String(), r)
		clients[r] = h.browser(t, r.String())
	}
	h.account(t, "admin", access.Admin)
	admin := h.browser(t, "admin")
	read, _, err := h.keeper.MakeToken(t.Context(), root, "reader", access.Admin, access.Read, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[access.Role][]string{}
	for _, pattern := range h.site.routes {
		method, path := paths(t, pattern, "shop", "t1", diagnosis, incident)
		if method != "POST" || path == "/login" || path == "/first" || path == "/enroll" || path == "/renew" {
			continue
		}
		form := url.Values{"name": {"x"}}
		for _, r := range roles {
			if r >= leastOf(path) {
				continue // that is the role's own
			}
			status, _, head := h.send(t, clients[r], "POST", path, form)
			signIn := status == http.StatusSeeOther && strings.HasPrefix(head.Get("Location"), "/login")
			switch {
			case r == access.Nobody && !signIn, r > access.Nobody && status != http.StatusForbidden:
				t.Errorf("%s posts %s: %d", r, path, status)
			}
			if signIn || status == http.StatusForbidden {
				refused[r] = append(refused[r], path)
			}
		}
		if status, _, _ := h.send(t, admin, "POST", path, form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); status != http.StatusForbidden {
			t.Errorf("a foreign page posts %s in the admin's browser: %d", path, status)
		}
		if status, _, _ := h.send(t, admin, "POST", path, form, "Sec-Fetch-Site", "", "Origin", "https://evil.example"); status != http.StatusForbidden {
			t.Errorf("a foreign page posts %s in the admin's old browser: %d", path, status)
		}
		if status, _, _ := h.send(t, h.browser(t, ""), "POST", path, form, "Authorization", "Bearer "+read); status != http.StatusForbidden {
			t.Errorf("a token that reads posts %s: %d", path, status)
		}
	}
	for r, list := range refused {
		t.Logf("%s could not post %s", r, strings.Join(list, " "))
	}
}

// What a token made would outlive it, its owner and its revocation: no token, of whatever rights, makes or changes
// accounts or tokens, and those that an earlier release let one make let nobody in.
func TestTokensMakeNothingThatOutlivesThem(t *testing.T) {
	h := closed(t)
	h.account(t, "chief", access.Admin)
	token, made, err := h.keeper.MakeToken(t.Context(), root, "script", access.Admin, access.Write, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		form url.Values
	}{
		{"/admin/tokens", url.Values{"do": {"add"}, "name": {"x"}, "role": {"viewer"}, "scope": {"read"}, "days": {"9"}}},
		{"/admin/tokens", url.Values{"do": {"revoke"}, "no": {"1"}}},
		{"/admin/accounts", url.Values{"do": {"add"}, "name": {"x"}, "role": {"viewer"}, "password": {word}}},
		{"/admin/accounts", url.Values{"do": {"change"}, "name": {"chief"}, "role": {"admin"}, "password": {word + "!"}}},
	} {
		for lang, says := range map[string]string{"zh": "令牌不能更改", "en": "A token changes no"} {
			status, body, _ := h.send(t, h.browser(t, ""), "POST", c.path+"?lang="+lang, c.form, "Authorization", "Bearer "+token)
			if status != http.StatusForbidden || !strings.Contains(body, says) {
				t.Errorf("%s %v: %d, no %q", c.path, c.form, status, says)
			}
		}
	}
	tokens, err := h.db.Tokens(t.Context())
	if err != nil || len(tokens) != 1 || !tokens[0].Revoked.IsZero() {
		t.Errorf("%+v %v", tokens, err)
	}
	if list, err := h.db.Accounts(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	log, err := h.db.Audits(t.Context(), store.AuditFilter{What: "token.refused"})
	if err != nil || len(log) != 4 || !strings.Contains(log[0].Detail, "a token changes") {
		t.Errorf("%+v %v", log, err)
	}

	child := made
	child.Owner, child.Hash = fmt.Sprint("token:", made.No), fmt.Sprintf("%x", sha256.Sum256([]byte("posdx_child")))
	if _, err := h.db.AddToken(t.Context(), child); err != nil {
		t.Fatal(err)
	}
	status, _, _ := h.send(t, h.browser(t, ""), "GET", "/api/v1/whoami", nil, "Authorization", "Bearer posdx_child")
	if status != http.StatusUnauthorized {
		t.Errorf("a token's own token comes in: %d", status)
	}
}

// The audit of what was refused says on what it was to be done, and in which estate, whoever tried it and whyever it
// was refused.
func TestRefusalsNameTheirObject(t *testing.T) {
	h := closed(t)
	diagnosis, incident := fill(t, h, "mall", "xq77", true)
	var last Deed
	var why error
	h.site.Audit = func(_ context.Context, _ Viewer, d Deed, refused error) error {
		last, why = d, refused
		return nil
	}
	h.account(t, "ann", access.Viewer)
	h.account(t, "bob", access.Operator)
	h.account(t, "eve", access.Operator, "shop")
	clients := map[string]*http.Client{}
	for _, who := range []string{"ann", "bob", "eve"} {
		clients[who] = h.browser(t, who)
	}
	for _, pattern := range h.site.routes {
		method, path := paths(t, pattern, "mall", "xq77", diagnosis, incident)
		object := ""
		switch {
		case method != "POST":
			continue
		case strings.HasPrefix(path, "/incident/"):
			object = fmt.Sprint(incident)
		case strings.HasPrefix(path, "/diagnosis/"):
			object = diagnosis
		case !strings.HasPrefix(path, "/terminal/"):
			continue
		}
		for who, c := range clients {
			last, why = Deed{}, nil
			form, header := url.Values{"said": {"x"}, "found": {"nonsense"}}, []string{}
			if who == "bob" { // he may: a foreign page posts in his browser
				header = []string{"Sec-Fetch-Site", "cross-site"}
			}
			h.send(t, c, "POST", path, form, header...)
			if why == nil || last.Subject != object || last.At.Estate != "mall" {
				t.Errorf("%s posts %s: %v, %+v", who, path, why, last)
			}
		}
	}
}

// Strangers get nothing but the page to sign in.
func TestStrangersReadNothing(t *testing.T) {
	h := closed(t)
	diagnosis, incident := fill(t, h, "mall", "xq77", true)
	stolen := h.browser(t, "")
	jar := stolen.Jar
	u, _ := url.Parse(h.URL)
	for _, cookie := range []string{"", "x", strings.Repeat("A", 43), "' OR 1=1 --"} {
		if cookie != "" {
			jar.SetCookies(u, []*http.Cookie{{Name: "posdx", Value: cookie, Path: "/"}})
		}
		for _, pattern := range h.site.routes {
			method, path := paths(t, pattern, "mall", "xq77", diagnosis, incident)
			status, body, head := h.send(t, stolen, method, path, nil)
			for _, w := range estateWords {
				if strings.Contains(body, w) && !strings.Contains(path, w) {
					t.Errorf("%q reads %q at %s", cookie, w, path)
				}
			}
			page := status == http.StatusSeeOther && strings.HasPrefix(head.Get("Location"), "/login")
			if !public(path) && !page && status != http.StatusUnauthorized {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	for _, given := range []string{"", "x", "posdx_" + strings.Repeat("A", 43)} {
		if status, _, head := h.send(t, stolen, "GET", "/api/v1/summary", nil, "Authorization", "Bearer "+given); status != http.StatusUnauthorized ||
			head.Get("WWW-Authenticate") == "" {
			t.Errorf("token %q: %d", given, status)
		}
	}
}

// A browser signs in, is led back to where it wanted to go and nowhere else, and is forgotten when it signs out.
func TestSigningIn(t *testing.T) {
	h := closed(t)
	link, err := h.keeper.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := h.browser(t, "")
	if status, body, _ := h.send(t, c, "GET", "/first?lang=en&link=wrong", nil); status != 403 ||
		!strings.Contains(body, "used up") {
		t.Error(status, body)
	}
	if status, body, _ := h.send(t, c, "GET", "/first?lang=en&link="+link, nil); status != 200 ||
		!strings.Contains(body, "first account") {
		t.Error(status, body)
	}
	if status, body, _ := h.send(t, c, "POST", "/first", url.Values{"link": {link}, "name": {"ann"}, "password": {"short"}}); status != 403 ||
		!strings.Contains(body, link) {
		t.Error("the link is lost by a short password:", status)
	}
	if status, _, _ := h.send(t, c, "POST", "/first", url.Values{"link": {link}, "name": {"ann"}, "password": {word}}, "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Error("a foreign page made the first account")
	}
	if status, _, head := h.send(t, c, "POST", "/first", url.Values{"link": {link}, "name": {"ann"}, "password": {word}}); status != 303 ||
		!regexp.MustCompile(`^posdx=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax$`).MatchString(head.Get("Set-Cookie")) {
		t.Error(status, head)
	}
	if status, body, _ := h.send(t, c, "GET", "/account?lang=en", nil); status != 200 ||
		!strings.Contains(body, "ann · admin · all") {
		t.Error(status, body)
	}
	for _, path := range []string{"/admin/accounts", "/admin/tokens", "/admin/audit", "/"} {
		for _, lang := range []string{"zh", "en"} {
			if status, _, _ := h.send(t, c, "GET", path+"?lang="+lang, nil); status != 200 {
				t.Error(path, status)
			}
		}
	}
	if status, body, _ := h.send(t, c, "POST", "/admin/tokens?lang=en", url.Values{"do": {"add"}, "name": {"grafana"}, "role": {"viewer"}, "scope": {"metrics"}, "days": {"30"}}); status != 200 {
		t.Error(status, body)
	} else if m := regexp.MustCompile(`posdx_[\w-]{43}`).FindString(body); m == "" {
		t.Error("the token is not shown")
	} else {
		for path, want := range map[string]int{"/metrics": 200, "/api/v1/summary": 403, "/": 403} {
			if status, _, _ := h.send(t, h.browser(t, ""), "GET", path, nil, "Authorization", "Bearer "+m); status != want {
				t.Errorf("a token for metrics at %s: %d, want %d", path, status, want)
			}
		}
	}
	stolen := c.Jar.Cookies(mustURL(h.URL))
	if status, _, head := h.send(t, c, "POST", "/logout", url.Values{}); status != 303 ||
		!strings.Contains(head.Get("Set-Cookie"), "Max-Age=0") {
		t.Error(status, head)
	}
	c.Jar.SetCookies(mustURL(h.URL), stolen)
	if status, _, head := h.send(t, c, "GET", "/terminals?q=x", nil); status != 303 ||
		head.Get("Location") != "/login?to=%2Fterminals%3Fq%3Dx" {
		t.Error("the session lives on:", status, head)
	}
	for to, want := range map[string]string{"/terminals?q=x": "/terminals?q=x", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "/\r\nX: y": "/", "": "/"} {
		if _, _, head := h.send(t, c, "POST", "/login", url.Values{"name": {"ann"}, "password": {word}, "to": {to}}); head.Get(
			"Location",
		) != want {
			t.Errorf("%q leads to %q, want %q", to, head.Get("Location"), want)
		}
	}
	if status, body, _ := h.send(t, c, "POST", "/login?lang=en", url.Values{"name": {`"><script>alert(1)</script>`}, "password": {"x"}}); status != 403 ||
		strings.Contains(body, "<script>alert") {
		t.Error("a name becomes markup:", status)
	}
	for range 10 {
		h.send(t, c, "POST", "/login", url.Values{"name": {"ann"}, "password": {"wrong"}})
	}
	if status, _, head := h.send(t, c, "POST", "/login", url.Values{"name": {"ann"}, "password": {word}}); status != http.StatusTooManyRequests ||
		head.Get("Retry-After") == "" {
		t.Error("guessing goes on:", status)
	}
	log, err := h.db.Audits(t.Context(), store.AuditFilter{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, e := range log {
		count[e.What]++
		if e.Who == "" || e.Source == "" || e.At.IsZero() {
			t.Errorf("an entry says too little: %+v", e)
		}
	}
	for _, what := range []string{"account.add", "login", "login.refused", "logout", "token.add"} {
		if count[what] == 0 {
			t.Errorf("the audit log does not tell of %s: %v", what, count)
		}
	}
}

// The class of a code is said in the reader's language: every word of the code tables has its text.
func TestClassesOfCodesHaveTexts(t *testing.T) {
	k := codes.Builtin()
	tables := [][]codes.Meaning{k.Meanings}
	for _, p := range k.Profiles {
		tables = append(tables, p.Overrides)
	}
	n := 0
	for _, m := range slices.Concat(tables...) {
		if m.Class == "" {
			continue
		}
		n++
		if w := k.Word("class", m.Class); w.ZH == m.Class {
			t.Errorf("%s %s: no text for the class %q", m.Scheme, m.Code, m.Class)
		}
	}
	if n < 500 {
		t.Errorf("only %d codes have a class", n)
	}
	h := closed(t)
	h.account(t, "chief", access.Admin)
	c := h.browser(t, "chief")
	for lang, says := range map[string]string{"zh": `<span class="tag">失败，勿重试</span>`, "en": `<span class="tag">failed, do not retry</span>`} {
		if _, body, _ := h.send(t, c, "GET", "/code?code=96&lang="+lang, nil); !strings.Contains(body, says) {
			t.Errorf("%s: no %s", lang, says)
		}
	}
}

// What is wrong with a request is said in the reader's language, to programs in English.
func TestBadRequestsAreSaidInTheReadersLanguage(t *testing.T) {
	h := closed(t)
	diagnosis, incident := fill(t, h, "mall", "xq77", true)
	h.account(t, "chief", access.Admin)
	c := h.browser(t, "chief")
	what := regexp.MustCompile(`<p><code>(.*)</code></p>`)
	han := regexp.MustCompile(`\p{Han}`)
	seen := map[string]bool{}
	for _, pattern := range h.site.routes {
		method, path := paths(t, pattern, "mall", "xq77", diagnosis, incident)
		if strings.HasPrefix(path, "/admin/") && method == "POST" || path == "/live" || path == "/logout" {
			continue
		}
		asks := []string{"name=dance&found=x"}
		if method == "GET" {
			asks = strings.Fields("from=x range=x limit=x skip=x before=x sort=x state=x quiet=x within=x visit=x dim=x format=x by=x")
		}
		for _, ask := range asks {
			for _, lang := range []string{"zh", "en"} {
				var form url.Values
				address := path + "?lang=" + lang + "&" + ask
				if method == "POST" {
					form, address = mustURL("?"+ask).Query(), path+"?lang="+lang
				}
				status, body, _ := h.send(t, c, method, address, form)
				if status != http.StatusBadRequest {
					continue
				}
				m := what.FindStringSubmatch(body)
				switch {
				case strings.HasPrefix(path, "/api/"):
					if han.MatchString(body) != (lang == "zh") {
						t.Errorf("%s tells a program %s", address, body)
					}
				case m == nil:
					t.Errorf("%s %s does not say what is wrong", method, address)
				case han.MatchString(m[1]) != (lang == "zh"):
					t.Errorf("%s %s says %s", method, address, m[1])
				default:
					seen[m[1]] = true
				}
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d texts were seen: %v", len(seen), seen)
	}
}

// What is wrong is said in the reader's language: every word that access has for a problem has its text.
func TestProblemsAreSaidInTheReadersLanguage(t *testing.T) {
	files, err := filepath.Glob("../access/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`problem\("([a-z.]+)"`).FindAllStringSubmatch(string(b), -1) {
			found++
			if _, ok := texts["wrong."+m[1]]; !ok {
				t.Errorf("no text for the problem %q", m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d problems were found", found)
	}
	h := closed(t)
	h.account(t, "chief", access.Admin)
	c := h.browser(t, "chief")
	for lang, says := range map[string]string{"zh": "密码须为 12 至 256 个字符", "en": "A password has 12 to 256 characters"} {
		form := url.Values{"do": {"add"}, "name": {"bob"}, "role": {"viewer"}, "password": {"short"}}
		if status, body, _ := h.send(t, c, "POST", "/admin/accounts?lang="+lang, form); status != 400 || !strings.Contains(body, says) {
			t.Errorf("%s: %d, no %q", lang, status, says)
		}
	}
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
