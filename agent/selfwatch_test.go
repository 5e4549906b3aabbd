package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/report"
)

// listenAsSupervisor takes what is told to a service manager.
func listenAsSupervisor(t *testing.T, name string) <-chan string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	heard := make(chan string, 64)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			heard <- string(b[:n])
		}
	}()
	return heard
}

func next(t *testing.T, heard <-chan string) string {
	t.Helper()
	select {
	case s := <-heard:
		return s
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was told")
		return ""
	}
}

func TestSupervisorIsToldByDatagram(t *testing.T) {
	abstract := "@posdx-test-" + filepath.Base(t.TempDir()) + t.Name()
	for _, name := range []string{filepath.Join(t.TempDir(), "n"), abstract} {
		heard := listenAsSupervisor(t, name)
		s := findSupervisor(func(key string) string {
			return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"}[key]
		})
		if s.watchdog != time.Minute {
			t.Errorf("watchdog %v", s.watchdog)
		}
		if err := s.tell("READY=1\nSTATUS=x"); err != nil {
			t.Fatal(err)
		}
		if got := next(t, heard); got != "READY=1\nSTATUS=x" {
			t.Errorf("told %q", got)
		}
	}
	none := findSupervisor(func(key string) string {
		return map[string]string{"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}[key]
	})
	if err := none.tell("READY=1"); err != nil || none.watchdog != 0 {
		t.Errorf("without a supervisor: %v, watchdog of another process: %v", err, none.watchdog)
	}
	gone := supervisor{socket: filepath.Join(t.TempDir(), "gone")}
	if gone.tell("READY=1") == nil {
		t.Error("a supervisor that is gone: no error")
	}
}

// watched returns a watch whose usage a test can set.
func watched(t *testing.T) (w *watch, held map[string]int64, said *bytes.Buffer) {
	t.Helper()
	said = &bytes.Buffer{}
	held = map[string]int64{"goroutines": 10, "rss_kb": 1000, "descriptors": 10}
	w = newWatch(slog.New(slog.NewTextHandler(said, nil)), supervisor{})
	w.usage = func() map[string]int64 { return held }
	w.limits = map[string]int64{"goroutines": 100, "rss_kb": 2000, "descriptors": 50}
	w.stopRSS = 4000
	return w, held, said
}

func TestWatchEndsTheDaemonWhenALoopHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, said := watched(t)
		var mu sync.Mutex
		hung := false
		w.add("triage", true, func(answer func()) {
			mu.Lock()
			defer mu.Unlock()
			if !hung {
				answer()
			}
		})
		w.add("log", false, nil) // beats by itself, below
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				w.vitals[1].beats.Add(1)
				time.Sleep(50 * time.Second)
			}
		}()
		done := make(chan error, 1)
		go func() { done <- w.run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("ended although all turns: %v", err)
		default:
		}
		mu.Lock()
		hung = true
		mu.Unlock()
		start := time.Now()
		err := <-done
		if err == nil || !strings.Contains(err.Error(), "triage") {
			t.Errorf("got %v, want the loop's name", err)
		}
		if d := time.Since(start); d < watchPatience-watchLook || d > watchPatience+2*watchLook {
			t.Errorf("ended after %v", d)
		}
		if !strings.Contains(said.String(), "does not turn") || strings.Contains(said.String(), "part=log") {
			t.Errorf("log: %s", said)
		}
		cancel()
		time.Sleep(watchLook) // the other loop ends too
	})
}

func TestWatchFeedsOnlyWhenAllTurn(t *testing.T) {
	w, _, _ := watched(t)
	a, b := w.add("a", false, nil), w.add("b", false, nil)
	now := time.Now()
	for _, v := range w.vitals {
		v.heard = now
	}
	step := func(turn ...func()) bool {
		for _, f := range turn {
			f()
		}
		now = now.Add(w.look)
		alive, err := w.round(now)
		if err != nil {
			t.Fatal(err)
		}
		return alive
	}
	if !step(a, b) {
		t.Error("all turned, not fed")
	}
	if step(a) {
		t.Error("b was silent, fed")
	}
	if step(a) {
		t.Error("b was silent twice, fed")
	}
	m := map[string]int64{}
	if w.facts(m); m["silent_b"] != 120 || len(m) != 1 {
		t.Errorf("health says %v", m)
	}
	if !step(a, b) {
		t.Error("b turns again, not fed")
	}
	m = map[string]int64{}
	if w.facts(m); len(m) != 0 {
		t.Errorf("health says %v still", m)
	}
}

