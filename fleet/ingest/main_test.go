package ingest

import (
	"fmt"
	"os"
	"testing"

	"posdx/firmware-build/housetest"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(feedEnv); spec != "" {
		if err := runFeed(spec); err != nil {
			fmt.Fprintln(os.Stderr, "feed:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	housetest.StopPostgres()
	os.Exit(code)
}
