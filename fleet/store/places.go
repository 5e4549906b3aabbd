package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
)

// A Placed is what one terminal has in common with others, by the names of report.Dimensions.
type Placed struct {
	At    report.Address
	When  time.Time // when the fleet learnt of it
	Place map[string]string
	// Listed are the dimensions that the inventory says: that these changed is its doing, at the moment ListedAt, and
	// nothing that happened at the terminal.
	Listed   map[string]bool
	ListedAt time.Time
}

// listed ends the dimension of a change that the inventory made.
const listed = "@inventory"

// A Change is a new value of a dimension at a terminal: a new application, another carrier.
type Change struct {
	Estate   string    `json:"estate"`
	Terminal string    `json:"terminal"`
	At       time.Time `json:"at"`
	Dim      string    `json:"dimension"`
	Was      string    `json:"was"` // empty if nothing was known
	Now      string    `json:"now"`
	Listed   bool      `json:"by_inventory,omitempty"` // the inventory says something else, not the terminal
}

// maxPlaces bounds what one transaction writes, which ingest waits for.
const maxPlaces = 200

// SavePlaces stores what terminals have in common with others, and what of it is new since it was last stored. The
// first values of a terminal are no change.
func (s *Store) SavePlaces(ctx context.Context, list []Placed) error {
	for part := range slices.Chunk(list, maxPlaces) {
		if err := s.savePlaces(ctx, part); err != nil {
			return fmt.Errorf("save places: %w", err)
		}
	}
	return nil
}

