package store

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/agent/report"
	terminals "posdx/fleet/sample"
)

// A store of an earlier release is brought to this one's with all that is in it; one of a later release is refused.
func TestStoresOfEarlierReleasesAreTakenOn(t *testing.T) {
	earlier(t, func(t *testing.T, version int, driver, dsn, address string) {
		db := asWritten(t, version, driver, dsn)

		// Two processes of the new release start at once.
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				s, err := Open(t.Context(), address)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				row, err := s.Diagnosis(t.Context(), nil, report.Address{Estate: "shop", Terminal: "t1"}, "000001-0000000001")
				if err != nil || !strings.Contains(string(row.Body), "host.malfunction") {
					t.Errorf("the diagnosis: %v %s", err, row.Body)
				}
				term, err := s.Terminal(t.Context(), nil, report.Address{Estate: "shop", Terminal: "t1"})
				if err != nil || term.State != "online" || len(term.Streams) != 1 {
					t.Errorf("the terminal: %v %+v", err, term)
				}
				list, err := s.Incidents(t.Context(), 0)
				if err != nil || len(list) != 1 || list[0].Key != "unionpay" {
					t.Errorf("the incident: %v %+v", err, list)
				}
			})
		}
		wg.Wait()

		if _, err := db.Exec("UPDATE meta SET version = 1000"); err != nil {
			t.Fatal(err)
		}
		db.Close()
		if _, err := Open(t.Context(), address); err == nil || !strings.Contains(err.Error(), "version 1000") {
			t.Errorf("a store of a later release: %v", err)
		}
	})
}

// Processes that open a new file at once take turns: none is told that it is locked.
func TestManyOpenOneFile(t *testing.T) {
	for range 20 {
		file := filepath.Join(t.TempDir(), "fleet.db")
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("CREATE TABLE t (a); INSERT INTO t VALUES (1); DROP TABLE t"); err != nil { // it has no log yet
			t.Fatal(err)
		}
		db.Close()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s, err := Open(t.Context(), "sqlite:"+file)
				if err != nil {
					t.Error(err)
					return
				}
				s.Close()
			})
		}
		wg.Wait()
	}
}

// earlier runs a test for every release's store and each kind of database.
func earlier(t *testing.T, test func(t *testing.T, version int, driver, dsn, address string)) {
	for v := 1; v < schemaVersion; v++ {
		t.Run(fmt.Sprint("version ", v), func(t *testing.T) {
			t.Run("sqlite", func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "fleet.db")
				test(t, v, "sqlite", file, "sqlite:"+file)
			})
			t.Run("postgres", func(t *testing.T) {
				a := Postgres(t)
				test(t, v, "pgx", a, a)
			})
		})
	}
}

// asWritten makes a store as a release wrote it. PACKED'…' is a text of hexadecimal bytes.
func asWritten(t *testing.T, version int, driver, dsn string) *sql.DB {
	t.Helper()
	script, err := os.ReadFile(fmt.Sprintf("testdata/version%d.sql", version))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, bytes := &Store{pg: driver == "pgx"}, "x'"
	if s.pg {
		bytes = `'\x`
	}
	for stmt := range strings.SplitSeq(string(script), ";\n") {
		if _, err := db.Exec(strings.ReplaceAll(s.types(stmt), "PACKED'", bytes)); err != nil {
			t.Fatalf("%v in %s", err, stmt)
		}
	}
	return db
}

// A store that this release has raised goes back to the one before with all that it can hold, and nothing else.
func TestStoresGoBackToTheReleaseBefore(t *testing.T) {
	earlier(t, func(t *testing.T, version int, driver, dsn, address string) {
		db := asWritten(t, version, driver, dsn)
		shape := func() string { return shapeOf(t, db, driver) }
		before := shape()
		s, err := Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var now int
		if err := db.QueryRow("SELECT version FROM meta").Scan(&now); err != nil || now != schemaVersion {
			t.Fatal("nothing was raised", now, err)
		}
		// What this release kept meanwhile, in its own form and in another month.
		a := terminals.New("shop", "t2")
		_, envelope := a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "91", "issuer.unavailable", "issuer"))
		dx := a.Diagnosis(1, 2, "91", "issuer.unavailable", "issuer")
		if _, err := s.Commit(t.Context(), []Document{{At: a.At, Kind: report.KindDiagnosis, Epoch: "e1", Boot: 1, Seq: 1,
			Received: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), Diagnosis: &dx, Packed: Pack(envelope)}}); err != nil {
			t.Fatal(err)
		}
		value := SeasonRow{Estate: "shop", Cause: "idle", Dim: "site@sales", Value: "site-1", Hour: 498685, Terminals: 2}
		if err := s.AddSeason(t.Context(), []SeasonRow{value}); err != nil {
			t.Fatal(err)
		}
		if err := s.Down(t.Context(), schemaVersion+1); err == nil {
			t.Error("back to a later one")
		}
		if version < 2 {
			if err := s.Down(t.Context(), version); err == nil || !strings.Contains(err.Error(), "backup") {
				t.Error("packed diagnoses for a release that cannot read them:", err)
			}
			return
		}
		if err := s.Down(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		if after := shape(); after != before {
			t.Errorf("is\n%s\nwas\n%s", after, before)
		}
		want := envelope
		if version >= 4 { // it reads what this one packs
			want = Pack(envelope)
		}
		var packed []byte
		if err := db.QueryRow("SELECT packed FROM diagnoses WHERE terminal = 't2'").Scan(&packed); err != nil ||
			!bytes.Equal(packed, want) {
			t.Errorf("a release before cannot read what was kept: %v %.40q", err, packed)
		}
		var n float64
		err = db.QueryRow("SELECT terminals FROM seasons WHERE value = 'site-1' AND hour = 498685").Scan(&n)
		if version < 6 && (err != nil || n != 2) { // later ones have it packed
			t.Errorf("nor the base rate: %v %v", n, err)
		}
		again, err := Open(t.Context(), address)
		if err != nil {
			t.Fatal("and up again:", err)
		}
		defer again.Close()
		known := 0
		if err := again.Seasons(t.Context(), time.Time{}, func(r SeasonRow) {
			if r == value {
				known++
			}
		}); err != nil || known != 1 {
			t.Errorf("the base rate of a site is known %d times: %v", known, err)
		}
		if row, err := again.Diagnosis(t.Context(), nil, a.At, dx.ID); err != nil ||
			!strings.Contains(string(row.Body), "issuer.unavailable") {
			t.Errorf("the later diagnosis: %v %s", err, row.Body)
		}
		if row, err := again.Diagnosis(t.Context(), nil, report.Address{Estate: "shop", Terminal: "t1"},
			"000001-0000000001"); err != nil || !strings.Contains(string(row.Body), "host.malfunction") {
			t.Errorf("the diagnosis: %v %s", err, row.Body)
		}
	})
}

// shapeOf lists tables, columns, indexes and triggers, but for those of a later month.
func shapeOf(t *testing.T, db *sql.DB, driver string) string {
	t.Helper()
	q := "SELECT m.name || ' ' || c.name || ' ' || c.type FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' " +
		"UNION SELECT coalesce(sql, 'index ' || name) FROM sqlite_master WHERE type IN ('index', 'trigger') ORDER BY 1"
	if driver == "pgx" {
		q = "SELECT table_name || ' ' || column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = current_schema() " +
			"UNION SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1"
	}
	rows, err := db.Query(q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s, "diagnoses_2027_03") { // the month that came meanwhile
			list = append(list, s)
		}
	}
	return strings.Join(list, "\n")
}
