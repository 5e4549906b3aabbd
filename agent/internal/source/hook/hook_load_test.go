package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// stuckDaemon takes a few events and explains none: a triage that hangs.
type stuckDaemon struct {
	*sourcetest.FakeDaemon
	taken atomic.Int32
}

func (d *stuckDaemon) Event(context.Context, source.Seen) (source.Ticket, error) {
	if d.taken.Add(1) > 16 {
		return source.Ticket{}, source.ErrBusy
	}
	never := make(chan report.Diagnosis)
	return source.Ticket{ID: "1-0000000001", First: never, Final: never}, nil
}

// Ten thousand clients come to a daemon whose triage hangs, most of them one after the other, some at once, some of
// them badly behaved. Each gets an answer or is hung up on, the daemon's memory and goroutines stay bounded, and its
// log does not grow with their number.
func TestHookStuckTriageTenThousandClients(t *testing.T) {
	d := &stuckDaemon{FakeDaemon: sourcetest.NewDaemon()}
	var talk lockedBuffer
	path := startHook(t, d, func(h *Hook) { h.Log = slog.New(slog.NewTextHandler(&talk, nil)) })
	before := runtime.NumGoroutine()
	const clients, each = 40, 250
	var all sync.WaitGroup
	var answered, hungUp, most atomic.Int64
	results := map[string]int{}
	var mu sync.Mutex
	for range clients {
		all.Go(func() {
			for i := range each {
				c, err := net.Dial("unix", path)
				if err != nil {
					hungUp.Add(1) // the queue of connections is full: the kernel says so at once
					continue
				}
				c.SetDeadline(time.Now().Add(60 * time.Second))
				switch i % 25 {
				case 7: // dies in the middle of a line
					io.WriteString(c, `{"type":"code","co`)
					c.Close()
					continue
				case 14: // never reads
					fmt.Fprint(c, strings.Repeat(`{"type":"status"}`+"\n", 20))
					c.Close()
					continue
				}
				io.WriteString(c, `{"type":"code","code":"96","wait":"final"}`+"\n") // who is told busy may be hung up on meanwhile
				var a Answer
				if err := json.NewDecoder(c).Decode(&a); err != nil {
					hungUp.Add(1)
				} else {
					answered.Add(1)
					mu.Lock()
					results[a.Result]++
					mu.Unlock()
				}
				c.Close()
				if n := int64(runtime.NumGoroutine()); n > most.Load() {
					most.Store(n)
				}
			}
		})
	}
	all.Wait()
	t.Logf("answered %d (%v), hung up on %d, at most %d goroutines, %d bytes of log", answered.Load(), results, hungUp.Load(), most.Load(), talk.len())
	// How many are answered before a later one takes their place, the machine's load decides.
	if n := answered.Load() + hungUp.Load(); n < clients*each*9/10 || results[Busy] < clients*each/10 {
		t.Errorf("%d of %d clients were heard, %v", n, clients*each, results)
	}
	// Each connection has a reader and a writer, each request that waits one more, and those that are hung up on may not
	// have ended before the next have begun, the fewer the busier the machine; the clients are the rest. What may not be
	// is that they grow with the ten thousand.
	if limit := int64(before + clients + 10*maxConns*(2+maxPending)); most.Load() > limit {
		t.Errorf("%d goroutines, want at most %d", most.Load(), limit)
	}
	if n := talk.len(); n > 4096 {
		t.Errorf("the log grew by %d bytes", n)
	}
}

// A lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}
func (l *lockedBuffer) len() int { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Len() }

// Half a line is not kept for ever, whoever sends it: the rest does not come, or comes a byte at a time.
func TestHookLineHasToEnd(t *testing.T) {
	for name, send := range map[string]func(c net.Conn, stop <-chan struct{}){
		"stops in the middle": func(c net.Conn, stop <-chan struct{}) { io.WriteString(c, `{"type":"code","code":"476173`) },
		"a byte at a time": func(c net.Conn, stop <-chan struct{}) {
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := dial(t, startHook(t, sourcetest.NewDaemon(), func(h *Hook) { h.line = 200 * time.Millisecond }))
			stop := make(chan struct{})
			go send(l.c, stop)
			defer close(stop)
			if a := l.answer(); a.Result != Refused || !strings.Contains(a.Why, "within 5 s") {
				t.Errorf("got %+v, want a refusal", a)
			}
			if _, err := l.r.ReadByte(); err == nil {
				t.Error("the connection stays open")
			}
		})
	}
}

