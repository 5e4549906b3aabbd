package access

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"posdx/fleet/store"
)

// Login signs an account in by password and returns the secret of its session.
func (k *Keeper) Login(ctx context.Context, name, password, source string) (string, error) {
	a, err := k.prove(ctx, name, password, source)
	if err != nil {
		return "", err
	}
	return k.begin(ctx, a, source, "login")
}

func (k *Keeper) begin(ctx context.Context, a store.Account, source, what string) (string, error) {
	s, now := secret(), k.now()
	v := store.Session{
		Hash: hash(s), Family: rand.Text(), Account: a.Name, Begun: now, Made: now, Seen: now, Source: source,
	}
	if err := k.Store.AddSession(ctx, v, ""); err != nil {
		return "", err
	}
	return s, k.NoteOn(ctx, User{Name: a.Name, Source: source}, what, a.Estates, "", plain(""))
}

// Session returns the account behind a session's secret, and the secret that follows it when it is time for one (only
// with rotate, since the answer must reach the browser). A secret that is used again long after it was replaced has
// been copied: the sign-in ends.
func (k *Keeper) Session(ctx context.Context, given, source string, rotate bool) (u User, next string, err error) {
	v, a, err := k.Store.Session(ctx, hash(given))
	if errors.Is(err, store.ErrNone) {
		return User{}, "", ErrExpired
	}
	if err != nil {
		return User{}, "", err
	}
	now := k.now()
	// A clock set back must not make a session live on: what lies in the future is over as well.
	old := func(t time.Time, d time.Duration) bool { age := now.Sub(t); return age >= d || age < -time.Hour }
	role, roleErr := ParseRole(a.Role)
	switch {
	case old(v.Begun, SessionLife), old(v.Seen, SessionIdle), a.Disabled, roleErr != nil:
		return User{}, "", errors.Join(k.Store.EndSessions(ctx, v.Family), ErrExpired)
	case !v.Rotated.IsZero() && old(v.Rotated, rotateGrace):
		err := k.Store.EndSessions(ctx, v.Family)
		if err == nil {
			err = k.NoteOn(ctx, User{Name: a.Name, Source: source}, "session.copied", a.Estates, "",
				plain("begun="+v.Source)) // an earlier secret was shown; the sign-in is ended
		}
		return User{}, "", errors.Join(err, ErrExpired)
	}
	if rotate && v.Rotated.IsZero() && old(v.Made, rotateAfter) {
		next = secret()
		s := v
		s.Hash, s.Made, s.Seen = hash(next), now, now
		if err := k.Store.AddSession(ctx, s, v.Hash); err != nil {
			return User{}, "", err
		}
	} else if now.Sub(v.Seen) >= seenEvery {
		if err := k.Store.SawSession(ctx, v.Hash, now); err != nil {
			return User{}, "", err
		}
	}
	return User{Name: a.Name, Role: role, Estates: a.Estates, Source: source, Session: v.Family}, next, nil
}

// Logout ends a sign-in, with all its secrets.
func (k *Keeper) Logout(ctx context.Context, u User) error {
	if u.Session == "" {
		return nil
	}
	if err := k.Store.EndSessions(ctx, u.Session); err != nil {
		return err
	}
	return k.NoteOn(ctx, u, "logout", u.Estates, "", plain(""))
}
