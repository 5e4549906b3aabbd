package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posdx/agent/report"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// both runs a test over SQLite and over PostgreSQL, each with an empty store.
func both(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, open(t, store.Postgres(t))) })
}

func open(t testing.TB, address string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// doc takes a message apart as ingest does.
func doc(topic string, payload []byte) store.Document { return ingest.Decode(topic, payload, t0) }

func commit(t *testing.T, s *store.Store, docs ...store.Document) store.Result {
	t.Helper()
	r, err := s.Commit(t.Context(), docs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func diagnoses(t *testing.T, s *store.Store, f store.Filter) []string {
	t.Helper()
	rows, _, err := s.Diagnoses(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, r := range rows {
		ids = append(ids, fmt.Sprintf("%s/%d", r.Terminal, r.Seq))
	}
	return ids
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestNothingTwice(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a := sample.New("shop", "t1")
		first := doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 1, "96", "host.malfunction", "acquirer")))
		final := doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "switch.malfunction", "switch")))
		other := doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(2, 2, "97", "terminal.not-registered", "acquirer")))

		r := commit(t, s, first, first, final)
		if r.Stored != 2 || r.Duplicates != 1 {
			t.Errorf("stored %d, duplicates %d; want 2, 1", r.Stored, r.Duplicates)
		}
		want(t, "acks", r.Acks, []store.Ack{{To: a.At, Ack: report.Ack{Epoch: "e1", Boot: 1, Seq: 2}}})
		r = commit(t, s, final, other, first)
		if r.Stored != 1 || r.Duplicates != 2 || r.Acks[0].Ack.Seq != 3 {
			t.Errorf("%+v", r)
		}
		want(t, "rows", diagnoses(t, s, store.Filter{}), []string{"t1/3", "t1/1"})
		row, err := s.Diagnosis(t.Context(), nil, a.At, a.EventID(1))
		if err != nil || !strings.Contains(string(row.Body), `"revision":2`) {
			t.Errorf("highest revision: %v %s", err, row.Body)
		}

		// A revision that comes late, in an outbox made anew, does not replace a newer one.
		b := sample.New("shop", "t1")
		b.Epoch = "e2"
		r = commit(t, s, doc(b.Wrap(report.KindDiagnosis, b.Diagnosis(1, 1, "96", "host.malfunction", "acquirer"))))
		want(t, "new epoch begins at 1", r.Acks, []store.Ack{{To: a.At, Ack: report.Ack{Epoch: "e2", Boot: 1, Seq: 1}}})
		row, _ = s.Diagnosis(t.Context(), nil, a.At, a.EventID(1))
		if !strings.Contains(string(row.Body), `"revision":2`) {
			t.Errorf("older revision replaced a newer one: %s", row.Body)
		}
	})
}

func TestOrderAsksNoClock(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a, b := sample.New("shop", "t1"), sample.New("shop", "t2")
		for n, year := range []int{2026, 1970, 2040, 1999} {
			if n == 2 {
				a.Boot = 2
			}
			d := a.Diagnosis(n+1, 2, "96", "host.malfunction", "acquirer")
			d.Event.Time = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			commit(t, s, doc(a.Wrap(report.KindDiagnosis, d)))
			commit(t, s, doc(b.Wrap(report.KindDiagnosis, b.Diagnosis(n+1, 2, "96", "host.malfunction", "acquirer"))))
		}
		want(t, "fleet", diagnoses(t, s, store.Filter{}), []string{"t2/4", "t1/4", "t2/3", "t1/3", "t2/2", "t1/2", "t2/1", "t1/1"})
		// What arrives late stands where it belongs in its terminal's history.
		c := sample.New("shop", "t1")
		c.Seq = 9
		last := doc(c.Wrap(report.KindDiagnosis, c.Diagnosis(10, 2, "96", "host.malfunction", "acquirer")))
		c.Seq, c.Boot = 7, 1
		late := doc(c.Wrap(report.KindDiagnosis, c.Diagnosis(8, 2, "96", "host.malfunction", "acquirer")))
		commit(t, s, last)
		commit(t, s, late)
		want(t, "terminal", diagnoses(t, s, store.Filter{Estate: "shop", Terminal: "t1"}), []string{"t1/4", "t1/3", "t1/10", "t1/8", "t1/2", "t1/1"})
	})
}

