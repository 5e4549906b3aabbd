package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"posdx/agent/report"
)

// A Sighting is a terminal's report of a code, with the cause that its diagnosis names.
type Sighting struct {
	At             report.Address
	Received       time.Time // of what had waited at the terminal: when it happened
	Sales          int       // that failed with it, 1 or more
	Scheme, Code   string
	Entry          string // how the card was read
	CardScheme     string
	Cause, Segment string
}

// maxSightings bounds what one look for incidents reads.
const maxSightings = 200_000

// Sightings lists what arrived since a moment, the newest first. What had waited at its terminal is about the past and
// is left out; see Backlog.
func (s *Store) Sightings(ctx context.Context, since time.Time) ([]Sighting, error) {
	rows, err := s.read.QueryContext(ctx,
		s.sql(`SELECT estate, terminal, received, repeats + 1, scheme, code, entry, card_scheme, cause, segment
		FROM diagnoses
		WHERE received >= ? AND historical = 0 ORDER BY received DESC LIMIT ?`), millis(since), maxSightings)
	if err != nil {
		return nil, fmt.Errorf("list sightings: %w", err)
	}
	defer rows.Close()
	var list []Sighting
	for rows.Next() {
		var v Sighting
		var received int64
		if err := rows.Scan(&v.At.Estate, &v.At.Terminal, &received, &v.Sales, &v.Scheme, &v.Code, &v.Entry,
			&v.CardScheme, &v.Cause, &v.Segment); err != nil {
			return nil, fmt.Errorf("list sightings: %w", err)
		}
		v.Received = fromMillis(received)
		list = append(list, v)
	}
	return list, rows.Err()
}

// ahead is how far in front of the fleet's a terminal's clock may be and its word on when something happened be taken.
const ahead = time.Minute

// placeBefore is the place after which what arrived at a moment or later stands in the fleet's list.
func (s *Store) placeBefore(ctx context.Context, when time.Time) (int64, error) {
	place, err := s.placeAt(ctx, when)
	return place - 1, err
}

// Backlog lists reports that had waited at their terminals, with the moment at which they happened in Received. It
// reads on from a place in the order of arrival, up to what arrived before until, limit rows at most, and returns the
// place for the next call. A negative place begins with what arrived since a moment. A report is left out where its
// time cannot be believed: the terminal did not trust its clock, or the clock is ahead of the fleet's.
func (s *Store) Backlog(ctx context.Context, after int64, since, until time.Time, limit int) ([]Sighting, int64,
	error) {
	wrong := func(err error) ([]Sighting, int64, error) { return nil, 0, fmt.Errorf("list backlog: %w", err) }
	if after < 0 {
		first, err := s.placeBefore(ctx, since)
		if err != nil {
			return wrong(err)
		}
		after = max(0, first)
	}
	last, err := s.placeBefore(ctx, until)
	if err != nil {
		return wrong(err)
	}
	list, read, end, err := s.waited(ctx, "place > ? AND place <= ? ORDER BY place LIMIT ?", after, last, limit)
	if err != nil {
		return wrong(err)
	}
	if read == limit {
		last = end
	}
	return list, max(after, last), nil
}

// waited reads what had waited at its terminal: how many rows there were, which was the last, and of those of which it
// is known when they happened, that.
func (s *Store) waited(ctx context.Context, which string, args ...any) (list []Sighting, read int, last int64,
	err error) {
	wrong := func(err error) ([]Sighting, int, int64, error) { return nil, 0, 0, err }
	rows, err := s.read.QueryContext(ctx, s.sql(`SELECT place, estate, terminal, received, repeats + 1, scheme, code, entry, card_scheme,
		cause, segment, body, packed
		FROM diagnoses WHERE historical = 1 AND `+which), args...)
	if err != nil {
		return wrong(err)
	}
	defer rows.Close()
	for ; rows.Next(); read++ {
		var v Sighting
		var received int64
		var body string
		var packed []byte
		if err := rows.Scan(&last, &v.At.Estate, &v.At.Terminal, &received, &v.Sales, &v.Scheme, &v.Code, &v.Entry,
			&v.CardScheme, &v.Cause, &v.Segment, &body, &packed); err != nil {
			return wrong(err)
		}
		var d struct{ Event report.Event }
		if body, err = plainBody(body, packed); err != nil || json.Unmarshal([]byte(body), &d) != nil {
			continue // it must not keep others from being looked at
		}
		v.Received = d.Event.Time
		if d.Event.ClockTrusted && !v.Received.After(fromMillis(received).Add(ahead)) {
			list = append(list, v)
		}
	}
	if err := rows.Err(); err != nil {
		return wrong(err)
	}
	return list, read, last, nil
}

// A Standing is what the fleet knows of a terminal's presence.
type Standing struct {
	At       report.Address
	Online   bool
	Reason   string    // of going offline
	StateAt  time.Time // when it came or went; zero if it never said
	Seen     time.Time
	GoodAt   time.Time // last hour with an approved sale
	FailedAt time.Time // last failed sale
	Scheme   string
	BirthAt  time.Time
}

