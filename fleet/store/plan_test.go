package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/agent/report"
)

// A month's table that is new is known to the database before a terminal's diagnoses are many: what there is already of
// a document is found by its id, not by reading all that its terminal has.
func TestADocumentIsFoundByItsIDFromAMonthsFirstHourOn(t *testing.T) {
	s, err := Open(t.Context(), Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const terminals = 4
	var docs []Document
	for n := range 2 * studied {
		docs = append(docs, Document{At: report.Address{Estate: "shop", Terminal: fmt.Sprint("t", n%terminals)},
			Kind: report.KindDiagnosis, Epoch: "e1", Boot: 1, Seq: uint64(n/terminals + 1), Received: t0, Packed: []byte("{}"),
			Diagnosis: &report.Diagnosis{ID: fmt.Sprint("d", n), Revision: 1, Event: report.Event{BootID: "b", Code: "96"}}})
	}
	if _, err := s.Commit(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	find, args := thereAlready([][]any{{"shop", "t1", "b", "d1"}, {"shop", "t2", "b", "d2"}})
	rows, err := s.write.Query("EXPLAIN "+find, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if !strings.Contains(plan.String(), "AND (id = k.id))") || strings.Contains(plan.String(), "Filter:") {
		t.Errorf("the database would read all that a terminal has:\n%s", plan.String())
	}
}

// SQLite plans the statements of batches of any size once.
func TestStatementsArePlannedOnce(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+t.TempDir()+"/fleet.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	count := func() (n int) {
		s.plans.Range(func(any, any) bool { n++; return true })
		return n
	}
	next := 0
	commit := func(n int) {
		t.Helper()
		var docs []Document
		for range n {
			next++
			docs = append(docs, Document{At: report.Address{Estate: "shop", Terminal: fmt.Sprint("t", next)},
				Kind: report.KindDiagnosis, Epoch: "e1", Boot: 1, Seq: 1, Received: t0, Packed: []byte("{}"),
				Diagnosis: &report.Diagnosis{ID: "d", Revision: 1, Event: report.Event{BootID: "b", Code: "96"}}})
		}
		if r, err := s.Commit(t.Context(), docs); err != nil || r.Stored != n {
			t.Fatalf("%d stored, want %d: %v", r.Stored, n, err)
		}
	}
	season := func(causes int) {
		t.Helper()
		var rows []SeasonRow
		for n := range causes {
			rows = append(rows, SeasonRow{Estate: "shop", Cause: fmt.Sprint("c", n), Hour: 1, Terminals: 1})
		}
		if err := s.AddSeason(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	season(325) // three of the largest size, one of each other
	if n := count(); n != len(atOnce) {
		t.Errorf("%d statements of the base rate are kept, want %d", n, len(atOnce))
	}
	commit(125) // one of each size
	planned := count()
	if planned == len(atOnce) {
		t.Error("nothing is planned")
	}
	season(40)
	for n := 1; n < 400; n += 37 {
		commit(n)
	}
	if n := count(); n != planned {
		t.Errorf("%d statements are kept, want the %d of the first batch", n, planned)
	}
	var n int
	if err := s.read.QueryRow("SELECT count(*) FROM diagnoses").Scan(&n); err != nil || n != next {
		t.Errorf("%d diagnoses are kept, want %d; %v", n, next, err)
	}
}

// A connection that is made anew, as after a statement that was cut off, writes like the first.
func TestTheWriterIsMadeAnewAsItWas(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+t.TempDir()+"/fleet.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	settings := func() (list [3]int) {
		for i, name := range []string{"temp_store", "wal_autocheckpoint", "synchronous"} {
			if err := s.write.QueryRow("PRAGMA " + name).Scan(&list[i]); err != nil {
				t.Fatal(err)
			}
		}
		return list
	}
	first := settings()
	if first[0] != 2 { // memory
		t.Errorf("temp_store is %d", first[0])
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, err := s.write.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
		UPDATE meta SET alive = (SELECT max(i) FROM n)`); err == nil {
		t.Fatal("it was not cut off")
	}
	if again := settings(); again != first {
		t.Errorf("made anew it has %v, had %v", again, first)
	}
}

// Sites that sell are most of the base rate's rows by far: neither a page nor a sweep reads them to find its own.
func TestThePagesDoNotReadTheWholeBaseRate(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+t.TempDir()+"/fleet.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, q := range []string{
		"SELECT cause, hour, sum(terminals) FROM seasons WHERE cause <> '' AND dim IN ('', 'beyond@hour') AND hour >= 1 AND hour < 9 GROUP BY cause, hour",
		"SELECT sum(terminals) FROM seasons WHERE cause = 'c' AND dim = '' AND hour >= 1", "DELETE FROM seasons WHERE hour < 1",
	} {
		var id, parent, unused int
		var plan string
		if err := s.write.QueryRow("EXPLAIN QUERY PLAN "+q).Scan(&id, &parent, &unused, &plan); err != nil ||
			!strings.HasPrefix(plan, "SEARCH") {
			t.Errorf("%s: %s %v", q, plan, err)
		}
	}
}

// A listener is a database whose statements are noted.
type listener struct {
	of   driver.Driver
	dsn  string
	mu   sync.Mutex
	said map[string]bool
}

func (l *listener) Driver() driver.Driver { return l.of }

func (l *listener) Connect(context.Context) (driver.Conn, error) {
	c, err := l.of.Open(l.dsn)
	return listening{c, l}, err
}

type listening struct {
	driver.Conn
	to *listener
}

func (c listening) Prepare(stmt string) (driver.Stmt, error) {
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.said[stmt] = true
	return c.Conn.Prepare(stmt)
}

// No page reads all diagnoses to find its own, whatever it is asked: each statement finds them by an index. Nobody
// tells the database how many there are, so its plans are those of every store.
func TestNoPageReadsAllDiagnoses(t *testing.T) {
	file := t.TempDir() + "/fleet.db"
	s, err := Open(t.Context(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var docs []Document
	for n := range 40 {
		docs = append(docs, Document{At: report.Address{Estate: "shop", Terminal: fmt.Sprint("t", n%8)}, Kind: report.KindDiagnosis,
			Epoch: "e1", Boot: 1, Seq: uint64(n/8 + 1), Received: time.Now(), Packed: []byte("{}"),
			Diagnosis: &report.Diagnosis{ID: fmt.Sprint("d", n), Revision: 1, Event: report.Event{BootID: "b", Code: "96"}}})
	}
	if _, err := s.Commit(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	heard := &listener{of: s.read.Driver(), dsn: liteAddress(file), said: map[string]bool{}}
	s.read.Close()
	s.read = sql.OpenDB(heard)
	s.read.SetMaxOpenConns(1)

	ctx, now, at := t.Context(), time.Now(), report.Address{Estate: "shop", Terminal: "t1"}
	day := now.Add(-24 * time.Hour)
	place := map[string]string{"site": "site-1"}
	told, err := s.Told(ctx, "shop", []string{"lan.cable"}, nil, day, now)
	if err != nil {
		t.Fatal(err)
	}
	list := func(f Filter) error { _, _, err := s.Diagnoses(ctx, f); return err }
	reads := map[string]func() error{
		"Diagnosis": func() error { _, err := s.Diagnosis(ctx, nil, at, "d1"); return err },
		"Outcome":   func() error { _, err := s.Outcome(ctx, nil, at, "d1"); return err },
		"Terminal":  func() error { _, err := s.Terminal(ctx, nil, at); return err },
		"Summary":   func() error { _, err := s.Summary(ctx, nil, now); return err },
		"Codes":     func() error { _, err := s.Codes(ctx, nil, day, 2, 12, ""); return err },
		"Causes":    func() error { _, err := s.Causes(ctx, nil, day, 2, 12, ""); return err },
		"Causes of": func() error { _, err := s.Causes(ctx, Estates{"shop"}, day, 2, 12, "lan.cable"); return err },
		"CausesOf":  func() error { _, err := s.CausesOf(ctx, nil, "96", "", day); return err },
		"codes of":  func() error { _, err := s.CausesOf(ctx, Estates{"shop"}, "", "lan.cable", day); return err },
		"BaseRate":  func() error { _, err := s.BaseRate(ctx, nil, "lan.cable", day); return err },
		"Tasks": func() error {
			_, err := s.Tasks(ctx, nil, []string{"lan.cable", "wan.outage"}, place, day, now, .5)
			return err
		},
		"Became":     func() error { _, err := s.Became(ctx, nil, "lan.cable", day, time.Time{}, 10); return err },
		"all Became": func() error { _, err := s.Became(ctx, nil, "", day, time.Time{}, 10); return err },
		"Shares":     func() error { _, err := s.Shares(ctx, told); return err },
		"Reporting":  func() error { _, err := s.Reporting(ctx, told, place, day, 24, time.Hour); return err },
		"InAndOut":   func() error { _, _, err := s.InAndOut(ctx, told, place); return err },
		"Sightings":  func() error { _, err := s.Sightings(ctx, day); return err },
		"Backlog":    func() error { _, _, err := s.Backlog(ctx, -1, day, now, 10); return err },
		"Gauges":     func() error { _, err := s.Gauges(ctx, now); return err },
	}
	for i, f := range []Filter{
		{}, {Oldest: true}, {Cause: "lan.cable"}, {Code: "96"}, {Code: "96", Scheme: "unionpay"}, {Segment: "lan"}, {Text: "cable lan"},
		{In: Estates{"shop"}}, {Estate: "shop"}, {Terminal: "t1"}, {Estate: "shop", Terminal: "t1"}, {Place: place},
		{Place: place, Cause: "lan.cable"}, {Place: place, Text: "cable"}, {Place: place, Code: "96"}, {Cause: "lan.cable", Oldest: true},
	} {
		for j := range 3 {
			f := f
			switch j {
			case 1:
				f.Since = day
			case 2:
				f.Since, f.Until, f.In = day, now, Estates{"shop"}
			}
			reads[fmt.Sprint("list ", i, j)] = func() error { return list(f) }
		}
	}
	for what, read := range reads {
		clear(heard.said)
		if err := read(); err != nil && !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", what, err)
		}
		for stmt := range heard.said {
			for _, line := range planOf(t, s.write, stmt) {
				if scansAll.MatchString(line) && !newestOfAll.MatchString(stmt) {
					t.Errorf("%s: %s in\n%s", what, line, stmt)
				}
			}
		}
	}
}

// scansAll is a plan's word for reading a table, under any name that the statements here give it, from end to end.
var scansAll = regexp.MustCompile(`^SCAN (diagnoses|d|l)\b`)

// newestOfAll is a statement that asks for nothing but the newest or oldest: it ends after so many.
var newestOfAll = regexp.MustCompile(`FROM diagnoses NOT INDEXED ORDER BY place( DESC)? LIMIT \d+$`)

// planOf is how SQLite would run a statement.
func planOf(t *testing.T, db *sql.DB, stmt string) (lines []string) {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+stmt, slices.Repeat([]any{1}, strings.Count(stmt, "?"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// The diagnoses of a few terminals are found by these, and read no further than their index as long as nothing else is
// asked of them.
func TestAFewTerminalsDiagnosesAreFoundByTheirIndex(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+t.TempDir()+"/fleet.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	place := Filter{Place: map[string]string{"site": "site-1"}}
	full := place
	full.Cause, full.Text = "lan.cable", "cable"
	for f, want := range map[*Filter]string{&place: "SEARCH diagnoses USING COVERING INDEX diagnoses_terminal (estate=? AND terminal=?)",
		&full: "SEARCH diagnoses USING INDEX diagnoses_terminal (estate=? AND terminal=?)"} {
		stmt, _ := s.placesOf(f.columns(), f.whose(), 100, 50)
		if plan := planOf(t, s.write, stmt); !slices.Contains(plan, want) {
			t.Errorf("%+v: %q", *f, plan)
		}
	}
}
