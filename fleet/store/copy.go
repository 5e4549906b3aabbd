package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// unnest is a table of rows for PostgreSQL, a list a column: one statement for any number of rows, so that it is
// planned once. The first row tells the types.
func unnest(rows [][]any) (from string, args []any) {
	var b strings.Builder
	b.WriteString("unnest(")
	for i, v := range rows[0] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
		switch v.(type) {
		case string:
			b.WriteString("::text[]")
			args = append(args, column[string](rows, i))
		case float64:
			b.WriteString("::double precision[]")
			args = append(args, column[float64](rows, i))
		case []byte:
			b.WriteString("::bytea[]")
			args = append(args, column[[]byte](rows, i))
		case int:
			b.WriteString("::bigint[]")
			args = append(args, column[int](rows, i))
		default:
			b.WriteString("::bigint[]")
			args = append(args, column[int64](rows, i))
		}
	}
	b.WriteString(")")
	return b.String(), args
}

func column[T any](rows [][]any, i int) []T {
	list := make([]T, len(rows))
	for k, row := range rows {
		list[k] = row[i].(T)
	}
	return list
}

// thereAlready finds which diagnoses of a list are in the store.
func thereAlready(keys [][]any) (stmt string, args []any) {
	from, args := unnest(keys)
	return `SELECT k.n - 1, d.place, d.received, d.revision, d.historical, d.cause FROM ` + from + ` WITH ORDINALITY AS k (estate, terminal, boot_id, id, n)
		CROSS JOIN LATERAL (SELECT place, received, revision, historical, cause FROM diagnoses AS d
			WHERE d.estate = k.estate AND d.terminal = k.terminal AND d.boot_id = k.boot_id AND d.id = k.id LIMIT 1) AS d`, args
}

// copyDiagnoses writes diagnoses to PostgreSQL: those that are there already, in whatever month, give way to a higher
// revision, the others are copied in. The batch holds the locks of their terminals, so nobody else brings them
// meanwhile.
func (b *batch) copyDiagnoses(ctx context.Context, rows [][]any) error {
	keys := make([][]any, len(rows))
	for i, row := range rows {
		keys[i] = row[:4:4]
	}
	find, args := thereAlready(keys)
	found, err := b.tx.QueryContext(ctx, find, args...)
	if err != nil {
		return fmt.Errorf("look for diagnoses: %w", err)
	}
	there := map[int]bool{}
	var higher [][]any
	by := map[reportKey]int64{}
	count := func(row []any, received int64, cause string, n int64) {
		by[reportKey{received / 3600e3, cause, row[0].(string), row[1].(string)}] += n
	}
	for found.Next() {
		var n int
		var place, received, revision, historical int64
		var cause string
		if err := found.Scan(&n, &place, &received, &revision, &historical, &cause); err != nil {
			found.Close()
			return fmt.Errorf("look for diagnoses: %w", err)
		}
		there[n] = true
		if row := rows[n]; int64(row[rowRevision].(int)) > revision {
			higher = append(higher, append([]any{place, received},
				append(row[rowRevision:rowRevision+2:rowRevision+2], row[rowCode:]...)...))
			if historical == 0 {
				count(row, received, cause, -1)
				count(row, received, row[rowCause].(string), 1)
			}
		}
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
		return fmt.Errorf("look for diagnoses: %w", err)
	}
	if len(higher) > 0 {
		from, args := unnest(higher)
		_, err := b.tx.ExecContext(ctx,
			`UPDATE diagnoses AS d SET revision = u.revision, final = u.final, code = u.code, scheme = u.scheme, cause = u.cause,
			segment = u.segment, words = u.words, body = u.body, packed = u.packed, entry = u.entry, card_scheme = u.card_scheme,
			p = u.p, repeats = u.repeats
			FROM `+from+` AS u (place, received, revision, final, code, scheme, cause, segment, words, body, packed, entry, card_scheme, p, repeats)
			WHERE d.place = u.place AND d.received = u.received`, args...)
		if err != nil {
			return fmt.Errorf("raise diagnoses: %w", err)
		}
	}
	var fresh [][]any
	for i, row := range rows {
		if !there[i] {
			fresh = append(fresh, row)
			if row[rowHistorical].(int) == 0 {
				count(row, row[rowReceived].(int64), row[rowCause].(string), 1)
			}
		}
	}
	if err := b.addReports(ctx, by); err != nil {
		return err
	}
	if len(fresh) == 0 {
		return nil
	}
	err = b.conn.Raw(func(c any) error {
		_, err := c.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{"diagnoses"}, strings.Split(diagnosesList, ", "),
			pgx.CopyFromRows(fresh))
		return err
	})
	if err != nil {
		return fmt.Errorf("copy diagnoses: %w", err)
	}
	return nil
}
