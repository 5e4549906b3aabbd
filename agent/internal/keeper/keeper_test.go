package keeper

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"posdx/agent/internal/agenttest"
	"posdx/agent/internal/stamp"
	"posdx/firmware-build/housetest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSupervisorIsToldByDatagram(t *testing.T) {
	abstract := "@posdx-test-" + filepath.Base(t.TempDir()) + t.Name()
	for _, name := range []string{filepath.Join(t.TempDir(), "n"), abstract} {
		heard := agenttest.ListenAsSupervisor(t, name)
		s := FindSupervisor(func(key string) string {
			return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"}[key]
		})
		if s.watchdog != time.Minute {
			t.Errorf("watchdog %v", s.watchdog)
		}
		if err := s.Tell("READY=1\nSTATUS=x"); err != nil {
			t.Fatal(err)
		}
		if got := agenttest.Next(t, heard); got != "READY=1\nSTATUS=x" {
			t.Errorf("told %q", got)
		}
	}
	none := FindSupervisor(func(key string) string {
		return map[string]string{"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}[key]
	})
	if err := none.Tell("READY=1"); err != nil || none.watchdog != 0 {
		t.Errorf("without a supervisor: %v, watchdog of another process: %v", err, none.watchdog)
	}
	gone := Supervisor{Socket: filepath.Join(t.TempDir(), "gone")}
	if gone.Tell("READY=1") == nil {
		t.Error("a supervisor that is gone: no error")
	}
}

// watched returns a watch whose usage a test can set.
func watched(t *testing.T) (w *Watch, held map[string]int64, said *bytes.Buffer) {
	t.Helper()
	said = &bytes.Buffer{}
	held = map[string]int64{"goroutines": 10, "rss_kb": 1000, "descriptors": 10}
	w = NewWatch(slog.New(slog.NewTextHandler(said, nil)), Supervisor{})
	w.usage = func() map[string]int64 { return held }
	w.limits = map[string]int64{"goroutines": 100, "rss_kb": 2000, "descriptors": 50}
	w.StopRSS = 4000
	return w, held, said
}

func TestWatchEndsTheDaemonWhenALoopHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, said := watched(t)
		var mu sync.Mutex
		hung := false
		w.Add("triage", true, func(answer func()) {
			mu.Lock()
			defer mu.Unlock()
			if !hung {
				answer()
			}
		})
		w.Add("log", false, nil) // beats by itself, below
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				w.vitals[1].beats.Add(1)
				time.Sleep(50 * time.Second)
			}
		}()
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
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
	a, b := w.Add("a", false, nil), w.Add("b", false, nil)
	now := time.Now()
	for _, v := range w.vitals {
		v.heard = now
	}
	step := func(turn ...func()) bool {
		for _, f := range turn {
			f()
		}
		now = now.Add(w.Look)
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
	if w.Facts(m); m["silent_b"] != 120 || len(m) != 1 {
		t.Errorf("health says %v", m)
	}
	if !step(a, b) {
		t.Error("b turns again, not fed")
	}
	m = map[string]int64{}
	if w.Facts(m); len(m) != 0 {
		t.Errorf("health says %v still", m)
	}
}

func TestWatchSaysWhenALimitIsCrossed(t *testing.T) {
	w, held, said := watched(t)
	told := 0
	w.Changed = func() { told++ }
	look := func() map[string]int64 {
		if _, err := w.round(time.Now()); err != nil {
			t.Fatal(err)
		}
		m := map[string]int64{}
		w.Facts(m)
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

func TestHookThatNobodyCanReachIsSaid(t *testing.T) {
	w, _, _ := watched(t)
	path := filepath.Join(t.TempDir(), "s")
	asked := make(chan struct{}, 1)
	call := func() bool {
		w.CallHook(path)(func() { asked <- struct{}{} })
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
	housetest.Until(t, "a closed hook is said in health", func() bool { return w.beyond("hook_closed") })
}

func TestLives(t *testing.T) {
	dir := t.TempDir()
	const minute = 60_000
	start := func(at int64) *Lives { return OpenLives(dir, "boot", at) }
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
		why, bare := l.Reduced()
		if (why != "") != (i+1 >= ReducedAfter) || bare != (i+1 >= BareAfter) {
			t.Errorf("after %d crashes: reduced %q, bare %v", i+1, why, bare)
		}
	}
	for i, want := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30, 30} {
		if pauses[i] != want*time.Second {
			t.Errorf("pauses %v", pauses)
			break
		}
	}
	if got := l.Watch(); !strings.Contains(got.LastCrash, "without a word") || got.Reduced == "" {
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
	if l = start(8 * minute); len(l.kept.Crashes) != 1 || strings.Contains(l.kept.Last, "4761739001010010") ||
		!strings.Contains(l.kept.Last, "log: ended") {
		t.Errorf("after an error: %+v", l.kept)
	}
	l.save()
	if l = start(18 * minute); len(l.kept.Crashes) != 0 || l.kept.Last == "" {
		t.Errorf("ten minutes later: %+v", l.kept)
	}
	if l = OpenLives(dir, "another", minute); l.kept.Last != "" {
		t.Errorf("after a boot: %+v", l.kept)
	}
	os.WriteFile(l.file(), []byte("{{{"), 0o600)
	if l = start(minute); len(l.kept.Crashes) != 0 {
		t.Errorf("with a broken file: %+v", l.kept)
	}
}

func TestLastWords(t *testing.T) {
	l := &Lives{dir: t.TempDir()}
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
	l := OpenLives(dir, "boot", stamp.UptimeMS())
	l.Live(t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)), func() error {
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
	l := OpenLives(dir, "boot", stamp.UptimeMS())
	if len(l.kept.Crashes) != 1 || !strings.HasPrefix(l.kept.Last, "panic: a reader sent what nobody expected") {
		t.Errorf("remembered %+v", l.kept)
	}
	if fi, err := os.Stat(l.crash()); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
}
