package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestOfStore(t *testing.T) {
	for code, want := range map[string]bool{
		"53100": true, "57P03": true, "25006": true, "40P01": true, "42501": true, // full, starting, read only, deadlock, not allowed
		"22021": false, "23505": false, "54000": false, // not in the encoding, there already, too large for an index
	} {
		if got := OfStore(fmt.Errorf("commit: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.write.Exec("INSERT INTO meta (only_row, version, alive) VALUES (1, 1, 1)"); err == nil || OfStore(err) {
		t.Errorf("a row that is there already: %v", err)
	}
	if _, err := s.read.Exec("UPDATE meta SET alive = 1"); err == nil || !OfStore(err) {
		t.Errorf("read only: %v", err)
	}
	if OfStore(errors.New("connection refused")) {
		t.Error("no database said that")
	}
}
