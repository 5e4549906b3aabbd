package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/fleet/store"
)

const good = "correct horse battery"

// A desk is a keeper over a real store, with a clock that the test turns.
type desk struct {
	*Keeper
	db  *store.Store
	now time.Time
}

func open(t *testing.T) *desk {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := &desk{db: db, now: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
	d.Keeper = &Keeper{Store: db, Now: func() time.Time { return d.now }}
	return d
}

func (d *desk) account(t *testing.T, name string, r Role, estates ...string) {
	t.Helper()
	a := store.Account{Name: name, Role: r.String(), Estates: estates}
	if err := d.AddAccount(t.Context(), root, a, good); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) login(t *testing.T, name string) string {
	t.Helper()
	s, err := d.Login(t.Context(), name, good, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var root = User{Name: "root", Role: Admin, Source: "cli"}

func TestPasswords(t *testing.T) {
	for pw, ok := range map[string]bool{"short": false, good: true, "aaaaaaaaaaaaaaaa": false, "xx alice's secret": false, strings.Repeat("ab", 200): false, "密码密码密码密码密码密码": true} {
		if err := CheckPassword("alice", pw); (err == nil) != ok {
			t.Errorf("%q: %v", pw, err)
		}
	}
	kept := Hash(good)
	if !strings.HasPrefix(kept, "$argon2id$v=19$m=19456,t=2,p=1$") || kept == Hash(good) || !Matches(kept, good) ||
		Matches(kept, good+" ") {
		t.Error(kept)
	}
	for _, broken := range []string{"", "x", "$argon2id$v=19$m=19456,t=2,p=1$$", "$argon2i$v=19$m=19456,t=2,p=1$AAAA$AAAA", "$argon2id$v=19$m=4294967295,t=2,p=1$AAAA$AAAA", "$argon2id$v=19$m=8,t=0,p=0$AAAA$AAAA"} {
		if Matches(broken, good) || Matches(broken, "") {
			t.Errorf("%q matches", broken)
		}
	}
}

// The link that makes the first account works once, for an hour, and not at all when there is an account.
func TestTheFirstLinkIsUsedOnce(t *testing.T) {
	d := open(t)
	link, err := d.First(t.Context())
	if err != nil || link == "" {
		t.Fatal(link, err)
	}
	d.now = d.now.Add(FirstLife)
	if err := d.MakeFirst(t.Context(), link, "alice", good, "::1"); !errors.Is(err, ErrLink) {
		t.Error("after an hour:", err)
	}
	link, _ = d.First(t.Context())
	for _, wrong := range []string{"", "x", link + "x"} {
		if err := d.MakeFirst(t.Context(), wrong, "alice", good, "::1"); !errors.Is(err, ErrLink) {
			t.Error(wrong, err)
		}
	}
	if err := d.MakeFirst(t.Context(), link, "alice", "short", "::1"); err == nil || errors.Is(err, ErrLink) {
		t.Error("a short password:", err)
	}
	if err := d.MakeFirst(t.Context(), link, "alice", good, "::1"); err != nil {
		t.Fatal(err)
	}
	if err := d.MakeFirst(t.Context(), link, "bob", good, "::1"); !errors.Is(err, ErrLink) {
		t.Error("twice:", err)
	}
	if link, err := d.First(t.Context()); link != "" || err != nil {
		t.Error("with an account there:", link, err)
	}
	u, _, err := d.Session(t.Context(), d.login(t, "alice"), "::1", true)
	if err != nil || !u.May(Admin) || u.Estates != nil {
		t.Error(u, err)
	}
}

func TestTheFirstLinkMakesOneAccount(t *testing.T) {
	d := open(t)
	link, err := d.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = d.MakeFirst(t.Context(), link, fmt.Sprintf("admin%d", i), good, "::1") })
	}
	wg.Wait()
	list, err := d.Store.Accounts(t.Context())
	if err != nil || len(list) != 1 {
		t.Errorf("%d accounts of one link at once, %v %v", len(list), errs, err)
	}

	d = open(t)
	if link, err = d.First(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.account(t, "ann", Admin)
	if err := d.MakeFirst(t.Context(), link, "bob", good, "::1"); !errors.Is(err, ErrLink) {
		t.Error("with an account made meanwhile:", err)
	}
}

func TestSessionsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, d *desk, secret string)
		ends bool
	}{
		"at once":          {func(*testing.T, *desk, string) {}, false},
		"unused":           {func(_ *testing.T, d *desk, _ string) { d.now = d.now.Add(SessionIdle) }, true},
		"a clock set back": {func(_ *testing.T, d *desk, _ string) { d.now = d.now.Add(-48 * time.Hour) }, true},
		"after a week, in use all the time": {func(t *testing.T, d *desk, s string) {
			for end := d.now.Add(SessionLife); d.now.Before(end); d.now = d.now.Add(time.Hour) {
				if _, _, err := d.Session(t.Context(), s, "", false); err != nil {
					t.Fatal(err)
				}
			}
		}, true},
		"logged out": {func(t *testing.T, d *desk, s string) {
			u, _, _ := d.Session(t.Context(), s, "", false)
			d.Logout(t.Context(), u)
		}, true},
		"disabled": {func(t *testing.T, d *desk, s string) {
			d.ChangeAccount(t.Context(), root, "bob", func(a *store.Account) { a.Disabled = true }, "")
		}, true},
		"another role": {func(t *testing.T, d *desk, s string) {
			d.ChangeAccount(t.Context(), root, "bob", func(a *store.Account) { a.Role = "viewer" }, "")
		}, true},
		"another's logout": {func(t *testing.T, d *desk, s string) {
			u, _, _ := d.Session(t.Context(), d.login(t, "bob"), "", false)
			d.Logout(t.Context(), u)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			d.account(t, "bob", Operator, "shop")
			s := d.login(t, "bob")
			c.do(t, d, s)
			u, _, err := d.Session(t.Context(), s, "", true)
			if c.ends != errors.Is(err, ErrExpired) ||
				!c.ends && (u.Name != "bob" || u.Role != Operator || !u.Estates.Has("shop") || u.Estates.Has("mall")) {
				t.Error(u, err)
			}
			if c.ends && u.Role != Nobody {
				t.Error("over, and yet", u)
			}
		})
	}
}

