package store

import (
	"context"
	"fmt"
	"strings"
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
