// Package sourcetest is what the tests of sources share: a daemon that keeps what it is told, and planted card data.
package sourcetest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// EventID is the id of every code that a FakeDaemon takes in.
const EventID = "000001-0000000001"

// FakeDaemon explains every event in two revisions, the last one when it is told to.
type FakeDaemon struct {
	Mu     sync.Mutex
	Events []source.Seen
	Marks  []source.TxnMark
	Told   []report.Evidence
	Losses map[string]int
	Room   int           // events taken before it is full; negative: always full
	Finish chan struct{} // closed when final revisions may come
}

func NewDaemon() *FakeDaemon {
	d := &FakeDaemon{Room: 1 << 30, Finish: make(chan struct{}), Losses: map[string]int{}}
	close(d.Finish)
	return d
}

func (d *FakeDaemon) Seen(s source.Seen) bool {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	if len(d.Events) >= d.Room {
		return false
	}
	d.Events = append(d.Events, s)
	return true
}
func (d *FakeDaemon) Txn(m source.TxnMark) {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	d.Marks = append(d.Marks, m)
}
func (d *FakeDaemon) Fact(ev report.Evidence) {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	d.Told = append(d.Told, ev)
}
func (d *FakeDaemon) Lost(kind string, n int) { d.Mu.Lock(); defer d.Mu.Unlock(); d.Losses[kind] += n }
func (d *FakeDaemon) All() []source.Seen {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	return append([]source.Seen(nil), d.Events...)
}

func (d *FakeDaemon) Event(_ context.Context, s source.Seen) (source.Ticket, error) {
	if !d.Seen(s) {
		return source.Ticket{}, source.ErrBusy
	}
	return d.explain(s), nil
}

func (d *FakeDaemon) explain(s source.Seen) source.Ticket {
	first, final := make(chan report.Diagnosis, 1), make(chan report.Diagnosis, 1)
	doc := report.Diagnosis{ID: EventID, Revision: 1, Event: report.Event{Code: s.Code},
		Money:  report.Money{State: report.MoneyDeclined, Retry: report.RetryLater, Say: "not charged"},
		Causes: []report.Cause{{ID: "host.malfunction", Probability: 0.8, Title: "processing centre", Act: report.Act{By: "acquirer", Step: "wait"}}}}
	first <- doc
	go func() {
		<-d.Finish
		doc.Revision, doc.Final = 2, true
		final <- doc
		close(final)
	}()
	return source.Ticket{ID: doc.ID, First: first, Final: final}
}

// Again knows the one code that Event answers.
func (d *FakeDaemon) Again(_ context.Context, id, _ string) (source.Ticket, error) {
	all := d.All()
	if id != EventID || len(all) == 0 {
		return source.Ticket{}, source.ErrUnknown
	}
	return d.explain(all[len(all)-1]), nil
}

func (d *FakeDaemon) State() report.State { return report.State{Terminal: "shop/t1"} }

func (d *FakeDaemon) Check(_ context.Context, names []string) ([]report.Evidence, error) {
	if len(names) == 1 && names[0] == "no.such" {
		return nil, errors.New("no check no.such")
	}
	return []report.Evidence{{Check: "net.tcp", Subject: "host-primary", Status: report.Bad, Facts: report.Facts{"outcome": "timeout"}}}, nil
}

// Soon is long for a machine that does nothing else.
const Soon = 20 * time.Second

const (
	PlantedCard  = "4761739001010010"
	PlantedTrack = "4761739001010010D25122011234567890"
)

// MustBeClean fails if anything of a planted card is in what a source passes on.
func MustBeClean(t *testing.T, what ...any) {
	t.Helper()
	b, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	if _, n := report.Scrub(b); n > 0 || strings.Contains(string(b), PlantedCard) {
		t.Fatalf("a card number got through: %s", b)
	}
}