// A session's secret gets successors; one that was copied and is shown after its successor was taken ends the sign-in.
func TestCopiedSessionsEndTheSignIn(t *testing.T) {
	d := open(t)
	d.account(t, "bob", Operator)
	s := d.login(t, "bob")
	d.now = d.now.Add(rotateAfter)
	if _, next, err := d.Session(t.Context(), s, "", false); next != "" || err != nil {
		t.Fatal("rotated where the answer may not reach the browser:", err)
	}
	_, next, err := d.Session(t.Context(), s, "", true)
	if err != nil || next == "" {
		t.Fatal(err)
	}
	d.now = d.now.Add(rotateGrace / 2)
	for _, secret := range []string{s, next} {
		if _, again, err := d.Session(t.Context(), secret, "", true); err != nil || again != "" {
			t.Error("within the grace:", again, err)
		}
	}
	d.now = d.now.Add(rotateGrace)
	if _, _, err := d.Session(t.Context(), s, "203.0.113.9", true); !errors.Is(err, ErrExpired) {
		t.Error("the copied one:", err)
	}
	if _, _, err := d.Session(t.Context(), next, "", true); !errors.Is(err, ErrExpired) {
		t.Error("the sign-in lives on:", err)
	}
	if log, _ := d.db.Audits(t.Context(), store.AuditFilter{What: "session.copied"}); len(log) != 1 ||
		log[0].Source != "203.0.113.9" {
		t.Error(log)
	}
}