// Standings lists the terminals heard or gone since a moment.
func (s *Store) Standings(ctx context.Context, since time.Time) ([]Standing, error) {
	rows, err := s.read.QueryContext(ctx,
		s.sql(`SELECT estate, terminal, state, reason, state_at, last_seen, good_at, failed_at, scheme, birth_at FROM terminals
		WHERE state = 'online' OR last_seen >= ? OR state_at >= ?`), millis(since), millis(since))
	if err != nil {
		return nil, fmt.Errorf("list terminals: %w", err)
	}
	defer rows.Close()
	var list []Standing
	for rows.Next() {
		var v Standing
		var state string
		var stateAt, seen, good, failed, birth int64
		if err := rows.Scan(&v.At.Estate, &v.At.Terminal, &state, &v.Reason, &stateAt, &seen, &good, &failed, &v.Scheme,
			&birth); err != nil {
			return nil, fmt.Errorf("list terminals: %w", err)
		}
		v.Online = state == "online"
		v.StateAt, v.Seen, v.GoodAt, v.BirthAt = fromMillis(stateAt), fromMillis(seen), fromMillis(good), fromMillis(birth)
		v.FailedAt = fromMillis(failed)
		list = append(list, v)
	}
	return list, rows.Err()
}

// Births calls each with the births that arrived at a moment or later. A birth that cannot be read is left out.
func (s *Store) Births(ctx context.Context, since time.Time, each func(report.Address, time.Time, report.Birth)) error {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT estate, terminal, birth_at, birth FROM terminals WHERE birth_at >= ? AND birth <> ''"), millis(since))
	if err != nil {
		return fmt.Errorf("list births: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at report.Address
		var when int64
		var body string
		if err := rows.Scan(&at.Estate, &at.Terminal, &when, &body); err != nil {
			return fmt.Errorf("list births: %w", err)
		}
		var b report.Birth
		if json.Unmarshal([]byte(body), &b) == nil {
			each(at, fromMillis(when), b)
		}
	}
	return rows.Err()
}

// Sales counts the codes of tallies, approvals included, by estate and hour since a moment.
func (s *Store) Sales(ctx context.Context, since time.Time) (map[string]map[int64]float64, error) {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT estate, hour, sum(count) FROM tallies WHERE hour >= ? AND code = '' GROUP BY estate, hour"), hour(since))
	if err != nil {
		return nil, fmt.Errorf("count sales: %w", err)
	}
	defer rows.Close()
	sales := map[string]map[int64]float64{}
	for rows.Next() {
		var estate string
		var h int64
		var n float64 // PostgreSQL sums into numeric
		if err := rows.Scan(&estate, &h, &n); err != nil {
			return nil, fmt.Errorf("count sales: %w", err)
		}
		if sales[estate] == nil {
			sales[estate] = map[int64]float64{}
		}
		sales[estate][h] = n
	}
	return sales, rows.Err()
}

// An Incident is one cause that many terminals share.
type Incident struct {
	No        int64     `json:"no"`
	Estate    string    `json:"estate"`
	Scope     string    `json:"scope"` // the dimension of the place; place if it has several, estate if none is recorded
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
	Detail

	read time.Time // Closed as it was read: what a person ended meanwhile is not written over
}

// Detail is what is known of an incident beyond the columns that it is searched by.
type Detail struct {
	Kind      string            `json:"kind,omitempty"`  // surge slow silence idle
	Place     map[string]string `json:"place,omitempty"` // dimensions and their values; none: outside of what is recorded
	P         float64           `json:"p,omitempty"`     // that this is the place, among those the reports cannot separate
	Expected  float64           `json:"expected,omitempty"`
	Witnesses int               `json:"witnesses,omitempty"`     // terminals that told when the place was chosen
	Also      []string          `json:"also,omitempty"`          // other causes that the same terminals report
	Only      map[string]string `json:"only,omitempty"`          // code, entry or card_scheme: only reports with it rose
	Codes     []string          `json:"codes,omitempty"`         // the most frequent first
	Entry     string            `json:"entry,omitempty"`         // if nearly all came by one way of reading the card
	Card      string            `json:"card_scheme,omitempty"`   // if nearly all came from cards of one scheme
	Hours     []int             `json:"hours_utc,omitempty"`     // of the day, if nearly all came in these on several days
	Quiet     time.Time         `json:"quiet_since,omitzero"`    // no report beyond the base rate since
	Proof     string            `json:"proof,omitempty"`         // how it ended: sales sessions none
	Reopened  int               `json:"reopened,omitempty"`      // how often it came back
	MergedIn  int64             `json:"merged_into,omitempty"`   // closed since another incident explains it
	Lost      float64           `json:"lost_per_hour,omitempty"` // sales that fail in an hour as things stand
}

const incidentColumns = "estate, scope, scope_key, cause, segment, code, opened, seen, closed, terminals, of_terminals, peak, detail"

// An IncidentFilter selects incidents. An empty field does not restrict.
type IncidentFilter struct {
	In           Estates
	No           int64
	Estate       string
	Cause        string
	State        string    // open over; empty: both
	Since, Until time.Time // that lasted at some moment between
	Limit        int       // 1 to MaxRows, 0 means 50
}

// Incidents lists the open incidents of all estates, then the closed ones, the newest first.
func (s *Store) Incidents(ctx context.Context, limit int) ([]Incident, error) {
	return s.FindIncidents(ctx, IncidentFilter{Limit: limit})
}

// FindIncidents lists the incidents that a filter chooses: the open ones, then the closed ones, the newest first.
func (s *Store) FindIncidents(ctx context.Context, f IncidentFilter) ([]Incident, error) {
	cond, args := f.In.only("estate")
	cond = cmp.Or(cond, "1 = 1")
	if f.No != 0 {
		cond, args = cond+" AND no = ?", append(args, f.No)
	}
	add := func(c string, a ...any) { cond, args = cond+" AND "+c, append(args, a...) }
	if f.Estate != "" {
		add("estate = ?", clean(f.Estate))
	}
	if f.Cause != "" {
		add("cause = ?", clean(f.Cause))
	}
	switch f.State {
	case "open":
		add("closed = 0")
	case "over":
		add("closed > 0")
	}
	if !f.Since.IsZero() {
		add("(closed = 0 OR closed >= ?)", millis(f.Since))
	}
	if !f.Until.IsZero() {
		add("opened <= ?", millis(f.Until))
	}
	rows, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf(`SELECT no, %s
		FROM incidents WHERE %s ORDER BY CASE WHEN closed = 0 THEN 0 ELSE 1 END, no DESC LIMIT %d`, incidentColumns, cond, Filter{Limit: f.Limit}.limit())), args...)
	if err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	defer rows.Close()
	list := []Incident{}
	for rows.Next() {
		var i Incident
		var opened, seen, closed int64
		var detail string
		if err := rows.Scan(&i.No, &i.Estate, &i.Scope, &i.Key, &i.Cause, &i.Segment, &i.Code, &opened, &seen, &closed,
			&i.Terminals, &i.Of, &i.Peak, &detail); err != nil {
			return nil, fmt.Errorf("list incidents: %w", err)
		}
		i.Opened, i.Seen, i.Closed = fromMillis(opened), fromMillis(seen), fromMillis(closed)
		i.read = i.Closed
		if detail != "" {
			if err := json.Unmarshal([]byte(detail), &i.Detail); err != nil {
				return nil, fmt.Errorf("list incidents: number %d: %w", i.No, err)
			}
		}
		list = append(list, i)
	}
	return list, rows.Err()
}