func TestWatchSaysWhenALimitIsCrossed(t *testing.T) {
	w, held, said := watched(t)
	told := 0
	w.changed = func() { told++ }
	look := func() map[string]int64 {
		if _, err := w.round(time.Now()); err != nil {
			t.Fatal(err)
		}
		m := map[string]int64{}
		w.facts(m)
		return m
	}
	if m := look(); len(m) != 0 || told != 0 {
		t.Errorf("within all limits: %v", m)
	}
	held["goroutines"] = 101
	if m := look(); m["over_goroutines"] != 101 || told != 1 || !strings.Contains(said.String(), "what=goroutines count=101 limit=100") {
		t.Errorf("beyond: %v, told %d times, %s", m, told, said)
	}
	held["goroutines"] = 95 // wavering is one story
	if m := look(); m["over_goroutines"] != 95 || told != 1 {
		t.Errorf("a little within: %v, told %d times", m, told)
	}
	held["goroutines"] = 80
	if m := look(); len(m) != 0 || told != 2 {
		t.Errorf("well within: %v, told %d times", m, told)
	}
	held["rss_kb"] = 4001
	if _, err := w.round(time.Now()); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("memory past all bounds: %v", err)
	}
}

// Every loop of a real daemon turns, also while its broker is away; and the supervisor hears of it.
func TestDaemonIsReadyAndTurns(t *testing.T) {
	dir := t.TempDir()
	heard := listenAsSupervisor(t, filepath.Join(dir, "notify"))
	os.WriteFile(filepath.Join(dir, "pos.log"), nil, 0o600)
	c, _, err := readConfig(configured(t, dir, "[broker]\nurl = [\"tcp://127.0.0.1:9\"]\n[[log]]\npath = \""+dir+"/pos.log\"\npatterns = ['RC=(?P<code>\\w+)']\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, tasks, closing, err := assemble(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
	d.watch.super = supervisor{socket: filepath.Join(dir, "notify")}
	d.watch.look, d.watch.patience, d.watch.stopRSS = time.Second, time.Hour, 0
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runAll(ctx, tasks) }()
	if got := next(t, heard); !strings.HasPrefix(got, "READY=1\nSTATUS=") {
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
			time.Sleep(200 * time.Millisecond)
		}
	}()
	if got := next(t, heard); !strings.HasPrefix(got, "WATCHDOG=1\nSTATUS=no code seen yet; connected false") {
		t.Errorf("then told %q", got)
	}
	want := map[string]bool{"triage": true, "hook": true, "checks": true, "log": true, "uplink": true}
	for _, v := range d.watch.vitals {
		if !want[v.name] || v.beats.Load() == 0 {
			t.Errorf("%s: %d beats", v.name, v.beats.Load())
		}
		delete(want, v.name)
	}
	if len(want) > 0 {
		t.Errorf("not watched: %v", want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for got := ""; got != "STOPPING=1"; got = next(t, heard) {
	}
}

func TestHookThatNobodyCanReachIsSaid(t *testing.T) {
	w, _, _ := watched(t)
	path := filepath.Join(t.TempDir(), "s")
	asked := make(chan struct{}, 1)
	call := func() bool {
		w.callHook(path)(func() { asked <- struct{}{} })
		select {
		case <-asked:
			return true
		case <-time.After(time.Second):
			return false
		}
	}
	if call() {
		t.Error("not ready yet, and answered without a socket")
	}
	w.began.Store(true)
	if !call() {
		t.Error("a socket that is not there counts as a loop that hangs")
	}
	for range 200 {
		if w.beyond("hook_closed") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !w.beyond("hook_closed") {
		t.Errorf("not said in health")
	}
}

func TestLives(t *testing.T) {
	dir := t.TempDir()
	const minute = 60_000
	start := func(at int64) *lives { return openLives(dir, "boot", at) }
	l := start(minute)
	if l.kept.Last != "" || l.pause() != 0 {
		t.Fatalf("a first start: %+v", l.kept)
	}
	// Told to stop: no crash.
	l.kept.Running = true
	if err := l.ended(nil, 2*minute); err != nil {
		t.Fatal(err)
	}
	if l = start(3 * minute); len(l.kept.Crashes) != 0 {
		t.Fatalf("after a good end: %+v", l.kept)
	}
	var pauses []time.Duration
	for i := range int64(9) {
		l.kept.Running = true
		if err := l.save(); err != nil {
			t.Fatal(err)
		}
		l = start(4*minute + i*1000)
		pauses = append(pauses, l.pause())
		why, bare := l.reduced()
		if (why != "") != (i+1 >= reducedAfter) || bare != (i+1 >= bareAfter) {
			t.Errorf("after %d crashes: reduced %q, bare %v", i+1, why, bare)
		}
	}
	for i, want := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30, 30} {
		if pauses[i] != want*time.Second {
			t.Errorf("pauses %v", pauses)
			break
		}
	}
	if got := l.watch(); !strings.Contains(got.LastCrash, "without a word") || got.Reduced == "" {
		t.Errorf("health would say %+v", got)
	}
	if err := l.ended(errCalm, 5*minute); err != nil {
		t.Fatal(err)
	}
	if l = start(6 * minute); len(l.kept.Crashes) != 0 || l.kept.Last == "" {
		t.Errorf("after a calm reduced run: %+v", l.kept)
	}
	// An error is a crash with words; ten minutes later it counts no more; another boot knows nothing of it.
	l.ended(errors.New("log: ended by itself, card 4761739001010010"), 7*minute)
	if l = start(8 * minute); len(l.kept.Crashes) != 1 || strings.Contains(l.kept.Last, "4761739001010010") || !strings.Contains(l.kept.Last, "log: ended") {
		t.Errorf("after an error: %+v", l.kept)
	}
	l.save()
	if l = start(18 * minute); len(l.kept.Crashes) != 0 || l.kept.Last == "" {
		t.Errorf("ten minutes later: %+v", l.kept)
	}
	if l = openLives(dir, "another", minute); l.kept.Last != "" {
		t.Errorf("after a boot: %+v", l.kept)
	}
	os.WriteFile(l.file(), []byte("{{{"), 0o600)
	if l = start(minute); len(l.kept.Crashes) != 0 {
		t.Errorf("with a broken file: %+v", l.kept)
	}
}

func TestLastWords(t *testing.T) {
	l := &lives{dir: t.TempDir()}
	for name, c := range map[string]struct{ text, want string }{
		"panic": {"panic: runtime error: index out of range [5] with length 3\n\ngoroutine 20 [running]:\nposdx/drivers/reader.parse({0xc0000140a8, 0x3, 0x3}, 0x34373631)\n\tposdx/drivers/reader/frame.go:88 +0x1d\ncreated by main.f\n\tposdx/agent/cmd_run.go:97 +0x1d\n",
			"panic: runtime error: index out of range [5] with length 3; posdx/drivers/reader/frame.go:88; posdx/agent/cmd_run.go:97"},
		"fatal":       {"fatal error: concurrent map writes\n\ngoroutine 1 [running]:\n", "fatal error: concurrent map writes"},
		"nothing":     {"", "ended without a word: killed, or the memory ran out"},
		"card number": {"panic: line 4761739001010010=2212\n", "panic: line #####################"},
		"bytes":       {"panic: \x1b[31m\xff\xfe x\n", "panic:  [31m x"},
	} {
		os.WriteFile(l.crash(), []byte(c.text), 0o600)
		if got := l.words(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	os.WriteFile(l.crash(), []byte("panic: "+strings.Repeat("x", 10*maxCrash)), 0o600)
	if got := l.words(); len(got) > maxWords+3 {
		t.Errorf("%d bytes kept", len(got))
	}
}

// crashIn makes this test binary run a daemon that dies as the environment says.
const crashIn = "POSDX_TEST_CRASH_IN"

func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashIn)
	if dir == "" {
		t.Skip("only as a child of TestCrashIsRemembered")
	}
	l := openLives(dir, "boot", uptimeMS())
	l.live(t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)), func() error {
		go func() { panic("a reader sent what nobody expected") }()
		select {}
	})
}

