package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// accessTables: who may see and do what, and what was done. Of passwords, sessions and tokens only hashes are kept.
var accessTables = []string{
	// estates is a JSON list, empty for all. subject names the account at an OpenID provider.
	`CREATE TABLE IF NOT EXISTS accounts (
		name TEXT PRIMARY KEY, password TEXT NOT NULL, subject TEXT NOT NULL DEFAULT '', role TEXT NOT NULL, estates TEXT NOT NULL,
		disabled BIGINT NOT NULL DEFAULT 0, created BIGINT NOT NULL, changed BIGINT NOT NULL)`,
	// family is shared by all secrets that one sign-in had; rotated is when a secret got a successor.
	`CREATE TABLE IF NOT EXISTS sessions (
		hash TEXT PRIMARY KEY, family TEXT NOT NULL, account TEXT NOT NULL,
		begun BIGINT NOT NULL, made BIGINT NOT NULL, seen BIGINT NOT NULL, rotated BIGINT NOT NULL DEFAULT 0, source TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS tokens (
		no SERIAL,
		hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, owner TEXT NOT NULL, role TEXT NOT NULL, scope TEXT NOT NULL, estates TEXT NOT NULL,
		created BIGINT NOT NULL, expires BIGINT NOT NULL, used BIGINT NOT NULL DEFAULT 0, revoked BIGINT NOT NULL DEFAULT 0)`,
	// sum is over the row and the sum before it, so that a row that was changed or taken out shows.
	`CREATE TABLE IF NOT EXISTS audit (
		no BIGINT PRIMARY KEY,
		at BIGINT NOT NULL, who TEXT NOT NULL, source TEXT NOT NULL, what TEXT NOT NULL, estate TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL,
		sum TEXT NOT NULL)`,
	// hash is of an enrolment's one-time token, or of the link that makes the first account.
	`CREATE TABLE IF NOT EXISTS enrolments (
		hash TEXT PRIMARY KEY, estate TEXT NOT NULL, terminal TEXT NOT NULL, made_by TEXT NOT NULL,
		created BIGINT NOT NULL, expires BIGINT NOT NULL, used BIGINT NOT NULL DEFAULT 0, used_by TEXT NOT NULL DEFAULT '')`,
	`CREATE TABLE IF NOT EXISTS certificates (
		serial TEXT PRIMARY KEY, estate TEXT NOT NULL, terminal TEXT NOT NULL, authority TEXT NOT NULL,
		not_before BIGINT NOT NULL, not_after BIGINT NOT NULL, renews TEXT NOT NULL DEFAULT '',
		worked BIGINT NOT NULL DEFAULT 0, revoked BIGINT NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '')`,
	`CREATE INDEX IF NOT EXISTS certificates_terminal ON certificates (estate, terminal)`,
	`CREATE INDEX IF NOT EXISTS certificates_end ON certificates (not_after)`,
	// What was told of an incident by each way.
	`CREATE TABLE IF NOT EXISTS notices (
		way TEXT NOT NULL, incident BIGINT NOT NULL, told TEXT NOT NULL, at BIGINT NOT NULL,
		PRIMARY KEY (way, incident))`,
}

// ErrTaken is the error when the name is in use.
var ErrTaken = errors.New("there already")

// An Account is a person, or a group of them, who may sign in.
type Account struct {
	Name     string    `json:"name"`
	Password string    `json:"-"` // argon2id in PHC form; empty: signs in by OpenID only
	Subject  string    `json:"subject,omitempty"`
	Role     string    `json:"role"`
	Estates  Estates   `json:"estates"` // nil: all
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
}

const accountColumns = "name, password, subject, role, estates, disabled, created, changed"

func estatesText(list Estates) string {
	if list == nil {
		return ""
	}
	b, _ := json.Marshal(list) // strings always can
	return string(b)
}

func textEstates(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	list := []string{}
	err := json.Unmarshal([]byte(s), &list)
	return list, err
}

