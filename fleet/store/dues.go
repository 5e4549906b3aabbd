package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"posdx/agent/report"
)

// A Due is something about a terminal that ends at a foreseeable moment: a certificate, a flash memory, a radio
// network.
type Due struct {
	Estate   string    `json:"estate"`
	Terminal string    `json:"terminal"`
	Kind     string    `json:"kind"`          // the check and the fact that told: net.tls.days_left
	Subject  string    `json:"subject"`       // of the check
	At       time.Time `json:"due,omitzero"`  // zero: not known yet
	Value    float64   `json:"value"`         // the fact
	Seen     time.Time `json:"seen"`          // when it was told
	Site     string    `json:"site,omitzero"` // of the terminal, where it is recorded

	// Pace is set by who saves something that wears from nothing to 100: the moment is then worked out from what was told
	// before.
	Pace bool `json:"-"`
}

// Wear is too slow or too young to foretell its end below these.
const (
	paceDays  = 1.0 // between the first value and this one
	paceSteps = 1.0 // that it rose by
)

// A Dated is what a terminal's newest health document says of things that end.
type Dated struct {
	At   report.Address
	Seen time.Time
	List []Due
}

// SaveDues stores what ends at each of some terminals, in place of what was stored before.
func (s *Store) SaveDues(ctx context.Context, list []Dated) error {
	for part := range slices.Chunk(list, maxPlaces) {
		if err := s.saveDues(ctx, part); err != nil {
			return fmt.Errorf("save what ends: %w", err)
		}
	}
	return nil
}

type dueKey struct {
	at            report.Address
	kind, subject string
}

type began struct {
	value float64
	at    int64
}

