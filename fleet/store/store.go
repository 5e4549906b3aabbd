// Package store keeps what the terminals of a fleet reported: SQLite by default, PostgreSQL by address.
//
// Every write is one transaction, synced to disk before it returns, so that a document may be acknowledged as soon as
// Commit has returned.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"
)

// A Store holds the fleet's documents. Any number of goroutines may use it.
type Store struct {
	write *sql.DB // SQLite: one connection, since it has one writer
	read  *sql.DB
	pg    bool
	most  int          // terminals
	log   string       // SQLite: the file of the log
	logAt atomic.Int64 // SQLite: the size from which on it is to begin anew

	plans sync.Map // SQLite: of write, statements by their text that batches need again and again
	// PostgreSQL: the months, by their first millisecond, that have a part of the table of diagnoses, and how many this
	// process brought there.
	months sync.Map
}

// readers is the number of SQLite connections that serve pages; more only add page caches.
const readers = 4

// SQLite's log is copied into the file once it has so many pages. Whoever reads meanwhile keeps it from beginning anew,
// and readers that are never all gone would let it grow without end: beyond logMost the writer waits for them.
const (
	pageSize = 4096 // SQLite's own default
	logPages = 48_000
	logMost  = 4 * logPages * pageSize
)

// pgConns bounds the connections to PostgreSQL, whose default limit is 100 for all its clients.
const pgConns = 8

// Where two processes open a file at once that has no log yet, SQLite tells one of them that it is locked without
// waiting as it does otherwise: each would wait for the other (sqlite.org/wal.html, "Sometimes Queries Return
// SQLITE_BUSY").
const busyFor, busyAgain = 10 * time.Second, 20 * time.Millisecond

// ErrAddress is the error of an address that is none.
var ErrAddress = errors.New("want sqlite:PATH or postgres://user@host/database")

// Open opens or creates a store. The address is "sqlite:PATH" or a PostgreSQL URL ("postgres://user@host/db").
func Open(ctx context.Context, address string) (*Store, error) {
	s := &Store{most: MaxTerminals}
	var err error
	var writer string // SQLite: how its one writing connection is opened
	switch path, isLite := strings.CutPrefix(address, "sqlite:"); {
	case isLite && path != "":
		if err := ownFile(path); err != nil {
			return nil, fmt.Errorf("open store %q: %w", path, err)
		}
		dsn := liteAddress(path) + "&_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
		// A longer log before it is copied into the file saves writing the pages of the indices again and again, and room
		// for them saves reading them.
		writer = dsn + fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)&_pragma=cache_size(-64000)&_pragma=journal_size_limit(%d)",
			logPages, logPages*pageSize)
		dsn += "&_pragma=cache_size(-16000)"
		s.log = path + "-wal"
		s.logAt.Store(logMost)
		if s.write, err = sql.Open("sqlite", writer); err != nil {
			return nil, fmt.Errorf("open store %q: %w", path, err)
		}
		s.write.SetMaxOpenConns(1)
		if s.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
			s.write.Close()
			return nil, fmt.Errorf("open store %q: %w", path, err)
		}
		s.read.SetMaxOpenConns(readers)
	case strings.HasPrefix(address, "postgres://"), strings.HasPrefix(address, "postgresql://"):
		if s.write, err = sql.Open("pgx", address); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
		s.write.SetMaxOpenConns(pgConns)
		s.read, s.pg = s.write, true
	default:
		return nil, fmt.Errorf("store %q: %w", address, ErrAddress)
	}
	err = s.create(ctx)
	for until := time.Now().Add(busyFor); locked(err) && time.Now().Before(until) && ctx.Err() == nil; {
		time.Sleep(busyAgain)
		err = s.create(ctx)
	}
	if err == nil && !s.pg {
		// What a statement would undo is at most a part of one batch, and goes to memory, not to a file of its own. What a
		// migration sorts may be all there is: so only now. It is part of the address, since a connection whose statement
		// was cut off is made anew.
		var again *sql.DB
		if again, err = sql.Open("sqlite", writer+"&_pragma=temp_store(MEMORY)"); err == nil {
			again.SetMaxOpenConns(1)
			err = again.PingContext(ctx) // before the other goes, so that the log does not go with it
			s.write.Close()
			s.write = again
		}
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// Admit sets how many terminals the store has room for; it is called before anything is committed.
func (s *Store) Admit(terminals int) { s.most = terminals }

// ownFile keeps others from reading the store: password hashes are in it. SQLite gives its side files the same mode.
func ownFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return f.Chmod(0o600)
}

func liteAddress(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)"
}

// Close closes the store; no other call may be running.
func (s *Store) Close() error {
	if s.read != nil && s.read != s.write {
		s.read.Close()
	}
	return s.write.Close()
}

