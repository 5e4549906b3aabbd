package ingest

import (
	"context"
	"encoding/json"
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// ackWindow is how many acks may be on their way to the broker. The broker's answers come behind the documents of a
// backlog, so it is wide: an ack is small, and while one waits a newer one takes its place.
const ackWindow = 8192

// acker publishes acks. One that waits is replaced by a newer one of the same stream. Acks that the broker had not
// taken when the session ended are not sent again: a terminal that gets no ack repeats its documents and is answered
// anew.
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

func (a *acker) take() map[ackKey]report.Ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pending
	a.pending = map[ackKey]report.Ack{}
	return p
}

// run publishes over one connection until ctx ends.
func (a *acker) run(ctx context.Context, c mqtt.Client) {
	way := make(chan mqtt.Token, ackWindow)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t := range way {
			select {
			case <-t.Done():
			case <-ctx.Done():
			}
			select {
			case <-t.Done():
				if t.Error() != nil {
					a.metrics.AcksLost.Inc()
				}
			default:
				a.metrics.AcksLost.Inc()
			}
		}
	}()
	defer func() { close(way); <-done }()
	a.each(ctx, func(topic string, body []byte) {
		select {
		case way <- c.Publish(topic, 1, false, body):
		case <-ctx.Done():
		}
	})
}

// each hands on what is to be published until ctx ends.
func (a *acker) each(ctx context.Context, publish func(topic string, body []byte)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		for k, ack := range a.take() {
			if ctx.Err() != nil {
				return
			}
			if body, err := json.Marshal(ack); err == nil { // numbers and a checked word always marshal
				publish(k.to.Topic("ack"), body)
			}
		}
	}
}
