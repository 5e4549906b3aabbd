package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/simulate"
	"posdx/fleet/store"
)

// genuine are diagnoses as the engine makes them, by first cause: those of its own test cases.
func genuine(t testing.TB) map[string]report.Diagnosis {
	t.Helper()
	files, err := filepath.Glob("../agent/diagnose/testdata/cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	out := map[string]report.Diagnosis{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Event    report.Event
			Evidence []report.Evidence
		}
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatal(f, err)
		}
		d := diagnose.Explain(c.Event, c.Evidence, codes.Builtin(), diagnose.Options{Version: "1.4.0", Revision: 2,
			Final: true, TookMS: 900})
		if report.Suspect(mustJSON(t, d)) || d.Event.ID == "" {
			continue
		}
		if old, ok := out[d.Causes[0].ID]; !ok || d.Causes[0].Probability > old.Causes[0].Probability {
			out[d.Causes[0].ID] = d
		}
	}
	return out
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill makes the store of a fleet in a folder, as fillStore does.
func fill(t testing.TB, dir string, n int, hours int) {
	t.Helper()
	fillStore(t, "sqlite:"+filepath.Join(dir, "fleet.db"), n, hours)
}

// fillStore makes the store of a fleet of n terminals that has lived some hours until now, with a storm and an outage
// going on, and two weeks of counts before.
func fillStore(t testing.TB, address string, n int, hours int) {
	t.Helper()
	db, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var batch []store.Document
	flush := func() {
		if _, err := db.Commit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		batch = batch[:0]
	}
	put := func(at time.Time, topic string, payload []byte) {
		d := ingest.Decode(topic, payload, at)
		if d.Reason != "" {
			t.Fatalf("%s: %s", topic, d.Reason)
		}
		if batch = append(batch, d); len(batch) == 1000 {
			flush()
		}
	}

	end := time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC) // of the world: lunch on a Friday
	now := time.Now()
	real := func(at time.Time) time.Time { return now.Add(at.Sub(end)) }
	begin := end.Add(-time.Duration(hours) * time.Hour)
	w := simulate.New(n, 7, begin)
	bank, carrier, region := w.Terminals[0].Labels["acquirer"], w.Terminals[n/2].Labels["carrier"], w.Terminals[n/2].Labels["region"]
	w.Add(simulate.Truth{Kind: "surge", Code: "96", Cause: "host.malfunction", Segment: "acquirer",
		Place: map[string]string{"acquirer": bank}, Share: 0.5, From: end.Add(-35 * time.Minute), To: end.Add(time.Hour)})
	w.Add(simulate.Truth{Kind: "surge", Code: "ConnectError", Cause: "wan.outage", Segment: "wan",
		Place: map[string]string{"carrier": carrier, "region": region}, Share: 0.6, From: end.Add(-20 * time.Minute), To: end.Add(time.Hour)})
	r := rand.New(rand.NewPCG(3, 3))
	like := genuine(t)
	list := make([]*sample.Terminal, n)
	failed := make([]map[string]int, n)
	for i := range list {
		a := sample.New(simulate.Estate, w.Terminals[i].Name)
		list[i] = a
		b := a.Birth(1)
		b.Labels = w.Terminals[i].Labels
		b.Agent.Version = []string{"1.4.0", "1.4.0", "1.4.0", "1.3.2", "1.2.9"}[r.IntN(5)]
		at := real(begin).Add(-time.Duration(r.IntN(3600)) * time.Second)
		put(at, a.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`))
		topic, p := a.Uncounted(report.KindBirth, b)
		put(at, topic, p)
		h := a.Health()
		h.Evidence = h.Evidence[:2]
		if r.IntN(40) == 0 {
			h.Evidence = append(h.Evidence, a.Health().Evidence[2])
		}
		add := func(check, subject string, f report.Facts) {
			h.Evidence = append(h.Evidence, report.Evidence{Check: check, Subject: subject, Status: report.OK, Facts: f, At: at,
				AgeMS: 1000, Depth: report.Internal})
		}
		add("net.tls", "host-primary", report.Facts{"outcome": "ok", "ms": 80.0, "days_left": float64([]int{24, 57, 83, 240, 300}[r.IntN(5)])})
		add("net.tcp", "host-primary", report.Facts{"outcome": "ok", "ms": 41.0})
		add("net.gateway", "192.168.1.1", report.Facts{"rtt_ms": 2.0, "loss_pct": 0.0})
		add("net.dns", "host", report.Facts{"outcome": "ok", "ms": 12.0})
		add("reader.selftest", "reader0", report.Facts{"outcome": "ok"})
		add("board.power", "main", report.Facts{"source": "mains", "millivolts": 5020.0})
		add("modem.registration", "modem0", report.Facts{"state": "home", "tech": []string{"4g", "4g", "4g", "3g", "2g"}[r.IntN(5)]})
		if r.IntN(3) == 0 {
			add("app.config", "app", report.Facts{"client_cert_days_left": float64(r.IntN(400) - 3)})
		}
		if r.IntN(10) == 0 {
			add("board.flash", "mmcblk0", report.Facts{"life_used_pct": float64(60 + r.IntN(38))})
		}
		topic, p = a.Uncounted(report.KindHealth, h)
		put(at.Add(time.Second), topic, p)
	}
	serial := make([]int, n)
	for w.Now.Before(end) {
		w.Step(func(e simulate.Event) {
			a, at := list[e.Terminal], real(e.At)
			switch {
			case e.Cause != "":
				d, ok := like[e.Cause]
				serial[e.Terminal]++
				if failed[e.Terminal] == nil {
					failed[e.Terminal] = map[string]int{}
				}
				failed[e.Terminal][e.Code]++
				if !ok {
					d = a.Diagnosis(serial[e.Terminal], 2, e.Code, e.Cause, e.Segment)
				}
				d.ID = a.EventID(serial[e.Terminal])
				d.Event.ID, d.Event.Time, d.Event.BootID, d.Repeats = d.ID, at, "boot-1", max(0, r.IntN(5)-2)
				d.Event.Code, d.Code.Code, d.Code.Scheme = e.Code, e.Code, "unionpay"
				if _, ok := codes.Builtin().Lookup("unionpay", e.Code); !ok {
					d.Code.Scheme = codes.SchemeLocal
				}
				topic, p := a.Wrap(report.KindDiagnosis, d)
				put(at, topic, p)
				if c := d.Causes[0]; e.At.Before(end.Add(-2*time.Hour)) && r.IntN(4) == 0 {
					o := report.Outcome{Diagnosis: d.ID, Cause: c.ID, Time: at.Add(time.Hour), Outcome: report.OutcomeRefuted}
					switch x := r.Float64(); {
					case x < 0.3:
						o.Outcome = report.OutcomeUntested
					case x < 0.4:
						o.Outcome = report.OutcomeMended
					case r.Float64() < c.Probability-0.05:
						o.Outcome = report.OutcomeBorneOut
					}
					topic, p = a.Uncounted(report.KindOutcome, o)
					put(at.Add(time.Hour), topic, p)
				}
			case e.Tally && e.Approved+e.Failed > 0:
				counts := failed[e.Terminal]
				if counts == nil {
					counts = map[string]int{}
				}
				counts["00"], failed[e.Terminal] = e.Approved, nil
				topic, p := a.Wrap(report.KindTally, sample.Tally(counts))
				put(at, topic, p)
			case e.Offline:
				put(at, a.At.Topic("status"), []byte(`{"state":"offline","reason":"will","boot_id":"boot-1"}`))
			case e.Online:
				put(at, a.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`))
			}
		})
	}
	// What was before, in sums: the counts of an hour come from one terminal.
	var rows []store.SeasonRow
	for back := 14 * 24; back > 0; back-- {
		at := now.Add(-time.Duration(back) * time.Hour)
		busy := []float64{.05, .02, .02, .02, .02, .1, .3, .6, .9, 1, 1.1, 1.6, 2.2, 1.8, 1.1, 1, 1.1, 1.5, 2.1, 2, 1.4, .8,
			.3, .1}[at.UTC().Add(5*time.Hour).Hour()] * float64(n)
		if back > 7*24 {
			busy *= 0.93
		}
		// The base rate of the last hours too: it is not learned from the storm.
		rows = append(rows, store.SeasonRow{Estate: simulate.Estate, Hour: at.Unix() / 3600, Active: busy})
		for cause, each := range map[string]float64{"account.funds": .06, "issuer.declined": .03, "account.pin": .02,
			"account.limit": .01, "card.damaged": .01, "card.expired": .005, "modem.signal-weak": .003, "wan.outage": .001, "issuer.unavailable": .001, "host.malfunction": .0005, "reader.dirty": .0005, "lan.cable": .0003, "modem.denied": .0003, "terminal.config": .0003, "unexplained": .0003} {
			rows = append(rows, store.SeasonRow{Estate: simulate.Estate, Cause: cause, Hour: at.Unix() / 3600,
				Terminals: float64(int(each*busy + r.Float64())), Active: busy})
		}
		if back <= hours {
			continue
		}
		a := list[back%n]
		topic, p := a.Wrap(report.KindTally,
			sample.Tally(map[string]int{"00": int(4.9 * busy), "51": int(.06 * busy), "55": int(.02 * busy),
				"05": int(.03 * busy), "61": int(.01 * busy), "91": int(.004 * busy * float64(1+back%5)), "96": int(.002 * busy)}))
		put(at, topic, p)
	}
	flush()
	if err := db.AddSeason(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	// One whose every name is as long as it may be, and cannot be broken at a space.
	long := sample.New(strings.Repeat("W", 64), strings.Repeat("M", 64))
	name := strings.Repeat("字", 40)
	b := long.Birth(1)
	b.Labels = map[string]string{"site": name, "carrier": strings.Repeat("W", 128), "application": strings.Repeat("9", 60)}
	put(now, long.At.Topic("status"), []byte(`{"state":"offline","reason":"will","boot_id":"boot-1"}`))
	topic, p := long.Uncounted(report.KindBirth, b)
	put(now, topic, p)
	d := long.Diagnosis(1, 2, strings.Repeat("Q", 64), "no.such-"+strings.Repeat("x", 100), "unknown")
	d.Evidence[0].Subject, d.Evidence[0].Facts = strings.Repeat("s", 120),
		report.Facts{strings.Repeat("f", 60): strings.Repeat("v", 200)}
	topic, p = long.Wrap(report.KindDiagnosis, d)
	put(now, topic, p)
	flush()
	if n > 100 {
		for _, i := range []store.Incident{
			{Cause: "no.such-" + strings.Repeat("x", 100), Segment: "unknown", Code: strings.Repeat("Q", 64),
				Opened: now.Add(-30 * time.Hour), Closed: now.Add(-20 * time.Hour), Peak: 5, Of: 6,
				Detail: store.Detail{Kind: "surge", Place: map[string]string{"site": name}, Proof: "none"}},
			{Cause: "host.malfunction", Segment: "acquirer", Code: "96", Opened: now.Add(-30 * time.Minute),
				Detail: store.Detail{Kind: "surge", Place: map[string]string{"acquirer": bank}, P: 0.97}},
			{Cause: "wan.outage", Segment: "wan", Code: "ConnectError", Opened: now.Add(-15 * time.Minute),
				Detail: store.Detail{Kind: "surge", Place: map[string]string{"carrier": carrier, "region": region}, P: 0.9}},
			{Cause: "reader.dirty", Segment: "reader", Code: "E1", Opened: now.Add(-30 * time.Hour),
				Closed: now.Add(-20 * time.Hour), Peak: 5, Of: 6,
				Detail: store.Detail{Kind: "slow", Place: map[string]string{"site": w.Terminals[0].Labels["site"]}, Proof: "sales"}},
		} {
			i.Estate, i.Seen, i.Scope = simulate.Estate, now, "place"
			for d, v := range i.Place {
				if len(i.Place) == 1 {
					i.Scope, i.Key = d, v
				}
			}
			if err := db.SaveIncident(t.Context(), &i); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Log(fmt.Sprintf("filled: %d terminals, %d hours, in %v", n, hours, time.Since(now).Round(time.Millisecond)))
}

// TestFill fills a folder for posdx-fleet serve --data, to look at by hand: POSDX_FILL=DIR, POSDX_TERMINALS=5000, and
// POSDX_ROWS for more diagnoses than they had in six hours.
func TestFill(t *testing.T) {
	dir := os.Getenv("POSDX_FILL")
	if dir == "" {
		t.Skip("POSDX_FILL names no folder")
	}
	n := 5000
	if s := os.Getenv("POSDX_TERMINALS"); s != "" {
		fmt.Sscan(s, &n)
	}
	fill(t, dir, n, 6)
	if rows := 0; os.Getenv("POSDX_ROWS") != "" {
		fmt.Sscan(os.Getenv("POSDX_ROWS"), &rows)
		multiply(t, "sqlite:"+filepath.Join(dir, "fleet.db"), rows)
	}
}