// Alive returns an error if the store cannot be written to.
func (s *Store) Alive(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, s.sql("UPDATE meta SET alive = ? WHERE only_row = 1"), time.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("write to store: %w", err)
	}
	return nil
}

// schemaVersion is that of tables. migrations[v] takes a store of version v one version on; a store of a later version
// is refused, since nothing here knows what it means.
const schemaVersion = 7

// migrations are kept for ever: every release's store can be brought to this one's. Each is one transaction with the
// raised version, so a run that is cut off changes nothing. BYTES and SERIAL stand for the database's own types,
// WITHOUT ROWID is for SQLite; a statement after "postgres:" or "sqlite:" is for that one only.
var migrations = map[int][]string{
	1: {
		`ALTER TABLE terminals ADD COLUMN good_at BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE terminals ADD COLUMN limited BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE diagnoses ADD COLUMN packed BYTES`,
		`ALTER TABLE diagnoses ADD COLUMN entry TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE incidents ADD COLUMN detail TEXT NOT NULL DEFAULT ''`,
		seasons,
		`CREATE TABLE IF NOT EXISTS outcomes (
			estate TEXT NOT NULL, terminal TEXT NOT NULL, diagnosis TEXT NOT NULL, outcome TEXT NOT NULL, cause TEXT NOT NULL,
			at BIGINT NOT NULL, received BIGINT NOT NULL,
			PRIMARY KEY (estate, terminal, diagnosis))`,
	},
	2: slices.Concat([]string{
		`ALTER TABLE diagnoses ADD COLUMN p DOUBLE PRECISION NOT NULL DEFAULT 0`,
		`ALTER TABLE diagnoses ADD COLUMN repeats BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE terminals ADD COLUMN failed_at BIGINT NOT NULL DEFAULT 0`,
		`DROP INDEX diagnoses_received`,
		diagnosesReceived,
		`DROP INDEX diagnoses_cause`,
		diagnosesCause,
		`ALTER TABLE outcomes ADD COLUMN p DOUBLE PRECISION NOT NULL DEFAULT 0`,
		`ALTER TABLE outcomes ADD COLUMN code TEXT NOT NULL DEFAULT ''`,
	}, desk, accessTables),
	// Documents are packed in a form that earlier releases do not know; Down unpacks them.
	3: byMonth,
	4: {`ALTER TABLE diagnoses ADD COLUMN ` + cardScheme, seasonsCourse, seasonsHour},
	// What is there by value stays as it is until it is over; Down writes what came since in the same way.
	5: {seasonParts, seasonPartsHour},
	6: {reports, reportsFill, reportsRevised},
}

// diagnosesReceived holds the estate too, so that to count those of some does not read the documents.
const diagnosesReceived = `CREATE INDEX IF NOT EXISTS diagnoses_received ON diagnoses (received, estate)`

// diagnosesCause holds what counting the terminals of an incident needs.
const diagnosesCause = `CREATE INDEX IF NOT EXISTS diagnoses_cause ON diagnoses (cause, place, estate, terminal, received, historical)`

const (
	diagnosesCode     = `CREATE INDEX IF NOT EXISTS diagnoses_code ON diagnoses (code, place)`
	diagnosesTerminal = `CREATE INDEX IF NOT EXISTS diagnoses_terminal ON diagnoses (estate, terminal, stream, boot, seq)`
)

