package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"posdx/agent/report"
)

// A ledger holds the diagnoses that the terminal promised to keep against those that arrived in their final form.
type ledger struct {
	mu       sync.Mutex
	promised []string
	arrived  map[string]bool
}

// promise books what posdx report --json --wait first or final said. A diagnosis that the terminal shows is on its
// flash. One that is not there yet, as on an emulator that others starve, is no promise; an answer that says neither,
// or that what was taken is in memory alone, is an error.
func (b *ledger) promise(said string) error {
	id, taken := "", false
	for line := range strings.Lines(said) {
		var a struct {
			Result     string            `json:"result"`
			MemoryOnly bool              `json:"memory_only"`
			Diagnosis  *report.Diagnosis `json:"diagnosis"`
		}
		if json.Unmarshal([]byte(line), &a) != nil {
			continue // said to people
		}
		if a.MemoryOnly {
			return fmt.Errorf("the terminal cannot keep what it takes: %s", said)
		}
		taken = taken || a.Result == "accepted"
		if a.Diagnosis != nil {
			id = a.Diagnosis.ID
		}
	}
	switch {
	case id == "" && taken:
		return nil
	case id == "":
		return fmt.Errorf("no diagnosis: %s", said)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.promised, id) {
		b.promised = append(b.promised, id)
	}
	return nil
}

// arrive books a message of the broker's. Only the final form of a diagnosis keeps a promise.
func (b *ledger) arrive(payload []byte) {
	doc, err := report.Unpack(payload, report.MaxMessage)
	if err != nil {
		return
	}
	var e report.Envelope
	var d report.Diagnosis
	if json.Unmarshal(doc, &e) != nil || e.Kind() != report.KindDiagnosis {
		return
	}
	if json.Unmarshal(e.Data, &d) != nil || !d.Final {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arrived == nil {
		b.arrived = map[string]bool{}
	}
	b.arrived[d.ID] = true
}

// balance says how many diagnoses were promised, and which of them did not arrive.
func (b *ledger) balance() (promised int, lost []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range b.promised {
		if !b.arrived[id] {
			lost = append(lost, id)
		}
	}
	return len(b.promised), lost
}
