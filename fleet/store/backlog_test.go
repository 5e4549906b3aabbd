package store_test

import (
	"fmt"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// A backlog is read once, part by part, past whatever else came, at the time when it happened.
func TestABacklogIsReadOnce(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		for i := range 25 {
			a := sample.New("shop", fmt.Sprint("t", i))
			d := a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")
			d.Event.Time = t0.Add(-time.Duration(i) * time.Hour)
			d.Event.ClockTrusted = i != 7
			x := doc(a.Wrap(report.KindDiagnosis, d))
			x.Historical = i%5 != 0
			if i == 8 {
				x.Received = t0.Add(time.Hour)
			}
			commit(t, s, x)
		}
		read := func(after int64, until time.Time) (string, int64) {
			t.Helper()
			list, place, err := s.Backlog(t.Context(), after, t0.Add(-time.Hour), until, 6)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, v := range list {
				got += v.At.Terminal + " "
				if !t0.Add(-100*time.Hour).Before(v.Received) || !v.Received.Before(t0) || v.Sales != 3 {
					t.Errorf("%+v", v)
				}
			}
			return got, place
		}
		got, place := read(-1, t0.Add(2*time.Hour))
		want(t, "first part, without whose clock is not believed", got, "t1 t2 t3 t4 t6 ")
		got, place = read(place, t0.Add(2*time.Hour))
		want(t, "second", got, "t8 t9 t11 t12 t13 t14 ")
		got, place = read(place, t0.Add(2*time.Hour))
		want(t, "third", got, "t16 t17 t18 t19 t21 t22 ")
		got, place = read(place, t0.Add(2*time.Hour))
		want(t, "last", got, "t23 t24 ")
		got, again := read(place, t0.Add(2*time.Hour))
		want(t, "nothing new", got, "")
		want(t, "its place", again, place)
		got, _ = read(-1, t0.Add(time.Minute))
		want(t, "what has not lain long enough stays for later", got, "t1 t2 t3 t4 t6 ")
		got, _ = read(-1, t0.Add(-time.Minute))
		want(t, "nothing has", got, "")
	})
}
