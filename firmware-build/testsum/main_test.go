package main

import (
	"strings"
	"testing"
)

// TestSummaryTellsWhatFailedAndWhatWasSkipped reads streams as `go test -json` makes them.
func TestSummaryTellsWhatFailedAndWhatWasSkipped(t *testing.T) {
	const skipped = `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: needs root\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	const failed = `{"Action":"output","Package":"q","Test":"TestC","Output":"    c_test.go:9: wrong\n"}
{"Action":"fail","Package":"q","Test":"TestC"}
{"Action":"output","Package":"q","Output":"FAIL\tq\t0.1s\n"}
{"Action":"fail","Package":"q"}
`
	const late = `{"Action":"run","Package":"r","Test":"TestD"}
{"Action":"output","Package":"r","Test":"TestD","Output":"panic: test timed out after 15m0s\n"}
{"Action":"output","Package":"r","Output":"FAIL\tr\t900.0s\n"}
{"Action":"fail","Package":"r"}
`
	for name, c := range map[string]struct {
		in   string
		good bool
		says []string
	}{
		"skipped":   {skipped, true, []string{"ok  \tp\t0.1s", "1 tests skipped\n  needs root: TestA\n"}},
		"failed":    {skipped + failed, false, []string{"c_test.go:9: wrong", "FAIL\tq", "needs root: TestA"}},
		"late":      {skipped + late, false, []string{"TestD did not end\npanic: test timed out", "FAIL\tr"}},
		"no build":  {"# p\np.go:1: syntax error\nFAIL\tp [build failed]\n", false, []string{"syntax error"}},
		"nothing":   {"", false, []string{"0 tests skipped"}},
		"not whole": {skipped[:len(skipped)-30], true, []string{"1 tests skipped"}},
	} {
		var out strings.Builder
		if good := summarise(strings.NewReader(c.in), &out); good != c.good {
			t.Errorf("%s: good %v\n%s", name, good, out.String())
		}
		for _, s := range c.says {
			if !strings.Contains(out.String(), s) {
				t.Errorf("%s: %q is not in\n%s", name, s, out.String())
			}
		}
	}
	var out strings.Builder
	if summarise(strings.NewReader(skipped), &out, "tarm: no package", "arm-test: no emulator"); !strings.HasSuffix(out.String(), "needs root: TestA\n2 other parts left out\n  tarm: no package\n  arm-test: no emulator\n") {
		t.Errorf("what else was left out:\n%s", out.String())
	}
}
