package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
)

// A list of some terminals' diagnoses is the same whether it is found by way of the terminals, by looking through all,
// or by leaving out of all what does not belong.
func TestAListIsTheSameWhicheverWayItIsFound(t *testing.T) {
	for name, address := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "fleet.db"), "postgres": Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ctx, now := t.Context(), time.Now()
			from := &teller{rand.New(rand.NewPCG(3, 9)), "estate", now, map[report.Address]uint64{}, nil}
			var placed []Placed
			for e := range 2 {
				for i := range 5 {
					placed = append(placed, Placed{At: report.Address{Estate: fmt.Sprint("estate", e), Terminal: fmt.Sprint("t", i)}, When: now,
						Place: map[string]string{"site": fmt.Sprint("site-", i%3), "region": fmt.Sprint("region-", i%2)}})
				}
			}
			if err := s.SavePlaces(ctx, placed); err != nil {
				t.Fatal(err)
			}
			for range 6 {
				if _, err := s.Commit(ctx, from.batch(40)); err != nil {
					t.Fatal(err)
				}
			}
			all, _, err := s.Diagnoses(ctx, Filter{Limit: MaxRows})
			if err != nil || len(all) < 50 {
				t.Fatal(len(all), err)
			}
			causes := map[int64]string{}
			rows, err := s.read.Query("SELECT place, cause FROM diagnoses")
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var place int64
				var cause string
				if err := rows.Scan(&place, &cause); err != nil {
					t.Fatal(err)
				}
				causes[place] = cause
			}
			rows.Close()

			places := []map[string]string{nil, {"site": "site-1"}, {"site": "site-1", "region": "region-1"}, {"site": "none"}}
			pick := rand.New(rand.NewPCG(1, 2))
			for range 120 {
				f := Filter{In: []Estates{nil, {"estate0"}, {}}[pick.IntN(3)], Estate: []string{"", "estate1"}[pick.IntN(2)],
					Place: places[pick.IntN(len(places))], Cause: []string{"", "lan.cable"}[pick.IntN(2)],
					Since: []time.Time{{}, now.Add(-time.Hour)}[pick.IntN(2)], Limit: 7}
				if f.Estate == "" { // one terminal's list is in another order
					f.Terminal = []string{"", "t2"}[pick.IntN(2)]
				}
				var want []int64
				for _, r := range all {
					i := int(r.Terminal[1] - '0')
					here := map[string]string{"site": fmt.Sprint("site-", i%3), "region": fmt.Sprint("region-", i%2)}
					fits := f.In.Has(r.Estate) && (f.Estate == "" || r.Estate == f.Estate) &&
						(f.Terminal == "" || r.Terminal == f.Terminal) &&
						(f.Cause == "" || f.Cause == causes[r.Place]) && !r.Received.Before(f.Since.Truncate(time.Millisecond))
					for dim, value := range f.Place {
						fits = fits && here[dim] == value
					}
					if fits {
						want = append(want, r.Place)
					}
				}
				for _, way := range []string{"as asked", "by terminal", "by looking"} {
					var got []int64
					for f := f; ; {
						list, next, err := readBy(ctx, s, f, way)
						if err != nil {
							t.Fatal(way, err)
						}
						for _, r := range list {
							got = append(got, r.Place)
						}
						if f.Before = next; next == (Place{}) {
							break
						}
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s, %+v: %v, want %v", way, f, got, want)
					}
				}
			}
		})
	}
}

// readBy lists diagnoses in one of the ways.
func readBy(ctx context.Context, s *Store, f Filter, way string) ([]Row, Place, error) {
	if way == "as asked" {
		return s.Diagnoses(ctx, f)
	}
	l, w, top := f.columns(), f.whose(), int64(1000)
	low, _, err := f.times(ctx, s, l.add)
	if err != nil {
		return nil, Place{}, err
	}
	if f.Before != (Place{}) {
		top = f.Before.Place
	}
	if w.where == nil {
		w.add("1 = 1")
	}
	if way == "by looking" {
		l.add(w.cond("diagnoses"), w.args...)
		return s.look(ctx, l, f, low, top)
	}
	list, err := s.byTerminal(ctx, l, w, top, f.limit()+1)
	list, next := f.page(list)
	return list, next, err
}

// A search that has looked for as long as it may says where it goes on, and misses nothing.
func TestASearchGoesOnWhereItEnded(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var docs []Document
	rare := 0
	for n := range 3 * firstRows {
		cause := "reader.dirty"
		if n%7 == 4 { // the last of a step among them
			cause = "lan.cable"
			rare++
		}
		docs = append(docs, Document{At: report.Address{Estate: "shop", Terminal: "t1"}, Kind: report.KindDiagnosis, Epoch: "e1", Boot: 1,
			Seq: uint64(n + 1), Received: t0, Packed: []byte("{}"), Diagnosis: &report.Diagnosis{ID: fmt.Sprint("d", n), Revision: 1,
				Event: report.Event{BootID: "b"}, Causes: []report.Cause{{ID: cause}}}})
	}
	if _, err := s.Commit(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	found, looks := 0, 0
	for f := (Filter{Text: "lan.cable", Within: 1, Limit: MaxRows}); ; looks++ {
		list, next, err := s.Diagnoses(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		found += len(list)
		if f.Before = next; next == (Place{}) {
			break
		}
	}
	if found != rare || looks < 1 {
		t.Errorf("%d found in %d looks, want %d in several", found, looks+1, rare)
	}
	list, next, err := s.Diagnoses(t.Context(), Filter{Text: "lan.cable", Limit: MaxRows})
	if err != nil || len(list) != rare || next != (Place{}) {
		t.Errorf("at once: %d found, goes on at %v; %v", len(list), next, err)
	}
}

// TestARangeIsReadOnceWhateverItsTerminals: what PostgreSQL believes of how much came in lags behind, so it is not left
// to it whether a range of places is read once or once for every terminal.
func TestARangeIsReadOnceWhateverItsTerminals(t *testing.T) {
	s := &Store{pg: true}
	l := listing{where: []string{"place >= ?"}, args: []any{1}}
	s.narrow(&l, Filter{Place: map[string]string{"site": "s"}}.whose())
	const first = "(SELECT * FROM diagnoses WHERE place >= ? ORDER BY place OFFSET 0) AS"
	if q := s.from(l, "place"); !strings.HasPrefix(q, first) {
		t.Error(q)
	}
}
