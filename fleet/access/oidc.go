package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"posdx/fleet/store"
)

// OIDCConfig says how people sign in at an OpenID provider.
type OIDCConfig struct {
	Issuer   string `toml:"issuer"`    // URL, as in the provider's discovery document
	ClientID string `toml:"client_id"` // of this fleet at the provider
	Secret   string `toml:"client_secret"`
	Redirect string `toml:"redirect"` // https://HOST/oidc/back, as registered at the provider
	Name     string `toml:"name"`     // shown on the button

	// RoleClaim names a claim of the id token whose values grant a role and estates without an account made before:
	// "posdx:operator" of all estates, "posdx:viewer:shop" of one. Empty: only accounts with this subject are let in.
	RoleClaim string `toml:"role_claim"`
}

// OIDC signs people in by an OpenID provider, with the code flow and PKCE. It reads the provider's discovery document
// when it is first needed, so that the fleet can start while the provider cannot be reached.
type OIDC struct {
	Name string

	cfg    OIDCConfig
	keeper *Keeper

	mu       sync.Mutex
	provider *oidc.Provider // guarded by mu
}

// NewOIDC checks the configuration.
func NewOIDC(cfg OIDCConfig, k *Keeper) (*OIDC, error) {
	if cfg.Issuer == "" || cfg.ClientID == "" || !strings.HasSuffix(cfg.Redirect, "/oidc/back") {
		return nil, errors.New("oidc: want issuer, client_id, and redirect ending in /oidc/back")
	}
	if cfg.Name == "" {
		cfg.Name = "OpenID"
	}
	return &OIDC{Name: cfg.Name, cfg: cfg, keeper: k}, nil
}

const oidcWait = 10 * time.Second

func (o *OIDC) client(ctx context.Context) (*oauth2.Config, *oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		// The provider keeps its context for fetching keys later: it must outlive this request.
		bound, cancel := context.WithTimeout(ctx, oidcWait)
		defer cancel()
		p, err := oidc.NewProvider(bound, o.cfg.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("ask the OpenID provider: %w", err)
		}
		o.provider = p
	}
	return &oauth2.Config{
		ClientID:     o.cfg.ClientID,
		ClientSecret: o.cfg.Secret,
		RedirectURL:  o.cfg.Redirect,
		Endpoint:     o.provider.Endpoint(),
		Scopes:       []string{oidc.ScopeOpenID, "profile", "email"},
	}, o.provider, nil
}

// Begin returns the address of the provider to send a browser to, and what a cookie must keep until the browser comes
// back.
func (o *OIDC) Begin(ctx context.Context) (to, remember string, err error) {
	c, _, err := o.client(ctx)
	if err != nil {
		return "", "", err
	}
	state, nonce, verifier := secret(), secret(), oauth2.GenerateVerifier()
	return c.AuthCodeURL(
		state,
		oidc.Nonce(nonce),
		oauth2.S256ChallengeOption(verifier),
	), state + "." + nonce + "." + verifier, nil
}

