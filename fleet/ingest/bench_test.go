package ingest

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// benchTerminals is how many terminals the documents of a benchmark come from.
const benchTerminals = 200

// documents are n diagnoses of some terminals in turn, each with so many pieces of evidence beyond a sample's; below 0:
// the least that a terminal may send.
func documents(n, evidence int) (topics []string, payloads [][]byte) {
	list := make([]*sample.Terminal, benchTerminals)
	for i := range list {
		list[i] = sample.New("shop", fmt.Sprint("b", i))
	}
	for k := range n {
		a := list[k%len(list)]
		d := a.Diagnosis(k, 2, "96", "host.malfunction", "acquirer")
		if evidence < 0 {
			d.Causes, d.Evidence, d.NextTest, d.CannotSeparate = d.Causes[1:], nil, nil, nil
		}
		for e := range max(0, evidence) {
			d.Evidence = append(d.Evidence, report.Evidence{Check: "net.tcp", Subject: fmt.Sprint("host-", e),
				Status: report.OK, Facts: report.Facts{"outcome": "ok", "ms": 41.0 + float64(k), "address": "203.0.113.10",
					"port": 443.0}, At: time.Now(), Depth: report.Internal})
		}
		topic, p := a.Wrap(report.KindDiagnosis, d)
		topics, payloads = append(topics, topic), append(payloads, p)
	}
	return topics, payloads
}

// cpu is what this process has used. On a busy machine it says more than the time that passed.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDecode takes documents of two sizes apart. go test ./fleet/ingest -run - -bench Decode
func BenchmarkDecode(b *testing.B) {
	for _, evidence := range []int{0, 24} {
		topics, payloads := documents(100, evidence)
		b.Run(fmt.Sprintf("%d bytes", len(payloads[0])), func(b *testing.B) {
			b.ReportAllocs()
			began, n := cpu(), 0
			for b.Loop() {
				if d := Decode(topics[n%100], payloads[n%100], t0); d.Reason != "" {
					b.Fatal(d.Reason)
				}
				n++
			}
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(n), "cpu-µs/doc")
		})
	}
}

// BenchmarkCommit stores full batches of 200 terminals, each synced to disk; what a PostgreSQL uses is not in its CPU.
// go test ./fleet/ingest -run - -bench Commit
func BenchmarkCommit(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, evidence := range []int{0, 24} {
			topics, payloads := documents(6000, evidence)
			b.Run(fmt.Sprintf("%s/%d bytes", kind, len(payloads[0])), func(b *testing.B) {
				docs := make([]store.Document, len(payloads))
				for i := range docs {
					docs[i] = Decode(topics[i], payloads[i], t0)
				}
				var used time.Duration
				n := 0
				for b.Loop() {
					b.StopTimer()
					address := "sqlite:" + filepath.Join(b.TempDir(), "fleet.db")
					if kind == "postgres" {
						address = housetest.Postgres(b)
					}
					s, err := store.Open(b.Context(), address)
					if err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
					began := cpu()
					for k := 0; k < len(docs); k += maxBatch {
						if _, err := s.Commit(b.Context(), docs[k:k+maxBatch]); err != nil {
							b.Fatal(err)
						}
					}
					used += cpu() - began
					n += len(docs)
					s.Close()
				}
				b.ReportMetric(float64(used.Microseconds())/float64(n), "cpu-µs/doc")
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "docs/s")
			})
		}
	}
}