func TestCrashIsRemembered(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), crashIn+"="+dir)
	var exit *exec.ExitError
	if err := child.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("the child ended with %v, want the runtime's exit code 2", err)
	}
	l := openLives(dir, "boot", uptimeMS())
	if len(l.kept.Crashes) != 1 || !strings.HasPrefix(l.kept.Last, "panic: a reader sent what nobody expected") {
		t.Errorf("remembered %+v", l.kept)
	}
	if fi, err := os.Stat(l.crash()); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
}

// A reduced daemon answers codes, checks nothing and says so.
func TestReducedDaemonAnswers(t *testing.T) {
	dir := t.TempDir()
	c, _, err := readConfig(configured(t, dir, "[broker]\nurl = [\"tcp://127.0.0.1:9\"]\n[[reader]]\nname = \"reader0\"\nport = \"/dev/ttyNONE\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.life = &lives{dir: dir, kept: past{Crashes: make([]int64, reducedAfter), Last: "panic: x"}}
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
	c.life.kept.Crashes = make([]int64, bareAfter)
	client, stop = startIn(t, c)
	defer stop()
	if st, err := client.State(t.Context()); err != nil || st.Uplink.Why != "no broker is configured" {
		t.Errorf("uplink %+v, %v", st.Uplink, err)
	}
}