func TestGuessingIsBounded(t *testing.T) {
	d := open(t)
	d.account(t, "bob", Viewer)
	tries := func(name, source string, n int) (let int) {
		for range n {
			var wait Wait
			if _, err := d.Login(t.Context(), name, "wrong password", source); !errors.As(err, &wait) {
				let++
			}
		}
		return let
	}
	if n := tries("bob", "192.0.2.9", 20); n != failsPair {
		t.Error("one account from one address:", n)
	}
	if _, err := d.Login(t.Context(), "bob", good, "192.0.2.9"); err == nil {
		t.Error("the right one among guesses is let in")
	}
	if _, err := d.Login(t.Context(), "bob", good, "192.0.2.10"); err != nil {
		t.Error("its owner is locked out:", err)
	}
	total := 0
	for i := range 100 {
		total += tries("nobody"+strconv.Itoa(i), "192.0.2.9", 1)
	}
	if total != failsAddress-failsPair {
		t.Error("many accounts from one address:", total)
	}
	if n := tries("bob", "2001:db8::1", 10) + tries("bob", "2001:db8::2", 10); n != failsPair {
		t.Error("one IPv6 network:", n)
	}
	d.now = d.now.Add(window)
	if _, err := d.Login(t.Context(), "bob", good, "192.0.2.9"); err != nil {
		t.Error("after the window:", err)
	}
}

// Nobody hands out, or takes, more than it has.
func TestNobodyGivesMoreThanItHas(t *testing.T) {
	d := open(t)
	d.account(t, "chief", Admin)
	d.account(t, "mall", Admin, "mall")
	d.account(t, "bob", Operator, "shop")
	ctx := t.Context()
	mall := User{Name: "mall", Role: Admin, Estates: []string{"mall"}}
	bob := User{Name: "bob", Role: Operator, Estates: []string{"shop"}}
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Error(what, "went through")
		}
	}
	refused(
		"an operator who makes an account",
		d.AddAccount(ctx, bob, store.Account{Name: "x", Role: "viewer", Estates: []string{"shop"}}, good),
	)
	refused(
		"an admin of one estate who makes one of all",
		d.AddAccount(ctx, mall, store.Account{Name: "x", Role: "viewer"}, good),
	)
	refused(
		"of another",
		d.AddAccount(ctx, mall, store.Account{Name: "x", Role: "viewer", Estates: []string{"shop"}}, good),
	)
	refused(
		"who changes another's",
		d.ChangeAccount(ctx, mall, "bob", func(a *store.Account) { a.Estates = []string{"mall"} }, ""),
	)
	refused("who takes the chief's password", d.ChangeAccount(ctx, mall, "chief", func(*store.Account) {}, good+"2"))
	refused("who widens himself", d.ChangeAccount(ctx, mall, "mall", func(a *store.Account) { a.Estates = nil }, ""))
	refused("a role that is none", d.AddAccount(ctx, root, store.Account{Name: "x", Role: "god"}, good))
	refused("the last chief's end", d.ChangeAccount(ctx, root, "chief", func(a *store.Account) { a.Disabled = true }, ""))
	refused("an account twice", d.AddAccount(ctx, root, store.Account{Name: "bob", Role: "admin"}, good))
	if err := d.AddAccount(ctx, mall, store.Account{Name: "eve", Role: "viewer", Estates: []string{"mall"}}, good); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", " x", "a:b", "<b>", "a\nb", "x\x1b[2J", strings.Repeat("x", 65)} {
		refused("the name "+name, d.AddAccount(ctx, root, store.Account{Name: name, Role: "viewer"}, good))
	}
	token := func(u User, r Role, c Scope, estates []string, life time.Duration) error {
		_, _, err := d.MakeToken(ctx, u, "t", r, c, estates, life)
		return err
	}
	refused("a token of an operator", token(bob, Viewer, Read, []string{"shop"}, time.Hour))
	refused("a token of another estate", token(mall, Viewer, Read, []string{"shop"}, time.Hour))
	refused("a token of all estates", token(mall, Viewer, Read, nil, time.Hour))
	refused("a token of two years", token(root, Viewer, Read, nil, 2*MaxTokenLife))
	refused("a token without a scope", token(root, Viewer, "", nil, time.Hour))
	refused("metrics of one estate", token(root, Viewer, Metrics, []string{"mall"}, time.Hour))
}

