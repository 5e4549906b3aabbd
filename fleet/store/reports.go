package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// How many terminals report which cause in the hour that is under way is kept as their diagnoses are: to count it from
// those took the longer the more came in.

// reports holds, for each of the last hours, with how many of its diagnoses a terminal named a cause first. What had
// waited at the terminal is about the past and is not in it.
const reports = `CREATE TABLE IF NOT EXISTS reports (
		hour BIGINT NOT NULL, cause TEXT NOT NULL, estate TEXT NOT NULL, terminal TEXT NOT NULL, diagnoses BIGINT NOT NULL,
		PRIMARY KEY (hour, cause, estate, terminal)) WITHOUT ROWID`

const (
	// reportsFill counts the hours that pages can still ask for when a store is brought here.
	reportsFill = `INSERT INTO reports (hour, cause, estate, terminal, diagnoses)
		SELECT received / 3600000, cause, estate, terminal, count(*) FROM diagnoses
		WHERE received >= (SELECT max(received) / 3600000 - 2 FROM diagnoses) * 3600000 AND historical = 0
		GROUP BY received / 3600000, cause, estate, terminal`

	// reportsRevised: in SQLite nobody else knows which cause a higher revision replaces.
	reportsRevised = `sqlite:CREATE TRIGGER IF NOT EXISTS reports_revised AFTER UPDATE OF cause ON diagnoses
		WHEN old.historical = 0 AND old.cause <> new.cause BEGIN
			UPDATE reports SET diagnoses = diagnoses - 1 WHERE hour = old.received / 3600000 AND cause = old.cause
				AND estate = old.estate AND terminal = old.terminal;
			INSERT INTO reports (hour, cause, estate, terminal, diagnoses)
				VALUES (new.received / 3600000, new.cause, new.estate, new.terminal, 1)` + reportsAdd + `;
		END`

	reportsAdd = ` ON CONFLICT (hour, cause, estate, terminal) DO UPDATE SET diagnoses = reports.diagnoses + excluded.diagnoses`
)

// reportsHours is how many hours are kept, the one under way included: pages ask for unbooked of them.
const reportsHours = unbooked + 1

// reportsRows bounds one deletion of them. They lie side by side, so that more go at once than elsewhere.
const reportsRows = 5 * sweepRows

type reportKey struct {
	hour                    int64
	cause, estate, terminal string
}

func (k reportKey) compare(o reportKey) int {
	return cmp.Or(cmp.Compare(k.hour, o.hour), strings.Compare(k.cause, o.cause), strings.Compare(k.estate, o.estate),
		strings.Compare(k.terminal, o.terminal))
}

// addReports enters by how many diagnoses each number changed, in an order that processes on one database share.
func (b *batch) addReports(ctx context.Context, by map[reportKey]int64) error {
	var rows [][]any
	for _, k := range slices.SortedFunc(maps.Keys(by), reportKey.compare) {
		if n := by[k]; n != 0 {
			rows = append(rows, []any{k.hour, k.cause, k.estate, k.terminal, n})
		}
	}
	return b.insert(ctx, "INSERT INTO reports (hour, cause, estate, terminal, diagnoses) ", rows, reportsAdd)
}

// countNew enters the diagnoses beyond a place into reports. It is for SQLite, where nobody else writes meanwhile.
func (b *batch) countNew(ctx context.Context, beyond int64) error {
	stmt, err := b.planned(ctx, `INSERT INTO reports (hour, cause, estate, terminal, diagnoses)
		SELECT received / 3600000, cause, estate, terminal, count(*) FROM diagnoses WHERE place > ? AND historical = 0
		GROUP BY received / 3600000, cause, estate, terminal`+reportsAdd)
	if err == nil {
		_, err = stmt.ExecContext(ctx, beyond)
	}
	return wrap(err, "count reports")
}

// lastPlace is the place of the newest diagnosis, for SQLite.
func (b *batch) lastPlace(ctx context.Context) (place int64, err error) {
	stmt, err := b.planned(ctx, "SELECT coalesce(max(place), 0) FROM diagnoses")
	if err == nil {
		err = stmt.QueryRowContext(ctx).Scan(&place)
	}
	return place, wrap(err, "find the newest diagnosis")
}

// sweepReports deletes the counts of hours that nobody asks for any more. Nobody sent them, so Sweep does not say how
// many they were.
func (s *Store) sweepReports(ctx context.Context, now time.Time) error {
	for n := int64(reportsRows); n == reportsRows; {
		r, err := s.write.ExecContext(ctx, s.sql(`DELETE FROM reports WHERE (hour, cause, estate, terminal) IN
			(SELECT hour, cause, estate, terminal FROM reports WHERE hour <= ? LIMIT ?)`), hour(now)-reportsHours, reportsRows)
		if err == nil {
			n, err = r.RowsAffected()
		}
		if err != nil {
			return fmt.Errorf("sweep store: %w", err)
		}
	}
	return nil
}

// sweepDiagnoses deletes some of the diagnoses that arrived before a moment, the oldest first.
func (s *Store) sweepDiagnoses(ctx context.Context, now, cut time.Time) (gone int64, err error) {
	err = s.inTx(ctx, "sweep diagnoses", func(tx *sql.Tx) error {
		gone = 0
		rows, err := tx.QueryContext(ctx, s.sql(`DELETE FROM diagnoses WHERE place IN
			(SELECT place FROM diagnoses WHERE received < ? ORDER BY received LIMIT ?)
			RETURNING received / 3600000, cause, estate, terminal, historical`), millis(cut), sweepRows)
		if err != nil {
			return err
		}
		defer rows.Close()
		by, kept := map[reportKey]int64{}, hour(now)-reportsHours
		for ; rows.Next(); gone++ {
			var k reportKey
			var historical int64
			if err := rows.Scan(&k.hour, &k.cause, &k.estate, &k.terminal, &historical); err != nil {
				return err
			}
			if historical == 0 && k.hour > kept {
				by[k]--
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		b := &batch{s: s, tx: tx}
		return b.addReports(ctx, by)
	})
	if err != nil {
		return 0, fmt.Errorf("sweep store: %w", err)
	}
	return gone, nil
}
