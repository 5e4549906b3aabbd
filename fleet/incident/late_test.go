package incident

import (
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

// A late fleet keeps what its terminals report in a store and looks for incidents there.
type lateFleet struct {
	*testing.T
	db   *store.Store
	told *shelf
	w    *Watch
	n    int
}

func lateFleetOf(t *testing.T) *lateFleet {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &lateFleet{T: t, db: db, told: &shelf{kept: map[string]string{}}}
	f.restart()
	for i := range 40 {
		f.commit(i, t0.Add(-time.Minute), false, report.KindTally, sample.Tally(map[string]int{"00": 3}))
	}
	f.look(t0)
	return f
}

func (f *lateFleet) restart() {
	f.w = &Watch{Source: f.db, Publish: f.told.publish, Changed: func() {}, Log: slog.New(slog.DiscardHandler)}
}

func (f *lateFleet) commit(terminal int, received time.Time, historical bool, kind string, doc any) {
	f.Helper()
	f.n++
	a := sample.New("shop", at(terminal).Terminal)
	a.Seq = uint64(f.n)
	topic, payload := a.Wrap(kind, doc)
	d := ingest.Decode(topic, payload, received)
	if d.Reason != "" {
		f.Fatal(d.Reason)
	}
	d.Historical = historical
	if _, err := f.db.Commit(f.Context(), []store.Document{d}); err != nil {
		f.Fatal(err)
	}
}

// fails commits a failed sale of each of some terminals, that happened at one moment and arrived at another.
func (f *lateFleet) fails(terminals int, happened, received time.Time, trusted bool) {
	f.Helper()
	for i := range terminals {
		d := sample.New("shop", at(i).Terminal).Diagnosis(f.n, 2, "ConnectError", "wan.outage", "wan")
		d.Event.Time, d.Event.ClockTrusted = happened, trusted
		f.commit(i, received, !happened.Equal(received), report.KindDiagnosis, d)
	}
}

func (f *lateFleet) look(now time.Time) []store.Incident {
	f.Helper()
	if err := f.w.Look(f.Context(), now); err != nil {
		f.Fatal(err)
	}
	list, err := f.db.Incidents(f.Context(), 0)
	if err != nil {
		f.Fatal(err)
	}
	return list
}

// What had waited at terminals is of the time when it happened: an outage nobody could tell of is found there, over
// already, and advises nobody now.
func TestABacklogIsOfItsOwnTime(t *testing.T) {
	happened, back := t0.Add(10*time.Minute), t0.Add(70*time.Minute)
	f := lateFleetOf(t)
	f.fails(20, happened, back, true)
	if list := f.look(back.Add(settle + time.Second)); len(list) != 1 || list[0].Cause != "wan.outage" ||
		!list[0].Opened.Equal(happened) || !list[0].Quiet.Equal(happened) || !list[0].Closed.IsZero() || list[0].Peak != 20 {
		t.Fatalf("%+v", list)
	}
	if len(f.told.kept) != 0 {
		t.Errorf("advises of what is over: %v", f.told.kept)
	}
	f.fails(20, happened.Add(20*time.Minute), back.Add(2*time.Minute), true)
	if list := f.look(back.Add(4 * time.Minute)); len(list) != 1 || !list[0].Opened.Equal(happened) ||
		!list[0].Quiet.Equal(happened.Add(20*time.Minute)) {
		t.Fatalf("the next quarter of the same outage: %+v", list)
	}
	f.restart()
	if list := f.look(back.Add(5 * time.Minute)); len(list) != 1 {
		t.Fatalf("read again after a restart: %+v", list)
	}
	for i := range 20 {
		f.commit(i, back.Add(6*time.Minute), false, report.KindTally, sample.Tally(map[string]int{"00": 3}))
	}
	if list := f.look(back.Add(7 * time.Minute)); len(list) != 1 || list[0].Closed.IsZero() || list[0].Proof != "sales" {
		t.Fatalf("good sales since: %+v", list)
	}
}

// A backlog of an incident that was seen at its time is that incident's, not another.
func TestABacklogOfAKnownIncidentIsPartOfIt(t *testing.T) {
	f := lateFleetOf(t)
	began := t0.Add(10 * time.Minute)
	f.fails(12, began, began, true)
	if list := f.look(began.Add(time.Second)); len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	f.fails(25, began.Add(-5*time.Minute), began.Add(time.Hour), true)
	list := f.look(began.Add(time.Hour + settle + time.Second))
	if len(list) != 1 || !list[0].Opened.Equal(began.Add(-5*time.Minute)) || list[0].Peak != 25 {
		t.Fatalf("%+v", list)
	}
}

// A report of its cause as on any day, a little before, is not the beginning of an incident.
func TestAnIncidentDoesNotBeginWithAnEverydayReport(t *testing.T) {
	begin := t0.Add(-5 * time.Minute)
	l := Look{Now: t0}
	v := Finding{Cause: "host.malfunction", Expected: 0.6, Reporters: map[string]bool{}}
	for i := range 20 {
		s := store.Sighting{At: at(i), Received: begin.Add(time.Duration(i) * time.Second), Cause: v.Cause}
		if i == 0 {
			s.Received = begin.Add(-9 * time.Minute) // as on any day
		}
		v.Reporters[s.At.Terminal] = true
		l.Recent = append(l.Recent, s)
	}
	first, last := l.lasted(v)
	if first.Before(begin) || first.After(begin.Add(5*time.Second)) || !last.Equal(begin.Add(19*time.Second)) {
		t.Errorf("from %v to %v, want from %v", first, last, begin)
	}
	v.Expected = 0
	if first, _ := l.lasted(v); !first.Equal(begin.Add(-9 * time.Minute)) {
		t.Errorf("nothing was expected: from %v", first)
	}
}

// Whose clock cannot be believed says nothing of when: it makes no incident, neither then nor now.
func TestABacklogWithoutATimeMakesNoIncident(t *testing.T) {
	back := t0.Add(70 * time.Minute)
	for _, c := range []struct {
		name     string
		happened time.Time
		trusted  bool
	}{
		{"a clock that is not believed", t0.Add(10 * time.Minute), false},
		{"a clock that is ahead", back.Add(time.Hour), true},
		{"longer ago than incidents are remembered", t0.Add(-SlowWindow), true},
		{"no time at all", time.Time{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := lateFleetOf(t)
			f.fails(20, c.happened, back, c.trusted)
			for _, d := range []time.Duration{time.Second, settle + time.Second, time.Hour, 2 * time.Hour} {
				if list := f.look(back.Add(d)); len(list) != 0 {
					t.Fatalf("%v later: %+v", d, list)
				}
			}
		})
	}
}

// A carrier's silence is told its cause by the backlog of those who were silent, whatever had ended it.
func TestABacklogNamesASilence(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"wan.outage": 1, "host.malfunction": 1, SegmentSilence: 2})
	in := has("carrier=中国联通")
	f.follow(0, sees(100, "", SegmentSilence, SegmentSilence, in))
	f.follow(30 * time.Minute) // all are back
	if len(f.list) != 1 || f.list[0].Closed.IsZero() || f.list[0].Cause != report.Unexplained {
		t.Fatalf("%+v", f.list)
	}
	past := *f
	past.Now, past.Recent = t0.Add(10*time.Minute), nil
	past.sees(40, "E5", "wan.outage", "wan", in)
	past.sees(40, "96", "host.malfunction", "acquirer", has("acquirer=bank-2"))
	got := Past(past.Look, Detect(past.Look), f.list)
	slices.SortFunc(got, func(a, b store.Incident) int { return int(b.No - a.No) })
	if len(got) != 2 || got[0].No != 1 || got[0].Cause != "wan.outage" || got[0].Closed.IsZero() ||
		got[1].No != 0 || got[1].Cause != "host.malfunction" || got[1].Quiet.IsZero() {
		t.Errorf("%+v", got)
	}
}
