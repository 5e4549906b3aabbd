package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"posdx/agent/internal/source"
)

// BenchmarkCodeToFirst measures from a code handed to the daemon to revision 1 given back, with the
// document synced to flash before. It reports the median and the 99th percentile.
func BenchmarkCodeToFirst(b *testing.B) {
	c := mustParse(b, least+"state_dir = \""+b.TempDir()+"\"\n")
	d, tasks := assembled(b, c)
	for _, t := range tasks {
		if t.name == "triage" {
			go t.run(b.Context())
		}
	}
	var took []time.Duration
	for i := range b.N {
		start := time.Now()
		t, err := d.Event(b.Context(), source.Seen{Code: fmt.Sprintf("T-%d", i), Origin: "terminal", Channel: "hook"})
		if err != nil {
			b.Fatal(err)
		}
		<-t.First
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
	b.ReportMetric(float64(d.box.Stats().Written)/float64(b.N), "flash-B/op")
}
