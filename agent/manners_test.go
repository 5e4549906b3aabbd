package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/drivers/reader"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
)

// fitted is a terminal with everything, whose peers all keep silent.
func fitted(t *testing.T) config {
	t.Helper()
	dir := t.TempDir()
	readerLine := sim.NewLine(dir+"/reader", silent{}, 1)
	modemLine := sim.NewLine(dir+"/modem", silent{}, 1)
	padLine := sim.NewLine(dir+"/pinpad", silent{}, 1)
	printerLine := sim.NewLine(dir+"/printer", silent{}, 1)
	for _, l := range []*sim.Line{readerLine, modemLine, padLine, printerLine} {
		if err := l.Plug(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	host, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	resolver, err := net.ListenPacket("udp", "127.0.0.1:0") // hears and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resolver.Close() })
	_, port, _ := net.SplitHostPort(host.Addr().String())
	c, err := parseConfig([]byte(fmt.Sprintf(`estate = "test"
terminal = "t1"
state_dir = %q
[[reader]]
name = "reader0"
port = %q
protocol = "ccid"
dedicated = true
[[modem]]
name = "modem0"
port = %q
dedicated = true
[[pinpad]]
name = "pinpad0"
port = %q
dedicated = true
[[printer]]
name = "printer0"
port = %q
dedicated = true
[network]
resolvers = [%q]
[[target]]
name = "host-primary"
host = "127.0.0.1"
port = %s
tls = true
[[target]]
name = "internet"
host = "status.example"
port = %s
[app]
process = "payapp"
certificates = [%q]
`, dir, dir+"/reader", dir+"/modem", dir+"/pinpad", dir+"/printer", resolver.LocalAddr(), port, port, dir)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// silent is a device that hears everything and says nothing.
type silent struct{}

func (silent) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	_, err := io.Copy(io.Discard, struct{ io.Reader }{rw}) // by its Read, which waits while nobody has the tty open
	return err
}

func sensed(t *testing.T) []probe.Probe {
	t.Helper()
	s, err := sense(fitted(t), "", &reader.Reads{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s.probes
}

// Whatever hangs, every probe has let go of its device within 100 ms of a sale's beginning.
func TestProbesLetGoWhenASaleBegins(t *testing.T) {
	const limit, tries = 100 * time.Millisecond, 8 // a busy machine may be late itself; eight times it is not
	for _, p := range sensed(t) {
		t.Run(joined(p.Checks)+" "+p.Subject, func(t *testing.T) {
			best := time.Hour
			for i := 0; i < tries && best > limit; i++ {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); p.Run(ctx) }()
				select {
				case <-done: // nothing hangs here
					cancel()
					return
				case <-time.After(30 * time.Millisecond):
				}
				cancel()
				begun := time.Now()
				<-done
				best = min(best, time.Since(begun))
			}
			if best > limit {
				t.Errorf("let go after %v, want at most %v", best, limit)
			}
		})
	}
}

// In a sale no probe is even begun.
func TestNoProbeBeginsDuringASale(t *testing.T) {
	list := sensed(t)
	for i := range list {
		list[i].Run = func(context.Context) []report.Evidence {
			t.Errorf("%v of %s was begun", list[i].Checks, list[i].Subject)
			return nil
		}
	}
	r := probe.NewRunner(list)
	r.SaleBegins(time.Now())
	r.Run(t.Context(), list, func(got []report.Evidence) {
		for _, e := range got {
			if reason, _ := e.Facts.Str("reason"); e.Status != report.NotRun || reason != report.ReasonInSale {
				t.Errorf("%s %s: %s %v", e.Check, e.Subject, e.Status, e.Facts)
			}
		}
	})
}

// Checks that are begun and broken off again and again leave nothing behind, whatever they were waiting for.
// POSDX_CYCLES=10000 is the long form.
func TestBrokenOffChecksLeaveNothing(t *testing.T) {
	cycles := 40
	if n, err := strconv.Atoi(os.Getenv("POSDX_CYCLES")); err == nil {
		cycles = n
	}
	list := sensed(t)
	r := probe.NewRunner(list)
	round := func(i int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%8)*time.Millisecond)
		defer cancel()
		r.Run(ctx, list, nil)
	}
	held := func() (descriptors, goroutines int) {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open), runtime.NumGoroutine()
	}
	for i := range 8 { // what is opened once and kept
		round(i)
	}
	// The last goroutine of a round may be on its way out still, and a pty's may not have heard yet.
	least := func(descriptors, goroutines int) (d, g int, ok bool) {
		ok = housetest.Within(30*time.Second, func() bool { d, g = held(); return d <= descriptors && g <= goroutines })
		return d, g, ok
	}
	d0, g0 := held()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // two counts with a pause between them that are the same: it is still
		d, g := held()
		if d == d0 && g == g0 {
			break
		}
		d0, g0 = d, g
	}
	for i := range cycles {
		round(i)
	}
	if d, g, ok := least(d0, g0); !ok {
		t.Errorf("after %d cycles %d descriptors and %d goroutines, %d and %d before", cycles, d, g, d0, g0)
	}
}

// The table of the probes in README.md, between its head and the next empty line.
const mannersBegin = "| checks | touches | how far | at most ms | bytes | between sales |\n|---|---|---|---:|---:|---|\n"

func TestReadmeHasTheManners(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), mannersBegin)
	table, tail, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatal("README.md has no table of the probes")
	}
	var want strings.Builder
	var seen []string
	for _, p := range sensed(t) {
		first := p.Checks[0]
		row := joined(p.Checks)
		if p.Subject == "internet" && first != "net.internet" || slices.Contains(seen, row) {
			continue // as for the host
		}
		seen = append(seen, row)
		touches := touched(string(first))
		if touches == "" {
			t.Errorf("nobody has written what the probe of %s touches", first)
		}
		idle := "no"
		if p.Idle {
			idle = fmt.Sprintf("every %v min", p.Period().Minutes())
			if p.Device != "" && p.Bytes == 0 && slices.Contains([]evidence.Check{"modem.port", "reader.port", "pinpad.port", "printer.status"}, first) {
				idle += ", if dedicated"
			}
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %d | %d | %s |\n", row, touches, p.Depth, p.Timeout.Milliseconds(), p.Bytes, idle)
	}
	text := strings.TrimSuffix(want.String(), "\n")
	if table == text {
		return
	}
	if os.Getenv("POSDX_MANNERS") == "" {
		t.Fatalf("README.md has another table of the probes; POSDX_MANNERS=1 writes this one:\n%s", text)
	}
	if err := os.WriteFile("../README.md", []byte(head+mannersBegin+text+"\n\n"+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// touched says what a probe touches, by its first check. A probe without it has not been thought about.
func touched(check string) string {
	c, _ := codes.Builtin().Check(check)
	return c.Touches
}

func joined(checks []evidence.Check) string {
	var b strings.Builder
	for i, c := range checks {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(c))
	}
	return b.String()
}
