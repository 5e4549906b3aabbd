package store_test

import (
	"testing"

	"posdx/agent/report"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// A store takes as many terminals as it is said to have room for; those it knows report on.
func TestRoomForTerminals(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		s.Admit(2)
		list := []*sample.Terminal{sample.New("shop", "t1"), sample.New("shop", "t2"), sample.New("shop", "t3")}
		for round := range 2 {
			for i, a := range list {
				r := commit(t, s, doc(a.Wrap(report.KindDiagnosis, a.Diagnosis(round, 2, "96", "host.malfunction", "acquirer"))))
				if i < 2 && r.Stored != 1 || i == 2 && r.Reasons["too many terminals"] != 1 {
					t.Errorf("round %d, terminal %d: %+v", round, i+1, r)
				}
			}
		}
	})
}
