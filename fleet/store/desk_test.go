package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// What the pages ask, over both databases: and a reader of one estate gets nothing of another by any question.
func TestWhatPagesAsk(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a, b := sample.New("shop", "t1"), sample.New("shop", "t2")
		out := sample.New("other", "o1")
		for _, x := range []*sample.Terminal{a, b, out} {
			commit(t, s, doc(x.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"b"}`)),
				doc(x.Uncounted(report.KindBirth, x.Birth(1))), doc(x.Uncounted(report.KindHealth, x.Health())),
				doc(x.Wrap(report.KindTally, sample.Tally(map[string]int{"00": 40, "51": 2}))))
			d := x.Diagnosis(1, 2, "96", "reader.fault", "reader")
			commit(t, s, doc(x.Wrap(report.KindDiagnosis, d)), doc(x.Wrap(report.KindDiagnosis, x.Diagnosis(2, 2, "51", "account.funds", "issuer"))))
			asked := x.Diagnosis(7, 2, "96", "reader.fault", "reader")
			asked.Asked = true
			commit(t, s, doc(x.Uncounted(report.KindAsked, asked)), doc(x.At.Topic("reply/diagnose"), []byte(`{"id":"c1","result":"done","data":{"diagnosis":"x"}}`)),
				doc(x.Uncounted(report.KindOutcome, report.Outcome{Diagnosis: x.EventID(2), Cause: "account.funds",
					Outcome: report.OutcomeBorneOut, Time: t0})))
			if err := s.NoteCommand(ctx, x.At, store.Command{Name: "diagnose", ID: "c1", Who: "ann", Sent: t0}); err != nil {
				t.Fatal(err)
			}
			if err := s.SaveFind(ctx, x.At, store.Find{Diagnosis: x.EventID(1), Cause: "reader.fault", Found: store.FoundNothing,
				Who: "ann", At: t0}); err != nil {
				t.Fatal(err)
			}
		}
		placed := []store.Placed{{At: a.At, When: t0, Place: map[string]string{"site": "一号店", "carrier": "c"}},
			{At: b.At, When: t0, Place: map[string]string{"site": "二号店", "carrier": "c"}}, {At: out.At, When: t0, Place: map[string]string{"site": "一号店"}}}
		if err := s.SavePlaces(ctx, placed); err != nil {
			t.Fatal(err)
		}
		placed[0].Place = map[string]string{"site": "一号店", "carrier": "d"}
		if err := s.SavePlaces(ctx, placed[:1]); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveDues(ctx, []store.Dated{{At: a.At, Seen: t0,
			List: []store.Due{{Kind: "net.tls.days_left", Subject: "host", At: t0.Add(20 * 24 * time.Hour), Value: 20},
				{Kind: "flash", Subject: "m", Value: 90, Pace: true}}},
			{At: out.At, Seen: t0, List: []store.Due{{Kind: "net.tls.days_left", Subject: "host", At: t0.Add(-time.Hour)}}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.AddSeason(ctx, []store.SeasonRow{{Estate: "shop", Hour: t0.Unix() / 3600, Active: 10},
			{Estate: "shop", Cause: "reader.fault", Hour: t0.Unix() / 3600, Terminals: 2, Active: 10},
			{Estate: "other", Cause: "reader.fault", Hour: t0.Unix() / 3600, Terminals: 5, Active: 10}}); err != nil {
			t.Fatal(err)
		}
		incidents := []store.Incident{{Estate: "shop", Scope: "site", Key: "x", Cause: "reader.fault", Segment: "reader",
			Opened: t0, Seen: t0}, {Estate: "shop", Scope: "site", Key: "y", Cause: "wan.outage", Segment: "wan",
			Opened: t0.Add(-time.Hour), Seen: t0}, {Estate: "other", Scope: "site", Key: "z", Cause: "reader.fault", Segment: "reader", Opened: t0, Seen: t0}}
		for i := range incidents {
			if err := s.SaveIncident(ctx, &incidents[i]); err != nil {
				t.Fatal(err)
			}
		}
		before, after := t0.Add(-time.Hour), t0.Add(time.Hour)
		shop, none := store.Estates{"shop"}, store.Estates{}
		count := func(what string, f func(in store.Estates) (int, error), all, own int) {
			t.Helper()
			for _, c := range []struct {
				in   store.Estates
				want int
			}{{nil, all}, {shop, own}, {none, 0}} {
				got, err := f(c.in)
				if err != nil && !errors.Is(err, store.ErrNone) {
					t.Errorf("%s of %v: %v", what, c.in, err)
				}
				if got != c.want {
					t.Errorf("%s of %v: %d, want %d", what, c.in, got, c.want)
				}
			}
		}
		number := func(err error) (int, error) {
			if err != nil {
				return 0, err
			}
			return 1, nil
		}
		count("diagnoses", func(in store.Estates) (int, error) {
			l, _, err := s.Diagnoses(ctx, store.Filter{In: in, Since: before, Until: after})
			return len(l), err
		}, 6, 4)
		count("diagnoses of a site", func(in store.Estates) (int, error) {
			l, _, err := s.Diagnoses(ctx, store.Filter{In: in, Place: map[string]string{"site": "一号店"}, Oldest: true, Limit: 3})
			return len(l), err
		}, 3, 2)
		count("diagnoses before all", func(in store.Estates) (int, error) {
			l, _, err := s.Diagnoses(ctx, store.Filter{In: in, Until: before.Add(-time.Hour)})
			return len(l), err
		}, 0, 0)
		count("a foreign diagnosis", func(in store.Estates) (int, error) {
			_, err := s.Diagnosis(ctx, in, out.At, out.EventID(1))
			return number(err)
		}, 1, 0)
		count("a foreign asked one", func(in store.Estates) (int, error) {
			_, err := s.AskedOne(ctx, in, out.At, out.EventID(7))
			return number(err)
		}, 1, 0)
		count("asked", func(in store.Estates) (int, error) { l, err := s.Asked(ctx, in, out.At, 9); return len(l), err }, 1, 0)
		count("a foreign outcome", func(in store.Estates) (int, error) {
			_, err := s.Outcome(ctx, in, out.At, out.EventID(2))
			return number(err)
		}, 1, 0)
		count("a foreign find", func(in store.Estates) (int, error) {
			_, err := s.Find(ctx, in, out.At, out.EventID(1))
			return number(err)
		}, 1, 0)
		count("became", func(in store.Estates) (int, error) {
			l, err := s.Became(ctx, in, "", before, time.Time{}, 99)
			return len(l), err
		}, 6, 4)
		count("terminals", func(in store.Estates) (int, error) {
			l, err := s.Terminals(ctx, store.TerminalFilter{In: in, Sort: "failed"})
			return len(l), err
		}, 3, 2)
		count("terminals of a site", func(in store.Estates) (int, error) {
			l, err := s.Terminals(ctx, store.TerminalFilter{In: in, Place: map[string]string{"site": "一号店"}, Sort: "state"})
			return len(l), err
		}, 2, 1)
		count("terminals without a sale", func(in store.Estates) (int, error) {
			l, err := s.Terminals(ctx, store.TerminalFilter{In: in, Quiet: "unsold"})
			return len(l), err
		}, 3, 2)
		count("a foreign terminal", func(in store.Estates) (int, error) { _, err := s.Terminal(ctx, in, out.At); return number(err) }, 1, 0)
		count("commands", func(in store.Estates) (int, error) {
			l, err := s.Commands(ctx, in, out.At, 9)
			if len(l) == 1 && (l[0].Reply == nil || l[0].Reply.Result != "done") {
				t.Error("the answer is not with its command")
			}
			return len(l), err
		}, 1, 0)
		count("changes", func(in store.Estates) (int, error) { l, err := s.Changes(ctx, in, a.At, 9); return len(l), err }, 1, 1)
		count("place", func(in store.Estates) (int, error) { l, err := s.PlaceOf(ctx, in, out.At); return len(l), err }, 1, 0)
		count("values", func(in store.Estates) (int, error) {
			l, err := s.Values(ctx, in, "site", "店", before, 9)
			return len(l), err
		}, 3, 2)
		count("estates", func(in store.Estates) (int, error) { l, err := s.EstateNames(ctx, in); return len(l), err }, 2, 1)
		count("dues", func(in store.Estates) (int, error) {
			l, err := s.Dues(ctx, store.DueFilter{In: in})
			return len(l), err
		}, 3, 2)
		count("dues in time", func(in store.Estates) (int, error) {
			l, err := s.Dues(ctx, store.DueFilter{In: in, Until: t0.AddDate(0, 0, 30)})
			return len(l), err
		}, 2, 1)
		count("kinds of dues", func(in store.Estates) (int, error) {
			l, err := s.CountDues(ctx, store.DueFilter{In: in}, []time.Time{t0, t0.AddDate(0, 0, 30)})
			n := 0
			for _, c := range l {
				n += c.Within[1] + c.None
			}
			return n, err
		}, 3, 2)
		count("tasks", func(in store.Estates) (int, error) {
			l, err := s.Tasks(ctx, in, []string{"reader.fault", "account.funds"}, nil, before, time.Time{}, 0.5)
			return len(l), err
		}, 0, 0) // each has an outcome, or somebody found
		count("incidents", func(in store.Estates) (int, error) {
			l, err := s.FindIncidents(ctx, store.IncidentFilter{In: in, Since: before, Until: after})
			return len(l), err
		}, 3, 2)
		count("a foreign incident", func(in store.Estates) (int, error) {
			_, err := s.Incident(ctx, in, incidents[2].No)
			return number(err)
		}, 1, 0)
		count("a foreign incident's log", func(in store.Estates) (int, error) { _, err := s.Log(ctx, in, incidents[2].No); return number(err) }, 1, 0)
		count("sales", func(in store.Estates) (int, error) {
			l, err := s.Codes(ctx, in, t0, 2, 1, "")
			n := 0.0
			for _, p := range l {
				n += p.Count
			}
			return int(n), err
		}, 126, 84)
		count("terminal-hours", func(in store.Estates) (int, error) {
			l, err := s.Causes(ctx, in, t0, 1, 1, "")
			n := 0.0
			for _, p := range l {
				n += p.Count
			}
			return int(n), err
		}, 7, 2)
		count("causes of a code", func(in store.Estates) (int, error) {
			l, err := s.CausesOf(ctx, in, "96", "", before)
			n := 0
			for _, p := range l {
				n += p.Diagnoses
			}
			return n, err
		}, 3, 2)
		count("base rate", func(in store.Estates) (int, error) {
			r, err := s.BaseRate(ctx, in, "reader.fault", before)
			return int(r.Reported), err
		}, 7, 2)
		count("quiet", func(in store.Estates) (int, error) {
			q, err := s.CountQuiet(ctx, in, t0.Add(48*time.Hour))
			return q.Unheard, err
		}, 3, 2)
		count("summary", func(in store.Estates) (int, error) {
			q, err := s.Summary(ctx, in, t0)
			return q.Terminals + q.Diagnoses, err
		}, 9, 6)

		told, err := s.Told(ctx, "shop", []string{"reader.fault"}, nil, before, after)
		if err != nil {
			t.Fatal(err)
		}
		course, err := s.Reporting(ctx, told, map[string]string{"site": "一号店"}, before, 2, after.Sub(before)/2)
		if err != nil || len(course) != 2 || course[0]+course[1] == 0 {
			t.Errorf("course %v %v", course, err)
		}
		in, rest, err := s.InAndOut(ctx, told, map[string]string{"site": "一号店"})
		if err != nil || in.Of != 1 || in.Reporting != 1 || rest.Of != 1 || rest.Reporting != 1 {
			t.Error(in, rest, err)
		}
		shares, err := s.Shares(ctx, told)
		if err != nil || len(shares) != 4 {
			t.Error(shares, err)
		}
		if l, err := s.ChangesIn(ctx, "shop", map[string]string{"site": "一号店"}, before, after); err != nil || len(l) != 1 ||
			l[0].Was != "c" || l[0].Now != "d" {
			t.Error(l, err)
		}

		// Nobody tends what he may not see, and what a person ended the look after does not open again from what it read
		// before.
		for deed, into := range map[string]int64{store.DeedClose: 0, store.DeedNote: 0, store.DeedMerge: incidents[0].No} {
			if err := s.Tend(ctx, shop, store.LogEntry{Incident: incidents[2].No, At: t0, Who: "ann", Deed: deed}, store.Care{},
				into); !errors.Is(err, store.ErrNone) {
				t.Errorf("%s of a foreign incident: %v", deed, err)
			}
		}
		if err := s.Tend(ctx, shop, store.LogEntry{Incident: incidents[0].No, At: t0, Who: "ann", Deed: store.DeedMerge},
			store.Care{}, incidents[2].No); !errors.Is(err, store.ErrNone) {
			t.Error("merged into a foreign incident:", err)
		}
		read, err := s.FindIncidents(ctx, store.IncidentFilter{No: incidents[0].No})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Tend(ctx, shop, store.LogEntry{Incident: incidents[0].No, At: t0, Who: "ann", Deed: store.DeedMerge,
			Said: "2"}, store.Care{}, incidents[1].No); err != nil {
			t.Fatal(err)
		}
		read[0].Terminals = 99
		if err := s.SaveIncident(ctx, &read[0]); err != nil {
			t.Fatal(err)
		}
		got, _ := s.Incident(ctx, shop, incidents[0].No)
		into, _ := s.Incident(ctx, shop, incidents[1].No)
		if got.Closed.IsZero() || got.MergedIn != incidents[1].No || got.Terminals == 99 || len(into.Also) != 1 ||
			into.Also[0] != "reader.fault" {
			t.Errorf("after the merge: %+v, into %+v", got, into)
		}
		if err := s.Tend(ctx, shop, store.LogEntry{Incident: incidents[1].No, At: t0, Who: "ann",
			Deed: store.DeedAcknowledge}, store.Care{Owner: "ann", Acknowledged: t0}, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Tend(ctx, shop, store.LogEntry{Incident: incidents[1].No, At: t0, Who: "bob", Deed: store.DeedMute},
			store.Care{Muted: after}, 0); err != nil {
			t.Fatal(err)
		}
		cares, err := s.Cares(ctx, incidents)
		if c := cares[incidents[1].No]; err != nil || c.Owner != "ann" || !c.Muted.Equal(after) || !c.Acknowledged.Equal(t0) {
			t.Errorf("care: %+v %v", c, err)
		}
		if log, err := s.Log(ctx, shop, incidents[1].No); err != nil || len(log) != 3 || log[0].Who != "bob" || log[2].Deed != "merged" {
			t.Errorf("log: %+v %v", log, err)
		}

		for i := range 51 {
			err := s.SaveView(ctx, store.View{Who: "ann", Name: "v", Path: "/codes", Made: t0})
			if (i == 50) != errors.Is(err, store.ErrTooMany) || i < 50 && err != nil {
				t.Fatal(i, err)
			}
		}
		views, err := s.Views(ctx, "ann")
		if err != nil || len(views) != 50 {
			t.Fatal(len(views), err)
		}
		if err := s.DropView(ctx, "bob", views[0].No); err != nil {
			t.Fatal(err)
		}
		if left, _ := s.Views(ctx, "ann"); len(left) != 50 {
			t.Error("somebody else dropped a view")
		}
		if _, err := s.Sweep(ctx, store.DefaultLimits, t0); err != nil {
			t.Fatal(err)
		}
	})
}

// What had waited at terminals counts in the shares and the course of an incident at the time when it happened, and
// nowhere if that is not known or is another time; a terminal that told then and again later counts once.
func TestWhatHadWaitedCountsWhenItHappened(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		begin, end := t0.Add(-2*time.Hour), t0.Add(-time.Hour)
		for n, c := range []struct {
			terminal, site string
			happened, came time.Duration // after begin
			late, believed bool
		}{
			{"live", "a", 10 * time.Minute, 10 * time.Minute, false, true},
			{"late", "a", 20 * time.Minute, 3 * time.Hour, true, true},
			{"both", "b", 25 * time.Minute, 25 * time.Minute, false, true},
			{"both", "b", 26 * time.Minute, 4 * time.Hour, true, true},
			{"earlier", "a", -time.Hour, 30 * time.Minute, true, true}, // came then, happened before
			{"afterwards", "a", 90 * time.Minute, 3 * time.Hour, true, true},
			{"unsure", "a", 30 * time.Minute, 3 * time.Hour, true, false},
			{"far", "a", 30 * time.Minute, 90 * time.Hour, true, true}, // later than anybody waits for
			{"quiet", "b", 0, 0, false, true},
		} {
			a := sample.New("shop", c.terminal)
			d := a.Diagnosis(n, 2, "96", map[bool]string{true: "card.unreadable", false: "wan.outage"}[c.terminal == "quiet"], "wan")
			d.Event.Time, d.Event.ClockTrusted = begin.Add(c.happened), c.believed
			x := doc(a.Wrap(report.KindDiagnosis, d))
			x.Seq, x.Historical, x.Received = uint64(n+1), c.late, begin.Add(c.came)
			commit(t, s, x)
			if err := s.SavePlaces(ctx, []store.Placed{{At: a.At, When: t0, Place: map[string]string{"site": c.site}}}); err != nil {
				t.Fatal(err)
			}
		}
		told, err := s.Told(ctx, "shop", []string{"wan.outage"}, nil, begin, end)
		if err != nil {
			t.Fatal(err)
		}
		in, out, err := s.InAndOut(ctx, told, map[string]string{"site": "a"})
		if err != nil || in.Reporting != 2 || in.Of != 6 || out.Reporting != 1 || out.Of != 2 {
			t.Errorf("in %+v, out %+v, %v; want 2 of 6 and 1 of 2", in, out, err)
		}
		shares, err := s.Shares(ctx, told)
		got := map[string]int{}
		for _, v := range shares {
			got[v.Value] = v.Reporting
		}
		if err != nil || got["a"] != 2 || got["b"] != 1 {
			t.Errorf("shares %+v %v", shares, err)
		}
		for site, want := range map[string][]float64{"": {1, 2, 0, 0}, "a": {1, 1, 0, 0}, "b": {0, 1, 0, 0}} {
			var place map[string]string
			if site != "" {
				place = map[string]string{"site": site}
			}
			course, err := s.Reporting(ctx, told, place, begin, 4, 15*time.Minute)
			if err != nil || !slices.Equal(course, want) {
				t.Errorf("course of %q: %v %v, want %v", site, course, err, want)
			}
		}
		before, err := s.Reporting(ctx, told, nil, begin.Add(-2*time.Hour), 2, time.Hour)
		if err != nil || !slices.Equal(before, []float64{0, 1}) {
			t.Errorf("the quiet before: %v %v, want what happened then", before, err)
		}
	})
}

// Hours that no season holds yet, the one under way and one that was over a moment ago, are in the course of causes,
// with the hours before them and once a terminal: an incident that began ten minutes ago is looked for there. What an
// incident keeps out of the base rate is in it too.
func TestHoursWithoutASeasonAreInTheCourse(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		now := time.Now()
		hour := now.Unix() / 3600
		course := func(estate string, back time.Duration, hours, steps int) []float64 {
			t.Helper()
			got, err := s.Causes(t.Context(), store.Estates{estate}, now.Add(-back), steps, hours, "host.malfunction")
			if err != nil {
				t.Fatal(err)
			}
			counts := make([]float64, steps)
			for _, p := range got {
				counts[p.Step] += p.Count
			}
			return counts
		}
		a := sample.New("over", "t1")
		for n, at := range []time.Time{time.Unix(hour*3600-600, 0), now} {
			topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
			commit(t, s, ingest.Decode(topic, payload, at))
		}
		if got := course("over", time.Hour, 1, 2); !slices.Equal(got, []float64{1, 1}) {
			t.Errorf("the hour that is over and the one under way: %v, want one each", got)
		}
		if err := s.AddSeason(t.Context(), []store.SeasonRow{
			{Estate: "over", Hour: hour - 1, Active: 9},
			{Estate: "over", Cause: "host.malfunction", Hour: hour - 1, Terminals: 4},
			{Estate: "over", Cause: "host.malfunction", Dim: store.DimBeyond, Hour: hour - 1, Terminals: 408},
			{Estate: "over", Cause: "host.malfunction", Dim: "carrier", Value: "x", Hour: hour - 1, Terminals: 4},
		}); err != nil {
			t.Fatal(err)
		}
		if got := course("over", time.Hour, 1, 2); !slices.Equal(got, []float64{412, 1}) {
			t.Errorf("once the season has the hour: %v, want 412 and 1", got)
		}
		for i, name := range []string{"t1", "t2"} {
			a := sample.New("shop", name)
			for n := range i + 1 {
				topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
				commit(t, s, ingest.Decode(topic, payload, now))
			}
		}
		if err := s.AddSeason(t.Context(), []store.SeasonRow{{Estate: "shop", Cause: "host.malfunction",
			Hour: now.Unix()/3600 - 1, Terminals: 3, Active: 9}}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			back  time.Duration
			hours int
			want  []float64
		}{{time.Hour, 1, []float64{3, 2}}, {time.Hour, 2, []float64{5}}, {2 * time.Hour, 1, []float64{0, 3}}} {
			got, err := s.Causes(t.Context(), store.Estates{"shop"}, now.Add(-c.back), len(c.want), c.hours, "host.malfunction")
			counts := make([]float64, len(c.want))
			for _, p := range got {
				counts[p.Step] += p.Count
			}
			if err != nil || !slices.Equal(counts, c.want) {
				t.Errorf("%v back by %d h: %v, want %v (%v)", c.back, c.hours, counts, c.want, err)
			}
		}
		if got, err := s.Causes(t.Context(), store.Estates{"mall"}, now.Add(-time.Hour), 2, 1, ""); err != nil || len(got) > 0 {
			t.Errorf("another estate reads %+v %v", got, err)
		}
	})
}
