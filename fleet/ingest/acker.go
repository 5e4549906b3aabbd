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

const (
	// ackWait bounds the wait for the broker to take the acks of one round. Those it did not take are not sent again:
	// a terminal that misses an ack repeats its documents and is told anew.
	ackWait = 5 * time.Second

	ackRound = 256 // acks handed to the client at a time
)

// acker publishes acks. While a round is on its way newer acks replace older ones of the same stream.
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		var round []mqtt.Token
		flush := func() {
			bound, cancel := context.WithTimeout(ctx, ackWait)
			defer cancel()
			for _, t := range round {
				select {
				case <-t.Done():
				case <-bound.Done():
					a.metrics.AcksLost.Inc()
				}
			}
			round = round[:0]
		}
		for k, ack := range a.take() {
			if ctx.Err() != nil {
				return
			}
			body, err := json.Marshal(ack)
			if err != nil {
				continue // numbers and a checked word always marshal
			}
			round = append(round, c.Publish(k.to.Topic("ack"), 1, false, body))
			if len(round) == ackRound {
				flush()
			}
		}
		flush()
	}
}
