package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Limits bound what is kept.
type Limits struct {
	Rows int           // diagnoses
	Age  time.Duration // of diagnoses, by the fleet's clock
}

// DefaultLimits hold a fleet of 5 000 terminals with 20 diagnoses a day for ten days, or a small one for half a year,
// in 14 GB, or 4.3 GB where terminals send packed.
var DefaultLimits = Limits{Rows: 1_000_000, Age: 180 * 24 * time.Hour}

// Bounds of the lesser tables.
const (
	maxRejected  = 10_000
	maxAnswers   = 10_000 // replies
	maxIncidents = 10_000
	maxAsked     = 10_000
	maxCommands  = 100_000
	tallyAge     = 15 * 24 * time.Hour // two weeks of sales, to compare them, and a day to spare
	seasonAge    = 36 * 24 * time.Hour

	// monthAhead is how long before a month begins its table is made.
	monthAhead = 3 * 24 * time.Hour

	// sweepRows bounds one deletion, which the writer waits for.
	sweepRows = 2000
)

// Sweep deletes what is beyond the limits, in small steps so that ingest goes on between them, and returns how many
// rows went.
func (s *Store) Sweep(ctx context.Context, l Limits, now time.Time) (int64, error) {
	cut, err := s.cut(ctx, l, now)
	if err != nil {
		return 0, fmt.Errorf("sweep store: %w", err)
	}
	var gone int64
	if s.pg {
		if err := s.ensureMonth(ctx, now.Add(monthAhead)); err != nil {
			return 0, fmt.Errorf("sweep store: %w", err)
		}
		if gone, err = s.dropBefore(ctx, cut); err != nil {
			return gone, fmt.Errorf("sweep store: %w", err)
		}
	}
	if err := s.sweepReports(ctx, now); err != nil {
		return gone, err
	}
	steps := []func() (int64, error){func() (int64, error) { return s.sweepDiagnoses(ctx, now, cut) }}
	for _, d := range deletions(l, now) {
		steps = append(steps, func() (int64, error) { return s.sweep(ctx, d) })
	}
	for _, step := range steps {
		for n := int64(sweepRows); n >= sweepRows; gone += n {
			if n, err = step(); err != nil {
				return gone, err
			}
		}
	}
	return gone, nil
}

// cut is the moment before which no diagnosis is kept.
func (s *Store) cut(ctx context.Context, l Limits, now time.Time) (time.Time, error) {
	var newest int64 // of those beyond the number that is kept
	err := s.read.QueryRowContext(ctx, s.sql("SELECT received FROM diagnoses ORDER BY received DESC LIMIT 1 OFFSET ?"), l.Rows).Scan(&newest)
	cut := now.Add(-l.Age)
	if errors.Is(err, sql.ErrNoRows) {
		return cut, nil
	}
	if beyond := time.UnixMilli(newest + 1); beyond.After(cut) {
		cut = beyond
	}
	return cut, err
}

// A deletion is a statement that takes sweepRows at most.
type deletion struct {
	stmt string
	args []any
}

// beyond deletes the oldest rows of a table that numbers them, so that the newest are left.
func beyond(table, which string, newest int) deletion {
	return deletion{fmt.Sprintf("DELETE FROM %[1]s WHERE no IN (SELECT no FROM %[1]s WHERE %[2]sno <= (SELECT max(no) FROM %[1]s) - ? ORDER BY no LIMIT ?)", table, which),
		[]any{newest, sweepRows}}
}

func (s *Store) sweep(ctx context.Context, d deletion) (int64, error) {
	r, err := s.write.ExecContext(ctx, s.sql(d.stmt), d.args...)
	if err != nil {
		return 0, fmt.Errorf("sweep store: %w", err)
	}
	n, err := r.RowsAffected()
	return n, wrap(err, "sweep store")
}

// deletions are the steps of a sweep beside that of the diagnoses, each to be repeated until it finds less than
// sweepRows.
func deletions(l Limits, now time.Time) []deletion {
	return []deletion{
		{"DELETE FROM outcomes WHERE (estate, terminal, diagnosis) IN (SELECT estate, terminal, diagnosis FROM outcomes WHERE received < ? LIMIT ?)", []any{millis(now.Add(-l.Age)), sweepRows}},
		beyond("rejected", "", maxRejected),
		beyond("replies", "", maxAnswers),
		beyond("incidents", "closed > 0 AND ", maxIncidents),
		{"DELETE FROM incident_care WHERE incident IN (SELECT incident FROM incident_care WHERE incident NOT IN (SELECT no FROM incidents) LIMIT ?)", []any{sweepRows}},
		{"DELETE FROM incident_log WHERE no IN (SELECT no FROM incident_log WHERE incident NOT IN (SELECT no FROM incidents) LIMIT ?)", []any{sweepRows}},
		beyond("asked", "", maxAsked),
		beyond("commands", "", maxCommands),
		{"DELETE FROM changes WHERE no IN (SELECT no FROM changes WHERE at < ? LIMIT ?)", []any{millis(now.Add(-seasonAge)), sweepRows}},
		{"DELETE FROM tallies WHERE (estate, scheme, code, hour) IN (SELECT estate, scheme, code, hour FROM tallies WHERE hour < ? LIMIT ?)", []any{hour(now.Add(-tallyAge)), sweepRows}},
		{"DELETE FROM seasons WHERE (estate, cause, dim, value, hour) IN (SELECT estate, cause, dim, value, hour FROM seasons WHERE hour < ? LIMIT ?)", []any{hour(now.Add(-seasonAge)), sweepRows}},
		{"DELETE FROM season_parts WHERE (estate, cause, dim, hour) IN (SELECT estate, cause, dim, hour FROM season_parts WHERE hour < ? LIMIT ?)", []any{hour(now.Add(-seasonAge)), sweepRows}},
	}
}
