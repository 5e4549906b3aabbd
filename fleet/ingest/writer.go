package ingest

import (
	"context"
	"log/slog"
	"time"

	"posdx/fleet/store"
)

const (
	// maxBatch is how many documents one transaction has at most. A page of an index that ten of them change is written
	// once: what comes from many terminals costs the disk half of what it does with 500. Two of them are what a broker
	// has on its way, so that one is taken apart while the other is committed.
	maxBatch = 2000
	maxQueue = 2 * maxBatch

	// retryAfter is the pause after a commit failed; nothing is acknowledged meanwhile and the broker keeps the rest.
	retryAfter = time.Second
	sayEvery   = 60 // of so many failures in a row one is logged
)

// A committer is the part of the store that ingest writes to.
type committer interface {
	Commit(ctx context.Context, docs []store.Document) (store.Result, error)
	Alive(ctx context.Context) error
}

// A message is a document and what is to be called once it is committed.
type message struct {
	doc  store.Document
	done func()
}

// writer commits what is queued: everything that came during a commit makes the next batch, so a single document does
// not wait and many fill the batches.
type writer struct {
	store   committer
	queue   chan message
	acks    *acker
	changed func()
	metrics *Metrics
	log     *slog.Logger
}

// Run commits until ctx ends.
func (w *writer) Run(ctx context.Context) error {
	batch := make([]message, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case <-ctx.Done():
			return nil
		case m := <-w.queue:
			batch = append(batch, m)
		}
	fill:
		for len(batch) < maxBatch {
			select {
			case m := <-w.queue:
				batch = append(batch, m)
			default:
				break fill
			}
		}
		if err := w.commit(ctx, batch); err != nil {
			return nil // ctx ended
		}
	}
}

// commit stores a batch, however long it takes. Only the end of ctx is an error.
func (w *writer) commit(ctx context.Context, batch []message) error {
	alive := 0 // failures in a row after which the store answered
	for failures := 0; ; failures++ {
		err := w.try(ctx, batch)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.metrics.Failures.Inc()
		if failures%sayEvery == 0 {
			w.log.Error("cannot commit; documents wait and are not acknowledged", "documents", len(batch), "error", err)
		}
		// Is it a document that the store cannot take? Then the others go on without it. A store that is full, or that has
		// just come back, answers too, and its documents are not to blame.
		switch {
		case store.OfStore(err) || failures == 0 || w.store.Alive(ctx) != nil:
			alive = 0
		case len(batch) > 1:
			for i := range batch {
				if err := w.commit(ctx, batch[i:i+1]); err != nil {
					return err
				}
			}
			return nil
		default:
			if alive++; alive > 1 && batch[0].doc.Reason == "" {
				batch[0].doc = stripped(batch[0].doc)
				continue
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryAfter):
		}
	}
}

// stripped is a document of which only the account is left, so that it can be rejected.
func stripped(d store.Document) store.Document {
	return store.Document{At: d.At, Kind: d.Kind, Epoch: d.Epoch, Boot: d.Boot, Seq: d.Seq, Received: d.Received,
		Size: d.Size, Reason: "store cannot take it"}
}

func (w *writer) try(ctx context.Context, batch []message) error {
	docs := make([]store.Document, len(batch))
	for i := range batch {
		docs[i] = batch[i].doc
	}
	began := time.Now()
	res, err := w.store.Commit(ctx, docs)
	if err != nil {
		return err
	}
	w.metrics.observe(res, len(batch), time.Since(began))
	for reason, n := range res.Reasons {
		w.log.Warn("rejected", "documents", n, "reason", reason)
	}
	for i := range batch {
		batch[i].done()
	}
	w.acks.put(res.Acks)
	if res.Stored+res.Rejected > 0 {
		w.changed()
	}
	return nil
}