func scanAccount(r interface{ Scan(...any) error }) (Account, error) {
	var a Account
	var estates string
	var disabled, created, changed int64
	if err := r.Scan(&a.Name, &a.Password, &a.Subject, &a.Role, &estates, &disabled, &created, &changed); err != nil {
		return Account{}, err
	}
	var err error
	a.Estates, err = textEstates(estates)
	a.Disabled, a.Created, a.Changed = disabled != 0, fromMillis(created), fromMillis(changed)
	return a, err
}

// Account returns one account; ErrNone if there is none of that name.
func (s *Store) Account(ctx context.Context, name string) (Account, error) {
	a, err := scanAccount(
		s.read.QueryRowContext(ctx, s.sql("SELECT "+accountColumns+" FROM accounts WHERE name = ?"), clean(name)),
	)
	return a, none(err, "read account")
}

// AccountOf returns the account of an OpenID subject.
func (s *Store) AccountOf(ctx context.Context, subject string) (Account, error) {
	a, err := scanAccount(
		s.read.QueryRowContext(
			ctx,
			s.sql("SELECT "+accountColumns+" FROM accounts WHERE subject = ? AND subject <> ''"),
			clean(subject),
		),
	)
	return a, none(err, "read account")
}

// Accounts lists all accounts by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT "+accountColumns+" FROM accounts ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	defer rows.Close()
	list := []Account{}
	for rows.Next() {
		a, err := scanAccount(rows)
		if err != nil {
			return nil, fmt.Errorf("list accounts: %w", err)
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// OwnerHere begins the owner's name of what is made at the machine's own command line. No account's name can hold a
// colon.
const OwnerHere = "cli:"

// AddAccount adds an account; ErrTaken if the name is there. Tokens that an earlier release made at the command line
// are owned by the bare name of the operating system's user: those stay the machine's, not the new account's.
func (s *Store) AddAccount(ctx context.Context, a Account) error {
	name := clean(a.Name)
	return s.inTx(ctx, "add account", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(
			ctx,
			s.sql("INSERT INTO accounts ("+accountColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"),
			name,
			a.Password,
			clean(a.Subject),
			a.Role,
			estatesText(a.Estates),
			flag(a.Disabled),
			millis(a.Created),
			millis(a.Changed),
		)
		if err := one(r, err, "add account", ErrTaken); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.sql("UPDATE tokens SET owner = ? WHERE owner = ?"), OwnerHere+name, name)
		return err
	})
}

// SaveAccount writes the changes of an account and ends its sessions, so that none goes on with the rights that it had
// before.
func (s *Store) SaveAccount(ctx context.Context, a Account) error {
	return s.inTx(ctx, "save account", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(
			ctx,
			s.sql(
				"UPDATE accounts SET password = ?, subject = ?, role = ?, estates = ?, disabled = ?, changed = ? WHERE name = ?",
			),
			a.Password,
			clean(a.Subject),
			a.Role,
			estatesText(a.Estates),
			flag(a.Disabled),
			millis(a.Changed),
			a.Name,
		)
		if err := one(r, err, "save account", ErrNone); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.sql("DELETE FROM sessions WHERE account = ?"), a.Name)
		return err
	})
}

// A Session is one secret of a sign-in.
type Session struct {
	Hash, Family, Account string
	Begun, Made, Seen     time.Time
	Rotated               time.Time // when it got a successor
	Source                string
}

// AddSession stores a session. With after it follows that one, which can have one successor only.
func (s *Store) AddSession(ctx context.Context, v Session, after string) error {
	return s.inTx(ctx, "add session", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(
			ctx,
			s.sql("INSERT INTO sessions (hash, family, account, begun, made, seen, source) VALUES (?, ?, ?, ?, ?, ?, ?)"),
			v.Hash,
			v.Family,
			v.Account,
			millis(v.Begun),
			millis(v.Made),
			millis(v.Seen),
			clean(v.Source),
		)
		if err == nil && after != "" {
			_, err = tx.ExecContext(
				ctx,
				s.sql("UPDATE sessions SET rotated = ? WHERE hash = ? AND rotated = 0"),
				millis(v.Made),
				after,
			)
		}
		return err
	})
}

