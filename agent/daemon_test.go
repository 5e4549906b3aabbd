package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/agent/report/schema/schematest"
	"posdx/codes"
	"posdx/firmware-build/housetest"
)

// start runs a whole daemon in a folder of its own and returns its socket.
func start(t *testing.T, more string) (client hook.Client, dir string, stop func()) {
	t.Helper()
	dir = t.TempDir()
	text := least + "language = \"en\"\nstate_dir = \"" + dir + "\"\n[hook]\nsocket = \"" + dir + "/s\"\n" + more
	c, err := parseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	client, stop = startIn(t, c)
	return client, dir, stop
}

func startIn(t *testing.T, c config) (hook.Client, func()) {
	t.Helper()
	tasks, closing, err := build(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, c, tasks, closing)
}

// serve runs the tasks of a daemon until stop is called.
func serve(t *testing.T, c config, tasks []task, closing func()) (hook.Client, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runAll(ctx, tasks) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		closing()
	}
	client := hook.Client{Path: c.Hook.Socket}
	if !housetest.Within(housetest.Patience, func() bool { _, err := client.State(t.Context()); return err == nil }) {
		stop()
		t.Fatal("the hook does not answer")
	}
	return client, stop
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ask sends one request and returns all answers.
func ask(t *testing.T, c hook.Client, request any) (list []hook.Answer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Do(ctx, request, func(a hook.Answer) { list = append(list, a) }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestWhatTheDaemonEmitsObeysTheSchemas(t *testing.T) {
	client, dir, stop := start(t, "[[target]]\nname = \"host-primary\"\nhost = \"127.0.0.1\"\nport = 9\n[app]\nprocess = \"payapp\"\n")
	ask(t, client, map[string]any{"type": "fact", "check": "app.session", "status": "ok", "facts": map[string]any{"signed_in": true, "last_signin_result": "00"}})
	for _, code := range []string{"96", "97", "9997", "ConnectError", "00", "T-8C41"} {
		for _, a := range ask(t, client, map[string]any{"type": "code", "code": code, "origin": "host", "wait": "final",
			"full": true, "txn": map[string]any{"mti": "0210", "stan": "000001", "entry": "chip"}}) {
			if a.Diagnosis == nil {
				t.Fatalf("code %s: no diagnosis in %+v", code, a)
			}
			if err := schematest.Check("diagnosis", a.Diagnosis); err != nil {
				t.Errorf("code %s: %v", code, err)
			}
		}
	}
	stop()
	box, err := outbox.Open(filepath.Join(dir, "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	kinds := map[string]int{}
	box.Scan(func(r outbox.Record) bool {
		kinds[r.Kind]++
		if err := schematest.Check(r.Kind, json.RawMessage(r.Doc)); err != nil {
			t.Errorf("record %d: %v", r.Seq, err)
		}
		b, err := report.Wrap(report.Address{Estate: "shop", Terminal: "t1"}, r.Kind, r.Epoch, r.Boot, r.Seq, r.Time, true, r.Doc)
		if err != nil {
			t.Fatal(err)
		}
		if err := schematest.Check("envelope", json.RawMessage(b)); err != nil {
			t.Errorf("record %d: %v", r.Seq, err)
		}
		return true
	})
	// The final revisions of five codes; the approval is counted and not diagnosed. The tally comes with the stop.
	if kinds[report.KindDiagnosis] != 5 || kinds[report.KindTally] != 1 {
		t.Errorf("kept %v, want 5 diagnoses and 1 tally", kinds)
	}
}

func TestHealthAndBirthObeyTheSchemas(t *testing.T) {
	c := mustParse(t, least+"state_dir = \""+t.TempDir()+"\"\n[[reader]]\nname = \"reader0\"\nport = \"/dev/ttyNONE\"\n")
	d, _ := assembled(t, c)
	if _, err := d.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	h := d.health()
	if len(h.Evidence) < 30 {
		t.Errorf("only %d pieces of evidence, want one for nearly every check of the contract", len(h.Evidence))
	}
	if err := schematest.Check("health", h); err != nil {
		t.Error(err)
	}
	if err := schematest.Check("birth", d.birth()); err != nil {
		t.Error(err)
	}
	if _, err := d.Check(t.Context(), []string{"net.tpc"}); err == nil || !strings.Contains(err.Error(), "net.tcp") {
		t.Errorf("a check that is not there: %v, want the names of those that are", err)
	}
}

func TestEveryCheckOfTheContractIsAnswered(t *testing.T) {
	c := mustParse(t, least+"state_dir = \""+t.TempDir()+"\"\n[[target]]\nname = \"host-primary\"\nhost = \"127.0.0.1\"\nport = 9\ntls = true\n")
	s, err := sense(c, "", nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, p := range s.probes {
		for _, name := range p.Checks {
			have[string(name)] = true
		}
	}
	// What the payment application reports, and what the loop knows itself, has no probe.
	reported := map[string]bool{"app.version": true, "app.config": true, "app.operator": true, "app.session": true, "app.keys": true,
		"app.journal": true, "txn.answer": true, "txn.history": true, "fleet.advisory": true, "source.readable": true}
	for _, name := range contractChecks(t) {
		if !have[name] && !reported[name] {
			t.Errorf("nothing answers %s", name)
		}
	}
}

func contractChecks(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, c := range codes.Builtin().Checks {
		names = append(names, c.Name)
	}
	return names
}

func TestInterruptedDiagnosisIsFinishedAfterARestart(t *testing.T) {
	client, dir, stop := start(t, "")
	ask(t, client, map[string]any{"type": "code", "code": "97", "origin": "host", "wait": "final"})
	stop()
	// A power cut between the two revisions leaves the first in the journal, and one whose end it did not come to forget.
	box, err := outbox.Open(filepath.Join(dir, "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ended []byte
	box.Scan(func(r outbox.Record) bool { ended = r.Doc; return false })
	box.Close()
	var d report.Diagnosis
	if err := json.Unmarshal(ended, &d); err != nil {
		t.Fatal(err)
	}
	notes, err := outbox.OpenJournal(filepath.Join(dir, "open.journal"))
	if err != nil || len(notes.Left) != 0 {
		t.Fatalf("after an orderly end the journal holds %v, %v", notes.Left, err)
	}
	for _, id := range []string{"000009-0000000001", d.ID} {
		d.ID, d.Event.ID, d.Revision, d.Final = id, id, 1, false
		b, _ := json.Marshal(d)
		if err := notes.Begin(id, b); err != nil {
			t.Fatal(err)
		}
	}
	notes.Close()
	d.ID = "000009-0000000001"
	c := mustParse(t, least+"state_dir = \""+dir+"\"\n[hook]\nsocket = \""+dir+"/s\"\n")
	client, stop = startIn(t, c)
	defer stop()
	var s report.State
	housetest.Until(t, "the interrupted diagnosis is ended", func() bool {
		var err error
		s, err = client.State(t.Context())
		return err == nil && s.Last != nil
	})
	if s.Last.ID != d.ID || !s.Last.Final || s.Last.Revision != 2 {
		t.Errorf("got %s revision %d final %v, want the interrupted one ended", s.Last.ID, s.Last.Revision, s.Last.Final)
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ more, want string }{
		"profile": {"[profile]\nscheme = \"unionpai\"\n", `no code table "unionpai"`},
		"broker":  {"[broker]\nurl = [\"http://b\"]\n", "broker"},
		"names":   {"[network]\nresolvers = [\"dns.example\"]\n", `"dns.example" is no IP address`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "c.toml")
			if err := os.WriteFile(file, []byte(least+"state_dir = \""+dir+"\"\n"+c.more), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, talk strings.Builder
			code := run(t.Context(), stdio{out: &out, err: &talk, speak: "en"}, []string{"run", "--config", file})
			if code != exitConfig || !strings.Contains(talk.String(), c.want) {
				t.Errorf("exit %d, said %q; want %d and %q", code, talk.String(), exitConfig, c.want)
			}
		})
	}
}
