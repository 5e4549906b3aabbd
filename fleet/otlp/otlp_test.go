package otlp

import (
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// What is sent is OTLP as its own library reads it, field by field, with the numbers that the registry has.
func TestMetricsAreOTLP(t *testing.T) {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total", Help: "A counter."}, []string{"way"})
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "A gauge."})
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: []float64{1, 2}})
	s := prometheus.NewSummary(prometheus.SummaryOpts{Name: "s", Objectives: map[float64]float64{.5: .1}})
	bad := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bad"})
	r.MustRegister(c, g, h, s, bad)
	c.WithLabelValues(`"x"`).Add(3)
	g.Set(-2.5)
	bad.Set(math.NaN())
	for _, v := range []float64{.5, 1.5, 1.6, 9} {
		h.Observe(v)
	}
	var got []byte
	var head http.Header
	answer := 200
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		got, _ = io.ReadAll(q.Body)
		head = q.Header
		if q.URL.Path != "/v1/metrics" {
			t.Error(q.URL)
		}
		w.WriteHeader(answer)
		io.WriteString(w, "{}")
	}))
	defer server.Close()
	e := &Exporter{
		URL:      server.URL + "/",
		Bearer:   "secret",
		Version:  "1",
		Gatherer: r,
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	now := time.Now()
	if err := e.Send(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if head.Get("Content-Type") != "application/json" || head.Get("Authorization") != "Bearer secret" {
		t.Error(head)
	}
	var data metrics.MetricsData
	if err := protojson.Unmarshal(got, &data); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	by := map[string]*metrics.Metric{}
	for _, x := range data.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		by[x.Name] = x
	}
	if p := by["c_total"].GetSum(); !p.IsMonotonic ||
		p.AggregationTemporality != metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE ||
		p.DataPoints[0].GetAsDouble() != 3 ||
		p.DataPoints[0].Attributes[0].Value.GetStringValue() != `"x"` {
		t.Error(p)
	}
	if p := by["g"].GetGauge().DataPoints[0]; p.GetAsDouble() != -2.5 || p.TimeUnixNano != uint64(now.UnixNano()) {
		t.Error(p)
	}
	if p := by["h"].GetHistogram().DataPoints[0]; p.Count != 4 || len(p.BucketCounts) != 3 || p.BucketCounts[1] != 2 ||
		p.BucketCounts[2] != 1 ||
		len(p.ExplicitBounds) != 2 {
		t.Error(p)
	}
	if by["s"].GetSummary() == nil || by["bad"] != nil || by["bad"].GetGauge() != nil {
		t.Error(by)
	}
	answer = 503
	if err := e.Send(t.Context(), now); err == nil || !strings.Contains(err.Error(), "503") {
		t.Error(err)
	}
}

func TestIncidentsAreOTLP(t *testing.T) {
	b, err := json.Marshal(
		Log("1", "posdx.incident.opened", "事件\n1", Warn, time.Now(), time.Now(), map[string]string{"posdx.estate": "shop"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	var data logs.LogsData
	if err := protojson.Unmarshal(b, &data); err != nil {
		t.Fatal(err)
	}
	r := data.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
	if r.SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_WARN ||
		r.Body.GetStringValue() != "事件\n1" ||
		len(r.Attributes) != 2 {
		t.Error(r)
	}
	for s, ok := range map[string]bool{"https://c:4318": true, "http://127.0.0.1:4318/x": true, "c:4318": false, "https://": false, "https://a:b@c": false} {
		if (CheckURL(s) == nil) != ok {
			t.Error(s)
		}
	}
}
