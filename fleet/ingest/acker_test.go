package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// A slowBroker answers what is published as it is told to, and remembers the numbers.
type slowBroker struct {
	mqtt.Client
	answer func(seq uint64) (taken bool, err error)

	mu   sync.Mutex
	seqs []uint64 // guarded by mu
}

type answer struct {
	done chan struct{}
	err  error
}

func (a answer) Wait() bool                     { <-a.done; return true }
func (a answer) WaitTimeout(time.Duration) bool { return true }
func (a answer) Done() <-chan struct{}          { return a.done }
func (a answer) Error() error                   { return a.err }

func (b *slowBroker) Publish(_ string, _ byte, _ bool, payload any) mqtt.Token {
	var ack report.Ack
	json.Unmarshal(payload.([]byte), &ack)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seqs = append(b.seqs, ack.Seq)
	taken, err := b.answer(ack.Seq)
	a := answer{make(chan struct{}), err}
	if taken || err != nil {
		close(a.done)
	}
	return a
}

func (b *slowBroker) got() []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seqs)
}

// An ack that the broker does not take at once, or not before its session ends, goes out again: a terminal without it
// repeats what is kept. A newer one takes its place.
func TestAnAckIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAcker(NewMetrics(prometheus.NewRegistry()))
		put := func(terminal string, seq uint64) {
			to := report.Address{Estate: "shop", Terminal: terminal}
			a.put([]store.Ack{{To: to, Ack: report.Ack{Epoch: "e", Seq: seq}}})
		}
		session := func(b *slowBroker, during func()) {
			ctx, end := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { a.run(ctx, b); close(done) }()
			synctest.Wait()
			during()
			end()
			<-done
		}

		refused := false
		b := &slowBroker{answer: func(uint64) (bool, error) {
			if !refused {
				refused = true
				return false, errors.New("publish was broken by timeout")
			}
			return true, nil
		}}
		put("t1", 5)
		session(b, func() { time.Sleep(2 * ackAgain) })
		if got := b.got(); !slices.Equal(got, []uint64{5, 5}) {
			t.Errorf("refused once: %v went out", got)
		}

		silent := &slowBroker{answer: func(uint64) (bool, error) { return false, nil }}
		session(silent, func() {
			put("t1", 6)
			synctest.Wait()
			put("t2", 1)
			synctest.Wait()
		})
		if got := silent.got(); !slices.Equal(got, []uint64{6, 1}) {
			t.Fatalf("to a broker that does not answer: %v", got)
		}
		put("t1", 7)
		back := &slowBroker{answer: func(uint64) (bool, error) { return true, nil }}
		session(back, func() { time.Sleep(2 * ackAgain) })
		got := back.got()
		if slices.Sort(got); !slices.Equal(got, []uint64{1, 7}) {
			t.Errorf("in the next session: %v", got)
		}
	})
}
