// Package keeper supervises the daemon from within: it watches its loops and what the process uses, remembers how
// earlier starts ended, reports to the service manager, and keeps on flash what must outlast a restart.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// watchLook is how often the daemon looks at itself. Two looks a minute would already show in the idle budget.
	watchLook = time.Minute
	// watchPatience is how long an essential loop may be silent before the daemon ends itself: longer than the longest
	// wait any of them has (the uplink connects for 75 s at worst, a log is looked at once a minute), shorter than the
	// watchdog of our systemd unit, so that the log names the loop.
	watchPatience = 3 * time.Minute
	// readyLook and readyWithin bound the wait for the first answers; then the daemon is as ready as it will be.
	readyLook   = 100 * time.Millisecond
	readyWithin = 10 * time.Second

	// Limits. Busy with sixteen clients and every probe at once the daemon has about 150 goroutines; its memory is held
	// to 11 MB on ARM and is larger on 64 bits.
	maxGoroutines = 250
	maxRSSKB      = 20 << 10
	stopRSSKB     = 40 << 10
	// hookPatience bounds the daemon's own call at its socket.
	hookPatience = 5 * time.Second
)

// A vital is a loop without which the daemon only looks alive.
type vital struct {
	name  string
	ask   func(answer func()) // nil: it beats by itself
	early bool                // it answers at once when the daemon is ready
	beats atomic.Int64

	// Of the watch's goroutine.
	seen  int64
	heard time.Time
	mute  bool // said so
}

// A Watch tests whether the daemon works: every essential loop must have turned since the last look. If one has not,
// the service manager is no longer told that all is well, and after a while the daemon ends itself. An unreachable
// broker, a missing device or a missing log is no reason: the loops turn without them.
type Watch struct {
	log      *slog.Logger
	Super    Supervisor
	vitals   []*vital
	usage    func() map[string]int64
	limits   map[string]int64 // of usage
	StopRSS  int64            // kB above which the daemon ends itself; 0 for never
	Status   func() string    // one line for the supervisor
	Changed  func()           // a limit was crossed, either way
	Look     time.Duration    // between two looks
	Patience time.Duration    // a loop that is silent for longer hangs

	beat  chan struct{}
	began atomic.Bool
	mu    sync.Mutex
	over  map[string]int64 // what is beyond its limit or silent now, for health
}

// NewWatch makes a watch with the limits of a terminal, which looks at least four times while a supervisor waits.
func NewWatch(log *slog.Logger, super Supervisor) *Watch {
	w := &Watch{
		log: log, Super: super, Look: watchLook, Patience: watchPatience, beat: make(chan struct{}, 1),
		over:    map[string]int64{},
		limits:  map[string]int64{"goroutines": maxGoroutines, "rss_kb": maxRSSKB},
		StopRSS: stopRSSKB, Status: func() string { return "" }, Changed: func() {}, usage: Usage,
	}
	if super.watchdog > 0 {
		w.Look = min(w.Look, super.watchdog/4)
	}
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil && l.Cur > 0 {
		w.limits["descriptors"] = int64(min(l.Cur, 1<<20)) * 3 / 4
	}
	return w
}

// Usage counts what the process holds.
func Usage() map[string]int64 {
	m := map[string]int64{"goroutines": int64(runtime.NumGoroutine()), "rss_kb": rssKB()}
	if f, err := os.ReadDir("/proc/self/fd"); err == nil {
		m["descriptors"] = int64(len(f))
	}
	return m
}

// rssKB is the resident memory of this process, 0 where /proc does not say.
func rssKB() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), " ") // all of it, what is resident, …
	pages, _, _ := strings.Cut(rest, " ")
	resident, err := strconv.ParseInt(pages, 10, 64)
	if err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize()) / 1024
}

// Add has a loop watched and returns the function that the loop may call to tell that it has turned.
func (w *Watch) Add(name string, early bool, ask func(answer func())) (turned func()) {
	v := &vital{name: name, ask: ask, early: early}
	w.vitals = append(w.vitals, v)
	return func() { w.answered(v) }
}

func (w *Watch) answered(v *vital) {
	if v.beats.Add(1) > 1 {
		return // only the first is waited for
	}
	select {
	case w.beat <- struct{}{}:
	default:
	}
}

func (w *Watch) askAll() {
	for _, v := range w.vitals {
		if v.ask != nil {
			v.ask(func() { w.answered(v) })
		}
	}
}

