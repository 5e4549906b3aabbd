package source_test

import (
	"slices"
	"testing"

	"posdx/agent/internal/source"
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

// TestAMaskedCardIsNoCode: a card number is none of a code, whole or masked, whatever parts its groups or masks it.
func TestAMaskedCardIsNoCode(t *testing.T) {
	for _, card := range []string{"476173\u2022\u2022\u2022\u2022\u2022\u20220010", "4761 73.. .... 0010", "476173######0010", "4761_7390_0101_0010", "476173******0010",
		"4761\u00a07390\u00a00101\u00a00010", "4761/7390/0101/0010"} {
		if source.CodeProblem(card) == "" || !source.CardLike(card) {
			t.Errorf("%q is taken for a code", card)
		}
	}
	for _, code := range []string{"96", "zvt:0x6C", "E-1234", "9107", "ERR_CONN.0001", "5001.0002", "0x8004.1234", "1234ABCDE5678", "A/B", "2026.11.28", "10.20.30.40"} {
		if p := source.CodeProblem(code); p != "" {
			t.Errorf("%q: %s", code, p)
		}
	}
}
