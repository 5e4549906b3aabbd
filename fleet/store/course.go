package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Point is a count in one step of time.
type Point struct {
	Scheme, Code string // of a course by code
	Cause        string // of a course by cause
	Step         int    // from 0
	Count        float64
}

// Codes counts the codes of tallies, approvals included, in so many steps of so many hours, from the hour of a moment
// on.
func (s *Store) Codes(ctx context.Context, in Estates, from time.Time, steps, hours int, code string) ([]Point, error) {
	cond, args := in.only("estate")
	cond = cmp.Or(cond, "1 = 1")
	if code != "" {
		cond, args = cond+" AND code = ?", append(args, clean(code))
	} else {
		cond += " AND code <> ''"
	}
	first := hour(from)
	all := append([]any{first, int64(hours)}, args...)
	rows, err := s.read.QueryContext(ctx, s.sql(`SELECT scheme, code, (hour - ?) / ? AS step, sum(count) FROM tallies
		WHERE `+cond+` AND hour >= ? AND hour < ? GROUP BY scheme, code, step`), append(all, first, first+int64(steps*hours))...)
	if err != nil {
		return nil, fmt.Errorf("count codes: %w", err)
	}
	defer rows.Close()
	var list []Point
	for rows.Next() {
		var p Point
		if err := rows.Scan(&p.Scheme, &p.Code, &p.Step, &p.Count); err != nil {
			return nil, fmt.Errorf("count codes: %w", err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// unbooked is how many hours may be over or under way that no season has yet: it is entered some time after the hour.
const unbooked = 2

// Causes counts the terminals that reported each cause, in so many steps of so many hours, from the hour of a moment
// on. Hours that are in no base rate yet are counted by what their diagnoses came to.
func (s *Store) Causes(ctx context.Context, in Estates, from time.Time, steps, hours int, cause string) ([]Point,
	error) {
	cond, args := in.only("estate")
	cond = cmp.Or(cond, "1 = 1")
	if cause != "" {
		cond, args = cond+" AND cause = ?", append(args, clean(cause))
	}
	first, now := hour(from), hour(time.Now())
	step, end := []any{first, int64(hours)}, first+int64(steps*hours)
	// One statement, so that an hour that is being booked is in one of both.
	rows, err := s.read.QueryContext(ctx, s.sql(`SELECT cause, (hour - ?) / ? AS step, sum(terminals) FROM seasons
		WHERE `+cond+` AND cause NOT IN ('silence', 'idle', '') AND dim IN ('', '`+DimBeyond+`') AND hour >= ? AND hour < ? GROUP BY cause, step
		UNION ALL SELECT cause, (hour - ?) / ?, terminals FROM
			(SELECT cause, hour, estate, count(*) AS terminals FROM reports WHERE hour IN (?, ?) AND hour >= ? AND hour < ? AND diagnoses > 0 AND `+cond+`
			GROUP BY cause, hour, estate) AS r
		WHERE NOT EXISTS (SELECT 1 FROM seasons AS s WHERE s.estate = r.estate AND s.cause = '' AND s.dim = '' AND s.value = '' AND s.hour = r.hour)`),
		slices.Concat(step, args, []any{first, end}, step, []any{now - unbooked + 1, now, first, end}, args)...)
	if err != nil {
		return nil, fmt.Errorf("count causes: %w", err)
	}
	defer rows.Close()
	by := map[Point]float64{}
	for rows.Next() {
		var p Point
		var n float64
		if err := rows.Scan(&p.Cause, &p.Step, &n); err != nil {
			return nil, fmt.Errorf("count causes: %w", err)
		}
		by[p] += n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count causes: %w", err)
	}
	var list []Point
	for p, n := range by {
		p.Count = n
		list = append(list, p)
	}
	return list, nil
}

// A Tallied is how many diagnoses one code, or one cause, has.
type Tallied struct {
	Code      string `json:"code,omitempty"`
	Scheme    string `json:"scheme,omitempty"`
	Cause     string `json:"cause,omitempty"`
	Diagnoses int    `json:"diagnoses"`
	Sales     int    `json:"failed_sales"` // a code that came again while its diagnosis was open counts each time
	Terminals int    `json:"terminals"`
}

// Sample is how many diagnoses, the newest, one count reads at most.
const Sample = 1000

// CausesOf counts which causes a code had since a moment or, where code is "", which codes a cause had, the most
// common first. It reads the newest diagnoses, Sample at most.
func (s *Store) CausesOf(ctx context.Context, in Estates, code, cause string, since time.Time) ([]Tallied, error) {
	low, err := s.placeAt(ctx, since)
	if err != nil {
		return nil, fmt.Errorf("count diagnoses: %w", err)
	}
	cond, args := in.only("estate")
	cond = cmp.Or(cond, "1 = 1") + " AND place >= ?"
	args = append(args, low)
	columns, group := "'', '', cause", "cause"
	if code != "" {
		cond, args = cond+" AND code = ?", append(args, clean(code))
	}
	if cause != "" {
		cond, args = cond+" AND cause = ?", append(args, clean(cause))
		columns, group = "code, scheme, ''", "scheme, code"
	}
	rows, err := s.read.QueryContext(ctx,
		s.sql(fmt.Sprintf(`SELECT %s, count(*), sum(repeats + 1), count(DISTINCT terminal) FROM
		(SELECT code, scheme, cause, repeats, terminal FROM diagnoses WHERE %s ORDER BY place DESC LIMIT %d) AS newest GROUP BY %s ORDER BY count(*) DESC LIMIT 50`, columns, cond, Sample, group)), args...)
	if err != nil {
		return nil, fmt.Errorf("count diagnoses: %w", err)
	}
	defer rows.Close()
	list := []Tallied{}
	for rows.Next() {
		var t Tallied
		if err := rows.Scan(&t.Code, &t.Scheme, &t.Cause, &t.Diagnoses, &t.Sales, &t.Terminals); err != nil {
			return nil, fmt.Errorf("count diagnoses: %w", err)
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// A Rate is the base rate of a cause: it was reported in so many of so many active terminal-hours.
type Rate struct{ Reported, Active float64 }

// BaseRate reads the base rate of a cause.
func (s *Store) BaseRate(ctx context.Context, in Estates, cause string, since time.Time) (Rate, error) {
	cond, args := in.only("estate")
	cond = cmp.Or(cond, "1 = 1")
	var r Rate
	err := s.read.QueryRowContext(ctx, s.sql(`SELECT
		(SELECT coalesce(sum(terminals), 0) FROM seasons WHERE `+cond+` AND cause = ? AND dim = '' AND hour >= ?),
		(SELECT coalesce(sum(a), 0) FROM (SELECT max(active) AS a FROM seasons WHERE `+cond+` AND dim = '' AND hour >= ? GROUP BY estate, hour) AS h)`),
		append(append(append(append([]any{}, args...), clean(cause), hour(since)), args...),
			hour(since))...).Scan(&r.Reported, &r.Active)
	if err != nil {
		return r, fmt.Errorf("read base rate: %w", err)
	}
	return r, nil
}

// Quiet is how many terminals send nothing, in three ways.
type Quiet struct {
	Offline int `json:"offline"` // for an hour and more, and not because they were told to stop
	Unheard int `json:"unheard"` // nothing came for a day
	Unsold  int `json:"unsold"`  // online, sold before, and no approved sale for a day
}

// CountQuiet counts the terminals that send nothing.
func (s *Store) CountQuiet(ctx context.Context, in Estates, now time.Time) (Quiet, error) {
	cond, of := in.only("estate")
	cond = cmp.Or(cond, "1 = 1")
	day, anHour := millis(now.Add(-24*time.Hour)), millis(now.Add(-time.Hour))
	var q Quiet
	err := s.read.QueryRowContext(ctx, s.sql(`SELECT
		coalesce(sum(CASE WHEN `+quiet["offline"]+` THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN `+quiet["unheard"]+` THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN `+quiet["unsold"]+` THEN 1 ELSE 0 END), 0) FROM terminals WHERE `+cond), append([]any{anHour, day, day}, of...)...).Scan(&q.Offline, &q.Unheard, &q.Unsold)
	if err != nil {
		return q, fmt.Errorf("count: %w", err)
	}
	return q, nil
}

// quiet are the ways of not being heard, each with one moment to compare with.
var quiet = map[string]string{
	"offline": "(state = 'offline' AND reason <> 'stopped' AND state_at < ?)",
	"unheard": "(last_seen > 0 AND last_seen < ?)",
	"unsold":  "(state = 'online' AND good_at > 0 AND good_at < ?)",
}

// EstateNames lists the estates that a reader may see.
func (s *Store) EstateNames(ctx context.Context, in Estates) ([]string, error) {
	cond, args := in.only("estate")
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT DISTINCT estate FROM terminals WHERE "+cmp.Or(cond, "1 = 1")+" ORDER BY estate LIMIT 500"), args...)
	if err != nil {
		return nil, fmt.Errorf("list estates: %w", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var e string
		if err := rows.Scan(&e); err != nil {
			return nil, fmt.Errorf("list estates: %w", err)
		}
		list = append(list, strings.Clone(e))
	}
	return list, rows.Err()
}
