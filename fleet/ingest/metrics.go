package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"posdx/fleet/store"
)

// Metrics counts what ingest does.
type Metrics struct {
	Stored, Duplicates prometheus.Counter
	Rejected           *prometheus.CounterVec // by reason; the reasons are our own words
	Failures           prometheus.Counter
	AcksLost           prometheus.Counter
	Commit             prometheus.Histogram
	Batch              prometheus.Histogram
	Connected          prometheus.Gauge
}

// NewMetrics makes the counters and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "posdx_fleet", Name: name, Help: help})
	}
	m := &Metrics{
		Stored:     counter("documents_stored_total", "Documents committed to the store."),
		Duplicates: counter("documents_duplicate_total", "Documents that had been committed before."),
		Rejected:   prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "posdx_fleet", Name: "documents_rejected_total", Help: "Documents refused, by reason."}, []string{"reason"}),
		Failures:   counter("commit_failures_total", "Commits that failed and were tried again."),
		AcksLost:   counter("acks_lost_total", "Acks that the broker did not take at once, or not before its session ended. They are sent again."),
		Commit: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "posdx_fleet", Name: "commit_seconds",
			Help: "Time to commit one batch.", Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5}}),
		Batch: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "posdx_fleet", Name: "batch_documents",
			Help: "Documents in one batch.", Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, maxBatch}}),
		Connected: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "posdx_fleet", Name: "broker_connected", Help: "1 while the session with the broker is open."}),
	}
	r.MustRegister(m.Stored, m.Duplicates, m.Rejected, m.Failures, m.AcksLost, m.Commit, m.Batch, m.Connected)
	return m
}

func (m *Metrics) observe(r store.Result, batch int, took time.Duration) {
	m.Stored.Add(float64(r.Stored))
	m.Duplicates.Add(float64(r.Duplicates))
	for reason, n := range r.Reasons {
		m.Rejected.WithLabelValues(reason).Add(float64(n))
	}
	m.Batch.Observe(float64(batch))
	m.Commit.Observe(took.Seconds())
}
