package store

import (
	"os"
	"testing"

	"posdx/firmware-build/housetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	housetest.StopPostgres()
	os.Exit(code)
}

// Postgres returns the address of an empty database.
func Postgres(t testing.TB) string { return housetest.Postgres(t) }
