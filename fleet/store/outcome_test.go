package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"posdx/agent/report"
)

// TestNewestOutcomeStands: what became of a diagnosis is kept once, the newest word of it, whatever order it comes in;
// one terminal says nothing of another's.
func TestNewestOutcomeStands(t *testing.T) {
	s, err := Open(context.Background(), "sqlite:"+t.TempDir()+"/fleet.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at, other := report.Address{Estate: "shop", Terminal: "t1"}, report.Address{Estate: "shop", Terminal: "t2"}
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	told := func(what string, when time.Time) Document {
		return Document{At: at, Kind: report.KindOutcome, Received: noon.Add(time.Hour),
			Outcome: &report.Outcome{Diagnosis: "01-0000000001", Cause: "lan.cable", Outcome: what, Time: when}}
	}
	if _, err := s.Outcome(t.Context(), nil, at, "01-0000000001"); !errors.Is(err, ErrNone) {
		t.Errorf("before any: %v", err)
	}
	if _, err := s.Commit(t.Context(), []Document{told(report.OutcomeBorneOut, noon.Add(time.Minute)),
		told(report.OutcomeMended, noon)}); err != nil {
		t.Fatal(err)
	}
	o, err := s.Outcome(t.Context(), nil, at, "01-0000000001")
	if err != nil || o.Outcome != report.OutcomeBorneOut || o.Cause != "lan.cable" || !o.Time.Equal(noon.Add(time.Minute)) {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := s.Outcome(t.Context(), nil, other, "01-0000000001"); !errors.Is(err, ErrNone) {
		t.Errorf("another terminal: %v", err)
	}
	if _, err := s.Sweep(t.Context(), Limits{Rows: 10, Age: time.Hour}, noon.Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Outcome(t.Context(), nil, at, "01-0000000001"); !errors.Is(err, ErrNone) {
		t.Errorf("after its age: %v", err)
	}
}

// Estates are separated in every query.
func TestReadersOfOneEstateSeeNothingOfAnother(t *testing.T) {
	for e, has := range map[string]bool{"a": true, "b": false} {
		if got := (Estates{"a"}).Has(e); got != has {
			t.Errorf("%s: %v", e, got)
		}
	}
	if cond, args := (Estates{}).only("estate"); cond != "1 = 0" || args != nil {
		t.Error("no estate at all became all of them:", cond)
	}
	if cond, _ := Estates(nil).only("estate"); cond != "" || !Estates(nil).Has("x") {
		t.Error("all estates became fewer:", cond)
	}
}
