package ingest

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"posdx/firmware-build/housetest"
	"posdx/fleet/store"
)

// TestStoreAwayKeepsTheSession: the store does not answer for several times the keep-alive while documents come, more
// than wait in memory. The session with the broker lives on, so that nothing is sent again, and all is kept once the
// store is back.
func TestStoreAwayKeepsTheSession(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for several keep-alives, not with -short")
	}
	for _, c := range []struct {
		name string
		away func(t *testing.T) (address string, leave func() (back func()))
	}{
		{"a locked file", func(t *testing.T) (string, func() func()) {
			file := filepath.Join(t.TempDir(), "fleet.db")
			return "sqlite:" + file, func() func() {
				db, err := sql.Open("sqlite", "file:"+file+"?_txlock=exclusive")
				if err != nil {
					t.Fatal(err)
				}
				tx, err := db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				return func() { tx.Rollback(); db.Close() }
			}
		}},
		{"a stopped server", func(t *testing.T) (string, func() func()) {
			signal := func(s syscall.Signal) {
				for _, pid := range housetest.PostgresPIDs() {
					syscall.Kill(pid, s)
				}
			}
			return housetest.Postgres(t), func() func() {
				signal(syscall.SIGSTOP)
				return func() { signal(syscall.SIGCONT) }
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address, leave := c.away(t)
			s, err := store.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			url := housetest.NewMosquitto(t, "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n").URL()
			const alive = 4 * time.Second
			const first, all = 10, 3000
			topics, payloads := documents(all, -1)
			counters := prometheus.NewRegistry()
			m := NewMetrics(counters)
			count := func(name string) float64 {
				list, err := counters.Gather()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range list {
					if f.GetName() == "posdx_fleet_documents_"+name+"_total" {
						return f.Metric[0].Counter.GetValue()
					}
				}
				return 0
			}
			var ended atomic.Int64
			log := slog.New(&counting{Handler: slog.DiscardHandler, of: "no session with the broker", n: &ended})
			in := New(Config{URL: url, ClientID: "fleet", alive: alive}, s, m, log, func() {}, func(string, []byte) {})
			for i := range in.lanes {
				in.lanes[i] = make(lane, 10) // so that few documents are many
			}
			in.writer.queue = make(chan message, 10)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- in.Run(ctx) }()
			defer func() { stop(); <-done }()
			housetest.Until(t, "a session", in.Connected)
			from := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("terminals").SetAutoReconnect(false))
			if w := from.Connect(); !w.WaitTimeout(housetest.Patience) || w.Error() != nil {
				t.Fatal(w.Error())
			}
			defer from.Disconnect(0)
			send := func(next, to int) {
				for i := next; i < to; i++ {
					from.Publish(topics[i], 1, false, payloads[i])
				}
			}
			kept := func(n float64) {
				t.Helper()
				housetest.Until(t, fmt.Sprint(n, " documents are kept"), func() bool { return count("stored") == n })
			}
			send(0, first)
			kept(first)
			back := leave()
			send(first, all)
			time.Sleep(4 * alive) // the time that the store is away
			if n := count("stored"); n != first {
				t.Errorf("%v documents were kept while the store was away", n-first)
			}
			back()
			kept(all)
			if n, twice := ended.Load(), count("duplicate"); n != 0 || twice != 0 {
				t.Errorf("the session ended %d times, %v documents came twice", n, twice)
			}
		})
	}
}

// counting counts the lines that begin with a text.
type counting struct {
	slog.Handler
	of string
	n  *atomic.Int64
}

func (c *counting) Enabled(context.Context, slog.Level) bool { return true }

func (c *counting) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, c.of) {
		c.n.Add(1)
	}
	return nil
}
