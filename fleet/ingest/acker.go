package ingest

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// ackWindow is how many acks may be on their way to the broker. The broker's answers come behind the documents of a
// backlog, so it is wide: an ack is small, and while one waits a newer one takes its place.
const ackWindow = 8192

// ackAgain is how soon an ack is sent again that the broker did not take.
const ackAgain = time.Second

// acker publishes acks. One that waits is replaced by a newer one of the same stream. One that the broker did not take,
// since it was slow or the session ended, waits again: without it the terminal repeats what is kept.
type acker struct {
	mu      sync.Mutex
	pending map[ackKey]report.Ack // guarded by mu
	wake    chan struct{}
	metrics *Metrics
}

type ackKey struct {
	to    report.Address
	epoch string
}

func newAcker(m *Metrics) *acker {
	return &acker{pending: map[ackKey]report.Ack{}, wake: make(chan struct{}, 1), metrics: m}
}

func (a *acker) put(acks []store.Ack) {
	a.mu.Lock()
	for _, k := range acks {
		if k.Ack.Seq > 0 {
			a.pending[ackKey{k.To, k.Ack.Epoch}] = k.Ack
		}
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// again has an ack wait that was not taken, unless a newer one does.
func (a *acker) again(k ackKey, ack report.Ack) {
	a.metrics.AcksLost.Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, newer := a.pending[k]; !newer {
		a.pending[k] = ack
	}
}

func (a *acker) take() map[ackKey]report.Ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pending
	a.pending = map[ackKey]report.Ack{}
	return p
}

// run publishes over one connection until ctx ends.
func (a *acker) run(ctx context.Context, c mqtt.Client) {
	type sent struct {
		key   ackKey
		ack   report.Ack
		token mqtt.Token
	}
	way := make(chan sent, ackWindow)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range way {
			select {
			case <-s.token.Done():
			case <-ctx.Done():
			}
			select {
			case <-s.token.Done():
				if s.token.Error() == nil {
					continue
				}
			default:
			}
			a.again(s.key, s.ack)
		}
	}()
	defer func() { close(way); <-done }()
	a.each(ctx, func(k ackKey, ack report.Ack, body []byte) bool {
		select {
		case way <- sent{k, ack, c.Publish(k.to.Topic("ack"), 1, false, body)}:
			return true
		case <-ctx.Done():
			return false
		}
	})
}

// each hands on what is to be published until ctx ends; what publish could not take waits again.
func (a *acker) each(ctx context.Context, publish func(k ackKey, ack report.Ack, body []byte) bool) {
	late := time.NewTicker(ackAgain)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-late.C:
		}
		for k, ack := range a.take() {
			body, err := json.Marshal(ack) // numbers and a checked word always marshal
			if err == nil && (ctx.Err() != nil || !publish(k, ack, body)) {
				a.again(k, ack)
			}
		}
	}
}
