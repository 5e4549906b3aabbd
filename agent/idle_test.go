package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idleVar lengthens the watch: POSDX_IDLE=10m says what the daemon costs; the short form only that it writes nothing.
const idleVar = "POSDX_IDLE"

// afterLast is how long after the last sale nothing more should be written.
const afterLast = 3 * time.Second

// idleCost is what a daemon used while nothing happened.
type idleCost struct {
	Seconds float64  `json:"seconds"`
	CPUMS   float64  `json:"cpu_ms"`
	WakeUps int64    `json:"wake_ups"`
	Written int64    `json:"written"` // bytes that went to storage
	Changed []string `json:"changed"` // files below the state folder that are not what they were
	RSSKB   int64    `json:"rss_kb"`
}

// resting is a shop with everything fitted in which nothing happens.
func resting() fault {
	d := 10 * time.Second
	if long, err := time.ParseDuration(os.Getenv(idleVar)); err == nil {
		d = long
	}
	return fault{name: "idle", modem: true, iface: "wwan0", idle: d}
}

func TestRestingDaemonWritesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("watches a daemon for ten seconds")
	}
	got := tryFault(t, resting())
	if got.Skip != "" {
		t.Skip(got.Skip)
	}
	if got.Error != "" {
		t.Fatal(got.Error, got.DaemonSaid)
	}
	c := got.Idle
	t.Logf("in %.0f s: %.1f ms of processor and %.2f wake-ups a second, %d kB resident; %.1f ms a minute",
		c.Seconds, c.CPUMS, float64(c.WakeUps)/c.Seconds, c.RSSKB, c.CPUMS*60/c.Seconds)
	if c.Written != 0 || len(c.Changed) > 0 {
		t.Errorf("%d bytes written, changed: %v", c.Written, c.Changed)
	}
}

// rest watches the daemon from outside.
func (s *shop) rest(d time.Duration) result {
	time.Sleep(afterLast) // idle is what is measured: it begins when nothing has happened for a while
	files, err := s.kept()
	if err != nil {
		return result{Error: err.Error()}
	}
	before, err := costOf(s.daemon.Process.Pid)
	if err != nil {
		return result{Error: err.Error()}
	}
	begun := time.Now()
	select {
	case <-s.ctx.Done():
		return result{Error: s.ctx.Err().Error()}
	case <-time.After(d):
	}
	after, err := costOf(s.daemon.Process.Pid)
	if err != nil {
		return result{Error: err.Error()}
	}
	then, err := s.kept()
	if err != nil {
		return result{Error: err.Error()}
	}
	c := idleCost{Seconds: time.Since(begun).Seconds(), CPUMS: after.CPUMS - before.CPUMS,
		WakeUps: after.WakeUps - before.WakeUps,
		Written: after.Written - before.Written, RSSKB: after.RSSKB}
	for name, now := range then {
		if files[name] != now {
			c.Changed = append(c.Changed, name)
		}
	}
	return result{Idle: c}
}

// kept is the size and time of every file below the state folder.
func (s *shop) kept() (map[string]string, error) {
	m := map[string]string{}
	return m, filepath.WalkDir(s.path("state"), func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			m[name] = fmt.Sprint(info.Size(), info.ModTime())
		}
		return err
	})
}

// costOf reads what a process has used since it began.
func costOf(pid int) (c idleCost, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return c, err
	}
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/task/" + t.Name() + "/schedstat")
		if err != nil {
			return c, err
		}
		var ns, wait, slices int64
		if _, err := fmt.Sscan(string(b), &ns, &wait, &slices); err != nil {
			return c, err
		}
		c.CPUMS += float64(ns) / 1e6
		if c.WakeUps, err = addTo(c.WakeUps, dir+"/task/"+t.Name()+"/status", "voluntary_ctxt_switches:"); err != nil {
			return c, err
		}
	}
	if c.Written, err = addTo(0, dir+"/io", "write_bytes:"); err != nil {
		return c, err
	}
	c.RSSKB, err = addTo(0, dir+"/status", "VmRSS:")
	return c, err
}

// addTo adds the number behind a name in a file of /proc.
func addTo(n int64, file, name string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return n, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			v, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n + v, err
		}
	}
	return n, fmt.Errorf("%s has no %s", file, name)
}
