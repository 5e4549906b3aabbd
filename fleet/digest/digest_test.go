package digest

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/incident"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestSunsets(t *testing.T) {
	list, err := ReadSunsets(strings.NewReader("\ufeffcarrier,Tech,date,note\n中国联通,2G,2027-03-31,\n,3g,2028-01-01,all\n"))
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if s, ok := sunset(list, "中国联通", "2g"); !ok || s.Date.Year() != 2027 {
		t.Error(s, ok)
	}
	if _, ok := sunset(list, "中国移动", "2g"); ok {
		t.Error("another carrier's sunset")
	}
	if s, ok := sunset(list, "中国移动", "3g"); !ok || s.Date.Year() != 2028 {
		t.Error("not what is said of all:", s, ok)
	}
	for _, bad := range []string{"", "carrier,tech\n", "carrier,tech,date\nx,6g,2027-01-01\n", "carrier,tech,date\nx,2g,soon\n"} {
		if _, err := ReadSunsets(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// What ends is counted from when the fleet heard of it, and nothing is believed of a terminal whose clock is wrong.
func TestWhatEnds(t *testing.T) {
	h := report.Health{ClockTrusted: true, Evidence: []report.Evidence{
		{Check: "net.tls", Subject: "host-primary@wwan0", Status: report.OK, Facts: report.Facts{"outcome": "ok", "days_left": 20.0}, AgeMS: 3_600_000},
		{Check: "app.config", Subject: "app", Status: report.OK, Facts: report.Facts{"client_cert_days_left": -3.0}},
		{Check: "board.flash", Subject: "mmcblk0", Status: report.OK, Facts: report.Facts{"life_used_pct": 90.0}},
		{Check: "modem.registration", Subject: "modem0", Status: report.OK, Facts: report.Facts{"tech": "2g"}},
		{Check: "net.tls", Subject: "broker", Status: report.OK, Facts: report.Facts{"days_left": "many"}},
		{Check: "net.tls", Subject: "far", Status: report.OK, Facts: report.Facts{"days_left": 1e9}},
		// What cannot be is not known, whatever it ends: a part is not worn by less than nothing, nor a hundred times.
		{Check: "board.flash", Subject: "less", Status: report.OK, Facts: report.Facts{"life_used_pct": -1.0}},
		{Check: "board.flash", Subject: "more", Status: report.OK, Facts: report.Facts{"life_used_pct": 10_000.0}},
		{Check: "board.new", Subject: "newer", Status: report.OK, Facts: report.Facts{"days_left": 1e300}},
		{Check: "modem.registration", Subject: "modem1", Status: report.OK, Facts: report.Facts{"tech": "9g"}},
	}}
	list := Dues(codes.Builtin(), h, t0, map[string]string{"carrier": "c"}, []Sunset{{"c", "2g", t0.Add(24 * time.Hour)}})
	if len(list) != 4 || list[0].Kind != "net.tls.days_left" || list[0].Subject != "host-primary" || !list[0].At.Equal(t0.Add(20*day-time.Hour)) ||
		!list[1].At.Before(t0) || !list[2].Pace || list[3].Kind != KindNetwork {
		t.Errorf("%+v", list)
	}
	for _, age := range []int64{-1 << 62, 1 << 62} { // an age that cannot be moves nothing out of time
		old := report.Health{ClockTrusted: true, Evidence: []report.Evidence{{Check: "net.tls", AgeMS: age,
			Facts: report.Facts{"days_left": 20.0}}}}
		if got := Dues(codes.Builtin(), old, t0, nil, nil); len(got) != 1 || got[0].At.Before(t0.Add(-maxAge)) ||
			got[0].At.After(t0.Add(20*day)) {
			t.Errorf("age %d: %+v", age, got)
		}
	}
	h.ClockTrusted = false
	for _, d := range Dues(codes.Builtin(), h, t0, nil, nil) {
		if strings.HasSuffix(d.Kind, "days_left") {
			t.Errorf("believed of a terminal whose clock is wrong: %+v", d)
		}
	}
}

// A network whose end is publicly known ends without a list of the fleet's own, which goes before it.
func TestNetworksEndByThePublicTable(t *testing.T) {
	h := report.Health{ClockTrusted: true, Evidence: []report.Evidence{{Check: "modem.registration", Subject: "modem0",
		Status: report.OK, Facts: report.Facts{"tech": "3g", "best_tech": "3g", "operator": "310410"}}}}
	own := []Sunset{{"c", "3g", t0}}
	for _, c := range []struct {
		best string
		list []Sunset
		want []time.Time
	}{
		{"3g", nil, []time.Time{time.Date(2022, 2, 22, 0, 0, 0, 0, time.UTC)}},
		{"4g", nil, nil},
		{"3g", own, []time.Time{t0}},
	} {
		h.Evidence[0].Facts["best_tech"] = c.best
		var got []time.Time
		for _, d := range Dues(codes.Builtin(), h, t0, map[string]string{"carrier": "c"}, c.list) {
			if d.Kind == KindNetwork {
				got = append(got, d.At)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("a %s modem, %d rows of the fleet's own: %v, want %v", c.best, len(c.list), got, c.want)
		}
	}
}

// Places, what changed of them, and what ends are kept as births and healths come; a part that wears gets its end once
// two values tell the pace, and a new part begins anew.
func TestDigest(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a := sample.New("shop", "t1")
	put := func(at time.Time, topic string, payload []byte) {
		t.Helper()
		doc := ingest.Decode(topic, payload, at)
		if doc.Reason != "" {
			t.Fatal(doc.Reason)
		}
		if _, err := db.Commit(t.Context(), []store.Document{doc}); err != nil {
			t.Fatal(err)
		}
	}
	tell := func(at time.Time, application string, used float64) {
		b := a.Birth(1)
		b.Labels = map[string]string{"application": application, "site": "一号店"}
		b.Time = at
		topic, p := a.Uncounted(report.KindBirth, b)
		put(at, topic, p)
		h := a.Health()
		h.Evidence = []report.Evidence{{Check: "board.flash", Subject: "mmcblk0", Status: report.OK, Facts: report.Facts{"life_used_pct": used}, At: at}}
		topic, p = a.Uncounted(report.KindHealth, h)
		put(at, topic, p)
	}
	d := &Digest{Source: db, Knowledge: codes.Builtin(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	flash := func() store.Due {
		t.Helper()
		list, err := db.Dues(t.Context(), store.DueFilter{Kind: KindFlash})
		if err != nil || len(list) != 1 || list[0].Site != "一号店" {
			t.Fatal(list, err)
		}
		return list[0]
	}
	for i, c := range []struct {
		application string
		used        float64
		days        float64 // until the end; 0: nobody can say
	}{{"4.1", 80, 0}, {"4.2", 82, 9 * 10}, {"4.2", 90, 2 * 10}, {"4.2", 3, 0}} {
		at := t0.Add(time.Duration(i) * 10 * day)
		tell(at, c.application, c.used)
		for range 2 { // a second look changes nothing
			if err := d.Look(t.Context(), at.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		got := flash()
		if c.days == 0 && !got.At.IsZero() || c.days > 0 &&
			got.At.Sub(at).Round(day/2) != time.Duration(c.days*float64(day)).Round(day/2) {
			t.Errorf("%+v: ends %v", c, got.At.Sub(at))
		}
	}
	changes, err := db.Changes(t.Context(), nil, a.At, 10)
	if err != nil || len(changes) != 1 || changes[0].Dim != "application" || changes[0].Was != "4.1" || changes[0].Now != "4.2" {
		t.Errorf("changes: %+v %v", changes, err)
	}
	place, err := db.PlaceOf(t.Context(), nil, a.At)
	if err != nil || place["application"] != "4.2" || place["agent"] != "1.2.3" {
		t.Error(place, err)
	}
	if list, err := db.Values(t.Context(), nil, "site", "一", time.Time{}, 10); err != nil || len(list) != 1 ||
		list[0].Terminals != 1 {
		t.Error(list, err)
	}
	if place, _ := db.PlaceOf(t.Context(), store.Estates{"other"}, a.At); len(place) != 0 {
		t.Error("a reader of another estate sees", place)
	}
}

// What only the inventory says anew is a change as of now and of the inventory, not of the terminal at its birth: no
// incident that began between comes after it.
func TestAnInventoryChangesNothingInThePast(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a := sample.New("shop", "t1")
	born := func(at time.Time, n uint64, labels map[string]string) {
		t.Helper()
		b := a.Birth(n)
		b.Labels, b.Time = labels, at
		topic, p := a.Uncounted(report.KindBirth, b)
		doc := ingest.Decode(topic, p, at)
		if _, err := db.Commit(t.Context(), []store.Document{doc}); err != nil || doc.Reason != "" {
			t.Fatal(err, doc.Reason)
		}
	}
	file := filepath.Join(t.TempDir(), "inventory.csv")
	list := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("estate,terminal,site\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	fresh := func() *Digest {
		return &Digest{Source: db, Knowledge: codes.Builtin(), Log: log, Inventory: &incident.InventoryFile{Path: file}}
	}
	list("shop,t1,one\n")
	d := fresh()
	look := func(now time.Time) store.Change {
		t.Helper()
		if err := d.Look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		changes, err := db.Changes(t.Context(), nil, a.At, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			return store.Change{}
		}
		return changes[0]
	}
	born(t0, 1, map[string]string{"application": "4.1", "site": "own"})
	if c := look(t0.Add(time.Minute)); c.Dim != "" {
		t.Fatalf("the first place is a change: %+v", c)
	}
	for i, c := range []struct {
		inventory string
		restart   bool
		now       string
	}{{"shop,t1,two-longer\n", false, "two-longer"}, {"", false, "own"}, {"shop,t1,three\n", true, "three"}} {
		now := t0.Add(time.Duration(2+i) * time.Hour)
		list(c.inventory)
		if c.restart {
			d = fresh()
		}
		got := look(now)
		if !got.Listed || !got.At.Equal(now) || got.Dim != "site" || got.Now != c.now {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	count := func() []store.ChangeCount {
		t.Helper()
		in, err := db.ChangesIn(t.Context(), "shop", nil, t0, t0.Add(24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	if in := count(); len(in) != 0 {
		t.Errorf("what the inventory says is told as what changed there: %+v", in)
	}
	at := t0.Add(8 * time.Hour)
	born(at, 2, map[string]string{"application": "4.2", "site": "own"})
	if c := look(at.Add(time.Minute)); c.Listed || c.Dim != "application" || !c.At.Equal(at) || len(count()) != 1 {
		t.Errorf("what the terminal itself came to share: %+v %+v", c, count())
	}
}