// desk is what people do at the pages, and what pages ask by beside the documents.
var desk = []string{
	// Whom an incident is with. Incidents themselves are written by who looks for them.
	`CREATE TABLE IF NOT EXISTS incident_care (
		incident BIGINT PRIMARY KEY, owner TEXT NOT NULL, acknowledged BIGINT NOT NULL, muted_until BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS incident_log (
		no SERIAL,
		incident BIGINT NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL, deed TEXT NOT NULL, said TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS incident_log_incident ON incident_log (incident, no)`,

	// What a terminal shares with others: its birth, and what the inventory says over it.
	`CREATE TABLE IF NOT EXISTS places (
		estate TEXT NOT NULL, terminal TEXT NOT NULL, dim TEXT NOT NULL, value TEXT NOT NULL,
		PRIMARY KEY (estate, terminal, dim))`,
	`CREATE INDEX IF NOT EXISTS places_value ON places (dim, value, estate)`,

	// A dim that ends in @inventory: the inventory said something else, nothing changed at the terminal.
	`CREATE TABLE IF NOT EXISTS changes (
		no SERIAL,
		estate TEXT NOT NULL, terminal TEXT NOT NULL, at BIGINT NOT NULL, dim TEXT NOT NULL, was TEXT NOT NULL, now TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS changes_at ON changes (estate, at)`,
	`CREATE INDEX IF NOT EXISTS changes_terminal ON changes (estate, terminal, no)`,
	`CREATE INDEX IF NOT EXISTS tallies_hour ON tallies (hour)`,

	// What ends at a moment that can be foretold. A due of 0: it wears, and how fast is not known yet.
	`CREATE TABLE IF NOT EXISTS dues (
		estate TEXT NOT NULL, terminal TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
		due BIGINT NOT NULL, value DOUBLE PRECISION NOT NULL, first_value DOUBLE PRECISION NOT NULL, first_at BIGINT NOT NULL, seen BIGINT NOT NULL,
		PRIMARY KEY (estate, terminal, kind, subject))`,
	`CREATE INDEX IF NOT EXISTS dues_due ON dues (due)`,

	// A diagnosis that a person asked for is not what happened at the terminal: kept apart, and fewer of them.
	`CREATE TABLE IF NOT EXISTS asked (
		no SERIAL,
		estate TEXT NOT NULL, terminal TEXT NOT NULL, id TEXT NOT NULL, received BIGINT NOT NULL, packed BYTES NOT NULL,
		UNIQUE (estate, terminal, id))`,
	`CREATE TABLE IF NOT EXISTS commands (
		no SERIAL,
		estate TEXT NOT NULL, terminal TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, who TEXT NOT NULL, sent BIGINT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS commands_terminal ON commands (estate, terminal, no)`,
	`CREATE INDEX IF NOT EXISTS replies_terminal ON replies (estate, terminal, no)`,

	// What people found at the terminal.
	`CREATE TABLE IF NOT EXISTS found (
		estate TEXT NOT NULL, terminal TEXT NOT NULL, diagnosis TEXT NOT NULL, cause TEXT NOT NULL, found TEXT NOT NULL,
		said TEXT NOT NULL, who TEXT NOT NULL, at BIGINT NOT NULL,
		PRIMARY KEY (estate, terminal, diagnosis))`,

	`CREATE TABLE IF NOT EXISTS views (
		no SERIAL,
		who TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, made BIGINT NOT NULL)`,
}

// lockSchema is the number under which processes that open one PostgreSQL wait for each other.
const lockSchema = 0x706f7364_78_01

