package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// ErrNotLite is the error of an operation that exists for SQLite only: PostgreSQL has better tools of its own.
var ErrNotLite = errors.New("the store is PostgreSQL: use pg_dump and pg_restore")

// Backup writes a whole and consistent copy to a file that must not be there yet, while everything else goes on.
func (s *Store) Backup(ctx context.Context, file string) error {
	if s.pg {
		return ErrNotLite
	}
	// The copy is made with the rights of whoever asks, and has password hashes in it.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("back up store: %w", err)
	}
	f.Close()
	c, err := s.read.Conn(ctx)
	if err != nil {
		return fmt.Errorf("back up store: %w", err)
	}
	defer c.Close()
	// An empty file counts as a new database.
	if _, err := c.ExecContext(ctx, "PRAGMA query_only(0)"); err == nil {
		_, err = c.ExecContext(ctx, "VACUUM INTO ?", file)
		c.ExecContext(context.WithoutCancel(ctx), "PRAGMA query_only(1)")
		if err != nil {
			os.Remove(file)
			return fmt.Errorf("back up store: %w", err)
		}
	}
	return nil
}

// Check reads a whole SQLite file and returns its schema version, or an error that tells what is wrong with it.
func Check(ctx context.Context, file string) (version int, err error) {
	if _, err := os.Stat(file); err != nil {
		return 0, fmt.Errorf("check store: %w", err)
	}
	db, err := sql.Open("sqlite", liteAddress(file)+"&mode=ro")
	if err != nil {
		return 0, fmt.Errorf("check store: %w", err)
	}
	defer db.Close()
	var says string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&says); err != nil {
		return 0, fmt.Errorf("check store: %w", err)
	}
	if says != "ok" {
		return 0, fmt.Errorf("check store: damaged: %s", says)
	}
	if err := db.QueryRowContext(ctx, "SELECT version FROM meta WHERE only_row = 1").Scan(&version); err != nil {
		return 0, fmt.Errorf("check store: not one of posdx-fleet: %w", err)
	}
	if version < 1 || version > schemaVersion {
		return version, fmt.Errorf("check store: version %d, this program knows versions 1 to %d", version, schemaVersion)
	}
	return version, nil
}

// Version is the schema version that this program writes.
func Version() int { return schemaVersion }

// Down takes the store back to an earlier release's version, in one transaction. No process may serve it: ErrInUse if
// one leads on PostgreSQL; a SQLite store must be claimed before it is opened.
func (s *Store) Down(ctx context.Context, to int) error {
	return s.inTx(ctx, "take store back", func(tx *sql.Tx) error {
		if s.pg {
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockSchema)); err != nil {
				return err
			}
			var free bool
			err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(lockLead)).Scan(&free)
			if err == nil && !free {
				err = ErrInUse
			}
			if err != nil {
				return err
			}
		}
		var v int
		if err := tx.QueryRowContext(ctx, "SELECT version FROM meta WHERE only_row = 1").Scan(&v); err != nil {
			return err
		}
		if to < 1 || to > v {
			return fmt.Errorf("to version %d: the store has %d", to, v)
		}
		for ; v > to; v-- {
			back, err := undo(v)
			if err != nil {
				return err
			}
			for of, write := range map[int]func(context.Context, *sql.Tx) error{4: s.plain, 6: s.inRows} {
				if v != of {
					continue
				}
				if err := write(ctx, tx); err != nil { // in the older way
					return fmt.Errorf("from version %d to %d: %w", v, v-1, err)
				}
			}
			for _, stmt := range back {
				if stmt = s.types(stmt); stmt == "" {
					continue
				}
				if _, err := tx.ExecContext(ctx, stmt); err != nil {
					return fmt.Errorf("from version %d to %d: %w", v, v-1, err)
				}
			}
		}
		_, err := tx.ExecContext(ctx, s.sql("UPDATE meta SET version = ? WHERE only_row = 1"), to)
		return err
	})
}

// steps is how each kind of a migration's statements is taken back.
var steps = []struct {
	made *regexp.Regexp
	back string
}{
	{regexp.MustCompile(`^CREATE TABLE IF NOT EXISTS (\w+)`), "DROP TABLE $1"},
	{regexp.MustCompile(`^sqlite:CREATE TRIGGER IF NOT EXISTS (\w+)`), "sqlite:DROP TRIGGER $1"},
	{regexp.MustCompile(`^INSERT INTO reports`), ""}, // it goes with its table
	{regexp.MustCompile(`^CREATE INDEX IF NOT EXISTS (\w+)`), "DROP INDEX $1"},
	{regexp.MustCompile(`^ALTER TABLE (\w+) ADD COLUMN (\w+)`), "ALTER TABLE $1 DROP COLUMN $2"},
	{regexp.MustCompile(`^DROP INDEX diagnoses_received$`), "CREATE INDEX diagnoses_received ON diagnoses (received)"},
}

// past are the indexes of earlier releases that this one took out.
var past = map[string]string{
	"diagnoses_received": "CREATE INDEX diagnoses_received ON diagnoses (received)",
	"diagnoses_cause":    "CREATE INDEX diagnoses_cause ON diagnoses (cause, place)",
}

// undo returns the statements that take a store of version v back by one version: the reverse of those that made it.
// What only the later release stored is lost with its tables.
func undo(v int) (list []string, err error) {
	if v <= 2 { // since then diagnoses are packed
		return nil, fmt.Errorf(
			"from version %d to %d: what it holds cannot be written in the older way; restore a backup of that release",
			v,
			v-1,
		)
	}
	made := migrations[v-1]
	if v == 4 {
		made = made[len(byMonth):]
		defer func() { list = append(list, inOne...) }()
	}
	for _, made := range slices.Backward(made) {
		if name, ok := strings.CutPrefix(made, "DROP INDEX "); ok {
			before, ok := past[name]
			if !ok {
				return nil, fmt.Errorf("from version %d to %d: no way back from %.60q", v, v-1, made)
			}
			list = append(list, before)
			continue
		}
		i := slices.IndexFunc(steps, func(s struct {
			made *regexp.Regexp
			back string
		}) bool {
			return s.made.MatchString(made)
		})
		if i < 0 {
			return nil, fmt.Errorf("from version %d to %d: no way back from %.60q", v, v-1, made)
		}
		m := steps[i].made.FindStringSubmatchIndex(made)
		list = append(list, string(steps[i].made.ExpandString(nil, steps[i].back, made, m)))
	}
	return list, nil
}
