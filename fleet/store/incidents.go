package store

import (
	"context"
	"fmt"
	"time"

	"posdx/agent/report"
)

// A Sighting is that a terminal lately reported a code, and what it thinks the cause is.
type Sighting struct {
	At             report.Address
	Scheme, Code   string
	Cause, Segment string
}

// maxSightings bounds what one look for incidents reads.
const maxSightings = 200_000

// Sightings lists what arrived since a moment, newest first. Documents that waited at the terminal tell of the past and
// are left out.
func (s *Store) Sightings(ctx context.Context, since time.Time) ([]Sighting, error) {
	rows, err := s.read.QueryContext(ctx, s.sql(`SELECT estate, terminal, scheme, code, cause, segment FROM diagnoses
		WHERE received >= ? AND historical = 0 ORDER BY received DESC LIMIT ?`), millis(since), maxSightings)
	if err != nil {
		return nil, fmt.Errorf("list sightings: %w", err)
	}
	defer rows.Close()
	var list []Sighting
	for rows.Next() {
		var v Sighting
		if err := rows.Scan(&v.At.Estate, &v.At.Terminal, &v.Scheme, &v.Code, &v.Cause, &v.Segment); err != nil {
			return nil, fmt.Errorf("list sightings: %w", err)
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// Active lists the terminals that are online or were heard since a moment, with their scheme.
func (s *Store) Active(ctx context.Context, since time.Time) (map[report.Address]string, error) {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT estate, terminal, scheme FROM terminals WHERE state = 'online' OR last_seen >= ?"), millis(since))
	if err != nil {
		return nil, fmt.Errorf("list active: %w", err)
	}
	defer rows.Close()
	active := map[report.Address]string{}
	for rows.Next() {
		var at report.Address
		var scheme string
		if err := rows.Scan(&at.Estate, &at.Terminal, &scheme); err != nil {
			return nil, fmt.Errorf("list active: %w", err)
		}
		active[at] = scheme
	}
	return active, rows.Err()
}

// A Rate is the base rate of one code: in how many of so many terminal-hours it was seen.
type Rate struct{ Seen, Hours int64 }

// RateKey names a base rate.
type RateKey struct{ Estate, Scheme, Code string }

// Rates returns the base rates of the time between two moments.
func (s *Store) Rates(ctx context.Context, from, to time.Time) (map[RateKey]Rate, error) {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT estate, scheme, code, sum(terminals) FROM tallies WHERE hour >= ? AND hour < ? GROUP BY estate, scheme, code"), hour(from), hour(to))
	if err != nil {
		return nil, fmt.Errorf("read base rates: %w", err)
	}
	defer rows.Close()
	seen := map[RateKey]int64{}
	for rows.Next() {
		var k RateKey
		var n float64 // PostgreSQL sums into numeric
		if err := rows.Scan(&k.Estate, &k.Scheme, &k.Code, &n); err != nil {
			return nil, fmt.Errorf("read base rates: %w", err)
		}
		seen[k] = int64(n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read base rates: %w", err)
	}
	rates := map[RateKey]Rate{}
	for k, n := range seen {
		if k.Code != "" {
			rates[k] = Rate{n, seen[RateKey{k.Estate, k.Scheme, ""}]}
		}
	}
	return rates, nil
}

// An Incident is one cause that many terminals report.
type Incident struct {
	No        int64     `json:"no"`
	Estate    string    `json:"estate"`
	Scope     string    `json:"scope"` // acquirer carrier site model
	Key       string    `json:"key"`   // which of these
	Cause     string    `json:"cause"`
	Segment   string    `json:"segment"`
	Code      string    `json:"code"` // the most frequent
	Opened    time.Time `json:"opened"`
	Seen      time.Time `json:"seen"`            // when it was last found to last
	Closed    time.Time `json:"closed,omitzero"` // zero while it lasts
	Terminals int       `json:"terminals"`       // that see it now
	Of        int       `json:"of_terminals"`    // in scope and active
	Peak      int       `json:"peak_terminals"`  // the most that saw it at one time
}

// Incidents lists the open incidents, then the closed ones, the newest first.
func (s *Store) Incidents(ctx context.Context, limit int) ([]Incident, error) {
	rows, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf(`SELECT no, estate, scope, scope_key, cause, segment, code, opened, seen, closed, terminals, of_terminals, peak
		FROM incidents ORDER BY CASE WHEN closed = 0 THEN 0 ELSE 1 END, no DESC LIMIT %d`, Filter{Limit: limit}.limit())))
	if err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	defer rows.Close()
	list := []Incident{}
	for rows.Next() {
		var i Incident
		var opened, seen, closed int64
		if err := rows.Scan(&i.No, &i.Estate, &i.Scope, &i.Key, &i.Cause, &i.Segment, &i.Code, &opened, &seen, &closed, &i.Terminals, &i.Of, &i.Peak); err != nil {
			return nil, fmt.Errorf("list incidents: %w", err)
		}
		i.Opened, i.Seen, i.Closed = fromMillis(opened), fromMillis(seen), fromMillis(closed)
		list = append(list, i)
	}
	return list, rows.Err()
}

// SaveIncident writes an incident; with No 0 a new one, whose number it sets.
func (s *Store) SaveIncident(ctx context.Context, i *Incident) error {
	args := []any{i.Estate, i.Scope, i.Key, i.Cause, i.Segment, i.Code, millis(i.Opened), millis(i.Seen), millis(i.Closed), i.Terminals, i.Of, i.Peak}
	var err error
	if i.No == 0 {
		err = s.write.QueryRowContext(ctx, s.sql(`INSERT INTO incidents (estate, scope, scope_key, cause, segment, code, opened, seen, closed, terminals, of_terminals, peak)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING no`), args...).Scan(&i.No)
	} else {
		_, err = s.write.ExecContext(ctx, s.sql(`UPDATE incidents SET estate = ?, scope = ?, scope_key = ?, cause = ?, segment = ?, code = ?, opened = ?, seen = ?, closed = ?,
			terminals = ?, of_terminals = ?, peak = ? WHERE no = ?`), append(args, i.No)...)
	}
	if err != nil {
		return fmt.Errorf("save incident: %w", err)
	}
	return nil
}
