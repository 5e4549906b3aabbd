package paylog

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"posdx/firmware-build/housetest"
	"strings"
	"testing"
	"time"
)

// TestLogrotate has Debian's logrotate turn a log over under a writer, in the ways that terminals have it, and under a
// reader. Every line that is in any of the files afterwards was seen once, and none was seen twice. What copytruncate
// threw away between its copy and its truncation is in no file; how much that was is said.
func TestLogrotate(t *testing.T) {
	logrotate, err := exec.LookPath("logrotate")
	if err != nil {
		t.Skip("needs logrotate (Debian package logrotate)")
	}
	for _, c := range []struct {
		name, how string
		holds     bool // the writer keeps its file open until it is told
	}{
		{"create", "create", false},
		{"create, compress", "create\ncompress", false},
		{"create, delaycompress", "create\ncompress\ndelaycompress", true},
		{"created by the writer, dates", "nocreate\ndateext\ndateformat -%Y%m%d-%s", false},
		{"copytruncate", "copytruncate", true},
		{"copytruncate, compress", "copytruncate\ncompress", true},
		{"copytruncate, delaycompress", "copytruncate\ncompress\ndelaycompress", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, out := t.TempDir(), t.TempDir()
			os.Chmod(dir, 0o755)
			path, conf := filepath.Join(dir, "pay.log"), filepath.Join(out, "conf")
			w := &logWriter{t: t, path: path, told: filepath.Join(out, "told"), holds: c.holds}
			text := fmt.Sprintf("%s {\nrotate 99\nmissingok\n%s\npostrotate\ntouch %s\nendscript\n}\n", path, c.how, w.told)
			if strings.HasPrefix(c.how, "nocreate") {
				w.flags = os.O_CREATE
			}
			os.WriteFile(path, nil, 0o644)
			os.WriteFile(conf, []byte(text), 0o644)
			to := &lineSink{FakeDaemon: sourcetest.NewDaemon(), times: map[string]int{}}
			l := &Logs{Files: []LogFile{{Path: path,
				Patterns: []*Pattern{pattern(t, `seq=(?P<stan>\d{6}) card \d{16} resp=(?P<code>\d\d)`, Options{})}}}, Log: slog.New(slog.DiscardHandler)}
			ctx, stop := context.WithCancel(context.Background())
			over := make(chan error)
			go func() { over <- l.Run(ctx, to) }()
			defer func() { stop(); <-over }()
			// Between two turns the reader looks at least once, as it does when they are a day apart.
			next := 0
			caughtUp := func() {
				t.Helper()
				housetest.Until(t, "the newest line is seen", func() bool {
					next++
					w.line(next)
					time.Sleep(time.Millisecond) // the reader is told of the line, and takes it
					return to.count(next) > 0
				})
			}
			caughtUp()
			first := next
			turns, pause := 6, time.Duration(0)
			if strings.Contains(c.how, "%s") {
				turns, pause = 2, 1100*time.Millisecond // its dates have seconds
			}
			for range turns {
				turned := make(chan error, 1)
				go func() {
					out, err := exec.Command(logrotate, "-f", "-s", conf+".state", conf).CombinedOutput()
					if err != nil {
						err = fmt.Errorf("logrotate: %w\n%s", err, out)
					}
					turned <- err
				}()
				for waiting := true; waiting; {
					next++
					w.line(next)
					select {
					case err := <-turned:
						if err != nil {
							t.Fatal(err)
						}
						waiting = false
					case <-time.After(200 * time.Microsecond):
					}
				}
				time.Sleep(pause) // the interval between two turns is what is tried
				// A writer that has not heard of a turn before the next writes to a file that is being compressed.
				for w.waits() {
					next++
					w.line(next)
				}
				caughtUp()
			}
			kept := survivors(t, dir)
			lost := 0
			for i := first; i <= next; i++ {
				switch n := to.count(i); {
				case n > 1:
					t.Errorf("line %d was seen %d times", i, n)
				case n == 0 && kept[fmt.Sprintf("%06d", i)]:
					t.Errorf("line %d is in a file and was not seen", i)
				case n == 0:
					lost++
				}
			}
			if lost > 0 && !strings.HasPrefix(c.how, "copytruncate") {
				t.Errorf("%d of %d lines are in no file and were not seen", lost, next)
			}
			t.Logf("%d lines, %d thrown away by logrotate before anybody could read them", next, lost)
		})
	}
}

// A lineSink counts how often each line was seen.
type lineSink struct {
	*sourcetest.FakeDaemon
	times map[string]int
}

func (s *lineSink) Seen(v source.Seen) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.times[v.Txn.STAN]++
	return true
}

func (s *lineSink) count(line int) int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.times[fmt.Sprintf("%06d", line)]
}

// A logWriter writes as payment applications do: it opens its log for each line, or keeps it until it is told to open
// it again and then looks now and then.
type logWriter struct {
	t     *testing.T
	path  string
	told  string // a file that says: open your log again
	holds bool
	flags int // of open: who creates the log?
	f     *os.File
	lines int
}

// waits reports whether the writer has not heard yet that its log was turned over.
func (w *logWriter) waits() bool {
	_, err := os.Stat(w.told)
	return w.holds && err == nil
}

func (w *logWriter) line(n int) {
	w.t.Helper()
	if w.lines++; w.f != nil && (!w.holds || w.lines%16 == 0 && os.Remove(w.told) == nil) {
		w.f.Close()
		w.f = nil
	}
	if w.f == nil {
		var err error
		for range 1000 {
			if w.f, err = os.OpenFile(w.path, os.O_APPEND|os.O_WRONLY|w.flags, 0o644); err == nil {
				break
			}
			time.Sleep(time.Millisecond) // logrotate has renamed the old one and not made the new one yet
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	fmt.Fprintf(w.f, "2026-11-22 10:00:00 seq=%06d card 4761739001010010 resp=96\n", n)
}

// survivors are the lines that are in any file of a folder.
func survivors(t *testing.T, dir string) map[string]bool {
	t.Helper()
	lines := map[string]bool{}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil && strings.HasSuffix(name, ".gz") {
			var z *gzip.Reader
			if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
				b, err = io.ReadAll(z)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if _, rest, ok := strings.Cut(line, "seq="); ok && len(rest) > 6 {
				lines[rest[:6]] = true
			}
		}
	}
	return lines
}
