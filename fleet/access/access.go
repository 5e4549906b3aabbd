package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// Lives of what lets someone in.
const (
	SessionIdle  = 12 * time.Hour     // unused
	SessionLife  = 7 * 24 * time.Hour // after signing in, whatever is done
	rotateAfter  = 4 * time.Hour      // then the secret gets a successor
	rotateGrace  = 10 * time.Minute   // while the one before is taken too: a browser may not have got the answer
	seenEvery    = time.Minute        // how closely use is noted
	FirstLife    = time.Hour          // of the link that makes the first account
	MaxTokenLife = 366 * 24 * time.Hour
	tokenUser    = "token:" // and its number: the name of who shows a token
	tokenPrefix  = "posdx_" // so that scanners for leaked secrets know it
)

// Errors that whoever asks is told. None says whether the account exists.
var (
	ErrDenied  = errors.New("name or password is wrong")
	ErrExpired = errors.New("the session is over; sign in again")
	ErrToken   = errors.New("this token is not known, revoked or expired")
	ErrLink    = errors.New("this link is used up or too old; restart posdx-fleet for a new one")
	ErrByToken = problem("by.token", "", "a token changes no accounts and no tokens; sign in, or use the command line")
	ErrLastly  = problem("last", "", "this is the last admin of the whole fleet; make another first")
)

// A Problem is what is wrong with a request: a word for which pages have a text in each language, what it is about, and
// the same in English for the command line.
type Problem struct {
	Word, About string
	text        string
}

func (p *Problem) Error() string { return p.text }

func problem(word, about, format string, args ...any) error {
	return &Problem{word, about, fmt.Sprintf(format, args...)}
}

// A Wait is the error when there were too many tries; it holds how long to wait.
type Wait time.Duration

func (w Wait) Error() string {
	return fmt.Sprintf("too many tries; wait %s", max(time.Minute, time.Duration(w).Round(time.Minute)))
}

// accounts is the part of the store that this needs.
type accounts interface {
	Account(ctx context.Context, name string) (store.Account, error)
	AccountOf(ctx context.Context, subject string) (store.Account, error)
	Accounts(ctx context.Context) ([]store.Account, error)
	AddAccount(ctx context.Context, a store.Account) error
	SaveAccount(ctx context.Context, a store.Account) error
	AddSession(ctx context.Context, v store.Session, after string) error
	Session(ctx context.Context, hash string) (store.Session, store.Account, error)
	SawSession(ctx context.Context, hash string, at time.Time) error
	EndSessions(ctx context.Context, family string) error
	AddToken(ctx context.Context, t store.Token) (int64, error)
	Token(ctx context.Context, hash string) (store.Token, error)
	Tokens(ctx context.Context) ([]store.Token, error)
	UsedToken(ctx context.Context, no int64, at time.Time) error
	RevokeToken(ctx context.Context, no int64, at time.Time) error
	Audit(ctx context.Context, list ...store.AuditEntry) error
}

// A Keeper decides who may sign in, and keeps accounts, sessions, tokens and the audit log. Any number of goroutines
// may use it.
type Keeper struct {
	Store accounts
	Now   func() time.Time // nil: time.Now

	limiter limiter
	mu      sync.Mutex
	first   string    // hash of the link's secret; guarded by mu
	firstAt time.Time // guarded by mu
}

func (k *Keeper) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

func hash(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// secret is 256 bits that nobody guesses.
func secret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Note writes what an account or a token did to the audit log.
func (k *Keeper) Note(ctx context.Context, u User, what, estate, object, detail string) error {
	return k.Store.Audit(
		ctx,
		store.AuditEntry{
			At:     k.now(),
			Who:    u.Name,
			Source: u.Source,
			What:   what,
			Estate: estate,
			Object: object,
			Detail: detail,
		},
	)
}

// NoteOn writes what was done about rights in some estates: an entry in each, so that its admins can read it, whose
// detail holds only what is about that estate. Estates that are nil, which means all, make one entry of the whole
// fleet.
func (k *Keeper) NoteOn(
	ctx context.Context,
	u User,
	what string,
	on store.Estates,
	object string,
	detail func(estate string) string,
) error {
	if len(on) == 0 {
		on = store.Estates{""}
	}
	var list []store.AuditEntry
	for _, e := range on {
		list = append(list, store.AuditEntry{At: k.now(), Who: u.Name, Source: u.Source, What: what, Estate: e,
			Object: object, Detail: detail(e)})
	}
	return k.Store.Audit(ctx, list...)
}

// plain is a detail that says the same in each estate.
func plain(text string) func(string) string { return func(string) string { return text } }

// union are the estates of either, with the whole fleet, as "", if one has them all.
func union(a, b store.Estates) store.Estates {
	var list store.Estates
	if a == nil || b == nil {
		list = store.Estates{""}
	}
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(list, a, b))))
}

