package store

import (
	"context"
	"fmt"
	"time"
)

// A Gauge is one number of the fleet's state, with its estate and up to two labels.
type Gauge struct {
	Name           string // terminals, incidents, incident_terminals, diagnoses_hour, gaps, certificates
	Estate         string
	Word, MoreWord string
	Value          float64
}

// Gauges counts what a monitoring system looks at: a few queries over what is small or indexed.
func (s *Store) Gauges(ctx context.Context, now time.Time) ([]Gauge, error) {
	var list []Gauge
	for _, q := range []struct {
		name, stmt string
		args       []any
	}{
		{"terminals", "SELECT estate, CASE WHEN state = '' THEN 'unknown' ELSE state END, '', count(*) FROM terminals GROUP BY 1, 2", nil},
		{"incidents", "SELECT estate, segment, '', count(*) FROM incidents WHERE closed = 0 GROUP BY 1, 2", nil},
		{"incident_terminals", "SELECT estate, segment, '', sum(terminals) FROM incidents WHERE closed = 0 GROUP BY 1, 2", nil},
		{"diagnoses_hour", "SELECT estate, segment, cause, count(*) FROM diagnoses WHERE received >= ? GROUP BY 1, 2, 3", []any{millis(now.Add(-time.Hour))}},
		{"gaps", `SELECT estate, '', '', count(*) FROM (SELECT DISTINCT estate, terminal FROM streams WHERE gaps LIKE '%"open"%' OR gaps LIKE '%"lost"%') AS g GROUP BY 1`, nil},
		{"certificates", `SELECT estate, CASE WHEN e < ? THEN 'expired' WHEN e < ? THEN '30d' ELSE 'later' END, '', count(*)
			FROM (SELECT estate, terminal, max(not_after) AS e FROM certificates WHERE revoked = 0 GROUP BY estate, terminal) AS c GROUP BY 1, 2`,
			[]any{millis(now), millis(now.Add(30 * 24 * time.Hour))}},
	} {
		rows, err := s.read.QueryContext(ctx, s.sql(q.stmt), q.args...)
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", q.name, err)
		}
		for rows.Next() {
			g := Gauge{Name: q.name}
			if err := rows.Scan(&g.Estate, &g.Word, &g.MoreWord, &g.Value); err != nil {
				rows.Close()
				return nil, fmt.Errorf("count %s: %w", q.name, err)
			}
			list = append(list, g)
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("count %s: %w", q.name, err)
		}
	}
	return list, nil
}

// Size is how many bytes the store takes on its disk.
func (s *Store) Size(ctx context.Context) (int64, error) {
	q := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
	if s.pg {
		q = "SELECT pg_database_size(current_database())"
	}
	var n int64
	err := s.read.QueryRowContext(ctx, q).Scan(&n)
	return n, wrap(err, "measure store")
}
