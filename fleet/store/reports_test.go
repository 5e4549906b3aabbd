package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"posdx/agent/report"
)

// A teller makes documents of a few terminals by chance: diagnoses of the last hours, some of which had waited, and
// revisions of earlier ones that often name another cause and sometimes come late.
type teller struct {
	*rand.Rand
	estate string
	now    time.Time
	seq    map[report.Address]uint64
	told   []Document
}

func (t *teller) batch(n int) (docs []Document) {
	causes := []string{"host.malfunction", "wan.outage", "lan.cable", "reader.dirty"}
	for range n {
		d := Document{At: report.Address{Estate: fmt.Sprint(t.estate, t.IntN(2)), Terminal: fmt.Sprint("t", t.IntN(5))},
			Kind: report.KindDiagnosis, Epoch: "e1", Boot: 1, Packed: []byte("{}"),
			Received:   t.now.Add(-time.Duration(t.IntN(3)) * time.Hour),
			Historical: t.IntN(6) == 0,
			Diagnosis:  &report.Diagnosis{ID: fmt.Sprint("d", len(t.told)), Revision: 1 + t.IntN(3), Event: report.Event{BootID: "b"}}}
		if len(t.told) > 0 && t.IntN(2) == 0 {
			old := t.told[t.IntN(len(t.told))]
			dx := *old.Diagnosis
			dx.Revision = t.IntN(5)
			d.At, d.Diagnosis = old.At, &dx
		}
		d.Diagnosis.Causes = []report.Cause{{ID: causes[t.IntN(len(causes))]}}
		t.seq[d.At]++
		d.Seq = t.seq[d.At]
		t.told, docs = append(t.told, d), append(docs, d)
	}
	return docs
}

// counts reads the numbers that a statement gives by hour, cause, estate and terminal.
func counts(t *testing.T, s *Store, stmt string, args ...any) map[reportKey]int64 {
	t.Helper()
	rows, err := s.read.Query(s.sql(stmt), args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	by := map[reportKey]int64{}
	for rows.Next() {
		var k reportKey
		var n int64
		if err := rows.Scan(&k.hour, &k.cause, &k.estate, &k.terminal, &n); err != nil {
			t.Fatal(err)
		}
		by[k] = n
	}
	return by
}

// How many terminals report a cause is kept while diagnoses come, are revised and go. It is at every moment what
// counting them would give.
func TestReportsKeptAreThoseCounted(t *testing.T) {
	same := func(t *testing.T, s *Store, now time.Time, after string) {
		t.Helper()
		kept := counts(t, s, "SELECT hour, cause, estate, terminal, diagnoses FROM reports WHERE diagnoses <> 0")
		counted := counts(t, s, `SELECT received / 3600000, cause, estate, terminal, count(*) FROM diagnoses
			WHERE received >= ? AND historical = 0 GROUP BY received / 3600000, cause, estate, terminal`,
			(hour(now)-reportsHours+1)*3600e3)
		if !maps.Equal(kept, counted) {
			t.Errorf("%s: kept\n%v\nwant\n%v", after, kept, counted)
		}
	}
	test := func(t *testing.T, address string, workers int, now time.Time) {
		open := func() *Store {
			s, err := Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		defer func() { s.Close() }()
		var tellers []*teller
		for w := range workers {
			tellers = append(tellers, &teller{rand.New(rand.NewPCG(uint64(w), 1)), fmt.Sprint("estate", w%2), now,
				map[report.Address]uint64{}, nil})
		}
		tell := func() {
			t.Helper()
			var wg sync.WaitGroup
			for _, from := range tellers {
				mine := s
				if workers > 1 { // processes of their own
					mine = open()
				}
				wg.Go(func() {
					for range 8 {
						if _, err := mine.Commit(t.Context(), from.batch(1+from.IntN(40))); err != nil {
							t.Error(err)
						}
					}
					if mine != s {
						mine.Close()
					}
				})
			}
			wg.Wait()
		}
		tell()
		same(t, s, now, "a start")
		if n := len(counts(t, s, "SELECT hour, cause, estate, terminal, diagnoses FROM reports WHERE diagnoses > 1")); n < 8 {
			t.Fatal("too few to show anything:", n)
		}
		for _, rows := range []int{60, 25, 0} { // of the hours under way too
			if _, err := s.Sweep(t.Context(), Limits{Rows: rows, Age: time.Hour * 24 * 400}, now); err != nil {
				t.Fatal(err)
			}
			same(t, s, now, fmt.Sprint("all but ", rows, " swept"))
			tell()
			same(t, s, now, "more")
		}
		if err := s.Down(t.Context(), schemaVersion-1); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = open()
		same(t, s, now, "a release before and back")
		tell()
		same(t, s, now, "more after that")
		if _, err := s.Sweep(t.Context(), DefaultLimits, now.Add(reportsHours*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if left := counts(t, s, "SELECT hour, cause, estate, terminal, diagnoses FROM reports"); len(left) > 0 {
			t.Errorf("%d numbers are left of hours that nobody asks for", len(left))
		}
	}
	now := time.Now()
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"), 1, now) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t), 1, now) })
	t.Run("two on one postgres", func(t *testing.T) { test(t, Postgres(t), 4, now) })
	t.Run("postgres when a month begins", func(t *testing.T) { test(t, Postgres(t), 1, monthOf(now).Add(time.Minute)) })
}

// What a page is told is the terminals behind the diagnoses, each once, of hours that no base rate has yet.
func TestCausesOfTheHourAreItsTerminals(t *testing.T) {
	for name, address := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "fleet.db"), "postgres": Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			now := time.Now()
			from := &teller{rand.New(rand.NewPCG(7, 7)), "estate", now, map[report.Address]uint64{}, nil}
			for range 5 {
				if _, err := s.Commit(t.Context(), from.batch(15)); err != nil {
					t.Fatal(err)
				}
			}
			booked := SeasonRow{Estate: "estate0", Hour: hour(now) - 1, Active: 9}
			seen := SeasonRow{Estate: "estate0", Cause: "lan.cable", Hour: hour(now) - 1, Terminals: 4, Active: 9}
			if err := s.AddSeason(t.Context(), []SeasonRow{booked, seen}); err != nil {
				t.Fatal(err)
			}
			for _, in := range []Estates{nil, {"estate0"}, {"estate1"}, {}} {
				for _, cause := range []string{"", "lan.cable", "host.malfunction"} {
					want := map[Point]float64{}
					for k, n := range counts(t, s, `SELECT received / 3600000, cause, estate, terminal, count(*) FROM diagnoses
						WHERE historical = 0 GROUP BY received / 3600000, cause, estate, terminal`) {
						was := k.hour < hour(now)-1 || k.hour == booked.Hour && k.estate == booked.Estate
						if n > 0 && !was && in.Has(k.estate) && (cause == "" || cause == k.cause) {
							want[Point{Cause: k.cause, Step: int(k.hour - hour(now) + 1)}]++
						}
					}
					if in.Has("estate0") && cause != "host.malfunction" {
						want[Point{Cause: "lan.cable"}] += 4
					}
					list, err := s.Causes(t.Context(), in, now.Add(-time.Hour), 2, 1, cause)
					got := map[Point]float64{}
					for _, p := range list {
						got[Point{Cause: p.Cause, Step: p.Step}] = p.Count
					}
					if hour(time.Now()) != hour(now) {
						t.Skip("the hour is over")
					}
					if err != nil || !maps.Equal(got, want) || len(list) != len(got) {
						t.Errorf("%v %q: %v, want %v; %v", in, cause, got, want, err)
					}
				}
			}
		})
	}
}