// Run watches until ctx ends. An error tells which loop hangs, or that the memory has grown beyond its limit.
func (w *Watch) Run(ctx context.Context) error {
	if !w.ready(ctx) {
		return nil
	}
	w.began.Store(true)
	w.tell("READY=1\nSTATUS=" + w.Status())
	defer w.tell("STOPPING=1")
	now := time.Now()
	for _, v := range w.vitals {
		v.seen, v.heard = v.beats.Load(), now
	}
	w.askAll()
	t := time.NewTicker(w.Look)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		alive, err := w.round(time.Now())
		if err != nil {
			return err
		}
		if alive {
			w.tell("WATCHDOG=1\nSTATUS=" + w.Status())
		}
		w.askAll()
	}
}

// ready waits until the loops that can have answered once; false when ctx ended.
func (w *Watch) ready(ctx context.Context) bool {
	late := time.NewTimer(readyWithin)
	defer late.Stop()
	again := time.NewTicker(readyLook)
	defer again.Stop()
	for {
		waiting := ""
		for _, v := range w.vitals {
			if v.early && v.beats.Load() == 0 {
				waiting = v.name
				if v.ask != nil {
					v.ask(func() { w.answered(v) })
				}
			}
		}
		if waiting == "" {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-late.C:
			w.log.Warn("begins without waiting any longer", "part", waiting)
			return true
		case <-w.beat:
		case <-again.C:
		}
	}
}

// round compares with the last look. alive says that every loop has turned since.
func (w *Watch) round(now time.Time) (alive bool, err error) {
	over := map[string]int64{}
	alive = true
	for _, v := range w.vitals {
		beats := v.beats.Load()
		if beats != v.seen {
			v.seen, v.heard = beats, now
			if v.mute {
				v.mute = false
				w.log.Info("turns again", "part", v.name)
			}
			continue
		}
		alive = false
		silent := now.Sub(v.heard)
		if silent < 2*w.Look {
			continue // one look may fall between two turns
		}
		over["silent_"+v.name] = int64(silent / time.Second)
		if !v.mute {
			v.mute = true
			w.log.Error("does not turn", "part", v.name, "silent", silent.Round(time.Second))
		}
		if silent >= w.Patience {
			return false, fmt.Errorf("watch %s: silent for %v", v.name, silent.Round(time.Second))
		}
	}
	held := w.usage()
	for name, limit := range w.limits {
		n := held[name]
		was := w.beyond("over_" + name)
		// Back within means well within: a value that wavers at its limit is one story.
		if n > limit || was && n > limit*9/10 {
			over["over_"+name] = n
			if !was {
				w.log.Error("more than the limit", "what", name, "count", n, "limit", limit)
			}
		} else if was {
			w.log.Info("within the limit again", "what", name, "count", n, "limit", limit)
		}
	}
	w.mu.Lock()
	if w.over["hook_closed"] > 0 {
		over["hook_closed"] = 1
	}
	changed := len(over) != len(w.over)
	for name := range over {
		changed = changed || w.over[name] == 0
	}
	w.over = over
	w.mu.Unlock()
	if changed {
		w.Changed()
	}
	if w.StopRSS > 0 && held["rss_kb"] > w.StopRSS {
		return false, fmt.Errorf("watch memory: %d kB, more than %d", held["rss_kb"], w.StopRSS)
	}
	return alive, nil
}

func (w *Watch) beyond(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over[name] > 0
}

// Facts adds to a snapshot of health what is wrong now.
func (w *Watch) Facts(m map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range w.over {
		m[name] = n
	}
}

func (w *Watch) tell(text string) {
	text = strings.TrimSuffix(text, "\nSTATUS=")
	if err := w.Super.Tell(text); err != nil {
		w.log.Warn("supervisor", "err", err)
	}
}

// CallHook asks at the daemon's own socket, as a payment application would. Once the daemon has been ready, a socket
// that does not exist is reported but does not count as a loop that hangs: its loop tries again by itself, and a
// restart would not help.
func (w *Watch) CallHook(path string) func(answer func()) {
	return func(answer func()) {
		go func() {
			err := knock(path)
			closed := w.began.Load() && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED))
			if err == nil || closed {
				answer()
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if closed && w.over["hook_closed"] == 0 {
				w.over["hook_closed"] = 1
				w.log.Error("nobody can reach the hook", "err", err)
			} else if err == nil {
				delete(w.over, "hook_closed")
			}
		}()
	}
}

// knock sends the least request there is and waits for any answer, be it a refusal.
func knock(path string) error {
	c, err := net.DialTimeout("unix", path, hookPatience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(hookPatience))
	if _, err := c.Write([]byte("{}\n")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// Turned counts how often each loop under watch has turned, by its name.
func (w *Watch) Turned() map[string]int64 {
	m := map[string]int64{}
	for _, v := range w.vitals {
		m[v.name] = v.beats.Load()
	}
	return m
}