// Session returns a session and its account.
func (s *Store) Session(ctx context.Context, hash string) (Session, Account, error) {
	v := Session{Hash: hash}
	var begun, made, seen, rotated int64
	err := s.read.QueryRowContext(ctx, s.sql("SELECT family, account, begun, made, seen, rotated, source FROM sessions WHERE hash = ?"), hash).
		Scan(&v.Family, &v.Account, &begun, &made, &seen, &rotated, &v.Source)
	if err != nil {
		return Session{}, Account{}, none(err, "read session")
	}
	v.Begun, v.Made, v.Seen, v.Rotated = fromMillis(begun), fromMillis(made), fromMillis(seen), fromMillis(rotated)
	a, err := s.Account(ctx, v.Account)
	return v, a, err
}

// SawSession notes that a session is in use.
func (s *Store) SawSession(ctx context.Context, hash string, at time.Time) error {
	_, err := s.write.ExecContext(ctx, s.sql("UPDATE sessions SET seen = ? WHERE hash = ?"), millis(at), hash)
	return wrap(err, "note session")
}

// EndSessions ends all sessions of a sign-in.
func (s *Store) EndSessions(ctx context.Context, family string) error {
	_, err := s.write.ExecContext(ctx, s.sql("DELETE FROM sessions WHERE family = ?"), family)
	return wrap(err, "end session")
}

// A Token gives a program access.
type Token struct {
	No      int64     `json:"no"`
	Hash    string    `json:"-"`
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Role    string    `json:"role"`
	Scope   string    `json:"scope"`
	Estates Estates   `json:"estates"` // nil: all
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
}

const tokenColumns = "no, hash, name, owner, role, scope, estates, created, expires, used, revoked"

func scanToken(r interface{ Scan(...any) error }) (Token, error) {
	var t Token
	var estates string
	var created, expires, used, revoked int64
	err := r.Scan(&t.No, &t.Hash, &t.Name, &t.Owner, &t.Role, &t.Scope, &estates, &created, &expires, &used, &revoked)
	if err != nil {
		return Token{}, err
	}
	t.Estates, err = textEstates(estates)
	t.Created, t.Expires, t.Used, t.Revoked = fromMillis(
		created,
	), fromMillis(
		expires,
	), fromMillis(
		used,
	), fromMillis(
		revoked,
	)
	return t, err
}

// AddToken keeps a token and returns its number.
func (s *Store) AddToken(ctx context.Context, t Token) (int64, error) {
	var no int64
	err := s.write.QueryRowContext(ctx, s.sql("INSERT INTO tokens (hash, name, owner, role, scope, estates, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING no"),
		t.Hash, clean(t.Name), t.Owner, t.Role, t.Scope, estatesText(t.Estates), millis(t.Created), millis(t.Expires)).
		Scan(&no)
	return no, wrap(err, "add token")
}

// Token returns a token by its hash.
func (s *Store) Token(ctx context.Context, hash string) (Token, error) {
	t, err := scanToken(s.read.QueryRowContext(ctx, s.sql("SELECT "+tokenColumns+" FROM tokens WHERE hash = ?"), hash))
	return t, none(err, "read token")
}

// Tokens lists the tokens, newest first.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT "+tokenColumns+" FROM tokens ORDER BY no DESC")
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	defer rows.Close()
	list := []Token{}
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, fmt.Errorf("list tokens: %w", err)
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// UsedToken notes that a token was used.
func (s *Store) UsedToken(ctx context.Context, no int64, at time.Time) error {
	_, err := s.write.ExecContext(ctx, s.sql("UPDATE tokens SET used = ? WHERE no = ?"), millis(at), no)
	return wrap(err, "note token")
}