func TestTokensEnd(t *testing.T) {
	d := open(t)
	d.account(t, "chief", Admin)
	ctx := t.Context()
	chief := User{Name: "chief", Role: Admin}
	d.account(t, "mall", Admin, "mall")
	make := func(u User) (string, store.Token) {
		s, tok, err := d.MakeToken(ctx, u, "grafana", Operator, Read, u.Estates, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return s, tok
	}
	s, tok := make(chief)
	if u, err := d.Token(ctx, s, ""); err != nil || u.Role != Operator || u.Scope != Read || u.Name != "token:1" {
		t.Error(u, err)
	}
	for _, wrong := range []string{"", "x", tokenPrefix, s + "x", tok.Hash} {
		if _, err := d.Token(ctx, wrong, ""); !errors.Is(err, ErrToken) {
			t.Error(wrong, err)
		}
	}
	if err := d.Revoke(ctx, chief, tok.No); err != nil {
		t.Error(err)
	}
	if _, err := d.Token(ctx, s, ""); !errors.Is(err, ErrToken) {
		t.Error("revoked:", err)
	}

	// What its owner lost the token lost too.
	s, _ = make(User{Name: "mall", Role: Admin, Estates: []string{"mall"}})
	d.ChangeAccount(ctx, root, "mall", func(a *store.Account) { a.Role = "viewer"; a.Estates = []string{"shop"} }, "")
	if u, err := d.Token(ctx, s, ""); err != nil || u.Role != Viewer || u.Estates == nil || u.Estates.Has("mall") ||
		u.Estates.Has("shop") {
		t.Error(u, err)
	}
	d.ChangeAccount(ctx, root, "mall", func(a *store.Account) { a.Disabled = true }, "")
	if _, err := d.Token(ctx, s, ""); !errors.Is(err, ErrToken) {
		t.Error("of a disabled owner:", err)
	}

	s, _ = make(chief)
	d.now = d.now.Add(time.Hour)
	if _, err := d.Token(ctx, s, ""); !errors.Is(err, ErrToken) {
		t.Error("expired:", err)
	}
}

// An admin of an estate reads in the audit log what was done about rights in it, and takes back the tokens that reach
// no further than it does; of other estates and of the whole fleet neither.
func TestAnEstatesAdminSeesToItsOwn(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	for _, c := range []struct {
		name    string
		estates []string
	}{{"chief", nil}, {"malls", []string{"mall"}}, {"both", []string{"mall", "shop"}}, {"shops", []string{"shop"}}} {
		if err := d.AddAccount(ctx, root, store.Account{Name: c.name, Role: "admin", Estates: c.estates}, good); err != nil {
			t.Fatal(err)
		}
	}
	mall := User{Name: "malls", Role: Admin, Estates: store.Estates{"mall"}}
	d.login(t, "both")
	d.Login(ctx, "both", "wrong", "::1")
	d.Login(ctx, "shops", "wrong", "::1")
	d.Login(ctx, "nobody", "wrong", "::1")
	if err := d.ChangeAccount(ctx, root, "both", func(a *store.Account) { a.Estates = []string{"shop"} }, good+"!"); err != nil {
		t.Fatal(err)
	}
	read := func(in store.Estates) string {
		list, err := d.db.Audits(ctx, store.AuditFilter{In: in})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, e := range list {
			fmt.Fprintf(&b, "%s %s %s %s; ", e.Who, e.What, e.Object, e.Detail)
		}
		return b.String()
	}
	got := read(mall.Estates)
	for _, want := range []string{"account.add malls role=admin estates=mall;", "account.add both role=admin estates=mall;",
		"both login ", "both login.refused", "account.change both role=nobody estates=mall password;"} {
		if !strings.Contains(got, want) {
			t.Errorf("the estate's admin does not read %q in %q", want, got)
		}
	}
	for _, other := range []string{"shop", "chief", "nobody login"} {
		if strings.Contains(got, other) {
			t.Errorf("the estate's admin reads of %s: %q", other, got)
		}
	}
	if all := read(nil); !strings.Contains(all, "nobody login.refused") || !strings.Contains(all, "estates=* ") && !strings.Contains(all, "estates=*;") {
		t.Errorf("the whole fleet's admin reads %q", all)
	}
	if _, err := d.db.VerifyAudit(ctx); err != nil {
		t.Error(err)
	}

	make := func(u User, r Role, estates ...string) int64 {
		_, tok, err := d.MakeToken(ctx, u, "grafana", r, Read, estates, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return tok.No
	}
	own := make(mall, Viewer, "mall")
	if err := d.Revoke(ctx, mall, own); err != nil {
		t.Error("its own:", err)
	}
	if err := d.Revoke(ctx, mall, make(root, Viewer, "mall")); err != nil {
		t.Error("one of its estate that another made:", err)
	}
	for name, no := range map[string]int64{"of another estate": make(root, Viewer, "shop"), "of all": make(root, Viewer),
		"of more": make(root, Viewer, "mall", "shop"), "that is not there": 99} {
		if err := d.Revoke(ctx, mall, no); !errors.Is(err, store.ErrNone) {
			t.Errorf("a token %s: %v", name, err)
		}
	}
	operator := mall
	operator.Role = Operator
	if err := d.Revoke(ctx, operator, make(mall, Viewer, "mall")); err == nil || errors.Is(err, store.ErrNone) {
		t.Error("an operator revokes:", err)
	}
	if got := read(mall.Estates); !strings.Contains(got, "malls token.revoke") {
		t.Errorf("nothing of the revocation in %q", got)
	}
}

// What was made at the machine's command line is the machine's: no account takes it over by its name, neither by that
// of today's owners nor by the bare name that earlier releases wrote.
func TestNoAccountTakesOverTokensOfTheMachine(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	d.account(t, "mall", Admin, "mall")
	mall := User{Name: "mall", Role: Admin, Estates: []string{"mall"}}
	for _, owner := range []string{"root", store.OwnerHere + "root", "operator", store.OwnerHere + "operator"} {
		s, _, err := d.MakeToken(ctx, User{Name: owner, Role: Admin}, "grafana", Admin, Read, nil, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		err = d.AddAccount(ctx, mall, store.Account{Name: owner, Role: "viewer", Estates: []string{"mall"}}, good)
		if strings.Contains(owner, ":") != (err != nil) {
			t.Errorf("%s: %v", owner, err)
		}
		if err == nil {
			d.ChangeAccount(ctx, mall, owner, func(a *store.Account) { a.Disabled = true }, "")
		}
		if u, err := d.Token(ctx, s, ""); err != nil || u.Role != Admin || u.Estates != nil {
			t.Errorf("%s: %+v %v", owner, u, err)
		}
	}
}

// Of what lets someone in, only hashes lie in the store.
func TestSecretsAreNotKept(t *testing.T) {
	d := open(t)
	d.account(t, "chief", Admin)
	session := d.login(t, "chief")
	token, _, err := d.MakeToken(t.Context(), User{Name: "chief", Role: Admin}, "x", Viewer, Read, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "copy.db")
	if err := d.db.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{session, token, good} {
		if holds(t, file, secret) {
			t.Errorf("the store holds %q", secret)
		}
	}
	if !holds(t, file, hash(session)) {
		t.Error("the search finds nothing at all")
	}
}

func TestChangingOnesPasswordNeedsTheOld(t *testing.T) {
	d := open(t)
	d.account(t, "bob", Viewer)
	s := d.login(t, "bob")
	u, _, _ := d.Session(t.Context(), s, "", false)
	if err := d.ChangePassword(t.Context(), u, "wrong", good+"!"); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	if err := d.ChangePassword(context.Background(), User{Name: "bob", Role: Viewer, Scope: Write}, good, good+"!"); err == nil {
		t.Error("by a token")
	}
	if err := d.ChangePassword(t.Context(), u, good, good+"!"); err != nil {
		t.Error(err)
	}
	if _, _, err := d.Session(t.Context(), s, "", false); !errors.Is(err, ErrExpired) {
		t.Error("earlier sign-ins live on")
	}
}

func holds(t *testing.T, file, text string) bool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), text)
}
