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

// MaxRows bounds every list that is asked for.
const MaxRows = 500

// ErrNone is the error when there is no such document.
var ErrNone = errors.New("not found")

// A Row is one diagnosis as it is stored, in its highest revision.
type Row struct {
	Place      int64           `json:"place"` // ascending in the order in which the fleet learnt of them
	Estate     string          `json:"estate"`
	Terminal   string          `json:"terminal"`
	Epoch      string          `json:"epoch"`
	Boot       uint64          `json:"boot"`
	Seq        uint64          `json:"seq"`
	Historical bool            `json:"historical"`
	Received   time.Time       `json:"received"` // by the fleet's clock
	Body       json.RawMessage `json:"diagnosis"`

	stream int64
}

// A Filter selects diagnoses. An empty field does not restrict.
type Filter struct {
	In               Estates
	Estate, Terminal string
	Cause            string // of the leading explanation
	Segment          string
	Code             string
	Scheme           string            // of the code
	Entry, Card      string            // how the card was read, and its scheme
	Text             string            // every word must occur in the codes, titles and sentences
	Place            map[string]string // what the terminal shares, by dimension
	Since, Until     time.Time         // when the fleet learnt of it
	Limit            int               // 1 to MaxRows, 0 means 50
	Within           time.Duration     // how long a search may look before it says where it goes on; 0: as far as it may
	Before           Place             // older than this
	Oldest           bool              // the oldest first; then nothing goes on after the limit
}

// A Place is a position in a list, to read on from.
type Place struct {
	Place             int64 // of the whole fleet's list
	Stream, Boot, Seq int64 // of one terminal's list
}

func (f Filter) limit() int {
	switch {
	case f.Limit <= 0:
		return 50
	case f.Limit > MaxRows:
		return MaxRows
	}
	return f.Limit
}

// String writes a place for an address; ParsePlace reads it.
func (p Place) String() string {
	return fmt.Sprintf("%d-%d-%d-%d", p.Place, p.Stream, p.Boot, p.Seq)
}

// ParsePlace reads what String wrote; the empty string is the zero place.
func ParsePlace(s string) (Place, error) {
	var p Place
	if s == "" {
		return p, nil
	}
	if n, err := fmt.Sscanf(s, "%d-%d-%d-%d", &p.Place, &p.Stream, &p.Boot, &p.Seq); n != 4 || err != nil || p.String() != s {
		return Place{}, fmt.Errorf("place %q: want the next of an earlier answer", s)
	}
	return p, nil
}

// Diagnosis returns one diagnosis. Ids are unique within a boot count; if a terminal lost its memory and used one
// again, the newest is returned.
func (s *Store) Diagnosis(ctx context.Context, in Estates, at report.Address, id string) (Row, error) {
	if !in.Has(at.Estate) {
		return Row{}, ErrNone
	}
	rows, err := s.read.QueryContext(ctx,
		s.sql(`SELECT `+rowColumns+` FROM diagnoses
		WHERE estate = ? AND terminal = ? AND id = ? ORDER BY stream DESC, boot DESC, seq DESC LIMIT 1`), clean(at.Estate), clean(at.Terminal), clean(id))
	if err != nil {
		return Row{}, fmt.Errorf("read diagnosis: %w", err)
	}
	list, err := scanRows(rows)
	if err != nil {
		return Row{}, fmt.Errorf("read diagnosis: %w", err)
	}
	if len(list) == 0 {
		return Row{}, ErrNone
	}
	return list[0], nil
}

// Outcome returns the outcome of a diagnosis, ErrNone as long as its terminal has not reported one.
func (s *Store) Outcome(ctx context.Context, in Estates, at report.Address, id string) (report.Outcome, error) {
	if !in.Has(at.Estate) {
		return report.Outcome{}, ErrNone
	}
	o := report.Outcome{Diagnosis: id}
	var when int64
	err := s.read.QueryRowContext(ctx, s.sql("SELECT outcome, cause, at FROM outcomes WHERE estate = ? AND terminal = ? AND diagnosis = ?"),
		clean(at.Estate), clean(at.Terminal), clean(id)).Scan(&o.Outcome, &o.Cause, &when)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return report.Outcome{}, ErrNone
	case err != nil:
		return report.Outcome{}, fmt.Errorf("read outcome: %w", err)
	}
	o.Time = time.UnixMilli(when).UTC()
	return o, nil
}