// RevokeToken makes a token worthless; ErrNone if there is no valid one of that number.
func (s *Store) RevokeToken(ctx context.Context, no int64, at time.Time) error {
	r, err := s.write.ExecContext(ctx, s.sql("UPDATE tokens SET revoked = ? WHERE no = ? AND revoked = 0"), millis(at), no)
	return one(r, err, "revoke token", ErrNone)
}

// An AuditEntry is something that was done, or refused, and by which account.
type AuditEntry struct {
	No     int64     `json:"no"`
	At     time.Time `json:"at"`
	Who    string    `json:"who"`    // account, or token:NUMBER
	Source string    `json:"source"` // address, or "cli"
	What   string    `json:"what"`   // a word of ours: login, account.add, incident.close
	Estate string    `json:"estate"` // empty: of the whole fleet
	Object string    `json:"object"` // what it was done to
	Detail string    `json:"detail"`
	Sum    string    `json:"sum"` // over this and the sum before
}

func (e AuditEntry) sum(before string) string {
	b, _ := json.Marshal([]any{before, e.No, millis(e.At), e.Who, e.Source, e.What, e.Estate, e.Object, e.Detail})
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// maxAudit bounds the log; the oldest go first.
const maxAudit = 1_000_000

// lockAudit is the number under which processes on one PostgreSQL write the log one after the other.
const lockAudit = 0x706f7364_78_03

// Audit adds entries, all or none. No code changes an entry or deletes one, except that the oldest beyond a million are
// deleted.
func (s *Store) Audit(ctx context.Context, list ...AuditEntry) error {
	return s.inTx(ctx, "write audit log", func(tx *sql.Tx) error {
		if s.pg {
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockAudit)); err != nil {
				return err
			}
		}
		var no int64
		var before string
		err := tx.QueryRowContext(ctx, "SELECT no, sum FROM audit ORDER BY no DESC LIMIT 1").Scan(&no, &before)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		for _, e := range list {
			for _, f := range []*string{&e.Who, &e.Source, &e.What, &e.Estate, &e.Object, &e.Detail} {
				*f = cut(clean(*f), 500)
			}
			no++
			e.No = no
			e.Sum = e.sum(before)
			before = e.Sum
			if _, err := tx.ExecContext(ctx, s.sql("INSERT INTO audit (no, at, who, source, what, estate, object, detail, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"),
				e.No, millis(e.At), e.Who, e.Source, e.What, e.Estate, e.Object, e.Detail, e.Sum); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, s.sql("DELETE FROM audit WHERE no <= ?"), no-maxAudit)
		return err
	})
}

// An AuditFilter chooses entries; an empty field does not restrict.
type AuditFilter struct {
	In        Estates
	Who, What string
	Before    int64 // entries with a lower number
	// of Since or later, and before Until
	Since, Until time.Time
	Limit        int // 1 to MaxRows, 0 means 50
}

// Audits lists entries, newest first.
func (s *Store) Audits(ctx context.Context, f AuditFilter) ([]AuditEntry, error) {
	q, args := "SELECT no, at, who, source, what, estate, object, detail, sum FROM audit WHERE 1 = 1", []any{}
	if cond, a := f.In.only("estate"); cond != "" {
		q, args = q+" AND "+cond, append(args, a...)
	}
	if f.Who != "" {
		q, args = q+" AND who = ?", append(args, clean(f.Who))
	}
	if f.What != "" {
		q, args = q+" AND what = ?", append(args, clean(f.What))
	}
	if f.Before > 0 {
		q, args = q+" AND no < ?", append(args, f.Before)
	}
	if !f.Since.IsZero() {
		q, args = q+" AND at >= ?", append(args, millis(f.Since))
	}
	if !f.Until.IsZero() {
		q, args = q+" AND at < ?", append(args, millis(f.Until))
	}
	list := []AuditEntry{}
	err := s.eachAudit(
		ctx,
		fmt.Sprintf("%s ORDER BY no DESC LIMIT %d", q, Filter{Limit: f.Limit}.limit()),
		args,
		func(e AuditEntry) error {
			list = append(list, e)
			return nil
		},
	)
	return list, err
}