func (s *Store) create(ctx context.Context) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if s.pg {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockSchema)); err != nil {
			return fmt.Errorf("lock schema: %w", err)
		}
	}
	run := func(list ...string) error {
		for _, stmt := range list {
			if stmt = s.types(stmt); stmt == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(tables[0]); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	var v int
	switch err := tx.QueryRowContext(ctx, "SELECT version FROM meta WHERE only_row = 1").Scan(&v); {
	case errors.Is(err, sql.ErrNoRows):
		if err := run(tables...); err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
		if _, err := tx.ExecContext(ctx, s.sql("INSERT INTO meta (only_row, version, alive) VALUES (1, ?, 0)"), schemaVersion); err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
		return tx.Commit()
	case err != nil:
		return fmt.Errorf("read version: %w", err)
	case v > schemaVersion || v < 1:
		return fmt.Errorf("store has version %d, this program knows versions 1 to %d; use the posdx-fleet that wrote it, or a newer one", v, schemaVersion)
	}
	for ; v < schemaVersion; v++ {
		if err := run(migrations[v]...); err != nil {
			return fmt.Errorf("bring store from version %d to %d: %w", v, v+1, err)
		}
	}
	if _, err := tx.ExecContext(ctx, s.sql("UPDATE meta SET version = ? WHERE only_row = 1"), v); err != nil {
		return fmt.Errorf("raise version: %w", err)
	}
	return tx.Commit()
}

// types puts the database's own types into a statement; one that is for the other database comes out empty.
func (s *Store) types(stmt string) string {
	serial, bytes, rowless, other := "INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB", " WITHOUT ROWID", "postgres:"
	if s.pg {
		serial, bytes, rowless, other = "BIGSERIAL PRIMARY KEY", "BYTEA", "", "sqlite:"
	}
	if strings.HasPrefix(stmt, other) {
		return ""
	}
	stmt = strings.TrimPrefix(strings.TrimPrefix(stmt, "postgres:"), "sqlite:")
	return strings.NewReplacer(" SERIAL", " "+serial, " BYTES", " "+bytes, " WITHOUT ROWID", rowless).Replace(stmt)
}

// tables: times are milliseconds since 1970, truth is 0 or 1, so that both databases take the same words.
var tables = append([]string{
	`CREATE TABLE IF NOT EXISTS meta (only_row BIGINT PRIMARY KEY, version BIGINT NOT NULL, alive BIGINT NOT NULL)`,

	`CREATE TABLE IF NOT EXISTS terminals (
		estate TEXT NOT NULL, terminal TEXT NOT NULL,
		first_seen BIGINT NOT NULL, last_seen BIGINT NOT NULL,
		state TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', state_at BIGINT NOT NULL DEFAULT 0,
		scheme TEXT NOT NULL DEFAULT '',
		birth TEXT NOT NULL DEFAULT '', birth_at BIGINT NOT NULL DEFAULT 0,
		health TEXT NOT NULL DEFAULT '', health_at BIGINT NOT NULL DEFAULT 0,
		rejected BIGINT NOT NULL DEFAULT 0,
		good_at BIGINT NOT NULL DEFAULT 0,
		limited BIGINT NOT NULL DEFAULT 0,
		failed_at BIGINT NOT NULL DEFAULT 0,
		PRIMARY KEY (estate, terminal))`,

	`CREATE TABLE IF NOT EXISTS streams (
		no SERIAL,
		estate TEXT NOT NULL, terminal TEXT NOT NULL, epoch TEXT NOT NULL,
		boot BIGINT NOT NULL, highest BIGINT NOT NULL, gaps TEXT NOT NULL,
		received BIGINT NOT NULL, duplicates BIGINT NOT NULL,
		UNIQUE (estate, terminal, epoch))`,

	// The document is packed in its envelope; body holds it plain where an earlier release wrote it.
	// An event's id is unique within the terminal's boot; place is the order in which the fleet learnt of it.
	`sqlite:CREATE TABLE IF NOT EXISTS diagnoses (
		place SERIAL,` + diagnosesColumns + `, ` + cardScheme + `,
		UNIQUE (estate, terminal, boot_id, id))`,
	`postgres:CREATE TABLE IF NOT EXISTS diagnoses (
		place BIGSERIAL,` + diagnosesColumns + `, ` + cardScheme + `,
		PRIMARY KEY (place, received)) PARTITION BY RANGE (received)`,
	diagnosesID,
	diagnosesReceived,
	diagnosesCode,
	diagnosesCause,
	diagnosesTerminal,

	// The base rate: in how many terminal-hours a code was seen. The empty code counts the terminal-hours themselves.
	`CREATE TABLE IF NOT EXISTS tallies (
		estate TEXT NOT NULL, scheme TEXT NOT NULL, code TEXT NOT NULL, hour BIGINT NOT NULL,
		terminals BIGINT NOT NULL, count BIGINT NOT NULL,
		PRIMARY KEY (estate, scheme, code, hour))`,

	`CREATE TABLE IF NOT EXISTS rejected (
		no SERIAL,
		received BIGINT NOT NULL, estate TEXT NOT NULL, terminal TEXT NOT NULL, kind TEXT NOT NULL,
		seq BIGINT NOT NULL, size BIGINT NOT NULL, reason TEXT NOT NULL)`,

	`CREATE TABLE IF NOT EXISTS replies (
		no SERIAL,
		received BIGINT NOT NULL, estate TEXT NOT NULL, terminal TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL)`,

	`CREATE TABLE IF NOT EXISTS incidents (
		no SERIAL,
		estate TEXT NOT NULL, scope TEXT NOT NULL, scope_key TEXT NOT NULL,
		cause TEXT NOT NULL, segment TEXT NOT NULL, code TEXT NOT NULL,
		opened BIGINT NOT NULL, seen BIGINT NOT NULL, closed BIGINT NOT NULL,
		terminals BIGINT NOT NULL, of_terminals BIGINT NOT NULL, peak BIGINT NOT NULL,
		detail TEXT NOT NULL DEFAULT '')`,

	seasons,
	seasonsCourse,
	seasonsHour,
	seasonParts,
	seasonPartsHour,
	reports,
	reportsRevised,

	// The newest that became of a diagnosis, with the probability that its first cause had.
	`CREATE TABLE IF NOT EXISTS outcomes (
		estate TEXT NOT NULL, terminal TEXT NOT NULL, diagnosis TEXT NOT NULL, outcome TEXT NOT NULL, cause TEXT NOT NULL,
		at BIGINT NOT NULL, received BIGINT NOT NULL,
		p DOUBLE PRECISION NOT NULL DEFAULT 0, code TEXT NOT NULL DEFAULT '',
		PRIMARY KEY (estate, terminal, diagnosis))`,
}, slices.Concat(desk, accessTables)...)

// sql rewrites the question marks of a statement to what the database understands. No statement here holds one in a
// text.
func (s *Store) sql(stmt string) string {
	if !s.pg {
		return stmt
	}
	var b strings.Builder
	n := 0
	for _, r := range stmt {
		if r == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
