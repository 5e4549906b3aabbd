package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// PostgreSQL keeps the diagnoses in a table for each month of their arrival, so that what is old goes by dropping a
// table. No key of such a table can tell a diagnosis apart over all months: a batch locks its terminals instead, and
// looks for what it brings.

// diagnosesColumns are those beside place, in every release since version 3.
const diagnosesColumns = `
		estate TEXT NOT NULL, terminal TEXT NOT NULL, boot_id TEXT NOT NULL, id TEXT NOT NULL,
		revision BIGINT NOT NULL, final BIGINT NOT NULL,
		stream BIGINT NOT NULL, epoch TEXT NOT NULL, boot BIGINT NOT NULL, seq BIGINT NOT NULL,
		historical BIGINT NOT NULL, received BIGINT NOT NULL,
		code TEXT NOT NULL, scheme TEXT NOT NULL, cause TEXT NOT NULL, segment TEXT NOT NULL,
		words TEXT NOT NULL, body TEXT NOT NULL,
		packed BYTES, entry TEXT NOT NULL DEFAULT '',
		p DOUBLE PRECISION NOT NULL DEFAULT 0, repeats BIGINT NOT NULL DEFAULT 0`

// diagnosesThree are the columns of version 3; diagnosesList those beside place today, as a batch writes them.
const (
	diagnosesThree = "place, estate, terminal, boot_id, id, revision, final, stream, epoch, boot, seq, historical, received, " +
		"code, scheme, cause, segment, words, body, packed, entry, p, repeats"
	diagnosesList = "estate, terminal, boot_id, id, revision, final, stream, epoch, boot, seq, historical, received, " +
		"code, scheme, cause, segment, words, body, packed, entry, card_scheme, p, repeats"
)

// cardScheme is a column of diagnoses since version 5.
const cardScheme = `card_scheme TEXT NOT NULL DEFAULT ''`

// diagnosesID is what finds a diagnosis again; in SQLite its key does.
const diagnosesID = `postgres:CREATE INDEX IF NOT EXISTS diagnoses_id ON diagnoses (estate, terminal, boot_id, id)`

// byMonth brings the diagnoses of a PostgreSQL store of version 3 into tables by month. They are copied, so for as long
// as it takes the disk holds them twice.
var byMonth = []string{
	`postgres:CREATE TABLE diagnoses_by_month (
		place BIGINT NOT NULL DEFAULT nextval('diagnoses_place_seq'),` + diagnosesColumns + `) PARTITION BY RANGE (received)`,
	`postgres:DO $$
	DECLARE m TIMESTAMP;
	BEGIN
		FOR m IN SELECT DISTINCT date_trunc('month', to_timestamp(received / 1000) AT TIME ZONE 'UTC') FROM diagnoses LOOP
			EXECUTE format('CREATE TABLE %I PARTITION OF diagnoses_by_month FOR VALUES FROM (%s) TO (%s)',
				'diagnoses_' || to_char(m, 'YYYY_MM'),
				(extract(epoch FROM m) * 1000)::BIGINT, (extract(epoch FROM m + INTERVAL '1 month') * 1000)::BIGINT);
		END LOOP;
	END $$`,
	`postgres:INSERT INTO diagnoses_by_month (` + diagnosesThree + `) SELECT ` + diagnosesThree + ` FROM diagnoses`,
	`postgres:ALTER SEQUENCE diagnoses_place_seq OWNED BY diagnoses_by_month.place`,
	`postgres:DROP TABLE diagnoses`,
	`postgres:ALTER TABLE diagnoses_by_month RENAME TO diagnoses`,
	`postgres:ALTER TABLE diagnoses ADD CONSTRAINT diagnoses_pkey PRIMARY KEY (place, received)`,
	diagnosesID,
	"postgres:" + diagnosesReceived,
	"postgres:" + diagnosesCode,
	"postgres:" + diagnosesCause,
	"postgres:" + diagnosesTerminal,
}

// inOne takes byMonth back.
var inOne = []string{
	`postgres:CREATE TABLE diagnoses_in_one (
		place BIGINT NOT NULL DEFAULT nextval('diagnoses_place_seq'),` + diagnosesColumns + `)`,
	`postgres:INSERT INTO diagnoses_in_one (` + diagnosesThree + `) SELECT ` + diagnosesThree + ` FROM diagnoses`,
	`postgres:ALTER SEQUENCE diagnoses_place_seq OWNED BY diagnoses_in_one.place`,
	`postgres:DROP TABLE diagnoses`,
	`postgres:ALTER TABLE diagnoses_in_one RENAME TO diagnoses`,
	`postgres:ALTER TABLE diagnoses ADD CONSTRAINT diagnoses_pkey PRIMARY KEY (place)`,
	`postgres:ALTER TABLE diagnoses ADD CONSTRAINT diagnoses_estate_terminal_boot_id_id_key UNIQUE (estate, terminal, boot_id, id)`,
	"postgres:" + diagnosesReceived,
	"postgres:" + diagnosesCode,
	"postgres:" + diagnosesCause,
	"postgres:" + diagnosesTerminal,
}

