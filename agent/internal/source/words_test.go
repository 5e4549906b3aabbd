package source_test

import (
	"slices"
	"testing"

	"posdx/agent/report"
	"posdx/agent/report/schema/schematest"
	"posdx/drivers/ecr"
)

// What a decoder calls a card's scheme is a word of the contract, and the schema knows the same words.
func TestCardSchemesAreTheContracts(t *testing.T) {
	for _, s := range ecr.CardSchemes() {
		if !slices.Contains(report.CardSchemes, s) {
			t.Errorf("a decoder says %q, which is no word of the contract", s)
		}
	}
	event := func(scheme string) report.Event {
		return report.Event{ID: "1", BootID: "b", Code: "96", Origin: report.OriginHost, Channel: report.ChannelHook,
			Txn: &report.Txn{CardScheme: scheme}}
	}
	for _, s := range report.CardSchemes {
		if err := schematest.Check("event", event(s)); err != nil {
			t.Error(err)
		}
	}
	if schematest.Check("event", event("476173")) == nil {
		t.Error("the schema takes digits")
	}
}
