// Package metrics gives the state of the fleet, and of the program itself, to Prometheus.
//
// Counts by cause or segment are few, since those words are the catalogue's. Terminals are never a label. A dashboard
// for Grafana and alerting rules are part of the package.
package metrics

import (
	"context"
	_ "embed"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"posdx/fleet/store"
)

//go:embed dashboard.json
var dashboardJSON []byte

//go:embed rules.yml
var rules []byte

// Dashboard is a dashboard for Grafana, as JSON to import.
func Dashboard() []byte { return dashboardJSON }

// Rules are alerting rules for Prometheus, as YAML.
func Rules() []byte { return rules }

const (
	maxEstates = 100              // with numbers of their own; the rest is "other"
	every      = 10 * time.Second // at most one look at the store
	lookWait   = 8 * time.Second
)

// counted is the part of the store that is counted.
type counted interface {
	Gauges(ctx context.Context, now time.Time) ([]store.Gauge, error)
	Size(ctx context.Context) (int64, error)
}

// A Fleet collects the numbers of the store whenever Prometheus asks.
type Fleet struct {
	Store counted
	Log   *slog.Logger

	mu   sync.Mutex
	at   time.Time           // of the last look; guarded by mu
	last []prometheus.Metric // guarded by mu
}

var descs = map[string]*prometheus.Desc{
	"terminals": prometheus.NewDesc(
		"posdx_fleet_terminals",
		"Terminals known, by what they last said of themselves.",
		[]string{"estate", "state"},
		nil,
	),
	"incidents": prometheus.NewDesc(
		"posdx_fleet_incidents_open",
		"Open incidents, by the segment at fault.",
		[]string{"estate", "segment"},
		nil,
	),
	"incident_terminals": prometheus.NewDesc(
		"posdx_fleet_incident_terminals",
		"Terminals in open incidents, by the segment at fault.",
		[]string{"estate", "segment"},
		nil,
	),
	"diagnoses_hour": prometheus.NewDesc(
		"posdx_fleet_diagnoses_last_hour",
		"Diagnoses received within the last hour, by segment and leading cause.",
		[]string{"estate", "segment", "cause"},
		nil,
	),
	"gaps": prometheus.NewDesc(
		"posdx_fleet_terminals_with_gaps",
		"Terminals with reports that are missing and unexplained.",
		[]string{"estate"},
		nil,
	),
	"certificates": prometheus.NewDesc(
		"posdx_fleet_terminal_certificates",
		"Terminals with certificates of this fleet's authority, by when the newest ends.",
		[]string{"estate", "ends"},
		nil,
	),
	"size": prometheus.NewDesc("posdx_fleet_store_bytes", "Size of the store on disk.", nil, nil),
	"ok":   prometheus.NewDesc("posdx_fleet_store_up", "1 while the store can be read.", nil, nil),
}

// Describe implements prometheus.Collector.
func (f *Fleet) Describe(c chan<- *prometheus.Desc) {
	for _, d := range descs {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (f *Fleet) Collect(c chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil || time.Since(f.at) >= every {
		f.last, f.at = f.look(), time.Now()
	}
	for _, m := range f.last {
		c <- m
	}
}

func (f *Fleet) look() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), lookWait)
	defer cancel()
	gauge := func(d string, v float64, labels ...string) prometheus.Metric {
		return prometheus.MustNewConstMetric(descs[d], prometheus.GaugeValue, v, labels...)
	}
	list, err := f.Store.Gauges(ctx, time.Now())
	size, err2 := int64(0), error(nil)
	if err == nil {
		size, err2 = f.Store.Size(ctx)
	}
	if err != nil || err2 != nil {
		f.Log.Error("cannot count the fleet", "error", err, "size", err2)
		return []prometheus.Metric{gauge("ok", 0)}
	}
	out := []prometheus.Metric{gauge("ok", 1), gauge("size", float64(size))}
	estates := map[string]bool{}
	type key struct{ name, estate, word, more string }
	sums := map[key]float64{}
	for _, g := range list {
		if !estates[g.Estate] && len(estates) >= maxEstates {
			g.Estate = "other"
		} else {
			estates[g.Estate] = true
		}
		sums[key{g.Name, g.Estate, g.Word, g.MoreWord}] += g.Value
	}
	for k, v := range sums {
		switch k.name {
		case "gaps":
			out = append(out, gauge(k.name, v, k.estate))
		case "diagnoses_hour":
			out = append(out, gauge(k.name, v, k.estate, k.word, k.more))
		default:
			out = append(out, gauge(k.name, v, k.estate, k.word))
		}
	}
	return out
}

// Registry makes a registry with the fleet, the program and its runtime in it.
func Registry(f *Fleet, version, knowledge string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(
		prometheus.GaugeOpts{
			Namespace: "posdx_fleet",
			Name:      "build_info",
			Help:      "1, with the versions of the program and of the knowledge inside.",
		},
		[]string{"version", "knowledge"},
	)
	build.WithLabelValues(version, knowledge).Set(1)
	r.MustRegister(
		f,
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// Pages counts and times the answers of the pages.
func Pages(r prometheus.Registerer, next http.Handler) http.Handler {
	requests := prometheus.NewCounterVec(
		prometheus.CounterOpts{
			Namespace: "posdx_fleet",
			Name:      "http_requests_total",
			Help:      "Answers given, by status and method.",
		},
		[]string{"code", "method"},
	)
	took := prometheus.NewHistogramVec(
		prometheus.HistogramOpts{
			Namespace: "posdx_fleet",
			Name:      "http_request_seconds",
			Help:      "Time to answer, live pages apart.",
			Buckets:   []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		},
		nil,
	)
	r.MustRegister(requests, took)
	timed := promhttp.InstrumentHandlerDuration(took, next)
	return promhttp.InstrumentHandlerCounter(requests, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" { // open for hours, by design
			next.ServeHTTP(w, r)
			return
		}
		timed.ServeHTTP(w, r)
	}))
}
