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
func multiply(b testing.TB, dir string, rows int) {
	b.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "fleet.db")+"?_pragma=synchronous(OFF)&_pragma=cache_size(-200000)")
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
	for k := rows / n; k >= 0; k-- {
		from := strings.NewReplacer("received", "received - ?", "boot_id", "boot_id || ?").Replace(columns)
		run("INSERT INTO diagnoses ("+columns+") SELECT "+from+" FROM few ORDER BY received", fmt.Sprint("-", k), k*6*3600*1000)
	}
}

// BenchmarkPages measures how long each page takes over POSDX_ROWS stored diagnoses (default 100000) of POSDX_TERMINALS
// (default 1000): the 95th percentile of 20 requests. While POSDX_FLOW terminals (default none) send diagnoses, each as
// fast as the broker takes them. go test ./fleet -run - -bench Pages -benchtime 1x
func BenchmarkPages(b *testing.B) {
	n, rows := 1000, 100_000
	fmt.Sscan(os.Getenv("POSDX_TERMINALS"), &n)
	fmt.Sscan(os.Getenv("POSDX_ROWS"), &rows)
	senders := 0
	fmt.Sscan(os.Getenv("POSDX_FLOW"), &senders)
	dir := b.TempDir()
	fill(b, dir, n, 6)
	multiply(b, dir, rows)
	f := start(b, dir, "--mqtt-listen", "127.0.0.1:0")
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