func (s *Store) eachAudit(ctx context.Context, q string, args []any, each func(AuditEntry) error) error {
	rows, err := s.read.QueryContext(ctx, s.sql(q), args...)
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e AuditEntry
		var at int64
		if err := rows.Scan(&e.No, &at, &e.Who, &e.Source, &e.What, &e.Estate, &e.Object, &e.Detail, &e.Sum); err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
		e.At = fromMillis(at)
		if err := each(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// VerifyAudit recomputes every sum and returns the last entry's number and sum, which a copy kept elsewhere can be
// compared with. An error names the first entry that was changed, or before which one is missing.
func (s *Store) VerifyAudit(ctx context.Context) (last AuditEntry, err error) {
	err = s.eachAudit(
		ctx,
		"SELECT no, at, who, source, what, estate, object, detail, sum FROM audit ORDER BY no",
		nil,
		func(e AuditEntry) error {
			switch {
			case last.No != 0 && e.No != last.No+1:
				return fmt.Errorf("audit log: entries %d to %d are missing", last.No+1, e.No-1)
			case (last.No != 0 || e.No == 1) && e.sum(last.Sum) != e.Sum:
				return fmt.Errorf("audit log: entry %d is not what was written", e.No)
			}
			last = e
			return nil
		},
	)
	return last, err
}

// Notices returns which incidents were told of by one way.
func (s *Store) Notices(ctx context.Context, way string) (map[int64]string, error) {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT incident, told FROM notices WHERE way = ?"), way)
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	defer rows.Close()
	told := map[int64]string{}
	for rows.Next() {
		var no int64
		var what string
		if err := rows.Scan(&no, &what); err != nil {
			return nil, fmt.Errorf("read notices: %w", err)
		}
		told[no] = what
	}
	return told, rows.Err()
}

// Notice records that an incident was told of by one way.
func (s *Store) Notice(ctx context.Context, way string, incident int64, told string, at time.Time) error {
	_, err := s.write.ExecContext(ctx, s.sql(`INSERT INTO notices (way, incident, told, at) VALUES (?, ?, ?, ?)
		ON CONFLICT (way, incident) DO UPDATE SET told = excluded.told, at = excluded.at`), way, incident, told, millis(at))
	return wrap(err, "note notice")
}

// SweepAccess deletes sessions and one-time tokens that are over, and old records of notices.
func (s *Store) SweepAccess(ctx context.Context, sessionsBefore, now time.Time) error {
	for _, d := range []struct {
		stmt string
		at   time.Time
	}{{"DELETE FROM sessions WHERE begun < ?", sessionsBefore}, {"DELETE FROM enrolments WHERE expires < ?", now.Add(-30 * 24 * time.Hour)},
		{"DELETE FROM notices WHERE at < ?", now.Add(-180 * 24 * time.Hour)}} {
		if _, err := s.write.ExecContext(ctx, s.sql(d.stmt), millis(d.at)); err != nil {
			return fmt.Errorf("sweep access: %w", err)
		}
	}
	return nil
}

func (s *Store) inTx(ctx context.Context, what string, do func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		if errors.Is(err, ErrNone) || errors.Is(err, ErrTaken) {
			return err
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	return wrap(tx.Commit(), what)
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// none turns the database's word for nothing into ours.
func none(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNone
	}
	return wrap(err, what)
}

// one returns other when a statement changed nothing.
func one(r sql.Result, err error, what string, other error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return other
	}
	return nil
}

// cut shortens a text to so many bytes, at a rune's end.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
