package web

import (
	"errors"
	"net/http"

	"posdx/fleet/access"
)

// oidcCookie remembers a sign-in that is under way at the provider. It is sent when the provider sends the browser
// back, which is a navigation from another site: hence Lax.
const oidcCookie = "posdx-oidc"

func (s *Site) oidcBegin(w http.ResponseWriter, r *http.Request) {
	to, remember, err := s.OIDC.Begin(r.Context())
	if err != nil {
		s.Log.Error("cannot begin a sign-in", "error", err)
		s.showLogin(w, r, http.StatusBadGateway, loginView{To: "/", Wrong: s.page(r, "").T("login.provider")})
		return
	}
	http.SetCookie(
		w,
		&http.Cookie{
			Name:     oidcCookie,
			Value:    remember,
			Path:     "/oidc",
			MaxAge:   600,
			HttpOnly: true,
			Secure:   s.Secure,
			SameSite: http.SameSiteLaxMode,
		},
	)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Site) oidcBack(w http.ResponseWriter, r *http.Request) {
	c, err := r.Cookie(oidcCookie)
	if err != nil {
		c = &http.Cookie{}
	}
	http.SetCookie(
		w,
		&http.Cookie{
			Name:     oidcCookie,
			Path:     "/oidc",
			MaxAge:   -1,
			HttpOnly: true,
			Secure:   s.Secure,
			SameSite: http.SameSiteLaxMode,
		},
	)
	q := r.URL.Query()
	secret, err := s.OIDC.Back(r.Context(), c.Value, q.Get("state"), q.Get("code"), s.from(r))
	switch {
	case errors.Is(err, access.ErrDenied):
		s.Log.Warn("a sign-in was refused", "error", err)
		s.showLogin(w, r, http.StatusForbidden, loginView{To: "/", Wrong: s.page(r, "").T("login.denied")})
	case err != nil:
		s.fail(w, r, err)
	default:
		s.setSession(w, secret)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}
