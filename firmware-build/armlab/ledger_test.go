package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
)

// said is what posdx report --json prints of a diagnosis that goes through both its forms.
func said(id string) string {
	form := func(revision int, final bool) string {
		d, _ := json.Marshal(report.Diagnosis{ID: id, Revision: revision, Final: final, Event: report.Event{ID: id}})
		return fmt.Sprintf(`{"v":1,"result":"first","id":%q,"diagnosis":%s}`+"\n", id, d)
	}
	return "posdx report: the clock is not believed\n" + form(1, false) + form(2, true)
}

// sent is a document as it arrives at a broker.
func sent(kind, id string, final bool) []byte {
	d, _ := json.Marshal(report.Diagnosis{ID: id, Final: final, Event: report.Event{ID: id}})
	e, _ := json.Marshal(report.Envelope{ID: "envelope of " + id, Type: report.Type(kind), Data: d})
	return e
}

func TestEveryLostDiagnosisIsNamed(t *testing.T) {
	ids := []string{"kept", "packed", "lost", "not-final", "asked", "damaged"}
	var b ledger
	var p report.Packer
	for _, id := range ids {
		for range 2 { // a code that came again belongs to the same diagnosis
			if err := b.promise(said(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, lost := b.balance(); n != len(ids) || !slices.Equal(lost, ids) {
		t.Errorf("before anything arrived: %d promised, %v lost", n, lost)
	}
	b.arrive(sent(report.KindDiagnosis, "kept", true))
	b.arrive(p.Pack(sent(report.KindDiagnosis, "packed", true)))
	b.arrive(sent(report.KindDiagnosis, "not-final", false))
	b.arrive(sent(report.KindAsked, "asked", true))
	b.arrive(p.Pack(sent(report.KindDiagnosis, "damaged", true))[:20])
	b.arrive(sent(report.KindDiagnosis, "nobody's", true))
	b.arrive(nil)
	if n, lost := b.balance(); n != len(ids) || !slices.Equal(lost, []string{"lost", "not-final", "asked", "damaged"}) {
		t.Errorf("%d promised, %v lost", n, lost)
	}
}

func TestOnlyWhatIsOnFlashIsAPromise(t *testing.T) {
	var slow ledger
	if err := slow.promise(`{"v":1,"result":"accepted","id":"0001","why":"not explained yet"}`); err != nil {
		t.Error(err)
	}
	if n, _ := slow.balance(); n != 0 {
		t.Error("what is not explained yet counts as kept")
	}
	for name, text := range map[string]string{
		"refused":     `{"v":1,"result":"busy","why":"try again a second later"}`,
		"in memory":   strings.ReplaceAll(said("0001"), `"id":"0001","diag`, `"id":"0001","memory_only":true,"diag`),
		"nothing":     "",
		"for people":  "hand-off K7QF-3MXP-9TWA",
		"in its head": `{"diagnosis":{}}`,
	} {
		var b ledger
		if err := b.promise(text); err == nil {
			t.Errorf("%s: counts as kept", name)
		}
		if n, _ := b.balance(); n != 0 {
			t.Errorf("%s: %d promised", name, n)
		}
	}
}
