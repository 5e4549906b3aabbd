package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"posdx/fleet/ingest"
	"posdx/fleet/store"
)

// promtool is Debian's package prometheus.
func promtool(t *testing.T, in []byte, args ...string) {
	t.Helper()
	bin, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool of Debian's package prometheus is not installed")
	}
	c := exec.CommandContext(t.Context(), bin, args...)
	c.Stdin = bytes.NewReader(in)
	if out, err := c.CombinedOutput(); err != nil || bytes.Contains(out, []byte("error")) {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

func TestRulesWakeWhenTheyShould(t *testing.T) {
	promtool(t, nil, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
	promtool(t, nil, "test", "rules", "testdata/rules_test.yml")
}

func scrape(t *testing.T) string {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Now()
	for i := range 3 {
		inc := store.Incident{
			Estate:    "shop",
			Scope:     "carrier",
			Key:       "x",
			Cause:     "wan.outage",
			Segment:   "wan",
			Opened:    at,
			Seen:      at,
			Terminals: 4 + i,
			Of:        9,
			Peak:      5,
		}
		if i == 2 {
			inc.Closed = at
		}
		if err := db.SaveIncident(t.Context(), &inc); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r := Registry(&Fleet{Store: db, Log: log}, "1.2", "3")
	ingest.NewMetrics(r)
	pages := Pages(r, promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	ask := func() string {
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		b, _ := io.ReadAll(w.Result().Body)
		return string(b)
	}
	ask()
	return ask()
}

func TestMetricsAreWellNamed(t *testing.T) {
	text := scrape(t)
	promtool(t, []byte(text), "check", "metrics")
	for _, want := range []string{
		`posdx_fleet_incidents_open{estate="shop",segment="wan"} 2`, `posdx_fleet_incident_terminals{estate="shop",segment="wan"} 9`, "posdx_fleet_store_up 1",
		`posdx_fleet_build_info{knowledge="3",version="1.2"} 1`, `posdx_fleet_http_requests_total{code="200",method="get"} 1`, "posdx_fleet_http_request_seconds_count 1",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, regexp.MustCompile(`(?m)^(#|go_|process_).*\n`).ReplaceAllString(text, ""))
		}
	}
}

type broken struct{ calls int }

func (b *broken) Gauges(context.Context, time.Time) ([]store.Gauge, error) {
	b.calls++
	return nil, errors.New("away")
}
func (b *broken) Size(context.Context) (int64, error) { return 0, nil }

type many struct{}

func (many) Gauges(context.Context, time.Time) ([]store.Gauge, error) {
	var list []store.Gauge
	for i := range 1000 {
		list = append(
			list,
			store.Gauge{
				Name:   "terminals",
				Estate: "e" + string(rune('0'+i%10)) + string(rune('0'+i/10%10)) + string(rune('0'+i/100)),
				Word:   "online",
				Value:  1,
			},
		)
	}
	return list, nil
}
func (many) Size(context.Context) (int64, error) { return 0, nil }

// A store that is away says so, and is not asked at every scrape; a thousand estates are not a thousand series.
func TestScrapesAreBounded(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	collect := func(c prometheus.Collector) map[string]int {
		r := prometheus.NewRegistry()
		r.MustRegister(c)
		n := map[string]int{}
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			n[f.GetName()] = len(f.GetMetric())
		}
		return n
	}
	b := &broken{}
	f := &Fleet{Store: b, Log: log}
	for range 5 {
		if n := collect(f); n["posdx_fleet_store_up"] != 1 || len(n) != 1 {
			t.Error(n)
		}
	}
	if b.calls != 1 {
		t.Error(b.calls)
	}
	if n := collect(&Fleet{Store: many{}, Log: log}); n["posdx_fleet_terminals"] != maxEstates+1 {
		t.Error(n)
	}
}

// The dashboard is one of Grafana's by Grafana's own schema: every panel, option and query has its type, none is left
// out and none is unknown.
func TestDashboardIsGrafanas(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard
	err := errors.Join(d.UnmarshalJSONStrict(Dashboard()), d.Validate())
	if err != nil && strings.TrimSpace(err.Error()) != "" { // an empty list of errors is none
		t.Error(err)
	}
	if len(d.Panels) < 10 {
		t.Errorf("%d panels are read", len(d.Panels))
	}
	if d.UnmarshalJSONStrict(bytes.Replace(Dashboard(), []byte(`"colorMode"`), []byte(`"colourMode"`), 1)) == nil {
		t.Error("the schema lets an unknown option pass")
	}
}

// Dashboard and rules ask for metrics that are there.
func TestDashboardAndRulesNameMetricsThatAreThere(t *testing.T) {
	source, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, f := range source {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		code += string(b)
	}
	var d struct {
		Panels []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(Dashboard(), &d); err != nil || len(d.Panels) < 10 {
		t.Fatal(err)
	}
	asks := string(Rules())
	recording := "groups:\n  - name: panels\n    rules:\n"
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%+v", p)
		}
		for _, q := range p.Targets {
			asks += "\n" + q.Expr
			recording += fmt.Sprintf("      - {record: \"panel:%d\", expr: %q}\n", strings.Count(recording, "\n"), q.Expr)
		}
	}
	file := filepath.Join(t.TempDir(), "panels.yml") // so the tool reads each expression
	if err := os.WriteFile(file, []byte(recording), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", file)
	for _, m := range regexp.MustCompile(`posdx_fleet_(\w+)`).FindAllStringSubmatch(asks, -1) {
		name := strings.TrimSuffix(strings.TrimSuffix(m[1], "_bucket"), "_count")
		if !strings.Contains(code, `"`+name+`"`) && !strings.Contains(code, `"posdx_fleet_`+name+`"`) {
			t.Errorf("nothing is called posdx_fleet_%s", name)
		}
	}
}