// plainBody is the document of a row, which is kept packed, or by an earlier release as text.
func plainBody(body string, packed []byte) (string, error) {
	if packed == nil {
		return body, nil
	}
	plain, err := unpack(packed)
	if err != nil {
		return "", err
	}
	var e struct{ Data json.RawMessage }
	if err := json.Unmarshal(plain, &e); err != nil {
		return "", err
	}
	return string(e.Data), nil
}

// A Terminal is what the fleet knows of one terminal.
type Terminal struct {
	Estate    string          `json:"estate"`
	Terminal  string          `json:"terminal"`
	State     string          `json:"state"` // online offline, empty if it never said
	Reason    string          `json:"reason,omitempty"`
	StateAt   time.Time       `json:"state_at,omitzero"`
	FirstSeen time.Time       `json:"first_seen,omitzero"`
	LastSeen  time.Time       `json:"last_seen,omitzero"`
	Good      time.Time       `json:"last_approved,omitzero"` // end of the last hour with an approved sale
	Failed    time.Time       `json:"last_failed,omitzero"`
	Scheme    string          `json:"scheme"`
	Rejected  int64           `json:"rejected"` // documents
	Limited   int64           `json:"limited"`  // of these, beyond what one terminal may send
	Birth     json.RawMessage `json:"birth,omitempty"`
	BirthAt   time.Time       `json:"birth_at,omitzero"`
	Health    json.RawMessage `json:"health,omitempty"`
	HealthAt  time.Time       `json:"health_at,omitzero"`
	Streams   []Stream        `json:"streams,omitempty"` // newest first
	Replies   []Reply         `json:"replies,omitempty"` // newest first
}

// A Reply is a terminal's answer to a command.
type Reply struct {
	Name     string          `json:"name"`
	Received time.Time       `json:"received"`
	Body     json.RawMessage `json:"reply"`
}

const terminalColumns = "estate, terminal, state, reason, state_at, first_seen, last_seen, scheme, rejected, limited, good_at, failed_at"

// A TerminalFilter selects terminals. An empty field does not restrict.
type TerminalFilter struct {
	In     Estates
	Estate string
	Text   string            // part of the terminal's name
	State  string            // online offline
	Quiet  string            // offline unheard unsold: a way of not being heard, as CountQuiet counts them
	Place  map[string]string // what the terminal shares, by dimension
	// name (in pages by After); heard, state, failed: longest not heard, longest offline, failed last first (in pages by
	// Skip)
	Sort  string
	After report.Address // in the order of the addresses
	Skip  int            // rows to leave out
	Limit int            // 1 to MaxRows, 0 means 50
}

// Rows is how many terminals are listed at most.
func (f TerminalFilter) Rows() int { return Filter{Limit: f.Limit}.limit() }

