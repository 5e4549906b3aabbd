package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/incident"
	"posdx/fleet/simulate"
	"posdx/fleet/store"
)

// foundIn counts the incidents of a morning that one look finds among so many terminals.
func foundIn(n int, seed uint64) int {
	w := simulate.New(n, seed, time.Now())
	l := incident.Look{Now: w.Now, Estate: simulate.Estate, Places: map[string]incident.Place{},
		Season: new(incident.Season)}
	for _, t := range w.Terminals {
		l.Places[t.Name] = incident.PlaceOf(report.Birth{Labels: t.Labels}, "unionpay", nil)
	}
	see := func(i int, code, cause, segment string) {
		l.Recent = append(l.Recent, store.Sighting{Received: w.Now, Scheme: "unionpay", Code: code, Cause: cause,
			Segment: segment, At: report.Address{Estate: simulate.Estate, Terminal: w.Terminals[i].Name}})
	}
	r := rand.New(rand.NewPCG(seed, 2))
	for range n / 25 {
		see(r.IntN(n), "51", "account.funds", "issuer")
	}
	for _, k := range morningTruths(w) {
		w.Add(k)
		for i, t := range w.Terminals {
			switch in := incident.Place(k.Place).Holds(t.Labels); {
			case in && k.Kind == incident.KindSilence:
				see(i, "", incident.SegmentSilence, incident.SegmentSilence)
			case in && r.IntN(100) < 40:
				see(i, k.Code, k.Cause, k.Segment)
			}
		}
	}
	var list []store.Incident
	for _, f := range incident.Detect(l) {
		list = append(list, store.Incident{Detail: store.Detail{Place: f.Place}})
	}
	return found(w, list)
}

// The least morning that is taken shows its four incidents, whatever the seed; a smaller one is refused.
func TestTheLeastMorningShowsItsIncidents(t *testing.T) {
	for seed := range uint64(20) {
		if got := foundIn(minLive, seed+1); got != 4 {
			t.Errorf("seed %d: %d of 4 found", seed+1, got)
		}
	}
}

func TestFleetDay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "truth.json")
	var out, talk strings.Builder
	if code := fleetDay(t.Context(), strings.Fields("--lang en --terminals 120 --day workday --warm 0 --truth "+file), &out, &talk); code > 1 {
		t.Fatalf("%d %s", code, talk.String())
	}
	b, err := os.ReadFile(file)
	var truths []simulate.Truth
	if err != nil || json.Unmarshal(b, &truths) != nil || len(truths) != 7 || len(truths[0].Place) == 0 ||
		!strings.Contains(out.String(), "7 made") {
		t.Errorf("%v %s %s", err, b, out.String())
	}
}
