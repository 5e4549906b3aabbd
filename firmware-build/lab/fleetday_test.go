package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posdx/fleet/simulate"
)

func TestFleetDay(t *testing.T) {
	for args, says := range map[string]string{
		"--terminals 3":        "--terminals 10 to 100000",
		"--terminals 2000":     "of a morning to 1500",
		"--day doomsday":       `no day "doomsday"`,
		"--nonsense":           "not defined",
		"--bin nowhere --once": "start posdx-fleet",
	} {
		var out, talk strings.Builder
		if code := fleetDay(t.Context(), strings.Fields(args+" --listen 127.0.0.1:0"), &out, &talk); code == 0 ||
			!strings.Contains(talk.String(), says) {
			t.Errorf("%s: %d %q, want %q", args, code, talk.String(), says)
		}
	}
	file := filepath.Join(t.TempDir(), "truth.json")
	var out, talk strings.Builder
	if code := fleetDay(t.Context(), strings.Fields("--terminals 120 --day workday --warm 0 --truth "+file), &out, &talk); code > 1 {
		t.Fatalf("%d %s", code, talk.String())
	}
	b, err := os.ReadFile(file)
	var truths []simulate.Truth
	if err != nil || json.Unmarshal(b, &truths) != nil || len(truths) != 7 || len(truths[0].Place) == 0 ||
		!strings.Contains(out.String(), "7 made") {
		t.Errorf("%v %s %s", err, b, out.String())
	}
}
