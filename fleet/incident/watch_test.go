package incident

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// A shelf is what a broker retains.
type shelf struct {
	kept map[string]string
	puts int
	down bool
}

func (s *shelf) publish(_ context.Context, topic string, payload []byte) error {
	if s.down {
		return errors.New("down")
	}
	s.puts++
	if len(payload) == 0 {
		delete(s.kept, topic)
	} else {
		s.kept[topic] = string(payload)
	}
	return nil
}

func TestWatch(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	report96 := func(n int, from, to int, when time.Time) {
		t.Helper()
		var docs []store.Document
		for i := from; i < to; i++ {
			a := sample.New("shop", at(i).Terminal)
			a.Seq = uint64(n)
			topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
			docs = append(docs, ingest.Decode(topic, payload, when))
		}
		if _, err := db.Commit(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	s := &shelf{kept: map[string]string{"pos/v1/shop/advisory/acquirer/stale": `{"scope":"acquirer"}`}}
	fresh := func() *Watch {
		w := &Watch{Source: db, Publish: s.publish, Changed: func() {}, Log: slog.New(slog.DiscardHandler)}
		for topic, payload := range s.kept { // as the broker tells at each connection
			w.Told(topic, []byte(payload))
		}
		return w
	}
	w := fresh()
	look := func(now time.Time) {
		t.Helper()
		if err := w.Look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	const topic = "pos/v1/shop/advisory/acquirer/unionpay"

	look(t0)
	if len(s.kept) != 0 {
		t.Errorf("what an earlier run left is not cleared: %v", s.kept)
	}
	report96(0, 0, 6, t0)
	look(t0.Add(time.Second))
	var a report.Advisory
	if json.Unmarshal([]byte(s.kept[topic]), &a); a.Terminals != 6 || a.Code != "96" || a.SharePct != 100 {
		t.Fatalf("advisory %q", s.kept[topic])
	}
	puts := s.puts
	look(t0.Add(16 * time.Second))
	if s.puts != puts {
		t.Error("published again though nothing changed")
	}
	look(t0.Add(6 * time.Minute))
	if s.puts != puts+1 {
		t.Error("not repeated while it lasts")
	}

	// A broker that is away is told when it is back.
	s.down = true
	report96(1, 6, 9, t0.Add(7*time.Minute))
	if err := w.Look(t.Context(), t0.Add(7*time.Minute)); err == nil {
		t.Error("no error though nothing could be published")
	}
	s.down = false
	look(t0.Add(8 * time.Minute))
	if json.Unmarshal([]byte(s.kept[topic]), &a); a.Terminals != 9 {
		t.Errorf("advisory %q", s.kept[topic])
	}

	// The fleet is restarted; the incident ends; the advisory goes.
	w = fresh()
	look(t0.Add(30 * time.Minute))
	if len(s.kept) != 0 {
		t.Errorf("not cleared: %v", s.kept)
	}
	list, err := db.Incidents(t.Context(), 0)
	if err != nil || len(list) != 1 || list[0].Quiet.IsZero() || !list[0].Closed.IsZero() || list[0].Peak != 9 {
		t.Errorf("quiet, but nothing proves that it is over: %v %+v", err, list)
	}
	for i := range 9 {
		a := sample.New("shop", at(i).Terminal)
		a.Seq = 10
		topic, payload := a.Wrap(report.KindTally, sample.Tally(map[string]int{"00": 12}))
		if _, err := db.Commit(t.Context(),
			[]store.Document{ingest.Decode(topic, payload, t0.Add(40*time.Minute))}); err != nil {
			t.Fatal(err)
		}
	}
	look(t0.Add(41 * time.Minute))
	if list, err = db.Incidents(t.Context(), 0); err != nil || len(list) != 1 || list[0].Closed.IsZero() ||
		list[0].Proof != "sales" {
		t.Errorf("good sales: %v %+v", err, list)
	}

	// What waited at the terminals tells of the past.
	a2 := sample.New("shop", "t1")
	for i := range 9 {
		a2.At.Terminal, a2.Epoch, a2.Seq = at(i).Terminal, "late", 0
		topic, payload := a2.Wrap(report.KindDiagnosis, a2.Diagnosis(50+i, 2, "96", "host.malfunction", "acquirer"))
		d := ingest.Decode(topic, payload, t0.Add(2*time.Hour))
		d.Historical = true
		if _, err := db.Commit(t.Context(), []store.Document{d}); err != nil {
			t.Fatal(err)
		}
	}
	look(t0.Add(2 * time.Hour))
	if len(s.kept) != 0 {
		t.Errorf("old news made an incident: %v", s.kept)
	}
}

// A terminal that never reported a code has no code table yet; that others have one is no place.
func TestToHaveReportedIsNoPlace(t *testing.T) {
	var list []store.Standing
	for i := range 100 {
		s := store.Standing{At: at(i), Online: true}
		if i%5 == 0 {
			s.Scheme = "unionpay"
		}
		list = append(list, s)
	}
	list = append(list, store.Standing{At: report.Address{Estate: "other", Terminal: "t1"}})
	assume(list)
	if list[1].Scheme != "unionpay" || list[100].Scheme != "" {
		t.Errorf("%+v %+v", list[1], list[100])
	}
	for i := 0; i < 40; i += 5 {
		list[i].Scheme = "gicc-de"
	}
	for i := range 100 {
		if i%5 != 0 {
			list[i].Scheme = ""
		}
	}
	if assume(list); list[1].Scheme != "" {
		t.Errorf("assumed though two are in use: %+v", list[1])
	}
}

// What somebody closed stays closed until reports come that are younger than that; that it came back is in its log.
func TestOnlyReportsAfterTheCloseReopen(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tell := func(n, terminals int, when time.Time) {
		t.Helper()
		var docs []store.Document
		for i := range terminals {
			a := sample.New("shop", at(i).Terminal)
			a.Seq = uint64(n)
			topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
			docs = append(docs, ingest.Decode(topic, payload, when))
		}
		if _, err := db.Commit(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	w := &Watch{Source: db, Publish: (&shelf{kept: map[string]string{}}).publish, Changed: func() {},
		Log: slog.New(slog.DiscardHandler)}
	only := func(now time.Time) store.Incident {
		t.Helper()
		if err := w.Look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		list, err := db.Incidents(t.Context(), 0)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v: want one incident: %v %+v", now.Sub(t0), err, list)
		}
		return list[0]
	}
	tell(0, 8, t0)
	i := only(t0.Add(time.Second))
	closed := store.LogEntry{Incident: i.No, At: t0.Add(time.Minute), Who: "li", Deed: store.DeedClose}
	if err := db.Tend(t.Context(), nil, closed, store.Care{}, 0); err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{time.Minute + Every, 2 * time.Minute, 14 * time.Minute, 20 * time.Minute} {
		w.slowAt = time.Time{} // a slow look each time
		if i = only(t0.Add(d)); i.Closed.IsZero() || i.Reopened != 0 || i.Proof != store.ProofPerson {
			t.Fatalf("%v later, without a new report: %+v", d, i)
		}
	}
	tell(1, 2, t0.Add(21*time.Minute)) // two prove little
	if i = only(t0.Add(21 * time.Minute)); i.Closed.IsZero() {
		t.Fatalf("two reports after the close opened it: %+v", i)
	}
	tell(2, 8, t0.Add(22*time.Minute))
	if i = only(t0.Add(22 * time.Minute)); !i.Closed.IsZero() || i.Reopened != 1 {
		t.Fatalf("new reports do not open it: %+v", i)
	}
	only(t0.Add(23 * time.Minute))
	log, err := db.Log(t.Context(), nil, i.No)
	if err != nil || len(log) != 2 || log[0].Deed != store.DeedReopen || !log[0].At.Equal(t0.Add(22*time.Minute)) ||
		log[1].Deed != store.DeedClose {
		t.Errorf("log: %v %+v", err, log)
	}
}

// Hours before the fleet's first report, though a session ended in one, and hours in which it did not run, are not
// learned as hours in which nothing failed; quiet hours of a fleet that runs are.
func TestHoursThatNobodyWatchedTeachNothing(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	put := func(topic string, payload []byte, when time.Time) {
		t.Helper()
		if _, err := db.Commit(t.Context(), []store.Document{ingest.Decode(topic, payload, when)}); err != nil {
			t.Fatal(err)
		}
	}
	gone := sample.New("shop", "gone")
	put(gone.At.Topic("status"), []byte(`{"state":"offline","reason":"will","boot_id":"boot-1"}`), t0.Add(-90*time.Minute))
	for i := range 9 {
		put(at(i).Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`), t0)
	}
	n := 0
	tell := func(when time.Time, estate string) {
		t.Helper()
		n++
		a := sample.New(estate, at(1).Terminal)
		a.Seq = uint64(n)
		topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "51", "account.funds", "issuer"))
		put(topic, payload, when)
	}
	fresh := func() *Watch {
		return &Watch{Source: db, Publish: (&shelf{kept: map[string]string{}}).publish, Changed: func() {},
			Log: slog.New(slog.DiscardHandler)}
	}
	known := func(estate string) (hours []int64) {
		err := db.Seasons(t.Context(), t0.Add(-SlowWindow), func(r store.SeasonRow) {
			if r.Estate == estate && r.Cause == "" && r.Dim == "" {
				hours = append(hours, r.Hour-hourOf(t0))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(hours)
		return hours
	}
	w := fresh()
	look := func(hours int, want ...int64) {
		t.Helper()
		if err := w.Look(t.Context(), t0.Add(time.Duration(hours)*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := known("shop"); !slices.Equal(got, want) {
			t.Errorf("after %d hours these are known: %v, want %v", hours, got, want)
		}
	}
	tell(t0, "shop")
	look(0)
	look(2, 0, 1)
	tell(t0.Add(7*time.Hour), "shop")
	w = fresh() // it did not run since
	look(8, 0, 1, 7)
	tell(t0.Add(12*time.Hour), "shop")
	tell(t0.Add(12*time.Hour), "kiosk") // an estate that is new
	look(13, 0, 1, 7, 8, 9, 10, 11, 12)
	if got := known("kiosk"); !slices.Equal(got, []int64{12}) {
		t.Errorf("of a new estate these are known: %v", got)
	}
}
