// Package otlp sends the fleet's metrics to a collector with the protocol of OpenTelemetry, JSON over HTTP (OTLP 1.x).
// Incidents are sent by the same protocol as log records; package notify does that, once for each.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Every is how often metrics are sent.
const Every = time.Minute

const sendWait = 20 * time.Second

// An Exporter sends what a registry gathers.
type Exporter struct {
	URL      string // of the collector; /v1/metrics is added
	Bearer   string // a token to show, or empty
	Version  string // of this program
	Gatherer prometheus.Gatherer
	Client   *http.Client // nil: as usual
	Log      *slog.Logger

	began time.Time
}

// CheckURL says what is wrong with a collector's address.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("collector %q: want https://host:4318", s)
	}
	return nil
}

// Run sends every minute until ctx ends. What a collector does not accept is dropped: the next numbers include it.
func (e *Exporter) Run(ctx context.Context) error {
	e.began = time.Now()
	tick := time.NewTicker(Every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			err := e.Send(ctx, now)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil && !failing { // said once, not every minute
				e.Log.Warn("cannot send metrics to the collector", "error", err)
			}
			failing = err != nil
		}
	}
}

// Send sends once.
func (e *Exporter) Send(ctx context.Context, now time.Time) error {
	families, err := e.Gatherer.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	if e.began.IsZero() {
		e.began = now
	}
	body, err := json.Marshal(Metrics(families, e.Version, e.began, now))
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendWait)
	defer cancel()
	r, err := http.NewRequestWithContext(
		ctx,
		http.MethodPost,
		strings.TrimSuffix(e.URL, "/")+"/v1/metrics",
		bytes.NewReader(body),
	)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if e.Bearer != "" {
		r.Header.Set("Authorization", "Bearer "+e.Bearer)
	}
	client := e.Client
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %d: %.200q", answer.StatusCode, b)
	}
	var partial struct {
		PartialSuccess struct {
			Rejected string `json:"rejectedDataPoints"`
			Says     string `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(b, &partial) == nil && partial.PartialSuccess.Says != "" {
		return fmt.Errorf("the collector rejects some: %s", partial.PartialSuccess.Says)
	}
	return nil
}

type m = map[string]any

func attributes(labels []*dto.LabelPair) []m {
	list := []m{}
	for _, l := range labels {
		list = append(list, m{"key": l.GetName(), "value": m{"stringValue": l.GetValue()}})
	}
	return list
}

// Resource is the program that the metrics are of.
func Resource(version string) m {
	return m{"attributes": []m{
		{"key": "service.name", "value": m{"stringValue": "posdx-fleet"}},
		{"key": "service.version", "value": m{"stringValue": version}},
	}}
}

// Nanos is a moment as OTLP writes it in JSON: a 64-bit number in a string.
func Nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// cumulative is AGGREGATION_TEMPORALITY_CUMULATIVE.
const cumulative = 2

// Metrics is the metrics of a registry as one export request. A number for which JSON has no form (not a number,
// infinite) is left out.
func Metrics(families []*dto.MetricFamily, version string, began, now time.Time) any {
	list := []m{}
	for _, f := range families {
		points := []m{}
		for _, x := range f.GetMetric() {
			p := m{"attributes": attributes(x.GetLabel()), "startTimeUnixNano": Nanos(began), "timeUnixNano": Nanos(now)}
			value := math.NaN()
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				value = x.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				value = x.GetGauge().GetValue()
			case dto.MetricType_UNTYPED:
				value = x.GetUntyped().GetValue()
			case dto.MetricType_HISTOGRAM:
				h := x.GetHistogram()
				var bounds []float64
				counts, before := []string{}, uint64(0)
				for _, b := range h.GetBucket() {
					if math.IsInf(b.GetUpperBound(), 1) {
						continue
					}
					bounds = append(bounds, b.GetUpperBound())
					counts = append(counts, strconv.FormatUint(b.GetCumulativeCount()-before, 10))
					before = b.GetCumulativeCount()
				}
				p["explicitBounds"], p["bucketCounts"] = bounds, append(counts, strconv.FormatUint(h.GetSampleCount()-before, 10))
				p["count"], p["sum"] = strconv.FormatUint(h.GetSampleCount(), 10), h.GetSampleSum()
				points = append(points, p)
				continue
			case dto.MetricType_SUMMARY:
				q := []m{}
				for _, v := range x.GetSummary().GetQuantile() {
					if !math.IsNaN(v.GetValue()) {
						q = append(q, m{"quantile": v.GetQuantile(), "value": v.GetValue()})
					}
				}
				p["count"], p["sum"], p["quantileValues"] = strconv.FormatUint(
					x.GetSummary().GetSampleCount(),
					10,
				), x.GetSummary().
					GetSampleSum(),
					q
				points = append(points, p)
				continue
			}
			if math.IsNaN(value) || math.IsInf(value, 0) {
				continue
			}
			p["asDouble"] = value
			points = append(points, p)
		}
		if len(points) == 0 {
			continue
		}
		one := m{"name": f.GetName(), "description": f.GetHelp()}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			one["sum"] = m{"dataPoints": points, "aggregationTemporality": cumulative, "isMonotonic": true}
		case dto.MetricType_HISTOGRAM:
			one["histogram"] = m{"dataPoints": points, "aggregationTemporality": cumulative}
		case dto.MetricType_SUMMARY:
			one["summary"] = m{"dataPoints": points}
		default:
			one["gauge"] = m{"dataPoints": points}
		}
		list = append(list, one)
	}
	return m{
		"resourceMetrics": []m{
			{"resource": Resource(version), "scopeMetrics": []m{{"scope": m{"name": "posdx"}, "metrics": list}}},
		},
	}
}

// Severities of log records.
const (
	Info = 9
	Warn = 13
)

// Log is one event as an export request of a log record.
func Log(version, event, text string, severity int, at, now time.Time, fields map[string]string) any {
	attrs := []m{{"key": "event.name", "value": m{"stringValue": event}}}
	for k, v := range fields {
		attrs = append(attrs, m{"key": k, "value": m{"stringValue": v}})
	}
	name := map[int]string{Info: "INFO", Warn: "WARN"}[severity]
	return m{
		"resourceLogs": []m{{"resource": Resource(version), "scopeLogs": []m{{"scope": m{"name": "posdx"}, "logRecords": []m{{
			"timeUnixNano": Nanos(
				at,
			), "observedTimeUnixNano": Nanos(now), "severityNumber": severity, "severityText": name, "body": m{"stringValue": text}, "attributes": attrs,
		}}}}}},
	}
}
