package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// atOnce are how many rows a statement of SQLite has: few sizes, so that each is planned once and kept. Larger ones
// gain nothing.
var atOnce = [...]int{100, 20, 4, 1}

// chunks deals rows out by the sizes of atOnce.
func chunks(rows [][]any) iter.Seq[[][]any] {
	return func(yield func([][]any) bool) {
		for _, n := range atOnce {
			for len(rows) >= n {
				if !yield(rows[:n]) {
					return
				}
				rows = rows[n:]
			}
		}
	}
}

// byFirst orders rows by their leading texts.
func byFirst(a, b []any) int {
	for i := range a {
		x, ok := a[i].(string)
		if !ok {
			break
		}
		if c := strings.Compare(x, b[i].(string)); c != 0 {
			return c
		}
	}
	return 0
}

// insert writes rows: head names the table and its columns, tail says what is done about those that are there.
func (b *batch) insert(ctx context.Context, head string, rows [][]any, tail string) error {
	if len(rows) == 0 {
		return nil
	}
	table, _, _ := strings.Cut(strings.TrimPrefix(head, "INSERT INTO "), " ")
	if b.s.pg {
		from, args := unnest(rows)
		if _, err := b.tx.ExecContext(ctx, head+"SELECT * FROM "+from+tail, args...); err != nil {
			return fmt.Errorf("insert into %s: %w", table, err)
		}
		return nil
	}
	for part := range chunks(rows) {
		stmt, err := b.planned(ctx, head+"VALUES "+marks(part)+tail)
		if err == nil {
			_, err = stmt.ExecContext(ctx, slices.Concat(part...)...)
		}
		if err != nil {
			return fmt.Errorf("insert into %s: %w", table, err)
		}
	}
	return nil
}

// lookup runs a statement about keys, which come between head and tail as a table, and reads what it returns.
func (b *batch) lookup(ctx context.Context, head, tail string, keys [][]any, each func(*sql.Rows) error) error {
	if len(keys) == 0 {
		return nil
	}
	read := func(rows *sql.Rows, err error) error {
		if err != nil {
			return fmt.Errorf("look up: %w", err)
		}
		for rows.Next() {
			if err := each(rows); err != nil {
				rows.Close()
				return fmt.Errorf("look up: %w", err)
			}
		}
		return wrap(errors.Join(rows.Err(), rows.Close()), "look up")
	}
	if b.s.pg {
		from, args := unnest(keys)
		return read(b.tx.QueryContext(ctx, head+"(SELECT * FROM "+from+")"+tail, args...))
	}
	for part := range chunks(keys) {
		stmt, err := b.planned(ctx, head+"(VALUES "+marks(part)+")"+tail)
		if err != nil {
			return fmt.Errorf("look up: %w", err)
		}
		if err := read(stmt.QueryContext(ctx, slices.Concat(part...)...)); err != nil {
			return err
		}
	}
	return nil
}

// planned is a statement of SQLite for this transaction. One that was not there yet is planned for this transaction
// only, and kept once it is over: its connection is the only one.
func (b *batch) planned(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt, ok := b.s.plans.Load(text); ok {
		return b.tx.StmtContext(ctx, stmt.(*sql.Stmt)), nil
	}
	if stmt := b.news[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := b.tx.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if b.news == nil {
		b.news = map[string]*sql.Stmt{}
	}
	b.news[text] = stmt
	return stmt, nil
}

// plan keeps the statements that a batch was the first to need.
func (s *Store) plan(ctx context.Context, news map[string]*sql.Stmt) {
	for text := range news {
		stmt, err := s.write.PrepareContext(ctx, text)
		if err != nil {
			return // the next batch tries again
		}
		if _, twice := s.plans.LoadOrStore(text, stmt); twice {
			stmt.Close()
		}
	}
}

// marks returns "(?, ?), (?, ?)" for rows of equal length.
func marks(rows [][]any) string {
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(rows[0])), ", ") + ")"
	return strings.TrimSuffix(strings.Repeat(one+", ", len(rows)), ", ")
}