func (s *Store) saveDues(ctx context.Context, list []Dated) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	b := &batch{s: s, tx: tx}
	var keys, rows [][]any
	for _, d := range list {
		keys = append(keys, []any{d.At.Estate, d.At.Terminal})
	}
	old := map[dueKey]began{}
	err = b.lookup(ctx, "SELECT estate, terminal, kind, subject, first_value, first_at FROM dues WHERE (estate, terminal) IN ", "", keys, func(r *sql.Rows) error {
		var k dueKey
		var v began
		err := r.Scan(&k.at.Estate, &k.at.Terminal, &k.kind, &k.subject, &v.value, &v.at)
		old[k] = v
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range list {
		if _, err := tx.ExecContext(ctx, s.sql("DELETE FROM dues WHERE estate = ? AND terminal = ?"), d.At.Estate, d.At.Terminal); err != nil {
			return err
		}
		once := map[dueKey]bool{}
		for _, v := range d.List {
			k := dueKey{d.At, clean(v.Kind), clean(v.Subject)}
			if once[k] {
				continue
			}
			once[k] = true
			first, known := old[k]
			if !known || v.Value < first.value { // another part was fitted
				first = began{v.Value, millis(d.Seen)}
			}
			due := millis(v.At)
			if v.Pace {
				due = worn(first, v.Value, millis(d.Seen))
			}
			rows = append(rows, []any{d.At.Estate, d.At.Terminal, k.kind, k.subject, due, v.Value, first.value, first.at,
				millis(d.Seen)})
		}
	}
	if err := b.insert(ctx, "INSERT INTO dues (estate, terminal, kind, subject, due, value, first_value, first_at, seen) ", rows, ""); err != nil {
		return err
	}
	return tx.Commit()
}

// worn is when what wears reaches 100 at the pace so far, 0 if that cannot be said.
func worn(first began, value float64, now int64) int64 {
	const day = 24 * 3600e3
	days := float64(now-first.at) / day
	rose := value - first.value
	switch {
	case value >= 100:
		return now
	case days < paceDays || rose < paceSteps:
		return 0
	}
	left := (100 - value) / rose * days
	if left > 100*365 {
		return 0
	}
	return now + int64(left*day)
}

// A DueFilter selects what ends. An empty field does not restrict.
type DueFilter struct {
	In       Estates
	Estate   string
	Terminal string
	Kind     string
	Place    map[string]string
	Until    time.Time // due before; what has no moment is then left out
	None     bool      // only what has no moment
	Skip     int       // rows to leave out, for the next page
	Limit    int
}

// Dues lists what ends, the soonest first.
func (s *Store) Dues(ctx context.Context, f DueFilter) ([]Due, error) {
	cond, args := f.where()
	rows, err := s.read.QueryContext(ctx,
		s.sql(fmt.Sprintf(`SELECT d.estate, d.terminal, d.kind, d.subject, d.due, d.value, d.seen,
		coalesce((SELECT value FROM places AS p WHERE p.estate = d.estate AND p.terminal = d.terminal AND p.dim = 'site'), '')
		FROM dues AS d WHERE %s ORDER BY d.due, d.estate, d.terminal, d.kind, d.subject LIMIT %d OFFSET %d`, cond, Filter{Limit: f.Limit}.limit(), max(0, f.Skip))), args...)
	if err != nil {
		return nil, fmt.Errorf("list what ends: %w", err)
	}
	defer rows.Close()
	list := []Due{}
	for rows.Next() {
		var d Due
		var due, seen int64
		if err := rows.Scan(&d.Estate, &d.Terminal, &d.Kind, &d.Subject, &due, &d.Value, &seen, &d.Site); err != nil {
			return nil, fmt.Errorf("list what ends: %w", err)
		}
		d.At, d.Seen = fromMillis(due), fromMillis(seen)
		list = append(list, d)
	}
	return list, rows.Err()
}

func (f DueFilter) where() (string, []any) {
	cond, args := f.In.only("d.estate")
	cond = cmp.Or(cond, "1 = 1")
	add := func(c string, a ...any) { cond, args = cond+" AND "+c, append(args, a...) }
	if f.Estate != "" {
		add("d.estate = ?", clean(f.Estate))
	}
	if f.Terminal != "" {
		add("d.terminal = ?", clean(f.Terminal))
	}
	if f.Kind != "" {
		add("d.kind = ?", clean(f.Kind))
	}
	if c, a := within("d", f.Place); c != "" {
		add(c, a...)
	}
	switch {
	case f.None:
		add("d.due = 0")
	case !f.Until.IsZero():
		add("d.due > 0 AND d.due <= ?", millis(f.Until))
	}
	return cond, args
}

// A DueCount is how much of one kind ends before each of some moments.
type DueCount struct {
	Kind   string `json:"kind"`
	Within []int  `json:"within"` // before each of the moments asked for
	None   int    `json:"no_moment"`
}

// CountDues counts what ends before each of some moments, by kind.
func (s *Store) CountDues(ctx context.Context, f DueFilter, moments []time.Time) ([]DueCount, error) {
	sums, args := "", []any{}
	for _, m := range moments {
		sums += ", sum(CASE WHEN d.due > 0 AND d.due <= ? THEN 1 ELSE 0 END)"
		args = append(args, millis(m))
	}
	cond, a := f.where()
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT d.kind, sum(CASE WHEN d.due = 0 THEN 1 ELSE 0 END)"+sums+" FROM dues AS d WHERE "+cond+" GROUP BY d.kind ORDER BY d.kind"), append(args, a...)...)
	if err != nil {
		return nil, fmt.Errorf("count what ends: %w", err)
	}
	defer rows.Close()
	list := []DueCount{}
	for rows.Next() {
		c := DueCount{Within: make([]int, len(moments))}
		into := []any{&c.Kind, &c.None}
		for i := range c.Within {
			into = append(into, &c.Within[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("count what ends: %w", err)
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// Healths calls each with the health snapshots that arrived at a moment or later.
func (s *Store) Healths(ctx context.Context, since time.Time,
	each func(at report.Address, when time.Time, body []byte)) error {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT estate, terminal, health_at, health FROM terminals WHERE health_at >= ? AND health <> ''"), millis(since))
	if err != nil {
		return fmt.Errorf("list healths: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at report.Address
		var when int64
		var body []byte
		if err := rows.Scan(&at.Estate, &at.Terminal, &when, &body); err != nil {
			return fmt.Errorf("list healths: %w", err)
		}
		each(at, fromMillis(when), body)
	}
	return rows.Err()
}