func (s *Store) savePlaces(ctx context.Context, list []Placed) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	b := &batch{s: s, tx: tx}
	old := map[report.Address]map[string]string{}
	var keys, rows, changes [][]any
	for _, p := range list {
		keys = append(keys, []any{p.At.Estate, p.At.Terminal})
	}
	err = b.lookup(ctx, "SELECT estate, terminal, dim, value FROM places WHERE (estate, terminal) IN ", "", keys, func(r *sql.Rows) error {
		var at report.Address
		var dim, value string
		if err := r.Scan(&at.Estate, &at.Terminal, &dim, &value); err != nil {
			return err
		}
		if old[at] == nil {
			old[at] = map[string]string{}
		}
		old[at][dim] = value
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range list {
		was, known := old[p.At]
		for _, dim := range slices.Sorted(maps.Keys(p.Place)) {
			value := clean(p.Place[dim])
			if value == was[dim] {
				continue
			}
			rows = append(rows, []any{p.At.Estate, p.At.Terminal, dim, value})
			if known {
				when, what := p.When, dim
				if p.Listed[dim] {
					when, what = p.ListedAt, dim+listed
				}
				changes = append(changes, []any{p.At.Estate, p.At.Terminal, millis(when), what, was[dim], value})
			}
		}
		for dim := range was {
			if _, still := p.Place[dim]; !still {
				if _, err := tx.ExecContext(ctx, s.sql("DELETE FROM places WHERE estate = ? AND terminal = ? AND dim = ?"), p.At.Estate, p.At.Terminal, dim); err != nil {
					return err
				}
			}
		}
	}
	if err := b.insert(ctx, "INSERT INTO places (estate, terminal, dim, value) ", rows, " ON CONFLICT (estate, terminal, dim) DO UPDATE SET value = excluded.value"); err != nil {
		return err
	}
	if err := b.insert(ctx, "INSERT INTO changes (estate, terminal, at, dim, was, now) ", changes, ""); err != nil {
		return err
	}
	return tx.Commit()
}

// PlaceOf is what a terminal has in common with others.
func (s *Store) PlaceOf(ctx context.Context, in Estates, at report.Address) (map[string]string, error) {
	place := map[string]string{}
	if !in.Has(at.Estate) {
		return place, nil
	}
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT dim, value FROM places WHERE estate = ? AND terminal = ?"), clean(at.Estate), clean(at.Terminal))
	if err != nil {
		return nil, fmt.Errorf("read place: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var dim, value string
		if err := rows.Scan(&dim, &value); err != nil {
			return nil, fmt.Errorf("read place: %w", err)
		}
		place[dim] = value
	}
	return place, rows.Err()
}

// within is the condition that a row's terminal belongs to a place.
func within(table string, place map[string]string) (string, []any) {
	var cond []string
	var args []any
	for _, dim := range slices.Sorted(maps.Keys(place)) {
		cond = append(cond, fmt.Sprintf("(%s.estate, %s.terminal) IN (SELECT pl.estate, pl.terminal FROM places AS pl WHERE pl.dim = ? AND pl.value = ?)", table, table))
		args = append(args, clean(dim), clean(place[dim]))
	}
	return strings.Join(cond, " AND "), args
}

// A Value is one value of a dimension with a count of its terminals.
type Value struct {
	Estate    string `json:"estate"`
	Dim       string `json:"dimension"`
	Value     string `json:"value"`
	Terminals int    `json:"terminals"`
	Online    int    `json:"online"`
	Reporting int    `json:"reporting"` // terminals that reported a failed sale since the moment asked for
}

// MaxValues bounds the values listed of one dimension.
const MaxValues = 1000

// Values lists the values of a dimension, of some estates, the most common first. text is a part of the value.
func (s *Store) Values(ctx context.Context, in Estates, dim, text string, since time.Time, limit int) ([]Value, error) {
	cond, args := in.only("p.estate")
	cond = cmp.Or(cond, "1 = 1")
	if text != "" {
		cond += ` AND lower(p.value) LIKE ? ESCAPE '!'`
		args = append(args, like(text))
	}
	all := slices.Concat([]any{millis(since), clean(dim)}, args)
	rows, err := s.read.QueryContext(ctx,
		s.sql(fmt.Sprintf(`SELECT p.estate, p.value, count(*), sum(CASE WHEN t.state = 'online' THEN 1 ELSE 0 END), sum(CASE WHEN t.failed_at >= ? THEN 1 ELSE 0 END)
		FROM places AS p
		JOIN terminals AS t ON t.estate = p.estate AND t.terminal = p.terminal
		WHERE p.dim = ? AND %s GROUP BY p.estate, p.value ORDER BY count(*) DESC, p.estate, p.value LIMIT %d`, cond, min(cmp.Or(limit, MaxValues), MaxValues))), all...)
	if err != nil {
		return nil, fmt.Errorf("list values: %w", err)
	}
	defer rows.Close()
	list := []Value{}
	for rows.Next() {
		v := Value{Dim: dim}
		if err := rows.Scan(&v.Estate, &v.Value, &v.Terminals, &v.Online, &v.Reporting); err != nil {
			return nil, fmt.Errorf("list values: %w", err)
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// like is a pattern for a part of a text, in small letters.
func like(text string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(strings.ToLower(clean(text))) + "%"
}

// placeAt is the first place of the fleet's list that arrived at a moment or later; one beyond the last if none did.
func (s *Store) placeAt(ctx context.Context, when time.Time) (int64, error) {
	if when.IsZero() {
		return 0, nil
	}
	var place int64
	err := s.read.QueryRowContext(ctx,
		s.sql(`SELECT coalesce((SELECT min(place) FROM (SELECT place FROM diagnoses WHERE received >= ? ORDER BY received LIMIT 100) AS f),
		(SELECT coalesce(max(place), 0) + 1 FROM diagnoses))`), millis(when)).Scan(&place)
	return place, err
}

// A Share is how many of the terminals with a value reported something.
type Share struct {
	Dim       string `json:"dimension"`
	Value     string `json:"value"`
	Reporting int    `json:"reporting"`
	Of        int    `json:"of"`
}

// A Told selects the reports of some causes in one estate within a time, those that had waited at their terminals and
// happened then included; only those with one code, entry or card scheme, if these are given.
type Told struct {
	Estate   string
	Causes   []string
	Only     map[string]string // by code, entry and card_scheme
	From, To time.Time
	late     []Sighting // what had waited and came since, whenever it happened
}

// LateWithin is how long after a time reports about it, that had waited at their terminals, are looked for.
const LateWithin = 48 * time.Hour

// maxWaited bounds how much of it is read.
const maxWaited = 5000

// Told finds the terminals that reported one of some causes within a time.
func (s *Store) Told(ctx context.Context, estate string, causes []string, only map[string]string, from, to time.Time) (
	Told, error) {
	t := Told{Estate: estate, Causes: causes, Only: only, From: from, To: to}
	low, err := s.placeAt(ctx, from)
	var high int64
	if err == nil {
		high, err = s.placeAt(ctx, to.Add(LateWithin))
	}
	if err != nil {
		return t, fmt.Errorf("list who told: %w", err)
	}
	cond, args := t.causes("")
	t.late, _, _, err = s.waited(ctx, "place >= ? AND place < ? AND estate = ? AND "+cond+" ORDER BY place LIMIT ?",
		slices.Concat([]any{low, high, clean(estate)}, args, []any{maxWaited})...)
	if err != nil {
		return t, fmt.Errorf("list who told: %w", err)
	}
	return t, nil
}

// causes is the condition of its reports, of a table called so.
func (t Told) causes(table string) (string, []any) {
	cond, args := oneOf(table+"cause", t.Causes)
	for _, column := range []string{"code", "entry", "card_scheme"} {
		if v := t.Only[column]; v != "" {
			cond, args = cond+" AND "+table+column+" = ?", append(args, clean(v))
		}
	}
	return cond, args
}

// oneOf is the condition that a column has one of some values.
func oneOf(column string, values []string) (string, []any) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = clean(v)
	}
	return column + " IN (" + strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ") + ")", args
}

// later are the terminals of what had waited and happened within a time.
func (t Told) later(from, to time.Time) []string {
	var list []string
	for _, v := range t.late {
		if !v.Received.Before(from) && !v.Received.After(to) {
			list = append(list, v.At.Terminal)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// reporters is a table of the terminals that told, for a query that begins with it.
func (s *Store) reporters(ctx context.Context, t Told) (string, []any, error) {
	low, err := s.placeAt(ctx, t.From)
	if err != nil {
		return "", nil, err
	}
	cond, causes := t.causes("")
	q := "SELECT terminal FROM diagnoses WHERE place >= ? AND received >= ? AND received <= ? AND estate = ? AND historical = 0 AND " + cond
	args := append([]any{low, millis(t.From), millis(t.To), clean(t.Estate)}, causes...)
	if list := t.later(t.From, t.To); len(list) > 0 {
		also, names := oneOf("terminal", list)
		q += " UNION ALL SELECT terminal FROM terminals WHERE estate = ? AND " + also
		args = slices.Concat(args, []any{clean(t.Estate)}, names)
	}
	return "WITH told AS MATERIALIZED (SELECT DISTINCT terminal FROM (" + q + ") AS u) ", args, nil
}

// Shares counts, for each value of each dimension of the estate, the terminals that reported and all.
func (s *Store) Shares(ctx context.Context, t Told) ([]Share, error) {
	with, args, err := s.reporters(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("count shares: %w", err)
	}
	by := map[[2]string]*Share{}
	count := func(query string, enter func(v *Share, n int), args ...any) error {
		rows, err := s.read.QueryContext(ctx, s.sql(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var dim, value string
			var n int
			if err := rows.Scan(&dim, &value, &n); err != nil {
				return err
			}
			k := [2]string{dim, value}
			if by[k] == nil {
				by[k] = &Share{Dim: dim, Value: value}
			}
			enter(by[k], n)
		}
		return rows.Err()
	}
	err = count(with+"SELECT p.dim, p.value, count(*) FROM told JOIN places AS p ON p.estate = ? AND p.terminal = told.terminal WHERE p.dim <> 'knowledge' GROUP BY p.dim, p.value",
		func(v *Share, n int) { v.Reporting = n }, append(args, clean(t.Estate))...)
	if err == nil {
		err = count("SELECT dim, value, count(*) FROM places WHERE estate = ? AND dim <> 'knowledge' GROUP BY dim, value", func(v *Share, n int) { v.Of = n }, clean(t.Estate))
	}
	if err != nil {
		return nil, fmt.Errorf("count shares: %w", err)
	}
	var list []Share
	for _, v := range by {
		list = append(list, *v)
	}
	return list, nil
}

// Reporting counts, in each of some steps from a moment on, the terminals of a place that reported.
func (s *Store) Reporting(ctx context.Context, t Told, place map[string]string, from time.Time, steps int,
	each time.Duration) ([]float64, error) {
	list := make([]float64, steps)
	enter := func(step, n int) { list[min(max(step, 0), steps-1)] += float64(n) }
	low, err := s.placeAt(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("count reports: %w", err)
	}
	to := from.Add(time.Duration(steps) * each)
	cause, causes := t.causes("d.")
	cond, where := within("d", place)
	of := " FROM diagnoses AS d WHERE d.place >= ? AND d.received >= ? AND d.received < ? AND d.estate = ? AND d.historical = 0 AND " +
		cause + " AND " + cmp.Or(cond, "1 = 1")
	args := slices.Concat([]any{millis(from), each.Milliseconds(), low, millis(from), millis(to), clean(t.Estate)},
		causes, where)
	what, group := "count(DISTINCT d.terminal)", " GROUP BY step"
	if len(t.late) > 0 { // one that told of a step then and again later counts once
		what, group = "d.terminal", " GROUP BY step, d.terminal"
	}
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT (d.received - ?) / ? AS step, "+what+of+group), args...)
	if err != nil {
		return nil, fmt.Errorf("count reports: %w", err)
	}
	defer rows.Close()
	type one struct {
		step     int
		terminal string
	}
	seen := map[one]bool{}
	for rows.Next() {
		var o one
		n := 1
		into := any(&n)
		if len(t.late) > 0 {
			into = &o.terminal
		}
		if err := rows.Scan(&o.step, into); err != nil {
			return nil, fmt.Errorf("count reports: %w", err)
		}
		seen[o] = true
		enter(o.step, n)
	}
	if err := rows.Err(); err != nil || len(t.late) == 0 {
		return list, err
	}
	here, err := s.inPlace(ctx, t.Estate, t.later(from, to), place)
	if err != nil {
		return nil, fmt.Errorf("count reports: %w", err)
	}
	for _, v := range t.late {
		o := one{int(v.Received.Sub(from) / each), v.At.Terminal}
		if !v.Received.Before(from) && v.Received.Before(to) && here[o.terminal] && !seen[o] {
			seen[o] = true
			enter(o.step, 1)
		}
	}
	return list, nil
}

// inPlace tells which of some terminals belong to a place.
func (s *Store) inPlace(ctx context.Context, estate string, terminals []string,
	place map[string]string) (map[string]bool, error) {
	here := map[string]bool{}
	if len(terminals) == 0 {
		return here, nil
	}
	of, names := oneOf("t.terminal", terminals)
	cond, where := within("t", place)
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT t.terminal FROM terminals AS t WHERE t.estate = ? AND "+of+" AND "+cmp.Or(cond, "1 = 1")),
		slices.Concat([]any{clean(estate)}, names, where)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		here[name] = true
	}
	return here, rows.Err()
}

// InAndOut counts the terminals of a place, and those of the rest of its estate, and how many of each reported.
func (s *Store) InAndOut(ctx context.Context, t Told, place map[string]string) (in, out Share, err error) {
	estate := t.Estate
	with, args, err := s.reporters(ctx, t)
	if err != nil {
		return in, out, fmt.Errorf("count shares: %w", err)
	}
	cond, where := within("t", place)
	cond = cmp.Or(cond, "1 = 1")
	count := func(query string, n *int, args ...any) {
		if err == nil {
			err = s.read.QueryRowContext(ctx, s.sql(query), args...).Scan(n)
		}
	}
	var all, told int
	count("SELECT count(*) FROM terminals WHERE estate = ?", &all, clean(estate))
	count("SELECT count(*) FROM terminals AS t WHERE t.estate = ? AND "+cond, &in.Of, append([]any{clean(estate)}, where...)...)
	count(with+"SELECT count(*) FROM told", &told, args...)
	count(with+"SELECT count(*) FROM told JOIN terminals AS t ON t.estate = ? AND t.terminal = told.terminal WHERE "+cond, &in.Reporting, append(append(slices.Clone(args), clean(estate)), where...)...)
	if err != nil {
		return in, out, fmt.Errorf("count shares: %w", err)
	}
	out.Of, out.Reporting = all-in.Of, told-in.Reporting
	return in, out, nil
}

// Changes lists the changes of one terminal, the newest first.
func (s *Store) Changes(ctx context.Context, in Estates, at report.Address, limit int) ([]Change, error) {
	if !in.Has(at.Estate) {
		return nil, nil
	}
	rows, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf("SELECT estate, terminal, at, dim, was, now FROM changes WHERE estate = ? AND terminal = ? ORDER BY no DESC LIMIT %d", limit)),
		clean(at.Estate), clean(at.Terminal))
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	defer rows.Close()
	list := []Change{}
	for rows.Next() {
		var c Change
		var when int64
		if err := rows.Scan(&c.Estate, &c.Terminal, &when, &c.Dim, &c.Was, &c.Now); err != nil {
			return nil, fmt.Errorf("list changes: %w", err)
		}
		c.At = fromMillis(when)
		c.Dim, c.Listed = strings.CutSuffix(c.Dim, listed)
		list = append(list, c)
	}
	return list, rows.Err()
}

// A ChangeCount is a change that happened at several terminals.
type ChangeCount struct {
	Dim       string    `json:"dimension"`
	Was       string    `json:"was"`
	Now       string    `json:"now"`
	Terminals int       `json:"terminals"`
	Last      time.Time `json:"last"`
}

// ChangesIn counts the changes at the terminals of a place within a time, the most common first. Values that are new
// only because the inventory was edited are no changes.
func (s *Store) ChangesIn(ctx context.Context, estate string, place map[string]string, from,
	to time.Time) ([]ChangeCount, error) {
	cond, args := within("c", place)
	cond = cmp.Or(cond, "1 = 1")
	rows, err := s.read.QueryContext(ctx,
		s.sql(`SELECT c.dim, c.was, c.now, count(DISTINCT c.terminal), max(c.at) FROM changes AS c
		WHERE `+cond+` AND c.estate = ? AND c.at >= ? AND c.at <= ? AND c.dim NOT LIKE '%`+listed+`' GROUP BY c.dim, c.was, c.now ORDER BY count(DISTINCT c.terminal) DESC LIMIT 12`),
		append(args, clean(estate), millis(from), millis(to))...)
	if err != nil {
		return nil, fmt.Errorf("count changes: %w", err)
	}
	defer rows.Close()
	list := []ChangeCount{}
	for rows.Next() {
		var c ChangeCount
		var last int64
		if err := rows.Scan(&c.Dim, &c.Was, &c.Now, &c.Terminals, &last); err != nil {
			return nil, fmt.Errorf("count changes: %w", err)
		}
		c.Last = fromMillis(last)
		list = append(list, c)
	}
	return list, rows.Err()
}