// SaveIncident writes an incident; with No 0 a new one, whose number it sets. An incident that a person has closed or
// merged since it was read stays as it is: the next look reads it anew.
func (s *Store) SaveIncident(ctx context.Context, i *Incident) error {
	if i.read.IsZero() || !i.Closed.IsZero() {
		return s.saveIncident(ctx, s.write, i)
	}
	// It was over and is open again: its log says so, whoever ended it.
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("save incident: %w", err)
	}
	defer tx.Rollback()
	was := i.read
	_, err = tx.ExecContext(ctx, s.sql(`INSERT INTO incident_log (incident, at, who, deed, said)
		SELECT no, ?, '', ?, '' FROM incidents WHERE no = ? AND closed = ?`), millis(i.Seen), DeedReopen, i.No, millis(was))
	if err == nil {
		err = s.saveIncident(ctx, tx, i)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		i.read = was
		return fmt.Errorf("save incident %d: %w", i.No, err)
	}
	return nil
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Store) saveIncident(ctx context.Context, tx execer, i *Incident) error {
	detail, err := json.Marshal(i.Detail)
	if err != nil {
		return fmt.Errorf("save incident: %w", err)
	}
	args := []any{i.Estate, clean(i.Scope), clean(i.Key), i.Cause, i.Segment, i.Code, millis(i.Opened), millis(i.Seen),
		millis(i.Closed), i.Terminals, i.Of, i.Peak, string(detail)}
	if i.No == 0 {
		err = tx.QueryRowContext(ctx, s.sql("INSERT INTO incidents ("+incidentColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING no"), args...).Scan(&i.No)
	} else {
		_, err = tx.ExecContext(ctx, s.sql(`UPDATE incidents SET estate = ?, scope = ?, scope_key = ?, cause = ?, segment = ?, code = ?, opened = ?, seen = ?, closed = ?,
			terminals = ?, of_terminals = ?, peak = ?, detail = ? WHERE no = ? AND closed = ?`), append(args, i.No, millis(i.read))...)
	}
	if err != nil {
		return fmt.Errorf("save incident: %w", err)
	}
	i.read = i.Closed
	return nil
}