// Back signs in the person that the provider sent back, and returns the secret of the session.
func (o *OIDC) Back(ctx context.Context, remembered, state, code, source string) (string, error) {
	parts := strings.Split(remembered, ".")
	if len(parts) != 3 || state == "" || parts[0] != state {
		return "", ErrDenied // not begun in this browser
	}
	c, p, err := o.client(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, oidcWait)
	defer cancel()
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(parts[2]))
	if err != nil {
		return "", errors.Join(ErrDenied, err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.VerifierContext(context.WithoutCancel(ctx), &oidc.Config{ClientID: o.cfg.ClientID, Now: o.keeper.now}).
		Verify(ctx, raw)
	if err != nil {
		return "", errors.Join(ErrDenied, err)
	}
	if id.Nonce != parts[1] {
		return "", ErrDenied
	}
	return o.letIn(ctx, id, source)
}

func (o *OIDC) letIn(ctx context.Context, id *oidc.IDToken, source string) (string, error) {
	subject := id.Issuer + "#" + id.Subject
	a, err := o.keeper.Store.AccountOf(ctx, subject)
	switch {
	case errors.Is(err, store.ErrNone):
		return o.firstTime(ctx, id, subject, source)
	case err != nil:
		return "", err
	}
	if o.cfg.RoleClaim != "" && a.Password == "" {
		role, estates, ok := o.granted(id)
		if !ok {
			return "", o.refuse(ctx, a.Name, a.Estates, source)
		}
		if role.String() != a.Role || !slices.Equal(estates, a.Estates) || (estates == nil) != (a.Estates == nil) {
			was := a
			a.Role, a.Estates, a.Changed = role.String(), estates, o.keeper.now()
			if err := o.keeper.Store.SaveAccount(ctx, a); err != nil {
				return "", err
			}
			u := User{Name: a.Name, Source: source}
			if err := o.keeper.NoteOn(ctx, u, "account.change", union(was.Estates, a.Estates), a.Name, provided(a)); err != nil {
				return "", err
			}
		}
	}
	if a.Disabled {
		return "", o.refuse(ctx, a.Name, a.Estates, source)
	}
	return o.keeper.begin(ctx, a, source, "login.oidc")
}

func (o *OIDC) refuse(ctx context.Context, name string, on store.Estates, source string) error {
	return errors.Join(ErrDenied, o.keeper.NoteOn(ctx, User{Name: name, Source: source}, "login.refused", on, "",
		plain("oidc")))
}

// provided describes an account whose rights the provider gave.
func provided(a store.Account) func(string) string {
	return func(estate string) string { return "oidc " + describe(a)(estate) }
}

// firstTime makes an account for whom the provider grants a role.
func (o *OIDC) firstTime(ctx context.Context, id *oidc.IDToken, subject, source string) (string, error) {
	role, estates, ok := o.granted(id)
	if !ok {
		return "", o.refuse(ctx, subject, nil, source)
	}
	var c struct {
		Name  string `json:"preferred_username"`
		Email string `json:"email"`
	}
	if err := id.Claims(&c); err != nil {
		return "", errors.Join(ErrDenied, err)
	}
	// A name that is taken stays its owner's: whoever can choose a name at the provider must not become somebody here.
	for _, name := range []string{c.Name, c.Email, "oidc-" + hash(subject)[:12]} {
		if CheckName(name) != nil {
			continue
		}
		a := store.Account{
			Name:    name,
			Subject: subject,
			Role:    role.String(),
			Estates: estates,
			Created: o.keeper.now(),
			Changed: o.keeper.now(),
		}
		err := o.keeper.Store.AddAccount(ctx, a)
		if errors.Is(err, store.ErrTaken) {
			continue
		}
		if err != nil {
			return "", err
		}
		u := User{Name: name, Source: source}
		if err := o.keeper.NoteOn(ctx, u, "account.add", a.Estates, name, provided(a)); err != nil {
			return "", err
		}
		return o.keeper.begin(ctx, a, source, "login.oidc")
	}
	return "", o.refuse(ctx, subject, nil, source)
}

// granted reads the role claim: the greatest role, and the estates of exactly that role.
func (o *OIDC) granted(id *oidc.IDToken) (Role, store.Estates, bool) {
	if o.cfg.RoleClaim == "" {
		return Nobody, nil, false
	}
	var claims map[string]any
	if id.Claims(&claims) != nil {
		return Nobody, nil, false
	}
	var words []string
	switch v := claims[o.cfg.RoleClaim].(type) {
	case string:
		words = strings.Fields(v)
	case []any:
		for _, w := range v {
			if s, ok := w.(string); ok {
				words = append(words, s)
			}
		}
	}
	role, all := Nobody, false
	var estates store.Estates
	for _, w := range words {
		name, ok := strings.CutPrefix(w, "posdx:")
		if !ok {
			continue
		}
		name, estate, one := strings.Cut(name, ":")
		r, err := ParseRole(name)
		if err != nil || one && checkEstates([]string{estate}) != nil || r < role {
			continue
		}
		if r > role {
			role, all, estates = r, false, store.Estates{}
		}
		if one {
			estates = append(estates, estate)
		} else {
			all = true
		}
	}
	if all {
		estates = nil
	}
	return role, estates, role > Nobody
}
