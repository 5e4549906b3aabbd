package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
)

// A soakFleet stores what arrives, once, and acknowledges as far as there is no gap.
type soakFleet struct {
	client mqtt.Client

	mu       sync.Mutex
	sums     map[string][32]byte // of documents, by epoch and sequence
	have     map[string]map[uint64]bool
	upTo     map[string]uint64
	places   map[string]string // of revisions
	finals   map[string]bool
	told     map[string]map[uint64]report.Dropped // reports by epoch and number
	kindOf   map[string]string                    // by epoch and sequence
	kinds    map[string]int
	bytes    int64 // of diagnoses
	lines    int
	again    int
	problems []string

	deaf       atomic.Bool // takes nothing
	subscribed atomic.Bool
}

func newSoakFleet(t *testing.T, url string) *soakFleet {
	f := &soakFleet{
		sums: map[string][32]byte{}, have: map[string]map[uint64]bool{}, upTo: map[string]uint64{},
		places: map[string]string{}, finals: map[string]bool{},
		told: map[string]map[uint64]report.Dropped{}, kindOf: map[string]string{}, kinds: map[string]int{}}
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID("fleet").SetCleanSession(false).SetOrderMatters(true).
		SetMaxReconnectInterval(100 * time.Millisecond).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond)
	at := report.Address{Estate: "shop", Terminal: "t1"}
	o.SetDefaultPublishHandler(func(c mqtt.Client, m mqtt.Message) {
		var e report.Envelope
		if f.deaf.Load() {
			return
		}
		if _, kind, err := report.ParseTopic(m.Topic()); err != nil || kind == "ack" ||
			json.Unmarshal(m.Payload(), &e) != nil || e.Seq == 0 {
			return
		}
		upTo := f.take(outbox.Record{Epoch: e.Epoch, Boot: e.Boot, Seq: e.Seq, Kind: e.Kind(), Doc: e.Data})
		b, _ := json.Marshal(report.Ack{Epoch: e.Epoch, Boot: e.Boot, Seq: upTo})
		go c.Publish(at.Topic("ack"), 1, false, b)
	})
	o.SetOnConnectHandler(func(c mqtt.Client) {
		go func() {
			if t := c.Subscribe("pos/v1/shop/+/+", 1, nil); t.WaitTimeout(drainWait) && t.Error() == nil {
				f.subscribed.Store(true)
			}
		}()
	})
	o.SetConnectionLostHandler(func(mqtt.Client, error) { f.subscribed.Store(false) })
	f.client = mqtt.NewClient(o)
	if tok := f.client.Connect(); !tok.WaitTimeout(drainWait) || tok.Error() != nil {
		t.Fatalf("the fleet cannot connect: %v", tok.Error())
	}
	t.Cleanup(func() { f.client.Disconnect(100) })
	return f
}

// there tells whether the fleet hears what comes.
func (f *soakFleet) there() bool { return f.client.IsConnectionOpen() && f.subscribed.Load() }

// missing counts the diagnoses whose final revision the fleet does not have.
func (f *soakFleet) missing(ids []string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost(ids)
}

func (f *soakFleet) lost(ids []string) (n int) {
	for _, id := range ids {
		if !f.finals[id] {
			n++
		}
	}
	return n
}

func (f *soakFleet) docs() int { return len(f.sums) }

// take stores a document and returns up to where nothing is missing.
func (f *soakFleet) take(r outbox.Record) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	place, sum := fmt.Sprintf("%s/%d", r.Epoch, r.Seq), sha256.Sum256(r.Doc)
	have := f.have[r.Epoch]
	if have == nil {
		have = map[uint64]bool{}
		f.have[r.Epoch] = have
	}
	if old, twice := f.sums[place]; twice {
		f.again++
		if old != sum {
			f.problems = append(f.problems, place+": two documents under one number")
		}
		return f.upTo[r.Epoch]
	}
	f.sums[place], have[r.Seq] = sum, true
	f.kindOf[place] = r.Kind
	f.kinds[r.Kind]++
	switch r.Kind {
	case report.KindDiagnosis:
		f.bytes += int64(len(r.Doc))
		var d report.Diagnosis
		if err := json.Unmarshal(r.Doc, &d); err != nil {
			f.problems = append(f.problems, place+": "+err.Error())
		}
		rev := fmt.Sprintf("%s revision %d", d.ID, d.Revision)
		if before, twice := f.places[rev]; twice {
			f.problems = append(f.problems, rev+": twice, as "+before+" and "+place)
		}
		f.places[rev] = place
		f.finals[d.ID] = f.finals[d.ID] || d.Final
	case report.KindDropped:
		var d report.Dropped
		json.Unmarshal(r.Doc, &d)
		if f.told[r.Epoch] == nil {
			f.told[r.Epoch] = map[uint64]report.Dropped{}
		}
		f.told[r.Epoch][r.Seq] = d
		for _, span := range d.Ranges {
			for seq := span[0]; seq <= span[1]; seq++ {
				have[seq] = true
			}
		}
	case report.KindTally:
		var y report.Tally
		json.Unmarshal(r.Doc, &y)
		for _, c := range y.Counts {
			if c.Code == logCode {
				f.lines += c.Count
			}
		}
	}
	for have[f.upTo[r.Epoch]+1] {
		f.upTo[r.Epoch]++
	}
	return f.upTo[r.Epoch]
}

// A sum is what the fleet knows of losses.
type sum struct {
	dropped map[string]int // by kind
	byEpoch map[string]int
	came    int
	gaps    []string
}

func (s sum) total() (n int) {
	for _, k := range s.dropped {
		n += k
	}
	return n
}

// account adds up the reports of loss. One whose own number lies in the ranges of another is contained in it: the
// outbox dropped the report too and told again what it said.
func (f *soakFleet) account() sum {
	s := sum{dropped: map[string]int{}, byEpoch: map[string]int{}}
	for epoch, have := range f.have {
		gone := func(seq uint64) bool {
			for _, d := range f.told[epoch] {
				for _, span := range d.Ranges {
					if span[0] <= seq && seq <= span[1] {
						return true
					}
				}
			}
			return false
		}
		for seq := uint64(1); seq <= slices.Max(slices.Collect(maps.Keys(have))); seq++ {
			kind, stored := f.kindOf[fmt.Sprintf("%s/%d", epoch, seq)]
			switch {
			case !have[seq]:
				s.gaps = append(s.gaps, fmt.Sprintf("%.8s/%d", epoch, seq))
			case stored && kind != report.KindDropped && gone(seq):
				s.came++
			case stored && kind == report.KindDropped && !gone(seq):
				for k, n := range f.told[epoch][seq].Counts {
					s.dropped[k] += n
					s.byEpoch[epoch] += n
				}
			}
		}
	}
	return s
}
