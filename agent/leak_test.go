package main

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
)

// pans are test numbers of the card networks and forms in which they turn up.
var pans = []string{"4761739001010010", "6228480402564890018", "4761 7390 0101 0010", ";4761739001010010=25122011758900000000?", "%B4761739001010010^DOE/JOHN^2512201?"}

// TestPlantedCardDataGoesNowhere plants card numbers in every member of the hook and in the log, and looks for them in
// everything that leaves: answers, log, state directory.
func TestPlantedCardDataGoesNowhere(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "pay.log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	c := mustParse(t, least+"state_dir = \""+state+"\"\n[hook]\nsocket = \""+dir+"/s\"\n[[log]]\npath = \""+log+"\"\npatterns = ['RC=(?P<code>\\S+) stan=(?P<stan>\\S+) tid=(?P<tid>\\S+)']\n")
	var talk bytes.Buffer
	gate := &report.Gate{}
	tasks, closing, err := build(c,
		slog.New(slog.NewTextHandler(gate.Writer(&talk), &slog.HandlerOptions{Level: slog.LevelDebug})), gate)
	if err != nil {
		t.Fatal(err)
	}
	client, stop := serve(t, c, tasks, closing)
	var said bytes.Buffer
	for _, pan := range pans {
		for _, q := range []map[string]any{
			{"type": "code", "code": pan}, {"type": "code", "code": "96", "scheme": pan}, {"type": "code", "code": "96", "origin": pan},
			{"type": "code", "code": "96", "wait": "final", "full": true, "lang": pan, pan: pan,
				"txn": map[string]any{"stan": pan, "terminal_id": pan, "mti": pan, "entry": pan, "pan": pan, "connect_ms": pan}},
			{"type": "fact", "check": "app.session", "status": "ok", "facts": map[string]any{"last_signin_result": pan, pan: pan}},
			{"type": "fact", "check": "app.version", "status": "ok", "facts": map[string]any{"installed": pan, "expected": pan}},
			{"type": "txn", "phase": "end", "stan": pan, "result": pan, "code": pan}, {"type": pan}, {"type": "check", "names": []string{pan}},
		} {
			err := client.Do(t.Context(), q, func(a hook.Answer) { said.WriteString(mustJSON(t, a)) })
			if err != nil {
				said.WriteString(err.Error())
			}
		}
		f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("sale " + pan + " RC=" + strings.ReplaceAll(pan, " ", "") + " stan=" + strings.ReplaceAll(pan, " ", "") + " tid=1\nsale " + pan + " RC=55 stan=000001 tid=10043871\n")
		f.Close()
	}
	if err := client.Do(t.Context(), map[string]any{"type": "code", "code": "55", "origin": "host", "wait": "final",
		"full": true}, func(a hook.Answer) { said.WriteString(mustJSON(t, a)) }); err != nil {
		t.Fatal(err)
	}
	stop()
	look := func(where string, b []byte) {
		for _, digits := range []string{"4761739001010010", "6228480402564890018", "476173900101", "622848040256489"} {
			plain := bytes.ReplaceAll(b, []byte(" "), nil)
			if i := bytes.Index(plain, []byte(digits)); i >= 0 {
				t.Errorf("%s: card number in …%q…", where, plain[max(0, i-60):min(len(plain), i+30)])
			}
		}
	}
	look("answers", said.Bytes())
	look("log", talk.Bytes())
	seen := 0
	err = filepath.WalkDir(state, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		seen++
		b, err := os.ReadFile(path)
		look(path, b)
		return err
	})
	if err != nil || seen < 2 {
		t.Errorf("looked at %d files: %v", seen, err)
	}
	if n := gate.Stopped(); n != 0 {
		t.Errorf("the gate had to stop %d places: something before it let them through", n)
	}
}
