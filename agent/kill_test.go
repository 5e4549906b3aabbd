package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// TestKilledAtRandom kills the daemon with signal 9 while codes are reported, twelve times, with POSDX_LONG a hundred.
// Every code that got its first verdict has its final diagnosis in the outbox after the last start, once.
func TestKilledAtRandom(t *testing.T) {
	deaths := 12
	if os.Getenv("POSDX_LONG") != "" {
		deaths = 100
	}
	dir, err := os.MkdirTemp("", "kill") // socket names are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	config, state := filepath.Join(dir, "posdx.toml"), filepath.Join(dir, "state")
	if err := os.WriteFile(config, []byte(least+"state_dir = \""+state+"\"\n[hook]\nsocket = \""+dir+"/s\"\n[outbox]\nmax_bytes = 67108864\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := hook.Client{Path: dir + "/s"}
	promised := map[string]bool{} // ids whose first verdict came
	sent := 0
	report1 := func(ctx context.Context) error {
		sent++
		// each is a code of its own
		q := hook.CodeRequest{Type: "code", Code: fmt.Sprintf("T%d", sent), Origin: report.OriginHost, Wait: "first", Full: true}
		return client.Do(ctx, q, func(a hook.Answer) {
			if a.Diagnosis != nil {
				promised[a.Diagnosis.ID] = true
			}
		})
	}
	for i := range deaths + 1 {
		said := &relayTalk{}
		daemon := posdx(t, said, "run", "--config", config)
		housetest.Until(t, "the hook listens", func() bool { return said.count("hook listens") > 0 })
		if i == deaths {
			housetest.Until(t, "what was cut off is ended", func() bool { return len(pending(t, state)) == 0 && ended(t, state, promised) })
			daemon.Process.Signal(syscall.SIGTERM)
			if err := daemon.Wait(); err != nil {
				t.Errorf("the last start: %v\n%s", err, said)
			}
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() {
			for ctx.Err() == nil {
				report1(ctx)
			}
		})
		time.Sleep(time.Duration(rand.Int64N(int64(400 * time.Millisecond)))) // the kill comes at any moment
		daemon.Process.Kill()
		daemon.Wait()
		cancel()
		busy.Wait()
		os.Remove(dir + "/lives.json") // so many crashes in a row would make it start later
	}
	box, err := outbox.Open(filepath.Join(state, "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	finals := map[string]int{}
	box.Scan(func(r outbox.Record) bool {
		var d report.Diagnosis
		if r.Kind == report.KindDiagnosis && json.Unmarshal(r.Doc, &d) == nil && d.Final && d.Repeats == 0 {
			finals[d.ID]++
		}
		return true
	})
	for id := range promised {
		if finals[id] != 1 {
			t.Errorf("%s: %d final revisions, want 1", id, finals[id])
		}
	}
	t.Logf("%d deaths, %d codes sent, %d promised, %d ended", deaths, sent, len(promised), len(finals))
	if len(promised) < deaths {
		t.Errorf("only %d codes were promised", len(promised))
	}
}

// ended tells whether each of these diagnoses has a final revision somewhere in the outbox's files.
func ended(t *testing.T, state string, ids map[string]bool) bool {
	t.Helper()
	have := map[string]bool{}
	final := regexp.MustCompile(`\{"id":"([0-9a-f-]+)","revision":[0-9]+,"final":true`)
	files, _ := filepath.Glob(filepath.Join(state, "outbox", "*"))
	for _, f := range files {
		b, _ := os.ReadFile(f) // one may go meanwhile
		for _, m := range final.FindAllSubmatch(b, -1) {
			have[string(m[1])] = true
		}
	}
	for id := range ids {
		if !have[id] {
			return false
		}
	}
	return true
}

// pending are the diagnoses in the journal of a daemon that is running.
func pending(t *testing.T, state string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(state, "open.journal"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "open.journal")
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := outbox.OpenJournal(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var ids []string
	for _, d := range j.Left {
		ids = append(ids, d.ID)
	}
	return ids
}
