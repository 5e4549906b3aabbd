package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/firmware-build/housetest"
)

// BenchmarkReaders measures, over POSDX_ROWS stored diagnoses (default 100000), whether those who read hold up what
// comes in: documents a second of POSDX_FLOW terminals (default 4) for POSDX_SECONDS (default 2) without readers, with
// 20 who load / and /causes again and again, and without them again; and how large SQLite's log is meanwhile, which
// grows as long as somebody reads an old state. Then how long a file of 10 000 rows takes, how often a live page is
// told in a second, and, after the fleet is killed in full flow, how long it takes until its pages are ready again.
// go test ./fleet -run - -bench Readers -benchtime 1x
func BenchmarkReaders(b *testing.B) {
	rows, senders, seconds := 100_000, 4, 2
	for name, n := range map[string]*int{"POSDX_ROWS": &rows, "POSDX_FLOW": &senders, "POSDX_SECONDS": &seconds} {
		fmt.Sscan(os.Getenv(name), n)
	}
	dir := b.TempDir()
	fill(b, dir, 1000, 6)
	multiply(b, "sqlite:"+filepath.Join(dir, "fleet.db"), rows)
	f := start(b, dir, "--mqtt-listen", "127.0.0.1:0")
	housetest.Until(b, "places are known", func() bool {
		return strings.Contains(get(b, f.page+"/versions?dim=site&format=csv"), "site-00000")
	})
	stop := flow(b, f.mqtt, senders)
	log := func() float64 {
		info, err := os.Stat(filepath.Join(dir, "fleet.db-wal"))
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size()) / 1e6
	}
	each := time.Duration(seconds) * time.Second
	for range b.N {
		for _, readers := range []int{0, 20, 0} {
			b.Run(fmt.Sprint(readers, " readers"), func(b *testing.B) {
				kept, from := f.counter(b, "posdx_fleet_documents_stored_total"), time.Now()
				pages, most := read(b, f, readers, each, log)
				took := time.Since(from).Seconds()
				b.ReportMetric(float64(f.counter(b, "posdx_fleet_documents_stored_total")-kept)/took, "docs/s")
				b.ReportMetric(float64(pages)/took, "pages/s")
				b.ReportMetric(most, "log-MB")
			})
		}
		b.Run("file of 10000 rows", func(b *testing.B) {
			began := time.Now()
			if n := strings.Count(get(b, f.page+"/diagnoses?format=csv"), "\n"); n <= 10_000 {
				b.Fatal("lines:", n)
			}
			b.ReportMetric(time.Since(began).Seconds(), "s")
		})
		b.Run("live page", func(b *testing.B) {
			b.ReportMetric(float64(news(b, f, each))/each.Seconds(), "news/s")
		})
	}
	f.kill()
	stop()
	b.Run("ready after a kill", func(b *testing.B) {
		b.ReportMetric(log(), "log-MB")
		began := time.Now()
		f = start(b, dir, "--mqtt-listen", "127.0.0.1:0")
		housetest.Until(b, "the pages are ready", func() bool {
			answer, err := http.Get(f.page + "/readyz")
			if err == nil {
				answer.Body.Close()
			}
			return err == nil && answer.StatusCode == http.StatusOK
		})
		b.ReportMetric(time.Since(began).Seconds(), "s")
	})
}

// read has readers load pages for a time, and returns how many they got, and the largest that log said.
func read(b *testing.B, f *fleet, readers int, long time.Duration, log func() float64) (pages int, most float64) {
	var mu sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(long)
	for i := range readers {
		all.Go(func() {
			for n := i; time.Now().Before(end); n++ {
				answer, err := http.Get(f.page + []string{"/", "/causes"}[n%2])
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				mu.Lock()
				pages++
				mu.Unlock()
				if answer.StatusCode != http.StatusOK {
					b.Error(answer.Status)
					return
				}
			}
		})
	}
	for tick := time.NewTicker(long / 20); time.Now().Before(end); <-tick.C {
		most = max(most, log())
	}
	all.Wait()
	return pages, max(most, log())
}

// news counts how often a live page is told that something changed.
func news(b *testing.B, f *fleet, long time.Duration) (n int) {
	answer, err := http.Get(f.page + "/live")
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	time.AfterFunc(long, func() { answer.Body.Close() })
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") {
			n++
		}
	}
	return n
}
