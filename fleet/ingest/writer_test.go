package ingest

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// A brittle store refuses what it is told to.
type brittle struct {
	mu     sync.Mutex
	down   bool            // everything fails
	full   error           // nothing is taken, though the store answers
	lost   int             // so many commits fail before the store answers
	poison map[uint64]bool // sequences it cannot take unless rejected
	stored []uint64
	failed []uint64 // taken as rejected
	sizes  []int
}

func (b *brittle) Alive(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errors.New("down")
	}
	return nil
}

func (b *brittle) Commit(_ context.Context, docs []store.Document) (store.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return store.Result{}, errors.New("down")
	}
	if b.lost > 0 {
		b.lost--
		return store.Result{}, errors.New("connection refused")
	}
	if b.full != nil && docs[0].Reason == "" {
		return store.Result{}, b.full
	}
	for _, d := range docs {
		if b.poison[d.Seq] && d.Reason == "" {
			return store.Result{}, errors.New("poison")
		}
	}
	b.sizes = append(b.sizes, len(docs))
	r := store.Result{}
	for _, d := range docs {
		if d.Reason != "" {
			b.failed = append(b.failed, d.Seq)
			r.Rejected++
			continue
		}
		b.stored = append(b.stored, d.Seq)
		r.Stored++
	}
	last := docs[len(docs)-1]
	r.Acks = []store.Ack{{To: last.At, Ack: report.Ack{Epoch: "e", Seq: last.Seq}}}
	return r, nil
}

func newWriter(s committer) *writer {
	m := NewMetrics(prometheus.NewRegistry())
	return &writer{store: s, queue: make(chan message, maxQueue), acks: newAcker(m), changed: func() {}, metrics: m,
		log: slog.New(slog.DiscardHandler)}
}

func TestWriterOutlastsAStoreThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &brittle{down: true}
		w := newWriter(b)
		ctx, cancel := context.WithCancel(t.Context())
		acked, all := 0, maxQueue+maxBatch/2
		put := func(from, to int) {
			for seq := from; seq < to; seq++ {
				w.queue <- message{store.Document{Seq: uint64(seq + 1)}, func() { acked++ }}
			}
		}
		put(0, maxQueue)
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		time5(t)
		put(maxQueue, all)
		if acked != 0 || len(w.acks.take()) != 0 {
			t.Fatalf("%d acknowledged while nothing was committed", acked)
		}
		b.mu.Lock()
		b.down = false
		b.mu.Unlock()
		time5(t)
		cancel()
		<-done
		if acked != all || len(b.stored) != all || !slices.IsSorted(b.stored) {
			t.Errorf("acknowledged %d, stored %d", acked, len(b.stored))
		}
		if len(b.sizes) != 3 || b.sizes[0] != maxBatch {
			t.Errorf("batches of %v, want full ones", b.sizes)
		}
	})
}

func TestWriterFindsThePoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &brittle{poison: map[uint64]bool{7: true, 40: true}}
		w := newWriter(b)
		ctx, cancel := context.WithCancel(t.Context())
		acked := 0
		for seq := range uint64(60) {
			w.queue <- message{store.Document{Seq: seq + 1}, func() { acked++ }}
		}
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		time5(t)
		time5(t)
		cancel()
		<-done
		if acked != 60 || len(b.stored) != 58 || !slices.Equal(b.failed, []uint64{7, 40}) {
			t.Errorf("acknowledged %d, stored %d, rejected %v", acked, len(b.stored), b.failed)
		}
	})
}

// A store that is full, and one that comes back between a try and the question whether it is there, answer that they
// are well: the document that they did not take is kept for later, not thrown away.
func TestWriterBlamesNoDocumentForTheStore(t *testing.T) {
	for name, b := range map[string]*brittle{
		"full":       {full: full(t)},
		"comes back": {lost: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWriter(b)
				ctx, cancel := context.WithCancel(t.Context())
				acked := 0
				w.queue <- message{store.Document{Seq: 1}, func() { acked++ }}
				done := make(chan error)
				go func() { done <- w.Run(ctx) }()
				time5(t)
				b.mu.Lock()
				b.full = nil
				b.mu.Unlock()
				time5(t)
				cancel()
				<-done
				if acked != 1 || len(b.stored) != 1 || len(b.failed) != 0 {
					t.Errorf("acknowledged %d, stored %v, rejected %v", acked, b.stored, b.failed)
				}
			})
		})
	}
}

// full is what a SQLite store says that may not grow.
func full(t *testing.T) error {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, stmt := range []string{"PRAGMA max_page_count = 2", "CREATE TABLE t (b BLOB)"} {
		if _, err := db.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	_, err = db.Exec("INSERT INTO t VALUES (zeroblob(100000))")
	if err == nil {
		t.Fatal("it grew")
	}
	return err
}

// time5 lets five fake retries pass.
func time5(t *testing.T) {
	t.Helper()
	time.Sleep(5 * retryAfter)
	synctest.Wait()
}
