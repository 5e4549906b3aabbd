package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"posdx/agent/report"
)

// An Enrollment is a token with which one terminal gets its first certificate.
type Enrollment struct {
	Hash             string
	At               report.Address
	By               string
	Created, Expires time.Time
}

// AddEnrollment keeps an enrolment.
func (s *Store) AddEnrollment(ctx context.Context, e Enrollment) error {
	_, err := s.write.ExecContext(
		ctx,
		s.sql("INSERT INTO enrolments (hash, estate, terminal, made_by, created, expires) VALUES (?, ?, ?, ?, ?, ?)"),
		e.Hash,
		e.At.Estate,
		e.At.Terminal,
		clean(e.By),
		millis(e.Created),
		millis(e.Expires),
	)
	return wrap(err, "add enrolment")
}

// UseEnrollment marks a token as used by one key. ErrNone: there is no such token, it has expired, or another key has
// used it.
func (s *Store) UseEnrollment(ctx context.Context, hash, key string, now time.Time) (Enrollment, error) {
	e := Enrollment{Hash: hash}
	r, err := s.write.ExecContext(
		ctx,
		s.sql("UPDATE enrolments SET used = ?, used_by = ? WHERE hash = ? AND expires > ? AND (used = 0 OR used_by = ?)"),
		millis(now),
		key,
		hash,
		millis(now),
		key,
	)
	if err := one(r, err, "use enrolment", ErrNone); err != nil {
		return e, err
	}
	err = s.write.QueryRowContext(ctx, s.sql("SELECT estate, terminal FROM enrolments WHERE hash = ?"), hash).
		Scan(&e.At.Estate, &e.At.Terminal)
	return e, none(err, "use enrolment")
}

// A Certificate is one that the fleet's authority issued to a terminal.
type Certificate struct {
	Serial    string // hexadecimal
	At        report.Address
	Authority string // fingerprint of who issued it
	From, To  time.Time
	Renews    string    // serial of the one before
	Worked    time.Time // first seen in use
	Revoked   time.Time
	Reason    string
}

const certificateColumns = "serial, estate, terminal, authority, not_before, not_after, renews, worked, revoked, reason"

func scanCertificate(r interface{ Scan(...any) error }) (Certificate, error) {
	var c Certificate
	var from, to, worked, revoked int64
	err := r.Scan(
		&c.Serial,
		&c.At.Estate,
		&c.At.Terminal,
		&c.Authority,
		&from,
		&to,
		&c.Renews,
		&worked,
		&revoked,
		&c.Reason,
	)
	c.From, c.To, c.Worked, c.Revoked = fromMillis(from), fromMillis(to), fromMillis(worked), fromMillis(revoked)
	return c, err
}

// AddCertificate keeps what was issued.
func (s *Store) AddCertificate(ctx context.Context, c Certificate) error {
	_, err := s.write.ExecContext(
		ctx,
		s.sql(
			"INSERT INTO certificates (serial, estate, terminal, authority, not_before, not_after, renews) VALUES (?, ?, ?, ?, ?, ?, ?)",
		),
		c.Serial,
		c.At.Estate,
		c.At.Terminal,
		c.Authority,
		millis(c.From),
		millis(c.To),
		c.Renews,
	)
	return wrap(err, "add certificate")
}

// Certificate returns one certificate.
func (s *Store) Certificate(ctx context.Context, serial string) (Certificate, error) {
	c, err := scanCertificate(
		s.read.QueryRowContext(ctx, s.sql("SELECT "+certificateColumns+" FROM certificates WHERE serial = ?"), serial),
	)
	return c, none(err, "read certificate")
}

// WorkedCertificate records that a certificate is in use.
func (s *Store) WorkedCertificate(ctx context.Context, serial string, at time.Time) error {
	_, err := s.write.ExecContext(
		ctx,
		s.sql("UPDATE certificates SET worked = ? WHERE serial = ? AND worked = 0"),
		millis(at),
		serial,
	)
	return wrap(err, "note certificate")
}

