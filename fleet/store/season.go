package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
)

// seasons holds, for one hour, how many terminals reported a cause, and how many were there to report it. Rows of an
// earlier release may be of a value of a dimension too; this one keeps those in seasonParts.
const seasons = `CREATE TABLE IF NOT EXISTS seasons (
		estate TEXT NOT NULL, cause TEXT NOT NULL, dim TEXT NOT NULL, value TEXT NOT NULL, hour BIGINT NOT NULL,
		terminals DOUBLE PRECISION NOT NULL, active DOUBLE PRECISION NOT NULL,
		PRIMARY KEY (estate, cause, dim, value, hour))`

// seasonParts holds the same by the values of a dimension: all values of one hour, or of one day under its first hour,
// in one row. With a row for each value a fleet of 17 000 sites had seven million, and read them for half a minute when
// it started.
const (
	seasonParts = `CREATE TABLE IF NOT EXISTS season_parts (
		estate TEXT NOT NULL, cause TEXT NOT NULL, dim TEXT NOT NULL, hour BIGINT NOT NULL, packed BYTES NOT NULL,
		PRIMARY KEY (estate, cause, dim, hour))`
	seasonPartsHour = `CREATE INDEX IF NOT EXISTS season_parts_hour ON season_parts (hour)`
)

// By seasonsCourse a page finds what it draws, by seasonsHour a sweep what is over.
const (
	seasonsCourse = `CREATE INDEX IF NOT EXISTS seasons_course ON seasons (dim, hour)`
	seasonsHour   = `CREATE INDEX IF NOT EXISTS seasons_hour ON seasons (hour)`
)

// A SeasonRow is a part of the base rate: how many terminals reported a cause, and in how many active terminal-hours.
// It is of one hour where Dim is empty, else of one day and one value of a dimension.
type SeasonRow struct {
	Estate, Cause, Dim, Value string
	Hour                      int64 // since 1970
	Terminals, Active         float64
}

// DimBeyond is the SeasonRow.Dim of reports of an hour that are not in the base rate because they belong to an
// incident. Courses over time add them.
const DimBeyond = "beyond@hour"

// ofValue tells whether a row is kept with the other values of its dimension, without Active.
func (r *SeasonRow) ofValue() bool { return r.Dim != "" && r.Dim != DimBeyond }

// A partKey is a row of season_parts.
type partKey struct {
	estate, cause, dim string
	hour               int64
}

