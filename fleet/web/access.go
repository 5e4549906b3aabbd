package web

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"posdx/fleet/access"
	"posdx/fleet/api"
	"posdx/fleet/store"
)

// Site.Access decides who may sign in. A site without it is open: everybody who reaches it has the role Open, and it
// answers only to localhost and to addresses as its host name, so that a foreign page cannot read it through the
// operator's browser.

// Public paths are for everybody: to sign in, and for machines that watch this one.
func public(path string) bool {
	return path == "/login" || path == "/first" || path == "/oidc" || path == "/oidc/back" || path == "/healthz" || path == "/readyz" ||
		path == "/enroll" || path == "/renew" || path == "/authority.pem" || path == "/crl.pem" ||
		strings.HasPrefix(path, "/static/")
}

var (
	errSignIn = errors.New("sign in first, or show a token: Authorization: Bearer TOKEN")
	errScope  = errors.New("the token's scope does not reach this")
)

// cookieName keeps other hosts of the same domain from setting it, where https allows.
func (s *Site) cookieName() string {
	if s.Secure {
		return "__Host-posdx"
	}
	return "posdx"
}

func (s *Site) setSession(w http.ResponseWriter, secret string) {
	c := &http.Cookie{
		Name:     s.cookieName(),
		Value:    secret,
		Path:     "/",
		HttpOnly: true,
		Secure:   s.Secure,
		SameSite: http.SameSiteLaxMode,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// from is the address that someone asks from.
func (s *Site) from(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if s.Proxied {
		// The last one is what the proxy saw itself; those before are hearsay.
		list := r.Header.Values("X-Forwarded-For")
		if len(list) == 0 {
			return host
		}
		last := list[len(list)-1]
		last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		a, err := netip.ParseAddr(host)
		if _, told := netip.ParseAddr(last); err == nil && a.IsLoopback() && told == nil {
			return last
		}
	}
	return host
}

// identify says who asks, or why nobody may.
func (s *Site) identify(w http.ResponseWriter, r *http.Request) (access.User, error) {
	if s.Access == nil {
		return access.User{Name: "local", Role: access.Role(s.Open), Source: s.from(r)}, nil
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		u, err := s.Access.Token(r.Context(), given, s.from(r))
		if err != nil {
			return access.User{}, err
		}
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if u.Scope == access.Metrics && r.URL.Path != "/metrics" || u.Scope == access.Read && !reads {
			return access.User{}, errScope
		}
		return u, nil
	}
	c, err := r.Cookie(s.cookieName())
	if err != nil {
		return access.User{}, errSignIn
	}
	// A secret is changed only where a page is loaded: of what a script fetches the answer may be thrown away.
	page := r.Method == http.MethodGet && cmp.Or(r.Header.Get("Sec-Fetch-Mode"), "navigate") == "navigate" &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
	u, next, err := s.Access.Session(r.Context(), c.Value, s.from(r), page)
	if errors.Is(err, access.ErrExpired) {
		s.setSession(w, "")
	}
	if next != "" {
		s.setSession(w, next)
	}
	return u, err
}

// admit lets a request on with its viewer, or answers why not.
func (s *Site) admit(next http.Handler, w http.ResponseWriter, r *http.Request) {
	u, err := s.identify(w, r)
	if p := r.URL.Path; p != "/healthz" && p != "/readyz" { // whoever shares an address with a balancer cannot shut the site
		if bad := s.buckets.ask(s.Rate, s.reader(r, u), time.Now()); bad != nil {
			err = bad
		}
	}
	var wait tooMuch
	switch {
	case errors.As(err, &wait):
		s.tooMany(w, r, wait)
	case err == nil, public(r.URL.Path):
		v := Viewer{Name: u.Name, Role: Role(u.Role), Estates: u.Estates, user: u}
		if u.Role == access.Nobody {
			v.Estates = store.Estates{}
		}
		next.ServeHTTP(w, r.WithContext(WithViewer(r.Context(), v)))
	case errors.Is(err, errScope):
		s.fail(w, r, err)
	case errors.Is(err, errSignIn), errors.Is(err, access.ErrExpired), errors.Is(err, access.ErrToken):
		if wantsPage(r) {
			to := "/login"
			if r.Method == http.MethodGet && r.URL.Path != "/" {
				to += "?to=" + url.QueryEscape(r.URL.RequestURI())
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="posdx"`)
		s.failJSON(w, http.StatusUnauthorized, err.Error())
	default:
		s.fail(w, r, err)
	}
}

func wantsPage(r *http.Request) bool {
	p := r.URL.Path
	return !strings.HasPrefix(p, "/api/") && p != "/metrics" && p != "/live" && r.Header.Get("Authorization") == ""
}

// whole tells whether a viewer may see what is of the whole fleet.
func (v Viewer) whole() bool { return v.May(RoleViewer) && v.Estates == nil }

// local is a path of this site that a form may lead on to.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") ||
		strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return to
}

// accessRoutes are the pages to sign in and to say who may.
func (s *Site) accessRoutes(m *mux) {
	m.HandleFunc("GET /login", s.loginPage)
	m.HandleFunc("POST /login", s.login)
	m.HandleFunc("POST /logout", s.admin("logout", RoleViewer, s.logout))
	m.HandleFunc("GET /first", s.firstPage)
	m.HandleFunc("POST /first", s.first)
	m.HandleFunc("GET /account", s.accountPage)
	m.HandleFunc("POST /account", s.admin("account.password", RoleViewer, s.changePassword))
	m.HandleFunc("GET /admin/accounts", s.asAdmin(s.accountsPage))
	m.HandleFunc("POST /admin/accounts", s.admin("account", RoleAdmin, s.changeAccounts))
	m.HandleFunc("GET /admin/tokens", s.asAdmin(s.tokensPage))
	m.HandleFunc("POST /admin/tokens", s.admin("token", RoleAdmin, s.changeTokens))
	m.HandleFunc("GET /admin/audit", s.asAdmin(s.auditPage))
	m.HandleFunc("GET /api/v1/audit", s.asAdmin(s.apiAudit))
	m.HandleFunc("GET /api/v1/whoami", s.apiWhoami)
	m.HandleFunc("GET /api/v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(api.OpenAPI())
	})
	if s.Enroll != nil {
		m.HandleFunc("POST /enroll", s.enroll)
		m.HandleFunc("POST /renew", s.renew)
		m.HandleFunc("GET /authority.pem", func(w http.ResponseWriter, _ *http.Request) { pemFile(w, s.Enroll.Bundle()) })
		m.HandleFunc("GET /crl.pem", func(w http.ResponseWriter, _ *http.Request) { pemFile(w, s.Enroll.CRL()) })
	}
	if s.OIDC != nil {
		m.HandleFunc("GET /oidc", s.oidcBegin)
		m.HandleFunc("GET /oidc/back", s.oidcBack)
	}
}

// asAdmin is a page for admins.
func (s *Site) asAdmin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Access == nil {
			s.fail(w, r, store.ErrNone)
			return
		}
		if !viewer(r).May(RoleAdmin) {
			s.fail(w, r, errRole)
			return
		}
		next(w, r)
	}
}

// admin is the door for forms of this file: what they do access itself notes, what was refused here.
func (s *Site) admin(
	name string,
	least Role,
	do func(w http.ResponseWriter, r *http.Request, u access.User) error,
) http.HandlerFunc {
	foreign := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Access == nil {
			s.fail(w, r, store.ErrNone)
			return
		}
		v := viewer(r)
		var err error
		switch {
		case foreign.Check(r) != nil:
			err = errForeign
		case !v.May(least):
			err = errRole
		}
		if err != nil {
			err = errors.Join(err, s.refused(r, v, name, err))
		} else {
			r.Body = http.MaxBytesReader(w, r.Body, maxAdminForm)
			err = do(w, r, v.user)
			if errors.Is(err, access.ErrByToken) {
				err = errors.Join(err, s.refused(r, v, name, access.ErrByToken))
			}
		}
		if err != nil {
			s.fail(w, r, err)
		}
	}
}

// refused notes that a form of access was, in the estates of who posted it.
func (s *Site) refused(r *http.Request, v Viewer, name string, why error) error {
	return s.Access.NoteOn(r.Context(), v.user, name+".refused", v.Estates, "",
		func(string) string { return why.Error() })
}

// maxAdminForm bounds a form of names and passwords.
const maxAdminForm = 64 << 10

type loginView struct {
	*page
	To, Wrong, First, Name string
	OIDC                   string // the provider's name
}

func (s *Site) showLogin(w http.ResponseWriter, r *http.Request, status int, v loginView) {
	v.page = s.page(r, "login")
	if s.OIDC != nil {
		v.OIDC = s.OIDC.Name
	}
	s.render(w, r, status, "login", v)
}

func (s *Site) loginPage(w http.ResponseWriter, r *http.Request) {
	if s.Access == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.showLogin(w, r, http.StatusOK, loginView{To: local(r.URL.Query().Get("to"))})
}

// errWord is the text that a person reads for an error of access, in its language.
func errWord(p *page, err error) string {
	var wait access.Wait
	switch {
	case errors.As(err, &wait):
		return p.T("login.wait")
	case errors.Is(err, access.ErrDenied):
		return p.T("login.wrong")
	case errors.Is(err, access.ErrLink):
		return p.T("first.old")
	case errors.Is(err, errForeign):
		return p.T("error.403")
	}
	var what *access.Problem
	var bad badRequest
	switch {
	case errors.As(err, &bad):
		return bad.In(p.Lang)
	case errors.As(err, &what) && what.About != "":
		return p.T("wrong", what.Word) + " (" + what.About + ")"
	case errors.As(err, &what):
		return p.T("wrong", what.Word)
	case errors.Is(err, store.ErrTaken):
		return p.T("wrong", "taken")
	case errors.Is(err, store.ErrNone):
		return p.T("wrong", "none")
	}
	return err.Error()
}

func (s *Site) login(w http.ResponseWriter, r *http.Request) {
	if s.Access == nil {
		s.fail(w, r, store.ErrNone)
		return
	}
	// A foreign page that signs its victim in as somebody else would see what the victim then writes.
	if http.NewCrossOriginProtection().Check(r) != nil {
		s.fail(w, r, errForeign)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAdminForm)
	name, to := strings.TrimSpace(r.PostFormValue("name")), local(r.PostFormValue("to"))
	secret, err := s.Access.Login(r.Context(), name, r.PostFormValue("password"), s.from(r))
	var wait access.Wait
	switch {
	case errors.As(err, &wait):
		w.Header().Set("Retry-After", strconv.Itoa(int(time.Duration(wait).Seconds())+1))
		s.showLogin(w, r, http.StatusTooManyRequests, loginView{To: to, Name: name, Wrong: errWord(s.page(r, ""), err)})
	case errors.Is(err, access.ErrDenied):
		s.showLogin(w, r, http.StatusForbidden, loginView{To: to, Name: name, Wrong: errWord(s.page(r, ""), err)})
	case err != nil:
		s.fail(w, r, err)
	default:
		s.setSession(w, secret)
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

func (s *Site) logout(w http.ResponseWriter, r *http.Request, u access.User) error {
	if err := s.Access.Logout(r.Context(), u); err != nil {
		return err
	}
	s.setSession(w, "")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

func (s *Site) firstPage(w http.ResponseWriter, r *http.Request) {
	link := r.URL.Query().Get("link")
	if s.Access == nil || !s.Access.FirstValid(link) {
		s.showLogin(w, r, http.StatusForbidden, loginView{To: "/", Wrong: s.page(r, "").T("first.old")})
		return
	}
	s.showLogin(w, r, http.StatusOK, loginView{To: "/", First: link})
}

func (s *Site) first(w http.ResponseWriter, r *http.Request) {
	if s.Access == nil || http.NewCrossOriginProtection().Check(r) != nil {
		s.fail(w, r, errForeign)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAdminForm)
	link, name, password := r.PostFormValue(
		"link",
	), strings.TrimSpace(
		r.PostFormValue("name"),
	), r.PostFormValue(
		"password",
	)
	err := s.Access.MakeFirst(r.Context(), link, name, password, s.from(r))
	if err != nil {
		if errors.Is(err, access.ErrLink) {
			link = ""
		}
		s.showLogin(
			w,
			r,
			http.StatusForbidden,
			loginView{To: "/", First: link, Name: name, Wrong: errWord(s.page(r, ""), err)},
		)
		return
	}
	secret, err := s.Access.Login(r.Context(), name, password, s.from(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.setSession(w, secret)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

type adminView struct {
	*page
	Me       Viewer
	Accounts []store.Account
	Tokens   []store.Token
	Audit    []store.AuditEntry
	Roles    []string
	Now      time.Time
	Secret   string // of a token just made, shown this once
	Wrong    string
	Who      string
	What     string
	Older    string
}

func (s *Site) accountPage(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "account", adminView{page: s.page(r, "account"), Me: viewer(r)})
}

func (s *Site) changePassword(w http.ResponseWriter, r *http.Request, u access.User) error {
	if err := s.Access.ChangePassword(r.Context(), u, r.PostFormValue("old"), r.PostFormValue("password")); err != nil {
		p := s.page(r, "account")
		s.render(w, r, http.StatusForbidden, "account", adminView{page: p, Me: viewer(r), Wrong: errWord(p, err)})
		return nil
	}
	s.setSession(w, "")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

func (s *Site) accountsPage(w http.ResponseWriter, r *http.Request) {
	s.showAccounts(w, r, http.StatusOK, "")
}

func (s *Site) showAccounts(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	v := adminView{page: s.page(r, "accounts"), Me: viewer(r), Roles: access.Roles(), Wrong: wrong}
	list, err := s.Source.Accounts(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, a := range list {
		if v.Me.covers(a.Estates) {
			v.Accounts = append(v.Accounts, a)
		}
	}
	s.render(w, r, status, "accounts", v)
}

// covers tells whether a viewer sees all of these estates: whose rights go beyond its own it does not see.
func (v Viewer) covers(list store.Estates) bool {
	if v.Estates == nil {
		return true
	}
	for _, e := range list {
		if !v.Estates.Has(e) {
			return false
		}
	}
	return list != nil
}

// estatesOf reads a form's estates, parted by spaces or commas; none at all means all.
func estatesOf(text string) store.Estates {
	list := strings.FieldsFunc(text, func(r rune) bool {
		return r == ' ' || r == ',' || r == '，' || r == '、' || r == '\n' || r == '\r' || r == '\t'
	})
	if len(list) == 0 {
		return nil
	}
	return list
}

func (s *Site) changeAccounts(w http.ResponseWriter, r *http.Request, u access.User) error {
	name, password := strings.TrimSpace(r.PostFormValue("name")), r.PostFormValue("password")
	role, estates, subject := r.PostFormValue(
		"role",
	), estatesOf(
		r.PostFormValue("estates"),
	), strings.TrimSpace(
		r.PostFormValue("subject"),
	)
	var err error
	switch r.PostFormValue("do") {
	case "add":
		err = s.Access.AddAccount(
			r.Context(),
			u,
			store.Account{Name: name, Role: role, Estates: estates, Subject: subject},
			password,
		)
	case "change":
		err = s.Access.ChangeAccount(r.Context(), u, name, func(a *store.Account) {
			a.Role, a.Estates, a.Disabled = role, estates, r.PostFormValue("disabled") != ""
		}, password)
	default:
		err = refuse("do：须为 add 或 change", "do: want add or change")
	}
	if errors.Is(err, access.ErrByToken) {
		return err
	}
	if err != nil {
		s.showAccounts(w, r, http.StatusBadRequest, errWord(s.page(r, ""), err))
		return nil
	}
	http.Redirect(w, r, "/admin/accounts", http.StatusSeeOther)
	return nil
}

func (s *Site) tokensPage(w http.ResponseWriter, r *http.Request) {
	s.showTokens(w, r, http.StatusOK, "", "")
}

func (s *Site) showTokens(w http.ResponseWriter, r *http.Request, status int, secret, wrong string) {
	v := adminView{
		page:   s.page(r, "tokens"),
		Me:     viewer(r),
		Roles:  access.Roles(),
		Now:    time.Now(),
		Secret: secret,
		Wrong:  wrong,
	}
	list, err := s.Source.Tokens(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, t := range list {
		if v.Me.user.Reaches(t) {
			v.Tokens = append(v.Tokens, t)
		}
	}
	s.render(w, r, status, "tokens", v)
}

func (s *Site) changeTokens(w http.ResponseWriter, r *http.Request, u access.User) error {
	if r.PostFormValue("do") == "revoke" {
		no, err := strconv.ParseInt(r.PostFormValue("no"), 10, 64)
		if err == nil {
			err = s.Access.Revoke(r.Context(), u, no)
		}
		if errors.Is(err, access.ErrByToken) {
			return err
		}
		if err != nil {
			s.showTokens(w, r, http.StatusBadRequest, "", errWord(s.page(r, ""), err))
			return nil
		}
		http.Redirect(w, r, "/admin/tokens", http.StatusSeeOther)
		return nil
	}
	role, err := access.ParseRole(r.PostFormValue("role"))
	scope, err2 := access.ParseScope(r.PostFormValue("scope"))
	days, err3 := strconv.Atoi(r.PostFormValue("days"))
	if err3 != nil || days < 1 || days > 366 {
		err3 = &access.Problem{Word: "token.life"}
	}
	secret := ""
	if err = errors.Join(err, err2, err3); err == nil {
		secret, _, err = s.Access.MakeToken(
			r.Context(),
			u,
			strings.TrimSpace(r.PostFormValue("name")),
			role,
			scope,
			estatesOf(r.PostFormValue("estates")),
			time.Duration(days)*24*time.Hour,
		)
	}
	if errors.Is(err, access.ErrByToken) {
		return err
	}
	if err != nil {
		s.showTokens(w, r, http.StatusBadRequest, "", errWord(s.page(r, ""), err))
		return nil
	}
	s.showTokens(w, r, http.StatusOK, secret, "")
	return nil
}

func (s *Site) audits(r *http.Request) (store.AuditFilter, []store.AuditEntry, error) {
	q := r.URL.Query()
	f := store.AuditFilter{In: viewer(r).Estates, Who: q.Get("who"), What: q.Get("what")}
	at, err := spanOf(q, time.Now())
	if err != nil {
		return f, nil, err
	}
	f.Since, f.Until = at.From, at.To
	if f.Limit, err = limit(r); err != nil {
		return f, nil, err
	}
	if b := q.Get("before"); b != "" {
		if f.Before, err = strconv.ParseInt(b, 10, 64); err != nil {
			return f, nil, refuse("before：须为一条记录的编号", "before: want the number of an entry")
		}
	}
	list, err := s.Source.Audits(r.Context(), f)
	return f, list, err
}

var auditHead = []string{"no", "at", "who", "source", "what", "estate", "object", "detail", "sum"}

// allAudits reads the log on from the entries that are there, in pieces.
func (s *Site) allAudits(r *http.Request, f store.AuditFilter, list []store.AuditEntry) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for len(list) > 0 {
			for _, e := range list {
				if !yield(record{[]string{fmt.Sprint(e.No), iso(e.At), e.Who, e.Source, e.What, e.Estate, e.Object, e.Detail,
					e.Sum}, e}, nil) {
					return
				}
			}
			f.Before = list[len(list)-1].No
			var err error
			if list, err = s.Source.Audits(r.Context(), f); err != nil {
				yield(record{}, err)
				return
			}
		}
	}
}

func (s *Site) auditPage(w http.ResponseWriter, r *http.Request) {
	f, list, err := s.audits(r)
	form, bad := format(r)
	if err = cmp.Or(err, bad); err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "audit", form, auditHead, s.allAudits(r, f, list))
		return
	}
	v := adminView{page: s.page(r, "audit"), Me: viewer(r), Audit: list, Who: f.Who, What: f.What}
	if n := len(list); n > 0 && list[n-1].No > 1 {
		v.Older = v.With("before", strconv.FormatInt(list[n-1].No, 10))
	}
	s.render(w, r, http.StatusOK, "audit", v)
}

func (s *Site) apiAudit(w http.ResponseWriter, r *http.Request) {
	_, list, err := s.audits(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, struct {
		Audit []store.AuditEntry `json:"audit"`
	}{list})
}

// apiWhoami tells a program what its token is good for.
func (s *Site) apiWhoami(w http.ResponseWriter, r *http.Request) {
	v := viewer(r)
	s.json(w, struct {
		Name    string        `json:"name"`
		Role    string        `json:"role"`
		Estates store.Estates `json:"estates"` // null: all
		Scope   access.Scope  `json:"scope,omitempty"`
	}{v.Name, access.Role(v.Role).String(), v.Estates, v.user.Scope})
}

// refusedEnd ends the word of what was tried and refused.
const refusedEnd = ".refused"

// Did says what an entry of the audit log is about, in the reader's language; a word of a newer release is shown as it
// is.
func (p *page) Did(what string) string {
	if t, ok := texts["did."+strings.TrimSuffix(what, refusedEnd)]; ok {
		return t.In(p.Lang)
	}
	return what
}

// Refused tells whether an entry is of something that was refused.
func (p *page) Refused(what string) bool { return strings.HasSuffix(what, refusedEnd) }

// RoleName is the role's word.
func (v Viewer) RoleName() string { return access.Role(v.Role).String() }

// MayAdmin tells whether the pages for admins are for this viewer.
func (v Viewer) MayAdmin() bool { return v.May(RoleAdmin) }

// EstatesOf names the estates that someone sees.
func (p *page) EstatesOf(list store.Estates) string {
	switch {
	case list == nil:
		return p.T("account.all")
	case len(list) == 0:
		return p.T("account.none")
	}
	return strings.Join(list, " ")
}

// Signed reports whether the viewer has signed in.
func (v Viewer) Signed() bool { return v.user.Session != "" }
