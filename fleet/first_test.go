package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// What terminals send to the embedded broker before the fleet's first session is there reaches the fleet: a document
// that no terminal repeats, such as a status, most of all.
func TestTheFirstSessionIsThereBeforeTheFirstTerminal(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c := serveConfig{data: dir, ingest: ingest.Config{URL: "embedded", ClientID: "fleet-1"}}
	c.mqtt.Listen = "127.0.0.1:0"
	b, err := c.embeddedBroker(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()

	u := dial(t, b.URL(), sample.New("shop", "t1"))
	u.say(t)(u.Uncounted(report.KindAsked, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(2, 2, "51", "account.funds", "issuer")))

	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	in := ingest.New(c.ingest, db, ingest.NewMetrics(prometheus.NewRegistry()), log, func() {}, func(string, []byte) {})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	housetest.Until(t, "both are there", func() bool {
		rows, _, err := db.Diagnoses(ctx, store.Filter{})
		asked, err2 := db.Asked(ctx, nil, u.At, 5)
		return err == nil && err2 == nil && len(rows) == 1 && len(asked) == 1
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// An address that no broker can have, and a file that is not there, end the start with a word of what to write instead:
// no try would ever succeed.
func TestAnImpossibleBrokerEndsTheStart(t *testing.T) {
	for args, want := range map[string]string{
		"--broker http://x":                                           `"http" is no way to reach an MQTT broker; want tcp://host:1883 or ssl://host:8883`,
		"--broker x":                                                  "want tcp://host:1883",
		"--broker mqtt.example.com:1883":                              "want tcp://host:1883",
		"--broker tcp://":                                             "want a host and a port",
		"--broker tcp://host":                                         "want a host and a port",
		"--broker tcp://user:secret@host":                             "want a host and a port",
		"--broker ssl://host:8883/pos":                                `no path "/pos"`,
		"--broker tcp://%zz:1":                                        "not an address",
		"--broker ssl://h:1 --ca /nowhere":                            "read CA",
		"--broker ssl://h:1 --cert /nowhere":                          "belong together",
		"--broker ssl://h:1 --cert /nowhere --key /nowhere":           "read client certificate",
		"--broker tcp://h:1 --user u --password-file /nowhere/secret": "read password",
	} {
		if args == "--broker http://x" {
			var out, errs strings.Builder
			code := run(t.Context(), stdio{&out, &errs}, []string{"ingest", "--store", "sqlite:" + filepath.Join(t.TempDir(), "f.db"),
				"--broker", "http://x"})
			if code == 0 || !strings.Contains(errs.String(), want) {
				t.Errorf("ingest %s: %d %s", args, code, errs.String())
			}
		}
		var out, errs strings.Builder
		all := append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--open", "viewer"}, strings.Fields(args)...)
		code := run(t.Context(), stdio{&out, &errs}, all)
		if code == 0 || !strings.Contains(errs.String(), want) || strings.Contains(errs.String(), "secret@") {
			t.Errorf("%s: %d %s, want %q", args, code, errs.String(), want)
		}
	}
}