// First returns the secret of a link that makes the first account, empty if there are accounts.
func (k *Keeper) First(ctx context.Context) (string, error) {
	list, err := k.Store.Accounts(ctx)
	if err != nil || len(list) > 0 {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := secret()
	k.first, k.firstAt = hash(s), k.now()
	return s, nil
}

// FirstValid reports whether a link would be accepted.
func (k *Keeper) FirstValid(link string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.validFirst(link)
}

// validFirst wants mu.
func (k *Keeper) validFirst(link string) bool {
	return k.first != "" && hmac.Equal([]byte(hash(link)), []byte(k.first)) && k.now().Sub(k.firstAt) < FirstLife
}

// MakeFirst makes the first account, an admin of the whole fleet, for the holder of the link's secret, which can be
// used once. Of several requests at the same time one succeeds: the link is marked as used before the account is made,
// and is valid again if none was made.
func (k *Keeper) MakeFirst(ctx context.Context, link, name, password, source string) error {
	k.mu.Lock()
	valid := k.validFirst(link)
	if valid {
		k.first = ""
	}
	k.mu.Unlock()
	if !valid {
		return ErrLink
	}
	list, err := k.Store.Accounts(ctx)
	if err == nil && len(list) > 0 { // made on the machine itself meanwhile
		return ErrLink
	}
	if err == nil {
		u := User{Name: name, Role: Admin, Source: source}
		err = k.AddAccount(ctx, u, store.Account{Name: name, Role: Admin.String()}, password)
	}
	if err != nil {
		k.mu.Lock()
		if k.first == "" {
			k.first = hash(link)
		}
		k.mu.Unlock()
	}
	return err
}

// CheckName returns what is wrong with an account's name, nil if nothing is.
func CheckName(name string) error {
	if n := len([]rune(name)); n < 1 || n > 64 || strings.TrimSpace(name) != name {
		return problem("name", "", "name: want 1 to 64 characters without space around them")
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || strings.ContainsRune(`<>"':/\`, r) {
			return problem("name.letters", name, "name %q: want letters, digits, space and . _ - @", name)
		}
	}
	return nil
}

func checkEstates(list []string) error {
	for _, e := range list {
		if (report.Address{Estate: e, Terminal: "-"}).Check() != nil {
			return problem("estate", e, "estate %q: want a name as in the topics", e)
		}
	}
	return nil
}

// within tells whether someone may hand out a role over estates: not more than its own.
func (u User) within(r Role, estates []string) error {
	if r > u.Role {
		return problem("role.high", r.String(), "role %s: you are %s", r, u.Role)
	}
	if u.Estates == nil {
		return nil
	}
	if estates == nil {
		return problem("estates.all", "", "estates: you do not have them all")
	}
	for _, e := range estates {
		if !slices.Contains(u.Estates, e) {
			return problem("estate.other", e, "estate %q: not one of yours", e)
		}
	}
	return nil
}

// AddAccount adds an account; without a password it can sign in by OpenID only.
func (k *Keeper) AddAccount(ctx context.Context, u User, a store.Account, password string) error {
	if err := k.check(u, a); err != nil {
		return err
	}
	if password != "" || a.Subject == "" {
		if err := CheckPassword(a.Name, password); err != nil {
			return err
		}
		a.Password = Hash(password)
	}
	a.Created = k.now()
	a.Changed = a.Created
	if err := k.Store.AddAccount(ctx, a); err != nil {
		return fmt.Errorf("account %q: %w", a.Name, err)
	}
	return k.NoteOn(ctx, u, "account.add", a.Estates, a.Name, describe(a))
}

func (k *Keeper) check(u User, a store.Account) error {
	if u.program() {
		return ErrByToken
	}
	if err := CheckName(a.Name); err != nil {
		return err
	}
	r, err := ParseRole(a.Role)
	if err != nil {
		return err
	}
	if err := checkEstates(a.Estates); err != nil {
		return err
	}
	if !u.May(Admin) {
		return problem("admin", "", "only an admin changes accounts")
	}
	return u.within(r, a.Estates)
}

// describe is what an account may do, for the admins of one estate or, with an empty one, of the whole fleet. It is
// read in every language, so it is made of ids.
func describe(a store.Account) func(estate string) string {
	return func(estate string) string {
		of := "*"
		switch {
		case a.Estates == nil:
		case estate == "":
			of = strings.Join(a.Estates, " ")
		case slices.Contains(a.Estates, estate):
			of = estate
		default: // no longer
			return "role=" + Nobody.String() + " estates=" + estate
		}
		s := "role=" + a.Role + " estates=" + of
		if a.Disabled {
			s += " disabled"
		}
		return s
	}
}

// ChangeAccount changes role, estates and whether it may sign in; with a password, that too. Its sessions end.
func (k *Keeper) ChangeAccount(
	ctx context.Context,
	u User,
	name string,
	change func(*store.Account),
	password string,
) error {
	a, err := k.Store.Account(ctx, name)
	if err != nil {
		return fmt.Errorf("account %q: %w", name, err)
	}
	before, err := ParseRole(a.Role)
	if err != nil {
		return err
	}
	// An account that the user could not have made cannot be changed by it.
	if err := u.within(before, a.Estates); err != nil {
		return err
	}
	was := a
	change(&a)
	a.Name = name
	if err := k.check(u, a); err != nil {
		return err
	}
	if chief(was) && !chief(a) {
		list, err := k.Store.Accounts(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list, func(o store.Account) bool { return o.Name != name && chief(o) }) {
			return ErrLastly
		}
	}
	more := ""
	if password != "" {
		if err := CheckPassword(name, password); err != nil {
			return err
		}
		a.Password = Hash(password)
		more = " password"
	}
	a.Changed = k.now()
	if err := k.Store.SaveAccount(ctx, a); err != nil {
		return err
	}
	return k.NoteOn(ctx, u, "account.change", union(was.Estates, a.Estates), name, func(estate string) string {
		return describe(a)(estate) + more
	})
}

// chief tells whether an account can make all others.
func chief(a store.Account) bool { return a.Role == Admin.String() && a.Estates == nil && !a.Disabled }

// ChangePassword sets a new password if the old one is right. All sessions of the account end.
func (k *Keeper) ChangePassword(ctx context.Context, u User, old, password string) error {
	if u.Session == "" {
		return ErrDenied
	}
	a, err := k.prove(ctx, u.Name, old, u.Source)
	if err != nil {
		return err
	}
	if err := CheckPassword(a.Name, password); err != nil {
		return err
	}
	a.Password, a.Changed = Hash(password), k.now()
	if err := k.Store.SaveAccount(ctx, a); err != nil {
		return err
	}
	return k.NoteOn(ctx, u, "account.password", a.Estates, a.Name, plain(""))
}

// prove returns the account whose password this is.
func (k *Keeper) prove(ctx context.Context, name, password, source string) (store.Account, error) {
	if wait := k.limiter.take(name, source, k.now()); wait > 0 {
		return store.Account{}, Wait(wait)
	}
	a, err := k.Store.Account(ctx, name)
	kept := a.Password
	switch {
	case errors.Is(err, store.ErrNone) || err == nil && (kept == "" || a.Disabled):
		kept = nobodys()
	case err != nil:
		return store.Account{}, err
	}
	if !Matches(kept, password) || a.Password == "" || a.Disabled {
		// An unknown name has no estates: the whole fleet's admins read of it.
		if err := k.NoteOn(ctx, User{Name: name, Source: source}, "login.refused", a.Estates, "", plain("")); err != nil {
			return store.Account{}, err
		}
		return store.Account{}, ErrDenied
	}
	k.limiter.give(name, source)
	return a, nil
}