// Terminals lists the terminals that a filter chooses, by address.
func (s *Store) Terminals(ctx context.Context, f TerminalFilter) ([]Terminal, error) {
	q := "SELECT " + terminalColumns + " FROM terminals WHERE (estate, terminal) > (?, ?)"
	args := []any{clean(f.After.Estate), clean(f.After.Terminal)}
	if cond, a := f.In.only("estate"); cond != "" {
		q += " AND " + cond
		args = append(args, a...)
	}
	if f.Estate != "" {
		q += " AND estate = ?"
		args = append(args, clean(f.Estate))
	}
	if f.Text != "" {
		q += " AND lower(terminal) LIKE ? ESCAPE '!'"
		args = append(args, like(f.Text))
	}
	if cond, a := within("terminals", f.Place); cond != "" {
		q += " AND " + cond
		args = append(args, a...)
	}
	if cond, ok := quiet[f.Quiet]; ok {
		back := 24 * time.Hour
		if f.Quiet == "offline" {
			back = time.Hour
		}
		q += " AND " + cond
		args = append(args, millis(time.Now().Add(-back)))
	}
	if f.State != "" {
		q += " AND state = ?"
		args = append(args, clean(f.State))
	}
	order := map[string]string{"heard": "last_seen, estate, terminal", "failed": "failed_at DESC, estate, terminal", "state": "CASE WHEN state = 'offline' THEN 0 ELSE 1 END, state_at, estate, terminal"}[f.Sort]
	rows, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf("%s ORDER BY %s LIMIT %d OFFSET %d", q, cmp.Or(order, "estate, terminal"), f.Rows(), max(0, f.Skip))), args...)
	if err != nil {
		return nil, fmt.Errorf("list terminals: %w", err)
	}
	defer rows.Close()
	list := []Terminal{}
	for rows.Next() {
		t, err := scanTerminal(rows)
		if err != nil {
			return nil, fmt.Errorf("list terminals: %w", err)
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

func scanTerminal(r interface{ Scan(...any) error }, more ...any) (Terminal, error) {
	var t Terminal
	var stateAt, first, last, good, failed int64
	err := r.Scan(append([]any{&t.Estate, &t.Terminal, &t.State, &t.Reason, &stateAt, &first, &last, &t.Scheme,
		&t.Rejected, &t.Limited, &good, &failed}, more...)...)
	t.Good, t.Failed = fromMillis(good), fromMillis(failed)
	t.StateAt, t.FirstSeen, t.LastSeen = fromMillis(stateAt), fromMillis(first), fromMillis(last)
	return t, err
}

// maxReplies bounds the answers shown of one terminal.
const maxReplies = 20

// Terminal returns everything about one terminal.
func (s *Store) Terminal(ctx context.Context, in Estates, at report.Address) (Terminal, error) {
	if !in.Has(at.Estate) {
		return Terminal{}, ErrNone
	}
	var birth, health string
	var birthAt, healthAt int64
	row := s.read.QueryRowContext(ctx, s.sql("SELECT "+terminalColumns+", birth, birth_at, health, health_at FROM terminals WHERE estate = ? AND terminal = ?"), clean(at.Estate), clean(at.Terminal))
	t, err := scanTerminal(row, &birth, &birthAt, &health, &healthAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Terminal{}, ErrNone
	}
	if err != nil {
		return Terminal{}, fmt.Errorf("read terminal: %w", err)
	}
	t.Birth, t.BirthAt = raw(birth), fromMillis(birthAt)
	t.Health, t.HealthAt = raw(health), fromMillis(healthAt)

	rows, err := s.read.QueryContext(ctx, s.sql("SELECT no, estate, terminal, epoch, boot, highest, gaps, received, duplicates FROM streams WHERE estate = ? AND terminal = ? ORDER BY no DESC"), at.Estate, at.Terminal)
	if err != nil {
		return Terminal{}, fmt.Errorf("read streams: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		st, err := scanStream(rows, new(report.Address))
		if err != nil {
			return Terminal{}, fmt.Errorf("read streams: %w", err)
		}
		t.Streams = append(t.Streams, *st)
	}
	if err := rows.Err(); err != nil {
		return Terminal{}, fmt.Errorf("read streams: %w", err)
	}

	replies, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf("SELECT name, received, body FROM replies WHERE estate = ? AND terminal = ? ORDER BY no DESC LIMIT %d", maxReplies)), at.Estate, at.Terminal)
	if err != nil {
		return Terminal{}, fmt.Errorf("read replies: %w", err)
	}
	defer replies.Close()
	for replies.Next() {
		var r Reply
		var received int64
		var body string
		if err := replies.Scan(&r.Name, &received, &body); err != nil {
			return Terminal{}, fmt.Errorf("read replies: %w", err)
		}
		r.Received, r.Body = fromMillis(received), raw(body)
		t.Replies = append(t.Replies, r)
	}
	return t, replies.Err()
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// A Rejection is a document that was refused. Its content is not stored, since it may be anything, card data included.
type Rejection struct {
	Received time.Time `json:"received"`
	Estate   string    `json:"estate"` // empty if the topic named no terminal
	Terminal string    `json:"terminal"`
	Kind     string    `json:"kind"`
	Seq      uint64    `json:"seq,omitempty"`
	Size     int       `json:"size"` // bytes
	Reason   string    `json:"reason"`
}

// A RejectionFilter chooses rejected documents; an empty field does not restrict.
type RejectionFilter struct {
	In               Estates
	Estate, Terminal string
	Since, Until     time.Time // received at Since or later, and before Until
	Skip             int       // rows to leave out, for the next page
	Limit            int       // 1 to MaxRows, 0 means 50
}

// Rejections lists rejected documents, the newest first. Those that name no terminal are for who may see all estates.
func (s *Store) Rejections(ctx context.Context, f RejectionFilter) ([]Rejection, error) {
	cond, args := f.In.only("estate")
	q := "SELECT received, estate, terminal, kind, seq, size, reason FROM rejected WHERE " + cmp.Or(cond, "1 = 1")
	and := func(c string, v any) { q, args = q+" AND "+c, append(args, v) }
	if f.Estate != "" {
		and("estate = ?", clean(f.Estate))
	}
	if f.Terminal != "" {
		and("terminal = ?", clean(f.Terminal))
	}
	if !f.Since.IsZero() {
		and("received >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		and("received < ?", millis(f.Until))
	}
	q += fmt.Sprintf(" ORDER BY no DESC LIMIT %d OFFSET %d", Filter{Limit: f.Limit}.limit(), max(0, f.Skip))
	rows, err := s.read.QueryContext(ctx, s.sql(q), args...)
	if err != nil {
		return nil, fmt.Errorf("list rejected: %w", err)
	}
	defer rows.Close()
	list := []Rejection{}
	for rows.Next() {
		var r Rejection
		var received, seq int64
		if err := rows.Scan(&received, &r.Estate, &r.Terminal, &r.Kind, &seq, &r.Size, &r.Reason); err != nil {
			return nil, fmt.Errorf("list rejected: %w", err)
		}
		r.Received, r.Seq = fromMillis(received), uint64(seq)
		list = append(list, r)
	}
	return list, rows.Err()
}

// Summary is the fleet in a few numbers.
type Summary struct {
	Terminals int `json:"terminals"`
	Online    int `json:"online"`
	Diagnoses int `json:"diagnoses_24h"`
	Rejected  int `json:"rejected_24h"`
	Gaps      int `json:"terminals_with_gaps"` // with numbers that are missing and unexplained
}

// Summary counts the fleet of a reader, over the 24 hours that end at now.
func (s *Store) Summary(ctx context.Context, in Estates, now time.Time) (Summary, error) {
	var sum Summary
	day := millis(now.Add(-24 * time.Hour))
	cond, of := in.only("estate")
	cond = cmp.Or(cond, "1 = 1")
	args := slices.Concat(of, of, []any{day}, of, []any{day}, of, of)
	err := s.read.QueryRowContext(ctx, s.sql(strings.ReplaceAll(`SELECT
		(SELECT count(*) FROM terminals WHERE ESTATES),
		(SELECT count(*) FROM terminals WHERE state = 'online' AND ESTATES),
		(SELECT count(*) FROM diagnoses WHERE received >= ? AND ESTATES),
		(SELECT count(*) FROM rejected WHERE received >= ? AND ESTATES),
		(SELECT count(*) FROM (SELECT DISTINCT estate, terminal FROM streams WHERE (gaps LIKE '%"open"%' OR gaps LIKE '%"lost"%') AND ESTATES) AS g)`, "ESTATES", cond)), args...).
		Scan(&sum.Terminals, &sum.Online, &sum.Diagnoses, &sum.Rejected, &sum.Gaps)
	if err != nil {
		return Summary{}, fmt.Errorf("count: %w", err)
	}
	return sum, nil
}
