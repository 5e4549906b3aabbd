package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
)

// multiply makes a store of many diagnoses from one of few: the same ones again and again, further back in time, so
// that the newest stay the newest.
func multiply(b testing.TB, address string, rows int) {
	b.Helper()
	driver, dsn := "pgx", address
	path, lite := strings.CutPrefix(address, "sqlite:")
	if lite {
		driver, dsn = "sqlite", path+"?_pragma=synchronous(OFF)&_pragma=cache_size(-200000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	run := func(stmt string, args ...any) {
		if _, err := db.Exec(stmt, args...); err != nil {
			b.Fatal(stmt, err)
		}
	}
	columns := "estate, terminal, boot_id, id, revision, final, stream, epoch, boot, seq, historical, received, code, scheme, cause, segment, words, body, packed, entry, p, repeats"
	run("CREATE TEMP TABLE few AS SELECT " + columns + " FROM diagnoses ORDER BY received")
	run("DELETE FROM diagnoses")
	var n int
	if err := db.QueryRow("SELECT count(*) FROM few").Scan(&n); err != nil {
		b.Fatal(err)
	}
	const before = 6 * time.Hour
	if !lite { // a table a month
		now := time.Now().UTC()
		first := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }
		oldest := first(now.Add(-time.Duration(rows/n+2) * before))
		for m := oldest; m.Before(first(now.Add(-before))); m = m.AddDate(0, 1, 0) {
			run(fmt.Sprintf("CREATE TABLE IF NOT EXISTS diagnoses_%s PARTITION OF diagnoses FOR VALUES FROM (%d) TO (%d)",
				m.Format("2006_01"), m.UnixMilli(), m.AddDate(0, 1, 0).UnixMilli()))
		}
	}
	for k := rows / n; k >= 0; k-- {
		from := strings.NewReplacer("received", fmt.Sprintf("received - %d", int64(k)*before.Milliseconds()),
			"boot_id", fmt.Sprintf("boot_id || '-%d'", k)).Replace(columns)
		run("INSERT INTO diagnoses (" + columns + ") SELECT " + from + " FROM few ORDER BY few.received")
	}
	if !lite {
		run("ANALYZE diagnoses") // as the database does by itself
	}
}

// BenchmarkPages measures how long each page takes over POSDX_ROWS stored diagnoses (default 100000) of
// POSDX_TERMINALS (default 1000), in SQLite or, with POSDX_STORE=postgres, there: the 95th percentile of 20
// requests. While POSDX_FLOW terminals (default none) send diagnoses, each as fast as the broker takes them.
// go test ./fleet -run - -bench Pages -benchtime 1x
func BenchmarkPages(b *testing.B) {
	n, rows := 1000, 100_000
	fmt.Sscan(os.Getenv("POSDX_TERMINALS"), &n)
	fmt.Sscan(os.Getenv("POSDX_ROWS"), &rows)
	senders := 0
	fmt.Sscan(os.Getenv("POSDX_FLOW"), &senders)
	dir := b.TempDir()
	address := "sqlite:" + filepath.Join(dir, "fleet.db")
	if os.Getenv("POSDX_STORE") == "postgres" {
		address = housetest.Postgres(b)
	}
	fillStore(b, address, n, 6)
	multiply(b, address, rows)
	f := start(b, dir, "--mqtt-listen", "127.0.0.1:0", "--store", address)
	housetest.Until(b, "places are known", func() bool {
		return strings.Contains(get(b, f.page+"/versions?dim=site&format=csv"), "site-00000")
	})
	defer flow(b, f.mqtt, senders)()
	for _, path := range []string{"/", "/?by=cause&range=7d", "/incidents?state=all", "/incident/2", "/expiry", "/work?visit=all", "/diagnoses", "/diagnoses?q=funds", "/diagnoses?code=96&range=7d", "/diagnoses?site=site-00012",
		"/diagnoses?cause=wan.outage&range=24h&region=region-1", "/terminals", "/terminals?sort=heard", "/terminal/sim/t000001", "/versions?dim=firmware", "/versions?dim=site", "/codes", "/code?code=51", "/causes", "/cause/account.funds", "/outcomes", "/search?q=site-0001"} {
		b.Run(path, func(b *testing.B) {
			kept, from := f.counter(b, "posdx_fleet_documents_stored_total"), time.Now()
			defer func() {
				came := f.counter(b, "posdx_fleet_documents_stored_total") - kept
				b.ReportMetric(float64(came)/time.Since(from).Seconds(), "docs/s")
			}()
			for b.Loop() {
				var took []time.Duration
				for range 20 {
					began := time.Now()
					answer, err := http.Get(f.page + path)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
					if answer.StatusCode != http.StatusOK {
						b.Fatal(answer.Status)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
				b.ReportMetric(float64(took[len(took)-2].Milliseconds()), "p95-ms")
			}
		})
	}
}

// flow has terminals send diagnoses until it is told to stop.
func flow(b *testing.B, url string, terminals int) (stop func()) {
	ctx, end := context.WithCancel(b.Context())
	var all sync.WaitGroup
	for i := range terminals {
		a := sample.New("shop", fmt.Sprint("flow-", i))
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID(a.At.Terminal).SetAutoReconnect(false))
		if t := c.Connect(); !t.WaitTimeout(soon) || t.Error() != nil {
			b.Fatal("connect: ", t.Error())
		}
		all.Go(func() {
			defer c.Disconnect(0)
			for n := 1; ctx.Err() == nil; n++ {
				topic, p := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
				if !c.Publish(topic, 1, false, p).WaitTimeout(soon) {
					return
				}
			}
		})
	}
	return func() { end(); all.Wait() }
}
