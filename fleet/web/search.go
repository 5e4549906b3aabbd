package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/store"
)

// maxHits bounds what a search shows of each kind.
const maxHits = 12

// search finds a terminal, a code, a cause, a site or another place. If only one thing can be meant it leads there at
// once.
func (s *Site) search(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "search")
	q := strings.TrimSpace(p.Param("q"))
	v := struct {
		*page
		Q         string
		Terminals []store.Terminal
		Codes     []codes.Meaning
		Causes    []codes.Cause
		Places    []store.Value
		None      bool
	}{page: p, Q: q}
	form, err := format(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form == "" && (q == "" || len(q) > 200) {
		s.render(w, r, http.StatusOK, "search", v)
		return
	}
	ctx, in := r.Context(), of(p.Viewer, p.Param("estate"))
	if estate, terminal, ok := strings.Cut(q, "/"); ok {
		if t, err := s.Source.Terminal(ctx, in, report.Address{Estate: estate, Terminal: terminal}); err == nil && form == "" {
			http.Redirect(w, r, "/terminal/"+t.Estate+"/"+t.Terminal, http.StatusSeeOther)
			return
		}
	}
	if v.Terminals, err = s.Source.Terminals(ctx, store.TerminalFilter{In: in, Text: q, Limit: maxHits}); err != nil {
		s.fail(w, r, err)
		return
	}
	for _, d := range []string{"site", "region", "model", "carrier", "acquirer", "application", "firmware", "agent"} {
		list, err := s.Source.Values(ctx, in, d, q, p.Now.Add(-24*time.Hour), maxHits)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		v.Places = append(v.Places, list...)
	}
	low := strings.ToLower(q)
	for _, sc := range s.Knowledge.Schemes {
		if m, ok := s.Knowledge.Lookup(sc.Name, q); ok && len(v.Codes) < maxHits {
			v.Codes = append(v.Codes, m)
		}
	}
	for _, c := range s.Knowledge.Causes {
		if len(v.Causes) < maxHits && (strings.Contains(c.ID, low) || strings.Contains(c.Title.ZH, q) ||
			strings.Contains(strings.ToLower(c.Title.EN), low)) {
			v.Causes = append(v.Causes, c)
		}
	}
	if form != "" {
		t := newSheet("kind", "estate", "scheme", "id", "state", "terminals")
		for _, x := range v.Terminals {
			t.add("terminal", x.Estate, nil, x.Terminal, x.State, nil)
		}
		for _, x := range v.Places {
			t.add(x.Dim, x.Estate, nil, x.Value, nil, x.Terminals)
		}
		for _, x := range v.Codes {
			t.add("code", nil, x.Scheme, q, nil, nil)
		}
		for _, x := range v.Causes {
			t.add("cause", nil, nil, x.ID, nil, nil)
		}
		s.file(w, r, "search", form, t)
		return
	}
	exact := ""
	for _, t := range v.Terminals {
		if strings.EqualFold(t.Terminal, q) {
			exact = "/terminal/" + t.Estate + "/" + t.Terminal
		}
	}
	switch hits := len(v.Terminals) + len(v.Codes) + len(v.Causes) + len(v.Places); {
	case exact != "" && len(v.Codes)+len(v.Causes)+len(v.Places) == 0:
	case hits == 1 && len(v.Terminals) == 1:
		exact = "/terminal/" + v.Terminals[0].Estate + "/" + v.Terminals[0].Terminal
	case hits == 1 && len(v.Places) == 1:
		exact = "/terminals?" + url.Values{v.Places[0].Dim: {v.Places[0].Value}, "estate": {v.Places[0].Estate}}.Encode()
	case hits == 1 && len(v.Causes) == 1:
		exact = "/cause/" + v.Causes[0].ID
	case len(v.Codes) > 0 && len(v.Codes) == hits:
		exact = p.Link("/code", "code", q)
	default:
		exact = ""
		v.None = hits == 0
	}
	if exact != "" {
		http.Redirect(w, r, exact, http.StatusSeeOther)
		return
	}
	s.render(w, r, http.StatusOK, "search", v)
}

// viewable are the pages that can be saved with their filters.
var viewable = []string{"/", "/incidents", "/expiry", "/work", "/diagnoses", "/terminals", "/versions", "/codes", "/causes", "/outcomes", "/rejected"}

// saveView is the form that keeps a page with its filters.
func (s *Site) saveView(r *http.Request, v Viewer) (Deed, string, error) {
	name, err := said(r, "name", maxName)
	if err != nil {
		return Deed{}, "", err
	}
	u, err := url.Parse(r.PostFormValue("path"))
	if err != nil || u.IsAbs() || u.Host != "" || !slices.Contains(viewable, u.Path) || len(u.String()) > 2000 {
		return Deed{}, "", refuse("path：须为本站的列表", "path: want one of this site's lists")
	}
	q := u.Query()
	for _, k := range passing {
		q.Del(k)
	}
	to := u.Path
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	if name == "" {
		return Deed{}, "", refuse("name：请为视图命名", "name: give the view a name")
	}
	err = s.Source.SaveView(r.Context(), store.View{Who: v.Name, Name: name, Path: to, Made: time.Now()})
	if err == store.ErrTooMany {
		err = refuse("您已有 50 个视图，请先删除一个", "you have 50 views; drop one first")
	}
	return Deed{Subject: name, Detail: to}, to, err
}

// dropView is the form that forgets one.
func (s *Site) dropView(r *http.Request, v Viewer) (Deed, string, error) {
	var no int64
	if _, err := fmt.Sscan(r.PostFormValue("no"), &no); err != nil {
		return Deed{}, "", refuse("no：须为视图的编号", "no: want the number of a view")
	}
	to := "/"
	if u, err := url.Parse(r.PostFormValue("path")); err == nil && !u.IsAbs() && u.Host == "" &&
		slices.Contains(viewable, u.Path) {
		to = u.String()
	}
	return Deed{Subject: fmt.Sprint(no)}, to, s.Source.DropView(r.Context(), v.Name, no)
}