// Seasons reads the base rate since a moment.
func (s *Store) Seasons(ctx context.Context, since time.Time, each func(SeasonRow)) error {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT estate, cause, dim, value, hour, terminals, active FROM seasons WHERE hour >= ?"), hour(since))
	if err != nil {
		return fmt.Errorf("read base rate: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r SeasonRow
		if err := rows.Scan(&r.Estate, &r.Cause, &r.Dim, &r.Value, &r.Hour, &r.Terminals, &r.Active); err != nil {
			return fmt.Errorf("read base rate: %w", err)
		}
		each(r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("read base rate: %w", err)
	}
	rows, err = s.read.QueryContext(ctx, s.sql("SELECT estate, cause, dim, hour, packed FROM season_parts WHERE hour >= ?"), hour(since))
	if err != nil {
		return fmt.Errorf("read base rate: %w", err)
	}
	defer rows.Close()
	return wrap(eachPart(rows, each), "read base rate")
}

// eachPart calls each with every value of rows of season_parts.
func eachPart(rows *sql.Rows, each func(SeasonRow)) error {
	names := map[string]string{} // each value is kept once
	var packed sql.RawBytes
	for rows.Next() {
		var r SeasonRow
		if err := rows.Scan(&r.Estate, &r.Cause, &r.Dim, &r.Hour, &packed); err != nil {
			return err
		}
		err := unpackValues(packed, func(value []byte, n float64) {
			name, ok := names[string(value)]
			if !ok {
				name = string(value)
				names[name] = name
			}
			r.Value, r.Terminals = name, n
			each(r)
		})
		if err != nil {
			return fmt.Errorf("%s by %s: %w", r.Cause, r.Dim, err)
		}
	}
	return rows.Err()
}

// AddSeason adds to the base rate, all rows or none.
func (s *Store) AddSeason(ctx context.Context, list []SeasonRow) error {
	var rows [][]any
	parts := map[partKey]map[string]float64{}
	for _, r := range list {
		k := partKey{clean(r.Estate), clean(r.Cause), clean(r.Dim), r.Hour}
		if !r.ofValue() {
			rows = append(rows, []any{k.estate, k.cause, k.dim, clean(r.Value), r.Hour, r.Terminals, r.Active})
			continue
		}
		if parts[k] == nil {
			parts[k] = map[string]float64{}
		}
		parts[k][clean(r.Value)] += r.Terminals
	}
	var b *batch
	err := s.inTx(ctx, "add to base rate", func(tx *sql.Tx) error {
		b = &batch{s: s, tx: tx}
		err := b.insert(ctx, "INSERT INTO seasons (estate, cause, dim, value, hour, terminals, active) ", rows,
			" ON CONFLICT (estate, cause, dim, value, hour) DO UPDATE SET terminals = seasons.terminals + excluded.terminals, active = seasons.active + excluded.active")
		for _, k := range slices.SortedFunc(maps.Keys(parts), partKey.compare) {
			if err != nil {
				return err
			}
			err = s.addPart(ctx, tx, k, parts[k])
		}
		return err
	})
	if err != nil {
		return err
	}
	s.plan(ctx, b.news)
	return nil
}

func (k partKey) compare(o partKey) int {
	return cmp.Or(strings.Compare(k.estate, o.estate), strings.Compare(k.cause, o.cause), strings.Compare(k.dim, o.dim),
		cmp.Compare(k.hour, o.hour))
}

// part reads the values of one row, none if it is not there yet.
func (s *Store) part(ctx context.Context, tx *sql.Tx, k partKey) (map[string]float64, error) {
	var packed []byte
	err := tx.QueryRowContext(ctx, s.sql("SELECT packed FROM season_parts WHERE estate = ? AND cause = ? AND dim = ? AND hour = ?"),
		k.estate, k.cause, k.dim, k.hour).Scan(&packed)
	values := map[string]float64{}
	if errors.Is(err, sql.ErrNoRows) {
		return values, nil
	}
	if err == nil {
		err = unpackValues(packed, func(value []byte, n float64) { values[string(value)] += n })
	}
	return values, err
}

// addPart adds to the values of one row.
func (s *Store) addPart(ctx context.Context, tx *sql.Tx, k partKey, values map[string]float64) error {
	was, err := s.part(ctx, tx, k)
	if err != nil {
		return err
	}
	for v, n := range values {
		was[v] += n
	}
	_, err = tx.ExecContext(ctx, s.sql(`INSERT INTO season_parts (estate, cause, dim, hour, packed) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (estate, cause, dim, hour) DO UPDATE SET packed = excluded.packed`), k.estate, k.cause, k.dim, k.hour,
		packValues(was))
	return err
}

// PackSeasons brings what an earlier release kept by value, a row each, into the form of this one, so that it is read
// in seconds. It goes on where an earlier call was cut off; progress is told how many steps are done, of how many.
// Nobody may read or add to the base rate meanwhile.
func (s *Store) PackSeasons(ctx context.Context, progress func(done, of int)) error {
	rows, err := s.read.QueryContext(ctx, s.sql("SELECT DISTINCT estate, cause, dim FROM seasons WHERE dim > '' AND dim <> ?"), DimBeyond)
	if err != nil {
		return fmt.Errorf("pack base rate: %w", err)
	}
	defer rows.Close()
	var keys []partKey
	for rows.Next() {
		var k partKey
		if err := rows.Scan(&k.estate, &k.cause, &k.dim); err != nil {
			return fmt.Errorf("pack base rate: %w", err)
		}
		keys = append(keys, k)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("pack base rate: %w", err)
	}
	for i, k := range keys {
		progress(i, len(keys))
		err := s.inTx(ctx, "pack base rate", func(tx *sql.Tx) error { return s.packSeason(ctx, tx, k) })
		if err != nil {
			return err
		}
	}
	if len(keys) > 0 {
		progress(len(keys), len(keys))
	}
	return nil
}

// packSeason does that for one cause by one dimension.
func (s *Store) packSeason(ctx context.Context, tx *sql.Tx, k partKey) error {
	rows, err := tx.QueryContext(ctx, s.sql("SELECT value, hour, terminals FROM seasons WHERE estate = ? AND cause = ? AND dim = ?"), k.estate, k.cause, k.dim)
	if err != nil {
		return err
	}
	defer rows.Close()
	parts := map[int64]map[string]float64{}
	var value string
	for rows.Next() {
		var v sql.RawBytes
		var n float64
		if err := rows.Scan(&v, &k.hour, &n); err != nil {
			return err
		}
		if string(v) != value { // it comes once for each day
			value = string(v)
		}
		if parts[k.hour] == nil {
			parts[k.hour] = map[string]float64{}
		}
		parts[k.hour][value] += n
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, k.hour = range slices.Sorted(maps.Keys(parts)) {
		if err := s.addPart(ctx, tx, k, parts[k.hour]); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, s.sql("DELETE FROM seasons WHERE estate = ? AND cause = ? AND dim = ?"), k.estate, k.cause, k.dim)
	return err
}

// inRows writes a row for each value, as earlier releases read them.
func (s *Store) inRows(ctx context.Context, tx *sql.Tx) error {
	var keys []partKey
	rows, err := tx.QueryContext(ctx, "SELECT estate, cause, dim, hour FROM season_parts")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k partKey
		if err := rows.Scan(&k.estate, &k.cause, &k.dim, &k.hour); err != nil {
			return err
		}
		keys = append(keys, k)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	b := &batch{s: s, tx: tx}
	for _, k := range keys {
		var list [][]any
		values, err := s.part(ctx, tx, k)
		if err != nil {
			return err
		}
		for _, v := range slices.Sorted(maps.Keys(values)) {
			list = append(list, []any{k.estate, k.cause, k.dim, v, k.hour, values[v], 0.0})
		}
		err = b.insert(ctx, "INSERT INTO seasons (estate, cause, dim, value, hour, terminals, active) ", list,
			" ON CONFLICT (estate, cause, dim, value, hour) DO UPDATE SET terminals = seasons.terminals + excluded.terminals")
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	inOneValue = 1000     // a value's count is kept in thousandths
	maxValues  = 64 << 20 // bytes of one row, unpacked
)

var errValues = errors.New("the values of a base rate cannot be read")

// packValues writes counts by value: for each the length of its name, the name, and the count in thousandths, the
// numbers as varints, and a block of S2 around it.
func packValues(values map[string]float64) []byte {
	var b []byte
	for _, v := range slices.Sorted(maps.Keys(values)) {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
		b = binary.AppendUvarint(b, uint64(math.Round(max(0, values[v])*inOneValue)))
	}
	return s2.Encode(nil, b)
}

// unpackValues calls each with every value of a row.
func unpackValues(packed []byte, each func(value []byte, n float64)) error {
	if n, err := s2.DecodedLen(packed); err != nil || n > maxValues {
		return errValues
	}
	b, err := s2.Decode(nil, packed)
	if err != nil {
		return errValues
	}
	for len(b) > 0 {
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return errValues
		}
		name := b[k : k+int(size)]
		b = b[k+int(size):]
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return errValues
		}
		b = b[k:]
		each(name, float64(n)/inOneValue)
	}
	return nil
}
