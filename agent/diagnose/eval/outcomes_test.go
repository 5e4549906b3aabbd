package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// fromFleet is what the fleet's own handler wrote (fleet/web, TestOutcomesForFitting).
const fromFleet = "testdata/outcomes.ndjson"

// TestReadsTheFleetsExport: what the fleet writes is read and told by probability and by cause.
func TestReadsTheFleetsExport(t *testing.T) {
	list, err := readLessons(fromFleet)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d lessons, %v", len(list), err)
	}
	var b bytes.Buffer
	printReliability(&b, codes.Builtin(), list)
	for _, want := range []string{"| 0.80 to 0.90 | 3 | 0.86 | 0.33 |", "| host.malfunction | 3 | 0.86 | 0.33 | 1 | 0 |", "over the 2 of which"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestLessonsCount: what became of diagnoses moves the fit by its number, against the prior of the made trials.
func TestLessonsCount(t *testing.T) {
	k := codes.Builtin()
	list, err := readLessons(fromFleet)
	if err != nil {
		t.Fatal(err)
	}
	made := prepare(k, trials(1, 1)[:20])
	alone := lot{trials: made}
	before := alone.surprise(&k.Inference)
	for _, x := range list {
		truth := x.Truth()
		one := lessons(k, []report.Lesson{x})
		if one[0].not != (truth == "") {
			t.Errorf("%s: it was %q", x.Diagnosis, truth)
		}
		few := lot{made, one}
		many := lot{made, nil}
		for range 4 * priorCount {
			many.lessons = append(many.lessons, one[0])
		}
		own := loss(one, &k.Inference)
		if a, b := few.surprise(&k.Inference)-before, many.surprise(&k.Inference)-before; a*(own-before) < 0 || a*a >= b*b {
			t.Errorf("%s, loss %.3f beside %.3f: one lesson moves it by %.4f, many by %.4f", x.Diagnosis, own, before, a, b)
		}
	}
}

// TestForeignExports: another file is refused by its name and line.
func TestForeignExports(t *testing.T) {
	for name, text := range map[string]string{"no JSON": "hello\n", "another document": `{"id":"x"}` + "\n",
		"untested": `{"cause":"lan.cable","outcome":"untested","event":{"code":"96"}}` + "\n"} {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, []byte("\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readLessons(file); err == nil || !strings.Contains(err.Error(), "line 2") ||
			!strings.Contains(err.Error(), "/api/v1/outcomes") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readLessons(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is read")
	}
}
