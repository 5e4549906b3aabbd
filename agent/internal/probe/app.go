package probe

import (
	"bytes"
	"context"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/report"
)

// maxProcesses bounds the walk through /proc; a payment terminal runs under a hundred.
const maxProcesses = 4096

// Process returns the probe app.process: is the payment application running, and how often has it started and crashed
// in the last 24 hours in which the agent ran? name is the executable's name as in /proc/PID/comm; for an empty one the
// answer is absent. crashes returns what the kernel's log tells; it is nil if that log is not read.
func Process(proc fs.FS, name string, crashes func() (int, bool)) Probe {
	w := &watch{name: name}
	return Probe{
		Checks: []evidence.Check{evidence.AppProcess}, Subject: paymentApp, Depth: report.Internal, Timeout: time.Second,
		Fresh: time.Minute, Idle: name != "",
		Run: func(ctx context.Context) []report.Evidence {
			if name == "" {
				return []report.Evidence{evidence.NotRun(evidence.AppProcess, paymentApp, report.ReasonAbsent)}
			}
			start, err := startOf(ctx, proc, name)
			if err != nil {
				return []report.Evidence{evidence.CannotTell(evidence.AppProcess, paymentApp, report.ReasonPermission)}
			}
			running, restarts := w.saw(time.Now(), start)
			facts := []evidence.Value{evidence.Running.Is(running), evidence.Restarts24h.Is(float64(restarts))}
			if crashes != nil {
				if n, known := crashes(); known {
					facts = append(facts, evidence.Crashes24h.Is(float64(n)))
				}
			}
			return []report.Evidence{evidence.New(evidence.AppProcess, paymentApp, facts...)}
		},
	}
}

// paymentApp is the subject of what is found out about the payment application.
const paymentApp = "payment-app"

// watch counts the starts of a process: each start has another start time since boot.
type watch struct {
	name   string
	mu     sync.Mutex
	last   string
	starts []time.Time // of restarts seen, oldest first
}

// maxStarts bounds the memory of a process in a crash loop; past it the count says "many" just as well.
const maxStarts = 1000

func (w *watch) saw(now time.Time, start string) (running bool, restarts int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if start != "" && w.last != "" && start != w.last && len(w.starts) < maxStarts {
		w.starts = append(w.starts, now)
	}
	if start != "" {
		w.last = start
	}
	for len(w.starts) > 0 && now.Sub(w.starts[0]) > 24*time.Hour {
		w.starts = w.starts[1:]
	}
	return start != "", len(w.starts)
}

// startOf returns the start time of the oldest process of that name in ticks since boot (proc(5), field 22 of stat),
// empty if there is none.
func startOf(ctx context.Context, proc fs.FS, name string) (string, error) {
	dir, err := fs.ReadDir(proc, ".")
	if err != nil {
		return "", err
	}
	var oldest string
	for i, d := range dir {
		if i >= maxProcesses || ctx.Err() != nil {
			break
		}
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		b, err := fs.ReadFile(proc, d.Name()+"/stat")
		if err != nil {
			continue // it ended between the two reads
		}
		open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		// The kernel cuts a name to 15 bytes.
		if open < 0 || end < open || string(b[open+1:end]) != name[:min(len(name), 15)] {
			continue
		}
		f := strings.Fields(string(b[end+1:]))
		if len(f) < 20 || f[0] == "Z" {
			continue
		}
		if t := f[19]; oldest == "" || len(t) < len(oldest) || len(t) == len(oldest) && t < oldest {
			oldest = t
		}
	}
	return oldest, nil
}
