package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"posdx/agent/report"
)

// fleetWait is how long a diagnosis may take to reach the fleet's page. A connection that was cut comes back within the
// uplink's longest pause between two attempts.
const fleetWait = 75 * time.Second

// onFleetPage waits until the fleet's JSON shows a diagnosis, with the same first cause.
func (l *lab) onFleetPage(ctx context.Context, d report.Diagnosis) error {
	client := http.Client{Timeout: httpWait,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", l.p.sock(webSocket))
		}}}
	defer client.CloseIdleConnections()
	url := "http://" + l.o.listen + "/api/v1/diagnoses/" + estate + "/" + terminal + "/" + d.ID
	why := "it never answered"
	end := time.After(fleetWait)
	for {
		shown, err := get(ctx, &client, url)
		switch {
		case err != nil:
			why = err.Error()
		case shown.ID == d.ID && shown.Final && len(shown.Causes) > 0 && len(d.Causes) > 0:
			if shown.Causes[0].ID != d.Causes[0].ID {
				return fmt.Errorf("the fleet shows %s, the terminal %s", shown.Causes[0].ID, d.Causes[0].ID)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return fmt.Errorf("the fleet does not show the diagnosis after %v: %s%s", fleetWait, why, tail(l.agent.log))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) (report.Diagnosis, error) {
	var row struct{ Diagnosis report.Diagnosis }
	d := report.Diagnosis{}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return d, err
	}
	r, err := client.Do(q)
	if err != nil {
		return d, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return d, err
	}
	if r.StatusCode != http.StatusOK {
		return d, fmt.Errorf("%s: %s", url, r.Status)
	}
	if err := json.Unmarshal(b, &row); err != nil {
		return d, fmt.Errorf("%s: %w", url, err)
	}
	return row.Diagnosis, nil
}

// A caseFile is one recorded moment, in the form that posdx diagnose --replay reads.
type caseFile struct {
	Name     string            `json:"name"`
	Why      string            `json:"why"`
	Event    report.Event      `json:"event"`
	Evidence []report.Evidence `json:"evidence"`
	Expect   expectation       `json:"expect"`
}

type expectation struct {
	Top     []string `json:"top,omitempty"`
	RetryIn []string `json:"retry_in"`
	Abstain bool     `json:"abstain"`
}

// record keeps what was seen as a case.
func record(dir string, s scenario, d report.Diagnosis) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(caseFile{s.name, s.why, d.Event, d.Evidence, expectation{s.want, s.retry, s.want == nil}},
		"", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, s.name+".json"), append(b, '\n'), 0o644)
}