// A connection that always is in the middle of some line lives as long as its lines end.
func TestHookLinesOverlap(t *testing.T) {
	const each = 2 * time.Second
	l := dial(t, startHook(t, sourcetest.NewDaemon(), func(h *Hook) { h.line = each }))
	line := `{"type":"code","code":"96","wait":"none"}` + "\n"
	io.WriteString(l.c, line[:9])
	lines := 0
	for start := time.Now(); time.Since(start) < each*5/4; lines++ {
		time.Sleep(each / 40) // a slow writer's pace
		io.WriteString(l.c, line[9:]+line[:9])
		if a := l.answer(); a.Result != Accepted {
			t.Fatalf("line %d: got %+v, want accepted", lines, a)
		}
	}
}

// BenchmarkHook measures from the request's last byte to the first answer on a busy socket, where one connection asks
// and three others keep the hook busy.
func BenchmarkHook(b *testing.B) {
	h := &Hook{Path: b.TempDir() + "/s", To: sourcetest.NewDaemon(), Log: slog.New(slog.DiscardHandler), Gate: &report.Gate{}}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); h.Run(ctx) }()
	defer func() { stop(); <-over }()
	ask := func(c net.Conn, r *json.Decoder) error {
		if _, err := io.WriteString(c, `{"type":"code","code":"96","origin":"host","txn":{"mti":"0210","stan":"000123","response_ms":812}}`+"\n"); err != nil {
			return err
		}
		var a Answer
		return r.Decode(&a)
	}
	open := func() (net.Conn, *json.Decoder) {
		var c net.Conn
		housetest.Until(b, "the hook listens", func() (ok bool) {
			var err error
			c, err = net.Dial("unix", h.Path)
			return err == nil
		})
		return c, json.NewDecoder(c)
	}
	c, r := open()
	defer c.Close()
	var quiet atomic.Bool
	for range 3 {
		go func() {
			c, r := open()
			defer c.Close()
			for !quiet.Load() && ask(c, r) == nil {
			}
		}()
	}
	defer quiet.Store(true)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := ask(c, r); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
}

// A PIN block in hex may hold few digits or none; whatever they are, no member and no member's name takes it in.
func TestRequestsHoldNoPINBlock(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var block [8]byte
		for i := range block {
			block[i] = byte(rnd.IntN(256)) | byte(rnd.IntN(2))*0xAA // letters more often than chance has them
		}
		for _, pin := range []string{fmt.Sprintf("%x", block), fmt.Sprintf("%X", block)} {
			for _, line := range []string{
				`{"type":"code","code":"%s"}`, `{"type":"code","code":"96","scheme":"%s","ref":"%s","%s":1,"txn":{"stan":"%s","terminal_id":"%s","mti":"%s","entry":"%s","%s":"%s"}}`,
				`{"type":"fact","check":"app.version","facts":{"installed":"%s","expected":"%s","%s":1}}`, `{"type":"fact","check":"app.session","facts":{"last_signin_result":"%s","signed_in":true}}`,
				`{"type":"txn","phase":"end","code":"%s","result":"%s","terminal_id":"%s"}`, `{"type":"check","names":["%s"]}`, `{"type":"%s"}`,
			} {
				q, a := parse([]byte(strings.ReplaceAll(line, "%s", pin)), time.Unix(1e9, 0))
				b, err := json.Marshal([]any{a, q.seen, q.mark, q.fact, q.ref, q.names})
				if err != nil || strings.Contains(string(b), pin) {
					t.Fatalf("%s with %s: %s, %v", line, pin, b, err)
				}
			}
		}
	}
}
