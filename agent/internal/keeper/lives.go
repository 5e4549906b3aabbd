package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"posdx/agent/internal/atomicfile"
	"posdx/agent/internal/stamp"
	"posdx/agent/report"
)

const (
	// stormWindow is how long a crash counts.
	stormWindow = 10 * time.Minute
	// freeCrashes may happen in the window without a pause, which then doubles from a second to longestPause: below the
	// 90 s that a service manager waits for a start.
	freeCrashes  = 1
	longestPause = 30 * time.Second
	// ReducedAfter is how many crashes within the window make the daemon start reduced, without checks: whatever
	// crashes is likely a device, a log or a network, and the payment application must still have its answer. From
	// BareAfter on it does without the fleet too.
	ReducedAfter = 5
	BareAfter    = 8
	// reducedFor without a crash the daemon starts whole again.
	reducedFor = 15 * time.Minute

	MaxLives = 16 << 10 // bytes of the file
	maxCrash = 64 << 10 // bytes looked at of what a crash left behind
	maxWords = 400      // bytes of it that are kept
)

// errCalm ends a reduced run: the supervisor starts the daemon again, whole.
var errCalm = errors.New("no crash for a while: starting whole again")

// Lives remembers how the starts of the daemon since boot ended. Its file lies in the folder of the socket, which is
// in memory: a crash loop does not wear flash, and a reboot begins anew. The methods may be called on a nil Lives,
// which remembers nothing.
type Lives struct {
	dir  string
	kept past
}

// past is the file.
type past struct {
	BootID  string  `json:"boot_id"`
	Running bool    `json:"running"` // how this start ended is not recorded yet
	Crashes []int64 `json:"crashes"` // times since boot in ms
	Last    string  `json:"last_crash,omitempty"`
}

// OpenLives reads what earlier starts recorded. A start that recorded no end has crashed.
func OpenLives(dir, bootID string, uptimeMS int64) *Lives {
	l := &Lives{dir: dir}
	if b, err := atomicfile.Read(l.file(), MaxLives); err != nil || json.Unmarshal(b, &l.kept) != nil ||
		l.kept.BootID != bootID {
		l.kept = past{BootID: bootID}
	}
	if l.kept.Running {
		l.crashed(uptimeMS, l.words())
	}
	l.kept.Running = false
	l.kept.Crashes = slices.DeleteFunc(l.kept.Crashes, func(at int64) bool {
		return uptimeMS-at >= stormWindow.Milliseconds() || at > uptimeMS
	})
	return l
}

func (l *Lives) file() string  { return filepath.Join(l.dir, "lives.json") }
func (l *Lives) crash() string { return filepath.Join(l.dir, "crash.txt") }

func (l *Lives) crashed(uptimeMS int64, words string) {
	l.kept.Crashes = append(l.kept.Crashes, uptimeMS)
	if n := len(l.kept.Crashes) - 4*ReducedAfter; n > 0 {
		l.kept.Crashes = slices.Delete(l.kept.Crashes, 0, n)
	}
	l.kept.Last = words
}

// begin notes that a start is under way and has the runtime leave its last words where the next one finds them.
func (l *Lives) begin() error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("remember starts: %w", err)
	}
	l.kept.Running = true
	if err := l.save(); err != nil {
		return fmt.Errorf("remember starts: %w", err)
	}
	f, err := os.OpenFile(l.crash(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = errors.Join(debug.SetCrashOutput(f, debug.CrashOptions{}), f.Close())
	}
	if err != nil {
		return fmt.Errorf("remember starts: %w", err)
	}
	return nil
}

// ended notes how this start ended: err is nil when it was told to stop.
func (l *Lives) ended(err error, uptimeMS int64) error {
	l.kept.Running = false
	switch {
	case errors.Is(err, errCalm):
		l.kept.Crashes = nil
	case err != nil:
		words, _ := report.Scrub([]byte(err.Error()))
		l.crashed(uptimeMS, clip(string(words)))
	}
	return l.save()
}

func (l *Lives) save() error {
	b, err := json.Marshal(l.kept)
	if err != nil {
		return err
	}
	return atomicfile.Replace(l.file(), b)
}

// words are the last of a crash: the message and where it happened, without the arguments of the calls.
func (l *Lives) words() string {
	b, err := atomicfile.Read(l.crash(), maxCrash)
	if err != nil && len(b) == 0 {
		b = nil
	}
	b, _ = report.Scrub(b)
	var said []string
	for _, line := range strings.Split(string(b), "\n") {
		switch {
		case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "), strings.HasPrefix(line, "SIG"), strings.HasPrefix(line, "[signal "):
			said = append(said, line)
		case strings.HasPrefix(line, "\tposdx/") && len(said) > 0:
			place, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			said = append(said, place)
		}
		if len(said) == 5 {
			break
		}
	}
	if len(said) == 0 {
		return "ended without a word: killed, or the memory ran out"
	}
	return clip(strings.Join(said, "; "))
}

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "") + "…"
	}
	return s
}

// pause is how long to wait before this start.
func (l *Lives) pause() time.Duration {
	n := len(l.kept.Crashes) - freeCrashes
	if n <= 0 {
		return 0
	}
	return min(time.Second<<min(n-1, 10), longestPause)
}

// Reduced returns why this start does without checks, "" if it does not; bare is true if it does without the fleet
// too.
func (l *Lives) Reduced() (why string, bare bool) {
	if l == nil || len(l.kept.Crashes) < ReducedAfter {
		return "", false
	}
	n := len(l.kept.Crashes)
	return fmt.Sprintf("%d crashes in %s: codes are answered from the tables, nothing is checked", n, stormWindow), n >= BareAfter
}

// Watch is what health, birth and state documents tell of earlier crashes.
func (l *Lives) Watch() report.Watch {
	if l == nil {
		return report.Watch{}
	}
	why, _ := l.Reduced()
	return report.Watch{LastCrash: l.kept.Last, Reduced: why}
}

// Calm ends a reduced run with an error when it has gone well for long enough, so that the next start is a whole one;
// it returns nil when ctx ends.
func Calm(ctx context.Context) error {
	t := time.NewTimer(reducedFor)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-t.C:
		return errCalm
	}
}

// Live waits as long as the earlier crashes demand, then runs f and records how it ended. If the folder cannot be
// written the starts are not remembered; the daemon runs all the same.
func (l *Lives) Live(ctx context.Context, log *slog.Logger, f func() error) error {
	if err := l.begin(); err != nil {
		log.Warn("starts are not counted", "err", err)
	}
	if wait := l.pause(); wait > 0 {
		log.Warn("starts later", "crashes", len(l.kept.Crashes), "last", l.kept.Last, "pause", wait)
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	err := f()
	if e := l.ended(err, stamp.UptimeMS()); e != nil {
		log.Warn("starts are not counted", "err", e)
	}
	return err
}