// plain unpacks what earlier releases cannot.
func (s *Store) plain(ctx context.Context, tx *sql.Tx) error {
	for _, of := range []struct{ table, key string }{{"diagnoses", "place"}, {"asked", "no"}} {
		for last := int64(0); ; {
			rows, err := tx.QueryContext(ctx, s.sql(fmt.Sprintf("SELECT %[2]s, packed FROM %[1]s WHERE %[2]s > ? AND packed IS NOT NULL ORDER BY %[2]s LIMIT 200", of.table, of.key)), last)
			if err != nil {
				return err
			}
			kept := map[int64][]byte{}
			for rows.Next() {
				var packed []byte
				if err := rows.Scan(&last, &packed); err != nil {
					rows.Close()
					return err
				}
				kept[last] = packed
			}
			if err := rows.Close(); err != nil {
				return err
			}
			if len(kept) == 0 {
				break
			}
			for key, packed := range kept {
				if len(packed) == 0 || packed[0] != packedS2 {
					continue
				}
				envelope, err := unpack(packed)
				if err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, s.sql(fmt.Sprintf("UPDATE %s SET packed = ? WHERE %s = ?", of.table, of.key)), envelope, key); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// monthOf is the first moment of a month.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// ensureMonth makes the table of a month, unless it is there.
func (s *Store) ensureMonth(ctx context.Context, t time.Time) error {
	first := monthOf(t)
	if _, ok := s.months.Load(first.UnixMilli()); ok || !s.pg {
		return nil
	}
	name := "diagnoses_" + first.Format("2006_01")
	err := s.inTx(ctx, "make the table "+name, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockSchema)); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there); err != nil || there {
			return err
		}
		// Made apart and then attached: so it does not wait for readers and writers, nor they for it.
		for _, stmt := range []string{
			"CREATE TABLE " + name + " (LIKE diagnoses INCLUDING DEFAULTS)",
			fmt.Sprintf("ALTER TABLE diagnoses ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)", name,
				first.UnixMilli(), first.AddDate(0, 1, 0).UnixMilli()),
		} {
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.months.LoadOrStore(first.UnixMilli(), new(atomic.Int64))
	}
	return err
}

// studied is how many diagnoses a month's table takes until the database is told to look at what is in it. It would do
// so by itself a minute or two later; until then it finds a terminal's diagnosis by reading all that the terminal has,
// for every document.
const studied = 1000

// study counts what a batch brought to its months.
func (s *Store) study(ctx context.Context, docs []Document) {
	for i := range docs {
		if docs[i].Diagnosis == nil {
			continue
		}
		first := monthOf(docs[i].Received)
		if n, ok := s.months.Load(first.UnixMilli()); ok && n.(*atomic.Int64).Add(1) == studied {
			// If this fails, or another does it just now, the database's own will do.
			s.write.ExecContext(ctx, "ANALYZE (SKIP_LOCKED) diagnoses_"+first.Format("2006_01"))
		}
	}
}

// A part is the table of one month.
type part struct {
	name  string
	first time.Time
}

func (p part) end() time.Time { return p.first.AddDate(0, 1, 0) }

// parts lists the tables by month, the oldest first.
func (s *Store) parts(ctx context.Context) ([]part, error) {
	rows, err := s.write.QueryContext(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'diagnoses'::regclass")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []part
	for rows.Next() {
		var p part
		if err := rows.Scan(&p.name); err != nil {
			return nil, err
		}
		if p.first, err = time.Parse("diagnoses_2006_01", p.name); err != nil {
			continue // not one of ours: left alone
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b part) int { return a.first.Compare(b.first) })
	return list, rows.Err()
}

// Months names the months that have a table, the oldest first; of SQLite none.
func (s *Store) Months(ctx context.Context) ([]string, error) {
	if !s.pg {
		return nil, nil
	}
	list, err := s.parts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list months: %w", err)
	}
	var names []string
	for _, p := range list {
		names = append(names, p.first.Format("2006-01"))
	}
	return names, nil
}

// dropBefore drops the tables of months that ended at a moment or before, and returns how many diagnoses were in them.
// A table that is being read for long is dropped by a later sweep, since waiting for it would hold up ingest.
func (s *Store) dropBefore(ctx context.Context, cut time.Time) (int64, error) {
	list, err := s.parts(ctx)
	if err != nil {
		return 0, err
	}
	var gone int64
	for _, p := range list {
		if p.end().After(cut) {
			break
		}
		err := s.inTx(ctx, "drop the table "+p.name, func(tx *sql.Tx) error {
			var n int64
			if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
				return err
			}
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+p.name).Scan(&n); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "DROP TABLE "+p.name); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM reports WHERE hour < $1", hour(p.end())); err != nil {
				return err
			}
			gone += n
			return nil
		})
		if err != nil {
			return gone, err
		}
		s.months.Delete(p.first.UnixMilli())
	}
	return gone, nil
}
