package ingest

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
