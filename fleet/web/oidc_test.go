package web

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"posdx/fleet/access"
	"posdx/fleet/store"
)

// A provider is an OpenID provider that says of everybody what a test wants.
type provider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims map[string]any // over what is right
	asked  url.Values
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	m := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	m.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(
			w,
			map[string]any{
				"issuer":                                p.URL,
				"authorization_endpoint":                p.URL + "/auth",
				"token_endpoint":                        p.URL + "/token",
				"jwks_uri":                              p.URL + "/keys",
				"id_token_signing_alg_values_supported": []string{"RS256"},
			},
		)
	})
	m.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(
			w,
			jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}},
		)
	})
	m.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if base64.RawURLEncoding.EncodeToString(sum[:]) != p.asked.Get("code_challenge") || r.FormValue("code") != "good" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		claims := map[string]any{
			"iss":                p.URL,
			"sub":                "u1",
			"aud":                "fleet",
			"exp":                time.Now().Add(time.Hour).Unix(),
			"iat":                time.Now().Unix(),
			"nonce":              p.asked.Get("nonce"),
			"preferred_username": "ann",
		}
		for k, v := range p.claims {
			claims[k] = v
		}
		signer, err := jose.NewSigner(
			jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: "1"}},
			nil,
		)
		if err != nil {
			t.Error(err)
			return
		}
		b, _ := json.Marshal(claims)
		signed, err := signer.Sign(b)
		if err != nil {
			t.Error(err)
			return
		}
		raw, _ := signed.CompactSerialize()
		answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": raw})
	})
	p.Server = httptest.NewServer(m)
	t.Cleanup(p.Close)
	return p
}

func TestSigningInAtAProvider(t *testing.T) {
	ours := map[string]any{
		"groups": []string{"staff", "posdx:viewer", "posdx:operator:shop", "posdx:operator:mall", "posdx:god"},
	}
	for name, c := range map[string]struct {
		claims map[string]any
		spoil  func(p *provider, back url.Values)
		in     bool
	}{
		"granted":          {ours, nil, true},
		"nothing granted":  {map[string]any{"groups": []string{"staff", "posdx:god", "admin"}}, nil, false},
		"another nonce":    {map[string]any{"groups": ours["groups"], "nonce": "x"}, nil, false},
		"another audience": {map[string]any{"groups": ours["groups"], "aud": "other"}, nil, false},
		"another issuer":   {map[string]any{"groups": ours["groups"], "iss": "https://evil.example"}, nil, false},
		"expired":          {map[string]any{"groups": ours["groups"], "exp": time.Now().Add(-time.Hour).Unix()}, nil, false},
		"another state":    {ours, func(_ *provider, back url.Values) { back.Set("state", "x") }, false},
		"no state":         {ours, func(_ *provider, back url.Values) { back.Del("state") }, false},
		"another code":     {ours, func(_ *provider, back url.Values) { back.Set("code", "bad") }, false},
		"another key": {ours, func(p *provider, _ url.Values) {
			p.key, _ = rsa.GenerateKey(rand.Reader, 2048)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, p := closed(t), newProvider(t)
			h.account(t, "ann", access.Admin) // a name that is taken stays its owner's
			o, err := access.NewOIDC(
				access.OIDCConfig{
					Issuer:    p.URL,
					ClientID:  "fleet",
					Secret:    "s",
					Redirect:  h.URL + "/oidc/back",
					Name:      "Corp",
					RoleClaim: "groups",
				},
				h.keeper,
			)
			if err != nil {
				t.Fatal(err)
			}
			h.site.OIDC = o
			handler, err := h.site.Handler()
			if err != nil {
				t.Fatal(err)
			}
			h.Config.Handler = handler
			b := h.browser(t, "")
			if _, body, _ := h.send(t, b, "GET", "/login?lang=en", nil); !strings.Contains(body, "Sign in with Corp") {
				t.Error("the page does not offer it")
			}
			_, _, head := h.send(t, b, "GET", "/oidc", nil)
			to, err := url.Parse(head.Get("Location"))
			if err != nil || !strings.HasPrefix(to.String(), p.URL+"/auth?") {
				t.Fatal(head, err)
			}
			p.asked, p.claims = to.Query(), c.claims
			back := url.Values{"state": {p.asked.Get("state")}, "code": {"good"}}
			if c.spoil != nil {
				c.spoil(p, back)
			}
			status, _, _ := h.send(t, b, "GET", "/oidc/back?"+back.Encode(), nil, "Sec-Fetch-Site", "cross-site")
			if (status == http.StatusSeeOther) != c.in {
				t.Error(status)
			}
			status, body, _ := h.send(t, b, "GET", "/api/v1/whoami", nil)
			if !c.in {
				if status != http.StatusUnauthorized {
					t.Error("let in:", body)
				}
				return
			}
			if !strings.Contains(body, `"role": "operator"`) || !strings.Contains(body, "shop") ||
				strings.Contains(body, `"ann"`) ||
				strings.Contains(body, "null") {
				t.Error(body)
			}
			if s, _, _ := h.send(t, h.browser(t, ""), "GET", "/oidc/back?"+back.Encode(), nil); s != http.StatusForbidden {
				t.Error("a way back that was not begun in this browser:", s)
			}
			// The provider takes the role away: the next sign-in is refused.
			list, _ := h.db.Accounts(t.Context())
			for _, a := range list {
				if a.Subject != "" {
					h.keeper.ChangeAccount(t.Context(), root, a.Name, func(a *store.Account) { a.Disabled = true }, "")
				}
			}
			if s, _, _ := h.send(t, b, "GET", "/api/v1/whoami", nil); s != http.StatusUnauthorized {
				t.Error("disabled, and yet in:", s)
			}
		})
	}
}

// The address that tries are counted by is what the proxy saw, never what the browser claims.
func TestForwardedAddresses(t *testing.T) {
	for _, c := range []struct {
		proxied       bool
		remote, given string
		want          string
	}{
		{false, "192.0.2.1:99", "203.0.113.9", "192.0.2.1"},
		{true, "127.0.0.1:99", "203.0.113.9", "203.0.113.9"},
		{true, "127.0.0.1:99", "10.0.0.1, 203.0.113.9", "203.0.113.9"},
		{true, "[::1]:99", "2001:db8::1", "2001:db8::1"},
		{true, "192.0.2.1:99", "203.0.113.9", "192.0.2.1"},
		{true, "127.0.0.1:99", "<script>", "127.0.0.1"},
		{true, "127.0.0.1:99", "", "127.0.0.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.given != "" {
			r.Header.Set("X-Forwarded-For", c.given)
		}
		if got := (&Site{Proxied: c.proxied}).from(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