func TestPages(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a, b := sample.New("shop", "t1"), sample.New("shop", "t2")
		for n := range 25 {
			commit(t, s, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))),
				doc(b.Wrap(report.KindDiagnosis, b.Diagnosis(n, 2, "97", "terminal.not-registered", "acquirer"))))
		}
		for _, f := range []store.Filter{{Limit: 7}, {Limit: 7, Estate: "shop", Terminal: "t2"}, {Limit: 4, Code: "97"}} {
			seen := map[string]bool{}
			for pages := 0; ; pages++ {
				rows, next, err := s.Diagnoses(t.Context(), f)
				if err != nil || pages > 60 {
					t.Fatal(err, pages)
				}
				for _, r := range rows {
					k := fmt.Sprint(r.Terminal, r.Seq)
					if seen[k] {
						t.Fatalf("%s twice", k)
					}
					seen[k] = true
				}
				if next == (store.Place{}) {
					break
				}
				p, err := store.ParsePlace(next.String())
				if err != nil || p != next {
					t.Fatal(p, err)
				}
				f.Before = p
			}
			n := 50
			if f.Terminal != "" || f.Code != "" {
				n = 25
			}
			if len(seen) != n {
				t.Errorf("%+v: saw %d, want %d", f, len(seen), n)
			}
		}
	})
}

// A search for what is rare goes through everything, a bounded part at a time.
func TestSearchGoesOn(t *testing.T) {
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	rare := sample.New("shop", "needle")
	commit(t, s, doc(rare.Wrap(report.KindDiagnosis, rare.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))))
	a := sample.New("shop", "hay")
	topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "97", "terminal.not-registered", "acquirer"))
	d := doc(topic, payload)
	for n := 0; n < 45_000; {
		var docs []store.Document
		for range 2500 {
			n++
			dx := *d.Diagnosis
			dx.ID = a.EventID(n)
			next := d
			next.Seq, next.Diagnosis, next.Body = uint64(n), &dx, []byte("{}")
			docs = append(docs, next)
		}
		commit(t, s, docs...)
	}
	for _, f := range []store.Filter{{Text: "needle"}, {Terminal: "needle"}, {Code: "96"}, {Cause: "host.malfunction"}} {
		found, answers := 0, 0
		for {
			rows, next, err := s.Diagnoses(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			found, answers, f.Before = found+len(rows), answers+1, next
			if next == (store.Place{}) {
				break
			}
		}
		if found != 1 || answers != 3 && f.Text != "" || answers != 1 && f.Text == "" {
			t.Errorf("%+v: found %d in %d answers", f, found, answers)
		}
	}
}

func TestFilters(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a, b := sample.New("shop", "t1"), sample.New("mall", "t100%")
		b.At.Terminal = "T_2"
		commit(t, s, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))),
			doc(b.Wrap(report.KindDiagnosis, b.Diagnosis(1, 2, "newpos:E5", "reader.dirty", "reader"))))
		for _, c := range []struct {
			f    store.Filter
			want []string
		}{
			{store.Filter{}, []string{"T_2/1", "t1/1"}},
			{store.Filter{Code: "96"}, []string{"t1/1"}},
			{store.Filter{Cause: "reader.dirty"}, []string{"T_2/1"}},
			{store.Filter{Segment: "acquirer"}, []string{"t1/1"}},
			{store.Filter{Estate: "mall"}, []string{"T_2/1"}},
			{store.Filter{Terminal: "t1"}, []string{"t1/1"}},
			{store.Filter{Text: "NEWPOS:e5"}, []string{"T_2/1"}},
			{store.Filter{Text: "系统异常 t_2"}, []string{"T_2/1"}},
			{store.Filter{Text: "%"}, []string{}},
			{store.Filter{Text: "t_2"}, []string{"T_2/1"}},
			{store.Filter{Text: "tx2"}, []string{}},
			{store.Filter{Text: "' OR 1=1 --"}, []string{}},
			{store.Filter{Code: "96\x00"}, []string{"t1/1"}},
		} {
			want(t, fmt.Sprintf("%+v", c.f), diagnoses(t, s, c.f), c.want)
		}
	})
}

