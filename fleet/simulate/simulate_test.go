package simulate

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/incident"
	"posdx/fleet/store"
)

var begin = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC) // a Monday

// TestDays measures simulated days: POSDX_SIMULATE=10000 for so many terminals over six days without incidents and a
// day with them. Without it a small fleet holds a floor. On the fifth day small places begin to count.
func TestDays(t *testing.T) {
	n, warm, every := 400, 6, 5*time.Minute
	if s := os.Getenv("POSDX_SIMULATE"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	w := New(n, 1, begin)
	shelf := NewShelf(w)
	watch := shelf.Watcher()
	for day := range warm {
		if err := shelf.Live(t.Context(), watch, 24*time.Hour, every); err != nil {
			t.Fatal(err)
		}
		s := w.Judge(shelf.incidents, begin.Add(time.Duration(24*day)*time.Hour), every)
		t.Logf("warm-up day %d: %d false", day+1, s.False)
		for _, l := range s.Lines {
			t.Log(l.EN)
		}
		if s.False > 1 {
			t.Errorf("day %d without incidents: %d found", day+1, s.False)
		}
	}
	since := w.Now
	w.Incidents(7, w.Now)
	began := time.Now()
	if err := shelf.Live(t.Context(), watch, 24*time.Hour, every); err != nil {
		t.Fatal(err)
	}
	s := w.Judge(shelf.incidents, since, every)
	var b strings.Builder
	s.Print(&b, "en")
	t.Logf("%d terminals, in %s:\n%s", n, time.Since(began).Round(time.Millisecond), b.String())
	if s.Found < s.Truths-1 || s.False > 1 {
		t.Errorf("worse than it was: %+v", s)
	}
}

// A total outage tells of itself only when it is over; what was called unexplained until then is named, and there is
// one incident, at the time of the outage.
func TestATotalOutageIsNamedByItsBacklog(t *testing.T) {
	w := New(800, 3, begin)
	shelf := NewShelf(w)
	watch := shelf.Watcher()
	live := func(d time.Duration) {
		t.Helper()
		if err := shelf.Live(t.Context(), watch, d, 5*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	live(12 * time.Hour)
	k := w.Add(Truth{Kind: "silence", Code: "ConnectError", Cause: "wan.outage", Segment: "wan", Told: true,
		Place: map[string]string{"carrier": "中国联通"}, From: w.Now, To: w.Now.Add(40 * time.Minute)})
	live(35 * time.Minute)
	if list := shelf.All(); len(list) != 1 || list[0].Cause != report.Unexplained {
		t.Fatalf("while it lasts: %+v", list)
	}
	live(time.Hour)
	if len(shelf.late) < 20 {
		t.Fatalf("%d reports waited", len(shelf.late))
	}
	list := slices.DeleteFunc(shelf.All(), func(i store.Incident) bool { return i.Cause != k.Cause && i.Kind != k.Kind })
	if len(list) != 1 || list[0].Cause != k.Cause || list[0].Closed.IsZero() || list[0].Opened.Before(k.From) ||
		list[0].Opened.After(k.From.Add(10*time.Minute)) || !maps.Equal(list[0].Place, k.Place) || len(list[0].Also) > 0 {
		t.Errorf("%+v", list)
	}
}

// A site whose terminals are online and sell nothing at noon is found from the third week on, and a shop that closes
// is none. It is over when they sell.
func TestASiteThatSellsNothingIsFound(t *testing.T) {
	w := New(60, 2, begin)
	shelf := NewShelf(w)
	watch := shelf.Watcher()
	live := func(d time.Duration) {
		t.Helper()
		if err := shelf.Live(t.Context(), watch, d, 30*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	idle := func() (list []store.Incident) {
		for _, i := range shelf.All() {
			if i.Kind == incident.KindIdle {
				list = append(list, i)
			}
		}
		return list
	}
	live(15*24*time.Hour + 12*time.Hour)
	if list := idle(); len(list) != 0 {
		t.Fatalf("on ordinary days: %+v", list)
	}
	place := map[string]string{}
	for i := range w.Terminals {
		place["site"] = w.Terminals[i].Labels["site"]
		if n := w.Add(Truth{Kind: "idle", Place: place}).members; len(n) >= 6 {
			break
		}
	}
	k := w.Add(Truth{Kind: "idle", Cause: report.Unexplained, Place: maps.Clone(place), From: w.Now,
		To: w.Now.Add(6 * time.Hour)})
	live(5 * time.Hour)
	list := idle()
	if len(list) != 1 || !maps.Equal(list[0].Place, k.Place) || !list[0].Closed.IsZero() {
		t.Fatalf("%d terminals of %v sell nothing; found %+v", len(k.members), place, list)
	}
	live(4 * time.Hour)
	if list = idle(); len(list) != 1 || list[0].Proof != "sales" {
		t.Errorf("they sell again: %+v", list)
	}
}
