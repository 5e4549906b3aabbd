package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/fleet/store"
)

// MakeToken makes a token for a program, with no more rights than its maker has, and returns its secret, which is shown
// only this once.
func (k *Keeper) MakeToken(
	ctx context.Context,
	u User,
	name string,
	r Role,
	scope Scope,
	estates []string,
	life time.Duration,
) (string, store.Token, error) {
	if err := CheckName(name); err != nil {
		return "", store.Token{}, err
	}
	if err := checkEstates(estates); err != nil {
		return "", store.Token{}, err
	}
	if _, err := ParseScope(string(scope)); err != nil { // one without a scope would pass for a person
		return "", store.Token{}, err
	}
	switch {
	case u.program(): // what it made would outlive it
		return "", store.Token{}, ErrByToken
	case !u.May(Admin):
		return "", store.Token{}, problem("admin", "", "only an admin makes tokens")
	case r < Viewer || r > Admin:
		return "", store.Token{}, problem("role", "", "role: want one")
	case life < time.Minute || life > MaxTokenLife:
		return "", store.Token{}, problem("token.life", "", "life of a token: want a minute to %d days", int(MaxTokenLife.Hours()/24))
	case scope == Metrics && estates != nil:
		return "", store.Token{}, problem("metrics", "", "metrics are of the whole fleet: a token for them has no estates")
	}
	if err := u.within(r, estates); err != nil {
		return "", store.Token{}, err
	}
	s := tokenPrefix + secret()
	t := store.Token{
		Hash:    hash(s),
		Name:    name,
		Owner:   u.Name,
		Role:    r.String(),
		Scope:   string(scope),
		Estates: estates,
		Created: k.now(),
	}
	t.Expires = t.Created.Add(life)
	var err error
	if t.No, err = k.Store.AddToken(ctx, t); err != nil {
		return "", store.Token{}, err
	}
	return s, t, k.NoteOn(ctx, u, "token.add", estates, strconv.FormatInt(t.No, 10),
		plain(fmt.Sprintf("%s: role=%s scope=%s until=%s", name, r, scope, t.Expires.UTC().Format(time.DateOnly))))
}

// Reaches reports whether an account may see and revoke a token: only those that it could have made. The owner that the
// token names does not matter: an earlier release stored names there that anybody can choose.
func (u User) Reaches(t store.Token) bool {
	r, err := ParseRole(t.Role)
	return err == nil && u.within(r, t.Estates) == nil
}

// Revoke makes a token worthless. If the account may not see the token the error is that it does not exist.
func (k *Keeper) Revoke(ctx context.Context, u User, no int64) error {
	if u.program() {
		return ErrByToken
	}
	if !u.May(Admin) {
		return problem("admin", "", "only an admin revokes tokens")
	}
	list, err := k.Store.Tokens(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(t store.Token) bool { return t.No == no && u.Reaches(t) })
	if i < 0 {
		return fmt.Errorf("token %d: %w", no, store.ErrNone)
	}
	if err := k.Store.RevokeToken(ctx, no, k.now()); err != nil {
		return fmt.Errorf("token %d: %w", no, err)
	}
	return k.NoteOn(ctx, u, "token.revoke", list[i].Estates, strconv.FormatInt(no, 10), plain(list[i].Name))
}

// Token returns the account behind a token. If the owner may no longer sign in, or has fewer rights by now, the token
// has no more than these.
func (k *Keeper) Token(ctx context.Context, given, source string) (User, error) {
	if !strings.HasPrefix(given, tokenPrefix) {
		return User{}, ErrToken
	}
	t, err := k.Store.Token(ctx, hash(given))
	if errors.Is(err, store.ErrNone) {
		return User{}, ErrToken
	}
	if err != nil {
		return User{}, err
	}
	now := k.now()
	if !t.Revoked.IsZero() || !now.Before(t.Expires) || now.Before(t.Created.Add(-time.Hour)) {
		return User{}, ErrToken
	}
	r, err := ParseRole(t.Role)
	if err != nil {
		return User{}, ErrToken
	}
	if strings.HasPrefix(t.Owner, tokenUser) { // an earlier release let tokens make others: nothing ends those
		return User{}, ErrToken
	}
	estates := t.Estates
	switch a, err := k.Store.Account(ctx, t.Owner); {
	case errors.Is(err, store.ErrNone): // made on the machine itself
	case err != nil:
		return User{}, err
	case a.Disabled:
		return User{}, ErrToken
	default:
		owns, err := ParseRole(a.Role)
		if err != nil {
			return User{}, ErrToken
		}
		r = min(r, owns)
		if a.Estates != nil {
			if estates == nil {
				estates = a.Estates
			} else {
				estates = slices.DeleteFunc(slices.Clone(estates), func(e string) bool { return !slices.Contains(a.Estates, e) })
			}
		}
	}
	if now.Sub(t.Used) >= seenEvery {
		if err := k.Store.UsedToken(ctx, t.No, now); err != nil {
			return User{}, err
		}
	}
	return User{
		Name:    tokenUser + strconv.FormatInt(t.No, 10),
		Role:    r,
		Estates: estates,
		Scope:   Scope(t.Scope),
		Source:  source,
	}, nil
}
