package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/agenttest"
	"posdx/agent/internal/keeper"
)

// Every loop of a real daemon turns, also while its broker is away; and the supervisor hears of it.
func TestDaemonIsReadyAndTurns(t *testing.T) {
	dir := t.TempDir()
	heard := agenttest.ListenAsSupervisor(t, filepath.Join(dir, "notify"))
	os.WriteFile(filepath.Join(dir, "pos.log"), nil, 0o600)
	c, _, err := readConfig(configured(t, dir, "[broker]\nurl = [\"tcp://127.0.0.1:9\"]\n[[log]]\npath = \""+dir+"/pos.log\"\npatterns = ['RC=(?P<code>\\w+)']\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, tasks := assembled(t, c)
	d.watch.Super = keeper.Supervisor{Socket: filepath.Join(dir, "notify")}
	d.watch.Look, d.watch.Patience, d.watch.StopRSS = time.Second, time.Hour, 0
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runAll(ctx, tasks) }()
	if got := agenttest.Next(t, heard); !strings.HasPrefix(got, "READY=1\nSTATUS=") {
		t.Errorf("first told %q", got)
	}
	go func() { // a log that nobody writes is looked at once a minute; this watch looks every second
		f, err := os.OpenFile(filepath.Join(dir, "pos.log"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer f.Close()
		for ctx.Err() == nil {
			f.WriteString("sale\n")
			time.Sleep(200 * time.Millisecond) // a pace: the log goes on
		}
	}()
	if got := agenttest.Next(t, heard); !strings.HasPrefix(got, "WATCHDOG=1\nSTATUS=no code seen yet; connected false") {
		t.Errorf("then told %q", got)
	}
	want := map[string]bool{"triage": true, "hook": true, "checks": true, "log": true, "uplink": true}
	for name, n := range d.watch.Turned() {
		if !want[name] || n == 0 {
			t.Errorf("%s: %d beats", name, n)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not watched: %v", want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for got := ""; got != "STOPPING=1"; got = agenttest.Next(t, heard) {
	}
}

// A reduced daemon answers codes, checks nothing and says so.
func TestReducedDaemonAnswers(t *testing.T) {
	dir := t.TempDir()
	c, _, err := readConfig(configured(t, dir, "[broker]\nurl = [\"tcp://127.0.0.1:9\"]\n[[reader]]\nname = \"reader0\"\nport = \"/dev/ttyNONE\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	after := func(crashes int) *keeper.Lives {
		b, err := json.Marshal(map[string]any{"boot_id": "boot", "crashes": make([]int64, crashes), "last_crash": "panic: x"})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "lives.json"), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return keeper.OpenLives(dir, "boot", 1)
	}
	c.life = after(keeper.ReducedAfter)
	client, stop := startIn(t, c)
	answers := ask(t, client, map[string]any{"type": "code", "code": "96", "origin": "host", "wait": "final", "full": true})
	last := answers[len(answers)-1].Diagnosis
	if last == nil || !last.Final || !last.Code.Known {
		t.Errorf("got %+v", last)
	}
	for _, e := range last.Evidence {
		if !strings.HasPrefix(e.Check, "txn.") {
			t.Errorf("evidence of %s in a reduced run", e.Check)
		}
	}
	st, err := client.State(t.Context())
	if err != nil || st.Reduced == "" || st.LastCrash != "panic: x" || st.Uplink.Why == "no broker is configured" {
		t.Errorf("state says %+v, uplink %+v, %v", st.Watch, st.Uplink, err)
	}
	stop()
	c.life = after(keeper.BareAfter)
	client, stop = startIn(t, c)
	defer stop()
	if st, err := client.State(t.Context()); err != nil || st.Uplink.Why != "no broker is configured" {
		t.Errorf("uplink %+v, %v", st.Uplink, err)
	}
}
