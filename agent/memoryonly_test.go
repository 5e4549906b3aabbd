package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posdx/agent/internal/source/hook"
)

// TestAnswersSayWhenOnlyMemoryHoldsTheRecord: where flash takes nothing, whoever hands in a code is told so, with every
// answer, and posdx report tells the person; where it does, nobody is.
func TestAnswersSayWhenOnlyMemoryHoldsTheRecord(t *testing.T) {
	for _, broken := range []bool{false, true} {
		dir := t.TempDir()
		state := filepath.Join(dir, "state")
		c := mustParse(t, least+"language = \"en\"\nstate_dir = \""+state+"\"\n[hook]\nsocket = \""+dir+"/s\"\n")
		if broken { // a file where the folder should be: every write fails, for as long as it stands there
			if err := os.WriteFile(state, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		client, stop := startIn(t, c)
		answers := 0
		err := client.Do(t.Context(), map[string]any{"type": "code", "code": "96", "origin": "host", "wait": "final"}, func(a hook.Answer) {
			answers++
			if a.MemoryOnly != broken {
				t.Errorf("flash broken %v: answer %d says %v", broken, answers, a.MemoryOnly)
			}
		})
		if err != nil || answers != 2 {
			t.Errorf("%d answers, %v", answers, err)
		}
		var out, talk bytes.Buffer
		run(t.Context(), stdio{in: strings.NewReader(""), out: &out, err: &talk, speak: "en"},
			[]string{"report", "--socket", dir + "/s", "--code", "96", "--origin", "host", "--wait", "final", "--lang", "en"})
		if strings.Contains(talk.String(), "in memory only") != broken {
			t.Errorf("flash broken %v: posdx report says %q", broken, talk.String())
		}
		stop()
	}
}
