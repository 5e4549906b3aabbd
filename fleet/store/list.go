package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of how far one answer looks for what no index finds.
const (
	// searchRows: the place to read on from then lies beyond them, so that a search of everything is many quick answers.
	searchRows = 20_000
	firstRows  = 1000 // looked at first, then twice as many each time

	// fewRows are as many as can be looked up by their terminals and put in order, fullRows as many as are read for it if
	// more is asked of them.
	fewRows  = 50_000
	fullRows = fewRows / 10
)

// A listing is the conditions of a list of diagnoses, and by which index SQLite finds them: nobody tells it how many
// there are, so it would guess.
//
// Of is the conditions on the terminals of what is found in the order of places. PostgreSQL, whose statistics lag
// behind what comes in, takes a range of places for a few rows and reads it once for every terminal: there the range is
// read first, by itself.
type listing struct {
	by    string
	where []string
	args  []any
	of    *whose
}

func (l *listing) add(cond string, args ...any) {
	if cond != "" {
		l.where, l.args = append(l.where, cond), append(l.args, args...)
	}
}

// with is a listing with one more condition.
func (l listing) with(cond string, args ...any) listing {
	l.where, l.args = slices.Clip(l.where), slices.Clip(l.args)
	l.add(cond, args...)
	return l
}

// narrow adds the conditions on the terminals.
func (s *Store) narrow(l *listing, w whose) {
	if s.pg {
		l.of = &w
	} else {
		l.add(w.cond("diagnoses"), w.args...)
	}
}

// from is the table and the conditions of a statement.
func (s *Store) from(l listing, order string) string {
	from := "diagnoses"
	if !s.pg {
		from += l.by
	}
	if len(l.where) > 0 {
		from += " WHERE " + strings.Join(l.where, " AND ")
	}
	if l.of == nil {
		return from
	}
	return "(SELECT * FROM " + from + " ORDER BY " + order + " OFFSET 0) AS diagnoses WHERE " + l.of.cond("diagnoses")
}

// Diagnoses lists the diagnoses that a filter selects, the newest first, and the place to read on from, zero at the
// end. A search for what no index finds may return few or none and still have more to come. The fleet's list is in the
// order of arrival, one terminal's in the order of its boots and sequence numbers; neither asks a clock.
func (s *Store) Diagnoses(ctx context.Context, f Filter) ([]Row, Place, error) {
	list, next, err := s.diagnoses(ctx, f)
	if err != nil {
		return nil, Place{}, fmt.Errorf("list diagnoses: %w", err)
	}
	return list, next, nil
}

func (s *Store) diagnoses(ctx context.Context, f Filter) ([]Row, Place, error) {
	l := f.columns()
	low, high, err := f.times(ctx, s, l.add)
	if err != nil {
		return nil, Place{}, err
	}
	whose, one := f.whose(), f.Estate != "" && f.Terminal != ""
	if f.Oldest || one || whose.where == nil && f.Segment+f.Text+f.Scheme+f.Entry+f.Card == "" { // an index has the order
		if one || whose.where == nil {
			l.add(whose.cond("diagnoses"), whose.args...)
		} else {
			s.narrow(&l, whose)
		}
		order := "place DESC"
		switch {
		case f.Oldest:
			order = "place"
		case one:
			order = "stream DESC, boot DESC, seq DESC"
			if f.Before != (Place{}) {
				l.add("(stream, boot, seq) < (?, ?, ?)", f.Before.Stream, f.Before.Boot, f.Before.Seq)
			}
		case f.Before != (Place{}):
			l.add("place < ?", f.Before.Place)
		}
		list, err := s.rows(ctx, l, order, f.limit()+1)
		list, next := f.page(list)
		return list, next, err
	}
	var first, top int64
	// Of both in one SQLite would read all.
	err = s.read.QueryRowContext(ctx, `SELECT (SELECT coalesce(min(place), 0) FROM diagnoses),
		(SELECT coalesce(max(place), 0) + 1 FROM diagnoses)`).Scan(&first, &top)
	if err != nil {
		return nil, Place{}, err
	}
	all := top - first
	if low = max(low, first); high > 0 {
		top = min(top, high+1)
	}
	if f.Before != (Place{}) {
		top = min(top, f.Before.Place)
	}
	if whose.where != nil {
		part, err := s.partOf(ctx, whose)
		if err != nil {
			return nil, Place{}, err
		}
		// An index of causes has the terminals in it, and is read in the order that is wanted.
		few := f.Cause == "" && part*float64(all) <= fewRows && (l.where == nil || part*float64(top-low) <= fullRows)
		if few {
			list, err := s.byTerminal(ctx, l, whose, top, f.limit()+1)
			list, next := f.page(list)
			return list, next, err
		}
		s.narrow(&l, whose)
	}
	return s.look(ctx, l, f, low, top)
}

// columns are the conditions that a filter puts on what a diagnosis says.
func (f Filter) columns() (l listing) {
	switch one := f.Estate != "" && f.Terminal != ""; {
	case one && f.Cause+f.Code == "":
		l.by = byTerminals
	case one: // whichever has fewer
	case f.Cause != "":
		l.by = " INDEXED BY diagnoses_cause"
	case f.Code != "":
		l.by = " INDEXED BY diagnoses_code"
	default:
		l.by = " NOT INDEXED" // but by place
	}
	for _, c := range []struct{ column, value string }{
		{"cause", f.Cause}, {"segment", f.Segment}, {"code", f.Code}, {"scheme", f.Scheme},
		{"entry", f.Entry}, {"card_scheme", f.Card},
	} {
		if c.value != "" {
			l.add(c.column+" = ?", clean(c.value))
		}
	}
	for _, w := range strings.Fields(clean(f.Text)) {
		l.add(`words LIKE ? ESCAPE '!'`, like(w))
	}
	return l
}