// RevokeCertificates revokes every certificate of a terminal, and tokens that it has not used; it returns how many of
// both.
func (s *Store) RevokeCertificates(
	ctx context.Context,
	at report.Address,
	reason string,
	now time.Time,
) (n int64, err error) {
	err = s.inTx(ctx, "revoke certificates", func(tx *sql.Tx) error {
		for _, q := range []struct {
			stmt string
			args []any
		}{
			{"UPDATE certificates SET revoked = ?, reason = ? WHERE estate = ? AND terminal = ? AND revoked = 0", []any{millis(now), cut(clean(reason), 200), at.Estate, at.Terminal}},
			{"UPDATE enrolments SET expires = ? WHERE estate = ? AND terminal = ? AND expires > ?", []any{millis(now), at.Estate, at.Terminal, millis(now)}},
		} {
			r, err := tx.ExecContext(ctx, s.sql(q.stmt), q.args...)
			if err != nil {
				return err
			}
			k, err := r.RowsAffected()
			if err != nil {
				return err
			}
			n += k
		}
		return nil
	})
	return n, err
}

// Revoked lists the revoked certificates that ended since a moment or have not ended.
func (s *Store) Revoked(ctx context.Context, since time.Time) ([]Certificate, error) {
	return s.certificates(ctx, "revoked > 0 AND not_after >= ? ORDER BY revoked", millis(since))
}

// RevokeSerials revokes certificates by their serials, those that are not known here too, so that they can be named as
// revoked. It returns how many were not revoked before.
func (s *Store) RevokeSerials(ctx context.Context, list []Certificate) (n int, err error) {
	err = s.inTx(ctx, "revoke certificates", func(tx *sql.Tx) error {
		for _, c := range list {
			r, err := tx.ExecContext(ctx, s.sql(`INSERT INTO certificates
				(serial, estate, terminal, authority, not_before, not_after, renews, revoked, reason) VALUES (?, '', '', ?, 0, ?, '', ?, 'crl')
				ON CONFLICT (serial) DO UPDATE SET revoked = excluded.revoked, reason = excluded.reason WHERE certificates.revoked = 0`),
				c.Serial, c.Authority, millis(c.To), max(1, millis(c.Revoked)))
			if err != nil {
				return err
			}
			k, err := r.RowsAffected()
			if err != nil {
				return err
			}
			n += int(k)
		}
		return nil
	})
	return n, err
}

// maxCertificates bounds a list.
const maxCertificates = 200_000

// Certificates lists what was issued to a terminal, the newest first.
func (s *Store) Certificates(ctx context.Context, in Estates, at report.Address) ([]Certificate, error) {
	if !in.Has(at.Estate) {
		return nil, ErrNone
	}
	return s.certificates(ctx, "estate = ? AND terminal = ? ORDER BY not_after DESC", at.Estate, at.Terminal)
}

func (s *Store) certificates(ctx context.Context, where string, args ...any) ([]Certificate, error) {
	rows, err := s.read.QueryContext(
		ctx,
		s.sql(fmt.Sprintf("SELECT %s FROM certificates WHERE %s LIMIT %d", certificateColumns, where, maxCertificates)),
		args...)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	defer rows.Close()
	var list []Certificate
	for rows.Next() {
		c, err := scanCertificate(rows)
		if err != nil {
			return nil, fmt.Errorf("list certificates: %w", err)
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// IssuedSince counts what was issued to a terminal since a moment.
func (s *Store) IssuedSince(ctx context.Context, at report.Address, since time.Time) (int, error) {
	var n int
	err := s.read.QueryRowContext(ctx, s.sql("SELECT count(*) FROM certificates WHERE estate = ? AND terminal = ? AND not_before >= ?"), at.Estate, at.Terminal, millis(since)).
		Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, wrap(err, "count certificates")
}
