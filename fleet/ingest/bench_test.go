package ingest

import (
	"path/filepath"
	"testing"

	"posdx/agent/report"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

func BenchmarkDecode(b *testing.B) {
	a := sample.New("shop", "t1")
	topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if d := Decode(topic, payload, t0); d.Reason != "" {
			b.Fatal(d.Reason)
		}
	}
}

// BenchmarkCommit stores full batches of 20 terminals, each synced to disk.
func BenchmarkCommit(b *testing.B) {
	s, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "fleet.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	docs := make([]store.Document, b.N)
	for i := range docs {
		a := sample.New("shop", "t"+string(rune('a'+i%20)))
		a.Seq = uint64(i / 20)
		topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(i/20, 2, "96", "host.malfunction", "acquirer"))
		docs[i] = Decode(topic, payload, t0)
	}
	b.ResetTimer()
	for len(docs) > 0 {
		n := min(maxBatch, len(docs))
		if _, err := s.Commit(b.Context(), docs[:n]); err != nil {
			b.Fatal(err)
		}
		docs = docs[n:]
	}
}