// A whose is the conditions on the terminals of a list. In each OF stands for the table that names them.
type whose struct{ listing }

// whose are the conditions that a filter puts on the terminal.
func (f Filter) whose() (w whose) {
	if cond, args := f.In.only("OF.estate"); cond != "" {
		w.add(cond, args...)
	}
	for _, c := range []struct{ column, value string }{{"estate", f.Estate}, {"terminal", f.Terminal}} {
		if c.value != "" {
			w.add("OF."+c.column+" = ?", clean(c.value))
		}
	}
	if cond, args := within("OF", f.Place); cond != "" {
		w.add(cond, args...)
	}
	return w
}

// cond is the conditions on the rows of a table.
func (w whose) cond(table string) string {
	return strings.ReplaceAll(strings.Join(w.where, " AND "), "OF.", table+".")
}

// partOf is which part of all terminals some are. As large a part of the diagnoses is taken to be theirs.
func (s *Store) partOf(ctx context.Context, w whose) (float64, error) {
	var some, all float64
	err := s.read.QueryRowContext(ctx, s.sql("SELECT (SELECT count(*) FROM terminals AS t WHERE "+w.cond("t")+
		"), (SELECT count(*) FROM terminals)"), w.args...).Scan(&some, &all)
	return some / max(all, 1), err
}

const byTerminals = " INDEXED BY diagnoses_terminal"

// byTerminal lists the newest diagnoses before a place by way of their terminals. The plus keeps a database from
// looking through all in the order of places.
func (s *Store) byTerminal(ctx context.Context, l listing, w whose, top int64, limit int) ([]Row, error) {
	inner, args := s.placesOf(l, w, top, limit)
	return s.rows(ctx, listing{where: []string{"place IN (" + inner + ")"}, args: args}, "place DESC", limit)
}

func (s *Store) placesOf(l listing, w whose, top int64, limit int) (string, []any) {
	l.by = byTerminals
	l = l.with("+place < ?", top).
		with("(estate, terminal) IN (SELECT t.estate, t.terminal FROM terminals AS t WHERE "+w.cond("t")+")", w.args...)
	return fmt.Sprintf("SELECT place FROM %s ORDER BY +place DESC LIMIT %d", s.from(l, ""), limit), l.args
}

// look looks through the newest diagnoses below top, searchRows at most, down to low, where they end.
func (s *Store) look(ctx context.Context, l listing, f Filter, low, top int64) ([]Row, Place, error) {
	began, end := time.Now(), max(low, top-searchRows)
	list := []Row{}
	for step := int64(firstRows); top > end; step *= 2 {
		bottom := max(end, top-step)
		more, err := s.rows(ctx, l.with("place >= ? AND place < ?", bottom, top), "place DESC", f.limit()+1-len(list))
		if err != nil {
			return nil, Place{}, err
		}
		if list = append(list, more...); len(list) > f.limit() {
			list, next := f.page(list)
			return list, next, nil
		}
		if top = bottom; f.Within > 0 && time.Since(began) >= f.Within {
			break
		}
	}
	if top > low {
		return list, Place{Place: top}, nil
	}
	return list, Place{}, nil
}

// page is the list of one answer, and where the next goes on, of a list that is one row longer if there is more.
func (f Filter) page(list []Row) ([]Row, Place) {
	if len(list) <= f.limit() {
		return list, Place{}
	}
	if list = list[:f.limit()]; f.Oldest {
		return list, Place{}
	}
	last := list[len(list)-1]
	return list, Place{last.Place, last.stream, int64(last.Boot), int64(last.Seq)}
}

// disorder is by how much the order of arrival and the clock of several workers may differ.
const disorder = time.Minute

// times bounds the list by when the fleet learnt of it; the bounds of place, 0 for none, keep the database from looking
// at all the rest.
func (f Filter) times(ctx context.Context, s *Store, add func(string, ...any)) (low, high int64, err error) {
	if !f.Since.IsZero() {
		if low, err = s.placeAt(ctx, f.Since.Add(-disorder)); err != nil {
			return 0, 0, err
		}
		add("place >= ? AND received >= ?", low, millis(f.Since))
	}
	if !f.Until.IsZero() {
		if high, err = s.placeAt(ctx, f.Until.Add(disorder)); err != nil {
			return 0, 0, err
		}
		add("place <= ? AND received <= ?", high, millis(f.Until))
	}
	return low, high, nil
}

// rowColumns are what scanRows reads.
const rowColumns = "place, estate, terminal, epoch, boot, seq, historical, received, body, packed, stream"

func (s *Store) rows(ctx context.Context, l listing, order string, limit int) ([]Row, error) {
	args := l.args
	if l.of != nil {
		args = slices.Concat(args, l.of.args)
	}
	rows, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT %d", rowColumns,
		s.from(l, order), order, limit)), args...)
	if err != nil {
		return nil, err
	}
	return scanRows(rows)
}

func scanRows(rows *sql.Rows) ([]Row, error) {
	defer rows.Close()
	list := []Row{}
	for rows.Next() {
		var r Row
		var boot, seq, historical, received int64
		var body string
		var packed []byte
		if err := rows.Scan(&r.Place, &r.Estate, &r.Terminal, &r.Epoch, &boot, &seq, &historical, &received, &body, &packed,
			&r.stream); err != nil {
			return nil, err
		}
		body, err := plainBody(body, packed)
		if err != nil {
			return nil, err
		}
		r.Boot, r.Seq, r.Historical, r.Received, r.Body = uint64(boot), uint64(seq), historical != 0, fromMillis(received),
			json.RawMessage(body)
		list = append(list, r)
	}
	return list, rows.Err()
}
