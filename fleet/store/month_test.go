package store_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// A diagnosis is one row, however far apart its revisions arrive and in whichever order.
func TestOneDiagnosisOverMonths(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a := sample.New("shop", "t1")
		at := func(when time.Time, revision int) store.Document {
			topic, p := a.Wrap(report.KindDiagnosis, a.Diagnosis(1, revision, "96", "host.malfunction", "acquirer"))
			return ingest.Decode(topic, p, when)
		}
		march, april := time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
		one, two, three := at(march, 1), at(april, 3), at(april.AddDate(0, 5, 0), 2)
		commit(t, s, one)
		commit(t, s, two)
		commit(t, s, three) // late, and of a lower revision
		rows, _, err := s.Diagnoses(t.Context(), store.Filter{})
		if err != nil || len(rows) != 1 {
			t.Fatal(len(rows), err)
		}
		want(t, "received", rows[0].Received, march)
		var d report.Diagnosis
		if err := json.Unmarshal(rows[0].Body, &d); err != nil || d.Revision != 3 {
			t.Errorf("revision %d, want the highest; %v", d.Revision, err)
		}
	})
}

// Several workers that are brought the same documents, each in another order and cut into other batches, keep each
// once; nobody is acknowledged beyond what is kept.
func TestWorkersOnOneStore(t *testing.T) {
	address := store.Postgres(t)
	const terminals, each, workers = 12, 30, 3
	var docs [][]store.Document
	for i := range terminals {
		a := sample.New("shop", fmt.Sprint("t", i))
		var list []store.Document
		for n := range each {
			list = append(list, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(n/2, 1+n%2, "96", "host.malfunction", "acquirer"))))
		}
		docs = append(docs, list)
	}
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for w := range workers {
		s := open(t, address)
		wg.Go(func() {
			<-begin
			r := rand.New(rand.NewPCG(uint64(w), 1))
			next := make([]int, terminals)
			for left := terminals * each; left > 0; {
				var batch []store.Document
				for range 1 + r.IntN(20) {
					i := r.IntN(terminals)
					if next[i] < each {
						batch = append(batch, docs[i][next[i]])
						next[i]++
						left--
					}
				}
				if len(batch) == 0 {
					continue
				}
				if _, err := s.Commit(t.Context(), batch); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	close(begin)
	wg.Wait()
	s := open(t, address)
	rows, _, err := s.Diagnoses(t.Context(), store.Filter{Limit: store.MaxRows})
	if err != nil || len(rows) != terminals*each/2 {
		t.Fatalf("%d rows, want %d; %v", len(rows), terminals*each/2, err)
	}
	for i := range terminals {
		term, err := s.Terminal(t.Context(), nil, report.Address{Estate: "shop", Terminal: fmt.Sprint("t", i)})
		if err != nil || len(term.Streams) != 1 {
			t.Fatal(err, term)
		}
		st := term.Streams[0]
		if st.Received != each || st.Duplicates != (workers-1)*each || len(st.Gaps) != 0 || st.Ack().Seq != each {
			t.Errorf("the account of t%d: %+v", i, st)
		}
	}
}

// What is old goes with its month; what is young stays, and a month that nobody has reported in yet is ready.
func TestMonthsGoAsAWhole(t *testing.T) {
	s := open(t, store.Postgres(t))
	a := sample.New("shop", "t1")
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for n := range 60 { // every ten days for 20 months
		topic, p := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
		commit(t, s, ingest.Decode(topic, p, now.AddDate(0, 0, -10*(59-n))))
	}
	gone, err := s.Sweep(t.Context(), store.Limits{Rows: 1000, Age: 65 * 24 * time.Hour}, now)
	if err != nil || gone != 53 {
		t.Errorf("%d went, want 53; %v", gone, err)
	}
	months, err := s.Months(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "months", months, []string{"2026-09", "2026-10", "2026-11"})
	if _, err := s.Sweep(t.Context(), store.Limits{Rows: 3, Age: 65 * 24 * time.Hour}, now.AddDate(0, 0, 8)); err != nil {
		t.Fatal(err)
	}
	months, _ = s.Months(t.Context())
	want(t, "months", months, []string{"2026-10", "2026-11", "2026-12"}) // the limit lies within October
	if rows, _, err := s.Diagnoses(t.Context(), store.Filter{}); err != nil || len(rows) != 3 {
		t.Errorf("%d rows are left, want 3; %v", len(rows), err)
	}
}
