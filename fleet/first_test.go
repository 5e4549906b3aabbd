package main

import (
	"context"
	"log/slog"
	"os"
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
		data := t.TempDir()
		refused(t, want, "serve --data "+data+" --listen 127.0.0.1:0 --open viewer "+args)
		refused(t, want, "ingest --store sqlite:"+storeFile(data)+" "+args)
	}
	for args, want := range map[string]string{
		"--client-id a.b":                     `client ID "a.b": the embedded broker`,
		"--share w":                           "the embedded broker shares",
		"--view":                              "name that one with --broker",
		"--view --broker tcp://127.0.0.1:1":   "postgres://",
		"--mqtt-users /nowhere":               "read users",
		"--broker tcp://h:1 --share pos/shop": `group "pos/shop"`,
	} {
		refused(t, want, "serve --data "+t.TempDir()+" --listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0 --open viewer "+args)
	}
	for args, want := range map[string]string{
		"--nats http://h:4222":                             `"http" is no way to reach a NATS server`,
		"--nats nats://":                                   "not an address",
		"--nats nats://a:1,nats://%zz":                     "not an address",
		"--nats nats://u:secret@a:1,ftp://u:secret@b:1":    `"ftp" is no way`,
		"--nats nats://h:1 --nats-creds /nowhere":          "read credentials",
		"--nats nats://h:1 --ca /nowhere":                  "read CA",
		"--nats nats://h:1 --cert /nowhere":                "belong together",
		"--nats nats://h:1 --cert /nowhere --key /nowhere": "read client certificate",
		"--nats nats://h:1 --share w":                      "are of --broker",
		"--nats nats://h:1 --user u":                       "are of --broker",
	} {
		refused(t, want, "ingest --store sqlite:"+storeFile(t.TempDir())+" "+args)
	}
}

// refused runs a command that must end by itself, with a word of what is wrong and no secret in it.
func refused(t *testing.T, want, args string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), soon/4) // one that is let in would run on
	defer stop()
	var out, errs strings.Builder
	code := run(ctx, stdio{out: &out, err: &errs}, strings.Fields(args))
	if code == 0 || !strings.Contains(errs.String(), want) || strings.Contains(errs.String(), "secret@") {
		t.Errorf("%s: %d %s, want %q", args, code, errs.String(), want)
	}
}

// A terminal that could never connect is refused where it is named, not later and each time by the broker's log.
func TestANameThatTheBrokerTakesNoClientBy(t *testing.T) {
	data := t.TempDir()
	users := filepath.Join(data, "users")
	if err := os.WriteFile(users, []byte("t1:secret\nt1.shop:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "line 2", "serve --data "+data+" --listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0 --open viewer --mqtt-users "+users)
	db, err := store.Open(t.Context(), "sqlite:"+storeFile(data))
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	for name, warned := range map[string]bool{"my.shop/t1": false, "shop/t1.a": true} {
		var out, talk strings.Builder
		code := run(t.Context(), stdio{out: &out, err: &talk}, []string{"enroll", "token", name, "--data", data})
		if code != 0 || out.Len() == 0 || strings.Contains(talk.String(), `client ID "t1.a"`) != warned {
			t.Errorf("%s: %d %s%s", name, code, out.String(), talk.String())
		}
	}
}
