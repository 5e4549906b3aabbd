package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"posdx/agent/report"
)

// A store of an earlier release is brought to this one's with all that is in it; one of a later release is refused.
func TestStoresOfEarlierReleasesAreTakenOn(t *testing.T) {
	script, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(t *testing.T) (driver, dsn, address string){
		"sqlite": func(t *testing.T) (string, string, string) {
			file := filepath.Join(t.TempDir(), "fleet.db")
			return "sqlite", file, "sqlite:" + file
		},
		"postgres": func(t *testing.T) (string, string, string) {
			a := Postgres(t)
			return "pgx", a, a
		},
	} {
		t.Run(name, func(t *testing.T) {
			driver, dsn, address := open(t)
			db, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			types := (&Store{pg: driver == "pgx"}).types
			for stmt := range strings.SplitSeq(string(script), ";\n") {
				if _, err := db.Exec(types(stmt)); err != nil {
					t.Fatalf("%v in %s", err, stmt)
				}
			}

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
}
