package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// BenchmarkStore keeps diagnoses as terminals would send them, of every recorded case in turn with the evidence of all
// checks, and says what one takes in the store. go test ./fleet -run - -bench Store -benchtime 20000x
func BenchmarkStore(b *testing.B) {
	files, err := filepath.Glob("../agent/diagnose/testdata/cases/*.json")
	if err != nil || len(files) == 0 {
		b.Fatal(files, err)
	}
	var docs []report.Diagnosis
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		var c struct {
			Event    report.Event
			Evidence []report.Evidence
		}
		if json.Unmarshal(body, &c) != nil || c.Event.Code == "" {
			continue
		}
		// A terminal sends what every check found, not only what a case is about.
		for _, more := range files[:min(4, len(files))] {
			var other struct{ Evidence []report.Evidence }
			if body, err := os.ReadFile(more); err == nil && json.Unmarshal(body, &other) == nil {
				c.Evidence = append(c.Evidence, other.Evidence...)
			}
		}
		docs = append(docs, diagnose.Explain(c.Event, c.Evidence, codes.Builtin(), diagnose.Options{}))
	}
	for _, packed := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "packed"}[packed], func(b *testing.B) { benchmarkStore(b, docs, packed) })
	}
}

func benchmarkStore(b *testing.B, docs []report.Diagnosis, packed bool) {
	file := filepath.Join(b.TempDir(), "fleet.db")
	db, err := store.Open(b.Context(), "sqlite:"+file)
	if err != nil {
		b.Fatal(err)
	}
	size, n := 0, 0
	var packer report.Packer
	terminals := make([]*sample.Terminal, 200)
	for i := range terminals {
		terminals[i] = sample.New("shop", fmt.Sprint("t", i))
	}
	var batch []store.Document
	for b.Loop() {
		a := terminals[n%len(terminals)]
		d := docs[n%len(docs)]
		d.ID = a.EventID(n + 1)
		d.Event.ID, d.Event.BootID, d.Revision, d.Final = d.ID, "boot-1", 1, true
		topic, p := a.Wrap(report.KindDiagnosis, d)
		if packed { // as a terminal with broker.compress sends it
			p = packer.Pack(p)
		}
		size += len(p)
		doc := ingest.Decode(topic, p, time.Now())
		if doc.Reason != "" {
			b.Fatal(doc.Reason)
		}
		n++
		if batch = append(batch, doc); len(batch) == 200 {
			if _, err := db.Commit(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	if err := db.Close(); err != nil { // the log is written back
		b.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(n), "B/row")
	b.ReportMetric(float64(size)/float64(n), "B/document")
	b.ReportMetric(float64(info.Size())/float64(n)/1000, "GB/1e6rows")
}