func TestTerminalAccount(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a := sample.New("shop", "t1")
		commit(t, s,
			doc(a.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"b"}`)),
			doc(a.Uncounted(report.KindBirth, a.Birth(1))), doc(a.Uncounted(report.KindHealth, a.Health())),
			doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))),
			doc(a.At.Topic("reply/ping"), []byte(`{"id":"c1","result":"done"}`)))
		a.Seq = 4
		r := commit(t, s, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(5, 2, "96", "host.malfunction", "acquirer"))))
		if r.Acks[0].Ack.Seq != 1 {
			t.Errorf("ack %d over a gap, want 1", r.Acks[0].Ack.Seq)
		}
		got, err := s.Terminal(t.Context(), nil, a.At)
		if err != nil {
			t.Fatal(err)
		}
		if got.State != "online" || got.Scheme != "unionpay" || !strings.Contains(string(got.Birth), "reader0") ||
			!strings.Contains(string(got.Health), "net.link") || len(got.Replies) != 1 {
			t.Errorf("%+v", got)
		}
		want(t, "gaps", got.Streams[0].Gaps, []store.Gap{{First: 2, Last: 4, State: store.GapOpen, Since: t0}})
		sum, err := s.Summary(t.Context(), nil, t0)
		want(t, "summary", sum, store.Summary{Terminals: 1, Online: 1, Diagnoses: 2, Gaps: 1})
		if err != nil {
			t.Error(err)
		}

		// The report of what was dropped closes the gap and is itself committed.
		r = commit(t, s, doc(a.Wrap(report.KindDropped, report.Dropped{First: 2, Last: 4, Counts: map[string]int{"tally": 3},
			Reason: "space"})))
		if r.Acks[0].Ack.Seq != 6 {
			t.Errorf("ack %d after the report of a drop, want 6", r.Acks[0].Ack.Seq)
		}
		commit(t, s, doc(a.At.Topic("status"), []byte(`{"state":"offline","reason":"will","boot_id":"b"}`)))
		got, _ = s.Terminal(t.Context(), nil, a.At)
		if got.State != "offline" || got.Reason != "will" {
			t.Errorf("state %q %q", got.State, got.Reason)
		}
		if _, err := s.Terminal(t.Context(), nil, report.Address{Estate: "shop", Terminal: "nobody"}); !errors.Is(err, store.ErrNone) {
			t.Errorf("unknown terminal: %v", err)
		}
		list, err := s.Terminals(t.Context(), store.TerminalFilter{State: "offline", Text: "T1"})
		if err != nil || len(list) != 1 {
			t.Errorf("%v %v", list, err)
		}
	})
}

// A report with ranges says exactly what is gone. It comes before the records that were kept between, which are still
// waited for, and closes nothing else; what it dropped and comes after all is stored.
func TestDroppedRanges(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a := sample.New("shop", "t1")
		diagnosis := func(seq uint64) store.Document {
			a.Seq = seq - 1
			return doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(int(seq), 2, "96", "host.malfunction", "acquirer")))
		}
		upTo := func(want uint64, docs ...store.Document) {
			t.Helper()
			if r := commit(t, s, docs...); r.Acks[0].Ack.Seq != want {
				t.Errorf("ack %d, want %d", r.Acks[0].Ack.Seq, want)
			}
		}
		upTo(2, diagnosis(1), diagnosis(2))
		a.Seq = 10
		told := doc(a.Wrap(report.KindDropped, report.Dropped{First: 3, Last: 8, Counts: map[string]int{"diagnosis": 5},
			Reason: "space", Ranges: [][2]uint64{{3, 4}, {6, 8}}}))
		upTo(4, told)
		upTo(4, told) // again: nothing changes
		open := func(n uint64) store.Gap { return store.Gap{First: n, Last: n, State: store.GapOpen, Since: t0} }
		gone := func(first, last uint64) store.Gap {
			return store.Gap{First: first, Last: last, State: store.GapDropped, Since: t0, Reason: "space"}
		}
		gaps := func(list ...store.Gap) {
			t.Helper()
			got, err := s.Terminal(t.Context(), nil, a.At)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "gaps", got.Streams[0].Gaps, list)
		}
		gaps(gone(3, 4), open(5), gone(6, 8), store.Gap{First: 9, Last: 10, State: store.GapOpen, Since: t0})
		upTo(8, diagnosis(5))
		upTo(11, diagnosis(10), diagnosis(9))
		gaps(gone(3, 4), gone(6, 8))
		upTo(11, diagnosis(7)) // the line had it all the time
		gaps(gone(3, 4), gone(6, 6), gone(8, 8))
		want(t, "rows", len(diagnoses(t, s, store.Filter{})), 6)

		// Where the report comes alone, nobody knows what lies between.
		b := sample.New("shop", "t2")
		b.Seq = 10
		r := commit(t, s, doc(b.Wrap(report.KindDropped,
			report.Dropped{First: 3, Last: 8, Counts: map[string]int{"diagnosis": 5}, Reason: "space", Ranges: [][2]uint64{{3, 4}, {6, 8}}})))
		if n := r.Acks[0].Ack.Seq; n != 0 {
			t.Errorf("ack %d of a stream whose first numbers may still come, want 0", n)
		}
	})
}

// A document that is rejected is dealt with all the same: its number must not hold up those behind it.
func TestRejectedDoesNotBlock(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a := sample.New("shop", "t1")
		bad := doc(a.Wrap(report.KindDiagnosis, map[string]any{"id": "x"}))
		if bad.Reason == "" {
			t.Fatal("not rejected")
		}
		good := doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
		r := commit(t, s, bad, good, store.Document{Received: t0, Reason: "topic is not a terminal's"})
		if r.Rejected != 2 || r.Stored != 1 || r.Acks[0].Ack.Seq != 2 {
			t.Errorf("%+v", r)
		}
		list, err := s.Rejections(t.Context(), store.RejectionFilter{})
		if err != nil || len(list) != 2 || list[1].Terminal != "t1" || list[1].Seq != 1 {
			t.Errorf("%v %+v", err, list)
		}
		term, _ := s.Terminal(t.Context(), nil, a.At)
		if term.Rejected != 1 {
			t.Errorf("terminal counts %d rejected", term.Rejected)
		}
	})
}

// A flood is counted by terminal; one row tells of it, and what the others are rejected for stays.
func TestFloodIsCountedNotKept(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a := sample.New("shop", "t1")
		var docs []store.Document
		for n := range 50 {
			d := doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer")))
			if n >= 10 {
				d.Diagnosis, d.Packed, d.Reason = nil, nil, store.ReasonFlood
			}
			docs = append(docs, d)
		}
		r := commit(t, s, docs...)
		if r.Stored != 10 || r.Rejected != 40 || r.Reasons[store.ReasonFlood] != 40 || len(r.Acks) != 1 ||
			r.Acks[0].Ack.Seq != 50 {
			t.Errorf("%+v", r)
		}
		term, err := s.Terminal(t.Context(), nil, a.At)
		if err != nil || term.Limited != 40 || term.Rejected != 40 {
			t.Errorf("%v %+v", err, term)
		}
		its := store.RejectionFilter{Estate: a.At.Estate, Terminal: a.At.Terminal}
		if list, err := s.Rejections(t.Context(), its); err != nil || len(list) != 1 ||
			list[0].Reason != store.ReasonFlood {
			t.Errorf("%v %+v", err, list)
		}
	})
}

func TestSales(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		for i := range 4 {
			a := sample.New("shop", fmt.Sprint("t", i))
			counts := map[string]int{"00": 40}
			if i == 0 {
				counts["51"] = 3
			}
			tally := doc(a.Wrap(report.KindTally, sample.Tally(counts)))
			commit(t, s, tally, tally)
		}
		got, err := s.Sales(t.Context(), t0.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "sales", got, map[string]map[int64]float64{"shop": {t0.Unix() / 3600: 163}})
		list, err := s.Standings(t.Context(), t0.Add(-time.Hour))
		if err != nil || len(list) != 4 || !list[0].GoodAt.Equal(t0) {
			t.Errorf("%v %+v", err, list)
		}
	})
}

func TestSeasons(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		h := t0.Unix() / 3600
		row := store.SeasonRow{Estate: "shop", Cause: "wan.outage", Dim: "carrier", Value: "中国移动", Hour: h, Terminals: 2, Active: 0}
		for range 2 {
			if err := s.AddSeason(t.Context(), []store.SeasonRow{{Estate: "shop", Hour: h, Active: 7}, row}); err != nil {
				t.Fatal(err)
			}
		}
		var got []store.SeasonRow
		if err := s.Seasons(t.Context(), t0.Add(-time.Hour), func(r store.SeasonRow) { got = append(got, r) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || !slices.ContainsFunc(got, func(r store.SeasonRow) bool {
			return r.Value == "中国移动" &&
				r.Terminals == 4
		}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestIncidentRows(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		for i := range 3 {
			in := store.Incident{Estate: "shop", Scope: "acquirer", Key: "unionpay", Cause: "host.malfunction",
				Segment: "acquirer", Code: "96", Opened: t0, Seen: t0, Terminals: 3 + i, Of: 9, Peak: 5}
			if err := s.SaveIncident(t.Context(), &in); err != nil || in.No == 0 {
				t.Fatal(err, in.No)
			}
			if i == 2 {
				in.Closed = t0.Add(time.Hour)
				if err := s.SaveIncident(t.Context(), &in); err != nil {
					t.Fatal(err)
				}
			}
		}
		list, err := s.Incidents(t.Context(), 0)
		if err != nil || len(list) != 3 || list[0].Terminals != 4 || !list[1].Closed.IsZero() || list[2].Closed.IsZero() {
			t.Errorf("open ones first, newest first: %v %+v", err, list)
		}
	})
}

func TestRetention(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		a := sample.New("shop", "t1")
		for n := range 40 {
			topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
			commit(t, s, ingest.Decode(topic, payload, t0.Add(time.Duration(n)*time.Minute)))
		}
		now := t0.Add(40 * time.Minute)
		if _, err := s.Sweep(t.Context(), store.Limits{Rows: 100, Age: 30 * time.Minute}, now); err != nil {
			t.Fatal(err)
		}
		if n := len(diagnoses(t, s, store.Filter{Limit: 100})); n != 30 {
			t.Errorf("%d left by age, want 30", n)
		}
		if _, err := s.Sweep(t.Context(), store.Limits{Rows: 12, Age: time.Hour}, now); err != nil {
			t.Fatal(err)
		}
		if got := diagnoses(t, s, store.Filter{Limit: 100}); len(got) != 12 || got[0] != "t1/40" {
			t.Errorf("%d left by count, want 12: %v", len(got), got)
		}
		// What was swept is remembered as committed.
		a.Seq = 0
		if r := commit(t, s, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(0, 2, "96", "host.malfunction", "acquirer")))); r.Duplicates != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestManyEpochs(t *testing.T) {
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	for i := range 80 {
		a := sample.New("shop", "t1")
		a.Epoch = fmt.Sprint("e", i)
		commit(t, s, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(i, 2, "96", "host.malfunction", "acquirer"))))
	}
	term, err := s.Terminal(t.Context(), nil, report.Address{Estate: "shop", Terminal: "t1"})
	if err != nil || len(term.Streams) > 33 || term.Streams[0].Epoch != "e79" {
		t.Errorf("%v, %d streams", err, len(term.Streams))
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for address, says := range map[string]string{
		"":                         "want sqlite:PATH",
		"sqlite:":                  "want sqlite:PATH",
		"mysql://x":                "want sqlite:PATH",
		"sqlite:/proc/no/fleet.db": "open store",
	} {
		if s, err := store.Open(context.Background(), address); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", address, err, says)
			if s != nil {
				s.Close()
			}
		}
	}
}

// Two ingest workers on one PostgreSQL do not lose or double each other's work.
func TestTwoWorkers(t *testing.T) {
	address := store.Postgres(t)
	workers := []*store.Store{open(t, address), open(t, address)}
	var docs []store.Document
	for i := range 10 {
		a := sample.New("shop", fmt.Sprint("w", i))
		for n := range 40 {
			docs = append(docs, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))))
		}
	}
	done := make(chan error)
	for w, s := range workers {
		go func() {
			for i := 0; i < len(docs); i += 20 {
				part := docs[i : i+20]
				if w == 1 {
					part = docs[len(docs)-i-20 : len(docs)-i]
				}
				for {
					_, err := s.Commit(t.Context(), append([]store.Document{}, part...))
					if err == nil {
						break
					}
					if t.Context().Err() != nil || !(strings.Contains(err.Error(), "deadlock") || strings.Contains(err.Error(), "duplicate key")) {
						done <- err
						return
					}
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if got := diagnoses(t, workers[0], store.Filter{Limit: 500}); len(got) != 400 {
		t.Errorf("%d rows, want 400", len(got))
	}
	for i := range 10 {
		term, err := workers[0].Terminal(t.Context(), nil, report.Address{Estate: "shop", Terminal: fmt.Sprint("w", i)})
		if err != nil || term.Streams[0].Ack().Seq != 40 || len(term.Streams[0].Gaps) != 0 {
			t.Errorf("%v %+v", err, term.Streams)
		}
	}
}
