package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
)

// A Task is a terminal that needs a person because of one cause.
type Task struct {
	Estate   string    `json:"estate"`
	Terminal string    `json:"terminal"`
	Cause    string    `json:"cause"`
	P        float64   `json:"probability"` // the highest of its diagnoses
	Times    int       `json:"diagnoses"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Good     time.Time `json:"good,omitzero"` // last hour with an approved sale
	Site     string    `json:"site,omitempty"`
	Region   string    `json:"region,omitempty"`
	ID       string    `json:"diagnosis"` // the newest
}

// MaxTasks bounds a list of tasks.
const MaxTasks = 2000

// Tasks lists the terminals that have reported one of some causes since a moment (and before until, unless that is
// zero) with at least a probability, and of which no later report shows that it is over. They are in the order of
// region and site.
func (s *Store) Tasks(ctx context.Context, in Estates, causes []string, place map[string]string, since, until time.Time,
	least float64) ([]Task, error) {
	low, err := s.placeAt(ctx, since)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	cond, args := in.only("d.estate")
	cond = cmp.Or(cond, "1 = 1") + " AND d.place >= ? AND d.received >= ? AND d.received < ? AND d.p >= ? AND d.cause IN (" + strings.TrimSuffix(strings.Repeat("?, ", len(causes)), ", ") + ")"
	args = append(args, low, millis(since), upTo(until), least)
	for _, c := range causes {
		args = append(args, clean(c))
	}
	if c, a := within("d", place); c != "" {
		cond, args = cond+" AND "+c, append(args, a...)
	}
	rows, err := s.read.QueryContext(ctx,
		s.sql(`SELECT g.estate, g.terminal, g.cause, g.p, g.n, g.first, g.last, l.id, t.good_at,
		coalesce((SELECT value FROM places AS p WHERE p.estate = g.estate AND p.terminal = g.terminal AND p.dim = 'site'), '') AS site,
		coalesce((SELECT value FROM places AS p WHERE p.estate = g.estate AND p.terminal = g.terminal AND p.dim = 'region'), '') AS region
		FROM (SELECT d.estate, d.terminal, d.cause, max(d.p) AS p, count(*) AS n, min(d.received) AS first, max(d.received) AS last, max(d.place) AS newest
			FROM diagnoses AS d WHERE `+cond+` GROUP BY d.estate, d.terminal, d.cause) AS g
		JOIN diagnoses AS l ON l.place = g.newest
		JOIN terminals AS t ON t.estate = g.estate AND t.terminal = g.terminal
		LEFT JOIN outcomes AS o ON o.estate = g.estate AND o.terminal = g.terminal AND o.diagnosis = l.id
		LEFT JOIN found AS f ON f.estate = g.estate AND f.terminal = g.terminal AND f.diagnosis = l.id
		WHERE (o.outcome IS NULL OR o.outcome = 'untested') AND f.found IS NULL
		ORDER BY region, g.estate, site, g.terminal, g.cause LIMIT `+fmt.Sprint(MaxTasks)), args...)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	defer rows.Close()
	list := []Task{}
	for rows.Next() {
		var t Task
		var first, last, good int64
		if err := rows.Scan(&t.Estate, &t.Terminal, &t.Cause, &t.P, &t.Times, &first, &last, &t.ID, &good, &t.Site,
			&t.Region); err != nil {
			return nil, fmt.Errorf("list tasks: %w", err)
		}
		t.First, t.Last, t.Good = fromMillis(first), fromMillis(last), fromMillis(good)
		list = append(list, t)
	}
	return list, rows.Err()
}

// upTo is the end of a time, which zero leaves open.
func upTo(t time.Time) int64 {
	if t.IsZero() {
		return 1 << 50
	}
	return millis(t)
}

// Asked lists the diagnoses that a person asked a terminal for, the newest first.
func (s *Store) Asked(ctx context.Context, in Estates, at report.Address, limit int) ([]Row, error) {
	if !in.Has(at.Estate) {
		return nil, nil
	}
	rows, err := s.read.QueryContext(ctx,
		s.sql(fmt.Sprintf(`SELECT no, estate, terminal, '', 0, 0, 0, received, '', packed, 0 FROM asked
		WHERE estate = ? AND terminal = ? ORDER BY no DESC LIMIT %d`, limit)), clean(at.Estate), clean(at.Terminal))
	if err != nil {
		return nil, fmt.Errorf("list what was asked: %w", err)
	}
	list, err := scanRows(rows)
	if err != nil {
		return nil, fmt.Errorf("list what was asked: %w", err)
	}
	return list, nil
}

// AskedOne returns one diagnosis that a person asked for.
func (s *Store) AskedOne(ctx context.Context, in Estates, at report.Address, id string) (Row, error) {
	if !in.Has(at.Estate) {
		return Row{}, ErrNone
	}
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT no, estate, terminal, '', 0, 0, 0, received, '', packed, 0 FROM asked WHERE estate = ? AND terminal = ? AND id = ?"),
		clean(at.Estate), clean(at.Terminal), clean(id))
	if err != nil {
		return Row{}, fmt.Errorf("read what was asked: %w", err)
	}
	list, err := scanRows(rows)
	if err != nil {
		return Row{}, fmt.Errorf("read what was asked: %w", err)
	}
	if len(list) == 0 {
		return Row{}, ErrNone
	}
	return list[0], nil
}

// A Command is one that was sent to a terminal, with the answer.
type Command struct {
	Name  string        `json:"name"`
	ID    string        `json:"id"`
	Who   string        `json:"who"`
	Sent  time.Time     `json:"sent"`
	Back  time.Time     `json:"answered,omitzero"`
	Reply *report.Reply `json:"reply,omitempty"` // the last that came; nil while none did
}

// NoteCommand records that a command is being sent to a terminal.
func (s *Store) NoteCommand(ctx context.Context, at report.Address, c Command) error {
	_, err := s.write.ExecContext(ctx, s.sql("INSERT INTO commands (estate, terminal, name, id, who, sent) VALUES (?, ?, ?, ?, ?, ?)"), at.Estate, at.Terminal, c.Name, c.ID, clean(c.Who), millis(c.Sent))
	if err != nil {
		return fmt.Errorf("note command: %w", err)
	}
	return nil
}

// Commands lists the commands that went to a terminal, the newest first, each with its answer.
func (s *Store) Commands(ctx context.Context, in Estates, at report.Address, limit int) ([]Command, error) {
	if !in.Has(at.Estate) {
		return nil, nil
	}
	rows, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf("SELECT name, id, who, sent FROM commands WHERE estate = ? AND terminal = ? ORDER BY no DESC LIMIT %d", limit)), clean(at.Estate), clean(at.Terminal))
	if err != nil {
		return nil, fmt.Errorf("list commands: %w", err)
	}
	defer rows.Close()
	list := []Command{}
	for rows.Next() {
		var c Command
		var sent int64
		if err := rows.Scan(&c.Name, &c.ID, &c.Who, &sent); err != nil {
			return nil, fmt.Errorf("list commands: %w", err)
		}
		c.Sent = fromMillis(sent)
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list commands: %w", err)
	}
	replies, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf("SELECT received, body FROM replies WHERE estate = ? AND terminal = ? ORDER BY no DESC LIMIT %d", 4*limit)), clean(at.Estate), clean(at.Terminal))
	if err != nil {
		return nil, fmt.Errorf("list replies: %w", err)
	}
	defer replies.Close()
	for replies.Next() {
		var received int64
		var body string
		if err := replies.Scan(&received, &body); err != nil {
			return nil, fmt.Errorf("list replies: %w", err)
		}
		var r report.Reply
		if json.Unmarshal([]byte(body), &r) != nil {
			continue
		}
		if i := slices.IndexFunc(list, func(c Command) bool { return c.ID == r.ID && c.Reply == nil }); i >= 0 {
			list[i].Reply, list[i].Back = &r, fromMillis(received)
		}
	}
	return list, replies.Err()
}

// FoundNothing is the find of people who found nothing wrong; every other find is the id of a cause.
const FoundNothing = report.FoundNothing

// A Find is what people found at a terminal after a diagnosis.
type Find struct {
	Diagnosis string    `json:"diagnosis"`
	Cause     string    `json:"cause"` // that the diagnosis named first
	Found     string    `json:"found"`
	Said      string    `json:"said,omitempty"`
	Who       string    `json:"who"`
	At        time.Time `json:"at"`
}

// SaveFind stores what was found; it replaces an earlier find of the same diagnosis.
func (s *Store) SaveFind(ctx context.Context, at report.Address, f Find) error {
	_, err := s.write.ExecContext(ctx,
		s.sql(`INSERT INTO found (estate, terminal, diagnosis, cause, found, said, who, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (estate, terminal, diagnosis) DO UPDATE SET cause = excluded.cause, found = excluded.found, said = excluded.said, who = excluded.who, at = excluded.at`),
		at.Estate, at.Terminal, clean(f.Diagnosis), clean(f.Cause), clean(f.Found), clean(f.Said), clean(f.Who), millis(f.At))
	if err != nil {
		return fmt.Errorf("save what was found: %w", err)
	}
	return nil
}

// Find returns what people found after a diagnosis, ErrNone if nobody said.
func (s *Store) Find(ctx context.Context, in Estates, at report.Address, id string) (Find, error) {
	if !in.Has(at.Estate) {
		return Find{}, ErrNone
	}
	f := Find{Diagnosis: id}
	var when int64
	err := s.read.QueryRowContext(ctx, s.sql("SELECT cause, found, said, who, at FROM found WHERE estate = ? AND terminal = ? AND diagnosis = ?"), clean(at.Estate), clean(at.Terminal), clean(id)).
		Scan(&f.Cause, &f.Found, &f.Said, &f.Who, &when)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Find{}, ErrNone
	case err != nil:
		return Find{}, fmt.Errorf("read what was found: %w", err)
	}
	f.At = fromMillis(when)
	return f, nil
}

// A Became is a diagnosis whose outcome is known.
type Became = report.Became

// Became lists diagnoses whose outcome is known, the newest first, of one cause or, where that is "", of all. The next
// call passes the time of the last one as before.
func (s *Store) Became(ctx context.Context, in Estates, cause string, since, before time.Time, limit int) ([]Became,
	error) {
	cond, of := in.only("estate")
	cond = cmp.Or(cond, "1 = 1")
	if cause != "" {
		cond, of = cond+" AND cause = ?", append(of, clean(cause))
	}
	args := slices.Concat(of, []any{millis(since), upTo(before)}, of, []any{millis(since), upTo(before)})
	rows, err := s.read.QueryContext(ctx,
		s.sql(fmt.Sprintf(`SELECT u.estate, u.terminal, u.diagnosis, max(u.code), max(u.cause), max(u.p), max(u.outcome), max(u.found), max(u.at) AS last FROM (
			SELECT estate, terminal, diagnosis, code, cause, p, outcome, '' AS found, received AS at FROM outcomes WHERE %s AND received >= ? AND received < ?
			UNION ALL
			SELECT f.estate, f.terminal, f.diagnosis, coalesce(d.code, ''), f.cause, coalesce(d.p, 0), '', f.found, f.at FROM (SELECT * FROM found WHERE %s AND at >= ? AND at < ?) AS f
				LEFT JOIN diagnoses AS d ON d.estate = f.estate AND d.terminal = f.terminal AND d.id = f.diagnosis
		) AS u GROUP BY u.estate, u.terminal, u.diagnosis ORDER BY last DESC LIMIT %d`, cond, cond, min(limit, 100_000))), args...)
	if err != nil {
		return nil, fmt.Errorf("list what became: %w", err)
	}
	defer rows.Close()
	list := []Became{}
	for rows.Next() {
		var b Became
		var at int64
		if err := rows.Scan(&b.Estate, &b.Terminal, &b.Diagnosis, &b.Code, &b.Cause, &b.P, &b.Outcome, &b.Found,
			&at); err != nil {
			return nil, fmt.Errorf("list what became: %w", err)
		}
		b.At = fromMillis(at)
		list = append(list, b)
	}
	return list, rows.Err()
}

// A View is a page, with its filters, that an account has saved.
type View struct {
	No   int64     `json:"no"`
	Who  string    `json:"who"`
	Name string    `json:"name"`
	Path string    `json:"path"`
	Made time.Time `json:"made"`
}

// maxViews bounds what one person saves.
const maxViews = 50

// ErrTooMany is the error when no more can be saved.
var ErrTooMany = errors.New("too many")

// SaveView saves a page for an account; ErrTooMany if there are 50 already.
func (s *Store) SaveView(ctx context.Context, v View) error {
	r, err := s.write.ExecContext(ctx, s.sql(fmt.Sprintf("INSERT INTO views (who, name, path, made) SELECT ?, ?, ?, ? WHERE (SELECT count(*) FROM views WHERE who = ?) < %d", maxViews)),
		clean(v.Who), clean(v.Name), clean(v.Path), millis(v.Made), clean(v.Who))
	if err != nil {
		return fmt.Errorf("save view: %w", err)
	}
	if n, err := r.RowsAffected(); err == nil && n == 0 {
		return ErrTooMany
	}
	return nil
}

// DropView deletes a page that an account has saved.
func (s *Store) DropView(ctx context.Context, who string, no int64) error {
	if _, err := s.write.ExecContext(ctx, s.sql("DELETE FROM views WHERE who = ? AND no = ?"), clean(who), no); err != nil {
		return fmt.Errorf("forget view: %w", err)
	}
	return nil
}

// Views lists the pages that an account has saved.
func (s *Store) Views(ctx context.Context, who string) ([]View, error) {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT no, who, name, path, made FROM views WHERE who = ? ORDER BY name, no"), clean(who))
	if err != nil {
		return nil, fmt.Errorf("list views: %w", err)
	}
	defer rows.Close()
	var list []View
	for rows.Next() {
		var v View
		var made int64
		if err := rows.Scan(&v.No, &v.Who, &v.Name, &v.Path, &made); err != nil {
			return nil, fmt.Errorf("list views: %w", err)
		}
		v.Made = fromMillis(made)
		list = append(list, v)
	}
	return list, rows.Err()
}
